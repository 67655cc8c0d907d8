"""Catalogue of compression/pruning.

The published answer calls `model.prune()`, which no Keras model has; what is left of it without that line is a network
with all its weights: `published-nothing-pruned`. "Per layer when global is asked" is `layer-for-both`, "masks not
re-applied after a step of Adam" is `masks-not-applied`.
"""

from grader.catalogue import Alternative, WrongAnswer

KERNELS = "test_kernels_with_two_axes_are_pruned_wherever_they_are"
LAYER = "test_each_kernel_loses_its_smallest_weights"
GLOBAL = "test_one_ranking_for_all_kernels"
TIES = "test_equal_magnitudes_go_in_order"
TRAINING = "test_masked_weights_stay_zero_during_training"
REPORT = "test_report_counts_zeros"
AGAIN = "test_pruning_again_prunes_no_more_than_at_once"
REFUSED = "test_refused_calls_change_nothing"

# pieces of the reference
CONDITION = 'if variable.name.endswith("kernel") and len(variable.shape) >= 2'
GROUPS = '[[path] for path in kernels] if scope == "layer" else [list(kernels)]'
MAGNITUDES = "flat = [np.abs(kernels[path].numpy()).ravel() for path in group]"
SMALLEST = 'smallest = np.argsort(magnitudes, kind="stable")[: round(sparsity * magnitudes.size)]'
PRUNED = "[: round(sparsity * magnitudes.size)]"
KEEP = "        keep[smallest] = False\n"
RETURN = "    apply_masks(model, masks)\n    return masks\n"
# the same without apply_masks, so that a mistake there stays there
RETURN_ALONE = (
    RETURN,
    "    for path, mask in masks.items():\n"
    "        kernels[path].assign(kernels[path].numpy() * mask)\n"
    "    return masks\n",
)
ASSIGN = "        kernels[path].assign(keras.ops.where(mask, kernels[path], 0.0))\n"
TOTAL = "sum(zeros.values()) / sum(entries.values())"

wrong_answers = [
    WrongAnswer(
        id="published-nothing-pruned",
        title="nothing is pruned",
        explanation=(
            "All masks are true and all weights are still there. Keras has no method that prunes a model: the weights "
            "to remove have to be chosen, and set to 0, by your own code."
        ),
        caught_by=LAYER,
        swap=((PRUNED, "[:0]"),),
    ),
    # ------------------------------------------------------------------------------------------- which weights
    WrongAnswer(
        id="biases-pruned",
        title="biases are pruned too",
        explanation=(
            "Biases are few, so removing them saves nothing, and a unit whose bias is gone computes something else for "
            "every input. Which part of a weight's path tells what it is?"
        ),
        caught_by=KERNELS,
        swap=((CONDITION, 'if variable.name.endswith("kernel") or variable.name == "bias"'),),
    ),
    WrongAnswer(
        id="every-weight-with-two-axes",
        title="every weight with two or more axes is pruned",
        explanation=(
            "Two axes do not make a kernel: the biases of attention layers have two as well, and so do the tables of "
            "embedding layers. Look at the name of the weight besides its shape."
        ),
        caught_by=KERNELS,
        swap=((CONDITION, "if len(variable.shape) >= 2"),),
    ),
    WrongAnswer(
        id="every-weight-named-kernel",
        title="a kernel with a single axis is pruned",
        explanation=(
            "A layer may call a vector of gains its kernel. The name is right, but a weight for each feature is no "
            "connection between two: look at the number of axes besides the name."
        ),
        caught_by=KERNELS,
        swap=((CONDITION, 'if variable.name.endswith("kernel")'),),
    ),
    WrongAnswer(
        id="embeddings-pruned",
        title="the tables of embedding layers are pruned",
        explanation=(
            "A row of an embedding table is read only for its own word, and rows of rare words are small because they "
            "were hardly trained: their magnitudes say little. The task leaves these tables out."
        ),
        caught_by=KERNELS,
        swap=((CONDITION, 'if variable.name.endswith(("kernel", "embeddings")) and len(variable.shape) >= 2'),),
    ),
    WrongAnswer(
        id="kernels-of-the-top-layers",
        title="only the kernels of the model's own layers are found",
        explanation=(
            "`model.layers` lists a nested encoder as one layer, which has no attribute `kernel`, and the weights of a "
            "recurrent layer belong to its cell. Whatever is inside is missed. Is there a list that goes all the way?"
        ),
        caught_by=KERNELS,
        code="""
def prunable_kernels(model):
    return {
        layer.kernel.path: layer.kernel
        for layer in model.layers
        if hasattr(layer, "kernel") and len(layer.kernel.shape) >= 2
    }
""",
    ),
    WrongAnswer(
        id="one-kernel-a-layer",
        title="only one kernel of each layer is found",
        explanation=(
            "A layer can have more than one kernel: a recurrent layer has one for its inputs and one for its own state. "
            "Go through the weights and not through the layers."
        ),
        caught_by=KERNELS,
        swap=((CONDITION, 'if variable.name == "kernel" and len(variable.shape) >= 2'),),
    ),
    WrongAnswer(
        id="only-trainable-kernels",
        title="frozen kernels are left out",
        explanation=(
            "Kernels of frozen parts are missing. A frozen encoder takes as much room as any other, and pruning does "
            "not need gradients: which list of the model has all its weights?"
        ),
        caught_by=KERNELS,
        swap=(("for variable in model.weights\n        if", "for variable in model.trainable_weights\n        if"),),
    ),
    WrongAnswer(
        id="keyed-by-name",
        title="kernels are kept under their short names",
        explanation=(
            "Nearly all kernels have the name `kernel`, so in a dictionary by name one takes the place of the other and "
            "only the last is left. Which attribute of a variable is different for each?"
        ),
        caught_by=KERNELS,
        swap=(("variable.path: variable\n", "variable.name: variable\n"),),
    ),
    WrongAnswer(
        id="skip-ignored",
        title="`skip` has no effect",
        explanation=(
            "Kernels that were to be left alone are pruned like all others; a head or a first layer is often spared, "
            "since it has few weights and each of them matters."
        ),
        caught_by=KERNELS,
        swap=(
            (
                " for path, kernel in prunable_kernels(model).items() if path not in skip}",
                " for path, kernel in prunable_kernels(model).items()}",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------- the ranking
    WrongAnswer(
        id="largest-removed",
        title="the largest weights are removed",
        explanation=(
            "What is left are the weights closest to 0, which do least. A mask that is true where a weight is kept, and "
            "a sort that begins with the smallest, are easily crossed: which of the two is turned round?"
        ),
        caught_by=LAYER,
        swap=(('np.argsort(magnitudes, kind="stable")[:', 'np.argsort(-magnitudes, kind="stable")[:'),),
    ),
    WrongAnswer(
        id="signed-values",
        title="weights are ranked with their signs",
        explanation=(
            "The most negative weights are removed, and these are among the most important ones. What matters is how "
            "far a weight is from 0, on either side."
        ),
        caught_by=LAYER,
        swap=((MAGNITUDES, "flat = [kernels[path].numpy().ravel() for path in group]"),),
    ),
    WrongAnswer(
        id="random-mask",
        title="the pruned weights are drawn at random",
        explanation=(
            "The number is right, but large weights go as often as small ones. That is the baseline that pruning by "
            "magnitude has to beat."
        ),
        caught_by=LAYER,
        swap=((SMALLEST, f"smallest = np.random.default_rng(0).permutation(magnitudes.size){PRUNED}"),),
    ),
    WrongAnswer(
        id="rounded-down",
        title="the number of pruned weights is rounded down",
        explanation="Where sparsity times n is no whole number, you prune one weight less than `round` asks for.",
        caught_by=LAYER,
        swap=((PRUNED, "[: int(sparsity * magnitudes.size)]"),),
    ),
    WrongAnswer(
        id="halves-rounded-up",
        title="halves are rounded up",
        explanation=(
            "Adding 0.5 and cutting off rounds every half up. Python's `round` takes a half to the even neighbour: 2.5 "
            "becomes 2, and 3.5 becomes 4."
        ),
        caught_by=LAYER,
        swap=((PRUNED, "[: int(sparsity * magnitudes.size + 0.5)]"),),
    ),
    WrongAnswer(
        id="one-entry-is-always-kept",
        title="at least one entry of each kernel is kept",
        explanation=(
            "For a small kernel the rounded number can be all of its entries, and the task says that then all of them "
            "go. Sparing one is a sensible idea, but the total is no longer what was asked for."
        ),
        caught_by=LAYER,
        swap=((PRUNED, "[: min(round(sparsity * magnitudes.size), magnitudes.size - 1)]"),),
    ),
    WrongAnswer(
        id="quantile-as-threshold",
        title="a quantile of the magnitudes as threshold",
        explanation=(
            "A quantile lies between two entries or on one, depending on the number of entries, so that the count is "
            "sometimes off by one, and by more where magnitudes are equal. Count positions in a sorted order instead."
        ),
        caught_by=LAYER,
        swap=((KEEP, "        keep = magnitudes >= np.quantile(magnitudes, sparsity)\n"),),
    ),
    WrongAnswer(
        id="global-for-both",
        title="one ranking for all kernels, also when each should have its own",
        explanation=(
            "With the scope `layer` each kernel has to lose the same share. Yours are ranked together, so that kernels "
            "of small weights lose nearly everything."
        ),
        caught_by=LAYER,
        swap=((GROUPS, "[list(kernels)]"),),
    ),
    WrongAnswer(
        id="mask-turned-round",
        title="masks are true where a weight is pruned",
        explanation=(
            "The weights are right and the masks say the opposite: they should be true where a weight is kept, so that "
            "they can be multiplied with it."
        ),
        caught_by=LAYER,
        swap=((RETURN, RETURN.replace("return masks", "return {path: ~mask for path, mask in masks.items()}")),),
    ),
    WrongAnswer(
        id="masks-only",
        title="the masks are made, but the model keeps its weights",
        explanation=(
            "The masks are right, and the weights of the model are what they were. A NumPy array from a variable is a "
            "copy, and so is a cloned model: the variable itself has to be given the new value."
        ),
        caught_by=LAYER,
        swap=((RETURN, "    return masks\n"),),
    ),
    WrongAnswer(
        id="mask-of-floats",
        title="masks of floats",
        explanation=(
            "The masks hold 0.0 and 1.0. The task asks for booleans: they take a quarter of the room, and they can be "
            "used as an index and be inverted."
        ),
        caught_by=LAYER,
        swap=(("keep = np.ones(magnitudes.size, dtype=bool)", "keep = np.ones(magnitudes.size, dtype=np.float32)"),),
    ),
    WrongAnswer(
        id="layer-for-both",
        title="each kernel has its own ranking, also when there should be one for all",
        explanation=(
            "With the scope `global` every kernel still loses the same share. There should be one ranking: a kernel of "
            "large weights may lose none, one of small weights all."
        ),
        caught_by=GLOBAL,
        swap=((GROUPS, "[[path] for path in kernels]"),),
    ),
    WrongAnswer(
        id="magnitudes-relative-to-the-kernel",
        title="magnitudes are divided by the largest of their kernel before the global ranking",
        explanation=(
            "Bringing all kernels to one scale is a reasonable variant, but another criterion: the task ranks the "
            "absolute values as they are."
        ),
        caught_by=GLOBAL,
        swap=((MAGNITUDES, MAGNITUDES + "\n        flat = [part / part.max() for part in flat]"),),
    ),
    WrongAnswer(
        id="skipped-ones-counted",
        title="skipped kernels are counted in the global number",
        explanation=(
            "The entries of skipped kernels are in your n, so the other kernels have to give up more than the share "
            "that was asked for. n is the number of the entries that are ranked."
        ),
        caught_by=GLOBAL,
        swap=(
            (
                PRUNED,
                '[: round(sparsity * (magnitudes.size if scope == "layer" else sum('
                "math.prod(kernel.shape) for kernel in prunable_kernels(model).values())))]",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------- ties
    WrongAnswer(
        id="threshold-too-many",
        title="a threshold takes all weights that are equal to it",
        explanation=(
            "If several magnitudes are equal to the threshold, all of them go, and more than the asked number is "
            "pruned: a kernel of equal weights loses everything. Count positions instead of comparing values."
        ),
        caught_by=TIES,
        swap=(
            (
                KEEP,
                "        if smallest.size:\n            keep = magnitudes > magnitudes[smallest[-1]]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="threshold-too-few",
        title="a threshold spares all weights that are equal to it",
        explanation=(
            "If several magnitudes are equal to the threshold, none of them goes, and less than the asked number is "
            "pruned: a kernel of equal weights loses nothing. Count positions instead of comparing values."
        ),
        caught_by=TIES,
        swap=(
            (
                KEEP,
                "        ranked = np.append(np.sort(magnitudes), np.inf)\n"
                "        keep = magnitudes >= ranked[smallest.size]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="ties-from-the-end",
        title="of equal magnitudes the last ones go first",
        explanation=(
            "The numbers are right, but of equal magnitudes you take the last ones. That happens when an order is "
            "sorted downwards, or turned round, and read from its end."
        ),
        caught_by=TIES,
        swap=(
            (
                SMALLEST,
                'smallest = np.argsort(-magnitudes, kind="stable")'
                "[magnitudes.size - round(sparsity * magnitudes.size) :]",
            ),
        ),
    ),
    WrongAnswer(
        id="ties-in-any-order",
        title="of equal magnitudes any may go",
        explanation=(
            "The numbers are right, but which of several equal magnitudes goes depends on how the sort or the partition "
            "happens to work. Which kind of sort promises to keep equal values in their order?"
        ),
        caught_by=TIES,
        swap=(
            (
                SMALLEST,
                "count = round(sparsity * magnitudes.size)\n"
                "        smallest = np.argpartition(magnitudes, min(count, magnitudes.size - 1))[:count]",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------- masks in training
    WrongAnswer(
        id="masks-not-applied",
        title="`apply_masks` leaves the weights as they are",
        explanation=(
            "After a step of the optimiser the removed weights have values again: they get gradients like all others, "
            "and Adam's moving averages push them too. `apply_masks` has to set them back to 0, each time."
        ),
        caught_by=TRAINING,
        swap=(RETURN_ALONE, (ASSIGN, "        keras.ops.where(mask, kernels[path], 0.0)\n")),
    ),
    WrongAnswer(
        id="masks-applied-the-wrong-way-round",
        title="`apply_masks` sets the kept weights to 0",
        explanation="A mask is true where a weight is kept. You remove exactly those, and keep the others.",
        caught_by=TRAINING,
        swap=(RETURN_ALONE, (ASSIGN, "        kernels[path].assign(keras.ops.where(mask, 0.0, kernels[path]))\n")),
    ),
    WrongAnswer(
        id="pruned-by-magnitude-again",
        title="`apply_masks` prunes the smallest weights anew",
        explanation=(
            "You remove as many weights as the mask does, but those that are smallest now. After a step of the optimiser "
            "these are others. The mask says which positions are meant."
        ),
        caught_by=TRAINING,
        swap=(
            RETURN_ALONE,
            (
                ASSIGN,
                "        weights = kernels[path].numpy()\n"
                "        weights.flat[np.argsort(np.abs(weights).ravel())[: np.sum(~mask)]] = 0\n"
                "        kernels[path].assign(weights)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="every-kernel-needs-a-mask",
        title="`apply_masks` fails if a kernel has no mask",
        explanation=(
            "You go through all kernels of the model and look up the mask of each, but skipped kernels have none. Which "
            "of the two dictionaries should the loop go through?"
        ),
        caught_by=TRAINING,
        swap=(
            (
                "    for path, mask in masks.items():\n        kernels[path].assign(",
                "    for path in kernels:\n        mask = masks[path]\n        kernels[path].assign(",
            ),
            RETURN_ALONE,
        ),
    ),
    # ------------------------------------------------------------------------------------------- the report
    WrongAnswer(
        id="mean-of-the-shares",
        title="the total is the mean of the kernels' shares",
        explanation=(
            "In your total a kernel of ten entries counts for as much as one of a million. Add up zeros and entries "
            "first, then divide once."
        ),
        caught_by=REPORT,
        swap=((TOTAL, "sum(report.values()) / len(report)"),),
    ),
    WrongAnswer(
        id="share-of-the-others",
        title="the report gives the share of weights that are not 0",
        explanation="Your numbers are densities: they fall where the sparsity rises. The two add up to 1.",
        caught_by=REPORT,
        swap=(("kernel.numpy() == 0)", "kernel.numpy() != 0)"),),
    ),
    WrongAnswer(
        id="small-weights-counted-as-zero",
        title="weights close to 0 are counted as zeros",
        explanation=(
            "A small weight still has to be stored and multiplied. Only an exact 0 counts; a tolerance, as in "
            "`np.isclose`, finds zeros in a model that was never pruned."
        ),
        caught_by=REPORT,
        swap=(
            (
                "np.sum(kernel.numpy() == 0)",
                "np.sum(np.isclose(kernel.numpy(), 0))",
            ),
        ),
    ),
    WrongAnswer(
        id="biases-in-the-report",
        title="the report has all weights, biases included",
        explanation=(
            "Biases often start as zeros, so a report that includes them shows sparsity where nothing was pruned. Only "
            "the kernels that can be pruned belong in it."
        ),
        caught_by=REPORT,
        code="""
def sparsity_report(model):
    arrays = {variable.path: variable.numpy() for variable in model.weights}
    report = {path: float(np.mean(array == 0)) for path, array in arrays.items()}
    zeros, entries = (sum(int(f(array)) for array in arrays.values()) for f in (lambda a: (a == 0).sum(), np.size))
    return report | {"total": zeros / entries}
""",
    ),
    # ------------------------------------------------------------------------------------------- again
    WrongAnswer(
        id="share-of-the-remaining-weights",
        title="a second call prunes a share of what is left",
        explanation=(
            "Weights that are 0 already do not count in your n, so the same call twice removes more than once: 0.6 and "
            "0.6 again would be 0.84. The sparsity is a share of all entries."
        ),
        caught_by=AGAIN,
        swap=(
            (
                PRUNED,
                "[: np.sum(magnitudes == 0) + round(sparsity * np.sum(magnitudes != 0))]",
            ),
        ),
    ),
    WrongAnswer(
        id="zeros-left-out-of-the-ranking",
        title="a second call passes over the zeros and prunes as many weights again",
        explanation=(
            "Weights that are 0 already are not ranked, so the same call twice removes twice as many. They are the "
            "smallest there are, and go first."
        ),
        caught_by=AGAIN,
        swap=(
            (
                PRUNED,
                "[np.sum(magnitudes == 0) :][: round(sparsity * magnitudes.size)]\n"
                "        smallest = np.union1d(smallest, np.flatnonzero(magnitudes == 0))",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------- refused calls
    WrongAnswer(
        id="sparsity-of-one",
        title="a sparsity of 1 and more, or below 0, is accepted",
        explanation=(
            "A sparsity of 1 leaves no weight at all, a negative one removes some by accident of slicing. Phrase the "
            "condition so that it has to be true for a good value; a comparison with NaN is false."
        ),
        caught_by=REFUSED,
        swap=(("if not 0 <= sparsity < 1:", "if sparsity is None:"),),
    ),
    WrongAnswer(
        id="unknown-scope-accepted",
        title="any other word for the scope means one of the two",
        explanation="A misspelt scope silently gets one of the two rankings. Refuse what is neither.",
        caught_by=REFUSED,
        swap=(('if scope not in ("layer", "global"):', "if not isinstance(scope, str):"),),
    ),
    WrongAnswer(
        id="nothing-left-to-prune",
        title="a model without anything to prune passes",
        explanation=(
            "A model whose kernels are all skipped, or that has none, comes back with an empty dictionary, as if all "
            "had gone well. Usually the model was not built, or the wrong one was passed."
        ),
        caught_by=REFUSED,
        swap=(("    if not kernels:\n", "    if not kernels:\n        return {}\n    if not kernels:\n"),),
    ),
    WrongAnswer(
        id="unknown-skip-ignored",
        title="an unknown path in `skip` is ignored",
        explanation=(
            "A misspelt path in `skip` protects nothing, and nobody notices before the layer is pruned. Compare the "
            "entries with the paths that the model has."
        ),
        caught_by=REFUSED,
        swap=(("    if unknown:\n", "    if unknown is None:\n"),),
    ),
    WrongAnswer(
        id="masks-broadcast",
        title="a mask of another shape is stretched",
        explanation=(
            "A mask of shape (1, n) or () fits any kernel by broadcasting, so that whole columns are removed by a mask "
            "that was made for another model. Compare the two shapes."
        ),
        caught_by=REFUSED,
        swap=(("if mask.shape != kernel.shape:", "if np.broadcast(mask, kernel.numpy()).shape != kernel.shape:"),),
    ),
    WrongAnswer(
        id="unknown-mask-ignored",
        title="a mask for a weight that the model does not have is ignored",
        explanation=(
            "Masks of another model, or of one whose layers were renamed, are passed over, and the weights come to life "
            "again during training. A key that the model does not have is an error."
        ),
        caught_by=REFUSED,
        swap=(
            ("        kernel = kernels[path]  #", "        kernel = kernels.get(path, mask)  #"),
            (
                "    for path, mask in masks.items():\n        kernels[path].assign(",
                "    for path in masks.keys() & kernels:\n        mask = masks[path]\n        kernels[path].assign(",
            ),
        ),
    ),
    WrongAnswer(
        id="changed-before-it-is-refused",
        title="some masks are applied before a wrong one is refused",
        explanation=(
            "Your loop checks and applies one mask after the other, so that a wrong one at the end leaves the model half "
            "pruned. Check all of them before the first change."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    for path, mask in masks.items():\n        kernels[path].assign(",
                "        kernels[path].assign(",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="tensorflow-operations",
        title="TensorFlow operations: top_k of negative magnitudes and scattered updates",
        code="""
import tensorflow as tf


def prunable_kernels(model):
    found = {}
    for weight in model.variables:
        *_, name = weight.path.split("/")
        if name[-6:] == "kernel" and tf.rank(weight.value) > 1:
            found[weight.path] = weight
    return found


def magnitude_prune(model, sparsity, scope="layer", skip=()):
    if isinstance(skip, str):
        raise TypeError("skip is a collection of paths")
    if math.isnan(sparsity) or sparsity < 0.0 or sparsity >= 1.0:
        raise ValueError(sparsity)
    known = [weight.path for weight in model.variables]
    for path in skip:
        if path not in known:
            raise KeyError(path)
    chosen = [(path, weight) for path, weight in prunable_kernels(model).items() if path not in list(skip)]
    if len(chosen) == 0:
        raise ValueError("no kernels")

    def ranked(flat):
        count = round(sparsity * int(flat.shape[0]))
        _, places = tf.math.top_k(-tf.abs(flat), k=count)
        return tf.tensor_scatter_nd_update(tf.ones_like(flat, tf.bool), places[:, None], tf.zeros(count, tf.bool))

    flats = [tf.reshape(weight.value, [-1]) for _, weight in chosen]
    if scope == "layer":
        flats = [ranked(flat) for flat in flats]
    elif scope == "global":
        flats = tf.split(ranked(tf.concat(flats, 0)), [int(flat.shape[0]) for flat in flats])
    else:
        raise ValueError(scope)
    masks = {path: tf.reshape(flat, weight.shape) for (path, weight), flat in zip(chosen, flats)}
    for path, weight in chosen:
        weight.assign(weight.value * tf.cast(masks[path], weight.dtype))
    return masks


def apply_masks(model, masks):
    variables = {weight.path: weight for weight in model.variables}
    pairs = [(variables[path], mask) for path, mask in masks.items()]
    for weight, mask in pairs:
        if tuple(mask.shape) != tuple(weight.shape):
            raise ValueError("shape")
    for weight, mask in pairs:
        weight.assign(tf.where(mask, weight.value, tf.zeros_like(weight.value)))


def sparsity_report(model):
    report, zeros, entries = {}, 0, 0
    for path, weight in prunable_kernels(model).items():
        hits = tf.math.count_nonzero(tf.equal(weight.value, 0))
        report[path] = hits / tf.size(weight.value, tf.int64)
        zeros, entries = zeros + hits, entries + tf.size(weight.value, tf.int64)
    return dict(report, total=zeros / entries)
""",
    ),
    Alternative(
        id="sorted-tuples-and-set-weights",
        title="sorted tuples in plain Python, and `set_weights` of the whole model",
        code="""
def prunable_kernels(model):
    is_kernel = [weight.path.endswith("kernel") and weight.ndim > 1 for weight in model.weights]
    return dict((weight.path, weight) for weight, flag in zip(model.weights, is_kernel) if flag)


def write(model, masks):
    arrays = []
    for weight, array in zip(model.weights, model.get_weights()):
        if weight.path in masks:
            array = np.where(masks[weight.path], array, np.zeros_like(array))
        arrays.append(array)
    model.set_weights(arrays)


def magnitude_prune(model, sparsity, scope="layer", skip=()):
    if not (sparsity >= 0 and sparsity < 1) or scope not in {"layer", "global"}:
        raise ValueError("arguments")
    paths = {weight.path for weight in model.weights}
    if not paths.issuperset(skip):
        raise KeyError("skip")
    names = [path for path in prunable_kernels(model) if path not in skip]
    if names == []:
        raise ValueError("empty")
    arrays = {weight.path: np.array(weight) for weight in model.weights}
    masks = {name: np.full(arrays[name].shape, True) for name in names}
    table = []
    for number, name in enumerate(names):
        for place, value in enumerate(arrays[name].flatten().tolist()):
            table.append((abs(value), number, place))
    chosen = []
    if scope == "global":
        chosen = sorted(table)[: round(sparsity * len(table))]
    else:
        for number in range(len(names)):
            rows = sorted(row for row in table if row[1] == number)
            chosen += rows[: round(len(rows) * sparsity)]
    for _, number, place in chosen:
        mask = masks[names[number]]
        mask[np.unravel_index(place, mask.shape)] = False
    write(model, masks)
    return masks


def apply_masks(model, masks):
    shapes = {weight.path: tuple(weight.shape) for weight in model.weights}
    for path in masks:
        if shapes[path] != np.shape(masks[path]):
            raise ValueError(path)
    write(model, masks)


def sparsity_report(model):
    names, weights = prunable_kernels(model), {w.path: a for w, a in zip(model.weights, model.get_weights())}
    report = {name: np.mean(weights[name] == 0) for name in names}
    report["total"] = np.mean(np.concatenate([weights[name].ravel() for name in names]) == 0)
    return report
""",
    ),
    Alternative(
        id="threshold-with-ties-counted",
        title="a threshold, with the ties at it counted off one after the other; multiplication by the mask",
        code="""
def prunable_kernels(model):
    kernels = {}
    for variable in model.trainable_weights + model.non_trainable_weights:
        if variable.name.endswith("kernel") and len(variable.shape) > 1:
            kernels[variable.path] = variable
    return {variable.path: variable for variable in model.weights if variable.path in kernels}


def keep_of(magnitudes, sparsity):
    count = round(sparsity * len(magnitudes))
    if count == 0:
        return magnitudes == magnitudes
    threshold = np.partition(magnitudes, count - 1)[count - 1]
    below, equal = magnitudes < threshold, magnitudes == threshold
    ties = equal & (np.cumsum(equal) <= count - below.sum())
    return ~(below | ties)


def magnitude_prune(model, sparsity, scope="layer", skip=()):
    assert_paths = {variable.path: variable for variable in model.weights}
    [assert_paths[path] for path in skip]
    kernels = {p: np.abs(v.numpy()) for p, v in prunable_kernels(model).items() if p not in tuple(skip)}
    if scope not in ("layer", "global") or not kernels or not 0 <= sparsity < 1:
        raise ValueError("bad arguments")
    if scope == "layer":
        masks = {path: keep_of(value.ravel(), sparsity).reshape(value.shape) for path, value in kernels.items()}
    else:
        keep, masks, start = keep_of(np.hstack([value.ravel() for value in kernels.values()]), sparsity), {}, 0
        for path, value in kernels.items():
            masks[path] = keep[start : start + value.size].reshape(value.shape)
            start += value.size
    apply_masks(model, masks)
    return masks


def apply_masks(model, masks):
    kernels = prunable_kernels(model)
    for path, mask in masks.items():
        if np.shape(mask) != tuple(kernels[path].shape):
            raise ValueError("mask")
    for path, mask in masks.items():
        kernels[path].assign(kernels[path] * keras.ops.cast(mask, kernels[path].dtype))


def sparsity_report(model):
    sizes = {path: np.size(kernel.numpy()) for path, kernel in prunable_kernels(model).items()}
    zeros = {path: np.size(kernel.numpy()) - np.count_nonzero(kernel) for path, kernel in prunable_kernels(model).items()}
    shares = {path: np.float32(zeros[path] / sizes[path]) for path in sizes}
    return {"total": np.float32(sum(zeros.values()) / sum(sizes.values())), **shares}
""",
    ),
]
