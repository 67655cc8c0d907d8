"""Checks of metrics/trustworthy_evaluation.

The model over there has batch normalisation and dropout; what it must answer in evaluation mode is worked out here by
formula, for all samples at once. Metrics are counted label by label.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from grader.checking import assert_close, assert_equal, assert_shape, assert_unchanged, catches, points, raises, visible

CLASSES = 5
ABSENT = 4  # the label that never occurs


def observe(student, function, state, batches, settings):
    """Run one function on a small model, and tell what it returned and what happened to the model.

    settings: `modes`, names of the modules in training mode; `generator`, hand the batches over one by one;
    `explode`, the call of the model that raises; `device`, passed on, with a count of the tensors moved.
    `calls` has, for each call of the model, the modules in training mode and whether gradients are recorded.
    """
    import torch
    import torch.nn.functional as F
    from torch import nn

    calls, moved = [], []

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(5)
            self.hidden = nn.Linear(5, 7)
            self.tower = nn.Sequential(nn.Dropout(0.4), nn.Linear(7, len(state["tower.1.bias"])))

        def forward(self, text, image, labels=None):
            training = [name or "the model" for name, module in self.named_modules() if module.training]
            calls.append((training, torch.is_grad_enabled()))
            if len(calls) == settings.get("explode"):
                raise RuntimeError("out of memory")
            logits = self.tower(torch.tanh(self.hidden(self.norm(torch.cat([text, image], dim=1)))))
            if labels is None:
                return logits
            return {"loss": F.cross_entropy(logits, labels, label_smoothing=0.2), "logits": logits}

    class Recorded(torch.Tensor):
        def to(self, *arguments, **named):
            moved.append(True)
            return self.as_subclass(torch.Tensor).to(*arguments, **named)

    model = Model().to(next(iter(state.values())).dtype)
    model.load_state_dict(state)
    for name, module in model.named_modules():
        module.training = (name or "the model") in settings["modes"]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)

    named = {}
    if "device" in settings:
        named = {"device": settings["device"]}
        batches = [{name: value.as_subclass(Recorded) for name, value in batch.items()} for batch in batches]
    result, error = None, ""
    try:
        given = (batch for batch in batches) if settings.get("generator") else batches
        if function == "accuracy":
            result = student.evaluate_accuracy(model, given)
        else:
            result = student.evaluate(model, given, num_labels=len(state["tower.1.bias"]), **named)
            if named:
                result = None  # made of tensors that count
    except RuntimeError as exception:
        if "explode" not in settings:
            raise
        error = str(exception)
    return {
        "result": result,
        "error": error,
        "calls": calls,
        "moved": len(moved),
        "modes": [name or "the model" for name, module in model.named_modules() if module.training],
        "records_gradients": torch.is_grad_enabled(),
        "state": {name: value.detach().clone() for name, value in model.state_dict().items()},
        "gradients": {name: parameter.grad for name, parameter in model.named_parameters()},
    }


def inside_and_after(student, modes, fails):
    """Modes and recording of gradients inside `evaluation_mode`, and after it."""
    import torch
    from torch import nn

    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.4)), nn.BatchNorm1d(2))
    for name, module in model.named_modules():
        module.training = (name or "the model") in modes

    def look():
        training = [name or "the model" for name, module in model.named_modules() if module.training]
        return training, torch.is_grad_enabled()

    inside = None
    try:
        with student.evaluation_mode(model):
            inside = look()
            if fails:
                raise KeyError("stop")
    except KeyError:
        pass
    return inside, look()


EVERY_MODULE = ["the model", "norm", "hidden", "tower", "tower.0", "tower.1"]


def random_state(rng: np.random.Generator) -> dict[str, Tensor]:
    """Weights, biases and running statistics, none of them at its initial value."""
    shapes = {
        "norm.weight": (5,),
        "norm.bias": (5,),
        "norm.running_mean": (5,),
        "hidden.weight": (7, 5),
        "hidden.bias": (7,),
        "tower.1.weight": (CLASSES, 7),
        "tower.1.bias": (CLASSES,),
    }
    state = {name: torch.from_numpy(rng.normal(size=shape)) for name, shape in shapes.items()}
    state["norm.running_var"] = torch.from_numpy(rng.uniform(0.5, 3.0, size=5))
    state["norm.num_batches_tracked"] = torch.tensor(9)
    return state


def logits_by_formula(state: dict[str, Tensor], text: Tensor, image: Tensor) -> Tensor:
    x = torch.cat([text, image], dim=1)
    x = (x - state["norm.running_mean"]) / torch.sqrt(state["norm.running_var"] + 1e-5)
    x = x * state["norm.weight"] + state["norm.bias"]
    x = torch.tanh(x @ state["hidden.weight"].T + state["hidden.bias"])
    return x @ state["tower.1.weight"].T + state["tower.1.bias"]


def random_examples(rng: np.random.Generator, state: dict[str, Tensor], n_examples: int):
    """Text, image, labels and the right logits. About half of the labels are the predictions; one never occurs."""
    text, image = (torch.from_numpy(rng.normal(size=(n_examples, width))) for width in (2, 3))
    logits = logits_by_formula(state, text, image)
    guesses = torch.from_numpy(rng.integers(ABSENT, size=n_examples))
    predicted = logits.argmax(dim=1)
    keep = torch.from_numpy(rng.random(n_examples) < 0.6) & (predicted != ABSENT)
    labels = torch.where(keep, predicted, guesses)
    labels[: ABSENT + 1] = torch.tensor([*range(ABSENT), 0])
    return text, image, labels, logits


def cut(tensors, sizes):
    """The tensors in pieces of the given sizes: one tuple a batch."""
    return list(zip(*(torch.split(tensor, sizes) for tensor in tensors), strict=True))


def as_dicts(batches):
    return [dict(zip(("text", "image", "labels"), batch, strict=True)) for batch in batches]


def number(value, what):
    """A single number as a Python float; Python numbers, NumPy scalars and 0-d tensors are all fine."""
    if isinstance(value, np.ndarray | Tensor) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        raise AssertionError(f"The {what} is {value!r}; it should be a single number.")
    return float(value)


def entry(report, key, what):
    if not isinstance(report, dict):
        raise AssertionError(f"The {what} is {type(report).__name__}; it should be a dict.")
    if key not in report:
        raise AssertionError(f"The {what} has no entry {key!r}; it has {sorted(map(str, report))}.")
    return report[key]


def echo(student, function, batches, settings):
    """Run one function on a model that gives its input back as logits."""
    import torch.nn.functional as F
    from torch import nn

    class Echo(nn.Module):
        def forward(self, scores, labels=None):
            if labels is None:
                return scores
            output = {"loss": F.cross_entropy(scores, labels), "logits": scores}
            if settings.get("loss") == "missing":
                del output["loss"]
            if settings.get("loss") == "None":
                output["loss"] = None
            if settings.get("logits") == "transposed":
                output["logits"] = scores.T
            return output

    model = Echo()
    if function == "accuracy":
        return student.evaluate_accuracy(model, batches)
    return student.evaluate(model, batches, num_labels=settings["num_labels"])


@points(1)
@visible
def test_worked_example(student):
    """The small example in the notebook comes out right."""
    for fails in (False, True):
        (training, records), after = student.run(inside_and_after, ["the model"], fails)
        if training or records:
            raise AssertionError("Inside evaluation_mode a module is in training mode, or gradients are recorded.")
        if after != (["the model"], True):
            raise AssertionError("After evaluation_mode the modes or the recording of gradients are not as before.")
    scores = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.0]])
    labels = torch.tensor([0, 1, 2, 1])
    batches = cut([scores, labels], [3, 1])
    found = number(student.run(echo, "accuracy", batches, {}), "result of evaluate_accuracy")
    assert_close(found, 0.5, rtol=0, atol=1e-6, what="result of evaluate_accuracy")
    loader = [dict(zip(("scores", "labels"), batch, strict=True)) for batch in batches]
    report = student.run(echo, "evaluate", loader, {"num_labels": 3})
    expected = {"loss": F.cross_entropy(scores.double(), labels).item(), "accuracy": 0.5, "macro_f1": 7 / 18}
    for key, value in expected.items():
        found = number(entry(report, key, "report"), f"report[{key!r}]")
        assert_close(found, value, rtol=0, atol=1e-5, what=f"report[{key!r}]")
    precision = entry(entry(entry(report, "per_class", "report"), 0, "per_class"), "precision", "per_class[0]")
    assert_close(number(precision, "precision of label 0"), 0.5, rtol=0, atol=1e-6, what="precision of label 0")
    assert_equal(entry(report, "y_pred", "report"), torch.tensor([0, 1, 1, 0]), what="report['y_pred']")
    assert_equal(entry(report, "y_true", "report"), labels, what="report['y_true']")
    probs = entry(report, "probs", "report")
    assert_close(probs, scores.double().softmax(dim=1), rtol=1e-5, atol=1e-6, what="report['probs']")


@points(2)
@catches("mean-of-batch-accuracies", "percentage", "argmax-over-the-batch", "first-input-only")
def test_accuracy_counts_examples(student, rng):
    """Accuracy is the share of right predictions among all samples, however they are cut into batches."""
    for n_examples, all_sizes in ((23, ([23], [9, 9, 5], [1] * 23)), (12, ([5, 7], [4, 1, 7]))):
        state = random_state(rng)
        text, image, labels, logits = random_examples(rng, state, n_examples)
        expected = sum(
            row.index(max(row)) == label for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
        )
        for sizes in all_sizes:
            batches = cut([text, image, labels], sizes)
            for generator in (False, True):
                settings = {"modes": [], "generator": generator}
                seen = student.run(observe, "accuracy", state, batches, settings)
                kind = "a generator of batches" if generator else "a list of batches"
                what = f"result of evaluate_accuracy for {kind} of {', '.join(map(str, sizes))} samples"
                cause = "count the right predictions and the samples of all batches, and divide once at the end"
                found = number(seen["result"], what)
                assert_close(found, expected / n_examples, rtol=1e-9, atol=1e-9, what=what, cause=cause)


@points(2)
@catches("training-mode", "training-mode-in-the-report", "gradients-recorded", "gradients-recorded-in-the-report")
def test_evaluation_mode_while_the_model_runs(student, rng):
    """While the model runs, none of its modules is in training mode and no gradients are recorded."""
    state = random_state(rng)
    text, image, labels, _ = random_examples(rng, state, 11)
    batches = cut([text, image, labels], [6, 5])
    for function, given in (("accuracy", batches), ("evaluate", as_dicts(batches))):
        name = "evaluate" if function == "evaluate" else "evaluate_accuracy"
        for modes in (EVERY_MODULE, ["tower.0"]):
            seen = student.run(observe, function, state, given, {"modes": modes})
            if not seen["calls"]:
                raise AssertionError(f"{name} did not call the model.")
            for training, records in seen["calls"]:
                if training:
                    raise AssertionError(
                        f"{name} called the model with {', '.join(training)} in training mode. Dropout then drops, and "
                        "batch normalisation uses and updates the statistics of the test batches."
                    )
                if records:
                    raise AssertionError(f"{name} called the model while gradients are recorded, which costs memory.")


@points(2)
@catches(
    "train-at-the-end",
    "one-mode-for-all-modules",
    "left-in-evaluation-mode",
    "modes-lost-on-an-exception",
    "gradients-left-off",
    "gradients-cleared",
)
def test_everything_is_left_as_it_was(student, rng):
    """Afterwards each module has its own mode again, and parameters, buffers and gradients are as before."""
    for modes in (["the model"], ["0"], ["0.1", "1"], []):
        for fails in (False, True):
            inside, after = student.run(inside_and_after, modes, fails)
            how = "left by an exception" if fails else "left in the ordinary way"
            if inside != ([], False):
                raise AssertionError(
                    f"Inside evaluation_mode, {inside[0] or 'no module'} is in training mode and "
                    f"torch.is_grad_enabled() is {inside[1]}; it should be none, and False."
                )
            if after != (modes, True):
                raise AssertionError(
                    f"With {modes or 'no module'} in training mode before, {after[0] or 'none'} is after the block was "
                    f"{how}, and torch.is_grad_enabled() is {after[1]}; each module has a mode of its own."
                )
    state = random_state(rng)
    text, image, labels, _ = random_examples(rng, state, 9)
    batches = cut([text, image, labels], [4, 3, 2])
    # the whole model trains; a frozen normalisation; dropout alone; nothing trains
    for modes in (EVERY_MODULE, ["the model", "hidden", "tower", "tower.0", "tower.1"], ["tower.0"], []):
        for function, given in (("accuracy", batches), ("evaluate", as_dicts(batches))):
            for explode in (False, True):
                settings = {"modes": modes} | ({"explode": 2} if explode else {})
                seen = student.run(observe, function, state, given, settings)
                name = "evaluate" if function == "evaluate" else "evaluate_accuracy"
                when = f"{name} after an error in the model" if explode else name
                if explode and "out of memory" not in seen["error"]:
                    raise AssertionError(f"{name} swallowed an error that the model raised.")
                if seen["modes"] != modes:
                    raise AssertionError(
                        f"In training mode before: {modes or 'no module'}; after {when}: {seen['modes'] or 'none'}. "
                        "Each module has a mode of its own, and gets it back also when the model raises an error."
                    )
                if not seen["records_gradients"]:
                    raise AssertionError(f"After {when}, torch.is_grad_enabled() is False: training would stand still.")
                for parameter, value in state.items():
                    assert_unchanged(seen["state"][parameter], value, what=f"{parameter} of the model given to {when}")
                for parameter, gradient in seen["gradients"].items():
                    before = torch.full_like(state[parameter], 0.5)
                    if not isinstance(gradient, Tensor) or not torch.equal(gradient, before):
                        raise AssertionError(f"The gradient {parameter}.grad changed during {when}.")


@points(2)
@catches(
    "batch-f1-averaged",
    "last-batch-dropped",
    "macro-over-present-labels",
    "mean-of-batch-losses",
    "loss-recomputed",
    "report-with-transposed-counts",
    "batches-not-moved",
)
def test_report_on_the_whole_set(student, rng):
    """The report is that of the whole set, sample by sample, however it is cut into batches."""
    n_examples = 29
    state = random_state(rng)
    text, image, labels, logits = random_examples(rng, state, n_examples)
    predicted = [row.index(max(row)) for row in logits.tolist()]
    pairs = list(zip(labels.tolist(), predicted, strict=True))
    losses = F.cross_entropy(logits, labels, label_smoothing=0.2, reduction="none").tolist()
    loss, accuracy = math.fsum(losses) / n_examples, sum(t == p for t, p in pairs) / n_examples
    per_class = {}
    for c in range(CLASSES):
        tp, calls, support = pairs.count((c, c)), predicted.count(c), labels.tolist().count(c)
        per_class[c] = {
            "precision": tp / calls if calls else 0.0,
            "recall": tp / support if support else 0.0,
            "f1": 2 * tp / (calls + support) if calls + support else 0.0,
            "support": support,
        }
    macro_f1 = math.fsum(row["f1"] for row in per_class.values()) / CLASSES
    causes = {
        "loss": "the model's own loss is the mean of a batch; large and small batches weigh differently",
        "accuracy": "count over all batches, divide once",
        "macro_f1": f"the mean of the F1 of all {CLASSES} labels, each counted on the whole set",
    }
    for sizes in ([29], [9, 9, 9, 2], [1] * 29):
        loader = as_dicts(cut([text, image, labels], sizes))
        settings = {"modes": EVERY_MODULE, "generator": len(sizes) == 4}
        report = student.run(observe, "evaluate", state, loader, settings)["result"]
        where = f"for batches of {', '.join(map(str, sizes[:4]))}{' ...' * (len(sizes) > 4)} samples"
        y_true = entry(report, "y_true", "report")
        assert_shape(y_true, (n_examples,), what=f"tensor y_true {where}")
        for key, value in {"loss": loss, "accuracy": accuracy, "macro_f1": macro_f1}.items():
            what = f"report[{key!r}] {where}"
            found = number(entry(report, key, "report"), what)
            assert_close(found, value, rtol=1e-5, atol=1e-7, what=what, cause=causes[key])
        table = entry(report, "per_class", "report")
        for label, row in per_class.items():
            for key, value in row.items():
                what = f"report['per_class'][{label}][{key!r}] {where}"
                found = number(entry(entry(table, label, "per_class"), key, f"per_class[{label}]"), what)
                assert_close(found, float(value), rtol=1e-5, atol=1e-7, what=what, cause="counts of the whole set")
        if len(table) != CLASSES:
            raise AssertionError(f"report['per_class'] has {len(table)} entries; it should have one for each label.")
        for key, value in {"y_true": labels, "y_pred": torch.tensor(predicted)}.items():
            found = entry(report, key, "report")
            if not isinstance(found, Tensor) or found.dtype != torch.int64:
                raise AssertionError(f"report[{key!r}] should be an int64 tensor; it is {found!r}.")
            assert_equal(found, value, what=f"tensor {key} {where}")
        probs = entry(report, "probs", "report")
        if not isinstance(probs, Tensor) or not probs.is_floating_point():
            raise AssertionError(f"report['probs'] should be a floating-point tensor; it is {probs!r}.")
        assert_close(probs.double(), logits.softmax(dim=1), rtol=1e-4, atol=1e-5, what=f"tensor probs {where}")

    loader = as_dicts(cut([text, image, labels], [9, 20]))
    moved = student.run(observe, "evaluate", state, loader, {"modes": [], "device": "cpu"})["moved"]
    if moved < 6:
        raise AssertionError(
            f"{moved} of 6 tensors in two batches were moved with .to(device); a model on a GPU would refuse the rest."
        )

    one = student.run(
        echo, "evaluate", [{"scores": logits[:1, :3], "labels": logits[:1, :3].argmax(dim=1)}], {"num_labels": 3}
    )
    for key, value in {"accuracy": 1.0, "macro_f1": 1 / 3}.items():
        what = f"report[{key!r}] for one sample, rightly predicted, and 3 labels"
        assert_close(number(entry(one, key, "report"), what), value, rtol=1e-6, atol=1e-7, what=what)
    found = [row["recall"] for row in one["per_class"].values()]
    what = "recall of the labels for one sample, rightly predicted, and 3 labels"
    assert_close(sorted(number(value, what) for value in found), [0.0, 0.0, 1.0], rtol=1e-6, atol=1e-7, what=what)


@points(1)
@catches("no-examples-give-zero", "labels-broadcast", "labels-reach-the-loss", "negative-labels-taken", "loss-of-none")
def test_bad_input_is_refused(student):
    """No samples, labels or logits that do not fit, labels outside the classes, a missing loss: ValueError."""
    scores = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 3.0, 1.0]])
    labels = torch.tensor([0, 1, 2])
    fitting = (scores, labels)
    refused = {
        "no batch": [],
        "one empty batch": [(scores[:0], labels[:0])],
        "labels (3, 1) in the second batch": [fitting, (scores, labels[:, None])],
        "labels (1, 3)": [(scores, labels[None])],
        "one-hot labels": [(scores, torch.eye(3, dtype=torch.int64))],
        "one label for three samples": [(scores, labels[:1])],
        "labels for two of three samples": [(scores, labels[:2])],
        "logits of three axes": [(scores.reshape(3, 1, 3), labels)],
        "logits of one axis": [(scores[:, 0], labels)],
    }
    for case, batches in refused.items():
        with raises(ValueError, what=f"evaluate_accuracy with {case}"):
            student.run(echo, "accuracy", batches, {})
    refused = {
        "no batch": ([], {}),
        "one empty batch": ([(scores[:0], labels[:0])], {}),
        "labels (3, 1)": ([(scores, labels[:, None])], {}),
        "label 3 of 3 classes": ([fitting, (scores, torch.tensor([0, 3, 1]))], {}),
        "label -1": ([(scores, torch.tensor([0, -1, 1]))], {}),
        "label -100": ([(scores, torch.tensor([0, -100, 1]))], {}),
        "logits for 3 classes and num_labels=4": ([fitting], {"num_labels": 4}),
        "logits (classes, batch)": ([(scores[:2], labels[:2])], {"logits": "transposed"}),
        "a model that returns no loss": ([fitting], {"loss": "missing"}),
        "a model that returns the loss None": ([fitting], {"loss": "None"}),
    }
    for case, (batches, settings) in refused.items():
        loader = [dict(zip(("scores", "labels"), batch, strict=True)) for batch in batches]
        with raises(ValueError, what=f"evaluate with {case}"):
            student.run(echo, "evaluate", loader, {"num_labels": 3} | settings)
