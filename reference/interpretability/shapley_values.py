# %% [markdown]
# # Shapley values of features, groups and modalities
#
# "How much did the image matter for this prediction?" asks for a fair division: what the model says about one sample,
# minus what it says on average, is shared out among the inputs. The Shapley value is the one division that adds up,
# treats equal players equally, gives nothing to a player that changes nothing and is linear in the game.
# A well-known short answer calls a ready-made explainer and reports the first row of what comes back as the importance
# of every feature. That row explains one sample only, takes the explained data as its own background, and says nothing
# about whole modalities. Here you build the exact values from one small core, so that you know what each number means.
#
# ## Your task (50 minutes)
#
# A *game* is a function `value_fn(coalition)`: the value that a set of players reaches together. One function divides
# the value of any game; all others hand it the right game or summarise what it returns.
#
# | function | returns |
# |---|---|
# | `game_shapley(value_fn, n_players)` | array `(players,)`, or `(players, outputs)` if the game's values are vectors |
# | `feature_game(f, x, background, players)` | the game `value_fn` in which the players are sets of features of `x` |
# | `shapley_values(f, x, background)` | `(phi, base)`: every feature is a player; `base` is the value of nobody |
# | `group_shapley(f, x, background, groups)` | dictionary: every group of features is **one** player |
# | `modality_shapley(value_fn, modalities)` | dictionary: a game given directly, its players are named |
# | `modality_shares(phi, groups)` | dictionary: sum of abs(phi) in each group, divided by the sum over all features |
# | `global_importance(phi)` | array `(features,)`: mean of abs(phi) over the samples |
#
# - **The game of a model.** `f` maps `(rows, features)` to `(rows,)` or `(rows, outputs)`. The features of a coalition
#   take their values from `x` `(features,)`, all others those of a row of `background` `(background_rows, features)`;
#   the value of the coalition is the mean prediction over **all** background rows.
# - **Shapes.** With `outputs`, `phi` is `(features, outputs)`, `base` is `(outputs,)`, and each group's value is
#   `(outputs,)`. `modality_shares` takes `phi` of one sample and one output, `(features,)`; `global_importance` takes
#   one output of many samples, `(samples, features)`.
# - **Exact.** No sampling: ask for the value of each of the `2**players` coalitions, at most once in `game_shapley` and
#   `modality_shapley`. Twelve players should take seconds, which rules out walking through all `12!` orders.
# - **Numbers.** Everything is computed in float64, integer inputs included. No argument is changed.
# - **`ValueError`** for
#   - no players, more than 12 players (features in `shapley_values`, but *groups* in `group_shapley`), and a value that
#     is not finite;
#   - `x` that is not 1-D, and `background` that is not 2-D, has no row or has another width than `x`;
#   - groups that are no partition of the features, and a modality named twice;
#   - `phi` with the wrong number of axes, no sample in `global_importance`, and `phi` that is all zero (nothing to
#     share) or not finite in `modality_shares`.
# - **Forbidden:** the package `shap`.
# - **Accepted either way:** numbers as `float` or NumPy scalars, any order of a dictionary's keys, one call of `f` for
#   each coalition or one for all of them. An empty group may get 0 or be refused.
#
# ## A worked example
#
# The accuracy a model gains from each set of modalities, in points: text 2, image 4, audio 0, text and image 9, text
# and audio 2, image and audio 4, all three 15. Image and text work better together, and audio only helps both.
#
# | division | text | image | audio | sum |
# |---|---|---|---|---|
# | alone: value of the modality on its own | 2 | 4 | 0 | 6 |
# | leave one out: what the full set loses | 11 | 13 | 6 | 30 |
# | plain mean of the gains over all coalitions of the others | 5 | 7 | 1.5 | 13.5 |
# | Shapley value | 5.5 | 7.5 | 2 | **15** |
#
# Audio arrives last in two of the six orders and gains 6 there, and gains nothing in the other four: 12 / 6 = 2.
#
# ## What the numbers do not say
#
# They explain the model, not the world. Filling in absent features from the background breaks their dependence on the
# present ones, on purpose (Janzing, Minorics and Blöbaum, 2020); conditional versions answer another question and give
# other numbers (Sundararajan and Najmi, 2020). Correlated features share the credit. Logits and probabilities have
# different Shapley values, so say which one you explained.

# %%
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from math import factorial

import numpy as np
from numpy.typing import ArrayLike

MAX_PLAYERS = 12  # 2**12 coalitions


def require_partition(groups: Mapping[str, Sequence[int]], n_features: int) -> None:
    """Raise ValueError unless every feature 0 ... n_features - 1 is in exactly one group. (This one is given.)"""
    if sorted(feature for features in groups.values() for feature in features) != list(range(n_features)):
        raise ValueError(f"groups must hold each of the {n_features} features exactly once")


# %% [markdown]
# ## Part 1: divide the value of any game


# %% tags=["solution"]
def game_shapley(value_fn: Callable[[frozenset[int]], ArrayLike], n_players: int) -> np.ndarray:
    """Exact Shapley values of a game (Shapley, 1953).

    Args:
        value_fn: value of a coalition, a frozenset of players 0 ... n_players - 1; a number or `(outputs,)`. It is
            called at most once for each coalition.
        n_players: between 1 and 12.

    Returns:
        float64 array `(players,)` or `(players, outputs)`: each player's mean gain over all orders of arrival.

    Raises:
        ValueError: the number of players is outside 1 ... 12, or a value is not finite.
    """
    ### BEGIN SOLUTION
    if not 1 <= n_players <= MAX_PLAYERS:
        raise ValueError(f"between 1 and {MAX_PLAYERS} players are possible, not {n_players}")
    players = range(n_players)
    coalitions = [frozenset(members) for size in range(n_players + 1) for members in combinations(players, size)]
    values = np.array([value_fn(coalition) for coalition in coalitions], dtype=np.float64)  # (coalitions, ...)
    if not np.isfinite(values).all():
        raise ValueError("the value of every coalition must be finite")
    value = dict(zip(coalitions, values, strict=True))

    phi = np.zeros((n_players, *values.shape[1:]))  # (players,) or (players, outputs)
    for player in players:
        for coalition in coalitions:
            if player in coalition:
                continue
            # Share of the n! orders in which exactly this coalition arrives before the player: |S|! (n - |S| - 1)! / n!
            size = len(coalition)
            weight = factorial(size) * factorial(n_players - size - 1) / factorial(n_players)
            phi[player] += weight * (value[coalition | {player}] - value[coalition])
    return phi
    ### END SOLUTION


# %% [markdown]
# ## Part 2: turn a model into a game


# %% tags=["solution"]
def feature_game(
    f: Callable[[np.ndarray], ArrayLike], x: ArrayLike, background: ArrayLike, players: Sequence[Sequence[int]]
) -> Callable[[frozenset[int]], np.ndarray]:
    """The game of explaining `f(x)` against a background (Lundberg and Lee, 2017; Janzing et al., 2020).

    Args:
        f: maps `(rows, features)` to `(rows,)` or `(rows, outputs)`.
        x: the sample, `(features,)`.
        background: the rows that absent features are taken from, `(background_rows, features)`.
        players: `players[i]` lists the features that player i brings.

    Returns:
        `value_fn(coalition)`: mean of f over the background rows, the coalition's features replaced by those of x;
        a float64 number or `(outputs,)`.

    Raises:
        ValueError: x is not 1-D, or background is not 2-D, is empty or has another width than x.
    """
    ### BEGIN SOLUTION
    x = np.asarray(x, dtype=np.float64)  # (features,)
    background = np.asarray(background, dtype=np.float64)  # (background_rows, features)
    if x.ndim != 1 or background.ndim != 2 or background.shape[1] != len(x):
        raise ValueError(f"x of shape {x.shape} and background of shape {background.shape} do not fit together")
    if len(background) == 0:
        raise ValueError("the background has no rows")

    def value_fn(coalition: frozenset[int]) -> np.ndarray:
        present = [feature for player in coalition for feature in players[player]]
        mixed = background.copy()  # (background_rows, features)
        mixed[:, present] = x[present]
        return np.asarray(f(mixed), dtype=np.float64).mean(axis=0)  # () or (outputs,)

    return value_fn
    ### END SOLUTION


# %% [markdown]
# ## Part 3: features, groups of features, modalities


# %% tags=["solution"]
def shapley_values(
    f: Callable[[np.ndarray], ArrayLike], x: ArrayLike, background: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Exact Shapley value of every feature of x `(features,)` against a background `(background_rows, features)`.

    Returns:
        phi: float64, `(features,)` or `(features, outputs)`.
        base: mean prediction over the background, a number or `(outputs,)`; phi sums to f(x) - base.

    Raises:
        ValueError: more than 12 features, no feature, or x and background do not fit (see `feature_game`).
    """
    ### BEGIN SOLUTION
    n_features = np.size(x)
    value_fn = feature_game(f, x, background, [[feature] for feature in range(n_features)])
    return game_shapley(value_fn, n_features), value_fn(frozenset())
    ### END SOLUTION


def group_shapley(
    f: Callable[[np.ndarray], ArrayLike], x: ArrayLike, background: ArrayLike, groups: Mapping[str, Sequence[int]]
) -> dict[str, np.ndarray]:
    """Exact Shapley value of every group of features: a group joins as a whole, so the groups are the players.

    Returns:
        For each group a float64 number or `(outputs,)`; they sum to f(x) minus the mean over the background.

    Raises:
        ValueError: groups are no partition of the features, more than 12 groups, or x and background do not fit.
    """
    ### BEGIN SOLUTION
    require_partition(groups, np.size(x))
    value_fn = feature_game(f, x, background, list(groups.values()))
    return dict(zip(groups, game_shapley(value_fn, len(groups)), strict=True))
    ### END SOLUTION


def modality_shapley(value_fn: Callable[[frozenset[str]], float], modalities: Sequence[str]) -> dict[str, float]:
    """Exact Shapley value of every modality of a game that is given directly, such as the accuracy of a model.

    `value_fn` takes a frozenset of names and is called at most once for each of the 2**n coalitions.

    Raises:
        ValueError: no modality, more than 12, one named twice, or a value that is not finite.
    """
    ### BEGIN SOLUTION
    if len(set(modalities)) != len(modalities):
        raise ValueError("every modality may be named once only")
    phi = game_shapley(lambda players: value_fn(frozenset(modalities[i] for i in players)), len(modalities))
    return dict(zip(modalities, phi.tolist(), strict=True))
    ### END SOLUTION


# %% [markdown]
# ## Part 4: summaries


# %% tags=["solution"]
def modality_shares(phi: ArrayLike, groups: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Share of each group in the attributions phi `(features,)` of one sample (Parcalabescu and Frank, 2023).

    The share is the sum of abs(phi) over the group, divided by that over all features: between 0 and 1, summing to 1.

    Raises:
        ValueError: phi is not 1-D, not finite or all zero, or groups are no partition of the features.
    """
    ### BEGIN SOLUTION
    magnitude = np.abs(np.asarray(phi, dtype=np.float64))  # (features,)
    if magnitude.ndim != 1 or not np.isfinite(magnitude).all():
        raise ValueError("phi must be one finite row of attributions")
    require_partition(groups, magnitude.size)
    total = magnitude.sum()
    if total == 0:
        raise ValueError("all attributions are zero: there is nothing to share")
    return {name: float(magnitude[list(features)].sum() / total) for name, features in groups.items()}
    ### END SOLUTION


def global_importance(phi: ArrayLike) -> np.ndarray:
    """Mean of abs(phi) over the samples: phi `(samples, features)` to float64 `(features,)` (Lundberg and Lee, 2017).

    Raises:
        ValueError: phi is not 2-D or has no sample.
    """
    ### BEGIN SOLUTION
    phi = np.asarray(phi, dtype=np.float64)  # (samples, features)
    if phi.ndim != 2 or len(phi) == 0:
        raise ValueError(f"phi must be (samples, features) with at least one sample, not {phi.shape}")
    return np.abs(phi).mean(axis=0)  # (features,)
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# # Three players who reach 6 together, and player 0 adds 2 whenever it is there.
# assert np.allclose(game_shapley(lambda coalition: 6 * (len(coalition) == 3) + 2 * (0 in coalition), 3), [4, 2, 2])
#
#
# def product(rows):
#     return rows[:, 0] * rows[:, 1]
#
#
# # The background rows give 0 and 8, so nobody is worth 4, feature 0 alone 6, feature 1 alone 5, and both 15.
# sample, rows = [3, 5], [[0, 0], [2, 4]]
# assert np.isclose(feature_game(product, sample, rows, [[0], [1]])(frozenset({1})), 5)
# phi, base = shapley_values(product, sample, rows)
# assert np.allclose(phi, [6, 5]) and np.isclose(base, 4)
# grouped = group_shapley(product, sample, rows, {"text": [1], "image": [0]})
# assert set(grouped) == {"text", "image"} and np.allclose([grouped["text"], grouped["image"]], [5, 6])
#
# named = modality_shapley(lambda coalition: 8.0 * ({"text", "image"} <= coalition), ["text", "image", "audio"])
# assert set(named) == {"text", "image", "audio"}
# assert np.allclose([named["text"], named["image"], named["audio"]], [4, 4, 0])
# shares = modality_shares([3, -1, -4], {"text": [0, 1], "image": [2]})
# assert set(shares) == {"text", "image"} and np.allclose([shares["text"], shares["image"]], [0.5, 0.5])
# assert np.allclose(global_importance([[1, -4], [-3, 2]]), [2, 3])

# %% [markdown]
# The next cell draws the attributions of one sample of a small random model, three text features and three image
# features. The bars add up to the prediction minus the base.

# %% tags=["active-ipynb"]
# import matplotlib.pyplot as plt
#
# generator = np.random.default_rng(7)
# hidden, readout = generator.normal(size=(6, 8)), generator.normal(size=8)
#
#
# def small_model(rows):
#     return np.tanh(rows @ hidden) @ readout
#
#
# observed, reference_rows = generator.normal(size=6), generator.normal(size=(50, 6))
# attributions, start = shapley_values(small_model, observed, reference_rows)
# names = ["text 0", "text 1", "text 2", "image 0", "image 1", "image 2"]
# plt.barh(names, attributions, color=["tab:blue"] * 3 + ["tab:orange"] * 3)
# plt.axvline(0, color="black", linewidth=0.8)
# plt.gca().invert_yaxis()
# plt.xlabel("Shapley value")
# plt.title(f"base {start:.2f}, prediction {small_model(observed[None])[0]:.2f}")
# plt.show()
# print("shares:", modality_shares(attributions, {"text": [0, 1, 2], "image": [3, 4, 5]}))

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Let the players enter a room one after the other and pay each what the value rises by on entering. What do the
# payments of one order add up to? And if you average over all orders, what does the average add up to?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# What a player gains depends only on *who* is already in the room, not on the order in which they came. So many orders
# can be counted together: a coalition's weight is the share of orders in which exactly its members stand before the
# player. Very small and very large coalitions weigh more than middle-sized ones. An absent feature is not zero: it is
# drawn from the background, and the model is averaged over the draws rather than asked about the average draw.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# List all coalitions, ask for the value of each once and keep the answers in a dictionary. For each player, go through
# the coalitions without that player and add up weight times (value with the player minus value without). For a model,
# the value of a coalition comes from a copy of the background in which the coalition's columns are overwritten by the
# sample; the callers differ only in what a player brings along: one column, several columns, or a name.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# The weight of a coalition of `size` members among `n` players: `1 / (n * math.comb(n - 1, size))`.
# </details>
#
# ## References
#
# - Lloyd S. Shapley (1953). A Value for n-Person Games. In Contributions to the Theory of Games II.
# - Scott M. Lundberg, Su-In Lee (2017). A Unified Approach to Interpreting Model Predictions.
# - Dominik Janzing, Lenon Minorics, Patrick Blöbaum (2020). Feature relevance quantification in explainable AI: A
#   causal problem.
# - Mukund Sundararajan, Amir Najmi (2020). The Many Shapley Values for Model Explanation.
# - Letitia Parcalabescu, Anette Frank (2023). MM-SHAP: A Performance-agnostic Metric for Measuring Multimodal
#   Contributions in Vision and Language Models & Tasks.
