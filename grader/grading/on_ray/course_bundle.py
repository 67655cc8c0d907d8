"""What a node needs of the course and of the grader, as one archive: nodes need no copy of the course."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.behaviours import behaviours_path
from grader.course import MANIFEST_NAME, Course, Exercise
from grader.grading.on_ray.errors import ClusterError

MAX_BUNDLE_MEGABYTES = 64
_PACKAGE = Path(__file__).resolve().parents[2]
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same files are the same bytes
_TOO_LARGE = (
    "the checks and references to send to the nodes take {megabytes:.0f} MB, at most {limit} are sent; grade fewer "
    "exercises at once (--exercise)"
)


@dataclass(frozen=True)
class CourseBundle:
    """A zip and its SHA-256 in hex."""

    data: bytes
    sha256: str


def make_bundle(course: Course, exercises: Sequence[Exercise]) -> CourseBundle:
    """The grader's own code, the manifest, and the files of these exercises. Raises ClusterError, OSError."""
    files = {f"grader/{path.relative_to(_PACKAGE).as_posix()}": path for path in _PACKAGE.rglob("*.py")}
    files[MANIFEST_NAME] = course.root / MANIFEST_NAME
    for path in _files_of(exercises):
        if path.is_file():
            files[path.relative_to(course.root).as_posix()] = path
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), files[name].read_bytes(), zipfile.ZIP_DEFLATED)
    data = buffer.getvalue()
    if len(data) > MAX_BUNDLE_MEGABYTES * 2**20:
        raise ClusterError(_TOO_LARGE.format(megabytes=len(data) / 2**20, limit=MAX_BUNDLE_MEGABYTES))
    return CourseBundle(data, hashlib.sha256(data).hexdigest())


def _files_of(exercises: Iterable[Exercise]) -> Iterable[Path]:
    for exercise in exercises:
        yield exercise.checks_path
        yield exercise.catalogue_path
        yield behaviours_path(exercise)
        yield exercise.reference_path
        yield exercise.stub_path
