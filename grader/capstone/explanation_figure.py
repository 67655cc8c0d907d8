"""The figure of an explanation: the drawing, what its patches are worth, and the curves that put that to the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grader.capstone.data_set import DataSet
from grader.capstone.explanation import Explanation
from grader.capstone.pictures import SHOWN_VENDOR, on_paper, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SQUARE = (0, 1, 1, 0)  # left, right, bottom, top: the first row of patches on top
_BESIDE = 0.45  # how much of the drawing's grey shows through


def draw_explanation(explanation: Explanation, data: DataSet) -> bytes:
    """The figure as a PNG file.

    A drawing that may not be shown is left out: the map then stands alone, beside another vendor's drawing of the same
    concept.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    drawing, heat, curves = figure.subplots(1, 3, width_ratios=(1, 1.25, 1.6))
    shown = explanation.vendor if explanation.vendor.openly_licensed else SHOWN_VENDOR
    if shown in data.vendors:
        drawing.imshow(on_paper(data, shown, explanation.drawn), extent=_SQUARE)
        whose = "the drawing" if shown is explanation.vendor else f"{shown.company}'s drawing of it"
    else:
        whose = "the drawing may not be shown"
    drawing.set_title(whose, fontsize="medium")
    if shown is explanation.vendor:
        grey = on_paper(data, shown, explanation.drawn).mean(axis=2)
        heat.imshow(1 - _BESIDE * (1 - grey), cmap="gray", vmin=0, vmax=1, extent=_SQUARE)
    most = float(np.abs(explanation.values).max()) or 1.0
    alpha = 0.65 if shown is explanation.vendor else 1.0
    values = heat.imshow(explanation.values, cmap="RdBu_r", vmin=-most, vmax=most, alpha=alpha, extent=_SQUARE)
    figure.colorbar(values, ax=heat, shrink=0.85)
    heat.set_title(f"what {explanation.vendor.company}'s patches are worth", fontsize="medium")
    for axes in (drawing, heat):
        axes.set(xticks=[], yticks=[])
    _draw_curves(curves, explanation)
    return png(figure)


def _draw_curves(axes: Axes, explanation: Explanation) -> None:
    found = explanation.faithfulness
    share = np.linspace(0, 1, len(found.insertion))
    low, high = np.quantile(found.by_chance, [0.025, 0.975], axis=0)
    axes.fill_between(share, low, high, color="0.85", label="95 % of random orders")
    axes.plot(share, found.by_chance.mean(axis=0), color="0.5", label=f"random, area {found.chance_areas.mean():.3f}")
    axes.plot(share, found.insertion, color="C3", label=f"insertion, area {found.insertion_area:.3f}")
    axes.plot(share, found.deletion, color="C0", linestyle="--", label=f"deletion, area {found.deletion_area:.3f}")
    axes.set_xlabel("share of the patches inserted or deleted")
    axes.set_ylabel("score")
    axes.legend(fontsize="x-small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
