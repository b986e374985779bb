"""Does a card keep the specification? Numbered requirements, one check each, with the exchange that shows it."""
