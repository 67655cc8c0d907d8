"""Wrong and differently written answers to regularisation/ensembles_and_soups.

Every "reject" line of E-Q4e has an entry. The published answer to E-Q4 has no code: its promise is a wrong claim.
"""

from grader.catalogue import Alternative, WrongAnswer

PROB = "        probs = stacked.softmax(dim=-1).mean(dim=0)  # (samples, classes)\n"
LOGIT = "        probs = stacked.mean(dim=0).softmax(dim=-1)  # (samples, classes)\n"
WIDE_LOGITS = "    stacked = stacked.to(torch.promote_types(dtype, torch.float32))\n"
AVERAGE = """            stacked = torch.stack([state[name] for state in states])  # (states, ...)
            wide = torch.promote_types(first.dtype, torch.float32)
            soup[name] = stacked.to(wide).mean(dim=0).to(first.dtype)
"""
COPY = "            soup[name] = first.clone()\n"
ORDER = "    order = sorted(range(len(states)), key=lambda position: -scores[position])  # stable: ties stay in order\n"
JOIN = """        if score >= best:
            used.append(position)
            best = score
"""
START = "    used, best = order[:1], scores[order[0]]\n"
TRY = "        score = score_of(uniform_soup([states[member] for member in [*used, position]]))\n"
END = "    return uniform_soup([states[member] for member in used]), used\n"
NAMES = """        if state.keys() != states[0].keys():
            raise ValueError(f"names differ: {sorted(state.keys() ^ states[0].keys())}")
"""
SHAPES = """            if tensor.shape != states[0][name].shape:
                raise ValueError(f"{name} has the shapes {tuple(tensor.shape)} and {tuple(states[0][name].shape)}")
"""

wrong_answers = [
    WrongAnswer(
        id="published-claims",
        title="an ensemble believed to stop overfitting",
        explanation=(
            "One of the claims is the promise that is usually made for ensembles. Ask what happens to a single member "
            "while the others are trained: does it learn anything from them?"
        ),
        caught_by="test_claims",
        swap=(("members_stop_overfitting=False", "members_stop_overfitting=True"),),
    ),
    WrongAnswer(
        id="soup-misjudged",
        title="a soup taken for an ensemble, whatever the networks",
        explanation=(
            "At least one claim about averaged weights is judged wrongly. Take a network of one hidden unit, swap the "
            "signs of both of its weights' layers, and average: what is left?"
        ),
        caught_by="test_claims",
        swap=(
            ("soup_is_ensemble=False", "soup_is_ensemble=True"),
            ("different_starts=False", "different_starts=True"),
        ),
    ),
    WrongAnswer(
        id="majority-vote",
        title="a majority vote of the members' classes",
        explanation=(
            "Your rows are shares of votes. A member that is sure and one that hardly prefers its class count the same, "
            "and the confidence is lost. Average the probabilities themselves."
        ),
        caught_by="test_ensembles_average_probabilities_or_logits",
        swap=(
            (
                PROB,
                "        votes = torch.nn.functional.one_hot(stacked.argmax(dim=-1), stacked.shape[-1])\n"
                "        probs = votes.to(stacked.dtype).mean(dim=0)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="logits-averaged-in-prob-mode",
        title="logits averaged where probabilities should be",
        explanation=(
            "With `mode='prob'` your result is the softmax of the mean logits. That is a geometric mean, rescaled: one "
            "member that rules a class out takes it from the whole ensemble. Which comes first, softmax or mean?"
        ),
        caught_by="test_ensembles_average_probabilities_or_logits",
        swap=((PROB, "        probs = stacked.mean(dim=0).softmax(dim=-1)\n"),),
    ),
    WrongAnswer(
        id="mode-ignored",
        title="probabilities averaged in both modes",
        explanation=(
            "With `mode='logit'` your result is the mean of the probabilities as well. In that mode the logits are "
            "averaged, and there is one softmax at the end."
        ),
        caught_by="test_ensembles_average_probabilities_or_logits",
        swap=((LOGIT, "        probs = stacked.softmax(dim=-1).mean(dim=0)\n"),),
    ),
    WrongAnswer(
        id="mean-of-logits-returned",
        title="logits returned in logit mode",
        explanation=(
            "With `mode='logit'` your rows do not sum to 1: they are averaged logits. Both modes return probabilities."
        ),
        caught_by="test_ensembles_average_probabilities_or_logits",
        swap=((LOGIT, "        probs = stacked.mean(dim=0)\n"),),
    ),
    WrongAnswer(
        id="probabilities-of-samples",
        title="softmax over the wrong dimension",
        explanation=(
            "Your rows do not sum to 1. The softmax has to run over the classes, which are the last dimension; after "
            "stacking, the members or the samples are at other places than you think."
        ),
        caught_by="test_ensembles_average_probabilities_or_logits",
        swap=(
            (PROB, "        probs = stacked.softmax(dim=1).mean(dim=0)\n"),
            (LOGIT, "        probs = stacked.mean(dim=0).softmax(dim=0)\n"),
        ),
    ),
    WrongAnswer(
        id="exponentials-overflow",
        title="exponentials of large logits overflow",
        explanation=(
            "Your own softmax takes exp of the logits as they are. From about 89 on that is infinite in float32, and "
            "infinity divided by infinity is NaN. What may be subtracted from a row without changing its softmax?"
        ),
        caught_by="test_ensembles_average_probabilities_or_logits",
        swap=(
            (
                PROB,
                "        powers = stacked.exp()\n        probs = (powers / powers.sum(-1, keepdim=True)).mean(dim=0)\n",
            ),
            (
                LOGIT,
                "        powers = stacked.mean(dim=0).exp()\n        probs = powers / powers.sum(-1, keepdim=True)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="ensemble-in-float32",
        title="float64 logits computed in float32",
        explanation=(
            "For float64 logits your result is right to about seven digits only. Widen 16-bit logits if you like, but do "
            "not narrow others on the way."
        ),
        caught_by="test_ensembles_average_probabilities_or_logits",
        swap=((WIDE_LOGITS, "    stacked = stacked.float()\n"),),
    ),
    WrongAnswer(
        id="takes-everybody",
        title="a greedy soup that leaves nobody out",
        explanation=(
            "Your search takes every state, whatever its soup scores. Then it is the uniform soup with additional work. "
            "When does a state not join?"
        ),
        caught_by="test_members_join_only_if_the_score_does_not_fall",
        swap=(("        if score >= best:\n", "        if True:\n"),),
    ),
    WrongAnswer(
        id="order-of-the-list",
        title="states tried in the order of the list",
        explanation=(
            "Your search begins with state 0 and goes through the list. If that one is poor, the best model may never "
            "get in. Score all of them first, and begin with the best."
        ),
        caught_by="test_members_join_only_if_the_score_does_not_fall",
        swap=((ORDER, "    order = list(range(len(states)))\n"),),
    ),
    WrongAnswer(
        id="lowest-first",
        title="states tried from the lowest score on",
        explanation=(
            "Sorting goes from small to large unless told otherwise, so your search begins with the worst state. Higher "
            "scores are better here."
        ),
        caught_by="test_members_join_only_if_the_score_does_not_fall",
        swap=(("key=lambda position: -scores[position]", "key=lambda position: scores[position]"),),
    ),
    WrongAnswer(
        id="integers-averaged",
        title="integer tensors averaged",
        explanation=(
            "Counters such as `num_batches_tracked` come out averaged, as floats or rounded. They count something that "
            "happened to one model; the rules take them from the first state."
        ),
        caught_by="test_a_uniform_soup_is_the_mean_of_all_states",
        swap=((COPY, "            soup[name] = torch.stack([state[name] for state in states]).float().mean(dim=0)\n"),),
    ),
    WrongAnswer(
        id="pairwise-halves",
        title="each new state averaged half and half with the soup so far",
        explanation=(
            "Your soup is the mean of the previous soup and the newcomer, so the last state has the share 1/2 and the "
            "first ones hardly any. With two states nothing is to be seen; with three it is."
        ),
        caught_by="test_a_uniform_soup_is_the_mean_of_all_states",
        swap=(
            (
                AVERAGE,
                "            wide = torch.promote_types(first.dtype, torch.float32)\n"
                "            mean = first.to(wide)\n"
                "            for state in states[1:]:\n"
                "                mean = (mean + state[name].to(wide)) / 2\n"
                "            soup[name] = mean.to(first.dtype).clone()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="integers-of-the-last-state",
        title="integer tensors taken from the last state",
        explanation=(
            "Integer and boolean tensors of your soup come from another state than the first. In a loop over the states, "
            "the last one to write wins."
        ),
        caught_by="test_a_uniform_soup_is_the_mean_of_all_states",
        swap=((COPY, "            soup[name] = states[-1][name].clone()\n"),),
    ),
    WrongAnswer(
        id="running-statistics-of-the-first-state",
        title="running statistics not averaged",
        explanation=(
            "Weights are averaged, but the running statistics of batch normalisation are those of one state. They are "
            "floating tensors of the state like any other, and have to fit the averaged weights at least roughly."
        ),
        caught_by="test_a_uniform_soup_is_the_mean_of_all_states",
        swap=(
            (
                "        if first.is_floating_point():\n",
                "        if first.is_floating_point() and 'running' not in name:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="summed-in-16-bit",
        title="16-bit tensors added up in 16 bits",
        explanation=(
            "Your sum is formed in the dtype of the weights. Six float16 numbers of 60000 make infinity, and bfloat16 "
            "loses digits with every addition. Average in float32 and convert once, at the end."
        ),
        caught_by="test_a_uniform_soup_is_the_mean_of_all_states",
        swap=((AVERAGE, "            soup[name] = sum(state[name] for state in states) / len(states)\n"),),
    ),
    WrongAnswer(
        id="soup-in-float32",
        title="float64 states averaged in float32",
        explanation=(
            "For float64 states your soup is right to about seven digits only. Widen 16-bit tensors, but do not narrow "
            "others."
        ),
        caught_by="test_a_uniform_soup_is_the_mean_of_all_states",
        swap=(
            (
                "            wide = torch.promote_types(first.dtype, torch.float32)\n",
                "            wide = torch.float32\n",
            ),
        ),
    ),
    WrongAnswer(
        id="compared-with-the-start",
        title="every soup compared with the best single state",
        explanation=(
            "Your best score stays that of the first member, so a state may join although it makes the soup worse than it "
            "was. When a state joins, there is a new score to beat."
        ),
        caught_by="test_members_join_only_if_the_score_does_not_fall",
        swap=((JOIN, "        if score >= best:\n            used.append(position)\n"),),
    ),
    WrongAnswer(
        id="compared-with-the-last-try",
        title="every soup compared with the one tried before",
        explanation=(
            "Your comparison value moves with every try, also with one that was left out. After a bad candidate nearly "
            "anybody gets in. Move it only when a state joins."
        ),
        caught_by="test_members_join_only_if_the_score_does_not_fall",
        swap=((JOIN, "        if score >= best:\n            used.append(position)\n        best = score\n"),),
    ),
    WrongAnswer(
        id="tie-left-out",
        title="a soup that scores the same left out",
        explanation=(
            "Your search asks for a higher score. On a few hundred samples ties are common, and a member more makes the "
            "soup steadier at no cost: at least the best score is enough."
        ),
        caught_by="test_ties_are_enough_and_keep_the_order_of_the_list",
        swap=(("        if score >= best:\n", "        if score > best:\n"),),
    ),
    WrongAnswer(
        id="ties-from-the-end",
        title="equal single scores tried from the end of the list",
        explanation=(
            "Sorting from small to large and turning the order around also turns equal scores around. They should be "
            "tried in the order of the list."
        ),
        caught_by="test_ties_are_enough_and_keep_the_order_of_the_list",
        swap=((ORDER, "    order = sorted(range(len(states)), key=lambda position: scores[position])[::-1]\n"),),
    ),
    WrongAnswer(
        id="soup-and-newcomer-half-and-half",
        title="a greedy soup that averages the soup so far with the newcomer",
        explanation=(
            "Your search mixes each newcomer half and half with the soup so far. From the third member on the shares are "
            "unequal: the last one has one half. Average the original states of all members."
        ),
        caught_by="test_members_join_only_if_the_score_does_not_fall",
        swap=(
            (TRY, "        candidate = uniform_soup([soup, states[position]])\n        score = score_of(candidate)\n"),
            (START, START + "    soup = states[used[0]]\n"),
            (JOIN, JOIN + "            soup = candidate\n"),
            (END, "    return uniform_soup([soup]), used\n"),
        ),
    ),
    WrongAnswer(
        id="last-try-returned",
        title="the last soup tried returned, whether accepted or not",
        explanation=(
            "`used` is right, but the state that you return is the last candidate, which may have been left out. Keep the "
            "soup of the members, or make it again at the end."
        ),
        caught_by="test_members_join_only_if_the_score_does_not_fall",
        swap=(
            (
                TRY,
                "        candidate = uniform_soup([states[m] for m in [*used, position]])\n        score = score_of(candidate)\n",
            ),
            (START, START + "    candidate = uniform_soup([states[used[0]]])\n"),
            (END, "    return candidate, used\n"),
        ),
    ),
    WrongAnswer(
        id="used-sorted",
        title="members listed by position instead of by joining",
        explanation=(
            "Your members are right, but listed in the order of the list. The rules ask for the order in which they "
            "joined, best first; integer tensors of the soup come from the first of them."
        ),
        caught_by="test_members_join_only_if_the_score_does_not_fall",
        swap=((END, "    used.sort()\n" + END),),
    ),
    WrongAnswer(
        id="soup-shares-memory",
        title="tensors of the first state handed out",
        explanation=(
            "Part of your soup is the caller's own tensor: integer tensors, or all of them when there is one state. "
            "Training the soup then changes that model too. Copy what you do not compute."
        ),
        caught_by="test_bad_input_is_refused_and_states_stay",
        swap=((COPY, "            soup[name] = first\n"),),
    ),
    WrongAnswer(
        id="summed-into-the-first-state",
        title="the sum written into the first state",
        explanation=(
            "Your soup adds the other states to the tensors of the first one in place, so that the first model is lost. "
            "Begin the sum with a new tensor."
        ),
        caught_by="test_bad_input_is_refused_and_states_stay",
        swap=(
            (
                AVERAGE,
                "            if first.dtype in (torch.float16, torch.bfloat16):\n"
                "                mean = torch.stack([state[name].float() for state in states]).mean(dim=0)\n"
                "                soup[name] = mean.to(first.dtype)\n"
                "                continue\n"
                "            for state in states[1:]:\n"
                "                first += state[name]\n"
                "            soup[name] = first / len(states)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="missing-names-skipped",
        title="names that are missing from a state passed over",
        explanation=(
            "Where a state lacks a name, your soup averages the others and says nothing. The states are then of different "
            "architectures, and the caller has to hear of it."
        ),
        caught_by="test_bad_input_is_refused_and_states_stay",
        swap=(
            (NAMES, ""),
            (
                "            if tensor.shape != states[0][name].shape:\n",
                "            if name in states[0] and tensor.shape != states[0][name].shape:\n",
            ),
            (
                "torch.stack([state[name] for state in states])  # (states, ...)",
                "torch.stack([state[name] for state in states if name in state])",
            ),
        ),
    ),
    WrongAnswer(
        id="additional-names-skipped",
        title="names that only later states have passed over",
        explanation=(
            "A name that the first state lacks is dropped from the soup without a word. Compare the names in both "
            "directions."
        ),
        caught_by="test_bad_input_is_refused_and_states_stay",
        swap=(
            ("        if state.keys() != states[0].keys():\n", "        if not states[0].keys() <= state.keys():\n"),
            (
                "        for name, tensor in state.items():\n",
                "        for name in states[0]:\n            tensor = state[name]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="shapes-broadcast",
        title="tensors of another shape stretched to fit",
        explanation=(
            "A weight of one row is added to a weight of four, and PyTorch stretches it. The soup then belongs to no "
            "model. Compare the shapes, those of integer tensors too."
        ),
        caught_by="test_bad_input_is_refused_and_states_stay",
        swap=(
            (SHAPES, "            pass\n"),
            (
                AVERAGE,
                "            wide = torch.promote_types(first.dtype, torch.float32)\n"
                "            soup[name] = (sum(state[name].to(wide) for state in states) / len(states)).to(first.dtype)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="logits-broadcast",
        title="logits of another shape stretched to fit",
        explanation=(
            "A member with one row, or one class, is combined with members that have more. Usually a dimension was lost "
            "on the way. Compare the shapes before you average."
        ),
        caught_by="test_bad_input_is_refused_and_states_stay",
        swap=(
            (
                "    if any(member.ndim != 2 or member.shape != logits[0].shape for member in logits):\n",
                "    logits = torch.broadcast_tensors(*logits)\n    if any(member.ndim != 2 for member in logits):\n",
            ),
        ),
    ),
    WrongAnswer(
        id="any-other-mode-is-logit",
        title="an unknown mode accepted",
        explanation=(
            "A mode such as `'probability'` goes through and does one of the two things, perhaps not the one that was "
            "meant. Refuse what you do not know."
        ),
        caught_by="test_bad_input_is_refused_and_states_stay",
        swap=(
            (
                '        raise ValueError(f\'mode must be "prob" or "logit", not {mode!r}\')\n',
                "        pass\n",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-score-accepted",
        title="NaN accepted as a score",
        explanation=(
            "Comparisons with NaN are False, so a NaN makes the order of your search arbitrary, or is taken for a low "
            "score. It says that an evaluation failed: raise `ValueError`, for single states and for soups."
        ),
        caught_by="test_bad_input_is_refused_and_states_stay",
        swap=(('            raise ValueError("a score is NaN")\n', "            pass\n"),),
    ),
]

alternatives = [
    Alternative(
        id="loops",
        title="running sums and an explicit maximum",
        code="""
def ensemble_probs(logits, mode="prob"):
    if not isinstance(mode, str) or mode not in {"prob", "logit"} or not logits:
        raise ValueError("mode or members")
    shape, dtype = tuple(logits[0].shape), logits[0].dtype
    if len(shape) != 2:
        raise ValueError("two dimensions")
    total = torch.zeros(shape, dtype=torch.float64)
    for member in logits:
        if tuple(member.shape) != shape:
            raise ValueError("shapes")
        total += torch.softmax(member.double(), 1) if mode == "prob" else member.double()
    total /= len(logits)
    if mode == "logit":
        total = torch.exp(total - total.logsumexp(1, keepdim=True))
    return total.type(dtype)


def uniform_soup(states):
    if not states:
        raise ValueError("empty")
    names = set(states[0])
    if any(set(state) != names for state in states):
        raise ValueError("names")
    soup = {}
    for name in sorted(names):
        tensors = [state[name] for state in states]
        if len({tuple(tensor.shape) for tensor in tensors}) > 1:
            raise ValueError("shapes")
        if torch.is_floating_point(tensors[0]):
            total = torch.zeros(tensors[0].shape, dtype=torch.float64)
            for tensor in tensors:
                total = total + tensor
            soup[name] = (total / len(tensors)).to(tensors[0].dtype)
        else:
            soup[name] = tensors[0].detach().clone()
    return soup


def greedy_soup(states, evaluate):
    uniform_soup(states)
    left = {}
    for position, state in enumerate(states):
        left[position] = evaluate(state)
        if left[position] != left[position]:
            raise ValueError("NaN")
    used, best = [], -math.inf
    while left:
        position = next(p for p in left if left[p] == max(left.values()))
        del left[position]
        score = evaluate(uniform_soup([states[p] for p in used] + [states[position]]))
        if math.isnan(score):
            raise ValueError("NaN")
        if score >= best:
            used += [position]
            best = score
    return uniform_soup([states[p] for p in used]), used
""",
    ),
    Alternative(
        id="running-mean",
        title="running means of weights, and torch for the order",
        code="""
def ensemble_probs(logits, mode="prob"):
    if mode not in ("prob", "logit"):
        raise ValueError("mode")
    if {tuple(member.shape) for member in logits} != {tuple(logits[0].shape) if len(logits) else None}:
        raise ValueError("shapes")
    if logits[0].dim() != 2:
        raise ValueError("dimensions")
    cube = torch.stack(tuple(logits), dim=2)  # (samples, classes, members)
    cube = cube if cube.dtype == torch.float64 else cube.float()
    if mode == "logit":
        return torch.nn.functional.softmax(cube.mean(2), dim=1).to(logits[0].dtype)
    return torch.nn.functional.log_softmax(cube, dim=1).exp().mean(2).to(logits[0].dtype)


def uniform_soup(states):
    iterator = enumerate(states, start=1)
    _, first = next(iterator, (0, None))
    if first is None:
        raise ValueError("empty")

    def widened(tensor):
        return tensor.double() if tensor.is_floating_point() else tensor

    mean = {name: widened(tensor).clone() for name, tensor in first.items()}
    for count, state in iterator:
        if set(state) ^ set(mean):
            raise ValueError("names")
        for name, tensor in state.items():
            if tensor.shape != mean[name].shape:
                raise ValueError("shapes")
            if tensor.is_floating_point():
                mean[name] += (tensor.double() - mean[name]) / count
    return {name: mean[name].to(first[name].dtype) for name in first}


def greedy_soup(states, evaluate):
    if not states:
        raise ValueError("empty")
    uniform_soup(states)
    scores = torch.tensor([evaluate(dict(state)) for state in states], dtype=torch.float64)
    if scores.isnan().any():
        raise ValueError("NaN")
    order = torch.sort(scores, descending=True, stable=True).indices.tolist()
    used = [order.pop(0)]
    soup, best = uniform_soup([states[used[0]]]), scores.max().item()
    for position in order:
        candidate = uniform_soup([states[p] for p in used + [position]])
        score = float(evaluate(candidate))
        if math.isnan(score):
            raise ValueError("NaN")
        if not score < best:
            used, soup, best = used + [position], candidate, score
    return soup, used
""",
    ),
    Alternative(
        id="weighted-sums",
        title="tensordot with equal shares, and max over the rest",
        code="""
def ensemble_probs(logits, mode="prob"):
    try:
        stacked = torch.stack([member.double() for member in logits])
        members, samples, classes = stacked.shape
    except RuntimeError as error:
        raise ValueError("logits do not fit") from error
    shares = torch.full((members,), 1 / members, dtype=torch.float64)
    if mode == "prob":
        result = torch.einsum("m,mnc->nc", shares, stacked.softmax(2))
    elif mode == "logit":
        result = torch.einsum("m,mnc->nc", shares, stacked).softmax(1)
    else:
        raise ValueError("mode")
    return result.to(logits[0].dtype)


def uniform_soup(states):
    layouts = {tuple(sorted((name, tuple(tensor.shape)) for name, tensor in state.items())) for state in states}
    if len(layouts) != 1:
        raise ValueError("states")
    result = {}
    for name, first in states[0].items():
        if first.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            rows = torch.stack([state[name].double().reshape(-1) for state in states])
            mean = torch.ones(len(states), dtype=torch.float64) @ rows / len(states)
            result[name] = mean.reshape(first.shape).to(first.dtype)
        else:
            result[name] = torch.empty_like(first).copy_(first)
    return result


def greedy_soup(states, evaluate):
    def score(members):
        value = evaluate(uniform_soup([states[p] for p in members]))
        if not value == value:
            raise ValueError("NaN")
        return value

    if len(states) == 0:
        raise ValueError("no states")
    uniform_soup(states)
    singles = {p: score([p]) for p in range(len(states))}
    used, best = [], None
    for p in sorted(singles, key=singles.get, reverse=True):
        value = singles[p] if best is None else score(used + [p])
        if best is None or best <= value:
            best = value
            used.append(p)
    return uniform_soup([states[p] for p in used]), tuple(used)
""",
    ),
]

equivalent_mutants = {
    "minus dropped in `probs = stacked.mean(dim=0)": "of two dimensions, dimension 1 is the last",
}
