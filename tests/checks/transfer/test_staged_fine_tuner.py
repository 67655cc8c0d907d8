"""Checks of transfer/staged_fine_tuner. One probe builds a model on small encoders and carries out a list of commands.

What is trainable, in training mode or moved is listed by hand; logits are worked out from the features one by one.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from grader.checking import assert_close, assert_equal, assert_shape, catches, points, raises, visible

# ---------------------------------------------------------------- what runs in the student's process


def run_a_fine_tuner(student, commands, seed=0):
    """The answers to some commands given to a MultimodalFineTuner (image 6, text 4, hidden 7, 3 classes).

    ("set_stage", stage, top_k or None), ("train",), ("eval",), ("backward", inputs) and ("head", tensors) answer
    nothing; the others are explained below.
    """
    import copy
    from types import SimpleNamespace

    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.lin, self.norm, self.drop = nn.Linear(width, width), nn.LayerNorm(width), nn.Dropout(0.5)

        def forward(self, x):
            return self.norm(x + self.drop(self.lin(x)))

    class Images(nn.Module):
        def __init__(self):
            super().__init__()
            self.whiten = nn.BatchNorm2d(3, affine=False)
            self.patches, self.norm = nn.Conv2d(3, 6, 2, stride=2), nn.BatchNorm2d(6)
            self.blocks = nn.ModuleList([Block(6), Block(6), Block(6)])
            self.final = nn.LayerNorm(6)

        def forward(self, pixel_values):
            x = self.norm(self.patches(self.whiten(pixel_values))).flatten(2).transpose(1, 2)
            for block in self.blocks:
                x = block(x)
            return SimpleNamespace(last_hidden_state=self.final(x))

    class Texts(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.drop = nn.Embedding(20, 4), nn.Dropout(0.5)
            self.scale = nn.Parameter(torch.tensor(1.5))
            self.blocks = nn.ModuleList([Block(4), Block(4)])
            self.final = nn.LayerNorm(4)
            self.poisoned = False

        def forward(self, input_ids, attention_mask):
            self.seen = attention_mask
            x = self.drop(self.embedding(input_ids)) * self.scale
            share = (attention_mask / attention_mask.sum(dim=1, keepdim=True).clamp(min=1)).to(x)
            x = x + (share[:, :, None] * x).sum(dim=1, keepdim=True)  # every token sees the real ones
            for block in self.blocks:
                x = block(x)
            x = self.final(x)
            if self.poisoned:
                x = x.masked_fill(attention_mask[:, :, None] == 0, torch.nan)
            return SimpleNamespace(last_hidden_state=x)

    torch.manual_seed(seed)
    images, texts = Images(), Texts()
    for parameter in (*images.parameters(), *texts.parameters()):
        nn.init.normal_(parameter, std=0.5)
    for buffer in images.buffers():
        if buffer.is_floating_point():
            nn.init.uniform_(buffer, 0.5, 1.5)
    model = student.MultimodalFineTuner(images, texts, 6, 4, 7, 3, dropout=0.25).double()
    optimizers, answers = [], []

    def names_of(parameters):
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        return sorted(names.get(id(parameter), "a parameter of no model") for parameter in parameters)

    def loss(inputs):
        return nn.functional.cross_entropy(model(*inputs), torch.arange(len(inputs[0])) % 3)

    for command, *arguments in commands:
        if command == "set_stage":
            stage, top_k = arguments
            settings = {} if top_k is None else {"top_k": top_k}
            student.set_stage(model, stage, images.blocks, texts.blocks, **settings)
        elif command == "set_stage refused":  # the classes of the error; None: no error. Here the blocks come as lists.
            stage, top_k = arguments
            answers.append(None)
            try:
                student.set_stage(model, stage, list(images.blocks), list(texts.blocks), top_k)
            except Exception as error:
                answers[-1] = [base.__name__ for base in type(error).__mro__]
        elif command == "train":
            model.train()
        elif command == "eval":
            model.eval()
        elif command == "head":
            with torch.no_grad():
                for parameter, value in zip(model.head.parameters(), arguments[0], strict=True):
                    parameter.copy_(value)
        elif command == "backward":
            loss(arguments[0]).backward()
        elif command == "describe":  # is each encoder the given one, the parts of the head, what train and eval return
            kinds = [type(module).__name__ for module in model.head]
            same = [model.image_encoder is images, model.text_encoder is texts, model.train() is model]
            sizes = [list(parameter.shape) for parameter in model.head.parameters()]
            answers.append([same, type(model.head).__name__, kinds, sizes, model.head[2].p, str(model.head[1])])
        elif command == "logits":
            with torch.no_grad():
                answers.append(model(*arguments[0]))
        elif command == "hidden states":
            pixels, ids, mask = arguments[0]
            with torch.no_grad():
                answers.append([images(pixels).last_hidden_state, texts(ids, mask).last_hidden_state])
        elif command == "mask seen":
            answers.append([list(texts.seen.shape), texts.seen.double()])
        elif command == "poison":
            texts.poisoned = True
        elif command == "trainable":
            answers.append(sorted(name for name, p in model.named_parameters() if p.requires_grad))
        elif command == "gradients":
            answers.append(sorted(name for name, p in model.named_parameters() if p.grad is not None))
        elif command == "finite gradients":
            answers.append(all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None))
        elif command == "fill gradients":
            for parameter in model.parameters():
                parameter.grad = torch.ones_like(parameter)
        elif command == "modes":
            answers.append(sorted(name or "model" for name, module in model.named_modules() if module.training))
        elif command == "groups":
            groups = student.param_groups(model, *arguments)
            answers.append([[names_of(group["params"]), group["lr"], group["weight_decay"]] for group in groups])
            optimizers.append(torch.optim.AdamW(groups))
        elif command == "optimise everything":
            optimizers.append(torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.3))
        elif command == "fit":  # names of what changed; gradients of the newest optimiser's parameters are cleared
            inputs, steps = arguments
            before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            for _ in range(steps):
                optimizers[-1].zero_grad()
                loss(inputs).backward()
                for optimizer in optimizers:
                    optimizer.step()
            answers.append(sorted(n for n, tensor in model.state_dict().items() if not torch.equal(tensor, before[n])))
        elif command == "copies":  # logits of a model on copied encoders, before and after the originals are changed
            twin = copy.deepcopy(model).eval()
            with torch.no_grad():
                first = twin(*arguments[0])
                for parameter in model.parameters():
                    parameter.add_(1.0)
                answers.append([first, twin(*arguments[0])])
            student.set_stage(twin, "head", twin.image_encoder.blocks, twin.text_encoder.blocks)
            answers.append(sorted(name for name, p in twin.named_parameters() if p.requires_grad))
    return answers


def try_the_toy_encoders(student, batch):
    """The steps of the visible cell, on encoders like those of the notebook."""
    from types import SimpleNamespace

    from torch import nn

    class Images(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.norm = nn.Conv2d(3, 6, 2, stride=2), nn.BatchNorm2d(6)
            self.blocks = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])

        def forward(self, pixel_values):
            x = self.norm(self.patches(pixel_values)).flatten(2).transpose(1, 2)
            for block in self.blocks:
                x = x + block(x).tanh()
            return SimpleNamespace(last_hidden_state=x)

    class Texts(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.final = nn.Embedding(9, 5), nn.LayerNorm(5)
            self.blocks = nn.ModuleList([nn.Linear(5, 5), nn.Linear(5, 5)])

        def forward(self, input_ids, attention_mask):
            x = self.embedding(input_ids)
            for block in self.blocks:
                x = x + block(x).tanh()
            return SimpleNamespace(last_hidden_state=self.final(x))

    images, texts = Images(), Texts()
    model = student.MultimodalFineTuner(images, texts, image_dim=6, text_dim=5, hidden=7, n_classes=3)
    shape = list(model(*batch).shape)
    student.set_stage(model, "head", images.blocks, texts.blocks)
    model.train()
    of_head = sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    modes = [images.norm.training, model.head[2].training]
    student.set_stage(model, "top", images.blocks, texts.blocks, top_k=1)
    of_top = sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    groups = student.param_groups(model, head_lr=1e-3, backbone_lr=1e-5, weight_decay=0.1)
    settings = sorted([group["lr"], group["weight_decay"], len(group["params"])] for group in groups)
    return shape, of_head, modes, of_top, settings


# ---------------------------------------------------------------- what is expected


def block(name: str) -> list[str]:
    return [f"{name}.{part}" for part in ("lin.bias", "lin.weight", "norm.bias", "norm.weight")]


def modules_of_block(name: str) -> list[str]:
    return [name, *(f"{name}.{part}" for part in ("lin", "norm", "drop"))]


HEAD = ["head.0.bias", "head.0.weight", "head.3.bias", "head.3.weight"]
IMAGE_BLOCKS = [f"image_encoder.blocks.{i}" for i in range(3)]
TEXT_BLOCKS = [f"text_encoder.blocks.{i}" for i in range(2)]
TOP_ONE = sorted(HEAD + block(IMAGE_BLOCKS[2]) + block(TEXT_BLOCKS[1]))
TOP_TWO = sorted(TOP_ONE + block(IMAGE_BLOCKS[1]) + block(TEXT_BLOCKS[0]))
NOT_IN_BLOCKS = [f"image_encoder.{name}.{kind}" for name in ("patches", "norm", "final") for kind in ("bias", "weight")]
NOT_IN_BLOCKS += ["text_encoder.embedding.weight", "text_encoder.scale"]
NOT_IN_BLOCKS += ["text_encoder.final.bias", "text_encoder.final.weight"]
FULL = sorted(TOP_TWO + block(IMAGE_BLOCKS[0]) + NOT_IN_BLOCKS)
STAGES = {("head", None): HEAD, ("top", None): TOP_ONE, ("top", 1): TOP_ONE, ("top", 2): TOP_TWO, ("full", None): FULL}

HEAD_MODULES = ["model", "head", "head.0", "head.1", "head.2", "head.3"]
TOP_MODULES = [*HEAD_MODULES, "image_encoder", "image_encoder.blocks", *modules_of_block(IMAGE_BLOCKS[2])]
TOP_MODULES += ["text_encoder", "text_encoder.drop", "text_encoder.blocks", *modules_of_block(TEXT_BLOCKS[1])]
FULL_MODULES = sorted(
    {*TOP_MODULES, "text_encoder.embedding", "text_encoder.final"}
    | {f"image_encoder.{name}" for name in ("whiten", "patches", "norm", "final")}
    | {name for each in IMAGE_BLOCKS + TEXT_BLOCKS for name in modules_of_block(each)}
)
STATISTICS = [
    f"image_encoder.{name}.{kind}"
    for name in ("whiten", "norm")
    for kind in ("num_batches_tracked", "running_mean", "running_var")
]


def a_batch(rng: np.random.Generator, mask: list[list[int]]) -> list[Tensor]:
    attention_mask = torch.tensor(mask)
    pixels = torch.from_numpy(rng.standard_normal((len(mask), 3, 4, 4)))
    return [pixels, torch.from_numpy(rng.integers(0, 20, attention_mask.shape)), attention_mask]


def a_head(rng: np.random.Generator) -> list[Tensor]:
    """Weight and bias of both layers, in the order of head.parameters()."""
    return [torch.from_numpy(rng.standard_normal(shape)) for shape in ((7, 10), (7,), (3, 7), (3,))]


def logits_of(head: list[Tensor], image_tokens: Tensor, text_tokens: Tensor, mask: Tensor) -> Tensor:
    """Sample by sample, token by token, unit by unit."""
    rows = []
    for image, text, real in zip(image_tokens, text_tokens, mask.tolist(), strict=True):
        kept = [token for token, is_real in zip(text, real, strict=True) if is_real]
        average = [float(sum(token[d] for token in kept)) / len(kept) if kept else 0.0 for d in range(text.shape[1])]
        joined = torch.cat((image[0], torch.tensor(average, dtype=torch.float64)))
        before = head[0] @ joined + head[1]
        activated = [float(z) * 0.5 * (1 + math.erf(float(z) / math.sqrt(2))) for z in before]
        rows.append(head[2] @ torch.tensor(activated, dtype=torch.float64) + head[3])
    return torch.stack(rows)


def assert_names(found: list[str], wanted: list[str], said: str, cause: str = "") -> None:
    surplus, missing = sorted(set(found) - set(wanted)), sorted(set(wanted) - set(found))
    if surplus or missing:
        text = f"{said}: too many are {', '.join(surplus) or 'none'}; missing are {', '.join(missing) or 'none'}."
        raise AssertionError(text + (f"\nLikely cause: {cause}" if cause else ""))


def called(stage: str, top_k: int | None) -> str:
    return f"set_stage(model, {stage!r}, ...{'' if top_k is None else f', top_k={top_k}'})"


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_two_toy_encoders(student, rng):
    """Stages, modes and groups of a model on two toy encoders."""
    mask = torch.tensor([[1, 1, 1, 0, 0, 0]] * 3 + [[0] * 6])
    pixels = torch.from_numpy(rng.standard_normal((4, 3, 4, 4))).float()
    batch = [pixels, torch.from_numpy(rng.integers(0, 9, (4, 6))), mask]
    shape, of_head, modes, of_top, settings = student.run(try_the_toy_encoders, batch)
    assert_equal(shape, [4, 3], what="shape of the logits")
    assert_equal(of_head, HEAD, what="list of trainable parameters in stage 'head'")
    assert_equal(modes, [False, True], what="list of the modes of BatchNorm and of the dropout of the head")
    blocks = [f"{part}_encoder.blocks.1.{kind}" for part in ("image", "text") for kind in ("bias", "weight")]
    assert_equal(of_top, sorted(HEAD + blocks), what="list of trainable parameters in stage 'top'")
    wanted = [[1e-5, 0.0, 2], [1e-5, 0.1, 2], [1e-3, 0.0, 2], [1e-3, 0.1, 2]]
    assert_equal(settings, wanted, what="sorted list of lr, weight_decay and number of parameters of each group")


@points(1)
@catches("text-before-image", "last-image-token", "image-mean", "no-activation", "encoders-copied")
def test_head_and_logits(student, rng):
    """The head is made as announced, and the logits are those of the image's token 0 and the text's mean."""
    batch, head = a_batch(rng, [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]), a_head(rng)
    commands = [("describe",), ("head", head), ("eval",), ("hidden states", batch), ("logits", batch)]
    description, hidden, logits = student.run(run_a_fine_tuner, commands)
    same, kind, kinds, sizes, dropout, activation = description
    assert_equal(same[:2], [True, True], what="list of the answers to 'is this encoder the given one'")
    assert_equal(same[2], True, what="answer to 'does train() return the model'")
    assert_equal(kind, "Sequential", what="class of the head")
    assert_equal(kinds, ["Linear", "GELU", "Dropout", "Linear"], what="list of the classes in the head")
    assert_equal(activation, "GELU(approximate='none')", what="activation in the head")
    assert_equal(sizes, [[7, 10], [7], [3, 7], [3]], what="list of the shapes of the head's parameters")
    assert_equal(dropout, 0.25, what="dropout of the head")
    assert_shape(logits, (3, 3), what="logits")
    cause = "token 0 of the image, then the mean of the text's tokens, through the four modules of the head"
    assert_close(logits, logits_of(head, *hidden, batch[2]), what="logits", cause=cause)


@points(1)
@catches("mask-not-handed-on", "mean-over-all-tokens", "divided-by-the-length", "empty-text-is-nan", "nan-times-zero")
def test_masked_tokens_play_no_part(student, rng):
    """The text feature is the mean of the real tokens alone, and 0 where there are none."""
    mask = [[1, 1, 0, 0, 0, 0], [0] * 6, [1] * 6, [0, 1, 0, 1, 1, 0], [0, 0, 1, 0, 0, 0]]
    batch, head = a_batch(rng, mask), a_head(rng)
    other_ids = torch.where(batch[2] == 1, batch[1], (batch[1] + 7) % 20)
    other, boolean = [batch[0], other_ids, batch[2]], [batch[0], batch[1], batch[2].bool()]
    asked = [("hidden states", batch), ("logits", batch), ("mask seen",), ("logits", other), ("logits", boolean)]
    asked += [("poison",), ("logits", batch), ("backward", batch), ("finite gradients",)]
    hidden, logits, seen, with_other_ids, with_booleans, poisoned, finite = student.run(
        run_a_fine_tuner, [("head", head), ("eval",), *asked]
    )
    assert_equal(seen[0], [5, 6], what="shape of the mask that the text encoder was given")
    assert_equal(seen[1], batch[2].double(), what="mask that the text encoder was given", cause="hand it on as it is")
    expected = logits_of(head, *hidden, batch[2])
    cause = "masked tokens count neither in the sum nor in the number; without real tokens the feature is 0"
    assert_close(logits, expected, what="logits", cause=cause)
    assert_close(with_other_ids, expected, what="logits with other ids at masked positions", cause=cause)
    assert_close(with_booleans, expected, what="logits with a mask of booleans")
    cause = "0 times NaN is NaN: masked tokens have to be emptied, not multiplied"
    assert_close(poisoned, expected, what="logits when the encoder returns NaN at masked positions", cause=cause)
    assert_equal(finite, True, what="answer to 'are all gradients finite' in that case", cause=cause)


@points(1)
@catches("mask-of-any-shape", "unknown-stage-is-full", "top-k-cut-off", "zero-blocks", "frozen-before-refusing")
def test_what_makes_no_sense_is_refused(student, rng):
    """A mask of another shape, an unknown stage and too many or too few blocks are refused, and nothing has changed."""
    batch = a_batch(rng, [[1, 1, 1, 0], [1, 1, 1, 1]])
    for shape in ((2, 3), (1, 4), (2, 1), (4,), (2, 4, 1)):
        ones = torch.ones(shape, dtype=torch.int64)
        with raises(ValueError, what=f"a call with ids of shape (2, 4) and a mask of shape {shape}"):
            student.run(run_a_fine_tuner, [("eval",), ("logits", [*batch[:2], ones])])
    for stage, top_k in (("heads", 1), ("", 1), ("Full", 1), ("top", 3), ("top", 4), ("top", 0), ("top", -1)):
        commands = [("set_stage", "top", 2), ("fill gradients",), ("eval",)]
        commands += [("set_stage refused", stage, top_k), ("trainable",), ("gradients",), ("modes",)]
        error, trainable, gradients, modes = student.run(run_a_fine_tuner, commands)
        told = f"set_stage(model, {stage!r}, ..., top_k={top_k}) with 3 image blocks and 2 text blocks"
        if error is None or "ValueError" not in error:
            raise AssertionError(
                f"{told} should raise ValueError; it raised {'nothing' if error is None else error[0]}."
            )
        cause = "check before anything is changed"
        assert_names(trainable, TOP_TWO, f"After {told}, trainable parameters have changed", cause)
        assert_names(gradients, FULL, f"After {told}, the parameters with a gradient have changed", cause)
        assert_equal(modes, [], what=f"list of modules in training mode after {told}", cause=cause)


@points(2)
@catches(
    "nothing-frozen",
    "first-blocks",
    "final-norm-too",
    "head-frozen-in-top",
    "earlier-stage-left-on",
    "earlier-stage-left-off",
    "stale-gradients",
    "gradients-zeroed",
    "top-k-ignored",
)
def test_stages_are_sets_of_parameters(student):
    """Each stage makes exactly its parameters trainable, whatever the stage before, and clears the other gradients."""
    for stage, wanted in STAGES.items():
        commands = [("fill gradients",), ("set_stage", *stage), ("trainable",), ("gradients",)]
        trainable, gradients = student.run(run_a_fine_tuner, commands)
        assert_names(trainable, wanted, f"After {called(*stage)}, the trainable parameters are wrong")
        cause = "frozen parameters have .grad None, and the gradients of the others stay"
        assert_names(gradients, wanted, f"After {called(*stage)}, the parameters with a gradient are wrong", cause)
    order = [
        ("full", None),
        ("head", None),
        ("top", 2),
        ("top", 1),
        ("full", None),
        ("top", 1),
        ("head", None),
        ("top", 2),
    ]
    commands = [command for stage in order for command in (("set_stage", *stage), ("trainable",))]
    for number, trainable in enumerate(student.run(run_a_fine_tuner, commands)):
        said = f"After the stages {', '.join(stage[0] for stage in order[: number + 1])}, the trainable ones are wrong"
        assert_names(trainable, STAGES[order[number]], said, "a stage does not depend on the one before")


@points(1)
@catches(
    "train-not-overridden",
    "dropout-of-frozen-encoder",
    "dropout-of-head-off",
    "encoder-in-eval-as-a-whole",
    "statistics-without-parameters",
    "eval-overridden",
    "modes-of-the-last-stage",
    "stage-switches-to-training",
)
def test_modes_follow_the_stage(student):
    """After train(), and after a change of stage in training mode, exactly what is trained is in training mode."""
    wanted = {("head", None): HEAD_MODULES, ("top", None): TOP_MODULES, ("full", None): FULL_MODULES}
    for stage, modules in wanted.items():
        commands = [("set_stage", *stage), ("eval",), ("modes",), ("train",), ("modes",), ("train",), ("modes",)]
        off, *on = student.run(run_a_fine_tuner, commands)
        assert_equal(off, [], what=f"list of modules in training mode after {called(*stage)} and eval()")
        for modes in on:
            assert_names(modes, modules, f"After {called(*stage)} and train(), the modules in training mode are wrong")
    order = [("full", None), ("head", None), ("top", None), ("head", None), ("full", None)]
    commands = [("train",), *(command for stage in order for command in (("set_stage", *stage), ("modes",)))]
    for stage, modes in zip(order, student.run(run_a_fine_tuner, commands), strict=True):
        said = f"After train() and then {called(*stage)}, the modules in training mode are wrong"
        assert_names(modes, wanted[stage], said, "the model was in training mode, so the modes follow the new stage")
    commands = [("eval",), *(command for stage in order for command in (("set_stage", *stage), ("modes",)))]
    for stage, modes in zip(order, student.run(run_a_fine_tuner, commands), strict=True):
        assert_equal(modes, [], what=f"list of modules in training mode after eval() and then {called(*stage)}")


@points(2)
@catches(
    "single-rate",
    "frozen-in-the-groups",
    "decay-on-everything",
    "biases-by-name",
    "scalar-decays",
    "parameter-in-two-groups",
    "backbone-missing",
    "rates-swapped",
    "empty-groups",
    "decay-of-head-only",
)
def test_groups_for_the_optimizer(student, rng):
    """Every trainable parameter is in one group, with the rate of its part and decay for matrices alone."""
    for stage, trained in STAGES.items():
        head_lr, backbone_lr, decay = (float(value) for value in rng.uniform(0.01, 0.1, 3) * [1, 0.01, 5])
        commands = [("set_stage", *stage), ("groups", head_lr, backbone_lr, decay)]
        (groups,) = student.run(run_a_fine_tuner, commands)
        told = f"in param_groups(model, {head_lr:.3g}, {backbone_lr:.3g}, {decay:.3g}) after {called(*stage)}"
        if any(not names for names, _, _ in groups):
            raise AssertionError(f"A group {told} has no parameters.")
        listed = [name for names, _, _ in groups for name in names]
        assert_names(listed, trained, f"The parameters {told} are not the trainable ones")
        twice = sorted({name for name in listed if listed.count(name) > 1})
        assert_equal(twice, [], what=f"list of parameters that appear twice {told}")
        if len(groups) > 4:
            raise AssertionError(f"There are {len(groups)} groups {told}; four are enough.")
        for names, lr, weight_decay in groups:
            for name in names:
                vector = name.endswith("bias") or ".norm." in name or ".final." in name or name == "text_encoder.scale"
                rate = head_lr if name.startswith("head.") else backbone_lr
                assert_close(lr, rate, what=f"rate of {name} {told}")
                cause = "decay is for parameters of two or more dimensions"
                assert_close(weight_decay, 0.0 if vector else decay, what=f"decay of {name} {told}", cause=cause)


@points(1)
@catches("encoders-without-gradients", "features-detached", "frozen-statistics-move")
def test_training_moves_what_the_stage_trains(student, rng):
    """With a new and an older optimiser, each stage moves exactly its parameters and no statistics of frozen parts."""
    batch = a_batch(rng, [[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1], [1, 1, 1, 1]])
    commands = [("optimise everything",), ("train",), ("fit", batch, 2)]
    order = [("head", None), ("top", 1), ("full", None), ("head", None)]
    for stage in order:
        commands += [("set_stage", *stage), ("groups", 0.02, 0.01, 0.3), ("train",), ("fit", batch, 2)]
    commands += [("set_stage", "full", None), ("eval",), ("copies", batch)]
    first, *rows, (before, after), of_twin = student.run(run_a_fine_tuner, commands)
    assert_names(first, FULL + STATISTICS, "Two steps with everything trainable moved other things than they should")
    for stage, moved in zip(order, rows[1::2], strict=True):
        wanted = STAGES[stage] + (STATISTICS if stage[0] == "full" else [])
        said = f"Two steps by AdamW on param_groups, and by an older AdamW on everything, after {called(*stage)}"
        cause = "a gradient left over, statistics in training mode, or an encoder cut off from autograd"
        assert_names(moved, wanted, f"{said} and train(), did not move what they should", cause)
    assert_equal(after, before, what="logits of a deep copy after the original was changed")
    assert_names(of_twin, HEAD, "After set_stage(copy, 'head', ...) the trainable parameters of the copy are wrong")
