"""Broken data sets of the Decathlon."""

from tests.trainables.broken_inputs.damages import Broken, both, copy, remove, rename_all, set_json, set_voxels
from tests.trainables.broken_inputs.places import JSON

FIRST = {"image": "./imagesTr/patient001_ED.nii.gz", "label": "./labelsTr/patient001_ED.nii.gz"}
DECATHLON = (
    Broken(
        *("listed image is missing", "decathlon", remove("imagesTr/patient002_ED.nii.gz")),
        *("imagesTr/patient002_ED.nii.gz", "no image, though dataset.json lists it", "the file", "remove the entry"),
    ),
    Broken(
        *("listed label is missing", "decathlon", remove("labelsTr/patient002_ED.nii.gz")),
        *("labelsTr/patient002_ED.nii.gz", "no label, though dataset.json lists it", "the file", "remove the entry"),
    ),
    Broken(
        *(
            "form of nnU-Net v1",
            "decathlon",
            rename_all(r"(E[DS])\.nii", r"\1_0000.nii"),
            "imagesTr/patient001_ED.nii.gz",
        ),
        *("no image", "the file", "nnUNetv2_convert_old_nnUNet_dataset", {}, 20),
    ),
    Broken(
        *("entry twice", "decathlon", set_json(training=lambda entries: [*entries, FIRST], numTraining=11)),
        *("imagesTr/patient001_ED.nii.gz", "case patient001_ED twice", "each case once", "remove the second"),
    ),
    Broken(
        *("unlisted image", "decathlon", copy("imagesTr/patient002_ED.nii.gz", "imagesTr/extra.nii.gz")),
        *("imagesTr/extra.nii.gz", "does not list", "an entry under 'training'", "imagesTs"),
    ),
    Broken(
        *("unlisted mask", "decathlon", copy("labelsTr/patient002_ED.nii.gz", "labelsTr/zz.nii.gz")),
        *("labelsTr/zz.nii.gz", "a mask that dataset.json does not list", "with its image", "remove the mask"),
    ),
    Broken(
        *("unlisted pair", "decathlon"),
        both(
            copy("imagesTr/patient002_ED.nii.gz", "imagesTr/zz.nii.gz"),
            copy("labelsTr/patient002_ED.nii.gz", "labelsTr/zz.nii.gz"),
        ),
        *("imagesTr/zz.nii.gz", "an image that dataset.json does not list", "under 'training'", "imagesTs"),
    ),
    Broken(
        *("malformed entry", "decathlon", set_json(training=lambda entries: [*entries, "extra"], numTraining=11), JSON),
        *("training case 'extra'", "image: ./imagesTr", "correct the entry"),
    ),
    Broken("no entry", "decathlon", set_json(training=[]), JSON, r"training = \[\]", "a JSON list", "add"),
    Broken("no modality", "decathlon", set_json(modality=None), JSON, "no key 'modality'", "a JSON object", "add"),
    Broken(
        *("label in words", "decathlon", set_json(labels=lambda labels: labels | {"four": "odd"}), JSON),
        *("label 'odd' = four", "a whole number", "split regions"),
    ),
    Broken(
        *("one modality of two", "decathlon-4d"),
        set_voxels("imagesTr/patient002_ED.nii.gz", lambda array: array[..., 0]),
        *("imagesTr/patient002_ED.nii.gz", "1 channels", r"2 \(contrast 0, contrast 1\)", "the same channels"),
    ),
)
