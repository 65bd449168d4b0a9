"""Making training pairs of photos: measured changes of illumination, and the colour checkers they are measured with."""
