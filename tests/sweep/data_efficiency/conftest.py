"""The command on one cell, without Ray."""

from pathlib import Path

import pytest

from sweep.data_efficiency import main
from tests.sweep.data_efficiency.run import Run

TINY = (
    "grid.arms=[random]",
    "report.reference_arm=random",
    "grid.label_counts=[2]",
    "grid.subset_seeds=[0]",
)


@pytest.fixture
def run(tmp_path: Path, cache: Path) -> Run:
    """Run the command on a one-cell experiment without Ray."""

    def call(*arguments: str) -> int:
        common = ["--preset", "smoke", "--launcher", "serial", "--results", str(tmp_path / "results")]
        return main([*common, *TINY, f"compute.cache={cache}", "compute.device=cpu", *arguments])

    return call
