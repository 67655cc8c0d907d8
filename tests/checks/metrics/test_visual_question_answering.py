"""Checks of metrics/visual_question_answering. Scores are counted subset by subset, in fractions."""

from fractions import Fraction
from itertools import combinations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from grader.checking import (
    assert_claims,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "fields_are_tasks": False,
    "generates_everything": False,
    "three_of_ten": False,
    "several_right": True,
    "fluent_but_invented": True,
    "strings_not_meaning": True,
    "both_directions": True,
    "fid_sees_the_prompt": False,
}


def score_by_subsets(matches):
    """The mean of min(matches / 3, 1) over all subsets that lack one annotator."""
    subsets = list(combinations(matches, len(matches) - 1))
    return float(sum(min(Fraction(sum(subset), 3), Fraction(1)) for subset in subsets) / len(subsets))


def assert_normalised(student, cases, cause):
    for answer, expected in cases:
        assert_equal(
            student.normalize_answer(answer), expected, what=f"result of normalize_answer({answer!r})", cause=cause
        )


def assert_scores(student, predictions, answers, expected, what, cause=""):
    scores = student.vqa_accuracy(predictions, answers)
    assert_shape(scores, (len(predictions),), what=what, cause="the result has one score a question, not their mean")
    assert_dtype(scores, np.float64, what=what, cause="the scores come in a NumPy array of float64")
    assert_close(scores, np.array(expected, dtype=np.float64), what=what, cause=cause)


def arguments_after_the_call(student, predictions, answers):
    student.vqa_accuracy(predictions, answers)
    return predictions, answers


@points(1)
@visible
def test_worked_example(student):
    """The small examples in the notebook come out right."""
    assert_normalised(
        student,
        [("An apple, 2.5 pears & the Egg!", "apple 2.5 pears egg"), ("It's three o'clock.", "it's 3 o'clock")],
        "",
    )
    answers = [["2 dogs", "two dogs.", "three dogs", "2 cats"], ["blue", "red"]]
    assert_scores(student, ["Two dogs", "red"], answers, [1 / 2, 1 / 6], "result of vqa_accuracy")


@points(3)
@catches("claims-as-published", "metrics-overrated")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "articles-cut-out-of-words", "numbers-inside-words", "articles-kept", "number-words-kept", "split-at-single-spaces"
)
def test_whole_words_are_looked_up(student):
    """Articles are dropped and small numbers become digits as whole words only, whatever their case."""
    numbers = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    cases = [
        ("The Theatre", "theatre"),
        ("a banana and an Anchor", "banana and anchor"),
        ("TENNIS with someone, often at nine", "tennis with someone often at 9"),
        *((word.upper(), str(number)) for number, word in enumerate(numbers)),
        *((f"the {word} a", str(number)) for number, word in enumerate(numbers)),
        ("eleven twenty hundred", "eleven twenty hundred"),
        ("another other", "another other"),
        ("the a AN", ""),
        ("", ""),
        (" \t\n ", ""),
        ("  two \t red\nbuses ", "2 red buses"),
        ("10 Zero", "10 0"),
    ]
    assert_normalised(
        student, cases, "words are looked up after splitting; letters inside a longer word are not touched"
    )


@points(1)
@catches(
    "decimal-point-lost",
    "punctuation-deleted",
    "apostrophe-replaced",
    "apostrophes-all-kept",
    "points-kept",
    "pairs-of-digits-consumed",
    "letters-and-digits-kept",
    "words-before-punctuation",
    "words-by-regular-expression",
)
def test_punctuation_becomes_a_space_with_two_exceptions(student):
    """Punctuation becomes a space, except decimal points between digits and apostrophes between letters."""
    cases = [
        ("1.5", "1.5"),
        ("12.75 meters", "12.75 meters"),
        ("1.5m", "1.5m"),
        ("version 1.2.3", "version 1.2.3"),
        ("5.", "5"),
        (".5", "5"),
        ("x.5 and 5.x", "x 5 and 5 x"),
        ("1. 5", "1 5"),
        ("don't", "don't"),
        ("l'été", "l'été"),
        ("rock'n'roll", "rock'n'roll"),
        ("'quoted' dogs' 90's", "quoted dogs 90 s"),
        ("x'5 5'x", "x 5 5 x"),
        ("yes...no", "yes no"),
    ]
    cause = "a point stays only between two digits and an apostrophe only between two letters, directly beside it"
    assert_normalised(student, cases, cause)
    cases = [
        ("black/white", "black white"),
        ("3,000", "3 000"),
        ("ice-cream cone!?", "ice cream cone"),
        ("ice_cream", "ice cream"),
        ("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", ""),
        ("don\u2019t \u00bfpor qu\u00e9?", "don\u2019t \u00bfpor qu\u00e9"),
    ]
    cause = "the characters of string.punctuation, all of them and no others, become a space, not nothing"
    assert_normalised(student, cases, cause)
    cases = [("The A-team", "team"), ("two/three", "2 3"), ("one's own", "one's own"), ("the.5", "5")]
    cause = "words are looked up after the punctuation is gone, and a word is what stands between spaces"
    assert_normalised(student, cases, cause)


@points(1)
@catches("majority-answer", "all-annotators-at-once", "share-of-annotators", "ten-annotators-assumed", "not-cut-at-one")
@given(counts=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 7)), min_size=1, max_size=4))
@example(counts=[(matches, 10 - matches) for matches in range(11)])
@example(counts=[(1, 1), (2, 0), (0, 2), (3, 1), (4, 0)])
def test_scores_average_over_leaving_one_annotator_out(student, counts):
    """A score is the mean of min(matches / 3, 1) over the annotators that are left out in turn."""
    counts = [(matches, others + max(0, 2 - matches - others)) for matches, others in counts]
    predictions = [f"answer {question}" for question in range(len(counts))]
    answers = [
        [f"answer {question}"] * matches + [f"other {number}" for number in range(others)]
        for question, (matches, others) in enumerate(counts)
    ]
    expected = [score_by_subsets([True] * matches + [False] * others) for matches, others in counts]
    numbers = ", ".join(f"{matches} of {matches + others}" for matches, others in counts)
    cause = "each annotator is left out once; the matches are counted among the others only"
    what = f"result of vqa_accuracy for questions on which {numbers} annotators agree"
    assert_scores(student, predictions, answers, expected, what, cause)


@points(1)
@catches("nothing-normalised", "only-predictions-normalised")
def test_predictions_and_answers_are_both_normalised(student):
    """Predictions and human answers are brought into the same form before they are compared."""
    predictions = ["A Red, bus", "2", "yes", "the", "", "3.5", "3 5"]
    answers = [
        ["red bus", "the red bus!", "RED BUS", "bus"],
        ["Two", "two.", "2", "a two", "three"],
        ["Yes", "no"],
        ["", "an", "a cat"],
        ["the", "!", "...", "something"],
        ["3.5", "3,5", "35"],
        ["3,5", "3.5", "3-5"],
    ]
    matches = [[1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 0], [1, 1, 0], [1, 1, 1, 0], [1, 0, 0], [1, 0, 1]]
    expected = [score_by_subsets(row) for row in matches]
    cause = "a match is the same normalised string on both sides, also where nothing is left of either"
    assert_scores(student, predictions, answers, expected, "result of vqa_accuracy", cause)


@points(1)
@catches("first-annotator-counts")
@given(draw=st.integers(0, 2**32 - 1))
def test_laws_of_normalisation_and_score(student, draw):
    """Normalising twice changes nothing, annotators can change places, and one more match never lowers the score."""
    rng = np.random.default_rng(draw)
    pieces = ["The", "a", "Two", "tone", "1.5", "it's", "Cat", "ten", "..", "'", "9", "-", "\u00e9t\u00e9"]
    raw = "".join(rng.choice(pieces) + rng.choice(["", " ", ", ", ".", "'"]) for _ in range(6))
    once = student.normalize_answer(raw)
    twice = student.normalize_answer(once)
    assert_equal(twice, once, what=f"second normalisation of {raw!r}")

    answers = [str(rng.choice(["cat", "dog", "The cat", "cow"])) for _ in range(rng.integers(2, 9))]
    shuffled = [answers[i] for i in rng.permutation(len(answers))]
    more = list(answers)
    more[int(rng.integers(len(more)))] = "a cat"
    scores = student.vqa_accuracy(["cat"] * 3, [answers, shuffled, more])
    assert_shape(scores, (3,), what="result of vqa_accuracy")
    expected = [
        score_by_subsets([answer.lower().endswith("cat") for answer in row]) for row in (answers, shuffled, more)
    ]
    cause = "the score depends on the number of matches alone, not on who gave them"
    what = f"result of vqa_accuracy(['cat'] * 3, [{answers}, {shuffled}, {more}])"
    assert_close(scores, np.array(expected), what=what, cause=cause)


@points(1)
@catches("lengths-not-compared", "single-annotator-accepted")
def test_bad_input_is_refused(student):
    """Different lengths and fewer than two annotators raise ValueError; no questions give an empty array."""
    two = ["red", "blue"]
    for predictions, answers in (
        (["red"], [two, two]),
        (["red", "blue"], [two]),
        (["red"], []),
        ([], [two]),
        (["red"], [["red"]]),
        (["red"], [[]]),
        (["red", "blue"], [two, ["blue"]]),
    ):
        with raises(ValueError, what=f"vqa_accuracy({predictions}, {answers})"):
            student.vqa_accuracy(predictions, answers)
    assert_scores(student, [], [], [], "result of vqa_accuracy([], [])")

    arguments = ["Red", "the cat"], [["a Red", "red"], ["cat", "Dog", "cat"]]
    after = student.run(arguments_after_the_call, [*arguments[0]], [[*row] for row in arguments[1]])
    for name, left, right in zip(("predictions", "answers"), after, arguments, strict=True):
        assert_equal(left, right, what=f"argument {name} after the call", cause="the arguments stay as they were")
