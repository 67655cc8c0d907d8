"""What can go wrong while results are handed on."""

from __future__ import annotations


class GradebookError(RuntimeError):
    """Results could not be written where they belong; the message names the file and what to do about it."""
