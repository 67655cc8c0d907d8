"""Write the notebooks of the sample class into `submitted/`.

    python tests/sample_class/make_sample_class.py            write what is missing or out of date
    python tests/sample_class/make_sample_class.py --check    exit with 1 when something is

Each student is a file in `students/` with a function `hand_in`; the same stubs always give the same bytes. What each
notebook should get is in `expected.json`, which is written by hand.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from notebook_maker import Notebook

HERE = Path(__file__).resolve().parent
SUBMITTED = HERE / "submitted"


def all_notebooks() -> list[Notebook]:
    """What the whole class hands in."""
    notebooks = []
    for path in sorted((HERE / "students").glob("student_*.py")):
        module = importlib.import_module(f"students.{path.stem}")
        notebooks += module.hand_in(path.stem.replace("_", "-"))
    return notebooks


def main() -> int:
    """Bring `submitted/` up to date, or say what is not. Returns the exit status."""
    wanted = {SUBMITTED / notebook.path: notebook.to_json() for notebook in all_notebooks()}
    present = {path: path.read_text(encoding="utf-8") for path in SUBMITTED.rglob("*.ipynb")}
    outdated = [path for path in sorted(wanted.keys() | present.keys()) if wanted.get(path) != present.get(path)]
    for path in outdated:
        print(f"out of date: {path.relative_to(HERE)}")
    if "--check" in sys.argv[1:]:
        return 1 if outdated else 0
    for path in outdated:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
