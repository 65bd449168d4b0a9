"""Local files: only regular ones are read, and one is written so that it appears whole or not at all."""

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

TEMPORARY = ".hdnet-tmp"
"""Suffix of a file that is being written, under a name of its own beside the final one."""


def read(path: str, limit: int | None = None) -> bytes:
    """Return a file's bytes; of one with more than `limit` the first, and one more.

    Raises:
        OSError: There is none, it cannot be read, or it is a folder or a device: a pipe would be waited on for ever.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no regular file")
        return file.read(-1 if limit is None else limit + 1)


def replace(path: Path, data: bytes) -> None:
    """Write a file under a temporary name in the same folder, bring it to the disk, then rename it.

    Raises:
        OSError: It cannot be written; the old file is still there, and nothing else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _created_beside(path) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def sweep(folder: str) -> int:
    """Remove the temporary files below a folder that no process is writing: their writers were killed.

    A writer holds a lock, which the kernel takes back when the process ends, however it ends.

    Returns:
        How many.
    """
    parents = ((parent, names) for parent, _, names in os.walk(folder))
    left = (os.path.join(parent, name) for parent, names in parents for name in names if name.endswith(TEMPORARY))
    return sum(_remove_abandoned(path) for path in left)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # opening a pipe would already wait; a regular file takes no notice


@contextlib.contextmanager
def _created_beside(path: Path) -> Iterator[IO[bytes]]:
    """Create a temporary file and hold its lock."""
    while True:
        with open(path.with_name(f".{path.name}.{secrets.token_hex(8)}{TEMPORARY}"), "xb") as file:
            with contextlib.suppress(OSError):  # a disk without locks: there no sweep can lock either, nor removes
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:  # else a sweep came between the creation and the lock
                yield file
                return


def _remove_abandoned(path: str) -> bool:
    # A neighbour may finish at any moment, and a disk may have no locks: both mean that the file is not ours.
    with contextlib.suppress(OSError), open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
        return True
    return False
