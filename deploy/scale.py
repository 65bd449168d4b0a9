"""The time and cost of catalogs of millions of images, computed from measurements of one machine.

python -m deploy.scale measure > deploy/measured.json
python -m deploy.scale table --vcpu-hour 0.056 --gb-hour 0.003557
"""

import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from apache_beam.coders.typecoders import registry as coders
from PIL import Image
from pyarrow import parquet

from hdnet.model.precision import PRECISIONS
from hdnet.model.weights import weights_header
from hdnet.pipeline.layout import Layout
from hdnet.pipeline.local.machine import available_cores
from hdnet.pipeline.steps import journal, write
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.rows import STAGES

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "catalog" / "composites" / "astronaut.jpg"
MEASURED = ROOT / "deploy" / "measured.json"

MEGAPIXELS = 2.0
SIZE = (1600, 1250)
"""Width and height of the images that are measured, `MEGAPIXELS` in all."""
CASES = tuple((name, precision) for name in weights_header.shipped() for precision in PRECISIONS)
MILLIONS = (1, 10, 100)
NIGHT = 8
"""Hours in a night."""


@dataclasses.dataclass(frozen=True)
class Prices:
    """Prices of Dataflow and Cloud Storage in dollars; the command's defaults are examples.

    Attributes:
        vcpu_hour: An hour of a worker's vCPU.
        gb_hour: An hour of a gigabyte of a worker's memory.
        shuffled_gb: A gigabyte that a shuffle processes.
        write: An object written.
        read: An object read.
    """

    vcpu_hour: float
    gb_hour: float
    shuffled_gb: float
    write: float
    read: float


def dollars(millions: float, hours: float, gigabytes: float, bytes_shuffled: float, prices: Prices) -> float:
    """Return the price of a run that reads 3 files and writes 1 for each image.

    Args:
        millions: The number of images in millions.
        hours: vCPU hours.
        gigabytes: Gigabytes of memory for each vCPU.
        bytes_shuffled: Bytes that are shuffled for each image.
        prices: What each of these costs.
    """
    images = millions * 1e6
    workers = hours * (prices.vcpu_hour + gigabytes * prices.gb_hour)
    return workers + images * (bytes_shuffled / 1e9 * prices.shuffled_gb + prices.write + 3 * prices.read)


def table(measured: dict[str, Any], waiting: float, gigabytes: float, prices: Prices) -> str:
    """Return the table of time and cost as Markdown; each image waits `waiting` seconds for the object store."""
    lines = [
        "| images | weights | precision | s per image | vCPU-hours | vCPUs for a night | dollars |",
        "|---|---|---|---|---|---|---|",
    ]
    for millions in MILLIONS:
        for case, stages in measured["seconds_per_megapixel"].items():
            seconds = MEGAPIXELS * sum(stages.values()) + waiting
            hours = millions * 1e6 * seconds / 3600
            cost = dollars(millions, hours, gigabytes, measured["bytes_shuffled"], prices)
            lines.append(
                f"| {millions} million | {' | '.join(case.split())} | {seconds:.2f}"
                f" | {hours:,.0f} | {hours / NIGHT:,.0f} | {cost:,.0f} |"
            )
    return "\n".join(lines)


def load(measured: dict[str, Any], waiting: float) -> str:
    """Return the table of what the fastest case demands of storage and shuffle in one night."""
    stages = min(measured["seconds_per_megapixel"].values(), key=lambda each: sum(each.values()))
    lines = [
        "| images | writes per second | reads per second | GB shuffled | Parquet files | journal files |",
        "|---|---|---|---|---|---|",
    ]
    for millions in MILLIONS:
        images, night = millions * 1_000_000, NIGHT * 3600
        processes = images * (MEGAPIXELS * sum(stages.values()) + waiting) / night
        lines.append(
            f"| {millions} million | {images / night:,.0f} | {3 * images / night:,.0f}"
            f" | {images * measured['bytes_shuffled'] / 1e9:,.1f} | {write.file_count(images):,}"
            f" | {processes * journal_files(night):,.0f} |"
        )
    return "\n".join(lines)


def journal_files(seconds: float) -> int:
    """Return how many journal files one process writes in a run of that length."""
    files, at = 0, 0.0
    while at < seconds:
        at += min(journal.LONGEST, max(journal.SHORTEST, journal.FRACTION * at))
        files += 1
    return files


def measure(folder: Path, images: int) -> dict[str, Any]:
    """Harmonize `images` images with all weights that ship, with one process of one thread on each core.

    Returns:
        machine: The machine that was measured.
        seconds_per_megapixel: For each "weights precision", the seconds of each stage of one worker.
        bytes_shuffled: Bytes of one image's pair, which is spread over the workers, and of its row, which is grouped
            by file.
    """
    manifest = _catalog(folder, images)
    found = {f"{name} {precision}": _run(folder, manifest, name, precision) for name, precision in CASES}
    machine = f"{available_cores()} cores, {_processor()}; one process of one thread on each"
    return {"machine": machine, "seconds_per_megapixel": found, "bytes_shuffled": _bytes_shuffled(folder, manifest)}


def _catalog(folder: Path, images: int) -> Path:
    photo = Image.open(PHOTO).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
    mask = Image.new("L", SIZE)
    mask.paste(255, (SIZE[0] // 4, SIZE[1] // 4, SIZE[0] * 3 // 4, SIZE[1] * 3 // 4))
    mask.save(folder / "mask.png")
    lines = ["id,composite,mask"]
    for number in range(images):
        photo.save(folder / f"{number}.jpg", quality=95)
        lines.append(f"{number},{number}.jpg,mask.png")
    path = folder / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _run(folder: Path, manifest: Path, name: str, precision: str) -> dict[str, float]:
    """Run the command on the catalog and return the seconds per megapixel of each stage."""
    words = ["--input", manifest, "--output", folder / name, "--weights", name, "--run-id", precision,
             "--precision", precision, "--workers", str(available_cores()), "--no-resume", "--no-report"]  # fmt: skip
    command = [sys.executable, "-m", "hdnet.pipeline.run", *map(str, words)]
    subprocess.run(command, check=True, stdout=sys.stderr, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    totals = json.loads(Path(Layout(str(folder / name), precision).summary).read_text())["totals"]
    return {stage: round(totals["seconds"][stage] / (totals["pixels"] / 1e6), 3) for stage in STAGES}


def _bytes_shuffled(folder: Path, manifest: Path) -> int:
    name, precision = CASES[0]
    (file,) = Path(Layout(str(folder / name), precision).metrics).glob("part-*")
    row = parquet.read_table(file, partitioning=None).to_pylist()[0]
    pair = Pair(id=row["id"], composite=row["composite"], mask=row["mask"], source=str(manifest))
    return sum(len(coders.get_coder(type(each)).encode(each)) for each in (pair, row))


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@click.group()
def main() -> None:
    """Compute what catalogs of millions of images take and cost."""


@main.command("measure")
@click.option("--images", default=4, show_default=True)
def measure_command(images: int) -> None:
    """Time all weights that ship, in every precision, on this machine and print JSON."""
    with tempfile.TemporaryDirectory() as folder:
        click.echo(json.dumps(measure(Path(folder), images), indent=1))


# The defaults are examples; see cloud.google.com/dataflow/pricing and cloud.google.com/storage/pricing.
@main.command("table")
@click.option("--vcpu-hour", default=0.056, show_default=True, help="Dollars for a worker's vCPU.")
@click.option("--gb-hour", default=0.003557, show_default=True, help="Dollars for a worker's memory.")
@click.option("--shuffled-gb", default=0.011, show_default=True, help="Dollars for shuffling.")
@click.option("--write", default=5e-6, show_default=True, help="Dollars for an object written.")
@click.option("--read", default=4e-7, show_default=True, help="Dollars for an object read.")
@click.option("--waiting", default=0.2, show_default=True, help="Seconds that an image waits for the object store.")
@click.option("--gigabytes", default=4.0, show_default=True, help="Memory for each vCPU.")
def table_command(waiting: float, gigabytes: float, **prices: float) -> None:
    """Print the time and cost of 1, 10 and 100 million images, and what they demand of storage and shuffle."""
    measured = json.loads(MEASURED.read_text())
    click.echo(f"{table(measured, waiting, gigabytes, Prices(**prices))}\n\n{load(measured, waiting)}")


if __name__ == "__main__":
    main()
