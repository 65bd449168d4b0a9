"""Local files: only regular ones are read, and a written one appears whole or not at all."""

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

TEMPORARY = ".hdnet-tmp"
"""Suffix of a file that is being written, under a temporary name beside the final one."""


def read(path: str, limit: int | None = None) -> bytes:
    """Return a file's bytes, or only the first `limit` + 1 of a longer one.

    Raises:
        OSError: There is no such file, it cannot be read, or it is not a regular file: a pipe would block for ever.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is not a regular file")
        return file.read(-1 if limit is None else limit + 1)


def replace(path: Path, data: bytes) -> None:
    """Write a file under a temporary name in the same folder, flush it to the disk, then rename it.

    Raises:
        OSError: It cannot be written; the old file is still there, and the temporary one is not.
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


def tree(folder: str) -> tuple[list[str], list[tuple[str, str]]]:
    """List all files below a folder, through links to folders, too.

    Returns:
        The relative paths of the regular files, and those of what is none of them, each with the reason before it. A
        link to a folder that it lies in is not followed.

    Raises:
        OSError: There is no such folder, or one in it cannot be listed.
    """
    files, others = list[str](), list[tuple[str, str]]()

    def visit(path: str, prefix: str, above: frozenset[str]) -> None:
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = prefix + entry.name
                if entry.is_file():
                    files.append(name)
                elif not entry.is_dir():
                    kind = "links that lead nowhere" if entry.is_symlink() else "no regular files"
                    others.append((kind, name))
                elif (real := os.path.realpath(entry.path)) in above:
                    others.append(("links to a folder that they lie in", name))
                else:
                    visit(entry.path, f"{name}/", above | {real})

    visit(folder, "", frozenset({os.path.realpath(folder)}))
    return files, others


def sweep(folder: str) -> int:
    """Remove the temporary files below a folder that no process is writing, because their writers were killed.

    A writer holds a lock, which the kernel releases when the process ends, however it ends.

    Returns:
        The number of files removed.
    """
    parents = ((parent, names) for parent, _, names in os.walk(folder))
    left = (os.path.join(parent, name) for parent, names in parents for name in names if name.endswith(TEMPORARY))
    return sum(_remove_abandoned(path) for path in left)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # even opening a pipe would block; a regular file ignores the flag


@contextlib.contextmanager
def _created_beside(path: Path) -> Iterator[IO[bytes]]:
    """Create a temporary file and hold its lock."""
    while True:
        with open(path.with_name(f".{path.name}.{secrets.token_hex(8)}{TEMPORARY}"), "xb") as file:
            with contextlib.suppress(OSError):  # a disk without locks, where a sweep removes nothing
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:  # otherwise a sweep came between the creation and the lock
                yield file
                return


def _remove_abandoned(path: str) -> bool:
    # Another process may finish its file at any moment, and a disk may have no locks: then the file is not ours.
    with contextlib.suppress(OSError), open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
        return True
    return False
