# %% [markdown]
# # Int8 quantisation
#
# A model that is served keeps its weights in memory all day. Stored as 8-bit integers they need a quarter of the bytes
# of float32, and on most hardware reading them is what a small batch waits for. The usual advice stops at "convert to
# fixed point", and the obvious way to do that, one scale for a whole matrix, quietly erases every row that is small
# beside the largest: a row 500 times smaller comes back as zeros. One scale for each row costs four bytes a row and
# keeps every weight within 0.4 % of the largest one of its row.
#
# ## Your task (about 45 minutes)
#
# | to write | returns |
# |---|---|
# | `quantize_symmetric(weight, per_channel=True)` | `(levels, scale)` of a matrix `(out, in)` |
# | `quantize_affine(x)` | `(levels, scale, zero_point)` of a tensor of any shape |
# | `dequantize(levels, scale, zero_point=0)` | the float32 numbers that the levels stand for |
# | `Int8Linear(linear)` | a module that computes what `linear` computes, from int8 weights |
#
# **`quantize_symmetric`** is made for weights, which lie around 0.
#
# - `scale` is the largest magnitude divided by 127: of each row, shape `(out, 1)`, or with `per_channel=False` of the
#   whole matrix, shape `()`. A row is what makes one output of a linear layer, hence "channel".
# - `levels` (int8, `(out, in)`) are the weights divided by `scale`, rounded to the nearest integer, a half to the even
#   neighbour (2.5 → 2, 3.5 → 4), and clamped to −127 ... 127. The level −128 stays unused.
# - Where `scale` comes out as 0, the scale is 1 and the levels are 0. That happens in a row of zeros, and also where
#   the division by 127 underflows in float32, which is below a maximum of about 1e-43. Just above that, the scale
#   itself is a badly rounded number, and the clamp has work to do.
#
# **`quantize_affine`** is made for values that lie to one side, such as activations.
#
# - The range is from the smallest to the largest value, widened where necessary so that **it contains 0**; `scale`
#   (shape `()`) is its length divided by 255.
# - `zero_point`, a Python `int` in 0 ... 255, is the level of the number 0: minus the lower end of the range, divided
#   by `scale`, rounded to the nearest integer.
# - `levels` (uint8, shape of `x`) are `x / scale`, rounded to the nearest integer, plus `zero_point`, clamped to 0 ...
#   255. Halves go to the even neighbour here, too.
# - All values 0: scale 1, zero point 0, levels 0. (Ranges so narrow that the scale underflows are not asked for here.)
#
# **`dequantize`** returns `(levels − zero_point) · scale` in float32; `scale` is broadcast. It must be right for int8
# and for uint8 levels.
#
# **`Int8Linear(linear)`** quantises the weight of an `nn.Linear`, one scale for each row; everything else stays
# float32.
#
# - Its `state_dict()` holds exactly `levels`, `scale` and, where `linear` has a bias, `bias` (float32, even if `linear`
#   is float16); otherwise the attribute `bias` is `None`. No float copy of the weight is kept anywhere: after
#   `load_state_dict` with the state of another `Int8Linear`, the module computes what that one computes.
# - `forward(x)` takes float32 `(..., in)` and returns float32 `(..., out)`: `x` times the transposed dequantised
#   weight, plus the bias. Gradients flow to `x`, but nothing of `linear` receives one.
# - `linear` is not changed, and changing it later has no influence on the module.
#
# **For all of them**
#
# - Compute in float32 whatever the floating dtype of the input is; `scale` is a float32 tensor. A float16 scale would
#   be off by up to 0.05 %, and by far more for small weights. No argument is changed.
# - Both quantising functions raise `TypeError` for an integer or boolean tensor and `ValueError` for NaN, an infinity
#   or an empty tensor; `quantize_symmetric` also raises `ValueError` for anything but two axes.
# - Not allowed: `torch.quantize_per_tensor` and its relatives, `torch.fake_quantize_per_tensor_affine`,
#   `torch.fake_quantize_per_channel_affine`, and the module `torch.ao.quantization`.
#
# ## Worked example
#
# The weight `[[2.54, -0.48], [0.0, -0.0381]]` has the scales 2.54 / 127 = 0.02 and 0.0381 / 127 = 0.0003, and the
# levels `[[127, -24], [0, -127]]`. With the one scale 0.02 for both rows, −0.0381 would get the level −2, which stands
# for −0.04: an error of 5 % instead of none. (Quotients that are exactly a half hardly occur in real weights. To see
# the rounding rule at work, make the largest weight of a row 127, so that its scale is 1.)
#
# The values −1.6, 0 and 3.5 have a range of length 5.1: scale 0.02, zero point 80, levels 0, 80 and 255. The values 1.5
# and 5.1 get the same scale, since the range is widened to start at 0; the zero point is 0, the levels are 75 and 255.

# %%
import torch
from torch import Tensor, nn
from torch.nn import functional as F

# %% [markdown]
# ## Part 1: to integers and back


# %% tags=["solution"]
def quantize_symmetric(weight: Tensor, per_channel: bool = True) -> tuple[Tensor, Tensor]:
    """Quantise a weight matrix to -127 ... 127, with one scale for each row or one for all (Jacob et al. 2018).

    weight (out, in) floating. Returns levels int8 (out, in) and scale float32, (out, 1) or ().
    Raises TypeError for integers, ValueError for NaN, infinities, an empty tensor or other than two axes.
    """
    ### BEGIN SOLUTION
    if not weight.is_floating_point():
        raise TypeError(f"weight must be floating, not {weight.dtype}")
    weight = weight.detach().float()
    if weight.dim() != 2 or weight.numel() == 0 or not weight.isfinite().all():
        raise ValueError(f"weight must be a finite matrix with at least one entry, not {tuple(weight.shape)}")

    # scale = largest magnitude / 127; a row of zeros, or one so small that this underflows, has scale 1
    magnitude = weight.abs()
    largest = magnitude.amax(dim=1, keepdim=True) if per_channel else magnitude.amax()  # (out, 1) or ()
    scale = largest / 127
    scale = torch.where(scale == 0, 1.0, scale)

    # level = weight / scale, to the nearest integer (halves to even)
    levels = torch.round(weight / scale).clamp(-127, 127).to(torch.int8)  # (out, in)
    return levels, scale
    ### END SOLUTION


def quantize_affine(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Quantise values to 0 ... 255 such that the number 0 has a level of its own, the zero point (Jacob et al. 2018).

    x floating, any shape. Returns levels uint8 (shape of x), scale float32 () and zero_point int.
    Raises TypeError for integers, ValueError for NaN, infinities or an empty tensor.
    """
    ### BEGIN SOLUTION
    if not x.is_floating_point():
        raise TypeError(f"x must be floating, not {x.dtype}")
    x = x.detach().float()
    if x.numel() == 0 or not x.isfinite().all():
        raise ValueError(f"x must be finite and have at least one entry, not {tuple(x.shape)}")

    # scale = length of the range / 255, the range widened to contain 0
    low, high = min(x.min().item(), 0.0), max(x.max().item(), 0.0)
    if low == high:  # both are 0
        return torch.zeros_like(x, dtype=torch.uint8), torch.ones(()), 0
    scale = torch.tensor((high - low) / 255, dtype=torch.float32)

    # zero point = level of the number 0; every other value lies round(value / scale) levels from it
    zero_point = round(-low / scale.item())
    levels = (torch.round(x / scale) + zero_point).clamp(0, 255).to(torch.uint8)  # (...), clamped before the cast
    return levels, scale, zero_point
    ### END SOLUTION


def dequantize(levels: Tensor, scale: Tensor, zero_point: int = 0) -> Tensor:
    """Return (levels - zero_point) * scale in float32, in the shape of levels; levels int8 or uint8."""
    ### BEGIN SOLUTION
    return (levels.float() - zero_point) * scale  # float first: 3 - 5 is 254 in uint8
    ### END SOLUTION


# %% [markdown]
# ## Part 2: a layer that stores integers


# %% tags=["solution"]
class Int8Linear(nn.Module):
    """A linear layer with int8 weights, one scale for each output, and a float32 bias (weight-only quantisation).

    linear: an nn.Linear, which stays as it is. State: levels int8 (out, in), scale float32 (out, 1) and bias float32
    (out,) or None.
    """

    def __init__(self, linear: nn.Linear) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        levels, scale = quantize_symmetric(linear.weight)
        self.register_buffer("levels", levels)  # (out, in)
        self.register_buffer("scale", scale)  # (out, 1)
        # a copy in float32: float() alone would share the memory of a float32 bias
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone().float())  # (out,)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Map x float32 (..., in) to float32 (..., out)."""
        ### BEGIN SOLUTION
        return F.linear(x, dequantize(self.levels, self.scale), self.bias)  # (..., out)
        ### END SOLUTION


# %% [markdown]
# ## Try it
#
# In the matrix, the second row is 500 times smaller than the first. In the layer, nothing is left of a float weight.

# %% tags=["visible-checks", "active-ipynb"]
# weight = torch.tensor([[6.35, -1.27, 0.33], [0.0127, 0.0, -0.00766]])
# levels, scale = quantize_symmetric(weight)
# assert levels.dtype == torch.int8 and levels.tolist() == [[127, -25, 7], [127, 0, -77]]
# torch.testing.assert_close(scale, torch.tensor([[0.05], [0.0001]]))
# torch.testing.assert_close(dequantize(levels, scale), torch.tensor([[6.35, -1.25, 0.35], [0.0127, 0.0, -0.0077]]))
#
# levels, scale = quantize_symmetric(weight, per_channel=False)
# assert levels.tolist() == [[127, -25, 7], [0, 0, 0]]  # one scale for all: the second row is erased
#
# levels, scale, zero_point = quantize_affine(torch.tensor([-1.0, 0.0, 0.537, 4.1]))
# assert levels.dtype == torch.uint8 and levels.tolist() == [0, 50, 77, 255] and zero_point == 50
# torch.testing.assert_close(dequantize(levels, scale, zero_point), torch.tensor([-1.0, 0.0, 0.54, 4.1]))
#
# linear = nn.Linear(3, 2)
# with torch.no_grad():
#     linear.weight.copy_(weight)
# layer = Int8Linear(linear)
# assert set(layer.state_dict()) == {"levels", "scale", "bias"} and layer.levels.dtype == torch.int8
# x = torch.tensor([[1.0, -2.0, 3.0]])
# expected = torch.tensor([[6.35 + 2.5 + 1.05, 0.0127 - 0.0231]]) + linear.bias
# torch.testing.assert_close(layer(x), expected)

# %% [markdown]
# ## After quantising
#
# Int8 weights save memory and reading time; the products here are still computed in float32, and real kernels convert
# tile by tile. Two things remain to be done before such a model is served. Evaluate it again, slice by slice, since an
# average can hide one class that suffers. And if activations are to be quantised too, look at their outliers first: a
# few channels with huge values set the scale for all others (Dettmers et al. 2022; Xiao et al. 2023).
#
# A scale for each row guarantees a *bound*: no weight moves by more than half of its row's scale, and that is at most
# half of the matrix's scale. It does not make every single row better; a row may happen to fit the coarse grid exactly.
#
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Multiply one row of a weight matrix by 4. Its scale must become four times as large, its levels must stay as they are,
# and nothing may happen to the other rows. And whatever you quantise, 0 must come back as exactly 0, because padding,
# pruned weights and ReLU outputs are 0 on purpose.
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# A quantised number is a position on an evenly spaced grid. The scale is the distance of two grid points, and the zero
# point says which of them is the number 0. Symmetric grids need no zero point, but for values that are never negative
# they leave half of the levels unused.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Refuse bad input, go to float32, cut the tie to autograd. Find the extent along the right axis and keep that axis, so
# that the division broadcasts. Repair the scale where it is 0 before you divide by it. Divide, round, clamp, and change
# to the integer type last, since that cast neither rounds nor clamps. On the way back, leave the integer type first.
# The layer registers its tensors as buffers and rebuilds the float weight in every forward pass.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# largest = weight.abs().amax(dim=1, keepdim=True)  # (out, 1)
# ```
#
# </details>
#
# ## References
#
# - Benoit Jacob, Skirmantas Kligys, Bo Chen, et al. (2018), Quantization and Training of Neural Networks for Efficient
#   Integer-Arithmetic-Only Inference: scale and zero point.
# - Tim Dettmers, Mike Lewis, Younes Belkada, Luke Zettlemoyer (2022), LLM.int8(): 8-bit Matrix Multiplication for
#   Transformers at Scale: outlier features.
# - Guangxuan Xiao, Ji Lin, Mickaël Seznec, Hao Wu, Julien Demouth, Song Han (2023), SmoothQuant: Accurate and Efficient
#   Post-Training Quantization for Large Language Models.
