"""What a check sees of a submission: a proxy whose every use is a request to another process."""

from __future__ import annotations

import difflib
import inspect
import socket
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from grader.sandbox import wire

MAX_ITEMS = 100_000
MAX_CALL_CHARACTERS = 240  # of a call, as it is shown
MAX_OUTPUT_CHARACTERS = 1 << 20
MAX_TRACE_BYTES = 32 << 20
# Looked up by hypothesis: on a test's first argument, and on each argument of an example that it shows.
_HYPOTHESIS_HOOKS = ("execute_example", "setup_example", "teardown_example", "_repr_pretty_")
_FUNCTION = ("builtins.function",)
_SCALARS = (int, float, str, bool, type(None), bytes)


class StudentError(AssertionError):
    """The submission did something that fails the check."""


class StudentRaised(StudentError):
    """The submission's code raised. `class_names` are the names of the exception's class and bases."""

    def __init__(self, called: str, error: dict[str, Any]) -> None:
        self.class_name = _text(error.get("class")) or "Exception"
        self.class_names = _texts(error.get("bases"))
        self.message = _text(error.get("message"))
        self.lines = _texts(error.get("lines"))
        self.report = error
        where = "".join(f"\n    {line}" for line in self.lines)
        super().__init__(f"{called} raised {self.class_name}: {self.message}{where}")


def _text(value: Any) -> str:
    """A text from the student's process, which may have sent anything."""
    return value[:4000] if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in value[:30]) if isinstance(value, list) else ()


class HasNoLength(StudentRaised, TypeError):
    """The submission's object has no length. `list` and `tuple` ask for one first, and go on after a TypeError."""


class NotWrittenYet(StudentError):
    """The submission raised NotImplementedError: the stub is still there."""


class MissingName(StudentError):
    """The submission does not define a name that the exercise asks for."""


class StudentUnavailable(BaseException):
    """The submission's process cannot answer.

    Not an `Exception`, so that no search for a smaller example repeats it.
    """


class StudentTimeout(StudentUnavailable):
    """No answer within the limit."""


class StudentCrashed(StudentUnavailable):
    """The process ended, or sent something that is not a message."""


class Transport(Protocol):
    """Carries requests to a loaded submission."""

    def request(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer: {"value": …} or {"error": …}, with "output".

        Raises StudentUnavailable.
        """


class SocketTransport:
    """A submission in another process, over a socket, within a time limit for each request."""

    def __init__(
        self, channel: socket.socket, seconds: float, from_handle: Callable[[wire.HandleReference], Any]
    ) -> None:
        self._channel, self.seconds = channel, seconds
        self._from_handle = from_handle

    def request(self, message: dict[str, Any]) -> dict[str, Any]:
        """See `Transport`. Raises WireError for a message that cannot be sent, which is no fault of the submission."""
        started = time.monotonic()
        packed = wire.pack(message, reference_of)
        if len(packed) > wire.MAX_MESSAGE_BYTES:
            raise wire.WireError(f"a request of {len(packed)} bytes is over the limit of {wire.MAX_MESSAGE_BYTES}")
        try:
            wire.send_message(self._channel, packed, self.seconds)
            body = wire.receive_message(self._channel, max(0.01, self.seconds - (time.monotonic() - started)))
            answer = wire.unpack(body, self._from_handle)
        except TimeoutError:
            raise StudentTimeout(f"no answer within {self.seconds:g} seconds") from None
        except wire.ConnectionClosed:
            raise StudentCrashed("the process ended while it was working on this") from None
        except wire.WireError as error:
            raise StudentCrashed(f"the process sent something that is not an answer ({error})") from None
        if not isinstance(answer, dict) or not ({"value", "error"} & set(answer)):
            raise StudentCrashed("the process sent something that is not an answer")
        if not isinstance(answer.get("output", ""), str) or not isinstance(answer.get("error", {}), dict):
            raise StudentCrashed("the process sent something that is not an answer")
        return answer


def reference_of(value: Any) -> wire.HandleReference:
    """The reference behind a handle. Raises WireError for any other object: it cannot cross."""
    if isinstance(value, RemoteObject):
        return value._reference
    raise wire.WireError(
        f"a {type(value).__name__} cannot cross to the student's process; send plain data, or build it in a probe"
    )


def _weight(value: Any) -> int:
    """About how many bytes of memory a value takes."""
    if isinstance(value, dict):
        return 64 + sum(_weight(key) + _weight(item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return 64 + sum(_weight(item) for item in value)
    if isinstance(value, str | bytes):
        return 64 + len(value)
    if isinstance(value, wire.TensorFlowTensor):
        return 64 + value.array.nbytes
    return 64 if isinstance(value, RemoteObject) else 64 + int(getattr(value, "nbytes", 0))


def describe_value(value: Any) -> str:
    """A short description of a value: shapes rather than numbers."""
    if isinstance(value, RemoteObject):  # first: to ask it for a shape is a request to the other process
        return repr(value)
    if isinstance(value, wire.TensorFlowTensor):
        return f"TensorFlow {value.dtype} {value.shape}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, _SCALARS):
        text = repr(value)
        return text if len(text) <= 40 else text[:37] + "…"
    if isinstance(value, (list, tuple)):
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
        inner = ", ".join(describe_value(item) for item in value[:6])
        if len(value) == 1 and isinstance(value, tuple):
            inner += ","
        return f"{opening}{inner}{', …' if len(value) > 6 else ''}{closing}"
    if isinstance(value, dict):
        inner = ", ".join(f"{describe_value(key)}: {describe_value(item)}" for key, item in list(value.items())[:6])
        return f"{{{inner}{', …' if len(value) > 6 else ''}}}"
    return type(value).__name__


def describe_call(name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> str:
    """A call as text, as a reader would write it."""
    parts = [describe_value(argument) for argument in arguments]
    parts += [f"{key}={describe_value(argument)}" for key, argument in keywords.items()]
    called = f"{name}({', '.join(parts)})"
    return called if len(called) <= MAX_CALL_CHARACTERS else f"{called[:MAX_CALL_CHARACTERS]} …)"


class RemoteObject:
    """An object that stays in the student's process. Attributes, calls, indexing, `len` and iteration go there."""

    def __init__(self, session: Session, reference: wire.HandleReference, label: str) -> None:
        object.__setattr__(self, "_session", session)
        object.__setattr__(self, "_reference", reference)
        object.__setattr__(self, "_label", label)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Dotted names of the object's class and its bases, as its process reports them."""
        return self._reference.class_names

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        label = f"{self._label}.{name}"
        return self._session.ask({"op": "getattr", "target": self, "name": name}, label, label)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("set attributes in a probe: student.run(...)")

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        called = describe_call(self._label, arguments, keywords)
        message = {"op": "call", "target": self, "args": list(arguments), "kwargs": keywords}
        return self._session.ask(message, called, f"{self._label}(…)", traced=True)

    def __getitem__(self, key: Any) -> Any:
        label = f"{self._label}[{describe_value(key)}]"
        return self._session.ask({"op": "getitem", "target": self, "key": key}, label, label)

    def __len__(self) -> int:
        called, before = f"len({self._label})", self._session.last_call
        try:
            length = self._session.ask({"op": "len", "target": self}, called, self._label)
        except StudentRaised as error:
            if error.class_name != "TypeError":
                raise
            self._session.last_call = before
            raise HasNoLength(called, error.report) from None
        if type(length) is not int or not 0 <= length <= sys.maxsize:
            raise StudentCrashed("a length that is not a number")
        return length

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        items = self._session.ask(
            {"op": "iter", "target": self, "limit": MAX_ITEMS}, f"iter({self._label})", self._label
        )
        return iter(items if isinstance(items, list) else [])

    def __repr__(self) -> str:
        name = self.class_names[0].rpartition(".")[2] if self.class_names else "object"
        return f"<{name}>"


class Session:
    """One loaded submission and what has been said with it: the last call, the results, the output."""

    def __init__(self) -> None:
        self.transport: Transport | None = None
        self.last_call = ""
        self.asked = False  # anything, since the check began
        self.trace: list[Any] = []
        self.output: list[str] = []
        self._label = ""
        self._remembered: dict[bytes, dict[str, Any]] = {}  # request -> answer, of what is asked once
        self._functions: dict[str, RemoteObject] = {}  # functions by name, as `_asked` defines them
        self._asked: Transport | None = None
        self._output_left, self._trace_left = MAX_OUTPUT_CHARACTERS, MAX_TRACE_BYTES

    def from_handle(self, reference: wire.HandleReference) -> RemoteObject:
        """The proxy for an object that stays over there."""
        return RemoteObject(self, reference, self._label or "object")

    def ask(self, message: dict[str, Any], called: str, label: str, traced: bool = False, once: bool = False) -> Any:
        """Send a request; return its value or raise what it says was raised.

        With `once`, a request that was made before gets the answer it got then.
        """
        self._label = label
        self.asked = True
        if traced:
            self.last_call = called
        answer = self._request_once(message) if once else self._request(message)
        if "error" not in answer:
            if traced:
                self._keep_trace(answer["value"])
            return answer["value"]
        raised = StudentRaised(called, answer["error"])
        if traced:
            self._keep_trace({"raised": raised.class_name})
        self.last_call = called
        if raised.class_name == "NotImplementedError":
            raise NotWrittenYet(f"{called} is not written yet (it raises NotImplementedError).")
        raise raised

    def look_up(self, name: str) -> Any:
        """What the submission defines by that name. Raises StudentRaised.

        A function is asked for once: half of all requests would be for the name of what is called next.
        """
        if self._asked is not self.transport:  # loaded anew
            self._functions, self._asked = {}, self.transport
        if name in self._functions:
            self._label, self.asked = name, True
            return self._functions[name]
        found = self.ask({"op": "get", "name": name}, name, name)
        if isinstance(found, RemoteObject) and found.class_names[:1] == _FUNCTION:
            self._functions[name] = found
        return found

    def _request(self, message: dict[str, Any]) -> dict[str, Any]:
        if self.transport is None:
            raise StudentCrashed("the submission is not loaded")
        answer = self.transport.request(message)
        self._keep_output(answer.get("output", ""))
        return answer

    def _request_once(self, message: dict[str, Any]) -> dict[str, Any]:
        request = wire.pack(message, reference_of)
        if request not in self._remembered:
            self._remembered[request] = self._request(message)
        return self._remembered[request]

    # What is kept is bounded here as well as over there: that process may send what it likes, as often as it is asked.

    def _keep_output(self, text: str) -> None:
        kept = text[: self._output_left]
        self._output_left -= len(kept)
        if kept:
            self.output.append(kept)

    def _keep_trace(self, value: Any) -> None:
        self._trace_left -= _weight(value)
        self.trace.append(value if self._trace_left >= 0 else None)


class Student:
    """The submission, by the names it defines. What a check's `student` fixture is."""

    def __init__(self, session: Session) -> None:
        object.__setattr__(self, "_session", session)

    def __getattr__(self, name: str) -> Any:
        if (
            (name.startswith("__") and name.endswith("__"))
            or name.startswith("hypothesis_")
            or name in _HYPOTHESIS_HOOKS
        ):
            raise AttributeError(name)  # asked by Python and hypothesis, not by a check
        try:
            return self._session.look_up(name)
        except StudentRaised as error:
            if "KeyError" not in error.class_names:
                raise
            raise MissingName(self._missing(name)) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("the submission cannot be changed from a check")

    def run(self, probe: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Run a function of ours over there as `probe(student, *arguments)` and return its plain result.

        The function's source travels, so it must be self-contained; expected values stay here.
        """
        return self._run(probe, arguments, keywords, once=False)

    def run_once(self, probe: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Like `run`, but the same probe with the same arguments is run once a submission, and its answer kept.

        For what takes long, such as a training of which several checks look at different sides.
        """
        return self._run(probe, arguments, keywords, once=True)

    def _run(self, probe: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], once: bool) -> Any:
        source = textwrap.dedent(inspect.getsource(probe))
        message = {"op": "run", "source": source, "name": probe.__name__, "args": list(arguments), "kwargs": keywords}
        name = probe.__name__.strip("_")
        called = describe_call(f"the check's {name}", arguments, keywords)
        try:
            return self._session.ask(message, called, name.replace("_", " "), traced=True, once=once)
        except StudentRaised as error:
            if error.class_name == "AttributeError" and error.message.startswith("the submission defines no `"):
                raise MissingName(self._missing(error.message.split("`")[1])) from None
            raise

    def _missing(self, name: str) -> str:
        listed = self._session.ask({"op": "names"}, "the list of names", "names")
        names = [_text(item)[:100] for item in listed[:1000]] if isinstance(listed, list) else []
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = (
            f" It does define `{close[0]}`: was it renamed?" if close else " Was its cell deleted, or does it not run?"
        )
        return f"The notebook defines no `{name}`.{hint}"
