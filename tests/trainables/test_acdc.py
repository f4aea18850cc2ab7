"""The ACDC reader on small files with ACDC's traps, and each kind of broken input."""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from trainables.data.acdc import DataError, decode, decode_pair, find_cines, read_patients


def write(path: Path, array: np.ndarray, spacing: tuple[float, ...] = (1.5, 1.25, 10.0)) -> None:
    """Write a NIfTI whose affine claims 1 mm while pixdim has the spacing, as ACDC's files do."""
    image = nibabel.Nifti1Image(array, np.eye(4))
    image.header.set_zooms((*spacing, 0.05)[: array.ndim])
    nibabel.save(image, path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One patient: 3 slices of 6 rows and 5 columns, end-diastole in frame 4."""
    folder = tmp_path / "training" / "patient007"
    folder.mkdir(parents=True)
    (folder / "Info.cfg").write_text("ED: 4\nES: 11\nGroup: MINF\nNbFrame: 12\n")
    values = np.arange(90, dtype=np.int16).reshape(5, 6, 3)
    for frame in ("04", "11"):
        write(folder / f"patient007_frame{frame}.nii.gz", values)
        write(folder / f"patient007_frame{frame}_gt.nii.gz", (values % 4).astype(np.uint8))
    write(folder / "patient007_4d.nii.gz", np.stack([values + 100 * frame for frame in range(12)], -1).astype(np.int16))
    return tmp_path / "training"


def test_a_patient_has_its_info_its_frames_and_its_cine(root: Path) -> None:
    (patient,) = read_patients(root)
    assert (patient.name, patient.number, patient.group) == ("patient007", 7, "MINF")
    assert [(frame.phase, frame.image.name) for frame in patient.frames] == [
        ("ED", "patient007_frame04.nii.gz"),
        ("ES", "patient007_frame11.nii.gz"),
    ]
    assert patient.cine is not None


def test_slices_come_first_rows_second_and_spacing_from_pixdim_not_the_affine(root: Path) -> None:
    slices, spacing = decode(root / "patient007" / "patient007_frame04.nii.gz")
    assert slices.shape == (3, 6, 5)
    assert slices[2, 1, 4] == 4 * 18 + 1 * 3 + 2  # column 4, row 1, slice 2 of the file
    assert spacing == (1.25, 1.5)


def test_a_cine_becomes_all_its_slices_and_frames(root: Path) -> None:
    slices, _ = decode(root / "patient007" / "patient007_4d.nii.gz")
    assert slices.shape == (36, 6, 5)
    frame_3_of_slice_0 = next(index for index in range(36) if slices[index, 0, 0] == 300)
    assert slices[frame_3_of_slice_0, 1, 0] == 303


def test_image_and_mask_keep_their_alignment(root: Path) -> None:
    folder = root / "patient007"
    slices, labels, _ = decode_pair(folder / "patient007_frame04.nii.gz", folder / "patient007_frame04_gt.nii.gz")
    assert (labels == slices % 4).all()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip_bits(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def add_label_4(path: Path) -> None:
    write(path, np.full((5, 6, 3), 4, np.uint8))


def use_another_shape(path: Path) -> None:
    write(path, np.zeros((5, 6, 2), np.uint8))


def use_half_labels(path: Path) -> None:
    write(path, np.full((5, 6, 3), 0.5, np.float32))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"patient007_frame04_gt\.nii\.gz cannot be read as NIfTI"),
        (flip_bits, r"patient007_frame04_gt\.nii\.gz"),
        (add_label_4, r"holds label values \[4\.0\]; expected only 0, 1, 2 and 3"),
        (use_half_labels, r"holds label values \[0\.5\]"),
        (use_another_shape, r"has shape \(5, 6, 2\), its image patient007_frame04\.nii\.gz has \(5, 6, 3\)"),
    ],
)
def test_a_damaged_mask_is_refused_by_name(root: Path, damage: Callable[[Path], None], message: str) -> None:
    mask = root / "patient007" / "patient007_frame04_gt.nii.gz"
    damage(mask)
    with pytest.raises(DataError, match=message):
        decode_pair(mask.with_name("patient007_frame04.nii.gz"), mask)


def test_values_that_are_not_finite_are_refused(root: Path) -> None:
    path = root / "patient007" / "patient007_frame04.nii.gz"
    write(path, np.full((5, 6, 3), np.nan, np.float32))
    with pytest.raises(DataError, match="holds NaN or infinite values"):
        decode(path)


def test_a_header_that_claims_an_absurd_size_is_refused_before_memory_is_asked_for(root: Path) -> None:
    path = root / "patient007" / "absurd.nii"
    write(path, np.zeros((5, 6, 3), np.uint8))
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"has shape \(30000, 30000, 30000\)"):
        decode(path)


def test_a_damaged_header_is_refused_by_name(root: Path) -> None:
    path = root / "patient007" / "broken.nii"
    write(path, np.zeros((5, 6, 3), np.uint8))
    content = bytearray(path.read_bytes())
    content[70:72] = np.array([9999], "<i2").tobytes()  # the data type code
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.nii cannot be read as NIfTI"):
        decode(path)


def test_a_missing_mask_is_refused_by_name(root: Path) -> None:
    (root / "patient007" / "patient007_frame11_gt.nii.gz").unlink()
    with pytest.raises(DataError, match=r"mask .*patient007_frame11_gt\.nii\.gz is missing"):
        read_patients(root)


def test_a_damaged_patient_file_is_refused(root: Path) -> None:
    (root / "patient007" / "Info.cfg").write_text("ED: four\n")
    with pytest.raises(DataError, match="expected 'ED: <frame number>', found 'ED: four'"):
        read_patients(root)


def test_a_folder_that_does_not_exist_or_holds_no_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_patients(tmp_path / "nowhere")
    (tmp_path / "holiday").mkdir()
    with pytest.raises(
        DataError, match=r"holds no ACDC patients: expected folders named patient001, .*, found holiday"
    ):
        read_patients(tmp_path)


def test_an_unlabelled_folder_without_cines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "patient001").mkdir()
    with pytest.raises(DataError, match="holds no unlabelled cines"):
        find_cines(tmp_path)


def test_the_real_acdc_has_100_patients_and_1902_slices(real_acdc: Path) -> None:
    patients = read_patients(real_acdc)
    assert len(patients) == 100
    by_name = {patient.name: patient for patient in patients}
    assert "frame04" in by_name["patient090"].frames[0].image.name  # end-diastole is not always frame 1
    num_slices = sum(nibabel.load(frame.mask).shape[2] for patient in patients for frame in patient.frames)
    assert num_slices == 1902
