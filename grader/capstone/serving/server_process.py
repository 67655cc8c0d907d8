"""A server in a process of its own, for as long as somebody tries it: `serving` starts it, `main` runs in it."""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from grader.capstone.errors import CapstoneError
from grader.capstone.serving.server import listen, run_server
from grader.capstone.serving.service import READY
from grader.capstone.serving.settings import Settings

_LOOPBACK = "127.0.0.1"
_START_SECONDS = 60
_STOP_SECONDS = 15
_ANSWER_SECONDS = 5


@dataclass
class ServerProcess:
    """A running server and, once it was stopped, how it ended."""

    url: str
    exit_code: int | None = None


@contextmanager
def serving(folder: Path, settings: Settings) -> Iterator[ServerProcess]:
    """A server in a process of its own, on any free port of loopback, ready to answer; stopped at the end.

    Raises CapstoneError when it does not get ready.
    """
    with listen(_LOOPBACK, 0) as listening:
        server = ServerProcess(f"http://{_LOOPBACK}:{listening.getsockname()[1]}")
        number = listening.fileno()
        command = [sys.executable, "-m", __spec__.name, str(folder), str(number)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, pass_fds=[number])
    # From here on the socket is the server's alone: once it is gone, connections must fail.
    try:
        assert process.stdin is not None
        with process.stdin:  # and not an argument, because the key is in it
            json.dump(dataclasses.asdict(settings), process.stdin)
        _wait_until_ready(server.url, process)
        yield server
    finally:
        process.terminate()
        try:
            server.exit_code = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Serve the folder and the socket of the command line with the settings that come on standard input."""
    folder, number = sys.argv[1:]
    settings = Settings(**json.load(sys.stdin))
    run_server(Path(folder), settings, socket.socket(fileno=int(number)), log_level="warning")


def _wait_until_ready(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with httpx.Client(base_url=url, timeout=_ANSWER_SECONDS, verify=False, trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(READY).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
    raise CapstoneError("the server did not get ready; start it with `course capstone serve` and look at what it says")


if __name__ == "__main__":
    main()
