"""manifest.json of a release: its version, and the version of every exercise with all that came before it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

RELEASE_MANIFEST = "manifest.json"
RELEASE_SCHEMA = 1
NOT_A_MANIFEST = "{path}: not the manifest.json of a release ({reason})"


class ReleaseError(ValueError):
    """A release cannot be made or read; the message names the file and the remedy."""


class Bundle(Enum):
    """Whom a bundle is for."""

    STUDENT = "student"
    INSTRUCTOR = "instructor"


@dataclass(frozen=True)
class CheckVersion:
    """One check of a version: its points, and a SHA-256 of its source. In an instructor's manifest only."""

    points: float
    source: str


@dataclass(frozen=True)
class ExerciseVersion:
    """One version of an exercise. `checks` is the hash that results name, `statement` a SHA-256 of the stub."""

    version: int
    course_version: str
    checks: str
    statement: str
    points: float
    written_points: float


@dataclass(frozen=True)
class ReleasedExercise:
    """An exercise in a release: its versions, oldest first; `hidden` and `shared` are for instructors.

    `hidden` are its checks by name, `shared` SHA-256s of what else decides a grade, by what a changelog calls it.
    """

    title: str
    framework: str
    history: tuple[ExerciseVersion, ...]
    hidden: dict[str, CheckVersion] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)

    @property
    def now(self) -> ExerciseVersion:
        """The version that this release has."""
        return self.history[-1]


@dataclass(frozen=True)
class ReleaseManifest:
    """What a bundle says about itself. `release` is the course's version and a digest of all versions of exercises."""

    course: str
    title: str
    course_version: str
    release: str
    bundle: Bundle
    exercises: dict[str, ReleasedExercise]
    withdrawn: dict[str, ReleasedExercise] = field(default_factory=dict)  # so that one that comes back counts on

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `read_manifest` reads it."""
        data = {"schema": RELEASE_SCHEMA, **asdict(self), "bundle": self.bundle.value}
        for released in (*data["exercises"].values(), *data["withdrawn"].values()):
            if self.bundle is Bundle.STUDENT:
                del released["hidden"], released["shared"]
        return data


def read_manifest(path: Path) -> ReleaseManifest:
    """Read the manifest of a bundle. Raises ReleaseError when it cannot be read or is none."""
    try:
        data = json.loads(path.read_bytes())
        if data["schema"] != RELEASE_SCHEMA:
            raise ReleaseError(
                f"{path}: has schema {data['schema']!r}; this version of the toolkit reads {RELEASE_SCHEMA}"
            )
        return ReleaseManifest(
            course=str(data["course"]),
            title=str(data["title"]),
            course_version=str(data["course_version"]),
            release=str(data["release"]),
            bundle=Bundle(data["bundle"]),
            exercises={id: _released(entry) for id, entry in data["exercises"].items()},
            withdrawn={id: _released(entry) for id, entry in data["withdrawn"].items()},
        )
    except OSError as error:
        raise ReleaseError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, ReleaseError):
            raise
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ReleaseError(NOT_A_MANIFEST.format(path=path, reason=reason)) from None


def read_version_names(path: Path) -> dict[str, str]:
    """What a release calls the versions of checks, by their hashes: `version 2`, or `versions 2-3` for equal checks.

    Raises ReleaseError.
    """
    manifest = read_manifest(path)
    names: dict[str, str] = {}
    for released in (*manifest.exercises.values(), *manifest.withdrawn.values()):
        numbers: dict[str, list[int]] = {}
        for entry in released.history:
            numbers.setdefault(entry.checks, []).append(entry.version)
        for checks, found in numbers.items():
            runs_on = len(found) > 1 and found == list(range(found[0], found[-1] + 1))
            listed = f"{found[0]}-{found[-1]}" if runs_on else ", ".join(map(str, found))
            names[checks] = f"version{'s' if len(found) > 1 else ''} {listed}"
    return names


def version_names_beside(root: Path) -> dict[str, str]:
    """The names of versions in the release that a course's folder is; none where it is no release."""
    path = root / RELEASE_MANIFEST
    try:
        status = path.stat()
    except OSError:
        return {}
    return _names_at(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _names_at(path: Path, _changed: int, _size: int) -> dict[str, str]:
    """Read once for all pages of a class."""
    try:
        return read_version_names(path)
    except ReleaseError:  # some other program's manifest.json
        return {}


def _released(data: dict[str, Any]) -> ReleasedExercise:
    history = tuple(ExerciseVersion(**entry) for entry in data["history"])
    if not history:
        raise ValueError("an exercise has no version")
    hidden = {name: CheckVersion(**entry) for name, entry in data.get("hidden", {}).items()}
    return ReleasedExercise(data["title"], data["framework"], history, hidden, dict(data.get("shared", {})))
