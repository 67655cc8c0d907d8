"""The reference of schedules/range_test against pandas' average, a closed-form curve and the laws that it obeys."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.schedules import range_test as lesson
from reference.schedules.range_test import lr_range_suggestion, scale_lr


def logistic(rates, centre, width=0.6):
    return 3 - 2.5 / (1 + (rates / centre) ** (-1 / width))


def test_a_logistic_curve_falls_fastest_at_its_centre():
    rates = np.logspace(-6, 0, 61)
    assert lr_range_suggestion(rates, logistic(rates, 1e-3)) == pytest.approx(1e-3, rel=1e-12)
    assert lr_range_suggestion(rates, logistic(rates, 1e-3), beta=0.9) > 1.5e-3  # the lag of the average


def test_the_average_is_that_of_pandas():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    for beta in (0.0, 0.4, 0.9):
        rates = np.exp(np.cumsum(rng.uniform(0.1, 0.4, 50)) - 12)
        losses = logistic(rates, 1e-3) + rng.normal(size=50) * 0.1
        smooth = pandas.Series(losses).ewm(alpha=1 - beta, adjust=True).mean().to_numpy()
        expected = rates[np.gradient(smooth, np.log(rates)).argmin()]
        assert lr_range_suggestion(rates, losses, beta, divergence=math.inf) == expected


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(8, 80), min_size=3, max_size=20),
    st.integers(0, 3).map(lambda quarters: quarters / 4),
    st.floats(1e-3, 1e3),
    st.integers(1, 50),
)
def test_laws_of_the_suggestion(eighths, beta, factor, shift):
    losses = np.array(eighths) / 8
    rates = 2.0 ** np.arange(len(losses))
    slopes = np.sort(np.gradient(losses, np.log(rates)))
    if slopes[1] - slopes[0] < 1e-9:
        return  # a tie that rounding decides
    options = {"beta": beta, "divergence": math.inf}
    suggestion = lr_range_suggestion(rates, losses, **options)
    assert suggestion in rates
    assert lr_range_suggestion(rates * factor, losses, **options) == pytest.approx(suggestion * factor)
    if beta == 0:
        assert lr_range_suggestion(rates, losses + shift, **options) == suggestion


def test_the_tail_after_the_divergence_plays_no_part():
    losses = [3.0, 2.9, 2.3, 2.0, 9.0, 1.0]
    rates = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    assert lr_range_suggestion(rates, losses) == 1e-3  # the lesson's table
    for tail in ([9.0, 0.1], [math.nan, 0.1], [math.inf, -5.0]):
        assert lr_range_suggestion(rates, losses[:4] + tail) == 1e-3
    assert lr_range_suggestion(rates, losses, divergence=math.inf) == 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 4096), st.sampled_from(["sgd", "adam"]))
def test_scaling_composes_and_adam_is_the_root_of_sgd(first, second, third, optimizer):
    once = scale_lr(1e-3, first, third, optimizer)
    assert scale_lr(scale_lr(1e-3, first, second, optimizer), second, third, optimizer) == pytest.approx(once)
    assert scale_lr(1.0, first, second, "adam") ** 2 == pytest.approx(scale_lr(1.0, first, second, "sgd"))


@pytest.mark.parametrize(
    "arguments",
    [
        ([1, 2], [3, 2]),
        ([1, 2, 3], [3, 2]),
        ([3, 2, 1], [3, 2, 1]),
        ([0, 1, 2], [3, 2, 1]),
        ([1, 2, math.inf], [3, 2, 1]),
        ([1, 2, 3], [3, 2, math.nan]),
        ([1, 2, 3], [3, 2, 9]),
        ([1, 2, 3], [3, 2, 1], 1.0),
        ([1, 2, 3], [3, 2, 1], 0.0, 1.0),
        ([1, 2, 3], [3, 2, 1], math.nan),
    ],
)
def test_suggestion_refuses(arguments):
    with pytest.raises(ValueError):
        lr_range_suggestion(*arguments)


@pytest.mark.parametrize("arguments", [(0.0, 1, 2, "sgd"), (0.1, 0, 2, "sgd"), (0.1, 1, 2, "rmsprop")])
def test_scaling_refuses(arguments):
    with pytest.raises(ValueError):
        scale_lr(*arguments)


def test_the_claim_about_bert():
    assert all(rate / 1e-4 > 0.15 for rate in (2e-5, 3e-5, 5e-5)) and lesson.claims["bert_is_a_tenth"] is False


def test_a_slow_climb_ends_the_curve_too():
    rates = np.geomspace(1e-6, 1, 14)
    losses = [4.0, 3.0, 1.5, 1.9, 2.4, 3.0, 3.8, 4.8, 5.9, 7.0, 8.5, 10.0, 4.0, 3.0]  # 7 is the first above 4 * 1.5
    assert lr_range_suggestion(rates, losses) == lr_range_suggestion(rates[:9], losses[:9]) == rates[1]
    assert lr_range_suggestion(rates[:7], [2.0, 1.75, 1.5, 1.0, 4.0, 0.5, 0.25]) == rates[5]  # 4 is not more than 4 * 1


def test_the_cells_of_the_lesson_run_with_the_reference(capsys):
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cells = re.findall(r'# %% tags=\[(?:"visible-checks", )?"active-ipynb"\]\n((?:#.*\n)+)', text)
    assert len(cells) == 2
    for cell in cells:
        exec(re.sub(r"(?m)^# ?", "", cell), {**vars(lesson)})
    lowest, raw, smoothed, lagging = (float(line.split()[-1]) for line in capsys.readouterr().out.splitlines())
    assert 1e-3 < smoothed < 2e-3 < lagging < lowest and raw > 1e-2
