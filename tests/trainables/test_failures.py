"""Which errors end a run, and which end the process that raised them."""

import errno

import pytest
import torch

from trainables.failures import first_line, is_full_disk, is_out_of_memory, is_spent, reason_of


class AcceleratorError(RuntimeError):
    """As torch names every error of a device since 2.8, but for out of memory."""


NO_MEMORY = (
    AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
    MemoryError("no room"),
)


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
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        *((error, False) for error in NO_MEMORY),
    ],
)
def test_an_error_that_stays_with_its_process_is_told_from_others(error: Exception, expected: bool) -> None:
    assert is_spent(error) == expected


@pytest.mark.parametrize("error", NO_MEMORY)
def test_a_reason_says_whether_memory_was_lacking(error: Exception) -> None:
    assert is_out_of_memory(reason_of(error))


@pytest.mark.parametrize("said", ["CUDA error: an illegal memory access was encountered", "out of time"])
def test_other_reasons_are_not_taken_for_want_of_memory(said: str) -> None:
    assert not is_out_of_memory(reason_of(RuntimeError(said)))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("a\nb"), "a"),
        (ValueError("\n  a\nb"), "a"),
        (MemoryError(), "MemoryError"),
        (RuntimeError("\n"), "RuntimeError"),
    ],
)
def test_the_first_line_of_what_an_error_says_is_its_kind_where_it_says_nothing(error: Exception, said: str) -> None:
    assert first_line(error) == said
