"""The results formats of Gradescope, PrairieLearn, GitHub Classroom and JUnit: golden files and published rules."""

from __future__ import annotations

import base64
import json
import xml.etree.ElementTree as ElementTree
from typing import Any

import jsonschema
import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord
from grader.platforms.classroom_results import classroom_results, encoded
from grader.platforms.gradescope_results import Visibility, gradescope_results
from grader.platforms.junit import junit_xml
from grader.platforms.prairielearn_results import prairielearn_results
from tests.grader.platforms.sample import (
    DOT,
    METRICS,
    MISSING,
    OUR_FAULT,
    PARTLY,
    RIGHT,
    SYNTAX,
    TITLES,
    compare_with_golden,
    record,
)

# --- what the platforms say of their formats, in our words -----------------------------------------------------------

NUMBER, TEXT = {"type": "number"}, {"type": "string"}
VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
# https://gradescope-autograders.readthedocs.io/en/latest/specs/
GRADESCOPE = {
    "type": "object",
    "required": ["score", "tests"],
    "additionalProperties": False,
    "properties": {
        "score": NUMBER,
        "execution_time": NUMBER,
        "output": TEXT,
        "output_format": FORMAT,
        "test_output_format": FORMAT,
        "test_name_format": FORMAT,
        "visibility": VISIBILITY,
        "stdout_visibility": VISIBILITY,
        "extra_data": {"type": "object"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "score": NUMBER,
                    "max_score": NUMBER,
                    "status": {"enum": ["passed", "failed"]},
                    "name": TEXT,
                    "name_format": FORMAT,
                    "number": TEXT,
                    "output": TEXT,
                    "output_format": FORMAT,
                    "tags": {"type": "array", "items": TEXT},
                    "visibility": VISIBILITY,
                    "extra_data": {"type": "object"},
                },
            },
        },
    },
}
# https://prairielearn.readthedocs.io/en/latest/externalGrading/, "Grading results"
PRAIRIELEARN = {
    "type": "object",
    "properties": {
        "gradable": {"type": "boolean"},
        "score": {"type": "number", "minimum": 0.0, "maximum": 1.0},
        "format_errors": {"anyOf": [TEXT, {"type": "array", "items": TEXT}]},
        "message": TEXT,
        "output": TEXT,
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "points", "max_points"],
                "properties": {
                    "name": TEXT,
                    "description": TEXT,
                    "points": NUMBER,
                    "max_points": NUMBER,
                    "message": TEXT,
                    "output": TEXT,
                },
            },
        },
    },
    "if": {"properties": {"gradable": {"const": True}}},
    "then": {"required": ["score"]},
    "else": {"required": ["format_errors"]},
}
# classroom-resources/autograding-grading-reporter and autograding-io-grader, what the one reads and the other writes
CLASSROOM = {
    "type": "object",
    "required": ["version", "status", "max_score", "tests"],
    "properties": {
        "version": {"const": 1},
        "status": {"enum": ["pass", "fail", "error"]},
        "max_score": NUMBER,
        "tests": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "status", "score", "message"],
                "properties": {
                    "name": TEXT,
                    "status": {"enum": ["pass", "fail", "error"]},
                    "message": {"anyOf": [TEXT, {"type": "null"}]},
                    "score": NUMBER,
                    "line_no": NUMBER,
                },
            },
        },
    },
}
# junit-10.xsd of jenkinsci/xunit-plugin: element -> (elements in it, attributes it must have, attributes it may have)
JUNIT: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": ({"testsuite"}, set(), {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        {"properties", "testcase", "system-out", "system-err"},
        {"name", "tests", "failures", "errors"},
        {"time", "skipped", "timestamp", "hostname", "id", "package"},
    ),
    "properties": ({"property"}, set(), set()),
    "property": (set(), {"name", "value"}, set()),
    "testcase": ({"failure", "error", "skipped"}, {"name"}, {"time", "classname", "group"}),
    "failure": (set(), set(), {"type", "message"}),
    "error": (set(), set(), {"type", "message"}),
    "skipped": (set(), set(), {"type", "message"}),
}

EVERY_STATUS = [record("ada", DOT, status, *PARTLY.checks, message="\x1b[31m\ud800<&>") for status in SubmissionStatus]


def as_json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def assert_follows_junit(element: ElementTree.Element) -> None:
    inside, required, optional = JUNIT[element.tag]
    assert required <= set(element.attrib) <= required | optional, element.tag
    for child in element:
        assert child.tag in inside
        assert_follows_junit(child)


# --- golden files ----------------------------------------------------------------------------------------------------


def test_gradescope() -> None:
    results = gradescope_results([PARTLY, SYNTAX], TITLES, about={"submission": 123456})
    jsonschema.validate(results, GRADESCOPE)
    compare_with_golden("gradescope.json", as_json(results))


def test_prairielearn() -> None:
    results = prairielearn_results(PARTLY)
    jsonschema.validate(results, PRAIRIELEARN)
    compare_with_golden("prairielearn.json", as_json(results))
    not_gradable = prairielearn_results(SYNTAX)
    jsonschema.validate(not_gradable, PRAIRIELEARN)
    assert not_gradable["gradable"] is False and "invalid syntax" in not_gradable["format_errors"][0]


def test_classroom() -> None:
    results = classroom_results([PARTLY, SYNTAX])
    jsonschema.validate(results, CLASSROOM)
    compare_with_golden("classroom.json", as_json(results))
    assert json.loads(base64.b64decode(encoded(results))) == results


def test_junit() -> None:
    text = junit_xml([PARTLY, RIGHT, SYNTAX, MISSING, OUR_FAULT])
    assert_follows_junit(ElementTree.fromstring(text))
    compare_with_golden("junit.xml", text)


# --- every status, and what must not be told -------------------------------------------------------------------------


@pytest.mark.parametrize("result", EVERY_STATUS, ids=lambda result: result.status.value)
def test_every_status_has_a_form(result: ResultRecord) -> None:
    jsonschema.validate(gradescope_results([result], TITLES), GRADESCOPE)
    jsonschema.validate(prairielearn_results(result), PRAIRIELEARN)
    jsonschema.validate(classroom_results([result]), CLASSROOM)
    assert_follows_junit(ElementTree.fromstring(junit_xml([result])))


def test_points_are_those_of_the_record() -> None:
    gradescope = gradescope_results([PARTLY, RIGHT], TITLES)
    assert gradescope["score"] == sum(test["score"] for test in gradescope["tests"]) == 8
    assert prairielearn_results(PARTLY)["score"] == 0.4
    classroom = classroom_results([PARTLY, RIGHT])
    assert sum(test["score"] for test in classroom["tests"]) == 8 and classroom["max_score"] == 20


@pytest.mark.parametrize("visibility", Visibility)
def test_hidden_checks_tell_no_values_whoever_may_see_them(visibility: Visibility) -> None:
    gradescope = gradescope_results([PARTLY], TITLES, hidden_visibility=visibility)
    everything = as_json(gradescope) + as_json(prairielearn_results(PARTLY)) + as_json(classroom_results([PARTLY]))
    for secret in ("0.25", "0.73", "our bug"):
        assert secret not in everything
    assert "Expected 3, got 4." in everything, "the visible check is in the notebook, values and all"
    assert gradescope["stdout_visibility"] == "hidden"
    of_hidden = {test["visibility"] for test in gradescope["tests"] if test["extra_data"]["check"] != "test_example"}
    assert of_hidden == {visibility.value}


def test_gradescope_says_nothing_about_hidden_checks_above_the_tests() -> None:
    assert gradescope_results([PARTLY], TITLES)["output"] == gradescope_results([RIGHT], TITLES)["output"] == ""


def test_several_exercises_are_told_apart() -> None:
    tests = gradescope_results([PARTLY, SYNTAX], TITLES)["tests"]
    assert [test["number"] for test in tests] == ["1.1", "1.2", "1.3", "1.4", "1.5", "2.1", "2.2"]
    assert tests[0]["name"].startswith(TITLES[DOT]) and tests[5]["tags"] == [METRICS]


def test_junit_counts_and_survives_any_text() -> None:
    odd = CheckRecord("test_\x00", "\ud800\ufffe]]>", CheckOutcome.CRASHED, 0.0, 1.0, message="<&>\x1b[1m\x0b")
    root = ElementTree.fromstring(junit_xml([record("a\x01", DOT, SubmissionStatus.GRADED, odd), PARTLY, OUR_FAULT]))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("7", "4", "2")
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None and failure.text and "<&>" in failure.text
