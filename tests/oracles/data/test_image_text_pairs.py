"""The reference of data/image_text_pairs against PyTorch, CLIP's own tokenizer and a DataLoader."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, default_collate

from reference.data import image_text_pairs as lesson
from reference.data.image_text_pairs import CLIP_MEAN, CLIP_STD, PairDataset, WordTokenizer, collate, make_pairs

TEXTS = ["a cat", "two dogs on grass", "the rain in the street at night", "snow"]


def data_set(tokenizer, sizes, size=8, max_length=7):
    generator = torch.Generator().manual_seed(3)
    images = [torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=generator) for shape in sizes]
    labels = [index % 3 % 2 for index in range(len(sizes))]
    return PairDataset(images, TEXTS[: len(sizes)], labels, tokenizer, size, CLIP_MEAN, CLIP_STD, max_length), images


def clip_tokenizer():
    transformers = pytest.importorskip("transformers")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return transformers.CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=8
    )


def test_tokens_are_those_of_the_clip_tokenizer():
    tokenizer = clip_tokenizer()
    dataset, _ = data_set(tokenizer, [(8, 8)] * 4)
    for text, item in zip(TEXTS, dataset, strict=True):
        expected = tokenizer(text, truncation=True, max_length=7, return_tensors="pt")
        assert torch.equal(item["input_ids"], expected["input_ids"][0])
        assert item["input_ids"][-1] == tokenizer.eos_token_id
    padded = tokenizer.pad([{"input_ids": item["input_ids"].tolist()} for item in dataset], return_tensors="pt")
    batch = collate(list(dataset), tokenizer.pad_token_id)
    assert torch.equal(batch["input_ids"], padded["input_ids"])
    assert torch.equal(batch["attention_mask"], padded["attention_mask"])


def test_normalising_first_gives_the_same_and_can_be_undone():
    dataset, images = data_set(WordTokenizer(), [(8, 8), (20, 11), (3, 5), (8, 9)])
    mean, std = torch.tensor(CLIP_MEAN)[:, None, None], torch.tensor(CLIP_STD)[:, None, None]
    for image, item in zip(images, dataset, strict=True):
        normalised = (image.float() / 255 - mean) / std
        resized = F.interpolate(normalised[None], (8, 8), mode="bilinear", antialias=True)[0]
        torch.testing.assert_close(item["pixel_values"], resized, rtol=1e-5, atol=1e-5)
    restored = (dataset[0]["pixel_values"] * std + mean) * 255
    assert torch.equal(restored.round().to(torch.uint8), images[0])


def test_equal_lengths_agree_with_default_collate():
    dataset, _ = data_set(WordTokenizer(), [(8, 8)] * 3, max_length=3)
    batch, expected = collate(list(dataset), 0), default_collate(list(dataset))
    assert set(batch) == set(expected)
    assert all(torch.equal(batch[key], expected[key]) for key in expected)


def test_works_with_a_data_loader():
    dataset, _ = data_set(WordTokenizer(), [(8, 8), (9, 7), (4, 4), (8, 8)])
    batches = list(DataLoader(dataset, batch_size=3, collate_fn=partial(collate, pad_id=2)))
    assert [batch["pixel_values"].shape for batch in batches] == [(3, 3, 8, 8), (1, 3, 8, 8)]
    assert torch.equal(torch.cat([batch["labels"] for batch in batches]), torch.tensor([0, 1, 0, 0]))


def test_mismatches_are_uniform():
    groups = [0, 0, 1, 2, 2, 2, 3]
    counts = np.zeros((7, 7))
    rng = np.random.default_rng(0)
    for _ in range(1000):
        for image, text, label in make_pairs(groups, 2, rng):
            counts[image, text] += label == 0
    for image, group in enumerate(groups):
        allowed = np.array(groups) != group
        np.testing.assert_allclose(counts[image], 1000 * 2 / allowed.sum() * allowed, atol=90)


def test_visible_cell_runs():
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], "visible", "exec"), dict(vars(lesson)))
