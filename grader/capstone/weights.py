"""The pretrained dual encoder as files: weights as safetensors, and a manifest that says where they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from grader.capstone.errors import CapstoneError

SHIPPED = Path(__file__).with_name("weights")
MOST_BYTES = 8_000_000


def weights_file(preset: str, folder: Path | None = None) -> Path:
    """Where the pretrained weights of a preset lie."""
    return (folder or SHIPPED) / f"{preset}.safetensors"


def save_weights(file: Path, tensors: dict[str, Tensor], manifest: dict[str, Any]) -> None:
    """Write weights and, beside them, the manifest (command, seed, hash of the data, metrics)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, file)
    file.with_suffix(".json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", "utf-8")


def load_weights(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and their manifest. Raises CapstoneError naming a file that is missing or broken."""
    try:
        return load_file(file), json.loads(file.with_suffix(".json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise CapstoneError(f"{error.filename or file} is missing; make it with: course capstone pretrain") from error
    except Exception as error:  # safetensors has an exception of its own for a broken file
        raise CapstoneError(f"{file}: not weights that can be read ({error})") from error


def restore(model: nn.Module, tensors: dict[str, Tensor], file: Path) -> None:
    """Put weights into a model that has exactly these. Raises CapstoneError naming what differs."""
    own = {name: value.shape for name, value in model.state_dict().items()}
    given = {name: value.shape for name, value in tensors.items()}
    if wrong := sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name)):
        raise CapstoneError(f"{file}: these are weights of another model ({', '.join(wrong[:3])} ...)")
    model.load_state_dict(tensors)
