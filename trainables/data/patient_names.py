"""Which labelled patient a name tells, however the id is spelled in it.

In: the ids that are known, and the path of an unlabelled image. Out: the ids that its folders or its file name hold,
whatever their case, separators and leading zeros: ``Patient_12`` and ``patient012_frame02`` both tell patient012. An id
begins and ends where a word or a number does, so that case_1 is not in case_10. What is missed here may be pretrained
on though it is tested on, what is found too often is only left out: in doubt a name tells the patient.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import takewhile

LEADING_NUMBER = r"\d+(?![^\W_]|\.\d)"  # 12_ED, but neither 4d nor 1.5 mm
TOKEN = r"\d+|[^\W\d_]+"  # a number, or a run of letters
PATIENT_WORDS = ("patient", "pat", "pt", "p", "pid", "subject", "subj", "sub", "case", "id", "proband")
FEWEST_LETTERS = 3  # of an id without a number that is looked for within names
FEWEST_DIGITS = 5  # of an id without a letter, in all its numbers, likewise
MANY_NUMBERS = 3  # such an id may have less digits

Span = tuple[int, int]


class KnownPatients:
    """Ids that names are searched for. ``whole`` are names that count only as the whole of a folder or file name."""

    def __init__(self, patients: Iterable[str], whole: Iterable[str] = ()) -> None:
        self._within: dict[str, set[str]] = {}  # by spelling
        self._numbers: dict[str, set[str]] = {}  # ids of numbers alone by their digits as written, zeros too
        self._whole: dict[str, set[str]] = {}
        patients = set(patients)
        for name in {*patients, *whole}:
            tokens = [token.group() for token in _tokens(name)]
            self._whole.setdefault(_spelling_of(name), set()).add(name)
            if name in patients and _is_telling(tokens):
                self._within.setdefault(_spelling(tokens), set()).add(name)
            if name in patients and _are_long_numbers(tokens):
                self._numbers.setdefault("-".join(tokens), set()).add(name)

    def named(self, text: str) -> set[str]:
        """Return the ids that the text is as a whole; of several spellings the one that is written so."""
        return _as_written(self._whole.get(_spelling_of(text), set()), text)

    def told_by(self, path: str, num_settled: int = 0) -> set[str]:
        """Return the ids that the path's folders and file name tell; more than one is for a person to decide.

        Short numbers and one or two letters tell somebody only at certain places (``_told_by_place``), and those of a
        file's name, which may count slices, only where nothing else does. A folder that is a number alone counts
        sessions, below one that tells somebody with a word or below the first ``num_settled`` folders, which name
        another patient; below another number it may be the patient of a numbered site.
        """
        *folders, last = parts = path.split("/")
        found: set[str] = set()
        is_told_by_word = False
        for place, folder in enumerate(folders):
            is_session = folder.isdecimal() and (is_told_by_word or 0 < num_settled <= place)
            found |= set() if is_session else self._told_by_place(folder)
            found |= self._told_at_end(parts[: place + 1])
            is_told_by_word = is_told_by_word or (bool(found) and not folder.isdecimal())
        return found | self._told_at_end(parts) or self._told_by_place(last)

    def _told_at_end(self, parts: Sequence[str]) -> set[str]:
        """Ids within the last part, or which it is together with the parts before it: patient/012 is patient012."""
        found = self._within_part(parts[-1])
        for start in range(len(parts) - 1):
            found |= self._spelled([token.group() for token in _tokens("/".join(parts[start:]))])
        return found

    def _within_part(self, part: str) -> set[str]:
        tokens = _tokens(part)
        found: dict[Span, set[str]] = {}
        for start in range(len(tokens)):
            for stop in range(start + 1, len(tokens) + 1):
                if names := self._spelled([token.group() for token in tokens[start:stop]]):
                    written = tokens[0].string[tokens[start].start() : tokens[stop - 1].end()]
                    found[start, stop] = _as_written(names, written)
        return {name for span in _outermost(found) for name in found[span]}

    def _spelled(self, tokens: Sequence[str]) -> set[str]:
        """Ids that these tokens are, of those that are looked for within names."""
        return self._within.get(_spelling(tokens), set()) | self._numbers.get("-".join(tokens), set())

    def _told_by_place(self, part: str) -> set[str]:
        """Ids that are the whole part, or numbers with which it begins or which follow a word for a patient."""
        if whole := self.named(part):
            return whole
        tokens = [token.group() for token in _tokens(part)]
        places = [place + 1 for place, token in enumerate(tokens) if token.casefold() in PATIENT_WORDS]
        if re.match(LEADING_NUMBER, part):
            places.insert(0, 0)
        for place in places:
            numbers = list(takewhile(str.isdecimal, tokens[place:]))
            for stop in range(len(numbers), 0, -1):
                if found := self.named("-".join(numbers[:stop])):
                    return found
        return set()


def begins_as_patient(name: str) -> bool:
    """Whether a name begins with a word for a patient and a number, whoever that is: patient001, sub-07_late."""
    first, *others = [token.group() for token in _tokens(name)] or [""]
    return first.casefold() in PATIENT_WORDS and bool(others) and others[0].isdecimal()


def _tokens(text: str) -> list[re.Match[str]]:
    return list(re.finditer(TOKEN, unicodedata.normalize("NFKC", text)))


def _spelling(tokens: Sequence[str]) -> str:
    """Tokens without case, separators and leading zeros; two numbers stay apart."""
    plain = (token.lstrip("0") or "0" if token.isdecimal() else token.casefold() for token in tokens)
    return re.sub(r"(?<=\d) (?=\d)", "-", " ".join(plain)).replace(" ", "")


def _spelling_of(text: str) -> str:
    return _spelling([token.group() for token in _tokens(text)]) or text


def _is_telling(tokens: Sequence[str]) -> bool:
    """Whether an id is so much of a name that finding it within another one, in any spelling, is no chance."""
    letters = sum(len(token) for token in tokens if not token.isdecimal())
    has_number = any(token.isdecimal() for token in tokens)
    if not letters:  # 101-0023, but not 01-002, which would be found in every 1_2
        return len(tokens) > 1 and _are_long_numbers([token.lstrip("0") or "0" for token in tokens])
    return letters >= FEWEST_LETTERS or has_number


def _are_long_numbers(tokens: Sequence[str]) -> bool:
    """Whether these are numbers alone and so many digits or numbers that no count of slices has them."""
    is_long = sum(map(len, tokens)) >= FEWEST_DIGITS or len(tokens) >= MANY_NUMBERS
    return is_long and all(token.isdecimal() for token in tokens)


def _as_written(names: set[str], text: str) -> set[str]:
    """Of ids that differ in spelling alone (p1 and p01) the one that is written so, or all."""
    return {name for name in names if unicodedata.normalize("NFKC", name) == text} or names


def _outermost(spans: Iterable[Span]) -> list[Span]:
    """Spans that lie within no other: of p1 and p1_2 the longer id is meant."""
    every = list(spans)
    return [one for one in every if not any(other != one and _holds(other, one) for other in every)]


def _holds(outer: Span, inner: Span) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]
