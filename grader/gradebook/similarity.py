"""Which submissions of one exercise are more alike than is usual there. Reported, never scored. No I/O.

Short solutions of one task are alike of necessity. So what was handed out, what the reference and the catalogue do, and
what many of the class wrote count for nothing, and what few wrote counts the more, the fewer they are.
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grader.gradebook.fingerprints import all_hashes, fingerprints
from grader.gradebook.normalised_code import normalised_segments
from grader.notebooks.magics import UnparsableError, parse_cell

if TYPE_CHECKING:
    import numpy as np

FEWEST_SUBMISSIONS = 6  # with fewer, nobody can say what is usual
USUAL_SHARE = 1 / 3  # what more of the class wrote is usual, and counts for nothing
LEAST_EVIDENCE = 16.0  # shared fingerprints that only two have: about 40 tokens of code, four or five statements
LEAST_SIMILARITY = 0.5
MOST_PAIRS = 20_000  # of one exercise, those with the most evidence
FAR_OUT = 3.0  # Tukey's outer fence, in interquartile ranges above the upper quartile
CELL_BREAK = "\n\n"
_BLOCK = 1024  # fingerprints multiplied at once, which bounds memory


@dataclass(frozen=True)
class SubmittedCode:
    """What one student wrote for one exercise, cell by cell. `sha256` is that of the file."""

    student: str
    cells: tuple[str, ...]
    sha256: str = ""


@dataclass(frozen=True)
class _Program:
    """A submission's cells as one text that parses."""

    student: str
    code: str
    sha256: str


@dataclass(frozen=True)
class Passage:
    """Code of one student, and which of its lines (from 1) hold what the two have in common."""

    code: str
    lines: frozenset[int]


@dataclass(frozen=True)
class SimilarPair:
    """Two submissions that are alike.

    `similarity` is the share of the unusual code of the shorter one that is in the other, each fingerprint weighted by
    its rarity; `shared` counts the fingerprints, `evidence` is the sum of their weights. Only the closest pair of a
    group has `passages`.
    """

    exercise: str
    students: tuple[str, str]
    similarity: float
    shared: int
    evidence: float
    same_file: bool
    passages: tuple[Passage, Passage] | None = None


@dataclass(frozen=True)
class SimilarGroup:
    """Students connected by similar pairs, with the pair that is most alike first."""

    exercise: str
    students: tuple[str, ...]
    pairs: tuple[SimilarPair, ...]


@dataclass(frozen=True)
class ExerciseSimilarity:
    """The similar pairs of one exercise, most evidence first.

    `compared` submissions were read and parsed, `left_out` could not be. `usual` is the similarity that three quarters
    of all pairs stay below, `bound` what a pair had to exceed; both None where nothing was compared.
    """

    exercise: str
    compared: int
    left_out: int = 0
    usual: float | None = None
    bound: float | None = None
    pairs: tuple[SimilarPair, ...] = ()

    @property
    def groups(self) -> tuple[SimilarGroup, ...]:
        """The pairs put together into groups, those with the most evidence first."""
        leaders: dict[str, str] = {}

        def leader(student: str) -> str:
            while leaders.setdefault(student, student) != student:
                leaders[student] = leaders[leaders[student]]
                student = leaders[student]
            return student

        for pair in self.pairs:
            leaders[leader(pair.students[0])] = leader(pair.students[1])
        groups: dict[str, list[SimilarPair]] = {}
        for pair in self.pairs:
            groups.setdefault(leader(pair.students[0]), []).append(pair)
        return tuple(
            SimilarGroup(self.exercise, tuple(sorted({name for pair in pairs for name in pair.students})), tuple(pairs))
            for pairs in groups.values()
        )


def known_hashes(sources: Iterable[str]) -> frozenset[int]:
    """Hashes of code that nobody in the class invented; sources that do not parse are left out."""
    found: set[int] = set()
    for source in sources:
        try:
            found |= all_hashes(normalised_segments(parse_cell(source)[1]))
        except UnparsableError:
            continue
    return frozenset(found)


def compare(
    exercise: str, submissions: Sequence[SubmittedCode], known: frozenset[int] = frozenset(), left_out: int = 0
) -> ExerciseSimilarity:
    """Compare all submissions of one exercise with each other; `known` is what counts for nothing."""
    read: list[_Program] = []
    prints: list[dict[int, tuple[int, int]]] = []
    for submission in submissions:
        parsed = _parse(submission.cells)
        if parsed is None:
            left_out += 1
            continue
        found = fingerprints(normalised_segments(parsed[1]))
        read.append(_Program(submission.student, parsed[0], submission.sha256))
        prints.append({value: lines for value, lines in found.items() if value not in known})
    if len(read) < FEWEST_SUBMISSIONS:
        return ExerciseSimilarity(exercise, len(read), left_out)
    weights = rarity(prints)
    return _similar_pairs(ExerciseSimilarity(exercise, len(read), left_out), read, prints, weights)


def _parse(cells: Sequence[str]) -> tuple[str, ast.Module] | None:
    """The cells as one program, without those that are not Python; None when none is."""
    with suppress(UnparsableError):
        return parse_cell(CELL_BREAK.join(cells))
    parsed = []
    for cell in cells:
        with suppress(UnparsableError):
            parsed.append(parse_cell(cell)[0])
    with suppress(UnparsableError):
        return parse_cell(CELL_BREAK.join(parsed)) if parsed else None
    return None


def rarity(prints: Sequence[Iterable[int]]) -> dict[int, float]:
    """The weight of every fingerprint: 1 where at most two have it, less where more do, 0 where it is usual.

    It is the logarithm of how many times rarer than the whole class, as in an inverse document frequency.
    """
    count = len(prints)
    owners = Counter(value for one in prints for value in one)
    full = math.log(count / 2)
    usual = max(count * USUAL_SHARE, 2)
    return {
        value: min(math.log(count / number) / full, 1.0) if number <= usual else 0.0 for value, number in owners.items()
    }


def _similar_pairs(
    result: ExerciseSimilarity,
    read: Sequence[_Program],
    prints: Sequence[dict[int, tuple[int, int]]],
    weights: dict[int, float],
) -> ExerciseSimilarity:
    import numpy as np

    count = len(read)
    totals = np.array([sum(weights[value] for value in one) for one in prints], dtype=np.float32)
    evidence = _shared_weights(prints, weights)
    least = np.minimum.outer(totals, totals)
    similarity = np.divide(evidence, least, out=np.zeros_like(evidence), where=least > 0)
    # The matrix is symmetric; without its diagonal, each pair is in it twice, which changes no quantile.
    pairs_twice = similarity.ravel()[1:].reshape(count - 1, count + 1)[:, :-1]
    lower, upper = np.quantile(pairs_twice, [0.25, 0.75])
    bound = max(LEAST_SIMILARITY, float(min(upper + FAR_OUT * (upper - lower), 0.95)))
    first, second = np.nonzero(np.triu((evidence >= LEAST_EVIDENCE) & (similarity >= bound), k=1))
    order = np.argsort(-evidence[first, second], kind="stable")[:MOST_PAIRS]
    pairs = []
    shown: set[int] = set()
    for a, b in zip(first[order].tolist(), second[order].tolist(), strict=True):
        # The closest pair of a group comes first, before anything else of its two. Only its code is ever shown.
        closest = not shown & {a, b}
        shown |= {a, b}
        pairs.append(_pair(result.exercise, (read[a], read[b]), (prints[a], prints[b]), weights, with_code=closest))
    return replace(result, usual=float(upper), bound=bound, pairs=tuple(pairs))


def _shared_weights(prints: Sequence[Iterable[int]], weights: dict[int, float]) -> np.ndarray:
    """For every two submissions, the sum of the weights of what both have."""
    import numpy as np

    owners: dict[int, list[int]] = {}
    for index, one in enumerate(prints):
        for value in one:
            if weights[value] > 0:
                owners.setdefault(value, []).append(index)
    common = [value for value, indices in owners.items() if len(indices) > 1]
    total = np.zeros((len(prints), len(prints)), dtype=np.float32)
    for start in range(0, len(common), _BLOCK):
        block = common[start : start + _BLOCK]
        has = np.zeros((len(prints), len(block)), dtype=np.float32)
        for column, value in enumerate(block):
            has[owners[value], column] = math.sqrt(weights[value])
        total += has @ has.T
    return total


def _pair(
    exercise: str,
    both: tuple[_Program, _Program],
    prints: tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]],
    weights: dict[int, float],
    *,
    with_code: bool,
) -> SimilarPair:
    shared = [value for value in prints[0] if value in prints[1] and weights[value] > 0]
    evidence = sum(weights[value] for value in shared)
    least = min(sum(weights[value] for value in one) for one in prints)
    return SimilarPair(
        exercise,
        (both[0].student, both[1].student),
        min(evidence / least, 1.0),
        len(shared),
        evidence,
        bool(both[0].sha256) and both[0].sha256 == both[1].sha256,
        (_passage(both[0], prints[0], shared), _passage(both[1], prints[1], shared)) if with_code else None,
    )


def _passage(program: _Program, lines: dict[int, tuple[int, int]], shared: Sequence[int]) -> Passage:
    spans = (range(lines[value][0], lines[value][1] + 1) for value in shared)
    return Passage(program.code, frozenset(line for span in spans for line in span))
