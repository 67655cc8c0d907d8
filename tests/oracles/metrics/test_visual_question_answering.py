"""metrics/visual_question_answering against regular expressions, closed forms and values worked out by hand."""

import re
import string
from itertools import combinations
from pathlib import Path

import jupytext
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.metrics import visual_question_answering as lesson
from reference.metrics.visual_question_answering import ARTICLES, NUMBERS, normalize_answer, vqa_accuracy

PIECES = [
    "the",
    "A",
    "an",
    "Two",
    "ten",
    "tone",
    "1.5",
    "it's",
    "5",
    "x",
    "theatre",
    *string.punctuation,
    " ",
    "\t",
    "é",
]


def normalised_by_expressions(s: str) -> str:
    """The same rules with lookarounds; for ASCII digits and the letters that \\w knows."""
    text = re.sub(r"(?<![0-9])\.|\.(?![0-9])", " ", s.lower())
    text = re.sub(r"(?<![^\W\d_])'|'(?![^\W\d_])", " ", text)
    text = re.sub(r"[" + re.escape(string.punctuation.replace(".", "").replace("'", "")) + "]", " ", text)
    for number, word in enumerate(NUMBERS):
        text = re.sub(rf"(?<!\S){word}(?!\S)", str(number), text)
    text = re.sub(rf"(?<!\S)({'|'.join(ARTICLES)})(?!\S)", " ", text)
    return " ".join(text.split())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_normalisation_equals_regular_expressions(pieces):
    raw = "".join(pieces)
    assert normalize_answer(raw) == normalised_by_expressions(raw)
    assert normalize_answer(normalize_answer(raw)) == normalize_answer(raw)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20))
def test_normalisation_is_idempotent_for_any_text(raw):
    once = normalize_answer(raw)
    assert normalize_answer(once) == once


def test_ten_annotators_by_hand():
    answers = [["yes"] * matches + ["no"] * (10 - matches) for matches in range(11)]
    np.testing.assert_allclose(vqa_accuracy(["Yes."] * 11, answers), [0, 0.3, 0.6, 0.9, *[1] * 7], rtol=1e-12)


@pytest.mark.parametrize("annotators", [2, 3, 4, 5, 7, 12])
def test_scores_equal_the_closed_form_and_the_subsets(annotators):
    for matches in range(annotators + 1):
        given_answers = ["red"] * matches + ["blue"] * (annotators - matches)
        (score,) = vqa_accuracy(["red"], [given_answers])
        left_in, left_out = min(matches / 3, 1), min(max(matches - 1, 0) / 3, 1)
        closed = ((annotators - matches) * left_in + matches * left_out) / annotators
        subsets = [min(s.count("red") / 3, 1) for s in combinations(given_answers, annotators - 1)]
        assert score == pytest.approx(closed, rel=1e-12, abs=1e-15)
        assert score == pytest.approx(np.mean(subsets), rel=1e-12, abs=1e-15)


def test_more_matches_never_lower_the_score():
    scores = [vqa_accuracy(["a"], [["a"] * matches + ["b"] * (8 - matches)])[0] for matches in range(9)]
    assert scores == sorted(scores)


def test_cases_of_the_errata():
    assert normalize_answer("The A-team") == "team"
    assert normalize_answer("don\u2019t") == "don\u2019t"
    np.testing.assert_allclose(vqa_accuracy([""], [["the", "cat"]]), [1 / 6])


def test_worked_example_of_the_lesson():
    assert normalize_answer("The cat's 4.5 kg; two a day!") == "cat's 4.5 kg 2 day"
    scores = vqa_accuracy(["the cat"], [["cat", "A cat.", "kitten", "Cat!", "dog"]])
    np.testing.assert_allclose(scores, [0.8])


def test_claims_that_are_arithmetic():
    answers = ["red"] * 4 + ["dark red"] * 4 + ["pink"] * 2
    np.testing.assert_allclose(vqa_accuracy(["red", "dark red", "crimson"], [answers] * 3), [1, 1, 0])
    assert vqa_accuracy(["red"], [["red"] * 3 + ["blue"] * 7])[0] == pytest.approx(0.9)


def test_bad_input():
    for predictions, answers in ((["a"], []), (["a"], [["a"]]), (["a"], [[]])):
        with pytest.raises(ValueError):
            vqa_accuracy(predictions, answers)
    assert vqa_accuracy([], []).shape == (0,)


@pytest.mark.parametrize("tag", ["visible-checks"])
def test_cells_of_the_notebook_run(tag):
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if tag in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], tag, "exec"), dict(vars(lesson)))
