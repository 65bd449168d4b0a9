"""Training on a machine that is at hand for minutes only: all it needs in one small file, and a training from that."""
