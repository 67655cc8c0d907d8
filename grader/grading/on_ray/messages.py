"""What the driver and the nodes say to each other, as JSON: nothing that a student wrote is ever unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grader.checking.record import ResultRecord
from grader.course import Exercise
from grader.grading.collect import CollectedSubmission
from grader.notebooks.submission import CellSyntaxError, Submission


class NodeFault(RuntimeError):
    """A fault of ours on a node; the message is the node's."""


class NodeUnusable(RuntimeError):
    """Something is wrong with a node that the next submission would suffer from as well, as a full disk."""


@dataclass(frozen=True)
class NodeSettings:
    """What a node is told before its first submission.

    `environments` are the versions that the driver has, by framework: a node that has others is refused.
    """

    exercises: tuple[str, ...]
    seed: int
    confine: bool
    environments: dict[str, dict[str, str]]

    def to_json(self) -> str:
        """The message; `from_json` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> NodeSettings:
        """The settings in a message."""
        data = json.loads(text)
        return cls(**{**data, "exercises": tuple(data["exercises"])})


def request(exercise: Exercise, collected: CollectedSubmission, submission: Submission) -> str:
    """A submission on its way to a node."""
    return json.dumps(
        {
            "exercise": exercise.id,
            "student": collected.student,
            "source": collected.source,
            "path": str(collected.path) if collected.path is not None else None,
            "submission": {**asdict(submission), "defined_names": sorted(submission.defined_names)},
        }
    )


def read_request(text: str) -> tuple[str, CollectedSubmission, Submission]:
    """The exercise's id, where the submission comes from, and the submission."""
    data = json.loads(text)
    path = Path(data["path"]) if data["path"] is not None else None
    collected = CollectedSubmission(data["student"], data["exercise"], data["source"], path)
    return data["exercise"], collected, _submission(data["submission"])


def _submission(data: dict[str, Any]) -> Submission:
    errors = tuple(CellSyntaxError(**{**error, "names": tuple(error["names"])}) for error in data["syntax_errors"])
    return Submission(
        code_cells=tuple(data["code_cells"]),
        cell_numbers=tuple(data["cell_numbers"]),
        written_answers=data["written_answers"],
        defined_names=frozenset(data["defined_names"]),
        syntax_errors=errors,
        notes=tuple(data["notes"]),
        sha256=data["sha256"],
    )


def answer(record: ResultRecord) -> str:
    """A result on its way back."""
    return json.dumps({"record": record.to_dict()})


def fault(error: Exception) -> str:
    """A fault of ours on its way back."""
    return json.dumps({"fault": f"{type(error).__name__}: {error}"})


def unusable(error: Exception) -> str:
    """What is wrong with the node, on its way back."""
    return json.dumps({"unusable": str(error)})


def read_answer(text: str) -> ResultRecord:
    """The result in an answer. Raises NodeFault, NodeUnusable when there is that instead."""
    data = json.loads(text)
    if "unusable" in data:
        raise NodeUnusable(data["unusable"])
    if "fault" in data:
        raise NodeFault(data["fault"])
    return ResultRecord.from_dict(data["record"])
