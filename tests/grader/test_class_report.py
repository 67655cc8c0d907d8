"""The class report: self-contained, harmless whatever students are called, and quick for a large class."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import time
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, Diagnosis, ResultRecord
from grader.course import Course, Exercise, Framework, Kind, Limits, Topic
from grader.gradebook.class_report import render_class_report, score_bars, write_class_report
from grader.gradebook.feedback import write_feedback
from grader.gradebook.similarity import ExerciseSimilarity, Passage, SimilarPair
from grader.gradebook.summary import summarise

ROOT = Path("course")
TOPICS = (Topic("attention", "Attention"), Topic("metrics", "Metrics & <more>"))
EXERCISES = tuple(
    Exercise(ROOT, f"{topic}/{slug}", slug.title(), Kind.CODING, Framework.NUMPY, 1, 10, 6)
    for topic, slugs in (("attention", ("softmax", "masks", "heads")), ("metrics", ("auc", "recall")))
    for slug in slugs
)
COURSE = Course(ROOT, "demo", "Demo <course>", "1.0", Limits(), (), TOPICS, EXERCISES)
SCRIPT = "<script>alert('x')</script>"
HOSTILE = [
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "../../etc",
    "javascript:alert(1)",
    "a\udcffb",
    "&lt;b&gt;",
    "' onclick='x",
]
UNSCALED = Diagnosis("unscaled", "no scaling", f"Because of {SCRIPT}.", "exact")


def a_record(student: str, exercise: str = "attention/softmax", passed: int = 3, **values: object) -> ResultRecord:
    """Three checks of 2 points each, of which the first ones pass."""
    checks = tuple(
        CheckRecord(
            f"test_{number}",
            f"Check {number} of `x`.",
            CheckOutcome.PASSED if number < passed else CheckOutcome.FAILED,
            2.0 if number < passed else 0.0,
            2.0,
            message=SCRIPT,
        )
        for number in range(3)
    )
    values = {"status": SubmissionStatus.GRADED, "checks": checks, "max_points": 6.0, **values}
    return ResultRecord(student, exercise, **values)  # type: ignore[arg-type]


class Page(HTMLParser):
    """Tags with their attributes, text by tag, and ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("style", "script"):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(records: list[ResultRecord], **values: object) -> Page:
    return Page(render_class_report(summarise(records, COURSE), **values))  # type: ignore[arg-type]


def a_class() -> list[ResultRecord]:
    records = [a_record(f"student {number}", passed=number % 4) for number in range(8)]
    records[2] = replace(records[2], diagnoses=(UNSCALED,))
    return records


def test_the_overview_counts_and_averages() -> None:
    read = page(a_class(), generated=datetime(2025, 3, 4, 12, 30))
    # Shares are 0, 1/3, 2/3 and 1, twice each.
    assert "students 8" in read.text and "attempts graded 8" in read.text
    assert "mean score 50 %" in read.text and "median score 50 %" in read.text
    assert "2025-03-04 12:30" in read.text and "Demo <course>" in read.text
    assert "course version 1.0" in read.text


def test_histogram() -> None:
    bars = score_bars([0.0, 0.05, 0.1, 0.3, 0.99, 1.0], width=100, height=50)
    assert [bar.count for bar in bars] == [2, 1, 0, 1, 0, 0, 0, 0, 0, 2]
    assert [bar.label for bar in bars][:2] + [bars[-1].label] == ["0–10", "10–20", "90–100"]
    assert [bar.height for bar in bars][:3] == [50.0, 25.0, 0.0]
    assert [bar.y for bar in bars][:3] == [0.0, 25.0, 50.0]


def test_the_matrix_links_to_the_feedback_pages(tmp_path: Path) -> None:
    records = [*a_class(), a_record("Zoë #1?", "metrics/auc", passed=1)]
    feedback = write_feedback(COURSE, records, tmp_path / "results" / "feedback")
    report = write_class_report(
        summarise(records, COURSE),
        tmp_path / "results" / "report" / "class.html",
        feedback_directory=tmp_path / "results" / "feedback",
    )
    links = {link["href"] or "" for link in Page(report.read_text()).all("a")}
    targets = {(report.parent / unquote(link)).resolve() for link in links if not link.startswith("#")}
    assert targets == {path.resolve() for path in feedback}


def test_no_links_without_feedback() -> None:
    assert {(link["href"] or "")[:1] for link in page(a_class(), feedback=None).all("a")} == {"#"}


def test_links_inside_the_page_have_their_place() -> None:
    records = [*a_class(), a_record("twin", submission_hash="h"), a_record("other twin", submission_hash="h")]
    read = page(records, feedback=None)
    ids = {attributes["id"] for _, attributes in read.tags if "id" in attributes}
    assert {(link["href"] or "")[1:] for link in read.all("a")} <= ids


def test_problems_come_first_and_checks_that_may_be_wrong_are_named() -> None:
    records = [a_record(f"s{number}", passed=2) for number in range(5)]
    records.append(replace(a_record("zed"), status=SubmissionStatus.GRADER_ERROR, checks=(), message="died twice"))
    read = page(records)
    assert read.text.index("died twice") < read.text.index("mean score")
    assert read.text.index("1 check may be wrong") < read.text.index("mean score")
    assert "Nobody passes this check" in read.text
    assert "Everybody passes" in read.text
    # Everybody passes the first two, nobody the third, which comes first.
    assert "3 checks to look at" in read.text
    listed = read.text.split("separate nobody", 1)[1]
    assert listed.index("Nobody passes") < listed.index("Everybody passes")


def test_a_class_without_trouble_says_so() -> None:
    read = page([a_record("ada"), a_record("bob")])
    assert "Look at these first" not in read.text
    assert "Nobody stands out" in read.text
    assert "No submission behaves like a mistake" in read.text


def test_misconceptions_name_their_students() -> None:
    read = page(a_class())
    assert "no scaling" in read.text and "student 2" in read.text


def test_identical_submissions_are_shown_without_blame() -> None:
    read = page([a_record("ada", submission_hash="h"), a_record("bob", submission_hash="h")])
    assert "Identical submissions" in read.text and "no file can tell" in read.text


def test_misconceptions_lead_to_the_lesson_and_to_what_it_builds_on(tmp_path: Path) -> None:
    course = replace(
        COURSE, exercises=(EXERCISES[0], replace(EXERCISES[1], prerequisites=("attention/softmax",)), *EXERCISES[2:])
    )
    records = [replace(record, exercise="attention/masks") for record in a_class()]
    report = write_class_report(
        summarise(records, course), tmp_path / "results" / "report.html", course_root=tmp_path / "course"
    )
    links = {link["href"] for link in Page(report.read_text()).all("a")}
    assert "../course/exercises/attention/masks.ipynb" in links and "#item-attention/masks" in links
    assert "../course/exercises/attention/softmax.ipynb" in links, "what comes before it"


def test_item_analysis_and_times_of_the_exercises() -> None:
    records = [a_record(f"s{number}", passed=number % 4, seconds=number / 2) for number in range(1, 8)]
    read = page(records + [a_record(f"s{number}", "metrics/auc", passed=number % 4) for number in range(1, 8)])
    # Points 2, 4, 6, 0, 2, 4, 6 of 6 in both: the mean is 24 of 42; seconds from 0.5 to 3.5.
    assert "Softmax 7 2 0 0.57 1.00 10 2.00 3.50 0" in read.text
    assert "Auc 7 2 0 0.57 1.00 10 – – 0" in read.text, "nothing was run, so no time is known"


def test_an_exercise_that_the_good_ones_fail_comes_first() -> None:
    records = []
    for number in range(24):
        records.append(a_record(f"s{number}", passed=3 if number % 2 else 0))
        records.append(a_record(f"s{number}", "metrics/auc", passed=0 if number % 2 else 3))
    read = page(records)
    assert "2 exercises may be wrong" in read.text and "do worse in this one" in read.text


def similar(code: str, students: tuple[str, str] = ("ada", "bob")) -> ExerciseSimilarity:
    passages = (Passage(code, frozenset({2, 3})), Passage(code, frozenset({2})))
    pair = SimilarPair("attention/softmax", students, 0.874, 30, 25.0, False, passages)
    return ExerciseSimilarity("attention/softmax", 8, 1, 0.12, 0.5, (pair,))


def test_similar_submissions_are_shown_with_their_code_and_without_blame() -> None:
    read = page(a_class(), similarity=[similar("first\nsecond\nthird\nfourth"), ExerciseSimilarity("metrics/auc", 3)])
    assert "does not prove who wrote what" in read.text
    assert "ada , bob Softmax 87 % 12 %" in read.text
    assert "8 submissions compared" not in read.text and "11 submissions compared; 1 left out" in read.text
    assert "1 exercise has too few submissions" in read.text
    spans = [attributes for tag, attributes in read.tags if tag == "span" and attributes.get("class") == "shared"]
    assert len(spans) == 3, "two lines of one, one of the other"
    assert "second" in read.text and "first" not in read.text.split("Lines with a bar")[0].rpartition("compare")[2]
    ids = {attributes["id"] for _, attributes in read.tags if "id" in attributes}
    assert {link["href"] for link in read.all("a") if "#pair" in (link["href"] or "")} == {"#pair-1"}
    assert "pair-1" in ids


def test_no_similarity_is_said_and_none_computed_is_silent() -> None:
    assert "No two submissions are more alike" in page(a_class(), similarity=[]).text
    assert "Similar submissions" not in page(a_class()).text


def test_only_a_part_of_long_code_is_shown() -> None:
    code = "\n".join(f"line_{number} = '{'x' * 500}'" for number in range(2000))
    pair = SimilarPair(
        "attention/softmax", ("ada", "bob"), 0.9, 30, 25.0, True, (Passage(code, frozenset({1, 2000})),) * 2
    )
    read = page(a_class(), similarity=[ExerciseSimilarity("attention/softmax", 8, 0, 0.1, 0.5, (pair,))])
    assert "and 1940 more lines" in read.text and "90 %, same file" in read.text
    assert len(read.html) < 200_000


@pytest.mark.parametrize("status", list(SubmissionStatus))
def test_every_status_can_be_shown(status: SubmissionStatus) -> None:
    assert "ada" in page([replace(a_record("ada"), status=status, checks=())]).text


def test_an_empty_class_can_be_shown() -> None:
    assert "mean score –" in page([]).text


def test_no_student_can_run_anything_in_the_report() -> None:
    records = [a_record(name, passed=0, diagnoses=(UNSCALED,), submission_hash="same") for name in HOSTILE]
    records += [
        a_record(name, status=SubmissionStatus.UNREADABLE, checks=(), message=SCRIPT, source=SCRIPT, exercise=exercise)
        for name in HOSTILE
        for exercise in ("attention/masks", SCRIPT)
    ]
    read = page(records, similarity=[similar("\n".join(HOSTILE), (HOSTILE[0], HOSTILE[1]))])
    html = read.html
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 1 and "alert" not in scripts[0]
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in html, "the policy allows our script and no other"
    assert "img" not in [tag for tag, _ in read.tags]
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    addresses = [attributes["href"] or "" for attributes in read.all("a")]
    assert all(address.startswith(("#", "feedback/")) for address in addresses)


def test_the_report_loads_nothing_and_is_accessible() -> None:
    read = page([*a_class(), *(a_record("ada", exercise.id) for exercise in EXERCISES)])
    assert not read.all("link") and not [tag for tag in read.all("script") if "src" in tag]
    assert "http://" not in read.html.replace("http://www.w3.org", "") and "https://" not in read.html
    assert "url(" not in read.html and "@import" not in read.html
    assert read.all("html") == [{"lang": "en"}]
    assert all("scope" in header for header in read.all("th"))
    assert read.all("svg")[0]["role"] == "img" and read.all("svg")[0]["aria-label"]
    assert "prefers-color-scheme: dark" in read.html and "@media print" in read.html
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(following <= level + 1 for level, following in zip(levels, levels[1:], strict=False))


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_colours_contrast_in_light_and_dark() -> None:
    palettes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{([^}]*--page: #[0-9a-f]{6}[^}]*)\}", page([]).html)
    ]
    assert len(palettes) == 2
    pairs = [
        ("ink", "page"),
        ("ink", "card"),
        ("muted", "page"),
        ("muted", "card"),
        ("accent", "card"),
        ("ink", "code"),
    ]
    pairs += [(name, f"{name}-soft") for name in ("good", "fair", "bad")]
    pairs += [("bad", "card"), ("bad", "bad-soft"), ("ink", "fair-soft"), ("accent", "page"), ("muted", "code")]
    for palette in palettes:
        for front, back in pairs:
            light, dark = sorted((luminance(palette[front]), luminance(palette[back])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (front, back)


def test_three_hundred_students_take_less_than_two_seconds(tmp_path: Path) -> None:
    generator = random.Random(0)
    records = [
        a_record(
            f"student_{number}", exercise.id, generator.randrange(4), diagnoses=(UNSCALED,) * generator.randrange(2)
        )
        for number in range(300)
        for exercise in EXERCISES
    ]
    started = time.process_time()
    path = write_class_report(
        summarise(records, COURSE), tmp_path / "report.html", feedback_directory=tmp_path / "feedback"
    )
    assert time.process_time() - started < 2.0
    assert path.stat().st_size < 2_000_000
    assert path.read_text().count('<tr data-place="') == 300
