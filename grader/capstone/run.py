"""The graded run: every method tuned, measured and written down, one after the other, so that nothing done is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from grader.capstone.adapters import changed_weights, interpolate, save_adapter
from grader.capstone.bundle import Bundle
from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.evaluation import evaluate
from grader.capstone.examples import Examples, all_pairs
from grader.capstone.outcomes import Measured, Outcome, differences, figures, measure
from grader.capstone.presets import Preset
from grader.capstone.pretrained import Pretrained
from grader.capstone.processes import from_first, is_first, wait_for_all
from grader.capstone.splits import Part
from grader.capstone.training import Epoch, History, Step, Watcher, train
from grader.capstone.tuning import BETWEEN, Method, choose_parameters, count_trainable
from grader.capstone.vendors import Vendor

# How much validation recall@1 on the source vendor may fall for the interpolation to be chosen.
_MOST_FORGOTTEN = 0.0
_PARTS = tuple(round(0.1 * tenth, 1) for tenth in range(1, 11))


@dataclass
class Listener:
    """Who is told what the run does; does nothing by default."""

    on_method: Callable[[Method], None] = lambda method: None
    on_step: Callable[[Method, Step], None] = lambda method, step: None
    on_epoch: Callable[[Method, Epoch], None] = lambda method, epoch: None
    on_outcome: Callable[[Outcome], None] = lambda outcome: None


@dataclass
class Run:
    """Everything a run depends on."""

    pretrained: Pretrained
    bundle: Bundle
    target: Vendor
    source: Vendor
    sources: Sequence[Vendor]
    listener: Listener = field(default_factory=Listener)

    @property
    def preset(self) -> Preset:
        return self.pretrained.preset

    @property
    def data(self) -> DataSet:
        return self.pretrained.data

    def tuned(self, method: Method) -> DualEncoder:
        """The model that a method of this run ended with."""
        return self.pretrained.tuned(self.bundle.adapter(method))[0]

    def outcome_of(self, method: Method, baseline: Measured) -> Outcome:
        """Tune by one method, or read what an earlier, interrupted run of this bundle found."""
        if (done := from_first(lambda: self.bundle.outcome(method))) is not None:
            return done
        started = time.perf_counter()
        if method in BETWEEN:
            model, note = self._interpolated(BETWEEN[method])
            history, trainable = History(), 0
        else:
            model, history = self._tuned(method)
            trainable, note = count_trainable(model), ""
        seconds = time.perf_counter() - started
        measured = baseline if method is Method.ZERO_SHOT else measure(model, self.data, self.target, self.source)
        outcome = Outcome(
            method=method,
            trainable=trainable,
            seconds=seconds,
            epochs=len(history.epochs),
            best_epoch=history.best,
            note=note,
            known=figures(measured.known),
            unseen=figures(measured.unseen),
            source=figures(measured.source),
            calibration=measured.calibration,
            **differences(measured, baseline),
        )
        if is_first():
            changed = changed_weights(model, self.pretrained.weights)
            save_adapter(self.bundle.adapter(method), changed, method, self.pretrained.digest)
            self.bundle.keep(outcome, history)
        wait_for_all()  # the adapter is what an interpolation begins with
        self.listener.on_outcome(outcome)
        return outcome

    def _tuned(self, method: Method) -> tuple[DualEncoder, History]:
        model = self.pretrained.model()
        choose_parameters(model, method, trains_text=self.preset.trains_text)
        if method is Method.ZERO_SHOT:
            return model, History()
        target = all_pairs([self.data.row(self.target)], self.data[Part.TUNING])
        sources = all_pairs([self.data.row(vendor) for vendor in self.sources], self.data.splits.pretraining)
        recipe = self.preset.recipe(method)
        pixels = self.data.pixels
        if method is Method.RANDOM_LABELS:
            pixels = self._mislabelled()
        history = train(
            model,
            pixels,
            Examples(target, sources, recipe.replay),
            recipe,
            validate=self._score,
            checkpoint=self.bundle.checkpoint(method),
            watcher=Watcher(
                lambda step: self.listener.on_step(method, step), lambda epoch: self.listener.on_epoch(method, epoch)
            ),
        )
        return model, history

    def _score(self, model: DualEncoder) -> float:
        """Mean reciprocal rank of the validation drawings' names."""
        return evaluate(model, self.data.of(self.target), self.data[Part.VALIDATION]).mean_reciprocal_rank

    def _mislabelled(self) -> Tensor:
        """The target's drawings for tuning, each under another tuning concept's name."""
        pixels = self.data.pixels.clone()
        rows = torch.tensor(self.data[Part.TUNING])
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.preset.tuning.seed))
        target = self.data.row(self.target)
        pixels[target, rows] = self.data.pixels[target, rows[order]]
        return pixels

    def _interpolated(self, method: Method) -> tuple[DualEncoder, str]:
        """Weights between the pretrained and the tuned ones, as far as validation says that little is forgotten."""
        tuned = self.tuned(method)
        after = {name: value.cpu().clone() for name, value in tuned.state_dict().items()}
        source_drawings, validation = self.data.of(self.source), self.data[Part.VALIDATION]
        remembered = evaluate(self.pretrained.model(), source_drawings, validation).recall(1)
        best, best_part = float("-inf"), 0.0
        for part in _PARTS:
            tuned.load_state_dict(interpolate(self.pretrained.weights, after, part))
            source = evaluate(tuned, source_drawings, validation).recall(1)
            score = self._score(tuned)
            if score > best and source >= remembered - _MOST_FORGOTTEN:
                best, best_part = score, part
        tuned.load_state_dict(interpolate(self.pretrained.weights, after, best_part))
        return tuned, f"{best_part:.1f} of the way to {method}, chosen on validation"


def run_methods(run: Run, methods: Sequence[Method]) -> list[Outcome]:
    """All methods in their order; zero-shot first, for the others are measured against it."""
    baseline = measure(run.pretrained.model(), run.data, run.target, run.source)
    outcomes = []
    for method in methods:
        run.listener.on_method(method)
        outcomes.append(run.outcome_of(method, baseline))
    return outcomes
