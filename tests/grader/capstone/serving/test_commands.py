"""`course capstone export`, `serve` and `load-test` as a person types them."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import typer
from typer.testing import CliRunner

from grader.capstone.adapters import save_adapter
from grader.capstone.bundle import Bundle
from grader.capstone.data_set import DataSet
from grader.capstone.errors import CapstoneError
from grader.capstone.model_factory import make_model
from grader.capstone.presets import CPU
from grader.capstone.pretraining import digest_of
from grader.capstone.serving.comparison import Comparison, Measured
from grader.capstone.serving.index import Index
from grader.capstone.serving.load_test import LoadReport
from grader.capstone.serving.manifest import Compression, FileFacts
from grader.capstone.serving.probes import Refusal
from grader.capstone.serving.settings import KEY_VARIABLE, Settings
from grader.capstone.text_towers import TEXT_FEATURES
from grader.capstone.tuning import Method
from grader.capstone.weights import load_weights, save_weights
from grader.cli import capstone_serving

app = typer.Typer()
for command in (capstone_serving.export, capstone_serving.serve, capstone_serving.load_test):
    app.command(command.__name__.replace("_", "-"))(command)


@pytest.fixture(scope="module")
def course_data(data) -> DataSet:
    """The made-up drawings at the resolution of the cpu preset."""
    pixels = data.of(data.vendors[0])
    larger = torch.nn.functional.interpolate(pixels.float(), size=(CPU.size, CPU.size)).to(torch.uint8)
    return replace(data, pixels=larger[None])


@pytest.fixture
def weights_file(course_data, monkeypatch, tmp_path):
    """Pretrained weights of the cpu preset, and names that need no text tower to be read."""
    monkeypatch.setattr("grader.capstone.data_set.load_packages", lambda size, **_: course_data)
    features = torch.randn(len(course_data.concepts), TEXT_FEATURES, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr("grader.capstone.model_factory._names", lambda data: features)
    weights = dict(make_model(CPU, course_data).state_dict())
    save_weights(tmp_path / "pretrained.safetensors", weights, {})
    return tmp_path / "pretrained.safetensors"


@pytest.fixture
def bundle(course_data, weights_file, tmp_path) -> Bundle:
    """A run of which only the linear probe is done."""
    pretrained, _ = load_weights(weights_file)
    bundle = Bundle(tmp_path / "bundle")
    bundle.begin({"preset": "cpu", "data": course_data.digest(), "target": "Wind"})
    adapter = {"image_projection.weight": pretrained["image_projection.weight"] * 2}
    save_adapter(bundle.adapter(Method.LINEAR_PROBE), adapter, Method.LINEAR_PROBE, digest_of(pretrained))
    return bundle


def run(*arguments: object):
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "120"})


class TestExport:
    def test_writes_an_index_of_the_bundle_s_model(self, bundle, weights_file, course_data, tmp_path):
        options = ["--method", "linear-probe", "--weights", weights_file, "--output", tmp_path / "small"]
        result = run("export", bundle.folder, *options, "--compression", "int8", "--json")
        assert result.exit_code == 0, result.output
        origin = Index.load(tmp_path / "small").manifest.origin
        assert (origin.method, origin.preset, origin.vendor) == ("linear probe", "cpu", "Wind")
        assert origin.data == course_data.digest()
        assert origin.adapter == FileFacts.of(bundle.adapter(Method.LINEAR_PROBE)).sha256
        found = json.loads(result.stdout)
        assert found["compression"] == "int8"
        assert found["parity"]["drawings"] == 20
        assert set(found["comparison"]["before"]) == {"bytes", "deflated_bytes", "recall_at_1", "milliseconds"}
        assert found["comparison"]["after"]["bytes"] < 0.4 * found["comparison"]["before"]["bytes"]
        assert found["files"]["image_side.onnx"]["bytes"] == found["comparison"]["after"]["bytes"]

    def test_says_how_well_it_agrees_and_what_compression_did(self, bundle, weights_file, exported, monkeypatch):
        comparison = Comparison(Compression.INT8, Measured(4_100_000, 3_800_000, 0.4, 1.5), Measured(1, 1, 0.39, 1.0))
        passed = []

        def export_index(model, data, origin, folder, **options):
            passed.append((folder, options))
            return replace(exported[1], comparison=comparison)

        monkeypatch.setattr("grader.capstone.serving.export.export_index", export_index)
        options = ["--method", "linear-probe", "--weights", weights_file, "--compression", "pruning", "--sparsity", 0.7]
        result = run("export", bundle.folder, *options)
        assert result.exit_code == 0, result.output
        folder = bundle.folder / "served" / "linear-probe"
        assert passed == [(folder, {"compression": Compression.PRUNING, "sparsity": 0.7})]
        assert "linear probe as ONNX, with the embeddings of 48 names" in result.output
        assert "onnxruntime agrees with torch on 20 drawings" in result.output
        assert re.search(r"as tuned +4.10 MB +3.80 MB +0.400 +1.50", result.output)
        assert comparison.verdict in result.output
        assert f"course capstone serve {folder}" in result.output

    def test_a_method_that_the_run_has_not(self, bundle, weights_file):
        result = run("export", bundle.folder, "--method", "lora", "--weights", weights_file)
        assert isinstance(result.exception, CapstoneError)
        assert "the run has no LoRA, only: linear probe; name one of those with --method" in str(result.exception)

    def test_data_of_another_run(self, bundle, weights_file, course_data, monkeypatch):
        other = replace(course_data, pixels=course_data.pixels.flip(-1))
        monkeypatch.setattr("grader.capstone.data_set.load_packages", lambda size, **_: other)
        result = run("export", bundle.folder, "--method", "linear-probe", "--weights", weights_file)
        assert isinstance(result.exception, CapstoneError)
        assert "made with other data" in str(result.exception)

    def test_a_method_that_nobody_knows(self, bundle):
        result = run("export", bundle.folder, "--method", "magic")
        assert isinstance(result.exception, CapstoneError)
        assert "there is no method 'magic'; there are: zero-shot, linear-probe, full, lora," in str(result.exception)

    def test_every_compression_can_be_named(self):
        assert {str(c) for c in Compression} == {str(c) for c in capstone_serving.CompressionName}


class TestServe:
    def test_without_a_key_says_how_to_make_one(self, index_folder, monkeypatch):
        monkeypatch.delenv(KEY_VARIABLE, raising=False)
        result = run("serve", index_folder)
        assert isinstance(result.exception, CapstoneError)
        assert "there is no API key: name a file with --key-file" in str(result.exception)

    def test_what_is_no_index(self, tmp_path, monkeypatch):
        monkeypatch.setenv(KEY_VARIABLE, "a key of more than sixteen")
        result = run("serve", tmp_path, "--port", 0)
        assert isinstance(result.exception, CapstoneError)
        assert "make one with: course capstone export" in str(result.exception)

    def test_a_port_that_is_taken(self, index_folder, monkeypatch):
        monkeypatch.setenv(KEY_VARIABLE, "a key of more than sixteen")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            result = run("serve", index_folder, "--port", taken.getsockname()[1])
        assert isinstance(result.exception, CapstoneError)
        assert "127.0.0.1" in str(result.exception)
        assert "--port" in str(result.exception)

    def test_passes_its_options_on(self, index_folder, monkeypatch, tmp_path):
        (tmp_path / "key").write_text("a key of more than sixteen\n", "utf-8")
        passed = []
        monkeypatch.setattr("grader.capstone.serving.server.run_server", lambda *arguments: passed.append(arguments))
        options = ["--port", 0, "--key-file", tmp_path / "key", "--concurrent", 3]
        result = run("serve", index_folder, *options)
        assert result.exit_code == 0
        assert f"http://127.0.0.1:{passed[0][2].getsockname()[1]}; Ctrl-C stops it" in result.output
        assert "a key of more" not in result.output
        assert run("serve", index_folder, *options, "--waiting", 0).exit_code == 0
        for (folder, settings, listening), waiting in zip(passed, (12, 0), strict=True):
            assert folder == index_folder
            assert settings == Settings("a key of more than sixteen", concurrent=3, waiting=waiting)
            assert listening.getsockname()[0] == "127.0.0.1"
            listening.close()


class TestLoadTest:
    REPORT = LoadReport(
        16, 30.02, 412.34, 20.1, 41.9, 55.5, {"200": 12370, "429": 7}, [Refusal("no key", 401, 401, "")], True
    )

    def test_shows_pace_latencies_and_counts(self, index_folder, monkeypatch):
        monkeypatch.setattr("grader.capstone.serving.load_test.run_load_test", lambda *_, **__: self.REPORT)
        result = run("load-test", index_folder)
        assert result.exit_code == 0
        assert "16 clients for 30.0 s: 412 answers a second, p50 20.1 ms, p95 41.9 ms, p99 55.5 ms" in result.output
        assert "200: 12370  429: 7" in result.output
        assert re.search(r"no key +401 +401 +as it should", result.output)

    def test_exits_with_1_for_any_fault(self, index_folder, monkeypatch):
        faulty = replace(self.REPORT, statuses={"200": 3, "503": 2})
        monkeypatch.setattr("grader.capstone.serving.load_test.run_load_test", lambda *_, **__: faulty)
        result = run("load-test", index_folder)
        assert result.exit_code == 1
        assert "2 requests ended with 503" in result.output
        result = run("load-test", index_folder, "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout)["faults"] == ["2 requests ended with 503"]

    def test_really(self, index_folder):
        result = run("load-test", index_folder, "--clients", 2, "--seconds", 0.5, "--json")
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert report["statuses"]["200"] > 0
        assert report["faults"] == []


def test_help_imports_nothing_heavy():
    program = (
        "import sys, typer\n"
        "from grader.cli import capstone_serving\n"
        "print(sorted({'torch', 'fastapi', 'numpy', 'rich', 'onnxruntime', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
    text = run("load-test", "--help").output
    assert "--clients" in text
    assert "--seconds" in text
