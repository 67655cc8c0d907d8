"""Wrong answers and differently written correct solutions of deployment/environment."""

from grader.catalogue import Alternative, WrongAnswer

NAMES = "test_names_have_one_spelling"
NUMBERS = "test_versions_are_compared_number_by_number"
PRE_RELEASES = "test_pre_releases_and_local_versions"
MARKERS = "test_markers_ask_about_the_given_interpreter"
INTERPRETER = "test_the_interpreter_has_to_be_supported"
ORDER = "test_every_requirement_is_reported_in_order"
BAD_INPUT = "test_bad_input_is_refused"
METADATA = "test_installed_versions_come_from_the_metadata"

NORMALISED = 're.sub(r"[-_.]+", "-", name).lower()'
CONTAINS = "specifier.contains(Version(versions[name]), prereleases=bool(specifier.prereleases))"
MARKER = "if requirement.marker and not requirement.marker.evaluate(marker_variables):"
READ = """            versions[normalised_name(name)] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:"""
RETURN = "    return report\n"

wrong_answers = [
    # ------------------------------------------------------------------------------------------ the published recipe
    WrongAnswer(
        id="presence-is-enough",
        title="any installed version will do",
        explanation=(
            "Whatever is installed counts as fine, in any version. Names of classes and arguments change between major "
            "versions, so that a recipe without versions works on some days only. What does the part after the name say?"
        ),
        caught_by=NUMBERS,
        swap=((f"not {CONTAINS}", "Version(versions[name]) is None"),),
    ),
    WrongAnswer(
        id="interpreter-ignored",
        title="the interpreter is not looked at",
        explanation=(
            "No distribution is ever reported for an interpreter it does not support. Recipes with a Python past its end "
            "of life fail like that: current versions cannot be installed there. Who states which interpreters are fine?"
        ),
        caught_by=INTERPRETER,
        swap=(("elif not interpreters.contains(python):", "elif python is None:"),),
    ),
    # ------------------------------------------------------------------------------------------------------- names
    WrongAnswer(
        id="underscore-is-another-name",
        title="scikit_learn taken for another distribution than scikit-learn",
        explanation=(
            "Names that differ in `-`, `_` or `.` count as different distributions. Package indexes treat them as one. "
            "Which characters may stand for each other, and what becomes of several in a row?"
        ),
        caught_by=NAMES,
        swap=((NORMALISED, "name.lower()"),),
    ),
    WrongAnswer(
        id="upper-case-is-another-name",
        title="PyYAML taken for another distribution than pyyaml",
        explanation=(
            "Names that differ in capital letters count as different distributions, so that an installed package is "
            "reported as missing. Compare them in one case."
        ),
        caught_by=NAMES,
        swap=((NORMALISED, 're.sub(r"[-_.]+", "-", name)'),),
    ),
    WrongAnswer(
        id="extras-in-the-name",
        title="extras taken for a part of the name",
        explanation=(
            "`transformers[torch]` is looked up with its brackets and is not found. An extra asks for further packages; "
            "the distribution is called the same with it and without. Let a parser separate the two."
        ),
        caught_by=NAMES,
        swap=(
            (
                "name, specifier = normalised_name(requirement.name)",
                'extras = f"[{\',\'.join(sorted(requirement.extras))}]" if requirement.extras else ""\n'
                "        name, specifier = normalised_name(requirement.name) + extras",
            ),
        ),
    ),
    WrongAnswer(
        id="one-character-at-a-time",
        title="several separators in a row are all kept",
        explanation=(
            "Each `-`, `_` or `.` becomes a `-` of its own, so that `a__b` and `a-b` stay different. A run of separators "
            "counts as one."
        ),
        caught_by=NAMES,
        swap=((NORMALISED, 're.sub(r"[-_.]", "-", name).lower()'),),
    ),
    WrongAnswer(
        id="dictionaries-as-they-are",
        title="only the names in the requirements are normalised",
        explanation=(
            "The requirement `torch` is not found in a dictionary that has `Torch`: one side of the comparison is in its "
            "normal spelling, the other as it came. Which names are compared with which?"
        ),
        caught_by=NAMES,
        swap=(
            ("{normalised_name(name): version for name, version in installed.items()}", "dict(installed)"),
            (
                "{normalised_name(name): specifier for name, specifier in (requires_python or {}).items()}",
                "requires_python or {}",
            ),
        ),
    ),
    # ----------------------------------------------------------------------------------------------------- versions
    WrongAnswer(
        id="versions-as-text",
        title="versions compared as text",
        explanation=(
            "Versions are compared character by character, so that 2.9 counts as newer than 2.10. That goes well until a "
            "part reaches two digits. What kind of thing is each part of a version?"
        ),
        caught_by=NUMBERS,
        code="""
def _as_text(specifier, version):
    compare = {
        "<": str.__lt__, "<=": str.__le__, "==": str.__eq__, "!=": str.__ne__, ">=": str.__ge__, ">": str.__gt__
    }
    Version(version)
    return all(compare.get(clause.operator, str.__eq__)(version, clause.version) for clause in specifier)


class Specifiers(SpecifierSet):
    def contains(self, item, prereleases=None, installed=None):
        return _as_text(self, str(item))


_Requirement = Requirement


def Requirement(text):
    requirement = _Requirement(text)
    requirement.specifier = Specifiers(str(requirement.specifier))
    return requirement
""",
    ),
    WrongAnswer(
        id="first-clause-only",
        title="one clause of a specifier is looked at, not all",
        explanation=(
            "Of `>=2.0,<3` only one part is applied. An upper bound that is ignored lets in the release that it was "
            "written against. All clauses have to hold."
        ),
        caught_by=NUMBERS,
        swap=(
            (
                f"not {CONTAINS}",
                'not SpecifierSet(re.split(r"[;,]", text[re.search(r"[<>=!~]|$", text).start():])[0]).contains(\n'
                "            Version(versions[name]), prereleases=bool(specifier.prereleases)\n        )",
            ),
        ),
    ),
    WrongAnswer(
        id="pre-release-accepted",
        title="a release candidate satisfies a plain >=",
        explanation=(
            "`2.0rc1` passes for `>=1.0`. It may lack what the release has, and nobody asked for it. The default of "
            "`packaging` is generous where nothing else is offered: when should a pre-release count?"
        ),
        caught_by=PRE_RELEASES,
        swap=((CONTAINS, "specifier.contains(Version(versions[name]))"),),
    ),
    WrongAnswer(
        id="pre-release-never",
        title="a release candidate satisfies nothing",
        explanation=(
            "`2.0rc2` is refused even for `>=2.0rc1`, where the author of the requirement asked for pre-releases. What "
            "does a specifier tell about itself?"
        ),
        caught_by=PRE_RELEASES,
        swap=((CONTAINS, "specifier.contains(Version(versions[name]), prereleases=False)"),),
    ),
    WrongAnswer(
        id="local-version-refused",
        title="2.13.0+cpu refused for ==2.13.0",
        explanation=(
            "A local version, the part after `+`, makes an equal version count as another one. It names a build of the "
            "same release, for instance for CPUs. A specifier without such a part does not look at it."
        ),
        caught_by=PRE_RELEASES,
        swap=(
            (
                f"not {CONTAINS}",
                f'not {CONTAINS} or (\n            "==" in text and "+" in versions[name] and "+" not in text\n        )',
            ),
        ),
    ),
    WrongAnswer(
        id="numbers-only",
        title="only the numbers of a version are compared",
        explanation=(
            "What follows the numbers of a version, such as rc1 or dev3, is cut off, so that a candidate passes for the "
            "release. It is older than the release and may behave differently."
        ),
        caught_by=PRE_RELEASES,
        swap=((CONTAINS, "specifier.contains(Version(versions[name]).base_version, prereleases=True)"),),
    ),
    WrongAnswer(
        id="detail-without-the-version",
        title="the detail does not say which version is installed",
        explanation=(
            "The report says that a version does not fit, and not which one was found. Whoever reads it has to look that "
            "up before anything can be done. The table says what the detail contains."
        ),
        caught_by=NUMBERS,
        swap=(('f"{versions[name]} is installed, needed: {text}"', 'f"not the version that is needed: {text}"'),),
    ),
    # ------------------------------------------------------------------------------------------------------ markers
    WrongAnswer(
        id="markers-ignored",
        title="markers are ignored",
        explanation=(
            "Every requirement is checked, also one whose marker says that it does not concern this interpreter. A "
            "backport that only an old Python needs is then missing on a new one. What does the part after `;` ask?"
        ),
        caught_by=MARKERS,
        swap=((MARKER, "if requirement is None:"),),
    ),
    WrongAnswer(
        id="marker-of-the-running-python",
        title="markers ask the Python that runs the check",
        explanation=(
            "Markers are evaluated for the interpreter that runs your code, not for `python_version`. The answer is then "
            "right on one machine only. Tell the marker what to assume."
        ),
        caught_by=MARKERS,
        swap=((MARKER, "if requirement.marker and not requirement.marker.evaluate():"),),
    ),
    WrongAnswer(
        id="full-version-in-the-marker",
        title="python_version in a marker taken with all its parts",
        explanation=(
            "The marker `python_version == '3.12'` is false for your 3.12.7. In markers `python_version` has two parts, "
            "and there is another variable for all of them."
        ),
        caught_by=MARKERS,
        swap=(('f"{python.major}.{python.minor}"', "python_version"),),
    ),
    WrongAnswer(
        id="skipped-are-dropped",
        title="skipped requirements are left out of the report",
        explanation=(
            "A requirement that does not concern this interpreter has no entry, and the entries after it move up. The "
            "report has one entry for each requirement."
        ),
        caught_by=MARKERS,
        swap=((RETURN, '    return [line for line in report if line["status"] != "skipped"]\n'),),
    ),
    # -------------------------------------------------------------------------------------------------- interpreter
    WrongAnswer(
        id="interpreter-as-text",
        title="versions of Python compared as text",
        explanation=(
            "Python 3.9 passes for `>=3.10`, since as texts it comes later. An interpreter's version follows the same "
            "rules as any other."
        ),
        caught_by=INTERPRETER,
        swap=(
            (
                "elif not interpreters.contains(python):",
                "elif not all(\n"
                '            {"<": str.__lt__, ">=": str.__ge__}.get(clause.operator, str.__ne__)(python_version, clause.version)\n'
                "            for clause in interpreters\n        ):",
            ),
        ),
    ),
    WrongAnswer(
        id="missing-before-python",
        title="missing reported where the interpreter is too old",
        explanation=(
            "A distribution that is not installed is reported as missing although this interpreter cannot have it. The "
            "next command then fails. Look at the order of the statuses."
        ),
        caught_by=INTERPRETER,
        swap=(
            ("elif not interpreters.contains(python):", "elif name in versions and not interpreters.contains(python):"),
        ),
    ),
    WrongAnswer(
        id="minor-version-of-the-interpreter",
        title="the interpreter's third number is ignored",
        explanation=(
            "Python 3.9.7 is treated as 3.9, so that `>=3.9.7` refuses it. The two-part form belongs to a variable of the "
            "markers; the limits of a distribution are about the whole version."
        ),
        caught_by=INTERPRETER,
        swap=(("interpreters.contains(python):", 'interpreters.contains(marker_variables["python_version"]):'),),
    ),
    # ---------------------------------------------------------------------------------------------------- the report
    WrongAnswer(
        id="stops-at-the-first-problem",
        title="the report ends with the first problem",
        explanation=(
            "After the first problem nothing else is looked at, so that people fix one line, run again, and meet the next. "
            "A report is useful when it is complete."
        ),
        caught_by=ORDER,
        swap=(
            (
                '        report.append({"name": name, "status": status, "detail": detail})\n',
                '        report.append({"name": name, "status": status, "detail": detail})\n'
                '        if status not in ("ok", "skipped"):\n            break\n',
            ),
        ),
    ),
    WrongAnswer(
        id="only-problems",
        title="only problems are reported",
        explanation=(
            "Requirements that are met have no entry. A reader cannot tell then whether they were looked at, and the "
            "entries no longer stand beside the requirements. There is one entry for each."
        ),
        caught_by=ORDER,
        swap=((RETURN, '    return [line for line in report if line["status"] != "ok"]\n'),),
    ),
    WrongAnswer(
        id="one-line-for-each-name",
        title="a distribution that is named twice is reported once",
        explanation=(
            "Two requirements for one distribution give one entry, and one of the two answers is lost. There is an entry "
            "for each requirement, also where the names are equal."
        ),
        caught_by=ORDER,
        swap=((RETURN, '    return list({line["name"]: line for line in report}.values())\n'),),
    ),
    WrongAnswer(
        id="sorted",
        title="the report is sorted by name",
        explanation=(
            "The entries come in the order of the alphabet. The promised order is that of the requirements, so that the "
            "two lists can be read side by side."
        ),
        caught_by=ORDER,
        swap=((RETURN, '    return sorted(report, key=lambda line: line["name"])\n'),),
    ),
    WrongAnswer(
        id="installed-is-normalised-in-place",
        title="the caller's dict of installed versions is rewritten",
        explanation=(
            "The names are normalised in the dict that was passed in, so that the caller's own look-ups fail afterwards. "
            "Build a dict of your own."
        ),
        caught_by=ORDER,
        swap=(
            (
                "    versions = {normalised_name(name): version for name, version in installed.items()}",
                "    for name in list(installed):\n"
                "        installed[normalised_name(name)] = installed.pop(name)\n"
                "    versions = installed",
            ),
        ),
    ),
    # ----------------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="bad-input-is-a-status",
        title="what cannot be parsed is reported as a version problem",
        explanation=(
            "A requirement or a version that means nothing gets a status like any other. A typing error in the file is "
            "then taken for a problem of the environment. It should be refused, and named."
        ),
        caught_by=BAD_INPUT,
        code="""
_checked = check_environment


def check_environment(requirements, installed, python_version, requires_python=None):
    report = []
    for text in requirements:
        try:
            report += _checked([text], installed, python_version, requires_python)
        except ValueError:
            report.append({"name": normalised_name(text), "status": "version", "detail": "cannot be parsed"})
    return report
""",
    ),
    WrongAnswer(
        id="bad-python-version-unnoticed",
        title="a python_version that is none passes where nothing depends on it",
        explanation=(
            "`python_version` is only parsed when a marker or a limit asks for it, so that a typing error goes unnoticed "
            "until the day on which one does. Check it in any case."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "    python = Version(python_version)  # the",
                '    limits, part = requires_python or {}, python_version.split(".")  # the',
            ),
            (
                'f"{python.major}.{python.minor}"',
                '".".join(part[:2])',
            ),
            (
                "elif not interpreters.contains(python):",
                "elif limits and not interpreters.contains(Version(python_version)):",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------------------ metadata
    WrongAnswer(
        id="import-as-test",
        title="importing a package as the test whether it is installed",
        explanation=(
            "The package is imported to find out whether it is there. That runs its code, takes seconds for a large one, "
            "and fails for distributions that are imported under another name. Where are names and versions written down?"
        ),
        caught_by=METADATA,
        swap=(
            (
                READ,
                "            __import__(name.replace('-', '_'))\n"
                "            versions[normalised_name(name)] = importlib.metadata.version(name)\n"
                "        except (ImportError, importlib.metadata.PackageNotFoundError):",
            ),
        ),
    ),
    WrongAnswer(
        id="module-version",
        title="the name of an import taken for the name of a distribution",
        explanation=(
            "What can be imported under a name is reported as if a distribution had that name: `sklearn` is a module, and "
            "the distribution is called otherwise. Ask for distributions."
        ),
        caught_by=METADATA,
        swap=(
            (
                READ,
                "            import sys\n\n"
                "            module = sys.modules.get(name)\n"
                "            versions[normalised_name(name)] = (\n"
                "                getattr(module, '__version__', '0') if module else importlib.metadata.version(name)\n"
                "            )\n"
                "        except importlib.metadata.PackageNotFoundError:",
            ),
        ),
    ),
    WrongAnswer(
        id="keys-as-given",
        title="the versions are stored under the names as they were asked for",
        explanation=(
            "The keys of your dict are spelled as the caller spelled them, so that two spellings of one distribution give "
            "two entries. The promised keys are normalised names."
        ),
        caught_by=METADATA,
        swap=(("versions[normalised_name(name)] = importlib.metadata", "versions[name] = importlib.metadata"),),
    ),
    WrongAnswer(
        id="missing-as-none",
        title="what is not installed is listed with the version None",
        explanation=(
            "Distributions that are not installed have an entry. Every test of the form `name in installed` then says yes. "
            "What is not there is left out."
        ),
        caught_by=METADATA,
        swap=(
            (
                "            pass  # `check_environment` says what is missing",
                "            versions[normalised_name(name)] = None",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="packaging-utils",
        title="canonicalize_name, filter of a specifier set, one function for one requirement",
        code="""
def normalised_name(name):
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)


def check_environment(requirements, installed, python_version, requires_python=None):
    from packaging.utils import canonicalize_name

    Version(python_version)
    requires_python = {} if requires_python is None else requires_python

    def look_up(table, name):
        return next((value for key, value in table.items() if canonicalize_name(key) == name), None)

    def judge(text):
        wanted = Requirement(text)
        name = canonicalize_name(wanted.name)
        short = ".".join((python_version + ".0").split(".")[:2])
        if wanted.marker is not None:
            if not wanted.marker.evaluate(dict(python_version=short, python_full_version=python_version)):
                return name, "skipped", "marker"
        limit = look_up(requires_python, name)
        if limit is not None and python_version not in SpecifierSet(limit):
            return name, "python", f"{python_version} is not {limit}"
        version = look_up(installed, name)
        if version is None:
            return name, "missing", "pip install it"
        Version(version)
        names_one = any(Version(part.version.rstrip(".*")).is_prerelease for part in wanted.specifier)
        if list(wanted.specifier.filter([version], prereleases=names_one)):
            return name, "ok", f"{version} is fine"
        return name, "version", f"found {version}"

    keys = ("name", "status", "detail")
    return [dict(zip(keys, judge(text))) for text in requirements]


def installed_versions(names):
    found = {}
    for name in set(names):
        try:
            distribution = importlib.metadata.distribution(name)
        except ModuleNotFoundError:
            continue
        found[normalised_name(distribution.metadata["Name"])] = distribution.version
    return found
""",
    ),
    Alternative(
        id="scan-all-distributions",
        title="all distributions listed once; statuses worked out from the last to the first",
        code="""
def normalised_name(name):
    return "-".join(part for part in re.split("[-_.]", name.lower()) if part)


def check_environment(requirements, installed, python_version, requires_python=None):
    try:
        release = Version(python_version).release
    except ValueError:
        raise ValueError(f"not a Python version: {python_version}") from None
    environment = {
        "python_version": "%d.%d" % (release + (0,))[:2],
        "python_full_version": ".".join(map(str, (release + (0, 0))[:3])),
    }
    have = {}
    for name in installed:
        have[normalised_name(name)] = installed[name]
    need = {}
    for name in requires_python or ():
        need[normalised_name(name)] = requires_python[name]
    lines = []
    for text in requirements:
        try:
            parsed = Requirement(text)
        except ValueError as error:
            raise ValueError(f"{text}: {error}") from error
        line = {"name": normalised_name(parsed.name), "status": "ok", "detail": "", "requirement": text}
        version = have.get(line["name"])
        if version is None:
            line.update(status="missing", detail="missing")
        else:
            parsed_version = Version(version)
            fits = all(clause.contains(parsed_version, prereleases=True) for clause in parsed.specifier)
            if parsed_version.is_prerelease and not parsed.specifier.prereleases:
                fits = False
            if not fits:
                line.update(status="version", detail=f"{line['name']} {version} does not satisfy {parsed.specifier}")
        if line["name"] in need and not SpecifierSet(need[line["name"]]).contains(python_version):
            line.update(status="python", detail=f"Python {python_version}")
        if parsed.marker and not parsed.marker.evaluate(environment):
            line.update(status="skipped", detail="not here")
        lines.append(line)
    return lines


def installed_versions(names):
    wanted = {normalised_name(name) for name in names}
    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name and normalised_name(name) in wanted:
            found.setdefault(normalised_name(name), distribution.version)
    return found
""",
    ),
    Alternative(
        id="classes",
        title="a class for the environment, character by character names",
        code="""
def normalised_name(name):
    spelled = ""
    for character in name.lower():
        if character in "-_.":
            if not spelled.endswith("-"):
                spelled += "-"
        else:
            spelled += character
    return spelled


class Environment:
    def __init__(self, installed, python_version, limits):
        self.python = Version(python_version)
        self.python_text = python_version
        self.installed = {normalised_name(k): v for k, v in dict(installed).items()}
        self.limits = {normalised_name(k): SpecifierSet(v) for k, v in dict(limits).items()}

    def statuses(self, requirement):
        name = normalised_name(requirement.name)
        major, minor, *_ = [*self.python.release, 0]
        if requirement.marker:
            yield "skipped", not requirement.marker.evaluate(
                {"python_full_version": self.python_text, "python_version": f"{major}.{minor}"}
            )
        if name in self.limits:
            yield "python", self.python not in self.limits[name]
        yield "missing", name not in self.installed
        version = Version(self.installed[name])
        allow = requirement.specifier.prereleases is True
        yield "version", not requirement.specifier.contains(version, prereleases=allow)
        yield "ok", True

    def judge(self, text):
        requirement = Requirement(text)
        status = next(status for status, applies in self.statuses(requirement) if applies)
        name = normalised_name(requirement.name)
        return {
            "name": name,
            "status": status,
            "detail": f"{text}: {status} (Python {self.python_text}, installed: {self.installed.get(name)})",
        }


def check_environment(requirements, installed, python_version, requires_python=None):
    environment = Environment(installed, python_version, requires_python or {})
    return [environment.judge(text) for text in requirements]


def installed_versions(names):
    def version(name):
        try:
            return importlib.metadata.metadata(name)["Version"]
        except importlib.metadata.PackageNotFoundError:
            return None

    pairs = [(normalised_name(name), version(name)) for name in names]
    return {name: found for name, found in pairs if found is not None}
""",
    ),
]
