"""What early stopping saves and costs, on curves whose stops are worked out by hand."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.convergence.time_to_target import Run
from analysis.early_stopping import EarlyStop, changed_leaders, describe, early_stop, early_stopping_table, main
from trainables.results.programs import DONE

STEPS = np.array([0.0, 10.0, 20.0, 30.0, 40.0, 50.0])


def run(variant, label_count, dice):
    dice = np.array(dice)
    return Run(variant, label_count, "0", STEPS[: len(dice)], dice, STEPS[: len(dice)], 8)


def test_a_run_that_keeps_rising_is_never_stopped():
    found = early_stop(STEPS, np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), patience=1)
    assert found == EarlyStop(50, 50, 0.6, 0.6)
    assert (found.saved_share, found.lost_dice) == (0, 0)


def test_a_run_is_stopped_at_the_evaluation_at_which_patience_ends_and_keeps_the_best_so_far():
    """The best comes at step 10; two evaluations do no better, the second at step 30. What follows is lost."""
    found = early_stop(STEPS, np.array([0.1, 0.5, 0.4, 0.5, 0.3, 0.7]), patience=2)
    assert found == EarlyStop(30, 50, 0.5, 0.7)
    assert found.saved_share == pytest.approx(2 / 5)
    assert found.lost_dice == pytest.approx(0.2)


def test_a_longer_patience_survives_the_plateau():
    assert early_stop(STEPS, np.array([0.1, 0.5, 0.4, 0.5, 0.3, 0.7]), patience=4) == EarlyStop(50, 50, 0.7, 0.7)


def test_small_rises_count_as_none_but_what_they_reach_is_kept():
    """Steps of 0.02 are within min_delta of 0.5 until they have added up to more than 0.05, at step 40."""
    rising = np.array([0.5, 0.52, 0.54, 0.55, 0.56, 0.56])
    assert early_stop(STEPS, rising, patience=3, min_delta=0.05) == EarlyStop(30, 50, 0.55, 0.56)
    assert early_stop(STEPS, rising, patience=4, min_delta=0.05) == EarlyStop(50, 50, 0.56, 0.56)


def test_runs_are_summed_up_by_arm_and_label_count_and_a_change_of_the_leader_is_found():
    late, early = [0.1, 0.5, 0.4, 0.5, 0.3, 0.7], [0.1, 0.6, 0.6, 0.6, 0.6, 0.6]
    runs = [run("late", 4, late), run("late", 4, early), run("early", 4, early), run("late", 8, late)]
    table = early_stopping_table(runs, patience=2).set_index(["variant", "label_count"])
    assert table.loc[("late", 4), "cells"] == 2
    assert table.loc[("late", 4), ["saved_share", "lost_dice", "largest_lost_dice"]].tolist() == pytest.approx(
        [0.4, 0.1, 0.2]
    )
    assert changed_leaders(table.reset_index()) == [4]  # 0.65 against 0.6 becomes 0.55 against 0.6
    said = describe(table.reset_index(), 2, 0.0)
    assert "saved 40.0% of the training steps of 4 cells" in said
    assert "by 0.1000 in the mean, by 0.2000 at most" in said
    assert "at 1 of 2 label counts (4)" in said


def test_the_command_reads_a_results_folder(results, capsys):
    assert main([str(results), "--patience", "3", "--min-delta", "0.001"]) == DONE
    said = capsys.readouterr().out
    assert "byol-domain" in said
    assert "Early stopping with patience 3 (evaluations) and min_delta 0.001 would have saved" in said
    with pytest.raises(SystemExit, match="2"):
        main([str(results), "--patience", "0"])


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (lambda root: shutil.rmtree(root / "curves"), "there are no curves: the folder was copied without them"),
        (lambda root: without_validation(root), "no cell has a validation Dice at its last step"),
    ],
    ids=["no curves", "no Dice"],
)
def test_why_no_curve_can_be_used_is_said(small, lose, reason, capsys):
    root = small(left_out=0, failed=0)
    lose(root)
    assert main([str(root)]) == 1
    assert f"no validation curve in {root} can be used, since {reason}" in capsys.readouterr().err


def without_validation(root):
    """Null the Dice of every curve."""
    for path in (root / "curves").glob("*.parquet"):
        table = pq.read_table(path)
        nulls = pa.nulls(len(table), table.schema.field("val_dice").type)
        pq.write_table(table.set_column(table.schema.get_field_index("val_dice"), "val_dice", nulls), path)
