"""deployment/environment against `packaging` used in another way, pip's own files and the laws of a check."""

import importlib.metadata
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from reference.deployment import environment
from reference.deployment.environment import check_environment, installed_versions, normalised_name

releases = st.lists(st.integers(0, 12), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))


def status(requirement, version, python_version="3.11.4"):
    (line,) = check_environment([requirement], {"torch": version}, python_version)
    return line["status"]


@settings(max_examples=50, deadline=None)
@given(st.text("aZ9-_.", min_size=1, max_size=12).map(lambda text: f"x{text}y"))
def test_names_agree_with_packaging(name):
    assert normalised_name(name) == canonicalize_name(name)
    assert normalised_name(normalised_name(name)) == normalised_name(name)


@settings(max_examples=50, deadline=None)
@given(low=releases, high=releases, version=releases, newer=releases)
def test_versions_agree_with_comparisons_of_version_objects(low, high, version, newer):
    inside = Version(low) <= Version(version) < Version(high)
    assert status(f"torch>={low},<{high}", version) == ("ok" if inside else "version")
    # a newer version inside the range stays fine; a looser specifier never makes a problem
    if inside and Version(version) <= Version(newer) < Version(high):
        assert status(f"torch>={low},<{high}", newer) == "ok"
    if inside:
        assert status(f"torch>={low}", version) == status(f"torch<{high}", version) == status("torch", version) == "ok"


def test_pre_releases_and_local_versions_as_decided():
    assert status("torch>=1.0", "2.0rc1") == status("torch", "2.0rc1") == "version"
    assert status("torch>=2.0rc1", "2.0rc2") == "ok"
    assert status("torch==2.13.0", "2.13.0+cpu") == "ok"


def test_versions_in_pep_440_order():
    ordered = ["1.0.dev1", "1.0a1", "1.0b2", "1.0rc1", "1.0", "1.0+cpu", "1.0.post1", "1.1", "1.10"]
    for earlier, later in pairwise(ordered):
        assert status(
            f"torch>={earlier.partition('+')[0]}.dev0" if "dev" not in earlier else "torch>=0.dev0", later
        ) == ("ok")
        assert Version(earlier) < Version(later)


def test_this_environment():
    found = installed_versions(["NumPy", "scikit_learn", "sklearn", "pytest", "no-such-thing"])
    assert found == {name: importlib.metadata.version(name) for name in ("numpy", "scikit-learn", "pytest")}
    report = check_environment(["numpy>=1", "Scikit.Learn", "sklearn"], found, "3.11.4")
    assert [line["status"] for line in report] == ["ok", "ok", "missing"]
    assert installed_versions([]) == {}


def test_published_recipe_cannot_install_current_versions():
    report = check_environment(
        ["torch", "transformers", "pillow"],
        {"torch": "1.8.1"},
        "3.8.20",
        {"torch": ">=3.10", "transformers": ">=3.11"},
    )
    assert [line["status"] for line in report] == ["python", "python", "missing"]


def test_the_worked_example_and_the_visible_checks_of_the_lesson_hold():
    report = check_environment(
        [
            "torch>=2.10",
            "transformers>=5",
            "Pillow",
            'tomli>=2; python_version < "3.11"',
            'audioop-lts; python_version >= "3.13"',
        ],
        {"Torch": "2.9.1+cpu", "pillow": "9.5"},
        "3.9.7",
        {"transformers": ">=3.10"},
    )
    assert [line["status"] for line in report] == ["version", "python", "ok", "missing", "skipped"]

    lesson = Path(environment.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', lesson, flags=re.MULTILINE)
    code = re.sub(r"^# ?", "", cell, flags=re.MULTILINE)
    assert code.count("assert ") == 4
    exec(compile(code, "visible checks", "exec"), dict(vars(environment)))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((["two words"], {}, "3.11"), "two words"),
        ((["torch"], {"torch": "latest"}, "3.11"), "latest"),
        ((["torch"], {}, "three"), "three"),
        (([], {}, "three"), "three"),
        ((["torch"], {}, "3.11", {"torch": "new"}), "new"),
    ],
)
def test_bad_input_is_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        check_environment(*arguments)
