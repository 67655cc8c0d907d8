"""From `course grade` through nbgrader's formgrader in a real browser to a regrade, feedback and export.

A written answer is graded by hand on formgrader's own page; grading again keeps it, and puts it up for review once the
student has changed the answer.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from grader.cli import main
from grader.course import load_course

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("nbgrader")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
    pytest.mark.filterwarnings("ignore:Object of type"),  # SQLAlchemy, on nbgrader's own sessions
]

ROOT = Path(__file__).resolve().parents[2]
COURSE = load_course(ROOT)
EXERCISE = COURSE.exercise("metrics/classification")
TOKEN, STARTUP_SECONDS = "token", 120
ANSWER = "Because most patients are healthy."


@dataclass
class Class:
    """A folder with submitted/ and results/, of which the second is nbgrader's course directory."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "results"

    def hand_in(self, student: str, answer: str, *, solved: bool) -> None:
        """The stub with a written answer, and with the solution's code if `solved`."""
        notebook = json.loads(EXERCISE.stub_path.read_bytes())
        solution = json.loads(EXERCISE.solution_path.read_bytes())
        code = {cell["id"]: cell["source"] for cell in solution["cells"] if cell["cell_type"] == "code"}
        for cell in notebook["cells"]:
            metadata = cell["metadata"].get("nbgrader", {})
            if metadata.get("grade_id") == "answer":
                cell["source"] = answer
            elif metadata.get("solution") and cell["cell_type"] == "code" and solved:
                cell["source"] = code[cell["id"]]
        folder = self.root / "submitted" / student / EXERCISE.topic
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{EXERCISE.slug}.ipynb").write_text(json.dumps(notebook))
        (folder / "timestamp.txt").write_text("2026-01-12 12:00:00.000000 UTC")
        (folder / "submission_secret.txt").write_text("ab12" * 32)

    def grade(self) -> None:
        with pytest.raises(SystemExit) as exit:
            main(["grade", str(self.root / "submitted"), "--output", str(self.results), "--json"])
        assert not exit.value.code

    def gradebook(self) -> Any:
        from nbgrader.api import Gradebook

        return Gradebook(f"sqlite:///{self.results / 'gradebook.db'}")

    def answer(self, student: str) -> dict[str, Any]:
        """The grade of the written answer and its comment."""
        with self.gradebook() as gradebook:
            place = ("answer", EXERCISE.slug, EXERCISE.topic, student)
            comment = gradebook.find_comment(*place).comment
            return {**gradebook.find_grade(*place).to_dict(), "comment": comment}


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Class]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_ROOT", str(ROOT))
        patch.setenv("PYTHONPATH", str(ROOT))
        root = tmp_path_factory.mktemp("class")
        for name in ("CONFIG", "DATA", "RUNTIME"):
            patch.setenv(f"JUPYTER_{name}_DIR", str(root / "jupyter" / name.lower()))
        handed_in = Class(root)
        handed_in.hand_in("ada", ANSWER, solved=True)
        handed_in.hand_in("bob", f"<img src=x onerror=\"document.title='attacked'\"> {ANSWER}", solved=False)
        handed_in.grade()
        with handed_in.gradebook() as gradebook:
            gradebook.update_or_create_student("ada", first_name="Ada", last_name="Lovelace")
        exchange = root / "exchange"
        (exchange / "multimodal").mkdir(parents=True)
        exchange.chmod(0o777)
        shutil.copy(ROOT / "nbgrader_config.py", handed_in.results)
        with (handed_in.results / "nbgrader_config.py").open("a") as settings:
            settings.write(
                f"\nc = get_config()\nc.Exchange.root = {str(exchange)!r}\nc.CourseDirectory.course_id = 'multimodal'\n"
            )
        yield handed_in


@pytest.fixture(scope="module")
def address(graded: Class) -> Iterator[str]:
    """A Jupyter server in the course directory, with nbgrader's extensions as they are installed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={TOKEN}"]
    log = graded.root / "jupyter.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *options],
            cwd=graded.results,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/api/status?token={TOKEN}", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=60)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.3)
    pytest.fail(f"the Jupyter server did not start:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Page]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1200, "height": 1000})
        page.set_default_timeout(60_000)
        page.goto(f"{address}/tree?token={TOKEN}")  # signs in
        yield page
        chromium.close()


def look_at(page: Page, name: str) -> None:
    """Keep a picture in the folder that SCREENSHOTS names, for a person to look at."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def open_submission(page: Page, address: str, graded: Class, student: str) -> None:
    with graded.gradebook() as gradebook:
        id = gradebook.find_submission_notebook(EXERCISE.slug, EXERCISE.topic, student).id
    page.goto(f"{address}/formgrader/submissions/{id}/")
    page.wait_for_load_state("networkidle")


def wait_until(graded: Class, student: str, name: str, value: Any) -> None:
    """Wait until what was typed into formgrader is in the gradebook: it saves when a box loses the focus."""
    until = time.monotonic() + STARTUP_SECONDS
    while graded.answer(student)[name] != value:
        assert time.monotonic() < until, f"{name} of {student} is {graded.answer(student)[name]!r}, not {value!r}"
        time.sleep(0.2)


def test_formgrader_lists_assignments_and_submissions(page: Page, address: str, graded: Class) -> None:
    page.goto(f"{address}/formgrader/manage_assignments")
    page.locator("td", has_text=EXERCISE.topic).first.wait_for()
    look_at(page, "assignments")
    page.goto(f"{address}/formgrader/manage_submissions/{EXERCISE.topic}")
    row = page.locator("tr", has_text="Lovelace, Ada").first
    row.wait_for()
    look_at(page, "submissions")
    assert "needs manual grading" in row.inner_text()
    worth = sum(exercise.max_points for exercise in COURSE.exercises if exercise.topic == EXERCISE.topic)
    assert f"{EXERCISE.points} / {worth}" in row.inner_text()
    assert "2026-01-12 12:00:00 UTC" in row.inner_text()
    page.goto(f"{address}/formgrader/gradebook/{EXERCISE.topic}/{EXERCISE.slug}")
    page.locator("td", has_text="Submission #2").first.wait_for()
    look_at(page, "grading")
    assert "Lovelace" not in page.locator("body").inner_text(), "nbgrader hides names while one grades"


def test_a_submission_shows_scores_and_comments_and_runs_nothing(page: Page, address: str, graded: Class) -> None:
    open_submission(page, address, graded, "bob")
    page.wait_for_function(
        "$('textarea.comment').toArray().some(box => box.placeholder.startsWith('This is the notebook as'))"
    )
    look_at(page, "submission-of-bob")
    scores = page.evaluate(
        "Object.fromEntries($('input.score').toArray().map(box => [box.id, box.placeholder || box.value]))"
    )
    with graded.gradebook() as gradebook:
        notebook = gradebook.find_submission_notebook(EXERCISE.slug, EXERCISE.topic, "bob")
        kept = {grade.name: grade.auto_score for grade in notebook.grades if grade.auto_score is not None}
    assert kept and {name: float(scores[name]) for name in kept} == kept
    assert page.title() != "attacked"


def test_a_written_answer_graded_in_formgrader_survives(page: Page, address: str, graded: Class) -> None:
    open_submission(page, address, graded, "ada")
    by_hand = {"manual_score": 3.5, "extra_credit": 0.5, "comment": "Say what the baseline is."}
    boxes = ("input#answer", "input#answer_extra_credit", "textarea#answer-comment")
    for box, (name, value) in zip(boxes, by_hand.items(), strict=True):
        page.fill(box, str(value))
        page.locator(box).blur()
        wait_until(graded, "ada", name, value)
    look_at(page, "answer-of-ada")
    kept = {**by_hand, "needs_manual_grade": False}
    assert {name: graded.answer("ada")[name] for name in kept} == kept

    graded.grade()
    assert {name: graded.answer("ada")[name] for name in kept} == kept, "nothing was changed"
    graded.hand_in("ada", ANSWER, solved=False)
    graded.grade()
    assert {name: graded.answer("ada")[name] for name in kept} == kept, "the code was changed, the answer was not"
    graded.hand_in("ada", f"{ANSWER} And so are most tests.", solved=True)
    graded.grade()
    assert {name: graded.answer("ada")[name] for name in by_hand} == by_hand, "a person's work is never thrown away"
    assert graded.answer("ada")["needs_manual_grade"], "another answer is put up for review"
    open_submission(page, address, graded, "ada")
    page.wait_for_function("$('#answer').val() == '3.5'")
    assert page.locator("text=And so are most tests.").count() == 1
    look_at(page, "changed-answer-of-ada")
    page.locator("input#answer").locator("xpath=../..").get_by_text("Resolve").click()
    wait_until(graded, "ada", "needs_manual_grade", False)


def test_nbgraders_feedback_export_and_release_work_on_it(graded: Class) -> None:
    """After the test above, so that there is something of a person's in them."""
    command = [sys.executable, "-m", "nbgrader"]

    def nbgrader(*arguments: str) -> None:
        done = subprocess.run([*command, *arguments], cwd=graded.results, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    ours = graded.results / "feedback" / "ada" / EXERCISE.topic / f"{EXERCISE.slug}.html"
    before = ours.read_bytes()
    nbgrader("generate_feedback", EXERCISE.topic)
    page = graded.results / "nbgrader_feedback" / "ada" / EXERCISE.topic / f"{EXERCISE.slug}.html"
    text = page.read_text()
    assert "Say what the baseline is." in text and "And so are most tests." in text
    assert ours.read_bytes() == before, "the feedback of course grade is left alone"
    nbgrader("release_feedback", EXERCISE.topic)
    released = list((graded.root / "exchange" / "multimodal" / "feedback").glob("*.html"))
    assert page.read_bytes() in [path.read_bytes() for path in released]
    points = (graded.results / "grades.csv").read_bytes()
    nbgrader("export")
    assert (graded.results / "grades.csv").read_bytes() == points, "the table of course grade is left alone"
    with (graded.results / "nbgrader_grades.csv").open(newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert float(rows["ada"]["score"]) == EXERCISE.points + 3.5 + 0.5
    assert rows["ada"]["last_name"] == "Lovelace"
    assert float(rows["bob"]["score"]) == 0.0
