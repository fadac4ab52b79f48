"""Foreign arrays in: taken once, checked once."""
