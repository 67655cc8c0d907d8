"""transfer/linear_probe_first against scikit-learn's Ridge and PyTorch's automatic differentiation."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from torch import nn

from reference.transfer import linear_probe_first as lesson
from reference.transfer.linear_probe_first import feature_gradient, init_head, ridge_probe


def some_data(samples, width, n_classes, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=samples)
    return rng.normal(size=(samples, width)) + 2 + np.eye(n_classes, width)[labels], labels


@pytest.mark.parametrize(("samples", "width", "n_classes"), [(30, 4, 3), (5, 12, 4), (9, 9, 2), (1, 3, 2)])
@pytest.mark.parametrize("l2", [0.05, 1.0, 40.0])
def test_agrees_with_scikit_learn(samples, width, n_classes, l2):
    features, labels = some_data(samples, width, n_classes)
    W, b = ridge_probe(features, labels, n_classes, l2)
    ridge = Ridge(alpha=l2, solver="svd").fit(features, np.eye(n_classes)[labels])
    np.testing.assert_allclose(W, ridge.coef_, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(b, ridge.intercept_, rtol=1e-8, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), l2=st.floats(0.1, 100))
def test_laws(seed, l2):
    features, labels = some_data(8, 5, 4, seed)
    W, b = ridge_probe(features, labels, 4, l2)
    np.testing.assert_allclose((features @ W.T + b).sum(axis=1), 1)
    shift = np.random.default_rng(seed).normal(size=5)
    moved_W, moved_b = ridge_probe(features + shift, labels, 4, l2)
    np.testing.assert_allclose(moved_W, W, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(moved_b, b - W @ shift, rtol=1e-7, atol=1e-9)
    for missing in set(range(4)) - set(labels.tolist()):
        assert not W[missing].any() and b[missing] == 0


@pytest.mark.parametrize("shape", [(6, 4, 3), (3, 7, 2), (1, 2, 4)])
def test_the_gradient_agrees_with_automatic_differentiation(shape):
    samples, width, n_classes = shape
    features, labels = some_data(samples, width, n_classes)
    head = nn.Linear(width, n_classes).double()
    inputs = torch.tensor(features, requires_grad=True)
    targets = nn.functional.one_hot(torch.tensor(labels), n_classes).double()
    ((head(inputs) - targets) ** 2).sum(dim=1).mean().backward()
    W, b = (parameter.detach().numpy() for parameter in (head.weight, head.bias))
    np.testing.assert_allclose(feature_gradient(features, labels, W, b), inputs.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_on_separable_data_less_reaches_the_backbone_through_the_probe():
    features, labels = some_data(60, 8, 3)
    features += 4 * np.eye(3, 8)[labels]
    W, b = ridge_probe(features, labels, 3, 1.0)
    assert ((features @ W.T + b).argmax(axis=1) == labels).all()
    rng = np.random.default_rng(1)
    random_W, random_b = rng.uniform(-(8**-0.5), 8**-0.5, (3, 8)), rng.uniform(-(8**-0.5), 8**-0.5, 3)
    small, large = (
        np.linalg.norm(feature_gradient(features, labels, *head)) for head in ((W, b), (random_W, random_b))
    )
    assert small < large / 5


def test_an_optimiser_sees_the_new_head():
    """The arrays of a PyTorch head, seen through NumPy, are the ones that its optimiser trains."""
    head = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    features, labels = some_data(20, 4, 3)
    W, b = ridge_probe(features, labels, 3, 1.0)
    init_head(SimpleNamespace(weight=head.weight.detach().numpy(), bias=head.bias.detach().numpy()), W, b)
    held = optimizer.param_groups[0]["params"]
    np.testing.assert_allclose(held[0].detach().numpy(), W, rtol=1e-6)
    np.testing.assert_allclose(held[1].detach().numpy(), b, rtol=1e-6)
    assert head.weight.requires_grad and head.weight.dtype == torch.float32


def test_refusals():
    features, labels = some_data(5, 3, 3)
    W, b = ridge_probe(features, labels, 3, 1.0)
    for arguments in (
        (features, labels[:4], 3, 1.0),
        (features, labels[:, None], 3, 1.0),
        (features[:0], labels[:0], 3, 1.0),
        (features, labels - 5, 3, 1.0),
        (features, labels, 0, 1.0),
        (features * np.nan, labels, 3, 1.0),
        (features, labels, 3, 0.0),
        (features, labels, 3, np.nan),
    ):
        with pytest.raises(ValueError):
            ridge_probe(*arguments)
    with pytest.raises(TypeError):
        ridge_probe(features, labels * 1.0, 3, 1.0)
    for arguments in ((features, labels, W[:, :2], b), (features, labels, W, b[:1]), (features, labels + 3, W, b)):
        with pytest.raises(ValueError):
            feature_gradient(*arguments)
    head = SimpleNamespace(weight=np.ones((3, 3)), bias=np.ones(3))
    for bad in ((W, b[:1]), (W[:1], b), (W * np.nan, b)):
        with pytest.raises(ValueError):
            init_head(head, *bad)
        assert (head.weight == 1).all() and (head.bias == 1).all()


def test_the_cells_and_the_worked_example_of_the_lesson(capsys):
    source = Path(lesson.__file__).read_text(encoding="utf-8")
    cells = re.findall(
        r'^# %% tags=\[(?:"visible-checks", )?"active-ipynb"\]\n((?:#.*\n)+)', source, flags=re.MULTILINE
    )
    assert len(cells) == 2
    for cell in cells:
        exec(compile(re.sub(r"^# ?", "", cell, flags=re.MULTILINE), "a cell", "exec"), dict(vars(lesson)))
    random_norm, probe_norm = (float(line.split()[-1]) for line in capsys.readouterr().out.splitlines())
    assert probe_norm < random_norm / 3
    W, b = ridge_probe([[-1], [3]], [0, 1], 2, 2)
    np.testing.assert_allclose(W, [[-0.2], [0.2]])
    np.testing.assert_allclose(b, [0.7, 0.3])
    assert feature_gradient([[-1], [3]], [0, 1], W, b)[0, 0] == pytest.approx(0.04)
