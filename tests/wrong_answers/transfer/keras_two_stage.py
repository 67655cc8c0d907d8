"""Catalogue of transfer/keras_two_stage.

The published answer makes two random dense layers in every call: `published-fresh-layers`. "Base trainable after
building" of the other entry is `starts-unfrozen`, its moving statistics are `mode-passed-on`,
`statistics-move-when-unfrozen` and `functional-core`, and its missing re-compilation is `no-second-compile`.
"""

from grader.catalogue import Alternative, WrongAnswer

SHUFFLE = "batches = samples.shuffle(len(labels), seed=seed).batch(batch_size)"
COMPILE = "        model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss)\n        history"
STAGE_1 = '("stage1", model.freeze, head_epochs, head_lr)'
STAGE_2 = '("stage2", model.unfreeze, full_epochs, full_lr)'
TEXT_CALL = "self.text_encoder(text, training=False)  # (b"
IMAGE_CALL = "self.image_encoder(image, training=False)  # (b"
FIT = (
    "        history = model.fit(batches, epochs=epochs, shuffle=False, verbose=0).history\n"
    '        losses[stage] = history.get("loss", [])  # no epoch, no entry\n'
)

wrong_answers = [
    WrongAnswer(
        id="published-fresh-layers",
        title="dense layers that every call creates anew take the place of the encoders",
        explanation=(
            "The features do not come from the encoders that you were given but from new layers with random weights, "
            "and every call makes others. Nothing pretrained is used, nothing is kept, nothing can be trained. What "
            "are the two encoders for?"
        ),
        caught_by="test_logits_come_from_the_given_encoders",
        code="""
class TransferClassifier(keras.Model):
    def __init__(self, text_encoder, image_encoder, num_classes, dropout=0.0):
        super().__init__()
        self.text_encoder, self.image_encoder = text_encoder, image_encoder
        self.num_classes = num_classes

    def freeze(self):
        self.text_encoder.trainable = self.image_encoder.trainable = False

    def unfreeze(self):
        self.text_encoder.trainable = self.image_encoder.trainable = True

    def call(self, inputs, training=None):
        text, image = inputs
        text_features = keras.layers.Dense(16, activation="relu")(text)
        image_features = keras.layers.Dense(16, activation="relu")(image)
        joined = tf.concat([text_features, image_features], axis=-1)
        return keras.layers.Dense(self.num_classes)(joined)
""",
    ),
    WrongAnswer(
        id="no-second-compile",
        title="stage 2 goes on with the training step of stage 1",
        explanation=(
            "In stage 2 the encoders do not move by a single bit, and nothing says so. The training step was built in "
            "stage 1, for the weights that were trainable then; flags that change afterwards have no effect on it. "
            "Which call throws the old step away?"
        ),
        caught_by="test_stage_two_trains_everything_at_its_own_rate",
        swap=(
            (
                COMPILE,
                '        if stage == "stage1":\n'
                "            model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss)\n"
                "        model.optimizer.learning_rate = rate\n"
                "        history",
            ),
        ),
    ),
    WrongAnswer(
        id="new-optimiser-without-compile",
        title="stage 2 has a new optimiser, but the training step of stage 1",
        explanation=(
            "You give the model another optimiser and do not compile it again. The training step that was built in "
            "stage 1 still uses the old one, and still moves the head only. Which call throws the old step away?"
        ),
        caught_by="test_stage_two_trains_everything_at_its_own_rate",
        swap=(
            (
                COMPILE,
                '        if stage == "stage1":\n'
                "            model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss)\n"
                "        else:\n"
                "            model.optimizer = keras.optimizers.Adam(rate)\n"
                "        history",
            ),
        ),
    ),
    WrongAnswer(
        id="never-unfrozen",
        title="the encoders stay frozen in stage 2",
        explanation=(
            "Stage 2 has its own optimiser and rate, but it trains the head once more: the encoders are as they were. "
            "What has to be said about them before the second `compile`?"
        ),
        caught_by="test_stage_two_trains_everything_at_its_own_rate",
        swap=((STAGE_2, STAGE_2.replace("unfreeze", "freeze")),),
    ),
    WrongAnswer(
        id="cloned-encoders",
        title="copies of the encoders are used",
        explanation=(
            "Your model does not use the encoders that it was given. `keras.models.clone_model` copies the layers and "
            "gives them new random weights, so that everything that was learned is gone. Keep the objects themselves."
        ),
        caught_by="test_logits_come_from_the_given_encoders",
        swap=(
            ("self.text_encoder = text_encoder", "self.text_encoder = keras.models.clone_model(text_encoder)"),
            ("self.image_encoder = image_encoder", "self.image_encoder = keras.models.clone_model(image_encoder)"),
        ),
    ),
    WrongAnswer(
        id="mode-passed-on",
        title="the encoders compute in the mode of the call",
        explanation=(
            "In training mode the dropout of the encoders is active, although they are meant to be fixed: their "
            "features change from call to call. `trainable` does not switch off dropout. Which argument of a call "
            "does?"
        ),
        caught_by="test_encoders_run_in_inference_mode",
        swap=(
            (TEXT_CALL, TEXT_CALL.replace("False", "training")),
            (IMAGE_CALL, IMAGE_CALL.replace("False", "training")),
        ),
    ),
    WrongAnswer(
        id="statistics-move-when-unfrozen",
        title="the encoders leave inference mode as soon as they are unfrozen",
        explanation=(
            "While the encoders are frozen everything is right. Unfrozen, they compute in training mode: dropout is "
            "active and the moving statistics follow small batches of your data. Training the weights of a layer and "
            "letting it compute in training mode are two different decisions."
        ),
        caught_by="test_encoders_run_in_inference_mode",
        swap=(
            (TEXT_CALL, TEXT_CALL.replace("False", "bool(training) and self.text_encoder.trainable")),
            (IMAGE_CALL, IMAGE_CALL.replace("False", "bool(training) and self.image_encoder.trainable")),
        ),
    ),
    WrongAnswer(
        id="functional-core",
        title="inference mode is asked for inside a functional model",
        explanation=(
            "You say `training=False` to the encoders, but while a functional model is put together. In Keras 3 such a "
            "model hands the mode of its own call to all layers inside, so in training the encoders are in training "
            "mode. A `call` method of your own keeps what you say."
        ),
        caught_by="test_encoders_run_in_inference_mode",
        swap=(
            (
                "        self.freeze()\n",
                "        self.freeze()\n"
                "        text = keras.Input(text_encoder.input_shape[1:])\n"
                "        image = keras.Input(image_encoder.input_shape[1:])\n"
                "        features = [text_encoder(text, training=False), image_encoder(image, training=False)]\n"
                "        joined = keras.layers.Concatenate()(features)\n"
                "        self.core = keras.Model([text, image], self.head(self.drop(joined)))\n",
            ),
            ("        text, image = inputs\n", "        return self.core(inputs, training=training)\n"),
        ),
    ),
    WrongAnswer(
        id="encoders-train-in-stage-1",
        title="the encoders are trained in stage 1 as well",
        explanation=(
            "After stage 1 weights of the encoders have changed. The gradients of a random head went through them, "
            "which is what the two stages are meant to avoid; the model may also have been unfrozen before. Who makes "
            "sure that stage 1 starts frozen?"
        ),
        caught_by="test_stage_one_trains_the_head_alone",
        swap=((STAGE_1, STAGE_1.replace("freeze", "unfreeze")),),
    ),
    WrongAnswer(
        id="same-rate",
        title="both stages train at the rate of the head",
        explanation=(
            "Stage 2 moves the weights too far: its rate is that of stage 1. Encoders that were trained already need "
            "small steps; that is why there are two rates."
        ),
        caught_by="test_stage_two_trains_everything_at_its_own_rate",
        swap=((STAGE_2, STAGE_2.replace("full_lr", "head_lr")),),
    ),
    WrongAnswer(
        id="rates-swapped",
        title="the two rates are exchanged",
        explanation=(
            "The head learns at the small rate and the encoders at the large one. Which of the two still has "
            "everything to learn?"
        ),
        caught_by="test_stage_two_trains_everything_at_its_own_rate",
        swap=((STAGE_1, STAGE_1.replace("head_lr", "full_lr")), (STAGE_2, STAGE_2.replace("full_lr", "head_lr"))),
    ),
    WrongAnswer(
        id="starts-unfrozen",
        title="a new model is not frozen",
        explanation=(
            "Right after it was made, your model has trainable weights in its encoders. Whoever trains it without a "
            "second thought changes them. What should the constructor do last?"
        ),
        caught_by="test_freeze_and_unfreeze",
        swap=(("        self.freeze()\n        ### END", "        ### END"),),
    ),
    WrongAnswer(
        id="freezes-the-head",
        title="`freeze` freezes the head as well",
        explanation=(
            "A frozen model of yours has no trainable variables: the flag of the whole model reaches every layer in "
            "it, the head too. Stage 1 would train nothing. Whose flags are meant?"
        ),
        caught_by="test_freeze_and_unfreeze",
        swap=(
            (
                "        self.text_encoder.trainable = False\n        self.image_encoder.trainable = False\n",
                "        self.trainable = False\n",
            ),
            (
                "        self.text_encoder.trainable = True\n        self.image_encoder.trainable = True\n",
                "        self.trainable = True\n",
            ),
        ),
    ),
    WrongAnswer(
        id="image-encoder-stays-frozen",
        title="`unfreeze` leaves one encoder frozen",
        explanation="Only one of the two encoders has trainable variables after `unfreeze()`. Both are meant.",
        caught_by="test_freeze_and_unfreeze",
        swap=(("        self.image_encoder.trainable = True\n", ""),),
    ),
    WrongAnswer(
        id="image-first",
        title="the image features come before the text features",
        explanation=(
            "The head works either way, but its rows belong to other features than the statement says. Look at the "
            "order of the two in the worked example."
        ),
        caught_by="test_logits_come_from_the_given_encoders",
        swap=(("tf.concat([text_features, image_features]", "tf.concat([image_features, text_features]"),),
    ),
    WrongAnswer(
        id="softmax-in-the-model",
        title="the model returns probabilities instead of logits",
        explanation=(
            "Your results are between 0 and 1 and sum to 1: there is a softmax at the end. Here the loss takes it, "
            "from the logits, where it is computed without overflow."
        ),
        caught_by="test_logits_come_from_the_given_encoders",
        swap=(("return self.head(self.drop(joined, training=training))", "return tf.nn.softmax(self.head(joined))"),),
    ),
    WrongAnswer(
        id="no-dropout",
        title="`dropout` has no effect",
        explanation=(
            "In training mode all joined features reach the head, whatever `dropout` is. Where in the call is it used?"
        ),
        caught_by="test_encoders_run_in_inference_mode",
        swap=(("self.head(self.drop(joined, training=training))", "self.head(joined)"),),
    ),
    WrongAnswer(
        id="dropout-always",
        title="joined features are dropped outside of training as well",
        explanation=(
            "With a dropout rate above 0 your predictions are random although nobody is training. Hand on the mode of "
            "the call instead of a fixed one."
        ),
        caught_by="test_encoders_run_in_inference_mode",
        swap=(("self.drop(joined, training=training)", "self.drop(joined, training=True)"),),
    ),
    WrongAnswer(
        id="logits-taken-for-probabilities",
        title="the loss takes the logits for probabilities",
        explanation=(
            "The losses are not the cross-entropy of the softmax. Keras's loss expects probabilities unless it is told "
            "otherwise: it clips logits to the range from 0 to 1 without a word, and clipped entries have no gradient."
        ),
        caught_by="test_stage_one_trains_the_head_alone",
        swap=(("from_logits=True", "from_logits=False"),),
    ),
    WrongAnswer(
        id="another-optimiser",
        title="another optimiser than Adam",
        explanation=(
            "The weights do not go where Adam takes them: its first step moves every weight by about the rate, however "
            "small the gradient. Which optimiser do you compile with?"
        ),
        caught_by="test_stage_one_trains_the_head_alone",
        swap=((COMPILE, COMPILE.replace("Adam", "SGD")),),
    ),
    WrongAnswer(
        id="no-shuffling",
        title="the samples are used in the order in which they came",
        explanation=(
            "Every epoch makes the same batches in the same order, and the seed changes nothing. If the data are sorted "
            "by class, each batch then pulls towards one class."
        ),
        caught_by="test_batches_and_their_order",
        swap=((SHUFFLE, "batches = samples.batch(batch_size)"),),
    ),
    WrongAnswer(
        id="one-order-for-all-epochs",
        title="one random order for all epochs",
        explanation=(
            "The samples are shuffled once, and then every epoch makes the same batches again. Where is the random "
            "order drawn: once, or once for each epoch?"
        ),
        caught_by="test_batches_and_their_order",
        swap=((SHUFFLE, SHUFFLE.replace("seed=seed", "seed=seed, reshuffle_each_iteration=False")),),
    ),
    WrongAnswer(
        id="global-seed",
        title="the seed is set globally",
        explanation=(
            "The batches are reproducible, but NumPy's global random state is reset on the way, so every other part "
            "of a program that draws from it now repeats itself. Use a generator, or a shuffle, with a seed of its own."
        ),
        caught_by="test_batches_and_their_order",
        swap=((SHUFFLE, "keras.utils.set_random_seed(seed)\n    " + SHUFFLE),),
    ),
    WrongAnswer(
        id="seed-ignored",
        title="the order of the samples does not depend on the seed",
        explanation=(
            "Two calls with the same seed use the samples in different orders. A result that cannot be repeated cannot "
            "be compared with another one. Where does `seed` go?"
        ),
        caught_by="test_batches_and_their_order",
        swap=((SHUFFLE, SHUFFLE.replace(", seed=seed", "")),),
    ),
    WrongAnswer(
        id="mean-over-batches",
        title="the loss of an epoch is a mean over its batches",
        explanation=(
            "A short last batch counts as much as a full one in your mean, so its samples count more than the others. "
            "How many samples stand behind each of the numbers that you average?"
        ),
        caught_by="test_batches_and_their_order",
        swap=(
            (
                FIT,
                "        losses[stage] = []\n"
                "        for _ in range(epochs):\n"
                "            of_batches = []\n"
                "            for inputs, targets in batches:\n"
                "                model.reset_metrics()\n"
                "                of_batches.append(float(model.train_on_batch(list(inputs), targets)))\n"
                "            losses[stage].append(float(np.mean(of_batches)))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="short-batch-dropped",
        title="the samples of a short last batch are left out",
        explanation=(
            "Some samples are used in no update of an epoch: the rest that does not fill a batch is dropped. A short "
            "last batch is a batch too."
        ),
        caught_by="test_batches_and_their_order",
        swap=((SHUFFLE, SHUFFLE.replace(".batch(batch_size)", ".batch(batch_size, drop_remainder=True)")),),
    ),
    WrongAnswer(
        id="any-label",
        title="labels outside the range are accepted",
        explanation=(
            "A label that is no class gives NaN, or an error deep inside TensorFlow, depending on the machine. The "
            "head knows how many classes there are: compare before the training begins."
        ),
        caught_by="test_impossible_arguments_are_refused",
        swap=(("if np.min(labels) < 0 or np.max(labels) >= model.head.units:", "if np.min(labels) < -2:"),),
    ),
    WrongAnswer(
        id="any-rate",
        title="a rate of 0, below 0 or NaN is accepted",
        explanation=(
            "A rate of 0 trains nothing, a negative one climbs the loss, and NaN destroys every weight at the first "
            "update. Phrase the condition so that it has to be true for a good rate; a comparison with NaN is false."
        ),
        caught_by="test_impossible_arguments_are_refused",
        swap=(("if not (0 < head_lr < math.inf and 0 < full_lr < math.inf):", "if head_lr == full_lr == 0:"),),
    ),
    WrongAnswer(
        id="unbuilt-encoder-accepted",
        title="an encoder without weights is accepted",
        explanation=(
            "An encoder that is not built has no weights yet, so it cannot be a pretrained one; Keras would give it "
            "random ones at the first call without a word. Its attribute `built` tells."
        ),
        caught_by="test_impossible_arguments_are_refused",
        swap=(("if not (text_encoder.built and image_encoder.built):", "if text_encoder is None:"),),
    ),
]

alternatives = [
    Alternative(
        id="own-loop-on-cached-features",
        title="loops with GradientTape, stage 1 on features that were computed once",
        code="""
class TransferClassifier(keras.Model):
    def __init__(self, text_encoder, image_encoder, num_classes, dropout=0.0):
        if not text_encoder.built or not image_encoder.built:
            raise ValueError("not built")
        super().__init__(name="transfer")
        self.text_encoder, self.image_encoder = text_encoder, image_encoder
        self.classes, self.rate = num_classes, dropout
        self.classifier = keras.layers.Dense(num_classes, name="classifier")
        self.set_flags(False)

    def set_flags(self, value):
        for encoder in (self.text_encoder, self.image_encoder):
            encoder.trainable = value

    def freeze(self):
        self.set_flags(False)

    def unfreeze(self):
        self.set_flags(True)

    def features(self, text, image):
        parts = [self.text_encoder(text, training=False), self.image_encoder(image, training=False)]
        return keras.ops.concatenate(parts, axis=1)

    def classify(self, features, training):
        if training and self.rate > 0:
            features = tf.nn.dropout(features, self.rate)
        return self.classifier(features)

    def call(self, inputs, training=None):
        return self.classify(self.features(*inputs), training)


def two_stage_fit(model, text, image, labels, head_epochs, full_epochs, head_lr, full_lr, batch_size, seed):
    count = len(labels)
    if count == 0 or len(text) != count or len(image) != count:
        raise ValueError("lengths")
    if not set(np.unique(labels)) <= set(range(model.classes)):
        raise ValueError("labels")
    if min(head_epochs, full_epochs) < 0 or batch_size <= 0:
        raise ValueError("epochs")
    for rate in (head_lr, full_lr):
        if not np.isfinite(rate) or rate <= 0:
            raise ValueError("rate")
    generator = np.random.default_rng(seed)

    def run(forward, variables, epochs, rate):
        optimizer, losses = keras.optimizers.Adam(rate), []
        for _ in range(epochs):
            order, total = generator.permutation(count), 0.0
            for start in range(0, count, batch_size):
                rows = order[start : start + batch_size]
                with tf.GradientTape() as tape:
                    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels[rows], forward(rows))
                    mean = tf.reduce_mean(loss)
                optimizer.apply(tape.gradient(mean, variables), variables)
                total += float(tf.reduce_sum(loss))
            losses.append(total / count)
        return losses

    model.freeze()
    cached = tf.concat([model.features(text[i : i + 1], image[i : i + 1]) for i in range(count)], axis=0)
    model.classify(cached, False)
    head = model.classifier.trainable_variables
    first = run(lambda rows: model.classify(tf.gather(cached, rows), True), head, head_epochs, head_lr)
    model.unfreeze()
    second = run(
        lambda rows: model([text[rows], image[rows]], training=True), model.trainable_variables, full_epochs, full_lr
    )
    return dict(stage1=first, stage2=second)
""",
    ),
    Alternative(
        id="fit-for-each-epoch",
        title="one `fit` for each epoch on permuted arrays, and a head of plain weights",
        code="""
class TransferClassifier(keras.Model):
    def __init__(self, text_encoder, image_encoder, num_classes, dropout=0.0):
        super().__init__()
        for encoder in (text_encoder, image_encoder):
            if not encoder.built:
                raise ValueError(encoder)
        self.num_classes = num_classes
        self.text_encoder, self.image_encoder = text_encoder, image_encoder
        self.dropout_layer = keras.layers.Dropout(dropout)
        width = text_encoder.output_shape[-1] + image_encoder.output_shape[-1]
        self.kernel = self.add_weight(shape=(width, num_classes), initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(num_classes,), initializer="zeros", name="bias")
        self.freeze()

    def freeze(self):
        for encoder in (self.text_encoder, self.image_encoder):
            for layer in encoder.layers:
                layer.trainable = False

    def unfreeze(self):
        for encoder in (self.text_encoder, self.image_encoder):
            for layer in encoder.layers:
                layer.trainable = True

    def call(self, inputs, training=False):
        features = [self.text_encoder(inputs[0], training=False), self.image_encoder(inputs[1], training=False)]
        joined = self.dropout_layer(keras.layers.concatenate(features), training=training)
        return keras.ops.matmul(joined, self.kernel) + self.bias


def two_stage_fit(model, text, image, labels, head_epochs, full_epochs, head_lr, full_lr, batch_size, seed):
    labels = np.asarray(labels)
    if not len(text) == len(image) == len(labels) or labels.size == 0:
        raise ValueError
    if any(label not in range(model.num_classes) for label in labels.tolist()):
        raise ValueError
    if head_epochs < 0 or full_epochs < 0 or batch_size < 1 or not all(np.isfinite([head_lr, full_lr])):
        raise ValueError
    if head_lr <= 0 or full_lr <= 0:
        raise ValueError
    generator = np.random.RandomState(seed)

    def stage(epochs, rate):
        model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(True), metrics=["accuracy"])
        losses = []
        for _ in range(epochs):
            order = generator.permutation(len(labels))
            history = model.fit(
                [text[order], image[order]], labels[order], batch_size=batch_size, shuffle=False, verbose=0
            )
            losses += history.history["loss"]
        return [float(loss) for loss in losses]

    model.freeze()
    first = stage(head_epochs, head_lr)
    model.unfreeze()
    return {"stage2": stage(full_epochs, full_lr), "stage1": first}
""",
    ),
    Alternative(
        id="one-batch-at-a-time",
        title="train_on_batch with the short batch weighted by hand, and one-hot targets",
        code="""
class TransferClassifier(keras.Model):
    def __init__(self, text_encoder, image_encoder, num_classes, dropout=0.0):
        super().__init__()
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        if False in (text_encoder.built, image_encoder.built):
            raise ValueError("unbuilt")
        self.head = keras.Sequential([keras.layers.Dropout(dropout), keras.layers.Dense(num_classes)])
        self.n = num_classes
        self.freeze()

    def freeze(self):
        self.text_encoder.trainable = self.image_encoder.trainable = False
        return self

    def unfreeze(self):
        self.text_encoder.trainable = self.image_encoder.trainable = True
        return self

    def call(self, inputs, training=None):
        encoders = (self.text_encoder, self.image_encoder)
        features = [encoder(x, training=False) for encoder, x in zip(encoders, inputs)]
        return self.head(tf.concat(features, 1), training=training)


def two_stage_fit(model, text, image, labels, head_epochs, full_epochs, head_lr, full_lr, batch_size, seed):
    sizes = {len(text), len(image), len(labels)}
    good = len(sizes) == 1 and 0 not in sizes and head_epochs >= 0 and full_epochs >= 0 and batch_size >= 1
    good = good and 0 < head_lr < float("inf") and 0 < full_lr < float("inf")
    if not good or min(labels) < 0 or max(labels) > model.n - 1:
        raise ValueError("bad arguments")
    targets, rng, result = np.eye(model.n, dtype="float32")[labels], np.random.default_rng([seed, 1]), {}
    for name, epochs, rate in (("stage1", head_epochs, head_lr), ("stage2", full_epochs, full_lr)):
        (model.freeze if name == "stage1" else model.unfreeze)()
        model.compile(
            optimizer=keras.optimizers.Adam(learning_rate=rate),
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            run_eagerly=True,
        )
        result[name] = []
        for _ in range(epochs):
            total = 0.0
            for rows in np.split(p := rng.permutation(len(labels)), range(batch_size, len(p), batch_size)):
                model.reset_metrics()
                total += len(rows) * model.train_on_batch([text[rows], image[rows]], targets[rows])
            result[name].append(float(total) / len(labels))
    return result
""",
    ),
]

equivalent_mutants = {
    "False -> True in `history = model.fit(batches": (
        "fit ignores shuffle for a tf.data.Dataset and warns about True; the shuffling is in the data set"
    ),
    "dropped `raise ValueError(f'{len(text)} texts": (
        "TensorFlow refuses slices of different lengths, and NumPy the minimum of no labels, with a ValueError too; the "
        "reference says what does not fit"
    ),
    "0 -> 1 in `history = model.fit(batches": "verbose: the progress bar is printed, which no check may look at",
}
