"""Wrong answers and differently written correct solutions of optimisation/gradient_conflicts."""

from grader.catalogue import Alternative, WrongAnswer

CLAIMS = "test_claims"
SUM = "test_the_sum_and_what_is_returned"
TWO = "test_two_tasks_in_conflict"
MANY = "test_many_tasks_meet_in_the_given_order"
ZEROS = "test_zeros_one_task_and_the_scale"
MATRIX = "test_conflict_matrix"
BAD_INPUT = "test_bad_input_is_refused"

LOOP = "    for i, sequence in enumerate(order):\n        for j in sequence:\n"
SUBTRACT = "projected[i] -= overlap / (grads[j] @ grads[j]) * grads[j]"

wrong_answers = [
    # ----------------------------------------------------------------------------------- the published answers
    WrongAnswer(
        id="always-the-sum",
        title="the plain sum, whatever the conflicts",
        explanation=(
            "The gradients are added up as if the tasks could only help each other. Where two of them point apart they "
            "cancel, and the larger one wins. What should a task lose when it meets a gradient that opposes its own?"
        ),
        caught_by=TWO,
        swap=(("            if overlap < 0:\n", "            if overlap < 0 and not overlap:\n"),),
    ),
    WrongAnswer(
        id="claims-as-published",
        title="the claims as the published answers have them",
        explanation=(
            "Some claims repeat the one-sided list of advantages that is in print. Think of two tasks that want "
            "opposite things of the same weight, and of two networks that have no weight in common."
        ),
        caught_by=CLAIMS,
        swap=(
            ("negative_transfer=True", "negative_transfer=False"),
            ("separate_networks=False", "separate_networks=True"),
        ),
    ),
    # ------------------------------------------------------------------------------------------------ two tasks
    WrongAnswer(
        id="projects-without-conflict",
        title="projection when the dot product is positive",
        explanation=(
            "Tasks that agree lose what they have in common, and tasks that conflict are left as they are. The sign of "
            "the dot product that means conflict is the other one."
        ),
        caught_by=TWO,
        swap=(("            if overlap < 0:\n", "            if overlap > 0:\n"),),
    ),
    WrongAnswer(
        id="divided-by-the-own-length",
        title="the component divided by the squared length of the own gradient",
        explanation=(
            "The dot product is divided by the squared length of the gradient that is being changed. Then what is left "
            "is not orthogonal to the other gradient, unless both are equally long. Which of the two gives the "
            "direction of the component?"
        ),
        caught_by=TWO,
        swap=((SUBTRACT, "projected[i] -= overlap / (projected[i] @ projected[i]) * grads[j]"),),
    ),
    WrongAnswer(
        id="divided-by-the-length-once",
        title="the component divided by the length instead of the squared length",
        explanation=(
            "The length of the other gradient is divided out once, but it enters twice: in the dot product and in the "
            "vector that is subtracted. With a gradient of length 1 nobody notices."
        ),
        caught_by=TWO,
        swap=((SUBTRACT, "projected[i] -= overlap / np.linalg.norm(grads[j]) * grads[j]"),),
    ),
    WrongAnswer(
        id="all-normalised-first",
        title="all gradients brought to length 1 first",
        explanation=(
            "The result no longer depends on the sizes of the gradients. That is a weighting of the tasks, a method of "
            "its own; here only what conflicts is taken away, and the rest keeps its size."
        ),
        caught_by=TWO,
        swap=(
            (
                "    projected = grads.copy()\n",
                "    lengths = np.linalg.norm(grads, axis=1, keepdims=True)\n"
                "    grads = grads / np.where(lengths > 0, lengths, 1)\n    projected = grads.copy()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="only-the-first-task-projected",
        title="only one of two conflicting tasks projected",
        explanation=(
            "One task gives way and the other keeps its gradient whole, so the result depends on which comes first. "
            "Each of the two loses its component along the other's original gradient."
        ),
        caught_by=TWO,
        swap=((LOOP, "    for i, sequence in enumerate(order[:1]):\n        for j in sequence:\n"),),
    ),
    # ------------------------------------------------------------------------------------------------ many tasks
    WrongAnswer(
        id="only-earlier-tasks",
        title="each pair met only once",
        explanation=(
            "A task meets those with a higher number only, so of each pair just one is projected, and the last task "
            "never. Every task meets all others."
        ),
        caught_by=MANY,
        swap=(
            (
                LOOP,
                "    for i, sequence in enumerate(order):\n        for j in (j for j in sequence if i < j):\n",
            ),
        ),
    ),
    WrongAnswer(
        id="against-projected-gradients",
        title="projection off gradients that were already changed",
        explanation=(
            "A task meets the working copies of those before it and not their original gradients. Then the numbering of "
            "the tasks decides the result, even for two. Keep the originals apart from the copies."
        ),
        caught_by=MANY,
        swap=(
            ("overlap = projected[i] @ grads[j]", "overlap = projected[i] @ projected[j]"),
            (SUBTRACT, "projected[i] -= overlap / (projected[j] @ projected[j]) * projected[j]"),
        ),
    ),
    WrongAnswer(
        id="original-copy-decides",
        title="conflicts decided by the original gradient of the task",
        explanation=(
            "Whether a task is projected is decided by its original gradient, also after its copy has been changed by "
            "earlier meetings. With two tasks there is no difference; with three, a projection can make a new conflict "
            "or remove one."
        ),
        caught_by=MANY,
        swap=(("            if overlap < 0:\n", "            if grads[i] @ grads[j] < 0:\n"),),
    ),
    WrongAnswer(
        id="all-projections-at-once",
        title="all components of the original gradient subtracted at once",
        explanation=(
            "Every component is computed from the original gradient of the task, and all of them are subtracted. If the "
            "other gradients are not orthogonal to each other, too much is taken away: after each meeting the copy is "
            "another one."
        ),
        caught_by=MANY,
        swap=(("overlap = projected[i] @ grads[j]", "overlap = grads[i] @ grads[j]"),),
    ),
    WrongAnswer(
        id="order-ignored",
        title="the order ignored",
        explanation=(
            "The tasks meet in ascending order, whatever `order` says. From three tasks on the order changes the "
            "result."
        ),
        caught_by=MANY,
        swap=((LOOP, "    for i, sequence in enumerate(others):\n        for j in sequence:\n"),),
    ),
    WrongAnswer(
        id="stops-after-one-conflict",
        title="each task projected once at most",
        explanation=(
            "A task stops at the first conflict that it finds. It has to meet all the others, and may lose a component "
            "to each of them."
        ),
        caught_by=MANY,
        swap=((f"                {SUBTRACT}\n", f"                {SUBTRACT}\n                break\n"),),
    ),
    # --------------------------------------------------------------------------------------- zeros, scale and types
    WrongAnswer(
        id="nan-for-zeros",
        title="NaN for a gradient of zeros",
        explanation=(
            "The component along a gradient of zeros is 0/0. Such a gradient comes up whenever a batch holds no label "
            "of a task. Its dot product with everything is 0, so is there a conflict at all?"
        ),
        caught_by=ZEROS,
        swap=(("            if overlap < 0:\n", "            if overlap <= 0:\n"),),
    ),
    WrongAnswer(
        id="epsilon-in-the-denominator",
        title="a small number added to the squared length",
        explanation=(
            "A constant such as 1e-8 in the denominator guards against 0, but squared lengths of real gradients are often "
            "smaller than that, and then hardly anything is projected. Where there is a conflict the length is not 0, "
            "so no guard is needed."
        ),
        caught_by=ZEROS,
        swap=((SUBTRACT, "projected[i] -= overlap / (grads[j] @ grads[j] + 1e-12) * grads[j]"),),
    ),
    WrongAnswer(
        id="mean-for-sum",
        title="the mean over the tasks",
        explanation=(
            "The gradients are averaged. That differs from the sum by the number of tasks only, but this changes the "
            "learning rate that fits. Both methods are to return a sum."
        ),
        caught_by=SUM,
        swap=(
            ("return grads.sum(axis=0)", "return grads.mean(axis=0)"),
            ("return projected.sum(axis=0)", "return projected.mean(axis=0)"),
        ),
    ),
    WrongAnswer(
        id="float32-throughout",
        title="a result that is not float64",
        explanation=(
            "The result has the precision of the input, so float32 gradients lose digits in the sum, and integer ones "
            "cannot be projected at all. Convert to float64 first."
        ),
        caught_by=SUM,
        swap=(
            ("return grads.sum(axis=0)", "return grads.sum(axis=0).astype(np.float32)"),
            ("return projected.sum(axis=0)", "return projected.sum(axis=0).astype(np.float32)"),
        ),
    ),
    WrongAnswer(
        id="argument-changed",
        title="the gradients passed in changed",
        explanation=(
            "The working copies are the caller's own rows: a name for an array, or a view of it, is not a copy. After "
            "the call the caller's gradients are the projected ones."
        ),
        caught_by=SUM,
        code="""
_combine_gradients = combine_gradients


def combine_gradients(grads, method, order=None):
    _combine_gradients(grads, method, order)  # for its checks of the input
    grads = np.asarray(grads, dtype=np.float64)
    if method == "pcgrad":
        for i in range(len(grads)):
            for j in order[i] if order is not None else [j for j in range(len(grads)) if j != i]:
                overlap = grads[i] @ grads[j]
                if overlap < 0:
                    grads[i] -= overlap / (grads[j] @ grads[j]) * grads[j]
    return grads.sum(axis=0)
""",
    ),
    WrongAnswer(
        id="single-task-is-a-view",
        title="the row of a single task handed back",
        explanation=(
            "With one task the result is a part of the caller's array, so whoever scales or clips it changes the "
            "argument as well. Return a new array in this case too."
        ),
        caught_by=SUM,
        code="""
_combine_gradients = combine_gradients


def combine_gradients(grads, method, order=None):
    result = _combine_gradients(grads, method, order)
    return np.asarray(grads, dtype=np.float64)[0] if len(grads) == 1 else result
""",
    ),
    # ------------------------------------------------------------------------------------------------- the matrix
    WrongAnswer(
        id="dot-products-for-cosines",
        title="dot products in place of cosines",
        explanation=(
            "The entries depend on the sizes of the gradients, so two matrices cannot be compared, and the loudest task "
            "looks most in conflict. What are the entries on the diagonal, and what should they be?"
        ),
        caught_by=MATRIX,
        swap=(("return directions @ directions.T", "return grads @ grads.T"),),
    ),
    WrongAnswer(
        id="zeros-are-similar-to-themselves",
        title="1 on the diagonal for a gradient of zeros",
        explanation=(
            "The diagonal is set to 1 throughout. A gradient of zeros has no direction, and the task asks for 0 with "
            "every gradient, itself included: then the diagonal shows which tasks had no gradient."
        ),
        caught_by=MATRIX,
        swap=(
            (
                "return directions @ directions.T  # (tasks, tasks)",
                "cosines = directions @ directions.T\n    np.fill_diagonal(cosines, 1.0)\n    return cosines",
            ),
        ),
    ),
    WrongAnswer(
        id="matrix-of-nan",
        title="NaN in the matrix for a gradient of zeros",
        explanation="The cosine with a gradient of zeros is 0/0. The task asks for 0 there: guard the division.",
        caught_by=MATRIX,
        swap=(("np.divide(grads, lengths, out=np.zeros_like(grads), where=lengths > 0)", "grads / lengths"),),
    ),
    WrongAnswer(
        id="scaled-by-the-longest",
        title="all gradients divided by one common length",
        explanation=(
            "The length is taken over the whole matrix and not of each gradient, so that only the longest comes out "
            "with a 1 on the diagonal, or none does. Each gradient has its own length: over which axis?"
        ),
        caught_by=MATRIX,
        swap=(
            (
                "lengths = np.linalg.norm(grads, axis=1, keepdims=True)  # (tasks, 1)",
                "lengths = np.full((len(grads), 1), np.linalg.norm(grads))",
            ),
        ),
    ),
    WrongAnswer(
        id="pcgrad-misjudged",
        title="the claims about what PCGrad guarantees",
        explanation=(
            "Draw two conflicting gradients and project each off the other, then a third one. Which of the angles are "
            "still at most a right angle? And what does the method do when there is no conflict?"
        ),
        caught_by=CLAIMS,
        swap=(
            ("three_tasks=False", "three_tasks=True"),
            ("balances_sizes=False", "balances_sizes=True"),
        ),
    ),
    # -------------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="nan-accepted",
        title="gradients with NaN or infinities accepted",
        explanation=(
            "One NaN makes the whole result NaN, and with it the shared weights after the next step. Such a gradient "
            "has to be refused."
        ),
        caught_by=BAD_INPUT,
        code="""
_combine_gradients, _conflict_matrix = combine_gradients, conflict_matrix


def _finite(grads):
    return np.nan_to_num(np.asarray(grads, dtype=np.float64), posinf=1e9, neginf=-1e9)


def combine_gradients(grads, method, order=None):
    return _combine_gradients(_finite(grads), method, order)


def conflict_matrix(grads):
    return _conflict_matrix(_finite(grads))
""",
    ),
    WrongAnswer(
        id="vector-accepted",
        title="a single vector accepted as gradients",
        explanation=(
            "A one-dimensional array is taken for one task, or for many tasks with one parameter each. Which of the two "
            "was meant cannot be known, so it has to be refused."
        ),
        caught_by=BAD_INPUT,
        code="""
_combine_gradients, _conflict_matrix = combine_gradients, conflict_matrix


def combine_gradients(grads, method, order=None):
    return _combine_gradients(np.atleast_2d(grads), method, order)


def conflict_matrix(grads):
    return _conflict_matrix(np.atleast_2d(grads))
""",
    ),
    WrongAnswer(
        id="unknown-method-is-the-sum",
        title="an unknown method taken for one of the two",
        explanation=(
            "Everything that is not the one method runs the other, so a typing mistake changes the training without a "
            "word."
        ),
        caught_by=BAD_INPUT,
        swap=(('    if method != "pcgrad":\n', "    if not method:\n"),),
    ),
    WrongAnswer(
        id="order-unchecked",
        title="any order accepted",
        explanation=(
            "An order with too few lists, with a task of its own list, or with a negative number runs without a word and "
            "projects something else, for example a task off its own gradient."
        ),
        caught_by=BAD_INPUT,
        swap=(("    if [sorted(sequence) for sequence in order] != others:\n", "    if order is None:\n"),),
    ),
    WrongAnswer(
        id="order-may-miss-tasks",
        title="an order that leaves tasks out accepted",
        explanation=(
            "That no list holds its own task is checked, but not that each holds every other one exactly once. A task "
            "that is left out keeps its conflict, and nothing says so."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "    if [sorted(sequence) for sequence in order] != others:\n",
                "    if len(order) != len(grads) or any(i in order[i] or not set(order[i]) <= set(tasks) for i in tasks):\n",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="unit-vectors",
        title="unit vectors of the others, the smaller of overlap and 0, one task after the other",
        code="""
def _as_matrix(grads):
    matrix = np.asarray(grads, dtype=float)
    if matrix.ndim != 2 or 0 in matrix.shape or np.any(~np.isfinite(matrix)):
        raise ValueError("gradients")
    return matrix


def conflict_matrix(grads):
    matrix = _as_matrix(grads)
    gram = matrix @ matrix.T
    norms = np.sqrt(np.diag(gram))
    scale = np.outer(norms, norms)
    return np.where(scale == 0, 0.0, gram / np.where(scale == 0, 1.0, scale))


def combine_gradients(grads, method, order=None):
    matrix = _as_matrix(grads)
    count = matrix.shape[0]
    if method not in {"sum", "pcgrad"}:
        raise ValueError(method)
    if method == "sum":
        return np.einsum("tp->p", matrix)
    if order is not None:
        if len(order) != count:
            raise ValueError("order")
        for i in range(count):
            if len(order[i]) != count - 1 or set(order[i]) != set(range(count)) - {i}:
                raise ValueError("order")
    units = []
    for row in matrix:
        norm = np.sqrt((row**2).sum())
        units.append(row / norm if norm > 0 else row)
    total = np.zeros(matrix.shape[1])
    for i in range(count):
        copy = matrix[i] + 0.0
        for j in np.delete(np.arange(count), i) if order is None else order[i]:
            copy = copy - np.minimum(copy @ units[j], 0.0) * units[j]
        total += copy
    return total
""",
    ),
    Alternative(
        id="plain-python",
        title="lists of Python floats, the projection in a function of its own",
        code="""
def _rows(grads):
    if np.ndim(grads) != 2 or np.size(grads) == 0:
        raise ValueError("shape")
    rows = [[float(value) for value in row] for row in grads]
    if any(value != value or value in (float("inf"), float("-inf")) for row in rows for value in row):
        raise ValueError("finite")
    return rows


def _dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def _without_conflict(copy, other):
    overlap = _dot(copy, other)
    if overlap >= 0:
        return copy
    share = overlap / _dot(other, other)
    return [x - share * y for x, y in zip(copy, other)]


def conflict_matrix(grads):
    rows = _rows(grads)
    result = np.zeros((len(rows), len(rows)))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            if any(a) and any(b):
                result[i, j] = _dot(a, b) / (_dot(a, a) ** 0.5 * _dot(b, b) ** 0.5)
    return result


def combine_gradients(grads, method, order=None):
    rows = _rows(grads)
    if method == "sum":
        return np.array([sum(column) for column in zip(*rows)])
    if method == "pcgrad":
        n = len(rows)
        order = [[*range(i), *range(i + 1, n)] for i in range(n)] if order is None else [list(o) for o in order]
        if len(order) != n or any(sorted([*o, i]) != list(range(n)) for i, o in enumerate(order)):
            raise ValueError("order")
        copies = list(rows)
        for i in range(n):
            for j in order[i]:
                copies[i] = _without_conflict(copies[i], rows[j])
        return np.array([sum(column) for column in zip(*copies)])
    raise ValueError("method")
""",
    ),
    Alternative(
        id="all-tasks-side-by-side",
        title="all copies updated together, one meeting at a time",
        code="""
def combine_gradients(grads, method, order=None):
    original = np.array(grads, dtype=np.float64, ndmin=1)
    if original.ndim != 2 or min(original.shape) < 1 or not np.all(np.isfinite(original)):
        raise ValueError("gradients")
    n = len(original)
    if method == "sum":
        return original.T @ np.ones(n)
    elif method != "pcgrad":
        raise ValueError("method")
    if order is None:
        order = [[j for j in range(n) if j != i] for i in range(n)]
    lists = [list(map(int, row)) for row in order]
    if sorted(map(len, lists)) != [n - 1] * n or any({*row, i} != set(range(n)) for i, row in enumerate(lists)):
        raise ValueError("order")
    copies = original.copy()
    squares = np.einsum("tp,tp->t", original, original)
    for meeting in np.array(lists, dtype=int).T.reshape(n - 1, n):
        met = original[meeting]
        overlap = np.einsum("tp,tp->t", copies, met).clip(max=0.0)
        share = np.divide(overlap, squares[meeting], out=np.zeros(n), where=overlap < 0)
        copies -= share[:, None] * met
    return copies.sum(0)
""",
    ),
]
