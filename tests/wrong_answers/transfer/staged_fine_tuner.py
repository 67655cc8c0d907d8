"""Wrong and differently written answers to transfer/staged_fine_tuner.

Every "must reject" line of B-T2a has an entry. "Frozen parameters passed to the optimiser with stale gradients" has two,
one for each half (frozen-in-the-groups, stale-gradients). The published class does not run (no import, no `self.`, wrong
attributes); what it does with a model that runs is nothing-frozen and single-rate.
"""

from grader.catalogue import Alternative, WrongAnswer

LOGITS = "test_head_and_logits"
MASK = "test_masked_tokens_play_no_part"
REFUSED = "test_what_makes_no_sense_is_refused"
STAGES = "test_stages_are_sets_of_parameters"
MODES = "test_modes_follow_the_stage"
GROUPS = "test_groups_for_the_optimizer"
TRAINING = "test_training_moves_what_the_stage_trains"

SET = "parameter.requires_grad_(parameter in trained)"
CLEAR = "            parameter.grad = None  # an optimiser moves whatever has a gradient\n"
LAST = "blocks[len(blocks) - top_k :]"
TOTAL = "total = tokens.masked_fill(~is_real[:, :, None], 0).sum(dim=1)  # (batch, text_dim)"
COUNT = "is_real.sum(dim=1, keepdim=True).clamp(min=1)"
TOKENS = "tokens = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state"
RANGE = (
    "            if not 1 <= top_k <= len(blocks):\n"
    '                raise ValueError(f"top_k must be from 1 to {len(blocks)}, got {top_k}")\n'
)
MODE = "module.training = every if has_statistics else some"
VISIT = "        if mode:\n            visit(self, False, False)\n"
APPEND = "groups.setdefault((parameter in head, parameter.ndim > 1), []).append(parameter)"

wrong_answers = [
    WrongAnswer(
        id="nothing-frozen",
        title="everything trainable in every stage",
        explanation=(
            "Whatever the stage, all parameters require a gradient, so the random head sends its first gradients into "
            "the pretrained features. Which parameters may move in stage head?"
        ),
        caught_by=STAGES,
        swap=((SET, "parameter.requires_grad_(True)"), ("if parameter not in trained", "if False")),
    ),
    WrongAnswer(
        id="single-rate",
        title="one rate for the head and for what was pretrained",
        explanation=(
            "All parameters have the rate of the head, which is a hundred times too large for pretrained weights. "
            "Both rates are arguments: see where the second one is used."
        ),
        caught_by=GROUPS,
        swap=(('"lr": head_lr if in_head else backbone_lr', '"lr": head_lr'),),
    ),
    WrongAnswer(
        id="frozen-in-the-groups",
        title="frozen parameters in the groups",
        explanation=(
            "Your groups contain parameters that are frozen. One gradient left over, or set by other code, and the "
            "optimiser moves them. Ask each parameter whether it is trainable."
        ),
        caught_by=GROUPS,
        swap=(("        if parameter.requires_grad:\n", "        if True:\n"),),
    ),
    WrongAnswer(
        id="stale-gradients",
        title="gradients of frozen parameters left where they are",
        explanation=(
            "An optimiser looks at `.grad`, not at `requires_grad`. With the gradient of the last step of one stage "
            "still there, an older optimiser moves in the next stage what is frozen by then."
        ),
        caught_by=STAGES,
        swap=((CLEAR, "            pass\n"),),
    ),
    WrongAnswer(
        id="train-not-overridden",
        title="train() wakes up the frozen parts",
        explanation=(
            "`model.train()` puts every module into training mode, so batch normalisation in a frozen encoder updates "
            "its statistics and dropout disturbs its features. What is frozen has to stay in evaluation mode."
        ),
        caught_by=MODES,
        swap=((VISIT, ""),),
    ),
    WrongAnswer(
        id="mask-not-handed-on",
        title="the text encoder called without the real mask",
        explanation=(
            "The mean is right, but the encoder itself sees a mask of ones: in its attention the padding takes part, "
            "and the states of real tokens depend on it. The encoder needs the mask as well."
        ),
        caught_by=MASK,
        swap=((TOKENS, TOKENS.replace("=attention_mask)", "=torch.ones_like(attention_mask))")),),
    ),
    WrongAnswer(
        id="mean-over-all-tokens",
        title="padding averaged along with the text",
        explanation=(
            "The text feature is a mean over all positions. The same sentence then has another feature in a longer "
            "batch. Only tokens with mask 1 count, in the sum and in the number."
        ),
        caught_by=MASK,
        swap=(
            (TOTAL, "total = tokens.sum(dim=1)"),
            (COUNT, "tokens.shape[1]"),
        ),
    ),
    WrongAnswer(
        id="decay-on-everything",
        title="weight decay on biases and norms too",
        explanation=(
            "Your groups pull biases, norms and learned scalars towards 0. A norm's weight belongs near 1, and a bias "
            "has nothing to gain from being small. The number of dimensions tells them apart from matrices."
        ),
        caught_by=GROUPS,
        swap=(('"weight_decay": weight_decay if is_matrix else 0.0', '"weight_decay": weight_decay'),),
    ),
    WrongAnswer(
        id="parameter-in-two-groups",
        title="the head in the groups of the backbone as well",
        explanation=(
            "Parameters of the head are in two groups. AdamW refuses that, and where it does not, it moves them twice. "
            "`model.parameters()` includes the head."
        ),
        caught_by=GROUPS,
        swap=(
            (
                APPEND,
                "groups.setdefault((False, parameter.ndim > 1), []).append(parameter)\n"
                "            if parameter in head:\n"
                "                groups.setdefault((True, parameter.ndim > 1), []).append(parameter)",
            ),
        ),
    ),
    WrongAnswer(
        id="backbone-missing",
        title="the encoders missing from the groups",
        explanation=(
            "Only the head is in your groups. In the stages top and full some of the encoders is trainable, gets "
            "gradients, and never moves, because no optimiser knows of it."
        ),
        caught_by=GROUPS,
        swap=(
            ("        if parameter.requires_grad:\n", "        if parameter.requires_grad and parameter in head:\n"),
        ),
    ),
    WrongAnswer(
        id="first-blocks",
        title="the first blocks trained in stage top",
        explanation=(
            "The blocks next to the input are trained and those next to the head are frozen. What is particular to a "
            "task is found high up in a network; the lists begin at the input."
        ),
        caught_by=STAGES,
        swap=((LAST, "blocks[:top_k]"),),
    ),
    # ------------------------------------------------------------ not in the entry
    WrongAnswer(
        id="text-before-image",
        title="the text feature in front of the image feature",
        explanation=(
            "The head gets the two features in the other order. It would learn that way too, but a head that was saved "
            "by somebody else no longer fits. The task fixes the order."
        ),
        caught_by=LOGITS,
        swap=(("torch.cat((image, text), dim=1)", "torch.cat((text, image), dim=1)"),),
    ),
    WrongAnswer(
        id="last-image-token",
        title="the last image token instead of token 0",
        explanation=(
            "Vision transformers put their class token in front; the last token is the patch at the lower right."
        ),
        caught_by=LOGITS,
        swap=((".last_hidden_state[:, 0]", ".last_hidden_state[:, -1]"),),
    ),
    WrongAnswer(
        id="image-mean",
        title="the mean of the image tokens instead of token 0",
        explanation="A mean over patches is a fine feature, but asked for is the token with number 0.",
        caught_by=LOGITS,
        swap=((".last_hidden_state[:, 0]", ".last_hidden_state.mean(dim=1)"),),
    ),
    WrongAnswer(
        id="no-activation",
        title="two linear layers with nothing between them",
        explanation=(
            "Without an activation two linear layers are one linear layer. The published model has the same gap. The "
            "task names the four modules of the head."
        ),
        caught_by=LOGITS,
        swap=((" nn.GELU(), nn.Dropout(dropout),", " nn.Identity(), nn.Dropout(dropout),"),),
    ),
    WrongAnswer(
        id="encoders-copied",
        title="the encoders copied",
        explanation=(
            "Your model trains copies, so that the caller's blocks, which `set_stage` is given, are not parts of it. "
            "The encoders are to be kept as they are."
        ),
        caught_by=LOGITS,
        swap=(
            (
                "self.image_encoder = image_encoder\n        self.text_encoder = text_encoder\n",
                "from copy import deepcopy\n\n"
                "        self.image_encoder = deepcopy(image_encoder)\n"
                "        self.text_encoder = deepcopy(text_encoder)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="divided-by-the-length",
        title="the sum of the real tokens divided by the padded length",
        explanation=(
            "Short texts in a long batch get small features, because the sum has few terms and the divisor counts the "
            "padding. Divide by what was added up."
        ),
        caught_by=MASK,
        swap=((COUNT, "is_real.shape[1]"),),
    ),
    WrongAnswer(
        id="empty-text-is-nan",
        title="NaN for a text without any real token",
        explanation=(
            "Such a row divides 0 by 0, and one image without a caption makes the loss of the whole batch NaN. What "
            "smallest divisor leaves 0 at 0?"
        ),
        caught_by=MASK,
        swap=((".clamp(min=1)", ""),),
    ),
    WrongAnswer(
        id="nan-times-zero",
        title="masked tokens multiplied by 0",
        explanation=(
            "0 times NaN is NaN. Some encoders return NaN where a row has nothing to attend to, so masked positions "
            "have to be replaced, not multiplied."
        ),
        caught_by=MASK,
        swap=((TOTAL, "total = (tokens * is_real[:, :, None]).sum(dim=1)"),),
    ),
    WrongAnswer(
        id="mask-of-any-shape",
        title="a mask of another shape stretched to fit",
        explanation=(
            "A mask of one row, or of one column, is accepted and used for all. That is how a forgotten batch "
            "dimension stays unnoticed. Compare the shapes first."
        ),
        caught_by=REFUSED,
        swap=(("if attention_mask.shape != input_ids.shape:", "if False:"),),
    ),
    WrongAnswer(
        id="unknown-stage-is-full",
        title="an unknown stage treated as a known one",
        explanation="A misspelt stage runs as if it had been meant, and nobody hears of it. It has to be refused.",
        caught_by=REFUSED,
        swap=(('    elif stage != "head":\n        raise ValueError(f"unknown stage {stage!r}")\n', ""),),
    ),
    WrongAnswer(
        id="top-k-cut-off",
        title="too large a top_k cut off without a word",
        explanation=(
            "With more blocks asked for than there are, your stage trains all of them. A slice knows no error; compare "
            "with the length of each list yourself."
        ),
        caught_by=REFUSED,
        swap=(
            (RANGE, "            if top_k < 1:\n                raise ValueError(top_k)\n"),
            (LAST, "list(blocks)[-top_k:]"),
        ),
    ),
    WrongAnswer(
        id="zero-blocks",
        title="a top_k below 1 accepted",
        explanation=(
            "The last 0 items of a list are, written as a slice from -0, all of them. A stage top without blocks makes "
            "no sense, and has to be refused."
        ),
        caught_by=REFUSED,
        swap=(("if not 1 <= top_k <= len(blocks):", "if top_k > len(blocks):"), (LAST, "list(blocks)[-top_k:]")),
    ),
    WrongAnswer(
        id="frozen-before-refusing",
        title="the model frozen before the arguments are checked",
        explanation=(
            "The error is raised, but the model has lost its flags or gradients by then. Find out what is to be "
            "trained first, and change the model afterwards."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    parts: list[nn.Module] = [model.head]\n",
                "    parts: list[nn.Module] = [model.head]\n    model.requires_grad_(False)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="final-norm-too",
        title="what stands behind the blocks trained along in stage top",
        explanation=(
            "In stage top your model also trains a final norm, which lies above the top blocks. That can be done, but "
            "here the stage is made of the blocks that are given and of the head."
        ),
        caught_by=STAGES,
        swap=(
            (
                '    elif stage != "head":',
                '        parts += [getattr(encoder, "final", model.head) for encoder in model.children()]\n'
                '    elif stage != "head":',
            ),
        ),
    ),
    WrongAnswer(
        id="head-frozen-in-top",
        title="the head frozen in stage top",
        explanation="The top blocks are trained under a head that stands still. The stages build on one another.",
        caught_by=STAGES,
        swap=(('    elif stage == "top":\n', '    elif stage == "top":\n        parts.clear()\n'),),
    ),
    WrongAnswer(
        id="earlier-stage-left-on",
        title="what an earlier stage trained goes on being trained",
        explanation=(
            "Your stages switch parameters on and none off, so a step back from full to head changes nothing. Every "
            "flag has to be set, one way or the other."
        ),
        caught_by=STAGES,
        swap=((SET, "parameter.requires_grad_(parameter in trained or parameter.requires_grad)"),),
    ),
    WrongAnswer(
        id="earlier-stage-left-off",
        title="what an earlier stage froze stays frozen",
        explanation=(
            "Your stages switch parameters off and none on, so after stage head nothing can be unfrozen any more, and "
            "the later stages train the head alone."
        ),
        caught_by=STAGES,
        swap=((SET, "parameter.requires_grad_(parameter in trained and parameter.requires_grad)"),),
    ),
    WrongAnswer(
        id="gradients-zeroed",
        title="gradients of frozen parameters set to 0 instead of None",
        explanation=(
            "A gradient of zeros is a gradient: an optimiser that holds the parameter still applies decay and "
            "momentum. It skips a parameter only if there is no gradient at all."
        ),
        caught_by=STAGES,
        swap=((CLEAR, "            parameter.grad = torch.zeros_like(parameter)\n"),),
    ),
    WrongAnswer(
        id="top-k-ignored",
        title="one block of each encoder whatever top_k says",
        explanation="With `top_k=2` still the last block alone is trained. Look where the argument is used.",
        caught_by=STAGES,
        swap=((LAST, "blocks[len(blocks) - 1 :]"),),
    ),
    WrongAnswer(
        id="dropout-of-frozen-encoder",
        title="dropout active in frozen parts",
        explanation=(
            "Batch normalisation stands still, but dropout in frozen blocks is on as soon as anything is trained "
            "elsewhere. A module without parameters goes by its nearest ancestor that has some."
        ),
        caught_by=MODES,
        swap=(
            (
                VISIT,
                VISIT
                + "            for module in self.modules():\n"
                + "                if isinstance(module, nn.Dropout):\n"
                + "                    module.training = True\n",
            ),
        ),
    ),
    WrongAnswer(
        id="dropout-of-head-off",
        title="dropout off in the head",
        explanation=(
            "The head is trained without its dropout, since dropout has no parameters that could be trainable. For "
            "modules without parameters the table asks their surroundings."
        ),
        caught_by=MODES,
        swap=((MODE, "module.training = any(trainable)"),),
    ),
    WrongAnswer(
        id="encoder-in-eval-as-a-whole",
        title="whole encoders in evaluation mode unless all of it is trained",
        explanation=(
            "In stage top your encoders are in evaluation mode as a whole, so the blocks that are trained have no "
            "dropout. The rule asks each module by itself."
        ),
        caught_by=MODES,
        swap=(
            (
                VISIT,
                "        if mode:\n"
                "            for encoder in (self.image_encoder, self.text_encoder):\n"
                "                encoder.train(all(parameter.requires_grad for parameter in encoder.parameters()))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="statistics-without-parameters",
        title="statistics without parameters drift in a partly frozen encoder",
        explanation=(
            "Batch normalisation with affine=False has statistics and no parameters. Your code treats it like dropout, "
            "so it drifts under frozen layers that were trained with the old statistics."
        ),
        caught_by=MODES,
        swap=((MODE, "module.training = some"),),
    ),
    WrongAnswer(
        id="eval-overridden",
        title="eval() leaves trained parts in training mode",
        explanation=(
            "`eval()` calls `train(False)`, and your override applies the rule of training in that case too: dropout "
            "of the head is active when the model is evaluated. Look at the argument."
        ),
        caught_by=MODES,
        swap=((VISIT, VISIT.replace("if mode:", "if True:")),),
    ),
    WrongAnswer(
        id="modes-of-the-last-stage",
        title="the modes of the stage before kept until train() is called again",
        explanation=(
            "After a change of stage in training mode the modules are still in the modes of the old one. Whoever calls "
            "`train()` once, before the first epoch, trains the next stage with the wrong ones."
        ),
        caught_by=MODES,
        swap=(("    model.train(model.training)\n", ""),),
    ),
    WrongAnswer(
        id="stage-switches-to-training",
        title="set_stage switches a model in evaluation mode to training",
        explanation=(
            "A model that is being evaluated is in training mode after `set_stage`. The modes are to follow the new "
            "stage only if the model was in training mode."
        ),
        caught_by=MODES,
        swap=(("    model.train(model.training)\n", "    model.train()\n"),),
    ),
    WrongAnswer(
        id="biases-by-name",
        title="parameters without decay recognised by the word bias",
        explanation=(
            "Biases do not decay in your groups, but the weights of the norms do: they are vectors as well. Ask for "
            "the number of dimensions, not for the name."
        ),
        caught_by=GROUPS,
        swap=(
            (
                "    for parameter in model.parameters():\n        if parameter.requires_grad:\n",
                "    for name, parameter in model.named_parameters():\n        if parameter.requires_grad:\n",
            ),
            ("parameter.ndim > 1), [])", '"bias" not in name), [])'),
        ),
    ),
    WrongAnswer(
        id="scalar-decays",
        title="a learned scalar decays",
        explanation=(
            "Vectors do not decay in your groups, but a parameter without any dimension does, such as the learned "
            "scale of a contrastive model. The rule says: one dimension or none."
        ),
        caught_by=GROUPS,
        swap=(("parameter.ndim > 1), [])", "parameter.ndim != 1), [])"),),
    ),
    WrongAnswer(
        id="rates-swapped",
        title="the two rates swapped",
        explanation="The head has the small rate and what was pretrained the large one. It is the other way round.",
        caught_by=GROUPS,
        swap=(("head_lr if in_head else backbone_lr", "backbone_lr if in_head else head_lr"),),
    ),
    WrongAnswer(
        id="empty-groups",
        title="groups without parameters",
        explanation=(
            "In stage head your list still has groups for the encoders, without parameters. Leave out what is empty."
        ),
        caught_by=GROUPS,
        swap=(
            (
                "    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}\n",
                "    groups = {(a, b): [] for a in (True, False) for b in (True, False)}\n",
            ),
        ),
    ),
    WrongAnswer(
        id="decay-of-head-only",
        title="weight decay for the head alone",
        explanation="Matrices of the encoders have no decay in your groups. The rule makes no difference by part.",
        caught_by=GROUPS,
        swap=(("weight_decay if is_matrix else 0.0", "weight_decay if is_matrix and in_head else 0.0"),),
    ),
    WrongAnswer(
        id="encoders-without-gradients",
        title="the encoders run without recording gradients",
        explanation=(
            "In stage head that saves memory and changes nothing, but in stage top and full the blocks that are to be "
            "trained never get a gradient. Freezing is a matter of flags, and autograd follows these by itself."
        ),
        caught_by=TRAINING,
        swap=(
            (
                "image = self.image_encoder(pixel_values=pixel_values).last_hidden_state[:, 0]  # (batch, image_dim)\n"
                "        tokens = self",
                "with torch.no_grad():\n"
                "            image = self.image_encoder(pixel_values=pixel_values).last_hidden_state[:, 0]\n"
                "            tokens = self",
            ),
        ),
    ),
    WrongAnswer(
        id="features-detached",
        title="the text feature detached",
        explanation=(
            "The image side learns, but no gradient reaches the text encoder. Look for `detach`, `.data`, `no_grad` or "
            "a tensor made anew from numbers."
        ),
        caught_by=TRAINING,
        swap=((f"text = total / {COUNT}", f"text = total.detach() / {COUNT}"),),
    ),
    WrongAnswer(
        id="frozen-statistics-move",
        title="statistics of frozen batch normalisation move in training",
        explanation=(
            "Some batch normalisation in a frozen part is in training mode, and each forward pass changes its running "
            "mean and variance, although no optimiser holds them."
        ),
        caught_by=TRAINING,
        swap=((MODE, "module.training = some or isinstance(module, nn.BatchNorm2d)"),),
    ),
]

alternatives = [
    Alternative(
        id="sets-of-identities",
        title="masks as weights after emptying; sets of identities; modes from qualified names",
        code="""
class MultimodalFineTuner(nn.Module):
    def __init__(self, image_encoder, text_encoder, image_dim, text_dim, hidden, n_classes, dropout=0.1):
        super().__init__()
        layers = [nn.Linear(image_dim + text_dim, hidden), nn.GELU(), nn.Dropout(p=dropout)]
        self.head = nn.Sequential(*layers, nn.Linear(hidden, n_classes))
        self.text_encoder, self.image_encoder = text_encoder, image_encoder

    def forward(self, pixel_values, input_ids, attention_mask):
        if tuple(attention_mask.size()) != tuple(input_ids.size()):
            raise ValueError("mask")
        states = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = (attention_mask != 0).unsqueeze(-1)
        states = torch.where(mask, states, torch.zeros_like(states))
        weights = mask.to(states.dtype)
        text = torch.einsum("bld,blk->bd", states, weights) / torch.maximum(weights.sum(1), torch.ones_like(weights[:, 0]))
        image = self.image_encoder(pixel_values=pixel_values).last_hidden_state.select(1, 0)
        return self.head(torch.hstack([image, text]))

    def train(self, mode=True):
        nn.Module.train(self, mode)
        if not mode:
            return self
        modules = dict(self.named_modules())
        for name, module in modules.items():
            flags = [p.requires_grad for p in module.parameters()]
            own = bool(flags)
            while not flags and name:
                name = name.rpartition(".")[0]
                flags = [p.requires_grad for p in modules[name].parameters()]
            if own or next(module.buffers(), None) is None:
                module.training = any(flags)
            else:
                module.training = len(flags) > 0 and all(flags)
        return self


def set_stage(model, stage, image_blocks, text_blocks, top_k=1):
    if stage not in ("head", "top", "full"):
        raise ValueError(stage)
    if stage == "top" and (top_k < 1 or top_k > min(len(image_blocks), len(text_blocks))):
        raise ValueError(top_k)
    model.requires_grad_(stage == "full")
    model.head.requires_grad_(True)
    if stage == "top":
        for block in [*list(image_blocks)[-top_k:], *list(text_blocks)[-top_k:]]:
            block.requires_grad_(True)
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.grad = None
    if model.training:
        model.train()


def param_groups(model, head_lr, backbone_lr, weight_decay):
    result = []
    for in_head, lr in ((True, head_lr), (False, backbone_lr)):
        for decays in (True, False):
            chosen = []
            for name, parameter in model.named_parameters():
                if parameter.requires_grad and name.startswith("head.") == in_head and (parameter.dim() >= 2) == decays:
                    chosen.append(parameter)
            if chosen:
                result.append({"params": chosen, "lr": lr, "weight_decay": weight_decay * decays, "name": f"{lr} {decays}"})
    return result
""",
    ),
    Alternative(
        id="loops",
        title="loops over samples; a group for each pair of settings",
        code="""
class MultimodalFineTuner(nn.Module):
    def __init__(self, image_encoder, text_encoder, image_dim, text_dim, hidden, n_classes, dropout=0.1):
        super().__init__()
        self.add_module("image_encoder", image_encoder)
        self.add_module("text_encoder", text_encoder)
        self.head = nn.Sequential()
        self.head.append(nn.Linear(image_dim + text_dim, hidden)).append(nn.GELU())
        self.head.append(nn.Dropout(dropout)).append(nn.Linear(hidden, n_classes))

    def forward(self, pixel_values, input_ids, attention_mask):
        if attention_mask.ndim != 2 or list(attention_mask.shape) != list(input_ids.shape):
            raise ValueError("shape of the mask")
        image = self.image_encoder(pixel_values=pixel_values).last_hidden_state
        text = self.text_encoder(attention_mask=attention_mask, input_ids=input_ids).last_hidden_state
        rows = []
        for one_image, one_text, mask in zip(image, text, attention_mask):
            real = one_text[mask.bool()]
            mean = real.mean(dim=0) if len(real) > 0 else one_text.new_zeros(one_text.shape[-1])
            rows.append(torch.cat([one_image[0], mean]))
        return self.head(torch.stack(rows))

    def train(self, mode=True):
        super().train(False)
        todo = [(self, None)] if mode else []
        while todo:
            module, above = todo.pop()
            inside = [parameter.requires_grad for parameter in module.parameters()]
            if inside:
                module.training = True in inside
                above = inside
            elif above is not None:
                module.training = (False not in above) if len(list(module.buffers())) else (True in above)
            todo += [(child, above) for child in module.children()]
        return self


def set_stage(model, stage, image_blocks, text_blocks, top_k=1):
    was_training = model.training
    chosen = {id(p) for p in model.head.parameters()}
    match stage:
        case "head":
            pass
        case "top":
            if not (0 < top_k <= len(image_blocks) and top_k <= len(text_blocks)):
                raise ValueError("top_k")
            for i in range(1, top_k + 1):
                chosen |= {id(p) for blocks in (image_blocks, text_blocks) for p in blocks[len(blocks) - i].parameters()}
        case "full":
            chosen |= {id(p) for p in model.parameters()}
        case _:
            raise ValueError("stage")
    for parameter in model.parameters():
        parameter.requires_grad = id(parameter) in chosen
        parameter.grad = parameter.grad if parameter.requires_grad else None
    model.train() if was_training else model.eval()


def param_groups(model, head_lr, backbone_lr, weight_decay):
    table = {}
    in_head = {id(p) for p in model.head.parameters()}
    for parameter in filter(lambda p: p.requires_grad, model.parameters()):
        settings = (head_lr if id(parameter) in in_head else backbone_lr, 0.0 if parameter.ndim < 2 else weight_decay)
        table.setdefault(settings, []).append(parameter)
    return [dict(params=params, lr=lr, weight_decay=decay) for (lr, decay), params in table.items()]
""",
    ),
    Alternative(
        id="recursive-modes",
        title="modes by a recursive method; stages by chained lists",
        code="""
import itertools


class MultimodalFineTuner(MultimodalFineTuner):
    def train(self, mode=True):
        nn.Module.train(self, mode)
        if mode:
            self._fit(self, [])
        return self

    def _fit(self, module, around):
        inside = [p.requires_grad for p in module.parameters()]
        flags = inside or around
        with_statistics = not inside and sum(1 for _ in module.buffers()) > 0
        module.training = bool(flags) and (all(flags) if with_statistics else any(flags))
        for child in module.children():
            self._fit(child, flags)


def set_stage(model, stage, image_blocks, text_blocks, top_k=1):
    if stage == "head":
        parts = [model.head]
    elif stage == "full":
        parts = [model]
    elif stage == "top":
        if top_k <= 0 or any(top_k > len(blocks) for blocks in (image_blocks, text_blocks)):
            raise ValueError("top_k does not fit")
        parts = [model.head, *reversed([*image_blocks][-top_k:]), *[*text_blocks][-top_k:]]
    else:
        raise ValueError("stage must be head, top or full")
    wanted = set(itertools.chain.from_iterable(part.parameters() for part in parts))
    for parameter in set(model.parameters()) - wanted:
        parameter.requires_grad, parameter.grad = False, None
    for parameter in wanted:
        parameter.requires_grad = True
    model.train(mode=model.training)
""",
    ),
]

equivalent_mutants = {
    "`visit(self, False, False)`": "the model has parameters, its head, so what it would inherit is never looked at"
}
