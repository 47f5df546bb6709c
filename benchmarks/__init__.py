"""Programs that measure; each is run by hand and says what it prints in README.md."""
