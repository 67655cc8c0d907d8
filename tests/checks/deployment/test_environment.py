"""Checks of deployment/environment. Releases are compared as tuples of numbers here, special cases by a table."""

from hypothesis import example, given
from hypothesis import strategies as st

from grader.checking import assert_equal, catches, points, raises, visible

# likely causes
NAMES = "names are compared in one spelling, in the requirements and in both dictionaries"
NUMBERS = "the parts of a version are numbers: 2.9 comes before 2.10"
MARKER = "a marker is evaluated for the interpreter that was given; python_version has two numbers, like 3.11"


def report_of(student, requirements, installed, python_version="3.11.4", requires_python=None):
    """(report, call) after making sure that the report has its form."""
    arguments = [requirements, installed, python_version]
    if requires_python is not None:
        arguments.append(requires_python)
    report = student.check_environment(*arguments)
    call = f"check_environment({', '.join(map(repr, arguments))})"
    if not isinstance(report, list):
        raise AssertionError(f"{call} returned {type(report).__name__}; it should return a list.")
    for index, line in enumerate(report):
        if not isinstance(line, dict) or not {"name", "status", "detail"} <= line.keys():
            raise AssertionError(
                f"Entry {index} of {call} is {line!r}; it should be a dict with name, status and detail."
            )
        for key in ("name", "status", "detail"):
            if not isinstance(line[key], str):
                raise AssertionError(f"The {key} of entry {index} of {call} is {line[key]!r}; it should be a text.")
    if len(report) != len(requirements):
        raise AssertionError(
            f"{call} returned {len(report)} entries for {len(requirements)} requirements: "
            f"{[line['name'] for line in report]}. There is one for each requirement, problem or not."
        )
    return report, call


def assert_status(student, requirement, expected, installed, python_version="3.11.4", requires_python=None, cause=""):
    """The status of one requirement on its own; returns its line."""
    (line,), call = report_of(student, [requirement], installed, python_version, requires_python)
    assert_equal(line["status"], expected, what=f"status in {call}", cause=cause)
    return line


@points(1)
@visible
def test_worked_example(student):
    """The small example in the notebook comes out right."""
    assert_equal(
        student.normalised_name("Flash__Attn.2"), "flash-attn-2", what="result of normalised_name", cause=NAMES
    )
    requirements = ["Keras>=3.9", "scikit_learn<1.10", "tokenizers[dev]>=0.21", "numpy"]
    requirements.append("colorama; python_version < '3.8'")
    installed = {"keras": "3.15.1", "scikit-learn": "1.9.1", "tokenizers": "0.22.0rc0"}
    report = student.check_environment(
        requirements, installed=installed, python_version="3.12.5", requires_python={"numpy": ">=3.11"}
    )
    what = "of the example of the notebook"
    names = [line["name"] for line in report]
    assert_equal(names, ["keras", "scikit-learn", "tokenizers", "numpy", "colorama"], what=f"names {what}")
    status = [line["status"] for line in report]
    assert_equal(status, ["ok", "ok", "version", "missing", "skipped"], what=f"statuses {what}")
    nothing = student.installed_versions(["no-such_distribution"])
    assert_equal(nothing, {}, what="result of installed_versions(['no-such_distribution'])")


@points(1)
@catches(
    "underscore-is-another-name",
    "upper-case-is-another-name",
    "extras-in-the-name",
    "one-character-at-a-time",
    "dictionaries-as-they-are",
)
def test_names_have_one_spelling(student):
    """A distribution is found under every spelling of its name, with extras or without."""
    for name, expected in (
        ("scikit_learn", "scikit-learn"),
        ("scikit-learn", "scikit-learn"),
        ("PyYAML", "pyyaml"),
        ("ruamel.yaml", "ruamel-yaml"),
        ("Zope..Inter_-face", "zope-inter-face"),
        ("a___b---c", "a-b-c"),
        ("x2", "x2"),
    ):
        assert_equal(student.normalised_name(name), expected, what=f"result of normalised_name({name!r})")
    for requirement, key, name in (
        ("scikit_learn", "scikit-learn", "scikit-learn"),
        ("scikit-learn", "Scikit_Learn", "scikit-learn"),
        ("PYYAML", "PyYAML", "pyyaml"),
        ("jaraco.text", "jaraco__text", "jaraco-text"),
        ("transformers[torch,vision]", "transformers", "transformers"),
        ("Ray [Serve_LLM]", "ray", "ray"),
    ):
        for wanted, installed in (("ok", {key: "3.0"}), ("missing", {"another": "3.0"})):
            line = assert_status(student, requirement, wanted, installed, cause=NAMES)
            assert_equal(line["name"], name, what=f"name in the report for {requirement!r}", cause=NAMES)
    limits = {"Scikit.Learn": ">=3.12"}
    assert_status(student, "scikit_learn", "python", {"scikit-learn": "3.0"}, "3.11.4", limits, cause=NAMES)
    # the name of an import is not the name of a distribution
    assert_status(student, "sklearn", "missing", {"scikit-learn": "1.9.1"})


def padded(release):
    return (*release, 0, 0, 0)[:4]


COMPARED = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
}
releases = st.lists(st.sampled_from([0, 1, 2, 9, 10, 13]), min_size=1, max_size=3).map(tuple)


@points(2)
@catches("versions-as-text", "presence-is-enough", "first-clause-only", "detail-without-the-version")
@given(
    clauses=st.lists(st.tuples(st.sampled_from(sorted(COMPARED)), releases), min_size=1, max_size=2), installed=releases
)
@example(clauses=[(">=", (2, 10))], installed=(2, 9))
@example(clauses=[("<", (2, 10))], installed=(2, 9, 1))
@example(clauses=[(">=", (2, 0)), ("<", (3,))], installed=(10, 1))
@example(clauses=[("==", (2,))], installed=(2, 0, 0))
def test_versions_are_compared_number_by_number(student, clauses, installed):
    """A version satisfies a specifier if it does so part by part, as numbers."""
    text = ",".join(f"{sign}{'.'.join(map(str, release))}" for sign, release in clauses)
    version = ".".join(map(str, installed))
    fits = all(COMPARED[sign](padded(installed), padded(release)) for sign, release in clauses)
    line = assert_status(student, f"torch{text}", "ok" if fits else "version", {"torch": version}, cause=NUMBERS)
    if not fits and version not in line["detail"]:
        raise AssertionError(
            f"The detail for torch{text} with {version} installed is {line['detail']!r}; "
            "it should contain the installed version."
        )


@points(1)
@catches("pre-release-accepted", "pre-release-never", "local-version-refused", "numbers-only")
def test_pre_releases_and_local_versions(student):
    """Pre-releases count only where one is named; local versions, wildcards and compatible releases as in PEP 440."""
    named = "a pre-release satisfies a specifier only if the specifier names a pre-release itself"
    local = "a local version, the part after +, satisfies a specifier that names none"
    pep_440 = "PEP 440 says what these specifiers mean; `packaging` follows it"
    for specifier, version, status, cause in (
        (">=1.0", "2.0rc1", "version", named),
        (">=1.0", "2.0.dev3", "version", named),
        (">=1.0,<3", "2.0b2", "version", named),
        ("", "2.0a1", "version", named),
        ("", "2.0", "ok", pep_440),
        (">=2.0rc1", "2.0rc2", "ok", named),
        (">=2.0rc1,<3", "2.1.dev0", "ok", named),
        ("==2.0rc1", "2.0rc1", "ok", named),
        (">=2.0rc2", "2.0rc1", "version", named),
        (">=2.0", "2.0.post1", "ok", "a post-release is not a pre-release"),
        ("==2.13.0", "2.13.0+cpu", "ok", local),
        (">=2.6,<=2.13", "2.13.0+cu130", "ok", local),
        ("==2.12.0", "2.13.0+cpu", "version", local),
        ("~=2.2", "2.10", "ok", pep_440),
        ("~=2.2", "3.0", "version", pep_440),
        ("==1.4.*", "1.4.12", "ok", pep_440),
        ("!=1.4.*", "1.4.12", "version", pep_440),
    ):
        assert_status(student, f"torchvision{specifier}", status, {"torchvision": version}, cause=cause)


@points(1)
@catches("markers-ignored", "marker-of-the-running-python", "full-version-in-the-marker", "skipped-are-dropped")
def test_markers_ask_about_the_given_interpreter(student):
    """A requirement whose marker is false for the given interpreter is skipped, installed or not."""
    for marker, python_version, applies in (
        ("python_version < '3.10'", "3.9.1", True),
        ("python_version < '3.10'", "3.14.2", False),
        ("python_version >= '3.13'", "3.9.1", False),
        ("python_version >= '3.13'", "3.14.2", True),
        ("python_version == '3.12'", "3.12.7", True),
        ("python_version <= '3.9'", "3.9.1", True),
        ("python_version > '3.8'", "3.8.20", False),
        ("python_version == '3.14'", "3.14", True),
        ("python_full_version >= '3.12.4'", "3.12.3", False),
        ("python_full_version >= '3.12.4'", "3.12.10", True),
        ("python_version > '3' and sys_platform == 'no-such-platform'", "3.12.7", False),
        ("python_version > '3' and sys_platform != 'no-such-platform'", "3.12.7", True),
    ):
        for installed in ({}, {"tomli": "1.0"}):
            wanted = ("version" if installed else "missing") if applies else "skipped"
            assert_status(student, f"tomli>=2; {marker}", wanted, installed, python_version, cause=MARKER)


@points(1)
@catches("interpreter-ignored", "interpreter-as-text", "missing-before-python", "minor-version-of-the-interpreter")
def test_the_interpreter_has_to_be_supported(student):
    """A distribution that does not support the interpreter is reported so, whether or not it is installed."""
    cause = "the specifier in requires_python is about the interpreter, all of python_version, compared as a version"
    for limits, python_version, supported in (
        (">=3.10", "3.8.20", False),
        (">=3.10", "3.9", False),
        (">=3.8", "3.10.1", True),
        (">=3.9,<3.15", "3.15.0", False),
        (">=3.9,<3.15", "3.14.9", True),
        (">=3.9.7", "3.9.6", False),
        (">=3.9.7", "3.9.7", True),
        ("!=3.12.1", "3.12.1", False),
    ):
        for installed in ({"keras": "3.15.1"}, {"keras": "2.0"}, {}):
            wanted = (
                "python" if not supported else {"3.15.1": "ok", "2.0": "version"}.get(installed.get("keras"), "missing")
            )
            line = assert_status(student, "keras>=3", wanted, installed, python_version, {"keras": limits}, cause=cause)
            if not supported and python_version not in line["detail"]:
                raise AssertionError(
                    f"The detail for an unsupported interpreter {python_version} is {line['detail']!r}; "
                    "it should contain python_version."
                )
    limits = {"torch": ">=3.10"}
    assert_status(student, "keras", "ok", {"keras": "3.0"}, "3.8.1", limits, cause="keras is not in requires_python")
    only_new = "keras; python_version >= '3.11'"
    assert_status(student, only_new, "skipped", {}, "3.8.1", {"keras": ">=3.10"}, cause="the first that applies")


def check_environment_and_its_arguments(student, requirements, installed, python_version, requires_python):
    report = student.check_environment(requirements, installed, python_version, requires_python)
    return [line["status"] for line in report], requirements, list(installed.items()), list(requires_python.items())


@points(1)
@catches(
    "stops-at-the-first-problem",
    "only-problems",
    "one-line-for-each-name",
    "sorted",
    "installed-is-normalised-in-place",
)
def test_every_requirement_is_reported_in_order(student):
    """There is one entry for each requirement, in order, and the arguments stay as they are."""
    requirements = ["zarr", "Torch>=3", "wget; python_version < '3'", "Pillow", "torch>=2", "absl_py", "zarr"]
    installed = {"Torch": "2.4", "Zarr": "1.0", "Absl.py": "0.9"}
    limits = {"Absl-py": ">=3.12"}
    expected = [
        ("zarr", "ok"),
        ("torch", "version"),
        ("wget", "skipped"),
        ("pillow", "missing"),
        ("torch", "ok"),
        ("absl-py", "python"),
        ("zarr", "ok"),
    ]
    report, call = report_of(student, requirements, installed, "3.11.4", limits)
    found = [(line["name"], line["status"]) for line in report]
    assert_equal(found, expected, what=f"list of names and statuses of {call}")
    answer = student.run(
        check_environment_and_its_arguments, list(requirements), dict(installed), "3.11.4", dict(limits)
    )
    after = dict(zip(("requirements", "installed", "requires_python"), answer[1:], strict=True))
    before = {"requirements": requirements, "installed": installed.items(), "requires_python": limits.items()}
    for name, value in before.items():
        assert_equal(list(after[name]), list(value), what=f"argument {name} after the call", cause="changed in place")
    report, call = report_of(student, [], installed)
    assert_equal(report, [], what=f"result of {call}")


@points(1)
@catches("bad-input-is-a-status", "bad-python-version-unnoticed")
def test_bad_input_is_refused(student):
    """What cannot be parsed raises ValueError, and the message contains it."""
    fine = (["torch>=2"], {"torch": "2.4"}, "3.11.4", {"torch": ">=3.10"})
    student.check_environment(*fine)
    for arguments, text in (
        ((["torch>=2", "two words"], *fine[1:]), "two words"),
        ((["torch>=new"], *fine[1:]), "torch>=new"),
        ((["torch=2"], *fine[1:]), "torch=2"),
        ((["torch; python_version ~ 3"], *fine[1:]), "torch; python_version ~ 3"),
        ((["missing", "torch>=2"], {"torch": "latest"}, *fine[2:]), "latest"),
        ((["torch"], {"torch": "2.x"}, *fine[2:]), "2.x"),
        ((*fine[:2], "three", {"torch": ">=3.10"}), "three"),
        ((["torch"], {"torch": "2.4"}, "3.x", {}), "3.x"),
        ((*fine[:3], {"torch": "three or more"}), "three or more"),
    ):
        call = f"check_environment({', '.join(map(repr, arguments))})"
        with raises(ValueError, what=call) as caught:
            student.check_environment(*arguments)
        if text not in caught.error.message:
            raise AssertionError(
                f"The message of the ValueError of {call} is {caught.error.message!r}; it should contain {text!r}."
            )


def installed_versions(student, names):
    """Ask in an environment with two more distributions and a module that belongs to none; note what is imported."""
    import importlib.metadata
    import re
    import sys
    import types

    distributions = {"Imaginary_Vision.kit": "1.10.2", "unheard-tokenizer": "0.3rc1+cpu"}

    class Metadata(importlib.metadata.Distribution):
        def __init__(self, name):
            self.own_name = name

        def read_text(self, filename):
            if filename in ("METADATA", "PKG-INFO"):
                return f"Metadata-Version: 2.1\nName: {self.own_name}\nVersion: {distributions[self.own_name]}\n"
            return None

        def locate_file(self, path):
            return path

    asked = []

    def plain(name):
        return re.sub(r"[-_.]+", "-", name).lower()

    class Finder:
        def find_spec(self, fullname, path=None, target=None):
            asked.append(fullname)
            return None

        def invalidate_caches(self):
            pass

        def find_distributions(self, context=None):
            wanted = getattr(context, "name", None)
            return [Metadata(name) for name in distributions if wanted is None or plain(name) == plain(wanted)]

    module = types.ModuleType("imaginary_vision")
    module.__version__ = "9.9"
    finder = Finder()
    sys.meta_path.insert(0, finder)
    sys.modules["imaginary_vision"] = module
    try:
        found = student.installed_versions(names)
    finally:
        sys.meta_path.remove(finder)
        del sys.modules["imaginary_vision"]
    looked_for = {plain(name) for name in names}
    return found, sorted({name for name in asked if plain(name) in looked_for})


@points(1)
@catches("import-as-test", "module-version", "keys-as-given", "missing-as-none")
def test_installed_versions_come_from_the_metadata(student):
    """The versions are those of the distributions' metadata, and nothing is imported for it."""
    no_distribution = "a module that can be imported need not be the name of a distribution"
    for names, expected, cause in (
        (["unheard-tokenizer"], {"unheard-tokenizer": "0.3rc1+cpu"}, "a distribution need not be importable"),
        (["imaginary-vision-kit"], {"imaginary-vision-kit": "1.10.2"}, NAMES),
        (["IMAGINARY.vision_kit"], {"imaginary-vision-kit": "1.10.2"}, "the keys are normalised names"),
        (["imaginary_vision"], {}, no_distribution),
        (["no-such-thing", "Unheard_Tokenizer", "json"], {"unheard-tokenizer": "0.3rc1+cpu"}, no_distribution),
        ([], {}, ""),
    ):
        found, imported = student.run(installed_versions, names)
        if imported:
            raise AssertionError(
                f"installed_versions({names}) tried to import {', '.join(imported)}; the answer is in the metadata."
            )
        assert_equal(found, expected, what=f"result of installed_versions({names})", cause=cause)
