"""What catalogued mistakes do, kept beside the catalogue."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from grader.behaviours import (
    BehavioursIncomplete,
    behaviours_path,
    behaviours_version,
    build_behaviours,
    read_behaviours,
    write_behaviours,
)
from grader.catalogue import load_catalogue
from grader.course import Exercise, load_course
from grader.diagnosis import Behaviour
from grader.sandbox.confinement import missing_protections

COURSE = load_course(Path(__file__).resolve().parents[2])


@pytest.mark.parametrize("exercise", COURSE.exercises, ids=lambda exercise: exercise.id)
def test_the_kept_behaviours_are_current_and_complete(exercise: Exercise) -> None:
    kept = read_behaviours(behaviours_path(exercise), behaviours_version(exercise))
    assert kept is not None, "run `course build`"
    assert set(kept) == {entry.id for entry in load_catalogue(exercise.catalogue_path).wrong_answers}
    for name, behaviour in kept.items():
        rejected = {check for check, outcome in behaviour.outcomes.items() if outcome != "passed"}
        assert rejected, f"{name} passes every check"
        assert set(behaviour.returned) <= rejected


def test_writing_and_reading_are_inverse_and_the_version_decides(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.behaviours.json"
    behaviours = {"b": Behaviour({"test_a": "failed"}, {"test_a": [1.5, "nan", [True]]}), "a": Behaviour({}, {})}
    write_behaviours(path, "v1", behaviours)
    assert read_behaviours(path, "v1") == behaviours
    assert read_behaviours(path, "v2") is None
    assert len(path.read_text().splitlines()) == 4  # one mistake a line: changes are readable in a diff
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": "v1"}', '{"version": "v1", "behaviours": {"a": 1}}'])
def test_a_damaged_file_is_no_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    assert read_behaviours(path, "v1") is None


def test_a_changed_check_makes_the_file_stale(tmp_path: Path) -> None:
    original = COURSE.exercise("metrics/classification")
    exercise = replace(original, root=tmp_path)
    for path in (original.checks_path, original.catalogue_path, original.reference_path, behaviours_path(original)):
        copy = tmp_path / path.relative_to(original.root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    assert build_behaviours(COURSE, [exercise], check=True).stale == ()
    exercise.reference_path.write_text(exercise.reference_path.read_text().replace("# # ", "# # Reworded: "))
    assert build_behaviours(COURSE, [exercise], check=True).stale == (), "a lesson's text does nothing"
    exercise.checks_path.write_text(exercise.checks_path.read_text() + "\n# changed\n")
    assert build_behaviours(COURSE, [exercise], check=True).stale == (behaviours_path(exercise),)
    assert json.loads(behaviours_path(exercise).read_text())["version"] != behaviours_version(exercise)


@pytest.mark.skipif(bool(missing_protections(COURSE.allow_degraded)), reason="this machine cannot confine")
def test_what_cannot_be_found_out_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    original = COURSE.exercise("metrics/classification")
    exercise = replace(original, root=tmp_path)
    for path in (original.checks_path, original.catalogue_path, original.reference_path):
        copy = tmp_path / path.relative_to(original.root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    exercise.checks_path.write_text("import no_such_module_anywhere\n")
    with pytest.raises(BehavioursIncomplete, match="metrics/classification: "):
        build_behaviours(COURSE, [exercise])
    assert not behaviours_path(exercise).exists()
