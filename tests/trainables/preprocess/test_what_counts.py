"""Only training volumes tell how training slices are scaled, and how a file stores them changes nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from tests.trainables.preprocess.planes import Array
from trainables.config import DataConfig, PhantomConfig
from trainables.data.phantom import write_phantom
from trainables.data.slice_store import SliceStore
from trainables.data.slices import open_store


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantom")
    write_phantom(root, PhantomConfig(num_patients=12, num_slices=3, num_frames=2, height=32, width=32))
    return root


@pytest.fixture
def rewritten(phantom: Path, tmp_path: Path) -> Callable[..., SliceStore]:
    """Open a copy of the phantom whose images went through a function of their file name and array."""

    def call(change: Callable[[str, Array], Array] = lambda _, array: array, **config: Any) -> SliceStore:
        root = tmp_path / f"copy{len(list(tmp_path.iterdir()))}"
        shutil.copytree(phantom, root)
        for path in sorted(root.rglob("*.nii.gz")):
            if not path.name.endswith("_gt.nii.gz"):
                image = nibabel.load(path)
                array = change(path.name, np.asarray(image.dataobj))
                header = image.header.copy()
                header.set_data_dtype(array.dtype)
                nibabel.save(nibabel.Nifti1Image(array, image.affine, header), path)
        return open_store(DataConfig.model_validate({"root": root, "image_size": 32} | config), tmp_path / "cache")

    return call


def test_constants_of_the_training_split_are_measured_on_it_alone(
    phantom: Path, rewritten: Callable[..., SliceStore]
) -> None:
    store = rewritten(intensity="training-percentiles")
    ((low, extent),) = store.summary["preprocessing"]["constants"]
    frames = [path for path in phantom.rglob("*_frame??.nii.gz") if path.parent.name[-1] not in "12"]
    voxels = np.concatenate([np.asarray(nibabel.load(path).dataobj).ravel() for path in frames])
    expected = np.percentile(voxels, [0.5, 99.5])
    assert len(frames) == 16
    assert (low, low + extent) == pytest.approx(tuple(expected), abs=2e-3 * float(np.ptp(voxels)))


def is_held_out(file: str) -> bool:
    """Whether the paper's split tests or validates a patient."""
    return file.removeprefix("patient")[2] in "12"


@pytest.mark.parametrize("intensity", ["volume-percentiles", "volume-zscore", "training-percentiles"])
def test_no_rule_lets_an_image_from_outside_the_training_split_change_a_training_slice(
    rewritten: Callable[..., SliceStore], intensity: str
) -> None:
    def brightened(file: str, array: Array) -> Array:
        return array.astype(np.int32) * (100 if is_held_out(file) or "_4d" in file else 1)

    store, brighter = rewritten(intensity=intensity), rewritten(brightened, intensity=intensity)
    train, test = store.rows("train"), store.rows("test")
    assert brighter.summary["preprocessing"]["constants"] == store.summary["preprocessing"]["constants"]
    np.testing.assert_array_equal(brighter.images[train], store.images[train])
    if intensity == "training-percentiles":
        assert (brighter.images[test] != store.images[test]).any()  # what was changed is seen


def test_images_of_held_out_patients_enter_no_pool_id(rewritten: Callable[..., SliceStore]) -> None:
    for rules in ({"spacing_mm": 3.0}, {"intensity": "training-percentiles"}):
        store = rewritten(**rules)
        other = rewritten(lambda file, array: array + 5 * is_held_out(file), **rules)
        assert other.pool_id == store.pool_id
        assert other.data_id != store.data_id


def test_the_type_that_an_image_is_saved_in_changes_nothing(rewritten: Callable[..., SliceStore]) -> None:
    types = (np.uint8, np.int16, np.int32, np.float32, np.float64)
    stores = [rewritten(lambda _, array, to=to: (array // 17).astype(to)) for to in types]
    assert len({(store.data_id, store.pool_id, store.content_id) for store in stores}) == 1
    for store in stores[1:]:
        np.testing.assert_array_equal(store.images, stores[0].images)
