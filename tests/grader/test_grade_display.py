"""The table that `course grade` ends with."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord
from grader.cli.class_table import MAX_COLUMNS, show_class_table
from grader.cli.grade_display import nothing_to_run
from grader.course import Course, Exercise, Framework, Kind, Limits, Topic

ROOT = Path("course")


def a_course(count: int, name: str = "slug") -> Course:
    exercises = tuple(
        Exercise(ROOT, f"topic_{index % 2}/{name}_{index}", "T", Kind.CODING, Framework.NUMPY, 1, 10, 10)
        for index in range(count)
    )
    topics = (Topic("topic_0", "Zero"), Topic("topic_1", "One"), Topic("topic_2", "Nothing handed in"))
    return Course(ROOT, "demo", "Demo", "1.0", Limits(), (), topics, exercises)


def record(student: str, exercise: Exercise, points: float, status: SubmissionStatus) -> ResultRecord:
    check = CheckRecord("t", "T.", CheckOutcome.PASSED if points else CheckOutcome.FAILED, points, 10.0)
    return ResultRecord(student, exercise.id, status, (check,), max_points=10.0)


def printed(course: Course, *records: ResultRecord) -> list[str]:
    """The lines that are printed on a terminal of 80 columns."""
    by_key = {(each.student, each.exercise): each for each in records}
    students = sorted({each.student for each in records})
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        show_class_table(console, "Demo", by_key, course.exercises, students)
    return capture.get().splitlines()


def cells(lines: list[str]) -> list[list[str]]:
    """The cells of the table among the lines."""
    rows = [line for line in lines if line[0] in "┃│"]
    return [[cell.strip() for cell in row.strip("┃│").replace("┃", "│").split("│")] for row in rows]


def test_a_few_exercises_have_a_column_each_and_names_are_whole() -> None:
    course = a_course(2)
    first, second = course.exercises
    table = printed(
        course,
        record("a-student-with-a-name", first, 10, SubmissionStatus.GRADED),
        record("a-student-with-a-name", second, 0, SubmissionStatus.SYNTAX_ERROR),
        record("bob", first, 0, SubmissionStatus.MISSING),
    )
    assert cells(table) == [
        ["student", "slug 0", "slug 1", "points"],
        ["a-student-with-a-name", "10/10", "syntax error", "10/20"],
        ["bob", "–", "–", "0/20"],
    ]


def test_many_exercises_are_shown_by_topic() -> None:
    course = a_course(MAX_COLUMNS + 1)
    zero, one = course.exercises[0], course.exercises[1]
    table = printed(
        course,
        record("ada", zero, 10, SubmissionStatus.GRADED),
        record("ada", one, 0, SubmissionStatus.UNTOUCHED),
        record("bob", one, 0, SubmissionStatus.GRADER_ERROR),
    )
    assert cells(table) == [
        ["student", "topic 0", "topic 1", "points"],
        ["ada", "10/50", "0/40", "10/90"],
        ["bob", "–", "GRADER ERROR", "0/90"],
    ]


def test_headings_that_are_too_wide_have_a_line_for_each_word() -> None:
    course = a_course(5, "early_stopping")
    handed_in = [record("ada", exercise, 10, SubmissionStatus.GRADED) for exercise in course.exercises]
    table = cells(printed(course, *handed_in))
    assert [" ".join(filter(None, lines)) for lines in zip(*table[:-1], strict=True)] == [
        "student",
        *(f"early stopping {index}" for index in range(5)),
        "points",
    ]
    assert [lines[1:-1] for lines in table[:3]] == [["early"] * 5, ["stopping"] * 5, [*"01234"]]


def test_headings_that_a_terminal_has_no_room_for_are_numbers_with_a_list_below() -> None:
    course = a_course(6, "generalisation_of_representations")
    handed_in = [record("ada", exercise, 10, SubmissionStatus.GRADED) for exercise in course.exercises[:-2]]
    handed_in.append(record("ada", course.exercises[-2], 0, SubmissionStatus.SYNTAX_ERROR))
    handed_in.append(record("ada", course.exercises[-1], 0, SubmissionStatus.UNTOUCHED))
    table = printed(course, *handed_in)
    assert cells(table) == [
        ["student", *"123456", "points"],
        ["ada", *["10/10"] * 4, "syntax", "untouched", "40/60"],
        ["", *[""] * 4, "error", "", ""],
    ]
    assert [line.split() for line in table[-6:]] == [
        [str(number), exercise.id] for number, exercise in enumerate(course.exercises, start=1)
    ]


def test_a_long_name_leaves_room_for_the_points_and_is_still_whole() -> None:
    course = a_course(6, "generalisation_of_representations")
    name = "".join(f"{number:02d}" for number in range(30))
    table = printed(course, *(record(name, exercise, 10 / 3, SubmissionStatus.GRADED) for exercise in course.exercises))
    heading, first, *rest = cells(table)
    assert heading == ["student", *"123456", "points"]
    assert "".join(line[0] for line in (first, *rest)) == name
    assert first[-1] == "20/60"


def test_notebooks_that_had_nothing_to_run_are_counted_where_there_are_some() -> None:
    assert nothing_to_run(0) == ""
    assert nothing_to_run(4) == ", 4 with nothing to run"
