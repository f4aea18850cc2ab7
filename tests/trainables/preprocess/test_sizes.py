"""The size after resampling and the spacing that is stored follow from the pixels and the config."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainables.preprocess.planes import decoded, noise
from trainables.config import DataConfig
from trainables.data.dataset import DataError, Dataset, Piece, Volume
from trainables.data.decode import decode_volume
from trainables.data.decoded import stored_spacing
from trainables.data.preprocess import prepared_spacing, target_size


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
