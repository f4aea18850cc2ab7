"""Which labelled patient a name tells: however the id is spelled, and never a part of another word or number."""

import re
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainables.data.patient_names import KnownPatients

WORDS = ("patient", "sub", "Case", "患者", "müller", "HÜ")
SEPARATORS = ("", "_", "-", " ", ".", "__")
AROUND = ("frame", "ED", "of", "slice")  # words that no id has
SPELLINGS = {
    "upper": str.upper,
    "lower": str.lower,
    "plain": str,
    "parted": lambda text: unicodedata.normalize("NFD", text),
}

ids = st.builds(
    lambda word, separator, number, width: f"{word}{separator}{number:0{width}d}",
    *(st.sampled_from(WORDS), st.sampled_from(SEPARATORS), st.integers(0, 999), st.integers(1, 4)),
)


numbers = st.lists(st.integers(0, 99999).map(str) | st.from_regex(r"0\d{1,3}", fullmatch=True), min_size=2, max_size=5)


@st.composite
def respelled(draw: st.DrawFn, patient: str) -> str:
    """The same word and number in another case, with other separators and zeros."""
    word, number = re.findall(r"[^\W\d_]+|\d+", patient)
    word = SPELLINGS[draw(st.sampled_from(sorted(SPELLINGS)))](word)
    return f"{word}{draw(st.sampled_from(SEPARATORS))}{int(number):0{draw(st.integers(1, 5))}d}"


@given(st.data(), ids, st.sets(ids))
def test_an_id_is_found_in_any_spelling_and_with_other_words_around_it(
    data: st.DataObject, patient: str, others: set[str]
) -> None:
    plain = {re.sub(r"[\W_]", "", re.sub(r"0+(?=\d)", "", each)).casefold(): each for each in {*others, patient}}
    before, after = (data.draw(st.sampled_from(("", *AROUND)), label=side) for side in ("before", "after"))
    spelled = data.draw(respelled(patient))
    name = f"{before}{'_' if before else ''}{spelled}{'_' if after else ''}{after}"
    path = data.draw(st.sampled_from((name, f"{name}/cine", f"site/{name}/deep/cine", f"imagesTs/{name}")))
    assume(len(plain) == len({*others, patient}))  # no two ids that differ in spelling alone
    assert KnownPatients({*others, patient}).told_by(path) == {patient}


@given(st.data(), ids, st.integers(0, 9999), st.sampled_from(AROUND))
def test_another_number_is_another_patient(data: st.DataObject, patient: str, number: int, after: str) -> None:
    word, own = re.findall(r"[^\W\d_]+|\d+", patient)
    assume(number != int(own))
    name = data.draw(respelled(f"{word}{number}"))
    assert not KnownPatients({patient}).told_by(f"{name}_{after}/{name}")


@given(
    st.integers(1, 30), st.integers(1, 30), st.sampled_from(("scan {} of 99", "slice_{}", "frame{:02d}", "t{}_late"))
)
def test_a_short_number_within_a_name_is_no_patient(patient: int, number: int, name: str) -> None:
    assert not KnownPatients({str(patient)}).told_by(f"stranger/{name.format(number)}")


@given(st.data(), numbers, st.sets(st.sampled_from(("MR", "T2", "img", "v3", "scan", "ED")), max_size=3))
def test_an_id_of_many_digits_or_numbers_is_found_between_other_words(
    data: st.DataObject, patient: list[str], around: set[str]
) -> None:
    assume(len(patient) > 2 or len("".join(patient)) >= 5)
    written, respelled = (data.draw(st.sampled_from("-_. ")).join(patient) for _ in range(2))
    words = [*sorted(around), respelled]
    data.draw(st.randoms()).shuffle(words)
    assert KnownPatients({written, "7-8-9-10-11-12"}).told_by(f"somebody/{'_'.join(words)}") == {written}


@given(numbers, st.integers(0, 4), st.integers(1, 9))
def test_an_id_with_another_number_is_another_patient(patient: list[str], place: int, more: int) -> None:
    other = list(patient)
    place %= len(patient)
    other[place] = str(int(other[place]) + more)
    assert not KnownPatients({"-".join(patient)}).told_by(f"scan_{'-'.join(other)}_ED")


@given(st.integers(0, 99), st.integers(0, 99))
def test_two_short_numbers_within_a_name_are_no_patient_unless_written_as_long_ones(first: int, second: int) -> None:
    name = f"scan_{first}_{second}_ED"
    assert not KnownPatients({f"{first}-{second}", f"{first:04d}-{second:04d}"}).told_by(name)


@given(
    st.sampled_from(("patient", "sub-", "p")),
    st.integers(1, 10),
    st.lists(st.integers(1, 10), min_size=1, max_size=3),
)
def test_numbered_folders_below_a_patient_are_sessions(word: str, patient: int, sessions: list[int]) -> None:
    known = KnownPatients(map(str, range(1, 11)))
    below = "/".join(map(str, sessions))
    assert known.told_by(f"{word}{patient}/{below}/im") == {str(patient)}
    assert known.told_by(f"site/{word}{patient}/{below}/im_3") == {str(patient)}
    assert known.told_by(f"site/anna/{below}/im", num_settled=2) == set()  # whom a pattern has found


@pytest.mark.parametrize(
    ("patient", "path"),
    [
        ("patient011", "patient011_frame02"),
        ("patient011", "Patient011/x"),
        ("patient012", "patient_012/x"),
        ("patient011", "sa_patient011_4d"),
        ("patient011", "patient/011/cine"),
        ("site1/p3", "site1/p3/cine"),
        ("site1/p3", "site_1_p3"),
        ("anna-maria", "AnnaMaria_ED"),
        ("Müller", "MÜLLER_frame2"),
        ("p7", "p7_a"),
        ("p7", "p7a"),  # a letter begins another token
        ("12-34", "12_34"),
        ("12-34", "12-34_ED"),
        ("01-002", "IMG_01-002_T2"),
        ("01-002", "01/002/cine"),
        ("101-0023", "T2_101-0023"),
        ("101-0023", "T2_101_23_ED"),
        ("2023-01-05", "MR_2023-01-05"),
        ("2023-01-05", "2023/1/5/cine"),
        ("1.2.840.113619.2.55", "scan_1.2.840.113619.2.55"),
        ("1", "1"),
        ("1", "001/cine"),
        ("001", "Patient_1_frame02"),
        ("001", "sub-1/ses-2/cine"),
        ("001", "1_ED"),
        ("001", "site/001_0003"),
        ("104582", "scan_104582_t1"),
        ("00012", "scan_00012_t1"),
        ("anna", "anna"),
        ("ab", "AB/x"),
        ("+", "+/x"),
    ],
)
def test_a_name_tells_the_patient(patient: str, path: str) -> None:
    assert KnownPatients({patient}).told_by(path) == {patient}


@pytest.mark.parametrize(
    ("patient", "path"),
    [
        ("case_1", "case_10"),
        ("case_1", "case_10_frame1"),
        ("case_1", "showcase_1"),
        ("1", "case_10"),
        ("1", "scan 1 of 3"),
        ("1", "10/cine"),
        ("4", "4d_cine"),
        ("2", "2ch"),
        ("1", "1.5 mm"),
        ("12", "scan_00012_t1"),
        ("00012", "slice_12"),
        ("12-34", "1234"),
        ("12-34", "scan_12-34"),
        ("01-002", "scan_1_2"),
        ("101-0023", "scan_2101-0023"),
        ("101-0023", "scan_1010023"),
        ("p12", "p1_2"),
        ("ab", "scan_ab"),
        ("anna", "hannah"),
        ("anna", "annas"),
        ("patient011", "011"),
    ],
)
def test_a_name_does_not_tell_the_patient(patient: str, path: str) -> None:
    assert not KnownPatients({patient}).told_by(path)


@pytest.mark.parametrize(
    ("patients", "path", "told"),
    [
        ({"p1", "p1_2"}, "p1_2_late", {"p1_2"}),  # the longer id holds the shorter
        ({"p1", "p1_2"}, "p1_3_late", {"p1"}),
        ({"p1", "p01"}, "p01_late", {"p01"}),  # as it is written
        ({"p1", "p01"}, "p001_late", {"p1", "p01"}),
        ({"p1", "p2"}, "p1/moved_to_p2", {"p1", "p2"}),
        ({"p1", "p2"}, "p1/p1_late", {"p1"}),
        ({"1", "7"}, "7/1", {"7"}),  # slices of a patient are numbered
        ({"1", "7"}, "p7/1/x", {"7"}),  # and sessions
        ({"1", "7"}, "7/1/x", {"1", "7"}),  # but sites, too
        ({"1", "7"}, "7/1_ED/x", {"1", "7"}),
        ({"1", "7"}, "7/p1/x", {"1", "7"}),
        ({"104582", "7"}, "7/104582/x", {"7", "104582"}),
        ({"01-002", "002-0103"}, "MR_01-002-0103", {"01-002", "002-0103"}),
        ({"1", "p7"}, "p7/1", {"p7"}),
    ],
)
def test_of_several_ids_the_one_that_is_meant_or_all(patients: set[str], path: str, told: set[str]) -> None:
    assert KnownPatients(patients).told_by(path) == told


def test_a_name_that_counts_only_as_a_whole_is_not_looked_for_within_others() -> None:
    known = KnownPatients({"p1"}, {"scan"})
    assert known.told_by("Scan/x") == {"scan"}
    assert not known.told_by("scan_2")
