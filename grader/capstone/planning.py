"""What a run will cost on this machine: a few real steps of every method, timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from grader.capstone.data_set import DataSet
from grader.capstone.examples import Examples, all_pairs
from grader.capstone.model_factory import frozen_names, make_model
from grader.capstone.presets import SOURCE_VENDORS, TARGET_VENDOR, Preset
from grader.capstone.splits import Part
from grader.capstone.training import Step, Watcher, train
from grader.capstone.tuning import BETWEEN, Method, choose_parameters

_STEPS = 3


@dataclass(frozen=True)
class Line:
    """One method's cost. `seconds` is for all its steps, were it not stopped early."""

    title: str
    steps: int
    seconds_per_step: float
    seconds: float
    memory_megabytes: float


def plan(preset: Preset, data: DataSet, progress: Callable[[int, int], None]) -> list[Line]:
    """The cost of every method that trains, in their order."""
    from grader.capstone.graded_run import peak_memory_megabytes

    names = frozen_names(preset, data)
    methods = [method for method in Method if method not in (Method.ZERO_SHOT, *BETWEEN)]
    lines = []
    for number, method in enumerate(methods):
        recipe = preset.recipe(method)
        target = all_pairs([data.row(TARGET_VENDOR)], data[Part.TUNING])
        sources = all_pairs([data.row(vendor) for vendor in SOURCE_VENDORS], data.splits.pretraining)
        steps = Examples(target).steps(recipe.batch_size) * recipe.epochs
        model = make_model(preset, data, names)
        choose_parameters(model, method, trains_text=preset.trains_text)
        few = target[: _STEPS * recipe.batch_size]
        times: list[float] = []

        def keep(step: Step, times: list[float] = times) -> None:
            times.append(time.perf_counter())

        train(
            model,
            data.pixels,
            Examples(few, sources, recipe.replay),
            replace(recipe, epochs=1),
            validate=lambda judged: 0.0,
            watcher=Watcher(on_step=keep),
        )
        # The first step also starts threads and, where wished, the compiler.
        per_step = (times[-1] - times[0]) / (len(times) - 1)
        lines.append(Line(str(method), steps, per_step, per_step * steps, peak_memory_megabytes()))
        progress(number + 1, len(methods))
    return lines
