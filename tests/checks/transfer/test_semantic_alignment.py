"""Hidden checks of transfer/semantic_alignment, against plain Python loops over rows and pairs."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import assert_claims, assert_close, assert_unchanged, catches, points, raises, visible

CLAIMS = {
    "low_alignment_is_enough": False,
    "worst_uniformity": True,
    "gap_closes": False,
    "gap_at_the_start": True,
    "perfect_recall_with_gap": True,
    "retrieval_shows_grammar": False,
    "alignment_is_cosine": True,
    "one_sided_rotation": False,
}
CLOSE = {"rtol": 1e-9, "atol": 1e-12}
NORMALISED = "every row is divided by its own Euclidean length before anything else"


# ---------------------------------------------------------------- what is expected: loops over Python floats


def unit(x):
    rows = []
    for row in np.asarray(x).tolist():
        length = math.sqrt(math.fsum(float(value) ** 2 for value in row))
        rows.append([float(value) / length for value in row])
    return rows


def squared_distance(left, right):
    return math.fsum((a - b) ** 2 for a, b in zip(left, right, strict=True))


def expected_alignment(u, v):
    distances = [squared_distance(left, right) for left, right in zip(unit(u), unit(v), strict=True)]
    return math.fsum(distances) / len(distances)


def expected_uniformity(x, t=2.0):
    rows = unit(x)
    distances = [squared_distance(rows[i], rows[j]) for j in range(len(rows)) for i in range(j)]
    least = min(distances)
    return -t * least + math.log(math.fsum(math.exp(-t * (d - least)) for d in distances) / len(distances))


def expected_gap(u, v):
    centres = [[math.fsum(column) / len(column) for column in zip(*unit(x), strict=True)] for x in (u, v)]
    return math.sqrt(squared_distance(*centres))


def embeddings(rng, n, width):
    """Rows of very different lengths, off the origin, so that no mean vanishes."""
    return (rng.normal(size=(n, width)) + 0.4) * rng.uniform(0.2, 5, size=(n, 1))


# ---------------------------------------------------------------- probes: they run in the student's process


def arguments_after_all_measures(student, u, v):
    student.alignment(u, v)
    student.uniformity(u)
    student.uniformity(v, 3)
    student.modality_gap(u, v)
    return u, v


def measure_the_example(student):
    import numpy as np

    texts = np.array([[2.0, 0.0], [0.0, 0.5], [-3.0, 0.0], [0.0, -1.0]])
    images = np.array([[0.0, 1.0], [0.0, 4.0], [-1.0, 0.0], [0.0, -2.0]])
    same = np.ones((4, 2))
    values = [student.alignment(texts, images), student.uniformity(texts), student.modality_gap(texts, images)]
    return [float(value) for value in [*values, student.alignment(same, same), student.uniformity(same)]]


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_the_example_of_the_notebook(student):
    """The example of the notebook: four pairs on the axes, and a collapsed set."""
    loose = {"rtol": 1e-5, "atol": 1e-8}  # np.isclose in the notebook
    expected = [0.5, math.log((4 * math.exp(-4) + 2 * math.exp(-8)) / 6), math.sqrt(2) / 4, 0.0, 0.0]
    names = ["alignment", "uniformity", "modality gap", "alignment of a collapsed set", "uniformity of a collapsed set"]
    for name, value, wanted in zip(names, student.run(measure_the_example), expected, strict=True):
        assert_close(value, wanted, **loose, what=name)


@points(3)
@catches("published-claims", "gap-misjudged")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("not-normalised", "columns-normalised", "whole-array-normalised", "sums-of-rows-set-to-one", "narrow-dtype")
def test_only_directions_count(student, rng):
    """Rows are brought to length one first, whatever their lengths and the type of the numbers."""
    u, v = embeddings(rng, 6, 4), embeddings(rng, 6, 4)
    for name, a, b in (
        ("rows of any length", u, v),
        ("rows of length 1e-5 to 1e5", u * 10.0 ** rng.uniform(-5, 5, (6, 1)), v * 10.0 ** rng.uniform(-5, 5, (6, 1))),
        ("float32 rows of length 1e25", (1e25 * u).astype("f4"), (1e25 * v).astype("f4")),
        (
            "float16 rows of length 300",
            (300 * u / np.abs(u).max()).astype("f2"),
            (300 * v / np.abs(v).max()).astype("f2"),
        ),
        ("int8 rows", rng.integers(20, 120, (5, 3)).astype(np.int8), rng.integers(-120, -20, (5, 3)).astype(np.int8)),
        ("lists of integers", [[3, 4], [-6, 8], [5, 12]], [[4, 3], [0, 2], [-8, 15]]),
    ):
        assert_close(
            student.alignment(a, b), expected_alignment(a, b), **CLOSE, what=f"alignment ({name})", cause=NORMALISED
        )
        assert_close(
            student.uniformity(a), expected_uniformity(a), **CLOSE, what=f"uniformity ({name})", cause=NORMALISED
        )
        gap = student.modality_gap(a, b)
        assert_close(gap, expected_gap(a, b), **CLOSE, what=f"modality gap ({name})", cause=NORMALISED)


@points(1)
@catches("all-pairs", "distance-not-squared", "sum-over-partners", "mean-over-the-width")
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 7), width=st.integers(1, 5))
def test_alignment_compares_partners(student, seed, n, width):
    """Alignment is the mean squared distance of partners: of row i and row i, and of nobody else."""
    generator = np.random.default_rng(seed)
    u = embeddings(generator, n, width)
    v = embeddings(generator, n, width)
    cause = "one squared distance for each i, between row i of u and row i of v; the mean of these"
    what = f"alignment of {n} random pairs of width {width}"
    assert_close(student.alignment(u, v), expected_alignment(u, v), **CLOSE, what=what, cause=cause)
    close = u + 0.1 * generator.normal(size=u.shape) * np.linalg.norm(u, axis=1, keepdims=True)
    what = f"alignment of {n} close pairs of width {width}"
    assert_close(student.alignment(u, close), expected_alignment(u, close), **CLOSE, what=what, cause=cause)
    assert_close(student.alignment(u, 3 * u), 0.0, atol=1e-12, what="alignment of rows with three times themselves")
    assert_close(student.alignment(u, -u), 4.0, **CLOSE, what="alignment of rows with their opposites")


@points(1)
@catches(
    "pairs-with-oneself", "no-logarithm", "mean-of-exponents", "t-fixed", "distance-instead-of-its-square", "log-two"
)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 7),
    width=st.integers(1, 5),
    t=st.sampled_from([0.001, 0.5, 2, 7.5]),
)
def test_uniformity_is_a_logarithm_of_a_mean_over_pairs(student, seed, n, width, t):
    """Uniformity is the logarithm of the mean of exp(-t times squared distance) over all pairs of different rows."""
    x = embeddings(np.random.default_rng(seed), n, width)
    cause = "exp first, then the mean over pairs i < j, then the natural logarithm; no row is paired with itself"
    what = f"uniformity of {n} random rows of width {width} with t = {t}"
    assert_close(student.uniformity(x, t), expected_uniformity(x, t), **CLOSE, what=what, cause=cause)
    what = f"uniformity of {n} random rows of width {width} with the default t"
    assert_close(student.uniformity(x), expected_uniformity(x, 2), **CLOSE, what=what, cause=cause)
    same = np.outer(np.arange(1, n + 1), x[0])
    what = f"uniformity of {n} rows of one direction with t = {t}"
    assert_close(student.uniformity(same, t), 0.0, atol=1e-9, what=what, cause=cause)


@points(1)
@catches("exponentials-vanish", "clipped-from-below")
def test_a_large_t_stays_finite(student, rng):
    """For a large t the uniformity is finite and accurate, although every exponential is too small to be held."""
    cause = "exp(-800) is 0 in floating point; take the largest exponent out of the mean before exp, and add it again"
    corners = np.eye(3)
    for name, x, t in (
        ("three right angles", corners, 400.0),
        ("opposite rows", [[1.0, 2.0], [-1.0, -2.0]], 1000.0),
        ("opposite rows", [[1.0, 2.0], [-1.0, -2.0]], 1e6),
        ("random rows", embeddings(rng, 8, 5), 3000.0),
        ("random rows", embeddings(rng, 4, 9), 1e5),
        ("random rows", embeddings(rng, 3, 2), 30.0),
        ("a row twice and others", np.vstack([corners, corners[0]]), 1e6),
    ):
        value = student.uniformity(x, t)
        what = f"uniformity with t = {t:g} ({name})"
        assert_close(value, expected_uniformity(x, t), rtol=1e-9, atol=1e-8, what=what, cause=cause)


@points(1)
@catches("mean-pair-distance", "centres-normalised", "gap-squared", "first-row-only", "raw-centres")
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 7), width=st.integers(1, 5))
def test_the_gap_is_a_distance_of_centres(student, seed, n, width):
    """The gap is the distance of the two mean rows; it does not depend on who is whose partner."""
    generator = np.random.default_rng(seed)
    u = embeddings(generator, n, width)
    v = embeddings(generator, n, width) - 0.5
    cause = "the mean row of each modality, as it is, and then one distance"
    what = f"modality gap of {n} and {n} random rows of width {width}"
    assert_close(student.modality_gap(u, v), expected_gap(u, v), **CLOSE, what=what, cause=cause)
    shuffled = u[generator.permutation(n)]
    what = f"modality gap of {n} rows and the same rows in another order"
    assert_close(student.modality_gap(u, shuffled), 0.0, atol=1e-12, what=what, cause=cause)


@points(1)
@catches(
    "row-of-zeros-accepted", "nan-accepted", "shapes-broadcast", "t-unchecked", "normalised-in-place", "single-row"
)
def test_bad_input_is_refused_and_arguments_stay(student, rng):
    """Sets that cannot be measured are refused, and arguments stay unchanged."""
    u, v = embeddings(rng, 4, 3), embeddings(rng, 4, 3)

    def changed(values):
        x = u.copy()
        x[2] = values
        return x

    for name, bad in (
        ("a row of zeros", changed(0.0)),
        ("a NaN", changed([1.0, math.nan, 2.0])),
        ("an infinity", changed([1.0, 2.0, -math.inf])),
        ("one row", u[:1]),
        ("no rows", u[:0]),
        ("one axis", u[0]),
        ("three axes", u[None]),
    ):
        with raises(ValueError, what=f"uniformity with {name}"):
            student.uniformity(bad)
        for function in ("alignment", "modality_gap"):
            with raises(ValueError, what=f"{function} with {name} on both sides"):
                getattr(student, function)(bad, bad)
        if np.shape(bad) == np.shape(u):
            for function in ("alignment", "modality_gap"):
                with raises(ValueError, what=f"{function} with {name} in u"):
                    getattr(student, function)(bad, v)
                with raises(ValueError, what=f"{function} with {name} in v"):
                    getattr(student, function)(v, bad)
    for function in ("alignment", "modality_gap"):
        for name, a, b in (
            ("4 and 3 rows", u, v[:3]),
            ("4 and 2 rows", u, v[:2]),
            ("1 and 4 rows", u[:1], v),
            ("widths 3 and 2", u, v[:, :2]),
            ("widths 1 and 3", u[:, :1], v),
        ):
            with raises(ValueError, what=f"{function} with {name}"):
                getattr(student, function)(a, b)
    for t in (0, 0.0, -2.0, math.nan):
        with raises(ValueError, what=f"uniformity with t = {t}"):
            student.uniformity(u, t)
    after = student.run(arguments_after_all_measures, u.copy(), v.copy())
    for name, left, right in zip(("u", "v"), after, (u, v), strict=True):
        assert_unchanged(left, right, what=f"argument {name}")
