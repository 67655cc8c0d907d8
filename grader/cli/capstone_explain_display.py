"""What `course capstone explain` does and shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from grader.cli.capstone_progress import load_with_progress, progress_bar
from grader.cli.tables import console_for_tables, plain_table

_DRAWINGS = 4  # explained where none is named
_INTERRUPTED = "Interrupted. What is explained already is in {folder}; the same command begins again."


def explain_and_show(
    bundle_folder: Path,
    method_name: str,
    queries: Sequence[str],
    name: str | None,
    *,
    vendor: str,
    plan: Mapping[str, Any],
    output: Path | None,
    pack: Path | None,
    weights: Path | None,
    backbone: str | None,
    as_json: bool,
) -> None:
    """Explain a bundle's model with a progress bar, and say what was found and where it is."""
    from grader.capstone.bundle import Bundle
    from grader.capstone.explanation import Explainer, Plan, Way
    from grader.capstone.explanation_page import PAGE, ExplanationPage, explanations_folder
    from grader.capstone.galleries import asked_concepts
    from grader.capstone.graded_run import preset_of
    from grader.capstone.name_directory import find_concepts
    from grader.capstone.pretrained import Pretrained
    from grader.capstone.tuning import find_method
    from grader.capstone.vendors import find_vendor

    bundle, method, chosen = Bundle(bundle_folder), find_method(method_name), find_vendor(vendor)
    how = Plan(**{**plan, "way": Way(plan["way"])})
    folder = output or explanations_folder(bundle_folder, method)
    adapter = bundle.existing_adapter(method)
    preset = preset_of(bundle_folder, backbone)
    with progress_bar(quiet=as_json, interrupted=_INTERRUPTED.format(folder=folder)) as progress:
        data = load_with_progress(progress, preset, pack)
        bundle.check_data(data.digest())
        drawn = find_concepts(queries, data.concepts) or asked_concepts(data, _DRAWINGS)
        named = find_concepts([name], data.concepts)[0] if name is not None else None
        model, _ = Pretrained.load(preset, data, weights).tuned(adapter)
        explainer = Explainer(model, data, chosen, how)
        page = ExplanationPage(folder, method, data, how)
        for concept in drawn:
            task = progress.add_task("Explaining", total=None, last=data.concepts[concept].name)
            told = partial(_advance, progress, task)
            page.add(explainer.explain(concept, concept if named is None else named, told))
    found = page.as_json()
    if as_json:
        print(json.dumps({"folder": str(folder), **found}, ensure_ascii=False, indent=1))
        return
    _show(found["explanations"], f"{method}, drawings by {chosen.company}")
    print(f"Page: {folder / PAGE}")


def _advance(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)


def _show(explanations: Sequence[Mapping[str, Any]], title: str) -> None:
    from rich.markup import escape

    console, table = console_for_tables(), plain_table(title=escape(title))
    headings = ("drawing", "name", "score", "rank", "insertion", "deletion", "random", "first answer")
    for heading in headings:
        text = heading in ("drawing", "name", "first answer")
        table.add_column(heading, justify="left" if text else "right")
    for found in explanations:
        areas = (found[f"{what}_area"] for what in ("insertion", "deletion", "random"))
        table.add_row(
            escape(found["drawing"]),
            escape(found["name"]),
            f"{found['score']:.3f}",
            str(found["rank"]),
            *(f"{area:.3f}" for area in areas),
            escape(found["first_answers"][0]),
        )
    console.print(table)
    for found in explanations:
        console.print(f"{found['drawing']}: {found['verdict']}", markup=False)
