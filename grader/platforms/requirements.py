"""The packages that grading some exercises needs elsewhere, pinned as here: what a bundle's `pip install` asks for."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from grader.course import Course, Exercise
from grader.libraries import FRAMEWORK_LIBRARIES

CONSTRAINTS_NAME = "constraints.txt"
_TOOLKIT = ("hypothesis", "markupsafe", "msgpack", "numpy", "packaging", "pytest", "sandlock")  # what grading imports
_SEPARATORS = re.compile(r"[-_.]+")


def requirements(course: Course, exercises: Sequence[Exercise]) -> str:
    """The text of a requirements file: the toolkit's own packages and whatever stubs and checks import.

    Versions are those of the course's constraints, where it has any.
    """
    pinned = _pinned(course.root / CONSTRAINTS_NAME)
    modules = {library for exercise in exercises for library in FRAMEWORK_LIBRARIES[exercise.framework]}
    for exercise in exercises:
        modules |= _imports(exercise.checks_path.read_text(encoding="utf-8"))
        modules |= _imports_of_notebook(exercise.stub_path)
    packages = metadata.packages_distributions()
    names = {_normal(name) for module in modules for name in packages.get(module, ())[:1]}
    names |= {_normal(name) for name in _TOOLKIT}
    return "".join(f"{pinned.get(name, name)}\n" for name in sorted(names - {_normal("multimodal-course")}))


def constraints(course: Course) -> str:
    """The course's constraints, which pin what the requirements bring with them; empty when it has none."""
    path = course.root / CONSTRAINTS_NAME
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _pinned(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pins = (line.split("#")[0].strip() for line in lines)
    return {_normal(pin.partition("==")[0]): pin for pin in pins if "==" in pin}


def _normal(name: str) -> str:
    return _SEPARATORS.sub("-", name).lower()


def _imports(source: str) -> set[str]:
    """Top-level modules that a source imports, but for Python's own and ours."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"grader"}


def _imports_of_notebook(path: Path) -> set[str]:
    cells: Iterable[dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.is_file() else ()
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]  # type: ignore[arg-type]
    return set().union(*(_imports(source) for source in sources)) if sources else set()
