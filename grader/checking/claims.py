"""Judging a table of true/false claims: all or nothing, so that guessing earns nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from grader.checking.comparison import Mismatch

# Not even how many are right: with one claim changed a time, that number would give away all of them.
NOT_ALL_RIGHT = (
    "Not all {count} claims are right. All of them must be, or none count, so that guessing earns nothing: think again "
    "about the one whose reason you could not explain to somebody."
)


def assert_claims(claims: object, truth: Mapping[str, bool]) -> None:
    """Fail unless `claims` gives every claim of `truth` its value; the message says neither which nor how many."""
    if not isinstance(claims, dict):
        raise Mismatch(f"claims should be a dict from claim to True or False; it is {type(claims).__name__}.")
    answers = {name: claims.get(name) for name in truth}
    open_claims = [name for name, answer in answers.items() if answer is None]
    if open_claims:
        raise Mismatch(f"{len(open_claims)} of {len(truth)} claims have no answer yet: {', '.join(open_claims)}.")
    strange = [name for name, answer in answers.items() if not isinstance(answer, bool | np.bool_)]
    if strange:
        raise Mismatch(f"The claim {strange[0]} should be True or False; it is {type(answers[strange[0]]).__name__}.")
    if any(bool(answers[name]) is not value for name, value in truth.items()):
        raise Mismatch(NOT_ALL_RIGHT.format(count=len(truth)))
