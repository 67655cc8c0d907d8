"""Pretrained dual encoders of others, CLIP and SigLIP, in the place of ours: `--backbone openai/clip-vit-base-patch32`.

A checkpoint becomes a `DualEncoder`, so that tuning, adapters, checkpoints and evaluation treat it as they treat ours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.capstone.augmentation import MEAN, SPREAD
from grader.capstone.dual_encoder import LARGEST_LOGIT_SCALE, DualEncoder
from grader.capstone.errors import CapstoneError
from grader.capstone.text_towers import FrozenNames

_KINDS = ("clip", "siglip")
# Both were pretrained on captions, not on bare names (Radford et al. 2021, section 3.1.4).
_CAPTION = "an emoji of {}"
# What CLIP's and SigLIP's own processors say, where a folder has none.
_CLIP_MEAN, _CLIP_SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Normalisation:
    """How a checkpoint wants its images, by channel."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]


class BackboneImageTower(nn.Module):
    """A checkpoint's vision model, fed with our pixels at its own resolution and brightness."""

    mean: Tensor
    spread: Tensor

    def __init__(self, vision_model: nn.Module, size: int, wanted: Normalisation, features: int) -> None:
        super().__init__()
        self.vision_model = vision_model
        self.size = size
        self.features = features
        self.register_buffer("mean", torch.tensor(wanted.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(wanted.spread).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """float (batch, 3, any, any), normalised as ours -> the pooled features (batch, features)."""
        image = pixels * SPREAD + MEAN
        if image.shape[-1] != self.size:
            image = F.interpolate(image, (self.size, self.size), mode="bicubic", antialias=True).clamp(0, 1)
        pooled: Tensor = self.vision_model(pixel_values=(image - self.mean) / self.spread).pooler_output
        return pooled


class BackboneTextTower(nn.Module):
    """A checkpoint's text model with the names as its tokens; `mask` is None where it was trained without one."""

    tokens: Tensor
    mask: Tensor | None

    def __init__(self, text_model: nn.Module, tokens: Tensor, mask: Tensor | None, features: int) -> None:
        super().__init__()
        self.text_model = text_model
        self.features = features
        self.register_buffer("tokens", tokens, persistent=False)  # (concepts, longest)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, concepts: Tensor) -> Tensor:
        """int64 (batch,) -> the pooled features (batch, features)."""
        mask = None if self.mask is None else self.mask[concepts]
        pooled: Tensor = self.text_model(input_ids=self.tokens[concepts], attention_mask=mask).pooler_output
        return pooled


def load_backbone(name: str, names: Sequence[str], *, trains_text: bool, features: Tensor | None = None) -> DualEncoder:
    """The dual encoder of a checkpoint: a folder, or a name on the Hugging Face hub.

    Without `trains_text` the text tower is replaced by its features of the names; `features`, float32 (concepts,
    features), are these where they are at hand already. SigLIP has no projections, so they begin as the identity; its
    loss's bias moves no rank and is left out. Raises CapstoneError for a checkpoint that cannot be had or used.
    """
    model, tokenizer = _read(name)
    kind = model.config.model_type
    captions = [_CAPTION.format(text) for text in names]
    longest = model.config.text_config.max_position_embeddings
    padding = "max_length" if kind == "siglip" else True  # SigLIP was trained with all its places filled
    tokens = tokenizer(captions, padding=padding, truncation=True, max_length=longest, return_tensors="pt")
    mask = None if kind == "siglip" else tokens["attention_mask"]
    vision, text = model.config.vision_config, model.config.text_config
    text_features = text.hidden_size if kind == "clip" else text.projection_size
    text_tower: nn.Module = BackboneTextTower(model.text_model, tokens["input_ids"], mask, text_features)
    if not trains_text:
        text_tower = FrozenNames(_features(text_tower, len(captions)) if features is None else features)
    wanted = _normalisation(name, kind)
    image_tower = BackboneImageTower(model.vision_model, vision.image_size, wanted, vision.hidden_size)
    encoder = DualEncoder(image_tower, text_tower, width=model.projection_dim if kind == "clip" else text_features)
    with torch.no_grad():
        if kind == "clip":
            encoder.image_projection.weight.copy_(model.visual_projection.weight)
            encoder.text_projection.weight.copy_(model.text_projection.weight)
        else:
            nn.init.eye_(encoder.image_projection.weight)
            nn.init.eye_(encoder.text_projection.weight)
        # Above the bound no gradient would come through, and the temperature would never move.
        encoder.log_scale.copy_(model.logit_scale.reshape(()).clamp(max=LARGEST_LOGIT_SCALE))
    return encoder


@torch.no_grad()
def _features(tower: nn.Module, count: int, batch_size: int = 256) -> Tensor:
    tower.eval()
    return torch.cat([tower(rows) for rows in torch.arange(count).split(batch_size)])


def _read(name: str) -> tuple[Any, Any]:
    """Model and tokenizer; never runs code that a checkpoint brings along."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    try:
        kind = AutoConfig.from_pretrained(name).model_type
        if kind not in _KINDS:
            raise CapstoneError(f"{name}: a model of the kind {kind!r}; --backbone takes {' or '.join(_KINDS)}")
        model = AutoModel.from_pretrained(name, dtype=torch.float32)
        return model, AutoTokenizer.from_pretrained(name)
    except CapstoneError:
        raise
    except Exception as error:  # the hub, the network, the file system and the parsers each have their own
        reason = str(error).strip().partition("\n")[0]
        raise CapstoneError(
            f"the backbone {name!r} cannot be loaded ({reason}). Name a folder that holds a CLIP or SigLIP checkpoint "
            "with its tokenizer, or a name on huggingface.co with a network at hand and HF_HUB_OFFLINE not set to 1"
        ) from error


def _normalisation(name: str, kind: str) -> Normalisation:
    """What the checkpoint's image processor says; its kind's usual figures where it has none."""
    from transformers.utils import cached_file

    usual = Normalisation(_CLIP_MEAN, _CLIP_SPREAD) if kind == "clip" else Normalisation((0.5,) * 3, (0.5,) * 3)
    file = cached_file(name, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False)
    if file is None:
        return usual
    try:
        said = json.loads(Path(file).read_text("utf-8"))
        mean, spread = tuple(said.get("image_mean", usual.mean)), tuple(said.get("image_std", usual.spread))
        if len(mean) != 3 or len(spread) != 3 or not min(spread) > 0:
            raise ValueError("three means and three spreads above 0 are needed")
        return Normalisation(mean, spread)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CapstoneError(f"{file}: cannot be used ({error})") from error
