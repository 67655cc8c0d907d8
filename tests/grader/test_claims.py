"""Claims: all or nothing, and a message that says neither which nor how many are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from grader.checking import assert_claims

TRUTH = {"first": True, "second": False, "third": False}


def message(claims: object) -> str:
    with pytest.raises(AssertionError) as caught:
        assert_claims(claims, TRUTH)
    return str(caught.value)


@pytest.mark.parametrize("kind", [bool, np.bool_])
def test_all_right(kind: type) -> None:
    assert_claims({name: kind(value) for name, value in TRUTH.items()} | {"of my own": 3}, TRUTH)


def test_two_of_three_earn_nothing_and_one_of_three_is_told_the_same() -> None:
    said = message({**TRUTH, "second": True})
    assert said.startswith("Not all 3 claims are right. All of them must be")
    assert not any(name in said for name in TRUTH)
    assert said == message({**TRUTH, "second": True, "first": False})


def test_what_is_not_answered_is_named() -> None:
    assert message({"first": True, "second": None}) == "2 of 3 claims have no answer yet: second, third."


@pytest.mark.parametrize("answer", [1, "True", np.float64(1.0)])
def test_only_true_and_false_are_answers(answer: object) -> None:
    assert message({**TRUTH, "first": answer}).startswith("The claim first should be True or False; it is ")


@pytest.mark.parametrize("claims", [None, [True, False, False]])
def test_claims_are_a_table(claims: object) -> None:
    assert message(claims).startswith("claims should be a dict from claim to True or False")
