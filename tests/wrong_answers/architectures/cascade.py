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
        id="whole-batch-sent-on",
        title="the whole batch sent on as soon as one sample is unsure",
        explanation=(
            "You decide once for the batch, so one hard sample makes all the easy ones around it expensive, and what a sample "
            "gets depends on its neighbours. `used` has one answer for each sample: what does your comparison lose?"
        ),
        caught_by="test_the_expensive_stage_sees_the_unsure_samples_only",
        swap=(
            (
                "used = confidence < self.threshold  # (batch,)\n\n",
                "used = (confidence < self.threshold).any().expand(len(confidence)).clone()  # (batch,)\n\n",
            ),
        ),
    ),
    WrongAnswer(
        id="pairs-mixed-up",
        title="the first rows of the other input beside the cheap logits of the unsure samples",
        explanation=(
            "The number of rows is right, but they belong to other samples: the expensive stage sees one sample's image and "
            "another one's cheap logits, and no error tells. Both arguments have to be selected in the same way."
        ),
        caught_by="test_the_expensive_stage_sees_the_unsure_samples_only",
        swap=((SELECTED, "self.expensive(expensive_input[: int(used.sum())], cheap_logits[used])"),),
    ),
    WrongAnswer(
        id="stages-averaged-where-unsure",
        title="the unsure samples get the average of both stages",
        explanation=(
            "You save the expensive calls and then mix in the very answer that was too unsure to stand. Where the second "
            "stage was asked, it has the last word; it has seen the cheap logits and can weigh them itself. Averaging is what "
            "late fusion does."
        ),
        caught_by="test_every_row_is_what_the_sample_alone_would_get",
        swap=((REPLACED, f"            logits[used] = ({SELECTED} + cheap_logits[used]) / 2"),),
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
        id="another-formula-than-softmax",
        title="the probability computed in another way than torch.softmax, and rounding decides at the threshold",
        explanation=(
            "On paper your formula is the softmax. In floating-point numbers exp(max - logsumexp) of two equal logits can be "
            "a last digit below 0.5, so a sample exactly at the threshold is sent on. The task defines the confidence by "
            "`torch.softmax`, so that everybody rounds in the same way."
        ),
        caught_by="test_confidence_and_threshold",
        swap=(
            (
                "confidence = torch.softmax(cheap_logits, dim=1).amax(dim=1)  # (batch,)\n        used",
                "confidence = torch.exp(cheap_logits.amax(dim=1) - cheap_logits.logsumexp(dim=1))  # (batch,)\n        used",
            ),
        ),
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
            "You hand over the softmax of the cheap logits. From probabilities it cannot be told how large the logits were. "
            "The second argument of `expensive` is what the cheap stage returned, as it was."
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
        id="empty-batch-skipped",
        title="the cheap stage not called for an empty batch",
        explanation=(
            "For a batch without samples you return early, with a number of classes and a dtype that you have to guess: only "
            "the cheap stage knows them. The task calls it once for every batch; what goes wrong if you leave out the exception?"
        ),
        caught_by="test_nothing_to_send_on",
        swap=(
            (
                "        cheap_logits = self.cheap(cheap_input)  # (batch, classes)\n",
                "        if len(cheap_input) == 0:\n"
                "            return cheap_input.new_zeros(0, 3), torch.zeros(0, dtype=torch.bool)\n"
                "        cheap_logits = self.cheap(cheap_input)  # (batch, classes)\n",
            ),
        ),
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
        id="cheap-under-no-grad",
        title="the cheap stage run without a record for the backward pass",
        explanation=(
            "The values are right, but under `no_grad` (or with all its logits detached) the cheap stage never learns, neither "
            "from its own answers nor through the expensive stage. Saving memory that way is for prediction, and the caller's "
            "decision."
        ),
        caught_by="test_gradients_flow_through_both_stages",
        swap=(
            (
                "        cheap_logits = self.cheap(cheap_input)  # (batch, classes)\n",
                "        with torch.no_grad():\n            cheap_logits = self.cheap(cheap_input)  # (batch, classes)\n",
            ),
        ),
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
