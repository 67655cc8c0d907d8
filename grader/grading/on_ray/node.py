"""A node as the driver sees it: its actor, and what was asked of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from grader.grading.on_ray import arrival

ASK_SECONDS = 20.0  # between two questions whether an actor is there
SILENCE_SECONDS = 120.0  # without an answer to that, it is lost
_WATCH = "watch"  # threads of the actor that no submission takes


class NodeState(Enum):
    """Whether a node is used."""

    PREPARING = "preparing"
    READY = "ready"
    LOST = "lost"  # its actor ended, or the node itself
    REFUSED = "refused"


@dataclass
class ClusterNode:
    """One node and its actor. `slots` submissions are graded there at once; `losses` are those in a row.

    `asked` are the submissions whose results are awaited, by Ray's reference to the result.
    """

    id: str
    name: str
    slots: int
    processors: float
    state: NodeState = NodeState.LOST
    reason: str = ""
    graded: int = 0
    losses: int = 0
    was_lost: bool = False
    actor: Any = None
    prepared: Any = None
    asked: dict[Any, int] = field(default_factory=dict)
    there: Any = None
    asked_at: float = 0.0

    def start(self, bundle: Any, sha256: str, settings: str) -> None:
        """Start an actor there and have it prepared; `bundle` is Ray's reference to the archive."""
        import ray

        remote: Any = ray.remote  # its types know nothing of groups
        self.actor = (
            remote(concurrency_groups={_WATCH: 1})(arrival.NodeActor)
            .options(
                num_cpus=min(float(self.slots), self.processors),
                max_concurrency=self.slots,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy=_on(self.id),
            )
            .remote()
        )
        self.state, self.reason, self.there = NodeState.PREPARING, "", None
        self.prepared = self.actor.prepare.remote(bundle, sha256, settings)

    def grade(self, number: int, request: Any) -> None:
        """Hand over a submission."""
        self.asked[self.actor.grade.remote(request)] = number

    def watch(self, now: float) -> bool:
        """Ask now and then whether the actor is there; False when it has been silent for too long."""
        if self.there is None and now - self.asked_at > ASK_SECONDS:
            self.there, self.asked_at = self.actor.is_there.options(concurrency_group=_WATCH).remote(), now
        return self.there is None or now - self.asked_at <= SILENCE_SECONDS

    @property
    def references(self) -> list[Any]:
        """All answers that are awaited."""
        return [*self.asked, *(reference for reference in (self.prepared, self.there) if reference is not None)]

    def let_go(self) -> None:
        """End the actor at once and forget what was asked of it."""
        import ray

        self.asked.clear()
        self.prepared = self.there = None
        if self.actor is not None:
            with contextlib.suppress(Exception):  # it is dead already, or the cluster is gone
                ray.kill(self.actor)
        self.actor = None

    def close(self) -> Any:
        """Have the actor remove what it wrote; Ray's reference to its answer."""
        return self.actor.close.options(concurrency_group=_WATCH).remote()


def node_of(description: Mapping[str, Any], jobs: int | None) -> ClusterNode | None:
    """The node that Ray describes; None when it has no processors to give."""
    processors = float(description["Resources"].get("CPU", 0.0))
    if processors < 1:
        return None
    id = str(description["NodeID"])
    name = f"{description['NodeManagerHostname']} ({description['NodeManagerAddress']}, node {id[:8]})"
    return ClusterNode(id, name, jobs or int(processors), processors)


def remove_left_over(node_ids: list[str], seconds: float) -> None:
    """Remove what killed actors left on these nodes, waiting for at most so long."""
    import ray

    remove = ray.remote(num_cpus=0, max_retries=0)(arrival.remove_left_over_folders)
    with contextlib.suppress(Exception):  # a node that is gone took it along
        tasks = [remove.options(scheduling_strategy=_on(id)).remote() for id in node_ids]
        if tasks:
            ray.wait(tasks, num_returns=len(tasks), timeout=seconds)


def wait_for(references: list[Any], seconds: float) -> list[Any]:
    """Those references whose answers are there, after waiting for at most so long for the first."""
    import ray

    if not references:
        time.sleep(seconds)
        return []
    first, _ = ray.wait(references, num_returns=1, timeout=seconds)
    if not first:
        return []
    ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
    return list(ready or first)


def _on(node_id: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id, soft=False)
