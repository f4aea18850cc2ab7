"""Everything the report shows as a table but what to run next (``advice``): one data frame per CSV file.

In: Findings. Out: data frames with plain column names, numbers unrounded; the page rounds them.
"""

import itertools
from collections.abc import Callable

import pandas as pd

from analysis.comparisons.comparison import compare_at, holm
from analysis.convergence.stopped_cells import saved_table
from analysis.findings import Findings
from analysis.intervals.robust_scores import probability_of_improvement
from analysis.loading.load import LOST
from analysis.pretraining.arm_cost import arm_costs, cost_table
from analysis.pretraining.pretraining_cost import pretraining_cost
from analysis.tables import convergence_tables, distance_tables, label_tables, score_tables
from analysis.tables.design import encoders

COLLAPSED_RANK = 2.0
COLLAPSED_STD = 0.1


def all_tables(findings: Findings) -> dict[str, pd.DataFrame]:
    """Return every table by the name of its CSV file, without the ending."""
    makers: dict[str, Callable[[Findings], pd.DataFrame]] = {
        "encoders": encoders,
        "errors": label_tables.errors,
        "differences": differences,
        "pairs": pairs,
        "convergence": convergence_tables.convergence,
        "time_against_target": convergence_tables.time_against_target,
        "speed_up_by_unit": convergence_tables.speed_up_by_unit,
        "stability": convergence_tables.curve_stability,
        "laws": label_tables.laws,
        "labels_needed": label_tables.labels_needed,
        "label_equivalence": label_tables.label_equivalence,
        "label_equivalence_curve": label_tables.equivalence_curve,
        "crossings": label_tables.crossings,
        "best_arm": label_tables.best_arms,
        "best_arm_changes": label_tables.best_changes,
        "uncertainty": label_tables.uncertainty,
        "pretraining_epochs": pretraining_epochs,
        "dice_by_class": score_tables.class_dice,
        "error_by_group": score_tables.group_error,
        "slice_iou": distance_tables.slice_iou,
        "distances": distance_tables.distances,
        "volumes": distance_tables.volumes,
        "ejection_fraction": distance_tables.ejection_fraction,
        "pretraining": pretraining,
        "device_hours": device_hours,
        "cost": cost,
        "early_stopping": lambda found: saved_table(found.results),
        "progress": progress,
        "missing": lambda found: found.results.missing,
        "failures": lambda found: found.results.failures.drop(columns="traceback"),
    }
    return {name: make(findings) for name, make in makers.items()}


def differences(findings: Findings) -> pd.DataFrame:
    """List ratios of error to the reference's, of geometric means over paired seeds; below 1 the variant is better.

    ``probability_better`` is that of one run against one of the reference; see ``robust_scores``.
    """
    columns = [
        "variant",
        "label_count",
        "ratio",
        "low",
        "high",
        "num_pairs",
        "p_value",
        "holm_p_value",
        "probability_better",
    ]
    rows = []
    for item in findings.differences:
        estimate = item.difference.ratio
        if estimate.num_seeds == 0:  # not every number of epochs is run at every label count
            continue
        rows.append(
            (
                item.variant,
                item.label_count,
                estimate.value,
                estimate.low,
                estimate.high,
                estimate.num_seeds,
                item.difference.p_value,
                item.adjusted_p_value,
                _probability_better(findings, item.variant, findings.reference, item.label_count),
            )
        )
    return pd.DataFrame(rows, columns=columns)


def _probability_better(findings: Findings, variant: str, other: str, label_count: int) -> float:
    column = list(findings.label_counts).index(label_count)
    runs = (findings.errors[name][:, column] for name in (variant, other))
    return probability_of_improvement(*runs).probability


def pairs(findings: Findings) -> pd.DataFrame:
    """List the ratio of error of every arm to every other's, below 1 the variant is better.

    Note: each pair stands there in both directions and is counted once by Holm's adjustment.
    """
    level, found = findings.results.options.confidence, []
    for variant, other in itertools.combinations(findings.headline, 2):
        both = findings.curves[variant], findings.curves[other]
        for column, count in enumerate(map(int, findings.label_counts)):
            found.append((variant, other, count, compare_at(column, *both, level)))
    found = [item for item in found if item[3].estimate.num_seeds]
    rows = []
    for (one, two, count, pair), adjusted in zip(found, holm([item[3].p_value for item in found]), strict=True):
        ratio, tail = pair.ratio, (pair.estimate.num_seeds, pair.p_value, adjusted)
        better = _probability_better(findings, one, two, count)
        rows.append((one, two, count, ratio.value, ratio.low, ratio.high, *tail, better))
        rows.append((two, one, count, 1 / ratio.value, 1 / ratio.high, 1 / ratio.low, *tail, 1 - better))
    columns = ["variant", "against", "label_count", "ratio", "low", "high", "num_pairs", "p_value"]
    return pd.DataFrame(rows, columns=[*columns, "holm_p_value", "probability_better"])


def pretraining_epochs(findings: Findings) -> pd.DataFrame:
    """List whether each number of pretraining epochs is enough, and its ratio to the lowest mean (above 1 is worse).

    Label count ``all`` is the mean over ``label_counts``, those that were run with every number of epochs.
    Note: ``p_value`` is of "some other number is better by the margin or more"; ratios play no part in the verdict.
    Runs that did not reach the target make a ratio of steps a bound, which ``ratio_is`` says.
    """
    rows = []
    for study in findings.epochs:
        result = study.result
        items = zip(result.epochs, result.ratios, result.bounds, result.p_values, result.verdicts, strict=True)
        for epochs, ratio, bound, p_value, verdict in items:
            rows.append(
                {
                    "arm": study.arm,
                    "measure": study.measure,
                    "label_count": "all" if study.label_count is None else str(study.label_count),
                    "label_counts": ", ".join(map(str, study.label_counts)),
                    "pretraining_epochs": epochs,
                    "best_epochs": study.result.best_epochs,
                    "ratio_to_best": ratio.value,
                    "low": ratio.low,
                    "high": ratio.high,
                    "num_seeds": ratio.num_seeds,
                    "ratio_is": bound,
                    "p_value": p_value,
                    "verdict": verdict,
                }
            )
    columns = ["arm", "measure", "label_count", "label_counts", "pretraining_epochs", "best_epochs", "ratio_to_best"]
    return pd.DataFrame(rows, columns=[*columns, "low", "high", "num_seeds", "ratio_is", "p_value", "verdict"])


def progress(findings: Findings) -> pd.DataFrame:
    """Count planned, finished and failed cells of each arm."""
    results = findings.results
    planned = results.planned.groupby("arm").size()
    missing = results.missing.groupby("arm").size().reindex(planned.index, fill_value=0)
    is_failed = ~results.missing["reason"].isin(["", LOST])  # what was lost comes again
    failed = results.missing[is_failed].groupby("arm").size().reindex(planned.index, fill_value=0)
    counts = {"planned": planned, "finished": planned - missing, "failed": failed, "to_come": missing - failed}
    return pd.DataFrame(counts).reset_index()


def pretraining(findings: Findings) -> pd.DataFrame:
    """Summarise every pretraining stage at its last epoch; ``warning`` names signs of collapsed features."""
    table = findings.results.pretraining.sort_values("epoch")
    grouped = table.groupby(["stage", "stage_id"], sort=True)
    last = grouped.agg(
        objective=("objective", "last"),
        data=("data", "last"),
        initial_weights=("initial_weights", "last"),
        pretraining_seed=("pretraining_seed", "last"),
        epochs=("epoch", "max"),
        final_loss=("loss", "last"),
        feature_std=("feature_std", "last"),
        effective_rank=("effective_rank", "last"),
        probe_r2=("probe_r2", "last"),
        samples=("samples", "sum"),
        flops=("flops", lambda epochs: epochs.sum(skipna=False)),
        seconds=("seconds", "sum"),
        device_seconds=("device_seconds", "sum"),
        num_workers=("num_workers", "last"),
    ).reset_index()
    last.insert(list(last.columns).index("seconds") + 1, "samples_per_second", last["samples"] / last["seconds"])
    last["warning"] = [
        _collapse(rank, std) for rank, std in zip(last["effective_rank"], last["feature_std"], strict=True)
    ]
    return last


def cost(findings: Findings) -> pd.DataFrame:
    """Summarise what a variant costs: fine-tuning per cell and in all, and the pretraining of its whole chain.

    Note: pretraining is shared between variants, so its cost must not be added up over rows. It is of one run of the
    chain, the mean over pretraining seeds; 0 where weights are random or downloaded, which cost nothing here, and blank
    where a stage's epochs are not in the results. FLOPs are those of the networks, forward and backward.
    """
    seconds = findings.results.cells.groupby("variant")["train_seconds"]
    fine_tuning = pd.DataFrame({"finetune_seconds_per_cell": seconds.median(), "finetune_seconds_total": seconds.sum()})
    pretrained = pretraining_cost(findings.results).add_prefix("pretraining_")
    return fine_tuning.join(pretrained).reindex(findings.variants["variant"]).reset_index()


def device_hours(findings: Findings) -> pd.DataFrame:
    """List what each variant has cost in all, in the order of the other tables; see ``arm_cost``."""
    costs = arm_costs(findings.results)
    return cost_table({name: costs[name] for name in findings.variants["variant"]})


def _collapse(rank: float, std: float) -> str:
    signs = []
    if rank < COLLAPSED_RANK:
        signs.append(f"effective rank below {COLLAPSED_RANK:g}")
    if std < COLLAPSED_STD:
        signs.append(f"feature std below {COLLAPSED_STD:g}")
    return "features may have collapsed: " + ", ".join(signs) if signs else ""
