"""Partly right, and in ways that no catalogue lists: one head copied for all of them, and a notebook half done."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    return [cross_attention(student), classification(student)]


def cross_attention(student: str) -> Notebook:
    """The weights have the shape of several heads, but only one head was computed."""
    notebook = Notebook(student, "attention/cross_attention")
    notebook.write(
        "CrossAttention.__init__",
        """
        super().__init__()
        assert n_heads > 0
        if d_model / n_heads != d_model // n_heads:
            raise ValueError("d_model / n_heads is not a whole number")
        self.n_heads = n_heads
        self.d = d_model
        self.q_proj, self.out_proj = nn.Linear(q_dim, d_model), nn.Linear(d_model, q_dim)
        self.k_proj, self.v_proj = nn.Linear(kv_dim, d_model), nn.Linear(kv_dim, d_model)
        """,
    )
    notebook.write(
        "CrossAttention.forward",
        """
        if len(query.shape) != 3 or len(context.shape) != 3:
            raise ValueError("I need (batch, tokens, features)")
        if len(query) != len(context):
            raise ValueError("different batches")
        if context_mask is None:
            context_mask = torch.ones(context.shape[0], context.shape[1]) > 0
        if context_mask.dtype != torch.bool or context_mask.shape != context.shape[0:2]:
            raise ValueError("bad mask")
        q = self.q_proj(query)
        k = self.k_proj(context)
        v = self.v_proj(context)
        att = torch.bmm(q, k.transpose(1, 2)) / self.d**0.5
        keep = context_mask.unsqueeze(1).expand_as(att)
        att = torch.softmax(att.masked_fill(~keep, -1e30), dim=2) * keep
        out = self.out_proj(torch.bmm(att, v))
        # TODO do the heads properly, for now every head gets the same weights
        return out, att.unsqueeze(1).repeat(1, self.n_heads, 1, 1)
        """,
    )
    notebook.scratch(
        "visible-checks",
        """
        m = CrossAttention(4, 4, 8, n_heads=2)
        o, w = m(torch.randn(1, 2, 4), torch.randn(1, 3, 4))
        print((w[:, 0] == w[:, 1]).all())
        """,
        "tensor(True)",
    )
    return notebook


def classification(student: str) -> Notebook:
    """Two claims without an answer, and the second function was never begun."""
    notebook = Notebook(student, "metrics/classification")
    notebook.answer("Accuracy, precision, recall, F1. (to be continued, I ran out of time)")
    notebook.claim(
        constant_guess=False, precision=False, micro_f1=True, macro_f1=False, roc_auc_classes=True, no_images=True
    )
    notebook.write(
        "classification_metrics",
        """
        a = np.asarray(y_true)
        b = np.asarray(y_pred)
        if a.ndim != 1 or b.ndim != 1 or a.size != b.size or a.size < 1:
            raise ValueError("y_true and y_pred")
        confusion = np.zeros((n_classes, n_classes), dtype="int64")
        for i in range(n_classes):
            for j in range(n_classes):
                confusion[i, j] = np.sum((a == i) & (b == j))
        if confusion.sum() != a.size:
            raise ValueError("some labels are not classes")
        tp = np.diag(confusion).astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.nan_to_num(tp / confusion.sum(axis=0))
            recall_or_nan = tp / confusion.sum(axis=1)
            recall = np.nan_to_num(recall_or_nan)
            f1 = np.nan_to_num(2 * precision * recall / (precision + recall))
        out = {}
        out["confusion"] = confusion
        out["precision"], out["recall"], out["f1"] = precision, recall, f1
        out["accuracy"] = np.mean(a == b)
        out["balanced_accuracy"] = np.nanmean(recall_or_nan)
        out["macro_f1"] = np.mean(f1)
        out["micro_f1"] = np.mean(a == b)
        out["weighted_f1"] = sum(f1[i] * np.mean(a == i) for i in range(n_classes))
        return out
        """,
    )
    notebook.failed(
        "visible-checks",
        "NotImplementedError",
        "write binary_report",
        "report = binary_report([1, 0, 1, 1, 0, 0, 1], [0.75, 0.5, 0.25, 0.5, 0.125, 0.875, 0.625])",
    )
    return notebook
