"""Wrong and differently written answers to transfer/trainable_parameters.

Every "reject" line of E-K2 and A-Q2a has an entry. A published count does not exist: the source names methods and counts
nothing. Its list of "methods" (optimisers, augmentation) is in the claims.
"""

from grader.catalogue import Alternative, WrongAnswer

ADDED = "test_methods_that_add_parameters"
OWN = "test_methods_that_train_parameters_of_the_model"
POLICIES = "test_each_policy_trains_what_it_names"
IN_TURN = "test_policies_in_turn_and_tied_weights"
BYTES = "test_the_state_is_counted_in_bytes_without_the_step_counters"

LORA = "rank * perimeter[target]"
FLAGS = "parameter.requires_grad_(parameter in trained)"
BIAS = 'trained.update(parameter for name, parameter in named if name.endswith("bias"))'
TOTAL = "total = sum(parameter.numel() for parameter in model.parameters())"
NORM = "            if isinstance(module, NORM_CLASSES):\n                trained.update(module.parameters())"
HEADLESS = '    if not trained:\n        raise ValueError(f"no parameter belongs to the head {head_prefixes!r}")\n'

wrong_answers = [
    WrongAnswer(
        id="published-claims",
        title="choosing an optimiser taken for choosing what is fine-tuned",
        explanation=(
            "One of the claims follows a list that is often published as the answer to this question. Ask what would "
            "be different in a training run from scratch: an optimiser is there as well."
        ),
        caught_by="test_claims",
        swap=(("optimiser_chooses=False", "optimiser_chooses=True"),),
    ),
    WrongAnswer(
        id="low-rank-as-full-matrix",
        title="LoRA counted as rank times a whole matrix",
        explanation=(
            "Your count multiplies the rank by in times out, which for rank 8 is eight times the matrix itself. Write "
            "down the shapes of the two factors and count each."
        ),
        caught_by=ADDED,
        swap=(
            (
                'perimeter = {"q": d + d, "k": d + d, "v": d + d, "o": d + d, "ffn_in": d + f, "ffn_out": f + d}',
                'perimeter = {"q": d * d, "k": d * d, "v": d * d, "o": d * d, "ffn_in": d * f, "ffn_out": f * d}',
            ),
        ),
    ),
    WrongAnswer(
        id="one-factor",
        title="one of LoRA's two factors counted",
        explanation=(
            "Your count has rank times the input width only. The way back up to the output width has a factor of its "
            "own, and it is trained too."
        ),
        caught_by=ADDED,
        swap=(
            (
                'perimeter = {"q": d + d, "k": d + d, "v": d + d, "o": d + d, "ffn_in": d + f, "ffn_out": f + d}',
                'perimeter = {"q": d, "k": d, "v": d, "o": d, "ffn_in": d, "ffn_out": f}',
            ),
        ),
    ),
    WrongAnswer(
        id="factors-with-bias",
        title="LoRA's factors counted with biases",
        explanation=(
            "Each of your factors is a linear layer with bias. The factors are matrices alone; the table gives their "
            "shapes."
        ),
        caught_by=ADDED,
        swap=((LORA, '(rank * perimeter[target] + rank + (f if target == "ffn_in" else d))'),),
    ),
    WrongAnswer(
        id="one-adapter",
        title="one adapter a layer counted",
        explanation=(
            "Your count has one adapter in each layer. Houlsby and others put one behind the attention and one behind "
            "the feed-forward part, and the table asks for that."
        ),
        caught_by=ADDED,
        swap=(("return layers * 2 * adapter + head", "return layers * adapter + head"),),
    ),
    WrongAnswer(
        id="prefix-without-values",
        title="prefixes counted for the keys alone",
        explanation=(
            "A prefix that is attended to needs a key to be found by and a value to be read: two vectors for each "
            "position in each layer."
        ),
        caught_by=ADDED,
        swap=(("return layers * 2 * n_tokens * d + head", "return layers * n_tokens * d + head"),),
    ),
    WrongAnswer(
        id="head-forgotten",
        title="the head left out of the methods that train little",
        explanation=(
            "Your counts lack the head, which is new and is trained by every method. A linear probe without it would "
            "train nothing at all."
        ),
        caught_by=OWN,
        swap=(
            ("        return head\n", "        return 0\n"),
            ("return layers * biases + d + head", "return layers * biases + d"),
            ("for target in targets) + head", "for target in targets)"),
            ("return layers * 2 * adapter + head", "return layers * 2 * adapter"),
            ("return n_tokens * d + head", "return n_tokens * d"),
            ("return layers * 2 * n_tokens * d + head", "return layers * 2 * n_tokens * d"),
            ("return layers * (d + d + f) + head", "return layers * (d + d + f)"),
        ),
    ),
    WrongAnswer(
        id="one-matrix-for-q-k-v",
        title="one matrix counted for q, k and v together",
        explanation=(
            "Your layer has two square matrices. Queries, keys and values are three different projections, and the "
            "output has a fourth; libraries that store three of them in one tensor make it three times as tall."
        ),
        caught_by=OWN,
        swap=(("projections = 4 * (d * d + d)", "projections = 2 * (d * d + d)"),),
    ),
    WrongAnswer(
        id="earlier-flags-left-on",
        title="parameters unfrozen by an earlier policy stay unfrozen",
        explanation=(
            "Your function switches on what the policy wants and switches nothing off. A model that was trained in "
            "full before stays trainable in full. Every parameter needs its flag set, one way or the other."
        ),
        caught_by=IN_TURN,
        swap=((FLAGS, "parameter.requires_grad_(parameter in trained or parameter.requires_grad)"),),
    ),
    WrongAnswer(
        id="tied-counted-twice",
        title="a tied parameter counted under each of its names",
        explanation=(
            "The embedding and the output layer share one tensor, and your numbers contain it twice. Count objects, "
            "not names."
        ),
        caught_by=IN_TURN,
        swap=(
            (
                "trainable = sum(parameter.numel() for parameter in trained)",
                "trainable = sum(parameter.numel() for _, parameter in named if parameter.requires_grad)",
            ),
            (TOTAL, "total = sum(parameter.numel() for _, parameter in named)"),
        ),
    ),
    WrongAnswer(
        id="head-not-trained",
        title="the head frozen by policies that do not name it",
        explanation=(
            "With `bias`, `norm` or `last_n` the head, or its weight, stays frozen in your model. It is new and "
            "random: whatever else is trained, it has to be."
        ),
        caught_by=POLICIES,
        swap=(
            (
                '    if policy == "full":\n        trained',
                '    if policy != "head":\n        trained = set()\n    if policy == "full":\n        trained',
            ),
        ),
    ),
    WrongAnswer(
        id="buffers-counted",
        title="buffers counted as parameters",
        explanation=(
            "Your total contains the running statistics of batch normalisation. They belong to the state of a model, "
            "but no gradient ever reaches them."
        ),
        caught_by=POLICIES,
        swap=((TOTAL, "total = sum(tensor.numel() for tensor in model.state_dict().values())"),),
    ),
    WrongAnswer(
        id="ratio-inverted",
        title="total divided by trained",
        explanation="Your ratio is 1 or more. It is a share: what part of all parameters is trained?",
        caught_by=POLICIES,
        swap=(('"ratio": trainable / total', '"ratio": total / trainable'),),
    ),
    WrongAnswer(
        id="bias-of-linear-layers-only",
        title="biases of nn.Linear alone",
        explanation=(
            "Normalisation layers, convolutions and the packed projection of nn.MultiheadAttention have biases too. "
            "Go by the names of the parameters, not by the class of the layer."
        ),
        caught_by=POLICIES,
        swap=(
            (
                BIAS,
                "trained.update(m.bias for m in model.modules() if isinstance(m, nn.Linear) and m.bias is not None)",
            ),
        ),
    ),
    # ------------------------------------------------------------ not in the entries
    WrongAnswer(
        id="norm-biases-forgotten",
        title="biases of the LayerNorms not counted for BitFit",
        explanation=(
            "Your count has the biases of the linear layers. LayerNorm has a bias vector as well, twice a layer and "
            "once at the end."
        ),
        caught_by=OWN,
        swap=(
            ("biases = 4 * d + (f + d) + 2 * d", "biases = 4 * d + (f + d)"),
            ("return layers * biases + d + head", "return layers * biases + head"),
        ),
    ),
    WrongAnswer(
        id="last-norm-forgotten",
        title="the LayerNorm after the last layer not counted",
        explanation="Go through the table of parts row by row: something stands between the last layer and the head.",
        caught_by=OWN,
        swap=(
            ("(projections + feed_forward + 2 * norm) + norm + head", "(projections + feed_forward + 2 * norm) + head"),
        ),
    ),
    WrongAnswer(
        id="positions-forgotten",
        title="the position embedding not counted",
        explanation=(
            "Your full count is too small by `max_len` vectors. The positions of this encoder are learned, one vector "
            "for each."
        ),
        caught_by=OWN,
        swap=(("(spec.vocab_size + spec.max_len) * d", "spec.vocab_size * d"),),
    ),
    WrongAnswer(
        id="adapter-without-biases",
        title="adapters counted without biases",
        explanation="Each adapter consists of two linear layers with bias; your count has the two matrices alone.",
        caught_by=ADDED,
        swap=(
            (
                "(d * bottleneck + bottleneck) + (bottleneck * d + d)",
                "d * bottleneck + bottleneck * d",
            ),
        ),
    ),
    WrongAnswer(
        id="prompt-in-every-layer",
        title="the prompt counted in every layer",
        explanation=(
            "A soft prompt is put in front of the input once; what the layers make of it is computed, not learned. "
            "Which other method learns vectors for each layer?"
        ),
        caught_by=ADDED,
        swap=(("return n_tokens * d + head", "return layers * n_tokens * d + head"),),
    ),
    WrongAnswer(
        id="wide-targets-as-square",
        title="feed-forward targets counted like square ones",
        explanation=(
            "For `ffn_in` and `ffn_out` your factors have the widths of a d → d matrix. One end of these is d_ff wide."
        ),
        caught_by=ADDED,
        swap=(('"ffn_in": d + f, "ffn_out": f + d', '"ffn_in": d + d, "ffn_out": d + d'),),
    ),
    WrongAnswer(
        id="inner-scaling-of-model-width",
        title="all three scaling vectors of (IA)³ of width d_model",
        explanation="The third vector scales the activations inside the feed-forward part. How wide are these?",
        caught_by=ADDED,
        swap=(("return layers * (d + d + f) + head", "return layers * (d + d + d) + head"),),
    ),
    WrongAnswer(
        id="defaults-built-in",
        title="the options ignored",
        explanation="Your counts are those of the defaults, whatever options are given.",
        caught_by=ADDED,
        swap=(
            (
                "    d, f, layers = spec",
                '    rank, targets, bottleneck, n_tokens = 8, ("q", "v"), 64, 20\n    d, f, layers = spec',
            ),
        ),
    ),
    WrongAnswer(
        id="unknown-method-is-a-probe",
        title="an unknown method counted as a linear probe",
        explanation="A misspelt method gives a plausible number. It has to be refused.",
        caught_by="test_options_that_make_no_sense_are_refused",
        swap=(('raise ValueError(f"unknown method {method!r}")', "return head"),),
    ),
    WrongAnswer(
        id="repeated-targets-counted",
        title="a repeated target counted twice",
        explanation=(
            'With `targets=["q", "k", "q"]` your count has factors for q twice, though a layer gets one pair for a '
            "matrix. Such a list is a mistake of the caller's and has to be refused."
        ),
        caught_by="test_options_that_make_no_sense_are_refused",
        swap=(("if not targets or len(set(targets)) < len(targets) or not", "if not targets or not"),),
    ),
    WrongAnswer(
        id="options-unchecked",
        title="rank, bottleneck and n_tokens not checked",
        explanation=(
            "A rank of 0, of -3 or of 2.0 gives a number as if it made sense. The rules say which options are checked "
            "how, and `check_size` is there for it."
        ),
        caught_by="test_options_that_make_no_sense_are_refused",
        swap=(
            ('        check_size("rank", rank)\n', ""),
            ('        check_size("bottleneck", bottleneck)\n', ""),
            ('        check_size("n_tokens", n_tokens)\n        return n_tokens', "        return n_tokens"),
            ('        check_size("n_tokens", n_tokens)\n        return layers', "        return layers"),
        ),
    ),
    WrongAnswer(
        id="bias-anywhere-in-the-name",
        title="every parameter with 'bias' somewhere in its name",
        explanation=(
            "The weight of a layer called `debias` is trained too, since the letters are in its qualified name. It is "
            "the end of the name that counts."
        ),
        caught_by=POLICIES,
        swap=((BIAS, BIAS.replace('name.endswith("bias")', '"bias" in name')),),
    ),
    WrongAnswer(
        id="norm-by-name",
        title="normalisation layers recognised by their names",
        explanation=(
            "A LayerNorm called `pre` is left out, and a linear layer called `norm_map` is taken for one. Names are "
            "chosen by whoever wrote the model; the class says what a layer is."
        ),
        caught_by=POLICIES,
        swap=(
            (
                "        for module in model.modules():\n" + NORM,
                '        trained.update(parameter for name, parameter in named if "norm" in name)',
            ),
        ),
    ),
    WrongAnswer(
        id="first-layers-unfrozen",
        title="the first layers trained instead of the last",
        explanation=(
            "The layers next to the input are trained and those next to the head are frozen. General features are "
            "found low in a network, what is particular to a task high up."
        ),
        caught_by=POLICIES,
        swap=(("layers[len(layers) - n_last :]", "layers[:n_last]"),),
    ),
    WrongAnswer(
        id="head-by-first-letters",
        title="a prefix matched letter by letter",
        explanation=(
            "The prefix `head` also covers a layer called `header`, since the letters agree. A prefix is a module: it "
            "ends where the name ends, or at a dot."
        ),
        caught_by=POLICIES,
        swap=(("name in head_prefixes or name.startswith(inside)", "name.startswith(tuple(head_prefixes))"),),
    ),
    WrongAnswer(
        id="earlier-flags-left-off",
        title="parameters frozen by an earlier policy stay frozen",
        explanation=(
            "Your function switches off what the policy does not want and switches nothing on. After a linear probe "
            "the model can never be unfrozen again, which is what the next stage of training needs."
        ),
        caught_by=IN_TURN,
        swap=((FLAGS, "parameter.requires_grad_(parameter in trained and parameter.requires_grad)"),),
    ),
    WrongAnswer(
        id="tied-named-twice",
        title="a tied parameter listed under each of its names",
        explanation=(
            "The list has two names for one tensor. Each trained parameter is to appear once, under the name by which "
            "`model.named_parameters()` calls it."
        ),
        caught_by=IN_TURN,
        swap=(
            (
                "sorted(name for name, parameter in model.named_parameters() if",
                "sorted(name for name, parameter in named if",
            ),
        ),
    ),
    WrongAnswer(
        id="tied-head-missed",
        title="a head recognised by the first name of a tied parameter only",
        explanation=(
            "The head's weight is tied to the embedding and goes by that name in `named_parameters()`, so your policy "
            "freezes it. A parameter belongs to the head if any of its names does."
        ),
        caught_by=IN_TURN,
        swap=(("named_parameters(remove_duplicate=False))  #", "named_parameters())  #"),),
    ),
    WrongAnswer(
        id="unknown-policy-is-head",
        title="an unknown policy treated as `head`",
        explanation="A misspelt policy trains the head alone, and nobody hears of it. It has to be refused.",
        caught_by="test_policies_that_make_no_sense_are_refused",
        swap=(('    elif policy != "head":\n        raise ValueError(f"unknown policy {policy!r}")\n', ""),),
    ),
    WrongAnswer(
        id="missing-head-unnoticed",
        title="no error when the head is not there",
        explanation=(
            "If the head is called differently in this model, your function freezes it without a word. That no "
            "parameter belongs to the head is a mistake to report, whatever the policy."
        ),
        caught_by="test_policies_that_make_no_sense_are_refused",
        swap=((HEADLESS, ""), ('"ratio": trainable / total', '"ratio": trainable / max(total, 1)')),
    ),
    WrongAnswer(
        id="last-zero-is-all",
        title="n_last out of range accepted",
        explanation=(
            "A slice knows no error: the last 0 layers of a Python list are all of them, and the last 4 of 3 are 3. "
            "Compare `n_last` with the number of layers first."
        ),
        caught_by="test_policies_that_make_no_sense_are_refused",
        swap=(
            ("if n_last is None or not 1 <= n_last <= len(layers):", "if n_last is None:"),
            ("layers[len(layers) - n_last :]", "layers[-n_last:]"),
        ),
    ),
    WrongAnswer(
        id="counters-included",
        title="the step counters counted too",
        explanation=(
            "Your bytes contain the counter of steps that Adam keeps for each parameter: four bytes each, which do not "
            "grow with the model. Leave the entry `step` out."
        ),
        caught_by=BYTES,
        swap=(('if key != "step" and isinstance', "if isinstance"),),
    ),
    WrongAnswer(
        id="elements-not-bytes",
        title="numbers counted instead of bytes",
        explanation="You add up how many numbers the state has. Each takes several bytes; the tensor knows how many.",
        caught_by=BYTES,
        swap=(("value.numel() * value.element_size()", "value.numel()"),),
    ),
    WrongAnswer(
        id="four-bytes-each",
        title="four bytes assumed for every number",
        explanation=(
            "That is right for 32-bit parameters only; the state follows the dtype of what is trained. The tensor "
            "knows how many bytes one of its elements takes."
        ),
        caught_by=BYTES,
        swap=(("value.numel() * value.element_size()", "value.numel() * 4"),),
    ),
    WrongAnswer(
        id="all-parameters-times-two",
        title="two moments assumed for every parameter the optimiser was given",
        explanation=(
            "You work out what AdamW would keep, instead of looking at what is there. SGD keeps less, a new optimiser "
            "keeps nothing, and a parameter that never had a gradient has no state."
        ),
        caught_by=BYTES,
        code="""
def optimizer_state_bytes(optimizer):
    return sum(2 * p.numel() * p.element_size() for group in optimizer.param_groups for p in group["params"])
""",
    ),
]

alternatives = [
    Alternative(
        id="counted-on-modules",
        title="counts from real modules; flags set by identity numbers",
        code="""
def trainable_parameters(spec, method, *, rank=8, targets=("q", "v"), bottleneck=64, n_tokens=20):
    d, f = spec.d_model, spec.d_ff

    def numbers(*modules):
        return sum(parameter.numel() for module in modules for parameter in module.parameters())

    head = nn.Linear(d, spec.n_classes)
    layers = nn.ModuleList([nn.TransformerEncoderLayer(d, 1, f) for _ in range(spec.n_layers)])
    body = nn.ModuleList([nn.Embedding(spec.vocab_size, d), nn.Embedding(spec.max_len, d), layers, nn.LayerNorm(d)])
    extra = 0
    if method == "full":
        extra = numbers(body)
    elif method == "bitfit":
        extra = sum(p.numel() for n, p in body.named_parameters() if "bias" in n)
    elif method == "lora":
        check_size("rank", rank)
        ends = dict.fromkeys("qkvo", (d, d)) | {"ffn_in": (d, f), "ffn_out": (f, d)}
        wanted = list(targets)
        if wanted == [] or any(wanted.count(target) > 1 or target not in ends for target in wanted):
            raise ValueError(wanted)
        for target in wanted:
            into, out = ends[target]
            extra += spec.n_layers * (torch.empty(rank, into).numel() + torch.empty(out, rank).numel())
    elif method == "adapter":
        check_size("bottleneck", bottleneck)
        extra = 2 * spec.n_layers * numbers(nn.Linear(d, bottleneck), nn.Linear(bottleneck, d))
    elif method in ("prompt", "prefix"):
        check_size("n_tokens", n_tokens)
        extra = numbers(nn.Embedding(n_tokens, d)) * (2 * spec.n_layers if method == "prefix" else 1)
    elif method == "ia3":
        extra = spec.n_layers * (2 * d + f)
    elif method != "linear_probe":
        raise ValueError(method)
    return numbers(head) + extra


def select_trainable(model, policy, head_prefixes=("head",), n_last=None):
    names = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    last = set()
    if policy == "last_n":
        count = len(model.encoder.layers)
        if not isinstance(n_last, int) or n_last < 1 or n_last > count:
            raise ValueError(n_last)
        last = {id(p) for i in range(count - n_last, count) for p in model.encoder.layers[i].parameters()}
    elif policy == "norm":
        last = {id(p) for m in model.modules() if isinstance(m, NORM_CLASSES) for p in m.parameters()}
    elif policy not in ("full", "head", "bias"):
        raise ValueError(policy)

    def in_head(name):
        parts = name.split(".")
        return any(parts[: len(prefix.split("."))] == prefix.split(".") for prefix in head_prefixes)

    if not any(in_head(name) for several in names.values() for name in several):
        raise ValueError(head_prefixes)
    report = {"trainable": 0, "total": 0, "names": []}
    for name, parameter in model.named_parameters():
        several = names[id(parameter)]
        on = policy == "full" or id(parameter) in last or any(map(in_head, several))
        if policy == "bias":
            on = on or any(each.rsplit(".", 1)[-1].endswith("bias") for each in several)
        parameter.requires_grad = on
        report["total"] += parameter.numel()
        if on:
            report["trainable"] += parameter.numel()
            report["names"].append(name)
    report["names"].sort()
    report["ratio"] = report["trainable"] / report["total"]
    return report


def optimizer_state_bytes(optimizer):
    size = 0
    for state in optimizer.state_dict()["state"].values():
        for key in state:
            if torch.is_tensor(state[key]) and key != "step":
                size += state[key].nbytes
    return size
""",
    ),
    Alternative(
        id="tables",
        title="tables of formulas instead of branches",
        code="""
def trainable_parameters(spec, method, *, rank=8, targets=("q", "v"), bottleneck=64, n_tokens=20):
    d, f, n = spec.d_model, spec.d_ff, spec.n_layers

    def linear(a, b):
        return (a + 1) * b

    def low_rank():
        check_size("rank", rank)
        widths = dict(q=2 * d, k=2 * d, v=2 * d, o=2 * d, ffn_in=d + f, ffn_out=d + f)
        if len(targets) == 0 or len(targets) != len(set(targets)):
            raise ValueError("targets")
        try:
            return n * rank * sum(widths[target] for target in targets)
        except KeyError as error:
            raise ValueError("unknown target") from error

    def adapters():
        check_size("bottleneck", bottleneck)
        return 2 * n * (linear(d, bottleneck) + linear(bottleneck, d))

    def vectors(count):
        check_size("n_tokens", n_tokens)
        return count * n_tokens * d

    table = {
        "full": lambda: (spec.vocab_size + spec.max_len + 2) * d
        + n * (4 * linear(d, d) + linear(d, f) + linear(f, d) + 4 * d),
        "linear_probe": lambda: 0,
        "bitfit": lambda: n * (7 * d + f) + d,
        "lora": low_rank,
        "adapter": adapters,
        "prompt": lambda: vectors(1),
        "prefix": lambda: vectors(2 * n),
        "ia3": lambda: n * (2 * d + f),
    }
    if method not in table:
        raise ValueError(f"{method} is not in {list(table)}")
    return table[method]() + linear(d, spec.n_classes)
""",
    ),
    Alternative(
        id="freeze-first",
        title="everything frozen, then unfrozen step by step",
        code="""
def select_trainable(model, policy, head_prefixes=("head",), n_last=None):
    if policy not in {"full", "head", "bias", "norm", "last_n"}:
        raise ValueError(f"no policy {policy}")
    every_name = dict(model.named_parameters(remove_duplicate=False))
    head = [p for n, p in every_name.items() for h in head_prefixes if n == h or n[: len(h) + 1] == h + "."]
    if len(head) == 0:
        raise ValueError("no head")
    if policy == "last_n" and (n_last is None or n_last <= 0 or n_last > len(model.encoder.layers)):
        raise ValueError("n_last")
    model.requires_grad_(policy == "full")
    for parameter in head:
        parameter.requires_grad = True
    if policy == "bias":
        for name in every_name:
            if name.split(".")[-1].endswith("bias"):
                every_name[name].requires_grad = True
    if policy == "norm":
        for module in model.modules():
            if type(module) in NORM_CLASSES:
                module.requires_grad_(True)
    if policy == "last_n":
        for module in list(model.encoder.layers)[-n_last:]:
            module.requires_grad_()
    chosen = [(name, p.numel()) for name, p in model.named_parameters() if p.requires_grad]
    trainable = sum(size for _, size in chosen)
    total = sum(p.numel() for p in model.parameters())
    return dict(trainable=trainable, total=total, ratio=trainable / total, names=sorted(name for name, _ in chosen))


def optimizer_state_bytes(optimizer):
    total = 0
    for parameter, state in optimizer.state.items():
        tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
        tensors.pop("step", None)
        total += sum(tensor.untyped_storage().nbytes() for tensor in tensors.values())
    return total
""",
    ),
]
