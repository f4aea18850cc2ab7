"""Tables and patterns that do not say whose each case is."""

from pathlib import Path

from tests.trainables.broken_inputs.damages import Broken, change_bytes, remove, rename_all, set_table, write_text
from tests.trainables.broken_inputs.places import CASE

TABLE = "cases.csv"
ROWS = "case,patient,phase\n" + "".join(
    f"patient{n}_{p},{n},{p}\n" for n in ("001", "002", "003", "004", "010") for p in ("ED", "ES")
)


TABLES = (
    Broken(
        *("missing column", "table", set_table(lambda lines: [lines[0].replace("patient", "who"), *lines[1:]]), TABLE),
        *("columns image, mask, who, phase, group", "rows with patient", "add the column patient"),
    ),
    Broken("no rows", "table", set_table(lambda lines: lines[:1]), TABLE, "no row", "a row for each case", "fill"),
    Broken(
        *("row to a missing file", "table", remove("pixels/3.png"), "cases.csv, line 5"),
        *("no file .*pixels/3.png", "an image, its mask and its patient", "correct the row"),
    ),
    Broken(
        *(
            "row without a patient",
            "table",
            set_table(lambda lines: [*lines[:4], lines[4].replace("patient001", ""), *lines[5:]]),
        ),
        *("cases.csv, line 5", "no patient", "an image, its mask and its patient", "correct the row"),
    ),
    Broken(
        *("row without a patient after blank lines", "table"),
        set_table(lambda lines: [*lines[:2], "", "", *lines[2:4], lines[4].replace("patient001", ""), *lines[5:]]),
        *("cases.csv, line 7", "no patient", "an image, its mask and its patient", "correct the row"),
    ),
    Broken(
        *("row without a patient after one of two lines", "table"),
        set_table(
            lambda lines: [
                *(lines[0], lines[1].replace(",DCM", ',"DCM\n"'), *lines[2:4]),
                *(lines[4].replace("patient001", ""), *lines[5:]),
            ]
        ),
        *("cases.csv, line 6", "no patient", "an image, its mask and its patient", "correct the row"),
    ),
    Broken(
        *("row twice", "table", set_table(lambda lines: [*lines[:-1], lines[1]]), "cases.csv, line 32"),
        *("image pixels/0.png again", "each image once", "remove the row"),
    ),
    Broken(
        *("a comma too many", "table", set_table(lambda lines: [*lines[:4], lines[4] + ",MD", *lines[5:]])),
        *("cases.csv, line 5", "6 fields", "5, as in the header", "double quotes"),
    ),
    Broken(
        *("not UTF-8", "table", change_bytes(TABLE, lambda content: content.replace(b"DCM", "Ödem".encode("latin-1")))),
        *(TABLE, "cannot be read", "UTF-8 text", "save it as CSV again"),
    ),
    Broken(
        *("case without a row", "nnunet", write_text(TABLE, ROWS.replace("patient002_ED,", "other,")), CASE),
        *("a case without a row", "case=patient002_ED", "add the row", {"patient_pattern": None}),
    ),
    Broken(
        *("case without a patient", "nnunet", write_text(TABLE, ROWS.replace("_ED,002", "_ED,")), TABLE),
        *("case patient002_ED without a patient", "its patient", "fill it in", {"patient_pattern": None}),
    ),
    Broken(
        *("case twice", "nnunet", write_text(TABLE, ROWS + "patient002_ED,003,ED\n"), TABLE),
        *("case patient002_ED twice", "each case once", "remove one row", {"patient_pattern": None}),
    ),
    Broken(
        *(
            "no table",
            "nnunet",
            lambda root: None,
            "who.csv",
            "no file",
            "the table of cases",
            "correct data.cases_csv",
        ),
        *({"cases_csv": Path("who.csv")},),
    ),
)


PATIENTS = (
    Broken(
        *(
            "pattern that does not match",
            "nnunet",
            rename_all("^patient002_ED", "pat_02_ED"),
            "imagesTr/pat_02_ED_0000.nii.gz",
        ),
        *("case pat_02_ED", "a name that data.patient_pattern=", "correct the pattern"),
    ),
    Broken(
        *("no rule", "nnunet", lambda root: None, "data", "2 cases that begin with 'patient001' .*no rule"),
        *("data.patient_pattern, or a cases.csv", "set data.patient_pattern=", {"patient_pattern": None}),
    ),
    Broken(
        *("two phases of one name", "nnunet", lambda root: None, "imagesTr/patient001_ES_0000.nii.gz"),
        *("a second image of patient patient001 with the phase 'E'", "one image for each phase", "name the phase"),
        *({"patient_pattern": r"(patient\d+)_(?P<phase>E)"}, 5),
    ),
    Broken(
        *("names without numbers", "nnunet", rename_all("^patient(...)", lambda match: "abcdefghijk"[int(match[1])])),
        *("patient b", "a name without a number", "the paper's split", "set data.split"),
        *({"split": "paper", "patient_pattern": "([a-k])"},),
    ),
)
