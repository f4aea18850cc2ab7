"""The command line: help, exit codes, and what it cannot mean answered with what to write."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from sweep import data_efficiency, exit_codes
from sweep.arguments import options_with_value
from sweep.data_efficiency import main
from sweep.exit_codes import DONE, USAGE
from tests.sweep.data_efficiency.run import Run


def test_help_answers_in_under_a_second_without_importing_torch_or_ray() -> None:
    started = time.perf_counter()
    command = [sys.executable, "-X", "importtime", "-m", "sweep.data_efficiency", "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    assert "--dry-run" in answer.stdout
    assert not {"torch", "ray", "pandas", "pyarrow"} & {
        line.split("|")[-1].strip() for line in answer.stderr.splitlines()
    }
    assert seconds < 5  # the imports above are what costs; this only catches a new one


def test_print_config_prints_an_experiment_that_runs_again(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("--print-config") == DONE
    printed = capsys.readouterr().out
    assert "\n  stop: null\n" in printed
    (tmp_path / "mine.yaml").write_text(printed)
    assert main(["--config", str(tmp_path / "mine.yaml"), "--print-config"]) == DONE
    assert main(["--config", str(tmp_path / "mine.yaml"), "--print-config", "finetune.stop.patience=4"]) == DONE
    assert "\n  stop:\n    patience: 4\n    min_delta: 0.001\n    cooldown_fraction: 0.2\n" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--preset", "dmo"], ["finetune.step=1"], ["--config", "/nowhere.yaml"]])
def test_usage_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == USAGE
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["preset=smoke"], "'preset=smoke': preset is no key of an experiment; use --preset smoke"),
        (["max-hours=2"], "use --max-hours 2"),
        *(([f"{name}=a"], f"use --{name} a") for name in ("config", "results", "launcher", "address", "mirror")),
        *(([f"{name}=a"], f"use --{name} a") for name in ("tensorboard", "log-json", "max-cost")),
        (["--launcher", "serial", "compute.pretraining_workers=4"], "compute.pretraining_workers: expected 1 with"),
    ],
)
def test_what_the_command_line_cannot_mean_is_answered_with_what_to_write(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*arguments, "--results", str(tmp_path / "results")]) == USAGE
    assert message in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("hours", ["0", "-1", "soon", "inf", "nan"])
def test_a_time_that_is_no_number_of_hours_is_refused(run: Run, hours: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--max-hours", hours)
    assert f"expected a number of hours above 0, found '{hours}'" in capsys.readouterr().err


def test_a_setting_that_is_given_again_holds_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """``analysis.next_run`` prints settings to put behind a command that may have them already."""
    settings = ["grid.subset_seeds=[0]", "finetune.steps=7", "finetune.steps=7", "grid.subset_seeds=[0,1]"]
    assert main(["--preset", "smoke", "--print-config", *settings]) == DONE
    said = capsys.readouterr()
    assert yaml.safe_load(said.out)["grid"]["subset_seeds"] == [0, 1]
    assert said.err == "note: 'grid.subset_seeds=[0]' does not hold, since 'grid.subset_seeds=[0,1]' follows it\n"


@pytest.mark.parametrize("option", sorted(options_with_value()))
@pytest.mark.parametrize("value", ["", " "])
def test_an_option_whose_value_is_empty_is_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with ``--mirror "$MIRROR"`` where the variable is not set."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["--print-config", f"--{option}", value])
    assert ended.value.code == USAGE
    assert re.search(rf"argument --{option}: .*'{value}'", capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_every_exit_code_is_defined_once_and_told_in_the_help() -> None:
    told = re.search(r"Exit codes: (.*)", " ".join((data_efficiency.__doc__ or "").split()))
    assert told
    found = {int(number) for number in re.findall(r"\b(\d+) [a-z]", told.group(1))}
    codes = {name: value for name, value in vars(exit_codes).items() if name.isupper()}
    assert found == set(codes.values())
    for name in ("data_efficiency.py", "run.py"):
        source = (Path(exit_codes.__file__).parent / name).read_text()
        assert not re.search(r"^(\w+, )*(DONE|INTERRUPTED)(, \w+)* = ", source, re.MULTILINE), name
