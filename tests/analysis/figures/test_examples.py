"""Example segmentations: ranked, never picked; whole without them; what is damaged is not shown."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from analysis.figures.example_figure import _cut, draw_examples
from analysis.figures.examples import ExampleSlice, Segmentation, example_sheets, foreground_dice, unpacked


def with_examples(findings, examples):
    return dataclasses.replace(findings, results=dataclasses.replace(findings.results, examples=examples))


def test_the_fewest_and_the_most_labels_show_the_best_the_median_and_the_worst_slice(findings, simulated):
    sheets = example_sheets(findings)
    assert [sheet.label_count for sheet in sheets] == [simulated.LABEL_COUNTS[0], simulated.LABEL_COUNTS[-1]]
    for sheet in sheets:
        ranked = [(each.rank, each.patient) for each in sheet.slices]
        assert ranked == [("best", "patient-1"), ("median", "patient-3"), ("worst", "patient-2")]
        assert sheet.num_slices == 3


def test_an_arm_is_shown_with_the_dice_of_its_own_mask(findings, simulated):
    """A square of 8 rows of which m are missed: 8 - m hits, m misses, Dice 2 (8 - m) / (16 - m)."""
    slices = example_sheets(findings)[0].slices
    assert sorted(each.patient for each in slices) == sorted(simulated.EXAMPLES)
    for each in slices:
        missed = simulated.EXAMPLES[each.patient]
        assert len(each.predictions) == len(findings.headline)
        for variant, found in each.predictions.items():
            rows = missed + (variant == "random")
            assert found.dice == pytest.approx(2 * (8 - rows) / (16 - rows))
            assert (found.mask == simulated.example_mask(rows)).all()
        assert set(each.predictions) <= set(findings.headline)


def test_the_seed_shown_is_the_first_at_which_most_arms_have_finished(findings):
    assert {sheet.seed for sheet in example_sheets(findings)} == {findings.seeds[0]}
    cells = findings.results.cells
    gone = cells[(cells["seed"] == findings.seeds[0]) & (cells["variant"] == "random")]["cell_id"]
    examples = findings.results.examples
    sheets = example_sheets(with_examples(findings, examples[~examples["cell_id"].isin(gone)]))
    assert {sheet.seed for sheet in sheets} == {findings.seeds[1]}


def test_without_examples_there_is_no_figure(findings):
    assert draw_examples(with_examples(findings, pd.DataFrame())) == []


def test_a_damaged_prediction_is_left_out(findings):
    assert unpacked(b"no zlib") is None
    examples = findings.results.examples.copy()
    is_random = examples["cell_id"].str.contains("-random-")
    examples.loc[is_random, "prediction"] = b"no zlib"
    for sheet in example_sheets(with_examples(findings, examples)):
        assert all("random" not in each.predictions and each.predictions for each in sheet.slices)


def test_dice_is_the_mean_over_structures_that_are_there_or_predicted():
    truth = np.array([[1, 1, 0], [2, 0, 0], [0, 0, 0]], np.uint8)
    prediction = np.array([[1, 0, 0], [0, 0, 3], [0, 0, 0]], np.uint8)
    assert foreground_dice(prediction, truth) == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert foreground_dice(truth, truth) == 1
    assert np.isnan(foreground_dice(0 * truth, 0 * truth))


def test_no_mask_is_cut_off(simulated):
    stray = simulated.example_mask()
    stray[0, 19] = 1
    for predicted in (simulated.example_mask(), stray):
        found = {"arm": Segmentation(predicted, 0.5)}
        truth = simulated.example_mask()
        rows, columns = _cut(ExampleSlice("best", "p", "ED", 0, 0.5, truth, truth, found))
        assert rows.stop - rows.start == columns.stop - columns.start
        for mask in (predicted, truth):
            assert np.count_nonzero(mask[rows, columns]) == np.count_nonzero(mask)


def test_the_figure_says_how_its_slices_were_chosen_and_every_dice_to_those_who_do_not_see_it(findings, simulated):
    fewest, most = draw_examples(findings)
    assert "3 test slices were fixed before any training" in fewest.caption
    assert f"after {simulated.LABEL_COUNTS[-1]} labelled slices" in most.caption
    assert "byol-natural 0.93, 0.86, 0.67" in fewest.alt  # 14/15, 12/14, 8/12
    assert ">LV<" in fewest.svg
    assert fewest.svg.count("<image") == 3 * (1 + len(findings.headline))
