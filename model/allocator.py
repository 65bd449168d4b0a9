"""Keeps the C library from returning freed blocks to the system that are soon needed again.

The kernel hands out memory page by page and zeroes it: for maps that are used once or twice, that costs as much as the
elementwise arithmetic itself. All this is for glibc on Linux; elsewhere it does nothing.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -3, -4, -8  # malloc.h
LARGEST = 1 << 25
"""Bytes from which glibc maps a block on its own; it accepts no larger threshold."""
KEPT = 1 << 27
"""Bytes that are kept between images."""


def keep_all() -> None:
    """Reuse all freed memory: a training step allocates the same blocks every time, and needs its peak anyway."""
    _set({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1})


def keep_strips() -> None:
    """Reuse freed blocks of up to 32 MiB, 128 MiB altogether, in all threads: strips, and maps of small images.

    Threads that start later share one heap, so that what one has freed serves the others.
    """
    _set({M_MMAP_THRESHOLD: LARGEST, M_TRIM_THRESHOLD: KEPT, M_ARENA_MAX: 1})


def _set(options: dict[int, int]) -> None:
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for name, value in options.items():
            mallopt(name, value)
