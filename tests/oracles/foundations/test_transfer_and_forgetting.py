"""The reference of foundations/transfer_and_forgetting against pandas, hand values and the laws of its four numbers."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.foundations import transfer_and_forgetting as lesson
from reference.foundations.transfer_and_forgetting import continual_metrics

KEYS = {"acc", "bwt", "fwt", "forgetting"}


@st.composite
def ledgers(draw):
    tasks = draw(st.integers(2, 6))
    eighths = st.integers(-800, 800).map(lambda number: number / 8)
    table = draw(st.lists(st.lists(eighths, min_size=tasks, max_size=tasks), min_size=tasks, max_size=tasks))
    return np.array(table), np.array(draw(st.lists(eighths, min_size=tasks, max_size=tasks)))


def test_values_by_hand():
    table = [[0.5, 0.2, 0.1], [0.7, 0.6, 0.3], [0.6, 0.5, 0.8]]
    expected = {"acc": 1.9 / 3, "bwt": 0.0, "fwt": 0.25, "forgetting": 0.1}
    assert continual_metrics(table, [0, 0, 0]) == pytest.approx(expected)
    table = np.array([[80, 40, 20], [84, 90, 30], [76, 60, 85]], dtype=np.uint8)  # the lesson's own example
    expected = {"acc": 221 / 3, "bwt": -17.0, "fwt": 22.5, "forgetting": 19.0}
    found = continual_metrics(table, np.array([25, 10, 15], dtype=np.uint8))
    assert found == pytest.approx(expected)
    assert all(type(value) is float for value in found.values())


def test_agrees_with_a_long_table_in_pandas():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    for tasks in (2, 3, 7):
        scores, baseline = rng.uniform(size=(tasks, tasks)), rng.uniform(size=tasks)
        stage, task = np.indices(scores.shape)
        rows = pandas.DataFrame({"stage": stage.ravel(), "task": task.ravel(), "score": scores.ravel()})
        last = rows[rows.stage == tasks - 1].set_index("task").score
        own = rows[rows.stage == rows.task].set_index("task").score
        before = rows[rows.stage == rows.task - 1].set_index("task").score
        best = rows[rows.stage < tasks - 1].groupby("task").score.max()
        old = range(tasks - 1)
        expected = {
            "acc": last.mean(),
            "bwt": (last - own)[old].mean(),
            "fwt": before.sub(pandas.Series(baseline)).dropna().mean(),
            "forgetting": (best - last)[old].mean(),
        }
        assert continual_metrics(scores, baseline) == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(ledgers(), st.integers(-50, 50))
def test_laws(case, shift):
    scores, baseline = case
    found = continual_metrics(scores, baseline)
    assert found.keys() == KEYS
    assert found["forgetting"] >= -found["bwt"] - 1e-12
    if len(scores) == 2:
        assert found["forgetting"] == -found["bwt"]

    shifted = continual_metrics(scores + shift, baseline + shift)
    assert shifted == pytest.approx(found | {"acc": found["acc"] + shift})
    assert continual_metrics(scores * 0.5, baseline * 0.5) == pytest.approx({k: v / 2 for k, v in found.items()})

    changed = baseline.copy()
    changed[0] += 7
    assert continual_metrics(scores, changed) == found  # the baseline of task 0 enters no number


def test_the_order_of_the_tasks_matters():
    scores, baseline = np.array([[9.0, 1.0], [5.0, 8.0]]), np.zeros(2)
    renamed = scores[::-1, ::-1]
    assert continual_metrics(scores, baseline)["bwt"] == -4.0
    assert continual_metrics(renamed, baseline)["bwt"] == -7.0


@pytest.mark.parametrize(
    "arguments",
    [
        ([[1.0]], [1.0]),
        ([], []),
        ([[1, 2], [3]], [1, 2]),
        ([[1, 2], [3, 4], [5, 6]], [1, 2, 3]),
        ([[1, 2], [3, 4]], [1, 2, 3]),
        ([[1, 2], [3, 4]], [[1], [2]]),
        ([[1, 2], [3, 4]], 1),
        ([[1, np.nan], [3, 4]], [1, 2]),
        ([[1, 2], [3, 4]], [-np.inf, 2]),
    ],
)
def test_refuses(arguments):
    with pytest.raises(ValueError):
        continual_metrics(*arguments)


def cells(tag):
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    found = re.findall(rf"^# %% tags=\[{tag}\]\n((?:#.*\n)+)", text, flags=re.MULTILINE)
    return [re.sub(r"^# ?", "", cell, flags=re.MULTILINE) for cell in found]


def test_the_visible_checks_of_the_lesson_hold():
    (code,) = cells('"visible-checks", "active-ipynb"')
    assert code.count("assert ") == 2
    exec(compile(code, "visible checks", "exec"), dict(vars(lesson)))


def test_the_demonstration_forgets_less_with_replay(capsys):
    (code,) = cells('"active-ipynb"')
    namespace = dict(vars(lesson), seen=[])
    namespace["continual_metrics"] = lambda *ledger: namespace["seen"].append(continual_metrics(*ledger)) or {}
    exec(compile(code, "demonstration", "exec"), namespace)
    without, with_replay = namespace["seen"]
    assert without["forgetting"] > with_replay["forgetting"] + 0.1
    assert "with replay" in capsys.readouterr().out
