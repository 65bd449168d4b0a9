"""Runners other than the local one, and their options."""
