"""The Ray engine on a real cluster of two nodes: the local engine's results, whatever becomes of actors and nodes."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import load_course
from grader.grading.class_grading import ClassRun, grade_class
from grader.grading.collect import CollectedSubmission
from grader.grading.journal import JOURNAL_NAME
from grader.grading.on_ray import messages
from grader.grading.on_ray.arrival import FOLDER_PREFIX, remove_left_over_folders
from grader.grading.on_ray.cluster_engine import ClusterEngine
from grader.grading.on_ray.connection import connection
from grader.grading.on_ray.course_bundle import make_bundle
from grader.grading.on_ray.errors import ClusterError
from grader.grading.on_ray.node_grading import NodeGrading, version_differences
from grader.grading.on_ray.work_queue import ATTEMPTS, WorkQueue
from grader.grading.regrading import regrade
from grader.grading.submission_engine import EngineKind
from grader.grading.submission_grading import SubmissionReader
from grader.libraries import LibraryMissing
from grader.notebooks.submission import read_submission
from grader.sandbox.confinement import missing_protections
from tests.grader import waiting

ROOT = Path(__file__).resolve().parents[2]
COURSE = load_course(ROOT)
EXERCISE = COURSE.exercise("metrics/classification")
SAMPLE = ROOT / "tests/sample_class/submitted"
STUDENTS = ("student-01", "student-04", "student-06", "student-13")
LOOKS_AROUND = """
import os
print(sorted(os.environ))
try:
    import socket
    socket.socket()
    print("a socket")
except OSError as error:
    print(type(error).__name__)
"""

can_confine = pytest.mark.skipif(bool(missing_protections(COURSE.allow_degraded)), reason="this machine cannot confine")
has_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
eventually = partial(waiting.eventually, seconds=15.0)


def hand_in(folder: Path, student: str, origin: str, more_code: str = "") -> None:
    """A notebook of the sample class in another student's name, with one more cell."""
    notebook = json.loads((SAMPLE / origin / f"{EXERCISE.id}.ipynb").read_text(encoding="utf-8"))
    cell = {"cell_type": "code", "execution_count": 1, "id": "more", "metadata": {}, "outputs": [], "source": more_code}
    notebook["cells"] += [cell] if more_code else []
    path = folder / student / f"{EXERCISE.id}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")


def without_times(record: ResultRecord) -> ResultRecord:
    return replace(record, seconds=0.0, checks=tuple(replace(check, seconds=0.0) for check in record.checks))


# -- the queue --------------------------------------------------------------------------------------------------------


class TestTheQueue:
    def queue(self, items: int) -> WorkQueue[int]:
        queue: WorkQueue[int] = WorkQueue()
        for item in range(items):
            queue.add(item)
        return queue

    def handed_out(self, queue: WorkQueue[int], node: str, slots: int = 2, others: bool = True) -> list[int]:
        return list(iter(lambda: queue.next_for(node, slots, others), None))

    def test_a_node_gets_what_it_can_do_and_one_more(self):
        queue = self.queue(10)
        assert self.handed_out(queue, "a") == [0, 1, 2]
        assert self.handed_out(queue, "b", slots=4) == [3, 4, 5, 6, 7]
        assert queue.finish("a", 1)
        assert self.handed_out(queue, "a") == [8]

    def test_a_result_counts_once(self):
        queue = self.queue(1)
        assert self.handed_out(queue, "a") == [0]
        assert queue.lose("a") == []
        assert not queue.finish("a", 0), "the answer of a node that was given up comes late"
        assert self.handed_out(queue, "b") == [0]
        assert queue.finish("b", 0) and not queue.finish("b", 0)
        assert len(queue) == 0

    def test_what_was_on_a_lost_node_is_graded_alone_and_elsewhere(self):
        queue = self.queue(6)
        assert self.handed_out(queue, "a", slots=1) == [0, 1]
        assert queue.lose("a") == []
        assert self.handed_out(queue, "a", slots=1) == [2, 3], "the node that was lost with them gets others"
        first = self.handed_out(queue, "b")
        assert len(first) == 1 and first[0] in (0, 1)
        assert queue.finish("b", first[0])
        second = self.handed_out(queue, "b")
        assert {*first, *second} == {0, 1} and queue.finish("b", second[0])
        assert self.handed_out(queue, "b") == [4, 5]

    def test_who_ends_every_node_is_given_up_and_nobody_else(self):
        queue = self.queue(5)
        given_up: list[int] = []
        losses = 0
        done: set[int] = set()
        while len(queue):
            at_work = self.handed_out(queue, "only", others=False)
            if 3 in at_work:
                given_up += queue.lose("only")
                losses += 1
            else:
                for item in at_work:
                    queue.finish("only", item)
                    done.add(item)
            assert losses <= ATTEMPTS + 1
        assert given_up == [3] and done == {0, 1, 2, 4}


# -- what travels -----------------------------------------------------------------------------------------------------


def test_a_submission_arrives_as_it_was_sent() -> None:
    broken = "x = 1\n# %%\ndef f(:\n    pass\n# %%\ny = '\\ud800 é'\n"
    submission = read_submission(broken.encode())
    collected = CollectedSubmission("Zoë", EXERCISE.id, "a.ipynb", Path("/somewhere/a.ipynb"))
    assert submission.syntax_errors
    text = messages.request(EXERCISE, collected, submission)
    assert messages.read_request(text) == (EXERCISE.id, collected, submission)


def test_the_bundle_is_all_that_a_node_needs(tmp_path: Path) -> None:
    bundle = make_bundle(COURSE, [EXERCISE])
    assert bundle == make_bundle(COURSE, [EXERCISE]), "the same files are the same bytes"
    with zipfile.ZipFile(BytesIO(bundle.data)) as archive:
        archive.extractall(tmp_path)
    code = "import grader.grading.on_ray.node_grading as n; from grader.course import load_course; print(n.__file__);"
    code += f"load_course().exercise({EXERCISE.id!r}).checks_path.read_bytes()"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "COURSE_ROOT": str(tmp_path)}
    finished = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith(str(tmp_path))


def test_a_node_with_other_versions_is_refused(tmp_path: Path) -> None:
    expected = {"numpy": {"python": "3.0.0", "confinement": "landlock+seccomp", "numpy": "0.1"}}
    settings = messages.NodeSettings((EXERCISE.id,), 0, False, expected)
    node = NodeGrading(ROOT, settings.to_json())
    reason = node.begin()
    assert "numpy" in reason and "instead of 0.1" in reason and "instead of 3.0.0" in reason
    assert version_differences({"a": "1"}, {}) == ["a missing instead of 1"]
    assert json.loads(node.grade("{}"))["fault"], "a node that was refused grades nothing"


def test_folders_of_killed_actors_are_removed_and_those_of_living_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living, dead, strange = (tmp_path / f"{FOLDER_PREFIX}{name}" for name in ("living", "dead", "strange"))
    for folder in (living, dead, strange):
        folder.mkdir()
    (dead / "in-use").touch()
    (tmp_path / f"{FOLDER_PREFIX}link").symlink_to(strange)
    with (living / "in-use").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        remove_left_over_folders()
        assert living.exists() and strange.exists() and not dead.exists()


# -- no cluster -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "cannot be reached: Connection refused"),
        ("somewhere", "is not HOST:PORT"),
        ("127.0.0.1:99999", "is not HOST:PORT"),
        ("ray://127.0.0.1:10001", "run this command on a machine of the cluster"),
    ],
)
@has_ray
def test_an_address_that_leads_nowhere(address: str, message: str) -> None:
    with pytest.raises(ClusterError, match=message), connection(address):
        pass


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LibraryMissing, match=r'ray is not installed; run: .* -e "\.\[ray\]"'), connection("x:1"):
        pass


@pytest.mark.parametrize("name", ["grade", "regrade"])
def test_an_address_without_the_engine_is_a_mistake(name: str) -> None:
    command = [sys.executable, "-m", "grader.cli", name, str(SAMPLE), "--address", "127.0.0.1:1"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 2 and "--engine ray" in finished.stderr


# -- a cluster --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """Where the nodes put their temporary files: a short path, since the name of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def cluster(temporary: Path) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20}
        cluster = Cluster(initialize_head=True, head_node_args=node)
        cluster.add_node(**node)
    yield cluster
    cluster.shutdown()


def actors(cluster: Any) -> list[int]:
    """Processes of the actors on the cluster's nodes."""
    raylets = [node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()]
    found = []
    for process in [worker for raylet in raylets for worker in children(raylet)]:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::NodeActor"):
                found.append(process)
    return found


def children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def kill_node(cluster: Any, node: Any) -> None:
    """What happens when a machine is switched off: everything on it ends at once."""
    raylet = node.all_processes["raylet"][0].process.pid
    workers = children(raylet)
    assert workers
    cluster.remove_node(node, allow_graceful=False)
    for process in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def grade(folder: Path, output: Path, address: str | None = None, on_result: Any = None) -> Any:
    kind = EngineKind.LOCAL if address is None else EngineKind.RAY
    run = ClassRun(COURSE, folder, output, (EXERCISE,), jobs=1, engine=kind, address=address)
    return grade_class(run, on_result=on_result)


@has_ray
@can_confine
class TestACluster:
    def test_the_results_are_those_of_the_local_engine(self, cluster: Any, temporary: Path, tmp_path: Path) -> None:
        for student in STUDENTS:
            hand_in(tmp_path / "submitted", student, student)
        hand_in(tmp_path / "submitted", "student-20", "student-01", LOOKS_AROUND)
        hand_in(tmp_path / "submitted", "student-21", "student-01", "def broken(:")
        local = grade(tmp_path / "submitted", tmp_path / "local")
        spread = grade(tmp_path / "submitted", tmp_path / "spread", cluster.address)
        snooper = next(record for record in spread.records if record.student == "student-13")
        assert "read the solution -> FileNotFoundError" in snooper.output, "solutions do not even come to a node"
        for result in (local, spread):
            records = [replace(one, output="") if one.student == snooper.student else one for one in result.records]
            result.records = [without_times(record) for record in records]
        assert spread.records == local.records
        assert {record.status for record in spread.records} == {SubmissionStatus.GRADED}
        assert any(record.diagnoses for record in spread.records), "a diagnosis is made on the node"
        looked = next(record for record in spread.records if record.student == "student-20")
        assert "PermissionError" in looked.output and "a socket" not in looked.output
        assert "HOME" in looked.output and "RAY" not in looked.output.upper(), "Ray is out of a student's sight"
        assert eventually(lambda: not actors(cluster)), "no actor goes on"
        assert not list(temporary.glob(f"{FOLDER_PREFIX}*")), "no folder is left"

    def test_regrading_runs_there_too(self, cluster: Any, tmp_path: Path) -> None:
        for student in STUDENTS[:3]:  # the fourth prints what it sees of the machine
            hand_in(tmp_path / "submitted", student, student)
        grade(tmp_path / "submitted", tmp_path / "results")
        run = ClassRun(COURSE, tmp_path / "submitted", tmp_path / "results", (EXERCISE,), jobs=1, seed=1)
        regraded = regrade(replace(run, engine=EngineKind.RAY, address=cluster.address))
        local = grade_class(replace(run, output=tmp_path / "local"))
        assert [without_times(one) for one in regraded.result.records] == list(map(without_times, local.records))
        assert regraded.result.reused == 0 and {one.seed for one in regraded.result.records} == {1}

    def test_nothing_is_lost_with_an_actor_or_a_node(self, cluster: Any, temporary: Path, tmp_path: Path) -> None:
        slow = "import time\ntime.sleep(0.5)"
        for number in range(8):
            hand_in(tmp_path / "submitted", f"student-{number}", STUDENTS[number % 2], f"{slow}  # {number}")
        local = grade(tmp_path / "submitted", tmp_path / "local")
        reported: list[str] = []
        nodes = [*cluster.worker_nodes]

        def on_result(record: ResultRecord, reused: bool) -> None:
            reported.append(record.student)
            if len(reported) == 2:
                os.kill(actors(cluster)[0], signal.SIGKILL)
            if len(reported) == 4:
                kill_node(cluster, nodes[0])

        spread = grade(tmp_path / "submitted", tmp_path / "spread", cluster.address, on_result)
        assert [without_times(record) for record in spread.records] == list(map(without_times, local.records))
        journal = [json.loads(line)["student"] for line in (tmp_path / "spread" / JOURNAL_NAME).open()]
        assert sorted(journal) == sorted(reported) == sorted(record.student for record in local.records)
        assert any("was lost in between" in note for note in spread.notes)
        assert eventually(lambda: not actors(cluster)), "no actor goes on"

    def test_a_node_that_joins_later_is_used_and_an_end_leaves_nothing(
        self, cluster: Any, temporary: Path, tmp_path: Path
    ) -> None:
        hand_in(tmp_path, "student-01", "student-01", "import time\ntime.sleep(0.5)")
        collected = CollectedSubmission(
            "student-01", EXERCISE.id, "x", tmp_path / "student-01" / f"{EXERCISE.id}.ipynb"
        )
        engine = ClusterEngine(COURSE, cluster.address, jobs=1, seed=0, confine=True, exercises=[EXERCISE])
        try:
            engine.warm(EXERCISE.framework)
            submission = SubmissionReader(COURSE.version, engine.confinement).read(EXERCISE, collected)
            assert not isinstance(submission, ResultRecord)
            cluster.add_node(num_cpus=1, include_dashboard=False, object_store_memory=80 * 2**20)
            deadline = time.monotonic() + 90
            while len(engine.graded_by_node()) < 2 and time.monotonic() < deadline:
                futures = [engine.submit(EXERCISE, collected, submission) for _ in range(engine.at_once)]
                assert {future.result(60).points for future in futures} == {10.0}
            assert len(engine.graded_by_node()) == 2
            waiting = [engine.submit(EXERCISE, collected, submission) for _ in range(5)]
        finally:
            engine.close()
        assert all(future.done() for future in waiting), "who waits for a result hears of the end"
        assert eventually(lambda: not actors(cluster)), "no actor goes on"
        assert not list(temporary.glob(f"{FOLDER_PREFIX}*")), "no folder is left, not even a killed actor's"
