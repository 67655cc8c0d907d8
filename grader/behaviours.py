"""What every catalogued mistake does under the checks: found out once, kept beside the catalogue.

For the default seed the behaviours are a product of `course build`, committed like the notebooks, so that a diagnosis
costs nothing; for other seeds, or where the file is out of date, they are found out again and cached.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.catalogue import CatalogueError, WrongAnswer, apply_change, load_catalogue
from grader.checking.outcome import CheckOutcome
from grader.checking.record import Diagnosis
from grader.checking.versions import checks_hash
from grader.course import Course, Exercise
from grader.diagnosis import Behaviour, agreement, behaviour_of, match
from grader.grading.engine import LocalEngine
from grader.grading.jobs import Job, JobResult

DEFAULT_SEED = 0
MAX_DIAGNOSES = 3
INCOMPLETE = """What these wrong answers do could not be found out, so nothing was written for their exercises:
  {unknown}
`course verify` with such an exercise says why."""
_FORMAT = 4


def behaviours_path(exercise: Exercise) -> Path:
    """Where the behaviours for the default seed are kept."""
    return exercise.catalogue_path.with_suffix(".behaviours.json")


class BehavioursIncomplete(RuntimeError):
    """What some wrong answers do could not be found out, so nothing was kept for their exercises."""


def behaviours_version(exercise: Exercise, seed: int = DEFAULT_SEED) -> str:
    """A hash of all that the behaviours depend on. Raises OSError when a file is missing."""
    reference = exercise.reference_path.read_text(encoding="utf-8")
    lines_that_run = [line for line in reference.splitlines() if not line.startswith("#")]  # the lesson's text does not
    parts = [str(_FORMAT), str(seed), exercise.catalogue_path.read_text(encoding="utf-8"), "\n".join(lines_that_run)]
    return hashlib.sha256("\0".join([*parts, checks_hash(exercise.checks_path)]).encode()).hexdigest()[:24]


def find_behaviours(engine: LocalEngine, exercise: Exercise, seed: int) -> dict[str, Behaviour]:
    """Run every catalogued mistake through the checks. Raises CatalogueError, OSError."""
    reference = exercise.reference_path.read_text(encoding="utf-8")
    found = {}
    for entry in load_catalogue(exercise.catalogue_path).wrong_answers:
        try:
            source = apply_change(entry, reference)
        except CatalogueError:
            continue  # `course verify` reports it
        result = engine.run(Job(exercise, (source,), seed=seed, trace=True))
        broken = any(check.outcome is CheckOutcome.ERROR for check in result.checks)
        if not result.problem and not broken:  # `course verify` reports a check that breaks
            found[entry.id] = behaviour_of(result)
    return found


def read_behaviours(path: Path, version: str) -> dict[str, Behaviour] | None:
    """Behaviours in a file; None when it is missing, damaged, or of another version."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] != version:
            return None
        return {name: Behaviour(entry["outcomes"], entry["returned"]) for name, entry in data["behaviours"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_behaviours(path: Path, version: str, behaviours: dict[str, Behaviour]) -> None:
    """Write behaviours, one mistake a line. Raises OSError."""
    lines = [
        f"{json.dumps(name)}:{json.dumps(vars(entry), separators=(',', ':'))}"
        for name, entry in sorted(behaviours.items())
    ]
    text = f'{{"version":{json.dumps(version)},"behaviours":{{\n' + ",\n".join(lines) + "\n}}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{threading.get_ident()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


@dataclass(frozen=True)
class BehaviourBuild:
    """What `build_behaviours` did: files written, up to date, or (when only checking) out of date."""

    written: tuple[Path, ...]
    unchanged: tuple[Path, ...]
    stale: tuple[Path, ...]


def build_behaviours(course: Course, exercises: Sequence[Exercise], check: bool = False) -> BehaviourBuild:
    """Bring the kept behaviours up to date; with `check`, only say which are not.

    Raises CatalogueError, OSError, ConfinementUnavailable; BehavioursIncomplete after all that could be written is.
    """
    outdated: list[tuple[Exercise, Path]] = []
    unchanged: list[tuple[Exercise, Path]] = []
    for exercise in exercises:
        path = behaviours_path(exercise)
        current = read_behaviours(path, behaviours_version(exercise)) is not None
        (unchanged if current else outdated).append((exercise, path))
    kept = tuple(path for _, path in unchanged)
    if check or not outdated:
        return BehaviourBuild((), kept, tuple(path for _, path in outdated))
    with LocalEngine(course) as engine:
        engine.warm(*dict.fromkeys(exercise.framework for exercise, _ in outdated))
        unknown: list[str] = []
        for exercise, path in outdated:
            found = find_behaviours(engine, exercise, DEFAULT_SEED)
            ids = [entry.id for entry in load_catalogue(exercise.catalogue_path).wrong_answers]
            unknown += [f"{exercise.id}: {id}" for id in ids if id not in found]
            if len(found) == len(ids):
                write_behaviours(path, behaviours_version(exercise), found)
    if unknown:
        raise BehavioursIncomplete(INCOMPLETE.format(unknown="\n  ".join(unknown)))
    return BehaviourBuild(tuple(path for _, path in outdated), kept, ())


class Diagnostician:
    """Finds the misconceptions a submission behaves like. Thread-safe."""

    def __init__(self, engine: LocalEngine, cache: Path) -> None:
        """`cache` is a folder for behaviours that are not kept beside the catalogue."""
        self._engine, self._cache = engine, cache
        self._known: dict[tuple[str, int], tuple[tuple[WrongAnswer, ...], dict[str, Behaviour]]] = {}
        self._locks: dict[tuple[str, int], threading.Lock] = {}
        self._lock = threading.Lock()

    def diagnose(self, exercise: Exercise, result: JobResult, seed: int) -> tuple[Diagnosis, ...]:
        """The misconceptions that a failing result behaves most like, if there are any."""
        entries, behaviours = self.behaviours(exercise, seed)
        submission = behaviour_of(result)
        found: list[tuple[int, Diagnosis]] = []
        for entry in (entry for entry in entries if entry.id in behaviours):
            how = match(submission, behaviours[entry.id])
            if how:
                diagnosis = Diagnosis(entry.id, entry.title, entry.explanation, how)
                found.append((agreement(submission, behaviours[entry.id]), diagnosis))
        closest = max((count for count, _ in found), default=0)
        return tuple(diagnosis for count, diagnosis in found if count == closest)[:MAX_DIAGNOSES]

    def behaviours(self, exercise: Exercise, seed: int) -> tuple[tuple[WrongAnswer, ...], dict[str, Behaviour]]:
        """The catalogued mistakes of an exercise and what each does. A bundle without the catalogue has none."""
        key = (exercise.id, seed)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._known:
                try:
                    entries = load_catalogue(exercise.catalogue_path).wrong_answers
                    self._known[key] = entries, self._find(exercise, seed, len(entries))
                except (CatalogueError, OSError):
                    self._known[key] = (), {}
            return self._known[key]

    def _find(self, exercise: Exercise, seed: int, count: int) -> dict[str, Behaviour]:
        version = behaviours_version(exercise, seed)
        cached = self._cache / f"{exercise.topic}-{exercise.slug}-{seed}.behaviours.json"
        for path in (behaviours_path(exercise), cached):
            kept = read_behaviours(path, version)
            if kept is not None:
                return kept
        found = find_behaviours(self._engine, exercise, seed)
        if len(found) == count:  # fewer when the run was interrupted meanwhile
            try:
                write_behaviours(cached, version, found)
            except OSError:
                pass  # a cache that cannot be written costs time, nothing else
        return found
