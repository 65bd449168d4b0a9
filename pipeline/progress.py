"""How far a local run is: each worker thread counts in a file of its own, the launcher adds them up."""

import os
import struct
import uuid
from pathlib import Path

COUNTS = struct.Struct("<QQQ")  # images, pixels, failures


class Writer:
    """Counts one thread's images; without a scratch folder it counts for nobody.

    Args:
        scratch: Folder on a local disk that the launcher reads, or "".
    """

    def __init__(self, scratch: str) -> None:
        name = f"progress-{uuid.uuid4()}"
        self.file = os.open(Path(scratch) / name, os.O_WRONLY | os.O_CREAT, 0o600) if scratch else None
        self.counts = [0, 0, 0]

    def close(self) -> None:
        """Count no more; what was counted stays."""
        if self.file is not None:
            os.close(self.file)
            self.file = None

    def done(self, pixels: int) -> None:
        """Count an image."""
        self._add(1, pixels, 0)

    def failed(self) -> None:
        """Count a failure."""
        self._add(0, 0, 1)

    def _add(self, *counts: int) -> None:
        self.counts = [a + b for a, b in zip(self.counts, counts, strict=True)]
        if self.file is not None:
            os.pwrite(self.file, COUNTS.pack(*self.counts), 0)


def read(scratch: Path) -> tuple[int, int, int]:
    """Return images, pixels and failures of all threads so far."""
    counts = [path.read_bytes() for path in scratch.glob("progress-*")]
    whole = [COUNTS.unpack(data) for data in counts if len(data) == COUNTS.size]
    images, pixels, failures = (sum(column) for column in zip(*whole, strict=True)) if whole else (0, 0, 0)
    return images, pixels, failures
