"""Wrong and differently written answers to transfer/freezing.

Every "must reject" line of C-S2.3a has an entry, and so has the rule that the errata add (statistics-without-parameters).
`fnmatch` in place of `fnmatchcase` cannot be told apart on this system: both tell upper from lower case on Linux.
"""

from grader.catalogue import Alternative, WrongAnswer

NAMES = "test_exactly_the_matching_parameters_are_trainable"
GRADIENTS = "test_frozen_parameters_have_no_gradient"
REFUSED = "test_patterns_that_match_nothing_are_refused"
MODES = "test_modes_follow_what_is_trainable"
BEFORE = "test_modes_do_not_depend_on_what_they_were"
TRAINING = "test_training_moves_nothing_that_is_frozen"
OPTIMIZER = "test_the_optimizer_holds_what_is_trainable"

MATCH = "if fnmatchcase(name, pattern)]"
CLEAR = (
    "        if parameter not in chosen:\n"
    "            parameter.grad = None  # an optimiser skips None; a gradient of zeros would still decay the weight\n"
)
SET = "parameter.requires_grad_(parameter in chosen)"
MODE = "module.training = bool(flags) and all(flags) if has_statistics else any(flags)"
WALK = "    for module in model.modules():  # a parent comes before its children\n"
LAST = "        inherited.update(dict.fromkeys(module.children(), flags))\n"
OWN = "        flags = own or inherited[module]\n"
STATISTICS = "has_statistics = not own and bool(list(module.buffers()))"
REFUSE = '        if not matching:\n            raise ValueError(f"the pattern {pattern!r} matches no parameter")\n'
FILTER = "trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]\n    if not"

wrong_answers = [
    WrongAnswer(
        id="all-in-training-mode",  # the published definition knows one side of freezing only
        title="training mode for the whole model, frozen or not",
        explanation=(
            "The flags freeze the weights, but in training mode every forward pass updates the running statistics of "
            "batch normalisation, and dropout disturbs the features of the frozen part. Each module has a mode of its "
            "own."
        ),
        caught_by=MODES,
        swap=((LAST, LAST + "    model.train()\n"),),
    ),
    WrongAnswer(
        id="gradients-zeroed-only",
        title="gradients set to zero instead of freezing",
        explanation=(
            "All parameters still require a gradient, so that the next backward pass fills in new ones; and even a "
            "gradient of zero does not hold a weight, since AdamW's decay and the momentum of earlier steps move it."
        ),
        caught_by=TRAINING,
        swap=(
            (SET, "parameter.requires_grad_(True)"),
            (CLEAR, "        if parameter not in chosen:\n            parameter.grad = torch.zeros_like(parameter)\n"),
            (
                "sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)",
                "sorted(name for name, parameter in model.named_parameters() if parameter in chosen)",
            ),
        ),
    ),
    WrongAnswer(
        id="stale-gradients",
        title="old gradients left on frozen parameters",
        explanation=(
            "An optimiser asks for `.grad`, not for `requires_grad`: with the gradient of the last backward pass still "
            "there, one that holds the parameter goes on moving it. Which value of `.grad` makes it skip a parameter?"
        ),
        caught_by=GRADIENTS,
        swap=((CLEAR, ""),),
    ),
    WrongAnswer(
        id="gradients-zeroed",
        title="gradients of frozen parameters set to zero instead of None",
        explanation=(
            "The flags are right, but a gradient of zeros is a gradient: an optimiser that holds the parameter still "
            "applies its weight decay and its momentum. PyTorch skips a parameter only if it has no gradient at all."
        ),
        caught_by=GRADIENTS,
        swap=(
            (CLEAR, "        if parameter not in chosen:\n            parameter.grad = torch.zeros_like(parameter)\n"),
        ),
    ),
    WrongAnswer(
        id="batch-norm-left-in-training-mode",
        title="batch normalisation left in training mode",
        explanation=(
            "Dropout is off in the frozen part, but batch normalisation goes on updating its running statistics, "
            "although its weight and bias stand still. No optimiser is needed for that: the forward pass does it."
        ),
        caught_by=TRAINING,
        swap=((MODE, "module.training = isinstance(module, nn.BatchNorm1d) or any(flags)"),),
    ),
    WrongAnswer(
        id="dropout-of-the-frozen-part",
        title="dropout active in a frozen part",
        explanation=(
            "Modules without parameters are in training mode as soon as anything in the model is trainable. Dropout "
            "belongs to the part that it stands in: look at its nearest ancestor with parameters, not at the model."
        ),
        caught_by=MODES,
        swap=(
            (
                LAST,
                LAST + "    for module in model.modules():\n"
                "        if not list(module.parameters()) and not list(module.buffers()):\n"
                "            module.training = model.training\n",
            ),
        ),
    ),
    WrongAnswer(
        id="dropout-of-the-head-off",
        title="everything without parameters in evaluation mode",
        explanation=(
            "Dropout has no parameters, so none of them is trainable, and your code switches it off even in the head "
            "that is being trained. The head then overfits without the regularisation it was given. For such modules "
            "the table asks their surroundings."
        ),
        caught_by=MODES,
        swap=((MODE, "module.training = any(own)"),),
    ),
    WrongAnswer(
        id="substring-matched",
        title="patterns found anywhere in a name",
        explanation=(
            "`layers.1` is also a part of `layers.10.weight`, so more is trained than was asked for. The pattern has "
            "to match the name from the first character to the last."
        ),
        caught_by=NAMES,
        swap=((MATCH, 'if pattern.strip("*") in name]'),),
    ),
    # ------------------------------------------------------------ not in the entry
    WrongAnswer(
        id="beginning-matched",
        title="a pattern compared with the beginning of a name",
        explanation=(
            "Your code takes a pattern for a prefix. Stars may stand anywhere, and `?` and `[01]` have a meaning; "
            "the standard library knows these patterns."
        ),
        caught_by=NAMES,
        swap=((MATCH, 'if name.startswith(pattern.rstrip("*"))]'),),
    ),
    WrongAnswer(
        id="regular-expression",
        title="the patterns read as regular expressions",
        explanation=(
            "In a regular expression a dot is any character, `?` makes what precedes it optional, and a match need not "
            "reach the end. The patterns are the simpler ones that file names are matched with."
        ),
        caught_by=NAMES,
        swap=((MATCH, 'if __import__("re").match(pattern if pattern[:1] != "*" else "." + pattern, name)]'),),
    ),
    WrongAnswer(
        id="end-left-open",
        title="a name may go on where the pattern ends",
        explanation=(
            "`scale` also trains `scale_offset` in your version, as `weight_ih_l0` of an LSTM would train "
            "`weight_ih_l0_reverse`. A pattern without a star at its end has to end where the name ends."
        ),
        caught_by=NAMES,
        swap=(
            (
                "    for parameter in model.parameters():\n        parameter.requires_grad_",
                "    chosen = {p for name, p in named if any(fnmatchcase(name, each + '*') for each in trainable)}\n"
                "    for parameter in model.parameters():\n        parameter.requires_grad_",
            ),
        ),
    ),
    WrongAnswer(
        id="dots-not-covered",
        title="a star that stops at a dot",
        explanation=(
            "Your star covers one part of a name, as in paths of files, so `*.bias` misses `layers.0.bias`. In these "
            "patterns a dot is a character like any other."
        ),
        caught_by=NAMES,
        swap=((MATCH, 'if fnmatchcase(name, pattern) and name.count(".") == pattern.count(".")]'),),
    ),
    WrongAnswer(
        id="one-name-freezes",
        title="a name that does not match freezes a tied parameter",
        explanation=(
            "A tied parameter comes up once under each of its names. In your version a name that does not match undoes "
            "what another of its names has decided. One match is enough."
        ),
        caught_by=NAMES,
        swap=(
            (
                "    for parameter in model.parameters():\n        parameter.requires_grad_(parameter in chosen)",
                "    last = dict((parameter, name) for name, parameter in named)  # of several names the last\n"
                "    chosen = {p for p in chosen if any(fnmatchcase(last[p], pattern) for pattern in trainable)}\n"
                "    for parameter in model.parameters():\n        parameter.requires_grad_(parameter in chosen)",
            ),
        ),
    ),
    WrongAnswer(
        id="regular-expression-by-hand",
        title="a regular expression made by hand, in which a dot is any character",
        explanation=(
            "You turn the pattern into a regular expression and leave its dots as they are, where they stand for any "
            "character: `layers.1.*` then covers `layers.10.weight`. The standard library has these patterns ready."
        ),
        caught_by=NAMES,
        swap=((MATCH, 'if __import__("re").fullmatch(pattern.replace("?", ".").replace("*", ".*"), name)]'),),
    ),
    WrongAnswer(
        id="beginning-left-open",
        title="a name may begin before the pattern does",
        explanation=(
            "`head.weight` also trains `decoder.head.weight` in your version. A pattern without a star at its beginning "
            "has to begin where the name begins."
        ),
        caught_by=NAMES,
        swap=((MATCH, 'if fnmatchcase(name, "*" + pattern)]'),),
    ),
    WrongAnswer(
        id="upper-and-lower-case-alike",
        title="upper and lower case treated alike",
        explanation=(
            "`h*` also matches `Head.weight` for you. Names of parameters are code, and code tells the cases apart."
        ),
        caught_by=NAMES,
        swap=((MATCH, "if fnmatchcase(name.lower(), pattern.lower())]"),),
    ),
    WrongAnswer(
        id="never-unfrozen",
        title="what was frozen once stays frozen",
        explanation=(
            "Your function switches parameters off and none on. Called a second time with other patterns, as in "
            "gradual unfreezing, it leaves the newly chosen ones frozen."
        ),
        caught_by=NAMES,
        swap=((SET, "parameter.requires_grad_(parameter in chosen and parameter.requires_grad)"),),
    ),
    WrongAnswer(
        id="unsorted",
        title="the names in the order of the model",
        explanation="The parameters are right; the list of their names has to be sorted.",
        caught_by=NAMES,
        swap=(
            (
                "return sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)",
                "return [name for name, parameter in model.named_parameters() if parameter.requires_grad]",
            ),
        ),
    ),
    WrongAnswer(
        id="tied-by-first-name",
        title="a tied parameter known by its first name only",
        explanation=(
            "`named_parameters()` gives a tied parameter once, under the first of its names, so a pattern for the "
            "other name finds nothing or freezes it. Ask for all the names."
        ),
        caught_by=NAMES,
        swap=(("model.named_parameters(remove_duplicate=False))  #", "model.named_parameters())  #"),),
    ),
    WrongAnswer(
        id="tied-listed-twice",
        title="a tied parameter listed under all its names",
        explanation=(
            "Your list has two names for one parameter. Each is to appear once, as `model.named_parameters()` calls it."
        ),
        caught_by=NAMES,
        swap=(
            (
                "sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)",
                "sorted(name for name, parameter in named if parameter.requires_grad)",
            ),
        ),
    ),
    WrongAnswer(
        id="gradients-zeroed-in-place",
        title="gradients of frozen parameters filled with zeros in place",
        explanation=(
            "The flags are right, but a gradient of zeros is a gradient: an optimiser that holds the parameter still "
            "applies its weight decay and its momentum. PyTorch skips a parameter only if it has no gradient at all."
        ),
        caught_by=GRADIENTS,
        swap=(
            (
                CLEAR,
                "        if parameter not in chosen and parameter.grad is not None:\n            parameter.grad.zero_()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="cleared-when-switched-off",
        title="gradients cleared only where the flag is switched off now",
        explanation=(
            "A parameter that was frozen already, by other code for instance, may still have the gradient of an earlier "
            "backward pass, and an optimiser that holds it goes on moving it. Frozen parameters have none afterwards, "
            "whatever their flag was before."
        ),
        caught_by=GRADIENTS,
        swap=(
            (
                "        parameter.requires_grad_(parameter in chosen)\n        if parameter not in chosen:",
                "        was_trainable = parameter.requires_grad\n"
                "        parameter.requires_grad_(parameter in chosen)\n"
                "        if was_trainable and parameter not in chosen:",
            ),
        ),
    ),
    WrongAnswer(
        id="all-gradients-cleared",
        title="the gradients of trainable parameters cleared too",
        explanation=(
            "Your function empties every gradient. Those of trainable parameters may be in use, in the middle of an "
            "accumulation for instance, and are to stay."
        ),
        caught_by=GRADIENTS,
        swap=(
            (
                "        if parameter not in chosen:\n            parameter.grad",
                "        if True:\n            parameter.grad",
            ),
        ),
    ),
    WrongAnswer(
        id="unmatched-pattern-unnoticed",
        title="patterns that match nothing pass unnoticed",
        explanation=(
            "A misspelt pattern freezes the head too, and training then learns nothing or less than was meant. It has "
            "to be reported."
        ),
        caught_by=REFUSED,
        swap=((REFUSE, ""),),
    ),
    WrongAnswer(
        id="only-all-unmatched",
        title="an error only if no pattern matches at all",
        explanation=(
            "Of two patterns one is misspelt, and your function says nothing because the other one matches. Each "
            "pattern has to match something."
        ),
        caught_by=REFUSED,
        swap=(
            (REFUSE, ""),
            (
                "    for parameter in model.parameters():\n        parameter.requires_grad_",
                "    if trainable and not chosen:\n"
                '        raise ValueError("nothing matches")\n'
                "    for parameter in model.parameters():\n        parameter.requires_grad_",
            ),
        ),
    ),
    WrongAnswer(
        id="frozen-before-refusing",
        title="the model changed before the patterns are looked at",
        explanation=(
            "The error is raised, but by then the model has been frozen in part or as a whole, and whoever catches "
            "the error has another model than before. Look first, change afterwards."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    chosen: set[nn.Parameter] = set()\n",
                "    chosen: set[nn.Parameter] = set()\n    model.requires_grad_(False)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="string-accepted",
        title="a plain string taken for a list of patterns",
        explanation=(
            'A string is a sequence of characters, so `"*"` trains everything and any other string means something that '
            "nobody meant. It has to be refused with the exception that the rules name."
        ),
        caught_by=REFUSED,
        swap=(("    if isinstance(trainable, str):", "    if False:"),),
    ),
    WrongAnswer(
        id="own-parameters-only",
        title="only a module's own parameters looked at",
        explanation=(
            "A Sequential has no parameters of its own, so your code takes it, and the dropout in it, for frozen. "
            "Look at what is inside: `parameters()` of a module includes everything below it unless told otherwise."
        ),
        caught_by=MODES,
        swap=(("module.parameters()]\n        flags", "module.parameters(recurse=False)]\n        flags"),),
    ),
    WrongAnswer(
        id="mode-of-the-parent-only",
        title="a frozen layer in training mode because its neighbours are trained",
        explanation=(
            "Whatever stands in a container of which a part is trained is in training mode for you, a frozen batch "
            "normalisation too, so its statistics drift. A module with parameters goes by its own."
        ),
        caught_by=MODES,
        swap=((OWN, "        flags = own if own and list(module.children()) else inherited[module]\n"),),
    ),
    WrongAnswer(
        id="all-parameters-needed",
        title="training mode only where all parameters are trainable",
        explanation=(
            "A container of which a part is frozen goes to evaluation mode, and the dropout directly inside it with it. "
            "For modules with parameters one trainable parameter is enough."
        ),
        caught_by=MODES,
        swap=((MODE, "module.training = bool(flags) and all(flags)"),),
    ),
    WrongAnswer(
        id="statistics-without-parameters",
        title="statistics without parameters drift in a partly frozen part",
        explanation=(
            "Batch normalisation with affine=False has no parameters, so your code treats it like dropout. But it has "
            "statistics, and frozen layers behind it were trained with these. The table has a row of its own for it."
        ),
        caught_by=MODES,
        swap=((MODE, "module.training = any(flags)"),),
    ),
    WrongAnswer(
        id="only-batch-normalisation",
        title="batch normalisation taken for the only kind of statistics",
        explanation=(
            "Your rule for buffers asks for the class BatchNorm. Other modules have statistics without parameters too: "
            "instance normalisation, an average of your own, a container that holds one. The table asks for buffers."
        ),
        caught_by=MODES,
        swap=((STATISTICS, "has_statistics = not own and isinstance(module, nn.modules.batchnorm._BatchNorm)"),),
    ),
    WrongAnswer(
        id="own-buffers-only",
        title="only a module's own buffers looked at",
        explanation=(
            "A Sequential of batch normalisation without parameters and dropout has no buffers of its own, so your "
            "code treats it like dropout. Inside means in itself or in anything below it."
        ),
        caught_by=MODES,
        swap=(("bool(list(module.buffers()))", "bool(list(module.buffers(recurse=False)))"),),
    ),
    WrongAnswer(
        id="mode-handed-down",
        title="the mode of the parent handed down to dropout",
        explanation=(
            "Your dropout takes the mode of the module directly above it. If that module has no parameters itself, its "
            "mode may be that of its statistics. What counts for dropout is what is trainable in its nearest "
            "ancestor with parameters."
        ),
        caught_by=MODES,
        swap=(
            (
                MODE,
                MODE + "\n        for child in module.children():\n"
                "            if not list(child.parameters()) and not list(child.buffers()):\n"
                "                child.handed = module.training\n"
                '        module.training = getattr(module, "handed", module.training)',
            ),
        ),
    ),
    WrongAnswer(
        id="all-of-the-model-asked",
        title="statistics without parameters move only if all of the model is trainable",
        explanation=(
            "For a module with buffers only your code asks the parameters of the whole model. In a head that is trained "
            "as a whole, on a frozen encoder, its statistics should move: ask the nearest ancestor with parameters."
        ),
        caught_by=MODES,
        swap=(
            (
                MODE,
                "of_the_model = [parameter.requires_grad for parameter in model.parameters()]\n"
                "        module.training = bool(flags) and all(of_the_model) if has_statistics else any(flags)",
            ),
        ),
    ),
    WrongAnswer(
        id="saved-buffers-only",
        title="buffers that are not saved overlooked",
        explanation=(
            "A `state_dict` leaves out buffers registered with persistent=False. They are buffers, and forward passes "
            "change them like others; ask the module for its buffers."
        ),
        caught_by=MODES,
        swap=(("bool(list(module.buffers()))", "bool(module.state_dict())"),),
    ),
    WrongAnswer(
        id="partly-frozen-norm",
        title="batch normalisation in evaluation mode because one of its two parameters is frozen",
        explanation=(
            "For batch normalisation your code wants the weight and the bias trainable. The first row of the table makes "
            "no difference between layers: one trainable parameter inside is enough."
        ),
        caught_by=MODES,
        swap=((MODE, MODE.replace("has_statistics", "has_statistics or isinstance(module, nn.BatchNorm1d)")),),
    ),
    WrongAnswer(
        id="parent-asked",
        title="only the parent asked, not the nearest ancestor with parameters",
        explanation=(
            "Dropout may stand in a container that has no parameters either. Your code then finds nothing trainable "
            "there and switches it off. Go on upwards until a module has parameters."
        ),
        caught_by=MODES,
        swap=((LAST, LAST.replace("flags)", "own)")),),
    ),
    WrongAnswer(
        id="containers-forgotten",
        title="the mode of containers left as it was",
        explanation=(
            "Layers get their mode, but the model, a Sequential or a block keeps the one it had. Code that asks "
            "`module.training` of a container, as many a forward method does, gets a wrong answer."
        ),
        caught_by=MODES,
        swap=((MODE, "if not list(module.children()):\n            " + MODE),),
    ),
    WrongAnswer(
        id="never-switched-on",
        title="training mode never switched on",
        explanation=(
            "Your function switches frozen modules to evaluation mode and leaves the others as they are. A model that "
            "comes from a checkpoint is in evaluation mode as a whole, so its head would be trained without dropout."
        ),
        caught_by=BEFORE,
        swap=((MODE, "module.training = module.training and (all(flags) if has_statistics else any(flags))"),),
    ),
    WrongAnswer(
        id="statistics-never-move",
        title="statistics without parameters stand still even when everything is trained",
        explanation=(
            "Batch normalisation with affine=False stays in evaluation mode in a model that is trained as a whole, so "
            "its statistics never follow the features. The table says when it is in training mode."
        ),
        caught_by=BEFORE,
        swap=((MODE, "module.training = any(flags) and not has_statistics"),),
    ),
    WrongAnswer(
        id="nothing-trainable-ignored",
        title="modes left as they were when nothing is trainable",
        explanation=(
            "With everything frozen your function leaves some or all modules in the mode in which they were. Such a "
            "model is used for its features, and all of it belongs in evaluation mode."
        ),
        caught_by=BEFORE,
        swap=(
            (
                WALK,
                "    if not any(parameter.requires_grad for parameter in model.parameters()):\n        return\n" + WALK,
            ),
        ),
    ),
    WrongAnswer(
        id="optimizer-holds-everything",
        title="frozen parameters handed to the optimiser",
        explanation=(
            "Your optimiser holds all parameters. It works as long as every gradient of a frozen one is None, and a "
            "single gradient left over, or set by other code, moves what should stand still."
        ),
        caught_by=OPTIMIZER,
        swap=((FILTER, "trainable = list(model.parameters())\n    if not"),),
    ),
    WrongAnswer(
        id="decay-ignored",
        title="weight_decay not passed on",
        explanation="The optimiser has its default decay of 0.01, whatever is asked for.",
        caught_by=OPTIMIZER,
        swap=(("lr=lr, weight_decay=weight_decay)", "lr=lr)"),),
    ),
    WrongAnswer(
        id="rate-ignored",
        title="lr not passed on",
        explanation="The optimiser has its default rate of 0.001, whatever is asked for.",
        caught_by=OPTIMIZER,
        swap=(("lr=lr, weight_decay=weight_decay)", "weight_decay=weight_decay)"),),
    ),
    WrongAnswer(
        id="l2-penalty-instead",
        title="Adam with an L2 penalty instead of AdamW",
        explanation=(
            "In `torch.optim.Adam` the decay is added to the gradient and then divided by Adam's running scale, so it "
            "is another one than asked for. The W stands for decay that bypasses this."
        ),
        caught_by=OPTIMIZER,
        swap=(("torch.optim.AdamW(trainable, lr", "torch.optim.Adam(trainable, lr"),),
    ),
]

alternatives = [
    Alternative(
        id="by-names",
        title="sets of names; parents found by their qualified names",
        code="""
import fnmatch


def freeze_except(model, trainable):
    if isinstance(trainable, (str, bytes)):
        raise TypeError(type(trainable))
    every = dict(model.named_parameters(remove_duplicate=False))
    hits = set()
    for pattern in trainable:
        found = fnmatch.filter(every, pattern)
        if len(found) == 0:
            raise ValueError(pattern)
        hits |= {id(every[name]) for name in found}
    names = []
    for name, parameter in model.named_parameters():
        if id(parameter) in hits:
            parameter.requires_grad = True
            names.append(name)
        else:
            parameter.requires_grad = False
            parameter.grad = None
    names.sort()
    return names


def set_training_mode(model):
    modules = dict(model.named_modules())
    for name, module in modules.items():
        flags = [p.requires_grad for p in module.parameters()]
        if flags:
            module.training = any(flags)
            continue
        parent, above = name, []
        while parent and not above:
            parent = parent.rpartition(".")[0]
            above = [p.requires_grad for p in modules[parent].parameters()]
        statistics = list(module.buffers())
        module.training = bool(above) and (all(above) if statistics else any(above))


def make_optimizer(model, lr, weight_decay):
    groups = [{"params": [p]} for p in model.parameters() if p.requires_grad]
    if groups == []:
        raise ValueError("nothing to train")
    return torch.optim.AdamW(groups, lr, weight_decay=weight_decay)
""",
    ),
    Alternative(
        id="eval-then-on",
        title="everything off first, then on; a stack instead of recursion",
        code="""
def freeze_except(model, trainable):
    import re
    from fnmatch import translate

    if not isinstance(trainable, (list, tuple, set)):
        raise TypeError("a list of patterns")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    on = []
    for pattern in trainable:
        expression = re.compile(translate(pattern))
        matching = [p for name, p in parameters.items() if expression.match(name)]
        if not matching:
            raise ValueError(f"no match: {pattern}")
        on.extend(matching)
    gradients = {id(p): p.grad for p in on}
    model.requires_grad_(False)
    model.zero_grad(set_to_none=True)
    for parameter in on:
        parameter.requires_grad = True
        parameter.grad = gradients[id(parameter)]
    return sorted([name for name, p in model.named_parameters() if p.requires_grad])


def set_training_mode(model):
    model.eval()
    stack = [(model, [])]
    while stack:
        module, above = stack.pop()
        inside = [p.requires_grad for p in module.parameters()] or above
        if inside is above and next(module.buffers(), None) is not None:
            module.training = len(above) > 0 and False not in above
        else:
            module.training = True in inside
        stack.extend((child, inside) for child in module.children())
""",
    ),
    Alternative(
        id="two-passes",
        title="modes counted in two passes; a generator for the optimiser",
        code="""
def set_training_mode(model):
    def count(module):
        total = trained = 0
        for parameter in module.parameters():
            total += 1
            trained += int(parameter.requires_grad)
        return total, trained

    parents = {child: module for module in model.modules() for child in module.children()}
    modes = {}
    for module in model.modules():
        total, trained = count(module)
        if total:
            modes[module] = trained > 0
            continue
        ancestor = parents.get(module)
        while ancestor is not None and count(ancestor)[0] == 0:
            ancestor = parents.get(ancestor)
        if ancestor is None:
            modes[module] = False
        elif sum(1 for _ in module.buffers()):
            modes[module] = count(ancestor)[0] == count(ancestor)[1]
        else:
            modes[module] = count(ancestor)[1] != 0
    for module, mode in modes.items():
        module.training = mode


def make_optimizer(model, lr, weight_decay):
    return torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=lr, weight_decay=weight_decay)
""",
    ),
]

equivalent_mutants = {
    "dropped `raise ValueError('no parameter is trainable')`": "AdamW itself raises ValueError for an empty list"
}
