"""nbgrader's `ExchangeCollect` that takes nothing in the exchange on trust.

Anybody in the class can write there, and nbgrader believes what it finds: one bad name or unreadable file stops the
class, after the student's earlier submission was removed, and a link is replaced by what it points to, with the
instructor's rights. Names are therefore checked, links left out, and one student's trouble is nobody else's.
"""

from __future__ import annotations

import os
import shutil
import stat
from datetime import datetime
from typing import Any

from grader.gradebook.files import is_folder_name
from grader.grading.collect import canonical_student, unsafe_reason

NOT_NBGRADERS = "the name is not nbgrader's <student>+<assignment>+<time>+<number>"
UNSAFE_NAME = "the student's name is not safe to use"
A_LINK = "it is a link to another place"
NOT_A_FOLDER = "it is not a folder"
CANNOT_COPY = "it could not be copied: {reason}"
LEFT_OUT = "{name}: {entry} is a link or no ordinary file and was left out"
SHORTEST_NAME = 3  # parts between plus signs


def checked_collect(configured: type) -> Any:
    """nbgrader's collector with these checks; None for an exchange of somebody else's, which is left as it is."""
    from nbgrader.exchange import ExchangeError
    from nbgrader.exchange.default import ExchangeCollect

    if configured is not ExchangeCollect:
        return None

    class CheckedCollect(ExchangeCollect):
        """ExchangeCollect that takes nothing on trust. `refused` holds names of folders and why."""

        src_records: list[dict[str, Any]]

        def init_src(self) -> None:
            self.refused: list[tuple[str, str]] = []
            super().init_src()
            self.src_records = [record for record in self.src_records if record["username"] is not None]

        def _path_to_record(self, path: str) -> dict[str, Any]:
            """A refused one gets the name None, which no student has: nbgrader groups by name."""
            name = os.path.basename(path)
            reason, record = "", {"username": None, "filename": name, "timestamp": datetime.min}
            parts = name.rsplit("+", SHORTEST_NAME)
            try:
                found = super()._path_to_record(path)
            except (ExchangeError, ValueError, OverflowError, TypeError):
                reason = NOT_NBGRADERS
            else:
                student = found["username"]
                if len(parts) < SHORTEST_NAME or parts[1] != self.coursedir.assignment_id:
                    reason = NOT_NBGRADERS
                elif canonical_student(student) != student or unsafe_reason(student) or not is_folder_name(student):
                    reason = UNSAFE_NAME
                else:
                    reason = _cannot_collect(path)
            if reason:
                self.refused.append((name, reason))
                return record
            return dict(found)

        def do_copy(self, src: str, dest: str, log: Any = None) -> None:
            """Copy next to the place, without links, and then put it there: whole or not at all."""
            from nbgrader.utils import ignore_patterns

            unwanted = ignore_patterns(
                exclude=self.coursedir.ignore,
                include=self.coursedir.include,
                max_file_size=self.coursedir.max_file_size,
                log=self.log,
            )

            def left_out(folder: str, names: list[str]) -> set[str]:
                odd = {name for name in names if not _is_ordinary(os.path.join(folder, name))}
                for entry in sorted(odd):
                    self.log.warning(LEFT_OUT.format(name=os.path.basename(src), entry=entry))
                return odd | set(unwanted(folder, [name for name in names if name not in odd]))

            partial = os.path.join(os.path.dirname(dest), f".{os.path.basename(dest)}.{os.getpid()}.part")
            try:
                if self.get_size(src) > 1000 * self.coursedir.max_dir_size:
                    raise OSError("it is larger than CourseDirectory.max_dir_size allows")
                shutil.copytree(src, partial, ignore=left_out)
                os.replace(partial, dest)
            except (shutil.Error, OSError) as error:
                self.refused.append((os.path.basename(src), CANNOT_COPY.format(reason=error)))
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    return CheckedCollect


def _cannot_collect(path: str) -> str:
    """Why a folder of the exchange cannot be collected; empty when it can. Found before an older one is removed."""
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return A_LINK
    if not stat.S_ISDIR(mode):
        return NOT_A_FOLDER
    unreadable: list[OSError] = []
    for folder, _, names in os.walk(path, onerror=unreadable.append):
        for name in names:
            file = os.path.join(folder, name)
            if _is_ordinary(file) and not os.access(file, os.R_OK):
                return CANNOT_COPY.format(reason=f"{name} may not be read")
    return CANNOT_COPY.format(reason=unreadable[0].strerror) if unreadable else ""


def _is_ordinary(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
