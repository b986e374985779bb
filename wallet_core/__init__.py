"""What must be true of money and messages, without input or output."""
