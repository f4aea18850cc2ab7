"""Every program of the analysis ends with an exit code and one line, whatever is wrong with its results."""

from pathlib import Path

import pytest

from analysis import compare, early_stopping, next_run, report
from trainables.results import open_results

PROGRAMS = {
    "report": (report, lambda root: [str(root)]),
    "compare": (compare, lambda root: [str(root), str(root)]),
    "next_run": (next_run, lambda root: [str(root)]),
    "early_stopping": (early_stopping, lambda root: [str(root)]),
}


@pytest.fixture(params=PROGRAMS)
def program(request):
    return PROGRAMS[request.param]


def no_results(root: Path) -> None:
    root.mkdir()


def empty_results(root: Path) -> None:
    open_results(root)


def torn_experiment(root: Path) -> None:
    open_results(root)
    (root / "experiment.yaml").write_bytes(b"\x00{")


@pytest.mark.parametrize("prepare", [no_results, empty_results, torn_experiment], ids=lambda each: each.__name__)
def test_unusable_results_end_it_with_code_1_and_one_line(program, prepare, tmp_path, capsys):
    module, arguments = program
    prepare(tmp_path / "sweep")
    assert module.main(arguments(tmp_path / "sweep")) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (PermissionError(13, "denied", "x"), 1)])
def test_control_c_and_a_disk_that_refuses_have_their_codes(program, error, code, tmp_path, monkeypatch, capsys):
    module, arguments = program

    def broken(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(module, "load_results", broken)
    assert module.main(arguments(tmp_path)) == code
    assert "Traceback" not in capsys.readouterr().err


def test_its_help_says_what_the_codes_mean(program, capsys):
    module, _ = program
    with pytest.raises(SystemExit):
        module.main(["--help"])
    assert "exit codes: 0 done, 1 error, 2 usage, 130 interrupted" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("text", ["nan", "-1", "1", "much"])
def test_a_rise_that_is_no_dice_is_refused(text, tmp_path, capsys):
    with pytest.raises(SystemExit):
        early_stopping.main([str(tmp_path), f"--min-delta={text}"])
    assert f"expected a Dice from 0 to below 1, found {text!r}" in " ".join(capsys.readouterr().err.split())
