"""Catalogue of capstone/low_rank_adapters.

Not catalogued: the stride taken in the 1 x 1 convolution instead of the one with A, which is the same function.
"""

from grader.catalogue import Alternative, WrongAnswer

NEW = "test_a_new_adapter_changes_nothing_and_can_learn"
ONE_WEIGHT = "test_both_ways_together_are_one_weight"
DROPOUT = "test_dropout_acts_on_the_way_into_A_only"
MERGE = "test_merging_is_exact_and_unmerging_brings_back_every_bit"
REFUSED = "test_what_cannot_be_adapted_is_refused"
INJECT = "test_adapters_go_into_both_towers_and_nothing_else_is_trained"
SAVE = "test_the_checkpoint_holds_the_adapter_and_nothing_else"
LOAD = "test_an_adapter_is_loaded_as_a_whole_or_not_at_all"

DRAW = "        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))\n"
BASE = "self.base = base.requires_grad_(False)"
SUM = "return self.base(x) + self.scaling * self.low_rank(self.dropout(x))"
SCALING = "self.scaling = alpha / rank"
CONVOLVE = "narrow = F.conv2d(x, self.lora_A, None, stride, padding, dilation)  # (batch, rank, h', w')"
DELTA = "delta = self.scaling * self.lora_B.flatten(1) @ self.lora_A.flatten(1)  # (out, in * kh * kw)"
MERGE_IF = "        if not self.merged:\n            self.original = self.base.weight.detach().clone()\n"
ADD = "                self.base.weight += self.delta_weight()\n"
TAKE_OFF = "                self.base.weight.copy_(self.original)\n"
KEPT = 'self.register_buffer("original", None, persistent=False)'
IMAGE_RULE = '    if name.startswith("image_tower."):\n        return isinstance(layer, nn.Conv2d)\n'
TEXT_RULE = 'return name.startswith("text_tower.") and isinstance(layer, nn.Linear) and own_name in ("query", "value")'
CHOICE = "if type(layer) in kinds and name and id(layer) not in inside_adapters and wanted(name, layer)"
EMPTY = '    if not chosen:\n        raise ValueError("nothing in the model is wanted")\n'
FREEZE = "    model.requires_grad_(False)\n    for _, adapter in adapters_of(model):\n"
STATE = "return {name: tensor.clone() for name, tensor in model.state_dict().items() if name in names}"
NAMES_CHECK = "    if missing or unknown:\n"
SHAPES = """    for name, factor in own.items():
        if state[name].shape != factor.shape:
            raise ValueError(f"{name} has shape {tuple(state[name].shape)}, not {tuple(factor.shape)}")
"""
COPY = "    model.load_state_dict(dict(state), strict=False)  # copies into the parameters that are there\n"

wrong_answers = [
    WrongAnswer(
        id="both-zero",
        title="both factors start at 0",
        explanation=(
            "The output is that of the base, and it will stay so: the gradient of each factor contains the other one, "
            "and both are 0. Nothing ever moves, and the loss curve is a straight line."
        ),
        caught_by=NEW,
        swap=((DRAW, "        nn.init.zeros_(self.lora_A)\n"),),
    ),
    WrongAnswer(
        id="both-random",
        title="both factors start at random",
        explanation=(
            "The product of two random factors is not 0: injecting the adapters changes the pretrained model at once, "
            "and the first epochs repair the damage. One of the two has to be 0."
        ),
        caught_by=NEW,
        swap=((DRAW, DRAW + "        nn.init.kaiming_uniform_(self.lora_B, a=math.sqrt(5))\n"),),
    ),
    WrongAnswer(
        id="zero-and-random-exchanged",
        title="A starts at 0 and B at random",
        explanation=(
            "The output is unchanged and something can learn, but the roles are those of the other convention: the "
            "table says which factor is 0 at the start. A file with your fresh factors would not do nothing elsewhere."
        ),
        caught_by=NEW,
        swap=(
            (
                DRAW,
                "        nn.init.zeros_(self.lora_A)\n        nn.init.kaiming_uniform_(self.lora_B, a=math.sqrt(5))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="base-trainable",
        title="the base still trainable",
        explanation=(
            "The base's own parameters still require a gradient, so that an optimiser trains the whole layer and not "
            "the few numbers beside it."
        ),
        caught_by=NEW,
        swap=((BASE, "self.base = base"),),
    ),
    WrongAnswer(
        id="bias-forgotten",
        title="the bias of the base lost",
        explanation=(
            "Only the weight made it into your layer. Every output channel is off by a constant, which the adapter "
            "cannot make up for."
        ),
        caught_by=NEW,
        swap=((BASE, "base.bias = None\n        self.base = base.requires_grad_(False)"),),
    ),
    WrongAnswer(
        id="base-copied",
        title="a copy of the given layer as base",
        explanation=(
            "Your base computes the same, but it is another object: whoever holds the layer, or its parameters in a "
            "shared place, holds the old one from now on."
        ),
        caught_by=NEW,
        swap=((BASE, "import copy\n        self.base = copy.deepcopy(base).requires_grad_(False)"),),
    ),
    WrongAnswer(
        id="factors-in-float32",
        title="factors in float32 whatever the base is in",
        explanation=(
            "Around a base in another precision your factors are float32, and the two ways cannot be added, or the "
            "output changes its dtype. Make the factors like the weight they correct."
        ),
        caught_by=NEW,
        swap=(
            ("base.weight.new_empty(rank, *window)", "torch.empty(rank, *window)"),
            ("base.weight.new_zeros(outputs, rank, *ones)", "torch.zeros(outputs, rank, *ones)"),
            (
                'low_rank(self, x: Tensor) -> Tensor:\n        """Return B (A x), from (..., in) to (..., out), '
                'unscaled."""\n',
                'low_rank(self, x: Tensor) -> Tensor:\n        """Return B (A x), from (..., in) to (..., out), '
                'unscaled."""\n        x = x.float()\n',
            ),
        ),
    ),
    WrongAnswer(
        id="mode-of-the-base-ignored",
        title="a new adapter always in training mode",
        explanation=(
            "A model that was loaded for inference gets adapters whose dropout is at work, since every new module "
            "starts in training mode. Take over what the base says."
        ),
        caught_by=NEW,
        swap=(("        self.train(base.training)\n", ""),),
    ),
    WrongAnswer(
        id="scaling-missing",
        title="no scaling of the correction",
        explanation=(
            "B (A x) is added as it is. Its size then depends on the rank, and a new rank needs a new learning rate. "
            "What do alpha and rank make of it?"
        ),
        caught_by=ONE_WEIGHT,
        swap=((SCALING, "self.scaling = 1.0"),),
    ),
    WrongAnswer(
        id="scaling-multiplied",
        title="the correction scaled by alpha times rank",
        explanation=(
            "With a larger rank more terms are added up. Your scaling grows as well, where it should make up for them."
        ),
        caught_by=ONE_WEIGHT,
        swap=((SCALING, "self.scaling = alpha * rank"),),
    ),
    WrongAnswer(
        id="scaling-inverted",
        title="the correction scaled by rank / alpha",
        explanation="A larger alpha should make the correction larger. Look at which of the two stands above.",
        caught_by=ONE_WEIGHT,
        swap=((SCALING, "self.scaling = rank / alpha"),),
    ),
    WrongAnswer(
        id="no-stride",
        title="the low-rank convolution without the stride of its base",
        explanation=(
            "Where the base skips places your correction visits all of them, so that the two maps do not fit. It has "
            "to go over the image as the base does."
        ),
        caught_by=ONE_WEIGHT,
        swap=((CONVOLVE, CONVOLVE.replace("None, stride,", "None, 1,")),),
    ),
    WrongAnswer(
        id="no-padding",
        title="the low-rank convolution without the padding of its base",
        explanation=(
            "The base sees a rim of zeros and your correction does not, so that the two maps do not fit. It has to go "
            "over the image as the base does."
        ),
        caught_by=ONE_WEIGHT,
        swap=((CONVOLVE, CONVOLVE.replace("stride, padding,", "stride, 0,")),),
    ),
    WrongAnswer(
        id="no-dilation",
        title="the low-rank convolution without the dilation of its base",
        explanation=(
            "The base leaves gaps between the places of its kernel and your correction does not. Stride and padding "
            "are not all that a convolution has."
        ),
        caught_by=ONE_WEIGHT,
        swap=((CONVOLVE, CONVOLVE.replace("padding, dilation", "padding")),),
    ),
    WrongAnswer(
        id="bias-twice",
        title="the bias of the base added a second time by the correction",
        explanation=(
            "The way through A and B ends with the bias of the base, and the base has added it already. As long as B is "
            "0 and the bias too, nobody sees it."
        ),
        caught_by=ONE_WEIGHT,
        swap=(
            (
                "return F.conv2d(narrow, self.lora_B)  # (batch, out, h', w')",
                "bias = self.base.bias if self.lora_B.any() else None\n        return F.conv2d(narrow, self.lora_B, bias)",
            ),
        ),
    ),
    WrongAnswer(
        id="kernel-reshaped",
        title="the factors multiplied in an order that mixes channels and places",
        explanation=(
            "The shape of your delta is right, the numbers stand in the wrong places: a reshape cannot turn (in · kh · "
            "kw, out) into (out, in, kh, kw). Which index has to come first?"
        ),
        caught_by=ONE_WEIGHT,
        swap=(
            (DELTA, "delta = self.scaling * self.lora_A.flatten(1).T @ self.lora_B.flatten(1).T"),
            ("delta.view_as(self.base.weight)", "delta.reshape(self.base.weight.shape)"),
        ),
    ),
    WrongAnswer(
        id="delta-unscaled",
        title="delta_weight without the scaling",
        explanation=(
            "`forward` scales the correction and `delta_weight` does not, so that merging changes the outputs of a "
            "trained model."
        ),
        caught_by=ONE_WEIGHT,
        swap=((DELTA, DELTA.replace("self.scaling * ", "")),),
    ),
    WrongAnswer(
        id="dropout-at-inference",
        title="dropout in inference mode as well",
        explanation=(
            "Your model answers differently each time, also while it is evaluated: the function behind dropout does "
            "not know the mode unless it is told."
        ),
        caught_by=DROPOUT,
        swap=((SUM, SUM.replace("self.dropout(x)", "F.dropout(x, self.dropout.p)")),),
    ),
    WrongAnswer(
        id="dropout-on-the-base",
        title="dropout on the way through the base too",
        explanation=(
            "The pretrained way gets noisy inputs that it was not trained with. Dropout belongs to the correction alone."
        ),
        caught_by=DROPOUT,
        swap=((SUM, "x = self.dropout(x)\n        return self.base(x) + self.scaling * self.low_rank(x)"),),
    ),
    WrongAnswer(
        id="dropout-behind-A",
        title="dropout on the correction instead of on its input",
        explanation=(
            "You drop numbers of the result. The statement drops numbers of x on their way into A: then all outputs "
            "lose what that one number said."
        ),
        caught_by=DROPOUT,
        swap=((SUM, "return self.base(x) + self.dropout(self.scaling * self.low_rank(x))"),),
    ),
    WrongAnswer(
        id="dropout-by-channel",
        title="whole channels of an image dropped together",
        explanation=(
            "For images you drop a channel in all places at once. That is a dropout of its own, with a name of its own; "
            "asked for is the ordinary one, which decides about each number by itself."
        ),
        caught_by=DROPOUT,
        swap=(
            (
                "self.dropout = nn.Dropout(dropout)",
                "self.dropout = nn.Dropout2d(dropout) if base.weight.dim() == 4 else nn.Dropout(dropout)",
            ),
        ),
    ),
    WrongAnswer(
        id="dropout-left-out",
        title="no dropout at all",
        explanation="The argument `dropout` is taken and never used: training mode and inference mode do the same.",
        caught_by=DROPOUT,
        swap=((SUM, "return self.base(x) + self.scaling * self.low_rank(x)"),),
    ),
    WrongAnswer(
        id="merges-twice",
        title="a second merge adds the correction again",
        explanation=(
            "A server that merges on every reload drifts further with each one. Who remembers that the correction is "
            "in there already?"
        ),
        caught_by=MERGE,
        swap=((MERGE_IF, "        if True:\n            self.original = self.base.weight.detach().clone()\n"),),
    ),
    WrongAnswer(
        id="added-when-merged",
        title="the correction added beside a base that holds it already",
        explanation=(
            "After `merge()` your layer still adds the way through A and B: the correction counts twice. What is left "
            "to do for a merged layer?"
        ),
        caught_by=MERGE,
        swap=(("        if self.merged:\n            return self.base(x)\n", ""),),
    ),
    WrongAnswer(
        id="unmerged-by-subtraction",
        title="unmerging by subtraction",
        explanation=(
            "In floating point (w + d) − d is rarely w: each merge and unmerge leaves a little rounding in the "
            "pretrained weights, and more if the factors have moved in between. Every bit comes back only from a copy."
        ),
        caught_by=MERGE,
        swap=((TAKE_OFF, "                self.base.weight -= self.delta_weight()\n"),),
    ),
    WrongAnswer(
        id="unmerged-by-mode",
        title="train() takes a merged correction out again",
        explanation=(
            "In some libraries the mode decides about merging. Here only the two methods do: weights that move by "
            "themselves surprise whoever evaluates in the middle of training."
        ),
        caught_by=MERGE,
        swap=(
            (
                "    def merge(self) -> None:\n",
                "    def train(self, mode=True):\n"
                "        super().train(mode)\n"
                "        if 'original' in self._buffers:\n"
                "            self.unmerge() if mode else None\n"
                "        return self\n\n"
                "    def merge(self) -> None:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="kept-weight-in-the-state",
        title="the kept weight shows up in state_dict()",
        explanation=(
            "While merged, your layer has one more entry in its `state_dict()`. A checkpoint written then cannot be "
            "read into a fresh model, and it is twice as large. Buffers can be told not to be part of it."
        ),
        caught_by=MERGE,
        swap=((KEPT, 'self.register_buffer("original", None)'),),
    ),
    WrongAnswer(
        id="weight-replaced",
        title="merging puts another parameter in the place of the weight",
        explanation=(
            "The numbers are right, the object is new: whoever holds the old parameter (an optimiser, an average, a "
            "frozen list) no longer holds the weight of the layer."
        ),
        caught_by=MERGE,
        swap=(
            (ADD, "                self.base.weight = nn.Parameter(self.base.weight + self.delta_weight(), False)\n"),
        ),
    ),
    WrongAnswer(
        id="factors-emptied-by-merge",
        title="merging sets the factors to 0",
        explanation=(
            "The sum is right, and the adapter is gone: it can neither be saved nor go on training. Merging changes the "
            "weight of the base and nothing else."
        ),
        caught_by=MERGE,
        swap=((ADD, ADD + "                self.lora_B.zero_()\n"),),
    ),
    WrongAnswer(
        id="groups-accepted",
        title="grouped convolutions accepted",
        explanation=(
            "A kernel of a grouped convolution sees only its own group of channels, so that A has the wrong number of "
            "inputs: it fails at the first image. Refuse it while the model is being built."
        ),
        caught_by=REFUSED,
        swap=(("if base.groups != 1 or base.padding_mode", "if base.padding_mode"),),
    ),
    WrongAnswer(
        id="padding-mode-accepted",
        title="convolutions with another padding than zeros accepted",
        explanation=(
            "The base mirrors the image at its rim or wraps it around, and your correction pads with zeros: the two "
            "are not one convolution any more, and merging changes the outputs at the rim."
        ),
        caught_by=REFUSED,
        swap=(('if base.groups != 1 or base.padding_mode != "zeros":', "if base.groups != 1:"),),
    ),
    WrongAnswer(
        id="rank-unchecked",
        title="ranks below 1 accepted",
        explanation="With a rank of 0 the factors are empty, and the adapter is silently none. Say so instead.",
        caught_by=REFUSED,
        swap=(("if rank < 1 or not alpha > 0", "rank = max(rank, 1)\n        if not alpha > 0"),),
    ),
    WrongAnswer(
        id="large-rank-refused",
        title="ranks refused that are larger than the layer",
        explanation=(
            "*Low-rank adaptation* asked for that limit. Here one rank serves a whole model, and the first convolution, "
            "with its three input channels, should not stop it."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "        ones = [1]",
                '        if rank > min(outputs, math.prod(window)):\n            raise ValueError("rank")\n        ones = [1]',
            ),
        ),
    ),
    WrongAnswer(
        id="alpha-unchecked",
        title="an alpha of 0 or below accepted",
        explanation=(
            "With alpha = 0 the adapter never does anything, and with a negative one it is hard to say what somebody "
            "meant. Both are mistakes of the caller."
        ),
        caught_by=REFUSED,
        swap=(("rank < 1 or not alpha > 0 or", "rank < 1 or"),),
    ),
    WrongAnswer(
        id="any-base-accepted",
        title="bases of any kind accepted",
        explanation=(
            "An embedding or a one-dimensional convolution has a weight too, and your layer takes it. It fails later, "
            "far from the mistake, or computes something nobody asked for."
        ),
        caught_by=REFUSED,
        swap=(
            ("if not isinstance(base, nn.Linear):", "if not isinstance(base, nn.Module):"),
            ("if not isinstance(base, nn.Conv2d):", "if not isinstance(base, nn.Module):"),
            (
                'if base.groups != 1 or base.padding_mode != "zeros":',
                'if getattr(base, "groups", 1) != 1 or getattr(base, "padding_mode", "zeros") != "zeros":',
            ),
            (
                'f"groups {base.groups} with padding_mode {base.padding_mode!r} cannot be adapted"',
                '"cannot be adapted"',
            ),
        ),
    ),
    WrongAnswer(
        id="only-the-image-tower",
        title="adapters in one tower only",
        explanation=(
            "The rule never says yes to a layer of the text tower, so that names keep their old places and drawings "
            "have to do all the moving. Both towers were asked for."
        ),
        caught_by=INJECT,
        swap=((TEXT_RULE, "return False"),),
    ),
    WrongAnswer(
        id="name-by-substring",
        title="layers chosen by a part of their name",
        explanation=(
            '"query" is also in `query_norm`, and "value" in `value.output`. The own name is what stands behind the '
            "last dot, and it has to match as a whole."
        ),
        caught_by=INJECT,
        swap=(
            (TEXT_RULE, TEXT_RULE.replace('own_name in ("query", "value")', '("query" in name or "value" in name)')),
        ),
    ),
    WrongAnswer(
        id="tower-without-dot",
        title="towers recognised by the beginning of the name alone",
        explanation=(
            "`image_tower_of_last_year.0` begins with image_tower as well. To be inside something, a name has to go on "
            "with a dot."
        ),
        caught_by=INJECT,
        swap=(
            ('name.startswith("image_tower.")', 'name.startswith("image_tower")'),
            ('name.startswith("text_tower.")', 'name.startswith("text_tower")'),
        ),
    ),
    WrongAnswer(
        id="wrapped-twice",
        title="the base inside an adapter wrapped again",
        explanation=(
            "A second call with a rule that says yes to everything finds the layer inside your own adapter and wraps it "
            "once more. What lies inside an adapter has been adapted."
        ),
        caught_by=INJECT,
        swap=((CHOICE, CHOICE.replace(" and id(layer) not in inside_adapters", "")),),
    ),
    WrongAnswer(
        id="everything-else-trainable",
        title="everything around the adapters still trainable",
        explanation=(
            "The adapted layers are frozen, and all others are trained with them: norms, embeddings, heads. That is "
            "nearly full tuning, with a checkpoint that leaves most of it out."
        ),
        caught_by=INJECT,
        swap=(("    model.requires_grad_(False)\n", ""),),
    ),
    WrongAnswer(
        id="heads-left-trainable",
        title="the heads and the temperature still trainable",
        explanation=(
            "You froze the two towers and not the model: projections and temperature go on learning, and the adapter's "
            "file does not hold them."
        ),
        caught_by=INJECT,
        swap=(
            (
                "    model.requires_grad_(False)\n",
                "    for name, parameter in model.named_parameters():\n"
                '        outside = name.startswith(("image_projection", "text_projection", "log_scale"))\n'
                "        parameter.requires_grad_(outside)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="earlier-factors-frozen",
        title="a second call freezes the adapters of the first",
        explanation=(
            "After two calls only the factors of the second are trained. All adapters of the model count, also those "
            "that were there before."
        ),
        caught_by=INJECT,
        swap=((FREEZE, FREEZE + "        if adapter.base not in chosen.values():\n            continue\n"),),
    ),
    WrongAnswer(
        id="first-level-only",
        title="only layers at the first levels of the model found",
        explanation=(
            "You look at the children of the two towers and not at what lies below them. Real towers have blocks in "
            "stages in stacks: go down to any depth."
        ),
        caught_by=INJECT,
        swap=((CHOICE, CHOICE + ' and name.count(".") < 2'),),
    ),
    WrongAnswer(
        id="arguments-not-handed-on",
        title="dropout not handed on to the layers",
        explanation="`inject` takes a dropout, and the layers it makes have none. Follow the argument through.",
        caught_by=INJECT,
        swap=(("(layer, rank, alpha, dropout))", "(layer, rank, alpha))"),),
    ),
    WrongAnswer(
        id="no-match-unnoticed",
        title="no error when nothing matches",
        explanation=(
            "With a misspelt rule your function adapts nothing, freezes the model and returns an empty list. The run "
            "that follows learns nothing, which shows hours later."
        ),
        caught_by=INJECT,
        swap=((EMPTY, ""),),
    ),
    WrongAnswer(
        id="frozen-before-refusing",
        title="the model frozen before it is known whether anything matches",
        explanation=(
            "The error comes, but the caller's model has been changed: nothing in it requires a gradient any more. Look "
            "first, change afterwards."
        ),
        caught_by=INJECT,
        swap=((EMPTY, "    model.requires_grad_(False)\n" + EMPTY),),
    ),
    WrongAnswer(
        id="put-into-training-mode",
        title="injection puts the model into training mode",
        explanation=(
            "After the call dropout and batch normalisation are at work in a tower that was in inference mode. Injection "
            "changes layers and flags, not modes."
        ),
        caught_by=INJECT,
        swap=(("    return sorted(chosen)\n", "    model.train()\n    return sorted(chosen)\n"),),
    ),
    WrongAnswer(
        id="checkpoint-holds-the-base",
        title="the whole model in the checkpoint",
        explanation=(
            "Your file holds the pretrained weights as well: a hundred times the size, and a base that came with it is "
            "loaded over a newer one. Only the factors belong to the adapter."
        ),
        caught_by=SAVE,
        swap=((STATE, "return {name: tensor.clone() for name, tensor in model.state_dict().items()}"),),
    ),
    WrongAnswer(
        id="checkpoint-by-flags",
        title="whatever is trainable in the checkpoint",
        explanation=(
            "You keep what requires a gradient. As soon as somebody trains a head beside the adapters it is in the "
            "file too, and frozen factors are not. What belongs to an adapter does not depend on flags."
        ),
        caught_by=SAVE,
        swap=((STATE, "return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}"),),
    ),
    WrongAnswer(
        id="checkpoint-by-name",
        title="whatever is called lora in the checkpoint",
        explanation=(
            "A parameter of somebody else's module may be called `lora_A` as well. Ask the layers what they are, not "
            "the names how they sound."
        ),
        caught_by=SAVE,
        swap=((STATE, STATE.replace("if name in names", 'if "lora_" in name')),),
    ),
    WrongAnswer(
        id="checkpoint-follows-training",
        title="a checkpoint that changes while training goes on",
        explanation=(
            "The dict holds the parameters' own memory: the best adapter of epoch 3 turns into the last one of epoch "
            "9. What has to be made of each tensor?"
        ),
        caught_by=SAVE,
        swap=((STATE, STATE.replace("tensor.clone()", "tensor")),),
    ),
    WrongAnswer(
        id="missing-names-ignored",
        title="missing tensors ignored",
        explanation=(
            "Half an adapter is loaded without a word; the rest stays as it was drawn. `strict=False` forgives that, "
            "and you should not."
        ),
        caught_by=LOAD,
        swap=(
            (NAMES_CHECK, "    if unknown:\n"),
            (SHAPES, SHAPES.replace("if state[name]", "if name in state and state[name]")),
        ),
    ),
    WrongAnswer(
        id="unknown-names-ignored",
        title="unknown tensors ignored",
        explanation=(
            "A file with tensors for layers that this model does not have belongs to another model. Names have to be "
            "compared in both directions."
        ),
        caught_by=LOAD,
        swap=(
            (NAMES_CHECK, "    if missing:\n"),
            (COPY, "    model.load_state_dict({name: state[name] for name in own}, strict=False)\n"),
        ),
    ),
    WrongAnswer(
        id="stretched-to-fit",
        title="tensors of another shape stretched to fit",
        explanation=(
            "`copy_` broadcasts: a factor of one column fills all of them, without an error. Compare the shapes before "
            "you copy."
        ),
        caught_by=LOAD,
        swap=(
            (SHAPES, SHAPES.replace("if state[name].shape != factor.shape", "if len(state[name]) != len(factor)")),
            (
                COPY,
                "    with torch.no_grad():\n        for name in own:\n            "
                "model.get_parameter(name).copy_(state[name])\n",
            ),
        ),
    ),
    WrongAnswer(
        id="loaded-by-half",
        title="tensors copied before all of them are checked",
        explanation=(
            "The error comes in the middle: some factors are new, others old, and the model is neither the one nor the "
            "other. Check everything, then copy."
        ),
        caught_by=LOAD,
        swap=(
            (
                SHAPES,
                SHAPES + "        with torch.no_grad():\n            model.get_parameter(name).copy_(state[name])\n",
            ),
        ),
    ),
    WrongAnswer(
        id="loaded-over-a-merged-one",
        title="new factors loaded while the old ones are merged",
        explanation=(
            "The weights still hold the old correction, and the factors say something else: the model goes on with the "
            "old adapter. A merged model is no place to load into."
        ),
        caught_by=LOAD,
        swap=(
            (
                "    if any(adapter.merged for _, adapter in adapters_of(model)):\n",
                "    if not own.keys() >= state.keys():\n",
            ),
        ),
    ),
    WrongAnswer(
        id="factors-replaced",
        title="new parameters put in the place of the factors",
        explanation=(
            "An optimiser that was made before holds the old factors and trains tensors that nobody uses. Copy the "
            "numbers into the parameters that are there."
        ),
        caught_by=LOAD,
        swap=(
            (
                COPY,
                "    for name in own:\n"
                '        module, _, factor = name.rpartition(".")\n'
                "        setattr(model.get_submodule(module), factor, nn.Parameter(state[name].clone()))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="state-adopted",
        title="factors that share their memory with the state",
        explanation=(
            "The factors now *are* the tensors of the dict: training changes the checkpoint, and changes of the dict "
            "change the model. Its numbers have to be copied."
        ),
        caught_by=LOAD,
        swap=((COPY, "    for name in own:\n        model.get_parameter(name).data = state[name]\n"),),
    ),
]

alternatives = [
    Alternative(
        id="two-classes",
        title="two independent classes that compute with the composed weight; recursion over children",
        code="""
def _checked(rank, alpha, dropout):
    if rank <= 0 or alpha <= 0 or dropout < 0 or dropout >= 1:
        raise ValueError((rank, alpha, dropout))


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha, dropout=0.0):
        super().__init__()
        if type(base) is not nn.Linear:
            raise TypeError("nn.Linear expected")
        _checked(rank, alpha, dropout)
        self.base, self.rank, self.alpha, self.p, self.merged = base, rank, alpha, dropout, False
        for parameter in base.parameters():
            parameter.requires_grad = False
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank).to(base.weight))
        self.lora_A = nn.Parameter((torch.randn(rank, base.in_features) / rank).to(base.weight))
        self.training = base.training

    def delta_weight(self):
        return torch.einsum("or,ri->oi", self.lora_B, self.lora_A) * (self.alpha / self.rank)

    def forward(self, x):
        if self.merged:
            return self.base(x)
        if not self.training or self.p == 0:
            return F.linear(x, self.base.weight + self.delta_weight(), self.base.bias)
        return self.base(x) + F.linear(F.dropout(x, self.p), self.delta_weight())

    def merge(self):
        if self.merged:
            return
        self._kept = self.base.weight.data.clone()
        self.base.weight.data.add_(self.delta_weight().data)
        self.merged = True

    def unmerge(self):
        if self.merged:
            self.base.weight.data.copy_(self._kept)
            del self._kept
        self.merged = False


class LoRAConv2d(nn.Module):
    def __init__(self, base, rank, alpha, dropout=0.0):
        super().__init__()
        if type(base) is not nn.Conv2d:
            raise TypeError("nn.Conv2d expected")
        if base.groups > 1 or base.padding_mode != "zeros":
            raise ValueError("plain convolutions only")
        _checked(rank, alpha, dropout)
        self.base, self.rank, self.alpha, self.p, self.merged = base, rank, alpha, dropout, False
        base.requires_grad_(False)
        self.lora_A = nn.Parameter(nn.init.xavier_normal_(torch.empty_like(base.weight[:1]).repeat(rank, 1, 1, 1)))
        self.lora_B = nn.Parameter(torch.zeros_like(base.weight[:, :1, :1, :1]).repeat(1, rank, 1, 1))
        self.training = base.training

    def delta_weight(self):
        return torch.einsum("or,rihw->oihw", self.lora_B[:, :, 0, 0], self.lora_A) * (self.alpha / self.rank)

    def forward(self, x):
        if self.merged:
            return self.base(x)
        how = (self.base.stride, self.base.padding, self.base.dilation)
        if not self.training or self.p == 0:
            return F.conv2d(x, self.base.weight + self.delta_weight(), self.base.bias, *how)
        return self.base(x) + F.conv2d(F.dropout(x, self.p), self.delta_weight(), None, *how)

    merge, unmerge = LoRALinear.merge, LoRALinear.unmerge


def inject(model, rank, alpha, wanted=worth_adapting, dropout=0.0):
    def find(module, path):
        for own_name, child in module.named_children():
            name = f"{path}.{own_name}" if path else own_name
            if isinstance(child, (LoRALinear, LoRAConv2d)):
                continue
            if isinstance(child, (nn.Linear, nn.Conv2d)):
                if wanted(name, child):
                    yield module, own_name, name, child
            else:
                yield from find(child, name)

    todo = list(find(model, ""))
    if len(todo) == 0:
        raise ValueError("nothing to do")
    for parent, own_name, _, child in todo:
        adapter = LoRALinear if isinstance(child, nn.Linear) else LoRAConv2d
        parent._modules[own_name] = adapter(child, rank, alpha, dropout)
    for parameter in model.parameters():
        parameter.requires_grad = False
    for module in model.modules():
        if isinstance(module, (LoRALinear, LoRAConv2d)):
            module.lora_A.requires_grad = module.lora_B.requires_grad = True
    return sorted(name for _, _, name, _ in todo)
""",
    ),
    Alternative(
        id="rule-on-parts",
        title="the rule on the parts of a name; state and loading through named_modules",
        code="""
def worth_adapting(name, layer):
    tower, *rest = name.split(".")
    if not rest:
        return False
    return {
        "image_tower": isinstance(layer, nn.Conv2d),
        "text_tower": isinstance(layer, nn.Linear) and rest[-1] in {"query", "value"},
    }.get(tower, False)


def _factors(model):
    for name, module in model.named_modules():
        if isinstance(module, (LoRALinear, LoRAConv2d)):
            prefix = name + "." if name else ""
            yield prefix + "lora_A", module.lora_A, module
            yield prefix + "lora_B", module.lora_B, module


def adapter_state(model):
    return {name: torch.clone(factor.data) for name, factor, _ in _factors(model)}


def load_adapter(model, state):
    places = {name: (factor, module) for name, factor, module in _factors(model)}
    different = set(places) ^ set(state)
    if different:
        raise KeyError(", ".join(sorted(different)))
    for name in state:
        if tuple(state[name].size()) != tuple(places[name][0].size()):
            raise ValueError("shape of " + name)
        if places[name][1].merged:
            raise ValueError("merged: " + name)
    for name in state:
        places[name][0].data.copy_(state[name])
""",
    ),
    Alternative(
        id="modules-inside",
        title="the way through A and B by unfolding the image; the kept weight in a plain list",
        code="""
class Adapter(nn.Module):
    def __init__(self, base, rank, alpha, dropout=0.0):
        if not (rank >= 1 and alpha > 0 and 0 <= dropout < 1):
            raise ValueError("out of range")
        nn.Module.__init__(self)
        self.base = base
        for parameter in self.base.parameters():
            parameter.requires_grad_(False)
        weight = base.weight
        a = torch.empty((rank, *weight.shape[1:]), dtype=weight.dtype, device=weight.device)
        self.lora_A = nn.Parameter(nn.init.normal_(a, std=0.02))
        b_shape = (weight.shape[0], rank) + (1,) * (weight.dim() - 2)
        self.lora_B = nn.Parameter(torch.zeros(b_shape, dtype=weight.dtype, device=weight.device))
        self.kept, self.factor, self.p = [], alpha / rank, dropout
        self.train(base.training)

    merged = property(lambda self: len(self.kept) == 1)

    def thin(self, x):
        if not self.training or not self.p:
            return x
        return x * torch.bernoulli(torch.full_like(x, 1 - self.p)) / (1 - self.p)

    def forward(self, x):
        y = self.base(x)
        return y if self.merged else y + self.correction(self.thin(x), y) * self.factor

    def delta_weight(self):
        out = self.base.weight.shape[0]
        total = torch.zeros_like(self.base.weight)
        for r in range(len(self.lora_A)):
            total = total + self.lora_B[:, r].reshape(out, *[1] * (total.dim() - 1)) * self.lora_A[r]
        return total * self.factor

    def merge(self):
        if not self.kept:
            self.kept.append(self.base.weight.detach().clone())
            self.base.weight.data = self.base.weight.data + self.delta_weight().detach()

    def unmerge(self):
        if self.kept:
            self.base.weight.data = self.kept.pop()


class LoRALinear(Adapter):
    def __init__(self, base, rank, alpha, dropout=0.0):
        if not isinstance(base, nn.Linear):
            raise TypeError(base)
        super().__init__(base, rank, alpha, dropout)

    def correction(self, x, y):
        return x @ self.lora_A.T @ self.lora_B.T


class LoRAConv2d(Adapter):
    def __init__(self, base, rank, alpha, dropout=0.0):
        if not isinstance(base, nn.Conv2d):
            raise TypeError(base)
        if not base.groups == 1 or not base.padding_mode == "zeros":
            raise ValueError(base)
        super().__init__(base, rank, alpha, dropout)

    def correction(self, x, y):
        base, padding = self.base, self.base.padding
        if isinstance(padding, str):
            narrow = F.conv2d(x, self.lora_A, stride=base.stride, padding=padding, dilation=base.dilation)
            narrow = narrow.flatten(2)
        else:
            columns = F.unfold(x, base.kernel_size, base.dilation, padding, base.stride)  # (batch, in * kh * kw, places)
            narrow = self.lora_A.flatten(1) @ columns
        return (self.lora_B.flatten(1) @ narrow).unflatten(-1, y.shape[2:])
""",
    ),
]

equivalent_mutants = {"a=math.sqrt(5)": "Any usual way of drawing A is right; no result depends on it."}
