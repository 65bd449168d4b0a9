"""The steps of the graph: reading, comparing with earlier runs, harmonizing, flagging, writing."""
