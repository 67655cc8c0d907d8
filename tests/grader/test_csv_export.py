"""The CSV files: their columns, and that no spreadsheet runs what a student wrote."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, Diagnosis, ResultRecord
from grader.course import Course, Exercise, Framework, Kind, Limits, Topic
from grader.gradebook.csv_export import safe_cell, write_csv

ROOT = Path("course")
EXERCISES = tuple(
    Exercise(ROOT, id, id, Kind.CODING, Framework.NUMPY, 1, 10, points) for id, points in (("a/one", 3), ("a/two", 4.5))
)
COURSE = Course(ROOT, "demo", "Demo", "1.0", Limits(), (), (Topic("a", "A"),), EXERCISES)
SLIP = Diagnosis("slip", "a slip", "Because.", "exact")
LAPSE = Diagnosis("lapse", "a lapse", "Because.", "partial")


def records(student: str) -> list[ResultRecord]:
    checks = (
        CheckRecord("test_x", "It holds, always.", CheckOutcome.PASSED, 1.0, 1.0, visible=True),
        CheckRecord("test_y", "=1+1", CheckOutcome.TIMEOUT, 0.0, 2.0),
    )
    graded = ResultRecord(
        student, "a/one", SubmissionStatus.GRADED, checks, (SLIP, LAPSE), max_points=3.0, checks_hash="ab" * 32
    )
    return [graded, ResultRecord(student, "a/two", SubmissionStatus.MISSING, max_points=4.5)]


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_grades(tmp_path: Path) -> None:
    two = ResultRecord(
        "bob",
        "a/two",
        SubmissionStatus.GRADED,
        (CheckRecord("t", "T.", CheckOutcome.PASSED, 4.5, 4.5),),
        max_points=4.5,
    )
    grades, _ = write_csv([*records("ada"), two], COURSE, tmp_path / "new")
    assert read(grades) == [
        ["student", "a/one", "a/two", "total", "max"],
        ["ada", "1", "", "1", "7.5"],
        ["bob", "", "4.5", "4.5", "7.5"],
    ]


def test_checks(tmp_path: Path) -> None:
    _, checks = write_csv(records("ada"), COURSE, tmp_path)
    assert read(checks) == [
        [
            "student",
            "exercise",
            "status",
            "check",
            "title",
            "outcome",
            "points",
            "max_points",
            "diagnosis",
            "checks_version",
        ],
        ["ada", "a/one", "graded", "test_x", "It holds, always.", "passed", "1", "1", "slip; lapse", "abababababab"],
        ["ada", "a/one", "graded", "test_y", "'=1+1", "timeout", "0", "2", "slip; lapse", "abababababab"],
        ["ada", "a/two", "missing", "", "", "", "0", "4.5", "", ""],
    ]


@pytest.mark.parametrize(
    "name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\n=1", "\r=1", "＝1", "|x"]
)
def test_a_name_is_never_a_formula(tmp_path: Path, name: str) -> None:
    grades, checks = write_csv(records(name), COURSE, tmp_path)
    for row in (*read(grades)[1:], *read(checks)[1:]):
        assert row[0].startswith("'")


@pytest.mark.parametrize("name", ["ada", "o'brien", 'Zoë, the "first"', "a=b", "x-1", "3 + 4"])
def test_a_harmless_name_stays_as_it_is(tmp_path: Path, name: str) -> None:
    grades, _ = write_csv(records(name), COURSE, tmp_path)
    assert read(grades)[1][0] == name


def test_names_that_no_file_can_hold_do_not_stop_the_class(tmp_path: Path) -> None:
    grades, _ = write_csv([*records("a\udcffb\x00c\x1b[31m"), *records("ada")], COURSE, tmp_path)
    assert [row[0] for row in read(grades)] == ["student", "ada", "a�b�c"]


def test_numbers_stay_numbers() -> None:
    assert safe_cell(-1.5) == -1.5
    assert safe_cell("-1.5") == "'-1.5"
