"""How far a model's confidence can be believed."""

from __future__ import annotations

import numpy as np


def expected_calibration_error(similarity: np.ndarray, log_scale: float, bins: int = 10) -> float:
    """Of the first answer's softmax probability, in bins of equal width (Guo et al. 2017).

    `similarity`: cosines, float (queries, candidates), row i and column i belonging together.
    """
    logits = similarity * np.exp(log_scale)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == np.arange(len(similarity))
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs((right[places == b] - confidence[places == b]).sum()) for b in range(bins)]
    return float(sum(gaps) / len(similarity))
