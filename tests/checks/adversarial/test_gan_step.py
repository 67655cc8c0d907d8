"""Checks of adversarial/gan_step.

The networks over there are small, record how they are called, and are trained with plain SGD, so that every step can be
worked out here: as functions of the weights, in float64.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from grader.checking import assert_close, assert_equal, catches, points, visible

G_SHAPES = {"hidden.weight": (4, 2), "hidden.bias": (4,), "gain": (4,), "head.weight": (3, 4), "head.bias": (3,)}
D_SHAPES = {"hidden.weight": (5, 3), "hidden.bias": (5,), "gain": (5,), "head.weight": (2, 5), "head.bias": (2,)}
FROZEN = "gain"
CLOSE = {"rtol": 1e-6, "atol": 1e-8}
KEYS = ("d_loss", "g_loss", "d_real", "d_fake")


# ---------------------------------------------------------------- what runs in the student's process


def gan_step(student, states, calls, settings):
    """Steps on two small networks: what came back, how the networks were called and what became of them.

    states: state dicts of G and D. calls: (real, z_d, z_g) for each call. settings: `rates` of G and D; `old`, a number
    that every .grad holds before; `evaluation`, modules in evaluation mode; `shared`, which optimiser holds a parameter
    of the other network too; `expects_error`; `flat`, D returns logits without a second dimension.
    """
    import torch
    from torch import nn

    events, steps, made, inputs = [], [], [], {}

    def name_of(tensor, candidates):
        for name, candidate in candidates:
            if tensor.shape == candidate.shape and torch.allclose(tensor.double(), candidate, equal_nan=True):
                return name
        return "something else"

    class Network(nn.Module):
        def __init__(self, state):
            super().__init__()
            self.hidden = nn.Linear(state["hidden.weight"].shape[1], len(state["gain"]))
            self.gain = nn.Parameter(torch.ones(len(state["gain"])), requires_grad=False)
            self.head = nn.Linear(len(state["gain"]), len(state["head.bias"]))
            self.double().load_state_dict(state)

        def layers(self, values):
            return self.head(torch.tanh(self.hidden(values)) * self.gain)

    class Generator(Network):
        def forward(self, z):
            name = name_of(z, inputs["noise"])
            fakes = self.layers(z)
            made.append((f"fakes of {name}", fakes.detach().clone()))
            events.append({"who": "G", "input": name, "graph": fakes.requires_grad, "training": self.training})
            return fakes

    class Discriminator(Network):
        def forward(self, samples):
            name = name_of(samples, [*inputs["real"], *made])
            events.append({"who": "D", "input": name, "graph": samples.requires_grad, "training": self.training})
            logits = self.layers(samples)
            return logits.sum(dim=1) if settings.get("flat") else logits

    G, D = Generator(states[0]), Discriminator(states[1])
    for network, name in settings.get("evaluation", []):
        (G if network == "G" else D).get_submodule(name).training = False
    groups_g = [{"params": list(G.hidden.parameters())}, {"params": [*G.head.parameters(), G.gain]}]
    groups_d = [{"params": list(D.hidden.parameters())}, {"params": [*D.head.parameters(), D.gain]}]
    if settings.get("shared") == "opt_d":
        groups_d[1]["params"].append(G.head.weight)
    elif settings.get("shared") == "opt_g":
        groups_g[1]["params"].append(D.hidden.bias)
    rate_g, rate_d = settings.get("rates", (0.3, 0.7))
    opt_g, opt_d = torch.optim.SGD(groups_g, lr=rate_g), torch.optim.SGD(groups_d, lr=rate_d)
    if settings.get("shared") == "one optimiser for both":
        opt_g = opt_d = torch.optim.SGD([*groups_g, *groups_d], lr=rate_d)
    judge = []  # D at the moment when G steps
    opt_g.register_step_pre_hook(lambda *_: judge.append({k: v.clone() for k, v in D.state_dict().items()}))
    opt_g.register_step_post_hook(lambda *_: (events.append({"who": "opt_g"}), steps.append("opt_g")))
    if opt_d is not opt_g:
        opt_d.register_step_post_hook(lambda *_: (events.append({"who": "opt_d"}), steps.append("opt_d")))
    if "old" in settings:
        for parameter in (*G.parameters(), *D.parameters()):
            if parameter.requires_grad:
                parameter.grad = torch.full_like(parameter, settings["old"])

    results, error, function = [], None, student.gan_step
    for real, z_d, z_g in calls:
        inputs["noise"] = [("z_d", z_d), ("z_g", z_g)]
        inputs["real"] = [("real", real)]
        try:
            results.append(function(G, D, real, opt_g, opt_d, z_d, z_g))
        except Exception as raised:
            if not settings.get("expects_error"):
                raise
            error = [cls.__name__ for cls in type(raised).__mro__]
    return {
        "results": results,
        "states": [{name: value.clone() for name, value in net.state_dict().items()} for net in (G, D)],
        "judge": judge[0] if judge else {k: v.clone() for k, v in D.state_dict().items()},
        "gradients": [{name: value.grad for name, value in net.named_parameters()} for net in (G, D)],
        "trainable": [[name for name, value in net.named_parameters() if value.requires_grad] for net in (G, D)],
        "evaluation": [[name for name, module in net.named_modules() if not module.training] for net in (G, D)],
        "events": events,
        "steps": steps,
        "error": error,
    }


def first_step(student):
    import math

    import torch
    from torch import nn

    G, D = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(G.weight, 1.0)
    nn.init.constant_(D.weight, math.log(2))
    opt_g = torch.optim.SGD(G.parameters(), lr=5.0)
    opt_d = torch.optim.SGD(D.parameters(), lr=math.log(2) * 15 / 8)
    real, z_d, z_g = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [-1.0]]), torch.tensor([[1.0]])
    report = student.gan_step(G, D, real, opt_g, opt_d, z_d, z_g)
    return report, D.weight.item(), G.weight.item()


# ---------------------------------------------------------------- what is expected, worked out here


def random_states(rng: np.random.Generator) -> list[dict[str, Tensor]]:
    """Weights and biases of G and D; none is 0, and D's logits are neither tiny nor saturated."""
    return [
        {name: torch.from_numpy(rng.normal(size=shape)) for name, shape in shapes.items()}
        for shapes in (G_SHAPES, D_SHAPES)
    ]


def batches(rng: np.random.Generator, size: int = 4, fresh: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Real samples (size, 3) away from 0, and noise of (size, 2) and (fresh, 2)."""
    real, z_d, z_g = rng.normal(size=(size, 3)), rng.normal(size=(size, 2)), rng.normal(size=(fresh, 2))
    return torch.from_numpy(real + 1.5), torch.from_numpy(z_d), torch.from_numpy(z_g)


def one_noise(rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The same with z_g equal to z_d, for checks that are not about which noise is used where."""
    real, z_d, _ = batches(rng)
    return real, z_d, z_d.clone()


def run(state: dict[str, Tensor], values: Tensor) -> Tensor:
    hidden = torch.tanh(values @ state["hidden.weight"].T + state["hidden.bias"]) * state["gain"]
    return hidden @ state["head.weight"].T + state["head.bias"]


def mean_log(logits: Tensor) -> Tensor:
    """Mean of log sigmoid, as the formula says."""
    return torch.log(1 / (1 + torch.exp(-logits))).mean()


def with_gradients(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone().requires_grad_(name != FROZEN) for name, value in state.items()}


def gradients_of(loss: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
    names = [name for name in state if name != FROZEN]
    return dict(zip(names, torch.autograd.grad(loss, [state[name] for name in names]), strict=True))


def d_loss_and_gradients(states, real: Tensor, z_d: Tensor, flat: bool = False) -> tuple[float, dict[str, Tensor]]:
    """flat: D returns (batch,), the sum of its two outputs."""
    state = with_gradients(states[1])
    on_real, on_fake = run(state, real), run(state, run(states[0], z_d))
    if flat:
        on_real, on_fake = on_real.sum(dim=1), on_fake.sum(dim=1)
    loss = -mean_log(on_real) - mean_log(-on_fake)
    return loss.item(), gradients_of(loss, state)


def g_loss_and_gradients(states, z_g: Tensor) -> tuple[float, dict[str, Tensor]]:
    state = with_gradients(states[0])
    loss = -mean_log(run(states[1], run(state, z_g)))
    return loss.item(), gradients_of(loss, state)


def moved(state: dict[str, Tensor], gradients: dict[str, Tensor], rate: float) -> dict[str, Tensor]:
    return {name: value - rate * gradients[name] if name in gradients else value for name, value in state.items()}


def after_one_step(states, call, rates) -> list[dict[str, Tensor]]:
    real, z_d, z_g = call
    d_state = moved(states[1], d_loss_and_gradients(states, real, z_d)[1], rates[1])
    g_state = moved(states[0], g_loss_and_gradients([states[0], d_state], z_g)[1], rates[0])
    return [g_state, d_state]


def assert_state(found: dict[str, Tensor], expected: dict[str, Tensor], who: str, case: str, cause: str) -> None:
    for name, value in expected.items():
        assert_close(
            found[name], value, what=f"parameter {name} of {who} after the call ({case})", cause=cause, **CLOSE
        )


def assert_stayed(found: dict[str, Tensor], before: dict[str, Tensor], who: str, case: str) -> None:
    for name, value in before.items():
        if not torch.equal(found[name], value):
            raise AssertionError(f"Parameter {name} of {who} moved ({case}); it should be bit for bit what it was.")


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_example_worked_out_by_hand(student):
    """The example in the notebook comes out right."""
    report, w, theta = student.run(first_step)
    close = {"rtol": 0, "atol": 1e-4}
    assert_close(w, math.log(4), what="weight w of D after the call", **close)
    assert_close(theta, 1 + math.log(4), what="weight θ of G after the call", **close)
    expected = {
        "d_loss": -(math.log(2 / 3) + math.log(4 / 5)) / 2 - (math.log(1 / 2) + math.log(2 / 3)) / 2,
        "g_loss": -math.log(4 / 5),
        "d_real": (2 / 3 + 4 / 5) / 2,
        "d_fake": (1 / 2 + 1 / 3) / 2,
    }
    assert_keys(report)
    for key, value in expected.items():
        assert_close(report[key], value, what=f"entry {key!r}", **close)


def assert_keys(report: object) -> None:
    if not isinstance(report, dict):
        raise AssertionError(f"gan_step should return a dict; it returned a value of type {type(report).__name__}.")
    missing, extra = sorted(set(KEYS) - set(report)), sorted(map(str, set(report) - set(KEYS)))
    if missing or extra:
        parts = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(extra)} too many"] * bool(extra)
        raise AssertionError(f"The dictionary of gan_step {' and '.join(parts)}.")


@points(1)
@catches("fakes-not-detached", "fakes-reused", "same-noise", "joined-batch", "modes-switched")
def test_who_is_called_with_what(student, rng):
    """D sees real samples, fakes that are cut off from G, and fresh fakes; the modes stay as they were."""
    states, call = random_states(rng), batches(rng)
    evaluation = [("G", ""), ("D", "hidden")]
    seen = student.run(gan_step, states, [call], {"evaluation": evaluation})
    calls = {who: [event for event in seen["events"] if event["who"] == who] for who in "GD"}
    found = sorted(event["input"] for event in calls["G"])
    if found != ["z_d", "z_g"]:
        raise AssertionError(f"G was called with: {', '.join(found) or 'nothing'}. It should be: z_d, z_g.")
    found = sorted(event["input"] for event in calls["D"])
    if found != ["fakes of z_d", "fakes of z_g", "real"]:
        raise AssertionError(
            f"D was called with: {', '.join(found) or 'nothing'}. It should be, in a call each: real, the fakes of z_d "
            "and the fakes of z_g."
        )
    for event in calls["D"]:
        if event["input"] == "fakes of z_d" and event["graph"]:
            raise AssertionError(
                "When D received the fakes of z_d, their requires_grad was True: in D's own step they should be data, "
                "cut off from G."
            )
    for event in (*calls["G"], *calls["D"]):
        training = event["who"] == "D"
        if event["training"] != training:
            mode = "training" if event["training"] else "evaluation"
            raise AssertionError(f"{event['who']} was called in {mode} mode; the caller had chosen the other one.")
    assert_equal(seen["evaluation"][0], [""], what="list of modules of G in evaluation mode after the call")
    assert_equal(seen["evaluation"][1], ["hidden"], what="list of modules of D in evaluation mode after the call")


@points(1)
@catches("published", "discriminator-twice", "generator-first", "targets-swapped", "discriminator-loss-summed")
def test_the_discriminator_makes_its_own_step(student, rng):
    """D makes one step on real samples and fakes of the old G, whether or not G moves."""
    cause = "D's step uses the gradient of d_loss alone, once, with fakes of the G that has not moved yet"
    for rates, flat in (((0.0, 0.7), False), ((0.9, 0.4), False), ((0.9, 0.4), True)):
        states, call = random_states(rng), one_noise(rng)
        seen = student.run(gan_step, states, [call], {"rates": rates, "flat": flat})
        case = f"rates {rates[0]} for G and {rates[1]} for D"
        if seen["steps"].count("opt_d") != 1:
            raise AssertionError(f"opt_d stepped {seen['steps'].count('opt_d')} times ({case}); it should step once.")
        if rates[0] == 0:
            assert_stayed(seen["states"][0], states[0], "G", case)
        real, z_d, _ = call
        _, gradients = d_loss_and_gradients(states, real, z_d, flat)
        case += ", logits of shape (batch,)" if flat else ", logits of shape (batch, 2)"
        assert_state(seen["states"][1], moved(states[1], gradients, rates[1]), "D", case, cause)


@points(2)
@catches("old-discriminator", "generator-with-target-0", "saturating-generator", "generator-not-stepped")
def test_the_generator_answers_the_discriminator_of_that_moment(student, rng):
    """G makes one step of its own loss, against D as it is when G moves."""
    for rates in ((0.3, 0.0), (0.3, 1.1), (0.8, 0.6)):
        states, call = random_states(rng), one_noise(rng)
        seen = student.run(gan_step, states, [call], {"rates": rates})
        case = f"rates {rates[0]} for G and {rates[1]} for D"
        if seen["steps"].count("opt_g") != 1:
            raise AssertionError(f"opt_g stepped {seen['steps'].count('opt_g')} times ({case}); it should step once.")
        if rates[1] == 0:
            assert_stayed(seen["states"][1], states[1], "D", case)
        # against the D that was there, so that a mistake in D's own step costs its own check
        _, gradients = g_loss_and_gradients([states[0], seen["judge"]], call[2])
        cause = "G's step uses the gradient of g_loss alone, with the target 1 and the D that has been updated"
        assert_state(seen["states"][0], moved(states[0], gradients, rates[0]), "G", case, cause)


@points(1)
@catches("sigmoid-of-the-mean", "reported-after-the-update", "tensors-reported", "loss-of-probabilities")
def test_report(student, rng):
    """The four numbers of the dictionary are right, as Python floats."""
    for biases, rates in ((None, (0.5, 0.8)), ((-200.0, 250.0), (0.0, 0.0))):
        states, call = random_states(rng), one_noise(rng)
        if biases:  # D is sure, and wrong: one of its two logits calls everything fake, the other one real
            states[1]["head.bias"] = torch.tensor(biases, dtype=torch.float64)
        seen = student.run(gan_step, states, [call], {"rates": rates})
        (report,) = seen["results"]
        assert_keys(report)
        for key in KEYS:
            if not isinstance(report[key], float):
                raise AssertionError(
                    f"The entry {key!r} should be a Python float; it is of type {type(report[key]).__name__}."
                )
        real, z_d, z_g = call
        real_logits, fake_logits = run(states[1], real), run(states[1], run(states[0], z_d))
        case = f"the first sample of real has the logits {', '.join(f'{s:.1f}' for s in real_logits[0].tolist())}"
        expected = {
            "d_real": (1 / (1 + torch.exp(-real_logits))).mean().item(),
            "d_fake": (1 / (1 + torch.exp(-fake_logits))).mean().item(),
            "d_loss": d_loss_and_gradients(states, real, z_d)[0],
            # of the D that was there, so that a mistake in D's step costs its own check
            "g_loss": g_loss_and_gradients([states[0], seen["judge"]], z_g)[0],
        }
        for key, value in expected.items():
            cause = "of the mean probability and the probability of the mean, of before and after, one is asked for"
            if "loss" in key:
                cause = "a loss is computed from logits: a probability that rounds to 0 or 1 has lost the rest"
            assert_close(report[key], value, what=f"entry {key!r} ({case})", cause=cause, **CLOSE)


@points(1)
@catches("discriminator-not-cleared", "generator-not-cleared")
def test_nothing_from_before_counts(student, rng):
    """Old gradients have no influence, and a second call starts afresh."""
    cause = "backward() adds to what .grad holds: clear it before each of the two backward passes whose step follows"
    rates = (0.2, 0.3)
    for old, count in ((3.0, 1), (None, 3)):
        states, calls = random_states(rng), [batches(rng) for _ in range(count)]
        settings = {"rates": rates} | ({} if old is None else {"old": old})
        seen = student.run(gan_step, states, calls, settings)
        expected = states
        for call in calls:
            expected = after_one_step(expected, call, rates)
        case = f"every .grad was {old} before the call" if count == 1 else f"{count} calls in a row"
        for who, found, wanted in zip("DG", reversed(seen["states"]), reversed(expected), strict=True):
            assert_state(found, wanted, who, case, cause)


@points(1)
@catches("discriminator-polluted", "discriminator-left-frozen", "everything-unfrozen")
def test_the_generator_leaves_nothing_behind_in_the_discriminator(student, rng):
    """G's loss leaves no gradient in D, and every parameter is frozen or trainable as before."""
    for rates in ((0.3, 0.7), (0.6, 0.2)):
        states, call = random_states(rng), one_noise(rng)
        seen = student.run(gan_step, states, [call], {"rates": rates})
        case = f"rates {rates[0]} for G and {rates[1]} for D"
        assert_trainable(seen, case)
        for who, found, before in zip("GD", seen["states"], states, strict=True):
            assert_stayed({FROZEN: found[FROZEN]}, {FROZEN: before[FROZEN]}, who, f"it is frozen; {case}")
        for name, gradient in seen["gradients"][1].items():
            if gradient is None or not gradient.count_nonzero():
                continue
            # the gradient by which D moved, so that a mistake in d_loss costs its own check
            after = seen["states"][1] if seen["steps"].count("opt_d") == 1 else seen["judge"]
            used = (states[1][name] - after[name]) / rates[1]
            what = f"gradient left in parameter {name} of D ({case})"
            cause = "the backward pass of g_loss runs through D; it should not add to what D's parameters hold"
            assert_close(gradient, used, what=what, cause=cause, rtol=1e-6, atol=1e-7)


def assert_trainable(seen: dict, case: str) -> None:
    for who, names, shapes in zip("GD", seen["trainable"], (G_SHAPES, D_SHAPES), strict=True):
        missing, extra = sorted(set(shapes) - {FROZEN} - set(names)), sorted(set(names) & {FROZEN})
        if missing or extra:
            parts = [f"{', '.join(missing)} of {who} became frozen"] * bool(missing)
            parts += [f"{', '.join(extra)} of {who} became trainable"] * bool(extra)
            raise AssertionError(f"After the call {' and '.join(parts)} ({case}); each requires_grad should be kept.")


def assert_refused(seen: dict, wanted: str, case: str) -> None:
    if seen["error"] is None:
        raise AssertionError(f"gan_step with {case} should raise {wanted}; it returned a value.")
    if wanted not in seen["error"]:
        raise AssertionError(f"gan_step with {case} should raise {wanted}; it raised {seen['error'][0]}.")


@points(1)
@catches("batches-not-compared", "empty-accepted", "sharing-not-noticed", "only-the-same-optimiser", "checked-too-late")
def test_bad_input_changes_nothing(student, rng):
    """Batches that do not fit and optimisers that share a parameter are refused before anything happens."""
    states = random_states(rng)
    real, z_d, z_g = batches(rng, size=4, fresh=5)
    for case, call, shared in (
        ("4 real samples and 3 of z_d", (real, z_d[:3], z_g), None),
        ("1 real sample and 4 of z_d", (real[:1], z_d, z_g), None),
        ("no real sample and 4 of z_d", (real[:0], z_d, z_g), None),
        ("neither real samples nor z_d", (real[:0], z_d[:0], z_g), None),
        ("an empty z_g", (real, z_d, z_g[:0]), None),
        ("one optimiser for both networks", (real, z_d, z_g), "one optimiser for both"),
        ("a weight of G in a group of opt_d too", (real, z_d, z_g), "opt_d"),
        ("a bias of D in a group of opt_g too", (real, z_d, z_g), "opt_g"),
    ):
        seen = student.run(gan_step, states, [call], {"shared": shared, "old": 2.0, "expects_error": True})
        assert_refused(seen, "ValueError", case)
        if seen["events"]:
            raise AssertionError(f"gan_step with {case} called a network or an optimiser before it raised.")
        for who, found, before, gradients in zip("GD", seen["states"], states, seen["gradients"], strict=True):
            assert_stayed(found, before, who, case)
            for name, value in before.items():
                left = gradients[name]
                if name != FROZEN and (left is None or not torch.equal(left, torch.full_like(value, 2.0))):
                    raise AssertionError(f"gan_step with {case} changed the .grad of {name} of {who} before it raised.")
        assert_trainable(seen, case)


@points(1)
@catches("loss-not-looked-at", "only-nan-noticed", "looked-at-after-the-step", "generator-loss-not-looked-at")
def test_a_loss_that_is_not_finite_stops_the_step(student, rng):
    """After a loss that is NaN or infinite no optimiser steps, and the error leaves every flag as it was."""
    for case, place, who_steps in (
        ("a NaN in real", 0, []),
        ("a NaN in z_d", 1, []),
        ("an infinite d_loss", None, []),
        ("a NaN in z_g", 2, ["opt_d"]),
    ):
        states, call = random_states(rng), [value.clone() for value in batches(rng)]
        if place is None:  # D answers -1.7e308 to real samples and 1.7e308 to fakes: even the two means add up to inf
            call[0][:, 0], states[0]["head.bias"][0] = -1000.0, 1000.0
            states[1] |= {name: torch.zeros(shape, dtype=torch.float64) for name, shape in D_SHAPES.items()}
            states[1]["hidden.weight"][0, 0] = states[1]["gain"][0] = 1.0
            states[1]["head.weight"][:, 0] = 1.7e308
        else:
            call[place][1, 0] = math.nan
        seen = student.run(gan_step, states, [tuple(call)], {"expects_error": True, "rates": (0.3, 0.7)})
        assert_refused(seen, "RuntimeError", case)
        if seen["steps"] != who_steps:
            raise AssertionError(
                f"With {case} these optimisers stepped: {', '.join(seen['steps']) or 'none'}. It should be: "
                f"{', '.join(who_steps) or 'none'}."
            )
        assert_stayed(seen["states"][0], states[0], "G", case)
        if not who_steps:
            assert_stayed(seen["states"][1], states[1], "D", case)
        assert_trainable(seen, case)
