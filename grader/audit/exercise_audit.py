"""Audits one exercise: what must pass passes, what must fail fails, and by the check named for it."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from grader.audit.mutants import mutants
from grader.catalogue import Catalogue, CatalogueError, WrongAnswer, apply_change, load_catalogue
from grader.checking.outcome import CheckOutcome
from grader.course import Exercise
from grader.grading.engine import LocalEngine
from grader.grading.jobs import Job, JobResult
from grader.notebooks.checks_index import read_checks_index
from grader.notebooks.parsing import parse
from grader.notebooks.submission import read_submission

MINIMUM_ALTERNATIVES = 2
MINIMUM_WRONG_ANSWERS = 5
NOT_REACHED = "not run: the time was used up by the seeds before it"


@dataclass
class ExerciseAudit:
    """What was proven about an exercise, and every gap."""

    exercise: str
    checks: int = 0
    wrong_answers: int = 0
    rejected: int = 0
    alternatives: int = 0
    accepted: int = 0
    mutants: int = 0
    mutants_caught: int = 0
    equivalent: dict[str, str] = field(default_factory=dict)
    survivors: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    seconds_of_checks: float = 0.0


def _full_marks(result: JobResult) -> list[str]:
    """Why a result is not full marks; empty when it is."""
    if result.problem:
        return [result.problem]
    if result.out_of_time or not result.checks:  # what was recorded before an end proves nothing about the rest
        return ["stopped: the whole time was used up" if result.out_of_time else "no check ran"]
    return [
        f"{check.name}: {check.outcome.value}: {check.message}"
        for check in result.checks
        if check.outcome is not CheckOutcome.PASSED
    ]


class Auditor:
    """Runs the audit of exercises through an engine; the executor decides how many jobs run at once."""

    def __init__(self, engine: LocalEngine, executor: Executor, seeds: int) -> None:
        self.engine, self.executor, self.seeds = engine, executor, range(seeds)

    def _submit(
        self,
        exercise: Exercise,
        source: str | tuple[str, ...],
        seed: int,
        *,
        stop: bool = False,
    ) -> Future[JobResult]:
        cells = (source,) if isinstance(source, str) else source
        return self.executor.submit(self.engine.run, Job(exercise, cells, seed=seed, stop_at_first=stop))

    def _submit_all_seeds(
        self, exercise: Exercise, source: str, only: frozenset[str] = frozenset()
    ) -> Future[list[JobResult]]:
        """One job for all seeds; a list of as many results."""
        seed, *more_seeds = self.seeds
        job = Job(exercise, (source,), seed=seed, more_seeds=tuple(more_seeds), only=only)

        def run() -> list[JobResult]:
            first = self.engine.run(job)
            results = [first, *first.more]
            return results + [JobResult(problem=NOT_REACHED)] * (len(self.seeds) - len(results))

        return self.executor.submit(run)

    def audit(self, exercise: Exercise, with_mutants: bool = True) -> ExerciseAudit:
        """Audit one exercise. Gaps are collected, never raised."""
        audit = ExerciseAudit(exercise.id)
        try:
            reference = exercise.reference_path.read_text(encoding="utf-8")
            catalogue = load_catalogue(exercise.catalogue_path)
            self._check_paperwork(exercise, catalogue, audit)
        except (OSError, ValueError) as error:
            audit.gaps.append(str(error))
            return audit
        jobs = [self._submit(exercise, reference, seed) for seed in self.seeds]
        for seed, job in zip(self.seeds, jobs, strict=True):
            audit.gaps += [f"reference, seed {seed}: {why}" for why in _full_marks(job.result())]
        audit.seconds_of_checks = round(sum(check.seconds for check in jobs[-1].result().checks), 3)
        self._audit_stub(exercise, audit)
        self._audit_alternatives(exercise, reference, catalogue, audit)
        self._audit_wrong_answers(exercise, reference, catalogue, audit)
        if with_mutants:
            self._audit_mutants(exercise, reference, catalogue, audit)
        return audit

    def _check_paperwork(self, exercise: Exercise, catalogue: Catalogue, audit: ExerciseAudit) -> None:
        checks = read_checks_index(exercise.checks_path)
        audit.checks = len(checks)
        worth = sum(check.points for check in checks)
        if worth != exercise.points:
            audit.gaps.append(f"the checks are worth {worth:g} points, course.toml says {exercise.points:g}")
        if sum(check.visible for check in checks) != 1:
            audit.gaps.append("exactly one check must be marked @visible")
        if not 4 <= len(checks) - 1 <= 9:
            audit.gaps.append(f"{len(checks) - 1} hidden checks; an exercise has 4 to 9")
        by_name = {check.name: check for check in checks}
        caught = {identifier: check.name for check in checks for identifier in check.catches}
        for entry in catalogue.wrong_answers:
            if entry.caught_by not in by_name:
                audit.gaps.append(f"wrong answer {entry.id}: there is no check {entry.caught_by!r}")
            elif caught.get(entry.id) != entry.caught_by:
                audit.gaps.append(f"wrong answer {entry.id}: {entry.caught_by} does not list it in @catches")
        known = {entry.id for entry in catalogue.wrong_answers}
        audit.gaps += [f"@catches names {name!r}, which is not catalogued" for name in sorted(caught.keys() - known)]
        if len(catalogue.wrong_answers) < MINIMUM_WRONG_ANSWERS:
            audit.gaps.append(
                f"{len(catalogue.wrong_answers)} wrong answers; at least {MINIMUM_WRONG_ANSWERS} are needed"
            )
        if len(catalogue.alternatives) < MINIMUM_ALTERNATIVES:
            audit.gaps.append(f"{len(catalogue.alternatives)} alternatives; at least {MINIMUM_ALTERNATIVES} are needed")

    def _audit_stub(self, exercise: Exercise, audit: ExerciseAudit) -> None:
        if not exercise.stub_path.is_file():
            audit.gaps.append("the stub is not built; run `course build`")
            return
        result = self._submit(exercise, read_submission(exercise.stub_path).code_cells, 0).result()
        earned = sum(check.points for check in result.checks)
        if result.problem or earned:
            audit.gaps.append(f"the stub earns {earned:g} points {result.problem}".strip())
        audit.gaps += [
            f"the stub does not fail cleanly in {check.name}: {check.message}"
            for check in result.checks
            if check.outcome is not CheckOutcome.FAILED
        ]
        audit.gaps += [f"the stub, when run: {remark}" for remark in result.remarks]

    def _audit_alternatives(
        self, exercise: Exercise, reference: str, catalogue: Catalogue, audit: ExerciseAudit
    ) -> None:
        audit.alternatives = len(catalogue.alternatives)
        jobs = {}
        for entry in catalogue.alternatives:
            try:
                source = apply_change(entry, reference)
            except CatalogueError as error:
                audit.gaps.append(str(error))
                continue
            jobs[entry.id] = self._submit_all_seeds(exercise, source)
        for identifier, job in jobs.items():
            reasons = [f"alternative {identifier}: {why}" for result in job.result() for why in _full_marks(result)]
            audit.gaps += reasons[:1]
            audit.accepted += not reasons

    def _audit_wrong_answers(
        self, exercise: Exercise, reference: str, catalogue: Catalogue, audit: ExerciseAudit
    ) -> None:
        audit.wrong_answers = len(catalogue.wrong_answers)
        jobs: list[tuple[WrongAnswer, str, Future[list[JobResult]]]] = []
        for entry in catalogue.wrong_answers:
            try:
                source = apply_change(entry, reference)
            except CatalogueError as error:
                audit.gaps.append(str(error))
                continue
            try:
                parse(source)
            except SyntaxError as error:  # any check rejects what is no program
                audit.gaps.append(f"wrong answer {entry.id} is no program: {error}")
                continue
            jobs.append((entry, source, self._submit_all_seeds(exercise, source, frozenset({entry.caught_by}))))
        for entry, source, job in jobs:
            results = zip(self.seeds, job.result(), strict=True)
            accepted = [seed for seed, result in results if not _rejects(entry, result)]
            if not accepted:
                audit.rejected += 1
                continue
            everything = self._submit(exercise, source, accepted[0]).result()
            audit.gaps.append(_how_it_was_accepted(entry, accepted[0], everything))

    def _audit_mutants(self, exercise: Exercise, reference: str, catalogue: Catalogue, audit: ExerciseAudit) -> None:
        candidates = mutants(reference)
        jobs = [self._submit(exercise, mutant.source, 0, stop=True) for mutant in candidates]
        for mutant, job in zip(candidates, jobs, strict=True):
            if job.result().problem:
                audit.gaps.append(f"mutant {mutant.description}: {job.result().problem}")
                continue
            reason = next((why for part, why in catalogue.equivalent_mutants.items() if part in mutant.description), "")
            survives = not _full_marks(job.result())
            if survives and reason:
                audit.equivalent[mutant.description] = reason
                continue
            audit.mutants += 1
            audit.mutants_caught += not survives
            if survives:
                audit.survivors.append(mutant.description)
        audit.gaps += [
            f"equivalent_mutants: no mutant is described by {part!r}"
            for part in catalogue.equivalent_mutants
            if not any(part in mutant.description for mutant in candidates)
        ]


def _rejects(entry: WrongAnswer, result: JobResult) -> bool:
    """Whether the check named for a wrong answer ran and did not let it pass."""
    named = [check for check in result.checks if check.name == entry.caught_by]
    no_verdict = (CheckOutcome.PASSED, CheckOutcome.ERROR, CheckOutcome.SKIPPED)
    return not result.problem and bool(named) and named[0].outcome not in no_verdict


def _how_it_was_accepted(entry: WrongAnswer, seed: int, result: JobResult) -> str:
    """What to tell about a wrong answer that its named check did not reject, from a run of all checks."""
    if result.problem:
        return f"wrong answer {entry.id}, seed {seed}: {result.problem}"
    others = [check.name for check in result.checks if check.outcome is CheckOutcome.FAILED]
    rejected = f"rejected by {', '.join(others)}" if others else "no check rejects it"
    return f"wrong answer {entry.id}, seed {seed}: {entry.caught_by} lets it pass; {rejected}"
