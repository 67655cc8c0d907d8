"""Wrong and differently written answers to optimisation/gradient_accumulation.

Every "must reject" line of A-Q3b and E-Q3a has an entry. Lines that both share appear once: "divide by the number of
micro-batches" (mean-of-means), "optimiser step per micro-batch" (step-for-each-micro-batch) and "per-micro-batch
clipping" (clipped-for-each-micro-batch). A-Q3b's "per parameter or per micro-batch" has two entries.
"""

from grader.catalogue import Alternative, WrongAnswer

CLEAR = "    model.zero_grad(set_to_none=True)  # the model's, not the optimiser's: frozen parameters may have an old gradient\n"
SHARE = "part = loss_fn(model(inputs), targets) * (count / total)"
SKIP = "        if count == 0:\n            continue  # its mean is 0/0\n"
CLIP = "    grad_norm = nn.utils.clip_grad_norm_(trainable, limit).item()\n"
EMPTY = "not micro_batches or any(len(inputs) == 0 for inputs, _ in micro_batches)"
COUNT = "int((targets != ignore_index).sum())"
NO_INDEX = "    if ignore_index is None:\n        counts = [len(targets) for _, targets in micro_batches]\n"
LIMIT = (
    "    if max_grad_norm is not None and not max_grad_norm > 0:\n"
    '        raise ValueError(f"max_grad_norm must be above 0, not {max_grad_norm}")\n'
)
LOOP = "    for (inputs, targets), count in zip(micro_batches, counts, strict=True):\n"

wrong_answers = [
    WrongAnswer(
        id="never-cleared",
        title="gradients never cleared",
        explanation=(
            "The published loop reads: compute the gradient, update, repeat. In PyTorch `backward()` adds to what is in "
            "`.grad`, so the gradients of all earlier steps push again in yours. On a fresh model nothing shows; call "
            "your function twice."
        ),
        caught_by="test_nothing_from_before_counts",
        swap=((CLEAR, ""),),
    ),
    WrongAnswer(
        id="published-claims",
        title="the mean of means taken for the mean",
        explanation=(
            "One of the claims is what most loops compute. Take micro-batches of 4, 4 and 2 samples with the losses 0, "
            "0 and 1, and work out both numbers."
        ),
        caught_by="test_claims",
        swap=(("mean_of_means=False", "mean_of_means=True"),),
    ),
    WrongAnswer(
        id="more-negatives",
        title="accumulation taken to enlarge the set of negatives",
        explanation=(
            "One of the claims is about a loss that compares each pair with the others of its batch. Draw the table of "
            "similarities for one micro-batch: which images does a text meet in it?"
        ),
        caught_by="test_claims",
        swap=(("more_negatives=False", "more_negatives=True"),),
    ),
    WrongAnswer(
        id="mean-of-means",
        title="divided by the number of micro-batches",
        explanation=(
            "Each micro-batch has the same weight, whatever its size. With 4, 4 and 2 samples, those of the last one "
            "count twice as much as the others. What share of all samples does a micro-batch have?"
        ),
        caught_by="test_same_step_as_the_large_batch",
        swap=(
            (SHARE, "part = loss_fn(model(inputs), targets) / len(micro_batches)"),
            ("loss += part.item()", "loss += part.item() * len(micro_batches) * count / total"),
        ),
    ),
    WrongAnswer(
        id="sum-of-means",
        title="the losses added up without any weight",
        explanation=(
            "The gradients of the micro-batches' mean losses add up unscaled, so the step grows with their number: four "
            "micro-batches move the parameters about four times as far as one batch."
        ),
        caught_by="test_same_step_as_the_large_batch",
        swap=(
            (SHARE, "part = loss_fn(model(inputs), targets)"),
            ("loss += part.item()", "loss += part.item() * count / total"),
        ),
    ),
    WrongAnswer(
        id="step-for-each-micro-batch",
        title="one optimiser step for each micro-batch",
        explanation=(
            "The parameters move after every micro-batch, so the next one is evaluated at another place. That is "
            "ordinary training with small batches. Where does the step belong?"
        ),
        caught_by="test_same_step_as_the_large_batch",
        swap=(
            ("        loss += part.item()\n", "        loss += part.item()\n        optimizer.step()\n"),
            ("        optimizer.step()\n    return", "        pass\n    return"),
        ),
    ),
    WrongAnswer(
        id="cleared-inside-the-loop",
        title="gradients cleared before each micro-batch",
        explanation=(
            "Each micro-batch wipes out what the ones before it have added, and the step is made with the gradient of "
            "the last one alone. How often may the gradients be cleared within one step?"
        ),
        caught_by="test_same_step_as_the_large_batch",
        swap=(("        part.backward()", "        optimizer.zero_grad()\n        part.backward()"),),
    ),
    WrongAnswer(
        id="last-micro-batch-only",
        title="only the last micro-batch goes backward",
        explanation=(
            "Forward passes are made for all, a backward pass for the last one only. Losses that never go backward "
            "leave no gradient behind. Look at what stands inside the loop and what after it."
        ),
        caught_by="test_same_step_as_the_large_batch",
        swap=(
            ("        part.backward()  # adds to .grad, and frees the activations\n", ""),
            (
                "    # norm of all gradients as one vector;",
                "    part.backward()\n    # norm of all gradients as one vector;",
            ),
        ),
    ),
    WrongAnswer(
        id="concatenated",
        title="the micro-batches joined to one large batch",
        explanation=(
            "The numbers are right, and the memory is gone: all activations exist at once, which accumulation is there "
            "to avoid. The model should see one micro-batch at a time."
        ),
        caught_by="test_same_step_as_the_large_batch",
        swap=(
            (
                LOOP,
                "    joined = tuple(torch.cat(parts) for parts in zip(*micro_batches))\n"
                "    for (inputs, targets), count in [(joined, total)]:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="one-backward-at-the-end",
        title="the losses added up first, and one backward pass at the end",
        explanation=(
            "The numbers are right, but until the backward pass begins the graphs of all micro-batches are in memory "
            "together, as with the large batch. When may the graph of a micro-batch be freed?"
        ),
        caught_by="test_same_step_as_the_large_batch",
        swap=(
            ("    loss = 0.0\n", "    loss, parts = 0.0, 0.0\n"),
            ("        part.backward()  # adds to .grad, and frees the activations\n", "        parts = parts + part\n"),
            (
                "    # norm of all gradients as one vector;",
                "    parts.backward()\n    # norm of all gradients as one vector;",
            ),
        ),
    ),
    WrongAnswer(
        id="always-in-training-mode",
        title="the model switched to training mode",
        explanation=(
            "`model.train()` switches every module, also those that the caller had put into evaluation mode, such as "
            "a frozen batch normalisation. Modes are the caller's business here."
        ),
        caught_by="test_same_step_as_the_large_batch",
        swap=(("    loss = 0.0\n", "    model.train()\n    loss = 0.0\n"),),
    ),
    WrongAnswer(
        id="loss-tensor",
        title="the loss returned as a tensor",
        explanation=(
            "Somebody who collects your losses in a list keeps with each of them the graph that it hangs on. Read the "
            "number out of the tensor as soon as its backward pass is done."
        ),
        caught_by="test_report",
        swap=(("loss += part.item()", "loss = loss + part"),),
    ),
    WrongAnswer(
        id="norm-as-tensor",
        title="the norm returned as a tensor",
        explanation=(
            "PyTorch's clipping returns a tensor. The dictionary is to hold Python numbers, which can be written to a "
            "log and compared without surprises."
        ),
        caught_by="test_report",
        swap=(("nn.utils.clip_grad_norm_(trainable, limit).item()", "nn.utils.clip_grad_norm_(trainable, limit)"),),
    ),
    WrongAnswer(
        id="loss-averaged-over-micro-batches",
        title="the reported loss averaged over the micro-batches",
        explanation=(
            "The step is right, the number in the report is not: it is the mean of the micro-batches' means, so that a "
            "small one counts as much as a large one. The loss needs the same weights as the gradients."
        ),
        caught_by="test_report",
        swap=(("loss += part.item()", "loss += part.item() * total / count / len(micro_batches)"),),
    ),
    WrongAnswer(
        id="lengths-added-up",
        title="the lengths of the parameters' gradients added up",
        explanation=(
            "The length of a vector made of parts is not the sum of their lengths: a gradient of 3 in one parameter and "
            "one of 4 in another make a vector of length 5. What adds up, before the root is drawn?"
        ),
        caught_by="test_report",
        swap=(
            (
                CLIP,
                "    grad_norm = sum(float(p.grad.norm()) for p in trainable if p.grad is not None)\n"
                "    for p in trainable:\n"
                "        if p.grad is not None and grad_norm > limit:\n"
                "            p.grad.mul_(limit / grad_norm)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="entries-counted",
        title="the entries of the targets counted, not the samples",
        explanation=(
            "Without `ignore_index`, `count` is the number of samples: five targets of three numbers each are five "
            "samples. The shares come out right as long as all targets have one shape, the count does not."
        ),
        caught_by="test_report",
        swap=((NO_INDEX, NO_INDEX.replace("len(targets)", "targets.numel()")),),
    ),
    WrongAnswer(
        id="norm-without-a-limit-missing",
        title="the norm measured only when there is a limit",
        explanation=(
            "Without `max_grad_norm` your report has no norm, and nothing notices a gradient that is not finite. "
            "Measuring and clipping are two things; only the second needs a limit."
        ),
        caught_by="test_report",
        swap=(
            (
                CLIP,
                "    grad_norm = 0.0 if max_grad_norm is None else nn.utils.clip_grad_norm_(trainable, limit).item()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="token-means-weighted-by-examples",
        title="token means weighted by the number of samples",
        explanation=(
            "With `ignore_index` the mean of a micro-batch is over its valid targets, and yours is weighted by its "
            "samples. A long prompt with one valid word then counts like a whole paragraph. What is the mean over?"
        ),
        caught_by="test_ignored_targets_do_not_count",
        swap=(
            (SHARE, "part = loss_fn(model(inputs), targets) * share"),
            (
                SKIP,
                SKIP + "        share = len(targets) / sum(len(t) for (_, t), n in zip(micro_batches, counts) if n)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="token-means-averaged",
        title="token means averaged over the micro-batches",
        explanation=(
            "Each micro-batch that has valid targets gets the same weight, however many they are. That is the mistake "
            "which large training libraries carried for years. What is the mean over?"
        ),
        caught_by="test_ignored_targets_do_not_count",
        swap=(
            (
                SHARE,
                "part = loss_fn(model(inputs), targets) * (\n"
                "            count / total if ignore_index is None else 1 / sum(n > 0 for n in counts)\n"
                "        )",
            ),
        ),
    ),
    WrongAnswer(
        id="padding-counted",
        title="ignored targets counted like valid ones",
        explanation=(
            "The weight of a micro-batch is the number of all its targets, padding and prompt included. Yet its mean "
            "is over the valid ones, so the weight has to be their number."
        ),
        caught_by="test_ignored_targets_do_not_count",
        swap=(
            (
                SHARE,
                "part = loss_fn(model(inputs), targets) * (targets.numel() / sum(t.numel() for _, t in micro_batches))",
            ),
        ),
    ),
    WrongAnswer(
        id="micro-batch-without-targets-is-nan",
        title="a micro-batch without valid targets turns everything into NaN",
        explanation=(
            "The mean over no targets is 0/0, NaN, and a weight of 0 does not help: 0 times NaN is NaN again. The whole "
            "step is then lost for one sample that was cut off. Such a micro-batch must not reach the sum at all."
        ),
        caught_by="test_ignored_targets_do_not_count",
        swap=((SKIP, ""),),
    ),
    WrongAnswer(
        id="micro-batch-without-targets-refused",
        title="one micro-batch without valid targets refused",
        explanation=(
            "A single micro-batch without a valid target ends your call with an error. In practice this happens when a "
            "long prompt is cut off. It is an error only if no micro-batch has any."
        ),
        caught_by="test_ignored_targets_do_not_count",
        swap=(("if total == 0:", "if 0 in counts:"),),
    ),
    WrongAnswer(
        id="hard-coded-index",
        title="-100 in place of ignore_index",
        explanation=(
            "Your count leaves out the number -100, whatever `ignore_index` is. Other data mark their padding by 0 or "
            "-1. Use the argument."
        ),
        caught_by="test_ignored_targets_do_not_count",
        swap=((COUNT, "int((targets != -100).sum())"),),
    ),
    WrongAnswer(
        id="negative-targets-ignored",
        title="negative targets taken for the ignored ones",
        explanation=(
            "Your count leaves out whatever is negative. Padding may be marked by 0 as well, and a target that is a "
            "number to be hit, not a class, may be negative and valid. What is ignored is said by the argument."
        ),
        caught_by="test_ignored_targets_do_not_count",
        swap=((COUNT, "int((targets >= 0).sum())"),),
    ),
    WrongAnswer(
        id="zero-taken-for-none",
        title="an ignore_index of 0 taken for None",
        explanation=(
            "`if ignore_index:` is False for 0 too, and many a vocabulary has its padding at 0. Ask whether the argument "
            "is None."
        ),
        caught_by="test_ignored_targets_do_not_count",
        swap=(("    if ignore_index is None:\n", "    if not ignore_index:\n"),),
    ),
    WrongAnswer(
        id="valid-samples-counted",
        title="samples with a valid target counted, not the valid targets",
        explanation=(
            "A sample with one valid word and a sample with forty count the same in yours. The mean of `loss_fn` is over "
            "targets, wherever they lie; so is the count."
        ),
        caught_by="test_ignored_targets_do_not_count",
        swap=((COUNT, "int((targets != ignore_index).flatten(1).any(1).sum())"),),
    ),
    WrongAnswer(
        id="cleared-to-zero",
        title="gradients filled with zeros in place of None",
        explanation=(
            "A gradient of zeros is a gradient: an optimiser with weight decay or momentum moves that parameter, even "
            "if it is frozen or has no part in the loss. With `None` the optimiser leaves it alone."
        ),
        caught_by="test_nothing_from_before_counts",
        swap=((CLEAR, "    model.zero_grad(set_to_none=False)\n"),),
    ),
    WrongAnswer(
        id="cleared-at-the-end-only",
        title="gradients cleared after the step, not before",
        explanation=(
            "The first call still adds to whatever was in `.grad` when it came, and afterwards nobody can look at the "
            "gradients that the step used. Clear at the start."
        ),
        caught_by="test_nothing_from_before_counts",
        swap=((CLEAR, ""), ("        optimizer.step()\n", "        optimizer.step()\n        model.zero_grad()\n")),
    ),
    WrongAnswer(
        id="cleared-only-in-the-optimiser",
        title="only the gradients known to the optimiser cleared",
        explanation=(
            "`optimizer.zero_grad()` knows the optimiser's parameters. A frozen parameter of the model that is not "
            "among them keeps its old gradient. Whose gradients does the task speak of?"
        ),
        caught_by="test_nothing_from_before_counts",
        swap=((CLEAR, "    optimizer.zero_grad()\n"),),
    ),
    WrongAnswer(
        id="frozen-gradient-in-the-norm",
        title="an old gradient of a frozen parameter in the norm",
        explanation=(
            "A frozen parameter that the optimiser does not know keeps its old gradient, and your norm is over all "
            "parameters of the model, so it counts. Clear them all, and measure what is trained."
        ),
        caught_by="test_nothing_from_before_counts",
        swap=(
            (CLEAR, "    optimizer.zero_grad()\n"),
            ("clip_grad_norm_(trainable, limit)", "clip_grad_norm_(model.parameters(), limit)"),
        ),
    ),
    WrongAnswer(
        id="only-trainable-cleared",
        title="only the gradients of trainable parameters cleared",
        explanation=(
            "A frozen parameter may have a gradient from the time before it was frozen. An optimiser that holds it looks "
            "at `.grad`, not at `requires_grad`, and moves it."
        ),
        caught_by="test_nothing_from_before_counts",
        swap=((CLEAR, "    for parameter in trainable:\n        parameter.grad = None\n"),),
    ),
    WrongAnswer(
        id="clipped-for-each-parameter",
        title="each parameter clipped by itself",
        explanation=(
            "Every tensor is scaled to the limit on its own, which changes the direction of the step: large and small "
            "gradients come out equally long. The limit is for the length of all of them as one vector."
        ),
        caught_by="test_clipping_and_skipping",
        swap=(
            (
                CLIP,
                "    grad_norm = nn.utils.clip_grad_norm_(trainable, math.inf).item()\n"
                "    for parameter in trainable:\n"
                "        nn.utils.clip_grad_norm_([parameter], limit)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="clipped-for-each-micro-batch",
        title="clipped after each micro-batch",
        explanation=(
            "The sum so far is clipped whenever a micro-batch has been added, so early ones are scaled down again and "
            "again, and the result depends on their order. When is the gradient complete?"
        ),
        caught_by="test_clipping_and_skipping",
        swap=(
            ("    loss = 0.0\n", "    loss = 0.0\n    limit = math.inf if max_grad_norm is None else max_grad_norm\n"),
            (
                "        loss += part.item()\n",
                "        loss += part.item()\n        norm = nn.utils.clip_grad_norm_(trainable, limit)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="clipped-by-value",
        title="each entry of the gradient clipped",
        explanation=(
            "Entries above the limit are cut off one by one. That changes the direction, and the vector as a whole may "
            "still be longer than the limit. Scale the whole gradient by one factor."
        ),
        caught_by="test_clipping_and_skipping",
        swap=(
            (
                CLIP,
                "    grad_norm = nn.utils.clip_grad_norm_(trainable, math.inf).item()\n"
                "    nn.utils.clip_grad_value_(trainable, limit)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="clipped-norm-reported",
        title="the norm after clipping reported",
        explanation=(
            "Your `grad_norm` never exceeds the limit, so the log cannot show that gradients have exploded. Measure "
            "first and clip afterwards."
        ),
        caught_by="test_clipping_and_skipping",
        swap=((CLIP, CLIP + "    grad_norm = min(grad_norm, limit)\n"),),
    ),
    WrongAnswer(
        id="clipped-after-the-step",
        title="clipped after the step",
        explanation=(
            "The optimiser has used the long gradient already when yours is scaled. The order is: backward, clip, step."
        ),
        caught_by="test_clipping_and_skipping",
        swap=(
            (CLIP, "    grad_norm = nn.utils.clip_grad_norm_(trainable, math.inf).item()\n"),
            (
                "        optimizer.step()\n",
                "        optimizer.step()\n        nn.utils.clip_grad_norm_(trainable, limit)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="always-scaled-to-the-limit",
        title="short gradients stretched to the limit",
        explanation=(
            "A gradient shorter than `max_grad_norm` is made longer in yours. A limit only acts on what exceeds it."
        ),
        caught_by="test_clipping_and_skipping",
        swap=(
            (
                CLIP,
                "    grad_norm = nn.utils.clip_grad_norm_(trainable, math.inf).item()\n"
                "    for parameter in trainable:\n"
                "        if parameter.grad is not None and max_grad_norm is not None:\n"
                "            parameter.grad.mul_(limit / grad_norm)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="steps-with-nan",
        title="a step made with gradients that are not finite",
        explanation=(
            "One NaN in a gradient, and after the step every parameter it reaches is NaN for good; clipping even "
            "spreads it over all of them. Look at the norm before you step."
        ),
        caught_by="test_clipping_and_skipping",
        swap=(
            (
                "    if skipped:\n        model.zero_grad()\n    else:\n        optimizer.step()\n",
                "    optimizer.step()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="loss-watched",
        title="the loss watched in place of the gradient",
        explanation=(
            "You skip the step when the loss is not finite. A finite loss can have a gradient that is not: the square "
            "root has an infinite slope at 0. What the optimiser uses is the gradient, so that has to be looked at."
        ),
        caught_by="test_clipping_and_skipping",
        swap=(("not math.isfinite(grad_norm)", "not math.isfinite(loss)"),),
    ),
    WrongAnswer(
        id="loss-watched-as-well",
        title="a step left out because the loss is infinite, although the gradient is finite",
        explanation=(
            "You skip when the norm or the loss is not finite. An absolute error from an infinite target is infinite, "
            "and its gradient is 1 or -1, a step like any other. What the optimiser uses is the gradient alone."
        ),
        caught_by="test_clipping_and_skipping",
        swap=(("not math.isfinite(grad_norm)", "not (math.isfinite(grad_norm) and math.isfinite(loss))"),),
    ),
    WrongAnswer(
        id="ended-at-the-first-bad-loss",
        title="the call ended at the first loss that is not finite",
        explanation=(
            "As soon as a loss is NaN or infinite your function returns. The other micro-batches are not run, and the "
            "norm is not measured; but the norm is what decides, and it may be finite."
        ),
        caught_by="test_clipping_and_skipping",
        swap=(
            (
                "        loss += part.item()\n",
                "        loss += part.item()\n"
                "        if not math.isfinite(loss):\n"
                "            model.zero_grad()\n"
                '            return {"loss": loss, "grad_norm": math.nan, "skipped": True, "count": total}\n',
            ),
        ),
    ),
    WrongAnswer(
        id="only-nan-noticed",
        title="NaN noticed, infinity not",
        explanation=(
            "A gradient that is infinite makes the norm infinite, which `isnan` does not see, and your optimiser steps. "
            "Ask whether the norm is finite."
        ),
        caught_by="test_clipping_and_skipping",
        swap=(("not math.isfinite(grad_norm)", "math.isnan(grad_norm)"),),
    ),
    WrongAnswer(
        id="gradients-gone-after-the-step",
        title="the gradients cleared after the step too",
        explanation=(
            "You clear at the start, as you should, and after the step once more. Then nobody can look at the gradients "
            "that the step used, to log or to compare them. The rules say that they stay."
        ),
        caught_by="test_clipping_and_skipping",
        swap=(("        optimizer.step()\n", "        optimizer.step()\n        optimizer.zero_grad()\n"),),
    ),
    WrongAnswer(
        id="nan-gradients-left",
        title="bad gradients left behind after a skipped step",
        explanation=(
            "The step is skipped, but NaN stays in `.grad`. Whoever adds the next gradients to it, or looks at it, gets "
            "NaN again. A skipped step should leave nothing behind."
        ),
        caught_by="test_clipping_and_skipping",
        swap=(("        model.zero_grad()\n    else:", "        pass\n    else:"),),
    ),
    WrongAnswer(
        id="empty-micro-batch-accepted",
        title="a micro-batch without samples passed over",
        explanation=(
            "A micro-batch with no samples goes through in silence. Somebody's data loader is broken, and this is the "
            "place that could say so."
        ),
        caught_by="test_bad_input_changes_nothing",
        swap=((EMPTY, "not micro_batches"),),
    ),
    WrongAnswer(
        id="no-valid-target-accepted",
        title="micro-batches without any valid target accepted",
        explanation=(
            "When every target is ignored there is no mean, and your function goes on all the same. This is an error "
            "of the caller's, often a prompt mask that covers the answer too."
        ),
        caught_by="test_bad_input_changes_nothing",
        swap=(("    if total == 0:\n", "    if False:\n"),),
    ),
    WrongAnswer(
        id="any-limit-accepted",
        title="a limit of zero or below accepted",
        explanation=(
            "A limit of 0 wipes out every gradient, and a negative one turns the step around. Both run without an "
            "error. Note that `if max_grad_norm:` treats 0 like None."
        ),
        caught_by="test_bad_input_changes_nothing",
        swap=(("if max_grad_norm is not None and not max_grad_norm > 0:", "if False:"),),
    ),
    WrongAnswer(
        id="nan-limit-accepted",
        title="NaN accepted as the limit",
        explanation=(
            "`max_grad_norm <= 0` is False for NaN, so this limit slips through, and scaling by it turns all gradients "
            "into NaN. Ask for what is allowed in place of what is not."
        ),
        caught_by="test_bad_input_changes_nothing",
        swap=(("not max_grad_norm > 0:", "max_grad_norm <= 0:"),),
    ),
    WrongAnswer(
        id="nothing-to-train-accepted",
        title="a model that is frozen altogether not refused",
        explanation=(
            "Without a trainable parameter there is nothing to update. PyTorch complains only at `backward()`, in words "
            "about a graph; look at the parameters first and raise ValueError."
        ),
        caught_by="test_bad_input_changes_nothing",
        swap=(('    if not trainable:\n        raise ValueError("the model has no trainable parameter")\n', ""),),
    ),
    WrongAnswer(
        id="checked-too-late",
        title="arguments checked after the gradients are cleared",
        explanation=(
            "The right errors are raised, but by then the gradients of the model are gone. A call that is refused "
            "should change nothing: check first."
        ),
        caught_by="test_bad_input_changes_nothing",
        swap=(
            (
                "    if max_grad_norm is not None and not",
                "    model.zero_grad()\n    if max_grad_norm is not None and not",
            ),
        ),
    ),
    WrongAnswer(
        id="limit-checked-too-late",
        title="the limit checked when it is needed",
        explanation=(
            "A limit of 0 is refused, but only after all micro-batches have been run and the old gradients are gone. A "
            "call that is refused should change nothing: check all arguments first."
        ),
        caught_by="test_bad_input_changes_nothing",
        swap=(
            (LIMIT, ""),
            ("    # norm of all gradients as one vector;", LIMIT + "    # norm of all gradients as one vector;"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="divided-at-the-end",
        title="sums go backward, and the gradients are divided at the end",
        code="""
def accumulated_step(model, micro_batches, loss_fn, optimizer, *, max_grad_norm=None, ignore_index=None):
    params = list(model.parameters())
    if not any(p.requires_grad for p in params) or len(micro_batches) == 0:
        raise ValueError("nothing to do")
    if max_grad_norm is not None and (max_grad_norm <= 0 or max_grad_norm != max_grad_norm):
        raise ValueError("limit")
    sizes = []
    for x, y in micro_batches:
        if x.shape[0] == 0:
            raise ValueError("empty micro-batch")
        sizes.append(x.shape[0] if ignore_index is None else y.ne(ignore_index).sum().item())
    n = sum(sizes)
    if n < 1:
        raise ValueError("no target")
    for p in params:
        p.grad = None
    total = 0.0
    for i, (x, y) in enumerate(micro_batches):
        if sizes[i]:
            summed = loss_fn(model(x), y) * sizes[i]
            summed.backward()
            total += float(summed.detach())
    squares = 0.0
    for p in params:
        if p.requires_grad and p.grad is not None:
            p.grad.div_(n)
            squares += float(p.grad.double().pow(2).sum())
    norm = squares ** 0.5
    if norm != norm or norm == float("inf"):
        for p in params:
            if p.grad is not None:
                p.grad.zero_()
        return dict(loss=total / n, grad_norm=norm, skipped=True, count=n)
    if max_grad_norm is not None and norm > max_grad_norm:
        for p in params:
            if p.grad is not None:
                p.grad *= max_grad_norm / norm
    optimizer.step()
    return dict(loss=total / n, grad_norm=norm, skipped=False, count=n)
""",
    ),
    Alternative(
        id="autograd-grad",
        title="gradients from torch.autograd.grad, added up in a list",
        code="""
def accumulated_step(model, micro_batches, loss_fn, optimizer, *, max_grad_norm=None, ignore_index=None):
    weights = [p for p in model.parameters() if p.requires_grad]
    limit = float("inf") if max_grad_norm is None else max_grad_norm
    if not (limit > 0 and weights and micro_batches):
        raise ValueError("bad arguments")
    if min(len(x) for x, _ in micro_batches) == 0:
        raise ValueError("empty")

    def size(targets):
        return len(targets) if ignore_index is None else torch.count_nonzero(targets - ignore_index).item()

    total = sum(size(targets) for _, targets in micro_batches)
    if not total:
        raise ValueError("no valid target")
    sums, loss = [None] * len(weights), 0.0
    for inputs, targets in micro_batches:
        n = size(targets)
        if n == 0:
            continue
        mean = loss_fn(model(inputs), targets)
        loss += mean.item() * n / total
        for k, gradient in enumerate(torch.autograd.grad(mean, weights, allow_unused=True)):
            if gradient is not None:
                gradient = gradient * (n / total)
                sums[k] = gradient if sums[k] is None else sums[k] + gradient
    for p in model.parameters():
        p.grad = None
    norm = torch.stack([g.norm() for g in sums if g is not None]).norm().item()
    finite = math.isfinite(norm)
    if finite:
        for p, g in zip(weights, sums):
            p.grad = None if g is None else g * min(1.0, limit / norm)
        optimizer.step()
    return {"loss": loss, "grad_norm": norm, "skipped": not finite, "count": total}
""",
    ),
    Alternative(
        id="loss-of-nothing-made-zero",
        title="a micro-batch without valid targets goes forward too, and its loss is replaced",
        code="""
def accumulated_step(model, micro_batches, loss_fn, optimizer, *, max_grad_norm=None, ignore_index=None):
    if max_grad_norm is not None:
        if not (max_grad_norm > 0):
            raise ValueError("max_grad_norm")
    if all(not p.requires_grad for p in model.parameters()):
        raise ValueError("frozen")
    if len(micro_batches) < 1:
        raise ValueError("no micro-batches")
    for inputs, targets in micro_batches:
        if not len(targets):
            raise ValueError("empty")
    valid = torch.tensor(
        [t.shape[0] if ignore_index is None else (~t.eq(ignore_index)).sum() for _, t in micro_batches]
    )
    if valid.sum() == 0:
        raise ValueError("nothing valid")
    model.zero_grad()
    history = []
    for weight, (inputs, targets) in zip((valid / valid.sum()).tolist(), micro_batches):
        value = loss_fn(model(inputs), targets)
        if weight > 0:
            (weight * value).backward()
            history.append(weight * value.item())
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    ok = bool(torch.isfinite(norm))
    if ok and max_grad_norm is not None:
        nn.utils.clip_grads_with_norm_([p for p in model.parameters() if p.grad is not None], max_grad_norm, norm)
    if ok:
        optimizer.step()
    else:
        model.zero_grad()
    return {"count": int(valid.sum()), "skipped": not ok, "grad_norm": float(norm), "loss": math.fsum(history)}
""",
    ),
]

equivalent_mutants: dict[str, str] = {}
