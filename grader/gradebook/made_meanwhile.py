"""nbgrader's gradebook, made while the submissions are graded: the import of nbgrader and its tables take seconds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from threading import Thread

from grader.gradebook.errors import GradebookError


@contextlib.contextmanager
def made_meanwhile(database_url: str) -> Iterator[None]:
    """Make the gradebook of this address beside what is done inside.

    What goes wrong here goes wrong again when the results are written, and is told then. A run that fails waits for the
    end too, since nbgrader would leave a folder of its own behind; one that is interrupted does not.
    """
    thread = Thread(target=_make, args=(database_url,), daemon=True)
    thread.start()
    try:
        yield
    except Exception:
        thread.join()
        raise
    thread.join()


def _make(database_url: str) -> None:
    with contextlib.suppress(ImportError, GradebookError):
        from grader.gradebook.nbgrader_connection import open_gradebook
        from grader.gradebook.nbgrader_database import DEFAULT_COURSE_ID

        with open_gradebook(database_url, DEFAULT_COURSE_ID):
            pass
