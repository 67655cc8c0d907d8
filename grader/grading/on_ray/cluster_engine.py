"""Grading on a Ray cluster: one actor a node, each with the local engine's warm processes.

One thread of the driver looks for nodes, hands out submissions and takes in results; `work_queue` decides which
submission goes where. The driver alone makes results known: an answer that comes from an actor that was given up is
never looked at, so every submission has one result, however many nodes graded it.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from grader.checking.record import ResultRecord
from grader.checking.versions import environment_versions
from grader.course import Course, Exercise, Framework
from grader.grading.collect import CollectedSubmission
from grader.grading.engine import confinement_name
from grader.grading.on_ray import arrival, messages
from grader.grading.on_ray.connection import connection
from grader.grading.on_ray.course_bundle import make_bundle
from grader.grading.on_ray.errors import ClusterError
from grader.grading.on_ray.node import ClusterNode, NodeState, node_of, remove_left_over, wait_for
from grader.grading.on_ray.work_queue import ATTEMPTS, WorkQueue
from grader.grading.submission_engine import AHEAD
from grader.libraries import require_libraries
from grader.notebooks.submission import Submission

LOOK_SECONDS = 2.0  # between two looks at which nodes there are
WAIT_SECONDS = 0.2
START_SECONDS = 300.0  # for the first node
PATIENCE_SECONDS = 120.0  # without any node
CLOSE_SECONDS = 20.0
MAX_LOSSES = ATTEMPTS + 2  # of one node's actor, one after the other, without a result between

NO_NODE = "no node of the cluster can grade:\n{nodes}"
NODES_GONE = "no node of the cluster has been there for {seconds:.0f} s; run the same command again to go on:\n{nodes}"
NO_ANSWER = "no answer yet; other work may have its processors (ray status)"
NO_PROCESSORS = "  the cluster has no node with a processor to give"
GIVEN_UP = f"the grading process of a node ended {ATTEMPTS} times while it graded this notebook alone"
ALWAYS_LOST = f"its grading process ended {MAX_LOSSES} times one after the other"
NOT_USED = "Node {name} was not used: {reason}."
WAS_LOST = "Node {name} was lost in between; what it was at was graded again."
BROKEN = "grading on the cluster broke off: {error}"


@dataclass(frozen=True)
class _Task:
    request: str
    result: Future[ResultRecord]


class ClusterEngine:
    """The submission engine of a cluster; see `submission_engine.SubmissionEngine`."""

    def __init__(
        self,
        course: Course,
        address: str | None,
        *,
        jobs: int | None,
        seed: int,
        confine: bool,
        exercises: Sequence[Exercise],
    ) -> None:
        """Connect; nodes are used from `warm` on. `jobs` submissions are graded at once on a node, by default one a
        processor. Raises LibraryMissing, ClusterError."""
        self.confinement = confinement_name(confine)
        self._course, self._jobs, self._exercises = course, jobs, tuple(exercises)
        self._seed, self._confine = seed, confine
        self._open = contextlib.ExitStack()
        self._open.enter_context(connection(address))
        self._nodes: dict[str, ClusterNode] = {}
        self._arriving: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._tasks: dict[int, _Task] = {}
        self._work: WorkQueue[int] = WorkQueue()
        self._number = 0
        self._stopping = threading.Event()
        self._state = threading.Condition()
        self._failure: ClusterError | None = None
        self._thread: threading.Thread | None = None
        self._looked_at = self._last_usable = 0.0
        self._bundle: tuple[Any, str, str] = (None, "", "")

    @property
    def at_once(self) -> int:
        """How many submissions are worth handing over before a result is back; it changes as nodes come and go."""
        return AHEAD * max(1, sum(node.slots for node in list(self._nodes.values()) if node.state is NodeState.READY))

    @property
    def notes(self) -> list[str]:
        """Nodes that were not used or were lost, and why."""
        nodes = list(self._nodes.values())
        refused = [
            NOT_USED.format(name=node.name, reason=node.reason) for node in nodes if node.state is NodeState.REFUSED
        ]
        return refused + [WAS_LOST.format(name=node.name) for node in nodes if node.was_lost]

    def graded_by_node(self) -> dict[str, int]:
        """How many submissions each node graded, by the node's name."""
        return {node.name: node.graded for node in list(self._nodes.values()) if node.graded}

    def warm(self, *frameworks: Framework) -> None:
        """Send the course to the nodes, and wait until the first can grade. Raises LibraryMissing, ClusterError."""
        for framework in frameworks:
            require_libraries(framework)
        if frameworks and self._thread is None:
            self._start(frameworks)
            self._wait_for_a_node()

    def submit(
        self, exercise: Exercise, collected: CollectedSubmission, submission: Submission
    ) -> Future[ResultRecord]:
        """Grade a submission as soon as a node has room."""
        task = _Task(messages.request(exercise, collected, submission), Future())
        self._arriving.put(task)
        if self._failure is not None or self._stopping.is_set():
            self._fail_all(self._failure or ClusterError(BROKEN.format(error="it was closed")))
        return task.result

    def close(self) -> None:
        """Begin nothing more, end every actor, and leave nothing behind on the nodes."""
        self._stopping.set()
        try:
            if self._thread is not None:
                self._thread.join()
                self._close_nodes()
        finally:
            self._open.close()

    # -- starting and stopping ----------------------------------------------------------------------------------------

    def _start(self, frameworks: Sequence[Framework]) -> None:
        import ray

        exercises = [exercise for exercise in self._exercises if exercise.framework in frameworks]
        bundle = make_bundle(self._course, exercises)
        environments = {framework.value: environment_versions(framework, self.confinement) for framework in frameworks}
        ids = tuple(exercise.id for exercise in exercises)
        settings = messages.NodeSettings(ids, self._seed, self._confine, environments)
        # Nodes get this module's text, since they cannot import it before it has unpacked the course.
        ray.cloudpickle.register_pickle_by_value(arrival)
        self._open.callback(ray.cloudpickle.unregister_pickle_by_value, arrival)
        self._bundle = (ray.put(bundle.data), bundle.sha256, settings.to_json())
        self._last_usable = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)
        self._thread.start()

    def _wait_for_a_node(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with self._state:
            while not any(node.state is NodeState.READY for node in self._nodes.values()):
                if self._failure is not None:
                    raise self._failure
                waiting = [node for node in self._nodes.values() if node.state is not NodeState.REFUSED]
                if time.monotonic() > deadline or (self._looked_at and not waiting):
                    raise ClusterError(NO_NODE.format(nodes=self._why_not()))
                self._state.wait(WAIT_SECONDS)

    def _why_not(self) -> str:
        lines = [f"  {node.name}: {node.reason or NO_ANSWER}" for node in self._nodes.values()]
        return "\n".join(lines) or NO_PROCESSORS

    def _close_nodes(self) -> None:
        nodes = [node for node in self._nodes.values() if node.actor is not None]
        with contextlib.suppress(Exception):  # the cluster may be gone
            closing = [node.close() for node in nodes]
            deadline = time.monotonic() + CLOSE_SECONDS
            while closing and time.monotonic() < deadline:
                ready = wait_for(closing, WAIT_SECONDS)
                closing = [reference for reference in closing if reference not in ready]
        for node in nodes:
            node.let_go()
        remove_left_over([node.id for node in self._nodes.values() if node.was_lost], CLOSE_SECONDS)

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._look_for_nodes()
                self._take_in()
                self._hand_out()
                ready = wait_for([one for node in self._nodes.values() for one in node.references], WAIT_SECONDS)
                self._answered(ready)
                self._check_patience()
        except Exception as error:  # whoever waits for a result must hear of it
            self._failure = error if isinstance(error, ClusterError) else ClusterError(BROKEN.format(error=error))
        finally:
            self._fail_all(self._failure or ClusterError(BROKEN.format(error="it was stopped")))
            with self._state:
                self._state.notify_all()

    def _fail_all(self, error: ClusterError) -> None:
        self._take_in()
        for number in list(self._tasks):
            self._settle(number, error)

    def _take_in(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                task = self._arriving.get_nowait()
                self._number += 1
                self._tasks[self._number] = task
                self._work.add(self._number)

    def _look_for_nodes(self) -> None:
        """Use nodes that have joined, and give up those that have left."""
        import ray

        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        there = {str(node["NodeID"]): node for node in ray.nodes() if node["Alive"]}
        with self._state:
            for id, description in there.items():
                known = self._nodes.get(id) or node_of(description, self._jobs)
                if known is not None:
                    self._nodes[id] = known
                    if known.state is NodeState.LOST:
                        known.start(*self._bundle)
            self._looked_at = now
        for node in list(self._nodes.values()):
            if node.state in (NodeState.PREPARING, NodeState.READY):
                if node.id not in there or (node.state is NodeState.READY and not node.watch(now)):
                    self._lose(node)

    def _hand_out(self) -> None:
        ready = [node for node in self._nodes.values() if node.state is NodeState.READY]
        for node in ready:
            while (number := self._work.next_for(node.id, node.slots, len(ready) > 1)) is not None:
                node.grade(number, self._tasks[number].request)

    def _answered(self, ready: Sequence[Any]) -> None:
        import ray

        for node in list(self._nodes.values()):
            for reference in [one for one in node.references if one in ready]:
                if reference not in node.references:
                    break  # the node was lost with an earlier answer
                try:
                    value = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    value = messages.fault(error) if reference in node.asked else json.dumps({"problem": str(error)})
                except ray.exceptions.RayError:
                    self._lose(node)
                    break
                self._answer(node, reference, value)

    def _answer(self, node: ClusterNode, reference: Any, value: Any) -> None:
        if reference == node.there:
            node.there = None
        elif reference == node.prepared:
            node.prepared = None
            problem = json.loads(value)["problem"]
            if problem:
                self._refuse(node, problem)
            with self._state:
                node.state = NodeState.REFUSED if problem else NodeState.READY
                self._state.notify_all()
        else:
            self._result(node, node.asked[reference], value)
            node.asked.pop(reference, None)

    def _result(self, node: ClusterNode, number: int, value: str) -> None:
        try:
            outcome: ResultRecord | Exception = messages.read_answer(value)
        except messages.NodeUnusable as error:
            self._lose(node)
            self._refuse(node, str(error))
            return
        except Exception as error:
            outcome = error
        if self._work.finish(node.id, number):
            node.losses = 0
            node.graded += 1
            self._settle(number, outcome)

    def _settle(self, number: int, outcome: ResultRecord | Exception) -> None:
        """Make a result known, once."""
        task = self._tasks.pop(number, None)
        if task is not None and task.result.set_running_or_notify_cancel():
            if isinstance(outcome, Exception):
                task.result.set_exception(outcome)
            else:
                task.result.set_result(outcome)

    def _lose(self, node: ClusterNode) -> None:
        """A node's actor is gone, and with it what it was at."""
        node.let_go()
        node.was_lost = True
        node.losses += 1
        given_up = self._work.lose(node.id)
        for number in given_up:
            self._settle(number, messages.NodeFault(GIVEN_UP))
            node.losses = 0  # it was not the node
        with self._state:
            node.state = NodeState.LOST
            if node.losses >= MAX_LOSSES:
                self._refuse(node, ALWAYS_LOST)
            self._state.notify_all()

    def _refuse(self, node: ClusterNode, reason: str) -> None:
        node.state, node.reason = NodeState.REFUSED, reason.strip()

    def _check_patience(self) -> None:
        now = time.monotonic()
        if any(node.state is NodeState.READY for node in self._nodes.values()):
            self._last_usable = now
        elif any(node.state is NodeState.PREPARING for node in self._nodes.values()):
            self._last_usable = max(self._last_usable, now - PATIENCE_SECONDS / 2)
        elif now - self._last_usable > PATIENCE_SECONDS:
            raise ClusterError(NODES_GONE.format(seconds=PATIENCE_SECONDS, nodes=self._why_not()))
