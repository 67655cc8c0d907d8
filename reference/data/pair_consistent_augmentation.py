# %% [markdown]
# # Augmentation that keeps image and caption consistent
#
# Mirroring is the cheapest augmentation there is: a photo of a cat stays a photo of a cat. But "the cat left of the
# sofa" is then to its right, the box around the cat points at the sofa, and the street sign cannot be read any more. A
# pipeline made for images alone turns correct pairs into wrong ones, half of the time, without a message. Here you
# answer the interview question in your own words, judge eight claims about it, and write a flip that takes the caption
# and the boxes along.
#
# Plan about 40 minutes: 15 for the answer, 5 for the claims, 20 for the code.

# %%
import re

import numpy as np
from numpy.typing import ArrayLike

OPPOSITE = {"left": "right", "right": "left", "leftmost": "rightmost", "rightmost": "leftmost"}

# %% [markdown]
# ## The question
#
# *"What does data augmentation do when you train on several modalities, and how do you augment image-text pairs?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *purpose*: what augmentation teaches a model, and what has to stay true of a pair, with examples where it does not;
# - *one modality*: methods for images and methods for texts, by name, with what each of them does;
# - *both together*: at least one method that changes image and text, or their features, jointly;
# - *practice*: where in the pipeline it belongs, how strong it should be, how you find out whether it helps, and what
#   it cannot replace.

# %% [markdown] tags=["answer"]
# **Model answer.** "Augmentation tells the model which changes do not matter: it encodes invariances by showing
# versions of a sample with the same label. With pairs the requirement is stronger: what the text says must still be
# true of the image. A mirrored image contradicts 'left of', a hue shift contradicts 'red', a crop can remove what the
# caption describes, and mirrored writing is no writing. So a transformation is applied to both, or it is skipped when
# the text is sensitive to it.
#
# For images I know RandAugment, which draws a number of operations of one common strength; mixup, which blends two
# images and their labels with the same weight; and CutMix, which pastes a patch and weighs the labels by area. For
# texts there is back-translation, which goes to another language and back; EDA, with synonyms, insertions, swaps and
# deletions of words; and rewriting by a language model, as LaCLIP does. Words for colours, numbers and directions
# should be protected.
#
# Jointly: MixGen interpolates two images and concatenates their texts, so that the new pair still fits; LeMDA learns an
# augmentation in the feature space of all modalities at once. Mirroring with exchanged words is the simplest of this
# kind.
#
# In practice I split first and augment the training part only, so that no version of a training photo is tested. How
# strong is a question of ablation: too strong, and the training distribution moves away from the real one. Augmented
# copies are not worth as much as new data, since they show nothing that was not in the original. And the more data
# there are, the less is needed: CLIP was trained with random crops only."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, purpose: invariances, label kept; the pair has to stay consistent, with at least two of direction, colour,
#   crop, mirrored writing as examples. An answer about images alone gets nothing here.
# - 1 point, one modality: at least two methods for images and one for texts, each with what it does.
# - 1 point, both together: MixGen, LeMDA, or a joint flip of image, boxes and words; or mixing with the same partner
#   and weight in both modalities.
# - 1 point, practice: training part only and after the split; and one of ablation, strength and shift of the
#   distribution, little augmentation at large scale, not a substitute for new data.
#
# **References of the model answer**
#
# - Ekin Dogus Cubuk, Barret Zoph, Jon Shlens, Quoc Le (2020). *RandAugment: Practical automated data augmentation with
#   a reduced search space.*
# - Lijie Fan, Dilip Krishnan, Phillip Isola, Dina Katabi, Yonglong Tian (2023). *Improving CLIP Training with Language
#   Rewrites* (LaCLIP).
# - Xiaoshuai Hao, Yi Zhu, Srikar Appalaraju, et al. (2023). *MixGen: A New Multi-Modal Data Augmentation.*
# - Zichang Liu, Zhiqiang Tang, Xingjian Shi, et al. (2023). *Learning Multimodal Data Augmentation in Feature Space*
#   (LeMDA).
# - Rico Sennrich, Barry Haddow, Alexandra Birch (2016). *Improving Neural Machine Translation Models with Monolingual
#   Data* (back-translation).
# - Jason Wei, Kai Zou (2019). *EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification
#   Tasks.*
# - Sangdoo Yun, Dongyoon Han, Sanghyuk Chun, Seong Joon Oh, Youngjoon Yoo, Junsuk Choe (2019). *CutMix: Regularization
#   Strategy to Train Strong Classifiers with Localizable Features.*
# - Hongyi Zhang, Moustapha Cissé, Yann N. Dauphin, David Lopez-Paz (2018). *mixup: Beyond Empirical Risk Minimization.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are often published. CLIP is a model of images and texts that was
# trained on pairs from the web, MixGen a published way to augment pairs. All of them must be right for the 3 points, so
# guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `mirror_alone` | Mirroring only the image keeps the pair with "a cup left of a plate" correct. |
# | `hue_shift` | A strong hue shift, which moves no pixel, can make the caption "a red car" wrong. |
# | `copies_for_data` | 9 augmented copies of each of 1000 pairs are worth as much as 9000 new pairs. |
# | `split_after` | Augmenting first and splitting the copies at random puts versions of a photo on both sides. |
# | `corner_by_corner` | In an image W wide, (W - x1, y1, W - x2, y2) is the mirrored box, left corner first. |
# | `crops_only` | CLIP's pretraining used a random square crop as its only augmentation of images. |
# | `mixgen_adds_texts` | MixGen interpolates two images and concatenates their texts. |
# | `words_suffice` | Exchanging the words left and right makes any caption fit the mirrored image. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "mirror_alone",
        "hue_shift",
        "copies_for_data",
        "split_after",
        "corner_by_corner",
        "crops_only",
        "mixgen_adds_texts",
        "words_suffice",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # In the mirrored image the cup stands to the right of the plate, so the caption has to change too.
    mirror_alone=False,
    # Colours change while everything stays in place; a caption that names a colour is as sensitive as one with a side.
    hue_shift=True,
    # Copies vary what was there and show no new object, scene or wording.
    copies_for_data=False,
    # Ten versions of one photo spread over the splits: the test then asks for pictures that were learned.
    split_after=True,
    # The mirrored left edge is the old right edge: x1' = W - x2. Corner by corner, x1' would be larger than x2'.
    corner_by_corner=False,
    # Radford et al. (2021) used a random square crop from resized images and nothing else.
    crops_only=True,
    # So that the new text describes all that is in the new image (Hao et al., 2023).
    mixgen_adds_texts=True,
    # "The right answer", a caption that quotes a sign, or a clock face: the words are no directions, or are not enough.
    words_suffice=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **Part 1: `swap_left_and_right(caption) -> str`** exchanges each of the four words of `OPPOSITE` (given above) for its
# opposite: `left and right` becomes `right and left`.
#
# - Each is exchanged in lower case, Capitalised and in UPPER CASE, and the case is kept: `Left` becomes `Right`. In any
#   other case pattern, such as `lEFt`, it stays as it is.
# - Whole words only: `bright`, `leftover` and `copyright` stay. Words end at spaces, hyphens, apostrophes and other
#   punctuation, so `left-hand` becomes `right-hand`. (Whether digits, underscores and letters beyond a to z next to a
#   word belong to it is up to you.)
# - Everything else stays as it is: spaces, line breaks and all other words, whatever they are. Applied twice, the
#   function gives the caption back. `TypeError` for a caption that is no `str`.
#
# **Part 2: `flip_pair(image, caption, boxes, *, contains_text=False) -> (image, caption, boxes, flipped)`**
#
# | argument | meaning |
# |---|---|
# | `image` | array `(height, width, channels)` of any dtype |
# | `caption` | text, possibly empty |
# | `boxes` | array or list `(n, 4)` of numbers x1, y1, x2, y2 in pixels; no boxes: an array `(0, 4)` |
# | `contains_text` | whether there is readable text in the image |
#
# - The image is mirrored along its width, the caption is the one of part 1, and the boxes move along, in the same
#   order, again with x1 ≤ x2. Coordinates are edges: x runs from 0, the left edge of the image, to `width`, the right
#   edge, so the first column of pixels lies between 0 and 1. `flipped` is `True`.
# - With `contains_text`, nothing is mirrored: image, caption and boxes come back with the values they had, and
#   `flipped` is `False`.
# - In both cases the image returned is a C-contiguous array of the same shape and dtype that shares no memory with the
#   argument, even if the argument is not C-contiguous itself (an image stored channel by channel, say) or is one pixel
#   wide. (A mirrored *view* has negative strides, which `torch.from_numpy` refuses.) The boxes returned are a new
#   float64 array, whatever was given: integers, a list.
# - No argument is changed.
# - `ValueError`: the image is not three-dimensional, `boxes` is not `(n, 4)` (a plain `[]` may be accepted or refused),
#   or a box is not inside the image: 0 ≤ x1 ≤ x2 ≤ width and 0 ≤ y1 ≤ y2 ≤ height must hold, so NaN is refused. A box
#   may have no area. `TypeError`: the caption is no `str`. These are raised with `contains_text` too.
#
# **Forbidden:** `torchvision`, `tensorflow`, `keras`.
#
# **Worked example.** `swap_left_and_right("Left: a lamp, leftover pizza on the right-hand side")` is
# `"Right: a lamp, leftover pizza on the left-hand side"`. In an image 10 pixels wide, the box (1, 2, 4, 7) becomes
# (6, 2, 9, 7): its left edge is as far from the left side as its right edge was from the right side.


# %% tags=["solution"]
def swap_left_and_right(caption: str) -> str:
    """Exchange left and right, leftmost and rightmost, as whole words in lower, Capitalised or UPPER case.

    Raises:
        TypeError: the caption is not a str.
    """
    ### BEGIN SOLUTION
    if not isinstance(caption, str):
        raise TypeError(f"the caption must be a str, not {type(caption).__name__}")
    styles = (str.lower, str.capitalize, str.upper)
    swaps = {style(word): style(other) for word, other in OPPOSITE.items() for style in styles}
    # one pass over all words: what was exchanged already is not looked at again
    return re.sub(r"\w+", lambda word: swaps.get(word[0], word[0]), caption)
    ### END SOLUTION


# %% tags=["solution"]
def flip_pair(
    image: np.ndarray, caption: str, boxes: ArrayLike, *, contains_text: bool = False
) -> tuple[np.ndarray, str, np.ndarray, bool]:
    """Mirror an image and keep its caption and its boxes consistent with it.

    Args:
        image: `(height, width, channels)`, any dtype.
        caption: a text about the image.
        boxes: `(n, 4)`, x1, y1, x2, y2 in pixels, inside the image.
        contains_text: leave everything as it is, since mirrored writing cannot be read.

    Returns:
        image (C-contiguous, same dtype, own memory), caption, boxes (new float64 array), whether the pair was flipped.

    Raises:
        ValueError: image or boxes of another shape, or a box that is not inside the image.
        TypeError: the caption is not a str.
    """
    ### BEGIN SOLUTION
    if image.ndim != 3:
        raise ValueError(f"the image must be (height, width, channels), not of shape {image.shape}")
    swapped = swap_left_and_right(caption)
    boxes = np.array(boxes, dtype=np.float64)  # (n, 4), a copy
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be (n, 4), not of shape {boxes.shape}")
    height, width, _ = image.shape
    x1, y1, x2, y2 = boxes.T
    # asked this way round, NaN is refused as well
    inside = (x1 >= 0) & (x1 <= x2) & (x2 <= width) & (y1 >= 0) & (y1 <= y2) & (y2 <= height)
    if not inside.all():
        raise ValueError(f"every box must be inside the image of height {height} and width {width}")

    if contains_text:
        return image.copy(), caption, boxes, False
    # the right edge becomes the left one: x1' = width - x2 and x2' = width - x1
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return image[:, ::-1].copy(), swapped, boxes, True
    ### END SOLUTION


# %% [markdown]
# **Try it.** An image of two rows and three columns with one channel.

# %% tags=["visible-checks", "active-ipynb"]
# assert swap_left_and_right("the LEFT cup, right of the leftmost lamp") == "the RIGHT cup, left of the rightmost lamp"
# assert swap_left_and_right("a bright kite") == "a bright kite"
#
# photo = np.array([[[1], [2], [3]], [[4], [5], [6]]], dtype=np.uint8)
# mirrored, caption, boxes, flipped = flip_pair(photo, "Left, a tree", [[0, 0, 1, 2], [0.5, 1, 3, 2]])
# assert flipped and caption == "Right, a tree"
# assert mirrored.dtype == np.uint8 and mirrored[:, :, 0].tolist() == [[3, 2, 1], [6, 5, 4]]
# assert np.allclose(boxes, [[2, 0, 3, 2], [0, 1, 2.5, 2]])
#
# same, caption, boxes, flipped = flip_pair(photo, "turn right", np.zeros((0, 4)), contains_text=True)
# assert np.array_equal(same, photo), "with contains_text=True the image must not be mirrored"
# assert not flipped and caption == "turn right" and boxes.shape == (0, 4)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Flip a pair twice. Which parts have to be exactly what they were before? Take a caption that holds "left" and "right",
# and a box that does not lie in the middle, and go through your steps by hand.
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# All words have to change at the same moment: a word that was exchanged must not be met again by the next replacement.
# So the text is read once, word by word, and each word is looked up. For a box, ask where its *edges* go: an edge at
# distance d from the left side is at distance d from the right side afterwards, and so left edges become right edges.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Make a table of all twelve spellings that are to be exchanged, four words in three cases. Replace each word of the
# caption by its entry, if it has one. For the pair: check everything first; if there is writing in the image, return
# copies; otherwise reverse the columns and copy, swap the caption, and compute both new x from both old ones before you
# write any of them.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# re.sub(r"\w+", lambda match: table.get(match[0], match[0]), text)  # every word is looked up once
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). *Learning Transferable Visual Models From Natural
#   Language Supervision.* The model called CLIP.
#
# The works behind the model answer are listed there, in the solution: their titles would answer the question.
