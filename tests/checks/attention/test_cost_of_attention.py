"""Checks of attention/cost_of_attention. Expected costs are counted pair by pair, and term by term."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import assert_claims, assert_equal, catches, points, raises, visible

CLAIMS = {
    "small_weights_save": False,
    "masked_keys_are_free": False,
    "twice_is_fourfold": True,
    "more_heads_cost_more": False,
    "flash_drops_weights": False,
    "order_needs_positions": True,
    "weights_prove_causes": False,
    "grouping_shrinks_cache": True,
}

WHO_MEETS_WHOM = {
    "joint": "each token of the joint sequence attends to all of them, its own kind and the other",
    "cross": "text attends to the image and the image to the text; no token attends to its own kind",
    "resampler": "the latents attend to the image; then text and latents attend to each other and to themselves",
}


def macs_by_running(n_query, n_key, d_model, d_value, num_heads):
    """MACs of attention, counted while its loops run: one for each product that is added to a sum."""
    count = 0
    for _head, _query, _key in product(range(num_heads), range(n_query), range(n_key)):
        for _column in range(0, d_model, num_heads):  # a term of the dot product
            count += 1
        for _column in range(0, d_value, num_heads):  # a column of the weighted sum
            count += 1
    return count


def macs_by_pairs(n_text, n_image, d_model, mode, n_latent=None):
    """MACs of a fusion, from the set of all pairs (who attends, to whom)."""
    text, image = [f"word {i}" for i in range(n_text)], [f"patch {i}" for i in range(n_image)]
    latents = [f"latent {i}" for i in range(n_latent or 0)]
    pairs = {
        "joint": {(a, b) for a in text + image for b in text + image},
        "cross": {(a, b) for a in text for b in image} | {(b, a) for a in text for b in image},
        "resampler": {(a, b) for a in latents for b in image}
        | {(a, b) for a in text + latents for b in text + latents},
    }[mode]
    return sum(2 * d_model for _ in pairs)


def call(name, arguments, keywords):
    return f"{name}({', '.join([*map(repr, arguments), *(f'{key}={value!r}' for key, value in keywords.items())])})"


def assert_macs(student, name, expected, *arguments, cause="", **keywords):
    found = getattr(student, name)(*arguments, **keywords)
    what = f"result of {call(name, arguments, keywords)}"
    if type(found) is not int:
        raise AssertionError(f"The {what} should be a Python int; it is {found!r}, of type {type(found).__name__}.")
    assert_equal(found, expected, what=what, cause=cause)


@points(1)
@visible
def test_small_numbers_worked_out_by_hand(student):
    """Small numbers of tokens, worked out by hand."""
    assert_macs(student, "attention_macs", 60, 3, 2, 5)
    assert_macs(student, "attention_macs", 60, 3, 2, 4, d_value=6, num_heads=2)
    assert_macs(student, "fusion_macs", 1000, 3, 7, 5, "joint", cause=WHO_MEETS_WHOM["joint"])
    assert_macs(student, "fusion_macs", 420, 3, 7, 5, "cross", cause=WHO_MEETS_WHOM["cross"])
    assert_macs(student, "fusion_macs", 230, 3, 7, 5, "resampler", cause=WHO_MEETS_WHOM["resampler"], n_latent=1)


@points(3)
@catches("published-claims", "masked-keys-free")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("linear-in-tokens", "quadratic-in-width")
def test_every_query_meets_every_key(student, rng):
    """Every query meets every key: twice the queries cost twice as much, so do twice the keys or width."""
    n_query, n_key, d_model = (int(size) for size in rng.permutation(np.arange(2, 7))[:3])
    base = macs_by_running(n_query, n_key, d_model, d_model, 1)
    for name, factors in (("one", (1, 1, 1)), ("queries", (2, 1, 1)), ("keys", (1, 3, 1)), ("width", (1, 1, 2))):
        sizes = [size * factor for size, factor in zip((n_query, n_key, d_model), factors, strict=True)]
        cause = "count the pairs of a query and a key, and what one pair costs"
        if name != "one":
            cause = f"the number of MACs is proportional to {name if name == 'width' else 'the number of ' + name}"
        assert_macs(student, "attention_macs", max(factors) * base, *sizes, cause=cause)


@points(1)
@catches("scores-only", "value-width-ignored", "flops")
@given(
    sizes=st.lists(st.integers(1, 7), min_size=4, max_size=4, unique=True),
)
def test_scores_and_weighted_sums_are_counted(student, sizes):
    """Both matrix products are counted, the scores with the width of the keys, the sums with that of the values."""
    n_query, n_key, d_model, d_value = sizes
    expected = macs_by_running(n_query, n_key, d_model, d_value, 1)
    cause = "a pair costs one MAC for each column of the keys and one for each column of the values"
    assert_macs(student, "attention_macs", expected, n_query, n_key, d_model, d_value, cause=cause)
    expected = macs_by_running(n_query, n_key, d_model, d_model, 1)
    assert_macs(student, "attention_macs", expected, n_query, n_key, d_model, cause="d_value is d_model by default")


@points(1)
@catches("times-heads", "one-head-only", "any-number-of-heads")
def test_heads_share_the_width(student, rng):
    """Heads divide the widths among themselves: their number has to divide both, and changes nothing else."""
    n_query, n_key = (int(size) for size in rng.integers(2, 5, 2))
    for num_heads in (1, 2, 3, 4, 6, 12):
        expected = macs_by_running(n_query, n_key, 12, 24, num_heads)
        cause = "each of h heads has the h-th part of the columns"
        sizes = (n_query, n_key, 12, 24)
        assert_macs(student, "attention_macs", expected, *sizes, num_heads=num_heads, cause=cause)
        assert_macs(student, "attention_macs", 24 * n_query * n_key, *sizes[:3], num_heads=num_heads, cause=cause)
    for widths, num_heads in (((12, 24), 5), ((12, 16), 3), ((8, 12), 3), ((12,), 8), ((5,), 10)):
        arguments = (n_query, n_key, *widths)
        with raises(ValueError, what=call("attention_macs", arguments, {"num_heads": num_heads})):
            student.attention_macs(*arguments, num_heads=num_heads)


@points(1)
@catches(
    "joint-as-cross",
    "joint-as-two",
    "one-direction",
    "resampler-joins-the-image",
    "resampler-reads-only",
    "resampler-unread",
    "resampler-then-cross",
)
def test_every_way_of_fusing_counts_its_own_pairs(student, rng):
    """Joint attention, cross-attention and a resampler each count the pairs that they compute, and no others."""
    for _ in range(3):
        n_text, n_image, d_model, n_latent = (int(size) for size in rng.permutation(np.arange(1, 12))[:4])
        for mode, keywords in (("joint", {}), ("cross", {}), ("resampler", {"n_latent": n_latent})):
            for factor in (1, 3):  # three times all tokens: nine times the cost
                sizes = (factor * n_text, factor * n_image)
                scaled = {key: factor * value for key, value in keywords.items()}
                expected = factor**2 * macs_by_pairs(n_text, n_image, d_model, mode, **keywords)
                cause = WHO_MEETS_WHOM[mode]
                assert_macs(student, "fusion_macs", expected, *sizes, d_model, mode, cause=cause, **scaled)
    # 10 words and an image of 200 patches
    assert_macs(student, "fusion_macs", 2 * 2 * 210**2, 10, 200, 2, "joint")
    assert_macs(student, "fusion_macs", 2 * 2 * (8 * 200 + 18**2), 10, 200, 2, "resampler", n_latent=8)


@points(1)
@catches("float-result", "numpy-integers-overflow")
def test_results_are_exact_integers_of_any_size(student, rng):
    """The result is an exact Python int for any sizes, and for NumPy's integers too."""
    n_query, n_key, d_model = (int(size) for size in rng.integers(10**8, 10**9, 3) // 6 * 6 + 1)
    cause = "a float holds no more than 53 bits"
    assert_macs(student, "attention_macs", n_query * n_key * 2 * d_model, n_query, n_key, d_model, cause=cause)
    widths, expected = (6 * d_model, 12 * d_model), n_query * n_key * 18 * d_model
    assert_macs(student, "attention_macs", expected, n_query, n_key, *widths, num_heads=3, cause=cause)
    expected = (n_query + n_key) ** 2 * 2 * d_model
    assert_macs(student, "fusion_macs", expected, n_query, n_key, d_model, "joint", cause=cause)
    cause = "NumPy's integers have a fixed number of bits; convert the sizes before you multiply"
    for kind in (np.uint8, np.int16, np.int32, np.int64):
        sizes = [kind(size) for size in (120, 100, 96)]
        assert_macs(student, "attention_macs", 120 * 100 * 192, *sizes, num_heads=kind(3), cause=cause)
        assert_macs(student, "attention_macs", 120 * 100 * 196, *sizes, d_value=kind(100), cause=cause)
        assert_macs(student, "fusion_macs", 220**2 * 192, *sizes, "joint", cause=cause)
        assert_macs(student, "fusion_macs", 2 * 120 * 100 * 192, *sizes, "cross", cause=cause)
        expected = (60 * 100 + 180**2) * 192
        assert_macs(student, "fusion_macs", expected, *sizes, "resampler", n_latent=kind(60), cause=cause)


@points(1)
@catches("booleans-counted", "floats-accepted", "latents-ignored", "latents-by-truth", "parts-not-checked")
def test_sizes_and_modes_that_make_no_sense_are_refused(student):
    """Sizes that are no integers of at least 1 are refused, and so are unknown modes, missing and needless latents."""
    good = {
        "attention_macs": {"n_query": 5, "n_key": 7, "d_model": 8, "d_value": 4, "num_heads": 2},
        "fusion_macs": {"n_text": 5, "n_image": 7, "d_model": 8, "mode": "resampler", "n_latent": 2},
    }
    joint = {key: value for key, value in good["fusion_macs"].items() if key != "n_latent"} | {"mode": "joint"}
    cross = joint | {"mode": "cross"}
    for bad in (
        cross | {"mode": "self"},
        cross | {"mode": "Joint"},
        cross | {"mode": ""},
        cross | {"mode": "resampler"},
        cross | {"n_latent": 2},
        cross | {"n_latent": 0},
        joint | {"n_latent": 2},
        joint | {"n_latent": 0},
    ):
        with raises(ValueError, what=call("fusion_macs", (), bad)):
            student.fusion_macs(**bad)
    cases = [
        (name, keywords, key)
        for name, keywords in (*good.items(), ("fusion_macs", joint), ("fusion_macs", cross))
        for key in keywords
        if key != "mode"
    ]
    # every size gets every bad value, but first each of them two: diagnosis compares a check's first 40 calls
    no_integers, too_small = (True, 4.0, 2.5, "4"), (0, -1, -4)
    for turn in range(4):
        for number, (name, keywords, key) in enumerate(cases):
            for error, values in ((TypeError, no_integers), (ValueError, too_small)):
                bad = keywords | {key: values[(number + turn) % len(values)]}
                with raises(error, what=call(name, (), bad)):
                    getattr(student, name)(**bad)
