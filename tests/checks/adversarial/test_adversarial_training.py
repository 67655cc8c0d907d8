"""Checks of adversarial/adversarial_training: Keras stays in probes; attacks on softmax regression are NumPy here."""

import math

import numpy as np

from grader.checking import (
    TensorFlowTensor,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    visible,
)

NAMES = ("adv_text", "adv_image")

# ---------------------------------------------------------------- what runs in the student's process


def adversarial_pair_of(student, weights, shapes, calls, relu=False, tensors=False, only_image=False):
    """Softmax regression on flattened text and image, and `adversarial_pair` for each of the calls.

    `relu`: the text goes through a ReLU first. `only_image`: the text is an input that is not used.
    """
    import keras

    layers = keras.layers
    text, image = keras.Input(shapes[0]), keras.Input(shapes[1])
    seen = layers.Flatten()(layers.ReLU()(text) if relu else text)
    both = layers.Flatten()(image) if only_image else layers.Concatenate()([seen, layers.Flatten()(image)])
    head = layers.Dense(weights[1].shape[0])
    model = keras.Model([text, image], head(both))
    head.set_weights(weights)
    results = []
    for (*inputs, labels), options in calls:
        if tensors:
            inputs = [keras.ops.convert_to_tensor(part) for part in inputs]
        results.append(student.adversarial_pair(model, *inputs, labels, **options))
    return results


def adversarial_pair_twice(student, norm_weights, frozen, weights, data, options):
    """Attack a model with BatchNorm, a frozen layer, and a layer that turns the features round in training."""
    import keras
    import numpy as np

    class TurnInTraining(keras.layers.Layer):
        def call(self, x, training=None):
            return -x if training else x

    text, image = keras.Input(data[0].shape[1:]), keras.Input(data[1].shape[1:])
    layers = [
        keras.layers.BatchNormalization(momentum=0.8),
        keras.layers.Dense(len(frozen), use_bias=False),
        TurnInTraining(),
        keras.layers.Dense(weights[1].shape[0]),
    ]
    output = keras.layers.Concatenate()([text, image])
    for layer in layers:
        output = layer(output)
    model = keras.Model([text, image], output)
    for layer, values in zip(layers, (norm_weights, [frozen], [], weights), strict=True):
        layer.set_weights(values)
    layers[1].trainable = False

    def state():
        names = ["BatchNorm", "frozen", "turning", "last"]
        flags = {name: layer.trainable for name, layer in zip(names, layers, strict=True)}
        return {"weights": model.get_weights(), "trainable": flags | {"model": model.trainable}}

    arguments = [np.array(part) for part in data]
    before = state()
    pairs = [student.adversarial_pair(model, *arguments, **options) for _ in range(2)]
    return {"pairs": pairs, "before": before, "after": state(), "arguments": arguments}


def adversarial_train_steps(student, frozen, weights, data, options, momentum, norm_weights=None, count=1):
    """Some training steps of one optimiser, and what `adversarial_pair` finds before each of them."""
    import keras
    import numpy as np

    text, image = keras.Input(data[0].shape[1:]), keras.Input(data[1].shape[1:])
    both = keras.layers.Concatenate()([text, image])
    if norm_weights is not None:
        normalise = keras.layers.BatchNormalization(momentum=0.8)
        both = normalise(both)
        normalise.set_weights(norm_weights)
    fixed = keras.layers.Dense(len(frozen), use_bias=False)
    head = keras.layers.Dense(weights[1].shape[0])
    model = keras.Model([text, image], head(fixed(both)))
    fixed.set_weights([frozen])
    head.set_weights(weights)
    fixed.trainable = False
    optimizer = keras.optimizers.SGD(0.5, momentum=momentum)
    attack = {name: value for name, value in options.items() if name != "clean_weight"}
    steps = []
    for _ in range(count):
        start = model.get_weights()
        pair = student.adversarial_pair(model, *[np.array(part) for part in data], **attack)
        model.set_weights(start)  # whatever the attack did to them
        losses = student.adversarial_train_step(model, optimizer, *data, **options)
        fresh = {"weights": head.get_weights(), "frozen": fixed.get_weights()[0], "pair": pair, "losses": losses}
        fresh["updates"] = int(optimizer.iterations)
        fresh["moving mean"] = normalise.get_weights()[2] if norm_weights is not None else None
        steps.append(fresh)
    return steps


def refusals_of(student, weights, data, cases):
    """For each (function, changed data, options): the names of the classes of what was raised, and whether anything
    was changed by then."""
    import keras
    import numpy as np

    text, image = keras.Input(data[0].shape[1:]), keras.Input(data[1].shape[1:])
    both = keras.layers.BatchNormalization()(keras.layers.Concatenate()([text, image]))
    head = keras.layers.Dense(weights[1].shape[0])
    model = keras.Model([text, image], head(both))
    head.set_weights(weights)
    optimizer = keras.optimizers.SGD(0.5)
    before, outcomes = model.get_weights(), []
    for function, arguments, options in cases:
        raised = []
        try:
            if function == "adversarial_pair":
                student.adversarial_pair(model, *arguments, **options)
            else:
                student.adversarial_train_step(model, optimizer, *arguments, **options)
        except NotImplementedError:
            raise
        except Exception as error:
            raised = [cls.__name__ for cls in type(error).__mro__]
        same = all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
        outcomes.append((raised, not same or int(optimizer.iterations) > 0))
        model.set_weights(before)
    return outcomes


# ---------------------------------------------------------------- the attack on softmax regression, in float64


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def cross_entropies(weights, features, labels):
    """One value for each sample, from features (batch, width)."""
    logits = features @ weights[0].astype(np.float64) + weights[1]
    top = logits.max(axis=1)
    return top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - logits[np.arange(len(labels)), labels]


def flat(part):
    return np.asarray(part, dtype=np.float64).reshape(len(part), -1)


def lengths(rows):
    return np.array([math.sqrt(math.fsum(value**2 for value in row)) for row in rows])[:, None]


def attack_by_hand(weights, text, image, labels, eps_text, eps_image, norm="linf", steps=1, step_size=None, relu=False):
    """Text and image after the attack, and whether all signs on the way are safe from rounding."""
    starts = [flat(text), flat(image)]
    budgets = [eps_text, eps_image]
    if step_size is None:
        sizes = budgets if steps == 1 else [2.5 / steps * budget for budget in budgets]
    else:
        sizes = [step_size] * 2
    kernel, points_now, safe = weights[0].astype(np.float64), starts, True
    scale = np.abs(kernel).max() or 1.0
    for _ in range(steps):
        seen = [np.maximum(points_now[0], 0) if relu else points_now[0], points_now[1]]
        errors = softmax(np.hstack(seen) @ kernel + weights[1]) - np.eye(kernel.shape[1])[labels]  # (batch, classes)
        gradients = np.split(errors @ kernel.T, [starts[0].shape[1]], axis=1)
        safe &= min(np.abs(gradient).min(initial=np.inf, where=gradient != 0) for gradient in gradients) > 2e-5 * scale
        if relu:
            safe &= np.abs(points_now[0]).min() > 2e-5
            gradients[0] = np.where(points_now[0] > 0, gradients[0], 0)
        moved = []
        for start, point, gradient, size, budget in zip(starts, points_now, gradients, sizes, budgets, strict=True):
            if norm == "linf":
                change = np.clip(point + size * np.sign(gradient) - start, -budget, budget)
            else:
                long = lengths(gradient)
                change = point + size * gradient / np.where(long == 0, 1, long) - start
                long = lengths(change)
                change = change * np.minimum(1, budget / np.where(long == 0, 1, long))
            moved.append(start + change)
        points_now = moved
    return [point.reshape(np.shape(part)) for point, part in zip(points_now, (text, image), strict=True)], safe


def random_problem(rng, text_shape, image_shape, classes, batch, spread=0.5):
    """(weights, (text, image, labels)), all float32, the labels mostly not what the model says."""
    width = math.prod(text_shape) + math.prod(image_shape)
    weights = [(spread * rng.normal(size=shape)).astype(np.float32) for shape in ((width, classes), (classes,))]
    text, image = (rng.normal(size=(batch, *shape)).astype(np.float32) for shape in (text_shape, image_shape))
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, batch)])[:batch]
    return weights, (text, image, rng.permutation(labels))


def safe_problem(rng, text_shape, image_shape, classes, batch, calls, relu=False):
    """A random problem on which none of the attacks hangs on a rounding error."""
    for _ in range(300):
        weights, data = random_problem(rng, text_shape, image_shape, classes, batch)
        if all(attack_by_hand(weights, *data, **options, relu=relu)[1] for options in calls):
            return weights, data
    raise RuntimeError("no problem without near-zero gradients was found")


def parts_of(pair, told):
    """The two results of `adversarial_pair`, or an error that says what came instead."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        number = f" of {len(pair)} items" if isinstance(pair, tuple | list) else ""
        raise AssertionError(f"{told} returned a {type(pair).__name__}{number}; (adv_text, adv_image) is expected.")
    return pair


def told_of(options, more=""):
    settings = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return f"adversarial_pair(model, text, image, labels, {settings}){more}"


def assert_pair(pair, expected, told, cause=""):
    for name, found, wanted in zip(NAMES, parts_of(pair, told), expected, strict=True):
        what = f"{name} of {told}"
        assert_shape(found, np.shape(wanted), what=what)
        assert_close(found, np.asarray(wanted), rtol=1e-5, atol=3e-5, what=what, cause=cause)


def plain(part):
    return part.array if isinstance(part, TensorFlowTensor) else np.asarray(part)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_worked_example(student):
    """The two attacks and the training step of the notebook come out as worked by hand."""

    def adversarial_pair_and_train_step(student):
        import keras
        import numpy as np

        inputs = [keras.Input((2,)), keras.Input((1,))]
        model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Concatenate()(inputs)))
        model.set_weights([np.array([[0, 3], [0, -4], [0, -1]]), np.zeros(2)])
        text = np.array([[1, 0.5], [0, 0.5]], dtype="float32")
        image = np.array([[0.2], [1]], dtype="float32")
        labels = np.array([1, 0])
        one = student.adversarial_pair(model, text, image, labels, 0.1, 0.3)
        three = student.adversarial_pair(model, text, image, labels, 0.1, 0.3, norm="l2", steps=3, step_size=0.06)
        optimizer = keras.optimizers.SGD(1.0)
        losses = student.adversarial_train_step(model, optimizer, text, image, labels, 0.1, 0.3, clean_weight=0.25)
        found = [float(losses[name]) for name in ("loss_clean", "loss_adv", "loss")]
        return one, three, found, model.get_weights()[1]

    one, three, losses, bias = student.run(adversarial_pair_and_train_step)
    told = "adversarial_pair(model, text, image, labels, 0.1, 0.3)"
    assert_pair(one, ([[0.9, 0.6], [0.1, 0.4]], [[0.5], [0.7]]), told)
    told = 'adversarial_pair(model, text, image, labels, 0.1, 0.3, norm="l2", steps=3, step_size=0.06)'
    assert_pair(three, ([[0.94, 0.58], [0.06, 0.42]], [[0.38], [0.82]]), told)
    for name, found, expected in zip(
        ("loss_clean", "loss_adv", "loss"), losses, (0.209844, 0.462533, 0.399361), strict=True
    ):
        assert_close(found, expected, rtol=1e-5, atol=1e-4, what=f"value {name!r} of adversarial_train_step")
    what = "bias after adversarial_train_step"
    assert_close(np.asarray(bias, np.float64), np.array([-0.194318, 0.194318]), rtol=1e-5, atol=1e-4, what=what)


@points(1)
@catches(
    "published-noise-layer",
    "random-signs",
    "gaussian-noise",
    "downhill",
    "only-the-image",
    "only-the-text",
    "one-budget-for-both",
    "budgets-swapped",
    "gradient-without-sign",
    "predictions-as-labels",
    "clipped-to-pixels",
    "float64-result",
)
def test_one_step_moves_every_entry_uphill(student, rng):
    """One step moves every entry of both modalities by its budget, in the direction in which the loss grows."""
    shapes = (3, 2), (4,)
    options = {
        "eps_text": round(float(rng.uniform(0.05, 0.15)), 3),
        "eps_image": round(float(rng.uniform(0.3, 0.5)), 3),
    }
    weights, data = safe_problem(rng, *shapes, classes=4, batch=5, calls=[options])
    expected, _ = attack_by_hand(weights, *data, **options)
    for tensors in (False, True):
        told = told_of(options, f" with {'tensors' if tensors else 'arrays'} text (5, 3, 2) and image (5, 4)")
        (pair,) = student.run(adversarial_pair_of, weights, shapes, [(data, options)], tensors=tensors)
        cause = "clean input + budget of its modality * sign of the gradient of the loss, for both modalities"
        assert_pair(pair, expected, told, cause)
        for name, found in zip(NAMES, pair, strict=True):
            assert_dtype(found, "float32", what=f"{name} of {told}")
    (pair,) = student.run(adversarial_pair_of, weights, shapes, [([part[:1] for part in data], options)])
    cause = "a sample is attacked in the same way alone as in a batch"
    assert_pair(pair, [part[:1] for part in expected], told_of(options, " with the first of the samples alone"), cause)


@points(1)
@catches(
    "length-over-the-batch",
    "length-of-the-last-axis",
    "sign-in-the-round-ball",
    "constant-added-to-the-length",
    "nan-for-zero-gradients",
    "unused-modality-crashes",
)
def test_l2_steps_have_the_same_length_for_every_sample(student, rng):
    """With "l2" each sample of each modality moves by its budget, and stays where it is if nothing can be gained."""
    shapes, norm = ((3, 2), (2, 2, 3)), {"norm": "l2"}
    options = {
        "eps_text": round(float(rng.uniform(0.3, 0.5)), 3),
        "eps_image": round(float(rng.uniform(0.7, 0.9)), 3),
    } | norm
    still = [options, options | {"eps_image": 0.0}, options | {"eps_text": 0, "norm": "linf"}]
    unused = [options, options | {"norm": "linf"}]
    for _ in range(100):
        weights, data = random_problem(rng, *shapes, classes=4, batch=5)
        # the text of sample 1 is negative throughout: behind a ReLU its gradient is zero
        negative = data[0].copy()
        negative[1] = -np.abs(negative[1]) - 0.1
        one_still = (negative, *data[1:])
        image_weights = [weights[0][6:], weights[1]]
        padded = [np.vstack([np.zeros((6, 4), np.float32), image_weights[0]]), weights[1]]
        safe = [attack_by_hand(weights, *one_still, **choice, relu=True)[1] for choice in still]
        if all(safe) and all(attack_by_hand(padded, *data, **choice)[1] for choice in unused):
            break
    cause = "the gradient of each sample divided by its own Euclidean length, over all axes but the first"
    told = told_of(options, " with text (5, 3, 2) and image (5, 2, 2, 3)")
    (pair,) = student.run(adversarial_pair_of, weights, shapes, [(data, options)])
    assert_pair(pair, attack_by_hand(weights, *data, **options)[0], told, cause)

    faint = [1e-11 * weights[0], weights[1]]
    told = told_of(options, " for a model with weights of about 1e-11")
    (pair,) = student.run(adversarial_pair_of, faint, shapes, [(data, options)])
    cause = "the direction of a gradient does not depend on how small it is: nothing may be added to its length"
    assert_pair(pair, attack_by_hand(faint, *data, **options)[0], told, cause)

    pairs = student.run(adversarial_pair_of, weights, shapes, [(one_still, choice) for choice in still], relu=True)
    for choice, pair in zip(still, pairs, strict=True):
        expected, _ = attack_by_hand(weights, *one_still, **choice, relu=True)
        told = told_of(choice, " where the gradient of the text of sample 1 is zero")
        assert_pair(pair, expected, told, "no gradient or no budget: the input stays as it is, and no NaN comes out")

    calls = [(data, choice) for choice in unused]
    pairs = student.run(adversarial_pair_of, image_weights, shapes, calls, only_image=True)
    for choice, pair in zip(unused, pairs, strict=True):
        told = told_of(choice, " for a model that does not use the text")
        assert_pair(pair, attack_by_hand(padded, *data, **choice)[0], told, "the text should stay as it is")


@points(1)
@catches(
    "never-projected",
    "ball-around-the-last-point",
    "projected-entry-by-entry",
    "gradient-of-the-clean-point-only",
    "one-modality-after-the-other",
    "step-is-the-budget",
    "step-is-the-budget-by-steps",
    "one-step-too-few",
    "random-start",
    "step-size-ignored",
)
def test_several_steps_stay_in_the_ball(student, rng):
    """Several steps follow the gradient as it changes, and never leave the ball around the clean input."""
    shapes = (5,), (3, 2)
    calls = [
        {"eps_text": 0.25, "eps_image": 0.6, "norm": "linf", "steps": 2, "step_size": 0.2},
        {"eps_text": 0.9, "eps_image": 1.4, "norm": "l2", "steps": 4, "step_size": 0.7},
        {"eps_text": 0.6, "eps_image": 0.3, "norm": "linf", "steps": 4},
        {"eps_text": 1.2, "eps_image": 1.8, "norm": "l2", "steps": 3},
        {"eps_text": 1.1, "eps_image": 1.6, "norm": "l2", "steps": 2},
        {"eps_text": 0.5, "eps_image": 0.9, "norm": "l2", "steps": 1, "step_size": 0.3},
        {"eps_text": 0.2, "eps_image": 0.1, "norm": "linf", "steps": 3, "step_size": 1.5},
    ]
    weights, data = safe_problem(rng, *shapes, classes=4, batch=6, calls=calls, relu=True)
    pairs = student.run(adversarial_pair_of, weights, shapes, [(data, options) for options in calls], relu=True)
    cause = "a new gradient at each point for both modalities at once, a step, and back into the ball around the start"
    for options, pair in zip(calls, pairs, strict=True):
        told = told_of(options)
        for name, found, start in zip(NAMES, parts_of(pair, told), data, strict=False):
            assert_shape(found, start.shape, what=f"{name} of {told}")
            delta = flat(plain(found) - start)
            budget = options[name.replace("adv", "eps")]
            furthest = np.abs(delta).max() if options["norm"] == "linf" else lengths(delta).max()
            if not furthest <= budget + 1e-5:
                raise AssertionError(
                    f"The {name} of {told} is {furthest:.6g} away from its clean input; the budget is {budget}."
                )
        assert_pair(pair, attack_by_hand(weights, *data, **options, relu=True)[0], told, cause)


@points(1)
@catches("attack-in-training-mode", "weights-follow-the-attack", "left-frozen", "everything-unfrozen", "in-place")
def test_the_attack_leaves_everything_as_it_was(student, rng):
    """The attack sees the model in inference mode and leaves it, and the inputs, as they were."""
    shapes = (4,), (3,)
    options = {"eps_text": 0.2, "eps_image": 0.5, "norm": "linf", "steps": 2}
    for _ in range(100):
        weights, data = random_problem(rng, *shapes, classes=3, batch=6)
        frozen = (0.4 * rng.normal(size=(7, 7)) + np.eye(7)).astype(np.float32)
        norm_weights = [rng.uniform(0.5, 1.5, 7), rng.normal(size=7), rng.normal(size=7), rng.uniform(0.5, 2, 7)]
        norm_weights = [values.astype(np.float32) for values in norm_weights]
        gamma, beta, mean, variance = (values.astype(np.float64) for values in norm_weights)
        gain = gamma / np.sqrt(variance + 1e-3)
        # in inference mode this is softmax regression again
        kernel = gain[:, None] * (frozen @ weights[0].astype(np.float64))
        bias = weights[1] + (beta - mean * gain) @ (frozen @ weights[0].astype(np.float64))
        folded = [kernel.astype(np.float32), bias.astype(np.float32)]
        if attack_by_hand(folded, *data, **options)[1]:
            break
    told = told_of(options, " for a model with BatchNorm, a frozen layer and a layer that acts in training only")
    seen = student.run(adversarial_pair_twice, norm_weights, frozen, weights, data, options)
    before, after = seen["before"], seen["after"]
    names = ["scale", "shift", "moving mean", "moving variance", "frozen kernel", "last kernel", "last bias"]
    for name, now, then in zip(names, after["weights"], before["weights"], strict=True):
        assert_unchanged(now, then, what=f"{name} of the model")
    assert_equal(after["trainable"], before["trainable"], what="dict of trainable flags after the attack")
    for name, now, then in zip(("text array", "image array", "labels array"), seen["arguments"], data, strict=True):
        assert_unchanged(now, then, what=name)
    # compared with the student's own attack on the model folded into one layer
    (own,) = student.run(adversarial_pair_of, folded, shapes, [(data, options)])
    expected = [plain(part) for part in parts_of(own, told)]
    cause = "the model was not in inference mode while it was attacked"
    assert_pair(seen["pairs"][0], expected, told, cause)
    assert_pair(seen["pairs"][1], expected, f"a second, equal call of {told}", "the attack left something behind")


@points(1)
@catches("linf-in-proportion", "attack-stops-when-wrong")
def test_two_classes_and_a_linear_model(student, rng):
    """For a linear model of two classes the attack is the worst case, with one step and with several."""
    shapes = (3, 2), (4,)
    weights, data = random_problem(rng, *shapes, classes=2, batch=6, spread=0.8)
    direction = weights[0][:, 1].astype(np.float64) - weights[0][:, 0]
    while np.abs(direction).min() < 1e-2:
        weights, data = random_problem(rng, *shapes, classes=2, batch=6, spread=0.8)
        direction = weights[0][:, 1].astype(np.float64) - weights[0][:, 0]
    offset = float(weights[1][1]) - float(weights[1][0])
    signs = 2 * data[2] - 1
    calls = [
        {"eps_text": 0.35, "eps_image": 0.15, "norm": norm, "steps": steps}
        for norm in ("linf", "l2")
        for steps in (1, 5)
    ]
    pairs = student.run(adversarial_pair_of, weights, shapes, [(data, options) for options in calls])
    for options, pair in zip(calls, pairs, strict=True):
        told = told_of(options)
        text, image = (flat(plain(part)) for part in parts_of(pair, told))
        margins = signs * (np.hstack([text, image]) @ direction + offset)
        clean = signs * (np.hstack([flat(data[0]), flat(data[1])]) @ direction + offset)
        parts = (options["eps_text"], direction[:6]), (options["eps_image"], direction[6:])
        dual = (lambda row: np.abs(row).sum()) if options["norm"] == "linf" else (lambda row: math.hypot(*row))
        drop = math.fsum(eps * dual(part) for eps, part in parts)
        what = f"list of margins (score of the label minus the other score) after {told}"
        cause = "no perturbation of these sizes can lower the margin further, and this attack should get there"
        assert_close(margins, clean - drop, rtol=1e-4, atol=1e-4, what=what, cause=cause)


def train_by_hand(frozen, weights, velocity, data, pair, clean_weight, momentum):
    """Losses, weights and velocity after one step of SGD(0.5) on the mixed loss, in float64."""
    labels, losses, gradients = data[2], [], [0.0, 0.0]
    for share, (text, image) in ((clean_weight, data[:2]), (1 - clean_weight, pair)):
        features = np.hstack([flat(text), flat(image)]) @ frozen
        losses.append(cross_entropies(weights, features, labels).mean())
        errors = (softmax(features @ weights[0] + weights[1]) - np.eye(len(weights[1]))[labels]) / len(labels)
        gradients = [gradients[0] + share * features.T @ errors, gradients[1] + share * errors.sum(axis=0)]
    velocity = [momentum * old - 0.5 * gradient for old, gradient in zip(velocity, gradients, strict=True)]
    weights = [old + change for old, change in zip(weights, velocity, strict=True)]
    losses.append(clean_weight * losses[0] + (1 - clean_weight) * losses[1])
    return dict(zip(("loss_clean", "loss_adv", "loss"), losses, strict=True)), weights, velocity


def assert_losses(losses, expected, told):
    if not isinstance(losses, dict):
        raise AssertionError(f"{told} returned a {type(losses).__name__}; a dict is expected.")
    for name, value in expected.items():
        if name not in losses:
            raise AssertionError(f"The dict of {told} has no {name!r}; it has {sorted(map(str, losses))}.")
        cause = "measured before the update, the mean over the samples"
        what = f"value {name!r} of {told}"
        assert_close(losses[name], float(value), rtol=1e-4, atol=1e-4, what=what, cause=cause)


@points(2)
@catches(
    "two-updates",
    "only-adversarial",
    "weights-of-the-losses-swapped",
    "losses-added",
    "losses-after-the-update",
    "gradient-through-the-attack",
    "settings-not-passed-on",
    "frozen-layers-move",
    "optimiser-of-its-own",
    "no-update",
    "adversarial-loss-for-both",
)
def test_one_update_on_the_weighted_sum(student, rng):
    """A training step is one update of the given optimiser with the gradient of the weighted sum of both losses."""
    cases = [
        ({"eps_text": 0.4, "eps_image": 0.8, "clean_weight": 0.3, "norm": "l2", "steps": 3}, 0.9, 3),
        ({"eps_text": 0.3, "eps_image": 0.1}, 0.0, 1),
        ({"eps_text": 0.3, "eps_image": 0.1, "clean_weight": 1.0}, 0.0, 1),
        ({"eps_text": 0.3, "eps_image": 0.1, "clean_weight": 0, "norm": "linf", "steps": 2}, 0.0, 1),
    ]
    shapes = (4,), (3,)
    weights, data = random_problem(rng, *shapes, classes=4, batch=6, spread=0.7)
    frozen = (0.3 * rng.normal(size=(7, 7)) + np.eye(7)).astype(np.float32)
    for options, momentum, count in cases:
        settings = ", ".join(f"{name}={value!r}" for name, value in options.items())
        told = f"adversarial_train_step(model, SGD(0.5, momentum={momentum}), text, image, labels, {settings})"
        steps = student.run(adversarial_train_steps, frozen, weights, data, options, momentum, count=count)
        expected, velocity = [part.astype(np.float64) for part in weights], [0.0, 0.0]
        for number, seen in enumerate(steps, start=1):
            call = told if count == 1 else f"call {number} of {count} of {told}"
            # what the student's own attack finds counts here, right or wrong
            pair = [plain(part) for part in parts_of(seen["pair"], told_of(options))]
            losses, expected, velocity = train_by_hand(
                frozen, expected, velocity, data, pair, options.get("clean_weight", 0.5), momentum
            )
            assert_losses(seen["losses"], losses, call)
            what = f"optimizer.iterations after {call}"
            assert_equal(seen["updates"], number, what=what, cause="one call is one step of the optimiser given")
            assert_close(seen["frozen"], frozen, rtol=0, atol=0, what=f"kernel of the frozen layer after {call}")
            cause = "one step along the gradient of the weighted sum, with the attacked inputs as constants"
            for name, found, wanted in zip(("kernel", "bias"), seen["weights"], expected, strict=True):
                what = f"{name} after {call}"
                assert_close(found.astype(np.float64), wanted, rtol=1e-4, atol=1e-4, what=what, cause=cause)


@points(1)
@catches("update-in-inference-mode", "one-joined-batch", "extra-forward-passes")
def test_the_update_sees_both_batches_in_training_mode(student, rng):
    """The update runs the model in training mode, once on the clean batch and once on the attacked one."""
    shapes = (4,), (3,)
    weights, data = random_problem(rng, *shapes, classes=3, batch=6)
    frozen = (0.3 * rng.normal(size=(7, 7)) + np.eye(7)).astype(np.float32)
    gamma, mean = rng.uniform(0.5, 1.5, 7), rng.normal(size=7) + 2
    norm_weights = [gamma, rng.normal(size=7), mean, rng.uniform(3, 5, 7)]
    norm_weights = [values.astype(np.float32) for values in norm_weights]
    options = {"eps_text": 0.5, "eps_image": 1.0, "clean_weight": 0.3}
    told = "adversarial_train_step for a model with BatchNorm(momentum=0.8)"
    (seen,) = student.run(adversarial_train_steps, frozen, weights, data, options, 0.0, norm_weights)
    pair = [plain(part) for part in parts_of(seen["pair"], told_of(options))]
    batches = [np.hstack([flat(text), flat(image)]) for text, image in (data[:2], pair)]
    losses = []
    for batch in batches:
        normalised = (batch - batch.mean(axis=0)) / np.sqrt(batch.var(axis=0) + 1e-3)
        features = (normalised * norm_weights[0] + norm_weights[1]) @ frozen
        losses.append(cross_entropies(weights, features, data[2]).mean())
    assert_losses(seen["losses"], {"loss_clean": losses[0], "loss_adv": losses[1]}, told)
    either = []
    for order in (batches, batches[::-1]):
        moving = norm_weights[2].astype(np.float64)
        for batch in order:
            moving = 0.8 * moving + 0.2 * batch.mean(axis=0)
        either.append(moving)
    found = np.asarray(seen["moving mean"], np.float64)
    closest = min(either, key=lambda wanted: np.abs(found - wanted).max())
    what = f"moving mean of the BatchNorm layer after {told}"
    cause = "two passes with training=True, one for each batch, and none beyond these"
    assert_close(found, closest, rtol=1e-4, atol=1e-4, what=what, cause=cause)


@points(1)
@catches(
    "negative-budget",
    "nan-budget",
    "no-steps",
    "unknown-norm",
    "any-step-size",
    "labels-unchecked",
    "any-clean-weight",
    "checked-too-late",
    "empty-batch",
)
def test_bad_input_changes_nothing(student, rng):
    """Bad settings and data raise ValueError before anything is changed."""
    weights, (text, image, labels) = random_problem(rng, (4,), (3,), classes=3, batch=5)
    good = {"eps_text": 0.1, "eps_image": 0.2}
    nan, inf = math.nan, math.inf
    both, fine = ("adversarial_pair", "adversarial_train_step"), (text, image, labels)

    def with_label(value):
        changed = labels.copy()
        changed[3] = value
        return text, image, changed

    cases = []
    for name, value in (
        ("eps_text", -0.1),
        ("eps_image", -0.1),
        ("eps_text", nan),
        ("eps_image", nan),
        ("eps_text", inf),
        ("eps_image", inf),
        ("steps", 0),
        ("steps", -2),
        ("norm", "l1"),
        ("norm", "L2"),
        ("norm", 2),
    ):
        cases += [(function, fine, good | {name: value}, f"{name}={value!r}") for function in both]
    for value in (0, -0.1, nan, inf):
        cases.append((both[0], fine, good | {"step_size": value}, f"step_size={value!r}"))
    for value in (-0.1, 1.1, nan):
        cases.append((both[1], fine, good | {"clean_weight": value}, f"clean_weight={value!r}"))
    for data, case in (
        (with_label(-1), "a label of -1"),
        (with_label(3), "a label of 3 for 3 classes"),
        ((text, image, labels[:4]), "4 labels for 5 samples"),
        ((text, image, labels[:1]), "1 label for 5 samples"),
        ((text, image, labels[:, None]), "labels of shape (5, 1)"),
        ((text, image[:4], labels), "5 texts and 4 images"),
        ((text[:1], image, labels), "1 text and 5 images"),
        ((text[:0], image[:0], labels[:0]), "no samples"),
    ):
        cases += [(function, data, good, case) for function in both]
    outcomes = student.run(refusals_of, weights, fine, [case[:3] for case in cases])
    for (function, _, _, case), (raised, changed) in zip(cases, outcomes, strict=True):
        if "ValueError" not in raised:
            happened = f"raised {raised[0]}" if raised else "returned without an error"
            raise AssertionError(f"{function} with {case} {happened}; it should raise ValueError.")
        if changed:
            raise AssertionError(f"{function} with {case} raised ValueError, but the model or the optimiser had moved.")
