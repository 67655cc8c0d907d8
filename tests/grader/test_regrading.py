"""Regrading: a trial writes nothing and tells the truth, regrading does what it told, and the earlier run is kept."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from grader import cli
from grader.checking.outcome import CheckOutcome
from grader.checking.record import ResultRecord
from grader.checking.versions import rules_hash, short_version
from grader.course import Course, load_course
from grader.gradebook.nbgrader_database import DEFAULT_COURSE_ID
from grader.grading.class_grading import ClassResult, ClassRun, GradingStopped, grade_class
from grader.grading.journal import JOURNAL_NAME, read_journal
from grader.grading.regrading import Regraded, regrade, trial_folder, try_regrading
from grader.grading.results_file import ResultsError
from grader.grading.run_comparison import Cause
from grader.grading.runs import newest_kept_run, read_run
from grader.release.release import Form, make_release
from tests.grader.small_course import hand_in, make_course

pytest.importorskip("nbgrader")

RIGHT = "def doubling(number):\n    return number + number"
ONLY_SMALL = "def doubling(number):\n    return number * 2 if number < 11 else 0"
WRONG = "def doubling(number):\n    return 4"
HALF = "def halving(number):\n    return number * 0.5"


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file of a folder with its time of change and a hash of its bytes."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
    }


@dataclass
class Story:
    """A class that was graded; then a check became stricter, which was tried, and done."""

    course: Course
    run: ClassRun
    first: ClassResult
    versions: tuple[str, str]
    before_trial: dict[str, tuple[int, str]] = field(default_factory=dict)
    after_trial: dict[str, tuple[int, str]] = field(default_factory=dict)
    trial: Regraded | None = None
    done: Regraded | None = None
    again: Regraded | None = None
    graded_when_done: list[str] = field(default_factory=list)
    graded_in_trial: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    place = tmp_path_factory.mktemp("regrading")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        course = make_course(place / "course")
        doubling, halving = course.exercises
        submitted = place / "submitted"
        for student, code in (("ada", RIGHT), ("bob", ONLY_SMALL), ("cleo", WRONG)):
            hand_in(submitted, student, doubling.stub_path, code)
        hand_in(submitted, "ada", halving.stub_path, HALF)
        run = ClassRun(course, submitted, place / "results", course.exercises, jobs=2, seed=7)
        first = grade_class(run)
        _grade_by_hand(run.output / "gradebook.db")

        old = rules_hash(doubling)
        text = doubling.checks_path.read_text(encoding="utf-8")
        doubling.checks_path.write_text(text.replace("doubling(10), 20)", "doubling(12), 24)"), encoding="utf-8")
        story = Story(course, run, first, (old, rules_hash(doubling)))

        story.before_trial = contents(run.output)
        story.trial = try_regrading(run, on_result=_noted(story.graded_in_trial))
        story.after_trial = contents(run.output)
        story.done = regrade(run, on_result=_noted(story.graded_when_done))
        story.again = regrade(run)
        yield story


def _noted(graded: list[str]):
    def on_result(record, reused: bool) -> None:
        if not reused and record.checks and record.submission_hash:
            graded.append(f"{record.student} {record.exercise}")

    return on_result


def _grade_by_hand(database: Path) -> None:
    """What a person does in formgrader: two points and a comment for ada's written answer."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{database}", course_id=DEFAULT_COURSE_ID) as gradebook:
        answer = gradebook.find_grade("answer", "doubling", "numbers", "ada")
        answer.manual_score, answer.needs_manual_grade = 1.5, False
        gradebook.find_comment("answer", "doubling", "numbers", "ada").manual_comment = "Well said."
        gradebook.db.commit()


def test_a_trial_says_whose_score_would_change_and_why(story: Story) -> None:
    assert story.trial is not None
    (change,) = story.trial.comparison.changes
    assert (change.student, change.exercise) == ("bob", "numbers/doubling")
    assert (change.points_before, change.points_after, change.max_after) == (4.0, 1.0, 4.0)
    assert change.causes == (Cause.CHECKS,)
    assert (change.checks_before, change.checks_after) == story.versions
    (check,) = change.checks
    assert check.name == "test_hidden_doubling_of_others"
    assert (check.before, check.after) == (CheckOutcome.PASSED, CheckOutcome.FAILED)
    assert "24" in check.message
    assert story.trial.comparison.other_version_same_result == 2, "ada's and cleo's doubling, to no effect"


def test_a_trial_changes_no_file_of_the_results(story: Story) -> None:
    assert story.before_trial == story.after_trial
    assert {"journal.jsonl", "gradebook.db", "grades.csv", "report.html"} <= story.before_trial.keys()


def test_only_what_the_change_concerns_is_graded_and_only_once(story: Story) -> None:
    assert sorted(story.graded_in_trial) == [f"{student} numbers/doubling" for student in ("ada", "bob", "cleo")]
    assert story.graded_when_done == [], "the trial's results are taken over"
    assert not trial_folder(story.run.output).exists()


def test_no_bytecode_of_checks_is_kept_that_could_grade_in_the_place_of_corrected_ones(story: Story) -> None:
    assert list(story.course.root.rglob("*.pyc")) == []


def test_regrading_does_what_the_trial_showed(story: Story) -> None:
    assert story.done is not None and story.trial is not None
    assert story.done.comparison == story.trial.comparison
    with (story.run.output / "grades.csv").open(encoding="utf-8", newline="") as file:
        totals = {row["student"]: row["total"] for row in csv.DictReader(file)}
    assert totals == {"ada": "8", "bob": "1", "cleo": "1"}
    with (story.run.output / "checks.csv").open(encoding="utf-8", newline="") as file:
        versions = {row["exercise"]: row["checks_version"] for row in csv.DictReader(file) if row["check"]}
    assert versions["numbers/doubling"] == short_version(story.versions[1])


def test_what_a_person_graded_stays(story: Story) -> None:
    from nbgrader.api import Gradebook

    database = f"sqlite:///{story.run.output / 'gradebook.db'}"
    with Gradebook(database, course_id=DEFAULT_COURSE_ID) as gradebook:
        answer = gradebook.find_grade("answer", "doubling", "numbers", "ada")
        assert (answer.manual_score, answer.needs_manual_grade) == (1.5, False)
        comment = gradebook.find_comment("answer", "doubling", "numbers", "ada")
        assert comment.manual_comment == "Well said."
        assert gradebook.find_grade("test_hidden_doubling_of_others", "doubling", "numbers", "bob").auto_score == 0


def test_the_earlier_run_is_kept_whole_and_the_journal_only_grows(story: Story) -> None:
    assert story.done is not None and story.done.kept == newest_kept_run(story.run.output)
    kept = read_run(story.done.kept)
    assert {key: record.points for key, record in kept.records.items()} == {
        (record.student, record.exercise): record.points for record in story.first.records
    }
    for name in ("grades.csv", "checks.csv", "report.html"):
        assert hashlib.sha256((kept.place / name).read_bytes()).hexdigest() == story.before_trial[name][1]
    assert {record.checks_hash for record in read_journal(story.run.output / JOURNAL_NAME)} >= set(story.versions)


def test_regrading_once_more_changes_nothing_and_keeps_no_second_run(story: Story) -> None:
    assert story.again is not None
    assert (story.again.comparison.changes, story.again.kept) == ((), None)
    assert newest_kept_run(story.run.output).name == "0001"


def test_the_seed_of_the_earlier_run_is_known(story: Story) -> None:
    assert read_run(story.run.output).seed == 7


def test_interrupted_it_goes_on_and_until_it_is_done_the_earlier_results_count(story: Story, tmp_path: Path) -> None:
    run = replace(story.run, output=tmp_path / "results", jobs=1)
    grade_class(run)
    before = contents(run.output)
    exercise = story.course.exercise("numbers/doubling")
    text = exercise.checks_path.read_text(encoding="utf-8")
    exercise.checks_path.write_text(text.replace("doubling(12), 24)", "doubling(13), 26)"), encoding="utf-8")
    graded: list[str] = []

    def interrupt(record: ResultRecord, reused: bool) -> None:
        if not reused and record.submission_hash:
            raise KeyboardInterrupt

    try:
        with pytest.raises(GradingStopped, match="run the same command again"):
            regrade(run, on_result=interrupt)
        after = contents(run.output)
        assert after.pop(JOURNAL_NAME) != before.pop(JOURNAL_NAME), "what was graded is in the journal"
        for name in ("results.jsonl", "run.json", "grades.csv", "report.html"):
            assert after[name] == before[name]
        regrade(run, on_result=_noted(graded))
    finally:
        exercise.checks_path.write_text(text, encoding="utf-8")
    assert len(graded) == 2, "of three notebooks, one was graded before the interruption"
    assert newest_kept_run(run.output).name == "0001"


def test_without_results_there_is_nothing_to_regrade(story: Story, tmp_path: Path) -> None:
    empty = replace(story.run, output=tmp_path / "none")
    for action in (try_regrading, regrade):
        with pytest.raises(ResultsError, match="there are no results here"):
            action(empty)


@pytest.fixture
def course(capsys: pytest.CaptureFixture[str], story: Story, monkeypatch: pytest.MonkeyPatch):
    """Runs `course` on the story's course; answers with its exit status and what it printed."""
    monkeypatch.setenv("COURSE_ROOT", str(story.course.root))
    monkeypatch.setenv("COLUMNS", "160")

    def course(*arguments: object) -> SimpleNamespace:
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(status=caught.value.code or 0, out=out, err=err)

    return course


def test_diff_tells_the_kept_run_from_the_present_one(course, story: Story, tmp_path: Path) -> None:
    told = course("diff", story.run.output, "--csv", tmp_path / "diff.csv")
    assert told.status == 1
    assert "1 of 6 results differ, of 3 students: 0 scores higher, 1 lower" in told.out
    old, new = map(short_version, story.versions)
    assert f"numbers/doubling: checks {old} → {new}" in told.out
    assert "test_hidden_doubling_of_others: passed → not passed" in told.out
    with (tmp_path / "diff.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["student"], row["cause"], row["points before"], row["points after"]) == (
        "bob",
        "checks changed",
        "4.0",
        "1.0",
    )


def test_diff_as_json_and_the_other_way_round(course, story: Story) -> None:
    told = course("diff", story.run.output, newest_kept_run(story.run.output), "--json")
    assert told.status == 1
    data = json.loads(told.out)
    assert data["summary"]["higher"] == data["summary"]["scores_changed"] == 1
    assert data["summary"]["by_cause"] == {"checks changed": 1}
    assert data["changes"][0]["checks"][0]["outcome"] == {"before": "failed", "after": "passed"}


def test_versions_are_called_by_the_names_of_a_release(course, story: Story, tmp_path: Path) -> None:
    made = make_release(story.course, story.course.exercises, tmp_path / "release", form=Form.FOLDER)
    told = course("diff", story.run.output, "--versions", made.written[1] / "manifest.json")
    assert f"numbers/doubling: checks {short_version(story.versions[0])} → version 1" in told.out
    told = course("diff", story.run.output, "--versions", story.course.root / "course.toml")
    assert (told.status, "not the manifest.json of a release" in told.err) == (2, True)


def test_diff_of_a_run_with_itself_finds_nothing(course, story: Story) -> None:
    told = course("diff", story.run.output, story.run.output)
    assert told.status == 0
    assert "No result differs: 6 results of 3 students compared." in told.out


def test_diff_where_no_run_is(course, tmp_path: Path) -> None:
    told = course("diff", tmp_path)
    assert told.status == 2
    assert "no earlier run is kept there" in told.err


def test_a_dry_run_at_the_command_line_ends_in_1_when_a_score_would_change(course, story: Story) -> None:
    exercise = story.course.exercise("numbers/halving")
    text = exercise.checks_path.read_text(encoding="utf-8")
    exercise.checks_path.write_text(text.replace("halving(10), 5.0)", "halving(10), 5.5)"), encoding="utf-8")
    submitted = story.run.place
    before = contents(story.run.output)
    try:
        told = course("regrade", submitted, "--output", story.run.output, "--dry-run", "--jobs", 1)
        other = course(
            "regrade", submitted, "--output", story.run.output, "--dry-run", "--exercise", "numbers/doubling"
        )
    finally:
        exercise.checks_path.write_text(text, encoding="utf-8")
    assert told.status == 1
    assert "test_hidden_halving_of_others: passed → not passed" in told.out
    assert "Nothing was written into" in told.out
    assert (other.status, "No result differs" in other.out) == (0, True), "the other exercise keeps its results"
    assert contents(story.run.output) == before


def test_a_course_that_grades_it_all_again_agrees(story: Story, tmp_path: Path) -> None:
    course = load_course(story.course.root)
    fresh = grade_class(ClassRun(course, story.run.place, tmp_path / "again", course.exercises, jobs=2, seed=7))
    present = read_run(story.run.output).records
    assert {(record.student, record.exercise): record.points for record in fresh.records} == {
        key: record.points for key, record in present.items()
    }
