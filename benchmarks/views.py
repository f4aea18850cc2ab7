"""Claim: views that shrink nothing take less time sampled than by a product with matrices, as both make the same views.

    python -m benchmarks.views [--rounds 15]

A view of a batch, drawn, cropped and changed in intensity, from images in memory, by turns; one thread. Times are the
process's own.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

import torch

from benchmarks.pretraining import by_turns
from trainables.config import ViewConfig
from trainables.data import augment
from trainables.data.batches import Samples, random_view


@dataclass(frozen=True)
class Batch:
    """Images of a batch: RGB of one byte as natural images are kept, or one channel of float16 as slices are."""

    num_samples: int
    num_channels: int
    image_size: int

    def __str__(self) -> str:
        return f"{self.num_samples} images of {self.num_channels} x {self.image_size} x {self.image_size}"

    def samples(self) -> Samples:
        """Return random images of this kind."""
        shape = (self.num_samples, self.image_size, self.image_size, self.num_channels)
        drawn = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        images = drawn.permute(0, 3, 1, 2)
        kept = images if self.num_channels == 3 else (images / 255).half().contiguous()
        return Samples(kept, None, torch.device("cpu"), torch.arange(self.num_samples))


BATCHES = (Batch(32, 3, 96), Batch(8, 3, 224), Batch(64, 1, 64), Batch(8, 1, 224))


def main() -> None:
    """Print both times and their ratio for each batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="side-by-side repeats (default 15)")
    rounds: int = parser.parse_args().rounds
    torch.set_num_threads(1)
    for batch in BATCHES:
        multiplied, sampled = by_turns([view_by(batch, augment.multiplied_crops), view_by(batch)], rounds)
        print(
            f"{batch}: by matrices {1e3 * multiplied:.2f} ms, sampled {1e3 * sampled:.2f} ms, "
            f"{multiplied / sampled:.1f} times as fast"
        )


def view_by(batch: Batch, crops: Callable[..., torch.Tensor] = augment.sampled_crops) -> Callable[[], torch.Tensor]:
    """Return a call that makes a view, whose crops come from ``crops``."""
    samples, recipe, everything = batch.samples(), ViewConfig(), torch.arange(batch.num_samples)
    generator = torch.Generator().manual_seed(0)

    def view() -> torch.Tensor:
        with mock.patch.object(augment, "sampled_crops", crops):
            return random_view(samples, everything, recipe, generator)

    return view


if __name__ == "__main__":
    main()
