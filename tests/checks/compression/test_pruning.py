"""Checks of compression/pruning: Keras stays in probes; expected masks come from sorting (magnitude, kernel, place)."""

import numpy as np

from grader.checking import assert_close, assert_equal, catches, points, visible

# the chain of linear layers that most checks use: kernels (3, 5), (5, 1) and (1, 3)
WIDTHS = (3, 5, 1, 3)
PATHS = ("chain/first/kernel", "chain/second/kernel", "chain/third/kernel")

# likely causes
COUNT = "exactly round(sparsity * n) entries go, equal magnitudes or not, with n the entries that are ranked together"
RANKING = "the smallest absolute values go, from one ranking of all entries that belong together"
FIRST = "of equal magnitudes, the first in the order of the flattened array, and of model.weights, goes first"
MASKED = "a weight is 0 where its mask is False, and as it was where the mask is True"


def random_kernels(rng, widths=WIDTHS, scales=(1.0, 1.0, 1.0)):
    """Kernels of a chain, without ties and with values of both signs."""
    pairs = zip(widths[:-1], widths[1:], scales, strict=True)
    return [(scale * rng.standard_normal(pair)).astype(np.float32) for *pair, scale in pairs]


def expected_masks(kernels, sparsity, scope="layer"):
    """True where a weight is kept, by sorting (magnitude, number of the kernel, place in it)."""
    entries = [
        (abs(float(weight)), number, place)
        for number, kernel in enumerate(kernels)
        for place, weight in enumerate(kernel.ravel())
    ]
    groups = [entries] if scope == "global" else [[e for e in entries if e[1] == n] for n in range(len(kernels))]
    masks = [np.ones(kernel.shape, dtype=bool) for kernel in kernels]
    for group in groups:
        for _, number, place in sorted(group)[: round(sparsity * len(group))]:
            masks[number].flat[place] = False
    return masks


def assert_paths(found, expected, what):
    """Compare the keys of a dictionary with paths, and name the missing and the superfluous ones."""
    if not isinstance(found, dict):
        raise AssertionError(f"The {what} should be a dictionary by path; it is {found!r}.")
    missing, superfluous = sorted(set(expected) - set(found)), sorted(map(str, set(found) - set(expected)))
    if missing or superfluous:
        parts = [f"lacks {', '.join(missing)}"] * bool(missing)
        parts += [f"has {', '.join(superfluous)} too many"] * bool(superfluous)
        raise AssertionError(f"The {what} {' and '.join(parts)}.")


def assert_masks(found, expected, kernels, case, cause):
    """Compare masks, kernel by kernel: first how many entries are pruned, then which."""
    assert_paths(found, expected, f"result of {case}")
    for (path, mask), kernel in zip(expected.items(), kernels, strict=True):
        got, what = found[path], f"mask of {path} from {case}"
        if not isinstance(got, np.ndarray) or got.dtype != bool or got.shape != mask.shape:
            described = f"{got.dtype} of shape {got.shape}" if isinstance(got, np.ndarray) else type(got).__name__
            raise AssertionError(f"The {what} should be boolean, of shape {mask.shape}; it is {described}.")
        pruned, wanted = int((~got).sum()), int((~mask).sum())
        if pruned != wanted:
            raise AssertionError(
                f"The {what} is False at {pruned} of {mask.size} entries, expected {wanted}.\nLikely cause: {COUNT}"
            )
        if (got != mask).any():
            place = tuple(int(axis[0]) for axis in np.nonzero(got != mask))
            word = "pruned" if mask[place] else "kept"
            raise AssertionError(
                f"The {what} is {got[place]} at {place}, where the weight is {kernel[place]:.6g}: it is {word} and "
                f"should not be.\nLikely cause: {cause}"
            )


def prune_a_chain(student, kernels, calls):
    """Probe: for each of `calls`, masks and weights after magnitude_prune on a chain of linear layers without bias.

    A call is a list of [positional, keyword] arguments: they are made one after the other on the same weights.
    """
    import keras
    import numpy as np

    layers = [
        keras.layers.Dense(kernel.shape[1], use_bias=False, name=name)
        for kernel, name in zip(kernels, ("first", "second", "third"), strict=True)
    ]
    model = keras.Sequential([keras.Input((kernels[0].shape[0],)), *layers], name="chain")
    results = []
    for steps in calls:
        model.set_weights(kernels)
        for positional, keyword in steps:
            masks = student.magnitude_prune(model, *positional, **keyword)
        if isinstance(masks, dict):
            masks = {path: np.asarray(mask) for path, mask in masks.items()}
        results.append({"masks": masks, "weights": model.get_weights()})
    return results


def described(positional, keyword):
    """The arguments of magnitude_prune as they would be written."""
    parts = [*map(repr, positional), *(f"{name}={value!r}" for name, value in keyword.items())]
    return f"magnitude_prune(model, {', '.join(parts)})"


@visible
@points(1)
def test_worked_example(student):
    """The model of the notebook is pruned as said there, within each kernel and over all of them."""

    def two_encoders(student):
        import keras
        import numpy as np

        text, image = keras.Input((2,)), keras.Input((3,))
        features = [keras.layers.Dense(1, name="text")(text), keras.layers.Dense(2, name="image")(image)]
        model = keras.Model([text, image], keras.layers.Concatenate()(features))
        text_weights = [np.array([[-0.1], [0.25]]), np.array([0.01])]
        image_weights = [np.array([[0.9, -0.3], [0.05, 0.6], [-0.7, 0.2]]), np.array([0.02, 0.03])]

        def reset():
            model.get_layer("text").set_weights(text_weights)
            model.get_layer("image").set_weights(image_weights)

        def plain(masks):
            return {path: np.asarray(mask) for path, mask in masks.items()}

        seen = {"paths": sorted(student.prunable_kernels(model))}
        reset()
        seen["layer"] = plain(student.magnitude_prune(model, 0.5))
        reset()
        masks = student.magnitude_prune(model, 0.5, scope="global")
        seen["global"], seen["image"] = plain(masks), model.get_layer("image").get_weights()
        seen["report"] = {str(path): float(share) for path, share in student.sparsity_report(model).items()}
        reset()
        student.apply_masks(model, masks)
        seen["text"] = model.get_layer("text").get_weights()
        return seen

    seen = student.run(two_encoders)
    assert_equal(seen["paths"], ["image/kernel", "text/kernel"], what="list of prunable kernels")
    kernels = [np.array([[-0.1], [0.25]]), np.array([[0.9, -0.3], [0.05, 0.6], [-0.7, 0.2]])]
    image_mask = np.array([[True, False], [False, True], [True, False]])
    expected = {"text/kernel": np.array([[False], [True]]), "image/kernel": image_mask}
    assert_masks(seen["layer"], expected, kernels, "magnitude_prune(model, 0.5)", RANKING)
    image_mask = np.array([[True, True], [False, True], [True, False]])
    expected = {"text/kernel": np.array([[False], [False]]), "image/kernel": image_mask}
    assert_masks(seen["global"], expected, kernels, 'magnitude_prune(model, 0.5, scope="global")', RANKING)
    what = "image kernel after magnitude_prune"
    assert_close(seen["image"][0], np.array([[0.9, -0.3], [0, 0.6], [-0.7, 0]]), rtol=1e-5, what=what, cause=MASKED)
    assert_close(seen["image"][1], np.array([0.02, 0.03]), rtol=1e-5, what="image bias after magnitude_prune")
    for path, share in (("text/kernel", 1.0), ("image/kernel", 1 / 3), ("total", 1 / 2)):
        assert_close(seen["report"].get(path, "missing"), share, rtol=1e-5, what=f"report entry {path!r}")
    assert_equal(np.array(seen["text"][0]), np.array([[0.0], [0.0]], np.float32), what="text kernel after apply_masks")
    assert_close(seen["text"][1], np.array([0.01]), rtol=1e-5, what="text bias after apply_masks")


def prune_a_multimodal_model(student, sparsity, skip, seed):
    """Probe: what is prunable in a model of two nested encoders, and what pruning changes in it."""
    import keras
    import numpy as np

    class Gate(keras.layers.Layer):
        """A kernel with one axis, and a matrix that is no kernel."""

        def build(self, shape):
            self.gain = self.add_weight(shape=(shape[-1],), name="kernel")
            self.scale = self.add_weight(shape=(2, shape[-1]), name="kernel_scale")

        def call(self, inputs):
            return inputs * self.gain + self.scale[0]

    ids, pixels = keras.Input((4,), dtype="int32"), keras.Input((4, 4, 2))
    words = keras.layers.Embedding(7, 5, name="words")(ids)
    mixed = keras.layers.EinsumDense("bte,ehd->bthd", (None, 2, 3), bias_axes="hd", name="heads")(words)
    read = keras.layers.SimpleRNN(3, name="read")(keras.layers.Reshape((4, 6))(mixed))
    text_encoder = keras.Model(ids, read, name="text")
    image = keras.layers.BatchNormalization(name="norm")(keras.layers.Conv2D(3, 2, name="patches")(pixels))
    image = Gate(name="gate")(keras.layers.Dense(4, name="project")(keras.layers.Flatten()(image)))
    image_encoder = keras.Model(pixels, image, name="image")
    image_encoder.trainable = False
    inputs = [keras.Input((4,), dtype="int32"), keras.Input((4, 4, 2))]
    joined = keras.layers.Concatenate()([text_encoder(inputs[0]), image_encoder(inputs[1])])
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(joined), name="classifier")
    generator = np.random.default_rng(seed)
    before = [generator.normal(size=weight.shape).astype("float32") for weight in model.weights]
    model.set_weights(before)

    kernels = student.prunable_kernels(model)
    variables = {weight.path: weight for weight in model.weights}
    seen = {"kernels": type(kernels).__name__, "paths": list(variables), "count": model.count_params()}
    if isinstance(kernels, dict):
        seen["kernels"] = {str(path): variables.get(path) is kernel for path, kernel in kernels.items()}
        seen["order"] = [str(path) for path in kernels]
    masks = student.magnitude_prune(model, sparsity, skip=skip)
    seen["masked"] = {str(path): int(np.asarray(mask).size) for path, mask in masks.items()}
    after = [np.asarray(weight) for weight in model.weights]
    pairs = zip(variables, after, before, strict=True)
    seen["changed"] = {path: int((new != old).sum()) for path, new, old in pairs if (new != old).any()}
    return seen | {"count after": model.count_params()}


@points(2)
@catches(
    "every-weight-with-two-axes",
    "every-weight-named-kernel",
    "kernels-of-the-top-layers",
    "one-kernel-a-layer",
    "only-trainable-kernels",
    "embeddings-pruned",
    "biases-pruned",
    "keyed-by-name",
    "skip-ignored",
)
def test_kernels_with_two_axes_are_pruned_wherever_they_are(student, seed):
    """Kernels with two or more axes are found and pruned in every part of a model; all other weights stay."""
    sizes = {
        "heads/kernel": 5 * 2 * 3,
        "read/simple_rnn_cell/kernel": 6 * 3,
        "read/simple_rnn_cell/recurrent_kernel": 3 * 3,
        "patches/kernel": 2 * 2 * 2 * 3,
        "project/kernel": 27 * 4,
        "head/kernel": 7 * 3,
    }
    skip = ["project/kernel", "head/kernel"]
    seen = student.run(prune_a_multimodal_model, 0.5, skip, seed)
    assert_paths(seen["kernels"], sizes, "result of prunable_kernels(model)")
    strangers = [path for path, is_same in seen["kernels"].items() if not is_same]
    if strangers:
        raise AssertionError(f"The value of prunable_kernels(model)[{strangers[0]!r}] is not the model's own variable.")
    order = [path for path in seen["paths"] if path in sizes]
    assert_equal(seen["order"], order, what="order of prunable_kernels(model)", cause="the order of model.weights")
    pruned = {path: size for path, size in sizes.items() if path not in skip}
    case = f"magnitude_prune(model, 0.5, skip={skip})"
    assert_paths(seen["masked"], pruned, f"result of {case}")
    assert_paths(seen["changed"], pruned, f"collection of weights that {case} changes")
    for path, size in pruned.items():
        what = f"number of entries that {case} changes in {path}"
        assert_equal(seen["changed"][path], round(size / 2), what=what, cause=COUNT)
    assert_equal(seen["count after"], seen["count"], what="result of model.count_params() after pruning")


@points(1)
@catches(
    "published-nothing-pruned",
    "largest-removed",
    "signed-values",
    "rounded-down",
    "halves-rounded-up",
    "quantile-as-threshold",
    "one-entry-is-always-kept",
    "mask-turned-round",
    "masks-only",
    "mask-of-floats",
    "random-mask",
    "global-for-both",
)
def test_each_kernel_loses_its_smallest_weights(student, rng):
    """Within each kernel exactly the right number of weights go, the smallest in absolute value; the others stay."""
    kernels = random_kernels(rng, scales=(1.0, 30.0, 0.03))
    arguments = [([0.5], {}), ([0.7], {"scope": "layer"}), ([0.9, "layer"], {}), ([0.1], {}), ([0.35], {})]
    results = student.run(prune_a_chain, kernels, [[call] for call in arguments])
    for call, result in zip(arguments, results, strict=True):
        case = described(*call)
        masks = expected_masks(kernels, call[0][0])
        assert_masks(result["masks"], dict(zip(PATHS, masks, strict=True)), kernels, case, RANKING)
        for path, weight, kernel, mask in zip(PATHS, result["weights"], kernels, masks, strict=True):
            assert_equal(weight, np.where(mask, kernel, np.float32(0)), what=f"{path} after {case}", cause=MASKED)


@points(1)
@catches("layer-for-both", "magnitudes-relative-to-the-kernel", "skipped-ones-counted")
def test_one_ranking_for_all_kernels(student, rng):
    """With the global scope the smallest weights of all kernels go, whichever kernel they are in."""
    kernels = random_kernels(rng, scales=(1.0, 2.0, 0.4))
    arguments = [([0.5], {"scope": "global"}), ([0.8, "global"], {}), ([0.25], {"scope": "global"})]
    calls = [[call] for call in arguments]
    skipping = ([0.5], {"scope": "global", "skip": (PATHS[1],)})
    *results, skipped = student.run(prune_a_chain, kernels, [*calls, [skipping]])
    for call, result in zip(arguments, results, strict=True):
        masks = expected_masks(kernels, call[0][0], "global")
        expected = dict(zip(PATHS, masks, strict=True))
        assert_masks(result["masks"], expected, kernels, described(*call), RANKING)
    others = [kernels[0], kernels[2]]
    expected = dict(zip((PATHS[0], PATHS[2]), expected_masks(others, 0.5, "global"), strict=True))
    cause = "a skipped kernel is neither pruned nor counted"
    assert_masks(skipped["masks"], expected, others, described(*skipping), cause)


@points(1)
@catches("threshold-too-many", "threshold-too-few", "ties-from-the-end", "ties-in-any-order")
def test_equal_magnitudes_go_in_order(student, rng):
    """Of equal magnitudes the first ones go first, and never more than the number that was asked for."""
    widths = (6, 20, 7, 4)  # (6, 20), (20, 7) and (7, 4)
    kernels = [np.ones(pair, dtype=np.float32) for pair in zip(widths, widths[1:], strict=False)]
    cases = {"kernels of ones": kernels}
    levels = np.array([0.25, -0.25, 0.5, -0.5, 0.75, -0.75], dtype=np.float32)
    cases["three different magnitudes"] = [rng.choice(levels, size=kernel.shape) for kernel in kernels]
    cases["many zeros"] = [
        np.where(rng.random(kernel.shape) < 0.6, 0, rng.choice(levels, kernel.shape)) for kernel in kernels
    ]
    arguments = [([0.3], {}), ([0.3], {"scope": "global"}), ([0.75], {"scope": "global"}), ([0.75], {})]
    for name, values in cases.items():
        values = [kernel.astype(np.float32) for kernel in values]
        results = student.run(prune_a_chain, values, [[call] for call in arguments])
        for call, result in zip(arguments, results, strict=True):
            masks = expected_masks(values, call[0][0], call[1].get("scope", "layer"))
            expected = dict(zip(PATHS, masks, strict=True))
            assert_masks(result["masks"], expected, values, f"{described(*call)} on {name}", FIRST)


def train_with_masks(student, kernels, masks, batch, target, steps):
    """Probe: for each step of Adam, what apply_masks does to the weights; one kernel has no mask."""
    import keras
    import numpy as np
    import tensorflow as tf

    layers = [
        keras.layers.Dense(kernel.shape[1], use_bias=False, name=name)
        for kernel, name in zip(kernels, ("first", "second", "third"), strict=True)
    ]
    model = keras.Sequential([keras.Input((kernels[0].shape[0],)), *layers], name="chain")
    model.set_weights(kernels)
    optimizer, variables = keras.optimizers.Adam(0.05), list(model.trainable_variables)
    seen = []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(batch) - target) ** 2)
        optimizer.apply(tape.gradient(loss, variables), variables)
        stepped = model.get_weights()
        student.apply_masks(model, dict(masks))
        after = model.get_weights()
        counts = {}
        for variable, old, new in zip(variables, stepped, after, strict=True):
            kept = masks.get(variable.path, np.ones(old.shape, dtype=bool))
            counts[variable.path] = {
                "alive": int((new[~kept] != 0).sum()),
                "revived": int((old[~kept] != 0).sum()),
                "disturbed": int((new[kept] != old[kept]).sum()),
            }
        seen.append(counts)
    return seen


@points(1)
@catches(
    "masks-not-applied", "masks-applied-the-wrong-way-round", "pruned-by-magnitude-again", "every-kernel-needs-a-mask"
)
def test_masked_weights_stay_zero_during_training(student, rng):
    """After each step of Adam, masked weights are 0 again, and all others are what the optimiser made of them."""
    kernels = random_kernels(rng)
    # the masks have nothing to do with magnitudes; the last kernel has none
    kept = [rng.permutation(np.arange(kernel.size) % 5 > 1).reshape(kernel.shape) for kernel in kernels]
    masks = dict(zip(PATHS[:2], kept, strict=False))
    batch = rng.standard_normal((7, 3)).astype(np.float32)
    target = rng.standard_normal((7, 3)).astype(np.float32)
    for step, counts in enumerate(student.run(train_with_masks, kernels, masks, batch, target, 3), start=1):
        for path, count in counts.items():
            where = f"in {path} after step {step} of Adam and apply_masks"
            if count["alive"]:
                raise AssertionError(
                    f"{count['alive']} weights are not 0 {where}, although their mask is False. The step had given "
                    f"{count['revived']} of the masked weights a value."
                )
            if count["disturbed"]:
                raise AssertionError(
                    f"{count['disturbed']} weights were changed by apply_masks {where}, although they "
                    f"{'have no mask' if path not in masks else 'are to be kept'}."
                )


def report_on_a_chain(student, kernels, biases):
    """Probe: sparsity_report on a chain of linear layers with these kernels and biases."""
    import keras

    layers = [
        keras.layers.Dense(kernel.shape[1], name=name)
        for kernel, name in zip(kernels, ("first", "second", "third"), strict=True)
    ]
    model = keras.Sequential([keras.Input((kernels[0].shape[0],)), *layers], name="chain")
    model.set_weights([array for pair in zip(kernels, biases, strict=True) for array in pair])
    report = student.sparsity_report(model)
    return {str(path): float(share) for path, share in report.items()} if isinstance(report, dict) else report


@points(1)
@catches("mean-of-the-shares", "share-of-the-others", "small-weights-counted-as-zero", "biases-in-the-report")
def test_report_counts_zeros(student, rng):
    """The report gives the share of exact zeros in each kernel, and in the entries of all kernels together."""
    kernels = [rng.uniform(1e-9, 9e-9, pair).astype(np.float32) for pair in zip(WIDTHS, WIDTHS[1:], strict=False)]
    for kernel, zeros in zip(kernels, (4, 3, 0), strict=True):
        kernel.flat[rng.permutation(kernel.size)[:zeros]] = 0
    kernels[0].flat[np.flatnonzero(kernels[0])[:5]] = -0.5
    biases = [np.zeros(kernel.shape[1], np.float32) for kernel in kernels]
    report = student.run(report_on_a_chain, kernels, biases)
    expected = {PATHS[0]: 4 / 15, PATHS[1]: 3 / 5, PATHS[2]: 0.0, "total": 7 / 23}
    assert_paths(report, expected, "result of sparsity_report(model)")
    for path, share in expected.items():
        what = f"entry {path!r} of the report on kernels with 4 of 15, 3 of 5 and 0 of 3 entries equal to 0"
        assert_close(report[path], share, rtol=1e-5, atol=1e-8, what=what)


@points(1)
@catches("share-of-the-remaining-weights", "zeros-left-out-of-the-ranking")
def test_pruning_again_prunes_no_more_than_at_once(student, rng):
    """The same call twice does what it does once, and rising sparsities end where the last one leads at once."""
    kernels = random_kernels(rng, scales=(1.0, 2.0, 0.4))
    for scope in ("layer", "global"):
        at_once, twice, rising, none = student.run(
            prune_a_chain,
            kernels,
            [
                [([0.6], {"scope": scope})],
                [([0.6], {"scope": scope})] * 2,
                [([sparsity], {"scope": scope}) for sparsity in (0.2, 0.4, 0.6)],
                [([0], {"scope": scope})],
            ],
        )
        if not all(isinstance(result["masks"], dict) for result in (at_once, twice, rising, none)):
            raise AssertionError("The result of magnitude_prune should be a dictionary by path.")
        for case, result in (("called twice with 0.6", twice), ("called with 0.2, 0.4 and 0.6", rising)):
            for number, path in enumerate(PATHS):
                what = f"after magnitude_prune was {case}, scope {scope!r}, compared with one call with 0.6,"
                cause = "weights that are 0 already are ranked and counted like any other"
                wanted = at_once["weights"][number]
                assert_equal(result["weights"][number], wanted, what=f"value of {path} {what}", cause=cause)
                mask, wanted = result["masks"].get(path), at_once["masks"].get(path)
                assert_equal(mask, wanted, what=f"mask of {path} {what}", cause=cause)
        for path, weight, kernel in zip(PATHS, none["weights"], kernels, strict=True):
            assert_equal(weight, kernel, what=f"value of {path} after magnitude_prune(model, 0, scope={scope!r})")
            mask, everything = none["masks"].get(path), np.ones(kernel.shape, dtype=bool)
            assert_equal(mask, everything, what=f"mask of {path} from magnitude_prune(model, 0, scope={scope!r})")


def refused_calls(student, kernels, calls):
    """Probe: for each call the exception that it raises, with its bases, and how many weights it changed.

    A call is [function, keyword arguments, whether the model has kernels].
    """
    import keras

    layers = [
        keras.layers.Dense(kernel.shape[1], use_bias=False, name=name)
        for kernel, name in zip(kernels, ("first", "second", "third"), strict=True)
    ]
    chain = keras.Sequential([keras.Input((kernels[0].shape[0],)), *layers], name="chain")
    bare = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(name="norm")], name="bare")
    results = []
    for name, keywords, has_kernels in calls:
        model = chain if has_kernels else bare
        chain.set_weights(kernels)
        before = model.get_weights()
        raised = []
        try:
            getattr(student, name)(model, **keywords)
        except NotImplementedError:
            raise
        except Exception as error:
            raised = [cls.__name__ for cls in type(error).__mro__]
        changed = sum(int((new != old).sum()) for new, old in zip(model.get_weights(), before, strict=True))
        results.append({"raised": raised, "changed": changed})
    return results


@points(1)
@catches(
    "sparsity-of-one",
    "unknown-scope-accepted",
    "nothing-left-to-prune",
    "unknown-skip-ignored",
    "masks-broadcast",
    "unknown-mask-ignored",
    "changed-before-it-is-refused",
)
def test_refused_calls_change_nothing(student, rng):
    """What makes no sense is refused with the right exception, and then no weight is changed."""
    kernels = random_kernels(rng)
    nothing = np.zeros((3, 5), dtype=bool)  # a mask that would remove the whole first kernel
    prune = [
        ("sparsity=1.0", {"sparsity": 1.0}, ValueError),
        ("sparsity=-0.1", {"sparsity": -0.1}, ValueError),
        ("sparsity=1.5, scope='global'", {"sparsity": 1.5, "scope": "global"}, ValueError),
        ("sparsity=nan", {"sparsity": float("nan")}, ValueError),
        ("scope='row'", {"sparsity": 0.5, "scope": "row"}, ValueError),
        ("scope='Global'", {"sparsity": 0.5, "scope": "Global"}, ValueError),
        ("all kernels in skip", {"sparsity": 0.5, "skip": list(PATHS)}, ValueError),
        ("a model without kernels", {"sparsity": 0.5}, ValueError),
        ("a model without kernels, scope='global'", {"sparsity": 0.5, "scope": "global"}, ValueError),
        ("skip=['chain/fourth/kernel']", {"sparsity": 0.5, "skip": ["chain/fourth/kernel"]}, KeyError),
        ("skip=['first']", {"sparsity": 0.5, "skip": ["first"]}, KeyError),
        ("skip='chain/first/kernel'", {"sparsity": 0.5, "skip": "chain/first/kernel"}, KeyError, TypeError),
    ]
    second = {
        "shape (1, 5)": np.ones((1, 5), dtype=bool),
        "shape (1, 1)": np.zeros((1, 1), dtype=bool),
        "shape (5,)": np.zeros(5, dtype=bool),
        "shape (2, 5, 1)": np.zeros((2, 5, 1), dtype=bool),
    }
    masks = [
        (f"a mask of {name} for a (5, 1) kernel", {"masks": {PATHS[0]: nothing, PATHS[1]: mask}}, ValueError)
        for name, mask in second.items()
    ]
    unknown = {PATHS[0]: nothing, "chain/fourth/kernel": np.zeros((3, 5), dtype=bool)}
    masks.append(("a mask for 'chain/fourth/kernel'", {"masks": unknown}, KeyError))
    cases = [("magnitude_prune", *case) for case in prune] + [("apply_masks", *case) for case in masks]
    calls = [[name, keywords, "a model without" not in case] for name, case, keywords, *_ in cases]
    results = student.run(refused_calls, kernels, calls)
    for (name, case, _, *wanted), result in zip(cases, results, strict=True):
        names = [error.__name__ for error in wanted]
        if not set(names) & set(result["raised"]):
            came = f"it raised {result['raised'][0]}" if result["raised"] else "it returned without an error"
            raise AssertionError(f"{name} with {case} should raise {' or '.join(names)}; {came}.")
        if result["changed"]:
            raise AssertionError(f"{name} with {case} raised an error, but changed {result['changed']} weights before.")
