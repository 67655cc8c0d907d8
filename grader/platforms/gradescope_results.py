"""Gradescope's `results.json`, from result records.

The format is the one of https://gradescope-autograders.readthedocs.io/en/latest/specs/. The tests of one submission are
the checks of all its exercises. Standard output and `extra_data` are for instructors alone, so they may say everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord
from grader.gradebook.wording import clean_text
from grader.platforms.told import about_check, about_diagnosis, about_status, first_to_fix

MAX_OUTPUT = 20_000  # characters


class Visibility(StrEnum):
    """When students see a test; the values are Gradescope's."""

    HIDDEN = "hidden"
    AFTER_DUE_DATE = "after_due_date"
    AFTER_PUBLISHED = "after_published"
    VISIBLE = "visible"


def gradescope_results(
    records: Sequence[ResultRecord],
    titles: Mapping[str, str],
    *,
    hidden_visibility: Visibility = Visibility.AFTER_PUBLISHED,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The results of one submission, of one exercise or several; `titles` are the exercises' titles by id.

    `hidden_visibility` is for checks that the notebook does not show. `about` is added to the data for instructors.
    """
    several = len(records) > 1
    return {
        "score": round(sum(record.points for record in records), 4),
        "execution_time": round(sum(record.seconds for record in records), 3),
        "output": "\n\n".join(_output(record, titles, several) for record in records)[:MAX_OUTPUT],
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "stdout_visibility": Visibility.HIDDEN.value,
        "tests": [
            _test(record, check, f"{place}.{number}" if several else str(number), titles, several, hidden_visibility)
            for place, record in enumerate(records, start=1)
            for number, check in enumerate(record.checks, start=1)
        ],
        "extra_data": {**(about or {}), "exercises": [_about(record) for record in records]},
    }


def _output(record: ResultRecord, titles: Mapping[str, str], several: bool) -> str:
    """What students always see: whether their notebook was checked, and nothing that depends on a hidden check."""
    told = about_status(record) if record.status is not SubmissionStatus.GRADED else ""
    title = titles.get(record.exercise, record.exercise)
    return f"{title}: {told or 'checked'}" if several else told


def _test(
    record: ResultRecord,
    check: CheckRecord,
    number: str,
    titles: Mapping[str, str],
    several: bool,
    hidden_visibility: Visibility,
) -> dict[str, Any]:
    name = clean_text(check.title or check.name)
    output = about_check(check)
    if check is first_to_fix(record):
        output = "\n\n".join(part for part in (output, about_diagnosis(record)) if part)
    return {
        "name": f"{titles.get(record.exercise, record.exercise)}: {name}" if several else name,
        "number": number,
        "score": check.points,
        "max_score": check.max_points,
        "status": "passed" if check.outcome is CheckOutcome.PASSED else "failed",
        "output": output,
        "visibility": (Visibility.VISIBLE if check.visible else hidden_visibility).value,
        "tags": [record.exercise],
        "extra_data": {"check": check.name, "outcome": check.outcome.value},
    }


def _about(record: ResultRecord) -> dict[str, Any]:
    return {
        "exercise": record.exercise,
        "status": record.status.value,
        "points": record.points,
        "max_points": record.max_points,
        "course_version": record.course_version,
        "checks_version": record.checks_hash,
        "submission": record.submission_hash,
        "seed": record.seed,
        "environment": record.environment,
        "diagnoses": [{"id": found.id, "title": found.title, "match": found.match} for found in record.diagnoses],
    }
