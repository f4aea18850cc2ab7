"""Freed memory that a process keeps for its next training step, with the C library of GNU/Linux; elsewhere nothing.

A training step on a CPU frees all that the forward pass held. By default glibc then gives it back to the operating
system, which hands out zeroed pages, one page fault each, when the next step asks for as much: tens of thousands a
step. See ``mallopt(3)``; what it is worth: ``python -m benchmarks.kept_memory``.
"""

import ctypes
import functools
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # glibc's malloc.h
_NEVER = -1
_THREAD_HEAP_BYTES = 64 * 2**20  # HEAP_MAX_SIZE: a thread's emptied heap of that size is kept with as much padding


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process hold what it frees until it ends; return whether it does so from here on.

    Its resident memory stays at its peak. Numbers do not change.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _THREAD_HEAP_BYTES), (_MMAP_MAX, 0))
    return all(mallopt(name, value) for name, value in settings)
