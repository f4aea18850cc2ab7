"""A methods paragraph for a paper, with this sweep's own figures, and the references that it needs.

In: Findings. Out: sentences and references. What the results folder does not say is left out, not guessed.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.answers.caveats import draws_natural_images
from analysis.convergence.stopped_cells import may_stop, num_stopped, saved_words, stop_rule
from analysis.counted import number
from analysis.findings import Findings
from analysis.loading.replicates import are_subsets, is_one_subset
from analysis.page.methods_statistics import statistics

ALWAYS = (
    "Kalapos & Gyires-Tóth (2022) Self-supervised pretraining for 2D medical image segmentation. arXiv:2209.00314",
    "Ronneberger et al. (2015) U-Net. arXiv:1505.04597",
    "Dice (1945) Measures of the amount of ecologic association between species. Ecology 26:297-302",
)
MISSED = "Maier-Hein et al. (2024) Metrics reloaded: recommendations for image analysis validation. Nature Methods 21"
STOPPING = (
    "Hägele et al. (2024) Scaling laws and compute-optimal training beyond fixed training durations. arXiv:2405.18392",
    "Hu et al. (2024) MiniCPM: unveiling the potential of small language models. arXiv:2404.06395",
)
PARTS = (("train", "training"), ("validation", "validation"), ("test", "test"))


@dataclass(frozen=True)
class Methods:
    """What was done, in a paragraph, and the works that it cites."""

    text: str
    references: tuple[str, ...]


def methods(findings: Findings) -> Methods:
    """Describe data, design, pretraining, training and statistics."""
    words, cited = statistics(findings)
    parts = [_data(findings), _design(findings), _pretraining(findings), _training(findings), words]
    parts += [_distances(findings), _software(findings)]
    objectives = {str(name) for name in findings.results.pretraining["objective"].unique()}
    known = findings.results.references
    used = tuple(known[name] for name in sorted(objectives & set(known)))
    policy = () if findings.distances.empty else (MISSED,)
    schedule = STOPPING if may_stop(findings.results) else ()
    return Methods(" ".join(part for part in parts if part), (*ALWAYS, *cited, *policy, *schedule, *used))


def _data(findings: Findings) -> str:
    data = findings.results.data
    patients, slices = data.get("num_patients") or {}, data.get("num_slices") or {}
    if not patients:
        return ""
    counts = [
        f"{number(patients.get(part, 0), f'{word} patient')} ({number(slices.get(part, 0), 'slice')})"
        for part, word in PARTS
    ]
    size = (data.get("preprocessing") or {}).get("image_size", data.get("image_size"))
    scaled = f", as 2D slices of {size} by {size} pixels" if size else ""
    return (
        f"The data set {data.get('name', findings.results.name)} was split by patient into {_listed(counts)}{scaled}."
    )


def _design(findings: Findings) -> str:
    results, unit = findings.results, findings.results.label_unit
    counts = _listed([f"{count:.0f}" for count in findings.label_counts])
    missing = f"; {len(results.missing)} planned ones are missing" if len(results.missing) else ""
    seeds = f"up to {len(findings.seeds)} seeds each" if len(findings.seeds) > 1 else "one seed each"
    draws = f"A seed draws which {unit} are labelled, nested over the label counts and shared by all variants"
    runs = ", and the course of training."
    if are_subsets(results.cells):
        runs = "; its runs from several training seeds share these, so they were averaged first and count as one."
    elif is_one_subset(results.cells):
        draws = f"All were trained on the same choice of labelled {unit}, nested over the label counts"
        runs = ": a seed is the course of training alone, and intervals do not cover another choice."
    return (
        f"{len(findings.variants)} variants of pretraining ({'; '.join(findings.variants['variant'])}) were fine-tuned "
        f"on {counts} labelled {unit}, with {seeds}. {draws}{runs} "
        f"{len(results.cells)} fine-tunings were analysed{missing}."
    )


def _pretraining(findings: Findings) -> str:
    """Give the recipe of every stage that was trained, as far as the settings tell it."""
    trained = findings.results.pretraining
    if trained.empty:
        return ""
    settings = findings.results.settings("stages")
    last = trained.sort_values("epoch").groupby("stage", sort=True)
    stages = last.agg(objective=("objective", "last"), data=("data", "last"), epochs=("epoch", "max"))
    natural = "procedurally drawn images" if draws_natural_images(findings.results) else "natural images"
    told = [_stage(str(name), row, settings.get(str(name)) or {}, natural) for name, row in stages.iterrows()]
    chains = "Arms named with a plus sign ran their stages one after another. " if _has_chains(findings) else ""
    ladder = [str(each) for each in sorted(set(findings.variants["pretraining_epochs"]) - {0})]
    taken = (
        f"Encoders were taken after {_listed(ladder)} epoch{'s' * (ladder != ['1'])} of an arm's last stage. "
        if ladder
        else ""
    )
    return f"Encoders were pretrained in stages: {'; '.join(told)}. {chains}{taken}Whole networks were then fine-tuned."


def _stage(name: str, row: "pd.Series[Any]", settings: dict[str, Any], natural: str) -> str:
    data = "unlabelled slices of the data set" if row["data"] == "domain" else natural
    words = [f"{row['objective']} on {data}", f"{row['epochs']} epoch{'s' * (int(row['epochs']) != 1)}"]
    if "batch_size" in settings:
        words.append(f"batches of {settings['batch_size']}")
    if "optimizer" in settings and "learning_rate" in settings:
        words.append(f"{settings['optimizer']} with a learning rate of {settings['learning_rate']:g}")
    return f"{name} ({', '.join(words)})"


def _has_chains(findings: Findings) -> bool:
    return bool(findings.results.cells["pretraining_chain"].str.contains(" ").any())


def _training(findings: Findings) -> str:
    cells = findings.results.cells
    model, finetune = findings.results.settings("model"), findings.results.settings("finetune")
    encoder = f" with a {model['encoder']} encoder" if "encoder" in model else ""
    rate = f" and a learning rate of {finetune['learning_rate']:g}" if "learning_rate" in finetune else ""
    validated = int(cells["validation_slices"].max())
    chose = "decided where a run ended, and nothing else" if may_stop(findings.results) else "chose nothing"
    most = "at most " if may_stop(findings.results) else ""
    validation = (
        f" {number(validated, 'further labelled slice')} of "
        f"{number(int(cells['validation_patients'].max()), 'patient')} served the validation curves and {chose}."
        if validated
        else ""
    )
    return (
        f"A U-Net{encoder} was trained for {most}{_span(cells['budget_steps'])} steps with batches of "
        f"{_span(cells['batch_size'])}{rate} whatever the label count, and the last network was tested."
        f"{_stopping(findings)}{validation}"
    )


def _stopping(findings: Findings) -> str:
    """Describe schedule and rule of cells that may end early, and what became of them."""
    results = findings.results
    if not may_stop(results):
        return ""
    rule, cells = stop_rule(results), results.cells
    when, over = "once the validation Dice had stopped rising", ""
    if rule:
        when = (
            f"once the validation Dice had not risen by more than {rule['min_delta']:g} in {rule['patience']} "
            f"evaluation{'s' * (rule['patience'] != 1)} in a row after the warm-up"
        )
        over = f" over {rule['cooldown_fraction']:.0%} of these steps"
    return (
        f" The learning rate was constant after a linear warm-up (Hu et al. 2024); {when}, or at last at the end of "
        f"these steps, it was cooled down to 0 by 1 - sqrt{over} (Hägele et al. 2024), and the run ended. "
        f"{num_stopped(cells)} of {len(cells)} runs ended early: {saved_words(results)}. Of these, runs that had not "
        "reached the target counted as not reaching it, and the last Dice stood for the steps that were left."
    )


def _distances(findings: Findings) -> str:
    """Define the surface distances, where the results hold any."""
    if findings.distances.empty:
        return ""
    return (
        "HD95 is the larger of the two directed 95th percentiles of distances between the surfaces of a predicted and "
        "a true structure; a missed or invented structure counted as the diagonal of the measured grid, one absent "
        "from both was left out (Maier-Hein et al. 2024)."
    )


def _software(findings: Findings) -> str:
    versions = findings.results.versions
    named = [f"{name} {versions[name]}" for name in ("labelcurve", "torch", "lightly") if name in versions]
    return f"Software: {', '.join(named)}." if named else ""


def _span(values: Any) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
