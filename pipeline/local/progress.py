"""How far a local run is: each worker thread keeps a file of its own, and the launcher adds them up.

A file holds counts and the ids of the pairs under way, and its process holds a lock on it for as long as it lives: a
file with ids and without a lock was left by a process that crashed over one of those pairs.
"""

import contextlib
import fcntl
import os
import struct
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_COUNTS = struct.Struct("<QQQQ")
_BETWEEN = "\0"


class Counts(NamedTuple):
    """What became of the pairs so far; those in `skipped` were up to date."""

    images: int = 0
    pixels: int = 0
    failures: int = 0
    skipped: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Add another's counts."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


class ProgressFile:
    """The file of one worker thread and those that read and write for it.

    Args:
        scratch: Folder on a local disk that the launcher reads; with "" nothing is written.
    """

    def __init__(self, scratch: str) -> None:
        self.counts = Counts()
        self.identities: list[str] = []
        self.lock = threading.Lock()
        self.file = None
        if scratch:
            self.file = os.open(Path(scratch) / f"progress-{uuid.uuid4()}", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self.file, fcntl.LOCK_EX)

    def close(self) -> None:
        """Give the lock back; the counts stay."""
        if self.file is not None:
            os.close(self.file)
            self.file = None

    @contextlib.contextmanager
    def under_way(self, identity: str) -> Iterator[None]:
        """Name a pair as under way for as long as the block lasts, whichever threads it runs in."""
        self._begun(identity, True)
        try:
            yield
        finally:
            self._begun(identity, False)

    def add(self, counts: Counts) -> None:
        """Add to the counts."""
        with self.lock:
            self.counts = self.counts.plus(counts)
            self._write()

    def _begun(self, identity: str, begun: bool) -> None:
        with self.lock:
            (self.identities.append if begun else self.identities.remove)(identity)
            self._write()

    def _write(self) -> None:
        if self.file is not None:
            data = _COUNTS.pack(*self.counts) + _BETWEEN.join(self.identities).encode()
            os.pwrite(self.file, data, 0)
            os.ftruncate(self.file, len(data))


def read(scratch: Path) -> Counts:
    """Add up the counts of all threads."""
    total = Counts()
    for path in scratch.glob("progress-*"):
        data = path.read_bytes()
        if len(data) >= _COUNTS.size:
            total = total.plus(Counts(*_COUNTS.unpack_from(data)))
    return total


def take_crashed_ids(scratch: Path) -> list[str]:
    """Return the ids of the pairs that were under way in processes that crashed, and remove them from the files."""
    found: list[str] = []
    for path in scratch.glob("progress-*"):
        with path.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its process lives
            if identities := file.read()[_COUNTS.size :].decode(errors="replace"):
                found += identities.split(_BETWEEN)
                file.truncate(_COUNTS.size)
    return found
