"""Releases: nothing hidden for students, all that grades for instructors, versions that count up, the same bytes."""

from __future__ import annotations

import ast
import base64
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.catalogue import load_catalogue
from grader.checking.versions import rules_hash
from grader.course import Course, Framework, load_course
from grader.notebooks.build import build_course
from grader.notebooks.checks_index import read_checks_index
from grader.release.bundles import student_files
from grader.release.leak_search import TextIndex, normal
from grader.release.manifest import Bundle, ReleaseError, read_manifest, read_version_names
from grader.release.release import Form, Release, make_release
from grader.release.secrets import SecretKind, secrets_of
from tests.grader.small_course import hand_in, make_course

pytest.importorskip("nbgrader")

ROOT = Path(__file__).resolve().parents[2]
DOUBLING, HALVING = "numbers/doubling", "numbers/halving"


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return make_course(tmp_path / "course")


@pytest.fixture(scope="module")
def whole_course() -> dict[str, bytes]:
    """The student's bundle of all exercises."""
    course = load_course(ROOT)
    return student_files(course, course.exercises, "1.0")


def everything(data: bytes) -> str:
    """A file as text, and once more with the escapes of JSON undone, in lower case."""
    text = data.decode("utf-8")
    try:
        cells = json.loads(text)["cells"]
    except (ValueError, KeyError):
        return text.casefold()
    sources = "\n".join("".join(cell["source"]) for cell in cells)
    return f"{text}\n{sources}".casefold()


# --- nothing hidden --------------------------------------------------------------------------------------------------


def test_no_name_of_a_hidden_check_and_no_id_of_a_mistake_is_in_any_byte(whole_course: dict[str, bytes]) -> None:
    """Looked for plainly, without the search that a release makes itself."""
    course = load_course(ROOT)
    texts = "\n".join(everything(data) for data in whole_course.values())
    words = set(re.findall(r"[a-z0-9_]+", texts))
    hyphenated = set(re.findall(r"[a-z0-9_]+(?:-[a-z0-9_]+)+", texts))
    names, ids = set(), set()
    for exercise in course.exercises:
        names |= {check.name for check in read_checks_index(exercise.checks_path) if not check.visible}
        ids |= {entry.id for entry in load_catalogue(exercise.catalogue_path).wrong_answers if entry.id.count("-") > 1}
    assert len(names) > 400 and len(ids) > 300
    assert names & words == set()
    assert ids & hyphenated <= {"leave-one-out"}, "which is a term of statistics that a lesson explains"


def test_nothing_hidden_is_in_it_in_any_encoding(whole_course: dict[str, bytes]) -> None:
    course = load_course(ROOT)
    secrets = {normal(secret.text): secret for secret in secrets_of(course.exercises, course.exercises)}
    kinds = {kind: sum(secret.kind is kind for secret in secrets.values()) for kind in SecretKind}
    assert min(kinds.values()) > 400, kinds
    assert {secret.exercise for secret in secrets.values()} == {exercise.id for exercise in course.exercises}
    index = TextIndex(secrets)
    leaks = {
        (name, secrets[text].kind.value, secrets[text].text)
        for name, data in whole_course.items()
        for text in index.found_in_file(data)
    }
    assert leaks == set()


SECRET = "the_result_of_doubling = number * 2"


def _zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside/notes.txt", data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: text.upper().encode(),
        lambda text: re.sub(" ", "\n   ", text).encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-32-be"),
        lambda text: text[::-1].encode(),
        lambda text: json.dumps({"cells": [text[:17], text[17:]]}).encode(),
        lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text).encode(),
        lambda text: "".join(f"&#{ord(letter)};" for letter in text).encode(),
        lambda text: "".join(f"%{ord(letter):02x}" for letter in text).encode(),
        lambda text: text.encode().hex().encode(),
        lambda text: b"x = '" + base64.b64encode(text.encode()) + b"'",
        lambda text: b"x = '" + base64.urlsafe_b64encode(b"ab" + text.encode()) + b"'",
        lambda text: b"data:image/png;base64," + base64.b64encode(base64.b64encode(text.encode())),
        lambda text: base64.b32encode(text.encode()),
        lambda text: gzip.compress(text.encode()),
        lambda text: zlib.compress(text.encode()),
        lambda text: _zipped(text.encode()),
        lambda text: _zipped(_zipped(text.encode())),
        lambda text: json.dumps({"image": base64.b64encode(zlib.compress(text.encode())).decode()}).encode(),
    ],
)
def test_a_secret_is_found_however_it_is_encoded(encode: Callable[[str], bytes]) -> None:
    index = TextIndex([normal(SECRET), normal("another text that is long enough")])
    assert index.found_in_file(b"before " + encode(SECRET)) | index.found_in_file(encode(SECRET)) == {normal(SECRET)}
    assert index.found_in_file(encode("nothing of that kind stands in this file")) == set()


@pytest.mark.parametrize(
    ("leak", "kind"),
    [
        ("See test_hidden_halving_of_others.", "name of a hidden check"),
        ("assert_equal(student.halving(10), 5.0)", "source of the checks"),
        ("    the_result_of_doubling = number * 2", "solution"),
        ("The model answer about halving, which nobody may read beforehand.", "model answer"),
        ("the number comes back as it was given to halving", "catalogue of mistakes"),
    ],
)
def test_a_stub_that_gives_something_away_stops_the_release(course: Course, leak: str, kind: str) -> None:
    """An output cell is no lesson text: whatever got into the built stub is found there."""
    from grader.release.bundles import refuse_leaks

    files = student_files(course, course.exercises, "1.0")
    assert refuse_leaks(files, course, course.exercises) > 10
    stub = json.loads(files[f"exercises/{DOUBLING}.ipynb"])
    stub["cells"][0]["attachments"] = {"note.txt": {"text/plain": base64.b64encode(leak.encode()).decode()}}
    files[f"exercises/{DOUBLING}.ipynb"] = json.dumps(stub).encode()
    with pytest.raises(ReleaseError, match=f"{DOUBLING}.ipynb would give students the {kind} of numbers/"):
        refuse_leaks(files, course, course.exercises)


def test_the_hidden_checks_are_told_in_the_words_of_the_feedback(course: Course) -> None:
    stub = json.loads(student_files(course, course.exercises, "1.0")[f"exercises/{DOUBLING}.ipynb"])
    (told,) = [cell for cell in stub["cells"] if cell["id"] == "hidden-checks"]
    assert "- Other numbers are right, too. (3 points)" in "".join(told["source"])
    grade_ids = {cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in stub["cells"]}
    assert {"solution", "answer", "visible-checks"} <= grade_ids, "nbgrader finds the cells that students fill in"


# --- what students can do with it ------------------------------------------------------------------------------------


FIRST_OF = {
    Framework.PYTHON: "attention/cost_of_attention",
    Framework.NUMPY: "fusion/concatenation",
    Framework.TORCH: "attention/scaled_dot_product",
    Framework.TENSORFLOW: "schedules/exponential_decay",
    Framework.TRANSFORMERS: "architectures/pair_matcher",
    Framework.FASTAPI: "deployment/service",
}


def code_of(notebook: bytes) -> list[str]:
    cells = json.loads(notebook)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("framework", Framework)
def test_a_stub_runs_up_to_what_is_to_be_written(
    framework: Framework, whole_course: dict[str, bytes], tmp_path: Path
) -> None:
    """In a process that has neither the toolkit nor the course."""
    library = {Framework.FASTAPI: "fastapi", Framework.PYTHON: "json"}.get(framework, framework.value)
    pytest.importorskip(library)
    assert load_course(ROOT).exercise(FIRST_OF[framework]).framework is framework
    script = tmp_path / "stub.py"
    script.write_text("\n\n".join(code_of(whole_course[f"exercises/{FIRST_OF[framework]}.ipynb"])), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "COURSE_ROOT")}
    ended = subprocess.run(
        [sys.executable, "-P", str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("NotImplementedError: write ")


def test_a_solved_notebook_passes_its_visible_checks_in_a_fresh_kernel(course: Course, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    made = make_release(course, course.exercises, tmp_path / "release", form=Form.FOLDER)
    stub = made.written[0] / "exercises" / f"{DOUBLING}.ipynb"
    for code, passes in (("def doubling(number):\n    return number + number", True), ("doubling = float", False)):
        path = hand_in(tmp_path, "ada", stub, code)
        client = NotebookClient(nbformat.read(path, as_version=4), resources={"metadata": {"path": str(tmp_path)}})
        if passes:
            client.execute()
        else:
            with pytest.raises(CellExecutionError, match="AssertionError"):
                client.execute()


def test_every_import_of_a_stub_is_in_the_requirements(whole_course: dict[str, bytes]) -> None:
    required = {line.partition("==")[0].lower() for line in whole_course["requirements.txt"].decode().splitlines()}
    imported = set()
    for name, data in whole_course.items():
        if name.endswith(".ipynb"):
            code = "\n".join(code_of(data))
            tree = ast.parse("\n".join(line for line in code.splitlines() if not line.lstrip().startswith("%")))
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    imported.add(node.module.partition(".")[0])
    installed = {"pil": "pillow"}
    wanted = {installed.get(name.lower(), name.lower()) for name in imported - sys.stdlib_module_names}
    assert wanted <= required
    assert {"torch", "tensorflow", "jupyterlab"} <= required


# --- what instructors can do with it ---------------------------------------------------------------------------------


def test_the_instructors_bundle_grades_what_students_made_of_theirs(course: Course, tmp_path: Path) -> None:
    make_release(course, course.exercises, tmp_path / "release", form=Form.ZIP)
    shutil.rmtree(course.root)
    for bundle in Bundle:
        with zipfile.ZipFile(tmp_path / "release" / f"small-1.0-{bundle.value}.zip") as archive:
            archive.extractall(tmp_path / "unpacked")
    place = tmp_path / "unpacked" / "small-1.0-instructor"
    stubs = tmp_path / "unpacked" / "small-1.0-student" / "exercises" / "numbers"
    submitted = tmp_path / "submitted"
    hand_in(submitted, "ada", stubs / "doubling.ipynb", "def doubling(number):\n    return number + number")
    hand_in(submitted, "bob", stubs / "doubling.ipynb", "def doubling(number):\n    return 4")
    (submitted / "cleo" / "numbers").mkdir(parents=True)
    shutil.copy(stubs / "doubling.ipynb", submitted / "cleo" / "numbers")

    environment = {**os.environ, "PYTHONPATH": str(place)}
    environment.pop("COURSE_ROOT", None)
    command = [sys.executable, "-m", "grader.cli", "grade", str(submitted), "--output", str(tmp_path / "results")]
    graded = subprocess.run(
        [*command, "--json"], cwd=place, env=environment, capture_output=True, text=True, timeout=300
    )
    assert graded.returncode == 0, graded.stderr
    records = {record["student"]: record for record in json.loads(graded.stdout)["records"]}
    assert {student: (record["status"], record["points"]) for student, record in records.items()} == {
        "ada": ("graded", 4.0),
        "bob": ("graded", 1.0),
        "cleo": ("untouched", 0.0),
    }
    names = read_version_names(place / "manifest.json")
    assert names[records["ada"]["checks_hash"]] == "version 1", "results name the version of the release"
    assert "version 1" in (tmp_path / "results/checks.csv").read_text(encoding="utf-8").splitlines()[1]
    assert "version 1" in (tmp_path / "results/feedback/ada/numbers/doubling.html").read_text(encoding="utf-8")
    copy = json.loads((tmp_path / "results/autograded/ada/numbers/doubling.ipynb").read_text(encoding="utf-8"))
    ids = {cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in copy["cells"]}
    assert "test_hidden_doubling_of_others" in ids, "formgrader shows the hidden checks' cells"


# --- versions, changelog, bytes --------------------------------------------------------------------------------------


def released(course: Course, target: Path, since: Release | None = None, exercises: tuple[str, ...] = ()) -> Release:
    manifest = since.written[1] / "manifest.json" if since else None
    return make_release(course, course.select(exercises), target, since=manifest, form=Form.FOLDER)


def changed(course: Course, name: str, old: str, new: str) -> Course:
    """The course after an author changed a file."""
    path = course.root / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    course = load_course(course.root)
    build_course(course)
    return course


def test_the_same_course_gives_the_same_bytes(course: Course, tmp_path: Path) -> None:
    first = make_release(course, course.exercises, tmp_path / "one")
    for path in course.root.rglob("*"):
        os.utime(path, (1, 1))
    second = make_release(course, course.exercises, tmp_path / "two")
    assert [path.name for path in first.written] == [
        "student",
        "small-1.0-student.zip",
        "instructor",
        "small-1.0-instructor.zip",
    ]
    for one, two in zip(first.written, second.written, strict=True):
        if one.is_file():
            assert one.read_bytes() == two.read_bytes()
            with zipfile.ZipFile(one) as archive:
                unzipped = {entry.filename.partition("/")[2]: archive.read(entry) for entry in archive.infolist()}
            folder = one.with_name("student" if "student" in one.name else "instructor")
            assert unzipped == {
                path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
            }


def test_versions_count_up_for_what_changed_and_the_changelog_says_what(course: Course, tmp_path: Path) -> None:
    first = released(course, tmp_path / "1")
    old = rules_hash(course.exercise(DOUBLING))
    course = changed(course, "tests/checks/numbers/test_doubling.py", "doubling(10), 20)", "doubling(12), 24)")
    second = released(course, tmp_path / "2", first)
    assert {id: entry.now.version for id, entry in second.manifest.exercises.items()} == {DOUBLING: 2, HALVING: 1}
    course = changed(course, "reference/numbers/halving.py", "Why it matters.", "Why it really matters.")
    third = released(course, tmp_path / "3", second, (HALVING,))

    students, instructors = (
        (tmp_path / "2" / bundle / "CHANGELOG.md").read_text(encoding="utf-8") for bundle in ("student", "instructor")
    )
    assert f"- Doubling (`{DOUBLING}`), version 2: the checks changed" in students
    assert "test_hidden" not in students and "catalogue" not in students
    assert "changed check `test_hidden_doubling_of_others`" in instructors
    assert instructors.index("## " + second.manifest.release) < instructors.index("## " + first.manifest.release)
    text = (tmp_path / "3" / "student" / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"- Halving (`{HALVING}`), version 2: the statement changed" in text
    assert f"Not in this release:\n\n- Doubling (`{DOUBLING}`)" in text
    assert text.count("\n## ") == 3

    fourth = released(course, tmp_path / "4", third)
    assert fourth.manifest.exercises[DOUBLING].now.version == 2, "one that comes back counts on"
    names = read_version_names(tmp_path / "4" / "instructor" / "manifest.json")
    assert (names[old], names[rules_hash(course.exercise(DOUBLING))]) == ("version 1", "version 2")
    assert names[rules_hash(course.exercise(HALVING))] == "versions 1-2", "the statement alone changed"


def test_releasing_into_the_same_folder_goes_on_from_the_release_there(course: Course, tmp_path: Path) -> None:
    released(course, tmp_path / "release")
    again = released(course, tmp_path / "release")
    assert again.since == tmp_path / "release" / "instructor" / "manifest.json"
    assert again.changelog.count("\n## ") == 1, "the same release adds nothing to the changelog"
    course = changed(course, "course.toml", 'version = "1.0"', 'version = "1.1"')
    text = released(course, tmp_path / "release").changelog
    assert "No exercise changed." in text and text.count("\n## ") == 2


def test_points_are_told(course: Course, tmp_path: Path) -> None:
    first = released(course, tmp_path / "1")
    path = course.root / "tests/checks/numbers/test_doubling.py"
    path.write_text(path.read_text(encoding="utf-8").replace("@points(3)", "@points(4)"), encoding="utf-8")
    manifest = (course.root / "course.toml").read_text(encoding="utf-8")
    manifest = manifest.replace("points = 4\nwritten", "points = 5\nwritten", 1)
    (course.root / "course.toml").write_text(manifest, encoding="utf-8")
    course = load_course(course.root)
    build_course(course)
    second = released(course, tmp_path / "2", first)
    assert "points by checks: 4 before, 5 now" in second.changelog
    assert "changed check `test_hidden_doubling_of_others`, 3 → 4 points" in second.changelog


def test_a_students_manifest_names_no_check(course: Course, tmp_path: Path) -> None:
    made = released(course, tmp_path / "release")
    manifest = read_manifest(made.written[0] / "manifest.json")
    assert manifest.bundle is Bundle.STUDENT and manifest.release == made.manifest.release
    assert manifest.exercises[DOUBLING].hidden == {} and manifest.exercises[DOUBLING].history


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_notebook_that_is_not_up_to_date_stops_the_release(course: Course, tmp_path: Path) -> None:
    path = course.exercise(DOUBLING).reference_path
    path.write_text(path.read_text(encoding="utf-8").replace("Why it matters.", "Why not."), encoding="utf-8")
    with pytest.raises(ReleaseError, match="doubling.ipynb: not up to date. Run `course build`"):
        released(course, tmp_path / "release")
    assert not (tmp_path / "release").exists()


def test_a_folder_that_is_no_bundle_is_left_alone(course: Course, tmp_path: Path) -> None:
    (tmp_path / "release" / "student").mkdir(parents=True)
    (tmp_path / "release" / "student" / "thesis.tex").write_text("years of work")
    with pytest.raises(ReleaseError, match="is no bundle that `course release` made"):
        released(course, tmp_path / "release")
    assert (tmp_path / "release" / "student" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 7}', '{"schema": 1, "course": "small"}'])
def test_a_manifest_that_is_none_is_refused_by_name(course: Course, tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(ReleaseError, match=re.escape(str(path))):
        make_release(course, course.exercises, tmp_path / "release", since=path)


def test_a_manifest_of_another_course_is_refused(course: Course, tmp_path: Path) -> None:
    made = released(course, tmp_path / "1")
    path = made.written[1] / "manifest.json"
    path.write_text(path.read_text().replace('"small"', '"large"'))
    with pytest.raises(ReleaseError, match="is of the course 'large', and this is 'small'"):
        released(course, tmp_path / "2", made)


def test_links_are_not_followed(course: Course, tmp_path: Path) -> None:
    (tmp_path / "private.txt").write_text("somebody's key")
    (course.root / "docs").mkdir()
    (course.root / "docs" / "linked.md").symlink_to(tmp_path / "private.txt")
    made = released(course, tmp_path / "release")
    assert not (made.written[1] / "docs").exists()
