"""What became of an attack, and what of that is a fault."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from grader.checking.outcome import CheckOutcome
from grader.grading.jobs import JobResult
from grader.grading.running_job import GRACE_SECONDS
from tests.grader.attacks.model import Attack
from tests.grader.attacks.table import Row

MEBIBYTE = 1 << 20
CHECKER_MAY_GROW = 700 * MEBIBYTE  # one message of 64 MiB, what is made of it, and the last one's remains


@dataclass
class Outcome:
    """One attack's run. `honest_points` is what its answer earns without the attack; `memory` are bytes at the peak."""

    attack: Attack
    result: JobResult
    honest_points: float
    canary: str
    error: str = ""
    seconds: float = 0.0
    checker_memory: int = 0
    processes_left: list[int] = field(default_factory=list)
    directories_left: list[str] = field(default_factory=list)

    @property
    def points(self) -> float:
        """What it earned."""
        return sum(check.points for check in self.result.checks)

    @property
    def allowed_seconds(self) -> float:
        """What the engine promises for the limits of the exercise, and as much again for a loaded machine."""
        seconds, total = self.attack.limits.get("seconds", 10), self.attack.limits.get("total_seconds", 60)
        return 2 * (total + 2 * seconds) + GRACE_SECONDS

    @property
    def gains(self) -> list[str]:
        """What it says it got, apart from what is none."""
        lines = [line.removeprefix("GOT ") for line in self.result.output.splitlines() if line.startswith("GOT ")]
        return [line for line in lines if not line.startswith(self.attack.may)] if self.attack.may else lines

    @property
    def refusals(self) -> str:
        """How many of its tries were refused, and how."""
        for line in self.result.output.splitlines():
            if line.startswith("REFUSED "):
                count, _, kinds = line.removeprefix("REFUSED ").partition(" ")
                return f"{count} tries refused ({kinds.replace(':', ' ')})" if int(count) else ""
        return ""

    @property
    def got(self) -> str:
        """What it got, for the table."""
        if self.error:
            return f"THE GRADER RAISED {self.error}"
        gains = self.gains
        if self.points > self.honest_points:
            gains.append(f"{self.points:g} points for an answer worth {self.honest_points:g}")
        if gains:
            return "GOT " + "; ".join(gains)
        said = [line.removeprefix("SAID ") for line in self.result.output.splitlines() if line.startswith("SAID ")]
        parts = said + [self.refusals] * bool(self.refusals)
        kinds = Counter(check.outcome for check in self.result.checks)
        if kinds[CheckOutcome.TIMEOUT]:
            parts.append("stopped by its time limit")
        if kinds[CheckOutcome.CRASHED]:
            first = next(check for check in self.result.checks if check.outcome is CheckOutcome.CRASHED)
            parts.append(first.message.partition(": ")[2].partition("\n")[0].rstrip("."))
        if self.result.out_of_time:
            parts.append("stopped by the limit for the whole notebook")
        if not parts and self.result.remarks:
            parts.append(self.result.remarks[0].partition("stopped with ")[2])
        if not parts:
            lost = [check.message for check in self.result.checks if check.outcome is not CheckOutcome.PASSED]
            lines = [line for line in (lost[0] if lost else "nothing").splitlines() if not line.startswith("Called: ")]
            parts.append(lines[0])
        return "; ".join(parts)

    @property
    def row(self) -> Row:
        """Its line in the table."""
        mark = "" if not self.faults() else " (known)" if self.attack.known else " SUCCEEDED"
        attack = self.attack
        return Row(attack.id, attack.tries, self.got, self.points, self.honest_points, self.seconds, mark)

    def faults(self) -> list[str]:
        """Everything in which the attack succeeded; empty when it failed."""
        result, attack = self.result, self.attack
        everything = " ".join(
            [result.output, result.problem, *result.remarks, *(f"{check}" for check in result.checks)]
        )
        limit = attack.limits.get("output_kilobytes", 64) * 1024
        faults = [f"it got {gain}" for gain in self.gains]
        faults += [f"the grader raised {self.error}"] * bool(self.error)
        faults += ["it read something hidden"] * (self.canary in everything)
        if self.points > self.honest_points:
            faults.append(f"it earned {self.points:g} points, its answer is worth {self.honest_points:g}")
        faults += [f"it made the grader report a problem of its own: {result.problem}"] * bool(result.problem)
        broken = [check for check in result.checks if check.outcome is CheckOutcome.ERROR]
        faults += [f"it broke the check {check.name}: {check.message}" for check in broken[:1]]
        too_long = len(result.output) > limit + 200  # and a line that says that it was cut
        faults += [f"{len(result.output)} characters of its output were kept"] * too_long
        faults += [f"{len(remark)} characters of a remark were kept" for remark in result.remarks if len(remark) > 600]
        if self.seconds > self.allowed_seconds:
            faults.append(f"it kept the grader busy for {self.seconds:.0f} seconds")
        if self.checker_memory > CHECKER_MAY_GROW:
            faults.append(f"it made a process of the grader grow by {self.checker_memory / MEBIBYTE:.0f} MB")
        faults += [f"its process {process} is still there" for process in self.processes_left]
        faults += [f"its directory {directory} is still there" for directory in self.directories_left]
        extra = attack.judge(self) if attack.judge is not None else ""
        return faults + [extra] * bool(extra)
