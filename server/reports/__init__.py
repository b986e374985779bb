"""How transfers end: evidence, reports and grants, reversal orders, closings."""
