"""Wrong answers and alternatives of transfer/prototypes_and_meta_learning.

The published answer returns an untrained model that joins two Dense layers and knows neither support nor labels; its
nearest relative under the signature asked for is `untrained-layers`.
"""

from grader.catalogue import Alternative, WrongAnswer

LOGITS = "test_logits_are_minus_squared_distances_to_the_class_means"
OFFSET = "test_only_differences_between_features_count"
GRADIENTS = "test_gradients_reach_support_and_query"
THROUGH = "test_gradient_runs_through_all_inner_steps"
FIRST_ORDER = "test_first_order_treats_inner_gradients_as_constants"
EDGES = "test_unused_parameters_variables_and_a_rate_of_zero"
BAD_INPUT = "test_bad_input_is_refused"

MEAN = "tf.math.unsorted_segment_mean(support, support_y, classes.size)"
RESULT = "return -tf.reduce_sum(differences**2, axis=-1)"
DIFFERENCES = "    differences = query[:, None, :] - prototypes[None, :, :]  # (queries, classes, width)\n"
CLASSES = "if classes.size == 0 or not np.array_equal(classes, np.arange(classes.size)):"
OUTER = "return outer.gradient(query_loss, params, unconnected_gradients=zero)"
CONSTANT = "            if first_order:\n                gradients ="

wrong_answers = [
    WrongAnswer(
        id="untrained-layers",
        title="scores of a layer with fresh random weights",
        explanation=(
            "The scores come from a Dense layer that is made in the call. Its weights are random, nothing ever trains "
            "them, and the labelled examples of the support have no influence. What do the examples tell about a class?"
        ),
        caught_by=LOGITS,
        swap=((RESULT, "return tf.keras.layers.Dense(classes.size)(query)"),),
    ),
    WrongAnswer(
        id="distance-not-squared",
        title="the distance, not its square",
        explanation=(
            "The square root has been taken. Minus the squared distance makes the classifier linear in the query, which "
            "is what Snell et al. found to work better; besides, the root has no finite gradient where a query lies on "
            "a prototype."
        ),
        caught_by=LOGITS,
        swap=((RESULT, "return -tf.norm(differences, axis=-1)"),),
    ),
    WrongAnswer(
        id="sign-forgotten",
        title="distances without the minus sign",
        explanation=(
            "The farthest prototype gets the largest logit, so a softmax prefers the class that fits least. Logits are "
            "larger for likelier classes: what has to happen to a distance?"
        ),
        caught_by=LOGITS,
        swap=((RESULT, "return tf.reduce_sum(differences**2, axis=-1)"),),
    ),
    WrongAnswer(
        id="one-example-instead-of-the-mean",
        title="the first example of each class as its prototype",
        explanation=(
            "All but one example of a class are ignored. With a single shot the two agree; with more, the mean is the "
            "better estimate, since the noise of the examples averages out."
        ),
        caught_by=LOGITS,
        swap=((MEAN, "tf.gather(support, np.unique(support_y, return_index=True)[1])"),),
    ),
    WrongAnswer(
        id="query-in-the-prototypes",
        title="queries taken into the prototypes",
        explanation=(
            "The prototypes move when other queries come along, so the answer for one sample depends on which samples "
            "are tested with it. A prototype is the mean of the labelled examples alone."
        ),
        caught_by=LOGITS,
        swap=(
            (
                DIFFERENCES,
                "    nearest = tf.argmin(tf.reduce_sum((query[:, None] - prototypes[None]) ** 2, axis=-1), axis=1)\n"
                "    prototypes = tf.math.unsorted_segment_mean(\n"
                "        tf.concat([support, query], axis=0),\n"
                "        tf.concat([tf.cast(support_y, tf.int64), nearest], axis=0),\n"
                "        classes.size,\n"
                "    )\n" + DIFFERENCES,
            ),
        ),
    ),
    WrongAnswer(
        id="sums-instead-of-means",
        title="the sum of the examples of a class",
        explanation=(
            "Prototypes grow with the number of examples: a class with five of them lies five times as far from the "
            "origin. Divide by the number of the class's own examples, which may differ from class to class."
        ),
        caught_by=LOGITS,
        swap=((MEAN, "tf.math.unsorted_segment_sum(support, support_y, classes.size)"),),
    ),
    WrongAnswer(
        id="support-taken-as-sorted",
        title="the support taken to be sorted by class, with equally many examples",
        explanation=(
            "The rows of the support are cut into N equal blocks, whatever the labels say. Here they come in any order, "
            "and classes may have different numbers of examples."
        ),
        caught_by=LOGITS,
        swap=((MEAN, "tf.reduce_mean(tf.reshape(support, (classes.size, -1, support.shape[1])), axis=1)"),),
    ),
    WrongAnswer(
        id="labels-sorted-alone",
        title="the labels sorted, but not the examples with them",
        explanation=(
            "Sorting the labels alone hands each example to another class than its own. What tells which example a "
            "label belongs to is its place, so both have to move together, or neither."
        ),
        caught_by=LOGITS,
        swap=((MEAN, "tf.math.segment_mean(support, np.sort(support_y))"),),
    ),
    WrongAnswer(
        id="equal-counts",
        title="every class's sum divided by the same number",
        explanation=(
            "The sum of each class is divided by S / N, the number of examples that a class has on average. Where a "
            "class has more or fewer, its prototype lies too far out or too near to the origin."
        ),
        caught_by=LOGITS,
        swap=((MEAN, f"{MEAN.replace('mean', 'sum')} * (classes.size / support_y.size)"),),
    ),
    WrongAnswer(
        id="mean-over-the-features",
        title="the mean over the features instead of their sum",
        explanation=(
            "The distances are divided by the width of the features. The order of the classes stays the same, but a "
            "softmax of such logits is much flatter, and the more so the wider the features."
        ),
        caught_by=LOGITS,
        swap=((RESULT, "return -tf.reduce_mean(differences**2, axis=-1)"),),
    ),
    WrongAnswer(
        id="log-softmax-returned",
        title="log-probabilities instead of logits",
        explanation=(
            "The softmax is already in your result. A cross-entropy on logits of this kind happens to agree, but the "
            "distances can no longer be read off, and they were asked for."
        ),
        caught_by=LOGITS,
        swap=((RESULT, "return tf.nn.log_softmax(-tf.reduce_sum(differences**2, axis=-1))"),),
    ),
    WrongAnswer(
        id="term-of-the-query-dropped",
        title="the squared length of the query left out",
        explanation=(
            "2 q·c - ‖c‖² has the same softmax, since what is missing is the same for all classes. But it is not minus "
            "the squared distance, which was asked for, and can be positive."
        ),
        caught_by=LOGITS,
        swap=(
            (RESULT, "return tf.reduce_sum(query**2, axis=1, keepdims=True) - tf.reduce_sum(differences**2, axis=-1)"),
        ),
    ),
    WrongAnswer(
        id="prototypes-against-queries",
        title="one row for each class instead of each query",
        explanation=(
            "Rows and columns have changed places: rows should be the queries, columns the classes, as every loss on "
            "logits expects."
        ),
        caught_by=LOGITS,
        swap=((RESULT, "return -tf.transpose(tf.reduce_sum(differences**2, axis=-1))"),),
    ),
    WrongAnswer(
        id="square-expanded",
        title="squares of the features subtracted from each other",
        explanation=(
            "‖q‖² - 2 q·c + ‖c‖² is the squared distance on paper. For features near 1000 each term is in the millions, "
            "float32 rounds it, and the distance drowns in the rounding. Which subtraction should come first?"
        ),
        caught_by=OFFSET,
        swap=(
            (
                RESULT,
                "products = tf.matmul(query, prototypes, transpose_b=True)\n"
                "    lengths = tf.reduce_sum(query**2, 1)[:, None] + tf.reduce_sum(prototypes**2, 1)[None]\n"
                "    return 2 * products - lengths",
            ),
        ),
    ),
    WrongAnswer(
        id="cut-off-in-numpy",
        title="computed in NumPy, so that no gradient comes back",
        explanation=(
            "The values are right, but they were computed outside TensorFlow, and a tape records only TensorFlow's "
            "operations. The encoder behind support and query would never learn."
        ),
        caught_by=GRADIENTS,
        swap=((DIFFERENCES, DIFFERENCES + "    differences = tf.constant(differences.numpy())\n"),),
    ),
    WrongAnswer(
        id="prototypes-as-constants",
        title="prototypes cut off from the gradient",
        explanation=(
            "A gradient reaches the queries but not the support. The prototypes are features of the same encoder, and "
            "half of what it should learn is to place them well."
        ),
        caught_by=GRADIENTS,
        swap=((f"prototypes = {MEAN}", f"prototypes = tf.stop_gradient({MEAN})"),),
    ),
    # ------------------------------------------------------------------------------------------------- MAML
    WrongAnswer(
        id="first-order-only",
        title="inner gradients as constants although second order is asked for",
        explanation=(
            "Your result is the gradient at the adapted parameters, as if the inner gradients did not depend on where "
            "you started. Is the inner gradient computed while the outer tape records, and is nothing turned into a "
            "constant on the way?"
        ),
        caught_by=THROUGH,
        swap=((CONSTANT, "            if True:\n                gradients ="),),
    ),
    WrongAnswer(
        id="steps-assigned",
        title="inner steps assigned to variables",
        explanation=(
            "An assignment is not something a tape differentiates through, so the result is only the gradient at the "
            "adapted parameters. Besides, variables of the caller are moved. An inner step has to make new tensors "
            "from the old ones."
        ),
        caught_by=THROUGH,
        swap=(
            (
                "params = [tf.convert_to_tensor(param) for param in params]",
                "params = [p if isinstance(p, tf.Variable) else tf.Variable(p) for p in params]",
            ),
            (
                "adapted = [param - inner_lr * gradient for param, gradient in zip(adapted, gradients, strict=True)]",
                "[p.assign_sub(inner_lr * gradient) for p, gradient in zip(adapted, gradients, strict=True)]",
            ),
        ),
    ),
    WrongAnswer(
        id="inner-steps-on-the-query",
        title="adapted to the query",
        explanation=(
            "The inner steps use the samples on which the result is judged. At test time the labels of the query are "
            "not there, so the initial parameters are prepared for something that cannot happen."
        ),
        caught_by=THROUGH,
        swap=(("loss = loss_fn(adapted, support)", "loss = loss_fn(adapted, query)"),),
    ),
    WrongAnswer(
        id="outer-loss-on-the-support",
        title="judged on the support",
        explanation=(
            "After adapting to the support you measure the loss on the support again. That rewards fitting the given "
            "examples, not performing well on others of the same classes."
        ),
        caught_by=THROUGH,
        swap=(("query_loss = loss_fn(adapted, query)", "query_loss = loss_fn(adapted, support)"),),
    ),
    WrongAnswer(
        id="no-adaptation",
        title="the query's loss at the initial parameters",
        explanation=(
            "The inner steps have no influence: you return the plain gradient of the query's loss, which is ordinary "
            "training. At which parameters should that loss be taken?"
        ),
        caught_by=THROUGH,
        swap=(("query_loss = loss_fn(adapted, query)", "query_loss = loss_fn(params, query)"),),
    ),
    WrongAnswer(
        id="one-step-only",
        title="one inner step, whatever steps says",
        explanation="With steps=3 you take one step. Repeat the step, each time from the parameters of the last one.",
        caught_by=THROUGH,
        swap=(("for _ in range(steps):", "for _ in range(1):"),),
    ),
    WrongAnswer(
        id="gradient-of-the-start-reused",
        title="every step uses the gradient at the start",
        explanation=(
            "The parameters move, but the gradient is always that of the initial ones: three steps become one of three "
            "times the length. Each step looks at the loss where it begins."
        ),
        caught_by=THROUGH,
        swap=(
            ("inner.watch(adapted)", "inner.watch(params)"),
            ("loss = loss_fn(adapted, support)", "loss = loss_fn(params, support)"),
            ("inner.gradient(loss, adapted,", "inner.gradient(loss, params,"),
        ),
    ),
    WrongAnswer(
        id="only-the-last-step-differentiated",
        title="the gradient runs through the last step only",
        explanation=(
            "With one step the result is right, with several it misses factors: the earlier steps are treated as "
            "constants. One tape has to record all steps."
        ),
        caught_by=THROUGH,
        swap=(
            ("for _ in range(steps):", "for step in range(steps):"),
            (CONSTANT, "            if first_order or step < steps - 1:\n                gradients ="),
        ),
    ),
    WrongAnswer(
        id="uphill",
        title="inner steps uphill",
        explanation=(
            "The inner steps add the gradient, so the support's loss rises with each of them. Gradient descent goes the "
            "other way."
        ),
        caught_by=THROUGH,
        swap=(("param - inner_lr * gradient for", "param + inner_lr * gradient for"),),
    ),
    WrongAnswer(
        id="difference-of-parameters",
        title="initial minus adapted parameters",
        explanation=(
            "That is the direction of Reptile, a relative of MAML that needs no query. Asked for is the gradient of the "
            "query's loss; here the query has no influence at all."
        ),
        caught_by=THROUGH,
        swap=((OUTER, "return [param - last for param, last in zip(params, adapted)]"),),
    ),
    WrongAnswer(
        id="first-order-ignored",
        title="second derivatives although first_order is set",
        explanation=(
            "The option has no effect. With it the inner gradients count as constants, which saves the second "
            "derivatives; the result is then the gradient at the adapted parameters."
        ),
        caught_by=FIRST_ORDER,
        swap=((CONSTANT, "            if False:\n                gradients ="),),
    ),
    WrongAnswer(
        id="first-order-at-the-start",
        title="first order taken for no adaptation",
        explanation=(
            "With first_order you return the query's gradient at the initial parameters. The approximation drops second "
            "derivatives, not the inner steps: the loss is still taken after adaptation."
        ),
        caught_by=FIRST_ORDER,
        swap=(
            ("query_loss = loss_fn(adapted, query)", "query_loss = loss_fn(params if first_order else adapted, query)"),
        ),
    ),
    WrongAnswer(
        id="first-order-of-one-step",
        title="a single inner step with first_order",
        explanation=(
            "With first_order only one step is taken, whatever `steps` says. The option changes how the result is "
            "differentiated, not how far the parameters move."
        ),
        caught_by=FIRST_ORDER,
        swap=(("for _ in range(steps):", "for _ in range(1 if first_order else steps):"),),
    ),
    WrongAnswer(
        id="first-order-cuts-the-parameters",
        title="with first_order, the parameters are cut off and not only the inner gradients",
        explanation=(
            "The adapted parameter is the old one minus a step. You turn the old one into a constant, so that nothing "
            "leads back to the initial parameters and the result is zero. Which of the two parts counts as a constant?"
        ),
        caught_by=FIRST_ORDER,
        swap=(
            (
                "gradients = [tf.stop_gradient(gradient) for gradient in gradients]",
                "adapted = [tf.stop_gradient(param) for param in adapted]",
            ),
        ),
    ),
    WrongAnswer(
        id="none-for-unused-parameters",
        title="None in the result for a parameter without influence",
        explanation=(
            "A tape answers None for what the loss does not depend on, and an optimiser or a sum then fails. The "
            "gradient of such a parameter is zero; a tape can be told to say so."
        ),
        caught_by=EDGES,
        swap=((OUTER, "return outer.gradient(query_loss, params)"),),
    ),
    WrongAnswer(
        id="none-in-the-inner-step",
        title="an inner step with a gradient that is None",
        explanation=(
            "The support's loss does not use all parameters, the tape answers None for the others, and the step "
            "multiplies that by the rate. A parameter without influence on the loss stays where it is."
        ),
        caught_by=EDGES,
        swap=(("inner.gradient(loss, adapted, unconnected_gradients=zero)", "inner.gradient(loss, adapted)"),),
    ),
    WrongAnswer(
        id="unused-parameters-left-out",
        title="parameters without influence left out of the result",
        explanation=(
            "The list is shorter than `params`, so the gradients no longer stand beside their parameters. Every "
            "parameter has an entry, zero where there is no influence."
        ),
        caught_by=EDGES,
        swap=((OUTER, "return [grad for grad in outer.gradient(query_loss, params) if grad is not None]"),),
    ),
    WrongAnswer(
        id="steps-taken-in-place",
        title="variables left at their adapted values",
        explanation=(
            "After the call the variables hold other values than before. The next task would then start where this one "
            "ended; only the outer optimiser may move the initial parameters."
        ),
        caught_by=EDGES,
        swap=(
            (
                "    params = [tf.convert_to_tensor(param) for param in params]\n",
                "    initial, params = params, [tf.convert_to_tensor(param) for param in params]\n",
            ),
            (
                OUTER,
                "for variable, value in zip(initial, adapted):\n"
                "        if isinstance(variable, tf.Variable):\n"
                "            variable.assign(value)\n"
                "    " + OUTER,
            ),
        ),
    ),
    WrongAnswer(
        id="list-changed",
        title="the list of parameters overwritten with the adapted ones",
        explanation=(
            "No variable is touched, but the entries of the list that you were given are replaced, so the caller's "
            "list holds adapted parameters afterwards. Collect the results of a step in a list of your own."
        ),
        caught_by=EDGES,
        swap=(
            (
                "    params = [tf.convert_to_tensor(param) for param in params]\n",
                "    given, params = params, [tf.convert_to_tensor(param) for param in params]\n",
            ),
            (
                "        query_loss = loss_fn(adapted, query)\n",
                "        query_loss = loss_fn(adapted, query)\n    given[:] = adapted\n",
            ),
        ),
    ),
    WrongAnswer(
        id="rate-of-zero-refused",
        title="an inner rate of 0 refused",
        explanation=(
            "A rate of 0 is a useful case: nothing is adapted, and the result must be the plain gradient of the query's "
            "loss. Only negative and non-finite rates are refused."
        ),
        caught_by=EDGES,
        swap=(("if not 0 <= inner_lr < np.inf:", "if not 0 < inner_lr < np.inf:"),),
    ),
    # -------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="gaps-accepted",
        title="a class without examples accepted",
        explanation=(
            "Labels such as 0, 0, 2, 2 leave class 1 without examples. Its mean is 0/0, or 0 if a function hides that, "
            "and queries near the origin are then called class 1. Compare the labels that occur with 0 ... N - 1."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (CLASSES, "if classes.size == 0 or classes.min() < 0:"),
            (MEAN, "tf.math.unsorted_segment_mean(support, support_y, classes.max() + 1)"),
        ),
    ),
    WrongAnswer(
        id="labels-renumbered",
        title="labels renumbered without a word",
        explanation=(
            "Labels such as 1, 2 become 0, 1, so the columns of the result belong to other classes than the caller "
            "thinks. Labels that are not 0 ... N - 1 are a mistake of the caller's, and the caller has to hear of it."
        ),
        caught_by=BAD_INPUT,
        swap=(
            ("classes = np.unique(support_y)", "classes, support_y = np.unique(support_y, return_inverse=True)"),
            (CLASSES, "if classes.size == 0:"),
        ),
    ),
    WrongAnswer(
        id="negative-label-accepted",
        title="examples with a negative label dropped",
        explanation=(
            "All classes 0 ... N - 1 have examples, but some rows are labelled -1, and those are left out without a "
            "word. Labels below 0 are no classes here."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "    classes = np.unique(support_y)\n",
                "    classes = np.unique(support_y[support_y >= 0])\n",
            ),
        ),
    ),
    WrongAnswer(
        id="labels-only-counted",
        title="the labels counted, not compared with 0 ... N - 1",
        explanation=(
            "You check that there are as many different labels as the largest one says. A negative label can make up "
            "for a gap: in -1, 1, 1, -1 there are two different labels and the largest is 1. Which labels have to "
            "occur?"
        ),
        caught_by=BAD_INPUT,
        swap=((CLASSES, "if classes.size == 0 or classes.size != classes.max() + 1:"),),
    ),
    WrongAnswer(
        id="width-of-one-stretched",
        title="features of different widths accepted",
        explanation=(
            "A single feature is stretched over all the others by broadcasting, and the distances mean nothing; other "
            "widths end in an error of TensorFlow's. Compare the widths first."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "if support.ndim != 2 or query.ndim != 2 or support.shape[1] != query.shape[1]:",
                "if support.ndim != 2 or query.ndim != 2:",
            ),
        ),
    ),
    WrongAnswer(
        id="rate-unchecked",
        title="any inner rate accepted",
        explanation=(
            "A negative rate climbs, and a rate that is NaN or infinite makes the result NaN. Mind how NaN compares "
            "with numbers when you write the condition."
        ),
        caught_by=BAD_INPUT,
        swap=(("if not 0 <= inner_lr < np.inf:", "if False:"),),
    ),
    WrongAnswer(
        id="no-steps-accepted",
        title="no inner steps accepted",
        explanation=(
            "With steps=0 nothing is adapted, and you return the plain gradient without a word. That is not MAML; a "
            "caller who wants it can set the rate to 0."
        ),
        caught_by=BAD_INPUT,
        swap=(("if steps < 1:", "if steps < 0:"),),
    ),
]

alternatives = [
    Alternative(
        id="hessian-vector-products",
        title="means by a matrix product; the gradient pulled back step by step with Hessian-vector products",
        code="""
def prototypical_logits(support, support_y, query):
    if len(support.shape) != 2 or len(query.shape) != 2 or int(support.shape[1]) != int(query.shape[1]):
        raise ValueError("features")
    if support_y.dtype.kind not in "iu" or support_y.ndim != 1 or len(support_y) != len(support) or len(support) == 0:
        raise ValueError("labels")
    n_classes = int(support_y.max()) + 1
    if support_y.min() < 0 or (np.bincount(support_y, minlength=n_classes) == 0).any():
        raise ValueError("label range")
    one_hot = tf.one_hot(support_y, n_classes, dtype=support.dtype)
    prototypes = tf.linalg.matmul(one_hot, support, transpose_a=True) / tf.reduce_sum(one_hot, axis=0)[:, None]
    return tf.stack([-tf.reduce_sum(tf.square(query - centre), axis=1) for centre in tf.unstack(prototypes)], axis=1)


def gradients_of(loss_fn, params, batch):
    with tf.GradientTape() as tape:
        tape.watch(params)
        loss = loss_fn(params, batch)
    return tape.gradient(loss, params, unconnected_gradients="zero")


def maml_gradient(loss_fn, params, support, query, inner_lr, steps=1, first_order=False):
    if steps <= 0 or not np.isfinite(inner_lr) or inner_lr < 0:
        raise ValueError("steps or rate")
    path = [[tf.identity(param) for param in params]]
    for _ in range(steps):
        path.append([p - inner_lr * g for p, g in zip(path[-1], gradients_of(loss_fn, path[-1], support))])
    result = gradients_of(loss_fn, path[-1], query)
    if first_order:
        return result
    for point in reversed(path[:-1]):
        with tf.GradientTape() as tape:
            tape.watch(point)
            gradients = gradients_of(loss_fn, point, support)
            product = tf.add_n([tf.reduce_sum(g * tf.stop_gradient(v)) for g, v in zip(gradients, result)])
        pulled = tape.gradient(product, point, unconnected_gradients="zero")
        result = [v - inner_lr * h for v, h in zip(result, pulled)]
    return result
""",
    ),
    Alternative(
        id="loops-and-one-persistent-tape",
        title="a mask for each class; one persistent tape for everything; None replaced by hand",
        code="""
def prototypical_logits(support, support_y, query):
    if support.shape.rank != 2 or query.shape.rank != 2:
        raise ValueError("matrices")
    if support.shape[-1] != query.shape[-1] or support_y.shape != tuple(support.shape[:1]):
        raise ValueError("shapes")
    if support_y.dtype.kind == "f":
        raise TypeError("labels")
    names = sorted(set(support_y.tolist()))
    if not names or names != list(range(len(names))):
        raise ValueError("labels")
    columns = []
    for name in names:
        own = tf.boolean_mask(support, support_y == name)
        columns.append(tf.reduce_sum(tf.math.squared_difference(query, tf.reduce_mean(own, axis=0)), axis=1))
    return tf.negative(tf.transpose(tf.convert_to_tensor(columns)))


def maml_gradient(loss_fn, params, support, query, inner_lr, steps=1, first_order=False):
    if steps < 1 or inner_lr < 0 or inner_lr != inner_lr or inner_lr == float("inf"):
        raise ValueError("steps or rate")

    def or_zero(gradients, like):
        return [tf.zeros_like(p) if g is None else g for g, p in zip(gradients, like)]

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(params)
        adapted = list(params)
        for _ in range(int(steps)):
            loss = loss_fn(adapted, support)
            if first_order:
                with tape.stop_recording():
                    slopes = or_zero(tape.gradient(loss, adapted), adapted)
            else:
                slopes = or_zero(tape.gradient(loss, adapted), adapted)
            adapted = [param - inner_lr * slope for param, slope in zip(adapted, slopes)]
        final = loss_fn(adapted, query)
    return tuple(or_zero(tape.gradient(final, params), params))
""",
    ),
    Alternative(
        id="graph-gradients",
        title="sorted segments; tf.gradients inside a tf.function",
        code="""
def prototypical_logits(support, support_y, query):
    fits = len(support.shape) == len(query.shape) == 2 and support.shape[1] == query.shape[1]
    fits = fits and list(support_y.shape) == [support.shape[0]] and support_y.size > 0
    if not fits or not np.issubdtype(support_y.dtype, np.integer):
        raise ValueError("input")
    order = np.argsort(support_y, kind="stable")
    ordered = support_y[order]
    if ordered[0] != 0 or (np.diff(ordered) > 1).any():
        raise ValueError("labels")
    means = tf.math.segment_mean(tf.gather(support, order), ordered)
    return tf.vectorized_map(lambda one: -tf.reduce_sum((means - one) ** 2, axis=1), query)


def maml_gradient(loss_fn, params, support, query, inner_lr, steps=1, first_order=False):
    if steps < 1 or not 0 <= inner_lr <= 1e300:
        raise ValueError("steps or rate")

    @tf.function
    def graph(start):
        here = start
        for _ in range(steps):
            slopes = tf.gradients(loss_fn(here, support), here, unconnected_gradients="zero")
            slopes = list(map(tf.stop_gradient, slopes)) if first_order else slopes
            here = [tf.subtract(value, inner_lr * slope) for value, slope in zip(here, slopes)]
        target = here if first_order else start
        return tf.gradients(loss_fn(here, query), target, unconnected_gradients="zero")

    return graph([tf.convert_to_tensor(param) for param in params])
""",
    ),
]
