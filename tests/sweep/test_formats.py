"""The same cases in another format are the same cells, with the same numbers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweep.data_efficiency import main
from sweep.exit_codes import DONE
from sweep.experiment import Experiment, load_preset
from sweep.inputs import read_inputs
from sweep.plan import Plan, build_plan
from trainables.config import DataConfig
from trainables.data.readers import read_dataset
from trainables.data.slices import locate, open_store
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
    """The same files as an nnU-Net v2 dataset."""
    root = acdc.parent / "Dataset001_Heart"
    rewrite(acdc, root)
    return root


def rewrite(acdc: Path, root: Path) -> None:
    """Write the cases of ACDC as an nnU-Net v2 dataset, and a table of patients and phases."""
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


def planned(root: Path, cache: Path, results: Path) -> tuple[Experiment, Plan]:
    experiment = load_preset("smoke", [f"data.root={root}", "data.split=paper", f"compute.cache={cache}"])
    return experiment, build_plan(experiment, read_inputs(experiment), open_results(results))


def test_a_dataset_rewritten_for_nnunet_asks_for_the_same_stages_and_cells(
    acdc: Path, nnunet: Path, cache: Path, tmp_path: Path
) -> None:
    (_, one), (_, two) = (planned(root, cache, tmp_path / root.name) for root in (acdc, nnunet))
    assert [cell.job.cell_id for cell in one.cells] == [cell.job.cell_id for cell in two.cells]
    assert [stage.stage_id for stage in one.stages] == [stage.stage_id for stage in two.stages]


def test_cells_have_the_same_numbers_in_both_formats(acdc: Path, nnunet: Path, cache: Path, tmp_path: Path) -> None:
    """Those that start from random weights, at every label count and seed."""
    plans = [planned(root, cache, tmp_path / root.name)[1] for root in (acdc, nnunet)]
    pairs = [pair for pair in zip(*(plan.cells for plan in plans), strict=True) if pair[0].job.axes["arm"] == "random"]
    assert len(pairs) == 4
    for pair in pairs:
        results = [run_cell(cell.job) for cell in pair]
        one, two = ({key: value for key, value in each.cell.items() if key not in TIMES} for each in results)
        assert one == two
        counts = [
            [(row["patient"], row["phase"], row["class_index"], row["true_positives"]) for row in each.cases]
            for each in results
        ]
        assert counts[0] == counts[1]
        assert {row["class_name"] for row in results[1].cases} == {"RV", "MYO", "LV"}


@pytest.mark.slow
def test_whole_sweeps_have_the_same_numbers_in_both_formats(
    acdc: Path, nnunet: Path, cache: Path, tmp_path: Path
) -> None:
    """Pretraining and all cells, each format into results of its own."""
    tables = []
    for root in (acdc, nnunet):
        results = tmp_path / root.name
        settings = [f"data.root={root}", "data.split=paper", f"compute.cache={cache}", "compute.device=cpu"]
        assert main(["--preset", "smoke", "--results", str(results), *settings, "--launcher", "serial"]) == DONE
        cells = pd.read_parquet(results / "cells").sort_values("cell_id").reset_index(drop=True)
        tables.append(cells.drop(columns=[name for name in cells if name in TIMES or name.endswith("seconds")]))
    assert len(tables[0]) == 36
    pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.slow
def test_the_real_acdc_rewritten_for_nnunet_is_the_same_data(real_acdc: Path, tmp_path: Path) -> None:
    """Every case, without the cines."""
    for path in real_acdc.glob("patient*/*"):
        if "_4d" not in path.name:
            (tmp_path / "acdc" / path.parent.name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "acdc" / path.parent.name / path.name).symlink_to(path)
    rewrite(tmp_path / "acdc", tmp_path / "nnunet")
    one, two = (
        open_store(DataConfig(root=tmp_path / name, image_size=224, split="paper"), tmp_path / "cache")
        for name in ("acdc", "nnunet")
    )
    assert one.folder != two.folder
    assert (one.content_id, one.data_id, one.pool_id) == (two.content_id, two.data_id, two.pool_id)
    assert one.split == two.split
    assert sum(one.summary["num_patients"][part] for part in ("train", "validation", "test")) == 100
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.masks, two.masks)
