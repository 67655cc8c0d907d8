"""Grading many submissions: scheduling, journal, results."""
