# %% [markdown]
# # Weighing losses by their uncertainty
#
# A multimodal model is rarely trained on one loss: an alignment term, a captioning term and a task term are added, and
# they come in different units. The largest number then decides where the shared layers go, whether or not it matters
# most. One answer is to learn the weights together with the model. It is four lines long, and leaving out the one that
# looks superfluous makes every weight go to zero.
#
# Plan about 35 minutes: 10 for the answer, 5 for the claims, 20 for the code.

# %%
from collections.abc import Sequence

import torch
from torch import Tensor, nn

# %% [markdown]
# ## The question
#
# *"Your model is trained on several modalities and several losses. How do you design and combine them?"*
#
# Answer in the next cell as you would say it aloud, in about ten sentences. The answer is worth 4 points and is read by
# a person, one point for each of these:
#
# 1. which terms there are;
# 2. how their weights are found;
# 3. what goes wrong with weights that are learned;
# 4. what you compare with and watch.

# %% [markdown] tags=["answer"]
# **Model answer.** I first list the terms by their purpose: an alignment term that brings the encoders together
# (a contrastive loss), a matching term for pairs on the joint encoder, a generative term such as captioning or masked
# modelling, and the loss of the task itself; ALBEF, CoCa and SigLIP 2 are such sums. "Cross-entropy or mean squared
# error" answers only the last of these. The terms have different units and different gradients: changing metres to
# millimetres multiplies a squared error by a million. So the weights have to be set. Fixed weights from a small search
# are the first option. Uncertainty weighting learns a log-variance s for each term and minimises the sum of
# exp(−s)·L + s, so that each term is divided by about its own size; GradNorm balances the sizes of the gradients, and
# gradient surgery removes the part of one gradient that points against another. Learned weights need a price for being
# small, here the + s: without it the cheapest solution is to set them all to zero. The learned weight says how large
# the noise in a term is and nothing about how much I care for it. In careful comparisons, fixed tuned weights did as
# well as the adaptive methods, so I always run them as a baseline. One joint loss also lets a model rely on the
# modality that learns fastest; auxiliary heads with a loss for each modality alone counter that. I log every term by
# itself, unweighted, and choose the model by the metric of the task, because the weighted total can fall, even below 0,
# while a term gets worse.
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, terms: alignment, matching or generation, and task are told apart; naming one task loss is not enough.
# - 1 point, weights: different units are the problem; two of fixed and tuned, uncertainty, GradNorm, gradient surgery.
# - 1 point, what goes wrong: without a regulariser learned weights go to zero; a weight measures noise, not importance.
# - 1 point, comparison and care: tuned fixed weights as a baseline; each term logged unweighted; auxiliary unimodal
#   heads against the neglect of a modality.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. All of them must be right for the 3 points, so guessing earns nothing. In the
# table, L is the value of a loss term and s its learned log-variance; its part of the total is ½(exp(−s)·L + s).
#
# | id | claim |
# |---|---|
# | `task_loss_settles_it` | Choosing cross-entropy or squared error for the task settles how losses are combined. |
# | `sum_alone_learns` | Weights trained by gradient descent on Σ w·L alone settle at useful values. |
# | `optimum_is_log_loss` | With L > 0 held fixed, the best s is ln L, and the weighted term exp(−s)·L is then 1. |
# | `units_cancel` | If a term is measured in other units, 1000·L for L, the best s grows by ln 1000. |
# | `largest_loss_leads` | With every s at its best, the term with the largest loss has the largest weight. |
# | `always_beats_fixed` | Careful comparisons show that adaptive weights beat well-tuned fixed weights in general. |
# | `total_may_mislead` | The total can be negative, and can fall while one of the losses rises. |
# | `one_modality_may_lead` | With one joint loss a model may neglect a modality; a loss of its own can help that one. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "task_loss_settles_it",
        "sum_alone_learns",
        "optimum_is_log_loss",
        "units_cancel",
        "largest_loss_leads",
        "always_beats_fixed",
        "total_may_mislead",
        "one_modality_may_lead",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # That is one term. Alignment, matching and generation are others, and nothing is said about their weights.
    task_loss_settles_it=False,
    # With L > 0 the gradient on w is always positive, so w falls towards 0, or below it if nothing stops it.
    sum_alone_learns=False,
    # The derivative in s is ½(1 − exp(−s)·L), which is zero exactly there.
    optimum_is_log_loss=True,
    # ln(1000·L) = ln L + ln 1000: the weight becomes a thousandth and the weighted term is what it was.
    units_cancel=True,
    # The other way round: at the best s the weight is 1 / L, so the largest loss has the smallest.
    largest_loss_leads=False,
    # Kurin et al. (2022) and Xin et al. (2022) find that tuned fixed weights do as well.
    always_beats_fixed=False,
    # For L below 1/e the best value ½(1 + ln L) is negative; and s may still be falling while L already rises.
    total_may_mislead=True,
    # Wang, Tran and Feiszli (2020) observe it and blend the gradients of unimodal heads into the joint one.
    one_modality_may_lead=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Complete the module `UncertaintyWeighting`.
#
# ```python
# weighting = UncertaintyWeighting(n_terms=3)
# total = weighting(losses)      # scalar tensor, to call backward() on
# weighting.weights()            # tensor (3,), for the log
# ```
#
# | name | shape | |
# |---|---|---|
# | `log_var` | `(n_terms,)` | s = ln σ² of each term: the module's only `nn.Parameter`, zeros at first |
# | `losses` | `(n_terms,)` | a tensor, or a list or tuple of n_terms scalar tensors, in the dtype of `log_var` |
# | result of `forward` | `()` | Σ ½(exp(−s)·L + s): the ½ on both parts, summed (not averaged) over the terms |
# | result of `weights()` | `(n_terms,)` | exp(−s) as it is now, without the ½, and detached: without a gradient |
#
# - Calling `weights()` changes nothing.
# - Gradients flow into `log_var` **and** through the losses into the model that they come from.
# - A loss of 0 is allowed, and `log_var` may take any value: no clamping.
# - `ValueError` from the constructor for `n_terms` below 1; from `forward` if there are not exactly `n_terms` losses
#   (an empty list included), if a tensor has another shape than `(n_terms,)`, or if a loss is negative, infinite or
#   NaN.
#
# Nothing is forbidden. The factor ½ comes from the density of a Gaussian with variance σ² = exp(s), whose negative log
# is ½(error²/σ² + ln σ²) up to a constant; it has no influence on the best weights.
#
# **Worked example.** Losses (3, 0.5) and `log_var` (ln 2, ln ¼). The weights are (0.5, 4). The terms are
# ½(0.5·3 + 0.6931) = 1.0966 and ½(4·0.5 − 1.3863) = 0.3069, the total is 1.4034. The derivatives by s are
# ½(1 − 1.5) = −0.25 and ½(1 − 2) = −0.5: both s will grow, and both weights shrink.


# %% tags=["solution"]
class UncertaintyWeighting(nn.Module):
    """Sum of losses with weights that are learned with the model (Kendall, Gal and Cipolla, 2018).

    log_var (n_terms,): the only parameter, zeros at first. Raises ValueError if n_terms is below 1.
    """

    def __init__(self, n_terms: int) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        if n_terms < 1:
            raise ValueError(f"n_terms must be at least 1, not {n_terms}")
        self.log_var = nn.Parameter(torch.zeros(n_terms))
        ### END SOLUTION

    def forward(self, losses: Tensor | Sequence[Tensor]) -> Tensor:
        """Total of the losses, a scalar: the sum of (exp(-log_var) * loss + log_var) / 2 over the terms.

        losses: a tensor (n_terms,), or n_terms scalar tensors in a list or tuple, of the dtype of log_var.
        Raises ValueError for another number or shape of losses, and for a negative or non-finite loss.
        """
        ### BEGIN SOLUTION
        if not isinstance(losses, Tensor):
            losses = torch.stack([*losses]) if losses else self.log_var[:0]  # (terms,); stack keeps the graph
        if losses.shape != self.log_var.shape:
            raise ValueError(f"expected {len(self.log_var)} losses, not a shape of {tuple(losses.shape)}")
        if not losses.isfinite().all() or (losses < 0).any():
            raise ValueError(f"losses must be finite and at least 0, not {losses.tolist()}")

        # total = sum of half of (loss / variance + log variance)
        terms = torch.exp(-self.log_var) * losses + self.log_var  # (terms,)
        return terms.sum() / 2
        ### END SOLUTION

    def weights(self) -> Tensor:
        """Weight exp(-log_var) of each loss at this moment, (n_terms,), detached."""
        ### BEGIN SOLUTION
        return torch.exp(-self.log_var.detach())
        ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# weighting = UncertaintyWeighting(2)
# losses = torch.tensor([8.0, 0.25])
# total = weighting(losses).item()
# assert abs(total - 4.125) < 1e-5, f"with log_var 0 the total of the losses 8 and 0.25 is {total}, not 4.125"
# assert weighting.weights().tolist() == [1.0, 1.0], f"with log_var 0 the weights are {weighting.weights()}, not 1"
# with torch.no_grad():
#     weighting.log_var.copy_(losses.log())  # the best log_var for these losses
# total, expected = weighting(losses).item(), 1 + losses.log().sum().item() / 2
# assert abs(total - expected) < 1e-5, f"with log_var = log of the losses the total is {total}, not {expected}"
# weighted = (weighting.weights() * losses).tolist()
# assert max(abs(term - 1) for term in weighted) < 1e-5, f"there, weights times losses are {weighted}, not 1 and 1"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Suppose the losses stand still and only `log_var` is trained. Where should each entry come to rest? Draw ½(exp(−s)·L
# + s) as a function of s, and then once more without the "+ s".
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Each term is divided by a variance that is learned, and pays for a large variance with its logarithm. Learning the
# logarithm keeps the variance positive without any clamp. For autograd there are two kinds of leaves: `log_var`, and
# the weights of the model behind the losses. A loss that has been turned into a number has lost the second kind.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# In the constructor: refuse a bad `n_terms`, register a parameter of zeros. In `forward`: make one tensor of the losses
# without leaving the graph, check its shape and its values, multiply by exp of minus the log-variances, add the
# log-variances, sum, halve. In `weights`: the same factor, detached.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# losses = torch.stack(list(losses))  # (terms,), still connected to the model; torch.tensor(losses) would not be
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Alex Kendall, Yarin Gal, Roberto Cipolla (2018). *Multi-task Learning Using Uncertainty to Weigh Losses for Scene
#   Geometry and Semantics.* CVPR 2018.
# - Zhao Chen, Vijay Badrinarayanan, Chen-Yu Lee, Andrew Rabinovich (2018). *GradNorm: Gradient Normalization for
#   Adaptive Loss Balancing in Deep Multitask Networks.* ICML 2018.
# - Tianhe Yu, Saurabh Kumar, Abhishek Gupta, Sergey Levine, Karol Hausman, Chelsea Finn (2020). *Gradient Surgery for
#   Multi-Task Learning.* NeurIPS 2020.
# - Vitaly Kurin, Alessandro De Palma, Ilya Kostrikov, Shimon Whiteson, Pawan Kumar Mudigonda (2022). *In Defense of the
#   Unitary Scalarization for Deep Multi-Task Learning.* NeurIPS 2022.
# - Derrick Xin, Behrooz Ghorbani, Justin Gilmer, Ankush Garg, Orhan Firat (2022). *Do Current Multi-Task Optimization
#   Methods in Deep Learning Even Help?* NeurIPS 2022.
# - Weiyao Wang, Du Tran, Matt Feiszli (2020). *What Makes Training Multi-Modal Classification Networks Hard?*
#   CVPR 2020.
# - Junnan Li, Ramprasaath R. Selvaraju, Akhilesh Gotmare, et al. (2021). *Align before Fuse: Vision and Language
#   Representation Learning with Momentum Distillation* (ALBEF). NeurIPS 2021.
# - Jiahui Yu, Zirui Wang, Vijay Vasudevan, Legg Yeung, Mojtaba Seyedhosseini, Yonghui Wu (2022). *CoCa: Contrastive
#   Captioners are Image-Text Foundation Models.* TMLR 2022.
# - Michael Tschannen, Alexey Gritsenko, Xiao Wang, et al. (2025). *SigLIP 2: Multilingual Vision-Language Encoders with
#   Improved Semantic Understanding, Localization, and Dense Features.*
