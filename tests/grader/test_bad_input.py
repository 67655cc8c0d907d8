"""Bad input never stops a batch: each piece gets a clear status of its own, and everybody else's grade stays."""

from __future__ import annotations

import copy
import csv
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import Course, load_course
from grader.gradebook.nbgrader_database import write_gradebook
from grader.grading.class_grading import ClassResult, ClassRun, grade_class
from grader.grading.journal import JOURNAL_NAME
from grader.notebooks.cells import MAX_CELLS
from grader.notebooks.reading import MAX_BYTES

pytest.importorskip("nbgrader")

ROOT = Path(__file__).resolve().parents[2]
PERFECT = ROOT / "tests" / "sample_class" / "submitted" / "student-01"
METRICS, ATTENTION = "metrics/classification", "attention/scaled_dot_product"
FULL = 10.0
GRADED, MISSING, DUPLICATE, REFUSED, UNREADABLE, NO_CODE, SYNTAX_ERROR, TIMED_OUT, CRASHED = (
    SubmissionStatus.GRADED,
    SubmissionStatus.MISSING,
    SubmissionStatus.DUPLICATE,
    SubmissionStatus.REFUSED,
    SubmissionStatus.UNREADABLE,
    SubmissionStatus.NO_CODE,
    SubmissionStatus.SYNTAX_ERROR,
    SubmissionStatus.TIMED_OUT,
    SubmissionStatus.CRASHED,
)

Notebook = dict[str, Any]
Edit = Callable[[Notebook], None]


# --- notebooks -------------------------------------------------------------------------------------------------------


def perfect(exercise: str = METRICS) -> Notebook:
    """A notebook with full marks, without the student's own cells (they would run into what is planted here)."""
    notebook: Notebook = json.loads((PERFECT / f"{exercise}.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["metadata"] or cell["id"] == "code-01"]
    notebook["cells"] = [{**cell, "source": "".join(cell["source"])} for cell in cells]
    return notebook


def edited(*edits: Edit, exercise: str = METRICS) -> bytes:
    notebook = perfect(exercise)
    for edit in edits:
        edit(notebook)
    return json.dumps(notebook).encode()


def cell_of(notebook: Notebook, id: str) -> dict[str, Any]:
    return next(cell for cell in notebook["cells"] if cell["id"] == id)


def with_text(id: str, old: str, new: str) -> Edit:
    def edit(notebook: Notebook) -> None:
        cell = cell_of(notebook, id)
        assert old in cell["source"]
        cell["source"] = cell["source"].replace(old, new, 1)

    return edit


def beginning_with(function: str, line: str) -> Edit:
    """A line of its own at the beginning of a function's body, after the docstring."""

    def edit(notebook: Notebook) -> None:
        cell = next(cell for cell in notebook["cells"] if f"def {function}(" in cell["source"])
        before, quotes, after = cell["source"].rpartition('"""')
        cell["source"] = f"{before}{quotes}\n    {line}{after}"

    return edit


def with_cell(source: str) -> Edit:
    cell = {"cell_type": "code", "execution_count": 1, "id": "scratch", "metadata": {}, "outputs": [], "source": source}
    return lambda notebook: notebook["cells"].insert(2, cell)


def without(*ids: str) -> Edit:
    def edit(notebook: Notebook) -> None:
        notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] not in ids]

    return edit


def without_ours(notebook: Notebook) -> None:
    """Everything deleted that a student can delete: lesson, checks, the cell of the written answer."""
    notebook["cells"] = [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and not cell["metadata"].get("nbgrader", {}).get("locked")
    ]


def every_cell_twice(notebook: Notebook) -> None:
    notebook["cells"] = [copy.deepcopy(cell) for cell in notebook["cells"] for _ in range(2)]


def text_only(notebook: Notebook) -> None:
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def old_format(notebook: Notebook) -> None:
    notebook["worksheets"] = [{"cells": notebook.pop("cells")}]
    notebook["nbformat"] = 3


def too_many_cells(notebook: Notebook) -> None:
    notebook["cells"] += [{"cell_type": "markdown", "metadata": {}, "source": "x"}] * MAX_CELLS


def strange_cells(notebook: Notebook) -> None:
    notebook["cells"] += [None, 7, {}, {"cell_type": "code"}, {"cell_type": "code", "source": {"a": 1}}]
    notebook["cells"] += [{"cell_type": "code", "source": "# fine", "metadata": [], "outputs": "none"}]
    notebook["metadata"] = None


@dataclass(frozen=True)
class Piece:
    """What one student hands in for an exercise, and what has to become of it. `message` is in message or notes."""

    content: bytes
    status: SubmissionStatus
    points: float = 0.0
    message: str = ""
    exercise: str = METRICS
    outcomes: frozenset[CheckOutcome] = field(default=frozenset())


GOOD = Piece(edited(), GRADED, FULL)
GOOD_STUDENTS = ("ada", "Zoë Łukasiewicz", "学生-02", "=1+1", "-rf", "student 07", "'quoted' & <b>bold", "a;b,c")
NOT_WRITTEN = frozenset({CheckOutcome.FAILED})

PIECES: dict[str, Piece] = {
    **dict.fromkeys(GOOD_STUDENTS, GOOD),
    # files that are no notebooks
    "truncated": Piece(edited()[:5000], UNREADABLE, message="ends in the middle"),
    "huge": Piece(edited() + b" " * MAX_BYTES, UNREADABLE, message="larger than the 8 MiB"),
    "deep": Piece(b"[" * 200_000, UNREADABLE, message="nested absurdly deep"),
    "many-cells": Piece(edited(too_many_cells), UNREADABLE, message="cells; at most 2,000 are read"),
    "old-format": Piece(edited(old_format), UNREADABLE, message="old notebook format"),
    "a-list": Piece(b"[1, 2, 3]", UNREADABLE, message="a list instead of a notebook"),
    "a-pdf": Piece(b"%PDF-1.7 ...", UNREADABLE, message="it is a PDF"),
    "empty": Piece(b"", UNREADABLE, message="it is empty"),
    "latin-1": Piece("{'café'}".encode("latin-1"), UNREADABLE, message="not text in UTF-8"),
    # notebooks that are no answers, or damaged ones
    "no-code": Piece(edited(text_only), NO_CODE, message="no code of yours"),
    "no-cells": Piece(b'{"cells": []}', NO_CODE, message="no code of yours"),
    "deleted": Piece(edited(without("solution-2")), GRADED, 6.0, "defines no `binary_report`"),
    "deleted-all-of-ours": Piece(edited(without_ours), GRADED, FULL, "the cell for your written answer"),
    "duplicated": Piece(edited(every_cell_twice), GRADED, FULL, "2 cells carry the id solution"),
    "strange-cells": Piece(edited(strange_cells), GRADED, FULL, "were left out"),
    "renamed": Piece(
        edited(with_text("solution-2", "def binary_report(", "def binary_reports(")), GRADED, 6.0, "was it renamed?"
    ),
    "syntax-error": Piece(
        edited(with_text("solution", "factor = width", "factor = = width"), exercise=ATTENTION),
        SYNTAX_ERROR,
        message="invalid syntax: factor = = width",
        exercise=ATTENTION,
    ),
    "syntax-error-in-part": Piece(
        edited(with_text("solution", "matrix = ", "matrix = = ")), GRADED, 5.0, "this cell was not run"
    ),
    "syntax-error-beside": Piece(edited(with_cell("for in range(3)")), GRADED, FULL, "this cell was not run"),
    # code that does not end, takes too much, or leaves
    "loop": Piece(
        edited(with_cell("while True: pass")),
        TIMED_OUT,
        message="Loading the notebook: no answer within 4 seconds",
        outcomes=frozenset({CheckOutcome.TIMEOUT}),
    ),
    "loop-in-function": Piece(
        edited(beginning_with("classification_metrics", "while True: pass")),
        GRADED,
        3.0,
        "no answer within 2 seconds",
        outcomes=frozenset({CheckOutcome.TIMEOUT, CheckOutcome.SKIPPED}),
    ),
    "memory": Piece(
        edited(with_cell("big = bytearray(50 * 2**30)"), with_cell("big = np.ones(50 * 2**27)")),
        GRADED,
        FULL,
        "MemoryError",
    ),
    "memory-in-function": Piece(
        edited(beginning_with("binary_report", "bytearray(50 * 2**30)")), GRADED, 6.0, "MemoryError"
    ),
    "memory-bit-by-bit": Piece(
        edited(
            beginning_with("binary_report", "for n in range(10**9): globals().setdefault('heap', []).append('x' * n)")
        ),
        GRADED,
        6.0,
    ),
    "output": Piece(
        edited(with_cell("for _ in range(1024): print('x' * 2**20)\nimport os\nos.write(1, b'x' * 2**28)")),
        GRADED,
        FULL,
    ),
    "exit": Piece(
        edited(with_cell("import os\nos._exit(0)")),
        CRASHED,
        message="ended itself with exit code 0",
        outcomes=frozenset({CheckOutcome.CRASHED}),
    ),
    "exit-in-function": Piece(
        edited(beginning_with("binary_report", "__import__('os')._exit(0)")),
        GRADED,
        6.0,
        "ended itself with exit code 0",
        outcomes=frozenset({CheckOutcome.CRASHED}),
    ),
    "polite-exit": Piece(edited(with_cell("import sys\nsys.exit(0)")), GRADED, FULL, "SystemExit"),
    "interrupt": Piece(edited(with_cell("raise KeyboardInterrupt")), GRADED, FULL, "KeyboardInterrupt"),
    "kill": Piece(edited(with_cell("import os\nos.kill(os.getpid(), 9)")), CRASHED, message="it was stopped"),
    "segfault": Piece(edited(with_cell("import ctypes\nctypes.string_at(0)")), CRASHED, message="SIGSEGV"),
    "odd-text": Piece(
        edited(
            with_cell("print('\\ud800 \\x1b[2J \\x00 <script>alert(1)</script>')"),
            beginning_with("binary_report", "raise RuntimeError('\\ud800 \\x1b[2J \\x00 <script>alert(1)</script>')"),
        ),
        GRADED,
        6.0,
        "<script>",
        outcomes=NOT_WRITTEN,
    ),
    "odd-values": Piece(
        edited(beginning_with("binary_report", "return {'tp': 2**200, 1: float('nan'), None: [[]] * 9}")),
        GRADED,
        6.0,
        outcomes=NOT_WRITTEN,
    ),
    "good-at-attention": Piece(edited(exercise=ATTENTION), GRADED, FULL, exercise=ATTENTION),
}


def name_of(student: str, piece: Piece, flat: bool = False) -> str:
    return f"{student}_{piece.exercise.split('/')[1]}.ipynb" if flat else f"{student}/{piece.exercise}.ipynb"


# --- the class, graded once ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def course() -> Course:
    """The course with little patience."""
    course = load_course(ROOT)
    exercises = tuple(
        replace(exercise, limits=replace(exercise.limits, seconds=2, total_seconds=8)) for exercise in course.exercises
    )
    return replace(course, exercises=exercises)


@pytest.fixture(scope="module")
def empty_gradebook(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nbgrader takes seconds to make a gradebook, so it is made once and copied."""
    file = tmp_path_factory.mktemp("empty") / "gradebook.db"
    write_gradebook(course, [], f"sqlite:///{file}")
    return file


@dataclass
class Graded:
    """A run over a folder: its results, and what it wrote."""

    output: Path
    result: ClassResult

    def records(self, student: str, exercise: str = METRICS) -> list[ResultRecord]:
        return [r for r in self.result.records if (r.student, r.exercise) == (student, exercise)]


def grade(course: Course, place: Path, output: Path, gradebook: Path, journal: Path | None = None) -> Graded:
    output.mkdir(exist_ok=True)
    shutil.copy(gradebook, output / "gradebook.db")
    if journal is not None:
        shutil.copy(journal, output / JOURNAL_NAME)
    return Graded(output, grade_class(ClassRun(course, place, output, course.exercises, jobs=2)))


@pytest.fixture(scope="module")
def graded(course: Course, tmp_path_factory: pytest.TempPathFactory, empty_gradebook: Path) -> Graded:
    base = tmp_path_factory.mktemp("bad_input")
    submitted = base / "submitted"
    for student, piece in PIECES.items():
        hand_in(submitted / name_of(student, piece), piece.content)
    hand_in(submitted / "twice" / METRICS.replace("classification", "classification (1).ipynb"), edited(text_only))
    hand_in(submitted / "twice" / f"{METRICS}.ipynb", GOOD.content)
    hand_in(submitted / "Student-01" / f"{METRICS}.ipynb", GOOD.content)
    hand_in(submitted / "student-01" / f"{METRICS}.ipynb", edited(text_only))
    hand_in(submitted / "line\nbreak" / f"{METRICS}.ipynb", GOOD.content)
    hand_in(submitted / "escape\x1b[2J" / f"{METRICS}.ipynb", GOOD.content)
    hand_in(submitted / "elsewhere" / "metrics" / "homework.ipynb", GOOD.content)
    (submitted / "nothing").mkdir()
    secret = hand_in(base / "secret" / f"{METRICS}.ipynb", GOOD.content)
    (submitted / "link" / "metrics").mkdir(parents=True)
    (submitted / "link" / f"{METRICS}.ipynb").symlink_to(secret)
    (submitted / "linked-folder").symlink_to(base / "secret")
    (submitted / "a-folder" / f"{METRICS}.ipynb").mkdir(parents=True)
    (submitted / "a-pipe" / "metrics").mkdir(parents=True)
    os.mkfifo(submitted / "a-pipe" / f"{METRICS}.ipynb")
    return grade(course, submitted, base / "results", empty_gradebook)


def hand_in(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("student", PIECES)
def test_what_becomes_of_it(graded: Graded, student: str) -> None:
    piece = PIECES[student]
    (record,) = graded.records(student, piece.exercise)
    told = "\n".join([record.message, *record.notes, *(check.message for check in record.checks)])
    assert (record.status, record.points) == (piece.status, piece.points), told
    assert piece.message in told
    if piece.outcomes:
        assert {check.outcome for check in record.checks} - {CheckOutcome.PASSED} == piece.outcomes
    if record.status not in (GRADED, SYNTAX_ERROR, TIMED_OUT, CRASHED):
        assert {check.outcome for check in record.checks} == {CheckOutcome.SKIPPED}


def test_a_student_twice_counts_once(graded: Graded) -> None:
    others = {"twice": "classification (1).ipynb", "Student-01": "student-01/metrics/classification.ipynb"}
    for student, other in others.items():
        first, second = graded.records(student)
        assert (first.status, first.points) == (GRADED, FULL)
        assert (second.status, second.points) == (DUPLICATE, 0.0)
        assert second.source.endswith(other)
        assert "counts" in second.message


def test_names_and_links_that_are_refused(graded: Graded) -> None:
    for student in ("line\nbreak", "escape\x1b[2J", "link", "a-pipe"):
        (record,) = graded.records(student)
        assert (record.status, record.points) == (REFUSED, 0.0)
    (record,) = [r for r in graded.result.records if r.student == "linked-folder"]
    assert (record.status, record.exercise) == (REFUSED, "")
    assert "only real files are read" in record.message


def test_what_is_missing_is_told(graded: Graded) -> None:
    (nothing,), (elsewhere,) = graded.records("nothing"), graded.records("elsewhere")
    assert nothing.status is elsewhere.status is MISSING
    assert "homework.ipynb" in elsewhere.message
    (folder,) = graded.records("a-folder")
    assert folder.status is MISSING, "a folder with the name of a notebook is none"


def test_output_without_end_is_cut(graded: Graded) -> None:
    (record,) = graded.records("output")
    assert len(record.output) < 70_000
    assert record.output.endswith("[output cut here]")


def test_nothing_is_the_grader_s_fault(graded: Graded) -> None:
    faults = [record for record in graded.result.records if record.status is SubmissionStatus.GRADER_ERROR]
    assert not faults, [(record.student, record.message) for record in faults]


def test_the_reports_are_whole_and_within_their_folder(graded: Graded, course: Course) -> None:
    with (graded.output / "grades.csv").open(newline="", encoding="utf-8") as file:
        grades = {row["student"]: row for row in csv.DictReader(file)}
    for student in GOOD_STUDENTS:
        shown = f"'{student}" if student[0] in "=-" else student
        assert grades[shown][METRICS] == "10", "whatever the others do, and whatever their own names are"
    assert {record.student for record in graded.result.records} >= set(PIECES)
    report = (graded.output / "report.html").read_text(encoding="utf-8")
    for needle in ("<script>alert(1)", "<b>bold", "\x1b", "\x00"):
        assert needle not in report
    pages = list((graded.output / "feedback").rglob("*.html"))
    assert len(pages) >= len(PIECES)
    for page in pages:
        assert page.relative_to(graded.output).as_posix().isascii()
        assert "<script>alert(1)" not in page.read_text(encoding="utf-8")
    names = {path.name for path in graded.output.parent.iterdir()}
    assert names == {"submitted", "secret", "results"}, "nothing was written outside"


def test_the_gradebook_holds_what_it_can(graded: Graded, course: Course) -> None:
    from nbgrader.api import Gradebook

    with Gradebook(graded.result.gradebook) as gradebook:
        students = {student.id for student in gradebook.students}
        for student in ("ada", "Zoë Łukasiewicz", "truncated", "loop", "Student-01"):
            notebook = gradebook.find_submission_notebook("classification", "metrics", student)
            auto = sum(grade.auto_score or 0.0 for grade in notebook.grades)
            assert auto == graded.records(student)[0].points
    assert not students & {"line\nbreak", "escape\x1b[2J", "student-01"}
    assert any("line" in note for note in graded.result.notes), "and says whom it cannot hold"


# --- the same class, packed otherwise --------------------------------------------------------------------------------


def outcomes(graded: Graded) -> dict[tuple[str, str], tuple[SubmissionStatus, float, str]]:
    """What became of the pieces, without what only one way of handing in can have."""
    return {
        (record.student, record.exercise): (record.status, record.points, record.message)
        for record in graded.result.records
        if record.student in PIECES and record.status is not MISSING
    }


def test_the_same_in_a_flat_folder(course: Course, graded: Graded, tmp_path: Path, empty_gradebook: Path) -> None:
    for student, piece in PIECES.items():
        hand_in(tmp_path / "flat" / name_of(student, piece, flat=True), piece.content)
    hand_in(tmp_path / "flat" / "ada_classification (1).ipynb", edited(text_only))
    hand_in(tmp_path / "flat" / "bob_homework.ipynb", GOOD.content)
    (tmp_path / "flat" / "eve_classification.ipynb").symlink_to(PERFECT / f"{METRICS}.ipynb")
    flat = grade(course, tmp_path / "flat", tmp_path / "results", empty_gradebook, graded.output / JOURNAL_NAME)
    assert flat.records("ada")[1].status is DUPLICATE
    assert outcomes(flat) == {**outcomes(graded), ("ada", METRICS): (DUPLICATE, 0.0, flat.records("ada")[1].message)}
    assert flat.records("ada")[0].points == FULL
    assert [r.status for r in flat.result.records if r.student in ("bob_homework", "eve")] == [REFUSED, REFUSED]


def test_the_same_in_a_zip_with_hostile_entries(
    course: Course, graded: Graded, tmp_path: Path, empty_gradebook: Path
) -> None:
    archive = tmp_path / "class.zip"
    hostile = ["../x/metrics/classification.ipynb", "/tmp/x/classification.ipynb", "..\\..\\y\\classification.ipynb"]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in hostile:
            bundle.writestr(name, GOOD.content)
        for student, piece in PIECES.items():
            bundle.writestr(f"submitted/{name_of(student, piece)}", piece.content)
    zipped = grade(course, archive, tmp_path / "results", empty_gradebook, graded.output / JOURNAL_NAME)
    assert outcomes(zipped) == outcomes(graded)
    refused = [record for record in zipped.result.records if record.status is REFUSED]
    assert len(refused) == len(hostile)
    assert all("points outside the archive" in record.message for record in refused)
    assert {path.name for path in tmp_path.iterdir()} == {"class.zip", "results"}
    assert not (tmp_path.parent / "x").exists() and not Path("/tmp/x/classification.ipynb").exists()
    copy = zipped.output / "autograded" / "ada" / f"{METRICS}.ipynb"
    assert "reliability diagram" in copy.read_text(encoding="utf-8"), "the written answer can be read by a person"


# --- the grader's own processes --------------------------------------------------------------------------------------


def test_nobody_pays_for_a_warm_process_that_dies(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_gradebook: Path
) -> None:
    from grader.grading import class_grading

    engines = []

    class Watched(class_grading.LocalEngine):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            engines.append(self)

    monkeypatch.setattr(class_grading, "LocalEngine", Watched)
    for number in range(6):
        hand_in(tmp_path / "submitted" / f"student-{number}" / f"{METRICS}.ipynb", GOOD.content)
    killed = []

    def on_result(record: ResultRecord, reused: bool) -> None:
        if len(killed) < 2:  # once the students' one, once the checks' one, while the other thread is at work
            warm = engines[0].warm_processes
            exercise = course.exercise(METRICS)
            server = warm.checks(exercise) if killed else warm.students(exercise.framework)
            process = server.process_id
            os.kill(process, 9)
            killed.append(process)

    output = tmp_path / "results"
    output.mkdir()
    shutil.copy(empty_gradebook, output / "gradebook.db")
    run = ClassRun(course, tmp_path / "submitted", output, course.exercises, jobs=2)
    result = grade_class(run, on_result=on_result)
    assert [(r.status, r.points, r.message) for r in result.records] == [(GRADED, FULL, "")] * 6
