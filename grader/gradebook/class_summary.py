"""What a class did, as plain data; `grader.gradebook.summary` makes it from result records."""

from __future__ import annotations

from dataclasses import dataclass

from grader.checking.outcome import SubmissionStatus
from grader.gradebook.item_analysis import CheckStatistics, beyond_chance

# Nothing of the student's own was handed in.
NOTHING_OF_THEIR_OWN = frozenset({SubmissionStatus.MISSING, SubmissionStatus.UNTOUCHED})


@dataclass(frozen=True)
class Cell:
    """One student's result in one exercise."""

    exercise: str
    status: SubmissionStatus
    points: float
    max_points: float

    @property
    def complete(self) -> bool:
        """Whether every point was earned."""
        return self.max_points > 0 and self.points >= self.max_points


@dataclass(frozen=True)
class StudentRow:
    """All results of one student; `cells` are in the order of the summary's exercises."""

    student: str
    cells: tuple[Cell, ...]
    diagnoses: tuple[tuple[str, str], ...] = ()  # (exercise, id)

    @property
    def points(self) -> float:
        """Points over all exercises."""
        return sum(cell.points for cell in self.cells)

    @property
    def max_points(self) -> float:
        """Points that could be earned, exercises that were not handed in included."""
        return sum(cell.max_points for cell in self.cells)

    @property
    def share(self) -> float:
        """Points earned as a share of all points; 0 when there are none."""
        return self.points / self.max_points if self.max_points else 0.0

    @property
    def handed_in(self) -> int:
        """Number of exercises with something of the student's own in them."""
        return sum(cell.status not in NOTHING_OF_THEIR_OWN for cell in self.cells)


@dataclass(frozen=True)
class DiagnosisCount:
    """How many submissions behave like one catalogued misconception."""

    exercise: str
    id: str
    title: str
    explanation: str
    exact: int
    students: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of submissions, exact and partial matches together."""
        return len(self.students)


@dataclass(frozen=True)
class GradingTime:
    """Wall time of grading one submission of an exercise, in seconds; of the students' own time nothing is known."""

    median: float
    longest: float
    total: float


@dataclass(frozen=True)
class ExerciseStatistics:
    """One exercise over the class. `mean` and `median` are points of the attempted submissions, None without any.

    `discrimination` is the correlation of its points with those of all other exercises together, over the students who
    tried it. `minutes` is what the course promises that the exercise takes; `time` is None where nothing was run.
    `prerequisites` are the ids of the exercises it builds on.
    """

    exercise: str
    topic: str
    slug: str
    title: str
    max_points: float
    graded: int
    not_handed_in: int
    complete: int
    mean: float | None
    median: float | None
    checks: tuple[CheckStatistics, ...]
    diagnoses: tuple[DiagnosisCount, ...]
    minutes: int = 0
    discrimination: float | None = None
    time: GradingTime | None = None
    prerequisites: tuple[str, ...] = ()

    @property
    def reversed(self) -> bool:
        """Whether those who do well elsewhere do worse here, by more than chance."""
        return self.discrimination is not None and beyond_chance(self.discrimination, self.graded)

    @property
    def mean_share(self) -> float | None:
        """The mean as a share of all points."""
        return None if self.mean is None or not self.max_points else self.mean / self.max_points


@dataclass(frozen=True)
class SubmissionProblem:
    """A submission that a person has to look at."""

    student: str
    exercise: str
    status: SubmissionStatus
    message: str
    source: str = ""


@dataclass(frozen=True)
class IdenticalSubmissions:
    """Submissions of several students with the same bytes: graded once, and the result used for all of them."""

    exercise: str
    submission_hash: str
    students: tuple[str, ...]
    points: float
    max_points: float


@dataclass(frozen=True)
class ClassSummary:
    """Everything the class report and the grade tables show. Exercises nobody was recorded for are left out."""

    title: str
    version: str
    topics: tuple[tuple[str, str], ...]  # (id, title), in the course's order
    exercises: tuple[ExerciseStatistics, ...]
    students: tuple[StudentRow, ...]
    diagnoses: tuple[DiagnosisCount, ...]  # most common first
    problems: tuple[SubmissionProblem, ...]  # most urgent first
    identical: tuple[IdenticalSubmissions, ...]
