"""Evaluation: scores of every pair of a data set, tables and pictures, and the command."""
