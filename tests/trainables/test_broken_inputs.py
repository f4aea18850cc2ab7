"""Every kind of broken input that people have: each is refused by name, with found, expected and what to do."""

import gzip
import os
import re
import resource
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from tests.trainables.broken_inputs.corpus import BROKEN, BY_NAME
from tests.trainables.broken_inputs.damages import (
    Broken,
    as_folder,
    both,
    copy,
    cut,
    flip,
    put,
    remove,
    set_voxels,
    write_text,
)
from tests.trainables.broken_inputs.places import IMAGE, INFO, PICTURE
from trainables.config import DataConfig, NaturalConfig
from trainables.data.__main__ import main
from trainables.data.dataset import DataError, Problem
from trainables.data.inspection import inspect
from trainables.data.natural import open_natural
from trainables.data.nifti import claimed_bytes as claimed_nifti_bytes
from trainables.data.nifti import read_nifti
from trainables.data.raster import claimed_bytes as claimed_raster_bytes
from trainables.data.raster import read_raster
from trainables.data.slices import open_store


@dataclass(frozen=True)
class Templates:
    """Valid sets, each written once, and what their configs need."""

    folder: Path
    rules: dict[str, dict[str, Any]]

    def damaged(self, broken: Broken, work: Path) -> DataConfig:
        root = work / "data"
        shutil.copytree(self.folder / broken.base, root)
        broken.damage(root)
        settings = {key: work / each if isinstance(each, Path) else each for key, each in broken.settings.items()}
        return DataConfig(root=root, image_size=32, **self.rules[broken.base] | settings)


@pytest.fixture(scope="module")
def templates(datasets: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Templates:
    folder = tmp_path_factory.mktemp("valid")
    return Templates(folder, {name: datasets.write(name, folder / name) for name in datasets.LAYOUTS})


def is_described(problem: Problem, broken: Broken) -> bool:
    pairs = ((broken.found, problem.found), (broken.expected, problem.expected), (broken.remedy, problem.remedy))
    return problem.where.endswith(broken.where) and all(re.search(*pair) for pair in pairs)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # pillow warns of a cut TIF before it refuses it
def test_a_broken_input_is_listed_and_refused(broken: Broken, templates: Templates, tmp_path: Path) -> None:
    config = templates.damaged(broken, tmp_path)
    problems = inspect(config, tmp_path / "cache").problems
    assert any(is_described(problem, broken) for problem in problems), "\n".join(map(str, problems))
    assert all((each.where, each.found, each.expected, each.remedy) for each in problems)
    assert len(problems) == broken.count, "\n".join(map(str, problems))
    with pytest.raises(DataError, match=re.escape(broken.where)):
        open_store(config, tmp_path / "cache")
    assert not [path for path in tmp_path.glob("cache/split-*") if path.is_dir()]


@pytest.mark.parametrize("name", ["absurd shape", "17 GB claimed", "five dimensions", "gzip bomb", "absurd PNG"])
def test_a_header_that_claims_too_much_takes_no_memory(name: str, templates: Templates, tmp_path: Path) -> None:
    config = templates.damaged(BY_NAME[name], tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB; pillow's memory is not traced
    tracemalloc.start()
    assert inspect(config).problems
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * 2**20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 2**10


def test_ten_damages_of_one_set_are_all_listed_at_once(templates: Templates, tmp_path: Path) -> None:
    files = [
        f"patient{number}/patient{number}_frame{frame}" for number in ("003", "004", "010") for frame in ("04", "11")
    ]
    damages = {
        f"{files[0]}.nii.gz": cut(f"{files[0]}.nii.gz", -20),
        f"{files[0]}_gt.nii.gz": flip(f"{files[0]}_gt.nii.gz", -7),
        f"{files[1]}.nii.gz": cut(f"{files[1]}.nii.gz", 0),
        f"{files[1]}_gt.nii.gz": set_voxels(f"{files[1]}_gt.nii.gz", put(4, np.uint8)),
        f"{files[2]}.nii.gz": set_voxels(f"{files[2]}.nii.gz", put(np.nan)),
        f"{files[2]}_gt.nii.gz": set_voxels(f"{files[2]}_gt.nii.gz", lambda array: array[..., :2]),
        f"{files[3]}.nii.gz": set_voxels(f"{files[3]}.nii.gz", lambda array: array * 0),
        f"{files[4]}_gt.nii.gz": remove(f"{files[4]}_gt.nii.gz"),
        f"{files[5]}.nii.gz": as_folder(f"{files[5]}.nii.gz"),
        INFO.replace("003", "002"): write_text(INFO.replace("003", "002"), "ED: 4\nES: none\n"),
    }
    config = templates.damaged(Broken("ten", "acdc", both(*damages.values()), "", "", "", ""), tmp_path)
    listed = {problem.where.removeprefix(f"{tmp_path}/data/") for problem in inspect(config).problems}
    assert listed == damages.keys()
    without = {"exclude": ("patient002", "patient010"), "split": "fractions"}  # leaves what only decoding finds
    config = config.model_copy(update=without)
    with pytest.raises(DataError, match=r"^7 problems in the data") as error:
        open_store(config, tmp_path / "cache")
    left = {name for name in damages if not name.startswith(("patient002", "patient010"))}
    assert {problem.where.removeprefix(f"{tmp_path}/data/") for problem in error.value.problems} == left


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("no mask", "patient002_frame04"),
        ("truncated gzip", "patient002_frame04"),
        ("no case mask", "patient002_ED"),
        ("missing first channel", "patient002_ED"),
        ("no picture mask", "patient002_ED_9"),
        ("both endings of a picture", "patient002_ED_9"),
        ("two masks of an image", "patient002_ED_9"),
        ("listed image is missing", "patient002_ED"),
        ("row to a missing file", "pixels/3"),
        ("mask of an unnamed frame", "patient002_frame09"),
        ("case mask of another ending", "patient002_ED"),
        ("unlisted mask", "zz"),
        ("unlisted pair", "zz"),
    ],
)
def test_what_is_wrong_with_an_excluded_case_is_no_problem(
    name: str, case: str, templates: Templates, tmp_path: Path
) -> None:
    config = templates.damaged(BY_NAME[name], tmp_path).model_copy(update={"exclude": (case,)})
    assert not inspect(config).problems
    assert open_store(config, tmp_path / "cache").num_classes == 4


@pytest.mark.parametrize("layout", ["acdc", "nnunet", "nnunet-png", "decathlon", "folder", "table"])
def test_a_name_to_exclude_that_nothing_has_is_a_problem(layout: str, templates: Templates, tmp_path: Path) -> None:
    config = templates.damaged(Broken("", layout, lambda root: None, "", "", "", ""), tmp_path)
    config = config.model_copy(update={"exclude": ("patient003", "patient04", "Patient010")})
    problems = inspect(config, tmp_path / "cache").problems
    assert [problem.where for problem in problems] == [str(config.root)] * 2
    for problem, name, nearest in zip(problems, ("patient04", "Patient010"), ("patient004", "patient010"), strict=True):
        assert f"'{name}'" in problem.found
        assert problem.expected.endswith(f"such as {nearest}")
    with pytest.raises(DataError, match=r"data\.exclude with 'patient04'"):
        open_store(config, tmp_path / "cache")


def test_a_problem_that_two_readings_find_is_listed_once(templates: Templates, tmp_path: Path) -> None:
    config = templates.damaged(BY_NAME["truncated gzip"], tmp_path)
    found = inspect(config.model_copy(update={"intensity": "training-percentiles"}))
    assert [problem.where for problem in found.problems] == [str(tmp_path / "data" / IMAGE)]


@pytest.mark.parametrize("name", ["flipped at two thirds", "regions", "JPEG mask", "row to a missing file", "no root"])
def test_the_command_ends_with_1_and_names_the_place(
    name: str, templates: Templates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = BY_NAME[name]
    config = templates.damaged(broken, tmp_path)
    rules = [f"data.{key}='{value}'" for key, value in templates.rules[broken.base].items()]
    assert main([str(config.root), "image_size=32", *rules]) == 1
    printed = re.sub(r"[\s│]", "", capsys.readouterr().out)  # long paths are folded over the lines of a cell
    assert "1problem:nothingwouldbetrained" in printed
    assert re.sub(r"\s", "", broken.where) in printed


def test_more_named_classes_than_a_byte_holds_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    assert DataConfig(root=tmp_path, classes={f"c{value}": value for value in range(1, 256)}).classes
    with pytest.raises(ValueError, match=r"data\.classes: expected at most 255, found 256; merge classes"):
        DataConfig(root=tmp_path, classes={f"c{value}": value for value in range(1, 257)})


@pytest.mark.parametrize(
    ("base", "key", "value"),
    [
        *((base, "classes", {"a": 1}) for base in ("acdc", "nnunet", "decathlon")),
        ("acdc", "patient_pattern", r"patient(\d+)"),
        ("acdc", "cases_csv", Path("cases.csv")),
    ],
)
def test_a_field_that_the_format_does_not_read_is_refused(
    base: str, key: str, value: object, templates: Templates, tmp_path: Path
) -> None:
    config = templates.damaged(Broken("none", base, lambda root: None, "", "", "", ""), tmp_path)
    (problem,) = inspect(config.model_copy(update={key: value})).problems
    assert problem.found == f"data.{key} set for format {base}, which does not read it"
    assert problem.remedy == f"remove data.{key}"


def test_a_broken_training_image_hides_neither_the_pool_nor_patients_that_are_one(
    templates: Templates, tmp_path: Path
) -> None:
    other = "patient003/patient003_frame11.nii.gz"
    damages = both(copy(other, "patient001/patient001_frame11.nii.gz"), cut("patient003/patient003_frame04.nii.gz", 9))
    config = templates.damaged(Broken("three", "acdc", damages, "", "", "", ""), tmp_path)
    (tmp_path / "more" / "p9").mkdir(parents=True)
    (tmp_path / "more" / "p9" / "cine.nii.gz").write_bytes(b"")
    update = {"intensity": "training-percentiles", "unlabelled_root": tmp_path / "more"}
    problems = inspect(config.model_copy(update=update)).problems
    places = ["data/patient003/patient003_frame04.nii.gz", "more/p9/cine.nii.gz", "data"]
    assert [problem.where.removeprefix(f"{tmp_path}/") for problem in problems] == places
    assert "with 3 identical slices" in problems[-1].found


@pytest.mark.parametrize(
    ("settings", "where", "found"),
    [
        ({"split": "paper"}, "data", "leaves none for test"),
        ({"exclude": ("nobody",)}, "data", "'nobody', which nothing is called"),
        ({"split": "file", "split_file": Path("/nowhere/split.json")}, "/nowhere/split.json", "no split"),
    ],
)
def test_a_wrong_split_or_exclusion_hides_no_broken_file_of_the_pool(
    templates: Templates, tmp_path: Path, settings: dict[str, Any], where: str, found: str
) -> None:
    lacks_tests = settings.get("split") == "paper"
    damage = both(cut("patient003/patient003_frame04.nii.gz", 9), *([remove("patient001")] if lacks_tests else []))
    config = templates.damaged(Broken("split", "acdc", damage, "", "", "", ""), tmp_path)
    for name in ("p9/cine", "patient003_on_patient004"):
        (tmp_path / "more" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "more" / f"{name}.nii.gz").write_bytes(b"")
    update = {"unlabelled_root": tmp_path / "more", **settings}
    problems = inspect(config.model_copy(update=update)).problems
    places = {problem.where.removeprefix(f"{tmp_path}/"): problem.found for problem in problems}
    assert places.keys() == {
        *("data/patient003/patient003_frame04.nii.gz", "more/p9/cine.nii.gz"),
        *("more/patient003_on_patient004.nii.gz", where),
    }
    assert found in places[where]


def test_a_set_without_one_usable_case_hides_no_broken_file_of_the_pool(templates: Templates, tmp_path: Path) -> None:
    config = templates.damaged(BY_NAME["no labelsTr"], tmp_path)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.nii.gz").write_bytes(b"")
    config = config.model_copy(update={"unlabelled_root": tmp_path / "more", "exclude": ("nobody",)})
    places = [problem.where.removeprefix(f"{tmp_path}/") for problem in inspect(config).problems]
    assert places == ["data/labelsTr", "more/a.nii.gz"]


def test_nothing_that_could_be_decoded_leaves_only_what_is_wrong_with_the_files(
    templates: Templates, tmp_path: Path
) -> None:
    files = [path.relative_to(templates.folder / "acdc") for path in (templates.folder / "acdc").rglob("*_frame*")]
    damage = both(*(cut(str(path), 0) for path in files))
    config = templates.damaged(Broken("all", "acdc", damage, "", "", "", ""), tmp_path)
    assert len(inspect(config).problems) == len(files)


def test_the_valid_set_of_each_layout_ends_with_0(
    datasets: ModuleType, templates: Templates, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in datasets.LAYOUTS:
        rules = [f"{key}='{value}'" for key, value in templates.rules[name].items()]
        assert main([str(templates.folder / name), "image_size=32", *rules]) == 0, name
        assert "no problems found" in capsys.readouterr().out


def test_a_broken_link_among_natural_images_is_refused_by_name(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/1.png"):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(np.eye(20, dtype=np.uint8) * 200).save(tmp_path / name)
    (tmp_path / "dog" / "2.png").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"dog/2\.png: found a file that cannot be read .*; remove it or copy it again"):
        open_natural(NaturalConfig(source="folder", root=tmp_path), tmp_path / "cache")


def outcome(read: Callable[[Path], np.ndarray], path: Path, content: bytes) -> np.ndarray | None:
    """What is read of a damaged file, or None where it is refused; anything but a DataError is let through."""
    path.write_bytes(content)
    try:
        return read(path)
    except DataError:
        return None


def changed_bytes(content: bytes, stop: int) -> Iterator[bytes]:
    for index in range(stop):
        for value in {0, 0x7F, 0xFF, content[index] ^ 1} - {content[index]}:
            yield content[:index] + bytes([value]) + content[index + 1 :]


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")  # NaN in the affine
def test_no_byte_of_a_nifti_header_leads_to_another_error(templates: Templates, tmp_path: Path) -> None:
    whole = gzip.decompress((templates.folder / "acdc" / IMAGE).read_bytes())
    outcomes = [
        outcome(lambda path: read_nifti(path).array, tmp_path / "x.nii", each) for each in changed_bytes(whole, 352)
    ]
    sizes = [outcome(claimed_nifti_bytes, tmp_path / "x.nii", each) for each in changed_bytes(whole, 352)]
    assert any(found is None for found in outcomes)
    assert any(found is None for found in sizes)


def test_a_changed_byte_of_a_compressed_nifti_is_refused_or_changes_no_voxel(
    templates: Templates, tmp_path: Path
) -> None:
    path = templates.folder / "acdc" / IMAGE
    whole, truth = path.read_bytes(), np.asarray(nibabel.load(path).dataobj)
    for index in range(len(whole)):
        content = whole[:index] + bytes([whole[index] ^ 0x10]) + whole[index + 1 :]
        found = outcome(lambda path: read_nifti(path).array, tmp_path / "x.nii.gz", content)
        assert found is None or (found == truth).all(), index


def test_a_changed_byte_of_a_png_is_refused_or_changes_no_pixel(templates: Templates, tmp_path: Path) -> None:
    whole = (templates.folder / "folder" / PICTURE).read_bytes()
    truth = read_raster(templates.folder / "folder" / PICTURE)
    for content in changed_bytes(whole, len(whole)):
        found = outcome(read_raster, tmp_path / "x.png", content)
        assert found is None or (found == truth).all()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # pillow tells of tags that it skips
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_no_byte_of_a_tif_leads_to_another_error(tmp_path: Path, compression: str | None) -> None:
    Image.fromarray(np.arange(20, dtype=np.uint8).reshape(4, 5)).save(tmp_path / "whole.tif", compression=compression)
    whole = (tmp_path / "whole.tif").read_bytes()
    damaged = [*changed_bytes(whole, len(whole)), *(whole[:stop] for stop in range(len(whole)))]
    for read in (read_raster, claimed_raster_bytes):
        outcomes = [outcome(read, tmp_path / "x.tif", each) for each in damaged]
        assert any(found is None for found in outcomes)


def test_a_folder_that_cannot_be_listed_is_named(
    templates: Templates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may list every folder, so the refusal is made up."""
    config = templates.damaged(BY_NAME["coloured mask"], tmp_path)
    walk = os.walk

    def denied(top: str, **options: Any) -> Iterator[Any]:
        options["onerror"](PermissionError(13, "Permission denied", f"{top}/locked"))
        yield from walk(top, **options)

    monkeypatch.setattr("os.walk", denied)
    (problem,) = inspect(config).problems
    assert problem.where.endswith("locked")
    assert "cannot be listed (Permission denied)" in problem.found
