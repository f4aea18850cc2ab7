"""Synthetic cine cardiac MR in ACDC's layout on disk, so that everything runs without a download.

In: a PhantomConfig. Out: patient folders that the ``acdc`` reader reads like the real ones, traps included:
the affine claims 1 mm voxels while ``pixdim`` holds the spacing, end-diastole is not always frame 1, some
slices hold no foreground. Layout: Bernard et al., IEEE TMI 2018, doi 10.1109/TMI.2018.2837502. Images and
anatomy are our own; no real data went in.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainables.config import PhantomConfig
from trainables.data.nifti import write_nifti
from trainables.data.phantom_anatomy import GROUPS, Array, Grid, Heart, contraction, draw_heart, measure
from trainables.data.phantom_scene import label, paint


@dataclass(frozen=True)
class Cine:
    """One patient: ``images`` and ``labels`` are (column, row, slice, frame) as in ACDC's files."""

    images: npt.NDArray[np.int16]
    labels: npt.NDArray[np.uint8]
    group: str
    ed_frame: int  # 1-based
    es_frame: int  # 1-based
    slice_gap_mm: float
    height_cm: float
    weight_kg: float


def render_patient(spec: PhantomConfig, patient: int) -> Cine:
    """Render patient number ``patient``, counted from 1, from its own random stream."""
    rng = np.random.default_rng([spec.seed, patient])
    group = group_of(patient)
    heart = draw_heart(group, rng)
    ed_frame, es_frame = _draw_phases(spec.num_frames, rng)
    gap = round(heart.length * 1.02 / spec.num_slices, 1)
    grid = _place(spec, heart, gap, rng)
    beat = np.roll(contraction(spec.num_frames, es_frame - ed_frame), ed_frame - 1)
    distances = measure(heart, grid, beat)
    signal = paint(distances, grid, spec.spacing_mm, rng)  # (frame, slice, row, column)
    gain = 300 * np.exp(rng.normal(0, 0.5))
    images = np.clip(np.rint(signal * np.float32(gain)), 0, 4095).astype(np.int16)
    size, mass = rng.normal(170, 9), rng.normal(76, 13)
    return Cine(
        images.T,
        label(distances).T,
        group,
        ed_frame,
        es_frame,
        gap,
        float(round(size)),
        float(max(45, round(mass))),
    )


def group_of(patient: int) -> str:
    """Return the disease group of a patient.

    Each ten patients hold every group twice, and each ten begin one group later, so that numbers with the same
    last digit, which the paper's split sends to the same part, cycle through all groups.
    """
    return GROUPS[(patient - 1 + (patient - 1) // 10) % len(GROUPS)]


def write_phantom(root: Path, spec: PhantomConfig) -> None:
    """Write ``spec.num_patients`` patient folders below ``root``, creating it and its parents."""
    for patient in range(1, spec.num_patients + 1):
        folder = root / f"patient{patient:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        _write_patient(folder, render_patient(spec, patient), spec.spacing_mm)


def _draw_phases(num_frames: int, rng: np.random.Generator) -> tuple[int, int]:
    """Frames of end-diastole and end-systole. One cine in four starts before end-diastole."""
    systole = int(np.clip(round(rng.uniform(0.32, 0.44) * num_frames), 1, num_frames - 1))
    latest = num_frames - systole
    is_late = rng.random() < 0.25 and latest > 1
    ed_frame = int(rng.integers(2, latest, endpoint=True)) if is_late else 1
    return ed_frame, ed_frame + systole


def _place(spec: PhantomConfig, heart: Heart, gap: float, rng: np.random.Generator) -> Grid:
    """Voxel positions about the left ventricle: off centre, tilted, moved by each breath-hold."""
    centre = rng.normal(0, 4, 2) - 0.4 * heart.rv_depth * np.array(heart.septum)
    z = (np.arange(spec.num_slices) + rng.uniform(-0.5, 0.6)) * gap + rng.normal(0, 0.6, spec.num_slices)
    tilt = rng.normal(0, 0.08, 2)
    moved = centre + np.outer(z - heart.length / 2, tilt) + rng.normal(0, 1.3, (spec.num_slices, 2))
    x = _axis(spec.width, spec.spacing_mm)[None, None, :] - moved[:, 0, None, None]
    y = _axis(spec.height, spec.spacing_mm)[None, :, None] - moved[:, 1, None, None]
    x, y = np.broadcast_arrays(x, y)  # (slice, row, column)
    return Grid(x.astype(np.float32), y.astype(np.float32), z.astype(np.float32))


def _axis(num_pixels: int, spacing_mm: float) -> Array:
    axis: Array = (np.arange(num_pixels, dtype=np.float32) - (num_pixels - 1) / 2) * spacing_mm
    return axis


def _write_patient(folder: Path, cine: Cine, spacing_mm: float) -> None:
    name, zooms = folder.name, (spacing_mm, spacing_mm, cine.slice_gap_mm)
    write_nifti(folder / f"{name}_4d.nii.gz", cine.images, (*zooms, 1.0))
    for frame in (cine.ed_frame, cine.es_frame):
        write_nifti(folder / f"{name}_frame{frame:02d}.nii.gz", cine.images[..., frame - 1], zooms)
        write_nifti(folder / f"{name}_frame{frame:02d}_gt.nii.gz", cine.labels[..., frame - 1], zooms)
    info = {"ED": cine.ed_frame, "ES": cine.es_frame, "Group": cine.group, "Height": cine.height_cm}
    info |= {"NbFrame": cine.images.shape[-1], "Weight": cine.weight_kg}
    (folder / "Info.cfg").write_text("".join(f"{key}: {value}\n" for key, value in info.items()))
