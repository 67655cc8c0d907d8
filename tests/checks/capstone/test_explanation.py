"""Hidden checks of capstone/explanation. Models and scores are built in the student's process, by the probes.

The independent path for patches is a table with the value of every coalition of patches, walked through in all orders
of arrival; a probe's score recognises which patches an image shows and looks their coalition up in the table.
"""

from __future__ import annotations

from itertools import permutations as all_orders

import numpy as np
import torch
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

ORDERS = np.array(list(all_orders(range(6))))  # (720, patches)


def uniform(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.random(shape)).float()


def game(rng: np.random.Generator) -> np.ndarray:
    """Value of each of the 64 coalitions of six patches, (64,): patches by themselves, pairs, and one triple."""
    member = np.arange(64)[:, None] >> np.arange(6) & 1  # (coalitions, patches)
    value = 0.5 + member @ rng.uniform(-0.3, 0.3, 6)
    for first, second in ((0, 1), (2, 5), (3, 4), (1, 4), (0, 5)):
        value += rng.choice([-1.0, 1.0]) * rng.uniform(1.0, 2.0) * member[:, first] * member[:, second]
    return value + 2.5 * member[:, 0] * member[:, 2] * member[:, 3]


def gains_of_all_orders(table: np.ndarray) -> np.ndarray:
    """What each patch earns in each of the 720 orders of arrival, (720, 6)."""
    gains = np.empty((720, 6))
    for number, order in enumerate(ORDERS):
        present = 0
        for patch in order:
            gains[number, patch] = table[present | 1 << patch] - table[present]
            present |= 1 << patch
    return gains


def cut_and_paste(image: Tensor, baseline: Tensor, keep: Tensor) -> Tensor:
    """One pixel after the other."""
    (n, rows, columns), (_, height, width) = keep.shape, image.shape
    result = torch.empty(n, 3, height, width, dtype=image.dtype)
    for number in range(n):
        for y in range(height):
            for x in range(width):
                kept = keep[number, y * rows // height, x * columns // width]
                result[number, :, y, x] = (image if kept else baseline)[:, y, x]
    return result


# ---------------------------------------------------------------- what runs in the student's process


def score_with_a_layer_that_drops(student, values, text):
    import torch
    from torch import nn

    class MeanTimesSum(nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout = nn.Dropout(0.7)

        def forward(self, images, texts):
            return self.dropout(images.mean(dim=(1, 2, 3)) * texts.sum(dim=1))

    model = MeanTimesSum()
    images = torch.tensor(values)[:, None, None, None].expand(len(values), 3, 4, 6).clone().requires_grad_()
    found = student.score_function(model, text, batch_size=2)(images)
    return found.detach(), found.requires_grad, model.training and model.dropout.training


def score_and_what_the_model_saw(student, images, text, batch_size, training, fails=False):
    """The scores or the error's name, and what the model was given, in which mode, and how it was left."""
    import torch
    from torch import nn

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.dropout = nn.BatchNorm2d(3), nn.Dropout(0.4)
            self.scale = nn.Parameter(torch.tensor(1.5))
            self.seen, self.recording, self.training_inside = [], [], []

        def forward(self, images, texts):
            if fails and self.seen:
                raise ArithmeticError("the second piece is too much")
            self.seen.append([len(images), list(texts.shape), str(texts.dtype)])
            self.recording.append(torch.is_grad_enabled())
            self.training_inside.append(any(module.training for module in self.modules()))
            numbers = texts.reshape(len(texts), -1).to(images.dtype).sum(dim=1)
            features = self.dropout(self.norm(images))
            return self.scale * (features * torch.linspace(0.5, 2.0, images.shape[-1])).mean(dim=(1, 2, 3)) * numbers

    torch.manual_seed(0)
    model = Spy().to(images.dtype)
    model.norm.running_mean.fill_(0.25)
    model.norm.running_var.fill_(2.0)
    model.train(training)
    model.norm.train(not training)  # one module is in the other mode
    modes = [module.training for module in model.modules()]
    buffers = [buffer.clone() for buffer in model.buffers()]
    score = student.score_function(model, text, batch_size)
    error, scores = None, torch.zeros(0)
    try:
        scores = score(images)
        again = score(images)
    except ArithmeticError as caught:
        error, again = type(caught).__name__, scores
    return {
        "error": error,
        "scores": scores.detach().clone(),
        "the same again": torch.equal(scores, again),
        "gradients": scores.requires_grad or any(model.recording) or not torch.is_grad_enabled(),
        "training inside": any(model.training_inside),
        "modes kept": modes == [module.training for module in model.modules()],
        "buffers kept": all(torch.equal(a, b) for a, b in zip(buffers, model.buffers(), strict=True)),
        "pieces": [piece[0] for piece in model.seen],
        "texts": [piece[1:] for piece in model.seen],
    }


def modality_values_of_a_table(student, table, as_tensors):
    import torch

    def value(present):
        found = table[sum({"image": 1, "text": 2}[name] for name in present)]
        return torch.tensor(found, dtype=torch.float64) if as_tensors else found

    values = student.modality_values(value)
    if not isinstance(values, dict):
        return type(values).__name__
    return {name: (type(number).__name__, float(number)) for name, number in values.items()}


def keep_and_its_arguments(student, image, baseline, keep):
    return student.keep_patches(image, baseline, keep), image, baseline, keep


def value_patches_of_a_game(student, table, grid, permutations, seed, dtype):
    """Patch values of a game, whose players are recognised in the images that are to be scored."""
    import torch

    rows, columns = grid
    kind = getattr(torch, dtype)
    image = 1 + torch.arange(3 * 2 * rows * 3 * columns, dtype=kind).reshape(3, 2 * rows, 3 * columns)
    baseline = -image
    corners = image[0, ::2, ::3]
    values_of = torch.as_tensor(table).to(kind)

    def score(images):
        present = (images[:, 0, ::2, ::3] == corners).reshape(len(images), -1)
        return values_of[(present.long() << torch.arange(rows * columns)).sum(dim=1)]

    generator = torch.Generator().manual_seed(seed)
    return student.patch_values(score, image, baseline, grid, permutations, generator)


def value_patches_and_watch(student, table, orders, seed):
    """What is true of patch values whatever the generator draws: for a correct answer, nothing depends on the draws."""
    import random

    import numpy as np
    import torch

    image = 1 + torch.arange(3 * 4 * 9, dtype=torch.float64).reshape(3, 4, 9)
    baseline = 0.5 - image
    given = image.clone(), baseline.clone()
    corners = image[0, ::2, ::3]
    values_of = torch.as_tensor(table)
    sizes, complete = [], []

    def score(images):
        sizes.append(len(images))
        kept = (images == image).all(dim=1).reshape(len(images), 2, 2, 3, 3)
        gone = (images == baseline).all(dim=1).reshape(len(images), 2, 2, 3, 3)
        complete.append(bool((kept.all(dim=(2, 4)) | gone.all(dim=(2, 4))).all()))
        present = (images[:, 0, ::2, ::3] == corners).reshape(len(images), -1)
        return values_of[(present.long() << torch.arange(6)).sum(dim=1)]

    def ask(permutations, generator):
        sizes.clear()
        return student.patch_values(score, image, baseline, (2, 3), permutations, generator).reshape(-1)

    def gains(order):
        found, present = torch.zeros(6, dtype=torch.float64), 0
        for patch in order:
            found[patch] = values_of[present | 1 << patch] - values_of[present]
            present |= 1 << patch
        return found

    chains = torch.stack([gains(order) for order in orders])  # (720, 6)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    generator = torch.Generator().manual_seed(seed)
    single = [ask(1, generator) for _ in range(12)]
    calls_for_one = len(sizes)
    several = [ask(permutations, torch.Generator().manual_seed(seed)) for permutations in (2, 3, 7)]
    calls_for_seven, images_for_seven = len(sizes), sum(sizes)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)
    again = ask(7, torch.Generator().manual_seed(seed))
    rise = (values_of[63] - values_of[0]).item()
    numbers = [(chains - found).abs().amax(dim=1) < 1e-8 for found in single]
    drawn = {int(fits.nonzero()[0, 0]) for fits in numbers if fits.any()}
    return {
        "whole patches": all(complete),
        "sums": [round(abs(found.sum().item() - rise), 6) for found in [*single[:1], *several]],
        "one permutation is an order of arrival": all(bool(fits.any()) for fits in numbers),
        "always the same order": len(drawn) < 2,
        "repeatable": torch.equal(several[-1], again),
        "calls": [calls_for_one, calls_for_seven],
        "too many images": images_for_seven > 7 * 7 + 2,
        "global states kept": torch.equal(before[0], after[0]) and before[1:] == after[1:],
        "arguments kept": torch.equal(image, given[0]) and torch.equal(baseline, given[1]),
    }


def curve_and_calls(student, name, image, baseline, values, weights):
    """A curve of a score that is not additive, the number of calls, and the arguments afterwards."""
    import torch

    calls = []

    def score(images):
        calls.append(len(images))
        flat = images.reshape(len(images), -1)
        return torch.tanh(flat @ weights[0].to(flat.dtype)) @ weights[1].to(flat.dtype)

    curve = getattr(student, name)(score, image, baseline, values)
    return curve, len(calls), image, baseline, values


def area_and_its_type(student, curve):
    area = student.area_under(curve)
    return type(area).__name__, float(area)


def make_a_score(student, batch_size):
    import torch

    student.score_function(torch.nn.Identity(), torch.zeros(2), batch_size)
    return "made"


def value_patches_of_zeros(student, image, baseline, grid, permutations):
    import torch

    generator = torch.Generator().manual_seed(0)
    return student.patch_values(
        lambda images: images.sum(dim=(1, 2, 3)), image, baseline, grid, permutations, generator
    )


def curve_of_sums(student, name, image, baseline, values):
    return getattr(student, name)(lambda images: images.sum(dim=(1, 2, 3)), image, baseline, values)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_a_score_of_three_images(student):
    """The score of the notebook: mean of the image times sum of the text, for three images in pieces of two."""
    scores, gradients, training = student.run(score_with_a_layer_that_drops, [1.0, 4.0, 2.0], torch.tensor([2, 3]))
    assert_close(scores, torch.tensor([5.0, 20.0, 10.0]), what="score", cause="the model has a dropout layer")
    if gradients:
        raise AssertionError("score(images) recorded gradients.")
    if not training:
        raise AssertionError("The model was in training mode before score(images), and it is not any more.")


@points(1)
@catches(
    "scored-in-training-mode",
    "left-in-eval-mode",
    "one-mode-for-all",
    "gradients-recorded",
    "gradients-off-for-good",
    "all-at-once",
)
def test_scoring_leaves_the_model_as_it_was(student, rng):
    """Scores are made in inference mode, without gradients, in pieces; afterwards every module is as before."""
    for case, dtype, text, batch_size, training in (
        ("training mode, 7 images in pieces of 3", torch.float32, torch.tensor([4, 1, 2]), 3, True),
        ("inference mode, 4 images in pieces of 4", torch.float64, torch.from_numpy(rng.random((2, 3))), 4, False),
        ("training mode, 2 images in pieces of 8", torch.float32, torch.tensor(3), 8, True),
        ("inference mode, 5 images in pieces of 1", torch.float32, torch.tensor([0.5, 1.5]), 1, False),
    ):
        count = int(case.split(", ")[1].split()[0])
        images = torch.from_numpy(rng.random((count, 3, 4, 6))).to(dtype)
        found = student.run(score_and_what_the_model_saw, images, text, batch_size, training)
        if found["training inside"]:
            raise AssertionError(f"The model was asked while some of its modules were in training mode ({case}).")
        if found["gradients"]:
            raise AssertionError(
                f"Gradients were recorded while the model was asked, or are not recorded any more afterwards ({case})."
            )
        if not found["modes kept"]:
            raise AssertionError(
                f"After score(images), a module is in another mode than before ({case}; one module was in the other "
                "mode all the time)."
            )
        if not found["buffers kept"]:
            raise AssertionError(f"The running statistics of the model's BatchNorm layer have moved ({case}).")
        if max(found["pieces"]) > batch_size:
            raise AssertionError(
                f"The model was given {max(found['pieces'])} images at once; batch_size is {batch_size} ({case})."
            )
        kinds = [[[size, *text.shape], str(text.dtype)] for size in found["pieces"]]
        assert_equal(found["texts"], kinds, what=f"list of the shapes and dtypes of the texts ({case})")
        numbers = text.double().sum().item()
        normalised = (images.double() - 0.25) / np.sqrt(2.0 + 1e-5)
        weighed = (normalised * torch.linspace(0.5, 2.0, 6).double()).mean(dim=(1, 2, 3))
        what = f"score ({case})"
        assert_shape(found["scores"], (count,), what=what)
        assert_dtype(found["scores"], str(dtype).removeprefix("torch."), what=what)
        assert_close(found["scores"].double(), 1.5 * weighed * numbers, rtol=1e-5, atol=1e-5, what=what)
        if not found["the same again"]:
            raise AssertionError(f"A second call of score with the same images gave other scores ({case}).")
    for training in (True, False):
        found = student.run(
            score_and_what_the_model_saw, uniform(rng, 5, 3, 4, 6), torch.tensor([1, 2]), 2, training, fails=True
        )
        if found["error"] != "ArithmeticError":
            raise AssertionError("The model raised an ArithmeticError, and score(images) did not pass it on.")
        if not found["modes kept"]:
            raise AssertionError("After the model raised an error, a module is in another mode than before.")


@points(1)
@catches("what-each-does-alone", "what-is-lost-without", "sum-of-both-orders", "nothing-is-worth-nothing", "shares")
def test_image_and_text_divide_the_score(student, rng):
    """The values of image and text are means over both orders of arrival, and add up to the whole rise."""
    tables = [
        [0.25, 1.0, 0.5, 4.0],
        [-1.0, 0.5, 3.0, 2.0],
        [0.5, 0.5, 2.0, 2.0],
        [1.0, 2.0, 3.0, 1.0],  # together they are worth nothing
        *rng.normal(size=(3, 4)).tolist(),
    ]
    for number, (none, image, text, both) in enumerate(tables):
        case = f"none {none:.3g}, image {image:.3g}, text {text:.3g}, both {both:.3g}"
        found = student.run(modality_values_of_a_table, [none, image, text, both], number % 2 == 1)
        if not isinstance(found, dict) or set(found) != {"image", "text"}:
            raise AssertionError(f"modality_values returned {found}; it should return a dict of 'image' and 'text'.")
        for name, first, second in (("image", image - none, both - text), ("text", text - none, both - image)):
            kind, value = found[name]
            if kind != "float":
                raise AssertionError(f"The value of {name!r} is a {kind}; it should be a float ({case}).")
            assert_close(value, 0.5 * first + 0.5 * second, rtol=1e-9, atol=1e-9, what=f"value of {name!r} ({case})")


@points(1)
@catches(
    "black-baseline", "kept-and-gone-swapped", "rows-taken-for-columns", "patches-interleaved", "image-overwritten"
)
def test_patches_are_kept_where_they_are(student, rng):
    """Each patch of the grid shows the image where it is kept, and the baseline where it is not."""
    for grid, size, dtype in (
        ((2, 3), (4, 9), torch.float32),
        ((3, 2), (6, 4), torch.float64),
        ((1, 4), (2, 8), torch.float32),
        ((2, 2), (2, 6), torch.float32),
    ):
        image = torch.from_numpy(rng.random((3, *size))).to(dtype)
        baseline = torch.from_numpy(rng.random((3, *size))).to(dtype)
        keep = torch.from_numpy(rng.random((5, *grid)) < 0.4)
        keep[0], keep[1] = True, False
        keep[2] = False
        keep[2, 0, -1] = True  # the upper right corner alone
        case = f"{size[0]}x{size[1]} pixels, a grid of {grid[0]}x{grid[1]}"
        for chosen in (keep, keep[2:3]):
            result, *after = student.run(keep_and_its_arguments, image, baseline, chosen)
            assert_shape(result, (len(chosen), 3, *size), what=f"result of keep_patches ({case})")
            assert_dtype(result, str(dtype).removeprefix("torch."), what=f"result of keep_patches ({case})")
            for name, value_after, value in zip(
                ("image", "baseline", "keep"), after, (image, baseline, chosen), strict=True
            ):
                assert_unchanged(value_after, value, what=f"argument {name} of keep_patches ({case})")
            expected = cut_and_paste(image, baseline, chosen)
            for number, kept in enumerate(chosen):
                what = f"result of keep_patches ({case}) for keep {kept.int().tolist()}"
                assert_equal(result[number], expected[number], what=what)


@points(2)
@catches(
    "one-at-a-time",
    "leave-one-out",
    "divided-by-the-patches",
    "not-averaged",
    "one-permutation-for-all",
    "rises-left-in-order-of-arrival",
    "values-transposed",
)
def test_patch_values_approach_the_shapley_values(student, rng, seed):
    """With many permutations, the values come as near to the exact Shapley values as chance allows."""
    for grid, dtype, many in (((2, 3), "float64", 500), ((3, 2), "float32", 300)):
        table = game(rng)
        gains = gains_of_all_orders(table)
        exact, spread = gains.mean(axis=0), gains.std(axis=0)  # (patches,)
        values = student.run(value_patches_of_a_game, table, grid, many, seed, dtype)
        what = f"tensor of patch values (grid {grid[0]}x{grid[1]}, {many} permutations)"
        assert_shape(values, grid, what=what)
        assert_dtype(values, dtype, what=what)
        far = np.abs(values.double().numpy().reshape(-1) - exact) / (spread / many**0.5 + 1e-5)
        if not (far < 6).all():  # six standard errors: once in some hundred million
            patch = int(np.argmax(~(far < 6)))
            row, column = divmod(patch, grid[1])
            raise AssertionError(
                f"The {what} is {values[row, column].item():.4g} at row {row}, column {column}; the exact Shapley "
                f"value there is {exact[patch]:.4g}, and with so many permutations one may be off by "
                f"{6 * spread[patch] / many**0.5:.2g} at most."
            )


@points(1)
@catches("drawn-with-replacement", "never-shuffled", "global-permutations", "one-image-a-call", "last-patch-forgotten")
def test_every_permutation_divides_the_whole_rise(student, rng, seed):
    """However few permutations: the values add up, come from orders drawn from the generator, in few calls."""
    found = student.run(value_patches_and_watch, game(rng), ORDERS.tolist(), seed)
    if not found["whole patches"]:
        raise AssertionError("score was given an image in which a patch is neither the image's nor the baseline's.")
    for permutations, gap in zip((1, 2, 3, 7), found["sums"], strict=True):
        if not gap < 1e-6:
            raise AssertionError(
                f"With permutations={permutations}, the patch values add up to something that is {gap:.3g} away from "
                "the score of the image minus the score of the baseline."
            )
    if not found["one permutation is an order of arrival"]:
        raise AssertionError(
            "With permutations=1, the patch values are not what the patches earn in any of the 720 orders of arrival."
        )
    if found["always the same order"]:
        raise AssertionError("In twelve calls with permutations=1, the patches came in in the same order each time.")
    if not found["repeatable"]:
        raise AssertionError("Two generators in the same state gave different patch values.")
    if not found["global states kept"]:
        raise AssertionError("The global random state of torch, numpy or random was changed.")
    if not found["arguments kept"]:
        raise AssertionError("The image or the baseline was changed in place.")
    for permutations, calls in zip((1, 7), found["calls"], strict=True):
        if calls > permutations + 2:
            raise AssertionError(
                f"score was called {calls} times for permutations={permutations}; {permutations + 2} calls are enough."
            )
    if found["too many images"]:
        raise AssertionError("For 7 permutations of 6 patches, score was given more than 7 images for each of them.")


@points(1)
@catches(
    "least-valuable-first",
    "curves-swapped",
    "largest-in-size-first",
    "ends-left-out",
    "curve-down-the-columns",
    "one-call-a-point",
)
def test_curves_take_the_most_valuable_patch_first(student, rng):
    """Deletion and insertion take patches from the largest value to the smallest, with both ends, in one call."""
    for name in ("deletion_curve", "insertion_curve"):
        for grid, size, dtype in (
            ((2, 3), (4, 9), "float32"),
            ((4, 1), (4, 3), "float64"),
            ((1, 1), (2, 2), "float32"),
        ):
            kind = getattr(torch, dtype)
            image, baseline = (torch.from_numpy(rng.random((3, *size))).to(kind) for _ in range(2))
            count = grid[0] * grid[1]
            values = torch.from_numpy(rng.permutation(count) - 0.6 * count).reshape(grid)  # distinct, half negative
            weights = [torch.from_numpy(rng.normal(size=shape)) for shape in ((image.numel(), 5), (5,))]
            what = f"result of {name} (grid {grid[0]}x{grid[1]}, values {values.tolist()})"
            curve, calls, *after = student.run(curve_and_calls, name, image, baseline, values, weights)

            expected, keep = [], torch.full((1, *grid), name == "deletion_curve")
            order = sorted(range(count), key=lambda patch, values=values: -values.flatten()[patch].item())
            for patch in [None, *order]:
                if patch is not None:
                    keep[0, patch // grid[1], patch % grid[1]] = name == "insertion_curve"
                flat = cut_and_paste(image, baseline, keep).double().flatten()
                expected.append((torch.tanh(flat @ weights[0]) @ weights[1]).item())
            assert_shape(curve, (count + 1,), what=what)
            assert_dtype(curve, dtype, what=what)
            assert_close(curve.double(), torch.tensor(expected).double(), rtol=1e-4, atol=1e-5, what=what)
            if calls != 1:
                raise AssertionError(f"{name} called score {calls} times; one call with all images is enough.")
            for argument, value_after, value in zip(
                ("image", "baseline", "values"), after, (image, baseline, values), strict=True
            ):
                assert_unchanged(value_after, value, what=f"argument {argument} of {name}")


@points(1)
@catches("mean-of-the-points", "width-forgotten", "without-the-ends", "divided-by-the-points", "area-in-float32")
def test_the_area_is_that_of_trapezoids(student, rng):
    """The area is that under straight lines from point to point, over an axis from 0 to 1, in float64."""
    for case, curve in (
        ("four points", torch.tensor([3.0, -1.0, 2.0, 8.0])),
        ("two points", torch.tensor([1.0, 4.0], dtype=torch.float64)),
        ("a flat curve", torch.full((7,), 2.5)),
        ("random points", torch.from_numpy(rng.normal(size=9))),
        ("large float32 numbers", torch.from_numpy(1e4 + 100 * rng.random(12)).float()),
    ):
        heights = curve.double().tolist()
        width = 1.0 / (len(heights) - 1)
        expected = 0.0
        for left, right in zip(heights[:-1], heights[1:], strict=True):
            expected += width * min(left, right) + width * abs(right - left) / 2
        kind, area = student.run(area_and_its_type, curve)
        if kind != "float":
            raise AssertionError(f"area_under ({case}) returned a {kind}; it should be a float.")
        assert_close(area, expected, rtol=1e-9, atol=1e-12, what=f"area ({case})")


@points(1)
@catches("no-piece-at-all", "uneven-patches", "baseline-broadcast", "no-permutations", "values-unchecked", "one-point")
def test_what_cannot_be_explained_is_refused(student, rng):
    """Empty pieces, grids and baselines that do not fit, no permutation, strange values and single points."""
    image, baseline = uniform(rng, 3, 4, 6), uniform(rng, 3, 4, 6)
    for batch_size in (0, -3):
        with raises(ValueError, what=f"score_function with batch_size {batch_size}"):
            student.run(make_a_score, batch_size)
    assert_equal(student.run(make_a_score, 1), "made", what="word of the probe")
    for what, other, grid in (
        ("a grid of 3x2 for 4x6 pixels", baseline, (3, 2)),
        ("a grid of 2x4 for 4x6 pixels", baseline, (2, 4)),
        ("a baseline of another width", baseline[:, :, :3], (2, 3)),
        ("a baseline of shape (3, 1, 1)", baseline[:, :1, :1], (2, 3)),
    ):
        with raises(ValueError, what=f"keep_patches with {what}"):
            student.keep_patches(image, other, torch.ones(2, *grid, dtype=torch.bool))
        with raises(ValueError, what=f"patch_values with {what}"):
            student.run(value_patches_of_zeros, image, other, grid, 2)
        with raises(ValueError, what=f"deletion_curve with {what}"):
            student.run(
                curve_of_sums, "deletion_curve", image, other, torch.arange(grid[0] * grid[1]).reshape(grid) / 7
            )
    for permutations in (0, -1):
        with raises(ValueError, what=f"patch_values with permutations={permutations}"):
            student.run(value_patches_of_zeros, image, baseline, (2, 3), permutations)
    values = torch.arange(6.0).reshape(2, 3)
    for name in ("deletion_curve", "insertion_curve"):
        for what, strange in (
            ("values of one axis", values[0]),
            ("values of three axes", values[None]),
            ("a value NaN", torch.where(values == 4, torch.nan, values)),
            ("a value minus infinity", torch.where(values == 2, -torch.inf, values)),
        ):
            with raises(ValueError, what=f"{name} with {what}"):
                student.run(curve_of_sums, name, image, baseline, strange)
    for what, curve in (("one point", torch.ones(1)), ("no point", torch.ones(0)), ("two axes", torch.ones(3, 3))):
        with raises(ValueError, what=f"area_under of {what}"):
            student.area_under(curve)
