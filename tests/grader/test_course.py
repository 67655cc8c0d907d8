"""The manifest: what a good one says, and what is said about a bad one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grader import course as course_module
from grader.course import CourseError, Framework, Kind, Limits, find_root, load_course

ROOT = Path(__file__).resolve().parents[2]

MANIFEST = """\
schema = 1

[course]
name = "small-course"
title = "A small course"
version = "0.3"

[limits]
seconds = 5
total_seconds = 40

[sandbox]
allow_degraded = ["signal-scope"]

[[topics]]
id = "fusion"
title = "Fusion"

[[topics]]
id = "losses"
title = "Losses"

[[exercises]]
id = "fusion/early"
title = "Early fusion"
kind = "coding"
framework = "torch"
difficulty = 2
minutes = 30
points = 10
sources = ["C-F1", "B-Q5a"]
forbidden = [
    "torch.nn.MultiheadAttention",  # the whole answer
    "torch.nn.functional",
]

[[exercises]]
id = "losses/focal"
title = "Focal loss"
kind = "question"
framework = "numpy"
difficulty = 3
minutes = 20
points = 7.5
written_points = 4
prerequisites = ["fusion/early"]

[exercises.limits]
seconds = 8
memory_megabytes = 512
"""


@pytest.fixture
def write(tmp_path):
    """Writes a manifest and returns its folder."""

    def write(text: str) -> Path:
        (tmp_path / "course.toml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def problems(write):
    """Problems of the manifest above after replacements, each of which must apply once."""

    def problems(*replacements: tuple[str, str]) -> list[course_module.Problem]:
        text = MANIFEST
        for old, new in replacements:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        with pytest.raises(CourseError) as caught:
            load_course(write(text))
        return list(caught.value.problems)

    return problems


def line_of(fragment: str, text: str = MANIFEST) -> int:
    assert text.count(fragment) == 1, fragment
    return text[: text.index(fragment)].count("\n") + 1


class TestGoodManifest:
    def test_values(self, write):
        course = load_course(write(MANIFEST))
        assert (course.name, course.title, course.version) == ("small-course", "A small course", "0.3")
        assert course.allow_degraded == ("signal-scope",)
        assert [topic.title for topic in course.topics] == ["Fusion", "Losses"]
        early, focal = course.exercises
        assert (early.kind, early.framework) == (Kind.CODING, Framework.TORCH)
        assert (early.difficulty, early.minutes, early.points, early.written_points) == (2, 30, 10, 0)
        assert early.sources == ("C-F1", "B-Q5a")
        assert early.forbidden == ("torch.nn.MultiheadAttention", "torch.nn.functional")
        assert focal.prerequisites == ("fusion/early",)
        assert (focal.points, focal.written_points, focal.max_points) == (7.5, 4, 11.5)

    def test_limits_of_an_exercise_complete_those_of_the_course(self, write):
        course = load_course(write(MANIFEST))
        assert course.limits == Limits(seconds=5, total_seconds=40)
        assert course.exercise("fusion/early").limits == course.limits
        assert course.exercise("losses/focal").limits == Limits(seconds=8, total_seconds=40, memory_megabytes=512)

    def test_limits_and_sandbox_may_be_left_out(self, write):
        text = MANIFEST[: MANIFEST.index("[limits]")] + MANIFEST[MANIFEST.index("[[topics]]") :]
        course = load_course(write(text.replace('id = "fusion"', 'id = "fusion"', 1)))
        assert course.limits == Limits(10, 60, 2048, 64, 64)
        assert course.allow_degraded == ()

    def test_paths(self, write):
        root = write(MANIFEST)
        focal = load_course(root).exercise("losses/focal")
        assert (focal.topic, focal.slug) == ("losses", "focal")
        assert focal.reference_path == root / "reference/losses/focal.py"
        assert focal.solution_path == root / "solutions/losses/focal.ipynb"
        assert focal.stub_path == root / "exercises/losses/focal.ipynb"
        assert focal.checks_path == root / "tests/checks/losses/test_focal.py"
        assert focal.catalogue_path == root / "tests/wrong_answers/losses/focal.py"
        assert focal.oracle_path == root / "tests/oracles/losses/test_focal.py"

    def test_exercises_by_topic(self, write):
        text = MANIFEST.replace("[[exercises]]", '[[topics]]\nid = "empty"\ntitle = "Nothing yet"\n\n[[exercises]]', 1)
        by_topic = load_course(write(text)).by_topic
        assert {id: [exercise.slug for exercise in exercises] for id, exercises in by_topic.items()} == {
            "fusion": ["early"],
            "losses": ["focal"],
            "empty": [],
        }

    def test_byte_order_mark_and_windows_line_ends(self, tmp_path):
        (tmp_path / "course.toml").write_bytes(b"\xef\xbb\xbf" + MANIFEST.replace("\n", "\r\n").encode())
        assert len(load_course(tmp_path).exercises) == 2

    def test_the_courses_own_manifest(self):
        course = load_course(ROOT)
        assert course.name == "multimodal-fine-tuning"
        assert course.limits == Limits(10, 60, 2048, 64, 64)
        assert {"attention", "metrics", "schedules", "interpretability", "regularisation"} <= set(course.by_topic)
        # The capstone's milestones put together what the source asks for elsewhere.
        assert all(exercise.sources or exercise.kind is Kind.MILESTONE for exercise in course.exercises)
        assert course.exercise("attention/cross_attention").prerequisites == ("attention/scaled_dot_product",)

    def test_names_of_protections_are_the_sandboxs(self):
        confinement = pytest.importorskip("grader.sandbox.confinement", exc_type=ImportError)
        assert set(course_module.DEGRADABLE) == {protection.value for protection in confinement.MAY_DEGRADE}


class TestSelection:
    @pytest.fixture
    def course(self, write):
        return load_course(write(MANIFEST))

    def test_no_ids_are_all_exercises(self, course):
        assert course.select() == course.exercises

    def test_order_is_kept_and_repetition_dropped(self, course):
        chosen = course.select(["losses/focal", "fusion/early", "losses/focal"])
        assert [exercise.id for exercise in chosen] == ["losses/focal", "fusion/early"]

    @pytest.mark.parametrize("id", ["losses/focl", "focal", "loss/focal", "Losses/Focal"])
    def test_a_near_miss_is_answered_with_the_id(self, course, id):
        with pytest.raises(CourseError, match="did you mean 'losses/focal'"):
            course.exercise(id)

    def test_every_unknown_id_is_named(self, course):
        with pytest.raises(CourseError) as caught:
            course.select(["losses/focal", "zzz", "fusion/erly"])
        assert "no exercise 'zzz'\n" in str(caught.value)
        assert "no exercise 'fusion/erly' (did you mean 'fusion/early'?)" in str(caught.value)
        assert "course list" in str(caught.value)
        assert caught.value.problems == ()

    def test_the_empty_id_is_not_everything(self, course):
        with pytest.raises(CourseError, match="no exercise ''"):
            course.select([""])

    def test_topic(self, course):
        assert course.topic("losses").title == "Losses"
        with pytest.raises(CourseError, match="did you mean 'fusion'.*topics: fusion, losses"):
            course.topic("fusoin")


class TestOneMistake:
    """(what is replaced, by what, key, text on the reported line, parts of the message)"""

    CASES = [
        # unknown and missing keys
        (
            "minutes = 30",
            "minuts = 30",
            "exercises[fusion/early].minuts",
            "minuts",
            ["known key", "did you mean 'minutes'"],
        ),
        ("minutes = 30", "minutes = 30\nx = 1", "exercises[fusion/early].x", "x = 1", ["known key", "remove it"]),
        (
            "seconds = 8",
            "second = 8",
            "exercises[losses/focal].limits.second",
            "second = 8",
            ["did you mean 'seconds'"],
        ),
        ("[sandbox]", "[sandbx]", "sandbx", "[sandbx]", ["known key", "did you mean 'sandbox'"]),
        ('version = "0.3"\n', "", "course.version", "[course]", ["is missing", "a version such as"]),
        ('kind = "coding"\n', "", "exercises[fusion/early].kind", "[[exercises]]", ["is missing", "question, coding"]),
        ("schema = 1\n", "", "schema", "", ["is missing", "schema = 1"]),
        # wrong types
        (
            "minutes = 30",
            'minutes = "30"',
            "exercises[fusion/early].minutes",
            "minutes =",
            ["string '30'", "without quotes"],
        ),
        ("minutes = 30", "minutes = 30.5", "exercises[fusion/early].minutes", "minutes =", ["30.5", "whole number"]),
        ("minutes = 30", "minutes = true", "exercises[fusion/early].minutes", "minutes =", ["truth value true"]),
        ("seconds = 5", "seconds = []", "limits.seconds", "seconds = []", ["is a list", "a number more than 0"]),
        (
            'title = "Losses"',
            "title = 3",
            "topics[losses].title",
            "title = 3",
            ["the number 3, not a string", "quotes"],
        ),
        ('title = "Losses"', "title = 2024-01-01", "topics[losses].title", "title = 2024", ["a date or time"]),
        (
            'kind = "coding"',
            "kind = 3",
            "exercises[fusion/early].kind",
            "kind = 3",
            ["3 is not known", "question, coding"],
        ),
        (
            '["fusion/early"]',
            '"fusion/early"',
            "exercises[losses/focal].prerequisites",
            "prerequisites",
            ["not a list"],
        ),
        ('"B-Q5a"]', "5]", "exercises[fusion/early].sources", "sources", ["holds the number 5"]),
        # values outside what is allowed
        (
            'kind = "coding"',
            'kind = "codign"',
            "exercises[fusion/early].kind",
            "codign",
            ["did you mean 'coding'", "milestone"],
        ),
        (
            '"torch"',
            '"pytorch"',
            "exercises[fusion/early].framework",
            "pytorch",
            ["did you mean 'torch'", "tensorflow"],
        ),
        ('"signal-scope"', '"signal-scop"', "sandbox.allow_degraded", "signal-scop", ["did you mean 'signal-scope'"]),
        (
            "difficulty = 2",
            "difficulty = 6",
            "exercises[fusion/early].difficulty",
            "= 6",
            ["6 is out of range", "from 1 to 5"],
        ),
        ("difficulty = 2", "difficulty = 0", "exercises[fusion/early].difficulty", "= 0", ["0 is out of range"]),
        ("points = 10", "points = 0", "exercises[fusion/early].points", "points = 0", ["out of range", "more than 0"]),
        ("points = 10", "points = -3", "exercises[fusion/early].points", "points = -3", ["out of range"]),
        ("points = 10", "points = nan", "exercises[fusion/early].points", "points = nan", ["nan is out of range"]),
        ("points = 10", "points = inf", "exercises[fusion/early].points", "points = inf", ["inf is out of range"]),
        ("written_points = 4", "written_points = -1", "exercises[losses/focal].written_points", "= -1", ["from 0"]),
        ("= 512", "= 8", "exercises[losses/focal].limits.memory_megabytes", "= 8\n", ["from 16 to 1000000"]),
        ('"Early fusion"', '""', "exercises[fusion/early].title", 'title = ""', ["one line of text"]),
        ('"Early fusion"', '"a\\nb"', "exercises[fusion/early].title", "a\\nb", ["one line of text"]),
        ('"small-course"', '"Small course"', "course.name", "Small course", ["lower-case words"]),
        ('"0.3"', '"newest"', "course.version", "newest", ["a version"]),
        ('"B-Q5a"', '"Q5"', "exercises[fusion/early].sources", "Q5", ["syllabus id"]),
        (
            '"torch.nn.functional"',
            '"torch nn"',
            "exercises[fusion/early].forbidden",
            '"torch nn"',
            ["dotted Python name"],
        ),
        ('"B-Q5a"', '"C-F1"', "exercises[fusion/early].sources", "sources", ["'C-F1' 2 times", "keep one"]),
        # ids and links
        ('id = "losses"', 'id = "lambda"', "topics[lambda].id", '"lambda"', ["lower-case Python name"]),
        ('"losses/focal"', '"losses/../focal"', "exercises[losses/../focal].id", "..", ["`topic/exercise`"]),
        ('"losses/focal"', '"focal"', "exercises[focal].id", '"focal"', ["`topic/exercise`"]),
        (
            '"losses/focal"',
            '"loses/focal"',
            "exercises[loses/focal].id",
            "loses",
            ["no topic 'loses'", "did you mean 'losses'"],
        ),
        (
            '["fusion/early"]',
            '["fusion/erly"]',
            "exercises[losses/focal].prerequisites",
            "erly",
            ["mean 'fusion/early'"],
        ),
        ('id = "losses"', 'id = "fusion"', "topics[fusion].id", "", ["another topic has the id 'fusion'"]),
        # limits that contradict each other
        (
            "seconds = 8",
            "seconds = 80",
            "exercises[losses/focal].limits.seconds",
            "= 80",
            ["40 s", "the 80 s of a single call"],
        ),
        ("= 40", "= 4", "limits.total_seconds", "= 4\n", ["all checks get 4 s"]),
        # not TOML
        ("minutes = 30", "minutes 30", "syntax", "minutes 30", ["correct that line"]),
        ("minutes = 30", "minutes = 30\nminutes = 30", "syntax", "", ["Cannot overwrite"]),
    ]

    @pytest.mark.parametrize(("old", "new", "key", "on_line", "parts"), CASES, ids=[f"{c[2]}-{c[1]}" for c in CASES])
    def test_is_reported_with_its_line_and_remedy(self, problems, old, new, key, on_line, parts):
        found = problems((old, new))
        matching = [problem for problem in found if problem.key == key]
        assert matching, [str(problem) for problem in found]
        problem = matching[0]
        text = MANIFEST.replace(old, new)
        if on_line.strip() and text.count(on_line) == 1:
            assert problem.line == line_of(on_line, text)
        whole = str(problem)
        assert f"course.toml:{problem.line}: {key}: " in whole
        assert problem.fix
        for part in parts:
            assert part in whole

    @pytest.mark.parametrize(
        ("old", "new"),
        [("minutes = 30", "minuts = 30"), ("points = 10", "points = 0"), ('["fusion/early"]', '["fusion/erly"]')],
    )
    def test_is_reported_once(self, problems, old, new):
        assert len(problems((old, new))) == 1


class TestLines:
    def test_element_of_a_list_over_several_lines(self, problems):
        old = '"torch.nn.functional"'
        (problem,) = problems((old, '"torch nn"'))
        assert problem.line == line_of(old)

    def test_missing_key_is_reported_at_its_table(self, problems):
        (problem,) = problems(("minutes = 20\n", ""))
        assert problem.key == "exercises[losses/focal].minutes"
        assert problem.line == line_of('id = "losses/focal"') - 1

    def test_text_that_looks_like_toml_does_not_mislead(self, problems):
        title = 'title = """\\\n[[exercises]] \\\nminutes = 1 # \\\n"""'
        (problem,) = problems(('title = "Early fusion"', title), ("minutes = 20", "minutes = 0"))
        assert problem.line == line_of("minutes = 20") + 3

    def test_quoted_dotted_and_inline_keys(self, write):
        text = MANIFEST.replace("[limits]\nseconds = 5", '[limits]\n"seconds" = -5', 1)
        text = text.replace("[exercises.limits]\nseconds = 8\nmemory_megabytes = 512\n", "limits = { seconds = -8 }\n")
        text = text.replace('[course]\nname = "small-course"', '[course]\nname = "small-course"\nx.y = 1')
        with pytest.raises(CourseError) as caught:
            load_course(write(text))
        assert {problem.key: problem.line for problem in caught.value.problems} == {
            "course.x": line_of("x.y", text),
            "limits.seconds": line_of('"seconds"', text),
            "exercises[losses/focal].limits.seconds": line_of("limits = {", text),
        }

    def test_a_value_where_a_table_belongs(self, write):
        text = "sandbox = 3\n" + MANIFEST.replace('[sandbox]\nallow_degraded = ["signal-scope"]\n', "")
        with pytest.raises(CourseError) as caught:
            load_course(write(text))
        (problem,) = caught.value.problems
        assert (problem.key, problem.line, problem.message) == ("sandbox", 1, "is the number 3, not a table")

    def test_exercises_as_an_inline_list(self, write):
        text = MANIFEST[: MANIFEST.index("[[exercises]]")]
        text = text.replace("schema = 1", "schema = 1\nexercises = [\n  3,\n]")
        with pytest.raises(CourseError) as caught:
            load_course(write(text))
        (problem,) = caught.value.problems
        assert (problem.key, problem.line) == ("exercises[1]", 2)
        assert "not a table" in problem.message


class TestSeveralMistakes:
    def test_all_are_listed_in_the_order_of_their_lines(self, write):
        text = MANIFEST.replace("points = 10", "points = 0").replace('"numpy"', '"nunpy"').replace("= 5\n", '= "5"\n')
        with pytest.raises(CourseError) as caught:
            load_course(write(text))
        error = caught.value
        assert [problem.key for problem in error.problems] == [
            "limits.seconds",
            "exercises[fusion/early].points",
            "exercises[losses/focal].framework",
        ]
        assert str(error).splitlines()[0] == "course.toml has 3 problems:"
        assert len(str(error).splitlines()) == 4

    def test_duplicate_exercise(self, problems):
        found = problems(('id = "losses/focal"', 'id = "fusion/early"'))
        assert [problem.message for problem in found] == ["another exercise has the id 'fusion/early'"]
        assert found[0].line == line_of('id = "losses/focal"')

    def test_prerequisites_in_a_circle(self, problems):
        found = problems(('sources = ["C-F1", "B-Q5a"]', 'prerequisites = ["losses/focal"]'))
        (problem,) = found
        assert problem.key.endswith("prerequisites")
        assert "fusion/early -> losses/focal -> fusion/early" in problem.message

    def test_an_exercise_that_requires_itself(self, problems):
        (problem,) = problems(('["fusion/early"]', '["losses/focal"]'))
        assert "losses/focal -> losses/focal" in problem.message

    def test_two_separate_circles(self):
        links = {"a": ["b"], "b": ["c"], "c": ["b"], "d": ["e", "a"], "e": ["d"], "f": ["a", "unknown"]}
        assert course_module._circles(links) == [["b", "c"], ["d", "e"]]

    def test_another_schema_is_not_read_further(self, problems):
        (problem,) = problems(("schema = 1", "schema = 2"), ("points = 10", "points = 0"))
        assert problem.key == "schema"
        assert "update the toolkit" in problem.fix

    @pytest.mark.parametrize("schema", ["true", '"1"'])
    def test_a_schema_that_is_no_number(self, problems, schema):
        assert "schema" in [problem.key for problem in problems(("schema = 1", f"schema = {schema}"))]


class TestFindingTheCourse:
    @pytest.fixture(autouse=True)
    def _no_course_root(self, monkeypatch):
        monkeypatch.delenv("COURSE_ROOT", raising=False)

    def test_nearest_folder_above_the_working_directory(self, write, monkeypatch):
        root = write(MANIFEST)
        inner = root / "exercises" / "fusion"
        inner.mkdir(parents=True)
        monkeypatch.chdir(inner)
        assert find_root() == root
        assert load_course().name == "small-course"

    def test_this_package_when_there_is_none_above(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert find_root() == ROOT

    def test_course_root_wins(self, write, monkeypatch):
        root = write(MANIFEST)
        monkeypatch.chdir(ROOT)
        monkeypatch.setenv("COURSE_ROOT", str(root))
        assert load_course().root == root

    def test_an_argument_wins_over_course_root(self, write, monkeypatch):
        monkeypatch.setenv("COURSE_ROOT", str(ROOT))
        assert load_course(write(MANIFEST)).name == "small-course"

    def test_course_root_without_a_course(self, tmp_path, monkeypatch):
        monkeypatch.setenv("COURSE_ROOT", str(tmp_path))
        with pytest.raises(CourseError, match="COURSE_ROOT is .* correct it or unset it"):
            load_course()

    def test_no_course_anywhere(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(course_module, "__file__", str(tmp_path / "grader" / "course.py"))
        with pytest.raises(CourseError, match="set COURSE_ROOT"):
            find_root()

    def test_a_folder_without_a_manifest(self, tmp_path):
        with pytest.raises(CourseError, match="cannot be read"):
            load_course(tmp_path)

    def test_a_manifest_that_is_not_utf_8(self, tmp_path):
        (tmp_path / "course.toml").write_bytes(MANIFEST.replace("Focal loss", "Fokál").encode("latin-1"))
        with pytest.raises(CourseError) as caught:
            load_course(tmp_path)
        (problem,) = caught.value.problems
        assert problem.line == line_of("Focal loss")
        assert "UTF-8" in str(problem)


def test_importing_the_module_loads_no_library():
    code = "import sys, grader.course; print(sorted({'numpy', 'torch', 'typer', 'rich'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
