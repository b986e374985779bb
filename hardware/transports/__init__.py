"""The ways to reach a card."""
