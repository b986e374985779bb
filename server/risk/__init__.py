"""Dishonest and lost parties: standings, losses, proofs, refunds."""
