"""The honest parts of hostile submissions."""

from __future__ import annotations

from pathlib import Path

from tests.grader.attacks.model import NUMPY, TORCH, Answer

ROOT = Path(__file__).resolve().parents[3]

_WRONG_METRICS = """
import numpy as np

claims = dict.fromkeys(["constant_guess", "precision", "micro_f1", "macro_f1", "batch_mean", "roc_auc_rare",
                        "roc_auc_classes", "no_images"], True)


def classification_metrics(y_true, y_pred, n_classes):
    zeros = np.zeros(n_classes)
    numbers = dict.fromkeys(["accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "weighted_f1"], 0.0)
    return {"confusion": np.zeros((n_classes, n_classes), np.int64), "precision": zeros, "recall": zeros,
            "f1": zeros, **numbers}


def binary_report(y_true, prob, threshold=0.5, zero_division=0.0):
    return dict(tp=0, fp=0, fn=0, tn=0, accuracy=0.0, precision=0.0, recall=0.0, f1=0.0)
"""


def _reference(exercise: str) -> str:
    return (ROOT / "reference" / f"{exercise}.py").read_text(encoding="utf-8")


def answer_code(exercise: str, answer: Answer) -> str:
    """The cell of an honest answer. The wrong one in torch earns some points, the wrong one in NumPy none."""
    if answer is Answer.NOTHING:
        return ""
    if answer is Answer.RIGHT:
        return _reference(exercise)
    if exercise == NUMPY:
        return _WRONG_METRICS
    assert exercise == TORCH
    right = _reference(exercise)
    wrong = right.replace("scale = 1 / math.sqrt(query.shape[-1])", "scale = 1.0")
    assert wrong != right
    return wrong
