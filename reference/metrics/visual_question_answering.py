# %% [markdown]
# # Accuracy of visual question answering
#
# Where are multimodal models used? The quick answer, "in language, vision and speech", names three fields that get
# along with one modality each. What an interviewer hopes to hear are *tasks*: what goes in, what comes out, and by
# which number somebody decides. The number is where it becomes interesting: ten people who look at one picture and
# answer one question rarely agree, so even "accuracy" has to be invented. Here you answer the interview question in
# your own words, judge eight claims about it, and write the accuracy of visual question answering, from ten human
# answers.
#
# Plan about 35 minutes: 10 for the answer, 5 for the claims, 20 for the code.

# %%
import string
from collections.abc import Sequence

import numpy as np

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
ARTICLES = ("a", "an", "the")

# %% [markdown]
# ## The question
#
# *"Where are multimodal models used, and how do you tell for each use whether the model is any good?"*
#
# Answer in the next cell as you would say it aloud, in 10 to 15 sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# 1. five or more tasks that need several modalities, with what goes in and what comes out;
# 2. how answers and captions are scored;
# 3. how finding, reading, pointing and making images are scored;
# 4. typical models, and what they are still bad at.

# %% [markdown] tags=["answer"]
# ### Model answer
#
# "I sort applications by what goes in and what comes out, because that decides the metric.
#
# **Visual question answering** takes an image and a question and gives a short text. Ten people answered each question,
# and an answer scores min(matches / 3, 1), averaged over the ten ways to leave one of them out (Antol et al. 2015).
# **Captioning** takes an image and gives a sentence; CIDEr compares it with several human captions (Vedantam et al.
# 2015), and because a fluent caption can name things that are not there, I also count invented objects (Rohrbach et al.
# 2018). **Retrieval** finds the image for a text and the text for an image: Recall@K in both directions, with two-tower
# models such as CLIP or SigLIP (Radford et al. 2021; Zhai et al. 2023), which also classify without training.
#
# Then there is **reading and pointing**: documents, charts and screens, with a tolerant string similarity (ANLS) on
# DocVQA (Mathew et al. 2021); grounding, where the answer is a box, with intersection over union; and agents that act
# on a screen or a robot, with the success rate of whole tasks. Today one vision-language model, of the Qwen-VL kind for
# example (Wang et al. 2024), does most of these, and writes text for all of them. Video understanding and reports on
# medical images belong here too.
#
# **Text-to-image** goes the other way: diffusion models such as latent diffusion (Rombach et al. 2022). FID compares
# the distribution of generated and real images (Heusel et al. 2017), lower is better; it does not see the prompt, so
# agreement with the prompt and human preference are measured beside it.
#
# Not every multimodal model generates every modality: most take images and text and return text only. Their limits are
# the same across tasks. They invent objects (Li et al. 2023), are weak on spatial relations and counting, can answer
# from the question alone, read private things in pictures, and cost much per image. So for an application I measure on
# its own data, look at a version without the image, and report latency and cost."
#
# ### Rubric, 4 points
#
# Half a point where an item is only partly there.
#
# - 1 point, tasks: at least five that need several modalities, each with what goes in and what comes out, and not
#   fields such as vision or language; not every model generates every modality.
# - 1 point, answers and captions: VQA accuracy as agreement with several annotators; CIDEr (or the like) for captions,
#   and beside it a test for invented objects.
# - 1 point, finding, reading, pointing, making: Recall@K in both directions; a fitting metric for documents, boxes or
#   actions (ANLS, IoU, task success); FID or preference for text-to-image, and FID does not see the prompt.
# - 1 point, models and limits: a typical model for at least three tasks; at least three of hallucination, spatial
#   relations and counting, answering from the question alone, privacy, cost.
#
# An answer that lists language, vision and speech and says that models understand and generate all kinds of data earns
# at most half a point.
#
# ### References of the model answer
#
# - Stanislaw Antol, Aishwarya Agrawal, Jiasen Lu, et al. (2015). VQA: Visual Question Answering.
# - Martin Heusel, Hubert Ramsauer, Thomas Unterthiner, Bernhard Nessler, Sepp Hochreiter (2017). GANs Trained by a Two
#   Time-Scale Update Rule Converge to a Local Nash Equilibrium (FID).
# - Yifan Li, Yifan Du, Kun Zhou, Jinpeng Wang, Xin Zhao, Ji-Rong Wen (2023). Evaluating Object Hallucination in Large
#   Vision-Language Models (POPE).
# - Minesh Mathew, Dimosthenis Karatzas, C. V. Jawahar (2021). DocVQA: A Dataset for VQA on Document Images.
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). Learning Transferable Visual Models From Natural Language
#   Supervision.
# - Anna Rohrbach, Lisa Anne Hendricks, Kaylee Burns, Trevor Darrell, Kate Saenko (2018). Object Hallucination in Image
#   Captioning.
# - Robin Rombach, Andreas Blattmann, Dominik Lorenz, Patrick Esser, Björn Ommer (2022). High-Resolution Image Synthesis
#   with Latent Diffusion Models.
# - Ramakrishna Vedantam, C. Lawrence Zitnick, Devi Parikh (2015). CIDEr: Consensus-based image description evaluation.
# - Peng Wang, Shuai Bai, Sinan Tan, et al. (2024). Qwen2-VL: Enhancing Vision-Language Model's Perception of the World
#   at Any Resolution.
# - Xiaohua Zhai, Basil Mustafa, Alexander Kolesnikov, Lucas Beyer (2023). Sigmoid Loss for Language Image Pre-Training.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of the wrong ones are often published. The point of the exercise is the
# reason you could give for each. All of them must be right for the 3 points, so guessing earns nothing. "VQA accuracy"
# is the average over leave-one-out subsets that "The code" describes; CIDEr is a score of captions, FID (Fréchet
# inception distance) one of generated images.
#
# | id | claim |
# |---|---|
# | `fields_are_tasks` | Natural language processing and computer vision are, each by itself, multimodal tasks. |
# | `generates_everything` | Every multimodal model can generate each kind of data that it can take as input. |
# | `three_of_ten` | An answer that exactly three of ten annotators gave has a VQA accuracy of 1. |
# | `several_right` | Two different answers to one question can both have a VQA accuracy of 1. |
# | `fluent_but_invented` | A caption can score well in CIDEr and still name an object that is not in the image. |
# | `strings_not_meaning` | VQA accuracy can score 0 for an answer that means the same as all the human answers. |
# | `both_directions` | On one set of pairs, Recall@K from text to image and from image to text can differ. |
# | `fid_sees_the_prompt` | A low FID shows that generated images fit their prompts. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "fields_are_tasks",
        "generates_everything",
        "three_of_ten",
        "several_right",
        "fluent_but_invented",
        "strings_not_meaning",
        "both_directions",
        "fid_sees_the_prompt",
    ]
)
### BEGIN SOLUTION
claims.update(
    # Each is a field that mostly works within one modality. Question answering about images needs both.
    fields_are_tasks=False,
    # Most vision-language models take images and text and return text; input and output are separate questions.
    generates_everything=False,
    # Leaving out one of the three leaves two matches, 2/3; leaving out one of the seven others leaves 1. Mean: 0.9.
    three_of_ten=False,
    # Four matches of ten are enough, whoever is left out, so two answers with four or more annotators each both are.
    several_right=True,
    # It rewards agreement with the words of human captions; one invented object costs little (Rohrbach et al. 2018).
    fluent_but_invented=True,
    # "sofa" against ten times "couch": the strings differ, and normalising removes differences of form only.
    strings_not_meaning=True,
    # The queries, the candidates and the number of right answers differ; an image usually has several captions.
    both_directions=True,
    # It compares two sets of images, without any text: perfect images in the wrong order have the same FID.
    fid_sees_the_prompt=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** where people disagree, an answer is as good as the number of people who gave it, and no person may
# decide alone. Three other people are enough for full marks.
#
# ### `normalize_answer(s) -> str`
#
# Brings an answer into a form in which case, punctuation and articles do not matter, in this order:
#
# 1. `s.lower()`.
# 2. Every character of `string.punctuation` becomes a **space**, with two exceptions that stay: a `.` with a digit
#    directly before and directly after it, and a `'` with a letter directly before and directly after it (in the
#    lower-cased string; a digit is what `str.isdigit` says, a letter what `str.isalpha` says). Characters that are not
#    in `string.punctuation`, such as the typographic apostrophe, stay too.
# 3. Split at whitespace into words; "one's" is then one word.
# 4. The words zero to ten become the numbers 0 to 10, in digits.
# 5. The words a, an and the are dropped.
# 6. Join the words with single spaces. If no word is left, the result is the empty string.
#
# ### `vqa_accuracy(predictions, answers) -> (N,) float64`
#
# `predictions` is a list of `N` strings and `answers` a list of `N` lists of strings, those of the annotators (ten in
# the usual benchmarks; here any number from 2 on, and not the same for all questions). Predictions and answers are all
# normalised. The score of a question: leave out one annotator at a time, take min(matches / 3, 1) among the others, and
# average over all annotators. A match is an equal normalised string, also an empty one; equal answers of different
# annotators all count. The result has one score a question; it is not averaged over the questions.
#
# ### Rules
#
# - **`ValueError`** for different numbers of predictions and questions, and for a question with fewer than 2 answers.
# - No questions at all give an empty array. Leave the arguments unchanged.
# - Everything in Python and NumPy is allowed.
#
# ### A worked example
#
# `normalize_answer("The cat's 4.5 kg; two a day!")` is `"cat's 4.5 kg 2 day"`.
#
# Prediction "the cat", answers "cat", "A cat.", "kitten", "Cat!", "dog": three of five match. Leaving out one of the
# three leaves 2 matches, 2/3; leaving out "kitten" or "dog" leaves 3, so 1. The score is (3 · 2/3 + 2 · 1) / 5 = 0.8.


# %% tags=["solution"]
def normalize_answer(s: str) -> str:
    """Lower case, without punctuation and articles, small numbers as digits (after Antol et al. 2015).

    Decimal points between digits and apostrophes between letters stay. Returns words joined by single spaces.
    """
    ### BEGIN SOLUTION
    text = s.lower()
    characters = []
    for i, character in enumerate(text):
        before, after = text[:i][-1:], text[i + 1 :][:1]  # empty at the ends, and then neither digit nor letter
        decimal_point = character == "." and before.isdigit() and after.isdigit()
        apostrophe = character == "'" and before.isalpha() and after.isalpha()
        replaced = character in string.punctuation and not decimal_point and not apostrophe
        characters.append(" " if replaced else character)
    digits = {word: str(number) for number, word in enumerate(NUMBERS)}
    words = [digits.get(word, word) for word in "".join(characters).split()]
    return " ".join(word for word in words if word not in ARTICLES)
    ### END SOLUTION


def vqa_accuracy(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> np.ndarray:
    """Agreement of each answer with human annotators (Antol et al. 2015).

    Args:
        predictions: N strings.
        answers: N sequences of at least 2 strings, the annotators' answers.

    Returns:
        float64 array (N,): min(matches / 3, 1) among all annotators but one, averaged over the one left out.

    Raises:
        ValueError: different lengths, or fewer than 2 annotators for a question.
    """
    ### BEGIN SOLUTION
    scores = []
    for prediction, given in zip(predictions, answers, strict=True):  # ValueError if their numbers differ
        if len(given) < 2:
            raise ValueError(f"{len(given)} answers of annotators; leaving one out needs at least 2")
        matches = [normalize_answer(answer) == normalize_answer(prediction) for answer in given]
        # matches among the others = all matches, less that of the annotator left out
        scores.append(np.mean([min((sum(matches) - left_out) / 3, 1) for left_out in matches]))
    return np.array(scores, dtype=np.float64)  # (questions,)
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# assert normalize_answer("An apple, 2.5 pears & the Egg!") == "apple 2.5 pears egg"
# assert normalize_answer("It's three o'clock.") == "it's 3 o'clock"
#
# scores = vqa_accuracy(
#     ["Two dogs", "red"],
#     [["2 dogs", "two dogs.", "three dogs", "2 cats"], ["blue", "red"]],
# )
# assert scores.dtype == np.float64 and np.allclose(scores, [1 / 2, 1 / 6]), scores

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Of ten annotators three gave the model's answer. If one of the three did not count, what would the score be, and what
# if one of the other seven did not? And what would your normalisation make of "theatre", and of "3.5"?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Leaving one annotator out puts the model in the place of a person: a person's answer is compared with the *other*
# people's too. Only the number of matches matters, so there are two cases, the one left out matched or did not.
# Normalisation works on whole words: articles and numbers are looked up after splitting, never replaced inside words.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Lower the string; go through it with a look at both neighbours of each character and replace punctuation by spaces;
# split; look up numbers; drop articles; join. For the score: compare lengths; for each question make a list of
# booleans, one for each annotator; for each annotator subtract its boolean from the number of matches, divide by 3, cut
# at 1; take the mean.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# np.mean([min((total - match) / 3, 1) for match in matches])  # total = sum(matches)
# ```
# </details>

# %% [markdown]
# ## References
#
# The works behind the interview answer are listed with the model answer. The metric is from Stanislaw Antol, Aishwarya
# Agrawal, Jiasen Lu, et al. (2015). VQA: Visual Question Answering; the normalisation is a short version of what such
# benchmarks do, and numbers are comparable only between scores that were normalised in the same way.
