"""`course collect` from a real exchange directory, filled by nbgrader's own release and submit, and by a villain."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grader.cli import main
from grader.course import load_course
from grader.gradebook.nbgrader_connection import open_gradebook

pytest.importorskip("nbgrader")

ROOT = Path(__file__).resolve().parents[2]
STUB = load_course(ROOT).exercise("attention/scaled_dot_product").stub_path
TOPIC, COURSE_ID = "attention", "multimodal"


@pytest.fixture
def exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An exchange in which the topic was released; nbgrader's settings are found where Jupyter looks for them."""
    settings = tmp_path / "settings"
    settings.mkdir()
    place = tmp_path / "exchange"
    (settings / "nbgrader_config.py").write_text(
        f"c = get_config()\nc.Exchange.root = {str(place)!r}\nc.CourseDirectory.course_id = {COURSE_ID!r}\n"
        "c.ExchangeCollect.check_owner = False\n"
    )
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(settings))
    monkeypatch.setenv("COURSE_ROOT", str(ROOT))
    monkeypatch.chdir(tmp_path)
    (place / COURSE_ID / "inbound").mkdir(parents=True)
    place.chmod(0o777)
    yield place


def submit(exchange: Path, student: str, time: str, text: str = "", *, folder: str = "") -> Path:
    """A submission as nbgrader's own `submit` lays it out."""
    place = exchange / COURSE_ID / "inbound" / (folder or f"{student}+{TOPIC}+{time}+{'0' * 4}")
    place.mkdir()
    (place / STUB.name).write_text(text or STUB.read_text())
    (place / "timestamp.txt").write_text(time)
    (place / "submission_secret.txt").write_text("ab" * 64)
    return place


def collect(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        main(["collect", TOPIC, "--json", *arguments])
    out = capsys.readouterr().out
    return int(exit.value.code or 0), json.loads(out) if out else {}


def outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {entry["student"]: entry["outcome"] for entry in result["submissions"] if entry["student"]}


FIRST, SECOND, THIRD = (f"2026-01-{day} 10:00:00.000000 UTC" for day in (10, 20, 30))


def test_what_nbgrader_submitted_is_collected(
    exchange: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from nbgrader.auth import Authenticator
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.exchange import ExchangeFactory
    from traitlets.config import Config

    config = Config()
    config.Exchange.root, config.Exchange.cache = str(exchange), str(tmp_path / "cache")
    config.CourseDirectory.course_id, config.CourseDirectory.root = COURSE_ID, str(tmp_path)
    config.CourseDirectory.assignment_id = TOPIC
    released = exchange / COURSE_ID / "outbound" / TOPIC
    released.mkdir(parents=True)
    (released / STUB.name).write_bytes(STUB.read_bytes())
    (tmp_path / TOPIC).mkdir()
    (tmp_path / TOPIC / STUB.name).write_text("my work")
    (exchange / COURSE_ID / "inbound").chmod(0o777)
    config.CourseDirectory.student_id = "zoë.å"
    directory = CourseDirectory(config=config)
    factory = ExchangeFactory(config=config)
    factory.Submit(coursedir=directory, authenticator=Authenticator(config=config), config=config).start()

    status, result = collect(capsys)
    assert (status, outcomes(result)) == (0, {"zoë.å": "collected"})
    folder = tmp_path / "submitted" / "zoë.å" / TOPIC
    assert (folder / STUB.name).read_text() == "my work"
    assert result["submissions"][0]["timestamp"][:16] == (folder / "timestamp.txt").read_text()[:16].replace(" ", "T")
    assert collect(capsys)[1]["submissions"][0]["outcome"] == "kept"


def test_newest_update_and_before_the_due_date(
    exchange: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    notebook = tmp_path / "submitted" / "ada" / TOPIC / STUB.name
    submit(exchange, "ada", FIRST, "first")
    submit(exchange, "ada", SECOND, "second")
    submit(exchange, "late", THIRD, "third")
    assert outcomes(collect(capsys)[1]) == {"ada": "collected", "late": "collected"}
    assert notebook.read_text() == "second"
    submit(exchange, "ada", THIRD, "third")
    assert outcomes(collect(capsys)[1])["ada"] == "kept"
    assert notebook.read_text() == "second"
    assert outcomes(collect(capsys, "--update")[1]) == {"ada": "updated", "late": "kept"}
    assert notebook.read_text() == "third"

    database = f"sqlite:///{tmp_path / 'results' / 'gradebook.db'}"
    assert collect(capsys, "--before-duedate")[0] == 2, "there is no gradebook"
    with open_gradebook(database, "default_course") as gradebook:
        gradebook.add_assignment(TOPIC)
    status, _ = collect(capsys, "--before-duedate")
    assert status == 2, "there is no due date"
    with open_gradebook(database, "default_course") as gradebook:
        gradebook.update_or_create_assignment(TOPIC, duedate="2026-01-15 00:00:00 UTC")
    assert outcomes(collect(capsys, "--before-duedate")[1])["ada"] == "updated"
    assert notebook.read_text() == "first"
    assert (tmp_path / "submitted" / "late" / TOPIC / STUB.name).read_text() == "third", "nothing else of theirs"


def test_hostile_entries_are_refused_and_stop_nobody(
    exchange: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    secret = tmp_path / "solution.ipynb"
    secret.write_text("the solution")
    (tmp_path / TOPIC).mkdir()
    (tmp_path / TOPIC / "mine.txt").write_text("the instructor's")
    submit(exchange, "ada", FIRST, "good")
    submit(exchange, "", FIRST, folder=f"..+{TOPIC}+{FIRST}+1")
    submit(exchange, "", FIRST, folder=f".hidden+{TOPIC}+{FIRST}+1")
    submit(exchange, "", FIRST, folder=f"bad\u202ename+{TOPIC}+{FIRST}+1")
    submit(exchange, "", FIRST, folder=f"eve+{TOPIC}+yesterday+1")
    submit(exchange, "", FIRST, folder=f"eve+{TOPIC}")
    inbound = exchange / COURSE_ID / "inbound"
    (inbound / f"link+{TOPIC}+{FIRST}+1").symlink_to(tmp_path)
    (inbound / f"file+{TOPIC}+{FIRST}+1").write_text("no folder")
    linking = submit(exchange, "mallory", FIRST)
    (linking / STUB.name).unlink()
    (linking / STUB.name).symlink_to(secret)
    os.mkfifo(linking / "pipe")
    (linking / "folder").symlink_to(tmp_path)

    status, result = collect(capsys, "--update")
    assert status == 1
    assert outcomes(result) == {"ada": "collected", "mallory": "collected"}
    refused = {entry["name"].split("+")[0] for entry in result["submissions"] if entry["outcome"] == "refused"}
    # Names that begin with a dot are nothing to nbgrader, and so not even refused.
    assert refused == {"bad\u202ename", "eve", "link", "file"}
    assert sorted(path.name for path in (tmp_path / "submitted").iterdir()) == ["ada", "mallory"]
    assert sorted(path.name for path in (tmp_path / "submitted/mallory" / TOPIC).iterdir()) == [
        "submission_secret.txt",
        "timestamp.txt",
    ]
    assert len(result["warnings"]) == 3 and all("left out" in warning for warning in result["warnings"])
    assert [path.name for path in (tmp_path / TOPIC).iterdir()] == ["mine.txt"]
    assert not list(tmp_path.glob("submitted/*/.*.part"))


def test_a_submission_that_cannot_be_copied_leaves_the_earlier_one(
    exchange: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(exchange, "ada", FIRST, "first")
    collect(capsys)
    newer = submit(exchange, "ada", SECOND, "second")
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(newer / STUB.name))  # root may read all
    status, result = collect(capsys, "--update")
    assert status == 1 and "may not be read" in result["submissions"][-1]["reason"]
    assert (tmp_path / "submitted/ada" / TOPIC / STUB.name).read_text() == "first"


def test_a_submission_under_another_users_name_is_told(
    exchange: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = tmp_path / "settings" / "nbgrader_config.py"
    settings.write_text(settings.read_text().replace("check_owner = False", "check_owner = True"))
    submit(exchange, "somebody-else", FIRST)
    status, result = collect(capsys)
    assert status == 1 and "claims to be submitted by somebody-else but is owned by" in result["warnings"][0]


def test_what_is_missing_is_told_with_the_fix(
    exchange: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def message(*arguments: str) -> str:
        with pytest.raises(SystemExit) as exit:
            main(["collect", *arguments])
        assert exit.value.code == 2
        return " ".join(capsys.readouterr().err.split())

    assert "there is no such exchange directory. Name nbgrader's with --exchange" in message("--exchange", "nowhere")
    assert "never released there" in message("--course", "another")
    assert "The course has no topic 'nothing'. It has: foundations" in message("nothing")
    settings = tmp_path / "settings" / "nbgrader_config.py"
    settings.write_text(settings.read_text().replace("c.CourseDirectory", "# "))
    assert "Name it with --course" in message(TOPIC)
    settings.write_text("c = get_config()\nraise ValueError('half an edit')")
    assert "nbgrader_config.py cannot be read as nbgrader's settings: ValueError: half an edit" in message(TOPIC)
