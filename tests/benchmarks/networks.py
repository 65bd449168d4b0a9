"""Time networks from small images to large ones, beside what an image of that size costs without any network.

    python -m tests.benchmarks.networks
    python -m tests.benchmarks.networks --network s2crnet --network hdnet-lite --sizes 2048,8192

The image and its mask, a square of a quarter of the area, are those of `tests.benchmarks.engine`. Each figure comes
from a process of its own: the fastest of several calls, which other work on the machine disturbs least, and the most
memory that the process has held. A case whose estimate is larger than the memory that is free is left out.
"""

import dataclasses
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import torch

from hdnet.model import architectures
from hdnet.model.architectures.base import Network
from hdnet.model.harmonizer import Harmonizer, choose_precision
from hdnet.model.weights import weights_file
from hdnet.pipeline.local import machine
from hdnet.transforms.codecs import decode, encode
from tests.benchmarks import engine

ALONE = ("decode", "copy", "encode")
"""What an image costs without a network, as JPEG."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One figure of the table: a network or one of `ALONE`, at a size, on so many threads."""

    name: str
    size: int
    threads: int
    runs: int
    folder: str


def network(name: str) -> Network:
    """Return the weights that ship, those of a file, or random ones of an architecture that ships without."""
    torch.manual_seed(0)
    if name in architectures.ARCHITECTURES and name not in weights_file.shipped():
        return architectures.build(name).eval()
    return weights_file.load_network(name)


def harmonizer(name: str) -> Harmonizer:
    """Return a network on the CPU, in the precision that suits this machine."""
    device = torch.device("cpu")
    return Harmonizer(network(name), device, choose_precision("auto", device))


def save_pictures(folder: str, sizes: Sequence[int]) -> None:
    """Write the images, so that a process which reads one never held what making it takes."""
    for size in sizes:
        for name, array in zip(("composite", "mask"), engine.picture(size), strict=True):
            np.save(f"{folder}/{name}-{size}", array)


def work(case: Case) -> Callable[[], object]:
    """Return what a case times."""
    composite, mask = (np.load(f"{case.folder}/{name}-{case.size}.npy") for name in ("composite", "mask"))
    if case.name == "copy":
        return lambda: composite.copy()
    if case.name not in ALONE:
        run = harmonizer(case.name)
        return lambda: run(composite, mask)
    file = engine.PHOTO.read_bytes()
    picture = dataclasses.replace(decode.decode(file, "photo"), pixels=composite)
    if case.name == "encode":
        return lambda: encode.encode(picture, composite, "jpeg", 95)
    data = encode.encode(picture, composite, "jpeg", 95)
    return lambda: decode.decode(data, "photo", max_pixels=case.size**2)


def measure(case: Case) -> tuple[float, int]:
    """Return the seconds of the fastest call, and the most bytes that this process has held."""
    torch.set_num_threads(case.threads)
    run = work(case)
    fastest = min(engine.seconds(run) for _ in range(case.runs + 1))
    status = Path("/proc/self/status").read_text()  # not ru_maxrss: a process inherits that from its parent
    return fastest, int(status.split("VmHWM:")[1].split()[0]) * 1024


def fits(name: str, size: int) -> bool:
    """Say whether a network's estimate for a size is within what is free."""
    return name in ALONE or harmonizer(name).estimate(size, size) < machine.available_memory()


def row(cases: Sequence[Case]) -> str:
    """Measure one network at one size, each number of threads in its own process, and return the table's line."""
    first = cases[0]
    if not fits(first.name, first.size):
        return f"| {first.name} | {first.size} |" + " - |" * (len(cases) + 1)
    found: list[tuple[float, int]] = []
    for case in cases:
        os.environ["OMP_NUM_THREADS"] = str(case.threads)
        # Spawned, for a forked process starts with its parent's memory.
        with multiprocessing.get_context("spawn").Pool(1) as child:
            found.append(child.apply(measure, (case,)))
    times = " | ".join(f"{seconds:.3f}" for seconds, _ in found)
    return f"| {first.name} | {first.size} | {times} | {max(peak for _, peak in found) / 1e9:.2f} |"


def _numbers(_: click.Context, __: click.Parameter, value: str) -> list[int]:
    return [int(part) for part in value.split(",")]


@click.command()
@click.option("--network", "names", multiple=True, help="Weights or an architecture.  [default: all that ship]")
@click.option("--sizes", default="256,1024,2048,4096,8192", callback=_numbers, help="Heights, and widths.")
@click.option("--threads", default="1,2", callback=_numbers)
@click.option("--runs", default=5, show_default=True)
def main(names: tuple[str, ...], sizes: list[int], threads: list[int], runs: int) -> None:
    """Print a table: seconds on each number of threads, and peak memory, by network and size."""
    header = ["network", "size", *(f"s, {count} thread{'s' * (count > 1)}" for count in threads), "peak GB"]
    click.echo(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    with tempfile.TemporaryDirectory() as folder:
        save_pictures(folder, sizes)
        for name in (*ALONE, *(names or sorted(weights_file.shipped()))):
            for size in sizes:
                click.echo(row([Case(name, size, count, runs, folder) for count in threads]))


if __name__ == "__main__":
    main()
