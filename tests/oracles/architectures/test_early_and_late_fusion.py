"""The reference of architectures/early_and_late_fusion against scikit-learn, SciPy, and what the lesson claims."""

from __future__ import annotations

import itertools
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import special, stats
from torch import Tensor, nn

from reference.architectures import early_and_late_fusion as lesson
from reference.architectures.early_and_late_fusion import EarlyFusion, LateFusion

DIMS = {"text": 4, "image": 2, "audio": 6}
COMBINE = ("mean_prob", "log_opinion")


def features(batch: int = 5, seed: int = 0, dims: dict[str, int] = DIMS) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(batch, width, generator=generator).double() for name, width in dims.items()}


def test_early_fusion_equals_scikit_learn() -> None:
    neural_network = pytest.importorskip("sklearn.neural_network")
    torch.manual_seed(0)
    module, feats = EarlyFusion(DIMS, 7, 3).double(), features()
    joined = torch.cat([feats["text"], feats["image"], feats["audio"]], dim=1).numpy()
    library = neural_network.MLPClassifier((7,), max_iter=1, solver="lbfgs")
    with warnings.catch_warnings(action="ignore"):  # of one step that does not converge
        library.fit(joined, [0, 1, 2, 0, 1])
    library.coefs_ = [layer.weight.detach().numpy().T for layer in (module.fc1, module.fc2)]
    library.intercepts_ = [layer.bias.detach().numpy() for layer in (module.fc1, module.fc2)]
    probabilities = module(dict(reversed(feats.items()))).softmax(dim=1).detach()
    np.testing.assert_allclose(probabilities, library.predict_proba(joined), rtol=1e-12)


@pytest.mark.parametrize("combine", COMBINE)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_late_fusion_equals_scipy(combine, dtype) -> None:
    torch.manual_seed(1)
    module, feats = LateFusion(DIMS, 3, combine).double(), features(seed=1)
    mask = {
        "image": torch.tensor([True, False, True, False, True]),
        "audio": torch.tensor([True, False, False, True, True]),
    }
    keep = np.stack([np.ones(5, dtype=bool), mask["image"].numpy(), mask["audio"].numpy()])[:, :, None]
    opinions = [special.softmax(module.heads[name](feats[name]).detach().numpy(), axis=1) for name in DIMS]
    if combine == "mean_prob":
        mean = np.average(opinions, axis=0, weights=np.broadcast_to(keep, np.shape(opinions)))
    else:
        mean = stats.gmean(opinions, axis=0, weights=np.broadcast_to(keep, np.shape(opinions)))
        mean = mean / mean.sum(axis=1, keepdims=True)
    actual = module.to(dtype)({name: value.to(dtype) for name, value in feats.items()}, mask)
    assert actual.dtype == dtype
    tolerance = 1e-12 if dtype == torch.float64 else 30 * torch.finfo(dtype).eps
    np.testing.assert_allclose(actual.detach().double(), np.log(mean), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("combine", COMBINE)
def test_gradients_are_those_of_finite_differences(combine) -> None:
    torch.manual_seed(2)
    module, feats = LateFusion(DIMS, 3, combine).double(), features(3, seed=2)
    mask = {"text": torch.tensor([True, False, True])}
    assert torch.autograd.gradcheck(
        lambda *values: module(dict(zip(DIMS, values, strict=True)), mask),
        [value.requires_grad_() for value in feats.values()],
    )


@pytest.mark.parametrize("combine", COMBINE)
def test_empty_batch(combine) -> None:
    assert LateFusion(DIMS, 3, combine)({name: torch.empty(0, width) for name, width in DIMS.items()}).shape == (0, 3)
    assert EarlyFusion(DIMS, 7, 3)({name: torch.empty(0, width) for name, width in DIMS.items()}).shape == (0, 3)


def mixed_second_difference(score, feats: dict[str, Tensor]) -> Tensor:
    """score(a, b) - score(a', b) - score(a, b') + score(a', b'): 0 for a sum of a part of a and a part of b."""
    (a, other_a), (b, other_b) = feats["a"].split(1), feats["b"].split(1)
    corners = [score({"a": x, "b": y}) for x, y in itertools.product((a, other_a), (b, other_b))]
    return corners[0] - corners[1] - corners[2] + corners[3]


def test_only_early_fusion_has_interactions() -> None:
    torch.manual_seed(3)
    dims = {"a": 4, "b": 2}
    feats = {name: 9 * value for name, value in features(2, seed=3, dims=dims).items()}
    late, early = LateFusion(dims, 2, "log_opinion").double(), EarlyFusion(dims, 8, 2).double()

    def log_odds(module: nn.Module) -> Tensor:
        return mixed_second_difference(lambda x: module(x)[:, 1] - module(x)[:, 0], feats)

    assert (log_odds(late).abs() > 1e-9).item() == lesson.claims["late_fusion_does_xor"]
    assert log_odds(early).abs() > 1e-3


@pytest.mark.parametrize("seed", range(2))
def test_early_fusion_learns_xor_and_late_fusion_does_not(seed) -> None:
    torch.manual_seed(seed)
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=2)))
    feats, labels = {"text": corners[:, :1], "image": corners[:, 1:]}, (corners.prod(dim=1) < 0).long()
    right = {}
    dims = {"text": 1, "image": 1}
    for name, module in {"early": EarlyFusion(dims, 16, 2), **{c: LateFusion(dims, 2, c) for c in COMBINE}}.items():
        optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
        for _ in range(60):
            optimiser.zero_grad()
            F.cross_entropy(module(feats), labels).backward()
            optimiser.step()
        right[name] = int((module(feats).argmax(dim=1) == labels).sum())
    assert right["early"] == 4
    assert max(right[combine] for combine in COMBINE) < 4


def test_mean_of_logits_is_the_logarithmic_opinion_only() -> None:
    torch.manual_seed(4)
    feats = features(seed=4)
    for combine, same in (("log_opinion", lesson.claims["mean_of_logits"]), ("mean_prob", False)):
        module = LateFusion(DIMS, 3, combine).double()
        mean = torch.stack([module.heads[name](feats[name]) for name in DIMS]).mean(dim=0)
        assert torch.allclose(module(feats), mean.log_softmax(dim=1)) == same


def test_bad_input() -> None:
    feats = features(4)
    for module in (EarlyFusion(DIMS, 7, 3).double(), LateFusion(DIMS, 3).double()):
        with pytest.raises(KeyError, match="image"):
            module({"text": feats["text"], "audio": feats["audio"]})
        for bad in (feats["image"][:1], feats["image"][:, :1], feats["image"][None]):
            with pytest.raises(ValueError, match="expected features"):
                module({**feats, "image": bad})
    with pytest.raises(ValueError, match="combine"):
        LateFusion(DIMS, 3, "product")
    with pytest.raises(TypeError, match="boolean"):
        module(feats, {"image": torch.ones(4)})
    with pytest.raises(ValueError, match="mask"):
        module(feats, {"image": torch.ones(1, dtype=torch.bool)})
    with pytest.raises(ValueError, match="no modality"):
        module(feats, dict.fromkeys(DIMS, torch.tensor([True, True, True, False])))


def test_the_worked_example() -> None:
    feats = {"text": torch.zeros(2, 1), "image": torch.zeros(2, 1)}
    for combine, both in (("mean_prob", [0.7, 0.3]), ("log_opinion", [0.75, 0.25])):
        module = LateFusion({"text": 1, "image": 1}, 2, combine)
        module.heads["text"].bias.data = torch.tensor([9.0, 1.0]).log()
        nn.init.zeros_(module.heads["image"].bias)
        expected = torch.tensor([both, [0.9, 0.1]])
        torch.testing.assert_close(module(feats, {"image": torch.tensor([True, False])}).exp(), expected)


def test_the_visible_cell_passes_with_the_reference() -> None:
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
