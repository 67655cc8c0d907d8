"""`course capstone export`, `serve` and `load-test`: from a tuned model to a server that holds under load."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from grader.cli.capstone_options import BundleFolder, Pack, Weights
from grader.cli.options import Json


class CompressionName(enum.StrEnum):
    """How the exported model is made smaller."""

    NONE = "none"
    INT8 = "int8"
    PRUNING = "pruning"


_Index = Annotated[
    Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="What `course capstone export` wrote.")
]
_Concurrent = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Requests worked on at once. Default: one a core.")
]
_Waiting = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="N", help="Requests that may wait for that; more get 429. Default: 4 for each at work."
    ),
]


def export(
    bundle: BundleFolder = Path("results/capstone"),
    method: Annotated[
        str,
        typer.Option(metavar="METHOD", help="Which of the run's models: linear-probe, full, lora, replay and so on."),
    ] = "replay-and-interpolation",
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", file_okay=False, help="Default: BUNDLE/served/METHOD.")
    ] = None,
    compression: Annotated[
        CompressionName, typer.Option(help="Make the model smaller, and say what that costs and brings.")
    ] = CompressionName.NONE,
    sparsity: Annotated[
        float, typer.Option(min=0.01, max=0.99, metavar="PART", help="Weights that pruning sets to zero.")
    ] = 0.5,
    pack: Pack = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Export a tuned model to ONNX, with the embeddings of all names beside it.

    The file is compared with the model it was made of, on every held-out drawing, before it takes its place: embeddings
    that differ by 1e-4 or more, or another first answer, are an error, and then nothing is written. With
    `--compression`, size, recall and latency are measured before and after, in one run.
    """
    from grader.cli.capstone_serving_display import export_and_show

    export_and_show(
        bundle, method, output, compression=compression, sparsity=sparsity, pack=pack, weights=weights, as_json=as_json
    )


def serve(
    index: _Index,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="0.0.0.0 for all networks: then behind a proxy that speaks TLS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 for any that is free.")] = 8000,
    concurrent: _Concurrent = None,
    waiting: _Waiting = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Holds the API key. Default: the environment variable COURSE_API_KEY.",
        ),
    ] = None,
) -> None:
    """Serve an exported model over HTTP.

    `POST /v1/names` with a PNG names a drawing, `POST /v1/drawings` with {"name": ...} finds drawings; both want the
    key in the header X-API-Key. `/health`, `/ready` and `/metrics` are open, `/openapi.json` describes it all. Stops
    cleanly at Ctrl-C or SIGTERM.
    """
    from grader.cli.capstone_serving_display import serve_and_show

    serve_and_show(index, host, port, concurrent=concurrent, waiting=waiting, key_file=key_file)


def load_test(
    index: _Index,
    clients: Annotated[int, typer.Option(min=1, metavar="N", help="Clients at once.")] = 16,
    seconds: Annotated[float, typer.Option(min=0.1, metavar="S", help="How long they go on.")] = 30,
    concurrent: _Concurrent = None,
    waiting: _Waiting = None,
    as_json: Json = False,
) -> None:
    """Try an exported model's server under load on this machine, then with bad requests.

    Starts a server of its own on loopback and prints requests a second, latencies and counts by status. Exits with 1
    when any request is answered with anything but 200 or the 429 of a busy server, when a malformed, oversized or
    unauthenticated request is not refused as it should be, or when the server does not stop cleanly.
    """
    from grader.cli.capstone_serving_display import load_test_and_show

    raise typer.Exit(
        load_test_and_show(index, clients, seconds, concurrent=concurrent, waiting=waiting, as_json=as_json)
    )
