"""What can be wrong with a cluster as a whole."""

from __future__ import annotations

from grader.grading.submission_engine import EngineStopped


class ClusterError(EngineStopped):
    """The cluster cannot be reached, or none of its nodes can grade; what was graded so far is in the journal."""
