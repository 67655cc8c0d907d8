"""Several processes that train one model: begun by `torchrun`, which names each one's place in the environment.

A run that `torchrun` did not begin is a group of one: every function here then does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import distributed

from grader.capstone.errors import CapstoneError

T = TypeVar("T")


@contextmanager
def process_group() -> Iterator[None]:
    """Join the group that `torchrun` makes, and leave it at the end: NCCL between cards, Gloo between processors.

    Raises CapstoneError when there are more processes than cards on a machine that has any.
    """
    if "LOCAL_RANK" not in os.environ:
        yield
        return
    if not torch.cuda.is_available():
        distributed.init_process_group("gloo")
    else:
        if local_rank() >= (cards := torch.cuda.device_count()):
            raise CapstoneError(
                f"more processes than the {cards} graphics cards here: torchrun --nproc-per-node {cards}"
            )
        device = torch.device("cuda", local_rank())
        torch.cuda.set_device(device)
        distributed.init_process_group("nccl", device_id=device)
    try:
        yield
        wait_for_all()  # one that leaves while another still has something to say to it can take that one down
    finally:
        distributed.destroy_process_group()


def local_rank() -> int:
    """This process's number among those of its machine."""
    return int(os.environ.get("LOCAL_RANK", 0))


def rank() -> int:
    """This process's number."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count_processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes files and talks to people."""
    return (rank() if distributed.is_initialized() else int(os.environ.get("RANK", 0))) == 0


def from_first(find: Callable[[], T]) -> T:
    """What `find` finds in the first process, for all: plain data and tensors. Only that process calls it.

    So every process takes the same turn, even where files or rounding differ between machines.
    """
    if count_processes() == 1:
        return find()
    found = [find() if rank() == 0 else None]
    distributed.broadcast_object_list(found, src=0)
    return found[0]  # type: ignore[return-value]


def wait_for_all() -> None:
    """Return when every process has come here: what the first one wrote before is then there for all."""
    if count_processes() > 1:
        distributed.barrier()
