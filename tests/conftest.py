"""Fixtures that several folders share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("labelcurve", deadline=None)  # the first call of torch on a busy machine takes its time
settings.load_profile("labelcurve")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the same numbers with and without a GPU in the machine


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One decoded-data cache for the whole session, away from the user's."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def real_acdc() -> Path:
    """The real ACDC training folder, where the machine has it (LABELCURVE_ACDC or ../shared/data/acdc/training)."""
    default = Path(__file__).parents[2] / "shared" / "data" / "acdc" / "training"
    root = Path(os.environ.get("LABELCURVE_ACDC", default))
    if not root.is_dir():
        pytest.skip("the real ACDC is not on this machine: set LABELCURVE_ACDC to its training folder")
    return root
