"""Where the time goes in catalogs as users run them.

    python -m tests.benchmarks.catalog                                  # all cases; hours
    python -m tests.benchmarks.catalog --pairs 12 --megapixels 1 --weights hdnet-lite

For each case the command runs on `--pairs` pairs with a worker for each core, and on a few, so that start-up can be
subtracted. Processor time is that of all processes; what one pair takes in each part is measured in this process, on
one thread, and the rest is Beam's, the launcher's and the threads' own.
"""

import contextlib
import csv
import dataclasses
import itertools
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import psutil
import torch

from hdnet.model import allocator
from hdnet.model.harmonizer import Harmonizer
from hdnet.model.weights import weights_header
from hdnet.pipeline.local import machine
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps import pair as pairs
from hdnet.transforms import storage
from hdnet.transforms.codecs import decode, encode, mask
from hdnet.transforms.pixels import image
from tests.benchmarks.pipeline import CATALOG, SHORT, command

PARTS = ("read", "decode", "network", "encode", "write", "score")
HEADINGS = ("MP", "format", "references", "weights", "images/s", *PARTS, "rest", "cores", "GB")
ROUNDS = 3
"""How often each part of a pair is timed."""

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Case:
    """What is run."""

    megapixels: float
    suffix: str
    references: bool
    weights: str


@dataclasses.dataclass(frozen=True)
class Used:
    """What a run used: seconds on the clock, processor seconds and the most bytes of all its processes."""

    seconds: float
    processor: float
    peak: int


@click.command()
@click.option("--pairs", "count", default=200, show_default=True)
@click.option("--megapixels", multiple=True, type=float, default=(1, 2, 12), show_default=True)
@click.option("--suffix", "suffixes", multiple=True, default=("jpg", "png"), show_default=True)
@click.option("--weights", multiple=True, help="Shipped names.  [default: all]")
def main(count: int, megapixels: Sequence[float], suffixes: Sequence[str], weights: Sequence[str]) -> None:
    """Print a table of images a second, processor milliseconds of each part of a pair, cores in use and memory."""
    torch.set_num_threads(1)
    click.echo(" | ".join(("", *HEADINGS, "")).strip() + "\n" + "|---" * len(HEADINGS) + "|")
    for each in itertools.product(megapixels, suffixes, (False, True), weights or weights_header.shipped()):
        case = Case(*each)
        with tempfile.TemporaryDirectory() as folder:
            click.echo(f"| {' | '.join(row(Path(folder), case, count))} |")


def row(root: Path, case: Case, count: int) -> Iterator[str]:
    """Measure a case and yield the cells of its row."""
    short, long = (write_catalog(root, case, number) for number in (SHORT, count))
    few, many = (run(manifest, root / manifest.stem, case) for manifest in (short, long))
    seconds = (many.seconds - few.seconds) / (count - SHORT)
    processor = (many.processor - few.processor) / (count - SHORT)
    parts = time_parts(root, case)
    yield from (f"{case.megapixels:g}", case.suffix, "yes" if case.references else "no", case.weights)
    yield f"{1 / seconds:.2f}"
    yield from (f"{1000 * parts[name]:.0f}" for name in PARTS)
    yield f"{1000 * (processor - sum(parts.values())):.0f}"
    yield from (f"{processor / seconds:.2f}", f"{many.peak / 1e9:.2f}")


def write_catalog(root: Path, case: Case, count: int) -> Path:
    """Write the example photographs at a size of 4 : 3 and a manifest of `count` pairs that names them in turn."""
    height = round((case.megapixels * 1e6 * 3 / 4) ** 0.5)
    size, names = (round(height * 4 / 3), height), []
    for photo in sorted((CATALOG / "composites").iterdir()):
        masks, references = (next((CATALOG / kind).glob(f"{photo.stem}.*"), photo) for kind in ("masks", "references"))
        files = {"composite": (photo, "RGB", case.suffix), "mask": (masks, "L", "png")}
        files |= {"reference": (references, "RGB", case.suffix)} if case.references else {}
        for kind, (path, mode, suffix) in files.items():
            target = root / f"{photo.stem}-{kind}.{suffix}"
            if not target.exists():
                with resized(path, mode, size) as picture:
                    picture.save(target, quality=92)
        names.append({kind: f"{photo.stem}-{kind}.{suffix}" for kind, (_, _, suffix) in files.items()})
    manifest = root / f"{count}.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", *names[0]])
        writer.writeheader()
        writer.writerows({"id": f"{i:06}", **names[i % len(names)]} for i in range(count))
    return manifest


def resized(path: Path, mode: str, size: tuple[int, int]) -> Any:
    """Open a photograph at another size."""
    from PIL import Image

    with Image.open(path) as picture:
        return picture.convert(mode).resize(size, Image.Resampling.BICUBIC)


def run(manifest: Path, output: Path, case: Case) -> Used:
    """Run the command with a worker of one thread for each core, and watch all its processes."""
    options = ("--weights", case.weights, "--workers", str(machine.available_cores()))
    began = time.perf_counter()
    with subprocess.Popen(
        command(manifest, output, *options), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as job:
        watch = Watch(job.pid)
        watch.start()
        code = job.wait()
        seconds = time.perf_counter() - began
        watch.join()
    if code:
        raise click.ClickException(f"the run ended with {code}: {' '.join(command(manifest, output, *options))}")
    return Used(seconds, sum(watch.processor.values()), watch.peak)


class Watch(threading.Thread):
    """Watches a process and all below it until it ends: processor seconds of each, and the most memory of all."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.job, self.peak, self.processor = psutil.Process(pid), 0, dict[int, float]()

    def run(self) -> None:
        """Look four times a second."""
        while self.job.is_running():
            held, family = 0, [self.job]
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                family += self.job.children(recursive=True)
            for process in family:
                try:
                    times = process.cpu_times()
                    self.processor[process.pid] = times.user + times.system
                    held += process.memory_full_info().pss
                except psutil.Error:  # it has ended
                    continue
            self.peak = max(self.peak, held)
            time.sleep(0.25)


def time_parts(root: Path, case: Case) -> dict[str, float]:
    """Return the processor seconds of each part of one pair, the median over some pairs."""
    allocator.keep_strips()
    settings = Settings(output=str(root / "parts"), run_id="parts", weights=case.weights)
    harmonizer = Harmonizer.load(case.weights, precision="auto")
    with (root / f"{SHORT}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [one_pair(root, row, harmonizer, settings) for row in (rows[:1] + rows * ROUNDS)[: 1 + ROUNDS]]
    return {name: statistics.median(each[name] for each in found[1:]) for name in PARTS}


def one_pair(root: Path, row: dict[str, str], harmonizer: Harmonizer, settings: Settings) -> dict[str, float]:
    """Do the work on one pair, part by part."""
    spent = dict.fromkeys(PARTS, 0.0)

    def timed(name: str, call: Callable[[], Result]) -> Result:
        began = time.process_time()
        result = call()
        spent[name] += time.process_time() - began
        return result

    uris = [str(root / row[kind]) for kind in ("composite", "mask", "reference") if kind in row]
    files = timed("read", lambda: pairs.fetch(uris, settings))
    picture, *others = timed("decode", lambda: [decode.decode(file.data, file.uri) for file in (files[0], *files[2:])])
    soft = timed("decode", lambda: mask.decode_mask(files[1].data, files[1].uri))
    label = 0 if harmonizer.classes else None
    result = timed("network", lambda: harmonizer(picture.pixels, soft, label))
    encoded = timed("encode", lambda: encode.encode(picture, result))
    timed("write", lambda: storage.write(root / f"part-{row['id']}", encoded))
    reference = others[0].pixels if others else None
    timed("score", lambda: pairs.score(picture.pixels, result, reference, image.threshold(soft)))
    return spent


if __name__ == "__main__":
    main()
