"""What takes the pipeline to Dataflow; none of it is in the wheel."""
