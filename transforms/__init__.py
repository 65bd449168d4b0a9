"""Bytes, arrays, colours and scores: the pure core that training, evaluation and the pipeline share."""
