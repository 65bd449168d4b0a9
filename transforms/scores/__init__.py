"""How good a result is, and how much it differs."""
