"""Files of a split that does not fit the cases."""

from pathlib import Path

from tests.trainables.broken_inputs.damages import Broken, write_split

FOLDS = {"train": ["patient001", "patient002", "patient003"], "val": ["patient004", "patient010"]}
SPLIT = {"split": "file", "split_file": Path("split.json")}
SPLITS = (
    Broken(
        *("unknown case", "acdc", write_split([FOLDS | {"val": ["patient099"]}]), "split.json"),
        *("case 'patient099' in 'val'", "a case of the data", "correct the file", SPLIT),
    ),
    Broken(
        *(
            "patient in two parts",
            "nnunet",
            write_split([FOLDS | {"val": ["patient004_ED", "patient001_ES"]}]),
            "split.json",
        ),
        *("patient patient001 in 'test' and in 'train'", "keeps apart", "keep all cases of a patient", SPLIT),
    ),
    Broken(
        *("split that is not JSON", "acdc", lambda root: (root.parent / "split.json").write_text("train: all")),
        *("split.json", "no split", "a JSON list of folds", "correct data.split_file", SPLIT),
    ),
    Broken(
        "no split file", "acdc", lambda root: None, "split.json", "no split", "JSON", "correct data.split_file", SPLIT
    ),
    Broken(
        *(
            "fold beyond the last",
            "acdc",
            write_split([FOLDS]),
            "split.json",
            "1 folds",
            "a fold 3",
            "lower data.split_fold",
        ),
        *(SPLIT | {"split_fold": 3},),
    ),
    Broken(
        *("fold of another form", "acdc", write_split([FOLDS | {"test": None}]), "split.json, fold 0"),
        *("'train'", r"\{train: ", "correct the file", SPLIT),
    ),
)
