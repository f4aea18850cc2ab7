"""Rows of test cases by hand: what is missed is counted and never measured, and pictures are measured one by one."""

import json
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables.data.decoded_volumes import DecodedVolumes
from trainables.data.slice_store import SliceStore
from trainables.metrics import slice_counts
from trainables.scoring import NOT_MEASURED, score_cases

SIDE = 8


def score(
    folder: Path, truth: np.ndarray, predicted: np.ndarray, spacing_mm: Any, *, measured: bool = True
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Score one volume (slice, row, column) of two classes."""
    volume = {"name": "v", "patient": "p", "group": "g", "phase": "ED", "key": "v", "num_slices": len(truth)}
    index = {"volumes": {"test": [volume | {"spacing_mm": spacing_mm}]}}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "rows.json").write_text(json.dumps({"v": [0, len(truth)]}))
    (folder / "data.json").write_text(json.dumps({"class_names": ["cup", "disc"]}))
    np.save(folder / "masks.npy", truth.astype(np.uint8))
    counts = slice_counts(torch.from_numpy(predicted), torch.from_numpy(truth), 3).numpy()
    masks = list(predicted.astype(np.uint8)) if measured else None
    return score_cases("cell", SliceStore(folder, DecodedVolumes(folder)), counts, masks)


@pytest.fixture
def masks() -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction: class 1 is a row of two slices and found a row below, class 2 is nowhere."""
    truth, predicted = np.zeros((2, 3, SIDE, SIDE), np.int64)
    truth[:2, 2, 2:6] = predicted[:2, 3, 2:6] = 1
    return truth, predicted


def test_a_volume_with_a_known_spacing_is_measured_whole_in_millimetres(tmp_path: Path, masks: Any) -> None:
    row = score(tmp_path, *masks, [10.0, 1.5, 2.0])[0][0]
    assert (row["hd95"], row["assd"], row["distance_unit"]) == (1.5, 1.5, "mm")
    assert (row["num_distances"], row["num_undefined_distances"]) == (1, 0)
    assert row["diagonal"] == pytest.approx(hypot(3 * 10.0, SIDE * 1.5, SIDE * 2.0))
    assert row["voxel_ml"] == pytest.approx(0.03)
    assert (row["patient"], row["phase"], row["class_index"], row["class_name"]) == ("p", "ED", 1, "cup")


def test_a_structure_in_neither_mask_has_no_distance_and_is_not_counted(tmp_path: Path, masks: Any) -> None:
    row = score(tmp_path, *masks, [10.0, 1.5, 2.0])[0][1]
    assert (row["hd95"], row["assd"], row["slice_dice"], row["slice_iou"]) == (None, None, None, None)
    assert (row["num_distances"], row["num_undefined_distances"], row["scored_slices"]) == (0, 0, 0)


@pytest.mark.parametrize("is_missed", [True, False])
def test_a_missed_or_invented_structure_has_no_distance_and_is_counted(
    tmp_path: Path, masks: Any, is_missed: bool
) -> None:
    nothing = np.zeros_like(masks[0])
    pair = (masks[0], nothing) if is_missed else (nothing, masks[1])
    row = score(tmp_path, *pair, [10.0, 1.5, 2.0])[0][0]
    assert (row["hd95"], row["assd"]) == (None, None)
    assert (row["num_distances"], row["num_undefined_distances"]) == (0, 1)
    assert row["slice_dice"] == 0


@pytest.mark.parametrize(("spacing", "unit", "pixel"), [(None, "px", 1.0), ([None, 0.5, 0.5], "mm", 0.5)])
def test_pictures_are_measured_one_by_one_and_have_no_volume(
    tmp_path: Path, masks: Any, spacing: Any, unit: str, pixel: float
) -> None:
    truth, predicted = masks
    predicted[1] = 0  # missed on the second
    predicted[2, 0, 0] = 2  # and something invented on the third
    first, second = score(tmp_path, truth, predicted, spacing)[0]
    assert (first["hd95"], first["assd"], first["distance_unit"]) == (pixel, pixel, unit)
    assert (first["num_distances"], first["num_undefined_distances"]) == (1, 1)
    assert (second["num_distances"], second["num_undefined_distances"]) == (0, 1)
    assert first["diagonal"] == pytest.approx(pixel * hypot(SIDE, SIDE))
    assert first["voxel_ml"] is None


def test_slice_scores_are_means_over_the_slices_that_show_or_predict_the_structure(tmp_path: Path, masks: Any) -> None:
    truth, predicted = masks
    predicted[0] = truth[0]
    row = score(tmp_path, truth, predicted, None)[0][0]
    assert (row["slice_dice"], row["slice_iou"], row["scored_slices"]) == (0.5, 0.5, 2)


class Predictions(list[np.ndarray]):
    """Predicted slices that count how often they are asked for."""

    num_asked = 0

    def __getitem__(self, key: Any) -> Any:
        self.num_asked += 1
        return super().__getitem__(key)


def test_predicted_masks_are_gathered_once_a_volume_and_not_for_every_structure(tmp_path: Path, masks: Any) -> None:
    truth, predicted = masks
    score(tmp_path, truth, predicted, None)
    counts = slice_counts(torch.from_numpy(predicted), torch.from_numpy(truth), 3).numpy()
    predictions = Predictions(predicted.astype(np.uint8))
    score_cases("cell", SliceStore(tmp_path, DecodedVolumes(tmp_path)), counts, predictions)
    assert predictions.num_asked == 1


def test_without_predicted_masks_all_but_the_distances_is_there(tmp_path: Path, masks: Any) -> None:
    measured = score(tmp_path, *masks, [10.0, 1.5, 2.0])
    plain = score(tmp_path, *masks, [10.0, 1.5, 2.0], measured=False)
    assert plain[0] == [row | NOT_MEASURED for row in measured[0]]
    assert plain[1] == measured[1]
