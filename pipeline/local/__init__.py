"""A run on this machine: worker processes, memory, and what happens when one of them dies."""
