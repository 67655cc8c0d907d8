"""Grades a bundle: applies its adapters to the shipped weights, measures them again, awards points for what is seen.

Nothing a bundle claims counts. Its files are read as JSON and safetensors, never unpickled, and no code of it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grader.capstone.bundle import Bundle
from grader.capstone.errors import CapstoneError
from grader.capstone.outcomes import differences, measure
from grader.capstone.pretrained import Pretrained
from grader.capstone.retrieval import Interval
from grader.capstone.tuning import Method
from grader.capstone.vendors import Vendor

WANTED_GAIN = 0.15  # recall@1 that the best method must gain
LORA_DISTANCE = 0.05  # how far LoRA may stay behind full tuning
LORA_PART = 0.10  # of full tuning's trainable numbers
KEPT_GAIN = 0.12  # what a method that does not forget must gain
MOST_FORGOTTEN = 0.05  # of recall@1 on the source vendor
TOLERANCE = 0.01  # between a claimed figure and ours: rounding on another processor may turn some ranks
# Methods that may show that forgetting is cured; with full tuning, those that may show the lift.
CURES = (Method.LORA, Method.REPLAY, Method.INTERPOLATION, Method.COMBINATION)


@dataclass(frozen=True)
class Seen:
    """What the grader itself measured of a method: differences to zero-shot, and how many numbers were changed."""

    gain: Interval
    unseen_gain: Interval
    forgetting: Interval
    changed: int


@dataclass(frozen=True)
class Criterion:
    """One line of the grade: what was asked, what was seen, points of how many."""

    title: str
    seen: str
    points: float
    of: float


@dataclass(frozen=True)
class Grade:
    """The whole grade. `warnings` are what a person should look at; they cost nothing by themselves."""

    criteria: tuple[Criterion, ...]
    warnings: tuple[str, ...]

    @property
    def points(self) -> float:
        return round(sum(criterion.points for criterion in self.criteria), 2)

    @property
    def of(self) -> float:
        return sum(criterion.of for criterion in self.criteria)


def grade(bundle: Bundle, pretrained: Pretrained, target: Vendor, source: Vendor) -> Grade:
    """Measure every adapter of a bundle and award points. A method without a usable adapter earns nothing.

    Raises CapstoneError when the folder is no bundle, or one of another preset or of other data.
    """
    data = pretrained.data
    bundle.check_data(data.digest())
    baseline = measure(pretrained.model(), data, target, source)
    seen: dict[Method, Seen] = {}
    warnings: list[str] = []
    for method in Method:
        if method is Method.ZERO_SHOT:
            continue
        try:
            model, tensors = pretrained.tuned(bundle.adapter(method))
            measured = measure(model, data, target, source)
        except CapstoneError as error:
            warnings.append(f"{method}: {error}")
            continue
        changed = sum(tensor.numel() for tensor in tensors.values() if tensor.is_floating_point())
        seen[method] = Seen(**differences(measured, baseline), changed=changed)
        warnings += _claimed_otherwise(bundle, method, seen[method])
    return Grade(tuple(_criteria(seen)), tuple(warnings))


def _criteria(seen: dict[Method, Seen]) -> Iterator[Criterion]:
    yield _lift({method: seen[method] for method in (Method.FULL, *CURES) if method in seen})
    yield _low_rank(seen.get(Method.LORA), seen.get(Method.FULL))
    yield _cure({method: seen[method] for method in CURES if method in seen})
    yield _control(seen.get(Method.RANDOM_LABELS))


def _lift(tuned: dict[Method, Seen]) -> Criterion:
    title = f"A method gains {WANTED_GAIN:.0%} of recall@1 on known concepts of the new vendor, and not by chance"
    if not tuned:
        return Criterion(title, "no adapter that can be used", 0, 4)
    method = max(tuned, key=lambda m: tuned[m].gain.value if tuned[m].gain.low > 0 else -1.0)
    found = tuned[method].gain
    part = min(1.0, max(0.0, found.value / WANTED_GAIN)) if found.low > 0 else 0.0
    return Criterion(title, f"{method}: {describe(found)}", round(4 * part, 2), 4)


def _low_rank(lora: Seen | None, full: Seen | None) -> Criterion:
    title = f"LoRA stays within {LORA_DISTANCE:.0%} of full tuning with less than {LORA_PART:.0%} of its numbers"
    if lora is None or full is None:
        return Criterion(title, "needs usable adapters of LoRA and of full tuning", 0, 2)
    part, distance = lora.changed / max(1, full.changed), full.gain.value - lora.gain.value
    good = lora.gain.low > 0 and part < LORA_PART and distance <= LORA_DISTANCE
    return Criterion(title, f"{distance:+.1%} behind, with {part:.1%} of the numbers", 2.0 if good else 0.0, 2)


def _cure(cures: dict[Method, Seen]) -> Criterion:
    title = (
        f"A method gains {KEPT_GAIN:.0%} and forgets less than {MOST_FORGOTTEN:.0%} of recall@1 on the source vendor"
    )
    if not cures:
        return Criterion(title, f"no usable adapter of {', '.join(CURES)}", 0, 3)

    def earned(found: Seen) -> float:
        kept = found.forgetting.value < MOST_FORGOTTEN and found.gain.low > 0
        return round(3 * min(1.0, max(0.0, found.gain.value / KEPT_GAIN)), 2) if kept else 0.0

    method = max(cures, key=lambda m: (earned(cures[m]), cures[m].gain.value))
    found = cures[method]
    told = f"{method}: gain {describe(found.gain)}, forgotten {describe(found.forgetting)}"
    return Criterion(title, told, earned(found), 3)


def _control(random_labels: Seen | None) -> Criterion:
    title = "The control with random labels gains nothing, so the evaluation can tell learning from chance"
    if random_labels is None:
        return Criterion(title, "no adapter that can be used", 0, 1)
    return Criterion(title, describe(random_labels.gain), 1.0 if random_labels.gain.low <= 0 else 0.0, 1)


def _claimed_otherwise(bundle: Bundle, method: Method, seen: Seen) -> Sequence[str]:
    try:
        claimed = bundle.outcome(method)
    except CapstoneError as error:
        return [str(error)]
    if claimed is None:
        return [f"{method}: an adapter without figures of the run"]
    if abs(claimed.gain.value - seen.gain.value) > TOLERANCE:
        return [f"{method}: claims a gain of {claimed.gain.value:.1%}, measured {seen.gain.value:.1%}"]
    return []


def describe(interval: Interval) -> str:
    """A difference of recalls in words of a table: points of percent with the 95 % interval."""
    return f"{100 * interval.value:+.1f} points (95 % interval {100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
