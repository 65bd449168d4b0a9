"""Time and memory of the main job, run as users run it, on catalogs made of the example photographs.

    python -m tests.benchmarks.pipeline overhead    # everything but the network, at 1024 x 1024
    python -m tests.benchmarks.pipeline rows        # a row of 32 x 32 pixels
    python -m tests.benchmarks.pipeline workers     # two workers against one
    python -m tests.benchmarks.pipeline memory      # does a worker grow?
    python -m tests.benchmarks.pipeline waiting     # an object store that takes its time

Start-up is cancelled out by subtracting a short run from a long one. Runs to be compared take turns.
"""

import contextlib
import csv
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import psutil
from PIL import Image

from hdnet.transforms import storage
from tests import emulators

CATALOG = Path(__file__).parents[2] / "examples/catalog"
PROGRAM = [sys.executable, "-m", "hdnet.pipeline.run"]
SHORT = 4
"""Number of pairs of the run that is subtracted."""


def write_catalog(root: Path, count: int, sizes: Sequence[int], suffix: str) -> Path:
    """Write the example photographs as squares of `sizes`, and a manifest of `count` pairs that names them in turn."""
    photos = sorted((CATALOG / "composites").iterdir())
    files = []
    for photo, size in itertools.product(photos, dict.fromkeys(sizes)):
        composite, mask = root / f"{photo.stem}-{size}.{suffix}", root / f"{photo.stem}-{size}-mask.png"
        _square(photo, size).save(composite, quality=92)
        _square(next((CATALOG / "masks").glob(f"{photo.stem}.*")), size).convert("L").save(mask)
        files.append((composite.name, mask.name))
    path = root / f"{count}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "composite", "mask"])
        # A thousand to a folder, as a real catalog would be.
        writer.writerows((f"{i // 1000:03}/{i:06}", *files[i % len(files)]) for i in range(count))
    return path


def _square(path: Path, size: int) -> Image.Image:
    with Image.open(path) as picture:
        return picture.resize((size, size), Image.Resampling.BICUBIC)


def command(manifest: Path | str, output: Path | str, *options: str) -> list[str]:
    """Return the command that harmonizes a manifest."""
    places = ["--input", str(manifest), "--output", str(output)]
    return [*PROGRAM, *places, "--run-id", "run", "--no-report", *options]


def run(manifest: Path, *options: str, cores: Sequence[int] = ()) -> tuple[float, dict[str, Any]]:
    """Run the job on some cores, or on all; return the seconds on the clock and the content of runs/<run>.json."""
    with tempfile.TemporaryDirectory() as output:
        began = time.perf_counter()
        pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
        done = subprocess.run(command(manifest, Path(output), *options), capture_output=True, text=True, preexec_fn=pin)
        seconds = time.perf_counter() - began
        if done.returncode:
            raise click.ClickException(done.stderr)
        return seconds, json.loads((Path(output) / "runs/run.json").read_text())


def each(short: Path, long: Path, pairs: int, *options: str, cores: Sequence[int] = ()) -> tuple[float, float]:
    """Return the seconds that one more pair takes, on the clock and in the network."""
    fixed, _ = run(short, *options, cores=cores)
    whole, content = run(long, *options, cores=cores)
    return (whole - fixed) / (pairs - SHORT), content["totals"]["seconds"]["network"] / pairs


@click.group()
def main() -> None:
    """Measure the main job."""


@main.command()
@click.option("--size", default=1024, show_default=True)
@click.option("--pairs", default=16, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def overhead(size: int, pairs: int, rounds: int) -> None:
    """Compare all of a pair with its network alone: hdnet-lite, float32, one worker."""
    for suffix in ("jpg", "png"):
        with tempfile.TemporaryDirectory() as folder:
            short, long = (write_catalog(Path(folder), count, [size], suffix) for count in (SHORT, pairs))
            found = [each(short, long, pairs, "--workers", "1", "--precision", "float32") for _ in range(rounds)]
        network = statistics.median(inside for _, inside in found)
        share = statistics.median((whole - inside) / inside for whole, inside in found)
        click.echo(f"{suffix} {size} x {size}: network {network:.3f} s, all else {share:.1%} of it")


@main.command()
@click.option("--rows", "count", default=10_000, show_default=True)
def rows(count: int) -> None:
    """Time a row of 32 x 32 pixels, on all cores."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = (write_catalog(Path(folder), number, [32], "png") for number in (SHORT, count))
        whole, inside = each(short, long, count)
    click.echo(
        f"{count} rows of 32 x 32: {1000 * whole:.1f} ms a row, {1000 * inside:.1f} ms of a worker's in the network"
    )


@main.command()
@click.option("--size", default=512, show_default=True)
@click.option("--pairs", default=48, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def workers(size: int, pairs: int, rounds: int) -> None:
    """Compare two workers of one thread on two cores with one of one thread on one core."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = (write_catalog(Path(folder), count, [size], "jpg") for count in (SHORT, pairs))
        ratios = []
        for _ in range(rounds):
            one, _ = each(short, long, pairs, "--workers", "1", cores=[0])
            two, _ = each(short, long, pairs, "--workers", "2", cores=[0, 1])
            ratios.append(one / two)
            click.echo(f"one {1 / one:.2f}, two {1 / two:.2f} images a second: {one / two:.2f} times")
    click.echo(f"two workers at {size} x {size}: {statistics.median(ratios):.2f} times one")


@main.command()
@click.option("--pairs", default=1000, show_default=True)
def memory(pairs: int) -> None:
    """Watch the memory of one worker over images of mixed sizes, from the 50th on."""
    sizes = [64, 320, 128, 256, 192, 384]
    with tempfile.TemporaryDirectory() as folder:
        manifest, output = write_catalog(Path(folder), pairs, sizes, "jpg"), Path(folder) / "out"
        job = subprocess.Popen(command(manifest, output, "--workers", "1"), stderr=subprocess.DEVNULL)
        seen = list(_watch(job, output))
    start, end = (statistics.median(rss for done, rss in seen if low <= done <= high)
                  for low, high in ((50, pairs // 10 + 50), (pairs - pairs // 10, pairs)))  # fmt: skip
    peaks = [max(rss for done, rss in seen if done <= limit) for limit in (pairs // 5, pairs)]
    click.echo(
        f"resident around the 50th image {start / 1e6:.0f} MB, the {pairs}th {end / 1e6:.0f} MB: {end / start:.3f}"
    )
    click.echo(f"peak in the first fifth {peaks[0] / 1e6:.0f} MB, in all {peaks[1] / 1e6:.0f} MB")


def _watch(job: "subprocess.Popen[bytes]", output: Path) -> Iterator[tuple[int, int]]:
    """Yield images written and the resident bytes of the largest process, again and again until the job ends."""
    while job.poll() is None:
        done = sum(1 for _ in (output / "images").rglob("*.jpg"))
        with contextlib.suppress(psutil.NoSuchProcess):
            # The job works in a process that the one started here watches over.
            below = psutil.Process(job.pid).children(recursive=True)
            yield done, max((each.memory_info().rss for each in below), default=0)
        time.sleep(0.05)


@main.command()
@click.option("--size", default=1024, show_default=True)
@click.option("--pairs", default=200, show_default=True)
@click.option("--delay", default=0.2, show_default=True, help="Seconds that each request waits.")
@click.option("--rounds", default=3, show_default=True)
def waiting(size: int, pairs: int, delay: float, rounds: int) -> None:
    """Compare two workers on an object store that answers late with two on one that answers at once.

    The run that is subtracted is a third as long, so that both look at as many headers before they start.
    """
    short = pairs // 3
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        proxy = stack.enter_context(emulators.Proxy(stack.enter_context(emulators.gcs()), lambda _: None))
        os.environ.update(emulators.environment("gs", proxy.address))
        for count in (short, pairs):
            write_catalog(folder, count, [size], "jpg")
        for path in folder.iterdir():
            storage.write(f"gs://{emulators.BUCKET}/{path.name}", path.read_bytes())
        losses = []
        for _ in range(rounds):
            found = []
            for proxy.delay in (0.0, delay):
                fixed, whole = (_on_store(count) for count in (short, pairs))
                found.append((whole - fixed) / (pairs - short))
            losses.append(found[1] / found[0] - 1)
            click.echo(f"at once {found[0]:.3f}, late {found[1]:.3f} s a pair: {losses[-1]:+.1%}")
    click.echo(f"{size} x {size}, {delay} s a request: {statistics.median(losses):+.1%}")


def _on_store(count: int) -> float:
    """Return the seconds of a run of two workers with its catalog and output on the store."""
    root = f"gs://{emulators.BUCKET}"
    began = time.perf_counter()
    subprocess.run(
        command(f"{root}/{count}.csv", f"{root}/{uuid.uuid4()}", "--workers", "2"), check=True, capture_output=True
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
