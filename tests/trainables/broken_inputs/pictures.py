"""Broken pictures and their masks."""

import numpy as np

from tests.trainables.broken_inputs.damages import (
    Broken,
    as_broken_link,
    as_folder,
    both,
    change_bytes,
    claim_png_size,
    cut,
    flip,
    recode_masks,
    set_picture,
    turn,
    two_pages,
    write_text,
)
from tests.trainables.broken_inputs.places import AGAIN, PICTURE, PICTURE_MASK

PICTURES = (
    Broken(
        *("JPEG mask", "folder", set_picture(PICTURE_MASK, np.copy, ".jpg"), "masks/patient002_ED_9.jpg"),
        *("a lossy JPEG mask", "exact label values", "PNG or TIF"),
    ),
    Broken(
        *("coloured mask", "folder", set_picture(PICTURE_MASK, lambda pixels: np.stack([pixels] * 3, -1))),
        *(PICTURE_MASK, "3 colour channels", "one channel of class numbers", "grey values"),
    ),
    *(
        Broken(
            *(f"turned {name[:-1]} in {ending}", "folder-rgb", turn(f"{name}/patient002_ED_9.png", 6, ending)),
            *(f"{name}/patient002_ED_9{ending}", "EXIF orientation 6", "stored upright", "without the tag"),
        )
        for name, ending in (("images", ".jpg"), ("images", ".png"), ("images", ".tif"), ("masks", ".png"))
    ),
    Broken(
        *("mirrored mask in .tif", "folder", turn(PICTURE_MASK, 2, ".tif"), "masks/patient002_ED_9.tif"),
        *("EXIF orientation 2", "stored upright", "without the tag"),
    ),
    Broken("truncated PNG", "folder", cut(PICTURE, -30), PICTURE, "cannot be read", "a whole picture file", AGAIN),
    Broken("PNG without its end", "folder", cut(PICTURE, -13), PICTURE, "cannot be read", "whole picture", AGAIN),
    Broken("flipped PNG", "folder", flip(PICTURE, 0.6), PICTURE, "cannot be read", "a whole picture file", AGAIN),
    Broken("flipped PNG mask", "folder", flip(PICTURE_MASK, -17), PICTURE_MASK, "cannot be read", "picture", AGAIN),
    Broken(
        *("truncated TIF", "folder", both(set_picture(PICTURE, np.copy, ".tif"), cut(PICTURE[:-3] + "tif", 180))),
        *("images/patient002_ED_9.tif", "cannot be read", "a whole picture file", AGAIN),
    ),
    Broken(
        *("pages of two sizes", "folder", two_pages, "images/patient002_ED_9.tif"),
        *("pages of sizes", "pages of one size", "files of their own"),
    ),
    Broken("empty PNG", "folder", cut(PICTURE, 0), PICTURE, "cannot be read", "a whole picture file", AGAIN),
    Broken("text as PNG", "folder", write_text(PICTURE, "hello"), PICTURE, "cannot be read", "picture file", AGAIN),
    Broken(
        *("absurd PNG", "folder", change_bytes(PICTURE, claim_png_size), PICTURE),
        *("3600000000 pixels", "a whole picture file", AGAIN),
    ),
    Broken("folder for a picture", "folder", as_folder(PICTURE), PICTURE, "Is a directory", "picture file", AGAIN),
    Broken("broken link to a picture", "folder", as_broken_link(PICTURE), PICTURE, "No such file", "picture", AGAIN),
    Broken(
        *("picture mask of another size", "folder", set_picture(PICTURE_MASK, lambda pixels: pixels[:-1])),
        *(PICTURE_MASK, r"a mask of shape \(1, 1, 11, 10\)", r"\(1, 1, 12, 10\), the shape of", "image's grid"),
    ),
    Broken(
        *("grey among coloured", "folder-rgb", set_picture(PICTURE, lambda pixels: pixels[..., 0].copy())),
        *(PICTURE, "1 channels", r"3 \(red, green, blue\)", "the same channels"),
    ),
    Broken(
        *(
            "unknown picture label",
            "nnunet-png",
            set_picture("labelsTr/patient002_ED_9.png", lambda pixels: pixels + 4),
        ),
        *("labelsTr/patient002_ED_9.png", "label values 4, 5$", "only 0, 1, 2, 3"),
        "correct the mask, or correct the labels of dataset.json$",
    ),
    Broken(
        *(
            "label that data.classes lacks",
            "folder",
            lambda root: None,
            "masks/patient001_ED_10.png",
            "label values 3$",
        ),
        *("only 0, 1, 2", "or name its classes with data.classes=", {"classes": {"a": 1, "b": 2}}, 10),
    ),
    Broken(
        *("no pixel size", "folder", lambda root: None, "images/patient001_ED_8.png", "without a pixel size"),
        *("data.spacing_mm", "data.pixel_spacing_mm", {"spacing_mm": 1.5}, 10),
    ),
    Broken(
        *("classes in doubt", "folder", recode_masks(85, 170, 255), ".png", "masks that hold 85, 170, 255 beside 0"),
        *("0 and one value, or 0, 1, 2", r"data.classes='\{NAME1: 85, NAME2: 170, NAME3: 255\}'$"),
    ),
    Broken(
        *("one stray label", "folder", set_picture(PICTURE_MASK, lambda pixels: pixels * 7), PICTURE_MASK),
        *("masks that hold 1, 2, 3, 7 beside 0", "0, 1, 2, ...", "data.classes"),
    ),
    Broken("empty masks", "folder", recode_masks(0, 0, 0), ".png", "empty masks", "0 and one value", "data.classes"),
)
