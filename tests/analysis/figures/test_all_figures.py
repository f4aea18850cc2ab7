"""Figures show the numbers of the tables: intervals, extrapolations, margins and times to the target."""

import dataclasses
import re

import numpy as np
import pytest

from analysis.figures.all_figures import draw_all, error_vs_labels
from analysis.figures.epochs_figures import enough_epochs, pretraining_epochs
from analysis.figures.equivalence_figure import label_equivalence
from analysis.figures.law_figure import fitted_laws
from analysis.figures.panels import short
from analysis.figures.time_figure import reached_share, time_to_target
from analysis.findings import find
from analysis.labels.labels_needed import LabelCount, LabelEquivalence
from analysis.loading.load import load_results


def bars(panel):
    """Lower and upper ends of all upright bars of a panel, in order."""
    ends = [path.vertices[:, 1] for each in panel.collections for path in each.get_paths() if len(path.vertices) == 2]
    return np.array(sorted(map(tuple, ends)))


def expected(table, low, high):
    return np.array(sorted(map(tuple, table[[low, high]].dropna().to_numpy())))


def test_errors_against_labels_have_the_means_and_intervals_of_the_table(findings, tables):
    table = tables["errors"]
    table = table[table["variant"].isin(findings.headline)]
    (panel,) = error_vs_labels(findings).figure.axes
    assert bars(panel) == pytest.approx(expected(table, "error_low", "error_high"))
    lines = {line.get_label(): line.get_ydata() for line in panel.get_lines()}
    for variant, rows in table.groupby("variant"):
        assert lines[variant].tolist() == pytest.approx(rows["error"].tolist())


def test_errors_against_pretraining_epochs_have_intervals_too(findings, tables):
    table = tables["errors"]
    arms = {"random", "byol-domain, 3 epochs", "byol-domain, 12 epochs"}  # an arm's ladder, from the arm it starts from
    panel = pretraining_epochs(findings).figure.axes[0]
    assert panel.get_title() == "byol-domain"
    assert bars(panel) == pytest.approx(expected(table[table["variant"].isin(arms)], "error_low", "error_high"))


def test_ratios_to_the_lowest_mean_stand_with_their_intervals_against_the_margin(findings, tables):
    table = tables["pretraining_epochs"].query("arm == 'byol-domain' and measure == 'error' and label_count == 'all'")
    drawing = enough_epochs(findings)
    panel = drawing.figure.axes[0]
    assert bars(panel) == pytest.approx(expected(table, "low", "high"))
    (margin,) = (line for line in panel.get_lines() if line.get_linestyle() == "--")
    assert set(margin.get_ydata()) == {1 + findings.results.options.near_minimum}
    assert [text.get_text() for text in panel.texts] == table["verdict"].tolist()
    assert "A bar inside the grey can still be open" in drawing.caption  # verdicts are adjusted, bars are not


def test_an_arm_that_is_worth_its_own_labels_lies_on_the_line_of_equal_worth(findings):
    """Nothing is set apart sideways: a mark beside its place would seem to save labels."""
    equal = "byol-natural"
    own = {equal: findings.equivalences[findings.reference]}
    same = dict.fromkeys(("equivalences", "equivalence_curves"), own)
    alone = dataclasses.replace(findings, headline=(findings.reference, equal), **same)
    (panel,) = label_equivalence(alone).figure.axes
    diagonal, marks, line, *_ = (each.get_xydata() for each in panel.get_lines())
    assert diagonal.tolist() == [[count, count] for count in findings.label_counts]
    assert marks == pytest.approx(diagonal)
    assert line[:, 1] == pytest.approx(line[:, 0])


def test_no_line_leads_to_a_worth_outside_the_measured_labels(findings):
    measured = LabelCount(12.0, 0.0, 36.0)
    items = [LabelEquivalence(4.0, LabelCount(0.0, 0.0, 12.0)), LabelEquivalence(12.0, measured)]
    items += [LabelEquivalence(36.0, measured), LabelEquivalence(112.0, LabelCount(np.inf, 12.0, np.inf))]
    same = {name: {"random": items} for name in ("equivalences", "equivalence_curves")}
    (panel,) = label_equivalence(
        dataclasses.replace(findings, headline=(findings.reference, "random"), **same)
    ).figure.axes
    _, marks, line, *_ = (each.get_ydata() for each in panel.get_lines())
    assert marks.tolist() == pytest.approx([4 / 1.35, 12, 12, 224 * 1.35])  # at the edges
    assert np.isnan(line).tolist() == [True, False, False, True]


def test_a_law_goes_on_to_ten_times_the_most_labels_on_ground_that_says_extrapolated(findings):
    drawing = fitted_laws(findings)
    most = findings.label_counts[-1]
    assert "extrapolated beyond the most labels measured" in drawing.caption
    assert "M4 is a bent and MMF an S-shaped power law" in drawing.caption  # of the names in the panels
    assert "The dotted grey line joins the geometric mean errors of supervised-natural over seeds." in drawing.caption
    for panel, variant in zip(drawing.figure.axes, findings.headline, strict=True):
        assert panel.get_xlim()[1] == 10 * most
        assert "extrapolated" in [text.get_text() for text in panel.texts]
        (beyond,) = (line for line in panel.get_lines() if line.get_linestyle() == "--")
        x, y = beyond.get_data()
        assert (x[0], x[-1]) == pytest.approx((most, 10 * most))
        assert y == pytest.approx(findings.laws[variant].law.error(x))
        low, high = findings.laws[variant].band(x, 0.95)
        ends = panel.collections[1].get_paths()[0].vertices  # the second band is that of the extrapolation
        assert {round(float(v), 9) for v in (low[-1], high[-1])} <= {round(float(v), 9) for v in ends[:, 1]}


def test_the_share_at_the_target_rises_by_a_third_with_each_of_three_runs_and_stays_below_one_if_one_never_gets_there():
    x, shares = reached_share(np.array([10.0, 20.0, 50.0]), np.array([True, True, False]))
    assert x.tolist() == [0, 10, 20, 50]
    assert shares.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3])
    x, shares = reached_share(np.array([30.0, 10.0, 40.0]), np.array([True, False, True]))  # one ended early
    assert shares.tolist() == pytest.approx([0, 1 / 2, 1, 1])  # of the two that were left


def test_every_run_that_never_reached_the_target_is_a_tick_where_it_ended(findings):
    drawing = time_to_target(findings)
    counts = [4, 36, 224]
    for panel, count in zip(drawing.figure.axes, counts, strict=True):
        ticks = np.concatenate([line.get_xdata() for line in panel.get_lines() if line.get_marker() == "|"])
        assert len(ticks) == sum(findings.convergence.num_censored(name, count)[0] for name in findings.headline)
        assert set(ticks) <= {400.0}  # the last step of the simulated runs
    assert "A line that ends below 1: training ended before those runs got there." in drawing.caption


def test_names_with_dollars_are_no_formulas(named, tmp_path):
    arms = ("us$1_$2", r"a $\bad{ $ b")
    drawings = draw_all(find(load_results(named(*arms))))
    for drawing in drawings:
        drawing.save(tmp_path)
    drawing = next(drawing for drawing in drawings if drawing.name == "error_vs_labels")
    assert set(arms) <= {text.get_text() for text in drawing.figure.legends[0].get_texts()}
    assert all(f">{arm}<" in drawing.svg for arm in arms)
    assert not any("\\uparrow" in drawing.svg or "\\downarrow" in drawing.svg for drawing in drawings)


def test_the_marks_of_a_name_with_a_bar_carry_the_whole_name(named):
    svg = error_vs_labels(find(load_results(named("a|b")))).svg
    assert len(re.findall(r'data-arm="a\|b" class="tip"><title>a\|b: ', svg)) == 3  # label counts
    assert set(re.findall(r'data-arm="([^"]*)"', svg)) == {"a|b", "supervised-natural"}


def test_long_names_lose_their_middle_and_leave_panels_their_room(named):
    arm = "begins-" + 67 * "x" + "-ends"
    drawings = {drawing.name: drawing for drawing in draw_all(find(load_results(named(arm))))}
    (ratios, *_) = drawings["paired_differences"].figure.axes
    assert ratios.get_position().width > 0.1  # of the figure; nothing is left of panels that do not fit
    (label,) = (each.get_text() for each in ratios.get_yticklabels())
    assert label.startswith("begins-x")
    assert label.endswith("x-ends")
    assert "…" in label
    assert all(len(text.get_text()) <= 44 for text in drawings["error_vs_labels"].figure.legends[0].get_texts())
    assert f'data-arm="{arm}"' in drawings["error_vs_labels"].svg  # the page's menu has the whole name


def test_the_longest_name_of_the_presets_is_shown_whole():
    assert short("supervised-natural+byol-domain, 200 epochs") == "supervised-natural+byol-domain, 200 epochs"


def test_perfect_scores_have_a_figure_of_laws_around_the_smallest_error_of_logarithms(simulated, tmp_path, monkeypatch):
    monkeypatch.setattr(simulated, "LAWS", dict.fromkeys(simulated.LAWS, (0.0, 0.0, 0.5)))
    findings = find(load_results(simulated.write_results(tmp_path / "perfect", left_out=0, failed=0)))
    low, high = fitted_laws(findings).figure.axes[0].get_ylim()
    assert 0 < low < 1e-4 < high
