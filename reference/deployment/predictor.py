# %% [markdown]
# # A prediction function for deployment
#
# A trained model takes normalised numbers and returns numbers. A service has raw features and needs names, and between
# the two lies code that nobody trains: it must subtract the *training* mean, not that of the request, know what the
# outputs mean, switch off dropout, and survive a restart. A published prediction function takes `argmax` over the one
# output of a sigmoid head, which is class 0 for everybody, and leaves the preprocessing to a function that is not
# there. Here you bundle model, statistics and names into one object that can be saved, moved and loaded.
#
# ## Your task (45 minutes)
#
# Write the class `Predictor`:
#
# ```python
# Predictor(model, text_stats, image_stats, head, class_names, threshold=0.5)
# predictor.predict(text, image, batch_size=32)   # {"labels": …, "probabilities": …}
# predictor.save(path)
# Predictor.load(path)                            # another predictor that does the same
# ```
#
# - **The model** is a functional Keras model, called with a list: `model([text, image])`. Its `input_shape` is
#   `[(None, text width), (None, image width)]`, its `output_shape` is `(None, outputs)`.
# - **The statistics** are pairs `(mean, std)` of the training data, NumPy arrays of shape `(width,)`. The model gets
#   (features − mean) / std.
# - **The head** says what the model returns:
#
# | head | the model returns | probabilities | label of a row |
# |---|---|---|---|
# | `"logits"` | a score for each class, any size | their softmax, `(rows, classes)` | the most probable class |
# | `"softmax"` | probabilities of the classes | as they are, `(rows, classes)` | the most probable class |
# | `"sigmoid"` | one number, the probability of class 1 | as it is, `(rows,)` | class 1 if ≥ `threshold`, else 0 |
#
# - **`predict`** takes NumPy arrays `text` `(rows, text width)` and `image` `(rows, image width)`, float32 or float64,
#   and returns a dictionary with two keys: `labels`, a list with one `str` of `class_names` for each row, and
#   `probabilities`, a float32 NumPy array. No rows in, no rows out: `[]` and shape `(0, classes)` or `(0,)`.
# - The model runs in inference mode, and gets at most `batch_size` rows at a time. The result for a row depends neither
#   on `batch_size` nor on the other rows nor on earlier calls. Nothing is changed: features, weights, statistics of
#   batch normalisation.
# - The predictor keeps copies of the statistics and the names: who changes the arrays or the list afterwards, does not
#   change its predictions. (The model itself need not be copied.)
# - **`save(path)`** writes everything into the folder `path` (a `str` or a `Path`), creates it with its parents if
#   needed, and replaces what an earlier `save` wrote there. `Predictor.load(path)` works even after the folder has been
#   moved. The models that are saved in the checks have Keras layers only, so `model.save` and `keras.models.load_model`
#   will do.
#
# What is refused:
#
# - by the constructor with `ValueError`: another `head`; a `mean` or `std` whose shape is not `(width of that input,)`
#   or that is not finite; a `std` that is not positive everywhere; for `"logits"` and `"softmax"` another number of
#   `class_names` than outputs; for `"sigmoid"` another number of names than two, or a model with more than one output;
#   a `threshold` outside 0 … 1;
# - by `predict` with `TypeError`: features that are not floating, such as integers; with `ValueError`: features that
#   are not 2-D, have another width than their statistics or another number of rows than the other modality, or hold
#   NaN or infinity; a `batch_size` below 1.
#
# Nothing is forbidden. All methods of Keras and NumPy are welcome.
#
# ## A worked example
#
# One text feature with mean 10 and std 2, one image feature with mean 0 and std 0.5. The model returns a single number,
# sigmoid(text + image). The names are `["no", "yes"]`, the threshold is 0.8.
#
# | text | image | the model gets | probability | label | `argmax` would say |
# |---|---|---|---|---|---|
# | 12 | 0.25 | 1, 0.5 | 0.818 | yes | no |
# | 12 | 0 | 1, 0 | 0.731 | no | no |
# | 8 | −0.5 | −1, −1 | 0.119 | no | no |
#
# Each row alone, or all three together, gives the same. With the mean of the request instead of 10, a request of one
# row would reach the model as 0, whatever it says.

# %%
from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
import numpy as np


# %% tags=["solution"]
class Predictor:
    """A model with all that is needed to use it: statistics, meaning of its outputs, names (see Sculley et al., 2015).

    Args:
        model: functional Keras model from [text (rows, text width), image (rows, image width)] to (rows, outputs).
        text_stats: mean and std of the text features in training, each of shape (text width,).
        image_stats: mean and std of the image features in training, each of shape (image width,).
        head: "logits", "softmax" or "sigmoid".
        class_names: one name for each class; two for "sigmoid".
        threshold: from which probability on a "sigmoid" head means class 1.

    Raises:
        ValueError: unknown head, unusable statistics, wrong number of names or outputs, threshold outside 0 … 1.
    """

    def __init__(
        self,
        model: keras.Model,
        text_stats: tuple[np.ndarray, np.ndarray],
        image_stats: tuple[np.ndarray, np.ndarray],
        head: str,
        class_names: Sequence[str],
        threshold: float = 0.5,
    ) -> None:
        ### BEGIN SOLUTION
        if head not in ("logits", "softmax", "sigmoid"):
            raise ValueError(f"head must be logits, softmax or sigmoid, not {head!r}")
        outputs = model.output_shape[1]
        if (outputs, len(class_names)) != ((1, 2) if head == "sigmoid" else (outputs, outputs)):
            raise ValueError(f"{len(class_names)} class names do not fit a {head} head with {outputs} outputs")
        if not 0 <= threshold <= 1:  # written so that NaN is refused too
            raise ValueError(f"threshold must be a probability, not {threshold}")
        # copies in float64: a change of the caller's arrays does not reach them
        self.text_stats, self.image_stats = (
            tuple(np.array(values, dtype=np.float64) for values in stats) for stats in (text_stats, image_stats)
        )
        for (mean, std), (_, width) in zip((self.text_stats, self.image_stats), model.input_shape, strict=True):
            if mean.shape != (width,) or std.shape != (width,):
                raise ValueError(f"mean {mean.shape} and std {std.shape} do not fit an input of width {width}")
            if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
                raise ValueError("mean and std must be finite, and std positive")
        self.model = model
        self.head = head
        self.class_names = list(class_names)
        self.threshold = threshold
        ### END SOLUTION

    def predict(self, text: np.ndarray, image: np.ndarray, batch_size: int = 32) -> dict:
        """Labels and probabilities for raw features, in inference mode, batch by batch.

        Args:
            text: float, (rows, text width). image: float, (rows, image width). batch_size: most rows at a time.

        Returns:
            {"labels": list of rows names, "probabilities": float32, (rows, classes) or, for a sigmoid head, (rows,)}.

        Raises:
            TypeError: features are not floating.
            ValueError: wrong shapes, NaN or infinity in the features, batch_size below 1.
        """
        ### BEGIN SOLUTION
        for features, (mean, _) in ((text, self.text_stats), (image, self.image_stats)):
            if not np.issubdtype(features.dtype, np.floating):
                raise TypeError(f"features must be floating, not {features.dtype}")
            if features.ndim != 2 or features.shape[1] != len(mean) or len(features) != len(text):
                raise ValueError(f"features of shape {features.shape} do not fit; {len(mean)} columns are expected")
            if not np.isfinite(features).all():
                raise ValueError("features must be finite")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")

        # the model gets (features - training mean) / training std
        text, image = (
            ((features - mean) / std).astype(np.float32)
            for features, (mean, std) in ((text, self.text_stats), (image, self.image_stats))
        )
        outputs = np.zeros((len(text), self.model.output_shape[1]), np.float32)  # (rows, outputs)
        for start in range(0, len(text), batch_size):
            rows = slice(start, start + batch_size)
            outputs[rows] = self.model([text[rows], image[rows]], training=False)

        if self.head == "sigmoid":
            probabilities = outputs[:, 0]  # (rows,)
            classes = (probabilities >= self.threshold).astype(int)
        else:
            probabilities = outputs  # (rows, classes)
            if self.head == "logits" and len(outputs):
                # softmax; the largest logit of a row is subtracted, so that no exponential overflows
                weights = np.exp(outputs - outputs.max(axis=1, keepdims=True))
                probabilities = weights / weights.sum(axis=1, keepdims=True)
            classes = probabilities.argmax(axis=1)
        return {"labels": [self.class_names[index] for index in classes], "probabilities": probabilities}
        ### END SOLUTION

    def save(self, path: str | Path) -> None:
        """Write everything that `load` needs into the folder `path`, which is created if it does not exist."""
        ### BEGIN SOLUTION
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save(folder / "model.keras")
        settings = {
            "text_stats": [values.tolist() for values in self.text_stats],
            "image_stats": [values.tolist() for values in self.image_stats],
            "head": self.head,
            "class_names": self.class_names,
            "threshold": float(self.threshold),
        }
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        ### END SOLUTION

    @classmethod
    def load(cls, path: str | Path) -> Predictor:
        """The predictor that was saved in the folder `path`."""
        ### BEGIN SOLUTION
        folder = Path(path)
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        return cls(keras.models.load_model(folder / "model.keras"), **settings)
        ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# import tempfile
#
# text_input, image_input = keras.Input((1,)), keras.Input((1,))
# total = keras.layers.Add()([text_input, image_input])
# model = keras.Model([text_input, image_input], keras.layers.Activation("sigmoid")(total))
# text_stats, image_stats = (np.array([10.0]), np.array([2.0])), (np.array([0.0]), np.array([0.5]))
# predictor = Predictor(model, text_stats, image_stats, "sigmoid", ["no", "yes"], threshold=0.7)
#
# text, image = np.array([[13.0], [12.0], [7.0]]), np.array([[0.25], [-0.25], [-0.5]])
# result = predictor.predict(text, image, batch_size=2)
# assert result["labels"] == ["yes", "no", "no"], result["labels"]
# assert np.allclose(result["probabilities"], [0.880797, 0.622459, 0.075858], atol=1e-5), result["probabilities"]
# assert predictor.predict(text[:1], image[:1])["labels"] == ["yes"]
#
# with tempfile.TemporaryDirectory() as folder:
#     predictor.save(folder)
#     again = Predictor.load(folder).predict(text, image)
# assert again["labels"] == ["yes", "no", "no"], again["labels"]
# assert np.allclose(again["probabilities"], result["probabilities"]), again["probabilities"]

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Ask about a hundred rows at once, then about each of them alone, then again after saving, loading and a restart. All
# three must agree. Which of your lines sees more than one row at a time, and what does it use the others for?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# What turns features into an answer is more than the weights: statistics, the meaning of the outputs, names and the
# threshold are parameters as well, which come from training and stay fixed. They live in the object and in its folder.
# Dropout and batch normalisation behave differently in training mode; the call of a model takes `training`.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# The constructor checks and keeps copies. `predict` checks both arrays, normalises them, fills an array of outputs
# slice by slice, turns outputs into probabilities by the head and then into class numbers, and these into names. For
# `save`, one file for the model and one, in a format that keeps floats exactly, for the rest; `load` reads both and
# calls the constructor, which checks once more.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `outputs[rows] = self.model([text[rows], image[rows]], training=False)`, where `rows` is a slice.
# </details>
#
# ## Going further
#
# - A class with such a method is not a deployment yet: around it go an interface, limits, logging and monitoring, and a
#   way back to the version before. Return the version of the model with each answer, so that a complaint can be traced.
# - If the normalisation is a layer of the model (`keras.layers.Normalization`), it cannot be forgotten at all.
# - What is prepared in one way for training and in another for serving is a hidden debt (Sculley et al., 2015). A test
#   that sends the same rows through both paths finds it (Breck et al., 2017).
# - JSON and `.keras` files hold data; loading a pickle file runs whatever code is in it.
# - The softmax of a fine-tuned network is often too sure of itself (Guo et al., 2017). A threshold is chosen on
#   validation data, for the costs of the two kinds of error.
#
# ## References
#
# - Eric Breck, Shanqing Cai, Eric Nielsen, Michael Salib, D. Sculley (2017). The ML Test Score: A Rubric for ML
#   Production Readiness and Technical Debt Reduction. IEEE Big Data 2017.
# - Chuan Guo, Geoff Pleiss, Yu Sun, Kilian Q. Weinberger (2017). On Calibration of Modern Neural Networks. ICML 2017.
# - D. Sculley, Gary Holt, Daniel Golovin, et al. (2015). Hidden Technical Debt in Machine Learning Systems. NIPS 2015.
