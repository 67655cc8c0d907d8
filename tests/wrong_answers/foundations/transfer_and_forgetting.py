"""Mistakes people make in foundations/transfer_and_forgetting, and correct solutions in another style."""

from grader.catalogue import Alternative, WrongAnswer

CLAIMS = "test_claims"
AVERAGE = "test_average_score"
BACKWARD = "test_backward_transfer"
FORWARD = "test_forward_transfer"
FORGETTING = "test_forgetting"
REFUSED = "test_tables_that_make_no_sense_are_refused"
DTYPES = "test_every_kind_of_numbers"

BWT_LINE = '"bwt": float((final - learned)[:-1].mean()),'
FWT_LINE = '"fwt": float((unseen - baseline[1:]).mean()),'
FORGETTING_LINE = '"forgetting": float((best - final)[:-1].mean()),'

wrong_answers = [
    WrongAnswer(
        id="published-claims",
        title="fine-tuning promised as a gain without a price",
        explanation=(
            "You agree with what is often published: that fine-tuning makes a model better and more efficient. Ask of "
            "each promise: better at what, measured on which data, and which of training and use becomes cheaper?"
        ),
        caught_by=CLAIMS,
        swap=(
            ("    cannot_hurt=False,", "    cannot_hurt=True,"),
            ("    cheaper_predictions=False,", "    cheaper_predictions=True,"),
            ("    accuracy_only=False,", "    accuracy_only=True,"),
        ),
    ),
    # ------------------------------------------------------------------------------------------ average score
    WrongAnswer(
        id="average-of-the-diagonal",
        title="the average score taken from the diagonal",
        explanation=(
            "You average the scores that each task had right after its own stage. This is what the model once knew: "
            "forgetting cannot show in it. When is the model tested that you hand over?"
        ),
        caught_by=AVERAGE,
        swap=(('"acc": float(final.mean()),', '"acc": float(learned.mean()),'),),
    ),
    WrongAnswer(
        id="transposed",
        title="rows and columns exchanged",
        explanation=(
            "You read the table as if its rows were tasks and its columns stages. It is square, so nothing crashes. "
            "Look at the worked example: in which direction does time run?"
        ),
        caught_by=AVERAGE,
        swap=(("    final = scores[-1]  #", "    scores = scores.T\n    final = scores[-1]  #"),),
    ),
    WrongAnswer(
        id="average-of-the-whole-table",
        title="the average score taken over all stages",
        explanation="You average the whole table, stages in which most tasks had not been taught yet included.",
        caught_by=AVERAGE,
        swap=(('"acc": float(final.mean()),', '"acc": float(scores.mean()),'),),
    ),
    WrongAnswer(
        id="average-of-old-tasks",
        title="the average score without the last task",
        explanation=(
            "Backward transfer and forgetting leave out the last task, since nothing came after it. The average score "
            "is one of the final model on all tasks, the last one included."
        ),
        caught_by=AVERAGE,
        swap=(('"acc": float(final.mean()),', '"acc": float(final[:-1].mean()),'),),
    ),
    # -------------------------------------------------------------------------------------- backward transfer
    WrongAnswer(
        id="divided-by-the-number-of-tasks",
        title="transfer and forgetting divided by T",
        explanation=(
            "Three of the four numbers are sums over T - 1 tasks, since one task has nothing after it or nothing before "
            "it. You divide them by T, so they come out too small, with two tasks by half."
        ),
        caught_by=BACKWARD,
        swap=(
            (BWT_LINE, '"bwt": float((final - learned)[:-1].sum() / len(scores)),'),
            (FWT_LINE, '"fwt": float((unseen - baseline[1:]).sum() / len(scores)),'),
            (FORGETTING_LINE, '"forgetting": float((best - final)[:-1].sum() / len(scores)),'),
        ),
    ),
    WrongAnswer(
        id="backward-transfer-from-stage-0",
        title="backward transfer measured from stage 0",
        explanation=(
            "You compare the end with stage 0 for every task. What a task gained in its own stage is then counted too, "
            "and hides what it lost later. Each task has its own stage to count from."
        ),
        caught_by=BACKWARD,
        swap=((BWT_LINE, '"bwt": float((final - scores[0])[:-1].mean()),'),),
    ),
    WrongAnswer(
        id="backward-transfer-of-the-next-stage",
        title="backward transfer up to the next stage only",
        explanation=(
            "You compare a task's own stage with the one right after it. What the stages after that did to it is left "
            "out. The comparison is with the end of all training."
        ),
        caught_by=BACKWARD,
        swap=((BWT_LINE, '"bwt": float((scores.diagonal(offset=-1) - learned[:-1]).mean()),'),),
    ),
    WrongAnswer(
        id="backward-transfer-with-the-sign-of-a-loss",
        title="backward transfer with the sign turned",
        explanation=(
            "Your backward transfer is positive where old tasks have become worse. Transfer is a gain: which of the two "
            "scores is subtracted from the other?"
        ),
        caught_by=BACKWARD,
        swap=((BWT_LINE, '"bwt": float((learned - final)[:-1].mean()),'),),
    ),
    WrongAnswer(
        id="backward-transfer-added-up",
        title="transfer and forgetting added up, not averaged",
        explanation="You return sums over the tasks. They grow with the number of tasks; the numbers asked for are means.",
        caught_by=BACKWARD,
        swap=(
            (BWT_LINE, '"bwt": float((final - learned)[:-1].sum()),'),
            (FWT_LINE, '"fwt": float((unseen - baseline[1:]).sum()),'),
            (FORGETTING_LINE, '"forgetting": float((best - final)[:-1].sum()),'),
        ),
    ),
    WrongAnswer(
        id="average-size-of-the-change",
        title="the size of the change, without its sign",
        explanation=(
            "You average absolute differences. Then a task that gained and one that lost look the same, and transfer "
            "can never be negative."
        ),
        caught_by=BACKWARD,
        swap=((BWT_LINE, '"bwt": float(np.abs(final - learned)[:-1].mean()),'),),
    ),
    # --------------------------------------------------------------------------------------- forward transfer
    WrongAnswer(
        id="forward-transfer-after-training",
        title="forward transfer from the score after the task's own stage",
        explanation=(
            "You take the score that the task had after it was taught. This is learning, not transfer: forward transfer "
            "asks what the model could do with the task *before* that."
        ),
        caught_by=FORWARD,
        swap=((FWT_LINE, '"fwt": float((learned - baseline)[1:].mean()),'),),
    ),
    WrongAnswer(
        id="forward-transfer-without-baseline",
        title="forward transfer without the baseline",
        explanation=(
            "You average the scores before teaching as they are. A model with random weights gets points as well, half "
            "of them on a question with two answers; only what is above that was transferred."
        ),
        caught_by=FORWARD,
        swap=((FWT_LINE, '"fwt": float(unseen.mean()),'),),
    ),
    WrongAnswer(
        id="forward-transfer-of-stage-0",
        title="forward transfer from stage 0 for every task",
        explanation=(
            "You take all scores from the first row. A later task has had several stages before its own, and what "
            "counts is where these had brought it in the end."
        ),
        caught_by=FORWARD,
        swap=((FWT_LINE, '"fwt": float((scores[0] - baseline)[1:].mean()),'),),
    ),
    WrongAnswer(
        id="forward-transfer-below-the-diagonal",
        title="forward transfer read below the diagonal",
        explanation=(
            "You read the scores one stage *after* the task's own, on the other side of the diagonal. Which index is "
            "the stage, and is the stage before one more or one less?"
        ),
        caught_by=FORWARD,
        swap=((FWT_LINE, '"fwt": float((scores.diagonal(offset=-1) - baseline[1:]).mean()),'),),
    ),
    WrongAnswer(
        id="baseline-of-the-task-before",
        title="the baseline of the neighbouring task",
        explanation=(
            "From each task's score you subtract the baseline of the task before it. The scores begin with task 1; with "
            "which baseline does the subtraction have to begin?"
        ),
        caught_by=FORWARD,
        swap=((FWT_LINE, '"fwt": float((unseen - baseline[:-1]).mean()),'),),
    ),
    WrongAnswer(
        id="forward-transfer-of-task-0",
        title="forward transfer of task 0 with the last stage as the one before",
        explanation=(
            "For task 0 there is no stage before its own, but index -1 is valid in Python: it is the last stage. Task 0 "
            "does not belong into this mean."
        ),
        caught_by=FORWARD,
        swap=((FWT_LINE, '"fwt": float(np.mean([scores[j - 1, j] - baseline[j] for j in range(len(scores))])),'),),
    ),
    WrongAnswer(
        id="forward-transfer-over-all-tasks",
        title="forward transfer divided by T",
        explanation="Task 0 has no stage before its own, so the mean is over one task less than there are columns.",
        caught_by=FORWARD,
        swap=((FWT_LINE, '"fwt": float((unseen - baseline[1:]).sum() / len(scores)),'),),
    ),
    # --------------------------------------------------------------------------------------------- forgetting
    WrongAnswer(
        id="forgetting-is-minus-backward-transfer",
        title="forgetting as backward transfer with the other sign",
        explanation=(
            "You measure the loss from the task's own stage. A task may have become better after that, and then lost "
            "more than you count. From which point does one measure a way down?"
        ),
        caught_by=FORGETTING,
        swap=((FORGETTING_LINE, '"forgetting": float((learned - final)[:-1].mean()),'),),
    ),
    WrongAnswer(
        id="forgetting-cut-at-0",
        title="the mean forgetting cut off at 0",
        explanation=(
            "Where the old tasks are better than ever, on average, your forgetting is 0. The negative value is a result "
            "that readers want to see: training on new tasks has helped the old ones."
        ),
        caught_by=FORGETTING,
        swap=((FORGETTING_LINE, '"forgetting": max(0.0, float((best - final)[:-1].mean())),'),),
    ),
    WrongAnswer(
        id="forgetting-of-a-task-cut-at-0",
        title="the forgetting of each task cut off at 0",
        explanation="A task that gained counts as 0 with you, so the mean can only grow. Let each task keep its sign.",
        caught_by=FORGETTING,
        swap=((FORGETTING_LINE, '"forgetting": float(np.maximum(best - final, 0)[:-1].mean()),'),),
    ),
    WrongAnswer(
        id="best-with-the-last-stage",
        title="the last stage among those of which the best is taken",
        explanation=(
            "Your best score includes the last stage, from which it is then subtracted. No task can come out negative "
            "that way, although nothing was cut off by name."
        ),
        caught_by=FORGETTING,
        swap=(("    best = scores[:-1].max(axis=0)", "    best = scores.max(axis=0)"),),
    ),
    WrongAnswer(
        id="best-since-the-own-stage",
        title="the best score only since the task's own stage",
        explanation=(
            "You leave out the stages before a task was taught. A model can be better at a task before its own stage "
            "than after; the definition looks at every stage but the last."
        ),
        caught_by=FORGETTING,
        swap=(("    best = scores[:-1].max(axis=0)", "    best = np.tril(scores)[:-1].max(axis=0)"),),
    ),
    WrongAnswer(
        id="best-of-the-whole-table",
        title="one best score for all tasks",
        explanation="You take the largest entry of all tasks together. Every task is to be compared with its own best.",
        caught_by=FORGETTING,
        swap=(("    best = scores[:-1].max(axis=0)", "    best = scores[:-1, :-1].max()"),),
    ),
    WrongAnswer(
        id="forgetting-over-all-tasks",
        title="forgetting that includes the last task",
        explanation=(
            "The last task has been trained in the last stage, so it has had no time to be forgotten. Its large gain "
            "pulls your mean down."
        ),
        caught_by=FORGETTING,
        swap=((FORGETTING_LINE, '"forgetting": float((best - final).mean()),'),),
    ),
    WrongAnswer(
        id="forgetting-negated",
        title="forgetting with the sign turned",
        explanation="Your forgetting is negative where something was lost. It is named after the loss: a loss is positive.",
        caught_by=FORGETTING,
        swap=((FORGETTING_LINE, '"forgetting": float((final - best)[:-1].mean()),'),),
    ),
    # ---------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="shape-unchecked",
        title="a table that is not square accepted",
        explanation=(
            "A stage without its task, or a task without its stage, shows that something is missing from the table. "
            "Diagonals exist of any table, so no error comes by itself."
        ),
        caught_by=REFUSED,
        swap=(("scores.ndim != 2 or scores.shape[0] != scores.shape[1] or len", "scores.ndim != 2 or len"),),
    ),
    WrongAnswer(
        id="baseline-shape-unchecked",
        title="a baseline of any shape accepted",
        explanation=(
            "A column of baselines or a single number broadcasts against the scores, and a mean of the resulting table "
            "looks like any other number. Compare the shape with (T,)."
        ),
        caught_by=REFUSED,
        swap=(
            ("    if baseline.shape != (len(scores),):", "    if baseline.size not in (1, len(scores)):"),
            ('"fwt": float((unseen - baseline[1:]).mean()),', '"fwt": float((unseen - baseline.flat[-1]).mean()),'),
        ),
    ),
    WrongAnswer(
        id="values-unchecked",
        title="NaN and infinity accepted",
        explanation=(
            "One NaN makes numbers NaN, or is passed over by the maximum, depending on where it stands. The task asks "
            "for a ValueError."
        ),
        caught_by=REFUSED,
        swap=(("    if not np.isfinite(scores).all() or not np.isfinite(baseline).all():\n", "    if False:\n"),),
    ),
    WrongAnswer(
        id="unread-values-unchecked",
        title="values that enter no number not looked at",
        explanation=(
            "You notice NaN or infinity only where it reaches a result. The table has entries that none of the four "
            "numbers reads, and a broken entry there is a broken measurement as well. Check all of both arguments."
        ),
        caught_by=REFUSED,
        swap=(
            ("    if not np.isfinite(scores).all() or not np.isfinite(baseline).all():\n", "    if False:\n"),
            ("    return {\n", "    result = {\n"),
            (
                FORGETTING_LINE + "\n    }\n",
                FORGETTING_LINE
                + "\n    }\n    if not np.isfinite(list(result.values())).all():\n        raise ValueError('not finite')\n"
                "    return result\n",
            ),
        ),
    ),
    WrongAnswer(
        id="one-task-accepted",
        title="a single task accepted",
        explanation=(
            "With one task there is nothing before it and nothing after it, so three of the numbers do not exist. The "
            "task asks for a ValueError, not for NaN or 0."
        ),
        caught_by=REFUSED,
        swap=(
            (" or len(scores) < 2:", " or len(scores) < 1:"),
            (
                "    final = scores[-1]  #",
                "    if len(scores) == 1:\n        return {'acc': float(scores[0, 0]), 'bwt': 0.0, 'fwt': 0.0, 'forgetting': 0.0}\n"
                "    final = scores[-1]  #",
            ),
        ),
    ),
    WrongAnswer(
        id="infinity-accepted",
        title="infinity accepted",
        explanation="You look for NaN only. A score that is infinite is no measurement either, and is to be refused.",
        caught_by=REFUSED,
        swap=(
            (
                "    if not np.isfinite(scores).all() or not np.isfinite(baseline).all():\n",
                "    if np.isnan(scores).any() or np.isnan(baseline).any():\n",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------- arrays and dtypes
    WrongAnswer(
        id="computed-in-the-dtype-given",
        title="differences taken in the dtype of the arguments",
        explanation=(
            "In `uint8`, 60 - 90 is 226, and float16 keeps three digits. The arrays come in many dtypes; the numbers "
            "are to be computed in float64."
        ),
        caught_by=DTYPES,
        swap=(
            (
                "np.asarray(scores, dtype=np.float64), np.asarray(baseline, dtype=np.float64)",
                "np.asarray(scores), np.asarray(baseline)",
            ),
        ),
    ),
    WrongAnswer(
        id="computed-in-float32",
        title="everything computed in float32",
        explanation="float32 keeps seven digits, and a small difference of two scores fewer. Compute in float64.",
        caught_by=DTYPES,
        swap=(
            (
                "np.asarray(scores, dtype=np.float64), np.asarray(baseline, dtype=np.float64)",
                "np.asarray(scores, dtype=np.float32), np.asarray(baseline, dtype=np.float32)",
            ),
        ),
    ),
    WrongAnswer(
        id="scores-changed",
        title="the caller's table is overwritten",
        explanation=(
            "After the call the caller's table holds other scores: `np.asarray` makes no copy of an array that has the "
            "right dtype already. Work on values of your own."
        ),
        caught_by=DTYPES,
        swap=(
            (
                "    return {\n",
                "    best = best.copy()\n    final = final.copy()\n    learned = learned.copy()\n"
                "    unseen = unseen.copy()\n    scores -= learned\n    return {\n",
            ),
        ),
    ),
    WrongAnswer(
        id="baseline-changed",
        title="the caller's baseline is overwritten",
        explanation=(
            "After the call the caller's baseline holds differences: an in-place subtraction works on the very array "
            "that you were given, if its dtype is right already."
        ),
        caught_by=DTYPES,
        swap=(
            ("    return {\n", "    baseline[1:] -= unseen\n    return {\n"),
            (FWT_LINE, '"fwt": float(-baseline[1:].mean()),'),
        ),
    ),
    WrongAnswer(
        id="rounded",
        title="results rounded",
        explanation="You round the numbers. Rounding is for showing them; the function is to return what it computed.",
        caught_by=DTYPES,
        swap=((FORGETTING_LINE, '"forgetting": round(float((best - final)[:-1].mean()), 4),'),),
    ),
]

alternatives = [
    Alternative(
        id="plain-loops",
        title="plain Python, one task at a time",
        code="""
import math


def continual_metrics(scores, baseline):
    if np.ndim(scores) != 2 or np.ndim(baseline) != 1:
        raise ValueError("axes")
    table = [[float(value) for value in row] for row in scores]
    start = [float(value) for value in baseline]
    count = len(table)
    if count < 2 or len(start) != count or any(len(row) != count for row in table):
        raise ValueError("shapes")
    if not all(math.isfinite(value) for row in [*table, start] for value in row):
        raise ValueError("values")
    total = back = forward = lost = 0.0
    for j in range(count):
        end = table[count - 1][j]
        total += end
        if j < count - 1:
            back += end - table[j][j]
            lost += max(table[i][j] for i in range(count - 1)) - end
        if j > 0:
            forward += table[j - 1][j] - start[j]
    others = count - 1
    return {"acc": total / count, "bwt": back / others, "fwt": forward / others, "forgetting": lost / others}
""",
    ),
    Alternative(
        id="masks",
        title="masks over the whole table, NumPy scalars in the result",
        code="""
def continual_metrics(scores, baseline):
    R, b = np.array(scores, dtype=float), np.array(baseline, dtype=float)
    T = R.shape[0] if R.ndim else 0
    if R.shape != (T, T) or b.shape != (T,) or T <= 1:
        raise ValueError("shapes")
    if np.abs(np.concatenate([R.ravel(), b])).max() == np.inf or np.isnan(R.sum() + b.sum()):
        raise ValueError("values")
    stage, task = np.indices((T, T))
    gains = np.where((stage == task) & (task < T - 1), R[-1] - R, 0.0)
    ahead = np.where(stage == task - 1, R - b, 0.0)
    drops = np.where((stage < T - 1) & (task < T - 1), R - R[-1], -np.inf)
    return dict(
        forgetting=np.mean(drops.max(axis=0)[: T - 1]),
        fwt=ahead.sum() / (T - 1),
        bwt=gains.sum() / (T - 1),
        acc=np.average(R[T - 1]),
        tasks=T,
    )
""",
    ),
    Alternative(
        id="index-arrays",
        title="index arrays and a running maximum, arrays of shape () in the result",
        code="""
def continual_metrics(scores, baseline):
    scores = np.array(scores).astype("float64")
    baseline = np.array(baseline).astype("float64")
    try:
        tasks, stages = scores.shape
        (starts,) = baseline.shape
    except ValueError:
        raise ValueError("expected a table and a vector") from None
    if len({tasks, stages, starts}) > 1 or tasks in (0, 1):
        raise ValueError("lengths differ, or fewer than two tasks")
    if not np.isfinite(np.vstack([scores, baseline])).all():
        raise ValueError("not finite")
    old, new = np.arange(tasks - 1), np.arange(1, tasks)
    records = np.maximum.accumulate(scores, axis=0)
    return {
        "acc": np.asarray(scores[-1].sum() / tasks),
        "bwt": np.asarray(np.mean(scores[-1, old]) - np.mean(scores[old, old])),
        "fwt": np.asarray(np.mean(scores[new - 1, new]) - np.mean(baseline[new])),
        "forgetting": np.asarray(np.mean(records[-2, old]) - np.mean(scores[-1, old])),
    }
""",
    ),
]
