"""Two mistakes at once: only what the first failing check saw looks like a mistake in the catalogue."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    notebook = Notebook(student, "attention/scaled_dot_product")
    notebook.write(
        "scaled_dot_product_attention",
        """
        dim = query.shape[-1]
        if dim != key.shape[-1]:
            raise ValueError(f"{dim} != {key.shape[-1]}")
        if key.shape[-2] != value.shape[-2]:
            raise ValueError("as many values as keys")
        scale = scale or dim**-0.5
        logits = torch.matmul(query, torch.transpose(key, -2, -1)) * scale
        L, S = logits.shape[-2:]
        if causal:
            later = torch.arange(S) > torch.arange(L).unsqueeze(1)
            logits = logits.masked_fill(later, -float("inf"))
        if mask is not None:
            if mask.dtype != torch.bool:
                raise TypeError(mask.dtype)
            try:
                logits = torch.where(mask.broadcast_to(logits.shape), logits, -float("inf"))
            except RuntimeError as e:
                raise ValueError(e)
        probs = torch.softmax(logits, dim=-1)
        return probs.matmul(value), probs
        """,
    )
    notebook.failed(
        "visible-checks",
        "AssertionError",
        "Tensor-likes are not close!",
        "torch.testing.assert_close(weights, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))",
    )
    notebook.scratch(
        "visible-checks",
        """
        # works without the mask
        p = scaled_dot_product_attention(torch.ones(1, 4), torch.eye(4), torch.eye(4))[1]
        print(p)
        """,
        "tensor([[0.2500, 0.2500, 0.2500, 0.2500]])",
    )
    return [notebook]
