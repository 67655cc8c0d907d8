"""regularisation/ensembles_and_soups against scipy, PyTorch's own averaging and a brute-force search."""

import math
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from torch import nn
from torch.optim.swa_utils import AveragedModel

from reference.regularisation import ensembles_and_soups as lesson
from reference.regularisation.ensembles_and_soups import ensemble_probs, greedy_soup, uniform_soup


def some_logits(members, samples=6, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [2 * torch.randn(samples, classes, generator=generator, dtype=torch.float64) for _ in range(members)]


@pytest.mark.parametrize("members", [1, 2, 5])
def test_ensembles_agree_with_scipy(members):
    logits = some_logits(members)
    stacked = np.stack([member.numpy() for member in logits])
    np.testing.assert_allclose(ensemble_probs(logits), softmax(stacked, axis=-1).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(ensemble_probs(logits, "logit"), softmax(stacked.mean(axis=0), axis=-1), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), members=st.integers(1, 5))
def test_laws_of_ensembles(seed, members):
    logits = some_logits(members, seed=seed)
    for mode in ("prob", "logit"):
        probs = ensemble_probs(logits, mode)
        torch.testing.assert_close(probs.sum(dim=1), torch.ones(6, dtype=torch.float64))
        torch.testing.assert_close(ensemble_probs(logits[::-1], mode), probs)
        torch.testing.assert_close(ensemble_probs(logits[:1] * members, mode), logits[0].softmax(1))
    # Jensen: the log loss of the mean is at most the mean of the log losses, sample by sample and class by class
    losses = torch.stack([-member.log_softmax(1) for member in logits])
    assert (-ensemble_probs(logits).log() <= losses.mean(dim=0) + 1e-12).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_dtypes_and_large_logits(dtype):
    logits = [torch.tensor([[1e4, -1e4, 0.0]], dtype=dtype), torch.tensor([[0.0, 0.0, 0.0]], dtype=dtype)]
    for mode in ("prob", "logit"):
        probs = ensemble_probs(logits, mode)
        assert probs.dtype == dtype and probs.isfinite().all()
    torch.testing.assert_close(
        ensemble_probs(logits).float(), torch.tensor([[2 / 3, 1 / 6, 1 / 6]]), atol=1e-2, rtol=1e-2
    )


def networks(count):
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2)) for _ in range(count)]
    for steps, model in enumerate(models, start=1):
        for _ in range(steps):
            model(torch.randn(8, 3) + steps)
    return models


def test_a_uniform_soup_agrees_with_averaged_model():
    models = networks(4)
    averaged = AveragedModel(models[0], use_buffers=True)
    for model in models:
        averaged.update_parameters(model)
    soup = uniform_soup([model.state_dict() for model in models])
    assert list(soup) == list(models[0].state_dict())
    for name, tensor in averaged.module.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(soup[name], tensor)
    assert soup["1.num_batches_tracked"].dtype == torch.int64 and soup["1.num_batches_tracked"] == 1
    models[0].load_state_dict(soup)  # the names and shapes of a model


def test_the_soup_of_linear_models_is_their_ensemble_of_logits():
    torch.manual_seed(1)
    linear = [nn.Linear(4, 3).double() for _ in range(3)]
    x = torch.randn(7, 4, dtype=torch.float64)
    soup = uniform_soup([model.state_dict() for model in linear])
    with torch.no_grad():
        logits = [model(x) for model in linear]
        linear[0].load_state_dict(soup)
        torch.testing.assert_close(linear[0](x), sum(logits) / 3)
        torch.testing.assert_close(linear[0](x).softmax(1), ensemble_probs(logits, "logit"))
        # not so behind a ReLU
        deep = [model.eval().double() for model in networks(2)]
        y = torch.randn(7, 3, dtype=torch.float64)
        outputs = [model(y) for model in deep]
        deep[0].load_state_dict(uniform_soup([model.state_dict() for model in deep]))
        assert (deep[0](y) - sum(outputs) / 2).abs().max() > 1e-3


def test_16_bit_states_are_averaged_in_float32():
    states = [{"w": torch.tensor([60000.0, 1 + i / 1024], dtype=torch.float16)} for i in range(5)]
    torch.testing.assert_close(uniform_soup(states)["w"], torch.tensor([60000.0, 1 + 2 / 1024], dtype=torch.float16))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n=st.integers(1, 5), levels=st.integers(2, 30))
def test_greedy_search_replayed(data, n, levels):
    sets = [frozenset(c) for size in range(1, n + 1) for c in combinations(range(n), size)]
    score = {members: data.draw(st.integers(0, levels)) / levels for members in sets}
    states = [{"w": torch.eye(n)[i], "k": torch.tensor(i)} for i in range(n)]

    def evaluate(state):
        return score[frozenset(state["w"].nonzero().flatten().tolist())]

    state, used = greedy_soup(states, evaluate)
    order = sorted(range(n), key=lambda i: (-score[frozenset([i])], i))
    assert used[0] == order[0] and used == [i for i in order if i in used]
    best = score[frozenset(used[:1])]
    for i in order[1:]:  # whoever is in was let in, whoever is not was refused
        before = frozenset(j for j in used if order.index(j) < order.index(i))
        assert (i in used) == (score[before | {i}] >= best)
        if i in used:
            best = score[before | {i}]
    assert evaluate(state) == best >= max(score[frozenset([i])] for i in range(n))
    assert state["k"] == used[0]
    torch.testing.assert_close(state["w"][used], torch.full((len(used),), 1 / len(used)))


def test_refusals():
    logits = torch.zeros(2, 3)
    for arguments in (([],), ([logits], "mean"), ([logits, logits[:1]],), ([logits[0]],)):
        with pytest.raises(ValueError):
            ensemble_probs(*arguments)
    state = {"a": logits, "b": logits[0]}
    for states in ([], [state, {"a": logits}], [{"a": logits}, state], [state, {"a": logits[:1], "b": logits[0]}]):
        with pytest.raises(ValueError):
            uniform_soup(states)
        with pytest.raises(ValueError):
            greedy_soup(states, lambda state: 0.0)
    with pytest.raises(ValueError, match="NaN"):
        greedy_soup([state], lambda state: math.nan)


def test_the_visible_checks_of_the_lesson_hold():
    source = Path(lesson.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', source, flags=re.MULTILINE)
    exec(compile(re.sub(r"^# ?", "", cell, flags=re.MULTILINE), "visible checks", "exec"), dict(vars(lesson)))
