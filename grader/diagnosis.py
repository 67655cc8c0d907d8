"""Diagnosis: which catalogued misconception a failing submission behaves like.

Every wrong answer of the catalogue is run through the same checks with the same inputs, once; what it returned, and
which checks rejected it, is its behaviour. A submission that returned the same (within tolerance) has made the same
mistake, however differently it is written.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from grader.checking.comparison import dtype_name, to_array
from grader.checking.outcome import CheckOutcome
from grader.grading.jobs import JobResult

KEPT_NUMBERS = 32
KEPT_CALLS = 40
KEPT_CHARACTERS = 200
LARGEST_INTEGER = 2**53  # beyond it, not every integer is a float
RELATIVE, ABSOLUTE = 1e-4, 1e-6
REJECTED = (CheckOutcome.FAILED.value, CheckOutcome.TIMEOUT.value, CheckOutcome.CRASHED.value)

Fingerprint = Any  # plain JSON: numbers, text, lists


@dataclass(frozen=True)
class Behaviour:
    """What a submission did under the checks: the outcome of each, and what it returned to those that rejected it."""

    outcomes: dict[str, str]
    returned: dict[str, list[Fingerprint]]


def fingerprint(value: Any) -> Fingerprint:
    """A short, JSON-able stand-in for a value: shape, kind and the first numbers of arrays, recursively."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value[:KEPT_CHARACTERS]
    if isinstance(value, int):
        return int(value) if abs(value) < LARGEST_INTEGER else f"{value:x}"[:KEPT_CHARACTERS]
    if isinstance(value, float):
        return float(f"{value:.8g}") if math.isfinite(value) else repr(float(value))
    if isinstance(value, dict):
        items = list(value.items())[:KEPT_NUMBERS]
        return {"dict": [[_as_text(key), fingerprint(item)] for key, item in items]}
    if isinstance(value, set | frozenset):
        return sorted((fingerprint(item) for item in list(value)[:KEPT_NUMBERS]), key=_as_text)
    if isinstance(value, list | tuple):
        return [fingerprint(item) for item in value[:KEPT_NUMBERS]]
    try:
        array = to_array(value)
    except (TypeError, ValueError):
        names = getattr(value, "class_names", ())
        return {"object": str(names[0]).rpartition(".")[2] if names else type(value).__name__}
    if array.dtype.kind not in "biuf":
        return {"dtype": dtype_name(value), "shape": list(array.shape)}
    numbers = [fingerprint(float(number)) for number in array.ravel()[:KEPT_NUMBERS]]
    return {"dtype": dtype_name(value), "shape": list(array.shape), "numbers": numbers}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(fingerprint(value))


def same(left: Fingerprint, right: Fingerprint) -> bool:
    """Whether two fingerprints agree within tolerance.

    What no check looks at makes no difference: the order of a dictionary, and whether a single number is Python's own,
    a NumPy scalar or an array without axes.
    """
    left, right = _plain(left), _plain(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return bool(np.isclose(left, right, rtol=RELATIVE, atol=ABSOLUTE))
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def _plain(value: Fingerprint) -> Fingerprint:
    """A single number as that, whatever held it; the items of a dictionary in one order."""
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {"dict": sorted(value["dict"], key=lambda item: str(item[0]))}
    if value.get("shape") == [] and len(value.get("numbers", ())) == 1:
        number = value["numbers"][0]
        return bool(number) if value["dtype"] == "bool" else number
    return value


def behaviour_of(result: JobResult) -> Behaviour:
    """The behaviour in a result whose traces were asked for; of checks that passed only the outcome is kept."""
    outcomes = {check.name: check.outcome.value for check in result.checks}
    returned = {
        name: [fingerprint(value) for value in trace[:KEPT_CALLS]]
        for name, trace in result.traces.items()
        if outcomes.get(name) in REJECTED
    }
    return Behaviour(outcomes, returned)


def agreement(submission: Behaviour, mistake: Behaviour) -> int:
    """How many checks rejected both and saw the same values from both."""
    return sum(_agree(submission, mistake, name) for name in _rejecting(submission))


def match(submission: Behaviour, mistake: Behaviour) -> str:
    """How a submission's behaviour relates to a mistake's: "exact", "partial" or "" for not at all.

    Exact: the same checks rejected both, and every one of them saw the same values from both. Partial, as when somebody
    made another mistake as well: the first check that rejected the submission saw the same values from the mistake, and
    the submission passed no check that the mistake fails.
    """
    failed = _rejecting(submission)
    if not failed or submission.outcomes.keys() != mistake.outcomes.keys():
        return ""
    if submission.outcomes == mistake.outcomes and agreement(submission, mistake) == len(failed):
        return "exact"
    explained = set(_rejecting(mistake)) <= set(failed)
    return "partial" if explained and _agree(submission, mistake, failed[0]) else ""


def _rejecting(behaviour: Behaviour) -> list[str]:
    return [name for name, outcome in behaviour.outcomes.items() if outcome in REJECTED]


def _agree(submission: Behaviour, mistake: Behaviour, check: str) -> bool:
    seen = submission.returned.get(check, [])
    return (
        bool(seen)
        and submission.outcomes[check] == mistake.outcomes.get(check)
        and same(seen, mistake.returned.get(check, []))
    )
