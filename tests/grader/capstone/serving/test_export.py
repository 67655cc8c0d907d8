"""Export to ONNX: the file does what the model does, or there is no file."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from grader.capstone.augmentation import normalise
from grader.capstone.compositing import on_background
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.errors import CapstoneError
from grader.capstone.evaluation import embed
from grader.capstone.image_towers import TransformerTower
from grader.capstone.serving.export import export_index
from grader.capstone.serving.image_side import image_side, write_onnx
from grader.capstone.serving.index import Index
from grader.capstone.serving.manifest import EMBEDDINGS, IMAGE_SIDE, MANIFEST, FileFacts, read_manifest
from grader.capstone.serving.parity import check_parity
from grader.capstone.text_towers import FrozenNames
from grader.capstone.tuning import Method, choose_parameters
from grader.capstone.vendors import Vendor


class AnotherWhenExported(nn.Module):
    """A tower that torch.export traces to something else than what it does."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self.features = tower.features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.tower(images)
        return found + 0.01 * images.mean() if torch.compiler.is_exporting() else found


@pytest.fixture(scope="module")
def lora_model(model):
    """The model with low-rank updates that are far from zero."""
    tuned = copy.deepcopy(model)
    choose_parameters(tuned, Method.LORA, rank=3, scale=5)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return tuned.eval()


def images_of(data) -> np.ndarray:
    return on_background(data.of(Vendor.WINDOWS).numpy())


class TestParity:
    def test_of_every_drawing_in_any_batch(self, exported, index, model, data):
        images = images_of(data)
        expected, _ = embed(model, data.of(Vendor.WINDOWS), torch.arange(len(images)))
        for batch in (images, images[:3], images[5:6]):
            rows = slice(5, 6) if len(batch) == 1 else slice(len(batch))
            assert np.abs(index.embed(batch) - expected[rows].numpy()).max() < 1e-4
        parity = exported[1].manifest.parity
        assert parity.drawings == 20
        assert 0 <= parity.largest_difference < 1e-4

    def test_lora_is_merged_and_the_model_left_as_it_was(self, lora_model, model, data, origin, tmp_path):
        before = {name: value.clone() for name, value in lora_model.state_dict().items()}
        export_index(lora_model, data, origin, tmp_path / "index")
        assert all(torch.equal(value, before[name]) for name, value in lora_model.state_dict().items())
        index = Index.load(tmp_path / "index")
        images = images_of(data)
        tuned, _ = embed(lora_model, data.of(Vendor.WINDOWS), torch.arange(len(images)))
        untuned, _ = embed(model, data.of(Vendor.WINDOWS), torch.arange(len(images)))
        assert (tuned - untuned).abs().max() > 0.01
        assert np.abs(index.embed(images) - tuned.numpy()).max() < 1e-4
        graph = onnx.load(tmp_path / "index" / IMAGE_SIDE).graph
        assert not any("lora" in weight.name for weight in graph.initializer)

    def test_of_a_vision_transformer_with_lora(self, tmp_path):
        torch.manual_seed(4)
        tower = TransformerTower(size=16, patch=8, width=24, layers=1, heads=2)
        model = DualEncoder(tower, FrozenNames(torch.randn(9, 12)), width=20)
        choose_parameters(model, Method.LORA, rank=3, scale=5)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        images = torch.rand(7, 3, 16, 16)
        with torch.inference_mode():
            expected = model.eval().encode_images(normalise(images)).numpy()
            names = model.encode_texts(torch.arange(9)).numpy()
        write_onnx(image_side(model), tmp_path / IMAGE_SIDE, 16)
        assert check_parity(tmp_path / IMAGE_SIDE, images.numpy(), expected, names).drawings == 7

    def test_a_model_that_exports_to_something_else_is_refused(self, model, data, origin, index_folder, tmp_path):
        """Where there was an export before, it stays; nothing else is left."""
        shutil.copytree(index_folder, tmp_path / "index")
        broken = copy.deepcopy(model)
        broken.image_tower = AnotherWhenExported(broken.image_tower)
        with pytest.raises(CapstoneError, match=r"differs from torch by .* nothing is written"):
            export_index(broken, data, origin, tmp_path / "index")
        assert [file.name for file in tmp_path.iterdir()] == ["index"]
        assert read_manifest(tmp_path / "index") == read_manifest(index_folder)

    def test_another_first_answer_is_refused_however_small_the_difference(self, index, index_folder, data):
        images = images_of(data)[:6]
        found = index.embed(images)
        aside = np.roll(found[4], 1)
        aside -= (aside @ found[4]) * found[4]
        aside /= np.linalg.norm(aside)
        expected = found.copy()
        expected[4] += 8e-5 * aside
        names = np.stack([aside, 4e-5 * found[4]])
        with pytest.raises(CapstoneError, match=r"another first answer .* 1 of 6 drawings \(the first is number 4\)"):
            check_parity(index_folder / IMAGE_SIDE, images, expected, names)

    @pytest.mark.parametrize("wrong", [np.nan, 2e-4])
    def test_one_wrong_number_is_enough(self, index, index_folder, data, wrong):
        images = images_of(data)[:6]
        expected = index.embed(images)
        expected[2, 7] += wrong
        with pytest.raises(CapstoneError, match="differs from torch by"):
            check_parity(index_folder / IMAGE_SIDE, images, expected, expected)


class TestIndex:
    def test_ranks_the_right_name_first(self, index, data):
        images = images_of(data)
        for row in range(0, len(images), 7):
            ranked = index.names_of(images[row], 5)
            assert len(ranked) == 5
            assert ranked[0].concept.name == data.names[row]
            probabilities = [answer.probability for answer in ranked]
            assert probabilities == sorted(probabilities, reverse=True)
        assert sum(answer.probability for answer in index.names_of(images[0], 50)) == pytest.approx(1)

    def test_probabilities_are_the_model_s(self, index, model, data):
        images, texts = embed(model, data.of(Vendor.WINDOWS)[:1], torch.arange(len(data.concepts)))
        expected = (images @ texts.T * model.clamped_log_scale().exp()).softmax(dim=1).max().detach()
        assert index.names_of(images_of(data)[0], 1)[0].probability == pytest.approx(float(expected), rel=1e-4)

    def test_finds_drawings_by_name(self, index, data):
        for spelling in ("Blot no 9", "blot_no_9", "  BLOT  NO 9 "):
            row = index.row_of(spelling)
            assert row == 9
            assert index.drawings_of(row, 3)[0].concept.name == "Blot no 9"
        assert index.row_of("blot") is None
        assert "Blot no 9" in index.similar_names("blot nr 9")

    def test_needs_neither_torch_nor_the_packages_of_the_course(self, index_folder):
        program = (
            "import sys\n"
            "from pathlib import Path\n"
            "from grader.capstone.serving import server\n"
            "from grader.capstone.serving.index import Index\n"
            f"Index.load(Path({str(index_folder)!r}))\n"
            "print([name for name in ('torch', 'transformers', 'tensorflow', 'nbgrader', 'sandlock', 'peft')"
            " if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.strip() == "[]"


class TestBrokenIndex:
    @pytest.fixture
    def folder(self, index_folder, tmp_path):
        return shutil.copytree(index_folder, tmp_path / "index")

    def test_no_index_at_all(self, tmp_path):
        with pytest.raises(CapstoneError, match=r"no manifest.json\); make one with: course capstone export"):
            Index.load(tmp_path)

    @pytest.mark.parametrize("name", [IMAGE_SIDE, EMBEDDINGS])
    def test_a_file_that_was_changed_or_is_missing(self, folder, name):
        with (folder / name).open("r+b") as stream:
            stream.seek(-1, 2)
            stream.write(b"\x7f")
        with pytest.raises(CapstoneError, match=f"{name}: missing or changed"):
            Index.load(folder)
        (folder / name).unlink()
        with pytest.raises(CapstoneError, match=f"{name}: missing or changed"):
            Index.load(folder)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"schema": 99}, "an index of schema 99"),
            ({"size": "large"}, "size: .* export the index again"),
            ({"compression": "zip"}, "compression: "),
        ],
    )
    def test_a_manifest_that_says_something_else(self, folder, change, says):
        content = json.loads((folder / MANIFEST).read_text("utf-8")) | change
        (folder / MANIFEST).write_text(json.dumps(content), "utf-8")
        with pytest.raises(CapstoneError, match=says):
            Index.load(folder)

    def test_a_manifest_cut_short(self, folder):
        content = (folder / MANIFEST).read_bytes()
        (folder / MANIFEST).write_bytes(content[: len(content) // 2])
        with pytest.raises(CapstoneError, match="export the index again"):
            Index.load(folder)

    @pytest.mark.parametrize("name", [IMAGE_SIDE, EMBEDDINGS])
    def test_a_file_that_is_no_model_although_its_hash_is_right(self, folder, name):
        (folder / name).write_bytes(b"no model")
        self._say_that_hashes_are_right(folder)
        with pytest.raises(CapstoneError, match=f"{name}: .*cannot"):
            Index.load(folder)

    def test_embeddings_of_another_shape(self, folder):
        save_file({"names": np.zeros((3, 48), np.float32)}, folder / EMBEDDINGS)
        self._say_that_hashes_are_right(folder)
        with pytest.raises(CapstoneError, match=r"no names of shape \(48, 48\)"):
            Index.load(folder)

    @staticmethod
    def _say_that_hashes_are_right(folder):
        content = json.loads((folder / MANIFEST).read_text("utf-8"))
        for name in content["files"]:
            facts = FileFacts.of(folder / name)
            content["files"][name] = {"bytes": facts.bytes, "sha256": facts.sha256}
        (folder / MANIFEST).write_text(json.dumps(content), "utf-8")
