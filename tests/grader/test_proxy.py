"""The proxy: what a check can do with a submission, what the student is told, and answers that are rubbish."""

from __future__ import annotations

import linecache
import socket
import threading

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.checking import raises
from grader.checking.comparison import Mismatch
from grader.sandbox import proxy, wire
from grader.sandbox.proxy import (
    MissingName,
    NotWrittenYet,
    RemoteObject,
    Session,
    SocketTransport,
    Student,
    StudentCrashed,
    StudentRaised,
    StudentTimeout,
    describe_call,
    describe_value,
    reference_of,
)
from grader.sandbox.student_process import Submission, describe_error
from grader.sandbox.wire import HandleReference, TensorFlowTensor, WireError

SOURCE = '''
import math

class TooNarrow(ValueError):
    """A subclass of the student's own."""

class Layer:
    scale = 3

    def __init__(self, width):
        self.width = width

    def __call__(self, x):
        return x * self.width

    def __len__(self):
        return self.width

    def __getitem__(self, key):
        if key == "bad":
            raise KeyError(key)
        return ("item", key)

    def __iter__(self):
        return iter(range(self.width))

def build_layer(width=2, *, name="layer"):
    if width < 0:
        raise TooNarrow(f"width {width} is negative")
    return Layer(width)

def outer(x):
    return inner(x)

def inner(x):
    return math.sqrt(x)

def attention_weights(scores):
    raise NotImplementedError

def shout():
    print("hello")
    return 1

constant = 5
'''


class Local:
    """A submission in this process; values travel as over the socket."""

    def __init__(self, session: Session, source: str = SOURCE) -> None:
        self.session, self.submission, self.requests = session, Submission(), []
        linecache.cache["<cell 1>"] = (len(source), None, source.splitlines(keepends=True), "<cell 1>")
        exec(compile(source, "<cell 1>", "exec"), self.submission.names)

    def request(self, message):
        self.requests.append(message["op"])
        data = wire.pack(message, reference_of)
        try:
            request = wire.unpack(data, self.submission.from_handle)
            packed = wire.pack({"value": self.submission.answer(request)}, self.submission.to_handle)
        except Exception as error:
            packed = wire.pack({"error": describe_error(error)})
        return wire.unpack(packed, self.session.from_handle)


@pytest.fixture
def session():
    session = Session()
    session.transport = Local(session)
    return session


@pytest.fixture
def student(session):
    return Student(session)


class TestNames:
    def test_plain_values_arrive_as_they_are(self, student):
        assert student.constant == 5

    def test_a_missing_name_suggests_the_nearest_one(self, student):
        with pytest.raises(MissingName) as caught:
            _ = student.build_layers
        assert (
            str(caught.value) == "The notebook defines no `build_layers`. It does define `build_layer`: was it renamed?"
        )

    def test_a_missing_name_like_no_other(self, student):
        with pytest.raises(MissingName, match="Was its cell deleted, or does it not run?"):
            _ = student.zzz

    def test_a_missing_name_in_a_probe_is_told_the_same_way(self, student):
        def probe(student):
            return student.constants

        with pytest.raises(MissingName, match="no `constants`. It does define `constant`"):
            student.run(probe)

    def test_an_attribute_error_of_the_submissions_own_is_not_a_missing_name(self, student):
        def probe(student):
            return student.build_layer(1).wdth

        with pytest.raises(StudentRaised, match="'Layer' object has no attribute 'wdth'"):
            student.run(probe)

    @pytest.mark.parametrize("name", ["__len__", "hypothesis_explicit_examples", "execute_example", "_repr_pretty_"])
    def test_names_that_python_and_hypothesis_look_for_are_not_asked_for(self, student, session, name):
        assert not hasattr(student, name)
        assert session.transport.requests == []

    def test_nothing_can_be_set(self, student):
        with pytest.raises(AttributeError, match="cannot be changed from a check"):
            student.constant = 6

    def test_nothing_is_loaded_yet(self):
        with pytest.raises(StudentCrashed, match="not loaded"):
            _ = Student(Session()).f


class TestErrors:
    def test_what_the_submission_raised_carries_its_lines(self, student, session):
        with pytest.raises(StudentRaised) as caught:
            student.outer(-1)
        error = caught.value
        assert (error.class_name, error.class_names[:2]) == ("ValueError", ("ValueError", "Exception"))
        assert error.message == "math domain error"
        assert error.lines == (
            "cell 1, line 33, in outer: return inner(x)",
            "cell 1, line 36, in inner: return math.sqrt(x)",
        )
        assert str(error).splitlines() == [
            "outer(-1) raised ValueError: math domain error",
            *map("    ".__add__, error.lines),
        ]
        assert session.last_call == "outer(-1)"

    def test_lines_of_a_probe_are_carried_too(self, student):
        def take_a_root(student, x):
            return student.outer(x)

        with pytest.raises(StudentRaised) as caught:
            student.run(take_a_root, -4)
        assert str(caught.value).startswith("the check's take_a_root(-4) raised ValueError")
        assert caught.value.lines[0] == "probe take_a_root, line 2: return student.outer(x)"

    def test_the_stub(self, student):
        with pytest.raises(NotWrittenYet, match=r"attention_weights\(float64 \(2, 2\)\) is not written yet"):
            student.attention_weights(np.ones((2, 2)))

    def test_raises_knows_classes_by_name_and_subclasses_by_their_bases(self, student):
        for wanted in ("TooNarrow", ValueError, Exception):
            with raises(wanted) as caught:
                student.build_layer(-1)
        assert caught.error.message == "width -1 is negative"
        with pytest.raises(Mismatch, match="should raise KeyError; it raised TooNarrow: width -2 is negative"):
            with raises(KeyError):
                student.build_layer(-2)

    def test_arguments_that_do_not_fit_are_the_submissions_error(self, student):
        with pytest.raises(StudentRaised, match="missing 1 required positional argument: 'x'"):
            student.outer()


class TestHandles:
    def test_attributes_calls_items_length_and_iteration(self, student):
        layer = student.build_layer(4, name="first")
        assert isinstance(layer, RemoteObject)
        assert layer.class_names == ("__main__.Layer", "builtins.object")
        assert repr(layer) == "<Layer>"
        assert (layer.width, layer.scale) == (4, 3)
        assert layer(2.5) == 10.0
        assert layer["key"] == ("item", "key")
        assert layer[1:2] == ("item", slice(1, 2))
        assert len(layer) == 4
        assert list(layer) == [0, 1, 2, 3]
        assert 3 in layer

    def test_a_handle_is_true_without_asking(self, student, session):
        assert student.build_layer(0)
        assert "len" not in session.transport.requests

    def test_a_handle_goes_back_as_the_object_itself(self, student, session):
        layer = student.build_layer(3)

        def is_the_layer(student, candidate, others):
            return isinstance(candidate, student.Layer), others["again"][0] is candidate

        assert student.run(is_the_layer, layer, {"again": [layer]}) == (True, True)
        assert session.last_call == "the check's is_the_layer(<Layer>, {'again': [<Layer>]})"

    def test_a_probe_that_runs_once_is_asked_once_for_the_same_arguments(self, student, session):
        def count(student, step):
            student.Layer.scale += step
            return student.Layer.scale

        def fail(student, step):
            student.Layer.scale += step
            raise ValueError(f"scale is {student.Layer.scale}")

        assert [student.run_once(count, 1), student.run_once(count, 1), student.run(count, 1)] == [4, 4, 5]
        assert student.run_once(count, 2) == 7, "other arguments are another question"
        assert session.trace == [4, 4, 5, 7], "every check keeps what it was answered"
        for _ in range(2):
            with pytest.raises(StudentRaised, match="scale is 8"):
                student.run_once(fail, 1)

    def test_attributes_cannot_be_set(self, student):
        layer = student.build_layer(3)
        with pytest.raises(AttributeError, match="set attributes in a probe"):
            layer.width = 5
        assert layer.width == 3

    def test_python_looks_for_special_names_in_vain(self, student, session):
        layer = student.build_layer(3)
        session.transport.requests.clear()
        assert not hasattr(layer, "__array__") and not hasattr(layer, "__torch_function__")
        assert session.transport.requests == []

    def test_errors_name_the_place(self, student):
        layer = student.build_layer(3)
        with pytest.raises(StudentRaised, match=r"^build_layer\(…\)\.wdth raised AttributeError"):
            _ = layer.wdth
        with pytest.raises(StudentRaised, match=r"^build_layer\(…\)\['bad'\] raised KeyError"):
            _ = layer["bad"]

    def test_a_forged_number_is_no_object(self, session):
        forged = RemoteObject(session, HandleReference(12345, ("__main__.Layer",)), "forged")
        for use in (lambda: forged.width, lambda: forged(1), lambda: len(forged), lambda: list(forged)):
            with pytest.raises(StudentRaised, match="malformed value: KeyError"):
                use()

    def test_iteration_ends_somewhere(self, student, session, monkeypatch):
        monkeypatch.setattr(proxy, "MAX_ITEMS", 10)
        session.transport.submission.names["endless"] = type("Endless", (), {"__iter__": lambda self: iter(int, 1)})()
        assert [item for item in student.endless] == [0] * 10  # noqa: C416

    def test_what_has_no_length_can_be_listed_all_the_same(self, student, session):
        session.transport.submission.names["batches"] = lambda: (number**2 for number in range(4))
        assert list(student.batches()) == [0, 1, 4, 9]
        assert tuple(student.batches()) == (0, 1, 4, 9)
        assert session.last_call == "batches()"
        with pytest.raises(StudentRaised, match=r"len\(batches\(…\)\) raised TypeError"):
            len(student.batches())

    def test_only_plain_data_and_handles_go_over(self, student):
        for argument in (object(), print, lambda x: x, iter([1])):
            with pytest.raises(WireError, match="cannot cross to the student's process; send plain data"):
                student.shout(argument)


class TestDescriptions:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (5, "5"),
            (None, "None"),
            ("short", "'short'"),
            ("x" * 50, "'" + "x" * 36 + "…"),
            (np.zeros((2, 3), "f4"), "float32 (2, 3)"),
            (TensorFlowTensor(np.zeros(2), "bfloat16"), "TensorFlow bfloat16 (2,)"),
            ([1, [2, 3]], "[1, [2, 3]]"),
            ((1,), "(1,)"),
            (list(range(9)), "[0, 1, 2, 3, 4, 5, …]"),
            ({"a": np.zeros(2)}, "{'a': float64 (2,)}"),
            ({("k" * 50, 1): 2}, "{('" + "k" * 36 + "…, 1): 2}"),
            ({1, 2}, "set"),
        ],
        ids=str,
    )
    def test_of_values(self, value, text):
        assert describe_value(value) == text

    def test_of_tensors(self):
        torch = pytest.importorskip("torch")
        assert describe_value(torch.zeros(2, 0, dtype=torch.bfloat16)) == "bfloat16 (2, 0)"

    def test_of_calls(self):
        assert describe_call("f", (1, np.zeros(2)), {"mask": None}) == "f(1, float64 (2,), mask=None)"

    def test_of_an_object_over_there_asks_it_for_nothing(self, student, session):
        layer = student.build_layer(3)
        session.transport.requests.clear()
        assert describe_value([layer]) == "[<Layer>]"
        assert session.transport.requests == []


class TestSession:
    def test_results_and_errors_are_traced(self, student, session):
        student.build_layer(2)(3)
        with pytest.raises(StudentRaised):
            student.outer(-1)
        _ = student.constant
        assert session.trace[1:] == [6, {"raised": "ValueError"}]
        assert session.trace[0].class_names[0] == "__main__.Layer"

    def test_traces_and_output_are_bounded(self, monkeypatch):
        monkeypatch.setattr(proxy, "MAX_TRACE_BYTES", 100_000)
        monkeypatch.setattr(proxy, "MAX_OUTPUT_CHARACTERS", 12)
        session = Session()

        class Chatty:
            def request(self, message):
                return {"value": {"nested": [np.zeros(1000)]}, "output": "ten chars."}

        session.transport = Chatty()
        for _ in range(50):
            session.ask({"op": "call"}, "f()", "f", traced=True)
        kept = [value for value in session.trace if value is not None]
        assert len(session.trace) == 50 and 10 <= len(kept) <= 13
        assert "".join(session.output) == "ten chars.te"


class Rubbish:
    """A transport whose answers are whatever it was given."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def request(self, message):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5) | st.just(np.ones(2)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


class TestRubbish:
    """Whatever an answer holds, the check fails or the process counts as crashed; the check itself never breaks."""

    @settings(deadline=None, max_examples=200, database=None)
    @given(st.dictionaries(st.sampled_from(["class", "bases", "message", "lines"]), JUNK))
    def test_errors_of_any_content(self, error):
        session = Session()
        session.transport = Rubbish({"error": error})
        with pytest.raises((StudentRaised, NotWrittenYet, MissingName)):
            _ = Student(session).anything
        with pytest.raises((StudentRaised, NotWrittenYet)):
            session.ask({"op": "call"}, "f()", "f", traced=True)

    @settings(deadline=None, max_examples=100, database=None)
    @given(JUNK)
    def test_lists_of_names_of_any_content(self, names):
        session = Session()
        session.transport = Rubbish({"error": {"class": "KeyError", "bases": ["KeyError"]}}, {"value": names})
        with pytest.raises(MissingName):
            _ = Student(session).anything

    @pytest.mark.parametrize("length", [-1, 2.0, True, None, "3", 2**63, 2**70], ids=str)
    def test_a_length_that_is_none(self, length):
        session = Session()
        session.transport = Rubbish({"value": length})
        with pytest.raises(StudentCrashed, match="a length that is not a number"):
            len(session.from_handle(HandleReference(1)))

    @pytest.mark.parametrize("items", [None, 5, "abc", {"a": 1}, np.ones(3)], ids=str)
    def test_items_that_are_none(self, items):
        session = Session()
        session.transport = Rubbish({"value": items})
        assert list(iter(session.from_handle(HandleReference(1)))) == []

    def test_long_texts_are_cut(self):
        error = StudentRaised(
            "f()", {"class": "E", "message": "x" * 10**6, "bases": ["B"] * 1000, "lines": ["y"] * 1000}
        )
        assert len(str(error)) < 5000


class TestSocketTransport:
    """Over a socket, with a thread at the other end that answers with given bytes."""

    @pytest.fixture
    def answering(self):
        """Starts a far end that answers every request with these bytes, and gives a student that talks to it."""
        ours, theirs = socket.socketpair()
        threads = []

        def answering(body: bytes | None, seconds: float = 5.0, raw: bool = False) -> Student:
            def serve():
                try:
                    wire.receive_message(theirs, 10)
                    if body is None:
                        theirs.close()
                    elif raw:
                        theirs.sendall(body)
                    else:
                        wire.send_message(theirs, body, 10)
                except (wire.ConnectionClosed, OSError):
                    pass

            threads.append(threading.Thread(target=serve))
            threads[-1].start()
            session = Session()
            session.transport = SocketTransport(ours, seconds, session.from_handle)
            return Student(session)

        yield answering
        ours.close()
        for thread in threads:
            thread.join(5)
        theirs.close()

    def test_an_answer(self, answering):
        student = answering(wire.pack({"value": [1, HandleReference(3, ("m.C",))], "output": "printed"}))
        one, thing = student.f
        assert (one, repr(thing)) == (1, "<C>")
        assert student._session.output == ["printed"]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\xc1",
            wire.pack(None),
            wire.pack([1, 2]),
            wire.pack({}),
            wire.pack({"output": "only"}),
            wire.pack({"value": 1, "output": 5}),
            wire.pack({"error": "text"}),
            wire.pack({"error": None}),
            msgpack.packb({"value": {1: 2}}),
            msgpack.packb(msgpack.ExtType(10, msgpack.packb(["|O", [1], b"12345678"]))),
        ],
        ids=["empty", "c1", "none", "list", "dict", "no-value", "output", "error", "no-error", "map", "object-array"],
    )
    def test_rubbish_counts_as_a_crash(self, answering, body):
        with pytest.raises(StudentCrashed, match="sent something that is not an answer"):
            _ = answering(body).f

    def test_a_message_too_long_counts_as_a_crash(self, answering):
        with pytest.raises(StudentCrashed, match="over the limit"):
            _ = answering(b"\xff\xff\xff\xff", raw=True).f

    def test_an_end(self, answering):
        with pytest.raises(StudentCrashed, match="ended while it was working on this"):
            _ = answering(None).f

    def test_silence(self, answering):
        with pytest.raises(StudentTimeout, match="no answer within 0.2 seconds"):
            _ = answering(b"\x05\x00\x00\x00xx", seconds=0.2, raw=True).f

    def test_a_request_that_cannot_be_sent_is_not_the_submissions_fault(self, answering, monkeypatch):
        session = answering(wire.pack({"value": 1}))._session
        with pytest.raises(WireError, match="cannot cross"):
            session.ask({"op": "call", "args": [object()]}, "f()", "f")
        monkeypatch.setattr(wire, "MAX_MESSAGE_BYTES", 100)
        with pytest.raises(WireError, match="a request of .* bytes is over the limit of 100"):
            session.ask({"op": "call", "args": [bytes(200)]}, "f()", "f")


def test_a_call_with_many_arguments_is_cut():
    text = describe_call("f", tuple(range(1000)), {})
    assert text.startswith("f(0, 1, 2, ") and text.endswith(" …)") and len(text) < 250
