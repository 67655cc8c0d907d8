"""Pseudonyms of students, and the key to them: a JSON file, student to pseudonym, that stays with the instructor."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grader.gradebook.errors import GradebookError
from grader.gradebook.files import partial_path

PREFIX = "anonymous-"
LENGTH = 5
# Neither vowels, which could spell a word, nor signs that are mistaken for each other.
SIGNS = "23456789bcdfghjkmnpqrstvwxz"
NOT_A_KEY = "{path}: this is no key that `course anonymise` wrote ({reason}). Name another file with --key"

_PSEUDONYM = re.compile(rf"{PREFIX}[{SIGNS}]{{{LENGTH}}}")
_PRIVATE = 0o600


@dataclass(frozen=True)
class Key:
    """Which pseudonym every student has; `new` of them were drawn just now."""

    pseudonyms: dict[str, str]
    new: int = 0


def complete_key(earlier: dict[str, str], students: Iterable[str]) -> Key:
    """The key with a random pseudonym for every student who has none yet."""
    pseudonyms = dict(earlier)
    without = sorted(set(students) - set(pseudonyms))
    taken = {*pseudonyms, *pseudonyms.values(), *without}
    for student in without:
        pseudonyms[student] = _draw(taken)
        taken.add(pseudonyms[student])
    return Key(pseudonyms, len(without))


def read_key(path: Path) -> dict[str, str]:
    """Student to pseudonym; nothing when there is no key yet. Raises GradebookError, OSError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    try:
        pseudonyms = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise GradebookError(NOT_A_KEY.format(path=path, reason=error)) from None
    if not isinstance(pseudonyms, dict):
        raise GradebookError(NOT_A_KEY.format(path=path, reason="it is not an object"))
    for pseudonym in pseudonyms.values():
        if not isinstance(pseudonym, str) or not _PSEUDONYM.fullmatch(pseudonym):
            raise GradebookError(NOT_A_KEY.format(path=path, reason=f"{pseudonym!r} is no pseudonym"))
    if len(set(pseudonyms.values())) < len(pseudonyms):
        raise GradebookError(NOT_A_KEY.format(path=path, reason="two students share a pseudonym"))
    return pseudonyms


def write_key(path: Path, key: Key) -> None:
    """Write the key, whole or not at all, readable by its owner only. Raises OSError."""
    text = json.dumps(dict(sorted(key.pseudonyms.items())), indent=1) + "\n"
    partial = partial_path(path)
    partial.unlink(missing_ok=True)
    try:
        # Private from its first byte on: a file that is made private later can be opened before.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _draw(taken: set[str]) -> str:
    while True:
        pseudonym = PREFIX + "".join(secrets.choice(SIGNS) for _ in range(LENGTH))
        if pseudonym not in taken:
            return pseudonym
