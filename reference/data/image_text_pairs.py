# %% [markdown]
# # A data set of image-text pairs
#
# Between the files on disk and the first training step stands a small class that many people copy and few read. The
# version that is often published takes the label from the position in the list (`index // 2`), so the model learns
# nothing from it; it gives its captions to the parameter for images, leaves a batch axis of 1 on every item, and never
# normalises a pixel. None of these mistakes is in the model. Here you write the three parts once and well: the item,
# the batch, and the list of matching and mismatching pairs.
#
# ## Your task (45 minutes)
#
# | part | what it gives |
# |---|---|
# | `PairDataset(images, texts, labels, tokenizer, image_size, mean, std, max_length)` | items, one pair each |
# | `collate(items, pad_id)` | one batch out of a list of items |
# | `make_pairs(group_ids, neg_per_pos, rng)` | which image is shown with which text, and whether they match |
#
# **`PairDataset`** is a `torch.utils.data.Dataset` with `len(dataset)` and `dataset[index]`. The lists `images`,
# `texts` and `labels` have one entry for each pair. An item is a dictionary (`dict`) with exactly these tensors and no
# batch axis; `S` is `image_size`:
#
# | key | shape and dtype | content |
# |---|---|---|
# | `pixel_values` | `(3, S, S)`, float32 | the image, resized and normalised |
# | `input_ids` | `(L,)`, int64 | the tokens of the text, at most `max_length`, without padding |
# | `attention_mask` | `(L,)`, int64 | 1 for each token |
# | `labels` | `()`, int64 | the label of the pair |
#
# - **Image.** A `uint8` tensor `(3, height, width)`. Convert it to floats between 0 and 1 first, then resize it to
#   `(S, S)` where it has another size: `torch.nn.functional.interpolate` with `mode="bilinear"` and `antialias=True`.
#   The aspect ratio is not kept and nothing is cropped. Then subtract `mean` and divide by `std`: tuples, lists or
#   NumPy arrays of three numbers, one for each channel, for pixels between 0 and 1. (Normalising before resizing gives
#   the same.)
# - **Text.** `tokenizer` is called like any tokenizer of Hugging Face:
#   `tokenizer(text, truncation=True, max_length=max_length)` returns a dictionary with the lists `input_ids` and
#   `attention_mask`. Let it do the truncation, since it keeps the end token. The class `WordTokenizer` below is a small
#   one to play with; the checks use another.
# - **Labels** are data: a list or an `int64` tensor `(pairs,)` of 0 and 1.
# - **Index.** From `-len(dataset)` to `len(dataset) - 1`, negative ones counted from the end; `IndexError` otherwise.
# - **Fresh tensors.** Every access returns new tensors: whoever writes into an item changes neither the next access nor
#   `images` and `labels`.
# - **`ValueError`** at construction for: lists of different lengths, an image that is not `uint8` or not of shape
#   `(3, height, width)`, a label other than 0 and 1.
#
# **`collate`** stacks `pixel_values` to `(batch, 3, S, S)` and `labels` to `(batch,)`. The texts of a batch differ in
# length: `input_ids` is filled up on the right with `pad_id`, `attention_mask` with 0, both to the longest text of this
# batch, `(batch, longest)`. The items keep their order, all keep their dtype, and no item is changed. A mask may hold
# zeros already; they stay. `pad_id` may be an id that texts use as well (CLIP pads with its end token). An empty list
# raises `ValueError`.
#
# **`make_pairs`** returns a list of tuples `(image_index, text_index, label)` of whole numbers, in any order. Image `i`
# and text `i` belong together and are of group `group_ids[i]` (a list or array of numbers or strings; several pairs may
# be of one group, such as five captions of one photo).
#
# - Every `(i, i, 1)` is in the list once. Other combinations within a group match too and must not be called
#   mismatches; they are left out.
# - Each image gets `neg_per_pos` mismatches `(i, j, 0)`: the texts `j` are drawn at random from those of other groups,
#   all with the same chance, all different, and for each image anew.
# - Random numbers come from `rng`, a `numpy.random.Generator`, only. Generators in the same state give the same list.
# - `neg_per_pos` 0 gives the matches alone. `ValueError` for a negative one, and where an image has fewer than
#   `neg_per_pos` texts of other groups.
#
# **Forbidden:** `torchvision`.
#
# ## A worked example
#
# A grey image, all pixels 102, with mean 0.5 and std 0.2 in every channel becomes (102 / 255 - 0.5) / 0.2 = -0.5.
#
# Two items with the tokens `[1, 30, 2]` and `[1, 8, 9, 31, 2]` and `pad_id` 2 give `input_ids`
# `[[1, 30, 2, 2, 2], [1, 8, 9, 31, 2]]` and `attention_mask` `[[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]`: only the mask tells
# an end token from padding.
#
# With `group_ids` `["cat", "cat", "dog"]` and one mismatch each, images 0 and 1 can get text 2 only, image 2 one of the
# texts 0 and 1: for example `[(0, 0, 1), (0, 2, 0), (1, 1, 1), (1, 2, 0), (2, 2, 1), (2, 0, 0)]`.
#
# ## Around this class
#
# A processor of the library, tokenizer and image processor in one, takes `text=` and `images=` by name: without a name
# the first argument means images for some and text for others. Random crops and flips belong into the training set
# alone. Split by groups *before* making pairs, or the mismatches carry test captions into training. And a mismatch from
# another group can still fit by accident ("a dog on grass"): look at some before you trust the labels.

# %%
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import Dataset

CLIP_MEAN = (0.4815, 0.4578, 0.4082)  # of the red, green and blue values that CLIP was trained on
CLIP_STD = (0.2686, 0.2613, 0.2758)


class WordTokenizer:
    """A toy that is called like a Hugging Face tokenizer: start token 1, one id for each word, end token 2. (Given.)"""

    def __call__(self, text, truncation=False, max_length=None, padding=False, return_tensors=None):
        words = text.split()
        if truncation:
            words = words[: max_length - 2]  # start and end token stay
        ids = [1, *(10 + sum(map(ord, word)) % 80 for word in words), 2]
        missing = max_length - len(ids) if padding == "max_length" else 0
        tokens = {"input_ids": ids + [2] * missing, "attention_mask": [1] * len(ids) + [0] * missing}
        if return_tensors == "pt":
            return {key: torch.tensor([values]) for key, values in tokens.items()}
        return tokens


# %% [markdown]
# ## Part 1: an item


# %% tags=["solution"]
class PairDataset(Dataset):
    """Image-text pairs as a CLIP-like model reads them (Radford et al., 2021).

    Args:
        images: uint8 tensors `(3, height, width)`, of any sizes.
        texts: one string for each image.
        labels: one label, 0 or 1, for each pair.
        tokenizer: called as `tokenizer(text, truncation=True, max_length=max_length)`.
        image_size: height and width S of `pixel_values`.
        mean, std: three numbers each, for pixel values between 0 and 1.
        max_length: largest number of tokens.

    An item is a dict: `pixel_values` `(3, S, S)` float32, `input_ids` and `attention_mask` `(L,)` int64, `labels` `()`
    int64. Raises ValueError for lists of different lengths, images of another dtype or shape and other labels;
    `dataset[index]` raises IndexError beyond the ends.
    """

    def __init__(self, images, texts, labels, tokenizer, image_size, mean, std, max_length):
        ### BEGIN SOLUTION
        if not len(images) == len(texts) == len(labels):
            raise ValueError(f"{len(images)} images, {len(texts)} texts and {len(labels)} labels do not make pairs")
        for image in images:
            if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
                raise ValueError(f"an image must be uint8 (3, height, width), not {image.dtype} {tuple(image.shape)}")
        if not all(label in (0, 1) for label in labels):
            raise ValueError("every label must be 0 or 1")
        self.images, self.texts, self.labels = images, texts, labels
        self.tokenizer, self.max_length = tokenizer, max_length
        self.size = (image_size, image_size)
        self.mean = torch.tensor(mean, dtype=torch.float32).reshape(3, 1, 1)  # (channels, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32).reshape(3, 1, 1)  # (channels, 1, 1)
        ### END SOLUTION

    def __len__(self) -> int:
        ### BEGIN SOLUTION
        return len(self.images)
        ### END SOLUTION

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        ### BEGIN SOLUTION
        pixels = self.images[index].float() / 255  # (3, height, width), from 0 to 1
        if pixels.shape[1:] != self.size:
            # interpolate wants a batch axis, the item has none
            pixels = F.interpolate(pixels[None], self.size, mode="bilinear", antialias=True)[0]  # (3, S, S)

        tokens = self.tokenizer(self.texts[index], truncation=True, max_length=self.max_length)
        return {
            "pixel_values": (pixels - self.mean) / self.std,
            "input_ids": torch.tensor(tokens["input_ids"], dtype=torch.int64),
            "attention_mask": torch.tensor(tokens["attention_mask"], dtype=torch.int64),
            "labels": torch.tensor(int(self.labels[index]), dtype=torch.int64),
        }
        ### END SOLUTION


# %% [markdown]
# ## Part 2: a batch


# %% tags=["solution"]
def collate(items: Sequence[dict[str, Tensor]], pad_id: int) -> dict[str, Tensor]:
    """Make a batch of items; the texts are padded on the right to the longest one of this batch.

    Returns:
        `pixel_values` `(batch, 3, S, S)`, `input_ids` and `attention_mask` `(batch, longest)`, `labels` `(batch,)`.

    Raises:
        ValueError: no items.
    """
    ### BEGIN SOLUTION
    if len(items) == 0:
        raise ValueError("a batch needs at least one item")
    longest = max(len(item["input_ids"]) for item in items)

    def padded(key: str, value: int) -> Tensor:
        rows = [F.pad(item[key], (0, longest - len(item[key])), value=value) for item in items]
        return torch.stack(rows)  # (batch, longest)

    return {
        "pixel_values": torch.stack([item["pixel_values"] for item in items]),  # (batch, 3, S, S)
        "input_ids": padded("input_ids", pad_id),
        "attention_mask": padded("attention_mask", 0),
        "labels": torch.stack([item["labels"] for item in items]),  # (batch,)
    }
    ### END SOLUTION


# %% [markdown]
# ## Part 3: matches and mismatches


# %% tags=["solution"]
def make_pairs(group_ids: ArrayLike, neg_per_pos: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """All matches `(i, i, 1)`, and for each image `neg_per_pos` mismatches `(i, j, 0)` with texts of other groups.

    Args:
        group_ids: group of image i and text i, `(pairs,)`, numbers or strings.
        neg_per_pos: mismatches for each image; their texts are different and equally likely.
        rng: the only source of random numbers.

    Raises:
        ValueError: neg_per_pos is negative, or an image has fewer texts of other groups than that.
    """
    ### BEGIN SOLUTION
    if neg_per_pos < 0:
        raise ValueError(f"neg_per_pos must be at least 0, not {neg_per_pos}")
    groups = np.asarray(group_ids)  # (pairs,)
    pairs = []
    for image, group in enumerate(groups):
        # texts of the same group may describe this image as well, so they are no mismatches
        others = np.flatnonzero(groups != group)
        if len(others) < neg_per_pos:
            raise ValueError(f"image {image} has {len(others)} texts of other groups, {neg_per_pos} are needed")
        mismatches = rng.choice(others, size=neg_per_pos, replace=False)
        pairs.append((image, image, 1))
        pairs.extend((image, int(text), 0) for text in mismatches)
    return pairs
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# black_and_white = [torch.zeros(3, 4, 4, dtype=torch.uint8), torch.full((3, 6, 9), 255, dtype=torch.uint8)]
# captions, is_match = ["a black square", "snow"], [1, 0]
# dataset = PairDataset(black_and_white, captions, is_match, WordTokenizer(), 4, (0.5, 0.25, 0.5), (0.5, 0.5, 0.25), 8)
# assert len(dataset) == 2
# first, second = dataset[0], dataset[1]
# assert first["pixel_values"].shape == second["pixel_values"].shape == (3, 4, 4)
# assert torch.allclose(first["pixel_values"][:, 1, 2], torch.tensor([-1.0, -0.5, -2.0]))
# assert torch.allclose(second["pixel_values"][:, 1, 2], torch.tensor([1.0, 1.5, 2.0]))
# assert first["input_ids"].shape == (5,) and second["input_ids"].shape == (3,)  # three words, one word
# assert first["labels"].item() == 1 and second["labels"].item() == 0
#
# batch = collate([first, second], pad_id=2)
# assert batch["pixel_values"].shape == (2, 3, 4, 4) and batch["labels"].tolist() == [1, 0]
# assert batch["input_ids"][0].tolist() == first["input_ids"].tolist()
# assert batch["input_ids"][1].tolist() == [*second["input_ids"].tolist(), 2, 2]
# assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
#
# pairs = make_pairs(["cat", "dog", "cat"], 1, np.random.default_rng(0))
# assert len(pairs) == 6 and {(0, 0, 1), (1, 1, 1), (2, 2, 1), (0, 1, 0), (2, 1, 0)} <= set(pairs)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Suppose someone sorts your lists in another order, all three in the same way. Which of the numbers in the item of one
# given photo may change? And if a caption is put into a batch with longer ones, which of its numbers may change?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# An item knows its own pair and nothing else: not its position, not the other items, not how many there will be in a
# batch. What depends on neighbours, the padding, is left to the batch; what depends on the whole data set, the choice
# of mismatches, is done before. A mean of three numbers has to meet the axis of three channels, and arrays are lined
# up from their last axis backwards.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the lists and keep them. For an item: take the image, make it float, divide by 255, add a batch axis for the
# resize and take it off again, normalise with means of shape (3, 1, 1); call the tokenizer and turn its lists into
# tensors. For a batch: find the longest text, fill each row up with its own filler, stack. For the pairs: walk through
# the images, find the texts whose group is another one, draw from these without putting back.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# row = F.pad(tokens, (0, longest - len(tokens)), value=filler)  # (longest,): 0 in front, the rest behind
# ```
# </details>
#
# ## References
#
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). Learning Transferable Visual Models From Natural Language
#   Supervision.
