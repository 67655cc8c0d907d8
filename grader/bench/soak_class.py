"""The class of a soak: the generated class of the measurements, with a tenth of it hostile or broken."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from grader.bench.submissions import BenchSubmission, generate
from grader.course import Course


class Nature(Enum):
    """What a submission is, and so what its result has to be."""

    RIGHT = "right"  # full points
    WRONG = "wrong"  # fewer
    HOSTILE = "hostile"  # whatever it earns, it must neither break the grader nor leave anything behind


@dataclass(frozen=True)
class SoakSubmission:
    """One notebook as it is written to disk."""

    student: str
    exercise: str
    nature: Nature
    content: str


# Code that runs before an answer that is right. What each tries to leave behind or to use up is in its name.
HOSTILITIES = {
    "ends itself": "import os\nos._exit(7)",
    "kills itself": "import os\nos.kill(os.getpid(), 9)",
    "fills its folder": "for number in range(10**6):\n    open(str(number), 'wb').write(bytes(2**20))",
    "nests folders": "import os\nfor _ in range(300):\n    os.mkdir('deeper')\n    os.chdir('deeper')",
    "a folder nobody may read": "import os\nos.makedirs('closed/inside')\nos.mkdir('shut', 0)",
    "holds a deleted file": "import os\nheld = open('held', 'wb')\nos.unlink('held')\nheld.write(bytes(2**24))",
    "many threads": "import threading, time\nfor _ in range(300):\n"
    "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "many descriptors": "held = []\nwhile True:\n    held.append(open('/dev/null'))",
    "too much memory": "held = [bytearray(2**26) for _ in range(10**4)]",
    "closes its line": "import os, time\nos.closerange(3, 200)\ntime.sleep(1)",
    "new processes": "import subprocess\nsubprocess.Popen(['sleep', '600'], start_new_session=True)",
    "talks without end": "for _ in range(20_000):\n    print('x' * 1_000)",
    "deep recursion": "def fall(n):\n    return fall(n + 1)\nfall(0)",
    "broken": "",
    "never ends": "while True:\n    pass",
}
_CODE_CELL: dict[str, Any] = {
    "cell_type": "code",
    "execution_count": None,
    "id": "hostile",
    "metadata": {},
    "outputs": [],
}
_SELDOM = "never ends"  # it takes all the time there is
_SELDOM_EVERY = 4
_ONE_IN = 10


def make_class(course: Course, exercises: tuple[str, ...], count: int) -> list[SoakSubmission]:
    """So many submissions to the exercises, of which a tenth is hostile and the others are as for the measurements.

    Raises OSError when the notebooks are not built, CatalogueError.
    """
    students = -(-count // len(exercises))
    wanted = [entry for entry in generate(course, students) if entry.exercise.id in exercises][:count]
    kinds = [*[kind for kind in HOSTILITIES if kind != _SELDOM] * _SELDOM_EVERY, _SELDOM]
    return [
        _hostile(entry, kinds[number // _ONE_IN % len(kinds)]) if number % _ONE_IN == _ONE_IN - 1 else _plain(entry)
        for number, entry in enumerate(wanted)
    ]


def write_class(submissions: list[SoakSubmission], folder: Path) -> None:
    """Write the notebooks in nbgrader's layout."""
    for submission in submissions:
        path = folder / submission.student / f"{submission.exercise}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(submission.content, encoding="utf-8")


def _plain(entry: BenchSubmission) -> SoakSubmission:
    nature = Nature.RIGHT if entry.right else Nature.WRONG
    return SoakSubmission(entry.student, entry.exercise.id, nature, json.dumps(entry.notebook))


def _hostile(entry: BenchSubmission, kind: str) -> SoakSubmission:
    content = with_hostile_cell(json.dumps(entry.notebook), entry.student, kind)
    return SoakSubmission(entry.student, entry.exercise.id, Nature.HOSTILE, content)


def with_hostile_cell(content: str, student: str, kind: str) -> str:
    """A notebook's text with a cell of this kind of HOSTILITIES before all others, or cut off where it is "broken"."""
    if kind == "broken":
        return content[: len(content) // 2]
    notebook = json.loads(content)
    source = f"# {student}: {kind}\n{HOSTILITIES[kind]}"
    first = next(number for number, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code")
    notebook["cells"].insert(first, {**_CODE_CELL, "source": source})
    return json.dumps(notebook)
