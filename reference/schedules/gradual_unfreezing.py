# %% [markdown]
# # Slanted triangles and gradual unfreezing
#
# A pretrained model knows a lot, and a new head on top of it knows nothing. If all of it is trained at once and at one
# rate, the first updates carry the confusion of the head into every layer below. Howard and Ruder's recipe is more
# patient: small rates at the bottom and larger ones at the top, one group of layers after the other set free, and a
# schedule with a short climb and a long fall. Here you answer the interview question in your own words, judge eight
# claims about it, and write the three parts of the recipe.
#
# Plan about 40 minutes: 15 for the answer, 5 for the claims, 20 for the code.

# %%
from __future__ import annotations

import math

# %% [markdown]
# ## The question
#
# *"What is transfer learning, and what is it good for? How do you fine-tune a pretrained model for your task without
# losing what it has learned?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *what it is*: a definition, and the ways from using a model as it is to training all of it;
# - *what can go wrong*: when it does not help, and what training everything at once may cost;
# - *doing it gradually*: rates by depth, the order in which layers are set free, the schedule;
# - *other ways, and how you judge*: what keeps you near the pretrained model, and what you compare with.

# %% [markdown] tags=["answer"]
# **Model answer.** "Transfer learning uses what a model has learned on one task or one kind of data to learn another
# one with fewer labels (Pan and Yang 2010). It works because features of the lower layers are general and become
# specific towards the top (Yosinski et al. 2014). The ways form a spectrum: zero-shot use; a linear probe on frozen
# features; parameter-efficient training such as adapters or LoRA; training the upper layers; training everything.
#
# It is no free gain. If source and target disagree, transfer can be negative. Training everything at once, with a
# random head on top, can distort features that were good, which shows on shifted data first (Kumar et al. 2022), and
# makes the model forget other abilities. Nothing about deployment gets faster by it: the network is as large as
# before.
#
# So I go gradually. First the head alone on the frozen trunk, then the rest. Each group of layers gets its own rate,
# largest at the top: Howard and Ruder (2018) divide by 2.6 from one group to the next below, and transformers are
# fine-tuned with a decay per layer (ELECTRA, Clark et al. 2020; BEiT, Bao et al. 2022). Groups are unfrozen from the
# top, one more an epoch. The rate climbs for a short time and falls for a long one, to a small value that is not
# zero. I make sure that the optimiser holds what I unfreeze, and that frozen batch normalisation is in evaluation
# mode.
#
# Alternatives keep the model near its start: LoRA leaves the weights alone, L2-SP penalises the distance to them (Li,
# Grandvalet and Davoine 2018), and interpolating between the weights before and after keeps robustness (Wortsman et
# al. 2022). I compare with a linear probe and with training from scratch, on the target, on shifted data, and on what
# the model could do before."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, what it is: knowledge of one task or domain used for another; at least three stations of the spectrum from
#   zero-shot or probe over partial or parameter-efficient training to full fine-tuning. General features below,
#   specific ones above is welcome here.
# - 1 point, what can go wrong: negative transfer; distorted features or forgetting, with the reason (a large rate, a
#   random head).
# - 1 point, doing it gradually: smaller rates in lower layers; unfreezing from the top, or the probe first; a warm-up
#   followed by a decay.
# - 1 point, other ways and judging: one of parameter-efficient training, L2-SP, weight interpolation; baselines
#   (from scratch, linear probe) or a test of the old abilities.
#
# **References of the model answer**
#
# - Sinno Jialin Pan, Qiang Yang (2010). *A Survey on Transfer Learning.*
# - Jason Yosinski, Jeff Clune, Yoshua Bengio, Hod Lipson (2014). *How transferable are features in deep neural
#   networks?*
# - Xuhong Li, Yves Grandvalet, Franck Davoine (2018). *Explicit Inductive Bias for Transfer Learning with Convolutional
#   Networks.*
# - Kevin Clark, Minh-Thang Luong, Quoc V. Le, Christopher D. Manning (2020). *ELECTRA: Pre-training Text Encoders as
#   Discriminators Rather Than Generators.*
# - Hangbo Bao, Li Dong, Songhao Piao, Furu Wei (2022). *BEiT: BERT Pre-Training of Image Transformers.*
# - Ananya Kumar, Aditi Raghunathan, Robbie Matthew Jones, Tengyu Ma, Percy Liang (2022). *Fine-Tuning can Distort
#   Pretrained Features and Underperform Out-of-Distribution.*
# - Mitchell Wortsman, Gabriel Ilharco, Jong Wook Kim, et al. (2022). *Robust fine-tuning of zero-shot models.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are often published. All of them must be right for the 3 points, so
# guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `rate_zero_saves_memory` | With Adam, giving a group the rate 0 saves as much memory as freezing it does. |
# | `answers_faster` | Transfer learning makes the finished model answer faster than one trained from scratch. |
# | `first_layers_general` | The first layers of a deep network tend to transfer to more tasks than its last ones. |
# | `probe_first_can_win` | On shifted data, training the head first and then everything can beat everything at once. |
# | `freezing_stops_statistics` | `requires_grad = False` on all parameters also stops BatchNorm's running statistics. |
# | `optimizer_must_hold_it` | A group that was unfrozen later is trained only if the optimiser holds its parameters. |
# | `interpolation_keeps_more` | On shifted data, the mean of the weights before and after tuning can beat the tuned. |
# | `factor_compounds` | With 12 groups and the factor 2.6, the top's rate is over 10000 times the bottom's. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "rate_zero_saves_memory",
        "answers_faster",
        "first_layers_general",
        "probe_first_can_win",
        "freezing_stops_statistics",
        "optimizer_must_hold_it",
        "interpolation_keeps_more",
        "factor_compounds",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # Its gradients are still computed and stored, and so are Adam's averages; they are only multiplied by 0 at the end.
    rate_zero_saves_memory=False,
    # The network has the same size and does the same work for an answer, wherever its weights came from.
    answers_faster=False,
    # Features become more specific to their task with depth (Yosinski et al., 2014).
    first_layers_general=True,
    # A random head distorts the features below it; a head that fits already leaves them alone (Kumar et al., 2022).
    probe_first_can_win=True,
    # They are buffers, updated in every forward pass in training mode: put the layer in evaluation mode as well.
    freezing_stops_statistics=False,
    # Setting the flag makes autograd compute a gradient. Only an optimiser that was given the parameter uses it.
    optimizer_must_hold_it=True,
    # Between the two sets of weights there are often ones that are good on both kinds of data (Wortsman et al., 2022).
    interpolation_keeps_more=True,
    # There are eleven divisions, and 2.6 to the power of 11 is about 37000. A deep network wants a smaller factor.
    factor_compounds=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** what is closest to the new task learns first and fastest; what is general learns late and little.
#
# The layers of a model are put into groups, numbered from 0 at the *bottom* (the embeddings, or the first layers) to
# `n_groups - 1` at the *top* (the new head).
#
# ### `discriminative_lrs(n_groups, top_lr, factor=2.6) -> list[float]`
#
# The rate of every group, from the bottom up. The top has `top_lr`, and each group has the rate of the group above it
# divided by `factor`.
#
# ### `unfreeze_schedule(n_groups, epochs) -> list[list[int]]`
#
# For every epoch, counted from 0, the numbers of the groups that are trained in it, in ascending order. Epoch 0 trains
# the top alone; each epoch trains one group more, the next one below; when all are free they stay free. Every epoch has
# a list of its own, so that changing one changes no other. `epochs=0` gives an empty list.
#
# ### `slanted_triangular(t, total, lr_max, cut_frac=0.1, ratio=32) -> float`
#
# The rate of update `t` of a training of `total` updates, `t` from 0 to `total`, both included:
#
# - `cut = floor(total * cut_frac)` is the update with the highest rate, `lr_max`.
# - The rate climbs on a straight line from `lr_max / ratio` at update 0 to `lr_max` at update `cut`.
# - From there it falls on a straight line that reaches `lr_max / ratio` again after `cut * (1 / cut_frac - 1)` further
#   updates, and stays at `lr_max / ratio` afterwards, if updates are left. (Where `total * cut_frac` is a whole number,
#   none are left. Otherwise the line, followed to the end as the paper writes it, can become negative: with 15
#   updates it ends at -0.507 times `lr_max`.)
#
# ### Rules
#
# `ValueError` for `n_groups` below 1, `epochs` below 0, `factor` or `ratio` not above 1, `cut_frac` outside the open
# interval (0, 1), `cut` below 1 (a training too short for its climb), `t` outside [0, `total`], a rate (`top_lr`,
# `lr_max`) that is not positive, and for NaN or infinity in place of a rate, `factor`, `ratio` or `cut_frac`. Groups,
# epochs and updates are Python ints; the rates you return are Python floats in full precision. **Forbidden:** `torch`,
# `tensorflow` and `keras`.
#
# ### A worked example
#
# `discriminative_lrs(4, 0.8, factor=2)` is `[0.1, 0.2, 0.4, 0.8]`, and `unfreeze_schedule(3, 4)` is
# `[[2], [1, 2], [0, 1, 2], [0, 1, 2]]`. With `lr_max=0.8` and `ratio=8`:
#
# | `t` | 0 | 1 | 3 | 5 | 10 | 15 | 16 | 20 |
# |---|---|---|---|---|---|---|---|---|
# | `total=20, cut_frac=0.25`: `cut` is 5, falls for 15 | 0.1 | 0.24 | 0.52 | 0.8 | 0.567 | 0.333 | 0.287 | 0.1 |
# | `total=23, cut_frac=0.25`: `cut` is 5, falls for 15 | 0.1 | 0.24 | 0.52 | 0.8 | 0.567 | 0.333 | 0.287 | 0.1 |
#
# The second one has three more updates, 21 to 23, at 0.1.


# %% tags=["solution"]
def discriminative_lrs(n_groups: int, top_lr: float, factor: float = 2.6) -> list[float]:
    """Learning rate of every group of layers, index 0 = lowest, smaller by `factor` from group to group downwards.

    Raises ValueError unless n_groups is at least 1, top_lr positive and factor above 1, both finite.
    Source: discriminative fine-tuning, Howard and Ruder (2018).
    """
    ### BEGIN SOLUTION
    if n_groups < 1 or not 0 < top_lr < math.inf or not 1 < factor < math.inf:
        raise ValueError(f"n_groups {n_groups}, top_lr {top_lr} or factor {factor} is out of range")
    # one division for every group that lies between this one and the top
    return [top_lr / factor ** (n_groups - 1 - group) for group in range(n_groups)]
    ### END SOLUTION


def unfreeze_schedule(n_groups: int, epochs: int) -> list[list[int]]:
    """For every epoch the groups that are trained, ascending: the top first, one more in each epoch, in the end all.

    Raises ValueError unless n_groups is at least 1 and epochs at least 0.
    Source: gradual unfreezing, Howard and Ruder (2018).
    """
    ### BEGIN SOLUTION
    if n_groups < 1 or epochs < 0:
        raise ValueError(f"n_groups must be at least 1 and epochs at least 0, got {n_groups} and {epochs}")
    # epoch e trains the last e + 1 groups
    return [list(range(max(n_groups - 1 - epoch, 0), n_groups)) for epoch in range(epochs)]
    ### END SOLUTION


# %% tags=["solution"]
def slanted_triangular(t: int, total: int, lr_max: float, cut_frac: float = 0.1, ratio: float = 32) -> float:
    """Learning rate of update t: a short climb to lr_max, then a long fall to lr_max / ratio.

    Args:
        t: number of the update, from 0 to total.
        total: updates in all.
        lr_max: the highest rate, at update floor(total * cut_frac); positive and finite.
        cut_frac: share of the climb, strictly between 0 and 1.
        ratio: how much smaller the lowest rate is than the highest, above 1.

    Raises:
        ValueError: an argument is out of range, or floor(total * cut_frac) is below 1.

    Source: Howard and Ruder (2018), with the progress kept from becoming negative.
    """
    ### BEGIN SOLUTION
    # conditions that good values fulfil, so that NaN is refused as well
    if not 0 < lr_max < math.inf or not 1 < ratio < math.inf or not 0 < cut_frac < 1:
        raise ValueError(f"lr_max {lr_max}, ratio {ratio} or cut_frac {cut_frac} is out of range")
    if not 0 <= t <= total:
        raise ValueError(f"t must be between 0 and total = {total}, got {t}")
    cut = math.floor(total * cut_frac)
    if cut < 1:
        raise ValueError(f"{total} updates are too few for a climb over {cut_frac} of them")

    # height above the lowest rate: 0 at the start, 1 at the cut, 0 again at the end of the fall
    if t < cut:
        height = t / cut
    else:
        height = max(1 - (t - cut) / (cut * (1 / cut_frac - 1)), 0.0)
    return lr_max * (1 + height * (ratio - 1)) / ratio
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# rates = discriminative_lrs(3, 0.9, factor=3)
# assert len(rates) == 3 and all(math.isclose(*pair) for pair in zip(rates, [0.1, 0.3, 0.9])), rates
# assert unfreeze_schedule(2, 3) == [[1], [0, 1], [0, 1]], unfreeze_schedule(2, 3)
# rates = [slanted_triangular(t, 9, 1.0, cut_frac=0.25, ratio=4) for t in range(10)]
# expected = [0.25, 0.625, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.25]
# assert all(math.isclose(*pair) for pair in zip(rates, expected)), rates

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Whatever the arguments: the rates of any two neighbouring groups have the same quotient; a group that was trained in
# one epoch is trained in all later ones; and no rate of the triangle is above `lr_max` or below `lr_max / ratio`. Which
# of your formulas could break one of these, and at which end?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# The triangle is easier to see as a height between 0 and 1 above its lowest rate. Two straight lines make the height;
# where they meet, both give 1. A height of 0 belongs to `lr_max / ratio`, one of 1 to `lr_max`, and everything between
# is a straight line too.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# For the rates: how many groups lie above this one? Divide that often. For the plan: in which epoch is the lowest
# trained group which one, and where does that stop? For the triangle: check, find the cut, take the line of the climb
# or of the fall, do not let the height become negative, and turn it into a rate.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `return lr_max * (1 + height * (ratio - 1)) / ratio`
#
# </details>

# %% [markdown]
# ## References
#
# - Jeremy Howard, Sebastian Ruder (2018). *Universal Language Model Fine-tuning for Text Classification.* ACL 2018.
#
# The works behind the model answer are listed there, in the solution.
