"""Surface distances against hand calculations, a plain double loop, and MONAI."""

import tracemalloc
from itertools import product
from math import dist, hypot, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from trainables.surface_distance import Mask, surface, surface_distances

SHAPE = (4, 5, 6)
SPACING = (8.0, 1.4, 0.7)
masks = arrays(np.bool_, SHAPE).filter(np.any)


def test_two_voxels_are_as_far_apart_as_their_spacing_says() -> None:
    one, other = np.zeros((2, *SHAPE), bool)
    one[0, 1, 1] = other[2, 4, 3] = True
    found = surface_distances(one, other, SPACING)
    assert found is not None
    assert found.hd95 == found.assd == pytest.approx(hypot(2 * 8.0, 3 * 1.4, 2 * 0.7))


def test_two_plates_are_as_far_apart_as_their_slices() -> None:
    one, other = np.zeros((2, *SHAPE), bool)
    one[0], other[2] = True, True
    found = surface_distances(one, other, SPACING)
    assert found is not None
    assert (found.hd95, found.assd) == (16.0, 16.0)


def test_a_cube_in_a_cube_equals_a_hand_count() -> None:
    inner, outer = np.zeros((2, 7, 7, 7), bool)
    inner[2:5, 2:5, 2:5] = outer[1:6, 1:6, 1:6] = True
    found = surface_distances(inner, outer, (1, 1, 1))
    assert found is not None
    inwards = 54 * 1 + 36 * sqrt(2) + 8 * sqrt(3)  # from faces, edges and corners of the outer one
    assert found.assd == pytest.approx((26 * 1 + inwards) / (26 + 98))
    assert found.hd95 == pytest.approx(sqrt(3))  # 8 of 98 are corners


def test_the_surface_of_a_cube_is_its_shell_and_the_grids_end_is_outside() -> None:
    cube = np.ones((4, 4, 4), bool)
    assert surface(cube).sum() == 4**3 - 2**3
    assert surface(np.ones((1, 4, 4), bool)).all()
    assert surface(np.ones((4, 4), bool)).sum() == 12


def test_there_is_no_distance_to_nothing() -> None:
    something, nothing = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    for pair in ((something, nothing), (nothing, something), (nothing, nothing)):
        assert surface_distances(*pair, SPACING) is None


def nearest_by_loops(start: Mask, end: Mask) -> list[float]:
    """Distance of every surface voxel of one mask to the closest of another, voxel by voxel."""

    def surface_voxels(mask: Mask) -> list[tuple[float, ...]]:
        found = []
        for place in product(*map(range, SHAPE)):
            around = [(axis, step) for axis in range(3) for step in (-1, 1)]
            inside = True
            for axis, step in around:
                moved = list(place)
                moved[axis] += step
                inside &= 0 <= moved[axis] < SHAPE[axis] and bool(mask[tuple(moved)])
            if mask[place] and not inside:
                found.append(tuple(index * mm for index, mm in zip(place, SPACING, strict=True)))
        return found

    return [min(dist(voxel, other) for other in surface_voxels(end)) for voxel in surface_voxels(start)]


@pytest.mark.parametrize("seed", range(6))
def test_distances_equal_those_of_plain_loops(seed: int) -> None:
    one, other = np.random.default_rng(seed).random((2, *SHAPE)) < 0.15 * (1 + seed)
    found = surface_distances(one, other, SPACING)
    there, back = nearest_by_loops(one, other), nearest_by_loops(other, one)
    assert found is not None
    assert found.assd == pytest.approx(sum(there + back) / len(there + back))
    assert found.hd95 == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))


def blobs() -> tuple[Mask, Mask]:
    """A thick ring that one end of the grid cuts, and a prediction that fills it and has an island."""
    place = np.mgrid[:7, :40, :44]

    def ellipsoid(centre: tuple[int, int, int], radii: tuple[float, float, float]) -> Mask:
        parts = [((axis - c) / r) ** 2 for axis, c, r in zip(place, centre, radii, strict=True)]
        return np.asarray(parts[0] + parts[1] + parts[2] <= 1)

    truth = ellipsoid((3, 19, 21), (2.6, 9, 11)) & ~ellipsoid((3, 19, 21), (2.2, 4, 5))
    return ellipsoid((3, 21, 19), (3.1, 10, 8)) | ellipsoid((0, 4, 4), (1, 3, 2)), truth


@pytest.mark.parametrize(
    ("spacing", "hd95", "assd"),
    [
        ((8.0, 1.4, 1.4), 8.0, 2.2157087326049805),
        ((10.0, 1.25, 2.0), 10.0, 2.559748649597168),
        ((1.0, 1.0, 1.0), 3.605551242828369, 1.0839327573776245),
    ],
)
def test_distances_equal_monais(spacing: tuple[float, float, float], hd95: float, assd: float) -> None:
    """Of MONAI 1.6.1, which counts in float32. With p, t the masks as tensors (1, 1, slice, row, column):

    HausdorffDistanceMetric(include_background=True, percentile=95)(p, t, spacing=spacing)
    SurfaceDistanceMetric(include_background=True, symmetric=True)(p, t, spacing=spacing)
    """
    found = surface_distances(*blobs(), spacing)
    assert found is not None
    assert found.hd95 == pytest.approx(hd95, rel=1e-6)
    assert found.assd == pytest.approx(assd, rel=1e-6)


@pytest.mark.slow  # importing MONAI takes seconds
@pytest.mark.filterwarnings("ignore")  # MONAI's own
def test_distances_equal_those_of_the_monai_that_is_installed() -> None:
    metrics = pytest.importorskip("monai.metrics", reason="not installed: pip install '.[validation]'")
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(20220901)
    for _ in range(10):
        spacing = tuple(map(float, generator.uniform(0.7, 10, 3)))
        one, other = (ndimage.gaussian_filter(generator.random((6, 24, 26)), 2) > 0.5 for _ in range(2))
        tensors = [torch.tensor(each)[None, None].float() for each in (one, other)]
        hd95 = metrics.HausdorffDistanceMetric(include_background=True, percentile=95)(*tensors, spacing=spacing)
        assd = metrics.SurfaceDistanceMetric(include_background=True, symmetric=True)(*tensors, spacing=spacing)
        found = surface_distances(one, other, spacing)
        assert found is not None
        assert found.hd95 == pytest.approx(float(hd95), rel=1e-5)
        assert found.assd == pytest.approx(float(assd), rel=1e-5)


@pytest.mark.parametrize(
    ("spacing", "assd"),
    [
        ((8.0, 1.4, 1.4), 2.215709064819796),
        ((10.0, 1.25, 2.0), 2.5597485427807825),
        ((1.0, 1.0, 1.0), 1.0839326377634961),
    ],
)
def test_the_average_equals_medpys(spacing: tuple[float, float, float], assd: float) -> None:
    """Of MedPy 0.5.2, medpy.metric.binary.assd(p, t, spacing), here the mean over both surfaces together.

    Its hd95 is another number: a percentile of both directions together, 7.67 mm where MONAI and we say 8.
    """
    found = surface_distances(*blobs(), spacing)
    assert found is not None
    assert found.assd == pytest.approx(assd, rel=1e-12)


def test_memory_follows_the_surface_and_not_the_window() -> None:
    """A stray pixel in the corner of a picture makes its window the whole of it."""
    one, other = np.zeros((2, 1024, 1024), bool)
    one[400:500, 400:500] = other[402:502, 401:501] = True
    one[0, 0] = one[-1, -1] = True
    tracemalloc.start()
    surface_distances(one, other, (1, 1))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 8 * one.size


@given(one=masks, other=masks)
def test_distances_are_symmetric(one: Mask, other: Mask) -> None:
    there, back = surface_distances(one, other, SPACING), surface_distances(other, one, SPACING)
    assert there is not None
    assert back is not None
    assert (there.hd95, there.assd) == pytest.approx((back.hd95, back.assd))


@given(mask=masks)
def test_identical_masks_have_no_distance(mask: Mask) -> None:
    found = surface_distances(mask, mask, SPACING)
    assert found is not None
    assert (found.hd95, found.assd) == (0, 0)


@given(one=masks, other=masks, factor=st.floats(0.1, 10))
def test_distances_grow_with_the_spacing(one: Mask, other: Mask, factor: float) -> None:
    small = surface_distances(one, other, SPACING)
    large = surface_distances(one, other, [factor * each for each in SPACING])
    assert small is not None
    assert large is not None
    assert (large.hd95, large.assd) == pytest.approx((factor * small.hd95, factor * small.assd))


@given(one=masks, other=masks, shift=st.tuples(*[st.integers(0, 3)] * 3))
def test_distances_do_not_depend_on_the_place(one: Mask, other: Mask, shift: tuple[int, ...]) -> None:
    padding = [(step, 3 - step) for step in shift]
    moved = surface_distances(np.pad(one, padding), np.pad(other, padding), SPACING)
    assert moved == surface_distances(one, other, SPACING)


@given(one=masks, other=masks)
def test_no_distance_exceeds_the_diagonal_of_the_grid(one: Mask, other: Mask) -> None:
    found = surface_distances(one, other, SPACING)
    assert found is not None
    assert found.assd <= hypot(*(number * mm for number, mm in zip(SHAPE, SPACING, strict=True)))
    assert found.hd95 < hypot(*(number * mm for number, mm in zip(SHAPE, SPACING, strict=True)))
