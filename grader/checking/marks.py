"""The marks of a check: what it is worth, which wrong answers it must catch, whether students see it."""

from __future__ import annotations

import pytest


def points(number: float) -> pytest.MarkDecorator:
    """Points for an explicit pass."""
    return pytest.mark.points(number)


def catches(*ids: str) -> pytest.MarkDecorator:
    """Ids of the catalogued wrong answers that this check must reject."""
    return pytest.mark.catches(*ids)


visible = pytest.mark.visible
