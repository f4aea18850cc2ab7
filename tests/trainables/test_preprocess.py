"""What is done to slices: scaling by rule, anti-aliased resampling, the crop; each against another computation."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, one_hot

from trainables.config import DataConfig, PhantomConfig
from trainables.data.batches import network_input
from trainables.data.dataset import DataError, Dataset, Piece, Volume
from trainables.data.decode import Decoded, decode_volume
from trainables.data.decoded import stored_spacing
from trainables.data.phantom import write_phantom
from trainables.data.preprocess import (
    AxisPlan,
    Distribution,
    PlanePlan,
    axis_plan,
    distribution,
    percentiles,
    plane_plan,
    pooled_constants,
    prepared_images,
    prepared_labels,
    prepared_spacing,
    target_size,
    volume_constants,
)
from trainables.data.slice_store import SliceStore
from trainables.data.slices import open_store

Array = npt.NDArray[Any]
AS_IS = ((0.0, 1.0),)
WANTED = (0.0, 0.5, 3.1, 25.0, 50.0, 77.7, 99.5, 100.0)


def decoded(images: Array, labels: Array | None = None, spacing: tuple[float, float] | None = None) -> Decoded:
    """A piece of grey slices (slice, row, column)."""
    return Decoded(images[:, None], labels, spacing, str(images.dtype), "uint8")


def planned(rows: tuple[int, int], columns: tuple[int, int], side: int) -> PlanePlan:
    """How slices of some size before become some size after, and are cropped or padded to a square."""
    return PlanePlan(axis_plan(*rows, side), axis_plan(*columns, side), side)


def noise(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@given(arrays(np.int16, st.integers(1, 200)))
def test_percentiles_of_whole_numbers_are_numpys(values: npt.NDArray[np.int16]) -> None:
    assert percentiles(values, WANTED) == pytest.approx(np.percentile(values.astype(np.float64), WANTED), abs=1e-6)


@given(arrays(np.float32, st.integers(1, 200), elements=st.floats(-1e6, 1e6, width=32)))
def test_percentiles_of_fractions_are_numpys(values: npt.NDArray[np.float32]) -> None:
    expected = np.percentile(values.astype(np.float64), WANTED)
    assert percentiles(values, WANTED) == pytest.approx(expected, rel=1e-5, abs=1e-5 * float(np.ptp(values)))


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


def centre(images: Array, side: int) -> Array:
    """Zero-pad about the centre by more than enough, then cut the square out of it."""
    rows, columns = images.shape[-2:]
    padded = np.pad(images, [(0, 0)] * (images.ndim - 2) + [(side, side)] * 2)
    first, left = (
        side + (length - side) // 2 if length > side else side - (side - length) // 2 for length in (rows, columns)
    )
    return padded[..., first : first + side, left : left + side]


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


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (DataConfig(), (60, 40)),
        (DataConfig(spacing_mm=3.0), (30, 10)),  # 60 rows of 1.5 mm, 40 columns of 0.75 mm
        (DataConfig(spacing_mm=0.75), (120, 40)),
        (DataConfig(longest_side=30), (30, 20)),
        (DataConfig(longest_side=120), (120, 80)),
    ],
)
def test_the_size_after_resampling_follows_from_the_spacing_or_the_longest_side(
    config: DataConfig, size: tuple[int, int]
) -> None:
    assert target_size(decoded(noise(1, 60, 40), spacing=(1.5, 0.75)), config, "here") == size


def test_the_spacing_as_stored_is_that_of_whole_pixels() -> None:
    piece = decoded(noise(1, 60, 41), spacing=(1.5, 0.75))
    assert prepared_spacing(piece, DataConfig(), "here") == (1.5, 0.75)
    found = prepared_spacing(piece, DataConfig(spacing_mm=2.0), "here")
    assert found == pytest.approx((60 * 1.5 / 45, 41 * 0.75 / 15))
    assert prepared_spacing(piece, DataConfig(longest_side=30), "here") == pytest.approx((3.0, 41 * 0.75 / 20))


def test_pieces_have_no_distance_to_each_other_and_none_at_all_where_their_pixels_differ() -> None:
    piece = dataclasses.replace(decoded(noise(3, 8, 8), spacing=(1.5, 1.5)), slice_spacing=8.0)
    assert stored_spacing([(2.0, 2.0)], [piece]) == (8.0, 2.0, 2.0)
    assert stored_spacing([(2.0, 2.0), (2.01, 2.0)], [piece, piece]) == (None, 2.0, 2.0)
    assert stored_spacing([(2.0, 2.0), (2.1, 2.0)], [piece, piece]) is None
    assert stored_spacing([None], [piece]) is None


def test_pictures_have_no_pixel_size_but_the_one_that_is_given(tmp_path: Path) -> None:
    Image.fromarray((noise(20, 40) * 255).astype(np.uint8)).save(tmp_path / "a.png")
    volume = Volume("a", "a", "", "", (Piece((tmp_path / "a.png",)),))
    dataset = Dataset("folder", tmp_path, ("x",), (0, 1), ("image",), (volume,))
    given_mm = DataConfig(spacing_mm=1.0, pixel_spacing_mm=0.5)
    (piece,) = decode_volume(volume, dataset, given_mm)
    assert piece.spacing == (0.5, 0.5)
    assert target_size(piece, given_mm, "a.png") == (10, 20)
    without = DataConfig(spacing_mm=1.0)
    (piece,) = decode_volume(volume, dataset, without)
    with pytest.raises(DataError, match=r"a\.png: found a picture without a pixel size.*data\.pixel_spacing_mm"):
        target_size(piece, without, "a.png")


def test_even_an_absurd_enlargement_gives_a_square() -> None:
    config = DataConfig(longest_side=16 * 48 * 100, image_size=32)
    piece = decoded(noise(1, 48, 48), np.ones((1, 48, 48), np.uint8))
    plan = plane_plan(piece, config, "here")
    assert prepared_images(piece.images, plan, AS_IS, config).shape == (1, 1, 32, 32)
    assert plan.rows.shown == slice(0, 0)  # less than a pixel is seen, and no pixel's centre


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


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantom")
    write_phantom(root, PhantomConfig(num_patients=12, num_slices=3, num_frames=2, height=32, width=32))
    return root


@pytest.fixture
def rewritten(phantom: Path, tmp_path: Path) -> Callable[..., SliceStore]:
    """Open a copy of the phantom whose images went through a function of their file name and array."""

    def call(change: Callable[[str, Array], Array] = lambda _, array: array, **config: Any) -> SliceStore:
        root = tmp_path / f"copy{len(list(tmp_path.iterdir()))}"
        shutil.copytree(phantom, root)
        for path in sorted(root.rglob("*.nii.gz")):
            if not path.name.endswith("_gt.nii.gz"):
                image = nibabel.load(path)
                array = change(path.name, np.asarray(image.dataobj))
                header = image.header.copy()
                header.set_data_dtype(array.dtype)
                nibabel.save(nibabel.Nifti1Image(array, image.affine, header), path)
        return open_store(DataConfig.model_validate({"root": root, "image_size": 32} | config), tmp_path / "cache")

    return call


def test_constants_of_the_training_split_are_measured_on_it_alone(
    phantom: Path, rewritten: Callable[..., SliceStore]
) -> None:
    store = rewritten(intensity="training-percentiles")
    ((low, extent),) = store.summary["preprocessing"]["constants"]
    frames = [path for path in phantom.rglob("*_frame??.nii.gz") if path.parent.name[-1] not in "12"]
    voxels = np.concatenate([np.asarray(nibabel.load(path).dataobj).ravel() for path in frames])
    expected = np.percentile(voxels, [0.5, 99.5])
    assert len(frames) == 16
    assert (low, low + extent) == pytest.approx(tuple(expected), abs=2e-3 * float(np.ptp(voxels)))


def is_held_out(file: str) -> bool:
    """Whether the paper's split tests or validates a patient."""
    return file.removeprefix("patient")[2] in "12"


@pytest.mark.parametrize("intensity", ["volume-percentiles", "volume-zscore", "training-percentiles"])
def test_no_rule_lets_an_image_from_outside_the_training_split_change_a_training_slice(
    rewritten: Callable[..., SliceStore], intensity: str
) -> None:
    def brightened(file: str, array: Array) -> Array:
        return array.astype(np.int32) * (100 if is_held_out(file) or "_4d" in file else 1)

    store, brighter = rewritten(intensity=intensity), rewritten(brightened, intensity=intensity)
    train, test = store.rows("train"), store.rows("test")
    assert brighter.summary["preprocessing"]["constants"] == store.summary["preprocessing"]["constants"]
    np.testing.assert_array_equal(brighter.images[train], store.images[train])
    if intensity == "training-percentiles":
        assert (brighter.images[test] != store.images[test]).any()  # what was changed is seen


def test_images_of_held_out_patients_enter_no_pool_id(rewritten: Callable[..., SliceStore]) -> None:
    for rules in ({"spacing_mm": 3.0}, {"intensity": "training-percentiles"}):
        store = rewritten(**rules)
        other = rewritten(lambda file, array: array + 5 * is_held_out(file), **rules)
        assert other.pool_id == store.pool_id
        assert other.data_id != store.data_id


def test_the_type_that_an_image_is_saved_in_changes_nothing(rewritten: Callable[..., SliceStore]) -> None:
    types = (np.uint8, np.int16, np.int32, np.float32, np.float64)
    stores = [rewritten(lambda _, array, to=to: (array // 17).astype(to)) for to in types]
    assert len({(store.data_id, store.pool_id, store.content_id) for store in stores}) == 1
    for store in stores[1:]:
        np.testing.assert_array_equal(store.images, stores[0].images)
