"""The class report in a real browser: it opens in silence, asks nobody for anything, and can be searched and sorted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from grader.course import load_course
from tests.grader.large_class import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STUDENTS, EXERCISES = 60, 8
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_report(path, load_course(Path(__file__).parents[2]), students=STUDENTS, exercises=EXERCISES)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.goto(report.as_uri())
    yield opened
    opened.close()


def names(page: Page, table: str) -> list[str]:
    """The headings of the rows that are shown."""
    shown: list[str] = page.eval_on_selector_all(
        f"{table} tbody tr", "rows => rows.filter(row => !row.hidden).map(row => row.cells[0].textContent.trim())"
    )
    return shown


def column(page: Page, number: int) -> list[str]:
    """A column of the matrix, from 0."""
    cells: list[str] = page.eval_on_selector_all(
        "#matrix tbody tr", f"rows => rows.map(row => row.cells[{number}].textContent.trim())"
    )
    return cells


def test_it_opens_in_silence_and_asks_nobody(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_timeout(200)
    assert said == [] and asked == [report.as_uri()]
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_only_tables_scroll_sideways(browser: Browser, report: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


def test_students_are_searched_and_filtered(page: Page) -> None:
    everybody = names(page, "#matrix")
    assert len(everybody) == STUDENTS
    page.fill("#filter", "STUDENT-01")
    assert names(page, "#matrix") == [f"student-01{digit}" for digit in range(10)]
    assert page.inner_text("#shown") == f"10 of {STUDENTS} students"
    page.fill("#filter", "")
    page.select_option("#group", "help")
    assert 0 < len(names(page, "#matrix")) < STUDENTS
    assert set(names(page, "#matrix")) == set(names(page, "#help table"))
    page.select_option("#group", "")
    assert names(page, "#matrix") == everybody and page.inner_text("#shown") == ""


def test_a_long_table_has_a_field_to_search_it(page: Page) -> None:
    misconceptions = len(names(page, "#misconceptions table"))
    page.fill("#misconceptions input", "softmax")
    found = page.locator("#misconceptions tbody tr:visible").all_inner_texts()
    assert all("softmax" in text.lower() for text in found) and len(found) < misconceptions


def test_columns_are_sorted_by_button_and_keyboard(page: Page) -> None:
    points = page.locator("#matrix th", has=page.get_by_role("button", name="Points"))
    points.get_by_role("button").click()
    shares = [float(text.split("·")[1].removesuffix("%")) for text in column(page, 1)]
    assert shares == sorted(shares) and points.get_attribute("aria-sort") == "ascending"
    points.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert [float(text.split("·")[1].removesuffix("%")) for text in column(page, 1)] == sorted(shares, reverse=True)
    assert points.get_attribute("aria-sort") == "descending"


def test_the_column_below_a_second_row_of_headings_is_sorted(page: Page) -> None:
    # The fourth exercise stands in the sixth column, below the headings of the topics.
    heading = page.locator("#matrix tr.titles th").nth(3)
    heading.get_by_role("button").click()
    cells = column(page, 5)
    scores = [float(text.rstrip("!")) for text in cells if text not in ("–", "○")]
    assert scores == sorted(scores) and len(scores) < len(cells)
    assert set(cells[len(scores) :]) <= {"–", "○"}, "what has no number comes last"
    assert page.locator("#matrix [aria-sort]").count() == 1
    longest = page.locator("#items th", has=page.get_by_role("button", name="longest"))
    longest.get_by_role("button").click()
    seconds = page.eval_on_selector_all("#items tbody tr", "rows => rows.map(row => Number(row.cells[8].textContent))")
    assert seconds == sorted(seconds) and longest.get_attribute("aria-sort") == "ascending"


def test_a_link_opens_what_it_leads_to(page: Page) -> None:
    link = page.locator("#similar a[href^='#pair-']").first
    target = page.locator(str(link.get_attribute("href")))
    assert target.get_attribute("open") is None
    link.click()
    assert target.get_attribute("open") is not None
    assert target.locator("pre").count() == 2 and target.locator(".shared").count() > 10


def test_headings_stay_in_sight(page: Page) -> None:
    page.eval_on_selector(".matrix", "window => { window.scrollTop = 600; window.scrollLeft = 100 }")
    box, heading = page.locator(".matrix").bounding_box(), page.locator("#matrix .corner").bounding_box()
    assert box is not None and heading is not None
    assert abs(heading["y"] - box["y"]) < 3 and abs(heading["x"] - box["x"]) < 3


def test_it_is_readable_without_scripts(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("#controls").is_hidden()
    assert page.get_by_role("button").count() == 0, "no control that does nothing"
    assert page.locator("#matrix tbody tr").count() == STUDENTS
    context.close()


def test_it_prints_without_windows_and_controls(page: Page) -> None:
    page.emulate_media(media="print")
    assert page.locator("#controls").is_hidden() and page.locator("nav").is_hidden()
    tall = page.eval_on_selector_all(
        ".scroll, .matrix", "all => all.filter(one => one.scrollHeight > one.clientHeight + 2).length"
    )
    assert tall == 0
    assert page.get_by_text("rows are printed").first.is_visible()
