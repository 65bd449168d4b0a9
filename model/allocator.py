"""Keep the C library from returning large freed blocks to the system during training."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> None:
    """Reuse freed memory on Linux with glibc; elsewhere do nothing.

    glibc maps every block over 32 MiB afresh, and the kernel zeroes it page by page: on a batch of
    256 x 256 maps that costs as much as the elementwise arithmetic itself. A training step allocates
    the same blocks every time, so keeping them costs no more than the step's own peak.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
