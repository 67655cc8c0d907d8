"""Checks of architectures/pair_matcher.

CLIP lives in the student's process. What it makes of texts and images is fetched from there; features, logits, loss and
gradients are then worked out here.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from grader.checking import assert_close, assert_equal, assert_shape, catches, points, raises, visible

WIDTH, EOS, PAD = 6, 38, 39  # of the model in `build`
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
BLOCKS = ("u", "v", "|u - v|", "u * v")


# ---------------------------------------------------------------- what runs in the student's process


def build(student, seed, **settings):
    """A tiny CLIP model and a classifier on top of it, in evaluation mode; all weights, biases and norms are random."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    text = {"vocab_size": 40, "max_position_embeddings": 8, "bos_token_id": 37, "eos_token_id": 38, "pad_token_id": 39}
    vision = {"image_size": 8, "patch_size": 4}
    layers = {"intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    clip = CLIPModel(
        CLIPConfig(
            text_config=text | layers | {"hidden_size": 8},
            vision_config=vision | layers | {"hidden_size": 12},
            projection_dim=6,
        )
    )
    generator = torch.Generator().manual_seed(seed)

    def randomise(module):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    randomise(clip)
    classifier = student.PairClassifier(clip, **settings)
    randomise(classifier.head)
    return clip, classifier.eval()


def embed(student, clip, input_ids, attention_mask, pixel_values):
    """Projected embeddings of texts and images, not normalised."""
    import torch

    with torch.no_grad():
        text = clip.get_text_features(input_ids=input_ids, attention_mask=attention_mask)
        image = clip.get_image_features(pixel_values=pixel_values)
    return text.pooler_output, image.pooler_output


def first_steps(student):
    import torch

    clip = student.tiny_clip(seed=0)
    input_ids = torch.tensor([[57, 3, 4, 58], [57, 5, 58, 59], [57, 8, 9, 58]])
    attention_mask = (input_ids != 59).long()
    pixel_values = torch.linspace(-1, 1, 3 * 3 * 16 * 16).sin().reshape(3, 3, 16, 16)
    classifier = student.PairClassifier(clip)
    shape = tuple(classifier.head.weight.shape)
    with torch.no_grad():
        classifier.head.weight.zero_()
        classifier.head.bias.zero_()
        classifier.head.weight[1, 48:] = 1.0
        result = classifier(input_ids, attention_mask, pixel_values)
        outputs = clip(input_ids=input_ids, attention_mask=attention_mask, pixel_values=pixel_values)
        loss = classifier(input_ids, attention_mask, pixel_values, torch.tensor([1, 0, 1]))["loss"]
    return shape, result, loss, outputs.logits_per_image.diagonal() / clip.logit_scale.exp()


def describe(student, clip, classifier):
    """Whether `clip` is kept; parameters beside the encoder's; those of the encoder's that the module does not own."""
    of_clip = {id(parameter) for parameter in clip.parameters()}
    owned = {id(parameter) for parameter in classifier.parameters()}
    further = {name: tuple(p.shape) for name, p in classifier.named_parameters() if id(p) not in of_clip}
    return classifier.clip is clip, further, [name for name, p in clip.named_parameters() if id(p) not in owned]


def differentiate(student, clip, classifier, input_ids, attention_mask, pixel_values, labels):
    """Gradients of the loss, and the pooled outputs of the towers in front of their projections."""
    import torch

    classifier.zero_grad()
    classifier(input_ids, attention_mask, pixel_values, labels)["loss"].backward()
    parameters = {
        "head.weight": classifier.head.weight,
        "head.bias": classifier.head.bias,
        "clip.text_projection.weight": clip.text_projection.weight,
        "clip.visual_projection.weight": clip.visual_projection.weight,
        "clip.text_model.embeddings.token_embedding.weight": clip.text_model.embeddings.token_embedding.weight,
        "clip.vision_model.embeddings.patch_embedding.weight": clip.vision_model.embeddings.patch_embedding.weight,
    }
    with torch.no_grad():
        text = clip.text_model(input_ids=input_ids, attention_mask=attention_mask).pooler_output
        image = clip.vision_model(pixel_values=pixel_values).pooler_output
    values = {name: parameter.detach() for name, parameter in parameters.items()}
    return {name: parameter.grad for name, parameter in parameters.items()}, values, text, image


def features_in_training(student, clip, classifier, input_ids, attention_mask, pixel_values):
    """With a head that hands its input on: the features it is given in training mode, and in evaluation mode twice."""
    import torch

    with torch.no_grad():
        classifier.head.weight.copy_(torch.eye(24))
        classifier.head.bias.zero_()
        modes = (classifier.train, classifier.eval, classifier.eval)
        return [mode()(input_ids, attention_mask, pixel_values)["logits"] for mode in modes]


# ---------------------------------------------------------------- what is expected, worked out here


def pairs(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids of texts of 4 to 6 tokens, padded; the mask, which also hides the first word of every text; images."""
    ids = torch.full((count, 6), PAD)
    mask = torch.zeros(count, 6, dtype=torch.long)
    for row in range(count):
        length = int(rng.integers(4, 7))
        ids[row, 0], ids[row, length - 1] = 37, EOS
        ids[row, 1 : length - 1] = torch.from_numpy(rng.choice(37, length - 2, replace=False))
        mask[row, :length] = 1
        mask[row, 1] = 0
    return ids, mask, torch.from_numpy(rng.standard_normal((count, 3, 8, 8))).float()


def features_of(text: Tensor, image: Tensor) -> Tensor:
    """Features (pairs, 4 * width) in float64, one pair and one entry at a time; text and image are not normalised."""
    rows = []
    for t, i in zip(text.double(), image.double(), strict=True):
        u = [entry / (t * t).sum().sqrt() for entry in t]
        v = [entry / (i * i).sum().sqrt() for entry in i]
        distances = [torch.maximum(a - b, b - a) for a, b in zip(u, v, strict=True)]
        rows.append(torch.stack([*u, *v, *distances, *(a * b for a, b in zip(u, v, strict=True))]))
    return torch.stack(rows)


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    losses = [torch.log(torch.exp(row - row[label]).sum()) for row, label in zip(logits, labels.tolist(), strict=True)]
    return sum(losses) / len(losses)


def logits_of(result, what: str) -> Tensor:
    if not isinstance(result, dict) or set(result) != {"loss", "logits"} or not isinstance(result["logits"], Tensor):
        found = (
            f"a dict with the keys {sorted(map(str, result))}" if isinstance(result, dict) else type(result).__name__
        )
        raise AssertionError(f"The {what} should be a dict with a 'loss' and a tensor 'logits'; it is {found}.")
    return result["logits"]


def new_classifier(student, rng, **settings):
    return student.run(build, int(rng.integers(2**31)), **settings)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_a_head_on_the_product_gives_the_cosine(student):
    """A head that adds up the product u ⊙ v gives the cosine that CLIP computes."""
    shape, result, loss, cosine = student.run(first_steps)
    assert_equal(shape, (2, 64), what="shape of head.weight for a CLIP model of width 16")
    logits = logits_of(result, "result")
    assert_close(logits, torch.stack([torch.zeros(3), cosine], dim=1), what="logit tensor", **CLOSE)
    assert_equal(result["loss"], None, what="loss without labels")
    expected = mean_cross_entropy(logits.double(), torch.tensor([1, 0, 1]))
    assert_close(loss, expected, what="loss", **CLOSE)


@points(1)
@catches("encoder-copied")
def test_the_module_holds_the_encoder_and_one_head(student, rng):
    """The module holds the encoder it was given and one linear head, and returns a dict with loss and logits."""
    for settings, num_labels in (({}, 2), ({"num_labels": 5}, 5)):
        case = f"num_labels={num_labels}" + " by default" * (not settings)
        clip, classifier = new_classifier(student, rng, **settings)
        same, further, missing = student.run(describe, clip, classifier)
        assert_equal(same, True, what='answer to "is `clip` the very model that was handed in?"')
        expected = {"head.weight": (num_labels, 4 * WIDTH), "head.bias": (num_labels,)}
        assert_equal(further, expected, what=f"dict of parameters beside the encoder's, {case}")
        assert_equal(missing, [], what="list of parameters of the encoder that the module does not own")
        result = classifier(*pairs(rng, 3))
        assert_shape(logits_of(result, f"result for {case}"), (3, num_labels), what=f"logit tensor for {case}")
        assert_equal(result["loss"], None, what="loss without labels")


@points(2)
@catches("not-normalised", "signed-difference", "mask-not-passed-on")
def test_logits_are_those_of_the_four_blocks(student, rng):
    """The logits are those of the head on u, v, |u − v| and u ⊙ v, with normalised embeddings."""
    for count, num_labels in ((4, 3), (1, 2)):
        clip, classifier = new_classifier(student, rng, num_labels=num_labels)
        batch = pairs(rng, count)
        features = features_of(*student.run(embed, clip, *batch))
        weight, bias = classifier.head.weight.double(), classifier.head.bias.double()
        assert_shape(weight, (num_labels, 4 * WIDTH), what="weight of the head")
        expected = torch.stack([torch.stack([(row * w).sum() for w in weight]) + bias for row in features])
        assert_close(
            logits_of(classifier(*batch), "result"),
            expected,
            what=f"logit tensor for {count} pairs and {num_labels} classes",
            cause="look at the order of the blocks, the absolute value, the lengths of u and v, and the attention mask",
            **CLOSE,
        )


@points(1)
@catches("similarity-matrix")
def test_every_pair_is_judged_by_itself(student, rng):
    """The logits of a pair do not depend on the other pairs of the batch, nor on its place among them."""
    _, classifier = new_classifier(student, rng, num_labels=3)
    batch = pairs(rng, 4)
    logits = logits_of(classifier(*batch), "result")
    assert_shape(logits, (4, 3), what="logit tensor for 4 pairs and 3 classes")
    cause = "text i belongs to image i; the other texts and images of the batch have no say in it"
    order = torch.from_numpy(rng.permutation(4))
    if torch.equal(order, torch.arange(4)):
        order = order.flip(0)
    permuted = logits_of(classifier(*(part[order] for part in batch)), "result")
    assert_close(permuted, logits[order], what=f"logit tensor in the order {order.tolist()}", cause=cause, **CLOSE)
    for row in range(4):
        alone = logits_of(classifier(*(part[row : row + 1] for part in batch)), "result")
        assert_close(alone, logits[row : row + 1], what=f"logit tensor of pair {row} alone", cause=cause, **CLOSE)


@points(1)
@catches("image-only", "concatenation-only")
def test_the_match_matters_and_not_text_and_image_alone(student, rng):
    """Text and image both count, and a logit is more than a score of the text plus a score of the image."""
    _, classifier = new_classifier(student, rng, num_labels=3)
    ids, mask, pixels = pairs(rng, 4)
    # rows of all 16 pairs of 4 texts and 4 images
    texts, images = torch.arange(4).repeat_interleave(4), torch.arange(4).repeat(4)
    logits = logits_of(classifier(ids[texts], mask[texts], pixels[images]), "result")
    assert_shape(logits, (16, 3), what="logit tensor for 16 pairs and 3 classes")
    table = logits.reshape(4, 4, 3)  # (texts, images, classes)
    for name, change in (("text", table - table[:1]), ("image", table - table[:, :1])):
        if change.abs().max() < 1e-4:
            raise AssertionError(f"The logits stay the same when the {name} of a pair is exchanged for another one.")
    mixed = table - table[:1] - table[:, :1] + table[:1, :1]
    if mixed.abs().max() < 1e-4:
        raise AssertionError(
            "For any two texts and two images, logit(t, i) − logit(t', i) − logit(t, i') + logit(t', i') is 0: every "
            "logit is a score of the text plus a score of the image, so the head cannot tell which of them match.\n"
            "Likely cause: the head sees no feature that is computed from both."
        )


@points(1)
@catches("loss-none", "softmax-twice")
def test_the_loss_is_the_mean_cross_entropy(student, rng):
    """With labels, the loss is the cross-entropy of the logits, averaged over the pairs."""
    _, classifier = new_classifier(student, rng, num_labels=3)
    batch = pairs(rng, 4)
    for labels in (torch.tensor([2, 0, 1, 2]), torch.from_numpy(rng.integers(0, 3, 4))):
        result = classifier(*batch, labels)
        logits = logits_of(result, "result")
        assert_shape(logits, (4, 3), what="logit tensor for 4 pairs and 3 classes")
        assert_close(logits, logits_of(classifier(*batch), "result"), what="logit tensor with labels", **CLOSE)
        if not isinstance(result["loss"], Tensor):
            raise AssertionError(f"The loss with labels should be a tensor; it is {type(result['loss']).__name__}.")
        assert_shape(result["loss"], (), what="loss")
        expected = mean_cross_entropy(logits.double(), labels)
        cause = "take the cross-entropy of the logits themselves, and the mean over the pairs"
        assert_close(result["loss"], expected, what=f"loss for the labels {labels.tolist()}", cause=cause, **CLOSE)


@points(1)
@catches("labels-reshaped", "ignored-label", "one-image-for-all")
def test_batches_and_labels_that_do_not_fit_are_refused(student, rng):
    """Batches of different sizes, labels of another shape or dtype and labels that are no class are refused."""
    clip, classifier = new_classifier(student, rng, num_labels=3)
    for num_labels in (1, 0, -2):
        with raises(ValueError, what=f"PairClassifier with num_labels={num_labels}"):
            student.PairClassifier(clip, num_labels=num_labels)
    ids, mask, pixels = pairs(rng, 3)
    for what, batch in (
        ("3 texts and 2 images", (ids, mask, pixels[:2])),
        ("3 texts and 1 image", (ids, mask, pixels[:1])),
        ("1 text and 3 images", (ids[:1], mask[:1], pixels)),
        ("3 texts and 1 mask", (ids, mask[:1], pixels)),
        ("2 texts, 3 masks and 2 images", (ids[:2], mask, pixels[:2])),
    ):
        with raises(ValueError, what=f"a call with {what}"):
            classifier(*batch)
    for what, labels in (
        ("2 labels for 3 pairs", torch.tensor([0, 1])),
        ("1 label for 3 pairs", torch.tensor([1])),
        ("labels of shape (3, 1)", torch.tensor([[0], [1], [2]])),
        ("labels of shape (1, 3)", torch.tensor([[0, 1, 2]])),
        ("labels of shape ()", torch.tensor(1)),
        ("the label 3 of 3 classes", torch.tensor([0, 3, 1])),
        ("the label -1", torch.tensor([0, 1, -1])),
        ("the label -100", torch.tensor([-100, 0, 2])),
    ):
        with raises(ValueError, what=f"a call with {what}"):
            classifier(ids, mask, pixels, labels)
    for labels in (torch.tensor([0.0, 1.0, 2.0]), torch.rand(3, 3).softmax(dim=1)):
        with raises(TypeError, ValueError, what=f"a call with float32 labels of shape {tuple(labels.shape)}"):
            classifier(ids, mask, pixels, labels)


@points(1)
@catches("detached")
def test_gradients_reach_the_head_and_both_towers(student, rng):
    """The gradients of the loss are right in the head and in both projections, and go on into both towers."""
    clip, classifier = new_classifier(student, rng, num_labels=3)
    batch, labels = pairs(rng, 4), torch.tensor([2, 0, 2, 1])
    gradients, values, text, image = student.run(differentiate, clip, classifier, *batch, labels)
    for name, gradient in gradients.items():
        if gradient is None or not gradient.any():
            raise AssertionError(
                f"No gradient reaches {name}: it is {'None' if gradient is None else 'all zero'}. Look for a step that "
                "autograd does not follow, such as detach or no_grad, between this parameter and the loss."
            )
    names = ("head.weight", "head.bias", "clip.text_projection.weight", "clip.visual_projection.weight")
    leaves = {name: values[name].double().requires_grad_() for name in names}
    weight, bias, text_projection, visual_projection = leaves.values()
    features = features_of(text.double() @ text_projection.T, image.double() @ visual_projection.T)
    loss = mean_cross_entropy(features @ weight.T + bias, labels)
    for name, expected in zip(names, torch.autograd.grad(loss, list(leaves.values())), strict=True):
        assert_close(gradients[name], expected, what=f"gradient of {name}", rtol=1e-3, atol=1e-5)


@points(1)
@catches("dropout-at-inference")
def test_dropout_acts_on_the_features_in_training_only(student, rng):
    """In training mode features are dropped with the given probability; in evaluation mode all of them are used."""
    batch = pairs(rng, 4)
    for dropout in (None, 0.75):
        settings = {} if dropout is None else {"dropout": dropout}
        clip, classifier = new_classifier(student, rng, num_labels=4 * WIDTH, **settings)
        features = features_of(*student.run(embed, clip, *batch))
        training, *inference = student.run(features_in_training, clip, classifier, *batch)
        for logits in inference:
            what = f"logit tensor in evaluation mode with a head that hands on its input, dropout {dropout}"
            assert_close(logits, features, what=what, cause="dropout is for training mode only", **CLOSE)
        if dropout is None:
            what = "logit tensor in training mode with a head that hands on its input, no dropout given"
            assert_close(training, features, what=what, cause="by default nothing is dropped", **CLOSE)
            continue
        assert_shape(training, (4, 4 * WIDTH), what="logit tensor in training mode")
        dropped = training == 0
        for block, name in enumerate(BLOCKS):
            # of 24 values that are dropped with probability 0.75, less than a quarter once in a hundred million times
            share = dropped[:, block * WIDTH : (block + 1) * WIDTH].double().mean().item()
            if share < 0.25:
                raise AssertionError(f"With dropout={dropout}, {share:.0%} of the features {name} were dropped.")
        if dropped.all():
            raise AssertionError(f"With dropout={dropout}, all features of all four pairs were dropped.")
        expected = torch.where(dropped, 0.0, features / (1 - dropout))
        cause = "features that are kept are divided by 1 - dropout"
        assert_close(training, expected, what=f"logit tensor in training mode, dropout={dropout}", cause=cause, **CLOSE)
