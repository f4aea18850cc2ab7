"""A Ray that does not start, and a machine that is too small, are told in a line each."""

from pathlib import Path

import pytest
import ray

from sweep.data_efficiency import main
from sweep.exit_codes import DONE, ERROR

SMOKE = ["--preset", "smoke", "grid.arms=[random]", "report.reference_arm=random"]


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return [*SMOKE, "--results", str(tmp_path / "results"), f"compute.cache={tmp_path / 'cache'}"]


def test_a_ray_that_starts_too_slowly_is_told_in_a_line_with_a_way_out(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_slow(**_: object) -> None:
        raise Exception("The current node timed out during startup.\nThis could happen")  # as Ray's node.py does

    monkeypatch.setattr(ray, "init", too_slow)
    assert main(arguments) == ERROR
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: Ray did not start on this machine (The current node timed out during startup.)")
    assert "--launcher serial" in last


def test_more_workers_than_this_machine_has_are_refused_before_ray_starts(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray, "init", None)
    arguments = [*arguments, "compute.pretraining_workers=512"]
    assert main([*arguments, "--dry-run"]) == DONE
    told = " ".join(capsys.readouterr().err.split())
    assert "no forecast: a pretraining stage needs 512 workers of 1 CPU each, and this machine (" in told
    assert main(arguments) == ERROR
    assert "needs 512 workers of 1 CPU each, and this machine (" in capsys.readouterr().err.splitlines()[-1]
