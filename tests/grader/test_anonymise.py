"""`course anonymise`: a copy of results in which no byte tells whose they are, and a key that stays behind."""

from __future__ import annotations

import csv
import json
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from grader import cli
from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import Course
from grader.gradebook.anonymous_records import IdsInText, anonymous_similarity
from grader.gradebook.errors import GradebookError
from grader.gradebook.pseudonyms import complete_key, read_key
from grader.gradebook.similarity import ExerciseSimilarity, Passage, SimilarPair
from grader.grading.anonymising import KEY_NAME, MARKER_NAME, Anonymised, anonymise
from grader.grading.class_grading import ClassRun, grade_class
from grader.grading.output_folder import claim
from grader.grading.results_file import ResultsError, read_results, write_results
from tests.grader.small_course import hand_in, make_course

pytest.importorskip("nbgrader")

HOSTILE = "evelyn\u202e <script>alert(1)"
ORDINARY = ["ada-lovelace", "bob.barker", "ines_álvarez", "joan", "oscar", "ulla"]
STUDENTS = [*ORDINARY, HOSTILE]
LONG = """def doubling(number):
    '''By {name}, for the course.'''
    remembered = []
    for position in range(3):
        remembered.append(number if position < 2 else 0)
    text = ",".join(str(value) for value in remembered)
    parts = [float(value) for value in text.split(",")]
    largest, smallest = max(parts), min(parts)
    if largest == smallest == 0:
        return 0
    return type(number)(sum(sorted(parts, reverse=True)))
"""
PLAIN = "print('{name} was here, not {name}son')\ndef doubling(number):\n    return number {formula}\n"
PLAIN += "def second_of(text):\n    raise ValueError(text)"
FORMULAS = ["+ number", "* 2", "* 2.0 // 1", "* second_of('Joan said so')"]


@dataclass
class Class:
    """A class that was graded: one handed a solution on to another, and one was late."""

    course: Course
    results: Path

    def copy(self, folder: Path, key: Path | None = None) -> Anonymised:
        return anonymise(self.course, self.results, folder, key or self.results / KEY_NAME)


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Class:
    place = tmp_path_factory.mktemp("anonymise")
    course = make_course(place / "course")
    stub = course.exercises[0].stub_path
    submitted = place / "submitted"
    for student in ("joan", "ada-lovelace"):
        hand_in(submitted, student, stub, LONG.format(name=student))
    for student, formula in zip(["bob.barker", "ines_álvarez", "oscar", "ulla"], FORMULAS, strict=True):
        hand_in(submitted, student, stub, PLAIN.format(name=student, formula=formula))
    hand_in(submitted, HOSTILE, stub, "def doubling(number):\n    return number * 2")
    hand_in(submitted, "joan", course.exercises[1].stub_path, "def halving(number):\n    return number / 2")
    shutil.copy(submitted / "oscar" / "numbers" / "doubling.ipynb", submitted / "oscar")
    shutil.copy(submitted / "oscar" / "doubling.ipynb", submitted / "ulla" / "Ulla Unknown, the first half.ipynb")
    results = place / "results"
    grade_class(ClassRun(course, submitted, results, course.exercises, jobs=2))
    (results / "late_submissions.csv").write_text(
        "student,exercise,handed_in_utc,due_utc,seconds_late,score,penalty\n"
        "oscar,numbers/doubling,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z,86400.0,4.0,0.5\n"
    )
    return Class(course, results)


@pytest.fixture(scope="module")
def shared(graded: Class, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given") / "shared"
    graded.copy(folder)
    return folder


@pytest.fixture
def key(graded: Class, shared: Path) -> dict[str, str]:
    return read_key(graded.results / KEY_NAME)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


class TestTheCopy:
    def test_the_real_results_name_students_wherever_the_copy_must_not(self, graded: Class) -> None:
        """Otherwise the next test could not fail."""
        report = (graded.results / "report.html").read_text(encoding="utf-8")
        assert "By joan, for the course" in report
        record = next(record for record in read_results(graded.results).records if record.student == "bob.barker")
        assert "bob.barker was here" in record.output
        messages = " ".join(record.message for record in read_results(graded.results).records)
        assert "Ulla Unknown" in messages
        assert "oscar" in messages
        checks = (check for record in read_results(graded.results).records for check in record.checks)
        assert any("Joan said so" in check.message for check in checks)

    def test_no_byte_of_it_tells_a_student(self, graded: Class, shared: Path) -> None:
        assert len(files(shared)) > 10
        for path in files(shared):
            content = str(path.relative_to(shared)).casefold().encode() + path.read_bytes()
            folded = content.decode("utf-8").casefold()
            told = [
                *ORDINARY,
                "\\u00e1lvarez",
                "ulla unknown",
                "evelyn",
                "script>alert",
                "submitted",
                str(graded.results),
            ]
            found = [name for name in told if _stands_in(name, folded)]
            assert not found, path

    def test_it_has_every_report_under_pseudonyms(self, graded: Class, shared: Path, key: dict[str, str]) -> None:
        names = {path.name for path in shared.iterdir()}
        reports = {"results.jsonl", "grades.csv", "checks.csv", "tables", "feedback", "report.html"}
        assert names == {*reports, MARKER_NAME}
        assert {row["student"] for row in rows(shared / "grades.csv")} == set(key.values())
        pages = {path.relative_to(graded.results / "feedback") for path in files(graded.results / "feedback")}
        assert len(files(shared / "feedback")) == len(pages) > 0
        assert {path.name for path in (shared / "feedback").iterdir()} <= set(key.values())
        for pseudonym in key.values():
            assert pseudonym in (shared / "report.html").read_text(encoding="utf-8")

    def test_everybody_keeps_points_and_outcomes(self, graded: Class, shared: Path, key: dict[str, str]) -> None:
        def told(folder: Path, name: Callable[[str], str]) -> set[tuple[object, ...]]:
            return {
                (name(record.student), record.exercise, record.status, record.points, record.submission_hash)
                for record in read_results(folder).records
            }

        assert told(shared, str) == told(graded.results, lambda student: key[student])

    def test_a_late_penalty_is_taken_off(self, shared: Path, key: dict[str, str]) -> None:
        row = next(row for row in rows(shared / "grades.csv") if row["student"] == key["oscar"])
        assert row["late_penalty"] == "0.5"
        assert float(row["total"]) == float(row["numbers/doubling"]) - 0.5
        page = shared / "feedback" / key["oscar"] / "numbers" / "doubling.html"
        assert "Handed in 1 day after it was due" in page.read_text(encoding="utf-8")

    def test_similar_submissions_are_found_in_the_notebooks_and_shown_under_pseudonyms(
        self, shared: Path, key: dict[str, str]
    ) -> None:
        (pair,) = rows(shared / "tables" / "similarity.csv")
        assert {pair["student_1"], pair["student_2"]} == {key["joan"], key["ada-lovelace"]}
        report = (shared / "report.html").read_text(encoding="utf-8")
        assert f"By {key['joan']}, for the course" in report

    def test_rows_stand_in_the_order_of_the_pseudonyms(self, shared: Path) -> None:
        records = [record.student for record in read_results(shared).records]
        assert records == sorted(records)
        for name in ("grades.csv", "checks.csv", "tables/results.csv", "tables/students.csv"):
            students = [row["student"] for row in rows(shared / name)]
            assert students == sorted(students), name


class TestTheKey:
    def test_is_for_its_owner_alone_and_says_who_is_who(self, graded: Class, key: dict[str, str]) -> None:
        path = graded.results / KEY_NAME
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert set(STUDENTS) <= set(key)
        assert len(set(key.values())) == len(key)

    def test_keeps_pseudonyms_from_copy_to_copy_and_across_results(
        self, graded: Class, shared: Path, key: dict[str, str], tmp_path: Path
    ) -> None:
        private = tmp_path / "private" / "key.json"
        private.parent.mkdir()
        shutil.copy(graded.results / KEY_NAME, private)
        private.chmod(0o644)
        other = tmp_path / "other"
        record = read_results(graded.results).records[0]
        write_results([replace(record, student=student) for student in ("ulla", "newcomer")], other)
        done = anonymise(graded.course, other, tmp_path / "copy", private)
        assert done.new == 1
        both = read_key(private)
        assert {student: both[student] for student in key} == key
        students = {record.student for record in read_results(tmp_path / "copy").records}
        assert students == {key["ulla"], both["newcomer"]}
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        assert graded.copy(tmp_path / "again", private).new == 0
        assert (tmp_path / "again" / "grades.csv").read_bytes() == (shared / "grades.csv").read_bytes()

    @pytest.mark.parametrize("place", ["key.json", "below/key.json"])
    def test_never_lies_in_the_copy(self, graded: Class, tmp_path: Path, place: str) -> None:
        with pytest.raises(GradebookError, match="would lie in the folder that is given away"):
            graded.copy(tmp_path / "copy", tmp_path / "copy" / place)
        link = tmp_path / "link.json"
        link.symlink_to(tmp_path / "copy" / place)
        with pytest.raises(GradebookError, match="would lie in the folder that is given away"):
            graded.copy(tmp_path / "copy", link)
        assert not (tmp_path / "copy").exists()

    @pytest.mark.parametrize(
        "text",
        ["{", "[]", '{"ada": "../../etc"}', '{"a": "anonymous-4f7k2", "b": "anonymous-4f7k2"}', '{"a": 1}'],
    )
    def test_that_is_something_else_is_refused_and_kept(self, graded: Class, tmp_path: Path, text: str) -> None:
        path = tmp_path / "key.json"
        path.write_text(text)
        with pytest.raises(GradebookError, match="no key that"):
            graded.copy(tmp_path / "copy", path)
        assert path.read_text() == text
        assert not (tmp_path / "copy").exists()

    def test_draws_no_pseudonym_that_is_somebodys_id(self) -> None:
        first = complete_key({}, ["ada"]).pseudonyms["ada"]
        both = complete_key({"ada": first}, [first, "ada"]).pseudonyms
        assert both["ada"] == first
        assert both[first] != first


class TestTheFolder:
    def test_of_an_earlier_copy_is_written_anew(self, graded: Class, tmp_path: Path) -> None:
        folder = tmp_path / "copy"
        graded.copy(folder)
        left = folder / "feedback" / "anonymous-22222" / "numbers" / "doubling.html"
        left.parent.mkdir(parents=True)
        left.write_text("somebody who is no longer in the class")
        graded.copy(folder)
        assert not left.exists()
        assert (folder / "report.html").is_file()

    def test_with_anything_else_in_it_is_left_alone(self, graded: Class, tmp_path: Path) -> None:
        folder = tmp_path / "copy"
        graded.copy(folder)
        (folder / "gradebook.db").write_text("names")
        before = {path: path.stat().st_mtime_ns for path in files(folder)}
        with pytest.raises(GradebookError, match=r"gradebook\.db"):
            graded.copy(folder)
        with pytest.raises(GradebookError, match="was not written by"):
            graded.copy(graded.results, tmp_path / "key.json")
        assert {path: path.stat().st_mtime_ns for path in files(folder)} == before

    def test_that_is_a_copy_is_not_copied_again(self, graded: Class, shared: Path, tmp_path: Path) -> None:
        with pytest.raises(GradebookError, match="anonymous already"):
            anonymise(graded.course, shared, tmp_path / "copy", tmp_path / "key.json")

    def test_without_results_is_told(self, graded: Class, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(ResultsError, match="there are no results here"):
            anonymise(graded.course, tmp_path / "empty", tmp_path / "copy", tmp_path / "key.json")
        assert not (tmp_path / "key.json").exists()

    def test_waits_for_a_grader_that_is_writing_the_results(self, graded: Class, tmp_path: Path) -> None:
        with claim(graded.results), pytest.raises(RuntimeError, match="is in use"):
            graded.copy(tmp_path / "copy")


class TestIdsInText:
    IDS = IdsInText(
        {
            "ada": "A",
            "ada-2": "B",
            "s1234567": "C",
            "José": "D",
            "x": "E",
            "42": "F",
            "-=-": "G",
            "mal\u202eice <b>": "H",
        }
    )

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("ada's file, by Ada (ADA)", "A's file, by A (A)"),
            ("adapt an armada", "adapt an armada"),
            ("ada_1.ipynb and ada-2.ipynb", "A_1.ipynb and B.ipynb"),
            ("/home/s1234567/x.py", "/home/C/x.py"),
            ("José, and Jose\u0301", "D, and D"),
            ("x = 42", "x = 42"),
            ("a line -=- of signs", "a line G of signs"),
            ("by \x1b[31mada\x1b[0m in red, a\x1b[1md\x1b[0ma in bold", "by A in red, A in bold"),
            ("name: ---\rname: ada", "name: A"),
            ("mal\u202eice <b> was here", "H was here"),
        ],
    )
    def test_are_replaced_where_they_stand_alone(self, text: str, expected: str) -> None:
        assert self.IDS.replace(text) == expected

    def test_of_a_numbered_class_are_told_apart(self) -> None:
        ids = IdsInText({f"student-{number:04}": f"<{number}>" for number in range(3000)})
        assert ids.replace("student-0007 copied student-2999, not student 7") == "<7> copied <2999>, not student 7"


def test_a_pair_does_not_keep_the_order_of_its_ids() -> None:
    passages = (Passage("by ada", frozenset({1})), Passage("by bob", frozenset({1})))
    pair = SimilarPair("numbers/doubling", ("ada", "bob"), 1.0, 20, 20.0, same_file=False, passages=passages)
    (exercise,) = anonymous_similarity(
        [ExerciseSimilarity("numbers/doubling", 6, pairs=(pair,))], {"ada": "zulu", "bob": "alpha"}
    )
    assert exercise.pairs[0].students == ("alpha", "zulu")
    assert [passage.code for passage in exercise.pairs[0].passages or ()] == ["by alpha", "by zulu"]


class TestCommand:
    def test_tells_where_copy_and_key_are(
        self, graded: Class, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COURSE_ROOT", str(graded.course.root))
        results = tmp_path / "results"
        refused = ResultRecord("../x", "", SubmissionStatus.REFUSED, message="The name '../x' is not safe", source="x")
        short = ResultRecord("7", "numbers/doubling", SubmissionStatus.MISSING)
        write_results([*read_results(graded.results).records, refused, short], results)
        arguments = ["anonymise", str(results), str(tmp_path / "copy"), "--json"]
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert not caught.value.code
        told = json.loads(capsys.readouterr().out)
        assert told["key"] == str(results / KEY_NAME)
        assert told["students"] == told["new"] == len(read_key(results / KEY_NAME)) == len(STUDENTS) + 2
        assert any(note.endswith("output: 7") for note in told["notes"])
        assert "../x" not in (tmp_path / "copy" / "report.html").read_text(encoding="utf-8")
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments[:-1])
        assert not caught.value.code
        assert "0 of them new" in capsys.readouterr().out

    def test_ends_with_2_where_the_key_would_be_given_away(
        self, graded: Class, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COURSE_ROOT", str(graded.course.root))
        copy = str(tmp_path / "copy")
        with pytest.raises(SystemExit) as caught:
            cli.main(["anonymise", str(graded.results), copy, "--key", f"{copy}/key.json"])
        assert caught.value.code == 2
        assert "--key" in capsys.readouterr().err


def _stands_in(name: str, text: str) -> bool:
    """Whether a name stands in a text, other than at the start of a longer word of a student's own (oscarson)."""
    return name.casefold() in text.replace(f"{name.casefold()}son", "")
