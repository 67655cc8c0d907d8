"""Wrong and differently written answers to foundations/sentence_embeddings.

Every "must reject" line of C-P2a has an entry; line 2, padding in the mean, has two. The published code, one call of
`from_pretrained`, is the first entry.
"""

from grader.catalogue import Alternative, WrongAnswer

LOAD = "test_load_frozen"
ATTENTION = "test_texts_do_not_attend_to_padding"
MEAN = "test_mean_over_the_tokens_that_are_there"
MAXIMUM = "test_maximum_over_the_tokens_that_are_there"
UNIT = "test_normalised_vectors_have_unit_length"
MODES = "test_modes_are_borrowed_and_given_back"
GRADIENTS = "test_no_gradients_and_nothing_changed"
REFUSED = "test_impossible_arguments_are_refused"

FROM_FOLDER = "    model = AutoModel.from_pretrained(path, dtype=torch.float32, local_files_only=True)\n"
FREEZE = "    return model.eval().requires_grad_(False)\n"
RUN = "hidden = model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state"
MEAN_LINE = "vectors = hidden.masked_fill(~there, 0.0).sum(dim=1) / there.sum(dim=1)  # (batch, width)"
MAXIMUM_LINE = 'vectors = hidden.masked_fill(~there, float("-inf")).amax(dim=1)  # (batch, width)'
FLOAT = "hidden, there = hidden.float(), there.unsqueeze(2)  # (batch, length, width), (batch, length, 1)"
NORMALIZE = "return F.normalize(vectors, dim=1) if normalize else vectors"
GIVE_BACK = (
    "        for module, training in modes:\n"
    "            module.training = training  # not module.train(training): that would switch its children as well\n"
)

wrong_answers = [
    WrongAnswer(
        id="loaded-as-it-is",
        title="a plain from_pretrained",
        explanation=(
            "This is the published code. The model keeps the precision of whatever somebody saved, every parameter would "
            "be trained, and a mistyped path turns into a question to a server."
        ),
        caught_by=LOAD,
        swap=((FROM_FOLDER + FREEZE, "    return AutoModel.from_pretrained(path)\n"),),
    ),
    WrongAnswer(
        id="checkpoint-precision",
        title="the checkpoint's precision kept",
        explanation=(
            "A checkpoint in bfloat16 is loaded as bfloat16, with two to three significant digits, and nothing says so. "
            "`from_pretrained` has an argument for it."
        ),
        caught_by=LOAD,
        swap=(("dtype=torch.float32, ", ""),),
    ),
    WrongAnswer(
        id="nothing-frozen",
        title="evaluation mode taken for freezing",
        explanation=(
            "`eval()` changes how dropout and batch normalisation behave. Which parameters take gradients is another "
            "switch, and it still stands at on."
        ),
        caught_by=LOAD,
        swap=((FREEZE, "    return model.eval()\n"),),
    ),
    WrongAnswer(
        id="attribute-set",
        title="model.requires_grad = False",
        explanation=(
            "A module takes any attribute you give it, so this line runs, and no parameter is any the wiser. The switch "
            "is on the parameters; there is a method with a similar name that goes through them."
        ),
        caught_by=LOAD,
        swap=((FREEZE, "    model.requires_grad = False\n    return model.eval()\n"),),
    ),
    WrongAnswer(
        id="random-weights",
        title="a model built from the configuration only",
        explanation=(
            "The configuration says how large the layers are, not what is in them. Your model has the right shape and "
            "fresh random weights."
        ),
        caught_by=LOAD,
        swap=(
            (
                FROM_FOLDER,
                "    model = BertModel(BertConfig.from_pretrained(path, local_files_only=True)).to(torch.float32)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="rounded",
        title="values rounded on the way to float32",
        explanation=(
            "The parameters are float32 in the end, but they went through half precision, and what was rounded does not "
            "come back. Load in the precision you want."
        ),
        caught_by=LOAD,
        swap=(("dtype=torch.float32, local_files_only=True)", "dtype=torch.bfloat16, local_files_only=True).float()"),),
    ),
    WrongAnswer(
        id="mask-not-passed",
        title="the model runs without the attention mask",
        explanation=(
            "Without a mask every token attends to the padding too, so all hidden states change, also the first "
            "token's. Masking in the pooling comes too late for that."
        ),
        caught_by=ATTENTION,
        swap=((RUN, "hidden = model(input_ids=input_ids).last_hidden_state"),),
    ),
    WrongAnswer(
        id="pooler-output",
        title="pooler_output for the first token",
        explanation=(
            "`pooler_output` is the first token's state after one more layer and a tanh, trained for another purpose. "
            "The task asks for the last hidden state itself."
        ),
        caught_by=ATTENTION,
        swap=(
            (RUN, RUN.replace("hidden = ", "output = ") + "\n            hidden = output.last_hidden_state"),
            ("vectors = hidden[:, 0]  # (batch, width)", "vectors = output.pooler_output.float()"),
        ),
    ),
    WrongAnswer(
        id="padding-in-the-mean",
        title="the mean over all places, padding too",
        explanation=(
            "The padding has hidden states as well, and they are in your mean: the longer the longest text of the batch, "
            "the more a short text's vector is made of padding."
        ),
        caught_by=MEAN,
        swap=((MEAN_LINE, "vectors = hidden.mean(dim=1)"),),
    ),
    WrongAnswer(
        id="divided-by-the-length",
        title="the padding left out of the sum, but not of the count",
        explanation=(
            "The sum is right and is divided by the length of the batch, so the vectors of short texts shrink. By how "
            "much depends on the longest text next to them."
        ),
        caught_by=MEAN,
        swap=((MEAN_LINE, MEAN_LINE.replace("/ there.sum(dim=1)", "/ hidden.shape[1]")),),
    ),
    WrongAnswer(
        id="pooled-in-bfloat16",
        title="hidden states pooled in bfloat16",
        explanation=(
            "The vectors are float32, but the sum was taken before, in a precision of two to three digits. Convert "
            "first, pool then."
        ),
        caught_by=MEAN,
        swap=(
            (FLOAT, FLOAT.replace("hidden.float(), there", "hidden, there")),
            (NORMALIZE, "vectors = vectors.float()\n    " + NORMALIZE),
        ),
    ),
    WrongAnswer(
        id="masked-ids-overwritten",
        title="the padding's ids overwritten in the caller's tensor",
        explanation=(
            "Cleaning the padding does no harm to the vectors, but the tensor belongs to the caller, and it is not the "
            "same afterwards."
        ),
        caught_by=MEAN,
        swap=(
            (
                "    there = attention_mask.bool()  # (batch, length)\n",
                "    there = attention_mask.bool()  # (batch, length)\n    input_ids *= attention_mask\n",
            ),
        ),
    ),
    WrongAnswer(
        id="zeros-in-the-maximum",
        title="zeros in place of the padding when the maximum is taken",
        explanation=(
            "Zero is no neutral element of a maximum: where all tokens of a text are negative in a component, the "
            "padding wins. Look for a number that loses against every other."
        ),
        caught_by=MAXIMUM,
        swap=((MAXIMUM_LINE, MAXIMUM_LINE.replace('float("-inf")', "0.0")),),
    ),
    WrongAnswer(
        id="padding-in-the-maximum",
        title="the maximum over all places, padding too",
        explanation=(
            "A model computes hidden states for the padding as well, and nothing keeps them from being the largest. They "
            "have to be taken out before the maximum."
        ),
        caught_by=MAXIMUM,
        swap=((MAXIMUM_LINE, "vectors = hidden.amax(dim=1)"),),
    ),
    WrongAnswer(
        id="normalize-ignored",
        title="vectors that are not normalised",
        explanation="The vectors keep their lengths with `normalize=True`, so their dot products are no cosines.",
        caught_by=UNIT,
        swap=((NORMALIZE, "return vectors"),),
    ),
    WrongAnswer(
        id="tokens-normalised",
        title="the tokens normalised, not the pooled vector",
        explanation=(
            "Each hidden state gets unit length and then they are pooled: the result has neither unit length nor, in "
            "general, the direction of the pooled vector. Normalising is the last step."
        ),
        caught_by=UNIT,
        swap=(
            (NORMALIZE, "return vectors"),
            (FLOAT, FLOAT + "\n    hidden = F.normalize(hidden, dim=2) if normalize else hidden"),
        ),
    ),
    WrongAnswer(
        id="normalised-over-the-batch",
        title="normalised along the batch",
        explanation=(
            "Each component is divided by its length over all texts, so a text's vector depends on its neighbours. Look "
            "at the axis."
        ),
        caught_by=UNIT,
        swap=((NORMALIZE, NORMALIZE.replace("dim=1", "dim=0")),),
    ),
    WrongAnswer(
        id="zero-divided-by-zero",
        title="a zero vector normalised to NaN",
        explanation=(
            "Zero divided by its length is NaN, and one NaN spreads through every similarity. The task keeps a zero "
            "vector as it is."
        ),
        caught_by=UNIT,
        swap=((NORMALIZE, "return vectors / vectors.norm(dim=1, keepdim=True) if normalize else vectors"),),
    ),
    WrongAnswer(
        id="dropout-active",
        title="the model runs in whatever mode it is in",
        explanation=(
            "In training mode dropout is on, and two calls give two vectors. Switching gradients off does not change "
            "that; the mode is another switch."
        ),
        caught_by=MODES,
        swap=(("        model.eval()\n        with", "        with"),),
    ),
    WrongAnswer(
        id="left-in-evaluation-mode",
        title="the model left in evaluation mode",
        explanation=(
            "Who embeds a few texts between two epochs goes on training without dropout, and nothing says so. What you "
            "switch, you have to switch back."
        ),
        caught_by=MODES,
        swap=((GIVE_BACK, "        pass\n"),),
    ),
    WrongAnswer(
        id="one-flag-for-all",
        title="the model's own mode given back to all its modules",
        explanation=(
            "Each module has a flag of its own: a frozen backbone in evaluation mode may sit in a model that is being "
            "trained. `train(...)` on the whole model sets all of them to one value."
        ),
        caught_by=MODES,
        swap=((GIVE_BACK, "        model.train(modes[0][1])\n"),),
    ),
    WrongAnswer(
        id="modes-lost-on-an-error",
        title="modes not given back after an error",
        explanation=(
            "If the model raises, the lines after it are skipped, and the model stays in evaluation mode. There is a "
            "statement whose block runs in any case."
        ),
        caught_by=MODES,
        swap=(
            ("    try:\n        model.eval()\n", "    if True:\n        model.eval()\n"),
            ("    finally:\n" + GIVE_BACK, GIVE_BACK),
        ),
    ),
    WrongAnswer(
        id="gradients-retained",
        title="vectors that carry the model's graph",
        explanation=(
            "Each vector holds on to every intermediate result of the model, so memory grows with each batch you embed, "
            "and a later backward pass reaches the model. Evaluation mode does not switch recording off."
        ),
        caught_by=GRADIENTS,
        swap=(("with torch.no_grad():", "with torch.enable_grad():"),),
    ),
    WrongAnswer(
        id="inference-mode",
        title="tensors made under inference mode handed out",
        explanation=(
            "Inference mode saves a little time and marks its tensors for good: autograd refuses to keep them, so no "
            "classifier can be trained on them. There is a milder switch."
        ),
        caught_by=GRADIENTS,
        swap=(
            (
                "    modes = [(module, module.training)",
                "    context = torch.inference_mode()\n    context.__enter__()\n    modes = [(module, module.training)",
            ),
            (
                NORMALIZE,
                "vectors = F.normalize(vectors, dim=1) if normalize else vectors.clone()\n    context.__exit__(None, None, None)\n    return vectors",
            ),
        ),
    ),
    WrongAnswer(
        id="model-frozen",
        title="the caller's model frozen",
        explanation=(
            "With all parameters frozen no graph is built, and none will be in the caller's next training step. Recording "
            "can be switched off for a block of code without touching the model."
        ),
        caught_by=GRADIENTS,
        swap=(("            hidden = model(", "            hidden = model.requires_grad_(False)("),),
    ),
    WrongAnswer(
        id="recording-switched-off",
        title="recording switched off for good",
        explanation=(
            "`torch.set_grad_enabled(False)` as a plain call holds for everything that follows, in the caller's code "
            "too. Used with `with`, such a switch goes back by itself."
        ),
        caught_by=GRADIENTS,
        swap=(("        with torch.no_grad():\n", "        torch.set_grad_enabled(False)\n        if True:\n"),),
    ),
    WrongAnswer(
        id="old-gradients-cleared",
        title="the model's gradients cleared",
        explanation=(
            "Nothing here needs the `.grad` of a parameter, and the caller may be in the middle of adding up the "
            "gradients of several batches."
        ),
        caught_by=GRADIENTS,
        swap=(("        model.eval()\n        with", "        model.eval()\n        model.zero_grad()\n        with"),),
    ),
    WrongAnswer(
        id="server-asked",
        title="a missing folder looked for on the hub",
        explanation=(
            "A path that is no folder is taken for the name of a model on the hub, and somebody else's model may arrive "
            "under that name. One argument of `from_pretrained` restricts it to what is there."
        ),
        caught_by=REFUSED,
        swap=((", local_files_only=True", ""),),
    ),
    WrongAnswer(
        id="row-without-tokens",
        title="a row without any token is accepted",
        explanation=(
            "There is nothing to pool in such a row: its mean is 0/0 and its maximum minus infinity. The caller should "
            "hear about it rather than find NaN in an index."
        ),
        caught_by=REFUSED,
        swap=(("if not there.any(dim=1).all():", "if not there.any():"),),
    ),
    WrongAnswer(
        id="unknown-pooling",
        title="an unknown pooling taken for one of the three",
        explanation=(
            "A typing error in the name selects whatever stands in the last branch, and the vectors look fine. Names "
            "that mean nothing should be refused."
        ),
        caught_by=REFUSED,
        swap=(('if pooling not in ("mean", "cls", "max"):', "if not isinstance(pooling, str):"),),
    ),
    WrongAnswer(
        id="mask-of-another-shape",
        title="a mask of another shape is accepted",
        explanation=(
            "A mask of one row is broadcast over the batch without a word, and every text is cut to the length of that "
            "one; other shapes fail deep inside the model. Compare the shapes at the start."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "input_ids.ndim != 2 or attention_mask.shape != input_ids.shape",
                "input_ids.ndim != 2 or attention_mask.ndim > 2",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="text-by-text",
        title="each text by itself, without its padding",
        code="""
import os


def load_frozen(path):
    if not os.path.isdir(path):
        raise FileNotFoundError(path)
    model = BertModel.from_pretrained(path).to(torch.float32)
    for parameter in model.parameters():
        parameter.requires_grad = False
    return model


def sentence_embeddings(model, input_ids, attention_mask, pooling="mean", normalize=False):
    pool = {"mean": lambda s: s.mean(0), "max": lambda s: s.max(0).values, "cls": lambda s: s[0]}.get(pooling)
    if pool is None or input_ids.dim() != 2 or input_ids.shape != attention_mask.shape:
        raise ValueError("pooling or shapes")
    if (attention_mask.sum(1) == 0).any():
        raise ValueError("empty text")
    modes = {name: module.training for name, module in model.named_modules()}
    vectors = []
    try:
        for module in model.modules():
            module.training = False
        with torch.no_grad():
            for ids, mask in zip(input_ids, attention_mask):
                states = model(ids[mask == 1].unsqueeze(0))[0].squeeze(0)  # (tokens, width)
                vectors.append(pool(states.to(torch.float32)))
    finally:
        for name, module in model.named_modules():
            module.training = modes[name]
    vectors = torch.stack(vectors)
    if normalize:
        vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return vectors
""",
    ),
    Alternative(
        id="products-with-the-mask",
        title="weighted sums and a large negative number, all hidden states asked for",
        code="""
from contextlib import contextmanager


@contextmanager
def evaluation(model):
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@torch.no_grad()
def sentence_embeddings(model, input_ids, attention_mask, pooling="mean", normalize=False):
    if input_ids.dim() != 2 or input_ids.size() != attention_mask.size():
        raise ValueError("shapes")
    if pooling not in {"mean", "max", "cls"}:
        raise ValueError(pooling)
    if attention_mask.sum(dim=-1).min() < 1:
        raise ValueError("empty text")
    with evaluation(model):
        states = model(input_ids, attention_mask, output_hidden_states=True, return_dict=True).hidden_states[-1]
    states = states.to(torch.float32)
    weights = attention_mask.to(torch.float32)
    if pooling == "mean":
        result = torch.einsum("blw,bl->bw", states, weights / weights.sum(dim=1, keepdim=True))
    elif pooling == "max":
        result = torch.where(weights[..., None] > 0, states, torch.finfo(torch.float32).min).max(dim=1)[0]
    else:
        result = states[:, 0, :].clone()
    if not normalize:
        return result
    lengths = torch.linalg.vector_norm(result, dim=-1, keepdim=True)
    return torch.where(lengths > 0, result / lengths, result)
""",
    ),
    Alternative(
        id="state-dict",
        title="loaded, then converted; pooled through NumPy and detached",
        code="""
def load_frozen(path):
    model = BertModel.from_pretrained(str(path), local_files_only=True)
    model = model.float()
    for module in model.modules():
        module.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def sentence_embeddings(model, input_ids, attention_mask, pooling="mean", normalize=False):
    if pooling not in ["cls", "mean", "max"]:
        raise ValueError("unknown pooling")
    if len(input_ids.shape) != 2 or tuple(input_ids.shape) != tuple(attention_mask.shape):
        raise ValueError("shapes")
    counts = attention_mask.sum(dim=1).tolist()
    if 0 in counts:
        raise ValueError("empty text")
    before = [m.training for m in model.modules()]
    recording = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    try:
        for module in model.modules():
            module.training = False
        output = model(input_ids=input_ids, attention_mask=attention_mask)
    finally:
        torch.set_grad_enabled(recording)
        for module, mode in zip(model.modules(), before):
            module.training = mode
    states = output[0].float().numpy()
    rows = []
    for row, count in zip(states, counts):
        vector = {"mean": row[:count].mean(axis=0), "max": row[:count].max(axis=0), "cls": row[0]}[pooling]
        length = (vector * vector).sum() ** 0.5
        rows.append(torch.tensor(vector / length if normalize and length else vector))
    return torch.stack(rows)
""",
    ),
]
