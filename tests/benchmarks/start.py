"""Processor time of a worker from its start to its first image, in fresh processes; it hardly waits for anything.

    python -m tests.benchmarks.start

A worker imports Beam's worker and the modules of its steps, loads the weights, and harmonizes a first image, which is
the slowest because oneDNN makes its plans then.
"""

import os
import statistics
import subprocess
import sys

import click

CODE = """
import os, time
began = time.process_time()
import apache_beam.runners.worker.sdk_worker_main
beam = time.process_time()
import hdnet.pipeline.graph
imported = time.process_time()
import numpy
from hdnet.pipeline.steps.pair import Harmonizing
from hdnet.pipeline.settings import Machine, Settings
harmonizer = Harmonizing.of(Settings(output="", run_id="", machine=Machine(plan=None))).harmonizer
loaded = time.process_time()
composite, mask = numpy.full(({size}, {size}, 3), 99, numpy.uint8), numpy.zeros(({size}, {size}), numpy.uint8)
mask[{size} // 4 : {size} // 2, {size} // 4 : {size} // 2] = 255
harmonizer(composite, mask)
print(beam - began, imported - beam, loaded - imported, time.process_time() - loaded, flush=True)
os._exit(0)  # a worker does not end here
"""
PARTS = ("Beam", "our imports", "weights", "first image")


def measure(size: int) -> list[float]:
    """Start a worker; return its processor seconds for each of `PARTS`, and in all with Python's own start."""
    began = os.times()
    done = subprocess.run([sys.executable, "-c", CODE.format(size=size)], capture_output=True, text=True, check=True)
    ended = os.times()
    whole = ended.children_user + ended.children_system - began.children_user - began.children_system
    return [*map(float, done.stdout.split()), whole]


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
