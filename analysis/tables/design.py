"""What was run: arms, label counts, seeds, data, protocol, versions and hashes, and what is missing of it.

In: Findings. Out: rows of a name and its value, a table of encoders, and sentences on gaps, for the page and its
Markdown.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import yaml

from analysis.convergence.stopped_cells import may_stop, num_stopped, rule_words, saved_words
from analysis.counted import number
from analysis.findings import Findings
from analysis.loading.epochs_axis import numbers_of_epochs
from analysis.loading.load import ExperimentResults
from analysis.loading.options import ReportOptions
from analysis.loading.replicates import are_subsets, seed_list

PARTS = (("train", "training"), ("validation", "validation"), ("test", "test"), ("pool", "unlabelled"))
IDS = ("content_id", "data_id", "pool_id")


def design_rows(findings: Findings) -> list[tuple[str, str]]:
    """Return the design as names and values; what the results do not say is left out."""
    results, cells = findings.results, findings.results.cells
    counts = "; ".join(f"{count:.0f}: {findings.labels_at(count)}" for count in findings.label_counts)
    rows = [
        ("Arms", "; ".join(_arms(findings))),
        (f"Labelled {results.label_unit}", counts),
        (f"Seeds ({'subset (training)' if are_subsets(cells) else 'subset / training'})", seed_list(cells)),
        ("Pretraining seeds", _listed(cells.loc[cells["pretraining_schedule"] != "none", "pretraining_seed"])),
        ("Data", _data(results.data)),
        ("Validation", _validation(results)),
        ("Fine-tuning", f"{_steps(results)}, batches of {_listed(cells['batch_size'])}"),
        ("Early stopping", _stopping(results)),
        ("Reference arm", findings.reference),
        ("Convergence target", _target(results.options, findings.reference)),
        ("Confidence", f"{100 * results.options.confidence:g}%"),
        ("Protocol", _listed(cells["protocol_id"])),
        ("Data ids", ", ".join(f"{name} {results.data[name]}" for name in IDS if results.data.get(name))),
        ("Encoders", f"{cells['encoder_id'].nunique()}, by id in the table below"),
        ("Code", _listed(cells["code_version"])),
        ("Cells", finished_words(results)),
    ]
    return [(name, value) for name, value in rows if value]


def encoders(findings: Findings) -> pd.DataFrame:
    """List the encoders that fine-tunings started from, by id, with the data and the chain of stages behind them."""
    keys = ["variant", "pretraining_seed", "encoder_id", "data_id", "pretraining_chain"]
    return findings.results.cells.groupby(keys, sort=True).size().rename("num_cells").reset_index()


def settings_text(findings: Findings) -> str:
    """Return the resolved experiment as YAML; empty where experiment.yaml is missing."""
    config = findings.results.config
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100) if config else ""


def finished_words(results: ExperimentResults) -> str:
    """Say how many cells have finished, and of how many where their plan is there."""
    of = f" of {len(results.planned)} planned" if len(results.planned) else ", of an unknown number"
    return f"{number(len(results.cells), 'finished cell')}{of}"


def gap_words(findings: Findings) -> list[str]:
    """Say how many planned cells have no result, how many units failed and what belongs elsewhere."""
    results = findings.results
    missing, failures, others = len(results.missing), len(results.failures), results.num_other_protocol
    if results.planned.empty:
        return ["No plan came with these results, so what is missing or has failed is not known.", *_others(others)]
    found = ["No planned cell is missing."]
    if missing:
        found = [
            f"{missing} of {len(results.planned)} planned cells have no result and are absent from every number of "
            "this report, never counted as zero."
        ]
    many = f"{failures} cell{'s' * (failures != 1)} or stage{'s' * (failures != 1)} failed."
    return [*found, many if failures else "No cell or stage failed.", *_others(others)]


def _others(count: int) -> list[str]:
    """Say how many finished cells are of other protocols; nothing where none is."""
    verbs = ("belongs", "is") if count == 1 else ("belong", "are")
    where = f"{verbs[0]} to other protocols in the same folder and {verbs[1]} not used"
    return [f"{number(count, 'finished cell')} {where}."] if count else []


def flattened(content: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Turn nested JSON into readable lines: ``num_patients train`` -> ``80``."""
    flat: dict[str, str] = {}
    for key, value in content.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{name} ")
        elif isinstance(value, list):
            flat[name] = ", ".join(map(str, value)) or "none"
        else:
            flat[name] = "none" if value is None else str(value)
    return flat


def _arms(findings: Findings) -> list[str]:
    """Name every arm with the numbers of epochs at which it was run."""
    return [
        f"{arm} ({', '.join(map(str, numbers))} epoch{'s' * (numbers != [1])})" if any(numbers) else str(arm)
        for arm, numbers in numbers_of_epochs(findings.variants).items()
    ]


def _data(data: Mapping[str, Any]) -> str:
    patients, slices = data.get("num_patients") or {}, data.get("num_slices") or {}
    parts = [
        f"{word}: {number(slices.get(part, 0), 'slice')}"
        + (f" of {number(patients[part], 'patient')}" if part in patients else "")
        for part, word in PARTS
        if part in slices or part in patients
    ]
    return f"{data.get('name', 'unnamed')} ({'; '.join(parts)})" if parts else str(data.get("name", ""))


def _steps(results: ExperimentResults) -> str:
    """Say the steps of a cell, at most where cells may be stopped."""
    budget = f"{_listed(results.cells['budget_steps'])} steps"
    return f"at most {budget}" if may_stop(results) else budget


def _stopping(results: ExperimentResults) -> str:
    """Say the rule of early stopping and what it saved; nothing where every cell runs its budget."""
    if not may_stop(results):
        return ""
    cells = results.cells
    found = f"{num_stopped(cells)} of {len(cells)} cells stopped; {saved_words(results)}"
    return "; ".join(words for words in (rule_words(results), found) if words)


def _validation(results: ExperimentResults) -> str:
    cells = results.cells
    slices, patients = int(cells["validation_slices"].max()), int(cells["validation_patients"].max())
    role = "decide where a run ends, and nothing else" if may_stop(results) else "choose nothing"
    words = f"{number(slices, 'labelled slice')} of {number(patients, 'patient')}, which {role}"
    return words if slices else "none"


def _target(options: ReportOptions, reference: str) -> str:
    return f"{options.target_words(reference)}, held for {options.hold_evaluations} evaluations"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, sorted(set(values))))
