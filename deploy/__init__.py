"""What runs the pipeline on Dataflow; the wheel holds none of it."""
