"""What a stage needs is checked, and warned of, while planning."""

from typing import Any

import pytest

from sweep.experiment import load_preset
from sweep.stage_checks import check_stage
from trainables.data.dataset import DataError

SUMMARY: dict[str, Any] = {"num_slices": {"pool": 100, "validation": 6}, "natural": {"num_images": 64}}


def check(*overrides: str, stage: str = "byol-domain", **slices: int) -> list[str]:
    summary = SUMMARY | {"num_slices": SUMMARY["num_slices"] | slices}
    common = ("stages.byol-domain.batch_size=32", "stages.byol-domain.warmup_epochs=0.5")
    return check_stage(load_preset("smoke", [*common, *overrides]), stage, summary)


def test_a_sound_stage_is_passed_without_a_word() -> None:
    assert check() == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["compute.pretraining_workers=3"], "32 samples a batch cannot be shared equally by 3 workers"),
        (["compute.pretraining_workers=4", "compute.min_pretraining_workers=2"], "cannot be shared equally by 3"),
        (["compute.pretraining_workers=32"], "32 samples a batch cannot feed 32 workers two each"),
        (["stages.byol-domain.micro_batches=32"], "1 samples a batch cannot feed 1 workers two each"),
        (
            ["stages.byol-domain.batch_size=200", "stages.byol-domain.micro_batches=8"],
            "100 samples a batch cannot pass in 8 equal parts",
        ),
        (["stages.byol-domain.precision=fp16", "compute.device=cpu"], "precision: fp16 expects a GPU, found compute"),
        (["stages.byol-domain.probe_every_epochs=1", "data.validation_slices=0"], "expected validation slices"),
    ],
)
def test_what_could_not_run_or_learn_is_refused_by_the_stages_name(overrides: list[str], message: str) -> None:
    with pytest.raises(DataError, match=rf"stages\.byol-domain: .*{message}"):
        check(*overrides)


def test_a_set_smaller_than_a_batch_is_warned_of() -> None:
    (warning,) = check(pool=20)
    assert warning == ("stages.byol-domain: expected at least batch_size=32 samples, found 20: all are one batch")


def test_a_warm_up_without_an_end_is_warned_of() -> None:
    overrides = ("stages.byol-domain.warmup_epochs=1", "stages.byol-domain.schedule=per_length")
    (warning,) = check(*overrides)  # lengths of 1 and 2 epochs
    assert warning == "stages.byol-domain: warmup_epochs=1 leaves a run of 1 epochs no time to anneal"
    assert check("stages.byol-domain.warmup_epochs=1") == []
