"""What one submission costs on a node of a Ray cluster: the figures that docs/ray.md plans with.

`python -m grader.bench.ray_figures` starts a cluster of one node on this machine, grades generated submissions of each
framework, and looks at the node's processes: processor time, memory, and the bytes that travel. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from grader.bench.submissions import BenchSubmission, generate, write
from grader.checking.record import ResultRecord
from grader.course import Course, load_course
from grader.grading.collect import CollectedSubmission
from grader.grading.on_ray import messages
from grader.grading.on_ray.cluster_engine import ClusterEngine
from grader.grading.on_ray.course_bundle import make_bundle
from grader.grading.submission_grading import SubmissionReader

PROCESSORS = 2
OBJECT_STORE_BYTES = 80 * 2**20
_TICKS = os.sysconf("SC_CLK_TCK")


def _tree(parents: Sequence[int]) -> list[int]:
    """These processes and all that come from them."""
    parent_of: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent_of[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = list(parents)
    for process in found:
        found += [child for child, parent in parent_of.items() if parent == process]
    return found


def _actors() -> list[int]:
    """The processes of the node's actor among those that this process started."""
    found = []
    for process in _tree([os.getpid()]):
        try:
            if Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::NodeActor"):
                found.append(process)
        except OSError:
            continue
    return found


def _processor_seconds(processes: Sequence[int]) -> float:
    """Of these processes and of their children that have ended."""
    ticks = 0
    for process in processes:
        try:
            ticks += sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:
            continue
    return ticks / _TICKS


def _megabytes(processes: Sequence[int]) -> float:
    """Memory of these processes, what they share counted once (PSS)."""
    kilobytes = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1024


def measure(course: Course, address: str, submissions: Sequence[BenchSubmission], folder: Path) -> dict[str, float]:
    """Grade these submissions to one exercise on the cluster, the first of them to warm up."""
    exercise = submissions[0].exercise
    engine = ClusterEngine(course, address, jobs=PROCESSORS, seed=0, confine=True, exercises=[exercise])
    requests, answers = 0, 0

    def grade(group: Sequence[BenchSubmission]) -> None:
        nonlocal requests, answers
        futures = []
        for one in group:
            path = folder / one.student / exercise.topic / f"{exercise.slug}.ipynb"
            collected = CollectedSubmission(one.student, exercise.id, path.name, path)
            read = reader.read(exercise, collected)
            if isinstance(read, ResultRecord):
                raise SystemExit(f"{path}: {read.message}")
            requests += len(messages.request(exercise, collected, read))
            futures.append(engine.submit(exercise, collected, read))
        answers += sum(len(messages.answer(future.result())) for future in futures)

    try:
        engine.warm(exercise.framework)
        reader = SubmissionReader(course.version, engine.confinement)
        grade(submissions[:PROCESSORS])
        actors = _actors()
        before, started, own = _processor_seconds(_tree(actors)), time.perf_counter(), time.process_time()
        grade(submissions[PROCESSORS:])
        seconds, own = time.perf_counter() - started, time.process_time() - own
        processes = _tree(actors)
        graded = len(submissions) - PROCESSORS
        return {
            "submissions": graded,
            "processor_seconds_each": round((_processor_seconds(processes) - before) / graded, 3),
            "driver_processor_seconds_each": round(own / graded, 4),
            "seconds_each": round(seconds / graded, 3),
            "warm_up_processor_seconds": round(before, 1),
            "warm_megabytes": round(_megabytes(processes)),
            "request_kilobytes": round(requests / len(submissions) / 1024, 1),
            "answer_kilobytes": round(answers / len(submissions) / 1024, 1),
            "course_kilobytes": round(len(make_bundle(course, [exercise]).data) / 1024),
        }
    finally:
        engine.close()


def main() -> None:
    """Entry point of `python -m grader.bench.ray_figures`."""
    parser = argparse.ArgumentParser(prog="python -m grader.bench.ray_figures", description=__doc__)
    parser.add_argument("--students", type=int, default=22, help="submissions an exercise (default 22, 66 in all)")
    arguments = parser.parse_args()
    if arguments.students <= PROCESSORS:
        parser.error(f"--students must be more than {PROCESSORS}, which warm up")
    from ray.cluster_utils import Cluster

    course = load_course()
    submissions = generate(course, arguments.students)
    options = {"num_cpus": PROCESSORS, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    print("Starting a cluster of one node …", file=sys.stderr)
    cluster = Cluster(initialize_head=True, head_node_args=options)
    try:
        with tempfile.TemporaryDirectory(prefix="course-ray-figures-") as directory:
            write(submissions, Path(directory))
            for exercise in dict.fromkeys(submission.exercise.id for submission in submissions):
                group = [submission for submission in submissions if submission.exercise.id == exercise]
                figures = measure(course, cluster.address, group, Path(directory))
                print(json.dumps({"exercise": exercise, **figures}), flush=True)
        whole = len(make_bundle(course, course.exercises).data)
        print(json.dumps({"course_megabytes": round(whole / 2**20, 1)}))
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
