"""Which format a folder is taken for, above all where it looks like two; names alone decide, so the files are empty."""

import re
from pathlib import Path

import pytest

from trainables.config import DataConfig
from trainables.data.__main__ import main
from trainables.data.dataset import DataError
from trainables.data.readers import detect_format, kind_at, read_dataset

TREES = {
    # labelled, whatever else it looks like
    "images and masks, in folders that could be classes": ("folder", "images/a.png masks/a.png"),
    "images and masks of other names": ("folder", "images/a.png images/b.png masks/c.png"),
    "masks without their images": ("folder", "images/ masks/a.png masks/b.png"),
    "images without their masks": ("folder", "Images/a.png Labels/"),
    "a table": ("folder", "cases.csv pixels/a.png drawn/a.png"),
    "one mask beside its image": ("folder", "a.png a_mask.png cat/b.png dog/b.png"),
    "frames": ("acdc", "patient001/Info.cfg patient001/patient001_frame01.nii.gz patient001/patient001_4d.nii.gz"),
    "frames without Info.cfg": ("acdc", "patient001/patient001_frame01.nii.gz"),
    "frames of other names": ("acdc", "patient001/Info.cfg patient001/patient001_ED.nii.gz patient001/ED_gt.nii.gz"),
    "patients without images": ("acdc", "patient001/Info.cfg patient002/Info.cfg"),
    "cases without a description": ("nnunet", "imagesTr/a_0000.png labelsTr/a.png"),
    "cases without masks": ("nnunet", "imagesTr/a_0000.png"),
    # labelled in a way that no reader knows: neither natural images nor a pool
    "masks in a folder of an unknown name": (None, "images/a.png outlines/a.png"),
    "masks in patients' folders": (None, "p1/image.nii.gz p1/mask.nii.gz p2/image.nii.gz p2/mask.nii.gz"),
    "masks beside images in classes": (None, "cat/a.png cat/a_mask.png dog/a.png dog/a_mask.png"),
    "images and masks of two sites": (None, "one/images/a.png one/masks/a.png two/images/a.png two/masks/a.png"),
    "images and masks of two parts": (None, "train/images/a.png train/gts/a.png test/images/b.png test/gts/b.png"),
    "a folder above": (None, "training/patient001/patient001_frame01.nii.gz training/patient001/a_gt.nii.gz"),
    "masks alone": (None, "masks/a.png masks/b.png"),
    "a decathlon without its description": (None, "imagesTr/a.nii.gz labelsTr/a.nii.gz"),
    # natural images
    "classes": ("imagefolder", "cat/a.jpg cat/b.JPEG dog/a.webp .cache/a.png"),
    "classes that are numbers": ("imagefolder", "n01443537/a.jpg n01629819/a.jpg"),
    "parts with classes": ("imagefolder", "train/cat/a.jpg train/dog/a.jpg val/cat/b.jpg val/dog/b.jpg"),
    "the training part alone": ("imagefolder", "train/cat/a.jpg train/dog/a.jpg"),
    # unlabelled
    "cines with ACDC's Info.cfg": ("unlabelled", "patient003/Info.cfg patient003/patient003_4d.nii.gz"),
    "volumes in a folder": ("unlabelled", "a.nii.gz b.nii"),
    "volumes in folders that could be classes": ("unlabelled", "cat/a.nii.gz dog/a.nii.gz"),
    "pictures in patients' folders": ("unlabelled", "p01/a.png p02/a.png"),
    "pictures in patients' sessions": ("unlabelled", "sub-01/one/a.png sub-01/two/a.png sub-02/one/a.png"),
    "pictures in a folder": ("unlabelled", "a.png b.png"),
    "a single class": ("unlabelled", "cat/a.png"),
    "images alone": ("unlabelled", "images/a.png"),
    "nnU-Net's test images": ("unlabelled", "imagesTs/a_0000.nii.gz"),
    "hidden masks": ("unlabelled", "a.png ._a_mask.png"),
    # nothing
    "other files": (None, "beach.mp4 cat/readme.txt dog/readme.txt"),
}


def plant(root: Path, tree: str) -> Path:
    """Create empty files and folders; a path that ends with a stroke is a folder."""
    for name in tree.split():
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    return root


@pytest.mark.parametrize("name", TREES)
def test_a_folder_is_taken_for(name: str, tmp_path: Path) -> None:
    expected, tree = TREES[name]
    plant(tmp_path, tree)
    if expected is None:
        with pytest.raises(DataError, match="a folder of no known layout"):
            detect_format(tmp_path)
        assert kind_at(DataConfig(root=tmp_path)) == "labelled"
    else:
        assert detect_format(tmp_path) == expected


def test_masks_that_fit_no_image_keep_their_own_error(tmp_path: Path) -> None:
    found = read_dataset(DataConfig(root=plant(tmp_path, "images/a.png masks/b.png"))).problems
    assert [(Path(problem.where).parent.name, problem.found) for problem in found] == [
        ("images", "an image without a mask"),
        ("masks", "a mask without an image"),
    ]


@pytest.mark.parametrize("setting", ["classes={lesion: 1}", "cases_csv=who.csv", "split_file=folds.json split=file"])
def test_what_is_asked_for_of_labelled_images_is_no_folder_of_others(
    setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(tmp_path, "pixels/a.png drawn/a.png")
    settings = setting.split() if "split" in setting else [setting]
    assert main([str(tmp_path), *settings]) == 1
    printed = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    assert "nothing would be trained" in printed
    assert "natural.source=folder" in printed
