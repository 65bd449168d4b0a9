"""Harmonize image catalogs: a pasted foreground gets the light and colour of its background."""
