"""Warm processes that fork: importing torch or TensorFlow takes seconds, forking a process that has them takes
milliseconds.

`ForkServer` is the client's side; the server's side is `grader.sandbox.fork_server_main`. One server runs for a set of
libraries and a role: `student` (children confine themselves and run a submission) or `checker` (children run the
checks; they are trusted). Each child gets one end of a socket pair, passed over the control socket.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from grader.sandbox import wire

START_TIMEOUT_SECONDS = 180.0
FORK_TIMEOUT_SECONDS = 30.0


class Role(Enum):
    """What a server's children do."""

    STUDENT = "student"
    CHECKER = "checker"


class ForkServerError(RuntimeError):
    """The warm process could not be started, or has died."""


@dataclass
class Child:
    """One forked process and our end of its channel.

    `status` is its wait status once it has ended; `done` is set then.
    """

    process: int
    channel: socket.socket
    status: int | None = None
    done: threading.Event = field(default_factory=threading.Event)


PRELOADS: dict[Role, dict[str, tuple[str, ...]]] = {
    Role.STUDENT: {
        "python": (),
        "numpy": ("numpy",),
        "torch": ("numpy", "torch"),
        "tensorflow": ("numpy", "tensorflow", "keras"),
        "transformers": ("numpy", "torch", "transformers"),
    },
    Role.CHECKER: {"numpy": ("numpy",), "torch": ("numpy", "torch")},
}


def clean_environment(role: Role) -> dict[str, str]:
    """The environment a server starts with: nothing of the caller's for students, one thread a library."""
    kept = {} if role is Role.STUDENT else {"COURSE_ROOT": os.environ.get("COURSE_ROOT", "")}
    return {
        **{name: value for name, value in kept.items() if value},
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "CUDA_VISIBLE_DEVICES": "",
        "MALLOC_ARENA_MAX": "2",
        "MPLBACKEND": "Agg",
        "HF_HUB_OFFLINE": "1",
        "PYTHONHASHSEED": "0",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


class ForkServer:
    """A warm process on this machine. Thread-safe; `close` ends it and all its children."""

    def __init__(
        self, role: Role, framework: str, work_directory: Path, course_root: Path, also: Sequence[str] = ()
    ) -> None:
        """Start the process; it imports its libraries while the caller goes on (see `wait_until_ready`).

        `also` names modules to import beside those of the framework, where they are installed. `work_directory` is
        where temporary files of the imports go. Raises ForkServerError for an unknown framework.
        """
        if framework not in PRELOADS[role]:
            raise ForkServerError(f"no warm process is known for framework {framework!r}")
        self.role, self.framework = role, framework
        self._lock = threading.Lock()
        self._answers: dict[int, Any] = {}
        self._answered = threading.Condition()
        self._children: dict[int, Child] = {}
        self._channels: dict[int, socket.socket] = {}
        self._next_request = 0
        self._dead: str = ""
        self._ready = threading.Event()
        ours, theirs = socket.socketpair()
        self._control = ours
        environment = {**clean_environment(role), "TMPDIR": str(work_directory), "MPLCONFIGDIR": str(work_directory)}
        command = [sys.executable, "-s", "-P", "-W", "ignore", "-m", "grader.sandbox.fork_server_main"]
        arguments = [
            str(theirs.fileno()),
            role.value,
            ",".join(PRELOADS[role][framework]),
            str(course_root),
            ",".join(also),
        ]
        self._error_log = work_directory / f"{role.value}-{framework}.log"
        try:
            with self._error_log.open("ab") as log:
                self._process = subprocess.Popen(
                    command + arguments,
                    cwd=work_directory,
                    env={**environment, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        finally:
            theirs.close()
        self._reader = threading.Thread(target=self._read, name=f"{role.value}-{framework}", daemon=True)
        self._reader.start()

    def wait_until_ready(self, timeout: float = START_TIMEOUT_SECONDS) -> None:
        """Wait for the imports. Raises ForkServerError with the end of the process's log when it died instead."""
        deadline = time.monotonic() + timeout
        while not self._ready.wait(0.05):
            if self._dead or time.monotonic() > deadline:
                raise ForkServerError(self._explain())
        if self._dead:
            raise ForkServerError(self._explain())

    @property
    def is_alive(self) -> bool:
        """False once the process has died or was closed."""
        return not self._dead and self._process.poll() is None

    @property
    def process_id(self) -> int:
        """Process number of the server."""
        return self._process.pid

    def fork(self, job: dict[str, Any]) -> Child:
        """Fork a child with a fresh channel. Raises ForkServerError when the server is dead."""
        self.wait_until_ready()
        ours, theirs = socket.socketpair()
        try:
            return self._request({"op": "fork", "job": job}, ours, theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    def kill(self, child: Child, timeout: float = 10.0) -> int | None:
        """Kill a child and wait for its end. Returns its wait status, None when the server died first."""
        try:
            if not child.done.is_set() and self.is_alive:
                self._request({"op": "kill", "process": child.process})
            child.done.wait(timeout)
        except ForkServerError:
            return None
        finally:
            child.channel.close()
        return child.status

    def close(self) -> None:
        """End the server; its children go with it."""
        self._dead = self._dead or "closed"
        try:
            self._control.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if not self._ready.is_set():
            self._process.kill()  # it is importing, does not listen, and has no children
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(2)
        self._control.close()

    # -- the control socket --------------------------------------------------------------------------------------

    def _request(
        self, message: dict[str, Any], ours: socket.socket | None = None, theirs: socket.socket | None = None
    ) -> Any:
        with self._lock:
            if self._dead:
                raise ForkServerError(self._explain())
            self._next_request += 1
            number = self._next_request
            if ours is not None:
                self._channels[number] = ours
            try:
                wire.send_message(self._control, wire.pack({**message, "number": number}))
                if theirs is not None:
                    socket.send_fds(self._control, [b"f"], [theirs.fileno()])
            except (wire.ConnectionClosed, OSError) as error:
                self._dead = self._dead or str(error)
                raise ForkServerError(self._explain()) from None
        deadline = time.monotonic() + FORK_TIMEOUT_SECONDS
        with self._answered:
            while number not in self._answers:
                if self._dead or time.monotonic() > deadline:
                    raise ForkServerError(self._explain())
                self._answered.wait(0.5)
            answer = self._answers.pop(number)
        if isinstance(answer, str):
            raise ForkServerError(f"the warm {self.framework} process could not fork: {answer}")
        return answer

    def _read(self) -> None:
        try:
            while True:
                message = wire.unpack(wire.receive_message(self._control))
                if "ready" in message:
                    self._ready.set()
                    continue
                with self._answered:
                    if "ended" in message:
                        process = message["ended"]
                        child = self._children.pop(process, None)
                        if child is not None:
                            child.status = message["status"]
                            child.done.set()
                    else:
                        number, value = message["number"], message["value"]
                        channel = self._channels.pop(number, None)
                        if channel is not None and isinstance(value, int):
                            # Known from this moment on, so that a child's early end is not lost.
                            self._children[value] = child = Child(value, channel)
                            value = child
                        self._answers[number] = value
                    self._answered.notify_all()
        except Exception as error:  # whatever it is, nobody may go on waiting for this process
            with self._answered:
                self._dead = self._dead or str(error) or "ended"
                for child in self._children.values():
                    child.done.set()
                self._answered.notify_all()

    def _explain(self) -> str:
        tail = ""
        if self._error_log.exists():
            tail = self._error_log.read_text(errors="replace")[-1500:].strip()
        reason = self._dead or "no answer"
        return f"the warm {self.framework} process ({self.role.value}) is gone: {reason}\n{tail}".strip()
