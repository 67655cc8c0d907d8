"""Points on their way into Canvas' gradebook and Moodle's worksheet: golden files, exact matching, nobody dropped."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import load_course
from grader.gradebook.errors import GradebookError
from grader.grading.results_file import write_results
from grader.platforms.canvas import CanvasGradebook, fill_gradebook, read_gradebook
from grader.platforms.canvas_columns import exercises_of_columns
from grader.platforms.moodle import MoodleWorksheet, fill_worksheet, read_worksheet
from grader.platforms.placing import Unmatched
from grader.platforms.points import ExportError, points_by_student, with_written
from tests.grader.platforms.sample import (
    DOT,
    METRICS,
    MISSING,
    OUR_FAULT,
    PARTLY,
    PASSED,
    RIGHT,
    SYNTAX,
    compare_with_golden,
    record,
)

ROOT = Path(__file__).resolve().parents[3]
COURSE = load_course(ROOT)
RECORDS = (PARTLY, RIGHT, SYNTAX, MISSING, OUR_FAULT)
COLUMN = "Scaled dot-product attention (4711)"
CANVAS = f"""\
Student,ID,SIS User ID,SIS Login ID,Section,Notes,{COLUMN},Essay (4712),Current Score,Final Score
,,,,,,Manual Posting,,,
    Points Possible,,,,,,20.00,5.00,(read only),(read only)
"Doe, Jane",101,u-101,jdoe@example.org,Section 1,-note,,4.5,90,80
"Roe, Richard",102,u-102,rroe@example.org,Section 1,,3,,90,80
"=HYPERLINK(""x"")",103,u-103,=poe,Section 1,,,,90,80
"Nobody, A",104,u-104,nobody,Section 1,,5,,90,80
"Student, Test",999,,test,Section 1,,,,90,80
"""
MOODLE = """\
Identifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed,"Last modified (submission)",\
"Last modified (grade)",Feedback comments
Participant 101,Jane Doe,jane@example.org,"Submitted for grading",,20.00,Yes,"Monday, 3 March 2025, 4:05 PM",-,
Participant 102,Richard Roe,richard@example.org,Submitted,3.00,20.00,Yes,-,"Monday, 3 March 2025, 4:05 PM",old
Participant 106,=cmd|x,c@example.org,"No submission",,20.00,No,-,-,
"""


def canvas_file(folder: Path, text: str = CANVAS) -> CanvasGradebook:
    (folder / "gradebook.csv").write_bytes(text.encode())
    return read_gradebook(folder / "gradebook.csv")


def moodle_file(folder: Path, text: str = MOODLE) -> MoodleWorksheet:
    (folder / "worksheet.csv").write_bytes(text.encode())
    return read_worksheet(folder / "worksheet.csv")


def table(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text), delimiter=delimiter))


def reasons(unmatched: Sequence[Unmatched]) -> dict[str, str]:
    return {one.student: one.reason for one in unmatched}


def right(student: str, exercise: str = DOT) -> ResultRecord:
    return record(student, exercise, SubmissionStatus.GRADED, PASSED)


# --- Canvas ----------------------------------------------------------------------------------------------------------


def test_canvas(tmp_path: Path) -> None:
    export = fill_gradebook(canvas_file(tmp_path), {COLUMN: points_by_student(RECORDS, [DOT])})
    compare_with_golden("canvas.csv", export.text)
    assert export.filled == {COLUMN: 2}
    assert reasons(export.unmatched) == {
        "nobody_104": "nothing was handed in",
        "unlucky_105": f"{DOT}: grader error; a person has to look at it",
    }
    assert [one.is_problem for one in export.unmatched] == [False, True]
    assert export.without_results == ('=HYPERLINK("x")', "Nobody, A", "Student, Test")


def test_only_what_was_filled_is_given_back_to_canvas(tmp_path: Path) -> None:
    """An import changes what is in the file: neither other columns nor other students may be."""
    export = fill_gradebook(canvas_file(tmp_path), {COLUMN: points_by_student([right("u-102")], [DOT])})
    assert table(export.text) == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", COLUMN],
        ["    Points Possible", "", "", "", "", "20.00"],
        ["Roe, Richard", "102", "u-102", "rroe@example.org", "Section 1", "4"],
    ]


@pytest.mark.parametrize("student", ["101", "u-101", "jdoe@example.org", "doejane_101"])
def test_every_id_of_canvas_is_matched_exactly(tmp_path: Path, student: str) -> None:
    gradebook = canvas_file(tmp_path)
    export = fill_gradebook(gradebook, {COLUMN: points_by_student([right(student)], [DOT])})
    assert export.filled == {COLUMN: 1} and not export.unmatched
    for other in (f"{student}0", f"0{student}", f"{student}_x"):
        export = fill_gradebook(gradebook, {COLUMN: points_by_student([right(other)], [DOT])})
        assert export.filled == {COLUMN: 0} and other in reasons(export.unmatched)


def test_a_name_that_ends_like_an_id_takes_nobodys_row(tmp_path: Path) -> None:
    """A student may call themselves 'Mallory_101', so that the name in the zip reads like Jane's number."""
    export = fill_gradebook(canvas_file(tmp_path), {COLUMN: points_by_student([right("mallory_101")], [DOT])})
    assert export.filled == {COLUMN: 0}
    assert "'Doe, Jane'" in reasons(export.unmatched)["mallory_101"]


def test_two_for_one_row_are_left_to_a_person(tmp_path: Path) -> None:
    students = points_by_student([right("u-101"), right("doejane_101"), right("102")], [DOT])
    export = fill_gradebook(canvas_file(tmp_path), {COLUMN: students})
    assert export.filled == {COLUMN: 1}
    assert "'u-101'" in reasons(export.unmatched)["doejane_101"] and "u-101" in reasons(export.unmatched)


def test_canvas_points_in_proportion(tmp_path: Path) -> None:
    export = fill_gradebook(canvas_file(tmp_path), {COLUMN: points_by_student([PARTLY], [DOT])}, scale=True)
    assert table(export.text)[2][-1] == "8"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_canvas_in_the_form_of_other_languages(tmp_path: Path, mark: str) -> None:
    text = f"{mark}LastName;FirstName;ID;SIS Login ID;Section;{COLUMN}\n Points Possible;;;;;20,5\nDoe;Jane;101;j;S;\n"
    gradebook = canvas_file(tmp_path, text)
    assert gradebook.possible(COLUMN) == 20.5
    export = fill_gradebook(gradebook, {COLUMN: points_by_student([PARTLY], [DOT])})
    assert export.text.startswith(f"{mark}LastName;FirstName;ID") and table(export.text, ";")[2][-1] == "4"


def test_columns_are_found_by_name_or_as_told(tmp_path: Path) -> None:
    gradebook, graded = canvas_file(tmp_path), [DOT, METRICS]
    assert exercises_of_columns(gradebook, COURSE, graded, []) == {COLUMN: (DOT,)}
    told = [f"{DOT}=4712", f"{METRICS}=Essay"]
    assert exercises_of_columns(gradebook, COURSE, graded, told) == {"Essay (4712)": (DOT, METRICS)}
    assert exercises_of_columns(gradebook, COURSE, graded, ["metrics=Essay"]) == {"Essay (4712)": (METRICS,)}
    for wrong, message in (("Essay", "EXERCISE=COLUMN"), ("a/b=Essay", "no exercise 'a/b'"), (f"{DOT}=X", "Essay")):
        with pytest.raises(ExportError, match=message):
            exercises_of_columns(gradebook, COURSE, graded, [wrong])
    with pytest.raises(ExportError, match="--column"):
        exercises_of_columns(gradebook, COURSE, [METRICS], [])


def test_what_is_no_gradebook_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no gradebook of Canvas"):
        canvas_file(tmp_path, "name,points\nada,1\n")
    (tmp_path / "latin.csv").write_bytes(b"Student,ID\n\xe4,1\n")
    with pytest.raises(ExportError, match="UTF-8"):
        read_gradebook(tmp_path / "latin.csv")


def test_written_answers_come_from_nbgraders_gradebook(tmp_path: Path) -> None:
    """Graded by us, read by a person through nbgrader, and passed on together."""
    pytest.importorskip("nbgrader")
    from grader.gradebook.nbgrader_connection import open_gradebook
    from grader.gradebook.nbgrader_database import DEFAULT_COURSE_ID, write_gradebook
    from grader.gradebook.nbgrader_scores import read_scores

    read, unread, forgot = ("doejane_101", "roerichard_102", "nobody_104")
    graded = []
    for student in (read, unread):
        path = tmp_path / f"{student}.ipynb"
        path.write_bytes(COURSE.exercise(METRICS).solution_path.read_bytes())
        claims = replace(PASSED, name="test_claims", points=3.0, max_points=3.0)
        graded.append(record(student, METRICS, SubmissionStatus.GRADED, claims, source=str(path)))
    url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    with pytest.raises(GradebookError, match="there is no gradebook"):
        read_scores(url, [METRICS])
    write_gradebook(COURSE, graded, url, course_directory=tmp_path)
    with open_gradebook(url, DEFAULT_COURSE_ID) as gradebook:
        topic, slug = METRICS.split("/")
        for grade in gradebook.find_submission_notebook(slug, topic, read).grades:
            if grade.needs_manual_grade:
                grade.manual_score, grade.needs_manual_grade = 3.5, False
        gradebook.find_submission_notebook(slug, topic, read).late_submission_penalty = 0.5
        gradebook.db.commit()
    scores = read_scores(url, [METRICS])
    missing = record(forgot, METRICS, SubmissionStatus.MISSING)
    students = with_written(points_by_student([*graded, missing, right("poe_103", METRICS)], [METRICS]), scores)
    by_name = {one.student: one for one in students}
    assert by_name[read].points == 3 + 3.5 - 0.5
    assert by_name[read].max_points == 14
    assert by_name[unread].points is None and "formgrader" in by_name[unread].reason
    assert by_name[forgot].points is None and "handed in" in by_name[forgot].reason
    assert by_name["poe_103"].points is None and "no score" in by_name["poe_103"].reason


# --- Moodle ----------------------------------------------------------------------------------------------------------


def test_moodle(tmp_path: Path) -> None:
    students = points_by_student(
        [record("Jane Doe_101", DOT, PARTLY.status, *PARTLY.checks, diagnoses=PARTLY.diagnoses)], [DOT]
    )
    export = fill_worksheet(moodle_file(tmp_path), students, column=DOT)
    compare_with_golden("moodle.csv", export.text)
    assert export.filled == 1 and not export.unmatched
    assert export.without_results == ("Richard Roe", "=cmd|x")


@pytest.mark.parametrize(
    "student", ["Jane Doe_101", "Group A-Jane Doe_101", "Participant_101", "101", "jane@example.org"]
)
def test_moodles_participants_are_found(tmp_path: Path, student: str) -> None:
    export = fill_worksheet(moodle_file(tmp_path), points_by_student([right(student)], [DOT]), column=DOT)
    assert table(export.text)[1][4] == "4" and not export.unmatched


def test_whom_moodle_does_not_know_is_told(tmp_path: Path) -> None:
    records = [right("Mallory_101"), right("Jane Doe_1011"), right("x_106"), right("102"), right("richard@example.org")]
    export = fill_worksheet(moodle_file(tmp_path), points_by_student(records, [DOT]), column=DOT)
    told = reasons(export.unmatched)
    assert export.filled == 0 and set(told) == {one.student for one in records}
    assert "'Jane Doe'" in told["Mallory_101"] and "same row" in told["102"]
    assert "no row" in told["Jane Doe_1011"]
    cannot = fill_worksheet(moodle_file(tmp_path), points_by_student([right("106")], [DOT]), column=DOT)
    assert "cannot be changed" in reasons(cannot.unmatched)["106"]


def test_comments_are_escaped_for_moodle(tmp_path: Path) -> None:
    syntax = record("101", DOT, SYNTAX.status, *SYNTAX.checks, message=SYNTAX.message)
    export = fill_worksheet(moodle_file(tmp_path), points_by_student([syntax], [DOT]), column=DOT, scale=True)
    comment = table(export.text)[1][-1]
    assert "&lt;script&gt;" in comment and "<script" not in comment


def test_what_is_no_worksheet_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="'Identifier' is missing"):
        moodle_file(tmp_path, "Kennung,Bewertung\n1,2\n")


# --- the commands ----------------------------------------------------------------------------------------------------


def course(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "grader.cli", "export", *arguments]
    environment = {**os.environ, "COURSE_ROOT": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_commands_write_files_and_name_who_is_left_over(tmp_path: Path) -> None:
    write_results(RECORDS, tmp_path)
    canvas_file(tmp_path)
    moodle_file(tmp_path)
    canvas = course("canvas", str(tmp_path), "--gradebook", str(tmp_path / "gradebook.csv"))
    assert canvas.returncode == 1, canvas.stderr
    assert "unlucky_105" in canvas.stdout and "1 handed in nothing" in canvas.stdout and "--scale" in canvas.stdout
    assert "3 students there have no points here" in canvas.stdout and (tmp_path / "canvas.csv").is_file()

    several = course("moodle", str(tmp_path), "--worksheet", str(tmp_path / "worksheet.csv"))
    assert several.returncode == 2 and "--exercise" in several.stderr
    target = tmp_path / "new" / "upload.csv"
    moodle = course(
        "moodle", str(tmp_path), "--worksheet", str(tmp_path / "worksheet.csv"), "--exercise", DOT, "--json",
        "--output", str(target),
    )  # fmt: skip
    assert moodle.returncode == 1 and json.loads(moodle.stdout)["file"] == str(target)
    assert {one["student"] for one in json.loads(moodle.stdout)["unmatched"]} >= {"doejane_101", "roerichard_102"}

    junit = course("junit", str(tmp_path), "--exercise", METRICS)
    assert junit.returncode == 0 and (tmp_path / "junit.xml").read_text(encoding="utf-8").count("<testsuite ") == 1
    empty = course("junit", str(tmp_path / "new"))
    assert empty.returncode == 2 and "output folder of a `course grade` run" in empty.stderr
