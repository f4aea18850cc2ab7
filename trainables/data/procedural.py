"""Procedural RGB images with class labels: a stand-in for natural images that needs no download.

In: how many images, their size, a seed and the number of classes. Out: images and labels. A class is a shape
(disc, square, ring, bar) with a filling (flat, stripes, checks). An image shows several large specimens that
occlude one another, in random colours, sizes and orientations, on tinted noise with a 1/f spectrum. That
formula-made images can pretrain a network is due to Kataoka et al., ACCV 2020 (FractalDB, arXiv:2101.08515);
occluding shapes and 1/f noise as image models are those of Baradad et al., NeurIPS 2021 (arXiv:2106.05963).
The code is our own.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

SHAPES = ("disc", "square", "ring", "bar")
FILLS = ("flat", "stripes", "checks")
CLASS_NAMES = tuple(f"{fill} {shape}" for fill in FILLS for shape in SHAPES)
NUM_SPECIMENS = 6
BATCH = 32  # images painted together: their arrays stay in the processor's cache


@dataclass(frozen=True)
class Specimens:
    """One shape per image: fields are (image, 1, 1) in half image widths, colours (image, 3, 1, 1)."""

    x: Array
    y: Array
    scale: Array  # one over the half width
    angle: Array
    stripes: Array  # periods across the shape
    colour: Array
    second_colour: Array


def render_images(
    num_images: int, image_size: int, seed: int, num_classes: int = 12
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return images (image, row, column, 3) and their shuffled labels; class sizes differ by at most one.

    Raises ValueError for ``num_classes`` outside 2 to 12.
    """
    if not 2 <= num_classes <= len(CLASS_NAMES):
        raise ValueError(
            f"num_classes must be 2 to {len(CLASS_NAMES)} ({len(SHAPES)} shapes x {len(FILLS)} fillings), "
            f"found {num_classes}"
        )
    rng = np.random.default_rng([seed, num_images, image_size])
    labels = rng.permutation(np.arange(num_images, dtype=np.int64) % num_classes)
    images = np.empty((num_images, image_size, image_size, 3), dtype=np.uint8)
    for label in range(num_classes):
        members = np.flatnonzero(labels == label)
        for start in range(0, len(members), BATCH):
            chosen = members[start : start + BATCH]
            images[chosen] = _render(label, len(chosen), image_size, rng)
    return images, labels


def _render(label: int, num_images: int, image_size: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Paint images of one class, back to front."""
    fill, shape = divmod(label, len(SHAPES))
    axis = (np.arange(image_size, dtype=np.float32) + 0.5) / (image_size / 2) - 1
    canvas = _background(num_images, image_size, rng)  # (image, 3, row, column)
    for _ in range(NUM_SPECIMENS):
        specimens = _draw_specimens(num_images, rng)
        u, v = _local_coordinates(axis, specimens)
        softness = specimens.scale * (2 / image_size)  # one pixel
        coverage = np.clip(0.5 - _distance(SHAPES[shape], u, v) / softness, 0, 1)[:, None]
        mixture = _filling(FILLS[fill], u, v, specimens.stripes)[:, None]
        paint = specimens.colour + (specimens.second_colour - specimens.colour) * mixture
        canvas += (paint - canvas) * coverage
    canvas += rng.standard_normal(canvas.shape, dtype=np.float32) * 0.02
    return (np.clip(canvas, 0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _draw_specimens(num_images: int, rng: np.random.Generator) -> Specimens:
    def uniform(low: float, high: float, *channels: int) -> Array:
        return rng.uniform(low, high, (num_images, *channels, 1, 1)).astype(np.float32)

    colour, shift = uniform(0, 1, 3), uniform(0.35, 0.65, 3)
    second: Array = np.where(colour > 0.5, colour - shift, colour + shift)  # always told apart from the first
    scale, angle = uniform(1.8, 3.6), uniform(0, 2 * np.pi)
    return Specimens(uniform(-0.8, 0.8), uniform(-0.8, 0.8), scale, angle, uniform(1.8, 3.2), colour, second)


def _local_coordinates(axis: Array, specimens: Specimens) -> tuple[Array, Array]:
    """Position relative to each specimen, turned and scaled; (image, row, column)."""
    x, y = axis[None, None, :] - specimens.x, axis[None, :, None] - specimens.y
    cosine: Array = np.cos(specimens.angle)
    sine: Array = np.sin(specimens.angle)
    return (x * cosine + y * sine) * specimens.scale, (y * cosine - x * sine) * specimens.scale


def _distance(shape: str, u: Array, v: Array) -> Array:
    """Signed distance to the outline of the unit shape, negative inside."""
    radius: Array = np.sqrt(u * u + v * v)
    if shape == "disc":
        return radius - 1
    if shape == "ring":
        hole: Array = 0.56 - radius
        return np.where(hole > radius - 1, hole, radius - 1)
    half_width, half_height = (0.85, 0.85) if shape == "square" else (1.25, 0.36)
    result: Array = np.maximum(np.abs(u) - half_width, np.abs(v) - half_height)
    return result


def _filling(fill: str, u: Array, v: Array, periods: Array) -> Array:
    """Share of the second colour, between 0 and 1."""
    if fill == "flat":
        return np.zeros_like(u)
    wave = np.sin(np.pi * periods * u)
    if fill == "checks":
        wave = wave * np.sin(np.pi * periods * v)
    result: Array = np.clip(0.5 + 2 * wave, 0, 1)
    return result


def _background(num_images: int, image_size: int, rng: np.random.Generator) -> Array:
    """Tinted noise with an amplitude spectrum of 1/f about a random colour; (image, 3, row, column)."""
    frequency = np.hypot(np.fft.fftfreq(image_size)[:, None], np.fft.rfftfreq(image_size)[None, :])
    frequency[0, 0] = np.inf  # no mean: the colour is drawn below
    white = rng.standard_normal((num_images, *frequency.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    noise = np.fft.irfft2(white / frequency.astype(np.float32), s=(image_size, image_size))
    noise = noise / noise.std(axis=(1, 2), keepdims=True)
    tint = rng.uniform(0.02, 0.25, (num_images, 3, 1, 1)).astype(np.float32)
    colour = rng.uniform(0.25, 0.75, (num_images, 3, 1, 1)).astype(np.float32)
    result: Array = colour + tint * noise[:, None].astype(np.float32)
    return result
