"""What tuning changed, as a file: only the changed weights, never a pickle, applied only where they fit exactly."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.errors import CapstoneError
from grader.capstone.tuning import LORA_RANK, LORA_SCALE, Method, add_lora

MOST_BYTES = 2_000_000_000  # a whole large model in float32; more is not read at all
_IMAGE_SIDE = ("image_tower.", "image_projection.", "log_scale")
_TEXT_SIDE = ("text_tower.", "text_projection.")


def changed_weights(model: nn.Module, pretrained: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every weight and statistic that differs from the pretrained model's, or that it has not (LoRA's matrices)."""
    changed = {}
    for name, value in model.state_dict().items():
        before = pretrained.get(name.replace(".base_layer", ""))
        if before is None or not torch.equal(value.cpu(), before):
            changed[name] = value.detach().cpu().contiguous()
    return changed


def save_adapter(file: Path, tensors: dict[str, Tensor], method: Method, pretrained_digest: str) -> None:
    """Write an adapter and what it belongs to."""
    file.parent.mkdir(parents=True, exist_ok=True)
    about = {"method": str(method), "pretrained": pretrained_digest}
    if method is Method.LORA:
        about |= {"rank": str(LORA_RANK), "scale": str(LORA_SCALE)}
    save_file(tensors, file, metadata=about)


def read_adapter(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """An adapter's tensors and what it says of itself. Raises CapstoneError for a file that is none."""
    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            raise CapstoneError(f"{file}: {size / 1e6:.0f} MB is too much for an adapter")
        with safe_open(file, framework="pt") as stream:
            return {name: stream.get_tensor(name) for name in stream.keys()}, stream.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise CapstoneError(f"{file}: not an adapter that can be read ({error})") from error


def apply_adapter(
    model: DualEncoder, file: Path, pretrained_digest: str, *, trains_text: bool = False
) -> dict[str, Tensor]:
    """Turn the pretrained model into the tuned one; returns the adapter's tensors, by name.

    Without `trains_text` an adapter may not touch the text side.

    Raises CapstoneError when the adapter belongs to other weights, names what tuning may not change, has other shapes,
    or holds nan or inf.
    """
    tensors, about = read_adapter(file)
    if about.get("pretrained") != pretrained_digest:
        raise CapstoneError(f"{file}: tuned from other pretrained weights than these")
    if about.get("method") == Method.LORA:
        try:
            rank, scale = int(about["rank"]), int(about["scale"])
        except (KeyError, ValueError) as error:
            raise CapstoneError(f"{file}: does not say which rank and scale its matrices have") from error
        if not 1 <= rank <= 64:
            raise CapstoneError(f"{file}: a rank of {rank} is not between 1 and 64")
        add_lora(model, trains_text=trains_text, rank=rank, scale=scale)
    own, allowed = model.state_dict(), _IMAGE_SIDE + (_TEXT_SIDE if trains_text else ())
    for name, value in tensors.items():
        if name not in own or not name.startswith(allowed):
            raise CapstoneError(f"{file}: changes {name}, which tuning may not change")
        if own[name].shape != value.shape or own[name].dtype != value.dtype:
            raise CapstoneError(f"{file}: {name} has shape {tuple(value.shape)}, not {tuple(own[name].shape)}")
        if not torch.isfinite(value).all():
            raise CapstoneError(f"{file}: {name} holds nan or inf")
    model.load_state_dict(tensors, strict=False)
    return tensors


def interpolate(before: dict[str, Tensor], after: dict[str, Tensor], part: float) -> dict[str, Tensor]:
    """Weights on the line from `before` (0) to `after` (1), as WiSE-FT (Wortsman et al. 2022a); counters stay."""
    return {
        name: torch.lerp(before[name], value, part) if value.is_floating_point() else value
        for name, value in after.items()
    }
