"""What a bundled autograder was told when it was made: a small JSON file beside the bundled course."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from grader.platforms.gradescope_results import Visibility

SETTINGS_NAME = "autograder.json"
SETTINGS_SCHEMA = 1


class Platform(StrEnum):
    """Where a bundled autograder runs."""

    GRADESCOPE = "gradescope"
    PRAIRIELEARN = "prairielearn"
    CLASSROOM = "classroom"


class SettingsError(ValueError):
    """The settings of a bundle are missing or damaged."""


@dataclass(frozen=True)
class AutograderSettings:
    """The exercises an autograder grades, and how. `confine` is False only where an instructor asked for it."""

    platform: Platform
    exercises: tuple[str, ...]
    seed: int = 0
    hidden_visibility: Visibility = Visibility.AFTER_PUBLISHED
    confine: bool = True

    def to_json(self) -> str:
        """The text of the file; `read_settings` is its inverse."""
        return json.dumps({"schema": SETTINGS_SCHEMA, **asdict(self)}, indent=1) + "\n"


def read_settings(path: Path) -> AutograderSettings:
    """Read the settings of a bundle. Raises SettingsError."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("schema") != SETTINGS_SCHEMA:
            raise ValueError("of another version")
        return AutograderSettings(
            platform=Platform(data["platform"]),
            exercises=tuple(str(id) for id in data["exercises"]),
            seed=int(data["seed"]),
            hidden_visibility=Visibility(data["hidden_visibility"]),
            confine=bool(data["confine"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{path}: no settings of an autograder ({error}); make the bundle anew") from None
