"""`python -m grader.bench.soak`: grade thousands of submissions, kill warm processes at random, and leave nothing.

A class of right, wrong and hostile notebooks is graded in this process, as `course grade` does it. In the middle of it
warm processes are killed. What met too many kills, as one may that runs until its time is up, is graded by running the
same command again. At the end every submission must have the result that it deserves, exactly once, and the process
must be what it was before: no process, file descriptor, thread or temporary file more, and memory that does not grow
with the number of submissions beyond what their results take.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from grader.bench.process_census import Census, resident_bytes, take_census, warm_processes
from grader.bench.soak_class import Nature, SoakSubmission, make_class, write_class
from grader.bench.submissions import BENCH_EXERCISES
from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.cli.errors import explain
from grader.course import Course, load_course
from grader.grading.class_grading import ClassResult, ClassRun, grade_class
from grader.grading.journal import JOURNAL_NAME, read_journal

MOST_GROWTH_KILOBYTES = 20.0  # a submission: its result stays in memory until the reports are written
FEWEST_TO_JUDGE_MEMORY = 600  # below, caches that fill once weigh more than what grows
SECONDS_TO_SETTLE = 10.0
LONGEST_DELAY_SECONDS = 0.3
SMALL_CLASS = 6  # graded before the count begins, for what is loaded once and stays


@dataclass
class SoakReport:
    """What a soak found. Empty `problems` are the proof."""

    submissions: int = 0
    seconds: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    killed: dict[str, int] = field(default_factory=dict)
    graded_again: int = 0
    processes_left: list[str] = field(default_factory=list)
    temporary_left: list[str] = field(default_factory=list)
    descriptors_before: int = 0
    descriptors_after: int = 0
    threads_before: int = 0
    threads_after: int = 0
    memory_megabytes: list[float] = field(default_factory=list)
    growth_kilobytes: float = 0.0
    problems: list[str] = field(default_factory=list)


class Killer:
    """Kills one warm process after every so many results, at a random moment."""

    def __init__(self, every: int, seed: int) -> None:
        self.every, self.killed, self.sessions = every, Counter[str](), set[int]()
        self._chance = random.Random(seed)
        self._timers: list[threading.Timer] = []

    def after(self, results: int) -> None:
        """To be called after each result."""
        if self.every and results % self.every == 0:
            timer = threading.Timer(self._chance.uniform(0, LONGEST_DELAY_SECONDS), self._kill)
            self._timers = [running for running in self._timers if running.is_alive()] + [timer]
            timer.start()

    def note_sessions(self) -> None:
        """Remember the sessions of the warm processes that are there now."""
        self.sessions |= {entry.session for entry in warm_processes(os.getpid())}

    def finish(self) -> None:
        """Wait for kills that are still to come."""
        for timer in self._timers:
            timer.join()

    def _kill(self) -> None:
        self.note_sessions()
        warm = warm_processes(os.getpid())
        if warm:
            name = self._chance.choice(sorted({entry.name for entry in warm}))
            entry = self._chance.choice([entry for entry in warm if entry.name == name])
            try:
                os.kill(entry.process, signal.SIGKILL)
                self.killed[name] += 1
            except ProcessLookupError:
                return


def soak(course: Course, exercises: tuple[str, ...], count: int, kill_every: int, jobs: int, seed: int) -> SoakReport:
    """Grade a small class and then the large one, and compare what there was before with what is left."""
    with tempfile.TemporaryDirectory(prefix="course-soak-") as name:
        folder = Path(name)
        temporary = folder / "temporary"
        temporary.mkdir()
        tempfile.tempdir = str(temporary)  # for all that follows in this process
        try:
            small = make_class(course, exercises, SMALL_CLASS)
            write_class(small, folder / "small" / "submitted")
            _grade(course, exercises, small, folder / "small", jobs, Killer(0, 0))
            before = _settled(set(), temporary, None)
            report = _soak(
                course, exercises, count, folder / "large", jobs, Killer(kill_every, seed), before, temporary
            )
        finally:
            tempfile.tempdir = None
    return report


def _soak(
    course: Course,
    exercises: tuple[str, ...],
    count: int,
    folder: Path,
    jobs: int,
    killer: Killer,
    before: Census,
    temporary: Path,
) -> SoakReport:
    submissions = make_class(course, exercises, count)
    started = time.monotonic()
    write_class(submissions, folder / "submitted")
    result, memory = _grade(course, exercises, submissions, folder, jobs, killer)
    disturbed = sum(record.status is SubmissionStatus.GRADER_ERROR for record in result.records)
    if disturbed:
        result, _ = _grade(course, exercises, submissions, folder, jobs, Killer(0, 0))
    seconds = round(time.monotonic() - started, 1)
    report = SoakReport(submissions=len(submissions), seconds=seconds, graded_again=disturbed)
    after = _settled(killer.sessions, temporary, before)
    report.statuses = dict(Counter(record.status.value for record in result.records).most_common())
    report.killed = dict(killer.killed.most_common())
    known = {entry.process for entry in before.processes}
    report.processes_left = [f"{one.process} {one.name}" for one in after.processes if one.process not in known]
    report.temporary_left = sorted(set(after.temporary) - set(before.temporary))
    report.descriptors_before, report.descriptors_after = before.descriptors, after.descriptors
    report.threads_before, report.threads_after = before.threads, after.threads
    report.memory_megabytes = [round(memory[number * (len(memory) - 1) // 10] / 2**20, 1) for number in range(11)]
    report.growth_kilobytes = round(growth(memory) / 1024, 2)
    report.problems = [*_wrong_results(submissions, result, folder / "results" / JOURNAL_NAME), *_left_behind(report)]
    return report


def _grade(
    course: Course,
    exercises: tuple[str, ...],
    submissions: list[SoakSubmission],
    folder: Path,
    jobs: int,
    killer: Killer,
) -> tuple[ClassResult, list[int]]:
    """Grade a class that is written; the grader's memory after each result comes with the results."""
    memory: list[int] = []

    def on_result(record: ResultRecord, reused: bool) -> None:
        memory.append(resident_bytes())
        killer.after(len(memory))
        if len(memory) % max(1, len(submissions) // 20) == 0:
            killer.note_sessions()
            said = (
                f"{len(memory):>6} of {len(submissions)}, {killer.killed.total()} killed, {memory[-1] / 2**20:.0f} MB"
            )
            print(said, file=sys.stderr, flush=True)

    chosen = tuple(course.exercise(identifier) for identifier in exercises)
    result = grade_class(
        ClassRun(course, folder / "submitted", folder / "results", chosen, jobs=jobs), on_result=on_result
    )
    killer.finish()
    return result, memory


def _settled(sessions: set[int], temporary: Path, before: Census | None) -> Census:
    """A census as soon as nothing is left over, or when there has been time enough for that."""
    deadline = time.monotonic() + SECONDS_TO_SETTLE
    while True:
        census = take_census(sessions, temporary)
        more = before is not None and (
            len(census.processes) > len(before.processes) or census.threads > before.threads or census.temporary
        )
        if not more or time.monotonic() > deadline:
            return census
        time.sleep(0.1)


def growth(memory: list[int]) -> float:
    """Bytes that the memory has grown by a submission, from the second quarter of a run to the last."""
    quarter = len(memory) // 4
    if quarter == 0:
        return 0.0
    early, late = statistics.median(memory[quarter : 2 * quarter]), statistics.median(memory[3 * quarter :])
    return (late - early) / (2 * quarter)


def _wrong_results(submissions: list[SoakSubmission], result: ClassResult, journal: Path) -> list[str]:
    """What is not as it should be with the results themselves."""
    records = {(record.student, record.exercise): record for record in result.records}
    problems = []
    for submission in submissions:
        record = records.get((submission.student, submission.exercise))
        name = f"{submission.student} {submission.exercise} ({submission.nature.value})"
        if record is None:
            problems.append(f"{name}: no result")
        elif record.status is SubmissionStatus.GRADER_ERROR:
            problems.append(f"{name}: {record.message}")
        elif (submission.nature is Nature.RIGHT) != (record.points >= record.max_points) and (
            submission.nature is not Nature.HOSTILE
        ):
            problems.append(f"{name}: {record.points:g} of {record.max_points:g} points, {record.status.value}")
    journaled = Counter(
        (record.student, record.exercise)
        for record in read_journal(journal)
        if record.status is not SubmissionStatus.GRADER_ERROR
    )
    problems += [f"{' '.join(key)}: {times} times in the journal" for key, times in journaled.items() if times > 1]
    return problems


def _left_behind(report: SoakReport) -> list[str]:
    problems = [f"a process is left: {entry}" for entry in report.processes_left]
    problems += [f"a temporary file or folder is left: {name}" for name in report.temporary_left]
    for what, before, after in (
        ("file descriptors", report.descriptors_before, report.descriptors_after),
        ("threads", report.threads_before, report.threads_after),
    ):
        if after > before:
            problems.append(f"{what}: {after} instead of {before}")
    if report.submissions >= FEWEST_TO_JUDGE_MEMORY and report.growth_kilobytes > MOST_GROWTH_KILOBYTES:
        problems.append(f"the grader's memory grows by {report.growth_kilobytes} kB a submission")
    return problems


def show(report: SoakReport) -> str:
    """The report as a table and a verdict."""
    judged = report.submissions >= FEWEST_TO_JUDGE_MEMORY
    limit = f"at most {MOST_GROWTH_KILOBYTES:g}" if judged else f"not judged below {FEWEST_TO_JUDGE_MEMORY} submissions"
    rows = [
        ("submissions", f"{report.submissions} in {report.seconds:.0f} s, start-up and reports included"),
        ("results", ", ".join(f"{count} {name}" for name, count in report.statuses.items())),
        ("warm processes killed", ", ".join(f"{count} {name}" for name, count in report.killed.items()) or "none"),
        ("graded again", f"{report.graded_again}, which too many kills had met"),
        ("processes left", str(len(report.processes_left))),
        ("temporary files left", str(len(report.temporary_left))),
        ("file descriptors", f"{report.descriptors_before} before, {report.descriptors_after} after"),
        ("threads", f"{report.threads_before} before, {report.threads_after} after"),
        ("memory, MB, by tenths", " ".join(f"{value:.0f}" for value in report.memory_megabytes)),
        ("growth a submission", f"{report.growth_kilobytes:g} kB ({limit})"),
    ]
    lines = [f"{name:<23} {value}" for name, value in rows]
    lines += (
        ["", *report.problems[:50]] if report.problems else ["", "Nothing is left behind, and every result is right."]
    )
    return "\n".join(lines)


def main() -> None:
    """Entry point. Exit status 1 when something is left or wrong, 2 when it could not be run."""
    parser = argparse.ArgumentParser(prog="python -m grader.bench.soak", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--submissions", type=int, default=6000, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument(
        "--exercise", action="append", choices=BENCH_EXERCISES, help="only this one; may be repeated (default: all)"
    )
    parser.add_argument(
        "--kill-every",
        type=int,
        default=50,
        metavar="N",
        help="kill a warm process every N results; 0: none (default: 50)",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="graded at once")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and victims of the kills")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    arguments = parser.parse_args()
    if arguments.submissions < 1 or not sys.platform.startswith("linux"):
        parser.error("needs at least one submission, and Linux, whose /proc it reads")
    exercises = tuple(dict.fromkeys(arguments.exercise or BENCH_EXERCISES))
    try:
        report = soak(
            load_course(), exercises, arguments.submissions, arguments.kill_every, arguments.jobs, arguments.seed
        )
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        print(f"soak, in {tempfile.gettempdir()}: {message}", file=sys.stderr)
        sys.exit(2)
    print(json.dumps(asdict(report), indent=1) if arguments.json else show(report))
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
