"""Opening nbgrader's gradebook, and its errors in words that name the file and the fix."""

from __future__ import annotations

import os
import sqlite3
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.gradebook.errors import GradebookError
from grader.quick_import import skip_unused_grammar

if TYPE_CHECKING:
    from nbgrader.api import Gradebook

NOT_INSTALLED = "nbgrader is not installed, so {where} cannot be written. Install it: pip install nbgrader"
BAD_URL = "{where} is not a database's URL. Write one such as sqlite:///gradebook.db"
CANNOT_WRITE = "{where} could not be written: {reason}"
READ_ONLY = (
    "{where} is read-only. Give yourself the right to write to the file and to its folder (chmod u+w), then run again"
)
# Part of the database's own message -> what to tell.
FIXES = {
    "database is locked": "{where} is locked by another program. Close formgrader and other nbgrader commands, or wait "
    "until they are done, then run again; the batch that was being written was left out",
    "readonly database": READ_ONLY,
    "unable to open database file": "{where} cannot be opened. Check that its folder exists and may be written to",
    "file is not a database": "{where} is not an SQLite database. Move it away, or name another file",
    "no such column": "{where} was made by an older nbgrader. Bring it up to date: nbgrader db upgrade",
    "disk is full": "{where} could not be written: the disk is full",
}


def database_file(database_url: str) -> Path | None:
    """The file of an SQLite database; None for a database on a server or in memory.

    Raises GradebookError for a text that is not a database's URL.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise GradebookError(BAD_URL.format(where=repr(database_url))) from error
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database.removeprefix("file:")).absolute()


@contextmanager
def open_gradebook(database_url: str, course_id: str) -> Iterator[Gradebook]:
    """nbgrader's gradebook, made where there is none. What was not committed is rolled back on an error.

    Raises GradebookError for whatever the database refuses, in here or in the body of the `with` statement.
    """
    file = database_file(database_url)
    where = _shown(database_url, file)
    skip_unused_grammar()
    try:
        from nbgrader.api import Gradebook, InvalidEntry
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise GradebookError(NOT_INSTALLED.format(where=where)) from error
    if file is not None and file.exists() and not os.access(file, os.W_OK):
        raise GradebookError(READ_ONLY.format(where=where))
    gradebook: Any = None
    try:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        with _scripts_on_path():
            gradebook = Gradebook(database_url, course_id)
        yield gradebook
    except (SQLAlchemyError, InvalidEntry, sqlite3.Error, OSError) as error:
        raise _explained(error, where) from error
    finally:
        if gradebook is not None:
            gradebook.db.rollback()
            gradebook.close()


def _explained(error: Exception, where: str) -> GradebookError:
    text = str(getattr(error, "orig", None) or error)
    for part, fix in FIXES.items():
        if part in text:
            return GradebookError(fix.format(where=where))
    return GradebookError(CANNOT_WRITE.format(where=where, reason=text.splitlines()[0] if text else repr(error)))


def _shown(database_url: str, file: Path | None) -> str:
    """How messages name a database: its file, or its URL without the password."""
    from sqlalchemy.engine import make_url

    return str(file) if file is not None else make_url(database_url).render_as_string(hide_password=True)


@contextmanager
def _scripts_on_path() -> Iterator[None]:
    """nbgrader calls `alembic` by name for a new database; find it although the environment is not activated."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{sysconfig.get_path('scripts')}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before
