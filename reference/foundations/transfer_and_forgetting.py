# %% [markdown]
# # Transfer and forgetting
#
# "We fine-tune so that the model gets better" is the answer most often given, and it says nothing: better at what, and
# worse at what else? A model that gains twenty points on the new task may have lost thirty on one that your users still
# need, and no number measured on the new task will tell you. Here you answer the interview question in your own words,
# judge eight claims about it, and write the four numbers that belong into a report of a fine-tuning: what was reached,
# what older tasks gained or lost, and what the model could do before it was taught.
#
# Plan about 35 minutes: 12 for the answer, 5 for the claims, 18 for the code.

# %%
import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"Why does one fine-tune a pretrained multimodal model at all? When would you rather not, and how would you know that
# it was worth it?"*
#
# Answer in the next cell as you would say it aloud, in about twelve sentences. The answer is worth 4 points and is read
# by a person, one point for each of these:
#
# - *what it gives*: at least two different things that fine-tuning can do for a multimodal model, and from what;
# - *what it costs*: at least two ways in which it can make a model worse, and one remedy;
# - *what else there is*: what you try before training all weights, in which order, and what fine-tuning is bad at;
# - *how you know*: what you compare with what, on which data, and which numbers you report.

# %% [markdown] tags=["answer"]
# **Model answer.** "Pretraining has given the model representations that serve many tasks. Fine-tuning specialises
# them with far fewer labels and far less compute than training from the beginning would take. For a generative
# vision-language model the main gain is behaviour: it learns to follow instructions, keep to a format, point at
# regions, refuse. Visual instruction tuning does that (Liu et al. 2023), often followed by preference optimisation such
# as DPO (Rafailov et al. 2023). Fine-tuning can even make the link between modalities: the first stage of LLaVA trains
# only a projector between a frozen vision encoder and a frozen language model. It does not make predictions cheaper.
#
# It also costs something. New training overwrites what was learned before, catastrophic forgetting (McCloskey and
# Cohen 1989; Kirkpatrick et al. 2017), and can distort features, so that accuracy on shifted data falls while that on
# the target rises (Kumar et al. 2022). With few labels it overfits, and from a distant source transfer can be negative.
# Against this help low-rank updates such as LoRA (Hu et al. 2022), replay of older data, a small rate for the backbone,
# a probe for the head before everything is trained, and interpolation with the old weights (Wortsman et al. 2022).
#
# So I climb a ladder and stop as soon as it is good enough: prompting, retrieval, a linear probe, LoRA, all weights.
# The gain depends on how close target and source are and on how many labels I have. Facts that change belong into
# retrieval, not into weights.
#
# Whether it was worth it is a measurement. I keep the zero-shot or prompted model as baseline, and a fixed set of what
# the model could do before. On the target and on that set I compare the rungs of the ladder, and I report the gain on
# the target together with backward transfer and forgetting, not accuracy on the target alone."
#
# **Rubric, 4 points** (half a point where an item is only partly there; "it makes the model better" earns nothing):
#
# - 1 point, what it gives: two of transfer to a small labelled set, behaviour (instructions, format, preferences),
#   adaptation to another domain, the link between modalities (projector).
# - 1 point, what it costs: two of forgetting, less robustness under shift, negative transfer, overfitting; and one
#   remedy (few trained weights, replay, small rate, probe first, interpolation).
# - 1 point, what else there is: an order such as prompt, retrieval, probe, LoRA, full; and a limit, such as facts that
#   change, a distant source, too few labels.
# - 1 point, how you know: the model before as baseline; target *and* original tasks; gain and forgetting (or backward
#   transfer) reported together.
#
# **References of the model answer**
#
# - Edward J. Hu, Yelong Shen, Phillip Wallis, et al. (2022). *LoRA: Low-Rank Adaptation of Large Language Models.*
# - James Kirkpatrick, Razvan Pascanu, Neil Rabinowitz, et al. (2017). *Overcoming catastrophic forgetting in neural
#   networks.*
# - Ananya Kumar, Aditi Raghunathan, Robbie Matthew Jones, Tengyu Ma, Percy Liang (2022). *Fine-Tuning can Distort
#   Pretrained Features and Underperform Out-of-Distribution.*
# - Haotian Liu, Chunyuan Li, Qingyang Wu, Yong Jae Lee (2023). *Visual Instruction Tuning.*
# - Michael McCloskey, Neal J. Cohen (1989). *Catastrophic Interference in Connectionist Networks: The Sequential
#   Learning Problem.*
# - Rafael Rafailov, Archit Sharma, Eric Mitchell, Christopher D. Manning, Stefano Ermon, Chelsea Finn (2023). *Direct
#   Preference Optimization: Your Language Model is Secretly a Reward Model.*
# - Mitchell Wortsman, Gabriel Ilharco, Jong Wook Kim, et al. (2022). *Robust fine-tuning of zero-shot models.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are published as reasons to fine-tune. The *backbone* is the
# pretrained part of a model and the *head* the new layer on top of it; *retrieval* looks a fact up at the moment of the
# question. The last two claims speak of the numbers that are defined below. All of them must be right for the 3 points,
# so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `cannot_hurt` | Fine-tuning may bring no gain, but it cannot make a pretrained model worse at anything. |
# | `cheaper_predictions` | Fine-tuning all weights makes each prediction of the model cheaper to compute. |
# | `accuracy_only` | Fine-tuning serves accuracy; following instructions is not something it can teach. |
# | `weekly_facts` | For facts that change every week, retrieval is a better place than the weights. |
# | `probe_first` | Fitting the head first, backbone frozen, spares the backbone a random head's large gradients. |
# | `old_tasks_needed` | Validation data of the new task alone cannot show how much was forgotten of the old ones. |
# | `two_stages` | With two stages, before and after, `forgetting` is minus `bwt`, whatever the scores are. |
# | `nothing_forgotten` | A backward transfer `bwt` of 0 shows that no task has been forgotten. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "cannot_hurt",
        "cheaper_predictions",
        "accuracy_only",
        "weekly_facts",
        "probe_first",
        "old_tasks_needed",
        "two_stages",
        "nothing_forgotten",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # Old tasks are forgotten, and even on the task itself accuracy can fall under shift (Kumar et al. 2022).
    cannot_hurt=False,
    # The same network with other numbers in it. "More efficient" can only mean labels and training compute.
    cheaper_predictions=False,
    # Visual instruction tuning is fine-tuning (Liu et al. 2023): for generative models it is the main purpose.
    accuracy_only=False,
    # A document can be exchanged in a second and cited; a fact in the weights takes a training run to change.
    weekly_facts=True,
    # A random head makes large errors, and their gradients change features that were good (Kumar et al. 2022).
    probe_first=True,
    # It holds no sample of the old tasks. Keep a fixed set of them and measure it before and after.
    old_tasks_needed=True,
    # Only stage 0 comes before the last one, so the best earlier score is the one right after the task's own stage.
    two_stages=True,
    # Gains and losses of several tasks cancel; and a task may have been better between its own stage and the end.
    nothing_forgotten=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** write every score into a table, a row for each training stage and a column for each task. Every number
# about transfer is then a difference of two entries of one column; the numbers differ only in which two they compare.
#
# A model is trained on T tasks one after the other, task 0 in stage 0, task 1 in stage 1, and so on. After *every*
# stage it is tested on *all* tasks, also on those it has not been trained on yet: `scores[i, j]` is the score on task j
# after stage i, and higher is better. `baseline[j]` is the score on task j of a model with random weights. Fine-tuning
# is the case T = 2: stage 0 is pretraining, task 0 an old ability, task 1 the new task.
#
# ### `continual_metrics(scores, baseline) -> dict`
#
# `scores` is `(T, T)` and `baseline` is `(T,)`: lists, or arrays of integers or of any float dtype (percentages are
# often stored as `uint8`). Everything is computed in float64, and neither argument is changed. The result has the keys
#
# - `acc`, the average score: the mean over all T tasks of the score after the *last* stage;
# - `bwt`, backward transfer: the mean over tasks 0 to T-2 of the score after the last stage *minus* the score right
#   after the task's own stage;
# - `fwt`, forward transfer: the mean over tasks 1 to T-1 of the score after the stage *before* the task's own *minus*
#   the task's `baseline`;
# - `forgetting`: the mean over tasks 0 to T-2 of the best score after any stage *but the last*, *minus* the score after
#   the last.
#
# The last task has no later stage and the first one has none before it, so these three are means over T - 1 tasks.
# "Any stage but the last" includes those before the task's own, if the score was best there.
#
# Rules:
#
# - `forgetting` may be negative, for one task and as a mean: then the last stage brought a task to a score it never had
#   before. Nothing is cut off at 0.
# - The four values are single numbers: Python floats, NumPy float64 or arrays of shape `()`. Further keys do no harm.
# - `ValueError` if `scores` does not have two axes of one length T of at least 2, if `baseline` does not have shape
#   `(T,)` (`(T, 1)` is another shape), or if any entry of either is NaN or infinite, even one that none of the four
#   numbers uses.
# - **Forbidden:** `torch`, `tensorflow` and `keras`.
#
# **Worked example**, in percent, with the baseline `[25, 10, 15]`:
#
# | after | task 0: photos | task 1: sketches | task 2: charts |
# |---|---|---|---|
# | stage 0 | 80 | 40 | 20 |
# | stage 1 | 84 | 90 | 30 |
# | stage 2 | 76 | 60 | 85 |
#
# - `acc` is (76 + 60 + 85) / 3 = 73.67.
# - `bwt`: photos 76 - 80, sketches 60 - 90; the mean is -17. On average the old tasks have lost 17 points.
# - `fwt`: sketches 40 - 10, charts 30 - 15; the mean is 22.5. Before they were taught, the new tasks were already this
#   far above a random model.
# - `forgetting`: photos were best after stage 1, 84 - 76, and sketches 90 - 60; the mean is 19, more than 17.


# %% tags=["solution"]
def continual_metrics(scores: ArrayLike, baseline: ArrayLike) -> dict[str, float]:
    """Average score, backward and forward transfer, and forgetting of a model trained on one task after the other.

    Args:
        scores: (T, T); row i, column j is the score on task j after training stage i. Higher is better.
        baseline: (T,); the score of a model with random weights on every task.

    Returns:
        A dict of four numbers, computed in float64: `acc`, `bwt`, `fwt` and `forgetting`.

    Raises:
        ValueError: scores is not square with T of at least 2, baseline has another shape, or an entry is not finite.

    Sources: Lopez-Paz and Ranzato (2017) for acc, bwt and fwt; Chaudhry et al. (2018) for forgetting.
    """
    ### BEGIN SOLUTION
    scores, baseline = np.asarray(scores, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or len(scores) < 2:
        raise ValueError(f"scores must be square, for two tasks or more, not of shape {scores.shape}")
    if baseline.shape != (len(scores),):
        raise ValueError(f"baseline needs one score a task, shape ({len(scores)},), not {baseline.shape}")
    if not np.isfinite(scores).all() or not np.isfinite(baseline).all():
        raise ValueError("every score must be finite")

    final = scores[-1]  # after the last stage, (tasks,)
    learned = scores.diagonal()  # right after the task's own stage, (tasks,)
    unseen = scores.diagonal(offset=1)  # one stage before the own one, of tasks 1, 2, ...: (tasks - 1,)
    best = scores[:-1].max(axis=0)  # after any stage but the last, (tasks,)
    return {
        "acc": float(final.mean()),
        # what came later did to a task: last score minus the score when it was learned; the last task has no later
        "bwt": float((final - learned)[:-1].mean()),
        # what came earlier did for a task: score before it was taught minus that of random weights
        "fwt": float((unseen - baseline[1:]).mean()),
        # best score there ever was before the last stage, minus the last score
        "forgetting": float((best - final)[:-1].mean()),
    }
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# three_tasks = [[0.5, 0.2, 0.1], [0.7, 0.6, 0.3], [0.6, 0.65, 0.8]]
# found = continual_metrics(three_tasks, [0.3, 0.1, 0.05])
# for key, expected in {"acc": 2.05 / 3, "bwt": 0.075, "fwt": 0.175, "forgetting": 0.025}.items():
#     assert np.isclose(found[key], expected), f"{key} of the three tasks is {found[key]}; it should be {expected}"
#
# before_and_after = [[0.7, 0.4], [0.6, 0.9]]  # rows: pretrained, fine-tuned; columns: old ability, new task
# found = continual_metrics(before_and_after, [0.1, 0.25])
# for key, expected in {"acc": 0.75, "bwt": -0.1, "fwt": 0.15, "forgetting": 0.1}.items():
#     assert np.isclose(found[key], expected), f"{key} before and after is {found[key]}; it should be {expected}"

# %% [markdown]
# **Watch a model forget.** The next cell trains one linear classifier on three tasks in a row. What decides a label is
# in part common to the tasks and in part a task's own. It prints the table and your four numbers, first without replay
# and then with it: every other step takes a batch of an earlier task. Change `shared`: when do the tasks help each
# other?

# %% tags=["active-ipynb"]
# generator = np.random.default_rng(0)
# shared, width = 1.0, 20
# directions = shared * generator.normal(size=width) + generator.normal(size=(3, width))  # (tasks, width)
# inputs, start = generator.normal(size=(3, 400, width)), generator.normal(size=width)
# data = [(x, np.sign(x @ direction)) for x, direction in zip(inputs, directions, strict=True)]
# baseline = [np.mean(np.sign(x[300:] @ start) == y[300:]) for x, y in data]
# for replay in (False, True):
#     weights, table = np.zeros(width), []
#     for stage in range(3):
#         for step in range(300):
#             task = generator.integers(stage) if replay and stage and step % 2 else stage
#             x, y = data[task]
#             pick = generator.integers(300, size=32)  # the last 100 samples are for testing
#             error = y[pick] / (1 + np.exp(y[pick] * (x[pick] @ weights)))
#             weights = weights + 0.1 * error @ x[pick] / 32
#         table.append([np.mean(np.sign(x[300:] @ weights) == y[300:]) for x, y in data])
#     print("with replay" if replay else "without replay", *np.round(table, 2).tolist(), sep="\n  ")
#     print(" ", {key: round(float(value), 3) for key, value in continual_metrics(table, baseline).items()})

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# In the worked example, raise the score on charts after stage 0 from 20 to 70. Which of the four numbers change? And
# which would, if you added 5 to every entry of `scores` and of `baseline`?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Each number compares two moments in the life of one task: before it was taught, right after, at its best, at the end.
# A moment is a place in the table. "Right after" is the same place in every column only if you count from the diagonal,
# "at the end" is a row. Draw the table and colour the places before you write any code.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Convert to float64 first, since differences of unsigned integers wrap around, and check shapes and values. Take four
# vectors out of the table: its last row, its diagonal, the entries right above the diagonal, and the column maxima of
# all rows but one. Every number is the mean of one of them or of a difference; leave out the task without such a pair.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# unseen = scores.diagonal(offset=1)  # scores[0, 1], scores[1, 2], ...: T - 1 of them, beginning with task 1
# ```
#
# </details>
#
# ## References
#
# - Arslan Chaudhry, Puneet K. Dokania, Thalaiyasingam Ajanthan, Philip H. S. Torr (2018). *Riemannian Walk for
#   Incremental Learning: Understanding Forgetting and Intransigence.*
# - David Lopez-Paz, Marc'Aurelio Ranzato (2017). *Gradient Episodic Memory for Continual Learning.*
#
# The works behind the interview answer are listed with the model answer.
