"""Finding submissions: nbgrader's folder, a flat folder, a zip; names that are odd, hostile, double or wrong."""

from __future__ import annotations

import os
import resource
import stat
import zipfile
from pathlib import Path

import pytest

from grader.checking.outcome import SubmissionStatus
from grader.course import Exercise, Framework, Kind
from grader.grading import handed_in
from grader.grading.collect import CollectedSubmission, CollectError, collect, exercise_of, unsafe_reason
from grader.grading.unwritable import UnwritableError

DUPLICATE, MISSING, REFUSED, UNREADABLE = (
    SubmissionStatus.DUPLICATE,
    SubmissionStatus.MISSING,
    SubmissionStatus.REFUSED,
    SubmissionStatus.UNREADABLE,
)


def an_exercise(id: str) -> Exercise:
    return Exercise(Path("course"), id, id, Kind.CODING, Framework.NUMPY, 1, 10, 10)


DOT, CROSS, METRICS = (
    an_exercise(id) for id in ("attention/scaled_dot_product", "attention/cross_attention", "metrics/classification")
)
EXERCISES = (DOT, CROSS, METRICS)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "submitted"
    folder.mkdir()
    return folder


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    return tmp_path / "unpacked"


def hand_in(place: Path, *names: str) -> None:
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(name, encoding="utf-8")


def found(place: Path, unpacked: Path = Path("not/used"), exercises=EXERCISES, **options) -> list[CollectedSubmission]:
    return collect(place, exercises, unpacked=unpacked, **options)


def summary(entries: list[CollectedSubmission]) -> dict[tuple[str, str, str], SubmissionStatus | None]:
    """Status by student, exercise and source, without what was not handed in."""
    return {(e.student, e.exercise, e.source): e.status for e in entries if e.status is not MISSING}


def missing(entries: list[CollectedSubmission]) -> set[tuple[str, str]]:
    return {(entry.student, entry.exercise) for entry in entries if entry.status is MISSING}


# --- layouts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "ada/metrics/classification.ipynb",
        "ada/classification.ipynb",
        "ada/week 3/deep/inside/Classification.IPYNB",
        "ada_classification.ipynb",
        "ada__classification.ipynb",
        "ada-classification.ipynb",
        "ada classification (2).ipynb",
    ],
)
def test_student_and_exercise_are_in_the_name(place: Path, name: str) -> None:
    hand_in(place, name)
    (entry,) = found(place)
    assert (entry.student, entry.exercise, entry.source, entry.status) == ("ada", METRICS.id, name, None)
    assert entry.path == place / name


def test_entries_come_in_order_and_the_rest_is_missing(place: Path) -> None:
    hand_in(place, "bob/attention/scaled_dot_product.ipynb", "Ada/metrics/classification.ipynb", "ada.txt")
    hand_in(place, "bob/metrics/classification.ipynb", "bob/metrics/data.csv")
    entries = found(place)
    assert [(entry.student, entry.exercise, entry.status) for entry in entries] == [
        ("Ada", METRICS.id, None),
        ("bob", DOT.id, None),
        ("bob", METRICS.id, None),
        ("Ada", DOT.id, MISSING),
    ], "cross_attention was handed in by nobody, so nobody misses it"


def test_a_slug_that_two_topics_share_is_told_apart_by_the_folder(place: Path) -> None:
    first, second = an_exercise("metrics/recall"), an_exercise("retrieval/recall")
    hand_in(place, "ada/retrieval/recall.ipynb", "ada/metrics/recall.ipynb", "bob/recall.ipynb")
    entries = summary(found(place, exercises=(first, second)))
    assert set(entries) == {
        ("ada", second.id, "ada/retrieval/recall.ipynb"),
        ("ada", first.id, "ada/metrics/recall.ipynb"),
        ("bob", first.id, "bob/recall.ipynb"),
    }


def test_a_longer_slug_wins_in_a_flat_name(place: Path) -> None:
    short, long = an_exercise("a/attention"), an_exercise("a/cross_attention")
    hand_in(place, "ada_cross_attention.ipynb", "ada_attention.ipynb")
    entries = found(place, exercises=(short, long))
    assert {(entry.student, entry.exercise) for entry in entries} == {("ada", short.id), ("ada", long.id)}


def test_files_of_the_system_are_passed_over(place: Path) -> None:
    hand_in(
        place,
        "ada/metrics/classification.ipynb",
        "ada/metrics/.ipynb_checkpoints/classification-checkpoint.ipynb",
        "ada/metrics/.ipynb_checkpoints/classification.ipynb",
        "__MACOSX/bob/metrics/classification.ipynb",
        ".git/classification.ipynb",
    )
    assert list(summary(found(place))) == [("ada", METRICS.id, "ada/metrics/classification.ipynb")]


def test_results_inside_the_folder_are_not_handed_in(place: Path) -> None:
    hand_in(place, "ada/metrics/classification.ipynb", "results/autograded/ada/metrics/classification.ipynb")
    assert len(found(place)) == 2
    assert list(summary(found(place, leave_out=place / "results"))) == [
        ("ada", METRICS.id, "ada/metrics/classification.ipynb")
    ]


def test_only_the_exercises_that_are_asked_for(place: Path) -> None:
    hand_in(place, "ada_classification.ipynb", "ada_cross_attention.ipynb", "bob_cross_attention.ipynb")
    entries = found(place, exercises=(METRICS,), course=EXERCISES)
    assert list(summary(entries)) == [("ada", METRICS.id, "ada_classification.ipynb")], "the others are known, not odd"


@pytest.mark.parametrize("names", [(), ("notes.txt",), ("ada/homework.ipynb",), ("homework.ipynb",)])
def test_nothing_of_the_course(place: Path, names: tuple[str, ...]) -> None:
    hand_in(place, *names)
    with pytest.raises(CollectError, match="no notebook of this course was found") as caught:
        found(place)
    assert "scaled_dot_product.ipynb" in str(caught.value)


def test_no_such_place(place: Path) -> None:
    with pytest.raises(CollectError, match="no such folder or zip"):
        found(place / "elsewhere")
    (place / "list.txt").write_text("ada")
    with pytest.raises(CollectError, match="not a zip archive"):
        found(place / "list.txt")


# --- a student twice, and not at all ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mark", [" (1)", "(1)", " (12)", "-Copy1", "-copy", " - Copy", " - Copy (2)", "_copy", " copy", " copy 3"]
)
def test_the_mark_of_a_copy_does_not_count(place: Path, mark: str) -> None:
    assert exercise_of(f"classification{mark}", EXERCISES) is METRICS
    hand_in(place, f"ada/metrics/classification{mark}.ipynb", "ada/metrics/classification.ipynb")
    hand_in(place, f"bob_classification{mark}.ipynb", "bob_classification.ipynb")
    entries = found(place)
    assert summary(entries) == {
        ("ada", METRICS.id, "ada/metrics/classification.ipynb"): None,
        ("ada", METRICS.id, f"ada/metrics/classification{mark}.ipynb"): DUPLICATE,
        ("bob", METRICS.id, "bob_classification.ipynb"): None,
        ("bob", METRICS.id, f"bob_classification{mark}.ipynb"): DUPLICATE,
    }
    assert "'bob_classification.ipynb' counts" in entries[-1].message


@pytest.mark.parametrize("name", ["classification_2", "classification final", "my classification copy of x"])
def test_other_names_are_no_copies(name: str) -> None:
    assert exercise_of(name, EXERCISES) is None


def test_one_student_in_several_spellings(place: Path) -> None:
    hand_in(place, "Student-01/classification.ipynb", "student-01/classification.ipynb")
    hand_in(place, "student-01/cross_attention.ipynb", "e\u0301mile/classification.ipynb")
    hand_in(place, " émile /cross_attention.ipynb")
    entries = found(place)
    assert summary(entries) == {
        ("Student-01", METRICS.id, "Student-01/classification.ipynb"): None,
        ("Student-01", METRICS.id, "student-01/classification.ipynb"): DUPLICATE,
        ("Student-01", CROSS.id, "student-01/cross_attention.ipynb"): None,
        ("émile", METRICS.id, "e\u0301mile/classification.ipynb"): None,
        ("émile", CROSS.id, " émile /cross_attention.ipynb"): None,
    }
    assert not missing(entries), "each of the two is one student who handed in everything"


def test_an_empty_folder_is_a_student_who_handed_in_nothing(place: Path) -> None:
    hand_in(place, "ada/metrics/classification.ipynb", "cleo/metrics/answers.pdf")
    (place / "bob" / "metrics").mkdir(parents=True)
    assert missing(found(place)) == {("bob", METRICS.id), ("cleo", METRICS.id)}


def test_a_notebook_under_another_name_is_named(place: Path) -> None:
    hand_in(place, "ada/metrics/classification.ipynb", "ada/scratch.ipynb", "bob/metrics/homework.ipynb")
    entries = found(place)
    assert missing(entries) == {("bob", METRICS.id)}
    assert "'homework.ipynb'" in entries[-1].message


def test_a_flat_name_that_fits_no_exercise_is_told(place: Path) -> None:
    hand_in(place, "ada_classification.ipynb", "bob_homework.ipynb")
    entries = found(place)
    assert summary(entries)["bob_homework", "", "bob_homework.ipynb"] is REFUSED
    assert "matches no exercise" in entries[0].message + entries[1].message


# --- hostile names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        (".", "path"),
        ("..", "path"),
        ("../ada", "path"),
        ("a\\b", "path"),
        ("ada\nbob", "invisible"),
        ("ada\x1b[2J", "invisible"),
        ("ada\u202egnp", "invisible"),
        ("ada\u2028", "invisible"),
        ("\udcff", "not text"),
        ("a" * 201, "too long"),
        ("é" * 101, "too long"),
        ("ada", ""),
        ("Ada Łovelace", ""),
        ("=1+1", ""),
        ("学生-01", ""),
        ("-rf", ""),
    ],
)
def test_names_that_are_safe_and_names_that_are_not(name: str, reason: str) -> None:
    assert reason in unsafe_reason(name)
    assert bool(reason) == bool(unsafe_reason(name))


def test_a_student_with_an_unsafe_name_is_refused_and_nobody_else(place: Path) -> None:
    hand_in(place, "ada/classification.ipynb", "a\nb/classification.ipynb", "=cmd/classification.ipynb")
    hand_in(place, "  /classification.ipynb")
    os.mkdir(os.path.join(os.fsencode(place), b"\xff\xfe"))
    Path(os.fsdecode(os.path.join(os.fsencode(place), b"\xff\xfe", b"classification.ipynb"))).write_text("{}")
    entries = found(place)
    assert {entry.student: entry.status for entry in entries} == {
        "ada": None,
        "=cmd": None,
        "a\nb": REFUSED,
        "(no name)": REFUSED,
        "??": REFUSED,
    }
    for entry in entries:
        entry.message.encode(), entry.student.encode(), entry.source.encode()
        assert "\n" not in entry.message
    assert not missing(entries), "an unsafe name is no student who could have handed in more"


def test_links_are_refused_and_not_followed(place: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    hand_in(secret, "classification.ipynb", "metrics/classification.ipynb")
    hand_in(place, "ada/classification.ipynb")
    (place / "bob").mkdir()
    (place / "bob" / "classification.ipynb").symlink_to(secret / "classification.ipynb")
    (place / "cleo").symlink_to(secret)
    (place / "dora").mkdir()
    (place / "dora" / "metrics").symlink_to(secret / "metrics")
    (place / "loop").symlink_to(place / "loop")
    os.mkfifo(place / "eve_classification.ipynb")
    entries = found(place)
    assert {(e.student, e.exercise): e.status for e in entries} == {
        ("ada", METRICS.id): None,
        ("bob", METRICS.id): REFUSED,
        ("cleo", ""): REFUSED,
        ("dora", ""): REFUSED,
        ("dora", METRICS.id): MISSING,
        ("eve", METRICS.id): REFUSED,
    }
    refused = [entry for entry in entries if entry.status is REFUSED]
    assert all(entry.path is None and "only real files" in entry.message for entry in refused)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_folder_that_cannot_be_opened_is_told(place: Path) -> None:
    hand_in(place, "ada/classification.ipynb", "bob/classification.ipynb")
    (place / "bob").chmod(0)
    try:
        entries = found(place)
    finally:
        (place / "bob").chmod(0o700)
    assert [(entry.student, entry.status) for entry in entries][:2] == [("ada", None), ("bob", REFUSED)]


# --- zips ------------------------------------------------------------------------------------------------------------


def zipped(path: Path, *names: str, **contents: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in names:
            bundle.writestr(name, name)
    return path


@pytest.mark.parametrize("wrapper", ["", "submitted/", "export 2025/submitted/"])
def test_a_zip_of_folders_with_or_without_a_wrapping_folder(tmp_path: Path, unpacked: Path, wrapper: str) -> None:
    names = ["ada/metrics/classification.ipynb", "ada/attention/cross_attention.ipynb", "bob/classification.ipynb"]
    archive = zipped(tmp_path / "class.zip", *(wrapper + name for name in names), wrapper + "cleo/", "read me.txt")
    entries = found(archive, unpacked)
    assert set(summary(entries)) == {
        ("ada", METRICS.id, names[0]),
        ("ada", CROSS.id, names[1]),
        ("bob", METRICS.id, names[2]),
    }
    assert missing(entries) == {("bob", CROSS.id), ("cleo", METRICS.id), ("cleo", CROSS.id)}
    for entry in entries:
        if entry.path is not None:
            assert entry.path.parent == unpacked and entry.path.suffix == ".ipynb"
            assert entry.path.read_text() == wrapper + entry.source


def test_a_zip_for_whose_notebooks_there_is_no_room_is_told_with_the_file(tmp_path: Path, unpacked: Path) -> None:
    archive = zipped(tmp_path / "class.zip", "ada_classification.ipynb", "bob_classification.ipynb")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(UnwritableError) as caught:
            found(archive, unpacked)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"{unpacked}/00001" in str(caught.value) and "no file may grow that large" in str(caught.value)
    assert {entry.student for entry in found(archive, unpacked)} == {"ada", "bob"}, "the next run begins anew"
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableError, match="file/unpacked could not be written"):
        found(archive, tmp_path / "file" / "unpacked")


@pytest.mark.parametrize("wrapper", ["", "export/"])
def test_a_zip_of_a_flat_folder(tmp_path: Path, unpacked: Path, wrapper: str) -> None:
    archive = zipped(
        tmp_path / "class.zip",
        f"{wrapper}ada_classification.ipynb",
        f"{wrapper}bob_classification.ipynb",
        f"__MACOSX/{wrapper}._bob_classification.ipynb",
    )
    assert {entry.student for entry in found(archive, unpacked)} == {"ada", "bob"}


@pytest.mark.parametrize(
    "names",
    [
        ["ada/metrics/classification.ipynb"],
        ["ada/classification.ipynb"],
        ["ada/metrics/classification.ipynb", "ada/attention/cross_attention.ipynb"],
    ],
)
def test_the_folder_of_a_single_student_is_no_wrapper(tmp_path: Path, unpacked: Path, names: list[str]) -> None:
    assert {entry.student for entry in found(zipped(tmp_path / "class.zip", *names), unpacked)} == {"ada"}


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("../x/classification.ipynb", "../x"),
        ("submitted/../../x/metrics/classification.ipynb", "../../x/metrics"),
        ("/etc/classification.ipynb", "/etc"),
        ("..\\x\\classification.ipynb", "../x"),
        ("C:\\x\\classification.ipynb", "C:"),
        ("../classification.ipynb", ".."),
    ],
)
def test_a_name_that_leads_outside_is_refused_and_nobody_else(
    tmp_path: Path, unpacked: Path, name: str, student: str
) -> None:
    good = ["submitted/ada/metrics/classification.ipynb", "submitted/bob/metrics/classification.ipynb"]
    entries = found(zipped(tmp_path / "class.zip", *good, name), unpacked)
    assert {(entry.student, entry.status) for entry in entries} == {("ada", None), ("bob", None), (student, REFUSED)}
    assert sorted(path.parent for path in tmp_path.rglob("*.ipynb")) == [unpacked, unpacked], "nothing outside"


def test_a_link_in_a_zip_is_refused(tmp_path: Path, unpacked: Path) -> None:
    archive = zipped(tmp_path / "class.zip", "ada_classification.ipynb")
    with zipfile.ZipFile(archive, "a") as bundle:
        link = zipfile.ZipInfo("bob_classification.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        bundle.writestr(link, "/etc/passwd")
    entries = found(archive, unpacked)
    assert {entry.student: entry.status for entry in entries} == {"ada": None, "bob": REFUSED}


def test_a_damaged_or_encrypted_notebook_in_a_zip_concerns_nobody_else(tmp_path: Path, unpacked: Path) -> None:
    archive = zipped(tmp_path / "class.zip", *(f"{name}_classification.ipynb" for name in ("ada", "bob", "cleo")))
    with zipfile.ZipFile(archive) as bundle:
        bob, cleo = (bundle.getinfo(f"{name}_classification.ipynb") for name in ("bob", "cleo"))
    data = bytearray(archive.read_bytes())
    data[bob.header_offset + 30 + len(bob.filename) + 2] ^= 0xFF  # in the compressed data
    for at in (cleo.header_offset + 6, data.rindex(b"PK\x01\x02") + 8):  # the flag of encryption, in both places
        data[at] |= 1
    archive.write_bytes(data)
    entries = found(archive, unpacked)
    assert {entry.student: entry.status for entry in entries} == {"ada": None, "bob": UNREADABLE, "cleo": UNREADABLE}
    assert "damaged or encrypted" in entries[1].message


def test_one_name_twice_in_a_zip(tmp_path: Path, unpacked: Path) -> None:
    archive = tmp_path / "class.zip"
    with zipfile.ZipFile(archive, "w") as bundle, pytest.warns(UserWarning, match="Duplicate name"):
        bundle.writestr("ada_classification.ipynb", "one")
        bundle.writestr("ada_classification.ipynb", "two")
    entries = found(archive, unpacked)
    assert [entry.status for entry in entries] == [None, DUPLICATE]
    assert sorted(entry.path.read_text() for entry in entries if entry.path) == ["one", "two"]


def test_a_bomb_is_unpacked_only_as_far_as_a_notebook_is_read(
    tmp_path: Path, unpacked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed_in, "MAX_BYTES", 1000)
    archive = tmp_path / "class.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("ada_classification.ipynb", b"0" * 1_000_000)
        bundle.writestr("bob_classification.ipynb", b"1")
    sizes = {entry.student: entry.path.stat().st_size for entry in found(archive, unpacked) if entry.path}
    assert sizes == {"ada": 1001, "bob": 1}
    monkeypatch.setattr(handed_in, "MAX_ARCHIVE_BYTES", 1000)
    with pytest.raises(CollectError, match="too much data"):
        found(archive, unpacked)


def test_what_was_unpacked_earlier_is_gone(tmp_path: Path, unpacked: Path) -> None:
    found(zipped(tmp_path / "class.zip", "ada_classification.ipynb", "bob_classification.ipynb"), unpacked)
    found(zipped(tmp_path / "class.zip", "ada_classification.ipynb"), unpacked)
    assert len(list(unpacked.iterdir())) == 1
