"""Training: samples, recipe, loop, checkpoints, and the command."""
