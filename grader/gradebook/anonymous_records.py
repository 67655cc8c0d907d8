"""Records and comparisons with pseudonyms in the place of students' ids. No I/O."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord
from grader.gradebook.late_penalties import LateSubmission
from grader.gradebook.similarity import ExerciseSimilarity, Passage, SimilarPair
from grader.gradebook.wording import clean_text

FILE_NAME_LEFT_OUT = "What the file was called is left out here, since it may tell whose it is."
SHORTEST_ID = 3  # a shorter one cannot be told from a variable
SHORTEST_NUMBER = 5  # a shorter one cannot be told from a result

# Their messages quote names of files, in which platforms put the names of people.
_QUOTES_FILE_NAMES = frozenset({SubmissionStatus.REFUSED, SubmissionStatus.DUPLICATE, SubmissionStatus.MISSING})
_WORD = re.compile(r"[^\W_]+")


def can_be_found(student: str) -> bool:
    """Whether an id is long enough to be told from other words where it stands in a text."""
    return len(student) >= (SHORTEST_NUMBER if student.isdecimal() else SHORTEST_ID)


class IdsInText:
    """Replaces students' ids where they stand in a text as words of their own, upper or lower case."""

    def __init__(self, pseudonyms: Mapping[str, str]) -> None:
        self._pseudonyms: dict[str, str] = {}
        for student, pseudonym in pseudonyms.items():
            if can_be_found(student):
                # File systems and keyboards differ in how they write an accent.
                for form in (student, *(unicodedata.normalize(form, student) for form in ("NFC", "NFD"))):
                    self._pseudonyms.setdefault(clean_text(form), pseudonym)
        self._words = {student: _words(student) for student in self._pseudonyms}
        # A class is often called student-0001, student-0002, …: the rarest word says which of them may be in a text.
        counts = Counter(word for words in self._words.values() for word in words)
        self._by_word: dict[str, list[str]] = {}
        for student, words in self._words.items():
            rarest = min(words, key=lambda word: (counts[word], word), default="")
            self._by_word.setdefault(rarest, []).append(student)
        # Most texts name nobody or one person, whose pattern is then made once.
        self._pattern = lru_cache(maxsize=256)(_pattern)

    def replace(self, text: str) -> str:
        """The text with pseudonyms, as pages show it: a colour would otherwise hide where an id begins."""
        text = clean_text(text)
        words = _words(text)
        candidates = (student for word in self._by_word.keys() & {"", *words} for student in self._by_word[word])
        found = [student for student in candidates if self._words[student] <= words]
        if not found:
            return text
        students = tuple(sorted(found, key=lambda student: (-len(student), student)))

        def pseudonym(match: re.Match[str]) -> str:
            exact = self._pseudonyms.get(match.group())
            return exact or self._pseudonyms[students[(match.lastindex or 1) - 1]]

        return self._pattern(students).sub(pseudonym, text)


def anonymous_records(records: Sequence[ResultRecord], pseudonyms: Mapping[str, str]) -> list[ResultRecord]:
    """The records with pseudonyms, in the order of these."""
    ids = IdsInText(pseudonyms)
    renamed = (_anonymous_record(record, pseudonyms[record.student], ids) for record in records)
    return sorted(renamed, key=lambda record: record.student)


def anonymous_similarity(
    similarity: Iterable[ExerciseSimilarity], pseudonyms: Mapping[str, str]
) -> list[ExerciseSimilarity]:
    """The comparison with pseudonyms; neither pairs nor the two of a pair keep the order of the real ids."""
    ids = IdsInText(pseudonyms)
    return [
        replace(
            exercise,
            pairs=tuple(
                sorted(
                    (_anonymous_pair(pair, pseudonyms, ids) for pair in exercise.pairs),
                    # The closest pair of a group, which has code, comes before its others.
                    key=lambda pair: (-pair.evidence, pair.passages is None, pair.students),
                )
            ),
        )
        for exercise in similarity
    ]


def anonymous_late(late: Iterable[LateSubmission], pseudonyms: Mapping[str, str]) -> list[LateSubmission]:
    """Late submissions with pseudonyms, in the order of these."""
    renamed = (replace(entry, student=pseudonyms[entry.student]) for entry in late)
    return sorted(renamed, key=lambda entry: (entry.student, entry.exercise))


def _anonymous_record(record: ResultRecord, pseudonym: str, ids: IdsInText) -> ResultRecord:
    # Not the path with the id replaced: its other folders may have the student's name, or the instructor's.
    source = f"{pseudonym}/{record.exercise or 'unknown'}.ipynb" if record.source else ""

    def clean(text: str) -> str:
        return ids.replace(text.replace(record.source, source) if record.source else text)

    message = FILE_NAME_LEFT_OUT if record.status in _QUOTES_FILE_NAMES else clean(record.message)
    return replace(
        record,
        student=pseudonym,
        checks=tuple(_anonymous_check(check, ids) for check in record.checks),
        notes=tuple(clean(note) for note in record.notes),
        message=message if record.message else "",
        output=clean(record.output),
        source=source,
    )


def _anonymous_check(check: CheckRecord, ids: IdsInText) -> CheckRecord:
    return replace(
        check,
        message=ids.replace(check.message),
        expected=ids.replace(check.expected),
        actual=ids.replace(check.actual),
        called=ids.replace(check.called),
    )


def _anonymous_pair(pair: SimilarPair, pseudonyms: Mapping[str, str], ids: IdsInText) -> SimilarPair:
    first, second = (pseudonyms[student] for student in pair.students)
    passages = pair.passages and (_passage(pair.passages[0], ids), _passage(pair.passages[1], ids))
    if second < first:
        first, second = second, first
        passages = passages and (passages[1], passages[0])
    return replace(pair, students=(first, second), passages=passages)


def _passage(passage: Passage, ids: IdsInText) -> Passage:
    return replace(passage, code=ids.replace(passage.code))  # no pseudonym has a line break: the lines stay the same


def _words(text: str) -> frozenset[str]:
    return frozenset(word.casefold() for word in _WORD.findall(text))


def _pattern(students: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"({_standing_alone(student)})" for student in students), re.IGNORECASE)


def _standing_alone(student: str) -> str:
    before = r"(?<![^\W_])" if _WORD.match(student) else ""
    after = r"(?![^\W_])" if _WORD.match(student[-1]) else ""
    return f"{before}{re.escape(student)}{after}"
