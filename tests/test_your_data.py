"""docs/your-data.md is true: its commands, run in order on a folder such as it describes, lead to a report."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.report import main as report
from sweep.data_efficiency import main as sweep
from trainables.data.__main__ import main as look

PAGE = Path(__file__).parents[1] / "docs" / "your-data.md"
PROGRAMS = {"trainables.data": look, "sweep.data_efficiency": sweep, "analysis.report": report}
QUICK = (
    *("finetune.steps=2", "finetune.batch_size=2", "finetune.evaluate_every=2", "grid.subset_seeds=[0]"),
    *("stages.supervised-natural.epochs=1", "stages.byol-domain.epochs=2", "stages.byol-domain.milestones=[1, 2]"),
    *("natural.num_images=64", "model.width=8", "report.bootstrap_resamples=100"),
    "--launcher=serial",
)


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten patients with four PNG slices each: a bright disc to outline on a shaded ground."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:60, :72]
    for kind in ("images", "masks"):
        (tmp_path / "my-data" / kind).mkdir(parents=True)
    for patient in range(10):
        for index in range(4):
            centre, radius = rng.integers(20, 40, 2), rng.integers(6, 14)
            disc = (row - centre[0]) ** 2 + (column - centre[1]) ** 2 < radius**2
            image = 40 + 60 * disc + rng.normal(0, 10, disc.shape)
            name = f"p{patient:02d}_slice{index:02d}.png"
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(tmp_path / "my-data" / "images" / name)
            Image.fromarray((255 * disc).astype(np.uint8)).save(tmp_path / "my-data" / "masks" / name)
    return tmp_path


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_the_pages_commands_lead_from_a_folder_to_a_report(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = []
    for python, flag, program, *arguments in commands():
        assert (python, flag) == ("python", "-m")
        quick = QUICK if program == "sweep.data_efficiency" else ()
        codes.append((program, PROGRAMS[program]([*arguments, *quick])))
    assert codes == [
        ("trainables.data", 1),  # it asks whose images are whose
        ("trainables.data", 0),
        *[("sweep.data_efficiency", 0)] * 2,
        ("analysis.report", 0),
    ]
    assert (own_folder / "my-data.png").is_file()
    page = (own_folder / "results" / "small" / "report" / "index.html").read_text()
    assert "foreground" in page  # the class that was counted from the masks
    assert "--preset small data.root=my-data" in capsys.readouterr().out
