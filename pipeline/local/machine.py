"""How a machine is divided: worker processes, torch threads, memory."""

import dataclasses
import os
from pathlib import Path

import psutil

HEADROOM = 0.8
"""Share of the free memory that workers may plan with; the rest is for the system's file cache and surprises."""
LAUNCHER_BYTES = 500_000_000
"""Memory of the launcher itself, with Beam and its buffers."""
BEAM_BYTES = 150_000_000
"""Memory of a worker process beyond that of the network: Beam, and what was freed but is kept."""
SERVICE_BYTES = 1_000_000_000
"""Memory of what Dataflow itself runs on a worker, which by its documentation is usually less."""
BESIDE_BYTES, BESIDE_BYTES_16 = 70, 130
"""Memory for each pixel of the pair that is read and of the one that is written, at 8 and at 16 bits, files included.

The most that was measured, at 3072 x 3072 with references: 8-bit JPEG and PNG 18 + 18, WebP with alpha 27 + 41, AVIF
19 + 51; 16-bit PNG with alpha and noise 64 + 63.
"""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A machine, divided.

    Attributes:
        workers: Number of worker processes.
        threads: Torch threads of each process.
        memory: Bytes that all processes may use together; 0 for no limit.
    """

    workers: int
    threads: int
    memory: int


def plan(workers: int, typical: int, *, cores: int | None = None, memory: int | None = None) -> Plan:
    """Divide this machine.

    One process per core is fastest where memory allows: a second torch thread gains less than a second process.

    Args:
        workers: Number of processes wanted; 0 for one per core, as far as memory holds that many typical images.
        typical: Peak bytes of a worker on an image that most are no larger than.
        cores: Cores to divide; all that this process may use if None.
        memory: Bytes for the workers; what is free on this machine, less headroom, if None.
    """
    cores = cores or available_cores()
    memory = memory or max(1, int(HEADROOM * available_memory()) - LAUNCHER_BYTES)
    chosen = workers or max(1, min(cores, memory // max(typical, 1)))
    return Plan(chosen, max(1, cores // chosen), memory)


def beside_bytes(pixels: int, bits: int) -> int:
    """Return the memory of the pair that is read and of the one that is written while one of this size is in work.

    It holds for pairs that are no larger and no deeper. The one that is read keeps its files, composite and mask while
    its reference is decoded; the one that is written keeps files, composite, reference and result while it is encoded.

    Args:
        pixels: Those of the largest file of the pair.
        bits: The most bits of a channel in its files.
    """
    return (BESIDE_BYTES_16 if bits == 16 else BESIDE_BYTES) * pixels


def computes_bfloat16() -> bool:
    """Say whether the processor has instructions for bfloat16, as torch would, which takes a second to load."""
    flags = {flag for line in _lines("/proc/cpuinfo") if line.startswith("flags") for flag in line.split()}
    return bool(flags & {"avx512_bf16", "amx_bf16"})


def whole() -> Plan:
    """Divide a machine that serves one job alone: a process of one thread for each core."""
    return Plan(available_cores(), 1, usable(total_memory()))


def usable(total: float) -> int:
    """Return the bytes that workers may plan with on a machine that serves one job alone."""
    return max(1, int(HEADROOM * (total - SERVICE_BYTES)))


def total_for(wanted: float) -> float:
    """Return the bytes that such a machine must have for workers that need so many: the inverse of `usable`."""
    return wanted / HEADROOM + SERVICE_BYTES


def available_cores() -> int:
    """Return the cores this process may use: its affinity, and its control group's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _read_words("/sys/fs/cgroup/cpu.max")
    if len(quota) == 2 and quota[0] != "max":
        cores = min(cores, max(1, int(quota[0]) // int(quota[1])))
    return cores


def available_memory() -> int:
    """Return the bytes that can be taken without swapping: the system's, or what the control group has left."""
    limit, free = _group_limit(), psutil.virtual_memory().available
    return free if limit is None else min(free, max(0, limit - _group_memory()))


def total_memory() -> int:
    """Return the bytes that the machine, or the control group where it has a limit, has altogether."""
    limit, total = _group_limit(), psutil.virtual_memory().total
    return total if limit is None else min(total, limit)


def _group_limit() -> int | None:
    most = _read_words("/sys/fs/cgroup/memory.max")
    return int(most[0]) if most and most != ["max"] else None


def _group_memory() -> int:
    """Return the bytes that the control group has taken and cannot simply drop."""
    taken = int((_read_words("/sys/fs/cgroup/memory.current") or ["0"])[0])
    stat = [line.split() for line in _lines("/sys/fs/cgroup/memory.stat")]
    return taken - sum(int(value) for name, value in stat if name == "inactive_file")


def _read_words(path: str) -> list[str]:
    return " ".join(_lines(path)).split()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
