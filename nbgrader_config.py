"""Configuration of nbgrader for this course: the same preprocessors that `course build` uses."""

from grader.notebooks.release import configure

configure(get_config())  # type: ignore[name-defined]  # noqa: F821
