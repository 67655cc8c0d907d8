"""`python -m tests.grader.attacks [ID…]`: try attacks and print the table."""

from __future__ import annotations

import sys
import time

from tests.grader.attacks import notebooks
from tests.grader.attacks.arena import open_arena, snapshot
from tests.grader.attacks.catalogue import ATTACKS
from tests.grader.attacks.outcome import MEBIBYTE
from tests.grader.attacks.table import render


def main() -> int:
    """Try the attacks named on the command line, or all of them."""
    chosen = [attack for attack in ATTACKS if not sys.argv[1:] or attack.id in sys.argv[1:]]
    started = time.monotonic()
    with open_arena() as arena:
        before = snapshot(arena.place)
        found = {outcome.attack.id: outcome for outcome in arena.run_all(chosen)}
        outcomes = [found[attack.id] for attack in chosen]
        changed = snapshot(arena.place).items() ^ before.items()
        rows = [outcome.row for outcome in outcomes]
        if not sys.argv[1:]:
            rows += [notebooks.run(arena, attack)[0] for attack in notebooks.ATTACKS]
        arena.settle()
        print("\n".join(render(rows)), f"\n{time.monotonic() - started:.0f} seconds")
        for outcome in outcomes:
            for fault in outcome.faults():
                print(f"{outcome.attack.id}: {fault}"[:400])
        print(f"{arena.honest_runs} honest submissions beside them; harmed: {arena.harmed or 'none'}")
        print(f"files changed: {sorted(name for name, _ in changed) or 'none'}")
        largest = max(outcomes, key=lambda outcome: outcome.checker_memory)
        print(f"the grader's own process grew by {arena.own_growth / MEBIBYTE:.0f} MB, ", end="")
        print(f"one that checks by up to {largest.checker_memory / MEBIBYTE:.0f} MB ({largest.attack.id})")
        return int(any(outcome.faults() and not outcome.attack.known for outcome in outcomes) or bool(changed))


if __name__ == "__main__":
    sys.exit(main())
