"""What an engine runs and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from grader.checking.record import CheckRecord
from grader.course import Exercise
from grader.sandbox import wire


@dataclass(frozen=True)
class Job:
    """Code to check: the cells of one submission to one exercise.

    `only` limits it to checks of those names; `stop_at_first` skips all after one that did not pass; `trace` brings
    back what the submission returned. With `more_seeds` everything is done again for each of them, with the code loaded
    again into the same process: for code of our own, whose process need not be a fresh one.
    """

    exercise: Exercise
    cells: tuple[str, ...]
    seed: int = 0
    more_seeds: tuple[int, ...] = ()
    only: frozenset[str] = frozenset()
    trace: bool = False
    stop_at_first: bool = False

    @property
    def seeds(self) -> tuple[int, ...]:
        """All of them, in the order of the results."""
        return self.seed, *self.more_seeds


@dataclass
class JobResult:
    """What came back: checks in file order (all that were recorded before an end), and remarks.

    `packed_traces` hold what the submission returned, where it was asked for, as `traces` reads it. `problem` is set
    when the grader itself failed; `out_of_time` when the job was stopped by its overall limit. `more` are the results
    of the further seeds.
    """

    checks: list[CheckRecord] = field(default_factory=list)
    packed_traces: bytes = b""
    remarks: list[str] = field(default_factory=list)
    output: str = ""
    problem: str = ""
    out_of_time: bool = False
    seconds: float = 0.0
    more: list[JobResult] = field(default_factory=list)

    @cached_property
    def traces(self) -> dict[str, Any]:
        """What the submission returned, by check; nothing where it was nested too deep to be read."""
        try:
            traces = wire.unpack(self.packed_traces) if self.packed_traces else {}
        except wire.WireError:
            return {}
        return dict(traces)
