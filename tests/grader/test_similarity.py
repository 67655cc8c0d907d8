"""Similarity: a disguised copy is found, and independent solutions of one small task are left in peace."""

from __future__ import annotations

import ast
import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.catalogue import load_catalogue
from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import Course, load_course
from grader.gradebook.fingerprints import ALWAYS_FOUND, all_hashes, fingerprints, piece_hashes, winnow
from grader.gradebook.normalised_code import MAX_TOKENS, CodeToken, normalised_segments
from grader.gradebook.similarity import ExerciseSimilarity, SubmittedCode, compare, known_hashes, rarity
from grader.gradebook.submitted_code import compare_class
from grader.notebooks.submission import own_cells, read_stub, read_submission

ROOT = Path(__file__).parents[2]
SUBMITTED = ROOT / "tests" / "sample_class" / "submitted"

ORIGINAL = '''
import numpy as np

def confusion(truth, guess, classes):
    """Count."""
    table = np.zeros((classes, classes), dtype=int)
    for row, column in zip(truth, guess):
        table[row, column] += 1  # one more
    return table

def recall(table: np.ndarray) -> np.ndarray:
    hits = np.diag(table)
    total = table.sum(axis=1, keepdims=False)
    if (total == 0).any():
        raise ValueError("a class without examples")
    return hits / total
'''
DISGUISED = """
import numpy
# my own work
def recall(m):
    'Per class.'
    diagonal: object = numpy.diag(m)
    everything = m.sum(keepdims=True,
                       axis=0)
    print("here")
    if (everything == 7).any():
        raise ValueError(f"no {m}")
    return diagonal / everything


def confusion(y, p, k):
    out = numpy.zeros((k, k), dtype=int)
    pass
    for i, j in zip(y, p): out[i, j] += 2
    return out
"""
OTHERWISE = """
import numpy as np

def confusion(truth, guess, classes):
    pairs = np.asarray(truth) * classes + np.asarray(guess)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

def recall(table):
    return np.array([row[place] / sum(row) for place, row in enumerate(table)])
"""


@pytest.fixture(scope="module")
def course() -> Course:
    return load_course(ROOT)


def shapes(source: str) -> set[tuple[str, ...]]:
    return {tuple(token.text for token in segment) for segment in normalised_segments(ast.parse(source))}


def renamed(source: str) -> str:
    """The program with every name of its own changed, without comments, and laid out anew."""
    tree = ast.parse(source)
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in bound:
            node.id = f"z_{len(node.id)}_{node.id[::-1]}"
        if isinstance(node, ast.arg):
            node.arg = f"z_{len(node.arg)}_{node.arg[::-1]}"
    return ast.unparse(tree)


def independent(course: Course, exercise_id: str) -> list[SubmittedCode]:
    """Solutions of one exercise by different authors: the sample class, the reference and other correct answers."""
    exercise = course.exercise(exercise_id)
    stub = read_stub(exercise.stub_path)
    paths = [exercise.solution_path, *sorted(SUBMITTED.glob(f"*/{exercise_id}.ipynb"))]
    found = []
    for number, path in enumerate(paths):
        cells = own_cells(read_submission(path, stub=stub), stub)
        found.append(SubmittedCode(f"author {number}", cells))
    written = [entry.code for entry in load_catalogue(exercise.catalogue_path).alternatives if entry.code]
    return found + [SubmittedCode(f"alternative {number}", (code,)) for number, code in enumerate(written)]


def pairs(result: ExerciseSimilarity) -> list[tuple[str, str]]:
    return [pair.students for pair in result.pairs]


def test_a_disguise_does_not_change_the_shape() -> None:
    assert shapes(ORIGINAL) == shapes(DISGUISED)


def test_another_way_has_another_shape() -> None:
    assert not shapes(ORIGINAL) & shapes(OTHERWISE)
    assert shapes("x = np.exp(y)") != shapes("x = np.log(y)"), "what a library is asked for stays"
    assert shapes("x = len(y)") != shapes("x = sum(y)")


def test_winnowing_as_in_the_paper() -> None:
    hashes = [77, 74, 42, 17, 98, 50, 17, 98, 8, 88, 67, 39, 77, 74, 42, 17, 98]
    assert [(hashes[place], place) for place in winnow(hashes, 4)] == [(17, 3), (17, 6), (8, 8), (39, 11), (17, 15)]
    assert winnow([5, 3]) == [1] and winnow([]) == []


@given(
    st.lists(st.sampled_from("abcdef"), min_size=ALWAYS_FOUND, max_size=ALWAYS_FOUND + 20),
    st.lists(st.lists(st.sampled_from("abcdef"), max_size=30), min_size=4, max_size=4),
)
def test_a_common_passage_is_never_missed(passage: list[str], around: list[list[str]]) -> None:
    before, after, other_before, other_after = around
    first, second = (
        fingerprints([[CodeToken(text, 1) for text in [*start, *passage, *end]]])
        for start, end in ((before, after), (other_before, other_after))
    )
    assert first.keys() & second.keys()


def test_hashes_are_the_same_in_every_process() -> None:
    tokens = [CodeToken(letter, 1) for letter in "abcdefghij"]
    assert piece_hashes(tokens) == [10635108064775395651]


def test_rarity_falls_from_two_owners_to_what_is_usual() -> None:
    prints = [{1, 2, 3, 4} if number < 2 else {2, 3, 4} if number < 6 else {4} for number in range(16)]
    weights = rarity([{5}, *prints[1:]])
    assert weights[5] == weights[1] == 1.0
    assert weights[2] == weights[3] == pytest.approx(math.log(16 / 5) / math.log(8))
    assert weights[4] == 0.0


def test_a_disguised_copy_is_found_among_independent_solutions(course: Course) -> None:
    for exercise in ("metrics/classification", "attention/scaled_dot_product"):
        authors = independent(course, exercise)
        assert len(authors) >= 9
        assert pairs(compare(exercise, authors)) == [], "independent solutions are not reported"
        copied = next(author for author in authors if author.student == "alternative 0")
        result = compare(exercise, [*authors, SubmittedCode("copy", (renamed(copied.cells[0]),))])
        assert pairs(result) == [("alternative 0", "copy")]
        (pair,) = result.pairs
        assert pair.similarity > 0.9 and not pair.same_file
        assert result.usual is not None and result.bound is not None and result.usual < 0.3 <= result.bound


def test_the_common_lines_are_named(course: Course) -> None:
    authors = independent(course, "metrics/classification")
    mine = "\n".join(f"first_{number} = [{number}]" for number in range(3))
    copied = next(author for author in authors if author.student == "alternative 0").cells[0]
    result = compare("metrics/classification", [*authors, SubmittedCode("copy", (mine, copied))])
    assert result.pairs[0].passages is not None
    original, copy = result.pairs[0].passages
    assert copy.code.startswith("first_0") and {line + 4 for line in original.lines} == set(copy.lines)


def test_what_was_handed_out_or_is_in_the_catalogue_counts_for_nothing(course: Course) -> None:
    authors = independent(course, "metrics/classification")
    copied = next(author for author in authors if author.student == "alternative 0").cells[0]
    everybody = [*authors, SubmittedCode("copy", (renamed(copied),))]
    assert pairs(compare("x", everybody))
    assert pairs(compare("x", everybody, known_hashes([copied, "def broken("]))) == []


def test_what_a_third_of_the_class_wrote_is_usual() -> None:
    others = [SubmittedCode(f"other {number}", (unlike(number),)) for number in range(12)]
    for copies, reported in ((2, True), (4, True), (7, False)):
        group = [SubmittedCode(f"copy {number}", (ORIGINAL, OTHERWISE)) for number in range(copies)]
        result = compare("x", [*others, *group])
        assert bool(result.pairs) is reported, copies
        assert [len(found.students) for found in result.groups] == ([copies] if reported else [])


def unlike(number: int) -> str:
    """A program that shares no statement with those of other numbers."""
    return "\n".join(f"value_{line} = lib.f{number}_{line}(a.g{number}, b.h{line}, [c, d])" for line in range(12))


def test_groups_are_the_connected_pairs() -> None:
    one, two = (f"def f(a, b):\n    return lib.{x}(a, b)\n" + unlike(100 + i) for i, x in enumerate("pq"))
    class_ = [SubmittedCode(f"other {number}", (unlike(number),)) for number in range(12)]
    class_ += [SubmittedCode(name, (one,)) for name in ("ada", "bob", "cem")]
    class_ += [SubmittedCode(name, (two,), "same bytes") for name in ("dee", "eve")]
    groups = compare("x", class_).groups
    assert {group.students: len(group.pairs) for group in groups} == {("ada", "bob", "cem"): 3, ("dee", "eve"): 1}
    assert [group.pairs[0].same_file for group in groups] == [True, False]
    kept = [[pair.passages is not None for pair in group.pairs] for group in groups]
    assert kept == [[True], [True, False, False]], "the code of the closest two"


def test_few_submissions_are_not_compared() -> None:
    result = compare("x", [SubmittedCode(f"s{number}", (ORIGINAL,)) for number in range(5)])
    assert (result.compared, result.pairs, result.usual) == (5, (), None)


@pytest.mark.parametrize(
    "code",
    ["x = " + "+".join(["1"] * 5000), "a" + ".b" * 5000, "(" * 150 + ")" * 150, "x = [" + "f(1, y), " * 9000 + "]"],
)
def test_no_program_stops_the_comparison(code: str) -> None:
    others = [SubmittedCode(f"other {number}", (unlike(number),)) for number in range(6)]
    result = compare("x", [*others, SubmittedCode("odd", (code,))])
    assert result.compared + result.left_out == 7 and result.pairs == ()


def test_a_cell_that_is_no_python_costs_only_itself() -> None:
    others = [SubmittedCode(f"other {number}", (unlike(number),)) for number in range(6)]
    broken = SubmittedCode("ada", ("%matplotlib inline\nx = 1", "def broken(:", "%%bash\nls", unlike(50)))
    result = compare("x", [*others, broken, SubmittedCode("bob", (unlike(50),)), SubmittedCode("none", ("def (:",))])
    assert pairs(result) == [("ada", "bob")] and result.left_out == 1


def test_only_so_much_of_a_program_is_compared() -> None:
    segments = normalised_segments(ast.parse("x = [" + "f(1, y), " * 9000 + "]"))
    assert sum(map(len, segments)) == MAX_TOKENS and all_hashes(segments)


def test_a_class_is_read_again_from_its_notebooks(course: Course, tmp_path: Path) -> None:
    exercise = course.exercise("metrics/classification")
    sources = sorted(SUBMITTED.glob(f"*/{exercise.id}.ipynb"))
    records = []
    for number, source in enumerate([*sources, sources[0], *sources[:3]]):
        path = tmp_path / f"student {number}.ipynb"
        shutil.copy(source, path)
        digest = read_submission(path).sha256
        records.append(
            ResultRecord(f"s{number}", exercise.id, SubmissionStatus.GRADED, submission_hash=digest, source=str(path))
        )
    *_, gone, changed, linked = range(len(records))
    Path(records[gone].source).unlink()
    notebook = json.loads(Path(records[changed].source).read_text())
    Path(records[changed].source).write_text(json.dumps(notebook | {"nbformat_minor": 4}, indent=3))
    Path(records[linked].source).unlink()
    os.symlink(sources[2], records[linked].source)
    records.append(ResultRecord("nobody", exercise.id, SubmissionStatus.MISSING))
    records.append(ResultRecord("elsewhere", "no/such", SubmissionStatus.GRADED))
    (result,) = compare_class(records, course)
    assert (result.exercise, result.left_out) == (exercise.id, 3)
    assert result.compared == len(sources) + 1
    assert all(pair.same_file for pair in result.pairs)
    assert compare_class([replace(record, source="") for record in records], course)[0].compared == 0
