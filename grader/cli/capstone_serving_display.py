"""What `course capstone export`, `serve` and `load-test` do and show."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grader.cli.tables import console_for_tables, plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from grader.capstone.serving.comparison import Comparison
    from grader.capstone.serving.export import Export
    from grader.capstone.serving.load_test import LoadReport

_WAITING_FOR_EACH = 4


def export_and_show(
    bundle_folder: Path,
    method_name: str,
    output: Path | None,
    *,
    compression: str,
    sparsity: float,
    pack: Path | None,
    weights: Path | None,
    as_json: bool,
) -> None:
    """Export a bundle's model and say what was written."""
    from grader.capstone.bundle import Bundle
    from grader.capstone.data_source import load_data
    from grader.capstone.graded_run import preset_of
    from grader.capstone.serving.bundle_model import tuned_model
    from grader.capstone.serving.export import export_index
    from grader.capstone.serving.manifest import Compression
    from grader.capstone.tuning import find_method

    bundle = Bundle(bundle_folder)
    method = find_method(method_name)
    folder = output or bundle_folder / "served" / method.slug
    data = load_data(preset_of(bundle_folder), pack)
    model, origin = tuned_model(bundle, method, data, weights)
    done = export_index(model, data, origin, folder, compression=Compression(compression), sparsity=sparsity)
    if as_json:
        print(json.dumps({"folder": str(folder), **_as_json(done)}, indent=1, ensure_ascii=False))
        return
    parity = done.manifest.parity
    print(f"{folder}: {method} as ONNX, with the embeddings of {len(done.manifest.concepts)} names")
    for name, facts in done.manifest.files.items():
        print(f"  {name}  {facts.bytes / 1e6:.2f} MB")
    print(
        f"onnxruntime agrees with torch on {parity.drawings} drawings: embeddings differ by at most "
        f"{parity.largest_difference:.1e}, every first answer is the same"
    )
    if done.comparison is not None:
        console_for_tables().print(_comparison_table(done.comparison))
        print(done.comparison.verdict)
    print(f"Next: course capstone serve {folder}")


def serve_and_show(
    folder: Path, host: str, port: int, *, concurrent: int | None, waiting: int | None, key_file: Path | None
) -> None:
    """Serve until told to stop."""
    from grader.capstone.serving.server import listen, run_server
    from grader.capstone.serving.settings import KEY_HEADER, Settings, find_key

    settings = Settings(find_key(key_file), *_places(concurrent, waiting))
    listening = listen(host, port)
    address = f"[{host}]" if ":" in host else host
    url = f"http://{address}:{listening.getsockname()[1]}"
    print(f"Serving {folder} at {url}; Ctrl-C stops it. To name a drawing:")
    print(
        f'  curl -H "{KEY_HEADER}: $KEY" -H "Content-Type: image/png" --data-binary @drawing.png "{url}/v1/names?k=5"'
    )
    sys.stdout.flush()  # the server may run for days
    run_server(folder, settings, listening)


def load_test_and_show(
    folder: Path, clients: int, seconds: float, *, concurrent: int | None, waiting: int | None, as_json: bool
) -> int:
    """Run the load test; the exit status."""
    from grader.capstone.serving.load_test import run_load_test

    at_once, queue = _places(concurrent, waiting)
    report = run_load_test(folder, clients=clients, seconds=seconds, concurrent=at_once, waiting=queue)
    if as_json:
        print(json.dumps(report.as_json(), indent=1))
    else:
        _show(report)
    return 1 if report.faults else 0


def _places(concurrent: int | None, waiting: int | None) -> tuple[int, int]:
    at_once = concurrent or os.cpu_count() or 1
    return at_once, _WAITING_FOR_EACH * at_once if waiting is None else waiting


def _as_json(done: Export) -> dict[str, object]:
    manifest = done.manifest
    return {
        "origin": dataclasses.asdict(manifest.origin),
        "compression": manifest.compression,
        "parity": dataclasses.asdict(manifest.parity),
        "files": {name: dataclasses.asdict(facts) for name, facts in manifest.files.items()},
        "concepts": len(manifest.concepts),
        "comparison": None if done.comparison is None else dataclasses.asdict(done.comparison),
    }


def _comparison_table(comparison: Comparison) -> Table:
    table = plain_table()
    table.add_column("model")
    for heading in ("file", "deflated", "recall@1", "ms an image"):
        table.add_column(heading, justify="right")
    for name, found in (("as tuned", comparison.before), (str(comparison.compression), comparison.after)):
        table.add_row(
            name,
            f"{found.bytes / 1e6:.2f} MB",
            f"{found.deflated_bytes / 1e6:.2f} MB",
            f"{found.recall_at_1:.3f}",
            f"{found.milliseconds:.2f}",
        )
    return table


def _show(report: LoadReport) -> None:
    print(
        f"{report.clients} clients for {report.seconds:.1f} s: {report.requests_per_second:.0f} answers a second, "
        f"p50 {report.p50:.1f} ms, p95 {report.p95:.1f} ms, p99 {report.p99:.1f} ms"
    )
    print("  ".join(f"{status}: {count}" for status, count in report.statuses.items()))
    table = plain_table()
    for heading in ("bad request", "expected", "answered", ""):
        table.add_column(heading)
    for refusal in report.refusals:
        answered = str(refusal.status or "nothing")
        table.add_row(refusal.title, str(refusal.expected), answered, refusal.fault or "as it should")
    console_for_tables().print(table)
    print("\n".join(report.faults) or "No fault: every request was answered, or told to come back later.")
