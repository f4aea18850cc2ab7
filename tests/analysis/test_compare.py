"""Two experiments side by side: paired only where they may be, and refused where nothing is common."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from analysis.compare import are_paired, compare, differing, main
from analysis.comparisons.unpaired import independent_difference
from analysis.findings import find
from analysis.loading.load import load_results
from trainables.results import write_text


@pytest.fixture
def small(simulated, monkeypatch):
    """The simulator, of two arms and two label counts."""
    arms = ("random", simulated.REFERENCE)
    monkeypatch.setattr(simulated, "BASES", {arm: simulated.BASES[arm] for arm in arms})
    monkeypatch.setattr(simulated, "LABEL_COUNTS", (4, 36))
    return simulated


def sweep(small, root, content="same", **options):
    small.write_results(root, left_out=0, failed=0, **options)
    data = json.loads((root / "data.json").read_text())
    write_text(root / "data.json", json.dumps({**data, "content_id": content}))
    return root


def test_of_one_patient_both_sides_t_quantiles_are_weighted_by_their_variances():
    """Cochran's approximation of the Behrens-Fisher test, by hand."""
    first, second = np.array([0.5, 0.7, 0.4, 0.65]), np.array([0.3, 0.2, 0.45])
    found = independent_difference(first[:, None], second[:, None], 0.95)
    parts = np.array([first.var(ddof=1) / 4, second.var(ddof=1) / 3])
    half = (parts * stats.t.ppf(0.975, [3, 2])).sum() / np.sqrt(parts.sum())
    gap = second.mean() - first.mean()
    assert (found.estimate.low, found.estimate.high) == pytest.approx((gap - half, gap + half))
    at_zero = independent_difference(first[:, None], second[:, None], 1 - found.p_value).estimate
    assert at_zero.high == pytest.approx(0.0, abs=1e-6)


def test_an_independent_difference_holds_the_difference_of_crossed_means_as_often_as_it_says():
    generator, held = np.random.default_rng(4), []
    for _ in range(1500):
        sides = [generator.normal(size=(6, 1)) + generator.normal(size=(1, number)) for number in (8, 15)]
        sides = [side + generator.normal(size=side.shape) for side in sides]
        estimate = independent_difference(*sides, 0.95).estimate
        held.append(estimate.low <= 0 <= estimate.high)
    assert 0.93 < np.mean(held) < 0.985


def test_equal_seeds_and_patients_of_equal_data_are_paired_and_luck_cancels(small, tmp_path):
    first, second = sweep(small, tmp_path / "a"), sweep(small, tmp_path / "b")
    found = compare(first, second)
    table, text = found.table, found.markdown
    assert set(table["method"]) == {"paired"}
    assert set(table["ratio"]) == {1.0}
    assert len(table) == 4
    assert "4 of 4 ratios are paired" in text


@pytest.mark.parametrize("change", ["content", "seeds"])
def test_other_data_or_other_seeds_are_not_paired(small, tmp_path, change):
    first = sweep(small, tmp_path / "a")
    other = {"content": {"content": "other"}, "seeds": {"seeds": ((7, 70), (8, 80), (9, 90))}}[change]
    table = compare(first, sweep(small, tmp_path / "b", **other)).table
    assert set(table["method"]) == {"independent"}


def test_data_of_unknown_content_are_never_taken_for_the_same(small, tmp_path):
    roots = [small.write_results(tmp_path / name, left_out=0, failed=0) for name in "ab"]
    assert not are_paired(*map(load_results, roots))


def test_a_better_second_experiment_is_found_and_what_was_changed_is_named(small, tmp_path, monkeypatch):
    first = sweep(small, tmp_path / "a", noise=0.01)
    better = {arm: (floor / 2, scale / 2, power) for arm, (floor, scale, power) in small.LAWS.items()}
    monkeypatch.setattr(small, "LAWS", better)
    second = sweep(small, tmp_path / "b", noise=0.01)
    for root, steps in ((first, 100), (second, 200)):
        config = yaml.safe_load((root / "experiment.yaml").read_text())
        write_text(root / "experiment.yaml", yaml.safe_dump(config | {"finetune": {"steps": steps}}))
    found = compare(first, second)
    table, text = found.table, found.markdown
    np.testing.assert_allclose(table["second_error"], table["first_error"] / 2, rtol=0.01)
    assert (table["high"] < 1).all()
    assert "the second has a lower error in 4 and a higher one in 0" in text
    assert differing(load_results(first), load_results(second)) == [("finetune.steps", 100, 200)]
    assert "`finetune.steps`: 100 / 200" in text


def test_errors_of_a_row_are_of_the_seeds_that_its_difference_is_of(small, tmp_path, monkeypatch):
    """The second has one more seed, a bad one: by its means it looks worse, by the shared seeds it is not."""
    first = sweep(small, tmp_path / "a", noise=0.0)
    clean = small._write_cell

    def with_a_bad_seed(root, row, noise):
        clean(root, row, noise + 0.5 * (row["subset_seed"] == 3) - 0.01)

    monkeypatch.setattr(small, "_write_cell", with_a_bad_seed)
    second = sweep(small, tmp_path / "b", noise=0.0, seeds=(*small.SEEDS, (3, 13)))
    table = compare(first, second).table
    assert set(table["method"]) == {"paired"}
    assert (table["ratio"] < 1).all()
    np.testing.assert_allclose(table["second_error"] / table["first_error"], table["ratio"], rtol=1e-9)


@pytest.mark.parametrize(
    ("section", "key", "values"),
    [
        ("compute", "pretraining_workers", (1, 2)),
        ("grid", "pretraining_seeds", ([0], [0, 1])),
        ("grid", "train_seeds", (None, [0, 1])),
    ],
)
def test_settings_of_machines_and_grids_that_change_numbers_are_named(small, tmp_path, section, key, values):
    roots = [sweep(small, tmp_path / name) for name in "ab"]
    for root, value in zip(roots, values, strict=True):
        config = yaml.safe_load((root / "experiment.yaml").read_text())
        idle = {"grid": {"label_counts": [value]}, "compute": {"cpus_per_cell": str(value)}}
        idle[section][key] = value
        write_text(root / "experiment.yaml", yaml.safe_dump(config | idle))
    assert differing(*map(load_results, roots)) == [(f"{section}.{key}", *values)]


def test_a_setting_that_one_side_does_not_have_is_not_set_there(small, tmp_path):
    first, second = (sweep(small, tmp_path / name) for name in ("a", "b"))
    path = first / "experiment.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["data"] = {**settings.get("data", {}), "crop_mm": 96}
    path.write_text(yaml.safe_dump(settings))
    assert "- `data.crop_mm`: 96 / not set" in compare(first, second).markdown


def test_data_are_compared_by_content_and_not_by_where_they_lie(small, tmp_path):
    roots = [sweep(small, tmp_path / name) for name in "ab"]
    for root, content in zip(roots, ("same", "other"), strict=True):
        config = yaml.safe_load((root / "experiment.yaml").read_text())
        config["data"] |= {"root": f"/data/{content}"}
        write_text(root / "experiment.yaml", yaml.safe_dump(config))
        data = json.loads((root / "data.json").read_text()) | {"data_id": "one"}
        write_text(root / "data.json", json.dumps(data | {"pool_id": content}))
    assert differing(*map(load_results, roots)) == [("pool_id", "same", "other")]
    text = compare(*roots).markdown
    assert "`pool_id`: same / other" in text
    other = sweep(small, tmp_path / "c", content="new")
    assert ("content_id", "same", "new") in differing(*map(load_results, (roots[0], other)))


def test_a_comparison_is_never_written_over_that_of_two_others(small, tmp_path, capsys):
    first, second, third = (sweep(small, tmp_path / name) for name in "abc")
    output = ["--output", str(tmp_path / "out")]
    assert main([str(first), str(second), *output]) == 0
    assert main([str(first), str(second), *output]) == 0
    before = (tmp_path / "out" / "comparison.csv").read_bytes()
    assert main([str(first), str(third), *output]) == 1
    assert "comparison.md holds another comparison" in capsys.readouterr().err
    assert (tmp_path / "out" / "comparison.csv").read_bytes() == before


def test_nothing_in_common_ends_with_status_one_and_names_both(small, tmp_path, capsys, monkeypatch):
    first = sweep(small, tmp_path / "a")
    monkeypatch.setattr(small, "LABEL_COUNTS", (5, 40))
    second = sweep(small, tmp_path / "b")
    assert main([str(first), str(second), "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "[4, 36]" in error
    assert "[5, 40]" in error
    assert not (tmp_path / "out").exists()


def test_the_command_writes_both_files(small, tmp_path, capsys):
    first, second = sweep(small, tmp_path / "a"), sweep(small, tmp_path / "b", content="other")
    assert main([str(first), str(second), "--output", str(tmp_path / "out")]) == 0
    assert "comparison.md" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "comparison.csv")
    assert (tmp_path / "out" / "comparison.md").read_text().count("| independent |") == len(table) == 4


def test_speed_ups_labels_needed_and_laws_of_both_stand_side_by_side_as_in_their_own_reports(
    small, tmp_path, monkeypatch
):
    monkeypatch.setattr(small, "LABEL_COUNTS", (4, 36, 224))
    roots = [sweep(small, tmp_path / "a", noise=0.01)]
    monkeypatch.setattr(small, "SPEED", {**small.SPEED, "random": 25.0})  # four times as quick as before
    monkeypatch.setattr(small, "LAWS", {**small.LAWS, "random": (0.05, 0.5, 0.6)})
    roots.append(sweep(small, tmp_path / "b", noise=0.01))
    assert main([*map(str, roots), "--output", str(tmp_path / "out")]) == 0
    arms = pd.read_csv(tmp_path / "out" / "arms.csv").set_index(["variant", "experiment"])
    assert len(arms) == 4
    for root, which in zip(roots, ("first", "second"), strict=True):
        own = find(load_results(root))
        row = arms.loc[("random", which)]
        assert row["speed_up"] == pytest.approx(own.convergence.overall_speed_up("random").ratio.value)
        assert row["labels"] == pytest.approx(own.near_reference_minimum["random"].count.labels)
        assert row["law"].startswith(own.laws["random"].law.family.name)
    assert arms.loc[("random", "second"), "speed_up"] > 1 > arms.loc[("random", "first"), "speed_up"]
    assert arms.loc[("random", "first"), "labels_needed"].startswith("more than 224")
    assert arms.loc[("random", "second"), "labels"] < 224
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert "## Convergence, labels needed and laws" in text
    assert "differences between the two rows of an arm are not tested" in text
