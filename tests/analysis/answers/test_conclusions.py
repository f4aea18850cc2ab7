"""The answer says no more than the findings carry, and no two of its sentences contradict each other."""

import dataclasses
import re
from dataclasses import replace

import numpy as np
import pytest

from analysis.answers.answer import CANNOT_TELL
from analysis.answers.best_variant import best_variant
from analysis.answers.claims import check_claims
from analysis.answers.conclusions import conclude, gain_over_random
from analysis.answers.labels_answer import labels_point
from analysis.labels.best_change import BestAt, BestChange
from analysis.labels.labels_needed import LabelCount, LabelsNeeded
from analysis.scores.error_curve import ErrorCurve
from analysis.tables.all_tables import all_tables

QUESTION_OF_CHANGE = "Does the best arm change with labels?"


def told_of_change(findings, arms, changes):
    """Return the point on changes where ``arms`` are best at each label count, or not (''), or only alone (A)."""
    best = [
        BestAt(count, arm.lower() or "c", "other", 0.9, 0.001 if arm.islower() else 0.2, 0.04 if arm else 0.2)
        for count, arm in zip(findings.label_counts, arms, strict=True)
    ]
    answer = conclude(replace(findings, best_arms=best, best_changes=changes))
    return next((point for point in answer.points if point.question == QUESTION_OF_CHANGE), None)


def test_a_decided_change_of_the_best_arm_is_part_of_the_answer(findings):
    changes = [
        BestChange("random", "byol-natural", 60.0, 36.0, 112.0, True),
        BestChange("a", "b", 9.0, 0.0, 20.0, False),
    ]
    point = told_of_change(findings, ["random"] * 3 + ["byol-natural"] * 2, changes)
    assert point.sentence == (
        "Significantly better than all others: random with 4 to 36 labelled slices, then byol-natural with 112 and "
        "224; they change places at about 60 (95% interval 36 to 112)."
    )
    assert point.short == "random with 4 to 36; byol-natural with 112 and 224"
    assert told_of_change(findings, ["random"] * 5, changes[1:]) is None
    twice = [BestChange("a", "b", 9.0, 5.0, 20.0, True), BestChange("b", "c", 40.0, 36.0, 90.0, True)]
    assert told_of_change(findings, "abbcc", twice).sentence == (
        "Significantly better than all others: a with 4 labelled slices, then b with 12 and 36, "
        "then c with 112 and 224; they change places at about 9 (95% interval 5 to 20) "
        "and at about 40 (95% interval 36 to 90)."
    )


def test_no_arm_is_said_to_be_the_best_at_label_counts_where_it_is_not_told(findings):
    changes = [BestChange("a", "b", 60.0, 36.0, 112.0, True)]
    open_ended = told_of_change(findings, ["", "", "a", "b", ""], changes)
    assert open_ended.sentence.startswith(
        "Significantly better than all others: a with 36 labelled slices, then b with 112;"
    )
    with_a_gap = told_of_change(findings, ["a", "", "a", "b", "b"], changes)
    assert with_a_gap.short == "a with 4 and 36; b with 112 and 224"


def test_what_the_adjustment_for_label_counts_takes_from_a_change_is_said(findings):
    changes = [BestChange("a", "b", 60.0, 36.0, 112.0, False)]
    point = told_of_change(findings, ["A", "", "", "b", "b"], changes)
    assert point.short == CANNOT_TELL
    assert point.sentence == (
        "Whether the best arm changes with labels the data cannot tell: taken alone a with 4 and b with 112 and 224 "
        "labelled slices would be significantly better than all others, but not all of these are after adjusting for "
        "the 5 label counts."
    )
    assert told_of_change(findings, ["A", "", "a", "", ""], changes) is None
    point = told_of_change(findings, ["C", "", "a", "b", ""], [replace(changes[0], is_decided=True)])
    assert point.sentence.endswith(
        " Taken alone c with 4 would be, too, but not after adjusting for the 5 label counts."
    )


def test_an_answer_in_few_words_names_the_arm_that_it_is_about(many_seeds):
    (point,) = (each for each in conclude(many_seeds).points if each.question == "How many labelled slices?")
    assert re.fullmatch(r"\d+ \(\d+ to \d+; supervised-natural\)", point.short)  # the true best arm
    assert "supervised-natural needs" in point.sentence


@pytest.mark.parametrize(
    ("low", "short", "words"),
    [
        (np.inf, "more than 224 (byol-natural)", "needs more labels than were measured (95% interval more than 224)."),
        (0.0, CANNOT_TELL, "does not come there, but 4 or fewer may do (95% interval 4 or fewer to more than 224)."),
        (20.0, CANNOT_TELL, "does not come there, but 20 may do (95% interval 20 to more than 224)."),
        (np.nan, CANNOT_TELL, "does not come there, and there is no interval."),
    ],
)
def test_more_labels_than_were_measured_are_asserted_only_where_the_interval_says_so(findings, low, short, words):
    high = np.nan if np.isnan(low) else np.inf
    needed = {"byol-natural": LabelsNeeded(0.2, LabelCount(np.inf, low, high))}
    found = replace(findings, near_reference={findings.results.options.near_minimum: needed})
    point = labels_point(found, "byol-natural")
    assert (point.short, point.sentence.endswith(words)) == (short, True)


def test_what_the_reference_itself_needs_stands_beside_what_another_arm_does(findings):
    """57 labels for an error that the reference reaches with 45 save none."""
    needed = {"byol-natural": LabelCount(57, 22, np.inf), findings.reference: LabelCount(45, 13, 57)}
    needed = {name: LabelsNeeded(0.2, count) for name, count in needed.items()}
    found = replace(findings, near_reference={findings.results.options.near_minimum: needed})
    said = labels_point(found, "byol-natural").sentence
    assert said.endswith(
        "byol-natural needs 57 labelled slices (95% interval 22 to more than 224). "
        "supervised-natural itself needs 45 (13 to 57)."
    )
    assert "itself" not in labels_point(found, findings.reference).sentence


def test_the_answer_quotes_the_mean_error_of_the_table_and_figure_with_its_interval(many_seeds):
    row = all_tables(many_seeds)["errors"].set_index(["variant", "label_count"]).loc[("supervised-natural", 4)]
    said = conclude(many_seeds).points[0].sentence
    assert f"geometric mean {row['error']:.3f}, 95% interval {row['error_low']:.3f} to {row['error_high']:.3f};" in said
    assert "median" not in said


def test_the_gain_over_no_pretraining_is_told_where_it_is_there(many_seeds):
    point = gain_over_random(many_seeds, 4)  # as the simulated laws say
    assert "5 of 5 pretrained arms have a lower mean error; after adjusting" in point.sentence
    assert "5 are significantly better and none worse; the largest change" in point.sentence
    assert point.short == "5 of 5 arms significantly better"


def test_pretraining_that_hurts_is_told_as_worse(many_seeds):
    """Three arms make 1.6 times the errors of random, one 1.9 times, one 0.8 times."""
    shares = np.random.default_rng(0).uniform(1.5, 1.7, size=len(many_seeds.seeds))
    by_arm = dict.fromkeys(many_seeds.curves, shares) | {"random": 1.0 + 0 * shares, "byol-natural": 0.5 * shares}
    by_arm["byol-domain, 12 epochs"] = 1.2 * shares
    random = many_seeds.curves["random"].errors
    curves = {
        name: replace(curve, errors=random * by_arm[name][:, None, None]) for name, curve in many_seeds.curves.items()
    }
    point = gain_over_random(replace(many_seeds, curves=curves), 4)
    assert "1 of 5 pretrained arms has a lower mean error and 4 a higher one;" in point.sentence
    assert "1 is significantly better and 4 worse;" in point.sentence
    ratio = 1.2 * np.exp(np.log(shares).mean())
    assert f"the largest change is that of byol-domain, 12 epochs (ratio of errors {ratio:.2f}," in point.sentence
    assert point.short == "1 of 5 arms significantly better, 4 worse"


def test_random_as_the_best_arm_is_told_from_all_in_both_points_or_in_neither(findings):
    """Arms 4 to 8 % above random, each with a p-value that its neighbours' adjustment decides."""
    told = []
    for seed in range(12):
        generator, shape = np.random.default_rng(seed), findings.curves["random"].errors.shape
        shift = dict(zip(findings.headline, generator.uniform(0.04, 0.08, size=len(findings.headline)), strict=True))
        curves = {
            name: replace(
                curve,
                errors=0.5 * np.exp(shift.get(name, 0.1) + generator.normal(0, 0.02, size=(3, 1, 1)) + np.zeros(shape)),
            )
            for name, curve in findings.curves.items()
        }
        found = replace(findings, curves=curves)
        curves["random"] = replace(curves["random"], errors=curves["random"].errors * np.exp(-shift["random"]))
        best, point = best_variant(found, 4), gain_over_random(found, 4)
        if best.variant == "random":
            assert point.short.endswith(f"{5 - len(best.ties)} worse") == (len(best.ties) < 5)
            told.append(best.ties == ())
    assert 0 < sum(told) < len(told)


def test_a_best_arm_told_from_random_by_itself_is_not_contradicted(findings):
    """Ten seeds with a t of 2.6 (p 0.03) of the best against all others, which do not differ from random."""
    deviations = 0.01 * np.array([-1.0, 1.0] * 5)
    mean = 2.6 * deviations.std(ddof=1) / np.sqrt(10)
    counts = findings.label_counts
    logs = dict.fromkeys(findings.curves, deviations / 100) | {"random": 0.0 * deviations}
    logs["byol-natural"] = deviations - mean
    curves = {
        name: ErrorCurve(counts, np.repeat(0.5 * np.exp(values)[:, None, None], len(counts), axis=2))
        for name, values in logs.items()
    }
    found = replace(findings, curves=curves)
    best, point = best_variant(found, 4), gain_over_random(found, 4)
    assert (best.variant, best.ties) == ("byol-natural", ())
    assert point.short == "none of 5 arms significantly better"
    assert (
        "As the arm with the lowest mean, tested against all others, byol-natural is better than random."
        in point.sentence
    )


def test_no_gain_is_claimed_where_random_is_the_reference_or_absent(many_seeds):
    assert gain_over_random(dataclasses.replace(many_seeds, reference="random"), 4) is None
    without = [name for name in many_seeds.headline if name != "random"]
    assert gain_over_random(dataclasses.replace(many_seeds, headline=without), 4) is None


def test_arms_without_two_seeds_in_common_are_said_to_have_no_comparison_yet(findings):
    """As in a report of an unfinished sweep: one arm has all its seeds at 4 slices, the others have the first alone."""
    curves = {name: replace(curve, errors=curve.errors.copy()) for name, curve in findings.curves.items()}
    for name, curve in curves.items():
        curve.errors[:, :, 0] *= 0.3 if name == "byol-natural" else 1
        if name != "byol-natural":
            curve.errors[1:, :, 0] = np.nan
    said = conclude(replace(findings, curves=curves)).points[0].sentence
    assert re.search(r"lowest mean error \(geometric mean 0\.\d+, 95% interval", said)
    assert said.endswith("it and supervised-natural have no two seeds in common yet, which a comparison needs.")


@pytest.mark.parametrize(
    ("best", "words"),
    [
        (
            "byol-natural",
            "How many pretraining epochs suffice cannot be determined: byol-natural was pretrained for one",
        ),
        ("random", "There are no pretraining epochs to choose for random."),
    ],
)
def test_an_arm_that_was_pretrained_for_one_length_is_not_said_to_have_no_epochs(findings, best, words):
    errors = findings.curves[best].errors.copy()
    errors[:, :, 0] = 0.01
    curves = findings.curves | {best: replace(findings.curves[best], errors=errors)}
    points = conclude(
        replace(findings, curves=curves, headline=("random", "supervised-natural", "byol-natural"))
    ).points
    (point,) = (each for each in points if each.question == "How many pretraining epochs?")
    assert point.sentence.startswith(words)


def with_shares_of_random(findings, shares):
    """Findings in which these arms make constant shares of the errors of random, and all others 1.5 times these."""
    random = findings.curves["random"].errors
    curves = {
        name: replace(curve, errors=random * (1.0 if name == "random" else shares.get(name, 1.5)))
        for name, curve in findings.curves.items()
    }
    return replace(findings, curves=curves)


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ({}, "0 of 5 pretrained arms have a lower mean error and 5 a higher one; after"),
        (
            {"byol-natural": 1.0, "supervised-natural": 1.0 + 1e-13},
            "0 of 5 pretrained arms have a lower mean error, 3 a higher one and 2 the same one; after",
        ),
        ({"byol-natural": 0.5}, "1 of 5 pretrained arms has a lower mean error and 4 a higher one; after"),
    ],
)
def test_arms_that_equal_no_pretraining_are_neither_better_nor_worse(many_seeds, shares, words):
    assert words in gain_over_random(with_shares_of_random(many_seeds, shares), 4).sentence


def test_equal_arms_are_said_to_share_the_lowest_mean_error(many_seeds):
    equal = with_shares_of_random(many_seeds, dict.fromkeys(many_seeds.headline, 1.0))
    said = conclude(equal).points[0]
    assert said.short == CANNOT_TELL
    assert re.fullmatch(
        r"With 4 labelled slices the data cannot tell which pretraining is best: .* and .* share the lowest mean error "
        r"\(geometric mean [^()]*\)\.",
        said.sentence,
    )
    assert all(name in said.sentence for name in many_seeds.headline)
    gain = gain_over_random(equal, 4).sentence
    assert gain.endswith(
        "0 of 5 pretrained arms have a lower mean error and 5 the same one; after adjusting for comparisons with "
        "random, none differs significantly from it."
    )
    (judged,) = (each for each in check_claims(equal) if each.name == "Few labels")
    assert judged.verdict == CANNOT_TELL
    assert "share the lowest mean error" in judged.evidence
