"""What holds on a GPU: the CPU's numbers, nothing waited for inside an epoch, a captured step that is the step."""

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from trainables import pretrain
from trainables.config import (
    VIEW_SETS,
    ComputeConfig,
    DataConfig,
    FinetuneConfig,
    ModelConfig,
    NaturalConfig,
    PhantomConfig,
    StageConfig,
    ViewConfig,
)
from trainables.course import Course
from trainables.data import batches
from trainables.data.augment import draw_views, view_images, view_masks
from trainables.data.batches import Samples, finetune_batches, from_natural, from_slices, random_view
from trainables.data.natural import open_natural
from trainables.data.slices import open_store
from trainables.encoder_store import encoder_path
from trainables.evaluation import evaluate
from trainables.finetune import CellResult, run_cell
from trainables.fit import train_block
from trainables.jobs import CellJob, StageJob
from trainables.models.encoder import Encoder
from trainables.models.segmenter import Segmenter
from trainables.objectives import OBJECTIVES
from trainables.pretrain import run_stage
from trainables.processes import seeded, this_worker
from trainables.results import open_results, read_table
from trainables.training_step import WARMUP_STEPS, TrainingStep

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device that is visible: make test-gpu"),
]

DATA = DataConfig(image_size=32, spacing_mm=4, phantom=PhantomConfig(num_patients=12, num_slices=3, num_frames=2))
NATURAL = NaturalConfig(num_images=64, num_classes=2, image_size=32)
MODEL = ModelConfig(encoder="resnet10", width=8, decoder_channels=(8, 8, 8, 8, 8))
SMALL = {"projection_hidden": 16, "projection_size": 8, "prediction_hidden": 16, "queue_size": 32, "momentum": 0.9}
SMALL |= {"momentum_start": 0.9, "num_prototypes": 16, "num_local_views": 1, "patch_size": 8}
WAITING = {"simclr", "vicreg"}  # lightly's losses choose rows by masks, whose sizes the CPU has to know
NUM_CLASSES = 4


@pytest.fixture
def gpu() -> torch.device:
    return this_worker(ComputeConfig(device="cuda")).device


@contextmanager
def waits() -> Iterator[list[str]]:
    """Every wait for the GPU inside the body."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found += [f"{each.filename}:{each.lineno}" for each in caught if "called a synchronizing" in str(each.message)]


def slices(device: torch.device, num_slices: int = 24, size: int = 32) -> Samples:
    generator = np.random.default_rng(0)
    images = generator.random((num_slices, 1, size, size)).astype(np.float16)
    masks = generator.integers(NUM_CLASSES, size=(num_slices, size, size)).astype(np.uint8)
    return from_slices(images, masks, np.arange(num_slices), device)


def segmenter(device: torch.device) -> Segmenter:
    with seeded(0):
        network = Segmenter(Encoder(MODEL, 1), MODEL, NUM_CLASSES)
    return network.to(device, memory_format=torch.channels_last)


@pytest.mark.parametrize("name", VIEW_SETS)
def test_views_are_those_of_the_cpu(name: str, gpu: torch.device) -> None:
    images = torch.rand(32, 3, 40, 36, generator=torch.Generator().manual_seed(1))
    masks = torch.randint(NUM_CLASSES, (32, 40, 36), generator=torch.Generator().manual_seed(2))
    views = draw_views(ViewConfig.model_validate({"set": name}), 32, 40, 36, torch.Generator().manual_seed(3))
    assert torch.allclose(view_images(images.to(gpu), views, 24).cpu(), view_images(images, views, 24), atol=1e-4)
    differing = view_masks(masks.to(gpu), views, 24).cpu() != view_masks(masks, views, 24)
    assert differing.float().mean() < 1e-3  # a centre between two pixels may round to the other one


def test_batches_do_not_depend_on_where_the_slices_lie(gpu: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    on_device = slices(gpu)
    monkeypatch.setattr(batches, "DEVICE_SHARE", 0.0)
    on_host = slices(gpu)
    assert (on_device.images.device.type, on_host.images.device.type) == ("cuda", "cpu")
    drawn = [
        next(finetune_batches(samples, 1, 8, ViewConfig(), torch.Generator().manual_seed(0)))
        for samples in (on_device, on_host)
    ]
    for first, second in zip(*drawn, strict=True):
        assert first.device == second.device == gpu
        assert torch.equal(first, second)


def test_natural_images_on_the_host_are_those_on_the_device(gpu: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(256, size=(12, 20, 20, 3)).astype(np.uint8)
    labels = np.arange(12) % 3
    on_device, indices = from_natural(images, labels, gpu), torch.tensor([3, 1, 7])
    monkeypatch.setattr(batches, "DEVICE_SHARE", 0.0)
    on_host = from_natural(images, labels, gpu)
    assert torch.equal(on_device.take(indices), on_host.take(indices))
    assert on_host.take(indices).cpu().numpy() == pytest.approx(images[[3, 1, 7]].transpose(0, 3, 1, 2) / 255)
    assert torch.equal(on_host.take_targets(indices).cpu(), torch.tensor([0, 1, 1]))


@pytest.mark.parametrize("share", [0.2, 0.0], ids=["slices on the device", "slices on the host"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_block_of_steps_waits_for_the_gpu_once(
    share: float, precision: str, gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "DEVICE_SHARE", share)
    config = FinetuneConfig.model_validate({"steps": 30, "batch_size": 8, "precision": precision})
    network, samples, generator = segmenter(gpu), slices(gpu), torch.Generator().manual_seed(0)
    take_step = TrainingStep(network, config, gpu, graphs=True)
    train_block(Course(config), network, take_step, samples, generator, 0, WARMUP_STEPS + 1)
    with waits() as found:
        train_block(Course(config), network, take_step, samples, generator, WARMUP_STEPS + 1, 20)
    assert len(found) == 1, found  # for the mean loss of the block


def test_evaluation_waits_as_often_for_many_slices_as_for_few(gpu: torch.device) -> None:
    network, config = segmenter(gpu), FinetuneConfig(evaluation_batch_size=4)
    counts = []
    for num_slices in (8, 32):
        samples = slices(gpu, num_slices)
        evaluate(network, samples, config)
        with waits() as found:
            evaluate(network, samples, config)
        counts.append(len(found))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_captured_step_is_the_step(precision: str, gpu: torch.device) -> None:
    config = FinetuneConfig.model_validate(
        {"steps": 12, "batch_size": 8, "learning_rate": 2e-3, "precision": precision}
    )
    losses, weights = [], []
    for graphs in (False, True):
        network, generator = segmenter(gpu), torch.Generator().manual_seed(0)
        take_step = TrainingStep(network, config, gpu, graphs)
        blocks = [
            train_block(Course(config), network, take_step, slices(gpu), generator, step, 1) for step in range(12)
        ]
        losses.append(blocks)
        weights.append([parameter.detach().clone() for parameter in network.parameters()])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert len(set(losses[1])) == 12
    for plain, captured in zip(*weights, strict=True):
        assert torch.allclose(plain, captured, rtol=1e-3, atol=1e-4)


def test_the_learning_rate_reaches_a_captured_step(gpu: torch.device) -> None:
    config = FinetuneConfig(steps=20, batch_size=8)
    network, generator = segmenter(gpu), torch.Generator().manual_seed(0)
    take_step = TrainingStep(network, config, gpu, graphs=True)
    train_block(Course(config), network, take_step, slices(gpu), generator, 0, WARMUP_STEPS + 1)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    take_step.set_learning_rate(0.0)
    take_step(*next(finetune_batches(slices(gpu), 1, 8, config.views, generator)))
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    take_step.set_learning_rate(1e-2)
    take_step(*next(finetune_batches(slices(gpu), 1, 8, config.views, generator)))
    assert not any(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def cell(root: Path, cache: Path, device: str, **finetune: Any) -> CellResult:
    axes = {"cell_id": "cell", "protocol_id": "p", "arm": "random", "base_arm": "random", "pretraining_epochs": 0}
    axes |= {"pretraining_chain": "", "pretraining_schedule": "none", "pretraining_seed": 0, "label_count": 12}
    axes |= {"label_unit": "slices", "subset_seed": 0, "train_seed": 0}
    recipe = {"steps": 24, "batch_size": 8, "learning_rate": 4e-3, "evaluate_every": 8}
    job = CellJob(
        results=open_results(root),
        axes=axes,
        encoder="random",
        weights_id="random",
        encoder_id="random",
        model=MODEL,
        data=DATA,
        finetune=FinetuneConfig.model_validate(recipe | finetune),
        data_id=open_store(DATA, cache).data_id,
        compute=ComputeConfig.model_validate({"cache": cache, "device": device}),
    )
    return run_cell(job)


def test_a_cell_learns_what_it_learns_on_the_cpu(tmp_path: Path, cache: Path) -> None:
    first, second = (cell(tmp_path / device, cache, device) for device in ("cpu", "cuda"))
    assert second.cell["device"] == torch.cuda.get_device_name()
    assert second.curves[0]["val_loss"] == pytest.approx(first.curves[0]["val_loss"], abs=1e-3)
    losses = [[row["val_loss"] for row in result.curves] for result in (first, second)]
    assert losses[1] == pytest.approx(losses[0], abs=0.05)  # rounding grows from step to step
    assert losses[1][-1] < losses[1][0] - 0.02


def test_equal_cells_give_equal_numbers(tmp_path: Path, cache: Path) -> None:
    first, second = (cell(tmp_path, cache, "cuda") for _ in range(2))
    assert [row["val_loss"] for row in first.curves] == [row["val_loss"] for row in second.curves]
    assert first.cases == second.cases


def stage(root: Path, cache: Path, objective: str = "byol", device: str = "cuda", **recipe: Any) -> StageJob:
    fields = OBJECTIVES[objective].options_type.model_fields
    base = {"objective": objective, "data": "natural", "epochs": 2, "batch_size": 16, "warmup_epochs": 0}
    base |= {"options": {key: value for key, value in SMALL.items() if key in fields}}
    return StageJob(
        results=open_results(root),
        encoders=root / "encoders",
        stage_id="stage",
        name="stage",
        initial="random",
        weights_id="random",
        initial_name="random",
        seed=0,
        stage=StageConfig.model_validate(base | recipe),
        model=MODEL,
        data=DATA,
        natural=NATURAL,
        source_id=open_natural(NATURAL, cache).data_id,
        compute=ComputeConfig.model_validate({"cache": cache, "device": device}),
    )


@pytest.mark.parametrize(
    ("objective", "optimizer"),
    [*((name, "adamw") for name in OBJECTIVES if name not in WAITING), ("byol", "sgd"), ("byol", "lars")],
)
def test_no_step_of_a_pretraining_method_waits_for_the_gpu(
    objective: str, optimizer: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    take_step: Callable[..., Any] = pretrain._Loop._train_step
    number = itertools.count()

    def watched(*args: Any) -> Any:
        if next(number) == 0:  # operations are counted in the first step
            return take_step(*args)
        with waits() as own:
            result = take_step(*args)
        found.extend(own)
        return result

    monkeypatch.setattr(pretrain._Loop, "_train_step", watched)
    run_stage(stage(tmp_path, cache, objective, precision="bf16", optimizer=optimizer))
    assert next(number) == 8
    assert not found


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_stage_learns_what_it_learns_on_the_cpu(precision: str, tmp_path: Path, cache: Path) -> None:
    run_stage(stage(tmp_path / "cpu", cache, device="cpu"))
    run_stage(stage(tmp_path / "cuda", cache, precision=precision))
    losses = [
        [row["loss"] for row in read_table(tmp_path / name, "pretraining")[0].to_pylist()] for name in ("cpu", "cuda")
    ]
    assert losses[1] == pytest.approx(losses[0], abs=0.05)


def test_a_resumed_stage_equals_one_that_was_never_stopped(tmp_path: Path, cache: Path) -> None:
    def stop(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(stage(tmp_path / "resumed", cache, epochs=3), stop)
    for name in ("resumed", "whole"):
        run_stage(stage(tmp_path / name, cache, epochs=3))
    resumed, whole = (
        load_file(encoder_path(tmp_path / name / "encoders", "stage", 3)) for name in ("resumed", "whole")
    )
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


def test_two_views_of_a_batch_that_fills_the_gpu_are_drawn_without_waiting(gpu: torch.device) -> None:
    samples, indices = slices(gpu, 512, 96), torch.arange(512)
    recipe = ViewConfig.model_validate({"set": "byol"})
    with waits() as found:
        for _ in range(2):
            random_view(samples, indices, recipe, torch.Generator().manual_seed(0))
    assert not found
