"""A hidden check in the notebook's own kernel, as nbgrader runs it: the same verdicts, and nothing left behind."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
from hypothesis import core

from grader.checking.in_kernel import run_check
from grader.course import CourseError, load_course

ROOT = Path(__file__).resolve().parents[2]
_numbers = itertools.count()

CHECKS = '''
import numpy as np
from hypothesis import given, strategies as st
from grader.checking import *

@visible
@points(1)
def test_doubles(student):
    """One becomes two."""
    assert_equal(student.double(1), 2)

@points(1)
@given(n=st.integers(0, 100))
def test_doubles_everything(student, n):
    """Everything is doubled."""
    assert_equal(student.double(n), 2 * n)

@points(1)
def test_pair(student):
    """A pair is a plain tuple."""
    pair = student.pair()
    assert type(pair) is tuple and pair == (3, 4)

@points(1)
def test_layer(student):
    """A layer can be made, called and looked at."""
    layer = student.Layer(3)
    assert_equal([layer(2), layer.width, len(layer)], [6, 3, 3])

@points(1)
def test_probe(student):
    """A probe runs beside the submission."""
    def twice(student, x):
        return student.double(student.double(x))
    assert_equal(student.run(twice, 1), 4)

@points(1)
def test_drawn(student, rng):
    """What is drawn depends on the seed."""
    student.keep(int(rng.integers(10**9)))
'''
NOTEBOOK = """
from collections import namedtuple

Pair = namedtuple("Pair", "x y")
kept = []

def double(x):
    return 2 * x

def pair():
    return Pair(3, 4)

def keep(x):
    kept.append(x)

class Layer:
    def __init__(self, width):
        self.width = width

    def __call__(self, x):
        return self.width * x

    def __len__(self):
        return self.width
"""


@pytest.fixture(autouse=True)
def _hypothesis_as_before():
    """A run of checks sets hypothesis up for the whole process; put that back for the other tests."""
    hypothesis.settings.register_profile("before", hypothesis.settings.default)
    seed = core.global_force_seed
    yield
    hypothesis.settings.load_profile("before")
    core.global_force_seed = seed


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Runs a check of a small course on a notebook's names."""
    slug = f"small_{next(_numbers)}"  # pytest imports a name once for all
    (tmp_path / "course.toml").write_text(
        'schema = 1\n[course]\nname = "small"\ntitle = "Small"\nversion = "1"\n'
        '[[topics]]\nid = "topic"\ntitle = "Topic"\n'
        f'[[exercises]]\nid = "topic/{slug}"\ntitle = "Small"\nkind = "coding"\nframework = "numpy"\n'
        'difficulty = 1\nminutes = 5\npoints = 6\nforbidden = ["math.hypot"]\n'
    )
    path = tmp_path / "tests" / "checks" / "topic" / f"test_{slug}.py"
    path.parent.mkdir(parents=True)
    path.write_text(CHECKS)
    monkeypatch.setenv("COURSE_ROOT", str(tmp_path))

    def check(name: str, changed: str = "", **settings) -> dict:
        names: dict = {"__name__": "__main__"}
        exec(NOTEBOOK + changed, names)
        before = dict(names)
        run_check(f"topic/{slug}", name, names, **settings)
        assert names == before
        return names

    return check


def message_of(check, name: str, changed: str) -> str:
    with pytest.raises(AssertionError) as caught:
        check(name, changed)
    return str(caught.value)


@pytest.fixture(scope="module")
def names():
    """What the reference of metrics/classification defines."""
    source = load_course(ROOT).exercise("metrics/classification").reference_path.read_text(encoding="utf-8")
    names: dict = {"__name__": "__main__"}
    exec(compile(source, "reference", "exec"), names)
    return names


class TestTheReference:
    @pytest.mark.parametrize("name", ["test_worked_example", "test_claims", "test_bad_input_is_refused"])
    def test_passes(self, names, name, monkeypatch):
        monkeypatch.setenv("COURSE_ROOT", str(ROOT))
        run_check("metrics/classification", name, names)

    def test_a_wrong_one_is_told_what_is_wrong(self, names, monkeypatch):
        monkeypatch.setenv("COURSE_ROOT", str(ROOT))
        wrong = {**names, "claims": {**names["claims"], "micro_f1": False}}
        with pytest.raises(AssertionError, match="Not all 8 claims are right"):
            run_check("metrics/classification", "test_claims", wrong)


@pytest.mark.parametrize(
    "name", ["test_doubles", "test_doubles_everything", "test_pair", "test_layer", "test_probe", "test_drawn"]
)
def test_what_is_right_passes(check, name):
    check(name)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        (
            "test_doubles",
            "def double(x): return 3 * x",
            "One becomes two.\nCalled: double(1)\nThe result is 3; it should be 2.",
        ),
        ("test_doubles", "def double(x): raise ValueError('no')", "One becomes two.\ndouble(1) raised ValueError: no"),
        ("test_doubles", "def double(x): raise NotImplementedError", "One becomes two.\ndouble(1) is not written yet"),
        ("test_doubles", "def double(x): raise SystemExit(3)", "One becomes two.\ndouble(1) raised SystemExit: 3"),
        ("test_doubles", "dubble = double; del double", "The notebook defines no `double`. It does define `dubble`"),
        ("test_doubles_everything", "def double(x): return 2 * min(x, 7)", "Smallest example found: n=8"),
        ("test_doubles", "def double(x): return 2**50_000", "double(1) raised WireError: an integer of 50001 bits"),
        ("test_probe", "def double(x): return x", "Called: the check's twice(1)\nThe result is 1; it should be 4."),
        ("test_layer", "class Layer: pass", "Layer() takes no arguments"),
    ],
)
def test_what_is_wrong_is_told_what_is_wrong(check, name, changed, message):
    assert message in message_of(check, name, changed)


def test_only_the_named_check_runs(check):
    names = check("test_doubles", "calls = []\ndef double(x):\n    calls.append(x)\n    return 2 * x")
    assert names["calls"] == [1]


def test_the_seed_is_the_same_each_time_unless_given(check):
    drawn = [check("test_drawn", **settings)["kept"] for settings in ({}, {}, {"seed": 1})]
    assert drawn[0] == drawn[1] != drawn[2]


def test_an_exercise_or_a_check_that_does_not_exist(check):
    with pytest.raises(CourseError, match="no exercise 'topic/absent'"):
        run_check("topic/absent", "test_doubles", {})
    with pytest.raises(AssertionError, match="The checks did not run"):
        check("test_absent")


class TestForbiddenNames:
    USES_IT = "import math\ndef double(x):\n    return math.hypot(0, 2 * x)\n"

    @pytest.mark.parametrize(
        "changed", [USES_IT, "def double(x): raise ValueError", ""], ids=["used", "error", "right"]
    )
    def test_they_are_refused_within_a_call_and_restored_afterwards(self, check, changed):
        original = math.hypot
        if changed:
            message = message_of(check, "test_doubles", changed)
            assert ("ForbiddenCall: math.hypot is not allowed in this exercise" in message) == (changed == self.USES_IT)
        else:
            check("test_doubles")
        assert math.hypot is original and math.hypot(3, 4) == 5

    def test_a_whole_library_comes_back_as_it_was(self, monkeypatch):
        pytest.importorskip("sklearn.metrics")
        monkeypatch.setenv("COURSE_ROOT", str(ROOT))
        before = sys.modules["sklearn.metrics"], sys.modules["sklearn"].metrics
        names: dict = {}
        exec(
            "def classification_metrics(y_true, y_pred, n_classes=None):\n"
            "    from sklearn.metrics import accuracy_score\n"
            "    return {'accuracy': accuracy_score(y_true, y_pred)}\n",
            names,
        )
        with pytest.raises(AssertionError, match="ForbiddenCall: sklearn.metrics is not allowed in this exercise"):
            run_check("metrics/classification", "test_worked_example", names)
        assert (sys.modules["sklearn.metrics"], sys.modules["sklearn"].metrics) == before
        assert before[0].accuracy_score([1, 0], [1, 1]) == 0.5


def test_nothing_is_left_beside_the_notebook(tmp_path):
    """In a kernel of its own: where hypothesis writes is decided once a process."""
    code = (
        "from pathlib import Path\n"
        "from grader.checking.in_kernel import run_check\n"
        f"names = {{'__name__': '__main__'}}\n"
        f"exec(Path({str(load_course(ROOT).exercise('metrics/classification').reference_path)!r}).read_text(), names)\n"
        "run_check('metrics/classification', 'test_classes_that_do_not_occur_count_as_promised', names)\n"
    )
    environment = {**os.environ, "COURSE_ROOT": str(ROOT), "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert list(tmp_path.iterdir()) == []
