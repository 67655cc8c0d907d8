"""Checks of compression/memory_budget. Expected bytes are counted number by number, or in exact fractions."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from grader.checking import assert_equal, catches, points, raises, visible

KEYS = ("weights", "grads", "optimizer", "total")
BYTES = {  # what Adam keeps for one trained parameter
    "fp32": {"weights": [4], "grads": [4], "optimizer": [4, 4]},
    "mixed": {"weights": [2], "grads": [2], "optimizer": [4, 4, 4]},
}


def up(fraction: Fraction) -> int:
    """A fraction rounded up."""
    return -((-fraction.numerator) // fraction.denominator)


def assert_int(value, expected: int, *, what: str, cause: str = "") -> None:
    """Fail unless the value is that Python int."""
    if type(value) is float:
        raise AssertionError(f"The {what} should be the int {expected}; it is the float {value!r}.")
    if type(value) is not int:
        raise AssertionError(f"The {what} should be the int {expected}; it is of type {type(value).__name__}.")
    assert_equal(value, expected, what=what, cause=cause)


def parts_of(result, *, what: str) -> dict:
    """The four numbers of a budget. Fails unless it is a dict with the four keys."""
    if not isinstance(result, dict) or sorted(map(str, result)) != sorted(KEYS):
        assert_equal(result, dict.fromkeys(KEYS, 0), what=f"result of {what}")  # says which keys are missing
    for key in KEYS:
        if not isinstance(result[key], int | float) or result[key] != result[key]:
            raise AssertionError(f"The entry {key!r} of {what} should be an int; it is {result[key]!r}.")
    return result


def assert_budget(result, expected: dict, *, what: str, cause: str = "") -> None:
    """Fail unless the result is a dict with the four keys and these numbers."""
    parts_of(result, what=what)
    for key in KEYS:
        assert_equal(result[key], expected[key], what=f"entry {key!r} of {what}", cause=cause)


def count_bytes(total: int, trainable: int, precision: str) -> dict:
    """Bytes on one device, parameter by parameter."""
    counted = dict.fromkeys(KEYS, 0)
    for parameter in range(total):
        for key, numbers in BYTES[precision].items():
            if key == "weights" or parameter < trainable:
                counted[key] += sum(numbers)
                counted["total"] += sum(numbers)
    return counted


@points(1)
@visible
def test_small_odd_numbers(student):
    """The example: bytes of a partly trained model, what fits, three methods, and operations."""
    result = student.training_bytes(1000, 100, "mixed")
    expected = {"weights": 2000, "grads": 200, "optimizer": 1200, "total": 3400}
    assert_budget(result, expected, what='training_bytes(1000, 100, "mixed")')
    result = student.training_bytes(1001, 100, "fp32", zero_stage=2, world=3, base_bytes=0.5)
    expected = {"weights": 851, "grads": 134, "optimizer": 267, "total": 1252}
    assert_budget(result, expected, what='training_bytes(1001, 100, "fp32", zero_stage=2, world=3, base_bytes=0.5)')
    for budget, expected in ((3400, 100), (3399, 99), (1999, -1)):
        result = student.max_trainable(1000, budget, "mixed")
        assert_equal(result, expected, what=f'result of max_trainable(1000, {budget}, "mixed")')
    for method, expected in (("full", 16000), ("lora", 2160), ("qlora", 676)):
        result = student.training_memory_bytes(1000, method, n_trainable=10)
        assert_equal(result, expected, what=f"result of training_memory_bytes(1000, {method!r}, n_trainable=10)")
    for frozen, expected in ((False, 300_000), (True, 200_000)):
        result = student.training_flops(1000, 50, frozen_base=frozen)
        assert_equal(result, expected, what=f"result of training_flops(1000, 50, frozen_base={frozen})")


@points(2)
@catches(
    "weights-only", "master-forgotten", "moments-forgotten", "states-of-frozen-parameters", "activations-included",
    "float-result",
)  # fmt: skip
def test_every_parameter_has_a_weight_and_the_trained_ones_more(student):
    """Every parameter has a weight; gradients and the numbers of Adam belong to the trained ones only."""
    for precision in ("fp32", "mixed"):
        for total, trainable in ((37, 11), (37, 37), (37, 0), (1, 1)):
            result = student.training_bytes(total, trainable, precision)
            what = f"training_bytes({total}, {trainable}, {precision!r})"
            cause = "look up the row of the table that belongs to the precision, and which parameters need which column"
            assert_budget(result, count_bytes(total, trainable, precision), what=what, cause=cause)
            for key in KEYS:
                assert_int(result[key], count_bytes(total, trainable, precision)[key], what=f"entry {key!r} of {what}")
    big = 10**12 + 1
    result = student.training_bytes(big, 3 * 10**11 + 7, "mixed")
    trained = 3 * 10**11 + 7
    expected = {"weights": 2 * big, "grads": 2 * trained, "optimizer": 12 * trained, "total": 2 * big + 14 * trained}
    assert_budget(result, expected, what=f"training_bytes({big}, {trained}, 'mixed')")


def training_bytes_with_fraction(student, total, trainable, precision, numerator, denominator):
    from fractions import Fraction

    return student.training_bytes(total, trainable, precision, base_bytes=Fraction(numerator, denominator))


@points(1)
@catches("base-bytes-for-all", "base-bytes-zero-ignored", "base-bytes-rounded-down")
def test_frozen_weights_may_be_smaller(student):
    """base_bytes is the size of a frozen weight only, and the frozen weights together are rounded up to whole bytes."""
    for total, trainable, precision, base_bytes in (
        (101, 0, "mixed", 0.5),
        (112, 11, "mixed", 0.5),
        (112, 11, "fp32", 0.25),
        (103, 5, "fp32", 2),
        (50, 9, "mixed", 0),
        (50, 9, "fp32", 0.0),
        (1013, 20, "mixed", 0.515869140625),
        (100, 7, "mixed", Fraction(5, 9)),
        (60, 7, "fp32", 4),
        (60, 60, "mixed", 0.5),
    ):
        what = f"training_bytes({total}, {trainable}, {precision!r}, base_bytes={base_bytes})"
        if isinstance(base_bytes, Fraction):
            ratio = base_bytes.as_integer_ratio()
            result = student.run(training_bytes_with_fraction, total, trainable, precision, *ratio)
        else:
            result = student.training_bytes(total, trainable, precision, base_bytes=base_bytes)
        result = parts_of(result, what=what)
        expected = up(Fraction(base_bytes) * (total - trainable)) + sum(BYTES[precision]["weights"]) * trainable
        cause = "trained weights keep their size; the bytes of all frozen ones together are rounded up"
        assert_equal(result["weights"], expected, what=f"entry 'weights' of {what}", cause=cause)
        plain = parts_of(student.training_bytes(total, trainable, precision), what="the same without base_bytes")
        for key in ("grads", "optimizer"):
            assert_equal(result[key], plain[key], what=f"entry {key!r} of {what}", cause="only the weights change")
        parts = sum(result[key] for key in KEYS[:3])
        assert_equal(result["total"], parts, what=f"entry 'total' of {what}", cause="the total is the sum of the parts")


@points(1)
@catches("zero-1-shards-gradients", "world-ignored", "zero-3-keeps-weights", "shards-rounded-down", "world-at-stage-0")
@given(
    sizes=st.tuples(st.integers(20, 400), st.integers(0, 20)),
    precision=st.sampled_from(["fp32", "mixed"]),
    world=st.integers(2, 9),
    base_bytes=st.sampled_from([None, 0.5]),
)
def test_each_zero_stage_shards_one_thing_more(student, sizes, precision, world, base_bytes):
    """ZeRO stage 1 shards the optimiser, stage 2 the gradients too, stage 3 the weights too, each rounded up."""
    total, trainable = sizes
    whole = parts_of(student.training_bytes(total, trainable, precision, base_bytes=base_bytes), what="stage 0")
    for stage, sharded in enumerate(((), ("optimizer",), ("optimizer", "grads"), ("optimizer", "grads", "weights"))):
        for devices in (1, world):
            result = student.training_bytes(total, trainable, precision, stage, devices, base_bytes)
            what = f"training_bytes({total}, {trainable}, {precision!r}, {stage}, {devices}, {base_bytes})"
            expected = {key: up(Fraction(whole[key]) / (devices if key in sharded else 1)) for key in KEYS[:3]}
            expected["total"] = sum(expected.values())
            cause = f"in stage {stage} each of {devices} devices keeps, rounded up, its share of: " + (
                ", ".join(sharded) or "nothing"
            )
            assert_budget(result, expected, what=what, cause=cause)


def training_bytes(student, total, options):
    """The totals for every possible number of trainable parameters."""
    return [student.training_bytes(total, trainable, **options)["total"] for trainable in range(total + 1)]


@points(1)
@catches("zero-for-does-not-fit", "budget-not-reached", "more-than-total", "options-dropped", "divided-by-full-cost")
def test_largest_number_that_fits(student):
    """max_trainable is the largest number whose bytes fit, from -1 (nothing fits) to all, also for large models."""
    total = 23
    for options in (
        {"precision": "mixed"},
        {"precision": "fp32", "zero_stage": 1, "world": 3},
        {"precision": "mixed", "zero_stage": 2, "world": 4, "base_bytes": 0.5},
        {"precision": "mixed", "zero_stage": 3, "world": 5, "base_bytes": 0.25},
        {"precision": "fp32", "base_bytes": 1.5},
    ):
        needed = student.run(training_bytes, total, options)
        edges = (needed[0] - 1, needed[0], needed[7], needed[7] - 1, needed[12] + 1, needed[-1], needed[-1] * 3)
        for budget in edges:
            if budget < 0:
                continue
            fitting = [trainable for trainable in range(total + 1) if needed[trainable] <= budget]
            expected = max(fitting, default=-1)
            result = student.max_trainable(total, budget, **options)
            arguments = ", ".join(f"{name}={value!r}" for name, value in options.items())
            assert_int(
                result,
                expected,
                what=f"result of max_trainable({total}, {budget}, {arguments})",
                cause="compare with training_bytes of the same arguments, for that number and for one more",
            )
    for base_bytes, expected in ((None, -1), (0, 0)):
        result = student.max_trainable(10, 0, "mixed", base_bytes=base_bytes)
        what = f"result of max_trainable(10, 0, 'mixed', base_bytes={base_bytes})"
        assert_int(result, expected, what=what, cause="frozen weights of 0 bytes fit into a budget of 0, others do not")
    big, budget = 7 * 10**9 + 1, 24 * 10**9
    result = student.max_trainable(big, budget, "mixed", base_bytes=0.5)
    if type(result) is not int or not 0 <= result < big:
        raise AssertionError(
            f"max_trainable({big}, {budget}, 'mixed', base_bytes=0.5) should be an int; it is {result}."
        )
    for trainable, fits in ((result, True), (result + 1, False)):
        needed = student.training_bytes(big, trainable, "mixed", base_bytes=0.5)["total"]
        if (needed <= budget) is not fits:
            raise AssertionError(
                f"max_trainable({big}, {budget}, 'mixed', base_bytes=0.5) is {result}, but {trainable} trainable "
                f"parameters take {needed} bytes, which {'is too much' if fits else 'would fit as well'}."
            )


@points(2)
@catches(
    "full-without-states", "adapter-inside-the-base", "constants-ignored", "constants-in-bytes", "float-rounding",
    "double-quantisation-ignored", "second-constant-per-block", "base-rounded-down", "adapter-forgotten",
)  # fmt: skip
def test_three_methods(student):
    """Full, LoRA and QLoRA take the announced bytes, exactly, with the constants of the quantised blocks."""
    for n, trainable in ((1000, 10), (777, 777), (1, 1), (3 * 10**9 + 1, 12 * 10**6 + 5), (10**12 + 3, 10**9)):
        result = student.training_memory_bytes(n, "full")
        assert_int(result, 16 * n, what=f"result of training_memory_bytes({n}, 'full')")
        result = student.training_memory_bytes(n, "lora", n_trainable=trainable)
        cause = "the adapter comes on top of the base, and is what training costs in full"
        what = f"result of training_memory_bytes({n}, 'lora', n_trainable={trainable})"
        assert_int(result, 2 * n + 16 * trainable, what=what, cause=cause)
        for block in (64, 48, 100, 32, 7, 1):
            for double_quant in (True, False):
                bits = 4 + (Fraction(8 + Fraction(32, 256), block) if double_quant else Fraction(32, block))
                expected = up(n * bits / 8) + 16 * trainable
                result = student.training_memory_bytes(n, "qlora", trainable, block, double_quant)
                what = f"result of training_memory_bytes({n}, 'qlora', {trainable}, {block}, {double_quant})"
                cause = "bits of a weight and its constants, exactly, then bytes of the whole base, rounded up"
                assert_int(result, expected, what=what, cause=cause)
    # sizes whose bytes come out whole, so that the smallest error of a float is rounded up to one byte too many
    for n, block, double_quant in (
        (999_999_990, 22, False), (999_999_999_872, 23, True), (10**12 + 39, 48, False), (2**53 + 1, 100, True),
        (10**16 + 61, 64, True),
    ):  # fmt: skip
        bits = 4 + (Fraction(8 + Fraction(32, 256), block) if double_quant else Fraction(32, block))
        expected = up(n * bits / 8) + 16 * 999
        result = student.training_memory_bytes(n, "qlora", 999, block=block, double_quant=double_quant)
        what = f"result of training_memory_bytes({n}, 'qlora', 999, block={block}, double_quant={double_quant})"
        assert_int(result, expected, what=what, cause="a float has 53 bits, and 32 / 22 is no float at all")
    default = student.training_memory_bytes(4096, "qlora", n_trainable=9)
    assert_int(default, 2113 + 16 * 9, what="result of training_memory_bytes(4096, 'qlora', n_trainable=9)")


@points(1)
@catches("six-for-a-frozen-base", "forward-alone", "flops-in-floats")
def test_operations_of_a_pass(student):
    """A trained parameter costs 6 operations for each token, a frozen one has no gradient of its own to compute."""
    for n, tokens in ((1, 1), (37, 11), (3 * 10**9 + 1, 10**12 + 7), (10**12 + 1, 2 * 10**13 + 3)):
        for frozen in (False, True):
            steps = ["forward", "gradient of the activations"] + ["gradient of the weight"] * (not frozen)
            result = student.training_flops(n, tokens, frozen)
            what = f"result of training_flops({n}, {tokens}, {frozen})"
            assert_int(result, sum(2 * n * tokens for _ in steps), what=what, cause=f"2 each for: {', '.join(steps)}")


@points(1)
@catches("floats-accepted", "too-many-trainable-accepted", "lora-without-adapter-accepted")
def test_bad_input_is_refused(student):
    """Numbers that are not integers are a TypeError, values out of range a ValueError."""
    for total, trainable, world in ((10.0, 3, 2), (10, 3.0, 2), (10, 3, 2.0), ("10", 3, 2)):
        with raises(TypeError, what=f"training_bytes({total!r}, {trainable!r}, 'mixed', 1, {world!r})"):
            student.training_bytes(total, trainable, "mixed", 1, world)
    nan = float("nan")
    for arguments in (
        (0, 0, "mixed"), (-5, -5, "mixed"), (10, -1, "mixed"), (10, 11, "mixed"), (10, 3, "fp8"), (10, 3, "MIXED"),
        (10, 3, "mixed", -1), (10, 3, "mixed", 4), (10, 3, "mixed", 1, 0), (10, 3, "fp32", 1, -2),
        (10, 3, "mixed", 0, 1, -0.5), (10, 3, "mixed", 0, 1, 2.5), (10, 3, "fp32", 0, 1, 4.5),
        (10, 3, "fp32", 0, 1, nan),
    ):  # fmt: skip
        with raises(ValueError, what=f"training_bytes{arguments}"):
            student.training_bytes(*arguments)
    for arguments in ((10.0, 100, "mixed"), (10, 100.0, "mixed"), (10, "100", "mixed")):
        with raises(TypeError, what=f"max_trainable{arguments}"):
            student.max_trainable(*arguments)
    for arguments in (
        (10, -1, "mixed"), (0, 100, "mixed"), (-3, 100, "mixed"), (10, 100, "fp8"), (10, 100, "mixed", 5),
        (10, 100, "mixed", 1, 0), (10, 100, "mixed", 0, 1, 3),
    ):  # fmt: skip
        with raises(ValueError, what=f"max_trainable{arguments}"):
            student.max_trainable(*arguments)
    for arguments in (
        (7e9, "full"),
        (1000.0, "lora", 10),
        (1000, "lora", 10.0),
        (1000, "qlora", 10, 64.0),
        ("9", "full"),
    ):
        with raises(TypeError, what=f"training_memory_bytes{arguments}"):
            student.training_memory_bytes(*arguments)
    for arguments in (
        (0, "full"), (-1, "full"), (1000, "adapter", 10), (1000, "FULL"), (1000, "lora"), (1000, "qlora"),
        (0, "lora", 0), (1000, "lora", -1), (1000, "lora", 1001), (1000, "qlora", 1001), (1000, "qlora", 10, 0),
        (1000, "qlora", 10, -64),
    ):  # fmt: skip
        with raises(ValueError, what=f"training_memory_bytes{arguments}"):
            student.training_memory_bytes(*arguments)
    for arguments in ((1e9, 10, False), (10, 1e9, True), (10, "10", False)):
        with raises(TypeError, what=f"training_flops{arguments}"):
            student.training_flops(*arguments)
    for arguments in ((0, 10, False), (10, 0, False), (-1, 10, True), (10, -1, True)):
        with raises(ValueError, what=f"training_flops{arguments}"):
            student.training_flops(*arguments)
