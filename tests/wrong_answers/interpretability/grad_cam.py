"""Wrong and differently written answers to interpretability/grad_cam.

Every "must reject" line of B-Q10a has an entry; line 5 has two, after a good call and after an error. The published
answer to B-Q10 has no code: its readings (compression explains the model, attention is interpretable, "visualise
parameters") are claims, and its "visualise activations" is the entry "activation-map".
"""

from grader.catalogue import Alternative, WrongAnswer

SCORES = "            scores = model(images)  # (batch, classes)"
GRADIENT = "(gradient,) = torch.autograd.grad(scores, features, grad_outputs=chosen)"
WEIGHTS = "weights = gradient.mean(dim=(2, 3), keepdim=True)"
MAPS = "maps = (weights * features.detach()).sum(dim=1).relu()"
NORMALISED = "return torch.where(peak > 0, maps / peak, maps)"
FINALLY = """    finally:
        handle.remove()
        for module, training in modes:
            module.training = training
"""
CAPTURE = """        captured.append(output.detach().requires_grad_())
        return captured[-1].clone()
"""

wrong_answers = [
    WrongAnswer(
        id="published-claims",
        title="compression taken for an explanation",
        explanation=(
            "One of the claims is published as advice for interpretable models. Take a network of which a tenth of the "
            "weights is left and a photo that it calls a dog: what does the pruned network tell you about this photo "
            "that the full one does not?"
        ),
        caught_by="test_claims",
        swap=(("pruning_explains=False", "pruning_explains=True"),),
    ),
    WrongAnswer(
        id="attention-as-explanation",
        title="attention weights taken for the reason of a decision",
        explanation=(
            "One of the claims is published as a property of an architecture. Ask of it: what else does the output "
            "depend on, and could other attention weights have led to the same prediction?"
        ),
        caught_by="test_claims",
        swap=(("attention_is_the_reason=False", "attention_is_the_reason=True"),),
    ),
    WrongAnswer(
        id="activation-map",
        title="the activations shown without any gradient",
        explanation=(
            "Your map does not depend on the class: every channel counts the same, also those that speak against it. "
            "It shows where the layer is active, not what the score rests on. What tells the two apart for a channel?"
        ),
        caught_by="test_equals_cam_where_cam_is_defined",
        swap=((WEIGHTS, "weights = torch.ones_like(gradient).mean(dim=(2, 3), keepdim=True)"),),
    ),
    WrongAnswer(
        id="softmax-gradient",
        title="the gradient of the probability, after the softmax",
        explanation=(
            "A probability also rises when the scores of the other classes fall, so your map mixes what speaks for the "
            "class with what speaks against the others. The model already puts out what you need."
        ),
        caught_by="test_equals_cam_where_cam_is_defined",
        swap=((SCORES, "            scores = model(images).softmax(dim=1)"),),
    ),
    WrongAnswer(
        id="gradient-of-the-loss",
        title="the gradient of a cross-entropy loss",
        explanation=(
            "A loss falls where the score of the class rises, and it contains the other classes as well. Your map "
            "shows what would make the prediction worse. Differentiate the score itself."
        ),
        caught_by="test_equals_cam_where_cam_is_defined",
        swap=(
            (SCORES, "            scores = model(images).log_softmax(dim=1)"),
            ("chosen[range(batch), classes] = 1", "chosen[range(batch), classes] = -1"),
        ),
    ),
    WrongAnswer(
        id="no-relu",
        title="the negative part of the map kept",
        explanation=(
            "Where the weighted sum is negative, the features speak against the class. The map is asked for what "
            "speaks for it, so it has no values below 0. At which step, before the division or after, is that decided?"
        ),
        caught_by="test_equals_cam_where_cam_is_defined",
        swap=((MAPS, MAPS.removesuffix(".relu()")),),
    ),
    WrongAnswer(
        id="absolute-value",
        title="the absolute value in place of the positive part",
        explanation=(
            "Your map is bright where features speak strongly against the class, just as where they speak for it. Only "
            "one of the two is asked for."
        ),
        caught_by="test_equals_cam_where_cam_is_defined",
        swap=((MAPS, MAPS.replace(".relu()", ".abs()")),),
    ),
    WrongAnswer(
        id="relu-on-gradient",
        title="negative gradients set to 0 before they are averaged",
        explanation=(
            "Channels that speak against the class have to be subtracted; without their negative weights the map shows "
            "the features that they would have cancelled. Which quantity does the step that removes negatives act on?"
        ),
        caught_by="test_equals_cam_where_cam_is_defined",
        swap=((WEIGHTS, WEIGHTS.replace("gradient.mean", "gradient.relu().mean")),),
    ),
    WrongAnswer(
        id="gradient-times-features",
        title="gradient and features multiplied place by place",
        explanation=(
            "You multiply each place of a feature map with the gradient at that place. That is another method. In "
            "Grad-CAM a channel has a single weight; where the gradient is the same everywhere the two agree, and "
            "elsewhere they do not."
        ),
        caught_by="test_the_weight_of_a_channel_is_its_mean_gradient",
        swap=((WEIGHTS, "weights = gradient"),),
    ),
    WrongAnswer(
        id="pooled-over-the-batch",
        title="gradients averaged over the batch as well",
        explanation=(
            "All images get the same channel weights, a mix of their classes, so a map depends on which other images "
            "are in the batch. With a single image nobody sees it. Look at the axes of your mean."
        ),
        caught_by="test_the_weight_of_a_channel_is_its_mean_gradient",
        swap=((WEIGHTS, WEIGHTS.replace("(2, 3)", "(0, 2, 3)")),),
    ),
    WrongAnswer(
        id="relu-on-each-channel",
        title="each channel cut off at 0 before the channels are added up",
        explanation=(
            "What speaks against the class at a place has to be set off against what speaks for it there. You remove "
            "the first before it can count: mind the order of adding up and cutting off."
        ),
        caught_by="test_the_weight_of_a_channel_is_its_mean_gradient",
        swap=((MAPS, "maps = (weights * features.detach()).relu().sum(dim=1)"),),
    ),
    WrongAnswer(
        id="class-zero-means-none",
        title="class 0 taken for no class",
        explanation=(
            "0 is false in Python, so `class_idx or …` and `if class_idx` treat the first class as if none had been "
            "given, and the predicted class is explained instead. `None` is what you want to ask for."
        ),
        caught_by="test_each_image_is_asked_about_its_own_class",
        swap=(("if class_idx is None:", "if not class_idx:"),),
    ),
    WrongAnswer(
        id="first-prediction-for-all",
        title="the class predicted for the first image used for all images",
        explanation=(
            "With `None` every image is explained for the class that the first one got. Each image has a highest score "
            "of its own; along which axis is it the highest?"
        ),
        caught_by="test_each_image_is_asked_about_its_own_class",
        swap=(("scores.argmax(dim=1).tolist()", "scores[0].argmax().item()"),),
    ),
    WrongAnswer(
        id="classes-as-columns",
        title="every image asked about all classes of the list",
        explanation=(
            "`scores[:, classes]` takes all these columns for every image, and the sum then belongs to several classes. "
            "You need one entry from each row."
        ),
        caught_by="test_each_image_is_asked_about_its_own_class",
        swap=(("chosen[range(batch), classes] = 1", "chosen[:, classes] = 1"),),
    ),
    WrongAnswer(
        id="negative-class-wraps",
        title="class -1 accepted as the last class",
        explanation=(
            'Negative indices count from the end, so a class of -1, which often means "no label", is explained as if '
            "it were the last one. Check the lower border as well."
        ),
        caught_by="test_each_image_is_asked_about_its_own_class",
        swap=(("0 <= index < n_classes", "-n_classes <= index < n_classes"),),
    ),
    WrongAnswer(
        id="one-class-stretched",
        title="a list of one class stretched over the batch",
        explanation=(
            "A list with one class is accepted for four images: broadcasting repeats it silently. One number may stand "
            "for all images, a list has to have one entry for each."
        ),
        caught_by="test_each_image_is_asked_about_its_own_class",
        swap=(
            (
                "if len(classes) != batch or",
                "classes = classes * batch if len(classes) == 1 else classes\n    if len(classes) != batch or",
            ),
        ),
    ),
    WrongAnswer(
        id="batch-maximum",
        title="all maps divided by the maximum of the whole batch",
        explanation=(
            "Only the strongest image of the batch reaches 1; the maps of the others are pale, and they change with "
            "the company they are in. Over which axes do you take the maximum?"
        ),
        caught_by="test_every_map_is_divided_by_its_own_maximum",
        swap=(("peak = maps.amax(dim=(1, 2), keepdim=True)", "peak = maps.amax()"),),
    ),
    WrongAnswer(
        id="nan-for-an-empty-map",
        title="NaN where nothing speaks for the class",
        explanation=(
            "A map can be 0 everywhere, when all that a layer sees speaks against the class. Its maximum is 0, and "
            "0/0 is NaN. Such a map is to stay as it is."
        ),
        caught_by="test_every_map_is_divided_by_its_own_maximum",
        swap=((NORMALISED, "return maps / peak"),),
    ),
    WrongAnswer(
        id="min-max",
        title="the smallest value of the map subtracted as well",
        explanation=(
            "Stretching a map from its minimum to its maximum makes its weakest place 0, although it may speak for the "
            "class nearly as much as the strongest. Nothing but the maximum is asked for."
        ),
        caught_by="test_every_map_is_divided_by_its_own_maximum",
        swap=(
            (
                NORMALISED,
                "low = maps.amin(dim=(1, 2), keepdim=True)\n"
                "    return torch.where(peak > 0, (maps - low) / (peak - low), maps)",
            ),
        ),
    ),
    WrongAnswer(
        id="epsilon-in-the-divisor",
        title="a small number added to the maximum",
        explanation=(
            "The small number keeps 0/0 away, but where the raw map is small itself, as it is for small gradients, it "
            "makes up most of the divisor, and the map does not reach 1. Treat the empty map as a case of its own."
        ),
        caught_by="test_every_map_is_divided_by_its_own_maximum",
        swap=((NORMALISED, "return maps / (peak + 1e-8)"),),
    ),
    WrongAnswer(
        id="enlarged-to-the-image",
        title="the map enlarged to the size of the image",
        explanation=(
            "Your maps have the height and width of the images. Enlarging is for the picture; the result is asked for "
            "in the size of the feature maps, which shows how fine it really is."
        ),
        caught_by="test_one_map_for_each_image_in_the_size_of_the_layer",
        swap=(
            (
                NORMALISED,
                "maps = torch.where(peak > 0, maps / peak, maps)\n"
                "    return nn.functional.interpolate(maps[:, None], images.shape[2:], mode='bilinear')[:, 0]",
            ),
        ),
    ),
    WrongAnswer(
        id="not-detached",
        title="a map that still requires a gradient",
        explanation=(
            "The map is computed from the feature maps, and these remember how they came about. Whoever keeps your map "
            "keeps the graph behind it, and `.numpy()` refuses it. Where do you cut it off?"
        ),
        caught_by="test_one_map_for_each_image_in_the_size_of_the_layer",
        swap=((MAPS, MAPS.replace("features.detach()", "features")),),
    ),
    WrongAnswer(
        id="always-float32",
        title="the map always in float32",
        explanation=(
            "A model in float64 or bfloat16 gets a map in float32. The result is asked for in the dtype of the feature "
            "maps. Look for `.float()` or a tensor made without a dtype."
        ),
        caught_by="test_one_map_for_each_image_in_the_size_of_the_layer",
        swap=((NORMALISED, NORMALISED + ".float()"),),
    ),
    WrongAnswer(
        id="needs-trainable-parameters",
        title="a frozen model that has no gradient",
        explanation=(
            "If no parameter requires a gradient, neither do the feature maps, and there is nothing to differentiate. "
            "The parameters play no part in Grad-CAM: from where on do you need a gradient?"
        ),
        caught_by="test_frozen_models_no_grad_and_layers_in_place",
        swap=((CAPTURE, "        captured.append(output)\n        return output.clone()\n"),),
    ),
    WrongAnswer(
        id="no-gradient-mode",
        title="no gradient inside torch.no_grad()",
        explanation=(
            "Evaluation code often runs inside `torch.no_grad()`, and a model called there records nothing. Your "
            "function needs a gradient for a moment, whatever its caller does."
        ),
        caught_by="test_frozen_models_no_grad_and_layers_in_place",
        swap=(("with torch.enable_grad():", "if True:"),),
    ),
    WrongAnswer(
        id="gradient-mode-left-on",
        title="the recording of gradients switched on for good",
        explanation=(
            "After your call inside `torch.no_grad()` gradients are recorded, so the rest of the caller's evaluation "
            "builds a graph. Switch it on in a way that ends by itself."
        ),
        caught_by="test_frozen_models_no_grad_and_layers_in_place",
        swap=(("with torch.enable_grad():", "torch.set_grad_enabled(True)\n        if True:"),),
    ),
    WrongAnswer(
        id="overwritten-in-place",
        title="feature maps that the next layer has overwritten",
        explanation=(
            "An `nn.ReLU(inplace=True)` behind the layer writes into the tensor that you kept, so you see its result "
            "and not what the layer returned. Which copy do you keep, and which one does the model go on with?"
        ),
        caught_by="test_frozen_models_no_grad_and_layers_in_place",
        swap=(
            (
                CAPTURE,
                "        output = output if output.requires_grad else output.requires_grad_().clone()\n"
                "        captured.append(output)\n"
                "        return output\n",
            ),
        ),
    ),
    WrongAnswer(
        id="in-place-refused",
        title="feature maps into which the next layer cannot write",
        explanation=(
            "With an `nn.ReLU(inplace=True)` behind the layer the forward pass ends in an error: PyTorch protects the "
            "very tensor whose gradient you will ask for. The model needs something of its own to go on with."
        ),
        caught_by="test_frozen_models_no_grad_and_layers_in_place",
        swap=(("return captured[-1].clone()", "return captured[-1]"),),
    ),
    WrongAnswer(
        id="hook-left",
        title="the hook left on the layer",
        explanation=(
            "After your call the layer still has a hook more than before. It runs in every forward pass from now on, "
            "keeps feature maps in memory, and each call adds another one."
        ),
        caught_by="test_everything_is_left_as_it_was",
        swap=(("        handle.remove()\n", ""),),
    ),
    WrongAnswer(
        id="hook-left-after-an-error",
        title="the hook left on the layer when the model fails",
        explanation=(
            "After a good call the hook is gone, but when the model raises an error the line that removes it is never "
            "reached. Which part of a `try` statement runs in either case?"
        ),
        caught_by="test_everything_is_left_as_it_was",
        swap=(
            ("        handle.remove()\n", ""),
            (SCORES, SCORES + "\n            handle.remove()"),
        ),
    ),
    WrongAnswer(
        id="all-hooks-cleared",
        title="the hooks of others removed as well",
        explanation=(
            "Your hook is gone, and so are those that were there before. Registering a hook returns a handle, with "
            "which you can remove yours alone."
        ),
        caught_by="test_everything_is_left_as_it_was",
        swap=(("        handle.remove()\n", "        layer._forward_hooks.clear()\n"),),
    ),
    WrongAnswer(
        id="parameters-get-gradients",
        title="gradients added to those of the parameters",
        explanation=(
            "`backward()` adds to the `.grad` of every parameter that it meets. The next optimiser step would then "
            "train the model on your question. There is a function that returns a gradient and stores none."
        ),
        caught_by="test_everything_is_left_as_it_was",
        swap=(
            (
                CAPTURE,
                "        output = output if output.requires_grad else output.requires_grad_()\n"
                "        captured.append(output)\n"
                "        output.retain_grad()\n"
                "        return output.clone()\n",
            ),
            (GRADIENT, "scores.backward(chosen)\n    gradient = features.grad"),
        ),
    ),
    WrongAnswer(
        id="parameters-unfrozen",
        title="frozen parameters left trainable",
        explanation=(
            "To get a gradient you switch `requires_grad` of the parameters on, and it stays on: the next training "
            "step moves what was meant to be frozen. Grad-CAM needs no gradient at any parameter."
        ),
        caught_by="test_everything_is_left_as_it_was",
        swap=(
            (CAPTURE, "        captured.append(output)\n        return output.clone()\n"),
            ("        model.eval()\n", "        model.eval()\n        model.requires_grad_(True)\n"),
        ),
    ),
    WrongAnswer(
        id="images-require-gradients",
        title="the caller's images made to require a gradient",
        explanation=(
            "To get a gradient in a frozen model you call `requires_grad_()` on the images. These are the caller's, "
            "and they stay so: whatever is done with them later is recorded. Where is the gradient really needed?"
        ),
        caught_by="test_everything_is_left_as_it_was",
        swap=(
            (CAPTURE, "        captured.append(output)\n        return output.clone()\n"),
            ("        model.eval()\n", "        model.eval()\n        images.requires_grad_()\n"),
        ),
    ),
    WrongAnswer(
        id="in-training-mode",
        title="the pass made in the mode in which the model happens to be",
        explanation=(
            "For a model in training mode dropout makes the map random, and batch normalisation lets the images "
            "influence each other and updates its statistics. An explanation is about the model as it predicts."
        ),
        caught_by="test_everything_is_left_as_it_was",
        swap=(("        model.eval()\n", ""),),
    ),
    WrongAnswer(
        id="left-in-inference-mode",
        title="the model left in evaluation mode",
        explanation=(
            "After your call dropout and batch normalisation are switched off. Whoever explains a few images between "
            "two epochs trains on without them, and nothing says so."
        ),
        caught_by="test_everything_is_left_as_it_was",
        swap=(("            module.training = training\n", "            pass\n"),),
    ),
    WrongAnswer(
        id="one-mode-for-all-modules",
        title="one mode given back to all modules",
        explanation=(
            "`model.train(…)` overwrites the mode of every module in it. In a partly frozen model some are in evaluation "
            "mode while the whole is in training mode; they have to be so again."
        ),
        caught_by="test_everything_is_left_as_it_was",
        swap=(
            (
                "        for module, training in modes:\n            module.training = training\n",
                "        model.train(modes[0][1])\n",
            ),
        ),
    ),
    WrongAnswer(
        id="modes-lost-after-an-error",
        title="the model left in evaluation mode when an error is raised",
        explanation=(
            "After a good call all modes are back, but an error on the way skips the lines that restore them. Which "
            "part of a `try` statement runs in either case?"
        ),
        caught_by="test_everything_is_left_as_it_was",
        swap=(
            (FINALLY, "    finally:\n        handle.remove()\n"),
            (NORMALISED, "for module, training in modes:\n        module.training = training\n    " + NORMALISED),
        ),
    ),
    WrongAnswer(
        id="attribute-left",
        title="feature maps left as an attribute of the layer",
        explanation=(
            "You store what the hook saw in the layer itself, where it stays after the call: it holds memory and is "
            "copied and saved with the model. A variable of your function is enough."
        ),
        caught_by="test_everything_is_left_as_it_was",
        swap=(
            (
                CAPTURE,
                "        captured.append(output.detach().requires_grad_())\n"
                "        _layer.feature_maps = captured[-1].detach()\n"
                "        return captured[-1].clone()\n",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="zeros-added",
        title="zeros added to the feature maps, and one gradient for each image",
        code="""
def grad_cam(model, layer, images, class_idx=None):
    seen = {}

    def hook(module, arguments, output):
        if output.dim() != 4:
            raise ValueError("not feature maps")
        seen["maps"] = output.detach().clone()
        seen["zeros"] = torch.zeros_like(output, requires_grad=True)
        return output + seen["zeros"]

    was = {module: module.training for module in model.modules()}
    handle = layer.register_forward_hook(hook)
    try:
        for module in was:
            module.training = False
        with torch.enable_grad():
            scores = model(images)
            if "maps" not in seen:
                raise ValueError("layer did not run")
            count = scores.size(1)
            if class_idx is None:
                class_idx = [int(row.argmax()) for row in scores]
            elif isinstance(class_idx, int):
                class_idx = (class_idx,) * len(images)
            if len(class_idx) != len(images) or min(class_idx) < 0 or max(class_idx) >= count:
                raise ValueError("classes")
            result = []
            for i, index in enumerate(class_idx):
                gradient = torch.autograd.grad(scores[i, index], seen["zeros"], retain_graph=True)[0][i]
                total = sum(g.sum() * m for g, m in zip(gradient, seen["maps"][i]))
                total = total.clamp(min=0)
                result.append(total / total.max() if total.any() else total)
            return torch.stack(result).detach()
    finally:
        handle.remove()
        for module, training in was.items():
            module.training = training
""",
    ),
    Alternative(
        id="patched-forward",
        title="the layer's forward replaced for the time of the pass, einsum",
        code="""
import contextlib


@contextlib.contextmanager
def watched(model, layer):
    store = []
    modes = {name: module.training for name, module in model.named_modules()}
    original = layer.forward

    def forward(*args, **kwargs):
        output = original(*args, **kwargs)
        output = output.detach().clone().requires_grad_(True)
        store.append(output)
        return output * 1.0

    layer.forward = forward
    model.eval()
    try:
        yield store
    finally:
        del layer.forward
        for name, module in model.named_modules():
            module.training = modes[name]


def grad_cam(model, layer, images, class_idx=None):
    with watched(model, layer) as store, torch.enable_grad():
        scores = model(images)
        if len(store) == 0:
            raise ValueError("layer not executed")
        (maps,) = store
        if len(maps.shape) != 4:
            raise ValueError("maps")
        n, k = scores.shape
        if class_idx is None:
            target = scores.argmax(1)
        else:
            target = torch.tensor([class_idx] * n if isinstance(class_idx, int) else class_idx, dtype=torch.long)
        if target.shape != (n,) or (target < 0).any() or (target >= k).any():
            raise ValueError("class")
        picked = scores.gather(1, target[:, None]).sum()
        gradient = torch.autograd.grad(picked, maps)[0]
    cam = torch.einsum("nk,nkhw->nhw", gradient.flatten(2).mean(-1), maps.detach())
    cam = torch.clamp(cam, min=0)
    top = cam.flatten(1).max(dim=1).values
    top[top == 0] = 1
    return cam / top[:, None, None]
""",
    ),
    Alternative(
        id="copy-of-the-model",
        title="a deep copy of the model with a hook that keeps the graph of the copy",
        code="""
import copy


def grad_cam(model, layer, images, class_idx=None):
    path = [name for name, module in model.named_modules() if module is layer]
    if not path:
        raise ValueError("layer is not a part of the model")
    twin = copy.deepcopy(model).eval()
    twin.requires_grad_(True)
    kept = []

    def hook(module, arguments, output):
        kept.append(output)
        return output.clone()

    twin.get_submodule(path[0]).register_forward_hook(hook)
    with torch.enable_grad():
        scores = twin(images.detach())
        maps = kept[0]
        if maps.dim() != 4:
            raise ValueError("maps")
        one_hot = torch.zeros_like(scores)
        best = scores.argmax(dim=1)
        for i in range(len(scores)):
            if class_idx is None:
                index = best[i]
            elif isinstance(class_idx, int):
                index = class_idx
            elif len(class_idx) == len(scores):
                index = class_idx[i]
            else:
                raise ValueError("one class for each image")
            if index < 0 or index >= scores.shape[1]:
                raise ValueError("no such class")
            one_hot[i, index] = 1
        gradient = torch.autograd.grad(scores, maps, grad_outputs=one_hot)[0]
    with torch.no_grad():
        cam = (gradient.sum((2, 3))[:, :, None, None] * maps).sum(1)
        cam = torch.maximum(cam, torch.zeros_like(cam))
        for i in range(len(cam)):
            if cam[i].max() > 0:
                cam[i] /= cam[i].max()
    return cam
""",
    ),
]

equivalent_mutants = {
    "1 -> 2 in `chosen[range(batch), classes] = 1`": "twice the gradient gives the same map after the division by its "
    "maximum",
}
