"""compression/distillation_and_storage against torch's losses, autograd and SciPy's sparse matrices."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.nn import functional

from reference.compression import distillation_and_storage
from reference.compression.distillation_and_storage import distillation_loss, storage_bytes

SCHEMES = ("dense_fp32", "dense_fp16", "int8_per_tensor", "int8_per_channel", "csr_fp32", "lowrank_fp32")


def batch(seed, samples=7, classes=4):
    rng = np.random.default_rng(seed)
    return (*3 * rng.standard_normal((2, samples, classes)), rng.integers(0, classes, samples))


def soft_of_torch(student, teacher, temperature):
    log_q, log_p = (functional.log_softmax(torch.as_tensor(x) / temperature, dim=1) for x in (student, teacher))
    return functional.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


@pytest.mark.parametrize("temperature", [0.25, 1, 2.0, 20.0])
@pytest.mark.parametrize("alpha", [0, 0.3, 1.0])
def test_loss_agrees_with_torch(temperature, alpha):
    student, teacher, labels = batch(1)
    soft = soft_of_torch(student, teacher, temperature) * temperature**2
    hard = functional.cross_entropy(torch.as_tensor(student), torch.as_tensor(labels))
    expected = alpha * soft + (1 - alpha) * hard
    assert distillation_loss(student, teacher, labels, temperature, alpha) == pytest.approx(float(expected), rel=1e-10)


def test_invariants_of_the_loss():
    student, teacher, labels = batch(2)
    loss = distillation_loss(student, teacher, labels, 3.0, 0.4)
    shifted = distillation_loss(student + 50.0, teacher - 7.0, labels, 3.0, 0.4)
    assert shifted == pytest.approx(loss)
    assert distillation_loss(student, student, labels, 3.0, 1.0) == pytest.approx(0.0, abs=1e-14)
    assert distillation_loss(student, teacher, labels, 3.0, 1.0) > 0
    difference = student - teacher
    difference -= difference.mean(axis=1, keepdims=True)
    limit = (difference**2).sum(axis=1).mean() / (2 * difference.shape[1])
    assert distillation_loss(student, teacher, labels, 1e4, 1.0) == pytest.approx(limit, rel=1e-3)


def test_extreme_logits_and_small_types():
    large = [[1e4, -1e4], [-1e4, 1e4]]
    assert distillation_loss(large, [[-1e4, 1e4], [-1e4, 1e4]], [0, 1], 1.0, 1.0) == pytest.approx(1e4)
    assert distillation_loss(large, large, [1, 1], 0.5, 0.5) == pytest.approx(5e3)
    student, teacher, labels = batch(3)
    half = student.astype(np.float16), teacher.astype(np.float16)
    wide = [array.astype(np.float64) for array in half]
    assert distillation_loss(*half, labels, 2.0, 0.5) == distillation_loss(*wide, labels, 2.0, 0.5)


def test_bytes_are_those_of_real_arrays():
    rng = np.random.default_rng(4)
    for rows, columns in ((5, 9), (30, 4), (1, 1)):
        weight = rng.standard_normal((rows, columns)).astype(np.float32)
        weight[rng.random(weight.shape) < 0.6] = 0
        packed = sparse.csr_matrix(weight)
        packed_bytes = packed.data.nbytes + packed.indices.nbytes + packed.indptr.nbytes
        assert packed.indices.dtype == packed.indptr.dtype == np.int32
        assert storage_bytes(weight.shape, "csr_fp32", nnz=packed.nnz) == packed_bytes
        assert storage_bytes(weight.shape, "dense_fp32") == weight.nbytes
        assert storage_bytes(weight.shape, "dense_fp16") == weight.astype(np.float16).nbytes
        levels, scales = weight.astype(np.int8), weight.max(axis=1, keepdims=True)
        assert storage_bytes(weight.shape, "int8_per_channel") == levels.nbytes + scales.nbytes
        assert storage_bytes(weight.shape, "int8_per_tensor") == levels.nbytes + weight.max().nbytes
        left, _, right = np.linalg.svd(weight, full_matrices=False)
        assert storage_bytes(weight.shape, "lowrank_fp32", rank=left.shape[1]) == left.nbytes + right.nbytes


@pytest.mark.parametrize(
    "arguments",
    [
        ([[1.0, 2.0]], [[1.0, 2.0]], [2], 1.0, 0.5),
        ([[1.0, 2.0]], [[1.0, 2.0]], [-1], 1.0, 0.5),
        ([[1.0, 2.0]], [[1.0, 2.0]], [0, 1], 1.0, 0.5),
        ([[1.0, 2.0]], [[1.0]], [0], 1.0, 0.5),
        ([1.0, 2.0], [1.0, 2.0], [0, 1], 1.0, 0.5),
        (np.zeros((0, 2)), np.zeros((0, 2)), [], 1.0, 0.5),
        ([[1.0, 2.0]], [[1.0, 2.0]], [0], 0.0, 0.5),
        ([[1.0, 2.0]], [[1.0, 2.0]], [0], float("nan"), 0.5),
        ([[1.0, 2.0]], [[1.0, 2.0]], [0], 1.0, 1.5),
    ],
)
def test_distillation_loss_refuses(arguments):
    with pytest.raises(ValueError):
        distillation_loss(*arguments)


@pytest.mark.parametrize(
    ("shape", "scheme", "options"),
    [
        ((3, 4), "csr_fp32", {"nnz": 13}),
        ((3, 4), "csr_fp32", {}),
        ((3, 4), "lowrank_fp32", {"rank": 4}),
        ((3, 4), "lowrank_fp32", {}),
        ((3, 4), "fp32", {}),
        ((3,), "dense_fp32", {}),
        ((0, 4), "dense_fp32", {}),
    ],
)
def test_storage_bytes_refuses(shape, scheme, options):
    with pytest.raises(ValueError):
        storage_bytes(shape, scheme, **options)


def test_the_claims_that_are_arithmetic():
    side = 1000
    dense = storage_bytes((side, side), "dense_fp32")
    assert 0.8 < storage_bytes((side, side), "csr_fp32", nnz=400_000) / dense < 0.81
    assert storage_bytes((side, side), "lowrank_fp32", rank=side // 2) == dense
    student, teacher, _ = batch(5)
    norms = []
    for temperature in (100.0, 200.0):
        logits = torch.as_tensor(student).requires_grad_()
        soft_of_torch(logits, teacher, temperature).backward()
        norms.append(float(logits.grad.norm()))
    assert norms[0] / norms[1] == pytest.approx(4.0, rel=0.02)


def test_visible_checks_and_worked_example_hold():
    source = Path(distillation_and_storage.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n(.*?)\n\n# %%', source, re.DOTALL).group(1)
    code = "\n".join(line.removeprefix("#").removeprefix(" ") for line in cell.splitlines())
    assert code.count("assert ") == 5
    exec(code, vars(distillation_and_storage).copy())
    loss = distillation_loss([[2 * np.log(2), 0]], [[0, 2 * np.log(3)]], [0], 2, 0.7)
    assert loss == pytest.approx(1.0833, abs=1e-4)
    sizes = [storage_bytes((30, 20), scheme, nnz=50, rank=3) for scheme in SCHEMES]
    assert sizes == [2400, 1200, 604, 720, 524, 600]
