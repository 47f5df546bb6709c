"""The scopes: what owns connections, and in which order calls run on them."""
