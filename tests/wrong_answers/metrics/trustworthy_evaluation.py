"""Wrong answers and differently written correct solutions of metrics/trustworthy_evaluation.

The published evaluation of E-T5 itself does not run (`dict.to`, an int sliced), so it is not an entry; what it leaves
undone (mode, labels that are missing from the report, loss) is.
"""

from grader.catalogue import Alternative, WrongAnswer

COUNTS = "test_accuracy_counts_examples"
MODE = "test_evaluation_mode_while_the_model_runs"
LEFT = "test_everything_is_left_as_it_was"
REPORT = "test_report_on_the_whole_set"
BAD_INPUT = "test_bad_input_is_refused"

IN_ACCURACY = "    with evaluation_mode(model):\n        for *inputs"
IN_REPORT = "    with evaluation_mode(model):\n        for batch in loader"
RESTORE = "        for module, training in modes:\n            module.training = training  #"
wrong_answers = [
    # ------------------------------------------------------------------------------------------ the published loop
    WrongAnswer(
        id="training-mode",
        title="a test loop that stays in training mode",
        explanation=(
            "Gradients are off, but the model is still in training mode: dropout drops, batch normalisation uses the "
            "statistics of each test batch and learns from them, and a last batch of one sample may raise an error. "
            "Turning gradients off does not change a mode. Which call does, and for which modules?"
        ),
        caught_by=MODE,
        swap=((IN_ACCURACY, "    with torch.no_grad():\n        for *inputs"),),
    ),
    WrongAnswer(
        id="training-mode-in-the-report",
        title="a report made in training mode",
        explanation=(
            "The report is made with dropout on and with the statistics of the batches, so it differs from run to run "
            "and with the batch size. Both functions need the same context."
        ),
        caught_by=MODE,
        swap=((IN_REPORT, "    with torch.no_grad():\n        for batch in loader"),),
    ),
    # --------------------------------------------------------------------------------------------------- accuracy
    WrongAnswer(
        id="mean-of-batch-accuracies",
        title="the mean of the accuracies of the batches",
        explanation=(
            "Each batch gets an accuracy and these are averaged, so one sample in a small last batch weighs as much "
            "as several in the others. Change the batch size and the accuracy changes. What should be added up instead, "
            "and when is the one division made?"
        ),
        caught_by=COUNTS,
        code="""
def evaluate_accuracy(model, batches):
    accuracies = []
    with evaluation_mode(model):
        for *inputs, labels in batches:
            logits = model(*inputs)
            if labels.ndim != 1 or logits.ndim != 2 or len(labels) != len(logits) or not len(labels):
                raise ValueError("shapes")
            accuracies.append((logits.argmax(dim=1) == labels).double().mean().item())
    if not accuracies:
        raise ValueError("no samples")
    return sum(accuracies) / len(accuracies)
""",
    ),
    WrongAnswer(
        id="percentage",
        title="the accuracy as a percentage",
        explanation=(
            "The result lies between 0 and 100. The task asks for a share between 0 and 1, which can be compared and "
            "multiplied without remembering a unit; percent is for printing."
        ),
        caught_by=COUNTS,
        swap=(("return correct / total", "return 100 * correct / total"),),
    ),
    WrongAnswer(
        id="argmax-over-the-batch",
        title="the largest logit sought along the batch",
        explanation=(
            "The argmax runs over the samples: for each class, it names the sample that likes it best. A prediction "
            "chooses among the classes of one sample. Along which axis of (batch, classes) do these lie?"
        ),
        caught_by=COUNTS,
        swap=(
            (
                "correct += (logits.argmax(dim=1) == labels)",
                "correct += (logits.argmax(dim=0)[torch.arange(len(labels)) % logits.shape[1]] == labels)",
            ),
        ),
    ),
    WrongAnswer(
        id="first-input-only",
        title="batches unpacked as one input and the labels",
        explanation=(
            "Only the first element of a batch reaches the model. A multimodal batch has several inputs, and only its "
            "last element is the labels: which form of unpacking takes all but the last?"
        ),
        caught_by=COUNTS,
        swap=(("logits = model(*inputs)  #", "logits = model(inputs[0])  #"),),
    ),
    # ------------------------------------------------------------------------------------------- gradients recorded
    WrongAnswer(
        id="gradients-recorded",
        title="gradients recorded during the accuracy loop",
        explanation=(
            "Evaluation mode is on, but PyTorch still records a graph for every batch, which costs memory and time. "
            "`model.eval()` concerns dropout and batch normalisation; recording gradients is another switch."
        ),
        caught_by=MODE,
        swap=((IN_ACCURACY, "    with evaluation_mode(model), torch.enable_grad():\n        for *inputs"),),
    ),
    WrongAnswer(
        id="gradients-recorded-in-the-report",
        title="gradients recorded while the report is made",
        explanation=(
            "The logits of every batch are kept with the graph that made them, so memory grows until it is used up. "
            "Evaluation mode alone does not prevent that: which second switch is needed?"
        ),
        caught_by=MODE,
        swap=((IN_REPORT, "    with evaluation_mode(model), torch.enable_grad():\n        for batch in loader"),),
    ),
    # ------------------------------------------------------------------------------------------ the model afterwards
    WrongAnswer(
        id="train-at-the-end",
        title="model.train() at the end, whatever was before",
        explanation=(
            "After the evaluation every module is in training mode, also a backbone that was frozen on purpose and a "
            "model that was in use for inference. What did each module's mode look like before, and where could you "
            "have kept it?"
        ),
        caught_by=LEFT,
        swap=((RESTORE, "        model.train()  #"),),
    ),
    WrongAnswer(
        id="one-mode-for-all-modules",
        title="the mode of the outermost module given to all",
        explanation=(
            "One flag is remembered, that of the model itself, and all modules get it. `model.train(flag)` goes through "
            "all children: a frozen normalisation inside a training model is switched on. How many flags are there?"
        ),
        caught_by=LEFT,
        swap=((RESTORE, "        model.train(modes[0][1])  #"),),
    ),
    WrongAnswer(
        id="left-in-evaluation-mode",
        title="the model left in evaluation mode",
        explanation=(
            "Nothing switches back, so training goes on after the first evaluation without dropout and with frozen "
            "statistics. No error will say so. What must happen after the loop?"
        ),
        caught_by=LEFT,
        swap=((RESTORE, "        pass  #"),),
    ),
    WrongAnswer(
        id="modes-lost-on-an-exception",
        title="modes given back only if nothing goes wrong",
        explanation=(
            "When a batch raises, for example because memory runs out, the lines after the loop are never reached, and a "
            "caller that catches the error goes on with a model in evaluation mode. Which construct runs its end in "
            "either case?"
        ),
        caught_by=LEFT,
        swap=(
            (
                "    try:\n        model.eval()\n        with torch",
                "    if True:\n        model.eval()\n        with torch",
            ),
            ("    finally:\n        for module", "    if True:\n        for module"),
        ),
    ),
    WrongAnswer(
        id="gradients-left-off",
        title="gradients switched off for good",
        explanation=(
            "`torch.set_grad_enabled(False)` as a plain call stays in force after the function, for the whole program: "
            "the next training step fails or does nothing. Which form of it ends by itself?"
        ),
        caught_by=LEFT,
        swap=(
            (
                "        with torch.no_grad():\n            yield\n",
                "        torch.set_grad_enabled(False)\n        yield\n",
            ),
        ),
    ),
    WrongAnswer(
        id="gradients-cleared",
        title="the gradients of the parameters cleared on the way",
        explanation=(
            "`model.zero_grad()` before the evaluation throws away gradients that a training loop may be accumulating. "
            "Evaluation makes no gradients, so there is none to clear."
        ),
        caught_by=LEFT,
        swap=(
            (
                "        model.eval()\n        with torch",
                "        model.eval()\n        model.zero_grad()\n        with torch",
            ),
        ),
    ),
    # --------------------------------------------------------------------------------------------------- the report
    WrongAnswer(
        id="batch-f1-averaged",
        title="macro-F1 averaged over the batches",
        explanation=(
            "Each batch gets a macro-F1, and these are averaged. F1 is a ratio of counts, so that no average of batch "
            "values gives the F1 of the set; with one sample a batch it is nearly the accuracy divided by the number of "
            "classes. What do you have to keep until the end?"
        ),
        caught_by=REPORT,
        code="""
def evaluate(model, loader, *, num_labels, device="cpu", _whole=evaluate):
    batches = list(loader)
    report = _whole(model, batches, num_labels=num_labels, device=device)
    parts = [_whole(model, [batch], num_labels=num_labels, device=device)["macro_f1"] for batch in batches]
    return report | {"macro_f1": sum(parts) / len(parts)}
""",
    ),
    WrongAnswer(
        id="last-batch-dropped",
        title="the last batch dropped when it is smaller",
        explanation=(
            "A last batch of another size is left out, as `drop_last=True` does in training. In a test set every sample "
            "counts, and which ones are dropped would depend on the batch size."
        ),
        caught_by=REPORT,
        code="""
def evaluate(model, loader, *, num_labels, device="cpu", _whole=evaluate):
    batches = list(loader)
    full = [batch for batch in batches if len(batch["labels"]) == len(batches[0]["labels"])]
    return _whole(model, full, num_labels=num_labels, device=device)
""",
    ),
    WrongAnswer(
        id="macro-over-present-labels",
        title="macro-F1 over the labels that occur",
        explanation=(
            "A label that never occurs is left out of the mean, the default of a well-known library when it is not told "
            "the labels. Two test sets then have means over different classes. How many values does the task average?"
        ),
        caught_by=REPORT,
        swap=(('"macro_f1": f1.mean().item()', '"macro_f1": f1[support > 0].mean().item()'),),
    ),
    WrongAnswer(
        id="mean-of-batch-losses",
        title="the mean of the batches' mean losses",
        explanation=(
            "The model reports a mean for each batch, and averaging these gives a small last batch the weight of a "
            "large one. What has to be multiplied back before adding, and what divides the sum?"
        ),
        caught_by=REPORT,
        swap=(
            ('output["loss"].item() * len(labels)', 'output["loss"].item()'),
            ('"loss": total_loss / n_examples', '"loss": total_loss / sum(1 for _ in n_batches)'),
            ("    n_examples = sum(", "    n_batches = y_true\n    n_examples = sum("),
        ),
    ),
    WrongAnswer(
        id="loss-recomputed",
        title="a cross-entropy computed anew in place of the model's loss",
        explanation=(
            "The loss is computed from the logits, as a plain cross-entropy. The model may use label smoothing, class "
            "weights or another loss altogether, and its training curve then cannot be compared with yours. Which entry "
            "of its output says what it minimises?"
        ),
        caught_by=REPORT,
        swap=(
            (
                'total_loss += output["loss"].item() * len(labels)',
                'total_loss += nn.functional.cross_entropy(output["logits"], labels, reduction="sum").item()',
            ),
        ),
    ),
    WrongAnswer(
        id="report-with-transposed-counts",
        title="precision and recall swapped in the report",
        explanation=(
            "Rows and columns of the counts have changed places: the calls of a class are counted as its support. F1 and "
            "accuracy do not notice. Which of the two, true or predicted label, chooses the row in your table of pairs?"
        ),
        caught_by=REPORT,
        swap=(("torch.bincount(y_true * num_labels + y_pred,", "torch.bincount(y_pred * num_labels + y_true,"),),
    ),
    WrongAnswer(
        id="batches-not-moved",
        title="batches left on the device where they were",
        explanation=(
            "The argument `device` has no effect. On the CPU nothing happens; with the model on a GPU the first batch "
            "raises. A dictionary has no `.to`: what does have one?"
        ),
        caught_by=REPORT,
        swap=(("tensor.to(device) for name", "tensor for name"),),
    ),
    # ---------------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="no-examples-give-zero",
        title="an accuracy of 0 when there are no samples",
        explanation=(
            "An empty loader gives 0, which looks like a very bad model. A loader is empty by mistake: a wrong path, or "
            "a generator that was used up before. The task asks for a ValueError."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                '    if total == 0:\n        raise ValueError("there are no samples")\n    return correct / total',
                "    return correct / max(total, 1)",
            ),
        ),
    ),
    WrongAnswer(
        id="labels-broadcast",
        title="labels of shape (batch, 1) compared with predictions of shape (batch,)",
        explanation=(
            "A column against a row compares every prediction with every label, and the accuracy can exceed 1. Test the "
            "shapes before you compare: which number of axes should the labels have?"
        ),
        caught_by=BAD_INPUT,
        swap=(("if labels.ndim != 1 or logits.ndim != 2 or len", "if logits.ndim != 2 or len"),),
    ),
    WrongAnswer(
        id="labels-reach-the-loss",
        title="labels tested after the model has seen them",
        explanation=(
            "A label beyond the classes reaches the loss of the model first, which raises an IndexError on a CPU and stops "
            "a GPU with an error that names another line. When do you have to look at the labels to answer with a "
            "ValueError?"
        ),
        caught_by=BAD_INPUT,
        swap=((" or ((labels < 0) | (labels >= num_labels)).any()", ""),),
    ),
    WrongAnswer(
        id="negative-labels-taken",
        title="negative labels let through",
        explanation=(
            "Only labels that are too large are refused. A label of -1 marks a sample without a label in many data "
            "sets, and -100 is skipped by PyTorch's loss without a word; neither is a class. The task asks for a "
            "ValueError."
        ),
        caught_by=BAD_INPUT,
        swap=(
            ("((labels < 0) | (labels >= num_labels)).any()", "(labels >= num_labels).any()"),
            ("torch.bincount(y_true * num_labels", "torch.bincount(y_true.clamp(min=0) * num_labels"),
        ),
    ),
    WrongAnswer(
        id="loss-of-none",
        title="a missing loss counted as 0",
        explanation=(
            "Some models return a loss only if the labels arrive under the right name, and None otherwise. Counted as 0, "
            "the forgotten labels look like a perfect model. The task asks for a ValueError."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                '            if output.get("loss") is None:\n                raise ValueError("the model returned no loss")\n',
                '            output["loss"] = output["logits"].new_zeros(()) if output.get("loss") is None else output["loss"]\n',
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="class-based-context",
        title="a context manager written as a class, inference mode, counts label by label",
        code="""
class evaluation_mode:
    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.training = {name for name, module in self.model.named_modules() if module.training}
        self.model.train(False)
        self.inference = torch.inference_mode()
        self.inference.__enter__()

    def __exit__(self, *error):
        self.inference.__exit__(*error)
        for name, module in self.model.named_modules():
            module.training = name in self.training


def evaluate(model, loader, *, num_labels, device="cpu"):
    losses, sizes, labels, logits = [], [], [], []
    with evaluation_mode(model):
        for batch in loader:
            target = batch["labels"]
            if target.dim() != 1 or not all(0 <= label < num_labels for label in target.tolist()):
                raise ValueError("labels")
            moved = {}
            for name in batch:
                moved[name] = batch[name].to(device=device, non_blocking=True)
            output = model(**moved)
            if "loss" not in output or output["loss"] is None:
                raise ValueError("no loss")
            if tuple(output["logits"].shape) != (target.shape[0], num_labels):
                raise ValueError("logits")
            losses.append(float(output["loss"]))
            sizes.append(target.shape[0])
            labels.extend(target.tolist())
            logits.append(output["logits"].to("cpu"))
    if not labels:
        raise ValueError("no samples")
    logits = torch.cat(logits).double()
    predicted = logits.max(dim=1).indices.tolist()
    per_class = {}
    for c in range(num_labels):
        tp = sum(t == p == c for t, p in zip(labels, predicted))
        calls, support = predicted.count(c), labels.count(c)
        per_class[c] = dict(
            precision=tp / calls if calls else 0.0,
            recall=tp / support if support else 0.0,
            f1=2 * tp / (calls + support) if calls + support else 0.0,
            support=support,
        )
    return dict(
        loss=sum(loss * size for loss, size in zip(losses, sizes)) / len(labels),
        accuracy=sum(t == p for t, p in zip(labels, predicted)) / len(labels),
        macro_f1=sum(row["f1"] for row in per_class.values()) / num_labels,
        per_class=per_class,
        y_true=torch.tensor(labels),
        y_pred=torch.tensor(predicted),
        probs=torch.nn.functional.softmax(logits, dim=-1),
    )
""",
    ),
    Alternative(
        id="predictions-first",
        title="all predictions collected first, the accuracy a mean over them",
        code="""
def evaluate_accuracy(model, batches):
    hits = []
    modes = {module: module.training for module in model.modules()}
    recording = torch.is_grad_enabled()
    try:
        for module in modes:
            module.training = False
        torch.set_grad_enabled(False)
        for batch in batches:
            labels = batch[-1]
            logits = model(*batch[:-1])
            if len(logits.shape) != 2 or labels.shape != logits.shape[:1]:
                raise ValueError("shapes")
            hits += (torch.topk(logits, 1).indices.squeeze(1) == labels).tolist()
    finally:
        torch.set_grad_enabled(recording)
        for module, training in modes.items():
            module.train(training)
        for module, training in modes.items():  # again: train() of a parent went through its children
            module.training = training
    try:
        return torch.tensor(hits, dtype=torch.float64).mean() if hits else 1 / 0
    except ZeroDivisionError:
        raise ValueError("no samples") from None
""",
    ),
    Alternative(
        id="exit-stack",
        title="evaluation mode with an exit stack, counts by index_put, NumPy for the ratios",
        code="""
@contextmanager
def evaluation_mode(model):
    from contextlib import ExitStack

    with ExitStack() as stack:
        for module in model.modules():
            stack.callback(setattr, module, "training", module.training)
        model.eval()
        stack.enter_context(torch.set_grad_enabled(False))
        yield model


def evaluate(model, loader, *, num_labels, device="cpu"):
    import numpy as np

    confusion = torch.zeros(num_labels, num_labels, dtype=torch.int64)
    kept = {"y_true": [], "y_pred": [], "probs": []}
    loss_sum = torch.zeros((), dtype=torch.float64)
    with evaluation_mode(model) as model:
        for batch in loader:
            labels = batch["labels"]
            if labels.ndim != 1:
                raise ValueError("labels (batch,)")
            if len(labels) and (labels.min() < 0 or labels.max() > num_labels - 1):
                raise ValueError("label outside the classes")
            output = model(**{key: value.to(torch.device(device)) for key, value in batch.items()})
            loss, logits = output.get("loss"), output["logits"].cpu()
            if loss is None or logits.shape != torch.Size([len(labels), num_labels]):
                raise ValueError("output")
            loss_sum += loss.cpu().double() * len(labels)
            kept["y_true"].append(labels)
            kept["y_pred"].append(logits.argmax(-1))
            kept["probs"].append(torch.softmax(logits, -1))
            confusion.index_put_((labels, logits.argmax(-1)), torch.ones((), dtype=torch.int64), accumulate=True)
    total = int(confusion.sum())
    if total == 0:
        raise ValueError("no samples")
    table = confusion.numpy()
    tp, calls, support = table.diagonal(), table.sum(0), table.sum(1)
    with np.errstate(invalid="ignore"):
        precision, recall, f1 = (np.nan_to_num(x) for x in (tp / calls, tp / support, 2 * tp / (calls + support)))
    per_class = {
        c: {"precision": precision[c], "recall": recall[c], "f1": f1[c], "support": support[c]}
        for c in range(num_labels)
    }
    numbers = {"loss": loss_sum / total, "accuracy": tp.sum() / total, "macro_f1": f1.mean()}
    return {**numbers, "per_class": per_class, **{key: torch.cat(value) for key, value in kept.items()}}
""",
    ),
]

equivalent_mutants = {
    "1 -> 2 in `f1 = 2 * correct / (calls + support).clamp(min=1)`": (
        "with calls and support adding up to 1 there is no hit, and 0 divided by 2 is 0 as well"
    ),
}
