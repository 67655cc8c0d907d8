"""Wrong and differently written answers to transfer/fine_tuning_loop.

Every "must reject" line of B-Q4a has an entry; line 4, "scheduler stepped before the optimiser or once per epoch", has
two. The published loop of the coding tasks has no evaluation mode: it is the first entry.
"""

from grader.catalogue import Alternative, WrongAnswer

EVAL = "        model.eval()\n"
TRAIN = "        model.train()\n"
NO_GRAD = """        with torch.no_grad():
            for inputs, targets in val_batches:
                total += loss_fn(model(*inputs), targets).item() * len(targets)
                n_examples += len(targets)
"""
SCHEDULE = "            if scheduler is not None:\n                scheduler.step()\n"
STEP = "            optimizer.step()\n"
CLEAR = "            optimizer.zero_grad()\n"
BETTER = "if math.isfinite(val_losses[-1]) and val_losses[-1] < best_loss:"
RESTORE = "    model.load_state_dict(best_state)\n"
NO_VALIDATION = """        if n_examples == 0:
            raise ValueError("there is no validation batch")
"""
NO_TRAINING = """        if n_examples == 0:
            raise ValueError("there is no training batch")
"""
NOTHING_FINITE = """    if best_state is None:
        raise RuntimeError(f"no validation loss is finite: {val_losses}")
"""

wrong_answers = [
    WrongAnswer(
        id="validation-in-training-mode",
        title="validation without evaluation mode",
        explanation=(
            "Your model is measured in training mode, as in the published loops: dropout drops, and batch normalisation "
            "uses the statistics of each validation batch and learns from them. The same model gives another number "
            "each time. What does `no_grad` leave switched on?"
        ),
        caught_by="test_validation",
        swap=((EVAL, ""), (RESTORE, RESTORE + "    model.eval()\n")),
    ),
    WrongAnswer(
        id="published-claims",
        title="a falling training loss taken for enough",
        explanation=(
            "One of the claims is what a list of five steps without validation amounts to. Think of a model that "
            "learns its training samples by heart: how does its training loss look?"
        ),
        caught_by="test_claims",
        swap=(("training_loss_suffices=False", "training_loss_suffices=True"),),
    ),
    WrongAnswer(
        id="no-grad-is-eval",
        title="no_grad taken for evaluation mode",
        explanation=(
            "One of the claims mixes up two switches. Send a tensor of ones through `nn.Dropout(0.5)` inside "
            "`torch.no_grad()`, and look."
        ),
        caught_by="test_claims",
        swap=(("no_grad_is_eval=False", "no_grad_is_eval=True"),),
    ),
    WrongAnswer(
        id="last-weights",
        title="the last weights in place of the best",
        explanation=(
            "Your result names the best epoch, and the model is that of the last. What was measured is not what is "
            "handed over."
        ),
        caught_by="test_the_best_epoch_comes_back",
        swap=((RESTORE, ""),),
    ),
    WrongAnswer(
        id="live-references",
        title="the live tensors kept in place of a copy",
        explanation=(
            "`state_dict()` hands out the tensors that the next epoch changes in place, so what you kept follows the "
            "training, and at the end you restore the last state. A copy of the dictionary alone is not enough."
        ),
        caught_by="test_the_best_epoch_comes_back",
        swap=(("copy.deepcopy(model.state_dict())", "dict(model.state_dict())"),),
    ),
    WrongAnswer(
        id="parameters-without-buffers",
        title="parameters brought back, buffers not",
        explanation=(
            "The parameters are those of the best epoch, the running statistics of batch normalisation those of the "
            "last. Together they are a model that was never measured. What else is in a `state_dict`?"
        ),
        caught_by="test_the_best_epoch_comes_back",
        swap=(
            ("copy.deepcopy(model.state_dict())", "copy.deepcopy(dict(model.named_parameters()))"),
            ("load_state_dict(best_state)", "load_state_dict(best_state, strict=False)"),
        ),
    ),
    WrongAnswer(
        id="last-of-equals",
        title="the last of several equally good epochs chosen",
        explanation=(
            "An epoch that is as good as the best so far takes its place. The first one counts: it has trained less for "
            "the same result."
        ),
        caught_by="test_the_best_epoch_comes_back",
        swap=((BETTER, BETTER.replace("< best", "<= best")),),
    ),
    WrongAnswer(
        id="left-in-training-mode",
        title="the model handed back in training mode",
        explanation=(
            "After your function the model is in training mode, so its first user gets predictions with dropout. The "
            "task asks for evaluation mode."
        ),
        caught_by="test_the_best_epoch_comes_back",
        swap=((RESTORE, RESTORE + "    model.train()\n"),),
    ),
    WrongAnswer(
        id="epochs-counted-from-one",
        title="best_epoch counted from 1",
        explanation="Your `best_epoch` is one too high: `val_loss[best_epoch]` should be the lowest of the list.",
        caught_by="test_the_best_epoch_comes_back",
        swap=(('"best_epoch": best_epoch}', '"best_epoch": best_epoch + 1}'),),
    ),
    WrongAnswer(
        id="chosen-by-training-loss",
        title="the epoch chosen by the training loss",
        explanation=(
            "The training loss decides in yours, and it nearly always falls to the end. The validation data are there "
            "to decide."
        ),
        caught_by="test_the_best_epoch_comes_back",
        swap=(
            (BETTER, "if math.isfinite(val_losses[-1]) and train_losses[-1] < best_loss:"),
            ("best_loss, best_epoch = val_losses[-1], epoch", "best_loss, best_epoch = train_losses[-1], epoch"),
        ),
    ),
    WrongAnswer(
        id="each-epoch-restarts-from-the-best",
        title="the best weights brought back after every epoch",
        explanation=(
            "Whenever an epoch is not the best one, yours returns to the best state at once, so later epochs start from "
            "there. Training goes on from where it is; the best state comes back at the end."
        ),
        caught_by="test_the_best_epoch_comes_back",
        swap=(
            (
                NOTHING_FINITE,
                NOTHING_FINITE.replace(
                    "    if",
                    "        elif best_state is not None:\n            model.load_state_dict(best_state)\n    if",
                    1,
                ),
            ),
        ),
    ),
    WrongAnswer(
        id="mean-of-batch-means",
        title="the mean of the batches' means",
        explanation=(
            "Batches of different size count the same, so that one sample in a last batch of its own weighs as much "
            "as a whole batch. The numbers change with the batch size. How many samples stand behind each loss?"
        ),
        caught_by="test_validation",
        swap=(
            (
                "total += loss.item() * len(targets)\n            n_examples += len(targets)",
                "total += loss.item()\n            n_examples += 1",
            ),
            (
                "total += loss_fn(model(*inputs), targets).item() * len(targets)\n                n_examples += len(targets)",
                "total += loss_fn(model(*inputs), targets).item()\n                n_examples += 1",
            ),
        ),
    ),
    WrongAnswer(
        id="train-loss-unweighted",
        title="the training loss a mean of the batches' means",
        explanation=(
            "The validation loss is a mean over samples, the training loss one over batches. They stand side by side "
            "in a plot and should mean the same."
        ),
        caught_by="test_training",
        swap=(
            (
                "total += loss.item() * len(targets)\n            n_examples += len(targets)",
                "total += loss.item()\n            n_examples += 1",
            ),
        ),
    ),
    WrongAnswer(
        id="scheduler-before-the-optimiser",
        title="the scheduler stepped before the optimiser",
        explanation=(
            "The first rate of the schedule is replaced before it is used. PyTorch warns of this order. A scheduler "
            "sets the rate of the step that comes next."
        ),
        caught_by="test_scheduler",
        swap=((SCHEDULE, ""), (STEP, SCHEDULE + STEP)),
    ),
    WrongAnswer(
        id="scheduler-once-an-epoch",
        title="the scheduler stepped once an epoch",
        explanation=(
            "All steps of an epoch use the same rate, so a warm-up of a hundred steps lasts a hundred epochs. The "
            "schedule here counts optimiser steps."
        ),
        caught_by="test_scheduler",
        swap=(
            (SCHEDULE, ""),
            (NO_TRAINING, NO_TRAINING + SCHEDULE.replace("    ", "  ").replace("  " * 3, "        ")),
        ),
    ),
    WrongAnswer(
        id="scheduler-in-validation-too",
        title="the scheduler stepped for validation batches too",
        explanation=(
            "The schedule moves on while the model is measured, so it is over before the training is. It counts steps "
            "of the optimiser."
        ),
        caught_by="test_scheduler",
        swap=(
            (NO_GRAD, NO_GRAD + "                if scheduler is not None:\n                    scheduler.step()\n"),
        ),
    ),
    WrongAnswer(
        id="gradients-recorded-in-validation",
        title="gradients recorded in validation",
        explanation=(
            "Evaluation mode alone does not stop the recording of gradients, so each validation batch keeps its "
            "activations. The numbers are right; memory and time are wasted, and a run that fits in training may fail "
            "in validation."
        ),
        caught_by="test_validation",
        swap=(("with torch.no_grad():", "with torch.enable_grad():"),),
    ),
    WrongAnswer(
        id="validation-before-the-epoch",
        title="validated before the training of the epoch",
        explanation=(
            "The number that you file under an epoch belongs to the weights before it, and the last epoch is never "
            "measured. Train first, then look."
        ),
        caught_by="test_validation",
        code="""
def finetune(model, train_batches, val_batches, loss_fn, optimizer, *, epochs, scheduler=None):
    if epochs < 1:
        raise ValueError("epochs")
    history = {"train_loss": [], "val_loss": [], "best_epoch": None}
    best = math.inf
    for epoch in range(epochs):
        for key, batches in (("val_loss", val_batches), ("train_loss", train_batches)):
            learning = key == "train_loss"
            model.train(learning)
            total, n_examples = 0.0, 0
            with torch.set_grad_enabled(learning):
                for inputs, targets in batches:
                    loss = loss_fn(model(*inputs), targets)
                    if learning:
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()
                        if scheduler is not None:
                            scheduler.step()
                    total += loss.item() * len(targets)
                    n_examples += len(targets)
            if n_examples == 0:
                raise ValueError("empty")
            history[key].append(total / n_examples)
            if key == "val_loss" and math.isfinite(total) and total / n_examples < best:
                best, history["best_epoch"] = total / n_examples, epoch
                state = copy.deepcopy(model.state_dict())
    if history["best_epoch"] is None:
        raise RuntimeError("nothing finite")
    model.load_state_dict(state)
    model.eval()
    return history
""",
    ),
    WrongAnswer(
        id="losses-as-tensors",
        title="lists of tensors in place of numbers",
        explanation=(
            "Your lists hold tensors. A training loss that is a tensor keeps the graph of its batch in memory; read the "
            "number out of it."
        ),
        caught_by="test_validation",
        swap=(("targets).item() * len(targets)", "targets) * len(targets)"),),
    ),
    WrongAnswer(
        id="gradients-add-up",
        title="gradients never cleared",
        explanation=(
            "`backward()` adds to what is in `.grad`, so each of your steps is made with the sum of all gradients so "
            "far. The loss may fall all the same."
        ),
        caught_by="test_training",
        swap=((CLEAR, ""),),
    ),
    WrongAnswer(
        id="old-gradient-in-the-first-step",
        title="gradients cleared after each step only",
        explanation=(
            "Between the batches everything is in order, but the very first step still contains what was in `.grad` "
            "before the call. Clear before you go backward."
        ),
        caught_by="test_training",
        swap=((CLEAR, ""), (STEP, STEP + "            optimizer.zero_grad()\n")),
    ),
    WrongAnswer(
        id="evaluation-mode-from-the-second-epoch",
        title="training mode set once, before the first epoch",
        explanation=(
            "The first validation switches to evaluation mode, and from the second epoch on yours trains in it: dropout "
            "is off and batch normalisation stands still. Each epoch has to switch back."
        ),
        caught_by="test_training",
        swap=(
            (TRAIN, ""),
            ("    train_losses, val_losses = [], []\n", "    train_losses, val_losses = [], []\n    model.train()\n"),
        ),
    ),
    WrongAnswer(
        id="one-epoch-short",
        title="one epoch too few",
        explanation="The loop ends one epoch early. Count the entries of your lists.",
        caught_by="test_training",
        swap=(("for epoch in range(epochs):", "for epoch in range(max(1, epochs - 1)):"),),
    ),
    WrongAnswer(
        id="step-in-each-epoch-only",
        title="one step an epoch",
        explanation=(
            "The gradients of all batches are added up and one step is made at the end of the epoch. That is "
            "accumulation over the data set; each batch is to make its own step."
        ),
        caught_by="test_training",
        swap=(
            (STEP, ""),
            (CLEAR, ""),
            (TRAIN, TRAIN + "        optimizer.zero_grad()\n"),
            (NO_TRAINING, NO_TRAINING + "        optimizer.step()\n"),
        ),
    ),
    WrongAnswer(
        id="nan-is-best",
        title="NaN accepted as the best loss",
        explanation=(
            "If the first validation loss is NaN, it becomes the best one, and no number is below NaN: the run hands "
            "back its worst state. Or the sort order of NaN decides. Deal with such values before comparing."
        ),
        caught_by="test_losses_that_are_not_finite",
        swap=((BETTER, "if best_state is None or val_losses[-1] < best_loss:"),),
    ),
    WrongAnswer(
        id="nan-is-skipped-by-stopping",
        title="the run ended by the first loss that is not finite",
        explanation=(
            "One bad validation loss ends yours, and the epochs after it are missing from the lists. A run often "
            "recovers; the task lets it go on."
        ),
        caught_by="test_losses_that_are_not_finite",
        swap=(
            (
                "        # below, not equal",
                "        if not math.isfinite(val_losses[-1]):\n            break\n        # below, not equal",
            ),
        ),
    ),
    WrongAnswer(
        id="minus-infinity-is-best",
        title="minus infinity accepted as the best loss",
        explanation=(
            "NaN and plus infinity lose every comparison with `<`, minus infinity wins each. An overflow is as little a "
            "measurement as NaN is."
        ),
        caught_by="test_losses_that_are_not_finite",
        swap=((BETTER, "if val_losses[-1] < best_loss:"),),
    ),
    WrongAnswer(
        id="all-nan-returns",
        title="a result although no validation loss is finite",
        explanation=(
            "There is no best epoch, yet your function returns as if there were. A run without one usable measurement "
            "has failed and should say so."
        ),
        caught_by="test_losses_that_are_not_finite",
        swap=(
            (NOTHING_FINITE, ""),
            (RESTORE, "    if best_state is not None:\n        model.load_state_dict(best_state)\n"),
        ),
    ),
    WrongAnswer(
        id="no-epochs-accepted",
        title="zero epochs accepted",
        explanation="Without an epoch there is nothing to choose from. Refuse it in words, at the start.",
        caught_by="test_bad_input",
        swap=(('    if epochs < 1:\n        raise ValueError(f"epochs must be at least 1, not {epochs}")\n', ""),),
    ),
    WrongAnswer(
        id="no-training-data-accepted",
        title="a run without training data",
        explanation=(
            "No batch, no step, and yet a result comes back: the model as it was. Often a generator was handed over "
            "that had been used up before."
        ),
        caught_by="test_bad_input",
        swap=(
            (NO_TRAINING, ""),
            ("train_losses.append(total / n_examples)", "train_losses.append(total / max(1, n_examples))"),
        ),
    ),
    WrongAnswer(
        id="no-validation-data-accepted",
        title="a run without validation data",
        explanation=(
            "Without a validation batch every epoch has the loss 0 in yours, and the first one wins. Nothing was "
            "measured; say so."
        ),
        caught_by="test_bad_input",
        swap=(
            (NO_VALIDATION, ""),
            ("val_losses.append(total / n_examples)", "val_losses.append(total / max(1, n_examples))"),
        ),
    ),
    WrongAnswer(
        id="divides-by-zero",
        title="a division by zero for an empty set",
        explanation="An empty set ends in ZeroDivisionError. Say what is missing in words, with a ValueError.",
        caught_by="test_bad_input",
        swap=((NO_VALIDATION, ""), (NO_TRAINING, "")),
    ),
]

alternatives = [
    Alternative(
        id="one-pass-function",
        title="one function for a pass of either kind, state kept as clones",
        code="""
def run_pass(model, batches, loss_fn, optimizer=None, scheduler=None):
    learning = optimizer is not None
    model.train(learning)
    losses, sizes = [], []
    with torch.set_grad_enabled(learning):
        for inputs, targets in batches:
            loss = loss_fn(model(*inputs), targets)
            if learning:
                optimizer.zero_grad(set_to_none=False)
                loss.backward()
                optimizer.step()
                if scheduler:
                    scheduler.step()
            losses.append(float(loss.detach()))
            sizes.append(targets.shape[0])
    if not sizes:
        raise ValueError("empty set")
    return sum(l * n for l, n in zip(losses, sizes)) / sum(sizes)


def finetune(model, train_batches, val_batches, loss_fn, optimizer, *, epochs, scheduler=None):
    if not epochs >= 1:
        raise ValueError(epochs)
    history, kept = {"train_loss": [], "val_loss": []}, {}
    for epoch in range(epochs):
        history["train_loss"].append(run_pass(model, train_batches, loss_fn, optimizer, scheduler))
        history["val_loss"].append(run_pass(model, val_batches, loss_fn))
        kept[epoch] = {k: v.clone() for k, v in model.state_dict().items()}
    finite = [e for e in range(epochs) if math.isfinite(history["val_loss"][e])]
    if not finite:
        raise RuntimeError("nothing finite")
    best = min(finite, key=lambda e: history["val_loss"][e])
    model.load_state_dict(kept[best])
    history["best_epoch"] = best
    return history
""",
    ),
    Alternative(
        id="saved-as-bytes",
        title="the best state saved as bytes, inference mode, sets looked at first",
        code="""
import io


def finetune(model, train_batches, val_batches, loss_fn, optimizer, *, epochs, scheduler=None):
    if epochs <= 0:
        raise ValueError("epochs")
    for batches in (train_batches, val_batches):
        if not any(True for _ in batches):
            raise ValueError("empty")
    train_curve, val_curve, file, best = [], [], None, None
    for epoch in range(epochs):
        for module in model.modules():
            module.training = True
        weighted = []
        for inputs, targets in train_batches:
            for group in optimizer.param_groups:
                for p in group["params"]:
                    p.grad = None
            value = loss_fn(model(*inputs), targets)
            value.backward()
            weighted.append((value.item(), targets.size(0)))
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
        train_curve.append(sum(v * n for v, n in weighted) / sum(n for _, n in weighted))
        for module in model.modules():
            module.training = False
        with torch.inference_mode():
            measured = [(loss_fn(model(*inputs), targets).item(), targets.size(0)) for inputs, targets in val_batches]
        val = sum(v * n for v, n in measured) / sum(n for _, n in measured)
        val_curve.append(val)
        if abs(val) < math.inf and (best is None or val < val_curve[best]):
            best, file = epoch, io.BytesIO()
            torch.save(model.state_dict(), file)
    if best is None:
        raise RuntimeError("no finite validation loss")
    file.seek(0)
    model.load_state_dict(torch.load(file, weights_only=True))
    return dict(train_loss=train_curve, val_loss=val_curve, best_epoch=best)
""",
    ),
    Alternative(
        id="running-means",
        title="running means, tensors copied back one by one",
        code="""
def finetune(model, train_batches, val_batches, loss_fn, optimizer, *, epochs, scheduler=None):
    if epochs < 1:
        raise ValueError("epochs must be positive")
    optimizer.zero_grad()
    result = dict(train_loss=[], val_loss=[], best_epoch=-1)
    lowest = float("inf")
    for epoch in range(epochs):
        mean, seen = 0.0, 0
        model.train()
        for inputs, targets in train_batches:
            loss = loss_fn(model(*inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            scheduler and scheduler.step()
            seen += len(targets)
            mean += (loss.item() - mean) * len(targets) / seen
        if not seen:
            raise ValueError("no training data")
        result["train_loss"].append(mean)
        model.eval()
        loss_sum, seen = torch.zeros((), dtype=torch.float64), 0
        for inputs, targets in val_batches:
            with torch.no_grad():
                loss_sum += loss_fn(model(*inputs), targets).double() * len(targets)
            seen += len(targets)
        if not seen:
            raise ValueError("no validation data")
        mean = (loss_sum / seen).item()
        result["val_loss"].append(mean)
        if -math.inf < mean < lowest:
            lowest, result["best_epoch"] = mean, epoch
            best = [t.detach().clone() for t in (*model.parameters(), *model.buffers())]
    if result["best_epoch"] < 0:
        raise RuntimeError("all validation losses are bad")
    with torch.no_grad():
        for tensor, kept in zip((*model.parameters(), *model.buffers()), best, strict=True):
            tensor.copy_(kept)
    return result
""",
    ),
]

equivalent_mutants: dict[str, str] = {}
