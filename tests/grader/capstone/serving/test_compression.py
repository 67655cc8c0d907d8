"""int8 and pruning: still the same task, and an honest word about what they brought."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from torch import nn

from grader.capstone.errors import CapstoneError
from grader.capstone.serving.comparison import Comparison, Measured
from grader.capstone.serving.compression import prune_weights, quantise
from grader.capstone.serving.export import export_index
from grader.capstone.serving.image_side import image_side
from grader.capstone.serving.index import Index
from grader.capstone.serving.manifest import IMAGE_SIDE, Compression, read_manifest


class TestInt8:
    def test_still_ranks_and_says_what_it_cost(self, model, data, origin, tmp_path):
        folder = tmp_path / "index"
        done = export_index(model, data, origin, folder, compression=Compression.INT8)
        assert read_manifest(folder).compression is Compression.INT8
        comparison = done.comparison
        assert comparison.before.recall_at_1 == 1
        assert comparison.after.recall_at_1 >= 0.8
        assert comparison.after.bytes < comparison.before.bytes
        assert comparison.before.milliseconds > 0
        assert comparison.after.milliseconds > 0
        kinds = {
            weight.data_type for weight in onnx.load(folder / IMAGE_SIDE).graph.initializer if len(weight.dims) == 4
        }
        assert kinds == {onnx.TensorProto.INT8}
        assert sorted(file.name for file in folder.iterdir()) == ["embeddings.safetensors", IMAGE_SIDE, "manifest.json"]
        # Drawings are found by the embeddings of the model that serves.
        index = Index.load(folder)
        found = [index.drawings_of(row, 1)[0].concept.name == name for row, name in enumerate(data.names)]
        assert np.mean(found) >= 0.8

    def test_needs_drawings_to_calibrate_on(self, index_folder, tmp_path):
        with pytest.raises(CapstoneError, match="there are none"):
            quantise(index_folder / IMAGE_SIDE, tmp_path / "int8.onnx", np.zeros((0, 3, 32, 32), np.float32))


class TestPruning:
    def test_the_smallest_weights_of_all_layers_together_become_zero(self, model):
        side = image_side(model)
        pruned = prune_weights(side, 0.3)

        def weights(module: nn.Module) -> np.ndarray:
            layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
            return np.concatenate([layer.weight.detach().numpy().ravel() for layer in layers])

        before, after = weights(side), weights(pruned)
        assert (after == 0).mean() == pytest.approx(0.3, abs=0.001)
        assert (before == 0).mean() < 0.01
        assert np.abs(before[after == 0]).max() <= np.abs(after[after != 0]).min()
        assert set(pruned.state_dict()) == set(side.state_dict())

    def test_still_ranks_and_saves_no_byte_but_in_an_archive(self, model, data, origin, tmp_path):
        done = export_index(model, data, origin, tmp_path / "index", compression=Compression.PRUNING, sparsity=0.3)
        comparison = done.comparison
        assert comparison.after.recall_at_1 >= 0.8
        assert comparison.after.bytes == pytest.approx(comparison.before.bytes, rel=0.01)
        assert comparison.after.deflated_bytes < 0.9 * comparison.before.deflated_bytes

    @pytest.mark.parametrize("sparsity", [0, 1, -0.5, float("nan")])
    def test_part_outside_its_range(self, model, sparsity):
        with pytest.raises(CapstoneError, match="between 0 and 1"):
            prune_weights(image_side(model), sparsity)


class TestVerdict:
    def test_says_so_when_it_is_slower(self):
        before = Measured(bytes=4000, deflated_bytes=3600, recall_at_1=0.40, milliseconds=2.0)
        after = Measured(bytes=1000, deflated_bytes=900, recall_at_1=0.38, milliseconds=2.5)
        assert Comparison(Compression.INT8, before, after).verdict == (
            "int8: -2.0 points of recall@1; on this machine slower (0.80 times as fast) on one thread; 25% of the size "
            "(25% when deflated)"
        )
        assert "1.25 times as fast on one thread" in Comparison(Compression.INT8, after, before).verdict
