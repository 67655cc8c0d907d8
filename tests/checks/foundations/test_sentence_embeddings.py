"""Hidden checks of foundations/sentence_embeddings.

Tiny BERTs with random weights live in the student's process. What a row's vector should be is pooled here, token by
token, from the hidden states that a copy of the model in evaluation mode gives for that row alone and without padding.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from grader.checking import assert_close, assert_dtype, assert_shape, assert_unchanged, catches, points, raises, visible

CLOSE = {"rtol": 1e-4, "atol": 2e-5}
POOLINGS = ("mean", "cls", "max")
WIDTH = 8


# ---------------------------------------------------------------- what runs in the student's process


def sentence_embeddings(student, seed, input_ids, attention_mask, calls, settings):
    """The vectors of a tiny BERT for each of the keyword arguments in calls, and the hidden states of each row alone.

    settings: `mixes`, whether tokens see each other (attention and feed-forward layers add nothing otherwise); `scale`
    and `bias`, by which the last normalisation is multiplied and what is added then; `dtype`; `dropout`; `training`, a
    pattern of modes for the modules; `trainable`, whether parameters take gradients (each has a .grad then);
    `fails_at`, the call of the model that raises.
    """
    import copy

    import torch
    from transformers import BertConfig, BertModel

    dropout, trainable = settings.get("dropout", 0.0), settings.get("trainable", False)
    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=10,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    model = BertModel(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.8 * torch.randn(parameter.shape, generator=generator))
        layer = model.encoder.layer[0]
        if not settings.get("mixes", False):
            for last in (layer.attention.output.dense, layer.output.dense):
                last.weight.zero_()
                last.bias.zero_()
        layer.output.LayerNorm.weight.mul_(settings.get("scale", 1.0))
        layer.output.LayerNorm.bias.mul_(settings.get("scale", 1.0)).add_(settings.get("bias", 0.0))
    model.to(getattr(torch, settings.get("dtype", "float32")))
    twin = copy.deepcopy(model).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(trainable)
        parameter.grad = torch.full_like(parameter, 0.5) if trainable else None
    modules = list(model.modules())
    for module, mode in zip(modules, settings.get("training", [False]) * len(modules), strict=False):
        module.training = mode
    modes = [module.training for module in modules]

    in_training, failed, vectors, records = [], None, [], True

    def note(module, args, kwargs):
        in_training.append(sum(m.training for m in modules))
        if len(in_training) == settings.get("fails_at"):
            raise MemoryError("out of memory")

    handle = model.embeddings.register_forward_pre_hook(note, with_kwargs=True)
    ids, mask, function = input_ids.clone(), attention_mask.clone(), student.sentence_embeddings
    try:
        for arguments in calls:
            vectors.append(function(model, ids, mask, **arguments))
            records = records and torch.is_grad_enabled()
    except MemoryError as error:
        if not settings.get("fails_at"):
            raise
        failed = str(error)
    finally:
        handle.remove()
        records = records and torch.is_grad_enabled()
        torch.set_grad_enabled(True)

    seen = {
        "in_training": in_training,
        "modes": modes,
        "after": [module.training for module in modules],
        "failed": failed,
        "records": records,
        "gradients": [bool(getattr(vector, "requires_grad", False)) for vector in vectors],
        "switched": [name for name, p in model.named_parameters() if p.requires_grad != trainable],
        "other_gradients": [
            name
            for name, p in model.named_parameters()
            if (p.grad is None) == trainable or (p.grad is not None and bool((p.grad != 0.5).any()))
        ],
        "moved": [
            name
            for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True)
            if not torch.equal(p, q)
        ],
        "arguments": [ids, mask],
        "refused": [],
        "alone": [],
    }
    for vector in vectors if trainable else []:  # can a classifier be trained on the vectors?
        head = torch.nn.Linear(8, 2)
        try:
            head(vector.detach()).sum().backward()
        except RuntimeError as error:
            seen["refused"].append(str(error)[:80])
    with torch.no_grad():
        for row, there in zip(input_ids, attention_mask, strict=True):
            row = row[there.bool()][None]
            seen["alone"].append(twin(input_ids=row, attention_mask=torch.ones_like(row)).last_hidden_state[0].float())
    seen["vectors"] = [vector.detach().clone() if isinstance(vector, torch.Tensor) else vector for vector in vectors]
    return seen


def load_frozen(student, seed, dtype, as_path):
    """What load_frozen makes of a checkpoint in this dtype, and what is in the checkpoint."""
    import pathlib
    import tempfile

    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=10,
    )
    saved = BertModel(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in saved.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    saved.to(getattr(torch, dtype))
    function = student.load_frozen
    with tempfile.TemporaryDirectory() as folder:
        saved.save_pretrained(folder)
        model = function(pathlib.Path(folder) if as_path else folder)
    named = dict(model.named_parameters())
    return {
        "kinds": [kind.__name__ for kind in type(model).__mro__],
        "dtypes": {name: str(parameter.dtype) for name, parameter in named.items()},
        "trainable": [name for name, parameter in named.items() if parameter.requires_grad],
        "in_training": sum(module.training for module in model.modules()),
        "values": {name: parameter.detach().float() for name, parameter in named.items()},
        "saved": {name: parameter.detach().float() for name, parameter in saved.named_parameters()},
    }


def load_frozen_from_nowhere(student, inside_a_folder):
    """Classes of the error for a folder that does not exist, and the addresses that a server was asked for."""
    import os
    import tempfile

    import huggingface_hub
    import huggingface_hub.constants
    import huggingface_hub.errors
    from huggingface_hub.utils import _http

    asked, function = [], student.load_frozen

    class Client:  # in place of the one that talks to the hub; notes what is asked about this model, and fails
        def close(self):
            pass

        def __getattr__(self, method):
            def ask(*args, **kwargs):
                parts = [str(part) for part in (*args, *kwargs.values())]
                if any(part.endswith("adapter_config.json") for part in parts):
                    # Where peft is installed, transformers asks for an adapter although only local files are wanted.
                    raise huggingface_hub.errors.OfflineModeIsEnabled("no server can be reached")
                asked.extend(part for part in parts if "missing" in part)
                raise LookupError("a server was asked")

            return ask

    offline = huggingface_hub.constants.HF_HUB_OFFLINE
    huggingface_hub.constants.HF_HUB_OFFLINE = False
    huggingface_hub.set_client_factory(Client)
    try:
        with tempfile.TemporaryDirectory() as folder:
            function(os.path.join(folder, "missing") if inside_a_folder else "no-such-folder/missing")
    except NotImplementedError:
        raise
    except Exception as error:
        return [kind.__name__ for kind in type(error).__mro__], asked
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = offline
        huggingface_hub.set_client_factory(_http.default_client_factory)
    return [], asked


def sentence_embeddings_of_bad_input(student, input_ids, attention_mask, pooling):
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=10,
    )
    return tuple(student.sentence_embeddings(BertModel(config), input_ids, attention_mask, pooling=pooling).shape)


def first_embeddings(student):
    import tempfile

    import torch

    with tempfile.TemporaryDirectory() as folder:
        student.save_tiny_bert(folder, seed=0, dtype=torch.bfloat16)
        model = student.load_frozen(folder)
    input_ids = torch.tensor([[2, 11, 12, 13], [2, 14, 25, 26]])
    attention_mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    pairs = []
    for pooling in ("mean", "cls", "max"):
        vectors = student.sentence_embeddings(model, input_ids, attention_mask, pooling=pooling)
        alone = student.sentence_embeddings(model, input_ids[1:, :2], attention_mask[1:, :2], pooling=pooling)
        pairs.append((vectors.detach().clone(), alone.detach().clone()))
    unit = student.sentence_embeddings(model, input_ids, attention_mask, normalize=True)
    return {
        "dtypes": sorted({str(parameter.dtype) for parameter in model.parameters()}),
        "training": model.training,
        "trainable": [name for name, parameter in model.named_parameters() if parameter.requires_grad],
        "pairs": pairs,
        "lengths": unit.detach().clone().norm(dim=1),
    }


# ---------------------------------------------------------------- what is expected, worked out here


def random_batch(rng: np.random.Generator, counts: list[int], length: int) -> tuple[Tensor, Tensor]:
    """Random ids and the mask of rows with so many tokens each; the padding holds random ids as well."""
    mask = np.zeros((len(counts), length), dtype=np.int64)
    for row, count in enumerate(counts):
        mask[row, :count] = 1
    return torch.from_numpy(rng.integers(0, 20, (len(counts), length))), torch.from_numpy(mask)


def pooled(alone: list[Tensor], pooling: str) -> np.ndarray:
    """One vector for each row, token by token in float64."""
    rows = []
    for states in alone:
        tokens = states.double().numpy()
        vector = tokens[0].copy()
        for token in tokens[1:] if pooling != "cls" else []:
            vector = vector + token if pooling == "mean" else np.maximum(vector, token)
        rows.append(vector / len(tokens) if pooling == "mean" else vector)
    return np.array(rows)


def some_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def assert_vectors(found, expected: np.ndarray, what: str, cause: str) -> None:
    assert_shape(found, expected.shape, what=what)
    assert_dtype(found, "float32", what=what)
    assert_close(found, expected.astype(np.float32), what=what, cause=cause, **CLOSE)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_first_embeddings(student):
    """The small example in the notebook: a loaded checkpoint, and vectors that do not depend on padding."""
    seen = student.run(first_embeddings)
    if seen["dtypes"] != ["torch.float32"]:
        raise AssertionError(f"load_frozen gave parameters in {', '.join(seen['dtypes'])}; all should be float32.")
    if seen["training"] or seen["trainable"]:
        raise AssertionError(
            f"load_frozen gave a model with training={seen['training']} and {len(seen['trainable'])} parameters that "
            "require gradients; it should be False, and none."
        )
    for pooling, (vectors, alone) in zip(POOLINGS, seen["pairs"], strict=True):
        assert_shape(vectors, (2, WIDTH), what=f"tensor of vectors with pooling={pooling!r}")
        assert_dtype(vectors, "float32", what=f"tensor of vectors with pooling={pooling!r}")
        what = f"vector of the second text with two places of padding, pooling={pooling!r}, next to that of it alone,"
        assert_close(vectors[1], alone[0], what=what, cause="padding has an influence", **CLOSE)
    assert_close(seen["lengths"], np.ones(2, np.float32), what="tensor of lengths with normalize=True", **CLOSE)


@points(2)
@catches("loaded-as-it-is", "checkpoint-precision", "nothing-frozen", "attribute-set", "random-weights", "rounded")
def test_load_frozen(student, rng):
    """The loaded model has the checkpoint's values in float32, is in evaluation mode and frozen."""
    for dtype, as_path in (("bfloat16", False), ("float32", True)):
        seen = student.run(load_frozen, some_seed(rng), dtype, as_path)
        case = f"from a {dtype} checkpoint, the path a {'Path' if as_path else 'str'}"
        if "PreTrainedModel" not in seen["kinds"]:
            raise AssertionError(f"load_frozen should return a PreTrainedModel; it returned a {seen['kinds'][0]}.")
        other = sorted(set(seen["dtypes"].values()) - {"torch.float32"})
        if other:
            raise AssertionError(
                f"load_frozen returned a model with parameters in {', '.join(other)} ({case}); all should be float32. "
                "Transformers 5 keeps the checkpoint's precision if it is not told otherwise."
            )
        missing, extra = sorted(set(seen["saved"]) - set(seen["values"])), set(seen["values"]) - set(seen["saved"])
        if missing or extra:
            raise AssertionError(f"The loaded model lacks {missing} and has {sorted(extra)} too many ({case}).")
        for name, value in seen["saved"].items():
            what, cause = f"parameter {name} ({case})", "values that are not the checkpoint's, or were rounded"
            assert_close(seen["values"][name], value, rtol=0, atol=0, what=what, cause=cause)
        if seen["in_training"]:
            raise AssertionError(f"{seen['in_training']} modules of the loaded model are in training mode ({case}).")
        if seen["trainable"]:
            raise AssertionError(
                f"{len(seen['trainable'])} of {len(seen['dtypes'])} parameters require gradients, among them "
                f"{seen['trainable'][0]} ({case}); all should be frozen."
            )


@points(1)
@catches("mask-not-passed", "pooler-output")
def test_texts_do_not_attend_to_padding(student, rng):
    """With "cls", a row's vector is the first token's last hidden state, the same as alone and without padding."""
    for counts, length in (([5, 2, 7], 7), ([3, 6], 9), ([4], 4)):
        ids, mask = random_batch(rng, counts, length)
        seen = student.run(sentence_embeddings, some_seed(rng), ids, mask, [{"pooling": "cls"}], {"mixes": True})
        what = f'tensor of vectors with pooling="cls", rows of {counts} tokens padded to {length},'
        cause = "what the tokens attend to, or which output of the model is taken"
        assert_vectors(seen["vectors"][0], pooled(seen["alone"], "cls"), what, cause)


@points(1)
@catches("padding-in-the-mean", "divided-by-the-length", "pooled-in-bfloat16", "masked-ids-overwritten")
def test_mean_over_the_tokens_that_are_there(student, rng):
    """The mean is taken over the tokens that are there, in float32, and is what you get without further arguments."""
    for counts, length, dtype in (([5, 2, 7], 7, "float32"), ([1, 8, 3, 6, 2, 4, 5, 7], 8, "float32"), ([7, 3], 9, "")):
        dtype = dtype or "bfloat16"
        ids, mask = random_batch(rng, counts, length)
        calls = [{}, {"pooling": "mean", "normalize": False}]
        seen = student.run(sentence_embeddings, some_seed(rng), ids, mask, calls, {"dtype": dtype})
        expected = pooled(seen["alone"], "mean")
        for found, given in zip(seen["vectors"], ("without further arguments", 'with pooling="mean"'), strict=True):
            what = f"tensor of vectors {given}, rows of {counts} tokens padded to {length}, {dtype} model,"
            cause = "which tokens are added up, by what the sum is divided, and in which precision"
            assert_vectors(found, expected, what, cause)
        for found, before, name in zip(seen["arguments"], (ids, mask), ("input_ids", "attention_mask"), strict=True):
            assert_unchanged(found, before, what=name)


@points(1)
@catches("zeros-in-the-maximum", "padding-in-the-maximum")
def test_maximum_over_the_tokens_that_are_there(student, rng):
    """Padding never wins the maximum, whatever the sign and size of the features."""
    for counts, length, bias in (([5, 2, 7], 7, -9.0), ([3, 1], 6, 0.0), ([2, 6, 4], 8, 9.0)):
        ids, mask = random_batch(rng, counts, length)
        settings = {"bias": bias, "dtype": "float32"}
        seen = student.run(sentence_embeddings, some_seed(rng), ids, mask, [{"pooling": "max"}], settings)
        what = f'tensor of vectors with pooling="max", rows of {counts} tokens padded to {length},'
        cause = "what stands in the place of the padding when the maximum is taken"
        assert_vectors(seen["vectors"][0], pooled(seen["alone"], "max"), what, cause)


@points(1)
@catches("normalize-ignored", "tokens-normalised", "normalised-over-the-batch", "zero-divided-by-zero")
def test_normalised_vectors_have_unit_length(student, rng):
    """With normalize=True each vector keeps its direction and has unit length; a zero vector stays zero."""
    for scale in (1.0, 0.05, 0.0):
        ids, mask = random_batch(rng, [4, 6, 3], 6)
        calls = [{"pooling": pooling, "normalize": flag} for pooling in POOLINGS for flag in (False, True)]
        seen = student.run(sentence_embeddings, some_seed(rng), ids, mask, calls, {"scale": scale})
        for pooling, raw, unit in zip(POOLINGS, seen["vectors"][::2], seen["vectors"][1::2], strict=True):
            assert_shape(raw, (3, WIDTH), what=f"tensor of vectors with pooling={pooling!r}")
            what = f"tensor of vectors with pooling={pooling!r}, normalize=True" + ", hidden states all 0," * (
                scale == 0
            )
            plain = raw.double().numpy()
            lengths = np.sqrt((plain**2).sum(axis=1, keepdims=True))
            expected = plain / np.where(lengths > 0, lengths, 1.0)
            assert_vectors(unit, expected, what, "the last step divides each row by its own Euclidean length")


@points(1)
@catches("dropout-active", "left-in-evaluation-mode", "one-flag-for-all", "modes-lost-on-an-error")
def test_modes_are_borrowed_and_given_back(student, rng):
    """The model runs in evaluation mode, and afterwards every module has its own mode again, also after an error."""
    calls = [{"pooling": "cls"}, {"pooling": "cls"}]
    for training, fails_at in (
        ([True], None),
        ([False], None),
        ([True, False, True], None),
        ([False, True], None),
        ([True], 1),
        ([True, True, False], 1),
    ):
        ids, mask = random_batch(rng, [4, 4, 4], 4)
        settings = {"mixes": True, "dropout": 0.5, "training": training, "fails_at": fails_at}
        seen = student.run(sentence_embeddings, some_seed(rng), ids, mask, calls, settings)
        case = f"{sum(seen['modes'])} of {len(seen['modes'])} modules were in training mode before"
        if fails_at and seen["failed"] is None:
            raise AssertionError("sentence_embeddings swallowed an error that the model raised.")
        if any(seen["in_training"]):
            raise AssertionError(
                f"While the model ran, {max(seen['in_training'])} of its modules were in training mode ({case}); it "
                "should be none. Dropout makes the vectors random."
            )
        changed = sum(a != b for a, b in zip(seen["after"], seen["modes"], strict=True))
        if changed:
            raise AssertionError(
                f"Afterwards {changed} modules are in another mode than before ({case}"
                + (", and the model raised an error" if fails_at else "")
                + "). Each module has a mode of its own and should get it back."
            )
        if not fails_at and not torch.equal(*seen["vectors"]):
            raise AssertionError(f"Two calls with the same arguments gave different vectors ({case}).")


@points(1)
@catches("gradients-retained", "inference-mode", "model-frozen", "recording-switched-off", "old-gradients-cleared")
def test_no_gradients_and_nothing_changed(student, rng):
    """The vectors are ordinary tensors without gradient, and parameters, gradients and recording are as before."""
    ids, mask = random_batch(rng, [3, 5, 2], 6)
    calls = [{"pooling": pooling, "normalize": pooling == "cls"} for pooling in POOLINGS]
    seen = student.run(sentence_embeddings, some_seed(rng), ids, mask, calls, {"mixes": True, "trainable": True})
    if any(seen["gradients"]):
        raise AssertionError("The vectors require gradients when the model's parameters do; they never should.")
    for key, what in (
        ("switched", "another requires_grad than before"),
        ("other_gradients", "another .grad than before"),
        ("moved", "other values than before"),
    ):
        if seen[key]:
            raise AssertionError(
                f"After sentence_embeddings {len(seen[key])} parameters of the model have {what}, among them "
                f"{seen[key][0]}."
            )
    if not seen["records"]:
        raise AssertionError("Afterwards torch.is_grad_enabled() is False: no training could follow.")
    if seen["refused"]:
        raise AssertionError(f"No classifier can be trained on the vectors. PyTorch says: {seen['refused'][0]} ...")


@points(1)
@catches("server-asked", "row-without-tokens", "unknown-pooling", "mask-of-another-shape")
def test_impossible_arguments_are_refused(student, rng):
    """A missing folder is an OSError and no server is asked; masks and poolings that make no sense are refused."""
    for inside_a_folder in (False, True):
        kinds, asked = student.run(load_frozen_from_nowhere, inside_a_folder)
        if asked:
            raise AssertionError(f"load_frozen with a folder that does not exist asked a server for {asked[0]}.")
        if "OSError" not in kinds:
            found = f"raised {kinds[0]}" if kinds else "returned without an error"
            raise AssertionError(f"load_frozen with a folder that does not exist should raise OSError; it {found}.")

    ids, mask = random_batch(rng, [3, 5], 5)
    empty = mask.clone()
    empty[1] = 0
    for bad_ids, bad_mask, pooling, what in (
        (ids, mask, "average", 'pooling="average"'),
        (ids, mask, "", 'pooling=""'),
        (ids, empty, "mean", "a row without a token"),
        (ids, empty, "cls", 'a row without a token, pooling="cls",'),
        (ids, mask[:, :4], "mean", "input_ids (2, 5) and a mask (2, 4)"),
        (ids, mask[1:], "mean", "input_ids (2, 5) and a mask (1, 5)"),
        (ids, mask[1], "max", "input_ids (2, 5) and a mask (5,)"),
        (ids[0], mask[0], "mean", "input_ids (5,)"),
        (ids[None], mask[None], "cls", "input_ids (1, 2, 5)"),
    ):
        with raises(ValueError, what=f"sentence_embeddings with {what}"):
            student.run(sentence_embeddings_of_bad_input, bad_ids, bad_mask, pooling)
