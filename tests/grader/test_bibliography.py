"""What lessons cite is in the bibliography, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.bibliography import Work, citations, cited_work, load_bibliography
from grader.course import Exercise, load_course

COURSE = load_course()
PATH = COURSE.root / "reference" / "bibliography.toml"
WORKS = load_bibliography(PATH)

FOCAL = Work("Lin2017", ("Tsung-Yi Lin", "Kaiming He"), False, "Focal Loss", (2017,), "ICCV", "a list")
RESNET = Work("He2016", ("Kaiming He",), True, "Deep Residual Learning", (2015, 2016), "CVPR", "a list")
GELU = Work("Müller2016", ("Ann Müller",), False, "Units", (2016,), "", "a list")


def keys(text: str) -> list[str | None]:
    """The keys of the works that a lesson's text cites, None for a citation of anything else."""
    cited = [cited_work(citation, (FOCAL, RESNET, GELU)) for citation in citations(text)]
    return [work and work.key for work in cited]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Lin et al. (2017) weigh examples.", ["Lin2017"]),
        ("# known (Muller 2016; He et al., 2015),\n# again (Lin et al. 2017).", ["Müller2016", "He2016", "Lin2017"]),
        ("# - Tsung-Yi Lin, Kaiming He (2017). Focal\n#   Loss.", ["Lin2017"]),
        ("# - Tsung-Yi Lin, Kaiming He (2017). Vocal Loss.", [None]),
        ("# - Tsung-Yi Lin (2017). Focal Loss.\n# - (2016) Nobody.", ["Lin2017", None]),
        ("Lin et al. (2018) weigh examples. Nobody else (2017) does.", [None, "Lin2017"]),
        ("In 2017 that was new; def f(seed: int = 2017, n=2016): 2 * (2017 + g(1, 2017))", []),
    ],
)  # fmt: skip
def test_citations_are_found_and_matched(text: str, expected: list[str | None]) -> None:
    assert keys(text) == expected


def test_a_citation_knows_its_line() -> None:
    assert [citation.line for citation in citations("# One.\n#\n# Two, and\n# Lin (2017).\n")] == [4]


def test_a_work_without_title_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bibliography.toml"
    path.write_text('[[works]]\nkey = "a"\nauthors = ["A"]\n')
    with pytest.raises(ValueError, match="a work lacks the key 'title'"):
        load_bibliography(path)


@pytest.mark.parametrize("exercise", COURSE.exercises, ids=lambda exercise: exercise.id)
def test_a_lesson_cites_only_what_is_in_the_bibliography(exercise: Exercise) -> None:
    source = exercise.reference_path.read_text(encoding="utf-8")
    unknown = [
        f"{exercise.reference_path.name}:{citation.line}: ({citation.year}) after '…{citation.before[-60:]}'"
        for citation in citations(source)
        if cited_work(citation, WORKS) is None
    ]
    assert not unknown, f"not in reference/bibliography.toml, or with another author, year or title: {unknown}"


def test_each_work_is_listed_once_cited_and_checked() -> None:
    cited = {
        work.key
        for exercise in COURSE.exercises
        for citation in citations(exercise.reference_path.read_text(encoding="utf-8"))
        if (work := cited_work(citation, WORKS))
    }
    assert {work.key for work in WORKS} - cited == set(), "nobody cites them"
    assert len({work.key for work in WORKS}) == len({work.title for work in WORKS}) == len(WORKS)
    assert all(work.checked and work.years and work.authors for work in WORKS)
