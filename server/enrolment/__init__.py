"""Cards and tills get their certificates here."""
