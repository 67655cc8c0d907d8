"""What a method reached: the figures of a comparison, as plain data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grader.capstone.calibration import expected_calibration_error
from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.evaluation import evaluate, similarities
from grader.capstone.retrieval import Interval, Retrieval, gain, retrieve
from grader.capstone.splits import Part
from grader.capstone.tuning import Method
from grader.capstone.vendors import Vendor


@dataclass(frozen=True)
class Measured:
    """A model on the test parts: the target vendor's known and unseen concepts, a source vendor's known ones.

    `calibration`: expected calibration error of the answers about the target's known concepts.
    """

    known: Retrieval
    unseen: Retrieval
    source: Retrieval
    calibration: float


@dataclass(frozen=True)
class Figures:
    """Retrieval in numbers: the recalls are parts of 1, the first from drawings to names, then the other way round."""

    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    name_recall_at_1: float
    name_recall_at_5: float
    name_recall_at_10: float
    median_rank: float
    auc: float


@dataclass(frozen=True)
class Outcome:
    """One method of a run. `gain` and `forgetting` are differences of recall@1 to zero-shot, with their intervals.

    `forgetting` is positive where recall@1 on the source vendor fell. `calibration`: expected calibration error of the
    known concepts' answers.
    """

    method: Method
    trainable: int
    seconds: float
    epochs: int
    best_epoch: int
    note: str
    known: Figures
    unseen: Figures
    source: Figures
    calibration: float
    gain: Interval
    unseen_gain: Interval
    forgetting: Interval

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Outcome:
        """The outcome that `as_json` wrote; raises TypeError, KeyError or ValueError for anything else."""
        figures = {part: Figures(**_numbers(record[part])) for part in ("known", "unseen", "source")}
        intervals = {name: Interval(**_numbers(record[name])) for name in ("gain", "unseen_gain", "forgetting")}
        return cls(**{**record, "method": Method(record["method"]), **figures, **intervals})


def _numbers(record: Mapping[str, Any]) -> Mapping[str, float]:
    for name, value in record.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name} is {str(value)[:40]!r} and not a number")
    return record


def measure(model: DualEncoder, data: DataSet, target: Vendor, source: Vendor) -> Measured:
    """Every figure's ranks, on drawings that no training saw but for the source vendor's."""
    known = similarities(model, data.of(target), data[Part.KNOWN])
    return Measured(
        known=retrieve(known),
        unseen=evaluate(model, data.of(target), data[Part.UNSEEN]),
        source=evaluate(model, data.of(source), data[Part.KNOWN]),
        calibration=expected_calibration_error(known, float(model.clamped_log_scale().detach())),
    )


def figures(found: Retrieval) -> Figures:
    """A retrieval's numbers."""
    return Figures(
        recall_at_1=found.recall(1),
        recall_at_5=found.recall(5),
        recall_at_10=found.recall(10),
        name_recall_at_1=found.recall(1, to_drawings=True),
        name_recall_at_5=found.recall(5, to_drawings=True),
        name_recall_at_10=found.recall(10, to_drawings=True),
        median_rank=found.median_rank,
        auc=found.auc,
    )


def differences(measured: Measured, baseline: Measured) -> dict[str, Interval]:
    """Gains and forgetting against zero-shot, on the same queries."""
    return {
        "gain": gain(measured.known, baseline.known),
        "unseen_gain": gain(measured.unseen, baseline.unseen),
        "forgetting": gain(baseline.source, measured.source),
    }
