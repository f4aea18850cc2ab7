"""Scores from counts, against hand calculations and smp."""

import numpy as np
import pytest
import torch
from segmentation_models_pytorch.losses import JaccardLoss

from trainables.metrics import SoftJaccard, dice, iou, paper_iou, patient_mean, slice_counts


def test_counts_of_a_small_slice_equal_a_hand_count() -> None:
    truth = torch.tensor([[[0, 1, 1], [2, 2, 0]]])
    predicted = torch.tensor([[[1, 1, 0], [2, 0, 2]]])
    assert slice_counts(predicted, truth, 3).tolist() == [[[0, 2, 2], [1, 1, 1], [1, 1, 1]]]


def test_the_papers_iou_takes_the_background_and_counts_an_absent_class_as_found() -> None:
    slices = np.array([[[8, 1, 1], [0, 2, 0], [0, 0, 0]], [[6, 0, 2], [2, 2, 0], [0, 0, 0]]])
    assert paper_iou(slices) == pytest.approx(((0.8 + 0 + 1) / 3 + (6 / 8 + 0.5 + 1) / 3) / 2)


def test_identical_masks_have_dice_and_iou_one_and_disjoint_ones_zero() -> None:
    counts = np.array([[10, 0, 0], [0, 4, 6]])
    assert dice(counts).tolist() == [1, 0]
    assert iou(counts).tolist() == [1, 0]


def test_dice_and_iou_of_known_counts() -> None:
    counts = np.array([6, 2, 4])
    assert dice(counts) == pytest.approx(12 / 18)
    assert iou(counts) == pytest.approx(6 / 12)


def test_a_structure_absent_from_truth_and_prediction_has_no_score() -> None:
    assert np.isnan(dice(np.array([0, 0, 0])))


def test_a_missed_structure_never_improves_the_mean() -> None:
    found, missed = np.array([[0.8, 0.6]]), np.array([[0.8, float(dice(np.array([0, 0, 9])))]])
    assert patient_mean(missed, ["a"]) < patient_mean(found, ["a"])


def test_the_mean_weights_patients_equally_however_many_volumes_they_have() -> None:
    scores = np.array([[1.0], [1.0], [1.0], [0.0]])
    assert patient_mean(scores, ["a", "a", "a", "b"]) == 0.5


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_accumulated_jaccard_loss_equals_smp_on_the_whole_set_for_any_batch_size(batch: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 4, 16, 16, generator=generator)
    truth = torch.randint(0, 3, (8, 16, 16), generator=generator)  # class 3 is absent
    loss = SoftJaccard(4, torch.device("cpu"))
    for part, labels in zip(logits.split(batch), truth.split(batch), strict=True):
        loss.add(part, labels)
    assert loss.loss() == pytest.approx(float(JaccardLoss("multiclass")(logits, truth)), abs=1e-5)
