"""Axes become unique cells."""

from sweep.experiment import load_preset
from sweep.grid import base_arm, grid_points, pretraining_epochs


def test_an_arm_without_a_listed_stage_appears_once_at_0_epochs() -> None:
    smoke = load_preset("smoke")
    assert pretraining_epochs(smoke, "random") == (0,)
    assert pretraining_epochs(smoke, "byol-natural") == (0,)
    assert pretraining_epochs(smoke, "byol-domain") == (1, 2)


def test_the_grid_is_the_product_of_its_axes_without_repeats() -> None:
    points = list(grid_points(load_preset("smoke")))
    assert len(points) == len(set(points)) == (3 * 1 + 3 * 2) * 2 * 2  # arm and epochs, label counts, seeds


def test_a_subset_seed_is_also_the_training_seed_unless_training_seeds_are_given() -> None:
    assert all(point.subset_seed == point.train_seed for point in grid_points(load_preset("smoke")))
    crossed = list(grid_points(load_preset("smoke", ["grid.train_seeds=[5, 6, 7]"])))
    assert {(point.subset_seed, point.train_seed) for point in crossed} == {(s, t) for s in (0, 1) for t in (5, 6, 7)}


def test_a_whole_replicate_comes_before_the_next() -> None:
    seeds = [point.subset_seed for point in grid_points(load_preset("smoke"))]
    assert seeds == sorted(seeds)


def test_the_base_arm_is_the_chain_without_its_last_stage() -> None:
    smoke = load_preset("smoke")
    assert base_arm(smoke, "supervised-natural+byol-domain") == "supervised-natural"
    assert base_arm(smoke, "byol-domain") == "random"
    assert base_arm(smoke, "byol-natural") == "byol-natural"


def test_milestones_before_the_last_can_be_held_to_some_counts_and_seeds() -> None:
    overrides = ["grid.intermediate_label_counts=[8]", "grid.intermediate_subset_seeds=[0]"]
    points = list(grid_points(load_preset("smoke", overrides)))
    first = [point for point in points if point.pretraining_epochs == 1]
    assert {(point.label_count, point.subset_seed) for point in first} == {(8, 0)}
    assert len([point for point in points if point.pretraining_epochs == 2]) == 3 * 2 * 2


def test_the_papers_preset_has_the_papers_600_cells_at_the_last_epoch() -> None:
    points = list(grid_points(load_preset("acdc", ["data.root=/data/acdc/training", "natural={source: procedural}"])))
    assert len([point for point in points if point.pretraining_epochs in (0, 400)]) == 600


def test_pretraining_seeds_are_dealt_to_the_subsets_in_turn() -> None:
    overrides = ["grid.subset_seeds=[3, 4, 5]", "grid.train_seeds=[0, 1]", "grid.pretraining_seeds=[7, 8]"]
    points = [point for point in grid_points(load_preset("smoke", overrides)) if point.arm == "byol-domain"]
    assert {(point.subset_seed, point.pretraining_seed) for point in points} == {(3, 7), (4, 8), (5, 7)}


def test_an_arm_that_is_not_pretrained_has_no_pretraining_seed() -> None:
    points = grid_points(load_preset("smoke", ["grid.pretraining_seeds=[7, 8]"]))
    assert {point.pretraining_seed for point in points if point.arm == "random"} == {0}
