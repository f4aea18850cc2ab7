"""The phantom: ACDC's layout with its traps, and hearts that behave like the groups they are named after."""

from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from trainables.config import DataConfig, PhantomConfig
from trainables.data.decode import decode_volume
from trainables.data.phantom import Cine, group_of, render_patient, write_phantom
from trainables.data.readers import read_dataset

SPEC = PhantomConfig()
BACKGROUND, RIGHT, MYOCARDIUM, LEFT = range(4)


@pytest.fixture(scope="module")
def cines() -> list[Cine]:
    return [render_patient(SPEC, patient) for patient in range(1, 31)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "parent" / "training"
    write_phantom(folder, PhantomConfig(num_patients=6))
    return folder


def volume_ml(cine: Cine, frame: int, label: int) -> float:
    voxel_ml = SPEC.spacing_mm**2 * cine.slice_gap_mm / 1000
    return int(np.count_nonzero(cine.labels[..., frame - 1] == label)) * voxel_ml


def ejection(cine: Cine, label: int) -> float:
    return 1 - volume_ml(cine, cine.es_frame, label) / volume_ml(cine, cine.ed_frame, label)


def of_group(cines: list[Cine], group: str) -> list[Cine]:
    return [cine for cine in cines if cine.group == group]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_equal_seeds_write_equal_bytes_and_other_seeds_differ(tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        write_phantom(tmp_path / name, PhantomConfig(num_patients=3, seed=seed))
    first = contents(tmp_path / "first")
    assert len(first) == 3 * 6
    assert first == contents(tmp_path / "again")
    cine = "patient001/patient001_4d.nii.gz"
    assert first[cine] != contents(tmp_path / "other")[cine]


def test_a_patient_does_not_depend_on_how_many_there_are() -> None:
    few, many = (render_patient(PhantomConfig(num_patients=count), 2) for count in (3, 100))
    np.testing.assert_array_equal(few.images, many.images)
    np.testing.assert_array_equal(few.labels, many.labels)


def test_patients_of_one_seed_differ(cines: list[Cine]) -> None:
    assert len({cine.images.tobytes() for cine in cines}) == len(cines)


def test_files_and_info_keys_are_those_of_acdc(root: Path, cines: list[Cine]) -> None:
    for number, cine in enumerate(cines[:6], 1):
        name = f"patient{number:03d}"
        expected = {"Info.cfg", f"{name}_4d.nii.gz"}
        for frame in (cine.ed_frame, cine.es_frame):
            expected |= {f"{name}_frame{frame:02d}.nii.gz", f"{name}_frame{frame:02d}_gt.nii.gz"}
        assert {path.name for path in (root / name).iterdir()} == expected
        lines = (root / name / "Info.cfg").read_text().splitlines()
        assert [line.split(": ")[0] for line in lines] == ["ED", "ES", "Group", "Height", "NbFrame", "Weight"]
        assert lines[:3] == [f"ED: {cine.ed_frame}", f"ES: {cine.es_frame}", f"Group: {cine.group}"]
        assert lines[4] == "NbFrame: 10"


def test_the_acdc_reader_reads_every_patient(root: Path) -> None:
    config = DataConfig(root=root)
    dataset = read_dataset(config)
    assert (dataset.format, dataset.problems) == ("acdc", ())
    names = [f"patient{number:03d}" for number in range(1, 7)]
    assert [volume.patient for volume in dataset.volumes] == [name for name in names for _ in ("ED", "ES")]
    assert [volume.patient for volume in dataset.unlabelled] == names
    for volume in dataset.volumes:
        (piece,) = decode_volume(volume, dataset, config)
        assert piece.labels is not None
        assert piece.images[:, 0].shape == piece.labels.shape == (SPEC.num_slices, SPEC.height, SPEC.width)
        assert piece.spacing == pytest.approx((SPEC.spacing_mm, SPEC.spacing_mm))


def test_a_labelled_frame_is_a_frame_of_the_cine(root: Path, cines: list[Cine]) -> None:
    folder = root / "patient002"
    cine = np.asarray(nibabel.load(folder / "patient002_4d.nii.gz").dataobj)
    assert cine.shape == (SPEC.width, SPEC.height, SPEC.num_slices, SPEC.num_frames)
    for frame in (cines[1].ed_frame, cines[1].es_frame):
        image = np.asarray(nibabel.load(folder / f"patient002_frame{frame:02d}.nii.gz").dataobj)
        mask = np.asarray(nibabel.load(folder / f"patient002_frame{frame:02d}_gt.nii.gz").dataobj)
        np.testing.assert_array_equal(image, cine[..., frame - 1])
        np.testing.assert_array_equal(mask, cines[1].labels[..., frame - 1])
        assert (str(image.dtype), str(mask.dtype)) == ("int16", "uint8")


def test_the_affine_claims_one_millimetre_while_pixdim_is_right(root: Path, cines: list[Cine]) -> None:
    paths = list((root / "patient001").glob("*.nii.gz"))
    assert len(paths) == 5  # the cine, two frames and their masks
    for path in paths:
        image = nibabel.load(path)
        np.testing.assert_array_equal(np.abs(np.diag(image.affine)), 1)
        expected = (SPEC.spacing_mm, SPEC.spacing_mm, cines[0].slice_gap_mm)
        assert image.header.get_zooms()[:3] == pytest.approx(expected)


def test_end_diastole_is_not_always_the_first_frame(cines: list[Cine]) -> None:
    starts = [cine.ed_frame for cine in cines]
    assert starts.count(1) > len(cines) / 2
    assert max(starts) > 1
    assert all(1 <= cine.ed_frame < cine.es_frame <= SPEC.num_frames for cine in cines)


def test_the_left_ventricle_is_largest_at_ed_and_smallest_at_es(cines: list[Cine]) -> None:
    for cine in cines:
        volumes = [volume_ml(cine, frame, LEFT) for frame in range(1, SPEC.num_frames + 1)]
        assert volumes[cine.ed_frame - 1] == max(volumes)
        assert volumes[cine.es_frame - 1] == min(volumes) < 0.95 * max(volumes)


def test_groups_differ_in_function_and_size_as_their_definitions_say(cines: list[Cine]) -> None:
    left = {
        group: np.mean([ejection(c, LEFT) for c in of_group(cines, group)]) for group in ("NOR", "MINF", "DCM", "HCM")
    }
    assert left["DCM"] < left["MINF"] < left["NOR"] < left["HCM"]
    assert left["MINF"] < 0.4 < 0.55 < left["NOR"]  # Bernard et al. 2018, section II-A
    right = {group: np.mean([ejection(c, RIGHT) for c in of_group(cines, group)]) for group in ("NOR", "RV")}
    assert right["RV"] < right["NOR"]
    for label, group in ((LEFT, "DCM"), (RIGHT, "RV"), (MYOCARDIUM, "HCM")):
        means = {
            name: np.mean([volume_ml(c, c.ed_frame, label) for c in of_group(cines, name)]) for name in (group, "NOR")
        }
        assert means[group] > 1.2 * means["NOR"]


def test_the_wall_of_the_left_ventricle_keeps_its_volume(cines: list[Cine]) -> None:
    ratios = [volume_ml(c, c.es_frame, MYOCARDIUM) / volume_ml(c, c.ed_frame, MYOCARDIUM) for c in cines]
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)


def test_every_ten_patients_hold_each_group_twice_and_last_digits_cycle_through_all() -> None:
    for first in (1, 11, 21):
        groups = [group_of(patient) for patient in range(first, first + 10)]
        assert all(groups.count(group) == 2 for group in set(groups))
        assert len(set(groups)) == 5
    for digit in (1, 2):
        assert len({group_of(patient) for patient in range(digit, 50, 10)}) == 5


def test_labels_are_the_four_classes_and_some_slices_are_empty(cines: list[Cine]) -> None:
    empty = 0
    for cine in cines:
        np.testing.assert_array_equal(np.unique(cine.labels), [0, 1, 2, 3])
        for frame in (cine.ed_frame, cine.es_frame):
            empty += int(np.count_nonzero(~cine.labels[..., frame - 1].any(axis=(0, 1))))
    total = len(cines) * 2 * SPEC.num_slices
    assert 0.02 < empty / total < 0.25


def outer_edges(labels: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Count the left ventricle's neighbours in the plane: all, and those that are not myocardium."""
    others = wrong = 0
    for axis in (0, 1):
        for first, second in ((labels, np.roll(labels, 1, axis)), (labels, np.roll(labels, -1, axis))):
            edge = second[(first == LEFT) & (second != LEFT)]
            others += edge.size
            wrong += int(np.count_nonzero(edge != MYOCARDIUM))
    return others, wrong


def test_the_myocardium_encloses_the_left_ventricle(cines: list[Cine]) -> None:
    for cine in cines:
        others, wrong = outer_edges(cine.labels)
        assert others > 1000
        assert wrong == 0


def test_hearts_lie_within_the_image(cines: list[Cine]) -> None:
    for cine in cines:
        frame = np.concatenate([cine.labels[0].ravel(), cine.labels[-1].ravel(), cine.labels[:, 0].ravel()])
        border = np.concatenate([frame, cine.labels[:, -1].ravel()])
        assert np.count_nonzero(border) < 0.01 * np.count_nonzero(cine.labels)


def test_intensities_are_magnitudes_with_noise(cines: list[Cine]) -> None:
    for cine in cines:
        assert cine.images.dtype == np.int16
        assert cine.images.min() >= 0
        assert cine.images.max() > 100
        still = cine.images[0, -1, 0].astype(float)  # liver far from the heart: only noise changes it
        assert still.std() > 0


def test_blood_is_brighter_than_myocardium_but_no_threshold_serves_all_patients(cines: list[Cine]) -> None:
    blood, muscle = (
        np.array([np.median(cine.images[cine.labels == label]) for cine in cines]) for label in (LEFT, MYOCARDIUM)
    )
    assert (blood > 1.3 * muscle).all()
    assert muscle.max() > blood.min()


@pytest.mark.parametrize(
    "spec",
    [
        PhantomConfig(num_slices=3, num_frames=2, height=32, width=32, spacing_mm=4.0),
        PhantomConfig(num_slices=12, num_frames=25, height=90, width=70, spacing_mm=1.8, seed=7),
    ],
)
def test_other_sizes_keep_shape_and_all_classes(spec: PhantomConfig) -> None:
    cine = render_patient(spec, 1)
    assert cine.images.shape == cine.labels.shape == (spec.width, spec.height, spec.num_slices, spec.num_frames)
    assert cine.es_frame <= spec.num_frames
    np.testing.assert_array_equal(np.unique(cine.labels), [0, 1, 2, 3])
