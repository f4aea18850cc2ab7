"""A volume or the training split tells how its intensities are scaled, as numpy computes it."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.trainables.preprocess.planes import decoded, planned
from trainables.config import DataConfig
from trainables.data.batches import network_input
from trainables.data.dataset import DataError
from trainables.data.decode import Decoded
from trainables.data.preprocess import (
    Distribution,
    distribution,
    percentiles,
    pooled_constants,
    prepared_images,
    volume_constants,
)

WANTED = (0.0, 0.5, 3.1, 25.0, 50.0, 77.7, 99.5, 100.0)


@given(arrays(np.int16, st.integers(1, 200)))
def test_percentiles_of_whole_numbers_are_numpys(values: npt.NDArray[np.int16]) -> None:
    assert percentiles(values, WANTED) == pytest.approx(np.percentile(values.astype(np.float64), WANTED), abs=1e-6)


@given(arrays(np.float32, st.integers(1, 200), elements=st.floats(-1e6, 1e6, width=32)))
def test_percentiles_of_fractions_are_numpys(values: npt.NDArray[np.float32]) -> None:
    expected = np.percentile(values.astype(np.float64), WANTED)
    assert percentiles(values, WANTED) == pytest.approx(expected, rel=1e-5, abs=1e-5 * float(np.ptp(values)))


def test_a_volume_is_scaled_by_its_own_percentiles_and_clipped() -> None:
    images = np.random.default_rng(0).normal(500, 100, (4, 32, 32)).astype(np.int16)
    images[0, 0, 0], images[0, 0, 1] = -30000, 30000
    config = DataConfig(image_size=32)
    low, high = np.percentile(images, [0.5, 99.5])
    constants = volume_constants([decoded(images)], config, "channel {}".format)
    found = prepared_images(images[:, None], planned((32, 32), (32, 32), 32), constants, config)
    expected = np.clip((images.astype(np.float64) - low) / (high - low), -0.5, 2)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-3)
    assert found[0, 0, 0, :2].tolist() == [-0.5, 2.0]


def test_a_z_score_is_stored_so_that_networks_see_mean_0_and_deviation_1() -> None:
    images = np.random.default_rng(0).uniform(200, 900, (4, 32, 32)).astype(np.float32)
    config = DataConfig(image_size=32, intensity="volume-zscore")
    constants = volume_constants([decoded(images)], config, "channel {}".format)
    found = prepared_images(images[:, None], planned((32, 32), (32, 32), 32), constants, config)
    seen = network_input(torch.from_numpy(found.astype(np.float32)))
    assert float(seen.mean()) == pytest.approx(0, abs=1e-3)
    assert float(seen.std()) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(seen[:, 0], (images - images.mean()) / images.std(), atol=5e-3)


def test_what_surrounds_a_small_z_scored_image_is_its_mean() -> None:
    images = np.random.default_rng(0).uniform(200, 900, (2, 16, 16)).astype(np.float32)
    config = DataConfig(image_size=32, intensity="volume-zscore")
    constants = volume_constants([decoded(images)], config, "channel {}".format)
    found = prepared_images(images[:, None], planned((16, 16), (16, 16), 32), constants, config)
    assert network_input(torch.from_numpy(found.astype(np.float32)))[:, 0, :8].abs().max() == 0


def test_pieces_of_a_volume_are_scaled_together_and_channels_each_on_its_own() -> None:
    first, second = (np.random.default_rng(seed).normal(100, 20, (1, 2, 32, 32)) for seed in (0, 1))
    first[:, 1], second[:, 1] = 1000 * first[:, 1], 1000 * second[:, 1]
    pieces = [Decoded(each.astype(np.float32), None, None, "float32", "") for each in (first, second)]
    constants = volume_constants(pieces, DataConfig(), "channel {}".format)
    both = np.concatenate([first, second])
    for channel in (0, 1):
        low, high = np.percentile(both[:, channel], [0.5, 99.5])
        assert constants[channel] == pytest.approx((low, high - low), rel=1e-5)
    found = prepared_images(pieces[0].images, planned((32, 32), (32, 32), 32), constants, DataConfig(image_size=32))
    for channel in (0, 1):
        assert float(found[:, channel].mean()) == pytest.approx(0.5, abs=0.05)


def test_a_channel_without_a_range_is_refused() -> None:
    images = np.zeros((1, 2, 20, 20), np.int16)
    images[:, 0] = np.arange(20)
    images[0, 1, 0, 0] = 1  # one pixel in 400: the percentiles are equal
    piece = Decoded(images, None, None, "int16", "")
    with pytest.raises(DataError, match=r"channel 1: found 0\.5th and 99\.5th percentile 0 in channel 1"):
        volume_constants([piece], DataConfig(), "channel {}".format)
    assert volume_constants([piece], DataConfig(intensity="volume-zscore"), "channel {}".format)[1][1] == pytest.approx(
        0.05, rel=0.01
    )


@given(st.lists(st.tuples(st.integers(1, 4), st.floats(-300, 300), st.floats(1, 200)), min_size=1, max_size=6))
def test_pooled_percentiles_are_those_of_all_voxels_within_a_tenth_of_a_percent_of_them(
    volumes: list[tuple[int, float, float]],
) -> None:
    rng = np.random.default_rng(0)
    every = [rng.normal(mean, spread, (count, 40, 40)).astype(np.int16) for count, mean, spread in volumes]
    ((low, extent),) = pooled_constants([distribution([decoded(each)]) for each in every])
    voxels = np.concatenate([each.ravel() for each in every])
    assert np.percentile(voxels, 0.4) - 1e-6 <= low <= np.percentile(voxels, 0.6) + 1e-6
    assert np.percentile(voxels, 99.4) - 1e-6 <= low + extent <= np.percentile(voxels, 99.6) + 1e-6


@given(st.integers(1, 3), st.integers(0, 9))
def test_pooled_percentiles_of_equal_volumes_are_their_own(count: int, seed: int) -> None:
    images = decoded(np.random.default_rng(seed).normal(300, 80, (4, 40, 40)).astype(np.int16))
    pooled = pooled_constants([distribution([images])] * count)
    assert pooled[0] == pytest.approx(volume_constants([images], DataConfig(), "channel {}".format)[0], abs=1e-6)


def test_pooled_volumes_without_contrast_are_refused() -> None:
    flat = Distribution(np.zeros((1, 2001)), 100)
    with pytest.raises(DataError, match="the training split has no contrast"):
        pooled_constants([flat, flat])
