"""The wire: plain data arrives as it was sent, and whatever a hostile sender writes raises WireError and no more."""

from __future__ import annotations

import enum
import math
import socket
import struct
import subprocess
import sys
import threading
import time
import types
from collections import namedtuple
from pathlib import Path

import msgpack
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from grader.sandbox import wire
from grader.sandbox.forbidden import forbidden
from grader.sandbox.wire import MAX_KEYS, MAX_VALUES, HandleReference, TensorFlowTensor, WireError, pack, unpack

ROOT = Path(__file__).resolve().parents[2]
QUICK = settings(deadline=None, max_examples=100, database=None)


def round_trip(value):
    return unpack(pack(value))


def same(left, right) -> bool:
    """Equal in type and value, where NaN equals NaN, and zeros of different sign differ."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return len(left) == len(right) and all(map(same, left.items(), right.items()))
    if isinstance(left, float):
        return struct.pack("<d", left) == struct.pack("<d", right) or (math.isnan(left) and math.isnan(right))
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    return left == right


def ext(code: int, items: object) -> bytes:
    """A message that is one extension value, as a hostile sender may write it."""
    return msgpack.packb(msgpack.ExtType(code, msgpack.packb(items)))


# --- plain data ------------------------------------------------------------------------------------------------------

NUMBERS = st.integers() | st.integers(-(2**300), 2**300) | st.floats(allow_nan=False)
HASHABLE = st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.binary(max_size=8)
HASHABLE |= st.tuples(HASHABLE, HASHABLE) | st.frozensets(HASHABLE, max_size=3)
LEAVES = HASHABLE | st.floats() | st.complex_numbers() | st.sets(HASHABLE, max_size=4) | st.just(...)
PLAIN = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=300, database=None)
@given(PLAIN)
@example(-(2**63))
@example(2**64)
@example([True, 1, 1.0])
@example("\N{OK HAND SIGN}\0")
def test_nested_plain_data_arrives_as_it_was(value):
    assert same(round_trip(value), value)


@QUICK
@given(st.none() | st.integers(), st.none() | st.integers(), st.none() | st.integers())
def test_slices_arrive_as_they_were(start, stop, step):
    assert round_trip(slice(start, stop, step)) == slice(start, stop, step)


def test_a_reader_gets_the_plain_value_of_a_subclass():
    class Colour(enum.IntEnum):
        RED = 3

    class Mode(str, enum.Enum):  # noqa: UP042  (unlike a StrEnum's, its str() is not what it holds)
        FAST = "quick"

    Point = namedtuple("Point", "x y")
    value = round_trip([Colour.RED, Mode.FAST, Point(1, 2.5), types.MappingProxyType({}).copy()])
    assert value == [3, "quick", (1, 2.5), {}]
    assert [type(item) for item in value] == [int, str, tuple, dict]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_integer_that_crosses_can_also_be_shown(sign):
    largest = sign * (16**wire.MAX_INTEGER_DIGITS - 1)
    assert round_trip(largest) == largest
    assert len(str(largest)) > 4000  # str() of more than 4300 digits raises
    with pytest.raises(WireError, match="bits is too large to cross"):
        pack(largest + sign)
    with pytest.raises(WireError):
        unpack(ext(6, "f" * (wire.MAX_INTEGER_DIGITS + 2)))


def test_half_of_a_surrogate_pair_arrives_written_out():
    assert round_trip(["a\ud800b", {"\udfff": 1}]) == ["a\\ud800b", {"\\udfff": 1}]


@pytest.mark.parametrize("nest", [lambda x: [x], lambda x: (x,), lambda x: {"k": x}], ids=["list", "tuple", "dict"])
@pytest.mark.parametrize("leaf", [7, np.arange(2), ()], ids=["number", "array", "empty"])
def test_values_nested_to_the_limit_cross_and_no_deeper(nest, leaf):
    value = leaf
    for _ in range(wire.MAX_DEPTH):
        value = nest(value)
    unpack(pack(value))
    with pytest.raises(WireError, match="nested more than 40 levels deep"):
        pack(nest(value))


# --- arrays ----------------------------------------------------------------------------------------------------------

DTYPES = st.one_of(
    arrays_of.boolean_dtypes(),
    arrays_of.integer_dtypes(endianness="?"),
    arrays_of.unsigned_integer_dtypes(endianness="?"),
    arrays_of.floating_dtypes(endianness="?"),
    arrays_of.complex_number_dtypes(endianness="?"),
    arrays_of.unicode_string_dtypes(endianness="?", max_len=5),
    arrays_of.byte_string_dtypes(max_len=5),
    st.just(np.dtype(np.longdouble)),
)
ARRAYS = arrays_of.arrays(DTYPES, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))


def assert_same_array(actual: object, expected: np.ndarray) -> None:
    assert type(actual) is np.ndarray
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    assert actual.tobytes() == np.ascontiguousarray(expected).tobytes()
    assert actual.flags.writeable


@settings(deadline=None, max_examples=200, database=None)
@given(ARRAYS)
def test_arrays_of_every_allowed_type_arrive_bit_for_bit(array):
    assert_same_array(round_trip(array), array)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24).reshape(2, 3, 4).T,
        np.arange(10.0)[::-2],
        np.broadcast_to(np.float32(1.5), (3, 2)),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(6, dtype=">i4").reshape(3, 2)[:, 1],
        np.array(7.5),
        np.zeros((3, 0, 2), "c8"),
    ],
    ids=["transposed", "reversed", "broadcast", "fortran", "big-endian", "0-d", "empty"],
)
def test_arrays_in_any_memory_order_arrive(array):
    assert_same_array(round_trip([array])[0], array)


@pytest.mark.parametrize(
    "scalar",
    [
        np.bool_(True),
        np.int8(-3),
        np.uint64(2**64 - 1),
        np.float16(0.5),
        np.float32("nan"),
        np.float64(0.1),
        np.longdouble(1) / 3,
        np.complex64(1 - 2j),
        np.str_("text"),
        np.str_(""),
    ],
    ids=lambda scalar: f"{scalar.dtype}-{scalar}",
)
def test_scalars_keep_their_type(scalar):
    actual = round_trip(scalar)
    assert type(actual) is type(scalar)
    assert actual.tobytes() == scalar.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()]),
        np.array(["2020-01-01"], "M8[D]"),
        np.zeros(2, [("a", "f8")]),
        np.array([None, 1]),
    ],
    ids=["object", "date", "record", "mixed"],
)
def test_arrays_that_are_not_plain_numbers_or_text_become_handles(array):
    with pytest.raises(WireError, match="ndarray cannot cross"):
        pack(array)
    assert unpack(pack(array, lambda value: HandleReference(5))) == HandleReference(5)


# --- torch -----------------------------------------------------------------------------------------------------------

TORCH_TYPES = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16]
TORCH_TYPES += [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128]


def assert_same_tensor(actual: object, expected: torch.Tensor) -> None:
    assert type(actual) is torch.Tensor
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    assert actual.requires_grad == expected.requires_grad
    assert actual.is_leaf
    assert torch.equal(actual.detach(), expected.detach())


@pytest.mark.parametrize("dtype", TORCH_TYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)], ids=str)
def test_tensors_of_every_type_arrive(dtype, shape):
    tensor = (torch.arange(math.prod(shape)).reshape(shape) * 1.7 - 2).abs().to(dtype)
    assert_same_tensor(round_trip(tensor), tensor)


def test_tensors_that_are_views_parameters_or_results_arrive():
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    complex_values = torch.tensor([1 + 2j, 3 - 1j])
    narrow = torch.tensor([1.5, -2.25], dtype=torch.bfloat16, requires_grad=True)
    for tensor in (weight, weight.T, weight * 2, complex_values.conj(), complex_values.imag, narrow, narrow[::1]):
        assert_same_tensor(round_trip((tensor,))[0], tensor)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (torch.Size([2, 0, 5]), (2, 0, 5)),
        (torch.bfloat16, "bfloat16"),
        (torch.float32, "float32"),
        (np.dtype(">f8"), "float64"),
        (np.float32(1).dtype, "float32"),
    ],
    ids=str,
)
def test_sizes_become_tuples_and_dtypes_names(value, plain):
    assert same(round_trip(value), plain)


# --- TensorFlow, which is never imported for this --------------------------------------------------------------------


def test_a_tensorflow_tensor_crosses_without_tensorflow():
    code = """
import sys
import numpy as np
from grader.sandbox.wire import TensorFlowTensor, pack, unpack

sent = [TensorFlowTensor(np.arange(6.0).reshape(2, 3)), TensorFlowTensor(np.float32([1.5]), "bfloat16")]
first, second = unpack(pack(sent))
assert type(first) is TensorFlowTensor
assert (first.dtype, first.shape, second.dtype, second.shape) == ("float64", (2, 3), "bfloat16", (1,))
assert (first.numpy() == sent[0].array).all() and second.array.dtype == np.float32
assert not {"tensorflow", "keras", "torch"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.fixture
def fake_tensorflow(monkeypatch):
    """Modules that stand for TensorFlow and Keras, with the few classes that the wire looks for."""

    class DType:
        def __init__(self, name):
            self.name = name

    class Tensor:
        def __init__(self, array, name):
            self._array, self.dtype = array, DType(name)

        def numpy(self):
            return self._array

    class Variable:
        def __init__(self, tensor):
            self.value, self.dtype = tensor, tensor.dtype.name  # Keras names its types by text

    class TensorShape:
        def __init__(self, sizes):
            self._sizes = sizes

        def as_list(self):
            return self._sizes

    tensorflow, keras = types.ModuleType("tensorflow"), types.ModuleType("keras")
    tensorflow.Tensor, tensorflow.Variable, tensorflow.DType = Tensor, type("Variable", (), {}), DType
    tensorflow.TensorShape, keras.Variable = TensorShape, Variable
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
    monkeypatch.setitem(sys.modules, "keras", keras)
    return tensorflow


def test_tensors_variables_shapes_and_types_of_tensorflow(fake_tensorflow):
    tensor = fake_tensorflow.Tensor(np.float32([[1, 2]]), "float32")
    variable = sys.modules["keras"].Variable(tensor)
    for arrived in round_trip([tensor, variable]):
        assert (type(arrived), arrived.dtype) == (TensorFlowTensor, "float32")
        assert_same_array(arrived.array, np.float32([[1, 2]]))
    assert round_trip(fake_tensorflow.TensorShape([2, None])) == (2, None)
    assert round_trip(fake_tensorflow.DType("int32")) == "int32"


def test_bfloat16_of_tensorflow_is_widened_and_keeps_its_name(fake_tensorflow):
    narrow = pytest.importorskip("ml_dtypes").bfloat16
    arrived = round_trip(fake_tensorflow.Tensor(np.array([1.5, -2], narrow), "bfloat16"))
    assert arrived.dtype == "bfloat16"
    assert_same_array(arrived.array, np.float32([1.5, -2]))


def test_sparse_tensors_of_torch_arrive_dense():
    torch = pytest.importorskip("torch")
    sparse = torch.tensor([1.5, 0.0, -2.0]).to_sparse()
    assert round_trip(sparse).tolist() == [1.5, 0.0, -2.0]


def test_a_library_that_is_forbidden_is_not_asked_for_its_classes(monkeypatch):
    for name in ("torch", "tensorflow", "keras"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with forbidden(["torch", "tensorflow", "keras"]):
        assert unpack(pack(object(), lambda value: HandleReference(1))) == HandleReference(1)


# --- handles ---------------------------------------------------------------------------------------------------------


def test_what_is_not_plain_becomes_a_handle_and_back():
    thing = object()
    data = pack({"f": [thing]}, lambda value: HandleReference(9, ("mine.Thing", "builtins.object")))
    assert unpack(data) == {"f": [HandleReference(9, ("mine.Thing", "builtins.object"))]}
    assert unpack(data, lambda reference: (thing, reference.number)) == {"f": [(thing, 9)]}


def test_nothing_else_crosses_unless_somebody_hands_out_handles():
    with pytest.raises(WireError, match="a function cannot cross to the student's process"):
        pack(same)


def test_what_a_handle_says_about_itself_is_cut():
    arrived = unpack(ext(14, [3, ["x" * 1000] * 100]))
    assert len(arrived.class_names) == 30 and {len(name) for name in arrived.class_names} == {200}


def test_a_handle_that_nobody_gave_out_is_malformed():
    known = {1: "object one"}
    with pytest.raises(WireError, match="malformed value: KeyError"):
        unpack(ext(14, [2, []]), lambda reference: known[reference.number])


# --- hostile bytes ---------------------------------------------------------------------------------------------------


def refused_or_plain(data: bytes) -> None:
    """Decode; anything but a value or WireError fails the test."""
    try:
        unpack(data)
    except WireError:
        pass


@settings(deadline=None, max_examples=500, database=None)
@given(st.binary(max_size=300))
def test_random_bytes(data):
    refused_or_plain(data)


VALID = [
    pack({"value": [1, (2.5, None), {"k": {1, 2}}, frozenset("ab"), 2**70, 1j, slice(1, None), ...], "output": "text"}),
    pack([np.arange(6.0).reshape(2, 3), np.float32(3), np.array(["ab"]), np.dtype("f4"), TensorFlowTensor(np.ones(2))]),
    pack([torch.ones(2, 2, requires_grad=True), torch.tensor([1.5], dtype=torch.bfloat16), HandleReference(1, ("a",))]),
]


@settings(deadline=None, max_examples=500, database=None)
@given(st.sampled_from(VALID), st.data())
def test_mutated_messages(message, data):
    changed = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed)))
        removed = data.draw(st.integers(0, 4))
        changed[place : place + removed] = data.draw(st.binary(max_size=4))
    refused_or_plain(bytes(changed))


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=16)
    | st.text(max_size=6)
    | st.sampled_from(["<f8", "|O", "V8", "M8[s]", "bfloat16", "int16", "<U1", "f8,f8", "(2,)i4", ">f4", "("]),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=8,
)


@settings(deadline=None, max_examples=500, database=None)
@given(st.integers(0, 20), ODD)
def test_well_formed_messages_of_nonsense(code, items):
    refused_or_plain(ext(code, items))


@pytest.mark.parametrize(
    ("code", "items"),
    [
        (10, ["|O", [1], b"\0" * 8]),
        (10, ["f8,O", [1], b"\0" * 16]),
        (10, ["V8", [1], b"\0" * 8]),
        (10, ["M8[s]", [1], b"\0" * 8]),
        (10, ["<f8" + " " * 20, [1], b"\0" * 8]),
        (10, ["no such type", [1], b"\0" * 8]),
        (10, ["<f8", [2], b"\0" * 8]),
        (10, ["<f8", [1], b"\0" * 9]),
        (10, ["<f8", [2**62, 2**62], b""]),
        (10, ["<f8", [-1, -1], b"\0" * 8]),
        (10, ["<f8", [True], b"\0" * 8]),
        (10, ["<f8", [1.0], b"\0" * 8]),
        (10, ["<f8", 1, b"\0" * 8]),
        (10, ["<f8", [1] * 33, b"\0" * 8]),
        (10, ["<f8", [1], "\0" * 8]),
        (10, ["S0", [10**9], b""]),
        (10, ["<f8", [0, 2**64 - 1], b""]),
        (10, ["<f8", [1]]),
        (12, ["float32", False, ">f4", [1], b"\0" * 4]),
        (12, ["float32", False, "<U1", [1], b"\0" * 4]),
        (12, [["float32"], False, "<f4", [1], b"\0" * 4]),
        (2, [[[1], 2]]),
        (2, [[1, 2, 3]]),
        (2, [1]),
        (3, [[1]]),
        (4, [[1]]),
        (5, ["x", 1]),
        (5, [1]),
        (6, "xyz"),
        (6, [1]),
        (7, [1, 2, 3, 4]),
        (14, ["1", []]),
        (14, [True, []]),
        (14, [1, 5]),
        (15, 5),
        (99, []),
    ],
    ids=lambda value: str(value)[:40],
)
def test_malformed_values_are_refused(code, items):
    with pytest.raises(WireError):
        unpack(ext(code, items))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pack(1) + pack(2),
        pack([1, 2])[:-1],
        msgpack.packb({1: 2}),
        msgpack.packb({("a",): 1}),
        msgpack.packb({str(number): 0 for number in range(MAX_KEYS + 1)}),
        b"\x81\xa1a" * 300 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xc1",
        b"\xa1\xff",
        b"\x91" * 300 + b"\xc0",
        b"\x91" * 100_000 + b"\xc0",
    ],
    ids=[
        "empty",
        "two",
        "cut",
        "int-map",
        "list-map",
        "keys",
        "maps",
        "list",
        "map32",
        "bin",
        "ext",
        "c1",
        "utf8",
        "deep",
        "deeper",
    ],
)
def test_malformed_messages_are_refused(data):
    with pytest.raises(WireError):
        unpack(data)


def test_maps_count_like_lists_of_pairs():
    full = {str(number): None for number in range(MAX_KEYS)}
    with pytest.raises(WireError, match="values"):
        unpack(msgpack.packb([full] * (MAX_VALUES // (4 * MAX_KEYS) + 1)))
    assert unpack(msgpack.packb([full] * 3)) == [full] * 3


def test_msgpacks_own_extension_arrives_as_a_number():
    assert same(unpack(msgpack.packb([msgpack.Timestamp(3, 500_000_000)])), [3.5])


def test_parts_nested_in_parts_are_refused():
    data = msgpack.packb(None)
    for _ in range(2000):
        data = msgpack.packb(msgpack.ExtType(1, b"\x91" + data))
    with pytest.raises(WireError, match="nested more than 40 levels"):
        unpack(data)


def test_few_bytes_never_take_much_memory():
    code = """
import resource
import msgpack
from grader.sandbox import wire

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

SIZE = 8 << 20
def filled(piece):
    count = SIZE // len(piece)
    return b"\\xdd" + count.to_bytes(4, "big") + piece * count

nested = b"\\xc6" + SIZE.to_bytes(4, "big") + bytes(SIZE)
for _ in range(39):
    nested = msgpack.packb(msgpack.ExtType(1, b"\\x91" + nested))
hostile = {
    "empty lists": filled(b"\\x90"),
    "empty sets": filled(b"\\xd4\\x03\\x90"),
    "claims": (b"\\xdd" + (1 << 20).to_bytes(4, "big")) * 500 + bytes(1 << 20),
    "large and nested": nested,
}
wire.unpack(wire.pack([1, "warm"]))
for name, data in hostile.items():
    before = peak()
    try:
        wire.unpack(data)
    except wire.WireError:
        pass
    else:
        raise SystemExit(f"{name}: was accepted")
    if peak() - before > 300:
        raise SystemExit(f"{name}: took {peak() - before:.0f} MB for {len(data) >> 20} MB")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# --- frames ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def channel():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_frames_arrive_one_by_one(channel):
    ours, theirs = channel
    bodies = [b"", b"a", b"x" * 3_000_000]
    sender = threading.Thread(target=lambda: [wire.send_message(ours, body, 10) for body in bodies])
    sender.start()
    assert [wire.receive_message(theirs, 10) for _ in bodies] == bodies
    sender.join()


def test_a_frame_over_the_limit_is_neither_sent_nor_read(channel, monkeypatch):
    monkeypatch.setattr(wire, "MAX_MESSAGE_BYTES", 1000)
    ours, theirs = channel
    with pytest.raises(WireError, match="1001 bytes is over the limit of 1000"):
        wire.send_message(ours, bytes(1001))
    ours.sendall(struct.pack("<I", 2**32 - 1))
    with pytest.raises(WireError, match="4294967295 bytes is over the limit"):
        wire.receive_message(theirs, 1)


def test_a_slow_sender_has_one_time_limit_for_the_whole_message(channel):
    ours, theirs = channel
    stop = threading.Event()

    def trickle():
        for byte in struct.pack("<I", 1000) + bytes(1000):
            if stop.wait(0.05):
                return
            ours.send(bytes([byte]))

    sender = threading.Thread(target=trickle)
    sender.start()
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.receive_message(theirs, 0.4)
    assert 0.3 < time.monotonic() - started < 2
    stop.set()
    sender.join()


def test_a_receiver_that_does_not_read_times_the_sender_out(channel):
    ours, _ = channel
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.send_message(ours, bytes(5_000_000), 0.2)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("sent", [b"", b"\x05\x00", struct.pack("<I", 10) + b"half"])
def test_an_end_within_a_message_is_told(channel, sent):
    ours, theirs = channel
    ours.sendall(sent)
    ours.close()
    with pytest.raises(wire.ConnectionClosed):
        wire.receive_message(theirs, 1)
    with pytest.raises(wire.ConnectionClosed):
        wire.send_message(theirs, bytes(1000), 1)
