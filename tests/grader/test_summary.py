"""The class summary: values worked out by hand on a class of five."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, Diagnosis, ResultRecord
from grader.course import Course, Exercise, Framework, Kind, Limits, Topic
from grader.gradebook.attention import students_to_help
from grader.gradebook.item_analysis import Hint, analyse_checks, point_biserial
from grader.gradebook.summary import counted_records, summarise

PASSED, FAILED, ERROR = CheckOutcome.PASSED, CheckOutcome.FAILED, CheckOutcome.ERROR
TIMEOUT, SKIPPED = CheckOutcome.TIMEOUT, CheckOutcome.SKIPPED

ROOT = Path("course")
COURSE = Course(
    ROOT,
    "demo",
    "Demo",
    "1.0",
    Limits(),
    (),
    (Topic("attention", "Attention"), Topic("metrics", "Metrics")),
    (
        Exercise(ROOT, "attention/softmax", "Softmax", Kind.CODING, Framework.NUMPY, 1, 10, points=6),
        Exercise(ROOT, "attention/masks", "Masks", Kind.CODING, Framework.NUMPY, 1, 10, points=4),
        Exercise(ROOT, "metrics/auc", "AUC", Kind.CODING, Framework.NUMPY, 1, 10, points=5),
    ),
)
POINTS = {"a": 1.0, "b": 2.0, "c": 3.0}
UNSCALED = Diagnosis("unscaled", "no scaling", "Because.", "exact")
SHIFTED = Diagnosis("shifted", "off by one", "Because.", "partial")


def a_record(student: str, outcomes: str, *, exercise: str = "attention/softmax", **values: object) -> ResultRecord:
    """Outcomes of the checks a, b and c (1, 2 and 3 points), a letter each: passed, failed, error, timeout, skipped."""
    letters = {"p": PASSED, "f": FAILED, "e": ERROR, "t": TIMEOUT, "s": SKIPPED}
    checks = tuple(
        CheckRecord(name, f"Check {name}.", letters[letter], worth if letter == "p" else 0.0, worth)
        for (name, worth), letter in zip(POINTS.items(), outcomes, strict=False)
    )
    values = {"status": SubmissionStatus.GRADED, "max_points": 6.0, "submission_hash": f"hash-{student}", **values}
    return ResultRecord(student, exercise, checks=checks, **values)  # type: ignore[arg-type]


def without_checks(student: str, status: SubmissionStatus, **values: object) -> ResultRecord:
    return a_record(student, "", status=status, **values)


CLASS = [
    a_record("ada", "ppp"),
    a_record("bob", "pfp", diagnoses=(UNSCALED,)),
    a_record("cem", "pff", diagnoses=(UNSCALED, SHIFTED)),
    a_record("dee", "ffs"),
    without_checks("eve", SubmissionStatus.MISSING),
]


def test_the_matrix_has_a_cell_for_every_student_and_exercise() -> None:
    masks = a_record("ada", "pf", exercise="attention/masks", max_points=4.0)
    summary = summarise([*CLASS, masks], COURSE)
    assert [row.student for row in summary.students] == ["ada", "bob", "cem", "dee", "eve"]
    assert [exercise.exercise for exercise in summary.exercises] == ["attention/softmax", "attention/masks"]
    assert [[(cell.points, cell.max_points) for cell in row.cells] for row in summary.students] == [
        [(6, 6), (1, 4)],
        [(4, 6), (0, 4)],
        [(1, 6), (0, 4)],
        [(0, 6), (0, 4)],
        [(0, 6), (0, 4)],
    ]
    assert [row.points for row in summary.students] == [7, 4, 1, 0, 0]
    assert [row.share for row in summary.students] == [0.7, 0.4, 0.1, 0.0, 0.0]
    assert [row.handed_in for row in summary.students] == [2, 1, 1, 1, 0]
    assert summary.students[1].cells[1].status is SubmissionStatus.MISSING
    assert [cell.complete for cell in summary.students[0].cells] == [True, False]


def test_statistics_of_an_exercise() -> None:
    (softmax,) = summarise(CLASS, COURSE).exercises
    # Attempted: 6, 4, 1 and 0 points.
    assert (softmax.graded, softmax.complete, softmax.not_handed_in) == (4, 1, 1)
    assert (softmax.mean, softmax.median) == (2.75, 2.5)
    assert softmax.mean_share == pytest.approx(2.75 / 6)
    assert [(check.name, check.passed, check.answered) for check in softmax.checks] == [
        ("a", 3, 4),
        ("b", 1, 4),
        ("c", 2, 3),  # dee's was not run, which says nothing about dee
    ]
    assert [check.pass_rate for check in softmax.checks] == [0.75, 0.25, pytest.approx(2 / 3)]


def test_discrimination_is_the_correlation_with_the_rest() -> None:
    (softmax,) = summarise(CLASS, COURSE).exercises
    a, b, c = softmax.checks
    # a: passed 1 1 1 0, rest 5 3 0 0. Sums of products about the means (3/4, 2): xy 2, xx 3/4, yy 18.
    assert a.discrimination == pytest.approx(2 / (0.75 * 18) ** 0.5)
    # b: passed 1 0 0 0, rest 4 4 1 0. About (1/4, 9/4): xy 7/4, xx 3/4, yy 51/4.
    assert b.discrimination == pytest.approx(1.75 / (0.75 * 12.75) ** 0.5)
    # c, without dee: passed 1 1 0, rest 3 1 1. About (2/3, 5/3): xy 2/3, xx 2/3, yy 8/3.
    assert c.discrimination == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("passed", "rest", "expected"),
    [
        ([True, True, False, False], [3, 2, 1, 0], 2 / 5**0.5),
        ([True, False], [0, 1], -1.0),
        ([True, True], [0, 1], None),
        ([True, False], [1, 1], None),
        ([True], [1], None),
        ([], [], None),
    ],
)
def test_point_biserial(passed: list[bool], rest: list[float], expected: float | None) -> None:
    found = point_biserial(passed, rest)
    assert found is None if expected is None else found == pytest.approx(expected)


def test_a_broken_check_is_nobodys_failure() -> None:
    (check, *_) = analyse_checks([a_record("ada", "epp"), a_record("bob", "ppp")])
    assert (check.answered, check.passed, check.broken, check.pass_rate) == (1, 1, 1, 1.0)
    assert check.hints == (Hint.BROKEN,) and check.suspect


def test_a_check_nobody_ran_has_no_rate() -> None:
    (check, *_) = analyse_checks([a_record("ada", "spp")])
    assert (check.pass_rate, check.discrimination, check.hints) == (None, None, ())


def test_hints_need_enough_students() -> None:
    assert [check.hints for check in analyse_checks([a_record(f"s{number}", "pff") for number in range(4)])] == [()] * 3
    everybody, nobody, timed_out = analyse_checks([a_record(f"s{number}", "pft") for number in range(5)])
    assert everybody.hints == (Hint.EVERYBODY_PASSES,) and not everybody.suspect
    assert nobody.hints == timed_out.hints == (Hint.NOBODY_PASSES,) and nobody.suspect
    # Those who pass b and c fail a.
    opposite = [a_record(f"s{number}", "fpp" if number % 2 else "pff") for number in range(20)]
    assert analyse_checks(opposite)[0].hints == (Hint.NEGATIVE,)
    # Of those who pass the rest and of those who do not, half pass a.
    unrelated = [
        a_record(f"s{number}", ("p" if number % 2 else "f") + ("pp", "ff")[number // 10]) for number in range(20)
    ]
    assert analyse_checks(unrelated)[0].hints == (Hint.SEPARATES_NOBODY,)


def test_misconceptions_are_counted_and_ranked() -> None:
    summary = summarise(CLASS, COURSE)
    ranked = [(diagnosis.id, diagnosis.count, diagnosis.exact, diagnosis.students) for diagnosis in summary.diagnoses]
    assert ranked == [("unscaled", 2, 2, ("bob", "cem")), ("shifted", 1, 0, ("cem",))]


def test_problems_come_most_urgent_first() -> None:
    records = [
        without_checks("ada", SubmissionStatus.TIMED_OUT),
        without_checks("bob", SubmissionStatus.DUPLICATE),
        without_checks("cem", SubmissionStatus.UNREADABLE, message="not JSON"),
        without_checks("dee", SubmissionStatus.GRADER_ERROR, message="died"),
        without_checks("../evil", SubmissionStatus.REFUSED),
        a_record("eve", "ppp", exercise="no/such"),
        a_record("eve", "ppp"),
    ]
    summary = summarise(records, COURSE)
    assert [problem.student for problem in summary.problems] == ["dee", "../evil", "cem", "bob", "ada", "eve"]
    assert "no such exercise" in summary.problems[-1].message
    assert [exercise.exercise for exercise in summary.exercises] == ["attention/softmax"]


def test_the_latest_record_counts_and_a_duplicate_never() -> None:
    first, again = a_record("ada", "pff"), a_record("ada", "ppp")
    duplicate = without_checks("ada", SubmissionStatus.DUPLICATE)
    refused = without_checks("ada", SubmissionStatus.REFUSED)
    assert counted_records([first, duplicate, refused]) == {("ada", "attention/softmax"): first}
    assert counted_records([refused, first, again]) == {("ada", "attention/softmax"): again}
    assert counted_records([refused]) == {("ada", "attention/softmax"): refused}


def test_identical_submissions_are_listed_unless_they_are_the_stub() -> None:
    same = "same"
    records = [
        a_record("cem", "pff", submission_hash=same),
        a_record("ada", "pff", submission_hash=same),
        a_record("bob", "ppp"),
        without_checks("dee", SubmissionStatus.UNTOUCHED, submission_hash="stub"),
        without_checks("eve", SubmissionStatus.UNTOUCHED, submission_hash="stub"),
        a_record("bob", "pff", submission_hash=same, exercise="attention/masks"),
    ]
    (group,) = summarise(records, COURSE).identical
    assert (group.exercise, group.students, group.points) == ("attention/softmax", ("ada", "cem"), 1.0)


def test_an_exercise_that_nobody_attempted_has_no_mean() -> None:
    (softmax,) = summarise([without_checks("ada", SubmissionStatus.UNTOUCHED)], COURSE).exercises
    assert (softmax.graded, softmax.mean, softmax.median, softmax.mean_share, softmax.checks) == (
        0,
        None,
        None,
        None,
        (),
    )
    assert (softmax.max_points, softmax.not_handed_in) == (6, 0)


def test_an_empty_class_has_an_empty_summary() -> None:
    summary = summarise([], COURSE)
    assert (summary.students, summary.exercises, summary.problems) == ((), (), ())


def test_who_needs_help() -> None:
    found = {entry.row.student: entry.reasons for entry in students_to_help(summarise(CLASS, COURSE))}
    assert list(found) == ["dee", "eve", "cem"], "those with the fewest points first; ada and bob have at least half"
    assert found["eve"] == ("nothing handed in",)
    assert found["dee"] == ("no point yet in attention/softmax",)
    assert found["cem"] == ("less than half of the points", "known misconceptions: no scaling, off by one")


def test_an_exercise_is_compared_with_all_others() -> None:
    def both(student: str, softmax: str, masks: str, seconds: float) -> list[ResultRecord]:
        first = a_record(student, softmax, seconds=seconds)
        return [first, a_record(student, masks, exercise="attention/masks", max_points=3.0)]

    # Points of softmax 6, 3, 1 beside 1, 3, 0 of masks; fay handed in softmax alone.
    records = both("ada", "ppp", "pf", 1.0) + both("bob", "ppf", "pp", 4.0) + both("cem", "pff", "ff", 2.0)
    softmax, masks = summarise([*records, a_record("fay", "fff", seconds=3.0)], COURSE).exercises
    # Softmax 6, 3, 1, 0 with 1, 3, 0, 0: about (5/2, 1), xy 5, xx 21, yy 6.
    assert softmax.discrimination == pytest.approx(5 / (21 * 6) ** 0.5)
    # Masks 1, 3, 0 with 6, 3, 1: about (4/3, 10/3), xy 5/3, xx 14/3, yy 38/3.
    assert masks.discrimination == pytest.approx((5 / 3) / (14 / 3 * 38 / 3) ** 0.5)
    assert softmax.time is not None and masks.time is None
    assert (softmax.time.median, softmax.time.longest, softmax.time.total) == (2.5, 4.0, 10.0)
    assert softmax.minutes == 10 and not softmax.reversed


def test_an_exercise_that_the_good_ones_fail_is_named() -> None:
    records = []
    for number in range(24):
        good = number % 2 == 0
        records.append(a_record(f"s{number}", "fff" if good else "ppp"))
        records.append(a_record(f"s{number}", "pp" if good else "ff", exercise="attention/masks"))
    assert all(exercise.reversed for exercise in summarise(records, COURSE).exercises)
    assert not any(exercise.reversed for exercise in summarise(records[:16], COURSE).exercises), "too few to say"
