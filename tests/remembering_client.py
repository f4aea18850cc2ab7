"""A client of NFS that remembers what it saw under a name, until the name's folder is opened (nfs(5), close-to-open).

In: a path that another node has just written. Out: for this process the file is not there, or is the one before, until
the folder that it lies in is opened or listed.
"""

import os
from pathlib import Path
from typing import Any

import pytest


class RememberingClient:
    """Keeps what this node does not see yet in a folder aside."""

    def __init__(self, aside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._aside, self._unseen = aside, dict[Path, Path]()
        self._open, self._listdir, self._unlink = os.open, os.listdir, os.unlink
        monkeypatch.setattr(os, "open", self._opened)
        monkeypatch.setattr(os, "listdir", self._listed)
        monkeypatch.setattr(os, "unlink", self._unlinked)

    def remembers(self, path: Path, seen: Path | None = None) -> None:
        """See ``seen`` under this path, or nothing, as before another node wrote it."""
        self._unseen[path] = path.rename(self._aside / f"{len(self._unseen)}")
        if seen:
            seen.rename(path)

    def _opened(self, path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_DIRECTORY:
            self._ask(Path(path))
        return self._open(path, flags, *arguments, **options)

    def _listed(self, path: Any = ".") -> list[str]:
        self._ask(Path(path))
        return self._listdir(path)

    def _unlinked(self, path: Any, **options: Any) -> None:
        if real := self._unseen.pop(Path(path), None):  # the server removes what it has, whatever is seen here
            real.replace(path)
        self._unlink(path, **options)

    def _ask(self, folder: Path) -> None:
        for path in [path for path in self._unseen if path.parent == folder and folder.is_dir()]:
            self._unseen.pop(path).replace(path)
