"""The gradebook writer against a real SQLite file, nbgrader's own API and exporter, and formgrader's own page."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, Diagnosis, ResultRecord
from grader.course import Course, Exercise, Framework, Kind, Limits, Topic
from grader.gradebook.errors import GradebookError
from grader.gradebook.inert_markdown import inert_markdown
from grader.gradebook.nbgrader_database import write_gradebook

pytest.importorskip("nbgrader")

PLACEHOLDER = "*Write your answer here.*"


def a_cell(kind: str, source: str, grade_id: str = "", **nbgrader: Any) -> dict[str, Any]:
    metadata = {"nbgrader": {"schema_version": 3, "grade_id": grade_id, "task": False, **nbgrader}} if grade_id else {}
    outputs = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "id": grade_id or "plain", "metadata": metadata, "source": source, **outputs}


def a_notebook(cells: list[dict[str, Any]]) -> dict[str, Any]:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def cells_of(exercise: str, *, answer: bool, hidden: dict[str, float], solved: bool) -> list[dict[str, Any]]:
    body = "return 1" if solved else "raise NotImplementedError"
    cells = [
        a_cell("markdown", "# Title", "text-01", grade=False, solution=False, locked=True),
        a_cell("code", f"def f():\n    {body}", "solution", grade=False, solution=True, locked=False),
        a_cell("code", "assert f() == 1", "visible-checks", grade=True, solution=False, locked=True, points=1.0),
    ]
    for name, points in hidden.items():
        call = f'run_check("{exercise}", "{name}", globals())' if solved else "# hidden"
        source = f"# Hidden check\nfrom grader.checking.in_kernel import run_check\n{call}"
        cells.append(a_cell("code", source, name, grade=True, solution=False, locked=True, points=points))
    if answer:
        text = "The model answer." if solved else PLACEHOLDER
        cells.append(a_cell("markdown", text, "answer", grade=True, solution=True, locked=False, points=5.0))
    return cells


HIDDEN = {"attention/softmax": {"test_rows": 2.0, "test_range": 3.0}, "attention/masks": {"test_mask": 4.0}}


@pytest.fixture
def course(tmp_path: Path) -> Course:
    root = tmp_path / "course"
    exercises = (
        Exercise(root, "attention/softmax", "Softmax", Kind.QUESTION, Framework.NUMPY, 1, 10, 6, written_points=5),
        Exercise(root, "attention/masks", "Masks", Kind.CODING, Framework.NUMPY, 2, 10, 5),
    )
    for exercise in exercises:
        for path, solved in ((exercise.solution_path, True), (exercise.stub_path, False)):
            answer = exercise.written_points > 0
            path.parent.mkdir(parents=True, exist_ok=True)
            cells = cells_of(exercise.id, answer=answer, hidden=HIDDEN[exercise.id], solved=solved)
            path.write_text(json.dumps(a_notebook(cells)))
    return Course(root, "demo", "Demo", "1.0", Limits(), (), (Topic("attention", "Attention"),), exercises)


@pytest.fixture(scope="module")
def empty_gradebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gradebook with nothing in it: nbgrader takes seconds to make one, so it is made once and copied."""
    course = Course(Path("none"), "demo", "Demo", "1.0", Limits(), (), (), ())
    file = tmp_path_factory.mktemp("empty") / "new folder" / "gradebook.db"
    write_gradebook(course, [], f"sqlite:///{file}")
    return file


@pytest.fixture
def no_database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'class' / 'gradebook.db'}"


@pytest.fixture
def database(no_database: str, empty_gradebook: Path, tmp_path: Path) -> str:
    (tmp_path / "class").mkdir()
    shutil.copy(empty_gradebook, tmp_path / "class" / "gradebook.db")
    return no_database


def a_check(
    name: str, points: float, outcome: CheckOutcome, *, visible: bool = False, message: str = ""
) -> CheckRecord:
    earned = points if outcome is CheckOutcome.PASSED else 0.0
    return CheckRecord(name, f"Title of {name}.", outcome, earned, points, visible, message)


def a_record(student: str, exercise: str, outcomes: dict[str, CheckOutcome], **values: Any) -> ResultRecord:
    points = {"test_example": 1.0, **HIDDEN[exercise]}
    message = values.pop("failure", "Called: f()\nexpected 1\nactual 2")
    checks = tuple(
        a_check(name, points[name], outcome, visible=name == "test_example", message=message)
        for name, outcome in outcomes.items()
    )
    status = values.pop("status", SubmissionStatus.GRADED)
    return ResultRecord(student, exercise, status, checks, max_points=sum(points.values()), **values)


PASSED, FAILED, ERROR = CheckOutcome.PASSED, CheckOutcome.FAILED, CheckOutcome.ERROR


def softmax(student: str, rows: CheckOutcome = PASSED, range_: CheckOutcome = FAILED, **values: Any) -> ResultRecord:
    outcomes = {"test_example": PASSED, "test_rows": rows, "test_range": range_}
    return a_record(student, "attention/softmax", outcomes, **values)


def masks(student: str, mask: CheckOutcome = PASSED, **values: Any) -> ResultRecord:
    return a_record(student, "attention/masks", {"test_example": FAILED, "test_mask": mask}, **values)


def hand_in(directory: Path, student: str, slug: str, cells: list[dict[str, Any]]) -> Path:
    path = directory / "submitted" / student / "attention" / f"{slug}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(a_notebook(cells)))
    return path


def softmax_cells(answer: str) -> list[dict[str, Any]]:
    cells = cells_of("attention/softmax", answer=True, hidden=HIDDEN["attention/softmax"], solved=False)
    cells[-1]["source"] = answer
    cells[1]["source"] = "def f():\n    return 2"
    cells[1]["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": {"text/html": "<script>x</script>"}}]
    return cells


@contextmanager
def opened(database: str) -> Iterator[Any]:
    from nbgrader.api import Gradebook

    with Gradebook(database) as gradebook:
        yield gradebook


def grade(gradebook: Any, cell: str, student: str, notebook: str = "softmax") -> Any:
    return gradebook.find_grade(cell, notebook, "attention", student)


def test_nbgraders_api_reads_the_scores(course: Course, database: str) -> None:
    records = [softmax("ada"), masks("ada"), masks("bob", FAILED)]
    report = write_gradebook(course, records, database)
    with opened(database) as gradebook:
        ada = gradebook.find_submission("attention", "ada")
        # Softmax: example 1 + rows 2, not range 3. Masks: mask 4, not example 1. The answer is still to be read.
        assert (ada.score, ada.max_score) == (7.0, 16.0)
        assert (ada.code_score, ada.written_score, ada.max_written_score) == (7.0, 0.0, 5.0)
        assert ada.needs_manual_grade
        scores = {
            item.name: item.auto_score for item in gradebook.find_submission("attention", "ada").notebooks[0].grades
        }
        scores |= {item.name: item.auto_score for item in ada.notebooks[1].grades}
        assert grade(gradebook, "visible-checks", "ada").auto_score == 1.0
        assert grade(gradebook, "test_rows", "ada").auto_score == 2.0
        assert grade(gradebook, "test_range", "ada").auto_score == 0.0
        assert grade(gradebook, "visible-checks", "ada", "masks").auto_score == 0.0
        assert [grade(gradebook, name, "ada").needs_manual_grade for name in ("test_rows", "test_range")] == [
            False,
            False,
        ]
        answer = grade(gradebook, "answer", "ada")
        assert (answer.auto_score, answer.needs_manual_grade) == (None, True)
        bob = gradebook.find_submission("attention", "bob")
        assert (bob.score, bob.needs_manual_grade) == (0.0, False)
    assert (report.students, report.submissions, report.waiting) == (2, 2, 1)
    assert report.notes == []


def test_nbgraders_exporter_reads_the_scores(course: Course, database: str, tmp_path: Path) -> None:
    from nbgrader.plugins import CsvExportPlugin

    write_gradebook(course, [softmax("ada", range_=PASSED), masks("ada")], database)
    exported = tmp_path / "exported.csv"
    with opened(database) as gradebook:
        CsvExportPlugin(to=str(exported)).export(gradebook)
    header, row = exported.read_text().splitlines()
    values = dict(zip(header.split(","), row.split(","), strict=True))
    assert (values["assignment"], values["student_id"]) == ("attention", "ada")
    assert (float(values["score"]), float(values["max_score"])) == (10.0, 16.0)


def test_a_rerun_keeps_what_a_person_wrote(course: Course, database: str, tmp_path: Path) -> None:
    path = hand_in(tmp_path / "class", "ada", "softmax", softmax_cells("Because it saturates."))
    notebooks = {("ada", "attention/softmax"): path}
    write_gradebook(course, [softmax("ada")], database, notebooks=notebooks)
    with opened(database) as gradebook:
        answer = grade(gradebook, "answer", "ada")
        answer.manual_score, answer.extra_credit, answer.needs_manual_grade = 3.5, 0.5, False
        gradebook.find_comment("answer", "softmax", "attention", "ada").manual_comment = "Good."
        gradebook.find_comment("solution", "softmax", "attention", "ada").manual_comment = "See me."
        gradebook.db.commit()
    write_gradebook(course, [softmax("ada", range_=PASSED)], database, notebooks=notebooks)
    with opened(database) as gradebook:
        answer = grade(gradebook, "answer", "ada")
        assert (answer.manual_score, answer.extra_credit, answer.needs_manual_grade) == (3.5, 0.5, False)
        assert gradebook.find_comment("answer", "softmax", "attention", "ada").comment == "Good."
        assert gradebook.find_comment("solution", "softmax", "attention", "ada").comment == "See me."
        assert gradebook.find_submission("attention", "ada").score == 1 + 2 + 3 + 3.5 + 0.5
        assert len(gradebook.students) == len(gradebook.assignments) == 1

    hand_in(tmp_path / "class", "ada", "softmax", softmax_cells("On second thoughts, another answer."))
    report = write_gradebook(course, [softmax("ada", range_=PASSED)], database, notebooks=notebooks)
    with opened(database) as gradebook:
        answer = grade(gradebook, "answer", "ada")
        assert (answer.manual_score, answer.needs_manual_grade) == (3.5, True), "a new answer is put up for review"
    assert report.waiting == 1


def test_a_bonus_question_is_worth_extra_credit_alone(course: Course, database: str) -> None:
    """A cell worth no points, for which a person gives extra credit."""
    path = course.exercise("attention/softmax").solution_path
    notebook = json.loads(path.read_bytes())
    notebook["cells"][-1]["metadata"]["nbgrader"]["points"] = 0
    path.write_text(json.dumps(notebook))
    write_gradebook(course, [softmax("ada")], database)
    with opened(database) as gradebook:
        answer = grade(gradebook, "answer", "ada")
        assert answer.max_score == 0.0
        answer.extra_credit, answer.manual_score, answer.needs_manual_grade = 2.0, 0.0, False
        gradebook.db.commit()
    write_gradebook(course, [softmax("ada", range_=PASSED)], database)
    with opened(database) as gradebook:
        submission = gradebook.find_submission("attention", "ada")
        assert (submission.score, submission.max_score) == (6.0 + 2.0, 11.0)


def test_an_overridden_check_is_reviewed_when_its_score_changes(course: Course, database: str) -> None:
    write_gradebook(course, [softmax("ada")], database)
    with opened(database) as gradebook:
        grade(gradebook, "test_range", "ada").manual_score = 1.0
        gradebook.db.commit()
    write_gradebook(course, [softmax("ada")], database)
    with opened(database) as gradebook:
        assert not grade(gradebook, "test_range", "ada").needs_manual_grade
    write_gradebook(course, [softmax("ada", range_=PASSED)], database)
    with opened(database) as gradebook:
        changed = grade(gradebook, "test_range", "ada")
        assert (changed.auto_score, changed.manual_score, changed.score) == (3.0, 1.0, 1.0)
        assert changed.needs_manual_grade


@pytest.mark.parametrize("text", [PLACEHOLDER, "", "  \n"])
def test_an_empty_answer_waits_for_nobody(course: Course, database: str, tmp_path: Path, text: str) -> None:
    path = hand_in(tmp_path / "class", "ada", "softmax", softmax_cells(text))
    write_gradebook(course, [softmax("ada", source=str(path))], database)
    with opened(database) as gradebook:
        answer = grade(gradebook, "answer", "ada")
        assert (answer.auto_score, answer.needs_manual_grade) == (0.0, False)
        assert gradebook.find_comment("answer", "softmax", "attention", "ada").comment == "No response."


def test_a_lost_answer_cell_waits_for_a_person(course: Course, database: str, tmp_path: Path) -> None:
    cells = softmax_cells("My answer.")
    cells[-1]["metadata"] = {"nbgrader": ["mangled"]}
    path = hand_in(tmp_path / "class", "ada", "softmax", cells)
    write_gradebook(course, [softmax("ada", source=str(path))], database)
    with opened(database) as gradebook:
        assert grade(gradebook, "answer", "ada").needs_manual_grade
        assert "another cell" in gradebook.find_comment("answer", "softmax", "attention", "ada").comment
    copy = json.loads((tmp_path / "class/autograded/ada/attention/softmax.ipynb").read_text())
    ids = [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in copy["cells"]]
    assert ids.count("answer") == 1, "the score box is back"
    assert "My answer." in [cell["source"] for cell in copy["cells"]]


def test_comments_carry_the_message_and_the_diagnosis(course: Course, database: str) -> None:
    diagnosis = Diagnosis("twice", "counted twice", "The sum counts the first row twice.", "exact")
    failure = "<script>alert(1)</script> differs"
    write_gradebook(course, [softmax("ada", failure=failure, diagnoses=(diagnosis,))], database)
    with opened(database) as gradebook:
        comment = gradebook.find_comment("solution", "softmax", "attention", "ada").comment
    assert "counted twice" in comment and "The sum counts the first row twice." in comment
    assert "Title of test_range." in comment and "differs" in comment
    assert "Title of test_rows." not in comment, "a passed check needs no comment"
    assert "<script" not in comment


def test_a_broken_check_waits_for_a_person_and_stays_private(course: Course, database: str) -> None:
    broken = softmax("ada", range_=ERROR, failure="NameError in the hidden check: SECRET")
    failed = masks("ada", status=SubmissionStatus.GRADER_ERROR)
    write_gradebook(course, [broken, replace(failed, checks=())], database)
    with opened(database) as gradebook:
        assert grade(gradebook, "test_range", "ada").needs_manual_grade
        assert not grade(gradebook, "test_rows", "ada").needs_manual_grade
        assert grade(gradebook, "test_mask", "ada", "masks").needs_manual_grade
        assert "SECRET" not in gradebook.find_comment("solution", "softmax", "attention", "ada").comment


def test_who_handed_in_nothing_has_no_submission(course: Course, database: str) -> None:
    missing = ResultRecord("eve", "attention/softmax", SubmissionStatus.MISSING, max_points=6)
    write_gradebook(course, [missing, softmax("ada")], database)
    with opened(database) as gradebook:
        assert [submission.student.id for submission in gradebook.assignment_submissions("attention")] == ["ada"]
        assert sorted(student.id for student in gradebook.students) == ["ada", "eve"]
        # Ada's other notebook was not handed in: nothing to do for anybody.
        assert not gradebook.find_submission_notebook("masks", "attention", "ada").needs_manual_grade


def test_a_withdrawn_submission_loses_its_automatic_points(course: Course, database: str) -> None:
    write_gradebook(course, [softmax("ada")], database)
    write_gradebook(course, [ResultRecord("ada", "attention/softmax", SubmissionStatus.MISSING)], database)
    with opened(database) as gradebook:
        assert gradebook.find_submission("attention", "ada").score == 0.0


def test_duplicates_and_unsafe_names_are_left_out(course: Course, database: str, tmp_path: Path) -> None:
    duplicate = replace(softmax("ada", rows=FAILED), status=SubmissionStatus.DUPLICATE)
    names = ["../../evil", "a/b", ".", "", "line\nbreak", "\udcff", "x" * 200]
    report = write_gradebook(course, [softmax("ada"), duplicate, *(softmax(name) for name in names)], database)
    with opened(database) as gradebook:
        assert [student.id for student in gradebook.students] == ["ada"]
        assert grade(gradebook, "test_rows", "ada").auto_score == 2.0
    assert len(report.notes) == len(names)
    assert [path.name for path in (tmp_path / "class" / "autograded").iterdir()] == ["ada"]


def test_names_that_are_odd_but_safe_are_kept(course: Course, database: str) -> None:
    names = [
        "=cmd|' /C calc'!A0",
        "Zoë Ångström",
        "<script>alert(1)</script>"[:-9] + "x",
        "o'brien; drop table student",
    ]
    names = [name for name in names if "/" not in name]
    write_gradebook(course, [softmax(name) for name in names], database)
    with opened(database) as gradebook:
        assert sorted(student.id for student in gradebook.students) == sorted(names)


def test_the_time_of_submission_is_nbgraders(course: Course, database: str, tmp_path: Path) -> None:
    path = hand_in(tmp_path / "class", "ada", "softmax", softmax_cells("x"))
    (path.parent / "timestamp.txt").write_text("2025-03-04 12:05:00.5 UTC")
    other = hand_in(tmp_path / "class", "bob", "softmax", softmax_cells("x"))
    (other.parent / "timestamp.txt").write_text("<script>no time</script>")
    report = write_gradebook(course, [softmax("ada"), softmax("bob")], database)
    with opened(database) as gradebook:
        assert gradebook.find_submission("attention", "ada").timestamp.isoformat() == "2025-03-04T12:05:00.500000"
        assert gradebook.find_submission("attention", "bob").timestamp is None
    assert len(report.notes) == 1 and "timestamp.txt is not a time" in report.notes[0]


def test_a_changed_course_changes_the_cells(course: Course, database: str) -> None:
    write_gradebook(course, [softmax("ada"), softmax("bob")], database)
    with opened(database) as gradebook:
        grade(gradebook, "test_rows", "bob").manual_score = 1.5
        gradebook.db.commit()
    exercise = course.exercise("attention/softmax")
    hidden = {"test_range": 4.0, "test_new": 1.0}
    cells = cells_of(exercise.id, answer=True, hidden=hidden, solved=True)
    exercise.solution_path.write_text(json.dumps(a_notebook(cells)))
    outcomes = {"test_example": PASSED, "test_range": PASSED, "test_new": PASSED}
    points = {"test_example": 1.0, **hidden}
    checks = [a_check(name, points[name], outcomes[name], visible=name == "test_example") for name in outcomes]
    records = [ResultRecord(name, exercise.id, SubmissionStatus.GRADED, tuple(checks)) for name in ("ada", "bob")]
    report = write_gradebook(course, records, database)
    with opened(database) as gradebook:
        assert gradebook.find_submission("attention", "ada").score == 6.0
        assert gradebook.find_submission("attention", "bob").score == 6.0 + 1.5
        assert grade(gradebook, "test_range", "ada").max_score == 4.0
    assert len(report.notes) == 1 and "test_rows" in report.notes[0]


def test_stale_notebooks_are_an_error_before_anything_is_written(
    course: Course, no_database: str, tmp_path: Path
) -> None:
    unknown = replace(softmax("bob"), checks=(a_check("test_unknown", 1.0, PASSED),))
    with pytest.raises(GradebookError, match=r"softmax\.ipynb has no cell for the check test_unknown.*course build"):
        write_gradebook(course, [softmax("ada"), unknown], no_database)
    assert not (tmp_path / "class").exists()


def test_a_missing_solution_is_an_error(course: Course, database: str) -> None:
    course.exercise("attention/softmax").solution_path.unlink()
    with pytest.raises(GradebookError, match=r"softmax\.ipynb cannot be read.*course build"):
        write_gradebook(course, [softmax("ada")], database)


def test_a_read_only_database_is_an_error_with_the_fix(course: Course, database: str, tmp_path: Path) -> None:
    write_gradebook(course, [softmax("ada")], database)
    file = tmp_path / "class" / "gradebook.db"
    with pytest.raises(GradebookError, match=r"gradebook\.db is read-only.*chmod u\+w"):
        write_gradebook(course, [softmax("bob")], f"sqlite:///file:{file}?mode=ro&uri=true")
    if os.geteuid() != 0:  # who is root may write to it all the same
        file.chmod(0o444)
        with pytest.raises(GradebookError, match=r"gradebook\.db is read-only.*chmod u\+w"):
            write_gradebook(course, [softmax("bob")], database)
    with opened(database) as gradebook:
        assert [student.id for student in gradebook.students] == ["ada"]


def test_a_locked_database_is_an_error_with_the_fix(course: Course, database: str, tmp_path: Path) -> None:
    write_gradebook(course, [softmax("ada")], database)
    other = sqlite3.connect(tmp_path / "class" / "gradebook.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(GradebookError, match=r"gradebook\.db is locked.*[Cc]lose formgrader"):
            write_gradebook(course, [softmax("ada", range_=PASSED)], f"{database}?timeout=0.2")
    finally:
        other.close()
    with opened(database) as gradebook:
        assert grade(gradebook, "test_range", "ada").auto_score == 0.0


@pytest.mark.parametrize("content", [b"not a database, but long enough to look like one " * 50])
def test_a_file_that_is_no_database_is_an_error(
    course: Course, no_database: str, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "gradebook.db").write_bytes(content)
    with pytest.raises(GradebookError, match=r"gradebook\.db is not an SQLite database"):
        write_gradebook(course, [softmax("ada")], no_database)


def test_nonsense_instead_of_a_url_is_an_error(course: Course) -> None:
    with pytest.raises(GradebookError, match=r"'gradebook\.db' is not a database's URL"):
        write_gradebook(course, [softmax("ada")], "gradebook.db")


class ActiveContent(HTMLParser):
    """Collects what could run or load in a page: tags of scripts and frames, handlers, addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "form", "meta", "svg", "style", "link", "base"):
            self.found.append(tag)
        for name, value in attributes:
            address = (value or "").strip().lower()
            loads = name == "src" and address.startswith("http:")
            if name.startswith("on") or loads or (name == "href" and address.startswith(("java", "data", "vb"))):
                self.found.append(f"{tag} {name}={value}")


HOSTILE = """<script>alert(1)</script> <img src=x onerror=alert(2)> <ScRiPt src="http://evil"></sCrIpT
[click](javascript:alert(3)) [click][ref] ![pixel](http://evil/pixel.png) ![gone](attachment:gone.png)

[ref]: javascript:alert(4)
[ref2]:
  java&#115;cript:alert(5)

<javascript:alert(6)> $\\href{javascript:alert(7)}{x}$ <!-- --> <?php ?>

```mermaid
graph TD; A["<img src=x onerror=alert(8)>"]
```

`<b>code</b>` and a good [link](https://example.org), 1 < 2, a<b.
"""


def test_formgrader_shows_a_hostile_notebook_without_running_it(course: Course, database: str, tmp_path: Path) -> None:
    from nbconvert.exporters import HTMLExporter
    from nbgrader.server_extensions import formgrader

    cells = softmax_cells(HOSTILE)
    cells[0]["source"] = "<script>changed locked text</script>"
    cells[3]["source"] = "print('changed check')"
    raw = {"cell_type": "raw", "metadata": {"raw_mimetype": "text/html"}, "source": "<script>raw</script>"}
    odd = [
        raw,
        "no cell",
        {"cell_type": "markdown", "source": [1, HOSTILE]},
        {"cell_type": 7},
        a_cell("markdown", HOSTILE),
    ]
    path = hand_in(tmp_path / "class", "ada", "softmax", [*cells, *odd, cells[-1]])  # type: ignore[list-item]
    write_gradebook(course, [softmax("ada", failure="</pre><script>alert(9)</script>", source=str(path))], database)
    copy = tmp_path / "class/autograded/ada/attention/softmax.ipynb"
    text = copy.read_text()
    assert "changed locked text" not in text and "changed check" not in text
    assert "text/html" not in text, "the student's outputs and metadata are gone"

    templates = Path(formgrader.__file__).parent / "templates"
    exporter = HTMLExporter(template_name="formgrade", extra_template_basedirs=[str(templates)])
    names = ("assignment_id", "notebook_id", "submission_id", "base_url", "student", "last_name", "first_name")
    resources = {**dict.fromkeys(names, ""), "index": 0, "total": 1, "notebook_path": ""}
    clean = tmp_path / "clean.ipynb"
    clean.write_text(json.dumps(a_notebook([a_cell("markdown", "nothing")])))
    pages = []
    for notebook in (clean, copy):
        page, _ = exporter.from_filename(str(notebook), resources=dict(resources))
        parser = ActiveContent()
        parser.feed(page)
        pages.append((page, parser.found))
    assert pages[1][1] == pages[0][1], "nothing active beyond formgrader's own page"
    shown = pages[1][0]
    assert shown.count('class="score tabbable"') == 4, "a score box for every graded cell"
    assert "not passed, 0 of 3: Title of test_range." in shown
    assert 'href="https://example.org"' in shown


def test_an_unreadable_submission_stops_nobody(course: Course, database: str, tmp_path: Path) -> None:
    path = hand_in(tmp_path / "class", "bob", "softmax", [])
    path.write_bytes(b"[" * 100_000)
    unreadable = ResultRecord(
        "bob",
        "attention/softmax",
        SubmissionStatus.UNREADABLE,
        message="not a notebook",
        max_points=6,
        source=str(path),
    )
    report = write_gradebook(course, [unreadable, softmax("ada")], database)
    assert report.submissions == 2
    copy = json.loads((tmp_path / "class/autograded/bob/attention/softmax.ipynb").read_text())
    assert "not a notebook" in copy["cells"][0]["source"]
    with opened(database) as gradebook:
        assert grade(gradebook, "answer", "bob").needs_manual_grade, "a person may find the answer in the file"
        assert gradebook.find_submission("attention", "bob").code_score == 0.0


def test_pictures_in_an_answer_are_shown_and_nothing_else(course: Course, database: str, tmp_path: Path) -> None:
    cells = softmax_cells("See ![drawing](attachment:a.png) ![vector](attachment:b.svg) ![bad](attachment:c.png)")
    cells[-1]["attachments"] = {
        "a.png": {"image/png": "iVBORw0KGgo="},
        "b.svg": {"image/svg+xml": "PHN2Zy8+"},
        "c.png": {"image/png": '"><script>'},
    }
    path = hand_in(tmp_path / "class", "ada", "softmax", cells)
    write_gradebook(course, [softmax("ada", source=str(path))], database)
    copy = json.loads((tmp_path / "class/autograded/ada/attention/softmax.ipynb").read_text())
    answer = next(cell for cell in copy["cells"] if cell["metadata"].get("nbgrader", {}).get("grade_id") == "answer")
    assert answer["attachments"] == {"a.png": {"image/png": "iVBORw0KGgo="}}
    assert "![drawing](attachment:a.png)" in answer["source"]
    assert "(attachment:b.svg)" in answer["source"] and "](attachment:b.svg)" not in answer["source"]


@pytest.mark.parametrize(
    "text", ["\n", "![", "]", "] ", "]\n", "<a ", "```", "> ", "\\href", "!\u200b[", "[](attachment:"]
)
def test_no_markdown_takes_long_to_make_harmless(text: str) -> None:
    started = time.process_time()
    once = inert_markdown(text * 50_000)
    assert time.process_time() - started < 2.0
    assert inert_markdown(once) == once, "doing it again changes nothing, so an unchanged answer is seen as unchanged"
