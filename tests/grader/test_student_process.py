"""Inside the student's process: loading cells, what is forbidden, output, probes, and errors as plain data."""

from __future__ import annotations

import fractions
import random
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grader.sandbox.forbidden import forbidden
from grader.sandbox.proxy import Session, SocketTransport, Student, StudentCrashed, StudentRaised
from grader.sandbox.student_process import (
    MAX_TRACEBACK_LINES,
    CappedOutput,
    Submission,
    describe_error,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def submission(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # `load` puts the submission there,
    state = random.getstate(), np.random.get_state()  # and seeds what the whole process shares
    submission = Submission()
    yield submission
    submission._restrictions.close()
    random.setstate(state[0])
    np.random.set_state(state[1])


class TestLoading:
    def test_cells_run_in_order_in_one_namespace(self, submission):
        assert submission.load(["import math\nx = 2", "def f(y):\n    return math.sqrt(x * y)"], [], 0) == []
        assert submission.answer({"op": "get", "name": "f"})(8) == 4
        assert {"f", "math", "x"} <= set(submission.answer({"op": "names"}))

    @pytest.mark.parametrize(
        ("cell", "remark"),
        [
            ("1 / 0", "Cell 2 of the notebook stopped with ZeroDivisionError: division by zero"),
            ("def f(:", "Cell 2 of the notebook stopped with SyntaxError: invalid syntax"),
            ("import sys; sys.exit('bye')", "Cell 2 of the notebook stopped with SystemExit: bye"),
            ("raise KeyboardInterrupt", "Cell 2 of the notebook stopped with KeyboardInterrupt: "),
            ("raise ValueError('\\ud800')", "Cell 2 of the notebook stopped with ValueError: \ud800"),
            ("'\ud800'", "Cell 2 of the notebook stopped with UnicodeEncodeError: "),
            ("x = '\\0'; exec('\\0')", "Cell 2 of the notebook stopped with "),
            ("raise ValueError('x' * 10_000)", "Cell 2 of the notebook stopped with ValueError: xxx"),
            (
                "class Odd(Exception):\n    def __str__(self):\n        raise SystemExit\nraise Odd",
                "Cell 2 of the notebook stopped with Odd: (its message could not be read)",
            ),
        ],
        ids=["error", "syntax", "exit", "interrupt", "surrogate", "no-text", "nul", "long", "unreadable"],
    )
    def test_a_failing_cell_is_stepped_over_with_a_remark(self, submission, cell, remark):
        (said,) = submission.load(["a = 1", cell, "b = a + 1"], [], 0)
        assert said.startswith(remark)
        assert len(said) <= 500
        assert submission.names["b"] == 2

    def test_the_stub_is_stepped_over_without_a_remark(self, submission):
        assert submission.load(["def f():\n    raise NotImplementedError\nf()\nlost = 1", "b = 2"], [], 0) == []
        assert "lost" not in submission.names and submission.names["b"] == 2

    def test_names_before_an_error_stay(self, submission):
        submission.load(["a = 1\n1 / 0\nb = 2"], [], 0)
        assert submission.names["a"] == 1 and "b" not in submission.names

    def test_the_submission_is_the_main_module(self, submission):
        cell = (
            "from __future__ import annotations\nfrom dataclasses import dataclass\n"
            "@dataclass\nclass Point:\n    x: int\nmain = __name__\ndisplay"
        )
        assert submission.load([cell], [], 0) == []
        assert submission.names["main"] == "__main__"
        assert sys.modules["__main__"] is submission.module
        assert repr(submission.names["Point"](3)) == "Point(x=3)"

    def test_cells_do_not_inherit_this_modules_future_and_keep_their_own(self, submission):
        submission.load(["def f(x: undefined_name): pass"], [], 0)
        assert "f" not in submission.names
        submission.load(["from __future__ import annotations", "def g(x: undefined_name): pass"], [], 0)
        assert submission.names["g"].__annotations__ == {"x": "undefined_name"}

    def test_random_numbers_follow_the_seed(self, submission):
        cell = "import random\nimport numpy\ndrawn = random.random(), numpy.random.rand()"
        drawn = []
        for seed in (3, 3, 4):
            submission.load([cell], [], seed)
            drawn.append(submission.names["drawn"])
        assert drawn[0] == drawn[1] != drawn[2]

    def test_forbidding_a_library_that_is_not_loaded_does_not_hinder_the_loading(self, submission, monkeypatch):
        for name in ("torch", "keras"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        (remark,) = submission.load(["a = 1", "from keras import ops"], ["torch", "keras"], 0)
        refused = "ForbiddenCall: keras is not allowed in this exercise; write it yourself"
        assert remark == f"Cell 2 of the notebook stopped with {refused}"
        assert submission.names["a"] == 1

    def test_what_is_forbidden_may_have_been_looked_up_before(self, submission):
        looked_up = forbidden(["math.hypot"])
        with looked_up:
            pass
        submission._looked_up = {("math.hypot",): looked_up}
        remarks = submission.load(["import math", "math.hypot(3, 4)"], ["math.hypot"], 0)
        assert remarks == [
            "Cell 2 of the notebook stopped with ForbiddenCall: math.hypot is not allowed in this exercise; write it"
            " yourself"
        ]
        assert submission.load(["import math", "math.hypot(3, 4)"], [], 0) == []

    def test_display_prints(self, submission, capsys):
        submission.load(["display('shown', 3)"], [], 0)
        assert capsys.readouterr().out == "shown 3\n"


class TestOutput:
    def test_is_taken_once(self):
        output = CappedOutput(100)
        print("a", 1, file=output)
        assert (output.take(), output.take()) == ("a 1\n", "")

    @pytest.mark.parametrize("written", [["abcde"], ["abc", "de"], ["abcde", ""]])
    def test_exactly_the_limit_is_not_cut(self, written):
        output = CappedOutput(5)
        for text in written:
            assert output.write(text) == len(text)
        assert output.take() == "abcde"

    def test_more_is_cut_and_says_so_once(self):
        output = CappedOutput(5)
        for _ in range(1000):
            assert output.write("abc") == 3
        assert output.take() == "abcab\n[output cut here]"
        output.write("more")
        assert output.take() == ""

    def test_is_a_stream_of_text(self):
        output = CappedOutput(5)
        assert output.writable() and not output.isatty()
        with pytest.raises(TypeError, match="must be str, not bytes"):
            output.write(b"abc")
        assert output.take() == ""


class TestHandles:
    def test_an_object_keeps_its_number_and_stays_alive(self, submission):
        numbers = {submission.to_handle(object()).number for _ in range(50)}
        assert len(numbers) == 50
        thing = object()
        reference = submission.to_handle(thing)
        assert submission.to_handle(thing).number == reference.number
        assert submission.from_handle(reference) is thing

    def test_classes_are_named_with_their_bases(self, submission):
        assert submission.to_handle(fractions.Fraction(1)).class_names[:2] == ("fractions.Fraction", "numbers.Rational")
        assert submission.to_handle(fractions.Fraction).class_names[0] == "fractions.Fraction"
        assert submission.to_handle(len).class_names == ("builtins.builtin_function_or_method", "builtins.object")

    def test_a_number_never_given_out(self, submission):
        from grader.sandbox.wire import HandleReference

        with pytest.raises(KeyError):
            submission.from_handle(HandleReference(1))

    def test_an_unknown_request(self, submission):
        with pytest.raises(ValueError, match="unknown request 'setattr'"):
            submission.answer({"op": "setattr", "target": 1})


class TestProbes:
    def run(self, submission, source, *arguments, name="probe", **keywords):
        return submission.answer(
            {"op": "run", "source": source, "name": name, "args": list(arguments), "kwargs": keywords}
        )

    def test_it_sees_the_submission_and_its_arguments(self, submission):
        submission.load(["def double(x):\n    return 2 * x"], [], 0)
        source = "def probe(student, x, *, plus=0):\n    return student.double(x) + plus"
        assert self.run(submission, source, 3, plus=1) == 7

    def test_it_shares_nothing_with_the_submission_or_other_probes(self, submission):
        submission.load(["secret = 1"], [], 0)
        self.run(submission, "leaked = 5\ndef probe(student):\n    return leaked")
        with pytest.raises(NameError, match="leaked"):
            self.run(submission, "def probe(student):\n    return leaked")
        with pytest.raises(NameError, match="secret"):
            self.run(submission, "def probe(student):\n    return secret")
        assert "leaked" not in submission.names

    def test_a_name_the_submission_lacks(self, submission):
        with pytest.raises(AttributeError, match="^the submission defines no `absent`$"):
            self.run(submission, "def probe(student):\n    return student.absent")

    def test_two_probes_of_one_name(self, submission):
        sources = [f"def probe(student):\n    return {number}" for number in (1, 2)]
        assert [self.run(submission, sources[index]) for index in (0, 1, 0)] == [1, 2, 1]


class TestDescribeError:
    @staticmethod
    def described(error: BaseException):
        try:
            raise error
        except BaseException as caught:
            return describe_error(caught)

    def test_class_bases_and_message(self):
        described = self.described(KeyError("k"))
        assert described == {
            "class": "KeyError",
            "bases": ["KeyError", "LookupError", "Exception", "BaseException", "object"],
            "message": "'k'",
            "lines": [],
        }

    @pytest.mark.parametrize(
        "raised", [ValueError("again"), SystemExit(3), KeyboardInterrupt(), RecursionError()], ids=repr
    )
    def test_a_message_that_cannot_be_read(self, raised):
        class Odd(Exception):
            def __str__(self):
                raise raised

        described = self.described(Odd())
        assert (described["class"], described["message"]) == ("Odd", "(its message could not be read)")

    def test_everything_is_bounded(self, submission):
        submission.load(["def sink(n):\n    return sink(n + 1)"], [], 0)
        with pytest.raises(RecursionError) as caught:
            submission.names["sink"](0)
        described = describe_error(caught.value)
        assert described["lines"] == ["cell 1, line 2, in sink: return sink(n + 1)"] * MAX_TRACEBACK_LINES
        long = self.described(type("E" * 1000, (ValueError,), {})("x" * 100_000))
        assert (len(long["class"]), len(long["bases"][0]), len(long["message"])) == (200, 200, 4000)

    def test_only_lines_of_cells_and_probes_are_shown(self, submission):
        submission.load(["import json", "def parse(text):\n    return json.loads(text)"], [], 0)
        with pytest.raises(ValueError) as caught:
            submission.names["parse"]("{")
        assert describe_error(caught.value)["lines"] == ["cell 2, line 2, in parse: return json.loads(text)"]

    def test_a_comprehension_is_no_line_of_its_own(self, submission):
        submission.load(["def halves(xs):\n    return [1 / x for x in xs]"], [], 0)
        with pytest.raises(ZeroDivisionError) as caught:
            submission.names["halves"]([0])
        assert describe_error(caught.value)["lines"] == ["cell 1, line 2, in halves: return [1 / x for x in xs]"]


@pytest.fixture
def serving():
    """A process that serves a submission, unconfined, and a student that talks to it."""
    ours, theirs = socket.socketpair()
    code = (
        "import socket, sys\nfrom grader.sandbox.student_process import serve\n"
        "serve(socket.socket(fileno=int(sys.argv[1])), 1000)"
    )
    arguments = [sys.executable, "-c", code, str(theirs.fileno())]
    process = subprocess.Popen(arguments, cwd=ROOT, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
    theirs.close()
    session = Session()
    session.transport = SocketTransport(ours, 20.0, session.from_handle)

    def serving(source: str, *names: str) -> Student:
        session.ask({"op": "load", "cells": [source], "forbidden": list(names), "seed": 0}, "load", "load")
        return Student(session)

    serving.process, serving.channel, serving.session = process, ours, session
    yield serving
    ours.close()
    assert process.wait(20) is not None


class TestServing:
    def test_values_errors_and_output(self, serving):
        student = serving(
            "import sys, numpy as np\n"
            "def f(x):\n    print('seen', x.sum())\n    print('warned', file=sys.stderr)\n    return x * 2\n"
            "def g():\n    print('before')\n    raise ValueError('half \\ud800')\n"
            "print('\\udc80 loaded')",
        )
        assert student.f(np.arange(3)).tolist() == [0, 2, 4]
        with pytest.raises(StudentRaised, match=r"half \\ud800"):
            student.g()
        assert "".join(serving.session.output) == "\\udc80 loaded\nseen 3\nwarned\nbefore\n"

    def test_output_is_capped_for_the_whole_submission(self, serving):
        student = serving("def f():\n    print('x' * 600)")
        for _ in range(5):
            student.f()
        assert len("".join(serving.session.output)) < 1100
        assert "".join(serving.session.output).endswith("[output cut here]")

    def test_what_ends_a_program_does_not_end_the_process(self, serving):
        student = serving(
            "import sys\ndef leave():\n    sys.exit(3)\ndef ask():\n    return input('?')\n"
            "def binary():\n    sys.stdout.write(b'bytes')\ndef fine():\n    return 1"
        )
        for name, said in (
            ("leave", "SystemExit: 3"),
            ("ask", "EOFError: input.. has nobody"),
            ("binary", "TypeError"),
        ):
            with pytest.raises(StudentRaised, match=said):
                getattr(student, name)()
        assert student.fine() == 1

    def test_results_that_cannot_cross_are_errors_of_the_call(self, serving):
        student = serving(
            "def large():\n    return bytes(70_000_000)\ndef number():\n    return 2**50_000\n"
            "def deep():\n    x = []\n    for _ in range(100):\n        x = [x]\n    return x\n"
            "class E(Exception):\n    def __str__(self):\n        raise SystemExit\n"
            "def strange():\n    raise E\n"
            "def fine():\n    return 1"
        )
        for name, said in (
            ("large", "the result takes 7[0-9]+ bytes"),
            ("number", "bits is too large to cross"),
            ("deep", "nested more than 40 levels"),
            ("strange", "its message could not be read"),
        ):
            with pytest.raises(StudentRaised, match=said):
                getattr(student, name)()
        assert student.fine() == 1

    def test_forbidden_names_stay_forbidden(self, serving):
        student = serving("import math\ndef f():\n    return math.hypot(3, 4)", "math.hypot")
        with pytest.raises(StudentRaised, match="ForbiddenCall: math.hypot is not allowed"):
            student.f()

    def test_it_ends_when_nobody_listens_any_more(self, serving):
        serving("x = 1")
        serving.channel.close()
        assert serving.process.wait(20) == 0

    def test_an_end_of_its_own_is_a_crash(self, serving):
        student = serving("import os\ndef f():\n    os._exit(7)")
        with pytest.raises(StudentCrashed, match="ended while it was working"):
            student.f()
        assert serving.process.wait(20) == 7


def test_a_tensor_sent_as_plain_data_arrives_as_a_tensor_of_tensorflow():
    """In a process of its own: importing TensorFlow costs seconds and stays."""
    code = (
        "import numpy as np\n"
        "from grader.sandbox import wire\n"
        "from grader.sandbox.student_process import real_tensor\n"
        "sent = [wire.TensorFlowTensor(np.float32([[1, 2]])), wire.TensorFlowTensor(np.float32([1.5]), 'bfloat16')]\n"
        "tensor, narrow = wire.unpack(wire.pack(sent), from_tensorflow=real_tensor)\n"
        "import tensorflow as tf\n"
        "assert tf.is_tensor(tensor) and tensor.dtype == tf.float32 and tensor.numpy().tolist() == [[1.0, 2.0]]\n"
        "assert narrow.dtype == tf.bfloat16 and float(narrow[0]) == 1.5\n"
        "slices = tf.IndexedSlices(tf.constant([[2.0]]), tf.constant([1]), tf.constant([3, 1]))\n"
        "assert wire.unpack(wire.pack(slices)).array.tolist() == [[0.0], [2.0], [0.0]]\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
