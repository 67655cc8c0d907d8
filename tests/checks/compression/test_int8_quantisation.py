"""Checks of compression/int8_quantisation."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from grader.checking import (
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

TINY = 1e-44  # divided by 127 this is 0 in float32


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def assert_levels(levels, expected: list, dtype: str, *, what: str, cause: str = "") -> None:
    assert_shape(levels, tuple(np.shape(expected)), what=what, cause=cause)
    assert_dtype(levels, dtype, what=what)
    assert_equal(levels.tolist(), expected, what=what, cause=cause)


def use_layer(student, weight, bias, x, direction):
    """An Int8Linear made from a linear layer with these parameters: its state, output and gradients."""
    import torch

    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        linear.weight.copy_(weight)
        if bias is not None:
            linear.bias.copy_(bias)
    layer = student.Int8Linear(linear)
    x = x.clone().requires_grad_()
    output = layer(x)
    (output * direction).sum().backward()
    return {
        "output": output.detach(),
        "gradient of x": x.grad,
        "parameters of linear with a gradient": [name for name, p in linear.named_parameters() if p.grad is not None],
        "state": {name: value.detach().clone() for name, value in layer.state_dict().items()},
        "bias is None": layer.bias is None,
    }


def read_state(state: dict, bias: bool) -> tuple[Tensor, Tensor]:
    """Levels and scale of a state dict, which must hold exactly the announced entries."""
    names = ["bias", "levels", "scale"] if bias else ["levels", "scale"]
    kind = "with a bias" if bias else "without a bias"
    assert_equal(sorted(state), names, what=f"list of names in the state dict of a layer {kind}")
    assert_dtype(state["levels"], "int8", what="levels in the state dict")
    assert_dtype(state["scale"], "float32", what="scale in the state dict")
    return state["levels"], state["scale"]


@points(1)
@visible
def test_a_small_row_and_a_range_to_one_side(student):
    """The example: a small row survives with a scale of its own, and 0 has a level of its own."""
    weight = torch.tensor([[6.35, -1.27, 0.33], [0.0127, 0.0, -0.00766]])
    levels, scale = student.quantize_symmetric(weight)
    assert_levels(levels, [[127, -25, 7], [127, 0, -77]], "int8", what="levels tensor of the example")
    assert_close(scale, torch.tensor([[0.05], [0.0001]]), what="scale of the example")
    back = student.dequantize(levels, scale)
    assert_close(back, torch.tensor([[6.35, -1.25, 0.35], [0.0127, 0.0, -0.0077]]), what="dequantised weight")
    levels, _ = student.quantize_symmetric(weight, per_channel=False)
    assert_levels(levels, [[127, -25, 7], [0, 0, 0]], "int8", what="levels tensor with one scale for all")

    levels, scale, zero_point = student.quantize_affine(torch.tensor([-1.0, 0.0, 0.537, 4.1]))
    assert_levels(levels, [0, 50, 77, 255], "uint8", what="levels tensor of quantize_affine")
    assert_equal(zero_point, 50, what="zero point")
    back = student.dequantize(levels, scale, zero_point)
    assert_close(back, torch.tensor([-1.0, 0.0, 0.54, 4.1]), what="dequantised tensor of quantize_affine")

    bias, x = torch.tensor([0.25, -0.5]), torch.tensor([[1.0, -2.0, 3.0]])
    result = student.run(use_layer, weight, bias, x, torch.ones(1, 2))
    read_state(result["state"], bias=True)
    assert_close(result["output"], torch.tensor([[9.9 + 0.25, -0.0104 - 0.5]]), what="output of Int8Linear")


@points(1)
@catches("scale-in-half", "argument-changed", "scale-per-column")
def test_shapes_and_dtypes(student, rng):
    """Shapes and dtypes are the announced ones for every floating input, and no argument is changed."""
    values = normal(rng, 3, 5) * torch.tensor([[1.0], [30.0], [1e-4]])
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        weight = values.to(dtype)
        name = f"a {str(dtype).removeprefix('torch.')} weight"
        before = weight.clone()
        for per_channel, shape in ((True, (3, 1)), (False, ())):
            case = f"{name}, per_channel={per_channel}"
            levels, scale = student.quantize_symmetric(weight, per_channel=per_channel)
            assert_shape(levels, (3, 5), what=f"levels tensor ({case})")
            assert_dtype(levels, "int8", what=f"levels tensor ({case})")
            assert_shape(scale, shape, what=f"scale ({case})")
            assert_dtype(scale, "float32", what=f"scale ({case})")
            rows = weight.double().abs().amax(dim=1, keepdim=True)
            expected = (rows if per_channel else rows.amax()) / 127
            cause = "the scale must be computed in float32, not in the dtype of the weight"
            assert_close(scale, expected.float(), rtol=1e-5, atol=0, what=f"scale ({case})", cause=cause)

        levels, scale, zero_point = student.quantize_affine(weight)
        assert_shape(levels, (3, 5), what=f"levels tensor of quantize_affine ({name})")
        assert_dtype(levels, "uint8", what=f"levels tensor of quantize_affine ({name})")
        assert_shape(scale, (), what=f"scale of quantize_affine ({name})")
        assert_dtype(scale, "float32", what=f"scale of quantize_affine ({name})")
        if type(zero_point) is not int:
            raise AssertionError(f"The zero point should be a Python int; it is {type(zero_point).__name__} ({name}).")
        assert_unchanged(weight, before, what=name)
    for shape in ((4,), (), (2, 3, 4)):
        levels, _, _ = student.quantize_affine(normal(rng, *shape) + 0.5)
        assert_shape(levels, shape, what=f"levels tensor of quantize_affine for shape {shape}")
    kept = torch.tensor([[3, -7, 1], [2, 2, -128]], dtype=torch.int8)
    back = student.dequantize(kept.clone(), torch.tensor([[0.5], [2.0]]))
    assert_dtype(back, "float32", what="result of dequantize")

    def keep_arguments(student, weight, levels, scale):
        originals = [tensor.clone() for tensor in (weight, levels, scale)]
        student.quantize_symmetric(weight)
        student.quantize_affine(weight)
        student.dequantize(levels, scale)
        return [bool((now == before).all()) for now, before in zip((weight, levels, scale), originals, strict=True)]

    names = ("weight", "levels", "scale")
    for name, same in zip(names, student.run(keep_arguments, values, kept, torch.tensor([[0.5], [2.0]])), strict=True):
        if not same:
            raise AssertionError(f"The argument `{name}` was changed in place; it must stay as it was.")


@points(1)
@catches("per-tensor", "scale-128", "largest-without-sign-removed")
@given(rows=st.integers(2, 4), columns=st.integers(5, 7), draw=st.integers(0, 2**32 - 1))
def test_every_row_has_its_own_scale(student, rows, columns, draw):
    """The scale of a row comes from its own largest magnitude, so that no small row is lost."""
    rng = np.random.default_rng(draw)
    weight = normal(rng, rows, columns) + 0.3
    weight[0, 0] = -4.0  # the largest magnitude of row 0 is a negative number
    weight[1] /= 500
    largest = [max(abs(value) for value in row) for row in weight.tolist()]
    for per_channel in (True, False):
        levels, scale = student.quantize_symmetric(weight, per_channel=per_channel)
        case = f"per_channel={per_channel}"
        assert_shape(levels, (rows, columns), what=f"levels tensor ({case})")
        assert_shape(scale, (rows, 1) if per_channel else (), what=f"scale ({case})")
        expected = torch.tensor([[value / 127] for value in largest] if per_channel else max(largest) / 127)
        cause = "the scale is the largest magnitude, of each row or of the whole matrix, divided by 127"
        assert_close(scale, expected, rtol=1e-5, atol=0, what=f"scale ({case})", cause=cause)
        # one full step is allowed here: how a level is rounded is another check's business
        error = (levels.double() * scale.double() - weight.double()).abs() / scale.double()
        if error.max() > 1.001:
            at = np.unravel_index(int(error.argmax()), error.shape)
            raise AssertionError(
                f"Level {int(levels[at])} times its scale is more than one step from the weight {weight[at]:.6g} "
                f"({case}, row {at[0]}, column {at[1]}, steps: {error[at]:.4g})."
            )


@points(1)
@catches("truncated", "halves-up", "halves-away-from-zero")
def test_levels_are_rounded_to_the_nearest_integer(student, rng):
    """Levels are rounded to the nearest integer, and a half to the even neighbour."""
    weight = [
        [127.0, 2.7, -2.7, 1.2, -1.2, 99.9],
        [-127.0, 0.5, 1.5, 2.5, -0.5, -2.5],
        [3.5, 4.5, 127.0, -1.5, 0, -3.5],
    ]
    expected = [[127, 3, -3, 1, -1, 100], [-127, 0, 2, 2, 0, -2], [4, 4, 127, -2, 0, -4]]
    for row in range(3):
        levels, _ = student.quantize_symmetric(torch.tensor(weight[row : row + 1]))
        cause = "a cast to an integer type cuts the fraction off" if row == 0 else "a half goes to the even neighbour"
        assert_levels(levels, expected[row : row + 1], "int8", what=f"levels tensor of [{weight[row]}]", cause=cause)
    weight = normal(rng, 4, 30)
    levels, scale = student.quantize_symmetric(weight)
    assert_shape(levels, (4, 30), what="levels tensor of a random weight")
    steps = weight.double() / scale.double()
    for i in range(4):
        for j in range(30):
            if abs(steps[i, j] - levels[i, j]) > 0.5 + 1e-4:
                raise AssertionError(
                    f"weight / scale is {steps[i, j]:.4f} at row {i}, column {j}; the level should be the nearest "
                    f"integer, {round(float(steps[i, j]))}; it is {int(levels[i, j])}."
                )


@points(1)
@catches("divides-by-zero", "scale-underflows", "symmetric-unclamped")
def test_rows_of_zeros_and_tiny_rows(student):
    """A row of zeros, or one so tiny that its scale underflows, has scale 1; a badly rounded scale wraps nothing."""
    weight = torch.tensor([[0.0, 0.0, 0.0], [-5.08, 0.2, 0.0], [TINY, -TINY, 0.0]])
    levels, scale = student.quantize_symmetric(weight)
    assert_shape(scale, (3, 1), what="scale")
    assert_close(scale[0], torch.ones(1), rtol=0, atol=0, what="scale of a row of zeros")
    assert_close(scale[2], torch.ones(1), rtol=0, atol=0, what=f"scale of the row {weight[2].tolist()}")
    assert_levels(levels, [[0, 0, 0], [-127, 5, 0], [0, 0, 0]], "int8", what="levels tensor")
    for name, matrix in (("zeros", torch.zeros(2, 3)), ("numbers of about 1e-44", torch.full((2, 3), -TINY))):
        levels, scale = student.quantize_symmetric(matrix, per_channel=False)
        assert_shape(scale, (), what=f"scale of a matrix of {name} with per_channel=False")
        assert_equal(scale.item(), 1.0, what=f"scale of a matrix of {name} with per_channel=False")
        assert_levels(levels, [[0] * 3] * 2, "int8", what=f"levels tensor of a matrix of {name}")

    smallest = 2.0**-149  # the smallest number above 0 in float32
    weight = torch.tensor([[186 * smallest, -180 * smallest, 0.0]])  # the scale, 186 / 127 of it, is rounded to 1 of it
    levels, _ = student.quantize_symmetric(weight)
    cause = "the level 186 does not fit into int8 and wraps to a negative number; clamp before the cast"
    assert_levels(levels, [[127, -127, 0]], "int8", what="levels tensor of a weight near 2.6e-43", cause=cause)


@points(2)
@catches("range-without-zero", "affine-unclamped", "levels-from-the-minimum", "affine-divides-by-zero", "uint8-wraps")
def test_affine_range_contains_zero(student, rng):
    """The affine range contains 0, which comes back as exactly 0, and every value comes back within half a step."""
    cases = (
        ("values above 0", [3.0, 10.2, 6.31], [75, 255, 158], 0.04, 0),
        ("values below 0", [-10.2, -3.0, -6.31], [0, 180, 97], 0.04, 255),
        ("both sides", [-2.0, 8.2, 0.0, 0.57], [0, 255, 50, 64], 0.04, 50),
        ("equal values", [2.55, 2.55], [255, 255], 0.01, 0),
        ("a range that starts and ends with a half", [-1.5, 253.5, 0.0], [0, 255, 2], 1.0, 2),
        ("zeros", [0.0, 0.0, 0.0], [0, 0, 0], 1.0, 0),
    )
    for name, values, expected_levels, expected_scale, expected_zero in cases:
        levels, scale, zero_point = student.quantize_affine(torch.tensor(values))
        case = f"{name}: {values}"
        cause = "the range must be widened to contain 0, and levels are clamped before the cast to uint8"
        assert_close(scale, torch.tensor(expected_scale), rtol=1e-5, what=f"scale ({case})", cause=cause)
        assert_equal(zero_point, expected_zero, what=f"zero point ({case})", cause=cause)
        assert_levels(levels, expected_levels, "uint8", what=f"levels tensor ({case})", cause=cause)

    for shift in (0.0, 2.0, -2.0):
        x = normal(rng, 40) + shift
        x[0] = 0.0
        levels, scale, zero_point = student.quantize_affine(x)
        assert_shape(levels, (40,), what="levels tensor")
        low, high = min(*x.tolist(), 0.0), max(*x.tolist(), 0.0)
        assert_close(scale, torch.tensor((high - low) / 255), rtol=1e-5, what="scale of random values")
        assert_equal(int(levels[0]), zero_point, what="level of the number 0 among random values")
        steps = (levels.double() - zero_point) - x.double() / scale.double()
        if steps.abs().max() > 0.5 + 1e-3:
            i = int(steps.abs().argmax())
            raise AssertionError(
                f"The level {int(levels[i])} with zero point {zero_point} is {abs(steps[i]):.4g} steps from the value "
                f"{x[i]:.6g}, scale {scale.item():.6g}; half a step is the most that rounding x / scale can cost."
            )

    levels = torch.tensor([[0, 7, 50], [51, 200, 255]], dtype=torch.uint8)
    back = student.dequantize(levels, torch.tensor(0.5), 50)
    cause = "integer tensors wrap: 0 - 50 is 206 in uint8"
    expected = torch.tensor([[-25.0, -21.5, 0.0], [0.5, 75.0, 102.5]])
    assert_close(back, expected, what="result of dequantize for uint8 levels and zero point 50", cause=cause)
    levels = torch.tensor([[-127, 3], [100, 127]], dtype=torch.int8)
    back = student.dequantize(levels, torch.tensor([[0.25], [2.0]]))
    expected = torch.tensor([[-31.75, 0.75], [200.0, 254.0]])
    assert_close(back, expected, what="result of dequantize for int8 levels and one scale a row")


@points(1)
@catches("bias-forgotten", "no-gradient", "not-detached")
def test_layer_computes_with_the_dequantised_weight(student, rng):
    """The layer multiplies with the dequantised weight and adds the bias; gradients reach the input only."""
    weight = normal(rng, 3, 4) * torch.tensor([[1.0], [0.02], [7.0]])
    for bias, shape in ((normal(rng, 3), (5, 4)), (None, (2, 6, 4)), (normal(rng, 3), (4,))):
        x, direction = normal(rng, *shape), normal(rng, *shape[:-1], 3)
        result = student.run(use_layer, weight, bias, x, direction)
        case = f"x {shape}, {'no bias' if bias is None else 'with bias'}"
        levels, scale = read_state(result["state"], bias is not None)
        assert_equal(result["bias is None"], bias is None, what=f"answer to `layer.bias is None` ({case})")
        restored = levels.double() * scale.double()
        error = (restored - weight.double()).abs() / (weight.double().abs().amax(dim=1, keepdim=True) / 127)
        if error.shape != (3, 4) or error.max() > 1.001:
            raise AssertionError(
                f"Levels times scale in the layer's state are over a step away from the weight of `linear` ({case})."
            )
        expected = torch.einsum("...i,oi->...o", x.double(), restored)
        if bias is not None:
            expected = expected + bias.double()
        assert_dtype(result["output"], "float32", what=f"output ({case})")
        cause = "the output is x times the transposed dequantised weight, plus the bias"
        assert_close(result["output"], expected.float(), atol=1e-5, what=f"output ({case})", cause=cause)
        if result["gradient of x"] is None:
            raise AssertionError(f"No gradient reached x ({case}): the forward pass is cut off from autograd.")
        gradient = torch.einsum("...o,oi->...i", direction.double(), restored)
        assert_close(result["gradient of x"], gradient.float(), atol=1e-5, what=f"gradient of x ({case})")
        assert_equal(
            result["parameters of linear with a gradient"],
            [],
            what=f"list of parameters of `linear` that received a gradient ({case})",
        )


def use_layer_after_changes(student, weight, bias, other_weight, other_bias, x):
    """Outputs before and after `linear` changes, then with the state of another layer loaded; and `linear` itself."""
    import torch

    linears = []
    for w, b in ((weight, bias), (other_weight, other_bias)):
        linear = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            linear.weight.copy_(w)
            linear.bias.copy_(b)
        linears.append(linear)
    layer, other = (student.Int8Linear(linear) for linear in linears)
    with torch.no_grad():
        outputs = [layer(x), other(x)]
        left = [linears[0].weight.detach().clone(), linears[0].bias.detach().clone()]
        linears[0].weight.mul_(-3.0)
        linears[0].bias.add_(1.0)
        outputs.append(layer(x))
        layer.load_state_dict(other.state_dict())
        outputs.append(layer(x))
        left.append(linears[0].bias.detach().clone())
    half = student.Int8Linear(linears[1].half())
    return outputs, left, {name: value.detach() for name, value in half.state_dict().items()}


@points(1)
@catches("float-weight-kept", "float-weight-in-a-plain-attribute", "bias-shared", "bias-in-half")
def test_layer_owns_all_that_it_computes_with(student, rng):
    """The layer computes from its state alone: it shares nothing with `linear` and hides no float weight."""
    weight, bias, other_weight, other_bias = normal(rng, 3, 4), normal(rng, 3), normal(rng, 3, 4), normal(rng, 3)
    x = normal(rng, 5, 4)
    outputs, left, half = student.run(use_layer_after_changes, weight, bias, other_weight, other_bias, x)
    read_state(half, bias=True)
    assert_dtype(half["bias"], "float32", what="bias in the state dict of a layer made from a float16 linear")
    assert_unchanged(left[0], weight, what="weight of `linear`")
    assert_unchanged(left[1], bias, what="bias of `linear`")
    cause = "the module shares memory with `linear`"
    assert_close(outputs[2], outputs[0], what="output after `linear` was changed", cause=cause)
    assert_close(left[2], bias + 1, what="bias of `linear` after another state was loaded", cause=cause)
    cause = "the forward pass must use `levels`, `scale` and `bias` as they are in the state at that time"
    assert_close(outputs[3], outputs[1], what="output with the state of another layer loaded", cause=cause)


@points(1)
@catches("nan-let-through", "integers-accepted")
def test_bad_input_is_refused(student):
    """Integers, numbers that are not finite, empty tensors and other than two axes are refused."""
    good = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.1, 0.2]])
    for name in ("quantize_symmetric", "quantize_affine"):
        function = getattr(student, name)
        for dtype in (torch.int64, torch.int8, torch.uint8, torch.bool):
            with raises(TypeError, what=f"{name} of a tensor of dtype {dtype}"):
                function(torch.ones(2, 3, dtype=dtype))
        for value in (torch.nan, torch.inf, -torch.inf):
            bad = good.clone()
            bad[1, 2] = value
            with raises(ValueError, what=f"{name} of a tensor with {value} in it"):
                function(bad)
        for shape in ((0, 3), (3, 0)):
            with raises(ValueError, what=f"{name} of an empty tensor {shape}"):
                function(torch.zeros(shape))
    for shape in ((3,), (), (2, 3, 4), (1, 2, 3, 4)):
        with raises(ValueError, what=f"quantize_symmetric of a tensor of shape {shape}"):
            student.quantize_symmetric(torch.ones(shape))
    for per_channel in (False, True):
        with raises(ValueError, what=f"quantize_symmetric of NaN with per_channel={per_channel}"):
            student.quantize_symmetric(torch.full((2, 2), torch.nan), per_channel=per_channel)
