"""Checks of data/modality_balance. Expected values come from counting tuples and from sums term by term."""

import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import (
    assert_claims,
    assert_close,
    assert_dtype,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "classes_cure_speed": False,
    "subset_prevents_overfitting": False,
    "gan_completes_pairs": False,
    "eight_bits_regularise": False,
    "joint_may_lose": True,
    "coverage_is_separate": True,
    "prior_moves": True,
    "dropout_of_modalities": True,
}
CLOSE = {"rtol": 1e-9, "atol": 1e-12}
SHARED = "every cell that occurs has the same total, shared equally by its samples"
CELLS = "a cell is a label together with a whole row of `present`"
AHEAD = "the branch with the larger sum is slowed down, by 1 - tanh(alpha times its sum over the other's)"
BOTH, TEXT, IMAGE = [True, True], [True, False], [False, True]


def expected_probs(labels, present):
    """One over (number of cells times samples in the cell), by counting tuples."""
    cells = [(int(label), tuple(map(bool, row))) for label, row in zip(labels, present, strict=True)]
    counts = Counter(cells)
    return np.array([1 / (len(counts) * counts[cell]) for cell in cells])


def expected_factors(p_text, p_image, alpha):
    text, image = math.fsum(map(float, p_text)), math.fsum(map(float, p_image))
    slowed = 1 - math.tanh(alpha * max(text, image) / min(text, image))
    return (slowed, 1.0) if text > image else (1.0, slowed)


def assert_probs(probs, labels, present, what, cause=SHARED):
    assert_shape(probs, (len(labels),), what=what)
    assert_dtype(probs, np.float64, what=what)
    assert_close(probs, expected_probs(labels, present), **CLOSE, what=what, cause=cause)


def assert_factors(factors, expected, what, cause=AHEAD, **tolerance):
    if not isinstance(factors, tuple | list | np.ndarray) or len(factors) != 2:
        raise AssertionError(f"ogm_coefficients should return two numbers; it returned {factors!r}")
    for name, factor, wanted in zip(("text", "image"), factors, expected, strict=True):
        assert_close(factor, float(wanted), **(tolerance or CLOSE), what=f"factor of the {name} in {what}", cause=cause)


def arguments_after_the_calls(student, labels, present, p_text, p_image):
    """Probe: the arguments, after both functions have had them."""
    student.balanced_sampling_probs(labels, present)
    student.ogm_coefficients(p_text, p_image)
    return labels, present, p_text, p_image


@points(1)
@visible
def test_worked_example(student):
    """The small examples in the notebook come out right."""
    loose = {"rtol": 1e-5, "atol": 1e-8}  # np.allclose in the notebook
    labels, present = [5, 5, 2, 5, 2, 5, 5], [BOTH, TEXT, BOTH, BOTH, BOTH, BOTH, IMAGE]
    probs = student.balanced_sampling_probs(labels, present)
    expected = [1 / 12, 1 / 4, 1 / 8, 1 / 12, 1 / 8, 1 / 12, 1 / 4]
    assert_close(probs, expected, **loose, what="result of balanced_sampling_probs", cause=SHARED)
    factors = student.ogm_coefficients([0.5, 0.25, 0.25], [1.0, 0.5, 0.75])
    assert_factors(factors, (1, 1 - math.tanh(1.125)), "the first example", **loose)
    factors = student.ogm_coefficients([0.75, 0.5], [0.25, 0.5], alpha=0.2)
    assert_factors(factors, (1 - math.tanh(1 / 3), 1), "the second example", **loose)


@points(3)
@catches("claims-as-published", "one-imbalance-for-another")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "classes-only",
    "random-rows-dropped",
    "uniform-sampling",
    "patterns-only",
    "classes-times-patterns",
    "total-of-one-for-each-cell",
    "proportional-to-the-cell",
)
def test_every_cell_has_the_same_total(student, rng):
    """Each cell that occurs has the same total probability, shared equally by its samples."""
    # classes of 13, 6 and 4 samples; the images of class 0 are mostly missing
    cells = [(0, TEXT)] * 9 + [(0, BOTH)] * 4 + [(1, BOTH)] * 5 + [(1, IMAGE)] + [(2, BOTH)] * 2 + [(2, TEXT)] * 2
    cells = [cells[i] for i in rng.permutation(len(cells))]
    labels, present = [label for label, _ in cells], [row for _, row in cells]
    for name, arguments in (
        ("lists", (labels, present)),
        ("arrays", (np.array(labels), np.array(present))),
        ("uint8 labels", (np.array(labels, np.uint8), np.array(present))),
    ):
        what = f"result of balanced_sampling_probs for 23 samples in 6 cells ({name})"
        assert_probs(student.balanced_sampling_probs(*arguments), labels, present, what)


@points(1)
@catches("modalities-counted", "label-and-pattern-added", "last-modality-only", "pattern-in-64-bits")
def test_a_cell_is_a_label_with_a_whole_pattern(student, rng):
    """Two samples share a cell exactly if label and presence pattern agree, whatever the labels and modalities are."""
    yes, no = True, False
    wide = rng.random((6, 70)) < 0.5
    wide[:, 40] = True
    wide[1] = wide[0]
    wide[2] = wide[0]
    wide[2, 68] = not wide[0, 68]
    cases = [
        (
            "equally many modalities, but others",
            [4] * 5,
            [[yes, yes, no], [yes, no, yes], [no, yes, yes]] + [[yes, yes, no]] * 2,
        ),
        ("labels with gaps and below 0", [-3, 1000, -3, 7, 1000, -4, -3], [BOTH, BOTH, TEXT, TEXT, BOTH, BOTH, BOTH]),
        ("consecutive labels", [0, 1, 2, 3, 3, 1], [BOTH, IMAGE, TEXT, BOTH, TEXT, TEXT]),
        ("consecutive labels, other patterns", [1, 2, 3, 0, 0], [IMAGE, TEXT, TEXT, BOTH, BOTH]),
        ("labels 1 and 10", [1, 1, 10, 10, 11, 1], [[yes, no, yes], [no, yes, no], [yes, yes, no]] * 2),
        ("one modality", [3, 3, 8], [[yes], [yes], [yes]]),
        ("70 modalities", [1] * 6, wide.tolist()),
        ("one sample", [6], [[no, yes]]),
    ]
    for name, labels, present in cases:
        order = rng.permutation(len(labels))
        labels, present = [labels[i] for i in order], [present[i] for i in order]
        probs = student.balanced_sampling_probs(np.array(labels), np.array(present))
        assert_probs(probs, labels, present, f"result of balanced_sampling_probs ({name})", CELLS)


@points(1)
@catches("all-possible-cells")
@given(
    samples=st.lists(st.tuples(st.integers(-1, 2), st.sampled_from([BOTH, TEXT, IMAGE])), min_size=1, max_size=9),
    repeats=st.integers(2, 3),
)
def test_copies_and_a_complete_modality_change_nothing(student, samples, repeats):
    """Copies of all samples share their probability, and a modality that all samples have makes no difference."""
    labels, present = [label for label, _ in samples], [row for _, row in samples]
    what = f"result of balanced_sampling_probs({labels}, {present})"
    assert_probs(student.balanced_sampling_probs(labels, present), labels, present, what)
    once = expected_probs(labels, present)
    probs = student.balanced_sampling_probs(labels * repeats, present * repeats)
    assert_close(
        probs, np.tile(once / repeats, repeats), **CLOSE, what=f"{what}, with all samples {repeats} times", cause=SHARED
    )
    probs = student.balanced_sampling_probs(labels, [[*row, True] for row in present])
    assert_close(probs, once, **CLOSE, what=f"{what}, with a modality that all samples have", cause=SHARED)


@points(1)
@catches(
    "slows-the-one-behind",
    "boosted",
    "mean-of-ratios",
    "both-slowed",
    "alpha-outside",
    "alpha-ignored",
    "difference-of-sums",
    "epsilon-in-the-denominator",
    "computed-in-the-input-type",
)
def test_the_branch_ahead_is_slowed_down(student, rng):
    """The branch with the larger sum gets 1 - tanh(alpha * ratio of the sums), the other one 1."""
    for number in range(4):
        high, low = rng.uniform(0.55, 0.8, size=7), rng.uniform(0.15, 0.35, size=7)
        low[number] = 0.9  # ahead on this sample only
        alpha = float(rng.uniform(0.2, 0.6))
        for name, p_text, p_image in (("text ahead", high, low), ("image ahead", low, high)):
            factors = student.ogm_coefficients(p_text, p_image, alpha=alpha)
            what = f"ogm_coefficients (7 samples, alpha={alpha:.3f}, {name})"
            assert_factors(factors, expected_factors(p_text, p_image, alpha), what)
    p_text, p_image = rng.uniform(0.1, 0.3, size=5), rng.uniform(0.4, 0.9, size=5)
    expected = expected_factors(p_text, p_image, 0.5)
    assert_factors(student.ogm_coefficients(p_text.tolist(), p_image.tolist()), expected, "ogm_coefficients of lists")
    for dtype in (np.float32, np.float16):
        low, high = rng.uniform(0.1, 0.3, size=400).astype(dtype), rng.uniform(0.4, 0.9, size=400).astype(dtype)
        what = f"ogm_coefficients of 400 {np.dtype(dtype).name} probabilities"
        cause = "the sums are taken in float64"
        assert_factors(student.ogm_coefficients(low, high, 0.25), expected_factors(low, high, 0.25), what, cause)


@points(1)
@catches("tie-slowed", "zero-sum-divides", "alpha-zero-overruled", "single-zeros-refused")
def test_ties_zero_sums_and_alpha_zero(student, rng):
    """Equal sums change nothing, a sum of 0 stops the other branch, and alpha = 0 switches the modulation off."""
    cases = [  # quarters, so that every way of summing is exact
        ("equal sums", [0.25, 0.75, 0.5], [0.5, 0.5, 0.5], 0.5, (1, 1)),
        ("equal probabilities", [0.25, 1.0], [0.25, 1.0], 0.75, (1, 1)),
        ("all probabilities 1", [1.0, 1.0], [1.0, 1.0], 0.5, (1, 1)),
        ("the image's sum is 0", [0.25, 0.5], [0.0, 0.0], 0.5, (0, 1)),
        ("the text's sum is 0", [0.0, 0.0, 0.0], [0.0, 0.25, 0.0], 0.125, (1, 0)),
        ("the image's sum is 0, as integers", [1, 0], [0, 0], 0.5, (0, 1)),
        ("alpha=0, text ahead", [0.75, 0.5], [0.25, 0.25], 0.0, (1, 1)),
        ("alpha=0, image ahead", [0.25, 0.25], [0.75, 0.5], 0, (1, 1)),
        ("alpha=0, a sum of 0", [0.75, 0.5], [0.0, 0.0], 0.0, (1, 1)),
        ("single probabilities of 0", [0.5, 0.0, 1.0], [0.0, 0.5, 0.25], 0.5, (1 - math.tanh(1.0), 1)),
        ("far ahead", [1.0, 1.0], [0.0, 2.0**-40], 0.5, (0, 1)),
        ("one sample", [0.25], [0.75], 0.5, (1, 1 - math.tanh(1.5))),
        ("a large alpha", [0.5, 0.5], [0.25, 0.5], 1000.0, (0, 1)),
    ]
    for name, p_text, p_image, alpha, expected in cases:
        what = f"ogm_coefficients({p_text}, {p_image}, alpha={alpha}), {name},"
        assert_factors(student.ogm_coefficients(p_text, p_image, alpha=alpha), expected, what)


@points(1)
@catches("empty-sample-accepted", "one-pattern-for-all", "nan-slips-through", "lengths-unchecked", "alpha-unchecked")
def test_bad_input_is_refused(student, rng):
    """Samples without modality, shapes that do not fit, and impossible probabilities are refused; inputs stay as is."""
    refused = [
        ("a sample without any modality", [0, 1, 1], [BOTH, [False, False], TEXT]),
        ("2 rows of present for 3 labels", [0, 1, 1], [BOTH, TEXT]),
        ("1 row of present for 3 labels", [0, 1, 1], [BOTH]),
        ("present of shape (3,)", [0, 1, 1], [True, True, True]),
        ("present of shape (1, 3, 2)", [0], np.ones((1, 3, 2), dtype=bool)),
        ("labels of shape (2, 1)", [[0], [1]], [BOTH, TEXT]),
        ("no samples", np.zeros(0, dtype=np.int64), np.zeros((0, 2), dtype=bool)),
        ("no modalities", [0, 1], np.zeros((2, 0), dtype=bool)),
    ]
    for name, *arguments in refused:
        with raises(ValueError, what=f"balanced_sampling_probs with {name}"):
            student.balanced_sampling_probs(*arguments)
    for labels in ([0.0, 1.5], [0.0, math.nan]):
        with raises(TypeError, ValueError, what=f"balanced_sampling_probs with labels {labels}"):
            student.balanced_sampling_probs(np.array(labels), [BOTH, TEXT])

    nan, inf = math.nan, math.inf
    refused = [
        ([0.5, nan], [0.5, 0.25], 0.5),
        ([0.5, 0.75], [nan, 0.25], 0.5),
        ([0.5, 1.25], [0.5, 0.25], 0.5),
        ([0.5, 0.75], [0.5, -0.25], 0.5),
        ([0.5, -0.25], [0.5, 0.25], 0.5),
        ([0.5, 0.75], [1.5, 0.25], 0.5),
        ([0.5, 0.75, 0.5], [0.25, 0.5], 0.5),
        ([0.5, 0.75, 0.5], [0.25], 0.5),
        ([0.5], [0.25, 0.5], 0.5),
        ([], [], 0.5),
        ([[0.5, 0.75]], [[0.25, 0.5]], 0.5),
        ([0.0, 0.0], [0.0, 0.0], 0.5),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.5, 0.75], [0.25, 0.5], -0.5),
        ([0.25, 0.5], [0.5, 0.75], nan),
        ([0.5, 0.75], [0.5, 0.75], inf),
    ]
    for p_text, p_image, alpha in refused:
        with raises(ValueError, what=f"ogm_coefficients({p_text}, {p_image}, alpha={alpha})"):
            student.ogm_coefficients(p_text, p_image, alpha=alpha)

    before = [np.array([3, 1, 1]), np.array([BOTH, TEXT, BOTH]), rng.random(4), rng.random(4)]
    after = student.run(arguments_after_the_calls, *[value.copy() for value in before])
    for name, left, right in zip(("labels", "present", "p_text", "p_image"), after, before, strict=True):
        assert_unchanged(left, right, what=f"argument {name}")
