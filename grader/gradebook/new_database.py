"""nbgrader's database where there is none yet: there as a whole, or not at all.

nbgrader makes its tables one by one and starts a program before it writes their version, which takes seconds. A
database from which it was torn away in between works until the next nbgrader wants to bring it up to date, and cannot.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from grader.gradebook.files import partial_path


def make_sqlite_database(file: Path, course_id: str) -> None:
    """Make the file of a gradebook; one that another process makes meanwhile stays as that process made it.

    Raises what SQLAlchemy and the file system raise.
    """
    from nbgrader.api import Gradebook

    partial = partial_path(file)
    try:
        Gradebook(f"sqlite:///{partial}", course_id).close()
        with contextlib.suppress(FileExistsError):
            try:
                os.link(partial, file)
            except FileExistsError:
                raise
            except OSError:  # a file system without links
                os.replace(partial, file)
    finally:
        for path in (partial, partial.with_name(f"{partial.name}-journal")):
            path.unlink(missing_ok=True)
