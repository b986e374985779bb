"""The central bank's side of the test set-up."""
