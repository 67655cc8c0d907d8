"""Making a release: the student's and the instructor's bundle, as folders and as zips, the same bytes every time."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from grader.course import Course, Exercise
from grader.release.bundles import Files, instructor_files, refuse_leaks, student_files
from grader.release.changelog import write_changelog
from grader.release.manifest import RELEASE_MANIFEST, Bundle, ReleaseError, ReleaseManifest, read_manifest
from grader.release.versions import make_manifest

CHANGELOG_NAME = "CHANGELOG.md"
STALE = "{paths}: not up to date. Run `course build`, then release again."
NOT_OURS = "{path}: is no bundle that `course release` made (it has no manifest.json); name another folder"
_TIME = (1980, 1, 1, 0, 0, 0)  # of every file in a zip: the earliest there is
_RIGHTS = 0o100644 << 16


class Form(Enum):
    """How bundles are written."""

    BOTH = "both"
    FOLDER = "folder"
    ZIP = "zip"


@dataclass(frozen=True)
class Release:
    """A release that was made. `secrets` says how many texts were looked for in the student's bundle."""

    manifest: ReleaseManifest
    written: tuple[Path, ...]
    files: dict[Bundle, int]
    secrets: int
    since: Path | None
    changelog: str


def make_release(
    course: Course, exercises: Sequence[Exercise], target: Path, *, since: Path | None = None, form: Form = Form.BOTH
) -> Release:
    """Write both bundles into a folder.

    Versions count on from the manifest `since`; by default from the release that `target` holds, which the new one
    takes the place of. Raises ReleaseError when notebooks are not up to date, when something hidden would get into the
    student's bundle, or when a folder in the way is no bundle; OSError.
    """
    _refuse_stale(course, exercises)
    since = since or _present(target)
    previous = read_manifest(since) if since else None
    earlier = since.with_name(CHANGELOG_NAME) if since else None
    manifest = make_manifest(course, exercises, previous, Bundle.INSTRUCTOR)
    student = student_files(course, exercises, manifest.release)
    bundles = {Bundle.STUDENT: student, Bundle.INSTRUCTOR: instructor_files(course)}
    for bundle, files in bundles.items():
        own = replace(manifest, bundle=bundle)
        files[RELEASE_MANIFEST] = (json.dumps(own.to_dict(), indent=1, sort_keys=True) + "\n").encode()
        files[CHANGELOG_NAME] = write_changelog(own, previous, _earlier_text(earlier, bundle)).encode()
    secrets = refuse_leaks(student, course, exercises)
    written = [path for bundle, files in bundles.items() for path in _write(target, manifest, bundle, files, form)]
    return Release(
        manifest=manifest,
        written=tuple(written),
        files={bundle: len(files) for bundle, files in bundles.items()},
        secrets=secrets,
        since=since,
        changelog=bundles[Bundle.INSTRUCTOR][CHANGELOG_NAME].decode(),
    )


def _refuse_stale(course: Course, exercises: Sequence[Exercise]) -> None:
    from grader.notebooks.build import build_course

    stale = build_course(course, exercises, check=True).stale
    if stale:
        raise ReleaseError(STALE.format(paths=", ".join(str(file.path) for file in stale[:3])))


def _present(target: Path) -> Path | None:
    """The manifest of the release that a folder holds; the instructor's, which knows the checks."""
    path = target / Bundle.INSTRUCTOR.value / RELEASE_MANIFEST
    return path if path.is_file() else None


def _earlier_text(instructors: Path | None, bundle: Bundle) -> str:
    """The changelog of the previous release, each bundle its own: an instructor's would tell students too much."""
    if instructors is None:
        return ""
    path = instructors
    if bundle is Bundle.STUDENT:
        path = instructors.parent.with_name(Bundle.STUDENT.value) / CHANGELOG_NAME
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _write(target: Path, manifest: ReleaseManifest, bundle: Bundle, files: Files, form: Form) -> list[Path]:
    target.mkdir(parents=True, exist_ok=True)
    written = []
    if form is not Form.ZIP:
        written.append(_write_folder(target / bundle.value, files))
    if form is not Form.FOLDER:
        name = f"{manifest.course}-{manifest.course_version}-{bundle.value}"
        written.append(_write_zip(target / f"{name}.zip", name, files))
    return written


def _write_folder(folder: Path, files: Files) -> Path:
    """Write a bundle beside its place, then move it there: nobody sees half of one."""
    if folder.exists() and not (folder / RELEASE_MANIFEST).is_file():
        raise ReleaseError(NOT_OURS.format(path=folder))
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for name, data in files.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _write_zip(path: Path, top: str, files: Files) -> Path:
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(files):
                entry = zipfile.ZipInfo(f"{top}/{name}", _TIME)
                entry.create_system, entry.external_attr = 3, _RIGHTS
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, files[name])
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
