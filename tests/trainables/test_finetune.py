"""One cell: deterministic, learning, honest about its budget, and failing with a reason."""

import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainables.config import ComputeConfig, DataConfig, FinetuneConfig, ModelConfig, PhantomConfig
from trainables.data.dataset import DataError
from trainables.data.slices import open_store
from trainables.evaluation import Evaluation
from trainables.finetune import run_and_commit, run_cell, validation_slices
from trainables.fit import FinetuningError
from trainables.jobs import CellJob
from trainables.metrics import dice, patient_mean
from trainables.results import finished_cells, open_results, read_table
from trainables.scoring import NOT_MEASURED

DATA = DataConfig(image_size=32, spacing_mm=4, phantom=PhantomConfig(num_patients=12, num_slices=3, num_frames=2))
TIMES = ("train_seconds", "validation_seconds", "test_seconds", "wall_seconds", "finished_at")


def job(
    root: Path, cache: Path, label_count: int = 8, train_seed: int = 0, data: DataConfig = DATA, **finetune: Any
) -> CellJob:
    axes = {"cell_id": "cell", "protocol_id": "p", "arm": "random", "base_arm": "random", "pretraining_epochs": 0}
    axes |= {
        "pretraining_chain": "",
        "pretraining_schedule": "none",
        "pretraining_seed": 0,
        "label_count": label_count,
        "label_unit": "slices",
    }
    recipe = {"steps": 7, "batch_size": 4, "learning_rate": 4e-3, "evaluate_every": 3}
    return CellJob(
        results=open_results(root),
        axes=axes | {"subset_seed": 0, "train_seed": train_seed},
        encoder="random",
        weights_id="random",
        encoder_id="random",
        model=ModelConfig(encoder="resnet10", width=8, decoder_channels=(8, 8, 8, 8, 8)),
        data=data,
        finetune=FinetuneConfig.model_validate(recipe | finetune),
        data_id=open_store(data, cache).data_id,
        compute=ComputeConfig(cache=cache, device="cpu"),
    )


def numbers(cell: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in cell.items() if key not in TIMES}


def test_equal_jobs_give_equal_numbers_also_after_another_cell_in_the_same_process(tmp_path: Path, cache: Path) -> None:
    first = run_cell(job(tmp_path, cache))
    other = run_cell(job(tmp_path, cache, train_seed=1))
    again = run_cell(job(tmp_path, cache))
    assert numbers(again.cell) == numbers(first.cell)
    assert [row["val_loss"] for row in again.curves] == [row["val_loss"] for row in first.curves]
    assert again.cases == first.cases
    assert again.examples == first.examples
    assert numbers(other.cell) != numbers(first.cell)


def test_a_cell_validates_at_the_start_every_few_steps_and_at_the_end(tmp_path: Path, cache: Path) -> None:
    result = run_cell(job(tmp_path, cache))
    assert [row["step"] for row in result.curves] == [0, 3, 6, 7]
    assert result.curves[0]["train_loss"] is None
    assert result.cell["val_dice"] == result.curves[-1]["val_dice"]
    seconds = [row["seconds"] for row in result.curves]
    assert seconds == sorted(seconds)


def test_final_scores_follow_from_the_stored_counts(tmp_path: Path, cache: Path) -> None:
    result = run_cell(job(tmp_path, cache))
    names = ("true_positives", "false_positives", "false_negatives")
    counts = np.array([[row[name] for name in names] for row in result.cases]).reshape(-1, 3, 3)
    patients = [row["patient"] for row in result.cases[::3]]
    assert patients == ["patient001", "patient001", "patient011", "patient011"]
    assert result.cell["test_dice"] == patient_mean(dice(counts), patients)


def test_every_pixel_of_a_structure_is_a_true_positive_or_a_false_negative(tmp_path: Path, cache: Path) -> None:
    first, other = run_cell(job(tmp_path, cache)), run_cell(job(tmp_path, cache, train_seed=1))
    truth = [[row["true_positives"] + row["false_negatives"] for row in each.cases] for each in (first, other)]
    assert truth[0] == truth[1]


def test_a_cell_with_distances_has_the_other_numbers_of_one_without(tmp_path: Path, cache: Path) -> None:
    measured, plain = job(tmp_path / "a", cache), job(tmp_path / "b", cache)
    first = run_cell(measured)
    other = run_cell(plain.model_copy(update={"compute": ComputeConfig(cache=cache, surface_distances=False)}))
    assert numbers(other.cell) == numbers(first.cell)
    assert other.examples == first.examples
    assert [row | NOT_MEASURED for row in first.cases] == other.cases
    assert {row["distance_unit"] for row in first.cases} == {"mm"}
    assert any(row["hd95"] for row in first.cases)


def test_a_cell_with_examples_has_the_numbers_of_one_without(tmp_path: Path, cache: Path) -> None:
    shown, plain = job(tmp_path / "a", cache), job(tmp_path / "b", cache)
    first = run_and_commit(shown)
    other = run_and_commit(plain.model_copy(update={"compute": ComputeConfig(cache=cache, example_slices=0)}))
    assert numbers(other.cell) == numbers(first.cell)
    assert [row["val_loss"] for row in other.curves] == [row["val_loss"] for row in first.curves]
    assert other.cases == first.cases
    assert [len(list((tmp_path / name).glob("example*/*.parquet"))) for name in "ab"] == [2, 0]
    assert finished_cells(tmp_path / "b") == {"cell"}


@pytest.mark.slow
def test_more_steps_on_more_labels_learn_the_phantom(tmp_path: Path, cache: Path) -> None:
    short = run_cell(job(tmp_path, cache))
    long = run_cell(job(tmp_path, cache, label_count=48, steps=300, evaluate_every=100, batch_size=8))
    assert long.cell["test_dice"] > max(0.4, short.cell["test_dice"] + 0.2)


def test_a_finished_cell_is_committed(tmp_path: Path, cache: Path) -> None:
    run_and_commit(job(tmp_path, cache))
    assert finished_cells(tmp_path) == {"cell"}
    row = read_table(tmp_path, "cells")[0].to_pylist()[0]
    assert (row["labelled_slices"], row["steps"], row["device"]) == (8, 7, "cpu")


def test_a_loss_that_is_not_finite_fails_the_cell_and_writes_nothing(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(FinetuningError, match=r"lower finetune\.learning_rate \(1e\+30\)"):
        run_and_commit(job(tmp_path, cache, learning_rate=1e30, warmup_fraction=0))
    assert finished_cells(tmp_path) == set()


@pytest.mark.parametrize("num_validation", [None, 0], ids=["validated", "not validated"])
def test_a_last_step_that_diverges_fails_the_cell_though_no_training_loss_shows_it(
    tmp_path: Path, cache: Path, num_validation: int | None
) -> None:
    """Not a finished cell with a Dice of 0."""
    one = job(tmp_path, cache, steps=1, evaluate_every=1, learning_rate=1e30, warmup_fraction=0)
    data = one.data.model_copy(update={"validation_slices": num_validation})
    one = one.model_copy(update={"data": data, "data_id": open_store(data, cache).data_id})
    with pytest.raises(
        FinetuningError, match=f"the {'test' if num_validation == 0 else 'validation'} loss is nan by step 1"
    ):
        run_and_commit(one)
    assert finished_cells(tmp_path) == set()


def test_validation_slices_are_spread_evenly_over_all_patients() -> None:
    assert validation_slices(10, 4) == [0, 3, 6, 9]
    assert validation_slices(10, None) == validation_slices(10, 99) == list(range(10))


def test_data_that_are_not_those_of_the_plan_fail_the_cell(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DataError, match="but the run was planned with other"):
        run_cell(job(tmp_path, cache).model_copy(update={"data_id": "other"}))


@pytest.fixture(scope="module")
def fundus(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    """Ten patients with two RGB pictures each, on which patient n has n + 4 rows of disc and n + 1 of cup in it."""
    root = tmp_path_factory.mktemp("fundus")
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    for patient in range(10):
        for index in range(2):
            mask = np.zeros((32, 32), np.uint8)
            mask[2 : 6 + patient, 4 + index : 24], mask[3 : 4 + patient, 8:16] = 100, 200
            image = np.random.default_rng([patient, index]).integers(0, 100, (32, 32, 3)) + mask[..., None] // 2
            Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"p{patient}_{index}.png")
            Image.fromarray(mask).save(root / "masks" / f"p{patient}_{index}.png")
    classes = {"cup": 200, "disc": 100}
    return DataConfig(root=root, image_size=32, patient_pattern=r"(p\d+)_\d+", classes=classes)


def test_a_cell_takes_any_number_of_classes_and_channels_and_names_the_classes(
    tmp_path: Path, cache: Path, fundus: DataConfig
) -> None:
    store = open_store(fundus, cache)
    assert (store.num_classes, store.num_channels) == (3, 3)
    result = run_cell(job(tmp_path, cache, data=fundus))
    test = sorted({volume.patient for volume in store.volumes("test")})
    names = [(row["patient"], row["class_index"], row["class_name"]) for row in result.cases]
    assert names == [(name, *each) for name in test for each in ((1, "disc"), (2, "cup"))]  # in order of their values
    assert 0 <= result.cell["test_dice"] <= 1
    assert (result.cell["validation_slices"], result.cell["validation_patients"]) == (4, 2)


def test_the_counts_of_each_volume_add_up_to_the_pixels_of_its_masks(
    tmp_path: Path, cache: Path, fundus: DataConfig
) -> None:
    assert fundus.root is not None
    result = run_cell(job(tmp_path, cache, data=fundus))
    for row in result.cases:
        masks = [np.asarray(Image.open(path)) for path in sorted(fundus.root.glob(f"masks/{row['patient']}_*.png"))]
        value = {"disc": 100, "cup": 200}[row["class_name"]]
        assert row["true_positives"] + row["false_negatives"] == sum(int((mask == value).sum()) for mask in masks)
    assert (
        len({row["true_positives"] + row["false_negatives"] for row in result.cases}) == 4
    )  # two patients, two classes


def test_the_stored_predictions_have_the_counts_that_the_cell_was_scored_with(
    tmp_path: Path, cache: Path, fundus: DataConfig
) -> None:
    """With one picture a patient a volume is one slice, so that its counts are those of its rows in ``cases``."""
    assert fundus.root is not None
    single = tmp_path / "single"
    for path in fundus.root.glob("*/*_0.png"):
        (single / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, single / path.parent.name)
    root = tmp_path / "results"
    run_and_commit(job(root, cache, label_count=6, data=fundus.model_copy(update={"root": single})))
    cases = read_table(root, "cases")[0].to_pylist()
    truths = {
        (row["patient"], row["phase"]): zlib.decompress(row["truth"])
        for row in read_table(root, "example_slices")[0].to_pylist()
    }
    examples = read_table(root, "examples")[0].to_pylist()
    assert len(examples) == len(truths) == 2  # test patients
    for row in examples:
        pixels = list(zip(zlib.decompress(row["prediction"]), truths[row["patient"], row["phase"]], strict=True))
        own = [case for case in cases if (case["patient"], case["phase"]) == (row["patient"], row["phase"])]
        assert [case["true_positives"] for case in own] == [pixels.count((c, c)) for c in (1, 2)]
        assert [case["false_positives"] for case in own] == [sum(p == c != t for p, t in pixels) for c in (1, 2)]
        assert [case["false_negatives"] for case in own] == [sum(t == c != p for p, t in pixels) for c in (1, 2)]


def test_a_cell_counts_the_validation_slices_that_it_looks_at(tmp_path: Path, cache: Path) -> None:
    cell = run_cell(job(tmp_path, cache, data=DATA.model_copy(update={"validation_slices": 2}))).cell
    assert (cell["validation_slices"], cell["validation_patients"]) == (2, 2)  # the first and the last of all
    cell = run_cell(job(tmp_path, cache)).cell
    assert (cell["validation_slices"], cell["validation_patients"]) == (12, 2)  # two patients of two phases of three


def test_a_cell_without_validation_slices_has_its_training_losses_and_its_test_alone(
    tmp_path: Path, cache: Path
) -> None:
    unvalidated = job(tmp_path, cache, data=DATA.model_copy(update={"validation_slices": 0}))
    result = run_and_commit(unvalidated)
    cell = result.cell
    assert (cell["val_loss"], cell["val_dice"], cell["validation_slices"], cell["validation_patients"]) == (
        None,
        None,
        0,
        0,
    )
    assert [row["step"] for row in result.curves] == [0, 3, 6, 7]
    assert [row["train_loss"] is None for row in result.curves] == [True, False, False, False]
    assert all(row["val_loss"] is None and row["val_dice"] is None for row in result.curves)
    validated = run_cell(job(tmp_path, cache))
    assert cell["test_dice"] == validated.cell["test_dice"]  # looking changes nothing
    assert [row["train_loss"] for row in result.curves] == [row["train_loss"] for row in validated.curves]
    (stored,) = read_table(tmp_path, "cells")[0].to_pylist()
    assert (stored["val_loss"], stored["validation_slices"]) == (None, 0)


def test_a_cell_may_run_without_validation_patients(tmp_path: Path, cache: Path, fundus: DataConfig) -> None:
    rules = {"split": "fractions", "validation_fraction": 0, "validation_slices": 0}
    result = run_cell(job(tmp_path, cache, data=fundus.model_copy(update=rules)))
    assert result.cell["val_dice"] is None
    assert {row["patient"] for row in result.cases} < {f"p{number}" for number in range(10)}


def test_validation_slices_that_show_nothing_and_in_which_nothing_is_found_have_no_score(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(_: Any, samples: Any, __: Any, kept: Sequence[int] = ()) -> Evaluation:
        return Evaluation(0.5, np.zeros((len(samples), 3, 3), np.int64), [np.zeros((32, 32), np.uint8)] * len(kept))

    for module in ("fit", "finetune"):
        monkeypatch.setattr(f"trainables.{module}.evaluate", nothing)
    result = run_cell(job(tmp_path, cache))
    assert [row["val_dice"] for row in result.curves] == [None] * 4
    assert result.cell["val_loss"] == 0.5
