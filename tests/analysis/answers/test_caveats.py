"""What limits an answer is said beside it: images that the program drew, and encoders on the way of a longer run."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from analysis.answers.caveats import caveats
from analysis.findings import Findings
from analysis.page.methods import methods

SYNTHETIC, DRAWN = "labelled images are synthetic", "natural images are drawn by the program"
SNAPSHOTS = "taken from one pretraining run, before its learning rate has fallen"


def said_with(findings: Findings, **sections: dict[str, Any]) -> str:
    """Return all caveats where experiment.yaml has these sections beside its own."""
    results = findings.results
    return " ".join(caveats(replace(findings, results=replace(results, config=results.config | sections))))


@pytest.mark.parametrize(
    ("data", "natural", "expected"),
    [
        ({"root": None}, {"source": "procedural"}, {SYNTHETIC, DRAWN}),
        ({"root": "ACDC/training"}, {"source": "procedural"}, {DRAWN}),
        ({"root": "ACDC/training"}, {"source": "folder"}, set()),
        ({}, {}, set()),  # experiment.yaml is missing, so nothing is known
    ],
)
def test_images_that_the_program_drew_are_named(
    findings: Findings, data: dict[str, Any], natural: dict[str, Any], expected: set[str]
) -> None:
    said = said_with(findings, data=data, natural=natural)
    assert {words for words in (SYNTHETIC, DRAWN) if words in said} == expected


def test_natural_images_that_no_stage_learned_from_are_not_spoken_of(findings: Findings) -> None:
    pretraining = findings.results.pretraining
    domain = replace(findings.results, pretraining=pretraining[pretraining["data"] == "domain"])
    assert DRAWN not in said_with(replace(findings, results=domain), natural={"source": "procedural"})


@pytest.mark.parametrize(
    ("source", "words"), [("procedural", "byol on procedurally drawn"), ("folder", "byol on natural")]
)
def test_the_methods_paragraph_calls_drawn_images_drawn(findings: Findings, source: str, words: str) -> None:
    results = findings.results
    config = results.config | {"natural": {"source": source}}
    assert f"{words} images" in methods(replace(findings, results=replace(results, config=config))).text


@pytest.mark.parametrize(
    ("change", "is_said"),
    [
        (lambda cells: cells, True),
        (lambda cells: cells.assign(pretraining_schedule="per_length"), False),
        (lambda cells: cells[cells["pretraining_epochs"] != 3], False),  # the simulated sweep has 3 and 12
    ],
    ids=["two milestones of one run", "a run for each", "one milestone"],
)
def test_encoders_on_the_way_of_a_longer_run_are_told_from_shorter_pretrainings(
    findings: Findings, change: Callable[[Any], Any], is_said: bool
) -> None:
    cells = change(findings.results.cells)
    found = replace(findings, results=replace(findings.results, cells=cells))
    assert (SNAPSHOTS in " ".join(caveats(found))) == is_said
