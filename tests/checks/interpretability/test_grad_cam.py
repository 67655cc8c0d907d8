"""Checks of interpretability/grad_cam.

Three small networks, built anew by every probe from given parameters: "pooled" (convolution, ReLU, global average
pooling, linear layer), where the gradient is even over the map and the result is known as CAM; "flat" (convolution,
tanh, flatten, linear layer), where it is uneven; and one with batch normalisation and dropout, to see what stays.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from grader.checking import (
    assert_claims,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "pruning_explains": False,
    "attention_is_the_reason": False,
    "picture_of_weights": False,
    "plausible_means_faithful": False,
    "random_weights_test": True,
    "probability_will_do": False,
    "cam_is_contained": True,
    "any_class_can_be_asked": True,
}
Parameters = list[Tensor]  # weight and bias of the convolution, weight and bias of the linear layer


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape))


def network(rng: np.random.Generator, classes: int, channels: int, pooled: bool, positions: int = 1) -> Parameters:
    """Parameters in which every class has channels for it and channels against it. The convolution is 3x3."""
    signs = torch.from_numpy(rng.choice([-1.0, 1.0], (classes, channels)))
    signs[:, 0] = -signs[:, -1]
    if pooled:
        weight = signs * torch.from_numpy(rng.uniform(0.5, 2.0, (classes, channels)))  # (classes, channels)
    else:
        uneven = normal(rng, classes, channels, positions) + signs[:, :, None]
        weight = uneven.flatten(1)  # (classes, channels * positions)
    return [normal(rng, channels, 3, 3, 3) / 3, normal(rng, channels) / 3, weight, normal(rng, classes)]


# ---------------------------------------------------------------- what runs in the student's process


def grad_cam_of_a_pooled_network(student, parameters, images, class_idx=None):
    import torch
    from torch import nn

    convolution, bias, weight, offset = parameters
    features = nn.Sequential(nn.Conv2d(*convolution.shape[1::-1], convolution.shape[-1]), nn.ReLU())
    model = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(*weight.shape[::-1]))
    model = model.to(images.dtype).eval()
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), (convolution, bias, weight, offset), strict=True):
            parameter.copy_(value)
    return student.grad_cam(model, features, images, class_idx)


def grad_cam_of_a_flat_network(student, parameters, images, class_idx=None):
    import torch
    from torch import nn

    convolution, bias, weight, offset = parameters
    model = nn.Sequential(
        nn.Conv2d(*convolution.shape[1::-1], convolution.shape[-1]), nn.Tanh(), nn.Flatten(), nn.Linear(*weight.T.shape)
    )
    model = model.to(images.dtype).eval()
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), (convolution, bias, weight, offset), strict=True):
            parameter.copy_(value)
    return student.grad_cam(model, model[0], images, class_idx)


def grad_cam_worked_by_hand(student, weight, images, class_idx):
    import torch
    from torch import nn

    model = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.Flatten(), nn.Linear(6, 3, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2, 3)[:, :, None, None])
        model[2].weight.copy_(weight)
    return student.grad_cam(model, model[0], images, class_idx)


def grad_cam_in_a_setting(student, frozen, without_gradients, in_place, parameters, images, class_idx):
    """The map, and whether gradients are recorded afterwards."""
    import torch
    from torch import nn

    convolution, bias, weight, offset = parameters
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=in_place), nn.Flatten(), nn.Linear(*weight.T.shape))
    model = model.to(images.dtype).eval()
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), (convolution, bias, weight, offset), strict=True):
            parameter.copy_(value)
    model.requires_grad_(not frozen)
    with torch.set_grad_enabled(not without_gradients):
        maps = student.grad_cam(model, model[0], images, class_idx)
        return maps, torch.is_grad_enabled()


def grad_cam_and_what_it_leaves(student, call, training, parameters, images):
    """The map or the name of the error, and the state of model and images before and after the call."""
    import torch
    from torch import nn

    convolution, bias, weight, offset = parameters
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.4), nn.AdaptiveAvgPool2d(2), nn.Flatten(2), nn.Flatten()
    )
    model.append(nn.Linear(*weight.T.shape))
    model.to(images.dtype)
    with torch.no_grad():
        for parameter, value in zip((*model[0].parameters(), *model[6].parameters()), parameters, strict=True):
            parameter.copy_(value)
        model[1].running_mean.fill_(0.3)
        model[1].running_var.fill_(1.7)
        model[1].bias.copy_(0.5 * bias)
    model.train(training)
    model[3].train(not training)  # one module is in the other mode
    model[0].weight.grad = torch.full_like(convolution, 0.25)
    model[1].weight.requires_grad_(False)
    model[6].bias.grad = torch.full_like(offset, -3.0)
    model[1].register_forward_hook(lambda module, inputs, output: None)
    model[3].register_forward_pre_hook(lambda module, inputs: None)
    images = images.clone()
    if call == "images that require a gradient":
        images.requires_grad_()
        images.grad = torch.full_like(images, 0.5)

    def state():
        modules = dict(model.named_modules(prefix="model"))
        parameters = dict(model.named_parameters(prefix="model"))
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        hooks = {name: sum(len(getattr(module, kind)) for kind in kinds) for name, module in modules.items()}
        return {
            "mode": {name: module.training for name, module in modules.items()},
            "hooks": hooks,
            "attributes": {name: sorted(vars(module)) for name, module in modules.items()},
            "tensors": {name: value.clone() for name, value in model.state_dict().items()},
            "requires_grad": {name: p.requires_grad for name, p in (*parameters.items(), ("images", images))},
            "grad": {
                name: None if p.grad is None else p.grad.clone()
                for name, p in (*parameters.items(), ("images", images))
            },
            "images": images.detach().clone(),
        }

    layers = {"layer with a 3-D result": model[4], "layer with a 2-D result": model[5], "foreign layer": nn.ReLU()}
    layer = layers.get(call, model[1])
    class_idx = {"class that does not exist": len(offset), "list that is too short": [1]}.get(call, 1)
    given = images[:, :2] if call == "images with two channels" else images
    before = state()
    try:
        result = student.grad_cam(model, layer, given, class_idx)
    except NotImplementedError:
        raise
    except Exception as error:
        result = "ValueError" if isinstance(error, ValueError) else type(error).__name__
    return result, before, state()


# ---------------------------------------------------------------- what is expected, worked out here


def positive_part_over_peak(sums: Tensor) -> Tensor:
    """(batch, height, width), image by image."""
    maps = []
    for image in sums:
        positive = torch.where(image > 0, image, 0.0)
        maps.append(positive / positive.max() if positive.max() > 0 else positive)
    return torch.stack(maps)


def class_activation_maps(parameters: Parameters, images: Tensor, classes: list[int]) -> Tensor:
    """CAM of the pooled network: the feature maps, weighted with the linear layer's weights for the class."""
    convolution, bias, weight, _ = parameters
    features = F.conv2d(images, convolution, bias).clamp(min=0)  # (batch, channels, height, width)
    sums = [sum(w * f for w, f in zip(weight[c], maps, strict=True)) for c, maps in zip(classes, features, strict=True)]
    return positive_part_over_peak(torch.stack(sums))


def maps_of_the_flat_network(parameters: Parameters, images: Tensor, classes: list[int]) -> Tensor:
    """The derivative of the score is weight * (1 - tanh²), written out."""
    convolution, bias, weight, _ = parameters
    features = F.conv2d(images, convolution, bias)  # (batch, channels, height, width)
    sums = []
    for index, maps in zip(classes, features, strict=True):
        slope = weight[index].reshape(maps.shape) * (1 - maps.tanh() ** 2)  # (channels, height, width)
        sums.append(sum(s.sum() / s.numel() * m for s, m in zip(slope, maps, strict=True)))
    return positive_part_over_peak(torch.stack(sums))


def scores_of_the_flat_network(parameters: Parameters, images: Tensor) -> Tensor:
    convolution, bias, weight, offset = parameters
    return F.conv2d(images, convolution, bias).tanh().flatten(1) @ weight.T + offset  # (batch, classes)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_two_images_worked_out_by_hand(student):
    """Two images, worked out by hand: two classes that are asked for, then the predicted ones."""
    weight = torch.tensor(
        [[2.0, 2.0, 5.0, -3.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0, -2.0, 1.0], [0.0, 0.0, -3.0, 1.0, 5.0, 3.0]]
    )
    first = [[6.0, 3.0, 0.0], [2.0, 1.0, 4.0], [9.0, 9.0, 9.0]]
    second = [[0.0, 2.0, 4.0], [1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    images = torch.tensor([first, second])[:, :, None, :]
    for class_idx, expected in (
        ([0, 2], [[[1.0, 0.5, 0.0]], [[1.0, 0.0, 2 / 3]]]),
        (None, [[[0.0, 0.0, 1.0]], [[0.0, 0.6, 1.0]]]),
    ):
        maps = student.run(grad_cam_worked_by_hand, weight, images, class_idx)
        assert_close(maps, torch.tensor(expected), what=f"map tensor for class_idx={class_idx}")


@points(3)
@catches("published-claims", "attention-as-explanation")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(0.5)
@catches("enlarged-to-the-image", "not-detached", "always-float32")
def test_one_map_for_each_image_in_the_size_of_the_layer(student, rng):
    """There is one map for each image, in the size and dtype of the feature maps, in [0, 1], without gradient."""
    parameters = network(rng, 5, 4, pooled=False, positions=6 * 9)
    images = normal(rng, 3, 3, 8, 11)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        maps = student.run(
            grad_cam_of_a_flat_network, [value.to(dtype) for value in parameters], images.to(dtype), [4, 1, 2]
        )
        case = f"map tensor for 3 images and {dtype} feature maps of shape (3, 4, 6, 9)"
        assert_shape(maps, (3, 6, 9), what=case)
        assert_dtype(maps, str(dtype).removeprefix("torch."), what=case)
        if maps.requires_grad:
            raise AssertionError(f"The {case} requires a gradient; it should be an ordinary tensor without history.")
        low, high = maps.min().item(), maps.max().item()
        if not (low >= 0 and high <= 1):
            raise AssertionError(f"The {case} has values from {low:.4g} to {high:.4g}; all should lie in [0, 1].")


@points(1)
@catches("activation-map", "softmax-gradient", "gradient-of-the-loss", "no-relu", "absolute-value", "relu-on-gradient")
def test_equals_cam_where_cam_is_defined(student, rng):
    """With global average pooling and one linear layer the map is that of CAM (Zhou et al., 2016)."""
    parameters, images = network(rng, 5, 4, pooled=True), normal(rng, 3, 3, 7, 9)
    for class_idx in ([3, 0, 2], [1, 1, 4], 2):
        maps = student.run(grad_cam_of_a_pooled_network, parameters, images, class_idx)
        classes = [class_idx] * 3 if isinstance(class_idx, int) else class_idx
        assert_close(
            maps,
            class_activation_maps(parameters, images, classes),
            what=f"map tensor for class_idx={class_idx}",
            cause="the positive part of the weighted sum of the channels, for the class's score before the softmax",
        )


@points(1)
@catches("gradient-times-features", "pooled-over-the-batch", "relu-on-each-channel")
def test_the_weight_of_a_channel_is_its_mean_gradient(student, rng):
    """Where the gradient is uneven over the map, a channel has one weight: the mean, for each image by itself."""
    parameters = network(rng, 5, 4, pooled=False, positions=4 * 6)
    images = normal(rng, 3, 3, 6, 8)
    for class_idx in ([3, 0, 2], [1, 4, 4]):
        maps = student.run(grad_cam_of_a_flat_network, parameters, images, class_idx)
        assert_close(
            maps,
            maps_of_the_flat_network(parameters, images, class_idx),
            what=f"map tensor for class_idx={class_idx}",
            cause="one weight for each channel of each image: the gradient's mean over height and width",
        )


@points(1)
@catches(
    "class-zero-means-none",
    "first-prediction-for-all",
    "classes-as-columns",
    "negative-class-wraps",
    "one-class-stretched",
)
def test_each_image_is_asked_about_its_own_class(student, rng):
    """A number, a list and None choose the class for each image; classes that do not exist are refused."""
    parameters = network(rng, 5, 4, pooled=False, positions=4 * 6)
    while True:  # the four predictions are at least three different classes
        images = normal(rng, 4, 3, 6, 8)
        predicted = scores_of_the_flat_network(parameters, images).argmax(dim=1).tolist()
        if len(set(predicted)) >= 3:
            break

    def maps_of(images: Tensor, class_idx) -> Tensor:
        maps = student.run(grad_cam_of_a_flat_network, parameters, images, class_idx)
        assert_shape(maps, (len(images), 4, 6), what=f"map tensor for {len(images)} images, class_idx={class_idx}")
        return maps

    wanted = [0, 3, 1, 4]
    single = [maps_of(images[i : i + 1], index) for i, index in enumerate(wanted)]
    for class_idx in (wanted, tuple(wanted)):
        assert_close(
            maps_of(images, class_idx),
            torch.cat(single),
            what=f"map tensor for class_idx={class_idx}",
            cause="each image has its own class, and its map is the one that it has in a batch of one",
        )
    for class_idx, classes in ((0, [0] * 4), (2, [2] * 4), (None, predicted)):
        assert_close(
            maps_of(images, class_idx),
            maps_of(images, classes),
            what=f"map tensor for class_idx={class_idx} in place of {classes}",
            cause="one number stands for all images; None means the class of the highest score, image by image",
        )
    for class_idx in (5, -1, [0, 1, 5, 2], [0, -1, 1, 2], [1], [1, 2, 3], [0, 1, 2, 3, 4], []):
        with raises(ValueError, what=f"grad_cam with class_idx={class_idx} for 4 images and 5 classes"):
            student.run(grad_cam_of_a_flat_network, parameters, images, class_idx)


@points(1)
@catches("batch-maximum", "nan-for-an-empty-map", "min-max", "epsilon-in-the-divisor")
def test_every_map_is_divided_by_its_own_maximum(student, rng):
    """Every map reaches 1, whatever its size before; one that is negative everywhere becomes 0. (A single channel.)"""
    # positive feature maps of three sizes; the scores are multiples of their mean, so the map is the channel itself
    shape = (3, 3, 5, 6)
    images = torch.from_numpy(rng.uniform(0.2, 1.0, shape)) * torch.tensor([1.0, 8.0, 0.1]).reshape(3, 1, 1, 1)
    convolution, bias = torch.from_numpy(rng.uniform(0.5, 1.0, (1, 3, 2, 2))), torch.zeros(1)
    features = F.conv2d(images, convolution)[:, 0]  # (batch, height, width)
    highest = features.amax(dim=(1, 2), keepdim=True)
    for size in (1.0, 1e-9):
        weight = size * torch.tensor([[1.3], [-1.1], [0.2]], dtype=torch.float64)
        for class_idx, sign in ((0, [1, 1, 1]), (1, [0, 0, 0]), ([0, 1, 0], [1, 0, 1])):
            maps = student.run(
                grad_cam_of_a_pooled_network, [convolution, bias, weight, torch.zeros(3)], images, class_idx
            )
            expected = features / highest * torch.tensor(sign).reshape(3, 1, 1)
            case = "positive" if class_idx == 0 else "negative" if class_idx == 1 else "positive, negative and positive"
            assert_close(
                maps,
                expected,
                rtol=1e-6,
                atol=1e-9,
                what=f"map tensor for a channel with {case} weights of size {size:g}",
                cause="divide each image's map by its own largest value, however small that is, unless it is 0",
            )


@points(0.5)
@catches(
    "needs-trainable-parameters",
    "no-gradient-mode",
    "overwritten-in-place",
    "in-place-refused",
    "gradient-mode-left-on",
)
def test_frozen_models_no_grad_and_layers_in_place(student, rng):
    """A frozen model, `torch.no_grad()` and an in-place ReLU behind the layer change nothing."""
    parameters = network(rng, 5, 4, pooled=False, positions=4 * 6)
    images = normal(rng, 3, 3, 6, 8)
    usual, _ = student.run(grad_cam_in_a_setting, False, False, False, parameters, images, [3, 0, 2])
    assert_shape(usual, (3, 4, 6), what="map tensor")
    for setting, frozen, without_gradients, in_place in (
        ("an in-place ReLU behind the layer", False, False, True),
        ("a frozen model", True, False, False),
        ("torch.no_grad()", False, True, False),
        ("a frozen model with an in-place ReLU inside torch.no_grad()", True, True, True),
    ):
        maps, recording = student.run(
            grad_cam_in_a_setting, frozen, without_gradients, in_place, parameters, images, [3, 0, 2]
        )
        assert_close(maps, usual, what=f"map tensor with {setting}, next to your own without")
        assert_equal(recording, not without_gradients, what=f"value of torch.is_grad_enabled() after {setting}")


@points(1)
@catches(
    "hook-left",
    "hook-left-after-an-error",
    "all-hooks-cleared",
    "parameters-get-gradients",
    "parameters-unfrozen",
    "images-require-gradients",
    "in-training-mode",
    "left-in-inference-mode",
    "one-mode-for-all-modules",
    "modes-lost-after-an-error",
    "attribute-left",
)
def test_everything_is_left_as_it_was(student, rng):
    """The pass is made in evaluation mode, and model and images are afterwards as before, also after an error."""
    parameters = network(rng, 5, 4, pooled=False, positions=4)
    images = normal(rng, 3, 3, 7, 9)
    causes = {
        "mode": "each module has a mode of its own; give each its own back, whatever happens in between",
        "hooks": "remove your own hooks and only these, whatever happens in between",
        "attributes": "what you need during the pass is better kept in a local variable than in a module",
        "tensors": "in training mode, batch normalisation updates its statistics",
        "requires_grad": "ask for a gradient at the feature maps; parameters and images need none",
        "grad": "backward() adds to every .grad on its way; there is a function that only returns a gradient",
        "images": "an in-place operation",
    }
    maps = {}
    for call, training, expected in (
        ("usual call", False, None),
        ("usual call", True, None),
        ("images that require a gradient", True, None),
        ("class that does not exist", True, "ValueError"),
        ("list that is too short", False, "ValueError"),
        ("layer with a 3-D result", True, "ValueError"),
        ("layer with a 2-D result", False, "ValueError"),
        ("foreign layer", True, "ValueError"),
        ("images with two channels", True, "RuntimeError"),
    ):
        result, before, after = student.run(grad_cam_and_what_it_leaves, call, training, parameters, images)
        case = f"{call}, model in {'training' if training else 'evaluation'} mode"
        if expected is not None:
            found = result if isinstance(result, str) else "no error"
            if found != expected:
                raise AssertionError(f"The call should raise {expected} ({case}); it came back with {found}.")
        elif isinstance(result, str):
            raise AssertionError(f"The call should return maps ({case}); it raised {result}.")
        for part, cause in causes.items():
            assert_equal(after[part], before[part], what=f"{part} after the call ({case})", cause=cause)
        maps[call, training] = result
    assert_close(
        maps["usual call", True],
        maps["usual call", False],
        what="map tensor of the model in training mode, next to your own in evaluation mode",
        cause="dropout and batch statistics; the pass should be made in evaluation mode",
    )
