"""Reading what students hand in: in whatever state it is, a submission comes out or a clear message."""

import ast
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.checking.outcome import SubmissionStatus
from grader.notebooks.magics import UnparsableError, parse_cell, without_magics
from grader.notebooks.submission import (
    MAX_CODE_CHARACTERS,
    MAX_NOTES,
    Stub,
    Submission,
    SubmissionError,
    is_untouched,
    read_stub,
    read_submission,
)

VISIBLE = "assert double(2) == 4"
PLACEHOLDER = "*Write your answer here.*"


def cell(source: Any, grade_id: str = "", flags: str = "", kind: str = "code") -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    if grade_id:
        names = {"g": "grade", "l": "locked", "s": "solution"}
        metadata["nbgrader"] = {"grade_id": grade_id, **{name: letter in flags for letter, name in names.items()}}
    return {"cell_type": kind, "metadata": metadata, "source": source}


def notebook(*cells: Any, **more: Any) -> bytes:
    return json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more}).encode()


def stub_cells() -> list[dict[str, Any]]:
    return [
        cell("# Doubling", "text-01", "l", "markdown"),
        cell("import math\n%matplotlib inline"),
        cell("def double(x):\n    raise NotImplementedError", "solution", "s"),
        cell(PLACEHOLDER, "answer", "gs", "markdown"),
        cell(VISIBLE, "visible-checks", "gl"),
        cell("# Hidden check, 2 points: it doubles", "test_it", "gl"),
    ]


@pytest.fixture
def stub() -> Stub:
    return read_stub(notebook(*stub_cells()))


# --- a good notebook -------------------------------------------------------------------------------------------------


def test_code_in_order_answers_names_and_hash(stub: Stub) -> None:
    cells = stub_cells()
    cells[2]["source"] = ["def double(x):\n", "    return 2 * x\n"]
    cells[3]["source"] = "Because."
    cells.append(cell("scratch = [double(n) for n in range(3)]"))
    data = notebook(*cells)
    expected = Submission(
        code_cells=(
            "import math\n# %matplotlib inline",
            "def double(x):\n    return 2 * x\n",
            "scratch = [double(n) for n in range(3)]",
        ),
        cell_numbers=(2, 3, 7),
        written_answers={"answer": "Because."},
        defined_names=frozenset({"math", "double", "scratch"}),
        syntax_errors=(),
        notes=(),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    assert read_submission(data) == read_submission(data, stub=stub) == expected


def test_check_cells_are_left_out_by_metadata_mark_or_text(stub: Stub) -> None:
    hidden = "### BEGIN HIDDEN TESTS\nsteal()\n### END HIDDEN TESTS"
    cells = [cell("x = 1"), cell("y = 2", "visible-checks", "gl"), cell(hidden), cell(f"\n{VISIBLE}  \n")]
    assert read_submission(notebook(*cells), stub=stub).code_cells == ("x = 1",)
    assert read_submission(notebook(*cells)).cell_numbers == (1, 4)


def test_names_are_those_bound_at_the_top_level() -> None:
    source = """
import a.b, c as d
from e import f as g, h
class K:
    inside_class = 1
def l(m=1):
    inside_function = 1
n, (o, *p) = 1, (2, 3)
q: int = 1
for r in range(3):
    if (s := r):
        t = 1
with open("x") as u:
    v = [w for w in range(3)]
try:
    async def x(): pass
except ValueError as caught:
    y = lambda z: z
match v:
    case [aa, *bb]:
        pass
n.attribute = 1
"""
    names = read_submission(notebook(cell(source))).defined_names
    assert names == {*"adghKlnopqrstuvxy", "aa", "bb"}


def test_untouched_means_nothing_new(stub: Stub) -> None:
    def untouched(*cells: dict[str, Any]) -> bool:
        return is_untouched(read_submission(notebook(*cells), stub=stub), stub)

    cells = stub_cells()
    assert untouched(*cells)
    assert untouched(*cells[:3], cell(""), cell("import math   \n%matplotlib inline\n\n"))
    assert not untouched(*cells, cell("scratch = 1"))
    assert not untouched(*cells, cell("def f(:"))
    assert not untouched(cell("def double(x):\n    return x"), *cells)


def test_a_copied_changed_or_deleted_cell_is_noted(stub: Stub) -> None:
    cells = stub_cells()
    cells[4]["source"] = "assert True"
    del cells[3]
    cells.append(cell("double = abs", "solution", "s"))
    submission = read_submission(notebook(*cells), stub=stub)
    assert submission.code_cells[1:] == ("def double(x):\n    raise NotImplementedError", "double = abs")
    assert [note.split(":")[0] for note in submission.notes] == [
        "the cell for your written answer (answer) is missing",
        "2 cells carry the id solution",
        "cell 4 holds checks and was changed; write your own code in another cell",
    ]


def test_of_two_answers_with_one_id_the_last_counts() -> None:
    answers = [cell(text, "answer", "gs", "markdown") for text in ("first", "second")]
    submission = read_submission(notebook(cell("x = 1"), *answers))
    assert submission.written_answers == {"answer": "second"}


def test_a_very_long_answer_is_cut_and_notes_do_not_pile_up() -> None:
    answer = cell("x" * 100_000, "answer", "gs", "markdown")
    submission = read_submission(notebook(cell("x = 1"), answer, *[cell("def f(:")] * 50))
    assert len(submission.written_answers["answer"]) == 50_000
    assert len(submission.syntax_errors) == 50
    assert len(submission.notes) == MAX_NOTES + 1 and submission.notes[-1] == "and 31 more remarks"


# --- code that does not parse ----------------------------------------------------------------------------------------


def test_a_cell_that_does_not_parse_is_kept_out_and_described() -> None:
    broken = "import os\nasync def helper(): pass\ndef double(x)\n    return 2 * x\nrate: float = 3\nif a == b: pass"
    submission = read_submission(notebook(cell("x = 1"), cell(broken), cell("y = 2")))
    assert submission.code_cells == ("x = 1", "y = 2")
    assert submission.cell_numbers == (1, 3)
    (error,) = submission.syntax_errors
    assert (error.cell, error.line, error.text) == (2, 3, "def double(x)")
    assert error.names == ("helper", "double", "rate")
    assert submission.notes == ("cell 2, line 3: expected ':': def double(x) (this cell was not run)",)


@pytest.mark.parametrize(
    "source",
    [
        "x = (" * 5000,
        "-" * 100_000 + "1",
        "a" + ".a" * 50_000,
        "+".join(["1"] * 50_000),
        "not " * 50_000 + "1",
        "x = 'a\0b'",
        "9" * 10_000,
        '"""' + '\\"' * 50_000,
        "{a:" * 150 + " !",
    ],
)
def test_hostile_code_is_a_syntax_error_soon(source: str) -> None:
    start = time.monotonic()
    submission = read_submission(notebook(cell("x = 1"), cell(source)))
    assert time.monotonic() - start < 5
    assert submission.code_cells == ("x = 1",)
    assert len(submission.syntax_errors) == 1 and len(submission.notes[0]) < 500


def test_lone_surrogates_do_not_survive() -> None:
    data = notebook(cell("x = '\ud800'"), cell("\udfff", "answer", "gs", "markdown"))
    submission = read_submission(data)
    assert submission.code_cells == ("x = '\ufffd'",)
    assert submission.written_answers == {"answer": "\ufffd"}


def test_warnings_of_the_parser_stay_silent(recwarn: pytest.WarningsRecorder) -> None:
    assert read_submission(notebook(cell("x = '\\d'\ny = x is 'a'"))).code_cells
    assert not recwarn.list


# --- magics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("x = 5 % 3\nx != 4", "x = 5 % 3\nx != 4"),
        ("%matplotlib inline\nx = 1", "# %matplotlib inline\nx = 1"),
        ("!pip install torch\n?print\nprint??", "# !pip install torch\n# ?print\n# print??"),
        ("!pip install \\\n  torch \\\n  numpy\nx = 1", "# !pip install \\\n#   torch \\\n#   numpy\nx = 1"),
        ("files = !ls\nspent = %timeit -o f()", "# files = !ls\n# spent = %timeit -o f()"),
        ("if True:\n    !ls\nx = 1", "if True:\n    pass  # !ls\nx = 1"),
        ("%%time\nx = 1\n%who", "# %%time\nx = 1\n# %who"),
        ("\n%%capture out\nx = 1", "\n# %%capture out\nx = 1"),
        ("%%bash\nls\n\nrm -rf /", "# %%bash\n# ls\n\n# rm -rf /"),
        ("%%timeit\nx = 1", "# %%timeit\n# x = 1"),
        ("  %time x = f(3)", "  x = f(3)"),
        ("x = (7\n% 4)\n%who", "x = (7\n% 4)\n# %who"),
        ("x = '''\n!text\nwhat?\n'''\n%who", "x = '''\n!text\nwhat?\n'''\n# %who"),
        ("x = 'it\\'s' # (\ny = \"[\"\n%who", "x = 'it\\'s' # (\ny = \"[\"\n# %who"),
        ("x = 7 \\\n% 4\n%who", "x = 7 \\\n% 4\n# %who"),
        ("%who\r\nx = 1", "# %who\nx = 1"),
    ],
)
def test_what_is_only_ipythons_becomes_a_comment(source: str, plain: str) -> None:
    submission = read_submission(notebook(cell("pass"), cell(source)))
    if source.startswith("  "):  # on its own it is only an indented statement
        assert without_magics(source) == plain
    else:
        assert submission.code_cells[1] == plain, submission.syntax_errors


@given(st.lists(st.sampled_from(["%", "!", "?", "x", "=", "(", ")", "'''", '"', "\\", "\n", " ", "#", "%%time"])))
def test_line_numbers_stay_as_they_are(pieces: list[str]) -> None:
    source = "".join(pieces)
    assert without_magics(source).count("\n") == source.count("\n")
    try:
        plain, tree = parse_cell(source)
    except UnparsableError:
        return
    assert plain.count("\n") == source.count("\n")
    assert ast.dump(tree) == ast.dump(ast.parse(plain))


# --- metadata does not matter ----------------------------------------------------------------------------------------

_DEEP: Any = []
for _ in range(100):
    _DEEP = [_DEEP]


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        [],
        "nbgrader",
        {"nbgrader": None},
        {"nbgrader": []},
        {"nbgrader": {"grade": "yes", "locked": 1, "grade_id": 7}},
        {"nbgrader": {"grade": [True], "locked": {}, "solution": None, "grade_id": ["solution"]}},
        {"nbgrader": {"schema_version": "@", "grade_id": "../../etc/passwd", "points": float("nan")}},
        {"nbgrader": {"grade_id": "x" * 10_000, "checksum": "\ud800"}, "deep": _DEEP},
        {"nbgrader": {"grade": True, "locked": True, "solution": True, "grade_id": "solution"}},
    ],
)
def test_metadata_of_any_kind_does_no_harm(metadata: Any) -> None:
    plain = cell("x = 1")
    data = notebook({**plain, "metadata": metadata}, metadata=metadata).replace(b'"@"', b"9" * 5000)
    assert read_submission(data).code_cells == ("x = 1",)
    del plain["metadata"]
    assert read_submission(notebook(plain)).code_cells == ("x = 1",)


def test_huge_numbers_and_nan_are_read() -> None:
    text = (
        notebook(cell("x = 1"), outputs="@").decode().replace('"@"', "[" + "9" * 100_000 + ", NaN, -Infinity, 1e999]")
    )
    assert read_submission(text.encode()).code_cells == ("x = 1",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_of_unicode_are_read(encoding: str) -> None:
    text = notebook(cell("x = 'é'")).decode()
    assert read_submission(text.encode(encoding)).code_cells == ("x = 'é'",)


def test_cells_that_are_none_are_left_out_and_noted() -> None:
    cells = [
        None,
        3,
        [],
        {},
        {"cell_type": ["code"]},
        cell(None),
        cell({"a": 1}),
        cell(["x", 1]),
        cell("raw", kind="raw"),
    ]
    submission = read_submission(notebook(*cells, cell("x = 1")))
    assert (submission.code_cells, submission.cell_numbers) == (("x = 1",), (10,))
    assert submission.notes == (
        "5 cells of no known type were left out",
        "3 cells without readable text were left out",
    )


# --- no notebook at all ----------------------------------------------------------------------------------------------

GOOD = notebook(cell("x = 1"))
UNREADABLE = SubmissionStatus.UNREADABLE


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"", UNREADABLE, "it is empty"),
        (b" \n ", UNREADABLE, "it is empty"),
        (GOOD[:-30], UNREADABLE, "cut off"),
        (GOOD[:40], UNREADABLE, "cut off"),
        (b'{"cells": [,]}', UNREADABLE, "line 1, column 12"),
        (b"[]", UNREADABLE, "a list instead of a notebook"),
        (b'"notebook"', UNREADABLE, "a string"),
        (b"3", UNREADABLE, "a number"),
        (b"null", UNREADABLE, "null"),
        (b"{}", UNREADABLE, "no list of cells"),
        (b'{"cells": {"0": {}}}', UNREADABLE, "no list of cells"),
        (b'{"worksheets": [{"cells": []}], "nbformat": 3}', UNREADABLE, "old notebook format"),
        (b'{"cells": ' + b"[" * 100_000, UNREADABLE, "nested absurdly deep"),
        (b'{"a":' * 100_000, UNREADABLE, "nested absurdly deep"),
        (b"\x80abc", UNREADABLE, "UTF-8"),
        (b'{"cells": "\xe9"}', UNREADABLE, "UTF-8"),
        (b"<!DOCTYPE html><html>", UNREADABLE, "web page"),
        (b"%PDF-1.7 ...", UNREADABLE, "a PDF"),
        (b"PK\x03\x04...", UNREADABLE, "zip archive"),
        (b"version https://git-lfs.github.com/spec/v1", UNREADABLE, "Git LFS"),
        (notebook(), SubmissionStatus.NO_CODE, "no code of yours"),
        (notebook(cell("text", kind="markdown"), cell(" \n ")), SubmissionStatus.NO_CODE, "no code of yours"),
        (notebook(cell(VISIBLE, "v", "gl")), SubmissionStatus.NO_CODE, "no code of yours"),
        (b'{"cells": [' + b"0," * 2000 + b"0]}", UNREADABLE, "2,001 cells"),
        (notebook(cell("x = 1\n" * MAX_CODE_CHARACTERS)), UNREADABLE, "characters of code"),
        (GOOD + b" " * (8 * 1024 * 1024), UNREADABLE, "larger than the 8 MiB"),
    ],
)
def test_what_is_no_notebook_is_explained(data: bytes, status: SubmissionStatus, said: str) -> None:
    with pytest.raises(SubmissionError) as caught:
        read_submission(data)
    assert caught.value.status is status
    assert said in caught.value.message
    assert len(caught.value.message) < 400


def test_the_limit_can_be_set() -> None:
    assert read_submission(GOOD, max_bytes=len(GOOD)).code_cells
    with pytest.raises(SubmissionError, match="larger than"):
        read_submission(GOOD, max_bytes=len(GOOD) - 1)


def test_only_a_plain_file_is_opened(tmp_path: Path) -> None:
    good = tmp_path / "good.ipynb"
    good.write_bytes(GOOD)
    assert read_submission(good) == read_submission(str(good)) == read_submission(GOOD)
    with pytest.raises(SubmissionError, match="larger than") as caught:
        read_submission(good, max_bytes=10)

    link, pipe = tmp_path / "link.ipynb", tmp_path / "pipe.ipynb"
    link.symlink_to(good)
    os.mkfifo(pipe)
    refused, missing = SubmissionStatus.REFUSED, SubmissionStatus.MISSING
    for path, status in [
        (link, refused),
        (pipe, refused),
        (tmp_path, refused),
        (Path("/dev/zero"), refused),
        (tmp_path / "absent.ipynb", missing),
        (good / "inside.ipynb", missing),
    ]:
        with pytest.raises(SubmissionError) as caught:
            read_submission(path)
        assert caught.value.status is status, path
        assert str(tmp_path) not in caught.value.message
    with pytest.raises(SubmissionError):
        read_submission("a\0b.ipynb")


# --- scripts ---------------------------------------------------------------------------------------------------------

SCRIPT = '''"""A module."""
# %% [markdown]
# # Title

# %%
import math

# %% tags=["solution"]
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


# %% [markdown] tags=["answer"]
# **Model** answer.
#
# Second paragraph.

# %% tags=["visible-checks", "active-ipynb"]
# %matplotlib inline
# assert double(2) == 4

# %% [markdown]
# ## References
'''


def test_a_percent_script_is_read_as_python_runs_it(tmp_path: Path) -> None:
    path = tmp_path / "reference.py"
    path.write_text(SCRIPT)
    submission = read_submission(path)
    solution = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
    assert submission.code_cells == ('"""A module."""', "import math", solution)
    assert submission.written_answers == {"answer": "**Model** answer.\n\nSecond paragraph."}
    assert read_submission(SCRIPT.encode()) == submission


def test_code_after_the_last_text_of_a_script_is_code() -> None:
    appended = f"{SCRIPT}\n\ndef double(x):\n    return x\n"
    submission = read_submission(appended.encode())
    assert submission.code_cells[-1] == "def double(x):\n    return x"
    assert len(submission.code_cells) == 4


def test_a_script_that_is_no_text_is_explained() -> None:
    with pytest.raises(SubmissionError, match="UTF-8") as caught:
        read_submission(b"# %%\nx = '\xe9'\n")
    assert caught.value.status is UNREADABLE


# --- anything at all -------------------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(["code", "markdown", "x = 1", "%%time\n!ls", "def f(:"])
_KEYS = _TEXT | st.sampled_from(
    ["cells", "cell_type", "source", "metadata", "nbgrader", "grade", "locked", "solution", "grade_id", "worksheets"]
)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | _TEXT
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=5), max_leaves=15
)
_CELLS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "cell_type": st.sampled_from(["code", "markdown"]) | _JSON,
            "source": _TEXT | st.lists(_TEXT, max_size=3) | _JSON,
            "metadata": st.fixed_dictionaries({"nbgrader": _JSON}) | _JSON,
        },
    ),
    max_size=5,
)


def read_anything(data: bytes) -> None:
    stub = read_stub(notebook(*stub_cells()))
    try:
        submission = read_submission(data, stub=stub)
    except SubmissionError as error:
        assert isinstance(error.status, SubmissionStatus) and error.message
        return
    assert len(submission.code_cells) == len(submission.cell_numbers)
    for source in submission.code_cells:
        ast.parse(source)
    json.dumps([submission.notes, submission.written_answers], ensure_ascii=False).encode()
    is_untouched(submission, stub)


@settings(deadline=None)
@given(_JSON)
def test_any_json_gives_a_submission_or_a_message(data: Any) -> None:
    read_anything(json.dumps(data).encode())


@settings(deadline=None)
@given(_CELLS)
def test_any_cells_give_a_submission_or_a_message(cells: Any) -> None:
    read_anything(notebook(*cells))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_submission_or_a_message(data: bytes) -> None:
    read_anything(data)


@settings(deadline=None)
@given(st.integers(0, len(notebook(*stub_cells())) - 1), st.binary(max_size=3))
def test_a_damaged_notebook_gives_a_submission_or_a_message(position: int, damage: bytes) -> None:
    data = notebook(*stub_cells())
    read_anything(data[:position] + damage + data[position + len(damage) :])
    read_anything(data[:position])
