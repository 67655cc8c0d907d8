"""The part of the dual encoder that a server needs, and its ONNX file."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.capstone.augmentation import normalise
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.errors import CapstoneError
from grader.capstone.serving.index import INPUT, OUTPUT
from grader.capstone.tuning import merge_lora


class ImageSide(nn.Module):
    """float32 (batch, 3, size, size) in [0, 1] on white -> unit vectors, float32 (batch, width).

    Scaling of brightness is part of it, so that nobody who runs the file can forget it or do it twice.
    """

    def __init__(self, tower: nn.Module, projection: nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self.projection = projection

    def forward(self, images: Tensor) -> Tensor:
        return F.normalize(self.projection(self.tower(normalise(images))).float(), dim=1)


def image_side(model: DualEncoder) -> ImageSide:
    """A model's image side as it will be served: a copy on the processor, LoRA merged, in evaluation mode."""
    side = copy.deepcopy(ImageSide(model.image_tower, model.image_projection)).cpu().float()
    merge_lora(side)
    return side.eval().requires_grad_(False)


def write_onnx(side: ImageSide, file: Path, size: int) -> None:
    """Export to one ONNX file that takes any number of images. Raises CapstoneError where torch cannot."""
    # Two images: from a single one torch.export would conclude that there is always a single one.
    example = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    for name in ("onnxscript", "onnx_ir", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about torch's own use of torch
            program = torch.onnx.export(
                side,
                (example,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise CapstoneError(f"torch cannot export this model to ONNX: {error}") from error
    assert program is not None
    program.save(file, external_data=False)
