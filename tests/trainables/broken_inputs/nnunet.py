"""Broken nnU-Net data sets."""

from tests.trainables.broken_inputs.damages import Broken, copy, cut, remove, set_json, write_text
from tests.trainables.broken_inputs.places import AGAIN, CASE, JSON

NNUNET = (
    Broken("no JSON", "nnunet", remove(JSON), JSON, "no file", "description", AGAIN),
    Broken("not JSON", "nnunet", cut(JSON, 40), JSON, "cannot be read", "a JSON object", "correct or copy"),
    Broken("endless JSON", "nnunet", write_text(JSON, "[" * 100_000), JSON, "cannot be read", "a JSON object", "copy"),
    Broken("JSON list", "nnunet", write_text(JSON, "[1, 2]"), JSON, r"\[1, 2\]", "a JSON object", "correct it"),
    Broken("no labels", "nnunet", set_json(labels=None), JSON, "no key 'labels'", "a JSON object under", "add"),
    Broken(
        "labels as list", "nnunet", set_json(labels=["a"]), JSON, r"labels = \['a'\]", "a JSON object under", "correct"
    ),
    Broken(
        *("no background", "nnunet", set_json(labels={"ring": 1, "wall": 2, "core": 3}), JSON),
        *("'ring': 1", "background = 0", "add it"),
    ),
    Broken(
        *("only background", "nnunet", set_json(labels={"background": 0}), JSON),
        *("'background': 0", "at least one foreground class", "correct the labels"),
    ),
    Broken(
        *("regions", "nnunet", set_json(labels={"background": 0, "all": [1, 2, 3], "wall": 2, "core": 3}), JSON),
        *(r"label 'all' = \[1, 2, 3\]", "a whole number", "split regions"),
    ),
    Broken(
        *("regions alone", "nnunet", set_json(labels={"background": 0, "all": [1, 2, 3], "inner": [2, 3]}), JSON),
        *(r"label 'inner' = \[2, 3\]", "a whole number", "one value that stands in the masks", {}, 2),
    ),
    Broken(
        *("ignore", "nnunet", set_json(labels=lambda labels: labels | {"ignore": 4}), JSON),
        *("a label 'ignore'", "every pixel of a known class", "take it out of dataset.json; .* hold 4 .*data.exclude"),
    ),
    Broken(
        *("two labels of one value", "nnunet", set_json(labels=lambda labels: labels | {"core": 2}), JSON),
        *("'core': 2", "each of its own value", "correct the labels"),
    ),
    Broken(
        *("negative label value", "nnunet", set_json(labels=lambda labels: labels | {"odd": -1}), JSON),
        *("'odd': -1", "above 0", "correct the labels"),
    ),
    Broken(
        *("too many classes", "nnunet", set_json(labels={f"c{value}": value for value in range(257)}), JSON),
        *("256 classes", "at most 255", "merge classes"),
    ),
    Broken(
        "numTraining", "nnunet", set_json(numTraining=11), JSON, "numTraining = 11", "10, the training cases", "copy"
    ),
    Broken(
        *("another ending", "nnunet", set_json(file_ending=".png"), JSON),
        *("file_ending .png, which no image of imagesTr has .patient001_ED_0000.nii.gz", "ending of", "correct"),
    ),
    Broken(
        "format of another",
        "nnunet",
        set_json(file_ending=".mha"),
        JSON,
        "file_ending .mha$",
        "one of",
        "convert",
        {},
        2,
    ),
    Broken("no ending", "nnunet", set_json(file_ending=None), JSON, "no key 'file_ending'", "a JSON text", "add"),
    Broken(
        *("channels from 1", "nnunet-channels", set_json(channel_names={"1": "a", "2": "b"}), JSON),
        *("keys 1, 2$", "keys 0 to 1", "number the channels from 0"),
    ),
    Broken("no channels", "nnunet", set_json(channel_names={}), JSON, r"channel_names = \{\}", "not empty", "add"),
    Broken(
        *("missing channel", "nnunet-channels", remove("imagesTr/patient002_ED_0001.nii.gz")),
        *("patient002_ED_0000.nii.gz", "1 channels", r"2 \(contrast 0, contrast 1\)", "data.exclude"),
    ),
    Broken(
        *("missing first channel", "nnunet-channels", remove("imagesTr/patient002_ED_0000.nii.gz")),
        *("patient002_ED_0001.nii.gz", "channels 1 of case patient002_ED", "0 to 1", "copy the missing"),
    ),
    Broken(
        *(
            "extra channel",
            "nnunet",
            copy(CASE, CASE.replace("_0000", "_0001")),
            CASE,
            "channels 0, 1 of case",
            "0 to 0",
        ),
        "remove files, or name their channels",
    ),
    Broken(
        *("without channel number", "nnunet", copy(CASE, "imagesTr/extra.nii.gz"), "imagesTr/extra.nii.gz"),
        *("an image of another name", "CASE_0000.nii.gz", "rename it"),
    ),
    Broken(
        *("no imagesTr", "nnunet", remove("imagesTr"), "imagesTr", "no folder", "training images", AGAIN),
        *({"format": "nnunet"},),
    ),
    Broken("no labelsTr", "nnunet", remove("labelsTr"), "labelsTr", "no folder", "labelsTr with the masks", AGAIN),
)
