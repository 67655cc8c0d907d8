"""Grading on a node, by the local engine with its warm processes; the versions there must be the driver's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from grader.behaviours import Diagnostician
from grader.checking.versions import environment_versions
from grader.course import Framework, load_course
from grader.grading.engine import ConfinementUnavailable, LocalEngine
from grader.grading.on_ray import messages
from grader.grading.submission_grading import Grader
from grader.grading.temporary_directory import TemporaryDirectoryError
from grader.libraries import LibraryMissing

_OTHER_VERSIONS = "its versions differ from the driver's, and results must not depend on the node: {differences}"


class NodeGrading:
    """What the actor of a node does once the course is there. Thread-safe."""

    def __init__(self, root: Path, settings: str) -> None:
        """`root` is the unpacked course; `settings` a `NodeSettings` as a message. Raises CourseError."""
        self._course = load_course(root)
        self._settings = messages.NodeSettings.from_json(settings)
        self._cache = root.parent / "diagnosis"
        self._grader: Grader | None = None

    def begin(self) -> str:
        """Start the warm processes; the reason why this node cannot be used, if it cannot."""
        exercises = self._course.select(self._settings.exercises)
        frameworks = tuple(dict.fromkeys(exercise.framework for exercise in exercises))
        try:
            engine = LocalEngine(self._course, confine=self._settings.confine, exercises=exercises, ahead=True)
        except (ConfinementUnavailable, TemporaryDirectoryError) as error:
            return str(error)
        try:
            reason = self._other_versions(frameworks, engine.confinement)
            if not reason:
                engine.warm(*frameworks)
        except LibraryMissing as error:
            reason = str(error)
        if reason:
            engine.close()
            return reason
        self._grader = Grader(engine, Diagnostician(engine, self._cache), self._settings.seed)
        return ""

    def _other_versions(self, frameworks: tuple[Framework, ...], confinement: str) -> str:
        expected: dict[str, str] = {}
        found: dict[str, str] = {}
        for framework in frameworks:
            expected.update(self._settings.environments[framework.value])
            found.update(environment_versions(framework, confinement))
        differences = version_differences(expected, found)
        return _OTHER_VERSIONS.format(differences=", ".join(differences)) if differences else ""

    def grade(self, request: str) -> str:
        """Grade one submission. A fault of ours is an answer too."""
        try:
            if self._grader is None:
                raise messages.NodeFault("this node was not prepared")
            id, collected, submission = messages.read_request(request)
            return messages.answer(self._grader.grade(self._course.exercise(id), collected, submission))
        except TemporaryDirectoryError as error:
            return messages.unusable(error)
        except Exception as error:
            return messages.fault(error)

    def close(self) -> None:
        """End the warm processes."""
        if self._grader is not None:
            self._grader.engine.close()


def version_differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """What a node has in another version than the driver, in words."""
    return [
        f"{name} {found.get(name, 'missing')} instead of {version}"
        for name, version in expected.items()
        if found.get(name) != version
    ]
