"""transfer/keep_old_abilities against torch.lerp, linear and nonlinear models, and brute force."""

import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from reference.transfer import keep_old_abilities as lesson
from reference.transfer.keep_old_abilities import interpolate_weights, pick_alpha


def two_models(*, hidden=True):
    torch.manual_seed(0)
    models = []
    for steps in (1, 3):
        middle = [nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)] if hidden else [nn.Linear(4, 3)]
        model = nn.Sequential(*middle).double()
        for _ in range(steps):
            model(torch.randn(9, 4, dtype=torch.float64) + steps)
        models.append(model.eval())
    return models


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_agrees_with_lerp_and_loads(alpha):
    before, after = two_models()
    state = interpolate_weights(before.state_dict(), after.state_dict(), alpha)
    assert list(state) == list(before.state_dict())
    for name, tensor in state.items():
        left, right = before.state_dict()[name], after.state_dict()[name]
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, torch.lerp(left, right, alpha), rtol=1e-12, atol=1e-12)
        else:
            assert tensor.dtype == right.dtype and torch.equal(tensor, right)
    assert state["1.num_batches_tracked"] == 3
    two_models()[0].load_state_dict(state)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), alpha=st.floats(0, 1), beta=st.floats(0, 1))
def test_laws(seed, alpha, beta):
    generator = torch.Generator().manual_seed(seed)
    a, b = ({"w": torch.randn(3, 5, generator=generator)} for _ in range(2))
    mixed = interpolate_weights(a, b, alpha)["w"]
    slack = 1e-6 * (1 + torch.maximum(a["w"].abs(), b["w"].abs()))  # between the two, up to a rounding
    assert (mixed >= torch.minimum(a["w"], b["w"]) - slack).all()
    assert (mixed <= torch.maximum(a["w"], b["w"]) + slack).all()
    torch.testing.assert_close(mixed, interpolate_weights(b, a, 1 - alpha)["w"], rtol=1e-5, atol=1e-6)
    other = interpolate_weights(a, b, beta)["w"]
    middle = interpolate_weights(a, b, (alpha + beta) / 2)["w"]
    torch.testing.assert_close(middle, (mixed + other) / 2, rtol=1e-5, atol=1e-5)  # linear in alpha


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_ends_are_exact_and_dtypes_kept(dtype):
    generator = torch.Generator().manual_seed(3)
    a = {"w": (1000 * torch.randn(500, generator=generator)).to(dtype)}
    b = {"w": torch.randn(500, generator=generator).to(dtype)}
    for alpha, end in ((0.0, a), (1.0, b)):
        assert torch.equal(interpolate_weights(a, b, alpha)["w"], end["w"])
    mixed = interpolate_weights(a, b, 0.3)["w"]
    exact = (0.7 * a["w"].double() + 0.3 * b["w"].double()).to(dtype)
    assert mixed.dtype == dtype
    if dtype in (torch.float16, torch.bfloat16):
        assert (mixed != exact).double().mean() < 0.01  # ties of the second rounding only


def test_linear_models_interpolate_their_outputs_and_others_do_not():
    x = torch.randn(50, 4, dtype=torch.float64)
    for hidden in (False, True):
        before, after = two_models(hidden=hidden)
        with torch.no_grad():
            outputs = 0.7 * before(x) + 0.3 * after(x)
            before.load_state_dict(interpolate_weights(before.state_dict(), after.state_dict(), 0.3))
            gap = (before(x) - outputs).abs().max()
        assert gap > 1e-2 if hidden else gap < 1e-12


@settings(max_examples=80, deadline=None)
@given(data=st.data(), n=st.integers(1, 7), drop=st.integers(0, 6))
def test_pick_alpha_by_brute_force(data, n, drop):
    alphas = sorted(data.draw(st.sets(st.integers(0, 16), min_size=n, max_size=n)))
    alphas = [alpha / 16 for alpha in alphas]
    id_acc, shift_acc = ([data.draw(st.integers(0, 8)) / 8 for _ in range(n)] for _ in range(2))
    picked = pick_alpha(alphas, id_acc, shift_acc, drop / 8)
    rows = {alpha: (i, s) for alpha, i, s in zip(alphas, id_acc, shift_acc, strict=True)}
    assert rows[picked][0] >= max(id_acc) - drop / 8
    for alpha, (i, s) in rows.items():
        if i >= max(id_acc) - drop / 8:
            assert (s, alpha) <= (rows[picked][1], picked)


def test_drops_in_percent_and_without_a_limit():
    alphas = [step / 10 for step in range(11)]
    id_acc, shift_acc = [50.0 + 4 * step for step in range(11)], [60.0 - step for step in range(11)]
    assert pick_alpha(alphas, id_acc, shift_acc, 10.0) == alphas[8] and pick_alpha(alphas, id_acc, shift_acc, 0.0) == 1
    assert pick_alpha(alphas, id_acc, shift_acc, math.inf) == 0.0


def test_refusals():
    state = {"w": torch.ones(2, 3)}
    for other in ({}, {"v": torch.ones(2, 3)}, {"w": torch.ones(3)}, {"w": torch.ones(2, 3), "v": torch.ones(1)}):
        with pytest.raises(ValueError):
            interpolate_weights(state, other, 0.5)
    for alpha in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError):
            interpolate_weights(state, state, alpha)
    for arguments in (
        ([], [], [], 0.0),
        ([0.0, 0.0], [0.5, 0.5], [0.5, 0.5], 0.0),
        ([0.5], [0.5, 0.5], [0.5], 0.0),
        ([0.5], [math.nan], [0.5], 0.0),
        ([0.5], [0.5], [0.5], -0.1),
    ):
        with pytest.raises(ValueError):
            pick_alpha(*arguments)


def test_the_visible_checks_and_the_demonstration_of_the_lesson_run(capsys):
    source = Path(lesson.__file__).read_text(encoding="utf-8")
    cells = re.findall(
        r'^# %% tags=\[(?:"visible-checks", )?"active-ipynb"\]\n((?:#.*\n)+)', source, flags=re.MULTILINE
    )
    assert len(cells) == 2
    for cell in cells:
        exec(compile(re.sub(r"^# ?", "", cell, flags=re.MULTILINE), "a cell", "exec"), dict(vars(lesson)))
    one, *two = (float(line.split()[-1]) for line in capsys.readouterr().out.splitlines())
    assert one == 0.0 and len(two) == 2 and min(two) > 0.05
