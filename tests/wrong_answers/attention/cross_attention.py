"""Catalogue of attention/cross_attention."""

from grader.catalogue import Alternative, WrongAnswer

SPLIT = ".unflatten(-1, (self.n_heads, -1)).transpose(1, 2)"
SOFTMAX = "weights = torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=-1)"
EMPTY = "weights = weights.masked_fill(hidden, 0)"

wrong_answers = [
    WrongAnswer(
        id="unscaled",  # the published module, given 3-D input, without which it does not run
        title="no scaling of the scores",
        explanation=(
            "The dot products go into the softmax as they are. Their spread grows with the number of terms in each, "
            "so that a wide model starts out with all its attention on one token and hardly any gradient. How many "
            "terms does one dot product of one head have?"
        ),
        caught_by="test_every_head_scales_by_its_own_width",
        swap=((" / math.sqrt(q.shape[-1])", ""),),
    ),
    WrongAnswer(
        id="scaled-by-model-width",
        title="scores divided by the square root of d_model, whatever the number of heads",
        explanation=(
            "With one head your results are right, with several the weights are too even. Every head multiplies only "
            "its own columns: count the terms of one of its dot products."
        ),
        caught_by="test_every_head_scales_by_its_own_width",
        swap=(("math.sqrt(q.shape[-1])", "math.sqrt(self.q_proj.out_features)"),),
    ),
    WrongAnswer(
        id="heads-not-transposed",
        title="heads split off with a reshape alone, which mixes tokens and heads",
        explanation=(
            "With one head your results are right, with several they are not, although all shapes fit. A reshape to "
            "(batch, heads, tokens, width) cuts the memory into pieces in the order in which it lies there, and that "
            "order is token by token: your heads hold pieces of different tokens. Which axes does a plain reshape "
            "leave next to each other, and which one still has to move?"
        ),
        caught_by="test_every_head_scales_by_its_own_width",
        swap=(
            (f"self.q_proj(query){SPLIT}", "self.q_proj(query).reshape(len(query), self.n_heads, query.shape[1], -1)"),
            (
                f"self.k_proj(context){SPLIT}",
                "self.k_proj(context).reshape(len(query), self.n_heads, context.shape[1], -1)",
            ),
            (
                f"self.v_proj(context){SPLIT}",
                "self.v_proj(context).reshape(len(query), self.n_heads, context.shape[1], -1)",
            ),
        ),
    ),
    WrongAnswer(
        id="softmax-over-queries",
        title="softmax over the text tokens instead of the image tokens",
        explanation=(
            "For each image token your weights sum to 1 over the text tokens: the words compete for the patch. It is "
            "the other way round, each word shares its attention among the patches. Look at the axis that the softmax "
            "runs over."
        ),
        caught_by="test_every_text_token_shares_its_attention_among_the_image_tokens",
        swap=((SOFTMAX, SOFTMAX.replace("dim=-1", "dim=-2")),),
    ),
    WrongAnswer(
        id="inverted-mask",
        title="mask read the other way round",
        explanation=(
            "You attend to the padding and hide the image. Libraries disagree about this: in `key_padding_mask` of "
            "nn.MultiheadAttention True means 'ignore', here and in most tokenizers it means 'real'. Read the table "
            "once more."
        ),
        caught_by="test_masking_an_image_token_equals_leaving_it_out",
        swap=(("hidden = ~context_mask", "hidden = context_mask"), ("torch.ones(", "torch.zeros(")),
    ),
    WrongAnswer(
        # with renormalisation it would be right, up to rounding
        id="mask-after-softmax",
        title="mask applied after the softmax, without renormalising",
        explanation=(
            "Masked tokens have weight 0, but the others no longer sum to 1: the softmax had already given the masked "
            "ones their share, and it is lost. Think about which scores would make the softmax itself give a weight "
            "of 0."
        ),
        caught_by="test_masking_an_image_token_equals_leaving_it_out",
        swap=((SOFTMAX, "weights = torch.softmax(scores, dim=-1)"),),
    ),
    WrongAnswer(
        id="nan-without-tokens",
        title="NaN for a sample whose image tokens are all masked",
        explanation=(
            "A text without an image comes back as NaN: all its scores are minus infinity, and the softmax becomes "
            "0/0. One such sample spoils the loss of the whole batch. Decide what attending to nothing should give, "
            "and put that in."
        ),
        caught_by="test_a_sample_without_image_tokens_gets_the_output_bias",
        swap=((f"        {EMPTY}  # a sample without any visible key: 0 instead of 0/0 = NaN\n", ""),),
    ),
    WrongAnswer(
        id="output-zeroed-without-tokens",
        title="the output bias is removed for a sample without image tokens",
        explanation=(
            "Your output is 0 where no image token is visible; asked for is what `out_proj` makes of 0. Whether the "
            "bias should count there is a decision, and it belongs to the block around the attention, the one that "
            "adds the output to the text. Where do you set the numbers to 0, before or after the projection?"
        ),
        caught_by="test_a_sample_without_image_tokens_gets_the_output_bias",
        swap=(
            (
                "        return output, weights\n",
                "        return output * context_mask.any(dim=1)[:, None, None], weights\n",
            ),
        ),
    ),
    WrongAnswer(
        id="pooled-context",
        title="the image pooled into one vector before the attention",
        explanation=(
            "There is only one key left to choose from, so every weight is 1 whatever the text asks, and `q_proj` and "
            "`k_proj` get a gradient of exactly 0: they will never learn. Look at what happens to the axis of image "
            "tokens before the scores are computed."
        ),
        caught_by="test_gradients_reach_every_projection",
        swap=(
            (
                "context = context.masked_fill(hidden[:, :, None], 0)",
                "context = context.masked_fill(hidden[:, :, None], 0).sum(dim=1, keepdim=True)\n"
                "        context = context / context_mask.sum(dim=1).clamp(min=1)[:, None, None]\n"
                "        hidden = hidden.all(dim=1, keepdim=True)",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-gradients",
        title="NaN gradients behind a result that looks right",
        explanation=(
            "The results are right, but one sample without image tokens makes the gradients NaN. Replacing the NaN "
            "after the softmax repairs the forward pass only; on the way back it is multiplied in again and reaches "
            "the weights of the projections. Make sure that nothing flows back from there, for example by *replacing* "
            "the masked scores instead of adding minus infinity to them."
        ),
        caught_by="test_gradients_reach_every_projection",
        swap=(
            (
                SOFTMAX,
                "bias = torch.zeros_like(scores).masked_fill(hidden, -torch.inf)\n"
                "        weights = torch.softmax(scores + bias, dim=-1)",
            ),
            (EMPTY, "weights = weights.nan_to_num(0.0)"),
        ),
    ),
    WrongAnswer(
        id="ready-made",
        title="the library's own attention",
        explanation=(
            "The work is done by a ready-made attention function, and this exercise asks for the operation itself. "
            "You have the weights already: what is missing to get the heads from them?"
        ),
        caught_by="test_four_projections_and_the_announced_shapes",
        swap=(
            ("heads = weights @ v", "heads = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=~hidden)"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="one-head-at-a-time",
        title="a loop over heads on chunks of columns, joined with cat",
        code="""
class CrossAttention(nn.Module):
    def __init__(self, q_dim, kv_dim, d_model, n_heads=1):
        super().__init__()
        if d_model % n_heads:
            raise ValueError("d_model must be a multiple of n_heads")
        self.h = n_heads
        self.q_proj, self.k_proj = nn.Linear(q_dim, d_model), nn.Linear(kv_dim, d_model)
        self.v_proj, self.out_proj = nn.Linear(kv_dim, d_model), nn.Linear(d_model, q_dim)

    def forward(self, query, context, context_mask=None):
        if query.ndim != 3 or context.ndim != 3:
            raise ValueError("3-D inputs expected")
        if query.shape[0] != context.shape[0]:
            raise ValueError("batch sizes differ")
        if context_mask is not None:
            if context_mask.dtype is not torch.bool or context_mask.shape != context.shape[:-1]:
                raise ValueError("bad mask")
        chunks = zip(*(p(x).chunk(self.h, dim=-1) for p, x in (
            (self.q_proj, query), (self.k_proj, context), (self.v_proj, context))))
        outputs, maps = [], []
        for q, k, v in chunks:
            scores = torch.bmm(q, k.transpose(1, 2)) * q.shape[-1] ** -0.5
            if context_mask is not None:
                keep = context_mask.unsqueeze(1)
                scores = torch.where(keep, scores, torch.finfo(scores.dtype).min)
                weights = scores.softmax(-1) * keep
            else:
                weights = scores.softmax(-1)
            outputs.append(torch.bmm(weights, v))
            maps.append(weights)
        return self.out_proj(torch.cat(outputs, dim=-1)), torch.stack(maps, dim=1)
""",
    ),
    Alternative(
        id="einsum",
        title="einsum over (batch, token, head, width), softmax by logsumexp",
        code="""
class CrossAttention(nn.Module):
    def __init__(self, q_dim, kv_dim, d_model, n_heads=1):
        if d_model % n_heads != 0:
            raise ValueError("d_model must be a multiple of n_heads")
        nn.Module.__init__(self)
        self.n_heads, self.width = n_heads, d_model // n_heads
        for name, into, out in (
            ("q_proj", q_dim, d_model), ("k_proj", kv_dim, d_model), ("v_proj", kv_dim, d_model),
            ("out_proj", d_model, q_dim),
        ):
            self.add_module(name, nn.Linear(into, out))

    def forward(self, query, context, context_mask=None):
        if not query.dim() == context.dim() == 3 or query.size(0) != context.size(0):
            raise ValueError("shapes do not fit")
        b, t, _ = query.shape
        s = context.size(1)
        if context_mask is None:
            context_mask = context.new_ones(b, s, dtype=torch.bool)
        elif not context_mask.dtype == torch.bool:
            raise TypeError("mask must be boolean")
        elif tuple(context_mask.shape) != (b, s):
            raise ValueError("mask does not fit")
        q = self.q_proj(query).view(b, t, self.n_heads, self.width) / math.sqrt(self.width)
        k = self.k_proj(context).view(b, s, self.n_heads, self.width)
        v = self.v_proj(context).view(b, s, self.n_heads, self.width)
        scores = torch.einsum("bthw,bshw->bhts", q, k).masked_fill(~context_mask[:, None, None], -1e30)
        log_weights = scores - scores.logsumexp(dim=-1, keepdim=True)
        weights = log_weights.exp() * context_mask[:, None, None]
        return self.out_proj(torch.einsum("bhts,bshw->bthw", weights, v).reshape(b, t, -1)), weights
""",
    ),
    Alternative(
        id="one-sample-at-a-time",
        title="a loop over samples that drops the padding instead of masking it",
        code="""
class CrossAttention(nn.Module):
    def __init__(self, q_dim, kv_dim, d_model, n_heads=1):
        super().__init__()
        if divmod(d_model, n_heads)[1] != 0:
            raise ValueError("d_model must be a multiple of n_heads")
        self.heads = n_heads
        self.q_proj = nn.Linear(q_dim, d_model)
        self.k_proj = nn.Linear(kv_dim, d_model)
        self.v_proj = nn.Linear(kv_dim, d_model)
        self.out_proj = nn.Linear(d_model, q_dim)

    def forward(self, query, context, context_mask=None):
        if len(query.shape) != 3 or len(context.shape) != 3 or query.shape[0] != context.shape[0]:
            raise ValueError("shapes do not fit")
        if context_mask is None:
            context_mask = torch.full(context.shape[:2], True)
        if context_mask.dtype != torch.bool or context_mask.shape != context.shape[:2]:
            raise ValueError("bad mask")
        outputs, maps = [], []
        for text, image, keep in zip(query, context, context_mask):
            tokens = image[keep]
            split = lambda x: x.view(x.shape[0], self.heads, x.shape[1] // self.heads).permute(1, 0, 2)
            q, k, v = split(self.q_proj(text)), split(self.k_proj(tokens)), split(self.v_proj(tokens))
            weights = torch.softmax(torch.matmul(q, k.mT) / q.shape[-1] ** 0.5, dim=2)
            outputs.append(self.out_proj(torch.matmul(weights, v).permute(1, 0, 2).reshape(text.shape[0], -1)))
            full = torch.zeros(self.heads, len(text), len(image), dtype=text.dtype)
            full[:, :, keep] = weights
            maps.append(full)
        return torch.stack(outputs), torch.stack(maps)
""",
    ),
]

equivalent_mutants = {
    "0 -> 1 in `context = context.masked_fill": "Padding gets weight 0, so that any finite number may stand in for it.",
}
