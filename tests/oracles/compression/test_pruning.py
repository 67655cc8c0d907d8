"""The reference of compression/pruning against torch's pruning (on data without ties), and what pruning must not do."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import prune

keras = pytest.importorskip("keras")

from reference.compression import pruning  # noqa: E402
from reference.compression.pruning import (  # noqa: E402
    apply_masks,
    magnitude_prune,
    prunable_kernels,
    sparsity_report,
)


def chain(seed, widths=(6, 9, 4, 5)):
    layers = [keras.layers.Dense(width, name=f"layer{number}") for number, width in enumerate(widths[1:])]
    model = keras.Sequential([keras.Input((widths[0],)), *layers], name="chain")
    rng = np.random.default_rng(seed)
    model.set_weights([rng.standard_normal(weight.shape) for weight in model.weights])
    return model


def torch_copies(model):
    modules = []
    for kernel in prunable_kernels(model).values():
        module = torch.nn.Module()
        module.weight = torch.nn.Parameter(torch.tensor(kernel.numpy()))
        modules.append(module)
    return modules


@pytest.mark.parametrize("sparsity", [0.0, 0.13, 0.5, 0.9, 0.99])
def test_layer_scope_is_l1_unstructured(sparsity):
    model = chain(1)
    modules = torch_copies(model)
    masks = magnitude_prune(model, sparsity)
    for module, (path, kernel) in zip(modules, prunable_kernels(model).items(), strict=True):
        pruned = prune.l1_unstructured(module, "weight", amount=sparsity)
        np.testing.assert_array_equal(masks[path], pruned.weight_mask.numpy() == 1)
        np.testing.assert_array_equal(kernel.numpy(), pruned.weight.detach().numpy())


@pytest.mark.parametrize("sparsity", [0.0, 0.13, 0.5, 0.9, 0.99])
def test_global_scope_is_global_unstructured(sparsity):
    model = chain(2)
    modules = torch_copies(model)
    masks = magnitude_prune(model, sparsity, scope="global")
    pairs = [(module, "weight") for module in modules]
    prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=sparsity)
    for module, mask in zip(modules, masks.values(), strict=True):
        np.testing.assert_array_equal(mask, module.weight_mask.numpy() == 1)


def test_ties_by_hand():
    model = chain(3, widths=(5, 2, 3))
    model.set_weights([np.full(weight.shape, 0.5) for weight in model.weights])
    masks = magnitude_prune(model, 0.4)
    assert [(~mask).ravel().nonzero()[0].tolist() for mask in masks.values()] == [[0, 1, 2, 3], [0, 1]]
    model.set_weights([np.full(weight.shape, -0.5) for weight in model.weights])
    masks = magnitude_prune(model, 0.75, scope="global")
    assert [(~mask).sum() for mask in masks.values()] == [10, 2]


def test_laws_of_pruning():
    model = chain(4)
    start = model.get_weights()
    kept = []
    for sparsity in (0.2, 0.5, 0.8):
        model.set_weights(start)
        masks = magnitude_prune(model, sparsity, scope="global")
        kept.append(np.concatenate([mask.ravel() for mask in masks.values()]))
        again = magnitude_prune(model, sparsity, scope="global")
        assert all(np.array_equal(again[path], mask) for path, mask in masks.items())
        magnitudes = np.abs(np.concatenate([start[0].ravel(), start[2].ravel(), start[4].ravel()]))
        assert magnitudes[kept[-1]].min() >= magnitudes[~kept[-1]].max()
        assert sparsity_report(model)["total"] == np.mean(~kept[-1])
    assert not (kept[1] & ~kept[0]).any() and not (kept[2] & ~kept[1]).any()
    model.set_weights([weight * np.where(np.arange(weight.size).reshape(weight.shape) % 2, -1, 1) for weight in start])
    flipped = magnitude_prune(model, 0.8, scope="global")
    assert np.array_equal(np.concatenate([mask.ravel() for mask in flipped.values()]), kept[2])
    assert model.count_params() == sum(weight.size for weight in start)
    for number in (1, 3, 5):
        assert np.array_equal(np.abs(model.get_weights()[number]), np.abs(start[number]))


def test_masks_are_needed_after_a_step_of_adam():
    model = chain(5)
    masks = magnitude_prune(model, 0.5, skip=["chain/layer2/kernel"])
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    rng = np.random.default_rng(6)
    for _ in range(2):
        model.train_on_batch(rng.standard_normal((8, 6)), rng.standard_normal((8, 5)))
        assert sparsity_report(model)["total"] < 0.1
        apply_masks(model, masks)
        for path, mask in masks.items():
            kernel = prunable_kernels(model)[path].numpy()
            assert not kernel[~mask].any() and kernel[mask].all()


def test_kernels_of_attention_recurrent_and_nested_layers():
    ids = keras.Input((4,), dtype="int32")
    words = keras.layers.Embedding(7, 6, name="words")(ids)
    encoder = keras.Model(ids, keras.layers.LSTM(3, name="read")(keras.layers.MultiHeadAttention(2, 3)(words, words)))
    outer = keras.Input((4,), dtype="int32")
    model = keras.Model(outer, keras.layers.Dense(2, name="head")(encoder(outer)))
    paths = [path.split("/", 1)[1] for path in prunable_kernels(model)]
    parts = [f"{part}/kernel" for part in ("query", "key", "value", "attention_output")]
    assert paths == [*parts, "lstm_cell/kernel", "lstm_cell/recurrent_kernel", "kernel"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda model: magnitude_prune(model, 1.0), ValueError),
        (lambda model: magnitude_prune(model, float("nan")), ValueError),
        (lambda model: magnitude_prune(model, 0.5, scope="rows"), ValueError),
        (lambda model: magnitude_prune(model, 0.5, skip=list(prunable_kernels(model))), ValueError),
        (lambda model: magnitude_prune(model, 0.5, skip=["layer0"]), KeyError),
        (lambda model: magnitude_prune(keras.Sequential([keras.layers.Dense(2)]), 0.5), ValueError),
        (lambda model: apply_masks(model, {"chain/layer0/kernel": np.ones((1, 9), bool)}), ValueError),
        (lambda model: apply_masks(model, {"chain/layer9/kernel": np.ones((6, 9), bool)}), KeyError),
    ],
)
def test_refused(call, error):
    with pytest.raises(error):
        call(chain(7))


def test_visible_checks_pass_for_the_reference():
    source = Path(pruning.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n(.*?)\n\n# %%', source, re.DOTALL).group(1)
    code = "\n".join(line.removeprefix("#").removeprefix(" ") for line in cell.splitlines())
    exec(code, vars(pruning).copy())


def test_worked_example():
    model = chain(8, widths=(1, 2, 2))
    text, image = np.array([[-0.2, 0.4]]), np.array([[3.0, -1.0], [0.5, 2.0]])
    for scope, shares in (("layer", [0.5, 0.5, 0.5]), ("global", [1.0, 0.25, 0.5])):
        model.set_weights([text, np.ones(2), image, np.ones(2)])
        magnitude_prune(model, 0.5, scope=scope)
        assert list(sparsity_report(model).values()) == shares
        kernel = model.get_weights()[2]
        np.testing.assert_array_equal(kernel, [[3, 0 if scope == "layer" else -1], [0, 2]])
