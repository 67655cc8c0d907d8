"""Forgot a colon in the one cell that counts."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    notebook = Notebook(student, "attention/scaled_dot_product")
    notebook.write(
        "scaled_dot_product_attention",
        """
        scores = query @ key.transpose(-2, -1)
        if scale is None
            scale = 1 / math.sqrt(query.shape[-1])
        scores = scores * scale
        if causal:
            scores = scores + torch.triu(torch.full(scores.shape[-2:], float("-inf")), 1)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = scores.softmax(-1)
        return weights @ value, weights
        """,
    )
    notebook.failed("solution", "SyntaxError", "expected ':'", "if scale is None")
    notebook.failed(
        "visible-checks",
        "NameError",
        "name 'scaled_dot_product_attention' is not defined",
        "output, weights = scaled_dot_product_attention(query, key, value)",
    )
    notebook.scratch("code-01", "torch.manual_seed(42)\nprint(torch.rand(1) < 1)", "tensor([True])")
    return [notebook]
