"""Automatic mutants: one small change each, only where the student writes, and each a program that runs."""

from __future__ import annotations

import ast
import difflib

import pytest

from grader.audit.mutants import Mutant, mutants, solution_lines
from grader.course import load_course

LESSON = '''# %% [markdown]
# # A lesson

# %%
import math

WIDTH = 4 + 1

# %% tags=["solution"]
def scale(x: int = 3, *, power=2) -> float:
    """Adds 1 + 1."""
    ### BEGIN SOLUTION
    if x <= 0 and not power:
        raise ValueError(f"negative {x + 1}: {-x}")
    total: dict[str, 1 + 1] = {"a": 1.5}
    items = [number for number in range(3)]
    items.append(7)
    x += 2
    return -x * total["a"] ** power
    ### END SOLUTION

# %% tags=["claims"]
claims = {}
### BEGIN SOLUTION
claims.update(first=True, second=1 + 1)
### END SOLUTION

# %%
scale(1 + 1)
'''
TEXT = LESSON.splitlines()


def lesson(*body: str) -> str:
    inner = "\n".join(f"    {line}" for line in body)
    return f"def f(a, b):\n    ### BEGIN SOLUTION\n{inner}\n    ### END SOLUTION\n"


def changes(*body: str) -> list[str]:
    """Bodies of the mutants of a body, one line each, the marks left out."""
    found = mutants(lesson(*body))
    return ["\n".join(mutant.source.splitlines()[1:]).strip() for mutant in found]


class TestWhereTheyAre:
    def test_only_between_the_marks_and_never_in_claims(self):
        begin = TEXT.index("    ### BEGIN SOLUTION") + 1
        end = TEXT.index("    ### END SOLUTION") + 1
        assert solution_lines(LESSON) == set(range(begin + 1, end))

    def test_each_names_its_line(self):
        for mutant in mutants(LESSON):
            number = int(mutant.description.split()[1].rstrip(":"))
            assert number in solution_lines(LESSON)
            assert mutant.description.endswith(f"in `{TEXT[number - 1].strip()}`")

    def test_a_lesson_without_marks_has_none(self):
        assert mutants("x = 1 + 1\n") == []
        assert solution_lines("") == set()


class TestWhatTheyChange:
    @pytest.mark.parametrize(
        ("expression", "changed"),
        [
            ("a + b", {"a - b"}),
            ("a - b", {"a + b"}),
            ("a * b", {"a / b"}),
            ("a / b", {"a * b"}),
            ("a ** b", {"a * b"}),
            ("a // b", {"a / b"}),
            ("a % b", {"a // b"}),
            ("a & b", {"a | b"}),
            ("a < b", {"a <= b"}),
            ("a <= b", {"a < b"}),
            ("a > b", {"a >= b"}),
            ("a >= b", {"a > b"}),
            ("a == b", {"a != b"}),
            ("a != b", {"a == b"}),
            ("a is b", {"a is not b"}),
            ("a is not b", {"a is b"}),
            ("a in b", {"a not in b"}),
            ("a and b", {"a or b"}),
            ("a or b", {"a and b"}),
            ("not a", {"a"}),
            ("-a", {"a"}),
            ("a[0]", {"a[1]"}),
            ("2.0", {"3.0"}),
            ("0.0", {"0.5"}),
            ("True", {"False"}),
            ("(a + b) * -1", {"(a - b) * -1", "(a + b) / -1", "(a + b) * 1", "(a + b) * -2"}),
            ("a < b < 3", {"a < b < 4"}),
            ("a", set()),
            ("'text'", set()),
            ("None", set()),
            ("f'{a}'", set()),
            ("f'{a + b:.3f}'", {"f'{a - b:.3f}'"}),
            ("zip(a, b, strict=True)", set()),
            ("f(a, exact=True)", {"f(a, exact=False)"}),
        ],
    )
    def test_expressions(self, expression, changed):
        assert {change.removeprefix("return ") for change in changes(f"return {expression}")} == changed

    @pytest.mark.parametrize(
        ("statement", "changed"),
        [
            ("a += b", ["a -= b", "pass"]),
            ("a.append(b)", ["pass"]),
            ("raise ValueError(f'{a - 1}')", ["pass"]),
            ("raise", ["pass"]),
            ("a = b", []),
            ("x: list[1 + 1] = a", []),
            ("'a string of documentation'", []),
            ("def inner(x: 1 + 1 = 2) -> 3 + 3: pass", ["def inner(x: 1 + 1=3) -> 3 + 3:\n        pass"]),
        ],
    )
    def test_statements(self, statement, changed):
        assert changes(statement) == changed

    def test_descriptions_say_what_changes(self):
        found = [mutant.description for mutant in mutants(lesson("return -a * 2"))]
        assert found == [
            "line 3: Mult -> Div in `return -a * 2`",
            "line 3: minus dropped in `return -a * 2`",
            "line 3: 2 -> 3 in `return -a * 2`",
        ]


# Its reference calls the library for nearly every decision, so there is little arithmetic or comparison to change.
FEWER_MUTANTS = {"deployment/environment": 7}


class TestAllOfThem:
    def test_they_come_in_the_order_of_the_text(self):
        numbers = [int(mutant.description.split()[1].rstrip(":")) for mutant in mutants(LESSON)]
        assert numbers == sorted(numbers)
        assert len(numbers) > 12

    def test_each_is_a_program_with_exactly_one_change(self):
        original = ast.unparse(ast.parse(LESSON)).splitlines()
        sources = set()
        for mutant in mutants(LESSON):
            ast.parse(mutant.source)
            different = [line for line in difflib.ndiff(original, mutant.source.splitlines()) if line[0] in "-+"]
            assert len(different) == 2, mutant.description
            sources.add(mutant.source)
        assert len(sources) == len(mutants(LESSON))

    def test_code_around_it_claims_and_error_messages_stay_as_they_are(self):
        for mutant in mutants(LESSON):
            assert "WIDTH = 4 + 1" in mutant.source
            assert "second=1 + 1" in mutant.source
            raised = [line for line in mutant.source.splitlines() if "raise" in line]
            assert all("negative {x + 1}: {-x}" in line for line in raised)

    def test_they_run(self):
        behaviours = set()
        for mutant in mutants(LESSON):
            names: dict = {}
            try:
                exec(compile(mutant.source, "mutant", "exec"), names)
                behaviours.add(str([names["scale"](3), names["scale"](1)]))
            except (TypeError, ValueError) as error:
                behaviours.add(repr(error))
        assert len(behaviours) > 5

    @pytest.mark.parametrize("exercise", load_course().exercises, ids=lambda exercise: exercise.id)
    def test_every_reference_has_some(self, exercise):
        found = mutants(exercise.reference_path.read_text(encoding="utf-8"))
        assert len(found) >= FEWER_MUTANTS.get(exercise.id, 10)
        assert all(isinstance(mutant, Mutant) for mutant in found)
