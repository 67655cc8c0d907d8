# %% [markdown]
# # Fine-tuning BERT
#
# A tutorial loads BERT with a fresh classification head, calls `model.train()`, and says that the model is fine-tuned
# now. That call sets a flag: not one of a hundred million parameters has moved, the head is still random noise, and
# with dropout switched on the same sentence gets another answer each time. Here you write what is missing, and check
# that it changes the model: the run that made BERT useful, with its optimiser, its schedule, and a way to predict.
#
# ## Your task (50 minutes)
#
# ```python
# finetune_bert(model, batches, *, epochs=3, lr=5e-5, weight_decay=0.01, warmup_ratio=0.1, max_grad_norm=1.0)
# predict(model, batches)
# ```
#
# The first changes the model and returns the loss of each step, as it was before the step: a list of `float`. The
# second returns the predicted classes, an `int64` tensor `(samples,)`.
#
# `model` is a `transformers.BertForSequenceClassification` with at least two labels. `batches` is a list of
# dictionaries of tensors, such as a tokenizer makes them; batches may differ in number of samples and in length:
#
# | key | shape | meaning |
# |---|---|---|
# | `"input_ids"` | `(batch, length)` | token ids |
# | `"attention_mask"` | `(batch, length)`, 0 or 1 | which tokens are there; padding has 0 |
# | `"labels"` | `(batch,)`, int64 | classes from 0 to `model.config.num_labels - 1` |
#
# **Part 1.** Each epoch walks through the batches in their order, with one optimiser step for each. There are
# T = `epochs` · `len(batches)` steps; let W = `int(warmup_ratio * T)`.
#
# - The loss is the mean cross-entropy of the logits and the labels, which the model computes itself when it is given
#   labels. Padding must have no influence: the mask goes along.
# - The optimiser is one `torch.optim.AdamW`, with PyTorch's default betas and eps, of all parameters that have
#   `requires_grad`; frozen ones stay frozen. `weight_decay` holds for parameters with two or more dimensions; biases
#   and the parameters of layer normalisation, which have one, get no decay. (The checks listen to the steps of AdamW;
#   how many parameter groups you make is up to you.)
# - The rate of step s (from 0) is lr · s / W while s < W, and lr · (T - s) / (T - W) from there on: up to `lr` and down
#   towards 0, step by step. `transformers.get_linear_schedule_with_warmup` computes this, if it is stepped after each
#   step of the optimiser.
# - Each step uses the gradient of its own batch alone, scaled down to the length `max_grad_norm` if all gradients
#   together are longer as one vector. A gradient that was there before the call has no influence.
# - Every module is in training mode during the run, and in evaluation mode when you return. (`from_pretrained` gives
#   you a model in evaluation mode.)
#
# **Part 2.** `predict` returns, for all samples in their order, the class with the largest logit.
#
# - It needs no labels; if a batch has some, they are ignored. The mask is needed here too.
# - While the model runs, every module is in evaluation mode, so that two calls agree, and no gradients are recorded.
#   Afterwards each module has its own mode again, whatever it was, even if the model raises an error.
#
# Rules for both:
#
# - The dictionaries stay as they are.
# - **`KeyError`** if a batch lacks one of the keys that are needed. **`ValueError`** if there is no batch; in part 1
#   also if `epochs` is below 1, if `warmup_ratio` is below 0, or 1 or more, and if a label is no class (-100, which the
#   loss would skip, is refused too). `finetune_bert` raises these before anything is changed, whichever batch is at
#   fault.
# - **Forbidden:** `transformers.Trainer`, `transformers.TrainingArguments`.
#
# ## A worked example
#
# Five batches, two epochs, `warmup_ratio=0.25`, `lr=1e-3`: T = 10 steps, and W = int(2.5) = 2 of them warm up.
#
# | step | 0 | 1 | 2 | 3 | ... | 8 | 9 |
# |---|---|---|---|---|---|---|---|
# | rate / `lr` | 0/2 | 1/2 | 8/8 | 7/8 | ... | 2/8 | 1/8 |
#
# The first step has the rate 0 and moves nothing: it fills AdamW's averages. If the scheduler were stepped once an
# epoch, the rates would be 0 five times and then half of `lr` five times.

# %%
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, get_linear_schedule_with_warmup


def tiny_bert(seed: int) -> BertForSequenceClassification:
    """A BERT with random weights, two labels and no dropout, small enough for a notebook. (This one is given.)"""
    config = BertConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
        num_labels=2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForSequenceClassification(config)


# %% [markdown]
# ## Part 1: a run that changes the model


# %% tags=["solution"]
def finetune_bert(
    model: BertForSequenceClassification,
    batches: list[dict[str, Tensor]],
    *,
    epochs: int = 3,
    lr: float = 5e-5,
    weight_decay: float = 0.01,
    warmup_ratio: float = 0.1,
    max_grad_norm: float = 1.0,
) -> list[float]:
    """Fine-tune a BERT classifier with AdamW, linear warm-up and decay, and clipping (Devlin et al. 2019).

    Args:
        model: is changed in place, and left in evaluation mode.
        batches: dicts with input_ids, attention_mask (batch, length) and labels (batch,), int64.
        epochs: passes over the batches, at least 1.
        lr: the highest learning rate.
        weight_decay: decoupled decay (Loshchilov and Hutter 2019) of parameters with two or more dimensions.
        warmup_ratio: share of the steps that warm up, in [0, 1), rounded down.
        max_grad_norm: longest gradient allowed, over all parameters together.

    Returns:
        The loss of each step as a float, epochs * len(batches) of them.

    Raises:
        ValueError: no batch, epochs below 1, warmup_ratio outside [0, 1), a label outside the classes.
        KeyError: a batch lacks a key.
    """
    ### BEGIN SOLUTION
    if not batches or epochs < 1 or not 0 <= warmup_ratio < 1:
        raise ValueError(f"{len(batches)} batches, {epochs} epochs, warmup_ratio {warmup_ratio}")
    for batch in batches:
        for key in ("input_ids", "attention_mask", "labels"):
            if key not in batch:
                raise KeyError(key)
        if ((batch["labels"] < 0) | (batch["labels"] >= model.config.num_labels)).any():
            raise ValueError(f"labels must lie between 0 and {model.config.num_labels - 1}")

    # weight matrices decay towards 0; biases and the parameters of normalisation do not
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trainable if parameter.ndim >= 2]
    vectors = [parameter for parameter in trainable if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    steps = epochs * len(batches)
    scheduler = get_linear_schedule_with_warmup(optimizer, int(warmup_ratio * steps), steps)

    losses = []
    model.train()
    for _ in range(epochs):
        for batch in batches:
            optimizer.zero_grad()
            loss = model(**batch).loss  # the cross-entropy of logits and labels
            loss.backward()
            nn.utils.clip_grad_norm_(trainable, max_grad_norm)
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
    model.eval()
    return losses
    ### END SOLUTION


# %% [markdown]
# ## Part 2: predictions


# %% tags=["solution"]
def predict(model: BertForSequenceClassification, batches: list[dict[str, Tensor]]) -> Tensor:
    """The class with the largest logit for each sample, int64, (samples,).

    batches: dicts with input_ids and attention_mask, (batch, length). Modules keep their modes.
    Raises ValueError if there is no batch, KeyError if one lacks a key.
    """
    ### BEGIN SOLUTION
    if not batches:
        raise ValueError("there is no batch")
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            classes = [
                model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.argmax(dim=1)
                for batch in batches
            ]
    finally:
        for module, training in modes:
            module.training = training  # not module.train(training): that would switch its children as well
    return torch.cat(classes)  # (samples,)
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# The class is decided by the first token, 3 or 4; the other tokens are noise.

# %% tags=["visible-checks", "active-ipynb"]
# generator = torch.Generator().manual_seed(0)
# batches = []
# for _ in range(4):
#     input_ids = torch.randint(5, 40, (8, 6), generator=generator)
#     labels = torch.randint(0, 2, (8,), generator=generator)
#     input_ids[:, 0] = 3 + labels
#     batches.append({"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "labels": labels})
#
# model = tiny_bert(seed=0)
# before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
# losses = finetune_bert(model, batches, epochs=6, lr=2e-3)
# assert len(losses) == 24 and all(isinstance(loss, float) for loss in losses), losses
# unmoved = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
# assert not unmoved, f"these parameters have not changed at all: {unmoved}"
# assert not model.training, "the model is in training mode; it should be left in evaluation mode"
# predicted = predict(model, batches)
# expected = torch.cat([batch["labels"] for batch in batches])
# assert predicted.shape == (32,) and predicted.dtype == torch.int64, predicted
# right = (predicted == expected).sum().item()
# assert right == 32, f"{right} of 32 training samples are predicted rightly; all of them can be"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Write down for each line of your run which of these it changes: a flag, `.grad`, a parameter, AdamW's averages, the
# learning rate. Is there a line for each, and does each change happen as often as it should: once, once an epoch, once
# a step?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A fresh head sends large gradients into pretrained layers, and AdamW's averages know nothing yet: that is what
# warm-up, clipping and a small rate are for. Decay pulls matrices towards 0; pulling the scale of a normalisation
# towards 0 has no such purpose. The schedule lives in steps, so it has to know their number before the first.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Look at all arguments and batches. Sort the trainable parameters by their number of dimensions into two groups; make
# AdamW and the schedule for all steps. Training mode; for each epoch and batch: clear, forward with mask and labels,
# backward, clip, optimiser, scheduler, note the number. Evaluation mode. For predictions: note each module's mode, and
# give it back in a `finally`; in between evaluation mode, no gradients, the largest logit, all batches in one tensor.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
# ```
#
# </details>

# %% [markdown]
# ## What belongs around it
#
# Devlin et al. tried rates from 2e-5 to 5e-5, two to four epochs and batches of 16 or 32, and took what was best on
# validation data. On small data sets results vary widely between seeds; more steps with a small rate and with Adam's
# bias correction make them steadier (Mosbach et al., 2021; Zhang et al., 2021), so report several seeds. Save model and
# tokenizer together. A vision-language model is fine-tuned by the same lines: a `CLIPModel` with a head, or a language
# model with adapters, whose loss is that of the answer's tokens.
#
# ## References
#
# - Jacob Devlin, Ming-Wei Chang, Kenton Lee, Kristina Toutanova (2019). *BERT: Pre-training of Deep Bidirectional
#   Transformers for Language Understanding.* NAACL 2019.
# - Ilya Loshchilov, Frank Hutter (2019). *Decoupled Weight Decay Regularization.* ICLR 2019.
# - Marius Mosbach, Maksym Andriushchenko, Dietrich Klakow (2021). *On the Stability of Fine-tuning BERT:
#   Misconceptions, Explanations, and Strong Baselines.* ICLR 2021.
# - Tianyi Zhang, Felix Wu, Arzoo Katiyar, Kilian Q. Weinberger, Yoav Artzi (2021). *Revisiting Few-sample BERT
#   Fine-tuning.* ICLR 2021.
