"""Wrong answers and differently written correct solutions of optimisation/mixed_precision."""

from grader.catalogue import Alternative, WrongAnswer

CLAIMS = "test_claims"
NO_TRACE = "test_scaling_leaves_no_trace_in_the_gradients"
OVERFLOW = "test_an_overflow_anywhere_skips_the_whole_step"
SCALE = "test_the_scale_follows_overflows_and_good_steps"
ORDER = "test_calls_out_of_order_and_bad_settings_are_refused"
CLIPPING = "test_clipping_sees_gradients_of_their_true_size"
MASTER = "test_the_master_copy_keeps_small_updates"

UNSCALE_AND_CLIP = """    scaler.unscale_(optimizer)  # before clipping: max_norm is meant for gradients of their true size
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
"""

wrong_answers = [
    # ----------------------------------------------------------------------------------- the published answers
    WrongAnswer(
        id="claims-as-published",
        title="the claims as the published answers have them",
        explanation=(
            "Some claims follow advice that is in print without its conditions: mixed precision is said to help "
            "against every shortage of memory, and loss scaling against everything that is too small. Ask of the one "
            "what exactly takes fewer bytes: weights, gradients, optimiser state or activations. Ask of the other "
            "which numbers are computed after the loss."
        ),
        caught_by=CLAIMS,
        swap=(
            ("autocast_shrinks_adam=False", "autocast_shrinks_adam=True"),
            ("scaling_saves_activations=False", "scaling_saves_activations=True"),
        ),
    ),
    WrongAnswer(
        id="clipped-before-unscaling",
        title="gradients clipped before they are unscaled",
        explanation=(
            "The norm of the scaled gradients is compared with max_norm, so they are clipped nearly always, and then "
            "divided by the scale: the steps are as many times too short as the scale is large. Of which gradients does "
            "max_norm speak?"
        ),
        caught_by=CLIPPING,
        swap=(
            (
                UNSCALE_AND_CLIP,
                "    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n    scaler.unscale_(optimizer)\n",
            ),
        ),
    ),
    # ---------------------------------------------------------------------------------------------- unscaling
    WrongAnswer(
        id="never-unscaled",
        title="a step with scaled gradients",
        explanation=(
            "When `step` is called on its own the gradients are still those of the scaled loss, and the parameters move "
            "by as many times too much. `step` unscales if nobody has done it."
        ),
        caught_by=NO_TRACE,
        swap=(("            self.unscale_(optimizer)\n", "            self._unscaled = True\n"),),
    ),
    WrongAnswer(
        id="unscaled-twice",
        title="gradients divided by the scale twice",
        explanation=(
            "After `unscale_`, `step` unscales once more, so the steps are as many times too short as the scale is "
            "large. The scaler has to remember that it was done in this iteration."
        ),
        caught_by=NO_TRACE,
        swap=(
            (
                "        if not self._unscaled:\n            self.unscale_(optimizer)\n",
                "        self._unscaled = False\n        self.unscale_(optimizer)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="first-group-only",
        title="only the first parameter group unscaled",
        explanation=(
            "An optimiser may have several groups, one with weight decay and one without, for example. Only the "
            "gradients of the first are divided and looked at."
        ),
        caught_by=NO_TRACE,
        swap=(("for group in optimizer.param_groups:", "for group in optimizer.param_groups[:1]:"),),
    ),
    WrongAnswer(
        id="multiplied-in-unscale",
        title="gradients multiplied by the scale when they should be divided",
        explanation=(
            "Unscaling multiplies once more, so the factor comes in squared. The loss was multiplied; what brings the "
            "gradients back?"
        ),
        caught_by=NO_TRACE,
        swap=(("parameter.grad.div_(self._scale)", "parameter.grad.mul_(self._scale)"),),
    ),
    WrongAnswer(
        id="new-gradient-tensors",
        title="gradients replaced by new tensors",
        explanation=(
            "Unscaling puts a new tensor in the place of each gradient. Memory for a second set of gradients is needed, "
            "and whoever holds the old one (a bucket of a data-parallel wrapper, for instance) still has scaled values. "
            "The name ends in an underscore: it works in place."
        ),
        caught_by=NO_TRACE,
        swap=(("parameter.grad.div_(self._scale)", "parameter.grad = parameter.grad / self._scale"),),
    ),
    # ------------------------------------------------------------------------------------------------ overflows
    WrongAnswer(
        id="steps-on-overflow",
        title="a step in spite of an overflow",
        explanation=(
            "The overflow is noticed, and the optimiser is called all the same: weights and averages become infinite or "
            "NaN, and stay so. A step with such gradients has to be left out."
        ),
        caught_by=OVERFLOW,
        swap=(
            (
                "        if self._overflow:\n            return False\n        optimizer.step()\n        return True\n",
                "        optimizer.step()\n        return not self._overflow\n",
            ),
        ),
    ),
    WrongAnswer(
        id="only-nan-noticed",
        title="infinities that are not noticed",
        explanation=(
            "Only NaN counts as an overflow. What a too large scale makes first is an infinity; it becomes NaN later, "
            "in the optimiser's averages."
        ),
        caught_by=OVERFLOW,
        swap=(("if not parameter.grad.isfinite().all():", "if parameter.grad.isnan().any():"),),
    ),
    WrongAnswer(
        id="only-infinity-noticed",
        title="NaN that is not noticed",
        explanation=(
            "Only infinities count as an overflow. An infinity minus an infinity, or times 0, is NaN before it reaches "
            "the gradient."
        ),
        caught_by=OVERFLOW,
        swap=(("if not parameter.grad.isfinite().all():", "if parameter.grad.isinf().any():"),),
    ),
    WrongAnswer(
        id="first-parameter-decides",
        title="each parameter's overflow overwriting the one before",
        explanation=(
            "The note of an overflow is set anew for each parameter, so that only one of them decides. One bad entry "
            "anywhere is enough: what has been noticed must not be forgotten within the iteration."
        ),
        caught_by=OVERFLOW,
        swap=(
            (
                "                    if not parameter.grad.isfinite().all():\n                        self._overflow = True\n",
                "                    self._overflow = not parameter.grad.isfinite().all()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="overflow-entries-zeroed",
        title="bad entries set to 0, and a step",
        explanation=(
            "Infinite and undefined entries are replaced by 0 and the optimiser steps. The other entries of this batch "
            "may be rounded or wrong as well, and momentum and averages take them in. The whole step is left out."
        ),
        caught_by=OVERFLOW,
        swap=(
            (
                "        if self._overflow:\n            return False\n        optimizer.step()\n        return True\n",
                "        for group in optimizer.param_groups:\n"
                '            for parameter in group["params"]:\n'
                "                if parameter.grad is not None:\n"
                "                    parameter.grad.nan_to_num_(0.0, 0.0, 0.0)\n"
                "        optimizer.step()\n        return not self._overflow\n",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------------ the scale
    WrongAnswer(
        id="scale-never-shrinks",
        title="a scale that never shrinks",
        explanation=(
            "After an overflow the scale stays as it is, so the next batch overflows as well: from then on every step is "
            "skipped, and training stands still without an error."
        ),
        caught_by=SCALE,
        swap=(("            self._scale *= self._backoff_factor\n", ""),),
    ),
    WrongAnswer(
        id="overflow-keeps-the-count",
        title="good steps counted on across an overflow",
        explanation=(
            "The count of good steps goes on where it was before the overflow, so the scale grows again too soon, into "
            "the next overflow. `growth_interval` is a number of good steps *in a row*."
        ),
        caught_by=SCALE,
        swap=(
            (
                "            self._scale *= self._backoff_factor\n            self._good_steps = 0\n",
                "            self._scale *= self._backoff_factor\n",
            ),
        ),
    ),
    WrongAnswer(
        id="growth-keeps-the-count",
        title="the count not started anew when the scale grows",
        explanation=(
            "After the scale has grown the count goes on, so it is full at once and the scale grows again too early, or "
            "it has passed its mark and the scale never grows again. Each growth needs its own run of good steps."
        ),
        caught_by=SCALE,
        swap=(
            (
                "            if self._good_steps == self._growth_interval:\n"
                "                self._scale *= self._growth_factor\n                self._good_steps = 0\n",
                "            if self._good_steps >= self._growth_interval:\n"
                "                self._scale *= self._growth_factor\n",
            ),
        ),
    ),
    WrongAnswer(
        id="grows-at-every-step",
        title="a scale that grows after every good step",
        explanation=(
            "The scale grows each time, and every few steps it overflows, so a large part of the batches is thrown away. "
            "It is to grow after `growth_interval` good steps in a row."
        ),
        caught_by=SCALE,
        swap=(("            if self._good_steps == self._growth_interval:\n", "            if self._good_steps:\n"),),
    ),
    WrongAnswer(
        id="grows-one-step-late",
        title="a scale that grows one step too late",
        explanation=(
            "The count is compared before this step is added to it. The step that makes the count full is the one after "
            "which the scale grows."
        ),
        caught_by=SCALE,
        swap=(
            (
                "            if self._good_steps == self._growth_interval:\n",
                "            if self._good_steps > self._growth_interval:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="factors-fixed",
        title="the factors 2 and ½ whatever the arguments say",
        explanation="The scale doubles and halves; growth_factor and backoff_factor are arguments of the constructor.",
        caught_by=SCALE,
        swap=(
            ("            self._scale *= self._backoff_factor\n", "            self._scale /= 2\n"),
            ("                self._scale *= self._growth_factor\n", "                self._scale *= 2\n"),
        ),
    ),
    WrongAnswer(
        id="overflow-remembered",
        title="an overflow that is remembered for ever",
        explanation=(
            "After one overflow every later step is skipped too: what was noted in that iteration is not wiped when it "
            "ends."
        ),
        caught_by=SCALE,
        swap=(
            (
                "                self._good_steps = 0\n        self._unscaled = self._stepped = self._overflow = False\n",
                "                self._good_steps = 0\n        self._unscaled = self._stepped = False\n",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------ order and bad settings
    WrongAnswer(
        id="second-unscale-accepted",
        title="a second unscale_ that does nothing, or divides again",
        explanation=(
            "Calling `unscale_` twice in an iteration is a mistake in the training loop. Passing over it in silence "
            "hides it; the task asks for RuntimeError."
        ),
        caught_by=ORDER,
        swap=(
            (
                '            raise RuntimeError("the gradients have already been unscaled since the last update")\n',
                "            return\n",
            ),
        ),
    ),
    WrongAnswer(
        id="second-step-accepted",
        title="a second step before update",
        explanation=(
            "Two steps with the same gradients, with no `update` between them, are accepted. That is a forgotten "
            "`update`, and the task asks for RuntimeError."
        ),
        caught_by=ORDER,
        swap=(
            (
                '        if self._stepped:\n            raise RuntimeError("step has already been called since the last update")\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="update-without-step-accepted",
        title="an update without a step",
        explanation=(
            "`update` without a `step` counts as a good step, so the scale grows although nothing was tried. The task "
            "asks for RuntimeError."
        ),
        caught_by=ORDER,
        swap=(('        if not self._stepped:\n            raise RuntimeError("update belongs after step")\n', ""),),
    ),
    WrongAnswer(
        id="settings-unchecked",
        title="settings out of their range accepted",
        explanation=(
            "A growth factor of 1, a backoff factor of 1 or a scale of 0 is accepted, and the scaler then does not do its "
            "work. The ranges are in the task; the ends of each do not belong to it, except for growth_interval."
        ),
        caught_by=ORDER,
        swap=(
            ("if not growth_factor > 1:", "if not growth_factor >= 1:"),
            ("if not 0 < backoff_factor < 1:", "if not 0 <= backoff_factor <= 1:"),
            ("if not 0 < init_scale < math.inf:", "if not 0 <= init_scale < math.inf:"),
        ),
    ),
    WrongAnswer(
        id="nan-settings-accepted",
        title="NaN accepted as a setting",
        explanation=(
            "`x <= 0` is False for NaN, as every comparison with it is. Asked the other way round, whether the number is "
            "in its range, NaN fails too."
        ),
        caught_by=ORDER,
        swap=(
            ("if not growth_factor > 1:", "if growth_factor <= 1:"),
            ("if not 0 < backoff_factor < 1:", "if backoff_factor <= 0 or backoff_factor >= 1:"),
            ("if not 0 < init_scale < math.inf:", "if init_scale <= 0 or init_scale == math.inf:"),
            ("if not max_norm > 0:", "if max_norm <= 0:"),
        ),
    ),
    # ------------------------------------------------------------------------------------------------- clipping
    WrongAnswer(
        id="old-gradients-kept",
        title="the gradients of the step before added to the new ones",
        explanation=(
            "The old gradients are still there when the backward pass adds the new ones. The function is to clear them "
            "itself."
        ),
        caught_by=CLIPPING,
        swap=(("    optimizer.zero_grad()\n    scaler.scale", "    scaler.scale"),),
    ),
    WrongAnswer(
        id="clipped-one-by-one",
        title="each gradient clipped on its own",
        explanation=(
            "Each parameter's gradient is brought to max_norm by itself. That turns the direction of the whole step, and "
            "its norm can still be larger than max_norm. One norm, of all gradients together, gives one factor for all."
        ),
        caught_by=CLIPPING,
        swap=(
            (
                "    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n",
                "    for parameter in model.parameters():\n        nn.utils.clip_grad_norm_([parameter], max_norm)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="clipped-by-value",
        title="each entry clipped to max_norm",
        explanation=(
            "Every entry is cut to the range from -max_norm to max_norm. That is clipping by value; clipping by the norm "
            "multiplies all of them by one number."
        ),
        caught_by=CLIPPING,
        swap=(
            (
                "    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n",
                "    nn.utils.clip_grad_value_(model.parameters(), max_norm)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="update-forgotten",
        title="an iteration that does not update the scaler",
        explanation=(
            "The iteration ends without `update`, so the scale never changes and the next iteration begins in the "
            "state of this one."
        ),
        caught_by=CLIPPING,
        swap=(("    scaler.update()\n    return stepped\n", "    return stepped\n"),),
    ),
    WrongAnswer(
        id="answer-of-its-own",
        title="an answer that is not the scaler's",
        explanation=(
            "The function always answers the same, or works its answer out by itself. The scaler knows whether it "
            "stepped; hand on what its `step` returned."
        ),
        caught_by=CLIPPING,
        swap=(("    scaler.update()\n    return stepped\n", "    scaler.update()\n    return True\n"),),
    ),
    # ------------------------------------------------------------------------------------------- the master copy
    WrongAnswer(
        id="weights-only-in-half",
        title="the step made on the half-precision parameter",
        explanation=(
            "The new value is computed from the half-precision parameter. Between 0.5 and 1 float16 has steps of 0.0005, so a "
            "smaller update is rounded away, every time, and a thousand of them change nothing. Which of the two copies "
            "can hold it?"
        ),
        caught_by=MASTER,
        swap=(
            (
                "    new_master = master - lr * grad.float()\n    return new_master.to(param.dtype), new_master\n",
                "    new_param = param - lr * grad\n    return new_param, new_param.float()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="product-in-half",
        title="rate times gradient computed in half precision",
        explanation=(
            "The product of rate and gradient is formed in half precision, where it loses digits or becomes 0, and then "
            "it is too late for float32. Convert first."
        ),
        caught_by=MASTER,
        swap=(("master - lr * grad.float()", "master - (lr * grad).float()"),),
    ),
    WrongAnswer(
        id="master-rounded",
        title="a master copy that is rounded at every step",
        explanation=(
            "The step is computed in float32, and then the master copy is taken from the rounded parameter, so that the "
            "small part is lost at every step. The parameter follows the master copy, never the other way round."
        ),
        caught_by=MASTER,
        swap=(
            (
                "    return new_master.to(param.dtype), new_master\n",
                "    return new_master.to(param.dtype), new_master.to(param.dtype).float()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="master-in-place",
        title="the master copy that was passed in changed",
        explanation=(
            "The step is subtracted from the caller's own tensor. The function is to return new ones and leave its "
            "arguments as they are."
        ),
        caught_by=MASTER,
        swap=(("new_master = master - lr * grad.float()", "new_master = master.sub_(lr * grad.float())"),),
    ),
    WrongAnswer(
        id="returned-in-the-other-order",
        title="master copy and parameter returned in the other order",
        explanation="The half-precision parameter comes first in the result, then the float32 copy, as in the arguments.",
        caught_by=MASTER,
        swap=(
            (
                "    return new_master.to(param.dtype), new_master\n",
                "    return new_master, new_master.to(param.dtype)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="shapes-broadcast",
        title="tensors of different shapes that broadcast",
        explanation=(
            "A gradient of one entry is spread over the whole parameter without a word. Parameter, master copy and "
            "gradient have one shape; anything else is a mistake of the caller."
        ),
        caught_by=MASTER,
        swap=(("    if not param.shape == master.shape == grad.shape:\n", "    if not param.ndim:\n"),),
    ),
    WrongAnswer(
        id="precisions-confused-in-the-claims",
        title="the claims about bfloat16 and about frozen weights the wrong way round",
        explanation=(
            "Convert 1e-8, 70000 and 1.001 to both half precisions and look. For the frozen weights, ask who reads a "
            "gradient that belongs to a parameter that is never stepped."
        ),
        caught_by=CLAIMS,
        swap=(("bfloat16_range=True", "bfloat16_range=False"), ("frozen_base=True", "frozen_base=False")),
    ),
]

alternatives = [
    Alternative(
        id="states-by-name",
        title="one state of the iteration by name; the inverse scale; norms by hand",
        code="""
class LossScaler:
    def __init__(self, init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000):
        valid = math.isfinite(init_scale) and init_scale > 0 and growth_factor > 1
        if not (valid and backoff_factor > 0 and backoff_factor < 1 and growth_interval >= 1):
            raise ValueError("settings")
        self.options = growth_factor, backoff_factor, growth_interval
        self.value, self.streak, self.state, self.finite = init_scale, 0, "ready", True

    def get_scale(self):
        return float(self.value)

    def scale(self, loss):
        return torch.mul(loss, self.value)

    @torch.no_grad()
    def unscale_(self, optimizer):
        if self.state != "ready":
            raise RuntimeError(self.state)
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.finite = all(bool(torch.isfinite(grad).all()) for grad in grads)
        for grad in grads:
            grad *= 1.0 / self.value
        self.state = "unscaled"

    def step(self, optimizer):
        if self.state == "ready":
            self.unscale_(optimizer)
        if self.state != "unscaled":
            raise RuntimeError(self.state)
        self.state = "stepped"
        if self.finite:
            optimizer.step()
        return self.finite

    def update(self):
        growth, backoff, interval = self.options
        if self.state != "stepped":
            raise RuntimeError(self.state)
        self.state = "ready"
        self.streak = self.streak + 1 if self.finite else 0
        if not self.finite:
            self.value = self.value * backoff
        elif self.streak % interval == 0:
            self.value, self.streak = self.value * growth, 0


def amp_step(loss, model, optimizer, scaler, max_norm):
    if math.isnan(max_norm) or max_norm <= 0:
        raise ValueError(max_norm)
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = None
    torch.autograd.backward(scaler.scale(loss))
    scaler.unscale_(optimizer)
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.stack([grad.square().sum() for grad in grads]).sum().sqrt()
    if norm > max_norm:
        for grad in grads:
            grad *= max_norm / norm
    try:
        return scaler.step(optimizer)
    finally:
        scaler.update()


def master_update(param, master, grad, lr):
    if len({tuple(t.shape) for t in (param, master, grad)}) != 1 or math.isnan(lr) or lr < 0:
        raise ValueError("shape or rate")
    new = torch.add(master, grad.to(torch.float32), alpha=-lr)
    return new.type_as(param), new
""",
    ),
    Alternative(
        id="checked-at-the-step",
        title="finite or not decided in step; the limit scaled up in place of the gradients scaled down",
        code="""
class LossScaler:
    def __init__(self, init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000):
        for low, number, high in ((0, init_scale, math.inf), (1, growth_factor, math.inf), (0, backoff_factor, 1)):
            if not low < number < high:
                raise ValueError(number)
        if growth_interval < 1:
            raise ValueError(growth_interval)
        self._scale = torch.tensor(float(init_scale))
        self._up, self._down, self._every = growth_factor, backoff_factor, growth_interval
        self._left = growth_interval
        self._done = set()
        self._ok = None

    def get_scale(self):
        return self._scale.item()

    def scale(self, loss):
        return self._scale * loss

    def unscale_(self, optimizer):
        if self._done:
            raise RuntimeError("order")
        self._done.add("unscale")
        for group in optimizer.param_groups:
            for p in filter(lambda p: p.grad is not None, group["params"]):
                p.grad.copy_(p.grad / self._scale)

    def step(self, optimizer):
        if "step" in self._done:
            raise RuntimeError("order")
        if "unscale" not in self._done:
            self.unscale_(optimizer)
        self._done.add("step")
        self._ok = True
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None and not torch.equal(p.grad - p.grad, torch.zeros_like(p.grad)):
                    self._ok = False
        if self._ok:
            optimizer.step()
        return self._ok

    def update(self):
        if "step" not in self._done:
            raise RuntimeError("order")
        self._done.clear()
        self._left = self._left - 1 if self._ok else self._every
        self._scale = self._scale * (1.0 if self._ok else self._down)
        if self._left == 0:
            self._left = self._every
            self._scale = self._scale * self._up


def amp_step(loss, model, optimizer, scaler, max_norm):
    if not (max_norm > 0):
        raise ValueError("max_norm")
    model.zero_grad()
    scaler.scale(loss).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm * scaler.get_scale())
    answer = scaler.step(optimizer)
    scaler.update()
    return answer


def master_update(param, master, grad, lr):
    if param.shape != master.shape or grad.shape != master.shape:
        raise ValueError("shape")
    if lr != lr or lr < 0:
        raise ValueError("lr")
    new_master = master.clone()
    new_master -= grad.to(master) * lr
    new_param = torch.empty_like(param)
    new_param.copy_(new_master)
    return new_param, new_master
""",
    ),
    Alternative(
        id="double-inside",
        title="gradients through float64; a history of answers in place of a counter",
        code="""
class LossScaler:
    def __init__(self, init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000):
        if not (init_scale > 0 and init_scale != float("inf")):
            raise ValueError("init_scale")
        if not (growth_factor > 1.0 and 0.0 < backoff_factor < 1.0 and growth_interval >= 1):
            raise ValueError("factors")
        self.current = float(init_scale)
        self.growth_factor, self.backoff_factor, self.growth_interval = growth_factor, backoff_factor, growth_interval
        self.history = []
        self.unscaled, self.answer = False, None

    def get_scale(self):
        return self.current

    def scale(self, loss):
        return loss * torch.tensor(self.current, dtype=loss.dtype)

    def unscale_(self, optimizer):
        if self.unscaled:
            raise RuntimeError("unscale_ twice")
        self.unscaled = True
        self.bad = 0
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.grad[...] = (p.grad.double() / self.current).to(p.grad.dtype)
                self.bad += int((~torch.isfinite(p.grad)).sum())

    def step(self, optimizer):
        if self.answer is not None:
            raise RuntimeError("step twice")
        if not self.unscaled:
            self.unscale_(optimizer)
        self.answer = self.bad == 0
        if self.answer:
            optimizer.step()
        return self.answer

    def update(self):
        if self.answer is None:
            raise RuntimeError("no step")
        self.history.append(self.answer)
        if not self.answer:
            self.current *= self.backoff_factor
            self.history = []
        if len(self.history) == self.growth_interval:
            self.current *= self.growth_factor
            self.history.clear()
        self.unscaled, self.answer = False, None
""",
    ),
]
