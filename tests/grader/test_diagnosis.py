"""Diagnosis: what is compared of two behaviours, what counts as the same, and how a match is called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from grader.behaviours import Diagnostician
from grader.checking.outcome import CheckOutcome
from grader.checking.record import CheckRecord
from grader.course import load_course
from grader.diagnosis import KEPT_CALLS, KEPT_NUMBERS, Behaviour, behaviour_of, fingerprint, match, same
from grader.grading.collect import CollectedSubmission
from grader.grading.engine import LocalEngine
from grader.grading.jobs import JobResult
from grader.grading.submission_grading import Grader
from grader.notebooks.submission import Submission
from grader.sandbox import wire
from grader.sandbox.wire import TensorFlowTensor

ROOT = Path(__file__).resolve().parents[2]
PERFECT = ROOT / "tests/sample_class/submitted/student-01/metrics/classification.ipynb"

VALUES: list[Any] = [
    None,
    True,
    3,
    -(2**60),
    2.5,
    float("nan"),
    float("-inf"),
    "text",
    "x" * 10_000,
    b"bytes",
    [1, [2.0, "three"], (4, None)],
    {"b": np.arange(3), 2: {"inner": []}, (1, 2): None},
    {3, 1, 2},
    frozenset({"b", "a", None}),
    slice(1, 2),
    Ellipsis,
    1 + 2j,
    np.float32(0.5),
    np.bool_(False),
    np.array(7),
    np.array([]),
    np.array(["a", "b"]),
    np.array([1 + 1j]),
    np.arange(12, dtype=np.uint8).reshape(3, 4),
    np.full((50, 50), np.inf),
    torch.tensor([1.5, -2.0], requires_grad=True),
    torch.ones(2, dtype=torch.bfloat16),
    TensorFlowTensor(np.eye(2, dtype=np.float32)),
    SimpleNamespace(class_names=("student.Model", "builtins.object")),
    10**4000,
    {10**4000: {10**4000}},
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_any_value_has_a_short_fingerprint_that_survives_json(value: Any) -> None:
    text = json.dumps(fingerprint(value), allow_nan=False)
    assert len(text) < 3000
    assert same(fingerprint(value), json.loads(text)), "the same when it is read from the file"


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_different_values_have_different_fingerprints(value: Any) -> None:
    alike = [other for other in VALUES if same(fingerprint(value), fingerprint(other))]
    assert len(alike) == 1 and alike[0] is value


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, 1.0),
        (1.0, 1.0 + 1e-9),
        (1e6, 1e6 + 1),
        (0.0, 1e-8),
        (float("nan"), float("nan")),
        ((1, 2), [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1, 2, 3}, {3, 2, 1}),
        (2.5, np.float64(2.5)),
        (3, np.int64(3)),
        (np.float32(0.5), np.array(0.5)),
        (True, np.bool_(True)),
        (0.25, torch.tensor(0.25)),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-7])),
    ],
)
def test_what_makes_no_difference(left: Any, right: Any) -> None:
    assert same(fingerprint(left), fingerprint(right))
    assert same(fingerprint(right), fingerprint(left))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (0, False),
        (1, "1"),
        (None, 0),
        (1.0, 1.01),
        (1.0, float("nan")),
        (float("inf"), float("-inf")),
        ([1, 2], [1, 2, 3]),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 1, "b": 2}),
        (np.zeros(2), np.zeros((2, 1))),
        (np.zeros(2), np.zeros(2, dtype=np.float32)),
        (np.zeros(2), [0.0, 0.0]),
        (np.array([True]), np.array([1.0])),
        (np.array(True), np.array(1.0)),
    ],
)
def test_what_makes_a_difference(left: Any, right: Any) -> None:
    assert not same(fingerprint(left), fingerprint(right))
    assert not same(fingerprint(right), fingerprint(left))


def test_only_the_beginning_of_large_values_is_kept() -> None:
    array = np.arange(5000.0)
    assert len(fingerprint(array)["numbers"]) == KEPT_NUMBERS
    assert same(fingerprint(array), fingerprint(np.r_[array[:-1], 0.0]))
    assert not same(fingerprint(array), fingerprint(array[:-1])), "the shape is whole"
    assert len(fingerprint(list(array))) == KEPT_NUMBERS


def a_check(name: str, outcome: CheckOutcome) -> CheckRecord:
    return CheckRecord(name, name, outcome, 0.0, 1.0)


def test_a_behaviour_holds_all_outcomes_and_what_rejecting_checks_saw() -> None:
    passed, failed, timeout, crashed, skipped = (
        CheckOutcome.PASSED,
        CheckOutcome.FAILED,
        CheckOutcome.TIMEOUT,
        CheckOutcome.CRASHED,
        CheckOutcome.SKIPPED,
    )
    outcomes = {"a": passed, "b": failed, "c": timeout, "d": crashed, "e": skipped}
    traces = {name: list(range(100)) for name in "abcd"}
    behaviour = behaviour_of(JobResult([a_check(*item) for item in outcomes.items()], wire.pack(traces)))
    assert behaviour.outcomes == {"a": "passed", "b": "failed", "c": "timeout", "d": "crashed", "e": "skipped"}
    assert behaviour.returned == {name: list(range(KEPT_CALLS)) for name in "bcd"}


def does(**checks: tuple[str, list[Any]]) -> Behaviour:
    return Behaviour(
        {name: outcome for name, (outcome, _) in checks.items()}, {name: v for name, (_, v) in checks.items()}
    )


MISTAKE = does(a=("passed", []), b=("failed", [1.0, 2.0]), c=("failed", [3.0]))


@pytest.mark.parametrize(
    ("submission", "expected"),
    [
        (MISTAKE, "exact"),
        (does(a=("passed", [9.0]), b=("failed", [1.0, 2.00001]), c=("failed", [3.0])), "exact"),
        (does(a=("passed", []), b=("failed", [1.0, 2.0]), c=("failed", [4.0])), "partial"),
        (does(a=("passed", []), b=("failed", [1.0, 2.0]), c=("timeout", [3.0])), "partial"),
        (does(a=("failed", [0.0]), b=("failed", [1.0, 2.0]), c=("failed", [3.0])), ""),
        (does(a=("passed", []), b=("failed", [1.0, 2.0]), c=("passed", [])), ""),
        (does(a=("passed", []), b=("failed", [1.0, 2.0]), c=("skipped", [])), ""),
        (does(a=("passed", []), b=("failed", [1.0]), c=("failed", [3.0])), ""),
        (does(a=("passed", []), b=("crashed", [1.0, 2.0]), c=("failed", [3.0])), ""),
        (does(a=("passed", []), b=("passed", []), c=("failed", [3.0])), ""),
        (does(a=("passed", []), b=("passed", []), c=("passed", [])), ""),
        (does(a=("passed", []), b=("failed", [1.0, 2.0])), ""),
        (does(a=("passed", []), b=("failed", [1.0, 2.0]), d=("failed", [3.0])), ""),
    ],
)
def test_how_a_match_is_called(submission: Behaviour, expected: str) -> None:
    assert match(submission, MISTAKE) == expected


def test_a_check_that_saw_nothing_shows_nothing() -> None:
    silent = does(a=("failed", []))
    assert match(silent, silent) == "", "two empty functions have not made the same mistake"


# --- for real --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grader(tmp_path_factory: pytest.TempPathFactory):
    with LocalEngine(load_course(ROOT)) as engine:
        yield Grader(engine, Diagnostician(engine, tmp_path_factory.mktemp("cache")))


CHANGES = {
    "macro_f1": ('"macro_f1": f1.mean()', '"macro_f1": f1[np.unique(y_true)].mean()'),
    "threshold": ("called, real = p >= threshold, y == 1", "called, real = p > threshold, y == 1"),
    "maximum": ('"balanced_accuracy": recall[real > 0].mean()', '"balanced_accuracy": recall.max()'),
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((), []),
        (("macro_f1",), [("absent-classes-dropped", "exact")]),
        (("threshold",), [("strictly-above-the-threshold", "exact")]),
        (("threshold", "macro_f1"), [("strictly-above-the-threshold", "partial")]),
        (("maximum",), []),
        (("maximum", "threshold"), []),
    ],
)
def test_mistakes_in_a_student_s_own_words(
    grader: Grader, changes: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    exercise = grader.engine.course.exercise("metrics/classification")
    collected = CollectedSubmission("ada", exercise.id, PERFECT.name, PERFECT)
    submission = grader.read(exercise, collected)
    assert isinstance(submission, Submission)
    cells = list(submission.code_cells)
    for change in changes:
        old, new = CHANGES[change]
        assert sum(cell.count(old) for cell in cells) == 1
        cells = [cell.replace(old, new) for cell in cells]
    record = grader.grade(exercise, collected, replace(submission, code_cells=tuple(cells)))
    assert (record.points == record.max_points) == (not changes)
    assert [(diagnosis.id, diagnosis.match) for diagnosis in record.diagnoses] == expected
    for diagnosis in record.diagnoses:
        assert diagnosis.title and diagnosis.explanation
