"""Where attacks are tried: the real engine on a copy of the course, with things to steal beside it and with neighbours.

The copy is for looking at: whatever changes in it while the attacks run was changed by one of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from grader.course import Course, Exercise, Framework, load_course
from grader.grading.engine import Forked, LocalEngine
from grader.grading.jobs import Job, JobResult
from grader.sandbox import scratch
from tests.grader.attacks.honest import ROOT, answer_code
from tests.grader.attacks.model import FIRST_CHECK, NUMPY, REPORT, TOOLS, TORCH, Answer, Attack
from tests.grader.attacks.outcome import Outcome
from tests.grader.waiting import eventually

CANARY = "canary-" + hashlib.sha256(os.urandom(16)).hexdigest()[:20]
SECRET_VARIABLE = "COURSE_ATTACK_SECRET"
COURSE_PARTS = ("course.toml", "exercises", "reference", "solutions", "tests/checks", "tests/wrong_answers")
HIDDEN_CODE = (
    *(f"tests/checks/{exercise.replace('/', '/test_')}.py" for exercise in (NUMPY, TORCH)),
    *(f"tests/wrong_answers/{exercise}.py" for exercise in (NUMPY, TORCH)),
    *(f"reference/{exercise}.py" for exercise in (NUMPY, TORCH)),
)
PLANTED = (
    "gradebook.db",
    "results/journal.jsonl",
    "results/grades.csv",
    "submitted/other/metrics/classification.ipynb",
    "source/metrics/classification.ipynb",
    ".git/config",
)
SAMPLE_SECONDS = 0.03


class WatchedEngine(LocalEngine):
    """The real engine, which remembers the processes and directories of each job."""

    def __init__(self, course: Course) -> None:
        super().__init__(course, ahead=True)  # as a class is graded
        self.checkers: dict[int, list[int]] = defaultdict(list)
        self.students: dict[int, list[tuple[int, Path]]] = defaultdict(list)

    def fork_checker(self, job: Job) -> Forked:
        forked = super().fork_checker(job)
        self.checkers[id(job)].append(forked.child.process)
        return forked

    def fork_student(self, job: Job) -> Forked:
        forked = super().fork_student(job)
        assert forked.directory is not None
        self.students[id(job)].append((forked.child.process, forked.directory))
        return forked


@dataclass
class Arena:
    """The engine, what is hidden, the watch over memory, and honest submissions that run beside the attacks."""

    engine: WatchedEngine
    course: Course
    place: Path
    honest: dict[tuple[str, str], float] = field(default_factory=dict)
    honest_runs: int = 0
    harmed: list[str] = field(default_factory=list)
    own_growth: int = 0
    threads: tuple[threading.Thread, ...] = ()
    _active: set[str] = field(default_factory=set)
    _peaks: dict[int, int] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def exercise(self, attack: Attack) -> Exercise:
        """The attack's exercise with its limits."""
        exercise = self.course.exercise(attack.exercise)
        limits: dict[str, Any] = dict(attack.limits)
        return replace(exercise, limits=replace(exercise.limits, **limits))

    def cells(self, attack: Attack) -> tuple[str, ...]:
        """The attack's notebook: tools, attack and answer, and the count of what was refused."""
        replacements = {"@COURSE@": str(self.place / "course"), "@HOME@": str(self.place / "home"), "@REPO@": str(ROOT)}
        replacements |= {"@HIDDEN@": " ".join((*HIDDEN_CODE, *PLANTED))}
        tools = TOOLS
        for mark, value in replacements.items():
            tools = tools.replace(mark, value)
        hostile = (attack.code,) if isinstance(attack.code, str) else attack.code
        answer = answer_code(attack.exercise, attack.answer)
        return (tools, *((answer, *hostile) if attack.answer_first else (*hostile, answer)), REPORT)

    def run(self, attack: Attack) -> Outcome:
        """Try one attack."""
        job = Job(self.exercise(attack), self.cells(attack), only=frozenset(attack.checks), trace=True)
        started, result, error = time.monotonic(), JobResult(), ""
        self._active.add(attack.id)
        try:
            result = self.engine.run(job)
        except Exception as raised:  # the engine never raises for what a submission did
            error = f"{type(raised).__name__}: {raised}"
        finally:
            self._active.discard(attack.id)
        students = self.engine.students.pop(id(job), [])
        checkers = self.engine.checkers.pop(id(job), [])
        processes = [*checkers, *(process for process, _ in students)]
        directories = [str(directory) for _, directory in students]
        # They are ended in the background.
        eventually(lambda: not any(map(_is_running, processes)) and not any(map(os.path.exists, directories)))
        return Outcome(
            attack,
            result,
            self._points_without(attack),
            CANARY,
            error,
            time.monotonic() - started,
            max((self._peaks.pop(process, 0) for process in checkers), default=0),
            [process for process in processes if _is_running(process)],
            [directory for directory in directories if os.path.exists(directory)],
        )

    def run_all(self, attacks: Sequence[Attack], workers: int = 2) -> Iterator[Outcome]:
        """Try attacks, those that run into time limits first."""
        ordered = sorted(attacks, key=lambda attack: attack.limits.get("total_seconds", 0), reverse=True)
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(self.run, ordered)

    def _points_without(self, attack: Attack) -> float:
        code = answer_code(attack.exercise, attack.answer) if attack.baseline is None else attack.baseline
        key = (attack.exercise, code)
        if not code:
            return 0.0
        if key not in self.honest:
            result = self.engine.run(Job(self.course.exercise(attack.exercise), (code,)))
            self.honest[key] = sum(check.points for check in result.checks)
        return self.honest[key]

    # -- the watch and the neighbours ------------------------------------------------------------------------------

    def watch(self) -> None:
        """Keep the peaks of the grader's memory; a thread's work."""
        start = _resident(os.getpid(), "VmRSS")
        first: dict[int, int] = {}
        while not self._stopped.wait(SAMPLE_SECONDS):
            self.own_growth = max(self.own_growth, _resident(os.getpid(), "VmRSS") - start)
            for process in [number for numbers in list(self.engine.checkers.values()) for number in numbers]:
                peak = _resident(process, "VmHWM")
                first.setdefault(process, _resident(process, "VmRSS"))
                self._peaks[process] = max(self._peaks.get(process, 0), peak - first[process])

    def live_beside(self) -> None:
        """Hand in right answers again and again, and remember each that was not graded as right; a thread's work."""
        turn = 0
        while not self._stopped.wait(0.2):
            id = (NUMPY, TORCH)[turn % 2]
            turn += 1
            exercise = self.course.exercise(id)
            result = self.engine.run(Job(exercise, (answer_code(id, Answer.RIGHT),)))
            self.honest_runs += 1
            points = sum(check.points for check in result.checks)
            if points != exercise.points:
                why = result.problem or [check.message for check in result.checks if not check.points][:1]
                self.harmed.append(f"{id} got {points:g} of {exercise.points:g} beside {sorted(self._active)}: {why}")

    def strangers(self) -> list[int]:
        """Processes in the warm processes' sessions that should have ended."""
        warm = set(self.engine.process_ids())
        return [process for process in _processes() if process not in warm and _session(process) in warm]

    def settle(self) -> None:
        """End the neighbours' and the watch's work, and wait for it; at least one neighbour comes to its end."""
        deadline = time.monotonic() + 60
        while not self.honest_runs and time.monotonic() < deadline:
            time.sleep(0.1)
        self._stopped.set()
        for thread in self.threads:
            thread.join()


@contextmanager
def open_arena() -> Iterator[Arena]:
    """An arena with warm processes and neighbours; what it leaves behind is removed."""
    place = Path(tempfile.mkdtemp(prefix="arena-"))
    os.environ[SECRET_VARIABLE] = CANARY
    try:
        _plant(place)
        course = load_course(place / "course")
        engine = WatchedEngine(course)
        arena = Arena(engine, course, place)
        try:
            engine.warm(Framework.NUMPY, Framework.TORCH)
            for id, check in FIRST_CHECK.items():  # everything is warm before the memory is looked at
                engine.run(Job(course.exercise(id), (answer_code(id, Answer.RIGHT),), only=frozenset({check})))
            arena.threads = tuple(threading.Thread(target=work) for work in (arena.watch, arena.live_beside))
            for thread in arena.threads:
                thread.start()
            try:
                yield arena
            finally:
                arena.settle()
        finally:
            with suppress(RecursionError):
                engine.close()
            scratch.remove(engine._directory)
    finally:
        del os.environ[SECRET_VARIABLE]
        shutil.rmtree(place, ignore_errors=True)


def _plant(place: Path) -> None:
    course = place / "course"
    for part in COURSE_PARTS:
        source, target = ROOT / part, course / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
        else:
            shutil.copy(source, target)
    for name in HIDDEN_CODE:
        with (course / name).open("a", encoding="utf-8") as file:
            file.write(f"\n# {CANARY}\n")
    for name in (*PLANTED, "../home/.ssh/id_rsa", "../home/notes.txt"):
        path = course / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{CANARY}\n")


def snapshot(place: Path) -> dict[str, tuple[object, ...]]:
    """Everything about the files and folders in a place that an attack could change."""
    found = {}
    for path in sorted(place.rglob("*")):
        if "__pycache__" in path.parts:
            continue  # pytest writes there when it imports a check
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        times = (0, 0, 0) if path.is_dir() else (status.st_mtime_ns, status.st_ctime_ns, status.st_nlink)
        rights = (status.st_mode, status.st_uid, *os.listxattr(path))
        found[str(path.relative_to(place))] = (*rights, *times, content)
    return found


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _is_running(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _session(process: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[3])
    return -1


def _resident(process: int, which: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(which):
                return int(line.split()[1]) * 1024
    return 0
