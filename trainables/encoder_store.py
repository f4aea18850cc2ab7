"""Pretrained encoders on storage that all nodes see: one folder per stage, named by its id.

In: a folder of encoders and a stage's id, which holds everything that changes its weights. Out: where its files lie;
a lock, so that of several experiments that need a stage one trains it; and its epochs' rows, kept beside the encoders
so that an experiment that did not train a stage knows its losses and its cost.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trainables.results import Row, ask_server, is_there, num_rows, replacing, try_lock, write_rows

EPOCHS = "epochs.parquet"  # rows of the longest training of the stage, which experiments take over
ANEW = "epochs-anew.parquet"  # rows of a training from the beginning, while they are fewer than those of EPOCHS
POLL_SECONDS = 0.5  # between two looks at another's lock


def encoder_path(encoders: Path, stage_id: str, epoch: int) -> Path:
    """Return where a stage's encoder after ``epoch`` finished epochs is stored; it exists when it is whole."""
    return encoders / stage_id / f"epoch-{epoch:04d}.safetensors"


def resume_path(encoders: Path, stage_id: str) -> Path:
    """Return where the state of a stage in training lies."""
    return encoders / stage_id / "resume.pt"


def are_kept(encoders: Path, stage_id: str, epochs: Iterable[int]) -> bool:
    """Return whether the encoders of all these epochs exist now, though another node may just have written them."""
    return all(is_there(encoder_path(encoders, stage_id, epoch)) for epoch in epochs)


def record_epochs(results: Path, encoders: Path, stage_id: str, rows: Sequence[Row]) -> None:
    """Write the rows of a stage's epochs to the results and beside its encoders."""
    written, folder = write_rows(results, "pretraining", stage_id, rows), encoders / stage_id
    ask_server(folder)
    if num_rows(folder / EPOCHS) <= len(rows):
        _copy(written, folder / EPOCHS)
        (folder / ANEW).unlink(missing_ok=True)
    else:  # a stage that is trained again for one more milestone leaves the whole of it
        _copy(written, folder / ANEW)


def clear_state(encoders: Path, stage_id: str) -> None:
    """Remove what a stage in training would go on from: it has ended."""
    resume_path(encoders, stage_id).unlink(missing_ok=True)
    (encoders / stage_id / ANEW).unlink(missing_ok=True)


def adopt_epochs(results: Path, encoders: Path, stage_id: str) -> None:
    """Bring the rows of a stage that another experiment trained, or trained further, into the results."""
    source, own = encoders / stage_id / EPOCHS, results / "pretraining" / f"{stage_id}.parquet"
    ask_server(source.parent)
    if num_rows(source) > num_rows(own):
        _copy(source, own)


def epochs_done(encoders: Path, stage_id: str, kept_epochs: Sequence[int]) -> int:
    """Return the last epoch of a finished stage, or the one that an unfinished one goes on from; 0 if it starts over.

    It starts over where it has passed an epoch whose encoder is to be kept and is not there.

    Note: rows are written after every epoch and the state more rarely (``pretrain``), so a stage that was killed goes
    on from some epochs earlier, which together took 50 times what saving takes at most.
    """
    if not is_there(resume_path(encoders, stage_id)):
        return max(kept_epochs) if are_kept(encoders, stage_id, kept_epochs) else 0
    done = num_rows(encoders / stage_id / ANEW) or num_rows(encoders / stage_id / EPOCHS)
    return done if are_kept(encoders, stage_id, (epoch for epoch in kept_epochs if epoch <= done)) else 0


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


@contextmanager
def trained_by_one(encoders: Path, stage_id: str, look: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Wait until no other process trains this stage; keep others waiting until the body ends or this process dies.

    ``look`` is called again and again while another trains, and ends the wait by raising. Raises ResultsError where the
    file system has no locks.
    """
    folder = encoders / stage_id
    folder.mkdir(parents=True, exist_ok=True)
    while (lock := try_lock(folder / ".lock")) is None:
        look()
        time.sleep(POLL_SECONDS)
    with lock:
        yield
