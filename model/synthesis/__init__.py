"""Making training pairs of photos: the ways to recolour a foreground, and readings of colour checkers."""
