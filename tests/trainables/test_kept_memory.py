"""Page faults, as the kernel counts them, of a process that frees and asks for the same memory again."""

import platform
import subprocess
import sys

import pytest

BYTES, REPEATS = 40_000_000, 5
PROGRAM = f"""
import resource, sys, threading
from trainables.kept_memory import keep_freed_memory

def faults():
    for _ in range(2):  # the first brings the memory in
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range({REPEATS}):
            bytearray({BYTES})  # written to, then freed at once
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

if "keep" in sys.argv:
    assert keep_freed_memory()
if "thread" in sys.argv:
    thread = threading.Thread(target=faults)
    thread.start()
    thread.join()
else:
    faults()
"""
needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than GNU/Linux's")


def page_faults(*how: str) -> int:
    run = subprocess.run([sys.executable, "-c", PROGRAM, *how], check=True, capture_output=True, text=True)
    return int(run.stdout)


@needs_glibc
@pytest.mark.parametrize("where", ["main", "thread"])
def test_memory_that_is_kept_is_brought_in_once(where: str):
    assert page_faults("keep", where) <= page_faults("give back", where) / 5


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    from trainables.kept_memory import keep_freed_memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory.__wrapped__()
