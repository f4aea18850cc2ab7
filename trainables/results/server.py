"""What other nodes wrote a moment ago, on a network file system.

In: a folder or a path. Out: that it is looked at as its server has it. An NFS client remembers for up to a minute that
a name was not there, for the whole node, whoever asked: a cell or an encoder that another node has written meanwhile
would be missed, and trained again. Opening a folder, as listing it does, has the client ask whether it has changed
(close-to-open consistency, nfs(5)).
"""

import contextlib
import errno
import os
from pathlib import Path

GONE = (errno.ENOENT, errno.ESTALE)  # what reading a file says that another process, or another node, has removed


def ask_server(folder: Path) -> None:
    """Forget which names were not in a folder, where a network file system remembers it."""
    try:
        _open(folder)
    except FileNotFoundError:  # remembered, perhaps: then it is the folder above that must be asked
        if folder.parent != folder:
            ask_server(folder.parent)
            with contextlib.suppress(OSError):
                _open(folder)
    except OSError:  # not a folder, or another user's: who wants a file in it is told when it is read
        pass


def is_there(path: Path) -> bool:
    """Return whether a file is there now, though this node may have looked for it in vain before.

    One that another node removes meanwhile is not. Raises OSError where the server cannot be asked.
    """
    ask_server(path.parent)
    try:
        return path.is_file()
    except OSError as error:
        if error.errno not in GONE:
            raise
        return False


def _open(folder: Path) -> None:
    os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
