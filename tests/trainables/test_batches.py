"""Batches: every sample once an epoch, masks that stay with their images, nothing written to the store."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.config import ViewConfig
from trainables.data.batches import (
    Samples,
    epoch_batches,
    finetune_batches,
    from_natural,
    from_slices,
    network_input,
    random_view,
)

CPU = torch.device("cpu")
STILL = ViewConfig(crop_scale=(1, 1), crop_ratio=(1, 1), flip_probability=0, colour_probability=0)


def samples_of(slices: Any, masks: Any = None) -> Samples:
    """All of some grey slices (slice, row, column), with their masks."""
    return from_slices(np.asarray(slices, np.float16)[:, None], masks, np.arange(len(slices)), CPU)


@given(num_samples=st.integers(2, 50), batch_size=st.integers(2, 60), seed=st.integers(0, 3))
def test_an_epoch_takes_no_sample_twice_and_only_full_batches(num_samples: int, batch_size: int, seed: int) -> None:
    batches = list(epoch_batches(num_samples, batch_size, torch.Generator().manual_seed(seed)))
    size = min(batch_size, num_samples)
    taken = torch.cat(batches).tolist()
    assert {len(batch) for batch in batches} == {size}
    assert len(set(taken)) == len(taken) == num_samples // size * size


def test_a_mask_stays_with_its_image() -> None:
    labels = np.repeat(np.arange(4, dtype=np.uint8), 64).reshape(4, 8, 8)
    samples = samples_of(labels, labels)
    images, masks = next(finetune_batches(samples, 1, 16, STILL, torch.Generator().manual_seed(0)))
    assert images.shape == (16, 1, 8, 8)
    assert torch.allclose(images[:, 0] * 0.25 + 0.25, masks.float(), atol=1e-3)  # the fixed scaling, undone
    assert len(masks.unique()) == 4


@pytest.mark.parametrize("recipe", [{}, {"set": "byol-second"}])
@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_batches_made_together_are_those_made_one_after_another(
    recipe: dict[str, Any], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = np.random.default_rng(0).random((9, 20, 20))
    samples = samples_of(slices, (slices > 0.5).astype(np.uint8))
    views = ViewConfig.model_validate(recipe)
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    monkeypatch.setattr("trainables.data.batches.MADE_AT_ONCE", 4 * 400 * at_once)
    together = list(finetune_batches(samples, 7, 4, views, generators[0]))
    assert len(together) == 7
    for images, masks in together:
        alone = next(finetune_batches(samples, 1, 4, views, generators[1]))
        assert torch.allclose(images, alone[0], rtol=0, atol=0 if not recipe else 1e-5)  # a blur sums in another order
        assert torch.equal(masks, alone[1])
    assert torch.equal(*(generator.get_state() for generator in generators))


def test_few_labels_still_fill_a_batch() -> None:
    one = np.zeros((1, 8, 8))
    images, _ = next(finetune_batches(samples_of(one, one.astype(np.uint8)), 1, 8, STILL, torch.Generator()))
    assert len(images) == 8


def test_photographs_become_channels_first_and_share_the_scale_of_slices() -> None:
    white = np.full((2, 4, 4, 3), 255, np.uint8)
    samples = from_natural(white, np.array([0, 1]), CPU)
    slices = samples_of(np.ones((1, 4, 4)))
    assert samples.take(torch.tensor([1])).shape == (1, 3, 4, 4)
    assert samples.take(torch.tensor([1])).mean() == slices.take(torch.tensor([0])).mean()


def test_a_memory_mapped_store_is_shared_by_its_parts_and_stays_as_it_is(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.random.default_rng(0).random((4, 1, 8, 8)).astype(np.float16))
    before = (tmp_path / "images.npy").read_bytes()
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    masks = (mapped[:, 0] > 0.5).astype(np.uint8)
    parts = [from_slices(mapped, masks, np.array(rows), CPU) for rows in ([0, 1], [2, 3])]
    assert [part.images.data_ptr() for part in (*parts, parts[1].subset([1]))] == [mapped.ctypes.data] * 3
    samples = parts[1]
    next(finetune_batches(samples, 1, 8, ViewConfig(colour_probability=1), torch.Generator().manual_seed(0)))
    assert (tmp_path / "images.npy").read_bytes() == before


def test_brightness_is_a_share_of_the_images_range() -> None:
    grey = np.full((1, 8, 8), 0.5, np.float16)
    bright = ViewConfig(crop_scale=(1, 1), crop_ratio=(1, 1), flip_probability=0, colour_probability=1, brightness=0.2)
    images, _ = next(finetune_batches(samples_of(grey, grey.astype(np.uint8)), 1, 4096, bright, torch.Generator()))
    values = images[:, 0, 0, 0] * 0.25 + 0.25  # the fixed scaling, undone
    assert abs(float(values.min()) - 0.3) < 0.01
    assert abs(float(values.max()) - 0.7) < 0.01


def test_the_shares_of_two_workers_make_up_the_view_of_one() -> None:
    samples = samples_of(np.random.default_rng(0).random((9, 16, 16)))
    indices = torch.tensor([3, 1, 8, 0, 5])
    views = [
        random_view(samples, indices, ViewConfig(), torch.Generator().manual_seed(7), share)
        for share in (slice(None), slice(0, None, 2), slice(1, None, 2))
    ]
    assert torch.equal(views[0][0::2], views[1])
    assert torch.equal(views[0][1::2], views[2])
    assert views[0].is_contiguous(memory_format=torch.channels_last) or views[0].shape[1] == 1


def test_network_input_is_centred_on_typical_tissue() -> None:
    assert network_input(torch.full((1, 1, 2, 2), 0.25)).abs().max() == 0


@given(
    rows=st.lists(st.integers(0, 19), min_size=1, max_size=12),
    data=st.data(),
)
def test_samples_are_the_rows_of_the_store_that_they_stand_for(rows: list[int], data: st.DataObject) -> None:
    numbers = np.arange(20)
    images = np.broadcast_to(numbers[:, None, None, None], (20, 2, 4, 4)).astype(np.float16)
    masks = np.broadcast_to(numbers[:, None, None], (20, 4, 4)).astype(np.uint8)
    samples = from_slices(images, masks, np.array(rows), CPU)
    positions = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    subset = samples.subset(positions)
    assert len(subset) == len(positions)
    everything = torch.arange(len(positions))
    assert subset.take(everything)[:, 1, 2, 3].tolist() == [rows[position] for position in positions]
    assert subset.take_targets(everything)[:, 2, 3].tolist() == [rows[position] for position in positions]
