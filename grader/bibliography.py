"""The works that lessons may cite, and the citations in a lesson's text.

`reference/bibliography.toml` lists every work once, with what its record was checked against. A citation is a year in
round brackets, `(2017)` or `(Vaswani et al. 2017; Ba et al. 2016)`, with the first author's surname before it in the
same paragraph. A paragraph that begins with the author's full name is a reference: it has to give the title as well.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_REACH = 400  # characters before a year in which its author is looked for
_YEAR = re.compile(r"\((?P<alone>(?:19|20)\d\d)[a-z]?\)|(?<=[ ,])(?P<listed>(?:19|20)\d\d)[a-z]?(?=[;,)])")
_NUMBER = re.compile(r"[=<>*/+:\[{\d]\s*,?\s*$")  # before a number of a program: `n_boot: int = 2000,` or `f(1, 2000)`
_PARAGRAPH = re.compile(r"\n\s*\n|\n\s*(?=[-*] )|\n\s*\|")


@dataclass(frozen=True)
class Work:
    """One work. `years` are those of its first version and of its venue; `checked` says where its record was found."""

    key: str
    authors: tuple[str, ...]
    others: bool
    title: str
    years: tuple[int, ...]
    venue: str
    checked: str

    @property
    def surname(self) -> str:
        """The first author's surname, in plain lower-case letters."""
        return _plain(self.authors[0]).split()[-1]


@dataclass(frozen=True)
class Citation:
    """A year that is cited, and the text of its paragraph before and around it."""

    line: int
    year: int
    before: str
    paragraph: str


def load_bibliography(path: Path) -> tuple[Work, ...]:
    """The works of bibliography.toml. Raises OSError, ValueError for text that is no TOML or lacks a key."""
    tables = tomllib.loads(path.read_text(encoding="utf-8")).get("works", [])
    try:
        return tuple(
            Work(
                table["key"],
                tuple(table["authors"]),
                table.get("others", False),
                table["title"],
                tuple(table["years"]),
                table["venue"],
                table["checked"],
            )
            for table in tables
        )
    except KeyError as error:
        raise ValueError(f"{path}: a work lacks the key {error}") from None


def citations(source: str) -> Iterator[Citation]:
    """The citations in a lesson, which is a Python file in Jupytext's percent format."""
    text = re.sub(r"(?m)^# ?", "", source)
    begin = 0
    for end in [*(match.start() for match in _PARAGRAPH.finditer(text)), len(text)]:
        paragraph = text[begin:end]
        for match in _YEAR.finditer(paragraph):
            before = paragraph[max(0, match.start() - _REACH) : match.start()]
            if not _NUMBER.search(before):
                line = text.count("\n", 0, begin + match.start()) + 1
                yield Citation(line, int(match["alone"] or match["listed"]), _plain(before), _plain(paragraph))
        begin = end


def cited_work(citation: Citation, works: Sequence[Work]) -> Work | None:
    """The work that a citation means, or None when none of these fits. Where several fit, the one named last."""
    fitting = [
        (f" {citation.before} ".rfind(f" {work.surname} "), work)
        for work in works
        if citation.year in work.years and f" {work.surname} " in f" {citation.before} "
    ]
    if not fitting:
        return None
    titled = [work for _, work in fitting if _plain(work.title) in citation.paragraph]
    if titled:
        return titled[0]
    last = max(position for position, _ in fitting)
    named_last = [work for position, work in fitting if position == last]
    if any(citation.paragraph.startswith(_plain(work.authors[0])) for work in named_last):
        return None  # a reference, and its title is that of none of them
    return named_last[0]


def _plain(text: str) -> str:
    """Lower-case letters and digits without accents, everything else as one space."""
    letters = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9]+", " ", "".join(letters).lower()).strip()
