"""Wrong and differently written answers to transfer/lora.

Every "must reject" line of B-Q3a and E-X13 has an entry. Lines that both share appear once: both factors zero or random
(both-zero, both-random), the scaling (scaling-inverted, scaling-missing), base left trainable (base-trainable), double
merge (merges-twice), dropout on the base path (dropout-on-the-base).
"""

from grader.catalogue import Alternative, WrongAnswer

START = "        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))\n"
FREEZE = 'parameter.requires_grad_(name.rpartition(".")[2] in ("lora_A", "lora_B"))\n    return'
MATCH = 'if isinstance(module, nn.Linear) and name.rpartition(".")[2] in targets'
NOTHING = (
    "    if not found:\n"
    "        raise ValueError(f\"no nn.Linear inside the model is called {' or '.join(sorted(targets))}\")\n"
)
IS_FACTOR = '        if name.rpartition(".")[2] in ("lora_A", "lora_B")\n    }'

wrong_answers = [
    WrongAnswer(
        id="everything-trained",  # the published definition: continue training
        title="all weights of the model trained, not only the factors",
        explanation=(
            "The layers are in place, but other parameters of the model still require a gradient, so this is full "
            "fine-tuning with some parameters more. Freezing the bases is not enough: what about the norms, the heads "
            "and the layers that were not replaced?"
        ),
        caught_by="test_injection_replaces_what_was_asked_for_and_freezes_the_rest",
        swap=((FREEZE, "parameter.requires_grad_(True)\n    return"),),
    ),
    WrongAnswer(
        id="published-claims",
        title="fine-tuning taken for training that goes on with all weights",
        explanation=(
            "One of the claims follows a definition that is often published. Ask yourself whether a model whose "
            "new head alone is trained has been fine-tuned, and what this exercise is about."
        ),
        caught_by="test_claims",
        swap=(("all_weights_move=False", "all_weights_move=True"),),
    ),
    WrongAnswer(
        id="both-random",
        title="A and B both random at the start",
        explanation=(
            "The correction is not 0 at the start, so the pretrained model is disturbed before the first step. Work "
            "out B A for the start that the table asks for."
        ),
        caught_by="test_a_new_layer_changes_nothing_and_can_learn",
        swap=((START, START + START.replace("lora_A", "lora_B")),),
    ),
    WrongAnswer(
        id="both-zero",
        title="A and B both zero at the start",
        explanation=(
            "The model starts unchanged, but it stays so: the gradient of each factor contains the other one, and both "
            "are 0, so neither ever moves. One of them has to start at random."
        ),
        caught_by="test_a_new_layer_changes_nothing_and_can_learn",
        swap=((START, "        nn.init.zeros_(self.lora_A)\n"),),
    ),
    WrongAnswer(
        id="scaling-inverted",
        title="the correction scaled by r / alpha",
        explanation=(
            "Numerator and denominator have changed places. With them as stated, raising r at the same alpha adds "
            "directions without making the whole correction larger."
        ),
        caught_by="test_base_and_correction_act_like_one_matrix",
        swap=(("self.scaling = alpha / r", "self.scaling = r / alpha"),),
    ),
    WrongAnswer(
        id="scaling-missing",
        title="the correction not scaled at all",
        explanation=(
            "`alpha` has no effect on your results. The correction is multiplied by a number made of `alpha` and `r`, "
            "in the forward pass and in `delta_weight` alike."
        ),
        caught_by="test_base_and_correction_act_like_one_matrix",
        swap=(("self.scaling = alpha / r", "self.scaling = 1.0"),),
    ),
    WrongAnswer(
        id="base-trainable",
        title="the base of a new layer still trainable",
        explanation=(
            "`inject_lora` freezes it in the end, but a `LoRALinear` made by hand still trains the base's weight and "
            "bias. The layer itself is to freeze what it is given."
        ),
        caught_by="test_a_new_layer_changes_nothing_and_can_learn",
        swap=(("self.base = base.requires_grad_(False)", "self.base = base"),),
    ),
    WrongAnswer(
        id="merges-twice",
        title="a second merge adds the correction once more",
        explanation=(
            "Calling `merge` twice gives W plus twice the correction. Evaluation code often merges to be on the safe "
            "side, so the method has to notice that it has been done."
        ),
        caught_by="test_merging_and_unmerging",
        swap=(("        if not self.merged:\n            with", "        if True:\n            with"),),
    ),
    WrongAnswer(
        id="substring-matched",
        title="a target matches parts of names",
        explanation=(
            'The target "q" also hits layers such as `qkv` or `freq`, whose names contain it. Compare the '
            "last part of the qualified name as a whole."
        ),
        caught_by="test_injection_replaces_what_was_asked_for_and_freezes_the_rest",
        swap=(
            (
                MATCH,
                'if isinstance(module, nn.Linear) and any(target in name.rpartition(".")[2] for target in targets)',
            ),
        ),
    ),
    WrongAnswer(
        id="dropout-on-the-base",
        title="dropout acts on the frozen path too",
        explanation=(
            "In training mode the input is dropped before it reaches the base, so the pretrained model itself becomes "
            "noisy: with lora_B = 0 the output is no longer that of the base. Only what goes into A is dropped."
        ),
        caught_by="test_dropout_acts_on_the_way_into_the_correction_only",
        swap=(
            (
                "        low_rank = F.linear(self.dropout(x), self.lora_A)",
                "        x = self.dropout(x)\n        low_rank = F.linear(x, self.lora_A)",
            ),
        ),
    ),
    # ------------------------------------------------------------ not in the entries
    WrongAnswer(
        id="dropout-behind-A",
        title="dropout between A and B",
        explanation=(
            "In training mode you drop some of the r numbers that come out of A. Asked for is dropout on the inputs, "
            "before they meet A."
        ),
        caught_by="test_dropout_acts_on_the_way_into_the_correction_only",
        swap=(("F.linear(self.dropout(x), self.lora_A)", "self.dropout(F.linear(x, self.lora_A))"),),
    ),
    WrongAnswer(
        id="dropout-at-inference",
        title="dropout active in inference mode",
        explanation=(
            "After `eval()` two calls with the same input differ. The functional form of dropout does not know the "
            "mode of your module unless it is told."
        ),
        caught_by="test_dropout_acts_on_the_way_into_the_correction_only",
        swap=(("F.linear(self.dropout(x), self.lora_A)", "F.linear(F.dropout(x, self.dropout.p), self.lora_A)"),),
    ),
    WrongAnswer(
        id="mode-of-the-base-ignored",
        title="a new layer in training mode whatever the mode of its base",
        explanation=(
            "Modules are born in training mode. Put into a model that was loaded for inference, your layer drops "
            "inputs while everything around it does not, until somebody calls `eval()` again."
        ),
        caught_by="test_dropout_acts_on_the_way_into_the_correction_only",
        swap=(("        self.train(base.training)\n", ""),),
    ),
    WrongAnswer(
        id="scaling-by-root",
        title="the correction scaled by alpha over the square root of r",
        explanation=(
            "That is the scaling of rank-stabilised LoRA, a good idea for large ranks. Here the one of the original "
            "paper is asked for."
        ),
        caught_by="test_base_and_correction_act_like_one_matrix",
        swap=(("self.scaling = alpha / r", "self.scaling = alpha / math.sqrt(r)"),),
    ),
    WrongAnswer(
        id="delta-unscaled",
        title="delta_weight without the scaling",
        explanation=(
            "`forward` is right, but `delta_weight` returns B A alone, and what is merged is too large or too small by "
            "the factor that is missing."
        ),
        caught_by="test_base_and_correction_act_like_one_matrix",
        swap=(("return self.scaling * self.lora_B @ self.lora_A", "return self.lora_B @ self.lora_A"),),
    ),
    WrongAnswer(
        id="base-without-gradients",
        title="the base run without recording gradients",
        explanation=(
            "Frozen means that the base's own parameters get no gradient. Your base passes none on to its input "
            "either, so that layers below learn from the correction alone. Which flag freezes parameters without "
            "cutting the path through them?"
        ),
        caught_by="test_base_and_correction_act_like_one_matrix",
        swap=(("return self.base(x) + self.scaling", "return self.base(x).detach() + self.scaling"),),
    ),
    WrongAnswer(
        id="factors-in-float32",
        title="factors in float32 whatever the dtype of the base",
        explanation=(
            "A base in another dtype meets factors that do not fit it, and the forward pass fails or changes the "
            "dtype of its result. Make the factors like the base's weight."
        ),
        caught_by="test_a_new_layer_changes_nothing_and_can_learn",
        swap=(
            ("base.weight.new_empty(r, base.in_features)", "torch.empty(r, base.in_features)"),
            ("base.weight.new_zeros(base.out_features, r)", "torch.zeros(base.out_features, r)"),
        ),
    ),
    WrongAnswer(
        id="standard-normal-start",
        title="A drawn from a normal distribution of spread 1",
        explanation=(
            "The numbers in A do not get smaller for wider inputs, so the first steps of B make a correction whose "
            "size depends on the width. The table names the initialisation to use."
        ),
        caught_by="test_a_new_layer_changes_nothing_and_can_learn",
        swap=((START, "        nn.init.normal_(self.lora_A)\n"),),
    ),
    WrongAnswer(
        id="branch-added-when-merged",
        title="the correction added again although it is merged",
        explanation=(
            "After `merge` the weight contains the correction, and `forward` adds it a second time. Look at the case "
            "distinction in `forward`."
        ),
        caught_by="test_merging_and_unmerging",
        swap=(("        if self.merged:\n            return self.base(x)\n", ""),),
    ),
    WrongAnswer(
        id="unmerge-unasked",
        title="unmerge subtracts a correction that was not merged",
        explanation=(
            "`unmerge` on a layer that is not merged takes away something that was never added, and the pretrained "
            "weight is lost. Ask first whether there is anything to undo."
        ),
        caught_by="test_merging_and_unmerging",
        swap=(
            (
                "        if self.merged:\n            with",
                "        if True:\n            with",
            ),
        ),
    ),
    WrongAnswer(
        id="merged-weight-trainable",
        title="the merged weight requires a gradient",
        explanation=(
            "`nn.Parameter` makes a trainable parameter unless it is told otherwise, so after `merge` the base would "
            "be trained. The rule says what `base.weight` has to stay."
        ),
        caught_by="test_merging_and_unmerging",
        swap=(
            (
                "self.base.weight += self.delta_weight()",
                "self.base.weight = nn.Parameter(self.base.weight + self.delta_weight())",
            ),
        ),
    ),
    WrongAnswer(
        id="factors-emptied-by-merge",
        title="merging sets B to zero",
        explanation=(
            "The outputs stay right, but the correction is forgotten: `delta_weight` is 0 afterwards, and `unmerge` "
            "cannot bring W back. The factors stay as they are; the flag says where the correction is."
        ),
        caught_by="test_merging_and_unmerging",
        swap=(
            (
                "self.base.weight += self.delta_weight()",
                "self.base.weight += self.delta_weight()\n            self.lora_B.data.zero_()",
            ),
        ),
    ),
    WrongAnswer(
        id="suffix-matched",
        title="a target matches the end of a name",
        explanation=(
            'The target "q" also hits a layer called `freq`, whose name ends with it. Cut the qualified name at its '
            "dots before you compare."
        ),
        caught_by="test_injection_replaces_what_was_asked_for_and_freezes_the_rest",
        swap=((MATCH, "if isinstance(module, nn.Linear) and name.endswith(tuple(targets))"),),
    ),
    WrongAnswer(
        id="first-level-only",
        title="only layers directly inside the model replaced",
        explanation=(
            "Layers deeper inside, such as those of an encoder's blocks, are left out. `named_children` looks one "
            "level down; you need every level, and the parent of each layer."
        ),
        caught_by="test_injection_replaces_what_was_asked_for_and_freezes_the_rest",
        swap=(("model.named_modules(remove_duplicate=False)", "model.named_children()"),),
    ),
    WrongAnswer(
        id="lora-in-any-name",
        title="everything with 'lora' in its name taken for a factor",
        explanation=(
            "Names such as `exploration` contain the letters too, and such a layer goes on training. Look at the last "
            "part of a parameter's name, or at the module that it belongs to."
        ),
        caught_by="test_injection_replaces_what_was_asked_for_and_freezes_the_rest",
        swap=((FREEZE, 'parameter.requires_grad_("lora" in name)\n    return'),),
    ),
    WrongAnswer(
        id="earlier-factors-frozen",
        title="a second call freezes the factors of the first",
        explanation=(
            "After two calls, for attention and then for the MLPs for instance, only the layers of the second are "
            "trained. The rule is about all LoRA layers in the model, whenever they were made."
        ),
        caught_by="test_injection_replaces_what_was_asked_for_and_freezes_the_rest",
        swap=(
            (
                "    for name, parameter in model.named_parameters():\n        " + FREEZE,
                "    model.requires_grad_(False)\n"
                "    for layer in adapted.values():\n"
                "        layer.lora_A.requires_grad_(True)\n"
                "        layer.lora_B.requires_grad_(True)\n"
                "    return",
            ),
        ),
    ),
    WrongAnswer(
        id="shared-layer-adapted-twice",
        title="a shared layer given two corrections",
        explanation=(
            "One layer is used in two places, and now the places differ: each has its own factors, and merging both "
            "adds both corrections to the one weight. Remember which layers you have wrapped already."
        ),
        caught_by="test_injection_replaces_what_was_asked_for_and_freezes_the_rest",
        swap=(("own_name, adapted[layer])", "own_name, LoRALinear(layer, r, alpha, dropout))"),),
    ),
    WrongAnswer(
        id="own-names-returned",
        title="the own names returned instead of the qualified ones",
        explanation=(
            "Your list tells what the replaced layers are called, but not where they are. The qualified name contains "
            "the way from the model to the layer."
        ),
        caught_by="test_injection_replaces_what_was_asked_for_and_freezes_the_rest",
        swap=(("return sorted(found)", 'return sorted(name.rpartition(".")[2] for name in found)'),),
    ),
    WrongAnswer(
        id="names-in-model-order",
        title="the names not sorted",
        explanation=(
            "The names come in the order in which the model registered its parts. The list is asked for in sorted "
            "order, so that two runs can be compared."
        ),
        caught_by="test_injection_replaces_what_was_asked_for_and_freezes_the_rest",
        swap=(("return sorted(found)", "return list(found)"),),
    ),
    WrongAnswer(
        id="state-follows-training",
        title="lora_state hands out the live tensors",
        explanation=(
            "What you return shares memory with the model and changes when training goes on, so a state kept as the "
            "best one is in the end the last one."
        ),
        caught_by="test_training_moves_the_factors_only_and_lora_state_keeps_them",
        swap=(("name: tensor.clone()\n", "name: tensor\n"),),
    ),
    WrongAnswer(
        id="everything-saved",
        title="the whole state saved",
        explanation=(
            "Your state holds the base as well, gigabytes for a large model. The adapter is what was trained, and the "
            "base is on everybody's disk already."
        ),
        caught_by="test_training_moves_the_factors_only_and_lora_state_keeps_them",
        swap=((IS_FACTOR, "    }"),),
    ),
    WrongAnswer(
        id="saved-without-path",
        title="the state saved under the factors' own names",
        explanation=(
            "All factors of a model are called `lora_A` and `lora_B`, so all but one pair overwrite each other. The "
            "name in `model.state_dict()` says which layer they belong to."
        ),
        caught_by="test_training_moves_the_factors_only_and_lora_state_keeps_them",
        swap=(("name: tensor.clone()\n", 'name.rpartition(".")[2]: tensor.clone()\n'),),
    ),
    WrongAnswer(
        id="rank-unbounded",
        title="any rank accepted from 1 up",
        explanation=(
            "A rank above the smaller side of the matrix buys nothing: the product cannot have a higher rank than "
            "that, and it costs more than the matrix. Such a call is a mistake and has to be refused."
        ),
        caught_by="test_what_cannot_be_adapted_is_refused",
        swap=(("if not 1 <= r <= min(base.in_features, base.out_features):", "if r < 1:"),),
    ),
    WrongAnswer(
        id="alpha-unchecked",
        title="alpha of 0 or less accepted",
        explanation=(
            "With alpha 0 the correction is switched off for good, with a negative one its sign is turned. Neither "
            "can be meant; the rules say what is refused."
        ),
        caught_by="test_what_cannot_be_adapted_is_refused",
        swap=(('        if alpha <= 0:\n            raise ValueError(f"alpha must be positive, got {alpha}")\n', ""),),
    ),
    WrongAnswer(
        id="string-taken-letter-by-letter",
        title="a plain string accepted as targets",
        explanation=(
            'A string is a collection of its letters, and of its substrings for `in`: `inject_lora(model, "q", ...)` '
            'works by accident, and "up" would hit layers called `u` or `p`. Refuse it.'
        ),
        caught_by="test_what_cannot_be_adapted_is_refused",
        swap=(
            (
                "    if isinstance(targets, str):\n"
                '        raise TypeError("targets must be a collection of names, not one string")\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="no-match-unnoticed",
        title="no error when nothing matches",
        explanation=(
            "With a misspelt target your function adapts nothing, freezes the whole model and returns an empty list. "
            "Training then runs and learns nothing, which is found out days later."
        ),
        caught_by="test_what_cannot_be_adapted_is_refused",
        swap=((NOTHING, ""),),
    ),
    WrongAnswer(
        id="frozen-before-refusing",
        title="the model frozen before it is known whether anything matches",
        explanation=(
            "The error comes, but the caller's model has been changed: nothing in it requires a gradient any more. "
            "Look first, change afterwards."
        ),
        caught_by="test_what_cannot_be_adapted_is_refused",
        swap=((NOTHING, "    model.requires_grad_(False)\n" + NOTHING),),
    ),
]

alternatives = [
    Alternative(
        id="recursion-and-kept-weight",
        title="recursion with a memo; the base's weight kept while merged",
        code="""
class LoRALinear(nn.Module):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__()
        if not isinstance(base, nn.Linear):
            raise TypeError(base)
        out_features, in_features = base.weight.shape
        if r < 1 or r > in_features or r > out_features or not alpha > 0 or dropout < 0 or dropout >= 1:
            raise ValueError((r, alpha, dropout))
        self.r, self.alpha, self.p = r, alpha, dropout
        self.lora_B = nn.Parameter(torch.zeros(out_features, r).to(base.weight))
        a = torch.empty(r, in_features)
        nn.init.kaiming_uniform_(a)
        self.lora_A = nn.Parameter(a.to(base.weight))
        self.base = base
        for parameter in base.parameters():
            parameter.requires_grad = False
        self._original = None
        if not base.training:
            self.eval()

    @property
    def merged(self):
        return self._original is not None

    def delta_weight(self):
        return torch.einsum("or,ri->oi", self.lora_B, self.lora_A) * (self.alpha / self.r)

    def forward(self, x):
        y = self.base(x)
        if self._original is None:
            x = F.dropout(x, self.p, self.training)
            y = y + (x @ self.lora_A.T @ self.lora_B.T) * self.alpha / self.r
        return y

    @torch.no_grad()
    def merge(self):
        if self._original is None:
            self._original = self.base.weight.clone()
            self.base.weight.add_(self.delta_weight())

    @torch.no_grad()
    def unmerge(self):
        if self._original is not None:
            self.base.weight.copy_(self._original)
            self._original = None


def inject_lora(model, targets, r, alpha, dropout=0.0):
    if type(targets) is str:
        raise TypeError("targets")
    wanted, made, names = set(targets), {}, []

    def matches(module, prefix):
        for child_name, child in module._modules.items():
            if child is None:
                continue
            if isinstance(child, nn.Linear) and child_name in wanted:
                yield module, child_name, child, prefix + child_name
            else:
                yield from matches(child, prefix + child_name + ".")

    todo = list(matches(model, ""))
    if len(todo) == 0:
        raise ValueError("nothing matches")
    for parent, child_name, child, full_name in todo:
        if id(child) not in made:
            made[id(child)] = LoRALinear(child, r, alpha, dropout)
        parent._modules[child_name] = made[id(child)]
        names.append(full_name)
    model.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, LoRALinear):
            module.lora_A.requires_grad_()
            module.lora_B.requires_grad_()
    names.sort()
    return names


def lora_state(model):
    state = {}
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear):
            prefix = name + "." if name else ""
            state[prefix + "lora_A"] = module.lora_A.detach().clone()
            state[prefix + "lora_B"] = module.lora_B.detach().clone()
    return state
""",
    ),
    Alternative(
        id="one-matrix",
        title="one matrix in forward where nothing is dropped; a new parameter for the merged weight",
        code="""
class LoRALinear(nn.Module):
    def __init__(self, base, r, alpha, dropout=0.0):
        if not isinstance(base, nn.Linear):
            raise TypeError("not a linear layer")
        if r <= 0 or r > min(base.weight.shape) or alpha <= 0 or not 0.0 <= dropout < 1.0:
            raise ValueError("out of range")
        super().__init__()
        self.base = base
        self.base.weight.requires_grad = False
        if self.base.bias is not None:
            self.base.bias.requires_grad = False
        like = {"dtype": base.weight.dtype, "device": base.weight.device}
        self.lora_A = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(r, base.in_features, **like)))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, r, **like))
        self.r, self.alpha, self.dropout_rate, self.merged = r, alpha, dropout, False
        self.training = base.training

    def delta_weight(self):
        return self.alpha / self.r * (self.lora_B @ self.lora_A)

    def forward(self, x):
        if self.merged:
            return F.linear(x, self.base.weight, self.base.bias)
        if not self.training or self.dropout_rate == 0:
            return F.linear(x, self.base.weight + self.delta_weight(), self.base.bias)
        keep = 1 - self.dropout_rate
        thinned = x * torch.bernoulli(torch.full_like(x, keep)) / keep
        return self.base(x) + F.linear(thinned, self.delta_weight())

    def _add(self, sign):
        weight = self.base.weight.detach() + sign * self.delta_weight().detach()
        self.base.weight = nn.Parameter(weight, requires_grad=False)

    def merge(self):
        if not self.merged:
            self._add(1)
        self.merged = True

    def unmerge(self):
        if self.merged:
            self._add(-1)
        self.merged = False
""",
    ),
    Alternative(
        id="walk-over-modules",
        title="a walk over all modules and their children",
        code="""
def inject_lora(model, targets, r, alpha, dropout=0.0):
    if isinstance(targets, (str, bytes)):
        raise TypeError("a collection of names, please")
    pairs = []
    for name, module in list(model.named_modules(remove_duplicate=False)):
        parts = name.split(".")
        if type(module) is nn.Linear and parts[-1] in list(targets) and module is not model:
            pairs.append((parts, module))
    if pairs == []:
        raise ValueError(targets)
    for parameter in model.parameters():
        parameter.requires_grad = False
    wrappers = []
    for parts, module in pairs:
        wrapper = next((w for w in wrappers if w.base is module), None)
        if wrapper is None:
            wrapper = LoRALinear(module, r=r, alpha=alpha, dropout=dropout)
            wrappers.append(wrapper)
        parent = model
        for part in parts[:-1]:
            parent = getattr(parent, part)
        setattr(parent, parts[-1], wrapper)
    for module in filter(lambda module: isinstance(module, LoRALinear), model.modules()):
        module.lora_A.requires_grad = module.lora_B.requires_grad = True
    return sorted(".".join(parts) for parts, _ in pairs)


def lora_state(model):
    import copy

    factors = {id(p) for m in model.modules() if isinstance(m, LoRALinear) for p in (m.lora_A, m.lora_B)}
    named = dict(model.named_parameters(remove_duplicate=False))
    return {name: copy.deepcopy(p.data) for name, p in named.items() if id(p) in factors}
""",
    ),
]

equivalent_mutants = {"math.sqrt(5)": "the lesson allows any `a` of kaiming_uniform_; no result depends on it"}
