"""Checks of architectures/two_tower_classifier. The expected logits are worked out text by text, token by token."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grader.checking import (
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

PIXELS = 3 * 2 * 3  # of an image (3, 2, 3)
SIZES = {"image_dim": 6, "vocab_size": 11, "embed_dim": 4, "hidden": 8, "n_classes": 3}


# ---------------------------------------------------------------- what runs in the student's process


def multimodal_classifier(student, parameters, image, text, pad_id, direction=None):
    """Logits of a classifier with given parameters in evaluation mode, and the gradients of their weighted sum.

    The encoder is Flatten and Linear. Gradients come back dense.
    """
    import torch
    from torch import nn

    vocab_size, embed_dim = parameters["embedding.weight"].shape
    image_dim, pixels = parameters["image_encoder.1.weight"].shape
    n_classes, hidden = parameters["fc2.weight"].shape
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, image_dim))
    model = student.MultimodalClassifier(
        encoder, image_dim, vocab_size, embed_dim, hidden, n_classes, pad_id=pad_id, dropout=0.5
    )
    model = model.to(image.dtype).eval()
    own = {}
    with torch.no_grad():
        for name, value in parameters.items():
            owner = model
            for part in name.split(".")[:-1]:
                owner = getattr(owner, part)
            own[name] = getattr(owner, name.split(".")[-1])
            own[name].copy_(value)
    logits = model(image, text)
    if direction is None:
        return logits.detach(), image, text
    (logits * direction).sum().backward()
    gradients = {name: parameter.grad for name, parameter in own.items()}
    return logits.detach(), {
        name: gradient.to_dense() if gradient is not None and gradient.is_sparse else gradient
        for name, gradient in gradients.items()
    }


def multimodal_classifier_on_several_texts(student, sizes, image, texts, pad_id):
    """Logits of one classifier with its own random weights for the same images and several texts."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = student.MultimodalClassifier(
        nn.Sequential(nn.Flatten(), nn.Linear(image[0].numel(), sizes["image_dim"])), **sizes, pad_id=pad_id
    )
    model = model.to(image.dtype).eval()
    with torch.no_grad():
        nn.init.normal_(model.embedding.weight)
        return [model(image, text) for text in texts]


def multimodal_classifier_and_its_parameters(student, sizes, image, text, names):
    """The parameters `names`, which of them parameters() lacks, names of any others, and logits of a fresh classifier.

    A parameter is found by its attributes; under which name it is registered first makes no difference.
    """
    from torch import nn

    encoder = nn.Sequential(nn.Flatten(), nn.Linear(image[0].numel(), sizes["image_dim"]))
    model = student.MultimodalClassifier(encoder, *sizes.values())
    known = {}
    for name in names:
        known[name] = model
        for part in name.split("."):
            known[name] = getattr(known[name], part, None)
    registered = dict(model.named_parameters())
    lacking = [name for name, one in known.items() if not any(one is parameter for parameter in registered.values())]
    others = [name for name, one in registered.items() if not any(one is parameter for parameter in known.values())]
    parameters = {name: None if one is None else one.detach().clone() for name, one in known.items()}
    return parameters, lacking, others, model(image, text).detach(), model.double()(image.double(), text).detach()


def multimodal_classifier_with_dropout(student, parameters, image, text, dropout, training):
    """Logits of a classifier with given parameters and a dropout, or without one where that is None."""
    import torch
    from torch import nn

    vocab_size, embed_dim = parameters["embedding.weight"].shape
    n_classes, hidden = parameters["fc2.weight"].shape
    settings = {} if dropout is None else {"dropout": dropout}
    model = student.MultimodalClassifier(
        nn.Flatten(), image[0].numel(), vocab_size, embed_dim, hidden, n_classes, **settings
    )
    model = model.to(image.dtype).train(training)
    with torch.no_grad():
        for name, value in parameters.items():
            layer, kind = name.split(".")
            getattr(getattr(model, layer), kind).copy_(value)
        torch.manual_seed(0)  # so that the same mistake gives the same numbers
        return model(image, text)


def strip_head_and_look(student):
    """The classes of strip_head's encoder and of its fc, and whether the encoder is the very network that was given."""
    from torch import nn

    class Cnn(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 5, 2)
            self.fc = nn.Linear(5, 9)

        def forward(self, x):
            return self.fc(self.body(x).relu().mean(dim=(2, 3)))

    cnn = Cnn()
    encoder, _ = student.strip_head(cnn)
    return type(encoder).__name__, type(getattr(encoder, "fc", None)).__name__, encoder is cnn


def strip_head_and_compare(student, weight, bias, image, spoil):
    """What strip_head makes of a small network: width, results of the copy and of the original before and after."""
    import torch
    from torch import nn

    class Cnn(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            self.body = nn.Sequential(nn.Conv2d(3, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
            self.fc = nn.Linear(5, len(bias))

        def features(self, x):
            return 2 * self.body(self.norm(x)).flatten(1)

        def forward(self, x):
            return self.fc(self.features(x))

    cnn = Cnn().eval()
    with torch.no_grad():
        cnn.fc.weight.copy_(weight)
        cnn.fc.bias.copy_(bias)
        features, scores = cnn.features(image), cnn(image)
        encoder, width = student.strip_head(cnn)
        found = encoder(image)
        if spoil:
            for tensor in (*encoder.parameters(), *encoder.buffers()):
                tensor.fill_(7)
        has_fc = isinstance(cnn.fc, nn.Linear)
        return width, features, found, scores, cnn(image) if has_fc else None


def strip_head_of_something_else(student, kind):
    from torch import nn

    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    if kind != "no fc":
        model.fc = {
            "Sequential": nn.Sequential(nn.Linear(4, 3)),
            "Identity": nn.Identity(),
            "Conv2d": nn.Conv2d(4, 3, 1),
        }[kind]
    student.strip_head(model)


def multimodal_classifier_on_an_encoder_of_ours(student, sizes, encoder_shape, image, text):
    """One call with an encoder that returns zeros of a given shape."""
    import torch
    from torch import nn

    class Encoder(nn.Module):
        def forward(self, x):
            return torch.zeros(encoder_shape)

    return student.MultimodalClassifier(Encoder(), *sizes.values())(image, text).detach()


def multimodal_classifier_on_ids(student, sizes, text):
    """One call with ids that the embedding may not have; whatever an embedding raises then comes as one error."""
    import torch
    from torch import nn

    model = student.MultimodalClassifier(nn.Flatten(), *sizes.values())
    try:
        model(torch.ones(len(text), sizes["image_dim"], 1, 1), text)
    except (IndexError, RuntimeError) as error:
        if isinstance(error, NotImplementedError):
            raise
        raise LookupError(f"nobody looked at the ids before they were used ({type(error).__name__}: {error})") from None


def small_example(student, image, text):
    import torch
    from torch import nn

    model = student.MultimodalClassifier(nn.Flatten(), image_dim=3, vocab_size=5, embed_dim=1, hidden=1, n_classes=2)
    for parameter, value in (
        (model.embedding.weight, [[9.0], [1.0], [2.0], [4.0], [8.0]]),
        (model.fc1.weight, [[1.0, 2.0, 3.0, 10.0]]),
        (model.fc1.bias, [0.0]),
        (model.fc2.weight, [[1.0], [-2.0]]),
        (model.fc2.bias, [0.5, 0.0]),
    ):
        parameter.data = torch.tensor(value)
    logits = model(image, text).detach()

    class Cnn(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 10)

        def forward(self, image):
            return self.fc(image.flatten(2).mean(dim=2).repeat(1, 2)[:, :4])

    cnn = Cnn()
    encoder, width = student.strip_head(cnn)
    kind = type(encoder).__name__, type(getattr(encoder, "fc", None)).__name__, encoder is cnn
    if kind[0] != "Cnn":
        return logits, width, kind, None, None
    with torch.no_grad():
        return logits, width, kind, encoder(torch.ones(2, 3, 5, 5)), cnn(torch.ones(2, 3, 5, 5))


# ---------------------------------------------------------------- what is expected, worked out here


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape))


def parameter_shapes(image_dim: int, vocab_size: int, embed_dim: int, hidden: int, n_classes: int) -> dict[str, tuple]:
    return {
        "image_encoder.1.weight": (image_dim, PIXELS),
        "image_encoder.1.bias": (image_dim,),
        "embedding.weight": (vocab_size, embed_dim),
        "fc1.weight": (hidden, image_dim + embed_dim),
        "fc1.bias": (hidden,),
        "fc2.weight": (n_classes, hidden),
        "fc2.bias": (n_classes,),
    }


def assert_copy_without_fc(kind: tuple[str, str, bool]) -> None:
    """Fail unless these are the class of the checks' own network, nn.Identity for its fc, and False for "the same"."""
    if kind[2]:
        raise AssertionError("strip_head returned the very network that it was given; it should return a copy.")
    cause = "the layers in a row are not the network: its forward decides what happens between them"
    assert_equal(kind[0], "Cnn", what="class of the encoder that strip_head returns for a Cnn", cause=cause)
    assert_equal(kind[1], "Identity", what="class of the encoder's fc")


def random_parameters(rng: np.random.Generator) -> dict[str, Tensor]:
    """All parameters, the row of the padding and the biases included, random."""
    return {name: normal(rng, *shape) for name, shape in parameter_shapes(**SIZES).items()}


def random_text(rng: np.random.Generator, lengths: list[int], width: int, pad_id: int) -> Tensor:
    """Rows with the given numbers of real tokens, the padding anywhere between them."""
    real_ids = [token for token in range(SIZES["vocab_size"]) if token != pad_id]
    text = np.full((len(lengths), width), pad_id)
    for row, length in zip(text, lengths, strict=True):
        row[rng.permutation(width)[:length]] = rng.choice(real_ids, length)
    return torch.from_numpy(text)


def logits_by_loops(parameters: dict[str, Tensor], image: Tensor, text: Tensor, pad_id: int) -> Tensor:
    rows = []
    for x, row in zip(image, text.tolist(), strict=True):
        features = parameters["image_encoder.1.weight"] @ x.flatten() + parameters["image_encoder.1.bias"]
        vectors = [parameters["embedding.weight"][token] for token in row if token != pad_id]
        mean = sum(vectors) / len(vectors) if vectors else torch.zeros(SIZES["embed_dim"], dtype=x.dtype)
        units = []
        for weights, bias in zip(parameters["fc1.weight"], parameters["fc1.bias"], strict=True):
            split = SIZES["image_dim"]
            value = weights[:split] @ features + weights[split:] @ mean + bias
            units.append(value if value > 0 else 0 * value)
        rows.append(parameters["fc2.weight"] @ torch.stack(units) + parameters["fc2.bias"])
    return torch.stack(rows)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_small_examples(student):
    """A model with given weights and a small network without its head give the values of the example."""
    image = torch.tensor([[1.0, 2.0, 3.0], [-1.0, -1.0, -1.0]]).reshape(2, 3, 1, 1)
    text = torch.tensor([[2, 4, 0], [0, 0, 0]])
    logits, width, kind, copied, original = student.run(small_example, image, text)
    assert_close(logits, torch.tensor([[64.5, -128.0], [0.5, 0.0]]), what="logit tensor")
    assert_equal(width, 4, what="width that strip_head returns for fc = Linear(4, 10)")
    assert_copy_without_fc(kind)
    assert_shape(copied, (2, 4), what="result of the encoder")
    assert_shape(original, (2, 10), what="result of the original afterwards")


@points(1)
@catches("concatenated-twice")
def test_layers(student, rng):
    """The attributes hold parameters of the announced shapes and no others, the logits have their shape and dtype."""
    image, text = normal(rng, 5, 3, 2, 3).float(), random_text(rng, [7, 2, 4, 1, 3], 7, 0)
    wanted = parameter_shapes(**SIZES)
    parameters, lacking, others, logits, double_logits = student.run(
        multimodal_classifier_and_its_parameters, SIZES, image, text, list(wanted)
    )
    for name, shape in wanted.items():
        if parameters[name] is None:
            raise AssertionError(f"The module has no {name}. The table of attributes says which layers it has.")
        cause = "it takes in the image's features and the text's vector, each of them once"
        assert_shape(parameters[name], shape, what=f"parameter {name}", cause=cause if name == "fc1.weight" else "")
    if lacking:
        raise AssertionError(f"parameters() of the module does not give {', '.join(lacking)}.")
    if others:
        raise AssertionError(f"The module has parameters beside those of its four attributes: {', '.join(others)}.")
    for result, dtype in ((logits, "float32"), (double_logits, "float64")):
        assert_shape(result, (5, 3), what="logit tensor")
        assert_dtype(result, dtype, what="logit tensor")


@points(2)
@catches("no-relu", "softmax-in-forward", "text-before-image")
def test_logits(student, rng):
    """The logits are those of the image's features beside the mean of the tokens: linear, ReLU, linear."""
    for pad_id in (0, 4):
        parameters, image = random_parameters(rng), normal(rng, 5, 3, 2, 3)
        text = random_text(rng, [7] * 5, 7, pad_id)  # no padding: that has a check of its own
        expected = logits_by_loops(parameters, image, text, pad_id)
        logits, image_after, text_after = student.run(multimodal_classifier, parameters, image, text, pad_id)
        cause = "image first, then the mean of the real tokens; ReLU between the layers; logits, not probabilities"
        assert_close(logits, expected, what=f"logit tensor (pad_id {pad_id}, evaluation mode)", cause=cause)
        assert_unchanged(image_after, image, what="tensor image")
        assert_unchanged(text_after, text, what="tensor text")


@points(2)
@catches(
    "plain-mean-of-the-row",
    "padding-averaged-in",
    "flattened",
    "padding-trusted-to-be-zero",
    "padding-taken-to-be-last",
    "zero-is-always-padding",
    "empty-text-is-nan",
)
@settings(max_examples=8)
@given(
    lengths=st.lists(st.integers(1, 5), min_size=4, max_size=4),
    more=st.integers(1, 4),
    pad_id=st.sampled_from([0, 3, 10]),
    draw=st.integers(0, 2**32 - 1),
)
def test_padding_and_order_of_the_tokens(student, lengths, more, pad_id, draw):
    """Padding, wherever it stands, and the order of the tokens change nothing; a text of padding only counts as 0."""
    rng = np.random.default_rng(draw)
    image, text = normal(rng, 4, 3, 2, 3), random_text(rng, lengths, 5, pad_id)
    longer = torch.cat([text, torch.full((4, more), pad_id)], dim=1)
    shuffled = longer[:, torch.from_numpy(rng.permutation(5 + more))]
    empty = torch.full((4, 5), pad_id)
    results = student.run(
        multimodal_classifier_on_several_texts, SIZES, image, [text, longer, shuffled, empty, empty[:, :1]], pad_id
    )
    for name, result in zip(("longer by padding", "shuffled"), results[1:3], strict=True):
        what = f"logit tensor of texts with {lengths} real tokens, {name} (pad_id {pad_id})"
        cause = "each text's vector is the mean over its own real tokens"
        assert_close(result, results[0], what=what, cause=cause)
    assert_close(results[3], results[4], what="logit tensor of texts of padding only, of length 5 and 1")

    parameters = random_parameters(rng)
    text[2] = pad_id
    logits, _, _ = student.run(multimodal_classifier, parameters, image, text, pad_id)
    what = f"logit tensor for texts of which the third is padding only (pad_id {pad_id}, its embedding is not 0)"
    cause = "leave padding out by looking at the ids, not by hoping that its embedding is 0; divide by at least 1"
    assert_close(logits, logits_by_loops(parameters, image, text, pad_id), what=what, cause=cause)


@points(1)
@catches(
    "class-scores-as-features", "layers-in-a-sequential", "width-of-the-scores", "original-changed", "shallow-copy"
)
def test_strip_head(student, rng):
    """strip_head returns an independent copy that ends before fc, and the width there; the original stays."""
    assert_copy_without_fc(student.run(strip_head_and_look))
    weight, bias, image = normal(rng, 9, 5).float(), normal(rng, 9).float(), normal(rng, 2, 3, 4, 4).float()
    for spoil in (False, True):
        width, features, found, scores, scores_after = student.run(strip_head_and_compare, weight, bias, image, spoil)
        assert_equal(width, 5, what="width that strip_head returns for fc = Linear(5, 9)")
        cause = "the copy should return what goes into fc, not the class scores that come out of it"
        assert_close(found, features, what="result of the copy", cause=cause)
        if scores_after is None:
            raise AssertionError(
                "After strip_head the original network has lost its linear layer fc. "
                "A copy that shares its parts with the original is changed together with it."
            )
        what = "result of the original after the copy's parameters and buffers were changed"
        cause = "the copy shares tensors with the original"
        assert_close(scores_after, scores, what=what if spoil else "result of the original afterwards", cause=cause)
    for kind in ("no fc", "Sequential", "Identity", "Conv2d"):
        with raises(TypeError, what=f"strip_head of a network with {'fc = ' * (kind != 'no fc')}{kind}"):
            student.run(strip_head_of_something_else, kind)


@points(1)
@catches("encoder-cut-off")
def test_gradients(student, rng):
    """Gradients reach the image encoder, the real tokens and both layers, and never the padding."""
    for pad_id in (0, 7):
        parameters, image, direction = random_parameters(rng), normal(rng, 5, 3, 2, 3), normal(rng, 5, 3)
        text = random_text(rng, [3, 0, 4, 1, 2], 6, pad_id)
        leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        (logits_by_loops(leaves, image, text, pad_id) * direction).sum().backward()
        _, gradients = student.run(multimodal_classifier, parameters, image, text, pad_id, direction)
        for name, leaf in leaves.items():
            if gradients[name] is None:
                raise AssertionError(f"No gradient reaches {name}. Look for detach or no_grad on the way there.")
            cause = (
                "the padding must not receive a gradient, the real tokens must" if name == "embedding.weight" else ""
            )
            assert_close(gradients[name], leaf.grad, what=f"gradient of {name} (pad_id {pad_id})", cause=cause)


@points(1)
@catches("dropout-always-on", "dropout-before-fc1", "dropout-on-the-logits", "one-mask-for-the-batch")
def test_dropout(student, rng):
    """In training hidden units are dropped with the given probability, and the others rescaled; never in evaluation."""
    batch, units = 100, 90
    image = torch.from_numpy(rng.uniform(1, 2, (batch, 3, 1, 2)))
    text = torch.from_numpy(rng.integers(1, 5, (batch, 4)))
    parameters = {  # all positive, so that a hidden unit that is 0 has been dropped
        "embedding.weight": torch.from_numpy(rng.uniform(1, 2, (5, 3))),
        "fc1.weight": torch.from_numpy(rng.uniform(0.1, 0.2, (units, 9))),
        "fc1.bias": torch.from_numpy(rng.uniform(1, 2, units)),
        "fc2.weight": torch.linalg.qr(normal(rng, units, units))[0],  # orthogonal: the logits tell the hidden units
        "fc2.bias": normal(rng, units),
    }
    joined = torch.cat([image.flatten(1), parameters["embedding.weight"][text].mean(dim=1)], dim=1)
    whole = joined @ parameters["fc1.weight"].T + parameters["fc1.bias"]
    expected = whole @ parameters["fc2.weight"].T + parameters["fc2.bias"]
    for dropout, training in ((0.25, False), (None, True), (0.0, True)):
        logits = student.run(multimodal_classifier_with_dropout, parameters, image, text, dropout, training)
        what = f"logit tensor (dropout {dropout}, {'training' if training else 'evaluation'} mode)"
        assert_close(logits, expected, what=what, cause="nothing is dropped in evaluation mode, nor with dropout 0")

    logits = student.run(multimodal_classifier_with_dropout, parameters, image, text, 0.25, True)
    assert_shape(logits, (batch, units), what="logit tensor")
    found = (logits - parameters["fc2.bias"]) @ parameters["fc2.weight"]
    dropped = found.abs() < 1e-6
    what = "tensor of hidden units that the logits come from (dropout 0.25, training mode)"
    cause = "hidden units, and nothing else, become 0 after the ReLU and before fc2; those kept are divided by 0.75"
    assert_close(found, torch.where(dropped, 0, whole / 0.75), rtol=1e-6, atol=1e-6, what=what, cause=cause)
    for patterns, which in ((dropped, "samples"), (dropped.T, "hidden units")):
        if len({tuple(pattern) for pattern in patterns.tolist()}) < len(patterns):  # by chance: less than once in 1e13
            other = "hidden units" if which == "samples" else "samples"
            raise AssertionError(
                f"With dropout=0.25 in training mode, several {which} lost exactly the same {other}. "
                "Each unit of each sample should be dropped independently of all others."
            )
    share = float(dropped.double().mean())
    if not 0.22 < share < 0.28:  # the standard deviation is 0.005
        raise AssertionError(
            f"With dropout=0.25 in training mode, {share:.0%} of all hidden units were dropped, not about 25%."
        )


@points(1)
@catches("ids-unchecked", "shapes-unchecked")
def test_bad_input(student):
    """Shapes that do not fit, empty texts and ids outside the vocabulary are refused."""
    image, text = torch.ones(4, 3, 2, 3), torch.ones(4, 7, dtype=torch.int64)
    assert_shape(
        student.run(multimodal_classifier_on_an_encoder_of_ours, SIZES, (4, 6), image, text),
        (4, 3),
        what="logit tensor for good input",
    )
    for shape in ((4, 5), (4, 7), (3, 6), (1, 6), (4, 6, 1, 1), (4, 1, 6), (24,)):
        with raises(ValueError, what=f"a call whose encoder returns {shape} for a batch of 4 and image_dim 6"):
            student.run(multimodal_classifier_on_an_encoder_of_ours, SIZES, shape, image, text)
    for batch in (1, 3, 5):
        with raises(ValueError, what=f"a call with {batch} images and 4 texts"):
            student.run(
                multimodal_classifier_on_an_encoder_of_ours, SIZES, (batch, 6), torch.ones(batch, 3, 2, 3), text
            )
    for shape in ((4, 0), (4,), (4, 7, 1)):
        with raises(ValueError, what=f"a call with a text of shape {shape}"):
            student.run(
                multimodal_classifier_on_an_encoder_of_ours, SIZES, (4, 6), image, torch.ones(shape, dtype=torch.int64)
            )
    for token in (-1, 11, -12, 1000):
        spoiled = text.clone()
        spoiled[2, 5] = token
        with raises(ValueError, what=f"a call with the token id {token} and vocab_size 11"):
            student.run(multimodal_classifier_on_ids, SIZES, spoiled)
    with raises(TypeError, ValueError, what="a call with a text of dtype float32"):
        student.run(multimodal_classifier_on_an_encoder_of_ours, SIZES, (4, 6), image, text.float())
