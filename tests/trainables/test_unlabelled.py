"""The unlabelled pool: whose images they are, and what never enters."""

from collections.abc import Collection
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from trainables_datasets import DRAWN, PIXELS, Written, read

from trainables.config import DataConfig
from trainables.data.cases import Exclusion
from trainables.data.dataset import DataError, Problem, Volume
from trainables.data.pool import admitted, find_unlabelled
from trainables.data.readers.unlabelled import read_volumes
from trainables.data.slices import open_store


def read_unlabelled(
    root: Path, num_channels: int, config: DataConfig, patients: Collection[str] = ()
) -> tuple[Volume, ...]:
    """List the volumes, which are all of clear patients."""
    problems: list[Problem] = []
    volumes = read_volumes(root, num_channels, config, patients, Exclusion(config.exclude), problems)
    if problems:
        raise DataError(*problems)
    return volumes


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 900, (3, 12, 10)).astype(np.int16)


def test_cines_in_folders_named_by_patient_are_a_pool(tmp_path: Path, datasets: ModuleType, volume: np.ndarray) -> None:
    for patient in ("patient901", "patient902"):
        datasets.save_nifti(tmp_path / patient / "cine.nii.gz", np.stack([volume, volume + 1], -1))
        datasets.save_nifti(tmp_path / patient / "deep" / "late.nii.gz", volume)
        datasets.save_nifti(tmp_path / patient / "late_gt.nii.gz", volume)
        datasets.save_nifti(tmp_path / patient / "masks" / "late.nii.gz", volume)
    found = read_unlabelled(tmp_path, 1, DataConfig())
    assert [(each.name, each.patient) for each in found] == [
        ("patient901/cine", "patient901"),
        ("patient901/deep/late", "patient901/deep"),  # no labelled patient: the folder it lies in
        ("patient902/cine", "patient902"),
        ("patient902/deep/late", "patient902/deep"),
    ]
    found = read_unlabelled(tmp_path, 1, DataConfig(), {"patient901", "patient902"})
    assert [each.patient for each in found] == ["patient901"] * 2 + ["patient902"] * 2


def test_the_patient_of_a_flat_folder_is_what_the_pattern_finds(
    tmp_path: Path, datasets: ModuleType, volume: np.ndarray
) -> None:
    for name in ("p7_a", "p7_b", "p8_a"):
        datasets.save_nifti(tmp_path / f"{name}.nii.gz", volume)
    found = read_unlabelled(tmp_path, 1, DataConfig(patient_pattern="(p[0-9])_"))
    assert [each.patient for each in found] == ["p7", "p7", "p8"]
    assert [each.patient for each in read_unlabelled(tmp_path, 1, DataConfig())] == ["p7_a", "p7_b", "p8_a"]


def test_channel_numbers_are_no_part_of_an_unlabelled_name(
    tmp_path: Path, datasets: ModuleType, volume: np.ndarray
) -> None:
    for name in ("one_0000", "two_0000", "two_0001"):
        datasets.save_nifti(tmp_path / "imagesTs" / f"{name}.nii.gz", volume)
    one, two = read_unlabelled(tmp_path, 2, DataConfig())
    assert (one.patient, [path.name for path in one.images]) == ("one", ["one_0000.nii.gz"])  # not the folder's name
    assert (two.patient, len(two.pieces), len(two.images)) == ("two", 1, 2)


def test_numbered_pictures_are_slices_and_not_channels(tmp_path: Path, datasets: ModuleType) -> None:
    for number in range(5):
        datasets.save_picture(tmp_path / "p1" / f"image_{number:04d}.png", PIXELS[..., :3])
    (found,) = read_unlabelled(tmp_path, 3, DataConfig())
    assert [len(piece.images) for piece in found.pieces] == [1] * 5


def test_linked_patient_folders_are_in_the_pool_and_excluded_ones_are_not(
    tmp_path: Path, datasets: ModuleType, volume: np.ndarray
) -> None:
    for patient in ("p1", "p2"):
        datasets.save_nifti(tmp_path / "store" / patient / "cine.nii.gz", volume)
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "p1").symlink_to(tmp_path / "store" / "p1")
    (tmp_path / "pool" / "p2").symlink_to(tmp_path / "store" / "p2")
    assert [each.patient for each in read_unlabelled(tmp_path / "pool", 1, DataConfig())] == ["p1", "p2"]
    assert [each.patient for each in read_unlabelled(tmp_path / "pool", 1, DataConfig(exclude=("p1",)))] == ["p2"]


def test_volumes_of_the_labelled_set_enter_the_pool_once(written: dict[str, Written], tmp_path: Path) -> None:
    each = written["nnunet"]
    alone = open_store(each.config(), tmp_path / "cache")
    again = open_store(each.config(unlabelled_root=each.root), tmp_path / "cache")
    assert again.summary["num_slices"] == alone.summary["num_slices"]
    assert again.pool_id == alone.pool_id


@pytest.mark.parametrize(
    ("name", "pattern", "patient"),
    [
        ("batch1/p03_slice05", r"(p\d+)_", "p03"),  # the pattern on the file's name
        ("training/p03/x", None, "p03"),  # a folder of a labelled patient
        ("p03/deep/x", None, "p03"),
        ("batch1/p03", None, "p03"),  # the file's name
        ("p03/slice_05", "([^_]+)_", "p03"),  # a labelled patient before what the pattern finds
        ("batch1/p99/x_1", r"batch\d/(p\d+)", "p99"),  # the pattern on the path
        ("training/p99/x", None, "training/p99"),  # the folder it lies in
        ("p99/imagesTs/x", None, "x"),
        ("p03_frame02", None, "p03"),  # a labelled patient within the name
        ("P3/x", None, "p03"),  # in another spelling
        ("batch1/P-3_slice05", r"(P-\d+)_", "p03"),  # the pattern's finding in another spelling
        ("p030_frame02", None, "p030_frame02"),
    ],
)
def test_the_patient_of_an_unlabelled_image(tmp_path: Path, name: str, pattern: str | None, patient: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(DRAWN).save(tmp_path / f"{name}.png")
    (found,) = read_unlabelled(tmp_path, 1, DataConfig(patient_pattern=pattern), {"p03"})
    assert found.patient == patient


def test_unlabelled_pictures_gather_within_a_folder(tmp_path: Path, datasets: ModuleType) -> None:
    for name in ("a/p1_1", "a/p1_2", "b/p1_1"):
        datasets.save_picture(tmp_path / f"{name}.png", DRAWN)
    found = read_unlabelled(tmp_path, 1, DataConfig(patient_pattern="(p1)_"))
    assert [(each.patient, each.name, len(each.pieces)) for each in found] == [("p1", "a/p1_1", 2), ("p1", "b/p1_1", 1)]


def test_the_table_says_whose_unlabelled_images_are(
    written: dict[str, Written], tmp_path: Path, datasets: ModuleType
) -> None:
    for name in ("x/8f3a", "x/77b2", "x/c.1"):
        datasets.save_picture(tmp_path / "more" / f"{name}.png", DRAWN)
    rows = [(scan.case, scan.patient, scan.phase) for scan in written["nnunet"].truth]
    rows += [("x/8f3a", "patient001"), ("77b2", "patient002"), ("c.1", "patient003")]
    datasets.save_table(tmp_path / "who.csv", ("case", "patient", "phase"), rows)
    config = written["nnunet"].config(cases_csv=tmp_path / "who.csv", patient_pattern="(.+)")
    found = {each.name: each.patient for each in read_unlabelled(tmp_path / "more", 1, config)}
    assert found == {"x/8f3a": "patient001", "x/77b2": "patient002", "x/c.1": "patient003"}


@pytest.mark.parametrize(
    "name",
    [
        *("patient002_frame09", "Patient002/cine", "patient_002/cine", "site/PATIENT 2/x", "patient2"),
        *("patient/002/cine", "sa_patient002_4d", "imagesTs/patient002-late_0000"),
    ],
)
def test_no_image_that_tells_a_held_out_patient_is_pretrained_on(
    written: dict[str, Written], tmp_path: Path, datasets: ModuleType, volume: np.ndarray, name: str
) -> None:
    """Another frame of a patient: no fingerprint can tell whose it is."""
    root = tmp_path / "more"
    datasets.save_nifti(root / f"{name}.nii.gz", volume)
    datasets.save_nifti(root / "patient003_frame09.nii.gz", volume + 1)
    config = written["acdc"].config(unlabelled_root=root)  # of which 1 tests and 2 validates
    alone, store = (open_store(each, tmp_path / "cache") for each in (written["acdc"].config(), config))
    assert store.summary["num_patients"]["pool"] == alone.summary["num_patients"]["pool"]
    assert store.summary["num_slices"]["pool"] == alone.summary["num_slices"]["pool"] + len(volume)  # patient003's
    left_out = f"({name.removesuffix('_0000')} = patient002) are of patients of validation or test"
    assert any(left_out in warning for warning in store.summary["warnings"])
    assert not any("not among the labelled" in warning for warning in store.summary["warnings"])


def test_a_name_that_tells_two_patients_is_refused_until_a_pattern_says_which(
    written: dict[str, Written], tmp_path: Path, datasets: ModuleType, volume: np.ndarray
) -> None:
    root = tmp_path / "more"
    for name in ("patient001_on_patient003", "patient003_on_patient001", "patient004_on_itself"):
        datasets.save_nifti(root / f"{name}.nii.gz", volume)
    config = written["acdc"].config(unlabelled_root=root)
    with pytest.raises(DataError) as error:
        open_store(config, tmp_path / "cache")
    (problem,) = error.value.problems
    assert problem.where == str(root / "patient001_on_patient003.nii.gz")
    assert problem.found == "a name that tells 2 patients, patient001 and patient003 (so in 2 files)"
    assert "data.patient_pattern" in problem.remedy
    told = config.model_copy(update={"patient_pattern": r"(patient\d+)_on"})
    assert [name for name in pooled(told) if "_on_" in name] == [
        "patient001_on_patient003",
        "patient003_on_patient001",
        "patient004_on_itself",
    ]
    excluded = config.model_copy(update={"exclude": ("patient001_on_patient003", "patient003_on_patient001")})
    assert [name for name in pooled(excluded) if "_on_" in name] == ["patient004_on_itself"]


@pytest.mark.parametrize(("excluded", "left"), [("patient003", ["b"]), ("a_scan", ["b", "patient003_frame09"])])
def test_an_excluded_patient_is_known_within_names_and_other_words_are_not(
    tmp_path: Path, datasets: ModuleType, volume: np.ndarray, excluded: str, left: list[str]
) -> None:
    for name in ("a_scan", "b", "patient003_frame09"):
        datasets.save_nifti(tmp_path / f"{name}.nii.gz", volume)
    found = read_unlabelled(tmp_path, 1, DataConfig(exclude=(excluded,)))
    assert [each.name for each in found] == ([] if excluded == "a_scan" else ["a_scan"]) + left


@pytest.mark.parametrize("pattern", [None, r"(patient\d+)"])
def test_an_excluded_case_is_left_out_of_a_pool_in_which_it_lies_in_its_patients_folder(
    written: dict[str, Written], tmp_path: Path, datasets: ModuleType, volume: np.ndarray, pattern: str | None
) -> None:
    root = tmp_path / "more"
    for name in ("patient001_frame01", "patient001_frame09", "scan"):
        datasets.save_nifti(root / "patient001" / f"{name}.nii.gz", volume)
    config = written["acdc"].config(unlabelled_root=root, exclude=("patient001_frame01",), patient_pattern=pattern)
    names = [name for name in pooled(config) if name.startswith("patient001/")]
    assert names == ["patient001/patient001_frame09", "patient001/scan"]


def test_an_excluded_number_is_a_patient_and_no_slice_of_others(tmp_path: Path, datasets: ModuleType) -> None:
    for name in ("1/1", "1/2", "7/1", "7/2"):
        datasets.save_picture(tmp_path / f"{name}.png", DRAWN)
    (found,) = read_unlabelled(tmp_path, 1, DataConfig(exclude=("1",)), {"7"})
    assert (found.patient, len(found.pieces)) == ("7", 2)


@pytest.mark.parametrize(
    ("name", "pattern", "patient"),
    [
        ("7/1/im", r"^(\d+)/", "7"),
        ("patient7/1/im", None, "7"),
        ("anna/1/2/im", "^([a-z]+)/", "anna"),  # labelled or not
        ("anna/1/im", "^([a-z]+)/", "anna"),
        ("77/1/im", r"^(\d+)/", "77"),
        ("anna/1_a/p2/im", "^([a-z]+)/", "anna"),
        ("site/bob/1/im", "site/(?P<patient>[a-z]+)/", "bob"),
        ("patient7/33_1", r"(\d+)_", "7"),  # one is told, and what the pattern finds is no folder above
        ("from_p7/to_p8", r"(from_p\d)/", "7"),  # the pattern finds a name that tells one
    ],
)
def test_a_pattern_settles_whose_an_image_is_where_numbers_could_tell_others(
    tmp_path: Path, name: str, pattern: str | None, patient: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(DRAWN).save(tmp_path / f"{name}.png")
    (found,) = read_unlabelled(tmp_path, 1, DataConfig(patient_pattern=pattern), set(map(str, range(1, 11))))
    assert found.patient == patient


def test_a_pattern_that_finds_a_name_of_two_patients_settles_nothing(tmp_path: Path, datasets: ModuleType) -> None:
    datasets.save_picture(tmp_path / "p1_moved_to_p2_late.png", DRAWN)
    with pytest.raises(DataError, match="tells 2 patients, p1 and p2"):
        read_unlabelled(tmp_path, 1, DataConfig(patient_pattern="(.+)_[^_]*$"), {"p1", "p2"})


def pooled(config: DataConfig) -> list[str]:
    dataset = read(config)
    parts = {volume.patient: "train" for volume in dataset.volumes}
    elsewhere, problems = find_unlabelled(dataset, config)
    assert not problems
    return [volume.name for volume in admitted(dataset, elsewhere, parts, config)[0]]


def test_masks_are_never_in_the_pool(written: dict[str, Written], tmp_path: Path, datasets: ModuleType) -> None:
    for folder in ("Mask", "label", "labelsTr", "labelsTs", "annotations", "segmentations"):
        datasets.save_picture(tmp_path / folder / "a.png", DRAWN)
    for name in ("a_seg", "b/mask", "c/Label"):
        datasets.save_picture(tmp_path / f"{name}.png", DRAWN)
    datasets.save_picture(tmp_path / "a.png", DRAWN)
    assert [each.name for each in read_unlabelled(tmp_path, 1, DataConfig())] == ["a"]
    assert pooled(written["table"].config(unlabelled_root=written["table"].root)) == []  # drawn/ is no known name


def test_an_unlabelled_slice_volume_or_patient_can_be_excluded(
    written: dict[str, Written], tmp_path: Path, datasets: ModuleType, volume: np.ndarray
) -> None:
    for name in ("p1/1.png", "p1/2.png", "p2/1.png"):
        datasets.save_picture(tmp_path / name, DRAWN)
    datasets.save_nifti(tmp_path / "p3" / "cine.nii.gz", volume)
    config = written["nnunet"].config(unlabelled_root=tmp_path)
    assert pooled(config) == ["p1/1", "p2/1", "p3/cine"]
    assert pooled(config.model_copy(update={"exclude": ("p1/1", "p2", "p3/cine", "patient003")})) == ["p1/2"]
