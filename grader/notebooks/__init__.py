"""Notebooks in both directions: building them from the reference, and reading what students hand in."""
