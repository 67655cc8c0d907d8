"""Which patches of a drawing a model's answer rests on, and whether that map can be believed.

What is explained is how much better the drawing fits a name than names in general: its cosine with that name less the
mean of its cosines with all names. The cosine alone is large for any drawing on white paper and any name.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from grader.capstone.attribution import MOST_EXACT, Attribution, Worth, exact_shapley, occlusion, sampled_shapley
from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.errors import CapstoneError
from grader.capstone.evaluation import embed_drawings, embed_names
from grader.capstone.faithfulness import Faithfulness, judge
from grader.capstone.vendors import Vendor

FIRST = 3  # answers of the model that are kept
_LARGEST_GRID = 16


class Way(enum.StrEnum):
    """How patches get their values."""

    SHAPLEY = "shapley"
    OCCLUSION = "occlusion"


@dataclass(frozen=True)
class Plan:
    """How to explain: `grid` x `grid` patches; `orders` of arrival for sampled Shapley values, `chance_orders` beside
    which the insertion and deletion curves are held.

    Raises CapstoneError for a number that cannot be used.
    """

    way: Way = Way.SHAPLEY
    grid: int = 8
    orders: int = 64
    chance_orders: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least, most in (("grid", 2, _LARGEST_GRID), ("orders", 4, 10_000), ("chance_orders", 1, 10_000)):
            if not least <= getattr(self, name) <= most:
                raise CapstoneError(f"{name} is {getattr(self, name)}; it must be from {least} to {most}")

    @property
    def pairs(self) -> int:
        """Pairs of an order and its reverse that are drawn: `orders`, rounded up."""
        return -(-self.orders // 2)

    @property
    def exact(self) -> bool:
        """Whether the values come without sampling: by occlusion, or few enough patches to count all sets of them."""
        return self.way is Way.OCCLUSION or self.grid**2 <= MOST_EXACT


@dataclass(frozen=True)
class Explanation:
    """A drawing of the concept `drawn` explained with the name of the concept `named`.

    `values` and `standard_error`: float64 (grid, grid), in the unit of `score`, which is the drawing's, as `paper` is
    that of an empty sheet. `rank`, from 1, is the name's among all names; `first` are the concepts the model answers.
    """

    vendor: Vendor
    drawn: int
    named: int
    score: float
    paper: float
    rank: int
    first: tuple[int, ...]
    values: np.ndarray
    standard_error: np.ndarray
    faithfulness: Faithfulness


class Explainer:
    """Explains drawings of one vendor.

    Raises CapstoneError when the data set has none of that vendor's, or when they are smaller than the grid.
    """

    def __init__(self, model: DualEncoder, data: DataSet, vendor: Vendor, plan: Plan) -> None:
        if plan.grid > data.size:
            raise CapstoneError(f"{data.size} pixels cannot be cut into {plan.grid} patches")
        self.plan = plan
        self._model, self._vendor, self._drawings = model, vendor, data.of(vendor)
        self._names = embed_names(model, torch.arange(len(data.concepts), device=self._drawings.device))

    def explain(
        self, drawn: int, named: int, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Explanation:
        """Explain one drawing; `progress(done, total)` counts orders of arrival.

        Raises CapstoneError when the model's answer is not a number.
        """
        drawing = self._drawings[drawn]
        cosines = (embed_drawings(self._model, drawing[None]) @ self._names.T)[0].double().cpu().numpy()  # (concepts,)
        if not np.isfinite(cosines).all():
            raise CapstoneError("the model's embeddings hold nan or inf, so nothing can be explained")
        worth = patch_worth(self._model, drawing, self._names[named] - self._names.mean(dim=0), self.plan.grid)
        chance = self.plan.chance_orders
        sampled = 0 if self.plan.exact else 2 * self.plan.pairs
        found = self._attribute(worth, lambda done, _: progress(2 * done, sampled + chance))
        faithfulness = judge(
            worth,
            found.values,
            chance,
            seed=self.plan.seed + 1,
            progress=lambda done, _: progress(sampled + done, sampled + chance),
        )
        return Explanation(
            vendor=self._vendor,
            drawn=drawn,
            named=named,
            score=float(faithfulness.insertion[-1]),
            paper=float(faithfulness.insertion[0]),
            rank=1 + int((cosines > cosines[named]).sum()),
            first=tuple(int(row) for row in np.argsort(-cosines, kind="stable")[:FIRST]),
            values=found.values.reshape(self.plan.grid, self.plan.grid),
            standard_error=found.standard_error.reshape(self.plan.grid, self.plan.grid),
            faithfulness=faithfulness,
        )

    def _attribute(self, worth: Worth, progress: Callable[[int, int], None]) -> Attribution:
        patches = self.plan.grid**2
        if self.plan.way is Way.OCCLUSION:
            return occlusion(worth, patches)
        if self.plan.exact:
            return exact_shapley(worth, patches)
        return sampled_shapley(worth, patches, self.plan.pairs, seed=self.plan.seed, progress=progress)


def patch_worth(model: DualEncoder, drawing: Tensor, direction: Tensor, grid: int) -> Worth:
    """What sets of patches earn: the embedding of a sheet with only these of them drawn, times `direction` (width,).

    `drawing`: uint8 (4, size, size). A patch that is missing is transparent, so it is white as the paper, which is what
    the model sees around every drawing.
    """
    places = torch.arange(drawing.shape[-1], device=drawing.device) * grid // drawing.shape[-1]  # patch of each pixel

    def worth(present: np.ndarray) -> np.ndarray:
        shown = torch.from_numpy(present).to(drawing.device).reshape(-1, grid, grid)
        pixels = drawing.repeat(len(shown), 1, 1, 1)  # (sets, 4, size, size)
        pixels[:, 3] *= shown[:, places][:, :, places]
        earned: np.ndarray = (embed_drawings(model, pixels) @ direction).double().cpu().numpy()
        return earned

    return worth
