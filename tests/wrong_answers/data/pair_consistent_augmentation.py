"""Wrong and differently written answers to data/pair_consistent_augmentation.

Every line under "reject" of D-Q11 and B-Q6b has an entry: image-only (published), vertical-flip,
sequential-replacements, parts-of-words-replaced, case-lost, negative-strides and image-changed-in-place,
corner-by-corner.
"""

from grader.catalogue import Alternative, WrongAnswer

WORDS = "test_words_change_sides"
REST = "test_nothing_else_in_a_caption_changes"
IMAGE = "test_the_image_is_mirrored_along_its_width"
TOGETHER = "test_caption_and_boxes_move_with_the_image"
WRITING = "test_an_image_with_writing_stays_as_it_is"
REFUSED = "test_what_is_no_pair_is_refused"

LOOK_UP = '    return re.sub(r"\\w+", lambda word: swaps.get(word[0], word[0]), caption)\n'
MOVE = "    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]\n"
FLIPPED = "    return image[:, ::-1].copy(), swapped, boxes, True\n"
UNTOUCHED = "        return image.copy(), caption, boxes, False\n"
INSIDE = "    inside = (x1 >= 0) & (x1 <= x2) & (x2 <= width) & (y1 >= 0) & (y1 <= y2) & (y2 <= height)\n"

equivalent_mutants = {
    "dropped `raise TypeError(f'the caption must be": "re.sub raises TypeError for everything that is no str, too",
    "dropped `raise ValueError(f'the image must be": "unpacking the shape into three raises ValueError, too",
}

wrong_answers = [
    WrongAnswer(
        id="image-only",
        title="the image mirrored alone, caption and boxes as before",
        explanation=(
            "The cup that the caption puts on the left is on the right of your image, and the box around it surrounds "
            "something else. What is done to one part of a pair has to be done to the others as well."
        ),
        caught_by=TOGETHER,
        swap=((MOVE, ""), (FLIPPED, FLIPPED.replace("swapped", "caption"))),
    ),
    WrongAnswer(
        id="published-claims",
        title="augmented copies taken for new data",
        explanation=(
            "One of the claims puts copies and new samples on one level. Ask what a model can learn from the ninth version "
            "of a photo that was not in the first one, and from nine other photos."
        ),
        caught_by="test_claims",
        swap=(("copies_for_data=False", "copies_for_data=True"),),
    ),
    WrongAnswer(
        id="words-are-enough",
        title="exchanged words taken for a complete remedy",
        explanation=(
            "One of the claims speaks of any caption. Look for one in which 'right' is not a side, or in which no word of "
            "direction stands and the mirrored image still does not fit."
        ),
        caught_by="test_claims",
        swap=(("words_suffice=False", "words_suffice=True"),),
    ),
    WrongAnswer(
        id="sequential-replacements",
        title="one word replaced after the other",
        explanation=(
            "First every 'left' becomes 'right', and then every 'right', the new ones as well, becomes 'left': at the end "
            "there is one side only. All words have to be exchanged at the same time."
        ),
        caught_by=WORDS,
        swap=(
            (
                LOOK_UP,
                "    for word, other in swaps.items():\n"
                '        caption = re.sub(rf"\\b{word}\\b", other, caption)\n'
                "    return caption\n",
            ),
        ),
    ),
    WrongAnswer(
        id="case-lost",
        title="exchanged words in lower case",
        explanation=(
            "The words are recognised in every case, but what is put in is always lower case: 'Left' at the beginning of "
            "a sentence becomes 'right', and flipping twice does not restore the caption."
        ),
        caught_by=WORDS,
        swap=(("{style(word): style(other) for word", "{style(word): other for word"),),
    ),
    WrongAnswer(
        id="capitals-missed",
        title="only words in lower case exchanged",
        explanation=(
            "Words at the beginning of a sentence and in capitals stay as they were, so these captions contradict their "
            "images. Three spellings of each word are asked for."
        ),
        caught_by=WORDS,
        swap=(("    styles = (str.lower, str.capitalize, str.upper)\n", "    styles = (str.lower,)\n"),),
    ),
    WrongAnswer(
        id="capitals-throughout-missed",
        title="words in capitals throughout not exchanged",
        explanation="'left' and 'Left' are exchanged, 'LEFT' is not. Three spellings of each word are asked for.",
        caught_by=WORDS,
        swap=(("    styles = (str.lower, str.capitalize, str.upper)\n", "    styles = (str.lower, str.capitalize)\n"),),
    ),
    WrongAnswer(
        id="only-between-spaces",
        title="words taken to end at spaces only",
        explanation=(
            "A caption split at spaces has words such as 'left,' and 'left-hand', which are not in the table and stay. "
            "Punctuation ends a word too."
        ),
        caught_by=WORDS,
        swap=((LOOK_UP, LOOK_UP.replace('r"\\w+"', 'r"\\S+"')),),
    ),
    WrongAnswer(
        id="hyphens-join-words",
        title="a hyphen taken as part of the word",
        explanation=(
            "'left-hand' is one word for you and stays, although it names a side. Here a hyphen ends a word, as other "
            "punctuation does."
        ),
        caught_by=WORDS,
        swap=((LOOK_UP, LOOK_UP.replace('r"\\w+"', 'r"[\\w-]+"')),),
    ),
    WrongAnswer(
        id="leftmost-forgotten",
        title="leftmost and rightmost left as they are",
        explanation=(
            "'The leftmost cup' is the rightmost one after mirroring. The table of words that is given has four entries."
        ),
        caught_by=WORDS,
        swap=(
            (
                "for word, other in OPPOSITE.items() for style",
                "for word, other in list(OPPOSITE.items())[:2] for style",
            ),
        ),
    ),
    WrongAnswer(
        id="parts-of-words-replaced",
        title="left and right replaced inside other words too",
        explanation=(
            "'Bright' becomes 'bleft' and 'leftover' becomes 'rightover'. Look at whole words: what stands before and "
            "after the letters matters."
        ),
        caught_by=REST,
        swap=(
            (
                LOOK_UP,
                '    return re.sub("|".join(sorted(swaps, key=len, reverse=True)), lambda word: swaps[word[0]], caption)\n',
            ),
        ),
    ),
    WrongAnswer(
        id="mixed-case-made-lower",
        title="other case patterns exchanged as well",
        explanation=(
            "'lEFt' is exchanged, and its pattern of capitals is lost, so that flipping twice gives another caption. The "
            "task leaves such spellings alone."
        ),
        caught_by=REST,
        swap=(
            (
                LOOK_UP,
                LOOK_UP.replace(
                    "swaps.get(word[0], word[0])",
                    "swaps.get(word[0], swaps.get(word[0].capitalize() if word[0][0].isupper() else word[0].lower(), "
                    "word[0]))",
                ),
            ),
        ),
    ),
    WrongAnswer(
        id="spaces-tidied",
        title="spaces and line breaks of the caption changed",
        explanation=(
            "The caption was split into words and joined again with single spaces. Double spaces and line breaks are lost; "
            "everything but the words was to stay."
        ),
        caught_by=REST,
        swap=(
            (
                LOOK_UP,
                LOOK_UP.replace("    return re.sub(", '    return " ".join(re.sub(').replace(
                    ", caption)", ", caption).split())"
                ),
            ),
        ),
    ),
    WrongAnswer(
        id="first-word-only",
        title="only the first of several words exchanged",
        explanation=(
            "After one exchange the rest of the caption is left as it is. A caption can name a side more than once."
        ),
        caught_by=REST,
        swap=(
            (
                LOOK_UP,
                '    pattern = r"\\b(" + "|".join(swaps) + r")\\b"\n'
                "    return re.sub(pattern, lambda word: swaps[word[0]], caption, count=1)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="a-word-keeps-the-place",
        title="a word put in for the time being, which a caption may contain",
        explanation=(
            "You exchange by way of a word of your own, and where the caption has the same word, this is exchanged as "
            "well. Any word can occur in a caption. Look each word up instead, once."
        ),
        caught_by=REST,
        swap=(
            (
                LOOK_UP,
                '    for one, other in (("left", "right"), ("leftmost", "rightmost")):\n'
                "        for style in styles:\n"
                '            caption = re.sub(rf"\\b{style(one)}\\b", "TMP", caption)\n'
                '            caption = re.sub(rf"\\b{style(other)}\\b", style(one), caption)\n'
                '            caption = re.sub(r"\\bTMP\\b", style(other), caption)\n'
                "    return caption\n",
            ),
        ),
    ),
    WrongAnswer(
        id="vertical-flip",
        title="the image turned upside down",
        explanation=(
            "The rows are reversed instead of the columns: the first axis is the height. What was above is below, and left "
            "and right are where they were."
        ),
        caught_by=IMAGE,
        swap=((FLIPPED, FLIPPED.replace("image[:, ::-1]", "image[::-1]")),),
    ),
    WrongAnswer(
        id="channels-reversed",
        title="the channels reversed instead of the columns",
        explanation=(
            "The last axis holds the channels, so red and blue have changed places and nothing has moved. The width is "
            "the axis in the middle."
        ),
        caught_by=IMAGE,
        swap=((FLIPPED, FLIPPED.replace("image[:, ::-1]", "image[..., ::-1]")),),
    ),
    WrongAnswer(
        id="negative-strides",
        title="a mirrored view instead of a copy",
        explanation=(
            "The values are right, but the array is a view of the argument that is read backwards. Writing into one "
            "changes the other, and torch refuses negative strides."
        ),
        caught_by=IMAGE,
        swap=((FLIPPED, FLIPPED.replace(".copy()", "")),),
    ),
    WrongAnswer(
        id="image-changed-in-place",
        title="the image mirrored in place",
        explanation=(
            "The caller's image is mirrored as well. In the next epoch the same array is flipped again, together with a "
            "caption that was not, and from then on the pair is wrong."
        ),
        caught_by=IMAGE,
        swap=(
            (
                FLIPPED,
                "    image[:] = image[:, ::-1].copy()\n" + FLIPPED.replace("image[:, ::-1].copy()", "image.copy()"),
            ),
        ),
    ),
    WrongAnswer(
        id="narrow-image-shared",
        title="a copy made only where the memory layout asks for one",
        explanation=(
            "A function that makes an array contiguous returns the array itself if it is contiguous already, which a "
            "mirrored image one pixel wide is. Ask for a copy, not for a layout."
        ),
        caught_by=IMAGE,
        swap=((FLIPPED, FLIPPED.replace("image[:, ::-1].copy()", "np.ascontiguousarray(image[:, ::-1])")),),
    ),
    WrongAnswer(
        id="order-of-the-argument",
        title="a copy in the memory order of the argument",
        explanation=(
            "You do copy, but `np.array` and `np.copy` keep the order in memory that they find. An image stored channel "
            "by channel then comes back in that order, not C-contiguous. The order can be asked for."
        ),
        caught_by=IMAGE,
        swap=((FLIPPED, FLIPPED.replace("image[:, ::-1].copy()", "np.array(image[:, ::-1])")),),
    ),
    WrongAnswer(
        id="image-made-float",
        title="the image returned as floats",
        explanation=(
            "An image of bytes comes back as floats, four or eight times as large, and the next step, which divides bytes "
            "by 255, does not recognise it. Mirroring needs no arithmetic."
        ),
        caught_by=IMAGE,
        swap=((FLIPPED, FLIPPED.replace(".copy()", ".astype(np.float64)")),),
    ),
    WrongAnswer(
        id="boxes-forgotten",
        title="boxes left where they were",
        explanation=(
            "Image and caption agree again, but the boxes still stand where the objects were before, and surround "
            "something else now."
        ),
        caught_by=TOGETHER,
        swap=((MOVE, ""),),
    ),
    WrongAnswer(
        id="corner-by-corner",
        title="each corner mirrored by itself",
        explanation=(
            "Each x is mirrored, but the left corner of a box becomes its right one, so that x1 is now larger than x2. "
            "Areas become negative and overlaps zero."
        ),
        caught_by=TOGETHER,
        swap=((MOVE, MOVE.replace("boxes[:, [2, 0]]", "boxes[:, [0, 2]]")),),
    ),
    WrongAnswer(
        id="x1-overwritten-too-early",
        title="x1 overwritten before the new x2 is computed from it",
        explanation=(
            "The new x1 is right, and the new x2 is the old one: when you compute it, x1 has its new value already. "
            "Columns taken from an array are views. Compute both before you write any of them."
        ),
        caught_by=TOGETHER,
        swap=((MOVE, "    boxes[:, 0] = width - boxes[:, 2]\n    boxes[:, 2] = width - boxes[:, 0]\n"),),
    ),
    WrongAnswer(
        id="height-taken-for-the-width",
        title="height and width exchanged throughout",
        explanation=(
            "You read the shape as (width, height, channels). For square images everything is right; in others boxes "
            "are mirrored about the wrong line, and good ones are refused. The first number of the shape is the height."
        ),
        caught_by=TOGETHER,
        swap=(("    height, width, _ = image.shape\n", "    width, height, _ = image.shape\n"),),
    ),
    WrongAnswer(
        id="one-pixel-off",
        title="edges mirrored like numbers of pixels",
        explanation=(
            "Pixel number 0 becomes pixel number width - 1, but the edges of boxes lie between pixels: 0 is the left side "
            "of the image and `width` the right one. Your boxes are one pixel too far left."
        ),
        caught_by=TOGETHER,
        swap=((MOVE, MOVE.replace("width - boxes", "width - 1 - boxes")),),
    ),
    WrongAnswer(
        id="mirrored-at-the-height",
        title="boxes mirrored with the height instead of the width",
        explanation=(
            "For square images the result is right. The first number of the shape is the height; x runs along the second."
        ),
        caught_by=TOGETHER,
        swap=((MOVE, MOVE.replace("width - boxes", "height - boxes")),),
    ),
    WrongAnswer(
        id="boxes-changed-in-place",
        title="the caller's boxes overwritten",
        explanation=(
            "An array of float64 is not copied when it is converted to float64, so your code writes into the argument. "
            "In the next epoch the boxes are mirrored twice."
        ),
        caught_by=TOGETHER,
        swap=(("boxes = np.array(boxes, dtype=np.float64)", "boxes = np.asarray(boxes, dtype=np.float64)"),),
    ),
    WrongAnswer(
        id="boxes-keep-their-dtype",
        title="integer boxes returned as integers",
        explanation=(
            "The dtype of the result depends on what was handed over. Sooner or later a box at 0.5 is written into an "
            "array of integers and loses its half. The boxes returned are to be float64."
        ),
        caught_by=TOGETHER,
        swap=(("boxes = np.array(boxes, dtype=np.float64)", "boxes = np.array(boxes)"),),
    ),
    WrongAnswer(
        id="text-ignored",
        title="images with writing mirrored like all others",
        explanation=(
            "The argument `contains_text` has no effect. Mirrored writing cannot be read, so a caption or an answer that "
            "quotes it is wrong."
        ),
        caught_by=WRITING,
        swap=(("    if contains_text:\n", "    if False:\n"),),
    ),
    WrongAnswer(
        id="only-the-flag-heeds-text",
        title="with writing, only the flag changes and the image is mirrored all the same",
        explanation=(
            "You report that nothing was flipped, but image, caption and boxes are those of a flip. With "
            "`contains_text` they have to stay as they are."
        ),
        caught_by=WRITING,
        swap=(
            ("    if contains_text:\n", "    if False:\n"),
            (FLIPPED, FLIPPED.replace("boxes, True", "boxes, not contains_text")),
        ),
    ),
    WrongAnswer(
        id="only-the-image-kept",
        title="with writing, the image kept but the caption exchanged",
        explanation=(
            "The image stays as it is, and its caption changes sides: the pair was right before and is wrong now. With "
            "`contains_text` nothing changes."
        ),
        caught_by=WRITING,
        swap=((UNTOUCHED, UNTOUCHED.replace("caption", "swapped")),),
    ),
    WrongAnswer(
        id="always-flipped",
        title="flipped reported although nothing was flipped",
        explanation=(
            "The last value tells the caller whether other parts, such as key points or masks, have to be mirrored as "
            "well. With writing in the image it has to be False."
        ),
        caught_by=WRITING,
        swap=((UNTOUCHED, UNTOUCHED.replace("False", "True")),),
    ),
    WrongAnswer(
        id="arguments-handed-back",
        title="the caller's own image returned when there is nothing to do",
        explanation=(
            "With writing in the image your function returns the argument itself, otherwise a new array. Whoever writes "
            "into the result changes the data set, but only now and then."
        ),
        caught_by=WRITING,
        swap=((UNTOUCHED, UNTOUCHED.replace("image.copy()", "image")),),
    ),
    WrongAnswer(
        id="order-of-the-argument-with-text",
        title="with writing, a copy in the memory order of the argument",
        explanation=(
            "The mirrored image is C-contiguous, but the copy that you return when there is writing in the image keeps "
            "the order of the argument: `np.array` and `np.copy` do, unless they are asked for another one."
        ),
        caught_by=WRITING,
        swap=((UNTOUCHED, UNTOUCHED.replace("image.copy()", "np.array(image)")),),
    ),
    WrongAnswer(
        id="boxes-keep-their-dtype-with-text",
        title="with writing, integer boxes returned as integers",
        explanation=(
            "With `contains_text` you return the boxes as they were given, not as float64. Whoever puts several results "
            "into one batch then meets two dtypes. The boxes are float64 in both cases."
        ),
        caught_by=WRITING,
        swap=(
            (
                "    boxes = np.array(boxes, dtype=np.float64)",
                "    before, boxes = boxes, np.array(boxes, dtype=np.float64)",
            ),
            (UNTOUCHED, UNTOUCHED.replace("boxes, False", "np.array(before), False")),
        ),
    ),
    WrongAnswer(
        id="corners-unchecked",
        title="boxes with exchanged corners accepted",
        explanation=(
            "A box whose left edge is to the right of its right edge goes through. Often it is one of the form x, y, width, "
            "height, and the result is wrong without a message."
        ),
        caught_by=REFUSED,
        swap=((INSIDE, INSIDE.replace("(x1 <= x2)", "(x1 <= width)").replace("(y1 <= y2)", "(y1 <= height)")),),
    ),
    WrongAnswer(
        id="outside-accepted",
        title="boxes that reach beyond the image accepted",
        explanation=(
            "Coordinates below 0 or beyond the sides go through. They usually belong to the image before it was resized, so "
            "all boxes are wrong."
        ),
        caught_by=REFUSED,
        swap=((INSIDE, "    inside = (x1 <= x2) & (y1 <= y2)\n"),),
    ),
    WrongAnswer(
        id="clipped-into-the-image",
        title="boxes that reach beyond the image cut off at its sides",
        explanation=(
            "You clip coordinates into the image. That hides where they come from: usually the image was resized and the "
            "boxes were not, so that all of them are wrong. The task asks for an error."
        ),
        caught_by=REFUSED,
        swap=((INSIDE, "    boxes[:] = np.clip(boxes, 0, [width, height, width, height])\n" + INSIDE),),
    ),
    WrongAnswer(
        id="heights-unchecked",
        title="y1 and y2 not looked at",
        explanation=(
            "Only x1 and x2 are checked, since only they change. A box above or below the image is as wrong as one "
            "beside it, and says that image and boxes do not belong together."
        ),
        caught_by=REFUSED,
        swap=((INSIDE, "    inside = (x1 >= 0) & (x1 <= x2) & (x2 <= width)\n"),),
    ),
    WrongAnswer(
        id="any-width",
        title="height and width exchanged in the look at the boxes",
        explanation=(
            "x is compared with the height and y with the width. In images that are not square, good boxes are refused and "
            "bad ones accepted."
        ),
        caught_by=REFUSED,
        swap=((INSIDE, INSIDE.replace("width", "side").replace("height", "width").replace("side", "height")),),
    ),
    WrongAnswer(
        id="nan-accepted",
        title="boxes with NaN accepted",
        explanation=(
            "Every comparison with NaN is false, so a look for what is wrong finds nothing. Ask whether all is right "
            "instead, and refuse what is not."
        ),
        caught_by=REFUSED,
        swap=(
            (
                INSIDE,
                "    inside = ~((x1 < 0) | (x1 > x2) | (x2 > width) | (y1 < 0) | (y1 > y2) | (y2 > height))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="any-caption",
        title="captions of other types turned into text",
        explanation=(
            "None becomes the caption 'None' and a list the text of a list. A missing caption is then trained on as if "
            "someone had written it."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    if not isinstance(caption, str):\n"
                '        raise TypeError(f"the caption must be a str, not {type(caption).__name__}")\n',
                "    caption = str(caption)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="any-image",
        title="images of any number of axes accepted",
        explanation=(
            "A batch of images goes through and is mirrored along its height, because its second axis is another one. Look "
            "at the number of axes before you reverse one."
        ),
        caught_by=REFUSED,
        swap=(
            ("    if image.ndim != 3:\n", "    if image.ndim < 2:\n"),
            ("    height, width, _ = image.shape\n", "    height, width = image.shape[:2]\n"),
        ),
    ),
    WrongAnswer(
        id="text-skips-the-checks",
        title="nothing checked when there is writing in the image",
        explanation=(
            "With `contains_text` your function returns before it has looked at its arguments, so a wrong box is found "
            "only in images without writing. Check first, then decide."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    if image.ndim != 3:\n",
                "    if contains_text:\n"
                "        return image.copy(), caption, np.array(boxes, dtype=np.float64), False\n"
                "    if image.ndim != 3:\n",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="loops",
        title="characters, pixels and boxes one by one",
        code="""
def swap_left_and_right(caption):
    if type(caption) is not str:
        raise TypeError("caption")
    words, start = [], 0
    for place in range(len(caption) + 1):
        if place < len(caption) and caption[place].isalpha():
            continue
        word = caption[start:place]
        other = OPPOSITE.get(word.lower())
        if other is not None:
            if word.islower():
                word = other
            elif word.isupper():
                word = other.upper()
            elif word.istitle():
                word = other.title()
        words.append(word + caption[place : place + 1])
        start = place + 1
    return "".join(words)


def flip_pair(image, caption, boxes, *, contains_text=False):
    if len(image.shape) != 3:
        raise ValueError("image")
    new_caption = swap_left_and_right(caption)
    height, width = image.shape[0], image.shape[1]
    if np.ndim(boxes) != 2 or np.shape(boxes)[1] != 4:
        raise ValueError("boxes")
    rows = []
    for x1, y1, x2, y2 in boxes:
        if not (0 <= x1 <= x2 <= width and 0 <= y1 <= y2 <= height):
            raise ValueError("box")
        rows.append((x1, y1, x2, y2) if contains_text else (width - x2, y1, width - x1, y2))
    new_boxes = np.array(rows, dtype=float).reshape(len(rows), 4)
    new_image = np.empty(image.shape, image.dtype)
    for column in range(width):
        new_image[:, column] = image[:, column if contains_text else width - 1 - column]
    return new_image, caption if contains_text else new_caption, new_boxes, not contains_text
""",
    ),
    Alternative(
        id="split-and-flip",
        title="re.split, np.fliplr and a matrix product for the boxes",
        code="""
def swap_left_and_right(caption):
    if not isinstance(caption, str):
        raise TypeError("caption")
    pieces = re.split(r"([A-Za-z]+)", caption)
    table = {}
    for word, other in OPPOSITE.items():
        table.update({word: other, word.title(): other.title(), word.upper(): other.upper()})
    return "".join(table[piece] if piece in table else piece for piece in pieces)


def flip_pair(image, caption, boxes, *, contains_text=False):
    image = np.asarray(image)
    if image.ndim != 3:
        raise ValueError("image")
    if not isinstance(caption, str):
        raise TypeError("caption")
    boxes = np.asarray(boxes).astype(np.float64)
    if boxes.shape != (len(boxes), 4):
        raise ValueError("boxes")
    size = np.array([image.shape[1], image.shape[0]])
    low, high = boxes[:, :2], boxes[:, 2:]
    if np.isnan(boxes).any() or (low < 0).any() or (high > size).any() or (low > high).any():
        raise ValueError("outside")
    if contains_text:
        return np.array(image, order="C"), caption, boxes.copy(), False
    exchange = np.array([[0, 0, -1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])
    moved = boxes @ exchange + np.array([image.shape[1], 0, image.shape[1], 0])
    return np.array(np.fliplr(image), order="C"), swap_left_and_right(caption), moved, True
""",
    ),
    Alternative(
        id="placeholders",
        title="regular expression with word boundaries, np.take, np.column_stack",
        code="""
def swap_left_and_right(caption):
    if not isinstance(caption, str):
        raise TypeError(type(caption))

    def opposite(match):
        side = "right" if match["side"].lower() == "left" else "left"
        word = side + (match["most"] or "").lower()
        for style in (str.lower, str.upper, str.capitalize):
            if match[0] == style(match[0]):
                return style(word)
        return match[0]

    return re.sub(r"\\b(?P<side>left|right)(?P<most>most)?\\b", opposite, caption, flags=re.I | re.A)


def flip_pair(image, caption, boxes, *, contains_text=False):
    swapped = swap_left_and_right(caption)
    if np.ndim(image) != 3:
        raise ValueError("axes")
    height, width, _ = np.shape(image)
    table = np.array(boxes, dtype="float64", ndmin=1)
    if table.ndim != 2 or table.shape[-1] != 4:
        raise ValueError("boxes")
    left, top, right, bottom = (table[:, column] for column in range(4))
    order = np.column_stack([np.zeros_like(left), left, right, np.full_like(left, width)])
    order_y = np.column_stack([np.zeros_like(top), top, bottom, np.full_like(top, height)])
    if not (np.all(np.diff(order) >= 0) and np.all(np.diff(order_y) >= 0)):
        raise ValueError("a box is not inside")
    if contains_text:
        return np.copy(image, order="C"), caption, table, np.False_
    columns = np.arange(width)[::-1]
    mirrored = np.ascontiguousarray(np.take(image, columns, axis=1))
    return mirrored, swapped, np.column_stack([width - right, top, width - left, bottom]), np.True_
""",
    ),
]
