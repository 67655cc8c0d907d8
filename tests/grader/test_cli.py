"""The `course` command: its help, its errors and exit statuses, `list` and `build`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from grader import behaviours as behaviours_module
from grader import cli
from grader.behaviours import BehaviourBuild
from grader.catalogue import CatalogueError
from grader.cli.errors import explain
from grader.cli.options import complete_exercise
from grader.course import CourseError, load_course
from grader.notebooks import build as build_module
from grader.notebooks.build import BuildReport, StaleFile, Staleness

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    "list",
    "check",
    "build",
    "release",
    "grade",
    "regrade",
    "diff",
    "anonymise",
    "verify",
    "coverage",
    "doctor",
]


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("COURSE_ROOT", str(ROOT))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("COURSE_DEBUG", raising=False)


def plain(text: str) -> str:
    """Text without the colours that a terminal, or FORCE_COLOR, gives it."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def help_of(*command: str) -> str:
    result = CliRunner().invoke(cli.app, [*command, "--help"])
    assert result.exit_code == 0
    return plain(result.output)


@pytest.fixture
def course(capsys):
    """Runs `course` with arguments; answers with its exit status and what it printed."""

    def course(*arguments: str) -> SimpleNamespace:
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        out, err = capsys.readouterr()
        return SimpleNamespace(status=caught.value.code or 0, out=plain(out), err=plain(err))

    return course


class TestHelp:
    def test_names_every_command_and_the_exit_statuses(self):
        text = help_of()
        for command in COMMANDS:
            assert f" {command} " in text
        assert "Exit status" in text
        assert "COURSE_ROOT" in text

    @pytest.mark.parametrize(
        ("command", "options"),
        [
            ("list", ["--topic", "--json"]),
            ("check", ["EXERCISE|PATH", "--watch", "--json", "--seed"]),
            ("build", ["EXERCISE", "--check"]),
            (
                "grade",
                ["DIR", "--output", "--jobs", "--exercise", "--seed", "--unconfined", "--json", "--db", "--fresh"],
            ),
            ("release", ["DIR", "--exercise", "--topic", "--since", "--form", "--json"]),
            ("regrade", ["DIR", "--output", "--dry-run", "--exercise", "--seed", "--json", "--csv", "--versions"]),
            ("diff", ["RUN_A", "RUN_B", "--json", "--csv", "--versions", "Exit status"]),
            ("verify", ["EXERCISE", "--seeds", "--mutants", "--no-mutants", "--json"]),
            ("doctor", ["--json"]),
        ],
    )
    def test_of_a_command_names_its_arguments(self, command, options):
        text = help_of(command)
        for option in options:
            assert option in text

    @pytest.mark.parametrize("command", [("check",), ("capstone", "explain"), ("export", "gradescope")])
    def test_paragraphs_are_filled_whatever_the_lines_of_the_source(self, command, monkeypatch):
        monkeypatch.setenv("COLUMNS", "400")
        text = help_of(*command).split("╭")[0]
        paragraphs = [line for line in text.splitlines() if line.strip()][1:]
        assert paragraphs and all(line.rstrip().endswith((".", ":")) for line in paragraphs)

    def test_without_arguments(self, course):
        result = course()
        assert "Usage: course" in result.out + result.err

    def test_version(self, course):
        result = course("--version")
        assert (result.status, result.out) == (0, "course 0.1.0\n")

    def test_needs_nothing_heavier_than_typer(self):
        code = (
            "import sys, grader.cli\n"
            "try: grader.cli.main(['--help'])\n"
            "except SystemExit: pass\n"
            "heavy = {'numpy', 'torch', 'tensorflow', 'msgpack', 'pytest', 'nbformat', 'jinja2', 'matplotlib'}\n"
            "print(sorted(heavy & sys.modules.keys()), 'grader.course' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[] False"

    def test_as_a_module(self):
        command = [sys.executable, "-m", "grader.cli", "--help"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert "Usage: course" in plain(done.stdout)


class TestList:
    def test_table(self, course):
        result = course("list")
        assert result.status == 0
        for exercise in load_course().exercises:
            assert exercise.id in result.out
            assert exercise.framework.value in result.out
        assert "10 + 4" in result.out

    def test_json(self, course):
        result = course("list", "--json")
        data = json.loads(result.out)
        assert data["name"] == "multimodal-fine-tuning"
        assert [exercise["id"] for exercise in data["exercises"]] == [item.id for item in load_course().exercises]
        (metrics,) = [exercise for exercise in data["exercises"] if exercise["id"] == "metrics/classification"]
        assert metrics["kind"] == "question"
        assert metrics["written_points"] == 4
        assert metrics["stub"] == "exercises/metrics/classification.ipynb"

    def test_of_one_topic(self, course):
        data = json.loads(course("list", "--topic", "attention", "--json").out)
        assert {exercise["topic"] for exercise in data["exercises"]} == {"attention"}

    def test_of_an_unknown_topic(self, course):
        result = course("list", "--topic", "atention")
        assert (result.status, result.out) == (2, "")
        assert "did you mean 'attention'" in result.err

    def test_titles_are_never_read_as_markup(self, course, tmp_path, monkeypatch):
        manifest = (ROOT / "course.toml").read_text(encoding="utf-8")
        old = 'title = "Early stopping with the best weights brought back"'
        assert manifest.count(old) == 1
        (tmp_path / "course.toml").write_text(manifest.replace(old, 'title = "[red]Stop[/]"'), encoding="utf-8")
        monkeypatch.setenv("COURSE_ROOT", str(tmp_path))
        assert "[red]Stop[/]" in course("list").out


class TestBuild:
    @pytest.fixture
    def report(self, monkeypatch):
        """Replaces the building itself; answers with a function that sets its report and tells how it was called."""
        calls: list[SimpleNamespace] = []

        def report(**parts: tuple[object, ...]) -> list[SimpleNamespace]:
            def build_course(course, exercises=None, check=False):
                calls.append(SimpleNamespace(course=course, exercises=exercises, check=check))
                return BuildReport(**parts)

            monkeypatch.setattr(build_module, "build_course", build_course)
            monkeypatch.setattr(behaviours_module, "build_behaviours", lambda *_, **__: BehaviourBuild((), (), ()))
            return calls

        return report

    def test_everything(self, course, report):
        calls = report(written=(ROOT / "solutions/a/b.ipynb",), unchanged=(ROOT / "exercises/a/b.ipynb",))
        result = course("build")
        assert result.status == 0
        assert "written: solutions/a/b.ipynb" in result.out
        assert "1 written, 1 unchanged" in result.out
        assert calls[0].exercises is None and not calls[0].check

    def test_chosen_exercises(self, course, report):
        calls = report()
        assert course("build", "metrics/classification").status == 0
        assert [exercise.id for exercise in calls[0].exercises] == ["metrics/classification"]

    def test_check_of_stale_notebooks_exits_with_1(self, course, report):
        calls = report(stale=(StaleFile(ROOT / "exercises/a/b.ipynb", Staleness.OUTDATED),))
        result = course("build", "--check")
        assert result.status == 1
        assert "outdated: exercises/a/b.ipynb" in result.out
        assert calls[0].check

    def test_check_of_fresh_notebooks_exits_with_0(self, course, report):
        report(unchanged=(ROOT / "exercises/a/b.ipynb",))
        assert course("build", "--check").status == 0

    def test_unknown_exercise(self, course, report):
        calls = report()
        result = course("build", "metrics/clasification")
        assert result.status == 2
        assert "did you mean 'metrics/classification'" in result.err
        assert not calls


class TestErrors:
    def test_a_wrong_manifest_is_one_message(self, course, tmp_path, monkeypatch):
        (tmp_path / "course.toml").write_text("schema = 1\ncourse = 3\n", encoding="utf-8")
        monkeypatch.setenv("COURSE_ROOT", str(tmp_path))
        result = course("list")
        assert (result.status, result.out) == (2, "")
        assert result.err.startswith("course: course.toml has ")
        assert "course.toml:2: course: is the number 3, not a table" in result.err
        assert "Traceback" not in result.err

    @pytest.mark.parametrize(
        "arguments",
        [
            ("chek",),
            ("list", "--jsn"),
            ("grade",),
            ("grade", "no/such/folder"),
            ("grade", ".", "--jobs", "0"),
            ("grade", ".", "--seed", "-1"),
            ("verify", "--seeds", "none"),
        ],
    )
    def test_a_wrong_command_line_exits_with_2(self, course, arguments):
        result = course(*arguments)
        assert (result.status, result.out) == (2, "")
        assert "Usage: course" in result.err

    def test_the_toolkits_own_errors_are_messages(self):
        assert explain(CourseError("no exercise 'x'")) == "no exercise 'x'"
        assert explain(CatalogueError("a: ids used twice")) == "a: ids used twice"

    @pytest.mark.parametrize(
        ("module", "target"),
        [
            ("nbgrader.api", '".[instructor]"'),
            ("keras", '".[tensorflow]"'),
            ("fastapi", '".[service]"'),
            ("torch", " . "),
        ],
    )
    def test_a_missing_library_is_named_with_the_command_that_installs_it(self, module, target):
        message = explain(ModuleNotFoundError("…", name=module))
        assert message is not None
        assert message.startswith(f"{module.partition('.')[0]} is not installed")
        assert f"pip install -e {target.strip()} -c constraints.txt" in message

    def test_what_the_system_refuses_is_a_message(self):
        assert explain(PermissionError(13, "Permission denied", "/results")) == "/results: Permission denied"

    @pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), ModuleNotFoundError("x", name="grader.nothing")])
    def test_anything_else_is_our_mistake(self, error):
        assert explain(error) is None

    @pytest.mark.parametrize(("error", "debug", "seen"), [(KeyError, "", KeyError), (CourseError, "1", CourseError)])
    def test_our_mistakes_and_debugging_keep_the_traceback(self, monkeypatch, error, debug, seen):
        def fail(*_: object, **__: object) -> None:
            raise error("broken")

        monkeypatch.setattr(cli, "app", fail)
        monkeypatch.setenv("COURSE_DEBUG", debug)
        with pytest.raises(seen):
            cli.main([])


class TestCompletion:
    def test_offers_the_exercises(self):
        assert "attention/scaled_dot_product" in complete_exercise()

    def test_is_silent_without_a_course(self, tmp_path, monkeypatch):
        monkeypatch.setenv("COURSE_ROOT", str(tmp_path))
        assert complete_exercise() == []
