"""Runs the checks of one exercise against one submission, in a process that is trusted and forked for it.

It asks the scheduling process for a student's process when it needs one, and sends back the results. A check file is
imported here, never in the student's process.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import hypothesis.core  # noqa: F401  (warm before the fork)
import pytest
from hypothesis import given, settings, strategies
from hypothesis import seed as seeded

from grader.checking import comparison  # noqa: F401  (warm before the fork)
from grader.checking.plugin import CheckJob, CheckPlugin
from grader.checking.record import CheckRecord
from grader.sandbox import wire
from grader.sandbox.proxy import Session, SocketTransport, StudentCrashed, StudentTimeout

MAX_TRACES_BYTES = wire.MAX_MESSAGE_BYTES // 2  # there are messages and output beside them

# Without: caching, the terminal (results travel as records), the capturing of log messages, which nobody reads, and two
# plugins that run the garbage collector at the end.
_WITHOUT = (
    "cacheprovider",
    "terminal",
    "logging",
    "faulthandler",
    "unraisableexception",
    "threadexception",
    "junitxml",
    "pastebin",
)
_PYTEST_ARGUMENTS = [
    *(part for name in _WITHOUT for part in ("-p", f"no:{name}")),
    "--import-mode=importlib",
    "--assert=plain",  # messages are the check's own words: pytest's would show the expected values
]
# What a check meets first is looked up only then: to draw a number without bounds, hypothesis reads the source of every
# module that is loaded; to make an example smaller and to show it, it imports and caches as well.
_WARM_UP_CHECK = '''
import numpy as np
from hypothesis import example, given, strategies as st
from grader.checking import assert_close, points


@points(1)
@given(number=st.integers(), ratio=st.floats(0, 1), table=st.lists(st.tuples(st.integers(0, 3), st.booleans())))
@example(number=0, ratio=0.5, table=[])
def test_nothing(student, rng, number, ratio, table):
    """Nothing."""
    assert_close(np.float64(number), float(number))
    assert_close(rng.random(3) * ratio, np.ones(3), atol=1.0)


@points(1)
@given(number=st.integers(0, 100))
def test_something_that_fails(student, number):
    """Something."""
    assert_close(np.arange(3.0) + number, np.arange(3.0))
'''


@dataclass(frozen=True)
class CheckRun:
    """What running the checks gave: results in file order, the results' traces by check, remarks, captured output."""

    results: tuple[CheckRecord, ...]
    traces: dict[str, Any]
    remarks: tuple[str, ...]
    output: str
    problem: str = ""


def run_checks(checks_path: Path, job: CheckJob) -> CheckRun:
    """Run a check file with pytest inside this process and collect what the plugin recorded."""
    plugin = CheckPlugin()
    plugin.begin(job)
    code = pytest.main(_arguments(checks_path), plugins=[plugin])
    ended_well = code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    return _outcome(plugin, "" if ended_well else f"pytest ended with {code!r}")


def _arguments(checks_path: Path) -> list[str]:
    return [*_PYTEST_ARGUMENTS, f"--rootdir={checks_path.parent}", "-c", "/dev/null", str(checks_path)]


def _outcome(plugin: CheckPlugin, end: str) -> CheckRun:
    problem = ""
    if plugin.collection_errors:
        problem = "The checks could not be imported:\n" + "\n".join(plugin.collection_errors)[-3000:]
    elif end or not plugin.results:
        problem = f"The checks did not run ({end or 'there are none of these names'})."
    output = "".join(plugin.session.output)
    return CheckRun(tuple(plugin.results), plugin.traces, tuple(plugin.remarks), output, problem)


@seeded(0)
@settings(max_examples=200, database=None)
@given(number=strategies.integers())
def look_at_loaded_modules(number: int) -> None:
    """Let hypothesis look for constants in all modules that are loaded; it remembers which it has seen.

    It looks when it is about to draw one, in one number of twenty: after two hundred it has looked.
    """


def warm_up() -> None:
    """Run a check that passes and one that fails, so that what pytest and hypothesis load on first use is loaded
    before a fork."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "test_warm_up.py"
        path.write_text(_WARM_UP_CHECK)
        run_checks(path, CheckJob(session=Session(), load=lambda _: [], explain_end=str, stop=str))


class _StopBeforeTheFirst:
    """Stops pytest between collecting and running, so that a fork can go on from there once for every submission."""

    def __init__(self, plugin: CheckPlugin, serve: Callable[[Callable[[socket.socket], None]], None]) -> None:
        self._plugin, self._serve = plugin, serve

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve jobs in the place of the usual loop."""
        self._serve(lambda channel: _run_job(channel, self._plugin, session))
        return True


def serve_checks(checks_path: Path, serve: Callable[[Callable[[socket.socket], None]], None]) -> None:
    """Import a check file once, and let `serve` answer with forks of this process.

    `serve` is given the function that a fork calls with its channel: it reads a job from there, runs the checks, and
    sends the results. It returns when there is nothing more to serve.
    """
    # Python takes cached bytecode for current when second and size of the source agree: a check that was corrected and
    # put back within a second would go on grading in the form that is no longer on disk.
    sys.dont_write_bytecode = True
    plugin = CheckPlugin()
    pytest.main([*_arguments(checks_path), "--capture=no"], plugins=[plugin, _StopBeforeTheFirst(plugin, serve)])


class RemoteLoader:
    """Gets student processes from the scheduling process and loads the submission into them."""

    def __init__(self, channel: socket.socket, job: dict[str, Any], seed: int, student: socket.socket | None) -> None:
        """`student` is the line to a process of the same submission that is free, if there is one."""
        self._channel, self._job, self._seed = channel, job, seed
        self._deadline = time.monotonic() + job["total_seconds"]
        self.student = student

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        wire.send_message(self._channel, wire.pack(message))
        answer: dict[str, Any] = wire.unpack(wire.receive_message(self._channel))
        return answer

    def load(self, session: Session) -> list[str]:
        """Connect the session to a process with the submission freshly loaded. Raises StudentUnavailable."""
        if self.student is not None:
            try:
                return self._load(session, self.student)
            except StudentCrashed:
                self.explain_end()
        self.student = self._connect()
        return self._load(session, self.student)

    def _connect(self) -> socket.socket:
        answer = self._ask({"op": "spawn"})
        if "problem" in answer:
            raise StudentCrashed(answer["problem"])
        _, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
        student = socket.socket(fileno=descriptors[0])
        try:
            greeting = wire.unpack(wire.receive_message(student, 30.0))
        except (wire.ConnectionClosed, wire.WireError, TimeoutError) as error:
            raise StudentCrashed(f"its process did not start: {error}") from None
        if "refused" in greeting:
            raise StudentCrashed(f"its process could not be confined: {greeting['refused']}")
        return student

    def _load(self, session: Session, student: socket.socket) -> list[str]:
        load_seconds = max(1.0, min(self._job["load_seconds"], self._deadline - time.monotonic()))
        transport = SocketTransport(student, load_seconds, session.from_handle)
        session.transport = transport
        session.last_call = "Loading the notebook"
        remarks = session.ask(
            {"op": "load", "cells": self._job["cells"], "forbidden": self._job["forbidden"], "seed": self._seed},
            "Loading the notebook",
            "notebook",
        )
        session.last_call = ""
        transport.seconds = self._job["seconds"]
        return [str(remark)[:500] for remark in remarks[:100]] if isinstance(remarks, list) else []

    def explain_end(self) -> str:
        """Say what ended the student's process, which has closed its line."""
        self.student = None
        return str(self._ask({"op": "kill", "has_ended": True}).get("reason", ""))

    def stop(self) -> None:
        """Have the student's process ended for good."""
        self.student = None
        self._ask({"op": "kill", "has_ended": False})


def _run_job(channel: socket.socket, plugin: CheckPlugin, session: pytest.Session) -> None:
    """Serve one job in a forked checker: read it from the channel, run it, send the results, end."""
    job = wire.unpack(wire.receive_message(channel))
    student = None
    for seed in job["seeds"]:
        run, student = _run_seed(channel, plugin, session, job, seed, student)
        _send_finished(channel, job, run)


def _run_seed(
    channel: socket.socket,
    plugin: CheckPlugin,
    session: pytest.Session,
    job: dict[str, Any],
    seed: int,
    student: socket.socket | None,
) -> tuple[CheckRun, socket.socket | None]:
    """Run the checks with one seed; the line to the submission's process is for the next, if it is still there."""
    loader = RemoteLoader(channel, job, seed, student)
    plugin.begin(
        CheckJob(
            session=Session(),
            load=loader.load,
            explain_end=loader.explain_end,
            stop=loader.stop,
            seed=seed,
            only=frozenset(job["only"]),
            total_seconds=job["total_seconds"],
            stop_at_first=job["stop_at_first"],
            on_result=lambda record: wire.send_message(channel, wire.pack({"op": "result", "check": record.to_dict()})),
        )
    )
    try:
        plugin.pytest_runtestloop(session)
        for item, following in zip_longest(session.items, session.items[1:]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return _outcome(plugin, ""), loader.student
    except (StudentTimeout, StudentCrashed, KeyboardInterrupt, pytest.exit.Exception) as error:
        return CheckRun(tuple(plugin.results), {}, (), "", f"The checks stopped: {error}"), loader.student


def _send_finished(channel: socket.socket, job: dict[str, Any], run: CheckRun) -> None:
    finished = {
        "op": "finished",
        "traces": _packed_traces(run.traces) if job["trace"] else b"",
        "remarks": list(run.remarks),
        "output": run.output[: job["output_bytes"]],
        "problem": run.problem,
    }
    wire.send_message(channel, wire.pack(finished))


def _packed_traces(traces: dict[str, Any]) -> bytes:
    """As bytes, which are only read where somebody wants them; none when they are too large or nested too deep."""
    try:
        packed = wire.pack(traces, _opaque)
    except wire.WireError:
        return b""
    return packed if len(packed) <= MAX_TRACES_BYTES else b""


def _opaque(value: Any) -> wire.HandleReference:
    """Results that are objects of the student's process are compared by class only."""
    names = getattr(value, "class_names", ())
    return wire.HandleReference(0, tuple(names[:1]))
