"""The built notebooks in nbgrader itself: validate, generate_assignment, autograde, generate_feedback, export.

Every notebook is validated; one exercise of each of three frameworks goes through grading, in a temporary course with
a real database. These tests start about twenty kernels and take a minute.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from grader.catalogue import WrongAnswer, load_catalogue
from grader.course import Exercise, load_course

pytestmark = pytest.mark.filterwarnings("ignore:Object of type")  # SQLAlchemy, on nbgrader's own sessions

ROOT = Path(__file__).resolve().parents[2]
COURSE = load_course(ROOT)
# One of each framework, each in a topic of its own, which is nbgrader's assignment.
GRADED = tuple(
    COURSE.exercise(identifier)
    for identifier in ("metrics/classification", "attention/scaled_dot_product", "schedules/exponential_decay")
)
each_exercise = pytest.mark.parametrize("exercise", COURSE.exercises, ids=lambda exercise: exercise.id)
each_graded = pytest.mark.parametrize("exercise", GRADED, ids=lambda exercise: exercise.id)


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """What kernels and nbgrader's helpers need: the toolkit, the course, and the commands beside this Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_ROOT", str(ROOT))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        patch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)  # a lesson has to keep stderr quiet by itself
        yield


def built(path: Path) -> dict[str, Any]:
    """A built notebook; the test fails where it is missing."""
    if not path.is_file():
        pytest.fail(f"{path.relative_to(ROOT)} is not built: run `course build`")
    notebook: dict[str, Any] = json.loads(path.read_bytes())
    return notebook


# --- nbgrader validate -----------------------------------------------------------------------------------------------


VALIDATE = """
import json, sys
from nbgrader.validator import Validator
for path in map(str.strip, sys.stdin):
    print(json.dumps(Validator().validate(path)), flush=True)
"""
Failures = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def validated() -> dict[str, Failures]:
    """What nbgrader's validator says about every built notebook, by path; two processes take the next one in turn."""
    both = [path for exercise in COURSE.exercises for path in (exercise.solution_path, exercise.stub_path)]
    paths, found = iter([str(path) for path in both if path.is_file()]), {}

    def work() -> None:
        command = [sys.executable, "-c", VALIDATE]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin and process.stdout
            for path in paths:
                process.stdin.write(f"{path}\n")
                process.stdin.flush()
                found[path] = json.loads(process.stdout.readline())
            process.stdin.close()

    with ThreadPoolExecutor(2) as executor:
        for job in [executor.submit(work) for _ in range(2)]:
            job.result()
    return found


@each_exercise
def test_the_solution_validates(validated: dict[str, Any], exercise: Exercise) -> None:
    built(exercise.solution_path)
    found = validated[str(exercise.solution_path)]
    assert found == {}, "\n".join(cell.get("raw_error", cell["source"]) for cells in found.values() for cell in cells)


@each_exercise
def test_the_stub_does_not_validate_and_fails_cleanly(validated: dict[str, Any], exercise: Exercise) -> None:
    built(exercise.stub_path)
    found = validated[str(exercise.stub_path)]
    assert set(found) == {"failed"}
    errors = [cell["raw_error"] for cell in found["failed"] if "did not provide a response" not in cell["raw_error"]]
    assert len(errors) == 1, "only the visible checks of a stub are run, and they fail"
    assert "NotImplementedError" in errors[0].splitlines()[-1]


# --- grading ---------------------------------------------------------------------------------------------------------


def handed_in(exercise: Exercise, mistake: WrongAnswer | None) -> dict[str, Any]:
    """The stub with the reference's solution filled in, or a wrong answer."""
    notebook, solution = built(exercise.stub_path), built(exercise.solution_path)
    cells = {cell["id"]: cell for cell in notebook["cells"]}
    filled = [cell for cell in solution["cells"] if cell["metadata"].get("nbgrader", {}).get("solution")]
    for cell in filled:
        text = "".join(cell["source"])
        for old, new in mistake.swap if mistake else ():
            text = text.replace(old, new)
        cells[cell["id"]]["source"] = text
    if mistake and mistake.code:
        last = [cell for cell in filled if cell["id"].startswith("solution")][-1]
        cells[last["id"]]["source"] += f"\n\n{mistake.code}"
    return notebook


def first_mistake(exercise: Exercise) -> WrongAnswer:
    return load_catalogue(exercise.catalogue_path).wrong_answers[0]


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A course directory in which everything was run, and nbgrader's interface to it."""
    from nbgrader.apps import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.plugins import CsvExportPlugin
    from traitlets.config import Config

    from grader.notebooks.release import configure

    root = tmp_path_factory.mktemp("course")
    config = Config()
    configure(config)
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.source_directory = "solutions"  # only those that are graded here
    config.Exchange.root = str(root / "exchange")
    config.CsvExportPlugin.to = str(root / "grades.csv")

    def write(path: Path, notebook: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook), encoding="utf-8")

    for exercise in GRADED:
        name = f"{exercise.slug}.ipynb"
        write(root / "solutions" / exercise.topic / name, built(exercise.solution_path))
        write(root / "submitted" / "right" / exercise.topic / name, handed_in(exercise, None))
        write(root / "submitted" / "wrong" / exercise.topic / name, handed_in(exercise, first_mistake(exercise)))
    idle = GRADED[0]
    write(root / "submitted" / "idle" / idle.topic / f"{idle.slug}.ipynb", built(idle.stub_path))

    api = NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)
    for exercise in GRADED:
        succeeded(api.generate_assignment(exercise.topic))
        for student in ("right", "wrong", *(["idle"] if exercise is idle else [])):
            succeeded(api.autograde(exercise.topic, student))
        succeeded(api.generate_feedback(exercise.topic, "wrong"))
    with api.gradebook as gradebook:
        CsvExportPlugin(config=config).export(gradebook)
    return root, api


def succeeded(result: dict[str, Any]) -> None:
    assert result["success"], result.get("error", "") + result.get("log", "")


def grades(api: Any, exercise: Exercise, student: str) -> dict[str, Any]:
    """nbgrader's grades of a submission, by the id of the cell."""
    with api.gradebook as gradebook:
        notebook = gradebook.find_submission_notebook(exercise.slug, exercise.topic, student)
        return {grade.name: grade.to_dict() for grade in notebook.grades}


@each_graded
def test_generate_assignment_writes_our_stub(graded: tuple[Path, Any], exercise: Exercise) -> None:
    released = graded[0] / "exercises" / exercise.topic / f"{exercise.slug}.ipynb"
    assert released.read_bytes() == exercise.stub_path.read_bytes()


@each_graded
def test_the_right_submission_gets_every_point_of_the_checks(graded: tuple[Path, Any], exercise: Exercise) -> None:
    found = grades(graded[1], exercise, "right")
    answer = found.pop("answer", None)
    assert {name: grade["auto_score"] for name, grade in found.items()} == {
        name: grade["max_score"] for name, grade in found.items()
    }
    assert sum(grade["auto_score"] for grade in found.values()) == exercise.points
    assert not any(grade["needs_manual_grade"] for grade in found.values())
    assert (answer is not None) == (exercise.written_points > 0)
    if answer:
        assert (answer["auto_score"], answer["needs_manual_grade"]) == (None, True)
        assert answer["max_score"] == exercise.written_points


@each_graded
def test_the_wrong_submission_loses_the_points_of_the_check_named_for_it(
    graded: tuple[Path, Any], exercise: Exercise
) -> None:
    found = grades(graded[1], exercise, "wrong")
    caught_by = first_mistake(exercise).caught_by
    assert found[caught_by if caught_by in found else "visible-checks"]["auto_score"] == 0
    scores = [grade["auto_score"] for name, grade in found.items() if name != "answer"]
    assert 0 < sum(scores) < exercise.points, "a wrong answer loses some points and keeps some"


def test_the_stub_handed_in_gets_nothing_and_needs_nobody(graded: tuple[Path, Any]) -> None:
    found = grades(graded[1], GRADED[0], "idle")
    assert {grade["auto_score"] for grade in found.values()} == {0}
    assert not any(grade["needs_manual_grade"] for grade in found.values())


@each_graded
def test_feedback_is_written_and_export_agrees_with_the_database(graded: tuple[Path, Any], exercise: Exercise) -> None:
    root, api = graded
    page = root / "nbgrader_feedback" / "wrong" / exercise.topic / f"{exercise.slug}.html"
    assert "Hidden check, " in page.read_text(encoding="utf-8")
    with open(root / "grades.csv", newline="", encoding="utf-8") as file:
        rows = {(row["assignment"], row["student_id"]): row for row in csv.DictReader(file)}
    for student in ("right", "wrong"):
        row = rows[exercise.topic, student]
        total = sum(grade["auto_score"] or 0 for grade in grades(api, exercise, student).values())
        assert float(row["score"]) == total
        assert float(row["max_score"]) == exercise.max_points
