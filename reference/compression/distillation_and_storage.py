# %% [markdown]
# # Distillation, and what a model weighs
#
# A fine-tuned model that answers well may still be too large for the machine it is meant for. The published answers to
# "what is model compression good for?" promise that everything gets better at once: smaller, faster, more robust. Which
# of these promises hold is found out by counting: which numbers are stored, which are multiplied, and whose accuracy
# goes into the average. Here you answer the question in your own words, judge eight claims about it, and write two
# things that people get wrong by a factor: the loss that teaches a small model from a large one, and the size of a
# stored matrix.
#
# Plan about 40 minutes: 15 for the answer, 5 for the claims, 20 for the code.

# %%
from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"What is model compression, which methods are there, and what does each of them really buy you when you deploy a
# large multimodal model?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *methods*: at least three families of methods, each with what it changes; for distillation also what the temperature
#   does;
# - *size*: what is really stored, and when fewer or shorter numbers save less than one would think;
# - *time*: when a smaller model is a faster one, and where a vision-language model offers more to save than weights;
# - *quality*: what a compressed model can lose, and how you would measure it before you ship it.

# %% [markdown] tags=["answer"]
# **Model answer.** "Compression makes a trained model cheaper to store and to run, and keeps as much as possible of
# what it can do. I tell four families apart. *Distillation* trains a small student to match the output distribution of
# a large teacher (Hinton, Vinyals & Dean 2015). A temperature above 1 softens both distributions, so that the student
# sees which wrong answers the teacher finds plausible; the gradients shrink like one over the square of the
# temperature, and the factor T² in front of the loss undoes that. *Pruning* removes weights: by their effect on the
# loss (LeCun, Denker & Solla 1990) or by magnitude (Han et al. 2015). *Quantisation* stores weights, and perhaps
# activations, as short integers with scales (Jacob et al. 2018); for large language models this works after training,
# with care for outliers (LLM.int8(), Dettmers et al. 2022), errors (GPTQ, Frantar et al. 2023) or activations (AWQ, Lin
# et al. 2024). *Low-rank factors* and *shared weights* store less in the first place. They combine: Deep Compression
# prunes, then quantises, then codes (Han, Mao & Dally 2016).
#
# For the **size** I count what is stored. Zeros in a dense array take as many bytes as any other number. A sparse
# format pays for the places of what is left: with 4-byte values and 4-byte indices it wins only below about half
# density. Quantised weights come with scales, and two factors of rank r hold less than a square n × n matrix only if r
# < n / 2.
#
# **Time** is a second question. Zeros at random places hardly help dense hardware; whole rows, channels, heads or
# layers do, and so does a pattern that the hardware knows, such as 2 of every 4. Short integers save memory traffic,
# and arithmetic only where there are kernels for them. In a vision-language model I look at three things: fewer image
# tokens (less computing, a smaller key-value cache, not one weight less), a quantised language model, a smaller vision
# tower.
#
# And I do not expect **quality** to come for free, let alone to rise. That less capacity makes a model more robust is
# no rule: at the same overall accuracy pruned models can lose on a few classes and on shifted data (Hooker et al.
# 2019). So I compare before and after by class and by group, on shifted data, and on each task that must survive; and I
# measure memory and latency on the machine that will do the work."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, methods: three of distillation, pruning, quantisation, low rank or sharing, each with what it changes; the
#   temperature softens both distributions. The factor T² and the names of methods are welcome here.
# - 1 point, size: two of: zeros in a dense array save nothing; a sparse format pays for indices, with a break-even near
#   half density; scales come on top of short integers; the rank has to be small enough.
# - 1 point, time: unstructured zeros do not speed up dense kernels, structure or hardware support does; fewer image
#   tokens, or another part of a vision-language model (language model, vision tower) named with a reason.
# - 1 point, quality: more robust or less overfitted is no rule; rare classes or shifted data can suffer; measured by
#   class or group, and latency on the target hardware.
#
# An answer that says only "smaller, faster, more robust" earns no point; with the names of methods added it earns at
# most one.
#
# **References of the model answer**
#
# - Tim Dettmers, Mike Lewis, Younes Belkada, Luke Zettlemoyer (2022). *LLM.int8(): 8-bit Matrix Multiplication for
#   Transformers at Scale.*
# - Elias Frantar, Saleh Ashkboos, Torsten Hoefler, Dan Alistarh (2023). *GPTQ: Accurate Post-Training Quantization for
#   Generative Pre-trained Transformers.*
# - Song Han, Huizi Mao, William J. Dally (2016). *Deep Compression: Compressing Deep Neural Network with Pruning,
#   Trained Quantization and Huffman Coding.*
# - Song Han, Jeff Pool, John Tran, William J. Dally (2015). *Learning both Weights and Connections for Efficient Neural
#   Network.*
# - Geoffrey Hinton, Oriol Vinyals, Jeff Dean (2015). *Distilling the Knowledge in a Neural Network.*
# - Sara Hooker, Aaron Courville, Gregory Clark, Yann Dauphin, Andrea Frome (2019). *What Do Compressed Deep Neural
#   Networks Forget?*
# - Benoit Jacob, Skirmantas Kligys, Bo Chen, et al. (2018). *Quantization and Training of Neural Networks for Efficient
#   Integer-Arithmetic-Only Inference.*
# - Yann LeCun, John S. Denker, Sara A. Solla (1990). *Optimal Brain Damage.*
# - Ji Lin, Jiaming Tang, Haotian Tang, et al. (2024). *AWQ: Activation-aware Weight Quantization for LLM Compression
#   and Acceleration.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are often published as facts. All of them must be right for the 3
# points, so guessing earns nothing. CSR stores the non-zero values of a matrix, the column of each, and for each row
# where it begins; here values are float32 and indices int32.
#
# | id | claim |
# |---|---|
# | `more_robust` | Less capacity means less overfitting: pruning can be relied on to make a model more robust. |
# | `same_on_average` | A pruned model with the old overall accuracy has the old accuracy on every class, too. |
# | `bytes_follow_zeros` | In CSR, a large square matrix with 60 % zeros takes 40 % of the bytes of the dense one. |
# | `time_follows_zeros` | A dense GPU matrix product needs half the time if a random half of the weights is zero. |
# | `gradients_shrink` | Without the factor T², the soft loss has gradients that fall off like 1 / T² for large T. |
# | `half_the_rank` | Two factors of rank r hold fewer numbers than a full n × n matrix only if r < n / 2. |
# | `fewer_image_tokens` | With half as many image tokens a model computes less, but keeps all of its weights. |
# | `after_training` | 8-bit weights can be made from a trained model without any further gradient step. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "more_robust",
        "same_on_average",
        "bytes_follow_zeros",
        "time_follows_zeros",
        "gradients_shrink",
        "half_the_rank",
        "fewer_image_tokens",
        "after_training",
    ]
)
### BEGIN SOLUTION
claims.update(
    # Nothing guarantees it: pruned models were found more sensitive to corrupted images (Hooker et al. 2019).
    more_robust=False,
    # The losses gather in a few classes, and gains elsewhere can hide them in the mean: look class by class.
    same_on_average=False,
    # Each of the 40 % costs 8 bytes, 4 for the value and 4 for its column: 80 % of the dense bytes, and a little more.
    bytes_follow_zeros=False,
    # The kernel multiplies by zero as it does by any number. It takes whole rows or heads, or a supported pattern.
    time_follows_zeros=False,
    # One 1 / T from the chain rule, and one since the two softened distributions come closer (Hinton et al. 2015).
    gradients_shrink=True,
    # The factors are n × r and r × n: 2·n·r numbers against n².
    half_the_rank=True,
    # Attention, feed-forward layers and key-value cache grow with the length of the sequence; the weights do not.
    fewer_image_tokens=True,
    # Post-training quantisation: scales from the weights, and perhaps from a few batches of calibration data.
    after_training=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** compression is bookkeeping. Write down which distribution is compared with which, and which numbers are
# stored, and every factor falls into place.
#
# ### `distillation_loss(student_logits, teacher_logits, labels, temperature, alpha) -> float`
#
# `student_logits` and `teacher_logits` are `(N, C)`, `labels` is `(N,)` with classes from 0 to `C - 1`; all are lists
# or arrays. With *T* = `temperature` and α = `alpha`, the loss is
#
# > α · T² · *soft* + (1 − α) · *hard*
#
# - *soft*: the Kullback-Leibler divergence KL(teacher ‖ student) = Σ p · log(p / q), summed over the classes and
#   averaged over the `N` samples. p and q are the probabilities of teacher and student at temperature T, the softmax of
#   their logits divided by T.
# - *hard*: the cross-entropy of the student with the labels, averaged over the samples. It has nothing to do with the
#   temperature.
#
# Everything is computed in `float64`, whatever the type of the logits (float16, float32 and integers included). Logits
# of ±10000 give finite and accurate results. The arguments stay as they are.
#
# ### `storage_bytes(shape, scheme, *, nnz=None, rank=None) -> int`
#
# Bytes needed to store a weight matrix of shape `(rows, columns)`:
#
# | scheme | what is stored |
# |---|---|
# | `"dense_fp32"`, `"dense_fp16"` | every entry as a float of 4 or 2 bytes |
# | `"int8_per_tensor"` | every entry as one byte, and one float32 scale for the matrix |
# | `"int8_per_channel"` | every entry as one byte, and one float32 scale for each row |
# | `"csr_fp32"` | `nnz` non-zero entries as float32 with an int32 column index each; `rows + 1` int32 row pointers |
# | `"lowrank_fp32"` | two float32 factors, `(rows, rank)` and `(rank, columns)` |
#
# ### Rules
#
# - **`ValueError`** from `distillation_loss`: logits that are not two-dimensional, or whose two shapes differ; labels
#   that are not `(N,)`; no samples; a label that is none of the classes (-1 included); a temperature that is not
#   positive and finite; alpha outside [0, 1]. NaN is never in range.
# - **`ValueError`** from `storage_bytes`: an unknown scheme; a shape that is not two numbers of at least 1;
#   `"csr_fp32"` without `nnz`, or with one below 0 or above the number of entries; `"lowrank_fp32"` without `rank`, or
#   with one below 1 or above the smaller side. `nnz` and `rank` do not matter for the other schemes.
# - `nnz` and `rank` are Python or NumPy integers. The size is a whole number, `12` and not `12.0`, as a Python or NumPy
#   integer; the loss is a Python number or a NumPy scalar.
# - **Your choice:** what happens with NaN or infinite logits, and with labels of a floating type.
# - **Not allowed:** the modules `torch`, `tensorflow` and `keras`, where the loss is a single call. NumPy and SciPy are
#   fine.
#
# ### A worked example
#
# One sample with label 0, T = 2, α = 0.7, student logits (2·ln 2, 0), teacher logits (0, 2·ln 3). Divided by 2 they
# give q = (2/3, 1/3) and p = (1/4, 3/4), so
#
# - soft = 1/4 · ln(3/8) + 3/4 · ln(9/4) = 0.3630,
# - hard = −ln(4/5) = 0.2231, since undivided the student's logits give (4/5, 1/5),
# - loss = 0.7 · 4 · 0.3630 + 0.3 · 0.2231 = 1.0833.
#
# A matrix of 30 × 20 has 600 entries: 2400 bytes as float32, 604 and 720 as int8. With 50 non-zero entries, CSR takes
# 50 · 4 + 50 · 4 + 31 · 4 = 524 bytes. Factors of rank 3 take 30 · 3 · 4 + 3 · 20 · 4 = 600 bytes.


# %% tags=["solution"]
def distillation_loss(
    student_logits: ArrayLike, teacher_logits: ArrayLike, labels: ArrayLike, temperature: float, alpha: float
) -> float:
    """Loss of a student that learns from a teacher's softened probabilities and from labels (Hinton et al. 2015).

    Args:
        student_logits: (N, C), any real type; computed in float64.
        teacher_logits: (N, C), likewise.
        labels: (N,), integers from 0 to C - 1.
        temperature: T > 0, divides both logits in the soft term.
        alpha: share of the soft term, in [0, 1].

    Returns:
        alpha * T^2 * KL(teacher || student) + (1 - alpha) * cross-entropy, each averaged over the samples.

    Raises:
        ValueError: shapes that do not fit, no samples, a label outside the classes, temperature or alpha out of range.
    """
    ### BEGIN SOLUTION
    student_logits = np.asarray(student_logits, dtype=np.float64)  # (samples, classes)
    teacher_logits = np.asarray(teacher_logits, dtype=np.float64)  # (samples, classes)
    labels = np.asarray(labels)  # (samples,)
    if student_logits.ndim != 2 or student_logits.shape != teacher_logits.shape:
        raise ValueError(f"logits {student_logits.shape} and {teacher_logits.shape} are not two of (samples, classes)")
    samples, classes = student_logits.shape
    if labels.shape != (samples,) or samples == 0:
        raise ValueError(f"labels {labels.shape} do not fit {samples} samples, or there are none")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must be classes from 0 to {classes - 1}")
    if not 0 < temperature < math.inf:  # written so that NaN is refused too
        raise ValueError(f"temperature must be positive and finite, not {temperature}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1], not {alpha}")

    def log_softmax(logits: np.ndarray) -> np.ndarray:
        """Logit minus the log of the sum of exponentials; taking off the row's maximum first changes nothing."""
        shifted = logits - logits.max(axis=1, keepdims=True)  # (samples, classes)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    # soft: the teacher's average of log p - log q, both at temperature T; q is the student's
    log_p = log_softmax(teacher_logits / temperature)  # (samples, classes)
    log_q = log_softmax(student_logits / temperature)  # (samples, classes)
    soft = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()

    # hard: minus the log-probability of the label, at temperature 1
    hard = -log_softmax(student_logits)[np.arange(samples), labels].mean()

    # T^2 gives the soft term's gradients, which shrink like 1 / T^2, the size that they have at T = 1
    return float(alpha * temperature**2 * soft + (1 - alpha) * hard)
    ### END SOLUTION


# %% tags=["solution"]
def storage_bytes(shape: tuple[int, int], scheme: str, *, nnz: int | None = None, rank: int | None = None) -> int:
    """Bytes of a stored weight matrix, with all that is needed to read it.

    Args:
        shape: (rows, columns), each at least 1.
        scheme: "dense_fp32", "dense_fp16", "int8_per_tensor", "int8_per_channel", "csr_fp32" or "lowrank_fp32".
        nnz: number of non-zero entries, for "csr_fp32".
        rank: inner width of the two factors, for "lowrank_fp32".

    Returns:
        The number of bytes.

    Raises:
        ValueError: unknown scheme, a shape, nnz or rank that is missing or out of range.
    """
    ### BEGIN SOLUTION
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape must be (rows, columns), each at least 1, not {shape}")
    rows, columns = shape
    entries = rows * columns
    if scheme == "dense_fp32":
        return 4 * entries
    if scheme == "dense_fp16":
        return 2 * entries
    if scheme == "int8_per_tensor":
        return entries + 4
    if scheme == "int8_per_channel":
        return entries + 4 * rows
    if scheme == "csr_fp32":
        if nnz is None or not 0 <= nnz <= entries:
            raise ValueError(f"csr_fp32 needs nnz from 0 to {entries}, not {nnz}")
        # a value and a column for each non-zero entry; where each row begins, and where the last one ends
        return (4 + 4) * nnz + 4 * (rows + 1)
    if scheme == "lowrank_fp32":
        if rank is None or not 1 <= rank <= min(rows, columns):
            raise ValueError(f"lowrank_fp32 needs a rank from 1 to {min(rows, columns)}, not {rank}")
        return 4 * (rows * rank + rank * columns)
    raise ValueError(f"unknown scheme {scheme!r}")
    ### END SOLUTION


# %% [markdown]
# **Try it.** Two samples with labels 0 and 2, and a matrix of 6 × 10.

# %% tags=["visible-checks", "active-ipynb"]
# student = 2 * np.log([[0.5, 0.25, 0.25], [0.2, 0.6, 0.2]])  # at temperature 2, the softmax is what stands in the log
# teacher = 2 * np.log([[0.6, 0.3, 0.1], [0.25, 0.25, 0.5]])
# loss = distillation_loss(student, teacher, [0, 2], temperature=2.0, alpha=0.4)
# assert np.isclose(loss, 1.135027632217113), loss
#
# assert storage_bytes((6, 10), "dense_fp16") == 120
# assert storage_bytes((6, 10), "int8_per_channel") == 84
# assert storage_bytes((6, 10), "csr_fp32", nnz=9) == 100
# assert storage_bytes((6, 10), "lowrank_fp32", rank=2) == 128

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# If student and teacher have the same logits, what is the soft term, at every temperature? And which of the two parts
# of the loss may change when you change the temperature? For the bytes: which numbers does a program have to read
# before it can rebuild the matrix?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# KL(p ‖ q) is an average under p of log p − log q, and it is not symmetric. A logarithm of a softmax should be computed
# as a logarithm, logit minus log-sum-exp: then it stays finite where the probability itself has become 0. Subtracting
# a number from all logits of one row changes no softmax.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Loss: turn everything into float64 copies and check it; write a small function for the log-probabilities of each row;
# use it on both logits at the temperature and once more on the student's as they are; sum over classes, average over
# samples, mix. Bytes: one line for each scheme, entries times bytes plus whatever is needed to read them.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# shifted = logits - logits.max(axis=1, keepdims=True)  # (samples, classes)
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Geoffrey Hinton, Oriol Vinyals, Jeff Dean (2015). *Distilling the Knowledge in a Neural Network.*
#
# The other works behind the model answer are listed there, in the solution: their titles would answer the question.
