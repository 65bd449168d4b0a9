"""The networks, their weights, and how they are trained and measured."""
