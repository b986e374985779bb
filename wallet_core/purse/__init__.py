"""The purse as pure decisions."""
