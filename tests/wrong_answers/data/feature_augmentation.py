"""Catalogue of data/feature_augmentation.

The published `Lambda` adds noise of a fixed size in every mode: `published-always-on` and `absolute-size`; on token ids
it stops with an error of TensorFlow. Dividing by n - 1 instead of n in the standard deviation is in no entry: for more
than a few numbers nobody can tell the two from the noise.
"""

from grader.catalogue import Alternative, WrongAnswer

CONVERT = "text, image = (tf.convert_to_tensor(features) for features in inputs)"
SPREAD = "spread = tf.math.reduce_std(tf.cast(features, tf.float64))"
NOISE = 'noise = keras.random.normal(tf.shape(features), dtype="float64", seed=self.generator)'
GENERATOR = "self.generator = keras.random.SeedGenerator(seed)"
FLOATING = "if not (text.dtype.is_floating and image.dtype.is_floating):"
ADD = "noisy.append(features + tf.cast(self.relative_std * spread * noise, features.dtype))"
RESULT = "    return mixed_text, mixed_image, mixed_labels\n    ###"
MIX = "lam * values + (1 - lam) * tf.gather(values, perm) for"
PERMUTATION = "if not np.array_equal(np.sort(perm), np.arange(batch)):"

wrong_answers = [
    WrongAnswer(
        id="published-always-on",
        title="noise outside of training as well",
        explanation=(
            "Every call adds noise, also when the finished model is used, so the same features give another result "
            "each time. A layer learns from an argument of its call whether somebody is training."
        ),
        caught_by="test_features_pass_unchanged_outside_training",
        swap=(("        if not training:\n            return [text, image]\n", ""),),
    ),
    WrongAnswer(
        id="absolute-size",
        title="the noise has the same size whatever the features are",
        explanation=(
            "Your noise does not follow the scale of the features: for features around 0.01 it drowns them, for "
            "features around 1000 it does nothing. What is `relative_std` relative to?"
        ),
        caught_by="test_size_of_the_noise",
        swap=((ADD, ADD.replace("self.relative_std * spread", "self.relative_std")),),
    ),
    WrongAnswer(
        id="a-permutation-for-each-modality",
        title="the images get other partners than the texts",
        explanation=(
            "A mixed text stands beside an image that was mixed with another sample: the pairs are no pairs any more. "
            "One permutation serves all three."
        ),
        caught_by="test_mixed_pairs",
        swap=(
            (
                RESULT,
                "    mixed_image = lam * tensors[1] + (1 - lam) * tf.gather(tensors[1], np.roll(perm, 1))\n" + RESULT,
            ),
        ),
    ),
    WrongAnswer(
        id="labels-not-mixed",
        title="the labels stay as they were",
        explanation=(
            "Text and image are mixed with a partner, and the label still says that nothing happened. What share of "
            "the partner is in the sample now, and what should the label say about it?"
        ),
        caught_by="test_mixed_pairs",
        swap=((RESULT, "    mixed_labels = tensors[2]\n" + RESULT),),
    ),
    WrongAnswer(
        id="integers-accepted",
        title="integers are accepted",
        explanation=(
            "Token ids go through without an error. A number between two ids is no word: noise and mixing belong on "
            "embeddings. Look at the dtype before anything else."
        ),
        caught_by="test_impossible_input_is_refused",
        swap=(
            (FLOATING, "if text.dtype == tf.bool or image.dtype == tf.bool:"),
            (
                "if not all(values.dtype.is_floating for values in tensors):",
                "tensors = [v if v.dtype.is_floating else tf.cast(v, tf.float32) for v in tensors]\n"
                "    if not all(values.dtype.is_floating for values in tensors):",
            ),
        ),
    ),
    WrongAnswer(
        id="float32-in-every-case",
        title="Keras turns all features into float32",
        explanation=(
            "Your layer returns float32 for float64 and float16 features. A Keras layer casts floats to its own dtype "
            "before `call` sees them, unless its constructor is told not to."
        ),
        caught_by="test_features_pass_unchanged_outside_training",
        swap=(("super().__init__(autocast=False, **kwargs)", "super().__init__(**kwargs)"),),
    ),
    WrongAnswer(
        id="dtype-of-the-text-for-both",
        title="both modalities get the dtype of the text",
        explanation="The image comes back in the dtype of the text. Each of the two has a dtype of its own, and keeps it.",
        caught_by="test_features_pass_unchanged_outside_training",
        swap=(
            (
                CONVERT,
                CONVERT + "\n        if image.dtype.is_floating:\n            image = tf.cast(image, text.dtype)",
            ),
        ),
    ),
    WrongAnswer(
        id="mixed-in-float32",
        title="float64 values are mixed in float32",
        explanation=(
            "The result has the right dtype but only the digits of float32: somewhere on the way it was rounded. "
            "Casting back does not bring digits back."
        ),
        caught_by="test_mixed_pairs",
        swap=(
            (
                MIX,
                "tf.cast(lam * tf.cast(values, tf.float32) + (1 - lam) * tf.gather(tf.cast(values, tf.float32), perm), "
                "values.dtype) for",
            ),
        ),
    ),
    WrongAnswer(
        id="weight-rounded-to-float32",
        title="the weight is rounded to float32",
        explanation=(
            "In float64 your results agree with the expected ones in seven digits only. `tf.cast(0.3, tf.float64)` makes "
            "a float32 tensor of 0.3 first and widens it afterwards. How else can a Python float meet a tensor?"
        ),
        caught_by="test_mixed_pairs",
        swap=(
            (
                MIX,
                MIX.replace("lam *", "tf.cast(lam, values.dtype) *").replace(
                    "(1 - lam)", "tf.cast(1 - lam, values.dtype)"
                ),
            ),
        ),
    ),
    WrongAnswer(
        id="spread-of-each-feature",
        title="each feature has noise of its own size",
        explanation=(
            "Your noise follows the spread of every single column. That is done too, but here one standard deviation is "
            "taken over all numbers of a modality. Over which axes does yours run?"
        ),
        caught_by="test_size_of_the_noise",
        swap=((SPREAD, SPREAD.replace("tf.float64)", "tf.float64), axis=0")),),
    ),
    WrongAnswer(
        id="one-spread-for-both",
        title="the spread of the text sizes the noise of the image",
        explanation=(
            "Text features may be a thousand times larger than image features. Each modality is measured by itself."
        ),
        caught_by="test_size_of_the_noise",
        swap=((SPREAD, SPREAD.replace("features", "text")),),
    ),
    WrongAnswer(
        id="variance-for-spread",
        title="the variance instead of the standard deviation",
        explanation=(
            "Features that are 10 times larger get noise that is 100 times larger. Which of the two measures of spread "
            "has the unit of the features?"
        ),
        caught_by="test_size_of_the_noise",
        swap=((SPREAD, SPREAD.replace("reduce_std", "reduce_variance")),),
    ),
    WrongAnswer(
        id="root-mean-square",
        title="the distance from 0 instead of the spread",
        explanation=(
            "Your measure counts the mean of the features as well: features around 90 ± 40 get noise as if they spread "
            "by 98. A standard deviation is measured from the mean."
        ),
        caught_by="test_size_of_the_noise",
        swap=((SPREAD, "spread = tf.sqrt(tf.reduce_mean(tf.cast(features, tf.float64) ** 2))"),),
    ),
    WrongAnswer(
        id="overflow-in-float16",
        title="the spread overflows in float16",
        explanation=(
            "Float16 ends at 65504, so squares overflow from 256 on, and a standard deviation is made of squares. In "
            "which dtype do you compute it?"
        ),
        caught_by="test_size_of_the_noise",
        swap=((SPREAD, "spread = tf.cast(tf.math.reduce_std(features), tf.float64)"),),
    ),
    WrongAnswer(
        id="uniform-noise",
        title="the noise is not normally distributed",
        explanation="The size of your noise is right, its distribution is not: asked for is a normal one.",
        caught_by="test_size_of_the_noise",
        swap=(
            (
                NOISE,
                'noise = keras.random.uniform(tf.shape(features), -(3**0.5), 3**0.5, dtype="float64", seed=self.generator)',
            ),
        ),
    ),
    WrongAnswer(
        id="one-draw-for-each-sample",
        title="one random number for all features of a sample",
        explanation=(
            "All features of a sample are moved by the same amount, because the noise has only one number for each row. "
            "Which shape should it have?"
        ),
        caught_by="test_size_of_the_noise",
        swap=((NOISE, NOISE.replace("tf.shape(features)", "(features.shape[0],) + (1,) * (len(features.shape) - 1)")),),
    ),
    WrongAnswer(
        id="one-draw-for-all-samples",
        title="one row of noise for the whole batch",
        explanation=(
            "Every sample is moved in the same direction, so the differences between them, which a model learns from, "
            "have no noise at all. Which shape should the noise have?"
        ),
        caught_by="test_size_of_the_noise",
        swap=((NOISE, NOISE.replace("tf.shape(features)", "(1,) + tuple(features.shape[1:])")),),
    ),
    WrongAnswer(
        id="same-noise-for-both",
        title="text and image get the same noise",
        explanation=(
            "Where both have the same shape, the same random numbers are added to both. Two generators with the same "
            "seed make the same numbers."
        ),
        caught_by="test_noise_is_new_in_every_call_and_decided_by_the_seed",
        swap=(
            (GENERATOR, "self.generators = [keras.random.SeedGenerator(seed), keras.random.SeedGenerator(seed)]"),
            ("for features in (text, image):", "for features, generator in zip((text, image), self.generators):"),
            (NOISE, NOISE.replace("self.generator", "generator")),
        ),
    ),
    WrongAnswer(
        id="same-noise-in-every-call",
        title="every call adds the same noise",
        explanation=(
            "Each call starts from the seed again, so a sample gets the same noise in every epoch: that is another data "
            "set, not augmentation. Something has to remember how far the sequence has come."
        ),
        caught_by="test_noise_is_new_in_every_call_and_decided_by_the_seed",
        swap=(
            (GENERATOR, "self.seeds = (seed, seed + 1000)"),
            ("for features in (text, image):", "for features, own_seed in zip((text, image), self.seeds):"),
            (NOISE, NOISE.replace("self.generator", "own_seed")),
        ),
    ),
    WrongAnswer(
        id="noise-made-by-numpy",
        title="NumPy makes the noise",
        explanation=(
            "Called directly your layer works. Inside a `tf.function`, and so inside `fit`, NumPy runs once, while the "
            "function is traced, and its numbers are part of the graph from then on: the same in every step."
        ),
        caught_by="test_noise_is_new_in_every_call_and_decided_by_the_seed",
        swap=(
            (GENERATOR, "self.generator = np.random.default_rng(seed)"),
            (NOISE, "noise = self.generator.normal(size=tuple(features.shape))"),
        ),
    ),
    WrongAnswer(
        id="seed-ignored",
        title="the seed has no effect",
        explanation=(
            "Two layers with the same seed make different noise, so no experiment can be repeated. Where does `seed` go?"
        ),
        caught_by="test_noise_is_new_in_every_call_and_decided_by_the_seed",
        swap=((GENERATOR, "self.generator = keras.random.SeedGenerator()"),),
    ),
    WrongAnswer(
        id="global-seed",
        title="the seed is set globally",
        explanation=(
            "Your layer sets the seed of the whole program, and draws from a sequence that everybody shares: whatever "
            "else is random moves it on. A generator of its own keeps the layer's sequence to itself."
        ),
        caught_by="test_noise_is_new_in_every_call_and_decided_by_the_seed",
        swap=(
            (GENERATOR, "keras.utils.set_random_seed(seed)"),
            (NOISE, NOISE.replace(", seed=self.generator", "")),
        ),
    ),
    WrongAnswer(
        id="weights-swapped",
        title="the partner gets the weight of the sample",
        explanation=(
            "With `lam` near 1 your samples are nearly their partners. `lam` is the share of the sample itself; look at "
            "the worked example."
        ),
        caught_by="test_mixed_pairs",
        swap=(("    batch = len(perm)\n", "    batch, lam = len(perm), 1 - lam\n"),),
    ),
    WrongAnswer(
        id="inverse-permutation",
        title="the permutation is used backwards",
        explanation=(
            "Row i is mixed with the row whose partner it is, instead of with its own partner `perm[i]`. For a swap of "
            "two rows that makes no difference, for a longer cycle it does."
        ),
        caught_by="test_mixed_pairs",
        swap=((MIX, MIX.replace("(values, perm)", "(values, np.argsort(perm))")),),
    ),
    WrongAnswer(
        id="labels-of-the-larger-share",
        title="a mixed sample keeps one of the two labels",
        explanation=(
            "The label of whichever sample has the larger share is taken as it is. The loss can use both: the mixed "
            "label says how much of each class is in the sample."
        ),
        caught_by="test_mixed_pairs",
        swap=((RESULT, "    mixed_labels = tensors[2] if lam >= 0.5 else tf.gather(tensors[2], perm)\n" + RESULT),),
    ),
    WrongAnswer(
        id="one-not-allowed",
        title="a weight of exactly 1 is refused",
        explanation="`lam=1.0` means 'do not mix', and is as possible as any other number from 0 to 1, both included.",
        caught_by="test_edges_of_mixing",
        swap=(("if not 0 <= lam <= 1:", "if not 0 <= lam < 1:"),),
    ),
    WrongAnswer(
        id="permutation-sorted-in-place",
        title="the permutation is sorted in place",
        explanation=(
            "`perm.sort()` changes the array that you were given: afterwards every sample is its own partner, here and "
            "in the caller's code. `np.sort` makes a new array."
        ),
        caught_by="test_edges_of_mixing",
        swap=((PERMUTATION, "perm.sort()\n    if not np.array_equal(perm, np.arange(batch)):"),),
    ),
    WrongAnswer(
        id="any-relative-std",
        title="a negative or infinite size of the noise is accepted",
        explanation=(
            "A negative standard deviation is a sign that something was mixed up, NaN and infinity destroy the "
            "features. Phrase the condition so that it has to be true for good values."
        ),
        caught_by="test_impossible_input_is_refused",
        swap=(("if not 0 <= relative_std < math.inf:", "if relative_std is None:"),),
    ),
    WrongAnswer(
        id="any-weight",
        title="a weight outside of 0 to 1 is accepted",
        explanation=(
            "With `lam=1.1` a sample is not mixed with its partner but pushed away from it, and labels become negative. "
            "A comparison with NaN is always false."
        ),
        caught_by="test_impossible_input_is_refused",
        swap=(("if not 0 <= lam <= 1:", "if lam < -1:"),),
    ),
    WrongAnswer(
        id="any-permutation",
        title="partners that are no permutation are accepted",
        explanation=(
            "A partner may come twice in your version, or not exist. What does a list hold that has each of the "
            "numbers 0 to n - 1 once, whatever their order?"
        ),
        caught_by="test_impossible_input_is_refused",
        swap=((PERMUTATION, "if np.max(perm) >= batch or np.min(perm) < 0:"),),
    ),
    WrongAnswer(
        id="batch-sizes-not-compared",
        title="different numbers of texts and images are accepted",
        explanation=(
            "5 texts and 4 images are no pairs. TensorFlow does not notice, since the two never meet in one operation: "
            "compare their first axes."
        ),
        caught_by="test_impossible_input_is_refused",
        swap=(
            ("if text.shape[0] != image.shape[0]:", "if text.shape[0] == 0:"),
            ("if any(values.shape[0] != batch for values in tensors):", "if text.shape[0] != batch:"),
        ),
    ),
]

equivalent_mutants = {
    "Add -> Sub in `noisy.append(": "normal noise with mean 0 is symmetric: subtracting it is as good as adding it",
    "dropped `raise TypeError(f'expected floating-point": (
        "TensorFlow refuses a Python float times an integer tensor with a TypeError as well; the reference says so first"
    ),
}

alternatives = [
    Alternative(
        id="tf-generator-and-mixing-matrix",
        title="a tf.random.Generator, and one matrix that mixes the rows",
        code="""
class PairedNoise(keras.layers.Layer):
    def __init__(self, relative_std, seed, name=None):
        super().__init__(name=name, autocast=False)
        if not np.isfinite(relative_std) or relative_std < 0:
            raise ValueError("relative_std")
        self.factor = float(relative_std)
        self.random = tf.random.Generator.from_seed(seed)

    def add(self, values):
        wide = tf.cast(values, tf.float32 if values.dtype == tf.float16 else values.dtype)
        centred = wide - tf.reduce_mean(wide)
        spread = tf.sqrt(tf.reduce_mean(tf.square(centred)))
        noise = self.random.normal(values.shape, stddev=1.0, dtype=wide.dtype)
        return tf.cast(wide + self.factor * spread * noise, values.dtype)

    def call(self, inputs, training=False):
        inputs = [tf.convert_to_tensor(values) for values in inputs]
        for values in inputs:
            if values.dtype not in (tf.float16, tf.float32, tf.float64, tf.bfloat16):
                raise TypeError(values.dtype)
        if len({values.shape[0] for values in inputs}) > 1:
            raise ValueError("batch sizes")
        return [self.add(values) for values in inputs] if training else inputs


def mixup_pairs(text, image, labels_onehot, lam, perm):
    results = []
    if not (lam >= 0.0 and lam <= 1.0):
        raise ValueError("lam")
    for values in (text, image, labels_onehot):
        values = tf.convert_to_tensor(values)
        if not values.dtype.is_floating:
            raise TypeError("integers")
        if len(values) != len(perm):
            raise ValueError("batch")
    if sorted(perm.tolist()) != list(range(len(perm))):
        raise ValueError("perm")
    matrix = lam * np.eye(len(perm)) + (1 - lam) * np.eye(len(perm))[perm]
    for values in (text, image, labels_onehot):
        mixed = tf.tensordot(tf.constant(matrix), tf.cast(values, tf.float64), axes=1)
        results.append(tf.cast(mixed, values.dtype))
    return results
""",
    ),
    Alternative(
        id="two-generators-and-numpy",
        title="a generator for each modality, keras.ops, and mixing in NumPy",
        code="""
class PairedNoise(keras.layers.Layer):
    def __init__(self, relative_std, seed, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if math.isnan(relative_std) or math.isinf(relative_std) or relative_std < 0:
            raise ValueError(relative_std)
        self.relative_std = relative_std
        self.text_generator = keras.random.SeedGenerator(2 * seed)
        self.image_generator = keras.random.SeedGenerator(2 * seed + 1)

    def call(self, inputs, training=None):
        text, image = inputs
        kinds = [keras.backend.standardize_dtype(values.dtype) for values in (text, image)]
        if not all(kind.startswith(("float", "bfloat")) for kind in kinds):
            raise TypeError(kinds)
        if keras.ops.shape(text)[0] != keras.ops.shape(image)[0]:
            raise ValueError("pairs")
        if training is not True:
            return [tf.identity(text), tf.identity(image)]
        results = []
        for values, kind, generator in zip((text, image), kinds, (self.text_generator, self.image_generator)):
            size = keras.ops.std(keras.ops.cast(values, "float64")) * self.relative_std
            noise = keras.random.normal(keras.ops.shape(values), stddev=1.0, seed=generator)
            noise = keras.ops.cast(noise, "float64") * size
            results.append(keras.ops.cast(keras.ops.cast(values, "float64") + noise, kind))
        return results


def mixup_pairs(text, image, labels_onehot, lam, perm):
    arrays = [np.asarray(values) for values in (text, image, labels_onehot)]
    if {array.dtype.kind for array in arrays} != {"f"}:
        raise TypeError([array.dtype for array in arrays])
    if {len(array) for array in arrays} != {len(perm)} or set(perm.tolist()) != set(range(len(perm))):
        raise ValueError("batch sizes or perm")
    if lam != min(max(lam, 0.0), 1.0):
        raise ValueError(lam)
    return tuple((lam * array + (1 - lam) * array[perm]).astype(array.dtype) for array in arrays)
""",
    ),
    Alternative(
        id="counter-and-loop",
        title="stateless noise from a counter, and a loop over the samples",
        code="""
class PairedNoise(keras.layers.Layer):
    def __init__(self, relative_std, seed):
        if not (0 <= relative_std and relative_std < float("inf")):
            raise ValueError("relative_std")
        super().__init__(autocast=False)
        self.relative_std, self.seed = relative_std, seed
        self.calls = tf.Variable(0, dtype=tf.int32, trainable=False)

    def call(self, inputs, training=None):
        inputs = list(map(tf.convert_to_tensor, inputs))
        if any(values.dtype.is_integer for values in inputs):
            raise TypeError("integers")
        if inputs[0].shape[0] != inputs[1].shape[0]:
            raise ValueError("batch")
        if training:
            self.calls.assign_add(1)
            for place in range(2):
                values = inputs[place]
                seed = tf.stack([self.seed * 2 + place, self.calls])
                spread = tf.cast(tf.math.reduce_std(tf.cast(values, tf.float64)), tf.float64)
                noise = tf.random.stateless_normal(tf.shape(values), seed, dtype=tf.float64)
                inputs[place] = values + tf.cast(noise * spread * self.relative_std, values.dtype)
        return inputs


def mixup_pairs(text, image, labels_onehot, lam, perm):
    count = len(perm)
    for values in (text, image, labels_onehot):
        if not tf.as_dtype(values.dtype).is_floating:
            raise TypeError(values.dtype)
        if values.shape[0] != count:
            raise ValueError(values.shape)
    if np.bincount(np.clip(perm, 0, count), minlength=count).tolist() != [1] * count:
        raise ValueError(perm)
    if not 0.0 <= float(lam) <= 1.0:
        raise ValueError(lam)

    def mixed(values):
        own = tf.constant(lam, values.dtype)
        return tf.stack([own * values[i] + (1 - own) * values[int(partner)] for i, partner in enumerate(perm)])

    return mixed(text), mixed(image), mixed(labels_onehot)
""",
    ),
]
