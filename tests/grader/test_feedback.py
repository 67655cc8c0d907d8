"""Feedback pages: what a student reads, and what must never get into a page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, Diagnosis, ResultRecord
from grader.course import Course, Exercise, Framework, Kind, Limits, Topic
from grader.gradebook.feedback import OUTPUT_LIMIT, render_feedback, write_feedback
from grader.gradebook.files import feedback_path, is_folder_name, safe_name
from grader.gradebook.wording import clean_text, format_percentage, format_points

ROOT = Path("course")
EXERCISE = Exercise(ROOT, "attention/softmax", "Softmax", Kind.QUESTION, Framework.NUMPY, 1, 10, 6, written_points=5)
COURSE = Course(ROOT, "demo", "Demo course", "1.0", Limits(), (), (Topic("attention", "Attention"),), (EXERCISE,))
SCRIPT = "<script>alert('x')</script>"


def a_check(name: str, outcome: CheckOutcome, points: float = 2.0, **values: str) -> CheckRecord:
    earned = points if outcome is CheckOutcome.PASSED else 0.0
    return CheckRecord(name, f"Title of {name}.", outcome, earned, points, **values)  # type: ignore[arg-type]


FAILURE = a_check(
    "second", CheckOutcome.FAILED, message="The rows differ.", called="f(x)", expected="[1, 0]", actual="[0.5, 0.5]"
)
RECORD = ResultRecord(
    "ada",
    "attention/softmax",
    SubmissionStatus.GRADED,
    (a_check("first", CheckOutcome.PASSED), FAILURE, a_check("third", CheckOutcome.TIMEOUT, message="Too slow.")),
    course_version="1.0",
    checks_hash="0123456789abcdef" * 4,
    max_points=6.0,
)


def page(record: ResultRecord = RECORD) -> str:
    return render_feedback(record, EXERCISE, COURSE)


class Text(HTMLParser):
    """The page's tags, and its text without styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag + ("[open]" if ("open", None) in attributes else ""))

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.words.append(data)


def test_the_page_says_what_was_reached_and_what_was_not() -> None:
    read = Text(page())
    assert "2 of 6 points" in read.text
    assert "1 of 3 checks pass" in read.text
    assert "Feedback for ada" in read.text
    for words in (
        "Title of first.",
        "Title of second.",
        "The rows differ.",
        "f(x)",
        "[1, 0]",
        "[0.5, 0.5]",
        "Too slow.",
    ):
        assert words in read.text
    assert "up to 5 more points" in read.text, "the written answer is still to be read"
    assert "0123456789ab" in read.text and "0123456789abc" not in read.text


def test_the_first_failure_is_open_and_the_others_are_closed() -> None:
    assert [tag for tag in Text(page()).tags if tag.startswith("details")] == ["details[open]", "details"]


def test_a_complete_submission_needs_no_advice() -> None:
    record = replace(RECORD, checks=(a_check("first", CheckOutcome.PASSED, 6.0),))
    read = Text(page(record))
    assert "Every check passes." in read.text
    assert "Where to start" not in read.text and "none of the mistakes" not in read.text
    assert "details" not in read.tags


def test_a_diagnosis_is_explained() -> None:
    diagnosis = Diagnosis("unscaled", "no scaling of `scores`", "The spread grows.\n\nLook at `scores.std()`.", "exact")
    html = page(replace(RECORD, diagnoses=(diagnosis,)))
    read = Text(html)
    assert "Your answer behaves like: no scaling of scores" in read.text
    assert "The spread grows." in read.text
    assert "<code>scores.std()</code>" in html
    assert "Every result that we compared" in read.text
    assert "none of the mistakes that we know" not in read.text


def test_without_a_diagnosis_the_page_says_so() -> None:
    assert "none of the mistakes that we know" in Text(page()).text


@pytest.mark.parametrize("status", list(SubmissionStatus))
def test_every_status_is_told_in_words(status: SubmissionStatus) -> None:
    read = Text(page(replace(RECORD, status=status, checks=())))
    assert "0 of 6 points" in read.text
    assert "none of the mistakes" not in read.text


def test_the_message_of_an_unreadable_file_is_shown_and_our_own_faults_are_not() -> None:
    unreadable = replace(RECORD, status=SubmissionStatus.UNREADABLE, checks=(), message="line 3 is no JSON")
    assert "line 3 is no JSON" in page(unreadable)
    ours = replace(RECORD, status=SubmissionStatus.GRADER_ERROR, checks=(), message="/srv/checks/test_secret.py died")
    assert "secret" not in page(ours) and "our fault" in Text(page(ours)).text


def test_a_broken_checks_message_may_quote_hidden_tests_and_is_kept_back() -> None:
    broken = a_check("x", CheckOutcome.ERROR, message="assert SECRET == 1", expected="SECRET", called="SECRET()")
    html = page(replace(RECORD, checks=(broken,)))
    assert "SECRET" not in html
    assert "our fault, not yours" in Text(html).text


def test_nothing_from_a_student_is_active() -> None:
    hostile = replace(
        FAILURE, title=SCRIPT, message=SCRIPT, called=SCRIPT, expected='"><img src=x onerror=alert(1)>', actual=SCRIPT
    )
    record = replace(
        RECORD,
        student=SCRIPT,
        checks=(hostile,),
        diagnoses=(Diagnosis("x", SCRIPT, f"`{SCRIPT}`", "partial"),),
        notes=(SCRIPT,),
        output=f"</pre>{SCRIPT}",
        message=SCRIPT,
        status=SubmissionStatus.SYNTAX_ERROR,
        environment={SCRIPT: SCRIPT},
        course_version=SCRIPT,
    )
    html = page(record)
    tags = Text(html).tags
    assert "script" not in tags and "img" not in tags
    assert "default-src &#39;none&#39;" in html and "script-src" not in html, "no script may run in the page at all"


def test_long_output_is_cut_and_says_so() -> None:
    read = Text(page(replace(RECORD, output="x" * (OUTPUT_LIMIT + 123))))
    assert "123 more characters are not shown" in read.text


def test_many_notes_are_counted() -> None:
    read = Text(page(replace(RECORD, notes=tuple(f"note {number}" for number in range(40)))))
    assert "note 29" in read.text and "note 30" not in read.text and "and 10 more" in read.text


def test_pages_of_a_class_lie_where_they_should(tmp_path: Path) -> None:
    records = [
        RECORD,
        replace(RECORD, status=SubmissionStatus.DUPLICATE, checks=()),
        replace(RECORD, student="../../../tmp/evil", output=SCRIPT),
        replace(RECORD, student="bob\udcff", output="\ud800"),
        replace(RECORD, student="eve", status=SubmissionStatus.MISSING),
        replace(RECORD, exercise="no/such"),
    ]
    written = write_feedback(COURSE, records, tmp_path / "feedback")
    assert len(written) == 3
    assert written[0] == tmp_path / "feedback" / "ada" / "attention" / "softmax.html"
    assert "2 of 6 points" in Text(written[0].read_text()).text
    assert sorted(path.parent.parent.parent for path in written) == [tmp_path / "feedback"] * 3
    assert [path for path in (tmp_path / "feedback").rglob("*") if path.suffix == ".part"] == []


NAMES = [
    "ada",
    "Ada",
    "ADA",
    "../ada",
    "a/b",
    "a\\b",
    "",
    ".",
    "..",
    "con",
    "nul.txt",
    "=1",
    "a" * 300,
    "a" * 301,
    "Zoë",
]
NAMES += ["a b", "a-b", "a\x00b", "\udcff", "ada.", "x-0123abcd", safe_name("Ada")]


def test_file_names_are_plain_and_never_shared() -> None:
    names = [safe_name(name) for name in NAMES]
    assert len({name.casefold() for name in names}) == len(NAMES)
    for name in names:
        assert re.fullmatch(r"[a-z0-9_][a-z0-9._-]{0,70}", name) and not name.endswith(".")
    assert safe_name("ada_lovelace-2") == "ada_lovelace-2"
    assert str(feedback_path("ada", "attention", "softmax")) == "ada/attention/softmax.html"


def test_folder_names() -> None:
    assert [name for name in NAMES if is_folder_name(name)] == [
        *("ada", "Ada", "ADA", "con", "nul.txt", "=1", "Zoë", "a b", "a-b", "ada.", "x-0123abcd"),
        safe_name("Ada"),
    ]


def test_text_is_cleaned() -> None:
    assert clean_text("\x1b[31mred\x1b[0m \x1b]0;title\x07 a\x00b") == "red  a�b"
    assert clean_text("10 %\r50 %\r100 %\ndone\r\nlast\r") == "100 %\ndone\nlast"
    assert clean_text("evil\u202etxt.exe") == "evil�txt.exe"
    assert clean_text("tab\tand\nline") == "tab\tand\nline"


def test_numbers_are_plain() -> None:
    assert [format_points(points) for points in (4.0, 4.5, 1 / 3, 0.0, 10.0)] == ["4", "4.5", "0.33", "0", "10"]
    assert [format_percentage(share) for share in (0.0, 0.001, 0.5, 0.999, 1.0, None)] == [
        *("0 %", "1 %", "50 %", "99 %", "100 %", "–"),
    ]
