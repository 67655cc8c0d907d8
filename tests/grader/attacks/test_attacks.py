"""No attack succeeds: each is tried on the real engine, on a copy of the course, beside honest neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from grader.course import load_course
from grader.sandbox.confinement import missing_protections
from tests.grader.attacks import notebooks
from tests.grader.attacks.arena import Arena, open_arena, snapshot
from tests.grader.attacks.catalogue import ATTACKS
from tests.grader.attacks.model import Attack
from tests.grader.attacks.notebooks import NotebookAttack
from tests.grader.attacks.outcome import MEBIBYTE, Outcome
from tests.grader.attacks.table import Row

OWN_MAY_GROW = 600 * MEBIBYTE  # two attacks at a time, and the largest message that one of them can cause

pytestmark = pytest.mark.skipif(
    bool(missing_protections(load_course().allow_degraded)), reason="this machine cannot confine a student's code"
)


def _parameters(attacks: tuple[Attack, ...]) -> list[object]:
    return [
        pytest.param(
            attack,
            id=attack.id,
            marks=pytest.mark.xfail(reason=attack.known, strict=False) if attack.known else (),
        )
        for attack in attacks
    ]


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with open_arena() as opened:
        yield opened


@pytest.fixture(scope="module")
def before(arena: Arena) -> dict[str, tuple[object, ...]]:
    return snapshot(arena.place)


@pytest.fixture(scope="module")
def outcomes(
    arena: Arena, before: dict[str, tuple[object, ...]], request: pytest.FixtureRequest, rows: list[Row]
) -> dict[str, Outcome]:
    """The outcomes of all attacks that were asked for; they run side by side before the first of them is judged."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    chosen = {id(value): value for item in items for value in item.callspec.params.values()}
    attacks = [attack for attack in ATTACKS if id(attack) in chosen]
    found = {outcome.attack.id: outcome for outcome in arena.run_all(attacks)}
    rows += [found[attack.id].row for attack in attacks]
    return found


@pytest.mark.parametrize("attack", _parameters(ATTACKS))
def test_the_attack_fails(attack: Attack, outcomes: dict[str, Outcome]) -> None:
    faults = outcomes[attack.id].faults()
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("attack", [pytest.param(attack, id=attack.id) for attack in notebooks.ATTACKS])
def test_the_notebook_does_no_harm(attack: NotebookAttack, arena: Arena, rows: list[Row]) -> None:
    row, faults = notebooks.run(arena, attack)
    rows.append(row)
    assert not faults, "\n".join(faults)


def test_honest_neighbours_got_their_points(arena: Arena, outcomes: dict[str, Outcome]) -> None:
    arena.settle()
    assert arena.honest_runs, "no honest submission ran beside the attacks"
    assert not arena.harmed, "\n".join(arena.harmed)


def test_nothing_outside_has_changed(
    arena: Arena, before: dict[str, tuple[object, ...]], outcomes: dict[str, Outcome]
) -> None:
    changed = snapshot(arena.place).items() ^ before.items()
    assert not changed, sorted(name for name, _ in changed)


def test_no_process_and_no_directory_is_left(arena: Arena, outcomes: dict[str, Outcome]) -> None:
    arena.settle()
    expected = [outcome for outcome in outcomes.values() if outcome.attack.known]  # their faults are told above
    assert not set(arena.strangers()) - {process for outcome in expected for process in outcome.processes_left}
    left = {outcome.attack.id: outcome.directories_left for outcome in outcomes.values() if outcome not in expected}
    assert not any(left.values()), left


def test_the_graders_own_memory_stays_bounded(arena: Arena, outcomes: dict[str, Outcome]) -> None:
    assert arena.own_growth < OWN_MAY_GROW, f"it grew by {arena.own_growth / MEBIBYTE:.0f} MB"
