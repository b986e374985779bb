"""The operator's backend."""
