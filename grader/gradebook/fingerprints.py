"""Fingerprints of programs by winnowing, so that long common passages are found whatever stands around them.

Schleimer, Wilkerson and Aiken (2003), Winnowing: local algorithms for document fingerprinting, SIGMOD.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from grader.gradebook.normalised_code import CodeToken

PIECE = 10  # tokens: about one statement; nothing shorter is ever compared
WINDOW = 4
# A passage this long is never missed, which is the guarantee of winnowing: PIECE + WINDOW - 1.
ALWAYS_FOUND = PIECE + WINDOW - 1

Segments = Sequence[Sequence[CodeToken]]


def piece_hashes(segment: Sequence[CodeToken]) -> list[int]:
    """Hashes of all runs of `PIECE` tokens, in order; the same in every process."""
    texts = [token.text for token in segment]
    return [_hash(texts[start : start + PIECE]) for start in range(len(texts) - PIECE + 1)]


def all_hashes(segments: Segments) -> frozenset[int]:
    """Hashes of all runs: what is to be recognised completely, such as code that was handed out."""
    return frozenset(value for segment in segments for value in piece_hashes(segment))


def fingerprints(segments: Segments) -> dict[int, tuple[int, int]]:
    """The selected hashes, each with the first and last line of its first place."""
    found: dict[int, tuple[int, int]] = {}
    for segment in segments:
        hashes = piece_hashes(segment)
        for place in winnow(hashes):
            if hashes[place] not in found:
                lines = [token.line for token in segment[place : place + PIECE]]
                found[hashes[place]] = (min(lines), max(lines))
    return found


def winnow(hashes: Sequence[int], window: int = WINDOW) -> list[int]:
    """Places of the smallest hash in every window, the rightmost of equal ones, each place once."""
    chosen: list[int] = []
    rising: deque[int] = deque()  # places of the window whose hash is below all that follow
    for place, value in enumerate(hashes):
        while rising and hashes[rising[-1]] >= value:
            rising.pop()
        rising.append(place)
        if rising[0] <= place - window:
            rising.popleft()
        if (place >= window - 1 or place == len(hashes) - 1) and (not chosen or chosen[-1] != rising[0]):
            chosen.append(rising[0])
    return chosen


def _hash(texts: Iterable[str]) -> int:
    digest = blake2b("\x1f".join(texts).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")
