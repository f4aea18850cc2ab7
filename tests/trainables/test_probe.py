"""The nearest-neighbour probe, against neighbours and variances worked out by hand."""

import math
from pathlib import Path

import pytest
import torch

from trainables.config import DataConfig, ModelConfig, PhantomConfig
from trainables.data.slices import open_store
from trainables.models.encoder import Encoder
from trainables.probe import explained_variance, nearest_shares, probe


def test_neighbours_are_weighted_by_their_cosine_over_the_temperature() -> None:
    known = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    shares = torch.tensor([[0.5], [0.1]])
    asked = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    weight = 1 / (1 + math.exp(-1 / 0.07))  # cosines of 1 and 0
    expected = [weight * 0.5 + (1 - weight) * 0.1, 0.3]
    assert nearest_shares(known, shares, asked)[:, 0].tolist() == pytest.approx(expected)


def test_only_the_twenty_nearest_count() -> None:
    angles = torch.linspace(0, math.pi / 2, 40)
    known = torch.stack([angles.cos(), angles.sin()], 1)
    shares = (torch.arange(40) >= 20).float()[:, None]
    assert nearest_shares(known, shares, known[:1]).item() == 0


def test_explained_variance_is_one_for_the_truth_and_zero_for_its_mean() -> None:
    truth = torch.tensor([[0.1, 0.0], [0.3, 0.4], [0.2, 0.8]])
    assert explained_variance(truth, truth) == 1
    assert explained_variance(truth.mean(0).expand(3, 2), truth) == pytest.approx(0)
    assert explained_variance(truth.flip(0), truth) == pytest.approx(((1 - 1) + (1 - 4)) / 2, rel=1e-5)


def test_where_no_class_varies_there_is_no_score() -> None:
    assert explained_variance(torch.tensor([[0.1], [0.3]]), torch.tensor([[0.2], [0.2]])) is None


def test_a_class_that_never_varies_is_left_out() -> None:
    truth = torch.tensor([[0.1, 0.0], [0.3, 0.0]])
    assert explained_variance(truth + torch.tensor([0.0, 0.5]), truth) == 1


def test_a_probe_is_the_same_each_time_and_changes_nothing(tmp_path: Path, cache: Path) -> None:
    data = DataConfig(image_size=32, spacing_mm=4, phantom=PhantomConfig(num_patients=12, num_slices=3, num_frames=2))
    torch.manual_seed(0)
    encoder = Encoder(ModelConfig(encoder="resnet10", width=8), 1).train()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    store = open_store(data, cache)
    scores = [probe(encoder, store, torch.device("cpu")) for _ in range(2)]
    assert scores[0] == scores[1] <= 1
    assert encoder.training
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_a_probe_asks_validation_slices_of_what_training_slices_tell(tmp_path: Path, cache: Path) -> None:
    data = DataConfig(image_size=32, spacing_mm=4, phantom=PhantomConfig(num_patients=12, num_slices=3, num_frames=2))
    torch.manual_seed(0)
    encoder = Encoder(ModelConfig(encoder="resnet10", width=8), 1).eval()
    store = open_store(data, cache)
    features, shares = {}, {}
    with torch.no_grad():
        for part in ("train", "validation"):
            images = torch.from_numpy(store.images[store.rows(part)]).float()
            features[part] = encoder((images - 0.25) / 0.25)
            masks = torch.from_numpy(store.masks[store.rows(part)])
            classes = range(1, store.num_classes)
            shares[part] = torch.stack([(masks == each).float().mean((1, 2)) for each in classes], 1)
    predicted = nearest_shares(features["train"], shares["train"], features["validation"])
    expected = explained_variance(predicted, shares["validation"])
    assert probe(encoder, store, torch.device("cpu")) == pytest.approx(expected, abs=1e-3)
