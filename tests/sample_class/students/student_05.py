"""Never scales the scores, neither in the plain attention nor in the module: the same misconception twice."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    return [scaled_dot_product(student), cross_attention(student)]


def scaled_dot_product(student: str) -> Notebook:
    notebook = Notebook(student, "attention/scaled_dot_product")
    notebook.write(
        "scaled_dot_product_attention",
        """
        if query.size(-1) != key.size(-1) or key.size(-2) != value.size(-2):
            raise ValueError("Q, K and V do not fit together")

        # similarity of every query with every key
        S = torch.einsum("...ie,...je->...ij", query, key)
        if scale is not None:
            S = S * scale

        ok = torch.ones(S.shape, dtype=torch.bool)
        if causal:
            ok = torch.tril(ok)
        if mask is not None:
            if not mask.dtype == torch.bool:
                raise TypeError("a boolean mask")
            try:
                ok = torch.logical_and(ok, mask.expand(S.shape))
            except RuntimeError:
                raise ValueError("the mask does not broadcast")

        A = torch.softmax(torch.where(ok, S, float("-inf")), dim=-1)
        A = torch.where(ok, A, 0.0)  # nan -> 0
        return torch.einsum("...ij,...jf->...if", A, value), A
        """,
    )
    notebook.failed(
        "visible-checks",
        "AssertionError",
        "Tensor-likes are not close!",
        "torch.testing.assert_close(weights, torch.tensor([[0.75, 0.25], [0.75, 0.25]]))",
    )
    notebook.scratch(
        "visible-checks",
        """
        # no idea why it says 0.75, the softmax is right??
        A = scaled_dot_product_attention(torch.eye(2), torch.eye(2), torch.eye(2))[1]
        print(A, A.sum(-1))
        """,
        """
        tensor([[0.7311, 0.2689],
                [0.2689, 0.7311]]) tensor([1., 1.])
        """,
    )
    return notebook


def cross_attention(student: str) -> Notebook:
    notebook = Notebook(student, "attention/cross_attention")
    notebook.write(
        "CrossAttention.__init__",
        """
        nn.Module.__init__(self)
        if d_model % n_heads > 0:
            raise ValueError("choose another number of heads")
        self.H = n_heads
        self.W = d_model // n_heads
        self.q_proj = nn.Linear(q_dim, d_model)
        self.k_proj = nn.Linear(kv_dim, d_model)
        self.v_proj = nn.Linear(kv_dim, d_model)
        self.out_proj = nn.Linear(d_model, q_dim)
        """,
    )
    notebook.write(
        "CrossAttention.forward",
        """
        if query.dim() < 3 or context.dim() < 3 or query.size(0) != context.size(0):
            raise ValueError("(batch, tokens, width), same batch")
        B, T, _ = query.shape
        S = context.shape[1]
        if context_mask is not None and context_mask.dtype != torch.bool:
            raise TypeError("a boolean mask")
        if context_mask is not None and tuple(context_mask.shape) != (B, S):
            raise ValueError("mask should be (batch, keys)")

        Q = self.q_proj(query).reshape(B, T, self.H, self.W)
        K = self.k_proj(context).reshape(B, S, self.H, self.W)
        V = self.v_proj(context).reshape(B, S, self.H, self.W)
        energy = torch.einsum("bthw,bshw->bhts", Q, K)
        if context_mask is not None:
            real = context_mask.reshape(B, 1, 1, S)
            A = torch.softmax(torch.where(real, energy, float("-inf")), dim=-1)
            A = torch.where(real, A, 0.0)
        else:
            A = torch.softmax(energy, dim=-1)
        O = torch.einsum("bhts,bshw->bthw", A, V).reshape(B, T, self.H * self.W)
        return self.out_proj(O), A
        """,
    )
    notebook.scratch("visible-checks", 'print("passes! done")', "passes! done")
    return notebook
