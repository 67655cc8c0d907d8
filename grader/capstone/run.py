"""The graded run: every method tuned, measured and written down, one after the other, so that nothing done is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from grader.capstone.adapters import apply_adapter, changed_weights, interpolate, save_adapter
from grader.capstone.bundle import Bundle
from grader.capstone.calibration import expected_calibration_error
from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.evaluation import embed, evaluate
from grader.capstone.examples import Examples, all_pairs
from grader.capstone.model_factory import make_model
from grader.capstone.outcomes import Measured, Outcome, differences, figures, measure
from grader.capstone.presets import Preset
from grader.capstone.processes import from_first, is_first, wait_for_all
from grader.capstone.splits import Part
from grader.capstone.training import Epoch, History, Step, Watcher, train
from grader.capstone.tuning import BETWEEN, Method, choose_parameters, count_trainable
from grader.capstone.vendors import Vendor
from grader.capstone.weights import restore

# How much validation recall@1 on the source vendor may fall for the interpolation to be chosen.
_MOST_FORGOTTEN = 0.0
_PARTS = tuple(round(0.1 * tenth, 1) for tenth in range(1, 11))


@dataclass
class Listener:
    """Who is told what the run does; does nothing by default."""

    on_method: Callable[[Method, str], None] = lambda method, note: None
    on_step: Callable[[Method, Step], None] = lambda method, step: None
    on_epoch: Callable[[Method, Epoch], None] = lambda method, epoch: None
    on_outcome: Callable[[Outcome], None] = lambda outcome: None


@dataclass
class Run:
    """Everything a run depends on. `pretrained` are the weights that all methods begin with, `names` the text side."""

    preset: Preset
    data: DataSet
    pretrained: dict[str, Tensor]
    pretrained_digest: str
    names: Tensor | None
    bundle: Bundle
    target: Vendor
    source: Vendor
    sources: Sequence[Vendor]
    listener: Listener = field(default_factory=Listener)

    def model(self) -> DualEncoder:
        """The pretrained model, new."""
        model = make_model(self.preset, self.data, self.names)
        restore(model, self.pretrained, Path("the pretrained weights"))
        return model

    def tuned(self, method: Method) -> DualEncoder:
        """The model that a method of this run ended with."""
        model = self.model()
        file = self.bundle.adapter(method)
        apply_adapter(model, file, self.pretrained_digest, trains_text=self.preset.trains_text)
        return model

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
            calibration=self._calibration(model),
            **differences(measured, baseline),
        )
        if is_first():
            changed = changed_weights(model, self.pretrained)
            save_adapter(self.bundle.adapter(method), changed, method, self.pretrained_digest)
            self.bundle.keep(outcome, history)
        wait_for_all()  # the adapter is what an interpolation begins with
        self.listener.on_outcome(outcome)
        return outcome

    def _tuned(self, method: Method) -> tuple[DualEncoder, History]:
        model = self.model()
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
        """Mean reciprocal rank of the validation drawings' names: finer than recall@1 on a hundred candidates."""
        found = evaluate(model, self.data.of(self.target), self.data[Part.VALIDATION])
        return float((1 / (1 + found.to_names)).mean())

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
        remembered = evaluate(self.model(), self.data.of(self.source), self.data[Part.VALIDATION]).recall(1)
        best, best_part = float("-inf"), 0.0
        for part in _PARTS:
            tuned.load_state_dict(interpolate(self.pretrained, after, part))
            source = evaluate(tuned, self.data.of(self.source), self.data[Part.VALIDATION]).recall(1)
            score = self._score(tuned)
            if score > best and source >= remembered - _MOST_FORGOTTEN:
                best, best_part = score, part
        tuned.load_state_dict(interpolate(self.pretrained, after, best_part))
        return tuned, f"{best_part:.1f} of the way to {method}, chosen on validation"

    def _calibration(self, model: DualEncoder) -> float:
        chosen = torch.tensor(self.data[Part.KNOWN])
        images, texts = embed(model, self.data.of(self.target)[chosen], chosen)
        similarity = (images @ texts.T).double().cpu().numpy()
        return expected_calibration_error(similarity, float(model.clamped_log_scale().detach()))


def run_methods(run: Run, methods: Sequence[Method]) -> list[Outcome]:
    """All methods in their order; zero-shot first, for the others are measured against it."""
    baseline = measure(run.model(), run.data, run.target, run.source)
    outcomes = []
    for method in methods:
        run.listener.on_method(method, "")
        outcomes.append(run.outcome_of(method, baseline))
    return outcomes
