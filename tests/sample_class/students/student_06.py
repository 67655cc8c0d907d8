"""Averages F1 over the classes that happen to occur, which the small examples cannot show."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    notebook = Notebook(student, "metrics/classification")
    notebook.answer(
        """
        For a fine-tuned multimodal model I would look at accuracy, precision, recall, the F1 score and the AUC.
        Accuracy is the share of correct answers, precision tells how many of the positives are right, recall how many
        were found, and F1 combines them. I would also look at a few wrong examples by hand.
        """
    )
    notebook.claim(
        constant_guess=False,
        precision=False,
        micro_f1=True,
        macro_f1=False,
        batch_mean=False,
        roc_auc_rare=False,
        roc_auc_classes=True,
        no_images=True,
    )
    notebook.write(
        "classification_metrics",
        """
        truth = np.array(y_true)
        guess = np.array(y_pred)
        if truth.ndim != 1 or guess.ndim != 1 or len(truth) == 0 or len(truth) != len(guess):
            raise ValueError("wrong shapes")
        if not np.isin(np.concatenate([truth, guess]), np.arange(n_classes)).all():
            raise ValueError("wrong labels")

        cm = np.zeros((n_classes, n_classes), dtype=np.int64)
        for t, g in zip(truth, guess):
            cm[t, g] += 1

        P, R, F = np.zeros(n_classes), np.zeros(n_classes), np.zeros(n_classes)
        for c in range(n_classes):
            tp = cm[c, c]
            fp = cm[:, c].sum() - tp
            fn = cm[c, :].sum() - tp
            if tp > 0:
                P[c] = tp / (tp + fp)
                R[c] = tp / (tp + fn)
                F[c] = 2 * tp / (2 * tp + fp + fn)

        classes = np.unique(truth)  # the classes in this data
        return {
            "accuracy": np.trace(cm) / cm.sum(),
            "balanced_accuracy": R[classes].mean(),
            "macro_f1": F[classes].mean(),
            "micro_f1": np.trace(cm) / cm.sum(),
            "weighted_f1": sum(F[c] * (truth == c).mean() for c in classes),
            "precision": P,
            "recall": R,
            "f1": F,
            "confusion": cm,
        }
        """,
    )
    notebook.write(
        "binary_report",
        """
        t, p = np.array(y_true, dtype=float), np.array(prob, dtype=float)
        if t.ndim > 2 or p.ndim > 2 or t.size != len(t) or p.size != len(p):
            raise ValueError("one column each, please")
        t, p = t.flatten(), p.flatten()
        if t.size == 0 or t.size != p.size or not np.isin(t, [0, 1]).all() or not all(0 <= q <= 1 for q in p):
            raise ValueError("wrong labels or probabilities")
        yes = p >= threshold
        tp, fp = int(t[yes].sum()), int((1 - t[yes]).sum())
        fn, tn = int(t[~yes].sum()), int((1 - t[~yes]).sum())
        report = {"tp": tp, "fp": fp, "fn": fn, "tn": tn, "accuracy": (tp + tn) / t.size}
        report["precision"] = tp / (tp + fp) if yes.any() else zero_division
        report["recall"] = tp / (tp + fn) if t.any() else zero_division
        report["f1"] = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else zero_division
        return report
        """,
    )
    notebook.scratch(
        "visible-checks",
        """
        %matplotlib inline
        import matplotlib.pyplot as plt

        r = classification_metrics([0, 0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0, 2], 3)
        plt.matshow(r["confusion"])
        print({name: round(float(r[name]), 3) for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")})
        """,
        "{'accuracy': 0.571, 'balanced_accuracy': 0.667, 'macro_f1': 0.657, 'weighted_f1': 0.584}",
    )
    return [notebook]
