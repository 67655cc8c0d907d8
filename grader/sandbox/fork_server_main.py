"""The server's side of `grader.sandbox.fork_server`: import libraries once, then fork on request.

The server itself runs none of the student's code and holds nothing secret: its children start as copies of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import tempfile
import traceback
from typing import Any

from grader.sandbox import wire
from grader.sandbox.confinement import (
    ConfinementError,
    ConfinementLimits,
    close_other_descriptors,
    confine_this_process,
    readable_paths,
)
from grader.sandbox.student_process import serve
from grader.sandbox.usage import takes_too_much

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.02
_LOOK_SECONDS = 0.05  # how often a child's usage is looked at


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _student_child(job: dict[str, Any], channel: socket.socket, readable: list[str], course_root: str) -> None:
    """Confine this process and serve the submission; report a refusal to confine instead of running anything."""
    directory = job["directory"]
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(PATH="/usr/bin:/bin", LANG="C.UTF-8", HOME=directory, TMPDIR=directory, MPLBACKEND="Agg")
    tempfile.tempdir = directory
    sys.argv = [""]
    sys.path[:] = [entry for entry in sys.path if entry and not _is_of_the_course(entry, course_root)]
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    close_other_descriptors({0, 1, 2, channel.fileno()})
    if job["confine"]:
        limits = ConfinementLimits(job["memory_bytes"], job["cpu_seconds"], job["file_bytes"])
        try:
            confine_this_process(directory, limits, readable, tuple(job["allow_degraded"]))
        except ConfinementError as error:
            wire.send_message(channel, wire.pack({"refused": str(error)}))
            return
    wire.send_message(channel, wire.pack({"ready": True}))
    serve(channel, job["output_bytes"])


def _is_of_the_course(entry: str, course_root: str) -> bool:
    """Whether modules of the course would be found there; an environment inside its folder is not of the course."""
    path = os.path.realpath(entry)
    return path == course_root or (path.startswith(course_root + os.sep) and "-packages" not in entry)


def _checker_child(channel: socket.socket) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    close_other_descriptors({0, 1, 2, channel.fileno()})
    from grader.checking.runner import run_job

    run_job(channel)


class Server:
    """Answers fork and kill requests, and reports children that end."""

    def __init__(self, control: socket.socket, role: str, course_root: str) -> None:
        self.control, self.role, self.course_root = control, role, os.path.realpath(course_root)
        self.readable = readable_paths() if role == "student" else []
        self.children: dict[int, int | None] = {}  # process -> pidfd, where the system has them
        self.deleted_bytes: dict[int, int] = {}  # confined process -> what it may hold in deleted files
        self.selector = selectors.DefaultSelector()
        self.selector.register(control, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until the control socket closes, then kill every child."""
        self._send({"ready": True})
        while True:
            polling = any(descriptor is None for descriptor in self.children.values())
            looking = _LOOK_SECONDS if self.deleted_bytes else None
            events = self.selector.select(_POLL_SECONDS if polling else looking)
            try:
                if any(key.fileobj is self.control for key, _ in events):
                    self._serve_request()
            except (wire.ConnectionClosed, OSError):
                break
            self._reap()
            for process, allowed in self.deleted_bytes.items():
                if takes_too_much(process, allowed):
                    os.kill(process, signal.SIGKILL)
        for process in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _send(self, message: dict[str, Any]) -> None:
        wire.send_message(self.control, wire.pack(message))

    def _serve_request(self) -> None:
        request = wire.unpack(wire.receive_message(self.control))
        if request["op"] == "kill":
            if request["process"] in self.children:  # not reaped yet, so the number is still this child's
                os.kill(request["process"], signal.SIGKILL)
            self._send({"number": request["number"], "op": "kill", "value": request["process"]})
            return
        _, descriptors, _, _ = socket.recv_fds(self.control, 1, 1)
        try:
            process = os.fork()
        except OSError as error:
            os.close(descriptors[0])
            self._send({"number": request["number"], "op": "fork", "value": str(error)})
            return
        if process == 0:
            self._become_child(request["job"], descriptors[0])
        os.close(descriptors[0])
        self._watch(process)
        if request["job"].get("confine"):
            self.deleted_bytes[process] = request["job"]["file_bytes"]
        self._send({"number": request["number"], "op": "fork", "value": process})

    def _become_child(self, job: dict[str, Any], descriptor: int) -> None:
        status = 1
        gc.enable()
        try:
            _die_with_parent()
            self.selector.close()
            channel = socket.socket(fileno=descriptor)
            if self.role == "student":
                self.control.close()
                _student_child(job, channel, self.readable, self.course_root)
            else:
                self.control.close()
                _checker_child(channel)
            status = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)

    def _watch(self, process: int) -> None:
        descriptor = os.pidfd_open(process) if hasattr(os, "pidfd_open") else None
        self.children[process] = descriptor
        if descriptor is not None:
            self.selector.register(descriptor, selectors.EVENT_READ)

    def _reap(self) -> None:
        for process, descriptor in list(self.children.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                del self.children[process]
                self.deleted_bytes.pop(process, None)
                if descriptor is not None:
                    self.selector.unregister(descriptor)
                    os.close(descriptor)
                self._send({"ended": process, "status": status})


def main() -> None:
    """Entry point: `python -m grader.sandbox.fork_server_main DESCRIPTOR ROLE MODULES COURSE_ROOT ALSO`."""
    descriptor, role, modules, course_root, also = sys.argv[1:6]
    control = socket.socket(fileno=int(descriptor))
    control.set_inheritable(False)
    # No `_die_with_parent` here: to the kernel the parent is the thread that started this process, and that thread may
    # end long before the client does. The client's end closes the control socket, which ends this process too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the client's to handle
    gc.disable()  # imports make no garbage to speak of; looking for it costs a fifth of TensorFlow's import
    for module in filter(None, modules.split(",")):
        importlib.import_module(module)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if role == "student":
        for module in ("sandlock", *filter(None, also.split(","))):
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
    else:
        importlib.import_module("grader.checking.runner").warm_up()
    gc.freeze()  # keeps the collector off the libraries' objects, so that children share their memory
    Server(control, role, course_root).run()


if __name__ == "__main__":
    main()
