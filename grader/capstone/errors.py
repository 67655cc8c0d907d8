"""The capstone's one kind of error that a person can mend."""

from __future__ import annotations


class CapstoneError(RuntimeError):
    """Something the capstone was given cannot be used; the message says what, where, and how to mend it."""
