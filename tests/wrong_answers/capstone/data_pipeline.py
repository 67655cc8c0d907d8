"""Wrong answers and differently written correct ones for capstone/data_pipeline.

Every mistake of the specification has an entry. "Global RNG, so that workers repeat each other" is
global-random-numbers (in `augment`) and one-generator-for-all (in the data set); "uint8 overflow" is uint8-overflow.
"""

from grader.catalogue import Alternative, WrongAnswer

COMPOSITE = "test_composite_mixes_drawing_and_background"
TRUTH = "test_augment_shows_the_whole_truth_of_a_drawing"
CHANCE = "test_augmentations_differ_as_the_generator_says"
GENERATORS = "test_generators_are_named_by_their_numbers"
SAMPLE = "test_a_sample_depends_on_seed_epoch_and_index_alone"
BATCHES = "test_batches_are_alike_in_length_and_else_random"
COLLATE = "test_collate_pads_masks_and_keeps_concepts"
REFUSED = "test_what_makes_no_batch_is_refused"

MIX = "    return opacity * colour + (1 - opacity) * background[:, None, None]\n"
MOVED = "    moved = F.grid_sample(difference[None], grid, align_corners=False)[0]  # (3, height, width)\n"
DRAWN = "    return moved + background[:, None, None]\n"
CHANCES = "    chances = torch.rand(6, generator=generator)  # all between 0 and 1\n"
HASH = "    seed = np.random.SeedSequence(numbers).generate_state(1)\n"
NEW = "    return torch.Generator().manual_seed(seed.item())\n"
PIXELS = "augment(self.drawings[index], generator_for(self.seed, self.epoch, index))"
SHUFFLE = "    order = torch.randperm(len(lengths), generator=generator).tolist()\n"
SORT = "    order.sort(key=lambda index: lengths[index])  # a stable sort: equal lengths stay shuffled\n"
LAST = "    return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]\n"
MASKS = "    masks = [F.pad(torch.ones_like(name), (0, longest - len(name))) for name in names]\n"
PADDED = "    padded = [F.pad(name, (0, longest - len(name)), value=pad_id) for name in names]\n"

equivalent_mutants = {
    "minus dropped in `matrix = ": "shifts to both sides are equally likely, so the other sign gives the same pictures",
    "dropped `raise ValueError('a batch needs": "max() of nothing raises ValueError too",
}

wrong_answers = [
    WrongAnswer(
        id="divided-twice",
        title="pixel values divided by 255 twice",
        explanation=(
            "Your picture is almost black: its colours end at 1/255. One part of a pipeline scales the pixels and "
            "another does it again. Decide on one place that turns bytes into shares, and count the divisions on the "
            "way of one colour value to the result."
        ),
        caught_by=COMPOSITE,
        swap=((MIX, "    return opacity * (colour / 255) + (1 - opacity) * background[:, None, None]\n"),),
    ),
    WrongAnswer(
        id="opacity-ignored",
        title="the fourth channel dropped",
        explanation=(
            "A transparent pixel has a colour too, most often black, and it is shown as if it were there. All "
            "drawings get the same black background, which no photo has. What is the fourth channel for?"
        ),
        caught_by=COMPOSITE,
        swap=((MIX, "    return colour\n"),),
    ),
    WrongAnswer(
        id="black-background",
        title="colours weighed by the opacity, but no background added",
        explanation=(
            "Where the drawing is not, nothing is, and nothing is black. A part of every pixel is taken by the "
            "drawing; who takes the rest?"
        ),
        caught_by=COMPOSITE,
        swap=((MIX, "    return opacity * colour\n"),),
    ),
    WrongAnswer(
        id="uint8-overflow",
        title="products of bytes that overflow",
        explanation=(
            "A uint8 holds numbers up to 255, and a product of two of them begins again at 0 without a message. The "
            "picture looks like noise with the drawing's outline. Which dtype do your numbers have when they are "
            "multiplied?"
        ),
        caught_by=COMPOSITE,
        swap=(
            (
                MIX,
                "    weighed = (rgba[:3] * rgba[3:]).float() / 255 / 255\n"
                "    return weighed + (1 - opacity) * background[:, None, None]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="premultiplied-twice",
        title="colours weighed by the opacity twice",
        explanation=(
            "Half transparent pixels come out too dark: the opacity is multiplied in once to premultiply the colours "
            "and once more to mix them with the background. Opaque and transparent pixels are right, so it shows at "
            "the edges only."
        ),
        caught_by=COMPOSITE,
        swap=((MIX, "    return opacity * (opacity * colour) + (1 - opacity) * background[:, None, None]\n"),),
    ),
    WrongAnswer(
        id="opacity-as-a-mask",
        title="opacity used as a mask, there or not there",
        explanation=(
            "Every pixel is either all drawing or all background, so the edges become jagged and shadows are lost. "
            "Opacity is a share, and most of the pixels of an outline have one between 0 and 1."
        ),
        caught_by=COMPOSITE,
        swap=((MIX, "    return torch.where(opacity > 0.5, colour, background[:, None, None])\n"),),
    ),
    WrongAnswer(
        id="float64-picture",
        title="a picture in float64",
        explanation=(
            "The values are right, but in double precision, probably since they went through NumPy or a float64 "
            "background. The weights of a model are float32 and refuse such a batch, or it takes twice the memory."
        ),
        caught_by=COMPOSITE,
        swap=((MIX, MIX.replace("background[:, None, None]", "background[:, None, None].double()")),),
    ),
    WrongAnswer(
        id="background-of-one-number",
        title="a grey background made of the first of the three numbers",
        explanation=(
            "Red of the background is taken for green and blue as well. Look at how the three numbers meet the axis "
            "of the channels."
        ),
        caught_by=COMPOSITE,
        swap=((MIX, "    return opacity * colour + (1 - opacity) * background[0]\n"),),
    ),
    WrongAnswer(
        id="mirrored-at-random",
        title="drawings mirrored half of the time",
        explanation=(
            "Mirroring is a harmless change for most photos, and it makes a lie of many names here: arrows, pointing "
            "hands, clocks, writing. The model is then taught that left and right are the same."
        ),
        caught_by=TRUTH,
        swap=(
            (
                DRAWN,
                "    picture = moved + background[:, None, None]\n"
                "    return picture.flip(-1) if torch.rand(1, generator=generator) < 0.5 else picture\n",
            ),
        ),
    ),
    WrongAnswer(
        id="turned-freely",
        title="drawings turned by up to 45 degrees",
        explanation=(
            "A clock whose hands are turned by 45 degrees shows another time, and an arrow to the right becomes one "
            "to the upper right, which is another concept. Which changes leave every name true?"
        ),
        caught_by=TRUTH,
        swap=(
            (
                "    matrix = torch.cat([torch.eye(2), -2 * shift[:, None]], dim=1) / scale  # (2, 3)\n",
                "    angle = (torch.rand(1, generator=generator) - 0.5) * torch.pi / 2\n"
                "    c, s = angle.cos(), angle.sin() * rgba.shape[1] / rgba.shape[2]\n"
                "    d = angle.sin() * rgba.shape[2] / rgba.shape[1]\n"
                "    turn = torch.stack([torch.cat([c, -s]), torch.cat([d, c])])\n"
                "    matrix = torch.cat([turn, -2 * shift[:, None]], dim=1) / scale\n",
            ),
        ),
    ),
    WrongAnswer(
        id="moved-before-opacity-counts",
        title="colours and opacity moved separately, without weighing",
        explanation=(
            "Interpolation averages neighbours, and here it averages the colour of a pixel that is there with the "
            "hidden colour of one that is not: a thin dark rim around every drawing. A colour should have a say in an "
            "average only as far as it is there."
        ),
        caught_by=TRUTH,
        swap=(
            (
                "    difference = composite(rgba, background) - background[:, None, None]  # (3, height, width)\n",
                "    difference = rgba.float() / 255\n",
            ),
            (DRAWN, "    return moved[3:] * moved[:3] + (1 - moved[3:]) * background[:, None, None]\n"),
        ),
    ),
    WrongAnswer(
        id="black-borders",
        title="black where the picture has been moved away from an edge",
        explanation=(
            "The drawing gets its background first and is moved then, background and all; what comes in from outside "
            "is 0. The model can read the shift from the black borders. What is outside of the drawing should be "
            "background as well."
        ),
        caught_by=TRUTH,
        swap=(
            (
                "    difference = composite(rgba, background) - background[:, None, None]  # (3, height, width)\n",
                "    difference = composite(rgba, background)\n",
            ),
            (DRAWN, "    return moved\n"),
        ),
    ),
    WrongAnswer(
        id="edges-smeared",
        title="the pixels of the edge drawn out to the border",
        explanation=(
            "Where the drawing has been moved away from an edge, its last row or column of pixels is repeated. A "
            "drawing that reaches its edge grows stripes that no vendor has drawn."
        ),
        caught_by=TRUTH,
        swap=((MOVED, MOVED.replace("align_corners=False", 'padding_mode="border", align_corners=False')),),
    ),
    WrongAnswer(
        id="rolled-around",
        title="what leaves the picture on one side comes in on the other",
        explanation=(
            "Rolling an image is a shift on a ring. The tip of an arrow that leaves on the right appears on the left. "
            "What should come in there instead?"
        ),
        caught_by=TRUTH,
        swap=(
            (
                DRAWN,
                "    rolled = torch.roll(difference, (int(shift[1] * rgba.shape[1]), int(shift[0] * rgba.shape[2])), "
                "(1, 2))\n"
                "    size = [max(1, round(side * scale.item())) for side in rgba.shape[1:]]\n"
                "    tile = F.interpolate(rolled[None], size=size, mode='bilinear')[0]\n"
                "    tile = tile.repeat(1, 3, 3)\n"
                "    top = (tile.shape[1] - rgba.shape[1]) // 2\n"
                "    left = (tile.shape[2] - rgba.shape[2]) // 2\n"
                "    tile = tile[:, top : top + rgba.shape[1], left : left + rgba.shape[2]]\n"
                "    return tile + background[:, None, None]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="stretched",
        title="width and height scaled by two different factors",
        explanation=(
            "A circle becomes an ellipse, and a square a rectangle, which is another concept. Width and height share "
            "one factor. In coordinates from -1 to 1 that is one number for both, whatever the shape of the image."
        ),
        caught_by=TRUTH,
        swap=(
            (
                "    matrix = torch.cat([torch.eye(2), -2 * shift[:, None]], dim=1) / scale  # (2, 3)\n",
                "    matrix = torch.cat([torch.eye(2), -2 * shift[:, None]], dim=1) / scale  # (2, 3)\n"
                "    matrix[1] = matrix[1] * (0.85 + 0.3 * torch.rand(1, generator=generator))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="nearest-pixels",
        title="pixels copied from the nearest old pixel",
        explanation=(
            "Nothing is averaged, so lines get steps and thin ones vanish. A shift by a part of a pixel has no "
            "effect, or one of a whole pixel. Which mode does your interpolation have?"
        ),
        caught_by=TRUTH,
        swap=((MOVED, MOVED.replace("align_corners=False", 'mode="nearest", align_corners=False')),),
    ),
    WrongAnswer(
        id="global-random-numbers",
        title="random numbers of augment drawn from the global generator",
        explanation=(
            "The pictures then depend on everything that drew before: on the order of reading, on the number of "
            "workers, on a dropout layer. Forked workers even begin with the same state and repeat each other. You "
            "are handed a generator; who else still draws?"
        ),
        caught_by=CHANCE,
        swap=((CHANCES, "    chances = torch.rand(6)\n"),),
    ),
    WrongAnswer(
        id="generator-seeded-again",
        title="the given generator set to a fixed seed",
        explanation=(
            "Whatever generator comes in, it draws the same numbers: all drawings get one and the same augmentation, "
            "which is then no augmentation at all. Who decides about the state of the generator?"
        ),
        caught_by=CHANCE,
        swap=((CHANCES, "    chances = torch.rand(6, generator=generator.manual_seed(0))\n"),),
    ),
    WrongAnswer(
        id="background-always-white",
        title="the same background for all pictures",
        explanation=(
            "A model that has seen one background only takes it for a part of the drawing, and a new vendor on "
            "another page is foreign to it twice over. The background is to be drawn too."
        ),
        caught_by=CHANCE,
        swap=(("    background = chances[3:]  # (3,)\n", "    background = torch.ones(3)\n"),),
    ),
    WrongAnswer(
        id="grey-backgrounds",
        title="one random number for all three channels of the background",
        explanation=(
            "All backgrounds are greys: red, green and blue go together. The background should be of any colour, so "
            "that colours of drawings are met on all kinds of ground."
        ),
        caught_by=CHANCE,
        swap=(("    background = chances[3:]  # (3,)\n", "    background = chances[3].repeat(3)\n"),),
    ),
    WrongAnswer(
        id="shift-twice-as-far",
        title="a shift that is twice as large as announced, or half as large",
        explanation=(
            "The size of the shift is off by a factor. In the coordinates of `affine_grid` an image runs from -1 to "
            "1, so that its width is 2 and not 1; and a shift in both directions has a range that is twice its "
            "largest value. In which unit is MAX_SHIFT?"
        ),
        caught_by=CHANCE,
        swap=(("(2 * chances[1:3] - 1)", "(4 * chances[1:3] - 2)"),),
    ),
    WrongAnswer(
        id="shift-along-the-diagonal",
        title="one random number for the shift in both directions",
        explanation=(
            "To the right is always down as well: the drawings move along one diagonal. Two directions are two "
            "numbers, each drawn by itself."
        ),
        caught_by=CHANCE,
        swap=(("(2 * chances[1:3] - 1)", "(2 * chances[[1, 1]] - 1)"),),
    ),
    WrongAnswer(
        id="sum-of-the-numbers",
        title="a seed in which different numbers add up to the same",
        explanation=(
            "The seed is a sum, so that (1, 0) and (0, 1) are the same: in the next epoch every sample gets what its "
            "neighbour had in this one. The numbers have to be mixed so that their order counts."
        ),
        caught_by=GENERATORS,
        swap=((HASH, "    seed = torch.tensor(sum(numbers))\n"),),
    ),
    WrongAnswer(
        id="more-than-32-bits",
        title="numbers packed into a seed of more than 32 bits",
        explanation=(
            "The numbers are packed side by side into one large integer, and that is unambiguous; but a generator of "
            "PyTorch looks at the lowest 32 bits only. The numbers in the upper bits have no effect. Test it: change "
            "the first number alone."
        ),
        caught_by=GENERATORS,
        swap=(
            (
                HASH,
                "    packed = 0\n"
                "    for number in numbers:\n"
                "        packed = packed * 2**20 + number\n"
                "    seed = torch.tensor(packed)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="digits-side-by-side",
        title="the digits of the numbers written one after the other",
        explanation=(
            "Without anything between them, 1 and 11 look the same as 11 and 1. The text of several numbers needs a "
            "separator, or the numbers a fixed width."
        ),
        caught_by=GENERATORS,
        swap=((HASH, "    seed = torch.tensor(int(''.join(map(str, numbers))) % 2**32)\n"),),
    ),
    WrongAnswer(
        id="global-generator",
        title="the global generator seeded and handed out",
        explanation=(
            "`torch.manual_seed` seeds the one generator that everybody shares and returns it. Two callers then hold "
            "the same object and draw from each other's numbers, and the model's dropout is seeded along the way."
        ),
        caught_by=GENERATORS,
        swap=((NEW, "    return torch.manual_seed(seed.item())\n"),),
    ),
    WrongAnswer(
        id="label-from-the-index",
        title="the concept taken from the position in the data set",
        explanation=(
            "The label says where a drawing stands in the list, not what it shows. Two vendors' drawings of one "
            "concept get different labels, and sorting the files changes them all. Labels are data; look for where "
            "they are handed to you."
        ),
        caught_by=SAMPLE,
        swap=(('            "concept": concept,\n', '            "concept": index,\n'),),
    ),
    WrongAnswer(
        id="label-counted-anew",
        title="concept ids replaced by a numbering of their own",
        explanation=(
            "The ids are numbered anew by this data set, so that the same concept has another number in a data set "
            "with other drawings, such as the one for evaluation. Hand the ids on as they came."
        ),
        caught_by=SAMPLE,
        swap=(
            (
                '            "concept": concept,\n',
                '            "concept": sorted(set(self.concepts)).index(concept),\n',
            ),
        ),
    ),
    WrongAnswer(
        id="name-by-position",
        title="names looked up by their place in the dictionary",
        explanation=(
            "The order of a dictionary says nothing about which drawing a name belongs to. The key is the concept id."
        ),
        caught_by=SAMPLE,
        swap=(
            ("torch.tensor(self.names[concept],", "torch.tensor(list(self.names.values())[index % len(self.names)],"),
        ),
    ),
    WrongAnswer(
        id="same-in-every-epoch",
        title="the same augmentation of a sample in every epoch",
        explanation=(
            "The epoch does not go into the random numbers, so the model sees one version of every drawing, over and "
            "over. That is a fixed distortion of the data, not an augmentation."
        ),
        caught_by=SAMPLE,
        swap=((PIXELS, "augment(self.drawings[index], generator_for(self.seed, index))"),),
    ),
    WrongAnswer(
        id="same-for-every-sample",
        title="one augmentation for all samples of an epoch",
        explanation=(
            "All drawings of an epoch are moved in the same way and stand on the same background. The random numbers "
            "know the epoch, but not which sample they are for."
        ),
        caught_by=SAMPLE,
        swap=((PIXELS, "augment(self.drawings[index], generator_for(self.seed, self.epoch))"),),
    ),
    WrongAnswer(
        id="one-generator-for-all",
        title="one generator that all samples draw from in turn",
        explanation=(
            "What a sample gets depends on how many were read before it. Read them in another order, a second time, "
            "or with several workers, each with its own copy of the generator, and everything changes. What would a "
            "sample need so as not to remember anything?"
        ),
        caught_by=SAMPLE,
        swap=(
            ("        self.seed, self.epoch = seed, 0\n", "        self.generator = generator_for(seed)\n"),
            ("        self.epoch = epoch\n", "        pass\n"),
            (PIXELS, "augment(self.drawings[index], self.generator)"),
        ),
    ),
    WrongAnswer(
        id="epoch-plus-index",
        title="epoch and index added up",
        explanation=(
            "Sample 1 gets in epoch 0 what sample 0 gets in epoch 1: the augmentations move through the data set from "
            "epoch to epoch, and hardly a new one is ever drawn. Both numbers have to count for themselves."
        ),
        caught_by=SAMPLE,
        swap=((PIXELS, "augment(self.drawings[index], generator_for(self.seed, self.epoch + index))"),),
    ),
    WrongAnswer(
        id="augmented-once",
        title="samples augmented once and kept",
        explanation=(
            "The pixels are made when a sample is first read, and the same ones are handed out ever after; the epoch "
            "has no effect on them. What has to be done anew for each epoch?"
        ),
        caught_by=SAMPLE,
        swap=(
            (
                "        self.seed, self.epoch = seed, 0\n",
                "        self.seed, self.epoch = seed, 0\n        self.kept = {}\n",
            ),
            (PIXELS, "self.kept.setdefault(index, " + PIXELS + ")"),
        ),
    ),
    WrongAnswer(
        id="last-batch-dropped",
        title="the last, shorter batch left out",
        explanation=(
            "The samples of the remainder are missing from the epoch. When they are sorted by length they are the "
            "longest, or the shortest, and so the same ones every time."
        ),
        caught_by=BATCHES,
        swap=((LAST, "    batches = [batch for batch in batches if len(batch) == batch_size]\n" + LAST),),
    ),
    WrongAnswer(
        id="not-bucketed",
        title="batches of samples of any length",
        explanation=(
            "Nearly every batch has a long name in it, and all others are padded to its length. Samples of similar "
            "length should meet."
        ),
        caught_by=BATCHES,
        swap=((SORT, ""),),
    ),
    WrongAnswer(
        id="sorted-every-time",
        title="samples sorted by length, and nothing shuffled",
        explanation=(
            "All epochs are the same: the same samples meet in the same batches, short ones first. The wrong answers "
            "that a sample is compared with never change."
        ),
        caught_by=BATCHES,
        swap=((SHUFFLE, "    order = list(range(len(lengths)))\n"), (LAST, "    return batches\n")),
    ),
    WrongAnswer(
        id="short-before-long",
        title="batches that always come from short to long",
        explanation=(
            "Within one length samples are shuffled, but the epoch begins with short names and ends with long ones. "
            "Every epoch then ends in the same way, and the last steps decide most about the weights."
        ),
        caught_by=BATCHES,
        swap=((LAST, "    return batches\n"),),
    ),
    WrongAnswer(
        id="same-company",
        title="the same samples in one batch in every epoch",
        explanation=(
            "Only the order of the batches changes; who shares a batch is fixed by the order of the list. In a "
            "contrastive loss a sample then meets the same few wrong answers again and again. What decides between "
            "samples of equal length?"
        ),
        caught_by=BATCHES,
        swap=((SHUFFLE, "    order = list(range(len(lengths)))\n"),),
    ),
    WrongAnswer(
        id="epoch-ignored",
        title="the same batches in every epoch",
        explanation="The random numbers know the seed, but not the epoch: every epoch is the first one again.",
        caught_by=BATCHES,
        swap=(("    generator = generator_for(seed, epoch)\n", "    generator = generator_for(seed)\n"),),
    ),
    WrongAnswer(
        id="seed-plus-epoch",
        title="seed and epoch added up",
        explanation=(
            "Seed 0 in epoch 1 is the same as seed 1 in epoch 0, so that two runs with neighbouring seeds are nearly "
            "one run, shifted by an epoch. A comparison over seeds is then worth less than it seems."
        ),
        caught_by=BATCHES,
        swap=(("    generator = generator_for(seed, epoch)\n", "    generator = generator_for(seed + epoch)\n"),),
    ),
    WrongAnswer(
        id="global-shuffle",
        title="batches shuffled with global random numbers",
        explanation=(
            "The order depends on whatever drew before, so an epoch cannot be repeated: a run that is resumed after a "
            "kill goes on with other batches."
        ),
        caught_by=BATCHES,
        swap=((LAST, "    import random\n\n    random.shuffle(batches)\n    return batches\n"),),
    ),
    WrongAnswer(
        id="lengths-sorted",
        title="the given list of lengths sorted in place",
        explanation=(
            "The caller's list is changed. Its indices then belong to other samples, here and wherever else it is used."
        ),
        caught_by=BATCHES,
        swap=((LAST, "    lengths.sort()\n" + LAST),),
    ),
    WrongAnswer(
        id="mask-from-the-pad-id",
        title="the mask computed by comparing tokens with pad_id",
        explanation=(
            "Tokens of a name that happen to have the id of padding are masked as if they were none. Some models pad "
            "with their end token, and then every name loses its end. What else tells you where a name ends?"
        ),
        caught_by=COLLATE,
        swap=((MASKS, ""), (PADDED, PADDED + "    masks = [(row != pad_id).long() for row in padded]\n")),
    ),
    WrongAnswer(
        id="padded-with-zeros",
        title="names padded with 0 whatever pad_id says",
        explanation="The id 0 is a token like any other in many vocabularies. The filler is given as an argument.",
        caught_by=COLLATE,
        swap=((", value=pad_id)", ")"),),
    ),
    WrongAnswer(
        id="padded-on-the-left",
        title="names padded on the left",
        explanation=(
            "The tokens stand at the end of their rows. Models that generate text want it that way; a text encoder "
            "counts positions from the left, and expects its first token there."
        ),
        caught_by=COLLATE,
        swap=(
            (MASKS, MASKS.replace("(0, longest - len(name))", "(longest - len(name), 0)")),
            (PADDED, PADDED.replace("(0, longest - len(name))", "(longest - len(name), 0)")),
        ),
    ),
    WrongAnswer(
        id="positions-as-concepts",
        title="concepts numbered by the position in the batch",
        explanation=(
            "Position i matches position i, so the numbers 0, 1, 2 … look like good labels. But two drawings of one "
            "concept in a batch are then called a wrong answer to each other, and nobody can tell any more. Hand on "
            "what the samples say."
        ),
        caught_by=COLLATE,
        swap=(('torch.tensor([sample["concept"] for sample in samples]),', "torch.arange(len(samples)),"),),
    ),
    WrongAnswer(
        id="divided-again-in-the-batch",
        title="pixels of the batch divided by 255 again",
        explanation=(
            "The pixels of a sample lie between 0 and 1 already; in your batch they end at 1/255. The model still "
            "trains, badly, and nothing crashes. Where in the pipeline do bytes become shares?"
        ),
        caught_by=COLLATE,
        swap=(
            (
                'torch.stack([sample["pixels"] for sample in samples]),',
                'torch.stack([sample["pixels"] for sample in samples]) / 255,',
            ),
        ),
    ),
    WrongAnswer(
        id="sorted-by-length",
        title="samples of a batch sorted by length",
        explanation=(
            "The rows are in another order than the samples. Whoever called you still holds the old order, for "
            "example to say which prediction belongs to which drawing."
        ),
        caught_by=COLLATE,
        swap=(
            (
                '    names = [sample["input_ids"] for sample in samples]\n',
                '    samples = sorted(samples, key=lambda sample: -len(sample["input_ids"]))\n'
                '    names = [sample["input_ids"] for sample in samples]\n',
            ),
        ),
    ),
    WrongAnswer(
        id="mask-inverted",
        title="a mask that is 1 on padding",
        explanation=(
            "Both conventions exist: the padding masks of some attention layers mark what to leave out. Here, as for "
            "the tokenizers of Hugging Face, 1 marks what counts."
        ),
        caught_by=COLLATE,
        swap=((MASKS, MASKS.replace("F.pad(torch.ones_like(name)", "1 - F.pad(torch.ones_like(name)")),),
    ),
    WrongAnswer(
        id="any-drawing-accepted",
        title="drawings of any dtype accepted by composite",
        explanation=(
            "Floats between 0 and 1 are divided by 255 like bytes, and out comes a black picture without a message. "
            "An error at the first drawing is cheaper than a day of training."
        ),
        caught_by=REFUSED,
        swap=(("    if rgba.dtype != torch.uint8 or rgba.ndim", "    if rgba.ndim"),),
    ),
    WrongAnswer(
        id="any-background-accepted",
        title="backgrounds outside of 0 to 1 accepted",
        explanation=(
            "Somebody hands over a background as bytes, from 0 to 255, and gets a picture with values up to 255. NaN "
            "goes through as well if you ask whether a number is too small or too large."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    if background.shape != (3,) or not ((background >= 0) & (background <= 1)).all():\n",
                "    if background.shape != (3,):\n",
            ),
        ),
    ),
    WrongAnswer(
        id="no-samples-accepted",
        title="an epoch of no batches for an empty list",
        explanation=(
            "An empty list of lengths gives an empty list of batches, and a training run that ends at once with a "
            "perfect exit code. Empty data is a mistake further up; say so."
        ),
        caught_by=REFUSED,
        swap=(("    if len(lengths) == 0 or batch_size < 1:\n", "    if batch_size < 1:\n"),),
    ),
    WrongAnswer(
        id="concepts-uncounted",
        title="another number of concepts than of drawings accepted",
        explanation=(
            "Where there are more concepts than drawings, something was lost on the way, and most likely not at the "
            "end: all labels may be shifted by one. Compare the numbers when the data set is made."
        ),
        caught_by=REFUSED,
        swap=(("    if len(drawings) == 0 or len(concepts) != len(drawings):\n", "    if len(drawings) == 0:\n"),),
    ),
]

alternatives = [
    Alternative(
        id="premultiplied",
        title="lerp, premultiplied colours moved together with the opacity, hashlib, random.Random, pad_sequence",
        code="""
import hashlib
import random


def composite(rgba, background):
    if rgba.dtype is not torch.uint8 or rgba.dim() != 3 or rgba.size(0) != 4:
        raise ValueError("not a drawing")
    ground = torch.tensor([float(number) for number in background])
    if ground.numel() != 3 or bool(((ground < 0) | (ground > 1) | ground.isnan()).any()):
        raise ValueError("not a background")
    scaled = rgba.to(torch.float32).div(255)
    return torch.lerp(ground.view(3, 1, 1).expand(3, *rgba.shape[1:]), scaled[:3], scaled[3:])


def augment(rgba, generator):
    background = torch.rand(3, 1, 1, generator=generator)
    x, y = torch.empty(2).uniform_(-2 * MAX_SHIFT, 2 * MAX_SHIFT, generator=generator)
    s = torch.empty(()).uniform_(MIN_SCALE, MAX_SCALE, generator=generator)
    pixels = rgba.float() / 255
    pixels = torch.cat([pixels[:3] * pixels[3:], pixels[3:]]).unsqueeze(0)
    zero = torch.zeros(())
    theta = torch.stack([torch.stack([1 / s, zero, x]), torch.stack([zero, 1 / s, y])]).unsqueeze(0)
    moved = F.grid_sample(pixels, F.affine_grid(theta, pixels.shape, align_corners=True), align_corners=True)[0]
    return (moved[:3] + (1 - moved[3:]) * background).clamp(0, 1)


def generator_for(*numbers):
    digest = hashlib.sha256(",".join(map(str, numbers)).encode()).digest()
    generator = torch.Generator()
    generator.manual_seed(int.from_bytes(digest[:4], "big"))
    return generator


class DrawingDataset(Dataset):
    def __init__(self, drawings, concepts, names, seed):
        if drawings.dim() != 4 or drawings.size(1) != 4 or drawings.dtype != torch.uint8:
            raise ValueError("no drawings")
        if not 0 < len(concepts) == len(drawings):
            raise ValueError("no pairs")
        self.rows = list(zip(drawings, concepts))
        self.tokens = {concept: torch.tensor(list(name)) for concept, name in names.items()}
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        drawing, concept = self.rows[index]
        pixels = augment(drawing, generator_for(index, self.seed, self.epoch))
        return dict(concept=concept, pixels=pixels, input_ids=self.tokens[concept].clone())


def bucket_batches(lengths, batch_size, seed, epoch):
    if batch_size < 1 or not lengths:
        raise ValueError("nothing to do")
    chance = random.Random(f"{seed}/{epoch}")
    by_length = sorted(range(len(lengths)), key=lambda index: (lengths[index], chance.random()), reverse=True)
    batches = []
    while by_length:
        batches.append(by_length[:batch_size])
        del by_length[:batch_size]
    chance.shuffle(batches)
    return batches


def collate(samples, pad_id):
    if not samples:
        raise ValueError("empty")
    ids = torch.nn.utils.rnn.pad_sequence([s["input_ids"] for s in samples], batch_first=True, padding_value=pad_id)
    lengths = torch.tensor([s["input_ids"].numel() for s in samples])
    mask = torch.arange(ids.size(1)) < lengths.unsqueeze(1)
    return {
        "concepts": torch.as_tensor([s["concept"] for s in samples]),
        "attention_mask": mask.to(torch.int64),
        "input_ids": ids,
        "pixels": torch.cat([s["pixels"].unsqueeze(0) for s in samples]),
    }
""",
    ),
    Alternative(
        id="pasted-in-whole-pixels",
        title="resized and pasted at a whole pixel, a tuple's hash, buckets within pools, rows filled one by one",
        code="""
def composite(rgba, background):
    colours = np.asarray(background, dtype=np.float64)
    if str(rgba.dtype) != "torch.uint8" or len(rgba.shape) != 3 or len(rgba) != 4 or colours.shape != (3,):
        raise ValueError("cannot be composited")
    if not all(0 <= colour <= 1 for colour in colours):
        raise ValueError("no colour")
    red, green, blue, opacity = rgba.double() / 255
    planes = [opacity * plane + (1 - opacity) * colour for plane, colour in zip((red, green, blue), colours)]
    return torch.stack(planes).float()


def augment(rgba, generator):
    _, height, width = rgba.shape

    def between(low, high):
        return low + (high - low) * torch.rand((), generator=generator).item()

    scale = between(MIN_SCALE, MAX_SCALE)
    left, top = between(-MAX_SHIFT, MAX_SHIFT) * width, between(-MAX_SHIFT, MAX_SHIFT) * height
    background = torch.tensor([between(0, 1), between(0, 1), between(0, 1)])
    new_height, new_width = round(height * scale), round(width * scale)
    pixels = rgba.float() / 255
    pixels[:3] *= pixels[3]
    pixels = F.interpolate(pixels[None], size=(new_height, new_width), mode="bilinear", align_corners=False)[0]
    # a sheet with room on all sides; the drawing's middle lies in its middle, moved by whole pixels
    sheet = torch.zeros(4, 3 * height, 3 * width)
    y, x = round(1.5 * height - new_height / 2 + top), round(1.5 * width - new_width / 2 + left)
    sheet[:, y : y + new_height, x : x + new_width] = pixels
    cut = sheet[:, height : 2 * height, width : 2 * width]
    return cut[:3] + (1 - cut[3]) * background.reshape(3, 1, 1)


def generator_for(*numbers):
    generator = torch.Generator()
    generator.manual_seed(hash(tuple(numbers)) & 0xFFFFFFFF)
    return generator


class DrawingDataset(Dataset):
    epoch = 0

    def __init__(self, drawings, concepts, names, seed):
        if tuple(drawings.shape[1:2]) != (4,) or drawings.ndim != 4 or drawings.dtype != torch.uint8:
            raise ValueError("drawings")
        if drawings.shape[0] != len(concepts) or not concepts:
            raise ValueError("concepts")
        self.drawings, self.concepts, self.names, self.seed = drawings, list(concepts), dict(names), seed
        self.generator = torch.Generator()

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return len(self.concepts)

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError(index)
        self.generator.set_state(generator_for(self.seed, self.epoch, index).get_state())
        return {
            "pixels": augment(self.drawings[index], self.generator),
            "input_ids": torch.LongTensor(self.names[self.concepts[index]]),
            "concept": self.concepts[index],
        }


def bucket_batches(lengths, batch_size, seed, epoch):
    count = len(lengths)
    if not (count and batch_size >= 1):
        raise ValueError("no epoch")
    rng = np.random.default_rng([seed, epoch])
    shuffled = rng.permutation(count)
    batches, pool = [], 12 * batch_size
    for start in range(0, count, pool):
        part = sorted(shuffled[start : start + pool], key=lambda index: lengths[index])
        batches += [[int(index) for index in part[at : at + batch_size]] for at in range(0, len(part), batch_size)]
    order = rng.permutation(len(batches))
    return [batches[place] for place in order]


def collate(samples, pad_id):
    if len(samples) < 1:
        raise ValueError("no samples")
    longest = max([sample["input_ids"].shape[0] for sample in samples])
    batch = {
        "pixels": torch.empty(len(samples), *samples[0]["pixels"].shape),
        "input_ids": torch.full((len(samples), longest), pad_id),
        "attention_mask": torch.zeros(len(samples), longest, dtype=torch.long),
        "concepts": torch.zeros(len(samples), dtype=torch.long),
    }
    for row, sample in enumerate(samples):
        length = sample["input_ids"].shape[0]
        batch["pixels"][row] = sample["pixels"]
        batch["input_ids"][row, :length] = sample["input_ids"]
        batch["attention_mask"][row, :length] = 1
        batch["concepts"][row] = sample["concept"]
    return batch
""",
    ),
    Alternative(
        id="turned-a-little",
        title="NumPy arithmetic, turned by up to ten degrees, a mixed seed by primes, groups of equal length",
        code="""
import math
from collections import defaultdict


def composite(rgba, background):
    if rgba.dtype != torch.uint8:
        raise ValueError("bytes, please")
    if rgba.ndim != 3:
        raise ValueError("three axes, please")
    if rgba.shape[0] != 4:
        raise ValueError("four channels, please")
    background = np.array(background, dtype=np.float32).ravel()
    if background.size != 3 or np.isnan(background).any() or background.min() < 0 or background.max() > 1:
        raise ValueError("three shares, please")
    array = rgba.permute(1, 2, 0).numpy().astype(np.float32)  # (height, width, 4)
    share = array[..., 3:] / np.float32(255)
    mixed = array[..., :3] / np.float32(255) * share + background * (1 - share)
    return torch.from_numpy(np.ascontiguousarray(mixed.transpose(2, 0, 1)))


def augment(rgba, generator):
    height, width = rgba.shape[-2:]
    red, green, blue, s, dx, dy, turn = torch.rand(7, generator=generator).tolist()
    background = torch.tensor([red, green, blue])
    factor = MIN_SCALE + s * (MAX_SCALE - MIN_SCALE)
    dx, dy = (2 * dx - 1) * MAX_SHIFT * width, (2 * dy - 1) * MAX_SHIFT * height
    angle = math.radians(20 * turn - 10)
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    x, y = columns - width / 2 - dx, rows - height / 2 - dy
    from_x = (math.cos(angle) * x + math.sin(angle) * y) / factor
    from_y = (math.cos(angle) * y - math.sin(angle) * x) / factor
    grid = torch.stack([from_x / (width / 2), from_y / (height / 2)], dim=-1)
    shade = composite(rgba, background) - background.view(3, 1, 1)
    moved = F.grid_sample(shade.unsqueeze(0), grid.unsqueeze(0), mode="bilinear", align_corners=False).squeeze(0)
    return moved + background.view(3, 1, 1)


def generator_for(*numbers):
    state = 17
    for number in numbers:
        state = (state * 2_654_435_761 + number + 1) % 4_294_967_291
        state ^= state >> 15
    return torch.Generator().manual_seed(state)


class DrawingDataset(Dataset):
    def __init__(self, drawings, concepts, names, seed):
        n, *rest = drawings.shape
        if n == 0 or n != len(concepts) or len(rest) != 3 or rest[0] != 4 or drawings.is_floating_point():
            raise ValueError("does not fit")
        self.all, self.which, self.names = drawings, concepts, names
        self.chosen = [seed, 0]

    def set_epoch(self, epoch):
        self.chosen[1] = epoch

    def __len__(self):
        return self.all.shape[0]

    def __getitem__(self, index):
        sample = {"concept": self.which[index]}
        sample["input_ids"] = torch.from_numpy(np.array(self.names[sample["concept"]], dtype=np.int64))
        sample["pixels"] = augment(self.all[index], generator_for(*self.chosen, index))
        return sample


def bucket_batches(lengths, batch_size, seed, epoch):
    if not len(lengths) or batch_size <= 0:
        raise ValueError("no batches")
    source = generator_for(epoch, seed)
    groups = defaultdict(list)
    for index, length in enumerate(lengths):
        groups[length].append(index)
    line = []
    for length in sorted(groups):
        for place in torch.rand(len(groups[length]), generator=source).argsort().tolist():
            line.append(groups[length][place])
    # the remainder stands in front
    first = len(line) % batch_size
    batches = [line[:first]] if first else []
    batches += [line[at : at + batch_size] for at in range(first, len(line), batch_size)]
    keys = torch.rand(len(batches), generator=source).tolist()
    return [batch for _, batch in sorted(zip(keys, batches))]


def collate(samples, pad_id):
    if not samples:
        raise ValueError("nothing")
    rows = [sample["input_ids"].tolist() for sample in samples]
    width = max(map(len, rows))
    return {
        "pixels": torch.from_numpy(np.stack([sample["pixels"].numpy() for sample in samples])),
        "input_ids": torch.tensor([row + [pad_id] * (width - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[int(place < len(row)) for place in range(width)] for row in rows]),
        "concepts": torch.tensor([sample["concept"] for sample in samples]),
    }
""",
    ),
]
