"""Wrong and differently written answers to transfer/lora.

Every "must reject" line of B-Q3a and E-X13 has an entry. Lines that both share appear once: both factors zero or random
(both-zero, both-random), the scaling (scaling-inverted, scaling-missing), base left trainable (base-trainable), double
merge (merges-twice), dropout on the base path (dropout-on-the-base).
"""

from grader.catalogue import Alternative, WrongAnswer

START = "        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))\n"
FREEZE = (
    "    model.requires_grad_(False)\n"
    "    for module in model.modules():\n"
    "        if isinstance(module, LoRALinear):\n"
    "            module.lora_A.requires_grad_(True)\n"
    "            module.lora_B.requires_grad_(True)\n"
)
FREEZE_BY_NAME = (
    "    for name, parameter in model.named_parameters():\n"
    "        parameter.requires_grad_({})\n"
)  # fmt: skip
MATCH = 'if isinstance(module, nn.Linear) and name.rpartition(".")[2] in targets'
NOTHING = (
    "    if not found:\n"
    "        raise ValueError(f\"no nn.Linear inside the model is called {' or '.join(sorted(targets))}\")\n"
)
IS_FACTOR = "for name, tensor in model.state_dict().items() if name in factors}"
INJECTION = "test_injection_replaces_what_was_asked_for_and_freezes_the_rest"
NEW_LAYER = "test_a_new_layer_changes_nothing_and_can_learn"
DROPOUT = "test_dropout_acts_on_the_way_into_the_correction_only"
STATE = "test_training_moves_the_factors_only_and_lora_state_keeps_them"
REFUSED = "test_what_cannot_be_adapted_is_refused"

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
        swap=((FREEZE, "    model.requires_grad_(True)\n"),),
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
        id="dropout-without-rescaling",
        title="inputs dropped, but the kept ones not divided by 1 - dropout",
        explanation=(
            "In training mode your correction is on average smaller than in evaluation mode. Ordinary inverted dropout "
            "makes up for what it drops."
        ),
        caught_by=DROPOUT,
        swap=(
            (
                "F.linear(self.dropout(x), self.lora_A)",
                "F.linear(x * (torch.rand_like(x) >= self.dropout.p) if self.training else x, self.lora_A)",
            ),
        ),
    ),
    WrongAnswer(
        id="merged-by-eval",  # as in the authors' own library
        title="changing the mode merges or unmerges",
        explanation=(
            "The library of LoRA's authors merges in `eval()` and unmerges in `train()`. Here only `merge` and "
            "`unmerge` change the weight of the base; the mode only decides about dropout."
        ),
        caught_by=DROPOUT,
        swap=(
            (
                "    def forward(self, x: Tensor) -> Tensor:\n",
                "    def train(self, mode=True):\n"
                "        super().train(mode)\n"
                "        if mode:\n"
                "            self.unmerge()\n"
                "        else:\n"
                "            self.merge()\n"
                "        return self\n"
                "\n"
                "    def forward(self, x: Tensor) -> Tensor:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="dropout-at-inference",
        title="dropout active in evaluation mode",
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
        title="A not drawn evenly, and with a spread that ignores the width of the input",
        explanation=(
            "The numbers in A do not get smaller for wider inputs, as with a normal distribution of fixed spread, so the "
            "first steps of B make a correction whose size depends on the width. The table names the initialisation to "
            "use."
        ),
        caught_by=NEW_LAYER,
        swap=((START, "        nn.init.normal_(self.lora_A)\n"),),
    ),
    WrongAnswer(
        id="normal-by-width",
        title="A not drawn evenly, though with a spread that follows the width of the input",
        explanation=(
            "The numbers in A get smaller for wider inputs, as they should, but they are not spread evenly over an "
            "interval: the table names the uniform kind of this initialisation, not the normal one."
        ),
        caught_by=NEW_LAYER,
        swap=((START, "        nn.init.kaiming_normal_(self.lora_A)\n"),),
    ),
    WrongAnswer(
        id="spread-not-by-width",
        title="A drawn evenly, but with a spread that does not follow the width of the input",
        explanation=(
            "With inputs four times as wide, the numbers in A should be half as large. Whose size does your call look "
            "at, that of the input or that of the output? Its defaults are right."
        ),
        caught_by=NEW_LAYER,
        swap=((START, '        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5), mode="fan_out")\n'),),
    ),
    WrongAnswer(
        id="zero-and-random-exchanged",
        title="A zero and B random at the start",
        explanation=(
            "The model starts unchanged and can learn, but the table asks for it the other way round: B zero and A "
            "random."
        ),
        caught_by=NEW_LAYER,
        swap=((START, "        nn.init.zeros_(self.lora_A)\n        nn.init.kaiming_uniform_(self.lora_B)\n"),),
    ),
    WrongAnswer(
        id="bias-left-trainable",
        title="the bias of the base still trainable",
        explanation=(
            "Your layer freezes the weight of its base, but the base may have a bias too. All of its parameters are to "
            "be frozen."
        ),
        caught_by=NEW_LAYER,
        swap=(
            (
                "        self.base = base.requires_grad_(False)\n",
                "        self.base = base\n        self.base.weight.requires_grad_(False)\n",
            ),
        ),
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
        id="merged-unscaled",
        title="B A merged without the scaling",
        explanation=(
            "`forward` and `delta_weight` are scaled, but what `merge` adds to the weight is not, so the output changes "
            "when you merge."
        ),
        caught_by="test_merging_and_unmerging",
        swap=(
            ("self.base.weight += self.delta_weight()", "self.base.weight += self.lora_B @ self.lora_A"),
            ("self.base.weight -= self.delta_weight()", "self.base.weight -= self.lora_B @ self.lora_A"),
        ),
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
        swap=(
            (
                "for name, module in model.named_modules(remove_duplicate=False)\n        if isinstance(module, nn.Linear)",
                "for name, module in model.named_children()\n        if isinstance(module, nn.Linear)",
            ),
        ),
    ),
    WrongAnswer(
        id="lora-in-any-name",
        title="everything with 'lora' in its name taken for a factor",
        explanation=(
            "Names such as `exploration` contain the letters too, and such a layer goes on training. Look at the module "
            "that a parameter belongs to."
        ),
        caught_by="test_injection_replaces_what_was_asked_for_and_freezes_the_rest",
        swap=((FREEZE, FREEZE_BY_NAME.format('"lora" in name')),),
    ),
    WrongAnswer(
        id="factors-known-by-prefix",
        title="everything with 'lora_' in its name taken for a factor",
        explanation=(
            "A module of somebody else's may own a parameter such as `lora_gate`, and yours then trains it. Whether a "
            "parameter is a factor depends on the module that it belongs to."
        ),
        caught_by=INJECTION,
        swap=((FREEZE, FREEZE_BY_NAME.format('"lora_" in name')),),
    ),
    WrongAnswer(
        id="factors-known-by-name",
        title="every parameter called lora_A or lora_B taken for a factor",
        explanation=(
            "A module that is no LoRA layer may own a parameter of that name too. Ask what the module is that a "
            "parameter belongs to, not what the parameter is called."
        ),
        caught_by=INJECTION,
        swap=((FREEZE, FREEZE_BY_NAME.format('name.rpartition(".")[2] in ("lora_A", "lora_B")')),),
    ),
    WrongAnswer(
        id="dropout-not-handed-on",
        title="the dropout not handed on to the injected layers",
        explanation=(
            "`inject_lora` takes a `dropout`, but the layers that it makes drop nothing. Compare the arguments that you "
            "receive with those that you pass on."
        ),
        caught_by=INJECTION,
        swap=(("LoRALinear(layer, r, alpha, dropout) for", "LoRALinear(layer, r, alpha) for"),),
    ),
    WrongAnswer(
        id="subclasses-left-out",
        title="subclasses of nn.Linear left out",
        explanation=(
            "A model may hold layers of a class derived from `nn.Linear`. They are linear layers as well, and yours "
            "passes over them: compare with the class in a way that knows about inheritance."
        ),
        caught_by=INJECTION,
        swap=((MATCH, MATCH.replace("isinstance(module, nn.Linear)", "type(module) is nn.Linear")),),
    ),
    WrongAnswer(
        id="further-names-left-out",
        title="of a shared layer only one name found",
        explanation=(
            "A layer that is used in two places has two names. By default, `named_modules` shows every module once, so "
            "one of the places keeps the plain layer, and the two no longer agree."
        ),
        caught_by=INJECTION,
        swap=(
            (
                "for name, module in model.named_modules(remove_duplicate=False)\n        if isinstance(module, nn.Linear)",
                "for name, module in model.named_modules()\n        if isinstance(module, nn.Linear)",
            ),
        ),
    ),
    WrongAnswer(
        id="siblings-left-out",
        title="of two names in one parent only one found",
        explanation=(
            "One layer may be registered twice in the same module, as `q` and as `k`. `named_children` shows each child "
            "once, so the second name still leads to the plain layer."
        ),
        caught_by=INJECTION,
        swap=(
            (
                "    found = {\n        name: module\n        for name, module in model.named_modules(remove_duplicate=False)\n",
                "    def walk(module, prefix):\n"
                "        for name, child in module.named_children():\n"
                "            yield prefix + name, child\n"
                '            yield from walk(child, prefix + name + ".")\n'
                "\n"
                '    found = {\n        name: module\n        for name, module in walk(model, "")\n',
            ),
        ),
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
                FREEZE,
                "    model.requires_grad_(False)\n"
                "    for layer in adapted.values():\n"
                "        layer.lora_A.requires_grad_(True)\n"
                "        layer.lora_B.requires_grad_(True)\n",
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
        swap=(("name: tensor.clone() for", "name: tensor for"),),
    ),
    WrongAnswer(
        id="everything-saved",
        title="the whole state saved",
        explanation=(
            "Your state holds the base as well, gigabytes for a large model. The adapter is what was trained, and the "
            "base is on everybody's disk already."
        ),
        caught_by="test_training_moves_the_factors_only_and_lora_state_keeps_them",
        swap=((IS_FACTOR, "for name, tensor in model.state_dict().items()}"),),
    ),
    WrongAnswer(
        id="saved-without-path",
        title="the state saved under the factors' own names",
        explanation=(
            "All factors of a model are called `lora_A` and `lora_B`, so all but one pair overwrite each other. The "
            "name in `model.state_dict()` says which layer they belong to."
        ),
        caught_by="test_training_moves_the_factors_only_and_lora_state_keeps_them",
        swap=(("name: tensor.clone() for", 'name.rpartition(".")[2]: tensor.clone() for'),),
    ),
    WrongAnswer(
        id="saved-by-name",
        title="what is saved chosen by the parameter's name",
        explanation=(
            "A module that is no LoRA layer may own a parameter whose name looks like that of a factor, and it lands in "
            "your state. Ask what the module is that a parameter belongs to."
        ),
        caught_by=STATE,
        swap=(("if name in factors}", 'if name.endswith((".lora_A", ".lora_B"))}'),),
    ),
    WrongAnswer(
        id="saved-under-one-name",
        title="a shared layer saved under one of its names only",
        explanation=(
            "`model.state_dict()` lists a layer that is used in two places twice; yours has it once, so that loading "
            "reports missing entries. By default, `named_modules` shows every module once."
        ),
        caught_by=STATE,
        swap=(
            (
                "model.named_modules(remove_duplicate=False) if isinstance(module, LoRALinear)",
                "model.named_modules() if isinstance(module, LoRALinear)",
            ),
        ),
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
        caught_by=REFUSED,
        swap=(("if not 0 < alpha < math.inf:", "if math.isnan(alpha):"),),
    ),
    WrongAnswer(
        id="not-a-number-accepted",
        title="NaN or infinity accepted as alpha",
        explanation=(
            "Every comparison with NaN is false, so a test for what is wrong lets it through. Test for what is right, "
            "and raise unless it holds; infinity is to be refused as well."
        ),
        caught_by=REFUSED,
        swap=(("if not 0 < alpha < math.inf:", "if alpha <= 0:"),),
    ),
    WrongAnswer(
        id="wrapped-again",
        title="the base inside a LoRA layer wrapped again",
        explanation=(
            'A later call with the target "base" finds the linear layer inside your own `LoRALinear` and wraps it once '
            "more, so that merging no longer works. What lies inside a LoRA layer has been adapted already."
        ),
        caught_by=REFUSED,
        swap=((MATCH + " and not in_lora(name)", MATCH),),
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
        if r < 1 or r > in_features or r > out_features or not 0 < alpha < float("inf") or not 0 <= dropout < 1:
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
            elif not isinstance(child, LoRALinear):
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
    for name, module in model.named_modules(remove_duplicate=False):
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
        if r <= 0 or r > min(base.weight.shape) or not (math.isfinite(alpha) and alpha > 0 and 0.0 <= dropout < 1.0):
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
        if issubclass(type(module), nn.Linear) and parts[-1] in list(targets) and module is not model:
            if not any(isinstance(model.get_submodule(".".join(parts[:end])), LoRALinear) for end in range(len(parts))):
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
