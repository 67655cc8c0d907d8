"""The catalogue of wrong answers: how entries become programs, and what is said about a file that is not in order."""

from __future__ import annotations

import ast
import re

import pytest

from grader.catalogue import Alternative, CatalogueError, WrongAnswer, apply_change, load_catalogue
from grader.course import load_course

REFERENCE = "import math\n\ndef f(x):\n    return math.sqrt(x) / 2\n\nKEPT = 1\n"


def wrong(**change) -> WrongAnswer:
    return WrongAnswer("wrong", "title", "explanation", "test_f", **change)


def value_of(source: str, argument: float = 16.0) -> float:
    names: dict = {}
    exec(source, names)
    assert names["KEPT"] == 1
    return names["f"](argument)


class TestApplyChange:
    def test_a_substitution(self):
        source = apply_change(wrong(swap=((" / 2", " * 2"),)), REFERENCE)
        assert source == REFERENCE.replace(" / 2", " * 2")
        assert value_of(source) == 8

    def test_several_substitutions_follow_one_another(self):
        entry = Alternative("other", "title", swap=(("math.sqrt(x)", "x ** 0.25 * 3"), ("* 3", "* 1")))
        assert value_of(apply_change(entry, REFERENCE)) == 1

    def test_definitions_take_the_place_of_the_references(self):
        source = apply_change(wrong(code="def f(x):\n    return math.floor(x)\n"), REFERENCE)
        assert source.startswith(REFERENCE)
        assert value_of(source, 2.5) == 2

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({}, "wrong: neither `swap` nor `code` is given"),
            ({"swap": (("cube", "x"),)}, "wrong: the text 'cube' occurs 0 times in the reference; it must occur once"),
            ({"swap": (("x", "y"),)}, "occurs 2 times in the reference"),
            ({"swap": ((" / 2", ""), (" / 2", ""))}, "occurs 0 times"),
            ({"swap": ((" / 2", " / 2"),)}, "wrong: `swap` changes nothing"),
            ({"swap": ((" / 2", " * 2"), (" * 2", " / 2"))}, "wrong: `swap` changes nothing"),
        ],
    )
    def test_what_does_not_apply(self, change, said):
        with pytest.raises(CatalogueError, match=re.escape(said)):
            apply_change(wrong(**change), REFERENCE)


GOOD = """
from grader.catalogue import Alternative, WrongAnswer

wrong_answers = [WrongAnswer(id="a", title="t", explanation="e", caught_by="test_f", code="x = 1")]
alternatives = [Alternative(id="b", title="t", code="x = 2"), Alternative("c", "t", (("x", "y"),))]
equivalent_mutants = {"line 3": "no difference"}
"""


@pytest.fixture
def load(tmp_path):
    def load(text: str):
        path = tmp_path / "exercise.py"
        path.write_text(text, encoding="utf-8")
        return load_catalogue(path)

    return load


class TestLoading:
    def test_a_good_file(self, load):
        catalogue = load(GOOD)
        assert [entry.id for entry in catalogue.wrong_answers] == ["a"]
        assert [entry.id for entry in catalogue.alternatives] == ["b", "c"]
        assert catalogue.equivalent_mutants == {"line 3": "no difference"}

    def test_lists_may_be_left_out(self, load):
        catalogue = load("")
        assert (catalogue.wrong_answers, catalogue.alternatives, catalogue.equivalent_mutants) == ((), (), {})

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (GOOD.replace('"b"', '"a"'), "ids used twice: a"),
            (GOOD.replace('"c"', '"b"'), "ids used twice: b"),
            (GOOD.replace("[WrongAnswer(", "[dict("), "wrong_answers holds a dict, not a WrongAnswer"),
            (GOOD.replace("[Alternative(id", "[3, Alternative(id"), "alternatives holds a int, not a Alternative"),
            (GOOD + "alternatives = wrong_answers", "alternatives holds a WrongAnswer"),
            (GOOD.replace('caught_by="test_f", ', ""), "cannot be run: TypeError"),
            (GOOD.replace("explanation=", "reason="), "cannot be run: TypeError"),
            ("import no_such_module_anywhere", "cannot be run: ModuleNotFoundError"),
            ("wrong_answers = [", "cannot be run: SyntaxError"),
        ],
    )
    def test_a_bad_file_is_named_with_the_reason(self, load, text, said):
        with pytest.raises(CatalogueError) as caught:
            load(text)
        assert "exercise.py: " in str(caught.value)
        assert said in str(caught.value)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(CatalogueError, match="absent.py: no catalogue of wrong answers"):
            load_catalogue(tmp_path / "absent.py")

    def test_two_files_of_one_name_are_two(self, tmp_path):
        for number in (1, 2):
            path = tmp_path / str(number) / "same.py"
            path.parent.mkdir()
            path.write_text(GOOD.replace('"a"', f'"a{number}"'))
        ids = [load_catalogue(tmp_path / str(number) / "same.py").wrong_answers[0].id for number in (1, 2)]
        assert ids == ["a1", "a2"]


@pytest.mark.parametrize("exercise", load_course().exercises, ids=lambda exercise: exercise.id)
def test_the_courses_own_entries_apply_and_differ(exercise):
    """Whether they are right or wrong is for `course verify` to say; here, that each is a program of its own."""
    reference = exercise.reference_path.read_text(encoding="utf-8")
    catalogue = load_catalogue(exercise.catalogue_path)
    sources = [apply_change(entry, reference) for entry in (*catalogue.wrong_answers, *catalogue.alternatives)]
    assert len(set(sources)) == len(sources) > 5
    for source in sources:
        ast.parse(source)
