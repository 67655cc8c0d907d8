# %% [markdown]
# # Grad-CAM
#
# A classifier says "dog" and is right. Did it look at the dog, or at the leash that is in all dog photos of your
# fine-tuning set? Grad-CAM turns the question into a picture: where in the image are the features that speak for this
# class? It needs one forward and one backward pass and no change to the network, and it is easily got almost right: a
# softmax too many, a sum over the wrong axes or a forgotten hook, and the picture still looks convincing. Here you
# answer the interview question in your own words, judge eight claims about it, and write the method.
#
# Plan about 50 minutes: 15 for the answer, 5 for the claims, 30 for the code.

# %%
from collections.abc import Sequence

import torch
from torch import Tensor, nn

# %% [markdown]
# ## The question
#
# *"You have fine-tuned a vision-language model and have to explain its predictions. How does the model stay
# interpretable: which methods say what a prediction rests on, and how do you know that they tell the truth?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *methods for one prediction*: at least two, what each of them computes, one of them made for transformers;
# - *modalities*: how to say how much the text and how much the image counted, and what comes out in the end;
# - *tests of an explanation*: at least two ways to find out that an explanation is wrong, and what changes when the
#   model is fine-tuned;
# - *the limits*: what is often called an explanation and is none, and what else there is beside these methods.

# %% [markdown] tags=["answer"]
# **Model answer.** "For a single prediction I begin with gradients. Grad-CAM takes the gradient of the score of one
# class with respect to the feature maps of a layer, averages it into one weight for each channel, and shows where the
# weighted sum is positive. Integrated gradients add up the gradient along a path from a baseline to the input; the
# attributions sum to the difference of the two outputs. For transformers there is attention rollout, which multiplies
# the attention of the layers, residual connections included, and, for models that join text and image, a relevance
# that weights the attention with gradients.
#
# How much each modality counted is a question of its own. Shapley values share the prediction out among tokens and
# patches by taking them away in all combinations or in a sample of them. MM-SHAP adds up the absolute values for the
# text and for the image and reports the two shares. A text share near 1 in a model that should look at pictures is a
# finding, whatever its accuracy.
#
# None of this is true because it looks plausible. I replace the trained weights by random ones: if the map stays the
# same, it says nothing about what was learned. I delete the regions in the order of their importance, or insert them,
# and watch whether the score follows. I compare the explanations before and after fine-tuning on the same samples,
# since a model may keep its accuracy and find a shortcut.
#
# Attention weights alone are no faithful explanation in general; when they are one is debated. Pruning and other
# compression serve size and speed: fewer weights are not an explanation. A plot of parameters is the same for every
# input. Beside these methods there are outputs that can be checked, such as boxes or citations, while a chain of
# thought is not guaranteed to be how the answer came about; probing classifiers, sparse autoencoders and
# counterfactual inputs look at the inside or change the input by hand."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, methods for one prediction: two of Grad-CAM, integrated gradients, attention rollout, gradient-weighted
#   relevance, Shapley values, with what is computed; at least one of them for transformers.
# - 1 point, modalities: attributions summed by modality (MM-SHAP), or another way to take a modality away; the result
#   is a share for each modality, which does not depend on whether the prediction is right.
# - 1 point, tests: two of weight randomisation, deletion or insertion, counterfactual inputs, comparison with a known
#   answer; and a comparison before and after fine-tuning.
# - 1 point, the limits: pruning is no explanation, attention weights are not faithful in general, or a plot of
#   parameters explains no prediction (two of them); and one of grounded outputs, probing, sparse autoencoders.
#
# **References of the model answer**
#
# - Samira Abnar, Willem Zuidema (2020). *Quantifying Attention Flow in Transformers.*
# - Julius Adebayo, Justin Gilmer, Michael Muelly, et al. (2018). *Sanity Checks for Saliency Maps.*
# - Hila Chefer, Shir Gur, Lior Wolf (2021). *Generic Attention-model Explainability for Interpreting Bi-Modal and
#   Encoder-Decoder Transformers.*
# - Sarthak Jain, Byron C. Wallace (2019). *Attention is not Explanation.*
# - Scott M. Lundberg, Su-In Lee (2017). *A Unified Approach to Interpreting Model Predictions.*
# - Letitia Parcalabescu, Anette Frank (2023). *MM-SHAP: A Performance-agnostic Metric for Measuring Multimodal
#   Contributions in Vision and Language Models & Tasks.*
# - Sofia Serrano, Noah A. Smith (2019). *Is Attention Interpretable?*
# - Mukund Sundararajan, Ankur Taly, Qiqi Yan (2017). *Axiomatic Attribution for Deep Networks.*
# - Sarah Wiegreffe, Yuval Pinter (2019). *Attention is not not Explanation.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are often published as advice. All of them must be right for the
# 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `pruning_explains` | Setting 90 % of the weights to zero shows what a prediction rests on: compression explains. |
# | `attention_is_the_reason` | Attention weights are, by the way they are built, a faithful account of a decision. |
# | `picture_of_weights` | A plot of the model's weights shows which part of this photo led to this prediction. |
# | `plausible_means_faithful` | A map that marks what a person would look at has thereby been shown to be true. |
# | `random_weights_test` | A method that draws the same map for random weights tells nothing about what was learned. |
# | `probability_will_do` | With ten classes, the gradient of the softmax probability leads to the same Grad-CAM map. |
# | `cam_is_contained` | Feature maps, global average pooling, a linear layer: there Grad-CAM is CAM with a ReLU. |
# | `any_class_can_be_asked` | Grad-CAM can show what speaks for a class that the model did not predict. |
#
# Maps are compared after dividing each by its maximum. CAM adds up the feature maps with the weights that the linear
# layer has for the class (Zhou et al., 2016).

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "pruning_explains",
        "attention_is_the_reason",
        "picture_of_weights",
        "plausible_means_faithful",
        "random_weights_test",
        "probability_will_do",
        "cam_is_contained",
        "any_class_can_be_asked",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # Pruning serves size and speed. What is left of the network is as opaque as before and names no part of the input.
    pruning_explains=False,
    # Other weights can lead to the same prediction (Jain and Wallace, 2019), and the values and later layers count too.
    attention_is_the_reason=False,
    # Weights are the same for every photo, so they cannot tell two predictions apart.
    picture_of_weights=False,
    # It may follow edges in the image and ignore the model; people like such maps (Adebayo et al., 2018).
    plausible_means_faithful=False,
    # The map then depends on the image alone; this is the randomisation test (Adebayo et al., 2018).
    random_weights_test=True,
    # The gradient of p_c also contains the logits of all other classes, weighted with their probabilities.
    probability_will_do=False,
    # The gradient at the feature maps is then w_ck / (height * width) everywhere (Selvaraju et al., 2017).
    cam_is_contained=True,
    # Every class has a score, and so a gradient; the paper draws "cat" and "dog" for one image.
    any_class_can_be_asked=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Write `grad_cam(model, layer, images, class_idx=None)`.
#
# | argument | | meaning |
# |---|---|---|
# | `model` | `nn.Module` | `model(images)` gives the scores `(batch, classes)`, before any softmax |
# | `layer` | `nn.Module` | the part of the model to look at; it runs once and returns one tensor, the *feature maps* |
# | `images` | `(batch, 3, H, W)`, floating | the input |
# | `class_idx` | `int`, list or tuple of `batch` ints, or `None` | the class to explain; `None`: the predicted one |
#
# It returns one map for each image, `(batch, height, width)`, in the size and dtype of the feature maps
# `(batch, channels, height, width)`, between 0 and 1, without gradient. For each image by itself:
#
# 1. Take the gradient of **the score of its class** with respect to the feature maps.
# 2. The weight of a channel is the mean of that gradient over height and width.
# 3. Add up the channels with these weights, and set what is negative to 0.
# 4. Divide by the largest value of the map, so that it becomes 1, however small it was (1e-9, for example). A map that
#    is 0 everywhere stays 0.
#
# Rules:
#
# - One `int` stands for all images, a list gives each image its own class, and `None` means for each image the class of
#   its highest score. 0 is a class like any other.
# - The pass is made in evaluation mode (what `model.eval()` sets), whatever the mode of the model. The images do not
#   influence each other there.
# - The function works on a frozen model (no parameter requires a gradient) and inside `torch.no_grad()`, too.
# - The feature maps are what `layer` returned, even if the next layer overwrites them in place, as
#   `nn.ReLU(inplace=True)` does.
# - Afterwards everything is as before: the mode of every module by itself, all hooks (those of others are still there,
#   yours are gone) and attributes of the modules, buffers, `requires_grad` and `.grad` of the parameters and of
#   `images`, and whether gradients are recorded. This also holds when an error is raised.
# - `ValueError` if a class is not one of 0 … classes − 1, if a list does not have one class for each image, if the
#   feature maps do not have four dimensions, or if `layer` did not run. Errors of the model itself pass through.
#
# Everything in PyTorch is allowed. You may assume that the scores depend on the feature maps.
#
# **Worked example.** One image, two channels of size 1×3:
#
# | channel | feature map | gradient of the score | weight |
# |---|---|---|---|
# | 0 | `[4, 3, 0]` | `[3, 0, 0]` | 1 |
# | 1 | `[1, 2, 2]` | `[0, -3, 0]` | −1 |
#
# The weighted sum is `[3, 1, -2]`, without the negative part `[3, 1, 0]`, and the map `[1, 1/3, 0]`.


# %% tags=["solution"]
def grad_cam(
    model: nn.Module, layer: nn.Module, images: Tensor, class_idx: int | Sequence[int] | None = None
) -> Tensor:
    """Show where the feature maps of a layer speak for a class: Grad-CAM (Selvaraju et al., 2017).

    model: maps images (batch, 3, H, W) to scores (batch, classes). layer: a module of it that runs once and returns
    feature maps (batch, channels, height, width). class_idx: one class, one for each image, or None, the predicted.

    Returns maps (batch, height, width) in [0, 1], in the dtype of the feature maps, without gradient.
    Raises ValueError for a class out of range, another number of classes than of images, feature maps that have not
    four dimensions, and a layer that did not run.
    """
    ### BEGIN SOLUTION
    captured: list[Tensor] = []

    def capture(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        # the feature maps become a fresh leaf, so that a frozen model has a gradient there and parameters get none;
        # the model goes on with a copy, which it may overwrite
        captured.append(output.detach().requires_grad_())
        return captured[-1].clone()

    modes = [(module, module.training) for module in model.modules()]
    handle = layer.register_forward_hook(capture)
    try:
        model.eval()
        with torch.enable_grad():
            scores = model(images)  # (batch, classes)
    finally:
        handle.remove()
        for module, training in modes:
            module.training = training

    if not captured:
        raise ValueError("the layer did not run in the forward pass of the model")
    features = captured[-1]  # (batch, channels, height, width)
    if features.ndim != 4:
        raise ValueError(f"feature maps must have four dimensions, not shape {tuple(features.shape)}")
    batch, n_classes = scores.shape
    if class_idx is None:
        class_idx = scores.argmax(dim=1).tolist()
    classes = [class_idx] * batch if isinstance(class_idx, int) else list(class_idx)
    if len(classes) != batch or not all(0 <= index < n_classes for index in classes):
        raise ValueError(f"expected one of the {n_classes} classes for each of the {batch} images, not {class_idx}")

    # gradient of each image's score; images do not influence each other in evaluation mode, so one pass is enough
    chosen = torch.zeros_like(scores)  # (batch, classes)
    chosen[range(batch), classes] = 1
    (gradient,) = torch.autograd.grad(scores, features, grad_outputs=chosen)  # (batch, channels, height, width)

    # weight of a channel = mean of its gradient over height and width
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # (batch, channels, 1, 1)
    # map = positive part of the weighted sum of the channels, divided by its maximum
    maps = (weights * features.detach()).sum(dim=1).relu()  # (batch, height, width)
    peak = maps.amax(dim=(1, 2), keepdim=True)  # (batch, 1, 1)
    return torch.where(peak > 0, maps / peak, maps)
    ### END SOLUTION


# %% [markdown]
# **Try it.** The convolution hands on red and green as they are, two channels of size 1×3. The linear layer behind it
# has no bias, so its weights are the gradients. The two images are asked about two classes, then about the predicted.

# %% tags=["visible-checks", "active-ipynb"]
# model = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.Flatten(), nn.Linear(6, 3, bias=False))
# with torch.no_grad():
#     model[0].weight.copy_(torch.eye(2, 3)[:, :, None, None])
#     model[2].weight.copy_(
#         torch.tensor(
#             [
#                 [2.0, 2.0, 5.0, -3.0, 0.0, 0.0],  # class 0: weights 3 for red and -1 for green
#                 [-1.0, 0.0, 0.0, 0.0, -2.0, 1.0],
#                 [0.0, 0.0, -3.0, 1.0, 5.0, 3.0],  # class 2: weights -1 and 3
#             ]
#         )
#     )
# first = [[6.0, 3.0, 0.0], [2.0, 1.0, 4.0], [9.0, 9.0, 9.0]]  # red, green, blue
# second = [[0.0, 2.0, 4.0], [1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
# images = torch.tensor([first, second])[:, :, None, :]  # (2, 3, 1, 3)
#
# maps = grad_cam(model, model[0], images, class_idx=[0, 2])
# assert maps.shape == (2, 1, 3), f"the shape is {tuple(maps.shape)}; one map of size 1x3 for each image"
# torch.testing.assert_close(maps[:, 0], torch.tensor([[1.0, 0.5, 0.0], [1.0, 0.0, 2 / 3]]))
# maps = grad_cam(model, model[0], images)  # the predicted classes are 2 and 0
# torch.testing.assert_close(maps[:, 0], torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.6, 1.0]]))

# %% [markdown]
# **Look at it.** A picture with a red disc and a green square, and a small network that knows both. Its last feature
# maps are 6×8, so the maps are coarse; enlarging them to the size of the image only smooths them.

# %% tags=["active-ipynb"]
# import matplotlib.pyplot as plt
#
# rows, columns = torch.meshgrid(torch.arange(24), torch.arange(32), indexing="ij")
# picture = 0.3 + 0.1 * torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(3))
# picture[0, (rows - 8) ** 2 + (columns - 8) ** 2 < 25] = 0.9
# picture[1, (rows > 11) & (rows < 20) & (columns > 18) & (columns < 27)] = 0.9
#
# pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
# network = nn.Sequential(nn.Conv2d(3, 2, 4, stride=4), nn.ReLU(), pooled, nn.Linear(2, 2))
# with torch.no_grad():  # one channel for red, one for green; a disc is red, a square is green
#     colours = torch.tensor([[1.0, -0.5, -0.5], [-0.5, 1.0, -0.5]])
#     network[0].weight.copy_(colours[:, :, None, None].expand(2, 3, 4, 4) / 16)
#     network[3].weight.copy_(torch.tensor([[1.0, -0.6], [-0.6, 1.0]]))
#     network[0].bias.zero_()
#     network[3].bias.zero_()
#
# _, axes = plt.subplots(1, 3, figsize=(11, 3))
# axes[0].set_title("image")
# for panel, name, index in zip(axes[1:], ["disc", "square"], [0, 1]):
#     heat = grad_cam(network, network[1], picture[None], class_idx=index)[0]  # (6, 8)
#     panel.set_title(f'what speaks for "{name}"')
#     panel.imshow(heat, extent=(0, 32, 24, 0), interpolation="bilinear", cmap="inferno", zorder=1)
# for panel in axes:
#     panel.imshow(picture.permute(1, 2, 0), extent=(0, 32, 24, 0), alpha=1.0 if panel is axes[0] else 0.4, zorder=2)
#     panel.axis("off")
# plt.show()

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Explaining the images one by one, or in a batch with others, must give the same maps, in any order and whatever
# classes the others are asked about. And calling the function twice must give the same as calling it once. Which of
# your lines lets images, or calls, see each other?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A forward hook sees what a layer returns, and what the hook returns takes its place. So the hook may hand on another
# tensor with the same values, one for which a gradient can be asked, even if nothing in front of it has any.
# `torch.autograd.grad` returns the gradient that you ask for and writes none into the parameters. The score is taken
# before the softmax because a probability also rises when the other classes fall.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Note the mode of every module, register the hook, switch to evaluation mode and run the model with gradients recorded;
# in a `finally`, remove the hook and give each module its mode back. Check what the hook saw, and the classes. Ask for
# the gradient of one score of each image, or of their sum, at the feature maps; what you compute from the scores has to
# be recorded as well. Average over the two spatial axes, keep these axes, multiply, sum over the channels, cut off
# below 0, and divide where there is something to divide by.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# maps = output.detach().requires_grad_()  # in the hook, which hands on maps.clone(): nothing can overwrite maps then
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Ramprasaath R. Selvaraju, Michael Cogswell, Abhishek Das, et al. (2017). *Grad-CAM: Visual Explanations from Deep
#   Networks via Gradient-Based Localization.*
# - Bolei Zhou, Aditya Khosla, Àgata Lapedriza, et al. (2016). *Learning Deep Features for Discriminative Localization.*
#   The method called CAM.
#
# The works behind the model answer are listed there, in the solution: their titles would answer the question.
