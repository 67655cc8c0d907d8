"""The table of attacks at the end of a test run."""

from __future__ import annotations

import pytest

from tests.grader.attacks.table import Row, render

ROWS = pytest.StashKey[list[Row]]()


def pytest_configure(config: pytest.Config) -> None:
    """A place for the rows."""
    config.stash[ROWS] = []


@pytest.fixture(scope="session")
def rows(pytestconfig: pytest.Config) -> list[Row]:
    """The table's rows, to be added to."""
    return pytestconfig.stash.setdefault(ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    found = config.stash.get(ROWS, [])
    if found:
        terminalreporter.section("attacks")
        for line in render(found):
            terminalreporter.write_line(line)
