"""The tables behind the class report: their columns and values, and that no spreadsheet runs what a student wrote."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, Diagnosis, ResultRecord
from grader.course import Course, Exercise, Framework, Kind, Limits, Topic
from grader.gradebook.class_tables import TABLES, ClassTables, write_class_tables
from grader.gradebook.similarity import ExerciseSimilarity, Passage, SimilarPair
from grader.gradebook.summary import summarise

ROOT = Path("course")
EXERCISES = tuple(
    Exercise(ROOT, id, id.title(), Kind.CODING, Framework.NUMPY, 1, minutes, 4)
    for id, minutes in (("a/one", 10), ("a/two", 25))
)
COURSE = Course(ROOT, "demo", "Demo", "1.0", Limits(), (), (Topic("a", "A"),), EXERCISES)
SLIP = Diagnosis("slip", "a slip", "Because.", "exact")
FORMULA = "=HYPERLINK(1)"


def a_record(student: str, exercise: str, outcomes: str, seconds: float = 1.0, **values: object) -> ResultRecord:
    """Checks of 1 and 3 points, a letter each: p for passed."""
    checks = tuple(
        CheckRecord(
            f"test_{number}",
            f"Check {number}.",
            CheckOutcome.PASSED if letter == "p" else CheckOutcome.FAILED,
            worth if letter == "p" else 0.0,
            worth,
        )
        for number, (letter, worth) in enumerate(zip(outcomes, (1.0, 3.0), strict=True))
    )
    graded = ResultRecord(student, exercise, SubmissionStatus.GRADED, checks, max_points=4.0, seconds=seconds)
    return replace(graded, **values)  # type: ignore[arg-type]


RECORDS = [
    a_record("ada", "a/one", "pp", 0.5),
    a_record("ada", "a/two", "pp"),
    a_record("bob", "a/one", "pf", 2.5, diagnoses=(SLIP,), submission_hash="h", source="b.ipynb", checks_hash="c"),
    a_record("bob", "a/two", "pf"),
    a_record("cem", "a/one", "ff", 1.5, diagnoses=(SLIP,), submission_hash="h"),
    ResultRecord("cem", "a/two", SubmissionStatus.UNREADABLE, message="not JSON", max_points=4.0),
]
PAIR = SimilarPair("a/one", ("bob", "cem"), 0.87654, 40, 31.5, True, (Passage("x", frozenset()),) * 2)
SIMILARITY = (ExerciseSimilarity("a/one", 3, 0, 0.125, 0.5, (PAIR,)), ExerciseSimilarity("a/two", 2))


def tables(records: list[ResultRecord], directory: Path) -> dict[str, list[dict[str, str]]]:
    paths = write_class_tables(ClassTables(summarise(records, COURSE), records, SIMILARITY), directory)
    assert [path.name for path in paths] == list(TABLES)
    read = {}
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            read[path.name] = list(csv.DictReader(file))
    return read


@pytest.fixture
def read(tmp_path: Path) -> dict[str, list[dict[str, str]]]:
    return tables(RECORDS, tmp_path / "new")


def test_results(read: dict[str, list[dict[str, str]]]) -> None:
    assert [(row["student"], row["exercise"], row["status"], row["points"]) for row in read["results.csv"]] == [
        ("ada", "a/one", "graded", "4"),
        ("ada", "a/two", "graded", "4"),
        ("bob", "a/one", "graded", "1"),
        ("bob", "a/two", "graded", "1"),
        ("cem", "a/one", "graded", "0"),
        ("cem", "a/two", "unreadable", "0"),
    ]
    bob = read["results.csv"][2]
    assert (bob["misconceptions"], bob["submission_hash"], bob["source"], bob["checks_hash"]) == (
        "slip",
        "h",
        "b.ipynb",
        "c",
    )
    assert read["results.csv"][5]["message"] == "not JSON"


def test_students(read: dict[str, list[dict[str, str]]]) -> None:
    ada, _, cem = read["students.csv"]
    assert (ada["points"], ada["max_points"], ada["share"], ada["needs_help_because"]) == ("8", "8", "1", "")
    assert (cem["handed_in"], cem["exercises"]) == ("2", "2")
    assert cem["needs_help_because"].startswith("no point yet in a/one")


def test_exercises(read: dict[str, list[dict[str, str]]]) -> None:
    one, two = read["exercises.csv"]
    # Points 4, 1, 0 of 4 beside 4, 1, 0 in the other exercise.
    assert (one["graded"], one["complete"], one["mean"], one["difficulty"]) == ("3", "1", "1.6667", "0.4167")
    assert (one["discrimination"], one["promised_minutes"]) == ("1", "10")
    assert [one[f"grading_seconds_{word}"] for word in ("median", "longest", "total")] == ["1.5", "2.5", "4.5"]
    assert (two["graded"], two["promised_minutes"], two["grading_seconds_longest"]) == ("2", "25", "1")


def test_checks_and_misconceptions(read: dict[str, list[dict[str, str]]]) -> None:
    first, second, *_ = read["check_analysis.csv"]
    assert (first["check"], first["passed"], first["answered"], first["difficulty"]) == ("test_0", "2", "3", "0.6667")
    assert (second["passed"], second["visible"], second["look_at"]) == ("1", "no", "")
    (slip,) = read["misconceptions.csv"]
    assert (slip["submissions"], slip["match_in_every_result"], slip["students"]) == ("2", "2", "bob; cem")


def test_similar_and_identical_submissions(read: dict[str, list[dict[str, str]]]) -> None:
    (pair,) = read["similarity.csv"]
    assert list(pair.values()) == ["a/one", "bob", "cem", "0.8765", "40", "31.5", "yes", "0.125", "0.5"]
    (group,) = read["identical.csv"]
    assert (group["exercise"], group["students"]) == ("a/one", "bob; cem")


def test_nothing_that_students_wrote_is_a_formula(tmp_path: Path) -> None:
    hostile = [
        a_record(FORMULA, "a/one", "fp", message=FORMULA, source=FORMULA, submission_hash="h"),
        a_record(f" {FORMULA}", "a/one", "fp", submission_hash="h"),
    ]
    for path in write_class_tables(ClassTables(summarise(hostile, COURSE), hostile, ()), tmp_path):
        with path.open(encoding="utf-8", newline="") as file:
            assert not [cell for row in csv.reader(file) for cell in row if cell.lstrip().startswith("=")], path.name


def test_an_empty_class_has_headings(tmp_path: Path) -> None:
    for path in write_class_tables(ClassTables(summarise([], COURSE), [], ()), tmp_path):
        assert len(path.read_text().splitlines()) == 1
