"""Encoded images, by format: bytes to pictures and back."""
