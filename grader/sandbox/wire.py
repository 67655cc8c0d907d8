"""The wire between checks and the student's process: values as bytes, and framed messages.

Decoding builds plain data only. There is no pickle and no class of the sender's: an object that is not plain data
arrives as a `HandleReference`, a number that means something to the other side alone. Every size is checked before
memory is taken, since the sender may be hostile.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np

from grader.sandbox.arrays import (
    ARRAY_KINDS,
    TensorFlowTensor,
    WireError,
    array_from_parts,
    array_parts,
    is_dtype,
    is_tensorflow_tensor,
    is_torch_tensor,
    tensorflow_parts,
    torch_from_parts,
    torch_parts,
)

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 40
MAX_VALUES = 1_000_000  # in the lists of one message: a byte can stand for an object of two hundred
MAX_HELD_BYTES = 4 * MAX_MESSAGE_BYTES  # in a message and the parts being decoded, each a copy out of the one around it
MAX_KEYS = 10_000  # in one dictionary or set: keys can be chosen so that each is compared with all others
MAX_INTEGER_DIGITS = 3500  # hexadecimal; Python shows no number of more than 4300 decimal digits

_TUPLE, _DICT, _SET, _FROZENSET, _COMPLEX, _INTEGER, _SLICE = 1, 2, 3, 4, 5, 6, 7
_AS_IT_IS = frozenset({type(None), bool, bytes, float, str})
_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
_ARRAY, _SCALAR, _TORCH, _TENSORFLOW, _HANDLE, _DTYPE, _ELLIPSIS = 10, 11, 12, 13, 14, 15, 16


@dataclass(frozen=True)
class HandleReference:
    """Stands for an object that stays where it is; `class_names` are the dotted names of its class and bases."""

    number: int
    class_names: tuple[str, ...] = ()


ToHandle = Callable[[Any], HandleReference]
FromHandle = Callable[[HandleReference], Any]


def _refuse_handle(value: Any) -> HandleReference:
    raise WireError(
        f"a {type(value).__name__} cannot cross to the student's process; send plain data, or do it in a probe"
    )


def pack(value: Any, to_handle: ToHandle = _refuse_handle) -> bytes:
    """Encode a value as bytes.

    `to_handle` is asked for a reference to anything that is not plain data; by default that raises WireError.
    """
    return _packed(_to_wire(value, to_handle, 0))


def _packed(plain: Any) -> bytes:
    # Half of a surrogate pair is no text; it arrives written out, `\\ud800`, rather than not at all.
    packed: bytes = msgpack.packb(plain, use_bin_type=True, unicode_errors="backslashreplace")
    return packed


def _ext(code: int, items: Any) -> msgpack.ExtType:
    return msgpack.ExtType(code, _packed(items))


def _to_wire(value: Any, to_handle: ToHandle, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise WireError(f"a value is nested more than {MAX_DEPTH} levels deep")
    kind = type(value)
    if kind in _AS_IT_IS or (kind is int and -(2**63) <= value < 2**63):  # first: most values are one of these
        return value
    below = depth + 1
    if isinstance(value, list):
        return [_to_wire(item, to_handle, below) for item in value]
    if isinstance(value, dict):
        return _dictionary_to_wire(value, to_handle, below)
    if isinstance(value, np.generic) and value.dtype.kind in ARRAY_KINDS:
        return _ext(_SCALAR, array_parts(np.asarray(value)))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, str):
        return str.__str__(value)  # of a text that is a member of an enumeration too, what it holds
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else _ext(_INTEGER, _hexadecimal(value))
    if kind.__name__ == "TensorShape":  # tf.TensorShape
        return _ext(_TUPLE, [_to_wire(item, to_handle, below) for item in value.as_list()])
    if isinstance(value, tuple):  # named tuples and torch.Size too
        return _ext(_TUPLE, [_to_wire(item, to_handle, below) for item in value])
    if isinstance(value, set | frozenset):
        code = _SET if isinstance(value, set) else _FROZENSET
        return _ext(code, [_to_wire(item, to_handle, below) for item in value])
    if isinstance(value, complex):
        return _ext(_COMPLEX, [value.real, value.imag])
    if isinstance(value, slice):
        return _ext(_SLICE, [_to_wire(part, to_handle, below) for part in (value.start, value.stop, value.step)])
    if value is Ellipsis:
        return _ext(_ELLIPSIS, [])
    if isinstance(value, np.ndarray) and value.dtype.kind in ARRAY_KINDS:
        return _ext(_ARRAY, array_parts(value))
    if isinstance(value, HandleReference):
        return _ext(_HANDLE, [value.number, list(value.class_names)])
    if isinstance(value, TensorFlowTensor):
        return _ext(_TENSORFLOW, [value.dtype, *array_parts(value.array)])
    if is_torch_tensor(value):
        return _ext(_TORCH, torch_parts(value))
    if is_tensorflow_tensor(value):
        return _ext(_TENSORFLOW, tensorflow_parts(value))
    if is_dtype(value):
        name = getattr(value, "name", None) or str(value)
        return _ext(_DTYPE, name.removeprefix("torch."))
    reference = to_handle(value)
    return _ext(_HANDLE, [reference.number, list(reference.class_names)])


def _dictionary_to_wire(value: dict[Any, Any], to_handle: ToHandle, depth: int) -> Any:
    """As msgpack's own map where all keys are text, as in most; a list of pairs otherwise."""
    if len(value) <= MAX_KEYS and all(type(key) is str for key in value):
        return {key: _to_wire(item, to_handle, depth) for key, item in value.items()}
    pairs = [[_to_wire(key, to_handle, depth), _to_wire(item, to_handle, depth)] for key, item in value.items()]
    return _ext(_DICT, pairs)


def _hexadecimal(value: int) -> str:
    if value.bit_length() > 4 * MAX_INTEGER_DIGITS:
        raise WireError(f"an integer of {value.bit_length()} bits is too large to cross")
    return format(int(value), "x")


def unpack(
    data: bytes,
    from_handle: FromHandle = lambda reference: reference,
    from_tensorflow: Callable[[TensorFlowTensor], Any] = lambda tensor: tensor,
) -> Any:
    """Decode bytes into plain data; `from_handle` turns references into whatever stands for them on this side.

    `from_tensorflow` does so for TensorFlow tensors.

    Raises WireError for anything that is not exactly one well-formed value within the limits.
    """
    value = _Decoder(from_handle, from_tensorflow).decode(data, 0, len(data))
    _refuse_deep(value)
    return value


class _Decoder:
    """Decodes one message and counts what it makes of it."""

    def __init__(self, from_handle: FromHandle, from_tensorflow: Callable[[TensorFlowTensor], Any]) -> None:
        self._from_handle, self._from_tensorflow = from_handle, from_tensorflow
        self._values = 0

    def decode(self, data: bytes, depth: int, held: int) -> Any:
        """The value in `data`; `held` bytes are taken by it and by the parts of the message that it is inside of."""
        if depth > MAX_DEPTH + 1:  # what is deepest may itself be an array, a part of the message
            raise WireError(f"a value is nested more than {MAX_DEPTH} levels deep")
        if held > MAX_HELD_BYTES:
            raise WireError("a large value is nested too deep")

        def inner(code: int, payload: bytes) -> Any:
            value = _from_ext(code, self.decode(payload, depth + 1, held + len(payload)), self._from_handle)
            return self._from_tensorflow(value) if code == _TENSORFLOW else value

        try:
            return msgpack.unpackb(
                data,
                ext_hook=inner,
                list_hook=self._count,
                object_hook=self._count_pairs,
                raw=False,
                timestamp=1,  # msgpack's own extension: a number is plain data, its class is not
                max_array_len=min(MAX_VALUES, len(data)),
                max_map_len=min(MAX_KEYS, len(data)),
            )
        except WireError:
            raise
        except Exception as error:  # msgpack raises many classes for malformed input
            raise WireError(f"malformed message: {type(error).__name__}: {error}") from None

    def _count_pairs(self, pairs: dict[Any, Any]) -> dict[Any, Any]:
        self._take(4 * len(pairs) + 1)  # as much as a list of pairs
        return pairs

    def _count(self, items: list[Any]) -> list[Any]:
        self._take(len(items) + 1)
        return items

    def _take(self, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise WireError(f"a message of more than {MAX_VALUES} values")


def _refuse_deep(value: Any) -> None:
    """Refuse what msgpack nests by itself, lists in lists, beyond the depth that everybody may rely on."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [item for container in level for item in _items(container) if type(item) in _CONTAINERS]
        if not level:
            return
    raise WireError(f"a value is nested more than {MAX_DEPTH} levels deep")


def _items(value: Any) -> Iterable[Any]:
    if type(value) is dict:
        return (*value.keys(), *value.values())
    return value if type(value) in _CONTAINERS else ()


def _from_ext(code: int, items: Any, from_handle: FromHandle) -> Any:
    try:
        if code in (_DICT, _SET, _FROZENSET) and len(items) > MAX_KEYS:
            raise WireError(f"a dictionary or set of more than {MAX_KEYS} keys")
        if code == _TUPLE:
            return tuple(items)
        if code == _DICT:
            return {key: value for key, value in items}
        if code == _SET:
            return set(items)
        if code == _FROZENSET:
            return frozenset(items)
        if code == _COMPLEX:
            return complex(float(items[0]), float(items[1]))
        if code == _INTEGER and len(items) <= MAX_INTEGER_DIGITS + 1:  # with the sign
            return int(items, 16)
        if code == _SLICE:
            return slice(*items)
        if code == _ELLIPSIS:
            return Ellipsis
        if code == _ARRAY:
            return array_from_parts(*items)
        if code == _SCALAR:
            return array_from_parts(*items)[()]
        if code == _TORCH:
            return torch_from_parts(*items)
        if code == _TENSORFLOW:
            return TensorFlowTensor(array_from_parts(*items[1:]), str(items[0])[:40])
        if code == _HANDLE:
            number, names = items
            if type(number) is not int:
                raise WireError("malformed handle")
            return from_handle(HandleReference(number, tuple(str(name)[:200] for name in names[:30])))
        if code == _DTYPE and isinstance(items, str):
            return items[:40]
    except WireError:
        raise
    except Exception as error:
        raise WireError(f"malformed value: {type(error).__name__}") from None
    raise WireError(f"unknown extension code {code}")


class ConnectionClosed(Exception):
    """The other side has gone."""


def send_message(channel: socket.socket, body: bytes, timeout: float | None = None) -> None:
    """Send one framed message.

    Raises ConnectionClosed when the other side has gone, TimeoutError when it does not read within `timeout` seconds.
    """
    if len(body) > MAX_MESSAGE_BYTES:
        raise WireError(f"a message of {len(body)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    channel.settimeout(timeout)
    try:
        channel.sendall(struct.pack("<I", len(body)) + body)
    except TimeoutError:
        raise
    except OSError as error:
        raise ConnectionClosed(str(error)) from None


def receive_message(channel: socket.socket, timeout: float | None = None) -> bytes:
    """Receive one framed message.

    `timeout` (seconds) covers the whole message. Raises TimeoutError, ConnectionClosed, or WireError for a length over
    the limit.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    (length,) = struct.unpack("<I", _receive_exactly(channel, 4, deadline))
    if length > MAX_MESSAGE_BYTES:
        raise WireError(f"a message of {length} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    return _receive_exactly(channel, length, deadline)


def _receive_exactly(channel: socket.socket, count: int, deadline: float | None) -> bytes:
    chunks: list[bytes] = []
    while count:
        if deadline is None:
            channel.settimeout(None)
        else:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("no answer in time")
            channel.settimeout(remaining)
        try:
            chunk = channel.recv(min(count, 1 << 20))
        except (ConnectionResetError, BrokenPipeError) as error:
            raise ConnectionClosed(str(error)) from None
        if not chunk:
            raise ConnectionClosed("the other side has gone")
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)
