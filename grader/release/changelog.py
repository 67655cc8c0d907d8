"""CHANGELOG.md of a bundle: what became of every exercise since the previous release."""

from __future__ import annotations

from collections.abc import Iterator

from grader.checking.versions import short_version
from grader.gradebook.wording import format_points
from grader.release.manifest import Bundle, ReleasedExercise, ReleaseManifest

_TITLE = "# Changelog: {title}\n"
_SECTION = "## {release}\n"
_FIRST = "The first release: {count} exercises, each in version 1.\n"
_NOTHING = "No exercise changed.\n"


def write_changelog(present: ReleaseManifest, previous: ReleaseManifest | None, earlier: str = "") -> str:
    """The changelog of a bundle, newest release first; `earlier` is the text of the previous one's.

    A student's says of the checks only that they changed. The same release again adds nothing.
    """
    title = _TITLE.format(title=present.title)
    before = earlier.partition("\n## ")
    older = f"\n## {before[2]}" if before[2] else ""
    if previous is not None and previous.release == present.release and older:
        return title + older
    lines = [title, _SECTION.format(release=present.release)]
    if previous is None:
        lines.append(_FIRST.format(count=len(present.exercises)))
    else:
        sections = list(_sections(present, previous))
        lines += sections or [_NOTHING]
    return "\n".join(lines) + older


def _sections(present: ReleaseManifest, previous: ReleaseManifest) -> Iterator[str]:
    added = [id for id in present.exercises if id not in previous.exercises]
    removed = [id for id in previous.exercises if id not in present.exercises]
    changed = [
        id
        for id, entry in present.exercises.items()
        if id in previous.exercises and entry.now != previous.exercises[id].now
    ]
    if added:
        yield "Added:\n"
        yield "".join(
            f"- {present.exercises[id].title} (`{id}`), version {present.exercises[id].now.version}\n" for id in added
        )
    if changed:
        yield "Changed:\n"
        for id in changed:
            entry = present.exercises[id]
            yield f"- {entry.title} (`{id}`), version {entry.now.version}: {'; '.join(_general(entry))}"
            if present.bundle is Bundle.INSTRUCTOR:
                yield from (f"  - {detail}" for detail in _details(entry, previous.exercises[id]))
        yield ""
    if removed:
        yield "Not in this release:\n"
        yield "".join(f"- {previous.exercises[id].title} (`{id}`)\n" for id in removed)


def _general(entry: ReleasedExercise) -> list[str]:
    """What changed since the version before, in words that give nothing away."""
    now, before = entry.now, entry.history[-2]
    told = []
    if now.statement != before.statement:
        told.append("the statement changed")
    if now.checks != before.checks:
        told.append("the checks changed")
    for what, old, new in (
        ("points by checks", before.points, now.points),
        ("points for the written answer", before.written_points, now.written_points),
    ):
        if old != new:
            told.append(f"{what}: {format_points(old)} before, {format_points(new)} now")
    return told


def _details(now: ReleasedExercise, before: ReleasedExercise) -> Iterator[str]:
    """Which checks changed; nothing where the previous manifest was a student's, which does not name them."""
    if not before.hidden:
        return
    yield f"checks {short_version(before.now.checks)} → {short_version(now.now.checks)}"
    for name, check in now.hidden.items():
        earlier = before.hidden.get(name)
        if earlier is None:
            yield f"new check `{name}`, {format_points(check.points)} points"
        elif earlier.source != check.source:
            points = ""
            if earlier.points != check.points:
                points = f", {format_points(earlier.points)} → {format_points(check.points)} points"
            yield f"changed check `{name}`{points}"
    yield from (f"check `{name}` is gone" for name in before.hidden if name not in now.hidden)
    yield from (f"changed: {what}" for what in now.shared if now.shared[what] != before.shared.get(what))
