"""The reference of fusion/concatenation against PyTorch, and the properties the lesson mentions."""

from pathlib import Path

import jupytext
import numpy as np
import pytest

from reference.fusion import concatenation as lesson
from reference.fusion.concatenation import concat_modalities

torch = pytest.importorskip("torch")

SHAPES = [(), (4,), (2, 4), (3, 1, 2), (0,)]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("leading", SHAPES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_joined_as_torch_cat(rng, leading, dtype):
    text, image = (rng.normal(size=(*leading, width)).astype(dtype) for width in (3, 5))
    expected = torch.cat([torch.from_numpy(text), torch.from_numpy(image)], dim=-1).numpy()
    joined = concat_modalities(text, image)
    assert joined.dtype == expected.dtype
    np.testing.assert_array_equal(joined, expected)


@pytest.mark.parametrize("leading", SHAPES)
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-6), ("float64", 1e-12)])
def test_scaled_as_torch_normalize(rng, leading, dtype, rtol):
    text, image = (torch.from_numpy(rng.normal(size=(*leading, width)).astype(dtype)) for width in (3, 5))
    expected = torch.cat([torch.nn.functional.normalize(part, dim=-1) for part in (text, image)], dim=-1).numpy()
    np.testing.assert_allclose(concat_modalities(text.numpy(), image.numpy(), l2_normalize=True), expected, rtol=rtol)


def test_length_of_a_scaled_row_is_the_root_of_two(rng):
    joined = concat_modalities(rng.normal(size=(6, 3)), 100 * rng.normal(size=(6, 4)), l2_normalize=True)
    np.testing.assert_allclose(np.linalg.norm(joined, axis=-1), np.sqrt(2))


def test_a_linear_layer_on_the_joined_vector_is_a_sum_of_two(rng):
    text, image, weight = rng.normal(size=(6, 3)), rng.normal(size=(6, 4)), rng.normal(size=(5, 7))
    joined = concat_modalities(text, image)
    np.testing.assert_allclose(joined @ weight.T, text @ weight[:, :3].T + image @ weight[:, 3:].T)


def test_permuted_samples_give_permuted_rows(rng):
    text, image, order = rng.normal(size=(6, 3)), rng.normal(size=(6, 4)), rng.permutation(6)
    np.testing.assert_array_equal(concat_modalities(text[order], image[order]), concat_modalities(text, image)[order])


def test_lists_are_accepted_and_bad_inputs_refused():
    np.testing.assert_array_equal(concat_modalities([[1, 2]], [[True]]), [[1.0, 2.0, 1.0]])
    with pytest.raises(ValueError, match=r"\(1, 3\).*\(4, 5\)"):
        concat_modalities(np.ones((1, 3)), np.ones((4, 5)))
    with pytest.raises(ValueError, match="at least one axis"):
        concat_modalities(1.0, [2.0])
    for bad in (np.ones((1, 2), dtype=complex), np.array([["a"]]), np.array([[None]])):
        with pytest.raises(TypeError):
            concat_modalities(bad, np.ones((1, 2)))


def test_visible_checks_pass_for_the_reference():
    cells = [
        cell.source
        for cell in jupytext.read(Path(lesson.__file__)).cells
        if "visible-checks" in cell.metadata.get("tags", [])
    ]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], "visible-checks", "exec"), dict(vars(lesson)))
