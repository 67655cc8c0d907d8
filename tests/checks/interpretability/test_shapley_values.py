"""Hidden checks of interpretability/shapley_values. Games and models live in the student's process (see the probes)."""

from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import (
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


# Independent path: walk through all orders of arrival. A coalition is a bit mask, a game is an array indexed by it.


def shapley_by_orders(table):
    """Mean gain of each player over all orders; `table` is (2**players,) or (2**players, outputs)."""
    n_players = len(table).bit_length() - 1
    gains = np.zeros((n_players, *table.shape[1:]))
    orders = list(permutations(range(n_players)))
    for order in orders:
        present = 0
        for player in order:
            gains[player] += table[present | 1 << player] - table[present]
            present |= 1 << player
    return gains / len(orders)


def tabulate(predict, x, background, groups):
    """Value of every coalition of groups, one background row and one feature at a time."""
    values = []
    for mask in range(2 ** len(groups)):
        present = {feature for player, group in enumerate(groups) if mask >> player & 1 for feature in group}
        total = 0.0
        for row in background:
            mixed = [x[feature] if feature in present else row[feature] for feature in range(len(x))]
            total = total + predict(np.array(mixed, dtype=np.float64))
        values.append(total / len(background))
    return np.array(values)


def random_network(rng, width, outputs=None):
    """Weights of a small tanh network: not additive, with interactions of all orders."""
    hidden = 6
    readout_shape = (hidden,) if outputs is None else (hidden, outputs)
    weights = rng.normal(size=(width, hidden)), rng.normal(size=hidden), rng.normal(size=readout_shape)

    def predict(row):
        return np.tanh(row @ weights[0] + weights[1]) @ weights[2]

    return weights, predict


# Probes: they run in the student's process and return plain data.


def divide_tabulated_game(student, table, n_players):
    def value_fn(coalition):
        return table[sum(1 << int(player) for player in coalition)]

    return student.game_shapley(value_fn, n_players)


def divide_additive_game(student, gains):
    return student.game_shapley(lambda coalition: 1.0 + sum(gains[int(player)] for player in coalition), len(gains))


def divide_named_game(student, table, names):
    import numpy as np

    calls = []

    def value_fn(coalition):
        mask = sum(1 << names.index(name) for name in coalition)
        calls.append(mask)
        return float(table[mask])

    phi = student.modality_shapley(value_fn, list(names))
    return sorted(phi), np.array([float(phi[name]) for name in names]), calls


def ask_feature_game(student, weights, x, background, players, coalition):
    import numpy as np

    def predict(rows):
        return np.tanh(rows @ weights[0] + weights[1]) @ weights[2]

    return np.asarray(student.feature_game(predict, x, background, players)(frozenset(coalition)))


def explain_features(student, weights, x, background):
    import numpy as np

    def predict(rows):
        return np.tanh(rows @ weights[0] + weights[1]) @ weights[2]

    phi, base = student.shapley_values(predict, x, background)
    return phi, np.asarray(base), x, background


def explain_groups(student, weights, x, background, groups):
    import numpy as np

    def predict(rows):
        return np.tanh(rows @ weights[0] + weights[1]) @ weights[2]

    phi = student.group_shapley(predict, x, background, groups)
    return sorted(phi), np.array([phi[name] for name in sorted(groups)], dtype=np.float64)


def share_out(student, phi, groups):
    import numpy as np

    shares = student.modality_shares(phi, groups)
    return sorted(shares), np.array([float(shares[name]) for name in sorted(groups)])


def run_visible_example(student):
    import numpy as np

    def product(rows):
        return rows[:, 0] * rows[:, 1]

    sample, rows = [3, 5], [[0, 0], [2, 4]]
    three = student.game_shapley(lambda coalition: 6 * (len(coalition) == 3) + 2 * (0 in coalition), 3)
    one = student.feature_game(product, sample, rows, [[0], [1]])(frozenset({1}))
    phi, base = student.shapley_values(product, sample, rows)
    grouped = student.group_shapley(product, sample, rows, {"text": [1], "image": [0]})
    named = student.modality_shapley(
        lambda coalition: 8.0 * ({"text", "image"} <= set(coalition)), ["text", "image", "audio"]
    )
    shares = student.modality_shares([3, -1, -4], {"text": [0, 1], "image": [2]})
    importance = student.global_importance([[1, -4], [-3, 2]])
    results = {
        "game_shapley": three,
        "feature_game": one,
        "phi of shapley_values": phi,
        "base of shapley_values": base,
        "group_shapley": [grouped["text"], grouped["image"]],
        "modality_shapley": [named["text"], named["image"], named["audio"]],
        "modality_shares": [shares["text"], shares["image"]],
        "global_importance": importance,
    }
    keys = [sorted(grouped), sorted(named), sorted(shares)]
    return {name: np.asarray(value, dtype=np.float64) for name, value in results.items()}, keys


def call_with_product(student, name, *arguments):
    import numpy as np

    return np.shape(getattr(student, name)(lambda rows: np.prod(rows, axis=1), *arguments))


def call_with_nan_model(student, x, background):
    import numpy as np

    return np.shape(student.shapley_values(lambda rows: np.full(len(rows), np.nan), x, background)[0])


def divide_named_constants(student, names, values_by_size):
    return len(student.modality_shapley(lambda coalition: values_by_size[len(coalition)], names))


@points(1)
@visible
def test_small_examples_worked_by_hand(student):
    """The small examples of the notebook come out as worked by hand."""
    results, keys = student.run(run_visible_example)
    expected_keys = [["image", "text"], ["audio", "image", "text"], ["image", "text"]]
    assert_equal(keys, expected_keys, what="keys of group_shapley, modality_shapley and modality_shares")
    expected = {
        "game_shapley": [4, 2, 2],
        "feature_game": 5,
        "phi of shapley_values": [6, 5],
        "base of shapley_values": 4,
        "group_shapley": [5, 6],
        "modality_shapley": [4, 4, 0],
        "modality_shares": [0.5, 0.5],
        "global_importance": [2, 3],
    }
    for name, value in expected.items():
        assert_close(results[name], np.array(value, dtype=np.float64), **CLOSE, what=name)


@points(1)
@catches("outputs-averaged")
def test_outputs_of_the_model_keep_their_own_axis(student, rng):
    """One row of attributions for each feature, one column and one base for each output, all in float64."""
    x, background = rng.normal(size=4), rng.normal(size=(5, 4))
    for outputs, tail in ((None, ()), (3, (3,))):
        weights, _ = random_network(rng, 4, outputs)
        phi, base, _, _ = student.run(explain_features, weights, x, background)
        assert_shape(phi, (4, *tail), what=f"phi for a model with outputs {tail}")
        assert_dtype(phi, np.float64, what="phi")
        assert_shape(base, tail, what=f"base for a model with outputs {tail}")
    importance = student.global_importance(rng.normal(size=(6, 4)))
    assert_shape(importance, (4,), what="global_importance of phi (6, 4)")
    assert_dtype(importance, np.float64, what="global_importance")


@points(2)
@catches("leave-one-out", "alone", "banzhaf")
def test_gains_are_averaged_over_all_orders_of_arrival(student, rng):
    """A player receives the mean of its gains over all orders in which the players can arrive."""
    for n_players, tail in ((4, ()), (5, (2,)), (1, ())):
        # Random values: interactions of all orders, and nobody is worth something too.
        table = rng.normal(size=(2**n_players, *tail))
        phi = student.run(divide_tabulated_game, table, n_players)
        assert_close(
            phi,
            shapley_by_orders(table),
            **CLOSE,
            what=f"game_shapley of a random game of {n_players} players",
            cause="the weights of the coalitions: they depend on the coalition's size and sum to 1 for each player",
        )
    gains = rng.normal(size=12)
    phi = student.run(divide_additive_game, gains)
    assert_close(phi, gains, **CLOSE, what="game_shapley of an additive game of 12 players")


@points(1)
@catches("one-order", "unnormalised-weights")
@given(game_seed=st.integers(0, 2**32 - 1), n_players=st.integers(3, 5))
def test_the_four_axioms_hold(student, game_seed, n_players):
    """The values add up, equal players get equal values, a dummy gets what it brings, and the division is linear."""
    generator = np.random.default_rng(game_seed)
    free = generator.normal(size=2**n_players)
    structured = free.copy()  # players 0 and 1 become interchangeable, the last one always brings `bonus`
    bonus = generator.normal()
    last = n_players - 1
    for mask in range(2**n_players):
        core = mask & ~(1 << last)
        if core & 3 == 2:  # player 1 without player 0: same value as player 0 without player 1
            core ^= 3
        structured[mask] = free[core] + bonus * (mask >> last & 1)
    scale, weight = generator.normal(size=2)
    phi = {
        name: student.run(divide_tabulated_game, table, n_players)
        for name, table in (("free", free), ("structured", structured), ("mix", scale * free + weight * structured))
    }
    for name, values in phi.items():
        assert_shape(values, (n_players,), what=f"values of the {name} game")
    for name, table in (("free", free), ("structured", structured)):
        gain = table[-1] - table[0]
        assert_close(phi[name].sum(), gain, **CLOSE, what=f"sum of the values of the {name} game (efficiency)")
    first, second = phi["structured"][:2]
    assert_close(second, first, **CLOSE, what="value of player 1, interchangeable with player 0 (symmetry)")
    assert_close(phi["structured"][last], bonus, **CLOSE, what="value of a player that always brings the same (dummy)")
    mix = scale * phi["free"] + weight * phi["structured"]
    assert_close(phi["mix"], mix, **CLOSE, what="values of a weighted sum of two games (linearity)")


@points(1)
@catches("zero-baseline", "background-mean", "background-overwritten", "integers-truncated")
def test_absent_features_come_from_every_background_row(student, rng):
    """Absent features take the values of each background row in turn, and the predictions are averaged."""
    x, background = rng.normal(size=4), rng.normal(size=(5, 4)) + 0.7
    singles = [[0], [1], [2], [3]]
    weights, predict = random_network(rng, 4)
    value = student.run(ask_feature_game, weights, x, background, [[0], [1, 3], [2]], [1])
    table = tabulate(predict, x, background, [[0], [1, 3], [2]])
    assert_close(value, table[2], **CLOSE, what="value of the player that brings features 1 and 3")

    integers = rng.integers(-3, 4, size=(5, 4))
    for outputs, rows in ((None, background), (3, background[:1]), (None, integers)):
        weights, predict = random_network(rng, 4, outputs)
        table = tabulate(predict, x, rows, singles)
        phi, base, x_after, rows_after = student.run(explain_features, weights, x.copy(), rows.copy())
        what = f"of shapley_values with a background of {rows.dtype} {rows.shape}"
        cause = "what absent features are replaced by, or the mean taken before f instead of after it"
        assert_close(base, table[0], **CLOSE, what=f"base {what}", cause=cause)
        assert_close(phi, shapley_by_orders(table), **CLOSE, what=f"phi {what}", cause=cause)
        assert_unchanged(x, x_after, what="x")
        assert_unchanged(rows, rows_after, what="background")


@points(1)
@catches("group-sum", "limit-counts-features")
def test_a_group_joins_as_one_player(student, rng):
    """The players of the grouped game are the groups: their features come and go together."""
    for groups, outputs in (
        ({"text": [3, 0], "image": [1, 5, 4], "audio": [2]}, None),
        ({"text": [0], "image": [3, 1, 2]}, 2),
        ({"text": list(range(9)), "image": list(range(9, 13)), "audio": [13]}, None),
    ):
        width = sum(len(features) for features in groups.values())
        x, background = rng.normal(size=width), rng.normal(size=(4, width))
        weights, predict = random_network(rng, width, outputs)
        names, values = student.run(explain_groups, weights, x, background, groups)
        assert_equal(names, sorted(groups), what="keys of group_shapley")
        table = tabulate(predict, x, background, [groups[name] for name in sorted(groups)])
        assert_close(
            values,
            shapley_by_orders(table),
            **CLOSE,
            what=f"group_shapley of {width} features in {len(groups)} groups, in the order {names}",
            cause="a sum of feature values is another division: here a whole group is one player",
        )


@points(1)
@catches("asks-again")
def test_each_coalition_of_modalities_is_asked_for_once(student, rng):
    """The value of a coalition of modalities is asked for at most once, and the names get their own values."""
    for names in (["text", "image", "audio", "layout"], ["video", "text", "depth"]):
        table = rng.normal(size=2 ** len(names))
        keys, values, calls = student.run(divide_named_game, table, names)
        assert_equal(keys, sorted(names), what="keys of modality_shapley")
        assert_close(values, shapley_by_orders(table), **CLOSE, what=f"modality_shapley in the order {names}")
        most = max(calls.count(mask) for mask in calls)
        assert_equal(
            most,
            1,
            what=f"number of calls of value_fn for one coalition ({len(calls)} calls for {2 ** len(names)} coalitions)",
            cause="values are computed again, not kept; if a value is an accuracy, each call is a whole evaluation",
        )


@points(1)
@catches("first-sample", "signed-shares", "absolute-after-sum")
def test_summaries_use_magnitudes_over_all_samples(student, rng):
    """Attributions of opposite sign do not cancel in a summary, and every sample counts."""
    phi = rng.normal(size=(5, 6)) + 0.1
    importance = student.global_importance(phi)
    expected = [sum(abs(float(phi[sample, feature])) for sample in range(5)) / 5 for feature in range(6)]
    assert_close(importance, np.array(expected), **CLOSE, what="global_importance of phi (5, 6)")

    groups = {"text": [0, 4, 3], "image": [5, 1], "audio": [2]}
    local = np.abs(phi[0]) * [1, -1, -1, -1, 1, 1]  # signs differ within text and within image
    names, shares = student.run(share_out, local, groups)
    assert_equal(names, sorted(groups), what="keys of modality_shares")
    magnitudes = {name: sum(abs(float(local[feature])) for feature in groups[name]) for name in groups}
    expected = np.array([magnitudes[name] / sum(magnitudes.values()) for name in names])
    assert_close(shares, expected, **CLOSE, what=f"modality_shares in the order {names}")


@points(1)
@catches("uniform-shares-of-nothing", "groups-unchecked")
def test_impossible_inputs_are_refused(student, rng):
    """Games, groups and attributions that make no sense raise ValueError."""
    x, background = rng.normal(size=3), rng.normal(size=(4, 3))
    phi = rng.normal(size=3)
    with raises(ValueError):  # nothing to share
        student.modality_shares(np.zeros(3), {"text": [0, 1], "image": [2]})
    for groups in ({"text": [0], "image": [2]}, {"text": [0, 1], "image": [1, 2]}, {"text": [0, 1], "image": [2, 3]}):
        with raises(ValueError):  # a feature is missing, twice in, or not there
            student.run(call_with_product, "group_shapley", x, background, groups)
        with raises(ValueError):
            student.modality_shares(phi, groups)
    for bad_x, bad_background in (
        (rng.normal(size=13), rng.normal(size=(2, 13))),  # too many features
        (x, rng.normal(size=(4, 2))),  # another width
        (x, np.zeros((0, 3))),  # no rows
        (x, background[0]),  # one axis
        (x[None], background),  # two axes
    ):
        with raises(ValueError):
            student.run(call_with_product, "shapley_values", bad_x, bad_background)
    with raises(ValueError):  # no mean over no rows
        student.run(ask_feature_game, random_network(rng, 3)[0], x, np.zeros((0, 3)), [[0], [1, 2]], [1])
    with raises(ValueError):
        student.run(call_with_nan_model, x, background)
    for n_players in (0, 13):
        with raises(ValueError):
            student.run(divide_additive_game, np.ones(n_players))
    for names, values_by_size in (
        ([], [1.0]),
        (["text", "image", "text"], [0.0, 1.0, 2.0, 3.0]),
        ([f"sensor {index}" for index in range(13)], [float(size) for size in range(14)]),
        (["text", "image"], [0.0, float("inf"), 2.0]),
    ):
        with raises(ValueError):
            student.run(divide_named_constants, names, values_by_size)
    with raises(ValueError):
        student.modality_shares(np.array([1.0, np.nan, 2.0]), {"text": [0, 1], "image": [2]})
    with raises(ValueError):  # one output of one sample is asked for
        student.modality_shares(np.ones((3, 2)), {"text": [0, 1], "image": [2]})
    for bad_phi in (phi, np.zeros((0, 3))):
        with raises(ValueError):
            student.global_importance(bad_phi)
