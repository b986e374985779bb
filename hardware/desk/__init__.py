"""`ecny card desk`: emulated cards on a page, with everything that can happen to them. Debug, insecure, test money."""
