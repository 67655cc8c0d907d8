# %% [markdown]
# # What a second modality adds: mutual information
#
# "Several modalities are better than one" is said so often that few people ask how much better, and when. A second
# modality can repeat what the first one tells, add something of its own, or tell something that only both together
# give away; it can also bring noise and a worse model. Here you answer the interview question in your own words, judge
# eight claims about it, and measure in bits what text, image and both of them tell about a label.
#
# Plan about 35 minutes: 12 for the answer, 5 for the claims, 18 for the code.

# %%
import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"What is the principle behind combining several modalities, and why can the combination beat each single one?"*
#
# Answer in the next cell as you would say it aloud, in about twelve sentences. The answer is worth 4 points and is read
# by a person, one point for each of these:
#
# - *the information*: which kinds of information about the label two modalities can hold, with an example of each;
# - *the limit*: what adding a modality guarantees, what it does not, and how a multimodal model can lose;
# - *the design*: at which places of a model modalities can be combined, and which kind of information needs which;
# - *the test*: how you find out whether your model profits from both, and from the two together.

# %% [markdown] tags=["answer"]
# **Model answer.** "I ask what each modality tells about the label. That information falls into parts (Williams & Beer
# 2010; for multimodal data Liang et al. 2023). *Redundant* information is in both: a caption and a photo both show a
# dog. *Unique* information is in one only: the price stands in the text, the colour is in the image. *Synergy* is in
# neither alone: whether a remark is ironic may show only when words and picture are put side by side.
#
# With Z the label, the mutual information I(T,I;Z) is at least as large as I(T;Z) and I(I;Z), so an ideal predictor
# cannot lose. A trained one can: joint networks often do worse than the best single modality, because they have more to
# overfit and the modalities learn at different rates (Wang, Tran & Feiszli 2020). A noisy or conflicting modality makes
# it worse. So combining does not improve accuracy or robustness by itself.
#
# Each part asks for something else. Redundancy makes a model robust to a missing modality, if it was trained for that.
# Unique information can be added up: late fusion, each modality with a model of its own, will do. Synergy needs terms
# in which the modalities interact: early fusion of the inputs, intermediate fusion by cross-attention or products, or
# a hybrid. An average of two unimodal outputs cannot express it. Beside fusion there is co-learning, where one modality
# helps to train a model for another; co-training, in which two views label data for each other, is the classic (Blum &
# Mitchell 1998).
#
# Then I test it: strong unimodal baselines, each modality removed or shuffled in turn, and EMAP, which replaces the
# model by its best additive approximation. If that scores as well, the model gained nothing from interactions (Hessel &
# Lee 2020)."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, the information: redundant, unique and synergistic, or the same in other words, at least two of them with
#   an example. "They complement each other" alone earns nothing.
# - 1 point, the limit: the information about the label cannot fall, a trained model can still lose; one reason
#   (overfitting, different learning rates, noise, conflict).
# - 1 point, the design: early, intermediate and late fusion, and that synergy needs interaction terms. What redundancy
#   is good for, and co-learning, are welcome here.
# - 1 point, the test: unimodal baselines *and* one of removal, shuffling, EMAP.
#
# **References of the model answer**
#
# - Avrim Blum, Tom Mitchell (1998). *Combining Labeled and Unlabeled Data with Co-Training.*
# - Jack Hessel, Lillian Lee (2020). *Does my multimodal model learn cross-modal interactions? It's harder to tell than
#   you might think!*
# - Weiyao Wang, Du Tran, Matt Feiszli (2020). *What Makes Training Multi-Modal Classification Networks Hard?*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are often published. T is the text, I the image and Z the label,
# random variables with finitely many values; I(T;Z) is the mutual information of T and Z. Late averaging is the mean of
# P(Z given T) and P(Z given I), the exact probabilities. All of them must be right for the 3 points, so guessing earns
# nothing.
#
# | id | claim |
# |---|---|
# | `trained_model` | A model trained on both modalities is sure to reach the accuracy of the best unimodal one. |
# | `not_below_either` | I(T,I;Z) is at least as large as I(T;Z), and at least as large as I(I;Z). |
# | `sum_of_parts` | For all T, I and Z, what both tell together, I(T,I;Z), is the sum I(T;Z) + I(I;Z). |
# | `useless_alone` | If I(I;Z) = 0, the image can be left out without losing information about the label. |
# | `late_average` | If Z is the XOR of two fair, independent bits T and I, late averaging says 1/2 for every sample. |
# | `copied_modality` | If the image is an exact copy of the text, I = T, either alone tells as much about Z as both. |
# | `zero_interaction` | If I(T,I;Z) = I(T;Z) + I(I;Z), the two share no redundant information about Z. |
# | `beats_baselines` | A model that beats all unimodal baselines has thereby been shown to use synergy. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "trained_model",
        "not_below_either",
        "sum_of_parts",
        "useless_alone",
        "late_average",
        "copied_modality",
        "zero_interaction",
        "beats_baselines",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # More inputs are more to overfit, and the modalities learn at different rates (Wang, Tran & Feiszli 2020).
    trained_model=False,
    # The chain rule: I(T,I;Z) = I(T;Z) + I(I;Z given T), and no mutual information is negative.
    not_below_either=True,
    # A copied bit is counted twice by the sum, the XOR of two bits not at all.
    sum_of_parts=False,
    # With the XOR, I(I;Z) = 0 and I(T;Z) = 0, and both together determine the label.
    useless_alone=False,
    # P(Z given T) and P(Z given I) say 1/2 for both labels, and so does their mean: it cannot express synergy.
    late_average=True,
    # The pair (T, T) takes its values exactly as T does, so it tells exactly as much.
    copied_modality=True,
    # Redundancy and synergy can cancel: a copied bit beside the XOR of two more gives 2 = 1 + 1.
    zero_interaction=False,
    # Unique information of both, added up, beats each one without any interaction (Hessel & Lee 2020).
    beats_baselines=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** the information that one variable has about another is the uncertainty that it takes away. Uncertainty
# is entropy, so three entropies give one mutual information, and three mutual informations say whether two modalities
# repeat or complete each other. What both tell is *redundant* information; what only both together tell is *synergy*.
# Everything is counted in **bits**: logarithms are to base 2.
#
# **1. `entropy(probabilities) -> float`**: the mean of -log2 p over the outcomes, each with its probability p as its
# weight. `probabilities` has one axis or more; every entry is one outcome, and the result is one number for them all.
# An outcome of probability 0 adds 0.
#
# **2. `mutual_information(table) -> float`**: `table[a, c]` = P(first = a, second = c), of shape `(A, C)`. It is
#
# - the sum over all cells of P(a, c) · log2 [ P(a, c) / (P(a) P(c)) ], where a cell of probability 0 adds 0;
# - the same number in other words: the entropy of the second variable, less what is left of it on average once the
#   first one is known.
#
# **3. `interaction_bits(joint) -> dict`**: `joint[a, b, c]` = P(T = a, I = b, Z = c), of shape `(A, B, C)`: text,
# image, label. The dictionary holds
#
# | key | value |
# |---|---|
# | `text` | I(T;Z), what the text tells about the label |
# | `image` | I(I;Z), what the image tells about the label |
# | `joint` | I(T,I;Z), what the pair (text, image), as one variable, tells about the label |
# | `interaction` | `joint - text - image`: above 0 where synergy prevails, below 0 where redundancy does |
#
# Rules:
#
# - Tables may be lists, or arrays of integers or of any float dtype. They are converted to float64 first, and all is
#   computed in float64. No argument is changed.
# - An axis may have length 1 or any other, and a value may have probability 0 throughout. Probabilities as small as
#   1e-200 occur; the product of two of them is 0 in float64.
# - Results have to be right to 1e-8. Probabilities are used as they are: no constant is added to them.
# - `interaction` keeps its sign. Where `text`, `image` or `joint` should be 0, it may come out as -1e-16 by rounding;
#   whether you lift that to 0 is up to you.
# - Every result and every value of the dictionary is a single number: a Python float, a NumPy float64 or an array of
#   shape `()`. Further keys do no harm.
# - `ValueError`, from all three, if a probability is negative, however little, or NaN, or if the probabilities add up
#   to something that is off 1 by more than 1e-8 (a table that is off by less is accepted); from 2 if the table does not
#   have two axes; from 3 if it does not have three.
# - **Forbidden:** `scipy`, `sklearn`, `torch`, `tensorflow` and `keras`. Your functions may call each other.
#
# **Worked example.** A post is offensive (Z = 1) only if a certain word occurs (T = 1) *and* a certain image (I = 1).
# Both occur independently in half of all posts, so each of the four pairs (t, i) has probability 1/4.
#
# | | Z = 0 | Z = 1 |
# |---|---|---|
# | **T = 0** | 1/2 | 0 |
# | **T = 1** | 1/4 | 1/4 |
# | both | 3/4 | 1/4 |
#
# The label's entropy is 3/4 · log2(4/3) + 1/4 · log2(4) = 0.811. Without the word (half of the time) nothing is open
# any more, with it one bit is: 1/2 on average. So I(T;Z) = 0.811 - 0.5 = 0.311, and I(I;Z) is the same. The pair
# settles the label: I(T,I;Z) = 0.811. The interaction is 0.811 - 0.311 - 0.311 = +0.189 bits, which a model has to get
# from word and image together.


# %% tags=["solution"]
def entropy(probabilities: ArrayLike) -> float:
    """Entropy in bits of the outcomes whose probabilities are the entries of an array.

    Args:
        probabilities: any shape with at least one axis; every entry is one outcome.

    Raises:
        ValueError: a probability is negative or NaN, or their sum is off 1 by more than 1e-8.
    """
    ### BEGIN SOLUTION
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if not (probabilities >= 0).all():  # NaN fails as well
        raise ValueError("probabilities must not be negative or NaN")
    if abs(probabilities.sum() - 1) > 1e-8:
        raise ValueError(f"probabilities must add up to 1, not to {probabilities.sum()}")
    # mean of -log2 p; what has probability 0 never happens and adds nothing
    occurring = probabilities[probabilities > 0]  # (outcomes that can happen,)
    return float(-(occurring * np.log2(occurring)).sum())
    ### END SOLUTION


def mutual_information(table: ArrayLike) -> float:
    """Mutual information in bits of two variables.

    Args:
        table: (A, C), the probability of every pair of their values.

    Raises:
        ValueError: not two axes, or probabilities that entropy refuses.
    """
    ### BEGIN SOLUTION
    table = np.asarray(table, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"expected a table (A, C), got shape {table.shape}")
    first, second = table.sum(axis=1), table.sum(axis=0)  # (A,), (C,)
    # what both hold, counted one by one, less what they hold as a pair: what they share is counted twice
    return entropy(first) + entropy(second) - entropy(table)
    ### END SOLUTION


def interaction_bits(joint: ArrayLike) -> dict[str, float]:
    """What text, image and both together tell about a label, in bits.

    Args:
        joint: (A, B, C), the probability of text a, image b and label c.

    Returns:
        A dict of four numbers: `text` = I(T;Z), `image` = I(I;Z), `joint` = I(T,I;Z), and `interaction`, which is
        joint - text - image: synergy less redundancy in the sense of Williams & Beer (2010).

    Raises:
        ValueError: not three axes, or probabilities that entropy refuses.
    """
    ### BEGIN SOLUTION
    joint = np.asarray(joint, dtype=np.float64)
    if joint.ndim != 3:
        raise ValueError(f"expected a table (A, B, C), got shape {joint.shape}")
    text = mutual_information(joint.sum(axis=1))  # (A, C)
    image = mutual_information(joint.sum(axis=0))  # (B, C)
    pairs = joint.reshape(-1, joint.shape[2])  # (A * B, C): every pair of text and image is one value
    both = mutual_information(pairs)
    return {"text": text, "image": image, "joint": both, "interaction": both - text - image}
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# found = entropy([[1 / 2, 1 / 4], [1 / 8, 1 / 8]])
# assert np.isclose(found, 1.75), f"entropy is {found}; it should be 1/2 * 1 + 1/4 * 2 + 2 * 1/8 * 3 = 1.75"
# found = mutual_information(np.array([[6, 1], [1, 4], [2, 2]]) / 16)
# assert abs(found - 0.25424004) < 1e-7, f"mutual_information is {found}; it should be 0.25424004"
# joint = np.array([[[9, 1], [2, 3], [2, 1]], [[1, 2], [1, 4], [1, 5]]]) / 32  # (2 texts, 3 images, 2 labels)
# found = interaction_bits(joint)
# for key, expected in dict(text=0.19257416, image=0.14971502, joint=0.29486691, interaction=-0.04742227).items():
#     assert abs(found[key] - expected) < 1e-7, f"{key} is {found[key]}; it should be {expected}"

# %% [markdown]
# **Read four worlds.** In each of the next worlds two modalities settle the label. Before you run the cell: in which of
# them would you pay for the second modality, where would an average of two unimodal models do, and where would it not?
# The last two lines draw 40 and 4000 samples of a world in which nothing depends on anything. What do you learn about
# information that is estimated from counts?

# %% tags=["active-ipynb"]
# def world(label, n_labels=2):
#     joint = np.zeros((2, 2, n_labels))
#     for t in (0, 1):
#         for i in (0, 1):
#             joint[t, i, label(t, i)] = 1 / 4
#     return joint
#
# copied = np.zeros((2, 2, 2))
# copied[0, 0, 0] = copied[1, 1, 1] = 1 / 2
# worlds = {
#     "one bit, copied into both": copied,
#     "two bits, one in each": world(lambda t, i: 2 * t + i, n_labels=4),
#     "one bit, the XOR of both": world(lambda t, i: t ^ i),
#     "a word and an image": world(lambda t, i: t & i),
# }
# generator = np.random.default_rng(0)
# for samples in (40, 4000):
#     draws = generator.integers(3, size=(3, samples))
#     counts = np.zeros((3, 3, 3))
#     np.add.at(counts, tuple(draws), 1)
#     worlds[f"nothing at all, {samples} samples"] = counts / samples
# for name, joint in worlds.items():
#     print(f"{name:30s}", "   ".join(f"{key} {value:6.3f}" for key, value in interaction_bits(joint).items()))

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Somebody tells you the values of T and Z, drawn from a table in which Z is a copy of T. How many bits did you learn
# from the first, how many from the second, and how many from both? And if T and Z were independent?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A table of two variables holds three distributions: that of the pairs, and two margins, each of which sums the other
# variable out. Mutual information compares the entropies of all three. A table of three variables becomes one of two
# when a variable is summed out, or when two of them are read as one.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# In `entropy`, check, keep the positive entries, and take the weighted mean of their -log2. In `mutual_information`,
# sum each axis out in turn and compare the entropies of both margins with that of the table; taking logarithms one by
# one, rather than of a product, keeps tiny probabilities apart from 0. `interaction_bits` makes three tables and asks
# `mutual_information` about each.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# pairs = joint.reshape(-1, joint.shape[2])  # (A * B, C)
# ```
#
# </details>
#
# ## Going further
#
# The interaction is one number for two things, synergy less redundancy. To tell them apart one needs a definition of
# redundancy, on which there is more than one opinion; that of Williams & Beer was the first. And real images are not
# eight values in a table: there, mutual information has to be estimated, and estimates from few samples are too high,
# as the last two lines of the cell above show.
#
# ## References
#
# - Paul Pu Liang, Yun Cheng, Xiang Fan, et al. (2023). *Quantifying & Modeling Multimodal Interactions: An Information
#   Decomposition Framework.*
# - Paul L. Williams, Randall D. Beer (2010). *Nonnegative Decomposition of Multivariate Information.*
#
# The other works behind the interview answer are listed with the model answer.
