"""Wrong answers and alternatives of adversarial/adversarial_training.

The published answer makes new, random Dense layers on every call and takes neither labels nor a model, so it has
another signature; what is left of it under ours is its noise layer, `published-noise-layer`.
"""

from grader.catalogue import Alternative, WrongAnswer

ONE_STEP = "test_one_step_moves_every_entry_uphill"
ROUND = "test_l2_steps_have_the_same_length_for_every_sample"
SEVERAL = "test_several_steps_stay_in_the_ball"
LEAVES = "test_the_attack_leaves_everything_as_it_was"
LINEAR = "test_two_classes_and_a_linear_model"
UPDATE = "test_one_update_on_the_weighted_sum"
MODES = "test_the_update_sees_both_batches_in_training_mode"
REFUSED = "test_bad_input_changes_nothing"

RETURN = "return current[0], current[1]"
DIRECTION = 'return tf.sign(gradient) if norm == "linf" else tf.math.divide_no_nan(gradient, length(gradient))'
STEP = "test_one_step_moves_every_entry_uphill"
ROUND = "test_l2_steps_have_the_same_length_for_every_sample"
SEVERAL = "test_several_steps_stay_in_the_ball"
LEAVES = "test_the_attack_leaves_everything_as_it_was"
LINEAR = "test_two_classes_and_a_linear_model"
UPDATE = "test_one_update_on_the_weighted_sum"
MODES = "test_the_update_sees_both_batches_in_training_mode"
REFUSED = "test_bad_input_changes_nothing"

RETURN = "return current[0], current[1]"
DIRECTION = ('return tf.sign(gradient) if norm == "linf" else tf.math.divide_no_nan(gradient, length(gradient))',)[0]
STEP = "start + project(point + size * uphill(gradient) - start, eps)"
SQUARES = "return tf.sqrt(tf.reduce_sum(values**2, axis=range(1, values.ndim), keepdims=True))"
SHORTER = "return delta * tf.minimum(1.0, tf.math.divide_no_nan(eps, length(delta)))"
DEFAULT = "step_sizes = [eps if steps == 1 else 2.5 * eps / steps for eps in budgets]"
ATTACKED = "loss = cross_entropy(labels, model(current, training=False))"
GRADIENTS = 'gradients = tape.gradient(loss, current, unconnected_gradients="zero")'
PAIR = "adv_text, adv_image = adversarial_pair(model, text, image, labels, eps_text, eps_image, norm, steps)"
CLEAN_LOSS = "loss_clean = cross_entropy(labels, model([text, image], training=True))"
ADV_LOSS = "loss_adv = cross_entropy(labels, model([adv_text, adv_image], training=True))"
MIX = "loss = clean_weight * loss_clean + (1 - clean_weight) * loss_adv"
APPLY = "optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))"
NUMBERS = 'return {"loss_clean": float(loss_clean), "loss_adv": float(loss_adv), "loss": float(loss)}'
VARIABLES = "variables = model.trainable_variables"

equivalent_mutants = {
    "minus dropped in `classes = ": "logits have two axes, (batch, classes): the last one is also axis 1",
}

wrong_answers = [
    WrongAnswer(
        id="published-noise-layer",
        title="the features plus the output of a Gaussian noise layer",
        explanation=(
            "Outside of training a noise layer passes its input on, so the sum is exactly twice the features. No "
            "label, no loss and no gradient is involved, and nothing keeps the result near the clean input. What would "
            "the model have to be asked to find out what hurts it?"
        ),
        caught_by=ONE_STEP,
        swap=(
            (
                RETURN,
                "noise = keras.layers.GaussianNoise(0.1)\n    return clean[0] + noise(clean[0]), clean[1] + noise(clean[1])",
            ),
        ),
    ),
    WrongAnswer(
        id="random-signs",
        title="every entry moves by its budget, with a random sign",
        explanation=(
            "The size is that of an attack, the direction is not: half of the entries move in favour of the model, and "
            "the loss hardly changes. Where can you read off which way the loss grows?"
        ),
        caught_by=ONE_STEP,
        swap=(
            (
                GRADIENTS,
                "draw = np.random.default_rng(0)\n"
                "        gradients = [tf.constant(draw.normal(size=part.shape), tf.float32) for part in current]",
            ),
        ),
    ),
    WrongAnswer(
        id="gaussian-noise",
        title="Gaussian noise with the budget as its standard deviation",
        explanation=(
            "Noise knows neither the model nor the labels, and about a third of it is larger than the budget. It is a "
            "regulariser, not an attack. An attack looks for the direction in which the loss grows."
        ),
        caught_by=ONE_STEP,
        swap=(
            (
                RETURN,
                "draw = np.random.default_rng(0)\n"
                "    noise = [tf.constant(draw.normal(size=part.shape), tf.float32) for part in clean]\n"
                "    return clean[0] + eps_text * noise[0], clean[1] + eps_image * noise[1]",
            ),
        ),
    ),
    WrongAnswer(
        id="downhill",
        title="the inputs move down the loss",
        explanation=(
            "That is what training does with weights. Done with inputs it makes the samples easier than they were. "
            "Compare the loss before and after your attack."
        ),
        caught_by=ONE_STEP,
        swap=((STEP, "start + project(point - size * uphill(gradient) - start, eps)"),),
    ),
    WrongAnswer(
        id="only-the-image",
        title="only the image is attacked",
        explanation=(
            "The text comes back as it was, although it has a budget. A model trained on such pairs learns to lean on "
            "the text, and nobody has asked how easily that can be misled."
        ),
        caught_by=ONE_STEP,
        swap=((RETURN, "return clean[0], current[1]"),),
    ),
    WrongAnswer(
        id="only-the-text",
        title="only the text is attacked",
        explanation=(
            "The image comes back as it was, although it has a budget. Both modalities have a gradient, and both "
            "belong into the attack."
        ),
        caught_by=ONE_STEP,
        swap=((RETURN, "return current[0], clean[1]"),),
    ),
    WrongAnswer(
        id="one-budget-for-both",
        title="the text's budget is used for the image, too",
        explanation=(
            "Features of text and image live on different scales, so each modality has a budget of its own. Follow "
            "`eps_image` through your code."
        ),
        caught_by=ONE_STEP,
        swap=(("budgets = (eps_text, eps_image)", "budgets = (eps_text, eps_text)"),),
    ),
    WrongAnswer(
        id="budgets-swapped",
        title="the two budgets are swapped",
        explanation=(
            "The text moves as far as the image may and the other way round. With equal budgets this cannot be seen. "
            "Follow `eps_text` through your code."
        ),
        caught_by=ONE_STEP,
        swap=(("budgets = (eps_text, eps_image)", "budgets = (eps_image, eps_text)"),),
    ),
    WrongAnswer(
        id="gradient-without-sign",
        title="the gradient itself, times the step size",
        explanation=(
            "The gradient of a mean over the batch is small, and it is smallest where the model is surest, so hardly "
            "anything moves, and larger batches move less. How far to go is what the budget says; the gradient only "
            "says where."
        ),
        caught_by=ONE_STEP,
        swap=((DIRECTION, "return gradient"),),
    ),
    WrongAnswer(
        id="predictions-as-labels",
        title="the attack leads away from the prediction, not from the label",
        explanation=(
            "For samples that the model gets right this is the same. For the others it leads away from a wrong answer, "
            "often towards the right one. The loss that is to grow is the one of the labels."
        ),
        caught_by=ONE_STEP,
        swap=(
            (
                "    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)\n    current = clean\n",
                "    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)\n    current = clean\n"
                "    labels = np.argmax(model(clean, training=False), axis=1)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="clipped-to-pixels",
        title="the results are clipped to the range from 0 to 1",
        explanation=(
            "That is right for pixels. Features can be negative or large, and clipping moves them much further than "
            "the budget allows."
        ),
        caught_by=ONE_STEP,
        swap=((RETURN, "return tf.clip_by_value(current[0], 0.0, 1.0), tf.clip_by_value(current[1], 0.0, 1.0)"),),
    ),
    WrongAnswer(
        id="float64-result",
        title="the attacked inputs come back in float64",
        explanation=(
            "NumPy turns float32 into float64 as soon as a float64 array takes part. The model expects the type of its "
            "clean inputs; look where the type changes."
        ),
        caught_by=ONE_STEP,
        swap=((RETURN, "return tf.cast(current[0], tf.float64), tf.cast(current[1], tf.float64)"),),
    ),
    WrongAnswer(
        id="length-over-the-batch",
        title="one length for the whole batch",
        explanation=(
            "The samples share one budget: the one with the largest gradient takes most of it, and the others hardly "
            "move. Attack one sample alone, then in a batch with another one; nothing should change."
        ),
        caught_by=ROUND,
        swap=((SQUARES, "return tf.sqrt(tf.reduce_sum(values**2))"),),
    ),
    WrongAnswer(
        id="length-of-the-last-axis",
        title="one length for each row of a sample",
        explanation=(
            "With a sequence of tokens, every token gets the whole budget, and together they move too far. The length "
            "is that of the sample, over all axes behind the batch."
        ),
        caught_by=ROUND,
        swap=((SQUARES, "return tf.norm(values, axis=-1, keepdims=True)"),),
    ),
    WrongAnswer(
        id="sign-in-the-round-ball",
        title='with "l2", signs made shorter to the right length',
        explanation=(
            "The length is right, but every entry moves equally far, whether it matters or not. In a ball of Euclidean "
            "length the entries share the budget. Which direction gains most for its length?"
        ),
        caught_by=ROUND,
        swap=(
            (
                DIRECTION,
                'return tf.sign(gradient) if norm == "linf" else tf.math.divide_no_nan('
                "tf.sign(gradient), length(tf.sign(gradient)))",
            ),
        ),
    ),
    WrongAnswer(
        id="constant-added-to-the-length",
        title="a small constant is added to the length before dividing",
        explanation=(
            "The constant saves the case of all zeros, and spoils that of small gradients: where the gradient is as "
            "small as the constant, the step is far too short, and a model with faint gradients looks robust. Treat "
            "zero as a case of its own."
        ),
        caught_by=ROUND,
        swap=(
            (
                DIRECTION,
                'return tf.sign(gradient) if norm == "linf" else gradient / (length(gradient) + 1e-8)',
            ),
        ),
    ),
    WrongAnswer(
        id="nan-for-zero-gradients",
        title="a gradient of zeros gives NaN",
        explanation=(
            "Zero divided by zero is not a number, and from one sample it spreads to the loss of the batch and to all "
            "weights. Where there is nothing to gain, the input should stay as it is."
        ),
        caught_by=ROUND,
        swap=((DIRECTION, 'return tf.sign(gradient) if norm == "linf" else gradient / length(gradient)'),),
    ),
    WrongAnswer(
        id="unused-modality-crashes",
        title="no gradient for a modality that the model does not use",
        explanation=(
            "For an input without any influence on the loss, a tape gives None, not zeros, and the next line cannot "
            "use that. See what the tape can be told about unconnected gradients."
        ),
        caught_by=ROUND,
        swap=((GRADIENTS, "gradients = tape.gradient(loss, current)"),),
    ),
    WrongAnswer(
        id="never-projected",
        title="several steps without projection",
        explanation=(
            "Each step goes further, and after a few the input is outside of its ball: the attack wins by breaking the "
            "rules. Where does the point have to be after every step?"
        ),
        caught_by=SEVERAL,
        swap=((STEP, "point + size * uphill(gradient)"),),
    ),
    WrongAnswer(
        id="ball-around-the-last-point",
        title="the ball moves along with the steps",
        explanation=(
            "Each single step is kept within the budget, but the distance from the clean input grows with every one of "
            "them. The ball stays where it is: around the input as it was given."
        ),
        caught_by=SEVERAL,
        swap=((STEP, "point + project(size * uphill(gradient), eps)"),),
    ),
    WrongAnswer(
        id="projected-entry-by-entry",
        title='with "l2", the projection cuts every entry off',
        explanation=(
            "Cutting entries to between -eps and eps is the projection onto a cube, and a corner of the cube is much "
            "further away than eps in Euclidean length. How does one shorten a vector without turning it?"
        ),
        caught_by=SEVERAL,
        swap=((SHORTER, "return tf.clip_by_value(delta, -eps, eps)"),),
    ),
    WrongAnswer(
        id="gradient-of-the-clean-point-only",
        title="all steps use the gradient at the clean input",
        explanation=(
            "Several steps along one gradient are one long step. The use of several steps is to look again after each: "
            "the loss may have bent by then."
        ),
        caught_by=SEVERAL,
        swap=(
            (
                "            tape.watch(current)\n            " + ATTACKED,
                "            tape.watch(clean)\n            loss = cross_entropy(labels, model(clean, training=False))",
            ),
            (GRADIENTS, 'gradients = tape.gradient(loss, clean, unconnected_gradients="zero")'),
        ),
    ),
    WrongAnswer(
        id="one-modality-after-the-other",
        title="the text moves first, then the image's gradient is taken",
        explanation=(
            "The image sees a text that has moved already. That is an attack as well, but not the one described, and "
            "it takes two forward passes for each step. Both gradients should come from one pass."
        ),
        caught_by=SEVERAL,
        swap=(
            (
                "        # a step uphill from the current point, then back into the ball around the clean one\n",
                "        moved = clean[0] + project(current[0] + step_sizes[0] * uphill(gradients[0]) - clean[0], eps_text)\n"
                "        with tf.GradientTape() as second:\n"
                "            second.watch(current[1])\n"
                "            loss = cross_entropy(labels, model([moved, current[1]], training=False))\n"
                '        later = second.gradient(loss, current[1], unconnected_gradients="zero")\n'
                "        gradients = [gradients[0], later]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="step-is-the-budget",
        title="without a step size, every one of several steps is as long as the budget",
        explanation=(
            "Steps this long jump from one side of the ball to the other. The task names a shorter default for more "
            "than one step."
        ),
        caught_by=SEVERAL,
        swap=((DEFAULT, "step_sizes = [eps for eps in budgets]"),),
    ),
    WrongAnswer(
        id="step-is-the-budget-by-steps",
        title="without a step size, the steps add up to exactly the budget",
        explanation=(
            "Only a path without any bend reaches the edge of the ball then. The default of the task leaves room for "
            "turning."
        ),
        caught_by=SEVERAL,
        swap=((DEFAULT, "step_sizes = [eps / steps for eps in budgets]"),),
    ),
    WrongAnswer(
        id="one-step-too-few",
        title="one step is missing when there are several",
        explanation=(
            "The number of gradients taken is one below `steps`. Count the rounds of your loop for `steps=2`."
        ),
        caught_by=SEVERAL,
        swap=(("for _ in range(steps):", "for _ in range(max(1, steps - 1)):"),),
    ),
    WrongAnswer(
        id="random-start",
        title="the attack starts at a random point of the ball",
        explanation=(
            "Random starts make an attack stronger when several are tried, and they are usual. Here the result has to "
            "be the same for every call, so the start is the clean input."
        ),
        caught_by=SEVERAL,
        swap=(
            (
                "    current = clean\n",
                "    draw = np.random.default_rng(0)\n"
                "    current = [\n"
                "        part + tf.constant(0.5 * eps * draw.uniform(-1, 1, part.shape), tf.float32)\n"
                "        for part, eps in zip(clean, budgets)\n"
                "    ]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="step-size-ignored",
        title="`step_size` has no effect",
        explanation=(
            "The default is used whatever the caller asks for. Follow the argument through your code, and try a step "
            "much shorter than the budget."
        ),
        caught_by=SEVERAL,
        swap=(("    if step_size is None:\n", "    if True:\n"),),
    ),
    WrongAnswer(
        id="attack-in-training-mode",
        title="the gradient is taken in training mode",
        explanation=(
            "Every forward pass in training mode moves the statistics of BatchNorm layers towards attacked inputs, "
            "and dropout makes the attack aim at a network that nobody will use. Which mode does the deployed model "
            "run in?"
        ),
        caught_by=LEAVES,
        swap=((ATTACKED, "loss = cross_entropy(labels, model(current, training=True))"),),
    ),
    WrongAnswer(
        id="weights-follow-the-attack",
        title="the attack moves the weights as well",
        explanation=(
            "Weights are other after the attack than before. An attack may change the inputs only; the model is the "
            "one thing that both sides agree on."
        ),
        caught_by=LEAVES,
        swap=(
            (
                "        with tf.GradientTape() as tape:\n            tape.watch(current)\n",
                "        for variable in model.trainable_variables:\n            variable.assign(variable * 1.001)\n"
                "        with tf.GradientTape() as tape:\n            tape.watch(current)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="left-frozen",
        title="the model is frozen for the attack and stays frozen",
        explanation=(
            "After the attack nothing is trainable any more, so the next update moves nothing, without a message. "
            "Gradients of inputs do not need a frozen model; and whoever changes a flag has to restore it."
        ),
        caught_by=LEAVES,
        swap=(("    current = clean\n", "    current = clean\n    model.trainable = False\n"),),
    ),
    WrongAnswer(
        id="everything-unfrozen",
        title="the attack leaves every layer trainable",
        explanation=(
            "Layers that were frozen on purpose are trainable after the attack, and the next update moves them. Whoever "
            "changes flags has to restore what was there, layer by layer; gradients of inputs need no such change."
        ),
        caught_by=LEAVES,
        swap=((RETURN, "for layer in model.layers:\n        layer.trainable = True\n    " + RETURN),),
    ),
    WrongAnswer(
        id="in-place",
        title="the caller's arrays are overwritten with the attacked inputs",
        explanation=(
            "The clean batch is gone: the clean loss of the training step is then one of attacked inputs, and in the "
            "next epoch the attack starts from them. Make new arrays."
        ),
        caught_by=LEAVES,
        swap=(
            (
                RETURN,
                "for given, moved in ((text, current[0]), (image, current[1])):\n"
                "        if isinstance(given, np.ndarray):\n"
                "            given[...] = moved\n    " + RETURN,
            ),
        ),
    ),
    WrongAnswer(
        id="linf-in-proportion",
        title='with "linf", entries move in proportion to their gradient',
        explanation=(
            "Only the entry with the largest gradient of each sample uses its whole budget. In this ball no entry "
            "takes anything away from another one, so there is no reason to move less."
        ),
        caught_by=LINEAR,
        swap=(
            (
                DIRECTION,
                "axes = range(1, gradient.ndim)\n"
                "        largest = tf.reduce_max(tf.abs(gradient), axis=axes, keepdims=True)\n"
                "        return tf.math.divide_no_nan(gradient, largest if norm == 'linf' else length(gradient))",
            ),
        ),
    ),
    WrongAnswer(
        id="attack-stops-when-wrong",
        title="samples that the model already gets wrong are left alone",
        explanation=(
            "For counting errors that is enough. The loss, though, can grow further for a sample that is wrong "
            "already, and it is the loss that the task asks about, for every sample."
        ),
        caught_by=LINEAR,
        swap=(
            (
                RETURN,
                "right = np.argmax(model(clean, training=False), axis=1) == labels\n"
                "    return tuple(\n"
                "        tf.where(tf.reshape(right, [-1] + [1] * (part.ndim - 1)), part, start)\n"
                "        for part, start in zip(current, clean)\n"
                "    )",
            ),
        ),
    ),
    WrongAnswer(
        id="two-updates",
        title="one update for the clean loss and one for the adversarial loss",
        explanation=(
            "The second update works on weights that the first has moved, and optimisers with momentum or Adam count "
            "two steps. There is one loss, the weighted sum, and one update."
        ),
        caught_by=UPDATE,
        swap=(
            (
                "    with tf.GradientTape() as tape:\n        " + CLEAN_LOSS,
                "    with tf.GradientTape(persistent=True) as tape:\n        " + CLEAN_LOSS,
            ),
            (
                "        " + MIX + "\n",
                "        parts = [clean_weight * loss_clean, (1 - clean_weight) * loss_adv]\n        loss = parts[0] + parts[1]\n",
            ),
            (
                APPLY,
                "for part in parts:\n"
                "        optimizer.apply_gradients(zip(tape.gradient(part, variables), variables, strict=True))",
            ),
        ),
    ),
    WrongAnswer(
        id="only-adversarial",
        title="the update uses the adversarial loss alone",
        explanation=(
            "`clean_weight` has no effect on the weights, so the model never sees a clean sample, and pays for its "
            "robustness with accuracy. Which loss is the gradient taken of?"
        ),
        caught_by=UPDATE,
        swap=((APPLY, APPLY.replace("gradient(loss,", "gradient(loss_adv,")),),
    ),
    WrongAnswer(
        id="weights-of-the-losses-swapped",
        title="the clean weight is given to the adversarial loss",
        explanation=(
            "With a weight of one half this cannot be seen. Set `clean_weight=1` and look which of the two losses "
            "comes back as `loss`."
        ),
        caught_by=UPDATE,
        swap=(("        " + MIX, "        loss = clean_weight * loss_adv + (1 - clean_weight) * loss_clean"),),
    ),
    WrongAnswer(
        id="losses-added",
        title="the two losses are added, not averaged",
        explanation=(
            "The clean loss is counted fully and the adversarial one on top of it, so the shares do not add up to 1, "
            "and the learning rate is in effect another one."
        ),
        caught_by=UPDATE,
        swap=(("        " + MIX, "        loss = loss_clean + (1 - clean_weight) * loss_adv"),),
    ),
    WrongAnswer(
        id="losses-after-the-update",
        title="the losses are those after the update",
        explanation=(
            "The numbers come from weights that have already moved, so they look better than the ones that the update "
            "was made for. Keep what was computed on the way."
        ),
        caught_by=UPDATE,
        swap=(
            (
                NUMBERS,
                "loss_clean = cross_entropy(labels, model([text, image], training=False))\n"
                "    loss_adv = cross_entropy(labels, model([adv_text, adv_image], training=False))\n"
                "    " + MIX + "\n    " + NUMBERS,
            ),
        ),
    ),
    WrongAnswer(
        id="gradient-through-the-attack",
        title="the gradient of the update goes through the attack",
        explanation=(
            "The attack was made while the tape of the update was recording, so the update also moves the weights "
            "towards making the attack itself fail. Attacked inputs are data: make them before the tape is opened, or "
            "stop the gradient there."
        ),
        caught_by=UPDATE,
        swap=(
            ("    " + PAIR + "\n", "    adv_text = adv_image = None\n"),
            (
                "    with tf.GradientTape() as tape:\n        " + CLEAN_LOSS,
                "    with tf.GradientTape() as tape:\n        " + PAIR + "\n        " + CLEAN_LOSS,
            ),
        ),
    ),
    WrongAnswer(
        id="settings-not-passed-on",
        title="`norm` and `steps` do not reach the attack",
        explanation=(
            "The training step attacks with the default settings whatever it is told. Look at the call of your attack: "
            "which of its arguments are left to their defaults?"
        ),
        caught_by=UPDATE,
        swap=((PAIR, "adv_text, adv_image = adversarial_pair(model, text, image, labels, eps_text, eps_image)"),),
    ),
    WrongAnswer(
        id="frozen-layers-move",
        title="frozen layers are updated as well",
        explanation=(
            "A layer with `trainable = False` has weights, too, and a gradient can be computed for them. Only the "
            "model's trainable variables belong into the update."
        ),
        caught_by=UPDATE,
        swap=(
            (
                VARIABLES,
                "variables = [variable for variable in model.variables if 'moving' not in variable.path\n"
                "                 and 'seed' not in variable.path]",
            ),
        ),
    ),
    WrongAnswer(
        id="optimiser-of-its-own",
        title="a new optimiser is made in every step",
        explanation=(
            "The optimiser that was passed in is never used: its settings are ignored, its counter stands still, and "
            "momentum starts from zero each time."
        ),
        caught_by=UPDATE,
        swap=((APPLY, "keras.optimizers.SGD(0.5)." + APPLY.removeprefix("optimizer.")),),
    ),
    WrongAnswer(
        id="no-update",
        title="losses are reported, and nothing is updated",
        explanation=(
            "The numbers are right and the weights have not moved. What has to be done with the gradient of the loss?"
        ),
        caught_by=UPDATE,
        swap=(("    " + APPLY + "\n", ""),),
    ),
    WrongAnswer(
        id="adversarial-loss-for-both",
        title="the clean loss is computed on the attacked inputs",
        explanation=(
            "Both losses are those of attacked inputs, so the two are equal. Check which inputs reach which call of "
            "the model; a name that was used twice is a frequent reason."
        ),
        caught_by=UPDATE,
        swap=((CLEAN_LOSS, "loss_clean = cross_entropy(labels, model([adv_text, adv_image], training=True))"),),
    ),
    WrongAnswer(
        id="update-in-inference-mode",
        title="the update runs the model in inference mode",
        explanation=(
            "BatchNorm uses its old statistics and never renews them, and dropout is off. The attack sees the model as "
            "it will be used; the update trains it as any update does."
        ),
        caught_by=MODES,
        swap=(
            (CLEAN_LOSS, CLEAN_LOSS.replace("True", "False")),
            (ADV_LOSS, ADV_LOSS.replace("True", "False")),
        ),
    ),
    WrongAnswer(
        id="one-joined-batch",
        title="clean and attacked inputs go through the model as one batch",
        explanation=(
            "BatchNorm then normalises both with common statistics, and each sample's features depend on the attacked "
            "version of itself. The task asks for a call of its own for each of the two batches."
        ),
        caught_by=MODES,
        swap=(
            (
                CLEAN_LOSS,
                "joined = [tf.concat([text, adv_text], axis=0), tf.concat([image, adv_image], axis=0)]\n"
                "        logits = model(joined, training=True)\n"
                "        loss_clean = cross_entropy(labels, logits[: len(labels)])",
            ),
            (ADV_LOSS, "loss_adv = cross_entropy(labels, logits[len(labels) :])"),
        ),
    ),
    WrongAnswer(
        id="extra-forward-passes",
        title="the model is called in training mode once more than needed",
        explanation=(
            "Every call in training mode moves the statistics of BatchNorm layers, also one that is made for looking "
            "at a number only. Two such calls are enough: keep what they return."
        ),
        caught_by=MODES,
        swap=(("    " + VARIABLES, "    model([text, image], training=True)\n    " + VARIABLES),),
    ),
    WrongAnswer(
        id="negative-budget",
        title="a negative budget is accepted",
        explanation=(
            "With a negative budget the step changes its direction, and cutting to between -eps and eps makes no sense "
            "any more. Such a setting is a typing error, and the caller should hear of it."
        ),
        caught_by=REFUSED,
        swap=(("if not 0 <= eps < math.inf:", "if not abs(eps) < math.inf:"),),
    ),
    WrongAnswer(
        id="nan-budget",
        title="a budget of NaN is accepted",
        explanation=(
            "Every comparison with NaN is false, so `eps < 0` does not notice it, and NaN then spreads to the weights. "
            "Ask whether the budget is in its range, not whether it is outside."
        ),
        caught_by=REFUSED,
        swap=(("if not 0 <= eps < math.inf:", "if eps < 0 or eps == math.inf:"),),
    ),
    WrongAnswer(
        id="no-steps",
        title="zero steps are accepted",
        explanation=(
            "An attack of no steps returns the clean inputs, and a training that uses it by mistake looks very robust. "
            "The task asks for at least one."
        ),
        caught_by=REFUSED,
        swap=(("if steps < 1 or", "if steps < 0 or"), ("eps if steps == 1 else", "eps if steps <= 1 else")),
    ),
    WrongAnswer(
        id="unknown-norm",
        title='every norm that is not "linf" is taken for "l2"',
        explanation=(
            'A typing error such as "L2", or a norm that the function does not know, gives an attack of another kind '
            "without any message. Say what you know, and refuse the rest."
        ),
        caught_by=REFUSED,
        swap=(('if norm not in ("linf", "l2"):', "if norm is None:"),),
    ),
    WrongAnswer(
        id="any-step-size",
        title="a step size of zero or below is accepted",
        explanation=(
            "With a step size of 0 the attack does nothing, with a negative one it helps the model. Neither is meant "
            "by anyone who sets it."
        ),
        caught_by=REFUSED,
        swap=(("not 0 < step_size < math.inf", "not abs(step_size) < math.inf"),),
    ),
    WrongAnswer(
        id="labels-unchecked",
        title="labels that are no class are accepted",
        explanation=(
            "A label of -1 or of the number of classes has no logit. Depending on the machine, TensorFlow gives NaN or "
            "an error of its own for it. Compare the labels with the width of the logits yourself."
        ),
        caught_by=REFUSED,
        swap=(("if labels.min() < 0 or labels.max() >= classes:", "if labels.max() > classes:"),),
    ),
    WrongAnswer(
        id="any-clean-weight",
        title="a clean weight outside 0 to 1 is accepted",
        explanation=(
            "With a weight of 1.1 the adversarial loss counts negatively: the model is rewarded for being easy to "
            "attack. NaN has to be refused as well, and it passes `weight < 0 or weight > 1`."
        ),
        caught_by=REFUSED,
        swap=(("if not 0 <= clean_weight <= 1:", "if not abs(clean_weight) < 2:"),),
    ),
    WrongAnswer(
        id="checked-too-late",
        title="the arguments are checked after the model has been run in training mode",
        explanation=(
            "The error comes, but the statistics of BatchNorm layers have already moved. Check first, then touch the "
            "model."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    if not 0 <= clean_weight <= 1:\n",
                "    if len(text) == len(image) == len(labels) > 0:\n"
                "        model([text, image], training=True)\n"
                "    if not 0 <= clean_weight <= 1:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="empty-batch",
        title="an empty batch is accepted",
        explanation=(
            "The mean over no samples is 0 divided by 0. With NaN as its loss, one empty batch is enough to turn all "
            "weights into NaN."
        ),
        caught_by=REFUSED,
        swap=(
            ("if samples == 0 or len(clean[1])", "if len(clean[1])"),
            ("if labels.min() < 0 or labels.max() >= classes:", "if ((labels < 0) | (labels >= classes)).any():"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="numpy-between-the-gradients",
        title="steps and projections in NumPy, one helper for the gradients, results as arrays",
        code="""
def _input_gradients(model, text, image, labels):
    text, image = tf.Variable(text), tf.Variable(image)
    with tf.GradientTape() as tape:
        logits = model([text, image], training=False)
        picked = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        total = tf.reduce_sum(picked)
    found = tape.gradient(total, [text, image])
    return [np.zeros(part.shape, "f4") if g is None else g.numpy() for g, part in zip(found, (text, image))]


def _norms(array):
    flat = array.reshape(len(array), -1).astype("f8")
    return np.sqrt((flat**2).sum(1)).reshape([-1] + [1] * (array.ndim - 1))


def _validate(model, text, image, labels, eps_text, eps_image, norm, steps, step_size):
    problems = [
        not (np.isfinite(eps_text) and np.isfinite(eps_image)),
        eps_text < 0 or eps_image < 0,
        norm != "linf" and norm != "l2",
        steps < 1,
        step_size is not None and (not np.isfinite(step_size) or step_size <= 0),
        np.ndim(labels) != 1,
        len(text) != len(labels) or len(image) != len(labels) or len(labels) < 1,
    ]
    if any(problems):
        raise ValueError(problems)
    if not set(np.unique(labels)) <= set(range(model([text, image], training=False).shape[1])):
        raise ValueError("labels")


def adversarial_pair(model, text, image, labels, eps_text, eps_image, norm="linf", steps=1, step_size=None):
    _validate(model, text, image, labels, eps_text, eps_image, norm, steps, step_size)
    starts = [np.array(text, "f4"), np.array(image, "f4")]
    deltas = [np.zeros_like(start) for start in starts]
    for _ in range(steps):
        points = [start + delta for start, delta in zip(starts, deltas)]
        for index, gradient in enumerate(_input_gradients(model, *points, labels)):
            eps = (eps_text, eps_image)[index]
            size = step_size or (eps if steps == 1 else 2.5 * eps / steps)
            if norm == "linf":
                moved = np.clip(deltas[index] + size * np.sign(gradient), -eps, eps)
            else:
                length = _norms(gradient)
                moved = deltas[index] + size * np.where(length > 0, gradient / np.where(length > 0, length, 1), 0)
                length = _norms(moved)
                moved = np.where(length > eps, moved * (eps / np.where(length > 0, length, 1)), moved)
            deltas[index] = moved.astype("f4")
    return tuple(start + delta for start, delta in zip(starts, deltas))


def adversarial_train_step(
    model, optimizer, text, image, labels, eps_text, eps_image, clean_weight=0.5, norm="linf", steps=1
):
    if not (clean_weight >= 0 and clean_weight <= 1):
        raise ValueError(clean_weight)
    attacked = adversarial_pair(model, text, image, labels, eps_text, eps_image, norm=norm, steps=steps)
    totals, gradients = {}, None
    for name, share, pair in (("loss_adv", 1 - clean_weight, attacked), ("loss_clean", clean_weight, (text, image))):
        with tf.GradientTape() as tape:
            logits = model(list(pair), training=True)
            value = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
            scaled = share * value
        new = tape.gradient(scaled, model.trainable_variables)
        gradients = new if gradients is None else [old + extra for old, extra in zip(gradients, new)]
        totals[name] = value.numpy()
    optimizer.apply(gradients, model.trainable_variables)
    totals["loss"] = clean_weight * totals["loss_clean"] + (1 - clean_weight) * totals["loss_adv"]
    return totals
""",
    ),
    Alternative(
        id="delta-tensors-and-clip-by-norm",
        title="perturbations as watched tensors, flattened for the l2 ball, tensors in the results",
        code="""
class _Ball:
    def __init__(self, radius, norm):
        self.radius, self.norm = float(radius), norm

    def unit(self, gradient):
        if self.norm == "linf":
            return tf.math.sign(gradient)
        flat = tf.reshape(gradient, [tf.shape(gradient)[0], -1])
        long = tf.norm(flat, axis=1, keepdims=True)
        return tf.reshape(tf.where(long > 0, flat / tf.where(long > 0, long, 1.0), 0.0), tf.shape(gradient))

    def inside(self, delta):
        if self.radius == 0:
            return tf.zeros_like(delta)
        if self.norm == "linf":
            return tf.maximum(tf.minimum(delta, self.radius), -self.radius)
        return tf.clip_by_norm(delta, self.radius, axes=list(range(1, len(delta.shape))))


def adversarial_pair(model, text, image, labels, eps_text, eps_image, norm="linf", steps=1, step_size=None):
    if not (0 <= min(eps_text, eps_image) and max(eps_text, eps_image) < math.inf) or eps_text != eps_text:
        raise ValueError("budget")
    if eps_image != eps_image or norm not in {"linf", "l2"} or steps <= 0:
        raise ValueError("settings")
    if step_size is not None and (math.isnan(step_size) or math.isinf(step_size) or step_size <= 0):
        raise ValueError("step size")
    if len(np.shape(labels)) != 1 or not len(text) == len(image) == len(labels) or len(labels) == 0:
        raise ValueError("lengths")
    text, image = tf.cast(text, "float32"), tf.cast(image, "float32")
    width = int(model([text, image], training=False).shape[1])
    if np.any(np.asarray(labels) < 0) or np.any(np.asarray(labels) > width - 1):
        raise ValueError("labels")
    one_hot = tf.one_hot(labels, width)
    balls = _Ball(eps_text, norm), _Ball(eps_image, norm)
    delta_text, delta_image = tf.zeros_like(text), tf.zeros_like(image)
    for _ in range(steps):
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
            tape.watch(delta_text)
            tape.watch(delta_image)
            logits = model([text + delta_text, image + delta_image], training=False)
            loss = -tf.reduce_mean(tf.reduce_sum(one_hot * tf.nn.log_softmax(logits), axis=1))
        moved = []
        for delta, ball in zip((delta_text, delta_image), balls):
            gradient = tape.gradient(loss, delta)
            if gradient is None:
                moved.append(delta)
                continue
            step = step_size
            if step is None:
                step = ball.radius if steps == 1 else ball.radius * 2.5 / steps
            moved.append(ball.inside(delta + step * ball.unit(gradient)))
        delta_text, delta_image = moved
    return [text + delta_text, image + delta_image]


def adversarial_train_step(
    model, optimizer, text, image, labels, eps_text, eps_image, clean_weight=0.5, norm="linf", steps=1
):
    if clean_weight != clean_weight or abs(clean_weight - 0.5) > 0.5:
        raise ValueError("clean_weight")
    attacked = [
        tf.stop_gradient(part)
        for part in adversarial_pair(model, text, image, labels, eps_text, eps_image, norm, steps)
    ]
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        losses = [loss_of(labels, model(pair, training=True)) for pair in (attacked, [text, image])]
        loss = tf.tensordot(tf.constant([1 - clean_weight, clean_weight], tf.float32), tf.stack(losses), 1)
    gradients = tape.gradient(loss, model.trainable_weights)
    optimizer.apply_gradients(list(zip(gradients, model.trainable_weights)))
    return {"loss": loss, "loss_clean": losses[1], "loss_adv": losses[0], "clean_weight": clean_weight}
""",
    ),
    Alternative(
        id="compiled-gradients",
        title="the gradients in a tf.function, flags switched off during the attack and restored",
        code="""
def _gradients(model, labels):
    @tf.function
    def both(text, image):
        with tf.GradientTape() as tape:
            tape.watch([text, image])
            logits = model([text, image], training=False)
            loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return tape.gradient(loss, [text, image], unconnected_gradients=tf.UnconnectedGradients.ZERO)

    return both


def _project(points, start, eps, norm):
    if norm == "linf":
        return tf.clip_by_value(points, start - eps, start + eps)
    axes = tuple(range(1, points.ndim))
    away = points - start
    long = tf.sqrt(tf.reduce_sum(tf.square(away), axis=axes, keepdims=True))
    return tf.where(long > eps, start + away * eps / tf.where(long > 0, long, 1.0), points)


def adversarial_pair(model, text, image, labels, eps_text, eps_image, norm="linf", steps=1, step_size=None):
    values = [eps_text, eps_image] + ([] if step_size is None else [step_size])
    if not all(math.isfinite(value) for value in values) or min(values[:2]) < 0 or min(values[2:] + [1]) <= 0:
        raise ValueError(values)
    if norm not in ["linf", "l2"] or steps < 1:
        raise ValueError((norm, steps))
    labels = np.asarray(labels)
    starts = [tf.constant(np.asarray(part, dtype=np.float32)) for part in (text, image)]
    if labels.ndim != 1 or {len(starts[0]), len(starts[1])} != {len(labels)} or not len(labels):
        raise ValueError("lengths")
    if not ((0 <= labels) & (labels < model(starts, training=False).shape[-1])).all():
        raise ValueError("labels")
    flags = [(layer, layer.trainable) for layer in model.layers]
    for layer, _ in flags:
        layer.trainable = False
    try:
        both = _gradients(model, labels)
        points = list(starts)
        for _ in range(steps):
            found = both(*points)
            for index, eps in enumerate((eps_text, eps_image)):
                size = step_size if step_size is not None else eps * (1 if steps == 1 else 2.5 / steps)
                if norm == "linf":
                    direction = tf.sign(found[index])
                else:
                    per_sample = [g / tf.norm(g) if tf.norm(g) > 0 else g for g in found[index]]
                    direction = tf.stack(per_sample)
                points[index] = _project(points[index] + size * direction, starts[index], eps, norm)
    finally:
        for layer, flag in flags:
            layer.trainable = flag
    return points[0].numpy(), points[1].numpy()
""",
    ),
]
