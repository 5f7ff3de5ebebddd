"""Programs with a fault planted in them, each to be caught by a scenario: so the kit can fail."""
