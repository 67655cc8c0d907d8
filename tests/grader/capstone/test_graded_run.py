"""A whole run in small, and its grade: what a bundle holds, what may be resumed, and what earns nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from grader.capstone import graded_run as runs
from grader.capstone.adapters import apply_adapter, changed_weights, read_adapter
from grader.capstone.bundle import Bundle
from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.errors import CapstoneError
from grader.capstone.grading import grade
from grader.capstone.image_towers import ConvolutionalTower
from grader.capstone.outcomes import Outcome
from grader.capstone.presets import CPU, Preset
from grader.capstone.pretrained import Pretrained
from grader.capstone.run import Listener, Run, run_methods
from grader.capstone.text_towers import FrozenNames
from grader.capstone.training import History
from grader.capstone.tuning import Method, choose_parameters, merge_lora, training_mode
from grader.capstone.vendors import Vendor

SOURCES = (Vendor.GOOGLE, Vendor.TWITTER)
SMALL = replace(CPU, size=16, tuning=replace(CPU.tuning, epochs=2, batch_size=8, ema=0.5, patience=None))


@pytest.fixture
def names(small_data: DataSet) -> Tensor:
    return torch.nn.functional.normalize(
        torch.randn(len(small_data.concepts), 384, generator=torch.Generator().manual_seed(0)), dim=1
    )


@pytest.fixture(autouse=True)
def _names_without_a_text_tower(monkeypatch: pytest.MonkeyPatch, names: Tensor) -> None:
    """The small data set's names are invented, so their features are; everything else is the real thing."""
    monkeypatch.setattr("grader.capstone.model_factory._names", lambda data: names)


def _model(names: Tensor) -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(ConvolutionalTower(), FrozenNames(names))


@pytest.fixture
def pretrained(names: Tensor) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in _model(names).state_dict().items()}


def _run(data: DataSet, names: Tensor, pretrained: dict[str, Tensor], folder: Path, preset: Preset = SMALL) -> Run:
    bundle = Bundle(folder)
    facts = {"preset": "cpu", "data": data.digest(), "target": Vendor.WINDOWS}
    bundle.begin(facts)
    return Run(Pretrained(preset, data, pretrained, names), bundle, Vendor.WINDOWS, Vendor.GOOGLE, SOURCES)


@pytest.fixture
def finished(
    small_data: DataSet, names: Tensor, pretrained: dict[str, Tensor], tmp_path: Path
) -> tuple[Run, list[Outcome]]:
    run = _run(small_data, names, pretrained, tmp_path / "bundle")
    return run, run_methods(run, list(Method))


def test_every_method_leaves_figures_a_curve_and_an_adapter(finished: tuple[Run, list[Outcome]]) -> None:
    run, outcomes = finished
    assert [outcome.method for outcome in outcomes] == list(Method)
    for outcome in outcomes:
        assert run.bundle.outcome(outcome.method) == outcome
        assert len(run.bundle.curve(outcome.method)) == outcome.epochs
        assert run.bundle.adapter(outcome.method).is_file()
        assert not run.bundle.checkpoint(outcome.method).exists(), "a finished method needs no checkpoint"
    by_method = {outcome.method: outcome for outcome in outcomes}
    assert by_method[Method.ZERO_SHOT].gain.value == 0 and by_method[Method.ZERO_SHOT].trainable == 0
    trained = [by_method[m].trainable for m in (Method.LORA, Method.LINEAR_PROBE, Method.FULL)]
    assert trained == sorted(trained) and trained[0] < 0.1 * trained[2]


def test_an_adapter_turns_the_pretrained_model_into_the_tuned_one(
    finished: tuple[Run, list[Outcome]], small_data: DataSet
) -> None:
    run, outcomes = finished
    for outcome in outcomes:
        model = run.tuned(outcome.method)
        from grader.capstone.outcomes import figures, measure

        assert figures(measure(model, small_data, Vendor.WINDOWS, Vendor.GOOGLE).known) == outcome.known
    tensors, about = read_adapter(run.bundle.adapter(Method.LORA))
    assert about["method"] == "LoRA" and all("lora_" in name or name == "log_scale" for name in tensors)


def test_merged_lora_computes_the_same(finished: tuple[Run, list[Outcome]], small_data: DataSet) -> None:
    from grader.capstone.evaluation import embed

    model = finished[0].tuned(Method.LORA)
    concepts = torch.arange(9)
    before, _ = embed(model, small_data.of(Vendor.WINDOWS)[:9], concepts)
    merge_lora(model)
    after, _ = embed(model, small_data.of(Vendor.WINDOWS)[:9], concepts)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_methods_that_are_done_are_not_done_again(
    finished: tuple[Run, list[Outcome]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, outcomes = finished
    monkeypatch.setattr("grader.capstone.run.train", lambda *_, **__: pytest.fail("trained again"))
    assert run_methods(run, list(Method)) == outcomes


def test_a_folder_with_another_run_is_not_overwritten(finished: tuple[Run, list[Outcome]]) -> None:
    bundle = finished[0].bundle
    with pytest.raises(CapstoneError, match="a run with another target"):
        bundle.begin({"preset": "cpu", "data": bundle.facts()["data"], "target": Vendor.FACEBOOK})


@pytest.mark.parametrize("method", [Method.LINEAR_PROBE, Method.LORA, Method.FULL])
def test_what_is_frozen_does_not_move(
    method: Method, small_data: DataSet, names: Tensor, pretrained: dict[str, Tensor], tmp_path: Path
) -> None:
    run = _run(small_data, names, pretrained, tmp_path)
    run_methods(run, [Method.ZERO_SHOT, method])
    changed = set(changed_weights(run.tuned(method), pretrained))
    model = _model(names)
    choose_parameters(model, method)
    allowed = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert changed and changed <= allowed
    assert not any("running_" in name or name.startswith("text_") for name in changed)


def test_frozen_statistics_stay_in_training_mode_too(names: Tensor) -> None:
    model = _model(names)
    choose_parameters(model, Method.FULL)
    training_mode(model, frozen_statistics=True)
    assert model.training
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)
    training_mode(model, frozen_statistics=False)
    assert all(norm.training for norm in norms)
    choose_parameters(model, Method.LORA)
    training_mode(model, frozen_statistics=False)
    assert not any(norm.training for norm in norms), "a frozen layer keeps its statistics in any case"


def test_random_labels_mislabel_the_target_s_tuning_drawings_and_nothing_else(
    small_data: DataSet, names: Tensor, pretrained: dict[str, Tensor], tmp_path: Path
) -> None:
    run = _run(small_data, names, pretrained, tmp_path)
    mixed = run._mislabelled()
    rows, target = torch.tensor(small_data["tuning"]), small_data.row(Vendor.WINDOWS)  # type: ignore[index]
    others = [index for index in range(len(small_data.concepts)) if index not in small_data["tuning"]]  # type: ignore[index]
    assert torch.equal(mixed[:target], small_data.pixels[:target])
    assert torch.equal(mixed[target, others], small_data.pixels[target, others])
    moved = (mixed[target, rows] != small_data.pixels[target, rows]).flatten(1).any(dim=1)
    assert moved.float().mean() > 0.7
    assert torch.equal(mixed[target, rows].long().sum(0), small_data.pixels[target, rows].long().sum(0))


# --- grading ---------------------------------------------------------------------------------------------------------


def _grade(run: Run, data: DataSet, pretrained: dict[str, Tensor]):  # noqa: ANN202
    return grade(run.bundle, replace(run.pretrained, data=data, weights=pretrained), Vendor.WINDOWS, Vendor.GOOGLE)


def test_only_what_the_grader_measures_itself_counts(
    finished: tuple[Run, list[Outcome]], small_data: DataSet, pretrained: dict[str, Tensor]
) -> None:
    run, _ = finished
    honest = _grade(run, small_data, pretrained)
    assert honest.of == 10 and honest.warnings == ()
    file = run.bundle.folder / "outcomes" / "full.json"
    record = json.loads(file.read_text())
    record["gain"] = {"value": 0.9, "low": 0.8, "high": 1.0}
    file.write_text(json.dumps(record))
    lied = _grade(run, small_data, pretrained)
    assert lied.criteria == honest.criteria
    assert any("claims a gain of 90.0%" in warning for warning in lied.warnings)


def test_an_adapter_that_does_something_else_earns_nothing(
    finished: tuple[Run, list[Outcome]], small_data: DataSet, pretrained: dict[str, Tensor], names: Tensor
) -> None:
    run, _ = finished
    file = run.bundle.adapter(Method.FULL)
    good, about = read_adapter(file)
    digest = about["pretrained"]
    wrong = {
        "text_projection.weight": ("which tuning may not change", torch.zeros(256, 384)),
        "image_projection.weight": ("has shape", torch.zeros(3, 3)),
        "log_scale": ("nan or inf", torch.tensor(float("nan"))),
        "image_tower.elsewhere": ("which tuning may not change", torch.zeros(1)),
    }
    for name, (reason, value) in wrong.items():
        save_file({**good, name: value}, file, metadata=about)
        with pytest.raises(CapstoneError, match=reason):
            apply_adapter(_model(names), file, digest)
        grades = _grade(run, small_data, pretrained)
        assert any(reason in warning for warning in grades.warnings)
    save_file(good, file, metadata={**about, "pretrained": "another"})
    with pytest.raises(CapstoneError, match="other pretrained weights"):
        apply_adapter(_model(names), file, digest)
    file.write_bytes(b"\x80\x04 not safetensors")
    with pytest.raises(CapstoneError, match="not an adapter"):
        apply_adapter(_model(names), file, digest)


def test_a_lora_adapter_must_say_its_rank(finished: tuple[Run, list[Outcome]], names: Tensor) -> None:
    file = finished[0].bundle.adapter(Method.LORA)
    tensors, about = read_adapter(file)
    for rank in ("", "many", "100000"):
        save_file(tensors, file, metadata={**about, "rank": rank})
        with pytest.raises(CapstoneError, match="rank"):
            apply_adapter(_model(names), file, about["pretrained"])


def test_a_bundle_of_other_data_is_refused(
    finished: tuple[Run, list[Outcome]], small_data: DataSet, pretrained: dict[str, Tensor]
) -> None:
    other = replace(small_data, pixels=small_data.pixels.flip(0))
    with pytest.raises(CapstoneError, match="other data"):
        _grade(finished[0], other, pretrained)
    with pytest.raises(CapstoneError, match="not a bundle"):
        runs.preset_of(finished[0].bundle.folder / "adapters")


@pytest.mark.parametrize("value", ["9.9", None, [1], float("nan"), {"high": 1}])
def test_figures_that_are_no_figures_cost_a_warning_and_nothing_else(
    value: object, finished: tuple[Run, list[Outcome]], small_data: DataSet, pretrained: dict[str, Tensor]
) -> None:
    run, _ = finished
    honest = _grade(run, small_data, pretrained)
    file = run.bundle.folder / "outcomes" / "lora.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "gain": {"value": value, "low": 0, "high": 1}}))
    found = _grade(run, small_data, pretrained)
    assert found.criteria == honest.criteria and any("not an outcome" in warning for warning in found.warnings)


def test_which_vendor_counts_is_not_the_bundle_s_choice(
    finished: tuple[Run, list[Outcome]], small_data: DataSet
) -> None:
    folder = finished[0].bundle.folder
    facts = json.loads((folder / "bundle.json").read_text())
    for target in ("Joy", 3, None):
        (folder / "bundle.json").write_text(json.dumps({**facts, "target": target}))
        with pytest.raises(CapstoneError, match="tuned for"):
            runs.grade_bundle(folder, SMALL, small_data)
    (folder / "bundle.json").write_text(json.dumps({**facts, "preset": ["cpu"]}))
    with pytest.raises(CapstoneError, match="made with the preset"):
        runs.preset_of(folder)


def test_a_bundle_without_adapters_earns_nothing(
    finished: tuple[Run, list[Outcome]], small_data: DataSet, pretrained: dict[str, Tensor]
) -> None:
    run, _ = finished
    shutil.rmtree(run.bundle.folder / "adapters")
    assert _grade(run, small_data, pretrained).points == 0


def test_a_model_that_was_not_changed_gains_nothing(
    finished: tuple[Run, list[Outcome]], small_data: DataSet, pretrained: dict[str, Tensor]
) -> None:
    run, _ = finished
    for method in Method:
        _, about = read_adapter(run.bundle.adapter(method))
        save_file({"log_scale": pretrained["log_scale"]}, run.bundle.adapter(method), metadata=about)
    found = _grade(run, small_data, pretrained)
    lift, low_rank, cure, control = found.criteria
    assert lift.points == low_rank.points == cure.points == 0 and control.points == 1


def test_the_listener_hears_of_methods_steps_epochs_and_outcomes(
    small_data: DataSet, names: Tensor, pretrained: dict[str, Tensor], tmp_path: Path
) -> None:
    heard: list[str] = []
    run = _run(small_data, names, pretrained, tmp_path)
    run.listener = Listener(
        on_method=lambda method: heard.append(f"method {method}"),
        on_step=lambda method, step: heard.append(f"step {step.epoch} {step.step} of {step.steps}"),
        on_epoch=lambda method, epoch: heard.append(f"epoch {epoch.epoch}"),
        on_outcome=lambda outcome: heard.append("outcome"),
    )
    run_methods(run, [Method.LINEAR_PROBE])
    steps = ["step {} 0 of 2", "step {} 1 of 2", "epoch {}"]
    assert heard == ["method linear probe", *(s.format(0) for s in steps), *(s.format(1) for s in steps), "outcome"]


def test_saved_weights_are_plain_tensors(finished: tuple[Run, list[Outcome]]) -> None:
    for method in Method:
        load_file(finished[0].bundle.adapter(method))
    assert isinstance(History().best_score, float)
