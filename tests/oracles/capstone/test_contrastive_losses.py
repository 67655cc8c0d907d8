"""The reference against transformers' CLIP loss, scikit-learn's log loss and a chi-square test; the visible asserts."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare
from sklearn.metrics import log_loss
from torch import Tensor
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from reference.capstone import contrastive_losses as lesson
from reference.capstone.contrastive_losses import (
    hard_negatives,
    matching_loss,
    pair_logits,
    sigmoid_loss,
    symmetric_info_nce,
)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=generator(seed), dtype=torch.float64), dim=1).to(dtype)


SCALE, BIAS = torch.tensor(1.3, dtype=torch.float64), torch.tensor(-0.8, dtype=torch.float64)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_without_duplicates_it_is_the_loss_of_clip(batch: int) -> None:
    image, text = unit(batch, 5, seed=1), unit(batch, 5, seed=2)
    loss = symmetric_info_nce(image, text, SCALE, torch.arange(batch) * 3 - 4)
    torch.testing.assert_close(loss, image_text_contrastive_loss(pair_logits(image, text, SCALE)))


def test_duplicates_share_the_target() -> None:
    # cross-entropy is linear in the target: an even share is the mean over all ways to pick one right answer a row
    image, text, concepts = unit(4, 3, seed=3), unit(4, 3, seed=4), torch.tensor([8, 2, 8, 5])
    logits = pair_logits(image, text, SCALE)
    picks = [[j for j in range(4) if concepts[j] == concepts[i]] for i in range(4)]
    losses = [
        (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
        for labels in map(torch.tensor, itertools.product(*picks))
    ]
    torch.testing.assert_close(symmetric_info_nce(image, text, SCALE, concepts), torch.stack(losses).mean())


def test_sigmoid_loss_is_the_log_loss_of_all_pairs() -> None:
    image, text, concepts = unit(5, 3, seed=5), unit(5, 3, seed=6), torch.tensor([1, 9, 1, 4, 9])
    probabilities = torch.sigmoid(pair_logits(image, text, SCALE) + BIAS).flatten().numpy()
    labels = (concepts[:, None] == concepts).flatten().numpy()
    expected = log_loss(labels, probabilities, normalize=False) / 5
    np.testing.assert_allclose(sigmoid_loss(image, text, SCALE, BIAS, concepts).item(), expected, rtol=1e-10)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast(half: torch.dtype) -> None:
    image, text = unit(4, 6, seed=7, dtype=half), unit(4, 6, seed=8, dtype=half)
    log_scale, concepts = torch.tensor(4.5), torch.tensor([0, 1, 0, 2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = symmetric_info_nce(image, text, log_scale, concepts)
    assert loss.dtype == torch.float32
    exact = symmetric_info_nce(image.double(), text.double(), log_scale.double(), concepts)
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=1e-5)


def test_drawn_negatives_fit_the_softmax() -> None:
    similarity = torch.tensor([[5.0, 1.0, 2.0, 0.5], [0.0, 6.0, 1.5, 1.0], [2.5, 0.0, 9.0, 1.0], [0.3, 1.2, 0.0, 4.0]])
    concepts, draws = torch.tensor([3, 7, 3, 5]), 4000
    source = generator(1)
    counts = torch.zeros(2, 4, 4)
    for _ in range(draws):
        for side, wrong in enumerate(hard_negatives(similarity, concepts, source)):
            counts[side, torch.arange(4), wrong] += 1
    for side, table in enumerate((similarity, similarity.T)):
        for row in range(4):
            others = (concepts != concepts[row]).nonzero().flatten()
            assert counts[side, row].sum() == counts[side, row, others].sum() == draws
            expected = table[row, others].double().softmax(0).numpy() * draws
            assert chisquare(counts[side, row, others].numpy(), expected, sum_check=False).pvalue > 1e-4


def test_matching_loss_is_a_log_loss() -> None:
    image, text, concepts = unit(3, 4, seed=9), unit(3, 4, seed=10), torch.tensor([4, 9, 2])
    wrong_texts, wrong_images = torch.tensor([1, 2, 0]), torch.tensor([2, 0, 0])
    loss = matching_loss(lambda u, v: 3 * (u * v).sum(1), image, text, concepts, wrong_texts, wrong_images)
    cosine = image @ text.T
    logits = torch.cat([cosine.diagonal(), cosine[range(3), wrong_texts], cosine[wrong_images, range(3)]])
    expected = log_loss([1] * 3 + [0] * 6, torch.sigmoid(3 * logits).numpy())
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-10)


def test_worked_example_of_the_lesson() -> None:
    image = torch.tensor([[0.5, 0.0, math.sqrt(0.75)], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    text = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    concepts = torch.tensor([5, 5, 9])
    assert abs(symmetric_info_nce(image, text, torch.tensor(2.0).log(), concepts).item() - 0.652) < 5e-4
    loss = sigmoid_loss(image, text, torch.tensor(2.0).log(), torch.tensor(-1.0), concepts)
    assert abs(loss.item() - 1.193) < 5e-4
    first = torch.tensor([3.0, 1.0, 0.0]).expand(3, 3).contiguous()
    drawn = [hard_negatives(first, torch.tensor([5, 9, 7]), generator(seed))[0][0].item() for seed in range(400)]
    assert 0 not in drawn and abs(drawn.count(1) / 400 - 0.73) < 0.1
    loss = F.binary_cross_entropy_with_logits(torch.tensor([2.0, 0.0, -1.0]), torch.tensor([1.0, 0.0, 0.0]))
    assert abs(loss.item() - 0.378) < 5e-4


def test_bad_input() -> None:
    image, concepts = unit(3, 4), torch.tensor([1, 1, 1])
    with pytest.raises(ValueError, match="one concept"):
        hard_negatives(torch.zeros(3, 3), concepts, generator(0))
    with pytest.raises(ValueError, match="not finite"):
        hard_negatives(torch.full((3, 3), math.nan), torch.arange(3), generator(0))
    with pytest.raises(ValueError, match="same concept"):
        matching_loss(lambda u, v: (u * v).sum(1), image, image, concepts, concepts, concepts)
    with pytest.raises(ValueError, match="shape"):
        symmetric_info_nce(image, image, SCALE, concepts[:2])


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(lesson)))
