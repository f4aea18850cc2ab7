"""Which cells of a results folder belong together, and which of them have a score.

In: planned and finished cells. Out: those of one protocol, one for each point of the grid; words about the rest.
"""

from pathlib import Path

import pandas as pd

from analysis.counted import number
from analysis.loading.epochs_axis import on_epochs_axis, without_number
from analysis.loading.recipes import of_earlier_recipe
from trainables.results import POINT_AXES, ResultsError

DESIGN_AXES = [*POINT_AXES, "pretraining_seed"]
NUM_NAMED = 5  # cells that a warning names before it only counts


class ReportError(ResultsError):
    """Results that no report can be made of; the message says what was expected, what was found and where."""


class NothingFinishedError(ReportError):
    """No cell has a score yet: what a running sweep mends by itself, unlike every other ReportError."""


def select_design(
    planned: pd.DataFrame, cells: pd.DataFrame, protocol: str | None, warnings: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the planned rows and the finished cells of one protocol, that of the latest plan unless one is given.

    Plans of one protocol add up (more seeds, counts or arms). Where a later plan asks for the same point of the grid
    with another pretraining seed, the later one stands. Where it pretrains an arm by another recipe, all cells of the
    earlier one are left out: neither a point nor an arm mixes two recipes.
    """
    if planned.empty and cells.empty:
        return planned, cells
    planned = planned.sort_values("plan_number", kind="stable")
    protocol = protocol or (_only_protocol(cells) if planned.empty else str(planned["protocol_id"].iloc[-1]))
    found = sorted({*planned["protocol_id"], *cells["protocol_id"]})
    if protocol not in found:
        raise ReportError(f"no cells of protocol {protocol}; the results hold {', '.join(found)}")
    planned = on_epochs_axis(planned[planned["protocol_id"] == protocol])
    planned = _of_one_recipe(planned, cells, warnings)
    latest = planned.groupby(POINT_AXES)["plan_number"].transform("max")
    planned = planned[planned["plan_number"] == latest].drop_duplicates(DESIGN_AXES, keep="last")
    cells = cells[cells["protocol_id"] == protocol]
    if planned.empty:  # results copied without their plans
        cells = _one_a_point(on_epochs_axis(cells.sort_values("finished_at", kind="stable")), warnings)
    else:
        cells = _as_planned(cells[cells["cell_id"].isin(planned["cell_id"])], planned)
    _warn_of_other_recipes(cells, warnings)
    return planned.reset_index(drop=True), cells.reset_index(drop=True)


def _of_one_recipe(planned: pd.DataFrame, cells: pd.DataFrame, warnings: list[str]) -> pd.DataFrame:
    is_old = of_earlier_recipe(planned)
    kept = planned[~is_old]
    lost = planned[is_old & planned["cell_id"].isin(cells["cell_id"]) & ~planned["cell_id"].isin(kept["cell_id"])]
    lost = lost.drop_duplicates("cell_id")
    for (arm, _), rows in lost.groupby(["arm", "pretraining_epochs"]):
        points = rows[~rows.set_index(POINT_AXES).index.isin(kept.set_index(POINT_AXES).index)]
        if len(points):
            warnings.append(
                f"Left out: {number(len(points), 'cell')} of {arm} whose pretraining had another recipe, images or "
                "first weights than in the latest plan: they are no replicates of its cells. Run the sweep with their "
                "seeds and label counts to have them again, or use another name for an arm whose recipe changes."
            )
    return kept


def _as_planned(cells: pd.DataFrame, planned: pd.DataFrame) -> pd.DataFrame:
    """Place cells as their latest plan does: a finished cell keeps the axes of its time, and is the same cell."""
    rows = planned.drop_duplicates("cell_id", keep="last").set_index("cell_id").loc[cells["cell_id"]]
    names = ["pretraining_epochs", "base_arm"]
    return cells.assign(**{name: rows[name].to_numpy() for name in names})


def _warn_of_other_recipes(cells: pd.DataFrame, warnings: list[str]) -> None:
    for arm, found in without_number(cells)["arm"].value_counts(sort=False).items():
        warnings.append(
            f"{number(found, 'cell')} of {arm} {'is' if found == 1 else 'are'} of a plan without "
            f"milestones and of another recipe or seed of pretraining than its numbers of epochs: {arm} without a "
            "number stands for these, not for 0 epochs; use another name for an arm whose recipe changes."
        )


def keep_whole(cells: pd.DataFrame, whole: set[str], warnings: list[str]) -> tuple[pd.DataFrame, set[str]]:
    """Leave out cells that lost their curves or cases, which the sweep runs again; return the rest and their ids."""
    lost = sorted(set(cells["cell_id"]) - whole)
    if lost:
        named = f"{', '.join(lost[:NUM_NAMED])}{', ...' * (len(lost) > NUM_NAMED)}"
        warnings.append(
            f"Left out: {len(lost)} of {cells['cell_id'].nunique()} cells whose curves or cases were lost ({named}); "
            "run the sweep again."
        )
    return cells[cells["cell_id"].isin(whole)], set(lost)


def keep_scored(cells: pd.DataFrame, root: Path, warnings: list[str]) -> tuple[pd.DataFrame, set[str]]:
    """Leave out cells whose test Dice is no number from 0 to 1; return the rest and the ids left out."""
    scored = cells["test_dice"].between(0.0, 1.0)  # false for NaN
    if scored.all():
        return cells, set()
    left_out = cells[~scored]
    values = ", ".join(sorted({f"{value:g}" for value in left_out["test_dice"]}))
    found = (
        f"{len(left_out)} of {len(cells)} finished cells have a test_dice of {values}, expected a number from 0 to 1"
    )
    if not scored.any():
        raise NothingFinishedError(
            f"no usable scores in {root / 'cells'}: {found}; look for diverged runs or empty test masks"
        )
    named = ", ".join(str(cell_id) for cell_id in left_out["cell_id"].iloc[:NUM_NAMED])
    warnings.append(f"Left out: {found} ({named}{', ...' * (len(left_out) > NUM_NAMED)}).")
    return cells[scored].reset_index(drop=True), set(left_out["cell_id"])


def _only_protocol(cells: pd.DataFrame) -> str:
    numbers = cells["protocol_id"].value_counts()
    if len(numbers) == 1:
        return str(numbers.index[0])
    found = ", ".join(f"{name} ({number} cells)" for name, number in numbers.items())
    raise ReportError(
        f"the results mix {len(numbers)} protocols and hold no plan that says which one is meant: {found}; cells of "
        "different protocols cannot be compared: python -m analysis.report RESULTS --protocol ID shows one, and the "
        "other programs need the plan"
    )


def _one_a_point(cells: pd.DataFrame, warnings: list[str]) -> pd.DataFrame:
    """Keep the last of several cells of one point of the grid, and say so."""
    repeated = cells.duplicated(DESIGN_AXES, keep="last")
    if repeated.any():
        named = ", ".join(cells.loc[repeated, "cell_id"].iloc[:NUM_NAMED])
        found = f"{int(repeated.sum())} cells of one grid point that are there more than once"
        warnings.append(f"Left out: {found}; the last stands ({named}).")
    return cells[~repeated]
