"""A simulated sweep with known truth: the findings recover it, and the conclusions stay within it."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.answers.answer import CANNOT_TELL
from analysis.answers.best_variant import best_variant
from analysis.answers.caveats import caveats
from analysis.answers.claims import NOT_SUPPORTED, NOT_TESTED, SUPPORTED, check_claims
from analysis.answers.conclusions import conclude
from analysis.comparisons.ranking import rank_arms
from analysis.figures.all_figures import distances_and_ejection
from analysis.findings import find
from analysis.intervals.bootstrap import two_level_draws
from analysis.labels.best_change import best_arms
from analysis.loading.load import load_results
from analysis.pretraining.epochs_study import epoch_ladder
from analysis.scores.distances import mean_distance
from analysis.scores.error_curve import ErrorCurve
from analysis.scores.volumes import mean_ejection_error
from analysis.tables.all_tables import all_tables


def test_the_headline_has_every_arm_at_its_longest_pretraining(findings):
    assert findings.headline[0] == findings.reference == "supervised-natural"
    assert set(findings.headline) == {
        "supervised-natural",
        "random",
        "byol-natural",
        "byol-domain, 12 epochs",
        "supervised-natural+byol-domain, 12 epochs",
        "byol-natural+byol-domain, 12 epochs",
    }


def test_intervals_cover_the_true_ratio_to_the_reference(many_seeds, simulated):
    covered = []
    for item in many_seeds.differences:
        arm, _, epochs = item.variant.partition(", ")
        epochs = int(epochs.split()[0]) if epochs else 0
        truth = simulated.true_error(arm, item.label_count, epochs)
        truth /= simulated.true_error(simulated.REFERENCE, item.label_count, 0)
        covered.append(item.difference.ratio.low <= truth <= item.difference.ratio.high)
    assert np.mean(covered) >= 0.8


def test_the_reference_is_worth_its_own_labels_and_one_times_as_fast(findings):
    for item in findings.equivalences[findings.reference]:
        assert item.worth.labels == pytest.approx(item.label_count)
    assert findings.convergence.overall_speed_up(findings.reference).ratio.value == pytest.approx(1.0)


def test_zero_epochs_is_the_arm_it_starts_from(findings):
    assert epoch_ladder(findings.variants, "byol-domain") == {
        0: "random",
        3: "byol-domain, 3 epochs",
        12: "byol-domain, 12 epochs",
    }


def test_the_best_arm_at_the_fewest_labels_is_the_true_one(many_seeds):
    best = best_variant(many_seeds, 4)
    assert best is not None
    assert best.variant == "supervised-natural"
    assert best.ties == ()


def test_arms_are_ranked_on_seeds_that_all_of_them_have(findings):
    curves = {name: replace(curve, errors=curve.errors.copy()) for name, curve in findings.curves.items()}
    easy, hard = np.array([0.1, 0.5, 0.5]), np.array([np.nan, 0.4, 0.4])
    for curve in curves.values():
        curve.errors[:, :, 0] = 0.9
    curves[findings.reference].errors[:, :, 0], curves["byol-natural"].errors[:, :, 0] = easy[:, None], hard[:, None]
    best = best_variant(replace(findings, curves=curves), 4)
    assert best is not None
    assert best.variant == "byol-natural"


def test_claims_follow_the_simulated_truth(many_seeds):
    verdicts = {claim.name: claim.verdict for claim in check_claims(many_seeds)}
    assert verdicts["Pretraining epochs"] == SUPPORTED
    assert verdicts["Few labels"] == SUPPORTED
    assert verdicts["Fewer than 100 slices"] in (NOT_SUPPORTED, CANNOT_TELL)  # the law says about 130
    assert verdicts["Convergence speed"] in (SUPPORTED, CANNOT_TELL)  # truth is 5, seen at every fourth step


def test_a_claim_on_labels_is_not_tested_by_one_label_count(many_seeds):
    cells = many_seeds.results.cells.query("label_count == 36").reset_index(drop=True)
    (claim,) = (
        each for each in check_claims(find(replace(many_seeds.results, cells=cells))) if "100 slices" in each.name
    )
    assert claim.verdict == NOT_TESTED
    assert claim.evidence == "This needs two or more label counts; supervised-natural was run at 36 alone."


def test_arms_that_do_not_differ_cannot_be_told_apart(simulated, tmp_path, monkeypatch):
    law = simulated.LAWS[simulated.REFERENCE]
    monkeypatch.setattr(simulated, "LAWS", dict.fromkeys(simulated.LAWS, law))
    monkeypatch.setattr(simulated, "SPEED", dict.fromkeys(simulated.SPEED, 50.0))
    monkeypatch.setattr(simulated, "EPOCH_PENALTY", {0: 1.0, 3: 1.0, 12: 1.0})
    found = find(load_results(simulated.write_results(tmp_path / "sweep", noise=0.1)))
    assert "cannot tell which pretraining is best" in conclude(found).text
    verdicts = {claim.name: claim.verdict for claim in check_claims(found)}
    assert verdicts["Few labels"] == CANNOT_TELL
    assert verdicts["Convergence speed"] != SUPPORTED
    assert verdicts["Pretraining epochs"] != SUPPORTED


@pytest.mark.parametrize(
    ("num_patients", "num_seeds", "patient_spread", "words"),
    [
        (1, 3, 0.0, "do not cover other test patients"),
        (2, 5, 0.0, "Only 2 test patients: intervals of errors span a factor of a hundred or more"),
        (4, 5, 0.0, "Only 4 test patients"),
        (20, 5, 0.5, "The 20 test patients differ more than the seeds do"),
        (20, 5, 0.01, ""),
        (50, 3, 0.01, ""),
    ],
)
def test_what_the_number_of_test_patients_costs_is_said(findings, num_patients, num_seeds, patient_spread, words):
    generator, counts = np.random.default_rng(0), len(findings.label_counts)
    logs = 0.1 * generator.normal(size=(num_seeds, 1, 1)) + patient_spread * generator.normal(size=(1, num_patients, 1))
    logs = logs + 0.01 * generator.normal(size=(num_seeds, num_patients, counts)) - 1
    curves = {findings.reference: ErrorCurve(findings.label_counts, np.exp(logs))}
    said = [
        each
        for each in caveats(replace(findings, curves=curves, headline=(), seeds=tuple(map(str, range(num_seeds)))))
        if "test patients" in each
    ]
    assert (len(said), words in " ".join(said)) == (bool(words), True)


@pytest.mark.parametrize("seed", range(12))
def test_the_best_arm_and_its_changes_go_by_the_same_p_values(findings, seed):
    """Arms that differ by little, some seeds missing: both tell the best from all others, or neither."""
    generator, shape = np.random.default_rng(seed), (5, 6, len(findings.label_counts))
    curves = {}
    for name in findings.curves:
        logs = generator.normal(0, 0.15) + generator.normal(0, 0.05, size=shape) - 1.5
        logs[generator.random(shape[0]) < 0.1] = np.nan
        curves[name] = ErrorCurve(findings.label_counts, np.exp(logs))
    headline = findings.headline[:4]
    shown = {name: curves[name] for name in headline}
    found = replace(findings, curves=curves, headline=headline)
    for at in best_arms(shown, two_level_draws(5, 6, 20, generator)):
        best = best_variant(found, int(at.label_count))
        assert (best.variant, best.ties == ()) == (at.arm, at.p_value_alone < 0.05)


def test_a_best_arm_is_not_told_from_one_that_is_lower_on_the_seeds_of_both(findings):
    """On the two seeds that all arms have a is lowest; on the ten that a and b have it is b."""
    errors = {"a": np.full(10, 0.30), "b": np.full(10, 0.20), "c": np.full(10, np.nan)}
    errors["a"][:2], errors["c"][:2] = 0.10, 0.90
    noise = np.random.default_rng(0).normal(0, 0.01, size=(2, 10))
    errors["a"], errors["b"] = errors["a"] * np.exp(noise[0]), errors["b"] * np.exp(noise[1])
    curves = {name: ErrorCurve(np.array([4.0]), values[:, None, None]) for name, values in errors.items()}
    ranking = rank_arms(curves, 0, 0.95)
    assert ranking.best == "a"
    assert ranking.p_values["b"] == ranking.p_value == 1.0


def test_arms_are_ranked_tested_and_quoted_by_the_same_centre(findings):
    """Of 0.1, 0.5 and 0.5 the geometric mean is 0.29, below a steady 0.35, though the arithmetic one is 0.37."""
    curves = {name: replace(curve, errors=curve.errors.copy()) for name, curve in findings.curves.items()}
    for curve in curves.values():
        curve.errors[:, :, 0] = 0.9
    curves[findings.reference].errors[:, :, 0] = np.array([0.1, 0.5, 0.5])[:, None]
    curves["byol-natural"].errors[:, :, 0] = 0.35
    changed = replace(findings, curves=curves)
    best = best_variant(changed, 4)
    assert best is not None
    assert (best.variant, best.rival) == ("supervised-natural", "byol-natural")
    assert best.mean_error.value == pytest.approx(0.025 ** (1 / 3))
    assert best.ratio.value == pytest.approx(0.025 ** (1 / 3) / 0.35)
    said = conclude(changed).points[0].sentence
    assert "supervised-natural has the lowest mean error (geometric mean 0.292, 95% interval" in said
    assert "against byol-natural (the next best) its paired ratio of errors 0.84, 95% interval" in said


def test_seeds_added_at_one_label_count_leave_the_warning_of_few_seeds_elsewhere(many_seeds):
    """As next_run adds them: three seeds everywhere, six at the fewest labels."""
    results = many_seeds.results
    added = results.cells.query("label_count != 4 and subset_seed >= 3").index
    found = find(replace(results, cells=results.cells.drop(added).reset_index(drop=True)))
    assert (len(found.seeds), found.seed_range) == (6, (3, 6))
    (said,) = (caveat for caveat in conclude(found).caveats if "seeds:" in caveat)
    assert said.startswith("Only 3 to 6 seeds: t intervals are wide (95% is ±4.3 standard errors with 3")
    assert (found.num_seeds_words, many_seeds.num_seeds_words) == ("3 to 6 seeds", "6 seeds")


def test_few_seeds_are_said_to_cost_power(findings, many_seeds):
    assert any("Only 2 to 3 seeds" in caveat for caveat in conclude(findings).caveats)  # cells are missing
    assert not any("seeds:" in caveat for caveat in conclude(many_seeds).caveats)


def test_an_arm_that_learns_nothing_needs_an_unknown_number_of_labels(simulated, tmp_path, monkeypatch):
    monkeypatch.setattr(simulated, "LAWS", dict.fromkeys(simulated.LAWS, (0.9, 0.0, 1.0)))
    found = find(load_results(simulated.write_results(tmp_path / "sweep", noise=0.0, seeds=simulated.SEEDS[:2])))
    assert "does not fall with labels" in conclude(found).text


def test_collapsed_pretraining_is_marked(tables):
    table = tables["pretraining"].set_index("stage")
    assert "effective rank" in table.loc["byol-domain", "warning"]
    assert table.loc["byol-natural", "warning"] == ""


def test_a_stage_shows_the_samples_that_its_workers_train_a_second(tables):
    table = tables["pretraining"].set_index("stage")
    assert table.loc["byol-domain", "samples_per_second"] == pytest.approx(1000 / 2.0)  # of an epoch of 2 s


def test_cost_adds_the_pretraining_of_the_whole_chain(tables):
    table = tables["cost"].set_index("variant")
    assert table["pretraining_seconds"]["byol-natural+byol-domain, 3 epochs"] == pytest.approx(3 * 2.0 + 12 * 2.0)
    assert table["pretraining_flops"]["byol-domain, 12 epochs"] == pytest.approx(12 * 4e9)
    assert table["pretraining_samples"]["byol-domain, 12 epochs"] == 12 * 1000
    assert table["pretraining_device_seconds"]["random"] == 0


def test_dice_by_class_agrees_with_the_test_dice_of_the_cells(tables):
    classes = tables["dice_by_class"].groupby(["variant", "label_count"])["median_dice"].mean()
    whole = tables["errors"].set_index(["variant", "label_count"])["median_test_dice"]
    np.testing.assert_allclose(classes, whole.loc[classes.index], atol=1e-5)


def test_means_of_distances_and_ejection_are_drawn_with_their_intervals(findings):
    level = findings.results.options.confidence
    tables = {
        "hd95": mean_distance(findings.distances, level),
        "error_points": mean_ejection_error(findings.ejection_fractions, level),
    }
    drawing = distances_and_ejection(findings)
    for panel, (column, table) in zip(drawing.figure.axes, tables.items(), strict=True):
        shown = table[table["variant"].isin(findings.headline)]
        bars = [path.vertices[:, 1] for bars in panel.collections for path in bars.get_paths()]
        ends = shown[[f"{column}_low", f"{column}_high"]].dropna()
        assert len(ends) >= 25
        assert np.array(sorted(map(tuple, bars))) == pytest.approx(np.array(sorted(map(tuple, ends.to_numpy()))))
        assert shown[column].max() < panel.get_ylim()[1] <= 2 * shown[column].max()
    assert "95% intervals" in drawing.caption


def test_label_counts_are_told_in_slices_and_patients_and_validation_labels_are_not_hidden(findings):
    largest = findings.label_counts[-1]
    assert findings.labels_at(largest) == f"{largest:.0f} slices of 20 patients"  # as the simulated cells say
    assert any("50 slices of 5 patients are labelled for the validation" in each for each in conclude(findings).caveats)


def test_every_pair_of_arms_stands_there_both_ways_and_agrees_with_the_differences_from_the_reference(many_seeds):
    tables = all_tables(many_seeds)
    pairs = tables["pairs"].set_index(["variant", "against", "label_count"])
    for (one, two, count), row in pairs.iterrows():
        back = pairs.loc[(two, one, count)]
        assert (row["ratio"] * back["ratio"], row["low"] * back["high"]) == pytest.approx((1.0, 1.0))
    known = tables["differences"][tables["differences"]["variant"].isin(many_seeds.headline)]
    for row in known.itertuples():
        same = pairs.loc[(row.variant, many_seeds.reference, row.label_count)]
        assert same["ratio"] == pytest.approx(row.ratio)
        assert same["p_value"] == pytest.approx(row.p_value)
    assert len(pairs) == len(many_seeds.headline) * (len(many_seeds.headline) - 1) * len(many_seeds.label_counts)
