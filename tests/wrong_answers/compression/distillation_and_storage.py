"""Wrong answers and differently written correct solutions of compression/distillation_and_storage."""

from grader.catalogue import Alternative, WrongAnswer

CLAIMS = "test_claims"
HARD = "test_with_alpha_zero_only_the_labels_count"
SOFT = "test_with_alpha_one_only_the_teacher_counts"
MIX = "test_the_two_parts_are_mixed_and_nothing_else_enters"
RANGE = "test_large_logits_and_narrow_types"
BYTES = "test_everything_that_is_stored_is_counted"
BAD_INPUT = "test_bad_input_is_refused"

# pieces of the reference
SUM_OF_KL = "(np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()"
MIXTURE = "alpha * temperature**2 * soft + (1 - alpha) * hard)"
CHECK_SHAPES = "student_logits.ndim != 2 or student_logits.shape != teacher_logits.shape"
SHIFTED = "        shifted = logits - logits.max(axis=1, keepdims=True)"
STUDENT = "student_logits = np.asarray(student_logits, dtype=np.float64)"
TEACHER = "teacher_logits = np.asarray(teacher_logits, dtype=np.float64)"
CSR = "(4 + 4) * nnz + 4 * (rows + 1)"

wrong_answers = [
    # The published answer has no code and names no method; its statements are among the claims.
    WrongAnswer(
        id="claims-as-published",
        title="the claims as the published answer has them",
        explanation=(
            "Some claims follow statements that are in print and wrong: that less capacity makes a model more robust, "
            "and that bytes go down in step with the number of weights. Count the bytes of one small sparse matrix by "
            "hand, and ask whose accuracy an average can hide."
        ),
        caught_by=CLAIMS,
        swap=(
            ("more_robust=False", "more_robust=True"),
            ("bytes_follow_zeros=False", "bytes_follow_zeros=True"),
        ),
    ),
    WrongAnswer(
        id="speed-and-tokens-misjudged",
        title="the claims about speed judged the wrong way round",
        explanation=(
            "Two claims ask what makes a model faster. Think of what a dense kernel does with a zero, and of what the "
            "length of a sequence has to do with the number of weights."
        ),
        caught_by=CLAIMS,
        swap=(
            ("time_follows_zeros=False", "time_follows_zeros=True"),
            ("fewer_image_tokens=True", "fewer_image_tokens=False"),
        ),
    ),
    # ---------------------------------------------------------------------------------------------- the soft term
    WrongAnswer(
        id="no-factor",
        title="the soft term without the factor T²",
        explanation=(
            "Your soft term fades away as the temperature grows, and with it what the teacher has to say: its gradients "
            "shrink like 1 / T². Compare the loss at temperature 1 and 10 for the same logits."
        ),
        caught_by=SOFT,
        swap=((MIXTURE, "alpha * soft + (1 - alpha) * hard)"),),
    ),
    WrongAnswer(
        id="factor-t-once",
        title="the soft term with a factor T instead of T²",
        explanation=(
            "One factor T undoes the chain rule through the division. The difference of the two softened distributions "
            "shrinks as well as T grows: how many factors does it take together?"
        ),
        caught_by=SOFT,
        swap=((MIXTURE, "alpha * temperature * soft + (1 - alpha) * hard)"),),
    ),
    WrongAnswer(
        id="divergence-reversed",
        title="the divergence taken from student to teacher",
        explanation=(
            "KL is not symmetric, and yours averages under the student's probabilities. The teacher's say what matters: "
            "a class that the teacher finds likely and the student does not must cost much. Some libraries take the two "
            "arguments in the order opposite to the formula."
        ),
        caught_by=SOFT,
        swap=((SUM_OF_KL, "(np.exp(log_q) * (log_q - log_p)).sum(axis=1).mean()"),),
    ),
    WrongAnswer(
        id="mean-over-classes",
        title="the divergence averaged over samples and classes",
        explanation=(
            "Your soft term is smaller by the number of classes. A divergence is a sum over the classes of one sample; "
            "only the samples are averaged. (In a well-known library this is the default reduction, with a warning.)"
        ),
        caught_by=SOFT,
        swap=((SUM_OF_KL, "(np.exp(log_p) * (log_p - log_q)).mean()"),),
    ),
    WrongAnswer(
        id="teacher-entropy-left-in",
        title="a cross-entropy with the teacher's probabilities instead of the divergence",
        explanation=(
            "The gradients are right, the value is not: a student with the teacher's own logits should have a soft term "
            "of 0, and yours is the teacher's entropy. Which average is still to be taken off?"
        ),
        caught_by=SOFT,
        swap=((SUM_OF_KL, "(-np.exp(log_p) * log_q).sum(axis=1).mean()"),),
    ),
    WrongAnswer(
        id="student-not-softened",
        title="the temperature applied to the teacher only",
        explanation=(
            "The teacher is softened and the student is not, so a perfect copy of the teacher would be told to change. "
            "What should the soft term be when both have the same logits?"
        ),
        caught_by=SOFT,
        swap=(("log_softmax(student_logits / temperature)", "log_softmax(student_logits)"),),
    ),
    WrongAnswer(
        id="teacher-not-softened",
        title="the temperature applied to the student only",
        explanation=(
            "The student is softened and the teacher is not, so a perfect copy of the teacher would be told to change. "
            "What should the soft term be when both have the same logits?"
        ),
        caught_by=SOFT,
        swap=(("log_softmax(teacher_logits / temperature)", "log_softmax(teacher_logits)"),),
    ),
    WrongAnswer(
        id="logits-times-temperature",
        title="logits multiplied by the temperature",
        explanation=(
            "A high temperature makes your distributions sharper. It should melt them: which way do the logits have to "
            "go for the softmax to come closer to uniform?"
        ),
        caught_by=SOFT,
        swap=(
            ("log_softmax(student_logits / temperature)", "log_softmax(student_logits * temperature)"),
            ("log_softmax(teacher_logits / temperature)", "log_softmax(teacher_logits * temperature)"),
        ),
    ),
    WrongAnswer(
        id="teacher-as-labels",
        title="the teacher's best class as a second label",
        explanation=(
            "You keep the teacher's first choice and throw away its probabilities for the other classes, which are what "
            "distillation is about. Use the whole softened distribution."
        ),
        caught_by=SOFT,
        swap=((SUM_OF_KL, "-log_q[np.arange(samples), log_p.argmax(axis=1)].mean()"),),
    ),
    WrongAnswer(
        id="logits-compared",
        title="the mean squared difference of the logits as soft term",
        explanation=(
            "Matching logits is what the divergence comes close to at a very high temperature, apart from a factor and "
            "from a number added to all logits of a row, which should change nothing. Compare distributions."
        ),
        caught_by=SOFT,
        swap=((SUM_OF_KL, "((teacher_logits - student_logits) ** 2).mean() / temperature**2"),),
    ),
    WrongAnswer(
        id="probabilities-softened-afterwards",
        title="probabilities divided by the temperature, instead of logits",
        explanation=(
            "Dividing probabilities by T leaves numbers that do not add up to 1, and the shape of the distribution as "
            "it was. The temperature has to act before the softmax."
        ),
        caught_by=SOFT,
        swap=(
            ("log_softmax(student_logits / temperature)", "log_softmax(student_logits) - np.log(temperature)"),
            ("log_softmax(teacher_logits / temperature)", "log_softmax(teacher_logits) - np.log(temperature)"),
        ),
    ),
    # ---------------------------------------------------------------------------------------------- the hard term
    WrongAnswer(
        id="hard-at-temperature",
        title="the cross-entropy with the labels at temperature T",
        explanation=(
            "With alpha = 0 your loss still depends on the temperature. The student answers at temperature 1 when it is "
            "used, so that is where it is compared with the labels."
        ),
        caught_by=HARD,
        swap=(("-log_softmax(student_logits)[np", "-log_softmax(student_logits / temperature)[np"),),
    ),
    WrongAnswer(
        id="factor-on-both-terms",
        title="the factor T² on both terms",
        explanation=(
            "With alpha = 0 your loss still depends on the temperature. The factor makes up for what softening does to "
            "the gradients; which of the two terms is softened?"
        ),
        caught_by=HARD,
        swap=((MIXTURE, "temperature**2 * (alpha * soft + (1 - alpha) * hard))"),),
    ),
    WrongAnswer(
        id="summed-over-the-batch",
        title="losses summed over the samples",
        explanation=(
            "Your loss grows with the number of samples, so the step size would depend on the batch size. What happens "
            "to it if every sample is there twice?"
        ),
        caught_by=HARD,
        swap=((MIXTURE, "samples * (alpha * temperature**2 * soft + (1 - alpha) * hard))"),),
    ),
    WrongAnswer(
        id="negative-log-of-two",
        title="logarithms to the base 2",
        explanation=(
            "Your loss is too large by a factor of 1.44: it is measured in bits. Both terms are defined with the natural "
            "logarithm, as in the libraries for training."
        ),
        caught_by=HARD,
        swap=((MIXTURE, "(alpha * temperature**2 * soft + (1 - alpha) * hard) / np.log(2))"),),
    ),
    # ---------------------------------------------------------------------------------------------- mixing
    WrongAnswer(
        id="same-share-for-both",
        title="shares that do not add up to 1",
        explanation=(
            "At alpha 0 and 1 your loss is right, in between it is not: the two shares do not add up to 1. If one term "
            "has the share alpha, what is left for the other?"
        ),
        caught_by=MIX,
        swap=((MIXTURE, "alpha * temperature**2 * soft + (1 - alpha**2) * hard)"),),
    ),
    WrongAnswer(
        id="changed-in-place",
        title="the logits of the caller are changed",
        explanation=(
            "Your function changes the arrays it was given: an operation like `/=` or `-=` acts on the caller's array, "
            "since `np.asarray` makes no copy of an array that already has the right type."
        ),
        caught_by=MIX,
        swap=(
            (
                "    log_q = log_softmax(student_logits / temperature)  # (samples, classes)\n",
                "    student_logits /= temperature\n"
                "    log_q = log_softmax(student_logits)\n"
                "    student_logits *= temperature\n"
                "    student_logits -= student_logits.max(axis=1, keepdims=True)\n",
            ),
        ),
    ),
    # ---------------------------------------------------------------------------------------------- numerical range
    WrongAnswer(
        id="log-of-a-probability",
        title="the logarithm of a probability that has become 0",
        explanation=(
            "For a class 800 below the best one, the probability is 0 in float64, and its logarithm minus infinity: the "
            "loss becomes infinite or NaN. Compute the logarithm of the softmax without computing the softmax."
        ),
        caught_by=RANGE,
        swap=(
            (
                "        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))\n",
                "        probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)\n"
                "        return np.log(probabilities)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="epsilon-in-the-logarithm",
        title="a small number added to the probabilities before the logarithm",
        explanation=(
            "The small number keeps your loss finite and makes it wrong: a confident mistake costs 28 at most, however "
            "large the logits are. Compute the logarithm of the softmax without computing the softmax."
        ),
        caught_by=RANGE,
        swap=(
            (
                "        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))\n",
                "        probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)\n"
                "        return np.log(probabilities + 1e-12)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="no-maximum-taken-off",
        title="exponentials of the logits as they are",
        explanation=(
            "The exponential of 1000 is infinite in float64, so your loss is infinite or NaN for large logits. Which "
            "number can you take off a row without changing its softmax?"
        ),
        caught_by=RANGE,
        swap=((SHIFTED, "        shifted = logits"),),
    ),
    WrongAnswer(
        id="one-maximum-for-all-rows",
        title="the maximum of the whole array taken off, instead of that of each row",
        explanation=(
            "Nothing overflows, but in a row that lies far below the largest logit of the batch every exponential is 0 "
            "and the logarithm of their sum minus infinity. Each row has a maximum of its own."
        ),
        caught_by=RANGE,
        swap=((SHIFTED, "        shifted = logits - logits.max()"),),
    ),
    WrongAnswer(
        id="dtype-of-the-logits",
        title="computed in the type of the logits",
        explanation=(
            "Teachers often store their logits in float16. Yours are used as they come, so that sums and logarithms are "
            "rounded to three digits. Convert them before anything is computed."
        ),
        caught_by=RANGE,
        swap=(
            (STUDENT, "student_logits = np.asarray(student_logits)"),
            (TEACHER, "teacher_logits = np.asarray(teacher_logits)"),
        ),
    ),
    # ---------------------------------------------------------------------------------------------- bytes
    WrongAnswer(
        id="density-times-dense",
        title="sparse size as the share of non-zeros times the dense size",
        explanation=(
            "Your sparse size is 4 bytes for each non-zero value, as the published promise has it. From these values "
            "alone nobody could say where in the matrix they belong."
        ),
        caught_by=BYTES,
        swap=((CSR, "4 * nnz"),),
    ),
    WrongAnswer(
        id="values-without-columns",
        title="sparse size without the column indices",
        explanation=(
            "Values and row pointers are counted. The pointers say which values belong to a row, and not where in the "
            "row they stand: what else is stored for each value?"
        ),
        caught_by=BYTES,
        swap=((CSR, "4 * nnz + 4 * (rows + 1)"),),
    ),
    WrongAnswer(
        id="no-row-pointers",
        title="sparse size without the row pointers",
        explanation=(
            "Values and columns are counted. With these alone, nobody could say where a row ends and the next one "
            "begins; a matrix without any non-zero value is not free either."
        ),
        caught_by=BYTES,
        swap=((CSR, "(4 + 4) * nnz"),),
    ),
    WrongAnswer(
        id="one-row-pointer-too-few",
        title="sparse size with one row pointer too few",
        explanation=(
            "One pointer for each row says where the rows begin. Where does the last one end? Four bytes are missing."
        ),
        caught_by=BYTES,
        swap=((CSR, "(4 + 4) * nnz + 4 * rows"),),
    ),
    WrongAnswer(
        id="pointers-for-columns",
        title="sparse size with pointers for the columns",
        explanation=(
            "Your format is compressed by column, CSC. In CSR it is the rows that have pointers: the two differ for a "
            "matrix that is not square."
        ),
        caught_by=BYTES,
        swap=((CSR, "(4 + 4) * nnz + 4 * (columns + 1)"),),
    ),
    WrongAnswer(
        id="coordinates-for-each-value",
        title="sparse size of a list of rows, columns and values",
        explanation=(
            "You count a row and a column index for each value: that is the coordinate format, COO. CSR stores the "
            "column of each value and says only once for each row where it begins."
        ),
        caught_by=BYTES,
        swap=((CSR, "12 * nnz"),),
    ),
    WrongAnswer(
        id="int8-without-scales",
        title="int8 without its scales",
        explanation=(
            "One byte for each entry is there, but integers from -127 to 127 mean nothing until they are multiplied by "
            "a scale, and each scale takes room as well."
        ),
        caught_by=BYTES,
        swap=(("return entries + 4\n", "return entries\n"), ("return entries + 4 * rows", "return entries")),
    ),
    WrongAnswer(
        id="one-scale-for-each-column",
        title="int8 with one scale for each column",
        explanation=(
            "Per channel means one scale for each output, and here the outputs are the rows. The two differ for a "
            "matrix that is not square."
        ),
        caught_by=BYTES,
        swap=(("return entries + 4 * rows", "return entries + 4 * columns"),),
    ),
    WrongAnswer(
        id="one-byte-for-each-scale",
        title="int8 with scales of one byte",
        explanation=(
            "The entries are bytes, the scales are not: a scale is a float32, since it has to reach from the smallest "
            "rows to the largest."
        ),
        caught_by=BYTES,
        swap=(("return entries + 4\n", "return entries + 1\n"), ("return entries + 4 * rows", "return entries + rows")),
    ),
    WrongAnswer(
        id="rank-times-the-matrix",
        title="low-rank size as the rank's share of the dense size",
        explanation=(
            "A rank of half the smaller side does not halve the bytes: there are two factors. Write down both shapes "
            "and count; for a square matrix, half the side is where nothing is saved at all."
        ),
        caught_by=BYTES,
        swap=(("return 4 * (rows * rank + rank * columns)", "return 4 * entries * rank // min(rows, columns)"),),
    ),
    WrongAnswer(
        id="bytes-as-a-float",
        title="a number of bytes that is a float",
        explanation=(
            "Your result is a float, from a division or a factor such as 0.5 or 4.0. A number of bytes is a whole "
            "number, and beyond 2**53 a float cannot even hold every one."
        ),
        caught_by=BYTES,
        swap=(("return 4 * entries\n", "return 32 * entries / 8\n"), (CSR, "64 * nnz / 8 + 32 * (rows + 1) / 8")),
    ),
    WrongAnswer(
        id="no-non-zero-refused",
        title="a matrix of zeros only is refused",
        explanation=(
            "`nnz=0` is a number like any other: nothing is stored but the row pointers. A test such as `if not nnz` "
            "cannot tell it from `None`."
        ),
        caught_by=BYTES,
        swap=(("if nnz is None or not 0 <= nnz <= entries:", "if not nnz or not 0 <= nnz <= entries:"),),
    ),
    # ---------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="any-temperature",
        title="a temperature of 0, below 0 or NaN is accepted",
        explanation=(
            "At temperature 0 the logits become infinite or NaN, and a negative one turns the ranking of the classes "
            "round. A comparison with NaN is false: phrase the condition so that it has to be true for good values."
        ),
        caught_by=BAD_INPUT,
        swap=(("if not 0 < temperature < math.inf:", "if temperature is None:"),),
    ),
    WrongAnswer(
        id="nan-is-in-range",
        title="NaN passes as temperature or alpha",
        explanation=(
            "Numbers out of range are refused, but NaN is not: every comparison with it is false, also `alpha < 0`. "
            "Phrase the condition so that it has to be true for good values."
        ),
        caught_by=BAD_INPUT,
        swap=(
            ("if not 0 < temperature < math.inf:", "if temperature <= 0 or temperature == math.inf:"),
            ("if not 0 <= alpha <= 1:", "if alpha < 0 or alpha > 1:"),
        ),
    ),
    WrongAnswer(
        id="any-alpha",
        title="an alpha outside [0, 1] is accepted",
        explanation=(
            "With alpha above 1 the hard term gets a negative share: training would push the student away from the "
            "labels, without any error."
        ),
        caught_by=BAD_INPUT,
        swap=(("if not 0 <= alpha <= 1:", "if alpha is None:"),),
    ),
    WrongAnswer(
        id="negative-label-wraps-around",
        title="a label of -1 counts as the last class",
        explanation=(
            "An index of -1 is the last column in NumPy, so an unlabelled sample silently becomes one of the last "
            "class. Look at the labels before you use them as positions."
        ),
        caught_by=BAD_INPUT,
        swap=(("if labels.min() < 0 or labels.max() >= classes:", "if labels.max() >= classes:"),),
    ),
    WrongAnswer(
        id="one-teacher-row-for-all",
        title="a single row of the teacher is used for every sample",
        explanation=(
            "Logits of shape (1, C) or (N, 1) are stretched to (N, C) by broadcasting, so a mistake in the batch is "
            "never noticed. Compare the two shapes yourself."
        ),
        caught_by=BAD_INPUT,
        swap=((CHECK_SHAPES, "student_logits.ndim != 2 or teacher_logits.ndim != 2"),),
    ),
    WrongAnswer(
        id="more-non-zeros-than-entries",
        title="more non-zero entries than the matrix has",
        explanation=(
            "A number of non-zeros above the number of entries, or below 0, gives a size as if nothing were wrong. "
            "Check it against the shape."
        ),
        caught_by=BAD_INPUT,
        swap=(("if nnz is None or not 0 <= nnz <= entries:", "if nnz is None:"),),
    ),
    WrongAnswer(
        id="any-rank",
        title="a rank above the smaller side is accepted",
        explanation=(
            "No matrix has a rank above its smaller side: such factors store more numbers than the matrix itself and "
            "add nothing. Check the rank against the shape."
        ),
        caught_by=BAD_INPUT,
        swap=(("if rank is None or not 1 <= rank <= min(rows, columns):", "if rank is None or rank < 1:"),),
    ),
]

alternatives = [
    Alternative(
        id="plain-loops",
        title="plain Python with math, and a chain of comparisons",
        code="""
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    if np.ndim(student_logits) != 2 or np.shape(student_logits) != np.shape(teacher_logits):
        raise ValueError("logits")
    count, classes = np.shape(student_logits)
    if np.shape(labels) != (count,) or not count:
        raise ValueError("labels")
    for label in labels:
        if label not in range(classes):
            raise ValueError("label")
    if not math.isfinite(temperature) or temperature <= 0 or not math.isfinite(alpha) or alpha < 0 or alpha > 1:
        raise ValueError("temperature or alpha")

    def log_sum(row):
        biggest = max(row)
        return biggest + math.log(sum(math.exp(value - biggest) for value in row))

    total = 0.0
    for row in range(count):
        ours = [float(value) for value in student_logits[row]]
        theirs = [float(value) for value in teacher_logits[row]]
        total += (1 - alpha) * (log_sum(ours) - ours[int(labels[row])])
        ours = [value / temperature for value in ours]
        theirs = [value / temperature for value in theirs]
        a, b = log_sum(ours), log_sum(theirs)
        for z, v in zip(ours, theirs):
            total += alpha * temperature**2 * math.exp(v - b) * ((v - b) - (z - a))
    return total / count


def storage_bytes(shape, scheme, *, nnz=None, rank=None):
    try:
        rows, columns = shape
    except ValueError:
        raise
    if rows <= 0 or columns <= 0:
        raise ValueError("shape")
    if scheme.startswith("dense_fp"):
        bits = scheme.removeprefix("dense_fp")
        if bits not in ("16", "32"):
            raise ValueError(scheme)
        return rows * columns * int(bits) // 8
    if scheme == "csr_fp32":
        if nnz is None or nnz < 0 or nnz > rows * columns:
            raise ValueError("nnz")
        return np.int64(nnz) * 8 + (rows + 1) * 4
    if scheme == "lowrank_fp32":
        if rank is None or rank < 1 or rank > rows or rank > columns:
            raise ValueError("rank")
        return (rows + columns) * rank * 4
    if scheme in ("int8_per_tensor", "int8_per_channel"):
        scales = 1 if scheme.endswith("tensor") else rows
        return rows * columns + scales * np.dtype("float32").itemsize
    raise ValueError(scheme)
""",
    ),
    Alternative(
        id="scipy-and-a-table",
        title="SciPy's log-softmax and one-hot labels; the sizes from a table of arrays that are stored",
        code="""
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    from scipy.special import log_softmax

    s, t = np.array(student_logits, dtype="float64"), np.array(teacher_logits, dtype="float64")
    y = np.array(labels)
    if s.shape != t.shape or s.ndim != 2 or y.shape != s.shape[:1] or s.size == 0:
        raise ValueError("shapes")
    if not set(y.tolist()) <= set(range(s.shape[1])):
        raise ValueError("labels")
    if not (temperature > 0 and temperature < np.inf) or not (alpha >= 0 and alpha <= 1):
        raise ValueError("temperature, alpha")
    one_hot = np.eye(s.shape[1])[y]
    hard = -np.einsum("nc,nc->n", one_hot, log_softmax(s, axis=-1))
    ours, theirs = log_softmax(s / temperature, axis=-1), log_softmax(t / temperature, axis=-1)
    cross, entropy = -(np.exp(theirs) * ours).sum(1), -(np.exp(theirs) * theirs).sum(1)
    return np.mean((1 - alpha) * hard + alpha * temperature * temperature * (cross - entropy))


def storage_bytes(shape, scheme, *, nnz=None, rank=None):
    if np.shape(shape) != (2,) or not all(side >= 1 for side in shape):
        raise ValueError("shape")
    (rows, columns), entries = shape, math.prod(shape)
    if scheme == "csr_fp32" and (nnz is None or nnz not in range(entries + 1)):
        raise ValueError("nnz")
    if scheme == "lowrank_fp32" and (rank is None or rank not in range(1, min(shape) + 1)):
        raise ValueError("rank")
    stored = {  # scheme -> (bytes of a number, how many of them), ...
        "dense_fp32": [(4, entries)],
        "dense_fp16": [(2, entries)],
        "int8_per_tensor": [(1, entries), (4, 1)],
        "int8_per_channel": [(1, entries), (4, rows)],
        "csr_fp32": [(4, nnz), (4, nnz), (4, rows + 1)],
        "lowrank_fp32": [(4, rank and rows * rank), (4, rank and rank * columns)],
    }
    if scheme not in stored:
        raise ValueError(scheme)
    return sum(size * count for size, count in stored[scheme])
""",
    ),
    Alternative(
        id="vectors-per-sample",
        title="logaddexp, one sample at a time, as a 0-d array; `match` on the scheme",
        code="""
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    student_rows, teacher_rows = np.asarray(student_logits).astype(float), np.asarray(teacher_logits).astype(float)
    labels = np.asarray(labels)
    good = student_rows.ndim == 2 and student_rows.shape == teacher_rows.shape and len(student_rows) > 0
    good = good and labels.shape == (len(student_rows),) and 0 < temperature < np.inf and 0 <= alpha <= 1
    if not good or np.any(labels < 0) or np.any(labels >= student_rows.shape[1]):
        raise ValueError("bad arguments")
    losses = []
    for z, v, y in zip(student_rows, teacher_rows, labels):
        hard = np.logaddexp.reduce(z) - z[y]
        z, v = z / temperature, v / temperature
        p = np.exp(v - np.logaddexp.reduce(v))
        soft = np.dot(p, v - z) - np.logaddexp.reduce(v) + np.logaddexp.reduce(z)
        losses.append(alpha * temperature**2 * soft + (1 - alpha) * hard)
    return np.array(np.mean(losses))[()]


def storage_bytes(shape, scheme, **options):
    if len(shape) != 2 or any(side < 1 for side in shape):
        raise ValueError("shape")
    m, n = shape
    nnz, rank = options.get("nnz"), options.get("rank")
    match scheme:
        case "dense_fp32":
            return m * n * 4
        case "dense_fp16":
            return m * n * 2
        case "int8_per_tensor":
            return m * n + 4
        case "int8_per_channel":
            return m * (n + 4)
        case "csr_fp32" if nnz is not None and 0 <= nnz <= m * n:
            return 4 * (2 * nnz + m + 1)
        case "lowrank_fp32" if rank is not None and 0 < rank <= m and rank <= n:
            return 4 * rank * (m + n)
    raise ValueError("scheme or its number")
""",
    ),
]
