"""Every program beside a run ends with an exit code and one line, whatever is wrong with its results."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from sweep import compact, export, mirror, status, tensorboard

PROGRAMS: dict[str, tuple[ModuleType, str, Callable[[Path], list[str]]]] = {
    "compact": (compact, "compact", lambda root: [str(root)]),
    "export": (export, "export", lambda root: [str(root), "--to", "mlflow"]),
    "mirror": (mirror, "_copy", lambda root: [str(root), f"file://{root.parent}/copy"]),
    "status": (status, "read_status", lambda root: [str(root)]),
    "tensorboard": (tensorboard, "EventFiles", lambda root: [str(root)]),
}
Program = tuple[ModuleType, str, Callable[[Path], list[str]]]


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Program:
    return PROGRAMS[request.param]


def test_a_folder_that_is_no_results_folder_ends_it_with_code_1_and_one_line(
    program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, _, arguments = program
    assert module.main(arguments(tmp_path / "nothing")) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (PermissionError(13, "denied", "x"), 1)])
def test_control_c_and_a_disk_that_refuses_have_their_codes(
    program: Program,
    error: BaseException,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module, body, arguments = program

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module, body, broken)
    monkeypatch.setattr(module, "check_results", lambda root: root, raising=False)
    assert module.main(arguments(tmp_path)) == code
    assert "Traceback" not in capsys.readouterr().err


def test_its_help_says_what_the_codes_mean(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program[0].main(["--help"])
    assert "exit codes: 0 done, 1 error, 2 usage, 130 interrupted" in " ".join(capsys.readouterr().out.split())
