"""Time a worker from its start to its first image, in fresh processes.

    python -m tests.benchmarks.start

A worker imports Beam's worker and the modules of its steps, loads the weights, and harmonizes a first image, which is
the slowest because oneDNN makes its plans then.
"""

import statistics
import subprocess
import sys
import time

import click

CODE = """
import os, time
began = time.perf_counter()
import apache_beam.runners.worker.sdk_worker_main
beam = time.perf_counter()
import hdnet.pipeline.graph
imported = time.perf_counter()
import numpy
from hdnet.pipeline.steps.pair import Worker
from hdnet.pipeline.settings import Machine, Settings
harmonizer = Worker.load(Settings(output="", run_id="", machine=Machine(plan=None))).harmonizer
loaded = time.perf_counter()
composite, mask = numpy.full(({size}, {size}, 3), 99, numpy.uint8), numpy.zeros(({size}, {size}), numpy.uint8)
mask[{size} // 4 : {size} // 2, {size} // 4 : {size} // 2] = 255
harmonizer(composite, mask)
print(beam - began, imported - beam, loaded - imported, time.perf_counter() - loaded, flush=True)
os._exit(0)  # a worker does not end here
"""
PARTS = ("Beam", "our imports", "weights", "first image")


def measure(size: int) -> list[float]:
    """Start a worker; return its seconds for each of `PARTS`, and in all with Python's own start."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CODE.format(size=size)], capture_output=True, text=True, check=True)
    return [*map(float, done.stdout.split()), time.perf_counter() - began]


@click.command()
@click.option("--size", default=256, show_default=True, help="Height and width of the image.")
@click.option("--rounds", default=5, show_default=True)
def main(size: int, rounds: int) -> None:
    """Start a worker several times and print the medians and the slowest start."""
    found = [measure(size) for _ in range(rounds)]
    *parts, whole = (statistics.median(column) for column in zip(*found, strict=True))
    each = ", ".join(f"{name} {seconds:.2f}" for name, seconds in zip(PARTS, parts, strict=True))
    click.echo(f"start to first image {whole:.2f} s (slowest {max(row[-1] for row in found):.2f}): {each}")


if __name__ == "__main__":
    main()
