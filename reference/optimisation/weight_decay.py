# %% [markdown]
# # Weight decay and the fixed point of an update
#
# Weight decay looks like a detail of the optimiser, but it decides where training ends: with a decay λ the updates do
# not come to rest at the minimum of the loss but where the loss pulls as hard one way as the decay pulls the other.
# And there are two kinds of it. As an L2 term in the gradient it passes through the momentum; decoupled, it does not.
# The formula θ ← θ − η·∇L − η·λ·θ is often printed as if it were both, "for SGD, Adam and so on"; with momentum the
# two already part at the second step.
#
# ## Your task (about 35 minutes)
#
# ### Part 1: the update
#
# Write `SGDDecay(params, lr, momentum=0.0, weight_decay=0.0, decay_mode="decoupled")`, a subclass of
# `torch.optim.Optimizer`. `params` is what every PyTorch optimiser takes: parameters, or dictionaries (groups) that may
# override `lr`, `momentum`, `weight_decay` and `decay_mode`, which are the keys in `param_groups`. With η = `lr`,
# λ = `weight_decay` and θ the parameter before the step, `step()` does this for each parameter:
#
# | `decay_mode` | what enters the momentum buffer | the new parameter |
# |---|---|---|
# | `"coupled"` | gradient + λ·θ | θ − η·buffer |
# | `"decoupled"` | gradient | θ − η·λ·θ − η·buffer |
#
# - The buffer of a parameter is, at its first step, what enters, and afterwards `momentum` times the old buffer plus
#   what enters. With `momentum` 0 it is what enters.
# - The parameter itself is changed, and nothing else: its gradient stays as it is, and the optimiser keeps no reference
#   to it (training loops overwrite gradients in place).
# - A parameter whose `.grad` is `None` is skipped: no decay, no buffer. A gradient of zeros is one like any other.
# - The settings are read from `param_groups` at every step, since schedulers change them there.
# - Buffers are kept so that `state_dict()` and `load_state_dict()` carry them: a copy that loads the state goes on
#   exactly as the original.
# - `step(closure=None)` calls the closure first, if there is one, and returns its result; without one, `None`.
# - `ValueError` when the constructor gets an `lr` or `weight_decay` that is negative or NaN, a `momentum` outside
#   [0, 1) or NaN, or another `decay_mode`. Overrides in groups need not be checked.
#
# ### Part 2: where it comes to rest
#
# For the quadratic loss ½ θᵀHθ − bᵀθ the gradient is Hθ − b, and everything can be computed:
#
# - `risk_minimiser(H, b)`: the point where the loss is smallest.
# - `decay_fixed_point(H, b, lam)`: the point that the update with decay λ = `lam` leaves where it is (without
#   momentum, where the two modes are one; it does not depend on η).
# - `shrinkage(H, lam)`: along each eigenvector of H, the second point is the first times a factor. Return the factors,
#   `(d,)`, in ascending order of the eigenvalues.
#
# `H` is `(d, d)`, symmetric and positive definite, `b` is `(d,)`, both float32 or both float64, and each result is
# `(d,)` in that dtype. `ValueError` when `H` is not a square matrix, not symmetric (beyond rounding) or not positive
# definite, when `b` is not `(d,)`, or when `lam` is negative or NaN.
#
# Not allowed: the ready-made `torch.optim.SGD`, `torch.optim.Adam` and `torch.optim.AdamW`. The base class
# `torch.optim.Optimizer` and all of `torch.linalg` are fine.
#
# ## A worked example
#
# One weight θ = 2 with gradient 1 at both steps, η = 0.1, λ = 0.5:
#
# | | `momentum` | after step 1 | after step 2 |
# |---|---|---|---|
# | coupled or decoupled | 0 | 1.8 | 1.61 |
# | coupled: 2 enters, then 1.9; the buffer is 2, then 2.9 | 0.5 | 1.8 | 1.51 |
# | decoupled: 1 enters each time; the buffer is 1, then 1.5 | 0.5 | 1.8 | 1.56 |
#
# For H = diag(1, 10), b = (1, 1) and λ = 0.5 the loss is smallest at (1, 0.1), the update rests at (0.6667, 0.0952),
# and the factors are (0.6667, 0.9524): decay moves most where the loss is flat.

# %%
from collections.abc import Callable, Iterable

import torch
from torch import Tensor


# %% tags=["solution"]
class SGDDecay(torch.optim.Optimizer):
    """Gradient descent with momentum and either kind of weight decay (Loshchilov & Hutter 2019).

    Args:
        params: parameters, or groups (dictionaries) that may override the settings below.
        lr: learning rate, at least 0.
        momentum: factor of the momentum buffer, in [0, 1) (Polyak 1964).
        weight_decay: strength of the decay, at least 0.
        decay_mode: "coupled" (an L2 term in the gradient) or "decoupled" (apart from the gradient).

    Raises:
        ValueError: a setting is out of its range.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        decay_mode: str = "decoupled",
    ) -> None:
        ### BEGIN SOLUTION
        if not (lr >= 0 and weight_decay >= 0 and 0 <= momentum < 1):  # written so that NaN is refused too
            raise ValueError(f"out of range: lr={lr}, momentum={momentum}, weight_decay={weight_decay}")
        if decay_mode not in ("coupled", "decoupled"):
            raise ValueError(f"decay_mode must be 'coupled' or 'decoupled', not {decay_mode!r}")
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "decay_mode": decay_mode}
        super().__init__(params, settings)
        ### END SOLUTION

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update every parameter that has a gradient; return the closure's loss, or None without a closure."""
        ### BEGIN SOLUTION
        loss = None if closure is None else closure()
        with torch.no_grad():
            for group in self.param_groups:
                lr, decay = group["lr"], group["weight_decay"]
                coupled = group["decay_mode"] == "coupled"
                for parameter in group["params"]:
                    if parameter.grad is None:
                        continue
                    # coupled: the decay is part of the gradient, and so of everything that is made of it
                    entering = parameter.grad + decay * parameter if coupled else parameter.grad
                    # buffer = momentum · buffer + what enters (a new tensor, so never the gradient itself)
                    state = self.state[parameter]
                    state["buffer"] = group["momentum"] * state.get("buffer", 0.0) + entering
                    # decoupled: the old parameter shrinks by lr · decay, past the buffer
                    if not coupled:
                        parameter.mul_(1 - lr * decay)
                    parameter.sub_(lr * state["buffer"])
        return loss
        ### END SOLUTION


# %% tags=["solution"]
def risk_minimiser(H: Tensor, b: Tensor) -> Tensor:
    """Minimiser of ½ θᵀHθ − bᵀθ.

    H (d, d) symmetric positive definite, b (d,), of one floating dtype; the result is (d,) in that dtype.
    Raises ValueError for other shapes or an H that is not symmetric positive definite.
    """
    ### BEGIN SOLUTION
    return decay_fixed_point(H, b, 0.0)  # without decay the update rests where the gradient Hθ − b is 0
    ### END SOLUTION


# %% tags=["solution"]
def decay_fixed_point(H: Tensor, b: Tensor, lam: float) -> Tensor:
    """The point that θ ← θ − η·(Hθ − b) − η·lam·θ leaves where it is: the minimiser with (lam/2)·‖θ‖² added.

    H (d, d) symmetric positive definite, b (d,), of one floating dtype, lam at least 0; the result is (d,) in that
    dtype. Raises ValueError otherwise.
    """
    ### BEGIN SOLUTION
    if H.ndim != 2 or b.shape != H.shape[:1]:
        raise ValueError(f"expected H (d, d) and b (d,), got {tuple(H.shape)} and {tuple(b.shape)}")
    shrinkage(H, lam)  # refuses all other bad input
    # at rest the two pulls cancel: Hθ − b + lam·θ = 0, that is (H + lam·I) θ = b
    return torch.linalg.solve(H + lam * torch.eye(len(H), dtype=H.dtype, device=H.device), b)  # (d,)
    ### END SOLUTION


# %% tags=["solution"]
def shrinkage(H: Tensor, lam: float) -> Tensor:
    """Factors from the minimiser to the fixed point along the eigenvectors of H, in ascending order of eigenvalues.

    H (d, d) symmetric positive definite, lam at least 0; the result is (d,) in the dtype of H. Raises ValueError
    otherwise.
    """
    ### BEGIN SOLUTION
    if H.ndim != 2 or H.shape[0] != H.shape[1]:
        raise ValueError(f"expected a square matrix, got shape {tuple(H.shape)}")
    if not lam >= 0:  # written so that NaN is refused too
        raise ValueError(f"the decay must be at least 0, not {lam}")
    if not (H - H.T).abs().max() <= 1e-5 * H.abs().max():
        raise ValueError("H is not symmetric")
    eigenvalues = torch.linalg.eigvalsh(H)  # (d,), ascending
    if eigenvalues[0] <= 0:
        raise ValueError(f"H is not positive definite: its smallest eigenvalue is {eigenvalues[0]}")
    # along an eigenvector with eigenvalue h the two points are b/h and b/(h + lam)
    return eigenvalues / (eigenvalues + lam)
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# after = {}
# for mode in ("decoupled", "coupled"):
#     weight = torch.nn.Parameter(torch.tensor([4.0, -2.0]))
#     optimizer = SGDDecay([weight], lr=0.5, momentum=0.5, weight_decay=0.25, decay_mode=mode)
#     after[mode] = []
#     for _ in range(2):
#         weight.grad = torch.tensor([1.0, 2.0])
#         optimizer.step()
#         after[mode].append(weight.tolist())
# assert after["decoupled"] == [[3.0, -2.75], [1.875, -3.90625]], after["decoupled"]
# assert after["coupled"] == [[3.0, -2.75], [1.625, -3.78125]], after["coupled"]
#
# H, b = torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.tensor([3.0, 0.0])
# torch.testing.assert_close(risk_minimiser(H, b), torch.tensor([2.0, -1.0]))
# torch.testing.assert_close(decay_fixed_point(H, b, 1.0), torch.tensor([1.125, -0.375]))
# torch.testing.assert_close(shrinkage(H, 1.0), torch.tensor([0.5, 0.75]))

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# A weight has the gradient 0 for ten steps. What is left of it after the first of them in each mode, and after the
# tenth, if the momentum is not 0? And at which weight would one step with a gradient of Hθ − b change nothing?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Coupled decay is a change of the *gradient*: whatever the optimiser remembers of gradients, it then remembers of the
# decay as well. Decoupled decay is a change of the *parameter*, and leaves no memory. At rest, the pull of the loss and
# the pull of the decay cancel, which is a linear system; in the eigenvectors of H it falls apart into single numbers.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the settings and hand them to the base class as defaults. In a step: call the closure; without recording
# gradients, go through the groups and their parameters, skip those without gradient, make a new tensor of what enters,
# make the new buffer and keep it in `self.state[parameter]`, shrink the parameter if the mode is decoupled, subtract.
# For the points: check H, add λ to its diagonal, solve.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# previous = self.state[parameter].get("buffer", 0.0)  # what stands in self.state is part of state_dict()
# ```
# </details>
#
# ## Going further
#
# - With momentum μ the two modes rest in different places: coupled still where ∇L = −λθ, decoupled where
#   ∇L = −(1 − μ)·λ·θ. A λ that was tuned for one mode does not fit the other.
# - With Adam the modes differ even without momentum: `torch.optim.Adam(weight_decay=...)` is coupled, and the decay is
#   divided by the root mean square of the gradient; `torch.optim.AdamW` is decoupled.
# - Both pull towards 0, not towards the pretrained weights. L2-SP (Li et al. 2018) pulls towards those.
# - Biases, norm parameters and temperatures usually get a group with `weight_decay` 0.
# - Why decay helps is a question of its own: Zhang et al. (2019) find three different mechanisms.
#
# ## References
#
# - Boris T. Polyak (1964). Some methods of speeding up the convergence of iteration methods.
# - Ilya Loshchilov, Frank Hutter (2019). Decoupled Weight Decay Regularization.
# - Guodong Zhang, Chaoqi Wang, Bowen Xu, Roger B. Grosse (2019). Three Mechanisms of Weight Decay Regularization.
# - Xuhong Li, Yves Grandvalet, Franck Davoine (2018). Explicit Inductive Bias for Transfer Learning with Convolutional
#   Networks.
