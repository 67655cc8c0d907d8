"""The notebooks in what was handed in, by name: below a folder or in a zip. Nothing outside of either is followed."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from grader.checking.outcome import SubmissionStatus
from grader.gradebook.files import safe_name
from grader.grading.unwritable import writing
from grader.notebooks.reading import MAX_BYTES

MAX_ARCHIVE_FILES = 50_000
MAX_ARCHIVE_BYTES = 4 * 1024**3  # of notebooks, unpacked, each counted up to what is read of it

REFUSED_LINK = "{name!r} is a link to another place; only real files are read."
REFUSED_PLACE = "{name!r} points outside the archive, and was not unpacked."
CANNOT_BE_OPENED = "{name!r} cannot be opened: {reason}."

_NOT_SUBMISSIONS = frozenset({".ipynb_checkpoints", ".git", "__pycache__", "__MACOSX"})
_DRIVE = re.compile(r"[A-Za-z]:")
_BROKEN_ENTRY = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    OSError,
    zlib.error,
    lzma.LZMAError,
)


class HandInError(ValueError):
    """What was given is no folder or zip that can be read."""


@dataclass(frozen=True)
class HandedInFile:
    """A notebook by its name: the folders it lies in, and its own name. `path` is where it can be read.

    Where it cannot, `status` and `message` say why. `given` is the name it came with, where `parts` is a reading of it.
    """

    parts: tuple[str, ...]
    path: Path | None = None
    status: SubmissionStatus | None = None
    message: str = ""
    given: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The whole name, fit to be shown."""
        return shown("/".join(self.given or self.parts))

    @property
    def stem(self) -> str:
        """Its own name without the ending."""
        return PurePosixPath(self.parts[-1]).stem


@dataclass(frozen=True)
class HandedIn:
    """All notebooks that were handed in, and the folders, each as the folders it lies in and its own name."""

    files: tuple[HandedInFile, ...]
    folders: tuple[tuple[str, ...], ...]

    def within(self, wrapper: str) -> HandedIn:
        """The same as seen from inside of the one folder that holds everything."""
        files = (replace(file, parts=file.parts[1:]) if _inside(file.parts, wrapper) else file for file in self.files)
        return HandedIn(tuple(files), tuple(parts[1:] for parts in self.folders if _inside(parts, wrapper)))


def _inside(parts: tuple[str, ...], folder: str) -> bool:
    return len(parts) > 1 and parts[0] == folder


def shown(name: str) -> str:
    """A name fit to be shown and stored: anything that is not text is replaced."""
    return name.encode("utf-8", "replace").decode("utf-8")


def read_folder(folder: Path, leave_out: Path | None = None) -> HandedIn:
    """The notebooks below a folder, in order of their names. Links are listed as refused, and not followed.

    `leave_out` is a folder that may lie inside and is passed over: results that were written there earlier.
    """
    left_out = leave_out.resolve() if leave_out is not None else None
    files: list[HandedInFile] = []
    inside: list[tuple[str, ...]] = []

    def refuse(parts: tuple[str, ...], message: str, **details: str) -> None:
        message = message.format(name=shown("/".join(parts)), **details)
        files.append(HandedInFile(parts, status=SubmissionStatus.REFUSED, message=message))

    def cannot_be_opened(error: OSError) -> None:
        parts = Path(os.path.relpath(error.filename, folder)).parts
        refuse(parts, CANNOT_BE_OPENED, reason=error.strerror or "no reason given")

    for parent, folders, names in os.walk(folder, onerror=cannot_be_opened):
        here = Path(parent)
        above = here.relative_to(folder).parts
        folders[:] = sorted(name for name in folders if name not in _NOT_SUBMISSIONS)
        for name in [*folders]:
            if (here / name).is_symlink():  # os.walk does not go there
                refuse((*above, name), REFUSED_LINK)
            elif (here / name).resolve() == left_out:
                folders.remove(name)
            else:
                inside.append((*above, name))
        for name in sorted(names):
            if _is_notebook(name) and _is_plain(here / name):
                files.append(HandedInFile((*above, name), here / name))
            elif _is_notebook(name):
                refuse((*above, name), REFUSED_LINK)
    return HandedIn(tuple(files), tuple(inside))


def read_zip(archive: Path, unpacked: Path) -> HandedIn:
    """The notebooks in a zip, each written to a file of ours in the folder `unpacked`, which is emptied first.

    A notebook that is damaged, encrypted or named after a place outside concerns nobody else. Raises HandInError when
    the archive as a whole cannot be read, UnwritableError when the notebooks cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            entries = [(entry, _parts(entry.filename)) for entry in bundle.infolist()]
            entries = [(entry, parts) for entry, parts in entries if parts and not _NOT_SUBMISSIONS.intersection(parts)]
            notebooks = [item for item in entries if not item[0].is_dir() and _is_notebook(item[1][-1])]
            size = sum(min(entry.file_size, MAX_BYTES) for entry, _ in notebooks)
            if len(notebooks) > MAX_ARCHIVE_FILES or size > MAX_ARCHIVE_BYTES:
                raise HandInError(f"{archive}: too many notebooks or too much data for a class's submissions")
            shutil.rmtree(unpacked, ignore_errors=True)
            with writing(unpacked):
                unpacked.mkdir(parents=True)
            files = [
                _unpack(bundle, entry, parts, unpacked / f"{number:05}-{safe_name('-'.join(parts[:-1]))}.ipynb")
                for number, (entry, parts) in enumerate(notebooks, start=1)
            ]
    except (zipfile.BadZipFile, NotImplementedError, EOFError, UnicodeDecodeError) as error:
        raise HandInError(f"{archive}: not a zip archive that can be read ({error})") from None
    folders = {parts if entry.is_dir() else parts[:-1] for entry, parts in entries}
    inside = sorted(parts for parts in folders if parts and not _leads_outside(parts))
    return HandedIn(tuple(sorted(files, key=lambda file: file.parts)), tuple(inside))


def read_zips(folder: Path, unpacked: Path) -> HandedIn:
    """The notebooks in the zips that lie in a folder, each zip as if it were a folder of its name without the ending.

    Raises HandInError when one of them cannot be read, OSError when the notebooks cannot be written.
    """
    files: list[HandedInFile] = []
    folders: list[tuple[str, ...]] = []
    archives = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".zip" and _is_plain(path))
    shutil.rmtree(unpacked, ignore_errors=True)
    for number, archive in enumerate(archives, start=1):
        inner = read_zip(archive, unpacked / f"{number:05}")
        files += (replace(file, parts=(archive.stem, *file.parts)) for file in inner.files)
        folders += [(archive.stem,), *((archive.stem, *parts) for parts in inner.folders)]
    return HandedIn(tuple(files), tuple(folders))


def _leads_outside(parts: tuple[str, ...]) -> bool:
    return ".." in parts or parts[0] == "/" or _DRIVE.match(parts[0]) is not None


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def _is_notebook(name: str) -> bool:
    return name.lower().endswith(".ipynb")


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _unpack(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, parts: tuple[str, ...], path: Path) -> HandedInFile:
    """Write one notebook, or a little more than what is read of it, to a path of ours."""
    name = shown("/".join(parts))
    if _leads_outside(parts):
        return HandedInFile(parts, status=SubmissionStatus.REFUSED, message=REFUSED_PLACE.format(name=name))
    if stat.S_ISLNK(entry.external_attr >> 16):
        return HandedInFile(parts, status=SubmissionStatus.REFUSED, message=REFUSED_LINK.format(name=name))
    try:
        with bundle.open(entry) as file:
            data = file.read(MAX_BYTES + 1)
    except _BROKEN_ENTRY as error:
        reason = CANNOT_BE_OPENED.format(name=name, reason=f"it is damaged or encrypted ({error})")
        return HandedInFile(parts, status=SubmissionStatus.UNREADABLE, message=reason)
    with writing(path):
        path.write_bytes(data)
    return HandedInFile(parts, path)
