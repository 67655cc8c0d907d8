"""Hidden checks of regularisation/ensembles_and_soups. States of unit vectors show who is in a soup, and how much."""

import math

import numpy as np
import torch

from grader.checking import (
    assert_claims,
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

CLAIMS = {
    "members_stop_overfitting": False,
    "best_or_better": True,
    "different_starts": False,
    "random_words": True,
    "robust_overfitting": True,
    "likelihood_of_the_mean": True,
    "soup_is_ensemble": False,
    "chosen_score_is_fair": False,
}
NAN = math.nan

# ---------------------------------------------------------------- probes: they run in the student's process


def search_greedily(student, scores, n_states):
    """States are unit vectors: the entries of a soup that are not 0 name its members, whose score is looked up."""
    import torch

    states = [{"weight": torch.eye(n_states)[i], "steps": torch.tensor(10 + i)} for i in range(n_states)]

    def evaluate(state):
        members = [i for i, share in enumerate(state["weight"].tolist()) if share]
        return scores[sum(2**i for i in members)]

    state, used = student.greedy_soup(states, evaluate)
    untouched = all(torch.equal(states[i]["weight"], torch.eye(n_states)[i]) for i in range(n_states))
    return [int(position) for position in used], dict(state), untouched


def search_with_a_model(student, weights, counters, inputs, labels):
    """A search whose evaluate loads every state into a model, counts right answers, and keeps what it was given."""
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    states = []
    for row, counter in zip(weights, counters, strict=True):
        parts = row.split([12, 4, 4, 4, 4, 4])
        names = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"]
        state = {name: part.clone() for name, part in zip(names, parts, strict=True)}
        state["0.weight"] = state["0.weight"].view(4, 3)
        state["1.running_var"] = state["1.running_var"].abs() + 0.5
        states.append({**state, "1.num_batches_tracked": torch.tensor(counter)})

    def evaluate(state):
        model.load_state_dict(state)
        model.eval()
        with torch.no_grad():
            return (model(inputs).argmax(dim=1) == labels).float().mean().item()

    state, used = student.greedy_soup(states, evaluate)
    return [int(position) for position in used], evaluate(state), [evaluate(single) for single in states]


def overwrite_the_soup(student, states, greedily):
    """The states after a soup of them has been overwritten."""
    soup = student.greedy_soup(states, lambda state: 0.5)[0] if greedily else student.uniform_soup(states)
    for tensor in soup.values():
        tensor.copy_(1 - tensor.int())
    return states


def overwrite_the_probabilities(student, logits, mode):
    probs = student.ensemble_probs(logits, mode)
    probs -= 7
    return logits


def search_with_constant_score(student, states):
    return student.greedy_soup(states, lambda state: 0.5)[1]


def try_the_example(student):
    import torch

    members = [torch.tensor([[0.5, 0.5], [0.2, 0.8]]).log(), torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log()]
    probs = [student.ensemble_probs(members), student.ensemble_probs(members, "logit")[0]]
    states = [{"weight": torch.tensor([v, 2.0]), "steps": torch.tensor(steps)} for v, steps in [(1.0, 4), (5.0, 9)]]
    soup = student.uniform_soup(states)
    scores = {1.0: 0.5, 5.0: 0.75, 3.0: 0.625}
    state, used = student.greedy_soup(states, lambda state: scores[state["weight"][0].item()])
    return probs, dict(soup), dict(state), [int(position) for position in used]


# ---------------------------------------------------------------- what is expected, worked out here


def softmax(row):
    highest = max(row)
    powers = [math.exp(value - highest) for value in row]
    return [power / sum(powers) for power in powers]


def mean_of_rows(rows):
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def expected_probs(logits, mode):
    """Plain Python loops over samples and members."""
    result = []
    for rows in zip(*(member.double().tolist() for member in logits), strict=True):
        averaged = mean_of_rows([softmax(row) for row in rows]) if mode == "prob" else softmax(mean_of_rows(rows))
        result.append(averaged)
    return torch.tensor(result, dtype=torch.float64)


def replay(scores, n_states):
    """The members that the rule gives for a table of scores, indexed by the members' bits."""
    singles = [scores[1 << i] for i in range(n_states)]
    order = []
    while len(order) < n_states:  # the highest score that is left, the first of equal ones
        left = [i for i in range(n_states) if i not in order]
        order.append(max(left, key=lambda i: (singles[i], -i)))
    members, code, best = [order[0]], 1 << order[0], singles[order[0]]
    for i in order[1:]:
        if scores[code | 1 << i] >= best:
            members.append(i)
            code |= 1 << i
            best = scores[code]
    return members


def assert_search(student, scores, n_states, told, cause=""):
    used, state, untouched = student.run(search_greedily, scores, n_states)
    expected = replay(scores, n_states)
    assert_equal(used, expected, what=f"list `used` of greedy_soup ({told})", cause=cause)
    assert_equal(sorted(state), ["steps", "weight"], what=f"list of names in the greedy soup ({told})")
    shares = torch.zeros(n_states)
    shares[expected] = 1 / len(expected)
    assert_close(
        state["weight"],
        shares,
        rtol=1e-5,
        atol=1e-6,
        what=f"list of shares that the states {expected} have in the greedy soup ({told})",
        cause="the result is the uniform soup of the members: all of them weigh the same, and nobody else is in it",
    )
    assert_dtype(state["steps"], "int64", what=f"integer tensor of the greedy soup ({told})")
    cause = "integer tensors come from the first member, used[0]"
    assert_equal(state["steps"].item(), 10 + expected[0], what=f"integer in the greedy soup ({told})", cause=cause)
    if not untouched:
        raise AssertionError(f"greedy_soup changed the states it was given ({told}).")


def batch_norm_states(generator, n_states, dtype):
    """States like those of a linear layer with batch normalisation behind it."""

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    return [
        {
            "linear.weight": draw(4, 3),
            "norm.running_mean": draw(4) + i,
            "scale": draw(),
            "norm.num_batches_tracked": torch.tensor(7 * i + 5),
            "mask": torch.tensor([i % 2 == 0, True, i % 2 == 1]),
        }
        for i in range(n_states)
    ]


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_the_example_of_the_notebook(student):
    """The example of the notebook: an ensemble of two, a soup of two, and a search that keeps one."""
    (probs, other), soup, state, used = student.run(try_the_example)
    close = {"rtol": 1.3e-6, "atol": 1e-5}
    assert_close(probs, torch.tensor([[0.7, 0.3], [0.4, 0.6]]), **close, what="result of ensemble_probs")
    assert_close(other, torch.tensor([0.75, 0.25]), **close, what="first row with mode='logit'")
    assert_close(soup["weight"], torch.tensor([3.0, 2.0]), **close, what="weight of the uniform soup")
    assert_dtype(soup["steps"], "int64", what="integer tensor of the uniform soup")
    assert_equal(soup["steps"].item(), 4, what="integer of the uniform soup", cause="it comes from the first state")
    assert_equal(used, [1], what="list `used` of greedy_soup", cause="the soup of both scores less than state 1 alone")
    assert_close(state["weight"], torch.tensor([5.0, 2.0]), **close, what="weight of the greedy soup")
    assert_equal(state["steps"].item(), 9, what="integer of the greedy soup")


@points(3)
@catches("published-claims", "soup-misjudged")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "majority-vote",
    "logits-averaged-in-prob-mode",
    "mode-ignored",
    "mean-of-logits-returned",
    "probabilities-of-samples",
    "exponentials-overflow",
    "ensemble-in-float32",
)
def test_ensembles_average_probabilities_or_logits(student, rng):
    """`prob` averages probabilities and `logit` averages logits, in the dtype of the logits and for large ones too."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    dtypes = [(torch.float64, 1e-10), (torch.float32, 1e-5), (torch.bfloat16, 2**-7), (torch.float16, 2e-3)]
    for members, samples, classes, scale in ((3, 5, 4, 2.0), (2, 4, 6, 0.7), (1, 2, 3, 1.0), (4, 1, 2, 3.0)):
        logits = [
            scale * torch.randn(samples, classes, generator=generator, dtype=torch.float64) for _ in range(members)
        ]
        for dtype, tolerance in dtypes:
            given = [member.to(dtype) for member in logits]
            for mode in ("prob", "logit"):
                what = f"result of ensemble_probs with {members} members ({samples}, {classes}), {dtype}, mode={mode!r}"
                probs = student.ensemble_probs(given, mode)
                assert_shape(probs, (samples, classes), what=what)
                assert_dtype(probs, str(dtype).removeprefix("torch."), what=what)
                expected = expected_probs(given, mode)
                cause = "the order of softmax and mean, or the dimension of one of them"
                assert_close(probs.double(), expected, rtol=tolerance, atol=tolerance / 10, what=what, cause=cause)
    given = logits[:2]
    default = student.ensemble_probs(given)
    assert_close(default.double(), expected_probs(given, "prob"), rtol=1e-10, atol=1e-11, what="result without a mode")

    far = [torch.tensor([[1e4, -1e4, 9999.0], [-1e4, -1e4, -9998.0]]), torch.tensor([[0.0, 1.0, 2.0], [1e4, 1e4, 1e4]])]
    for mode in ("prob", "logit"):
        what = f"result of ensemble_probs for logits of 10000, mode={mode!r}"
        probs = student.ensemble_probs(far, mode)
        cause = "exp(10000) is infinite: a softmax takes off the largest logit of each row first"
        assert_close(probs.double(), expected_probs(far, mode), rtol=1e-4, atol=1e-6, what=what, cause=cause)


@points(1)
@catches(
    "integers-averaged",
    "integers-of-the-last-state",
    "running-statistics-of-the-first-state",
    "pairwise-halves",
    "summed-in-16-bit",
    "soup-in-float32",
)
def test_a_uniform_soup_is_the_mean_of_all_states(student, rng):
    """Floating tensors are averaged in at least float32, each state with the same share; others come from the first."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    cases = [(4, torch.float64, 1e-10), (3, torch.float32, 1e-5), (1, torch.float32, 0.0), (5, torch.bfloat16, 2**-7)]
    for n_states, dtype, tolerance in cases:
        states = batch_norm_states(generator, n_states, dtype)
        soup = dict(student.uniform_soup(states))
        told = f"the uniform soup of {n_states} states in {dtype}"
        assert_equal(sorted(soup), sorted(states[0]), what=f"list of names in {told}")
        for name, first in states[0].items():
            assert_shape(soup[name], tuple(first.shape), what=f"{name} of {told}")
            assert_dtype(soup[name], str(first.dtype).removeprefix("torch."), what=f"{name} of {told}")
            if not first.is_floating_point():
                assert_equal(soup[name], first, what=f"{name} of {told}", cause="it comes from the first state")
                continue
            columns = zip(*(state[name].double().flatten().tolist() for state in states), strict=True)
            expected = torch.tensor([math.fsum(column) / n_states for column in columns], dtype=torch.float64)
            expected = expected.reshape(first.shape)
            cause = "every state has the share 1 / number of states"
            given = {"rtol": tolerance, "atol": tolerance, "what": f"{name} of {told}", "cause": cause}
            assert_close(soup[name].double(), expected, **given)
    large = [{"weight": torch.tensor([60000.0, -50000.0, 2.0 * i], dtype=torch.float16)} for i in range(6)]
    soup = dict(student.uniform_soup(large))
    what = "weight of a soup of six float16 states with 60000 and -50000 in them"
    assert_dtype(soup["weight"], "float16", what=what)
    cause = "the sum of six is beyond 65504, the largest float16; average in float32"
    assert_close(soup["weight"].float(), torch.tensor([60000.0, -50000.0, 5.0]), rtol=1e-3, what=what, cause=cause)


@points(2)
@catches(
    "takes-everybody",
    "order-of-the-list",
    "lowest-first",
    "compared-with-the-start",
    "compared-with-the-last-try",
    "soup-and-newcomer-half-and-half",
    "last-try-returned",
    "used-sorted",
)
def test_members_join_only_if_the_score_does_not_fall(student, rng):
    """Best first, a state joins if the soup with it scores at least as high as the best soup so far."""
    n_states = 4
    cause = "order by single score from high to low; compare each soup with the best score so far"
    # by hand: the order is 2, 0, 3, 1; 0 joins, 3 lowers the score but not below that of 2 alone, 1 joins
    scores = [0.0] * 16
    scores[0b0100], scores[0b0001], scores[0b1000], scores[0b0010] = 0.6, 0.5, 0.4, 0.3
    scores[0b0101], scores[0b1101], scores[0b0111] = 0.7, 0.65, 0.72
    assert_search(student, scores, n_states, "the order is 2, 0, 3, 1, and 3 makes the soup worse", cause)
    # 0 lowers the score, 3 makes up for part of what 0 took, which helps neither of them
    scores = [0.0] * 16
    scores[0b0100], scores[0b0001], scores[0b1000], scores[0b0010] = 0.6, 0.5, 0.4, 0.3
    scores[0b0101], scores[0b1100], scores[0b1101], scores[0b0110] = 0.2, 0.3, 0.9, 0.5
    assert_search(student, scores, n_states, "the order is 2, 0, 3, 1, and nobody improves the soup", cause)
    scores = [-1.0 / (1 + bin(code).count("1")) for code in range(16)]
    assert_search(student, scores, n_states, "scores below 0, and everybody improves the soup", cause)
    for _ in range(8):
        values = rng.permutation(2**5) / 32 + np.array([bin(code).count("1") for code in range(32)]) / 16
        assert_search(
            student, values.tolist(), 5, f"random scores of 5 states and their soups, {values[1]}, ...", cause
        )

    weights = torch.tensor(rng.normal(size=(5, 32)), dtype=torch.float32)
    inputs = torch.tensor(rng.normal(size=(40, 3)), dtype=torch.float32)
    labels = torch.tensor(rng.integers(4, size=40))
    used, final, singles = student.run(search_with_a_model, weights, [3, 1, 4, 8, 5], inputs, labels)
    best = max(singles)
    assert_equal(used[0], singles.index(best), what="first member of the soup of five small networks")
    if final < best:
        raise AssertionError(
            f"The soup of the networks {used} has {final:.3f} right answers and the best single network {best:.3f}: "
            "the search must not end below its start."
        )


@points(1)
@catches("tie-left-out", "ties-from-the-end")
def test_ties_are_enough_and_keep_the_order_of_the_list(student, rng):
    """A soup that scores as high as the best so far is accepted, and equal single scores keep their order."""
    assert_search(student, [0.5] * 16, 4, "all scores equal", "at least the best score so far is enough to join")
    assert_search(student, [0.25, 0.75], 1, "a single state", "a single state is a soup of one")
    # the order is 1, 3, 0, 2; with 3 the score is the same, with 0 it falls
    scores = [0.0] * 16
    scores[0b0001], scores[0b0010], scores[0b0100], scores[0b1000] = 0.5, 0.75, 0.5, 0.75
    scores[0b1010], scores[0b1011], scores[0b1110] = 0.75, 0.625, 0.75
    assert_search(student, scores, 4, "single scores 0.5, 0.75, 0.5, 0.75", "equal scores: the order of the list")
    for _ in range(8):
        values = rng.integers(1, 4, size=16) / 4
        told = f"scores of few values, {[float(values[1 << i]) for i in range(4)]} for the single states"
        assert_search(student, values.tolist(), 4, told, "ties: accepted, and ordered as in the list")


@points(1)
@catches(
    "soup-shares-memory",
    "summed-into-the-first-state",
    "missing-names-skipped",
    "additional-names-skipped",
    "shapes-broadcast",
    "logits-broadcast",
    "any-other-mode-is-logit",
    "nan-score-accepted",
)
def test_bad_input_is_refused_and_states_stay(student, rng):
    """What does not fit together is refused, NaN scores too, and nothing shares memory with an argument."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    logits = torch.randn(4, 3, generator=generator)
    for mode in ("probability", "Prob", "", "logits"):
        with raises(ValueError, what=f"ensemble_probs with mode={mode!r}"):
            student.ensemble_probs([logits, logits], mode)
    for name, members in (
        ("no member", []),
        ("shapes (4, 3) and (1, 3)", [logits, logits[:1]]),
        ("shapes (4, 3) and (4, 1)", [logits, logits[:, :1]]),
        ("shapes (1, 3) and (4, 3)", [logits[:1], logits]),
        ("logits of one dimension", [logits[0], logits[0]]),
        ("logits of three dimensions", [logits[None], logits[None]]),
    ):
        for mode in ("prob", "logit"):
            with raises(ValueError, what=f"ensemble_probs with {name} and mode={mode!r}"):
                student.ensemble_probs(members, mode)

    whole = {"weight": logits, "bias": logits[:, 0].clone(), "steps": torch.tensor(3)}
    less = {name: tensor for name, tensor in whole.items() if name != "bias"}
    for name, states in (
        ("no state", []),
        ("a name missing in the second", [whole, less]),
        ("a name missing in the first", [less, whole]),
        ("a name missing in the last", [whole, whole, less]),
        ("weights (4, 3) and (1, 3)", [whole, {**whole, "weight": logits[:1]}]),
        ("weights (1, 3) and (4, 3)", [{**whole, "weight": logits[:1]}, whole]),
        ("integer tensors () and (1,)", [whole, whole, {**whole, "steps": torch.tensor([3])}]),
    ):
        with raises(ValueError, what=f"uniform_soup with {name}"):
            student.uniform_soup(states)
        with raises(ValueError, what=f"greedy_soup with {name}"):
            student.run(search_with_constant_score, states)

    good = [0.0, 0.5, 0.75, 0.25]
    for name, scores in (
        ("state 0 alone", [0.0, NAN, 0.75, 0.25]),
        ("state 1 alone", [0.0, 0.5, NAN, 0.25]),
        ("the soup of both", [0.0, 0.5, 0.75, NAN]),
    ):
        with raises(ValueError, what=f"greedy_soup when the score of {name} is NaN"):
            student.run(search_greedily, scores, 2)
    assert_search(student, good, 2, "two states and no NaN")

    for n_states in (1, 3):
        states = batch_norm_states(generator, n_states, torch.float32)
        for greedily in (False, True):
            after = student.run(overwrite_the_soup, states, greedily)
            function = "greedy_soup" if greedily else "uniform_soup"
            for position, (left, right) in enumerate(zip(after, states, strict=True)):
                for name, tensor in right.items():
                    what = f"{name} of state {position} of {n_states}, after {function} and overwriting its result,"
                    assert_unchanged(left[name], tensor, what=what)
        members = [torch.rand(2, 3, generator=generator) for _ in range(n_states)]
        for mode in ("prob", "logit"):
            after = student.run(overwrite_the_probabilities, members, mode)
            for position, (left, right) in enumerate(zip(after, members, strict=True)):
                what = f"member {position} of {n_states}, after ensemble_probs and overwriting its result,"
                assert_unchanged(left, right, what=what)
