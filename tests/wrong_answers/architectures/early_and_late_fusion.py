"""Catalogue of architectures/early_and_late_fusion."""

from grader.catalogue import Alternative, WrongAnswer

MEAN_PROB = """            total = log_probs.masked_fill(absent, -torch.inf).logsumexp(dim=0)  # (batch, classes)
            return total - count.to(total.dtype).log()
"""
LOG_OPINION = "return F.log_softmax(log_probs.masked_fill(absent, 0).sum(dim=0) / count, dim=1)"
NOBODY = """            raise ValueError("a sample has no modality at all")
"""
EMPTY = "            features = features.masked_fill(~there[:, None], 0)\n"

# Averaged logits under `log_opinion` are no wrong answer: the log-softmax of their mean is the same function (see the
# alternative "from-the-logits").
wrong_answers = [
    WrongAnswer(
        id="published-claims",
        title="a cascade taken for separate sub-models with fused results",
        explanation=(
            "One of the claims follows a description that is often published under the name of a cascade. Ask of such "
            "a description: does the second stage ever see what the first one said, and is there an input on which it "
            "does not run? If neither, what is that arrangement called?"
        ),
        caught_by="test_claims",
        swap=(("cascade_fuses_results=False", "cascade_fuses_results=True"),),
    ),
    WrongAnswer(
        id="summed-features",
        title="features added up instead of put side by side",
        explanation=(
            "Features of different widths cannot be added, and of equal widths they should not be: after the sum, "
            "nothing tells which modality a number came from, and every column of `fc1` serves both. How wide is what "
            "`fc1` takes in?"
        ),
        caught_by="test_early_fusion",
        swap=(
            ("nn.Linear(sum(dims.values()), hidden)", "nn.Linear(max(dims.values()), hidden)"),
            (
                "torch.cat(ordered_features(feats, self.dims), dim=1)",
                "sum(F.pad(x, (0, self.fc1.in_features - x.shape[1])) for x in ordered_features(feats, self.dims))",
            ),
        ),
    ),
    WrongAnswer(
        id="order-of-the-caller",
        title="features concatenated in the order in which the caller's dictionary holds them",
        explanation=(
            "Two dictionaries with the same entries can hold them in different orders, and your result changes with "
            "the order of `feats`. No error tells the caller that the weights of the text met the image. Which "
            "dictionary did the layer get its columns from?"
        ),
        caught_by="test_early_fusion",
        swap=(
            (
                "joined = torch.cat(ordered_features(feats, self.dims), dim=1)",
                "ordered_features(feats, self.dims)\n        joined = torch.cat(list(feats.values()), dim=1)",
            ),
        ),
    ),
    WrongAnswer(
        id="no-relu",
        title="no activation between the two linear layers",
        explanation=(
            "Two linear layers in a row are one linear layer. Then the class scores are a sum of something from the "
            "text and something from the image, as in late fusion, and XOR is out of reach again. What belongs "
            "between the two layers?"
        ),
        caught_by="test_early_fusion",
        swap=(("self.fc2(F.relu(self.fc1(joined)))", "self.fc2(self.fc1(joined))"),),
    ),
    WrongAnswer(
        id="mean-of-logits",
        title="logits averaged where the mean of the probabilities was asked for",
        explanation=(
            "With `mean_prob` you average before the softmax, or average logarithms. That gives the renormalised "
            "geometric mean of the probabilities, which is what `log_opinion` is for. Which of softmax and mean comes "
            "first when probabilities are averaged?"
        ),
        caught_by="test_late_fusion_of_everything",
        swap=((MEAN_PROB, f"            {LOG_OPINION}\n"),),
    ),
    WrongAnswer(
        id="unnormalised",
        title="mean of the log-probabilities returned without renormalising",
        explanation=(
            "The geometric mean of distributions sums to less than 1 unless they agree, so the mean of log-"
            "probabilities is no log-probability yet. The arg-max is right, a loss computed from it is not. What "
            "makes the exponentials of each row sum to 1?"
        ),
        caught_by="test_late_fusion_of_everything",
        swap=((LOG_OPINION, "return log_probs.masked_fill(absent, 0).sum(dim=0) / count"),),
    ),
    WrongAnswer(
        id="product-of-opinions",
        title="log-probabilities added up instead of averaged",
        explanation=(
            "With `log_opinion` your result is sharper than any of the heads: you multiply the opinions, as if each "
            "rested on independent evidence. A logarithmic opinion pool takes their geometric mean. By what does a sum "
            "have to be divided to become a mean?"
        ),
        caught_by="test_late_fusion_of_everything",
        swap=((LOG_OPINION, "return F.log_softmax(log_probs.masked_fill(absent, 0).sum(dim=0), dim=1)"),),
    ),
    WrongAnswer(
        id="softmax-over-the-batch",
        title="softmax over the samples instead of the classes",
        explanation=(
            "Your result for one sample changes with the other samples of the batch: the softmax of the heads runs over "
            "the first axis. Each sample distributes its probability over the classes. Which axis are these?"
        ),
        caught_by="test_late_fusion_of_everything",
        swap=(
            ("F.log_softmax(self.heads[name](features), dim=1)", "F.log_softmax(self.heads[name](features), dim=0)"),
        ),
    ),
    WrongAnswer(
        id="probabilities-returned",
        title="probabilities returned, not their logarithms",
        explanation=(
            "The rows of your result sum to 1, as probabilities do. The task asks for log-probabilities, which a loss "
            "such as `nll_loss` can use as they are and which can be exact where a probability is too small for a float."
        ),
        caught_by="test_small_examples",
        swap=(
            ("return total - count.to(total.dtype).log()", "return (total - count.to(total.dtype).log()).exp()"),
            (LOG_OPINION, LOG_OPINION.replace("F.log_softmax", "F.softmax")),
        ),
    ),
    WrongAnswer(
        id="mask-needs-every-name",
        title="a mask that has to name every modality",
        explanation=(
            "Your module looks up every modality in the mask and fails where it is not listed. The mask may speak about "
            "some modalities only; a modality without an entry is there for every sample."
        ),
        caught_by="test_small_examples",
        swap=(("            if mask is not None and name in mask:\n", "            if mask is not None:\n"),),
    ),
    WrongAnswer(
        id="certain-when-absent",
        title="0 filled in for a missing log-probability before the sum of exponentials",
        explanation=(
            "A log-probability of 0 is a probability of 1: with `mean_prob` your missing modalities vote for every class "
            "at once. What is harmless in a sum counts in a sum of exponentials. Which logarithm has the exponential 0?"
        ),
        caught_by="test_missing_modalities_have_no_vote",
        swap=(("log_probs.masked_fill(absent, -torch.inf)", "log_probs.masked_fill(absent, 0)"),),
    ),
    WrongAnswer(
        id="divided-by-all",
        title="sum over the modalities that are there divided by the number of all modalities",
        explanation=(
            "When everything is there your result is right. With one of three modalities missing, the two that are "
            "left have weights of 1/3 each: the probabilities sum to 2/3, or the opinion is damped towards the uniform "
            "one. How many votes did each sample really have?"
        ),
        caught_by="test_missing_modalities_have_no_vote",
        swap=((NOBODY, f"{NOBODY}        count = torch.full_like(count, len(self.dims))\n"),),
    ),
    WrongAnswer(
        id="inverted-mask",
        title="mask read the other way round",
        explanation=(
            "You use what is missing and drop what is there. Libraries disagree about the meaning of True; in this "
            "course a mask says what is valid. Read the rule for `mask` once more."
        ),
        caught_by="test_missing_modalities_have_no_vote",
        swap=(("there = mask[name]\n", "there = ~mask[name] if mask[name].dtype == torch.bool else mask[name]\n"),),
    ),
    WrongAnswer(
        id="mask-ignored",
        title="missing modalities vote like the others",
        explanation=(
            "A masked modality still has its say in your result: the head makes an opinion even of an empty vector, "
            "namely its bias. See where the mask enters the mean, and not only the features."
        ),
        caught_by="test_missing_modalities_have_no_vote",
        swap=(
            (
                NOBODY,
                f"{NOBODY}        absent = torch.zeros_like(absent)\n"
                "        count = torch.full_like(count, len(self.dims))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="absent-unless-listed",
        title="a modality without an entry in the mask taken for missing",
        explanation=(
            "The mask may speak about some modalities only. The ones that it does not mention are there for every "
            "sample; yours lose their vote as soon as a mask is given."
        ),
        caught_by="test_missing_modalities_have_no_vote",
        swap=(
            (
                "            if mask is not None and name in mask:\n                there = mask[name]\n",
                "            if mask is not None:\n                there = mask.get(name, torch.zeros_like(there))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-times-zero",
        title="missing modalities multiplied by 0",
        explanation=(
            "NaN times 0 is NaN, so one broken image makes its sample's result NaN although the mask says that the "
            "image is missing. What is missing has to be replaced, not multiplied away."
        ),
        caught_by="test_content_of_a_missing_modality",
        swap=(
            (EMPTY, ""),
            ("log_probs.masked_fill(absent, -torch.inf)", "(log_probs + (~absent).to(log_probs.dtype).log())"),
            ("log_probs.masked_fill(absent, 0)", "(log_probs * ~absent)"),
        ),
    ),
    WrongAnswer(
        id="mask-after-the-head",
        title="NaN gradients behind a result that looks right",
        explanation=(
            "The result is right, but training on it is not: the gradient of a head's weight is a sum of products with "
            "the head's input, and 0 · NaN is NaN there too, for the whole batch. Where would the replacement have to "
            "happen, so that the head never sees the broken features?"
        ),
        caught_by="test_content_of_a_missing_modality",
        swap=((EMPTY, ""),),
    ),
    WrongAnswer(
        id="emptied-in-place",
        title="missing features overwritten in the caller's tensor",
        explanation=(
            "Your module writes into the tensors that it was given. The caller, who may pass the same features on to "
            "another model or to the next epoch, finds zeros in them. Replace the missing rows in a copy."
        ),
        caught_by="test_content_of_a_missing_modality",
        swap=((EMPTY, "            features[~there] = 0\n"),),
    ),
    WrongAnswer(
        id="log-of-the-mean",
        title="logarithm of probabilities that have become 0",
        explanation=(
            "For large logits a probability falls below the smallest float and becomes 0, and its logarithm minus "
            "infinity: the loss and all its gradients are lost on the samples that the model gets most wrong. The "
            "logarithm of a sum of exponentials can be computed without ever leaving logarithms; PyTorch has a "
            "function for it."
        ),
        caught_by="test_large_logits",
        swap=(
            (
                MEAN_PROB,
                "            return (log_probs.exp().masked_fill(absent, 0).sum(dim=0) / count).log()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="masked-key-optional",
        title="features may be left out, or the modality is skipped, without an error",
        explanation=(
            "When `feats` lacks a modality your module answers from the others. A typing error in a name then goes "
            "unnoticed. A modality is declared missing by its mask; its entry in `feats` stays obligatory."
        ),
        caught_by="test_bad_input",
        swap=(
            (
                "ordered = [feats[name] for name in dims]",
                "batch = len(next(iter(feats.values())))\n"
                "    ordered = [feats.get(name, torch.zeros(batch, width)) for name, width in dims.items()]",
            ),
        ),
    ),
    WrongAnswer(
        id="nobody-votes",
        title="a sample without any modality gets a result",
        explanation=(
            "With nothing there the mean is 0/0. Minus infinity, NaN or a uniform distribution made of it travels on "
            "as if it were an opinion; the caller has to hear about it."
        ),
        caught_by="test_bad_input",
        swap=(("        if (count == 0).any():\n", "        if len(count) == 0:\n"),),
    ),
]

alternatives = [
    Alternative(
        id="from-the-logits",
        title="logarithmic opinion from averaged logits, mean of probabilities from weighted log-probabilities",
        code="""
class EarlyFusion(nn.Module):
    def __init__(self, dims, hidden, n_classes):
        super().__init__()
        self.widths = dims
        self.fc1 = nn.Linear(in_features=sum(dims[name] for name in dims), out_features=hidden)
        self.fc2 = nn.Linear(hidden, n_classes)

    def forward(self, feats):
        sizes = {len(feats[name]) for name in self.widths}
        if len(sizes) > 1 or any(feats[name].ndim != 2 or feats[name].size(1) != w for name, w in self.widths.items()):
            raise ValueError("features do not fit")
        return self.fc2(self.fc1(torch.hstack([feats[name] for name in self.widths])).clamp(min=0))


class LateFusion(nn.Module):
    def __init__(self, dims, n_classes, combine="mean_prob"):
        super().__init__()
        self.heads = nn.ModuleDict()
        for name in dims:
            self.heads[name] = nn.Linear(dims[name], n_classes)
        if combine not in {"mean_prob", "log_opinion"}:
            raise ValueError(combine)
        self.combine = combine

    def forward(self, feats, mask=None):
        mask = mask or {}
        batch = None
        for name, head in self.heads.items():
            x = feats[name]
            if x.ndim != 2 or x.shape[1] != head.in_features or batch not in (None, len(x)):
                raise ValueError("features do not fit")
            batch = len(x)
        keep = {name: mask.get(name, torch.full((batch,), True)) for name in self.heads}
        if any(k.dtype != torch.bool or k.shape != (batch,) for k in keep.values()):
            raise ValueError("mask does not fit")
        weight = torch.stack([keep[name] for name in self.heads], dim=1).to(next(self.parameters()).dtype)
        if not weight.any(dim=1).all():
            raise ValueError("nothing there")
        weight = weight / weight.sum(dim=1, keepdim=True)
        logits = torch.stack(
            [
                head(torch.where(keep[name].unsqueeze(1), feats[name], torch.zeros_like(feats[name])))
                for name, head in self.heads.items()
            ],
            dim=1,
        )
        if self.combine == "log_opinion":
            return torch.log_softmax((weight.unsqueeze(-1) * logits).sum(dim=1), dim=1)
        return torch.logsumexp(logits.log_softmax(dim=-1) + weight.log().unsqueeze(-1), dim=1)
""",
    ),
    Alternative(
        id="sample-by-sample",
        title="a loop over samples that only looks at the modalities that are there",
        code="""
class EarlyFusion(nn.Module):
    def __init__(self, dims, hidden, n_classes):
        super().__init__()
        self.dims = dims
        self.fc1, self.fc2 = nn.Linear(sum(dims.values()), hidden), nn.Linear(hidden, n_classes)

    def forward(self, feats):
        joined = torch.cat(check(feats, self.dims), dim=-1)
        return self.fc2(torch.relu(self.fc1(joined)))


def check(feats, dims):
    inputs = []
    for name, width in dims.items():
        if feats[name].dim() != 2 or feats[name].shape[-1] != width:
            raise ValueError("width")
        inputs.append(feats[name])
    if len({x.shape[0] for x in inputs}) != 1:
        raise ValueError("batch")
    return inputs


class LateFusion(nn.Module):
    def __init__(self, dims, n_classes, combine="mean_prob"):
        super().__init__()
        if combine == "mean_prob":
            self.pool = lambda opinions: opinions.logsumexp(0) - opinions.new_tensor(float(len(opinions))).log()
        elif combine == "log_opinion":
            self.pool = lambda opinions: opinions.mean(0).log_softmax(-1)
        else:
            raise ValueError(combine)
        self.dims = dims
        self.heads = nn.ModuleDict({name: nn.Linear(width, n_classes) for name, width in dims.items()})

    def forward(self, feats, mask=None):
        batch = len(check(feats, self.dims)[0])
        mask = {} if mask is None else mask
        for there in mask.values():
            if there.dtype is not torch.bool:
                raise TypeError("mask")
            if tuple(there.shape) != (batch,):
                raise ValueError("mask")
        rows = []
        for i in range(batch):
            names = [name for name in self.dims if name not in mask or bool(mask[name][i])]
            if not names:
                raise ValueError(f"nothing there for sample {i}")
            opinions = [torch.log_softmax(self.heads[name](feats[name][i]), dim=0) for name in names]
            rows.append(self.pool(torch.stack(opinions)))
        return torch.stack(rows)
""",
    ),
    Alternative(
        id="accumulated",
        title="opinions accumulated with logaddexp and where, no stacking",
        code="""
class LateFusion(nn.Module):
    def __init__(self, dims, n_classes, combine="mean_prob"):
        super().__init__()
        if combine != "mean_prob" and combine != "log_opinion":
            raise ValueError(combine)
        self.dims, self.arithmetic = dims, combine == "mean_prob"
        self.heads = nn.ModuleDict((name, nn.Linear(width, n_classes)) for name, width in dims.items())

    def forward(self, feats, mask=None):
        inputs = ordered_features(feats, self.dims)
        total, votes = None, 0
        for name, x in zip(self.dims, inputs):
            keep = torch.ones(x.shape[0], dtype=torch.bool)
            if mask is not None:
                keep = mask.get(name, keep)
            if keep.shape != x.shape[:1] or keep.dtype != torch.bool:
                raise ValueError("mask")
            keep = keep.reshape(-1, 1)
            x = torch.zeros_like(x).masked_scatter(keep.expand_as(x), x[keep[:, 0]])
            vote = self.heads[name](x).log_softmax(dim=1)
            if self.arithmetic:
                vote = torch.where(keep, vote, torch.finfo(vote.dtype).min / 4)
                total = vote if total is None else torch.logaddexp(total, vote)
            else:
                total = torch.where(keep, vote, 0 * vote) + (0 if total is None else total)
            votes = votes + keep.int()
        if torch.any(votes < 1):
            raise ValueError("nothing there")
        if self.arithmetic:
            return total - torch.log(votes.to(total.dtype))
        mean = total / votes
        return mean - mean.logsumexp(dim=1, keepdim=True)
""",
    ),
]

equivalent_mutants = {
    "0 -> 1 in `features = features.masked_fill": "An opinion without a vote may come from any finite features.",
    "0 -> 1 in `return F.log_softmax": "It adds the number of missing modalities to all classes; log-softmax drops it.",
}
