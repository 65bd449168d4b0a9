"""What is to be harmonized: manifests, folders and data sets, read as pairs."""
