"""How errors are told to a person at the terminal: one clear message instead of a traceback."""

from __future__ import annotations


def explain(error: BaseException) -> str | None:
    """What to tell a person about an error; None when it is a mistake in the toolkit, which deserves its traceback.

    Every exception class of the toolkit's own is a message for a person; so are a missing library and what the
    operating system refuses.
    """
    if type(error).__module__.partition(".")[0] == "grader":
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return _explain_missing(error.name or "")
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return None


def _explain_missing(module: str) -> str | None:
    library = module.partition(".")[0]
    if library in ("", "grader"):
        return None
    from grader.libraries import explain_missing  # here, because `course --help` never needs it

    return explain_missing(library)
