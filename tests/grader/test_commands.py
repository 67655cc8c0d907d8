"""`course check`, `course doctor` and `course verify` as a person uses them, on the real course."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOLUTION = ROOT / "solutions" / "metrics" / "classification.ipynb"


def course(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "grader.cli", *arguments]
    environment = {**os.environ, "COURSE_ROOT": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A submission with the published precision, TP / (TP + TN), in an otherwise right notebook."""
    data = json.loads(SOLUTION.read_text(encoding="utf-8"))
    data["cells"].append(
        {
            "cell_type": "code",
            "id": "mine",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": (
                "correct_report = binary_report\n"
                "def binary_report(y_true, prob, threshold=0.5, zero_division=0.0):\n"
                "    report = correct_report(y_true, prob, threshold, zero_division)\n"
                "    report['precision'] = report['tp'] / max(report['tp'] + report['tn'], 1)\n"
                "    print('looked at', len(y_true))\n"
                "    return report\n"
            ),
        }
    )
    path = tmp_path / "classification.ipynb"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_check_of_a_right_notebook_passes_everything() -> None:
    result = course("check", str(SOLUTION))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "10 of 10 points" in result.stdout
    assert "first to fix" not in result.stdout
    assert "written answer (4 points) is read by a person" in result.stdout


def test_check_of_a_wrong_notebook_explains_the_first_failure(notebook: Path) -> None:
    result = course("check", str(notebook))
    assert result.returncode == 1
    assert "first to fix" in result.stdout
    assert "binary_report(" in result.stdout  # what was called
    assert "your code printed" in result.stdout and "looked at" in result.stdout
    assert "The small examples in the notebook come out right." in result.stdout


def test_check_as_json_is_the_result_record(notebook: Path) -> None:
    result = course("check", str(notebook), "--json")
    (record,) = json.loads(result.stdout)
    assert record["schema"] == 1 and record["exercise"] == "metrics/classification"
    assert record["status"] == "graded" and 0 < record["points"] < record["max_points"] == 10
    assert {"outcome", "points", "message", "expected", "actual", "seconds"} <= set(record["checks"][0])
    assert record["environment"]["numpy"] and len(record["checks_hash"]) == len(record["submission_hash"]) == 64


def test_check_without_a_target_finds_nothing_in_untouched_stubs() -> None:
    result = course("check")
    assert result.returncode == 1
    assert "No notebook in exercises/ has been changed yet" in result.stdout


def test_check_of_a_file_that_is_no_exercise_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "homework.ipynb"
    path.write_text("{}")
    result = course("check", str(path))
    assert result.returncode == 2
    assert "rename it to one of" in result.stderr and "classification" in result.stderr


def test_doctor_names_every_protection_and_tries_the_sandbox() -> None:
    result = course("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(result.stdout)}
    for name in ("files", "network", "processes", "signals", "signal-scope", "tracing", "limits"):
        assert findings[f"protection: {name}"]["verdict"] in ("ok", "degraded", "missing")
    missing = [finding for finding in findings.values() if finding["verdict"] == "missing"]
    assert all(finding["fix"] for finding in missing)
    assert result.returncode == (1 if missing else 0)
    if not missing:
        assert findings["trial of the sandbox"]["verdict"] == "ok"


def test_verify_of_one_exercise_as_json() -> None:
    result = course("verify", "metrics/classification", "--seeds", "1", "--no-mutants", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    (audit,) = json.loads(result.stdout)["exercises"]
    assert audit["gaps"] == [] and audit["rejected"] == audit["wrong_answers"] >= 10
    assert audit["accepted"] == audit["alternatives"] >= 2
