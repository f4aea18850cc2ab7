"""What the answer says of arms that lack cells at some label counts, as where these failed or are still to come."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.answers.answer import CANNOT_TELL
from analysis.answers.claims import NOT_TESTED, SUPPORTED, check_claims
from analysis.answers.conclusions import conclude
from analysis.answers.labels_answer import labels_point
from analysis.findings import find
from analysis.labels.labels_needed import LabelCount, LabelsNeeded
from analysis.planning.advice import nothing_open
from analysis.planning.next_steps import next_steps
from analysis.tables.all_tables import all_tables
from analysis.tables.readable import readable

ARMS = "arm in ('random', 'supervised-natural', 'byol-domain')"


@pytest.fixture
def lacking(many_seeds):
    """A function that returns findings of three arms without the cells that a query chooses."""

    def find_without(query):
        cells = many_seeds.results.cells.query(ARMS).query(f"not ({query})").reset_index(drop=True)
        return find(replace(many_seeds.results, cells=cells))

    return find_without


def point(findings, start):
    """Return the answer's point on the question that begins so; None without any."""
    return next((each for each in conclude(findings).points if each.question.startswith(start)), None)


def claim(findings, name):
    """Return one claim by its name."""
    return next(each for each in check_claims(findings) if each.name == name)


def test_without_a_result_at_the_most_labels_the_reference_sets_no_goal(lacking):
    found = lacking("arm == 'supervised-natural' and label_count == 224")
    said = point(found, "How many labelled")
    assert (said.short, said.sentence) == (
        CANNOT_TELL,
        "How many slices are needed cannot be determined, since supervised-natural has no result at 224 slices.",
    )
    judged = claim(found, "Fewer than 100 slices")
    assert (judged.verdict, judged.evidence) == (
        CANNOT_TELL,
        "supervised-natural has no result at 224 labelled slices, so its error at the most labels is unknown.",
    )
    table = all_tables(found)["labels_needed"].dropna(subset="margin")  # all goals but the target error
    rows = table[table["goal"].str.contains("the reference's") | (table["variant"] == "supervised-natural")]
    assert len(rows) > 0
    assert rows[["target_error", "labels", "low", "high", "labels_by_law"]].isna().all(axis=None)
    assert set(rows["verdict"]) == {CANNOT_TELL}
    own = table[table["goal"].str.contains("its own") & (table["variant"] == "random")]
    assert np.isfinite(own["target_error"]).all()


@pytest.mark.parametrize("count", [4, 224])
def test_no_change_of_the_best_arm_is_told_where_an_arm_was_not_run(lacking, count):
    """The reference is the best at all label counts of the simulated laws, until its cells at one are missing."""
    found = lacking(f"arm == 'supervised-natural' and label_count == {count}")
    assert found.best_changes == []
    assert point(found, "Does the best arm change") is None


def test_an_arm_that_was_not_run_at_the_fewest_labels_is_named_and_not_judged_there(lacking):
    found = lacking("arm == 'supervised-natural' and label_count == 4")
    said = point(found, "Which pretraining").sentence
    assert said.startswith("With 4 labelled slices byol-domain, 12 epochs does best (")
    assert said.endswith(". supervised-natural has no result there.")
    judged = claim(found, "Few labels")
    assert (judged.verdict, judged.evidence) == (
        NOT_TESTED,
        "This needs finished cells of supervised-natural and of another arm at the fewest labels.",
    )
    assert "no result there" not in point(lacking("label_count == 12"), "Which pretraining").sentence


def test_a_claim_on_every_other_arm_names_those_that_were_not_run(lacking):
    judged = claim(lacking("arm == 'byol-domain' and label_count == 4"), "Few labels")
    assert judged.verdict == SUPPORTED
    assert judged.evidence.endswith(
        "Every other arm differs significantly from it. byol-domain, 12 epochs has no result there."
    )


def test_a_label_count_that_one_arm_alone_has_silences_nothing(lacking):
    """At 4 labels only random is there; the simulated laws make supervised-natural the best at all others."""
    found, whole = lacking("arm != 'random' and label_count == 4"), lacking("label_count == 4")
    said = conclude(found)
    assert said.points[0].question == "Which pretraining, with 12 labelled slices?"
    assert said.points[0].sentence.startswith(
        "With 12 labelled slices, the fewest at which two arms have results, supervised-natural does best ("
    )
    assert [each.question for each in said.points] == [each.question for each in conclude(whole).points]
    assert point(found, "What differs").sentence == point(whole, "What differs").sentence


def test_of_one_arm_with_two_numbers_of_epochs_these_are_compared(lacking):
    found = lacking("arm != 'byol-domain'")
    assert len(found.variants) == 2
    first = conclude(found).points[0]
    assert (first.short, first.sentence) == (
        "one arm so far",
        "Of all arms only byol-domain has finished cells, so no other can be compared with it yet.",
    )
    assert "every other number" in point(found, "How many pretraining epochs").sentence
    assert nothing_open(found) == (
        "Of all arms only byol-domain has finished cells: there is none to compare it with yet."
    )


def test_of_a_single_variant_nothing_is_compared(lacking):
    found = lacking("arm != 'supervised-natural'")
    first, *others = conclude(found).points
    assert first.sentence == "Only supervised-natural has finished cells, so nothing can be compared yet."
    assert not any("pretraining epochs" in each.question for each in others)
    assert nothing_open(found).startswith("Only supervised-natural has finished cells")


def test_arms_that_share_no_label_count_are_not_called_one_arm(lacking):
    found = lacking("(arm == 'random') == (label_count > 12) or arm == 'byol-domain'")
    said = conclude(found).points[0]
    assert (said.short, said.sentence) == (
        CANNOT_TELL,
        "No two arms have results at one and the same label count yet.",
    )


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ({3: 0.3, 12: 0.3}, "3 and 12 epochs share the lowest mean error"),
        ({3: 0.3, 12: 0.2}, "12 epochs have the lowest"),
    ],
)
def test_numbers_of_epochs_that_are_equal_are_not_put_in_order(many_seeds, errors, words):
    """With a single seed no number is shown to be enough, so that the lowest mean alone is told."""
    seed, cells = many_seeds.seeds[0], many_seeds.results.cells
    cells = cells[(cells["arm"] == "byol-domain") & (cells["seed"] == seed)]
    cells = cells.assign(error=cells["pretraining_epochs"].map(errors)).reset_index(drop=True)
    found = find(replace(many_seeds.results, cells=cells, cases=many_seeds.results.cases.iloc[:0]))
    assert words in point(found, "How many pretraining epochs").sentence


def test_networks_that_hardly_segment_are_near_no_minimum(many_seeds):
    """All errors between 0.93 and 0.99: with a margin of 10% an empty mask would do."""
    low, high = many_seeds.results.cells["error"].min(), many_seeds.results.cells["error"].max()
    cells = many_seeds.results.cells.query(ARMS)
    cells = cells.assign(error=0.93 + 0.06 * (cells["error"] - low) / (high - low)).reset_index(drop=True)
    found = find(replace(many_seeds.results, cells=cells, cases=many_seeds.results.cases.iloc[:0]))
    error = np.exp(np.log(cells.query("arm == 'supervised-natural' and label_count == 224")["error"]).mean())
    why = (
        f"the error of supervised-natural at 224 slices is {error:.3f}, and a network that segments nothing (error 1) "
        "comes within 10% of it."
    )
    said = point(found, "How many labelled")
    assert (said.short, said.sentence) == (CANNOT_TELL, f"How many slices are needed cannot be determined, since {why}")
    judged = claim(found, "Fewer than 100 slices")
    assert (judged.verdict, judged.evidence) == (CANNOT_TELL, f"There is no minimum to come near to: {why}")
    assert not any(step.question.about == "labels" for step in next_steps(found))
    assert " -0." not in conclude(found).text


def test_a_comparison_without_two_common_seeds_is_called_not_tested(lacking):
    """One arm of three has a single seed at 4 labels, then all of them."""
    first = sorted(lacking("label_count > 36").seeds)[0]
    found = lacking(f"arm == 'random' and label_count == 4 and seed != '{first}'")
    said, judged = point(found, "Which pretraining"), claim(found, "Few labels")
    untested = " Not tested against it, without two seeds in common: random."
    assert said.sentence.startswith("With 4 labelled slices supervised-natural beats byol-domain, 12 epochs (")
    assert said.sentence.endswith(f").{untested}")
    assert judged.verdict == CANNOT_TELL
    assert judged.evidence.endswith(f").{untested}")
    assert "significantly different" not in judged.evidence
    single = claim(lacking(f"seed != '{first}'"), "Few labels")
    assert single.verdict == CANNOT_TELL
    assert single.evidence.endswith("without two seeds in common: byol-domain, 12 epochs, random.")


def test_an_arm_that_the_best_could_not_be_tested_against_is_not_told_to_be_as_good(lacking):
    """The arm of the claim has a single seed at 4 labels, and three times the error there."""
    first = sorted(lacking("label_count > 36").seeds)[0]
    found = lacking(f"arm == 'supervised-natural' and label_count == 4 and seed != '{first}'")
    errors = found.curves["supervised-natural"].errors * np.where(found.label_counts == 4, 3.0, 1.0)
    worse = {"supervised-natural": replace(found.curves["supervised-natural"], errors=errors)}
    judged = claim(replace(found, curves={**found.curves, **worse}), "Few labels")
    assert judged.verdict == CANNOT_TELL
    assert judged.evidence == (
        "At 4 labelled slices byol-domain, 12 epochs has the lowest mean error. "
        "Not tested against it, without two seeds in common: supervised-natural."
    )


def test_labels_beyond_an_arms_own_counts_are_not_told_by_those_of_the_sweep(lacking):
    """Random has results at 4 and 12 labels, the reference from 36 on: neither was measured beyond these."""
    found = lacking("arm == 'random' and label_count > 12 or arm == 'supervised-natural' and label_count < 36")
    own = LabelsNeeded(0.2, LabelCount(0.0, 0.0, 0.0))
    needed = {"random": LabelsNeeded(0.2, LabelCount(np.inf, np.inf, np.inf)), "supervised-natural": own}
    said = labels_point(replace(found, near_reference={found.results.options.near_minimum: needed}), "random")
    assert said.short == "more than 12 (random)"
    assert said.sentence.endswith("(95% interval more than 12). supervised-natural itself needs 36 or fewer.")


@pytest.mark.parametrize(("fewest", "verdict"), [(36, SUPPORTED), (112, CANNOT_TELL)])
def test_no_labels_below_the_fewest_measured_are_claimed_to_be_enough(lacking, fewest, verdict):
    """The interval ends at the fewest labels or below: with 112 of them that is not known to be below 100 slices."""
    found = lacking(f"arm == 'supervised-natural' and label_count < {fewest}")
    needed = {"supervised-natural": LabelsNeeded(0.2, LabelCount(0.0, 0.0, 0.0))}
    judged = claim(replace(found, near_own={found.results.options.near_minimum: needed}), "Fewer than 100 slices")
    assert judged.verdict == verdict
    assert judged.evidence.startswith(f"supervised-natural needs {fewest} or fewer labelled slices")


def test_tables_tell_labels_beyond_an_arms_own_counts_by_these(lacking):
    """byol-domain was run up to 36 labels: of 37 or more nothing is known of it."""
    found = lacking("arm == 'byol-domain' and label_count > 36")
    needed = {"byol-domain, 12 epochs": LabelsNeeded(0.2, LabelCount(np.inf, np.inf, np.inf))}
    found = replace(found, near_reference={found.results.options.near_minimum: needed}, near_own={})
    tables = all_tables(found)
    (row,) = tables["labels_needed"].query("goal.str.contains('reference')").to_dict("records")
    assert row["interval"] == "more than 36"
    shown = readable("labels_needed", tables["labels_needed"], found)
    assert "more than 36" in shown.markdown()
    assert "more than 224" not in shown.markdown()
