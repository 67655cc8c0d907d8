"""Wrong and differently written answers to fusion/attention_fusion.

Every "must reject" line of B-T4b and of E-X03 has an entry. Shared lines appear once: "one tied/shared attention"
(tied-attention), "second direction from the updated first" and "sequential update" (sequential), NaN for an empty
sample (nan-without-context, mean-of-no-tokens). "Gate at 1 or without tanh" is two entries.
"""

from grader.catalogue import Alternative, WrongAnswer

HIDDEN = "hidden = ~context_mask & some"
QUIET = "key_padding_mask=hidden, need_weights=False"
LOUD = "key_padding_mask=hidden, need_weights=True"
NO_MASK = "return attention(queries, context, context, need_weights=False)[0]  # (batch, queries, dim)"
ONES = "context_mask = torch.ones(context.shape[:2], dtype=torch.bool, device=context.device)"
FILL = "return result.masked_fill(~some[:, :, None], 0)"
TO_TEXT = "to_text = attend(self.text_from_image, text_normed, image_normed, image_mask)"
TO_IMAGE = "to_image = attend(self.image_from_text, image_normed, text_normed, text_mask)"
NEW_TEXT = "text + torch.tanh(self.gate_text) * to_text"
NEW_IMAGE = "image + torch.tanh(self.gate_image) * to_image"
LIBRARY_ORDER = (
    "self.text_from_image = nn.MultiheadAttention(dim, heads)",
    "self.image_from_text = nn.MultiheadAttention(dim, heads)",
)


def pooled(line: str, context: str) -> str:
    """The line with the mean of the valid context tokens in place of all of them."""
    mean = f"masked_mean({context}_normed, {context}_mask)[:, None]"
    mask = f"None if {context}_mask is None else {context}_mask.any(dim=1, keepdim=True)"
    return line.replace(f"{context}_normed, {context}_mask)", f"{mean}, {mask})")


wrong_answers = [
    WrongAnswer(
        id="pooled-self-attention",  # the published model, with its shapes made to fit
        title="self-attention on the pooled and concatenated vector",
        explanation=(
            "Your modalities are pooled before the attention, so that it sees a single token. A softmax over one key is "
            "1 whatever the query is: the layer is a linear map of the concatenation, and no word looks at any patch. "
            "What has to be left of the tokens when the attention comes?"
        ),
        caught_by="test_closed_gates",
        code="""
class AttentionFusion(nn.Module):
    def __init__(self, text_dim, image_dim, dim, heads, n_classes):
        super().__init__()
        self.text_proj, self.image_proj = nn.Linear(text_dim, dim), nn.Linear(image_dim, dim)
        self.block = BidirectionalCrossAttention(dim, heads)
        self.attention = nn.MultiheadAttention(2 * dim, heads, batch_first=True)
        self.norm, self.head = nn.LayerNorm(2 * dim), nn.Linear(2 * dim, n_classes)

    def forward(self, text, image, text_mask=None, image_mask=None):
        text, image = self.text_proj(text), self.image_proj(image)
        self.block(text, image, text_mask, image_mask)
        fused = torch.cat([masked_mean(text, text_mask), masked_mean(image, image_mask)], dim=1)[:, None]
        for _ in range(2):
            fused, _ = self.attention(fused, fused, fused)
        return self.head(self.norm(fused[:, 0]))
""",
    ),
    WrongAnswer(
        id="tied-attention",  # published as well: the same module applied twice
        title="one attention shared by both directions",
        explanation=(
            "Both attributes of your block are the same object. What a word looks for in a patch and what a patch looks "
            "for in a word are different questions; with shared weights they pull each other about. How many attention "
            "layers does your constructor create?"
        ),
        caught_by="test_parts",
        swap=(
            (
                "self.image_from_text = nn.MultiheadAttention(dim, heads, batch_first=True)",
                "self.image_from_text = self.text_from_image",
            ),
        ),
    ),
    WrongAnswer(
        id="head-of-width-dim",
        title="the classifier's width taken from one stream",
        explanation=(
            "Your head expects `dim` numbers, but it is given the means of two modalities side by side. Count the "
            "columns after the concatenation."
        ),
        caught_by="test_parts",
        swap=(("self.head = nn.Linear(2 * dim, n_classes)", "self.head = nn.Linear(dim, n_classes)"),),
    ),
    WrongAnswer(
        id="gate-at-1",
        title="gates that start open",
        explanation=(
            "Your gates start at 1, so untrained attention is mixed into the pretrained features at full strength on "
            "the first step. At which value of the gate is nothing added?"
        ),
        caught_by="test_closed_gates",
        swap=(("gate = 0.0 if zero_init else 0.5", "gate = 1.0 if zero_init else 0.5"),),
    ),
    WrongAnswer(
        id="gate-without-tanh",
        title="the gate used without tanh",
        explanation=(
            "Near 0 your gate behaves well, since there tanh hardly bends. Further out the attention can be added many "
            "times over. What keeps the factor between −1 and 1?"
        ),
        caught_by="test_two_directions",
        swap=(
            (NEW_TEXT, NEW_TEXT.replace("torch.tanh(self.gate_text)", "self.gate_text")),
            (NEW_IMAGE, NEW_IMAGE.replace("torch.tanh(self.gate_image)", "self.gate_image")),
        ),
    ),
    WrongAnswer(
        id="sequential",
        title="the image reads the text that has already been updated",
        explanation=(
            "Your new text is right and your new image is not: it attends to the text after the first direction has "
            "changed it. The two directions then depend on their order. Which tensors do both have to start from?"
        ),
        caught_by="test_two_directions",
        swap=(
            (
                TO_IMAGE,
                "later = self.norm_text(text + torch.tanh(self.gate_text) * to_text)\n"
                "        to_image = attend(self.image_from_text, image_normed, later, text_mask)",
            ),
        ),
    ),
    WrongAnswer(
        id="no-residual",
        title="the tokens replaced by what they read",
        explanation=(
            "Your block returns the gated attention alone, so with closed gates everything is 0, and the pretrained "
            "features are gone. What should a word be when it has read nothing?"
        ),
        caught_by="test_two_directions",
        swap=(
            (NEW_TEXT, NEW_TEXT.removeprefix("text + ")),
            (NEW_IMAGE, NEW_IMAGE.removeprefix("image + ")),
        ),
    ),
    WrongAnswer(
        id="self-attention",
        title="each modality attending to itself",
        explanation=(
            "Your new text does not change when the image does: queries, keys and values all come from one modality. "
            "Which of the three has to come from the other?"
        ),
        caught_by="test_two_directions",
        swap=(
            (TO_TEXT, "to_text = attend(self.text_from_image, text_normed, text_normed, text_mask)"),
            (TO_IMAGE, "to_image = attend(self.image_from_text, image_normed, image_normed, image_mask)"),
        ),
    ),
    WrongAnswer(
        id="context-not-normalised",
        title="the norm on the queries only",
        explanation=(
            "Keys and values enter your attention as they are, so their scale decides how sharp the softmax is and how "
            "much is added. In this exercise a modality's norm is used wherever that modality enters an attention."
        ),
        caught_by="test_two_directions",
        swap=(
            (TO_TEXT, "to_text = attend(self.text_from_image, text_normed, image, image_mask)"),
            (TO_IMAGE, "to_image = attend(self.image_from_text, image_normed, text, text_mask)"),
        ),
    ),
    WrongAnswer(
        id="inverted-masks",
        title="padding attended to and valid tokens hidden",
        explanation=(
            "Your valid tokens read the padding and nothing else. In this exercise True means valid; in "
            "`nn.MultiheadAttention` True means hidden. Where do you translate one into the other?"
        ),
        caught_by="test_padding_in_the_block",
        swap=((HIDDEN, "hidden = context_mask"),),
    ),
    WrongAnswer(
        id="hidden-without-masks",  # inverted masks again, where None was first turned into a mask of ones
        title="every token hidden where no mask is given",
        explanation=(
            "Without masks your block adds the same vector to every token: the gated output bias of the attention, "
            "which has seen no key. You make a mask of ones and hand it on as it is; in this exercise True means "
            "valid, in `nn.MultiheadAttention` True means hidden. Where do you translate one into the other?"
        ),
        caught_by="test_two_directions",
        swap=((NO_MASK, ONES), (HIDDEN, "hidden = context_mask")),
    ),
    WrongAnswer(
        id="nan-without-masks",  # the same with the library's default need_weights=True
        title="every token hidden where no mask is given, which makes NaN",
        explanation=(
            "Without masks all your results are NaN: every key is hidden, and a softmax over nothing is 0/0. You make a "
            "mask of ones and hand it on as it is; in this exercise True means valid, in `nn.MultiheadAttention` True "
            "means hidden. Where do you translate one into the other?"
        ),
        caught_by="test_closed_gates",
        swap=((NO_MASK, ONES), (HIDDEN, "hidden = context_mask"), (QUIET, LOUD)),
    ),
    WrongAnswer(
        id="token-axis-for-batch-axis",
        title="batch and tokens exchanged: an attention without batch_first that is given the batch first",
        explanation=(
            "`nn.MultiheadAttention` takes (tokens, batch, dim) unless it was made with `batch_first=True`. Yours gets "
            "(batch, tokens, dim). With as many samples as tokens nothing crashes, and tokens attend to other samples; "
            "with other numbers the shapes do not fit. Which of the two orders do you want to use throughout?"
        ),
        caught_by="test_closed_gates",
        swap=(
            ("self.text_from_image = nn.MultiheadAttention(dim, heads, batch_first=True)", LIBRARY_ORDER[0]),
            ("self.image_from_text = nn.MultiheadAttention(dim, heads, batch_first=True)", LIBRARY_ORDER[1]),
        ),
    ),
    WrongAnswer(
        id="pooled-context",
        title="the other modality averaged before the attention",
        explanation=(
            "Your words read a single vector, the mean of the patches, and patches the mean of the words. Whatever the "
            "query is, the only key there is has weight 1: every token of a sample gets the same. Which axis has to be "
            "left of the context, so that there is something to choose from?"
        ),
        caught_by="test_two_directions",
        swap=(
            (TO_TEXT, pooled(TO_TEXT, "image")),
            (TO_IMAGE, pooled(TO_IMAGE, "text")),
        ),
    ),
    WrongAnswer(
        id="image-first",
        title="the mean of the image before the mean of the text",
        explanation=(
            "Your two means stand side by side in the other order than announced. Nothing crashes, since both are `dim` "
            "wide, but weights that were trained for the words meet the patches. Which of the two comes first?"
        ),
        caught_by="test_closed_gates",
        swap=(
            (
                "[masked_mean(new_text, text_mask), masked_mean(new_image, image_mask)]",
                "[masked_mean(new_image, image_mask), masked_mean(new_text, text_mask)]",
            ),
        ),
    ),
    WrongAnswer(
        id="image-mask-ignored",
        title="padding patches read by the words",
        explanation=(
            "Your text changes with the content of padding patches. Images are often all of one size, and then nobody "
            "notices; with several sizes in a batch they are padded like texts. Which mask belongs to which direction?"
        ),
        caught_by="test_padding_in_the_block",
        swap=((TO_TEXT, TO_TEXT.replace("image_mask", "None")),),
    ),
    WrongAnswer(
        id="nan-without-context",
        title="NaN for a sample without words or patches",
        explanation=(
            "One sample without any valid token of a modality becomes NaN, since its softmax is 0/0. Such samples are "
            "normal where a modality is missing. What should their tokens be after the block?"
        ),
        caught_by="test_nothing_to_attend_to",
        swap=((HIDDEN, "hidden = ~context_mask"), (QUIET, LOUD), (FILL, "return result")),
    ),
    WrongAnswer(
        id="bias-without-context",
        title="the bias of the attention added where there was nothing to attend to",
        explanation=(
            "A sample without words gets its patches shifted by a constant, the output bias of the attention times the "
            "gate. It is invisible while the gate is 0 and grows with it. The *whole* attention term should vanish: "
            "after which step do you have to empty it?"
        ),
        caught_by="test_nothing_to_attend_to",
        swap=((HIDDEN, "hidden = ~context_mask"), (FILL, "return result")),
    ),
    WrongAnswer(
        id="padding-in-the-mean",
        title="padding words averaged with the others",
        explanation=(
            "Your logits change with the length to which a batch was padded: the mean runs over all tokens. By how many "
            "tokens has the sum of the valid ones to be divided?"
        ),
        caught_by="test_classifier",
        swap=(("if mask is None:\n        return tokens.mean", "if tokens is not None:\n        return tokens.mean"),),
    ),
    WrongAnswer(
        id="mean-of-no-tokens",
        title="0/0 in the mean over no valid token",
        explanation=(
            "A sample without valid words has the sum 0 and the count 0, and their quotient makes all its logits NaN. "
            "Which number can take the place of a count of 0 without changing any other sample?"
        ),
        caught_by="test_classifier",
        swap=((".sum(dim=1, keepdim=True).clamp(min=1)", ".sum(dim=1, keepdim=True)"),),
    ),
    WrongAnswer(
        id="nan-gradients",
        title="NaN gradients behind a result that looks right",
        explanation=(
            "The results are right, but a single sample without context makes gradients of the attention NaN, and after "
            "one step the weights. You repair the NaN after it has arisen; on the way back it is multiplied in again. "
            "What could such a sample attend to instead, so that no NaN arises at all?"
        ),
        caught_by="test_gradients",
        swap=((HIDDEN, "hidden = ~context_mask"), (QUIET, LOUD)),
    ),
    WrongAnswer(
        id="masks-unchecked",
        title="masks of another shape let through",
        explanation=(
            "A mask that does not fit the tokens is broadcast, or fails deep inside a library. Compare its shape with "
            "(batch, tokens) before using it."
        ),
        caught_by="test_bad_input",
        swap=(("mask.shape != tokens.shape[:2]:", "mask.dim() != 2:"),),
    ),
]

alternatives = [
    Alternative(
        id="functional-attention",
        title="scaled_dot_product_attention on the layers' weights; pooling with einsum",
        code="""
import torch.nn.functional as F


def _attention(layer, queries, context, keep):
    q, k, v = (
        F.linear(tokens, weight, bias).unflatten(-1, (layer.num_heads, -1)).transpose(1, 2)
        for tokens, weight, bias in zip(
            (queries, context, context), layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3)
        )
    )
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    keep = keep[:, None, None, :]
    weights = scores.masked_fill(~keep, -torch.inf).softmax(dim=-1).masked_fill(~keep, 0)
    result = layer.out_proj((weights @ v).transpose(1, 2).flatten(2))
    return torch.where(keep.any(dim=-1), result, 0)


def _masks(text, image, text_mask, image_mask):
    if text.ndim != 3 or image.ndim != 3 or text.shape[0] != image.shape[0]:
        raise ValueError("tokens")
    found = []
    for tokens, mask in ((text, text_mask), (image, image_mask)):
        mask = tokens.new_ones(tokens.shape[:2], dtype=torch.bool) if mask is None else mask
        if mask.dtype is not torch.bool or mask.shape != tokens.shape[:-1]:
            raise ValueError("mask")
        found.append(mask)
    return found


class BidirectionalCrossAttention(nn.Module):
    def __init__(self, dim, heads, zero_init=True):
        super().__init__()
        if heads <= 0 or dim % heads:
            raise ValueError("heads")
        self.norm_text, self.norm_image = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.text_from_image, self.image_from_text = (nn.MultiheadAttention(dim, heads) for _ in range(2))
        for name in ("gate_text", "gate_image"):
            self.register_parameter(name, nn.Parameter(torch.full((), 0.0 if zero_init else 0.5)))

    def forward(self, text, image, text_mask=None, image_mask=None):
        text_mask, image_mask = _masks(text, image, text_mask, image_mask)
        t, i = self.norm_text(text), self.norm_image(image)
        return (
            torch.add(text, self.gate_text.tanh() * _attention(self.text_from_image, t, i, image_mask)),
            torch.add(image, self.gate_image.tanh() * _attention(self.image_from_text, i, t, text_mask)),
        )


class AttentionFusion(nn.Module):
    def __init__(self, text_dim, image_dim, dim, heads, n_classes):
        super().__init__()
        self.block = BidirectionalCrossAttention(dim, heads)
        self.text_proj, self.image_proj = nn.Linear(text_dim, dim), nn.Linear(image_dim, dim)
        self.norm, self.head = nn.LayerNorm(2 * dim), nn.Linear(2 * dim, n_classes)

    def forward(self, text, image, text_mask=None, image_mask=None):
        masks = _masks(text, image, text_mask, image_mask)
        streams = self.block(self.text_proj(text), self.image_proj(image), *masks)
        features = []
        for tokens, mask in zip(streams, masks):
            weight = mask.to(tokens.dtype)
            features.append(torch.einsum("btd,bt->bd", tokens, weight) / (weight.sum(1) + (weight.sum(1) == 0))[:, None])
        return self.head(self.norm(torch.hstack(features)))
""",
    ),
    Alternative(
        id="one-sample-at-a-time",
        title="a loop over samples that leaves padding out, with unbatched attention",
        code="""
def _valid(tokens, mask):
    if mask is None:
        return [slice(None)] * len(tokens)
    if mask.dtype != torch.bool:
        raise TypeError("mask")
    if tuple(mask.shape) != tuple(tokens.shape[:2]):
        raise ValueError("mask")
    return [row.nonzero()[:, 0] for row in mask]


class BidirectionalCrossAttention(nn.Module):
    def __init__(self, dim, heads, zero_init=True):
        if heads < 1:
            raise ValueError("at least one head")
        if divmod(dim, heads)[1]:
            raise ValueError("heads do not divide dim")
        super().__init__()
        self.norm_text, self.norm_image = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.text_from_image = nn.MultiheadAttention(dim, heads)
        self.image_from_text = nn.MultiheadAttention(dim, heads)
        start = torch.zeros(()) if zero_init else torch.full((), 0.5)
        self.gate_text, self.gate_image = nn.Parameter(start.clone()), nn.Parameter(start.clone())

    def forward(self, text, image, text_mask=None, image_mask=None):
        if text.dim() != 3 or image.dim() != 3 or text.size(0) != image.size(0):
            raise ValueError("tokens")
        new_text, new_image = [], []
        for t, i, words, patches in zip(text, image, _valid(text, text_mask), _valid(image, image_mask)):
            queries_t, queries_i = self.norm_text(t), self.norm_image(i)
            keys_t, keys_i = queries_t[words], queries_i[patches]
            if len(keys_i):
                t = t + self.gate_text.tanh() * self.text_from_image(queries_t, keys_i, keys_i)[0]
            if len(keys_t):
                i = i + self.gate_image.tanh() * self.image_from_text(queries_i, keys_t, keys_t)[0]
            new_text.append(t)
            new_image.append(i)
        return torch.stack(new_text), torch.stack(new_image)


class AttentionFusion(nn.Module):
    def __init__(self, text_dim, image_dim, dim, heads, n_classes):
        super().__init__()
        self.text_proj = nn.Linear(text_dim, dim)
        self.image_proj = nn.Linear(image_dim, dim)
        self.block = BidirectionalCrossAttention(dim, heads, zero_init=True)
        self.norm = nn.LayerNorm(dim + dim)
        self.head = nn.Linear(dim + dim, n_classes)

    def forward(self, text, image, text_mask=None, image_mask=None):
        text, image = self.block(self.text_proj(text), self.image_proj(image), text_mask, image_mask)
        rows = []
        for t, i, words, patches in zip(text, image, _valid(text, text_mask), _valid(image, image_mask)):
            means = [kept.mean(0) if len(kept) else kept.new_zeros(kept.shape[1]) for kept in (t[words], i[patches])]
            rows.append(self.head(self.norm(torch.cat(means))))
        return torch.stack(rows)
""",
    ),
    Alternative(
        id="token-axis-first",
        title="attention with the token axis first, its result multiplied by whether there is any context",
        swap=(
            ("self.text_from_image = nn.MultiheadAttention(dim, heads, batch_first=True)", LIBRARY_ORDER[0]),
            ("self.image_from_text = nn.MultiheadAttention(dim, heads, batch_first=True)", LIBRARY_ORDER[1]),
            (NO_MASK, "context_mask = torch.full(context.shape[:2], True)"),
            (
                "result, _ = attention(queries, context, context, key_padding_mask=hidden, need_weights=False)",
                "q, k = queries.transpose(0, 1), context.transpose(0, 1)\n"
                "    result = attention(q, k, k, key_padding_mask=hidden)[0].transpose(0, 1)",
            ),
            (FILL, "return result * some[:, :, None]"),
        ),
    ),
]

equivalent_mutants = {
    "False -> True in `result, _ = attention": "The weights are thrown away; the result is the same.",
    "False -> True in `return attention": "The weights are thrown away; the result is the same.",
}
