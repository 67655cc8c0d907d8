"""Submissions out of nbgrader's exchange directory into submitted/, by nbgrader's own `ExchangeCollect`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.gradebook.checked_collect import checked_collect
from grader.gradebook.errors import GradebookError
from grader.gradebook.nbgrader_connection import masked_url, open_gradebook, scripts_on_path, url_with_driver
from grader.gradebook.submission_files import read_timestamp
from grader.quick_import import skip_unused_grammar

if TYPE_CHECKING:
    from traitlets.config import Config

NO_COURSE = (
    "nbgrader's exchange keeps submissions by course, and the course's id is not known. Name it with --course, or "
    'write c.CourseDirectory.course_id = "…" into nbgrader_config.py'
)
NO_EXCHANGE = (
    "{place}: there is no such exchange directory. Name nbgrader's with --exchange, or write "
    'c.Exchange.root = "…" into nbgrader_config.py'
)
CANNOT_USE = "{place}: nbgrader's exchange has to be readable and writable for you: chmod a+rwx, or ask who keeps it"
NO_INBOUND = (
    "{place}: nothing can have been handed in for the course {course!r}, which was never released there. "
    "Check the id of the course, or release an assignment: nbgrader release_assignment"
)
NO_DUE_DATE = (
    "No due date is known for {assignment}, so what came before it cannot be told. Set one in formgrader, or with: "
    "nbgrader db assignment add {assignment} --duedate '2026-01-31 23:59 UTC' --db {database}"
)


class Collected(Enum):
    """What became of one submission in the exchange."""

    NEW = "collected"
    UPDATED = "updated"
    KEPT = "kept"  # there is one in submitted/, and it was not to be replaced
    REFUSED = "refused"


@dataclass(frozen=True)
class ExchangeEntry:
    """One submission; `name` is its folder in the exchange where it was refused, `timestamp` is in UTC."""

    assignment: str
    student: str
    outcome: Collected
    timestamp: datetime | None = None
    name: str = ""
    reason: str = ""


@dataclass
class ExchangeReport:
    """What was collected; `warnings` are nbgrader's own (another owner than the student's name says) and ours."""

    exchange: str
    course_id: str
    entries: list[ExchangeEntry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def count(self, outcome: Collected) -> int:
        """Number of submissions that this became of."""
        return sum(entry.outcome is outcome for entry in self.entries)


@dataclass(frozen=True)
class CollectRequest:
    """What to collect, and into which folder. Empty texts leave what nbgrader's settings say."""

    assignments: Sequence[str]
    submitted: Path
    settings: Config
    database_url: str
    course_id: str = ""
    exchange: str = ""
    update: bool = False
    before_duedate: bool = False


def collect_from_exchange(
    request: CollectRequest, on_assignment: Callable[[str], None] | None = None
) -> ExchangeReport:
    """Collect the newest submission of every student, or the last before the due date, by nbgrader's own code.

    May be interrupted: a submission is either whole in submitted/ or not there. Raises GradebookError for an exchange
    that is missing or cannot be used, an unknown course, and a due date that nobody has set.
    """
    skip_unused_grammar()
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.exchange import ExchangeError, ExchangeFactory

    config = _configured(request)
    directory = CourseDirectory(config=config)
    factory = ExchangeFactory(config=config)
    checked = checked_collect(factory.collect)
    place = str(factory.exchange(coursedir=directory, config=config).root) if checked else factory.collect.__name__
    if not directory.course_id:
        raise GradebookError(NO_COURSE)
    if checked:
        _require_exchange(Path(place), directory.course_id)
    if request.before_duedate:
        _require_due_dates(request)
    report = ExchangeReport(place, directory.course_id)
    for assignment in request.assignments:
        if on_assignment is not None:
            on_assignment(assignment)
        directory.assignment_id = assignment
        before = _timestamps(request.submitted, assignment)
        collector = (checked or factory.collect)(coursedir=directory, config=config)
        collector.log = _logger(report.warnings)
        try:
            with scripts_on_path():  # nbgrader opens its database, for which it calls alembic
                collector.start()
        except (ExchangeError, OSError) as error:
            raise GradebookError(f"{place}: {error}") from error
        refused = list(getattr(collector, "refused", ()))
        report.entries += _entries(assignment, before, _timestamps(request.submitted, assignment), collector)
        report.entries += [ExchangeEntry(assignment, "", Collected.REFUSED, name=n, reason=r) for n, r in refused]
    return report


def _configured(request: CollectRequest) -> Config:
    from copy import deepcopy

    config = deepcopy(request.settings)
    folder = request.submitted.absolute()
    config.CourseDirectory.root = str(folder.parent)
    config.CourseDirectory.submitted_directory = folder.name
    config.CourseDirectory.directory_structure = os.path.join("{nbgrader_step}", "{student_id}", "{assignment_id}")
    config.CourseDirectory.db_url = url_with_driver(request.database_url)
    config.ExchangeCollect.update = request.update
    config.ExchangeCollect.before_duedate = request.before_duedate
    if request.course_id:
        config.CourseDirectory.course_id = request.course_id
    if request.exchange:
        config.Exchange.root = str(Path(request.exchange).absolute())
    return config


def _require_exchange(place: Path, course_id: str) -> None:
    if not place.is_dir():
        raise GradebookError(NO_EXCHANGE.format(place=place))
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        raise GradebookError(CANNOT_USE.format(place=place))
    inbound = place / course_id / "inbound"
    if not inbound.is_dir():
        raise GradebookError(NO_INBOUND.format(place=inbound, course=course_id))
    if not os.access(inbound, os.R_OK | os.X_OK):
        raise GradebookError(CANNOT_USE.format(place=inbound))


def _require_due_dates(request: CollectRequest) -> None:
    """nbgrader itself would collect the newest submissions without a word."""
    from nbgrader.api import Assignment
    from sqlalchemy import select

    with open_gradebook(request.database_url, request.course_id or "default_course") as gradebook:
        known = set(gradebook.db.scalars(select(Assignment.name).where(Assignment.duedate.is_not(None))))
    for assignment in request.assignments:
        if assignment not in known:
            raise GradebookError(NO_DUE_DATE.format(assignment=assignment, database=masked_url(request.database_url)))


def _timestamps(submitted: Path, assignment: str) -> dict[str, datetime | None]:
    """Who has a submission of this assignment in submitted/, and its time."""
    if not submitted.is_dir():
        return {}
    folders = [student / assignment for student in submitted.iterdir() if (student / assignment).is_dir()]
    return {folder.parent.name: read_timestamp(folder) for folder in folders}


def _entries(
    assignment: str, before: dict[str, datetime | None], after: dict[str, datetime | None], collector: Any
) -> Iterable[ExchangeEntry]:
    in_exchange = {record["username"] for record in getattr(collector, "src_records", ())}
    for student in sorted(after):
        if student not in before:
            outcome = Collected.NEW
        elif before[student] != after[student]:
            outcome = Collected.UPDATED
        elif student in in_exchange:
            outcome = Collected.KEPT
        else:
            continue
        yield ExchangeEntry(assignment, student, outcome, after[student])


def _logger(warnings: list[str]) -> logging.Logger:
    """A logger of nbgrader's that keeps its warnings; what it does student by student is told by the report."""

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(" ".join(record.getMessage().split()))

    logger = logging.Logger("nbgrader.collect", logging.WARNING)
    logger.addHandler(Keeper())
    return logger
