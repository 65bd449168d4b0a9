"""How close a result is to its reference, and how it differs from its composite."""
