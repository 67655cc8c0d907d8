"""Catalogue of fusion/modality_attention.

The published function creates its Dense layer anew in every call and runs only where batch size and widths agree, or
for one sample. `published-gate` is its formula inside a layer that keeps the variables.
"""

from grader.catalogue import Alternative, WrongAnswer

PROJECTED = "projected = [tf.tanh(tf.matmul(x, W) + b) for x, W, b in zip(features, self.W, self.b, strict=True)]"
SCORES = "scores = tf.linalg.matvec(tf.tanh(tf.matmul(projected, self.U)), self.v)"
SOFTMAX = "weights = tf.nn.softmax(tf.where(present, scores, -math.inf), axis=1)"
EMPTY = "        weights = tf.where(present, weights, 0.0)\n"
FILLED = "features = [tf.where(present[:, m, tf.newaxis], vectors, 0.0) for m, vectors in enumerate(features)]"
FUSED = "fused = tf.reduce_sum(weights[:, :, tf.newaxis] * projected, axis=1)"
NUMBER = "if len(features) != len(self.W):"
SHAPE = "if vectors.shape != (batch, kernel.shape[0]):"

wrong_answers = [
    WrongAnswer(
        id="published-gate",
        title="a gate made from products of the text with itself, over the whole batch",
        explanation=(
            "The matrix you use as weights is the transposed text times the projected text: its rows belong to "
            "features, not to samples, the batch is summed away, and the image was never consulted. Start from one "
            "number for each sample and modality: how would you score a single vector?"
        ),
        caught_by="test_the_layer_keeps_its_variables_and_returns_the_announced_shapes",
        swap=(
            (
                FUSED,
                "text, image = features[0], features[-1]\n"
                "        weights = tf.matmul(text, projected[:, 0], transpose_a=True)\n"
                "        weights = tf.nn.softmax(weights, axis=1)\n"
                "        fused = weights * image + (1 - weights) * text",
            ),
        ),
    ),
    WrongAnswer(
        id="new-layers-per-call",
        title="the projections are created anew in every call",
        explanation=(
            "Two calls with the same features give different results: a Dense layer that is created inside `call` has "
            "fresh random weights each time, belongs to nobody and is never trained. Create what is to be learned "
            "once, in `build`."
        ),
        caught_by="test_the_layer_keeps_its_variables_and_returns_the_announced_shapes",
        swap=(
            (PROJECTED, 'projected = [keras.layers.Dense(self.hidden_size, activation="tanh")(x) for x in features]'),
        ),
    ),
    WrongAnswer(
        id="not-summed",
        title="the weighted vectors are returned without adding them up",
        explanation=(
            "Your result still has an axis of modalities: each projected vector has been multiplied by its weight, and "
            "then nothing was done with them. One vector a sample is asked for. Over which axis is there still "
            "something to do?"
        ),
        caught_by="test_the_layer_keeps_its_variables_and_returns_the_announced_shapes",
        swap=((FUSED, "fused = weights[:, :, tf.newaxis] * projected"),),
    ),
    WrongAnswer(
        id="softmax-over-batch",
        title="softmax over the samples instead of the modalities",
        explanation=(
            "The weights of one modality sum to 1 over the batch, so the samples compete with each other, and a "
            "prediction depends on who else is in the batch. Each sample chooses among its modalities: look at the "
            "axis that the softmax runs over."
        ),
        caught_by="test_the_modalities_of_a_sample_share_a_total_of_one",
        swap=((SOFTMAX, SOFTMAX.replace("axis=1", "axis=0")),),
    ),
    WrongAnswer(
        id="independent-sigmoids",
        title="a sigmoid for each modality instead of one softmax",
        explanation=(
            "Each of your weights lies between 0 and 1, but together they do not make 1: the modalities are gated one "
            "by one. That is a layer of its own right, the Gated Multimodal Unit. Which function turns several scores "
            "into shares of a whole?"
        ),
        caught_by="test_the_modalities_of_a_sample_share_a_total_of_one",
        swap=((SOFTMAX, "weights = tf.sigmoid(scores)"),),
    ),
    WrongAnswer(
        id="weights-from-the-text-alone",
        title="the weights are computed from the text alone",
        explanation=(
            "Only the first modality has a score of its own, so the weights do not change when another image is put "
            "in: the layer decides how much to trust the photo without looking at it. Give every modality the same "
            "treatment before the softmax."
        ),
        caught_by="test_every_modality_is_scored_by_its_own_vector",
        swap=((SCORES, SCORES + "\n        scores = tf.concat([scores[:, :1], 0.0 * scores[:, 1:]], axis=1)"),),
    ),
    WrongAnswer(
        id="scores-of-the-whole-sample",
        title="each score mixes in the other modalities of the sample",
        explanation=(
            "When the image of a sample is replaced, the proportion between the other two modalities changes as well: "
            "their scores contain something of the image. There are good layers that do this, but here the score of a "
            "modality comes from its own projected vector. Where do the vectors meet before the softmax?"
        ),
        caught_by="test_every_modality_is_scored_by_its_own_vector",
        swap=((SCORES, SCORES.replace("projected", "projected + tf.reduce_mean(projected, axis=1, keepdims=True)")),),
    ),
    WrongAnswer(
        id="linear-projection",
        title="no tanh after the projection",
        explanation=(
            "Your projected vectors are the linear ones, so a modality with large numbers dominates the fused vector "
            "whatever its weight is. Compare your formula for h with the one in the task."
        ),
        caught_by="test_weights_and_fused_vector_follow_the_formula",
        swap=((PROJECTED, PROJECTED.replace("tf.tanh(tf.matmul(x, W) + b)", "tf.matmul(x, W) + b")),),
    ),
    WrongAnswer(
        id="linear-scorer",
        title="no tanh inside the scorer",
        explanation=(
            "Without the tanh between U and v the two are one single vector, U v, and the scorer can only prefer a "
            "direction. Compare your formula for the score with the one in the task."
        ),
        caught_by="test_weights_and_fused_vector_follow_the_formula",
        swap=((SCORES, "scores = tf.linalg.matvec(tf.matmul(projected, self.U), self.v)"),),
    ),
    WrongAnswer(
        id="bias-forgotten",
        title="the biases exist and are not used",
        explanation=(
            "The result does not depend on b. Since biases start at 0, that shows only after some training, or when "
            "they are set to something else. Which of your lines uses b[m]?"
        ),
        caught_by="test_weights_and_fused_vector_follow_the_formula",
        swap=((PROJECTED, PROJECTED.replace(" + b)", ")")),),
    ),
    WrongAnswer(
        id="mean-instead-of-sum",
        title="the weighted vectors are averaged",
        explanation=(
            "Your fused vector is too small by the number of modalities. The weights sum to 1 already, so they make an "
            "average by themselves; dividing once more shrinks it. Which reduction goes with such weights?"
        ),
        caught_by="test_weights_and_fused_vector_follow_the_formula",
        swap=((FUSED, FUSED.replace("reduce_sum", "reduce_mean")),),
    ),
    WrongAnswer(
        id="overflow",
        title="exponentials taken without subtracting the maximum",
        explanation=(
            "Scores of some hundreds give NaN, because exp overflows above 88 in float32. What happens to a softmax "
            "when you subtract the same number from all scores of a sample, and which number would make the largest "
            "exponential 1?"
        ),
        caught_by="test_weights_and_fused_vector_follow_the_formula",
        swap=(
            (
                SOFTMAX,
                "weights = tf.exp(tf.where(present, scores, -math.inf))\n"
                "        weights = weights / tf.reduce_sum(weights, axis=1, keepdims=True)",
            ),
        ),
    ),
    WrongAnswer(
        id="absent-keeps-its-weight",
        title="an absent modality keeps its weight",
        explanation=(
            "`present` does not reach your softmax: what stands in for the missing photo takes its share of the fused "
            "vector. The mask has to act on the scores."
        ),
        caught_by="test_an_absent_modality_has_no_influence",
        swap=((SOFTMAX, "weights = tf.nn.softmax(scores, axis=1)"), (EMPTY, "")),
    ),
    WrongAnswer(
        # with renormalisation it would be right, unless the absent score exceeds all others by far
        id="mask-after-softmax",
        title="mask applied after the softmax",
        explanation=(
            "Absent modalities have weight 0, but the other weights no longer sum to 1: the softmax had already given "
            "the absent ones their share, and it is lost. Which scores would make the softmax itself give weight 0?"
        ),
        caught_by="test_an_absent_modality_has_no_influence",
        swap=((SOFTMAX, "weights = tf.nn.softmax(scores, axis=1)"),),
    ),
    WrongAnswer(
        id="nan-of-the-absent",
        title="NaN in place of an absent modality reaches the fused vector",
        explanation=(
            "The weights are right, and yet the fused vector is NaN: weight 0 times NaN is NaN. Missing data often "
            "arrives as NaN, and one such row would spoil the loss of the whole batch. Where could the row be emptied, "
            "so that no product ever sees it?"
        ),
        caught_by="test_an_absent_modality_has_no_influence",
        swap=((FILLED, ""),),
    ),
    WrongAnswer(
        id="uniform-without-modalities",
        title="a sample without modalities gets equal weights",
        explanation=(
            "A large negative number instead of minus infinity avoids NaN, but when all scores of a sample are equally "
            "low the softmax is uniform, and the fused vector is the average of what is not there. Compare what your "
            "weights say there with the mask."
        ),
        caught_by="test_a_sample_without_modalities_gives_zeros",
        swap=((SOFTMAX, SOFTMAX.replace("-math.inf", "-1e9")), (EMPTY, "")),
    ),
    WrongAnswer(
        id="nan-without-modalities",
        title="NaN for a sample without modalities",
        explanation=(
            "All scores of that sample are minus infinity, and the softmax becomes 0/0. Decide what a choice among "
            "nothing should give, and put that in where no modality is present."
        ),
        caught_by="test_a_sample_without_modalities_gives_zeros",
        swap=((EMPTY, ""),),
    ),
    WrongAnswer(
        id="other-number-of-modalities",
        title="a list of another length is accepted",
        explanation=(
            "A third modality, which the layer was not built for, is dropped without a word, because `zip` stops at "
            "the shorter of two lists. A mistake in the data pipeline would go unnoticed. Which lengths should your "
            "layer compare?"
        ),
        caught_by="test_inputs_that_do_not_fit_are_refused",
        swap=(
            (NUMBER, "features = features[: len(self.W)]\n        if not features:"),
            (
                "for vectors, kernel in zip(features, self.W, strict=True):",
                "for vectors, kernel in zip(features, self.W):",
            ),
            (PROJECTED, PROJECTED.replace(", strict=True", "")),
        ),
    ),
    WrongAnswer(
        id="shapes-left-to-tensorflow",
        title="shapes that do not fit are left to TensorFlow",
        explanation=(
            "The call fails somewhere inside with InvalidArgumentError, or not at all when broadcasting makes the "
            "shapes fit. Asked for is ValueError. Compare the shape of every tensor with what the layer was built for."
        ),
        caught_by="test_inputs_that_do_not_fit_are_refused",
        swap=((SHAPE, "if False:"), ("if present.shape != (batch, len(features)):", "if False:")),
    ),
    WrongAnswer(
        id="nan-gradients",
        title="NaN gradients behind a result that looks right",
        explanation=(
            "The results are right, but as soon as one sample has no modality the gradients are NaN. Replacing the NaN "
            "after the softmax repairs the forward pass only; on the way back it is multiplied in again. Make sure "
            "that nothing flows back from there, for example by *replacing* the scores of absent modalities instead "
            "of adding minus infinity to them."
        ),
        caught_by="test_gradients_reach_every_variable",
        swap=(
            (SOFTMAX, "weights = tf.nn.softmax(scores + tf.where(present, 0.0, -math.inf), axis=1)"),
            (EMPTY, "        weights = tf.where(tf.math.is_nan(weights), 0.0, weights)\n"),
        ),
    ),
    WrongAnswer(
        id="weights-without-gradient",
        title="the scorer gets no gradient",
        explanation=(
            "The results are right, but U and v have no gradient, so the weights stay as random as they started. "
            "Something cuts the way from the fused vector back to the scores: a detour through NumPy, or "
            "`stop_gradient`."
        ),
        caught_by="test_gradients_reach_every_variable",
        swap=((FUSED, FUSED.replace("weights[", "tf.stop_gradient(weights)[")),),
    ),
]

alternatives = [
    Alternative(
        id="dense-sublayers",
        title="Dense sublayers whose kernels are handed out, softmax by hand with a divisor that is never 0",
        code="""
class ModalityAttention(keras.layers.Layer):
    def __init__(self, hidden_size, score_size=16):
        super().__init__()
        self.sizes = hidden_size, score_size

    def build(self, shapes):
        if shapes is None or any(len(shape) != 2 for shape in shapes):
            raise ValueError("a list of 2-D features is expected")
        self.dense = [keras.layers.Dense(self.sizes[0], activation="tanh") for _ in shapes]
        for layer, shape in zip(self.dense, shapes):
            layer.build(shape)
        self.inner = keras.layers.Dense(self.sizes[1], activation="tanh", use_bias=False)
        self.inner.build((None, self.sizes[0]))
        self.outer = keras.layers.Dense(1, use_bias=False)
        self.outer.build((None, self.sizes[1]))
        self.W, self.b = [layer.kernel for layer in self.dense], [layer.bias for layer in self.dense]
        self.U, self.v = self.inner.kernel, self.outer.kernel

    def call(self, features, present=None):
        if len(features) != len(self.dense):
            raise ValueError("another number of modalities")
        rows = {len(vectors) for vectors in features}
        if any(vectors.ndim != 2 or vectors.shape[1] != W.shape[0] for vectors, W in zip(features, self.W)):
            raise ValueError("features do not fit")
        if len(rows) != 1:
            raise ValueError("batch sizes differ")
        if any(vectors.dtype not in (tf.float16, tf.float32) for vectors in features):
            raise ValueError("floating features expected")
        if present is None:
            present = tf.ones((*rows, len(features)), tf.bool)
        elif present.dtype != tf.bool or tuple(present.shape) != (*rows, len(features)):
            raise ValueError("bad mask")
        columns = tf.unstack(present, axis=1)
        hidden = tf.stack(
            [
                layer(tf.math.multiply_no_nan(vectors, tf.cast(column, tf.float32)[:, None]))
                for layer, vectors, column in zip(self.dense, features, columns)
            ],
            axis=1,
        )
        scores = self.outer(self.inner(hidden))[..., 0]
        scores = scores - tf.stop_gradient(tf.reduce_max(tf.where(present, scores, scores.dtype.min), 1, keepdims=True))
        exponentials = tf.exp(tf.minimum(scores, 0.0)) * tf.cast(present, tf.float32)
        weights = tf.math.divide_no_nan(exponentials, tf.reduce_sum(exponentials, axis=1, keepdims=True))
        return tf.einsum("bm,bmh->bh", weights, hidden), weights
""",
    ),
    Alternative(
        id="one-sample-at-a-time",
        title="a loop over samples and the modalities that are there",
        code="""
class ModalityAttention(keras.layers.Layer):
    def __init__(self, hidden_size, score_size=16):
        super().__init__()
        self.hidden_size, self.score_size = hidden_size, score_size

    def build(self, input_shape):
        if not input_shape:
            raise ValueError("no modality")
        self.W, self.b = [], []
        for m, shape in enumerate(input_shape):
            self.W.append(self.add_weight(shape=(shape[-1], self.hidden_size), initializer="he_normal", name=f"W_{m}"))
            self.b.append(self.add_weight(shape=(self.hidden_size,), initializer="zeros", name=f"b_{m}"))
        self.U = self.add_weight(shape=(self.hidden_size, self.score_size), initializer="orthogonal", name="U")
        self.v = self.add_weight(shape=(self.score_size, 1), initializer="random_normal", name="v")

    def call(self, features, present=None):
        for vectors in features:
            if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(vectors.dtype)):
                raise TypeError("floating features expected")
        shapes = [tuple(vectors.shape) for vectors in features]
        if not shapes or shapes != [(shapes[0][0], W.shape[0]) for W in self.W]:
            raise ValueError("features do not fit")
        if present is not None:
            if present.dtype != tf.bool:
                raise TypeError("boolean mask expected")
            if tuple(present.shape) != (shapes[0][0], len(shapes)):
                raise ValueError("mask does not fit")
        all_fused, all_weights = [], []
        for i in range(shapes[0][0]):
            there = [m for m in range(len(shapes)) if present is None or bool(present[i, m])]
            row, fused = tf.zeros(len(shapes)), tf.zeros(self.hidden_size)
            if there:
                hidden = tf.concat([tf.tanh(features[m][i : i + 1] @ self.W[m] + self.b[m]) for m in there], axis=0)
                shares = tf.nn.softmax(tf.tanh(hidden @ self.U) @ self.v, axis=0)
                row = tf.scatter_nd([[m] for m in there], shares[:, 0], [len(shapes)])
                fused = tf.reduce_sum(shares * hidden, axis=0)
            all_fused.append(fused)
            all_weights.append(row)
        return tf.stack(all_fused), tf.stack(all_weights)
""",
    ),
    Alternative(
        id="keras-ops",
        title="keras.ops with running sums; samples without modalities see all of them and are multiplied by 0",
        code="""
class ModalityAttention(keras.Layer):
    def __init__(self, hidden_size, score_size=16):
        super().__init__()
        self.hidden_size, self.score_size = int(hidden_size), int(score_size)
        self.W, self.b = [], []

    def build(self, features_shape):
        for shape in features_shape or ():
            if len(shape) != 2:
                raise ValueError("2-D features expected")
            self.W.append(self.add_weight(shape=(shape[1], self.hidden_size), initializer="glorot_normal"))
            self.b.append(self.add_weight(shape=(self.hidden_size,), initializer="zeros"))
        self.U = self.add_weight(shape=(self.hidden_size, self.score_size), initializer="glorot_normal")
        self.v = self.add_weight(shape=(self.score_size,), initializer="random_uniform")

    def call(self, features, present=None):
        ops = keras.ops
        if not features or len(features) != len(self.W):
            raise ValueError("number of modalities")
        for vectors, W in zip(features, self.W):
            if len(vectors.shape) != 2 or vectors.shape[1] != W.shape[0] or vectors.shape[0] != features[0].shape[0]:
                raise ValueError("features do not fit")
            if "float" not in keras.backend.standardize_dtype(vectors.dtype):
                raise TypeError("floating features expected")
        if present is None:
            present = ops.ones((features[0].shape[0], len(features)), dtype="bool")
        if keras.backend.standardize_dtype(present.dtype) != "bool":
            raise TypeError("boolean mask expected")
        if tuple(present.shape) != (features[0].shape[0], len(features)):
            raise ValueError("mask does not fit")
        hidden, scores = [], []
        for m in range(len(features)):
            x = ops.where(present[:, m : m + 1], features[m], ops.zeros_like(features[m]))
            hidden.append(ops.tanh(ops.matmul(x, self.W[m]) + self.b[m]))
            scores.append(ops.sum(ops.tanh(ops.matmul(hidden[-1], self.U)) * self.v, axis=1))
        some = ops.any(present, axis=1, keepdims=True)
        seen = ops.logical_or(present, ops.logical_not(some))
        scores = ops.stack(scores, axis=1) + ops.where(seen, 0.0, -math.inf)
        weights = ops.softmax(scores, axis=1) * ops.cast(some, "float32")
        fused = ops.zeros_like(hidden[0])
        for m, vectors in enumerate(hidden):
            fused = fused + weights[:, m : m + 1] * vectors
        return fused, weights
""",
    ),
]

equivalent_mutants = {
    "0.0 -> 0.5 in `features = [tf.where(": "An absent modality has weight 0, so any finite number may stand for it.",
    "dropped `raise TypeError(f'features must be floating": (
        "tf.where on integer features and 0.0 raises TypeError too, only with a message that helps less."
    ),
}
