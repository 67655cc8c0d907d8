"""Wrong answers and differently written correct ones for data/image_text_pairs.

Every line under "reject" of E-T2 has an entry: label-from-the-index, leading-axis, not-normalised,
mismatches-share-the-group, mask-one-on-padding, shared-tensors (and labels-are-views). Of the published class, the
processor called as a tokenizer and `image.to("pt")` raise at once and teach nothing here; what runs is its label and its
leading axes.
"""

from grader.catalogue import Alternative, WrongAnswer

SHAPES = "test_an_item_has_no_batch_axis"
PIXELS = "test_pixels_are_resized_and_normalised"
PAIR = "test_tokens_and_labels_are_those_of_the_pair"
FRESH = "test_every_access_gives_fresh_tensors"
BATCH = "test_a_batch_is_padded_on_the_right_and_masked"
MISMATCHES = "test_mismatches_come_from_other_groups"
REFUSED = "test_what_makes_no_pairs_is_refused"

RESIZE = """        if pixels.shape[1:] != self.size:
            # interpolate wants a batch axis, the item has none
            pixels = F.interpolate(pixels[None], self.size, mode="bilinear", antialias=True)[0]  # (3, S, S)
"""
TOKENS = "        tokens = self.tokenizer(self.texts[index], truncation=True, max_length=self.max_length)\n"
DRAW = "        mismatches = rng.choice(others, size=neg_per_pos, replace=False)\n"
MATCH = "        pairs.append((image, image, 1))\n"

equivalent_mutants = {
    "1 -> 2 in `if pixels.shape[1:] != self.size:`": "then every image is resized, and a resize to its own size is exact",
    "dropped `raise ValueError('a batch needs": "max() of nothing raises ValueError too",
    "dropped `raise ValueError(f'neg_per_pos must be": "Generator.choice raises ValueError for a negative size too",
    "dropped `raise ValueError(f'image {image} has": "Generator.choice raises ValueError for a too large sample too",
}

wrong_answers = [
    WrongAnswer(
        id="label-from-the-index",
        title="the label computed from the position in the list",
        explanation=(
            "The label says nothing about the pair: sort the data in another order and other pairs are called matches, "
            "and from position 4 on there are classes that do not exist. Labels are data; look for the place where they "
            "are handed to your class."
        ),
        caught_by=PAIR,
        swap=(("torch.tensor(int(self.labels[index]), dtype=torch.int64)", "torch.tensor(index // 2)"),),
    ),
    WrongAnswer(
        id="leading-axis",
        title="a batch axis of 1 left on the tensors of an item",
        explanation=(
            "A tokenizer that returns tensors thinks in batches, and so does a resize; their axis of 1 is still on your "
            "item. Batches then have shapes like (4, 1, 3, S, S), and the error comes from deep inside the model."
        ),
        caught_by=SHAPES,
        swap=(
            (
                '"pixel_values": (pixels - self.mean) / self.std',
                '"pixel_values": ((pixels - self.mean) / self.std)[None]',
            ),
            ('torch.tensor(tokens["input_ids"], dtype=torch.int64)', 'torch.tensor([tokens["input_ids"]])'),
            ('torch.tensor(tokens["attention_mask"], dtype=torch.int64)', 'torch.tensor([tokens["attention_mask"]])'),
        ),
    ),
    WrongAnswer(
        id="label-with-an-axis",
        title="the label as a tensor of one element instead of a number",
        explanation=(
            "Your label has shape (1,). Stacked to a batch it becomes (batch, 1), and a loss that expects (batch,) "
            "refuses it or, worse, broadcasts. The label of one item has no axis at all."
        ),
        caught_by=SHAPES,
        swap=(("torch.tensor(int(self.labels[index]), dtype", "torch.tensor([int(self.labels[index])], dtype"),),
    ),
    WrongAnswer(
        id="padded-to-the-maximum",
        title="every text padded to max_length",
        explanation=(
            "One item cannot know how long its neighbours in the batch will be, so padding it is a guess, and the "
            "largest possible one: most of the computation is then spent on padding. Leave it to the batch."
        ),
        caught_by=SHAPES,
        swap=((TOKENS, TOKENS.replace("truncation=True", 'padding="max_length", truncation=True')),),
    ),
    WrongAnswer(
        id="float64-pixels",
        title="pixel values in float64",
        explanation=(
            "The mean is a float64 tensor, or the image became one, and the result takes the wider dtype. The weights "
            "of a model are float32 and refuse it. Say which dtype the mean has."
        ),
        caught_by=SHAPES,
        swap=(("torch.tensor(mean, dtype=torch.float32)", "torch.tensor(mean, dtype=torch.float64)"),),
    ),
    WrongAnswer(
        id="not-normalised",
        title="pixels scaled to 0 to 1, but not normalised",
        explanation=(
            "The mean and the standard deviation are not used. A pretrained image encoder expects values around 0 with "
            "a spread around 1, channel by channel; without them it works below its level, and nothing crashes."
        ),
        caught_by=PIXELS,
        swap=(('"pixel_values": (pixels - self.mean) / self.std', '"pixel_values": pixels'),),
    ),
    WrongAnswer(
        id="not-scaled-to-one",
        title="pixels between 0 and 255 normalised",
        explanation=(
            "The mean and the standard deviation are given for values between 0 and 1, but your pixels still run to "
            "255, so that the result reaches into the hundreds."
        ),
        caught_by=PIXELS,
        swap=(("self.images[index].float() / 255  #", "self.images[index].float()  #"),),
    ),
    WrongAnswer(
        id="resized-as-integers",
        title="the image resized while it still holds integers",
        explanation=(
            "Every new pixel was rounded to a whole number between 0 and 255, an error of up to half a step. It is "
            "small, but after the division by the standard deviation larger than the tolerance. Look at the order of "
            "conversion and resize."
        ),
        caught_by=PIXELS,
        swap=(
            ("pixels = self.images[index].float() / 255  #", "pixels = self.images[index]  #"),
            (RESIZE, RESIZE + "        pixels = pixels.float() / 255\n"),
        ),
    ),
    WrongAnswer(
        id="not-antialiased",
        title="the image made smaller without antialiasing",
        explanation=(
            "Without antialiasing each new pixel looks at its nearest neighbours only, however many old pixels it "
            "stands for: thin lines vanish and patterns appear that are not in the image."
        ),
        caught_by=PIXELS,
        swap=(('self.size, mode="bilinear", antialias=True)', 'self.size, mode="bilinear")'),),
    ),
    WrongAnswer(
        id="corners-aligned",
        title="the corners of old and new image aligned",
        explanation=(
            "The centres of the corner pixels are laid upon each other, which shifts and stretches the image a little. "
            "The default, where the outer edges meet, is what image processors do."
        ),
        caught_by=PIXELS,
        swap=(
            (
                'self.size, mode="bilinear", antialias=True)',
                'self.size, mode="bilinear", antialias=True, align_corners=True)',
            ),
        ),
    ),
    WrongAnswer(
        id="centre-crop",
        title="the aspect ratio kept and the centre cut out",
        explanation=(
            "That is what some processors do, but here the whole image is asked for: what a caption describes may be at "
            "the edge, and a crop removes it."
        ),
        caught_by=PIXELS,
        swap=(
            (
                RESIZE,
                "        height, width = pixels.shape[1:]\n"
                "        side = min(height, width)\n"
                "        top, left = (height - side) // 2, (width - side) // 2\n"
                "        pixels = pixels[:, top : top + side, left : left + side]\n"
                '        pixels = F.interpolate(pixels[None], self.size, mode="bilinear", antialias=True)[0]\n',
            ),
        ),
    ),
    WrongAnswer(
        id="only-the-width-compared",
        title="the resize skipped when the width alone is right",
        explanation=(
            "An image that has the right width and another height passes through as it is. Both sides have to fit before "
            "the resize can be left out."
        ),
        caught_by=PIXELS,
        swap=(("if pixels.shape[1:] != self.size:", "if pixels.shape[2] != self.size[1]:"),),
    ),
    WrongAnswer(
        id="normalised-along-the-width",
        title="the three means lined up with the columns instead of the channels",
        explanation=(
            "Arrays are lined up from their last axis backwards, and the last axis of an image is its width. For an image "
            "three pixels wide this even runs, with one mean for each column. Give the means a shape that meets the "
            "channels."
        ),
        caught_by=PIXELS,
        swap=(
            ("torch.tensor(mean, dtype=torch.float32).reshape(3, 1, 1)", "torch.tensor(mean, dtype=torch.float32)"),
            ("torch.tensor(std, dtype=torch.float32).reshape(3, 1, 1)", "torch.tensor(std, dtype=torch.float32)"),
        ),
    ),
    WrongAnswer(
        id="divided-by-the-variance",
        title="the centred pixels divided by the square of std",
        explanation=(
            "`std` is a standard deviation already. Dividing by its square makes the values several times too large."
        ),
        caught_by=PIXELS,
        swap=(("(pixels - self.mean) / self.std,", "(pixels - self.mean) / self.std**2,"),),
    ),
    WrongAnswer(
        id="tokens-cut-off",
        title="the list of tokens cut by a slice",
        explanation=(
            "The end token of a long text is cut off with the rest. CLIP reads the meaning of a text from the position "
            "of its end token, so this loses more than a word. The tokenizer knows what to keep when it truncates."
        ),
        caught_by=PAIR,
        swap=(
            (
                TOKENS,
                "        tokens = self.tokenizer(self.texts[index])\n"
                "        tokens = {key: values[: self.max_length] for key, values in tokens.items()}\n",
            ),
        ),
    ),
    WrongAnswer(
        id="never-truncated",
        title="long texts not truncated",
        explanation=(
            "Texts longer than `max_length` come out in full. A model has a table of positions of that length, and the "
            "first long caption ends the training run."
        ),
        caught_by=PAIR,
        swap=((TOKENS, "        tokens = self.tokenizer(self.texts[index])\n"),),
    ),
    WrongAnswer(
        id="shared-tensors",
        title="the same tensors handed out at every access",
        explanation=(
            "Items are made once and kept, and each access returns the kept tensors themselves. An augmentation that "
            "writes into an item then changes the data for all epochs to come."
        ),
        caught_by=FRESH,
        swap=(
            ("    def __getitem__(self, index: int)", "    def make(self, index: int)"),
            (
                "    def __len__(self) -> int:\n",
                "    def __getitem__(self, index):\n"
                '        if not hasattr(self, "made"):\n'
                "            self.made = [self.make(number) for number in range(len(self))]\n"
                "        return self.made[index]\n\n"
                "    def __len__(self) -> int:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="labels-are-views",
        title="the label of an item a view of the tensor of all labels",
        explanation=(
            "An index into a tensor gives a view, not a copy: writing into the item's label changes the label for good. "
            "Make a new tensor for the item."
        ),
        caught_by=FRESH,
        swap=(
            (
                '"labels": torch.tensor(int(self.labels[index]), dtype=torch.int64)',
                '"labels": torch.as_tensor(self.labels[index], dtype=torch.int64)',
            ),
        ),
    ),
    WrongAnswer(
        id="negative-index-refused",
        title="negative indices refused",
        explanation=(
            "`dataset[-1]` is an error in your class. Like lists, data sets count negative indices from the end; only "
            "what lies beyond either end is an IndexError."
        ),
        caught_by=FRESH,
        swap=(
            (
                "        pixels = self.images[index].float() / 255  #",
                "        if index < 0:\n"
                '            raise IndexError("negative index")\n'
                "        pixels = self.images[index].float() / 255  #",
            ),
        ),
    ),
    WrongAnswer(
        id="index-wraps-around",
        title="indices beyond the end start again at the front",
        explanation=(
            "Your data set never ends. Python stops a loop over an object with `__getitem__` at the first IndexError, "
            "so `for item in dataset` runs for ever."
        ),
        caught_by=FRESH,
        swap=(
            (
                "        pixels = self.images[index].float() / 255  #",
                "        index = index % len(self.images)\n        pixels = self.images[index].float() / 255  #",
            ),
        ),
    ),
    WrongAnswer(
        id="mask-one-on-padding",
        title="the mask filled up with 1",
        explanation=(
            "The mask says 1 on padding too, so the model attends to the filler and a short text means something else "
            "in a batch with a long one. What does the mask have to say where there is no token?"
        ),
        caught_by=BATCH,
        swap=(('padded("attention_mask", 0)', 'padded("attention_mask", 1)'),),
    ),
    WrongAnswer(
        id="mask-from-the-pad-id",
        title="the mask read off the ids: 0 wherever the pad id stands",
        explanation=(
            "An id that serves as padding can be a token of a text as well: CLIP pads with its end token, which your "
            "mask hides in every text. The items bring masks along."
        ),
        caught_by=BATCH,
        swap=(('padded("attention_mask", 0)', '(padded("input_ids", pad_id) != pad_id).long()'),),
    ),
    WrongAnswer(
        id="masks-made-anew",
        title="the mask made from the lengths, not from the items' masks",
        explanation=(
            "Every token of an item gets a 1, whatever its own mask says. An item may hide some of its tokens already; "
            "fill its mask up instead of making a new one."
        ),
        caught_by=BATCH,
        swap=(
            (
                'padded("attention_mask", 0)',
                "torch.stack([(torch.arange(longest) < len(item['input_ids'])).long() for item in items])",
            ),
        ),
    ),
    WrongAnswer(
        id="padded-with-zeros",
        title="ids filled up with 0 whatever the pad id is",
        explanation=(
            "Many functions pad with 0 unless they are told otherwise, and 0 is an ordinary token in many vocabularies. "
            "The caller says which id to use."
        ),
        caught_by=BATCH,
        swap=(('padded("input_ids", pad_id)', 'padded("input_ids", 0)'),),
    ),
    WrongAnswer(
        id="padded-on-the-left",
        title="padding in front of the text",
        explanation=(
            "The filler stands before the tokens. Generating models are sometimes fed that way; here the texts begin at "
            "position 0 and the filler follows."
        ),
        caught_by=BATCH,
        swap=(
            (
                "F.pad(item[key], (0, longest - len(item[key])), value",
                "F.pad(item[key], (longest - len(item[key]), 0), value",
            ),
        ),
    ),
    WrongAnswer(
        id="padded-to-a-fixed-length",
        title="texts padded to 77 tokens whatever the batch holds",
        explanation=(
            "77 is the longest text that CLIP can read. A batch of short captions is padded to the same length, and most "
            "of the work is done on filler. How long is the longest text of *this* batch?"
        ),
        caught_by=BATCH,
        swap=(('longest = max(len(item["input_ids"]) for item in items)', "longest = 77"),),
    ),
    WrongAnswer(
        id="sorted-by-length",
        title="items sorted by length",
        explanation=(
            "The rows of the batch come in another order than the items. That was once needed for recurrent networks; "
            "here it separates the batch from everything else that is kept in the order of the items."
        ),
        caught_by=BATCH,
        swap=(
            (
                '    longest = max(len(item["input_ids"]) for item in items)\n',
                '    items = sorted(items, key=lambda item: len(item["input_ids"]), reverse=True)\n'
                '    longest = len(items[0]["input_ids"])\n',
            ),
        ),
    ),
    WrongAnswer(
        id="mismatches-share-the-group",
        title="every other text allowed as a mismatch",
        explanation=(
            "Only the image's own text is left out, so a second caption of the same photo is called a mismatch although "
            "it fits. Such false negatives teach the model to tell apart what belongs together. Compare groups, not "
            "positions."
        ),
        caught_by=MISMATCHES,
        swap=(
            ("others = np.flatnonzero(groups != group)", "others = np.flatnonzero(np.arange(len(groups)) != image)"),
        ),
    ),
    WrongAnswer(
        id="mismatches-repeated",
        title="mismatches drawn with putting back",
        explanation=(
            "An image can get the same text twice, which is no second mismatch but the same one with double weight. "
            "Generators put back unless they are told not to."
        ),
        caught_by=MISMATCHES,
        swap=(("size=neg_per_pos, replace=False", "size=neg_per_pos, replace=True"),),
    ),
    WrongAnswer(
        id="always-the-next-group",
        title="the first texts of other groups taken, without any chance",
        explanation=(
            "Nothing is drawn: most images get the same few texts, and a model can learn these by heart instead of "
            "looking at the image. Every text of another group should have its chance."
        ),
        caught_by=MISMATCHES,
        swap=((DRAW, "        mismatches = others[:neg_per_pos]\n"),),
    ),
    WrongAnswer(
        id="one-draw-for-all-images",
        title="one shuffled order of texts used for all images",
        explanation=(
            "The texts are shuffled once, and every image takes the first ones of this order that it may have. So within "
            "one list nearly all images share their mismatches, and those texts give the answer away. Draw for each "
            "image anew."
        ),
        caught_by=MISMATCHES,
        swap=(
            ("    pairs = []\n", "    pairs = []\n    order = rng.permutation(len(groups))\n"),
            (DRAW, "        mismatches = [text for text in order if groups[text] != group][:neg_per_pos]\n"),
        ),
    ),
    WrongAnswer(
        id="drawn-from-all-combinations",
        title="mismatches drawn from all combinations at once",
        explanation=(
            "The total number is right, but some images get many mismatches and others none, so a model can guess from "
            "the image alone. Each image is promised the same number."
        ),
        caught_by=MISMATCHES,
        code="""
_pairs_of_each_image = make_pairs


def make_pairs(group_ids, neg_per_pos, rng):
    matches = _pairs_of_each_image(group_ids, neg_per_pos, np.random.default_rng(0))[:: neg_per_pos + 1]
    groups = np.asarray(group_ids)
    images, texts = np.nonzero(groups[:, None] != groups)
    chosen = rng.choice(len(images), size=neg_per_pos * len(groups), replace=False)
    return matches + [(int(images[n]), int(texts[n]), 0) for n in chosen]
""",
    ),
    WrongAnswer(
        id="group-called-a-match",
        title="all combinations within a group listed as matches",
        explanation=(
            "A second caption of the same photo does match, and still it is not asked for: each image has one match, its "
            "own text. Otherwise photos with many captions have more matches than the others."
        ),
        caught_by=MISMATCHES,
        swap=((MATCH, "        pairs.extend((image, int(text), 1) for text in np.flatnonzero(groups == group))\n"),),
    ),
    WrongAnswer(
        id="global-random-numbers",
        title="mismatches drawn from NumPy's global generator",
        explanation=(
            "The generator that was handed over is not used, so two runs with the same generator give different lists, "
            "and other code that draws random numbers is disturbed."
        ),
        caught_by=MISMATCHES,
        swap=(("mismatches = rng.choice(", "mismatches = np.random.choice("),),
    ),
    WrongAnswer(
        id="lengths-unchecked",
        title="lists of different lengths accepted",
        explanation=(
            "With one text too many every later pair may be wrong, and the last text is never seen. Different lengths "
            "are the cheapest sign of a mistake further up; refuse them when the data set is made."
        ),
        caught_by=REFUSED,
        swap=(("        if not len(images) == len(texts) == len(labels):", "        if False:"),),
    ),
    WrongAnswer(
        id="any-image-accepted",
        title="images of any dtype accepted",
        explanation=(
            "An image of floats between 0 and 1 passes and is divided by 255 once more: it becomes nearly black, and "
            "nothing crashes. Look at the dtype of every image, not at its shape alone."
        ),
        caught_by=REFUSED,
        swap=(("if image.dtype != torch.uint8 or image.ndim != 3", "if image.ndim != 3"),),
    ),
    WrongAnswer(
        id="any-label-accepted",
        title="labels other than 0 and 1 accepted",
        explanation=(
            "A label 2 or -1 passes and turns up much later, as an index out of range inside the loss. Labels are known "
            "when the data set is made: look at them there."
        ),
        caught_by=REFUSED,
        swap=(("        if not all(label in (0, 1) for label in labels):", "        if False:"),),
    ),
    WrongAnswer(
        id="fewer-mismatches",
        title="fewer mismatches than asked for, without a word",
        explanation=(
            "Where an image has too few texts of other groups, it gets what there is. The list then has another balance "
            "of matches and mismatches than the caller believes. Say so instead."
        ),
        caught_by=REFUSED,
        swap=(
            ("        if len(others) < neg_per_pos:", "        if False:"),
            ("size=neg_per_pos, replace=False", "size=min(neg_per_pos, len(others)), replace=False"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="tensors-from-the-tokenizer",
        title="tensors from the tokenizer, normalised before the resize, pad_sequence, shuffled texts",
        code="""
from torch.nn.utils.rnn import pad_sequence


class PairDataset(Dataset):
    def __init__(self, images, texts, labels, tokenizer, image_size, mean, std, max_length):
        super().__init__()
        lengths = {len(images), len(texts), len(labels)}
        if len(lengths) > 1:
            raise ValueError("lengths")
        if any(image.dtype is not torch.uint8 or image.dim() != 3 or image.size(0) != 3 for image in images):
            raise ValueError("images")
        values = torch.as_tensor(labels)
        if ((values != 0) & (values != 1)).any():
            raise ValueError("labels")
        self.pairs = list(zip(images, texts, values.tolist()))
        self.tokenize = lambda text: tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
        self.image_size = image_size
        self.mean = torch.as_tensor(np.asarray(mean)).float().view(1, 3, 1, 1)
        self.std = torch.as_tensor(np.asarray(std)).float().view(1, 3, 1, 1)

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        image, text, label = self.pairs[index]
        pixels = (image.to(torch.float32).unsqueeze(0).div(255) - self.mean) / self.std
        pixels = F.interpolate(pixels, size=(self.image_size,) * 2, mode="bilinear", align_corners=False, antialias=True)
        tokens = self.tokenize(text)
        return dict(
            pixel_values=pixels.squeeze(0),
            input_ids=tokens["input_ids"].squeeze(0),
            attention_mask=tokens["attention_mask"].squeeze(0),
            labels=torch.tensor(label),
        )


def collate(items, pad_id):
    if not items:
        raise ValueError("no items")
    texts = [item["input_ids"] for item in items]
    masks = [item["attention_mask"] for item in items]
    return {
        "input_ids": pad_sequence(texts, batch_first=True, padding_value=pad_id),
        "attention_mask": pad_sequence(masks, batch_first=True),
        "pixel_values": torch.stack([item["pixel_values"] for item in items]),
        "labels": torch.stack([item["labels"] for item in items]),
    }


def make_pairs(group_ids, neg_per_pos, rng):
    count = len(group_ids)
    if neg_per_pos < 0:
        raise ValueError("neg_per_pos")
    matches = [(i, i, 1) for i in range(count)]
    mismatches = []
    for i in range(count):
        shuffled = [j for j in rng.permutation(count) if group_ids[j] != group_ids[i]]
        if len(shuffled) < neg_per_pos:
            raise ValueError("too few")
        mismatches += [(i, j, 0) for j in shuffled[:neg_per_pos]]
    return matches + mismatches
""",
    ),
    Alternative(
        id="prepared-at-construction",
        title="everything prepared at construction, copies handed out, batches filled in place",
        code="""
class PairDataset(Dataset):
    def __init__(self, images, texts, labels, tokenizer, image_size, mean, std, max_length):
        if len(images) != len(texts) or len(images) != len(labels):
            raise ValueError("lengths")
        self.items = []
        for image, text, label in zip(images, texts, labels):
            label = float(label)
            if label not in {0.0, 1.0} or image.dtype != torch.uint8:
                raise ValueError("label or image")
            if len(image.shape) != 3 or image.shape[0] != 3:
                raise ValueError("shape")
            pixels = F.interpolate(image[None] / 255.0, (image_size, image_size), mode="bilinear", antialias=True)[0]
            for channel in range(3):
                pixels[channel] = (pixels[channel] - float(mean[channel])) / float(std[channel])
            tokens = tokenizer([text], truncation=True, max_length=max_length)
            self.items.append(
                {
                    "labels": torch.tensor(int(label)),
                    "input_ids": torch.LongTensor(tokens["input_ids"][0]),
                    "attention_mask": torch.LongTensor(tokens["attention_mask"][0]),
                    "pixel_values": pixels,
                }
            )

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return {key: value.clone() for key, value in self.items[index].items()}


def collate(items, pad_id):
    try:
        longest = max(item["input_ids"].shape[0] for item in items)
    except ValueError:
        raise ValueError("an empty batch") from None
    ids = torch.full((len(items), longest), pad_id)
    mask = torch.zeros_like(ids)
    for row, item in enumerate(items):
        length = item["input_ids"].shape[0]
        ids[row, :length] = item["input_ids"]
        mask[row, :length] = item["attention_mask"]
    pixels = torch.cat([item["pixel_values"].unsqueeze(0) for item in items])
    labels = torch.tensor([int(item["labels"]) for item in items])
    return {"pixel_values": pixels, "input_ids": ids, "attention_mask": mask, "labels": labels}
""",
    ),
    Alternative(
        id="random-keys",
        title="mismatches by sorting random keys, Python's own checks",
        code="""
def make_pairs(group_ids, neg_per_pos, rng):
    groups = list(group_ids)
    if neg_per_pos < 0:
        raise ValueError("negative")
    keys = rng.random((len(groups), len(groups)))
    pairs = []
    for i, own in enumerate(groups):
        for j, other in enumerate(groups):
            if other == own:
                keys[i, j] = 2.0
        if sum(keys[i] < 2.0) < neg_per_pos:
            raise ValueError("too few texts of other groups")
        pairs += [(i, j, 0) for j in np.argsort(keys[i])[:neg_per_pos]]
        pairs += [(np.int64(i), i, 1)]
    return pairs


def collate(items, pad_id):
    if len(items) < 1:
        raise ValueError
    fillers = {"input_ids": pad_id, "attention_mask": 0}
    batch = {key: [item[key] for item in items] for key in items[0]}
    for key, filler in fillers.items():
        longest = max(map(len, batch[key]))
        batch[key] = [torch.tensor(row.tolist() + [filler] * (longest - len(row))) for row in batch[key]]
    return {key: torch.stack(rows) for key, rows in batch.items()}
""",
    ),
]
