# %% [markdown]
# # Gradients that pull against each other
#
# Asked about multi-task learning, most people list advantages: shared knowledge, less overfitting, less compute. The
# next questions are what is shared, why two tasks can also harm each other, and how one would see that. It can be seen:
# each task has a gradient for the shared parameters, and when two of them point apart, a step for one task undoes the
# other. Here you answer the interview question in your own words, judge eight claims about it, measure conflicts
# between tasks and project them away.
#
# Plan about 35 minutes: 10 for the answer, 5 for the claims, 20 for the code.

# %%
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"What is multi-task learning, and what does it bring? What can go wrong when several tasks share one model?"*
#
# Answer in the next cell as you would say it aloud, in 10 to 15 sentences. The answer is worth 4 points and is read by
# a person, one point for each of these:
#
# 1. what multi-task learning is, and at least two ways to share parameters;
# 2. what it brings, and the ways in which it fails;
# 3. how the tasks' losses or gradients are balanced, with your opinion on which method to try first;
# 4. practice: missing labels, which tasks go together, how you measure success, and where you meet multi-task learning
#    in today's multimodal models.

# %% [markdown] tags=["answer"]
# ### Model answer
#
# "Multi-task learning trains **one model on several tasks** whose losses meet in shared parameters, so that each task
# shapes the representation that the others use (Caruana 1997; Ruder 2017). In **hard sharing** all tasks use one trunk
# and each has a small head. In **soft sharing** each has its own network and a penalty keeps them close. In a
# **mixture of experts** each task weights shared experts with its own gate (MMoE, Ma et al. 2018). Two networks that
# merely run side by side are not multi-task learning: nothing is shared, so nothing is learned together.
#
# What it can bring is a better representation where labels are few, regularisation, and one model to serve in place of
# several. It does not make things cheaper as such: training may need more steps, and the trunk more width. And it can
# **hurt**: with negative transfer a task ends worse than if trained alone. Reasons are gradients that conflict, that
# is, with a negative dot product; losses on different scales, so that the loudest task wins; and tasks of very
# different size, where sampling decides who is heard.
#
# Against scale one weights the losses: by hand, by learned uncertainty (Kendall et al. 2018), or so that the gradient
# norms stay alike (GradNorm, Chen et al. 2018). Against conflict there is gradient surgery: PCGrad removes from each
# gradient the part that opposes another one (Yu et al. 2020), CAGrad looks for a common direction near the mean (Liu et
# al. 2021). These need one backward pass for each task. I would begin with the plain weighted sum and tuned weights: it
# is a strong baseline, and careful comparisons found little or nothing above it (Kurin et al. 2022; Xin et al. 2022).
#
# In **practice** many samples have labels for some tasks only; their missing losses are masked, not counted as class 0.
# Which tasks help each other is an empirical question (Standley et al. 2020), so I compare each task with its
# single-task model and report per-task metrics, never just the sum of losses. In vision-language models the current
# form is instruction tuning: captioning, question answering and grounding as one text-generation task with one loss
# (Liu et al. 2023), in which the mixture of the data plays the part of the loss weights."
#
# ### Rubric, 4 points
#
# Half a point where an item is only partly there.
#
# - 1 point, definition: one model, losses that meet in shared parameters; two of hard sharing, soft sharing, experts.
# - 1 point, gains and harm: at least one condition for a gain, and negative transfer with a reason (conflicting
#   gradients, loss scales, task sizes). A list of advantages alone earns nothing here.
# - 1 point, balancing: a weighting method and a gradient method, or one of them explained well; the plain weighted sum
#   named as a baseline.
# - 1 point, practice: two of masked losses for missing labels, task grouping as an empirical question, comparison with
#   single-task models by per-task metrics, instruction tuning as multi-task learning.
#
# ### References of the model answer
#
# - Rich Caruana (1997). Multitask Learning.
# - Zhao Chen, Vijay Badrinarayanan, Chen-Yu Lee, Andrew Rabinovich (2018). GradNorm: Gradient Normalization for
#   Adaptive Loss Balancing in Deep Multitask Networks.
# - Alex Kendall, Yarin Gal, Roberto Cipolla (2018). Multi-task Learning Using Uncertainty to Weigh Losses for Scene
#   Geometry and Semantics.
# - Bo Liu, Xingchao Liu, Xiaojie Jin, Peter Stone, Qiang Liu (2021). Conflict-Averse Gradient Descent for Multi-task
#   Learning.
# - Haotian Liu, Chunyuan Li, Qingyang Wu, Yong Jae Lee (2023). Visual Instruction Tuning.
# - Jiaqi Ma, Zhe Zhao, Xinyang Yi, et al. (2018). Modeling Task Relationships in Multi-task Learning with Multi-gate
#   Mixture-of-Experts.
# - Sebastian Ruder (2017). An Overview of Multi-Task Learning in Deep Neural Networks.
# - Trevor Standley, Amir Roshan Zamir, Dawn Chen, et al. (2020). Which Tasks Should Be Learned Together in Multi-task
#   Learning?

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of the wrong ones are often published. The point of the exercise is the
# reason you could give for each. "Conflict" means a negative dot product of two tasks' gradients; PCGrad is the method
# described under "The code", applied to the gradients of all tasks. A claim is true if it holds for all gradients that
# it speaks of. All of them must be right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `negative_transfer` | Adding a second task to the training can lower a model's quality on the first one. |
# | `separate_networks` | Summing the losses of two networks that share no parameter changes their SGD steps. |
# | `first_order` | If two gradients conflict, a small enough step against the one raises the other task's loss. |
# | `two_tasks` | With two tasks, PCGrad's result has no negative dot product with either original gradient. |
# | `three_tasks` | With three tasks, PCGrad's result has no negative dot product with any original gradient. |
# | `balances_sizes` | Where nothing conflicts, PCGrad gives a task with tiny gradients as much say as the others. |
# | `tuned_sum` | Xin et al. (2022) found no gain of multi-task optimisers over a weighted sum with tuned weights. |
# | `hard_sharing` | In hard parameter sharing, each task has a network of its own and a penalty keeps them similar. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "negative_transfer",
        "separate_networks",
        "first_order",
        "two_tasks",
        "three_tasks",
        "balances_sizes",
        "tuned_sum",
        "hard_sharing",
    ]
)
### BEGIN SOLUTION
claims.update(
    # The tasks compete for the shared parameters; whether a pair helps is found by experiment (Standley et al. 2020).
    negative_transfer=True,
    # The gradient of the sum in one network's parameters is that of its own loss: the same training as apart.
    separate_networks=False,
    # To first order the other loss changes by -step times the dot product, which is positive for a negative one.
    first_order=True,
    # Each projected gradient is orthogonal to the other original one and keeps an acute angle with its own.
    two_tasks=True,
    # Removing one conflict can bring back another that was removed before, and the sum mixes them all.
    three_tasks=False,
    # Without a conflict nothing is projected: the result is the plain sum, in which large gradients dominate.
    balances_sizes=False,
    # The title asks whether they "even help"; tuned weights were enough. Kurin et al. (2022) come to the same view.
    tuned_sum=True,
    # That is soft sharing. In hard sharing the tasks use the very same trunk.
    hard_sharing=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** a conflict between two tasks is a negative dot product of their gradients, and it can be removed by
# projecting one gradient onto the plane orthogonal to the other.
#
# `grads` holds one gradient for each of T tasks, all for the same P shared parameters: an array or nested list `(T, P)`
# of floats or integers, T and P at least 1. All is computed and returned in `float64`, and `grads` stays as it is.
#
# ### `conflict_matrix(grads) -> (T, T)`
#
# The cosine of every pair of gradients. A gradient of zeros has cosine 0 with all of them, itself included.
#
# ### `combine_gradients(grads, method, order=None) -> (P,)`
#
# - `"sum"`: the sum over the tasks, whatever the conflicts. `order` plays no part and is not looked at.
# - `"pcgrad"` (Yu et al. 2020): every task takes a *working copy* of its gradient and meets the other tasks one after
#   the other. Whenever the dot product of the working copy, *as it then is*, and the other task's **original** gradient
#   is negative, the copy loses its component along that original gradient. The result is the sum of the copies.
# - `order[i]` (a list or tuple) holds the other tasks in the sequence in which task i meets them, for
#   example `[[2, 1], [0, 2], [1, 0]]` for three tasks. `None` is ascending order.
#
# ### Rules
#
# - **Bad input** raises `ValueError`: `grads` that is not 2-D, is empty, or holds NaN or an infinity; an unknown
#   `method`; with `"pcgrad"`, an `order` without exactly one list for each task, or with a list that does not hold
#   every *other* task exactly once.
# - **Not allowed:** `torch`, `tensorflow` and `keras`.
#
# ### A worked example
#
# `grads = [[1, 0], [-1, 1]]`: the dot product is −1, the cosine −0.707. Task 0 loses its component along (−1, 1) and
# keeps (0.5, 0.5); task 1 loses its component along (1, 0) and keeps (0, 1). `"pcgrad"` gives (0.5, 1.5) and `"sum"`
# (0, 1): in the sum, task 0 makes no progress at all.


# %% tags=["solution"]
def conflict_matrix(grads: ArrayLike) -> np.ndarray:
    """Cosine similarity of the gradients of all pairs of tasks.

    Args:
        grads: one gradient a task, (T, P).

    Returns:
        float64, (T, T); 0 wherever a gradient of zeros takes part.

    Raises:
        ValueError: not 2-D, empty, or not finite.

    Source: Yu et al. 2020 (conflict as a negative cosine).
    """
    ### BEGIN SOLUTION
    grads = np.array(grads, dtype=np.float64)  # (tasks, parameters)
    if grads.ndim != 2 or grads.size == 0 or not np.isfinite(grads).all():
        raise ValueError(f"expected finite gradients (tasks, parameters), got shape {grads.shape}")
    lengths = np.linalg.norm(grads, axis=1, keepdims=True)  # (tasks, 1)
    # a gradient of zeros has no direction: it stays 0 instead of 0/0
    directions = np.divide(grads, lengths, out=np.zeros_like(grads), where=lengths > 0)  # (tasks, parameters)
    return directions @ directions.T  # (tasks, tasks)
    ### END SOLUTION


# %% tags=["solution"]
def combine_gradients(grads: ArrayLike, method: str, order: Sequence[Sequence[int]] | None = None) -> np.ndarray:
    """One gradient for the shared parameters, made of those of all tasks.

    Args:
        grads: one gradient a task, (T, P).
        method: "sum", or "pcgrad" for projecting conflicts away first.
        order: for "pcgrad", order[i] lists the tasks other than i in the sequence in which task i meets them;
            None: ascending.

    Returns:
        float64, (P,).

    Raises:
        ValueError: `grads` not 2-D, empty or not finite; unknown method; with "pcgrad", an order as described above
            that is incomplete or has a task too many.

    Source: Yu et al. 2020 (there the order is random).
    """
    ### BEGIN SOLUTION
    grads = np.array(grads, dtype=np.float64)  # (tasks, parameters)
    if grads.ndim != 2 or grads.size == 0 or not np.isfinite(grads).all():
        raise ValueError(f"expected finite gradients (tasks, parameters), got shape {grads.shape}")
    if method == "sum":
        return grads.sum(axis=0)
    if method != "pcgrad":
        raise ValueError(f"method must be 'sum' or 'pcgrad', not {method!r}")
    tasks = range(len(grads))
    others = [[j for j in tasks if j != i] for i in tasks]
    if order is None:
        order = others
    if [sorted(sequence) for sequence in order] != others:
        raise ValueError(f"order[i] must list every task but i once, for each of {len(grads)} tasks, got {order}")

    projected = grads.copy()
    for i, sequence in enumerate(order):
        for j in sequence:
            # the working copy as it is now decides whether there is a conflict with the original gradient of task j
            overlap = projected[i] @ grads[j]
            if overlap < 0:
                # component along g: (dot product with g / squared length of g) times g
                projected[i] -= overlap / (grads[j] @ grads[j]) * grads[j]
    return projected.sum(axis=0)
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# grads = [[2.0, 0.0], [-1.0, 1.0], [0.0, -2.0]]
# cosines = conflict_matrix(grads)
# half = np.sqrt(0.5)
# assert np.allclose(cosines, [[1, -half, 0], [-half, 1, -half], [0, -half, 1]]), cosines
#
# combined = combine_gradients(grads, "sum")
# assert np.allclose(combined, [1.0, -1.0]), combined
# # the copies end as (1, 0), (0, 0) and (-1, -1)
# combined = combine_gradients(grads, "pcgrad")
# assert np.allclose(combined, [0.0, -1.0]), combined
# # the other way round they end as (1, 1), (0, 0) and (0, -1)
# combined = combine_gradients(grads, "pcgrad", order=[[2, 1], [2, 0], [1, 0]])
# assert np.allclose(combined, [1.0, 0.0]), combined

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# After a copy has been projected, what is its dot product with the gradient that it was projected off? And what should
# the result be if no two gradients conflict, or if there is one task only?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# The component of a vector along another one does not depend on how long the other one is: its length enters twice
# above and twice below. Every task is projected off the gradients as they were at the start; if it were projected off
# copies that have already been changed, the tasks that come first would be treated differently from the last.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Copy the gradients. For each task, walk through the others in its order: dot product of its copy with the other's
# original; if negative, subtract the component. Sum the copies. For the matrix: divide each gradient by its length, but
# not by 0, and multiply all pairs.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# component = (copy @ other) / (other @ other) * other  # what copy has in common with the direction of other
# ```
# </details>

# %% [markdown]
# ## References
#
# - Tianhe Yu, Saurabh Kumar, Abhishek Gupta, et al. (2020). Gradient Surgery for Multi-Task Learning.
# - Vitaly Kurin, Alessandro De Palma, Ilya Kostrikov, Shimon Whiteson, Pawan Kumar Mudigonda (2022). In Defense of the
#   Unitary Scalarization for Deep Multi-Task Learning.
# - Derrick Xin, Behrooz Ghorbani, Justin Gilmer, Ankush Garg, Orhan Firat (2022). Do Current Multi-Task Optimization
#   Methods in Deep Learning Even Help?
