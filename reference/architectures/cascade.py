# %% [markdown]
# # A cascade that saves computation
#
# Most inputs are easy. A caption with the word "invoice" hardly needs a large vision model to be filed under invoices.
# A cascade lets a cheap stage look at everything and calls the expensive stage only where the cheap one is unsure. The
# name is often given to something else, namely models that all run and whose results are averaged: that is late fusion,
# and it saves nothing.
#
# ## Your task (about 20 minutes)
#
# Write the module `CascadeClassifier(cheap, expensive, threshold)` around two modules that you are given:
#
# | stage | call | returns |
# |---|---|---|
# | `cheap` | `cheap(x)` with x `(batch, ...)` | logits `(batch, classes)` |
# | `expensive` | `expensive(x, cheap_logits)` with x `(k, ...)` and logits `(k, classes)` | logits `(k, classes)` |
#
# The second argument of `expensive` is what `cheap` returned for these k samples. All logits are finite.
#
# `forward(cheap_input, expensive_input)` returns `(logits, used)`. Both inputs hold the same samples in the same order;
# they may have any number of further axes, for example tokens for `cheap` and images for `expensive`.
#
# | tensor | shape | |
# |---|---|---|
# | `logits` | `(batch, classes)` | the expensive stage's logits where it was used, the cheap stage's elsewhere |
# | `used` | `(batch,)`, boolean | `True` = the expensive stage was used for this sample |
#
# - `cheap` is called once, with all samples (an empty batch included).
# - The **confidence** of a sample is the largest of its class probabilities according to `torch.softmax` of the cheap
#   logits. Samples with a confidence **below** `threshold` are sent on to the expensive stage; at the threshold, the
#   cheap stage's answer stands. A sample whose probability rounds to 1 is never sent on. (Other formulas for the same
#   probability, such as exp(max - logsumexp), can differ in the last digit, and at the threshold this digit decides.)
# - `expensive` is called **once**, with all these samples together and no others, in their original order. When there
#   are none, it is not called at all: not with an empty batch either. `logits` may then be the very tensor that `cheap`
#   returned.
# - The cheap logits that go into `expensive` are not detached: in training, a gradient flows back through them.
# - The tensor that `cheap` returned and both inputs stay as they are; `logits` is in the dtype of the cheap logits.
#   (Both stages return the same dtype.)
# - The attributes `cheap` and `expensive` hold the two stages, so that `.parameters()`, `.to()` and `.train()` of the
#   cascade reach them. The cascade has no parameters of its own.
# - `ValueError` for a `threshold` outside [0, 1] or NaN when the module is made, and for inputs that differ in batch
#   size when it is called.
#
# Nothing is forbidden.
#
# ## Worked example
#
# `threshold` is 0.8.
#
# | sample | cheap logits | probabilities | confidence | `used` |
# |---|---|---|---|---|
# | 0 | (ln 9, 0) | (0.9, 0.1) | 0.9 | `False` |
# | 1 | (0, ln 3) | (0.25, 0.75) | 0.75 | `True` |
# | 2 | (5, 5) | (0.5, 0.5) | 0.5 | `True` |
#
# The expensive stage is called once, with a batch of two: the images of samples 1 and 2, and their cheap logits
# (0, ln 3) and (5, 5). Sample 2 has the largest logits and the lowest confidence. If a sample costs 1 in the cheap
# stage and 50 in the expensive one, this batch costs 3 · 1 + 2 · 50 = 103 instead of 150.

# %%
import torch
from torch import Tensor, nn


# %% tags=["solution"]
class CascadeClassifier(nn.Module):
    """A cheap stage for all samples and an expensive one for the unsure ones (after Viola & Jones 2001).

    cheap(x) -> logits (batch, classes); expensive(x, cheap_logits) -> logits, for a part of the batch.
    Raises ValueError if threshold is not between 0 and 1.
    """

    def __init__(self, cheap: nn.Module, expensive: nn.Module, threshold: float) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        if not 0 <= threshold <= 1:  # NaN fails both comparisons
            raise ValueError(f"threshold must be between 0 and 1, not {threshold}")
        self.cheap = cheap
        self.expensive = expensive
        self.threshold = threshold
        ### END SOLUTION

    def forward(self, cheap_input: Tensor, expensive_input: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (batch, classes) and, as booleans (batch,), for which samples `expensive` was used.

        cheap_input and expensive_input: (batch, ...), the same samples. Raises ValueError if their batch sizes differ.
        """
        ### BEGIN SOLUTION
        if len(cheap_input) != len(expensive_input):
            raise ValueError(f"batch sizes differ: {len(cheap_input)} and {len(expensive_input)}")
        cheap_logits = self.cheap(cheap_input)  # (batch, classes)

        # confidence = the largest class probability
        confidence = torch.softmax(cheap_logits, dim=1).amax(dim=1)  # (batch,)
        used = confidence < self.threshold  # (batch,)

        logits = cheap_logits.clone()  # the backward pass may need the result of `cheap` as it was
        if used.any():
            logits[used] = self.expensive(expensive_input[used], cheap_logits[used])  # (number used, classes)
        return logits, used
        ### END SOLUTION


# %% [markdown]
# ## Try it
#
# The cheap stage passes on logits that are given; the expensive one adds what it sees to ten times the cheap logits and
# keeps a list of the batch sizes that it was called with.

# %% tags=["visible-checks", "active-ipynb"]
# class TenTimesPlus(nn.Module):
#     def __init__(self):
#         super().__init__()
#         self.batch_sizes = []
#
#     def forward(self, x, cheap_logits):
#         self.batch_sizes.append(len(x))
#         return x + 10 * cheap_logits
#
#
# cascade = CascadeClassifier(nn.Identity(), TenTimesPlus(), threshold=0.7)
# cheap_logits = torch.tensor([[0.5, 0.0], [3.0, 0.0], [0.0, 0.25], [4.0, 4.0], [0.0, 2.0]])
# seen = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 10.0]])
# logits, used = cascade(cheap_logits, seen)
# assert used.tolist() == [True, False, True, True, False], f"used is {used.tolist()}"
# assert cascade.expensive.batch_sizes == [3], f"batch sizes of the expensive calls: {cascade.expensive.batch_sizes}"
# torch.testing.assert_close(
#     logits, torch.tensor([[6.0, 2.0], [3.0, 0.0], [5.0, 8.5], [47.0, 48.0], [0.0, 2.0]])
# )

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Raising the threshold can only add samples to those that are sent on. And each row of the result must be what the
# cascade would say if that sample came alone. Do both hold for yours?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# A boolean tensor of length `batch` selects rows when it stands in brackets on the right of an assignment, and says
# where rows go when it stands in brackets on the left. Used on both sides, the order takes care of itself. To select
# *after* the expensive stage has run would be right in its numbers and would save nothing.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Compare the batch sizes. Run the cheap stage. Softmax over the classes, largest value of each row, compare with the
# threshold. Copy the cheap logits. If any sample is unsure: select its rows of the other input and of the cheap logits,
# call the expensive stage once, and write its rows into the copy.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# used = torch.softmax(cheap_logits, dim=1).amax(dim=1) < self.threshold  # (batch,)
# ```
#
# </details>
#
# ## Choosing the threshold
#
# A confidence is only worth its threshold if it is calibrated: a network that says 0.9 should be right nine times in
# ten, and modern networks tend to be too sure of themselves (Guo et al. 2017). So the threshold is chosen on validation
# data, looking at accuracy and cost together.
#
# ## References
#
# - Paul Viola, Michael Jones (2001), Rapid Object Detection using a Boosted Cascade of Simple Features.
# - Chuan Guo, Geoff Pleiss, Yu Sun, Kilian Q. Weinberger (2017), On Calibration of Modern Neural Networks.
