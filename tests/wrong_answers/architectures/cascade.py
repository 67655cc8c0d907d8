"""Catalogue of architectures/cascade."""

from grader.catalogue import Alternative, WrongAnswer

SELECTED = "self.expensive(expensive_input[used], cheap_logits[used])"
REPLACED = f"            logits[used] = {SELECTED}"

wrong_answers = [
    WrongAnswer(
        id="both-run-and-average",  # what the published answer describes under the name of a cascade
        title="both stages run on everything and their logits are averaged",
        explanation=(
            "That is late fusion: every sample pays for both stages, and an unsure cheap stage pulls down a sure "
            "expensive one. In a cascade the first stage's confidence decides whether the second one runs at all. "
            "What does your expensive stage do on a sample that was easy?"
        ),
        caught_by="test_the_expensive_stage_sees_the_unsure_samples_only",
        swap=(
            (
                REPLACED,
                "            logits = (cheap_logits + self.expensive(expensive_input, cheap_logits)) / 2",
            ),
        ),
    ),
    WrongAnswer(
        id="selected-afterwards",
        title="the expensive stage run on the whole batch, its rows selected afterwards",
        explanation=(
            "Your numbers are right, but the expensive stage worked on all samples, and the cascade now costs more than "
            "the expensive stage alone. Where does the selection have to happen to save something?"
        ),
        caught_by="test_the_expensive_stage_sees_the_unsure_samples_only",
        swap=((SELECTED, "self.expensive(expensive_input, cheap_logits)[used]"),),
    ),
    WrongAnswer(
        id="at-the-threshold",
        title="samples at the threshold are sent on too",
        explanation=(
            "A confidence that equals the threshold is high enough: the cheap answer stands. Look at your comparison, "
            "and at threshold 1 with a sample whose probability has rounded to 1."
        ),
        caught_by="test_confidence_and_threshold",
        swap=(("confidence < self.threshold", "confidence <= self.threshold"),),
    ),
    WrongAnswer(
        id="raw-logit",
        title="confidence taken from the largest logit instead of the largest probability",
        explanation=(
            "Logits have no fixed scale: adding 40 to all logits of a sample changes no probability, yet it changes "
            "your decision. A threshold between 0 and 1 needs something between 0 and 1 to be compared with."
        ),
        caught_by="test_confidence_and_threshold",
        swap=(("confidence = torch.softmax(cheap_logits, dim=1)", "confidence = cheap_logits"),),
    ),
    WrongAnswer(
        id="softmax-over-the-batch",
        title="softmax over the batch instead of the classes",
        explanation=(
            "Your samples compete with each other for probability, so that one sample's confidence depends on the others "
            "in the batch. Which axis holds the classes?"
        ),
        caught_by="test_confidence_and_threshold",
        swap=(("confidence = torch.softmax(cheap_logits, dim=1)", "confidence = torch.softmax(cheap_logits, dim=0)"),),
    ),
    WrongAnswer(
        id="rows-regrouped",
        title="cheap rows first, expensive rows after them",
        explanation=(
            "You put the two groups one after the other, so the rows no longer stand where their samples stood, and every "
            "label is compared with somebody else's logits. How do the expensive rows find their way back?"
        ),
        caught_by="test_every_row_is_what_the_sample_alone_would_get",
        swap=((REPLACED, f"            logits = torch.cat([cheap_logits[~used], {SELECTED}])"),),
    ),
    WrongAnswer(
        id="cheap-logits-left-out",
        title="the expensive stage is not given what the cheap one found",
        explanation=(
            "Your second stage starts again from nothing. Two models of which one is chosen are a switch; in a cascade the "
            "second one builds on the first one's output. What does `expensive` take as its second argument?"
        ),
        caught_by="test_the_expensive_stage_sees_the_unsure_samples_only",
        swap=((SELECTED, "self.expensive(expensive_input[used])"),),
    ),
    WrongAnswer(
        id="probabilities-sent",
        title="probabilities sent on where logits were asked for",
        explanation=(
            "The second argument of `expensive` are the cheap stage's logits as they came from it; you hand over their "
            "softmax."
        ),
        caught_by="test_the_expensive_stage_sees_the_unsure_samples_only",
        swap=(("cheap_logits[used])", "torch.softmax(cheap_logits, dim=1)[used])"),),
    ),
    WrongAnswer(
        id="one-call-a-sample",
        title="one expensive call for each unsure sample",
        explanation=(
            "The right samples are sent on, one at a time. An accelerator needs about as long for one sample as for a whole "
            "batch, and normalisation over the batch sees batches of one. Collect the samples first."
        ),
        caught_by="test_the_expensive_stage_sees_the_unsure_samples_only",
        swap=(
            (
                REPLACED,
                "            for i in used.nonzero()[:, 0]:\n"
                "                logits[i] = self.expensive(expensive_input[i : i + 1], cheap_logits[i : i + 1])[0]",
            ),
        ),
    ),
    WrongAnswer(
        id="called-with-nothing",
        title="the expensive stage called with an empty batch",
        explanation=(
            "When every sample is sure, your expensive stage is still called, with no rows. Many models refuse an empty "
            "batch, and those that accept it take time for nothing. Which question is missing before the call?"
        ),
        caught_by="test_nothing_to_send_on",
        swap=(("        if used.any():\n", "        if len(used) >= 0:\n"),),
    ),
    WrongAnswer(
        id="overwritten",
        title="expensive rows written into the tensor that the cheap stage returned",
        explanation=(
            "The tensor is not yours alone: the cheap stage may have kept it, the backward pass may need it as it was, "
            "and if the stage passes its input through, you have changed the caller's data. Write into a copy."
        ),
        caught_by="test_gradients_flow_through_both_stages",
        swap=(("logits = cheap_logits.clone()", "logits = cheap_logits"),),
    ),
    WrongAnswer(
        id="detached",
        title="cheap logits detached on their way into the expensive stage",
        explanation=(
            "The values are right, but no gradient flows from the expensive stage back into the cheap one: it cannot learn "
            "to leave something useful for its successor. Look for `detach` or `no_grad`."
        ),
        caught_by="test_gradients_flow_through_both_stages",
        swap=(("cheap_logits[used])", "cheap_logits[used].detach())"),),
    ),
    WrongAnswer(
        id="stages-in-a-list",
        title="stages kept in a Python list, where nn.Module does not find them",
        explanation=(
            "The cascade computes the right thing, but `.parameters()` is empty: an optimiser trains nothing, and `.to()` "
            "and `.eval()` reach neither stage. Modules have to be attributes of their own."
        ),
        caught_by="test_shapes_and_parameters",
        swap=(
            (
                "        self.cheap = cheap\n        self.expensive = expensive\n",
                "        self.stages = [cheap, expensive]\n",
            ),
            ("self.cheap(cheap_input)", "self.stages[0](cheap_input)"),
            (SELECTED, SELECTED.replace("self.expensive", "self.stages[1]")),
        ),
    ),
    WrongAnswer(
        id="nan-threshold",
        title="a threshold of NaN gets through",
        explanation=(
            "Every comparison with NaN is false, so 'smaller than 0 or larger than 1' does not notice it, and neither does "
            "any sample later on: nothing is ever sent on. Ask what a good threshold *is*, not what a bad one is."
        ),
        caught_by="test_bad_input",
        swap=(("if not 0 <= threshold <= 1:", "if threshold < 0 or threshold > 1:"),),
    ),
    WrongAnswer(
        id="batches-not-compared",
        title="inputs of different batch sizes accepted",
        explanation=(
            "With inputs of different lengths your cascade either pairs the wrong samples or fails somewhere inside, with an "
            "error that does not say so. When nothing is sent on, no error comes at all. Compare the lengths first."
        ),
        caught_by="test_bad_input",
        swap=(("if len(cheap_input) != len(expensive_input):", "if cheap_input is None:"),),
    ),
]

alternatives = [
    Alternative(
        id="index-copy",
        title="positions from nonzero, rows written back with index_copy",
        code="""
class CascadeClassifier(nn.Module):
    def __init__(self, cheap, expensive, threshold):
        super().__init__()
        if threshold != threshold or threshold < 0.0 or threshold > 1.0:
            raise ValueError("threshold")
        self.cheap, self.expensive = cheap, expensive
        self.limit = float(threshold)

    def forward(self, cheap_input, expensive_input):
        if cheap_input.shape[0] != expensive_input.shape[0]:
            raise ValueError("batch sizes")
        first = self.cheap(cheap_input)
        confidence, _ = first.softmax(-1).max(-1)
        positions = torch.nonzero(confidence < self.limit).flatten()
        used = torch.zeros(len(first), dtype=torch.bool)
        used[positions] = True
        if positions.numel() == 0:
            return first, used
        second = self.expensive(expensive_input.index_select(0, positions), first.index_select(0, positions))
        return first.index_copy(0, positions, second), used
""",
    ),
    Alternative(
        id="row-by-row",
        title="a list of rows, each taken from the stage that has the last word",
        code="""
class CascadeClassifier(nn.Module):
    def __init__(self, cheap, expensive, threshold):
        nn.Module.__init__(self)
        if not (threshold >= 0 and threshold <= 1):
            raise ValueError(f"{threshold} is no probability")
        self.add_module("cheap", cheap)
        self.add_module("expensive", expensive)
        self.threshold = threshold

    def forward(self, cheap_input, expensive_input):
        batch = len(cheap_input)
        if len(expensive_input) != batch:
            raise ValueError("batch sizes")
        rows = list(self.cheap(cheap_input).split(1)) if batch else []
        if not rows:
            return self.cheap(cheap_input), torch.zeros(0, dtype=torch.bool)
        unsure = [i for i, row in enumerate(rows) if row.softmax(dim=1).max() < self.threshold]
        if unsure:
            better = self.expensive(expensive_input[unsure], torch.cat([rows[i] for i in unsure]))
            for i, row in zip(unsure, better.split(1)):
                rows[i] = row
        return torch.cat(rows), torch.tensor([i in unsure for i in range(batch)])
""",
    ),
    Alternative(
        id="masked-scatter",
        title="exponentials divided by hand, rows put back with masked_scatter",
        code="""
class CascadeClassifier(nn.Module):
    def __init__(self, cheap, expensive, threshold):
        super().__init__()
        if threshold not in [0, 1] and not 0 < threshold < 1:
            raise ValueError("threshold")
        self.cheap, self.expensive, self.threshold = cheap, expensive, threshold

    def forward(self, cheap_input, expensive_input):
        if cheap_input.size(0) != expensive_input.size(0):
            raise ValueError("batch sizes")
        logits = self.cheap(cheap_input)
        with torch.no_grad():
            exponentials = torch.exp(logits - logits.max(dim=1, keepdim=True).values)
            probability = (exponentials / exponentials.sum(dim=1, keepdim=True)).max(dim=1).values
            used = torch.lt(probability, self.threshold)
        if int(used.sum()) > 0:
            second = self.expensive(expensive_input[used], logits[used])
            logits = logits.masked_scatter(used.unsqueeze(1), second)
        return logits, used
""",
    ),
]
