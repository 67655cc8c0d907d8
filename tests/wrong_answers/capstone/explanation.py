"""Wrong answers and differently written correct ones for capstone/explanation.

Every mistake of the specification has an entry. "Values not summing to score(full) - score(empty)" is what
one-at-a-time, divided-by-the-patches, not-averaged, drawn-with-replacement and last-patch-forgotten have in common.
"""

from grader.catalogue import Alternative, WrongAnswer

SCORE = "test_scoring_leaves_the_model_as_it_was"
MODALITIES = "test_image_and_text_divide_the_score"
PATCHES = "test_patches_are_kept_where_they_are"
VALUES = "test_patch_values_approach_the_shapley_values"
ORDERS = "test_every_permutation_divides_the_whole_rise"
CURVES = "test_curves_take_the_most_valuable_patch_first"
AREA = "test_the_area_is_that_of_trapezoids"
REFUSED = "test_what_cannot_be_explained_is_refused"

DIVIDE = """    return {"image": ((image - none) + (both - text)) / 2, "text": ((text - none) + (both - image)) / 2}
"""
CHOOSE = "    return torch.where(mask[:, None], image, baseline)  # mask (n, 1, height, width)\n"
DRAW = "        order = torch.randperm(patches, generator=generator)\n"
EARN = "        earned.append(scores.diff()[place])  # (patches,): patch p came in as number place[p]\n"
MEAN = "    return torch.stack(earned).mean(dim=0).reshape(rows, columns)\n"
LOOP = "    for _ in range(permutations):\n"
SCORED = "        scores = score(keep_patches(image, baseline, present.reshape(-1, rows, columns)))  # (patches + 1,)\n"
SORTED = "    place = values.flatten().argsort(descending=True).argsort()  # (patches,): when each comes in\n"
CURVE = "    return score(keep_patches(image, baseline, present.reshape(-1, *values.shape)))\n"
DELETE = "    return insertion_curve(score, image, baseline, -values).flip(0)\n"
AREA_LINE = "    return ((curve[1:] + curve[:-1]) / 2).mean().item()\n"

wrong_answers = [
    WrongAnswer(
        id="one-at-a-time",
        title="what each patch does alone, on the bare baseline",
        explanation=(
            "Showing one patch at a time and noting the rise is occlusion, not the Shapley value: a patch that only "
            "counts together with another gets nothing, and the values do not add up to the whole rise. Who else can "
            "be there when a patch comes in?"
        ),
        caught_by=VALUES,
        swap=(
            (EARN, "        earned.append(scores.diff())\n"),
            (
                MEAN,
                "    alone = torch.cat([torch.zeros(1, patches), torch.eye(patches)]).bool().reshape(-1, rows, columns)\n"
                "    scores = score(keep_patches(image, baseline, alone))\n"
                "    return (scores[1:] - scores[0]).reshape(rows, columns)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="leave-one-out",
        title="what the whole image loses without each patch",
        explanation=(
            "Covering one patch at a time and noting the loss is occlusion, not the Shapley value: of two patches "
            "that show the same, neither is missed, and both get nothing. The whole image is one of many situations "
            "in which a patch may be there or not."
        ),
        caught_by=VALUES,
        swap=(
            (EARN, "        earned.append(scores.diff())\n"),
            (
                MEAN,
                "    without = torch.cat([torch.ones(1, patches), 1 - torch.eye(patches)]).bool()\n"
                "    scores = score(keep_patches(image, baseline, without.reshape(-1, rows, columns)))\n"
                "    return (scores[0] - scores[1:]).reshape(rows, columns)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="divided-by-the-patches",
        title="the sum of what patches earn divided by the number of patches",
        explanation=(
            "A mean over permutations divides by the number of permutations. What is the sum of all values in your "
            "case, and what should it be?"
        ),
        caught_by=VALUES,
        swap=((MEAN, "    return (torch.stack(earned).sum(dim=0) / patches).reshape(rows, columns)\n"),),
    ),
    WrongAnswer(
        id="not-averaged",
        title="what patches earn added up over all permutations",
        explanation=(
            "The values grow with the number of permutations: they are sums where means are asked for. Every "
            "permutation by itself divides the whole rise already."
        ),
        caught_by=VALUES,
        swap=((MEAN, "    return torch.stack(earned).sum(dim=0).reshape(rows, columns)\n"),),
    ),
    WrongAnswer(
        id="one-permutation-for-all",
        title="one permutation, drawn once and used again and again",
        explanation=(
            "The mean of the same numbers is one of them: more permutations change nothing, and whoever comes late in "
            "your one order gets the credit for all that works together only. The sum is right nevertheless. Where "
            "does the order get drawn?"
        ),
        caught_by=VALUES,
        swap=((LOOP + DRAW, DRAW[4:] + LOOP),),
    ),
    WrongAnswer(
        id="rises-left-in-order-of-arrival",
        title="rises averaged by the place of arrival instead of by patch",
        explanation=(
            "The first value is the mean rise at the first arrival, whichever patch came first, and so on: all "
            "patches look alike. The sum is right, since nothing is lost. Who earned the rise number k?"
        ),
        caught_by=VALUES,
        swap=((EARN, "        earned.append(scores.diff())\n"),),
    ),
    WrongAnswer(
        id="values-transposed",
        title="patch values laid out column by column",
        explanation=(
            "The values are right and stand at the wrong patches: rows and columns are exchanged on the way from the "
            "long list back to the grid. A square grid would hide it."
        ),
        caught_by=VALUES,
        swap=((MEAN, "    return torch.stack(earned).mean(dim=0).reshape(columns, rows).T\n"),),
    ),
    WrongAnswer(
        id="drawn-with-replacement",
        title="an order in which a patch may occur twice and another not at all",
        explanation=(
            "Independent draws are no permutation: the second time a patch comes in it changes nothing, and the "
            "patches that were never drawn are still missing at the end. The values then do not add up to the score "
            "of the whole image."
        ),
        caught_by=ORDERS,
        swap=(
            (
                DRAW,
                "        drawn = torch.randint(patches, (patches,), generator=generator)\n"
                "        coming = (drawn[:, None] == torch.arange(patches)).cumsum(dim=0) > 0\n",
            ),
            ("        place = order.argsort()  # (patches,): when each patch comes in\n", ""),
            (
                "        present = place < torch.arange(patches + 1)[:, None]  # (patches + 1, patches)\n",
                "        present = torch.cat([torch.zeros(1, patches).bool(), coming])\n",
            ),
            (
                EARN,
                "        earned.append(torch.zeros(patches, dtype=scores.dtype).index_add(0, drawn, scores.diff()))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="never-shuffled",
        title="patches that always come in from the first to the last",
        explanation=(
            "The order of arrival is the order of reading, so that the lower right patches are credited with all that "
            "works together only. The values add up, but they depend on how patches are numbered. What is the "
            "generator for?"
        ),
        caught_by=ORDERS,
        swap=((DRAW, "        order = torch.arange(patches)\n"),),
    ),
    WrongAnswer(
        id="global-permutations",
        title="permutations drawn from the global generator",
        explanation=(
            "The same call gives another map every time, and nobody can repeat your figure. You are handed a "
            "generator; draw from it and from nothing else."
        ),
        caught_by=ORDERS,
        swap=((DRAW, "        order = torch.randperm(patches)\n"),),
    ),
    WrongAnswer(
        id="one-image-a-call",
        title="one call of score for every single image",
        explanation=(
            "The values are right, and take many times as long: a model works on a batch almost as fast as on one "
            "image. All images of a permutation are known before the first one is scored."
        ),
        caught_by=ORDERS,
        swap=(
            (
                SCORED,
                "        images = keep_patches(image, baseline, present.reshape(-1, rows, columns))\n"
                "        scores = torch.cat([score(single[None]) for single in images])\n",
            ),
        ),
    ),
    WrongAnswer(
        id="last-patch-forgotten",
        title="the last arrival of each permutation left out",
        explanation=(
            "The last patch to come in earns nothing, so that the values add up to too little, and patches that "
            "others depend on get too much in comparison. How many images lie between nothing and everything, both "
            "included?"
        ),
        caught_by=ORDERS,
        swap=((SCORED, SCORED + "        scores = torch.cat([scores[:-1], scores[-2:-1]])\n"),),
    ),
    WrongAnswer(
        id="scored-in-training-mode",
        title="scores made while the model is in training mode",
        explanation=(
            "Dropout is at work, so that every score is another one, and BatchNorm looks at images with patches "
            "missing and moves its statistics. An explanation then changes the model that it explains."
        ),
        caught_by=SCORE,
        swap=(("        model.eval()\n", ""),),
    ),
    WrongAnswer(
        id="left-in-eval-mode",
        title="a model that stays in inference mode",
        explanation=(
            "Explain a sample in the middle of a training run, and from then on training goes on without dropout and "
            "with frozen statistics. How was the model before?"
        ),
        caught_by=SCORE,
        swap=(("                module.training = training\n", "                pass\n"),),
    ),
    WrongAnswer(
        id="one-mode-for-all",
        title="one mode for all modules restored",
        explanation=(
            "The mode of the whole model is noted and given back to every part. A layer that was kept in inference "
            "mode on purpose, such as a frozen BatchNorm, is in training mode afterwards. Each module has a mode of "
            "its own."
        ),
        caught_by=SCORE,
        swap=(
            (
                "            for module, training in modes:\n                module.training = training\n",
                "            model.train(modes[0][1])\n",
            ),
        ),
    ),
    WrongAnswer(
        id="gradients-recorded",
        title="gradients recorded while images are scored",
        explanation=(
            "Nobody asks for a gradient here, but the activations of every image are kept for one: thousands of "
            "images later the memory is full."
        ),
        caught_by=SCORE,
        swap=(("    @torch.no_grad()\n", ""),),
    ),
    WrongAnswer(
        id="gradients-off-for-good",
        title="gradients switched off and never on again",
        explanation=(
            "Switching the recording off is right, but it is a setting of the whole program: the next training step "
            "finds nothing to differentiate. Restrict it to the call."
        ),
        caught_by=SCORE,
        swap=(
            ("    @torch.no_grad()\n", ""),
            ("        model.eval()\n", "        model.eval()\n        torch.set_grad_enabled(False)\n"),
        ),
    ),
    WrongAnswer(
        id="all-at-once",
        title="all images given to the model at once",
        explanation=(
            "The batch size has no effect. With a few hundred images of a large model, the memory decides for you."
        ),
        caught_by=SCORE,
        swap=(("images.split(batch_size)]", "images.split(len(images))]"),),
    ),
    WrongAnswer(
        id="what-each-does-alone",
        title="what image and text reach by themselves",
        explanation=(
            "What the two only reach together belongs to nobody here, so the values do not add up. In half of the "
            "orders of arrival a player comes second."
        ),
        caught_by=MODALITIES,
        swap=((DIVIDE, '    return {"image": image - none, "text": text - none, **({} if both else {})}\n'),),
    ),
    WrongAnswer(
        id="what-is-lost-without",
        title="what is lost without image, and without text",
        explanation=(
            "What the two only reach together is counted twice, once for each, so the values add up to too much. In "
            "half of the orders of arrival a player comes first."
        ),
        caught_by=MODALITIES,
        swap=((DIVIDE, '    return {"image": both - text, "text": both - image, **({} if none else {})}\n'),),
    ),
    WrongAnswer(
        id="sum-of-both-orders",
        title="the sum over both orders of arrival instead of their mean",
        explanation=(
            "There are two orders, and each of them divides the whole rise already. Check what your values sum to."
        ),
        caught_by=MODALITIES,
        swap=((DIVIDE, DIVIDE.replace(" / 2", "")),),
    ),
    WrongAnswer(
        id="nothing-is-worth-nothing",
        title="the score of nothing taken to be 0",
        explanation=(
            "With neither image nor text there is still a score, that of the two baselines, and it need not be 0. It "
            "is the point from which the rise is counted."
        ),
        caught_by=MODALITIES,
        swap=((DIVIDE, "    none = 0.0\n" + DIVIDE),),
    ),
    WrongAnswer(
        id="shares",
        title="values divided by their sum",
        explanation=(
            "Shares say how the rise is divided, not how large it is, and they have no meaning where the rise is near "
            "0 or one player hurts. The values themselves are asked for."
        ),
        caught_by=MODALITIES,
        swap=(
            (
                DIVIDE,
                "    first, second = ((image - none) + (both - text)) / 2, ((text - none) + (both - image)) / 2\n"
                "    total = first + second or 1.0\n"
                '    return {"image": first / total, "text": second / total}\n',
            ),
        ),
    ),
    WrongAnswer(
        id="black-baseline",
        title="black in the place of missing patches, whatever the baseline",
        explanation=(
            "Missing patches are filled with 0. On white paper a black patch is the most striking thing of all, and "
            "the score falls for that reason. What stands in for a missing patch is given."
        ),
        caught_by=PATCHES,
        swap=((CHOOSE, "    return image * mask[:, None]\n"),),
    ),
    WrongAnswer(
        id="kept-and-gone-swapped",
        title="the patches to keep replaced, and the others kept",
        explanation="True marks a patch of the image that stays. Yours are the ones that go.",
        caught_by=PATCHES,
        swap=((CHOOSE, "    return torch.where(mask[:, None], baseline, image)\n"),),
    ),
    WrongAnswer(
        id="rows-taken-for-columns",
        title="the grid read down the columns",
        explanation=(
            "The first row of the grid is not on top of the image. Rows and columns are exchanged somewhere between "
            "the grid and the pixels; look at a grid with one patch in its upper right corner."
        ),
        caught_by=PATCHES,
        swap=(
            (
                "    mask = keep.repeat_interleave",
                "    keep = keep.reshape(-1, columns, rows).transpose(1, 2)\n    mask = keep.repeat_interleave",
            ),
        ),
    ),
    WrongAnswer(
        id="patches-interleaved",
        title="the whole grid repeated like tiles",
        explanation=(
            "Your mask repeats the small grid side by side instead of enlarging it: a patch is scattered over the "
            "image. Each entry of the grid should become a block of pixels."
        ),
        caught_by=PATCHES,
        swap=(
            (
                "keep.repeat_interleave(height // rows, dim=1).repeat_interleave(width // columns, dim=2)",
                "keep.repeat(1, height // rows, width // columns)",
            ),
        ),
    ),
    WrongAnswer(
        id="image-overwritten",
        title="the given image overwritten",
        explanation=(
            "The baseline is written into the image that was handed over. Later images of the same call, and "
            "everything else that uses the image, then see what is left of it. Where does a copy have to be made?"
        ),
        caught_by=PATCHES,
        swap=(
            (
                CHOOSE,
                "    results = []\n"
                "    for one in mask:\n"
                "        image[:, ~one] = baseline[:, ~one]\n"
                "        results.append(image.clone())\n"
                "    return torch.stack(results)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="least-valuable-first",
        title="patches taken from the smallest value to the largest",
        explanation=(
            "Sorting goes upwards unless told otherwise. The curves still look like curves: deletion falls late and "
            "insertion rises late, so that a good map seems worse than chance."
        ),
        caught_by=CURVES,
        swap=((SORTED, SORTED.replace("descending=True", "descending=False")),),
    ),
    WrongAnswer(
        id="curves-swapped",
        title="a deletion that begins with the baseline",
        explanation=(
            "The curve of deletion is that of insertion: it begins where nothing is there. Deleting begins with the "
            "whole image."
        ),
        caught_by=CURVES,
        swap=((DELETE, "    return insertion_curve(score, image, baseline, values)\n"),),
    ),
    WrongAnswer(
        id="largest-in-size-first",
        title="patches sorted by the size of their value without its sign",
        explanation=(
            "A patch that speaks strongly against the name is treated like one that speaks for it. Its deletion lets "
            "the score rise, and the curve no longer falls as fast as it could."
        ),
        caught_by=CURVES,
        swap=(
            (SORTED, SORTED.replace("values.flatten()", "values.abs().flatten()")),
            (DELETE, "    turned = values.abs().amax() - values.abs()\n" + DELETE.replace("-values", "turned")),
        ),
    ),
    WrongAnswer(
        id="ends-left-out",
        title="a curve without its two ends",
        explanation=(
            "The score of the whole image and that of the bare baseline are missing from the curve. They are the same "
            "for every order, and without them areas cannot be compared between images."
        ),
        caught_by=CURVES,
        swap=(
            (
                CURVE,
                "    present = present[1:-1] if len(present) > 2 else present\n" + CURVE,
            ),
        ),
    ),
    WrongAnswer(
        id="curve-down-the-columns",
        title="values read down the columns of their grid",
        explanation=(
            "The most valuable patch is looked up under another number than it has in the grid: values are read "
            "column by column and patches are numbered row by row. A square grid hides half of it."
        ),
        caught_by=CURVES,
        swap=((SORTED, SORTED.replace("values.flatten()", "values.T.flatten()")),),
    ),
    WrongAnswer(
        id="one-call-a-point",
        title="one call of score for every point of the curve",
        explanation="The curve is right and slow: all its images are known before the first is scored.",
        caught_by=CURVES,
        swap=(
            (
                CURVE,
                "    images = keep_patches(image, baseline, present.reshape(-1, *values.shape))\n"
                "    return torch.cat([score(single[None]) for single in images])\n",
            ),
        ),
    ),
    WrongAnswer(
        id="mean-of-the-points",
        title="the mean of all points",
        explanation=(
            "The ends count as much as the points between them, though only half of a stretch lies beside an end. It "
            "is near the area for many points and wrong for few."
        ),
        caught_by=AREA,
        swap=((AREA_LINE, "    return curve.mean().item()\n"),),
    ),
    WrongAnswer(
        id="width-forgotten",
        title="trapezoids of width 1",
        explanation=(
            "The horizontal axis of your curve runs from 0 to the number of stretches. With an axis from 0 to 1, "
            "areas of curves with different numbers of patches can be compared."
        ),
        caught_by=AREA,
        swap=((AREA_LINE, "    return torch.trapezoid(curve).item()\n"),),
    ),
    WrongAnswer(
        id="without-the-ends",
        title="the area without one of the ends",
        explanation=(
            "Rectangles from point to point look at one side of every stretch, so that an end of the curve has no "
            "say. How high is the curve in the middle of a stretch?"
        ),
        caught_by=AREA,
        swap=((AREA_LINE, "    return curve[:-1].mean().item()\n"),),
    ),
    WrongAnswer(
        id="divided-by-the-points",
        title="trapezoids divided by the number of points",
        explanation="Between n points lie fewer than n stretches. What is the area of a flat curve in your case?",
        caught_by=AREA,
        swap=((AREA_LINE, "    return (torch.trapezoid(curve) / len(curve)).item()\n"),),
    ),
    WrongAnswer(
        id="area-in-float32",
        title="the area added up in float32",
        explanation=(
            "The curve comes in float32, and so does your sum. Convert the points first; the area is a number for "
            "reports and costs nothing in float64."
        ),
        caught_by=AREA,
        swap=(("    curve = curve.double()  # (points,)\n", "    curve = curve.float()\n"),),
    ),
    WrongAnswer(
        id="no-piece-at-all",
        title="a batch size below 1 accepted",
        explanation=(
            "The function is made without a word and fails when it is first used, somewhere else and with a message "
            "about something else. The mistake is known when the function is made."
        ),
        caught_by=REFUSED,
        swap=(("    if batch_size < 1:\n", "    if batch_size < -9:\n"),),
    ),
    WrongAnswer(
        id="uneven-patches",
        title="a grid that does not divide the image accepted",
        explanation=(
            "Where the grid does not fit, some pixels are in no patch, or the last patches are smaller than the "
            "others and earn less. Refuse it; the image can be resized."
        ),
        caught_by=REFUSED,
        swap=(
            ("    if height % rows != 0 or width % columns != 0:\n", "    if rows > height:\n"),
            (
                "    mask = keep.repeat_interleave(height // rows, dim=1).repeat_interleave(width // columns, dim=2)\n",
                "    mask = keep[:, torch.arange(height) * rows // height][:, :, torch.arange(width) * columns // width]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="baseline-broadcast",
        title="a baseline of another shape stretched to fit",
        explanation=(
            "A baseline of one pixel is repeated over the image without a word. That may even be what somebody wants, "
            "but it may as well be a mistake; the shape was asked to be the image's."
        ),
        caught_by=REFUSED,
        swap=(("    if image.shape != baseline.shape:\n", "    if baseline.ndim != 3:\n"),),
    ),
    WrongAnswer(
        id="no-permutations",
        title="values of zero permutations",
        explanation=(
            "A mean over no permutation is no value: NaN, zeros, or an error about something else. Say what is missing."
        ),
        caught_by=REFUSED,
        swap=(
            ("    if permutations < 1:\n", "    if permutations < -9:\n"),
            (MEAN, "    if not earned:\n        return torch.zeros(rows, columns)\n" + MEAN),
        ),
    ),
    WrongAnswer(
        id="values-unchecked",
        title="curves for values that are NaN or infinite",
        explanation=(
            "NaN is neither larger nor smaller than anything, so that its place in the order is an accident. A map "
            "with NaN in it comes from a score that failed, and the curve should not hide it."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    if values.ndim != 2 or not values.isfinite().all():\n",
                "    if values.ndim != 2:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="one-point",
        title="an area for a curve of a single point",
        explanation="One point has no area, however high it is: there is no stretch from it to another one.",
        caught_by=REFUSED,
        swap=(
            (
                "    if curve.ndim != 1 or len(curve) < 2:\n",
                "    if len(curve) == 1:\n        return float(curve.sum())\n    if curve.ndim != 1 or len(curve) < 1:\n",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="patch-by-patch",
        title="loops over patches and points, slices of pixels, inference_mode, a running sum",
        code="""
from contextlib import contextmanager


@contextmanager
def resting(model):
    before = {module: module.training for module in model.modules()}
    for module in before:
        module.training = False
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, flag in before.items():
            module.training = flag


def score_function(model, text, batch_size):
    if not batch_size > 0:
        raise ValueError("batch_size")

    def score(images):
        found = []
        for start in range(0, images.shape[0], batch_size):
            part = images[start : start + batch_size]
            with resting(model):
                found.append(model(part, torch.stack([text] * part.shape[0])).clone())
        return torch.cat(found)

    return score


def modality_values(value):
    asked = {present: float(value(present)) for present in map(frozenset, ([], ["image"], ["text"], ["image", "text"]))}
    shared = {"image": 0.0, "text": 0.0}
    for order in (("image", "text"), ("text", "image")):
        here = frozenset()
        for player in order:
            shared[player] += 0.5 * (asked[here | {player}] - asked[here])
            here |= {player}
    return shared


def keep_patches(image, baseline, keep):
    if list(image.shape) != list(baseline.shape):
        raise ValueError("shapes")
    n, rows, columns = keep.shape
    tall, tall_rest = divmod(image.shape[1], rows)
    wide, wide_rest = divmod(image.shape[2], columns)
    if tall_rest or wide_rest:
        raise ValueError("grid")
    result = baseline.repeat(n, 1, 1, 1)
    for number, row, column in keep.nonzero().tolist():
        ys, xs = slice(row * tall, (row + 1) * tall), slice(column * wide, (column + 1) * wide)
        result[number, :, ys, xs] = image[:, ys, xs]
    return result


def patch_values(score, image, baseline, grid, permutations, generator):
    if permutations <= 0:
        raise ValueError("permutations")
    rows, columns = grid
    total = None
    for _ in range(permutations):
        order = torch.rand(rows * columns, generator=generator).argsort().tolist()
        keep = torch.zeros(len(order) + 1, rows, columns, dtype=torch.bool)
        for number, patch in enumerate(order):
            keep[number + 1 :, patch // columns, patch % columns] = True
        scores = score(keep_patches(image, baseline, keep))
        if total is None:
            total = torch.zeros(rows, columns, dtype=scores.dtype)
        for number, patch in enumerate(order):
            total[patch // columns, patch % columns] += (scores[number + 1] - scores[number]) / permutations
    return total


def _curve(score, image, baseline, values, start):
    if values.dim() != 2 or torch.isnan(values).any() or torch.isinf(values).any():
        raise ValueError("values")
    keep = torch.full((1, *values.shape), start)
    steps = [keep]
    for patch in sorted(range(values.numel()), key=lambda p: values.reshape(-1)[p].item(), reverse=True):
        keep = keep.clone()
        keep.view(-1)[patch] = not start
        steps.append(keep)
    return score(keep_patches(image, baseline, torch.cat(steps)))


def deletion_curve(score, image, baseline, values):
    return _curve(score, image, baseline, values, True)


def insertion_curve(score, image, baseline, values):
    return _curve(score, image, baseline, values, False)


def area_under(curve):
    if curve.dim() != 1 or curve.numel() <= 1:
        raise ValueError("points")
    points = curve.tolist()
    return sum((a + b) / 2 for a, b in zip(points, points[1:])) / (len(points) - 1)
""",
    ),
    Alternative(
        id="matrices",
        title="Kronecker products, triangular tables, lerp with a mask, both ends scored once, torch.trapezoid",
        code="""
def score_function(model, text, batch_size):
    if batch_size <= 0:
        raise ValueError("a batch needs room for an image")

    def score(images):
        training = [module for module in model.modules() if module.training]
        for module in training:
            module.training = False
        try:
            with torch.no_grad():
                texts = text.unsqueeze(0).repeat_interleave(batch_size, 0)
                return torch.cat([model(part, texts[: len(part)]) for part in torch.split(images, batch_size)]).detach()
        finally:
            for module in training:
                module.training = True

    return score


def modality_values(value):
    both, neither = float(value(frozenset({"text", "image"}))), float(value(frozenset()))
    difference = float(value(frozenset({"image"}))) - float(value(frozenset({"text"})))
    rise = both - neither
    return dict(text=(rise - difference) / 2, image=(rise + difference) / 2)


def keep_patches(image, baseline, keep):
    size, grid = image.shape[-2:], keep.shape[-2:]
    if image.shape != baseline.shape or any(side % count for side, count in zip(size, grid)):
        raise ValueError("does not fit")
    block = torch.ones(1, size[0] // grid[0], size[1] // grid[1])
    mask = torch.kron(keep.float(), block).bool().unsqueeze(1)
    result = baseline.expand(len(keep), *baseline.shape).clone()
    return result.masked_scatter(mask.expand_as(result), image.expand_as(result)[mask.expand_as(result)])


def patch_values(score, image, baseline, grid, permutations, generator):
    if permutations < 1:
        raise ValueError("no permutations")
    count = grid[0] * grid[1]
    ends = score(keep_patches(image, baseline, torch.tensor([False, True])[:, None, None].expand(2, *grid)))
    steps = torch.ones(count, count).tril().bool()[:-1]  # row k: the first k + 1 arrivals
    values = torch.zeros(count, dtype=ends.dtype)
    for number in range(1, permutations + 1):
        order = torch.randperm(count, generator=generator)
        inner = ends[:0]
        if count > 1:
            keep = torch.zeros(count - 1, count, dtype=torch.bool)
            keep[:, order] = steps
            inner = score(keep_patches(image, baseline, keep.reshape(count - 1, *grid)))
        rises = torch.diff(torch.cat([ends[:1], inner, ends[1:]]))
        mine = torch.empty_like(values)
        mine[order] = rises
        values += (mine - values) / number  # running mean
    return values.reshape(grid)


def _tables(values):
    if values.ndim != 2:
        raise ValueError("two axes")
    if not bool(torch.isfinite(values).all()):
        raise ValueError("finite numbers")
    count = values.numel()
    order = torch.argsort(values.reshape(-1), descending=True)
    table = torch.zeros(count + 1, count, dtype=torch.bool)
    table[:, order] = torch.ones(count + 1, count).tril(-1).bool()
    return table.reshape(count + 1, *values.shape)


def deletion_curve(score, image, baseline, values):
    return score(keep_patches(image, baseline, ~_tables(values)))


def insertion_curve(score, image, baseline, values):
    return score(keep_patches(image, baseline, _tables(values)))


def area_under(curve):
    if curve.dim() != 1 or curve.shape[0] < 2:
        raise ValueError("two points at least")
    return float(torch.trapezoid(curve.to(torch.float64), dx=1 / (curve.shape[0] - 1)))
""",
    ),
    Alternative(
        id="gathered-pixels",
        title="nearest-neighbour masks, antithetic-free numpy bookkeeping, generators of pieces, weights of a quadrature",
        code="""
import torch.nn.functional as F


class _Score:
    def __init__(self, model, text, batch_size):
        if batch_size < 1:
            raise ValueError(batch_size)
        self.model, self.text, self.batch_size = model, text, batch_size

    def __call__(self, images):
        flags = [module.training for module in self.model.modules()]
        self.model.train(False)
        try:
            return torch.cat(list(self.pieces(images.detach())))
        finally:
            for module, flag in zip(self.model.modules(), flags):
                module.training = flag

    def pieces(self, images):
        for part in images.split(self.batch_size):
            with torch.no_grad():
                yield self.model(part, self.text.repeat(len(part), *[1] * self.text.dim()))


def score_function(model, text, batch_size):
    return _Score(model, text, batch_size)


def modality_values(value):
    v = lambda *names: float(value(frozenset(names)))
    alone = {"image": v("image"), "text": v("text")}
    start, end = v(), v("image", "text")
    surplus = end - alone["image"] - alone["text"] + start  # what only both reach: half for each
    return {name: alone[name] - start + surplus / 2 for name in alone}


def keep_patches(image, baseline, keep):
    height, width = image.shape[1], image.shape[2]
    if height // keep.shape[1] * keep.shape[1] != height or width // keep.shape[2] * keep.shape[2] != width:
        raise ValueError("uneven")
    if image.shape != baseline.shape:
        raise ValueError("different")
    mask = F.interpolate(keep.unsqueeze(1).to(image.dtype), size=(height, width), mode="nearest")
    images = image.expand(len(keep), -1, -1, -1).clone()
    gone = (mask < 0.5).expand_as(images)
    images[gone] = baseline.expand_as(images)[gone]
    return images


def patch_values(score, image, baseline, grid, permutations, generator):
    if permutations < 1:
        raise ValueError("permutations")
    places = torch.stack([torch.rand(grid[0] * grid[1], generator=generator).argsort() for _ in range(permutations)])
    mean = 0
    for place in places:
        place = place.reshape(grid)
        ranks = torch.arange(place.numel() + 1).reshape(-1, 1, 1)
        scores = score(keep_patches(image, baseline, place.unsqueeze(0) < ranks))
        mean = mean + (scores[place + 1] - scores[place]) / permutations
    return mean


def insertion_curve(score, image, baseline, values):
    if len(values.shape) != 2 or not all(abs(number) < float("inf") for number in values.flatten().tolist()):
        raise ValueError("values")
    numbers = values.flatten().tolist()
    ranks = [sum((b, -j) > (a, -i) for j, b in enumerate(numbers)) for i, a in enumerate(numbers)]
    keep = torch.tensor([[rank < step for rank in ranks] for step in range(len(ranks) + 1)])
    return score(keep_patches(image, baseline, keep.reshape(-1, *values.shape)))


def deletion_curve(score, image, baseline, values):
    # deleting from the image is inserting the baseline
    return insertion_curve(score, baseline, image, values)


def area_under(curve):
    if curve.ndim != 1 or len(curve) < 2:
        raise ValueError("curve")
    weights = torch.ones(len(curve), dtype=torch.float64)
    weights[0] = weights[-1] = 0.5
    return (weights @ curve.double()).item() / (len(curve) - 1)
""",
    ),
]
