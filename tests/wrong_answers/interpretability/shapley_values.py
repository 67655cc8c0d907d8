"""Wrong answers and differently written correct ones for interpretability/shapley_values."""

from grader.catalogue import Alternative, WrongAnswer

# The published answer calls `shap_values` on what `shap.Explainer` returns. Up to ten features that is an
# AttributeError, so it cannot be graded; from eleven on it runs and reports the first sample's values: the first entry.

GAMES = "test_gains_are_averaged_over_all_orders_of_arrival"
AXIOMS = "test_the_four_axioms_hold"
BACKGROUND = "test_absent_features_come_from_every_background_row"
GROUPS = "test_a_group_joins_as_one_player"
SUMMARIES = "test_summaries_use_magnitudes_over_all_samples"
REFUSED = "test_impossible_inputs_are_refused"

WEIGHT = "weight = factorial(size) * factorial(n_players - size - 1) / factorial(n_players)"

equivalent_mutants = {
    "1 -> 2 in `coalitions = ": "there are no coalitions of more members than players",
}

wrong_answers = [
    WrongAnswer(
        id="first-sample",
        title="the first sample's values as the importance of the features",
        explanation=(
            "One row of Shapley values explains one prediction. A feature that decides every other sample but not this "
            "one would look useless. Importance for the model is a summary over all samples; think about what the "
            "signs do in it."
        ),
        caught_by=SUMMARIES,
        swap=(("return np.abs(phi).mean(axis=0)", "return np.abs(phi[0])"),),
    ),
    WrongAnswer(
        id="leave-one-out",
        title="leaving one player out of the full set",
        explanation=(
            "Only the last place in the queue is looked at. If two players can stand in for each other, taking away "
            "one costs nothing, and both get zero although together they matter. Look at the other places in which a "
            "player can arrive."
        ),
        caught_by=GAMES,
        swap=((WEIGHT, "weight = float(size == n_players - 1)"),),
    ),
    WrongAnswer(
        id="alone",
        title="the value of each player on its own",
        explanation=(
            "Only the first place in the queue is looked at, where nobody else is present. What players reach only "
            "together is lost, so the values do not add up to the value of everybody."
        ),
        caught_by=GAMES,
        swap=((WEIGHT, "weight = float(size == 0)"),),
    ),
    WrongAnswer(
        id="banzhaf",
        title="a plain mean over all coalitions of the others (Banzhaf value)",
        explanation=(
            "Every coalition gets the same weight. There are many coalitions of middle size, so they dominate, and "
            "with an interaction of three players or more the values no longer add up. Ask how many orders of arrival "
            "stand behind a coalition of a given size."
        ),
        caught_by=GAMES,
        swap=((WEIGHT, "weight = 1 / 2 ** (n_players - 1)"),),
    ),
    WrongAnswer(
        id="one-order",
        title="the gains in one fixed order of arrival",
        explanation=(
            "The gains of one order do add up, which makes this easy to believe. But whoever comes later collects the "
            "whole bonus of acting together, so two interchangeable players get different values. One order is one "
            "sample of an average over all orders."
        ),
        caught_by=AXIOMS,
        swap=((WEIGHT, "weight = float(coalition == frozenset(range(player)))"),),
    ),
    WrongAnswer(
        id="unnormalised-weights",
        title="the mean for each coalition size, summed over the sizes",
        explanation=(
            "Within one size the mean is right, but the sizes are added up rather than averaged: every value comes out "
            "as many times too large as there are players. Add the values up and compare with the value of everybody."
        ),
        caught_by=AXIOMS,
        swap=((WEIGHT, "weight = factorial(size) * factorial(n_players - size - 1) / factorial(n_players - 1)"),),
    ),
    WrongAnswer(
        id="zero-baseline",
        title="absent features set to zero",
        explanation=(
            "Zero is a value like any other: a black pixel, a temperature of 0 degrees. The question here is what the "
            "model says when the feature is not known, and the background rows stand for what it could have been."
        ),
        caught_by=BACKGROUND,
        swap=(("mixed = background.copy()", "mixed = np.zeros_like(background)"),),
    ),
    WrongAnswer(
        id="background-mean",
        title="absent features set to the background's mean",
        explanation=(
            "The model is asked about one average row. For a model with a bend in it, the prediction for the mean is "
            "not the mean of the predictions. Compare your base with the mean prediction over the background."
        ),
        caught_by=BACKGROUND,
        swap=(("mixed = background.copy()", "mixed = background.mean(axis=0, keepdims=True)"),),
    ),
    WrongAnswer(
        id="background-overwritten",
        title="the sample is written into the background itself",
        explanation=(
            "The first coalition's features stay in the background, so every later coalition sees them as present, and "
            "the caller's array is changed for good. Each coalition needs its own fresh rows."
        ),
        caught_by=BACKGROUND,
        swap=(("mixed = background.copy()", "mixed = background"),),
    ),
    WrongAnswer(
        id="integers-truncated",
        title="the sample is rounded towards zero when the background holds integers",
        explanation=(
            "NumPy arrays keep their type when you write into them: 2.7 written into an integer array becomes 2, "
            "silently. Decide on the type of the rows before you fill them."
        ),
        caught_by=BACKGROUND,
        swap=(("background = np.asarray(background, dtype=np.float64)", "background = np.asarray(background)"),),
    ),
    WrongAnswer(
        id="outputs-averaged",
        title="the mean over rows and outputs at once",
        explanation=(
            "A model with several outputs has a game for each of them. A mean over everything turns them into one "
            "number; for probabilities it is the same for every input, and all values vanish. Which axis holds the "
            "rows?"
        ),
        caught_by="test_outputs_of_the_model_keep_their_own_axis",
        swap=((".mean(axis=0)  # () or (outputs,)", ".mean()"),),
    ),
    WrongAnswer(
        id="group-sum",
        title="a group's value as the sum of its features' values",
        explanation=(
            "Both divisions add up, and for interactions of two features they agree. With three or more they differ: "
            "in the sum a group's features arrive one by one, with strangers in between. Here a group arrives as a "
            "whole, so ask who the players are."
        ),
        caught_by=GROUPS,
        swap=(
            (
                "    value_fn = feature_game(f, x, background, list(groups.values()))\n"
                "    return dict(zip(groups, game_shapley(value_fn, len(groups)), strict=True))\n",
                "    phi, _ = shapley_values(f, x, background)\n"
                "    return {name: phi[list(features)].sum(axis=0) for name, features in groups.items()}\n",
            ),
        ),
    ),
    WrongAnswer(
        id="limit-counts-features",
        title="the limit of 12 applied to the features of a grouped game",
        explanation=(
            "The cost of a game grows with its players. In a grouped game the players are the groups, so two groups of "
            "a thousand features need four coalitions. That is what makes a text against image question affordable."
        ),
        caught_by=GROUPS,
        swap=(
            (
                "    require_partition(groups, np.size(x))\n",
                "    require_partition(groups, np.size(x))\n"
                "    if np.size(x) > MAX_PLAYERS:\n"
                "        raise ValueError('too many features')\n",
            ),
        ),
    ),
    WrongAnswer(
        id="asks-again",
        title="the value of a coalition is computed again for every player",
        explanation=(
            "Each coalition is the starting point or the result of many gains, and every time its value is computed "
            "anew. If the value is the accuracy of a model on a validation set, that is many times the bill."
        ),
        caught_by="test_each_coalition_of_modalities_is_asked_for_once",
        swap=(
            (
                "weight * (value[coalition | {player}] - value[coalition])",
                "weight * (np.asarray(value_fn(coalition | {player})) - np.asarray(value_fn(coalition)))",
            ),
        ),
    ),
    WrongAnswer(
        id="signed-shares",
        title="shares of the signed values",
        explanation=(
            "With signs, a group can get a negative share or more than everything, and a total near zero blows all "
            "shares up. A share is about how much a group moves the prediction, in whichever direction."
        ),
        caught_by=SUMMARIES,
        swap=(
            ("magnitude = np.abs(np.asarray(phi, dtype=np.float64))", "magnitude = np.asarray(phi, dtype=np.float64)"),
        ),
    ),
    WrongAnswer(
        id="absolute-after-sum",
        title="the absolute value of each group's sum",
        explanation=(
            "Inside a group, a feature that pushes up and one that pushes down cancel before the absolute value is "
            "taken, so a busy modality can look idle. Look at the order of the two operations."
        ),
        caught_by=SUMMARIES,
        swap=(
            (
                "    return {name: float(magnitude[list(features)].sum() / total)"
                " for name, features in groups.items()}\n",
                "    sums = {name: abs(np.asarray(phi)[list(features)].sum()) for name, features in groups.items()}\n"
                "    return {name: float(value / sum(sums.values())) for name, value in sums.items()}\n",
            ),
        ),
    ),
    WrongAnswer(
        id="uniform-shares-of-nothing",
        title="equal shares when all attributions are zero",
        explanation=(
            "If no feature moved the prediction, equal shares claim that every modality mattered equally. There is "
            "nothing to share, and the caller should hear about it."
        ),
        caught_by=REFUSED,
        swap=(
            (
                'raise ValueError("all attributions are zero: there is nothing to share")',
                "return {name: 1 / len(groups) for name in groups}",
            ),
        ),
    ),
    WrongAnswer(
        id="groups-unchecked",
        title="groups that overlap or leave features out are accepted",
        explanation=(
            "A feature in no group stays absent for ever, so the values no longer add up to the prediction; one in two "
            "groups is brought along twice. A typing error in the groups then changes the numbers without a word."
        ),
        caught_by=REFUSED,
        swap=(("    require_partition(groups, np.size(x))\n", ""),),
    ),
]

alternatives = [
    Alternative(
        id="matrix-of-weights",
        title="bit masks, and all gains in one matrix product",
        code="""
def game_shapley(value_fn, n_players):
    if n_players < 1 or n_players > 12:
        raise ValueError("1 to 12 players")
    masks = np.arange(2**n_players)
    member = masks[:, None] >> np.arange(n_players) & 1  # (coalitions, players)
    values = np.stack([np.asarray(value_fn(frozenset(np.flatnonzero(row).tolist())), float) for row in member])
    if not np.all(np.isfinite(values)):
        raise ValueError("not finite")
    sizes = member.sum(axis=1)
    counts = np.array([1.0] + [factorial(n_players) / factorial(s) / factorial(n_players - s)
                               for s in range(1, n_players + 1)])
    # A coalition counts positively for its members and negatively for the others.
    inside = 1 / np.maximum(sizes, 1) / counts[sizes]
    outside = 1 / np.maximum(n_players - sizes, 1) / counts[sizes]
    weights = np.where(member == 1, inside[:, None], -outside[:, None])  # (coalitions, players)
    return np.tensordot(weights, values, axes=(0, 0))
""",
    ),
    Alternative(
        id="dividends",
        title="Harsanyi dividends, shared equally among the members of each coalition",
        code="""
def game_shapley(value_fn, n_players):
    if n_players not in range(1, 13):
        raise ValueError("1 to 12 players")
    dividend = [np.asarray(value_fn(frozenset(i for i in range(n_players) if mask >> i & 1)), dtype=np.float64)
                for mask in range(2**n_players)]
    if not all(np.isfinite(value).all() for value in dividend):
        raise ValueError("not finite")
    for player in range(n_players):  # Moebius transform over the subsets, one player at a time
        for mask in range(2**n_players):
            if mask >> player & 1:
                dividend[mask] = dividend[mask] - dividend[mask ^ 1 << player]
    phi = []
    for player in range(n_players):
        total = np.zeros(dividend[0].shape)
        for mask in range(2**n_players):
            if mask >> player & 1:
                total = total + dividend[mask] / bin(mask).count("1")
        phi.append(total)
    return np.array(phi)
""",
    ),
    Alternative(
        id="recursion",
        title="cached recursion over the last player to arrive, and one call of f for all coalitions",
        code='''
import functools


def game_shapley(value_fn, n_players):
    if n_players < 1 or n_players > 12:
        raise ValueError("1 to 12 players")

    @functools.cache
    def value(coalition):
        result = np.asarray(value_fn(coalition), dtype=float)
        if not np.isfinite(result).all():
            raise ValueError("not finite")
        return result

    @functools.cache
    def divide(coalition):
        """Values of the game that only these players play: whoever arrives last gets the rest."""
        shares = {}
        for last in coalition:
            rest = coalition - {last}
            for player, share in divide(rest).items():
                shares[player] = shares.get(player, 0) + share / len(coalition)
            shares[last] = shares.get(last, 0) + (value(coalition) - value(rest)) / len(coalition)
        return shares

    shares = divide(frozenset(range(n_players)))
    return np.array([shares[player] for player in range(n_players)])


def feature_game(f, x, background, players):
    x, background = np.array(x, dtype=float), np.array(background, dtype=float)
    if x.ndim != 1 or background.ndim != 2 or not len(background) or background.shape[1:] != x.shape:
        raise ValueError("x and background do not fit")
    if len(players) > 12:
        raise ValueError("too many players")
    owner = np.full(len(x), -1)
    for player, features in enumerate(players):
        owner[list(features)] = player
    masks = np.arange(2 ** len(players))
    present = (masks[:, None] >> np.maximum(owner, 0) & 1).astype(bool) & (owner >= 0)  # (coalitions, features)
    rows = np.where(present[:, None, :], x, background)  # (coalitions, background_rows, features)
    predictions = np.asarray(f(rows.reshape(-1, len(x))), dtype=float)  # (coalitions * background_rows, ...)
    means = predictions.reshape(len(masks), len(background), *predictions.shape[1:]).mean(axis=1)
    return lambda coalition: means[sum(1 << player for player in coalition)]
''',
    ),
    Alternative(
        id="by-size",
        title="mean gain within each coalition size, then over the sizes; callers without the shared game",
        code="""
from statistics import fmean


def game_shapley(value_fn, n_players):
    if n_players < 1:
        raise ValueError("nobody plays")
    if n_players > 12:
        raise ValueError("too many players")
    value = {}
    for size in range(n_players + 1):
        for members in combinations(range(n_players), size):
            value[members] = np.array(value_fn(frozenset(members)), dtype=np.float64)
            if np.isnan(value[members]).any() or np.isinf(value[members]).any():
                raise ValueError("not finite")
    rows = []
    for player in range(n_players):
        others = [other for other in range(n_players) if other != player]
        means = []
        for size in range(n_players):
            gains = [value[tuple(sorted((*before, player)))] - value[before] for before in combinations(others, size)]
            means.append(np.mean(gains, axis=0))
        rows.append(np.mean(means, axis=0))
    return np.array(rows)


def shapley_values(f, x, background):
    x = np.asarray(x, dtype=float)
    if x.ndim != 1:
        raise ValueError("x must have one axis")
    grouped = group_shapley(f, x, background, {str(i): [i] for i in range(x.size)})
    base = np.mean(np.asarray(f(np.array(background, dtype=float))), axis=0)
    return np.array([grouped[str(i)] for i in range(x.size)]), base


def modality_shares(phi, groups):
    if np.ndim(phi) != 1:
        raise ValueError("one sample and one output, please")
    phi = [float(value) for value in phi]
    require_partition(groups, len(phi))
    total = sum(map(abs, phi))
    if not 0 < total < float("inf"):
        raise ValueError("nothing to share")
    return {name: sum(abs(phi[i]) for i in features) / total for name, features in groups.items()}


def global_importance(phi):
    rows = np.atleast_1d(phi).tolist()
    if not rows or not all(isinstance(row, list) for row in rows):
        raise ValueError("(samples, features) is needed")
    return np.array([fmean(abs(value) for value in column) for column in zip(*rows)])
""",
    ),
]
