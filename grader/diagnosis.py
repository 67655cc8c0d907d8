"""Diagnosis: which catalogued misconception a failing submission behaves like.

Every wrong answer of the catalogue is run through the same checks with the same inputs, once; what it returned, and
which checks rejected it, is its behaviour. A submission that returned the same (within tolerance) has made the same
mistake, however differently it is written.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grader.catalogue import CatalogueError, WrongAnswer, apply_change, load_catalogue
from grader.checking.comparison import dtype_name, to_array
from grader.checking.outcome import CheckOutcome
from grader.checking.record import Diagnosis
from grader.checking.runner import checks_hash
from grader.course import Exercise
from grader.grading.engine import Job, JobResult, LocalEngine

KEPT_NUMBERS = 64
KEPT_CALLS = 60
RELATIVE, ABSOLUTE = 1e-4, 1e-6
_BEHAVIOUR_VERSION = 1
_REJECTED = (CheckOutcome.FAILED.value, CheckOutcome.TIMEOUT.value, CheckOutcome.CRASHED.value)

Fingerprint = Any  # plain JSON: numbers, text, lists


@dataclass(frozen=True)
class Behaviour:
    """What a submission did under the checks: the outcome of each, and what it returned to each."""

    outcomes: dict[str, str]
    returned: dict[str, list[Fingerprint]]


def fingerprint(value: Any) -> Fingerprint:
    """A short, JSON-able stand-in for a value: shape, kind and the first numbers of arrays, recursively."""
    if value is None or isinstance(value, bool | str | int):
        return value if not isinstance(value, str) else value[:200]
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, dict):
        return {"dict": [[str(key), fingerprint(item)] for key, item in list(value.items())[:KEPT_NUMBERS]]}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else list(value)
        return [fingerprint(item) for item in items[:KEPT_NUMBERS]]
    try:
        array = to_array(value)
    except (TypeError, ValueError):
        names = getattr(value, "class_names", ())
        return {"object": str(names[0]).rpartition(".")[2] if names else type(value).__name__}
    if array.dtype.kind not in "biuf":
        return {"dtype": dtype_name(value), "shape": list(array.shape)}
    numbers = [fingerprint(float(number)) for number in array.ravel()[:KEPT_NUMBERS]]
    return {"dtype": dtype_name(value), "shape": list(array.shape), "numbers": numbers}


def same(left: Fingerprint, right: Fingerprint) -> bool:
    """Whether two fingerprints agree within tolerance."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return bool(np.isclose(left, right, rtol=RELATIVE, atol=ABSOLUTE))
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def behaviour_of(result: JobResult) -> Behaviour:
    """The behaviour in a result whose traces were asked for."""
    outcomes = {check.name: check.outcome.value for check in result.checks}
    returned = {name: [fingerprint(value) for value in trace[:KEPT_CALLS]] for name, trace in result.traces.items()}
    return Behaviour(outcomes, returned)


def match(submission: Behaviour, mistake: Behaviour) -> str:
    """How a submission's behaviour relates to a mistake's: "exact", "partial" or "" for not at all.

    Exact: the same checks rejected both, and every one of them saw the same values from both. Partial: the first check
    that rejected the submission saw the same values from the mistake, and rejected it too.
    """
    failed = [name for name, outcome in submission.outcomes.items() if outcome in _REJECTED]
    if not failed or submission.outcomes.keys() != mistake.outcomes.keys():
        return ""

    def agree(name: str) -> bool:
        seen = submission.returned.get(name, [])
        return (
            bool(seen)
            and submission.outcomes[name] == mistake.outcomes[name]
            and same(seen, mistake.returned.get(name, []))
        )

    if submission.outcomes == mistake.outcomes and all(agree(name) for name in failed):
        return "exact"
    return "partial" if agree(failed[0]) else ""


class Diagnostician:
    """Knows the behaviour of every catalogued mistake; finds it out once and keeps it on disk. Thread-safe."""

    def __init__(self, engine: LocalEngine, cache: Path) -> None:
        self._engine, self._cache = engine, cache
        self._known: dict[tuple[str, int], dict[str, Behaviour]] = {}
        self._entries: dict[str, tuple[WrongAnswer, ...]] = {}
        self._locks: dict[tuple[str, int], threading.Lock] = {}
        self._lock = threading.Lock()

    def diagnose(self, exercise: Exercise, result: JobResult, seed: int) -> tuple[Diagnosis, ...]:
        """The misconceptions a failing result behaves like, exact matches only if there are any; at most three."""
        behaviours = self.behaviours(exercise, seed)
        submission = behaviour_of(result)
        found = []
        for entry in self._entries.get(exercise.id, ()):
            how = match(submission, behaviours[entry.id]) if entry.id in behaviours else ""
            if how:
                found.append(Diagnosis(entry.id, entry.title, entry.explanation, how))
        exact = [diagnosis for diagnosis in found if diagnosis.match == "exact"]
        return tuple((exact or found)[:3])

    def behaviours(self, exercise: Exercise, seed: int) -> dict[str, Behaviour]:
        """Behaviour of every catalogued mistake of an exercise, by id. No catalogue, no behaviours."""
        key = (exercise.id, seed)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._known:
                self._known[key] = self._find_out(exercise, seed)
            return self._known[key]

    def _find_out(self, exercise: Exercise, seed: int) -> dict[str, Behaviour]:
        try:
            entries = load_catalogue(exercise.catalogue_path).wrong_answers
            reference = exercise.reference_path.read_text(encoding="utf-8")
        except (CatalogueError, OSError):
            return {}  # a bundle without the catalogue grades, it does not diagnose
        self._entries[exercise.id] = entries
        parts = [exercise.catalogue_path.read_text(encoding="utf-8"), reference, checks_hash(exercise.checks_path)]
        version = hashlib.sha256("\0".join([str(_BEHAVIOUR_VERSION), str(seed), *parts]).encode()).hexdigest()[:24]
        path = self._cache / f"{exercise.topic}-{exercise.slug}-{version}.json"
        stored = _read(path)
        if stored is not None:
            return stored
        behaviours = {}
        for entry in entries:
            try:
                source = apply_change(entry, reference)
            except CatalogueError:
                continue  # `course verify` reports it
            result = self._engine.run(Job(exercise, (source,), seed=seed, trace=True))
            if not result.problem:
                behaviours[entry.id] = behaviour_of(result)
        _write(path, behaviours)
        return behaviours


def _read(path: Path) -> dict[str, Behaviour] | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: Behaviour(entry["outcomes"], entry["returned"]) for name, entry in data.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, behaviours: dict[str, Behaviour]) -> None:
    data = {name: {"outcomes": entry.outcomes, "returned": entry.returned} for name, entry in behaviours.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{threading.get_ident()}.tmp")
        temporary.write_text(json.dumps(data), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        return  # a cache that cannot be written costs time, nothing else
