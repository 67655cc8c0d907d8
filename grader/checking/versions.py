"""What a result depends on: the version of the checks and of the libraries. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import platform
from functools import lru_cache
from importlib import metadata
from pathlib import Path

_LIBRARIES = {"torch": ("torch",), "tensorflow": ("tensorflow", "keras"), "transformers": ("torch", "transformers")}


def checks_hash(path: Path) -> str:
    """SHA-256 of a check file: the version of the checks."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def environment_versions(framework: str, confinement: str) -> dict[str, str]:
    """Versions that a result depends on."""
    return dict(_environment_versions(framework, confinement))


@lru_cache
def _environment_versions(framework: str, confinement: str) -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.system(), "confinement": confinement}
    for name in ("numpy", "hypothesis", *_LIBRARIES.get(framework, ())):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions
