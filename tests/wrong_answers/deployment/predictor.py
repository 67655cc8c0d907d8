"""Wrong and differently written answers to deployment/predictor.

Every "reject" line of D-T20 has an entry; "batch-size-dependent result" is "last-batch-dropped" and
"statistics-of-each-batch". The published function does not run (its preprocessing is missing); with one, it takes
`argmax` of a sigmoid head, the first entry.
"""

from grader.catalogue import Alternative, WrongAnswer

NORMALISE = "((features - mean) / std).astype(np.float32)"
MODEL_CALL = "            outputs[rows] = self.model([text[rows], image[rows]], training=False)"
SIGMOID = "            probabilities = outputs[:, 0]  # (rows,)\n"
DECISION = "classes = (probabilities >= self.threshold).astype(int)"
RETURN = 'return {"labels": [self.class_names[index] for index in classes], "probabilities": probabilities}'
LOGITS = '            if self.head == "logits" and len(outputs):\n'
WEIGHTS = "weights = np.exp(outputs - outputs.max(axis=1, keepdims=True))"
SOFTMAX = "probabilities = weights / weights.sum(axis=1, keepdims=True)"
LOAD = 'return cls(keras.models.load_model(folder / "model.keras"), **settings)'
COPIES = "tuple(np.array(values, dtype=np.float64) for values in stats) for stats in (text_stats, image_stats)"
TYPE_CHECK = """            if not np.issubdtype(features.dtype, np.floating):
                raise TypeError(f"features must be floating, not {features.dtype}")
"""
MODEL_SAVE = 'self.model.save(folder / "model.keras")'

wrong_answers = [
    WrongAnswer(
        id="argmax-for-sigmoid",
        title="argmax over the single output of a sigmoid head",
        explanation=(
            "With one output, `argmax` is 0 for every row, so everybody gets the name of class 0, whatever the model "
            "says. That is what a published prediction function does. What does the one number mean?"
        ),
        caught_by="test_a_sigmoid_head_is_compared_with_the_threshold",
        swap=((DECISION, "classes = outputs.argmax(axis=1)"),),
    ),
    WrongAnswer(
        id="statistics-of-the-request",
        title="mean and std taken from the request",
        explanation=(
            "You normalise with the statistics of the rows that were sent. A row's result then depends on its company, "
            "and a request of one row becomes zero, whatever it says. The model was trained with other numbers."
        ),
        caught_by="test_features_are_normalised_with_the_statistics_of_training",
        swap=(
            (
                NORMALISE,
                "((features - features.mean(axis=0)) / (features.std(axis=0) + 1e-8)).astype(np.float32)\n"
                "            if len(features)\n            else features.astype(np.float32)",
            ),
        ),
    ),
    WrongAnswer(
        id="statistics-of-each-batch",
        title="mean taken from each batch",
        explanation=(
            "Each batch is centred by its own mean once more. The result changes with `batch_size`, and a batch of one "
            "row reaches the model as zero."
        ),
        caught_by="test_features_are_normalised_with_the_statistics_of_training",
        swap=(
            (
                MODEL_CALL,
                "            batch = [x[rows] - x[rows].mean(axis=0) for x in (text, image)]\n"
                "            outputs[rows] = self.model(batch, training=False)",
            ),
        ),
    ),
    WrongAnswer(
        id="no-normalisation",
        title="features given to the model as they are",
        explanation="The statistics are kept but not used. In training the model never saw raw features.",
        caught_by="test_features_are_normalised_with_the_statistics_of_training",
        swap=((NORMALISE, "features.astype(np.float32)"),),
    ),
    WrongAnswer(
        id="image-not-normalised",
        title="only the text normalised",
        explanation="The image reaches the model as it is. Both modalities have statistics of their own.",
        caught_by="test_features_are_normalised_with_the_statistics_of_training",
        swap=((NORMALISE, "(features if features is image else (features - mean) / std).astype(np.float32)"),),
    ),
    WrongAnswer(
        id="divided-by-the-variance",
        title="divided by the square of std",
        explanation="You divide by the variance. The std is the one that has the unit of the features.",
        caught_by="test_features_are_normalised_with_the_statistics_of_training",
        swap=((NORMALISE, "((features - mean) / std**2).astype(np.float32)"),),
    ),
    WrongAnswer(
        id="mean-not-subtracted",
        title="scaled by std without subtracting the mean",
        explanation="The features are divided by the std, but the mean is still in them.",
        caught_by="test_features_are_normalised_with_the_statistics_of_training",
        swap=((NORMALISE, "(features / std).astype(np.float32)"),),
    ),
    WrongAnswer(
        id="training-mode",
        title="the model called in training mode",
        explanation=(
            "With `training=True` dropout switches units off at random, batch normalisation uses the batch, and its "
            "moving statistics change with every request."
        ),
        caught_by="test_inference_mode_and_batches",
        swap=((MODEL_CALL, MODEL_CALL.replace("training=False", "training=True")),),
    ),
    WrongAnswer(
        id="last-batch-dropped",
        title="the rows after the last full batch left out",
        explanation=(
            "Seven rows in batches of three: the seventh never reaches the model. Its result is whatever was in the "
            "array before, so the answer depends on `batch_size`."
        ),
        caught_by="test_inference_mode_and_batches",
        swap=(
            (
                "for start in range(0, len(text), batch_size):",
                "for start in range(0, len(text) // batch_size * batch_size or len(text), batch_size):",
            ),
        ),
    ),
    WrongAnswer(
        id="batch-size-ignored",
        title="all rows given to the model at once",
        explanation=(
            "`batch_size` has no effect. A request of a hundred thousand images would need all their memory at once."
        ),
        caught_by="test_inference_mode_and_batches",
        swap=(
            ("        for start in range(0, len(text), batch_size):\n", "        for start in range(len(text) > 0):\n"),
            ("            rows = slice(start, start + batch_size)\n", "            rows = slice(start, None)\n"),
        ),
    ),
    WrongAnswer(
        id="results-kept-between-calls",
        title="results of earlier calls returned again",
        explanation=(
            "Your predictor collects its outputs in a list that is never emptied, so the second request gets the "
            "answers to the first one as well. What belongs to one request stays in one call."
        ),
        caught_by="test_inference_mode_and_batches",
        swap=(
            (
                '        if self.head == "sigmoid":\n            probabilities',
                "        self.outputs = np.concatenate([getattr(self, 'outputs', outputs[:0]), outputs])\n"
                "        outputs = self.outputs\n"
                '        if self.head == "sigmoid":\n            probabilities',
            ),
        ),
    ),
    WrongAnswer(
        id="softmax-twice",
        title="a softmax over probabilities",
        explanation=(
            "The probabilities of a softmax head go through a softmax once more. The labels stay right, which hides "
            "it, but no probability of three classes can exceed 0.58 any more."
        ),
        caught_by="test_logits_go_through_one_softmax_and_probabilities_through_none",
        swap=((LOGITS, "            if len(outputs):\n"),),
    ),
    WrongAnswer(
        id="logits-as-probabilities",
        title="logits returned as probabilities",
        explanation="Scores of any size come back as probabilities. What makes a row sum to 1?",
        caught_by="test_logits_go_through_one_softmax_and_probabilities_through_none",
        swap=((LOGITS, "            if False:\n"),),
    ),
    WrongAnswer(
        id="softmax-overflows",
        title="exponentials that overflow",
        explanation=(
            "For logits of some hundred your probabilities are NaN: the exponential is infinite. A softmax does not "
            "change when the same number is subtracted from all logits of a row."
        ),
        caught_by="test_logits_go_through_one_softmax_and_probabilities_through_none",
        swap=((WEIGHTS, "weights = np.exp(outputs)"),),
    ),
    WrongAnswer(
        id="softmax-over-the-rows",
        title="a softmax over the rows of the request",
        explanation=(
            "Your columns sum to 1 instead of your rows: the rows of a request share out one probability among them, "
            "and each result depends on its company."
        ),
        caught_by="test_logits_go_through_one_softmax_and_probabilities_through_none",
        swap=(
            (WEIGHTS, "weights = np.exp(outputs - outputs.max(axis=0, keepdims=True))"),
            (SOFTMAX, "probabilities = weights / weights.sum(axis=0, keepdims=True)"),
        ),
    ),
    WrongAnswer(
        id="sigmoid-of-logits",
        title="a sigmoid of each logit",
        explanation="Each class gets a probability of its own, so they do not sum to 1. Here the classes exclude each other.",
        caught_by="test_logits_go_through_one_softmax_and_probabilities_through_none",
        swap=((SOFTMAX, "probabilities = 1 / (1 + np.exp(-np.clip(outputs, -80, 80)))"),),
    ),
    WrongAnswer(
        id="above-the-threshold",
        title="class 1 only above the threshold",
        explanation="A probability that equals the threshold gets class 0. Here it belongs to class 1.",
        caught_by="test_a_sigmoid_head_is_compared_with_the_threshold",
        swap=((DECISION, "classes = (probabilities > self.threshold).astype(int)"),),
    ),
    WrongAnswer(
        id="threshold-of-a-half",
        title="a threshold of 0.5, whatever was asked for",
        explanation="The threshold of the constructor has no effect. A service that must not miss anything needs a lower one.",
        caught_by="test_a_sigmoid_head_is_compared_with_the_threshold",
        swap=((DECISION, "classes = (probabilities >= 0.5).astype(int)"),),
    ),
    WrongAnswer(
        id="names-the-other-way-round",
        title="the two names of a sigmoid head exchanged",
        explanation="Rows from the threshold on get the first name. The number is the probability of class 1: which name is that?",
        caught_by="test_a_sigmoid_head_is_compared_with_the_threshold",
        swap=((DECISION, "classes = (probabilities < self.threshold).astype(int)"),),
    ),
    WrongAnswer(
        id="sigmoid-twice",
        title="a sigmoid over the probability",
        explanation=(
            "The model returns a probability already, and it goes through a sigmoid again: all of yours are above 0.5, "
            "so nearly everything is class 1."
        ),
        caught_by="test_a_sigmoid_head_is_compared_with_the_threshold",
        swap=((SIGMOID, "            probabilities = 1 / (1 + np.exp(-outputs[:, 0]))\n"),),
    ),
    WrongAnswer(
        id="labels-as-array",
        title="labels as a NumPy array",
        explanation="The labels come back as a NumPy array, which JSON cannot hold. A list of str was asked for.",
        caught_by="test_labels_are_a_list_of_names_and_probabilities_float32",
        swap=(
            (
                RETURN,
                RETURN.replace("[self.class_names[index] for index in classes]", "np.array(self.class_names)[classes]"),
            ),
        ),
    ),
    WrongAnswer(
        id="labels-as-numbers",
        title="class numbers instead of names",
        explanation="The labels are numbers. Which class is number 2? Only the predictor knows, so it should say.",
        caught_by="test_labels_are_a_list_of_names_and_probabilities_float32",
        swap=((RETURN, RETURN.replace("[self.class_names[index] for index in classes]", "classes.tolist()")),),
    ),
    WrongAnswer(
        id="float64-probabilities",
        title="probabilities in float64",
        explanation="Your probabilities are float64. The model computes in float32, and that is what was asked for.",
        caught_by="test_labels_are_a_list_of_names_and_probabilities_float32",
        swap=((RETURN, "probabilities = probabilities.astype(np.float64)\n        " + RETURN),),
    ),
    WrongAnswer(
        id="one-column-of-probabilities",
        title="a column of probabilities for a sigmoid head",
        explanation="For a sigmoid head the probabilities have the shape (rows, 1); one number for each row was asked for.",
        caught_by="test_labels_are_a_list_of_names_and_probabilities_float32",
        swap=(
            (
                RETURN,
                RETURN.replace(
                    '"probabilities": probabilities',
                    '"probabilities": outputs if self.head == "sigmoid" else probabilities',
                ),
            ),
        ),
    ),
    WrongAnswer(
        id="empty-as-flat",
        title="an empty request answered with shape (0,)",
        explanation=(
            "Without rows your probabilities have the shape (0,) for every head. The number of classes is known, and "
            "whoever puts results together needs the second axis."
        ),
        caught_by="test_labels_are_a_list_of_names_and_probabilities_float32",
        swap=((RETURN, "probabilities = probabilities if len(text) else np.zeros(0, np.float32)\n        " + RETURN),),
    ),
    WrongAnswer(
        id="statistics-lost-on-save",
        title="statistics that are not saved",
        explanation=(
            "The loaded predictor normalises with mean 0 and std 1: the statistics stayed behind. A model file alone is "
            "not a predictor."
        ),
        caught_by="test_a_loaded_predictor_does_the_same",
        swap=(
            (
                LOAD,
                "for name in ('text_stats', 'image_stats'):\n"
                "            width = len(settings[name][0])\n"
                "            settings[name] = [0.0] * width, [1.0] * width\n"
                "        " + LOAD,
            ),
        ),
    ),
    WrongAnswer(
        id="threshold-lost-on-save",
        title="a threshold that is not saved",
        explanation="The loaded predictor decides at 0.5 again: the threshold stayed behind.",
        caught_by="test_a_loaded_predictor_does_the_same",
        swap=(('            "threshold": float(self.threshold),\n', ""),),
    ),
    WrongAnswer(
        id="names-sorted-on-save",
        title="class names in alphabetical order after loading",
        explanation="The names come back sorted, so each number has another name than before. Their order is their meaning.",
        caught_by="test_a_loaded_predictor_does_the_same",
        swap=(('"class_names": self.class_names,', '"class_names": sorted(self.class_names),'),),
    ),
    WrongAnswer(
        id="head-lost-on-save",
        title="a softmax head after loading, whatever was saved",
        explanation=(
            "The loaded predictor takes what the model returns for probabilities of classes, so logits come back as "
            "they are. What the outputs mean has to be saved as well."
        ),
        caught_by="test_a_loaded_predictor_does_the_same",
        swap=((LOAD, "settings['head'] = 'sigmoid' if settings['head'] == 'sigmoid' else 'softmax'\n        " + LOAD),),
    ),
    WrongAnswer(
        id="absolute-path-on-save",
        title="a model that is looked for where it was saved",
        explanation=(
            "The folder holds the path of the model file as it was at the time of saving. A folder that is moved, or "
            "copied to another machine, does not find it."
        ),
        caught_by="test_a_loaded_predictor_does_the_same",
        swap=(
            (
                '            "head": self.head,\n',
                '            "head": self.head,\n            "file": str(folder / "model.keras"),\n',
            ),
            (LOAD, "return cls(keras.models.load_model(settings.pop('file')), **settings)"),
        ),
    ),
    WrongAnswer(
        id="first-save-stays",
        title="a model file that is not replaced",
        explanation=(
            "If the folder holds a model already, it stays there, together with the statistics and names of the new "
            "one. A second `save` replaces all of the first."
        ),
        caught_by="test_a_loaded_predictor_does_the_same",
        swap=((MODEL_SAVE, 'if not (folder / "model.keras").exists():\n            ' + MODEL_SAVE),),
    ),
    WrongAnswer(
        id="statistics-not-copied",
        title="the caller's own arrays kept as statistics",
        explanation=(
            "The predictor holds the arrays that it was given. Whoever goes on computing in them changes the "
            "predictions. Converting an array that has the right dtype already makes no copy."
        ),
        caught_by="test_arguments_stay_as_they_are_and_are_copied",
        swap=((COPIES, COPIES.replace("np.array(values, dtype=np.float64)", "np.asarray(values)")),),
    ),
    WrongAnswer(
        id="names-not-copied",
        title="the caller's own list kept as names",
        explanation="The predictor holds the list of names that it was given, and a change of it renames the classes.",
        caught_by="test_arguments_stay_as_they_are_and_are_copied",
        swap=(("self.class_names = list(class_names)", "self.class_names = class_names"),),
    ),
    WrongAnswer(
        id="features-changed",
        title="features normalised in place",
        explanation=(
            "The caller's features are changed by `-=` or `/=`. A second request with the same array is then normalised "
            "twice."
        ),
        caught_by="test_arguments_stay_as_they_are_and_are_copied",
        swap=(
            (
                "        # the model gets (features - training mean) / training std\n",
                "        for features, (mean, std) in ((text, self.text_stats), (image, self.image_stats)):\n"
                "            features -= mean.astype(features.dtype) + 1e-3\n"
                "            features += mean.astype(features.dtype)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="integers-converted",
        title="integer features accepted",
        explanation=(
            "Integers are turned into floats without a word. Token ids or class numbers that were sent by mistake would "
            "get a confident answer."
        ),
        caught_by="test_bad_arguments_are_refused",
        swap=((TYPE_CHECK, ""),),
    ),
    WrongAnswer(
        id="nan-repaired",
        title="NaN and infinity replaced by numbers",
        explanation=(
            "Features that are not finite are repaired, and the answer looks like any other. Whoever sent them should "
            "learn that something is broken."
        ),
        caught_by="test_bad_arguments_are_refused",
        swap=(
            ("            if not np.isfinite(features).all():\n", "            if False:\n"),
            (NORMALISE, "((np.nan_to_num(features) - mean) / std).astype(np.float32)"),
        ),
    ),
    WrongAnswer(
        id="std-of-zero-repaired",
        title="a std of 0 accepted",
        explanation=(
            "A std that is not positive goes through. A column that never varied in training tells the model nothing, "
            "and dividing by almost 0 makes it the loudest of all."
        ),
        caught_by="test_bad_arguments_are_refused",
        swap=(
            (" and (std > 0).all()", ""),
            (NORMALISE, "((features - mean) / (std + 1e-12)).astype(np.float32)"),
        ),
    ),
    WrongAnswer(
        id="unknown-head-accepted",
        title="an unknown head taken for softmax",
        explanation="A head with an unknown name is treated as softmax. A typing error in a configuration should be heard of.",
        caught_by="test_bad_arguments_are_refused",
        swap=(
            ('        if head not in ("logits", "softmax", "sigmoid"):\n', "        if not isinstance(head, str):\n"),
        ),
    ),
    WrongAnswer(
        id="number-of-names-not-checked",
        title="any number of class names accepted",
        explanation=(
            "The number of names is not compared with the outputs. The error comes with the first row of the last "
            "class, in the middle of the night."
        ),
        caught_by="test_bad_arguments_are_refused",
        swap=(
            (
                'if (outputs, len(class_names)) != ((1, 2) if head == "sigmoid" else (outputs, outputs)):',
                'if head == "sigmoid" and outputs != 1:',
            ),
        ),
    ),
    WrongAnswer(
        id="rows-cut-to-the-shorter",
        title="the longer modality cut",
        explanation=(
            "Two texts and one image give an answer for as many rows as the shorter has. Which text belonged to the "
            "image nobody knows any more."
        ),
        caught_by="test_bad_arguments_are_refused",
        swap=(
            (" or len(features) != len(text)", ""),
            (
                "        # the model gets (features - training mean) / training std\n",
                "        count = min(len(text), len(image))\n        text, image = text[:count], image[:count]\n",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="keras-predict-and-npz",
        title="the model's own predict, statistics in a .npz file, keras.ops.softmax",
        code="""
import shutil


class Predictor:
    HEADS = {"logits", "softmax", "sigmoid"}

    def __init__(self, model, text_stats, image_stats, head, class_names, threshold=0.5):
        if head not in self.HEADS:
            raise ValueError(head)
        width = int(model.output_shape[1])
        if head == "sigmoid" and (width != 1 or len(class_names) != 2):
            raise ValueError("sigmoid: one output, two names")
        if head != "sigmoid" and width != len(class_names):
            raise ValueError("one name for each output")
        if not (threshold >= 0 and threshold <= 1):
            raise ValueError("threshold")
        self.stats = {}
        for name, (mean, std), shape in zip(("text", "image"), (text_stats, image_stats), model.input_shape):
            mean, std = np.array(mean), np.array(std)
            if mean.shape != shape[1:] or std.shape != shape[1:]:
                raise ValueError("shape of the statistics")
            if not np.all(np.isfinite(mean)) or not np.all(np.isfinite(std)) or np.any(std <= 0):
                raise ValueError("values of the statistics")
            self.stats[name + "_mean"], self.stats[name + "_std"] = mean, std
        self.model, self.head, self.names, self.threshold = model, head, tuple(class_names), threshold

    def prepared(self, name, features):
        if features.dtype.kind != "f":
            raise TypeError("floats only")
        if features.ndim != 2 or features.shape[1:] != self.stats[name + "_mean"].shape:
            raise ValueError("shape")
        if np.isnan(features).any() or np.isinf(features).any():
            raise ValueError("not finite")
        return (features - self.stats[name + "_mean"]) / self.stats[name + "_std"]

    def predict(self, text, image, batch_size=32):
        inputs = [self.prepared("text", text), self.prepared("image", image)]
        if len(inputs[0]) != len(inputs[1]):
            raise ValueError("rows")
        if batch_size <= 0:
            raise ValueError("batch_size")
        if len(text) == 0:
            shape = (0,) if self.head == "sigmoid" else (0, len(self.names))
            return {"labels": [], "probabilities": np.empty(shape, dtype="float32")}
        output = self.model.predict(inputs, batch_size=batch_size, verbose=0)
        if self.head == "sigmoid":
            output = output.squeeze(axis=-1)
            labels = [self.names[int(p >= self.threshold)] for p in output]
        else:
            if self.head == "logits":
                output = keras.ops.convert_to_numpy(keras.ops.softmax(output, axis=-1))
            labels = [self.names[i] for i in np.argmax(output, axis=-1)]
        return {"probabilities": output, "labels": labels}

    def save(self, path):
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        self.model.save(os.path.join(path, "net.keras"))
        np.savez(os.path.join(path, "rest.npz"), head=self.head, names=np.array(self.names),
                 threshold=self.threshold, **self.stats)

    @staticmethod
    def load(path):
        with np.load(os.path.join(path, "rest.npz")) as rest:
            text = rest["text_mean"], rest["text_std"]
            image = rest["image_mean"], rest["image_std"]
            names, head = [str(name) for name in rest["names"]], str(rest["head"])
            threshold = float(rest["threshold"])
        return Predictor(keras.models.load_model(os.path.join(path, "net.keras")), text, image, head, names, threshold)
""",
    ),
    Alternative(
        id="normalisation-in-the-graph",
        title="one model from raw features to probabilities, rows decided one by one",
        code="""
class Predictor:
    def __init__(self, model, text_stats, image_stats, head, class_names, threshold=0.5):
        widths = [shape[-1] for shape in model.input_shape]
        for (mean, std), width in zip((text_stats, image_stats), widths):
            mean, std = np.asarray(mean, float), np.asarray(std, float)
            if mean.shape != (width,) or std.shape != (width,):
                raise ValueError("shape")
            if not np.isfinite(mean).all() or not (np.isfinite(std) & (std > 0)).all():
                raise ValueError("value")
        expected = {"logits": model.output_shape[-1], "softmax": model.output_shape[-1], "sigmoid": 2}
        if head not in expected or expected[head] != len(class_names):
            raise ValueError("head or names")
        if head == "sigmoid" and model.output_shape[-1] != 1:
            raise ValueError("outputs")
        if threshold != min(max(threshold, 0), 1):
            raise ValueError("threshold")
        self.settings = dict(
            text_stats=[np.asarray(values, float).tolist() for values in text_stats],
            image_stats=[np.asarray(values, float).tolist() for values in image_stats],
            head=head, class_names=[str(name) for name in class_names], threshold=threshold,
        )
        self.model, self.widths = model, widths
        raw = [keras.Input((width,), dtype="float32") for width in widths]
        ready = [
            (x - np.array(mean, "float32")) / np.array(std, "float32")
            for x, (mean, std) in zip(raw, (self.settings["text_stats"], self.settings["image_stats"]))
        ]
        result = model(ready, training=False)
        if head == "logits":
            result = keras.layers.Softmax()(result)
        self.whole = keras.Model(raw, result)

    def predict(self, text, image, batch_size=32):
        if not all(array.dtype in (np.float32, np.float64) for array in (text, image)):
            raise TypeError("dtype")
        if batch_size < 1:
            raise ValueError("batch size")
        if text.ndim != 2 or image.ndim != 2 or [text.shape[1], image.shape[1]] != self.widths:
            raise ValueError("width")
        if text.shape[0] != image.shape[0] or not np.isfinite(text.sum() + image.sum()):
            raise ValueError("rows or values")
        sigmoid = self.settings["head"] == "sigmoid"
        names, labels, rows = self.settings["class_names"], [], []
        remaining = [text.astype("float32"), image.astype("float32")]
        while len(remaining[0]):
            batch = [array[:batch_size] for array in remaining]
            remaining = [array[batch_size:] for array in remaining]
            for row in np.asarray(self.whole(batch, training=False)):
                if sigmoid:
                    labels.append(names[1] if float(row[0]) >= self.settings["threshold"] else names[0])
                else:
                    labels.append(names[max(range(len(names)), key=lambda index: row[index])])
                rows.append(row)
        table = np.array(rows, dtype=np.float32).reshape(len(rows), self.model.output_shape[-1])
        return dict(labels=labels, probabilities=table.ravel() if sigmoid else table)

    def save(self, path):
        path = str(path)
        os.makedirs(path, exist_ok=True)
        self.model.save(path + "/m.keras")
        with open(path + "/s.json", "w") as file:
            json.dump(self.settings, file)

    @classmethod
    def load(cls, path):
        with open(os.path.join(path, "s.json")) as file:
            return cls(model=keras.saving.load_model(os.path.join(path, "m.keras")), **json.load(file))
""",
    ),
    Alternative(
        id="architecture-and-weights-in-one-archive",
        title="float32 statistics, predict_on_batch, everything in JSON and one weights file",
        code="""
class Predictor:
    def __init__(self, model, text_stats, image_stats, head, class_names, threshold=0.5):
        if head in ("logits", "softmax"):
            fits = model.output_shape == (None, len(class_names))
        elif head == "sigmoid":
            fits = model.output_shape == (None, 1) and len(class_names) == 2
        else:
            raise ValueError("unknown head")
        if not fits or np.isnan(threshold) or threshold < 0 or threshold > 1:
            raise ValueError("names or threshold")
        self.model, self.head, self.names, self.threshold = model, head, [*class_names], threshold
        self.table = []
        for place, pair in enumerate((text_stats, image_stats)):
            pair = [np.array(values, dtype=np.float32) for values in pair]
            for values in pair:
                if values.shape != (model.inputs[place].shape[1],) or not np.isfinite(values).all():
                    raise ValueError("statistics")
            if pair[1].min() <= 0:
                raise ValueError("std")
            self.table.append(pair)

    def predict(self, text, image, batch_size=32):
        both = [text, image]
        if any(np.issubdtype(x.dtype, np.integer) or x.dtype == bool for x in both):
            raise TypeError("floats, please")
        if batch_size < 1 or any(x.ndim != 2 for x in both) or len({len(x) for x in both}) > 1:
            raise ValueError("shapes")
        for x, (mean, _) in zip(both, self.table):
            if x.shape[1] != mean.size or not np.isfinite(x).all():
                raise ValueError("width or values")
        pieces = [np.zeros((0, self.model.output_shape[1]), "float32")]
        for start in range(0, len(text), batch_size):
            batch = [(x[start : start + batch_size] - m) / s for x, (m, s) in zip(both, self.table)]
            pieces.append(self.model.predict_on_batch(batch))
        result = np.concatenate(pieces).astype("float32")
        if self.head == "sigmoid":
            result = result.reshape(-1)
            return {"labels": [self.names[1 if p >= self.threshold else 0] for p in result], "probabilities": result}
        if self.head == "logits":
            shifted = result - np.max(result, axis=1, keepdims=True) if len(result) else result
            log_total = np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
            result = np.exp(shifted - log_total)
        return {"labels": [self.names[k] for k in result.argmax(1)], "probabilities": result}

    def save(self, path):
        path = Path(path)
        path.mkdir(exist_ok=True, parents=True)
        self.model.save_weights(path / "all.weights.h5")
        rest = [[[v.tolist() for v in pair] for pair in self.table], self.head, self.names, self.threshold]
        (path / "config.json").write_text(json.dumps([self.model.to_json(), rest]))

    @classmethod
    def load(cls, path):
        architecture, (table, head, names, threshold) = json.loads((Path(path) / "config.json").read_text())
        model = keras.models.model_from_json(architecture)
        model.load_weights(Path(path) / "all.weights.h5")
        return cls(model, table[0], table[1], head, names, threshold=threshold)
""",
    ),
]
