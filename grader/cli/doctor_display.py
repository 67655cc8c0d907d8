"""What `course doctor` finds out and shows."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from grader.course import Course, CourseError, load_course
from grader.libraries import how_to_install
from grader.sandbox.confinement import MAY_DEGRADE, Protection, available_protections, landlock_abi


class Verdict(Enum):
    """What a finding means."""

    GOOD = "ok"
    DEGRADED = "degraded"  # missing, but the configuration allows it
    OPTIONAL = "not installed"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what to do about it."""

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


_PROTECTIONS = {
    Protection.FILES: (
        "no file but the libraries and its own folder can be read or written",
        "needs Landlock 4, Linux 6.7+",
    ),
    Protection.NETWORK: ("no socket of any kind", "needs seccomp on x86_64 or aarch64 Linux"),
    Protection.PROCESSES: ("no new process or program", "needs seccomp on x86_64 or aarch64 Linux"),
    Protection.SIGNALS: ("no signal to another process", "needs seccomp on x86_64 or aarch64 Linux"),
    Protection.SIGNAL_SCOPE: ("the same again, by Landlock", "needs Linux 6.12"),
    Protection.ABSTRACT_SOCKET_SCOPE: ("no abstract socket, by Landlock", "needs Linux 6.12"),
    Protection.TRACING: ("no look into another process's memory", "needs seccomp on x86_64 or aarch64 Linux"),
    Protection.LIMITS: ("memory, processor time, file size and open files are bounded", "needs Linux"),
}
_LIBRARIES = (
    ("numpy", True),
    ("torch", True),
    ("hypothesis", True),
    ("sandlock", True),
    ("tensorflow", False),
    ("nbgrader", False),
    ("jupytext", False),
    ("transformers", False),
    ("fastapi", False),
    ("ray", False),
)
ALLOW = 'name it under [sandbox] allow_degraded in course.toml to grade without it, for example ["{name}"]'
MIN_FREE_GIGABYTES = 1


def examine_and_show(*, as_json: bool) -> int:
    """Examine this machine and show the findings. Returns 0, or 1 when grading other people's work is not possible."""
    try:
        course, problem = load_course(), ""
    except CourseError as error:
        course, problem = None, str(error)
    findings = examine(course, problem)
    if as_json:
        print(json.dumps([{**asdict(finding), "verdict": finding.verdict.value} for finding in findings], indent=1))
    else:
        _show(Console(), findings)
    return 1 if any(finding.verdict is Verdict.MISSING for finding in findings) else 0


def examine(course: Course | None, problem: str = "") -> list[Finding]:
    """Everything worth knowing about this machine, most basic first."""
    findings = [Finding("Python", Verdict.GOOD, f"{platform.python_version()} at {sys.executable}")]
    if course is None:
        findings.append(Finding("course.toml", Verdict.MISSING, problem, "mend the lines named above"))
    else:
        findings.append(Finding("course.toml", Verdict.GOOD, f"{len(course.exercises)} exercises"))
    findings += [_library(*entry) for entry in _LIBRARIES]
    findings += _protections(course.allow_degraded if course else ())
    if course is not None and all(finding.verdict is not Verdict.MISSING for finding in findings):
        findings.append(_try_out(course))
    findings.append(_disk())
    findings.append(Finding("processors", Verdict.GOOD, f"{os.cpu_count()}"))
    return findings


def _library(name: str, needed: bool) -> Finding:
    if importlib.util.find_spec(name) is not None:
        try:
            return Finding(name, Verdict.GOOD, metadata.version(name))
        except metadata.PackageNotFoundError:
            return Finding(name, Verdict.GOOD, "installed")
    verdict = Verdict.MISSING if needed else Verdict.OPTIONAL
    return Finding(name, verdict, "", how_to_install(name))


def _protections(allow_degraded: tuple[str, ...]) -> list[Finding]:
    kernel = f"{platform.system()} {platform.release()}, Landlock version {landlock_abi()}"
    findings = [Finding("kernel", Verdict.GOOD, kernel)]
    for protection, present in available_protections().items():
        what, needs = _PROTECTIONS[protection]
        name = f"protection: {protection.value}"
        if present:
            findings.append(Finding(name, Verdict.GOOD, what))
        elif protection in MAY_DEGRADE and protection.value in allow_degraded:
            findings.append(Finding(name, Verdict.DEGRADED, f"{what}; {needs}; course.toml allows its absence"))
        else:
            fix = ALLOW.format(name=protection.value) if protection in MAY_DEGRADE else "grade on such a machine"
            findings.append(Finding(name, Verdict.MISSING, f"{what}; {needs}", fix))
    return findings


def _try_out(course: Course) -> Finding:
    """Start a confined process and let it try to read the course's own manifest."""
    from grader.sandbox import wire
    from grader.sandbox.fork_server import ForkServer, ForkServerError, Serves, Stage

    with tempfile.TemporaryDirectory() as directory:
        first = ForkServer.start(Path(directory), course.root)
        settings = {
            "directory": directory,
            "confine": True,
            "memory_bytes": 1 << 29,
            "cpu_seconds": 10,
            "file_bytes": 1 << 20,
            "output_bytes": 1000,
            "allow_degraded": list(course.allow_degraded),
        }
        manifest = str(course.root / "course.toml")
        attempt = f"try:\n    open({manifest!r}).read()\n    secret = True\nexcept OSError:\n    secret = False"
        try:
            server = first.branch(Stage("students", Serves.STUDENTS, also=("sandlock",)))
            channel = server.fork(settings).channel
            greeting = wire.unpack(wire.receive_message(channel, 20))
            if "refused" in greeting:
                return Finding(
                    "trial of the sandbox", Verdict.MISSING, greeting["refused"], "see the protections above"
                )
            wire.send_message(channel, wire.pack({"op": "load", "cells": [attempt], "forbidden": [], "seed": 0}))
            wire.unpack(wire.receive_message(channel, 20))
            wire.send_message(channel, wire.pack({"op": "get", "name": "secret"}))
            could_read = wire.unpack(wire.receive_message(channel, 20))["value"]
        except (ForkServerError, wire.ConnectionClosed, TimeoutError) as error:
            return Finding(
                "trial of the sandbox", Verdict.MISSING, str(error), "report this with the output of `course doctor`"
            )
        finally:
            first.close()
    if could_read:
        fix = "move the course out of the folders that Python itself lives in"
        return Finding("trial of the sandbox", Verdict.MISSING, "a confined process could read the course's files", fix)
    return Finding(
        "trial of the sandbox", Verdict.GOOD, "a confined process started and could not read the course's files"
    )


def _disk() -> Finding:
    free = shutil.disk_usage(tempfile.gettempdir()).free / 2**30
    verdict = Verdict.GOOD if free >= MIN_FREE_GIGABYTES else Verdict.MISSING
    return Finding(
        "temporary space",
        verdict,
        f"{free:.1f} GB in {tempfile.gettempdir()}",
        "" if free >= MIN_FREE_GIGABYTES else "free some space or set TMPDIR",
    )


def _show(console: Console, findings: list[Finding]) -> None:
    styles = {Verdict.GOOD: "green", Verdict.DEGRADED: "yellow", Verdict.OPTIONAL: "dim", Verdict.MISSING: "red"}
    table = Table(box=None, pad_edge=False)
    for heading in ("what", "state", "detail"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        detail = Text(finding.detail)
        if finding.fix and finding.verdict is not Verdict.GOOD:
            detail.append(("\n" if finding.detail else "") + f"→ {finding.fix}", style="italic")
        table.add_row(finding.name, Text(finding.verdict.value, style=styles[finding.verdict]), detail)
    console.print(table)
    ready = not any(finding.verdict is Verdict.MISSING for finding in findings)
    console.print(
        "This machine can grade other people's work." if ready else "This machine cannot grade other people's work yet."
    )
