"""A class report of a large made-up class on the course's real exercises, to look at and to measure.

`python -m tests.grader.large_class report.html` writes it. No submission is graded: every result is drawn at random
from an ability of the student and a difficulty of the check, with a check that nobody passes,
one that the good ones fail, one that separates nobody, and hostile names.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from grader.catalogue import WrongAnswer, load_catalogue
from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, Diagnosis, ResultRecord
from grader.course import Course, Exercise, load_course
from grader.gradebook.class_report import write_class_report
from grader.gradebook.similarity import ExerciseSimilarity, SubmittedCode, compare
from grader.gradebook.summary import summarise
from grader.notebooks.checks_index import IndexedCheck, read_checks_index

ODD_NAMES = (
    "<script>alert('x')</script>",
    "\u202eadmin\u202c",
    "\x1b[31mred\x1b[0m",
    "a very long name that somebody typed into a form field without any limit on it " * 2,
    "=HYPERLINK(1)",
    "Zoë Ångström",
    "李小龙",
)
STATUSES = (
    (0.010, SubmissionStatus.UNREADABLE, "It is a PDF, not a notebook."),
    (0.020, SubmissionStatus.TIMED_OUT, "The whole time for this notebook was used up."),
    (0.025, SubmissionStatus.CRASHED, "Killed: out of memory.\n<b>in</b> cell 4"),
    (0.026, SubmissionStatus.GRADER_ERROR, "The checker died twice."),
    (0.090, SubmissionStatus.MISSING, ""),
    (0.110, SubmissionStatus.UNTOUCHED, "The code is as it was handed out."),
)


def make_records(exercises: Sequence[Exercise], students: int, seed: int = 0) -> list[ResultRecord]:
    """Results of a class: `students` results an exercise."""
    generator = random.Random(seed)
    names = [*ODD_NAMES, *(f"student-{number:03d}" for number in range(1, students + 1))][:students]
    ability = {name: generator.gauss(0.6, 1.0) for name in names}
    records = []
    for place, exercise in enumerate(exercises):
        checks = read_checks_index(exercise.checks_path)
        mistakes = load_catalogue(exercise.catalogue_path).wrong_answers
        for name in names:
            blank = ResultRecord(name, exercise.id, SubmissionStatus.GRADED, max_points=exercise.points)
            records.append(_filled(generator, blank, checks, mistakes, ability[name], place))
    return records


def _filled(
    generator: random.Random,
    blank: ResultRecord,
    checks: Sequence[IndexedCheck],
    mistakes: Sequence[WrongAnswer],
    ability: float,
    place: int,
) -> ResultRecord:
    drawn = generator.random()
    for share, status, message in STATUSES:
        if drawn < share:
            source = f"submitted/{blank.student}/{blank.exercise}.ipynb"
            return replace(blank, status=status, message=message, source=source)
    judged = []
    for number, check in enumerate(checks):
        sign = -1.0 if (place, number) == (2, 1) else 1.0  # one check that the good ones fail
        chance = 1 / (1 + math.exp(-1.7 * sign * (ability - (number - 2) * 0.4)))
        if (place, number) == (3, 2):  # one that separates nobody
            chance = 0.5
        passed = generator.random() < chance and (place, number) != (1, 3)  # and one that nobody passes
        outcome = CheckOutcome.PASSED if passed else CheckOutcome.FAILED
        points = check.points if passed else 0.0
        judged.append(CheckRecord(check.name, check.title, outcome, points, check.points, check.visible, "It differs."))
    failed = any(check.outcome is CheckOutcome.FAILED for check in judged)
    return replace(
        blank,
        checks=tuple(judged),
        diagnoses=_diagnoses(generator, mistakes) if failed else (),
        seconds=0.1 + generator.random() ** 2,
        submission_hash="shared" if drawn > 0.997 else f"{blank.student} {blank.exercise}",
    )


def _diagnoses(generator: random.Random, mistakes: Sequence[WrongAnswer]) -> tuple[Diagnosis, ...]:
    if generator.random() < 0.55:
        return ()
    entry = mistakes[int(generator.random() ** 2 * len(mistakes))]
    match = "exact" if generator.random() < 0.6 else "partial"
    return (Diagnosis(entry.id, entry.title, entry.explanation, match),)


def make_similarity(exercises: Sequence[Exercise], names: Sequence[str]) -> tuple[ExerciseSimilarity, ...]:
    """Similar submissions of a few exercises, found among real correct answers and copies of them."""
    found = []
    for exercise in exercises[:6]:
        codes = [entry.code for entry in load_catalogue(exercise.catalogue_path).alternatives if entry.code]
        codes += [other.reference_path.read_text(encoding="utf-8") for other in exercises[6:14]]
        copies = [codes[0], codes[0].replace("\n    ", "\n      "), codes[1]]
        class_ = [SubmittedCode(name, (code,)) for name, code in zip(names, [*codes, *copies], strict=False)]
        found.append(compare(exercise.id, class_))
    return tuple(found)


def write_report(path: Path, course: Course, *, students: int, exercises: int, feedback: Path | None = None) -> Path:
    """Write the report of such a class."""
    chosen = course.exercises[:exercises]
    records = make_records(chosen, students)
    similarity = make_similarity(chosen, [record.student for record in records[:students]])
    return write_class_report(
        summarise(records, course),
        path,
        similarity=similarity,
        feedback_directory=feedback or path.parent / "feedback",
        course_root=course.root,
        generated=datetime(2025, 3, 4, 12, 30),
    )


def main() -> None:
    """Write the report and print its size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--students", type=int, default=500)
    parser.add_argument("--exercises", type=int, default=20)
    arguments = parser.parse_args()
    path = write_report(arguments.report, load_course(), students=arguments.students, exercises=arguments.exercises)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
