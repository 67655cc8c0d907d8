"""Wrong and differently written answers to transfer/bert_fine_tuning.

Every "must reject" line of C-P3a has an entry; line 7, "optimiser created before parameters are replaced / only the head
trained", has two. As the errata say (1.2), "scheduler stepped per epoch" learns the small task as well as the reference:
it is caught by the recorded learning rates, and no entry is caught by accuracy.
"""

from grader.catalogue import Alternative, WrongAnswer

LABELS = """        if ((batch["labels"] < 0) | (batch["labels"] >= model.config.num_labels)).any():
            raise ValueError(f"labels must lie between 0 and {model.config.num_labels - 1}")
"""
CHECKS = """    for batch in batches:
        for key in ("input_ids", "attention_mask", "labels"):
            if key not in batch:
                raise KeyError(key)
"""
LOSS = "loss = model(**batch).loss  # the cross-entropy of logits and labels"
CLEAR = "            optimizer.zero_grad()\n"
CLIP = "            nn.utils.clip_grad_norm_(trainable, max_grad_norm)\n"
STEP = "            optimizer.step()\n"
SCHEDULE = "            scheduler.step()\n"
WARMUP = "int(warmup_ratio * steps), steps)"
OPTIMIZER = "    optimizer = torch.optim.AdamW(groups, lr=lr)\n"
CALL = 'model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.argmax(dim=1)'
GIVE_BACK = (
    "            module.training = training  # not module.train(training): that would switch its children as well\n"
)

wrong_answers = [
    WrongAnswer(
        id="only-train-mode",
        title="model.train() called, and nothing trained",
        explanation=(
            "Training mode is a flag: dropout is on, batch normalisation would learn, and every parameter is to the bit "
            "what it was. The published tutorial stops here. Which call changes parameters?"
        ),
        caught_by="test_one_step_for_each_batch",
        code="""
def finetune_bert(
    model, batches, *, epochs=3, lr=5e-5, weight_decay=0.01, warmup_ratio=0.1, max_grad_norm=1.0
):
    model.train()
    return [model(**batch).loss.item() for _ in range(epochs) for batch in batches]
""",
    ),
    WrongAnswer(
        id="mask-dropped",
        title="training without the attention mask",
        explanation=(
            "Without a mask BERT attends to the padding as if it were text. The loss falls all the same, and what was "
            "learned depends on how long the batches happened to be."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=(("model(**batch).loss", 'model(input_ids=batch["input_ids"], labels=batch["labels"]).loss'),),
    ),
    WrongAnswer(
        id="left-in-training-mode",
        title="the model left in training mode",
        explanation=(
            "After the run dropout is still on, and whoever uses the model gets another answer each time. The task asks "
            "for evaluation mode at the end."
        ),
        caught_by="test_modes",
        swap=(("    model.eval()\n    return losses", "    return losses"),),
    ),
    WrongAnswer(
        id="trained-in-evaluation-mode",
        title="trained in the mode in which the model came",
        explanation=(
            "`from_pretrained` gives a model in evaluation mode, and yours trains it like that: without dropout, and "
            "nothing says so. Switch at the start."
        ),
        caught_by="test_modes",
        swap=(("    model.train()\n", ""),),
    ),
    WrongAnswer(
        id="decay-everywhere",
        title="weight decay on biases and layer normalisation too",
        explanation=(
            "All parameters decay in yours. Pulling the scale of a normalisation or a bias towards 0 makes the model "
            "smaller where smallness has no meaning. How do these parameters differ from weight matrices?"
        ),
        caught_by="test_weight_decay",
        swap=((OPTIMIZER, "    optimizer = torch.optim.AdamW(trainable, lr=lr, weight_decay=weight_decay)\n"),),
    ),
    WrongAnswer(
        id="layer-norm-decays",
        title="weight decay on the scales of layer normalisation",
        explanation=(
            "Biases are left out, the scales of layer normalisation are not. Many recipes pick parameters by parts of "
            "their names, and the names differ from library to library; the number of dimensions does not."
        ),
        caught_by="test_weight_decay",
        swap=(
            (
                "    matrices = [parameter for parameter in trainable if parameter.ndim >= 2]\n"
                "    vectors = [parameter for parameter in trainable if parameter.ndim < 2]\n",
                "    free = ('bias', 'gamma', 'beta')\n"
                "    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]\n"
                "    matrices = [p for name, p in named if not name.endswith(free)]\n"
                "    vectors = [p for name, p in named if name.endswith(free)]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="no-decay",
        title="weight_decay not handed on, or only PyTorch's own",
        explanation=(
            "The decay of weight matrices is not the argument's. AdamW has a default of its own, 0.01, which hides this "
            "for as long as nobody asks for anything else."
        ),
        caught_by="test_weight_decay",
        swap=(
            ('    groups = [{"params": matrices, "weight_decay": weight_decay}', '    groups = [{"params": matrices}'),
        ),
    ),
    WrongAnswer(
        id="decay-as-penalty",
        title="Adam with a penalty in place of AdamW",
        explanation=(
            "In `torch.optim.Adam` the decay is added to the gradient and then divided by Adam's running scale, so that "
            "it acts least where gradients are large. AdamW keeps the two apart."
        ),
        caught_by="test_weight_decay",
        swap=((OPTIMIZER, OPTIMIZER.replace("AdamW", "Adam")),),
    ),
    WrongAnswer(
        id="scheduler-once-an-epoch",
        title="the scheduler stepped once an epoch",
        explanation=(
            "The schedule counts steps, and yours moves on once an epoch: in three epochs it comes no further than its "
            "third step, so the rate stays close to 0. On small tasks AdamW learns even so, and nobody looks."
        ),
        caught_by="test_learning_rates",
        swap=(
            (SCHEDULE, ""),
            (
                "            losses.append(loss.item())\n",
                "            losses.append(loss.item())\n        scheduler.step()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="warmup-rounded-up",
        title="the warm-up rounded up",
        explanation=(
            "Your warm-up is one step longer than the task's where `warmup_ratio * T` is no whole number. Libraries "
            "differ; here it is rounded down."
        ),
        caught_by="test_learning_rates",
        swap=((WARMUP, "-int(-warmup_ratio * steps // 1), steps)"),),
    ),
    WrongAnswer(
        id="schedule-of-one-epoch",
        title="the schedule made for one epoch only",
        explanation=(
            "Your schedule has as many steps as one epoch, so the rate is 0 from the second epoch on. How many steps "
            "does the whole run have?"
        ),
        caught_by="test_learning_rates",
        swap=((WARMUP, "int(warmup_ratio * len(batches)), len(batches))"),),
    ),
    WrongAnswer(
        id="constant-after-the-warmup",
        title="no decay of the rate after the warm-up",
        explanation="The rate rises and then stays at its highest value. The second part of the schedule is missing.",
        caught_by="test_learning_rates",
        swap=(
            (
                "get_linear_schedule_with_warmup(optimizer, " + WARMUP,
                "torch.optim.lr_scheduler.LambdaLR(\n"
                "        optimizer, lambda step: min(1.0, step / max(1, int(warmup_ratio * steps)))\n"
                "        if int(warmup_ratio * steps) else 1.0\n"
                "    )",
            ),
        ),
    ),
    WrongAnswer(
        id="scheduler-before-the-optimiser",
        title="the scheduler stepped before the optimiser",
        explanation=(
            "Your rates are one step ahead, and the last step is made with the rate 0. A scheduler sets the rate of the "
            "step that comes next."
        ),
        caught_by="test_learning_rates",
        swap=((STEP + SCHEDULE, SCHEDULE + STEP),),
    ),
    WrongAnswer(
        id="no-schedule",
        title="no schedule at all",
        explanation=(
            "Every step has the full rate, the first one too, when AdamW's averages are nearly empty and the head is "
            "random. Warm-up is there for this."
        ),
        caught_by="test_learning_rates",
        swap=(
            ("    scheduler = get_linear_schedule_with_warmup(optimizer, " + WARMUP + "\n", ""),
            (SCHEDULE, ""),
        ),
    ),
    WrongAnswer(
        id="loss-of-probabilities",
        title="the cross-entropy taken of probabilities",
        explanation=(
            "`cross_entropy` applies the softmax itself. Given probabilities, it applies it twice: the loss cannot come "
            "near 0, and the gradients are small where the model is sure. Hand it the logits."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=(
            (
                LOSS,
                'loss = nn.functional.cross_entropy(model(**batch).logits.softmax(dim=1), batch["labels"])',
            ),
        ),
    ),
    WrongAnswer(
        id="only-the-head",
        title="only the classification head trained",
        explanation=(
            "The optimiser holds the head alone, so BERT stays as it was. That is a linear probe, a good baseline, but "
            "not what the task asks: all parameters with `requires_grad`."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=(
            (
                "trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]",
                "trainable = list(model.classifier.parameters())",
            ),
        ),
    ),
    WrongAnswer(
        id="head-replaced-after-the-optimiser",
        title="the head replaced after the optimiser was made",
        explanation=(
            "The optimiser holds the parameters of a head that is no longer in the model, so the new one never learns; "
            "and the head that the caller had is gone. An optimiser knows tensors, not names."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=(
            (
                OPTIMIZER,
                OPTIMIZER + "    model.classifier = nn.Linear(model.config.hidden_size, model.config.num_labels)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="gradients-add-up",
        title="gradients never cleared",
        explanation=(
            "`backward()` adds to what is in `.grad`, so each of your steps is made with the sum of all gradients so "
            "far. Clipping hides how long it has become."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=((CLEAR, ""),),
    ),
    WrongAnswer(
        id="old-gradient-in-the-first-step",
        title="gradients cleared after each step only",
        explanation=(
            "Between the batches everything is in order, but the first step still contains what was in `.grad` before "
            "the call. Clear before you go backward."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=((CLEAR, ""), (STEP, STEP + "            optimizer.zero_grad()\n")),
    ),
    WrongAnswer(
        id="losses-as-tensors",
        title="a list of tensors in place of numbers",
        explanation=(
            "Each loss tensor keeps the graph of its batch, with all activations of BERT, in memory. Read the number "
            "out of it."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=(("losses.append(loss.item())", "losses.append(loss)"),),
    ),
    WrongAnswer(
        id="frozen-parameters-thawed",
        title="frozen parameters set free",
        explanation=(
            "Your run sets `requires_grad` for all parameters. The caller may have frozen the embeddings on purpose; "
            "what is frozen stays so."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=(("    trainable = [parameter", "    model.requires_grad_(True)\n    trainable = [parameter"),),
    ),
    WrongAnswer(
        id="labels-taken-out-of-the-batch",
        title="labels taken out of the caller's dictionaries",
        explanation=(
            "`pop` changes the dictionaries that were handed over: the second epoch, or the next call, finds no labels "
            "there. Read them, or make a dictionary of your own."
        ),
        caught_by="test_one_step_for_each_batch",
        swap=(
            ("    losses = []\n", '    losses, targets = [], [batch.pop("labels") for batch in batches]\n'),
            (
                "        for batch in batches:\n            optimizer",
                "        for batch, labels in zip(batches, targets):\n            optimizer",
            ),
            ("model(**batch).loss", "model(**batch, labels=labels).loss"),
        ),
    ),
    WrongAnswer(
        id="not-clipped",
        title="gradients not clipped",
        explanation="`max_grad_norm` has no effect: the optimiser gets each gradient at full length.",
        caught_by="test_clipping",
        swap=((CLIP, ""),),
    ),
    WrongAnswer(
        id="clipped-for-each-parameter",
        title="each parameter clipped by itself",
        explanation=(
            "Every tensor is scaled to the limit on its own, so the gradients no longer point where the loss falls "
            "fastest. The limit is for all of them as one vector."
        ),
        caught_by="test_clipping",
        swap=(
            (
                CLIP,
                "            for parameter in trainable:\n                nn.utils.clip_grad_norm_([parameter], max_grad_norm)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="clipped-by-value",
        title="each entry of the gradients clipped",
        explanation=(
            "Entries above the limit are cut off one by one, which changes the direction, and all of them together may "
            "still be longer than the limit. Scale by one factor."
        ),
        caught_by="test_clipping",
        swap=((CLIP, CLIP.replace("clip_grad_norm_", "clip_grad_value_")),),
    ),
    WrongAnswer(
        id="clipped-after-the-step",
        title="clipped after the step",
        explanation="By the time the gradients are scaled down, the optimiser has used them. The order is: backward, clip, step.",
        caught_by="test_clipping",
        swap=((CLIP + STEP, STEP + CLIP),),
    ),
    WrongAnswer(
        id="predicts-in-training-mode",
        title="predictions in training mode",
        explanation=(
            "Dropout is on while you predict, so two calls disagree. The model's mode is whatever the caller left; for a "
            "prediction it has to be evaluation mode."
        ),
        caught_by="test_predict",
        swap=(("        model.eval()\n        with torch.no_grad():", "        with torch.no_grad():"),),
    ),
    WrongAnswer(
        id="predict-leaves-evaluation-mode",
        title="the model left in evaluation mode by predict",
        explanation=(
            "A prediction in the middle of a training switches dropout off for the rest of it. Each module has to get "
            "its own mode back."
        ),
        caught_by="test_predict",
        swap=((GIVE_BACK, "            pass\n"),),
    ),
    WrongAnswer(
        id="predict-leaves-training-mode",
        title="one mode for all modules after predict",
        explanation=(
            "You remember one flag and set it for everything. A module that was in another mode than the rest, such as a "
            "frozen backbone, has lost its own. How many flags are there?"
        ),
        caught_by="test_predict",
        swap=(("        for module, training in modes:\n" + GIVE_BACK, "        model.train(modes[0][1])\n"),),
    ),
    WrongAnswer(
        id="modes-lost-on-an-error",
        title="modes not given back after an error",
        explanation=(
            "If the model raises an error, out of memory for instance, the lines after it do not run, and the modes "
            "stay changed. Python has a statement for what must happen in any case."
        ),
        caught_by="test_predict",
        swap=(("    finally:\n", "    except ZeroDivisionError:\n        raise\n    else:\n"),),
    ),
    WrongAnswer(
        id="predict-without-mask",
        title="predictions without the attention mask",
        explanation=(
            "Padding is read as text, so the prediction for a sentence depends on how long the longest one in its batch "
            "is. Hand on the mask."
        ),
        caught_by="test_predict",
        swap=((CALL, 'model(input_ids=batch["input_ids"]).logits.argmax(dim=1)'),),
    ),
    WrongAnswer(
        id="predict-records-gradients",
        title="gradients recorded in predictions",
        explanation=(
            "Evaluation mode does not stop the recording of gradients: every batch keeps its activations for nothing."
        ),
        caught_by="test_predict",
        swap=(("        with torch.no_grad():", "        with torch.enable_grad():"),),
    ),
    WrongAnswer(
        id="labels-unchecked",
        title="labels not looked at",
        explanation=(
            "A label outside the classes ends in an IndexError deep inside PyTorch, after some steps have been made, and "
            "-100 is skipped without a word. Look at all labels first."
        ),
        caught_by="test_bad_input",
        swap=((LABELS, ""),),
    ),
    WrongAnswer(
        id="ignored-labels-accepted",
        title="negative labels accepted",
        explanation=(
            "Only labels that are too large are refused. -100 is the number which the loss leaves out: such a sample "
            "trains nothing, and nobody hears of it."
        ),
        caught_by="test_bad_input",
        swap=(
            (
                '((batch["labels"] < 0) | (batch["labels"] >= model.config.num_labels))',
                '(batch["labels"] >= model.config.num_labels)',
            ),
        ),
    ),
    WrongAnswer(
        id="checked-in-the-loop",
        title="each batch looked at when its turn comes",
        explanation=(
            "The second batch is at fault, and by then the first has changed the model. An input that is refused should "
            "change nothing: look at all of it before the first step."
        ),
        caught_by="test_bad_input",
        swap=(
            (CHECKS + LABELS, ""),
            (
                CLEAR,
                '            missing = {"input_ids", "attention_mask", "labels"} - set(batch)\n'
                "            if missing:\n"
                "                raise KeyError(missing)\n"
                '            if not 0 <= batch["labels"].min() <= batch["labels"].max() < model.config.num_labels:\n'
                '                raise ValueError("labels")\n' + CLEAR,
            ),
        ),
    ),
    WrongAnswer(
        id="any-warmup-ratio",
        title="any warmup_ratio accepted",
        explanation=(
            "A warm-up of the whole run or more never reaches its highest rate, and a negative one makes no sense. The "
            "allowed range includes 0 and excludes 1."
        ),
        caught_by="test_bad_input",
        swap=((" or not 0 <= warmup_ratio < 1:", ":"),),
    ),
    WrongAnswer(
        id="missing-mask-accepted",
        title="batches without an attention mask accepted",
        explanation=(
            "If the mask is missing, BERT takes every token for text and says nothing about it. `batch.get` has the same "
            "effect. A missing mask is a mistake of the caller's, who should hear of it."
        ),
        caught_by="test_bad_input",
        swap=(('for key in ("input_ids", "attention_mask", "labels"):', 'for key in ("input_ids", "labels"):'),),
    ),
]

alternatives = [
    Alternative(
        id="by-hand",
        title="schedule, clipping and cross-entropy by hand, one group for each parameter",
        code="""
def _look_at(model, batches):
    if len(batches) == 0:
        raise ValueError("no batches")
    for batch in batches:
        batch["input_ids"], batch["attention_mask"]
        labels = batch["labels"]
        if labels.min() < 0 or labels.max() > model.num_labels - 1:
            raise ValueError("labels")


def finetune_bert(model, batches, *, epochs=3, lr=5e-5, weight_decay=0.01, warmup_ratio=0.1, max_grad_norm=1.0):
    if epochs <= 0:
        raise ValueError("epochs")
    if warmup_ratio < 0 or warmup_ratio >= 1:
        raise ValueError("warmup_ratio")
    _look_at(model, batches)
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": [p], "weight_decay": 0.0 if p.dim() <= 1 else weight_decay} for p in params], lr=lr
    )
    total = epochs * len(batches)
    warmup = int(warmup_ratio * total)
    history = []
    for module in model.modules():
        module.training = True
    for step in range(total):
        batch = batches[step % len(batches)]
        rate = lr * step / warmup if step < warmup else lr * (total - step) / (total - warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = -logits.log_softmax(-1).gather(1, batch["labels"][:, None]).mean()
        gradients = torch.autograd.grad(loss, params)
        length = sum(float((g.double() ** 2).sum()) for g in gradients) ** 0.5
        for p, g in zip(params, gradients):
            p.grad = g * min(1.0, max_grad_norm / length)
        optimizer.step()
        history += [float(loss.detach())]
    for p in params:
        p.grad = None
    model.eval()
    return history


def predict(model, batches):
    if len(batches) == 0:
        raise ValueError("no batches")
    flags = {module: module.training for module in model.modules()}
    for module in flags:
        module.training = False
    found = []
    try:
        for batch in batches:
            with torch.inference_mode():
                inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
                found.extend(model(**inputs)["logits"].max(-1).indices.tolist())
    finally:
        for module, flag in flags.items():
            module.training = flag
    return torch.tensor(found, dtype=torch.int64)
""",
    ),
    Alternative(
        id="lambda-lr",
        title="a LambdaLR, two groups found by module, a context manager for modes",
        code="""
import contextlib


@contextlib.contextmanager
def _evaluating(model):
    before = [m.training for m in model.modules()]
    try:
        with torch.no_grad():
            yield model.eval()
    finally:
        for m, flag in zip(model.modules(), before):
            m.training = flag


def finetune_bert(model, batches, *, epochs=3, lr=5e-5, weight_decay=0.01, warmup_ratio=0.1, max_grad_norm=1.0):
    bad = not batches, epochs < 1, not (0 <= warmup_ratio < 1)
    if any(bad):
        raise ValueError("bad arguments")
    classes = model.config.num_labels
    for batch in batches:
        missing = {"input_ids", "attention_mask", "labels"} - set(batch)
        if missing:
            raise KeyError(", ".join(missing))
        if not torch.isin(batch["labels"], torch.arange(classes)).all():
            raise ValueError("labels")
    plain = set()
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            if isinstance(module, nn.LayerNorm) or name == "bias":
                plain.add(p)
    weights = [p for p in model.parameters() if p.requires_grad and p not in plain]
    plain = [p for p in model.parameters() if p.requires_grad and p in plain]
    optimizer = torch.optim.AdamW(
        [dict(params=plain, weight_decay=0.0), dict(params=weights)], lr=lr, weight_decay=weight_decay
    )
    total = len(batches) * epochs
    w = int(warmup_ratio * total)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: s / w if s < w else (total - s) / (total - w))
    model.train()
    model.zero_grad()
    losses = []
    for _ in range(epochs):
        for batch in batches:
            output = model(**{key: value.clone() for key, value in batch.items()})
            output["loss"].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            losses.append(output["loss"].item())
    model.eval()
    return losses


def predict(model, batches):
    if batches == []:
        raise ValueError("no batches")
    inputs = [(batch["input_ids"], batch["attention_mask"]) for batch in batches]
    with _evaluating(model):
        return torch.hstack([model(i, m).logits.softmax(-1).argmax(-1) for i, m in inputs])
""",
    ),
    Alternative(
        id="cross-entropy-example-by-example",
        title="the batch's loss as a mean of single samples, padding cut off before the model",
        code="""
def _logits(model, batch):
    rows = []
    for ids, mask in zip(batch["input_ids"], batch["attention_mask"]):
        ids = ids[mask == 1].unsqueeze(0)
        rows.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits)
    return torch.cat(rows)


def finetune_bert(model, batches, *, epochs=3, lr=5e-5, weight_decay=0.01, warmup_ratio=0.1, max_grad_norm=1.0):
    if not batches or epochs < 1 or warmup_ratio < 0 or not warmup_ratio < 1:
        raise ValueError("arguments")
    for batch in batches:
        for key in ("labels", "attention_mask", "input_ids"):
            batch[key]
        for label in batch["labels"].tolist():
            if label not in range(model.config.num_labels):
                raise ValueError(label)
    groups = {True: [], False: []}
    for p in model.parameters():
        if p.requires_grad:
            groups[len(p.shape) > 1].append(p)
    optimizer = torch.optim.AdamW(
        ({"params": params, "weight_decay": weight_decay * matrix} for matrix, params in groups.items()), lr
    )
    total = epochs * len(batches)
    scheduler = get_linear_schedule_with_warmup(
        optimizer, num_warmup_steps=int(warmup_ratio * total), num_training_steps=total
    )
    losses = []
    for batch in batches * epochs:
        model.train()
        optimizer.zero_grad(set_to_none=False)
        loss = nn.functional.cross_entropy(_logits(model, batch), batch["labels"])
        loss.backward()
        nn.utils.clip_grad_norm_(groups[True] + groups[False], max_grad_norm)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    model.eval()
    return losses


@torch.no_grad()
def predict(model, batches):
    if not len(batches):
        raise ValueError("nothing to predict")
    modes = {name: module.training for name, module in model.named_modules()}
    model.eval()
    try:
        return torch.cat([_logits(model, batch).argmax(-1) for batch in batches])
    finally:
        for name, module in model.named_modules():
            module.training = modes[name]
""",
    ),
]

equivalent_mutants = {
    "dropped `raise ValueError('there is no batch')`": "torch.cat of an empty list raises a ValueError of its own",
}
