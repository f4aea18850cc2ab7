"""Procedural images: balanced, reproducible, and with labels that the pixels carry."""

import numpy as np
import numpy.typing as npt
import pytest

from trainables.data.procedural import CLASS_NAMES, render_images


def test_equal_seeds_agree_and_other_seeds_differ() -> None:
    first, first_labels = render_images(60, 32, seed=5)
    again, again_labels = render_images(60, 32, seed=5)
    other, other_labels = render_images(60, 32, seed=6)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first_labels, again_labels)
    assert (first != other).mean() > 0.9
    assert (first_labels != other_labels).any()


@pytest.mark.parametrize(("num_images", "num_classes"), [(48, 12), (50, 12), (7, 2), (3, 12)])
def test_class_sizes_differ_by_at_most_one(num_images: int, num_classes: int) -> None:
    images, labels = render_images(num_images, 16, 0, num_classes)
    assert (images.shape, str(images.dtype)) == ((num_images, 16, 16, 3), "uint8")
    assert (labels.shape, str(labels.dtype)) == ((num_images,), "int64")
    counts = np.bincount(labels, minlength=num_classes)
    assert len(counts) == num_classes
    assert counts.max() - counts.min() <= 1


def test_classes_are_shuffled() -> None:
    _, labels = render_images(240, 16, 0)
    assert np.mean(np.diff(labels) == 0) < 0.2  # not sorted
    assert np.mean(np.diff(labels) % 12 == 1) < 0.2  # not in turn


@pytest.mark.parametrize("num_classes", [0, 1, 13])
def test_an_impossible_number_of_classes_is_refused(num_classes: int) -> None:
    with pytest.raises(ValueError, match=f"must be 2 to 12 .* found {num_classes}"):
        render_images(10, 32, 0, num_classes)


def test_images_are_all_different_and_use_the_range_of_colours() -> None:
    images, _ = render_images(120, 48, 0)
    assert len({image.tobytes() for image in images}) == 120
    assert images.std(axis=(1, 2, 3)).min() > 15
    assert (images.max() - images.min()) > 240


def test_fillings_add_detail_to_shapes() -> None:
    """Stripes and checks have a larger mean difference of neighbours than flat shapes."""
    images, labels = render_images(360, 48, 0)
    edges = np.abs(np.diff(images.astype(float), axis=2)).mean(axis=(1, 2, 3))
    means = [edges[labels == label].mean() for label in range(len(CLASS_NAMES))]
    for shape in range(4):
        assert means[shape] < means[4 + shape]
        assert means[shape] < means[8 + shape]


def edge_histograms(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Share of pixels by strength of the colour gradient: blind to places and orientations."""
    pixels = images.astype(float)
    down, right = np.diff(pixels, axis=1)[:, :, :-1], np.diff(pixels, axis=2)[:, :-1]
    strength = np.sqrt((down**2 + right**2).sum(axis=3)).reshape(len(images), -1)
    return np.stack([np.histogram(row, bins=24, range=(0, 300))[0] / row.size for row in strength])


def test_the_nearest_class_mean_of_edge_histograms_beats_chance() -> None:
    images, labels = render_images(900, 48, 0)
    features = edge_histograms(images)
    features /= features[:600].std(axis=0)
    centres = np.stack([features[:600][labels[:600] == label].mean(axis=0) for label in range(12)])
    distances = ((features[600:, None] - centres) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == labels[600:]).mean() > 3 / 12
