"""Checks of architectures/cascade. Both stages are spies of ours that note what they were called with."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from grader.checking import (
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)


def call_cascade_classifier(student, threshold, weights, cheap_input, expensive_input, direction=None):
    """What the cascade returns, what its stages were called with, and, for a direction, the gradients.

    Cheap logits: weights["cheap"] @ x + weights["bias"]; expensive ones: weights["x"] @ x + weights["logits"] @ cheap.
    """
    import torch
    from torch import nn

    class Cheap(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(weights["cheap"].clone()), nn.Parameter(weights["bias"].clone())
            self.calls, self.results = [], []

        def forward(self, x):
            self.calls.append(x.detach().clone())
            result = x.flatten(1) @ self.weight.T + self.bias
            self.results.append((result, result.detach().clone()))
            return result

    class Expensive(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.mix = nn.Parameter(weights["x"].clone()), nn.Parameter(weights["logits"].clone())
            self.calls = []

        def forward(self, x, cheap_logits=None):
            self.calls.append((x.detach().clone(), None if cheap_logits is None else cheap_logits.detach().clone()))
            result = x.flatten(1) @ self.weight.T
            return result if cheap_logits is None else result + cheap_logits @ self.mix.T

    cheap, expensive = Cheap(), Expensive()
    cascade = student.CascadeClassifier(cheap, expensive, threshold)
    logits, used = cascade(cheap_input, expensive_input)
    report = {
        "parameters": sorted(name for name, _ in cascade.named_parameters()),
        "cheap_calls": cheap.calls,
        "expensive_calls": expensive.calls,
        "cheap_results": [(result.detach(), copy) for result, copy in cheap.results],
        "inputs": (cheap_input, expensive_input),
    }
    if direction is not None:
        (logits * direction).sum().backward()
        report["gradients"] = [cheap.weight.grad, cheap.bias.grad, expensive.weight.grad, expensive.mix.grad]
    return logits.detach() if isinstance(logits, torch.Tensor) else logits, used, report


def cascade_classifier_without_samples(student, classes):
    """How often each stage is called when there are no samples."""
    import torch
    from torch import nn

    class Stage(nn.Module):
        calls = 0

        def forward(self, x, *_):
            self.calls += 1
            return torch.zeros(len(x), classes)

    cascade = student.CascadeClassifier(Stage(), Stage(), 0.5)
    cascade(torch.zeros(0, 4), torch.zeros(0, 3, 2, 2))
    return cascade.cheap.calls, cascade.expensive.calls


def small_example(student, cheap_logits, seen):
    from torch import nn

    class TenTimesPlus(nn.Module):
        def __init__(self):
            super().__init__()
            self.batch_sizes = []

        def forward(self, x, cheap_logits):
            self.batch_sizes.append(len(x))
            return x + 10 * cheap_logits

    cascade = student.CascadeClassifier(nn.Identity(), TenTimesPlus(), threshold=0.7)
    logits, used = cascade(cheap_logits, seen)
    return logits.detach(), used, cascade.expensive.batch_sizes


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape))


def random_weights(rng: np.random.Generator, classes: int, cheap_width: int, expensive_width: int) -> dict[str, Tensor]:
    return {
        "cheap": normal(rng, classes, cheap_width),
        "bias": normal(rng, classes),
        "x": normal(rng, classes, expensive_width),
        "logits": normal(rng, classes, classes),
    }


def given_logits(rng: np.random.Generator, logits: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Weights and inputs with which the cheap stage returns exactly these logits."""
    classes = logits.shape[1]
    weights = {name: value.to(logits.dtype) for name, value in random_weights(rng, classes, classes, 5).items()}
    weights |= {"cheap": torch.eye(classes, dtype=logits.dtype), "bias": torch.zeros(classes, dtype=logits.dtype)}
    return weights, logits, normal(rng, len(logits), 5).to(logits.dtype)


def confidence_of(logits: Tensor) -> float:
    """Largest probability of one sample."""
    largest = max(logits.tolist())
    return 1 / sum(math.exp(value - largest) for value in logits.tolist())


def stages_by_loops(weights: dict[str, Tensor], cheap_input: Tensor, expensive_input: Tensor):
    """Cheap and expensive logits of each sample, as if each came alone."""
    cheap, expensive = [], []
    for x, y in zip(cheap_input, expensive_input, strict=True):
        cheap.append(weights["cheap"] @ x.flatten() + weights["bias"])
        expensive.append(weights["x"] @ y.flatten() + weights["logits"] @ cheap[-1])
    return cheap, expensive


def threshold_between(confidences: list[float], rank: int) -> float:
    """A threshold with `rank` confidences below it and far from all of them, for sorted distinct confidences."""
    marks = [0.0, *sorted(confidences), 1.0]
    return (marks[rank] + marks[rank + 1]) / 2


@points(1)
@visible
def test_small_example(student):
    """Five samples, of which three are sent on, give the values of the example."""
    cheap_logits = torch.tensor([[0.5, 0.0], [3.0, 0.0], [0.0, 0.25], [4.0, 4.0], [0.0, 2.0]])
    seen = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 10.0]])
    logits, used, batch_sizes = student.run(small_example, cheap_logits, seen)
    assert_equal(used, torch.tensor([True, False, True, True, False]), what="tensor used")
    assert_equal(len(batch_sizes), 1, what="number of calls of the expensive stage")
    assert_equal(batch_sizes[0], 3, what="batch size of the call of the expensive stage")
    expected = torch.tensor([[6.0, 2.0], [3.0, 0.0], [5.0, 8.5], [47.0, 48.0], [0.0, 2.0]])
    assert_close(logits, expected, what="logit tensor")


@points(1)
@catches("stages-in-a-list")
def test_shapes_and_parameters(student, rng):
    """Logits and used have the announced shapes and dtypes, and the cascade owns the parameters of both stages."""
    weights = random_weights(rng, 3, 4, 12)
    for dtype in ("float32", "float64"):
        kind = getattr(torch, dtype)
        typed = {name: value.to(kind) for name, value in weights.items()}
        cheap_input, images = normal(rng, 5, 2, 2).to(kind), normal(rng, 5, 3, 2, 2).to(kind)
        for threshold in (0, 0.6, 1):
            logits, used, report = student.run(call_cascade_classifier, threshold, typed, cheap_input, images)
            cause = "used holds one boolean for each sample of the batch"
            assert_shape(logits, (5, 3), what=f"logit tensor (threshold {threshold})")
            assert_dtype(logits, dtype, what=f"logit tensor (threshold {threshold})")
            assert_shape(used, (5,), what=f"tensor used (threshold {threshold})", cause=cause)
            assert_dtype(used, "bool", what=f"tensor used (threshold {threshold})", cause=cause)
            names = ["cheap.bias", "cheap.weight", "expensive.mix", "expensive.weight"]
            cause = "nn.Module finds the modules that are attributes themselves, not those in a list"
            assert_equal(report["parameters"], names, what="list of the names of the cascade's parameters", cause=cause)


@points(2)
@catches(
    "both-run-and-average",
    "selected-afterwards",
    "whole-batch-sent-on",
    "one-call-a-sample",
    "pairs-mixed-up",
    "cheap-logits-left-out",
    "probabilities-sent",
)
def test_the_expensive_stage_sees_the_unsure_samples_only(student, rng):
    """The expensive stage is called once, with the unsure samples in their order and with their cheap logits."""
    weights = random_weights(rng, 3, 4, 12)
    cheap_input, images = normal(rng, 7, 4), normal(rng, 7, 3, 2, 2)
    cheap, _ = stages_by_loops(weights, cheap_input, images)
    confidences = [confidence_of(row) for row in cheap]
    for rank in (1, 4, 7):
        threshold = threshold_between(confidences, rank)
        rows = [i for i, confidence in enumerate(confidences) if confidence < threshold]
        _, used, report = student.run(call_cascade_classifier, threshold, weights, cheap_input, images)
        case = f"threshold {threshold:.3f}, samples below it: {rows}"

        cause = "what the cheap stage found for these samples is there already"
        assert_equal(len(report["cheap_calls"]), 1, what=f"number of calls of the cheap stage ({case})", cause=cause)
        assert_close(report["cheap_calls"][0], cheap_input, what=f"input of the cheap stage ({case})")
        calls = report["expensive_calls"]
        cause = "one call with all unsure samples together"
        assert_equal(len(calls), 1, what=f"number of calls of the expensive stage ({case})", cause=cause)
        seen, given_to_it = calls[0]
        cause = "select the unsure samples before the expensive stage runs, not after it, and keep their order"
        if isinstance(used, Tensor) and used.tolist() != [i in rows for i in range(7)]:
            cause = "each sample is unsure or not by itself: is its own largest class probability below the threshold?"
        assert_close(seen, images[rows], what=f"input of the expensive stage ({case})", cause=cause)
        if given_to_it is None:
            raise AssertionError(
                f"The expensive stage was called without the cheap logits ({case}). "
                "In a cascade a stage builds on what the stage before it found."
            )
        cause = "the second argument holds the cheap stage's logits of the same samples, as they came from it"
        expected = torch.stack([cheap[i] for i in rows])
        assert_close(given_to_it, expected, what=f"second argument of the expensive stage ({case})", cause=cause)


@points(2)
@catches("rows-regrouped", "stages-averaged-where-unsure")
@given(
    sizes=st.lists(st.integers(2, 7), min_size=4, max_size=4, unique=True),
    share=st.floats(0, 1),
    draw=st.integers(0, 2**32 - 1),
)
def test_every_row_is_what_the_sample_alone_would_get(student, sizes, share, draw):
    """Each row has the expensive logits where the stage was used and the cheap ones elsewhere, in the batch's order."""
    rng = np.random.default_rng(draw)
    batch, classes, cheap_width, expensive_width = sizes
    weights = random_weights(rng, classes, cheap_width, expensive_width)
    cheap_input, expensive_input = normal(rng, batch, cheap_width), normal(rng, batch, expensive_width)
    cheap, expensive = stages_by_loops(weights, cheap_input, expensive_input)
    confidences = [confidence_of(row) for row in cheap]
    threshold = threshold_between(confidences, round(share * batch))
    if min(abs(confidence - threshold) for confidence in confidences) < 1e-9:
        return  # two confidences almost alike: either answer is right
    expected_used = [confidence < threshold for confidence in confidences]
    logits, used, _ = student.run(call_cascade_classifier, threshold, weights, cheap_input, expensive_input)
    case = f"threshold {threshold:.4f}, confidences {[round(confidence, 4) for confidence in confidences]}"
    assert_equal(used, torch.tensor(expected_used), what=f"tensor used ({case})")
    expected = torch.stack([expensive[i] if expected_used[i] else cheap[i] for i in range(batch)])
    cause = "the expensive stage's rows replace the cheap ones at the places that their samples have in the batch"
    assert_close(logits, expected, what=f"logit tensor ({case})", cause=cause)


@points(1)
@catches("at-the-threshold", "raw-logit", "softmax-over-the-batch", "another-formula-than-softmax")
def test_confidence_and_threshold(student, rng):
    """A sample is sent on if its largest class probability is below the threshold; at the threshold it is not."""
    shift = float(rng.integers(-3, 4))
    shifted = torch.tensor([0.0, 40.0, -40.0])[:, None]
    apart = torch.tensor([[2.0, 0.0], [0.0, 0.5], [0.25, 0.25]]) + shifted  # probabilities .88, .62, .5
    two, four = torch.arange(-3.0, 4.0)[:, None].expand(7, 2), torch.full((5, 4), shift)
    sure = torch.tensor([[0.0, 200.0], [1.0, 0.0], [300.0, 0.0]]) + shift
    cases = [
        ("three samples with probabilities 0.88, 0.62 and 0.5", apart, 0.7, [False, True, True]),
        ("the same samples", apart, 0.9, [True, True, True]),
        ("the same samples", apart, 0.55, [False, False, True]),
        ("two equal logits", two, 0.5, [False] * 7),
        ("two equal logits", two, 0.5625, [True] * 7),
        ("four equal logits", four, 0.25, [False] * 5),
        ("four equal logits", four, 0.3125, [True] * 5),
        ("the first and the last sample with probability 1", sure, 1.0, [False, True, False]),
        ("any logits", sure, 0.0, [False] * 3),
    ]
    for what, logits, threshold, expected in cases:
        for dtype in (torch.float32, torch.float64):
            weights, cheap_input, expensive_input = given_logits(rng, logits.to(dtype))
            _, used, _ = student.run(call_cascade_classifier, threshold, weights, cheap_input, expensive_input)
            cause = (
                "the confidence is the largest torch.softmax probability of the classes; strictly below the threshold"
            )
            what_used = f"tensor used for {what}, cheap logits {logits.tolist()}, threshold {threshold}, {dtype}"
            assert_equal(used, torch.tensor(expected), what=what_used, cause=cause)


@points(1)
@catches("called-with-nothing", "empty-batch-skipped")
def test_nothing_to_send_on(student, rng):
    """When no sample is unsure, or the batch is empty, the expensive stage is not called."""
    weights = random_weights(rng, 5, 4, 12)
    cheap_input, images = normal(rng, 6, 4), normal(rng, 6, 3, 2, 2)
    for case, batch, threshold in (
        ("threshold 0", 6, 0.0),
        ("threshold 0.19, five classes", 6, 0.19),
        ("no samples", 0, 1.0),
    ):
        if not batch:
            cheap_calls, expensive_calls = student.run(cascade_classifier_without_samples, 5)
            cause = "the cheap stage also says how many classes there are when there is no sample"
            assert_equal(cheap_calls, 1, what=f"number of calls of the cheap stage ({case})", cause=cause)
            assert_equal(expensive_calls, 0, what=f"number of calls of the expensive stage ({case})")
        logits, used, report = student.run(
            call_cascade_classifier, threshold, weights, cheap_input[:batch], images[:batch]
        )
        cause = "skip the call, it costs time and some layers refuse an empty batch"
        assert_equal(len(report["expensive_calls"]), 0, what=f"number of expensive calls ({case})", cause=cause)
        assert_shape(logits, (batch, 5), what=f"logit tensor ({case})")
        assert_equal(used, torch.zeros(batch, dtype=torch.bool), what=f"tensor used ({case})")
        assert_dtype(used, "bool", what=f"tensor used ({case})")
        cheap, _ = stages_by_loops(weights, cheap_input[:batch], images[:batch])
        expected = torch.stack(cheap) if cheap else torch.empty(0, 5)
        assert_close(logits, expected, what=f"logit tensor ({case})")


@points(1)
@catches("nan-threshold", "batches-not-compared")
def test_bad_input(student, rng):
    """A threshold that is no probability and inputs of different batch sizes are refused."""
    weights = random_weights(rng, 3, 4, 5)
    cheap_input, expensive_input = normal(rng, 6, 4), normal(rng, 6, 5)
    for threshold in (-0.125, 1.125, 50, math.nan, math.inf):
        with raises(ValueError, what=f"CascadeClassifier with threshold={threshold}"):
            student.run(call_cascade_classifier, threshold, weights, cheap_input, expensive_input)
    for threshold in (0.0, 0.5, 1.0):
        for first, second in ((6, 5), (5, 6), (6, 1), (1, 6), (0, 6), (6, 0)):
            with raises(ValueError, what=f"a call with {first} and {second} samples (threshold {threshold})"):
                student.run(call_cascade_classifier, threshold, weights, cheap_input[:first], expensive_input[:second])


@points(1)
@catches("overwritten", "detached", "cheap-under-no-grad")
def test_gradients_flow_through_both_stages(student, rng):
    """Gradients reach both stages, the cheap one also through the expensive one; nothing is overwritten."""
    weights = random_weights(rng, 3, 4, 5)
    cheap_input, expensive_input, direction = normal(rng, 6, 4), normal(rng, 6, 5), normal(rng, 6, 3)
    leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
    cheap, expensive = stages_by_loops(leaves, cheap_input, expensive_input)
    confidences = [confidence_of(row) for row in cheap]
    threshold = threshold_between(confidences, 4)
    rows = [expensive[i] if confidence < threshold else cheap[i] for i, confidence in enumerate(confidences)]
    (torch.stack(rows) * direction).sum().backward()

    _, _, report = student.run(call_cascade_classifier, threshold, weights, cheap_input, expensive_input)
    for result, copy in report["cheap_results"]:
        assert_unchanged(result, copy, what="tensor that the cheap stage returned")
    for name, after, before in zip(
        ("cheap_input", "expensive_input"), report["inputs"], (cheap_input, expensive_input), strict=True
    ):
        assert_unchanged(after, before, what=f"tensor {name}")
    _, _, report = student.run(call_cascade_classifier, threshold, weights, cheap_input, expensive_input, direction)
    cause = (
        "the cheap stage's gradient has two parts: from its own rows, and from its logits inside the expensive stage"
    )
    names = ("weight of the cheap stage", "bias of the cheap stage", "weight of the expensive stage")
    names = (*names, "weight by which the expensive stage multiplies the cheap logits")
    for what, actual, leaf in zip(names, report["gradients"], leaves.values(), strict=True):
        if actual is None:
            raise AssertionError(f"No gradient reaches the {what}. Look for no_grad, detach or data on the way there.")
        assert_close(actual, leaf.grad, what=f"gradient of the {what}", cause=cause)
