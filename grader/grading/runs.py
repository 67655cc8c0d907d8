"""Runs: the results that a folder holds now, and the earlier ones it keeps whenever results change.

    results/results.jsonl, run.json        the results that the reports beside them show
    results/runs/0001/                     what they were before they changed for the first time, with their CSV files

The journal says what was ever graded; a run says which of these results counted at one time.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from grader.checking.record import ResultRecord
from grader.gradebook.files import write_text
from grader.grading.results_file import RESULTS_NAME, read_results, write_results

RUN_NAME, RUNS_FOLDER = "run.json", "runs"
RUN_SCHEMA = 1
# What a person compares by eye; feedback pages are not kept, because `course grade` can write them from the records.
_KEPT = (RESULTS_NAME, RUN_NAME, "grades.csv", "checks.csv", "report.html")

_UNFINISHED = ".unfinished"  # only the grader that has claimed the folder works there

NO_RUNS = "{place}: no earlier run is kept there, because its results never changed; name a second folder of results"


class RunError(ValueError):
    """No earlier run is kept where one was looked for."""


@dataclass(frozen=True)
class Run:
    """The results of one run, one record for every student and exercise.

    `complete` is false for a folder that has only a journal: what was never run (not handed in, unreadable, untouched)
    is then missing.
    """

    place: Path
    records: dict[tuple[str, str], ResultRecord]
    complete: bool = True

    @property
    def seed(self) -> int:
        """The seed of the checks' inputs, the latest where they differ; 0 for an empty run."""
        return max((record.seed for record in self.records.values()), default=0)


def read_run(place: Path) -> Run:
    """The run in a folder of results, or in one of the runs that it keeps.

    Raises ResultsError, JournalError, OSError.
    """
    results = read_results(place)
    records = {(record.student, record.exercise): record for record in results.counted}
    return Run(place, records, complete=not results.notes)


def newest_kept_run(output: Path) -> Path:
    """The folder of the newest run that a folder of results keeps. Raises RunError when it keeps none."""
    kept = _kept_runs(output)
    if not kept:
        raise RunError(NO_RUNS.format(place=output))
    return kept[-1]


def write_run(output: Path, records: Sequence[ResultRecord]) -> Path | None:
    """Write the results that count now; where they differ from those written before, keep these first.

    Returns the folder of the run that was kept, None when there was none or nothing changed. Raises OSError.
    """
    digest = _digest(records)
    earlier = _read_facts(output / RUN_NAME)
    changed = earlier is None or earlier.get("digest") != digest
    kept = _keep(output, earlier) if changed and (output / RESULTS_NAME).is_file() else None
    write_results(records, output)
    facts = {
        "schema": RUN_SCHEMA,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "digest": digest,
        "course_version": next((record.course_version for record in records if record.course_version), ""),
        "seeds": sorted({record.seed for record in records}),
        "checks": {record.exercise: record.checks_hash for record in records if record.exercise},
    }
    write_text(output / RUN_NAME, json.dumps(facts, indent=1, sort_keys=True) + "\n")
    return kept


def result_of(record: ResultRecord) -> dict[str, Any]:
    """All of a record that two runs are compared by: not its times, its messages or where its file lay."""
    return {
        "student": record.student,
        "exercise": record.exercise,
        "status": record.status.value,
        "max_points": record.max_points,
        "checks": [[check.name, check.outcome.value, check.points, check.max_points] for check in record.checks],
        "versions": [record.checks_hash, record.submission_hash, record.seed, sorted(record.environment.items())],
    }


def _digest(records: Iterable[ResultRecord]) -> str:
    lines = sorted(json.dumps(result_of(record), sort_keys=True) for record in records)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read_facts(path: Path) -> dict[str, Any] | None:
    """What is known of a run; None when there is none, or it was written by another version."""
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("schema") == RUN_SCHEMA else None


def _kept_runs(output: Path) -> list[Path]:
    folder = output / RUNS_FOLDER
    runs = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in runs if path.name.isdecimal()), key=lambda path: int(path.name))


def _keep(output: Path, facts: dict[str, Any] | None) -> Path:
    """Copy the present results into a folder of their own, which appears whole or not at all."""
    earlier = _kept_runs(output)
    if earlier and facts and _read_facts(earlier[-1] / RUN_NAME) == facts:
        return earlier[-1]  # a run was killed right after keeping them
    number = int(earlier[-1].name) + 1 if earlier else 1
    kept = output / RUNS_FOLDER / f"{number:04}"
    partial = kept.with_name(_UNFINISHED)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in _KEPT:
        if (output / name).is_file():
            shutil.copy2(output / name, partial / name)
    partial.rename(kept)
    return kept
