"""Judging a table of true/false claims: all or nothing, so that guessing earns nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from grader.checking.comparison import Mismatch

ALL_OR_NOTHING = "all of them must be, or none count, so that guessing earns nothing"


def assert_claims(claims: object, truth: Mapping[str, bool]) -> None:
    """Fail unless `claims` gives every claim of `truth` its value. The message never says which are wrong."""
    if not isinstance(claims, dict):
        raise Mismatch(f"claims should be a dict from claim to True or False; it is {type(claims).__name__}.")
    answers = {name: claims.get(name) for name in truth}
    open_claims = [name for name, answer in answers.items() if answer is None]
    if open_claims:
        raise Mismatch(f"{len(open_claims)} of {len(truth)} claims have no answer yet: {', '.join(open_claims)}.")
    strange = [name for name, answer in answers.items() if not isinstance(answer, bool | np.bool_)]
    if strange:
        raise Mismatch(f"The claim {strange[0]} should be True or False; it is {type(answers[strange[0]]).__name__}.")
    right = sum(bool(answers[name]) is value for name, value in truth.items())
    if right != len(truth):
        raise Mismatch(f"{right} of {len(truth)} claims are right; {ALL_OR_NOTHING}.")
