"""Running a check file: what becomes of each check, with the submission in this process instead of a confined one."""

from __future__ import annotations

import itertools
import linecache
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest
from hypothesis import core

from grader.checking import plugin
from grader.checking.outcome import CheckOutcome
from grader.checking.plugin import BUDGET_SPENT, MAX_MESSAGE_CHARACTERS, CheckJob
from grader.checking.runner import CheckRun, run_checks
from grader.sandbox import wire
from grader.sandbox.proxy import Session, StudentCrashed, StudentRaised, StudentTimeout, reference_of
from grader.sandbox.student_process import Submission, describe_error

PASSED, FAILED, ERROR = CheckOutcome.PASSED, CheckOutcome.FAILED, CheckOutcome.ERROR
TIMEOUT, CRASHED, SKIPPED = CheckOutcome.TIMEOUT, CheckOutcome.CRASHED, CheckOutcome.SKIPPED

HEADER = """
import numpy as np
import pytest
from hypothesis import example, given, strategies as st
from grader.checking import *

"""
SOLUTION = """
def double(x):
    return 2 * x

def refuse(x):
    raise ValueError(f"no {x}")

def stub(x):
    raise NotImplementedError

def echo(x):
    return x

def small_only(x):
    return 2 * x if x < 7 else x

def wavering(x, calls=[]):
    calls.append(x)
    return -1 if len(calls) == 3 else 2 * x

def hang():
    raise Hang

def die():
    raise Die
"""
_numbers = itertools.count()


class Hang(BaseException):
    """Stands for code that never ends."""


class Die(BaseException):
    """Stands for the end of the process."""


class InProcess:
    """A submission here; values travel as they would over the socket."""

    def __init__(self, session: Session, source: str) -> None:
        self.session, self.submission = session, Submission()
        self.submission.names.update(Hang=Hang, Die=Die)
        linecache.cache["<cell 1>"] = (len(source), None, source.splitlines(keepends=True), "<cell 1>")
        exec(compile(source, "<cell 1>", "exec"), self.submission.names)

    def request(self, message):
        data = wire.pack(message, reference_of)
        try:
            value = self.submission.answer(wire.unpack(data, self.submission.from_handle))
            packed = wire.pack({"value": value, "output": "printed\n"}, self.submission.to_handle)
        except Hang:
            raise StudentTimeout("no answer within 2 seconds") from None
        except Die:
            raise StudentCrashed("the process ended while it was working on this") from None
        except Exception as error:
            packed = wire.pack({"error": describe_error(error)})
        return wire.unpack(packed, self.session.from_handle)


class Clock:
    """The time as the plugin sees it: it stands still, and loading takes as long as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(plugin, "time", SimpleNamespace(monotonic=lambda: self.now))

    def advancing(self, load, seconds: float):
        def slow_load(session: Session) -> list[str]:
            self.now += seconds
            return load(session)

        return slow_load


class Runner:
    """Runs check files, and counts how often the submission was loaded and its process ended."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.loads, self.ends, self.solution = folder, 0, 0, SOLUTION

    def __call__(self, checks: str, load=None, explain_end=None, **settings) -> CheckRun:
        path = self.folder / f"test_checks_{next(_numbers)}.py"  # pytest imports a name once for all
        path.write_text(HEADER + checks, encoding="utf-8")
        self.loads = self.ends = 0

        def default_load(session: Session) -> list[str]:
            session.transport = InProcess(session, self.solution)
            return [f"loaded {self.loads} times"]

        def counted_load(session: Session) -> list[str]:
            self.loads += 1
            return (load or default_load)(session)

        def counted_end() -> str:
            self.ends += 1
            return explain_end(self.ends) if explain_end else ""

        job = CheckJob(session=Session(), load=counted_load, explain_end=counted_end, stop=counted_end, **settings)
        return run_checks(path, job)


@pytest.fixture
def run(tmp_path):
    """Runs a check file, and puts back what that changes for hypothesis in this process."""
    profile, seed = hypothesis.settings.default, core.global_force_seed
    hypothesis.settings.register_profile("before", profile)
    yield Runner(tmp_path)
    hypothesis.settings.load_profile("before")
    core.global_force_seed = seed


def outcomes(result: CheckRun) -> list[CheckOutcome]:
    assert result.problem == ""
    return [record.outcome for record in result.results]


def only_record(result: CheckRun):
    assert result.problem == ""
    (record,) = result.results
    return record


class TestRecords:
    def test_points_marks_and_titles(self, run):
        result = run('''
@visible
@points(1)
def test_shown(student):
    """What students see.

    And what they do not.
    """
    assert_equal(student.double(2), 4)

@points(2.5)
@catches("some", "more")
def test_hidden(student):
    """Hidden and wrong."""
    assert_equal(student.double(2), 5)

def test_without_words(student):
    pass

@points(1)
def test_blank_words(student):
    """   """
''')
        shown, hidden, wordless, blank = result.results
        assert (shown.name, shown.title, shown.outcome) == ("test_shown", "What students see.", PASSED)
        assert (shown.points, shown.max_points, shown.visible) == (1, 1, True)
        assert (shown.message, shown.called) == ("", "")
        assert (hidden.title, hidden.outcome) == ("Hidden and wrong.", FAILED)
        assert (hidden.points, hidden.max_points, hidden.visible) == (0, 2.5, False)
        assert (wordless.title, wordless.points, wordless.max_points) == ("test_without_words", 0, 0)
        assert blank.title == "test_blank_words"
        assert all(0 <= record.seconds < 5 for record in result.results)
        assert result.remarks == ("loaded 1 times",)
        assert set(result.output.split()) == {"printed"}

    def test_results_are_told_as_they_come(self, run):
        told = []
        result = run("def test_a(student): pass\ndef test_b(student): assert False\n", on_result=told.append)
        assert told == list(result.results)
        assert [record.name for record in told] == ["test_a", "test_b"]

    def test_traces_hold_what_each_check_was_given(self, run):
        result = run(
            "def test_a(student):\n    student.double(3)\n    student.echo('x')\n"
            "def test_b(student):\n    student.refuse(1)\n"
            "def test_c(student):\n    pass\n"
        )
        assert result.traces == {"test_a": [6, "x"], "test_b": [{"raised": "ValueError"}], "test_c": []}


class TestFailures:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (
                "assert_equal(student.double([1, 2]), [2, 4])",
                "Called: double([1, 2])\nThe result has 4 items; it should have 2.",
            ),
            ("student.refuse(3)", "refuse(3) raised ValueError: no 3\n    cell 1, line 6, in refuse: raise ValueError"),
            ("student.stub(3)", "stub(3) is not written yet (it raises NotImplementedError)."),
            ("student.dubble(3)", "The notebook defines no `dubble`. It does define `double`: was it renamed?"),
            (
                "with raises(ValueError): student.double(1)",
                "Called: double(1)\nthis call should raise ValueError; it returned without an error.",
            ),
            (
                "with raises(KeyError): student.refuse(1)",
                "Called: refuse(1)\nthis call should raise KeyError; it raised ValueError: no 1",
            ),
            ("pytest.fail('in its own words')", "in its own words"),
            ("assert student.double(2) == 5, 'own words'", "Called: double(2)\nown words"),
        ],
    )
    def test_messages(self, run, body, message):
        record = only_record(run(f"@points(2)\ndef test_it(student):\n    {body}\n"))
        assert (record.outcome, record.points) == (FAILED, 0)
        assert record.message.startswith(message)

    def test_both_sides_are_summarised(self, run):
        record = only_record(run("def test_it(student):\n    assert_equal(student.double(2), 5)\n"))
        assert (record.expected, record.actual, record.called) == ("5", "4", "double(2)")

    def test_messages_end_somewhere(self, run):
        record = only_record(run("def test_it(student):\n    assert False, 'x' * 100_000\n"))
        assert len(record.message) == MAX_MESSAGE_CHARACTERS

    def test_an_error_of_the_submission_while_loading(self, run):
        def load(session):
            raise StudentRaised("Loading the notebook", {"class": "ForbiddenCall", "message": "not so"})

        result = run("def test_a(student): pass\ndef test_b(student): pass\n", load=load)
        assert outcomes(result) == [FAILED, FAILED]
        assert result.results[0].message == "Loading the notebook raised ForbiddenCall: not so"


class TestFaultsOfTheCheck:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("1 / 0", "The check itself broke: ZeroDivisionError: division by zero"),
            ("raise SystemExit(3)", "The check itself broke: SystemExit: 3"),
            ("pytest.skip('later')", "The check itself broke: Skipped: later"),
            ("student.double(object())", "The check itself broke: WireError: a object cannot cross"),
            ("assert_close(1, 'text')", "The check itself broke: TypeError: a str is not an array"),
        ],
    )
    def test_are_errors(self, run, body, message):
        record = only_record(run(f"@points(1)\ndef test_it(student):\n    {body}\n"))
        assert (record.outcome, record.points, record.max_points) == (ERROR, 0, 1)
        assert record.message.startswith(message)

    def test_stumbling_over_what_came_back_is_the_submissions_failure(self, run):
        """A number where a table should be must not become a fault of the grader's that a person has to look at."""
        record = only_record(run("@points(1)\ndef test_it(student):\n    student.double(1)['precision']\n"))
        assert (record.outcome, record.points) == (FAILED, 0)
        assert "What came back could not be looked at: TypeError" in record.message
        assert "double(1)" in record.message

    def test_a_check_that_cannot_be_set_up_is_not_lost(self, run):
        result = run(
            "@points(1)\ndef test_a(student, no_such_fixture): pass\n"
            "@points(1)\n@pytest.mark.skip(reason='later')\ndef test_b(student): pass\n"
            "@points(1)\ndef test_c(student): pass\n"
        )
        assert outcomes(result) == [ERROR, ERROR, PASSED]
        assert "no_such_fixture" in result.results[0].message
        assert result.results[1].message == "The check itself could not be set up: later"
        assert sum(record.points for record in result.results) == 1

    @pytest.mark.parametrize(
        ("checks", "said"),
        [
            ("import no_such_module_anywhere\n", "no_such_module_anywhere"),
            ("def test_a(student:\n", "SyntaxError"),
            ("x = 1\n", "The checks did not run"),
            ("def test_a(student): raise KeyboardInterrupt\n", "The checks did not run"),
        ],
    )
    def test_a_file_that_cannot_be_run(self, run, checks, said):
        result = run(checks)
        assert said in result.problem
        assert result.results == ()


class TestProcessesThatEnd:
    def test_a_timeout(self, run):
        result = run(
            "@points(1)\ndef test_a(student):\n    student.hang()\n"
            "@points(1)\ndef test_b(student):\n    assert_equal(student.double(1), 2)\n"
        )
        assert outcomes(result) == [TIMEOUT, PASSED]
        assert result.results[0].message == "hang(): no answer within 2 seconds."
        assert (run.loads, run.ends) == (2, 1)

    def test_a_crash_and_the_next_check_has_a_new_process(self, run):
        result = run(
            "@points(1)\ndef test_a(student):\n    student.die()\n"
            "@points(1)\ndef test_b(student):\n    assert_equal(student.double(1), 2)\n"
            "@points(1)\ndef test_c(student):\n    assert_equal(student.double(1), 2)\n",
            explain_end=lambda count: "out of memory" if count == 1 else "",
        )
        assert outcomes(result) == [CRASHED, PASSED, PASSED]
        assert result.results[0].message == ("die(): the process ended while it was working on this (out of memory).")
        assert (run.loads, run.ends) == (2, 1)
        assert result.remarks == ("loaded 2 times",)

    def test_hypothesis_does_not_repeat_what_ended_the_process(self, run):
        result = run("@given(n=st.integers())\ndef test_a(student, n):\n    student.die()\n")
        assert outcomes(result) == [CRASHED]
        assert (run.loads, run.ends) == (1, 1)

    @pytest.mark.parametrize(
        ("error", "outcome"),
        [(StudentTimeout("no answer within 20 seconds"), TIMEOUT), (StudentCrashed("its process ended"), CRASHED)],
    )
    def test_a_notebook_that_cannot_be_loaded_is_tried_once(self, run, error, outcome):
        def load(session):
            raise error

        result = run(
            "def test_a(student): pass\ndef test_b(student): pass\n"
            "@given(n=st.integers())\ndef test_c(student, n): pass\n",
            load=load,
            explain_end=lambda count: "exit code 3" if count == 1 else "",
        )
        assert outcomes(result) == [outcome] * 3
        reason = " (exit code 3)" if outcome is CRASHED else ""
        assert {record.message for record in result.results} == {f"Loading the notebook: {error}{reason}."}
        assert run.loads == 1
        assert result.remarks == ()


class TestWhatIsRun:
    THREE = "def test_a(student): pass\ndef test_b(student): assert False\ndef test_c(student): pass\n"

    def test_everything_in_the_order_of_the_file(self, run):
        result = run(self.THREE)
        assert [record.name for record in result.results] == ["test_a", "test_b", "test_c"]
        assert outcomes(result) == [PASSED, FAILED, PASSED]

    def test_only_what_is_asked_for(self, run):
        result = run(self.THREE, only=frozenset({"test_c", "test_a"}))
        assert [record.name for record in result.results] == ["test_a", "test_c"]
        assert "did not run" in run(self.THREE, only=frozenset({"test_x"})).problem

    def test_stop_at_the_first_that_does_not_pass(self, run):
        result = run(self.THREE, stop_at_first=True)
        assert outcomes(result) == [PASSED, FAILED, SKIPPED]
        assert result.results[2].message == "Not run: an earlier check has already decided."
        assert result.results[2].title == "test_c"

    def test_the_time_for_the_whole_notebook(self, run, monkeypatch):
        clock = Clock(monkeypatch)
        checks = (
            "@points(1)\ndef test_a(student):\n    assert_equal(student.double(1), 2)\n"
            "@points(2)\n@visible\ndef test_b(student):\n"
            "    'Comes too late.'\n    raise AssertionError('was run')\n"
            "@points(2)\n@given(n=st.integers())\ndef test_c(student, n):\n    raise AssertionError('was run')\n"
        )
        result = run(checks, total_seconds=60, load=clock.advancing(self.connect, 61))
        assert outcomes(result) == [PASSED, SKIPPED, SKIPPED]
        late = result.results[1]
        assert (late.message, late.title, late.points, late.max_points) == (BUDGET_SPENT, "Comes too late.", 0, 2)
        assert late.visible
        assert "test_b" not in result.traces

    def test_time_that_is_just_enough(self, run, monkeypatch):
        clock = Clock(monkeypatch)
        checks = "def test_a(student):\n    student.double(1)\ndef test_b(student): pass\n"
        assert outcomes(run(checks, total_seconds=60, load=clock.advancing(self.connect, 59))) == [PASSED, PASSED]

    @staticmethod
    def connect(session: Session) -> list[str]:
        session.transport = InProcess(session, SOLUTION)
        return []


class TestHypothesis:
    def test_the_smallest_example_is_in_the_message(self, run):
        record = only_record(
            run(
                "@points(1)\n@given(number=st.integers(0, 1000), other=st.lists(st.integers()))\n"
                "def test_it(student, rng, number, other):\n    assert_equal(student.small_only(number), 2 * number)\n"
            )
        )
        assert record.outcome is FAILED
        first, second, *_, last = record.message.splitlines()
        assert first == "Called: small_only(7)"
        assert second == "The result is 7; it should be 14."
        assert last == "Smallest example found: number=7, other=[]"

    def test_an_explicit_example_is_in_the_message_too(self, run):
        record = only_record(
            run(
                "@points(1)\n@given(number=st.integers(0, 5))\n@example(number=12)\n"
                "def test_it(student, number):\n    assert_equal(student.small_only(number), 2 * number)\n"
            )
        )
        assert record.message.endswith("Smallest example found: number=12")

    def test_what_the_submission_raises_is_told_for_the_smallest_example(self, run):
        record = only_record(run("@given(n=st.integers(3, 9))\ndef test_it(student, n):\n    student.refuse(n)\n"))
        assert record.outcome is FAILED
        assert record.message.startswith("refuse(3) raised ValueError: no 3\n")
        assert record.message.endswith("Smallest example found: n=3")

    def test_a_submission_that_wavers_fails_and_the_check_is_not_blamed(self, run):
        record = only_record(
            run("@given(n=st.integers(1, 9))\ndef test_it(student, n):\n    assert_equal(student.wavering(n), 2 * n)\n")
        )
        assert record.outcome is FAILED
        assert "The result is -1; it should be" in record.message
        assert record.message.endswith("The next time, the same check came out differently.")

    def test_twenty_examples_without_a_deadline_or_a_database(self, run, tmp_path):
        result = run("@given(n=st.integers())\ndef test_it(student, n):\n    student.echo(n)\n")
        assert 10 < len(result.traces["test_it"]) <= 20
        assert not list(tmp_path.rglob(".hypothesis"))


class TestSeeds:
    CHECKS = """
def test_drawn(student, rng):
    student.echo(rng.integers(10**9, size=4))

def test_drawn_elsewhere(student, rng):
    student.echo(rng.integers(10**9, size=4))

def test_told(student, seed):
    student.echo(seed)

@given(n=st.integers())
def test_found(student, n):
    student.echo(n)
"""

    def traces(self, run, seed):
        result = run(self.CHECKS, seed=seed)
        assert outcomes(result) == [PASSED] * 4
        traces = result.traces
        return {
            "drawn": traces["test_drawn"][0].tolist(),
            "elsewhere": traces["test_drawn_elsewhere"][0].tolist(),
            "told": traces["test_told"],
            "found": traces["test_found"],
        }

    def test_one_seed_gives_the_same_inputs(self, run):
        assert self.traces(run, 5) == self.traces(run, 5)

    def test_another_seed_gives_other_inputs(self, run):
        first, second = self.traces(run, 5), self.traces(run, 6)
        assert all(first[name] != second[name] for name in first)
        assert (first["told"], second["told"]) == ([5], [6])

    def test_two_checks_draw_differently(self, run):
        traces = self.traces(run, 5)
        assert traces["drawn"] != traces["elsewhere"]

    def test_inputs_do_not_depend_on_the_checks_that_are_run(self, run):
        whole = run(self.CHECKS, seed=5).traces["test_drawn_elsewhere"][0].tolist()
        alone = run(self.CHECKS, seed=5, only=frozenset({"test_drawn_elsewhere"}))
        assert alone.traces["test_drawn_elsewhere"][0].tolist() == whole
