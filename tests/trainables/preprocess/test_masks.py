"""Resampled masks take the strongest class and keep their areas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import interpolate, one_hot

from tests.trainables.preprocess.planes import centre, decoded, planned
from trainables.config import DataConfig
from trainables.data.preprocess import plane_plan, prepared_labels


@given(
    rows=st.tuples(st.integers(4, 24), st.integers(4, 24)),
    columns=st.tuples(st.integers(4, 24), st.integers(4, 24)),
    seed=st.integers(0, 99),
)
def test_masks_take_the_strongest_class_of_the_resampled_indicators(
    rows: tuple[int, int], columns: tuple[int, int], seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (2, rows[0] // 3 + 1, columns[0] // 3 + 1), dtype=np.uint8)
    labels = labels.repeat(3, 1).repeat(3, 2)[:, : rows[0], : columns[0]]  # blocks, as structures are
    indicators = one_hot(torch.from_numpy(labels).long(), 4).movedim(-1, 1).float()
    strength = interpolate(indicators, (rows[1], columns[1]), mode="bilinear", antialias=True)
    two = strength.topk(2, dim=1)
    found = prepared_labels(labels, planned(rows, columns, 24), 4)
    clear = centre((two.values[:, 0] - two.values[:, 1] > 1e-5).numpy(), 24)
    assert (found == centre(two.indices[:, 0].numpy(), 24))[clear].all()
    assert set(np.unique(found)) <= set(np.unique(labels)) | {0}


@pytest.mark.parametrize(("pair", "winner"), [((2, 1), 1), ((1, 2), 1), ((0, 1), 0), ((2, 0), 0)])
def test_ties_go_to_the_lower_class(pair: tuple[int, int], winner: int) -> None:
    labels = np.array([pair], np.uint8).repeat(4, 0)[None]  # two columns become one: half of each class
    assert prepared_labels(labels, planned((4, 4), (2, 1), 4), 3)[0, :, 1].tolist() == [winner] * 4


def test_masks_keep_their_areas_in_square_millimetres_without_a_bias() -> None:
    rng, ratios = np.random.default_rng(0), []
    row, column = np.ogrid[:96, :96]
    for _ in range(100):  # a disc in a ring, drawn at one spacing and resampled to another
        spacing, radius = rng.uniform(0.8, 1.6, 2), rng.uniform(24, 36)
        mm = np.hypot((row - 47.5) * spacing[0], (column - 47.5) * spacing[1])
        labels = ((mm < radius).astype(np.uint8) + (mm < radius / 2))[None]
        piece = decoded(labels.astype(np.int16), labels, (float(spacing[0]), float(spacing[1])))
        found = prepared_labels(labels, plane_plan(piece, DataConfig(spacing_mm=1.5, image_size=128), "here"), 3)
        assert set(np.unique(found)) == {0, 1, 2}
        before = [(labels == label).sum() * spacing.prod() for label in (1, 2)]
        ratios.append([(found == label).sum() * 1.5**2 / mm2 for label, mm2 in zip((1, 2), before, strict=True)])
    assert np.abs(np.array(ratios) - 1).max() < 0.1  # of about 200 pixels, some on the edge
    assert np.mean(ratios, axis=0) == pytest.approx([1, 1], abs=0.01)


def test_a_mask_without_foreground_stays_empty() -> None:
    assert not prepared_labels(np.zeros((3, 9, 9), np.uint8), planned((9, 5), (9, 5), 16), 4).any()
