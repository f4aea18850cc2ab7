"""Many volumes at once: in order, within the memory budget, each slice with a fingerprint of its own."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from trainables.data.dataset import Piece, Volume
from trainables.data.decoded import fingerprints, for_each_volume, is_flat
from trainables.data.parallel import in_parallel


def test_results_come_in_order_although_threads_finish_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4))
    ended, order, counted = [threading.Event() for _ in range(8)], [], []

    def work(item: int) -> int:
        if item % 2 == 0:  # the even ones wait for the odd one after them
            assert ended[item + 1].wait(10)
        order.append(item)
        ended[item].set()
        return item * item

    results = in_parallel(work, range(8), lambda done, total: counted.append((done, total)))
    assert list(results) == [item * item for item in range(8)]
    assert order != list(range(8))
    assert counted == [(done, 8) for done in range(1, 9)]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four threads, a budget of 50 bytes of which a volume takes five times its name, and no files."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4))
    monkeypatch.setattr("trainables.data.parallel.MEMORY_BYTES", 50)
    monkeypatch.setattr("trainables.data.decoded.claimed_bytes", lambda volume: int(volume.name))


def volumes_of(sizes: list[int]) -> list[Volume]:
    return [Volume(str(size), "", "", "", (Piece((Path(str(size)),)),)) for size in sizes]


@pytest.mark.usefixtures("memory")
def test_small_volumes_are_decoded_together_and_big_ones_never() -> None:
    def meet(volume: Volume) -> bool:
        try:
            meeting.wait(0.2 if volume.name == "8" else 10)
        except threading.BrokenBarrierError:
            return False
        return True

    meeting = threading.Barrier(2)
    assert list(for_each_volume(meet, volumes_of([3, 3]))) == [True, True]
    meeting = threading.Barrier(2)
    assert list(for_each_volume(meet, volumes_of([8, 8]))) == [False, False]


@pytest.mark.usefixtures("memory")
def test_volumes_at_work_together_keep_within_the_budget_and_a_larger_one_is_decoded_alone() -> None:
    lock, running, seen = threading.Lock(), [], []

    def work(volume: Volume) -> str:
        with lock:
            running.append(int(volume.name))
            seen.append(tuple(running))
        time.sleep(0.002)
        with lock:
            running.remove(int(volume.name))
        return volume.name

    sizes = [int(size) for size in np.random.default_rng(0).choice([1, 2, 3, 5, 9, 40], 60)]
    assert list(for_each_volume(work, volumes_of(sizes))) == [str(size) for size in sizes]
    together = [each for each in seen if len(each) > 1]
    assert together
    assert all(3 * sum(each) <= 30 for each in together)
    assert (40,) in seen


def test_results_that_wait_for_the_writer_count_against_the_budget(memory: None) -> None:
    alive, most, lock = 0, 0, threading.Lock()
    first_may_end = threading.Event()

    def work(volume: Volume) -> str:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        if alive == 1:
            first_may_end.wait(0.3)  # the others end while the first still holds the writer back
        return volume.name

    for _ in for_each_volume(work, volumes_of([4] * 8)):  # 20 bytes each of 50: two at a time
        with lock:
            alive -= 1
    assert most == 2


def test_an_equal_slice_has_an_equal_fingerprint_whatever_the_rest_of_its_volume_holds() -> None:
    whole = np.random.default_rng(0).integers(0, 900, (1, 1, 6, 5)).astype(np.int16)
    fractions = np.random.default_rng(1).random((1, 1, 6, 5)).astype(np.float32)
    mixed = np.concatenate([whole.astype(np.float32), fractions])
    assert fingerprints(mixed)[0] == fingerprints(whole)[0]
    assert fingerprints(mixed)[1] != fingerprints(mixed)[0]


def test_an_empty_slice_of_channels_with_different_backgrounds_is_no_evidence() -> None:
    empty = np.stack([np.full((6, 5), -1000, np.int16), np.zeros((6, 5), np.int16)])[None]
    shown = empty.copy()
    shown[0, 1, 2, 2] = 7
    assert is_flat(np.concatenate([empty, shown])).tolist() == [True, False]


def test_a_slice_in_which_one_pixel_differs_is_not_flat() -> None:
    for pixel in (0, 1, 57, 20 * 30 - 1):
        images = np.full((2, 1, 20, 30), 7, np.int16)
        images[1].reshape(-1)[pixel] += 1
        assert is_flat(images).tolist() == [True, False]
