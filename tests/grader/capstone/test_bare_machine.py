"""A GPU machine has torch and transformers; it has neither TensorFlow nor what the grading of notebooks needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"tensorflow", "keras", "nbgrader", "sandlock"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import grader.capstone
import grader.cli.capstone, grader.cli.capstone_display
for module in pkgutil.iter_modules(grader.capstone.__path__, "grader.capstone."):
    importlib.import_module(module.name)
from grader.cli import main
main(["capstone", "train", "--help"])
"""


def test_everything_imports_without_tensorflow_nbgrader_or_sandlock():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "--backbone" in done.stdout
