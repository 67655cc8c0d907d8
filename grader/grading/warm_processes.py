"""The warm processes of one engine: which there are, what each is forked from, and that dead ones are started anew.

    first (NumPy) -- students: python, numpy, tensorflow, fastapi
        |        \\- checkers: numpy -- checks of one exercise, of another …
      torch ------- students: torch, transformers
               \\-- checkers: torch -- checks of one exercise, of another …

A check file is imported once, into a process of its own, and forked from there for every submission.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from grader.course import Course, Exercise, Framework
from grader.libraries import FRAMEWORK_LIBRARIES
from grader.sandbox.fork_server import ForkServer, ForkServerError, Serves, Stage

MAX_CHECK_FILES = 16  # kept in memory at once
TORCH_FRAMEWORKS = (Framework.TORCH, Framework.TRANSFORMERS)
# Module, what in an exercise tells that it is needed, and where: a NumPy lesson that names torch.optim must not bring
# torch into its students' processes. The first optimizer imports torch._dynamo, for a second; gradients with given
# output gradients, and attention with masks, import sympy; transformers imports a model when it is first asked for.
_IMPORTED_LATE = (
    ("torch._dynamo", "torch.optim", TORCH_FRAMEWORKS),
    ("matplotlib.pyplot", "matplotlib", tuple(Framework)),
    ("uvicorn.protocols.http.h11_impl", "uvicorn.protocols", (Framework.FASTAPI,)),
    ("prometheus_client", "prometheus_client", (Framework.FASTAPI,)),
    ("transformers.models.clip.modeling_clip", "CLIPModel", (Framework.TRANSFORMERS,)),
    ("transformers.models.bert.modeling_bert", "BertModel", (Framework.TRANSFORMERS,)),
    ("transformers.models.bert.modeling_bert", "BertForSequenceClassification", (Framework.TRANSFORMERS,)),
    ("torch.fx.experimental.symbolic_shapes", "autograd.grad", TORCH_FRAMEWORKS),
    ("torch.fx.experimental.symbolic_shapes", "MultiheadAttention", TORCH_FRAMEWORKS),
)


def checker_framework(framework: Framework) -> Framework:
    """What the checks' own process needs: torch for torch's tensors, otherwise NumPy."""
    return Framework.TORCH if framework in TORCH_FRAMEWORKS else Framework.NUMPY


class WarmProcesses:
    """Starts each server when it is first asked for. Thread-safe."""

    def __init__(self, course: Course, exercises: Sequence[Exercise], directory: Path) -> None:
        """`exercises` are those that will be run; `directory` takes logs and what libraries write on import."""
        self._course, self._exercises, self._directory = course, tuple(exercises), directory
        self._servers: dict[str, ForkServer] = {}
        self._check_files: dict[str, tuple[str, int, int]] = {}  # server -> path, time and size of what it imported
        self._lock = threading.RLock()
        self._closed = False

    def students(self, framework: Framework) -> ForkServer:
        """Where processes for submissions are forked from. Raises ForkServerError."""
        origin = self._torch if framework in TORCH_FRAMEWORKS else self._first
        name = f"students-{framework.value}"

        def start() -> ForkServer:  # reads what the exercises say, which would be too much for every job
            also = ("sandlock", *self._also((framework,), lambda one: (one.reference_path, one.checks_path)))
            return origin().branch(Stage(name, Serves.STUDENTS, FRAMEWORK_LIBRARIES[framework], also))

        return self._get(name, start)

    def checkers(self, framework: Framework) -> ForkServer:
        """Where the processes that import check files are forked from. Raises ForkServerError."""
        libraries = checker_framework(framework)
        origin = self._torch if libraries is Framework.TORCH else self._first
        name = f"checkers-{libraries.value}"

        def start() -> ForkServer:
            frameworks = TORCH_FRAMEWORKS if libraries is Framework.TORCH else ()
            also = self._also(frameworks, lambda one: (one.checks_path,))
            return origin().branch(Stage(name, Serves.CHECKERS, ("grader.checking.runner",), also))

        return self._get(name, start)

    def checks(self, exercise: Exercise) -> ForkServer:
        """Where processes that run the checks of an exercise are forked from. Raises ForkServerError."""
        name = f"checks-{exercise.topic}-{exercise.slug}"
        try:
            status = exercise.checks_path.stat()
        except OSError as error:
            raise ForkServerError(f"the checks cannot be read: {error}") from None
        version = (str(exercise.checks_path), status.st_mtime_ns, status.st_size)
        stage = Stage(name, Serves.CHECKS, checks_path=exercise.checks_path)
        with self._lock:
            if self._check_files.get(name, version) != version:
                self._end(name)
            server = self._get(name, lambda: self.checkers(exercise.framework).branch(stage))
            self._check_files.pop(name, None)
            self._check_files[name] = version  # the last is the one used last
            self._let_go_of_the_oldest()
            return server

    def process_ids(self) -> list[int]:
        """Process numbers of those that are there, for measurement."""
        with self._lock:
            alive = [server for server in self._servers.values() if server.is_alive]
            return [server.process_id for server in alive if server.process_id is not None]

    def close(self) -> None:
        """End them all."""
        with self._lock:
            self._closed = True
            servers = list(self._servers.values())
            self._servers.clear()
        for server in reversed(servers):
            server.close()

    def _first(self) -> ForkServer:
        return self._get("first", lambda: ForkServer.start(self._directory, self._course.root))

    def _torch(self) -> ForkServer:
        return self._get("torch", lambda: self._first().branch(Stage("torch", modules=("torch",))))

    def _get(self, name: str, start: Callable[[], ForkServer]) -> ForkServer:
        with self._lock:
            if self._closed:
                raise ForkServerError("the engine is closed")
            server = self._servers.get(name)
            if server is None or not server.is_alive:
                if server is not None:
                    server.close()
                    del self._servers[name]
                server = self._servers[name] = start()
            return server

    def _also(self, frameworks: Sequence[Framework], paths: Callable[[Exercise], Sequence[Path]]) -> tuple[str, ...]:
        """What these files of the exercises at hand import late, and so every process would import anew."""
        texts = [
            path.read_text(encoding="utf-8")
            for exercise in self._exercises
            if exercise.framework in frameworks
            for path in paths(exercise)
            if path.is_file()
        ]
        wanted = [
            module
            for module, sign, wanted_by in _IMPORTED_LATE
            if set(frameworks) & set(wanted_by) and any(sign in text for text in texts)
        ]
        return tuple(dict.fromkeys(wanted))

    def _let_go_of_the_oldest(self) -> None:
        for name in list(self._check_files)[:-MAX_CHECK_FILES]:
            server = self._servers.get(name)
            if server is None or not server.has_children:
                self._end(name)

    def _end(self, name: str) -> None:
        self._check_files.pop(name, None)
        server = self._servers.pop(name, None)
        if server is not None:
            server.close()
