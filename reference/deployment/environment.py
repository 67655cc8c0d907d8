# %% [markdown]
# # Checking an environment against its requirements
#
# "It works on my machine" means: it works with my versions. A published recipe for fine-tuning may pin an interpreter
# that reached its end of life, name no version for the library that changes most, and leave out the one that reads the
# images; you notice hours later, in the middle of a run. A check at start-up compares what is installed with what is
# required in a few milliseconds, and names everything that is wrong at once. Here you write it.
#
# **One idea:** an environment is judged by its *metadata*, names and versions, and both have rules. Names are equal in
# several spellings, versions are not text, and a requirement may not concern this interpreter at all.
#
# ## Your task (about 35 minutes)
#
# ### `normalised_name(name: str) -> str`
#
# The one spelling in which names of distributions are compared (PEP 503): lower case, and every run of `-`, `_` and `.`
# as one `-`.
#
# ### `check_environment(requirements, installed, python_version, requires_python=None) -> list[dict]`
#
# - `requirements`: list of requirements as in a requirements file (PEP 508), such as `"torch>=2.6"`,
#   `"transformers[torch] ~= 5.0"` or `"tomli; python_version < '3.11'"`. Extras, the part in square brackets, do not
#   belong to the name and are not checked here.
# - `installed`: dict from name to installed version, both texts. `requires_python`: dict from name to the interpreters
#   that this distribution supports, such as `{"torch": ">=3.10,<3.15"}`; a distribution that is not in it supports all.
#   Names in both may be in any spelling, but no distribution is in one of them twice.
# - `python_version`: the interpreter in question, a final release such as `"3.11.4"` or `"3.12"`. It need not be the
#   interpreter that runs your code.
#
# The result has one dict for each requirement, **in their order**, problem or not, with the keys `name` (normalised),
# `status` and `detail` (a text for a person, in your words; empty is fine where the status is `"ok"`). The status is
# the first of these that applies:
#
# | status | when | the detail contains |
# |---|---|---|
# | `"skipped"` | the marker (after the `;`) is false for this interpreter | |
# | `"python"` | the distribution does not support this interpreter, installed or not | `python_version` as given |
# | `"missing"` | it is not installed | |
# | `"version"` | the installed version does not satisfy the specifier | the installed version as given |
# | `"ok"` | everything else | |
#
# Versions are compared by PEP 440, as `packaging` does, with one rule made explicit: a **pre-release** (alpha, beta,
# release candidate or development release) satisfies a specifier only if that names a pre-release itself. So `2.0rc1`
# does not satisfy `>=1.0`, nor a requirement without any specifier, while `2.0rc2` satisfies `>=2.0rc1`. A local
# version such as `2.13.0+cpu` satisfies `==2.13.0`.
#
# In markers, `python_version` means major and minor number only (`3.11`), `python_full_version` all of it (`3.11.4`).
# Other variables, such as `sys_platform`, have the values of the machine that runs your code.
#
# ### `installed_versions(names: list[str]) -> dict[str, str]`
#
# The versions of these distributions in the environment that runs your code, as a dict from **normalised** name to
# version (the form that `installed` takes). What is not installed as a distribution is left out. The answer comes from
# the metadata of the distributions: no package is imported to find it, since that costs seconds and runs its code, and
# the name of an import need not be the name of a distribution (`import sklearn` comes from `scikit-learn`).
#
# ### Rules
#
# - **Bad input:** a requirement, an installed version, a specifier in `requires_python` or a `python_version` that
#   cannot be parsed raises `ValueError`, and the message contains the text in question. For `python_version` this holds
#   even where nothing depends on it; installed versions and specifiers of distributions that are not required need not
#   be looked at.
# - No requirements give `[]`, no names give `{}`. No argument is changed. Further keys in the dicts are fine.
# - **Allowed:** the standard library and all of `packaging` (which follows the PEPs). **Not allowed:** importing the
#   packages that are asked about, and starting `pip` or another program.
#
# ### A worked example
#
# With `installed = {"Torch": "2.9.1+cpu", "pillow": "9.5"}`, `python_version = "3.9.7"` and
# `requires_python = {"transformers": ">=3.10"}`:
#
# | requirement | status | why |
# |---|---|---|
# | `torch>=2.10` | `version` | 9 comes before 10, although `"2.9.1" > "2.10"` as texts |
# | `transformers>=5` | `python` | a newer interpreter is needed before anything can be installed |
# | `Pillow` | `ok` | any final version |
# | `tomli>=2; python_version < "3.11"` | `missing` | needed on 3.9, and not installed |
# | `audioop-lts; python_version >= "3.13"` | `skipped` | does not concern 3.9 |

# %%
import importlib.metadata
import re
from collections.abc import Mapping, Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version


# %% tags=["solution"]
def normalised_name(name: str) -> str:
    """The one spelling of a distribution's name: lower case, each run of `-`, `_` and `.` as one `-` (PEP 503)."""
    ### BEGIN SOLUTION
    return re.sub(r"[-_.]+", "-", name).lower()
    ### END SOLUTION


# %% tags=["solution"]
def check_environment(
    requirements: Sequence[str],
    installed: Mapping[str, str],
    python_version: str,
    requires_python: Mapping[str, str] | None = None,
) -> list[dict[str, str]]:
    """Judge each requirement against the installed versions and an interpreter.

    Args:
        requirements: requirements in the form of PEP 508.
        installed: from name, in any spelling, to installed version.
        python_version: a final release of Python, such as "3.11.4".
        requires_python: from name, in any spelling, to a specifier of supported interpreters; None means no limits.

    Returns:
        One dict for each requirement, in order: `name` (normalised), `status` ("skipped", "python", "missing",
        "version" or "ok", the first that applies) and `detail` (a text for a person).

    Raises:
        ValueError: something cannot be parsed; the message contains it.

    Sources: PEP 440 (versions), PEP 503 (names), PEP 508 (requirements and markers).
    """
    ### BEGIN SOLUTION
    python = Version(python_version)  # the errors of `packaging` are ValueErrors that name the text
    marker_variables = {
        "python_version": f"{python.major}.{python.minor}",
        "python_full_version": python_version,
    }
    versions = {normalised_name(name): version for name, version in installed.items()}
    supported = {normalised_name(name): specifier for name, specifier in (requires_python or {}).items()}

    report = []
    for text in requirements:
        requirement = Requirement(text)
        name, specifier = normalised_name(requirement.name), requirement.specifier
        interpreters = SpecifierSet(supported.get(name, ""))
        if requirement.marker and not requirement.marker.evaluate(marker_variables):
            status, detail = "skipped", f"only where {requirement.marker}"
        elif not interpreters.contains(python):
            status, detail = "python", f"needs Python {interpreters}, this is {python_version}"
        elif name not in versions:
            status, detail = "missing", f"not installed, needed: {text}"
        # a pre-release counts only where the specifier names one; left to itself, `contains` is more generous
        elif not specifier.contains(Version(versions[name]), prereleases=bool(specifier.prereleases)):
            status, detail = "version", f"{versions[name]} is installed, needed: {text}"
        else:
            status, detail = "ok", ""
        report.append({"name": name, "status": status, "detail": detail})
    return report
    ### END SOLUTION


# %% tags=["solution"]
def installed_versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of installed distributions, read from their metadata; nothing is imported.

    Args:
        names: names of distributions, in any spelling.

    Returns:
        A dict from normalised name to version, without those that are not installed.
    """
    ### BEGIN SOLUTION
    versions = {}
    for name in names:
        try:
            versions[normalised_name(name)] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass  # `check_environment` says what is missing
    return versions
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# assert normalised_name("Flash__Attn.2") == "flash-attn-2", normalised_name("Flash__Attn.2")
#
# report = check_environment(
#     ["Keras>=3.9", "scikit_learn<1.10", "tokenizers[dev]>=0.21", "numpy", "colorama; python_version < '3.8'"],
#     installed={"keras": "3.15.1", "scikit-learn": "1.9.1", "tokenizers": "0.22.0rc0"},
#     python_version="3.12.5",
#     requires_python={"numpy": ">=3.11"},
# )
# names = [line["name"] for line in report]
# assert names == ["keras", "scikit-learn", "tokenizers", "numpy", "colorama"], names
# status = [line["status"] for line in report]
# assert status == ["ok", "ok", "version", "missing", "skipped"], status
#
# assert installed_versions(["no-such_distribution"]) == {}, installed_versions(["no-such_distribution"])

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Which of 3.8 and 3.10 is the newer Python, and which of the two texts comes first in a dictionary? Which further pairs
# of texts mean the same distribution, or the same release, and are not equal?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Parse first, compare afterwards. A requirement has a name, a specifier and a marker, and `packaging` has a class for
# each of these texts. A marker is a question about an interpreter: by default about the one that runs, but you can tell
# it the answers. Whether a pre-release may count is a question that a specifier can answer about itself.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Make two dictionaries with normalised names. For each requirement parse it and go down the table of statuses, the
# first that applies ends the search; add one dict to the report in every case. For the installed versions ask the
# metadata for each name, and treat its answer "not found" as an answer.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# applies = requirement.marker is None or requirement.marker.evaluate({"python_version": "3.9"})  # asked about 3.9
# ```
# </details>

# %% [markdown]
# ## References
#
# - Python packaging: PEP 440, Version Identification and Dependency Specification; PEP 503, Simple Repository API; PEP
#   508, Dependency specification for Python Software Packages.
# - D. Sculley, Gary Holt, Daniel Golovin, et al. (2015). Hidden Technical Debt in Machine Learning Systems.
