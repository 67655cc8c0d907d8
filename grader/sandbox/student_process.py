"""Runs inside the student's process: loads a submission and answers requests about it.

Nothing here is trusted by the other side. Whatever a student's code does to this module, it can only change what its
own functions appear to return.
"""

from __future__ import annotations
import __future__

import builtins
import functools
import io
import linecache
import operator
import random
import socket
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from grader.sandbox import wire
from grader.sandbox.forbidden import forbidden

MAX_TRACEBACK_LINES = 12
_CELL_NAME = "<cell {}>"
_FUTURE_FLAGS = functools.reduce(
    operator.or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)


class CappedOutput(io.TextIOBase):
    """Standard output and error of the submission: kept up to a limit, then dropped without complaint."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._parts: list[str] = []
        self._left = limit

    def writable(self) -> bool:
        """A stream to write to."""
        return True

    def write(self, text: str) -> int:
        """Keep what fits, forget the rest."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._left >= 0:
            self._parts.append(text[: self._left])
            self._left -= len(text)
            if self._left < 0:
                self._parts.append("\n[output cut here]")
        return len(text)

    def take(self) -> str:
        """What was written since the last call."""
        text = "".join(self._parts)
        self._parts.clear()
        return text


class StudentNamespace:
    """The submission's names, as a probe sees them: `student.scaled_dot_product_attention(...)`."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names

    def __getattr__(self, name: str) -> Any:
        try:
            return self._names[name]
        except KeyError:
            raise AttributeError(f"the submission defines no `{name}`") from None


class Submission:
    """A loaded submission: its names, the objects it has handed out, and the requests it answers."""

    def __init__(self, output_bytes: int = 65536, looked_up: Mapping[tuple[str, ...], forbidden] | None = None) -> None:
        """`looked_up` holds what is forbidden, by its names, where that was looked up before."""
        self._looked_up = looked_up or {}
        self._probes: dict[str, Callable[..., Any]] = {}
        self._restrictions = ExitStack()
        self.output = CappedOutput(output_bytes)
        self._forget()

    def _forget(self) -> None:
        self.module = types.ModuleType("__main__")
        self.names = self.module.__dict__
        self.names["display"] = lambda *values, **_: print(*values)
        self._objects: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._future_flags = 0

    # -- loading -------------------------------------------------------------------------------------------------

    def load(self, cells: list[str], forbidden_names: list[str], seed: int) -> list[str]:
        """Run the code cells in order; a cell that fails is stepped over. Returns a remark for each that failed.

        What was loaded before is forgotten.
        """
        self._restrictions.close()
        self._forget()
        seed_everything(seed)  # first: it uses libraries that may be forbidden
        self._restrictions.enter_context(self._looked_up.get(tuple(forbidden_names)) or forbidden(forbidden_names))
        sys.modules["__main__"] = self.module
        remarks = []
        for index, source in enumerate(cells):
            name = _CELL_NAME.format(index + 1)
            linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
            try:
                code = compile(source, name, "exec", flags=self._future_flags, dont_inherit=True)
                self._future_flags |= code.co_flags & _FUTURE_FLAGS  # as in a notebook, they stay for later cells
                exec(code, self.names)
            except NotImplementedError:
                continue  # a part not written yet; the checks say so
            except BaseException as error:
                said = describe_error(error)
                remarks.append(
                    f"Cell {index + 1} of the notebook stopped with {said['class']}: {said['message']}"[:500]
                )
        return remarks

    # -- handles -------------------------------------------------------------------------------------------------

    def to_handle(self, value: Any) -> wire.HandleReference:
        """A number for an object that stays here; the same object keeps its number."""
        number = self._numbers.get(id(value))
        if number is None:
            number = len(self._objects) + 1
            self._objects[number] = value
            self._numbers[id(value)] = number
        classes = type.mro(value) if isinstance(value, type) else type(value).__mro__
        return wire.HandleReference(number, tuple(f"{base.__module__}.{base.__qualname__}" for base in classes))

    def from_handle(self, reference: wire.HandleReference) -> Any:
        """The object behind a number. Raises KeyError for a number never given out."""
        return self._objects[reference.number]

    # -- requests ------------------------------------------------------------------------------------------------

    def answer(self, request: dict[str, Any]) -> Any:
        """Do what a request asks and return its value; the caller turns exceptions into an answer."""
        operation = request["op"]
        if operation == "load":
            return self.load(request["cells"], request["forbidden"], request["seed"])
        if operation == "names":
            return sorted(name for name in self.names if not name.startswith("_") and name != "display")
        if operation == "get":
            return self.names[request["name"]]
        if operation == "run":
            return self._run_probe(request)
        target = request["target"]
        if operation == "call":
            return target(*request["args"], **request["kwargs"])
        if operation == "getattr":
            return getattr(target, request["name"])
        if operation == "getitem":
            return target[request["key"]]
        if operation == "len":
            return len(target)
        if operation == "iter":
            return [item for _, item in zip(range(request["limit"]), target, strict=False)]
        raise ValueError(f"unknown request {operation!r}")

    def _run_probe(self, request: dict[str, Any]) -> Any:
        source, name = request["source"], request["name"]
        if source not in self._probes:
            file_name = f"<probe {name}>"
            linecache.cache[file_name] = (len(source), None, source.splitlines(keepends=True), file_name)
            namespace: dict[str, Any] = {"__name__": "probe"}
            exec(compile(source, file_name, "exec", dont_inherit=True), namespace)
            self._probes[source] = namespace[name]
        return self._probes[source](StudentNamespace(self.names), *request["args"], **request["kwargs"])


def seed_everything(seed: int) -> None:
    """Fix the global random states of the libraries that are loaded, so that a grading can be repeated."""
    random.seed(seed)
    numpy, torch, keras = (sys.modules.get(name) for name in ("numpy", "torch", "keras"))
    if numpy is not None:
        numpy.random.seed(seed)
    if torch is not None:
        torch.manual_seed(seed)
    if keras is not None:
        keras.utils.set_random_seed(seed)


def describe_error(error: BaseException) -> dict[str, Any]:
    """An exception as plain data: class names, message, and the lines of the submission that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(("<cell", "<probe"))]
    lines = [
        _describe_frame(frame) for before, frame in zip([None, *own], own, strict=False) if not _inside(frame, before)
    ]
    try:
        message = str(error)[:4000]
    except BaseException:  # it is the submission's code that writes this text
        message = "(its message could not be read)"
    return {
        "class": type(error).__name__[:200],
        "bases": [base.__name__[:200] for base in type(error).__mro__[:30]],
        "message": message,
        "lines": lines[-MAX_TRACEBACK_LINES:],
    }


def _inside(frame: traceback.FrameSummary, before: traceback.FrameSummary | None) -> bool:
    """Whether it is a comprehension on the line of the frame before, which has told that line already."""
    same_line = before is not None and (before.filename, before.lineno) == (frame.filename, frame.lineno)
    return same_line and frame.name.endswith("comp>")


def _describe_frame(frame: traceback.FrameSummary) -> str:
    named = "" if frame.name.startswith("<") or frame.filename.startswith("<probe") else f", in {frame.name}"
    return f"{frame.filename.strip('<>')}, line {frame.lineno}{named}: {frame.line}"


def serve(
    channel: socket.socket, output_bytes: int = 65536, looked_up: Mapping[tuple[str, ...], forbidden] | None = None
) -> None:
    """Answer requests until the other side goes away; `looked_up` is for `Submission`."""
    submission = Submission(output_bytes, looked_up)
    sys.stdout = sys.stderr = submission.output
    builtins.input = _no_input
    while True:
        try:
            body = wire.receive_message(channel)
        except wire.ConnectionClosed:
            return
        answer: dict[str, Any]
        try:
            request = wire.unpack(body, submission.from_handle, real_tensor)
            answer = {"value": submission.answer(request)}
            packed = wire.pack({**answer, "output": submission.output.take()}, submission.to_handle)
            if len(packed) > wire.MAX_MESSAGE_BYTES:
                raise wire.WireError(f"the result takes {len(packed)} bytes; the limit is {wire.MAX_MESSAGE_BYTES}")
        except BaseException as error:
            answer = {"error": describe_error(error), "output": submission.output.take()}
            packed = wire.pack(answer)
        wire.send_message(channel, packed)


def real_tensor(value: wire.TensorFlowTensor) -> Any:
    """What arrives as plain data becomes a TensorFlow tensor where the submission works with TensorFlow."""
    import tensorflow

    return tensorflow.constant(value.array, dtype=value.dtype)


def _no_input(prompt: object = "") -> str:
    raise EOFError("input() has nobody to ask while a notebook is being checked")
