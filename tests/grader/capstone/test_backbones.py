"""Other people's dual encoders, offline: a CLIP and a SigLIP of random weights, saved to folders like the hub's."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from grader.capstone.adapters import apply_adapter
from grader.capstone.augmentation import prepare
from grader.capstone.backbones import load_backbone
from grader.capstone.bundle import Bundle
from grader.capstone.concepts import Concept
from grader.capstone.data_set import DataSet
from grader.capstone.errors import CapstoneError
from grader.capstone.explanation import Explainer, Plan
from grader.capstone.graded_run import grade_bundle, graded_run, preset_of
from grader.capstone.model_factory import make_model, pretrained_weights
from grader.capstone.outcomes import measure
from grader.capstone.presets import CPU, REMEMBERED_VENDOR, SOURCE_VENDORS, TARGET_VENDOR
from grader.capstone.pretraining import digest_of
from grader.capstone.recipe import Recipe
from grader.capstone.splits import Part, Splits
from grader.capstone.tuning import Method, choose_parameters

transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

NAMES = ["cat", "red heart", "sun", "house", "tree", "fish", "star", "moon", "car", "cake", "dog", "bell"]
LAYERS = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
METHODS = (Method.ZERO_SHOT, Method.LINEAR_PROBE, Method.FULL, Method.LORA)
RECIPE = Recipe(epochs=1, batch_size=3, learning_rate=1e-2, head_learning_rate=1e-2, ema=0.5)


def make_tokenizer(folder: Path) -> int:
    """One token a word and a mark at the end, whose number it returns."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = sorted({word for name in NAMES for word in f"an emoji of {name}".split()})
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", *words, "</s>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    end = ("</s>", vocabulary["</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[end])
    marks = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
    return vocabulary["</s>"]


@pytest.fixture(scope="module", params=["clip", "siglip"])
def checkpoint(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    end = make_tokenizer(folder)
    torch.manual_seed(3)
    text = {**LAYERS, "vocab_size": end + 1, "max_position_embeddings": 8, "eos_token_id": end}
    text |= {"bos_token_id": None, "pad_token_id": 0}
    vision = {**LAYERS, "image_size": 16, "patch_size": 8}
    if request.param == "clip":
        made = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
        model = transformers.CLIPModel(made)
    else:
        made = transformers.SiglipConfig(text_config={**text, "projection_size": 16}, vision_config=vision)
        model = transformers.SiglipModel(made)
        model.logit_scale.data.fill_(4.7)  # as google/siglip-base-patch16-224's, above our bound
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.4, 0.5, 0.6], "image_std": [0.3] * 3})
    )
    return folder


@pytest.fixture(scope="module")
def data() -> DataSet:
    vendors = (*SOURCE_VENDORS, TARGET_VENDOR)
    shape = (len(vendors), len(NAMES), 4, 16, 16)
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    concepts = tuple(Concept(chr(0x1F600 + number), name, name[::-1], name) for number, name in enumerate(NAMES))
    parts = {Part.TUNING: (0, 1, 2), Part.VALIDATION: (3, 4), Part.KNOWN: (5, 6, 7, 8, 9), Part.UNSEEN: (10, 11)}
    return DataSet(vendors, concepts, pixels, Splits(parts))


def preset_with(checkpoint, **changes):
    return dataclasses.replace(CPU, size=16, tuning=RECIPE, backbone=str(checkpoint), **changes)


@pytest.mark.parametrize("trains_text", [False, True])
def test_the_zero_shot_model_is_the_checkpoint(checkpoint, data, trains_text):
    """Against the checkpoint's own forward pass, with images prepared by hand."""
    encoder = load_backbone(str(checkpoint), NAMES, trains_text=trains_text).eval()
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    padding = "max_length" if model.config.model_type == "siglip" else True
    captions = [f"an emoji of {name}" for name in NAMES]
    tokens = tokenizer(captions, padding=padding, truncation=True, max_length=8, return_tensors="pt")
    if padding == "max_length":
        del tokens["attention_mask"]
    drawings = data.of(TARGET_VENDOR).float() / 255
    opaque = drawings[:, :3] * drawings[:, 3:] + 1 - drawings[:, 3:]
    images = (opaque - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / 0.3
    with torch.no_grad():
        wanted = model(pixel_values=images, input_ids=tokens["input_ids"], attention_mask=tokens.get("attention_mask"))
        found = encoder(prepare(data.of(TARGET_VENDOR)), torch.arange(len(NAMES)))
    torch.testing.assert_close(found.images, wanted.image_embeds, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.texts, wanted.text_embeds, rtol=0, atol=1e-5)
    assert float(found.log_scale.exp()) <= 100.001


@pytest.mark.parametrize("trains_text", [False, True])
def test_a_graded_run_tunes_a_backbone_and_its_adapters_fit_again(checkpoint, data, trains_text, tmp_path):
    preset = preset_with(checkpoint, trains_text=trains_text)
    bundle, outcomes = graded_run(preset, data, tmp_path / "bundle", METHODS)
    assert [outcome.method for outcome in outcomes] == list(METHODS)
    trainable = {outcome.method: outcome.trainable for outcome in outcomes}
    assert 0 == trainable[Method.ZERO_SHOT] < trainable[Method.LINEAR_PROBE] < trainable[Method.FULL]
    pretrained = pretrained_weights(preset, data)
    for outcome in outcomes:
        model = make_model(preset, data)
        file = bundle.adapter(outcome.method)
        apply_adapter(model, file, digest_of(pretrained), trains_text=trains_text)
        again = measure(model, data, TARGET_VENDOR, REMEMBERED_VENDOR)
        assert again.known.recall(1) == outcome.known.recall_at_1
        assert again.known.auc == pytest.approx(outcome.known.auc, abs=1e-6)
        changed = {n for n, v in model.state_dict().items() if not torch.equal(v, pretrained.get(n, torch.tensor(0)))}
        assert bool(changed) == (outcome.method is not Method.ZERO_SHOT)
        assert trains_text or not any(name.startswith("text_") for name in changed)
    explained = Explainer(model, data, TARGET_VENDOR, Plan(grid=2, chance_orders=2)).explain(5, 5)
    assert explained.values.sum() == pytest.approx(explained.score - explained.paper, abs=1e-5)
    points = grade_bundle(bundle.folder, preset, data)
    assert points.of == 10 and not any("pretrained weights" in warning for warning in points.warnings)


def test_matrices_of_lora_begin_alike_whatever_was_done_before(checkpoint, data):
    preset, found = preset_with(checkpoint), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = make_model(preset, data)
        choose_parameters(model, Method.LORA)
        found.append({name: value for name, value in model.state_dict().items() if "lora_A" in name})
    assert found[0] and all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_drawings_are_brought_to_the_checkpoints_size(checkpoint):
    encoder = load_backbone(str(checkpoint), NAMES, trains_text=False)
    assert encoder.encode_images(torch.zeros(2, 3, 40, 40)).shape[0] == 2


def test_a_bundle_does_not_choose_what_is_loaded(checkpoint, tmp_path):
    Bundle(tmp_path).begin({"preset": "cpu", "backbone": "somebody/model"})
    with pytest.raises(CapstoneError, match="with --backbone somebody/model"):
        preset_of(tmp_path)
    assert preset_of(tmp_path, "somebody/model").backbone == "somebody/model"


def test_a_backbone_that_cannot_be_loaded_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read at import
    with pytest.raises(CapstoneError, match=r"'nobody/nothing' cannot be loaded .* folder .* HF_HUB_OFFLINE"):
        load_backbone("nobody/nothing", NAMES, trains_text=False)
    with pytest.raises(CapstoneError, match="cannot be loaded"):
        load_backbone(str(tmp_path), NAMES, trains_text=False)
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(CapstoneError, match="a model of the kind 'bert'; --backbone takes clip or siglip"):
        load_backbone(str(tmp_path), NAMES, trains_text=False)


def test_a_backbone_has_weights_of_its_own(checkpoint, data):
    with pytest.raises(CapstoneError, match="leave out other.safetensors"):
        pretrained_weights(preset_with(checkpoint), data, Path("other.safetensors"))
