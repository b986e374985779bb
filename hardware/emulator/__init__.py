"""A hard wallet in software."""
