"""A server in a process of its own, for as long as somebody tries it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
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
    listening = listen(_LOOPBACK, 0)
    server = ServerProcess(f"http://{_LOOPBACK}:{listening.getsockname()[1]}")
    context = multiprocessing.get_context("spawn")  # a fork would inherit threads of torch and onnxruntime half alive
    process = context.Process(
        target=run_server, args=(folder, settings, listening), kwargs={"log_level": "warning"}, daemon=True
    )
    process.start()
    listening.close()  # the server's copy alone: once it is gone, connections must fail
    try:
        _wait_until_ready(server.url, process)
        yield server
    finally:
        process.terminate()
        process.join(_STOP_SECONDS)
        server.exit_code = process.exitcode
        if process.is_alive():
            process.kill()
            process.join()


def _wait_until_ready(url: str, process: BaseProcess) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with httpx.Client(base_url=url, timeout=_ANSWER_SECONDS, verify=False, trust_env=False) as client:
        while time.monotonic() < deadline and process.is_alive():
            try:
                if client.get(READY).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
    raise CapstoneError("the server did not get ready; start it with `course capstone serve` and look at what it says")
