"""Catalogue of compression/int8_quantisation.

Left out: "levels of -128 used" in the symmetric case is the entry `scale-128`, since with the scale of the statement
-128 cannot occur (except where the clamp acts, `symmetric-unclamped`).
"""

from grader.catalogue import Alternative, WrongAnswer

LARGEST = "largest = magnitude.amax(dim=1, keepdim=True) if per_channel else magnitude.amax()"
LEVELS = "torch.round(weight / scale).clamp(-127, 127).to(torch.int8)"
SAFE_SCALE = "scale = torch.where(scale == 0, 1.0, scale)"
AFFINE = "(torch.round(x / scale) + zero_point).clamp(0, 255).to(torch.uint8)"
RANGE = "low, high = min(x.min().item(), 0.0), max(x.max().item(), 0.0)"

wrong_answers = [
    WrongAnswer(
        id="per-tensor",  # what the published answers amount to: "convert to fixed point", with one scale
        title="one scale for the whole matrix, repeated for every row",
        explanation=(
            "All rows have the same scale, that of the largest weight of the matrix. In a row that is 500 times smaller "
            "nothing is left: every weight is nearer to 0 than to the first level. Over which axis is the maximum of a "
            "row taken, and which axis remains?"
        ),
        caught_by="test_every_row_has_its_own_scale",
        swap=((LARGEST, "largest = magnitude.amax().expand(len(weight), 1) if per_channel else magnitude.amax()"),),
    ),
    WrongAnswer(
        id="scale-per-column",
        title="one scale for each input instead of each output",
        explanation=(
            "Your scale has one entry for each column. A row of the weight of a linear layer makes one output, a column "
            "belongs to one input. Look once more at the axis that the maximum runs over."
        ),
        caught_by="test_shapes_and_dtypes",
        swap=((LARGEST, LARGEST.replace("dim=1", "dim=0")),),
    ),
    WrongAnswer(
        id="scale-128",
        title="largest magnitude divided by 128 instead of 127",
        explanation=(
            "int8 reaches down to -128 but up to 127 only. With your scale the largest positive weight would need the "
            "level 128, so that it is clamped or wraps. How many levels are there on either side of 0 in a symmetric "
            "grid?"
        ),
        caught_by="test_every_row_has_its_own_scale",
        swap=(("largest / 127", "largest / 128"), (".clamp(-127, 127)", ".clamp(-128, 127)")),
    ),
    WrongAnswer(
        id="largest-without-sign-removed",
        title="the scale comes from the largest weight, not from the largest magnitude",
        explanation=(
            "A row whose largest weight in magnitude is negative gets a scale that is too small, and that weight is cut "
            "off. What has to happen before the maximum is taken?"
        ),
        caught_by="test_every_row_has_its_own_scale",
        swap=(("magnitude = weight.abs()", "magnitude = weight"),),
    ),
    WrongAnswer(
        id="truncated",
        title="levels cut off instead of rounded",
        explanation=(
            "A cast to an integer type drops the fraction: 2.7 becomes 2 and -2.7 becomes -2. Every weight moves towards "
            "0, by up to a whole step, so that the errors do not cancel in a sum. What has to come before the cast?"
        ),
        caught_by="test_levels_are_rounded_to_the_nearest_integer",
        swap=((LEVELS, "(weight / scale).clamp(-127, 127).to(torch.int8)"),),
    ),
    WrongAnswer(
        id="halves-up",
        title="halves rounded up",
        explanation=(
            "0.5 becomes 1 and 2.5 becomes 3 in your levels. Always rounding halves in the same direction shifts the "
            "average; the statement asks for the even neighbour, which is also what torch does by itself."
        ),
        caught_by="test_levels_are_rounded_to_the_nearest_integer",
        swap=((LEVELS, "torch.floor(weight / scale + 0.5).clamp(-127, 127).to(torch.int8)"),),
    ),
    WrongAnswer(
        id="halves-away-from-zero",
        title="halves rounded away from zero",
        explanation=(
            "0.5 becomes 1 and -2.5 becomes -3 in your levels: rounding as at school. The statement asks for the even "
            "neighbour, which neither enlarges nor shrinks the weights on average."
        ),
        caught_by="test_levels_are_rounded_to_the_nearest_integer",
        swap=((LEVELS, "(weight.sign() * torch.floor((weight / scale).abs() + 0.5)).clamp(-127, 127).to(torch.int8)"),),
    ),
    WrongAnswer(
        id="divides-by-zero",
        title="a scale of 0 for a row of zeros",
        explanation=(
            "A row of zeros gets the scale 0, and 0 / 0 is NaN, which is then cast to whatever integer comes out. Pruned "
            "models have such rows. Which scale would be harmless there?"
        ),
        caught_by="test_rows_of_zeros_and_tiny_rows",
        swap=((f"    {SAFE_SCALE}\n", ""),),
    ),
    WrongAnswer(
        id="scale-underflows",
        title="a scale that underflows to 0 is not noticed",
        explanation=(
            "Rows of zeros are handled, but in a row with a maximum of 1e-44 the division by 127 underflows: the scale is "
            "0 although the row is not. Which of the two numbers do you compare with 0?"
        ),
        caught_by="test_rows_of_zeros_and_tiny_rows",
        swap=((SAFE_SCALE, "scale = torch.where(largest == 0, 1.0, scale)"),),
    ),
    WrongAnswer(
        id="symmetric-unclamped",
        title="levels of quantize_symmetric cast to int8 without a clamp",
        explanation=(
            "Nearly always the largest level is 127 and nothing happens. But where a scale is as small as float32 "
            "numbers get, it is badly rounded, the level can be 186, and in int8 that is -70: the sign is wrong. What "
            "keeps a number in its range?"
        ),
        caught_by="test_rows_of_zeros_and_tiny_rows",
        swap=((".clamp(-127, 127)", ""),),
    ),
    WrongAnswer(
        id="scale-in-half",
        title="computed in the dtype of the weight",
        explanation=(
            "For a float16 weight your scale is a float16 number. It has 11 significant bits, so that the largest weight "
            "of the row no longer comes back, and small scales lose nearly all their digits. A scale costs four bytes a "
            "row: where does the calculation leave half precision?"
        ),
        caught_by="test_shapes_and_dtypes",
        swap=(("weight = weight.detach().float()", "weight = weight.detach()"),),
    ),
    WrongAnswer(
        id="argument-changed",
        title="the weight of the caller is changed in place",
        explanation=(
            "After the call the caller's tensor holds other numbers. float() and detach() copy nothing where the tensor "
            "is float32 already, so that an operation with an underscore at its end works on the caller's memory."
        ),
        caught_by="test_shapes_and_dtypes",
        swap=((LEVELS, "weight.div_(scale).round_().clamp_(-127, 127).to(torch.int8)"),),
    ),
    WrongAnswer(
        id="range-without-zero",
        title="the affine range does not contain 0",
        explanation=(
            "For values that all lie on one side, your range starts at the smallest of them, and no level stands for 0: "
            "the zero point lies outside 0 ... 255. Padding and ReLU outputs are 0, and after quantising they would be "
            "something else."
        ),
        caught_by="test_affine_range_contains_zero",
        swap=((RANGE, "low, high = x.min().item(), x.max().item()"),),
    ),
    WrongAnswer(
        id="affine-unclamped",
        title="levels of quantize_affine cast to uint8 without a clamp",
        explanation=(
            "Where both ends of the range lie on a half, rounding can give the level 256, which is 0 in uint8: the "
            "largest value comes back as the smallest. Keep the levels in their range before the cast."
        ),
        caught_by="test_affine_range_contains_zero",
        # through int64: that a float beyond the range wraps, too, is not promised by any platform
        swap=((AFFINE, "(torch.round(x / scale) + zero_point).to(torch.int64).to(torch.uint8)"),),
    ),
    WrongAnswer(
        id="levels-from-the-minimum",
        title="levels counted from the lower end of the range instead of from the zero point",
        explanation=(
            "Your levels are the rounded distance from the smallest value. The zero point is rounded, too, and when the "
            "two roundings meet in the dequantised value, it may be off by nearly a whole step. Start counting at the "
            "number 0."
        ),
        caught_by="test_affine_range_contains_zero",
        swap=((AFFINE, "torch.round((x - low) / scale).clamp(0, 255).to(torch.uint8)"),),
    ),
    WrongAnswer(
        id="affine-divides-by-zero",
        title="quantize_affine divides by a scale of 0 when all values are 0",
        explanation=(
            "All values are 0, the range has length 0, and so has the scale. The statement names the scale and the zero "
            "point for that case."
        ),
        caught_by="test_affine_range_contains_zero",
        swap=(("    if low == high:  # both are 0\n", "    if low == high == 1:\n"),),
    ),
    WrongAnswer(
        id="uint8-wraps",
        title="the zero point is subtracted in the integer type of the levels",
        explanation=(
            "Below the zero point your numbers come back large and positive: in uint8, 3 - 5 is 254. Both sides of the "
            "subtraction have to leave the small integer type first."
        ),
        caught_by="test_affine_range_contains_zero",
        swap=(("(levels.float() - zero_point) * scale", "(levels - zero_point) * scale"),),
    ),
    WrongAnswer(
        id="bias-forgotten",
        title="Int8Linear keeps the bias but does not add it",
        explanation="The output of your layer lacks the bias of `linear`, although its state holds it.",
        caught_by="test_layer_computes_with_the_dequantised_weight",
        swap=(("dequantize(self.levels, self.scale), self.bias)", "dequantize(self.levels, self.scale))"),),
    ),
    WrongAnswer(
        id="no-gradient",
        title="the forward pass of Int8Linear runs without gradients",
        explanation=(
            "Nothing flows back through your layer. Its weights are frozen, but what lies before it, an adapter for "
            "example, still learns through it. Quantised weights need no gradient by themselves; do you have to switch "
            "gradients off?"
        ),
        caught_by="test_layer_computes_with_the_dequantised_weight",
        swap=(
            (
                "        return F.linear(x, dequantize(self.levels, self.scale), self.bias)  # (..., out)\n",
                "        with torch.no_grad():\n"
                "            return F.linear(x, dequantize(self.levels, self.scale), self.bias)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="not-detached",
        title="the scale is still tied to the weight of `linear`",
        explanation=(
            "A backward pass through your layer reaches `linear.weight`, by way of the scale, which was computed from it "
            "with autograd watching. A second backward pass even fails. Cut that tie when you quantise."
        ),
        caught_by="test_layer_computes_with_the_dequantised_weight",
        swap=(("weight = weight.detach().float()", "weight = weight.float()"),),
    ),
    WrongAnswer(
        id="float-weight-kept",
        title="the state of Int8Linear holds a float copy of the weight",
        explanation=(
            "Besides the int8 levels your state dict holds the weight in float32: the file is larger than before, not "
            "smaller. Which of your attributes are modules, parameters or buffers that hold it?"
        ),
        caught_by="test_layer_owns_all_that_it_computes_with",
        swap=(
            (
                '        self.register_buffer("scale", scale)  # (out, 1)\n',
                '        self.register_buffer("scale", scale)\n'
                '        self.register_buffer("weight", dequantize(levels, scale))\n',
            ),
        ),
    ),
    WrongAnswer(
        id="float-weight-in-a-plain-attribute",
        title="a float weight is made once and kept beside the state",
        explanation=(
            "Your layer computes with a float weight from the time it was made. It takes the memory that int8 was to "
            "save, and when another state is loaded the layer goes on computing with the old weight. When should the "
            "float weight come into being?"
        ),
        caught_by="test_layer_owns_all_that_it_computes_with",
        swap=(
            (
                '        self.register_buffer("scale", scale)  # (out, 1)\n',
                '        self.register_buffer("scale", scale)\n        self.restored = dequantize(levels, scale)\n',
            ),
            ("F.linear(x, dequantize(self.levels, self.scale), self.bias)", "F.linear(x, self.restored, self.bias)"),
        ),
    ),
    WrongAnswer(
        id="bias-shared",
        title="the bias is shared with `linear`",
        explanation=(
            "When `linear` is trained on, your layer changes with it, and loading a state into your layer changes "
            "`linear`. Neither detach() nor float() makes a copy of a float32 tensor."
        ),
        caught_by="test_layer_owns_all_that_it_computes_with",
        swap=(("linear.bias.detach().clone().float()", "linear.bias.detach().float()"),),
    ),
    WrongAnswer(
        id="bias-in-half",
        title="the bias keeps the dtype of `linear`",
        explanation=(
            "From a float16 layer you keep a float16 bias. It does not go together with the float32 product in the "
            "forward pass, and next to the levels its bytes do not count."
        ),
        caught_by="test_layer_owns_all_that_it_computes_with",
        swap=(("linear.bias.detach().clone().float()", "linear.bias.detach().clone()"),),
    ),
    WrongAnswer(
        id="nan-let-through",
        title="NaN and infinities are quantised",
        explanation=(
            "One NaN makes the scale of its row NaN, and casting that to an integer gives numbers that look innocent: "
            "the fault is hidden for good. Refuse such a tensor."
        ),
        caught_by="test_bad_input_is_refused",
        swap=(
            ("weight.numel() == 0 or not weight.isfinite().all()", "weight.numel() == 0"),
            ("if x.numel() == 0 or not x.isfinite().all():", "if x.numel() == 0:"),
            ("zero_point = round(-low / scale.item())", "zero_point = int((-low / scale).round())"),
        ),
    ),
    WrongAnswer(
        id="integers-accepted",
        title="integer tensors are quantised",
        explanation=(
            "An integer tensor is most likely quantised already, and quantising it again loses its scale. The statement "
            "asks for a TypeError."
        ),
        caught_by="test_bad_input_is_refused",
        swap=(
            ("if not weight.is_floating_point():", "if weight.is_complex():"),
            ("if not x.is_floating_point():", "if x.is_complex():"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="loops",
        title="row by row with Python numbers",
        code="""
def _rows(values):
    if not values.dtype.is_floating_point:
        raise TypeError("floating numbers are needed")
    if values.numel() == 0 or not torch.isfinite(values).all():
        raise ValueError("finite numbers are needed")


def quantize_symmetric(weight, per_channel=True):
    _rows(weight)
    if weight.ndim != 2:
        raise ValueError("two axes are needed")
    rows = weight.detach().to(torch.float32).tolist()
    scales = [max(map(abs, row)) for row in rows]
    if not per_channel:
        scales = [max(scales)] * len(rows)
    scales = (torch.tensor(scales) / 127).tolist()
    scales = [scale or 1.0 for scale in scales]
    levels = [[max(-127, min(127, round(value / scale))) for value in row] for row, scale in zip(rows, scales)]
    scale = torch.tensor(scales)[:, None] if per_channel else torch.tensor(scales[0])
    return torch.tensor(levels, dtype=torch.int8), scale


def quantize_affine(x):
    _rows(x)
    values = x.detach().to(torch.float32).flatten().tolist()
    low, high = min([0.0, *values]), max([0.0, *values])
    scale = (high - low) / 255 if high > low else 1.0
    zero_point = round(-low / scale)
    levels = [max(0, min(255, round(value / scale) + zero_point)) for value in values]
    return torch.tensor(levels, dtype=torch.uint8).reshape(x.shape), torch.tensor(scale), zero_point
""",
    ),
    Alternative(
        id="submodule-free-layer",
        title="the layer with a Parameter for the bias, a matrix product, and the scale applied to the product",
        code="""
class Int8Linear(nn.Module):
    def __init__(self, linear):
        nn.Module.__init__(self)
        q, s = quantize_symmetric(linear.weight.data)
        self.levels = nn.Buffer(q)
        self.scale = nn.Parameter(s, requires_grad=False)
        if linear.bias is None:
            self.bias = None
        else:
            self.bias = nn.Parameter(linear.bias.data.to(torch.float32, copy=True))

    def forward(self, x):
        out = torch.matmul(x, self.levels.to(x.dtype).t()) * self.scale.flatten()
        return out if self.bias is None else out + self.bias


def dequantize(levels, scale, zero_point=0):
    return torch.mul(torch.sub(levels.to(torch.int32), zero_point), scale)
""",
    ),
    Alternative(
        id="other-calls",
        title="masks instead of where, aminmax, rounding after the zero point is added",
        code="""
@torch.no_grad()
def quantize_symmetric(weight, per_channel=True):
    if weight.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise TypeError(str(weight.dtype))
    if weight.ndim != 2 or 0 in weight.shape or weight.isnan().any() or weight.isinf().any():
        raise ValueError("bad weight")
    w = weight.to(torch.float32, copy=True)
    scale = torch.linalg.vector_norm(w, ord=torch.inf, dim=1 if per_channel else None, keepdim=per_channel) / 127.0
    scale[scale == 0] = 1
    q = torch.clip(torch.div(w, scale).round_(), min=-127, max=127)
    return q.type(torch.int8), scale


@torch.no_grad()
def quantize_affine(x):
    if not torch.is_floating_point(x):
        raise TypeError(str(x.dtype))
    if not len(x.flatten()) or bool((~torch.isfinite(x)).any()):
        raise ValueError("bad values")
    with_zero = torch.cat([x.float().flatten(), torch.zeros(1)])
    low, high = torch.aminmax(with_zero)
    scale = (high - low) / 255
    if scale == 0:
        scale = torch.tensor(1.0)
    zero_point = int(torch.round(-low / scale))
    q = torch.clamp(torch.round(x.float() * (1 / scale)) + zero_point, 0, 255)
    return q.byte(), scale, zero_point
""",
    ),
]
