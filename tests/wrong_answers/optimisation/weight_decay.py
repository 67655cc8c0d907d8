"""Wrong answers and differently written correct solutions of optimisation/weight_decay."""

from grader.catalogue import Alternative, WrongAnswer

NOTHING_ELSE = "test_a_step_changes_the_parameter_and_nothing_else"
DECOUPLED = "test_decoupled_decay_bypasses_the_momentum"
COUPLED = "test_coupled_decay_is_part_of_the_gradient"
NO_GRADIENT = "test_no_gradient_is_not_a_gradient_of_zeros"
STATE = "test_groups_schedules_and_saved_states"
POINT = "test_at_the_fixed_point_the_two_pulls_cancel"
FACTORS = "test_flat_directions_shrink_most"
BAD_INPUT = "test_bad_input_is_refused"

# "The decay enters the momentum in decoupled mode" and "coupled is used for both modes" are two descriptions of one
# program (buffer = momentum * buffer + gradient + weight_decay * parameter): one entry, `coupled-for-both`.

wrong_answers = [
    # ----------------------------------------------------------------------------------- the published answers
    WrongAnswer(
        id="same-point-for-both",
        title="the fixed point taken to be the minimiser of the loss",
        explanation=(
            "The decay has no say in your fixed point: the update with decay is said to end where the loss is "
            "smallest. Put that point into the update: the gradient is 0 there, the decay is not, so it moves away. "
            "Where would it stay?"
        ),
        caught_by=POINT,
        swap=(("torch.linalg.solve(H + lam * torch.eye(", "torch.linalg.solve(H + 0 * torch.eye("),),
    ),
    WrongAnswer(
        id="coupled-for-both",
        title="the decay inside the momentum buffer in decoupled mode too",
        explanation=(
            "Both modes add the decay to the gradient, so the buffer remembers it and applies it again at later steps. "
            "Without momentum, and at the first step, that cannot be seen. In decoupled mode the decay acts on the "
            "parameter, past the buffer."
        ),
        caught_by=DECOUPLED,
        swap=(('coupled = group["decay_mode"] == "coupled"', 'coupled = group["decay_mode"] != ""'),),
    ),
    # ------------------------------------------------------------------------------------------- the decoupled mode
    WrongAnswer(
        id="decay-after-the-step",
        title="the decay applied to the parameter after the step",
        explanation=(
            "The gradient step is taken first and its result is shrunk, so that a part of the step decays as well. The "
            "decay belongs to the parameter as it was before the step."
        ),
        caught_by=DECOUPLED,
        swap=(
            (
                "                    if not coupled:\n                        parameter.mul_(1 - lr * decay)\n",
                "",
            ),
            (
                '                    parameter.sub_(lr * state["buffer"])\n',
                '                    parameter.sub_(lr * state["buffer"])\n'
                "                    if not coupled:\n                        parameter.mul_(1 - lr * decay)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="decay-without-the-rate",
        title="a decoupled decay that is not multiplied by the learning rate",
        explanation=(
            "Each step takes away weight_decay times the parameter, whatever the rate is. Then a schedule that lowers "
            "the rate leaves the decay as it is, and it wins in the end. Which product should shrink the parameter?"
        ),
        caught_by=DECOUPLED,
        swap=(("parameter.mul_(1 - lr * decay)", "parameter.mul_(1 - decay)"),),
    ),
    WrongAnswer(
        id="decay-grows-the-weights",
        title="a decay with the wrong sign",
        explanation=(
            "The parameter moves away from 0, further with every step. Try a single positive weight with a gradient "
            "of 0: should it become smaller or larger?"
        ),
        caught_by=DECOUPLED,
        swap=(("parameter.mul_(1 - lr * decay)", "parameter.mul_(1 + lr * decay)"),),
    ),
    WrongAnswer(
        id="momentum-as-average",
        title="momentum as a moving average, with a factor 1 - momentum",
        explanation=(
            "What enters the buffer is weighted with 1 - momentum. The buffer asked for is a sum, as in PyTorch: under "
            "a constant gradient it grows to 1 / (1 - momentum) times that gradient."
        ),
        caught_by=DECOUPLED,
        swap=(
            (
                'group["momentum"] * state.get("buffer", 0.0) + entering',
                'group["momentum"] * state.get("buffer", 0.0) + (1 - group["momentum"]) * entering',
            ),
        ),
    ),
    # --------------------------------------------------------------------------------------------- the coupled mode
    WrongAnswer(
        id="decoupled-for-both",
        title="the decay past the momentum buffer in coupled mode too",
        explanation=(
            "The buffer holds gradients only, in both modes. In coupled mode the decay is a part of the gradient, as "
            "if the loss had an L2 term, so whatever remembers gradients remembers it too."
        ),
        caught_by=COUPLED,
        swap=(('coupled = group["decay_mode"] == "coupled"', 'coupled = group["decay_mode"] == ""'),),
    ),
    # ------------------------------------------------------------------------------------ gradients that are None or 0
    WrongAnswer(
        id="none-decays",
        title="decay of parameters that have no gradient",
        explanation=(
            "A parameter whose gradient is None takes no part in this step: it may be frozen, or it belongs to a "
            "branch that was not used. Yours decays towards 0 all the same, so frozen weights are lost slowly."
        ),
        caught_by=NO_GRADIENT,
        swap=(
            (
                "                    if parameter.grad is None:\n                        continue\n",
                "                    if parameter.grad is None:\n"
                "                        parameter.mul_(1 - lr * decay)\n                        continue\n",
            ),
        ),
    ),
    WrongAnswer(
        id="zeros-skipped",
        title="parameters with a gradient of zeros skipped",
        explanation=(
            "A gradient of zeros is treated like none. It says that the loss does not pull; the decay does, and the "
            "buffer may still hold earlier gradients."
        ),
        caught_by=NO_GRADIENT,
        swap=(("if parameter.grad is None:", "if parameter.grad is None or not parameter.grad.any():"),),
    ),
    WrongAnswer(
        id="first-buffer-without-the-gradient",
        title="a first step that fills the buffer and does not use it",
        explanation=(
            "At its first gradient the parameter only gets a buffer, and moves from the second one on. The buffer of "
            "the first step is what enters, and the parameter moves by it."
        ),
        caught_by=NO_GRADIENT,
        swap=(
            (
                '                    parameter.sub_(lr * state["buffer"])\n',
                '                    parameter.sub_(lr * state["buffer"] * (state.setdefault("seen", 0) > 0))\n'
                '                    state["seen"] += 1\n',
            ),
        ),
    ),
    # --------------------------------------------------------------------------------- what else a step may change
    WrongAnswer(
        id="parameter-replaced",
        title="a new tensor in the optimiser, the model's parameter as it was",
        explanation=(
            "The step computes a new tensor and puts it into the group, while the model still holds the old one: "
            "training runs, and the model never changes. The parameter has to be changed in place."
        ),
        caught_by=NOTHING_ELSE,
        swap=(
            (
                '                for parameter in group["params"]:\n',
                '                for place, parameter in enumerate(group["params"]):\n',
            ),
            (
                "                    if not coupled:\n                        parameter.mul_(1 - lr * decay)\n",
                "                    shrunk = parameter if coupled else parameter * (1 - lr * decay)\n",
            ),
            (
                '                    parameter.sub_(lr * state["buffer"])\n',
                '                    new = (shrunk - lr * state["buffer"]).requires_grad_()\n'
                "                    new.grad = parameter.grad\n"
                "                    self.state[new] = self.state.pop(parameter)\n"
                '                    group["params"][place] = new\n',
            ),
        ),
    ),
    WrongAnswer(
        id="gradient-changed",
        title="the decay added to the gradient in place",
        explanation=(
            "The decay is written into the parameter's own gradient. Whoever accumulates gradients, logs their norm or "
            "steps twice then finds the decay in there. Add it to a copy."
        ),
        caught_by=NOTHING_ELSE,
        swap=(
            (
                "entering = parameter.grad + decay * parameter if coupled else parameter.grad",
                "entering = parameter.grad.add_(decay * parameter) if coupled else parameter.grad",
            ),
        ),
    ),
    WrongAnswer(
        id="closure-ignored",
        title="the closure never called",
        explanation=(
            "A closure computes loss and gradients on request. Yours is not called, so the step uses whatever gradients "
            "are there, or none at all."
        ),
        caught_by=NOTHING_ELSE,
        swap=(("loss = None if closure is None else closure()", "loss = None"),),
    ),
    WrongAnswer(
        id="loss-not-returned",
        title="a step that does not return the closure's loss",
        explanation="The closure is called, but its result is dropped. PyTorch's training loops expect it back.",
        caught_by=NOTHING_ELSE,
        swap=(("        return loss\n", "        return None\n"),),
    ),
    # ---------------------------------------------------------------------------------------------- groups and state
    WrongAnswer(
        id="buffer-is-the-gradient",
        title="the first buffer is the gradient tensor itself",
        explanation=(
            "After the first step the buffer is the very tensor that holds the gradient. `zero_grad(set_to_none=False)` "
            "and the next backward pass overwrite it, and with it the momentum. What makes a tensor of its own?"
        ),
        caught_by=STATE,
        swap=(
            (
                'state["buffer"] = group["momentum"] * state.get("buffer", 0.0) + entering',
                'state["buffer"] = group["momentum"] * state["buffer"] + entering if "buffer" in state else entering',
            ),
        ),
    ),
    WrongAnswer(
        id="groups-ignored",
        title="the settings of the constructor used for every group",
        explanation=(
            "A group that overrides a setting gets the common one all the same. No decay on biases, or a smaller rate "
            "for the backbone, would then have no effect."
        ),
        caught_by=STATE,
        swap=(
            (
                "            for group in self.param_groups:\n",
                "            for group in [{**group, **self.defaults} for group in self.param_groups]:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="rate-of-the-start",
        title="the learning rate as it was when the optimiser was made",
        explanation=(
            "The rate is remembered from the start. Schedulers change it in `param_groups`, and nothing comes of it; "
            "the decay, which should follow the rate, does not follow it either."
        ),
        caught_by=STATE,
        swap=(
            (
                '                lr, decay = group["lr"], group["weight_decay"]\n',
                '                lr, decay = group.setdefault("first_lr", group["lr"]), group["weight_decay"]\n',
            ),
        ),
    ),
    WrongAnswer(
        id="buffers-outside-the-state",
        title="buffers that are not part of the saved state",
        explanation=(
            "The buffers are kept in a place of your own, which `state_dict()` knows nothing about: a training run that "
            "is resumed from a checkpoint begins without momentum."
        ),
        caught_by=STATE,
        swap=(
            (
                "                    state = self.state[parameter]\n",
                '                    state = self.__dict__.setdefault("own", {}).setdefault(parameter, {})\n',
            ),
        ),
    ),
    WrongAnswer(
        id="one-buffer-for-all",
        title="one momentum buffer for all parameters of a group",
        explanation=(
            "All parameters write into the same buffer, so each continues with the momentum of the one before it, or "
            "fails if the shapes differ. Every parameter has a buffer of its own."
        ),
        caught_by=STATE,
        swap=(
            (
                "                    state = self.state[parameter]\n",
                '                    state = self.state[group["params"][0]]\n',
            ),
        ),
    ),
    # ---------------------------------------------------------------------------------------------------- the points
    WrongAnswer(
        id="half-the-decay",
        title="a fixed point with half the decay",
        explanation=(
            "The decay is halved. The penalty that belongs to the update is (lam / 2)·‖θ‖², and the factor ½ is used up "
            "when it is differentiated: what pulls is lam·θ."
        ),
        caught_by=POINT,
        swap=(("torch.linalg.solve(H + lam * torch.eye(", "torch.linalg.solve(H + lam / 2 * torch.eye("),),
    ),
    WrongAnswer(
        id="decay-on-every-entry",
        title="the decay added to every entry of the matrix",
        explanation=(
            "`H + lam` adds lam to all entries. The decay of a coordinate depends on this coordinate alone, so only one "
            "entry of each row may change. Which?"
        ),
        caught_by=POINT,
        swap=(("H + lam * torch.eye(len(H), dtype=H.dtype, device=H.device)", "H + lam"),),
    ),
    WrongAnswer(
        id="one-factor-for-the-point",
        title="the fixed point as the minimiser divided by 1 + lam",
        explanation=(
            "All coordinates shrink by one factor. That would be right if the loss were equally steep in all "
            "directions, with curvature 1; where it is flatter, the decay wins more."
        ),
        caught_by=POINT,
        swap=(
            (
                "torch.linalg.solve(H + lam * torch.eye(len(H), dtype=H.dtype, device=H.device), b)",
                "torch.linalg.solve(H, b) / (1 + lam)",
            ),
        ),
    ),
    WrongAnswer(
        id="one-factor-for-all",
        title="one factor 1 / (1 + lam) for all directions",
        explanation=(
            "Every direction gets the same factor. Along an eigenvector the loss pulls back with its eigenvalue; the "
            "steeper it is there, the less the decay can move."
        ),
        caught_by=FACTORS,
        swap=(("return eigenvalues / (eigenvalues + lam)", "return torch.ones_like(eigenvalues) / (1 + lam)"),),
    ),
    WrongAnswer(
        id="largest-first",
        title="the factors in descending order",
        explanation=(
            "The factors are those of the eigenvalues from the largest to the smallest. The order asked for is "
            "ascending, in which the direction that shrinks most comes first."
        ),
        caught_by=FACTORS,
        swap=(("return eigenvalues / (eigenvalues + lam)", "return (eigenvalues / (eigenvalues + lam)).flip(0)"),),
    ),
    WrongAnswer(
        id="half-the-decay-in-the-factors",
        title="factors with half the decay",
        explanation=(
            "The factors belong to a decay of lam / 2. Compare with your own fixed point: along an eigenvector it should "
            "be the factor times the minimiser."
        ),
        caught_by=FACTORS,
        swap=(("return eigenvalues / (eigenvalues + lam)", "return eigenvalues / (eigenvalues + lam / 2)"),),
    ),
    WrongAnswer(
        id="factors-of-the-diagonal",
        title="the factors from the diagonal of the matrix",
        explanation=(
            "The diagonal entries are used as if they were the eigenvalues. They are for a diagonal matrix only; in "
            "general the directions that shrink by a factor are not the coordinate axes."
        ),
        caught_by=FACTORS,
        swap=(
            (
                "return eigenvalues / (eigenvalues + lam)",
                "return torch.sort(H.diagonal() / (H.diagonal() + lam)).values",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------------------ bad input
    WrongAnswer(
        id="unknown-mode-accepted",
        title="an unknown decay_mode taken for one of the two",
        explanation=(
            "Everything that is not the one mode is treated as the other, so a typing mistake trains with another "
            "method than the one that was meant."
        ),
        caught_by=BAD_INPUT,
        swap=(('if decay_mode not in ("coupled", "decoupled"):', "if not decay_mode:"),),
    ),
    WrongAnswer(
        id="nan-accepted",
        title="NaN accepted as a setting",
        explanation=(
            "`lr < 0` is False for NaN, as every comparison with it is. Asked the other way round, whether the number "
            "is in its range, NaN fails too."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "if not (lr >= 0 and weight_decay >= 0 and 0 <= momentum < 1):  # written so that NaN is refused too",
                "if lr < 0 or weight_decay < 0 or momentum < 0 or momentum >= 1:",
            ),
            ("if not lam >= 0:  # written so that NaN is refused too", "if lam < 0:"),
        ),
    ),
    WrongAnswer(
        id="any-matrix-accepted",
        title="a matrix that is not symmetric accepted",
        explanation=(
            "Functions for symmetric matrices read one triangle only and believe that the other is the same, so an "
            "unsymmetric matrix gives a plausible and wrong answer. It has to be refused."
        ),
        caught_by=BAD_INPUT,
        swap=(("    if not (H - H.T).abs().max() <= 1e-5 * H.abs().max():\n", "    if not len(H):\n"),),
    ),
    WrongAnswer(
        id="indefinite-accepted",
        title="a matrix that is not positive definite accepted",
        explanation=(
            "With an eigenvalue of 0 the loss has no single minimum, and with a negative one it has none at all: the "
            "linear system may still have a solution, but it is a saddle or worse. Both have to be refused, whatever "
            "lam is."
        ),
        caught_by=BAD_INPUT,
        swap=(("    if eigenvalues[0] <= 0:\n", "    if (eigenvalues + lam)[0] <= 0:\n"),),
    ),
]

equivalent_mutants = {
    "LtE -> Lt in `if not (H - H.T)": "differs only where the asymmetry is exactly 1e-5 of the largest entry",
    "1e-05 -> 1.5": "'beyond rounding' leaves the limit open: any small share of the largest entry serves",
}

alternatives = [
    Alternative(
        id="in-place-and-cholesky",
        title="buffers updated in place with fused calls; points by Cholesky factors",
        code="""
import math


class SGDDecay(torch.optim.Optimizer):
    def __init__(self, params, lr, momentum=0.0, weight_decay=0.0, decay_mode="decoupled"):
        for number, limit in ((lr, math.inf), (momentum, 1.0), (weight_decay, math.inf)):
            if not 0.0 <= number < limit:
                raise ValueError(number)
        if decay_mode != "coupled" and decay_mode != "decoupled":
            raise ValueError(decay_mode)
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, decay_mode=decay_mode))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                d_p = p.grad
                if group["decay_mode"] == "coupled" and group["weight_decay"] != 0:
                    d_p = d_p.add(p, alpha=group["weight_decay"])
                pull = p * group["weight_decay"] if group["decay_mode"] == "decoupled" else torch.zeros_like(p)
                if group["momentum"] != 0:
                    if "momentum_buffer" not in self.state[p]:
                        self.state[p]["momentum_buffer"] = torch.clone(d_p).detach()
                    else:
                        self.state[p]["momentum_buffer"].mul_(group["momentum"]).add_(d_p)
                    d_p = self.state[p]["momentum_buffer"]
                p.add_(d_p + pull, alpha=-group["lr"])
        return loss


def _checked(H, lam):
    if H.dim() != 2 or H.size(0) != H.size(1) or not torch.allclose(H, H.mT) or math.isnan(lam) or lam < 0:
        raise ValueError("H or lam")
    try:
        torch.linalg.cholesky(H)
    except torch.linalg.LinAlgError as error:
        raise ValueError("not positive definite") from error
    return H


def risk_minimiser(H, b):
    if H.dim() != 2 or b.shape != (H.shape[1],):
        raise ValueError("b")
    return torch.cholesky_solve(b[:, None], torch.linalg.cholesky(_checked(H, 0.0)))[:, 0]


def decay_fixed_point(H, b, lam):
    return risk_minimiser(_checked(H, lam) + torch.diag(torch.full((len(H),), lam, dtype=H.dtype)), b)


def shrinkage(H, lam):
    return torch.linalg.svdvals(_checked(H, lam)).flip(0).pow(-1).mul(lam).add(1).pow(-1)
""",
    ),
    Alternative(
        id="data-and-eigenvectors",
        title="through .data and add_param_group's defaults; points in the basis of the eigenvectors",
        code="""
class SGDDecay(torch.optim.Optimizer):
    MODES = {"coupled": (1.0, 0.0), "decoupled": (0.0, 1.0)}  # share of the decay in the gradient, and past it

    def __init__(self, params, lr, momentum=0.0, weight_decay=0.0, decay_mode="decoupled"):
        defaults = {k: v for k, v in locals().items() if k in ("lr", "momentum", "weight_decay", "decay_mode")}
        if decay_mode not in self.MODES:
            raise ValueError("decay_mode")
        in_range = [lr >= 0, weight_decay >= 0, momentum >= 0, momentum < 1]
        if not all(in_range):
            raise ValueError(defaults)
        super().__init__(params, defaults)

    def step(self, closure=None):
        result = closure() if closure else None
        for group in self.param_groups:
            inside, outside = self.MODES[group["decay_mode"]]
            decay = group["weight_decay"]
            for p in (p for p in group["params"] if p.grad is not None):
                old, grad = p.data.clone(), p.grad.data
                velocity = self.state[p].setdefault("velocity", torch.zeros_like(p.data))
                velocity *= group["momentum"]
                velocity += grad + inside * decay * old
                p.data = old - group["lr"] * (velocity + outside * decay * old)
        return result


def _spectrum(H, lam):
    if H.ndim != 2 or H.shape != H.T.shape or not torch.allclose(H, H.T) or not lam >= 0:
        raise ValueError("H, lam")
    values, vectors = torch.linalg.eigh(H)
    if (values <= 0).any():
        raise ValueError("definite")
    return values, vectors


def decay_fixed_point(H, b, lam):
    values, vectors = _spectrum(H, lam)
    if b.ndim != 1 or len(b) != len(H):
        raise ValueError("b")
    return vectors @ ((vectors.T @ b) / (values + lam))


def risk_minimiser(H, b):
    return decay_fixed_point(H, b, 0)


def shrinkage(H, lam):
    values, _ = _spectrum(H, lam)
    return 1 - lam / (values + lam)
""",
    ),
    Alternative(
        id="every-term-apart",
        title="the decay as its own decoupled pass, no buffer without momentum; points by the inverse",
        code="""
class SGDDecay(torch.optim.Optimizer):
    def __init__(self, params, lr, momentum=0.0, weight_decay=0.0, decay_mode="decoupled"):
        if lr != lr or lr < 0 or weight_decay != weight_decay or weight_decay < 0:
            raise ValueError("rates")
        if momentum != momentum or momentum < 0 or momentum >= 1 or decay_mode not in ["coupled", "decoupled"]:
            raise ValueError("momentum or mode")
        super().__init__(params, {"decay_mode": decay_mode, "weight_decay": weight_decay, "momentum": momentum, "lr": lr})

    def _decay(self, group):
        for p in group["params"]:
            if p.grad is not None:
                p -= group["lr"] * group["weight_decay"] * p

    def _descend(self, group, l2):
        for p in group["params"]:
            if p.grad is None:
                continue
            move = p.grad.clone() + l2 * p
            if group["momentum"]:
                move += group["momentum"] * self.state[p].get("b", torch.zeros_like(p))
                self.state[p]["b"] = move
            p -= group["lr"] * move

    def step(self, closure=None):
        loss = None
        if closure is not None:
            loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                if group["decay_mode"] == "decoupled":
                    self._decay(group)
                    self._descend(group, 0.0)
                else:
                    self._descend(group, group["weight_decay"])
        return loss


def shrinkage(H, lam):
    if H.ndim != 2 or H.shape[0] != H.shape[1]:
        raise ValueError("square")
    if ((H - H.T).abs() > 1e-4 * H.abs().max()).any() or torch.linalg.eigvalsh(H).min() <= 0 or not (lam >= 0):
        raise ValueError("H or lam")
    identity = torch.eye(len(H), dtype=H.dtype)
    return torch.linalg.eigvalsh(torch.linalg.inv(H + lam * identity) @ H).sort().values


def decay_fixed_point(H, b, lam):
    shrinkage(H, lam)
    if b.shape != H[0].shape:
        raise ValueError("b")
    return torch.linalg.inv(H + lam * torch.eye(len(b), dtype=b.dtype)).mv(b)


def risk_minimiser(H, b):
    shrinkage(H, 0.0)
    if b.shape != H[0].shape:
        raise ValueError("b")
    return torch.linalg.inv(H).mv(b)
""",
    ),
]
