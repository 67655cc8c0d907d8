"""Catalogue of capstone/dual_encoder.

Not catalogued, since they cannot be told apart from a right answer: the sum of the real tokens instead of their mean, or
their sum divided by the length of the row. The projection has no bias, so that both give a positive multiple of the
same vector, and its length is divided away (the first is an alternative below).
"""

from grader.catalogue import Alternative, WrongAnswer

INTERFACE = "test_towers_heads_and_a_learnable_temperature"
UNIT = "test_drawings_and_names_become_unit_vectors"
MEAN = "test_a_name_is_the_mean_of_its_real_tokens"
LOGITS = "test_logits_are_scaled_cosines_through_which_everything_learns"
CAP = "test_the_scale_is_capped_where_it_is_used"
FROZEN = "test_what_is_frozen_stays_frozen"
GROUPS = "test_each_trainable_parameter_is_in_one_group"

START = "self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))"
IMAGES = """        projected = self.image_projection(self.image_tower(pixels))  # (images, width)
        at_least_float32 = torch.promote_types(projected.dtype, torch.float32)
        return F.normalize(projected.to(at_least_float32), dim=1)
"""
TEXTS = """        projected = self.text_projection(mean)  # (texts, width)
        at_least_float32 = torch.promote_types(projected.dtype, torch.float32)
        return F.normalize(projected.to(at_least_float32), dim=1)
"""
MEAN_LINE = "mean = (hidden * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)  # (texts, text_features)"
SCALE = "self.log_scale.clamp(max=math.log(100)).exp()"
PRODUCT = "return self.scale() * images @ texts.T  # (images, texts)"
FLAGS = """        parameter.requires_grad_(False)
        parameter.grad = None
"""
PROTECT = """    for part in module.modules():
        # an attribute of the object is found before the method of its class; __get__ binds the function to the part
        part.train = stay_as_it_is.__get__(part)  # type: ignore[method-assign]
"""
WALK = "    for parameter in model.parameters():  # each one once, also where it has several names\n"
DECAY = "decay = weight_decay if parameter.ndim >= 2 else 0.0"


def instead_of_normalising(images: str, texts: str) -> tuple[tuple[str, str], ...]:
    """The lines that make unit vectors of drawings and of names, replaced."""
    last = "        return F.normalize(projected.to(at_least_float32), dim=1)\n"
    return ((IMAGES, IMAGES.replace(last, images)), (TEXTS, TEXTS.replace(last, texts)))


wrong_answers = [
    WrongAnswer(
        id="plain-temperature",
        title="a temperature that is not learned",
        explanation=(
            "`log_scale` is a tensor, but not one of the model's parameters: no optimiser will ever find it, and the "
            "scale stays at 14.3 for good. What has an attribute to be, so that `model.parameters()` lists it?"
        ),
        caught_by=INTERFACE,
        swap=((START, 'self.register_buffer("log_scale", torch.tensor(math.log(1 / 0.07)))'),),
    ),
    WrongAnswer(
        id="starts-at-the-temperature",
        title="log_scale starts at 0.07",
        explanation=(
            "0.07 is CLIP's first temperature, that which cosines are divided by. You put it where the logarithm of "
            "the factor belongs, so that the scale starts at 1.07: nearly flat logits, and slow first epochs."
        ),
        caught_by=INTERFACE,
        swap=((START, "self.log_scale = nn.Parameter(torch.tensor(0.07))"),),
    ),
    WrongAnswer(
        id="starts-inverted",
        title="log_scale starts at the logarithm of the temperature instead of the scale",
        explanation=(
            "Your scale starts at 0.07: the cosines are multiplied by what they should be divided by. Which of the two "
            "is large at the start, and which sign does its logarithm have?"
        ),
        caught_by=INTERFACE,
        swap=((START, "self.log_scale = nn.Parameter(torch.tensor(math.log(0.07)))"),),
    ),
    WrongAnswer(
        id="head-with-bias",
        title="projections with a bias",
        explanation=(
            "Linear layers have a bias unless you decline it. With one, each tower can move all its vectors in one "
            "direction, and a name without tokens would no longer be zeros."
        ),
        caught_by=INTERFACE,
        swap=(
            (
                "self.image_projection = nn.Linear(image_features, width, bias=False)",
                "self.image_projection = nn.Linear(image_features, width)",
            ),
            (
                "self.text_projection = nn.Linear(text_features, width, bias=False)",
                "self.text_projection = nn.Linear(text_features, width)",
            ),
        ),
    ),
    WrongAnswer(
        id="not-normalised",
        title="no division by the length of the vectors",
        explanation=(
            "Your logits are dot products, not cosines: a tower that makes long vectors makes large logits, and the "
            "temperature has no fixed meaning. What should be the same for all vectors before they meet?"
        ),
        caught_by=UNIT,
        swap=instead_of_normalising(*["        return projected.to(at_least_float32)\n"] * 2),
    ),
    WrongAnswer(
        id="normalised-over-the-batch",
        title="vectors normalised along the batch instead of along their own width",
        explanation=(
            "You divide each column by its length over the batch. So the vector of a drawing depends on which others "
            "happen to be beside it. Which axis does the length of one vector run over?"
        ),
        caught_by=UNIT,
        swap=instead_of_normalising(*["        return F.normalize(projected.to(at_least_float32), dim=0)\n"] * 2),
    ),
    WrongAnswer(
        id="normalised-as-a-whole",
        title="one length for the whole batch",
        explanation=(
            "All vectors are divided by the same number, the length of the batch as one long vector. Each row has a "
            "length of its own, and it should become 1."
        ),
        caught_by=UNIT,
        swap=instead_of_normalising(*["        return projected.to(at_least_float32) / projected.norm()\n"] * 2),
    ),
    WrongAnswer(
        id="half-precision-vectors",
        title="the dtype of the model kept for vectors and logits, half precision included",
        explanation=(
            "In a bfloat16 model your cosines have three significant digits, and the scale blows the error up to 0.4 "
            "of a logit. The towers may compute in half precision; what is compared should not."
        ),
        caught_by=UNIT,
        swap=instead_of_normalising(*["        return F.normalize(projected, dim=1)\n"] * 2),
    ),
    WrongAnswer(
        id="padding-pooled",
        title="padding tokens averaged into the names",
        explanation=(
            "The mean runs over all positions. A name then depends on the longest name of its batch: the shorter it "
            "is, the more it resembles the padding. Which positions should count?"
        ),
        caught_by=MEAN,
        swap=((MEAN_LINE, "mean = hidden.mean(dim=1)  # (texts, text_features)"),),
    ),
    WrongAnswer(
        id="first-token-taken",
        title="the vector of the first position instead of the mean of the tokens",
        explanation=(
            "Models with a class token are read off at the first position. Here all real tokens count the same, and "
            "the first position may even be padding."
        ),
        caught_by=MEAN,
        swap=((MEAN_LINE, "mean = hidden[:, 0] * real.amax(dim=1)  # (texts, text_features)"),),
    ),
    WrongAnswer(
        id="nan-without-tokens",
        title="NaN for a name without real tokens",
        explanation=(
            "An empty name has 0 real tokens, and 0 divided by 0 is not a number. One such name makes the loss of the "
            "whole batch NaN. What do you divide by?"
        ),
        caught_by=MEAN,
        swap=((MEAN_LINE, MEAN_LINE.replace(".clamp(min=1)", "")),),
    ),
    WrongAnswer(
        id="tower-without-mask",
        title="the text tower is told that every token is real",
        explanation=(
            "You leave padding out of the mean, but the tower itself never hears of it: in a transformer the real "
            "tokens then attend to the padding. It takes two arguments."
        ),
        caught_by=MEAN,
        swap=(("self.text_tower(tokens, mask)", "self.text_tower(tokens, torch.ones_like(mask))"),),
    ),
    WrongAnswer(
        id="mask-stretched",
        title="a mask of another shape accepted",
        explanation=(
            "A mask with one row, or one column, is stretched silently over all names. That is a mistake of the "
            "caller, and the statement says how to answer it."
        ),
        caught_by=MEAN,
        swap=(
            (
                "        if mask.shape != tokens.shape:\n"
                '            raise ValueError(f"the mask {tuple(mask.shape)} does not fit the tokens '
                '{tuple(tokens.shape)}")\n',
                "        if mask.dim() == 1:\n            mask = mask.expand(tokens.shape)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="divided-by-the-scale",
        title="cosines divided by the scale",
        explanation=(
            "A temperature divides, a scale multiplies; they are each other's inverse. You have the scale: at the "
            "start it is 14.3, and your logits lie between -0.07 and 0.07, where a softmax sees next to nothing."
        ),
        caught_by=LOGITS,
        swap=((PRODUCT, "return images @ texts.T / self.scale()  # (images, texts)"),),
    ),
    WrongAnswer(
        id="names-by-drawings",
        title="a row for each name instead of each drawing",
        explanation=(
            "With as many drawings as names no shape complains, but the loss of milestone 3 would take the one "
            "direction for the other. Which of the two stands first in `(images, texts)`?"
        ),
        caught_by=LOGITS,
        swap=((PRODUCT, "return self.scale() * texts @ images.T  # (texts, images)"),),
    ),
    WrongAnswer(
        id="frozen-by-no-grad",
        title="the text tower cut off from gradients for good",
        explanation=(
            "The forward pass runs the text tower without autograd. So it cannot be trained even where nobody has "
            "frozen it. What is trained is decided by flags of parameters, not by the forward pass."
        ),
        caught_by=LOGITS,
        swap=(
            (
                "        hidden = self.text_tower(tokens, mask)  # (texts, length, text_features)\n",
                "        with torch.no_grad():\n            hidden = self.text_tower(tokens, mask)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="scale-detached",
        title="logits through which the temperature gets no gradient",
        explanation=(
            "The logits have the right values, but no gradient leads from them back to `log_scale`: it is a parameter "
            "that never learns. How does the scale get into the product?"
        ),
        caught_by=LOGITS,
        swap=((PRODUCT, "return self.scale().item() * images @ texts.T  # (images, texts)"),),
    ),
    WrongAnswer(
        id="logarithm-used-as-scale",
        title="cosines multiplied by the logarithm of the scale",
        explanation=(
            "`log_scale` is what the optimiser moves; it may be negative, and then your logits turn around. What "
            "multiplies the cosines is the number that it is the logarithm of."
        ),
        caught_by=LOGITS,
        swap=((PRODUCT, "return self.log_scale * images @ texts.T  # (images, texts)"),),
    ),
    WrongAnswer(
        id="uncapped",
        title="a scale without a cap",
        explanation=(
            "Above 100 your scale goes on growing. A model that knows its training pairs by heart can lower the loss "
            "by the scale alone, until the gradients of everything else are rounding noise."
        ),
        caught_by=CAP,
        swap=((SCALE, "self.log_scale.exp()"),),
    ),
    WrongAnswer(
        id="kept-above-the-cap",
        title="the cap used as a floor",
        explanation=(
            "Your scale is never less than 100. A bound can hold from above or from below, and the function that sets "
            "it has a word for each."
        ),
        caught_by=CAP,
        swap=((SCALE, "self.log_scale.clamp(min=math.log(100)).exp()"),),
    ),
    WrongAnswer(
        id="capped-at-log-100",
        title="the scale itself capped at the logarithm of 100",
        explanation=(
            "Your scale never exceeds 4.6, so that it does not even reach the 14.3 it should start at. Compare like "
            "with like: the scale with 100, its logarithm with the logarithm of 100."
        ),
        caught_by=CAP,
        swap=((SCALE, "self.log_scale.exp().clamp(max=math.log(100))"),),
    ),
    WrongAnswer(
        id="logarithm-capped-at-100",
        title="the logarithm of the scale capped at 100",
        explanation=(
            "The scale could grow to a number with 44 digits before your cap takes hold. Compare like with like: the "
            "scale with 100, its logarithm with the logarithm of 100."
        ),
        caught_by=CAP,
        swap=((SCALE, "self.log_scale.clamp(max=100).exp()"),),
    ),
    WrongAnswer(
        id="parameter-rewritten",
        title="a forward pass that changes log_scale",
        explanation=(
            "To compute a logit changes a weight: also in evaluation, also under autograd, and behind the back of the "
            "optimiser, whose moments still point upwards. Cap the number that you compute, not the one that you keep."
        ),
        caught_by=CAP,
        swap=(
            (
                f"        return {SCALE}\n",
                "        self.log_scale.data.clamp_(max=math.log(100))\n        return self.log_scale.exp()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="thawed-by-train",
        title="inference mode that the next model.train() ends",
        explanation=(
            "Right after `freeze` all is well. The training loop then calls `model.train()`, which sets the mode of "
            "every module below it, and statistics and dropout are at work again. The frozen part has to be deaf to "
            "that call."
        ),
        caught_by=FROZEN,
        swap=((PROTECT, ""),),
    ),
    WrongAnswer(
        id="statistics-move",
        title="frozen parameters, but not the modes",
        explanation=(
            "No parameter will move, and the part still changes: batch normalisation updates its running statistics in "
            "every forward pass in training mode, without any gradient, and dropout makes noise."
        ),
        caught_by=FROZEN,
        swap=(("    module.eval()\n", ""), (PROTECT, "")),
    ),
    WrongAnswer(
        id="dropout-thaws",
        title="batch normalisation protected, everything else not",
        explanation=(
            "The statistics stand still, but after `model.train()` the frozen dropout is at work again: the same "
            "drawing gets other features each time. Everything inside the part stays in inference mode."
        ),
        caught_by=FROZEN,
        swap=(
            (
                "        part.train = stay_as_it_is",
                "        if isinstance(part, nn.modules.batchnorm._BatchNorm):\n            part.train = stay_as_it_is",
            ),
        ),
    ),
    WrongAnswer(
        id="only-the-top-protected",
        title="train() on a part of the frozen module still works",
        explanation=(
            "`model.train()` no longer gets past your frozen module, but somebody who calls `train()` on a layer inside "
            "it, or `model.apply(...)`, reaches the layers directly."
        ),
        caught_by=FROZEN,
        swap=(("    for part in module.modules():\n", "    for part in [module]:\n"),),
    ),
    WrongAnswer(
        id="stale-gradients",
        title="frozen parameters that keep an old gradient",
        explanation=(
            "An optimiser looks at `.grad` and not at `requires_grad`: one that still holds the parameters applies the "
            "gradient left from the last step, again and again."
        ),
        caught_by=FROZEN,
        swap=(("        parameter.grad = None\n", ""),),
    ),
    WrongAnswer(
        id="train-returns-nothing",
        title="train() on a frozen module returns nothing",
        explanation=(
            "`tower = tower.train()` and `model.eval().to(device)` are common, and with your frozen module they leave "
            "`None` behind. What does `train` of any module return?"
        ),
        caught_by=FROZEN,
        swap=(("        return part\n", "        return None\n"),),
    ),
    WrongAnswer(
        id="no-gradient-through",
        title="a frozen module that lets no gradient through",
        explanation=(
            "Its own weights need no gradient, but layers *in front* of it may, and their gradient passes through it. "
            "With autograd switched off inside, they silently stop learning."
        ),
        caught_by=FROZEN,
        swap=(("    module.eval()\n", "    module.eval()\n    module.forward = torch.no_grad()(module.forward)\n"),),
    ),
    WrongAnswer(
        id="still-requires-gradients",
        title="modes frozen, but not the parameters",
        explanation=(
            "The part is in inference mode for good, and an optimiser can still move its weights: inference mode has "
            "nothing to do with gradients."
        ),
        caught_by=FROZEN,
        swap=((FLAGS, "        parameter.grad = None\n"),),
    ),
    WrongAnswer(
        id="frozen-in-a-group",
        title="frozen parameters handed to the optimiser",
        explanation=(
            "Frozen parameters are in your groups as well. As long as they have no gradient AdamW passes them by; with "
            "a gradient left over, or of zeros, it decays and moves them. They have no business there."
        ),
        caught_by=GROUPS,
        swap=(("        if parameter.requires_grad:\n", "        if parameter.is_leaf:\n"),),
    ),
    WrongAnswer(
        id="biases-decay",
        title="weight decay on everything but the temperature",
        explanation=(
            "Biases, gates and the weights of norms are pulled to 0 as well. A norm with a weight of 0 lets nothing "
            "through; decay is meant for matrices."
        ),
        caught_by=GROUPS,
        swap=((DECAY, "decay = 0.0 if parameter is model.log_scale else weight_decay"),),
    ),
    WrongAnswer(
        id="temperature-decays",
        title="weight decay on the temperature",
        explanation=(
            "Decay pulls `log_scale` to 0 and so the scale to 1, whatever the loss says. How many axes does it have, "
            "and what is said of such parameters?"
        ),
        caught_by=GROUPS,
        swap=((DECAY, "decay = 0.0 if parameter.ndim == 1 else weight_decay"),),
    ),
    WrongAnswer(
        id="decay-by-name",
        title="decay decided by what a parameter is called",
        explanation=(
            'The weight of a BatchNorm inside a Sequential is called "1.weight": no "norm" in it, no "bias", so your '
            "rule lets it decay. And what is called norm need not be one. Look at the parameter itself."
        ),
        caught_by=GROUPS,
        swap=(
            (WALK, "    for name, parameter in model.named_parameters():\n"),
            (DECAY, 'decay = 0.0 if "bias" in name or "norm" in name or name == "log_scale" else weight_decay'),
        ),
    ),
    WrongAnswer(
        id="decay-by-kind",
        title="only the weights of linear layers and convolutions decay",
        explanation=(
            "Tables of vectors and matrices that a module owns itself do not decay with you. The rule here asks for "
            "the number of axes and nothing else."
        ),
        caught_by=GROUPS,
        swap=(
            (
                "    groups: dict[tuple[float, float], list[nn.Parameter]] = {}\n",
                "    groups: dict[tuple[float, float], list[nn.Parameter]] = {}\n"
                "    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]\n"
                "    tables = {m.weight for m in model.modules() if isinstance(m, nn.Embedding)}\n"
                "    matrices = {layer.weight for layer in layers} - tables\n",
            ),
            (DECAY, "decay = weight_decay if parameter in matrices else 0.0"),
        ),
    ),
    WrongAnswer(
        id="heads-forgotten",
        title="no group for the heads",
        explanation=(
            "Only the towers are trained. The projections are new and random: without them training bends two towers "
            "to fit two random matrices."
        ),
        caught_by=GROUPS,
        swap=(
            (
                "        if parameter.requires_grad:\n",
                "        if parameter.requires_grad and parameter in in_towers:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="temperature-forgotten",
        title="the temperature in no group",
        explanation=(
            "`log_scale` is a parameter with a gradient that no optimiser holds, so that the scale stays where it "
            "started. It belongs to the model itself and not to one of its layers."
        ),
        caught_by=GROUPS,
        swap=(
            (
                "        if parameter.requires_grad:\n",
                "        if parameter.requires_grad and parameter is not model.log_scale:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="heads-at-the-towers-rate",
        title="the heads trained at the rate of the towers",
        explanation=(
            "New heads at the small rate that is right for pretrained towers hardly move, and the towers do the "
            "adapting for them. They were given a rate of their own."
        ),
        caught_by=GROUPS,
        swap=(("rate = tower_rate if parameter in in_towers else head_rate", "rate = tower_rate"),),
    ),
    WrongAnswer(
        id="shared-parameter-twice",
        title="a parameter that two places share listed twice",
        explanation=(
            "You go through the model part by part, and what two parts share comes twice. An optimiser refuses that, "
            "or, on older versions, steps twice. Who counts a shared parameter only once?"
        ),
        caught_by=GROUPS,
        swap=(
            (
                WALK,
                "    parts = (model.image_tower, model.text_tower, model.image_projection, model.text_projection)\n"
                "    everything = [parameter for part in parts for parameter in part.parameters()]\n"
                "    for parameter in [*everything, model.log_scale]:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="empty-groups-unnoticed",
        title="no error when nothing is trainable",
        explanation=(
            "When everything is frozen by mistake your function returns groups without parameters, or none at all. "
            "That should be said aloud, before a run of an hour that changes nothing."
        ),
        caught_by=GROUPS,
        swap=(
            (
                '    if not groups:\n        raise ValueError("no parameter requires a gradient")\n',
                "",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="sum-and-cosine",
        title="tokens added up by a product with the mask, cosines by the library, one group for each parameter",
        code="""
class DualEncoder(nn.Module):
    def __init__(self, image_tower, text_tower, image_features, text_features, width):
        super().__init__()
        self.log_scale = nn.Parameter(-torch.tensor(0.07).log())
        self.text_projection = nn.Linear(text_features, width, bias=False)
        self.image_projection = nn.Linear(image_features, width, bias=False)
        self.text_tower, self.image_tower = text_tower, image_tower

    def _one(self, x):
        x = x if x.dtype == torch.float64 else x.to(torch.float32)
        length = x.pow(2).sum(-1, keepdim=True).sqrt()
        return torch.where(length > 0, x / length.clamp_min(1e-9), torch.zeros_like(x))

    def encode_images(self, pixels):
        return self._one(self.image_projection(self.image_tower(pixels)))

    def encode_texts(self, tokens, mask):
        if tuple(mask.size()) != tuple(tokens.size()):
            raise ValueError("mask")
        hidden = self.text_tower(tokens, mask)
        added = torch.bmm(mask[:, None].to(hidden), hidden).squeeze(1)
        return self._one(F.linear(added, self.text_projection.weight))

    def scale(self):
        return torch.exp(torch.minimum(self.log_scale, torch.full_like(self.log_scale, math.log(100.0))))

    def forward(self, pixels, tokens, mask):
        cosines = torch.einsum("iw,tw->it", self.encode_images(pixels), self.encode_texts(tokens, mask))
        return cosines * self.scale()


def freeze(module):
    for part in module.modules():
        part.training = False
        part.train = lambda mode=True, part=part: part
        for parameter in part.parameters(recurse=False):
            parameter.requires_grad = False
            parameter.grad = None


def parameter_groups(model, tower_rate, head_rate, weight_decay):
    groups = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        groups.append({
            "params": (parameter,),
            "lr": tower_rate if name.split(".")[0] in ("image_tower", "text_tower") else head_rate,
            "weight_decay": weight_decay if len(parameter.shape) > 1 else 0,
        })
    if len(groups) == 0:
        raise ValueError("frozen")
    return groups
""",
    ),
    Alternative(
        id="name-by-name",
        title="a loop over names that drops the padding; a class of its own for frozen parts; four groups",
        code="""
class DualEncoder(nn.Module):
    def __init__(self, image_tower, text_tower, image_features, text_features, width):
        super().__init__()
        self.image_tower, self.text_tower = image_tower, text_tower
        self.image_projection = nn.Linear(image_features, width, bias=False)
        self.text_projection = nn.Linear(text_features, width, bias=False)
        self.register_parameter("log_scale", nn.Parameter(torch.ones(()) * math.log(1 / 0.07)))

    def encode_images(self, pixels):
        x = self.image_projection(self.image_tower(pixels))
        if x.dtype in (torch.bfloat16, torch.float16):
            x = x.float()
        return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=1e-10)

    def encode_texts(self, tokens, mask):
        if mask.shape != tokens.shape:
            raise ValueError("shapes differ")
        rows = []
        for vectors, keep in zip(self.text_tower(tokens, mask), mask.bool()):
            kept = self.text_projection(vectors[keep])
            if kept.dtype in (torch.bfloat16, torch.float16):
                kept = kept.float()
            rows.append(F.normalize(kept.mean(0), dim=0) if len(kept) else kept.new_zeros(kept.shape[1]))
        return torch.stack(rows)

    def scale(self):
        above = self.log_scale.detach() > math.log(100)
        return torch.where(above, torch.full_like(self.log_scale, 100.0), self.log_scale.exp())

    def forward(self, pixels, tokens, mask):
        images, texts = self.encode_images(pixels), self.encode_texts(tokens, mask)
        return F.cosine_similarity(images[:, None], texts[None], dim=-1) * self.scale()


def freeze(module):
    module.requires_grad_(False)
    for parameter in module.parameters():
        parameter.grad = None
    module.eval()
    for part in list(module.modules()):
        if not getattr(type(part), "is_frozen", False):
            methods = {"train": lambda self, mode=True: self, "is_frozen": True}
            part.__class__ = type(f"Frozen{type(part).__name__}", (type(part),), methods)


def parameter_groups(model, tower_rate, head_rate, weight_decay):
    seen, sorted_out = set(), [[], [], [], []]
    towers = [*model.image_tower.parameters(), *model.text_tower.parameters()]
    heads = [*model.image_projection.parameters(), *model.text_projection.parameters(), model.log_scale]
    for place, parameters in ((0, towers), (2, heads)):
        for parameter in parameters:
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                sorted_out[place + (parameter.dim() < 2)].append(parameter)
    if not seen:
        raise ValueError("nothing to train")
    settings = ((tower_rate, weight_decay), (tower_rate, 0.0), (head_rate, weight_decay), (head_rate, 0.0))
    return [{"params": p, "lr": lr, "weight_decay": wd} for p, (lr, wd) in zip(sorted_out, settings)]
""",
    ),
    Alternative(
        id="scaled-drawings",
        title="padding set to zero with where; the scale put on the drawings; modes set again before every use",
        code="""
class DualEncoder(nn.Module):
    def __init__(self, image_tower, text_tower, image_features, text_features, width):
        super().__init__()
        self.image_tower = image_tower
        self.text_tower = text_tower
        self.image_projection = nn.Linear(image_features, width, bias=None)
        self.text_projection = nn.Linear(text_features, width, bias=None)
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def scale(self):
        if self.log_scale.item() > math.log(100):
            return torch.tensor(100.0, dtype=self.log_scale.dtype)
        return self.log_scale.exp()

    def encode_images(self, pixels):
        features = self.image_projection(self.image_tower(pixels))
        return F.normalize(features if features.dtype.itemsize > 2 else features.float(), p=2, dim=-1)

    def encode_texts(self, tokens, mask):
        if list(mask.shape) != list(tokens.shape):
            raise ValueError("mask does not fit")
        keep = mask[..., None] != 0
        hidden = self.text_tower(tokens, mask)
        mean = torch.where(keep, hidden, 0.0).sum(1) / keep.sum(1).clamp(min=1).to(hidden.dtype)
        features = self.text_projection(mean)
        return F.normalize(features if features.dtype.itemsize > 2 else features.float(), p=2, dim=-1)

    def forward(self, pixels, tokens, mask):
        texts = self.encode_texts(tokens, mask).mT
        return torch.mm(self.encode_images(pixels) * self.scale(), texts)


def freeze(module):
    from types import MethodType

    def quiet(self, mode=True):
        for child in self.modules():
            child.training = False
        return self

    for part in module.modules():
        part.train = MethodType(quiet, part)
        part.train()
    for parameter in module.parameters():
        parameter.grad, parameter.requires_grad = None, False
""",
    ),
]

equivalent_mutants = {
    "1 -> 2 in `mean = (hidden * real).sum(dim=1) / real.sum(dim=1).clamp": (
        "Halving the features of one-token names changes no direction, and lengths are divided away."
    ),
    "Div -> Mult in `mean = (hidden * real)": (
        "Multiplying by the number of tokens, which is positive, changes no direction either."
    ),
    "in `def stay_as_it_is(": "The argument `mode` is there to be ignored.",
}
