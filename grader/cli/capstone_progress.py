"""The progress bar of the capstone's commands, and the reading of data under it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from grader.capstone.data_set import DataSet
    from grader.capstone.presets import Preset

_GOES_ON = "Interrupted. The same command goes on after the last whole epoch."


@contextmanager
def progress_bar(*, quiet: bool, interrupted: str = _GOES_ON) -> Iterator[Progress]:
    """A progress bar on standard error; with `quiet` only where somebody looks at it.

    Ctrl-C ends with status 130 and says what is `interrupted`: what was kept, and how to go on.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}", markup=False),
    )
    errors = Console(stderr=True)
    silent = not is_first() or (quiet and not sys.stderr.isatty())
    with Progress(*columns, console=errors, disable=silent) as progress:
        try:
            yield progress
        except KeyboardInterrupt:
            progress.stop()
            errors.print(f"course: {interrupted}")
            raise typer.Exit(130) from None


def is_first() -> bool:
    """Whether this is the only process, or the one of those under `torchrun` that talks to people."""
    return os.environ.get("RANK", "0") == "0"


def load_with_progress(progress: Progress, preset: Preset, pack: Path | None) -> DataSet:
    """The data set, on the graphics card where there is one: the whole of it fits."""
    from grader.capstone.data_source import load_data
    from grader.capstone.devices import choose_device

    task = progress.add_task("Reading drawings", total=None, last="")
    data = load_data(preset, pack, progress=lambda done, total: progress.update(task, completed=done, total=total))
    progress.update(task, completed=len(data.vendors), total=len(data.vendors))
    return data.to(choose_device())
