"""The marks of a check: what it is worth, which wrong answers it must catch, whether students see it.

pytest is imported only where a mark is put on a test: much of the toolkit imports this package without running checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_Test = TypeVar("_Test", bound=Callable[..., Any])


def points(number: float) -> Callable[[_Test], _Test]:
    """Points for an explicit pass."""
    import pytest

    return pytest.mark.points(number)


def catches(*ids: str) -> Callable[[_Test], _Test]:
    """Ids of the catalogued wrong answers that this check must reject."""
    import pytest

    return pytest.mark.catches(*ids)


def visible(test: _Test) -> _Test:
    """Marks the check that students see in their notebook too."""
    import pytest

    return pytest.mark.visible(test)
