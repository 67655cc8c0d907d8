"""The server's side of `grader.sandbox.fork_server`: import libraries once, then fork on request.

A server forks two things. A *child* serves one submission and ends. A *branch* imports more and becomes a server
itself, so that what two servers have in common is imported once and lies in memory once.

No server runs any of the student's code, and those that students' processes are forked from hold nothing secret: their
children start as copies of them.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.random  # noqa: F401  (numpy loads it when it is first used: here, once, rather than in every process)

from grader.sandbox import wire
from grader.sandbox.confinement import (
    ConfinementError,
    ConfinementLimits,
    close_other_descriptors,
    confine_this_process,
    readable_paths,
)
from grader.sandbox.forbidden import forbidden
from grader.sandbox.library_settings import keep_torch_on_one_thread, leave_tensorflow_graphs_as_they_are
from grader.sandbox.student_process import serve
from grader.sandbox.usage import takes_too_much

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_POLL_SECONDS = 0.02
_LOOK_SECONDS = 0.05  # how often a child's usage is looked at


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _name_this_process(name: str) -> None:
    """Set the name that `ps` and `top` show; the kernel keeps 15 letters of it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f"course:{name}".encode()[:15], 0, 0, 0)


class _Restrictions:
    """What exercises forbid, looked up here rather than in every child: it takes a look at all that is loaded, which in
    a child is copied by being looked at."""

    def __init__(self) -> None:
        self.looked_up: dict[tuple[str, ...], forbidden] = {}

    def look_up(self, job: dict[str, Any]) -> None:
        """Look up what a job forbids, unless that is known. A failure is left to the child, which reports it."""
        names = tuple(job.get("forbidden", ()))
        if names in self.looked_up:
            return
        restrictions = forbidden(names)
        with contextlib.suppress(Exception):
            with restrictions:
                pass
            self.looked_up[names] = restrictions
        gc.freeze()


def _student_child(
    job: dict[str, Any],
    channel: socket.socket,
    readable: list[str],
    course_root: str,
    looked_up: dict[tuple[str, ...], forbidden],
) -> None:
    """Confine this process and serve the submission; report a refusal to confine instead of running anything."""
    _name_this_process("job")
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
    serve(channel, job["output_bytes"], looked_up)


def _is_of_the_course(entry: str, course_root: str) -> bool:
    """Whether modules of the course would be found there; an environment inside its folder is not of the course."""
    path = os.path.realpath(entry)
    return path == course_root or (path.startswith(course_root + os.sep) and "-packages" not in entry)


class Server:
    """Answers requests for children, branches and their end, and reports those that have ended.

    `serve_child` is what a child does with its job and its channel; `prepare` is done here before the fork.
    """

    def __init__(
        self,
        control: socket.socket,
        serve_child: Callable[[dict[str, Any], socket.socket], None],
        prepare: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self.control, self.serve_child, self.prepare = control, serve_child, prepare
        self.children: dict[int, int | None] = {}  # process -> pidfd, where the system has them
        self.deleted_bytes: dict[int, int] = {}  # confined process -> what it may hold in deleted files
        self.selector = selectors.DefaultSelector()
        self.selector.register(control, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until the control socket closes, then kill every child."""
        self._send({"ready": os.getpid()})
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
        if request["op"] == "fork":
            self.prepare(request["job"])
        try:
            process = os.fork()
        except OSError as error:
            os.close(descriptors[0])  # of a branch, the client sees that its line ends
            if request["op"] == "fork":
                self._send({"number": request["number"], "op": "fork", "value": str(error)})
            return
        if process == 0:
            self._become(request, socket.socket(fileno=descriptors[0]))
        os.close(descriptors[0])
        self._watch(process)
        if request["op"] == "fork":
            if request["job"].get("confine"):
                self.deleted_bytes[process] = request["job"]["file_bytes"]
            self._send({"number": request["number"], "op": "fork", "value": process})

    def _become(self, request: dict[str, Any], channel: socket.socket) -> None:
        """Be the child or the branch that was asked for, to its end."""
        status = 1
        try:
            _die_with_parent()
            self.selector.close()
            self.control.close()
            if request["op"] == "branch":
                become_branch(channel, request["stage"])
            else:
                gc.enable()
                self.serve_child(request["job"], channel)
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


def become_branch(control: socket.socket, stage: dict[str, Any]) -> None:
    """Import what a stage adds, and serve until the control socket closes; the stages are `fork_server.Stage`."""
    log = os.open(stage["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    _name_this_process(Path(stage["log"]).stem)
    os.environ.update(stage["environment"])
    inherits_torch = "torch" in sys.modules
    for module in stage["modules"]:
        importlib.import_module(module)
    for module in stage["also"]:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    if "torch" in stage["modules"] and not inherits_torch:
        keep_torch_on_one_thread()
    if "tensorflow" in stage["modules"]:
        leave_tensorflow_graphs_as_they_are()
    if stage["serves"] == "checks":
        _serve_checks(control, Path(stage["checks_path"]))
        return
    if stage["serves"] == "checkers":
        importlib.import_module("grader.checking.runner").warm_up()
    gc.freeze()  # keeps the collector off the libraries' objects, so that children share their memory
    if stage["serves"] == "students":
        readable, course_root = readable_paths(), os.path.realpath(stage["course_root"])
        restrictions = _Restrictions()

        def serve_student(job: dict[str, Any], channel: socket.socket) -> None:
            _student_child(job, channel, readable, course_root, restrictions.looked_up)

        Server(control, serve_student, restrictions.look_up).run()
    else:
        Server(control, _no_child).run()


def _serve_checks(control: socket.socket, checks_path: Path) -> None:
    from grader.checking.runner import look_at_loaded_modules, serve_checks

    def serve(run_job: Callable[[socket.socket], None]) -> None:
        def checker_child(_: dict[str, Any], channel: socket.socket) -> None:
            _name_this_process("job")
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 1)
            close_other_descriptors({0, 1, 2, channel.fileno()})
            run_job(channel)

        look_at_loaded_modules()  # the check file's are new
        gc.freeze()
        Server(control, checker_child).run()

    serve_checks(checks_path, serve)


def _no_child(job: dict[str, Any], channel: socket.socket) -> None:
    raise RuntimeError("only branches are forked from here")


def main() -> None:
    """Entry point, `python -m grader.sandbox.fork_server_main DESCRIPTOR`: the server that all others branch from."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    _name_this_process("first")
    # No `_die_with_parent` here: to the kernel the parent is the thread that started this process, and that thread may
    # end long before the client does. The client's end closes the control socket, which ends this process too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the client's to handle
    gc.disable()  # imports make no garbage to speak of; looking for it costs a fifth of TensorFlow's import
    Server(control, _no_child).run()


if __name__ == "__main__":
    main()
