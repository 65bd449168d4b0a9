"""How a local run divides this machine: worker processes, torch threads, memory."""

import dataclasses
import os
from pathlib import Path

HEADROOM = 0.8
"""Share of the free memory that workers may plan with; the rest is for the system's file cache and surprises."""
LAUNCHER_BYTES = 500_000_000
"""Of the launcher itself, with Beam and its buffers."""
BEAM_BYTES = 150_000_000
"""Of a worker process, beside what the network's process takes: Beam, and memory freed but kept."""
SERVICE_BYTES = 1_000_000_000
"""Of what Dataflow itself runs on a worker: by its documentation usually less."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How many of what.

    Attributes:
        workers: Processes.
        threads: Torch threads of each.
        memory: Bytes for all of them together.
    """

    workers: int
    threads: int
    memory: int


def plan(workers: int, typical: int, *, cores: int | None = None, memory: int | None = None) -> Plan:
    """Divide the machine; 0 workers: as many as cores, as far as memory holds that many typical images.

    One process per core is fastest where memory allows: a second torch thread gains less than a second process.

    Args:
        workers: Wanted, 0 to choose.
        typical: Peak bytes of a worker on an image that most are no larger than.
        cores: This machine's if None.
        memory: Bytes for the workers; what is free on this machine, less headroom, if None.
    """
    cores = cores or available_cores()
    memory = memory or max(1, int(HEADROOM * available_memory()) - LAUNCHER_BYTES)
    chosen = workers or max(1, min(cores, memory // max(typical, 1)))
    return Plan(chosen, max(1, cores // chosen), memory)


def computes_bfloat16() -> bool:
    """Say whether the processor has instructions for bfloat16: as torch does, which takes a second to load."""
    flags = {flag for line in _lines("/proc/cpuinfo") if line.startswith("flags") for flag in line.split()}
    return bool(flags & {"avx512_bf16", "amx_bf16"})


def whole() -> Plan:
    """Divide a machine that is there for one job alone: a process of one thread for each core."""
    return Plan(available_cores(), 1, usable(total_memory()))


def usable(total: float) -> int:
    """Return the bytes that workers may plan with on a machine that is there for one job alone."""
    return max(1, int(HEADROOM * (total - SERVICE_BYTES)))


def total_for(wanted: float) -> float:
    """Return how many bytes such a machine must have for workers that want so many."""
    return wanted / HEADROOM + SERVICE_BYTES


def available_cores() -> int:
    """Return the cores this process may use: its affinity, and its control group's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _read_words("/sys/fs/cgroup/cpu.max")
    if len(quota) == 2 and quota[0] != "max":
        cores = min(cores, max(1, int(quota[0]) // int(quota[1])))
    return cores


def available_memory() -> int:
    """Return the bytes that can be taken without swapping: the system's, and what the control group has left."""
    free = [int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemAvailable:")]
    most = _read_words("/sys/fs/cgroup/memory.max")
    if most and most != ["max"]:
        free.append(max(0, int(most[0]) - _group_memory()))
    return min(free, default=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def total_memory() -> int:
    """Return the bytes that the machine, or the control group where there is one, has altogether."""
    found = [int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal:")]
    most = _read_words("/sys/fs/cgroup/memory.max")
    if most and most != ["max"]:
        found.append(int(most[0]))
    return min(found, default=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _group_memory() -> int:
    """Return the bytes the control group has taken and cannot simply drop."""
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
