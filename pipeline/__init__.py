"""The Apache Beam graph that harmonizes a catalog, and its command."""
