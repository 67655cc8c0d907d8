"""The service as a process: uvicorn around the application, until it is told to stop."""

from __future__ import annotations

import functools
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

import uvicorn

from grader.capstone.errors import CapstoneError
from grader.capstone.serving.index import Index
from grader.capstone.serving.manifest import read_manifest
from grader.capstone.serving.service import create_app
from grader.capstone.serving.settings import Settings

_GRACE = 10  # seconds that requests at work have when the server is told to stop


def run_server(folder: Path, settings: Settings, listening: socket.socket, *, log_level: str = "info") -> None:
    """Serve an exported index on a bound socket until SIGTERM or SIGINT; exits with 0 when the last answer is given.

    Raises CapstoneError, before anything is served, when the folder is not a whole index.
    """
    read_manifest(folder)
    # uvicorn gives its last answers and then passes a signal on, which by default would look like a crash (-15, or a
    # KeyboardInterrupt with its traceback).
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _exit_cleanly)
    app = create_app(functools.partial(Index.load, folder), settings)
    configuration = uvicorn.Config(
        app,
        access_log=False,  # the metrics count requests; a line for each would cost more than many an answer
        log_level=log_level,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    uvicorn.Server(configuration).run(sockets=[listening])


def _exit_cleanly(number: int, frame: object) -> NoReturn:
    sys.exit(0)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 means any that is free. Raises CapstoneError where that cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise CapstoneError(f"cannot listen on {host}, port {port} ({error.strerror}); try another --port") from error
    return listening
