"""Hidden checks of transfer/keep_old_abilities: interpolated states in float64 loops, and a search through tables."""

import math

import torch

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
    "better_everywhere": False,
    "same_as_logits": False,
    "linear_agrees": True,
    "any_checkpoint": False,
    "chosen_on_shift": True,
    "target_is_enough": False,
    "random_head_distorts": True,
    "replay_helps": True,
}
NAN, INF = math.nan, math.inf

# ---------------------------------------------------------------- probes: they run in the student's process


def interpolate_live_models(student, zero_shot, fine_tuned, alpha):
    """Two models hold the states. Returned: the result, then both models' states after it has been overwritten."""
    import torch
    from torch import nn

    models = []
    for state in (zero_shot, fine_tuned):
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        model.load_state_dict(state)
        models.append(model)
    result = student.interpolate_weights(models[0].state_dict(), models[1].state_dict(), alpha)
    copy = {name: tensor.clone() for name, tensor in result.items()}
    with torch.no_grad():
        for tensor in result.values():
            tensor.fill_(77)
    return copy, [{name: t.clone() for name, t in model.state_dict().items()} for model in models]


def try_the_example(student):
    import torch

    before = {"weight": torch.tensor([1.0, -2.0]), "steps": torch.tensor(3)}
    after = {"weight": torch.tensor([5.0, 2.0]), "steps": torch.tensor(8)}
    state = student.interpolate_weights(before, after, 0.25)
    picked = student.pick_alpha([0.0, 0.25, 0.5, 1.0], [0.25, 0.5, 0.75, 0.75], [0.75, 0.875, 0.5, 0.25], 0.25)
    return dict(state), before["weight"], float(picked)


# ---------------------------------------------------------------- what is expected, worked out here


def pair_of_states(generator, dtype=torch.float64):
    """Two states of one layout, floats of both signs, counters and a mask; not in alphabetical order."""
    states = []
    for shift, steps in ((0.0, 5), (3.0, 12)):

        def draw(shape, shift=shift):
            return (shift + 2 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)

        states.append(
            {
                "weight": draw((4, 3)),
                "norm.running_var": draw((4,)),
                "logit_scale": draw(()),
                "bias": draw((4,)),
                "empty": draw((0, 2)),
                "norm.num_batches_tracked": torch.tensor(steps),
                "buckets": torch.tensor([steps, -steps, 2], dtype=torch.int16),
                "mask": torch.tensor([steps > 6, True, steps < 6]),
            }
        )
    return states


def expected_tensor(before, after, alpha):
    """Number by number, in float64."""
    pairs = zip(before.double().flatten().tolist(), after.double().flatten().tolist(), strict=True)
    values = [(1.0 - alpha) * left + alpha * right for left, right in pairs]
    return torch.tensor(values, dtype=torch.float64).reshape(before.shape)


def expected_alpha(alphas, id_acc, shift_acc, drop):
    """Walk through all of them; the last one that is at least as good wins."""
    highest = max(id_acc)
    picked = None
    for alpha, in_distribution, shifted in zip(alphas, id_acc, shift_acc, strict=True):
        if highest - in_distribution <= drop and (picked is None or shifted >= picked[0]):
            picked = shifted, alpha
    return picked[1]


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_the_example_of_the_notebook(student):
    """The example of the notebook: a quarter of the way, and the alpha that is picked from four."""
    state, before, picked = student.run(try_the_example)
    cause = "the part alpha of the fine-tuned weights and the rest of the others"
    close = {"rtol": 1.3e-6, "atol": 1e-5}
    expected = torch.tensor([2.0, -1.0])
    assert_close(state["weight"], expected, **close, what="weight at alpha = 0.25", cause=cause)
    assert_dtype(state["steps"], "int64", what="integer tensor")
    assert_equal(state["steps"].item(), 8, what="integer", cause="integers come from the fine-tuned model")
    assert_unchanged(before, torch.tensor([1.0, -2.0]), what="weight of zero_shot")
    assert_equal(
        picked, 0.25, what="alpha that is picked", cause="0.25 loses no more than 0.25 and is best under shift"
    )


@points(3)
@catches("published-claims", "weights-taken-for-logits")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("alpha-reversed", "alpha-reversed-inside", "only-parameters-interpolated", "interpolated-in-float32")
def test_floating_tensors_are_interpolated(student, rng):
    """Every floating tensor lies at the part alpha of the way from zero_shot to fine_tuned, in its own dtype."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    cause = "the part alpha of the fine-tuned tensor and the rest of the other, buffers included"
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        for alpha in (0.3, 0.875, float(rng.uniform(0.05, 0.45))):
            zero_shot, fine_tuned = pair_of_states(generator, dtype)
            state = dict(student.interpolate_weights(zero_shot, fine_tuned, alpha))
            told = f"the state at alpha = {alpha:.4g} ({dtype})"
            assert_equal(sorted(state), sorted(zero_shot), what=f"list of names in {told}")
            for name, before in zero_shot.items():
                if before.is_floating_point():
                    assert_shape(state[name], tuple(before.shape), what=f"{name} of {told}")
                    assert_dtype(state[name], str(dtype).removeprefix("torch."), what=f"{name} of {told}")
                    expected = expected_tensor(before, fine_tuned[name], alpha)
                    near = {"rtol": tolerance, "atol": tolerance}
                    assert_close(state[name].double(), expected, **near, what=f"{name} of {told}", cause=cause)


@points(1)
@catches(
    "integers-averaged",
    "integers-rounded",
    "integers-of-zero-shot",
    "alpha-0-copies-zero-shot",
    "order-of-fine-tuned",
    "shares-memory",
    "live-weights-moved",
)
def test_the_result_is_a_state_of_its_own(student, rng):
    """Integers come from the fine-tuned model, the names keep their order, and the models stay as they are."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    zero_shot, fine_tuned = pair_of_states(generator, torch.float32)
    turned_around = dict(reversed(fine_tuned.items()))
    for alpha in (0.6, 0.0, 1.0):
        state = student.interpolate_weights(zero_shot, turned_around, alpha)
        told = f"the state at alpha = {alpha}"
        assert_equal(list(state), list(zero_shot), what=f"list of names in {told}", cause="the order of zero_shot")
        for name, after in fine_tuned.items():
            if not after.is_floating_point():
                assert_dtype(state[name], str(after.dtype).removeprefix("torch."), what=f"{name} of {told}")
                assert_equal(state[name], after, what=f"{name} of {told}", cause="it comes from fine_tuned")

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    live = [
        {
            "0.weight": draw(4, 3),
            "0.bias": draw(4),
            "1.weight": draw(4),
            "1.bias": draw(4),
            "1.running_mean": draw(4),
            "1.running_var": draw(4).abs(),
            "1.num_batches_tracked": torch.tensor(steps),
        }
        for steps in (2, 9)
    ]
    for alpha in (0.4, 0.0, 1.0):
        _, after = student.run(interpolate_live_models, *live, alpha)
        for owner, left, right in zip(("zero-shot", "fine-tuned"), after, live, strict=True):
            for name, tensor in right.items():
                if not torch.equal(left[name], tensor):
                    raise AssertionError(
                        f"{name} of the {owner} model changed: in interpolate_weights at alpha = {alpha}, or when the "
                        "result was overwritten afterwards. model.state_dict() holds the live tensors of the model."
                    )


ROUNDED = "a difference that is rounded and added again does not give back the number it was formed from"
FAR_OFF = "more than rounding: alpha = 0 is zero_shot and alpha = 1 is fine_tuned, for tensors of every floating dtype"


@points(1)
@catches("difference-added", "copied-from-the-wrong-end")
def test_both_ends_are_exact(student, rng):
    """At alpha 0 and 1 the floating tensors are exactly those of one of the models."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        zero_shot, fine_tuned = pair_of_states(generator, dtype)
        zero_shot["weight"] = zero_shot["weight"] * 1000  # sizes that differ much
        if dtype == torch.float64:  # that float64 is kept is the concern of another check
            zero_shot, fine_tuned = (
                {name: t.float().double() if t.is_floating_point() else t for name, t in state.items()}
                for state in (zero_shot, fine_tuned)
            )
        for alpha, end in ((0.0, zero_shot), (1.0, fine_tuned), (0, zero_shot), (1, fine_tuned)):
            state = student.interpolate_weights(zero_shot, fine_tuned, alpha)
            for name, tensor in end.items():
                if tensor.is_floating_point():
                    what = f"{name} at alpha = {alpha} ({dtype})"
                    assert_shape(state[name], tuple(tensor.shape), what=what)
                    found, wanted = state[name].double(), tensor.double()
                    cause = ROUNDED if torch.allclose(found, wanted, rtol=0.02, atol=0.2) else FAR_OFF
                    assert_equal(found, wanted, what=what, cause=cause)


@points(1)
@catches("computed-in-16-bit", "widened-for-good", "16-bit-not-floating")
def test_16_bit_tensors_are_computed_in_float32(student, rng):
    """16-bit tensors are mixed in float32, rounded once, and keep their dtype."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    for dtype, half_step in ((torch.bfloat16, 2**-8), (torch.float16, 2**-11)):
        name = str(dtype).removeprefix("torch.")
        for alpha in (0.3, 0.7, 0.0, 1.0):
            zero_shot, fine_tuned = ({"weight": torch.randn(300, generator=generator).to(dtype)} for _ in range(2))
            state = student.interpolate_weights(zero_shot, fine_tuned, alpha)
            what = f"weight at alpha = {alpha} for states in {name}"
            assert_dtype(state["weight"], name, what=what)
            if alpha in (0, 1):
                continue  # the values there are the concern of another check
            expected = expected_tensor(zero_shot["weight"], fine_tuned["weight"], alpha)
            found = state["weight"].double()
            near = found.shape == expected.shape and torch.allclose(found, expected, rtol=0.02, atol=0.05)
            cause = "rounded more than once on the way: widen first, convert back at the very end" if near else FAR_OFF
            assert_close(found, expected, rtol=1.01 * half_step, atol=1e-6, what=what, cause=cause)


def tables_of_accuracies(rng):
    """Alphas, both accuracies and a drop for each call: hand-made ones first, which tell the usual mistakes apart."""
    alphas = [0.0, 0.125, 0.375, 0.5, 0.75, 1.0]
    id_acc = [0.25, 0.5, 0.625, 0.875, 0.9375, 0.8125]
    shift_acc = [0.75, 0.875, 0.6875, 0.625, 0.5, 0.5625]
    for drop in (0.0625, 0.125, 0.3125, 0.4375, 1.0):
        yield alphas, id_acc, shift_acc, drop
    # the first accuracy is neither the lowest nor the highest; of equals under shift once the smaller alpha has the
    # better id_acc and once the larger
    id_acc = [0.625, 0.25, 0.75, 0.5625, 0.5, 0.375]
    shift_acc = [0.5, 0.75, 0.375, 0.625, 0.625, 0.75]
    for drop in (0.125, 0.1875, 0.25, 0.375, 0.4375, 0.5):
        yield alphas, id_acc, shift_acc, drop
    # tenths, which binary fractions do not hold exactly; percent; a drop without a limit
    alphas = [step / 10 for step in range(11)]
    id_acc = [40.0, 46.5, 52.0, 57.0, 61.5, 65.0, 67.5, 69.0, 69.5, 69.25, 69.0]
    shift_acc = [58.0, 60.0, 61.5, 62.25, 62.0, 61.0, 59.0, 57.0, 54.0, 51.0, 48.0]
    for drop in (0.5, 2.0, 4.5, 12.5, INF):
        yield alphas, id_acc, shift_acc, drop
    for drop in (0.125, 0.0):
        yield alphas, id_acc, shift_acc, drop
    yield [0.75], [0.5], [0.25], 0.0
    for _ in range(15):
        size = int(rng.integers(1, 8))
        table = sorted(rng.choice(33, size=size, replace=False) / 32), rng.integers(4, 13, size=size) / 16
        columns = *table, rng.integers(2, 7, size=size) / 8
        yield *([float(value) for value in column] for column in columns), float(rng.integers(0, 6)) / 16


@points(1)
@catches(
    "best-in-distribution",
    "constraint-ignored",
    "ties-to-the-smallest",
    "ties-by-in-distribution",
    "strictly-within-the-drop",
    "drop-from-the-last",
    "drop-from-the-first",
    "drop-as-a-fraction",
    "index-returned",
    "alpha-as-a-tensor",
    "alpha-through-float32",
)
def test_alpha_is_picked_under_the_constraint(student, rng):
    """The picked alpha has the best shifted accuracy among those that lose at most max_id_drop in distribution."""
    cause = (
        "first the constraint on id_acc, relative to its largest value, then the best shift_acc, then the largest alpha"
    )
    tables = list(tables_of_accuracies(rng))
    answers = [student.pick_alpha(*table) for table in tables]
    for (alphas, id_acc, shift_acc, drop), picked in zip(tables, answers, strict=True):
        expected = expected_alpha(alphas, id_acc, shift_acc, drop)
        if isinstance(picked, float | int) and picked == expected:
            continue
        student.pick_alpha(alphas, id_acc, shift_acc, drop)  # once more: the message shows the last call
        what = f"alpha picked from {alphas} with id_acc {id_acc}, shift_acc {shift_acc} and max_id_drop {drop}"
        if not isinstance(picked, float | int):
            raise AssertionError(f"The {what} should be a Python float; it is {type(picked).__name__}.")
        almost = abs(picked - expected) < 1e-6
        rounded = "the number was rounded, in float32 perhaps: return the entry of alphas itself"
        assert_equal(picked, expected, what=what, cause=rounded if almost else cause)


@points(1)
@catches(
    "names-intersected",
    "additional-names-skipped",
    "shapes-broadcast",
    "nan-alpha-accepted",
    "unsorted-alphas-accepted",
    "nan-accuracy-accepted",
)
def test_what_does_not_fit_is_refused(student, rng):
    """States of different layouts and numbers out of range are refused."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    zero_shot, fine_tuned = pair_of_states(generator, torch.float32)
    for alpha in (-0.01, 1.01, NAN, INF, -INF, 2):
        with raises(ValueError, what=f"interpolate_weights with alpha = {alpha}"):
            student.interpolate_weights(zero_shot, fine_tuned, alpha)
    for name in ("weight", "bias", "mask"):
        less = {key: tensor for key, tensor in fine_tuned.items() if key != name}
        renamed = {**less, f"module.{name}": fine_tuned[name]}
        with raises(ValueError, what=f"interpolate_weights without {name} in fine_tuned"):
            student.interpolate_weights(zero_shot, less, 0.5)
        with raises(ValueError, what=f"interpolate_weights without {name} in zero_shot"):
            student.interpolate_weights(less, fine_tuned, 0.5)
        with raises(ValueError, what=f"interpolate_weights with {name} called module.{name} in fine_tuned"):
            student.interpolate_weights(zero_shot, renamed, 0.5)
    for name, other in (
        ("weight", torch.randn(1, 3)),
        ("weight", torch.randn(3)),
        ("bias", torch.randn(4, 1)),
        ("bias", torch.randn(())),
        ("mask", torch.tensor([True])),
        ("buckets", torch.tensor([1, 2], dtype=torch.int16)),
    ):
        shapes = f"{tuple(zero_shot[name].shape)} and {tuple(other.shape)}"
        with raises(ValueError, what=f"interpolate_weights with {name} of the shapes {shapes}"):
            student.interpolate_weights(zero_shot, {**fine_tuned, name: other}, 0.5)
        with raises(ValueError, what=f"interpolate_weights with {name} of the shapes {shapes}, changed over"):
            student.interpolate_weights({**fine_tuned, name: other}, zero_shot, 0.5)

    alphas, id_acc, shift_acc = [0.0, 0.5, 1.0], [0.5, 0.75, 0.875], [0.75, 0.5, 0.25]
    for what, arguments in (
        ("empty lists", ([], [], [], 0.25)),
        ("no accuracies", (alphas, [], [], 0.25)),
        ("two in-distribution accuracies for three alphas", (alphas, id_acc[:2], shift_acc, 0.25)),
        ("two shifted accuracies for three alphas", (alphas, id_acc, shift_acc[:2], 0.25)),
        ("two alphas for three accuracies", (alphas[:2], id_acc, shift_acc, 0.25)),
        ("alphas that fall", (alphas[::-1], id_acc, shift_acc, 0.25)),
        ("alphas 0, 1, 0.5", ([0.0, 1.0, 0.5], id_acc, shift_acc, 0.25)),
        ("an alpha given twice", ([0.0, 0.5, 0.5], id_acc, shift_acc, 0.25)),
        ("an alpha above 1", ([0.0, 0.5, 1.25], id_acc, shift_acc, 0.25)),
        ("an alpha below 0", ([-0.25, 0.5, 1.0], id_acc, shift_acc, 0.25)),
        ("an alpha that is NaN", ([0.0, NAN, 1.0], id_acc, shift_acc, 0.25)),
        ("an in-distribution accuracy that is NaN", (alphas, [0.5, NAN, 0.875], shift_acc, 0.25)),
        ("an in-distribution accuracy that is infinite", (alphas, [0.5, 0.75, INF], shift_acc, 0.25)),
        ("a shifted accuracy that is NaN", (alphas, id_acc, [NAN, 0.5, 0.25], 0.25)),
        ("a shifted accuracy of minus infinity", (alphas, id_acc, [0.75, 0.5, -INF], 0.25)),
        ("a negative max_id_drop", (alphas, id_acc, shift_acc, -0.125)),
        ("a max_id_drop that is NaN", (alphas, id_acc, shift_acc, NAN)),
    ):
        with raises(ValueError, what=f"pick_alpha with {what}"):
            student.pick_alpha(*arguments)
    # what is at the very edge of every range is accepted
    picked = student.pick_alpha(alphas, id_acc, shift_acc, 0.0)
    assert_equal(float(picked), 1.0, what="alpha picked from [0.0, 0.5, 1.0] with max_id_drop 0.0")
