"""The beating heart of the phantom as geometry: where ventricles and walls are, at each frame and slice.

In: a disease group and a random generator; then a voxel grid in millimetres. Out: signed distances (negative
inside) to the left ventricle's inner and outer wall, to the right ventricle and to the papillary muscles. The
left ventricle is a truncated bullet whose cavity volume follows the contraction; its wall is incompressible.
The groups differ as Bernard et al., IEEE TMI 2018, doi 10.1109/TMI.2018.2837502 define them; the numbers are
round values of our own that meet those definitions.
"""

from dataclasses import dataclass
from math import cos, sin

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

OUTSIDE_MM = 99.0  # the distance to a structure that a slice does not cut


@dataclass(frozen=True)
class Physiology:
    """Averages of one group. Patients scatter about them."""

    cavity_ml: float  # left ventricle at end-diastole
    ejection: float  # nominal fraction of cavity_ml; an akinetic sector lowers what is seen
    wall_mm: float
    rv_depth_mm: float  # from the septum to the free wall, at the base
    rv_height_mm: float  # half the extent along the septum
    rv_shrink: float  # fraction of the depth lost at end-systole


PHYSIOLOGY = {
    "NOR": Physiology(145, 0.62, 8.0, 34, 41, 0.42),
    "MINF": Physiology(170, 0.36, 8.0, 32, 41, 0.42),
    "DCM": Physiology(265, 0.21, 8.0, 32, 44, 0.32),
    "HCM": Physiology(130, 0.69, 10.5, 32, 39, 0.44),
    "RV": Physiology(110, 0.58, 7.5, 46, 46, 0.27),
}
GROUPS = tuple(PHYSIOLOGY)


@dataclass(frozen=True)
class Heart:
    """One patient's heart: lengths in mm, angles in radians, measured from the direction of the septum."""

    length: float
    radius: float
    wall: float
    ejection: float
    shortening: float  # of the long axis at end-systole, fraction
    septum: tuple[float, float]  # unit vector (x, y) from the left to the right ventricle
    harmonics: tuple[float, float, float, float]  # cosine and sine, second and third order
    flattening: float  # of the septum, fraction of the radius
    thickening: float  # of the septum, fraction of the wall
    scar: float  # share of the motion lost in the scar
    scar_angle: float
    rv_depth: float
    rv_height: float
    rv_shrink: float
    rv_base: float  # how far the right ventricle begins beyond the left's base
    papillary_angles: tuple[float, float]


@dataclass(frozen=True)
class Grid:
    """Voxel positions in mm.

    ``x`` and ``y`` are (slice, row, column) from the left ventricle's axis, ``z`` (slice,) from its base at
    end-diastole towards the apex.
    """

    x: Array
    y: Array
    z: Array


@dataclass(frozen=True)
class Distances:
    """Signed distances in mm, each (frame, slice, row, column), and the depth below the valve plane."""

    endo: Array
    epi: Array
    rv: Array
    papillary: Array
    lv_depth: Array  # (frame, slice, 1, 1)
    rv_depth: Array  # (frame, slice, 1, 1)


def draw_heart(group: str, rng: np.random.Generator) -> Heart:
    """Draw one patient of ``group``."""
    mean = PHYSIOLOGY[group]
    scatter = np.exp(rng.normal(0, 0.06, 7)).tolist()
    volume = mean.cavity_ml * scatter[0] ** 2
    length = 82 * (volume / 140) ** (1 / 3) * scatter[1]
    ejection = min(0.76, mean.ejection * scatter[2])
    angle = rng.normal(0.35, 0.4)
    return Heart(
        length=length,
        radius=float(np.sqrt(1000 * volume / (np.pi * length * _mean_square_profile()))),
        wall=mean.wall_mm * scatter[3],
        ejection=ejection,
        shortening=0.24 * ejection,
        septum=(-cos(angle), -sin(angle)),
        harmonics=tuple(rng.normal(0, 0.022, 4).tolist()),
        flattening=rng.uniform(0.1, 0.22) if group == "RV" else 0.0,
        thickening=rng.uniform(0.35, 0.8) if group == "HCM" else 0.0,
        scar=rng.uniform(0.75, 1.0) if group == "MINF" else 0.0,
        scar_angle=rng.uniform(-np.pi, np.pi),
        rv_depth=mean.rv_depth_mm * scatter[4],
        rv_height=mean.rv_height_mm * scatter[5],
        rv_shrink=mean.rv_shrink * scatter[6],
        rv_base=rng.uniform(-7, 5),
        papillary_angles=(rng.normal(1.9, 0.2), rng.normal(-2.1, 0.2)),
    )


def contraction(num_frames: int, systole: int) -> Array:
    """Return each frame's contraction: 0 at frame 0 (end-diastole) only, 1 at frame ``systole`` only."""
    frame = np.arange(num_frames)
    ejecting = np.sin(np.pi / 2 * frame / systole) ** 2
    filling = np.cos(np.pi / 2 * np.clip((frame - systole) / (num_frames - systole), 0, 1) ** 0.7) ** 2
    return np.where(frame <= systole, ejecting, filling).astype(np.float32)


def measure(heart: Heart, grid: Grid, contracted: Array) -> Distances:
    """Return the distances of every voxel at every frame; ``contracted`` is (frame,)."""
    phase = contracted[:, None, None, None]  # (frame, 1, 1, 1)
    z = grid.z[:, None, None]  # (slice, 1, 1)
    towards = grid.x * heart.septum[0] + grid.y * heart.septum[1]  # (slice, row, column)
    along = grid.y * heart.septum[0] - grid.x * heart.septum[1]
    endo, epi, level = _walls(heart, np.arctan2(along, towards), z, phase)
    _, septum, _ = _walls(heart, np.zeros_like(z), z, phase)
    distance = np.hypot(towards, along)
    base = (heart.length * heart.shortening) * phase
    rv_base = base + heart.rv_base
    return Distances(
        endo=np.where(endo > 1.5, distance - endo, OUTSIDE_MM),
        epi=np.where(epi > 2.5, distance - epi, OUTSIDE_MM),
        rv=_right_ventricle(heart, towards, along, septum, (z - rv_base) / (heart.length - rv_base), phase),
        papillary=_papillary(heart, towards, along, level, phase),
        lv_depth=z - base,
        rv_depth=z - rv_base,
    )


def _walls(heart: Heart, angle: Array, z: Array, phase: Array) -> tuple[Array, Array, Array]:
    """Inner and outer radius along each voxel's angle, and the level (0 base, 1 apex of the cavity)."""
    length = heart.length * (1 - heart.shortening * phase)
    level = np.clip((z - (heart.length - length)) / length, 0, None)
    shrink = np.sqrt((1 - heart.ejection * phase) * heart.length / length)
    relaxed = heart.radius * _profile(level) * _outline(heart, angle)
    infarcted = heart.scar * _bump(angle - heart.scar_angle, 0.9) * np.clip(level * 3, 0, 1)
    endo = relaxed * (shrink + (1 - shrink) * infarcted)
    outer_level = level * heart.length / (heart.length + heart.wall)
    thickness = heart.wall * (1 + heart.thickening * _bump(angle, 1.0)) * (1 - 0.4 * infarcted)
    outer = (heart.radius * _outline(heart, angle) + thickness) * _profile(outer_level)
    wall_area = np.clip(outer**2 - relaxed**2, 0, None) * heart.length / length  # the wall is incompressible
    return endo, np.sqrt(endo**2 + wall_area), level


def _outline(heart: Heart, angle: Array) -> Array:
    second, second_sine, third, third_sine = heart.harmonics
    wave = second * np.cos(2 * angle) + second_sine * np.sin(2 * angle)
    wave += third * np.cos(3 * angle) + third_sine * np.sin(3 * angle)
    result: Array = 1 + wave - heart.flattening * _bump(angle, 0.8)
    return result


def _profile(level: Array) -> Array:
    """Radius relative to the largest, from base (0) to apex (1): a bullet with a slightly narrower base."""
    result: Array = np.sqrt(np.clip(1 - level**3, 0, 1)) * (1 - np.float32(0.08) * np.clip(1 - level, 0, 1) ** 2)
    return result


def _mean_square_profile() -> float:
    return float(np.mean(_profile(np.linspace(0, 1, 401, dtype=np.float32)) ** 2))


def _bump(angle: Array, width: float) -> Array:
    result: Array = np.exp((np.cos(angle) - 1) / width**2)
    return result


def _right_ventricle(heart: Heart, towards: Array, along: Array, septum: Array, level: Array, phase: Array) -> Array:
    """Distance to an ellipse bent around the left ventricle, which covers a part and leaves a crescent.

    ``septum`` is the septum's right surface, (frame, slice, 1, 1), in mm from the left ventricle's axis.
    """
    taper = np.sqrt(np.clip(1 - np.clip(level / 0.92, 0, 1) ** 2.5, 0, 1))
    depth = heart.rv_depth * (1 - heart.rv_shrink * phase) * taper
    half_depth = (depth + 0.5 * septum) / 2
    height = heart.rv_height * (1 - 0.4 * heart.rv_shrink * phase) * (0.25 + 0.75 * taper)
    offset = towards + along**2 * (0.25 / heart.radius) - (septum + depth - half_depth)
    norm = np.hypot(offset / half_depth, along / height) + 1e-6
    slope = np.hypot(offset / half_depth**2, along / height**2) / norm + 1e-6
    return np.where(depth > 3, (norm - 1) / slope, OUTSIDE_MM)


def _papillary(heart: Heart, towards: Array, along: Array, level: Array, phase: Array) -> Array:
    """Distance to the nearer of the two papillary muscles, present in the middle of the cavity."""
    shrink = np.sqrt((1 - heart.ejection * phase) / (1 - heart.shortening * phase))
    place = 0.62 * heart.radius * _profile(np.clip(level, 0, 0.9)) * shrink
    size = 0.17 * heart.radius * (1 - 0.25 * phase)
    nearest: Array = np.minimum.reduce(
        [np.hypot(towards - place * cos(a), along - place * sin(a)) for a in heart.papillary_angles]
    )
    return np.where((level > 0.22) & (level < 0.78), nearest - size, OUTSIDE_MM)
