"""Read a results folder into data frames, and keep the cells that belong to its latest plan.

In: a folder written through ``trainables.results``. Out: an ExperimentResults with one row per finished
cell, what is missing, what failed, and warnings about everything that was left out. Source of the schemas:
``trainables.results``; which cells belong together: ``selection``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.loading.options import ReportOptions, read_options
from analysis.loading.replicates import seed_names
from analysis.loading.selection import DESIGN_AXES, NothingFinishedError, keep_scored, keep_whole, select_design
from analysis.loading.side_files import read_data, read_experiment, read_references, read_versions
from trainables.results import (
    SCHEMAS,
    DeviceShares,
    check_results,
    finished_cells,
    read_device_shares,
    read_table,
    stages_of,
)

SCORELESS = "finished without a usable test score"
LOST = "its curves or cases were lost; the sweep runs it again"


@dataclass(frozen=True)
class ExperimentResults:
    """Everything the analysis needs to know about one sweep; ``cells`` has one row per finished cell of the
    design.
    """

    root: Path
    name: str
    label_unit: str
    options: ReportOptions
    planned: pd.DataFrame
    cells: pd.DataFrame  # the contract's columns plus variant, seed, error
    curves: pd.DataFrame
    cases: pd.DataFrame
    pretraining: pd.DataFrame
    missing: pd.DataFrame  # planned, not finished; reason is empty where no failure was recorded
    failures: pd.DataFrame  # failed cells and stages of the design
    examples: pd.DataFrame = field(default_factory=pd.DataFrame)  # predictions; none in results of older programs
    example_slices: pd.DataFrame = field(default_factory=pd.DataFrame)
    num_other_protocol: int = 0
    config: dict[str, Any] = field(default_factory=dict)  # the resolved experiment; empty where it is missing
    data: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)  # by pretraining method
    device_shares: DeviceShares = field(default_factory=DeviceShares)
    warnings: list[str] = field(default_factory=list)

    def settings(self, section: str) -> dict[str, Any]:
        """Return a section of the resolved experiment, such as ``natural``; empty where experiment.yaml is missing."""
        return dict(self.config.get(section) or {})


def load_results(root: Path, protocol: str | None = None) -> ExperimentResults:
    """Read a results folder: the cells of one protocol, that of the latest plan unless another is given.

    Raises ResultsError for a foreign folder and ReportError where no cell can be used, NothingFinishedError where
    none has a score yet.
    """
    root = check_results(root)
    tables, warnings = _read_tables(root)
    config = read_experiment(root, warnings)
    whole, lost = keep_whole(tables["cells"], _whole_cells(root, tables), warnings)
    planned, cells = select_design(tables["planned"], whole, protocol, warnings)
    if cells.empty:
        unreadable = sum(str(root / "cells") in warning for warning in warnings)
        raise NothingFinishedError(
            f"no finished cells in {root}: expected files in {root / 'cells'} of the latest plan; found "
            f"{len(whole)} of other protocols, {len(lost)} without their curves or cases, {unreadable} unreadable and "
            f"{len(planned)} planned; run the sweep first"
        )
    cells, scoreless = keep_scored(_describe_cells(cells), root, warnings)
    reasons = dict.fromkeys(lost, LOST) | dict.fromkeys(scoreless, SCORELESS)
    kept = set(cells["cell_id"])
    data = read_data(root, warnings)
    warnings += [f"Data: {warning}" for warning in data.get("warnings") or []]
    failures = _of_design(tables["failures"], planned)
    return ExperimentResults(
        root=root,
        name=str(config.get("name") or root.name),
        label_unit=str(cells["label_unit"].iloc[0]),
        options=read_options(config.get("report"), root / "experiment.yaml", warnings),
        planned=planned,
        cells=cells,
        curves=tables["curves"][tables["curves"]["cell_id"].isin(kept)].reset_index(drop=True),
        cases=_with_current_names(tables["cases"][tables["cases"]["cell_id"].isin(kept)], data),
        pretraining=tables["pretraining"],
        missing=_missing_cells(planned, kept, failures, reasons),
        failures=failures.reset_index(drop=True),
        examples=tables["examples"][tables["examples"]["cell_id"].isin(kept)].reset_index(drop=True),
        example_slices=tables["example_slices"],
        num_other_protocol=len(whole) - len(cells) - len(scoreless),
        config=config,
        data=data,
        versions=read_versions(root, warnings),
        references=read_references(root, warnings),
        device_shares=read_device_shares(root),
        warnings=warnings,
    )


def _whole_cells(root: Path, tables: Mapping[str, pd.DataFrame]) -> set[str]:
    """Return the cells that the ledger counts as finished and whose test patients can be read.

    Results that were copied without curves or cases as a whole have lost no single cell, and are taken as they are.
    """
    if tables["cases"].empty or tables["curves"].empty:
        return set(tables["cells"]["cell_id"])
    return finished_cells(root) & set(
        tables["cases"]["cell_id"].unique()
    )  # asked after the tables, so no older than they


def _with_current_names(cases: pd.DataFrame, data: Mapping[str, Any]) -> pd.DataFrame:
    """Name classes as the latest run does: a finished cell keeps the names of its time, and is the same cell."""
    for index, name in enumerate(data.get("class_names") or [], start=1):
        cases = cases.assign(class_name=cases["class_name"].mask(cases["class_index"] == index, name))
    return cases.reset_index(drop=True)


def variant_label(arm: str, pretraining_epochs: int) -> str:
    """Name an arm at a number of pretraining epochs, such as ``byol-domain, 12 epochs``; 0 epochs is the arm
    alone.
    """
    if pretraining_epochs == 0:
        return arm
    return f"{arm}, {pretraining_epochs} epoch{'s' if pretraining_epochs != 1 else ''}"


def write_fits(path: Path, fits: pd.DataFrame) -> None:
    """Write the fitted laws as one Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.to_parquet(path, index=False)


def _read_tables(root: Path) -> tuple[dict[str, pd.DataFrame], list[str]]:
    tables, warnings = {}, []
    for name in SCHEMAS:
        table, problems = read_table(root, name)
        tables[name] = table.to_pandas()
        warnings += [f"Left out: {problem}." for problem in problems]
    return tables, warnings


def _describe_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Add variant, seed and error; a seed, shared by all arms, is what ``replicates`` takes for one.

    Cells of older programs, which tell no budget, ran it whole.
    """
    labels = [
        variant_label(str(arm), int(epochs))
        for arm, epochs in zip(cells["arm"], cells["pretraining_epochs"], strict=True)
    ]
    budget = cells["budget_steps"].fillna(cells["steps"]).astype("int64")
    error = 1.0 - cells["test_dice"]
    return cells.assign(variant=labels, seed=seed_names(cells), error=error, budget_steps=budget)


def _of_design(failures: pd.DataFrame, planned: pd.DataFrame) -> pd.DataFrame:
    """Return the failures of planned cells and of the stages behind them; a folder may hold other experiments' too."""
    stages = {stage_id for chain in planned["pretraining_chain"] for stage_id, _ in stages_of(chain)}
    return failures[failures["unit_id"].isin(stages | set(planned["cell_id"]))]


def _missing_cells(
    planned: pd.DataFrame, finished: set[str], failures: pd.DataFrame, known: Mapping[str, str]
) -> pd.DataFrame:
    """List planned cells without a result: a reason of their own, or that a stage behind them failed, or none yet."""
    missing = planned[~planned["cell_id"].isin(finished)]
    failed_cells = failures[failures["unit"] == "cell"].drop_duplicates("unit_id", keep="last")
    reasons = dict(zip(failed_cells["unit_id"], failed_cells["reason"], strict=True))
    reasons |= known
    failed_stages = failures[failures["unit"] == "stage"]
    stages = dict(zip(failed_stages["unit_id"], failed_stages["name"], strict=True))
    for cell_id, chain in zip(missing["cell_id"], missing["pretraining_chain"], strict=True):
        behind = [stages[stage_id] for stage_id, _ in stages_of(chain) if stage_id in stages]
        if behind:
            reasons.setdefault(cell_id, f"pretraining {behind[0]} failed")
    return missing[["cell_id", *DESIGN_AXES]].assign(
        reason=[reasons.get(cell_id, "") for cell_id in missing["cell_id"]]
    )
