# %% [markdown]
# # From a checkpoint to sentence embeddings
#
# "Load a pretrained BERT" is one line in every tutorial, and most of them stop there, as if a loaded model were a
# result. Between the folder on the disk and a vector that stands for a sentence lie half a dozen decisions that nobody
# announces when they go wrong: the precision of the weights, dropout, gradients that pile up, and above all padding,
# which creeps into the attention, the mean and the maximum. A text's vector then depends on the other texts in its
# batch, and every similarity that you compute from it does so, too.
#
# ## Your task (40 minutes)
#
# ```python
# load_frozen(path) -> PreTrainedModel
# sentence_embeddings(model, input_ids, attention_mask, pooling="mean", normalize=False) -> Tensor
# ```
#
# **Part 1.** `load_frozen` loads the BERT whose `save_pretrained` wrote the folder `path`, a `str` or a `Path`.
#
# - All parameters are float32, whatever the checkpoint holds, with the checkpoint's values. Transformers 5 keeps the
#   checkpoint's precision if it is not told otherwise.
# - The model is in evaluation mode (`model.eval()`; Keras says inference mode), and every parameter is frozen: its
#   `requires_grad` is False.
# - The model comes from this folder or not at all. If there is no such folder: **`OSError`**, and no server is asked.
#   (`from_pretrained` takes a path that is no folder for the name of a model on the hub; one of its arguments keeps it
#   from looking there.)
#
# **Part 2.** `sentence_embeddings` returns one vector for each row of `input_ids`, a float32 tensor `(batch, width)`.
#
# | argument | shape, dtype | meaning |
# |---|---|---|
# | `model` | | a BERT such as `BertModel`; its output has `last_hidden_state` `(batch, length, width)` |
# | `input_ids` | `(batch, length)`, int64 | token ids; batch and length are at least 1 |
# | `attention_mask` | `(batch, length)`, int64, 0 or 1 | 1 where a token is; padding has 0 and stands at a row's end |
# | `pooling` | `"mean"`, `"cls"` or `"max"` | how the hidden states of a row become one vector |
# | `normalize` | `bool` | whether each vector is divided by its Euclidean length in the end; a zero vector stays zero |
#
# - `"mean"` and `"max"` are taken for each component over the tokens that are there, `"cls"` is the last hidden state
#   of the first token. Padding has no influence on anything: a row gets the vector that it gets alone and without it.
# - The hidden states of a model in bfloat16 are made float32 **before** they are pooled.
# - While the model runs, every module is in evaluation mode. Afterwards each has its own mode again, whatever it was,
#   even if the model raises an error. Neither parameters, nor their `requires_grad` and `.grad`, are changed, nor is
#   whether PyTorch records gradients outside.
# - The vectors carry no gradient (`requires_grad` is False), whatever the model's parameters say. Apart from that they
#   are ordinary tensors: a classifier can be trained on them, which is impossible with tensors made under
#   `torch.inference_mode`.
# - **`ValueError`** for `input_ids` that do not have two dimensions, a mask of another shape, a row without a token,
#   and any other `pooling`. The arguments stay as they are.
# - **Forbidden:** the package `sentence_transformers`.
#
# ## A worked example
#
# A width of two, three places, the last of them padding. The hidden states are (-2, 3), (-4, 1) and, where the padding
# is, (7, 9): a model computes something there, too.
#
# | pooling | vector | with the padding in it |
# |---|---|---|
# | `"mean"` | (-3, 2) | (0.33, 4.33); with zeros in its place (-2, 1.33) |
# | `"max"` | (-2, 3) | (7, 9); with zeros in its place (0, 3) |
# | `"cls"` | (-2, 3) | (-2, 3), yet other hidden states if the padding took part in the attention |
#
# Normalised, the mean is (-3, 2) / √13 = (-0.83, 0.55).

# %%
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModel, BertConfig, BertModel, PreTrainedModel


def save_tiny_bert(path: str | Path, seed: int, dtype: torch.dtype = torch.float32) -> None:
    """Write a checkpoint of a tiny BERT with random weights to the folder `path`. (This one is given.)"""
    config = BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
    model.to(dtype).save_pretrained(path)


# %% [markdown]
# ## Part 1: from the folder to a model


# %% tags=["solution"]
def load_frozen(path: str | Path) -> PreTrainedModel:
    """The BERT saved in the folder `path`: float32, in evaluation mode, all parameters frozen.

    Raises OSError if there is no such folder; no server is asked.
    """
    ### BEGIN SOLUTION
    model = AutoModel.from_pretrained(path, dtype=torch.float32, local_files_only=True)
    return model.eval().requires_grad_(False)
    ### END SOLUTION


# %% [markdown]
# ## Part 2: from tokens to one vector a sentence


# %% tags=["solution"]
def sentence_embeddings(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    pooling: str = "mean",
    normalize: bool = False,
) -> Tensor:
    """One vector for each text, from the hidden states of its tokens (Reimers and Gurevych 2019).

    Args:
        model: a BERT; its modules keep their modes.
        input_ids: `(batch, length)`, int64.
        attention_mask: `(batch, length)`, int64, 1 where a token is and 0 in the padding at the end of a row.
        pooling: "mean" or "max" of the tokens that are there, or "cls", the first token.
        normalize: whether vectors get unit length; a zero vector stays zero.

    Returns:
        float32 `(batch, width)`, without gradient.

    Raises:
        ValueError: shapes do not fit, a row has no token, or the pooling is unknown.
    """
    ### BEGIN SOLUTION
    if pooling not in ("mean", "cls", "max"):
        raise ValueError(f"pooling must be 'mean', 'cls' or 'max', not {pooling!r}")
    if input_ids.ndim != 2 or attention_mask.shape != input_ids.shape:
        raise ValueError(f"input_ids {tuple(input_ids.shape)} and mask {tuple(attention_mask.shape)} do not fit")
    there = attention_mask.bool()  # (batch, length)
    if not there.any(dim=1).all():
        raise ValueError("every row needs at least one token")

    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            hidden = model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    finally:
        for module, training in modes:
            module.training = training  # not module.train(training): that would switch its children as well

    hidden, there = hidden.float(), there.unsqueeze(2)  # (batch, length, width), (batch, length, 1)
    if pooling == "mean":
        # sum over the tokens that are there, divided by their number
        vectors = hidden.masked_fill(~there, 0.0).sum(dim=1) / there.sum(dim=1)  # (batch, width)
    elif pooling == "max":
        # padding must lose against every number, also where all are negative
        vectors = hidden.masked_fill(~there, float("-inf")).amax(dim=1)  # (batch, width)
    else:
        vectors = hidden[:, 0]  # (batch, width)
    return F.normalize(vectors, dim=1) if normalize else vectors
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# from tempfile import TemporaryDirectory
#
# with TemporaryDirectory() as folder:
#     save_tiny_bert(folder, seed=0, dtype=torch.bfloat16)
#     model = load_frozen(folder)
# assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
# assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())
#
# # two texts of four tokens and of two; the second alone, without its padding, must get the same vector
# input_ids = torch.tensor([[2, 11, 12, 13], [2, 14, 25, 26]])
# attention_mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
# for pooling in ("mean", "cls", "max"):
#     vectors = sentence_embeddings(model, input_ids, attention_mask, pooling=pooling)
#     assert vectors.shape == (2, 8) and vectors.dtype == torch.float32
#     alone = sentence_embeddings(model, input_ids[1:, :2], attention_mask[1:, :2], pooling=pooling)
#     assert torch.allclose(vectors[1], alone[0], atol=1e-5), f"padding has an influence ({pooling})"
# lengths = sentence_embeddings(model, input_ids, attention_mask, normalize=True).norm(dim=1)
# assert torch.allclose(lengths, torch.ones(2)), f"the lengths are {lengths}"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Embed a text alone, then in a batch with a much longer one, then with rubbish ids in its padding: the vector must not
# move. And embed it twice, with a model in whatever mode: again the same vector.
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Padding gets in at two places: inside the model, where tokens attend to each other, and in the pooling. The mask has
# to stop it at both. In a mean, what is masked must leave the sum and the count. In a maximum, the neutral element is
# not 0. Evaluation mode and gradients are two switches that have nothing to do with each other, and both belong to
# somebody else: borrow them, and give them back.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Loading: one call with three arguments, then switch every parameter off. Embedding: look at the arguments; note each
# module's mode; in a `try`, evaluation mode, no gradients, model with ids and mask; give the modes back in a `finally`.
# Then float32, the mask with a third axis, one of three ways to pool, and normalise at the very end.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# Give padding a value that no maximum picks: `hidden.masked_fill(~there.unsqueeze(2), float("-inf"))`.
#
# </details>

# %% [markdown]
# ## What belongs around it
#
# Tokenizer and model come from the same revision; name it (`revision=...`) when you load from the hub, whose full name
# for the best-known BERT is `google-bert/bert-base-uncased`. "Uncased" takes accents away with the capitals. Prefer
# `safetensors`, and run no `trust_remote_code` that you have not read. Models made for sentences say how they pool, and
# normalise or not; do as they did. The raw mean and the raw first token of a BERT that was not trained for this are
# weak vectors (Reimers and Gurevych, 2019), and `pooler_output` is yet another thing: the first token after a layer
# that was trained to predict the next sentence. For images and text, load an `AutoProcessor` and a multimodal class in
# the same way.
#
# ## References
#
# - Jacob Devlin, Ming-Wei Chang, Kenton Lee, Kristina Toutanova (2019). *BERT: Pre-training of Deep Bidirectional
#   Transformers for Language Understanding.* NAACL 2019.
# - Nils Reimers, Iryna Gurevych (2019). *Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks.*
#   EMNLP-IJCNLP 2019.
