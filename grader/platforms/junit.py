"""JUnit XML from result records: a test suite for every student and exercise, a test case for every check.

Elements and attributes are those that Jenkins' xUnit plugin reads (junit-10.xsd of jenkinsci/xunit-plugin): testsuites,
testsuite, properties, testcase, failure, error, skipped. Times are in seconds. It is for instructors: messages are
whole.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord
from grader.gradebook.wording import OUTCOME_WORDS, clean_text, format_points

MESSAGE_LIMIT = 6_000
NAME = "course grade"
# What XML 1.0 has no way to write, beyond what `clean_text` replaces.
_NO_XML = re.compile("[\ufffe\uffff]")
_ELEMENT = {
    CheckOutcome.FAILED: "failure",
    CheckOutcome.TIMEOUT: "failure",
    CheckOutcome.CRASHED: "failure",
    CheckOutcome.ERROR: "error",
    CheckOutcome.SKIPPED: "skipped",
}
_STATUS_ELEMENT = {
    SubmissionStatus.GRADER_ERROR: "error",
    SubmissionStatus.MISSING: "skipped",
    SubmissionStatus.DUPLICATE: "skipped",
}


def junit_xml(records: Iterable[ResultRecord]) -> str:
    """The report, with the records in their order."""
    root = ElementTree.Element("testsuites", name=NAME)
    suites = [_suite(root, record) for record in records]
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in suites):.3f}")
    ElementTree.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(root: ElementTree.Element, record: ResultRecord) -> ElementTree.Element:
    suite = ElementTree.SubElement(root, "testsuite", name=_text(f"{record.student} {record.exercise}"))
    properties = ElementTree.SubElement(suite, "properties")
    values = {
        "student": record.student,
        "exercise": record.exercise,
        "status": record.status.value,
        "points": format_points(record.points),
        "max_points": format_points(record.max_points),
        "checks": record.checks_hash,
        "submission": record.submission_hash,
        "diagnosis": "; ".join(found.id for found in record.diagnoses),
    }
    for name, value in values.items():
        ElementTree.SubElement(properties, "property", name=name, value=_text(value))
    for check in record.checks:
        _case(suite, record, check)
    if record.status is not SubmissionStatus.GRADED:
        # Checks that were skipped would look as if nothing were wrong.
        case = ElementTree.SubElement(suite, "testcase", classname=_classname(record), name="notebook", time="0.000")
        _note(
            case,
            _STATUS_ELEMENT.get(record.status, "failure"),
            record.status.value,
            record.status.value,
            record.message,
        )
    suite.set("tests", str(len(suite.findall("testcase"))))
    for count, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(len(suite.findall(f"testcase/{element}"))))
    suite.set("time", f"{record.seconds:.3f}")
    return suite


def _case(suite: ElementTree.Element, record: ResultRecord, check: CheckRecord) -> None:
    time = f"{check.seconds:.3f}"
    case = ElementTree.SubElement(suite, "testcase", classname=_classname(record), name=_text(check.name), time=time)
    element = _ELEMENT.get(check.outcome)
    if element is not None:
        title = check.title or OUTCOME_WORDS[check.outcome]
        _note(case, element, check.outcome.value, title, check.message)


def _classname(record: ResultRecord) -> str:
    return record.exercise.replace("/", ".")


def _note(case: ElementTree.Element, element: str, kind: str, title: str, message: str) -> None:
    note = ElementTree.SubElement(case, element, type=kind, message=_text(title))
    note.text = _text(message)


def _text(text: str) -> str:
    return _NO_XML.sub("\ufffd", clean_text(text, MESSAGE_LIMIT))
