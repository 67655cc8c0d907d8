"""Opening nbgrader's gradebook, and its errors in words that name the file and the fix."""

from __future__ import annotations

import importlib.util
import os
import re
import sqlite3
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.gradebook.errors import GradebookError
from grader.gradebook.new_database import make_sqlite_database
from grader.libraries import how_to_install
from grader.quick_import import skip_unused_grammar

if TYPE_CHECKING:
    from nbgrader.api import Gradebook
    from sqlalchemy.engine import URL

NOT_INSTALLED = "nbgrader is not installed, so {where} cannot be written. Install it: pip install nbgrader"
BAD_URL = "{where} is not a database's URL. Write one such as sqlite:///gradebook.db or postgresql://user@host/database"
NO_DRIVER = "{where} needs the driver {driver}, which is not installed; run: {install}"
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
    "authentication failed": "{where} refused the user name or the password. Check both in the URL, or use a ~/.pgpass",
    "no password supplied": "{where} asks for a password. Put it into the URL, or into ~/.pgpass",
    "connection refused": "{where} cannot be reached. Check host and port, and that the database server is running",
    "failed to resolve host": "{where} cannot be reached: there is no such host. Check the URL",
    "no such file or directory": "{where} cannot be reached. Check the folder of the socket, and that the server runs",
    "does not exist": "{where} was refused: {reason}. Make the database first, for example with createdb",
    "permission denied": "{where} was refused: {reason}. The user needs the right to create tables and to write",
    "terminating connection": "{where} went away while it was written; the batch that was being written was left out. "
    "Run again when the server is back",
    "server closed the connection": "{where} went away while it was written; the batch that was being written was left "
    "out. Run again when the server is back",
}
POSTGRESQL_DRIVERS = ("psycopg", "psycopg2")  # SQLAlchemy's names of drivers are those of the modules
POSTGRESQL_EXTRA_DRIVER = POSTGRESQL_DRIVERS[0]
WRITER_LOCK = 0x6E62677261646572  # any number, the same for all who write: "nbgrader" in ASCII
HIDDEN = "***"
_SECRET_PARAMETERS = ("password", "sslpassword")
_CREDENTIALS = re.compile(r"(://[^:/@\s]*):[^\s]*@")


def database_file(database_url: str) -> Path | None:
    """The file of an SQLite database; None for a database on a server or in memory.

    Raises GradebookError for a text that is not a database's URL.
    """
    url = _parsed(database_url)
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database.removeprefix("file:")).absolute()


def masked_url(database_url: str) -> str:
    """The URL without its password, fit to be shown. Raises GradebookError for a text that is not a database's URL."""
    url = _parsed(database_url)
    secrets = {name: HIDDEN for name in _SECRET_PARAMETERS if name in url.query}
    return url.update_query_dict(secrets).render_as_string(hide_password=True)


def url_with_driver(database_url: str) -> str:
    """The URL with an installed driver of PostgreSQL where it names none.

    Raises GradebookError when the driver is not installed.
    """
    url = _parsed(database_url)
    if url.get_backend_name() != "postgresql":
        return database_url
    if "+" in url.drivername:
        driver = url.drivername.partition("+")[2]
    else:
        installed = (name for name in POSTGRESQL_DRIVERS if importlib.util.find_spec(name) is not None)
        driver = next(installed, POSTGRESQL_EXTRA_DRIVER)
    if driver in POSTGRESQL_DRIVERS and importlib.util.find_spec(driver) is None:
        install = how_to_install(POSTGRESQL_EXTRA_DRIVER)
        raise GradebookError(NO_DRIVER.format(where=masked_url(database_url), driver=driver, install=install))
    return url.set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)


def _shown(database_url: str) -> str:
    """How messages name a database: its file, or its URL without the password."""
    file = database_file(database_url)
    return str(file) if file is not None else masked_url(database_url)


@contextmanager
def open_gradebook(database_url: str, course_id: str) -> Iterator[Gradebook]:
    """nbgrader's gradebook, made where there is none. What was not committed is rolled back on an error.

    Raises GradebookError for whatever the database refuses, in here or in the body of the `with` statement.
    """
    file = database_file(database_url)
    where = _shown(database_url)
    skip_unused_grammar()
    try:
        from nbgrader.api import Gradebook, InvalidEntry
        from sqlalchemy.exc import SQLAlchemyError

        url = url_with_driver(database_url)
    except ImportError as error:
        raise GradebookError(NOT_INSTALLED.format(where=where)) from error
    if file is not None and file.exists() and not os.access(file, os.W_OK):
        raise GradebookError(READ_ONLY.format(where=where))
    gradebook: Any = None
    try:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        with scripts_on_path(), _making_tables(url):
            if file is not None and not file.exists():
                make_sqlite_database(file, course_id)
            gradebook = Gradebook(url, course_id)
        yield gradebook
    except (SQLAlchemyError, InvalidEntry, sqlite3.Error, OSError) as error:
        raise _explained(error, where) from error
    finally:
        if gradebook is not None:
            gradebook.db.rollback()
            gradebook.close()


def begin_writing(gradebook: Gradebook) -> None:
    """Wait until nobody else of ours writes to the gradebook; the next commit or rollback lets the next one in.

    Who writes reads first what is there (which students, which grades) and adds the rest, which goes wrong when two do
    so at once. SQLite's own lock comes only with the first change, so that the reading before it would be outdated.
    """
    from sqlalchemy import text

    connection = gradebook.db.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER_LOCK})
    elif connection.dialect.name == "sqlite" and not connection.connection.driver_connection.in_transaction:
        connection.execute(text("BEGIN IMMEDIATE"))


def _parsed(database_url: str) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise GradebookError(BAD_URL.format(where=repr(_CREDENTIALS.sub(rf"\1:{HIDDEN}@", database_url)))) from error
    return url.set(drivername="postgresql") if url.drivername == "postgres" else url  # as libpq allows, too


@contextmanager
def _making_tables(database_url: str) -> Iterator[None]:
    """Only one of us at a time makes nbgrader's tables on a database server."""
    from sqlalchemy import create_engine, text

    if _parsed(database_url).get_backend_name() != "postgresql":
        yield
        return
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": WRITER_LOCK})
            yield  # the server releases the lock when the connection ends, however it ends
    finally:
        engine.dispose()


def _explained(error: Exception, where: str) -> GradebookError:
    text = str(getattr(error, "orig", None) or error)
    reason = _CREDENTIALS.sub(rf"\1:{HIDDEN}@", text.splitlines()[0]) if text else repr(error)
    for part, fix in FIXES.items():
        if part in text.lower():
            return GradebookError(fix.format(where=where, reason=reason))
    return GradebookError(CANNOT_WRITE.format(where=where, reason=reason))


@contextmanager
def scripts_on_path() -> Iterator[None]:
    """nbgrader calls `alembic` by name for a new database; find it although the environment is not activated."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{sysconfig.get_path('scripts')}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before
