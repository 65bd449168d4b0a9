"""The steps of the graph, in the order in which a pair meets them."""
