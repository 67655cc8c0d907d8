"""Checks of adversarial/discrete_text_generation. What is expected is worked out in Python's floats, token by token."""

from __future__ import annotations

import math

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

CLOSE = {"rtol": 0.0, "atol": 1e-5}
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


# ---------------------------------------------------------------- what runs in the student's process


def arguments_after_the_calls(student, logits, u, y, table):
    for hard in (False, True):
        student.gumbel_softmax(logits, 0.7, u, hard=hard)
    student.soft_embed(y, table)
    return logits, u, y, table


def gumbel_softmax_twice(student, logits, u):
    """Do two calls with the same noise give the same sample?"""
    import torch

    first, second = (student.gumbel_softmax(logits.clone(), 1.0, u.clone()) for _ in range(2))
    return bool(torch.equal(first, second))


def winners_of_gumbel_softmax(student, logits, tau, u):
    """How often each token is the largest of the sample."""
    import torch

    y = student.gumbel_softmax(logits.expand(u.shape), tau, u)
    return torch.bincount(y.argmax(dim=-1).flatten(), minlength=u.shape[-1])


def gradient_of_gumbel_softmax(student, logits, tau, u, direction, hard):
    """The sample, and the gradient by the logits of the sample's dot product with `direction` (None: there is none)."""
    import torch

    logits = logits.clone().requires_grad_()
    y = student.gumbel_softmax(logits, tau, u, hard=hard)
    if not (isinstance(y, torch.Tensor) and y.requires_grad):
        return y, None
    return y, torch.autograd.grad(y, logits, direction, allow_unused=True)[0]


def gradients_of_soft_embed(student, y, table, direction):
    import torch

    y, table = y.clone().requires_grad_(), table.clone().requires_grad_()
    embedded = student.soft_embed(y, table)
    if not (isinstance(embedded, torch.Tensor) and embedded.requires_grad):
        return None, None
    return torch.autograd.grad(embedded, (y, table), direction, allow_unused=True)


# ---------------------------------------------------------------- what is expected, worked out here


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(np.asarray(rng.standard_normal(shape)))


def uniform(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(np.asarray(rng.uniform(0.02, 0.98, shape)))


def distributions(rng: np.random.Generator, *shape: int) -> Tensor:
    """Uneven distributions over the last axis."""
    return torch.softmax(1.5 * normal(rng, *shape), dim=-1)


def soft_sample(logits: list[float], tau: float, u: list[float]) -> list[float]:
    """The soft sample of one place."""
    scores = [(logit - math.log(-math.log(number))) / tau for logit, number in zip(logits, u, strict=True)]
    weights = [math.exp(score - max(scores)) for score in scores]
    return [weight / math.fsum(weights) for weight in weights]


def soft_samples(logits: Tensor, tau: float, u: Tensor) -> Tensor:
    rows = zip(logits.double().tolist(), u.double().tolist(), strict=True)
    return torch.tensor([soft_sample(row, tau, numbers) for row, numbers in rows], dtype=torch.float64)


def slopes(soft: Tensor, direction: Tensor, tau: float) -> Tensor:
    """Gradient, by the logits, of the dot product of a softmax sample with `direction`: y * (c - mean of c) / tau."""
    rows = []
    for weights, values in zip(soft.flatten(0, -2).tolist(), direction.flatten(0, -2).tolist(), strict=True):
        mean = math.fsum(w * c for w, c in zip(weights, values, strict=True))
        rows.append([w * (c - mean) / tau for w, c in zip(weights, values, strict=True)])
    return torch.tensor(rows, dtype=torch.float64).reshape(soft.shape)


def embed(y: Tensor, table: Tensor) -> Tensor:
    rows, places = table.tolist(), y.reshape(-1, y.shape[-1]).tolist()
    embedded = [
        [math.fsum(w * row[column] for w, row in zip(place, rows, strict=True)) for column in range(table.shape[1])]
        for place in places
    ]
    return torch.tensor(embedded, dtype=torch.float64).reshape(*y.shape[:-1], table.shape[1])


def assert_tensor(result: object, what: str) -> None:
    if not isinstance(result, Tensor):
        raise AssertionError(f"The {what} should be a tensor; it is of type {type(result).__name__}.")


def assert_one_hot(y: Tensor, case: str) -> None:
    """Exactly one 1 at each place, and exact zeros elsewhere."""
    for place in y.reshape(-1, y.shape[-1]).tolist():
        if sorted(place) != [0.0] * (len(place) - 1) + [1.0]:
            raise AssertionError(
                f"With hard=True one place of the sample is ({', '.join(f'{entry:.9g}' for entry in place)}) ({case}); "
                "it should hold a single 1, and 0 everywhere else, exactly."
            )


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_two_places_worked_out_by_hand(student):
    """The example in the notebook comes out right."""
    logits = torch.tensor([[3.0, 1.0, 2.0], [1.0, 5.0, 2.0]]).log()
    u = torch.exp(-torch.tensor([[1.0, 1 / 4, 2.0], [1 / 2, 1.0, 1 / 6]]))
    expected = torch.tensor([[9 / 26, 16 / 26, 1 / 26], [4 / 173, 25 / 173, 144 / 173]])
    assert_close(student.gumbel_softmax(logits, 0.5, u), expected, what="soft sample", **CLOSE)
    hard = student.gumbel_softmax(logits, 0.5, u, hard=True)
    assert_equal(hard, torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), what="hard sample")
    reward = torch.tensor([[1.0, 2.0, 4.0]] * 2)
    for hard in (False, True):
        _, gradient = student.run(gradient_of_gumbel_softmax, logits, 0.5, u, reward, hard)
        if gradient is None:
            raise AssertionError(f"The sample with hard={hard} does not depend on the logits for autograd.")
        assert_close(gradient, slopes(expected, reward, 0.5), what=f"gradient with hard={hard}", rtol=0, atol=2e-5)
    table = torch.tensor([[1.0, 0.0], [0.0, 10.0], [5.0, 5.0]])
    embedded = student.soft_embed(torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]), table)
    assert_close(embedded, torch.tensor([[1.75, 3.75], [5.0, 5.0]]), what="embedded sample")


@points(1)
@catches("softmax-over-the-places", "always-float32", "noise-changed-in-place")
def test_a_distribution_over_the_tokens_at_every_place(student, rng):
    """Every place gets a distribution over the tokens, in the dtype of the logits, and the arguments stay unchanged."""
    for dtype in DTYPES:
        name = name_of(dtype)
        for leading in ((2, 3), (4,), ()):
            logits, u = normal(rng, *leading, 5).to(dtype), uniform(rng, *leading, 5).to(dtype)
            for hard in (False, True):
                y = student.gumbel_softmax(logits, 0.7, u, hard=hard)
                case = f"{name} logits of shape {tuple(logits.shape)}, hard={hard}"
                assert_tensor(y, f"sample ({case})")
                assert_shape(y, (*leading, 5), what=f"sample ({case})")
                assert_dtype(y, name, what=f"sample ({case})")
                if not hard:
                    total = torch.ones(leading, dtype=dtype)
                    assert_close(y.sum(dim=-1), total, what=f"sum over the tokens of each place ({case})", atol=0.02)
            embedded = student.soft_embed(distributions(rng, *leading, 5).to(dtype), normal(rng, 5, 4).to(dtype))
            case = f"{name} samples of shape {tuple(logits.shape)} and a table of shape (5, 4)"
            assert_tensor(embedded, f"embedding ({case})")
            assert_shape(embedded, (*leading, 4), what=f"embedding ({case})")
            assert_dtype(embedded, name, what=f"embedding ({case})")
    u = uniform(rng, 3, 5)
    u[0, :2] = torch.tensor([0.0, 1.0])
    before = normal(rng, 3, 5), u, distributions(rng, 3, 5), normal(rng, 5, 4)
    after = student.run(arguments_after_the_calls, *(value.clone() for value in before))
    for what, left, right in zip(("logits", "u", "y", "embedding_weight"), after, before, strict=True):
        assert_unchanged(left, right, what=what)


@points(1)
@catches(
    "plain-softmax",
    "noise-of-its-own",
    "one-logarithm",
    "noise-subtracted",
    "probabilities-instead-of-logits",
    "uniform-noise",
    "normal-noise",
    "clamped-too-far",
    "cooled-after-the-softmax",
)
def test_gumbel_noise_does_the_drawing(student, rng):
    """The noise is Gumbel noise made from u, and each token wins as often as the softmax of the logits says."""
    logits, u = torch.zeros(1, 4, dtype=torch.float64), uniform(rng, 1, 4)
    if not student.run(gumbel_softmax_twice, logits, u):
        raise AssertionError("gumbel_softmax gave two samples that differ for the same u: all chance should be in u.")
    cause = "with tau = 1 the sample is the softmax of logits + noise, where the noise is -log(-log u)"
    y = student.gumbel_softmax(logits, 1.0, u)
    assert_close(y, soft_samples(logits, 1.0, u), what="sample of logits that are all 0", cause=cause, **CLOSE)
    for rows, tokens in ((3, 4), (2, 7)):
        logits, u = 1.5 * normal(rng, rows, tokens), uniform(rng, rows, tokens)
        u[0, :2] = torch.tensor([0.011, 0.989])
        for dtype in (torch.float64, torch.float32):
            y = student.gumbel_softmax(logits.to(dtype), 1.0, u.to(dtype))
            what = f"sample of {rows} rows and {tokens} tokens in {name_of(dtype)}"
            assert_close(y, soft_samples(logits, 1.0, u), what=what, cause=cause, **CLOSE)
    logits = torch.tensor([0.0, -1.0, 1.2, 0.4], dtype=torch.float64)
    u = torch.from_numpy(rng.random((20_000, 4)))
    wins = student.run(winners_of_gumbel_softmax, logits, 1.0, u)
    chances = torch.tensor(soft_sample(logits.tolist(), 1.0, [math.exp(-1)] * 4))  # noise 0: softmax of the logits
    what = "share of 20000 samples in which each token is the largest"
    assert_close(wins / len(u), chances, what=what, cause=cause, rtol=0, atol=0.02)


@points(1)
@catches("noise-not-cooled", "multiplied-by-tau", "tau-ignored", "logits-not-cooled")
def test_temperature_acts_on_logits_and_noise_together(student, rng):
    """A temperature other than 1 sharpens or smooths the whole sample, its noise included."""
    cause = "tau divides the sum of logits and noise, inside the softmax"
    logits, u = 1.2 * normal(rng, 3, 4), uniform(rng, 3, 4)
    # from the sample of tau = 1 that was there, so that a mistake in the noise costs its own check
    base = student.gumbel_softmax(logits, 1.0, u)
    assert_tensor(base, "sample with tau=1")
    assert_shape(base, (3, 4), what="sample with tau=1")
    if not bool((base > 0).all()):
        raise AssertionError("The soft sample with tau=1 holds a number that is not positive; a softmax has none.")
    for tau in (0.5, 2.0, 0.05, 30.0):
        scores = base.double().log() / tau
        expected = (scores - scores.logsumexp(dim=-1, keepdim=True)).exp()
        y = student.gumbel_softmax(logits, tau, u)
        assert_close(y, expected, what=f"sample with tau={tau}", cause=cause, **CLOSE)


@points(1)
@catches(
    "hard-ignored",
    "not-exactly-one-hot",
    "soft-not-taken-away",
    "largest-logit",
    "one-token-for-the-whole-text",
    "all-of-several-largest",
)
def test_hard_samples_are_exactly_one_hot(student, rng):
    """A hard sample is exactly one-hot, at the largest entry of the soft sample."""
    for dtype, shape in ((torch.float64, (2, 3, 5)), (torch.float32, (300, 4)), (torch.float32, (6,))):
        logits, u = normal(rng, *shape).to(dtype), uniform(rng, *shape).to(dtype)
        soft = student.gumbel_softmax(logits, 0.8, u)
        assert_tensor(soft, "soft sample")
        hard = student.gumbel_softmax(logits, 0.8, u, hard=True)
        case = f"{name_of(dtype)} logits of shape {shape}"
        assert_tensor(hard, f"hard sample ({case})")
        assert_shape(hard, shape, what=f"hard sample ({case})")
        assert_one_hot(hard, case)
        # the soft sample that was there, so that a mistake in the noise costs its own check
        what = f"place of the 1 in the hard sample ({case})"
        cause = "the 1 belongs to the largest entry of the soft sample, at each place for itself"
        assert_equal(hard.argmax(dim=-1), soft.argmax(dim=-1), what=what, cause=cause)
    level = torch.zeros(2, 4, dtype=torch.float64)
    hard = student.gumbel_softmax(level, 0.8, level + 0.4, hard=True)
    assert_tensor(hard, "hard sample")
    assert_one_hot(hard, "all logits and all noise are equal: any one token may win")


@points(2)
@catches(
    "argmax-without-gradient",
    "gradient-turned-round",
    "gradient-of-the-plain-softmax",
    "gradient-of-the-logits",
    "soft-sample-detached",
)
def test_hard_samples_have_the_gradient_of_soft_ones(student, rng):
    """The gradient reaches the logits, and hard samples have the one of the soft samples."""
    for tau, shape in ((0.6, (3, 4)), (1.7, (2, 3, 5))):
        logits, u, direction = normal(rng, *shape), uniform(rng, *shape), 3 * normal(rng, *shape)
        soft, gradient = student.run(gradient_of_gumbel_softmax, logits, tau, u, direction, False)
        assert_tensor(soft, "soft sample")
        assert_shape(soft, shape, what="soft sample")
        # of the soft sample that was there, so that a mistake in the noise costs its own check
        expected = slopes(soft, direction, tau)
        for hard in (False, True):
            if hard:
                _, gradient = student.run(gradient_of_gumbel_softmax, logits, tau, u, direction, True)
            case = f"hard={hard}, tau={tau}"
            if gradient is None:
                raise AssertionError(f"No gradient reaches the logits ({case}): a generator could not learn from it.")
            cause = "the gradient is that of the softmax of (logits + noise) / tau, whether the sample is hard or soft"
            assert_close(gradient, expected, what=f"gradient by the logits ({case})", cause=cause, rtol=1e-5, atol=1e-6)


@points(1)
@catches("looked-up", "mean-over-the-tokens", "softmax-once-more", "only-the-largest-weight", "table-detached")
def test_soft_embedding_adds_up_the_rows_of_the_table(student, rng):
    """A sample is embedded as the sum of the table's rows with the sample's weights, and gradients reach both."""
    table = normal(rng, 5, 3)
    cause = "each token adds its weight in the sample times its row of the table"
    for shape in ((4, 5), (5,), (2, 3, 5)):
        y = distributions(rng, *shape)
        embedded = student.soft_embed(y, table)
        assert_close(embedded, embed(y, table), what=f"embedding of a sample of shape {shape}", cause=cause, **CLOSE)
    tokens = torch.from_numpy(rng.integers(0, 5, (2, 3)))
    rows = student.soft_embed(torch.eye(5, dtype=torch.float64)[tokens], table)
    assert_close(rows, table[tokens], what="embedding of one-hot samples", cause="a one-hot sample picks its row")
    y, direction = distributions(rng, 2, 4, 5), normal(rng, 2, 4, 3)
    by_sample, by_table = student.run(gradients_of_soft_embed, y, table, direction)
    expected = embed(direction, table.T.contiguous())
    pairs = zip(y.flatten(0, 1), direction.flatten(0, 1), strict=True)
    total = sum(torch.outer(weights, slope) for weights, slope in pairs)
    for what, gradient, wanted in (("y", by_sample, expected), ("embedding_weight", by_table, total)):
        if gradient is None:
            raise AssertionError(f"The embedding does not depend on {what} for autograd: no gradient reaches it.")
        assert_close(gradient, wanted, what=f"gradient of soft_embed by {what}", cause=cause, **CLOSE)


@points(1)
@catches(
    "not-clamped",
    "clamped-by-too-little",
    "constants-that-vanish-in-half-precision",
    "only-0-moved",
    "infinite-noise-set-to-0",
    "exponentials-without-maximum",
)
def test_the_ends_of_u_and_large_logits_stay_finite(student, rng):
    """Values and gradients are finite where u is exactly 0 or 1, in every dtype, and where logits are large."""
    ends = [[1.0, 0.6, 0.6, 0.6], [0.6, 0.6, 1.0, 0.0], [0.3, 0.0, 0.0, 0.0], [0.0, 0.3, 0.0, 0.0]]
    winners = [0, 2, 0, 1]
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        u, logits = torch.tensor(ends, dtype=dtype), torch.full((4, 4), 0.5, dtype=dtype)
        direction = normal(rng, 4, 4).to(dtype)
        for hard in (False, True):
            case = f"{name_of(dtype)}, hard={hard}, tau=0.7; u holds 0 and 1"
            y, gradient = student.run(gradient_of_gumbel_softmax, logits, 0.7, u, direction, hard)
            assert_finite(y, gradient, case)
            what = f"list of the winning tokens of four rows with equal logits ({case})"
            cause = "u = 1 is the largest noise of all and u = 0 the smallest"
            assert_equal(y.argmax(dim=-1).tolist(), winners, what=what, cause=cause)
        for number in (0.0, 1.0):
            y, gradient = student.run(
                gradient_of_gumbel_softmax, logits, 0.7, torch.full_like(u, number), direction, False
            )
            assert_finite(y, gradient, f"{name_of(dtype)}, tau=0.7; u is {number:.0f} everywhere")
    for dtype in (torch.float32, torch.float64):
        logits = torch.tensor([[10000.0, 9990.0, -10000.0], [-10000.0, -9900.0, -10000.0]], dtype=dtype)
        u, direction = uniform(rng, 2, 3).to(dtype), normal(rng, 2, 3).to(dtype)
        y, gradient = student.run(gradient_of_gumbel_softmax, logits, 0.1, u, direction, False)
        assert_finite(y, gradient, f"{name_of(dtype)}, tau=0.1; logits up to 10000")


def assert_finite(y: object, gradient: object, case: str) -> None:
    for what, value in (("sample", y), ("gradient by the logits", gradient)):
        if value is None:
            continue  # whether there is a gradient is for another check
        assert_tensor(value, f"{what} ({case})")
        if not bool(value.isfinite().all()):
            raise AssertionError(f"The {what} is NaN or infinite ({case}); it should be finite.")


@points(1)
@catches("temperature-not-checked", "broadcast", "range-not-checked", "nan-slips-through", "table-not-checked")
def test_bad_arguments_are_refused(student, rng):
    """Bad temperatures, noise and tables are refused."""
    logits, u = normal(rng, 2, 3, 5), uniform(rng, 2, 3, 5)
    for tau in (0.0, -0.5, math.nan):
        with raises(ValueError, what=f"gumbel_softmax with tau={tau}"):
            student.gumbel_softmax(logits, tau, u)
    for bad in (u[:1], u[0], u[:, :, :1], uniform(rng, 2, 3, 4), uniform(rng, 4, 2, 3, 5)):
        with raises(ValueError, what=f"gumbel_softmax with logits (2, 3, 5) and u {tuple(bad.shape)}"):
            student.gumbel_softmax(logits, 0.7, bad)
    for number in (-0.01, 1.01, math.nan):
        bad = u.clone()
        bad[1, 0, 2] = number
        with raises(ValueError, what=f"gumbel_softmax with the number {number} in u"):
            student.gumbel_softmax(logits, 0.7, bad)
    y = distributions(rng, 2, 5)
    for shape in ((4, 3), (3, 5), (5,), (5, 4, 3), (1, 5, 3)):
        with raises(ValueError, what=f"soft_embed with y (2, 5) and embedding_weight {shape}"):
            student.soft_embed(y, normal(rng, *shape))
