"""Which patient, phase and group a case belongs to: a pattern on its name, or a table.

In: case names and a DataConfig. Out: volumes grouped by patient and phase. Without a rule the first folder is the
patient, and each case without a folder one of its own; names that look like several cases of one patient are then
refused, since the patient is what splits keep apart.
"""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile, zip_longest
from pathlib import Path

from trainables.config import DataConfig
from trainables.data.dataset import DataError, Piece, Problem, Volume, in_order, listed, natural_order

CASES_FILE = "cases.csv"
RASTER_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")
NIFTI_SUFFIXES = (".nii.gz", ".nii")
SUFFIXES = (*NIFTI_SUFFIXES, *RASTER_SUFFIXES)
UNKNOWN_GROUP = "unknown"
SAVE_AGAIN = "save it as CSV again, in Excel as 'CSV UTF-8'"
LAST_PART = r"([\W_]+)[^\W_]*$"  # what follows the last separator of a name
LAST_NUMBER = r"[\W_]*[^\W\d_]*\d+$"  # a name's last number with the letters and separators before it
MAX_PARTS = 3  # of a name behind the patient, such as visit, series and slice


@dataclass(frozen=True)
class FoundCase:
    """A case before its patient is known. ``row`` is its line of the table, if there is one."""

    name: str
    piece: Piece
    row: Mapping[str, str] | None = None


@dataclass
class Exclusion:
    """The names of ``data.exclude``, and which of them a reader came across: one that nothing has is a typing error.

    ``cases`` are those of excluded patients and volumes, which a split file may list under names of their own.
    """

    names: tuple[str, ...]
    found: set[str] = field(default_factory=set)
    cases: set[str] = field(default_factory=set)

    def __contains__(self, name: str) -> bool:
        if name in self.names:
            self.found.add(name)
        return name in self.names

    def leaves_out(self, name: str, cases: Iterable[str]) -> bool:
        """Return whether a patient or volume is left out, and keep the names of its cases."""
        is_excluded = name in self
        if is_excluded:
            self.cases.update(cases)
        return is_excluded


def stem(path: Path) -> str:
    """A file's name without its image suffix."""
    lower = path.name.lower()
    suffix = next((each for each in SUFFIXES if lower.endswith(each)), path.suffix)
    return path.name[: len(path.name) - len(suffix)] if suffix else path.name


def is_image(path: Path) -> bool:
    """Whether the name is that of an image file; hidden files (macOS leaves ``._`` copies) are none."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def files_below(root: Path, must_see_all: bool = True) -> list[Path]:
    """Everything below a folder, also behind links to folders; a folder that two paths lead to is listed once.

    Raises DataError for a folder that cannot be listed, if all must be seen: what lies in it would be left out.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, onerror=_refuse if must_see_all else None, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        subfolders.sort()
        seen.add(real)
        found += [Path(folder, name) for name in (*names, *subfolders)]
    return found


def _refuse(error: OSError) -> None:
    found, remedy = f"a folder that cannot be listed ({error.strerror})", "grant access to it, or move it elsewhere"
    raise DataError(Problem(str(error.filename), found, "folders that can be read", remedy)) from error


def read_table(
    config: DataConfig, root: Path, required: tuple[str, ...]
) -> tuple[Path, dict[int, dict[str, str]]] | None:
    """Return the table of cases and its rows by the number of the line that each ends in, if there is one.

    Raises DataError for a table that cannot be read, lacks a required column or has no row.
    """
    path = config.cases_csv or root / CASES_FILE
    if not path.is_file():
        if config.cases_csv:
            raise DataError(Problem(str(path), "no file", "the table of cases", "correct data.cases_csv"))
        return None
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            text = file.read()
            delimiter = max(
                ",;\t", key=text.partition("\n")[0].count
            )  # a semicolon where the comma is the decimal point
            lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
            columns = [column.strip().lower() for column in next(lines, [])]
            found = {lines.line_num: line for line in lines if any(line)}  # noqa: B035, it moves on with each line
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problem = Problem(str(path), f"a table that cannot be read ({error})", "UTF-8 text", SAVE_AGAIN)
        raise DataError(problem) from error
    if missing := [column for column in required if column not in columns]:
        have = f"columns {', '.join(columns) or 'none'}"
        expected = f"a header and rows with {', '.join(required)} (and phase, group if known)"
        raise DataError(Problem(str(path), have, expected, f"add the column {missing[0]}"))
    if not found:
        raise DataError(Problem(str(path), "a header and no row", "a row for each case", "fill the table"))
    if long := [(number, len(line)) for number, line in found.items() if len(line) > len(columns)]:
        where, remedy = f"{path}, line {long[0][0]}", 'put a text that holds a comma in "double quotes"'
        raise DataError(Problem(where, f"{long[0][1]} fields", f"{len(columns)}, as in the header", remedy))
    return path, {
        number: dict(zip_longest(columns, map(str.strip, line), fillvalue="")) for number, line in found.items()
    }


def tabled_files(config: DataConfig) -> list[Path]:
    """Return the images and masks that ``data.cases_csv`` names, which may lie outside the root."""
    table = read_table(config, config.cases_csv.parent, ()) if config.cases_csv else None
    path, rows = table or (Path(), {})
    return [path.parent / row[column] for row in rows.values() for column in ("image", "mask") if row.get(column)]


def to_volumes(
    cases: Iterable[FoundCase], config: DataConfig, exclusion: Exclusion, root: Path, problems: list[Problem]
) -> tuple[Volume, ...]:
    """Name each case's patient, phase and group, and gather the 2D slices of one patient and phase into a volume."""
    found = [case for case in cases if case.name not in exclusion]
    rows = _rows_by_case(config, root, problems) if any(case.row is None for case in found) else {}
    _check_rule(found, rows, config, root, problems)
    common = _common_folder([case.name for case in found])
    named: dict[tuple[str, str], list[Volume]] = {}
    for case in sorted(found, key=lambda each: natural_order(each.name)):
        row = case.row if case.row is not None else rows.get(case.name)
        volume = _named(case, row, common, config, problems)
        if volume and not exclusion.leaves_out(volume.patient, volume.cases):
            named.setdefault((volume.patient, volume.phase), []).append(volume)
    merged = (_merged(volumes, problems) for volumes in named.values())
    return in_order(volume for volume in merged if not exclusion.leaves_out(volume.name, volume.cases))


def _rows_by_case(config: DataConfig, root: Path, problems: list[Problem]) -> dict[str, dict[str, str]]:
    path, rows = read_table(config, root, ("case", "patient")) or (root, {})
    by_case: dict[str, dict[str, str]] = {}
    for row in rows.values():
        if not row["patient"]:
            problems.append(Problem(str(path), f"case {row['case']} without a patient", "its patient", "fill it in"))
        folder, _, last = row["case"].rpartition("/")
        name = "/".join(filter(None, (folder, stem(Path(last)) if last.lower().endswith(SUFFIXES) else last)))
        if name in by_case:
            problems.append(Problem(str(path), f"case {row['case']} twice", "each case once", "remove one row"))
        by_case.setdefault(name, row)
    return by_case


def _named(
    case: FoundCase, row: Mapping[str, str] | None, common: str, config: DataConfig, problems: list[Problem]
) -> Volume | None:
    group = (row or {}).get("group") or UNKNOWN_GROUP
    if row and row.get("patient"):
        return Volume(case.name, row["patient"], row.get("phase", ""), group, (case.piece,))
    is_slice = case.piece.images[0].name.lower().endswith(RASTER_SUFFIXES)
    if config.patient_pattern is None:
        folder, _, rest = case.name.removeprefix(common).partition("/")
        within = rest.rpartition("/")[0] if is_slice else rest  # the slices of a folder are a volume
        return Volume(case.name, folder if rest else case.name, within, group, (case.piece,))
    match = re.match(config.patient_pattern, case.name)
    parts = match.groupdict() if match else {}
    patient = parts.get("patient") or (match.group(1) if match and match.re.groups else None)
    if not match or not patient:
        expected = f"a name that data.patient_pattern={config.patient_pattern} matches, with the patient in a group"
        problems.append(Problem(str(case.piece.images[0]), f"case {case.name}", expected, "correct the pattern"))
        return None
    phase = parts.get("phase") or ("" if is_slice else case.name[match.end() :] or _rest(case.name, match))
    return Volume(case.name, patient, phase.strip("_- "), parts.get("group") or group, (case.piece,))


def _rest(name: str, match: re.Match[str]) -> str:
    """What a pattern that matched the whole name left outside the patient's group."""
    start, stop = match.span("patient" if "patient" in match.re.groupindex else 1)
    return name[:start] + name[stop:]


def _merged(volumes: list[Volume], problems: list[Problem]) -> Volume:
    """One volume of the slices of one patient and phase; two 3D images of one patient and phase are a problem."""
    first = volumes[0]
    for other in volumes[1:]:
        if not other.where.lower().endswith(RASTER_SUFFIXES):
            found = f"a second image of patient {other.patient} with the phase '{other.phase}' (also {first.name})"
            remedy = "name the phase in data.patient_pattern or cases.csv, or exclude one with data.exclude"
            problems.append(Problem(other.where, found, "one image for each phase of a patient", remedy))
    if len(volumes) == 1:
        return first
    name = "_".join(filter(None, (first.patient, first.phase)))
    pieces = tuple(piece for volume in volumes for piece in volume.pieces)
    return replace(first, name=name, pieces=pieces, merged=tuple(volume.name for volume in volumes))


def _check_rule(
    cases: list[FoundCase], rows: Mapping[str, object], config: DataConfig, root: Path, problems: list[Problem]
) -> None:
    """Refuse names that look like several cases of a patient where nothing says which patient they are of."""
    if config.patient_pattern is not None or not cases or all(case.row for case in cases):
        return
    if rows:
        for case in cases:
            if case.name not in rows:
                where, expected = str(case.piece.images[0]), f"a row with case={case.name} in the table of cases"
                problems.append(Problem(where, "a case without a row", expected, "add the row, or exclude the case"))
        return
    common = _common_folder([case.name for case in cases])
    patients = list(dict.fromkeys(case.name.removeprefix(common).partition("/")[0] for case in cases))
    for rule in (LAST_PART, LAST_NUMBER):
        beginnings = Counter(filter(None, (re.sub(rule, "", name) for name in patients)))
        if 1 < len(beginnings) < len(patients):
            start, number = beginnings.most_common(1)[0]
            names = listed((name for name in patients if re.sub(rule, "", name) == start), 2)
            found = f"{number} cases that begin with '{start}' ({names}) and no rule which patient they are of"
            remedy = f"{_rule_for(patients, cases, common)}, or set data.patient_pattern='(.+)' if each is a patient"
            problems.append(Problem(str(root), found, "data.patient_pattern, or a cases.csv with case,patient", remedy))
            return


def _rule_for(patients: list[str], cases: list[FoundCase], common: str) -> str:
    """What to do about such names: patterns that work for all of them, or a table where none is at hand.

    Each is offered with whom it finds, since a pattern that leaves the visit in would part the visits of one patient.
    """
    rules: list[str] = []
    number = len(patients)
    for pattern in _patterns(patients, any("/" in case.name for case in cases), common):
        matches = [re.match(pattern, case.name) for case in cases]
        found = list(dict.fromkeys(match[1] for match in matches if match))
        if all(matches) and 1 < len(found) < number:
            number = len(found)
            rules.append(f"data.patient_pattern='{pattern}' (the group is the patient: {listed(found, 2)})")
    return f"set {', or '.join(rules)}" if rules else f"write a {CASES_FILE} with the columns case,patient"


def _patterns(patients: list[str], has_folders: bool, common: str) -> list[str]:
    """Patterns that take one or more of the last parts from a name, by the separator that most names have there."""
    separators = Counter(match[1] for name in patients if (match := re.search(LAST_PART, name)))
    if not separators:
        return []
    separator = separators.most_common(1)[0][0]
    before, last = _escaped(separator), _escaped(separator[-1])
    if has_folders:
        return [f"{_escaped(common)}([^/]+){before}"]
    return [f"(.+){f'{before}[^{last}]*' * parts}$" for parts in range(1, MAX_PARTS + 1)]


def _escaped(text: str) -> str:
    """The text as a regular expression, without the needless strokes before spaces and hyphens."""
    return re.sub(r"\\([ -])", r"\1", re.escape(text))


def _common_folder(names: list[str]) -> str:
    """The folders that all names begin with, ended by a stroke: they tell no patients apart."""
    levels = zip(*(name.split("/")[:-1] for name in names), strict=False)
    return "".join(f"{level[0]}/" for level in takewhile(lambda level: len(set(level)) == 1, levels))
