"""Reading a checks file without importing it."""

from pathlib import Path

import pytest

from grader.notebooks.checks_index import ChecksIndexError, IndexedCheck, read_checks_index

CHECKS = '''
raise RuntimeError("this file is never imported")

from grader.checking import catches, points, visible
import grader.checking as checking


@visible
@points(1)
def test_worked_example(student):
    """The worked example holds.

    More words, which students do not see.
    """


@checking.points(2.5)
@checking.catches("first", "second")
@given(numbers)
def test_general_case(student):
    """\tEvery case holds.  """


def helper(student):
    return 1
'''


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "test_exercise.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_checks_come_in_file_order_with_all_that_is_declared(tmp_path: Path) -> None:
    assert read_checks_index(written(tmp_path, CHECKS)) == (
        IndexedCheck("test_worked_example", "The worked example holds.", 1, True, (), 10),
        IndexedCheck("test_general_case", "Every case holds.", 2.5, False, ("first", "second"), 20),
    )


TEST = '@points(1)\ndef test_a(student):\n    """Title."""\n'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('def test_a(student):\n    """Title."""\n', 1, "no points"),
        ("@points(1)\ndef test_a(student):\n    pass\n", 2, "no docstring"),
        ('@points(1)\ndef test_a(student):\n    """  """\n', 2, "no docstring"),
        ("\n" + TEST + TEST, 6, "second test named test_a"),
        (TEST.replace("1", "N"), 2, "number written out"),
        (TEST.replace("1", "-1"), 2, "number written out"),
        (TEST.replace("1", "0"), 2, "not a positive number"),
        (TEST.replace("1", "True"), 2, "not a positive number"),
        (TEST.replace("(1)", ""), 2, "number written out"),
        ("@catches(*ids)\n" + TEST, 3, "ids written out"),
        ("@catches()\n" + TEST, 3, "ids written out"),
        ("x = 1\n\ndef test_a(student:\n", 3, "does not parse"),
        ("x = 1\n", 1, "no check"),
    ],
)
def test_a_broken_rule_names_file_and_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ChecksIndexError) as caught:
        read_checks_index(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert said in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChecksIndexError, match="absent.py"):
        read_checks_index(tmp_path / "absent.py")
