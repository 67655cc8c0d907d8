"""Warm processes that fork: importing torch or TensorFlow takes seconds, forking a process that has them takes
milliseconds.

`ForkServer` is the client's side; the server's side is `grader.sandbox.fork_server_main`. The first server is started
as a new process and knows next to nothing; all others are branches of it or of each other (`Stage` says what they add),
so that what two of them need is imported once. A server that serves forks a child for every job. Each child and each
branch gets one end of a socket pair, passed over the control socket.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from grader.sandbox import wire

START_TIMEOUT_SECONDS = 180.0
FORK_TIMEOUT_SECONDS = 30.0


class Serves(Enum):
    """What a server's children do; those that serve nothing, or what checkers need, are there to branch from."""

    NOTHING = "nothing"
    STUDENTS = "students"  # confine themselves and run a submission
    CHECKERS = "checkers"
    CHECKS = "checks"  # run the checks of one exercise; they are trusted


@dataclass(frozen=True)
class Stage:
    """What a branch adds to the server it is forked from.

    `also` names modules to import where they are installed; `checks_path` is the file that servers of CHECKS import.
    """

    name: str
    serves: Serves = Serves.NOTHING
    modules: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    checks_path: Path | None = None


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


def clean_environment() -> dict[str, str]:
    """The environment a server starts with: nothing of the caller's, and one thread a library."""
    return {
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
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONHASHSEED": "0",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


class ForkServer:
    """A warm process on this machine. Thread-safe; `close` ends it, its children and its branches."""

    def __init__(self, name: str, control: socket.socket, work_directory: Path, course_root: Path) -> None:
        """Use `start` or `branch`. `control` is our end of the server's control socket."""
        self.name = name
        self._control, self._work_directory, self._course_root = control, work_directory, course_root
        self._error_log = work_directory / f"{name}.log"
        self._started: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._answers: dict[int, Any] = {}
        self._answered = threading.Condition()
        self._children: dict[int, Child] = {}
        self._channels: dict[int, socket.socket] = {}
        self._next_request = 0
        self._dead: str = ""
        self._ready = threading.Event()
        self._process_id: int | None = None
        self._reader = threading.Thread(target=self._read, name=name, daemon=True)

    @classmethod
    def start(cls, work_directory: Path, course_root: Path) -> ForkServer:
        """Start the first server, as a new process. `work_directory` takes logs and what libraries write on import."""
        ours, theirs = socket.socketpair()
        server = cls("first", ours, work_directory, course_root)
        environment = {**clean_environment(), "TMPDIR": str(work_directory), "MPLCONFIGDIR": str(work_directory)}
        command = [sys.executable, "-s", "-P", "-W", "ignore", "-m", "grader.sandbox.fork_server_main"]
        try:
            with server._error_log.open("ab") as log:
                server._started = subprocess.Popen(
                    [*command, str(theirs.fileno())],
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
        server._process_id = server._started.pid
        server._reader.start()
        return server

    def branch(self, stage: Stage) -> ForkServer:
        """Fork a server from this one; it imports its libraries while the caller goes on (see `wait_until_ready`).

        Raises ForkServerError when this server is dead.
        """
        ours, theirs = socket.socketpair()
        server = ForkServer(stage.name, ours, self._work_directory, self._course_root)
        root = str(self._course_root)
        description = {
            "serves": stage.serves.value,
            "modules": list(stage.modules),
            "also": list(stage.also),
            "checks_path": str(stage.checks_path or ""),
            "course_root": root,
            "environment": {"COURSE_ROOT": root} if stage.serves is Serves.CHECKERS else {},
            "log": str(server._error_log),
        }
        try:
            self._send({"op": "branch", "stage": description}, theirs=theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        server._reader.start()
        return server

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
        return not self._dead and (self._started is None or self._started.poll() is None)

    @property
    def process_id(self) -> int | None:
        """Process number of the server; None for a branch that is not there yet."""
        return self._process_id

    @property
    def has_children(self) -> bool:
        """Whether a child is at work."""
        return bool(self._children)

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
        if self._started is not None:
            try:
                self._started.wait(5)
            except subprocess.TimeoutExpired:
                self._started.kill()
                self._started.wait()
        self._reader.join(2)
        self._control.close()

    # -- the control socket --------------------------------------------------------------------------------------

    def _send(
        self, message: dict[str, Any], ours: socket.socket | None = None, theirs: socket.socket | None = None
    ) -> int:
        """Send a request, with one end of a socket pair where it takes one; returns the request's number."""
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
        return number

    def _request(
        self, message: dict[str, Any], ours: socket.socket | None = None, theirs: socket.socket | None = None
    ) -> Any:
        number = self._send(message, ours, theirs)
        deadline = time.monotonic() + FORK_TIMEOUT_SECONDS
        with self._answered:
            while number not in self._answers:
                if self._dead or time.monotonic() > deadline:
                    raise ForkServerError(self._explain())
                self._answered.wait(0.5)
            answer = self._answers.pop(number)
        if isinstance(answer, str):
            raise ForkServerError(f"the warm process {self.name!r} could not fork: {answer}")
        return answer

    def _read(self) -> None:
        try:
            while True:
                message = wire.unpack(wire.receive_message(self._control))
                if "ready" in message:
                    self._process_id = message["ready"]
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
        return f"the warm process {self.name!r} is gone: {reason}\n{tail}".strip()
