"""The command, and data sets whose numbers are known."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.trainables.inspection.printed import Run
from trainables.data.__main__ import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command and return its exit code and what it printed."""

    def call(*arguments: object) -> tuple[int, str]:
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


@pytest.fixture
def acdc(datasets: ModuleType, tmp_path: Path) -> Path:
    """10 volumes of 3 slices, of which one shows nothing, one 6 pixels of class 1, one 6, 4 and 2 of classes 1 to 3."""
    datasets.write("acdc", tmp_path / "hearts")
    return tmp_path / "hearts"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """3 cats and 2 dogs."""
    rng = np.random.default_rng(0)
    for name in ("cat/1.png", "cat/2.jpg", "cat/more/3.png", "dog/1.png", "dog/2.webp"):
        path = tmp_path / "animals" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 24, 3)).astype(np.uint8)).save(path)
    (tmp_path / "animals" / "cat" / "._1.png").write_bytes(b"\0\5")
    return tmp_path / "animals"


@pytest.fixture
def pool(datasets: ModuleType, tmp_path: Path) -> Path:
    """Two patients with a cine of 3 slices in 4 frames each, and one of them with a volume of 2 slices."""
    rng = np.random.default_rng(0)
    for name, shape in (("p1/cine", (3, 12, 10, 4)), ("p2/cine", (3, 12, 10, 4)), ("p2/late", (2, 12, 10))):
        datasets.save_nifti(tmp_path / "pool" / f"{name}.nii.gz", rng.integers(7, 900, shape).astype(np.int16))
    return tmp_path / "pool"
