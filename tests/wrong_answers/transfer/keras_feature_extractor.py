"""Catalogue of transfer/keras_feature_extractor.

The published answer returns a model of two fresh dense layers: `published-fresh-layers`.
"""

from grader.catalogue import Alternative, WrongAnswer

TEXT_CALL = "self.text_part(text, training=False)"
IMAGE_CALL = "self.image_part(image, training=False)"
OUTPUT = "output = encoder.outputs[0] if layer is None else encoder.get_layer(layer).output"
PARTS = "text_part, image_part = up_to(text_encoder, text_layer), up_to(image_encoder, image_layer)"
FREEZE = "    text_encoder.trainable = False\n    image_encoder.trainable = False\n"
JOIN = "tf.concat([text_features, image_features], axis=1)"
PROJECT = "keras.layers.Dense(hidden_size)"

wrong_answers = [
    WrongAnswer(
        id="published-fresh-layers",
        title="fresh dense layers take the place of the encoders",
        explanation=(
            "The features come from new layers with random weights; of the encoders nothing is used. An untrained "
            "dense layer is a random projection, so this extracts nothing that anybody learned. Where do the two "
            "pretrained models enter?"
        ),
        caught_by="test_features_are_the_outputs_of_the_encoders",
        code="""
def build_feature_extractor(text_encoder, image_encoder, text_layer=None, image_layer=None, hidden_size=None):
    text = keras.Input(text_encoder.input_shape[1:])
    image = keras.Input(image_encoder.input_shape[1:])
    text_features = keras.layers.Dense(hidden_size or 2, activation="relu")(text)
    image_features = keras.layers.Dense(hidden_size or 3, activation="relu")(image)
    return keras.Model([text, image], keras.layers.Concatenate()([text_features, image_features]))
""",
    ),
    WrongAnswer(
        id="cloned-encoders",
        title="copies of the encoders with new weights",
        explanation=(
            "`keras.models.clone_model` copies the layers but gives them new random weights, and what happens to the "
            "original later does not reach the copy. The layers of the encoder can be part of a second model."
        ),
        caught_by="test_features_are_the_outputs_of_the_encoders",
        swap=(
            (
                PARTS,
                "text_part = keras.models.clone_model(up_to(text_encoder, text_layer))\n"
                "    image_part = keras.models.clone_model(up_to(image_encoder, image_layer))\n"
                "    text_part.trainable = image_part.trainable = False",
            ),
        ),
    ),
    WrongAnswer(
        id="outputs-instead-of-the-layer",
        title="the encoders' outputs whatever layer is named",
        explanation=(
            "You return the last layer's results, the class scores, although an earlier layer was named. Scores keep "
            "what tells the old classes apart; the layers before know more. How does a model get at what one of its "
            "layers returned?"
        ),
        caught_by="test_features_of_a_named_layer",
        swap=(
            (
                OUTPUT,
                "output = encoder.outputs[0]\n        if layer is not None:\n            encoder.get_layer(layer)",
            ),
        ),
    ),
    WrongAnswer(
        id="mode-passed-on",
        title="the encoders compute in the mode of the call",
        explanation=(
            "With `training=True` the encoders' dropout is active, so the same sentence has other features every "
            "time. Freezing stops the weights, not the dropout. Which mode should the encoders always get?"
        ),
        caught_by="test_features_are_the_same_in_training_mode",
        swap=(
            (TEXT_CALL, TEXT_CALL.replace("False", "training")),
            (IMAGE_CALL, IMAGE_CALL.replace("False", "training")),
        ),
    ),
    WrongAnswer(
        id="functional-model",
        title="inference mode is asked for inside a functional model",
        explanation=(
            "You say `training=False`, but while a functional model is put together, and such a model hands the mode "
            "of its own call to every layer inside. The encoders' dropout is active in `fit`. Where is what you say "
            "the last word?"
        ),
        caught_by="test_features_are_the_same_in_training_mode",
        swap=(
            (
                "    return FeatureExtractor()",
                "    text, image = keras.Input(text_part.input_shape[1:]), keras.Input(image_part.input_shape[1:])\n"
                "    features = [text_part(text, training=False), image_part(image, training=False)]\n"
                "    joined = keras.layers.Concatenate()(features)\n"
                "    return keras.Model([text, image], joined if hidden_size is None else keras.layers.Dense(hidden_size)(joined))",
            ),
        ),
    ),
    WrongAnswer(
        id="dropout-of-one-encoder",
        title="only one of the encoders runs in inference mode",
        explanation=(
            "In training mode a part of the features changes from call to call: one encoder still drops. Look at both "
            "calls."
        ),
        caught_by="test_features_are_the_same_in_training_mode",
        swap=((IMAGE_CALL, IMAGE_CALL.replace("training=False", "training=training")),),
    ),
    WrongAnswer(
        id="encoders-trainable",
        title="the encoders are not frozen",
        explanation=(
            "The encoders' weights are among the trainable variables: whoever trains the projection trains them too, "
            "and every other model that uses these encoders changes with them. Which flag takes a model out of the "
            "training?"
        ),
        caught_by="test_encoders_are_frozen_in_place",
        swap=((FREEZE, ""),),
    ),
    WrongAnswer(
        id="only-the-extractor-frozen",
        title="the extractor has no trainable variables, but parts of the encoders have",
        explanation=(
            "The flag was set for the part up to the named layer only; the layers behind it are still trainable. "
            "Asked for are encoders that are frozen as a whole."
        ),
        caught_by="test_encoders_are_frozen_in_place",
        swap=((FREEZE, "    text_part.trainable = False\n    image_part.trainable = False\n"),),
    ),
    WrongAnswer(
        id="image-first",
        title="the image features come before the text features",
        explanation=(
            "Both parts are right, their order is not. Whoever trains a head on stored features relies on it; the "
            "worked example shows it."
        ),
        caught_by="test_features_are_the_outputs_of_the_encoders",
        swap=((JOIN, "tf.concat([image_features, text_features], axis=-1)"),),
    ),
    WrongAnswer(
        id="input-of-the-layer",
        title="what goes into the named layer instead of what comes out",
        explanation=(
            "Your features are one layer too early: they are the input of the layer that was named. A layer knows both "
            "tensors; take the other one."
        ),
        caught_by="test_features_of_a_named_layer",
        swap=((OUTPUT, OUTPUT.replace("get_layer(layer).output", "get_layer(layer).input")),),
    ),
    WrongAnswer(
        id="one-name-for-both",
        title="one name is used for both encoders",
        explanation=(
            "The image encoder is cut at the layer that was named for the text. Each encoder has a name of its own, "
            "and either may be None."
        ),
        caught_by="test_features_of_a_named_layer",
        swap=((PARTS, PARTS.replace("image_layer", "text_layer")),),
    ),
    WrongAnswer(
        id="always-the-last-but-one",
        title="always the last layer but one",
        explanation=(
            "You take the layer before the last, whatever is asked for. That is often a good choice, but here the "
            "caller chooses, and `None` means the output."
        ),
        caught_by="test_features_of_a_named_layer",
        swap=((OUTPUT, "output = encoder.layers[-2].output"),),
    ),
    WrongAnswer(
        id="projection-with-activation",
        title="the projection has an activation",
        explanation=(
            "No projected feature is below 0: a ReLU cuts off half of the space. A projection to a common width is "
            "linear here."
        ),
        caught_by="test_projection",
        swap=((PROJECT, 'keras.layers.Dense(hidden_size, activation="relu")'),),
    ),
    WrongAnswer(
        id="projection-without-bias",
        title="the projection has no bias",
        explanation="The extractor has one trainable variable where two are asked for: the bias is missing.",
        caught_by="test_projection",
        swap=((PROJECT, "keras.layers.Dense(hidden_size, use_bias=False)"),),
    ),
    WrongAnswer(
        id="hidden-size-ignored",
        title="`hidden_size` has no effect",
        explanation="The features have the width of the encoders' layers although a `hidden_size` was given.",
        caught_by="test_projection",
        swap=(("None if hidden_size is None else keras.layers", "None if hidden_size else keras.layers"),),
    ),
    WrongAnswer(
        id="one-projection-each",
        title="each modality has a projection of its own",
        explanation=(
            "Your result is twice as wide as asked for: text and image are projected separately and joined afterwards. "
            "Here they are joined first, and one projection sees both."
        ),
        caught_by="test_projection",
        swap=(
            (
                f"joined = {JOIN}",
                "if self.projection is not None:\n"
                "                if not hasattr(self, 'second'):\n"
                "                    self.second = keras.layers.Dense(hidden_size)\n"
                "                return tf.concat([self.projection(text_features), self.second(image_features)], axis=-1)\n"
                f"            joined = {JOIN}",
            ),
        ),
    ),
    WrongAnswer(
        id="features-without-gradient",
        title="the projection is frozen together with the encoders",
        explanation=(
            "Training moves nothing: the gradient is stopped behind the projection instead of in front of it. The "
            "encoders are meant to stand still, the projection has everything to learn."
        ),
        caught_by="test_training_moves_the_projection_only",
        swap=(("else self.projection(joined)  #", "else tf.stop_gradient(self.projection(joined))  #"),),
    ),
    WrongAnswer(
        id="any-rank",
        title="features of any rank are accepted",
        explanation=(
            "A layer that returns one vector for each token is cut at without a word, and its vectors cannot be joined "
            "with those of an image. The shape of a symbolic tensor is known before any data are there."
        ),
        caught_by="test_impossible_arguments_are_refused",
        swap=(("if len(output.shape) != 2:", "if len(output.shape) < 1:"),),
    ),
    WrongAnswer(
        id="unknown-layer-ignored",
        title="the output is used when there is no layer of that name",
        explanation=(
            "A name that does not exist gives the encoder's output, so a spelling mistake goes unnoticed and other "
            "features are stored than everybody thinks. Better no features than the wrong ones."
        ),
        caught_by="test_impossible_arguments_are_refused",
        swap=(
            (
                OUTPUT,
                "named = [part.output for part in encoder.layers if part.name == layer]\n"
                "        output = named[0] if named else encoder.outputs[0]",
            ),
        ),
    ),
    WrongAnswer(
        id="unbuilt-encoder-accepted",
        title="an encoder without weights is accepted",
        explanation=(
            "An encoder that is not built has no weights, so nothing can have been learned; random ones would be made "
            "at the first call. Its attribute `built` tells."
        ),
        caught_by="test_impossible_arguments_are_refused",
        swap=(
            (
                "        if not encoder.built:\n",
                "        if not encoder.built:\n            return encoder\n        if not encoder.built:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="any-size",
        title="a `hidden_size` of 0 is taken for 'no projection'",
        explanation=(
            "0 is false in Python, so `if hidden_size` mixes up a size that makes no sense with the absence of one. "
            "Compare with None."
        ),
        caught_by="test_impossible_arguments_are_refused",
        swap=(
            ("if hidden_size is not None and hidden_size < 1:", "if hidden_size and hidden_size < 1:"),
            ("None if hidden_size is None else keras.layers", "None if not hidden_size else keras.layers"),
        ),
    ),
    WrongAnswer(
        id="frozen-before-refused",
        title="an encoder is frozen although the call is refused",
        explanation=(
            "The call raises an error, and yet one of the encoders has lost its trainable variables: you freeze before "
            "all arguments have been looked at. Whoever corrects the mistake and goes on trains nothing, and does not "
            "know why."
        ),
        caught_by="test_impossible_arguments_are_refused",
        swap=(
            (FREEZE, ""),
            (
                "        if not encoder.built:\n",
                "        encoder.trainable = False\n        if not encoder.built:\n",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="class-outside-of-the-function",
        title="a class of its own, which freezes and cuts in its constructor",
        code="""
class JoinedFeatures(keras.Model):
    def __init__(self, encoders, parts, hidden_size):
        super().__init__(name="joined_features")
        for encoder in encoders:
            encoder.trainable = False
        self.encoders, self.parts = encoders, parts
        self.dense = keras.layers.Dense(hidden_size, activation="linear") if hidden_size is not None else None

    def call(self, inputs, training=False):
        features = [part(x, training=False) for part, x in zip(self.parts, inputs, strict=True)]
        features = keras.layers.concatenate(features)
        return features if self.dense is None else self.dense(features)


def build_feature_extractor(text_encoder, image_encoder, text_layer=None, image_layer=None, hidden_size=None):
    parts = []
    for encoder, name in ((text_encoder, text_layer), (image_encoder, image_layer)):
        if not encoder.built:
            raise ValueError("not built")
        layers = {layer.name: layer for layer in encoder.layers}
        if name is not None and name not in layers:
            raise ValueError(f"no layer {name!r} among {sorted(layers)}")
        tensor = encoder.layers[-1].output if name is None else layers[name].output
        if tensor.ndim != 2:
            raise ValueError(tensor.shape)
        parts.append(keras.Model(inputs=encoder.inputs, outputs=tensor))
    if not (hidden_size is None or hidden_size >= 1):
        raise ValueError(hidden_size)
    return JoinedFeatures([text_encoder, image_encoder], parts, hidden_size)
""",
    ),
    Alternative(
        id="all-features-at-once",
        title="models that return every layer's result, and a projection of plain weights",
        code="""
class Extractor(keras.Model):
    def __init__(self, text_encoder, image_encoder, names, width, hidden_size):
        super().__init__()
        self.text_all = keras.Model(text_encoder.inputs[0], {n: t for n, t in self.tensors(text_encoder).items()})
        self.image_all = keras.Model(image_encoder.inputs[0], {n: t for n, t in self.tensors(image_encoder).items()})
        self.names, self.hidden_size = names, hidden_size
        self.text_all.trainable = self.image_all.trainable = False
        text_encoder.trainable = image_encoder.trainable = False
        if hidden_size is not None:
            self.kernel = self.add_weight(shape=(width, hidden_size), initializer="glorot_uniform")
            self.bias = self.add_weight(shape=(hidden_size,), initializer="zeros")

    @staticmethod
    def tensors(encoder):
        found = {layer.name: layer.output for layer in encoder.layers if not isinstance(layer, keras.layers.InputLayer)}
        found["own output"] = encoder.outputs[0]
        return found

    def call(self, inputs, training=None):
        text = self.text_all(inputs[0], training=False)[self.names[0]]
        image = self.image_all(inputs[1], training=False)[self.names[1]]
        features = keras.ops.concatenate([text, image], axis=1)
        return features if self.hidden_size is None else features @ self.kernel + self.bias


def build_feature_extractor(text_encoder, image_encoder, text_layer=None, image_layer=None, hidden_size=None):
    names = [text_layer or "own output", image_layer or "own output"]
    width = 0
    for encoder, name in zip((text_encoder, image_encoder), names):
        if not encoder.built:
            raise ValueError("unbuilt")
        tensors = Extractor.tensors(encoder)
        if name not in tensors:
            raise ValueError("unknown layer")
        if len(tensors[name].shape) != 2:
            raise ValueError("not 2-D")
        width += tensors[name].shape[-1]
    if hidden_size is not None and hidden_size <= 0:
        raise ValueError("hidden_size")
    return Extractor(text_encoder, image_encoder, names, width, hidden_size)
""",
    ),
    Alternative(
        id="layer-for-layer",
        title="the mode is fixed by a layer around each part, in a functional model",
        code="""
class InInferenceMode(keras.layers.Layer):
    def __init__(self, part):
        super().__init__(trainable=False)
        self.part = part

    def call(self, inputs, training=None):
        return self.part(inputs, training=False)

    def compute_output_shape(self, shape):
        return self.part.output_shape


def build_feature_extractor(text_encoder, image_encoder, text_layer=None, image_layer=None, hidden_size=None):
    inputs, features = [], []
    if hidden_size is not None and int(hidden_size) < 1:
        raise ValueError("hidden_size")
    for encoder, name in [(text_encoder, text_layer), (image_encoder, image_layer)]:
        if encoder.built is False:
            raise ValueError("build the encoder first")
        output = encoder.outputs[0]
        if name is not None:
            output = encoder.get_layer(name=name).output
        if output.shape.__len__() != 2:
            raise ValueError("2-D features are needed")
        part = keras.Model(encoder.inputs, [output])
        inputs.append(keras.Input(encoder.inputs[0].shape[1:], dtype=encoder.inputs[0].dtype))
        features.append((part, output))
    for encoder in (text_encoder, image_encoder):
        for layer in encoder.layers:
            layer.trainable = False
    tensors = []
    for tensor, (part, _) in zip(inputs, features):
        result = InInferenceMode(part)(tensor)
        tensors.append(result[0] if isinstance(result, (list, tuple)) else result)
    joined = keras.layers.Concatenate(axis=-1)(tensors)
    if hidden_size is not None:
        joined = keras.layers.Dense(hidden_size)(joined)
    return keras.Model(inputs, joined)
""",
    ),
]
