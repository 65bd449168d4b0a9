"""The tables around a catalog: manifests, folders and data sets, read as pairs, and the rows that a run writes."""
