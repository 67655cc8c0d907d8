"""Concepts, families, twins and splits, on the real drawings; augmentation and packs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from grader.capstone.augmentation import augment, draw_chances, prepare
from grader.capstone.compositing import on_background
from grader.capstone.concepts import describe, family_of
from grader.capstone.data_set import DataSet
from grader.capstone.drawings import Drawings, decode
from grader.capstone.duplicates import find_copies, find_twins
from grader.capstone.errors import CapstoneError
from grader.capstone.pack import MOST_BYTES, not_to_be_passed_on, read_pack, write_pack
from grader.capstone.splits import PART_SIZES, Part, Splits, find_leaks, make_splits, read_splits, write_splits
from grader.capstone.vendors import Vendor


@pytest.fixture(scope="module")
def twins(native_drawings: Drawings) -> list[tuple[int, int]]:
    return [(pair.concept, pair.other_concept) for pair in find_twins(native_drawings)]


def test_seven_vendors_draw_the_same_concepts_with_names_in_two_languages(native_drawings: Drawings) -> None:
    concepts = native_drawings.concepts
    assert len(concepts) == 1489
    assert native_drawings.pixels.shape == (7, 1489, 4, 72, 72)
    assert len({concept.name for concept in concepts}) == len({concept.chinese_name for concept in concepts}) == 1489
    by_name = {concept.name: concept for concept in concepts}
    assert by_name["watermelon"].chinese_name == "西瓜"
    # No drawing is empty: each is opaque somewhere.
    assert (native_drawings.pixels[:, :, 3].max(axis=(2, 3)) == 255).mean() > 0.99


@pytest.mark.parametrize(
    ("characters", "name", "family"),
    [
        ("👨‍🍳", "man cook", "cook"),
        ("🧑‍🍳", "cook", "cook"),
        ("🧜‍♂️", "merman", "merpeople"),
        ("🏴‍☠️", "pirate flag", "flags"),
        ("🇩🇪", "Germany", "flags"),
        ("3️⃣", "keycap 3", "keycaps"),
        ("🕧", "twelve-thirty", "clock faces"),
        ("👩‍❤️‍👩", "couple with heart woman woman", "couple with heart"),
        ("👧", "girl", "people"),
        ("🐕", "dog", "dog"),
    ],
)
def test_who_knows_one_member_of_a_family_knows_much_of_the_others(characters: str, name: str, family: str) -> None:
    assert family_of(characters, name) == family


def test_variants_in_skin_tones_are_no_concepts() -> None:
    assert [concept.name for concept in describe(["👍", "👍🏽"])] == ["thumbs up"]


def test_no_group_straddles_the_shipped_splits(native_drawings: Drawings, twins: list[tuple[int, int]]) -> None:
    splits = read_splits(native_drawings.concepts)
    assert {part: len(splits[Part(part)]) for part in PART_SIZES} == PART_SIZES
    assert find_leaks(splits, native_drawings.concepts, twins) == []
    assert splits.parts == make_splits(native_drawings.concepts, twins).parts, "splits.json is not what the code makes"


def test_a_leak_is_told_by_names(native_drawings: Drawings, twins: list[tuple[int, int]]) -> None:
    concepts = native_drawings.concepts
    index_of = {concept.name: index for index, concept in enumerate(concepts)}
    parts = {part: set(indices) for part, indices in read_splits(concepts).parts.items()}
    moved = index_of["man astronaut"]
    for indices in parts.values():
        indices.discard(moved)
    home = next(part for part, indices in parts.items() if index_of["woman astronaut"] in indices)
    other = Part.UNSEEN if home is not Part.UNSEEN else Part.KNOWN
    parts[other].add(moved)
    leaks = find_leaks(Splits({part: tuple(sorted(indices)) for part, indices in parts.items()}), concepts, twins)
    assert len(leaks) == 1 and "astronaut" in leaks[0] and home in leaks[0] and other in leaks[0]


def test_concepts_in_two_parts_or_in_none_are_leaks(small_data: DataSet) -> None:
    parts = dict(small_data.splits.parts)
    parts[Part.KNOWN] = (*parts[Part.KNOWN][1:], parts[Part.TUNING][0])
    leaks = find_leaks(Splits(parts), small_data.concepts)
    assert any("name 0 is in tuning and in known" in leak for leak in leaks)
    assert any("name 22 is in no part" in leak for leak in leaks)


def test_splits_of_other_concepts_are_refused(small_data: DataSet, tmp_path: Path) -> None:
    file = tmp_path / "splits.json"
    write_splits(file, small_data.splits, small_data.concepts)
    assert read_splits(small_data.concepts, file).parts == small_data.splits.parts
    with pytest.raises(CapstoneError, match="differ in 1 concepts"):
        read_splits(small_data.concepts[1:], file)


def test_twins_are_pictures_and_not_names(native_drawings: Drawings) -> None:
    names = {
        frozenset({native_drawings.concepts[pair.concept].name, native_drawings.concepts[pair.other_concept].name})
        for pair in find_twins(native_drawings)
    }
    assert frozenset({"star of David", "dotted six-pointed star"}) in names
    assert frozenset({"watermelon", "dog"}) not in names
    copies = list(find_copies(native_drawings))
    assert all(pair.concept == pair.other_concept and pair.vendor != pair.other_vendor for pair in copies)
    assert 0 < len(copies) < 2000


def test_decoding_keeps_opacity_and_says_which_file_is_broken(tmp_path: Path) -> None:
    image = np.zeros((72, 72, 4), dtype=np.uint8)
    image[18:54, 18:54] = (200, 100, 50, 255)
    Image.fromarray(image).save(tmp_path / "good.png")
    small = decode(tmp_path / "good.png", 36)
    assert small.shape == (4, 36, 36)
    np.testing.assert_array_equal(small[:, 18, 18], [200, 100, 50, 255])
    rim = small[:3, :, :][:, small[3] > 8]
    assert np.abs(rim.astype(int) - np.array([[200], [100], [50]])).max() <= 12, "colours darken towards the rim"
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(CapstoneError, match=r"bad\.png"):
        decode(tmp_path / "bad.png", 36)


def test_a_background_shows_where_a_drawing_is_transparent() -> None:
    pixels = np.zeros((4, 1, 3), dtype=np.uint8)
    pixels[:, 0, 1] = (255, 0, 0, 255)
    pixels[:, 0, 2] = (255, 0, 0, 51)
    np.testing.assert_allclose(
        on_background(pixels, 0.5)[:, 0], [[0.5, 1, 0.6], [0.5, 0, 0.4], [0.5, 0, 0.4]], rtol=1e-6
    )


def test_evaluation_sees_a_drawing_on_white_at_zero_mean_and_unit_spread() -> None:
    pixels = torch.zeros(2, 4, 8, 8, dtype=torch.uint8)
    pixels[1, 3] = 255
    torch.testing.assert_close(prepare(pixels)[0], torch.full((3, 8, 8), 2.0))
    torch.testing.assert_close(prepare(pixels)[1], torch.full((3, 8, 8), -2.0))


def test_augmentation_depends_on_the_row_s_own_chances_alone(small_data: DataSet) -> None:
    pixels = small_data.pixels[0, :6]
    chances = draw_chances(6, torch.Generator().manual_seed(1))
    whole = augment(pixels, chances)
    torch.testing.assert_close(augment(pixels[2:3], chances[2:3])[0], whole[2])
    assert not torch.equal(augment(pixels, draw_chances(6, torch.Generator().manual_seed(2))), whole)
    assert whole.shape == (6, 3, 16, 16) and whole.abs().max() <= 2


def test_augmentation_never_mirrors() -> None:
    pixels = torch.zeros(200, 4, 20, 20, dtype=torch.uint8)
    pixels[:, 3] = 255
    pixels[:, 0, :, :5] = 255  # a red bar on the left
    pixels[:, 1:3, :, 5:] = 255
    seen = augment(pixels, draw_chances(200, torch.Generator().manual_seed(0)))
    left, right = seen[:, :, 8:12, :4].mean(dim=(2, 3)), seen[:, :, 8:12, -8:-4].mean(dim=(2, 3))
    redder = (left[:, 0] - left[:, 1]) - (right[:, 0] - right[:, 1])
    # Where almost no strength of colour was drawn the two cannot be told apart.
    assert (redder > -0.05).all() and (redder > 0.5).float().mean() > 0.7


def test_a_pack_is_read_as_readily_as_the_packages(native_drawings: Drawings, tmp_path: Path) -> None:
    pixels = torch.from_numpy(native_drawings.pixels[[2, 5]])
    data = DataSet(
        (Vendor.GOOGLE, Vendor.TWITTER), native_drawings.concepts, pixels, read_splits(native_drawings.concepts)
    )
    sizes = write_pack(data, tmp_path)
    assert max(sizes.values()) <= MOST_BYTES and sum(name.startswith("drawings-") for name in sizes) >= 3
    again = read_pack(tmp_path)
    assert again.digest() == data.digest()
    assert again.concepts == data.concepts and torch.equal(again.pixels, data.pixels)

    ours, theirs = (found.sentence_tower() for found in (again, data))
    some = torch.arange(0, 1489, 100)
    with torch.inference_mode():
        similarity = (ours.eval()(some) * theirs.eval()(some)).sum(dim=1)
    assert similarity.min() > 0.999, "half precision changed what names mean"
    assert not_to_be_passed_on(data.vendors) == [] and not_to_be_passed_on([Vendor.APPLE]) == [Vendor.APPLE]


def test_a_pack_that_was_changed_or_interrupted_is_refused(small_data: DataSet, tmp_path: Path) -> None:
    write_pack(small_data, tmp_path)
    drawings = tmp_path / "drawings-000.safetensors"
    content = bytearray(drawings.read_bytes())
    content[-1] ^= 1
    drawings.write_bytes(content)
    with pytest.raises(CapstoneError, match=r"drawings-000\.safetensors: missing or changed"):
        read_pack(tmp_path)
    manifest = json.loads((tmp_path / "pack.json").read_text())
    (tmp_path / "pack.json").write_text(json.dumps({**manifest, "schema": 99}))
    with pytest.raises(CapstoneError, match="schema 99"):
        read_pack(tmp_path)
    (tmp_path / "pack.json").unlink()
    with pytest.raises(CapstoneError, match="not a whole pack"):
        read_pack(tmp_path)
