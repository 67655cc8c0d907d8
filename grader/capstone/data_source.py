"""Where a preset's data set comes from: a pack where one is named, otherwise the installed packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from grader.capstone import data_set
from grader.capstone.data_set import DataSet
from grader.capstone.errors import CapstoneError
from grader.capstone.pack import read_pack
from grader.capstone.presets import Preset


def load_data(
    preset: Preset, pack: Path | None = None, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> DataSet:
    """The data set in the preset's resolution; `progress(done, total)` is told of vendors read from the packages.

    Raises CapstoneError when the pack is broken or of another resolution, or when a package is missing.
    """
    if pack is None:
        return data_set.load_packages(preset.size, progress=progress)
    data = read_pack(pack)
    if data.size != preset.size:
        raise CapstoneError(f"{pack}: drawings of {data.size} pixels; the preset {preset.name} wants {preset.size}")
    return data
