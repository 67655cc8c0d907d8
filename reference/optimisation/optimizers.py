# %% [markdown]
# # SGD with momentum, Adam and AdamW
#
# "Compute the gradient, move against it, repeat" leaves out most of what decides whether a fine-tuning run works: the
# state that the optimiser carries from step to step, the correction that makes Adam's first steps safe, and the place
# where weight decay enters. One line in the wrong place turns AdamW into Adam with an L2 penalty, and no error tells
# you so. Here you answer two interview questions in your own words, judge eight claims about them, and write the three
# update rules as pure functions, with a loop that runs them.
#
# Plan about 50 minutes: 12 for the answer, 5 for the claims, 33 for the code.

# %%
from collections.abc import Callable

import numpy as np

KINDS = ("sgd", "momentum", "nesterov", "adam", "adam_l2", "adamw")

# %% [markdown]
# ## The questions
#
# *(a) "How are the parameters of a model updated during fine-tuning? Describe one update from the batch to the new
# weights."*
#
# *(b) "Explain gradient descent and its variants, momentum, Adam and weight decay."*
#
# Answer both together in the next cell as you would say it aloud, in 12 to 18 sentences. The answer is worth 4 points
# and is read by a person, one point for each of these:
#
# 1. the order of one training step, and which parameters take part in it;
# 2. mini-batch gradient descent and momentum, with the update in a formula or in words;
# 3. Adam, its bias correction, and what is decoupled in AdamW;
# 4. what surrounds the update: the learning rate over time, clipping, precision, memory, and when you stop.

# %% [markdown] tags=["answer"]
# ### Model answer
#
# "In fine-tuning the first decision is **which parameters move**: only those with `requires_grad=True` receive a
# gradient, and frozen ones should not be in the optimiser at all. Then one step is: clear the gradients, forward pass
# on a mini-batch, loss, backward pass, clip, optimiser step, scheduler step. BatchNorm statistics are changed by the
# forward pass, not by the optimiser, so freezing parameters does not freeze them.
#
# **Gradient descent** moves against the gradient, θ ← θ − η·g. With the gradient of a random mini-batch in place of
# the whole set it is stochastic gradient descent (Robbins & Monro 1951): cheap and noisy. **Momentum** (Polyak 1964)
# keeps b ← μ·b + g and moves along b; steady directions add up, by at most 1/(1 − μ), and oscillations cancel.
# Nesterov's variant (1983) looks one momentum step ahead.
#
# **Adam** (Kingma & Ba 2015) keeps moving averages m of g and v of g² for every parameter. Both start at 0 and are
# too small at first, so they are divided by 1 − βᵗ; then θ ← θ − η·m̂ / (√v̂ + ε). The first step therefore is about η
# in every coordinate, whatever the scale of the gradient. The place and the size of ε differ between frameworks.
#
# **Weight decay** pulls every weight towards 0; it does not make the steps smaller. As an L2 term, λθ joins the
# gradient. For plain SGD that equals multiplying θ by 1 − ηλ. In Adam the term is divided by √v̂ like everything else,
# so that weights with large gradients hardly decay; AdamW (Loshchilov & Hutter 2019) multiplies θ by 1 − ηλ and keeps
# the term out of m and v. Biases, norm parameters and temperatures are usually excluded from it.
#
# **Around the update:** warm-up and then decay of the rate; clipping by the global norm; accumulation in which each
# micro-batch is weighted by its number of examples. With bf16 no loss scaling is needed, with fp16 it is, and steps
# with non-finite gradients are skipped (Micikevicius et al. 2018). Adam's two averages cost memory; Adafactor (Shazeer
# & Stern 2018) and 8-bit states (Dettmers et al. 2021) save some, and so does training fewer parameters. Lion (Chen et
# al. 2023), Shampoo and SOAP (Gupta et al. 2018; Vyas et al. 2024) and Muon (Jordan et al. 2024) are recent
# alternatives. I stop by a validation metric and keep the best checkpoint, not at some target for the training loss."
#
# ### Rubric, 4 points
#
# Half a point where an item is only partly there.
#
# - 1 point, the step: clear gradients, forward, loss, backward, (clip,) step, in this order, and that only the
#   unfrozen parameters take part. BatchNorm statistics are welcome here.
# - 1 point, SGD and momentum: minus sign and step size; mini-batches as a noisy estimate; what the buffer holds.
# - 1 point, Adam and AdamW: the two averages, the bias correction and why it is needed; decoupled decay against L2 in
#   the gradient. That decay pulls towards 0 has to be said or implied.
# - 1 point, around it: at least three of schedule with warm-up, clipping by the global norm, accumulation,
#   precision and loss scaling, memory of the state, no decay on biases and norms, stopping by validation.
#
# An answer that only says "gradient, update, repeat until the target is reached" earns at most half a point.
#
# ### References of the model answer
#
# - Xiangning Chen, Chen Liang, Da Huang, et al. (2023). Symbolic Discovery of Optimization Algorithms (Lion).
# - Tim Dettmers, Mike Lewis, Sam Shleifer, Luke Zettlemoyer (2021). 8-bit Optimizers via Block-wise Quantization.
# - Vineet Gupta, Tomer Koren, Yoram Singer (2018). Shampoo: Preconditioned Stochastic Tensor Optimization.
# - Keller Jordan, Yuchen Jin, Vlado Boza, et al. (2024). Muon: An optimizer for hidden layers in neural networks.
# - Paulius Micikevicius, Sharan Narang, Jonah Alben, et al. (2018). Mixed Precision Training.
# - Herbert Robbins, Sutton Monro (1951). A Stochastic Approximation Method.
# - Noam Shazeer, Mitchell Stern (2018). Adafactor: Adaptive Learning Rates with Sublinear Memory Cost.
# - Nikhil Vyas, Depen Morwani, Rosie Zhao, et al. (2024). SOAP: Improving and Stabilizing Shampoo using Adam.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of the wrong ones are often published. The point of the exercise is the
# reason you could give for each. λ is the weight decay, lr the learning rate, both positive. All of them must be right
# for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `decay_slows_the_steps` | Weight decay works by making the learning rate smaller from step to step. |
# | `equal_under_sgd` | SGD without momentum: adding λθ to the gradient g equals θ ← (1 − lr·λ)θ, then the step for g. |
# | `equal_under_adam` | Adam: adding λθ to the gradient g equals θ ← (1 − lr·λ)θ, then Adam's step for g. |
# | `first_adam_step` | A hundredfold gradient does not change the length of Adam's first step (λ = 0, negligible ε). |
# | `zero_gradient_stays` | `torch.optim.AdamW` with λ = 0.01 leaves a weight of 1.0 as it is while its gradient is 0. |
# | `two_averages` | Adam's state holds two moving averages for each trained parameter; plain SGD's state holds none. |
# | `clipping_turns` | Clipping by the global norm changes the direction of the gradient of all parameters together. |
# | `norm_statistics` | BatchNorm's running mean is changed in the optimiser's step, like a weight. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "decay_slows_the_steps",
        "equal_under_sgd",
        "equal_under_adam",
        "first_adam_step",
        "zero_gradient_stays",
        "two_averages",
        "clipping_turns",
        "norm_statistics",
    ]
)
### BEGIN SOLUTION
claims.update(
    # It adds a pull towards 0, in proportion to the weight. The learning rate is the schedule's business.
    decay_slows_the_steps=False,
    # θ − lr·(g + λθ) and (1 − lr·λ)·θ − lr·g are the same expression.
    equal_under_sgd=True,
    # λθ in the gradient is divided by √v̂ with everything else, so its strength depends on the gradients' history.
    equal_under_adam=False,
    # After the correction m̂ = g and v̂ = g², and g / √(g²) is the sign of g: the step is lr in every coordinate.
    first_adam_step=True,
    # The decay acts before and apart from the Adam step. Only a gradient of None makes PyTorch skip the parameter.
    zero_gradient_stays=False,
    # One of the gradient and one of its square: twice the memory of the trained parameters.
    two_averages=True,
    # All gradients are multiplied by one factor, so the whole keeps its direction. Clipping each value would turn it.
    clipping_turns=False,
    # The forward pass changes it, in training mode, also when every parameter is frozen.
    norm_statistics=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** an optimiser is a function of parameter, gradient and *state* that returns the new parameter and the new
# state. Everything that tells the methods apart is what they keep in the state.
#
# ### `sgd_step(param, grad, state, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0)`
# ### `adamw_step(param, grad, state, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)`
#
# `param` and `grad` are arrays of one shape, whatever it is. Both functions return `(new_param, new_state)`.
#
# - **State:** a dictionary of arrays and numbers under names of your choice. The first call receives `{}`, each later
#   one the state that the call before returned (with the same settings).
# - **SGD:** `weight_decay * param` is added to the gradient. The momentum buffer is the first gradient after the first
#   step, and from then on `momentum` times the old buffer plus the gradient (no factor 1 − `momentum`). The parameter
#   moves against the buffer; with `nesterov`, against the gradient plus `momentum` times the new buffer. The step is
#   `lr` times that.
# - **AdamW:** the parameter is multiplied by `1 - lr * weight_decay`, and the Adam step is subtracted from the product.
#   The moving averages of the gradient and of its square start at 0 and are corrected for that start; `eps` is added to
#   the square root, not under it.
# - Both compute and return `float64`, also for `float32` arrays.
# - `param`, `grad` and `state` stay as they are, with all that is in them, and no array in the results shares memory
#   with one of them: training loops reuse their gradient arrays.
#
# ### `run_optimizer(kind, grad_fn, theta0, steps, lr, *, momentum=0.9, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)`
#
# Starts at `theta0`, an array `(d,)` of floats or integers, makes `steps` steps with the gradient `grad_fn(theta)`, an
# array `(d,)`, of the current point, and returns all points, `float64`, shape `(steps + 1, d)`; row 0 is `theta0`.
# `grad_fn` is called once a step. What it returns may be integers, its own argument, or one array at every call, and
# stays as it is. Note that `weight_decay` is 0 here unless it is given, but 0.01 in `adamw_step`.
#
# | `kind` | steps |
# |---|---|
# | `"sgd"` | `sgd_step` without momentum, whatever `momentum` says |
# | `"momentum"`, `"nesterov"` | `sgd_step` with `momentum`; `momentum=0` is plain SGD for `"momentum"` |
# | `"adamw"` | `adamw_step` |
# | `"adam"`, `"adam_l2"` | two names of one method: Adam, with `weight_decay * theta` added to the gradient |
#
# (`torch.optim.Adam` treats its `weight_decay` in that way, so that many people use Adam with an L2 penalty without
# knowing it; hence the second name.)
#
# ### Rules
#
# - **Bad input** raises `ValueError`: `param` and `grad` (or `theta0` and the gradient) of different shapes, even those
#   that would broadcast; `lr`, `eps` or `weight_decay` negative or NaN; `momentum` or one of the `betas` outside [0, 1)
#   or NaN; `nesterov` with `momentum=0` (in `run_optimizer` too); an unknown `kind`; `theta0` that is not 1-D; `steps`
#   below 0. Whether `run_optimizer` also refuses a bad setting that it does not use, because the kind has no use for it
#   or `steps` is 0, is up to you.
# - Combinations that divide 0 by 0, such as `eps=0` with a gradient of 0, need no care.
# - **Not allowed:** `torch`, `tensorflow` and `keras`. You may call your own step functions in `run_optimizer`.
#
# ### A worked example
#
# `param` [1, −2] and `grad` [0.5, −0.25] at every step, `lr` 0.1:
#
# | | after step 1 | after step 2 |
# |---|---|---|
# | SGD | [0.95, −1.975] | [0.9, −1.95] |
# | SGD, `momentum` 0.8: the buffer is g, then 1.8 g | [0.95, −1.975] | [0.86, −1.93] |
# | SGD, `momentum` 0.8, `nesterov`: along 1.8 g, then 2.44 g | [0.91, −1.955] | [0.788, −1.894] |
# | AdamW, `weight_decay` 0: both coordinates move by `lr` | [0.9, −1.9] | [0.8, −1.8] |
# | AdamW, `weight_decay` 0.5: times 0.95 first | [0.85, −1.8] | [0.7075, −1.61] |


# %% tags=["solution"]
def sgd_step(
    param: np.ndarray,
    grad: np.ndarray,
    state: dict,
    *,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> tuple[np.ndarray, dict]:
    """One step of gradient descent with momentum and an L2 term.

    Args:
        param, grad: arrays of one shape.
        state: {} at the first step, later the state that the step before returned. Not changed.
        lr, weight_decay: at least 0.
        momentum: in [0, 1); above 0 if `nesterov`.

    Returns:
        The new parameter, float64, in the shape of `param`, and the new state.

    Raises:
        ValueError: shapes differ or a setting is out of its range.

    Sources: Robbins & Monro 1951; Polyak 1964 (momentum); Nesterov 1983.
    """
    ### BEGIN SOLUTION
    param, grad = np.asarray(param, dtype=np.float64), np.asarray(grad, dtype=np.float64)
    if param.shape != grad.shape:
        raise ValueError(f"parameter {param.shape} and gradient {grad.shape} differ in shape")
    if not (lr >= 0 and weight_decay >= 0 and 0 <= momentum < 1):  # written so that NaN is refused too
        raise ValueError(f"out of range: lr={lr}, weight_decay={weight_decay}, momentum={momentum}")
    if nesterov and momentum == 0:
        raise ValueError("nesterov needs a momentum above 0")

    # the L2 penalty ½·λ·‖param‖² adds λ·param to the gradient
    grad = grad + weight_decay * param
    # buffer = momentum · buffer + gradient
    buffer = momentum * state.get("buffer", 0.0) + grad
    # Nesterov: the gradient, and the momentum of the buffer that already knows it
    direction = grad + momentum * buffer if nesterov else buffer
    return param - lr * direction, {"buffer": buffer}
    ### END SOLUTION


# %% tags=["solution"]
def adamw_step(
    param: np.ndarray,
    grad: np.ndarray,
    state: dict,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> tuple[np.ndarray, dict]:
    """One step of Adam with decoupled weight decay.

    Args:
        param, grad: arrays of one shape.
        state: {} at the first step, later the state that the step before returned. Not changed.
        lr, eps, weight_decay: at least 0.
        betas: decay factors of the averages of the gradient and of its square, in [0, 1).

    Returns:
        The new parameter, float64, in the shape of `param`, and the new state.

    Raises:
        ValueError: shapes differ or a setting is out of its range.

    Sources: Kingma & Ba 2015 (Adam); Loshchilov & Hutter 2019 (decoupled decay).
    """
    ### BEGIN SOLUTION
    param, grad = np.asarray(param, dtype=np.float64), np.asarray(grad, dtype=np.float64)
    beta1, beta2 = betas
    if param.shape != grad.shape:
        raise ValueError(f"parameter {param.shape} and gradient {grad.shape} differ in shape")
    if not (lr >= 0 and eps >= 0 and weight_decay >= 0 and 0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"out of range: lr={lr}, betas={betas}, eps={eps}, weight_decay={weight_decay}")

    step = state.get("step", 0) + 1
    # moving averages of the gradient and of its square
    mean = beta1 * state.get("mean", 0.0) + (1 - beta1) * grad
    square = beta2 * state.get("square", 0.0) + (1 - beta2) * grad**2
    # their weights sum to 1 - beta^step only, because both began at 0
    corrected_mean = mean / (1 - beta1**step)
    corrected_square = square / (1 - beta2**step)
    # decay the parameter itself, then take the step: the decay is in neither average
    decayed = (1 - lr * weight_decay) * param
    new_param = decayed - lr * corrected_mean / (np.sqrt(corrected_square) + eps)
    return new_param, {"step": step, "mean": mean, "square": square}
    ### END SOLUTION


# %% tags=["solution"]
def run_optimizer(
    kind: str,
    grad_fn: Callable[[np.ndarray], np.ndarray],
    theta0: np.ndarray,
    steps: int,
    lr: float,
    *,
    momentum: float = 0.9,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> np.ndarray:
    """The points that an optimiser visits.

    Args:
        kind: "sgd", "momentum", "nesterov", "adam", "adam_l2" or "adamw".
        grad_fn: gradient at a point, (d,) -> (d,).
        theta0: the start, (d,).
        steps: number of steps, at least 0.
        lr, momentum, betas, eps, weight_decay: as in the step functions.

    Returns:
        float64, (steps + 1, d); row 0 is `theta0`.

    Raises:
        ValueError: unknown kind, `theta0` not 1-D, a gradient of another shape, or a number out of its range.
    """
    ### BEGIN SOLUTION
    if kind not in KINDS:
        raise ValueError(f"unknown kind of optimiser: {kind!r}")
    theta = np.array(theta0, dtype=np.float64)
    if theta.ndim != 1 or steps < 0:
        raise ValueError(f"expected a start of shape (d,) and at least 0 steps, got {theta.shape} and {steps}")
    if not weight_decay >= 0:  # the L2 form never hands it to a step function, which would check it
        raise ValueError(f"weight_decay must be at least 0, not {weight_decay}")

    points, state = [theta], {}
    for _ in range(steps):
        grad = np.asarray(grad_fn(theta), dtype=np.float64)
        if grad.shape != theta.shape:
            raise ValueError(f"the gradient has shape {grad.shape}, the point {theta.shape}")
        match kind:
            case "sgd":
                theta, state = sgd_step(theta, grad, state, lr=lr, weight_decay=weight_decay)
            case "momentum" | "nesterov":
                look_ahead = kind == "nesterov"
                theta, state = sgd_step(
                    theta, grad, state, lr=lr, momentum=momentum, nesterov=look_ahead, weight_decay=weight_decay
                )
            case "adamw":
                theta, state = adamw_step(theta, grad, state, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
            case _:  # "adam" or "adam_l2"
                # the penalty goes through the averages, as any other part of the gradient does
                grad = grad + weight_decay * theta
                theta, state = adamw_step(theta, grad, state, lr=lr, betas=betas, eps=eps, weight_decay=0.0)
        points.append(theta)
    return np.stack(points)  # (steps + 1, d)
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# def compare(found, expected):
#     assert np.allclose(found, expected), f"found {np.asarray(found).tolist()}, expected {expected}"
#
#
# param, grad = np.array([2.0, -1.0, 0.5]), np.array([0.5, 1.0, -2.0])
# once, state = sgd_step(param, grad, {}, lr=0.25, momentum=0.5)
# compare(once, [1.875, -1.25, 1.0])
# twice, state = sgd_step(once, grad, state, lr=0.25, momentum=0.5)
# compare(twice, [1.6875, -1.625, 1.75])
# ahead, _ = sgd_step(param, grad, {}, lr=0.25, momentum=0.5, nesterov=True)
# compare(ahead, [1.8125, -1.375, 1.25])
#
# once, state = adamw_step(param, grad, {}, lr=0.25, weight_decay=0.5)
# compare(once, [1.5, -1.125, 0.6875])
# twice, state = adamw_step(once, grad, state, lr=0.25, weight_decay=0.5)
# compare(twice, [1.0625, -1.234375, 0.8515625])
#
# points = run_optimizer("sgd", lambda theta: 2 * theta, np.array([1.0, -3.0]), steps=2, lr=0.25)
# compare(points, [[1.0, -3.0], [0.5, -1.5], [0.25, -0.75]])

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Multiply every gradient by 100. By which factor should SGD's first step grow, and by which should Adam's? What should
# each of them do with a weight whose gradient is 0?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A moving average that starts at 0 is a weighted sum of the gradients so far, and its weights do not sum to 1 yet. How
# much is missing depends only on the factor and on the number of steps, this one included; dividing by the sum of the
# weights repairs it. Repair a copy: the state keeps the average as it is.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check, read the old values from the state or take 0, compute the new ones into new arrays, put them into a new
# dictionary. For SGD: add the decay to the gradient, then update the buffer, then choose the direction. For AdamW:
# count the step, update both averages with the bare gradient, correct both, shrink the parameter, subtract the step.
# The loop asks for the gradient at the point where it is now, and passes each state on.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# first = betas[0] * state.get("first", 0.0) + (1 - betas[0]) * grad  # a new array; 0.0 stands for the missing one
# ```
# </details>

# %% [markdown]
# ## References
#
# - Boris T. Polyak (1964). Some methods of speeding up the convergence of iteration methods.
# - Yurii Nesterov (1983). A method of solving a convex programming problem with convergence rate O(1/k²).
# - Diederik P. Kingma, Jimmy Ba (2015). Adam: A Method for Stochastic Optimization.
# - Ilya Loshchilov, Frank Hutter (2019). Decoupled Weight Decay Regularization.
