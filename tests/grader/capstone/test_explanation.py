"""Values of patches against sums over all orders, the test they are put to, what is written and what is not shown."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from grader.capstone.adapters import save_adapter
from grader.capstone.attribution import Worth, exact_shapley, occlusion, sampled_shapley, worth_on_arrival
from grader.capstone.bundle import Bundle
from grader.capstone.concepts import Concept
from grader.capstone.data_set import DataSet
from grader.capstone.errors import CapstoneError
from grader.capstone.evaluation import embed
from grader.capstone.explanation import Explainer, Explanation, Plan, Way
from grader.capstone.explanation_figure import draw_explanation
from grader.capstone.explanation_page import NUMBERS, PAGE, ExplanationPage, explanations_folder
from grader.capstone.faithfulness import judge
from grader.capstone.model_factory import make_model
from grader.capstone.name_directory import find_concepts
from grader.capstone.pictures import drawing_address
from grader.capstone.presets import CPU
from grader.capstone.pretraining import digest_of
from grader.capstone.splits import Part, Splits
from grader.capstone.text_towers import TEXT_FEATURES
from grader.capstone.tuning import Method
from grader.capstone.vendors import Vendor
from grader.capstone.weights import load_weights, save_weights
from grader.cli import capstone_explain
from tests.grader.capstone.tiny import CONCEPTS, tiny_model, tiny_pixels

FEW = Plan(grid=3, chance_orders=10)


def game(players: int, seed: int = 0) -> Worth:
    """A game without any structure: every set earns a number of its own."""
    earned = np.random.default_rng(seed).normal(size=2**players)
    return lambda present: earned[present @ (1 << np.arange(players))]


def additive(values: np.ndarray) -> Worth:
    return lambda present: 0.5 + present @ values


@pytest.fixture
def data() -> DataSet:
    """The tiny drawings: a vendor that may be shown, and one that may not."""
    concepts = tuple(Concept(chr(0x1F400 + n), f"name {n}", f"名{n}", f"family {n}") for n in range(CONCEPTS))
    bounds = {Part.TUNING: (0, 5), Part.VALIDATION: (5, 8), Part.KNOWN: (8, 15), Part.UNSEEN: (15, CONCEPTS)}
    splits = Splits({part: tuple(range(*bound)) for part, bound in bounds.items()})
    return DataSet((Vendor.GOOGLE, Vendor.WINDOWS), concepts, tiny_pixels(), splits)


def explained(data: DataSet, vendor: Vendor = Vendor.GOOGLE, plan: Plan = FEW, drawn: int = 2) -> Explanation:
    return Explainer(tiny_model(), data, vendor, plan).explain(drawn, drawn)


# --- the values ------------------------------------------------------------------------------------------------------


def test_exact_values_are_means_over_all_orders() -> None:
    players, worth = 5, game(5)
    total = np.zeros(players)
    for order in itertools.permutations(range(players)):
        present = np.zeros((1, players), dtype=bool)
        for player in order:
            before = worth(present)[0]
            present[0, player] = True
            total[player] += worth(present)[0] - before
    np.testing.assert_allclose(exact_shapley(worth, players).values, total / math.factorial(players), atol=1e-12)


def test_exact_values_of_many_players_are_refused() -> None:
    with pytest.raises(CapstoneError, match="11 players"):
        exact_shapley(game(11), 11)


@pytest.mark.parametrize("pairs", [2, 7])
def test_sampled_values_add_up_however_few_orders_there_are(pairs: int) -> None:
    worth = game(9, seed=3)
    everybody = worth(np.ones((1, 9), dtype=bool)) - worth(np.zeros((1, 9), dtype=bool))
    assert sampled_shapley(worth, 9, pairs).values.sum() == pytest.approx(float(everybody[0]), abs=1e-12)


def test_sampled_values_come_as_near_to_the_exact_ones_as_they_say() -> None:
    worth = game(6, seed=1)
    exact = exact_shapley(worth, 6).values
    inside = []
    for seed in range(40):
        found = sampled_shapley(worth, 6, 30, seed=seed)
        assert (found.standard_error > 0).all()
        inside.append(np.abs(found.values - exact) < 2 * found.standard_error)
    assert 0.88 < np.mean(inside) <= 1
    many = sampled_shapley(worth, 6, 3000)
    np.testing.assert_allclose(many.values, exact, atol=0.05)
    assert many.standard_error.max() < 0.02


def test_where_nobody_depends_on_others_every_way_finds_what_each_is_worth() -> None:
    values = np.array([0.3, -0.2, 0.0, 1.5, 0.1])
    for found in (exact_shapley(additive(values), 5), sampled_shapley(additive(values), 5, 2)):
        np.testing.assert_allclose(found.values, values, atol=1e-12)
    np.testing.assert_allclose(occlusion(additive(values), 5).values, values, atol=1e-12)


def test_two_who_stand_in_for_each_other_share_what_occlusion_does_not_see() -> None:
    def either(present: np.ndarray) -> np.ndarray:
        return (present[:, 0] | present[:, 2]).astype(float)

    np.testing.assert_allclose(exact_shapley(either, 3).values, [0.5, 0, 0.5], atol=1e-12)
    np.testing.assert_array_equal(occlusion(either, 3).values, [0, 0, 0])


# --- the test they are put to ----------------------------------------------------------------------------------------


def test_right_values_beat_random_orders_and_wrong_ones_lose_to_them() -> None:
    values = np.random.default_rng(5).normal(size=12)
    found = judge(additive(values), values, 40)
    ordered = 0.5 + np.concatenate([[0], np.cumsum(np.sort(values)[::-1])])
    np.testing.assert_allclose(found.insertion, ordered)
    np.testing.assert_allclose(found.deletion, 0.5 + values.sum() - (ordered - 0.5))
    assert found.insertion_area == pytest.approx((ordered[1:] + ordered[:-1]).sum() / 24)
    assert found.insertion_beats == found.deletion_beats == 1
    assert found.deletion_area < found.chance_areas.min() <= found.chance_areas.max() < found.insertion_area
    backwards = judge(additive(values), -values, 40)
    assert backwards.insertion_beats == backwards.deletion_beats == 0


def test_players_come_in_the_order_that_is_given() -> None:
    np.testing.assert_allclose(worth_on_arrival(additive(np.array([1.0, 10.0, 100.0])), np.array([2, 0, 1])) - 0.5, [
        0, 100, 101, 111,
    ])  # fmt: skip


# --- of a drawing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [FEW, Plan(grid=4, orders=6, chance_orders=2)])
def test_values_add_up_to_the_score_less_that_of_white_paper(data: DataSet, plan: Plan) -> None:
    """The grid of three does not divide eight pixels evenly."""
    found = explained(data, plan=plan)
    assert found.values.shape == found.standard_error.shape == (plan.grid, plan.grid)
    assert found.values.sum() == pytest.approx(found.score - found.paper, abs=1e-5)
    assert bool(found.standard_error.any()) == (not plan.exact)

    white = torch.full((1, 4, 8, 8), 255, dtype=torch.uint8)
    drawings = torch.cat([data.of(Vendor.GOOGLE)[2][None], white])
    images, names = embed(tiny_model(), drawings, torch.arange(CONCEPTS))
    cosines = (images @ names.T).double().numpy()
    assert found.score == pytest.approx(cosines[0, 2] - cosines[0].mean(), abs=1e-5)
    assert found.paper == pytest.approx(cosines[1, 2] - cosines[1].mean(), abs=1e-5)
    ranked = list(np.argsort(-cosines[0]))
    assert found.rank == 1 + ranked.index(2)
    assert list(found.first) == ranked[:3]


def test_a_patch_s_value_is_about_the_pixels_of_that_patch(data: DataSet) -> None:
    """A drawing of which only the lower left patch is not transparent: all that it earns is that patch's."""
    pixels = data.pixels.clone()
    pixels[0, 2, 3] = 0
    pixels[0, 2, 3, 4:, :4] = 255
    found = explained(replace(data, pixels=pixels), plan=Plan(grid=2))
    assert found.values[1, 0] == pytest.approx(found.score - found.paper, abs=1e-5) and abs(found.values[1, 0]) > 1e-3
    np.testing.assert_allclose(np.delete(found.values.ravel(), 2), 0, atol=1e-6)


def test_the_same_seed_explains_alike_and_leaves_the_model_in_its_mode(data: DataSet) -> None:
    model, plan = tiny_model(normalised=True), Plan(grid=4, orders=4, chance_orders=2)
    model.train()
    model.image_tower.eval()
    told: list[tuple[int, int]] = []
    explainer = Explainer(model, data, Vendor.GOOGLE, plan)
    found, again = (explainer.explain(3, 1, lambda *counted: told.append(counted)) for _ in range(2))
    np.testing.assert_array_equal(found.values, again.values)
    assert model.training and not model.image_tower.training
    assert told == [(2, 6), (4, 6), (5, 6), (6, 6)] * 2
    other = Explainer(model, data, Vendor.GOOGLE, replace(plan, seed=9)).explain(3, 1)
    assert not np.array_equal(found.values, other.values)


def test_what_cannot_be_explained_is_told(data: DataSet) -> None:
    with pytest.raises(CapstoneError, match="no drawings by Appl here, only by: Goog, Wind"):
        explained(data, Vendor.APPLE)
    with pytest.raises(CapstoneError, match="8 pixels cannot be cut into 9"):
        explained(data, plan=Plan(grid=9))
    with pytest.raises(CapstoneError, match="grid is 1"):
        Plan(grid=1)
    model = tiny_model()
    model.image_projection.weight.data[0, 0] = math.nan
    with pytest.raises(CapstoneError, match="nan or inf"):
        Explainer(model, data, Vendor.GOOGLE, FEW).explain(0, 0)


def test_concepts_are_found_by_name_and_by_emoji(data: DataSet) -> None:
    assert find_concepts(["Name_3", chr(0x1F405), " name  3 "], data.concepts) == (3, 5)
    with pytest.raises(CapstoneError, match="no concept 'nam 7'; did you mean name 7"):
        find_concepts(["nam 7"], data.concepts)


# --- what is written -------------------------------------------------------------------------------------------------


def test_nothing_of_a_drawing_that_may_not_be_shown_is_in_its_figure(data: DataSet) -> None:
    found = explained(data, Vendor.WINDOWS)
    others = data.pixels.clone()
    others[1] = 255 - others[1]
    assert draw_explanation(found, data) == draw_explanation(found, replace(data, pixels=others))
    shown = explained(data, Vendor.GOOGLE)
    inverted = replace(data, pixels=255 - data.pixels)
    assert draw_explanation(shown, data) != draw_explanation(shown, inverted), "the drawing is not in its own figure"
    with pytest.raises(ValueError, match="Windows may not be shown"):
        drawing_address(data, Vendor.WINDOWS, 0)


def test_a_pack_s_names_are_text_on_the_page_and_no_paths(data: DataSet, tmp_path: Path) -> None:
    bad = replace(data.concepts[2], name="../<script>alert(1)</script>$\\frac$")
    hostile = replace(data, concepts=(*data.concepts[:2], bad, *data.concepts[3:]))
    folder = tmp_path / "inside" / "page"
    page = ExplanationPage(folder, Method.LORA, hostile, FEW)
    file = page.add(explained(hostile))
    assert file.parent == folder and sorted(each.name for each in folder.iterdir()) == sorted(
        [file.name, NUMBERS, PAGE]
    )
    text = (folder / PAGE).read_text("utf-8")
    assert "<script" not in text and "&lt;script&gt;" in text
    assert json.loads((folder / NUMBERS).read_text("utf-8"))["explanations"][0]["drawing"] == bad.name


def test_a_link_in_a_bundle_does_not_lead_out_of_it(tmp_path: Path) -> None:
    bundle, elsewhere = tmp_path / "bundle", tmp_path / "elsewhere"
    bundle.mkdir()
    elsewhere.mkdir()
    assert explanations_folder(bundle, Method.FULL) == bundle / "explanations" / "full"
    (bundle / "explanations").symlink_to(elsewhere)
    with pytest.raises(CapstoneError, match="leads out of the bundle"):
        explanations_folder(bundle, Method.FULL)


# --- the command -----------------------------------------------------------------------------------------------------

app = typer.Typer()
app.command()(capstone_explain.explain)


@pytest.fixture
def arguments(small_data: DataSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A bundle of which only the linear probe is done, on made-up drawings of the cpu preset's size."""
    pixels = torch.nn.functional.interpolate(small_data.pixels.flatten(0, 1).float(), (CPU.size, CPU.size))
    data = replace(small_data, pixels=pixels.to(torch.uint8).unflatten(0, small_data.pixels.shape[:2]))
    features = torch.randn(len(data.concepts), TEXT_FEATURES, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr("grader.capstone.data_set.load_packages", lambda size, **_: data)
    monkeypatch.setattr("grader.capstone.model_factory._names", lambda data: features)
    file = tmp_path / "pretrained.safetensors"
    save_weights(file, dict(make_model(CPU, data).state_dict()), {})
    pretrained, _ = load_weights(file)
    bundle = Bundle(tmp_path / "bundle")
    bundle.begin({"preset": "cpu", "data": data.digest(), "target": "Wind"})
    adapter = {"image_projection.weight": pretrained["image_projection.weight"].flip(0)}
    save_adapter(bundle.adapter(Method.LINEAR_PROBE), adapter, Method.LINEAR_PROBE, digest_of(pretrained))
    return [str(bundle.folder), "--weights", str(file), "--method", "linear-probe", "--grid", "2"]


def test_the_command_writes_figures_a_page_and_numbers(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, [*arguments, "--query", "name 3", "--query", "name 30", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    folder = Path(arguments[0]) / "explanations" / "linear-probe"
    assert found["folder"] == str(folder) and found["method"] == "linear probe" and found["exact"]
    assert [each["drawing"] for each in found["explanations"]] == ["name 3", "name 30"]
    for each in found["explanations"]:
        assert np.sum(each["values"]) == pytest.approx(each["score"] - each["score_of_white_paper"], abs=1e-5)
        assert (folder / each["figure"]).read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / NUMBERS).read_text("utf-8")) == {k: v for k, v in found.items() if k != "folder"}

    told = CliRunner().invoke(app, [*arguments, "--vendor", "Wind", "--name", "name 1"])
    assert told.exit_code == 0, told.output
    assert "linear probe, drawings by Windows" in told.stdout and str(folder / PAGE) in told.stdout.replace("\n", "")
    page = (folder / PAGE).read_text("utf-8")
    assert page.count("<section>") == 4 and "may not be shown" in page and "explained with “name 1”" in page


def test_an_interrupted_command_leaves_what_it_has_explained(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    explain = Explainer.explain

    def interrupted(self: Explainer, drawn: int, named: int, progress: object) -> Explanation:
        if drawn == 30:
            raise KeyboardInterrupt
        return explain(self, drawn, named)

    monkeypatch.setattr(Explainer, "explain", interrupted)
    done = CliRunner().invoke(app, [*arguments, "--query", "name 3", "--query", "name 30"])
    assert done.exit_code == 130
    assert "What is explained already is in" in done.output
    kept = json.loads((Path(arguments[0]) / "explanations" / "linear-probe" / NUMBERS).read_text("utf-8"))
    assert [each["drawing"] for each in kept["explanations"]] == ["name 3"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "lora"], "the run has no LoRA, only: linear probe"),
        (["--method", "magic"], "there is no method 'magic'"),
        (["--vendor", "Nokia"], "there is no vendor 'Nokia'"),
        (["--query", "nothing of the kind"], "there is no concept 'nothing of the kind'"),
        (["--backbone", "somebody/model"], "without --backbone"),
    ],
)
def test_what_the_command_cannot_do_is_told(arguments: list[str], options: list[str], message: str) -> None:
    done = CliRunner().invoke(app, [*arguments, *options])
    assert isinstance(done.exception, CapstoneError) and message in str(done.exception)


def test_every_way_can_be_named() -> None:
    assert {str(way) for way in Way} == {str(way) for way in capstone_explain.WayName}
