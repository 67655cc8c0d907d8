"""Ctrl-C, kill -9 and a second grader: nothing goes on running, nothing that was reported is lost or graded twice, the
next run goes on from there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from grader.checking.outcome import SubmissionStatus
from grader.course import load_course
from grader.gradebook.nbgrader_database import write_gradebook
from grader.grading.journal import JOURNAL_NAME, read_journal

pytest.importorskip("nbgrader")
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "tests/sample_class/submitted/student-01/metrics/classification.ipynb"
SLOW = {"cell_type": "code", "execution_count": 1, "id": "slow", "metadata": {}, "outputs": []}
STUDENTS = 8


@pytest.fixture(scope="module")
def empty_gradebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nbgrader takes seconds to make a gradebook, so it is made once and copied."""
    file = tmp_path_factory.mktemp("empty") / "gradebook.db"
    write_gradebook(load_course(ROOT), [], f"sqlite:///{file}")
    return file


@pytest.fixture
def command(tmp_path: Path, empty_gradebook: Path) -> list[str]:
    """Grades eight right notebooks that take their time."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    notebook["cells"].append(SLOW)
    for number in range(STUDENTS):
        notebook["cells"][-1] = {**SLOW, "source": f"# {number}\nimport time\ntime.sleep(1.2)"}  # no two are identical
        path = tmp_path / "submitted" / f"student-{number}" / "metrics" / "classification.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(notebook), encoding="utf-8")
    (tmp_path / "results").mkdir()
    (tmp_path / "temporary").mkdir()
    shutil.copy(empty_gradebook, tmp_path / "results" / "gradebook.db")
    paths = [str(tmp_path / "submitted"), "--output", str(tmp_path / "results")]
    return [sys.executable, "-m", "grader.cli", "grade", *paths, "--jobs", "2", "--json"]


def start(command: list[str], tmp_path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def lines_in(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def processes() -> dict[int, tuple[int, int]]:
    """Parent and session of every process that has not ended."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if state not in "ZX":
                found[int(entry.name)] = (int(parent), int(session))
    return found


def warm_processes(grader: int) -> set[int]:
    """The first of them; the others are forked from it."""
    return {process for process, (parent, _) in processes().items() if parent == grader}


def left_over(warm: set[int]) -> set[int]:
    """The first warm process, and all that was forked from it: it leads a session of its own."""
    return {process for process, (_, session) in processes().items() if process in warm or session in warm}


def run_until_two_results(command: list[str], tmp_path: Path) -> tuple[subprocess.Popen[str], set[int]]:
    """A run that is under way, and its warm processes."""
    journal = tmp_path / "results" / JOURNAL_NAME
    running = start(command, tmp_path)
    try:
        assert wait_for(lambda: lines_in(journal) >= 2 or running.poll() is not None, 60)
        assert running.poll() is None, running.communicate()
        warm = warm_processes(running.pid)
        # Beside the four warm processes, a student's and the one of its checks are running.
        assert wait_for(lambda: len(left_over(warm)) > 4 or running.poll() is not None, 10)
        assert running.poll() is None, running.communicate()
        return running, warm
    except BaseException:
        running.kill()
        raise


def assert_journal_is_whole(journal: Path) -> int:
    data = journal.read_bytes()
    assert data.endswith(b"\n")
    records = list(read_journal(journal))
    assert len(records) == data.count(b"\n") >= 2
    unfair = [record for record in records if (record.status, record.points) != (SubmissionStatus.GRADED, 10.0)]
    assert [getattr(record, "message", record) for record in unfair] == []
    return len(records)


def assert_next_run_goes_on(command: list[str], tmp_path: Path, graded: int) -> None:
    running = start(command, tmp_path)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    answer = json.loads(out)
    assert answer["reused"] == graded, "nothing that was in the journal is graded again"
    unfair = [record for record in answer["records"] if record["points"] != 10.0]
    assert [getattr(record, "message", record) for record in unfair] == []
    assert lines_in(tmp_path / "results" / JOURNAL_NAME) == STUDENTS
    assert (tmp_path / "results" / "report.html").exists()
    assert not list((tmp_path / "results").rglob("*.part")) + list((tmp_path / "results").rglob("*.tmp"))


def test_ctrl_c(command: list[str], tmp_path: Path) -> None:
    running, warm = run_until_two_results(command, tmp_path)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert out == "", "half a result is none"
    assert "stopped; run the same command again" in err and "Traceback" not in err
    assert wait_for(lambda: not left_over(warm), 3), left_over(warm)
    assert not list((tmp_path / "temporary").iterdir()), "temporary files are gone"
    graded = assert_journal_is_whole(tmp_path / "results" / JOURNAL_NAME)
    assert graded < STUDENTS, "it stopped in the middle"
    assert not (tmp_path / "results" / "report.html").exists(), "no report on half a class"
    assert_next_run_goes_on(command, tmp_path, graded)


def test_kill_9(command: list[str], tmp_path: Path) -> None:
    running, warm = run_until_two_results(command, tmp_path)
    running.kill()
    running.communicate(timeout=30)
    assert wait_for(lambda: not left_over(warm), 5), left_over(warm)
    graded = assert_journal_is_whole(tmp_path / "results" / JOURNAL_NAME)
    assert list((tmp_path / "temporary").iterdir()), "a killed grader cannot tidy up"
    assert_next_run_goes_on(command, tmp_path, graded)
    assert not list((tmp_path / "temporary").iterdir()), "the next one does it"


NEVER_ENDS = """
import os, time
os.closerange(3, 200)  # its line as well, so that it does not see that nobody is there any more
while True:
    time.sleep(600)
"""


def test_kill_9_ends_a_submission_that_would_live_on(command: list[str], tmp_path: Path) -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    notebook["cells"].insert(0, {**SLOW, "source": NEVER_ENDS})
    for path in (tmp_path / "submitted").rglob("*.ipynb"):
        path.write_text(json.dumps(notebook), encoding="utf-8")
    running = start(command, tmp_path)
    try:
        students = "students-numpy.log"
        assert wait_for(lambda: list((tmp_path / "temporary").glob(f"course-*/{students}")), 60), "they are starting"
        warm = warm_processes(running.pid)
        # The first, students, checkers and checks of the exercise; and of each submission two processes.
        assert wait_for(lambda: len(left_over(warm)) >= 6, 60), left_over(warm)
        time.sleep(0.5)
    finally:
        running.kill()
        running.communicate(timeout=30)
    assert wait_for(lambda: not left_over(warm), 10), left_over(warm)


@pytest.mark.parametrize("moment", [0.0, 0.4])
def test_kill_9_while_everything_is_starting(command: list[str], tmp_path: Path, moment: float) -> None:
    running = start(command, tmp_path)
    try:
        assert wait_for(lambda: warm_processes(running.pid), 60)
        time.sleep(moment)
        warm = warm_processes(running.pid)
    finally:
        running.kill()
        running.communicate(timeout=30)
    assert wait_for(lambda: not left_over(warm), 20), "they end as soon as they have imported what they were importing"


def test_a_second_grader_on_the_same_class_is_refused(command: list[str], tmp_path: Path) -> None:
    running, _ = run_until_two_results(command, tmp_path)
    try:
        second = start(command, tmp_path)
        out, err = second.communicate(timeout=60)
        assert (second.returncode, out) == (2, "")
        assert f"{tmp_path / 'results'} is in use: process {running.pid} on " in err
        assert "--output" in err and "Traceback" not in err
        out, err = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 0, err
    answer = json.loads(out)
    assert (len(answer["records"]), answer["reused"]) == (STUDENTS, 0)
    assert assert_journal_is_whole(tmp_path / "results" / JOURNAL_NAME) == STUDENTS, "nothing was graded twice"
