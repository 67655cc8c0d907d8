"""Hidden checks of data/image_text_pairs. The oracle for images is a resize written out as two matrices, in float64."""

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

MEAN, STD = (0.45, 0.3, 0.6), (0.25, 0.2, 0.3)
DTYPES = {"pixel_values": "float32", "input_ids": "int64", "attention_mask": "int64", "labels": "int64"}
TEXTS = ["a red kite", "snow", "two brown dogs on a wet street at night", "", "the cat", "one more walk in the rain"]


def random_images(rng: np.random.Generator, sizes: list[tuple[int, int]]) -> list[Tensor]:
    return [torch.from_numpy(rng.integers(0, 256, (3, *size), dtype=np.uint8)) for size in sizes]


def tokens_of(text: str, max_length: int) -> list[int]:
    """What the tokenizer of the probe makes of a text: start, one id a word, end; words are cut, not the end."""
    return [1, *(3 + (7 * len(word) + ord(word[0])) % 90 for word in text.split()[: max_length - 2]), 2]


def triangle_weights(size: int, new_size: int) -> np.ndarray:
    """Matrix (new_size, size) of an antialiased linear resize: a triangle around each new pixel's centre."""
    scale = size / new_size
    centres = (np.arange(new_size)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(size) + 0.5 - centres) / max(scale, 1.0)
    weights = np.maximum(0.0, 1.0 - distance)
    return weights / weights.sum(axis=1, keepdims=True)


def expected_pixels(image: Tensor, size: int, mean=MEAN, std=STD) -> np.ndarray:
    pixels = image.numpy() / 255.0  # float64, (3, height, width)
    pixels = triangle_weights(pixels.shape[1], size) @ pixels @ triangle_weights(pixels.shape[2], size).T
    return np.stack([(pixels[c] - mean[c]) / std[c] for c in range(3)])


def read_items(student, images, texts, labels, size, mean, std, max_length, indices, overwrite=False):
    """Items of a data set, copied; with `overwrite`, each is filled with 77 after it has been copied."""
    import torch

    class Tokenizer:
        pad_token_id = 2
        eos_token_id = 2

        def __call__(self, text, truncation=False, max_length=None, padding=False, return_tensors=None, **options):
            if isinstance(text, list | tuple):
                rows = [self(one, truncation, max_length, padding) for one in text]
                return {key: [row[key] for row in rows] for key in ("input_ids", "attention_mask")}
            words = text.split()
            if truncation and max_length is not None:
                words = words[: max_length - 2]
            ids = [1, *(3 + (7 * len(word) + ord(word[0])) % 90 for word in words), 2]
            missing = max_length - len(ids) if padding == "max_length" else 0
            tokens = {"input_ids": ids + [2] * missing, "attention_mask": [1] * len(ids) + [0] * missing}
            if return_tensors == "pt":
                return {key: torch.tensor([values]) for key, values in tokens.items()}
            return tokens

    dataset = student.PairDataset(images, texts, labels, Tokenizer(), size, mean, std, max_length)
    items = []
    for index in indices:
        item = dataset[index]
        if isinstance(item, dict):
            items.append({key: value.clone() if torch.is_tensor(value) else value for key, value in item.items()})
        else:
            items.append(type(item).__name__)
        if overwrite:
            for value in item.values():
                value.fill_(77)
    return isinstance(dataset, torch.utils.data.Dataset), len(dataset), items, images, labels


def items_of(student, images, texts, labels, size=5, mean=MEAN, std=STD, max_length=8, indices=None, overwrite=False):
    """The items asked for, each checked to be a dict of the four tensors."""
    indices = list(range(len(images))) if indices is None else indices
    is_dataset, length, items, *_ = student.run(
        read_items, images, texts, labels, size, mean, std, max_length, indices, overwrite
    )
    if not is_dataset:
        raise AssertionError("PairDataset should be a subclass of torch.utils.data.Dataset.")
    assert_equal(length, len(images), what=f"length of a data set of {len(images)} pairs")
    for index, item in zip(indices, items, strict=True):
        if not isinstance(item, dict):
            raise AssertionError(f"dataset[{index}] is of type {item}; it should be a dict.")
        if set(item) != set(DTYPES):
            raise AssertionError(f"dataset[{index}] has the keys {sorted(item)}; they should be {sorted(DTYPES)}.")
        for key, value in item.items():
            if not isinstance(value, Tensor):
                raise AssertionError(f"{key} of dataset[{index}] is of type {type(value).__name__}, not a tensor.")
    return items


def join_items(student, items, pad_id):
    """The batch, and the items after the call."""
    return student.collate(items, pad_id), items


def random_item(rng: np.random.Generator, size: int, tokens: list[int], mask: list[int], label: int) -> dict:
    pixels = torch.from_numpy(rng.normal(size=(3, size, size))).float()
    return {
        "pixel_values": pixels,
        "input_ids": torch.tensor(tokens),
        "attention_mask": torch.tensor(mask),
        "labels": torch.tensor(label),
    }


def assert_batch(student, items: list[dict], pad_id: int, case: str) -> None:
    batch, items_after = student.run(join_items, items, pad_id)
    if not isinstance(batch, dict) or set(batch) != set(DTYPES):
        found = f"a dict with the keys {sorted(batch)}" if isinstance(batch, dict) else type(batch).__name__
        raise AssertionError(f"collate ({case}) returned {found}; it should return a dict of {sorted(DTYPES)}.")
    longest = max(len(item["input_ids"]) for item in items)
    rows = {
        "input_ids": [item["input_ids"].tolist() + [pad_id] * (longest - len(item["input_ids"])) for item in items],
        "attention_mask": [
            item["attention_mask"].tolist() + [0] * (longest - len(item["attention_mask"])) for item in items
        ],
    }
    expected = {key: torch.tensor(values) for key, values in rows.items()}
    expected["labels"] = torch.tensor([item["labels"].item() for item in items])
    expected["pixel_values"] = torch.cat([item["pixel_values"][None] for item in items])
    for key, value in expected.items():
        what = f"{key} of the batch ({case})"
        assert_shape(batch[key], tuple(value.shape), what=what)
        assert_dtype(batch[key], DTYPES[key], what=what)
        assert_equal(batch[key], value, what=what)
    for before, after in zip(items, items_after, strict=True):
        for key in DTYPES:
            assert_unchanged(after[key], before[key], what=f"{key} of an item given to collate")


def make_pairs_with_a_new_generator(student, group_ids, neg_per_pos):
    import numpy as np

    return [tuple(map(int, pair)) for pair in student.make_pairs(group_ids, neg_per_pos, np.random.default_rng(0))]


@points(1)
@visible
def test_two_pairs_become_a_batch(student):
    """The two pairs of the notebook become items and a batch; three pairs give matches and mismatches."""
    images = [torch.zeros(3, 4, 4, dtype=torch.uint8), torch.full((3, 6, 9), 255, dtype=torch.uint8)]
    items = items_of(student, images, ["a black square", "snow"], [1, 0], 4, (0.5, 0.25, 0.5), (0.5, 0.5, 0.25))
    for item, colour, length, label in zip(items, ([-1.0, -0.5, -2.0], [1.0, 1.5, 2.0]), (5, 3), (1, 0), strict=True):
        assert_shape(item["pixel_values"], (3, 4, 4), what="pixel_values")
        assert_close(item["pixel_values"][:, 1, 2], torch.tensor(colour), atol=1e-5, what="pixel at (1, 2)")
        assert_shape(item["input_ids"], (length,), what="input_ids")
        assert_equal(item["labels"], torch.tensor(label), what="label")
    assert_batch(student, items, 2, "the two items of the notebook")
    pairs = [tuple(pair) for pair in student.run(make_pairs_with_a_new_generator, ["cat", "dog", "cat"], 1)]
    if len(pairs) != 6 or not {(0, 0, 1), (1, 1, 1), (2, 2, 1), (0, 1, 0), (2, 1, 0)} <= set(pairs):
        raise AssertionError(f"make_pairs(['cat', 'dog', 'cat'], 1, rng) returned {pairs}.")


@points(1)
@catches("leading-axis", "padded-to-the-maximum", "float64-pixels", "label-with-an-axis")
def test_an_item_has_no_batch_axis(student, rng):
    """An item holds four tensors of the promised shapes and dtypes, without a batch axis and without padding."""
    images = random_images(rng, [(5, 5), (7, 9), (3, 8)])
    for kind, mean in (("tuple", MEAN), ("NumPy array", np.array(MEAN))):
        items = items_of(student, images, TEXTS[:3], [1, 0, 1], mean=mean, max_length=7)
        for index, item in enumerate(items):
            length = len(tokens_of(TEXTS[index], 7))
            shapes = {"pixel_values": (3, 5, 5), "input_ids": (length,), "attention_mask": (length,), "labels": ()}
            for key, shape in shapes.items():
                what = f"{key} of dataset[{index}] (text {TEXTS[index]!r}, max_length 7, mean as a {kind})"
                assert_shape(item[key], shape, what=what, cause="one item has no batch axis, and is not padded")
                assert_dtype(item[key], DTYPES[key], what=what)


@points(2)
@catches(
    "not-normalised",
    "not-scaled-to-one",
    "resized-as-integers",
    "not-antialiased",
    "corners-aligned",
    "centre-crop",
    "only-the-width-compared",
    "normalised-along-the-width",
    "divided-by-the-variance",
)
def test_pixels_are_resized_and_normalised(student, rng):
    """Pixel values are scaled to 0 to 1, resized with antialiasing where needed, and normalised channel by channel."""
    for size, shapes in ((5, [(5, 5), (12, 12), (9, 14), (3, 4), (8, 5), (5, 11)]), (3, [(3, 3), (6, 4)])):
        images = random_images(rng, shapes)
        items = items_of(student, images, TEXTS[: len(shapes)], [0] * len(shapes), size)
        for image, item, shape in zip(images, items, shapes, strict=True):
            what = f"pixel_values of a {shape[0]}x{shape[1]} image with image_size {size}"
            assert_shape(item["pixel_values"], (3, size, size), what=what)
            assert_close(item["pixel_values"].double(), expected_pixels(image, size), rtol=1e-5, atol=2e-5, what=what)


@points(1)
@catches("label-from-the-index", "tokens-cut-off", "never-truncated")
def test_tokens_and_labels_are_those_of_the_pair(student, rng):
    """Tokens are those of the pair's text, truncated by the tokenizer; labels are those given."""
    images = random_images(rng, [(5, 5)] * 6)
    for labels in ([1, 1, 0, 1, 0, 0], torch.tensor([0, 0, 0, 1, 1, 0])):
        for max_length in (20, 5):
            items = items_of(student, images, TEXTS, labels, max_length=max_length)
            for index, (item, text) in enumerate(zip(items, TEXTS, strict=True)):
                expected = torch.tensor(tokens_of(text, max_length))
                case = f"of dataset[{index}] (text {text!r}, max_length {max_length})"
                assert_equal(item["input_ids"], expected, what=f"input_ids {case}")
                assert_equal(item["attention_mask"], torch.ones_like(expected), what=f"attention_mask {case}")
                assert_equal(item["labels"].item(), int(labels[index]), what=f"label {case} with labels {labels}")


@points(1)
@catches("shared-tensors", "labels-are-views", "negative-index-refused", "index-wraps-around")
def test_every_access_gives_fresh_tensors(student, rng):
    """Writing into an item changes neither the next access nor the data; indices count from both ends."""
    images, labels = random_images(rng, [(5, 5), (5, 5), (6, 4)]), torch.tensor([1, 0, 1])
    reads = [0, 1, 2, -1, -2, -3]
    first = items_of(student, images, TEXTS[:3], labels, indices=reads)
    for earlier, later in ((2, -1), (1, -2), (0, -3)):
        for key in DTYPES:
            what = f"{key} of dataset[{later}] in a data set of 3"
            assert_equal(first[reads.index(later)][key], first[earlier][key], what=what)
    again = items_of(student, images, TEXTS[:3], labels, indices=reads + reads, overwrite=True)
    for place, (index, item) in enumerate(zip(reads + reads, again, strict=True)):
        for key in DTYPES:
            what = f"{key} of dataset[{index}] after the items read before were overwritten"
            assert_equal(item[key], first[place % 6][key], what=what, cause="a tensor that is shared, not made anew")
    *_, images_after, labels_after = student.run(
        read_items, images, TEXTS[:3], labels, 5, MEAN, STD, 8, [0, 1, 2, 0, 1, 2], True
    )
    for before, after in zip([*images, labels], [*images_after, labels_after], strict=True):
        assert_unchanged(after, before, what="image or label given to the data set")
    for index in (3, -4, 7):
        with raises(IndexError, what=f"dataset[{index}] in a data set of 3"):
            student.run(read_items, images, TEXTS[:3], labels, 5, MEAN, STD, 8, [index])


@points(1)
@catches(
    "mask-one-on-padding",
    "mask-from-the-pad-id",
    "padded-with-zeros",
    "padded-on-the-left",
    "padded-to-a-fixed-length",
    "sorted-by-length",
    "masks-made-anew",
)
def test_a_batch_is_padded_on_the_right_and_masked(student, rng):
    """Texts are padded on the right to the longest of the batch, and the masks tell padding from tokens."""
    rows = [([1, 33, 2], 1), ([1, 8, 2, 9, 31, 2], 0), ([1, 2], 1), ([1, 44, 45, 2], 1)]
    items = [random_item(rng, 4, tokens, [1] * len(tokens), label) for tokens, label in rows]
    assert_batch(student, items, 2, "lengths 3, 6, 2 and 4; pad_id 2 is the end token as well")
    assert_batch(student, items[:1] + items[2:], 57, "lengths 3, 2 and 4; pad_id 57")
    assert_batch(student, items[1:2], 57, "a single item")
    assert_batch(student, [items[0], random_item(rng, 4, [1, 5, 2], [1, 1, 1], 0)], 0, "equal lengths")
    masked = random_item(rng, 4, [1, 6, 7, 2, 2], [1, 0, 1, 1, 0], 0)
    assert_batch(student, [masked, *items[:2]], 2, "one item's own mask holds zeros")


def draw_pairs(student, group_ids, neg_per_pos, seed, times):
    """What the lists from one generator have in common; for a correct answer nothing here depends on the draws."""
    import numpy as np

    np.random.seed(7)
    state = np.random.get_state()
    rng = np.random.default_rng(seed)
    lists = [[tuple(map(int, pair)) for pair in student.make_pairs(group_ids, neg_per_pos, rng)] for _ in range(times)]
    again = [tuple(map(int, pair)) for pair in student.make_pairs(group_ids, neg_per_pos, np.random.default_rng(seed))]
    after = np.random.get_state()
    mismatches = [[pair for pair in pairs if pair[2] != 1] for pairs in lists]
    return {
        "combinations": sorted({pair for pairs in lists for pair in pairs}),
        "repeated": sorted({len(pairs) - len(set(pairs)) for pairs in lists}),
        "counts": sorted(
            {
                tuple(sum(pair[0] == image and (pair[2] == 1) == match for pair in pairs) for match in (True, False))
                for pairs in lists
                for image in range(len(group_ids))
            }
        ),
        "reproducible": again == lists[0],
        "global state kept": state[2] == after[2] and bool((state[1] == after[1]).all()),
        "one shift": max(len({(j - i) % len(group_ids) for i, j, _ in pairs}) for pairs in mismatches) <= 1,
        "one text": max(len({j for _, j, _ in pairs}) for pairs in mismatches) <= neg_per_pos + 1,
    }


@points(2)
@catches(
    "mismatches-share-the-group",
    "mismatches-repeated",
    "always-the-next-group",
    "one-draw-for-all-images",
    "drawn-from-all-combinations",
    "group-called-a-match",
    "global-random-numbers",
)
def test_mismatches_come_from_other_groups(student, seed):
    """Each pair is a match once; each image gets its number of different mismatches, all from other groups."""
    for group_ids, number in (
        (["a", "b", "a", "c", "a", "b", "d"], 2),
        ([4, 4, 9, 9, 9, 1], 3),
        ([0, 1, 2, 3, 4], 0),
        ([5, 5, 5], 0),
        (np.array([2, 7, 2, 8, 8, 3, 1]), 1),
    ):
        found = student.run(draw_pairs, group_ids, number, seed, 120)
        groups = [name.item() if hasattr(name, "item") else name for name in group_ids]
        call = f"make_pairs({groups}, {number}, rng)"
        indices = range(len(groups))
        for image, text, label in found["combinations"]:
            if label not in (0, 1) or image not in indices or text not in indices or (label == 1 and image != text):
                raise AssertionError(f"{call} holds {(image, text, label)}, which is not asked for.")
            if label == 0 and groups[image] == groups[text]:
                raise AssertionError(
                    f"{call} calls {(image, text, label)} a mismatch, but both are of group {groups[image]!r}."
                )
        if found["repeated"] != [0]:
            raise AssertionError(f"{call} holds a combination of image, text and label twice.")
        if found["counts"] != [(1, number)]:
            raise AssertionError(
                f"In 120 lists of {call}, an image has (matches, mismatches) of {found['counts']}; "
                f"each image should have 1 match and {number} mismatches in every list."
            )
        if not found["reproducible"]:
            raise AssertionError(f"{call} gave two different lists for two generators in the same state.")
        if not found["global state kept"]:
            raise AssertionError(f"{call} changed NumPy's global random state; draw from `rng` alone.")
        possible = {(i, j, 0) for i in indices for j in indices if groups[i] != groups[j] and number}
        missing = sorted(possible - set(found["combinations"]))
        if missing:
            raise AssertionError(
                f"In 120 lists of {call}, {len(missing)} of {len(possible)} possible mismatches never came up, "
                f"among them {missing[0]}: every text of another group should have the same chance."
            )
    found = student.run(draw_pairs, list(range(9)), 1, seed, 30)
    for key, what in (("one shift", "are shifted by the same number against their images"), ("one text", "are alike")):
        if found[key]:
            raise AssertionError(
                f"In each of 30 lists of make_pairs(range(9), 1, rng) the texts of the mismatches {what}; draw for "
                "each image anew."
            )


@points(1)
@catches("lengths-unchecked", "any-image-accepted", "any-label-accepted", "fewer-mismatches")
def test_what_makes_no_pairs_is_refused(student, rng):
    """Lists of different lengths, other images and labels, empty batches and impossible mismatches are refused."""
    good = random_images(rng, [(5, 5), (6, 4)])
    for what, images, texts, labels in (
        ("2 images and 3 texts", good, ["a", "b", "c"], [0, 1]),
        ("2 images and 1 text", good, ["a"], [0, 1]),
        ("2 images and 3 labels", good, ["a", "b"], [0, 1, 0]),
        ("2 images and 1 label", good, ["a", "b"], [0]),
        ("a float32 image", [good[0].float() / 255, good[1]], ["a", "b"], [0, 1]),
        ("an int64 image", [good[0], good[1].long()], ["a", "b"], [0, 1]),
        ("an image of shape (5, 4, 3)", [good[0], torch.zeros(5, 4, 3, dtype=torch.uint8)], ["a", "b"], [0, 1]),
        ("an image of shape (1, 5, 5)", [good[0][:1], good[1]], ["a", "b"], [0, 1]),
        ("an image of shape (1, 3, 5, 5)", [good[0][None], good[1]], ["a", "b"], [0, 1]),
        ("an image of shape (5, 5)", [good[0][0], good[1]], ["a", "b"], [0, 1]),
        ("a label 2", good, ["a", "b"], [0, 2]),
        ("a label -1", good, ["a", "b"], torch.tensor([-1, 1])),
        ("a label 0.5", good, ["a", "b"], [0.5, 1]),
    ):
        with raises(ValueError, what=f"PairDataset with {what}"):
            student.run(read_items, images, texts, labels, 5, MEAN, STD, 8, [])
    with raises(ValueError, what="collate of no items"):
        student.collate([], 0)
    for group_ids, number in (
        (["a", "a", "a"], 1),
        (["a", "a", "b", "c"], 3),
        (["a", "b", "a", "a", "a"], 2),
        ([1, 2, 3], 3),
        ([1, 2, 3], -1),
    ):
        with raises(ValueError, what=f"make_pairs({group_ids}, {number}, rng)"):
            student.run(make_pairs_with_a_new_generator, group_ids, number)
