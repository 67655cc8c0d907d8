"""Checks of transfer/trainable_parameters. Counts are compared with modules that are built and counted here."""

from __future__ import annotations

import numpy as np
from torch import nn

from grader.checking import assert_claims, assert_close, assert_equal, catches, points, raises, visible

CLAIMS = {
    "optimiser_chooses": False,
    "pruning_compresses": True,
    "memory_follows_the_share": False,
    "state_follows_the_trained": True,
    "frozen_is_not_computed": False,
    "backward_stops_early": True,
    "bitfit_moves_matrices": False,
    "prompts_can_be_merged": False,
}
SIZES = ("d_model", "n_layers", "d_ff", "vocab_size", "max_len", "n_classes")
LARGE = (24, 5, 90, 301, 77, 3)
WIDTHS = {"q": (0, 0), "k": (0, 0), "v": (0, 0), "o": (0, 0), "ffn_in": (0, 1), "ffn_out": (1, 0)}


# ---------------------------------------------------------------- what is expected, counted on real modules


def count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def encoder(sizes: tuple[int, ...]) -> nn.ModuleDict:
    """The encoder and its head."""
    d, layers, f, vocabulary, length, classes = sizes
    return nn.ModuleDict(
        {
            "tokens": nn.Embedding(vocabulary, d),
            "positions": nn.Embedding(length, d),
            "layers": nn.ModuleList([nn.TransformerEncoderLayer(d, 1, f) for _ in range(layers)]),
            "norm": nn.LayerNorm(d),
            "head": nn.Linear(d, classes),
        }
    )


def random_sizes(rng: np.random.Generator) -> tuple[int, ...]:
    """Six different sizes, none of them 1."""
    return tuple((rng.permutation(14)[:6] + 2).tolist())


def added_parameters(sizes: tuple[int, ...], method: str, options: dict) -> int:
    """What a method adds to the encoder, counted on modules that are built for it."""
    d, layers, f = sizes[:3]
    if method == "lora":
        one_layer = [
            nn.Linear(*ends, bias=False)
            for target in options["targets"]
            for into, out in [[(d, f)[i] for i in WIDTHS[target]]]
            for ends in ((into, options["rank"]), (options["rank"], out))
        ]
    elif method == "adapter":
        m = options["bottleneck"]
        one_layer = [nn.Linear(d, m), nn.Linear(m, d), nn.Linear(d, m), nn.Linear(m, d)]
    elif method == "prompt":
        return count(nn.Embedding(options["n_tokens"], d))
    elif method == "prefix":
        one_layer = [nn.Embedding(options["n_tokens"], d), nn.Embedding(options["n_tokens"], d)]
    else:
        one_layer = [nn.RMSNorm(d), nn.RMSNorm(d), nn.RMSNorm(f)]  # scaling vectors without bias
    return layers * count(*one_layer)


LAYER = {
    "self_attn.in_proj_weight": 108,
    "self_attn.in_proj_bias": 18,
    "self_attn.out_proj.weight": 36,
    "self_attn.out_proj.bias": 6,
    "linear1.weight": 60,
    "linear1.bias": 10,
    "linear2.weight": 60,
    "linear2.bias": 6,
    "norm1.weight": 6,
    "norm1.bias": 6,
    "norm2.weight": 6,
    "norm2.bias": 6,
}
LAYERS = [{f"encoder.layers.{i}.{name}": size for name, size in LAYER.items()} for i in range(3)]
HEAD = {"head.0.weight": 30, "head.0.bias": 5, "head.2.weight": 20, "head.2.bias": 4}
NORMS = {"pre.weight": 6, "pre.bias": 6, "bn.weight": 6, "bn.bias": 6, "group.weight": 6, "group.bias": 6}
NORMS |= {"rms.weight": 6} | {name: 6 for layer in LAYERS for name in layer if ".norm" in name}
HEADER = {"header.weight": 18, "header.bias": 3}
REST = {"embedding.weight": 66, "norm_map.weight": 36, "norm_map.bias": 6, "debias.weight": 36, "conv.weight": 72}
REST |= {"conv.bias": 4}
EVERYTHING = REST | HEADER | NORMS | LAYERS[0] | LAYERS[1] | LAYERS[2] | HEAD
BIASES = {name: size for name, size in EVERYTHING.items() if name.split(".")[-1] in ("bias", "in_proj_bias")}


# ---------------------------------------------------------------- what runs in the student's process


def count_by_hand(student, sizes, method, options):
    return student.trainable_parameters(student.TransformerSpec(*sizes), method, **options)


def select_in_turn(student, calls):
    """The report of each call of select_trainable on one model, and the names of what then requires a gradient."""
    from torch import nn

    model = nn.Module()
    model.header = nn.Linear(6, 3)
    model.embedding = nn.Embedding(11, 6)
    model.pre = nn.LayerNorm(6)
    model.encoder = nn.Module()
    model.encoder.layers = nn.ModuleList([nn.TransformerEncoderLayer(6, 2, 10) for _ in range(3)])
    model.norm_map = nn.Linear(6, 6)
    model.debias = nn.Linear(6, 6, bias=False)
    model.conv = nn.Conv1d(6, 4, 3)
    model.bn, model.group, model.rms = nn.BatchNorm1d(6), nn.GroupNorm(2, 6), nn.RMSNorm(6)
    model.head = nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 4))
    results = []
    for arguments in calls:
        report = student.select_trainable(model, *arguments)
        flags = sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
        results.append([report, flags])
    return results


def select_with_tied_weights(student, policy):
    """As above, for a model whose head shares its weight with the embedding."""
    from torch import nn

    model = nn.Module()
    model.embedding = nn.Embedding(11, 6)
    model.body = nn.Linear(6, 6)
    model.out = nn.Linear(6, 11)
    model.out.weight = model.embedding.weight
    report = student.select_trainable(model, policy, ["out"])
    return report, sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def state_of_an_optimizer(student, name, settings, shapes, dtype, steps, trained):
    """Bytes before the first and after the last step; only the first `trained` parameters get a gradient."""
    import torch

    parameters = [torch.nn.Parameter(torch.ones(shape, dtype=getattr(torch, dtype))) for shape in shapes]
    optimizer = getattr(torch.optim, name)(parameters, lr=0.01, **settings)
    before = student.optimizer_state_bytes(optimizer)
    for _ in range(steps):
        for parameter in parameters[:trained]:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    return before, student.optimizer_state_bytes(optimizer)


def small_models(student):
    import torch
    from torch import nn

    counts = [
        student.trainable_parameters(student.TransformerSpec(6, 2, 10, 20, 5, 4), m) for m in ("full", "linear_probe")
    ]
    spec = student.TransformerSpec(d_model=6, n_layers=2, d_ff=10, vocab_size=20, max_len=5, n_classes=4)
    counts.append(student.trainable_parameters(spec, "lora", rank=3, targets=["q", "ffn_out"]))
    model = nn.Sequential()
    model.add_module("body", nn.Linear(3, 5))
    model.add_module("norm", nn.BatchNorm1d(5))
    model.add_module("head", nn.Linear(5, 2))
    report = student.select_trainable(model, "bias")
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad])
    held = [student.optimizer_state_bytes(optimizer)]
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return counts, report, [*held, student.optimizer_state_bytes(optimizer)]


# ---------------------------------------------------------------- the checks


def assert_report(report, flags, trained: dict[str, int], total: int, told: str) -> None:
    """The report and the flags are those of training exactly these parameters."""
    surplus, missing = sorted(set(flags) - set(trained)), sorted(set(trained) - set(flags))
    if surplus or missing:
        raise AssertionError(
            f"After {told}, "
            + " and ".join(
                [f"these require a gradient and should not: {', '.join(surplus)}"] * bool(surplus)
                + [f"these should require a gradient and do not: {', '.join(missing)}"] * bool(missing)
            )
            + "."
        )
    if not isinstance(report, dict):
        raise AssertionError(f"{told} should return a dict; it returned {type(report).__name__}.")
    absent = [key for key in ("trainable", "total", "ratio", "names") if key not in report]
    if absent:
        raise AssertionError(f"The dict returned by {told} lacks {', '.join(absent)}.")
    number = sum(trained.values())
    assert_equal(report["names"], sorted(trained), what=f"list of names of {told}")
    assert_equal(report["trainable"], number, what=f"number under 'trainable' of {told}")
    cause = "every parameter counts once, trained or not, and buffers are no parameters"
    assert_equal(report["total"], total, what=f"number under 'total' of {told}", cause=cause)
    assert_close(report["ratio"], number / total, what=f"ratio of {told}", cause="the trained share of the total")


@points(1)
@visible
def test_a_small_encoder_and_a_small_model(student):
    """Three methods for a small encoder, and the biases of a small model with their optimiser."""
    counts, report, held = student.run(small_models)
    methods = ("'full'", "'linear_probe'", "'lora', rank=3, targets=['q', 'ffn_out']")
    for method, found, wanted in zip(methods, counts, (846, 28, 196), strict=True):
        assert_equal(found, wanted, what=f"count for {method}")
    trained = {"body.bias": 5, "head.bias": 2, "head.weight": 10, "norm.bias": 5}
    assert_report(report, sorted(trained), trained, 42, "select_trainable(model, 'bias')")
    assert_equal(held[0], 0, what="number of bytes of a new AdamW")
    assert_equal(held[1], 176, what="number of bytes of AdamW after a step with 22 trained numbers in 32 bits")


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "head-forgotten", "one-matrix-for-q-k-v", "norm-biases-forgotten", "last-norm-forgotten", "positions-forgotten"
)
def test_methods_that_train_parameters_of_the_model(student, rng):
    """The counts of full fine-tuning, a linear probe and BitFit are those of real modules."""
    for sizes in (LARGE, random_sizes(rng), random_sizes(rng)):
        model = encoder(sizes)
        told = ", ".join(f"{name}={size}" for name, size in zip(SIZES, sizes, strict=True))
        head = count(model["head"])
        biases = sum(p.numel() for name, p in model.named_parameters() if "bias" in name and "head" not in name)
        for method, expected in (("full", count(model)), ("linear_probe", head), ("bitfit", biases + head)):
            found = student.run(count_by_hand, sizes, method, {})
            assert_equal(found, expected, what=f"count for {method!r} with {told}")


@points(1)
@catches(
    "low-rank-as-full-matrix",
    "one-factor",
    "factors-with-bias",
    "one-adapter",
    "adapter-without-biases",
    "prefix-without-values",
    "prompt-in-every-layer",
    "wide-targets-as-square",
    "inner-scaling-of-model-width",
    "defaults-built-in",
)
def test_methods_that_add_parameters(student, rng):
    """The counts of LoRA, adapters, prompts, prefixes and scaling vectors are those of real modules, plus the head."""
    cases = [
        ("lora", {"rank": 3, "targets": ["k"]}),
        ("lora", {"rank": 5, "targets": ("ffn_in", "o")}),
        ("lora", {"rank": 2, "targets": ["ffn_out"]}),
        ("lora", {"rank": 1, "targets": ["q", "k", "v", "o", "ffn_in", "ffn_out"]}),
        ("adapter", {"bottleneck": 5}),
        ("adapter", {"bottleneck": 1}),
        ("prompt", {"n_tokens": 7}),
        ("prefix", {"n_tokens": 7}),
        ("ia3", {}),
    ]
    for sizes in (random_sizes(rng), random_sizes(rng)):
        d, classes = sizes[0], sizes[-1]
        for method, options in cases:
            found = student.run(count_by_hand, sizes, method, options)
            expected = added_parameters(sizes, method, options) + d * classes + classes
            told = ", ".join(f"{name}={size}" for name, size in zip(SIZES, sizes, strict=True))
            asked = ", ".join([repr(method), *(f"{name}={value!r}" for name, value in options.items())])
            assert_equal(found, expected, what=f"count for {asked} with {told}")
    defaults = {"lora": {"rank": 8, "targets": ["q", "v"]}, "adapter": {"bottleneck": 64}}
    defaults |= {"prompt": {"n_tokens": 20}, "prefix": {"n_tokens": 20}}
    for method, options in defaults.items():
        found = student.run(count_by_hand, LARGE, method, {})
        expected = added_parameters(LARGE, method, options) + 24 * 3 + 3
        assert_equal(found, expected, what=f"count for {method!r} without options and with the sizes {LARGE}")


@points(0.5)
@catches("unknown-method-is-a-probe", "repeated-targets-counted", "options-unchecked")
def test_options_that_make_no_sense_are_refused(student):
    """Unknown methods, targets that are unknown, repeated or missing, and senseless sizes are refused."""
    sizes = (6, 2, 10, 20, 5, 4)
    cases = [(ValueError, method, {}) for method in ("Full", "bit_fit", "dora", "")]
    for targets in ([], ["q", "query"], ["q", "k", "q"], ["Q"], ("ffn",)):
        cases.append((ValueError, "lora", {"targets": targets}))
    for method, option in (("lora", "rank"), ("adapter", "bottleneck"), ("prompt", "n_tokens"), ("prefix", "n_tokens")):
        cases += [(ValueError, method, {option: value}) for value in (0, -3)]
        cases += [(TypeError, method, {option: value}) for value in (2.0, "4", True, None)]
    for error, method, options in cases:
        asked = ", ".join([repr(method), *(f"{name}={value!r}" for name, value in options.items())])
        with raises(error, what=f"trainable_parameters(spec, {asked})"):
            student.run(count_by_hand, sizes, method, options)


@points(1)
@catches(
    "bias-of-linear-layers-only",
    "bias-anywhere-in-the-name",
    "norm-by-name",
    "first-layers-unfrozen",
    "head-not-trained",
    "head-by-first-letters",
    "ratio-inverted",
    "buffers-counted",
)
def test_each_policy_trains_what_it_names(student):
    """Every policy trains the head and what it names, and the report says so."""
    last_two = LAYERS[1] | LAYERS[2]
    for arguments, trained in (
        (("full",), EVERYTHING),
        (("head",), HEAD),
        (("bias",), BIASES | HEAD),
        (("norm",), NORMS | HEAD),
        (("last_n", ("head",), 1), LAYERS[2] | HEAD),
        (("last_n", ["head"], 2), last_two | HEAD),
        (("last_n", ("head",), 3), LAYERS[0] | last_two | HEAD),
        (("head", ["header", "encoder.layers.1"]), HEADER | LAYERS[1]),
        (("head", ("head.2",), 2), {"head.2.weight": 20, "head.2.bias": 4}),
    ):
        ((report, flags),) = student.run(select_in_turn, [arguments])
        told = f"select_trainable(model, {', '.join(map(repr, arguments))})"
        assert_report(report, flags, trained, sum(EVERYTHING.values()), told)


@points(1)
@catches(
    "earlier-flags-left-on", "earlier-flags-left-off", "tied-counted-twice", "tied-named-twice", "tied-head-missed"
)
def test_policies_in_turn_and_tied_weights(student):
    """A policy forgets what the one before it chose, and a parameter with two names is one parameter."""
    calls = [("full",), ("head",), ("norm",), ("bias",), ("last_n", ("head",), 1), ("head", ("header",)), ("full",)]
    wanted = [EVERYTHING, HEAD, NORMS | HEAD, BIASES | HEAD, LAYERS[2] | HEAD, HEADER, EVERYTHING]
    results = student.run(select_in_turn, calls)
    for number, ((report, flags), trained) in enumerate(zip(results, wanted, strict=True)):
        told = f"select_trainable with {', then '.join(repr(call[0]) for call in calls[: number + 1])} on one model"
        assert_report(report, flags, trained, sum(EVERYTHING.values()), told)

    head = {"embedding.weight": 66, "out.bias": 11}
    body = {"body.weight": 36, "body.bias": 6}
    for policy, trained in (("head", head), ("bias", head | {"body.bias": 6}), ("full", head | body)):
        report, flags = student.run(select_with_tied_weights, policy)
        told = f"select_trainable(model, {policy!r}, ['out']) with out.weight tied to embedding.weight"
        assert_report(report, flags, trained, 119, told)


@points(0.5)
@catches("unknown-policy-is-head", "missing-head-unnoticed", "last-zero-is-all")
def test_policies_that_make_no_sense_are_refused(student):
    """Unknown policies, a head that is not there, and a number of layers out of range are refused."""
    for arguments in (
        ("heads",),
        ("last",),
        ("",),
        ("full", ("classifier",)),
        ("bias", ("hea",)),
        ("last_n", ("classifier",), 1),
        ("head", ("head.1",)),  # an activation, without parameters
        ("last_n",),
        ("last_n", ("head",), 0),
        ("last_n", ("head",), -1),
        ("last_n", ("head",), 4),
    ):
        with raises(ValueError, what=f"select_trainable(model, {', '.join(map(repr, arguments))})"):
            student.run(select_in_turn, [arguments])


@points(1)
@catches("counters-included", "elements-not-bytes", "four-bytes-each", "all-parameters-times-two")
def test_the_state_is_counted_in_bytes_without_the_step_counters(student):
    """The bytes of an optimiser's state are those of its tensors, whatever the optimiser and the dtype."""
    shapes = [(3, 5), (7,), (2, 2)]
    for name, settings, dtype, steps, trained, expected in (
        ("AdamW", {}, "float32", 2, 3, 2 * 4 * 26),
        ("AdamW", {}, "float32", 1, 2, 2 * 4 * 22),
        ("AdamW", {}, "float64", 1, 3, 2 * 8 * 26),
        ("Adam", {"amsgrad": True}, "bfloat16", 1, 3, 3 * 2 * 26),
        ("SGD", {"momentum": 0.9}, "float32", 2, 2, 4 * 22),
        ("SGD", {}, "float32", 2, 3, 0),
        ("Adagrad", {}, "float32", 1, 3, 4 * 26),
        ("RMSprop", {"momentum": 0.5, "centered": True}, "float32", 1, 3, 3 * 4 * 26),
    ):
        before, after = student.run(state_of_an_optimizer, name, settings, shapes, dtype, steps, trained)
        said = ", ".join(f"{key}={value}" for key, value in settings.items())
        told = f"of {name}({said}) with {dtype} parameters of shapes {shapes}"
        if name != "Adagrad":  # it makes its state at once
            assert_equal(before, 0, what=f"number of bytes {told} before the first step")
        given = f"after {steps} steps in which the first {trained} had a gradient"
        assert_equal(after, expected, what=f"number of bytes {told} {given}")
