"""A ``.npy`` file that grows: rows are appended while the next are made, and the disk writes beside it.

In: a path, the shape and type of a row. Out: a whole file, or an error of the disk.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

SYNC_BYTES = 2**24  # written before the disk is told to write it


class GrowingArray:
    """A ``.npy`` file to which rows are appended, as a context that closes it; its header is written at the end."""

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._file: BinaryIO = path.open("wb")
        self._row_shape, self._dtype, self._rows = row_shape, np.dtype(dtype), 0
        self._unsynced_bytes = 0
        self._thread = ThreadPoolExecutor(1)
        self._sync: Future[None] | None = None
        self._write_header()

    def append(self, rows: npt.NDArray[np.generic]) -> None:
        assert rows.shape[1:] == self._row_shape
        content = np.ascontiguousarray(rows, self._dtype).data
        self._file.write(content)
        self._rows += len(rows)
        self._unsynced_bytes += content.nbytes
        if self._unsynced_bytes > SYNC_BYTES and (self._sync is None or self._sync.done()):
            self._start_sync()

    def _start_sync(self) -> None:
        """Let the disk write while the next volumes are decoded; who feeds their threads does not wait for it."""
        self._raise_sync_error()
        self._file.flush()
        self._sync = self._thread.submit(os.fsync, self._file.fileno())
        self._unsynced_bytes = 0

    def _raise_sync_error(self) -> None:
        """Wait for the last sync. The system tells a failed write once, so a later sync would not tell it again."""
        if self._sync:
            self._sync.result()

    def __enter__(self) -> "GrowingArray":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        with self._file, self._thread:
            if error is None:
                self._raise_sync_error()
                self._file.seek(0)
                self._write_header()
                self._file.flush()
                os.fsync(self._file.fileno())

    def _write_header(self) -> None:
        """Numpy leaves room in a header for the first axis to grow, so the later one has the same length."""
        description = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": description, "fortran_order": False, "shape": (self._rows, *self._row_shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
