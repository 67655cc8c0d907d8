"""What a result depends on: the version of the checks and of the libraries. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from grader.libraries import FRAMEWORK_LIBRARIES

if TYPE_CHECKING:
    from grader.course import Exercise, Framework

SHOWN_DIGITS = 12  # of a hash


def checks_hash(path: Path) -> str:
    """SHA-256 of a check file: the version of the checks."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rules_hash(exercise: Exercise) -> str:
    """SHA-256 of all that decides a grade and is ours: checks, catalogue, forbidden names, limits and points."""
    rules = (exercise.forbidden, exercise.limits, exercise.points)
    catalogue = exercise.catalogue_path.read_bytes() if exercise.catalogue_path.is_file() else b""
    return hashlib.sha256(exercise.checks_path.read_bytes() + b"\0" + catalogue + repr(rules).encode()).hexdigest()


def short_version(rules: str, names: Mapping[str, str] | None = None) -> str:
    """How a version of the checks is shown: as a release calls it (`names`, by hash), else the start of its hash."""
    return (names or {}).get(rules) or rules[:SHOWN_DIGITS]


def environment_versions(framework: Framework, confinement: str) -> dict[str, str]:
    """Versions that a result depends on."""
    return dict(_environment_versions(framework, confinement))


@lru_cache
def _environment_versions(framework: Framework, confinement: str) -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.system(), "confinement": confinement}
    for name in dict.fromkeys(("numpy", "hypothesis", *FRAMEWORK_LIBRARIES[framework])):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions
