"""Wrong answers and alternatives of losses/fusion_loss.

The published loss does not run (the labels are undefined); `loss-on-fused-features` is what its text describes. Its
concatenation on axis 1 cannot be told apart from the last axis here, since text and image are matrices. The published
precision of the score, `divided-by-correct`, does run.
"""

from grader.catalogue import Alternative, WrongAnswer

MODEL = "test_model_fuses_both_modalities_into_logits"
VALUE = "test_loss_is_the_mean_cross_entropy_of_the_logits"
COUNTS = "test_score_counts_over_the_whole_set"
EDGES = "test_threshold_zero_division_mode_and_bad_input_of_the_score"
BAD_INPUT = "test_loss_refuses_bad_input"

CROSS_ENTROPY = "tf.nn.sparse_softmax_cross_entropy_with_logits(labels.astype(np.int64), logits)  # (batch,)"
RETURN = "    return fused, logits, tf.reduce_sum(share * cross_entropy)"

wrong_answers = [
    WrongAnswer(
        id="loss-on-fused-features",
        title="the loss compares the fused features with the labels",
        explanation=(
            "Your loss treats the fused features as if they were one score for each class. They have as many entries "
            "as the hidden layer has units, and the head gets no gradient at all. What does the head produce, and who "
            "uses it?"
        ),
        caught_by=VALUE,
        swap=((CROSS_ENTROPY, "tf.nn.sparse_softmax_cross_entropy_with_logits(labels.astype(np.int64), fused)"),),
    ),
    WrongAnswer(
        id="second-softmax",
        title="a softmax before a loss that contains one",
        explanation=(
            "The logits go through a softmax and then into a loss that takes them for logits and applies another one. "
            "All values shrink to between 0 and 1, so even a sure and right model keeps a large loss, and gradients "
            "fade. Count the softmaxes between the head and the loss."
        ),
        caught_by=VALUE,
        swap=(
            (
                CROSS_ENTROPY,
                "keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)(\n"
                "        labels, tf.nn.softmax(logits)\n"
                "    )",
            ),
        ),
    ),
    WrongAnswer(
        id="logits-as-probabilities",
        title="logits go into a loss that expects probabilities",
        explanation=(
            "Keras's cross-entropy expects probabilities unless it is told otherwise. It divides your logits by their "
            "sum and clips what is left, silently: the value is wrong, and clipped entries have no gradient. The loss "
            "has an argument that says what it is given."
        ),
        caught_by=VALUE,
        swap=((CROSS_ENTROPY, "keras.losses.SparseCategoricalCrossentropy(reduction=None)(labels, logits)"),),
    ),
    WrongAnswer(
        id="sum-not-mean",
        title="the losses of the samples are added up",
        explanation=(
            "Your loss grows with the batch, and with it the gradient: a larger batch would need a smaller learning "
            "rate. Asked for is the mean, whose size does not depend on how many samples there are."
        ),
        caught_by=VALUE,
        swap=(("tf.constant(weight / weight.sum(), ", "tf.constant(weight, "),),
    ),
    WrongAnswer(
        id="weights-divided-by-batch",
        title="the weighted sum is divided by the number of samples",
        explanation=(
            "Doubling all weights doubles your loss, although no sample counts more than before compared with the "
            "others. A weighted mean divides by something else than the number of samples."
        ),
        caught_by="test_weights_say_how_much_a_sample_counts",
        swap=(("tf.constant(weight / weight.sum(), ", "tf.constant(weight / len(weight), "),),
    ),
    WrongAnswer(
        id="weights-ignored",
        title="the sample weights are checked but not used",
        explanation=("The loss is the same with and without weights. A sample of weight 0 must not matter at all."),
        caught_by="test_weights_say_how_much_a_sample_counts",
        swap=(("tf.constant(weight / weight.sum(), ", "tf.constant(np.ones(len(weight)) / len(weight), "),),
    ),
    WrongAnswer(
        id="loss-object",
        title="a loss function is returned instead of its value",
        explanation=(
            "The third result is a Keras loss that nobody has called yet. An optimiser needs a number that depends on "
            "the weights. Call the loss with labels and logits."
        ),
        caught_by="test_results_of_the_loss",
        swap=((RETURN, "    return fused, logits, keras.losses.SparseCategoricalCrossentropy(from_logits=True)"),),
    ),
    WrongAnswer(
        id="one-loss-a-sample",
        title="one loss for each sample is returned",
        explanation=(
            "The third result has one entry for each sample. A tape would add them up without a word, so the gradient "
            "would be that of a sum. The weighted mean is missing."
        ),
        caught_by="test_results_of_the_loss",
        swap=((RETURN, "    return fused, logits, share * cross_entropy"),),
    ),
    WrongAnswer(
        id="loss-outside-tensorflow",
        title="the loss is computed in NumPy",
        explanation=(
            "The value is right, but a tape cannot follow NumPy: the gradient of every weight is None, and training "
            "would change nothing. From the logits to the loss, all steps have to be TensorFlow operations."
        ),
        caught_by="test_gradients_reach_the_whole_model",
        swap=((RETURN, "    return fused, logits, tf.constant(np.sum(share.numpy() * cross_entropy.numpy()))"),),
    ),
    WrongAnswer(
        id="float-labels-cast",
        title="labels that are not integers are rounded down",
        explanation=(
            "A label 1.7 becomes 1 without a word. Float labels are mostly probabilities or targets of a regression "
            "that ended up in the wrong place: refuse them."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "    if not np.issubdtype(labels.dtype, np.integer):\n"
                '        raise TypeError(f"labels must be integers, not {labels.dtype}")\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="label-range-unchecked",
        title="labels out of range reach TensorFlow",
        explanation=(
            "On a CPU TensorFlow stops with an error of its own; on a GPU it returns NaN for those samples and goes "
            "on. Compare the labels with the number of logits yourself."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "    if labels.min() < 0 or labels.max() >= logits.shape[1]:\n"
                '        raise ValueError(f"labels must be 0 ... {logits.shape[1] - 1}, got {labels.min()} ... '
                '{labels.max()}")\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="bad-weights-accepted",
        title="any weights are accepted",
        explanation=(
            "A negative weight rewards wrong predictions, NaN spoils everything, and weights that sum to 0 divide by "
            "0. Phrase the conditions so that NaN fails them."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "    if not (weight >= 0).all() or not 0 < weight.sum() < np.inf:  # written so that NaN is refused too\n"
                '        raise ValueError("weights must be finite and not negative, and one must be positive")\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="layers-made-in-call",
        title="the layers are made inside `call`",
        explanation=(
            "Every call makes new layers with new random weights, so two calls give different results and training "
            "improves weights that are thrown away. Make the layers once, where the model is made."
        ),
        caught_by=MODEL,
        swap=(
            (
                "        fused = self.fusion(joined)  #",
                "        fused = keras.layers.Dense(self.fusion.units, activation='relu')(joined)  #",
            ),
            ('"logits": self.head(fused)}', '"logits": keras.layers.Dense(self.head.units)(fused)}'),
        ),
    ),
    WrongAnswer(
        id="text-only",
        title="the image is not used",
        explanation=(
            "The fused features do not change with the image. Nothing is fused: the layer sees one modality only. Look "
            "at what goes into it, and how wide its kernel is."
        ),
        caught_by=MODEL,
        swap=(("tf.concat([text, image], axis=-1)", "tf.concat([text], axis=-1)"),),
    ),
    WrongAnswer(
        id="no-non-linearity",
        title="the fusion layer has no non-linearity",
        explanation=(
            "Without a non-linearity two layers are one linear layer, and a linear layer on joined features is a sum "
            "of a text part and an image part: the modalities cannot interact. What comes after the fusion layer?"
        ),
        caught_by=MODEL,
        swap=(('(hidden_size, activation="relu")', "(hidden_size)"),),
    ),
    WrongAnswer(
        id="softmax-in-the-head",
        title="the head returns probabilities",
        explanation=(
            "The entry `logits` holds probabilities, and the loss applies a softmax once more. Logits are what comes "
            "out of the last linear layer, before any softmax."
        ),
        caught_by=MODEL,
        swap=(("keras.layers.Dense(num_classes)", 'keras.layers.Dense(num_classes, activation="softmax")'),),
    ),
    WrongAnswer(
        id="divided-by-correct",
        title="precision divides by the correct predictions",
        explanation=(
            "Your precision is TP / (TP + TN): the share of the positives among the *correct* predictions. A perfect "
            "model gets the share of positive samples, and wrong positives cost nothing. Precision asks about the "
            "samples that were predicted positive: how many of them are right?"
        ),
        caught_by=COUNTS,
        swap=(('"precision": tp / (tp + fp) if tp else 0.0', '"precision": tp / (tp + tn) if tp else 0.0'),),
    ),
    WrongAnswer(
        id="ratios-of-rows",
        title="ratios are taken in each row and averaged",
        explanation=(
            "A row with one label has a ratio of 0 or 1 at most, and rows without a positive have none. The average of "
            "such ratios is not the ratio of the counts: even a perfect model misses 1. Count first, divide once."
        ),
        caught_by=COUNTS,
        swap=(
            (
                '"precision": tp / (tp + fp) if tp else 0.0',
                '"precision": float(np.mean((predicted & actual) / np.maximum(predicted, 1)))',
            ),
            (
                '"recall": tp / (tp + fn) if tp else 0.0',
                '"recall": float(np.mean((predicted & actual) / np.maximum(actual, 1)))',
            ),
        ),
    ),
    WrongAnswer(
        id="broadcast-labels",
        title="labels (batch, 1) are compared with predictions (batch,)",
        explanation=(
            "NumPy compares every label with every prediction, so your counts add up to batch * batch. Bring labels "
            "and predictions to one shape before you compare."
        ),
        caught_by=COUNTS,
        swap=(("actual = labels.reshape(size) == 1", "actual = labels == 1"),),
    ),
    WrongAnswer(
        id="precision-and-recall-swapped",
        title="precision and recall are swapped",
        explanation=(
            "Accuracy and F1 cannot show it, since they treat both errors alike. Precision is about the samples the "
            "model called positive, recall about those that are positive."
        ),
        caught_by=COUNTS,
        swap=(
            ('"precision": tp / (tp + fp)', '"precision": tp / (tp + fn)'),
            ('"recall": tp / (tp + fn)', '"recall": tp / (tp + fp)'),
        ),
    ),
    WrongAnswer(
        id="arithmetic-mean",
        title="F1 as the plain mean of precision and recall",
        explanation=(
            "The plain mean lets a model that calls everything positive score above one half. F1 is the harmonic mean, "
            "which stays close to the smaller of the two."
        ),
        caught_by=COUNTS,
        swap=(
            (
                '"f1": 2 * tp / (2 * tp + fp + fn) if tp else 0.0',
                '"f1": (tp / (tp + fp) + tp / (tp + fn)) / 2 if tp else 0.0',
            ),
        ),
    ),
    WrongAnswer(
        id="above-the-threshold",
        title="only probabilities above the threshold are positive",
        explanation=(
            "A probability equal to the threshold counts as positive here. With rounding or a strict comparison, a "
            "model that gives exactly 0.5 is read as negative. Which comparison says *at least*?"
        ),
        caught_by=EDGES,
        swap=((">= threshold", "> threshold"),),
    ),
    WrongAnswer(
        id="nan-for-no-positives",
        title="NaN where nothing was predicted positive",
        explanation=(
            "Without a positive prediction or a positive label a ratio is 0/0. NaN from one evaluation turns every "
            "average it enters into NaN. The lesson sets a value for this case."
        ),
        caught_by=EDGES,
        swap=(
            ("tp / (tp + fp) if tp else 0.0", 'tp / (tp + fp) if tp + fp else float("nan")'),
            ("tp / (tp + fn) if tp else 0.0", 'tp / (tp + fn) if tp + fn else float("nan")'),
        ),
    ),
    WrongAnswer(
        id="training-mode",
        title="the model is scored in training mode",
        explanation=(
            "With `training=True` dropout drops units at random and batch normalisation uses the batch's own "
            "statistics, so the score is neither repeatable nor that of the model in use."
        ),
        caught_by=EDGES,
        swap=(("training=False)", "training=True)"),),
    ),
]

equivalent_mutants = {
    "minus dropped in `joined = tf.concat(": "text and image are matrices, so axis 1 is the last one",
}

alternatives = [
    Alternative(
        id="keras-losses",
        title="keras.ops in the model, Keras's own weighted loss, and scores from a confusion matrix",
        code="""
class FusionClassifier(keras.Model):
    def __init__(self, hidden_size, num_classes):
        super().__init__(name="fusion_classifier")
        self.join = keras.layers.Concatenate()
        self.fusion = keras.layers.Dense(hidden_size)
        self.head = keras.layers.Dense(num_classes, activation=None)

    def call(self, inputs, training=None):
        fused = keras.ops.relu(self.fusion(self.join(inputs)))
        return dict(fused=fused, logits=self.head(fused))


def fusion_loss(model, text, image, labels, sample_weight=None):
    if labels.dtype.kind not in "iu":
        raise ValueError("integer labels only")
    if text.ndim != 2 or image.ndim != 2 or labels.ndim != 1 or not text.shape[0] == image.shape[0] == labels.size:
        raise ValueError("shapes")
    if sample_weight is None:
        sample_weight = np.ones(labels.shape)
    total = float(np.sum(sample_weight))
    if np.shape(sample_weight) != labels.shape or np.min(sample_weight, initial=0) < 0 or not np.isfinite(total):
        raise ValueError("weights")
    if total == 0:
        raise ValueError("weights sum to 0")
    out = model([text, image])
    if not set(labels.tolist()) <= set(range(out["logits"].shape[-1])):
        raise ValueError("labels")
    compute = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    loss = compute(labels, out["logits"], sample_weight=sample_weight)
    return out["fused"], out["logits"], loss / total


def fuse_and_score(model, text, image, labels, threshold=0.5):
    if text.ndim != 2 or image.ndim != 2 or len({len(text), len(image), len(labels)}) > 1 or not len(text):
        raise ValueError("shapes")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or set(labels.tolist()) - {0, 1}:
        raise ValueError("labels")
    logits = model.predict([text, image], verbose=0)["logits"].astype(float)
    if logits.shape[1:] != (2,) or not np.all(np.isfinite(logits)):
        raise ValueError("logits")
    probability = np.exp(-np.logaddexp(0, logits[:, 0] - logits[:, 1]))
    table = np.zeros((2, 2))
    np.add.at(table, (labels.astype(int), (probability >= threshold).astype(int)), 1)
    (tn, fp), (fn, tp) = table
    precision = np.divide(tp, tp + fp, out=np.zeros(()), where=tp + fp > 0)
    recall = np.divide(tp, tp + fn, out=np.zeros(()), where=tp + fn > 0)
    f1 = 2 * precision * recall / (precision + recall or 1)
    return {"accuracy": (tp + tn) / table.sum(), "precision": precision, "recall": recall, "f1": f1,
            "tp": tp, "fp": fp, "fn": fn, "tn": tn}
""",
    ),
    Alternative(
        id="log-softmax-and-one-hot",
        title="log-softmax with one-hot labels, and a loop over the samples for the score",
        code="""
import math


def fusion_loss(model, text, image, labels, sample_weight=None):
    require_same_batch(text, image, labels)
    if np.issubdtype(labels.dtype, np.floating) or labels.dtype == bool:
        raise TypeError("integer labels only")
    batch = len(text)
    weight = np.full(batch, 1.0) if sample_weight is None else np.array(sample_weight, dtype=np.float32)
    if labels.shape != (batch,) or weight.shape != (batch,) or batch == 0:
        raise ValueError("shapes")
    if np.isnan(weight).any() or np.isinf(weight).any() or (weight < 0).any() or not weight.any():
        raise ValueError("weights")
    result = model([text, image])
    classes = result["logits"].shape[1]
    if any(not 0 <= label < classes for label in labels):
        raise ValueError("labels")
    chosen = tf.one_hot(labels.astype(int), classes, dtype=tf.float32)  # (batch, classes)
    losses = -tf.reduce_sum(chosen * tf.nn.log_softmax(result["logits"]), axis=1)  # (batch,)
    weight = tf.cast(weight, tf.float32)
    return result["fused"], result["logits"], tf.tensordot(weight, losses, 1) / tf.reduce_sum(weight)


def fuse_and_score(model, text, image, labels, threshold=0.5):
    require_same_batch(text, image, labels)
    if len(labels) == 0 or labels.size != len(labels) or labels.ndim > 2:
        raise ValueError("shapes")
    logits = np.asarray(model([text, image], training=False)["logits"]).tolist()
    counts = {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    for row, label in zip(logits, labels.ravel().tolist()):
        if len(row) != 2 or not all(map(math.isfinite, row)) or label not in (0, 1):
            raise ValueError((row, label))
        largest = max(row)
        negative, positive = (math.exp(logit - largest) for logit in row)
        predicted = positive / (negative + positive) >= threshold
        counts[{(True, 1): "tp", (True, 0): "fp", (False, 1): "fn", (False, 0): "tn"}[predicted, label]] += 1

    def share(part, *whole):
        try:
            return counts[part] / sum(counts[name] for name in whole)
        except ZeroDivisionError:
            return 0.0

    precision, recall = share("tp", "tp", "fp"), share("tp", "tp", "fn")
    f1 = 2 / (1 / precision + 1 / recall) if precision and recall else 0.0
    accuracy = (counts["tp"] + counts["tn"]) / len(labels)
    return counts | {"accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1}
""",
    ),
    Alternative(
        id="gathered-log-sum-exp",
        title="layers made in `build`, log-sum-exp minus the gathered logit, average by a weighted keras.ops mean",
        code="""
class FusionClassifier(keras.Model):
    def __init__(self, hidden_size, num_classes):
        super().__init__()
        self.sizes = (hidden_size, num_classes)

    def build(self, input_shape):
        self.fusion = keras.layers.Dense(self.sizes[0], activation=tf.nn.relu)
        self.head = keras.layers.Dense(self.sizes[1])
        self.fusion.build((None, input_shape[0][-1] + input_shape[1][-1]))
        self.head.build((None, self.sizes[0]))
        self.built = True

    def call(self, inputs):
        fused = self.fusion(keras.ops.concatenate(list(inputs), axis=1))
        return {"logits": self.head(fused), "fused": fused}


def fusion_loss(model, text, image, labels, sample_weight=None):
    require_same_batch(text, image, labels)
    if not (labels.dtype.kind == "i" or labels.dtype.kind == "u"):
        raise TypeError(labels.dtype)
    weight = [1.0] * len(text) if sample_weight is None else sample_weight.tolist()
    if labels.shape != (len(text),) or len(weight) != len(text) or any(isinstance(w, list) for w in weight):
        raise ValueError("shapes")
    if not weight or not all(0 <= w < float("inf") for w in weight) or max(weight) == 0:
        raise ValueError("weights")
    fused, logits = (model([text, image])[name] for name in ("fused", "logits"))
    if np.any(labels.astype(int) != labels.astype(int).clip(0, logits.shape[-1] - 1)):
        raise ValueError("labels")
    right = tf.gather(logits, labels.astype(np.int32), axis=1, batch_dims=1)  # (batch,)
    losses = tf.reduce_logsumexp(logits, axis=1) - right
    return fused, logits, keras.ops.average(losses, weights=tf.constant(weight, tf.float32))
""",
    ),
]
