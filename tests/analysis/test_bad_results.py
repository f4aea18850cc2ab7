"""Results that are torn, doubled, mixed or nearly empty: a message or a page that says what can be said."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
import yaml

from analysis.findings import find
from analysis.loading.load import load_results
from analysis.loading.selection import ReportError
from analysis.report import main, write_report
from trainables.results import write_rows

NAN = float("nan")


@pytest.fixture
def small(simulated, tmp_path, monkeypatch):
    """A function that writes a sweep with fewer arms, counts and seeds."""

    def write(arms=2, counts=(4, 36, 224), seeds=2, **options):
        names = ("random", simulated.REFERENCE)[:arms]
        monkeypatch.setattr(simulated, "BASES", {name: simulated.BASES[name] for name in names})
        monkeypatch.setattr(simulated, "LABEL_COUNTS", counts)
        return simulated.write_results(
            tmp_path / "sweep", seeds=simulated.SEEDS[:seeds], left_out=0, failed=0, **options
        )

    return write


def change(root, number, **values):
    """Rewrite the rows of the first ``number`` finished cells of the sweep's own protocol."""
    for path in sorted((root / "cells").glob("protocol-a*.parquet"))[:number]:
        write_rows(root, "cells", path.stem, [row | values for row in pq.read_table(path).to_pylist()])


def test_cells_without_a_score_are_left_out_counted_and_listed_as_missing(small):
    root = small()
    change(root, 2, test_dice=NAN)
    loaded = load_results(root)
    assert len(loaded.cells) == 10
    assert loaded.missing["reason"].tolist() == ["finished without a usable test score"] * 2
    assert any("2 of 12 finished cells have a test_dice of nan" in warning for warning in loaded.warnings)


def test_a_score_beyond_one_is_no_score(small):
    root = small()
    change(root, 1, test_dice=91.5)
    assert any("test_dice of 91.5, expected a number from 0 to 1" in warning for warning in load_results(root).warnings)


def test_a_sweep_whose_every_score_is_nan_ends_with_one_line(small, capsys):
    root = small()
    change(root, 99, test_dice=NAN)
    assert main([str(root)]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert "no usable scores" in printed.err
    assert "12 of 12 finished cells have a test_dice of nan" in printed.err


def test_protocols_are_not_mixed_without_a_plan_unless_one_is_asked_for(small, capsys):
    root = small()
    shutil.rmtree(root / "planned")
    assert main([str(root)]) == 1
    message = capsys.readouterr().err
    assert "protocol-a (12 cells)" in message
    assert "protocol-old (1 cells)" in message
    assert "python -m analysis.report RESULTS --protocol ID shows one" in message  # the other programs cannot
    assert set(load_results(root, "protocol-a").cells["protocol_id"]) == {"protocol-a"}
    with pytest.raises(ReportError, match="no cells of protocol other; the results hold protocol-a, protocol-old"):
        load_results(root, "other")


def test_a_planned_sweep_can_be_asked_for_an_older_protocol(small):
    loaded = load_results(small(), "protocol-old")
    assert len(loaded.planned) == 4
    assert len(loaded.cells) == 1


def test_doubled_cells_count_once_and_are_named(small):
    root = small()
    first = sorted((root / "cells").glob("protocol-a*.parquet"))[0]
    shutil.copy(first, root / "cells" / "zz-copy.parquet")
    loaded = load_results(root)
    assert len(loaded.cells) == 12
    assert any("zz-copy.parquet" in warning and f"rows of cell {first.stem}" in warning for warning in loaded.warnings)


def test_two_cells_of_one_grid_point_without_a_plan_count_once(small):
    root = small()
    shutil.rmtree(root / "planned")
    row = pq.read_table(sorted((root / "cells").glob("protocol-a*.parquet"))[0]).to_pylist()[0]
    for table in ("curves", "cases", "cells"):
        rows = pq.read_table(root / table / f"{row['cell_id']}.parquet").to_pylist()
        write_rows(root, table, "other", [each | {"cell_id": "other"} for each in rows])
    loaded = load_results(root, "protocol-a")
    assert len(loaded.cells) == 12
    assert any("cells of one grid point" in warning for warning in loaded.warnings)


def test_a_folder_of_torn_files_says_how_many(small, capsys):
    root = small()
    for path in (root / "cells").glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    assert main([str(root)]) == 1
    assert "13 unreadable" in capsys.readouterr().err


@pytest.mark.parametrize("table", ["cases", "curves"])
def test_a_cell_that_lost_a_file_is_missing_and_takes_no_patients_from_the_others(small, table):
    root = small()
    lost = sorted((root / table).glob("protocol-a*.parquet"))[0]
    lost.unlink()
    loaded = load_results(root)
    assert len(loaded.cells) == 11
    assert loaded.missing["cell_id"].tolist() == [lost.stem]
    assert "the sweep runs it again" in loaded.missing["reason"].iloc[0]
    assert any("1 of 13 cells whose curves or cases were lost" in each for each in loaded.warnings)
    assert find(loaded).curves["random"].errors.shape[1] == 2  # both test patients


def test_unreadable_cases_under_a_whole_end_are_lost_too(small):
    root = small()
    path = sorted((root / "cases").glob("protocol-a*.parquet"))[0]
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 200 + content[204:])
    loaded = load_results(root)
    assert loaded.missing["cell_id"].tolist() == [path.stem]
    assert find(loaded).curves["random"].errors.shape[1] == 2


@pytest.mark.usefixtures("undrawn")
def test_a_torn_file_is_skipped_and_named_on_the_page(small):
    root = small()
    torn = sorted((root / "cells").glob("protocol-a*.parquet"))[0]
    torn.write_bytes(torn.read_bytes()[:100])
    page = write_report(root).page.read_text()
    assert torn.name in page
    assert "1 of 12 planned cells have no result" in page


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"arms": 1}, "nothing can be compared yet"),
        ({"seeds": 1}, "One seed: there are no intervals"),
        ({"counts": (36,)}, "one label count was run"),
    ],
    ids=["one arm", "one seed", "one label count"],
)
def test_a_sweep_with_one_arm_seed_or_label_count_says_what_can_be_said(small, shape, words):
    assert words in write_report(small(**shape)).answer


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"target_error": "abc"}, "report.target_error is 'abc', expected a number between 0 and 1, or null"),
        ({"confidence": None}, "report.confidence is None, expected a number between 0.5 and 1"),
        ({"confidence": 95}, "report.confidence is 95, expected a number between 0.5 and 1, such as 0.95"),
        ({"hold_evaluations": True}, "report.hold_evaluations is True, expected a whole number"),
        ({"convergence_dice": 80}, "report.convergence_dice is 80, expected a number between 0 and 1, or null"),
        (["x"], "report is ['x'], expected a mapping of settings"),
    ],
)
def test_a_setting_that_cannot_be_used_ends_with_one_line_that_names_it(small, capsys, section, words):
    root = small()
    (root / "experiment.yaml").write_text(yaml.safe_dump({"report": section}))
    assert main([str(root)]) == 1
    message = capsys.readouterr().err
    assert f"{root / 'experiment.yaml'}: {words}" in message
    assert "correct it, or remove the key" in message
    assert message.count("\n") == 1


def test_an_empty_section_and_an_unset_target_mean_the_defaults(small):
    root = small()
    for section in (None, {}, {"target_error": None, "convergence_dice": None}):
        (root / "experiment.yaml").write_text(yaml.safe_dump({"report": section}))
        assert load_results(root).options.confidence == 0.95


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("data.json", {"warnings": 5}, "warnings is 5, expected a list of text"),
        ("data.json", {"class_names": {"1": "LV"}}, "class_names is {'1': 'LV'}, expected a list of text"),
        ("data.json", {"num_patients": [1, 2]}, "num_patients is [1, 2], expected a mapping of whole numbers"),
        ("data.json", {"num_slices": {"train": "many"}}, "num_slices is {'train': 'many'}, expected a mapping"),
        ("data.json", {"preprocessing": "none"}, "preprocessing is 'none', expected a mapping"),
        ("data.json", [1], "is damaged: expected a mapping, found [1]"),
        ("versions.json", "torch", "is damaged: expected a mapping, found 'torch'"),
        ("references.json", {"byol": 2020}, "byol is 2020, expected text"),
        ("experiment.yaml", {"model": "unet"}, "model is 'unet', expected a mapping"),
    ],
)
def test_a_file_beside_the_tables_with_another_type_ends_with_one_line_that_names_it(
    small, capsys, name, content, words
):
    root = small()
    (root / name).write_text(json.dumps(content))
    assert main([str(root)]) == 1
    message = capsys.readouterr().err
    assert str(root / name) in message
    assert words in message
    assert "run the sweep again" in message
    assert message.count("\n") == 1


def test_a_file_of_bytes_that_are_no_text_is_damaged(small, capsys):
    root = small()
    (root / "data.json").write_bytes(b"\xff\xfe\x00{")
    assert main([str(root)]) == 1
    assert "data.json is damaged: expected JSON" in capsys.readouterr().err
