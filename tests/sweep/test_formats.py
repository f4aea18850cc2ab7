"""The same cases in another format are the same cells, with the same numbers."""

import json
import shutil
from pathlib import Path

import pytest

from sweep.experiment import Experiment, load_preset
from sweep.inputs import read_inputs
from sweep.plan import Plan, build_plan
from trainables.config import DataConfig
from trainables.data.readers import read_dataset
from trainables.data.slices import locate
from trainables.finetune import run_cell
from trainables.results import open_results

TIMES = {"train_seconds", "validation_seconds", "test_seconds", "wall_seconds", "finished_at"}


@pytest.fixture(scope="module")
def acdc(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke preset's phantom in ACDC's layout, without its cines, which nnU-Net has no place for."""
    root = tmp_path_factory.mktemp("formats") / "acdc"
    rendered = locate(load_preset("smoke").data, cache).root
    assert rendered is not None
    shutil.copytree(rendered, root, ignore=shutil.ignore_patterns("*_4d*"))
    return root


@pytest.fixture(scope="module")
def nnunet(acdc: Path) -> Path:
    """The same files as an nnU-Net v2 dataset, and a table of patients and phases."""
    root = acdc.parent / "Dataset001_Heart"
    rows = ["case,patient,phase,group"]
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    volumes = read_dataset(DataConfig(format="acdc", root=acdc)).volumes
    for volume in volumes:
        (piece,) = volume.pieces
        assert piece.mask is not None
        shutil.copy(piece.images[0], root / "imagesTr" / f"{volume.name}_0000.nii.gz")
        shutil.copy(piece.mask, root / "labelsTr" / f"{volume.name}.nii.gz")
        rows.append(f"{volume.name},{volume.patient},{volume.phase},{volume.group}")
    content = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "RV": 1, "MYO": 2, "LV": 3}}
    (root / "dataset.json").write_text(json.dumps(content | {"numTraining": len(volumes), "file_ending": ".nii.gz"}))
    (root / "cases.csv").write_text("\n".join(rows) + "\n")
    return root


def planned(root: Path, cache: Path, results: Path) -> tuple[Experiment, Plan]:
    experiment = load_preset("smoke", [f"data.root={root}", "data.split=paper", f"compute.cache={cache}"])
    return experiment, build_plan(experiment, read_inputs(experiment), open_results(results))


def test_a_dataset_rewritten_for_nnunet_asks_for_the_same_stages_and_cells(
    acdc: Path, nnunet: Path, cache: Path, tmp_path: Path
) -> None:
    (_, one), (_, two) = (planned(root, cache, tmp_path / root.name) for root in (acdc, nnunet))
    assert [cell.job.cell_id for cell in one.cells] == [cell.job.cell_id for cell in two.cells]
    assert [stage.stage_id for stage in one.stages] == [stage.stage_id for stage in two.stages]


def test_a_cell_has_the_same_numbers_in_both_formats(acdc: Path, nnunet: Path, cache: Path, tmp_path: Path) -> None:
    results = [run_cell(planned(root, cache, tmp_path / root.name)[1].cells[0].job) for root in (acdc, nnunet)]
    one, two = ({key: value for key, value in each.cell.items() if key not in TIMES} for each in results)
    assert one == two
    counts = [
        [(row["patient"], row["phase"], row["class_index"], row["true_positives"]) for row in each.cases]
        for each in results
    ]
    assert counts[0] == counts[1]
    assert {row["class_name"] for row in results[1].cases} == {"RV", "MYO", "LV"}
