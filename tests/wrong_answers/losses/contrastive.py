"""Wrong and differently written answers to losses/contrastive.

Every "must reject" line of B-Q9b and of D-Q13 as the errata (3.16) merge them has an entry. D-Q13's "multiply by
temperature" is `scale-divides`, its "plain exp that overflows" is `softmax-overflows`; its ValueErrors for zero vectors
and N = 1 are dropped by the errata. B-Q9b (3), "scale used without exp, or divided", is two entries.
"""

from grader.catalogue import Alternative, WrongAnswer

SCALE = "scale = logit_scale.clamp(max=math.log(100)).exp()"
SIGLIP = "return -F.logsigmoid(sign * logits).sum() / n"
CLIP_NORMALISE = """text, image = F.normalize(text_emb, dim=1), F.normalize(image_emb, dim=1)
    logits = scale"""

wrong_answers = [
    WrongAnswer(
        id="squared-distance",  # the published "multimodal mean squared error"
        title="distance between partners in place of a contrastive loss",
        explanation=(
            "Your `clip_loss` pulls partners together and pushes nothing apart: it is 0 when both encoders return one "
            "constant vector for everything, and training finds that solution. What do the other pairs of the batch "
            "contribute to your loss?"
        ),
        caught_by="test_losses_in_closed_form",
        code="""
def clip_loss(text_emb, image_emb, logit_scale, direction="both", pair_ids=None):
    if text_emb.dim() != 2 or text_emb.shape != image_emb.shape or len(text_emb) == 0:
        raise ValueError("shapes")
    if direction not in ("both", "t2i", "i2t"):
        raise ValueError("direction")
    if pair_ids is not None and pair_ids.shape != text_emb.shape[:1]:
        raise ValueError("pair_ids")
    text, image = F.normalize(text_emb, dim=1), F.normalize(image_emb, dim=1)
    return logit_scale.exp() * (1 - (text * image).sum(dim=1)).mean()
""",
    ),
    WrongAnswer(
        id="published-claims",
        title="losses taken by their names, or for more than they can do",
        explanation=(
            "Among the claims are two that are often published: that the losses of a multimodal model differ from "
            "ordinary ones by their name, and that a distance between partners is enough. Write down what is computed "
            "in each case, and for two encoders that return one constant vector."
        ),
        caught_by="test_claims",
        swap=(
            ("named_by_modality=False", "named_by_modality=True"),
            ("distance_is_enough=False", "distance_is_enough=True"),
        ),
    ),
    WrongAnswer(
        id="one-direction",
        title="only the text-to-image direction, whatever direction is asked for",
        explanation=(
            "Your loss asks which image belongs to each text, but never which text belongs to each image. An image "
            "that is close to every text then costs nothing in its own row. What would the loss of the images be?"
        ),
        caught_by="test_clip_in_each_direction",
        swap=(("image_to_text = F.cross_entropy(logits.T, target)", "image_to_text = text_to_image"),),
    ),
    WrongAnswer(
        id="directions-exchanged",
        title="the softmax over the wrong axis, so that the two directions are exchanged",
        explanation=(
            "Your `both` is right, since it is symmetric, but `t2i` and `i2t` have changed places. In `t2i` a text "
            "chooses among the images: along which axis of your matrix do the images lie?"
        ),
        caught_by="test_clip_in_each_direction",
        swap=(
            ("text_to_image = F.cross_entropy(logits, target)", "text_to_image = F.cross_entropy(logits.T, target)"),
            ("image_to_text = F.cross_entropy(logits.T, target)", "image_to_text = F.cross_entropy(logits, target)"),
        ),
    ),
    WrongAnswer(
        id="not-normalised",
        title="dot products of the raw embeddings in place of cosines",
        explanation=(
            "The length of an embedding changes your loss, so the encoders can lower it by growing instead of "
            "turning, and the scale loses its meaning. What has to happen to the rows before they are multiplied?"
        ),
        caught_by="test_clip_in_each_direction",
        swap=((CLIP_NORMALISE, "text, image = text_emb, image_emb\n    logits = scale"),),
    ),
    WrongAnswer(
        id="scale-without-exp",
        title="logit_scale itself used as the scale",
        explanation=(
            "The parameter is the logarithm of the scale, so that no step of the optimiser can make the scale "
            "negative. Your logits are as if a scale of 14 were one of 2.6."
        ),
        caught_by="test_clip_in_each_direction",
        swap=((SCALE, "scale = logit_scale.clamp(max=100)"),),
    ),
    WrongAnswer(
        id="scale-divides",
        title="cosines divided by the scale, as if it were a temperature",
        explanation=(
            "A temperature divides, a scale multiplies: one is the inverse of the other. With yours, the softmax "
            "becomes flatter where it should become sharper. Which of the two does exp(`logit_scale`) stand for?"
        ),
        caught_by="test_clip_in_each_direction",
        swap=((f"{SCALE}\n", f"{SCALE.replace('.exp()', '.neg().exp()')}\n"),),
    ),
    WrongAnswer(
        id="pair-ids-ignored",
        title="pairs with the same id treated as strangers",
        explanation=(
            "`pair_ids` has no effect on your loss. Two images of the same caption are then each other's negatives, "
            "although both fit. Where could your target know about the ids?"
        ),
        caught_by="test_equal_pair_ids_share_the_target",
        swap=(
            (
                "same = (pair_ids[:, None] == pair_ids).to(logits.dtype)",
                "same = torch.eye(len(logits), dtype=logits.dtype)",
            ),
        ),
    ),
    WrongAnswer(
        id="target-not-shared",
        title="a full target of 1 for every partner with the same id",
        explanation=(
            "The target of a row is a distribution and sums to 1. Yours sums to the number of partners, so that a "
            "caption that occurs three times counts three times as much as others. What share is left for each?"
        ),
        caught_by="test_equal_pair_ids_share_the_target",
        swap=(("target = same / same.sum(dim=1, keepdim=True)", "target = same"),),
    ),
    WrongAnswer(
        id="siglip-mean-over-pairs",
        title="SigLIP averaged over all N·N pairs",
        explanation=(
            "Your `siglip_loss` is too small by a factor N. Dividing by the number of pairs makes the step shrink as "
            "the batch grows, since most of the N·N pairs are easy negatives. How many *true* pairs are there?"
        ),
        caught_by="test_losses_in_closed_form",
        swap=((SIGLIP, "return -F.logsigmoid(sign * logits).mean()"),),
    ),
    WrongAnswer(
        id="siglip-labels-0-and-1",
        title="labels 0 and 1 where the sign of the logit is meant",
        explanation=(
            "For a pair that does not belong together your logit is multiplied by 0, so it costs ln 2 whatever the "
            "embeddings are, and nothing is pushed apart. Which factor turns 'how likely is yes' into 'how likely is "
            "no'?"
        ),
        caught_by="test_siglip",
        swap=(
            (
                "sign = 2 * torch.eye(n, dtype=logits.dtype, device=logits.device) - 1",
                "sign = torch.eye(n, dtype=logits.dtype, device=logits.device)",
            ),
        ),
    ),
    WrongAnswer(
        id="siglip-true-pairs-only",
        title="SigLIP summed over the true pairs alone",
        explanation=(
            "Only the diagonal enters your `siglip_loss`, so nothing keeps different pairs apart. There are N·N "
            "questions, and for most of them the answer is no."
        ),
        caught_by="test_siglip",
        swap=((SIGLIP, "return -F.logsigmoid(logits.diagonal()).sum() / n"),),
    ),
    WrongAnswer(
        id="siglip-without-bias",
        title="the bias left out of the SigLIP logits",
        explanation=(
            "For every true pair there are N − 1 others. The bias lets the model start with 'no' as its usual answer; "
            "your logits do without it."
        ),
        caught_by="test_siglip",
        swap=(("logits = log_t.exp() * text @ image.T + bias", "logits = log_t.exp() * text @ image.T + 0 * bias"),),
    ),
    WrongAnswer(
        id="softmax-overflows",
        title="the softmax written with plain exponentials",
        explanation=(
            "At a scale near 100 your CLIP loss is NaN or infinite in float32: exp(100) is larger than any float32. "
            "Only differences of logits matter to a softmax. Which number could you subtract from a whole row first?"
        ),
        caught_by="test_extreme_scales_and_vectors",
        swap=(
            (
                "text_to_image = F.cross_entropy(logits, target)",
                "text_to_image = -(target * (logits.exp() / logits.exp().sum(1, keepdim=True)).log()).sum(1).mean()",
            ),
        ),
    ),
    WrongAnswer(
        id="log-of-softmax",
        title="the logarithm taken of a finished softmax",
        explanation=(
            "When the true partner is the worst of the candidates at a scale of 100, your CLIP loss is infinite or NaN: "
            "its softmax has been rounded to 0 before the logarithm. Softmax and logarithm belong in one step."
        ),
        caught_by="test_extreme_scales_and_vectors",
        swap=(
            (
                "text_to_image = F.cross_entropy(logits, target)",
                "text_to_image = -(target * logits.softmax(dim=1).log()).sum(dim=1).mean()",
            ),
            (
                "image_to_text = F.cross_entropy(logits.T, target)",
                "image_to_text = -(target * logits.T.softmax(dim=1).log()).sum(dim=1).mean()",
            ),
        ),
    ),
    WrongAnswer(
        id="log-of-sigmoid",
        title="the logarithm taken of a finished sigmoid",
        explanation=(
            "A pair that is confidently wrong makes your SigLIP loss infinite: its sigmoid has been rounded to 0 "
            "before the logarithm. Sigmoid and logarithm belong in one step."
        ),
        caught_by="test_extreme_scales_and_vectors",
        swap=((SIGLIP, "return -torch.log(torch.sigmoid(sign * logits)).sum() / n"),),
    ),
    WrongAnswer(
        id="scale-not-capped",
        title="a CLIP scale without the cap at 100",
        explanation=(
            "Above a scale of 100 your loss goes on changing. Without the cap, a learned scale can run away as soon "
            "as the training pairs are told apart, and training becomes unstable."
        ),
        caught_by="test_extreme_scales_and_vectors",
        swap=((SCALE, "scale = logit_scale.exp()"),),
    ),
    WrongAnswer(
        id="nan-for-zero-vectors",
        title="NaN for an embedding of zeros",
        explanation=(
            "A vector of zeros is divided by its length, 0, and the NaN spreads to the whole loss. An image encoder "
            "that ends in a ReLU can produce one. What keeps the denominator away from 0?"
        ),
        caught_by="test_extreme_scales_and_vectors",
        swap=(
            (
                CLIP_NORMALISE,
                "text, image = (x / x.norm(dim=1, keepdim=True) for x in (text_emb, image_emb))\n    logits = scale",
            ),
        ),
    ),
    WrongAnswer(
        id="scale-detached",
        title="the learned scale cut off from its gradient",
        explanation=(
            "The value of your loss is right, but `logit_scale` gets no gradient and will never be learned. Turning a "
            "tensor into a Python number, or detaching it, ends the graph there."
        ),
        caught_by="test_gradients",
        swap=((SCALE, "scale = math.exp(min(logit_scale.item(), math.log(100)))"),),
    ),
    WrongAnswer(
        id="broadcasts-one-text",
        title="one text silently paired with every image",
        explanation=(
            "Texts and images of different number go through without a complaint, because a matrix product only needs "
            "equal widths. The k-th text has then no k-th image. Compare the shapes before you compute."
        ),
        caught_by="test_bad_input",
        code="""
def siglip_loss(text_emb, image_emb, log_t, bias):
    if text_emb.dim() != 2 or image_emb.dim() != 2 or len(text_emb) == 0 or text_emb.shape[1] != image_emb.shape[1]:
        raise ValueError("shapes")
    logits = log_t.exp() * F.normalize(text_emb, dim=1) @ F.normalize(image_emb, dim=1).T + bias
    sign = 2 * torch.eye(*logits.shape, dtype=logits.dtype) - 1
    return -F.logsigmoid(sign * logits).sum() / len(text_emb)
""",
    ),
]

alternatives = [
    Alternative(
        id="pair-by-pair",
        title="loops over rows, with logsumexp and softplus",
        code="""
def _cosine(u, v):
    return (u * v).sum() / ((u * u).sum() * (v * v).sum()).clamp(min=1e-24).sqrt()


def _rows(text_emb, image_emb):
    if text_emb.ndim != 2 or image_emb.ndim != 2 or text_emb.size() != image_emb.size() or not text_emb.size(0):
        raise ValueError("expected two tensors of shape (N, D)")
    return torch.stack([torch.stack([_cosine(t, i) for i in image_emb]) for t in text_emb])


def clip_loss(text_emb, image_emb, logit_scale, direction="both", pair_ids=None):
    cosines = _rows(text_emb, image_emb)
    n = len(cosines)
    if direction not in {"both", "t2i", "i2t"}:
        raise ValueError(direction)
    if pair_ids is not None and tuple(pair_ids.shape) != (n,):
        raise ValueError("pair_ids")
    ids = list(range(n)) if pair_ids is None else pair_ids.tolist()
    logits = cosines * torch.where(logit_scale.exp() > 100, logit_scale.new_tensor(100.0), logit_scale.exp())
    parts = []
    for name, table in (("t2i", logits), ("i2t", logits.T)):
        if direction in (name, "both"):
            rows = []
            for i, row in enumerate(table):
                partners = [j for j in range(n) if ids[j] == ids[i]]
                rows.append(torch.logsumexp(row, 0) - row[partners].mean())
            parts.append(torch.stack(rows).mean())
    return sum(parts) / len(parts)


def siglip_loss(text_emb, image_emb, log_t, bias):
    logits = _rows(text_emb, image_emb) * torch.exp(log_t) + bias
    yes = logits.diagonal()
    no = logits[~torch.eye(len(logits), dtype=torch.bool)]
    return (F.softplus(-yes).sum() + F.softplus(no).sum()) / len(logits)
""",
    ),
    Alternative(
        id="class-numbers",
        title="cross-entropy with class numbers when there are no ids; binary cross-entropy for SigLIP",
        code="""
def clip_loss(text_emb, image_emb, logit_scale, direction="both", pair_ids=None):
    if not (text_emb.ndim == image_emb.ndim == 2) or text_emb.shape != image_emb.shape or text_emb.shape[0] < 1:
        raise ValueError("embeddings")
    if direction == "both":
        halves = [clip_loss(text_emb, image_emb, logit_scale, way, pair_ids) for way in ("t2i", "i2t")]
        return 0.5 * halves[0] + 0.5 * halves[1]
    if direction == "i2t":
        return clip_loss(image_emb, text_emb, logit_scale, "t2i", pair_ids)
    if direction != "t2i":
        raise ValueError("direction")
    cosines = F.cosine_similarity(text_emb[:, None, :], image_emb[None, :, :], dim=2)
    logits = cosines * logit_scale.exp().clamp(max=100)
    if pair_ids is None:
        return F.cross_entropy(logits, torch.arange(len(logits)))
    if pair_ids.shape != (len(logits),):
        raise ValueError("pair_ids")
    partner = pair_ids.unsqueeze(0) == pair_ids.unsqueeze(1)
    log_probability = logits.log_softmax(dim=1)
    return -(log_probability.where(partner, 0.0).sum(dim=1) / partner.sum(dim=1)).mean()


def siglip_loss(text_emb, image_emb, log_t, bias):
    if not (text_emb.ndim == image_emb.ndim == 2) or text_emb.shape != image_emb.shape or text_emb.shape[0] < 1:
        raise ValueError("embeddings")
    cosines = F.cosine_similarity(text_emb[:, None, :], image_emb[None, :, :], dim=2)
    logits = cosines * log_t.exp() + bias
    truth = torch.eye(len(logits), dtype=logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="sum") / len(logits)
""",
    ),
    Alternative(
        id="einsum-and-chunks",
        title="einsum and a hand-written stable softmax; SigLIP text by text",
        code="""
def _unit(x):
    return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + 1e-8)


def _checked(text_emb, image_emb):
    shapes = (tuple(text_emb.shape), tuple(image_emb.shape))
    if len(shapes[0]) != 2 or shapes[0] != shapes[1] or 0 in shapes[0][:1]:
        raise ValueError(shapes)
    return _unit(text_emb), _unit(image_emb)


def clip_loss(text_emb, image_emb, logit_scale, direction="both", pair_ids=None):
    text, image = _checked(text_emb, image_emb)
    axes = {"t2i": (1,), "i2t": (0,), "both": (0, 1)}.get(direction)
    if axes is None:
        raise ValueError(direction)
    n = text.shape[0]
    ids = torch.arange(n) if pair_ids is None else pair_ids
    if list(ids.shape) != [n]:
        raise ValueError(ids.shape)
    logits = torch.exp(torch.clamp(logit_scale, max=4.605170185988092)) * torch.einsum("td,id->ti", text, image)
    target = torch.eq(ids[:, None], ids[None, :]).double()
    target = (target / target.sum(1)).to(logits.dtype)
    losses = []
    for axis in axes:
        shifted = logits - logits.amax(dim=axis, keepdim=True).detach()
        log_p = shifted - shifted.exp().sum(dim=axis, keepdim=True).log()
        losses.append(-(log_p * target).sum() / n)
    return torch.stack(losses).mean()


def siglip_loss(text_emb, image_emb, log_t, bias):
    text, image = _checked(text_emb, image_emb)
    total = text.new_zeros(())
    for i, row in enumerate(text):
        logits = torch.exp(log_t) * torch.mv(image, row) + bias
        signs = torch.full_like(logits, -1.0)
        signs[i] = 1.0
        total = total + torch.logaddexp(torch.zeros_like(logits), -signs * logits).sum()
    return total / text.shape[0]
""",
    ),
]

equivalent_mutants = {
    "True -> False in `target = same": "Equal ids make a symmetric matrix, so that dividing rows or columns is the same.",
}
