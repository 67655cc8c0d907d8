"""Checks of compression/distillation_and_storage. Expected losses are summed class by class with `math`."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import assert_claims, assert_close, assert_unchanged, catches, points, raises, visible

CLAIMS = {
    "more_robust": False,
    "same_on_average": False,
    "bytes_follow_zeros": False,
    "time_follows_zeros": False,
    "gradients_shrink": True,
    "half_the_rank": True,
    "fewer_image_tokens": True,
    "after_training": True,
}
CLOSE = {"rtol": 1e-9, "atol": 1e-11}

# likely causes
AT_ONE = "the hard term takes the student's logits as they are, and averages over the samples"
KL = "KL(teacher || student) = sum of p log(p / q), p the teacher's probability and q the student's, both softened"
SAMPLES = "sum over the classes, average over the samples"
FINITE = "a probability that underflows to 0 has a finite logarithm, if it is computed as a logarithm"
SPARSE = "each non-zero entry needs its value and its column, and rows + 1 pointers say where the rows begin"


def log_probabilities(row):
    """log softmax of one row of logits."""
    top = max(row)
    return [value - top - math.log(math.fsum(math.exp(other - top) for other in row)) for value in row]


def divergence(p, q):
    """KL of two lists of log-probabilities."""
    return math.fsum(math.exp(a) * (a - b) for a, b in zip(p, q, strict=True))


def expected_loss(student_logits, teacher_logits, labels, temperature, alpha):
    soft, hard = [], []
    rows = (np.asarray(student_logits, float).tolist(), np.asarray(teacher_logits, float).tolist(), labels)
    for student_row, teacher_row, label in zip(*rows, strict=True):
        q, p = (log_probabilities([value / temperature for value in row]) for row in (student_row, teacher_row))
        soft.append(divergence(p, q))
        hard.append(-log_probabilities(student_row)[label])
    return (alpha * temperature**2 * math.fsum(soft) + (1 - alpha) * math.fsum(hard)) / len(labels)


def batch(rng, samples, classes, spread=2.0):
    """Logits of student and teacher that differ clearly, and labels."""
    student_logits, teacher_logits = spread * rng.standard_normal((2, samples, classes))
    return student_logits, teacher_logits, rng.integers(0, classes, samples).tolist()


def assert_loss(student, arguments, case, cause, expected=None):
    """Call `distillation_loss` and compare; `case` names the call in the message."""
    expected = expected_loss(*arguments) if expected is None else expected
    assert_close(student.distillation_loss(*arguments), expected, **CLOSE, what=f"loss {case}", cause=cause)


def assert_bytes(student, shape, scheme, expected, cause, **options):
    call = ", ".join([str(shape), repr(scheme), *(f"{name}={value}" for name, value in options.items())])
    value = student.storage_bytes(shape, scheme, **options)
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise AssertionError(f"storage_bytes({call}) returned {value!r}; a number of bytes is an integer.")
    assert_close(int(value), expected, rtol=0, atol=0, what=f"result of storage_bytes({call})", cause=cause)


@points(1)
@visible
def test_worked_example(student):
    """The two samples and the small matrix of the notebook come out right."""
    student_logits = 2 * np.log([[0.5, 0.25, 0.25], [0.2, 0.6, 0.2]])
    teacher_logits = 2 * np.log([[0.6, 0.3, 0.1], [0.25, 0.25, 0.5]])
    loss = student.distillation_loss(student_logits, teacher_logits, [0, 2], temperature=2.0, alpha=0.4)
    cause = "alpha * T^2 * soft + (1 - alpha) * hard, the soft term at temperature T, the hard term at 1"
    assert_close(loss, 1.135027632217113, rtol=1e-5, atol=1e-8, what="loss", cause=cause)
    for scheme, expected, options in (
        ("dense_fp16", 120, {}),
        ("int8_per_channel", 84, {}),
        ("csr_fp32", 100, {"nnz": 9}),
        ("lowrank_fp32", 128, {"rank": 2}),
    ):
        what = f"number of bytes of a 6 x 10 matrix as {scheme}"
        assert_close(student.storage_bytes((6, 10), scheme, **options), expected, rtol=0, atol=0, what=what)


@points(3)
@catches("claims-as-published", "speed-and-tokens-misjudged")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("hard-at-temperature", "factor-on-both-terms", "summed-over-the-batch", "negative-log-of-two")
@given(
    sizes=st.tuples(st.sampled_from([3, 5, 1, 7]), st.sampled_from([4, 2, 6])),
    temperature=st.sampled_from([0.5, 2, 3.5, 8.0]),
    draw=st.integers(0, 2**32 - 1),
)
def test_with_alpha_zero_only_the_labels_count(student, sizes, temperature, draw):
    """With alpha = 0 the loss is the student's cross-entropy, at any temperature and for any teacher."""
    samples, classes = sizes
    student_logits, teacher_logits, labels = batch(np.random.default_rng(draw), samples, classes)
    case = f"for {samples} samples of {classes} classes, temperature {temperature}, alpha 0"
    assert_loss(student, (student_logits, teacher_logits, labels, temperature, 0), case, AT_ONE)


@points(1)
@catches(
    "no-factor",
    "factor-t-once",
    "divergence-reversed",
    "mean-over-classes",
    "teacher-entropy-left-in",
    "student-not-softened",
    "teacher-not-softened",
    "logits-times-temperature",
    "teacher-as-labels",
    "logits-compared",
    "probabilities-softened-afterwards",
)
@given(
    sizes=st.tuples(st.sampled_from([3, 5, 1, 7]), st.sampled_from([4, 2, 6])),
    temperature=st.sampled_from([0.5, 2, 3.5, 8.0]),
    draw=st.integers(0, 2**32 - 1),
)
def test_with_alpha_one_only_the_teacher_counts(student, sizes, temperature, draw):
    """With alpha = 1 the loss is T² times the divergence of the softened distributions."""
    samples, classes = sizes
    student_logits, teacher_logits, labels = batch(np.random.default_rng(draw), samples, classes)
    case = f"for {samples} samples of {classes} classes, temperature {temperature}, alpha 1"
    assert_loss(student, (student_logits, teacher_logits, labels, temperature, 1), case, KL)
    case = f"of a student with the teacher's logits, temperature {temperature}, alpha 1"
    assert_loss(student, (teacher_logits, teacher_logits, labels, temperature, 1), case, KL, expected=0.0)

    # at a high temperature: half the mean square of the difference of the logits, centred in each row
    difference = student_logits - teacher_logits
    difference -= difference.mean(axis=1, keepdims=True)
    loss = student.distillation_loss(student_logits, teacher_logits, labels, 4000.0, 1.0)
    cause = "T^2 keeps the soft term from vanishing at a high temperature"
    assert_close(loss, np.mean(difference**2) / 2, rtol=1e-2, what="loss at temperature 4000, alpha 1", cause=cause)


def arguments_after_the_call(student, student_logits, teacher_logits, labels):
    student.distillation_loss(student_logits, teacher_logits, labels, 3.0, 0.5)
    return student_logits, teacher_logits, labels


@points(1)
@catches("same-share-for-both", "changed-in-place")
def test_the_two_parts_are_mixed_and_nothing_else_enters(student, rng):
    """Alpha mixes the two parts; a number added to a row, the order of samples and doubled samples change nothing."""
    student_logits, teacher_logits, labels = batch(rng, 5, 3)
    labels = np.array(labels)
    parts = [student.distillation_loss(student_logits, teacher_logits, labels, 3.0, alpha) for alpha in (0.0, 1.0)]
    for alpha in (0.125, 0.7):
        loss = student.distillation_loss(student_logits, teacher_logits, labels, 3.0, alpha)
        what = f"loss at alpha {alpha}, compared with your own losses at alpha 0 and 1,"
        cause = "the shares of the two terms add up to 1"
        assert_close(loss, (1 - alpha) * parts[0] + alpha * parts[1], **CLOSE, what=what, cause=cause)

    usual = student.distillation_loss(student_logits, teacher_logits, labels, 3.0, 0.4)
    student_shift, teacher_shift = 5 * rng.standard_normal((2, 5, 1))
    order = rng.permutation(5)
    for case, arguments in (
        (
            "after a number was added to each row",
            (student_logits + student_shift, teacher_logits + teacher_shift, labels),
        ),
        ("of the samples in another order", (student_logits[order], teacher_logits[order], labels[order])),
        (
            "of every sample twice",
            [np.concatenate([array, array]) for array in (student_logits, teacher_logits, labels)],
        ),
    ):
        loss = student.distillation_loss(*arguments, 3.0, 0.4)
        assert_close(loss, usual, rtol=1e-8, what=f"loss {case}, compared with your own loss without that,")

    arguments = student_logits, teacher_logits, labels
    names = ("student_logits array", "teacher_logits array", "labels array")
    for name, before, after in zip(names, arguments, student.run(arguments_after_the_call, *arguments), strict=True):
        assert_unchanged(after, before, what=name)


@points(1)
@catches(
    "log-of-a-probability",
    "epsilon-in-the-logarithm",
    "no-maximum-taken-off",
    "one-maximum-for-all-rows",
    "dtype-of-the-logits",
)
def test_large_logits_and_narrow_types(student, rng):
    """Logits of ±10000 give finite, accurate losses, and logits of any type are computed in float64."""
    large = np.array([[10000.0, -10000.0, 0.0], [-10000.0, -9999.0, -9997.5], [1.5, 0.25, -0.5]])
    other = np.array([[9998.0, 9999.0, -10000.0], [-3.0, 10000.0, -10000.0], [10000.0, 2.0, -1.0]])
    labels = [0, 2, 1]
    for alpha in (0, 1):  # temperature 1 leaves the factor out of this check
        assert_loss(student, (large, other, labels, 1, alpha), f"for logits of 10000, alpha {alpha}", FINITE)
        assert_loss(student, (other, large, labels, 1, alpha), f"for logits of 10000, alpha {alpha}", FINITE)
    student_logits, teacher_logits, labels = batch(rng, 4, 3, spread=6.0)
    for dtype in (np.float16, np.float32, np.int64):
        arguments = student_logits.astype(dtype), teacher_logits.astype(dtype), labels
        for alpha in (0, 1):
            case = f"for {np.dtype(dtype).name} logits, alpha {alpha}"
            cause = "the logits have to become float64 before anything is computed"
            assert_loss(student, (*arguments, 1, alpha), case, cause)
    plain = student_logits.round(3).tolist(), teacher_logits.round(3).tolist(), labels
    assert_loss(student, (*plain, 1, 0), "for nested lists, alpha 0", "arguments may be lists")


@points(1)
@catches(
    "density-times-dense",
    "values-without-columns",
    "no-row-pointers",
    "one-row-pointer-too-few",
    "pointers-for-columns",
    "coordinates-for-each-value",
    "int8-without-scales",
    "one-scale-for-each-column",
    "one-byte-for-each-scale",
    "rank-times-the-matrix",
    "bytes-as-a-float",
    "no-non-zero-refused",
)
def test_everything_that_is_stored_is_counted(student, rng):
    """The bytes of every scheme are those of the numbers that have to be stored."""
    rows, columns = (int(rng.integers(40, 70)), int(rng.integers(100, 160)))
    for shape in ((rows, columns), (columns, rows), (1, 7), (9, 1)):
        m, n = shape
        pairs = m * n
        for nnz in sorted({0, 1, pairs // 3, pairs}):
            expected = sum([4, 4]) * nnz + sum(4 for _ in range(m)) + 4
            assert_bytes(student, shape, "csr_fp32", expected, SPARSE, nnz=nnz)
        scales = "quantised weights cannot be read without their float32 scales"
        assert_bytes(student, shape, "int8_per_tensor", pairs + 4, scales)
        assert_bytes(student, shape, "int8_per_channel", sum(n + 4 for _ in range(m)), scales)
        for rank in sorted({1, min(m, n) // 2 or 1, min(m, n)}):
            factors = "one factor has rows times rank entries, the other rank times columns"
            assert_bytes(student, shape, "lowrank_fp32", 4 * m * rank + 4 * rank * n, factors, rank=rank)
        assert_bytes(student, shape, "dense_fp32", 4 * pairs, "four bytes for each entry")
        assert_bytes(student, shape, "dense_fp16", 2 * pairs, "two bytes for each entry")
    assert_bytes(student, (rows, columns), "csr_fp32", 8 * 17 + 4 * rows + 4, SPARSE, nnz=np.int64(17))
    assert_bytes(student, (50_000, 60_000), "dense_fp32", 12_000_000_000, "four bytes for each entry")


@points(1)
@catches(
    "any-temperature",
    "nan-is-in-range",
    "any-alpha",
    "negative-label-wraps-around",
    "one-teacher-row-for-all",
    "more-non-zeros-than-entries",
    "any-rank",
)
def test_bad_input_is_refused(student, rng):
    """What does not fit or is out of range raises ValueError."""
    good_student, good_teacher, _ = batch(rng, 4, 3)
    labels = [2, 0, 1, 0]
    nan, inf = float("nan"), float("inf")
    for case, arguments in (
        ("label -1", (good_student, good_teacher, [2, 0, -1, 0], 2.0, 0.5)),
        ("label 3 of 3 classes", (good_student, good_teacher, [2, 0, 3, 0], 2.0, 0.5)),
        ("temperature 0", (good_student, good_teacher, labels, 0, 0.5)),
        ("temperature -2", (good_student, good_teacher, labels, -2.0, 0.5)),
        ("temperature NaN", (good_student, good_teacher, labels, nan, 0.5)),
        ("infinite temperature", (good_student, good_teacher, labels, inf, 0.5)),
        ("alpha -0.1", (good_student, good_teacher, labels, 2.0, -0.1)),
        ("alpha 1.1", (good_student, good_teacher, labels, 2.0, 1.1)),
        ("alpha NaN", (good_student, good_teacher, labels, 2.0, nan)),
        ("one teacher row for 4 samples", (good_student, good_teacher[:1], labels, 2.0, 0.5)),
        ("one student row for 4 samples", (good_student[:1], good_teacher, labels, 2.0, 0.5)),
        ("2 classes of 3 in the teacher", (good_student, good_teacher[:, :2], labels, 2.0, 0.5)),
        ("1 class of 3 in the teacher", (good_student, good_teacher[:, :1], labels, 2.0, 0.5)),
        ("3 labels for 4 samples", (good_student, good_teacher, labels[:3], 2.0, 0.5)),
        ("1 label for 4 samples", (good_student, good_teacher, labels[:1], 2.0, 0.5)),
        ("labels of shape (4, 1)", (good_student, good_teacher, np.array(labels)[:, None], 2.0, 0.5)),
        ("one-dimensional logits", (good_student[0], good_teacher[0], [1], 2.0, 0.5)),
        ("three-dimensional logits", (good_student[None], good_teacher[None], [[1, 0, 2, 1]], 2.0, 0.5)),
        ("no samples", (good_student[:0], good_teacher[:0], np.zeros(0, int), 2.0, 0.5)),
    ):
        with raises(ValueError, what=f"distillation_loss with {case}"):
            student.distillation_loss(*arguments)
    for shape, scheme, options in (
        ((5, 8), "csr_fp32", {"nnz": 41}),
        ((5, 8), "csr_fp32", {"nnz": -1}),
        ((5, 8), "csr_fp32", {}),
        ((5, 8), "lowrank_fp32", {"rank": 6}),
        ((8, 5), "lowrank_fp32", {"rank": 6}),
        ((5, 8), "lowrank_fp32", {"rank": 0}),
        ((5, 8), "lowrank_fp32", {}),
        ((5, 8), "dense_fp8", {}),
        ((5, 0), "dense_fp32", {}),
        ((-5, -8), "dense_fp32", {}),
        ((5,), "dense_fp32", {}),
        ((5, 8, 2), "dense_fp32", {}),
    ):
        call = ", ".join([str(shape), repr(scheme), *(f"{name}={value}" for name, value in options.items())])
        with raises(ValueError, what=f"storage_bytes({call})"):
            student.storage_bytes(shape, scheme, **options)
