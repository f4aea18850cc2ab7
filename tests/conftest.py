"""Fixtures that several folders share, and the order in which files of tests are given to the workers."""

import gc
import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("labelcurve", deadline=None)  # the first call of torch on a busy machine takes its time
settings.load_profile("labelcurve")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the same numbers with and without a GPU in the machine
os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers are the parallel ones: their threads would wait for each other

LONGEST_FIRST = (
    "test_end_to_end.py",
    "test_pretrain.py",
    "test_report.py",
    "test_two_workers.py",
    "test_broken_inputs.py",
    "test_killed_copies.py",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import without looking for garbage, and never look again at what was imported."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, so that no worker is left with one when the others have ended."""
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session", autouse=True)
def unflushed() -> Iterator[None]:
    """Write without waiting for the disk: tests kill processes, which loses nothing written, and never a machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers see, for ``built_once``: what is built in it is built by the first that asks."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"


@pytest.fixture(scope="session")
def cache(shared: Path) -> Path:
    """One decoded-data cache for the whole session, away from the user's."""
    return shared / "cache"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 700 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(scope="session")
def real_acdc() -> Path:
    """The real ACDC training folder, where the machine has it (LABELCURVE_ACDC or ../shared/data/acdc/training)."""
    default = Path(__file__).parents[2] / "shared" / "data" / "acdc" / "training"
    root = Path(os.environ.get("LABELCURVE_ACDC", default))
    if not root.is_dir():
        pytest.skip("the real ACDC is not on this machine: set LABELCURVE_ACDC to its training folder")
    return root
