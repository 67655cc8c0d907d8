"""The soak, small: a class with hostile submissions and random kills leaves nothing, and a leak would be found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from grader.bench.process_census import all_processes, take_census, warm_processes
from grader.bench.soak import SoakReport, _left_behind, _wrong_results, growth, show
from grader.bench.soak_class import HOSTILITIES, Nature, SoakSubmission, make_class, write_class
from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import load_course
from grader.grading.class_grading import ClassResult
from grader.grading.journal import Journal
from grader.sandbox.confinement import missing_protections

ROOT = Path(__file__).resolve().parents[2]
COURSE = load_course(ROOT)
EXERCISE = "metrics/classification"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes in /proc")


@pytest.mark.skipif(bool(missing_protections(COURSE.allow_degraded)), reason="this machine cannot confine")
def test_sixty_submissions_with_kills_leave_nothing_and_have_the_right_results() -> None:
    pytest.importorskip("nbgrader")
    options = ["--submissions", "60", "--exercise", EXERCISE, "--kill-every", "12", "--jobs", "2", "--json"]
    finished = subprocess.run(
        [sys.executable, "-m", "grader.bench.soak", *options],
        cwd=ROOT,
        env={**os.environ, "COURSE_ROOT": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    report = SoakReport(**json.loads(finished.stdout))
    assert report.problems == report.processes_left == report.temporary_left == []
    assert report.submissions == sum(report.statuses.values()) == 60
    assert "grader_error" not in report.statuses and report.statuses["crashed"] >= 1
    assert sum(report.killed.values()) >= 3 and all(name.startswith("course:") for name in report.killed)


def test_the_class_is_right_wrong_and_hostile_and_no_two_notebooks_are_the_same(tmp_path: Path) -> None:
    submissions = make_class(COURSE, (EXERCISE,), 10 * len(HOSTILITIES) * 4)
    natures = [submission.nature for submission in submissions]
    hostile = [submission.content for submission in submissions if submission.nature is Nature.HOSTILE]
    assert len(hostile) == len(submissions) // 10
    assert natures.count(Nature.RIGHT) == len(submissions) // 2
    assert len({submission.content for submission in submissions}) == len(submissions)
    for kind in HOSTILITIES:
        assert kind == "broken" or any(f": {kind}" in content for content in hostile), kind
    write_class(submissions[:10], tmp_path)
    paths = sorted(tmp_path.rglob("*.ipynb"))
    assert len(paths) == 10 and paths[0].relative_to(tmp_path).parts[1:] == ("metrics", "classification.ipynb")
    json.loads(paths[0].read_text(encoding="utf-8"))


def test_what_is_left_is_counted(tmp_path: Path) -> None:
    before = take_census(set(), tmp_path)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    file = (tmp_path / "left").open("w")
    try:
        census = take_census({sleeper.pid}, tmp_path)
        more = {entry.process for entry in census.processes} - {entry.process for entry in before.processes}
        assert more == {sleeper.pid}
        assert (census.descriptors, census.temporary) == (before.descriptors + 1, ("left",))
        assert sleeper.pid not in {entry.process for entry in warm_processes(os.getpid())}
    finally:
        file.close()
        sleeper.kill()
        os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert sleeper.pid not in {entry.process for entry in all_processes()}, "one that has ended does not count"
    sleeper.wait()


def test_each_kind_of_leak_is_a_problem_that_names_it() -> None:
    clean = {"submissions": 6000, "descriptors_before": 5, "descriptors_after": 5, "threads_before": 1}
    assert _left_behind(SoakReport(**clean, threads_after=1, growth_kilobytes=8.0)) == []
    leaking = SoakReport(
        submissions=6000,
        processes_left=["4711 course:torch"],
        temporary_left=["course-x"],
        descriptors_before=5,
        descriptors_after=9,
        threads_before=1,
        threads_after=3,
        growth_kilobytes=400.0,
        memory_megabytes=[100.0] * 11,
    )
    leaking.problems = _left_behind(leaking)
    shown = show(leaking)
    for part in ("4711 course:torch", "course-x", "descriptors: 9 instead of 5", "threads: 3 instead of 1", "400.0 kB"):
        assert part in shown
    assert "Nothing is left" not in shown


def test_growth_is_what_a_submission_adds_and_not_what_is_loaded_once() -> None:
    loading = [50_000_000] * 10 + [80_000_000] * 190
    assert growth(loading) == 0
    assert growth([80_000_000 + 3_000 * number for number in range(400)]) == pytest.approx(3_000, rel=0.02)
    assert growth([1, 2, 3]) == 0


def test_what_met_too_many_kills_may_be_graded_again_and_nothing_else(tmp_path: Path) -> None:
    submission = SoakSubmission("ada", EXERCISE, Nature.WRONG, "")
    graded = ResultRecord(submission.student, EXERCISE, SubmissionStatus.GRADED, max_points=10.0)
    disturbed = ResultRecord(submission.student, EXERCISE, SubmissionStatus.GRADER_ERROR, message="it has died")
    for name, records, problems in (
        ("again", [disturbed, graded], []),
        ("twice", [graded, graded], [f"{submission.student} {EXERCISE}: 2 times in the journal"]),
        ("never", [disturbed], [f"{submission.student} {EXERCISE} (wrong): it has died"]),
    ):
        path = tmp_path / name
        with Journal(path) as journal:
            for record in records:
                journal.append(record)
        assert _wrong_results([submission], ClassResult(records=records[-1:]), path) == problems
