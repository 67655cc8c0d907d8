"""The checks' own time: student's code and checks in one process, warm, without sandbox, scheduler or kernel.

`python -m grader.bench.in_process EXERCISE` reads a list of submissions as JSON, each a list of cells, and prints for
each the seconds from loading it to the last verdict, and its points. Everything is run once before it is timed.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence

from grader.course import Exercise, Framework, load_course
from grader.sandbox.fork_server import clean_environment
from grader.sandbox.library_settings import leave_tensorflow_graphs_as_they_are


def time_in_process(exercise: Exercise, submissions: Sequence[Sequence[str]]) -> list[tuple[float, float]]:
    """Seconds that the checks take for each submission, and its points, in a process started for this.

    Raises RuntimeError with the end of what that process said when it failed.
    """
    environment = {**os.environ, **clean_environment(), "PATH": os.environ.get("PATH", "")}
    command = [sys.executable, "-W", "ignore", "-m", "grader.bench.in_process", exercise.id]
    finished = subprocess.run(
        command,
        input=json.dumps([list(cells) for cells in submissions]),
        env=environment,
        capture_output=True,  # TensorFlow greets on standard error
        text=True,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(f"{exercise.id} could not be timed in process:\n{finished.stderr[-2000:]}")
    return [(float(seconds), float(points)) for seconds, points in json.loads(finished.stdout.splitlines()[-1])]


def _check(exercise: Exercise, cells: list[str]) -> tuple[float, float]:
    from grader.checking.in_kernel import InKernelTransport
    from grader.checking.plugin import CheckJob
    from grader.checking.runner import run_checks
    from grader.sandbox.proxy import Session
    from grader.sandbox.student_process import Submission

    session = Session()

    def load(target: Session) -> list[str]:
        submission = Submission()
        remarks = submission.load(cells, [], 0)
        target.transport = InKernelTransport(submission, target, exercise.forbidden)
        return remarks

    run = run_checks(exercise.checks_path, CheckJob(session=session, load=load, explain_end=str, stop=str))
    return sum(record.seconds for record in run.results), sum(record.points for record in run.results)


def main() -> None:
    """Entry point."""
    exercise, submissions = load_course().exercise(sys.argv[1]), json.load(sys.stdin)
    if exercise.framework is Framework.TENSORFLOW:
        importlib.import_module("tensorflow")
        leave_tensorflow_graphs_as_they_are()  # as in the sandbox
    for cells in submissions:
        _check(exercise, cells)
    print(json.dumps([_check(exercise, cells) for cells in submissions]))


if __name__ == "__main__":
    main()
