"""Connecting to a cluster, with errors that say what to do."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import socket
from collections.abc import Iterator

from grader.grading.on_ray.errors import ClusterError
from grader.libraries import LibraryMissing, explain_missing

CONNECT_SECONDS = 5.0
_HOST_AND_PORT = re.compile(r"\[?([^\[\]\s/]+)\]?:(\d{1,5})")
NO_CLUSTER = (
    "no Ray cluster is running on this machine; start one (ray start --head), or name one with --address HOST:PORT"
)
BAD_ADDRESS = "the address {address!r} is not HOST:PORT, for example 10.0.0.1:6379 (what `ray start --head` prints)"
BY_CLIENT = (
    "the address {address!r} is one for Ray's client; run this command on a machine of the cluster (one that joined "
    "with `ray start --address=HOST:PORT --num-cpus=0` will do) and give HOST:PORT"
)
NOBODY_THERE = "the Ray cluster at {address} cannot be reached: {reason}; is it running (ray status)?"
NOT_CONNECTED = "the Ray cluster at {address} does not let us in: {reason}"


@contextlib.contextmanager
def connection(address: str | None) -> Iterator[None]:
    """Connect to a cluster for as long as the context lasts; by default RAY_ADDRESS, or the one on this machine.

    A connection that is there already is used, and left open. Raises LibraryMissing, ClusterError.
    """
    if importlib.util.find_spec("ray") is None:
        raise LibraryMissing(explain_missing("ray"))
    wanted = address or os.environ.get("RAY_ADDRESS") or "auto"
    _check(wanted)
    import ray  # only now: that takes seconds

    if ray.is_initialized():
        yield
        return
    # Ray prints what happens to nodes on standard output, which is the result's. The nodes' logs have it, and we tell.
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        _connect(wanted)
        try:
            yield
        finally:
            ray.shutdown()


def _check(address: str) -> None:
    """Raise ClusterError when nobody listens at an address: Ray itself would try for minutes."""
    if address == "auto":
        return
    if "://" in address:
        raise ClusterError(BY_CLIENT.format(address=address))
    match = _HOST_AND_PORT.fullmatch(address)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ClusterError(BAD_ADDRESS.format(address=address))
    try:
        socket.create_connection((match[1], int(match[2])), CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClusterError(NOBODY_THERE.format(address=address, reason=reason)) from None


def _connect(address: str) -> None:
    import logging

    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        if address == "auto":
            raise ClusterError(NO_CLUSTER) from None
        raise ClusterError(NOBODY_THERE.format(address=address, reason=error)) from None
    except (RuntimeError, ValueError, OSError) as error:  # other versions of Ray or Python, no token, not on a node
        reason = " ".join(str(error).split())
        raise ClusterError(NOT_CONNECTED.format(address=address, reason=reason)) from None
