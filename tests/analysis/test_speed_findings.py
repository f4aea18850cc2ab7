"""What a simulated sweep with known truth lets one say of convergence, and of runs that never reached the target."""

import math
import re
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from matplotlib.path import Path

from analysis.answers.answer import CANNOT_TELL
from analysis.answers.claims import NOT_SUPPORTED, check_claims
from analysis.answers.conclusions import conclude
from analysis.convergence.survival import SpeedUp
from analysis.figures.all_figures import draw_all
from analysis.figures.captions import caption
from analysis.figures.speed_figure import DOWN, UP, speed_ups
from analysis.findings import find
from analysis.intervals.uncertainty import Estimate
from analysis.loading.load import load_results
from analysis.pretraining.epochs_study import epoch_ladder
from analysis.tables.all_tables import pretraining_epochs
from analysis.tables.convergence_tables import convergence
from trainables.results import write_rows


def test_the_true_ratio_of_speeds_is_found(many_seeds, simulated):
    # Curves are equal up to their time scale: the ratio of scales, up to the evaluation interval.
    found = many_seeds.convergence.speed_up("byol-natural+byol-domain, 12 epochs", 224).ratio
    truth = simulated.SPEED[simulated.REFERENCE] / simulated.SPEED[simulated.HIERARCHICAL]
    assert found.value == pytest.approx(truth, rel=0.25)


def test_runs_that_never_reach_the_target_are_counted(findings):
    assert findings.convergence.num_censored("random", 4) == (3, 3)
    assert findings.convergence.restricted_mean("random", 4) == pytest.approx(400.0)


def test_runs_that_never_reach_the_target_say_nothing_on_epochs(findings):
    studied = {(study.arm, study.label_count) for study in findings.epochs if study.measure == "steps"}
    assert ("byol-domain", 4) not in studied  # at 4 labels none of its runs gets to the reference's target
    assert ("byol-natural+byol-domain", 4) in studied


def test_a_number_of_epochs_with_a_run_that_never_reached_the_target_is_never_enough_and_its_ratio_is_a_bound(
    many_seeds,
):
    seen, convergence = 0, many_seeds.convergence
    for study in (each for each in many_seeds.epochs if each.measure == "steps" and each.label_count):
        ladder = epoch_ladder(many_seeds.variants, study.arm)
        for epochs, verdict, bound in zip(study.result.epochs, study.result.verdicts, study.result.bounds, strict=True):
            if convergence.num_censored(ladder[epochs], study.label_count)[0]:
                seen += 1
                assert verdict != "enough"
                assert bound != "exact" or epochs == study.result.best_epochs  # which is 1 by definition
    assert seen > 5


def test_a_claim_on_steps_tells_a_ratio_with_runs_that_never_arrived_as_a_bound(many_seeds):
    assert sum(many_seeds.convergence.num_censored("byol-natural", count)[0] for count in (4, 12, 36)) > 0
    (claim,) = (each for each in check_claims(many_seeds) if each.name == "Pretraining epochs")
    words = r"Without domain epochs: at least \d\.\d\d times the steps \(95% interval from \d\.\d\d upwards\)"
    assert re.search(words, claim.evidence)


MISSED = "did not reach the target within 400 steps"  # the budget of every run
SLOWER, FASTER = Estimate(0.5, 0.4, 0.6, 5), Estimate(2.0, 1.6, 2.5, 5)


@pytest.mark.parametrize(
    ("ratio", "censored", "reference_censored", "short", "words"),
    [
        (SLOWER, 0, 0, "2.0 times slower", "interval 1.7 to 2.5)"),
        (
            SLOWER,
            2,
            0,
            "at least 2.0 times slower",
            f"(95% interval from 1.7 upwards; 2 of its runs {MISSED}, so the factor is a lower bound",
        ),
        (
            SLOWER,
            0,
            3,
            "cannot tell",
            f"(ratio at least 0.5, 95% interval from 0.4 upwards: 3 of the reference's runs {MISSED})",
        ),
        (
            SLOWER,
            2,
            3,
            "cannot tell",
            f"(2 of its runs and 3 of the reference's runs {MISSED}, so the ratio may be any)",
        ),
        (
            FASTER,
            0,
            3,
            "at least 2.0 times faster",
            f"(95% interval from 1.6 upwards; 3 of the reference's runs {MISSED}, so the factor is a",
        ),
        (FASTER, 2, 0, "cannot tell", f"(ratio at most 2, 95% interval up to 2.5: 2 of its runs {MISSED})"),
        (Estimate(1.0, 1.0, 1.0, 5), 9, 9, "cannot tell", f"(9 of its runs and 9 of the reference's runs {MISSED}, so"),
        (
            Estimate(1.1, 0.8, 1.5, 5),
            0,
            1,
            "cannot tell",
            f"(ratio at least 1.1, 95% interval from 0.8 upwards: 1 of the reference's runs {MISSED})",
        ),
        (Estimate(1.1, 0.8, 1.5, 5), 0, 0, "cannot tell", "(ratio 1.1, 95% interval 0.8 to 1.5)"),
        (Estimate(2.0, math.nan, math.nan, 1), 1, 0, "cannot tell", f"(no interval, and 1 of its runs {MISSED})"),
        (Estimate(2.0, math.nan, math.nan, 1), 0, 0, "cannot tell", "(no interval)"),
    ],
)
def test_an_arm_is_called_faster_or_slower_only_where_runs_that_never_reached_the_target_cannot_turn_it(
    findings, monkeypatch, ratio, censored, reference_censored, short, words
):
    """The true steps of a run that never reached the target are unknown and more than were seen."""
    said = SpeedUp(ratio, censored, reference_censored)
    monkeypatch.setattr(type(findings.convergence), "overall_speed_up", lambda *_: said)
    (point,) = (each for each in conclude(findings).points if each.question == "Does fine-tuning converge faster?")
    assert short in point.short
    assert words in point.sentence


@pytest.mark.parametrize(
    ("ratio", "censored", "reference_censored", "evidence"),
    [
        (
            FASTER,
            2,
            0,
            ("at most 2 times as fast (95% interval up to 2.5)", "whether there is any difference is undecided"),
        ),
        (FASTER, 0, 2, ("at least 2 times as fast (95% interval from 1.6 upwards)", "the factor is too uncertain")),
        (SLOWER, 2, 0, ("at most 0.5 times as fast (95% interval up to 0.6)", "it is slower")),
        (SLOWER, 0, 2, ("at least 0.5 times as fast", "That there is no difference is not ruled out.")),
        (FASTER, 1, 1, ("an unknown number of times as fast", "That there is no difference is not ruled out.")),
    ],
)
def test_the_claim_on_speed_says_no_more_than_runs_that_never_reached_the_target_allow(
    many_seeds, monkeypatch, ratio, censored, reference_censored, evidence
):
    said = SpeedUp(ratio, censored, reference_censored)
    for name in ("speed_up", "overall_speed_up"):
        monkeypatch.setattr(type(many_seeds.convergence), name, lambda *_: said)
    (claim,) = (each for each in check_claims(many_seeds) if each.name == "Convergence speed")
    for words in evidence:
        assert words in claim.evidence


def test_a_speed_up_over_some_label_counts_names_them_wherever_it_is_told(many_seeds, monkeypatch):
    for counts, words in (((4, 12, 36, 112, 224), "all label counts"), ((4, 224), "4 and 224 labelled slices")):
        said = SpeedUp(FASTER, 0, 0, counts)
        monkeypatch.setattr(type(many_seeds.convergence), "overall_speed_up", lambda *_, said=said: said)
        assert f"Over {words} " in conclude(many_seeds).text
        assert f"over {words}." in check_claims(many_seeds)[0].evidence
    table = convergence(many_seeds).query("label_count == 'all'")
    assert set(table["label_counts"]) == {"4, 224"}
    said = SpeedUp(Estimate(1.1, 0.8, 1.5, 5), 0, 0, (224,))
    monkeypatch.setattr(type(many_seeds.convergence), "overall_speed_up", lambda *_: said)
    assert re.search(r"faster or slower than supervised-natural over 224 labelled slices", conclude(many_seeds).text)


def test_epochs_that_were_run_at_few_label_counts_are_compared_there_and_the_report_says_where(many_seeds):
    """As grid.intermediate_label_counts does; one arm has its numbers of epochs everywhere."""
    results, few = (
        many_seeds.results,
        "pretraining_epochs == 3 and label_count not in (112, 224) and arm != 'byol-domain'",
    )
    found = find(replace(results, cells=results.cells.drop(results.cells.query(few).index).reset_index(drop=True)))
    for measure in ("error", "steps"):
        assert found.epochs_study("byol-natural+byol-domain", measure).label_counts == (112, 224)
    assert found.epochs_study("byol-domain", "error").label_counts == (4, 12, 36, 112, 224)
    table = pretraining_epochs(found).query("label_count == 'all' and measure == 'error'").set_index("arm")
    assert set(table.loc["byol-natural+byol-domain", "label_counts"]) == {"112, 224"}
    (claim,) = (each for each in check_claims(found) if each.name == "Pretraining epochs")
    assert claim.evidence.startswith("Over 112 and 224 labelled slices: fewest steps")
    text, _ = caption("enough_epochs", found)
    assert "byol-domain: all label counts; byol-natural+byol-domain: 112 and 224 labelled slices" in text
    assert "a geometric mean over all label counts" in caption("enough_epochs", many_seeds)[0]


def test_epochs_with_runs_that_never_reached_the_target_at_a_label_count_that_is_left_out_are_bounds(many_seeds):
    """At 4 labels no run of byol-domain gets there, so the mean over label counts in steps leaves them out."""
    study = many_seeds.epochs_study("byol-domain", "steps")
    assert 4 not in study.label_counts
    assert "exact" not in {
        bound
        for epochs, bound in zip(study.result.epochs, study.result.bounds, strict=True)
        if epochs != study.result.best_epochs
    }
    assert "enough" not in study.result.verdicts


def test_where_no_run_reached_the_target_the_claim_on_epochs_cannot_be_told_and_is_not_called_untested(many_seeds):
    options = replace(many_seeds.results.options, convergence_dice=0.999)
    found = find(replace(many_seeds.results, options=options))
    (claim,) = (each for each in check_claims(found) if each.name == "Pretraining epochs")
    assert claim.verdict == CANNOT_TELL
    assert f"No run that could be compared reached the target {MISSED.removeprefix('did not reach the target ')}" in (
        claim.evidence
    )
    (point,) = (each for each in conclude(found).points if each.question == "Does fine-tuning converge faster?")
    assert "interval 1 to 1" not in point.sentence
    assert f"30 of its runs and 30 of the reference's runs {MISSED}" in point.sentence  # 5 label counts, 6 seeds


def test_an_end_of_a_speed_up_that_censoring_hides_is_drawn_as_an_arrow(findings):
    drawing = speed_ups(findings)
    (panel,) = drawing.figure.axes
    open_ends = dict.fromkeys((UP, DOWN), 0)
    for line in panel.lines:
        if line.get_marker() in open_ends:
            open_ends[line.get_marker()] += len(line.get_xdata())
    results = [
        findings.convergence.speed_up(name, count)
        for name in findings.headline[1:]
        for count in findings.convergence.targets
    ]
    known = [result for result in results if result.ratio.is_known]
    assert open_ends[DOWN] == sum(result.num_censored > 0 for result in known) > 0
    assert open_ends[UP] == sum(result.num_reference_censored > 0 for result in known)
    legend = " ".join(text.get_text() for text in drawing.figure.legends[0].get_texts())
    assert (
        "runs of the arm did not reach the target within 400 steps" in legend
    )  # the arrows that are drawn, and no other
    assert (f"runs of the reference {MISSED}" in legend) == (open_ends[UP] > 0)
    markers = [handle.get_marker() for handle in drawing.figure.legends[0].legend_handles]
    drawn = [marker.vertices.tolist() for marker in markers if isinstance(marker, Path)]  # a legend draws copies
    assert [arrow.vertices.tolist() in drawn for arrow in (DOWN, UP)] == [True, open_ends[UP] > 0]


def test_a_speed_up_whose_interval_ends_below_the_claim_does_not_support_it_even_if_it_includes_no_difference(
    many_seeds, monkeypatch
):
    said = SpeedUp(Estimate(0.9, 0.5, 1.5, 6), 0, 0)
    monkeypatch.setattr(type(many_seeds.convergence), "speed_up", lambda *_: said)
    (speed, *_) = check_claims(many_seeds)
    assert speed.verdict == NOT_SUPPORTED
    assert "A factor of four is ruled out; whether there is any difference is undecided." in speed.evidence


def forget_validation(root):
    """Rewrite a results folder as a sweep with data.validation_slices=0 would have written it."""
    nothing = {"val_loss": None, "val_dice": None, "validation_slices": 0, "validation_patients": 0}
    for table in ("cells", "curves"):
        for path in (root / table).glob("*.parquet"):
            rows = [
                row | {key: nothing[key] for key in nothing if key in row} for row in pq.read_table(path).to_pylist()
            ]
            write_rows(root, table, path.stem, rows)


def test_without_validation_slices_nothing_is_said_of_convergence_and_the_report_is_whole(small):
    root = small()
    assert "convergence" in {drawing.name for drawing in draw_all(find(load_results(root)))}
    forget_validation(root)
    findings = find(load_results(root))
    assert not findings.convergence.targets
    assert "no validation slices are labelled" in conclude(findings).text
    drawn = {drawing.name for drawing in draw_all(findings)}
    assert "error_vs_labels" in drawn
    assert "convergence" not in drawn


def test_a_table_without_validation_does_not_call_a_ratio_exact_that_is_not_there(small):
    results = load_results(small(num_arms=2))
    table = convergence(find(replace(results, curves=results.curves.iloc[:0])))
    assert (table["num_pairs"] == 0).all()
    assert table["ratio_is"].isna().all()
