"""The forms of NIfTI hold the same voxels."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from trainables_datasets import Written, decoded

from trainables.config import DataConfig


def rewritten(change: Callable[[nibabel.Nifti1Image], Any]) -> Callable[[Path], None]:
    return lambda path: nibabel.save(change(nibabel.load(path)), path)


def as_nifti_2(image: nibabel.Nifti1Image) -> nibabel.Nifti2Image:
    return nibabel.Nifti2Image(np.asarray(image.dataobj), image.affine)


def as_big_endian(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">f4")
    return nibabel.Nifti1Image(np.asarray(image.dataobj).astype(">f4"), image.affine, header)


def with_extension(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("afni", b"<AFNI_attributes/>" * 1000))
    return image


def as_frames(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image(np.asarray(image.dataobj)[..., None], image.affine)


@pytest.mark.parametrize(
    "change", [as_nifti_2, as_big_endian, with_extension, as_frames], ids=lambda change: change.__name__
)
def test_the_forms_of_nifti_hold_the_same_voxels(
    written: dict[str, Written], tmp_path: Path, change: Callable[[Any], Any]
) -> None:
    each = written["nnunet"]
    shutil.copytree(each.root, tmp_path / "data")
    rewritten(change)(tmp_path / "data" / "imagesTr" / "patient001_ED_0000.nii.gz")
    rewritten(change)(tmp_path / "data" / "labelsTr" / "patient001_ED.nii.gz")
    piece = decoded(DataConfig(root=tmp_path / "data", **each.rules))
    np.testing.assert_array_equal(piece.images, each.truth[0].images)
    np.testing.assert_array_equal(piece.labels, each.truth[0].labels)
    assert piece.spacing == pytest.approx((1.25, 1.5))


def test_a_file_of_several_gzip_streams_is_read_whole(written: dict[str, Written], tmp_path: Path) -> None:
    each = written["nnunet"]
    shutil.copytree(each.root, tmp_path / "data")
    path = tmp_path / "data" / "imagesTr" / "patient001_ED_0000.nii.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(b"".join(gzip.compress(part) for part in (content[:600], content[600:])) + bytes(512))
    piece = decoded(DataConfig(root=tmp_path / "data", **each.rules))
    np.testing.assert_array_equal(piece.images, each.truth[0].images)


def test_slope_and_intercept_are_applied(written: dict[str, Written], tmp_path: Path) -> None:
    each = written["nnunet"]
    shutil.copytree(each.root, tmp_path / "data")
    path = tmp_path / "data" / "imagesTr" / "patient001_ED_0000.nii.gz"
    content = nibabel.load(path)
    content.header.set_slope_inter(0.5, -3)
    raw = content.header.binaryblock + b"\0" * 4 + np.asarray(content.dataobj).tobytes(order="F")
    path.with_suffix("").write_bytes(raw)
    expected = nibabel.load(path.with_suffix("")).get_fdata()
    path.unlink()
    shutil.move(path.with_suffix(""), path)  # uncompressed under a compressed name is read by its content
    piece = decoded(DataConfig(root=tmp_path / "data", **each.rules))
    np.testing.assert_array_equal(piece.images[:, 0], expected.transpose(2, 1, 0))
