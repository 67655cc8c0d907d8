"""`course capstone ...` as a person or a script calls it, on the real drawings and the shipped weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grader import cli
from grader.capstone.adapters import read_adapter
from grader.capstone.tuning import Method
from grader.capstone.weights import MOST_BYTES, SHIPPED, load_weights, weights_file


def _run(arguments: list[str], capsys: pytest.CaptureFixture[str], status: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["capstone", *arguments])
    out, err = capsys.readouterr()
    assert (ended.value.code or 0) == status, err
    return out if status != 2 else err


def test_a_run_its_repetition_and_its_grade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tmp_path / "bundle"
    command = ["train", "--output", str(bundle), "--method", "linear-probe", "--set", "epochs=1", "--json"]
    found: dict[str, Any] = json.loads(_run(command, capsys))
    assert [outcome["method"] for outcome in found["outcomes"]] == ["zero-shot", "linear probe"]
    manifest = load_weights(weights_file("cpu"))[1]
    assert found["data"] == manifest["data"], "the shipped weights were pretrained on other data"
    zero_shot = found["outcomes"][0]["known"]["recall_at_1"]
    assert zero_shot == pytest.approx(manifest["recall_at_1"]["Wind known"], abs=0.011)
    assert found["peak_memory_megabytes"] < 3000
    assert all(0 < count < 30 for count in found["drawn_alike"].values()), "the target's style is hardly new"
    page = (bundle / "report.html").read_text("utf-8")
    assert "Windows" in page and "linear probe" in page and page.count("data:image/png") >= 2

    assert json.loads(_run(command, capsys)) == found, "a finished run was changed by running it again"
    told = _run([*command[:5], "--set", "epochs=2"], capsys, status=2)
    assert "a run with another recipes" in told

    grade = json.loads(_run(["grade", str(bundle), "--json"], capsys, status=1))
    assert grade["of"] == 10 and grade["points"] < 10
    assert any("LoRA" in warning for warning in grade["warnings"])
    assert "tuned for" in _run(["grade", str(bundle), "--target", "Joy"], capsys, status=2)
    assert read_adapter(bundle / "adapters" / "linear-probe.safetensors")[1]["method"] == Method.LINEAR_PROBE


def test_the_plan_tells_minutes_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    lines = json.loads(_run(["plan", "--json"], capsys))
    assert [line["title"] for line in lines] == ["linear probe", "full", "LoRA", "replay", "random labels"]
    assert all(line["seconds"] > 0 and 0 < line["memory_megabytes"] < 3000 for line in lines)
    assert all(line["seconds"] == pytest.approx(line["steps"] * line["seconds_per_step"]) for line in lines)


def test_a_pack_of_open_drawings_names_no_other_vendor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(_run(["pack", str(tmp_path / "pack"), "--open-vendors", "--json"], capsys))
    assert max(found["bytes"].values()) <= 30_000_000
    assert json.loads((tmp_path / "pack" / "pack.json").read_text("utf-8"))["vendors"] == ["Goog", "Twtr"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--method", "lorra"], "there is no method 'lorra'"),
        (["train", "--target", "Nokia"], "there is no vendor 'Nokia'"),
        (["train", "--target", "Goog"], "a source vendor"),
        (["train", "--set", "epoch=3"], "a recipe has no number 'epoch'"),
        (["train", "--set", "epochs=many"], "epochs is not 'many'"),
        (["train", "--set", "epochs=0"], "epochs must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_told_at_once(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in _run(arguments, capsys, status=2)


def test_what_is_shipped_is_small_and_says_where_it_comes_from() -> None:
    assert weights_file("cpu").stat().st_size <= MOST_BYTES
    manifest = load_weights(weights_file("cpu"))[1]
    assert manifest["sources"] == ["Goog", "Twtr"], "only openly licensed drawings may be in what is shipped"
    assert manifest["command"] == "course capstone pretrain --preset cpu" and manifest["recipe"]["seed"] == 0
    assert sorted(file.suffix for file in SHIPPED.iterdir()) == [".json", ".safetensors"]
