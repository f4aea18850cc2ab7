"""Collapse is measured against clouds whose spread and rank are known."""

import pytest
import torch

from trainables.collapse import NUM_SAMPLES, CollapseMeasures, CollapseWatch, LatestFeatures, measure_collapse


def test_features_that_are_one_point_have_no_spread() -> None:
    measured = measure_collapse(torch.ones(64, 32))
    assert measured.std == pytest.approx(0, abs=1e-6)
    assert measured.is_collapsed


def test_features_on_one_line_have_a_rank_of_one() -> None:
    measured = measure_collapse(torch.outer(torch.linspace(-1, 1, 64), torch.ones(32)))
    assert measured.effective_rank == pytest.approx(1, abs=1e-3)
    assert measured.is_collapsed


def test_an_isotropic_cloud_has_a_spread_of_one_and_full_rank() -> None:
    measured = measure_collapse(torch.randn(4096, 32, generator=torch.Generator().manual_seed(0)))
    assert measured.std == pytest.approx(1, abs=0.02)
    assert measured.effective_rank == pytest.approx(32, rel=0.02)
    assert not measured.is_collapsed


def test_the_rank_of_two_equal_singular_values_is_two() -> None:
    features = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    assert measure_collapse(features).effective_rank == pytest.approx(2)


@pytest.mark.parametrize("batch_size", [8, 100, 700])
def test_the_latest_samples_are_measured_whatever_the_batch(batch_size: int) -> None:
    cloud = torch.randn(1400, 16, generator=torch.Generator().manual_seed(0))
    latest = LatestFeatures()
    for part in cloud.split(batch_size):
        latest.add(part)
    assert torch.equal(latest.rows(), cloud[-NUM_SAMPLES:])
    assert torch.equal(latest.rows(num_workers=4), cloud[-NUM_SAMPLES // 4 :])


def test_an_epoch_of_few_samples_is_measured_on_all_of_them() -> None:
    latest = LatestFeatures()
    latest.add(torch.eye(4))
    assert torch.equal(latest.rows(), torch.eye(4))


def test_a_stage_is_over_after_three_collapsed_epochs_in_a_row() -> None:
    sound, collapsed = (
        CollapseMeasures(std=0.5, effective_rank=9, num_samples=512),
        CollapseMeasures(std=0.01, effective_rank=9, num_samples=512),
    )
    watch = CollapseWatch()
    for measures in (collapsed, collapsed, sound, collapsed, collapsed):
        watch.add(measures)
    assert not watch.is_over
    watch.add(CollapseMeasures(std=0.5, effective_rank=1.2, num_samples=512))
    assert watch.is_over
    assert "collapsed for 3 epochs (standard deviation 0.5, below 0.02 is one point; effective rank 1.2" in watch.reason


def test_a_handful_of_samples_on_a_line_is_no_collapse() -> None:
    assert not measure_collapse(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).is_collapsed
