"""metrics/trustworthy_evaluation against scikit-learn, and what it must leave alone."""

import copy
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics
from torch import nn

from reference.metrics import trustworthy_evaluation
from reference.metrics.trustworthy_evaluation import evaluate, evaluate_accuracy, evaluation_mode


class Classifier(nn.Module):
    """Two inputs, batch normalisation and dropout; returns logits, or a dict with the loss if labels are given."""

    def __init__(self, num_labels):
        super().__init__()
        self.norm, self.dropout, self.head = nn.BatchNorm1d(5), nn.Dropout(0.4), nn.Linear(5, num_labels)

    def forward(self, text, image, labels=None):
        logits = self.head(self.dropout(self.norm(torch.cat([text, image], dim=1))))
        return logits if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(3)
    text, image = torch.randn(31, 2, generator=generator), torch.randn(31, 3, generator=generator)
    return text, image, torch.randint(4, (31,), generator=generator)  # label 4 of 5 never occurs


@pytest.fixture
def model():
    torch.manual_seed(2)
    model = Classifier(5)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.2)
        model.head.weight.sub_(0.7)
    return model


def in_batches(tensors, size):
    return list(zip(*(tensor.split(size) for tensor in tensors), strict=True))


def as_dicts(batches):
    return [dict(zip(("text", "image", "labels"), batch, strict=True)) for batch in batches]


def snapshot(model):
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return tensors, {name: module.training for name, module in model.named_modules()}


def assert_same(before, after):
    assert before[1] == after[1]
    assert all(torch.equal(tensor, after[0][name]) for name, tensor in before[0].items())


@pytest.mark.parametrize("size", [31, 8, 7, 1])
def test_agrees_with_scikit_learn(model, data, size):
    batches = in_batches(data, size)
    logits = copy.deepcopy(model).eval()(*data[:2]).detach()
    y_true, y_pred = data[2].numpy(), logits.argmax(1).numpy()
    assert evaluate_accuracy(model, iter(batches)) == pytest.approx(metrics.accuracy_score(y_true, y_pred))

    report = evaluate(model, as_dicts(batches), num_labels=5)
    expected = metrics.classification_report(y_true, y_pred, labels=range(5), output_dict=True, zero_division=0)
    assert report["macro_f1"] == pytest.approx(expected["macro avg"]["f1-score"])
    assert report["accuracy"] == pytest.approx(metrics.accuracy_score(y_true, y_pred))
    assert report["loss"] == pytest.approx(metrics.log_loss(y_true, logits.softmax(1), labels=range(5)), rel=1e-5)
    assert list(report["per_class"]) == list(range(5))
    for label, row in report["per_class"].items():
        wanted = expected[str(label)]
        found = [row["precision"], row["recall"], row["f1"], row["support"]]
        assert found == pytest.approx([wanted[key] for key in ("precision", "recall", "f1-score", "support")])
    np.testing.assert_array_equal(report["y_true"], y_true)
    np.testing.assert_array_equal(report["y_pred"], y_pred)
    torch.testing.assert_close(report["probs"], logits.softmax(1))
    torch.testing.assert_close(report["probs"].sum(1), torch.ones(31))


@pytest.mark.parametrize("trained", [(), ("dropout",), ("", "norm", "head"), ("", "norm", "dropout", "head")])
def test_the_model_is_left_as_it_was(model, data, trained):
    for name, module in model.named_modules():
        module.training = name in trained
    before = snapshot(model)
    evaluate_accuracy(model, in_batches(data, 5))
    evaluate(model, as_dicts(in_batches(data, 5)), num_labels=5)
    with pytest.raises(ValueError):
        evaluate(model, as_dicts(in_batches(data, 5)), num_labels=2)
    with pytest.raises(ZeroDivisionError), evaluation_mode(model):
        assert not torch.is_grad_enabled() and not any(module.training for module in model.modules())
        raise ZeroDivisionError
    assert_same(before, snapshot(model))
    assert torch.is_grad_enabled() and all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_floating_types(model, data, dtype):
    text, image, labels = data
    report = evaluate(model.to(dtype), as_dicts([(text.to(dtype), image.to(dtype), labels)]), num_labels=5)
    assert report["probs"].dtype == torch.float32
    torch.testing.assert_close(report["probs"].sum(1), torch.ones(31))


def test_bad_input(model, data):
    text, image, labels = data
    for batches in (
        [],
        [(text, image, labels[:, None])],
        [(text, image, labels[:-1])],
        [(text[:0], image[:0], labels[:0])],
    ):
        with pytest.raises(ValueError):
            evaluate_accuracy(model, batches)
    for wrong in (labels - 1, labels + 2, labels[:, None]):
        with pytest.raises(ValueError):
            evaluate(model, as_dicts([(text, image, wrong)]), num_labels=5)
    with pytest.raises(ValueError):
        evaluate(model, [], num_labels=5)
    with pytest.raises(ValueError):
        evaluate(model, as_dicts([data]), num_labels=6)
    for output in ({"logits": torch.zeros(31, 5)}, {"logits": torch.zeros(31, 5), "loss": None}):
        silent = nn.Module()
        silent.forward = lambda output=output, **_: output
        with pytest.raises(ValueError):
            evaluate(silent, as_dicts([data]), num_labels=5)


def test_the_worked_example_of_the_lesson():
    class Echo(nn.Module):
        def forward(self, scores, losses, labels):
            return {"loss": losses.mean(), "logits": scores}

    scores = F.one_hot(torch.tensor([0, 0, 1, 0, 1]), 4).float()
    losses, labels = torch.arange(5.0), torch.tensor([0, 0, 1, 1, 2])
    loader = [{"scores": scores[i:j], "losses": losses[i:j], "labels": labels[i:j]} for i, j in ((0, 4), (4, 5))]
    report = evaluate(Echo(), loader, num_labels=4)
    assert [report[key] for key in ("loss", "accuracy", "macro_f1")] == pytest.approx([2.0, 0.6, 0.325])
    assert [row["f1"] for row in report["per_class"].values()] == pytest.approx([0.8, 0.5, 0, 0])
    assert [row["precision"] for row in report["per_class"].values()] == pytest.approx([2 / 3, 1 / 2, 0, 0])
    assert [row["support"] for row in report["per_class"].values()] == [2, 2, 1, 0]


def test_the_visible_checks_of_the_lesson_hold():
    cells = jupytext.read(Path(trustworthy_evaluation.__file__)).cells
    (cell,) = [cell for cell in cells if "visible-checks" in cell.metadata.get("tags", [])]
    code = "\n".join(line.removeprefix("#").removeprefix(" ") for line in cell.source.splitlines())
    assert code.count("assert ") == 10
    exec(compile(code, "visible checks", "exec"), dict(vars(trustworthy_evaluation)))
