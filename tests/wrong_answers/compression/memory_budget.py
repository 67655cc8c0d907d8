"""Catalogue of compression/memory_budget."""

from grader.catalogue import Alternative, WrongAnswer

TABLE = '(4, 4, 4 + 4) if precision == "fp32" else (2, 2, 4 + 4 + 4)'
WEIGHTS = "weights = ceil(Fraction(base_bytes) * (total - trainable)) + weight_bytes * trainable"
QLORA = "return ceil(n_params * (4 + constants) / 8) + 16 * n_trainable"
CONSTANTS = "Fraction(8, block) + Fraction(32, 256 * block) if double_quant else Fraction(32, block)"
BISECT = "return bisect_right(range(total + 1), budget, key=needed) - 1"

wrong_answers = [
    WrongAnswer(
        id="weights-only",  # the published answers name the size of the model and stop there
        title="the weights alone are counted",
        explanation=(
            "Your gradients and optimiser take no memory. That is the cost of a model that answers, not of one that is "
            "trained. What does Adam keep for each trained parameter besides the weight?"
        ),
        caught_by="test_every_parameter_has_a_weight_and_the_trained_ones_more",
        swap=(
            ("grads = grad_bytes * trainable", "grads = 0"),
            ("optimizer = optimizer_bytes * trainable", "optimizer = 0"),
        ),
    ),
    WrongAnswer(
        id="master-forgotten",
        title="no float32 master copy in mixed precision",
        explanation=(
            "In mixed precision your optimiser holds the two moments only. The updates are too small to be added to a "
            "16-bit weight, so that a copy in float32 is kept as well. See the table."
        ),
        caught_by="test_every_parameter_has_a_weight_and_the_trained_ones_more",
        swap=((TABLE, TABLE.replace("4 + 4 + 4", "4 + 4")),),
    ),
    WrongAnswer(
        id="moments-forgotten",
        title="one moment of Adam instead of two",
        explanation=(
            "Your optimiser keeps one number of 4 bytes too few for each parameter. Adam follows the mean of the "
            "gradients and the mean of their squares."
        ),
        caught_by="test_every_parameter_has_a_weight_and_the_trained_ones_more",
        swap=((TABLE, '(4, 4, 4) if precision == "fp32" else (2, 2, 4 + 4)'),),
    ),
    WrongAnswer(
        id="states-of-frozen-parameters",
        title="gradients and optimiser states for frozen parameters too",
        explanation=(
            "Your cost does not fall when parameters are frozen. A frozen parameter gets no gradient and is unknown to "
            "the optimiser: only its weight remains. Which of the three columns depend on `trainable`?"
        ),
        caught_by="test_every_parameter_has_a_weight_and_the_trained_ones_more",
        swap=(
            ("grads = grad_bytes * trainable", "grads = grad_bytes * total"),
            ("optimizer = optimizer_bytes * trainable", "optimizer = optimizer_bytes * total"),
        ),
    ),
    WrongAnswer(
        id="activations-included",
        title="a surcharge on the total",
        explanation=(
            "Your total is larger than the sum of the three parts. A flat surcharge for activations hides what it is "
            "made of: they depend on batch and sequence length, of which this function knows nothing."
        ),
        caught_by="test_every_parameter_has_a_weight_and_the_trained_ones_more",
        swap=(('"total": weights + grads + optimizer}', '"total": (weights + grads + optimizer) * 6 // 5}'),),
    ),
    WrongAnswer(
        id="float-result",
        title="floats instead of ints",
        explanation=(
            "Your bytes are floats. They look right, and from 2 to the power of 53 on they no longer are. Look for a "
            "division with one slash or a factor with a decimal point."
        ),
        caught_by="test_every_parameter_has_a_weight_and_the_trained_ones_more",
        swap=(
            ("grads = grad_bytes * trainable", "grads = float(grad_bytes * trainable)"),
            ("optimizer = optimizer_bytes * trainable", "optimizer = float(optimizer_bytes * trainable)"),
        ),
    ),
    WrongAnswer(
        id="base-bytes-for-all",
        title="base_bytes used for trained weights too",
        explanation=(
            "You store the trained weights in the size of the frozen ones. Nobody trains a 4-bit number: the adapter keeps "
            "the size that the table gives. To which parameters does `base_bytes` belong?"
        ),
        caught_by="test_frozen_weights_may_be_smaller",
        swap=((WEIGHTS, "weights = ceil(Fraction(base_bytes) * total)"),),
    ),
    WrongAnswer(
        id="base-bytes-zero-ignored",
        title="base_bytes=0 read as if nothing had been given",
        explanation=(
            "With `base_bytes=0` your frozen weights have the size of the table. 0 counts as false in Python, and it is a "
            "number all the same, for weights that lie elsewhere. How do you ask whether something is None?"
        ),
        caught_by="test_frozen_weights_may_be_smaller",
        swap=(("if base_bytes is None:", "if not base_bytes:"),),
    ),
    WrongAnswer(
        id="base-bytes-rounded-down",
        title="half a byte of frozen weights is dropped",
        explanation=(
            "101 weights of half a byte need 51 bytes, you give them 50. int() and // round down; a memory needs room for "
            "the last half byte as well."
        ),
        caught_by="test_frozen_weights_may_be_smaller",
        swap=((WEIGHTS, WEIGHTS.replace("ceil(", "int(")),),
    ),
    WrongAnswer(
        id="zero-1-shards-gradients",
        title="ZeRO stage 1 shards the gradients too",
        explanation=(
            "In stage 1 only the optimiser is divided among the devices; each still holds all gradients. They come with "
            "stage 2."
        ),
        caught_by="test_each_zero_stage_shards_one_thing_more",
        swap=(("if zero_stage >= 2:", "if zero_stage >= 1:"),),
    ),
    WrongAnswer(
        id="world-ignored",
        title="the number of devices has no influence",
        explanation=(
            "Your numbers are the same for one device and for many, whatever the stage. Asked for are the bytes on *each* "
            "device: what is sharded shrinks there."
        ),
        caught_by="test_each_zero_stage_shards_one_thing_more",
        swap=(("    # each stage of ZeRO", "    world = 1\n    # each stage of ZeRO"),),
    ),
    WrongAnswer(
        id="zero-3-keeps-weights",
        title="the weights stay whole in ZeRO stage 3",
        explanation=(
            "Your stage 3 equals your stage 2. The last stage shards the weights as well, so that nothing is left that "
            "every device holds in full."
        ),
        caught_by="test_each_zero_stage_shards_one_thing_more",
        swap=(("weights = -(-weights // world)", "weights = weights"),),
    ),
    WrongAnswer(
        id="shards-rounded-down",
        title="shards rounded down",
        explanation=(
            "Three devices with a shard of 33 bytes each hold 99, not 100. The last byte needs a place; // rounds to the "
            "wrong side here."
        ),
        caught_by="test_each_zero_stage_shards_one_thing_more",
        swap=(
            ("optimizer = -(-optimizer // world)", "optimizer = optimizer // world"),
            ("grads = -(-grads // world)", "grads = grads // world"),
            ("weights = -(-weights // world)", "weights = weights // world"),
        ),
    ),
    WrongAnswer(
        id="world-at-stage-0",
        title="the optimiser is sharded whenever there are several devices",
        explanation=(
            "In stage 0 your optimiser is divided by the number of devices. Plain data parallelism copies everything onto "
            "every device; sharing starts with stage 1."
        ),
        caught_by="test_each_zero_stage_shards_one_thing_more",
        swap=(("if zero_stage >= 1:", "if world > 1:"),),
    ),
    WrongAnswer(
        id="zero-for-does-not-fit",
        title="0 where not even the frozen model fits",
        explanation=(
            "Training nothing and fitting nothing are different answers: 0 says that the frozen model can be loaded. The "
            "statement names the number for the other case."
        ),
        caught_by="test_largest_number_that_fits",
        swap=(("        return -1\n", "        return 0\n"),),
    ),
    WrongAnswer(
        id="budget-not-reached",
        title="a budget that is used up to the last byte counts as too small",
        explanation=(
            "Where the bytes equal the budget, your answer is one parameter too low. At most means that the budget itself "
            "is allowed."
        ),
        caught_by="test_largest_number_that_fits",
        swap=(
            ("if needed(0) > budget:", "if needed(0) >= budget:"),
            (BISECT, "return bisect_right(range(total + 1), budget - 1, key=needed) - 1"),
        ),
    ),
    WrongAnswer(
        id="more-than-total",
        title="more trainable parameters than the model has",
        explanation=(
            "With a large budget your answer exceeds `total`. Dividing the bytes that are left by the cost of a parameter "
            "knows nothing of how many parameters there are."
        ),
        caught_by="test_largest_number_that_fits",
        swap=(
            (BISECT, "return max(bisect_right(range(total + 1), budget, key=needed) - 1, (budget - needed(0)) // 16)"),
        ),
    ),
    WrongAnswer(
        id="options-dropped",
        title="max_trainable forgets ZeRO and base_bytes",
        explanation=(
            "Your answer is that for one device and full-size frozen weights, whatever else is asked. Compare the "
            "arguments that you got with those that you pass on."
        ),
        caught_by="test_largest_number_that_fits",
        swap=(
            (
                "    def needed(trainable: int) -> int:\n"
                "        return training_bytes(total, trainable, precision, zero_stage, world, base_bytes)",
                "    training_bytes(total, 0, precision, zero_stage, world, base_bytes)\n\n"
                "    def needed(trainable: int) -> int:\n        return training_bytes(total, trainable, precision)",
            ),
        ),
    ),
    WrongAnswer(
        id="divided-by-full-cost",
        title="the bytes left over divided by the full cost of a trained parameter",
        explanation=(
            "A parameter that is trained was there before, frozen, and its weight is paid for already. What one more "
            "trained parameter adds is less than the whole row of the table, and with shards it is rounded. Compare the "
            "budget with `training_bytes` itself."
        ),
        caught_by="test_largest_number_that_fits",
        swap=((BISECT, "return min(total, (budget - needed(0)) // 16)"),),
    ),
    WrongAnswer(
        id="full-without-states",
        title="full fine-tuning at 2 bytes a parameter",
        explanation=(
            "2 bytes are the weight alone. Training all parameters in mixed precision also takes their gradients, the "
            "master copy and two moments: add up the row of the table."
        ),
        caught_by="test_three_methods",
        swap=(("return 16 * n_params", "return 2 * n_params"),),
    ),
    WrongAnswer(
        id="adapter-inside-the-base",
        title="the adapter counted as part of the base model",
        explanation=(
            "Your LoRA costs 14 bytes for each adapter parameter instead of 16: you took its weights for some of the "
            "base. Here the adapter comes on top, weights included."
        ),
        caught_by="test_three_methods",
        swap=(("return 2 * n_params + 16 * n_trainable", "return 2 * n_params + 14 * n_trainable"),),
    ),
    WrongAnswer(
        id="adapter-forgotten",
        title="QLoRA without its adapter",
        explanation="Your QLoRA counts the frozen base alone. The adapter is trained like any other parameter.",
        caught_by="test_three_methods",
        swap=((QLORA, "return ceil(n_params * (4 + constants) / 8)"),),
    ),
    WrongAnswer(
        id="constants-ignored",
        title="4 bits a weight and no constants",
        explanation=(
            "A 4-bit code alone says nothing: each block of weights needs a constant to scale it by. That share is small "
            "for blocks of 64 and large for small blocks."
        ),
        caught_by="test_three_methods",
        swap=((QLORA, "return ceil(Fraction(n_params * 4, 8)) + 16 * n_trainable"),),
    ),
    WrongAnswer(
        id="constants-in-bytes",
        title="the bits of the constants added as bytes",
        explanation=(
            "Your constants weigh eight times too much: c is a number of bits for each weight, as the 4 of the code is. "
            "Convert to bytes once, after everything has been added up."
        ),
        caught_by="test_three_methods",
        swap=((QLORA, "return ceil(n_params * (Fraction(4, 8) + constants)) + 16 * n_trainable"),),
    ),
    WrongAnswer(
        id="double-quantisation-ignored",
        title="the constants always have 32 bits",
        explanation=(
            "`double_quant` makes no difference in your result. With it, most of a constant's 32 bits are saved, which is "
            "the point of the method."
        ),
        caught_by="test_three_methods",
        swap=((CONSTANTS, "Fraction(32, block)"),),
    ),
    WrongAnswer(
        id="second-constant-per-block",
        title="a 32-bit constant for every block even with double quantisation",
        explanation=(
            "With double quantisation you count 8 + 32 bits for each block. The second constant of 32 bits is shared by "
            "256 of the first."
        ),
        caught_by="test_three_methods",
        swap=(("Fraction(32, 256 * block)", "Fraction(32, block)"),),
    ),
    WrongAnswer(
        id="float-rounding",
        title="bits for each weight computed as a float",
        explanation=(
            "For some large models and block sizes your result is off by a byte or more. 32 / 22 has no exact float, and "
            "multiplied by 10⁹ or 10¹² weights the error shows. Python's integers and fractions have no such limit."
        ),
        caught_by="test_three_methods",
        swap=((QLORA, "return ceil(n_params * (4 + float(constants)) / 8) + 16 * n_trainable"),),
    ),
    WrongAnswer(
        id="base-rounded-down",
        title="the bytes of the 4-bit base rounded down",
        explanation=(
            "Where the bits of the base do not fill the last byte, your result is one byte short. // and int() round to "
            "the wrong side."
        ),
        caught_by="test_three_methods",
        swap=((QLORA, "return int(n_params * (4 + constants) / 8) + 16 * n_trainable"),),
    ),
    WrongAnswer(
        id="six-for-a-frozen-base",
        title="6 operations for each parameter of a frozen base",
        explanation=(
            "A frozen weight needs no gradient of its own, so that one of the three products is left out. The gradients "
            "of the activations remain, since they are on their way to the adapters."
        ),
        caught_by="test_operations_of_a_pass",
        swap=(("(4 if frozen_base else 6)", "6"),),
    ),
    WrongAnswer(
        id="forward-alone",
        title="a frozen base costs the forward pass alone",
        explanation=(
            "2 operations would be right if nothing had to travel back through the base. But adapters sit in its early "
            "layers, too: which gradients have to reach them?"
        ),
        caught_by="test_operations_of_a_pass",
        swap=(("(4 if frozen_base else 6)", "(2 if frozen_base else 6)"),),
    ),
    WrongAnswer(
        id="flops-in-floats",
        title="operations as a float",
        explanation=(
            "Your number of operations is a float, and has 53 exact bits. 10²⁵ operations need more. Python's integers "
            "are as long as they have to be."
        ),
        caught_by="test_operations_of_a_pass",
        swap=(("(4 if frozen_base else 6) *", "(4.0 if frozen_base else 6.0) *"),),
    ),
    WrongAnswer(
        id="floats-accepted",
        title="floats accepted where numbers of things are asked for",
        explanation=(
            "`7e9` is a float and passes in your solution. It is exact by luck; 1e23 is not. The statement asks for a "
            "TypeError, so that such a number is noticed at the door."
        ),
        caught_by="test_bad_input_is_refused",
        swap=(("from operator import index\n", "index = int\n"),),
    ),
    WrongAnswer(
        id="too-many-trainable-accepted",
        title="more trainable parameters than there are",
        explanation=(
            "`trainable` above `total` leaves a negative number of frozen parameters, and they earn memory in your sum. "
            "Which order do 0, `trainable` and `total` have to be in?"
        ),
        caught_by="test_bad_input_is_refused",
        swap=(("not 0 <= trainable <= total", "trainable < 0"),),
    ),
    WrongAnswer(
        id="lora-without-adapter-accepted",
        title="LoRA without any trainable parameter",
        explanation=(
            "`n_trainable` has the default 0 because full fine-tuning needs no such number. For the two adapter methods it "
            "means that somebody forgot to say how large the adapter is."
        ),
        caught_by="test_bad_input_is_refused",
        swap=(
            ("if not 1 <= n_trainable <= n_params or block < 1:", "if not 0 <= n_trainable <= n_params or block < 1:"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="explicit",
        title="type checks by isinstance, tables as dictionaries, bisection by hand, integers only",
        code="""
def _integer(**numbers):
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be an int")


def training_bytes(total, trainable, precision, zero_stage=0, world=1, base_bytes=None):
    _integer(total=total, trainable=trainable, zero_stage=zero_stage, world=world)
    table = {"fp32": dict(weights=4, grads=4, optimizer=8), "mixed": dict(weights=2, grads=2, optimizer=12)}
    if precision not in table or zero_stage not in range(4) or world <= 0 or total <= 0:
        raise ValueError("bad argument")
    if trainable < 0 or trainable > total:
        raise ValueError("bad number of trainable parameters")
    size = table[precision]
    frozen = size["weights"] if base_bytes is None else base_bytes
    if not (frozen >= 0 and frozen <= size["weights"]):
        raise ValueError("bad base_bytes")
    numerator, denominator = frozen.as_integer_ratio()
    out = {name: each * trainable for name, each in size.items()}
    out["weights"] += (numerator * (total - trainable) + denominator - 1) // denominator
    for name in ["optimizer", "grads", "weights"][:zero_stage]:
        out[name] = (out[name] + world - 1) // world
    return out | {"total": sum(out.values())}


def max_trainable(total, budget, precision, **options):
    _integer(budget=budget)
    if budget < 0:
        raise ValueError("bad budget")
    low, high = -1, total
    training_bytes(total, 0, precision, **options)
    for _ in range(total.bit_length() + 2):
        if low == high:
            break
        middle = (low + high + 1) // 2
        if training_bytes(total, middle, precision, **options)["total"] <= budget:
            low = middle
        else:
            high = middle - 1
    return low


_positional = max_trainable


def max_trainable(total, budget, precision, zero_stage=0, world=1, base_bytes=None):
    return _positional(total, budget, precision, zero_stage=zero_stage, world=world, base_bytes=base_bytes)


def training_memory_bytes(n_params, method, n_trainable=0, block=64, double_quant=True):
    _integer(n_params=n_params, n_trainable=n_trainable, block=block)
    if n_params <= 0 or method not in {"full", "lora", "qlora"}:
        raise ValueError("bad argument")
    if method != "full" and (n_trainable <= 0 or n_trainable > n_params or block <= 0):
        raise ValueError("bad sizes")
    if method == "full":
        return 16 * n_params
    if method == "lora":
        return 2 * (n_params + 8 * n_trainable)
    # over the common denominator 256 * 8 * block
    bits = 4 * 256 * block + (8 * 256 + 32 if double_quant else 32 * 256)
    return -(-n_params * bits // (256 * 8 * block)) + 16 * n_trainable


def training_flops(n_params, n_tokens, frozen_base):
    _integer(n_params=n_params, n_tokens=n_tokens)
    if min(n_params, n_tokens) <= 0:
        raise ValueError("bad sizes")
    return n_params * n_tokens * (6 - 2 * bool(frozen_base))
""",
    ),
    Alternative(
        id="decimal-and-composition",
        title="the methods by way of training_bytes, the largest number by estimate and correction",
        code="""
def training_memory_bytes(n_params, method, n_trainable=0, block=64, double_quant=True):
    if method not in ("full", "lora", "qlora"):
        raise ValueError("unknown method")
    if method == "full":
        return training_bytes(n_params, n_params, "mixed")["total"]
    both = training_bytes(n_params + n_trainable, n_trainable, "mixed")["total"]
    if n_trainable < 1 or n_trainable > n_params:
        raise ValueError("bad adapter")
    if method == "lora":
        return both
    if not isinstance(block, int):
        raise TypeError("block must be an int")
    if block < 1:
        raise ValueError("bad block")
    bits = 4 * n_params + Fraction(n_params, block) * (Fraction(65, 8) if double_quant else 32)
    return both - 2 * n_params + -int(-bits / 8 // 1)


def max_trainable(total, budget, precision, zero_stage=0, world=1, base_bytes=None):
    if not isinstance(budget, int):
        raise TypeError("budget must be an int")
    if budget < 0:
        raise ValueError("bad budget")
    best, step = -1, 1
    training_bytes(total, 0, precision, zero_stage, world, base_bytes)
    while step <= total:
        step *= 2
    while step:
        candidate = best + step
        if candidate <= total:
            if training_bytes(total, candidate, precision, zero_stage, world, base_bytes)["total"] <= budget:
                best = candidate
        step //= 2
    return best
""",
    ),
    Alternative(
        id="dataclass",
        title="match statements, math.ceil of fractions, and a dictionary built in one piece",
        code="""
import math
import numbers


def _count(value, least):
    if not isinstance(value, numbers.Integral):
        raise TypeError(f"{value!r} is no integer")
    if value < least:
        raise ValueError(f"{value} is below {least}")
    return int(value)


def training_bytes(total, trainable, precision, zero_stage=0, world=1, base_bytes=None):
    total, trainable, world = _count(total, 1), _count(trainable, 0), _count(world, 1)
    if trainable > total:
        raise ValueError("more than all")
    match precision:
        case "fp32":
            w, g, o = 4, 4, 8
        case "mixed":
            w, g, o = 2, 2, 12
        case _:
            raise ValueError(precision)
    match zero_stage:
        case 0:
            by = 1, 1, 1
        case 1:
            by = 1, 1, world
        case 2:
            by = 1, world, world
        case 3:
            by = world, world, world
        case _:
            raise ValueError(zero_stage)
    b = Fraction(w) if base_bytes is None else Fraction(base_bytes)
    if b < 0 or b > w:
        raise ValueError("base_bytes")
    sizes = w * trainable + math.ceil(b * (total - trainable)), g * trainable, o * trainable
    parts = [math.ceil(Fraction(size, n)) for size, n in zip(sizes, by)]
    return dict(zip(("weights", "grads", "optimizer", "total"), (*parts, sum(parts))))


def training_flops(n_params, n_tokens, frozen_base):
    macs = _count(n_params, 1) * _count(n_tokens, 1)
    forward, backward_activations, backward_weights = 2 * macs, 2 * macs, 0 if frozen_base else 2 * macs
    return forward + backward_activations + backward_weights
""",
    ),
]
