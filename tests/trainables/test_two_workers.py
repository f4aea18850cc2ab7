"""Two workers that share a batch learn what one worker with the whole batch learns: losses, gradients, everything.

One worker is this process, its sibling this file as a program: ``python test_two_workers.py FOLDER``.
"""

import datetime
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor, nn

from trainables import pretrain
from trainables.config import ComputeConfig, DataConfig, ModelConfig, NaturalConfig, StageConfig
from trainables.cost import StepFlops
from trainables.data.batches import random_view
from trainables.data.natural import open_natural
from trainables.encoder_store import encoder_path
from trainables.jobs import StageJob
from trainables.models.encoder import Encoder
from trainables.objectives import OBJECTIVES, Objective, build_objective
from trainables.pretrain import run_stage
from trainables.processes import Worker, mean_over_siblings, synchronise_norms, this_worker, wrap
from trainables.results import open_results

Measured = dict[str, Any]

MODEL = ModelConfig(encoder="resnet10", width=8)
NATURAL = NaturalConfig(num_images=32, num_classes=4, image_size=32)
SMALL = {"projection_hidden": 16, "projection_size": 8, "prediction_hidden": 16, "queue_size": 20, "num_prototypes": 16}
SMALL |= {"num_local_views": 1, "patch_size": 8}
BATCH, NUM_STEPS = 8, 2
STAGES = {"whole": 1, "in parts": 2}  # micro-batches of a batch


def measure(worker: Worker) -> Measured:
    """Return losses and states of every objective after two steps, and all about one norm."""
    share = slice(worker.rank, None, worker.world_size)
    return {name: _trained(name, worker, share) for name in OBJECTIVES} | {
        "norm": _normed(worker, share),
        "counted": _counted(worker, share),
    }


def _trained(name: str, worker: Worker, share: slice) -> Measured:
    options = {key: value for key, value in SMALL.items() if key in OBJECTIVES[name].options_type.model_fields}
    stage = StageConfig.model_validate({"objective": name, "options": options, "data": "natural", "epochs": 1})
    torch.manual_seed(0)
    objective = build_objective(Encoder(MODEL, 1), stage, 4).double()
    synchronise_norms(objective, worker)
    objective.trained = wrap(objective.trained, worker)
    optimizer = torch.optim.SGD(objective.trained.parameters(), lr=0.1)
    losses, gradients = [], {}
    for step in range(NUM_STEPS):
        result = objective(_views(objective, stage, step, share), torch.tensor([0, 1, 2, 3] * 2)[share])
        optimizer.zero_grad()
        result.loss.backward()
        losses.append(float(mean_over_siblings(result.loss.detach(), worker)))
        gradients |= {(step, index): p.grad.clone() for index, p in enumerate(objective.trained.parameters())}
        optimizer.step()
        objective.after_step(step, 10)
    buffers = dict(objective.trained.named_buffers())
    return {"losses": losses, "gradients": gradients, "state": objective.own_state(), "buffers": buffers}


def _counted(worker: Worker, share: slice) -> Measured:
    """Take a first step of two views through a network with 1x1 convolutions, in the layout that stages train in."""
    options = {key: value for key, value in SMALL.items() if key in OBJECTIVES["byol"].options_type.model_fields}
    stage = StageConfig.model_validate({"objective": "byol", "options": options, "data": "natural", "epochs": 1})
    torch.manual_seed(0)
    objective = build_objective(Encoder(MODEL, 1), stage, 4)
    objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    synchronise_norms(objective, worker)
    objective.trained = wrap(objective.trained, worker)
    flops = StepFlops(is_compiled=False)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with flops.counted():
            objective([view.float() for view in _views(objective, stage, 0, share)], None).loss.backward()
    return {"said": [str(warning.message) for warning in said], "flops": flops.of_steps(1, worker.world_size)}


def _views(objective: Objective, stage: StageConfig, step: int, share: slice) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    shapes = [(BATCH, 1, view.size, view.size) for view in objective.views(stage, 32)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64)[share] for shape in shapes]


def _normed(worker: Worker, share: slice) -> Measured:
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False, momentum=None)).double()
    nn.init.normal_(network[0].weight)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(BATCH, 3, 4, 5, generator=generator, dtype=torch.float64) * 3 + 100
    weights = torch.randn(BATCH, 3, 4, 5, generator=generator, dtype=torch.float64)
    synchronise_norms(network, worker)
    mine = inputs[share].requires_grad_()
    for _ in range(2):
        output = network(mine)
    (output * weights[share]).sum().backward()
    result: Measured = {"output": output.detach(), "input_gradient": mine.grad, "state": network.state_dict()}
    assert network[0].weight.grad is not None
    result["weight_gradient"] = mean_over_siblings(network[0].weight.grad, worker) * worker.world_size
    result["evaluated"] = network.eval()(inputs).detach()
    network.float().train()
    last = inputs[share].float().contiguous(memory_format=torch.channels_last).requires_grad_()
    output = network(last)
    output.sum().backward()
    assert last.grad is not None
    result["channels_last"] = [each.is_contiguous(memory_format=torch.channels_last) for each in (output, last.grad)]
    result["half"] = network(inputs[share].bfloat16()).detach()
    return result


def prepare(folder: Path) -> None:
    """Make the images and the results folder that ``pretrained`` expects, before there are several processes."""
    open_results(folder / "results")
    open_natural(NATURAL, folder / "cache")


def pretrained(folder: Path, stage_id: str) -> Measured:
    """Run a whole stage in this process, or in all of them, and return its encoder.

    In double precision: from step to step few samples of a norm make much of the rounding of float32.
    """
    results, cache = folder / "results", folder / "cache"
    options = {key: value for key, value in SMALL.items() if key in OBJECTIVES["moco"].options_type.model_fields}
    stage = {"objective": "moco", "options": options, "data": "natural", "epochs": 2, "batch_size": 8}
    stage |= {"micro_batches": STAGES[stage_id], "optimizer": "sgd", "learning_rate": 0.01}
    job = StageJob(
        results=results,
        encoders=results / "encoders",
        stage_id=stage_id,
        name="moco",
        initial="random",
        weights_id="random",
        initial_name="random",
        seed=0,
        stage=StageConfig.model_validate(stage),
        model=MODEL,
        data=DataConfig(),
        natural=NATURAL,
        source_id=open_natural(NATURAL, cache).data_id,
        compute=ComputeConfig(cache=cache, device="cpu"),
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pretrain, "build_objective", lambda *given: build_objective(*given).double())
        patched.setattr(pretrain, "random_view", lambda *given: random_view(*given).double())
        run_stage(job)
    return load_file(encoder_path(results / "encoders", stage_id, 2))


def all_pretrained(folder: Path) -> Measured:
    """Return the encoders of stages whose batches pass whole, and in parts."""
    return {stage_id: pretrained(folder, stage_id) for stage_id in STAGES}


def measured_as(rank: int, folder: Path) -> Measured:
    """Meet the sibling and measure."""
    meeting, patience = f"file://{folder}/meeting", datetime.timedelta(seconds=120)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=patience)
    try:
        return measure(this_worker(ComputeConfig(device="cpu"))) | all_pretrained(folder)
    finally:
        dist.destroy_process_group()


def main() -> None:
    """Measure as the second worker and save."""
    folder = Path(sys.argv[1])
    torch.save(measured_as(1, folder), folder / "measured.pt")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Measured]:
    """What two processes measured, each with every other sample."""
    folder = tmp_path_factory.mktemp("workers")
    prepare(folder)
    program = [sys.executable, "-W", "error", __file__, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    sibling = subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        first = measured_as(0, folder)
    finally:
        error = sibling.communicate(timeout=120)[1]
    assert sibling.returncode == 0, error
    return [first, torch.load(folder / "measured.pt")]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """What one process measures with the whole batch."""
    measured = measure(Worker(torch.device("cpu"), 0, 1))
    folder = tmp_path_factory.mktemp("alone")
    prepare(folder)
    return measured | all_pretrained(folder)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_workers_have_the_losses_and_gradients_of_one_with_twice_the_batch(
    name: str, pair: list[Measured], alone: Measured
) -> None:
    expected = alone[name]
    for measured in (worker[name] for worker in pair):
        assert measured["losses"] == pytest.approx(expected["losses"], rel=1e-10)
        assert measured["gradients"].keys() == expected["gradients"].keys()
        for key, gradient in measured["gradients"].items():
            assert torch.allclose(gradient, expected["gradients"][key], rtol=1e-6, atol=1e-10), key


@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_workers_end_with_the_weights_statistics_copies_queues_and_centres_of_one(
    name: str, pair: list[Measured], alone: Measured
) -> None:
    expected = alone[name]["state"]
    for state in (worker[name]["state"] for worker in pair):
        assert state.keys() == expected.keys()
        for key, value in expected.items():
            assert torch.allclose(state[key], value, rtol=1e-6, atol=1e-10), key


@pytest.mark.parametrize("name", OBJECTIVES)
def test_buffers_that_no_worker_sends_to_the_other_are_the_same_to_the_bit(name: str, pair: list[Measured]) -> None:
    first, second = (worker[name]["buffers"] for worker in pair)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


def test_the_step_whose_operations_are_counted_warns_of_nothing(pair: list[Measured], alone: Measured) -> None:
    for worker in pair:
        assert worker["counted"]["said"] == []
        assert worker["counted"]["flops"] == alone["counted"]["flops"]


def test_a_synchronised_norm_keeps_the_layout_that_convolutions_are_fastest_in(pair: list[Measured]) -> None:
    assert pair[0]["norm"]["channels_last"] == [True, True]  # output and gradient


def test_a_synchronised_norm_of_bfloat16_is_torchs_up_to_its_rounding(pair: list[Measured], alone: Measured) -> None:
    for rank, worker in enumerate(pair):
        assert worker["norm"]["half"].dtype == torch.bfloat16
        assert torch.allclose(worker["norm"]["half"], alone["norm"]["half"][rank::2], rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize("stage_id", STAGES)
def test_a_stage_of_two_workers_keeps_the_encoder_of_one_whether_batches_pass_whole_or_in_parts(
    stage_id: str, pair: list[Measured], alone: Measured
) -> None:
    for key, value in alone[stage_id].items():
        assert torch.allclose(pair[0][stage_id][key], value, rtol=1e-6, atol=1e-9), key


@pytest.mark.parametrize("part", ["output", "input_gradient"])
def test_a_synchronised_norms_outputs_and_gradients_are_torchs_on_the_whole_batch(
    part: str, pair: list[Measured], alone: Measured
) -> None:
    for rank, worker in enumerate(pair):
        assert torch.allclose(worker["norm"][part], alone["norm"][part][rank::2], rtol=1e-8, atol=1e-9)


def test_a_synchronised_norms_statistics_and_weight_gradients_are_torchs(pair: list[Measured], alone: Measured) -> None:
    for worker in (each["norm"] for each in pair):
        assert list(worker["state"]) == list(alone["norm"]["state"])
        for key, value in alone["norm"]["state"].items():
            assert torch.allclose(worker["state"][key], value, rtol=1e-10), key
        for part in ("weight_gradient", "evaluated"):
            assert torch.allclose(worker[part], alone["norm"][part], rtol=1e-8)


if __name__ == "__main__":
    main()
