"""Hidden checks of capstone/data_pipeline.

What `augment` did is measured from outside: a drawing of one small blob, once white and once black and with the same
state of the generator, gives two pictures whose difference is the share of the drawing in each pixel, whatever the
background. Three such blobs say where the drawing has gone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from grader.checking import (
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

BATCH = {"pixels": "float32", "input_ids": "int64", "attention_mask": "int64", "concepts": "int64"}


def random_drawing(rng: np.random.Generator, height: int, width: int) -> Tensor:
    """Colours and opacity from 0 to 255; some pixels are opaque, some transparent."""
    drawing = rng.integers(0, 256, (4, height, width), dtype=np.uint8)
    kind = rng.permutation(height * width).reshape(height, width)
    drawing[3][kind % 4 == 0], drawing[3][kind % 4 == 1] = 255, 0
    return torch.from_numpy(drawing)


def expected_picture(rgba: Tensor, background) -> np.ndarray:
    """One pixel and one channel after the other, in float64."""
    numbers, (_, height, width) = rgba.numpy().astype(np.float64), rgba.shape
    picture = np.empty((3, height, width))
    for row in range(height):
        for column in range(width):
            share = numbers[3, row, column] / 255.0
            for channel in range(3):
                shown = share * numbers[channel, row, column] / 255.0
                picture[channel, row, column] = shown + (1.0 - share) * float(background[channel])
    return picture


# ---------------------------------------------------------------- what runs in the student's process


def composite_and_its_arguments(student, rgba, background):
    return student.composite(rgba, background), rgba, background


def augment_many_times(student, seed):
    """Facts about the pictures of 64 states of the generator; for a correct answer, none depends on the draws."""
    import torch

    height, width, states = 24, 64, 64
    places = {"A": (9, 24), "B": (9, 39), "C": (14, 24)}  # row and column of each blob
    noise = torch.Generator().manual_seed(seed)
    hidden = torch.randint(0, 256, (3, height, width), generator=noise).to(torch.uint8)
    profile = torch.tensor([60.0, 190.0, 255.0, 190.0, 60.0])
    opacities = {"nothing": torch.zeros(height, width), "everything": torch.full((height, width), 255.0)}
    for name, (row, column) in places.items():
        opacities[name] = torch.zeros(height, width)
        opacities[name][row - 2 : row + 3, column - 2 : column + 3] = torch.outer(profile, profile) / 255
    drawings = {}
    for name, opacity in opacities.items():
        opacity = opacity.round().to(torch.uint8)
        for colour in (0, 255)[: 1 if name == "nothing" else 2]:
            colours = torch.where(opacity > 0, torch.full_like(hidden, colour), hidden)
            drawings[name, colour] = torch.cat([colours, opacity[None]])
    before = {key: drawing.clone() for key, drawing in drawings.items()}

    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    middle = torch.tensor([width / 2, height / 2])
    facts = dict.fromkeys(
        ["out of range", "no plain background", "hidden colour", "wrong mixture", "lost", "mirrored", "turned"], False
    )
    facts |= {"edges": False, "skewed": False}
    levels = drawings["A", 0][3].unique() / 255  # the opacities of a blob, before anything is averaged
    draws, ratios, averaged = [], [], False
    for state in range(states):
        seen = {}
        for key, drawing in drawings.items():
            picture = student.augment(drawing, torch.Generator().manual_seed(1000 * seed + state))
            found = (str(getattr(picture, "dtype", type(picture).__name__)), list(getattr(picture, "shape", ())))
            if found != ("torch.float32", [3, height, width]):
                return {"kind": found}
            facts["out of range"] |= not bool(((picture >= -1e-5) & (picture <= 1 + 1e-5)).all())
            seen[key] = picture.detach()
        background = seen["nothing", 0].mean(dim=(1, 2))  # (3,)
        deviation = (seen["nothing", 0] - background[:, None, None]).abs().max().item()
        facts["no plain background"] |= deviation > 1e-4

        shares = {}
        for name in ("A", "B", "C", "everything"):
            share = seen[name, 255] - seen[name, 0]  # (3, height, width)
            left = seen[name, 0] - (1 - share) * background[:, None, None]
            wrong = max(left.abs().max().item(), (share - share[:1]).abs().max().item()) > 1e-3
            facts["wrong mixture" if name == "everything" else "hidden colour"] |= wrong
            shares[name] = share.mean(dim=0)
        a, b, c = (
            torch.stack([(shares[name] * columns).sum(), (shares[name] * rows).sum()]) / shares[name].sum()
            for name in "ABC"
        )
        averaged |= bool(((shares["A"][:, :, None] - levels).abs().amin(dim=2) > 0.02).any())
        across, down = (b - a) / 15, (c - a) / 5  # where one pixel to the right, and one down, have gone
        area = (across[0] * down[1] - across[1] * down[0]).item()
        if not abs(area) > 0.05:
            facts["lost"] = True
            continue
        facts["mirrored"] |= area < 0
        facts["turned"] |= torch.atan2(across[1], across[0]).abs().item() > 0.227  # 13 degrees
        facts["skewed"] |= abs((across @ down).item()) / area > 0.08
        ratios.append((across.norm() / down.norm()).item())

        # where each pixel was before, and whether the opaque drawing covers those that were well inside
        centre = a + 7.5 * across + 2.5 * down
        offsets = torch.stack([columns - centre[0], rows - centre[1]])  # (2, height, width)
        was = torch.linalg.solve(torch.stack([across, down], dim=1), offsets.reshape(2, -1)).reshape(2, height, width)
        beyond = torch.maximum(was[0].abs() - width / 2, was[1].abs() - height / 2)
        covered = shares["everything"]
        facts["edges"] |= bool((covered[beyond > 1.5] > 0.02).any() or (covered[beyond < -1.5] < 0.98).any())
        draws.append([across.norm().item(), *((centre - middle) / (2 * middle)).tolist(), *background.tolist()])

    facts["nearest"] = not averaged
    facts["changed"] = any(not torch.equal(drawings[key], before[key]) for key in drawings)
    if ratios:
        facts["skewed"] |= abs(sum(ratios) / len(ratios) - 1) > 0.02 or any(abs(ratio - 1) > 0.1 for ratio in ratios)
    if len(draws) == states:
        values = torch.tensor(draws)  # (states, scale, shift right, shift down, red, green, blue)
        low, high = values.amin(dim=0).tolist(), values.amax(dim=0).tolist()
        limits = [0.14 if side == height else 0.13 for side in (width, height)]
        facts["scale too far"] = low[0] < 0.785 or high[0] > 1.215
        facts["scale alike"] = low[0] > 0.95 or high[0] < 1.05
        facts["shift too far"] = any(max(-low[1 + i], high[1 + i]) > limits[i] for i in (0, 1))
        facts["shift alike"] = any(low[i] > -0.03 or high[i] < 0.03 for i in (1, 2))
        facts["shift too small"] = max(-low[1], -low[2], high[1], high[2]) < 0.065
        facts["background alike"] = any(low[i] > 0.3 or high[i] < 0.7 for i in (3, 4, 5))
        correlation = torch.corrcoef(values.T).nan_to_num() - torch.eye(6)
        facts["tied"] = correlation.abs().max().item() > 0.8
    return facts


def augment_under_other_global_seeds(student, drawing, seed):
    import random

    import numpy as np
    import torch

    def shake(number):
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)

    def global_states():
        kind, keys, *rest = np.random.get_state()
        return random.getstate(), (kind, keys.tolist(), *rest), torch.get_rng_state().tolist()

    shake(1)
    before = global_states()
    generator = torch.Generator().manual_seed(seed)
    first = student.augment(drawing, generator)
    second = student.augment(drawing, generator)
    kept = before == global_states()
    shake(2)
    again = student.augment(drawing, torch.Generator().manual_seed(seed))
    return {
        "repeated": torch.equal(first, again),
        "second differs": not torch.equal(first, second),
        "global states kept": kept,
    }


def generators_for_many_numbers(student, calls):
    """For each call of generator_for, the first call with the same random numbers; and what else it did."""
    import random

    import numpy as np
    import torch

    def global_states():
        kind, keys, *rest = np.random.get_state()
        return random.getstate(), (kind, keys.tolist(), *rest), torch.get_rng_state().tolist()

    kinds, draws, generators = set(), [], []
    kept = True
    for place, numbers in enumerate(calls):
        torch.manual_seed(place)
        random.seed(place)
        np.random.seed(place)
        before = global_states()
        generator = student.generator_for(*numbers)
        kinds.add(type(generator).__name__)
        if not isinstance(generator, torch.Generator):
            return {"kinds": sorted(kinds)}
        draws.append(torch.rand(4, generator=generator).tolist())
        generators.append(generator)
        kept = kept and before == global_states()
    return {
        "kinds": sorted(kinds),
        "first with the same": [draws.index(draw) for draw in draws],
        "one object": len({id(generator) for generator in generators}) < len(generators),
        "global states kept": kept,
    }


def read_samples(student, drawings, concepts, names, seed, indices):
    import torch

    dataset = student.DrawingDataset(drawings, concepts, names, seed)
    samples = []
    for index in indices:
        sample = dataset[index]
        if not isinstance(sample, dict) or set(sample) != {"pixels", "input_ids", "concept"}:
            samples.append(sorted(map(str, sample)) if isinstance(sample, dict) else type(sample).__name__)
            continue
        pixels = sample["pixels"]
        samples.append(
            {
                "input_ids": sample["input_ids"],
                "concept": sample["concept"],
                "kind of pixels": (str(getattr(pixels, "dtype", "")), list(getattr(pixels, "shape", ()))),
                "middle": pixels[:, pixels.shape[1] // 2, pixels.shape[2] // 2] if torch.is_tensor(pixels) else None,
            }
        )
    return isinstance(dataset, torch.utils.data.Dataset), len(dataset), samples


def read_in_other_orders(student, drawing, seed):
    """What the pixels of six samples of one and the same drawing depend on."""
    import random

    import numpy as np
    import torch

    def shake(number):
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)

    def make(seed):
        drawings = drawing[None].repeat(6, 1, 1, 1)
        return student.DrawingDataset(drawings, [8, 3, 8, 8, 3, 5], {3: [4], 5: [6, 7], 8: [9, 4, 2]}, seed)

    def read(dataset, order):
        found = {index: dataset[index]["pixels"].clone() for index in order}
        return [found[index] for index in sorted(found)]

    def same(left, right):
        return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))

    def any_alike(left, right):
        return any(torch.equal(a, b) for a, b in zip(left, right, strict=True))

    shake(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    dataset = make(seed)
    first = read(dataset, range(6))
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    kept = torch.equal(before[0], after[0]) and before[1:] == after[1:]
    again = read(dataset, range(6))
    shake(2)
    backwards = read(make(seed), [5, 2, 4, 0, 3, 1])
    set_to_zero = make(seed)
    set_to_zero.set_epoch(0)
    zero = read(set_to_zero, range(6))
    dataset.set_epoch(1)
    later = read(dataset, range(6))
    dataset.set_epoch(0)
    returned = read(dataset, range(6))
    return {
        "indices alike": any(torch.equal(first[i], first[j]) for i in range(6) for j in range(i)),
        "epochs alike": any_alike(first, later),
        "seeds alike": any_alike(first, read(make(seed + 1), range(6))),
        "repeated": same(first, again),
        "order does not matter": same(first, backwards),
        "begins with epoch 0": same(first, zero),
        "epoch can be set again": same(first, returned),
        "shifted from epoch to epoch": any(torch.equal(a, b) for a in first for b in later),
        "global states kept": kept,
    }


def batches_of_epochs(student, lengths, batch_size, seed, epochs):
    """What the batches of several epochs are like; for a correct answer, nothing here depends on the draws."""
    import random

    import numpy as np
    import torch

    def shake(number):
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)

    def padding(batches):
        return sum(max(lengths[i] for i in batch) - lengths[index] for batch in batches for index in batch)

    def ask(seed, epoch):
        batches = student.bucket_batches(lengths, batch_size, seed, epoch)
        return [[int(index) for index in batch] for batch in batches]

    given = list(lengths)
    shake(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    asked = [ask(seed, epoch) for epoch in range(epochs)]
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    shake(2)
    again = [ask(seed, epoch) for epoch in reversed(range(epochs))][::-1]
    other_seeds = [ask(seed + more, 0) for more in (1, 2)]

    found = [index for batch in asked[0] for index in batch]
    shuffled = list(range(len(lengths)))
    random.Random(5).shuffle(shuffled)
    in_random_order = [shuffled[start : start + batch_size] for start in range(0, len(shuffled), batch_size)]
    longest = [[max(lengths[i] for i in batch) for batch in batches if batch] for batches in asked]
    members = [sorted(sorted(batch) for batch in batches) for batches in asked]
    return {
        "missing": sorted(set(range(len(lengths))) - set(found))[:5],
        "not an index": sorted(set(found) - set(range(len(lengths))))[:5],
        "repeated": sorted({index for index in found if found.count(index) > 1})[:5],
        "every epoch holds all": all(
            sorted(index for batch in batches for index in batch) == sorted(found) for batches in asked
        ),
        "sizes": sorted(len(batch) for batch in asked[0]),
        "less than half the padding": all(2 * padding(b) < padding(in_random_order) for b in asked + other_seeds),
        "repeatable": asked == again,
        "epochs alike": any(asked[i] == asked[j] for i in range(epochs) for j in range(i)),
        "seeds alike": any(asked[0] == batches for batches in other_seeds) or other_seeds[0] == other_seeds[1],
        "epoch and seed mixed up": asked[1] == other_seeds[0],
        "short to long": any(row == sorted(row) or row == sorted(row)[::-1] for row in longest),
        "same company": any(members[i] == members[j] for i in range(epochs) for j in range(i)),
        "global states kept": torch.equal(before[0], after[0]) and before[1:] == after[1:],
        "lengths kept": list(lengths) == given,
    }


def collate_and_its_samples(student, samples, pad_id):
    return student.collate(samples, pad_id), samples


def make_dataset(student, drawings, concepts, index):
    dataset = student.DrawingDataset(drawings, concepts, {3: [5, 6], 7: [8]}, 1)
    return index is None or len(dataset[index])


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_three_pixels_on_a_background(student):
    """A pixel that is partly there, an opaque one and a transparent one on a background."""
    drawing = torch.tensor([[[250, 30, 90]], [[60, 200, 80]], [[10, 120, 70]], [[102, 255, 0]]], dtype=torch.uint8)
    picture = student.composite(drawing, (0.25, 0.5, 1.0))
    assert_shape(picture, (3, 1, 3), what="picture")
    assert_dtype(picture, "float32", what="picture")
    mixed = [0.4 * 250 / 255 + 0.6 * 0.25, 0.4 * 60 / 255 + 0.6 * 0.5, 0.4 * 10 / 255 + 0.6 * 1.0]
    opaque = [30 / 255, 200 / 255, 120 / 255]
    for column, kind, colour in ((0, "partly there", mixed), (1, "opaque", opaque), (2, "transparent", [0.25, 0.5, 1])):
        assert_close(picture[:, 0, column], torch.tensor(colour), what=f"pixel that is {kind}")


@points(1)
@catches(
    "divided-twice",
    "opacity-ignored",
    "black-background",
    "uint8-overflow",
    "premultiplied-twice",
    "opacity-as-a-mask",
    "float64-picture",
    "background-of-one-number",
)
def test_composite_mixes_drawing_and_background(student, rng):
    """Each pixel is the drawing's colour and the background, mixed by the opacity; float32 between 0 and 1."""
    uneven = (0.75, 0.125, 0.5)
    for case, rgba, background in (
        ("a drawing of 5x7 pixels", random_drawing(rng, 5, 7), uneven),
        ("a background given as a tensor", random_drawing(rng, 3, 4), torch.from_numpy(rng.random(3)).float()),
        ("a black background, given as a list", random_drawing(rng, 4, 6), [0.0, 0.0, 0.0]),
        ("a white background of whole numbers", random_drawing(rng, 6, 2), (1, 1, 1)),
        ("an opaque drawing", random_drawing(rng, 2, 5).index_fill(0, torch.tensor(3), 255), uneven),
        ("a transparent drawing", random_drawing(rng, 5, 3).index_fill(0, torch.tensor(3), 0), uneven),
        ("a drawing of one pixel", random_drawing(rng, 1, 1), uneven),
    ):
        picture, rgba_after, background_after = student.run(composite_and_its_arguments, rgba, background)
        assert_shape(picture, (3, *rgba.shape[1:]), what=f"picture ({case})")
        assert_dtype(picture, "float32", what=f"picture ({case})")
        assert_close(picture.double(), expected_picture(rgba, background), rtol=0, atol=2e-6, what=f"picture ({case})")
        assert_unchanged(rgba_after, rgba, what="drawing given to composite")
        if isinstance(background, Tensor):
            assert_unchanged(background_after, background, what="background given to composite")


@points(1)
@catches(
    "mirrored-at-random",
    "turned-freely",
    "moved-before-opacity-counts",
    "black-borders",
    "edges-smeared",
    "rolled-around",
    "stretched",
    "nearest-pixels",
)
def test_augment_shows_the_whole_truth_of_a_drawing(student, seed):
    """The moved drawing is neither mirrored nor turned far, and all that it does not cover is background."""
    facts = student.run_once(augment_many_times, seed)
    if "kind" in facts:
        dtype, shape = facts["kind"]
        raise AssertionError(
            f"augment of a drawing (4, 24, 64) returned {dtype} {tuple(shape)}; it should be float32 (3, 24, 64)."
        )
    for fact, message in (
        ("out of range", "some values lie outside [0, 1]."),
        ("no plain background", "a transparent drawing does not give one colour all over the picture."),
        (
            "wrong mixture",
            "an opaque drawing gives pixels that are no mixture of its colour and the background. What is at the edge "
            "from which it has been moved away?",
        ),
        (
            "hidden colour",
            "a drawing of one blob gives pixels that are no mixture of the blob's colour and the background: the "
            "colours that its transparent pixels hold can be seen, for example as a rim.",
        ),
        ("lost", "a blob near the middle of the drawing cannot be found in the picture."),
        ("mirrored", "a drawing was mirrored: what was to the right of a blob is to its left, or above is below."),
        ("turned", "a drawing was turned by more than 12 degrees."),
        ("skewed", "the drawing is not scaled by the same factor in both directions."),
        (
            "edges",
            "a drawing that is opaque all over does not cover what it should: its edges are smeared, it comes in again "
            "on the other side, or it ends too early.",
        ),
        ("nearest", "pixels are copied from their nearest neighbour instead of interpolated bilinearly."),
        ("changed", "the drawing given to augment was changed."),
    ):
        if facts[fact]:
            raise AssertionError(f"In augment of drawings (4, 24, 64), with 64 states of the generator: {message}")


@points(1)
@catches(
    "global-random-numbers",
    "generator-seeded-again",
    "background-always-white",
    "grey-backgrounds",
    "shift-twice-as-far",
    "shift-along-the-diagonal",
)
def test_augmentations_differ_as_the_generator_says(student, rng, seed):
    """Scale, shift and background come from the generator alone, each by itself, and use the range they have."""
    found = student.run(augment_under_other_global_seeds, random_drawing(rng, 6, 9), seed)
    if not found["repeated"]:
        raise AssertionError(
            "augment gave two different pictures for two generators in the same state: it draws from elsewhere too."
        )
    if not found["global states kept"]:
        raise AssertionError("augment changed the global random state of torch, numpy or random.")
    if not found["second differs"]:
        raise AssertionError(
            "Two calls of augment one after the other, with the same generator, gave the same picture."
        )
    facts = student.run_once(augment_many_times, seed)
    if "tied" not in facts:
        raise AssertionError("Where augment moves a drawing could not be measured; the check before this one says why.")
    for fact, message in (
        ("scale too far", "the factor goes beyond MIN_SCALE or MAX_SCALE."),
        ("scale alike", "the factor hardly varies."),
        ("shift too far", "the shift is larger than MAX_SHIFT of the width or height. In which unit is yours?"),
        ("shift alike", "the shift does not go both ways, to the left and to the right or up and down."),
        ("shift too small", "the shift does not come near MAX_SHIFT of the width or height. In which unit is yours?"),
        ("background alike", "red, green or blue of the background does not take all values between 0 and 1."),
        (
            "tied",
            "two of factor, shift to the side, shift up or down, red, green and blue go together; each should be drawn "
            "by itself.",
        ),
    ):
        if facts[fact]:
            raise AssertionError(f"In augment of drawings (4, 24, 64), with 64 states of the generator: {message}")


@points(1)
@catches("sum-of-the-numbers", "more-than-32-bits", "digits-side-by-side", "global-generator")
def test_generators_are_named_by_their_numbers(student, seed):
    """The same numbers give the same random numbers, and any other number or order gives others."""
    single = [(0,), (1,), (2,), (99_999,)]
    pairs = [(0, 1), (1, 0), (0, 0), (1, 1), (2, 1), (1, 2), (0, 3), (3, 0), (1, 11), (11, 1)]
    triples = [(seed, epoch, index) for epoch in range(3) for index in (0, 1, 2, 12)]
    triples += [(seed + more, 0, 0) for more in (1, 2, 3)] + [(seed + 1, 1, 1), (1, seed + 30, 0), (0, seed + 30, 1)]
    triples += [(seed, 1, 0 + large) for large in (10, 100, 256, 1000, 1024, 4096, 10_000, 65_536)]
    for calls in (single, pairs, list(dict.fromkeys(triples))):
        asked = [*calls, *calls]  # every one a second time, in another place
        found = student.run(generators_for_many_numbers, asked)
        if found["kinds"] != ["Generator"]:
            raise AssertionError(f"generator_for returned a {found['kinds'][0]}; it should return a torch.Generator.")
        if not found["global states kept"]:
            raise AssertionError("generator_for changed the global random state of torch, numpy or random.")
        if found["one object"]:
            raise AssertionError(
                "Two calls of generator_for returned the same object; each should make a new generator."
            )
        for place, first in enumerate(found["first with the same"]):
            expected = place % len(calls)
            if first == expected:
                continue
            call = f"generator_for{asked[place]}"
            if place >= len(calls) and first == place:
                raise AssertionError(f"{call} was called twice and gave different random numbers.")
            raise AssertionError(f"{call} and generator_for{asked[first]} gave the same random numbers.")


@points(2)
@catches(
    "label-from-the-index",
    "label-counted-anew",
    "name-by-position",
    "same-in-every-epoch",
    "same-for-every-sample",
    "one-generator-for-all",
    "epoch-plus-index",
    "augmented-once",
)
def test_a_sample_depends_on_seed_epoch_and_index_alone(student, rng, seed):
    """A sample holds the drawing, name and concept that belong together, and is the same in any order of reading."""
    concepts = [907, 12, 907, 5, 12, 3001]
    names = {12: [7, 9], 907: [4, 0, 31, 2], 3001: [8], 5: [2, 2, 6]}
    colours = torch.from_numpy(rng.permutation(255)[:24].astype(np.uint8)).reshape(6, 4, 1, 1)
    colours[:, 3] = 255
    drawings = colours.repeat(1, 1, 10, 16)  # (6, 4, height 10, width 16), each of one colour
    is_dataset, length, samples = student.run(read_samples, drawings, concepts, names, seed, list(range(6)))
    if not is_dataset:
        raise AssertionError("DrawingDataset should be a subclass of torch.utils.data.Dataset.")
    assert_equal(length, 6, what="length of a data set of 6 drawings")
    for index, sample in enumerate(samples):
        of = f"of dataset[{index}] (concepts {concepts})"
        if not isinstance(sample, dict):
            raise AssertionError(
                f"dataset[{index}] is, or has the keys, {sample}; it should be a dict of concept, input_ids and pixels."
            )
        if type(sample["concept"]) is not int:
            raise AssertionError(f"The concept {of} is a {type(sample['concept']).__name__}; it should be an int.")
        assert_equal(sample["concept"], concepts[index], what=f"concept {of}")
        tokens = torch.tensor(names[concepts[index]])
        assert_dtype(sample["input_ids"], "int64", what=f"input_ids {of}")
        assert_equal(sample["input_ids"], tokens, what=f"input_ids {of}")
        if tuple(map(str, sample["kind of pixels"])) != ("torch.float32", "[3, 10, 16]"):
            raise AssertionError(f"The pixels {of} are {sample['kind of pixels']}; they should be float32 (3, 10, 16).")
        colour = colours[index, :3, 0, 0] / 255
        assert_close(sample["middle"], colour, atol=1e-4, what=f"colour in the middle of the pixels {of}")

    found = student.run(read_in_other_orders, random_drawing(rng, 10, 16), seed)
    for fact, wanted, message in (
        ("repeated", True, "Reading the samples a second time, in the same epoch, gave other pixels."),
        (
            "order does not matter",
            True,
            "The pixels of a sample depend on what was read before it, or on global seeds.",
        ),
        ("begins with epoch 0", True, "Before set_epoch is called, the pixels are not those of epoch 0."),
        ("epoch can be set again", True, "After set_epoch(1), set_epoch(0) does not bring back the pixels of epoch 0."),
        ("indices alike", False, "Two samples of the same drawing have the same augmentation in the same epoch."),
        ("epochs alike", False, "A sample has the same pixels in epoch 0 and in epoch 1."),
        ("seeds alike", False, "A sample has the same pixels for two different seeds."),
        (
            "shifted from epoch to epoch",
            False,
            "A sample has in epoch 1 the augmentation that another sample had in epoch 0 already.",
        ),
        ("global states kept", True, "Reading samples changed the global random state of torch, numpy or random."),
    ):
        if found[fact] != wanted:
            raise AssertionError(message)


@points(1)
@catches(
    "last-batch-dropped",
    "not-bucketed",
    "sorted-every-time",
    "short-before-long",
    "same-company",
    "epoch-ignored",
    "seed-plus-epoch",
    "global-shuffle",
    "lengths-sorted",
)
def test_batches_are_alike_in_length_and_else_random(student, rng, seed):
    """Every index is in one batch, lengths in a batch are similar, and all else changes with seed and epoch."""
    many = rng.integers(3, 13, 202).tolist()
    for case, lengths, batch_size in (
        ("202 samples in batches of 6", many, 6),
        ("40 samples of equal length in batches of 7", [5] * 40, 7),
        ("17 samples of two lengths in batches of 4", [4, 9, 4, 9, 4] * 3 + [9, 9], 4),
        ("3 samples in batches of 5", [8, 2, 2], 5),
        ("one sample in batches of 3", [4], 3),
        ("30 samples in batches of 1", (many[:27] + [3, 3, 12]), 1),
    ):
        found = student.run(batches_of_epochs, lengths, batch_size, seed, 3)
        if found["not an index"] or found["repeated"] or found["missing"] or not found["every epoch holds all"]:
            raise AssertionError(
                f"The batches of an epoch ({case}) should hold each index once; missing are {found['missing']}, "
                f"repeated {found['repeated']}, no index at all {found['not an index']} (five of each at most)."
            )
        full, rest = divmod(len(lengths), batch_size)
        assert_equal(found["sizes"], [rest] * (rest > 0) + [batch_size] * full, what=f"sorted list of sizes ({case})")
        if not found["lengths kept"]:
            raise AssertionError(f"The list of lengths was changed ({case}).")
        if not found["global states kept"]:
            raise AssertionError(f"The global random state of torch, numpy or random was changed ({case}).")
        if not found["repeatable"]:
            raise AssertionError(f"Two calls with the same seed and epoch gave different batches ({case}).")
        if len(lengths) < 10:
            continue
        if found["epochs alike"]:
            raise AssertionError(f"Two of the epochs 0, 1 and 2 have the same batches in the same order ({case}).")
        if found["seeds alike"]:
            raise AssertionError(f"Two seeds gave the same batches in the same order ({case}).")
        if found["epoch and seed mixed up"]:
            raise AssertionError(
                f"Seed {seed} in epoch 1 gave the same batches as seed {seed + 1} in epoch 0 ({case})."
            )
        if batch_size > 1 and found["same company"]:
            raise AssertionError(
                f"The samples that share a batch are the same in two of the epochs 0, 1 and 2 ({case}): of the samples "
                "of one length, always the same ones meet."
            )
        if lengths is many and not found["less than half the padding"]:
            raise AssertionError(f"The padding is at least half of what batches in random order need ({case}).")
        if len(set(lengths)) > 2 and found["short to long"]:
            raise AssertionError(
                f"The batches of an epoch come from short to long or from long to short ({case}); their order should "
                "be random."
            )


@points(1)
@catches(
    "mask-from-the-pad-id",
    "padded-with-zeros",
    "padded-on-the-left",
    "positions-as-concepts",
    "divided-again-in-the-batch",
    "sorted-by-length",
    "mask-inverted",
)
def test_collate_pads_masks_and_keeps_concepts(student, rng):
    """A batch holds pixels and concepts as they are and names padded on the right, with masks that follow lengths."""
    rows = [([5, 17, 4], 60), ([5, 2, 2, 9, 31, 4], 7), ([4], 60), ([5, 8, 2], 903)]
    samples = [
        {
            "pixels": torch.from_numpy(rng.random((3, 4, 6))).float(),
            "input_ids": torch.tensor(tokens),
            "concept": concept,
        }
        for tokens, concept in rows
    ]
    for case, chosen, pad_id in (
        ("pad_id 2, which names contain", samples, 2),
        ("pad_id 0", samples[2:] + samples[:1], 0),
        ("pad_id 77", samples[2:], 77),
        ("a single sample", samples[1:2], 2),
        ("equal lengths", [samples[3], samples[0]], 2),
    ):
        batch, after = student.run(collate_and_its_samples, chosen, pad_id)
        if not isinstance(batch, dict) or set(batch) != set(BATCH):
            found = f"a dict with the keys {sorted(batch)}" if isinstance(batch, dict) else type(batch).__name__
            raise AssertionError(f"collate ({case}) returned {found}; it should return a dict of {sorted(BATCH)}.")
        longest = max(len(sample["input_ids"]) for sample in chosen)
        tokens, mask = np.full((len(chosen), longest), pad_id), np.zeros((len(chosen), longest), dtype=np.int64)
        for row, sample in enumerate(chosen):
            for column, token in enumerate(sample["input_ids"].tolist()):
                tokens[row, column], mask[row, column] = token, 1
        expected = {
            "pixels": torch.cat([sample["pixels"][None] for sample in chosen]),
            "input_ids": torch.from_numpy(tokens),
            "attention_mask": torch.from_numpy(mask),
            "concepts": torch.tensor([sample["concept"] for sample in chosen]),
        }
        for key, value in expected.items():
            what = f"{key} of the batch ({case})"
            assert_shape(batch[key], tuple(value.shape), what=what)
            assert_dtype(batch[key], BATCH[key], what=what)
            assert_equal(batch[key], value, what=what)
        for sample, sample_after in zip(chosen, after, strict=True):
            for key in ("pixels", "input_ids"):
                assert_unchanged(sample_after[key], sample[key], what=f"{key} of a sample given to collate")


@points(1)
@catches("any-drawing-accepted", "any-background-accepted", "no-samples-accepted", "concepts-uncounted")
def test_what_makes_no_batch_is_refused(student, rng):
    """Other shapes, dtypes and backgrounds, empty lists and batch sizes below 1 are refused."""
    good, grey = random_drawing(rng, 5, 4), (0.5, 0.5, 0.5)
    for what, rgba, background in (
        ("a float32 drawing", good.float() / 255, grey),
        ("an int64 drawing", good.long(), grey),
        ("a drawing (5, 4, 4)", good.permute(1, 2, 0), grey),
        ("a drawing (3, 5, 4)", good[:3], grey),
        ("a drawing (1, 4, 5, 4)", good[None], grey),
        ("a drawing (4, 5)", good[:, :, 0], grey),
        ("a background of four numbers", good, (0.5, 0.5, 0.5, 1.0)),
        ("a background of two numbers", good, (0.5, 0.5)),
        ("a background of -0.1", good, (0.5, -0.1, 0.5)),
        ("a background of 1.2", good, (1.2, 0.5, 0.5)),
        ("a background from 0 to 255", good, (128, 255, 0)),
        ("a background of NaN", good, torch.tensor([0.5, 0.5, float("nan")])),
    ):
        with raises(ValueError, what=f"composite with {what}"):
            student.composite(rgba, background)
    drawings = torch.stack([good, good, good])
    for what, several, concepts in (
        ("no drawing", drawings[:0], []),
        ("3 drawings and 2 concepts", drawings, [3, 7]),
        ("3 drawings and 4 concepts", drawings, [3, 7, 7, 3]),
        ("float32 drawings", drawings / 255, [3, 7, 7]),
        ("drawings (3, 3, 5, 4)", drawings[:, :3], [3, 7, 7]),
        ("drawings (3, 4, 5)", drawings[:, :, :, 0], [3, 7, 7]),
        ("drawings (3, 4, 1, 5, 4)", drawings[:, :, None], [3, 7, 7]),
    ):
        with raises(ValueError, what=f"DrawingDataset of {what}"):
            student.run(make_dataset, several, concepts, None)
    student.run(make_dataset, drawings, [3, 7, 7], 2)  # the last index there is
    for index in (3, 8):
        with raises(IndexError, what=f"dataset[{index}] in a data set of 3"):
            student.run(make_dataset, drawings, [3, 7, 7], index)
    for lengths, batch_size in (([], 4), ([3, 4], 0), ([3, 4], -2)):
        with raises(ValueError, what=f"bucket_batches({lengths}, {batch_size}, 0, 0)"):
            student.bucket_batches(lengths, batch_size, 0, 0)
    with raises(ValueError, what="collate of no samples"):
        student.collate([], 0)
