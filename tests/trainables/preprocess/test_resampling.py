"""Slices are resampled without aliasing, then cropped and padded about their centre."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import interpolate

from tests.trainables.preprocess.planes import AS_IS, centre, decoded, noise, planned
from trainables.config import DataConfig
from trainables.data.preprocess import AxisPlan, plane_plan, prepared_images

sizes = st.integers(2, 40)  # torch's own resize of pictures one pixel wide is wrong (2.14.1)


def weights(plan: AxisPlan) -> Tensor:
    return torch.eye(plan.taken.stop - plan.taken.start) if plan.weights is None else plan.weights


@given(rows=st.tuples(sizes, sizes), columns=st.tuples(sizes, sizes))
def test_resampling_is_torchs_antialiased_bilinear_resize(rows: tuple[int, int], columns: tuple[int, int]) -> None:
    image = torch.from_numpy(noise(1, 1, rows[0], columns[0]))
    expected = interpolate(image, (rows[1], columns[1]), mode="bilinear", antialias=True, align_corners=False)
    plan = planned(rows, columns, 48)  # larger than any size: nothing is cropped
    found = weights(plan.rows) @ image[:, :, plan.rows.taken, plan.columns.taken] @ weights(plan.columns).T
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@given(before=st.tuples(sizes, sizes), after=st.tuples(sizes, sizes), side=st.sampled_from([5, 16, 32, 48]))
def test_the_crop_of_a_resampled_slice_is_the_centre_of_the_whole(
    before: tuple[int, int], after: tuple[int, int], side: int
) -> None:
    images = noise(2, 1, *before)
    whole = interpolate(torch.from_numpy(images), after, mode="bilinear", antialias=True)
    found = prepared_images(images, planned((before[0], after[0]), (before[1], after[1]), side), AS_IS, DataConfig())
    assert found.shape == (2, 1, side, side)
    np.testing.assert_allclose(found, centre(whole.numpy(), side), rtol=0, atol=1e-3)  # float16


@pytest.mark.parametrize(
    ("length", "side", "expected"),
    [
        (6, 4, [1, 2, 3, 4]),
        (7, 4, [1, 2, 3, 4]),
        (5, 4, [0, 1, 2, 3]),
        (4, 4, [0, 1, 2, 3]),
        (3, 4, [0, 1, 2, None]),
        (2, 5, [None, 0, 1, None, None]),
        (1, 3, [None, 0, None]),
    ],
)
def test_slices_are_cropped_and_padded_about_their_centre(length: int, side: int, expected: list[int | None]) -> None:
    images = np.tile(np.arange(1, length + 1, dtype=np.float32)[:, None] / 8, (1, 1, 1, length))
    found = prepared_images(images, planned((length, length), (length, length), side), AS_IS, DataConfig())
    numbers = [round(float(value) * 8) - 1 for value in found[0, 0, :, side // 2]]
    assert [None if number < 0 else number for number in numbers] == expected


def test_white_noise_that_is_shrunk_four_times_keeps_the_variance_of_a_triangle_filter() -> None:
    images = noise(1, 1, 256, 256) - 0.5
    plan = planned((256, 64), (256, 64), 64)
    found = prepared_images(images, plan, AS_IS, DataConfig())[0, 0, 4:-4, 4:-4]
    taps = np.array([0.125, 0.375, 0.625, 0.875, 0.875, 0.625, 0.375, 0.125]) / 4
    assert found.std() / images.std() == pytest.approx((taps**2).sum(), rel=0.05)  # 0.16; 0.5 and more would alias


@pytest.mark.parametrize("after", [12, 24, 48, 60, 96, 31, 77])
def test_a_linear_ramp_stays_a_linear_ramp_inside(after: int) -> None:
    position = (np.arange(48) + 0.5) / 48
    ramp = np.broadcast_to(position.astype(np.float32)[None, None, :, None], (1, 1, 48, 48))
    found = prepared_images(ramp, planned((48, after), (48, 48), 96), AS_IS, DataConfig())
    first = (96 - after) // 2
    inside = found[0, 0, first : first + after, 48].astype(np.float64)[after // 8 : -after // 8]
    expected = ((np.arange(after) + 0.5) / after)[after // 8 : -after // 8]
    assert np.abs(inside - expected).max() < 0.1 / min(after, 48)  # a tenth of a pixel
    if after % 48 == 0 or 48 % after == 0:
        assert inside == pytest.approx(expected, abs=1e-3)  # float16


def test_even_an_absurd_enlargement_gives_a_square() -> None:
    config = DataConfig(longest_side=16 * 48 * 100, image_size=32)
    piece = decoded(noise(1, 48, 48), np.ones((1, 48, 48), np.uint8))
    plan = plane_plan(piece, config, "here")
    assert prepared_images(piece.images, plan, AS_IS, config).shape == (1, 1, 32, 32)
    assert plan.rows.shown == slice(0, 0)  # less than a pixel is seen, and no pixel's centre
