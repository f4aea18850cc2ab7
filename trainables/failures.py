"""What an error means for what comes after it.

In: an error. Out: whether the disk is full, which ends a run; whether memory was lacking; whether the process that
raised it can still be used.
"""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)
NO_SPACE = "No space left on device"
SPENT = ("CUDA error", "cuDNN error", "CUBLAS_STATUS_", "device-side assert")
"""What is said of an error of a GPU that stays with its process: every later call there fails, too."""
OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError", "RuntimeError: [enforce fail at alloc_cpu")
"""How reasons begin that say so: torch's for a GPU, Python's, and torch's for a CPU."""
NO_DEVICE_MEMORY = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""What says so within a reason: allocations that CUDA and its libraries make beside torch's own."""


class SpentWorkerError(Exception):
    """A process whose device no longer works; its cell's failure is recorded, and others need a fresh process."""


class WorkerDiedError(Exception):
    """A process that died under a cell; the message says of what, as far as that is known."""


class NodeLostError(Exception):
    """A node that went away, or can no longer be reached, while a cell ran there."""


def is_full_disk(error: BaseException) -> bool:
    """Whether an error, or one that led to it, is that of a disk or quota without room."""
    return full_disk_behind(error) is not None


def full_disk_behind(error: BaseException) -> OSError | None:
    """Return the error of a disk or quota without room: the one given, or one that led to it; None where it is none."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and (link.errno in FULL or NO_SPACE in str(link)):
            return link
        link = link.__cause__ or link.__context__
    return None


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def reason_of(error: BaseException) -> str:
    """Return what the failures table says of an error: its kind, and the first line of its message."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def is_out_of_memory(reason: str) -> bool:
    """Whether a reason of the failures table says that a GPU or the machine had no memory left."""
    return reason.startswith(OUT_OF_MEMORY) or any(sign in reason for sign in NO_DEVICE_MEMORY)


def is_spent(error: BaseException) -> bool:
    """Whether the process of an error is of no more use: CUDA keeps an illegal access or a failed assertion for good.

    Out of memory is none of these: the next, smaller cell fits.
    """
    if is_out_of_memory(reason_of(error)):
        return False
    return type(error).__name__ == "AcceleratorError" or any(sign in str(error) for sign in SPENT)
