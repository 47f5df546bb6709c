"""The workers behind the scopes; nothing here is public."""
