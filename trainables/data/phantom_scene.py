"""Painting of the phantom: a heart's distances and a chest become magnitude images like balanced cine MR.

In: the distances of ``phantom_anatomy`` and a random generator. Out: (frame, slice, row, column) intensities,
never negative, and the label map. Structures are composited from back to front with edges about one pixel
wide (partial volume); then come coil shading, slice gain, and Rician noise (Gudbjartsson & Patz 1995, doi
10.1002/mrm.1910340618).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from trainables.data.phantom_anatomy import Array, Distances, Grid

VALVE_MM = 3.0  # a slice is thick, so the valve plane fades
WALL_MM = 2.5  # of the right ventricle, the atria and the vessels: thin and unlabelled


@dataclass(frozen=True)
class Tissue:
    """Signal of each tissue, blood near 1. Patients differ enough to defeat a fixed threshold."""

    lv_blood: float
    rv_blood: float
    muscle: float
    fat: float
    lung: float
    liver: float
    stomach: float
    trabeculae: float  # contrast of the right ventricle's trabeculae
    noise: float


def draw_tissue(rng: np.random.Generator) -> Tissue:
    """Draw one patient's tissue contrasts."""
    return Tissue(
        lv_blood=1.0,
        rv_blood=rng.uniform(0.78, 1.02),
        muscle=rng.uniform(0.28, 0.5),
        fat=rng.uniform(0.65, 1.25),
        lung=rng.uniform(0.04, 0.14),
        liver=rng.uniform(0.3, 0.65),
        stomach=rng.uniform(0.15, 1.0),
        trabeculae=rng.uniform(0.15, 0.4),
        noise=rng.uniform(0.025, 0.065),
    )


def label(distances: Distances) -> npt.NDArray[np.uint8]:
    """Return the classes 0 background, 1 right ventricle, 2 myocardium, 3 left ventricle of every voxel."""
    below, rv_below = distances.lv_depth > 0, distances.rv_depth > 0
    labels = np.where((distances.rv < 0) & (distances.epi >= 0) & rv_below, np.uint8(1), np.uint8(0))
    labels = np.where((distances.epi < 0) & below, np.uint8(2), labels)
    return np.where((distances.endo < 0) & below, np.uint8(3), labels)


def paint(distances: Distances, grid: Grid, pixel_mm: float, rng: np.random.Generator) -> Array:
    """Return intensities with blood near 1, as (frame, slice, row, column)."""
    tissue = draw_tissue(rng)
    texture = _texture(grid.x.shape, 2.8 / pixel_mm, rng)
    warp = 2.5 * _texture(grid.x.shape, 11.0 / pixel_mm, rng)  # mm by which unlabelled outlines are irregular
    chest = _chest(grid, tissue, pixel_mm, texture, warp, rng)
    heart = _ventricles(distances, chest, tissue, pixel_mm, texture, warp)
    basal = _atria(grid, chest, tissue, pixel_mm, warp, rng)
    depth: Array = np.where(distances.epi < WALL_MM, distances.lv_depth, distances.rv_depth)
    ventricular = _ramp(-depth, VALVE_MM)
    signal = basal + (heart - basal) * ventricular
    signal *= _shading(grid, rng)
    return _rician(signal, tissue.noise, rng)


def _ventricles(distances: Distances, chest: Array, tissue: Tissue, pixel: float, texture: Array, warp: Array) -> Array:
    """Both ventricles in their thin coat of fat, as (frame, slice, row, column)."""
    outline: Array = np.minimum(distances.epi, distances.rv)
    canvas = _over(chest, tissue.fat, _ramp(outline - 5 - warp, pixel))
    canvas = _over(canvas, tissue.muscle, _ramp(outline - WALL_MM, pixel))
    dark = np.clip(texture, 0, 1.5)  # trabeculae: in the right ventricle everywhere, in the left close to the wall
    bands: Array = dark * np.clip(1.1 + 0.045 * distances.rv + 0.007 * distances.rv_depth, 0.2, 1)
    canvas = _over(canvas, tissue.rv_blood * (1 - tissue.trabeculae * bands), _ramp(distances.rv, pixel))
    canvas = _over(canvas, tissue.muscle * (1 + 0.08 * texture), _ramp(distances.epi, pixel))
    cavity = _ramp(distances.endo, pixel)
    filling: Array = 1 + 0.04 * texture - 0.4 * dark * np.clip(1 + 0.11 * distances.endo, 0, 1)
    canvas = _over(canvas, tissue.lv_blood * filling, cavity)
    return _over(canvas, tissue.muscle, np.minimum(_ramp(distances.papillary, pixel), cavity))


def _atria(grid: Grid, chest: Array, tissue: Tissue, pixel: float, warp: Array, rng: np.random.Generator) -> Array:
    """What looks like ventricles above the valves but has no label: atria, outflow tract, aortic root."""
    places = np.array([(4, 6, 23), (-42, 4, 21), (-32, -24, 16), (-14, -10, 13)]) + rng.normal(0, 3, (4, 3))
    disks = [np.hypot(grid.x - np.float32(x), grid.y - np.float32(y)) - np.float32(r) + warp for x, y, r in places]
    outline = np.minimum.reduce(disks)
    canvas = _over(chest, tissue.fat, _ramp(outline - 5, pixel))
    for disk in disks:
        canvas = _over(canvas, tissue.muscle, _ramp(disk - WALL_MM / 2, pixel))
        canvas = _over(canvas, rng.uniform(0.75, 1.05), _ramp(disk + WALL_MM / 2, pixel))
    return canvas


def _chest(grid: Grid, tissue: Tissue, pixel: float, texture: Array, warp: Array, rng: np.random.Generator) -> Array:
    """Lung with vessels, chest wall, liver, stomach and descending aorta; (slice, row, column)."""
    x, y = grid.x, grid.y
    canvas = tissue.lung * (1 + 0.5 * texture) + 0.35 * np.clip(texture - 1.6, 0, 1)
    wall = rng.uniform(-8, 8) + 130 - np.hypot(x - 45, y - 70) + 0.5 * warp  # depth below the skin of a large circle
    canvas = _over(canvas, tissue.muscle * (1 + 0.25 * texture), _ramp(wall - 26, pixel))
    canvas = _over(canvas, tissue.fat, _ramp(wall - 14, pixel))
    canvas = _over(canvas, 0.02, _ramp(wall, pixel))
    dome = grid.z[:, None, None] * 0.12  # the diaphragm rises towards the apex
    liver = _ellipse(x + 35, y - 92 + dome, 70, 46 + rng.uniform(-5, 5)) + warp
    canvas = _over(canvas, tissue.fat, _ramp(liver - 4, pixel))
    canvas = _over(canvas, tissue.liver * (1 + 0.12 * texture), _ramp(liver, pixel))
    stomach = _ellipse(x - 38, y - 78 + dome, 32, 24 + rng.uniform(-6, 6)) + warp
    canvas = _over(canvas, tissue.muscle, _ramp(stomach - 3, pixel))
    canvas = _over(canvas, tissue.stomach * (1 + 0.2 * texture), _ramp(stomach, pixel))
    aorta = np.hypot(x - rng.normal(58, 4), y - rng.normal(34, 5)) - 10
    canvas = _over(canvas, tissue.muscle, _ramp(aorta - WALL_MM, pixel))
    return _over(canvas, 0.95, _ramp(aorta, pixel))


def _texture(shape: tuple[int, ...], width: float, rng: np.random.Generator) -> Array:
    """Smooth noise of unit variance, independent between slices."""
    noise = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), (0, width, width))
    result: Array = noise / noise.std()
    return result


def _shading(grid: Grid, rng: np.random.Generator) -> Array:
    """Receive-coil shading times one gain per slice; (slice, row, column)."""
    u, v = grid.x / 70, grid.y / 70
    a, b, c, d, e = rng.normal(0, (0.2, 0.2, 0.1, 0.1, 0.1)).tolist()
    gain = np.exp(rng.normal(0, 0.04, (len(grid.z), 1, 1))).astype(np.float32)
    result: Array = gain * np.exp(np.clip(a * u + b * v + c * u * v + d * u**2 + e * v**2, -0.8, 0.8))
    return result


def _rician(signal: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Magnitude of the signal with Gaussian noise on both channels."""
    real = rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = rng.standard_normal(signal.shape, dtype=np.float32)
    result: Array = np.hypot(signal + sigma * real, sigma * imaginary)
    return result


def _ellipse(x: Array, y: Array, width: float, height: float) -> Array:
    """Approximate signed distance to an ellipse about the origin."""
    result: Array = (np.hypot(x / np.float32(width), y / np.float32(height)) - 1) * np.float32(min(width, height))
    return result


def _ramp(distance: Array, width: float) -> Array:
    """Coverage of a voxel: 1 inside, 0 outside, linear over ``width`` mm across the edge."""
    result: Array = np.clip(0.5 - distance / width, 0, 1)
    return result


def _over(canvas: Array, value: Array | float, coverage: Array) -> Array:
    result: Array = canvas + (value - canvas) * coverage
    return result
