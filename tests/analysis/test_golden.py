"""The golden report: results stored in ``golden/results`` must give the numbers that ``golden/headline.py`` worked out
of the same files with numpy and scipy, on a page whose sections stand in their order.

A number that changes here has changed for everyone who reports on results of earlier versions.
"""

import itertools
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.report import write_report
from tests.analysis.golden.headline import headline

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
KEYS = ("variant", "label_count", "class_name", "group")
OWN_GOAL = "within 10% of its own error at most labels"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The report without its figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.report.draw_all", lambda findings: [])
        return write_report(GOLDEN / "results", tmp_path_factory.mktemp("golden")).page.parent


@pytest.fixture(scope="module")
def tables(folder):
    return {
        name: pd.read_csv(folder / "tables" / f"{name}.csv") for name in (*EXPECTED, "progress") if name != "counts"
    }


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "index.html").read_text()


def test_the_stored_numbers_are_those_of_the_stored_files():
    found, expected = headline(GOLDEN / "results"), EXPECTED
    assert found.keys() == expected.keys()
    assert found["counts"] == expected["counts"]
    for name in set(expected) - {"counts"}:
        pd.testing.assert_frame_equal(pd.DataFrame(found[name]), pd.DataFrame(expected[name]))


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "counts"])
def test_the_table_holds_exactly_these_numbers(tables, name):
    expected, table = pd.DataFrame(EXPECTED[name]), tables[name]
    if name == "labels_needed":
        table = table[table["goal"] == OWN_GOAL]
    keys = [key for key in KEYS if key in expected]
    both = expected.merge(table, on=keys, suffixes=("_expected", ""), validate="one_to_one")
    assert len(both) == len(expected)
    for column in set(expected) - set(keys):
        assert both[column].tolist() == pytest.approx(both[f"{column}_expected"].tolist(), rel=1e-9), column


def test_every_row_of_errors_differences_structures_and_groups_is_expected(tables):
    for name in ("errors", "differences", "dice_by_class", "error_by_group"):
        assert len(tables[name]) == len(EXPECTED[name])


def test_failed_and_torn_cells_are_counted_named_and_left_out(tables, page):
    progress = tables["progress"].sum(numeric_only=True)
    assert (progress["planned"], progress["finished"]) == tuple(EXPECTED["counts"].values())
    assert "2 of 48 planned cells have no result" in page
    assert "OutOfMemoryError: the device was full" in page
    assert re.search(r"Left out: \S*cells/byol-domain-3-36-1\.parquet", page)


def test_the_page_has_its_sections_in_order(page):
    wanted = ['aria-label="Answer"']
    wanted += [f'id="{name}"' for name in ("design", "gaps", "convergence-section", "labels", "worth", "epochs")]
    wanted += [f'id="{name}"' for name in ("examples", "structures", "cost", "method")]
    places = [page.index(words) for words in wanted]
    assert all(before < after for before, after in itertools.pairwise(places))


def test_the_page_shows_the_numbers_rounded(page):
    row = next(each for each in EXPECTED["errors"] if each["variant"] == "random" and each["label_count"] == 36)
    body = page[page.index('id="table-errors"') :]
    line = next(each for each in body.split("<tr") if "random" in each and ">36<" in each)
    assert f"{row['median_error']:.3f}" in line
    assert f"{row['error']:.3f}" in line
