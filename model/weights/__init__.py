"""Weights files: reading, writing, converting and releasing them."""
