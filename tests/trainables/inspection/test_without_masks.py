"""What ``python -m trainables.data`` says of natural and unlabelled images."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainables.inspection.printed import Run, rows

# Natural images


@pytest.mark.parametrize("named", [(), ("--natural",), ("--format", "imagefolder")])
def test_natural_images_are_recognised_and_counted_by_class(photographs: Path, run: Run, named: tuple[str]) -> None:
    code, printed = run(photographs, *named)
    assert code == 0
    assert rows(printed) == {"format": ["imagefolder"], "classes": ["2"], "images": ["5, 2 to 3 in a class"]}
    assert "no problems found" in printed
    assert printed.startswith(f"natural images in {photographs}\n")
    assert f"natural.source=folder natural.root={photographs}" in printed


def test_a_broken_natural_image_is_named(photographs: Path, run: Run) -> None:
    content = (photographs / "cat" / "1.png").read_bytes()
    (photographs / "cat" / "1.png").write_bytes(content[: len(content) // 2])
    (photographs / "dog" / "3.png").symlink_to("nowhere")
    code, printed = run(photographs, "--natural")
    assert code == 1
    assert "2 problems: nothing would be trained" in printed
    together = re.sub(r"[\s│]", "", printed)
    assert re.search(r"cat/1\.png.*cannotberead", together)
    assert "dog/3.png" in together


@pytest.mark.parametrize(("damage", "found"), [("dog", "1 subfolders"), (".", "no folder")])
def test_natural_images_without_classes_are_refused(photographs: Path, run: Run, damage: str, found: str) -> None:
    shutil.rmtree(photographs / damage)
    code, printed = run(photographs, "--natural")
    assert code == 1
    assert found in printed


# Unlabelled images


def test_a_folder_without_masks_is_inspected_as_a_pool(pool: Path, run: Run) -> None:
    code, printed = run(pool)
    assert code == 0
    table = {name: cells[0] for name, cells in rows(printed).items()}
    assert table["format"] == "unlabelled: a pool of images without masks"
    assert table["channels"] == "1 (image)"
    assert table["patients"] == "2, as folders and names tell them"
    assert table["volumes"] == "3, of which 3 could be used"
    assert table["slices"] == "26, all frames of cines among them"  # 2 * 3 * 4 + 2
    assert table["slices a volume"] == "2 to 12"
    assert table["size, pixels"] == "12 rows, 10 columns"
    assert "mask types" not in table
    assert f"next: pretrain on them with data.unlabelled_root={pool}" in printed
    assert run(pool, "--format", "unlabelled") == (code, printed)


def test_a_damaged_file_of_a_pool_and_a_name_to_exclude_that_nothing_has_are_named(pool: Path, run: Run) -> None:
    (pool / "p1" / "cine.nii.gz").write_bytes(b"")
    code, printed = run(pool, "exclude=[p2, p3]")
    assert code == 1
    assert "2 problems: nothing would be trained" in printed
    assert rows(printed)["volumes"] == ["1, of which 0 could be used"]
    together = re.sub(r"[\s│]", "", printed)
    assert "p1/cine.nii.gz" in together
    assert "data.excludewith'p3'" in together


def test_pictures_of_other_channels_than_the_first_are_problems_of_a_pool(photographs: Path, run: Run) -> None:
    Image.fromarray(np.arange(480, dtype=np.uint8).reshape(20, 24) % 251).save(photographs / "cat" / "9.png")
    (photographs / "dog" / "2.webp").unlink()
    code, printed = run(photographs, "--format", "unlabelled")
    assert code == 1
    assert "1 problem: nothing would be trained" in printed
    assert re.search(r"cat/9\.png +│ 1 channels", printed)
    assert rows(printed)["channels"] == ["3 (red, green, blue)"]


def test_what_is_of_no_use_for_images_without_masks_is_said(pool: Path, photographs: Path, run: Run) -> None:
    assert (
        f"warning: --write-split: of no use for unlabelled images, as which {pool} is"
        in run(pool, "--write-split", "x.json")[1]
    )
    printed = run(photographs, "image_size=32", "--unlabelled", pool)[1]
    assert f"warning: --unlabelled, image_size=32: of no use for natural images, as which {photographs} is" in printed
    assert "warning" not in run(pool, "image_size=32")[1]
