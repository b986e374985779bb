"""Batches from tills."""
