"""The methods paragraph names what was done, with the sweep's own figures, and cites every work that it names."""

import re
from dataclasses import replace

import pytest

from analysis.loading.options import ReportOptions
from analysis.page.methods import methods
from tests.analysis.simulated import BYOL_REFERENCE


def test_pretraining_laws_convergence_epochs_and_resampling_are_described_with_their_sources(findings):
    text = methods(findings).text
    for words in (
        "byol-domain (byol on unlabelled slices of the data set, 12 epochs)",
        "Encoders were taken after 3 and 12 epochs",
        "MMF (e = f + (t - f) / (1 + (n/k)^a))",
        "from which 2 in a row reached 0.95 times the median final validation Dice of supervised-natural",
        "with a margin of 10%",
        "300 resamples of seeds and of patients",
        "9 of 9 variants have one",
    ):
        assert words in text


def test_every_work_that_is_named_with_a_year_is_among_the_references(findings):
    described = methods(findings)
    years = re.findall(
        r"([A-Z][a-zé]+)(?: et al\.|(?:, [A-Z][a-z]+)? & [A-Z][a-z-]+|'s method)? \(?((?:19|20)\d\d)\b", described.text
    )
    assert len(years) >= 8
    for name, year in years:
        assert any(name in work and year in work for work in described.references), (name, year)


def test_methods_that_were_trained_are_cited_and_no_others(findings):
    works = methods(findings).references
    assert BYOL_REFERENCE in works
    assert not any("MoCo" in work for work in works)


def test_a_sweep_whose_arms_have_no_epochs_to_choose_has_its_paragraph(findings):
    described = methods(replace(findings, variants=findings.variants.assign(pretraining_epochs=0)))
    assert "Whole networks were then fine-tuned" in described.text
    assert "Encoders were taken after" not in described.text


def test_settings_of_a_stage_are_said_where_they_are_known(findings):
    stage = {"batch_size": 64, "optimizer": "lars", "learning_rate": 0.3}
    results = replace(findings.results, config=findings.results.config | {"stages": {"byol-domain": stage}})
    text = methods(replace(findings, results=results)).text
    assert "12 epochs, batches of 64, lars with a learning rate of 0.3" in text


def test_a_fixed_target_is_said_as_one(findings):
    options = ReportOptions(convergence_dice=0.7)
    text = methods(replace(findings, results=replace(findings.results, options=options))).text
    assert "reached a validation Dice of 0.7 at every label count" in text


@pytest.mark.parametrize("column", ["convergence", "epochs"])
def test_what_was_not_measured_is_not_described(findings, column):
    nothing = {"convergence": replace(findings.convergence, targets={}), "epochs": []}
    text = methods(replace(findings, **{column: nothing[column]})).text
    words = {"convergence": "A run had converged", "epochs": "non-inferiority"}
    assert words[column] not in text
