"""The result record: everything known about one graded submission, as plain data with a JSON form."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from grader.checking.outcome import CheckOutcome, SubmissionStatus

LIKELY_CAUSE = "Likely cause: "  # opens the last line of a message that has a guess
RECORD_SCHEMA = 1


@dataclass(frozen=True, slots=True)  # thousands are held while a class is graded
class CheckRecord:
    """One check of one submission.

    `name` is the test function's name, `title` the first line of its docstring (what a student sees). `expected` and
    `actual` are short summaries for the report; `message` is the whole explanation. `seconds` is wall time.
    """

    name: str
    title: str
    outcome: CheckOutcome
    points: float
    max_points: float
    visible: bool = False
    message: str = ""
    expected: str = ""
    actual: str = ""
    called: str = ""
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `from_dict` is its inverse."""
        return {**asdict(self), "outcome": self.outcome.value}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CheckRecord:
        """Rebuild a record from its JSON form."""
        # The same few names and titles in every submission to an exercise: one text each.
        shared = {"name": sys.intern(data["name"]), "title": sys.intern(data["title"])}
        return cls(**{**data, **shared, "outcome": CheckOutcome(data["outcome"])})


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A catalogued misconception that the submission behaves like.

    `match` is "exact" (every recorded result equals the misconception's) or "partial" (the first failing check does).
    """

    id: str
    title: str
    explanation: str
    match: str


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """One graded submission.

    `checks_hash` names the version of the checks and of the rules around them (`versions.rules_hash`),
    `submission_hash` the bytes that were graded; both are SHA-256 hex. `output` is what the submission printed, capped.
    `notes` are remarks on reading the notebook (cells that failed, names that are missing). `environment` holds
    versions of Python and of the libraries, and the confinement used.
    """

    student: str
    exercise: str
    status: SubmissionStatus
    checks: tuple[CheckRecord, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    notes: tuple[str, ...] = ()
    message: str = ""
    output: str = ""
    course_version: str = ""
    checks_hash: str = ""
    submission_hash: str = ""
    seed: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    max_points: float = 0.0
    seconds: float = 0.0
    source: str = ""
    schema: int = RECORD_SCHEMA

    @property
    def points(self) -> float:
        """Points earned: the sum over passed checks."""
        return sum(check.points for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `from_dict` is its inverse."""
        data = asdict(self)
        data["status"] = self.status.value
        data["checks"] = [check.to_dict() for check in self.checks]
        data["points"] = self.points
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ResultRecord:
        """Rebuild a record from its JSON form.

        Raises ValueError for a schema this version does not know.
        """
        if data.get("schema") != RECORD_SCHEMA:
            raise ValueError(f"result record has schema {data.get('schema')!r}; this version reads {RECORD_SCHEMA}")
        fields = {key: value for key, value in data.items() if key != "points"}
        fields["status"] = SubmissionStatus(fields["status"])
        fields["checks"] = tuple(CheckRecord.from_dict(check) for check in fields["checks"])
        fields["diagnoses"] = tuple(Diagnosis(**diagnosis) for diagnosis in fields["diagnoses"])
        fields["notes"] = tuple(fields["notes"])
        return cls(**fields)
