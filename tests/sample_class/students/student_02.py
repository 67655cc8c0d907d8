"""Two right answers that look nothing like the model solutions: plain loops and dictionaries, and einsum."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    return [scaled_dot_product(student), classification(student)]


def scaled_dot_product(student: str) -> Notebook:
    notebook = Notebook(student, "attention/scaled_dot_product")
    notebook.rewrite(
        "solution",
        """
        def _softmax(x):
            # minus the largest number that counts, otherwise exp() overflows
            top = x.max(dim=-1, keepdim=True).values
            e = (x - top).exp()
            return e / e.sum(dim=-1, keepdim=True)


        def scaled_dot_product_attention(query, key, value, mask=None, causal=False, scale=None):
            n_q, d = query.shape[-2:]
            n_k, d2 = key.shape[-2:]
            if d != d2 or n_k != value.shape[-2]:
                raise ValueError("query/key/value shapes do not match")

            see = torch.ones(n_q, n_k, dtype=torch.bool)
            if causal:
                see = torch.arange(n_k)[None, :] <= torch.arange(n_q)[:, None]
            if mask is not None:
                if mask.dtype is not torch.bool:
                    raise ValueError("I only take boolean masks")
                for have, want in zip(mask.shape[::-1], (n_k, n_q) + tuple(query.shape[:-2])[::-1]):
                    if have not in (1, want):
                        raise ValueError("mask has the wrong shape")
                see = see & mask

            s = torch.einsum("...id,...jd->...ij", query, key)
            s = s / math.sqrt(d) if scale is None else s * scale
            nobody = ~see.any(dim=-1, keepdim=True)
            s = torch.where(see | nobody, s, torch.full_like(s, -math.inf))  # rows without a key stay as they are ...
            w = _softmax(s)
            w = torch.where(see, w, torch.zeros_like(w))  # ... and are wiped here
            return torch.einsum("...ij,...jv->...iv", w, value), w
        """,
    )
    notebook.scratch(
        "code-01",
        """
        %matplotlib inline
        %config InlineBackend.figure_format = "retina"
        print(torch.__version__.split("+")[0][:1])
        """,
        "2",
    )
    notebook.scratch(
        "visible-checks",
        """
        # is the einsum the same as @ ?
        a, b = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
        (torch.einsum("...id,...jd->...ij", a, b) - a @ b.mT).abs().max() < 1e-6
        """,
        value="tensor(True)",
    )
    return notebook


def classification(student: str) -> Notebook:
    notebook = Notebook(student, "metrics/classification")
    notebook.answer(
        """
        It depends on the task. For classification: confusion matrix, then per-class precision and recall, macro-F1
        because every class should count, balanced accuracy because accuracy is fooled by the majority class, and PR-AUC
        if the positives are rare. For retrieval Recall@K, for VQA the VQA accuracy, for captions CIDEr. And I would
        always run it once with the pictures shuffled: if nothing changes, the model never looked at them. I'd repeat
        with three seeds and show the spread.
        """
    )
    notebook.rewrite(
        "claims",
        """
        claims = {
            "constant_guess": False,  # always saying the big class gives 0.95 too
            "precision": False,  # it's TP+FP below
            "micro_f1": True,
            "macro_f1": False,  # mean of the F1s is something else
            "batch_mean": False,
            "roc_auc_rare": False,
            "roc_auc_classes": True,
            "no_images": True,
        }
        """,
    )
    notebook.write(
        "classification_metrics",
        """
        true, pred = list(y_true), list(y_pred)
        if np.ndim(y_true) != 1 or np.ndim(y_pred) != 1 or len(true) != len(pred) or not true:
            raise ValueError("two lists of the same length, please")
        for label in true + pred:
            if label not in range(n_classes):
                raise ValueError(f"{label} is not a class")

        table = [[0] * n_classes for _ in range(n_classes)]
        for t, p in zip(true, pred):
            table[int(t)][int(p)] += 1

        report = {"precision": [], "recall": [], "f1": []}
        found = []  # recall of the classes that are really there
        macro, weighted, right = 0.0, 0.0, 0
        for c in range(n_classes):
            tp = table[c][c]
            fn = sum(table[c]) - tp
            fp = sum(row[c] for row in table) - tp
            pr = tp / (tp + fp) if tp else 0.0
            re = tp / (tp + fn) if tp else 0.0
            f = 2 * pr * re / (pr + re) if tp else 0.0
            report["precision"].append(pr)
            report["recall"].append(re)
            report["f1"].append(f)
            if tp + fn:
                found.append(re)
            macro += f / n_classes
            weighted += f * (tp + fn) / len(true)
            right += tp
        report = {name: np.array(values) for name, values in report.items()}
        report["confusion"] = np.array(table, dtype=np.int64)
        report["accuracy"] = report["micro_f1"] = right / len(true)
        report["balanced_accuracy"] = sum(found) / len(found)
        report["macro_f1"], report["weighted_f1"] = macro, weighted
        return report
        """,
    )
    notebook.write(
        "binary_report",
        """
        def column(values):
            values = np.array(values, dtype=float)
            if values.ndim == 2 and values.shape[1] == 1:
                values = values[:, 0]
            if values.ndim != 1 or values.size == 0:
                raise ValueError("not a column of numbers")
            return values.tolist()

        labels, probs = column(y_true), column(prob)
        if len(labels) != len(probs):
            raise ValueError("lengths differ")
        count = {(t, c): 0 for t in (0, 1) for c in (0, 1)}  # (truth, called)
        for label, p in zip(labels, probs):
            if label not in (0, 1) or not 0 <= p <= 1:
                raise ValueError(f"bad sample: label {label}, probability {p}")
            count[int(label), int(p >= threshold)] += 1
        tp, fp, fn, tn = count[1, 1], count[0, 1], count[1, 0], count[0, 0]
        if tp + fp + fn == 0:
            f1 = zero_division
        else:
            f1 = tp / (tp + 0.5 * (fp + fn))
        return dict(
            tp=tp, fp=fp, fn=fn, tn=tn, f1=f1,
            accuracy=(tp + tn) / len(labels),
            precision=tp / (tp + fp) if tp + fp else zero_division,
            recall=tp / (tp + fn) if tp + fn else zero_division,
        )
        """,
    )
    return notebook
