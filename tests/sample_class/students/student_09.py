"""Fills absent features in with the mean of the background instead of averaging the predictions."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    notebook = Notebook(student, "interpretability/shapley_values")
    notebook.scratch(
        "code-01",
        """
        %matplotlib inline
        import math
        import matplotlib.pyplot as plt
        """,
    )
    notebook.write(
        "game_shapley",
        """
        if not isinstance(n_players, int) or n_players <= 0 or n_players > 12:
            raise ValueError("n_players")
        everybody = frozenset(range(n_players))
        v = {}
        for k in range(n_players + 1):
            for c in combinations(sorted(everybody), k):
                v[frozenset(c)] = np.array(value_fn(frozenset(c)), dtype=float)
        if any(not np.all(np.isfinite(a)) for a in v.values()):
            raise ValueError("inf or nan")
        out = np.zeros((n_players,) + v[everybody].shape)
        for S in v:
            for i in everybody - S:
                w = 1 / (n_players * math.comb(n_players - 1, len(S)))
                out[i] = out[i] + w * (v[S | {i}] - v[S])
        return out
        """,
    )
    notebook.write(
        "feature_game",
        """
        x = np.asarray(x, dtype=float)
        background = np.asarray(background, dtype=float)
        if x.ndim != 1 or background.ndim != 2:
            raise ValueError("shapes")
        if background.shape[0] == 0 or background.shape[1] != x.size:
            raise ValueError("background")
        typical = background.mean(axis=0)  # what we assume when we do not know a feature

        def v(coalition):
            row = typical.copy()
            for player in coalition:
                for j in players[player]:
                    row[j] = x[j]
            return np.asarray(f(row[np.newaxis, :]), dtype=float)[0]

        return v
        """,
    )
    notebook.write(
        "shapley_values",
        """
        one_each = [[j] for j in range(np.asarray(x).size)]
        v = feature_game(f, x, background, one_each)
        return game_shapley(v, len(one_each)), v(frozenset())
        """,
    )
    notebook.write(
        "group_shapley",
        """
        require_partition(groups, np.asarray(x).size)
        v = feature_game(f, x, background, [list(g) for g in groups.values()])
        return {name: value for name, value in zip(groups.keys(), game_shapley(v, len(groups)))}
        """,
    )
    notebook.write(
        "modality_shapley",
        """
        modalities = list(modalities)
        if len(modalities) > len(set(modalities)):
            raise ValueError("named twice")
        out = game_shapley(lambda c: value_fn(frozenset(modalities[i] for i in c)), len(modalities))
        return {m: float(o) for m, o in zip(modalities, out)}
        """,
    )
    notebook.write(
        "modality_shares",
        """
        phi = np.asarray(phi, dtype=float)
        if phi.ndim != 1 or not np.all(np.isfinite(phi)):
            raise ValueError("phi")
        require_partition(groups, phi.size)
        whole = np.sum(np.abs(phi))
        if whole == 0:
            raise ValueError("all zero")
        return {m: float(np.sum(np.abs(phi[list(g)])) / whole) for m, g in groups.items()}
        """,
    )
    notebook.write(
        "global_importance",
        """
        phi = np.asarray(phi, dtype=float)
        if phi.ndim != 2 or phi.shape[0] < 1:
            raise ValueError("phi")
        return np.sum(np.abs(phi), axis=0) / phi.shape[0]
        """,
    )
    notebook.failed("visible-checks", "AssertionError", "", "assert np.allclose(phi, [6, 5]) and np.isclose(base, 4)")
    notebook.scratch(
        "visible-checks",
        """
        # for a linear model everything is fine, so why not here?
        linear = lambda rows: rows @ np.array([1.0, 2.0])
        print(shapley_values(linear, [3, 5], [[0, 0], [2, 4]]))
        """,
        "(array([2., 6.]), np.float64(5.0))",
    )
    return [notebook]
