"""The list of what the source articles ask, held against course.toml, and `course coverage`, which prints it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from grader import cli
from grader.course import Course, CourseError, load_course
from grader.coverage import ItemKind, SourceItem, SourceItems, Status, coverage_of, load_source_items

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def course() -> Course:
    return load_course(ROOT)


@pytest.fixture(scope="module")
def source_items() -> SourceItems:
    return load_source_items(ROOT)


def test_the_list_has_every_question_and_task_of_the_five_articles(source_items: SourceItems) -> None:
    counts = Counter((item.place[0], item.kind) for item in source_items.items)
    assert {article: counts[article, ItemKind.QUESTION] for article in "ABCDE"} == dict(A=4, B=10, C=3, D=15, E=10)
    assert {article: counts[article, ItemKind.TASK] for article in "ABCDE"} == dict(A=2, B=4, C=3, D=16, E=6)
    ids = [item.id for item in source_items.items]
    assert len(set(ids)) == len(ids)


def test_every_question_and_task_has_a_notebook_in_the_plan(source_items: SourceItems) -> None:
    homeless = [
        item.id
        for item in source_items.items
        if item.kind in (ItemKind.QUESTION, ItemKind.TASK)
        and not any(entry in source_items.notebook for entry in item.entries)
    ]
    assert homeless == []


def test_exercises_name_sources_that_exist(course: Course, source_items: SourceItems) -> None:
    assert coverage_of(course, source_items).unknown == ()


def test_an_exercise_names_every_entry_that_the_plan_gives_it(course: Course, source_items: SourceItems) -> None:
    named = {entry for exercise in course.exercises for entry in exercise.sources}
    ids = {exercise.id for exercise in course.exercises}
    forgotten = {entry: place for entry, place in source_items.notebook.items() if place in ids and entry not in named}
    assert forgotten == {}


@pytest.mark.parametrize(
    ("entries", "status", "lacking"),
    [
        (("B-Q5a",), Status.COVERED, {}),
        (("B-Q5a", "Z-Q1a"), Status.PARTLY, {"Z-Q1a": "later/exercise"}),
        (("Z-Q1a", "Z-Q1b"), Status.MISSING, {"Z-Q1a": "later/exercise", "Z-Q1b": ""}),
        ((), Status.NO_EXERCISE, {}),
    ],
)
def test_status_of_an_item(course: Course, entries: tuple[str, ...], status: Status, lacking: dict[str, str]) -> None:
    item = SourceItem("Z-Q1", "Z, line 1", ItemKind.QUESTION, "interview question", entries)
    covered = coverage_of(course, SourceItems((item,), {"Z-Q1a": "later/exercise"})).items[0]
    assert (covered.status, covered.lacking) == (status, lacking)
    assert covered.exercises == (("metrics/classification",) if "B-Q5a" in entries else ())


def test_an_unknown_source_is_named_with_its_exercise(
    course: Course, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = course.exercises
    wrong = replace(course, exercises=(replace(first, sources=(*first.sources, "A-Q99z")), *others))
    monkeypatch.setattr("grader.course.load_course", lambda: wrong)
    with pytest.raises(SystemExit) as ended:
        cli.main(["coverage"])
    assert ended.value.code == 1
    assert f"{first.id} names the source A-Q99z" in " ".join(capsys.readouterr().out.split())


def test_the_command_prints_what_is_missing_and_json_has_everything(
    source_items: SourceItems, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COURSE_ROOT", str(ROOT))
    with pytest.raises(SystemExit) as ended:
        cli.main(["coverage", "--json"])
    assert ended.value.code == 0
    data = json.loads(capsys.readouterr().out)
    assert [item["id"] for item in data["items"]] == [item.id for item in source_items.items]
    with pytest.raises(SystemExit):
        cli.main(["coverage"])
    table = capsys.readouterr().out
    for item in data["items"]:
        shown = any(line.startswith(f"{item['id']} ") for line in table.splitlines())
        assert shown == (item["status"] in ("partly", "missing")), item["id"]


def test_a_broken_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=r"source_items\.toml is missing"):
        load_source_items(tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "source_items.toml").write_text("[[items]]\nid = 'A-Q1'\n", encoding="utf-8")
    with pytest.raises(CourseError, match=r"source_items\.toml cannot be read: KeyError"):
        load_source_items(tmp_path)
