"""The results of one run as a whole: `results.jsonl`, a record a line, for commands that pass results on.

The journal keeps every result that was ever graded, and none for a notebook that was not handed in or could not be
read. This file has exactly the records that count in the last run, so that an export never has to grade, or to guess.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grader.checking.record import ResultRecord
from grader.gradebook.files import write_text
from grader.gradebook.summary import counted_records
from grader.grading.journal import JOURNAL_NAME, read_journal

RESULTS_NAME = "results.jsonl"

NO_RESULTS = "{folder}: there are no results here; expected the output folder of a `course grade` run"
DAMAGED = "{path}, line {line}: not a result record ({error}); run `course grade` again, which grades only what changed"
FROM_JOURNAL = (
    "There is no {name} in {folder}: the run was interrupted, or is of an earlier version. The latest result of every "
    "notebook in its journal is used; what was not handed in or could not be read is missing."
)


class ResultsError(ValueError):
    """A folder holds no results, or results that cannot be read."""


@dataclass(frozen=True)
class RunResults:
    """The records of a run, duplicates and refused files among them, and notes on where they come from."""

    records: tuple[ResultRecord, ...]
    notes: tuple[str, ...] = ()

    @property
    def counted(self) -> tuple[ResultRecord, ...]:
        """The record that counts for every student and exercise."""
        return tuple(record for record in counted_records(self.records).values() if record.exercise)


def write_results(records: Iterable[ResultRecord], folder: Path) -> Path:
    """Write the records of a run, and return the path. Raises OSError when they cannot be written."""
    path = folder / RESULTS_NAME
    lines = [json.dumps(record.to_dict(), ensure_ascii=True, separators=(",", ":")) for record in records]
    write_text(path, "".join(f"{line}\n" for line in lines))
    return path


def read_results(folder: Path) -> RunResults:
    """The results of the last run in an output folder. Raises ResultsError, OSError."""
    path = folder / RESULTS_NAME
    if path.is_file():
        return RunResults(tuple(_read(path)))
    journal = folder / JOURNAL_NAME
    if not journal.is_file():
        raise ResultsError(NO_RESULTS.format(folder=folder))
    latest = {(record.student, record.exercise): record for record in read_journal(journal)}
    return RunResults(tuple(latest.values()), (FROM_JOURNAL.format(name=RESULTS_NAME, folder=folder),))


def _read(path: Path) -> Iterable[ResultRecord]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield ResultRecord.from_dict(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ResultsError(DAMAGED.format(path=path, line=number, error=error)) from None
