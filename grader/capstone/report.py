"""The report of a run: one HTML file with curves, comparison, galleries, and how far to believe them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from grader.capstone.bundle import Bundle
from grader.capstone.data_set import DataSet
from grader.capstone.galleries import Gallery
from grader.capstone.outcomes import Outcome
from grader.capstone.pictures import SHOWN_VENDOR, address, drawing_address, png
from grader.capstone.training import Epoch
from grader.capstone.tuning import Method
from grader.capstone.vendors import Vendor

_COLOURS = {method: f"C{number}" for number, method in enumerate(Method)}  # one for a method in every figure


def write_report(bundle: Bundle, outcomes: Sequence[Outcome], galleries: Sequence[Gallery], data: DataSet) -> None:
    """Write the bundle's report.html and its TensorBoard logs."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("grader.capstone"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    curves = {outcome.method: found for outcome in outcomes if (found := bundle.curve(outcome.method))}
    page = environment.get_template("report.html.j2").render(
        facts=bundle.facts(),
        outcomes=outcomes,
        curves=_draw_curves(curves) if curves else None,
        comparison=_draw_comparison(outcomes),
        galleries=galleries,
        can_show=SHOWN_VENDOR in data.vendors,
        shown_vendor=SHOWN_VENDOR.company,
        target=Vendor(bundle.facts()["target"]).company,
        sources=[Vendor(name).company for name in bundle.facts()["sources"]],
        picture_of=lambda concept: drawing_address(data, SHOWN_VENDOR, concept),
        concepts=data.concepts,
    )
    bundle.report.write_text(page, "utf-8")
    _log_to_tensorboard(bundle, curves)


def _draw_curves(curves: Mapping[Method, Sequence[Epoch]]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for method, epochs in curves.items():
        numbers = [epoch.epoch + 1 for epoch in epochs]
        left.plot(numbers, [epoch.loss for epoch in epochs], color=_COLOURS[method], label=str(method))
        right.plot(numbers, [epoch.score for epoch in epochs], color=_COLOURS[method], label=str(method))
    left.set(xlabel="epoch", ylabel="training loss")
    right.set(xlabel="epoch", ylabel="validation, mean reciprocal rank")
    right.legend(fontsize="small")
    return address(png(figure))


def _draw_comparison(outcomes: Sequence[Outcome]) -> str:
    """Gain on the new vendor against what the source vendor lost: up and to the left is better."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    for outcome in outcomes:
        gain, lost = 100 * outcome.gain.value, 100 * outcome.forgetting.value
        low, high = gain - 100 * outcome.gain.low, 100 * outcome.gain.high - gain
        axes.errorbar(
            lost,
            gain,
            yerr=[[max(0.0, low)], [max(0.0, high)]],
            fmt="o",
            capsize=3,
            color=_COLOURS[outcome.method],
            label=str(outcome.method),
        )
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set(xlabel="forgotten on the source vendor (points of recall@1)", ylabel="gained on the new vendor (points)")
    figure.legend(loc="outside right upper", fontsize="small")
    return address(png(figure))


def _log_to_tensorboard(bundle: Bundle, curves: Mapping[Method, Sequence[Epoch]]) -> None:
    """A run of TensorBoard for every method; nothing where the package tensorboard is not installed."""
    # TensorBoard's own switch for doing without TensorFlow, which it would load, messages and all, where it is there.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        return
    for method, epochs in curves.items():
        with SummaryWriter(str(bundle.tensorboard / method.slug)) as writer:
            for epoch in epochs:
                writer.add_scalar("training/loss", epoch.loss, epoch.epoch)
                writer.add_scalar("validation/mean reciprocal rank", epoch.score, epoch.epoch)
                writer.add_scalar("training/images per second", epoch.images_per_second, epoch.epoch)
