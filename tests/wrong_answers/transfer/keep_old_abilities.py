"""Wrong and differently written answers to transfer/keep_old_abilities.

Every "reject" line of E-K5 and A-Q1b has an entry, but for one: "averages logits instead of weights" cannot be built,
since the function sees only weights; as the erratum says, it is a claim (`same_as_logits`). The published text has no
code, so a claim comes first.
"""

from grader.catalogue import Alternative, WrongAnswer

MIX = "            mixed = (1 - alpha) * before.to(wide) + alpha * after.to(wide)\n"
WIDE = "            wide = torch.promote_types(before.dtype, torch.float32)\n"
NAMES = "    if zero_shot.keys() != fine_tuned.keys():\n"
SHAPES = "        if before.shape != after.shape:\n"
COPY = "            state[name] = after.clone()\n"
BEST = "    best = max(allowed, key=lambda i: (shift_acc[i], i))\n"
FLOOR = "    floor = max(id_acc) - max_id_drop\n"

wrong_answers = [
    WrongAnswer(
        id="published-claims",
        title="fine-tuning believed to improve a model everywhere",
        explanation=(
            "One of the claims is the promise that most introductions make. Where would you look for a loss, and would "
            "the validation set of the target task show it?"
        ),
        caught_by="test_claims",
        swap=(("better_everywhere=False", "better_everywhere=True"),),
    ),
    WrongAnswer(
        id="weights-taken-for-logits",
        title="averaged weights taken for averaged logits",
        explanation=(
            "A claim about weights and logits is judged wrongly. Take one hidden unit with a ReLU, weights 1 and -1 in "
            "the two models, and the input 1: what are the mean output and the output of the mean?"
        ),
        caught_by="test_claims",
        swap=(("same_as_logits=False", "same_as_logits=True"),),
    ),
    WrongAnswer(
        id="alpha-reversed",
        title="alpha and 1 - alpha exchanged",
        explanation=(
            "Your alpha counts from the fine-tuned model back. Here 0 is the model before fine-tuning and 1 the one after "
            "it. With 0.5 nothing is to be seen."
        ),
        caught_by="test_floating_tensors_are_interpolated",
        swap=((MIX, "            mixed = alpha * before.to(wide) + (1 - alpha) * after.to(wide)\n"),),
    ),
    WrongAnswer(
        id="alpha-reversed-inside",
        title="alpha and 1 - alpha exchanged between the ends",
        explanation=(
            "At 0 and at 1 you return the right model, but in between the line runs the other way: at alpha 0.1 most of "
            "your result is the fine-tuned model. Which of the two should alpha multiply?"
        ),
        caught_by="test_floating_tensors_are_interpolated",
        swap=(
            (
                MIX,
                "            part = alpha if alpha in (0, 1) else 1 - alpha\n"
                "            mixed = (1 - part) * before.to(wide) + part * after.to(wide)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="integers-averaged",
        title="integer tensors interpolated",
        explanation=(
            "Counters such as `num_batches_tracked` come out mixed, as floats or rounded. Only floating tensors are "
            "interpolated; the others are those of the fine-tuned model."
        ),
        caught_by="test_the_result_is_a_state_of_its_own",
        swap=((COPY, "            state[name] = (1 - alpha) * before + alpha * after\n"),),
    ),
    WrongAnswer(
        id="integers-rounded",
        title="integer tensors interpolated and rounded",
        explanation=(
            "Counters and masks keep their dtype, but their values are mixed. A batch counter between the two models, or "
            "a mask that is neither, belongs to no model at all. Take those of the fine-tuned one."
        ),
        caught_by="test_the_result_is_a_state_of_its_own",
        swap=((COPY, "            state[name] = ((1 - alpha) * before + alpha * after).round().to(after.dtype)\n"),),
    ),
    WrongAnswer(
        id="shares-memory",
        title="tensors of the fine-tuned model handed out",
        explanation=(
            "Some tensors of your result are the fine-tuned model's own. Whoever loads the result into a model and trains "
            "on then counts in both. Copy what you do not compute."
        ),
        caught_by="test_the_result_is_a_state_of_its_own",
        swap=((COPY, "            state[name] = after\n"),),
    ),
    WrongAnswer(
        id="live-weights-moved",
        title="a live model's weights moved in place",
        explanation=(
            "Your interpolation writes into the tensors of `zero_shot`. A `state_dict` holds the live tensors, so the "
            "model before fine-tuning is lost with the first alpha that you try."
        ),
        caught_by="test_the_result_is_a_state_of_its_own",
        swap=(
            (
                "            state[name] = mixed.to(before.dtype)\n",
                "            state[name] = before.copy_(mixed).detach()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="names-intersected",
        title="names that one state lacks skipped",
        explanation=(
            "Your result holds only the names that both states have. A prefix such as `module.` then leaves nothing of "
            "the model, without a word. The states have to agree."
        ),
        caught_by="test_what_does_not_fit_is_refused",
        swap=(
            (NAMES, "    if False:\n"),
            (
                "    for name, before in zero_shot.items():\n",
                "    for name, before in zero_shot.items():\n        if name not in fine_tuned:\n            continue\n",
            ),
        ),
    ),
    WrongAnswer(
        id="additional-names-skipped",
        title="names that only the fine-tuned state has skipped",
        explanation=(
            "You go through the names of `zero_shot` only, so what the fine-tuned model has in addition, a new head for "
            "instance, is dropped. Compare the names in both directions."
        ),
        caught_by="test_what_does_not_fit_is_refused",
        swap=((NAMES, "    if not zero_shot.keys() <= fine_tuned.keys():\n"),),
    ),
    WrongAnswer(
        id="best-in-distribution",
        title="the alpha of the best in-distribution accuracy",
        explanation=(
            "You pick by in-distribution accuracy, which is what fine-tuning aimed at anyway. It is the constraint here; "
            "the goal is the accuracy under shift."
        ),
        caught_by="test_alpha_is_picked_under_the_constraint",
        swap=((BEST, "    best = max(allowed, key=lambda i: (id_acc[i], i))\n"),),
    ),
    WrongAnswer(
        id="only-parameters-interpolated",
        title="running statistics not interpolated",
        explanation=(
            "Weights are interpolated, running statistics are taken from the fine-tuned model. They are floating tensors "
            "of the state like any other, and have to fit the weights."
        ),
        caught_by="test_floating_tensors_are_interpolated",
        swap=(
            (
                "        if before.is_floating_point():\n",
                "        if before.is_floating_point() and 'running' not in name:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="interpolated-in-float32",
        title="float64 tensors interpolated in float32",
        explanation=(
            "For float64 states your result is right to about seven digits only. Widen 16-bit tensors; leave wider ones "
            "as they are."
        ),
        caught_by="test_floating_tensors_are_interpolated",
        swap=((WIDE, "            wide = torch.float32\n"),),
    ),
    WrongAnswer(
        id="integers-of-zero-shot",
        title="integer tensors taken from the model before fine-tuning",
        explanation=(
            "Your integer and boolean tensors are those of `zero_shot`, at least for some alpha. The rule takes them from "
            "`fine_tuned`, for every alpha."
        ),
        caught_by="test_the_result_is_a_state_of_its_own",
        swap=((COPY, "            state[name] = before.clone()\n"),),
    ),
    WrongAnswer(
        id="alpha-0-copies-zero-shot",
        title="the whole model before fine-tuning returned at alpha 0",
        explanation=(
            "At alpha 0 you return a copy of `zero_shot`, integers and masks included. The rule takes these from "
            "`fine_tuned` for every alpha, 0 too."
        ),
        caught_by="test_the_result_is_a_state_of_its_own",
        swap=((COPY, "            state[name] = (after if alpha else before).clone()\n"),),
    ),
    WrongAnswer(
        id="order-of-fine-tuned",
        title="names in the order of the fine-tuned state",
        explanation=(
            "The values are right, but the names come in the order of `fine_tuned` or sorted. The rules ask for the order "
            "of `zero_shot`."
        ),
        caught_by="test_the_result_is_a_state_of_its_own",
        swap=(("    return state\n", "    return {name: state[name] for name in fine_tuned}\n"),),
    ),
    WrongAnswer(
        id="difference-added",
        title="alpha times the difference added",
        explanation=(
            "`before + alpha * (after - before)` is the same formula on paper. In floating point the difference is "
            "rounded, and at alpha 1 the sum is not exactly the fine-tuned weight. Both ends should be exact."
        ),
        caught_by="test_both_ends_are_exact",
        swap=((MIX, "            mixed = before.to(wide) + alpha * (after.to(wide) - before.to(wide))\n"),),
    ),
    WrongAnswer(
        id="copied-from-the-wrong-end",
        title="the wrong model returned at the ends",
        explanation=(
            "Between the ends your interpolation is right, but at alpha 0 or 1 it returns the other model. Look at the "
            "shortcut for the ends."
        ),
        caught_by="test_both_ends_are_exact",
        swap=(
            (
                MIX,
                MIX + "            if alpha in (0, 1):\n                mixed = (before if alpha else after).clone()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="computed-in-16-bit",
        title="16-bit tensors computed in 16 bits",
        explanation=(
            "Every product and the sum are rounded to 16 bits, so small steps along the line get lost. Compute in float32 "
            "and convert once."
        ),
        caught_by="test_16_bit_tensors_are_computed_in_float32",
        swap=((WIDE, "            wide = before.dtype\n"),),
    ),
    WrongAnswer(
        id="widened-for-good",
        title="16-bit tensors returned in float32",
        explanation=(
            "A state in bfloat16 comes back in float32 and takes twice the memory. Convert back to the dtype that the "
            "tensor had."
        ),
        caught_by="test_16_bit_tensors_are_computed_in_float32",
        swap=(("            state[name] = mixed.to(before.dtype)\n", "            state[name] = mixed\n"),),
    ),
    WrongAnswer(
        id="16-bit-not-floating",
        title="16-bit tensors not interpolated",
        explanation=(
            "Tensors in float16 or bfloat16 come out as those of the fine-tuned model, as if they were integers. A list "
            "of dtypes is easily too short: ask the tensor whether it is floating."
        ),
        caught_by="test_16_bit_tensors_are_computed_in_float32",
        swap=(
            (
                "        if before.is_floating_point():\n",
                "        if before.dtype in (torch.float32, torch.float64):\n",
            ),
        ),
    ),
    WrongAnswer(
        id="constraint-ignored",
        title="the best accuracy under shift, whatever it costs",
        explanation=(
            "You pick the best shifted accuracy of all, also where the target has lost more than allowed. The constraint "
            "comes first."
        ),
        caught_by="test_alpha_is_picked_under_the_constraint",
        swap=((FLOOR, "    floor = min(id_acc)\n"),),
    ),
    WrongAnswer(
        id="ties-to-the-smallest",
        title="the smallest alpha of equally good ones",
        explanation=(
            "Among alphas of equal shifted accuracy you take the first. The rule takes the largest, which stays closest to "
            "the fine-tuned model."
        ),
        caught_by="test_alpha_is_picked_under_the_constraint",
        swap=((BEST, "    best = max(allowed, key=lambda i: shift_acc[i])\n"),),
    ),
    WrongAnswer(
        id="ties-by-in-distribution",
        title="the better in-distribution accuracy among equally good ones",
        explanation=(
            "Among alphas of equal shifted accuracy you take the one that is best in distribution. It sounds sensible, "
            "but the rule is another one: the largest alpha of them."
        ),
        caught_by="test_alpha_is_picked_under_the_constraint",
        swap=((BEST, "    best = max(allowed, key=lambda i: (shift_acc[i], id_acc[i], i))\n"),),
    ),
    WrongAnswer(
        id="strictly-within-the-drop",
        title="an alpha that loses exactly the allowed drop refused",
        explanation=(
            "An alpha whose accuracy lies exactly `max_id_drop` below the best is allowed; your comparison is strict. With "
            "a drop of 0 nothing is left."
        ),
        caught_by="test_alpha_is_picked_under_the_constraint",
        swap=(
            (
                "    allowed = [i for i in range(len(alphas)) if id_acc[i] >= floor]\n",
                "    allowed = [i for i in range(len(alphas)) if id_acc[i] > floor]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="drop-from-the-last",
        title="the drop counted from the fully fine-tuned model",
        explanation=(
            "You count the drop from the accuracy at the last alpha. An alpha between may be better even on the target, so "
            "the rule counts from the largest accuracy."
        ),
        caught_by="test_alpha_is_picked_under_the_constraint",
        swap=((FLOOR, "    floor = id_acc[-1] - max_id_drop\n"),),
    ),
    WrongAnswer(
        id="drop-from-the-first",
        title="the drop counted from the first accuracy",
        explanation=(
            "You count the drop from the accuracy at the first alpha, the model before fine-tuning, so almost every alpha "
            "is allowed as soon as fine-tuning helps. The rule counts from the largest accuracy of the list."
        ),
        caught_by="test_alpha_is_picked_under_the_constraint",
        swap=((FLOOR, "    floor = id_acc[0] - max_id_drop\n"),),
    ),
    WrongAnswer(
        id="drop-as-a-fraction",
        title="the drop taken as a fraction of the best accuracy",
        explanation=(
            "You multiply the best accuracy by 1 - drop. The drop is a difference of accuracies, in the same unit."
        ),
        caught_by="test_alpha_is_picked_under_the_constraint",
        swap=((FLOOR, "    floor = max(id_acc) * (1 - max_id_drop)\n"),),
    ),
    WrongAnswer(
        id="index-returned",
        title="the position returned instead of the alpha",
        explanation="Your result is the place in the list. The caller wants the alpha at this place.",
        caught_by="test_alpha_is_picked_under_the_constraint",
        swap=(("    return alphas[best]\n", "    return best\n"),),
    ),
    WrongAnswer(
        id="alpha-as-a-tensor",
        title="a tensor returned instead of a number",
        explanation=(
            "The right alpha, but in a tensor. Whoever writes it into a JSON report or uses it as a key of a dictionary "
            "meets an object of PyTorch there. Return the number of the list."
        ),
        caught_by="test_alpha_is_picked_under_the_constraint",
        swap=(("    return alphas[best]\n", "    return torch.tensor(alphas[best], dtype=torch.float64)\n"),),
    ),
    WrongAnswer(
        id="alpha-through-float32",
        title="an alpha that went through float32",
        explanation=(
            "Your alpha is that of the list to seven digits only: 0.1 comes back as 0.10000000149. PyTorch's default "
            "dtype is float32. Looking the number up in the list afterwards then finds nothing."
        ),
        caught_by="test_alpha_is_picked_under_the_constraint",
        swap=(("    return alphas[best]\n", "    return torch.tensor(alphas[best]).item()\n"),),
    ),
    WrongAnswer(
        id="shapes-broadcast",
        title="tensors of different shapes stretched to fit",
        explanation=(
            "A tensor of one row and one of four are mixed, since PyTorch stretches the smaller one. The two models then "
            "differ in architecture. Compare the shapes, those of integer tensors too."
        ),
        caught_by="test_what_does_not_fit_is_refused",
        swap=((SHAPES, "        if False:\n"),),
    ),
    WrongAnswer(
        id="nan-alpha-accepted",
        title="NaN accepted as alpha",
        explanation=(
            "Your test of alpha lets NaN pass: every comparison with it is False. Ask whether alpha is inside the range "
            "rather than whether it is outside."
        ),
        caught_by="test_what_does_not_fit_is_refused",
        swap=(("    if not 0 <= alpha <= 1:\n", "    if alpha < 0 or alpha > 1:\n"),),
    ),
    WrongAnswer(
        id="unsorted-alphas-accepted",
        title="alphas in any order accepted",
        explanation=(
            "Alphas that are not increasing usually mean that the lists were sorted by something else, and the accuracies "
            "belong to other models. The rules ask for an error."
        ),
        caught_by="test_what_does_not_fit_is_refused",
        swap=(('        raise ValueError("alphas must be strictly increasing")\n', "        pass\n"),),
    ),
    WrongAnswer(
        id="nan-accuracy-accepted",
        title="accuracies that are not finite accepted",
        explanation=(
            "A NaN among the accuracies makes `max` depend on the order of the list. It says that an evaluation failed, so "
            "raise `ValueError`."
        ),
        caught_by="test_what_does_not_fit_is_refused",
        swap=(('        raise ValueError("accuracies must be finite")\n', "        pass\n"),),
    ),
]

alternatives = [
    Alternative(
        id="lerp",
        title="torch.lerp, and NumPy for alpha",
        code="""
def interpolate_weights(zero_shot, fine_tuned, alpha):
    if math.isnan(alpha) or alpha < 0 or alpha > 1 or set(zero_shot) != set(fine_tuned):
        raise ValueError("alpha or names")
    result = {}
    for name in zero_shot:
        a, b = zero_shot[name], fine_tuned[name]
        if a.size() != b.size():
            raise ValueError(name)
        if not torch.is_floating_point(a):
            result[name] = b.detach().clone()
        elif a.dtype == torch.float64:
            result[name] = torch.lerp(a, b, float(alpha))
        else:
            result[name] = torch.lerp(a.float(), b.float(), float(alpha)).to(a.dtype)
    return result


def pick_alpha(alphas, id_acc, shift_acc, max_id_drop):
    import numpy as np

    if not (len(alphas) == len(id_acc) == len(shift_acc) > 0):
        raise ValueError("lengths")
    a, i, s = (np.array(values, dtype=float) for values in (alphas, id_acc, shift_acc))
    if not (np.diff(a) > 0).all() or not (a >= 0).all() or not (a <= 1).all():
        raise ValueError("alphas")
    if not np.isfinite([i, s]).all() or np.isnan(max_id_drop) or max_id_drop < 0:
        raise ValueError("accuracies or drop")
    s[i < i.max() - max_id_drop] = -1
    return float(a[s == s.max()][-1])
""",
    ),
    Alternative(
        id="float64-throughout",
        title="everything in float64, a sorted list of candidates",
        code="""
def interpolate_weights(zero_shot, fine_tuned, alpha):
    if not (alpha >= 0 and alpha <= 1):
        raise ValueError("alpha")
    for one, other in ((zero_shot, fine_tuned), (fine_tuned, zero_shot)):
        for name in one:
            if name not in other or one[name].shape != other[name].shape:
                raise ValueError(name)

    def mix(before, after):
        if before.dtype.is_floating_point:
            if alpha in (0, 1):
                return (after if alpha else before).clone()
            return torch.add(before.double() * (1 - alpha), after.double(), alpha=alpha).to(before.dtype)
        return torch.empty_like(after).copy_(after)

    return {name: mix(before, fine_tuned[name]) for name, before in zero_shot.items()}


def pick_alpha(alphas, id_acc, shift_acc, max_id_drop):
    alphas, id_acc, shift_acc = list(alphas), list(id_acc), list(shift_acc)
    if len({len(alphas), len(id_acc), len(shift_acc)}) != 1 or not alphas:
        raise ValueError("lengths")
    if alphas != sorted(set(alphas)) or not (alphas[0] >= 0 and alphas[-1] <= 1):
        raise ValueError("alphas")
    if any(a != a for a in alphas):
        raise ValueError("NaN")
    if any(abs(x) == math.inf or x != x for x in id_acc + shift_acc):
        raise ValueError("accuracies")
    if max_id_drop < 0 or max_id_drop != max_id_drop:
        raise ValueError("drop")
    candidates = [(s, a) for a, i, s in zip(alphas, id_acc, shift_acc) if max(id_acc) - i <= max_id_drop]
    return sorted(candidates)[-1][1]
""",
    ),
    Alternative(
        id="numbers-one-by-one",
        title="NumPy arrays for the weights and a plain loop for alpha",
        code="""
def interpolate_weights(zero_shot, fine_tuned, alpha):
    alpha = float(alpha)
    if abs(alpha - 0.5) > 0.5 or alpha != alpha:
        raise ValueError("alpha")
    if sorted(zero_shot) != sorted(fine_tuned):
        raise ValueError("names")
    state = {}
    for name, before in zero_shot.items():
        after = fine_tuned[name]
        if list(before.shape) != list(after.shape):
            raise ValueError("shape")
        if "float" in str(before.dtype):
            left, right = before.detach().double().numpy(), after.detach().double().numpy()
            state[name] = torch.as_tensor((1 - alpha) * left + alpha * right).to(before.dtype)
        else:
            state[name] = torch.tensor(after.tolist(), dtype=after.dtype)
    return state


def pick_alpha(alphas, id_acc, shift_acc, max_id_drop):
    n = len(alphas)
    if n == 0 or n != len(id_acc) or n != len(shift_acc):
        raise ValueError("lengths")
    for position, alpha in enumerate(alphas):
        if not 0 <= alpha <= 1:
            raise ValueError("range")
        if position and not alpha > alphas[position - 1]:
            raise ValueError("order")
        if not (math.isfinite(id_acc[position]) and math.isfinite(shift_acc[position])):
            raise ValueError("finite")
    if math.isnan(max_id_drop) or max_id_drop < 0:
        raise ValueError("drop")
    top = id_acc[0]
    for accuracy in id_acc:
        top = accuracy if accuracy > top else top
    answer, answer_accuracy = None, -math.inf
    for position in range(n - 1, -1, -1):
        if id_acc[position] >= top - max_id_drop and shift_acc[position] > answer_accuracy:
            answer, answer_accuracy = alphas[position], shift_acc[position]
    return answer
""",
    ),
]

equivalent_mutants = {
    "dropped `raise ValueError(f'max_id_drop": "then no alpha is allowed, and `max` of an empty list raises ValueError",
}
