"""Which machines a job needs on Dataflow, and what they cost: for --dry-run and for resource hints."""

import dataclasses
import math
import re

from hdnet.pipeline.local import machine
from hdnet.pipeline.local.machine import BEAM_BYTES
from hdnet.transforms import text

NIGHT = 8.0
"""Hours in which a job should be done."""
USUAL_CORES = 2
"""Cores of the machine that Dataflow takes where none is named."""


@dataclasses.dataclass(frozen=True)
class MachineType:
    """A machine type of Google's.

    Attributes:
        name: Name, as --machine_type takes it.
        cores: Number of vCPUs; Beam runs one worker process for each.
        memory: Memory in bytes.
    """

    name: str
    cores: int
    memory: float


MACHINE_TYPES = tuple(
    MachineType(f"n2-{kind}-{cores}", cores, cores * gigabytes * 1e9)
    for cores in (4, 8, 16, 32)
    for kind, gigabytes in (("standard", 4), ("highmem", 8))
)
"""The types to choose from, the smallest first: small machines are lost, and replaced, one by one.

Types of 1 GB for each core are left out: nobody has tried whether a worker process and Beam fit.
"""


@dataclasses.dataclass(frozen=True)
class Advice:
    """What to ask Dataflow for.

    Attributes:
        machine: Type of every machine.
        workers: Number of machines, so many that a night is enough.
        hours: Hours on the clock, without those for starting up, reading and writing.
        core_hours: vCPU hours that are paid for.
    """

    machine: MachineType
    workers: int
    hours: float
    core_hours: float


def advise(typical: int, largest: int, megapixels: float, per_megapixel: float) -> Advice:
    """Choose machines.

    Args:
        typical: Peak bytes of the network on an image that most are no larger than.
        largest: Peak bytes of the network on the largest image.
        megapixels: Size of all images together.
        per_megapixel: Seconds that one core takes.
    """
    fitting = [each for each in MACHINE_TYPES if machine.usable(each.memory) >= needed(each.cores, typical, largest)]
    roomy = [each for each in MACHINE_TYPES if machine.usable(each.memory) >= needed(1, typical, largest)]
    chosen = (fitting or roomy or MACHINE_TYPES[-1:])[0]
    core_hours = megapixels * per_megapixel / 3600
    workers = max(1, math.ceil(core_hours / (NIGHT * chosen.cores)))
    return Advice(chosen, workers, core_hours / (workers * chosen.cores), core_hours)


def needed(cores: int, typical: int, largest: int) -> int:
    """Return the bytes that a machine's worker processes need, for a typical image each or for the largest alone."""
    return max(cores * (typical + BEAM_BYTES), largest + BEAM_BYTES)


def min_ram(machine_type: str | None, typical: int, largest: int) -> str:
    """Return the resource hint, which is for a whole machine and not for each of its cores."""
    cores = re.search(r"\d+$", machine_type or "")
    total = machine.total_for(needed(int(cores[0]) if cores else USUAL_CORES, typical, largest))
    return f"{math.ceil(total / 1e9)}GB"


def describe(advice: Advice, price: float | None) -> list[tuple[str, str]]:
    """Return lines for --dry-run.

    Args:
        advice: What to describe.
        price: Price of a vCPU hour with its memory; None where it is not known.
    """
    cores = advice.machine.cores
    kind = f"{advice.workers:,} x {advice.machine.name} of {cores} processes"
    lines = [
        ("on Dataflow", f"{kind} with one thread each, {text.duration(3600 * advice.hours)} of work,"
                        f" {advice.core_hours:,.1f} vCPU hours at this machine's speed"),
        ("options", f"--machine_type={advice.machine.name} --max_num_workers={advice.workers}"),
    ]  # fmt: skip
    if price is not None:
        lines.append(("would cost", f"about {price * advice.core_hours:,.2f} at {price:g} a vCPU hour"))
    return lines
