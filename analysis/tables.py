"""Everything the report shows as a table: one data frame per CSV file.

In: Findings. Out: data frames with plain column names, numbers unrounded; the page rounds them.
"""

from collections.abc import Callable

import pandas as pd

from analysis.convergence import SpeedUp
from analysis.findings import Findings
from analysis.median_curve import describe_labels_interval
from analysis.overlap import dice_by_class
from analysis.sample_efficiency import LabelsNeeded, LawFit, Refusal, falls_with_labels

COLLAPSED_RANK = 2.0
COLLAPSED_STD = 0.1
COSTS = ["seconds", "device_seconds", "samples", "flops"]


def all_tables(findings: Findings) -> dict[str, pd.DataFrame]:
    """Return every table by the name of its CSV file, without the ending."""
    makers: dict[str, Callable[[Findings], pd.DataFrame]] = {
        "errors": errors,
        "differences": differences,
        "convergence": convergence,
        "laws": laws,
        "labels_needed": labels_needed,
        "label_equivalence": label_equivalence,
        "pretraining_epochs": pretraining_epochs,
        "dice_by_class": class_dice,
        "pretraining": pretraining,
        "cost": cost,
        "missing": lambda found: found.results.missing,
        "failures": lambda found: found.results.failures.drop(columns="traceback"),
    }
    return {name: make(findings) for name, make in makers.items()}


def errors(findings: Findings) -> pd.DataFrame:
    """Summarise test error per variant and label count: median and quartiles over seeds."""
    grouped = findings.results.cells.groupby(["variant", "label_count"], sort=True)
    table = grouped.agg(
        labelled_slices=("labelled_slices", "median"),
        labelled_patients=("labelled_patients", "median"),
        num_seeds=("seed", "nunique"),
        median_error=("error", "median"),
        quartile_1=("error", lambda values: values.quantile(0.25)),
        quartile_3=("error", lambda values: values.quantile(0.75)),
        median_test_dice=("test_dice", "median"),
        median_test_iou=("test_iou", "median"),
        median_val_dice=("val_dice", "median"),
    )
    return table.reset_index()


def differences(findings: Findings) -> pd.DataFrame:
    """List paired differences of error against the reference; below 0 the variant is better."""
    columns = [
        "variant",
        "label_count",
        "mean_difference",
        "low",
        "high",
        "num_pairs",
        "p_value",
        "holm_p_value",
    ]
    rows = []
    for item in findings.differences:
        estimate = item.difference.estimate
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
            )
        )
    return pd.DataFrame(rows, columns=columns)


def convergence(findings: Findings) -> pd.DataFrame:
    """List steps to the target and speed-ups; label count ``all`` is the mean over label counts within each
    seed.
    """
    study, rows = findings.convergence, []
    for variant in findings.variants["variant"]:
        for count in study.targets:
            censored, runs = study.num_censored(variant, count)
            if runs:
                head = (variant, str(count), study.targets[count], study.horizons[count], runs, censored)
                ratio = study.speed_up(variant, count)
                rows.append((*head, study.restricted_mean(variant, count), *_ratio_columns(ratio)))
        overall = study.overall_speed_up(variant)
        blank = (float("nan"),) * 2
        rows.append(
            (
                variant,
                "all",
                *blank,
                overall.ratio.num_seeds,
                overall.num_censored,
                blank[0],
                *_ratio_columns(overall),
            )
        )
    columns = ["variant", "label_count", "target_val_dice", "horizon_steps", "num_runs", "num_censored"]
    columns += ["restricted_mean_steps", "speed_up", "low", "high", "num_pairs", "ratio_is"]
    return pd.DataFrame(rows, columns=columns)


def laws(findings: Findings) -> pd.DataFrame:
    """List fitted laws e = floor + scale * n ** -exponent, or why there is none."""
    confidence, rows = findings.results.options.confidence, []
    for variant, fit in findings.laws.items():
        order = falls_with_labels(findings.label_counts, findings.errors[variant])
        row: dict[str, object] = {"variant": variant, "spearman": order}
        if isinstance(fit, LawFit):
            for name in ("floor", "scale", "exponent"):
                low, high = fit.interval(name, confidence)
                row |= {name: getattr(fit.law, name), f"{name}_low": low, f"{name}_high": high}
            row |= {"rms_log_residual": fit.residual, "refused_because": ""}
        elif isinstance(fit, Refusal):
            row["refused_because"] = fit.reason
        rows.append(row)
    columns = ["variant", "spearman"]
    columns += [f"{name}{end}" for name in ("floor", "scale", "exponent") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows).reindex(columns=[*columns, "rms_log_residual", "refused_because"])


def labels_needed(findings: Findings) -> pd.DataFrame:
    """List the labels needed for each target: 0 means the fewest measured or fewer, inf more than the most
    measured.
    """
    percent = f"{100 * findings.results.options.near_minimum:g}%"
    groups = {
        f"within {percent} of its own error at most labels": findings.near_own_minimum,
        f"within {percent} of the reference's error at most labels": findings.near_reference_minimum,
        "the target error": findings.reach_target_error,
    }
    rows = []
    for goal, by_variant in groups.items():
        for variant, needed in by_variant.items():
            if needed:
                rows.append({"goal": goal, "variant": variant} | _needed_columns(needed, findings, variant))
    return pd.DataFrame(rows)


def label_equivalence(findings: Findings) -> pd.DataFrame:
    """List how many labels of the reference an arm's labels are worth: 0 means fewer than measured, inf
    more.
    """
    rows = []
    for variant, items in findings.equivalences.items():
        for item in items:
            words = describe_labels_interval(item.low, item.high, findings.label_counts, "fewer than")
            head = {"variant": variant, "label_count": int(item.label_count), "reference_labels": item.labels}
            rows.append(head | {"low": item.low, "high": item.high, "interval": words})
    return pd.DataFrame(rows)


def pretraining_epochs(findings: Findings) -> pd.DataFrame:
    """List every number of pretraining epochs against the best one of its arm, as a ratio (above 1 is
    worse).
    """
    rows = []
    for study in findings.epochs:
        items = zip(study.result.epochs, study.result.ratios, study.result.verdicts, strict=True)
        for epochs, ratio, verdict in items:
            rows.append(
                {
                    "arm": study.arm,
                    "measure": study.measure,
                    "label_count": "all" if study.label_count is None else str(study.label_count),
                    "pretraining_epochs": epochs,
                    "best_epochs": study.result.best_epochs,
                    "ratio_to_best": ratio.value,
                    "low": ratio.low,
                    "high": ratio.high,
                    "num_seeds": ratio.num_seeds,
                    "verdict": verdict,
                }
            )
    columns = ["arm", "measure", "label_count", "pretraining_epochs", "best_epochs", "ratio_to_best"]
    return pd.DataFrame(rows, columns=[*columns, "low", "high", "num_seeds", "verdict"])


def class_dice(findings: Findings) -> pd.DataFrame:
    """Summarise Dice per class, variant and label count: median over seeds of the mean over patients."""
    scores = dice_by_class(findings.results.cases)
    cells = findings.results.cells[["cell_id", "variant", "label_count"]]
    grouped = scores.merge(cells, on="cell_id").groupby(["variant", "label_count", "class_index", "class_name"])
    table = grouped.agg(median_dice=("dice", "median"), median_iou=("iou", "median"), left_out=("undefined", "sum"))
    return table.reset_index().drop(columns="class_index")


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
    cells = findings.results.cells
    epochs = findings.results.pretraining.set_index(["stage_id", "epoch"])[COSTS].sort_index()
    rows = []
    for variant in findings.variants["variant"]:
        own = cells[cells["variant"] == variant]
        chains = pd.DataFrame(
            [_chain_cost(epochs, chain) for chain in own["pretraining_chain"].unique()], columns=COSTS
        )
        rows.append(
            {
                "variant": variant,
                "finetune_seconds_per_cell": own["train_seconds"].median(),
                "finetune_seconds_total": own["train_seconds"].sum(),
                **{f"pretraining_{name}": chains[name].mean(skipna=False) for name in COSTS},
            }
        )
    return pd.DataFrame(rows)


def _chain_cost(epochs: pd.DataFrame, chain: str) -> dict[str, float]:
    """Add the epochs of every ``stage_id@epoch`` of a chain; NaN where an epoch is not there or has no such figure."""
    total = dict.fromkeys(COSTS, 0.0)
    for stage_id, _, last in (stage.rpartition("@") for stage in chain.split()):
        wanted = pd.MultiIndex.from_product([[stage_id], range(1, int(last) + 1)])
        own = epochs.reindex(wanted).sum(skipna=False)
        total = {name: total[name] + float(own[name]) for name in COSTS}
    return total


def _ratio_columns(speed_up: SpeedUp) -> tuple[object, ...]:
    ratio = speed_up.ratio
    return ratio.value, ratio.low, ratio.high, ratio.num_seeds, speed_up.bound


def _needed_columns(needed: LabelsNeeded, findings: Findings, variant: str) -> dict[str, object]:
    counts = findings.label_counts
    fit = findings.laws[variant]
    by_law = float("nan")
    if isinstance(fit, LawFit) and needed.target_error > fit.law.floor:
        by_law = ((needed.target_error - fit.law.floor) / fit.law.scale) ** (-1 / fit.law.exponent)
    return {
        "target_error": needed.target_error,
        "labels": needed.labels,
        "low": needed.low,
        "high": needed.high,
        "interval": describe_labels_interval(needed.low, needed.high, counts),
        "share_not_reached": needed.share_not_reached,
        "labels_by_law": by_law if counts[0] <= by_law <= counts[-1] else float("nan"),
    }


def _collapse(rank: float, std: float) -> str:
    signs = []
    if rank < COLLAPSED_RANK:
        signs.append(f"effective rank below {COLLAPSED_RANK:g}")
    if std < COLLAPSED_STD:
        signs.append(f"feature std below {COLLAPSED_STD:g}")
    return "features may have collapsed: " + ", ".join(signs) if signs else ""
