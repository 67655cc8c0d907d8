"""Bundles for platforms as files by path, written as a folder or as a zip that is the same byte for byte each time."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from grader.platforms.bundled_course import Files

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
_PLAIN, _PROGRAM = 0o100644, 0o100755


def write_zip(files: Files, path: Path, programs: Collection[str] = ()) -> int:
    """Write a zip, whole or not at all, and return its size in bytes; `programs` can be executed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sorted(files.items()):
                entry = zipfile.ZipInfo(str(name), _LONG_AGO)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (_PROGRAM if str(name) in programs else _PLAIN) << 16
                archive.writestr(entry, data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path.stat().st_size


def write_folder(files: Files, folder: Path, programs: Collection[str] = ()) -> None:
    """Write files below a folder; others that are there stay. Raises OSError."""
    for name, data in sorted(files.items()):
        path = folder.joinpath(*name.parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755 if str(name) in programs else 0o644)


def below(folder: str, files: Files) -> Files:
    """The same files inside a folder."""
    return {PurePosixPath(folder) / name: data for name, data in files.items()}
