"""What ``python -m trainables.data`` says of mistakes in its arguments."""

from pathlib import Path

import pytest

from tests.trainables.inspection.printed import Run
from trainables.data.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spacing=1"], "unknown key 'spacing'; did you mean 'spacing_mm'?"),
        (["data.exclud=[a]"], "unknown key 'exclud'; did you mean 'exclude'?"),
        (["spacing_mm="], "'spacing_mm=': expected a value after '=', found nothing; null sets none"),
        (["exclude=p01"], "exclude: expected a list, such as [p01], found 'p01'"),
        (["spacing_mm"], "'spacing_mm': expected key=value, such as spacing_mm=1.5"),
        (["spacing_mm=-1"], "spacing_mm: Input should be greater than 0"),
        (
            ["spacing_mm=1", "longest_side=64"],
            "expected one of them, found both; set data.longest_side=null to resample to data.spacing_mm",
        ),
        (["classes={a: 1"], "classes={a: 1: expected a YAML value"),
        (["patient_pattern=patient"], "data.patient_pattern: expected a group that is the patient"),
        (["--format", "dicom"], "format: Input should be"),
        (["--format", "acdc", "--natural"], "--natural and --format acdc: expected one of them, found both"),
        (["format=phantom"], "data.root: format phantom expects no root"),
        (["image_size=33", "split_seed=-1"], "split_seed: Input should be greater than or equal to 0"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_line_for_each_mistake(
    acdc: Path, run: Run, arguments: list[str], message: str
) -> None:
    code, printed = run(acdc, *arguments)
    assert code == 2
    assert printed.startswith("error: ")
    assert message in printed
    assert len(printed.splitlines()) <= len(arguments)


def test_arguments_that_do_not_exist_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["root", "--formt", "acdc"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "usage: python -m trainables.data" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_ends_with_2(acdc: Path, run: Run) -> None:
    for option in ("--picture", "--write-split"):
        code, printed = run(acdc, option, acdc / "patient001" / "Info.cfg" / "file")
        assert code == 2
        assert "error: " in printed


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (PermissionError(13, "Permission denied", "x.nii"), 1, "error: [Errno 13] Permission denied: 'x.nii'"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
    ],
)
def test_what_stops_an_inspection_is_one_line(
    acdc: Path, run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr("trainables.data.inspection.inspect", stop)
    ended, printed = run(acdc)
    assert (ended, printed.strip()) == (code, line)
