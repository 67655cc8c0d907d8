"""The actor on a node: it unpacks the course and hands on to `node_grading`, which comes with it.

Ray sends this module by value, because a node need not have the course installed: it imports nothing but the standard
library until the course is unpacked. Everything that a node writes lies in one folder, which is removed when the actor
ends, or, when it was killed, by the next actor on the same machine: the folder's lock tells that nobody is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

FOLDER_PREFIX = "grading-node-"
_LOCK_NAME = "in-use"


class NodeActor:
    """One on every node; `grade` is called from several threads at once.

    Whatever goes wrong is an answer, never an exception: Ray would have to import its class on the other side.
    """

    def __init__(self) -> None:
        self._grading: Any = None
        self._folder: Path | None = None
        self._lock = -1

    def prepare(self, bundle: bytes, sha256: str, settings: str) -> str:
        """Unpack the course and start the warm processes. JSON with "problem", empty when this node can grade."""
        try:
            return json.dumps({"problem": self._prepare(bundle, sha256, settings)})
        except ModuleNotFoundError as error:
            return json.dumps({"problem": f"the library {error.name} is not installed there"})
        except Exception as error:
            return json.dumps({"problem": f"{type(error).__name__}: {error}"})

    def _prepare(self, bundle: bytes, sha256: str, settings: str) -> str:
        if hashlib.sha256(bundle).hexdigest() != sha256:
            return "the course arrived damaged"
        remove_left_over_folders()
        self._folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        self._lock = os.open(self._folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        course, temporary = self._folder / "course", self._folder / "temporary"
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            archive.extractall(course)
        temporary.mkdir()
        tempfile.tempdir = str(temporary)
        sys.path.insert(0, str(course))
        from grader.grading.on_ray.node_grading import NodeGrading

        grading = NodeGrading(course, settings)
        problem: str = grading.begin()
        self._grading = grading
        return problem

    def grade(self, request: str) -> str:
        """Grade one submission; see `messages`."""
        answer: str = self._grading.grade(request)
        return answer

    def is_there(self) -> bool:
        """For the driver to ask now and then."""
        return True

    def close(self) -> None:
        """End every process and remove every file."""
        if self._grading is not None:
            self._grading.close()
        if self._folder is not None:
            _remove(self._folder)
            os.close(self._lock)
            self._folder = None


def remove_left_over_folders() -> None:
    """Remove the folders of actors on this machine that were killed; those of other users are left alone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            descriptor = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # gone meanwhile, or made a moment ago and not locked yet
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):  # a student's folders without permissions, or nested very deep
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", str(folder)], stderr=subprocess.DEVNULL, check=False)
