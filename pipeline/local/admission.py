"""Keep the worker processes of one machine from taking more memory at once than there is.

Every process has an equal part of the memory. A pair that fits it, beside the one before and the one after it, runs
beside all others; a larger one runs alone: it waits until the others are finished and holds off new ones. The locks are
the kernel's, so a process that dies gives them back.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from hdnet.transforms.errors import SizeError


class Admission:
    """Admits pairs by their estimated memory.

    Args:
        memory: Bytes for all processes together; 0 admits everything.
        workers: Number of processes.
        scratch: Folder on a local disk that they share.
    """

    def __init__(self, memory: int, workers: int, scratch: str) -> None:
        self.memory, self.workers = memory, workers
        self.lock = Path(scratch) / "giants.lock" if scratch else None

    @contextlib.contextmanager
    def hold(self, size: int, name: str, *, beside: int = 0, alone: bool = False) -> Iterator[None]:
        """Wait until `size` bytes are free, and keep them for as long as the block lasts.

        Args:
            size: Bytes that the pair needs at its peak.
            name: Name of the pair in the error's message.
            beside: Bytes of its neighbours in the same process, if they are as large.
            alone: Wait until no other pair is in work, whatever the size.

        Raises:
            SizeError: So many bytes are never free; the message names the pair, the bytes and the remedy.
        """
        if self.memory and size > self.memory:
            raise SizeError(
                f"{name} needs about {size / 1e9:.1f} GB, more than the {self.memory / 1e9:.1f} GB that workers may"
                " use: raise --memory, or take a machine that has more"
            )
        giant = alone or (size + beside) * self.workers > self.memory > 0
        if self.lock is None:
            yield
            return
        # A giant waits with the door shut: small pairs that slipped past it would keep it waiting for ever.
        door = _lock(self.lock.with_name("door.lock"), fcntl.LOCK_EX)
        handle = _lock(self.lock, fcntl.LOCK_EX if giant else fcntl.LOCK_SH)
        os.close(door)
        try:
            yield
        finally:
            os.close(handle)


def _lock(path: Path, kind: int) -> int:
    """Wait for a lock and return the handle that holds it until it is closed."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, kind)
    return handle
