"""Checkpoints that survive a kill at any moment: written beside the old one, then put in its place at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from grader.capstone.errors import CapstoneError


def write_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """Replace `file` by a checkpoint of tensors, numbers, strings, lists and dicts."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(file.name + ".unfinished")
    with unfinished.open("wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(unfinished, file)


def read_checkpoint(file: Path) -> dict[str, Any] | None:
    """The checkpoint, on the processor; None when there is none. Never unpickles anything but plain data."""
    if not file.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is not what it should be
        raise CapstoneError(f"{file}: not a checkpoint ({error}); delete it to start this run again") from error
    return state
