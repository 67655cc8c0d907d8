"""Arrays and tensors as plain parts (names, shapes, bytes), and back: what `wire` sends of them."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

ARRAY_KINDS = "biufcUS"
_TORCH_BY_VIEW = {"bfloat16": "int16"}  # dtypes NumPy does not know cross as integers of the same width


class WireError(Exception):
    """The bytes are not a message of this protocol, or break one of its limits."""


@dataclass(frozen=True, eq=False)
class TensorFlowTensor:
    """A TensorFlow tensor or Keras variable as plain data, so that the process that checks never imports TensorFlow.

    `array` holds the values; bfloat16 values are widened to float32, and `dtype` keeps the true name.
    """

    array: np.ndarray
    dtype: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "array", np.asarray(self.array))
        if not self.dtype:
            object.__setattr__(self, "dtype", self.array.dtype.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.array.shape

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array."""
        return self.array


def _library_class(library: str, name: str) -> Any:
    """A class of a library that is loaded, else `()`, which nothing is an instance of.

    Looked up in the module's dictionary: an exercise may forbid the library, and then asking it for anything raises.
    """
    return getattr(sys.modules.get(library), "__dict__", {}).get(name, ())


def is_torch_tensor(value: Any) -> bool:
    """Also false where torch is not loaded."""
    return isinstance(value, _library_class("torch", "Tensor"))


def is_tensorflow_tensor(value: Any) -> bool:
    """Also true of Keras variables and of the sparse gradients that `gather` has."""
    if isinstance(value, (_library_class("tensorflow", "Tensor"), _library_class("tensorflow", "Variable"))):
        return hasattr(value, "numpy")
    return isinstance(value, (_library_class("keras", "Variable"), _library_class("tensorflow", "IndexedSlices")))


def is_dtype(value: Any) -> bool:
    """A dtype of NumPy, torch or TensorFlow."""
    return isinstance(value, (np.dtype, _library_class("torch", "dtype"), _library_class("tensorflow", "DType")))


def array_parts(array: np.ndarray) -> list[Any]:
    """Dtype, shape and bytes."""
    contiguous = np.ascontiguousarray(array)
    return [contiguous.dtype.str, list(array.shape), contiguous.tobytes()]


def torch_parts(tensor: Any) -> list[Any]:
    """Dtype, whether it requires a gradient, and the parts of its values; a sparse tensor becomes dense."""
    import torch

    name = str(tensor.dtype).removeprefix("torch.")
    dense = tensor.detach() if tensor.layout is torch.strided else tensor.detach().to_dense()
    plain = dense.cpu().resolve_conj().resolve_neg().contiguous()
    if name in _TORCH_BY_VIEW:
        plain = plain.view(getattr(torch, _TORCH_BY_VIEW[name]))
    return [name, bool(tensor.requires_grad), *array_parts(plain.numpy())]


def tensorflow_parts(tensor: Any) -> list[Any]:
    """Dtype and the parts of its values."""
    if isinstance(tensor, _library_class("tensorflow", "IndexedSlices")):
        tensor = sys.modules["tensorflow"].convert_to_tensor(tensor)
    value = tensor.value if hasattr(tensor, "value") and not callable(tensor.value) else tensor
    array = np.asarray(value.numpy())
    name = str(getattr(tensor.dtype, "name", tensor.dtype))
    if array.dtype.kind not in ARRAY_KINDS:
        array = array.astype(np.float32) if name == "bfloat16" else array.astype(str)
    return [name, *array_parts(array)]


def array_from_parts(dtype_text: Any, shape: Any, data: Any) -> np.ndarray:
    """The array of these parts. Raises WireError for parts that fit no array, before memory is taken."""
    if not isinstance(dtype_text, str) or len(dtype_text) > 16 or not isinstance(data, bytes):
        raise WireError("malformed array")
    try:
        dtype = np.dtype(dtype_text)
    except (TypeError, ValueError):
        raise WireError(f"unknown array type {dtype_text!r}") from None
    if dtype.kind not in ARRAY_KINDS or dtype.hasobject:
        raise WireError(f"arrays of type {dtype_text!r} do not cross")
    if not isinstance(shape, list) or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
        raise WireError("malformed array shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise WireError("array shape and data disagree")
    array = np.frombuffer(data, dtype=dtype).reshape(shape).copy()
    if dtype.kind == "U":
        array.tolist()  # raises for numbers that are no characters, which would raise later in whoever shows them
    return array


def torch_from_parts(name: Any, requires_grad: Any, dtype_text: Any, shape: Any, data: Any) -> Any:
    """The tensor of these parts. Raises WireError."""
    import torch

    tensor = torch.from_numpy(array_from_parts(dtype_text, shape, data))
    if name in _TORCH_BY_VIEW:
        tensor = tensor.view(getattr(torch, name))
    if requires_grad and (tensor.is_floating_point() or tensor.is_complex()):
        tensor.requires_grad_(True)
    return tensor
