"""Explanations as files: a figure and the numbers of each, and one page with all of them.

index.html       the figures with what they say in words; holds all it shows
<drawing>.png    one figure
explanations.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grader.capstone.data_set import DataSet
from grader.capstone.errors import CapstoneError
from grader.capstone.explanation import Explanation, Plan
from grader.capstone.explanation_figure import draw_explanation
from grader.capstone.pictures import SHOWN_VENDOR, address
from grader.capstone.tuning import Method
from grader.gradebook.files import safe_name, write_bytes, write_text

PAGE, NUMBERS = "index.html", "explanations.json"
_TRUSTED = 0.95  # of the random orders that an order by value must beat


def explanations_folder(bundle: Path, method: Method) -> Path:
    """Where a bundle's explanations go. Raises CapstoneError where a link in the bundle leads out of it."""
    folder = bundle / "explanations" / method.slug
    if not folder.resolve().is_relative_to(bundle.resolve()):
        raise CapstoneError(f"{folder}: a link leads out of the bundle; delete it, or name a folder with --output")
    return folder


class ExplanationPage:
    """Writes explanations to a folder one by one: an interrupted command leaves a page with those that were done."""

    def __init__(self, folder: Path, method: Method, data: DataSet, plan: Plan) -> None:
        self.folder = folder
        self._method, self._data, self._plan = method, data, plan
        self._done: list[tuple[Explanation, str, bytes]] = []

    def add(self, explanation: Explanation) -> Path:
        """Draw an explanation and write everything so far; returns the figure's file."""
        name = picture_name(explanation, self._data)
        self._done.append((explanation, name, draw_explanation(explanation, self._data)))
        write_bytes(self.folder / name, self._done[-1][2])
        write_text(self.folder / NUMBERS, json.dumps(self.as_json(), ensure_ascii=False, indent=1) + "\n")
        write_text(self.folder / PAGE, self._page())
        return self.folder / name

    def as_json(self) -> dict[str, Any]:
        """All numbers, as plain data."""
        return {
            "method": str(self._method),
            "way": self._plan.way,
            "exact": self._plan.exact,
            "seed": self._plan.seed,
            "explanations": [as_json(found, self._data) | {"figure": name} for found, name, _ in self._done],
        }

    def _page(self) -> str:
        import jinja2

        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("grader.capstone"), autoescape=True, undefined=jinja2.StrictUndefined
        )
        vendor = self._done[0][0].vendor
        return environment.get_template("explanation.html.j2").render(
            method=self._method,
            plan=self._plan,
            vendor=vendor.company,
            may_be_shown=vendor.openly_licensed,
            shown_vendor=SHOWN_VENDOR.company,
            concepts=self._data.concepts,
            explained=[(found, address(picture), verdict(found)) for found, _, picture in self._done],
        )


def verdict(explanation: Explanation) -> str:
    """Whether the map can be believed, in one sentence."""
    found = explanation.faithfulness
    trusted = [
        what
        for what, beaten in (("insertion", found.insertion_beats), ("deletion", found.deletion_beats))
        if beaten >= _TRUSTED
    ]
    if len(trusted) == 2:
        return "Patches in the order of their values do better than by chance, both coming and going."
    if trusted:
        return f"Only {trusted[0]} in the order of the values does better than by chance: read the map with care."
    return "The order of the values does no better than chance: this map explains nothing."


def as_json(explanation: Explanation, data: DataSet) -> dict[str, Any]:
    """An explanation's numbers as plain data; `values` row by row from the top."""
    found = explanation.faithfulness
    return {
        "drawing": data.concepts[explanation.drawn].name,
        "name": data.concepts[explanation.named].name,
        "vendor": str(explanation.vendor),
        "score": explanation.score,
        "score_of_white_paper": explanation.paper,
        "rank": explanation.rank,
        "first_answers": [data.concepts[row].name for row in explanation.first],
        "values": explanation.values.tolist(),
        "standard_error": explanation.standard_error.tolist(),
        "insertion_area": found.insertion_area,
        "deletion_area": found.deletion_area,
        "random_area": float(found.chance_areas.mean()),
        "insertion_beats": found.insertion_beats,
        "deletion_beats": found.deletion_beats,
        "verdict": verdict(explanation),
    }


def picture_name(explanation: Explanation, data: DataSet) -> str:
    """The figure's file, after the names of the drawing and of what it is explained with."""
    named = (explanation.drawn,) if explanation.drawn == explanation.named else (explanation.drawn, explanation.named)
    return safe_name("-as-".join(data.concepts[row].name.replace(" ", "-") for row in named)) + ".png"
