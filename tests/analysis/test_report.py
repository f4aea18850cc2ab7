"""The report as a user meets it: files, words, exit status, and a page that needs nothing else."""

import dataclasses
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analysis.loading.load import load_results
from analysis.planning.next_steps import next_steps
from analysis.report import main, write_report
from analysis.tables.readable import escaped
from tests.ledger_rows import make_older

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Balance(HTMLParser):
    """Check that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(report):
    return report.page.read_text()


def test_the_page_needs_no_other_file_and_forbids_itself_the_network(page):
    assert "default-src 'none'" in page
    assert page.count("<script>") == page.count("<script") == 1
    assert re.findall(r'(?:src|href)="(?!#|data:image/png;base64,)[^"]*"', page) == []
    assert re.findall(r"url\((?!#)", page) == []
    assert "@import" not in page


def test_the_page_is_well_formed_and_its_ids_are_unique(page):
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_the_page_shows_every_figure_with_a_caption_and_a_text_alternative(page):
    assert page.count("<svg") == page.count("<figcaption") == page.count('role="img"') == 12


def test_no_figure_is_blown_up_much_beyond_its_own_size(page: str) -> None:
    figures = re.findall(r"<svg[^>]*--widest: ([\d.]+)rem[^>]*", page)
    widths = re.findall(r'<svg[^>]*viewBox="0 0 ([\d.]+) ', page)
    assert len(figures) == len(widths) == page.count("<svg")
    for widest, points in zip(figures, widths, strict=True):
        assert 16 * float(widest) / (float(points) * 96 / 72) < 1.1  # pixels of a browser to those of print


def test_the_page_names_missing_and_failed_cells_and_escapes_their_text(page):
    assert "3 of 135 planned cells have no result" in page
    assert "OutOfMemoryError: simulated &lt;failure&gt;" in page
    assert "1 finished cell belongs to other protocols" in page


def test_the_page_goes_from_the_answer_over_the_design_to_results_cost_and_methods(page):
    sections = re.findall(r'<h[23] id="([a-z-]+)"', page)
    wanted = ["design", "gaps", "convergence-section", "labels", "worth", "epochs", "examples", "structures"]
    assert sections[: len(wanted)] == wanted
    assert sections[len(wanted) :] == ["distances", "cost", "next", "claims", "method"]
    assert page.index('aria-label="Answer"') < page.index('id="design"')
    assert page.index("What did ") < page.index('id="design"')  # its cost


def test_the_design_names_protocol_ids_versions_and_settings(page):
    design = page[page.index('id="design"') : page.index('id="convergence-section"')]
    for words in (
        "protocol-a",
        "encoder",
        "224 slices of 20 patients",
        "test: 20 slices of 2 patients",
        "near_minimum",
    ):
        assert words in design
    assert '<td class="long">0/10, 1/11, 2/12</td>' in design
    assert "stage-byol-natural@12 stage-byol-natural+byol-domain@12" in design  # the chain behind an encoder
    assert '<table class="data" id="table-encoders">' in design


def test_cost_is_not_folded(page):
    section = page[page.index('id="cost"') : page.index('id="next"')]
    for name in ("device_hours", "cost"):
        before = section[: section.index(f'id="table-{name}"')]
        assert before.count("<details>") == before.count("</details>")


def test_the_page_opens_with_the_answer_and_says_what_few_seeds_cost(report, page):
    assert report.answer.split(".")[0] in page
    assert "Only 2 to 3 seeds" in page
    assert "prefers-color-scheme" in page


def test_the_page_says_that_each_section_judges_in_its_own_way_what_the_data_cannot_tell(page):
    words = " ".join(page.split())  # a test of non-inferiority, an adjusted p-value and an interval are not alike
    assert "“Cannot tell” means that the data leave it open; each section says how that is judged." in words


def test_the_page_says_that_laws_of_few_seeds_have_narrow_intervals(page):
    assert "Below five seeds the intervals of a\nlaw are somewhat too narrow" in page


def test_the_page_judges_the_claims_and_warns_of_collapse(page):
    assert page.count('class="claim"') == 4
    assert "features may have collapsed" in page


def test_figures_tables_and_fits_stand_beside_the_page(report):
    folder = report.page.parent
    svgs = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert svgs == {path.stem for path in (folder / "figures").glob("*.png")}
    assert len(svgs) == 12
    fits = pd.read_parquet(folder / "fits.parquet")
    assert set(fits["variant"]) == set(pd.read_csv(folder / "tables" / "errors.csv")["variant"])
    for name in (
        "differences",
        "convergence",
        "labels_needed",
        "label_equivalence",
        "missing",
        "failures",
        "cost",
    ):
        assert len(pd.read_csv(folder / "tables" / f"{name}.csv")) > 0


def test_equal_results_give_an_equal_page_and_equal_figures(report, results, tmp_path):
    one, other = report.page, write_report(results, tmp_path / "other").page
    assert one.read_text() == other.read_text()
    figures = sorted((one.parent / "figures").iterdir())
    assert len(figures) == 2 * 12
    assert all(path.read_bytes() == (other.parent / "figures" / path.name).read_bytes() for path in figures)


def test_markdown_has_the_same_answer_links_what_is_there_and_says_the_methods(small):
    made = write_report(small(), layout="markdown")
    text = made.page.read_text()
    assert made.page.name == "report.md"
    assert made.answer.split(".")[0] in text
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 10
    assert not [link for link in links if not (made.page.parent / link).is_file()]
    assert "split by patient into 20 training patients (224 slices), 5 validation" in text
    assert "fine-tunings were analysed" in text
    assert all(
        (made.page.parent / "tables" / f"{path.stem}.tex").is_file() for path in made.page.parent.glob("tables/*.csv")
    )


@pytest.mark.usefixtures("undrawn")
def test_markdown_says_what_the_page_says_of_design_gaps_torn_files_and_warnings(small):
    root = small(num_arms=3, left_out=0)
    torn = sorted((root / "cells").glob("protocol-a*.parquet"))[0]
    torn.write_bytes(torn.read_bytes()[:100])
    text = write_report(root, layout="markdown").page.read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[:4] == ["Answer", "Design", "Missing and failed", "Convergence"]
    assert headings[-4:] == ["Cost", "What to run next", "Claims of arXiv 2209.00314", "Methods"]
    assert torn.name in text
    assert "Settings to add to the command of this sweep" in text
    assert "Data: simulated data warning" in text
    assert "| Protocol | protocol-a |" in text
    assert "near_minimum: 0.1" in text
    assert "2 of 16 planned cells have no result" in text
    assert "OutOfMemoryError: simulated &lt;failure>" in text
    assert text.count("<details>") == text.count("</details>") > 5


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("layout", ["html", "markdown"])
def test_results_without_their_plan_are_not_called_complete(small, layout):
    root = small(left_out=1)
    shutil.rmtree(root / "planned")
    for path in root.glob("*/protocol-old-*"):
        path.unlink()
    text = write_report(root, layout=layout).page.read_text()
    num_cells = len(list((root / "cells").glob("protocol-a-*")))
    assert f"{num_cells} finished cells, of an unknown number" in text
    assert "No plan came with these results, so what is missing or has failed is not known." in text
    assert not re.search("of 0 planned|No planned cell is missing|No cell or stage failed", text)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("layout", ["html", "markdown"])
def test_settings_are_announced_only_where_a_question_has_some(small, monkeypatch, layout):
    announced = "Settings to add to the command of this sweep"
    root = small(num_arms=3, left_out=0, failed=0, noise=0.25)
    assert announced in write_report(root, layout=layout).page.read_text()

    def hopeless(findings):
        return [dataclasses.replace(step, num_cells=0, settings="", seeds=None) for step in next_steps(findings)]

    monkeypatch.setattr("analysis.report.next_steps", hopeless)
    page = write_report(root, layout=layout).page.read_text()
    assert announced not in page
    assert "with 4 labelled slices" in page[page.index("What to run next") :]


def test_names_are_shown_as_they_are_throughout_the_markdown(named):
    """Results of earlier programs may hold any name."""
    arm, name = "a|b*c*<i>_$%&", "sw|eep <script>alert(1)</script> *x* $y$ & 100%"
    root = named(arm)
    settings = yaml.safe_load((root / "experiment.yaml").read_text())
    settings |= {"name": name, "report": {**settings["report"], "reference_arm": arm}}
    (root / "experiment.yaml").write_text(yaml.safe_dump(settings))
    text = write_report(root, layout="markdown").page.read_text()
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert prose.count(escaped(arm)) > 20
    assert f"# {escaped(name)}" in prose
    for shown in (arm, name, "<i>", "<script>", "*c*", "*x*"):
        assert shown not in prose


@pytest.mark.usefixtures("undrawn")
def test_the_command_prints_the_answer_and_the_page(small, capsys):
    root = small()
    assert main([str(root)]) == 0
    printed = capsys.readouterr().out
    assert "labelled slices" in printed
    assert str(root / "report" / "index.html") in printed


def test_a_sweep_of_one_seed_and_few_tables_still_has_a_page(small):
    root = small(num_arms=3, num_seeds=1, beside=False)
    for table in ("curves", "cases", "examples", "pretraining", "failures"):
        shutil.rmtree(root / table, ignore_errors=True)
    report = write_report(root)
    assert "One seed" in report.answer
    page = report.page.read_text()
    assert "data.json is missing" in page
    assert "hold no example segmentations" in page
    assert not list((report.page.parent / "figures").glob("examples*"))


def table_of(report, name):
    return pd.read_csv(report.page.parent / "tables" / f"{name}.csv")


def test_the_page_has_distances_volumes_and_ejection_fractions_of_known_truth(report, page, results):
    distances = table_of(report, "distances")
    cells = load_results(results).cells
    errors = cells.groupby(["variant", "label_count"])["error"].mean()
    pairs = zip(distances["variant"], distances["label_count"], strict=True)
    assert distances["hd95"].tolist() == pytest.approx([40 * errors[pair] for pair in pairs])
    assert (distances["hd95"] / distances["assd"]).tolist() == pytest.approx([4] * len(distances))
    fractions = table_of(report, "ejection_fraction")
    assert set(fractions["class_name"]) == {"RV", "LV"}
    assert fractions["true_points"].tolist() == pytest.approx([50] * len(fractions))
    points = cells.assign(points=(50 * cells["error"] / cells["test_dice"]).clip(upper=100))
    expected = points.groupby(["variant", "label_count"])["points"].mean()
    pairs = zip(fractions["variant"], fractions["label_count"], strict=True)
    assert fractions["error_points"].tolist() == pytest.approx([expected[pair] for pair in pairs], rel=1e-4)
    assert len(table_of(report, "volumes")) == 2 * len(distances)
    assert "counts as the diagonal" in page
    assert "hold no surface distances" not in page


def test_results_of_an_older_version_have_a_page_that_says_what_they_lack(small):
    root = small()
    make_older(root)
    report = write_report(root)
    page = report.page.read_text()
    assert "These results hold no surface distances: they were written by an older version" in page
    assert "They hold no volumes: they were written by an older version." in page
    assert "left out:" not in page.lower()
    for name in ("distances", "volumes", "ejection_fraction", "slice_iou"):
        assert table_of(report, name).empty
    assert table_of(report, "dice_by_class")["median_slice_dice"].isna().all()
    assert table_of(report, "dice_by_class")["median_dice"].notna().all()


@pytest.mark.usefixtures("undrawn")
def test_where_only_some_cells_have_distances_the_page_says_how_many(small):
    root = small()
    make_older(root, "protocol-a-random-0-4-*")
    report = write_report(root)
    number = len(list((root / "cells").glob("protocol-a*")))
    assert f"{number - 2} of {number} finished cells have surface distances" in report.page.read_text()
    table = table_of(report, "distances")
    assert not ((table["variant"] == "random") & (table["label_count"] == 4)).any()


def test_an_empty_folder_ends_with_status_one_and_one_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "no results in" in printed.err


def test_another_schema_ends_with_status_one(simulated, tmp_path, capsys):
    (tmp_path / "labelcurve.json").write_text('{"schema_version": 999}')
    assert main([str(tmp_path)]) == 1
    assert "999" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_an_output_that_cannot_be_written_ends_with_status_one(small, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main([str(small()), "--output", str(tmp_path / "file")]) == 1
    assert "choose another --output" in capsys.readouterr().err


def test_every_table_of_statistics_is_defined_in_the_documents(report):
    folder = Path(__file__).parents[2] / "docs"
    words = "".join((folder / name).read_text() for name in ("quantities.md", "scores.md"))
    records = {"encoders", "missing", "failures", "progress", "next_steps", "pretraining", "time_against_target"}
    tables = {path.stem for path in (report.page.parent / "tables").glob("*.csv")} - records
    assert [name for name in sorted(tables) if f"`{name}`" not in words] == []
