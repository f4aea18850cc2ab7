"""The whole job on data that are not ACDC: several channels, pictures, named classes, from files to the report."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.report import write_report
from sweep.data_efficiency import main
from sweep.exit_codes import DONE

PATIENTS, SLICES, SIDE = 6, 3, 32
QUICK = (
    *("data.spacing_mm=null", "data.longest_side=32", "grid.subset_seeds=[0]", "grid.label_counts=[3]"),
    *("stages.byol-domain.epochs=1", "stages.byol-domain.milestones=[1]", "finetune.steps=2"),
    *("finetune.evaluate_every=2", "report.bootstrap_resamples=100", "--launcher=serial"),
)


def scan(patient: int) -> tuple[np.ndarray, np.ndarray]:
    """A dark ground with a bright disc of class 1 in which one of class 2 lies, and its mask: (slice, row, column)."""
    rng = np.random.default_rng(patient)
    row, column = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(row - 12 - patient, column - 16)
    mask = np.stack([(distance < 9).astype(np.uint8) + (distance < 5)] * SLICES)
    return (rng.normal(60, 8, mask.shape) + 50 * mask).round().astype(np.uint8), mask


def write_channels(root: Path) -> list[str]:
    """nnU-Net v2 with two channels, of which the second is the first one inverted, and two classes."""
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for patient in range(PATIENTS):
        image, mask = scan(patient)
        files = {f"imagesTr/p{patient}_0000": image, f"imagesTr/p{patient}_0001": 255 - image}
        for name, voxels in (files | {f"labelsTr/p{patient}": mask}).items():
            nibabel.save(nibabel.Nifti1Image(voxels.T, np.eye(4)), root / f"{name}.nii.gz")
    content: dict[str, Any] = {
        "channel_names": {"0": "T1", "1": "T2"},
        "numTraining": PATIENTS,
        "file_ending": ".nii.gz",
    }
    labels = {"background": 0, "oedema": 1, "tumour": 2}
    (root / "dataset.json").write_text(json.dumps(content | {"labels": labels}))
    return ["data.patient_pattern=(.+)"]


def write_pictures(root: Path) -> list[str]:
    """PNG images and masks, whose classes the command names."""
    for patient in range(PATIENTS):
        image, mask = scan(patient)
        for index in range(SLICES):
            for folder, pixels in (("images", image), ("masks", mask * np.uint8(120))):
                path = root / folder / f"p{patient}_slice{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels[index]).save(path)
    return [r"data.patient_pattern=(p\d+)_", "data.classes={oedema: 120, tumour: 240}"]


@pytest.mark.slow
@pytest.mark.parametrize(("write", "channels"), [(write_channels, ["T1", "T2"]), (write_pictures, ["image"])])
def test_the_whole_job_runs_and_its_report_names_the_classes(
    tmp_path: Path, cache: Path, write: Any, channels: list[str]
) -> None:
    results = tmp_path / "results"
    rules = [f"data.root={tmp_path / 'set'}", *write(tmp_path / "set"), f"compute.cache={cache}", "compute.device=cpu"]
    assert main(["--preset", "smoke", "--results", str(results), *rules, *QUICK]) == DONE
    data = json.loads(next(results.rglob("data.json")).read_text())
    assert (data["channel_names"], data["class_names"]) == (channels, ["oedema", "tumour"])
    cells, cases, epochs = (pd.read_parquet(results / name) for name in ("cells", "cases", "pretraining"))
    assert len(cells) == 6  # an arm each
    assert cells.test_dice.between(0, 1).all()
    assert len(epochs.stage_id.unique()) == 5  # the stages of the six arms, the natural ones shared
    assert set(cases.class_name) == {"oedema", "tumour"}
    assert ((cases.true_positives + cases.false_negatives) > 0).all()
    page = write_report(results).page.read_text()
    assert "oedema" in page
    assert "tumour" in page
