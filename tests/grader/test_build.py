"""Building notebooks: what they hold, that the same sources give the same bytes, and what `check` sees."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from grader.course import Course, load_course
from grader.notebooks.build import BuildError, StaleFile, Staleness, build_course
from grader.notebooks.course_map import BEGIN, END

MANIFEST = """
schema = 1
[course]
name = "small"
title = "A small course"
version = "1.0"
[[topics]]
id = "numbers"
title = "Numbers"
[[exercises]]
id = "numbers/doubling"
title = "Doubling"
kind = "question"
framework = "python"
difficulty = 3
minutes = 25
points = 4.5
written_points = 2
"""

REFERENCE = '''
# %% [markdown]
# # Doubling
#
# Why care.

# %%
import math

# %% tags=["solution", "remove-input"]
def double(number):
    """Twice the number."""
    ### BEGIN SOLUTION
    return secret_of_double(number)
    ### END SOLUTION


class Doubler:
    def __init__(self, factor):
        ### BEGIN SOLUTION
        self.secret_of_init = factor
        ### END SOLUTION

    def apply(self, number):
        ### BEGIN SOLUTION
        return self.secret_of_apply * number
        ### END SOLUTION


# %% [markdown] tags=["answer"]
# The secret model answer.

# %% tags=["claims"]
claims = dict.fromkeys(["two_is_even", "three_is_even"])
### BEGIN SOLUTION
claims.update(
    two_is_even=True,  # the secret reason
    three_is_even=False,
)
### END SOLUTION

# %% tags=["visible-checks", "active-ipynb"]
# assert double(2) == 4
#
# for number in range(2):
#     assert double(number) == 2 * number

# %% tags=["active-ipynb"]
# %matplotlib inline
# print(double(3))

# %% [markdown]
# ## Hints
'''

CHECKS = '''
@visible
@points(1)
def test_worked_example(student):
    """The worked example holds."""


@points(2)
def test_negative(student):
    """A negative number is doubled."""
    secret_of_the_check()


@points(1)
@visible
def test_claims(student):
    """The claims are right."""


@points(0.5)
def test_a_name_that_is_quite_a_bit_longer_than_the_sixty_four_letters_of_a_cell_id(student):
    """A title that is quite a bit longer than what is shown of a line in a narrow browser window."""
'''

SECRETS = ("secret", "run_check", "BEGIN SOLUTION", "HIDDEN TESTS")


@pytest.fixture
def course(tmp_path: Path) -> Course:
    for name, text in [
        ("course.toml", MANIFEST),
        ("reference/numbers/doubling.py", REFERENCE),
        ("tests/checks/numbers/test_doubling.py", CHECKS),
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return load_course(tmp_path)


def notebook(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes())


def built(course: Course) -> tuple[dict[str, Any], dict[str, Any]]:
    build_course(course)
    return notebook(course.exercises[0].solution_path), notebook(course.exercises[0].stub_path)


def by_id(notebook: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {cell["id"]: cell for cell in notebook["cells"]}


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


# --- what the notebooks hold -----------------------------------------------------------------------------------------


def test_roles_become_nbgrader_metadata(course: Course) -> None:
    solution, _ = built(course)
    found = {cell["id"]: cell["metadata"].get("nbgrader") for cell in solution["cells"]}

    def metadata(grade_id: str, points: float | None = None, **flags: bool) -> dict[str, Any]:
        whole = {"schema_version": 3, "grade_id": grade_id, "grade": False, "locked": False, "solution": False}
        whole |= {"task": False, "cell_type": "code", **flags}
        return whole if points is None else {**whole, "points": points}

    long_name = "test_a_name_that_is_quite_a_bit_longer_than_the_sixty_four_letters_of_a_cell_id"
    expected = [
        metadata("text-01", locked=True) | {"cell_type": "markdown"},
        None,
        metadata("solution", solution=True),
        metadata("answer", 2, grade=True, solution=True) | {"cell_type": "markdown"},
        metadata("claims", solution=True),
        metadata("visible-checks", 2, grade=True, locked=True),
        metadata("test_negative", 2, grade=True, locked=True),
        metadata(long_name, 0.5, grade=True, locked=True),
        None,
        metadata("text-02", locked=True) | {"cell_type": "markdown"},
    ]
    assert [value and {k: v for k, v in value.items() if k != "checksum"} for value in found.values()] == expected


def test_a_hidden_check_shows_its_points_and_title_and_runs_by_name(course: Course) -> None:
    solution, stub = built(course)
    assert source(by_id(solution)["test_negative"]).splitlines() == [
        "# Hidden check, 2 points: A negative number is doubled.",
        "### BEGIN HIDDEN TESTS",
        "from grader.checking.in_kernel import run_check",
        'run_check("numbers/doubling", "test_negative", globals())',
        "### END HIDDEN TESTS",
    ]
    assert source(by_id(stub)["test_negative"]) == "# Hidden check, 2 points: A negative number is doubled."
    long_title = source(stub["cells"][-3])
    assert [line.partition(" ")[2] for line in long_title.splitlines()] == [
        "Hidden check, 0.5 points: A title that is quite a bit longer than what is shown of a",
        "line in a narrow browser window.",
    ]


def test_cells_are_those_of_the_reference_without_our_tags(course: Course) -> None:
    solution, stub = built(course)
    cells = by_id(solution)
    assert cells["solution"]["metadata"]["tags"] == ["remove-input"]
    assert not any("tags" in cell["metadata"] for name, cell in cells.items() if name != "solution")
    visible = "assert double(2) == 4\n\nfor number in range(2):\n    assert double(number) == 2 * number"
    assert source(cells["visible-checks"]) == source(by_id(stub)["visible-checks"]) == visible
    assert source(cells["code-02"]) == "%matplotlib inline\nprint(double(3))"
    assert all(cell["execution_count"] is None and not cell["outputs"] for cell in cells.values() if "outputs" in cell)


def test_the_first_cell_says_what_the_manifest_says(course: Course) -> None:
    for made in built(course):
        assert source(made["cells"][0]).splitlines() == [
            "# Doubling",
            "",
            "**Interview question** · difficulty 3 of 5 · about 25 minutes · "
            "4.5 points by checks and 2 for the written answer",
            "",
            "Why care.",
        ]


def test_the_stub_holds_no_solution_and_no_hidden_check(course: Course) -> None:
    build_course(course)
    exercise = course.exercises[0]
    text = exercise.stub_path.read_text(encoding="utf-8")
    assert [secret for secret in SECRETS if secret in text] == []
    solution = exercise.solution_path.read_text(encoding="utf-8")
    assert "secret_of_the_check" not in solution
    assert [secret for secret in SECRETS if secret not in solution] == []


def test_the_stub_names_what_to_write(course: Course) -> None:
    cells = by_id(built(course)[1])
    code = source(cells["solution"])
    names = [line.strip() for line in code.splitlines() if "raise" in line]
    assert names == [
        f'raise NotImplementedError("write {name}")' for name in ("double", "Doubler.__init__", "Doubler.apply")
    ]
    names_of_stub: dict[str, Any] = {}
    exec(code, names_of_stub)
    with pytest.raises(NotImplementedError, match="write double"):
        names_of_stub["double"](1)
    exec(source(cells["claims"]), names_of_stub)
    assert names_of_stub["claims"] == {"two_is_even": None, "three_is_even": None}
    assert 'claims["two_is_even"]' in source(cells["claims"])
    assert "Write your answer here" in source(cells["answer"])


def test_the_stub_is_locked_where_students_do_not_write(course: Course) -> None:
    for name, cell in by_id(built(course)[1]).items():
        metadata = cell["metadata"]
        locked = name.startswith(("text", "visible", "test"))
        if "nbgrader" in metadata:
            assert len(metadata["nbgrader"]["checksum"]) == 32
            assert metadata["deletable"] is False
        assert (metadata.get("editable") is False) == locked, name


# --- the same bytes, and only when needed ----------------------------------------------------------------------------


def test_building_again_changes_nothing(course: Course) -> None:
    exercise = course.exercises[0]
    paths = (exercise.solution_path, exercise.stub_path)
    assert build_course(course).written == paths
    before = [path.read_bytes() for path in paths]
    for path in paths:
        os.utime(path, (1, 1))
    again = build_course(course, [exercise])
    assert (again.written, again.unchanged, again.stale) == ((), paths, ())
    assert [path.stat().st_mtime for path in paths] == [1, 1]
    for path in paths:
        path.unlink()
    build_course(course)
    assert [path.read_bytes() for path in paths] == before
    for content in before:
        assert content.endswith(b"}\n")
        data = json.loads(content)
        assert list(data) == sorted(data) and data["nbformat"] == 4 and data["nbformat_minor"] == 5
        assert data["metadata"]["kernelspec"]["name"] == "python3"
        assert len({cell["id"] for cell in data["cells"]}) == len(data["cells"])
    assert sorted(path.name for path in exercise.stub_path.parent.iterdir()) == ["doubling.ipynb"]


def test_the_map_in_the_readme_is_written_between_its_marks(course: Course) -> None:
    readme = course.root / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert StaleFile(readme, Staleness.OUTDATED) in build_course(course, check=True).stale
    assert readme in build_course(course).written
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n\n1 notebooks, 0.4 h of work. 1 of them")
    assert text.endswith(f"{END}\nafter\n")
    assert "| Numbers | 1 | 0.4 h |  |" in text and "old" not in text
    assert "| [Doubling](exercises/numbers/doubling.ipynb) | question | python | 3 | 25 |  |" in text
    assert readme in build_course(course).unchanged
    readme.write_text("a course without a map\n")
    assert build_course(course).stale == () and readme.read_text() == "a course without a map\n"


def test_check_lists_what_is_missing_outdated_or_orphaned_and_writes_nothing(course: Course) -> None:
    exercise = course.exercises[0]
    solution, stub = exercise.solution_path, exercise.stub_path
    report = build_course(course, check=True)
    assert report.stale == (StaleFile(solution, Staleness.MISSING), StaleFile(stub, Staleness.MISSING))
    assert not solution.exists() and not stub.exists() and not report.written

    build_course(course)
    assert build_course(course, check=True).stale == ()

    orphan = stub.with_name("forgotten.ipynb")
    orphan.write_text("{}")
    checkpoint = stub.parent / ".ipynb_checkpoints" / "doubling-checkpoint.ipynb"
    checkpoint.parent.mkdir()
    checkpoint.write_text("{}")
    checks = exercise.checks_path
    checks.write_text(checks.read_text().replace("A negative number", "Any negative number"))
    report = build_course(course, check=True)
    outdated = [StaleFile(path, Staleness.OUTDATED) for path in (solution, stub)]
    assert list(report.stale) == [*outdated, StaleFile(orphan, Staleness.ORPHANED)]
    assert "Any negative" not in stub.read_text()

    report = build_course(course)
    assert report.written == (solution, stub)
    assert report.stale == (StaleFile(orphan, Staleness.ORPHANED),) and orphan.exists()
    assert build_course(course, [exercise], check=True).stale == ()


# --- broken rules ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("# # Doubling", "# Doubling", "begin with the title"),
        ("    ### END SOLUTION\n\n\nclass", "\n\nclass", "has 3 ### BEGIN SOLUTION and 2 ### END SOLUTION"),
        ('tags=["solution", "remove-input"]', "", "outside a solution cell (code)"),
        ('["visible-checks", "active-ipynb"]', '["visible-checks"]', "active-ipynb"),
        ('["solution", "remove-input"]', '["solution", "claims"]', "one role"),
        ('[markdown] tags=["answer"]', 'tags=["answer"]', "needs a markdown cell"),
        ('[markdown] tags=["answer"]', "[markdown]", "0 cells are tagged answer"),
        ('tags=["visible-checks", "active-ipynb"]', 'tags=["active-ipynb"]', "no cell is tagged visible-checks"),
        ("# ## Hints", '# ## Hints\n# %% [markdown] tags=["answer"]\n# again', "2 cells are tagged answer"),
    ],
)
def test_a_broken_rule_of_the_reference_is_named(course: Course, old: str, new: str, said: str) -> None:
    reference = course.exercises[0].reference_path
    assert old in REFERENCE
    reference.write_text(REFERENCE.replace(old, new), encoding="utf-8")
    with pytest.raises(BuildError, match="doubling.py") as caught:
        build_course(course)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("@points(2)", "@points(3)", "sum to 5.5; course.toml says 4.5"),
        ("@visible\n", "", "no check is @visible"),
        ("test_negative", "test_négatif", "no id for nbgrader"),
        ('"""A negative number is doubled."""', "", "no docstring"),
    ],
)
def test_a_broken_rule_of_the_checks_is_named(course: Course, old: str, new: str, said: str) -> None:
    course.exercises[0].checks_path.write_text(CHECKS.replace(old, new), encoding="utf-8")
    with pytest.raises(BuildError, match="test_doubling.py") as caught:
        build_course(course)
    assert said in str(caught.value)


def test_one_broken_exercise_does_not_keep_the_others_from_being_built(course: Course) -> None:
    second = MANIFEST[MANIFEST.index("[[exercises]]") :].replace("numbers/doubling", "numbers/absent")
    (course.root / "course.toml").write_text(MANIFEST + second, encoding="utf-8")
    larger = load_course(course.root)
    with pytest.raises(BuildError, match=r"absent\.py: cannot be read"):
        build_course(larger)
    assert larger.exercises[0].stub_path.is_file()
    assert not larger.exercises[1].stub_path.exists()
