"""A smaller image side: int8 weights and activations, or a part of the weights set to zero."""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import nn
from torch.nn.utils import prune

from grader.capstone.errors import CapstoneError
from grader.capstone.serving.image_side import ImageSide
from grader.capstone.serving.index import INPUT

_CALIBRATION_BATCH = 32


def quantise(file: Path, target: Path, calibration: np.ndarray) -> None:
    """Write `file` with 8-bit weights and activations to `target`, by onnxruntime.

    Static quantisation: the ranges of activations are measured once, on `calibration`, float32 (n, 3, size, size), and
    every output channel of a weight has a scale of its own, because channels differ by orders of magnitude once
    BatchNorm is folded into them.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not len(calibration):
        raise CapstoneError("int8 needs drawings to measure the ranges of activations on, and there are none")

    class Batches(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches: Iterator[np.ndarray] = iter(
                np.array_split(calibration, -(-len(calibration) // _CALIBRATION_BATCH))
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch}

    logging.getLogger().addFilter(_errors_only)
    try:
        with tempfile.TemporaryDirectory() as folder:
            fused = Path(folder) / "fused.onnx"  # convolution and BatchNorm as one
            # torch's exporter has noted all shapes, and the symbolic inference does not know all of its operators.
            quant_pre_process(file, fused, skip_symbolic_shape=True)
            quantize_static(
                fused,
                target,
                Batches(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
    finally:
        logging.getLogger().removeFilter(_errors_only)


def prune_weights(side: ImageSide, sparsity: float) -> ImageSide:
    """A copy in which this part of all convolutions' and linear layers' weights, the smallest ones, is zero.

    Smallest in magnitude over all layers together (Han et al. 2015). The tensors keep their shapes: what zeros save is
    room in a compressed archive, and neither memory nor time on ordinary hardware.
    """
    if not 0 < sparsity < 1:
        raise CapstoneError(f"the part of weights to prune must be between 0 and 1, not {sparsity}")
    pruned = copy.deepcopy(side)
    layers = [(module, "weight") for module in pruned.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=sparsity)
    for module, name in layers:
        prune.remove(module, name)  # the mask goes into the weight
    return pruned


def _errors_only(record: logging.LogRecord) -> bool:
    """onnxruntime's advice (to prepare the model, which was done; about axes of biases) helps nobody who runs this."""
    return record.levelno >= logging.ERROR
