"""What a pretraining stage learns from.

In: a StageJob. Out: its images on the device, with classes where they have any: those that were planned with.
"""

import torch

from trainables.data.batches import Samples, from_natural, from_slices
from trainables.data.natural import open_natural
from trainables.data.slices import open_store
from trainables.jobs import StageJob


def load_samples(job: StageJob, device: torch.device) -> tuple[Samples, int]:
    """Return the stage's samples and their number of classes, 0 for unlabelled ones. Raises DataError."""
    if job.stage.data == "natural":
        natural = open_natural(job.natural, job.compute.cache, job.source_id)
        return from_natural(natural.images(), natural.labels(), device), natural.num_classes
    store = open_store(job.data, job.compute.cache, expected_pool=job.source_id)
    return from_slices(store.images, None, store.rows("pool"), device), 0
