"""What `course capstone ...` shows: progress while it trains, tables at the end."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.cli.capstone_progress import is_first, load_with_progress, progress_bar
from grader.cli.tables import console_for_tables, plain_table

if TYPE_CHECKING:
    from grader.capstone.outcomes import Outcome
    from grader.capstone.tuning import Method
    from grader.capstone.vendors import Vendor

MINUTE = 60


def pack_with_progress(folder: Path, preset_name: str, *, open_vendors: bool, as_json: bool) -> None:
    """Write a pack and say what is in it."""
    from grader.capstone.data_set import load_packages
    from grader.capstone.pack import not_to_be_passed_on, write_pack
    from grader.capstone.presets import PRESETS
    from grader.capstone.vendors import Vendor

    vendors = [vendor for vendor in Vendor if vendor.openly_licensed or not open_vendors]
    with progress_bar(quiet=as_json) as progress:
        reading = progress.add_task("Reading drawings", total=len(vendors), last="")
        data = load_packages(
            PRESETS[preset_name].size, vendors, progress=lambda done, _: progress.update(reading, completed=done)
        )
        writing = progress.add_task("Writing files", total=None, last="")
        sizes = write_pack(
            data, folder, progress=lambda done, total: progress.update(writing, completed=done, total=total)
        )
    if as_json:
        print(json.dumps({"folder": str(folder), "digest": data.digest(), "bytes": sizes}, indent=1))
        return
    console = console_for_tables()
    console.print(f"{folder}: {len(sizes)} files, {sum(sizes.values()) / 1e6:.0f} MB, hash {data.digest()[:12]}")
    if closed := not_to_be_passed_on(vendors):
        console.print(
            f"Drawings by {', '.join(closed)} are in it: for your own machines, not to be passed on. "
            "--open-vendors leaves them out."
        )


def pretrain_with_progress(preset_name: str, pack: Path | None, output: Path | None, *, as_json: bool) -> None:
    """Pretrain with a progress bar and show how well the sources and the other vendors are retrieved."""
    from grader.capstone.model_factory import make_model
    from grader.capstone.presets import CHOOSING_VENDOR, PRESETS, SOURCE_VENDORS
    from grader.capstone.pretraining import pretrain
    from grader.capstone.processes import process_group
    from grader.capstone.training import Watcher
    from grader.capstone.weights import MOST_BYTES, SHIPPED, weights_file

    preset = PRESETS[preset_name]
    file = output or weights_file(preset.name)
    with process_group(), progress_bar(quiet=as_json) as progress:
        data = load_with_progress(progress, preset, pack)
        model = make_model(preset, data)
        task = progress.add_task("Pretraining", total=None, last="")
        manifest = pretrain(
            model,
            preset,
            data,
            SOURCE_VENDORS,
            CHOOSING_VENDOR,
            file,
            command=f"course capstone pretrain --preset {preset.name}",
            checkpoint=file.with_suffix(".checkpoint.pt"),
            watcher=Watcher(
                on_step=lambda step: progress.update(
                    task,
                    completed=step.epoch * step.steps + step.step + 1,
                    total=preset.pretraining.epochs * step.steps,
                    last=f"loss {step.loss:.2f} · {step.images_per_second:.0f} images/s",
                )
            ),
        )
        if is_first():
            file.with_suffix(".checkpoint.pt").unlink(missing_ok=True)
    if not is_first():
        return
    if as_json:
        print(json.dumps(manifest, indent=1))
        return
    console = console_for_tables()
    table = plain_table(title="Recall@1 among 300 names")
    for heading in ("vendor", "known", "unseen"):
        table.add_column(heading, justify="left" if heading == "vendor" else "right")
    for vendor in data.vendors:
        recalls = (manifest["recall_at_1"][f"{vendor} {part}"] for part in ("known", "unseen"))
        table.add_row(vendor + (" (source)" if vendor in SOURCE_VENDORS else ""), *(f"{r:.3f}" for r in recalls))
    console.print(table)
    console.print(f"{file}: {file.stat().st_size / 1e6:.1f} MB, {manifest['seconds'] / MINUTE:.1f} minutes")
    if file.parent == SHIPPED and file.stat().st_size > MOST_BYTES:
        console.print(f"This is more than the {MOST_BYTES / 1e6:.0f} MB that may be shipped.")


def train_with_progress(
    output: Path,
    preset_name: str,
    methods: Sequence[str],
    *,
    target: str,
    pack: Path | None,
    weights: Path | None,
    changes: Mapping[str, str],
    backbone: str | None,
    as_json: bool,
) -> None:
    """Run the methods with a progress bar that shows loss, validation and speed; then the table."""
    from grader.capstone.graded_run import graded_run
    from grader.capstone.presets import PRESETS
    from grader.capstone.processes import process_group
    from grader.capstone.run import Listener

    preset = dataclasses.replace(PRESETS[preset_name].changed(changes), backbone=backbone)
    chosen, vendor = _methods(methods), _vendor(target)
    with process_group(), progress_bar(quiet=as_json) as progress:
        data = load_with_progress(progress, preset, pack)
        tasks: dict[Method, Any] = {}
        score = ""

        def on_method(method: Method) -> None:
            tasks[method] = progress.add_task(str(method).capitalize(), total=None, last="")

        def on_step(method: Method, step: Any) -> None:
            progress.update(
                tasks[method],
                completed=step.epoch * step.steps + step.step + 1,
                total=preset.recipe(method).epochs * step.steps,
                last=f"loss {step.loss:.2f}{score} · {step.images_per_second:.0f} images/s",
            )

        def on_epoch(method: Method, epoch: Any) -> None:
            nonlocal score
            score = f" · validation {epoch.score:.3f}"

        def on_outcome(outcome: Outcome) -> None:
            task = tasks[outcome.method]
            progress.update(task, last=f"recall@1 {outcome.known.recall_at_1:.3f}", completed=1, total=1)

        listener = Listener(on_method, on_step, on_epoch, on_outcome)
        bundle, outcomes = graded_run(preset, data, output, chosen, vendor, weights, listener)
    if not is_first():
        return
    if as_json:
        print(json.dumps({**bundle.facts(), "outcomes": [outcome.as_json() for outcome in outcomes]}, indent=1))
        return
    console = console_for_tables()
    console.print(_comparison(outcomes, vendor))
    facts = bundle.facts()
    console.print(f"{facts['seconds'] / MINUTE:.1f} minutes, at most {facts['peak_memory_megabytes']:.0f} MB of memory")
    console.print(f"Report: {bundle.report}\nGrade it: course capstone grade {bundle.folder}", soft_wrap=True)


def _comparison(outcomes: Sequence[Outcome], target: Vendor) -> Any:
    table = plain_table(title=f"Among 300 names, drawings by {target}: recall@1 in percent (95 % interval of the gain)")
    headings = ("method", "trained", "known", "gain", "unseen", "source", "forgotten", "seconds")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for found in outcomes:
        gained = "" if found.known == outcomes[0].known else _interval(found.gain)
        table.add_row(
            str(found.method),
            f"{found.trainable:,}",
            f"{100 * found.known.recall_at_1:.1f}",
            gained,
            f"{100 * found.unseen.recall_at_1:.1f}",
            f"{100 * found.source.recall_at_1:.1f}",
            f"{100 * found.forgetting.value:+.1f}",
            f"{found.seconds:.0f}",
        )
    return table


def _interval(found: Any) -> str:
    return f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def grade_and_show(
    folder: Path,
    pack: Path | None,
    weights: Path | None,
    backbone: str | None = None,
    *,
    target: str = "Wind",
    as_json: bool,
) -> int:
    """Grade a bundle; the exit status."""
    from grader.capstone.graded_run import grade_bundle, preset_of

    with progress_bar(quiet=as_json) as progress:
        preset = preset_of(folder, backbone)
        data = load_with_progress(progress, preset, pack)
        progress.add_task("Measuring", total=None, last="")
        grade = grade_bundle(folder, preset, data, weights, _vendor(target))
    if as_json:
        print(json.dumps({"points": grade.points, "of": grade.of, **dataclasses.asdict(grade)}, indent=1))
    else:
        console = console_for_tables()
        table = plain_table()
        for heading in ("asked", "seen", "points"):
            table.add_column(heading, justify="right" if heading == "points" else "left")
        for criterion in grade.criteria:
            table.add_row(criterion.title, criterion.seen, f"{criterion.points:g} of {criterion.of:g}")
        console.print(table)
        for warning in grade.warnings:
            console.print(f"look at: {warning}")
        console.print(f"{grade.points:g} of {grade.of:g} points")
    return 0 if grade.points == grade.of else 1


def show_plan(preset_name: str, pack: Path | None, *, as_json: bool) -> None:
    """Time a few steps of each method and show minutes and memory."""
    from grader.capstone.planning import plan
    from grader.capstone.presets import PRESETS

    preset = PRESETS[preset_name]
    with progress_bar(quiet=as_json) as progress:
        data = load_with_progress(progress, preset, pack)
        task = progress.add_task("Timing steps", total=None, last="")
        lines = plan(preset, data, lambda done, total: progress.update(task, completed=done, total=total))
    if as_json:
        print(json.dumps([dataclasses.asdict(line) for line in lines], indent=1))
        return
    console = console_for_tables()
    table = plain_table(title=f"Preset {preset.name}: at most, were no run stopped early")
    for heading in ("method", "steps", "seconds a step", "minutes"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for line in lines:
        table.add_row(line.title, f"{line.steps:,}", f"{line.seconds_per_step:.3f}", f"{line.seconds / MINUTE:.1f}")
    console.print(table)
    total, memory = sum(line.seconds for line in lines), max(line.memory_megabytes for line in lines)
    console.print(f"{total / MINUTE:.1f} minutes, about {memory:.0f} MB of memory")


def _methods(names: Sequence[str]) -> list[Method]:
    from grader.capstone.tuning import BETWEEN, Method, find_method

    if not names:
        return list(Method)
    wanted = {find_method(name) for name in names} | {Method.ZERO_SHOT}
    wanted |= {BETWEEN[method] for method in wanted & BETWEEN.keys()}
    return [method for method in Method if method in wanted]


def _vendor(name: str) -> Vendor:
    from grader.capstone.errors import CapstoneError
    from grader.capstone.presets import SOURCE_VENDORS
    from grader.capstone.vendors import find_vendor

    vendor = find_vendor(name)
    if vendor in SOURCE_VENDORS:
        raise CapstoneError(f"{name} is a source vendor, which pretraining has seen: it is not new to the model")
    return vendor
