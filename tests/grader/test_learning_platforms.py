"""The zips of Canvas and Moodle as input of `course grade`: whose notebook is whose."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from grader.checking.outcome import SubmissionStatus
from grader.course import Exercise, Framework, Kind
from grader.grading.collect import CollectedSubmission, collect
from grader.grading.learning_platforms import PlatformStudent, platform_student

DOT, METRICS = (
    Exercise(Path("course"), id, id, Kind.CODING, Framework.NUMPY, 1, 10, 10)
    for id in ("attention/scaled_dot_product", "metrics/classification")
)


def collected(tmp_path: Path, *names: str, exercises: Sequence[Exercise] = (DOT, METRICS)) -> list[CollectedSubmission]:
    archive = tmp_path / "submissions.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for name in names:
            bundle.writestr(name, name)
    return collect(archive, exercises, unpacked=tmp_path / "unpacked", course=(DOT, METRICS))


def counting(entries: Sequence[CollectedSubmission]) -> dict[tuple[str, str], str]:
    """Student and exercise -> the member of the zip that is graded for them."""
    chosen = [entry for entry in entries if entry.status is None]
    assert all(entry.path and entry.path.read_text().endswith(entry.source) for entry in chosen)
    return {(entry.student, entry.exercise): entry.source for entry in chosen}


def test_canvas_names_are_taken_apart(tmp_path: Path) -> None:
    entries = collected(
        tmp_path,
        "doejane_101_9001_scaled_dot_product.ipynb",
        "doejane_101_9002_classification-1.ipynb",
        "roejoão_LATE_102_9003_scaled_dot_product (2)-3.ipynb",
        "doejane_103_9004_classification.ipynb",
        "doejane_101_9005_notes.pdf",
    )
    assert counting(entries) == {
        ("doejane_101", DOT.id): "doejane_101_9001_scaled_dot_product.ipynb",
        ("doejane_101", METRICS.id): "doejane_101_9002_classification-1.ipynb",
        ("roejoão_102", DOT.id): "roejoão_LATE_102_9003_scaled_dot_product (2)-3.ipynb",
        ("doejane_103", METRICS.id): "doejane_103_9004_classification.ipynb",
    }, "two students of one name stay two"


def test_anonymous_canvas_names_are_taken_apart(tmp_path: Path) -> None:
    entries = collected(tmp_path, "anon_aB3xQ_9001_classification.ipynb", "LATE_anon_77777_9002_classification.ipynb")
    assert {student for student, _ in counting(entries)} == {"anon_aB3xQ", "anon_77777"}


@pytest.mark.parametrize("folder", ["", "_"])
def test_moodle_folders_are_taken_apart(tmp_path: Path, folder: str) -> None:
    entries = collected(
        tmp_path,
        f"Jane Doe_101_assignsubmission_file{folder}/classification.ipynb",
        f"Jane Doe_101_assignsubmission_file{folder}/more/scaled_dot_product.ipynb",
        f"Group A-João da Silva_102_assignsubmission_file{folder}/classification.ipynb",
        "Nobody_103_assignsubmission_onlinetext_/onlinetext.html",
    )
    assert set(counting(entries)) == {
        ("Jane Doe_101", METRICS.id),
        ("Jane Doe_101", DOT.id),
        ("Group A-João da Silva_102", METRICS.id),
    }


def test_moodle_names_without_folders_are_taken_apart(tmp_path: Path) -> None:
    entries = collected(
        tmp_path,
        "Jane Doe_101_assignsubmission_file_classification.ipynb",
        "Participant_102_assignsubmission_file_scaled_dot_product.ipynb",
    )
    assert set(counting(entries)) == {("Jane Doe_101", METRICS.id), ("Participant_102", DOT.id)}


def test_a_zip_inside_a_folder_is_the_same(tmp_path: Path) -> None:
    entries = collected(
        tmp_path, "week 3/doejane_101_9001_classification.ipynb", "week 3/roe_102_9002_classification.ipynb"
    )
    assert {student for student, _ in counting(entries)} == {"doejane_101", "roe_102"}


def test_a_file_name_cannot_take_another_students_place(tmp_path: Path) -> None:
    """What follows the platform's own part is the student's; it may look like any other part."""
    canvas = collected(tmp_path, "mallory_66_9001_doejane_101_9002_classification.ipynb", exercises=(METRICS,))
    assert [entry.student for entry in canvas] == ["mallory_66"]
    moodle = collected(
        tmp_path,
        "Mallory_66_assignsubmission_file_/Jane Doe_101_assignsubmission_file_/classification.ipynb",
        "Mallory_66_assignsubmission_file_Jane Doe_101_assignsubmission_file_classification.ipynb",
    )
    assert {entry.student for entry in moodle} == {"Mallory_66"}


def test_a_member_that_leads_outside_changes_nothing_for_the_others(tmp_path: Path) -> None:
    entries = collected(tmp_path, "doejane_101_9001_classification.ipynb", "../../etc/cron.d/classification.ipynb")
    assert set(counting(entries)) == {("doejane_101", METRICS.id)}
    assert [entry.status for entry in entries if entry.status] == [SubmissionStatus.REFUSED]
    assert not (tmp_path.parent / "etc").exists()


def test_one_notebook_for_one_exercise_may_have_any_name(tmp_path: Path) -> None:
    names = ["doejane_101_9001_Untitled7.ipynb", "roe_102_9002_hw.ipynb", "roe_102_9003_old.ipynb"]
    entries = collected(tmp_path, *names, "poe_103_9004_scaled_dot_product.ipynb", exercises=(METRICS,))
    assert counting(entries) == {("doejane_101", METRICS.id): names[0]}
    others = {entry.student: entry for entry in entries if entry.status is not None}
    assert others["roe_102"].status is SubmissionStatus.MISSING and "hw.ipynb" in others["roe_102"].message
    assert others["poe_103"].status is SubmissionStatus.MISSING, "that notebook is for another exercise"


def test_a_folder_of_zips_is_one_class(tmp_path: Path) -> None:
    """Canvas makes a zip an assignment; Moodle too; some platforms make one a student."""
    downloads = tmp_path / "downloads"
    downloads.mkdir()

    def graded_from(**zips: Sequence[str]) -> set[tuple[str, str]]:
        for path in downloads.iterdir():
            path.unlink()
        for name, members in zips.items():
            with zipfile.ZipFile(downloads / f"{name}.zip", "w") as bundle:
                for member in members:
                    bundle.writestr(member, f"{name}/{member}")
        return set(counting(collect(downloads, (DOT, METRICS), unpacked=tmp_path / "unpacked", course=(DOT, METRICS))))

    both = {("doejane_101", DOT.id), ("doejane_101", METRICS.id), ("roe_102", DOT.id)}
    first = ["doejane_101_9001_scaled_dot_product.ipynb", "roe_LATE_102_9002_scaled_dot_product.ipynb"]
    assert graded_from(one=first, two=["doejane_101_9003_classification.ipynb"]) == both
    folder = "assignsubmission_file_"
    first = [f"Jane Doe_101_{folder}/scaled_dot_product.ipynb", f"R Roe_102_{folder}/scaled_dot_product.ipynb"]
    assert {student for student, _ in graded_from(one=first, two=[f"Jane Doe_101_{folder}/classification.ipynb"])} == {
        "Jane Doe_101",
        "R Roe_102",
    }
    assert graded_from(ada=["metrics/classification.ipynb"], bob=["scaled_dot_product.ipynb"]) == {
        ("ada", METRICS.id),
        ("bob", DOT.id),
    }


def test_a_student_cannot_hand_in_for_another_below_a_folder(tmp_path: Path) -> None:
    entries = collected(
        tmp_path,
        "mallory/Jane Doe_101_assignsubmission_file_classification.ipynb",
        "mallory/doejane_101_9001_classification.ipynb",
        "jane/metrics/classification.ipynb",
    )
    assert set(counting(entries)) == {("jane", METRICS.id)}


def test_names_of_no_platform_stay_what_they_are(tmp_path: Path) -> None:
    entries = collected(tmp_path, "team_12_34_classification.ipynb", "ada_classification.ipynb")
    assert {student for student, _ in counting(entries)} == {"team_12_34", "ada"}


@pytest.mark.parametrize("student", [PlatformStudent("doejane", "101"), PlatformStudent("", "7")])
def test_a_students_key_leads_back(student: PlatformStudent) -> None:
    assert platform_student(student.key) == student
    assert platform_student("ada") is None
