"""What a stage needs is checked, and warned of, while planning."""

from typing import Any

import pytest

from sweep.experiment import ExperimentError, load_preset
from sweep.stage_checks import check_device, check_launcher, check_stage
from trainables.config import ComputeConfig
from trainables.data.dataset import DataError
from trainables.processes import DeviceError

SUMMARY: dict[str, Any] = {"num_slices": {"pool": 100, "validation": 6}, "natural": {"num_images": 64}}


def check(*overrides: str, stage: str = "byol-domain", is_here: bool = False, **slices: int) -> list[str]:
    summary = SUMMARY | {"num_slices": SUMMARY["num_slices"] | slices}
    common = ("stages.byol-domain.batch_size=32", "stages.byol-domain.warmup_epochs=0.5")
    return check_stage(load_preset("smoke", [*common, *overrides]), stage, summary, is_here)


def test_a_sound_stage_is_passed_without_a_word() -> None:
    assert check() == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["compute.pretraining_workers=3"], "a batch of 32 cannot be shared equally by 3 workers; .* multiple of 3"),
        (
            ["compute.pretraining_workers=4", "compute.min_pretraining_workers=2"],
            "a batch of 32 cannot be shared equally by any number of workers from 2 to 4; set batch_size to a multiple "
            "of 12, or raise compute.min_pretraining_workers",
        ),
        (["compute.pretraining_workers=32"], "a batch of 32 cannot feed 32 workers two samples each"),
        (
            ["stages.byol-domain.micro_batches=32"],
            "micro_batches=32 of a batch of 32: a batch of 1 cannot feed 1 worker two samples each, which batch norm "
            "needs; raise batch_size, or lower micro_batches$",
        ),
        (
            ["stages.byol-domain.batch_size=200", "stages.byol-domain.micro_batches=8"],
            "a batch of 100 cannot pass in 8 equal parts",
        ),
        (["stages.byol-domain.precision=fp16", "compute.device=cpu"], "precision: fp16 expects a GPU, found compute"),
        (["stages.byol-domain.probe_every_epochs=1", "data.validation_slices=0"], "expected validation slices"),
    ],
)
def test_what_could_not_run_or_learn_is_refused_by_the_stages_name(overrides: list[str], message: str) -> None:
    with pytest.raises(DataError, match=rf"stages\.byol-domain: .*{message}"):
        check(*overrides)


@pytest.mark.parametrize(("has_gpu", "is_here"), [(False, False), (True, True)])
def test_fp16_is_left_to_a_gpu_that_may_be_there(monkeypatch: pytest.MonkeyPatch, has_gpu: bool, is_here: bool) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
    assert check("stages.byol-domain.precision=fp16", is_here=is_here) == []


def test_fp16_is_refused_on_a_machine_without_a_gpu_that_runs_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DataError, match=r"precision: fp16 expects a GPU, found none on this machine; use bf16 or fp32"):
        check("stages.byol-domain.precision=fp16", is_here=True)


DINO = (
    "stages.byol-domain.objective=dino",
    "stages.byol-domain.options={num_prototypes: 16}",
    "stages.byol-domain.precision=bf16",
    "data.image_size=32",
)
SMALL_VIEWS = "precision: bf16 on a CPU expects views of more than 16 px, found {}; use fp32, or larger views"


def test_bf16_is_refused_where_a_cpu_takes_views_that_it_gets_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DataError, match=SMALL_VIEWS.format(14)):  # 32 px * 96 / 224
        check(*DINO, is_here=True)
    local = "stages.byol-domain.options.local_size="
    with pytest.raises(DataError, match=SMALL_VIEWS.format(16)):
        check(*DINO, local + "0.5", "compute.device=cpu")
    natural = ("stages.byol-natural.precision=bf16", "natural.image_size=16", "compute.device=cpu")
    with pytest.raises(DataError, match=rf"stages\.byol-natural: {SMALL_VIEWS.format(16)}"):
        check(*natural, stage="byol-natural")


@pytest.mark.parametrize(
    "larger",
    [
        "stages.byol-domain.options.local_size=0.53",  # 17 px
        "stages.byol-domain.options.num_local_views=0",
        "stages.byol-domain.precision=fp32",
        "data.image_size=48",  # 21 px
    ],
)
def test_bf16_is_left_to_a_cpu_for_larger_views(larger: str) -> None:
    assert check(*DINO, "compute.device=cpu", larger) == []


@pytest.mark.parametrize(("has_gpu", "is_here"), [(False, False), (True, True)])
def test_bf16_of_small_views_is_left_to_a_gpu_that_may_be_there(
    monkeypatch: pytest.MonkeyPatch, has_gpu: bool, is_here: bool
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
    assert check(*DINO, is_here=is_here) == []


@pytest.mark.parametrize("launcher", ["serial", "ray"])
def test_cuda_is_refused_on_a_machine_without_a_gpu_that_runs_all(
    monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(DeviceError, match="this machine has no CUDA device"):
        check_device(ComputeConfig(device="cuda"), launcher)
    check_device(ComputeConfig(device="auto"), launcher)


def test_cuda_is_left_to_the_workers_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    check_device(ComputeConfig(device="cuda", address="10.0.0.1:6379"), "ray")


def test_one_process_takes_no_stage_of_several_workers() -> None:
    several = "compute.pretraining_workers=4"
    with pytest.raises(ExperimentError, match="expected 1 with --launcher serial, which is one process, found 4"):
        check_launcher(load_preset("smoke", [several]), "serial")
    check_launcher(load_preset("smoke", [several]), "ray")
    no_stages = ["grid.arms=[random]", "report.reference_arm=random"]
    check_launcher(load_preset("smoke", [several, *no_stages]), "serial")


def test_a_set_smaller_than_a_batch_is_warned_of() -> None:
    (warning,) = check(pool=20)
    assert warning == ("stages.byol-domain: expected at least batch_size=32 samples, found 20: all are one batch")


def test_a_warm_up_without_an_end_is_warned_of() -> None:
    overrides = ("stages.byol-domain.warmup_epochs=1", "stages.byol-domain.schedule=per_length")
    (warning,) = check(*overrides)  # lengths of 1 and 2 epochs
    assert warning == "stages.byol-domain: warmup_epochs=1 leaves a run of 1 epoch no time to anneal"
    assert check("stages.byol-domain.warmup_epochs=1") == []
