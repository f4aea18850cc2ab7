"""Broken images in the pool without labels."""

from pathlib import Path

from tests.trainables.broken_inputs.damages import Broken, as_broken_link, both, copy, cut
from tests.trainables.broken_inputs.places import AGAIN, CASE, IMAGE, WHOLE

MORE = {"unlabelled_root": Path("more")}
UNLABELLED = (
    Broken(
        "no pool", "acdc", lambda root: None, "more", "no folder", "unlabelled images", "data.unlabelled_root", MORE
    ),
    Broken(
        *("empty pool", "acdc", lambda root: (root.parent / "more").mkdir(), "more", "no image"),
        *("NIfTI volumes or cines", "data.unlabelled_root", MORE),
    ),
    Broken(
        *(
            "pool of other channels",
            "nnunet-channels",
            copy(CASE, "../more/patient901.nii.gz"),
            "more/patient901.nii.gz",
        ),
        *("1 channels", "2 .contrast 0, contrast 1", "the same channels", MORE),
    ),
    Broken(
        *("damaged pool", "acdc", both(copy(IMAGE, "../more/p9/cine.nii.gz"), cut("../more/p9/cine.nii.gz", -9))),
        *("more/p9/cine.nii.gz", "ends early", WHOLE, AGAIN, MORE),
    ),
    Broken(
        *("name of two patients", "acdc", copy(IMAGE, "../more/patient001_on_patient002.nii.gz")),
        *("more/patient001_on_patient002.nii.gz", "a name that tells 2 patients, patient001 and patient002$"),
        *("one patient", "set data.patient_pattern", MORE),
    ),
    Broken(
        *(
            "broken link in the pool",
            "acdc",
            both(copy(IMAGE, "../more/p9/a.nii.gz"), as_broken_link("../more/p9/a.nii.gz")),
        ),
        *("more/p9/a.nii.gz", "No such file", WHOLE, AGAIN, MORE),
    ),
)
