"""Which errors end a run, and which end the process that raised them."""

import errno

import pytest
import torch

from trainables.failures import is_full_disk, is_spent


class AcceleratorError(RuntimeError):
    """As torch names every error of a device since 2.8, but for out of memory."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError("resume.pt cannot be written ([Errno 28] No space left on device; 0 MiB are free)"), True),
        (caused(RuntimeError("wrapped"), OSError(errno.ENOSPC, "full")), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (RuntimeError("No space left on device"), False),
    ],
)
def test_a_full_disk_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_full_disk(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AcceleratorError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (MemoryError("no room"), False),
    ],
)
def test_an_error_that_stays_with_its_process_is_told_from_others(error: Exception, expected: bool) -> None:
    assert is_spent(error) == expected
