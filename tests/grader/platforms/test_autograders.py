"""The autograders for Gradescope, PrairieLearn and GitHub, run as the platforms run them, in folders laid out alike."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from grader.catalogue import apply_change, load_catalogue
from grader.checking.outcome import SubmissionStatus
from grader.checking.versions import rules_hash
from grader.course import Exercise, Framework, Kind, load_course
from grader.grading import engine
from grader.grading.handed_in import HandedInFile
from grader.platforms import grade_submission
from grader.platforms.autograders import classroom_template, gradescope_autograder, prairielearn_question
from grader.platforms.bundle import write_folder, write_zip
from grader.platforms.bundled_course import bundled_course
from grader.platforms.chosen_notebooks import chosen_notebooks
from grader.platforms.requirements import requirements
from grader.platforms.settings import AutograderSettings, Platform, SettingsError, read_settings
from grader.sandbox.confinement import missing_protections
from tests.grader.platforms.sample import compare_with_golden
from tests.grader.platforms.test_results_formats import CLASSROOM, GRADESCOPE, PRAIRIELEARN

ROOT = Path(__file__).resolve().parents[3]
COURSE = load_course(ROOT)
METRICS, ELASTIC = COURSE.exercise("metrics/classification"), COURSE.exercise("regularisation/elastic_net")
CAN_CONFINE = not missing_protections(COURSE.allow_degraded)
needs_confinement = pytest.mark.skipif(not CAN_CONFINE, reason="this machine cannot confine students' code")
TEXT = {"type": "string"}
# https://prairielearn.readthedocs.io/en/latest/question/ and externalGrading/
QUESTION_INFO = {
    "type": "object",
    "required": ["uuid", "type", "title", "topic"],
    "additionalProperties": False,
    "properties": {
        "uuid": {"type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"},
        "type": {"const": "v3"},
        "title": TEXT,
        "topic": TEXT,
        "tags": {"type": "array", "items": TEXT},
        "gradingMethod": {"enum": ["Internal", "External", "Manual"]},
        "singleVariant": {"type": "boolean"},
        "partialCredit": {"type": "boolean"},
        "externalGradingOptions": {
            "type": "object",
            "required": ["image", "entrypoint"],
            "additionalProperties": False,
            "properties": {
                "enabled": {"type": "boolean"},
                "image": TEXT,
                "entrypoint": TEXT,
                "timeout": {"type": "integer", "maximum": 600},
                "enableNetworking": {"type": "boolean"},
            },
        },
    },
}


def settings(platform: Platform, *exercises: Exercise, confine: bool = CAN_CONFINE) -> AutograderSettings:
    return AutograderSettings(platform, tuple(exercise.id for exercise in exercises), confine=confine)


def a_notebook(path: Path, exercise: Exercise, more: str = "") -> Path:
    """The model answer, followed by a cell of more code, which has the last word."""
    notebook = json.loads(exercise.solution_path.read_text(encoding="utf-8"))
    if more:
        cell = {"cell_type": "code", "id": "more", "metadata": {}, "execution_count": None, "outputs": []}
        notebook["cells"].append({**cell, "source": more})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def a_mistake(exercise: Exercise, id: str) -> str:
    """A catalogued mistake as code."""
    entry = next(entry for entry in load_catalogue(exercise.catalogue_path).wrong_answers if entry.id == id)
    return apply_change(entry, exercise.reference_path.read_text(encoding="utf-8"))


def run(script: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an autograder's script as a platform does: with nothing of ours in its environment."""
    clean = {"PATH": os.environ["PATH"], "AUTOGRADER_PYTHON": sys.executable, **environment}
    return subprocess.run([script], cwd=folder, env=clean, capture_output=True, text=True, timeout=120, check=False)


# --- Gradescope ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gradescope(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/autograder as Gradescope lays it out, with an autograder for one exercise in it."""
    root = tmp_path_factory.mktemp("autograder")
    files = gradescope_autograder(COURSE, [METRICS], settings(Platform.GRADESCOPE, METRICS))
    write_folder(files, root / "source", ["run_autograder", "setup.sh"])
    (root / "run_autograder").write_bytes((root / "source" / "run_autograder").read_bytes())
    (root / "run_autograder").chmod(0o755)
    (root / "submission_metadata.json").write_text('{"id": 123456, "users": [{"name": "Student User"}]}')
    return root


@pytest.fixture
def upload(gradescope: Path) -> Iterator[Callable[..., tuple[dict[str, Any], str]]]:
    """Hands in a folder of files, grades it, and gives the results and what instructors see."""
    folder = gradescope / "submission"

    def grade(**files: str) -> tuple[dict[str, Any], str]:
        for name, more in files.items():
            a_notebook(folder / f"{name}.ipynb", METRICS, more)
        result = run(gradescope / "run_autograder", gradescope, AUTOGRADER_ROOT=str(gradescope))
        assert result.returncode == 0, result.stderr
        results = json.loads((gradescope / "results" / "results.json").read_text(encoding="utf-8"))
        jsonschema.validate(results, GRADESCOPE)
        return results, result.stdout

    folder.mkdir()
    yield grade
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_gradescope_grades_a_notebook_of_any_name(upload: Callable[..., tuple[dict[str, Any], str]]) -> None:
    results, told = upload(**{"my work (final)": ""})
    assert results["score"] == sum(test["score"] for test in results["tests"]) == METRICS.points
    assert {test["status"] for test in results["tests"]} == {"passed"}
    assert [test["visibility"] for test in results["tests"]].count("visible") == 1
    assert results["extra_data"]["submission"] == 123456
    if CAN_CONFINE:  # else the catalogue stays at home, which is part of the version
        assert results["extra_data"]["exercises"][0]["checks_version"] == rules_hash(METRICS)
    assert ("ran confined" if CAN_CONFINE else "WITHOUT confinement") in told


@needs_confinement
def test_gradescope_recognises_a_mistake_and_keeps_values_to_instructors(
    upload: Callable[..., tuple[dict[str, Any], str]],
) -> None:
    entry = load_catalogue(METRICS.catalogue_path).wrong_answers[0]
    results, told = upload(classification=a_mistake(METRICS, entry.id))
    failed = [test for test in results["tests"] if test["status"] == "failed"]
    assert 0 < results["score"] < METRICS.points and failed
    assert [found["id"] for found in results["extra_data"]["exercises"][0]["diagnoses"]] == [entry.id]
    assert entry.title in failed[0]["output"]
    for test in failed:
        if test["visibility"] != "visible":
            assert "expected" not in test["output"].replace(entry.explanation, "")
    assert "expected" in told


@needs_confinement
def test_what_gradescope_was_given_is_out_of_reach(
    upload: Callable[..., tuple[dict[str, Any], str]], gradescope: Path
) -> None:
    """A notebook that looks for the checks, and writes the results itself."""
    checks = gradescope / "source" / "course" / "tests" / "checks" / "metrics" / "test_classification.py"
    assert checks.is_file()
    hostile = f"""
found = ["nothing"]
try:
    found[0] = open({str(checks)!r}).read()
except OSError as error:
    found[0] = "refused: " + type(error).__name__
for name in ("results.json", "more.json"):
    try:
        open({str(gradescope / "results")!r} + "/" + name, "w").write('{{"score": 100, "tests": []}}')
    except OSError:
        pass

def binary_report(*arguments, **more):
    raise ValueError(found[0][:300])
"""
    results, _ = upload(classification=hostile)
    assert results["score"] < METRICS.points
    visible = next(test for test in results["tests"] if test["visibility"] == "visible")
    assert "refused: PermissionError" in visible["output"]
    assert not (gradescope / "results" / "more.json").exists()


def test_gradescope_is_told_about_what_is_no_answer(
    upload: Callable[..., tuple[dict[str, Any], str]], gradescope: Path
) -> None:
    results, _ = upload()
    assert results["score"] == 0 and "no notebook" in results["output"]
    (gradescope / "submission" / "classification.ipynb").symlink_to("/etc/passwd")
    results, _ = upload()
    assert results["score"] == 0 and "not accepted" in results["output"] and "root:" not in json.dumps(results)


def test_without_confinement_instructors_are_told_and_model_answers_stay_at_home(tmp_path: Path) -> None:
    files = gradescope_autograder(COURSE, [METRICS], settings(Platform.GRADESCOPE, METRICS, confine=False))
    assert not [name for name in files if "wrong_answers" in name.parts or "reference" in name.parts]
    write_folder(files, tmp_path / "source", ["run_autograder"])
    a_notebook(tmp_path / "submission" / "x.ipynb", METRICS)
    result = run(tmp_path / "source" / "run_autograder", tmp_path, AUTOGRADER_ROOT=str(tmp_path))
    assert result.returncode == 0 and "WITHOUT confinement" in result.stdout
    results = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))
    assert results["score"] == METRICS.points and results["extra_data"]["confinement"] == "none"
    assert "onfine" not in results["output"] + "".join(test["output"] for test in results["tests"])


def test_where_code_cannot_be_confined_there_are_no_results(
    gradescope: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(engine, "missing_protections", lambda _: missing_protections(()) or [_Missing()])
    monkeypatch.setenv("COURSE_ROOT", str(ROOT))
    path = tmp_path / "autograder.json"
    path.write_text(settings(Platform.GRADESCOPE, METRICS, confine=True).to_json())
    monkeypatch.setenv("AUTOGRADER_SETTINGS", str(path))
    a_notebook(tmp_path / "submission" / "classification.ipynb", METRICS)
    assert grade_submission.main([str(tmp_path)]) == 2
    assert "--unconfined" in capsys.readouterr().err
    assert not (tmp_path / "results" / "results.json").exists(), "a zero would be wrong"


class _Missing:
    value = "files"


def test_the_zip_has_this_exercise_alone_and_is_the_same_each_time(tmp_path: Path) -> None:
    made = settings(Platform.GRADESCOPE, METRICS, confine=True)
    for name in ("one.zip", "two.zip"):
        write_zip(gradescope_autograder(COURSE, [METRICS], made), tmp_path / name, ["run_autograder", "setup.sh"])
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert (tmp_path / "one.zip").stat().st_size < 1_000_000
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        names = archive.namelist()
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
    assert {"setup.sh", "run_autograder", "requirements.txt", "constraints.txt", "course/course.toml"} <= set(names)
    assert modes["run_autograder"] == modes["setup.sh"] == 0o100755 and modes["requirements.txt"] == 0o100644
    lessons = [name for name in names if name.startswith(("course/exercises", "course/tests", "course/reference"))]
    assert lessons and all("metrics/" in name and "classification" in name for name in lessons)
    assert not [name for name in names if name.startswith(("course/solutions", "course/grader/capstone"))]


@pytest.mark.parametrize("script", ["gradescope_setup.sh", "gradescope_run_autograder", "prairielearn_run.sh"])
def test_scripts_are_bash(script: str) -> None:
    path = ROOT / "grader" / "platforms" / "templates" / script
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0


# --- PrairieLearn ----------------------------------------------------------------------------------------------------


def test_prairielearn_question(tmp_path: Path) -> None:
    made = settings(Platform.PRAIRIELEARN, METRICS)
    files = {str(name): data for name, data in prairielearn_question(COURSE, METRICS, made, "dept/course:1").items()}
    info = json.loads(files["info.json"])
    jsonschema.validate(info, QUESTION_INFO)
    compare_with_golden("prairielearn_info.json", files["info.json"].decode())
    compare_with_golden("prairielearn_question.html", files["question.html"].decode())
    assert files["clientFilesQuestion/classification.ipynb"] == METRICS.stub_path.read_bytes()

    odd = replace(METRICS, title="<script>alert(1)</script>")
    question = {str(name): data for name, data in prairielearn_question(COURSE, odd, made, "i").items()}[
        "question.html"
    ]
    assert b"<script" not in question


def test_prairielearn_grades_what_was_uploaded(tmp_path: Path) -> None:
    files = prairielearn_question(COURSE, METRICS, settings(Platform.PRAIRIELEARN, METRICS), "image")
    write_folder(files, tmp_path / "question", ["tests/run.sh"])
    (tmp_path / "question" / "tests").rename(tmp_path / "tests")  # as PrairieLearn lays out /grade
    a_notebook(tmp_path / "student" / "classification.ipynb", METRICS, "def binary_report(*_): return 3")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "data.json").write_text("{}")
    result = run(tmp_path / "tests" / "run.sh", tmp_path, GRADE_ROOT=str(tmp_path))
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))
    jsonschema.validate(results, PRAIRIELEARN)
    assert 0 < results["score"] < 1 and results["gradable"]
    points = sum(test["points"] for test in results["tests"])
    assert results["score"] == pytest.approx(points / METRICS.points)


# --- GitHub ----------------------------------------------------------------------------------------------------------


def test_github_workflow() -> None:
    yaml = pytest.importorskip("yaml")
    files = classroom_template(
        COURSE, [METRICS, ELASTIC], settings(Platform.CLASSROOM, METRICS, ELASTIC), "department/course", "v1: #x"
    )
    by_name = {str(name): data for name, data in files.items()}
    text = by_name[".github/workflows/classroom.yml"].decode()
    compare_with_golden("classroom.yml", text)
    workflow = yaml.safe_load(text)
    # What Classroom asks of a workflow: these names, and one job.
    assert workflow["name"] == "Autograding Tests" and list(workflow["jobs"]) == ["run-autograding-tests"]
    steps = workflow["jobs"]["run-autograding-tests"]["steps"]
    (course,) = (step["with"] for step in steps if step.get("with", {}).get("path") == "course")
    assert (course["repository"], course["ref"]) == ("department/course", "v1: #x")
    assert "grader.platforms.grade_submission student" in steps[-1]["run"]
    assert by_name["metrics/classification.ipynb"] == METRICS.stub_path.read_bytes()
    assert not [name for name in by_name if "test" in name], "no check is in a student's repository"


def test_github_is_told_points_and_nothing_hidden(tmp_path: Path) -> None:
    made = settings(Platform.CLASSROOM, METRICS, ELASTIC)
    files = classroom_template(COURSE, [METRICS, ELASTIC], made, "department/course", "main")
    write_folder(files, tmp_path / "student")
    a_notebook(tmp_path / "student" / "metrics" / "classification.ipynb", METRICS)
    output, summary = tmp_path / "output", tmp_path / "summary.md"
    environment = {
        **os.environ, "COURSE_ROOT": str(ROOT), "PYTHONPATH": str(ROOT), "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary), "AUTOGRADER_SETTINGS": str(tmp_path / "student/.github/autograder.json"),
    }  # fmt: skip
    command = [sys.executable, "-P", "-m", "grader.platforms.grade_submission", "student"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr
    encoded = output.read_text().removeprefix("result=")
    results = json.loads(base64.b64decode(encoded))
    jsonschema.validate(results, CLASSROOM)
    assert results["status"] == "fail", "the second notebook is still the stub"
    assert results["max_score"] == METRICS.points + ELASTIC.points
    assert f"::notice title=Autograding complete::Points {METRICS.points:g}/{results['max_score']:g}\n" in result.stdout
    report = result.stdout.partition("::notice title=Autograding report::")[2]
    assert json.loads(report) == {"totalPoints": METRICS.points, "maxPoints": results["max_score"]}
    assert "| check |" in summary.read_text() and METRICS.title in summary.read_text()


# --- what a bundle is made of ----------------------------------------------------------------------------------------


def test_every_exercise_is_the_same_in_a_bundle(tmp_path: Path) -> None:
    manifest = {name: data for name, data in bundled_course(COURSE, COURSE.exercises[:1], with_answers=False).items()}
    write_folder({name: data for name, data in manifest.items() if name.name == "course.toml"}, tmp_path / "one")
    (one,) = load_course(tmp_path / "one").exercises
    assert one == replace(COURSE.exercises[0], root=one.root, prerequisites=())
    everything = bundled_course(COURSE, COURSE.exercises, with_answers=False)
    write_folder({name: data for name, data in everything.items() if name.name == "course.toml"}, tmp_path / "all")
    bundled = load_course(tmp_path / "all")
    assert bundled == replace(COURSE, root=bundled.root, exercises=bundled.exercises)
    assert [replace(exercise, root=ROOT) for exercise in bundled.exercises] == list(COURSE.exercises)


def test_requirements_follow_from_what_is_imported() -> None:
    light = requirements(COURSE, [METRICS]).splitlines()
    assert all("==" in line for line in light) and not [line for line in light if line.startswith(("torch", "keras"))]
    heavy = requirements(COURSE, [COURSE.exercise("attention/scaled_dot_product")])
    assert "torch==2.13.0\n" in heavy and "pytest==" in heavy


def file(*parts: str, status: SubmissionStatus | None = None) -> HandedInFile:
    return HandedInFile(parts, None if status else Path(*parts), status, "a link" if status else "")


def an_exercise(id: str) -> Exercise:
    return Exercise(Path("course"), id, id, Kind.CODING, Framework.NUMPY, 1, 10, 10)


def test_names_decide_where_there_is_more_than_one_notebook() -> None:
    one, two = an_exercise("a/one"), an_exercise("b/two")
    assert [entry.source for entry in chosen_notebooks([file("x.ipynb")], [one], "s")] == ["x.ipynb"]
    many = [file("old", "One.ipynb"), file("two (1).ipynb"), file("one.ipynb"), file("x.ipynb")]
    assert [entry.source for entry in chosen_notebooks(many, [one, two], "s")] == ["one.ipynb", "two (1).ipynb"]
    first, second = chosen_notebooks([file("one.ipynb")], [one, two], "s")
    assert first.status is None and second.status is SubmissionStatus.MISSING and "two.ipynb" in second.message
    (unclear,) = chosen_notebooks([file("x.ipynb"), file("y.ipynb")], [one], "s")
    assert unclear.status is SubmissionStatus.MISSING and "x.ipynb, y.ipynb" in unclear.message
    (link,) = chosen_notebooks([file("one.ipynb", status=SubmissionStatus.REFUSED)], [one], "s")
    assert link.status is SubmissionStatus.REFUSED


def test_settings_are_read_as_written(tmp_path: Path) -> None:
    made = replace(settings(Platform.GRADESCOPE, METRICS), seed=7, confine=False)
    path = tmp_path / "autograder.json"
    path.write_text(made.to_json())
    assert read_settings(path) == made
    for damaged in ("", "[]", '{"schema": 2}', made.to_json().replace("gradescope", "elsewhere")):
        path.write_text(damaged)
        with pytest.raises(SettingsError, match="make the bundle anew"):
            read_settings(path)


# --- the commands ----------------------------------------------------------------------------------------------------


def test_the_commands_write_bundles_and_say_what_comes_next(tmp_path: Path) -> None:
    def course(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "grader.cli", "export", *arguments]
        environment = {**os.environ, "COURSE_ROOT": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    zipped = course("gradescope", "--exercise", METRICS.id, "--output", str(tmp_path / "a.zip"), "--unconfined")
    assert zipped.returncode == 0 and "base image" in zipped.stdout and "--unconfined" in zipped.stderr
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert json.loads(archive.read("course/autograder.json"))["confine"] is False

    questions = course("prairielearn", str(tmp_path / "pl"), "--exercise", METRICS.id, "--image", "dept/course:1")
    assert questions.returncode == 0, questions.stderr
    assert os.access(tmp_path / "pl/questions/metrics_classification/tests/run.sh", os.X_OK)
    assert (tmp_path / "pl/image/Dockerfile").is_file()

    github = course("classroom", str(tmp_path / "gh"), "--exercise", METRICS.id, "--repository", "d/c", "--json")
    assert github.returncode == 0 and json.loads(github.stdout)["exercises"] == [METRICS.id]
    assert (tmp_path / "gh/.github/workflows/classroom.yml").is_file()
    bad = course("classroom", str(tmp_path / "gh"), "--exercise", METRICS.id, "--repository", "https://x/y")
    assert bad.returncode == 2 and "OWNER/NAME" in bad.stderr
    unknown = course("gradescope", "--exercise", "metrics/clasification", "--output", str(tmp_path / "b.zip"))
    assert unknown.returncode == 2 and "did you mean" in unknown.stderr and not (tmp_path / "b.zip").exists()


# --- the environment that setup.sh makes -----------------------------------------------------------------------------


def with_what_it_needs(names: Iterable[str]) -> set[str]:
    """Distributions by name, and all that they bring with them here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            for line in metadata.requires(name) or ():
                needed = Requirement(line)
                if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                    waiting.append(needed.name)
    return found


def test_the_requirements_suffice(tmp_path: Path) -> None:
    """An environment with the packages of requirements.txt alone, copied from here, is enough to grade."""
    made = gradescope_autograder(COURSE, [METRICS], settings(Platform.GRADESCOPE, METRICS))
    write_folder(made, tmp_path / "source", ["run_autograder"])
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    lines = (tmp_path / "source" / "requirements.txt").read_text().splitlines()
    for name in with_what_it_needs(line.partition("==")[0] for line in lines):
        distribution = metadata.distribution(name)
        for path in distribution.files or ():
            source = Path(str(distribution.locate_file(path)))
            if ".." not in path.parts and source.is_file() and "tests" not in path.parts:
                target = packages / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    assert not (packages / "rich").exists()
    mistake = load_catalogue(METRICS.catalogue_path).wrong_answers[0].id
    a_notebook(tmp_path / "submission" / "x.ipynb", METRICS, a_mistake(METRICS, mistake))
    python = str(environment / "bin" / "python")
    paths = {"AUTOGRADER_ROOT": str(tmp_path), "AUTOGRADER_PYTHON": python}
    result = run(tmp_path / "source" / "run_autograder", tmp_path, **paths)
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))
    assert 0 < results["score"] < METRICS.points
    diagnoses = results["extra_data"]["exercises"][0]["diagnoses"]
    assert [found["id"] for found in diagnoses] == ([mistake] if CAN_CONFINE else [])
