"""Folders that are not as their format says, ACDC's among them."""

import shutil

from tests.trainables.broken_inputs.damages import Broken, both, copy, empty, move, remove, write_text
from tests.trainables.broken_inputs.places import AGAIN, CASE, CASE_MASK, IMAGE, INFO, MASK, PICTURE, PICTURE_MASK

LAYOUTS = (
    Broken(
        "empty folder", "acdc", empty, "data", r"no known layout \(nothing\)", "acdc: folders patient001", "arrange"
    ),
    Broken(
        "holiday", "acdc", both(empty, lambda root: (root / "beach.mp4").touch()), "data", "beach.mp4", "nnunet: d", "a"
    ),
    Broken(
        *("natural images", "folder", both(move("images", "cat"), move("masks", "dog")), "data"),
        *(
            r"natural images, .* \(format imagefolder\)",
            "acdc: folders",
            "give it as natural.source=folder natural.root=.*data .*, and images with masks as data.root",
        ),
    ),
    Broken(
        *("masks of an unknown name", "folder", move("masks", "outlines"), "data"),
        *(r"no known layout \(images, outlines\)", "folder: images/NAME.png and masks/NAME.png", "arrange"),
    ),
    Broken(
        *("file as root", "acdc", lambda root: (shutil.rmtree(root), root.touch()), "data"),
        *("a file", "a folder of images and masks", "correct data.root"),
    ),
    Broken("no root", "acdc", shutil.rmtree, "data", "nothing", "a folder of images and masks", "correct data.root"),
    Broken(
        *("no patients", "acdc", empty, "data", "nothing", "folders named patient001", "point data.root"),
        *({"format": "acdc"},),
    ),
    Broken("no mask", "acdc", remove(MASK), MASK, "no mask, though Info.cfg", "the file", "data.exclude"),
    Broken("no image", "acdc", remove(IMAGE), IMAGE, "no image, though Info.cfg", "the file", "data.exclude"),
    Broken(
        *("mask of an unnamed frame", "acdc", copy(MASK, "patient002/patient002_frame09_gt.nii.gz")),
        *("patient002_frame09_gt.nii.gz", "a mask without an image", "patient002_frame09.nii.gz beside it", "remove"),
    ),
    Broken("no case mask", "nnunet", remove(CASE_MASK), CASE_MASK, "image without a mask", "the mask", "imagesTs"),
    Broken("no case image", "nnunet", remove(CASE), CASE_MASK, "mask without an image", "imagesTr", "remove", {}, 2),
    Broken("no picture mask", "folder", remove(PICTURE_MASK), PICTURE, "without a mask", "in masks/", "copy the mask"),
    Broken("no picture", "folder", remove(PICTURE), PICTURE_MASK, "without an image", "in images/", "copy the image"),
    Broken(
        *(
            "no masks at all",
            "folder",
            remove("masks"),
            "images/patient001_ED_8.png",
            "without a mask",
            "_mask beside it",
        ),
        *("copy the mask", {"format": "folder"}, 30),
    ),
    Broken(
        *("both endings", "acdc", copy(IMAGE, IMAGE.removesuffix(".gz")), IMAGE.removesuffix(".gz")),
        *("a second file of the name patient002_frame04 ", "each image once", "remove one"),
    ),
    Broken(
        *("both endings of a case", "nnunet", copy(CASE, CASE.removesuffix(".gz")), CASE.removesuffix(".gz")),
        *("of another name", "CASE_0000.nii.gz", "rename it"),
    ),
    Broken(
        *("both endings of a case mask", "nnunet", copy(CASE_MASK, CASE_MASK.removesuffix(".gz"))),
        *(CASE_MASK.removesuffix(".gz"), r"a mask of another ending \(also patient002_ED.nii.gz\)"),
        *("patient002_ED.nii.gz, as file_ending says", "remove one of them"),
    ),
    Broken(
        *("case mask of another ending", "nnunet", move(CASE_MASK, CASE_MASK.removesuffix(".gz"))),
        *(CASE_MASK.removesuffix(".gz"), "a mask of another ending$", "patient002_ED.nii.gz, as", "convert the mask"),
    ),
    Broken(
        *("both endings of a picture", "folder", copy(PICTURE, "images/patient002_ED_9.bmp"), PICTURE),
        *("a second file of the name patient002_ED_9 .also patient002_ED_9.bmp", "each case once", "remove one"),
    ),
    Broken(
        *("two masks of an image", "side-by-side", copy("patient002_ED_9_mask.png", "patient002_ED_9_seg.png")),
        *("patient002_ED_9_seg.png", "a second mask of patient002_ED_9 ", "one mask with all classes", "join them"),
    ),
)


ACDC = (
    Broken("no Info.cfg", "acdc", remove(INFO), INFO, "no file", "ED, ES and Group", AGAIN),
    Broken(
        *("Info.cfg in words", "acdc", write_text(INFO, "ED: four\nES: 11\n"), INFO),
        *("'ED: four'", "'ED: <frame number>'", "correct the line"),
    ),
    Broken("superscript", "acdc", write_text(INFO, "ED: 4\nES: ²\n"), INFO, "'ES: ²'", "<frame number>", "correct"),
    Broken("empty Info.cfg", "acdc", write_text(INFO, ""), INFO, "'ES: '", "<frame number>", "correct", {}, 2),
    Broken(
        *("one frame for both", "acdc", write_text(INFO, "ED: 4\nES: 4\n"), INFO),
        *("frame 4 for both ED and ES", "two different frames", "correct the line"),
    ),
    Broken(
        *(
            "identical patients",
            "acdc",
            copy("patient001/patient001_frame04.nii.gz", "patient003/patient003_frame04.nii.gz"),
        ),
        *("data", "patients patient003 and patient001 with 3 identical slices .*in train and test", "different images"),
        r"data.exclude=\[patient001\]",
    ),
    Broken(
        *("nobody to test", "acdc", remove("patient001"), "data", "4 patients, .* 'paper' leaves none for test"),
        *("patients in every part", "change data.split"),
    ),
)
