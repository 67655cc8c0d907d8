"""Wrong and differently written answers to optimisation/training_epoch.

Every "reject" line of E-T4 has an entry; "scheduler stepped once per epoch or before the optimiser" has two, "evaluation
mode left on" three (evaluation-mode-left-on, evaluation-mode-set, back-to-evaluation-mode) and "non-finite step applied"
two (non-finite-step-applied, looked-at-after-the-step). The published function ends with an AttributeError at its first
line, since a dictionary has no `to`; its mean of batch means is the first entry.
"""

from grader.catalogue import Alternative, WrongAnswer

FINITE = """        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss of batch {steps} is {loss.item()}")
"""
SUM = "loss_sum += loss.item() * n_examples"
RESULT = '"loss": loss_sum / samples,'
CLIP = "            norm_sum += nn.utils.clip_grad_norm_(model.parameters(), max_norm).item()\n"
SCHEDULE = "        if scheduler is not None:\n            scheduler.step()\n"
STEP = "        optimizer.step()\n"
CLEAR = "        optimizer.zero_grad()\n"
NO_BATCH = """    if steps == 0:
        raise ValueError("the loader yielded no batch; a generator yields its batches only once")
"""
LIMIT = """    if max_norm is not None and not max_norm > 0:
        raise ValueError(f"max_norm must be above 0, not {max_norm}")
"""

wrong_answers = [
    WrongAnswer(
        id="mean-of-batch-means",
        title="the mean of the batch means reported",
        explanation=(
            "The published loop adds up the batches' losses and divides by the number of batches. One sample in a last "
            "batch of its own then counts like a whole batch. How many samples stand behind each loss?"
        ),
        caught_by="test_report",
        swap=((SUM, "loss_sum += loss.item()"), (RESULT, '"loss": loss_sum / steps,')),
    ),
    WrongAnswer(
        id="mean-of-batch-sums",
        title="weighted losses divided by the number of batches",
        explanation=(
            "Each loss is multiplied by its number of samples, which makes a sum over samples, and this sum is then "
            "divided by the number of batches. What does the sum run over?"
        ),
        caught_by="test_report",
        swap=((RESULT, '"loss": loss_sum / steps,'),),
    ),
    WrongAnswer(
        id="loss-tensor",
        title="the loss returned as a tensor",
        explanation=(
            "Adding up loss tensors keeps the graph of every batch in memory until the epoch ends. Read the number out "
            "of each as soon as you have it."
        ),
        caught_by="test_report",
        swap=((SUM, "loss_sum = loss_sum + loss * n_examples"),),
    ),
    WrongAnswer(
        id="loss-of-the-last-batch",
        title="the loss of the last batch reported",
        explanation="The number is that of one batch, not of the epoch. Where are the others added up?",
        caught_by="test_report",
        swap=((SUM, "loss_sum = loss.item()"), (RESULT, '"loss": loss_sum,')),
    ),
    WrongAnswer(
        id="loader-needs-a-length",
        title="the loader asked for its length",
        explanation=(
            "A generator of batches has no `len`. Count the steps and the samples as they come; then you know them "
            "for any loader, and they are those that were really used."
        ),
        caught_by="test_report",
        swap=(('"steps": steps,', '"steps": len(loader),'),),
    ),
    WrongAnswer(
        id="samples-from-the-first-batch",
        title="the first batch's size taken for all",
        explanation=(
            "Batches are assumed to be as large as the first one. The last batch of an epoch usually is not, and a "
            "loader may yield any sizes."
        ),
        caught_by="test_report",
        swap=(
            ("        samples += n_examples\n", "        samples += n_examples if not steps else samples // steps\n"),
        ),
    ),
    WrongAnswer(
        id="norm-without-a-limit",
        title="a number for grad_norm although there is no limit",
        explanation=(
            "Without `max_norm` the entry is to be `None`. A 0.0 there looks like a gradient that has vanished, and "
            "would be taken for one."
        ),
        caught_by="test_report",
        swap=(('"grad_norm": None if max_norm is None else norm_sum / steps,', '"grad_norm": norm_sum / steps,'),),
    ),
    WrongAnswer(
        id="gradients-add-up",
        title="gradients never cleared",
        explanation=(
            "`backward()` adds to what is in `.grad`, so each step of yours is made with the sum of all gradients so "
            "far. The loss often falls all the same, and then swings."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=((CLEAR, ""),),
    ),
    WrongAnswer(
        id="cleared-before-the-step",
        title="gradients cleared between backward and step",
        explanation=(
            "The gradients are gone by the time the optimiser looks for them, and nothing moves. Who reads `.grad`, and "
            "when?"
        ),
        caught_by="test_one_step_for_each_batch",
        swap=(
            (CLEAR, ""),
            ("        loss.backward()\n", "        loss.backward()\n        optimizer.zero_grad()\n"),
        ),
    ),
    WrongAnswer(
        id="old-gradient-in-the-first-step",
        title="gradients cleared after each step only",
        explanation=(
            "Between the batches everything is in order, but the first step of the epoch still contains what was in "
            "`.grad` before your function was called. Clear before you go backward."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=((CLEAR, ""), (STEP, STEP + "        optimizer.zero_grad()\n")),
    ),
    WrongAnswer(
        id="one-step-at-the-end",
        title="one optimiser step after all batches",
        explanation=(
            "The gradients of the whole epoch are added up, and a single step is made. That is gradient accumulation "
            "over the data set, not an epoch of steps."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=(
            (STEP, ""),
            (CLEAR, "        if not steps:\n            optimizer.zero_grad()\n"),
            (NO_BATCH, NO_BATCH + "    optimizer.step()\n"),
        ),
    ),
    WrongAnswer(
        id="last-batch-dropped",
        title="a batch smaller than the first left out",
        explanation=(
            "Batches with fewer samples than the first one are passed over, so the last samples of the epoch are "
            "never learned from. Every batch that the loader yields counts."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=(
            (
                "        loss = model(",
                "        first = len(batch['labels']) if not steps else first\n"
                "        if len(batch['labels']) < first:\n"
                "            break\n"
                "        loss = model(",
            ),
        ),
    ),
    WrongAnswer(
        id="tensors-not-moved",
        title="batches not moved to the device",
        explanation=(
            "Tensors of the batch reach the model where the loader left them. On one CPU nothing shows; with the model "
            "on a GPU the first call fails. A dictionary has no `to`; its tensors have."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=(("loss = model(**{name: tensor.to(device) for", "loss = model(**{name: tensor for"),),
    ),
    WrongAnswer(
        id="labels-taken-out-of-the-batch",
        title="labels taken out of the loader's own dictionary",
        explanation=(
            "`pop` changes the dictionary that the loader handed over. If the loader is a list of batches, the next "
            "epoch finds no labels there. Read, or make a dictionary of your own."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=(('n_examples = len(batch["labels"])', 'n_examples = len(batch.pop("labels"))'),),
    ),
    WrongAnswer(
        id="scheduler-once-an-epoch",
        title="the scheduler stepped once an epoch",
        explanation=(
            "All steps of the epoch use the same rate. Schedules for fine-tuning count optimiser steps: with one call "
            "an epoch, a warm-up of a hundred steps lasts a hundred epochs."
        ),
        caught_by="test_scheduler",
        swap=(
            (SCHEDULE, ""),
            (NO_BATCH, NO_BATCH + "    if scheduler is not None:\n        scheduler.step()\n"),
        ),
    ),
    WrongAnswer(
        id="scheduler-before-the-optimiser",
        title="the scheduler stepped before the optimiser",
        explanation=(
            "The first rate of the schedule is never used: it is replaced before the first step. PyTorch warns of this "
            "order. A scheduler sets the rate of the step that comes next."
        ),
        caught_by="test_scheduler",
        swap=((SCHEDULE, ""), (STEP, SCHEDULE + STEP)),
    ),
    WrongAnswer(
        id="scheduler-forgotten",
        title="the scheduler never stepped",
        explanation="The learning rate stays as it is for the whole epoch. The scheduler only acts when it is told to.",
        caught_by="test_scheduler",
        swap=((SCHEDULE, ""),),
    ),
    WrongAnswer(
        id="clipped-after-the-step",
        title="clipped after the step",
        explanation=(
            "By the time your gradients are scaled down, the optimiser has used them at full length. The order is: "
            "backward, clip, step."
        ),
        caught_by="test_clipping",
        swap=(
            ("        if max_norm is not None:\n" + CLIP + STEP, STEP + "        if max_norm is not None:\n" + CLIP),
        ),
    ),
    WrongAnswer(
        id="not-clipped",
        title="the gradient measured, but not clipped",
        explanation="The length is reported, and the step is made with the full gradient. The limit has no effect.",
        caught_by="test_clipping",
        swap=((CLIP, CLIP.replace("max_norm)", "torch.inf)")),),
    ),
    WrongAnswer(
        id="clipped-for-each-parameter",
        title="each parameter clipped by itself",
        explanation=(
            "Every tensor is scaled to the limit on its own, which turns the step into another direction. The limit is "
            "for the length of all gradients as one vector."
        ),
        caught_by="test_clipping",
        swap=(
            (
                CLIP,
                CLIP.replace("max_norm)", "torch.inf)")
                + "            for parameter in model.parameters():\n"
                + "                nn.utils.clip_grad_norm_([parameter], max_norm)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="clipped-by-value",
        title="each entry of the gradient clipped",
        explanation=(
            "Entries above the limit are cut off one by one. That changes the direction of the step, and the vector may "
            "still be longer than the limit. Scale the whole gradient by one factor."
        ),
        caught_by="test_clipping",
        swap=(
            (
                CLIP,
                CLIP.replace("max_norm)", "torch.inf)")
                + "            nn.utils.clip_grad_value_(model.parameters(), max_norm)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="clipped-norm-reported",
        title="the length after clipping reported",
        explanation=(
            "Your `grad_norm` never exceeds the limit, so a log of it cannot show that gradients have grown. Measure "
            "first and clip afterwards."
        ),
        caught_by="test_clipping",
        swap=(
            (
                "nn.utils.clip_grad_norm_(model.parameters(), max_norm).item()",
                "min(max_norm, nn.utils.clip_grad_norm_(model.parameters(), max_norm).item())",
            ),
        ),
    ),
    WrongAnswer(
        id="norm-of-the-last-step",
        title="the length of the last gradient reported",
        explanation="Only the last step is in your `grad_norm`; it is to be the mean over all steps.",
        caught_by="test_clipping",
        swap=(("norm_sum += ", "norm_sum = "), ("else norm_sum / steps", "else norm_sum")),
    ),
    WrongAnswer(
        id="norm-summed",
        title="the lengths of all gradients added up",
        explanation=(
            "`grad_norm` grows with the number of batches, so two epochs of different length cannot be compared. It is "
            "a mean over the steps."
        ),
        caught_by="test_clipping",
        swap=(("else norm_sum / steps", "else norm_sum"),),
    ),
    WrongAnswer(
        id="evaluation-mode-left-on",
        title="the model never switched to training mode",
        explanation=(
            "A model that comes from an evaluation is in evaluation mode, and yours trains it like that: no dropout, and "
            "batch normalisation learns nothing. The second epoch of a run is where this happens."
        ),
        caught_by="test_training_mode",
        swap=(("    model.train()\n", ""),),
    ),
    WrongAnswer(
        id="evaluation-mode-set",
        title="the model trained in evaluation mode",
        explanation="Your function switches to evaluation mode. That is for measuring; dropout is off in it.",
        caught_by="test_training_mode",
        swap=(("    model.train()\n", "    model.eval()\n"),),
    ),
    WrongAnswer(
        id="back-to-evaluation-mode",
        title="the model handed back in evaluation mode",
        explanation=(
            "After the epoch the model is in evaluation mode. The task leaves it in training mode; whoever evaluates "
            "next switches it, and says so."
        ),
        caught_by="test_training_mode",
        swap=((NO_BATCH, NO_BATCH + "    model.eval()\n"),),
    ),
    WrongAnswer(
        id="non-finite-step-applied",
        title="a step made with a loss that is not finite",
        explanation=(
            "NaN goes from the loss into every gradient and with the step into every parameter; the epoch ends as if "
            "nothing had happened. Look at the loss before you use it."
        ),
        caught_by="test_a_loss_that_is_not_finite",
        swap=((FINITE, ""),),
    ),
    WrongAnswer(
        id="looked-at-after-the-step",
        title="the loss looked at after the step",
        explanation=(
            "The error is raised, but the parameters are NaN already, and with them the last state that could have "
            "been saved. The look has to come first."
        ),
        caught_by="test_a_loss_that_is_not_finite",
        swap=((FINITE, ""), (SCHEDULE, SCHEDULE + FINITE)),
    ),
    WrongAnswer(
        id="non-finite-batch-passed-over",
        title="a batch with a bad loss passed over in silence",
        explanation=(
            "Leaving the batch out keeps the weights clean, but nobody hears of it, and a broken run goes on to its "
            "end. The task asks for an error."
        ),
        caught_by="test_a_loss_that_is_not_finite",
        swap=((FINITE, "        if not torch.isfinite(loss):\n            continue\n"),),
    ),
    WrongAnswer(
        id="only-nan-is-refused",
        title="infinity accepted as a loss",
        explanation=(
            "NaN is noticed, infinity is not. Its gradients are often NaN or infinite too, and then the step ruins the "
            "weights in the same way."
        ),
        caught_by="test_a_loss_that_is_not_finite",
        swap=(("if not torch.isfinite(loss):", "if torch.isnan(loss):"),),
    ),
    WrongAnswer(
        id="no-batch-gives-zero",
        title="a loss of 0 for an empty loader",
        explanation=(
            "An epoch without a batch reports a loss of 0, which looks like a perfect model. Usually a generator has "
            "been used up before. Say so with an error."
        ),
        caught_by="test_bad_input",
        swap=(
            (
                NO_BATCH,
                '    if steps == 0:\n        return {"loss": 0.0, "steps": 0, "samples": 0, "grad_norm": None}\n',
            ),
        ),
    ),
    WrongAnswer(
        id="no-batch-divides-by-zero",
        title="a division by zero for an empty loader",
        explanation="Without a batch there is nothing to divide by. Say what is wrong in words, with a ValueError.",
        caught_by="test_bad_input",
        swap=((NO_BATCH, ""),),
    ),
    WrongAnswer(
        id="loss-of-none",
        title="a missing loss not noticed",
        explanation=(
            "A model that got no labels returns `None` as its loss, and yours ends in an error about a type. A "
            "ValueError that names the loss is quicker to understand."
        ),
        caught_by="test_bad_input",
        swap=(('        if loss is None:\n            raise ValueError("the model returned no loss")\n', ""),),
    ),
    WrongAnswer(
        id="any-limit",
        title="a limit of zero or below accepted",
        explanation=(
            "A limit of 0 makes every gradient vanish, and a negative one turns the step around. Note that `if "
            "max_norm:` treats 0 like None."
        ),
        caught_by="test_bad_input",
        swap=((LIMIT, ""),),
    ),
    WrongAnswer(
        id="nan-limit",
        title="NaN accepted as the limit",
        explanation=(
            "`max_norm <= 0` is False for NaN, so this limit slips through and turns gradients into NaN. Ask for what "
            "is allowed in place of what is not."
        ),
        caught_by="test_bad_input",
        swap=(("not max_norm > 0:", "max_norm <= 0:"),),
    ),
    WrongAnswer(
        id="limit-seen-too-late",
        title="the limit looked at inside the loop",
        explanation=(
            "A bad limit is refused, but only after the model has been called. Check arguments before the work begins."
        ),
        caught_by="test_bad_input",
        swap=(
            (LIMIT, ""),
            (
                CLIP,
                LIMIT.replace("    if", "            if", 1).replace("        raise", "                raise") + CLIP,
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="lists",
        title="numbers collected in lists, own clipping, gradients set to None",
        code="""
import math


def train_epoch(model, loader, optimizer, *, device="cpu", scheduler=None, max_norm=None):
    if max_norm is not None and (math.isnan(max_norm) or max_norm <= 0):
        raise ValueError("max_norm")
    for module in model.modules():
        module.training = True
    losses, sizes, norms = [], [], []
    for batch in loader:
        moved = {}
        for key in batch:
            moved[key] = batch[key].to(device, non_blocking=True)
        output = model(**moved)
        if "loss" not in output or output["loss"] is None:
            raise ValueError("no loss")
        value = output["loss"].item()
        if value != value or value in (float("inf"), float("-inf")):
            raise FloatingPointError(value)
        for p in model.parameters():
            p.grad = None
        output["loss"].backward()
        if max_norm is not None:
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in gradients))
            norms.append(norm)
            if norm > max_norm:
                for g in gradients:
                    g.mul_(max_norm / norm)
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses.append(value)
        sizes.append(moved["labels"].shape[0])
    if not losses:
        raise ValueError("no batches")
    return dict(
        loss=sum(l * n for l, n in zip(losses, sizes)) / sum(sizes),
        steps=len(losses),
        samples=sum(sizes),
        grad_norm=sum(norms) / len(norms) if norms else None,
    )
""",
    ),
    Alternative(
        id="running-mean",
        title="a running mean, cleared at both ends of a step",
        code="""
import math


def train_epoch(model, loader, optimizer, *, device="cpu", scheduler=None, max_norm=None):
    clip = max_norm is not None
    if clip and not (max_norm > 0):
        raise ValueError(max_norm)
    model.train(True)
    optimizer.zero_grad(set_to_none=False)
    mean, norm_mean, seen, step = 0.0, 0.0, 0, 0
    for step, batch in enumerate(loader, start=1):
        inputs = dict(batch)
        for key, value in inputs.items():
            inputs[key] = value.to(device=device)
        try:
            loss = model(**inputs)["loss"]
        except KeyError:
            raise ValueError("the model has no loss") from None
        if loss is None:
            raise ValueError("the loss is None")
        if not math.isfinite(loss.detach()):
            raise FloatingPointError("loss")
        loss.backward()
        if clip:
            norm = nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], max_norm)
            norm_mean += (float(norm) - norm_mean) / step
        optimizer.step()
        optimizer.zero_grad()
        scheduler is None or scheduler.step()
        n = inputs["labels"].size(0)
        seen += n
        mean += (loss.item() - mean) * n / seen
    if not seen:
        raise ValueError("empty loader")
    return {"samples": seen, "steps": step, "loss": mean, "grad_norm": norm_mean if clip else None}
""",
    ),
    Alternative(
        id="autograd-grad",
        title="gradients from torch.autograd.grad, in functions of their own",
        code="""
def _loss(model, batch, device):
    loss = model(**{k: torch.Tensor.to(v, device) if type(v) is Tensor else v.to(device) for k, v in batch.items()})
    loss = loss["loss"] if "loss" in loss else None
    if loss is None:
        raise ValueError("no loss")
    if torch.isnan(loss) or torch.isinf(loss):
        raise FloatingPointError("not finite")
    return loss


def train_epoch(model, loader, optimizer, *, device="cpu", scheduler=None, max_norm=None):
    if max_norm is not None and not 0 < max_norm:
        raise ValueError("max_norm")
    params = [p for p in model.parameters() if p.requires_grad]
    model.train()
    records = []
    for batch in loader:
        loss = _loss(model, batch, device)
        for p, g in zip(params, torch.autograd.grad(loss, params)):
            p.grad = g
        norm = 0.0
        if max_norm is not None:
            norm = nn.utils.get_total_norm([p.grad for p in params])
            nn.utils.clip_grads_with_norm_(params, max_norm, norm)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        records.append((float(loss.detach()), len(batch["labels"]), float(norm)))
    if len(records) == 0:
        raise ValueError("no batches")
    table = torch.tensor(records, dtype=torch.float64)  # (steps, 3)
    samples = table[:, 1].sum()
    return {
        "loss": (table[:, 0] @ table[:, 1] / samples).item(),
        "steps": len(table),
        "samples": int(samples),
        "grad_norm": table[:, 2].mean().item() if max_norm is not None else None,
    }
""",
    ),
]

equivalent_mutants: dict[str, str] = {}
