"""Results folders in which an arm was planned without milestones and with them, and what the report makes of these."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from analysis.findings import find
from analysis.loading.load import load_results
from analysis.pretraining.epochs_study import epoch_ladder
from analysis.report import write_report
from trainables.results import read_table, record_plan, write_rows

ARM, LONGEST = "byol-domain", 12


def without_milestones(rows: list[dict], seeds: range = range(3)) -> list[dict]:
    """The rows as an experiment would plan them whose stage lists no milestones: fewer, and its own base arm."""
    longest = {row["cell_id"] for row in rows if row["arm"] == ARM and row["pretraining_epochs"] == LONGEST}
    kept = [row for row in rows if row["arm"] != ARM or row["cell_id"] in longest]
    changed = {"pretraining_epochs": 0, "base_arm": ARM}
    return [row | (changed if row["arm"] == ARM else {}) for row in kept if row["subset_seed"] in seeds]


def record_cells(root: Path, rows: list[dict]) -> None:
    """Give finished cells the axes that they were recorded with."""
    axes = {row["cell_id"]: row for row in rows}
    cells, _ = read_table(root, "cells")
    for cell in cells.to_pylist():
        if cell["cell_id"] in axes:
            write_rows(root, "cells", cell["cell_id"], [cell | axes[cell["cell_id"]]])


def plans(root: Path, *planned: list[dict]) -> Path:
    """Let these be all the plans of a folder."""
    shutil.rmtree(root / "planned")
    for rows in planned:
        record_plan(root, rows)
    return root


@pytest.fixture
def plain(small, undrawn):
    """A sweep of three arms, of which one has the milestones 3 and 12, planned once."""
    return small(num_arms=3, num_seeds=3, left_out=0, failed=0)


def tables(root: Path, out: Path) -> dict[str, pd.DataFrame]:
    """The tables of a folder's report."""
    write_report(root, out)
    return {path.stem: pd.read_csv(path) for path in (out / "tables").glob("*.csv")}


@pytest.mark.parametrize("case", ["added", "added for fewer seeds", "taken away", "without plans"])
def test_a_folder_with_milestones_in_one_plan_alone_gives_the_report_of_one_plan(simulated, plain, tmp_path, case):
    rows = simulated.design()
    alone, seeds = without_milestones(rows), range(2 if case == "added for fewer seeds" else 3)
    mixed = shutil.copytree(plain, tmp_path / "mixed")
    record_cells(mixed, alone[1:] if case == "taken away" else alone)
    with_milestones = [row for row in rows if row["subset_seed"] in seeds]
    if case == "without plans":
        shutil.rmtree(mixed / "planned")
        shutil.rmtree(plain / "planned")
        (next((plain / "cells").glob("protocol-old*"))).unlink()
        (next((mixed / "cells").glob("protocol-old*"))).unlink()
    else:
        plans(mixed, *((with_milestones, alone) if case == "taken away" else (alone, with_milestones)))
    if case == "added for fewer seeds":  # the third is known at the longest alone
        plans(plain, [row for row in rows if row["subset_seed"] in seeds or row["pretraining_epochs"] != 3])
    expected, found = tables(plain, tmp_path / "report-plain"), tables(mixed, tmp_path / "report-mixed")
    assert expected["pretraining_epochs"]["pretraining_epochs"].isin([0, 3, 12]).all()
    for name in expected:
        pd.testing.assert_frame_equal(found[name], expected[name], obj=name)
    page = (tmp_path / "report-mixed" / "index.html").read_text()
    assert f"{ARM} (3, 12 epochs)" in page
    assert "was pretrained for one number of epochs" not in page


def test_cells_of_another_recipe_stand_for_no_number_of_epochs_and_are_told(simulated, plain, tmp_path):
    rows = simulated.design()
    other = {"pretraining_chain": "stage-of-another-rate@12"}
    alone = [row | (other if row["arm"] == ARM else {}) for row in without_milestones(rows)]
    renamed = [row | ({"cell_id": f"new-{row['cell_id']}"} if row["arm"] == ARM else {}) for row in alone]
    cells, _ = read_table(plain, "cells")
    own = {row["cell_id"]: row for row in cells.to_pylist()}
    for before, row in zip(alone, renamed, strict=True):
        if row["arm"] == ARM:
            write_rows(plain, "cells", row["cell_id"], [own[before["cell_id"]] | row])
            for name in ("curves", "cases"):
                table, _ = read_table(plain, name)
                copied = [each for each in table.to_pylist() if each["cell_id"] == before["cell_id"]]
                write_rows(plain, name, row["cell_id"], [each | {"cell_id": row["cell_id"]} for each in copied])
    loaded = load_results(plans(plain, renamed, rows))
    findings = find(loaded)
    assert ARM in set(findings.variants["variant"])
    assert epoch_ladder(findings.variants, ARM) == {0: "random", 3: f"{ARM}, 3 epochs", 12: f"{ARM}, 12 epochs"}
    warning = next(each for each in loaded.warnings if "without milestones" in each)
    assert warning.startswith(f"6 cells of {ARM} are of a plan without milestones and of another recipe or seed")


def test_an_arms_own_row_at_zero_is_no_rung_of_its_ladder():
    variants = pd.DataFrame(
        [("byol", "byol", "byol", 0), ("byol, 5 epochs", "byol", "random", 5), ("random", "random", "random", 0)],
        columns=["variant", "arm", "base_arm", "pretraining_epochs"],
    )
    assert epoch_ladder(variants, "byol") == {0: "random", 5: "byol, 5 epochs"}
