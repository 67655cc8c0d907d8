"""Hidden checks of data/pair_consistent_augmentation. Expected values are made letter by letter and pixel by pixel."""

from __future__ import annotations

import numpy as np

from grader.checking import (
    assert_claims,
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

CLAIMS = {
    "mirror_alone": False,
    "hue_shift": True,
    "copies_for_data": False,
    "split_after": True,
    "corner_by_corner": False,
    "crops_only": True,
    "mixgen_adds_texts": True,
    "words_suffice": False,
}
SPELLINGS = [
    ("left", "right"),
    ("Left", "Right"),
    ("LEFT", "RIGHT"),
    ("leftmost", "rightmost"),
    ("Leftmost", "Rightmost"),
    ("LEFTMOST", "RIGHTMOST"),
]
EXCHANGED = {**dict(SPELLINGS), **{right: left for left, right in SPELLINGS}}
OTHER_WORDS = [
    "bright",
    "leftover",
    "copyright",
    "Righteous",
    "lefty",
    "upright",
    "a",
    "kite",
    "lEFt",
    "riGht",
    "LeftMost",
]
NO_BOXES = np.zeros((0, 4))


def exchanged(caption: str) -> str:
    """Letter by letter: a run of letters is a word, and each word is looked up."""
    result, word = [], ""
    for letter in caption + "\0":
        if letter.isalpha():
            word += letter
        else:
            result.append(EXCHANGED.get(word, word) + letter)
            word = ""
    return "".join(result)[:-1]


def random_image(rng: np.random.Generator, height: int, width: int, channels: int, dtype=np.uint8) -> np.ndarray:
    return rng.integers(0, 2 if dtype == np.bool_ else 200, (height, width, channels)).astype(dtype)


def random_boxes(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    x = np.sort(rng.integers(0, 8 * width + 1, (count, 2)), axis=1) / 8
    y = np.sort(rng.integers(0, 8 * height + 1, (count, 2)), axis=1) / 8
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)


def flip_and_look_at_the_memory(student, image, caption, boxes, contains_text, channels_first=False):
    """What flip_pair returned, how its image lies in memory, and the arguments after the call."""
    import numpy as np

    if channels_first:  # the same values, laid out in memory channel by channel
        image = np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    result = student.flip_pair(image, caption, boxes, contains_text=contains_text)
    if not isinstance(result, tuple | list) or len(result) != 4:
        return None
    new_image, _, new_boxes, _ = result
    if not isinstance(new_image, np.ndarray) or not isinstance(new_boxes, np.ndarray):
        return [type(part).__name__ for part in result]
    return {
        "result": tuple(result),
        "contiguous": bool(new_image.flags["C_CONTIGUOUS"]),
        "read backwards": min(new_image.strides, default=0) < 0,
        "image shared": bool(np.shares_memory(new_image, image)),
        "boxes shared": isinstance(boxes, np.ndarray) and bool(np.shares_memory(new_boxes, boxes)),
        "arguments": (image.copy(), boxes),
    }


def flip(student, image, caption, boxes, case, *, contains_text=False, channels_first=False):
    """Image, caption, boxes and flag, after looking at what holds for every call."""
    looked = student.run(flip_and_look_at_the_memory, image, caption, boxes, contains_text, channels_first)
    if looked is None or isinstance(looked, list):
        found = f"({', '.join(looked)})" if looked else "something else"
        raise AssertionError(f"flip_pair ({case}) should return (array, str, array, bool); it returned {found}.")
    image_after, boxes_after = looked["arguments"]
    assert_unchanged(image_after, image, what=f"image given to flip_pair ({case})")
    assert_unchanged(np.array(boxes_after), np.array(boxes), what=f"array of boxes given to flip_pair ({case})")
    new_image, new_caption, new_boxes, flipped = looked["result"]
    assert_shape(new_image, image.shape, what=f"image ({case})")
    assert_shape(new_boxes, np.shape(boxes), what=f"array of boxes ({case})")
    if not isinstance(flipped, bool | np.bool_):
        raise AssertionError(f"flipped ({case}) is of type {type(flipped).__name__}; it should be True or False.")
    return looked, new_image, new_caption, new_boxes, bool(flipped)


def look_at_the_memory_of_the_image(looked, case):
    """The image returned is an array of its own, in C order."""
    if looked["image shared"]:
        raise AssertionError(f"The image returned shares memory with the argument ({case}); copy it.")
    if looked["read backwards"]:
        raise AssertionError(
            f"The image returned is a view that is read backwards ({case}): torch.from_numpy refuses negative strides."
        )
    if not looked["contiguous"]:
        raise AssertionError(
            f"The image returned is not C-contiguous ({case}). np.array(…) and np.copy(…) make a copy in the memory "
            "order of what they are given, unless they are asked for another one."
        )


def check_captions(student, captions):
    """All calls first, then a look at them: a caption and what becomes of it."""
    answers = [student.swap_left_and_right(caption) for caption, _ in captions]
    for (caption, expected), found in zip(captions, answers, strict=True):
        if found != expected:
            student.swap_left_and_right(caption)  # once more: the message shows the last call
            raise AssertionError(f"The result for {caption!r} is {found!r}; it should be {expected!r}.")


@points(1)
@visible
def test_two_rows_and_three_columns(student):
    """Captions, image and boxes of the notebook's example are flipped as shown there."""
    check_captions(
        student,
        [
            ("the LEFT cup, right of the leftmost lamp", "the RIGHT cup, left of the rightmost lamp"),
            ("a bright kite", "a bright kite"),
        ],
    )
    photo = np.array([[[1], [2], [3]], [[4], [5], [6]]], dtype=np.uint8)
    boxes = [[0, 0, 1, 2], [0.5, 1, 3, 2]]
    _, image, caption, new_boxes, flipped = flip(student, photo, "Left, a tree", boxes, "the notebook's example")
    assert_dtype(image, "uint8", what="image")
    assert_equal(image[:, :, 0], np.array([[3, 2, 1], [6, 5, 4]]), what="first channel of the image")
    assert_equal(caption, "Right, a tree", what="caption")
    assert_close(new_boxes, np.array([[2, 0, 3, 2], [0, 1, 2.5, 2]]), what="array of boxes")
    assert_equal(flipped, True, what="flag flipped")
    _, image, caption, _, flipped = flip(student, photo, "turn right", NO_BOXES, "with text", contains_text=True)
    if np.array_equal(image, photo[:, ::-1]):
        raise AssertionError("With contains_text=True the image was mirrored; it should stay as it is.")
    assert_equal(image, photo, what="image returned with contains_text=True")
    assert_equal(caption, "turn right", what="caption returned with contains_text=True")
    assert_equal(flipped, False, what="flag flipped with contains_text=True")


@points(3)
@catches("published-claims", "words-are-enough")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "sequential-replacements",
    "case-lost",
    "capitals-missed",
    "capitals-throughout-missed",
    "only-between-spaces",
    "hyphens-join-words",
    "leftmost-forgotten",
)
def test_words_change_sides(student):
    """Left and right, leftmost and rightmost change places, in lower, Capitalised and UPPER case."""
    check_captions(
        student,
        [
            ("left and right", "right and left"),
            ("right left right", "left right left"),
            ("Left shoe, RIGHT shoe", "Right shoe, LEFT shoe"),
            ("the leftmost of three, not the Rightmost", "the rightmost of three, not the Leftmost"),
            ("a left-hand glove; the door (right).", "a right-hand glove; the door (left)."),
            ("RIGHTMOST/LEFTMOST", "LEFTMOST/RIGHTMOST"),
            ("the left's and the right's", "the right's and the left's"),
            ("Right", "Left"),
            ("left\nLeft\tright", "right\nRight\tleft"),
        ],
    )


@points(1)
@catches(
    "parts-of-words-replaced", "mixed-case-made-lower", "spaces-tidied", "first-word-only", "a-word-keeps-the-place"
)
def test_nothing_else_in_a_caption_changes(student, rng):
    """Words that only contain left or right, other case patterns, spaces and punctuation stay as they are."""
    captions = [
        "bright leftover copyright",
        "lEFt, riGht",
        "",
        "  two  spaces left\n",
        "the man on the left of the left bus",
        "TMP, left; temp, tmp, XXX, swap",
        "PLACEHOLDER or placeholder, Right",
    ]
    words, separators = ["left", "right", *OTHER_WORDS], [" ", "  ", ", ", "-", "'", "\n", " (", ") "]
    for size in (3, 5, 7, 7, 7, 7):
        drawn = [str(rng.choice(separators)) + str(rng.choice(words)) for _ in range(size)]
        captions.append("".join(drawn) + str(rng.choice(separators)))
    check_captions(student, [(caption, exchanged(caption)) for caption in captions])
    check_captions(student, [(exchanged(caption), caption) for caption in captions])


@points(1)
@catches(
    "vertical-flip",
    "channels-reversed",
    "negative-strides",
    "image-changed-in-place",
    "narrow-image-shared",
    "order-of-the-argument",
    "image-made-float",
)
def test_the_image_is_mirrored_along_its_width(student, rng):
    """Columns are reversed, dtype and shape kept; the result is contiguous and shares no memory with the argument."""
    for height, width, channels, dtype in (
        (3, 5, 2, np.uint8),
        (4, 3, 3, np.float32),
        (2, 6, 1, np.int64),
        (5, 2, 4, np.float16),
        (3, 4, 3, np.bool_),
        (4, 1, 3, np.uint8),
        (1, 3, 2, np.uint8),
    ):
        image = random_image(rng, height, width, channels, dtype)
        expected = np.zeros_like(image)
        for column in range(width):
            expected[:, width - 1 - column] = image[:, column]
        for channels_first in (False, True):
            layout = ", stored channel by channel" if channels_first else ""
            case = f"an image of shape {image.shape} and dtype {image.dtype}{layout}"
            looked, mirrored, *_ = flip(student, image, "a kite", NO_BOXES, case, channels_first=channels_first)
            assert_dtype(mirrored, image.dtype, what=f"image ({case})")
            assert_equal(mirrored, expected, what=f"image ({case})")
            look_at_the_memory_of_the_image(looked, case)


@points(1)
@catches(
    "image-only",
    "boxes-forgotten",
    "corner-by-corner",
    "x1-overwritten-too-early",
    "height-taken-for-the-width",
    "one-pixel-off",
    "mirrored-at-the-height",
    "boxes-changed-in-place",
    "boxes-keep-their-dtype",
)
def test_caption_and_boxes_move_with_the_image(student, rng):
    """The caption is exchanged and every box still covers the same content, in the same order."""
    for height, width, count in ((6, 9, 3), (7, 4, 1), (5, 8, 6), (3, 2, 0)):
        image, boxes = random_image(rng, height, width, 2), random_boxes(rng, count, height, width)
        case = f"an image of shape {image.shape} and {count} boxes"
        _, _, caption, moved, flipped = flip(student, image, "Left of it, a bright kite", boxes, case)
        assert_equal(caption, "Right of it, a bright kite", what=f"caption ({case})")
        expected = np.array([[width - x2, y1, width - x1, y2] for x1, y1, x2, y2 in boxes.tolist()]).reshape(-1, 4)
        assert_dtype(moved, "float64", what=f"array of boxes ({case})")
        assert_close(moved, expected, what=f"array of boxes ({case}; boxes before: {boxes.tolist()})")
        assert_equal(flipped, True, what=f"flag flipped ({case})")
        _, _, caption, back, _ = flip(student, image, caption, moved, f"{case}, flipped once already")
        assert_equal(caption, "Left of it, a bright kite", what=f"caption after two flips ({case})")
        assert_close(back, boxes, what=f"array of boxes after two flips ({case})")
    # the pixels under a box are the same ones before and after, mirrored; integers and lists are fine
    image = random_image(rng, 6, 9, 1)
    for boxes in ([[1, 2, 4, 5]], np.array([[1, 2, 4, 5], [0, 0, 9, 6], [9, 6, 9, 6]])):
        case = f"integer boxes {np.array(boxes).tolist()} in an image of shape (6, 9, 1)"
        _, mirrored, _, moved, _ = flip(student, image, "", boxes, case)
        x1, y1, x2, y2 = (int(round(edge)) for edge in moved[0])
        assert_equal(mirrored[y1:y2, x1:x2], image[2:5, 1:4][:, ::-1], what=f"pixels under the first box ({case})")
        expected = np.array([[9.0 - box[2], box[1], 9.0 - box[0], box[3]] for box in np.array(boxes).tolist()])
        assert_dtype(moved, "float64", what=f"array of boxes ({case})")
        assert_close(moved, expected, what=f"array of boxes ({case})")


@points(1)
@catches(
    "text-ignored",
    "only-the-flag-heeds-text",
    "only-the-image-kept",
    "always-flipped",
    "arguments-handed-back",
    "order-of-the-argument-with-text",
    "boxes-keep-their-dtype-with-text",
)
def test_an_image_with_writing_stays_as_it_is(student, rng):
    """With contains_text nothing is mirrored: copies of image and boxes, the caption and False come back."""
    image, boxes = random_image(rng, 4, 7, 3), random_boxes(rng, 3, 4, 7)
    for given_boxes, name, channels_first in (
        (boxes, "3 boxes", False),
        (NO_BOXES, "no boxes", False),
        (boxes, "an image stored channel by channel", True),
        (np.array([[1, 2, 4, 3], [0, 0, 7, 4]]), "an array of integer boxes", False),
        ([[1, 2, 4, 3], [0, 0, 7, 4]], "a list of integer boxes", False),
    ):
        case = f"contains_text=True, {name}"
        looked, same, caption, same_boxes, flipped = flip(
            student, image, "left, the exit", given_boxes, case, contains_text=True, channels_first=channels_first
        )
        if np.array_equal(same, image[:, ::-1]):
            raise AssertionError(f"The image was mirrored ({case}); it should stay as it is.")
        assert_dtype(same, image.dtype, what=f"image ({case})")
        assert_equal(same, image, what=f"image ({case})")
        assert_equal(caption, "left, the exit", what=f"caption ({case})")
        assert_dtype(same_boxes, "float64", what=f"array of boxes ({case})")
        assert_close(same_boxes, np.array(given_boxes, dtype=np.float64), what=f"array of boxes ({case})")
        assert_equal(flipped, False, what=f"flag flipped ({case})")
        look_at_the_memory_of_the_image(looked, case)
        if looked["boxes shared"]:
            raise AssertionError(f"The boxes returned share memory with the argument ({case}); return a copy.")


@points(1)
@catches(
    "corners-unchecked",
    "outside-accepted",
    "clipped-into-the-image",
    "heights-unchecked",
    "nan-accepted",
    "any-caption",
    "any-image",
    "text-skips-the-checks",
    "any-width",
)
def test_what_is_no_pair_is_refused(student, rng):
    """Other shapes, boxes that are not inside the image and captions that are no text are refused."""
    image = random_image(rng, 5, 8, 3)
    inside = [1.0, 1.0, 3.0, 4.0]
    for contains_text in (False, True):
        for what, bad_image, boxes in (
            ("an image of shape (5, 8)", image[..., 0], [inside]),
            ("an image of shape (1, 5, 8, 3)", image[None], [inside]),
            ("one box of shape (4,)", image, inside),
            ("boxes of shape (2, 3)", image, [[1, 1, 3], [0, 0, 2]]),
            ("boxes of shape (1, 5)", image, [[1, 1, 3, 4, 0]]),
            ("boxes of shape (1, 1, 4)", image, [[inside]]),
            ("a box with x1 > x2", image, [inside, [3, 1, 2, 4]]),
            ("a box with y1 > y2", image, [[1, 4, 3, 1], inside]),
            ("a box with x1 = -0.5", image, [[-0.5, 1, 3, 4]]),
            ("a box with y1 = -1", image, [inside, [1, -1, 3, 4]]),
            ("a box with x2 = 8.5 in an image 8 wide", image, [inside, [1, 1, 8.5, 4]]),
            ("a box with y2 = 6 in an image 5 high and 8 wide", image, [[1, 1, 3, 6]]),
            ("a box with x1 = NaN", image, [inside, [np.nan, 1, 3, 4]]),
            ("a box with y2 = NaN", image, [[1, 1, 3, np.nan]]),
        ):
            with raises(ValueError, what=f"flip_pair with {what} and contains_text={contains_text}"):
                student.flip_pair(bad_image, "a kite", boxes, contains_text=contains_text)
        for caption in (None, b"left", ["left", "right"], 7):
            with raises(TypeError, what=f"flip_pair with the caption {caption!r} and contains_text={contains_text}"):
                student.flip_pair(image, caption, [inside], contains_text=contains_text)
    for caption in (None, b"left", ["left"]):
        with raises(TypeError, what=f"swap_left_and_right({caption!r})"):
            student.swap_left_and_right(caption)
    edges = [[0.0, 0.0, 8.0, 5.0], [8.0, 5.0, 8.0, 5.0], [0.0, 2.0, 0.0, 3.0]]
    *_, moved, _ = flip(student, image, "", edges, "boxes that touch the edges of the image")
    assert_close(moved, np.array([[0, 0, 8, 5], [0, 5, 0, 5], [8, 2, 8, 3.0]]), what="array of boxes at the edges")
