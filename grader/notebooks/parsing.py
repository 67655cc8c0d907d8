"""Python's parser, for several threads: that of Python 3.11 may raise SystemError when two of them parse at once."""

from __future__ import annotations

import ast
from threading import Lock

_LOCK = Lock()
_ATTEMPTS = 5


def parse(source: str, filename: str = "<unknown>") -> ast.Module:
    """`ast.parse`, one thread after the other. Raises what that raises.

    The lock keeps our threads apart (cpython issue 106905). A library that parses in a thread of its own does not know
    of it, so a SystemError is tried again; the next attempt starts with a clean count.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            with _LOCK:
                return ast.parse(source, filename)
        except SystemError:
            continue
    with _LOCK:
        return ast.parse(source, filename)
