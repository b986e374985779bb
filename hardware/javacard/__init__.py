"""The purse applet on a simulated Java Card chip: a JVM as a card in a reader."""
