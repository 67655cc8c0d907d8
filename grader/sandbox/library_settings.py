"""Settings of the libraries in processes that run submissions, which no environment variable sets."""

from __future__ import annotations

import os
import sys


def keep_torch_on_one_thread() -> None:
    """Of this process and of all that are forked from it.

    After a fork torch replaces its pool of threads when the pool is first asked for. Threads that ask at the same time,
    as those with which transformers loads a model, can find none ("Invalid thread pool!"), so it is asked for at once,
    while there is one.
    """
    set_num_threads = sys.modules["torch"].set_num_threads
    set_num_threads(1)
    os.register_at_fork(after_in_child=lambda: set_num_threads(1))


def leave_tensorflow_graphs_as_they_are() -> None:
    """Run TensorFlow's graphs as they were traced, here and in all processes forked from here.

    To rewrite a graph takes as long as a small model takes to train, and a submission runs each of its graphs a few
    times only: without, Keras's `fit` of a small model takes three quarters of the time. Results differ by rounding at
    most. This only notes the setting; TensorFlow's own threads start later, after the fork.
    """
    sys.modules["tensorflow"].config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
