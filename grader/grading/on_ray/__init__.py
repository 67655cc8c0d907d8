"""Grading on a Ray cluster: `course grade --engine ray`. The driver is where the command runs; nodes do the grading."""
