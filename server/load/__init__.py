"""The operator's purse pays value onto cards."""
