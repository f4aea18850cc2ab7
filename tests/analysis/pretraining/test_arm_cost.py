"""What a variant has cost, against the account that the sweep itself keeps and against sums by hand."""

import json
from dataclasses import replace

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from analysis.answers.conclusions import conclude
from analysis.findings import find
from analysis.loading.load import load_results
from analysis.pretraining.arm_cost import arm_costs, cost_words, device_time, short_cost
from analysis.tables.all_tables import all_tables
from sweep.costs.account import read_account
from trainables.results import write_rows


def on_a_gpu(root):
    """Rewrite the cells as those of a GPU."""
    for path in (root / "cells").glob("*.parquet"):
        rows = [row | {"device": "cuda"} for row in pq.read_table(path).to_pylist()]
        write_rows(root, "cells", path.stem, rows)


@pytest.fixture
def priced(small):
    """A finished sweep of three arms whose cells shared a GPU, at a price."""
    root = small(num_arms=3, left_out=0, failed=0)
    on_a_gpu(root)
    (root / "device_shares.json").write_text(json.dumps([["2025-01-01T00:00:00+00:00", 0.25]]))
    tree = yaml.safe_load((root / "experiment.yaml").read_text())
    compute = {"price_per_device_hour": 2.5, "gpus_per_cell": 0.5}
    (root / "experiment.yaml").write_text(yaml.safe_dump(tree | {"compute": compute}))
    return root


def test_the_arms_cost_as_much_as_in_the_account_of_the_sweep(priced):
    costs, account = arm_costs(load_results(priced)), read_account(priced)
    arms = {arm.name: arm for arm in account.arms}
    assert costs["random"].finetuning_seconds == pytest.approx(arms["random"].finetuning_seconds)
    assert costs["random"].pretraining_seconds == 0
    own = [cost for name, cost in costs.items() if name.startswith("byol-domain, ")]
    assert sum(cost.finetuning_seconds for cost in own) == pytest.approx(arms["byol-domain"].finetuning_seconds)
    assert costs["byol-domain, 12 epochs"].pretraining_seconds == arms["byol-domain"].pretraining_seconds


def test_device_hours_and_price_are_said_beside_the_answer(priced):
    found = find(load_results(priced))
    cost = arm_costs(found.results)["byol-domain, 12 epochs"]
    assert cost.seconds == 12 * 2.0 + 4 * 0.25 * 46.0  # epochs of 2 s; cells of 46 s on a quarter of a GPU
    assert cost.price == pytest.approx(2.5 * 70 / 3600)
    assert cost_words("byol-domain, 12 epochs", cost) == (
        "One run of byol-domain, 12 epochs took 35.5 device-seconds: 24 device-seconds of pretraining and "
        "11.5 device-seconds of fine-tuning. All its runs in this sweep took 1.17 device-minutes, which cost 0.0486 at "
        "2.5 a device-hour: 24 device-seconds for 1 pretraining run and 4 fine-tunings of 11.5 device-seconds."
    )
    assert short_cost(cost) == "35.5 device-seconds a run, 1.17 device-minutes in all"
    best, said = conclude(found).points[:2]
    assert said.question.startswith("What did ")
    assert said.question.removeprefix("What did ").removesuffix(" cost?") in best.sentence
    table = all_tables(found)["device_hours"].set_index("variant")
    assert table.loc["byol-domain, 12 epochs", "price"] == pytest.approx(cost.price)
    assert table.loc["random", "pretraining_device_hours"] == 0


def test_without_a_price_none_is_said(findings, tables):
    cost = arm_costs(findings.results)["random"]
    assert "a device-hour" not in cost_words("random", cost)
    assert "it has no pretraining" in cost_words("random", cost)
    assert "price" not in tables["device_hours"].columns


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("torchvision:ResNet18_Weights.IMAGENET1K_V1", "its pretrained weights were downloaded, and cost nothing here"),
        ("file:/models/encoder.safetensors", "its pretrained weights came from a file, and cost nothing here"),
    ],
)
def test_weights_that_were_pretrained_elsewhere_are_not_called_no_pretraining(findings, weights, words):
    arms = {name: {"weights": weights} for name in ("supervised-natural", "byol-domain")}
    named = replace(findings.results, config=findings.results.config | {"arms": arms})
    for variant in ("supervised-natural", "byol-domain, 12 epochs"):
        said = cost_words(variant, arm_costs(named)[variant])
        assert words in said
        assert "no pretraining" not in said


def test_one_run_is_one_of_several_pretraining_runs_and_one_fine_tuning(priced):
    """Two runs of 12 and 6 epochs of 2 s behind four cells of 46 s on a quarter of a GPU."""
    results = load_results(priced)
    is_second = (results.cells["variant"] == "byol-domain, 12 epochs") & (results.cells["seed"] == "1/11")
    chains = results.cells["pretraining_chain"].mask(is_second, "stage-other@6")
    other = results.pretraining.query("stage_id == 'stage-byol-domain'").assign(stage_id="stage-other")
    results = replace(
        results,
        cells=results.cells.assign(pretraining_chain=chains),
        pretraining=pd.concat([results.pretraining, other], ignore_index=True),
    )
    cost = arm_costs(results)["byol-domain, 12 epochs"]
    assert cost.num_pretraining_runs == 2
    assert cost.run_seconds == (24 + 12) / 2 + 11.5
    assert cost.seconds == 24 + 12 + 4 * 11.5


def test_a_stage_whose_epochs_are_not_in_the_results_leaves_the_cost_unknown(findings):
    lost = replace(findings.results, pretraining=findings.results.pretraining.query("epoch != 2"))
    cost = arm_costs(lost)["byol-domain, 12 epochs"]
    assert "is not known" in cost_words("byol-domain, 12 epochs", cost)


@pytest.mark.parametrize(
    ("seconds", "words"), [(30, "30 device-seconds"), (90, "1.5 device-minutes"), (9000, "2.5 device-hours")]
)
def test_device_time_is_said_in_the_unit_that_suits_it(seconds, words):
    assert device_time(seconds) == words
