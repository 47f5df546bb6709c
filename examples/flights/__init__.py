"""Every flight that left New York in 2013: models, data, loader, repositories and the report."""
