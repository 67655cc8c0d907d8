"""Opened the notebook, ran it from the top, saved it, handed it in: nothing was written."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    notebook = Notebook(student, "metrics/classification")
    notebook.failed(
        "visible-checks",
        "NotImplementedError",
        "write classification_metrics",
        "report = classification_metrics([0, 1, 2, 1, 0, 1, 1, 0], [0, 1, 1, 1, 2, 1, 0, 1], n_classes=3)",
    )
    return [notebook]
