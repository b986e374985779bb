"""Everything between a host and a card."""
