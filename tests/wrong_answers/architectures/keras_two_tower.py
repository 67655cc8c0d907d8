"""Catalogue of architectures/keras_two_tower.

The published program is `head-on-the-input` and `no-text` in one: its only input is the image, its dense layers hang on
the input of the base. As printed it does not run (no input shape, `...` for the data). Its missing preprocessing is
`preprocess-ignored`; that it validates on its test set is no behaviour of the function asked for here. A second
`compile` after unfreezing belongs to transfer/keras_two_stage.
"""

from grader.catalogue import Alternative, WrongAnswer

BASE_CALL = "features = image_base(image if preprocess is None else preprocess(image))"
POOLING = "    if rank == 4:\n        features = layers.GlobalAveragePooling2D()(features)  # (batch, channels)\n"
FREEZE = "image_base.trainable = False"
MASK = 'present = ops.cast(ops.not_equal(text, 0), "float32")[:, :, None]'
MEAN = "sentence = ops.sum(present * vectors, axis=1) / ops.maximum(ops.sum(present, axis=1), 1.0)  # (b"
JOIN = "layers.Concatenate()([features, sentence])"
UNITS = 'layers.Dense(hidden, activation="relu")(joined)'
OUTPUT = 'layers.Dense(1, activation="sigmoid")(layers.Dropout(dropout)(units))'
COMPILE = 'model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss="binary_crossentropy")'

wrong_answers = [
    WrongAnswer(
        id="head-on-the-input",
        title="the head hangs on the input of the base network",
        explanation=(
            "Changing a convolution kernel of the base changes no prediction: your head gets the pixels, and the "
            "trained network is not on the way from the input to the output. Keras does not complain, since that is a "
            "valid model. Which tensor is the *result* of the base?"
        ),
        caught_by="test_head_sees_the_features_of_the_base",
        swap=((BASE_CALL, "features = image"), (POOLING, "    features = layers.Flatten()(features)\n")),
    ),
    WrongAnswer(
        id="no-text",
        title="the text has no influence",
        explanation=(
            "Another text gives the same probability, so this is an image classifier with an unused input. Follow the "
            "text's vector to the place where it meets the image."
        ),
        caught_by="test_padding_has_no_influence",
        swap=((JOIN, JOIN.replace("sentence", "0.0 * sentence")),),
    ),
    WrongAnswer(
        id="padding-in-the-mean",
        title="the padding is averaged in",
        explanation=(
            "The padding's embedding takes part in the mean, and the mean is over all places: the same words give "
            "another vector when more padding follows. Which places may count, in the sum and in what it is divided "
            "by?"
        ),
        caught_by="test_padding_has_no_influence",
        swap=((MASK, "present = ops.ones_like(text, dtype='float32')[:, :, None]"),),
    ),
    WrongAnswer(
        id="divided-by-the-length",
        title="the sum over the words is divided by the length of the row",
        explanation=(
            "The padding is left out of the sum but not out of the number it is divided by, so a short text has a "
            "short vector. How many tokens went into the sum?"
        ),
        caught_by="test_padding_has_no_influence",
        swap=((MEAN, "sentence = ops.sum(present * vectors, axis=1) / max_len  # (b"),),
    ),
    WrongAnswer(
        id="nan-for-padding-only",
        title="NaN for a text of padding only",
        explanation=(
            "A mean over no tokens is 0 / 0. Keras's own `GlobalAveragePooling1D` with a mask gives that NaN as well, "
            "and one NaN in a batch spoils all weights at the next training step. What may the divisor be at least?"
        ),
        caught_by="test_padding_has_no_influence",
        swap=(
            ("layers.Embedding(vocab_size, embed_dim)", "layers.Embedding(vocab_size, embed_dim, mask_zero=True)"),
            (MEAN, "sentence = layers.GlobalAveragePooling1D()(vectors)  # (b"),
        ),
    ),
    WrongAnswer(
        id="padding-at-the-end-only",
        title="only padding at the end of a text is left out",
        explanation=(
            "You count the real tokens and take that many from the start. A text whose padding stands in front, or in "
            "the middle, loses words that way. The id of each token tells whether it is padding."
        ),
        caught_by="test_padding_has_no_influence",
        swap=(
            (
                MASK,
                "count = ops.sum(ops.cast(ops.not_equal(text, 0), 'int32'), axis=1, keepdims=True)\n"
                "    present = ops.cast(ops.less(ops.arange(max_len), count), 'float32')[:, :, None]",
            ),
        ),
    ),
    WrongAnswer(
        id="batch-normalisation-moves",
        title="the batch normalisation of the base is not frozen",
        explanation=(
            "The convolutions stand still, but the batch normalisation of the base is trained and its running mean and "
            "variance follow your images: features that nobody meant to change do change. Frozen means all weights of "
            "the base, those that no gradient moves included."
        ),
        caught_by="test_training_moves_the_new_weights_only",
        swap=(
            (
                FREEZE,
                "for layer in image_base.layers:\n"
                "        layer.trainable = isinstance(layer, layers.BatchNormalization)",
            ),
        ),
    ),
    WrongAnswer(
        id="base-trainable",
        title="the base is not frozen",
        explanation=(
            "A training step changes the trained network together with a head that is still random. Its first, large "
            "and uninformed gradients destroy what the base has learned. Which attribute takes a whole network out of "
            "the training?"
        ),
        caught_by="test_training_moves_the_new_weights_only",
        swap=((FREEZE, "image_base.trainable = True"),),
    ),
    WrongAnswer(
        id="padding-by-its-vector",
        title="padding is recognised by its vector, not by its id",
        explanation=(
            "You leave out the places whose vector is 0. Row 0 of a new table is random and is trained like the others, "
            "so no place is left out, and a word whose vector happens to be 0 would be. What tells padding from a word "
            "before anything is looked up?"
        ),
        caught_by="test_padding_has_no_influence",
        swap=(
            (
                MASK,
                "present = ops.cast(ops.any(ops.not_equal(vectors, 0), axis=-1, keepdims=True), 'float32')",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-gradient",
        title="the NaN of an empty text is hidden, but its gradient is NaN",
        explanation=(
            "The predictions are fine, since the result of 0 / 0 is replaced afterwards. The gradient still goes "
            "through that division, and 0 times NaN is NaN: after one step all weights that it reaches are NaN. "
            "Which number has to be made harmless before the division?"
        ),
        caught_by="test_training_moves_the_new_weights_only",
        swap=(
            (MEAN, "sentence = ops.nan_to_num(ops.sum(present * vectors, axis=1) / ops.sum(present, axis=1))  # (b"),
        ),
    ),
    WrongAnswer(
        id="softmax-on-one-unit",
        title="a softmax over one unit",
        explanation=(
            "Every probability is 1: a softmax divides by the sum over the units, and with a single unit that is the "
            "unit itself. Which function turns one logit into a probability?"
        ),
        caught_by="test_model_gives_one_probability_for_each_sample",
        swap=((OUTPUT, OUTPUT.replace("sigmoid", "softmax")),),
    ),
    WrongAnswer(
        id="flattened-maps",
        title="the feature maps are flattened instead of averaged",
        explanation=(
            "The kernel of your hidden layer has a row for each channel at each place, which for a real network means "
            "millions of weights and ties the model to one image size. Asked for is one number a channel."
        ),
        caught_by="test_model_gives_one_probability_for_each_sample",
        swap=((POOLING, "    features = layers.Flatten()(features)\n"),),
    ),
    WrongAnswer(
        id="no-bias",
        title="the layers of the head have no bias",
        explanation=(
            "The model has three trainable weights where five are asked for. Without a bias an input of zeros always "
            "has the probability one half."
        ),
        caught_by="test_model_gives_one_probability_for_each_sample",
        swap=(
            (UNITS, UNITS.replace('"relu"', '"relu", use_bias=False')),
            (OUTPUT, OUTPUT.replace('"sigmoid"', '"sigmoid", use_bias=False')),
        ),
    ),
    WrongAnswer(
        id="one-dimensional-output",
        title="the probabilities come without their second axis",
        explanation=(
            "Your result has the shape (batch,). Against labels of shape (batch, 1) such a result is easily broadcast "
            "to (batch, batch) in a hand-written loss. The statement's table has the shape."
        ),
        caught_by="test_model_gives_one_probability_for_each_sample",
        swap=((OUTPUT, f"ops.squeeze({OUTPUT}, axis=1)"),),
    ),
    WrongAnswer(
        id="joined-along-the-samples",
        title="image and text are joined one below the other",
        explanation=(
            "The features of the texts become further samples instead of further features: where the widths happen to "
            "agree the result has twice as many rows, elsewhere it is an error. Along which axis are the parts of one "
            "sample put side by side, and which one does your function take by default?"
        ),
        caught_by="test_model_gives_one_probability_for_each_sample",
        swap=((JOIN, "ops.concatenate([features, sentence])"),),
    ),
    WrongAnswer(
        id="copied-base",
        title="a copy of the base is used",
        explanation=(
            "What happens to `image_base` later does not reach your model, and the base itself is not frozen: the "
            "model holds a copy. (`keras.models.clone_model` alone would even give that copy new, random weights.) "
            "Call the object that you were given."
        ),
        caught_by="test_head_sees_the_features_of_the_base",
        swap=(
            (
                FREEZE,
                "given, image_base = image_base, keras.models.clone_model(image_base)\n"
                "    image_base.set_weights(given.get_weights())\n"
                f"    {FREEZE}",
            ),
        ),
    ),
    WrongAnswer(
        id="preprocess-ignored",
        title="`preprocess` has no influence",
        explanation=(
            "The base gets the raw pixels. A network that was trained on other numbers than 0 to 255 returns features "
            "that mean nothing, and nothing fails. What is applied to the images before the base sees them?"
        ),
        caught_by="test_head_sees_the_features_of_the_base",
        swap=((BASE_CALL, "features = image_base(image)"),),
    ),
    WrongAnswer(
        id="divided-by-255-as-well",
        title="the pixels are divided by 255 besides `preprocess`",
        explanation=(
            "What the base expects differs from network to network, so the caller says it: `preprocess` gets the "
            "pixels from 0 to 255, and with `None` the base itself gets them. Here they are divided by 255 in between."
        ),
        caught_by="test_probabilities",
        swap=((BASE_CALL, BASE_CALL.replace("image if", "image / 255 if").replace("(image))", "(image / 255))")),),
    ),
    WrongAnswer(
        id="text-before-image",
        title="the text's vector comes before the image's features",
        explanation=(
            "Both orders train equally well, but the rows of the first kernel belong to other inputs than the "
            "statement says, and weights from elsewhere would not fit. Look at what the head gets in the worked "
            "example."
        ),
        caught_by="test_probabilities",
        swap=((JOIN, JOIN.replace("features, sentence", "sentence, features")),),
    ),
    WrongAnswer(
        id="no-activation",
        title="the hidden layer is linear",
        explanation=(
            "Two linear layers in a row are one linear layer: the hidden units add weights but nothing that the model "
            "could not do without them. What stands between the two?"
        ),
        caught_by="test_probabilities",
        swap=((UNITS, UNITS.replace(', activation="relu"', "")),),
    ),
    WrongAnswer(
        id="maximum-over-places",
        title="the maximum over height and width instead of the mean",
        explanation=(
            "The shapes are right, the numbers are not: you keep the strongest response of each channel. Both poolings "
            "are in use; here it is the mean."
        ),
        caught_by="test_probabilities",
        swap=(("GlobalAveragePooling2D", "GlobalMaxPooling2D"),),
    ),
    WrongAnswer(
        id="summed-words",
        title="a long text has a long vector: the words are summed, not averaged",
        explanation=(
            "The padding is left out, but nothing is divided by the number of words, so the head sees the length of "
            "the text more than its content. What turns the sum into a mean?"
        ),
        caught_by="test_probabilities",
        swap=((MEAN, "sentence = ops.sum(present * vectors, axis=1)  # (b"),),
    ),
    WrongAnswer(
        id="dropout-rate-ignored",
        title="no dropout in training",
        explanation=("In training mode all hidden units are kept. Where in the head is `dropout` used?"),
        caught_by="test_dropout_of_the_hidden_units",
        swap=((OUTPUT, OUTPUT.replace("layers.Dropout(dropout)(units)", "units")),),
    ),
    WrongAnswer(
        id="dropout-always",
        title="dropout outside of training as well",
        explanation=(
            "Predictions are random: units are dropped although nobody is training. In Keras a layer knows the mode "
            "from the `training` argument, as long as you do not set it yourself."
        ),
        caught_by="test_dropout_of_the_hidden_units",
        swap=((OUTPUT, OUTPUT.replace("(units)", "(units, training=True)")),),
    ),
    WrongAnswer(
        id="dropout-on-the-features",
        title="the dropout is in front of the hidden layer",
        explanation=(
            "Your dropout removes features of image and text; no hidden unit is dropped. Both are done; which one "
            "does the statement ask for?"
        ),
        caught_by="test_dropout_of_the_hidden_units",
        swap=(
            (OUTPUT, OUTPUT.replace("layers.Dropout(dropout)(units)", "units")),
            (JOIN, f"layers.Dropout(dropout)({JOIN})"),
        ),
    ),
    WrongAnswer(
        id="second-dropout-on-the-features",
        title="a second dropout, on what goes into the hidden layer",
        explanation=(
            "Besides hidden units you drop features of image and text, so that more of the sample is lost than "
            "`dropout` says. Both places are in use; the statement names one."
        ),
        caught_by="test_dropout_of_the_hidden_units",
        swap=((JOIN, f"layers.Dropout(dropout)({JOIN})"),),
    ),
    WrongAnswer(
        id="second-dropout-on-the-image",
        title="a second dropout, on the side of the image",
        explanation=(
            "Besides hidden units something of the image is dropped in training mode. A frozen tower whose features "
            "change from call to call is no longer what was trained. What does the statement say may be dropped?"
        ),
        caught_by="test_dropout_of_the_hidden_units",
        swap=((JOIN, JOIN.replace("[features", "[layers.Dropout(dropout)(features)")),),
    ),
    WrongAnswer(
        id="second-dropout-on-the-words",
        title="a second dropout, on the side of the text",
        explanation=(
            "Besides hidden units something of the text is dropped in training mode: parts of the word vectors or of "
            "their mean. What does the statement say may be dropped?"
        ),
        caught_by="test_dropout_of_the_hidden_units",
        swap=(
            (
                "vectors = layers.Embedding(vocab_size, embed_dim)(text)",
                "vectors = layers.Dropout(dropout)(layers.Embedding(vocab_size, embed_dim)(text))",
            ),
        ),
    ),
    WrongAnswer(
        id="gaussian-dropout",
        title="the hidden units are blurred by noise instead of being dropped",
        explanation=(
            "In training mode no hidden unit becomes 0: each is multiplied by a random number around 1. Keras has "
            "several layers with dropout in their name; which one sets units to 0?"
        ),
        caught_by="test_dropout_of_the_hidden_units",
        swap=((OUTPUT, OUTPUT.replace("Dropout(dropout)", "GaussianDropout(dropout)")),),
    ),
    WrongAnswer(
        id="samples-share-their-dropout",
        title="one draw of dropped units for the whole batch",
        explanation=(
            "The same hidden units are dropped for all samples of a batch. Each unit of each sample is drawn by "
            "itself: which axes does the noise of your dropout have?"
        ),
        caught_by="test_dropout_of_the_hidden_units",
        swap=((OUTPUT, OUTPUT.replace("Dropout(dropout)", "Dropout(dropout, noise_shape=(1, None))")),),
    ),
    WrongAnswer(
        id="squared-error",
        title="compiled with the squared error",
        explanation=(
            "The loss of a batch is not its cross-entropy. A squared error of a sigmoid has almost no gradient where "
            "the model is most wrong. Which loss belongs to a probability?"
        ),
        caught_by="test_model_is_compiled",
        swap=((COMPILE, COMPILE.replace("binary_crossentropy", "mse")),),
    ),
    WrongAnswer(
        id="default-rate",
        title="the learning rate is always Adam's default",
        explanation=(
            '`optimizer="adam"` looks harmless and ignores your argument: the rate is 0.001 whatever is asked for. '
            "In fine-tuning the rate is the setting that matters most. Where does `learning_rate` go?"
        ),
        caught_by="test_model_is_compiled",
        swap=((COMPILE, COMPILE.replace("keras.optimizers.Adam(learning_rate)", '"adam"')),),
    ),
    WrongAnswer(
        id="plain-sgd",
        title="compiled with another optimiser than Adam",
        explanation=(
            "The rate and the loss are as asked for, the optimiser is not Adam. A rate that suits one of them is far "
            "off for the other."
        ),
        caught_by="test_model_is_compiled",
        swap=((COMPILE, COMPILE.replace("Adam", "SGD")),),
    ),
    WrongAnswer(
        id="all-frozen",
        title="the text tower is frozen together with the base",
        explanation=(
            "Training does not move the embedding table. The base is trained already; the table holds random numbers "
            "and has everything to learn. Which of your layers may stand still?"
        ),
        caught_by="test_training_moves_the_new_weights_only",
        swap=(
            (
                "vectors = layers.Embedding(vocab_size, embed_dim)(text)",
                "table = layers.Embedding(vocab_size, embed_dim)\n    vectors = ops.stop_gradient(table(text))",
            ),
        ),
    ),
    WrongAnswer(
        id="any-rank",
        title="a base of any rank is accepted",
        explanation=(
            "A base that returns token vectors (batch, tokens, width) passes without a word, and the model's result "
            "has one axis too many. The base tells the rank of its result before you call it."
        ),
        caught_by="test_impossible_arguments_are_refused",
        swap=(
            ("if rank not in (2, 4):", "if rank < 2:"),
            ("if rank == 4:", "if rank > 2:"),
            (
                "layers.GlobalAveragePooling2D()(features)",
                "ops.mean(features, axis=tuple(range(1, rank - 1)))",
            ),
        ),
    ),
    WrongAnswer(
        id="any-vocabulary",
        title="a vocabulary without words is accepted",
        explanation=(
            "With `vocab_size=1` there is only padding: such a model can be built and never sees a text. Refuse what "
            "cannot be meant before you build anything."
        ),
        caught_by="test_impossible_arguments_are_refused",
        swap=(("if vocab_size < 2 or max_len < 1:", "if max_len < 1:"),),
    ),
    WrongAnswer(
        id="any-length",
        title="texts without tokens are accepted",
        explanation=(
            "With `max_len=0` there is no place for a token: such a model can be built and never sees a text. Refuse "
            "what cannot be meant before you build anything."
        ),
        caught_by="test_impossible_arguments_are_refused",
        swap=(("if vocab_size < 2 or max_len < 1:", "if vocab_size < 2:"),),
    ),
]

alternatives = [
    Alternative(
        id="subclass",
        title="a subclass of keras.Model with a masked mean by einsum",
        code="""
class TwoTower(keras.Model):
    def __init__(self, image_base, vocab_size, embed_dim, hidden, dropout, preprocess):
        super().__init__()
        self.preprocess = preprocess if preprocess is not None else (lambda image: image)
        self.image_base = image_base
        self.table = layers.Embedding(vocab_size, embed_dim)
        self.hidden, self.drop, self.out = layers.Dense(hidden), layers.Dropout(dropout), layers.Dense(1)

    def call(self, inputs, training=None):
        features = self.image_base(self.preprocess(inputs["image"]), training=False)
        if len(features.shape) == 4:
            features = ops.mean(features, axis=(1, 2))
        real = ops.cast(inputs["text"] != 0, "float32")
        total = ops.einsum("bl,ble->be", real, self.table(inputs["text"]))
        sentence = total / ops.clip(ops.sum(real, axis=1, keepdims=True), 1, float("inf"))
        units = ops.relu(self.hidden(ops.concatenate([features, sentence], axis=-1)))
        return ops.sigmoid(self.out(self.drop(units, training=training)))


def build_two_tower_classifier(image_base, vocab_size, max_len, *, embed_dim=32, hidden=64, dropout=0.2,
                               preprocess=None, learning_rate=1e-3):
    if image_base.output_shape.__len__() not in {2, 4}:
        raise ValueError("rank")
    if vocab_size < 2:
        raise ValueError("vocab_size")
    if max_len < 1:
        raise ValueError("max_len")
    for variable in image_base.variables:
        variable.trainable = False
    image_base.trainable = False
    model = TwoTower(image_base, vocab_size, embed_dim, hidden, dropout, preprocess)
    model.compile(keras.optimizers.Adam(learning_rate=learning_rate), keras.losses.BinaryCrossentropy(), metrics=["accuracy"])
    return model
""",
    ),
    Alternative(
        id="counts-of-words",
        title="the text as shares of words times the table, and every layer of the base frozen by itself",
        code="""
class ShareOfWords(layers.Layer):
    def __init__(self, vocab_size):
        super().__init__()
        self.vocab_size = vocab_size

    def call(self, text):
        counts = ops.sum(ops.one_hot(text, self.vocab_size), axis=1)
        keep = ops.concatenate([ops.zeros((1, 1)), ops.ones((1, self.vocab_size - 1))], axis=1)
        counts = counts * keep
        number = ops.sum(counts, axis=1, keepdims=True)
        return counts / ops.where(number == 0, ops.ones_like(number), number)


def build_two_tower_classifier(image_base, vocab_size, max_len, *, embed_dim=32, hidden=64, dropout=0.2,
                               preprocess=None, learning_rate=1e-3):
    shape = image_base.output_shape
    if len(shape) not in (2, 4) or vocab_size < 2 or max_len < 1:
        raise ValueError((shape, vocab_size, max_len))
    for layer in image_base.layers:
        layer.trainable = False
    inputs = {"text": layers.Input((max_len,), dtype="int32"), "image": layers.Input(image_base.input_shape[1:])}
    image = inputs["image"] if preprocess is None else preprocess(inputs["image"])
    features = image_base(image, training=False)
    if len(shape) == 4:
        features = layers.Flatten()(layers.AveragePooling2D(shape[1:3])(features))
    sentence = layers.Dense(embed_dim, use_bias=False)(ShareOfWords(vocab_size)(inputs["text"]))
    units = layers.ReLU()(layers.Dense(hidden)(layers.concatenate([features, sentence])))
    logit = layers.Dense(1)(layers.Dropout(dropout)(units))
    model = keras.Model(inputs=inputs, outputs=layers.Activation("sigmoid")(logit))
    optimizer = keras.optimizers.Adam()
    optimizer.learning_rate = learning_rate
    model.compile(loss="binary_crossentropy", optimizer=optimizer, run_eagerly=True, jit_compile=False)
    return model
""",
    ),
    Alternative(
        id="mask-of-keras",
        title="Keras's own mask, and the division made harmless after the pooling",
        code="""
def build_two_tower_classifier(image_base, vocab_size, max_len, *, embed_dim=32, hidden=64, dropout=0.2,
                               preprocess=None, learning_rate=1e-3):
    if image_base.output.ndim not in (2, 4):
        raise ValueError(image_base.output)
    if not (vocab_size >= 2 and max_len >= 1):
        raise ValueError((vocab_size, max_len))
    image = keras.Input(shape=image_base.input_shape[1:], name="image", dtype="float32")
    text = keras.Input(shape=(max_len,), name="text", dtype="int32")
    table = layers.Embedding(vocab_size, embed_dim, mask_zero=True)
    words = ops.where(ops.expand_dims(table.compute_mask(text), -1), table(text), 0.0)
    number = ops.cast(ops.count_nonzero(text, axis=1), "float32")
    sentence = ops.divide_no_nan(ops.sum(words, axis=1), ops.expand_dims(number, -1))
    tower = image_base(preprocess(image) if preprocess else image)
    while tower.ndim > 2:
        tower = ops.mean(tower, axis=1)
    image_base.trainable = False
    x = layers.Concatenate(axis=1)([tower, sentence])
    for layer in (layers.Dense(hidden, "relu"), layers.Dropout(dropout), layers.Dense(1, "sigmoid")):
        x = layer(x)
    model = keras.Model([image, text], x)
    model.compile(keras.optimizers.Adam(learning_rate), keras.losses.binary_crossentropy)
    return model
""",
    ),
]

equivalent_mutants = {
    "dropped `raise ValueError(f'image_base must return": (
        "In this functional model Concatenate refuses features of another rank with a ValueError too; the reference "
        "raises its own so that the message names the base."
    ),
}
