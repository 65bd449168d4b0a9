"""What may happen at night, tried on this machine: ten nights, kills, a second night, a million rows, many images.

python -m tests.benchmarks.nights ten       # ten nights with bad files, new failures and a new column
python -m tests.benchmarks.nights kills     # 30 kills at random moments, each followed by the run again
python -m tests.benchmarks.nights second    # a night on which one pair in a hundred has changed
python -m tests.benchmarks.nights rows      # a million rows through everything but the pixels
python -m tests.benchmarks.nights soak      # twenty thousand small pairs
"""

import contextlib
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import psutil
from pyarrow import dataset

from tests import ten_nights
from tests.benchmarks.pipeline import PROGRAM, command, write_catalog

NULL = """
import sys
if "hdnet.pipeline.local.worker" in sys.orig_argv:
    import random
    from datetime import UTC, datetime
    from hdnet.pipeline.steps import pair
    from hdnet.transforms.catalog.rows import METRICS_SCHEMA, VERSIONS, MetricsRow

    OPTIONAL = ("reference", "reference_sha256", "flags", "mse", "fmse", "psnr", "fpsnr", "ssim", "fssim")
    OPTIONAL += tuple("input_" + name for name in OPTIONAL[3:])

    def made_up(kind, chance):
        made = {"string": lambda: chance.randbytes(32).hex(), "double": chance.random}
        return made.get(str(kind), lambda: 1)()

    def harmonize(task, worker, stages, under_way):
        chance = random.Random(task.pair.id)  # hashes and scores that compress as badly as real ones
        row = {field.name: None if field.name in OPTIONAL else made_up(field.type, chance)
               for field in METRICS_SCHEMA}
        known = {"id": task.pair.id, "composite": task.pair.composite, "mask": task.pair.mask,
                 "output": worker.settings.layout.image(task.pair.id, ".png"), "harmonized_at": datetime.now(UTC),
                 "weights_sha256": worker.weights_sha256,
                 "options": worker.settings.image.record(),
                 "arch": worker.arch, "precision": worker.harmonizer.precision}
        yield
        yield
        return MetricsRow(**row | known | dict(zip(VERSIONS, task.versions)))

    pair.harmonize = harmonize
"""
"""`sitecustomize` of worker processes: they open no pair, and make its row up."""


@click.group()
def main() -> None:
    """Try what may happen at night."""


@main.command()
@click.option("--pairs", default=500, show_default=True)
def ten(pairs: int) -> None:
    """Run ten nights: what they count, their exit codes, and what readers see of all tables."""
    with tempfile.TemporaryDirectory() as folder:
        shop = ten_nights.Shop(Path(folder), pairs, bad=5, new=3, changed=10)
        click.echo("| night | exit code | done | up to date | failed | new | alert |\n|---|---|---|---|---|---|---|")
        for night in shop.nights(lambda given: subprocess.run([*PROGRAM, *given], capture_output=True).returncode):
            counts = " | ".join(str(night.totals[name]) for name in ("done", "skipped", "failed", "new"))
            click.echo(f"| {night.number} | {night.exit_code} | {counts} | {', '.join(night.alerts)} |")
        click.echo(f"\n| reader | rows | runs | rows with the column of night {ten_nights.GROWS} |\n|---|---|---|---|")
        for reader, seen in ten_nights.read(shop.output).items():
            click.echo(f"| {reader} | {seen.rows} | {seen.runs} | {seen.grown} |")


@main.command()
@click.option("--pairs", default=300, show_default=True)
@click.option("--count", default=30, show_default=True)
@click.option("--seed", default=0, show_default=True)
def kills(pairs: int, count: int, seed: int) -> None:
    """Kill the job, or one worker, at random moments; run it again each time; compare with an undisturbed run."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        manifest = write_catalog(root, pairs, [64, 128, 96], "jpg")
        began = time.perf_counter()
        subprocess.run(command(manifest, root / "calm", "--workers", "2"), check=True, capture_output=True)
        seconds, dice = time.perf_counter() - began, random.Random(seed)
        killed = Counter(
            _killed(command(manifest, root / "out", "--workers", "2"), dice, seconds) for _ in range(count)
        )
        subprocess.run(command(manifest, root / "out", "--workers", "2"), check=True, capture_output=True)
        faults = list(_differences(root / "calm", root / "out", pairs))
    click.echo(
        f"{pairs} pairs, {dict(killed)}: {'; '.join(faults) or 'the same images, each id once, nothing left over'}"
    )
    sys.exit(bool(faults))


def _killed(arguments: list[str], dice: random.Random, seconds: float) -> str:
    """Run the job, kill a process of it at a random moment of `seconds`, and wait for its end."""
    with subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as job:
        time.sleep(dice.uniform(0, seconds))
        below = _family(job.pid)[1:]
        if below and dice.random() < 0.5:
            with contextlib.suppress(psutil.NoSuchProcess):
                dice.choice(below).kill()
            job.wait()
            return "a worker killed"
        job.kill()
        psutil.wait_procs(below)  # nothing that the job has started outlives it
        return "all killed"


def _family(pid: int) -> list[psutil.Process]:
    """Return a process and all below it, parents first; nothing if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _differences(calm: Path, out: Path, pairs: int) -> Iterator[str]:
    first, second = (
        {path.relative_to(root): path.read_bytes() for path in (root / "images").rglob("*.jpg")} for root in (calm, out)
    )
    if first != second:
        yield f"{len(first.items() ^ second.items())} images differ"
    ids = Counter(dataset.dataset(out / "metrics").to_table(columns=["id"])["id"].to_pylist())
    if len(ids) != pairs or set(ids.values()) != {1}:
        yield f"{len(ids)} ids in {ids.total()} rows"
    if left := [path for path in out.rglob("*") if "tmp" in path.name or "journal" in path.name]:
        yield f"{len(left)} files left over"


@main.command()
@click.option("--pairs", default=2000, show_default=True)
@click.option("--size", default=512, show_default=True)
@click.option("--changed", default=0.01, show_default=True, help="Share of the pairs that change; 0 for a quiet night.")
def second(pairs: int, size: int, changed: float) -> None:
    """Compare a first night with a second one, before which some pairs have changed."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        manifest = _own_files(root, write_catalog(root, pairs, [size], "jpg"))
        nights = []
        for night in ("first", "second"):
            began = time.perf_counter()
            subprocess.run([*command(manifest, root / "out"), "--run-id", night], check=True, capture_output=True)
            nights.append(time.perf_counter() - began)
            for path in sorted((root / "own").glob("*.jpg"))[: round(changed * pairs)]:
                path.touch()
        totals = json.loads((root / "out/runs/second.json").read_text())["totals"]
    done = f"{totals['done']} done, {totals['skipped']} skipped"
    click.echo(
        f"{pairs} pairs: first night {nights[0]:.0f} s, second {nights[1]:.1f} s ({done}): {nights[1] / nights[0]:.1%}"
    )


def _own_files(root: Path, manifest: Path) -> Path:
    """Give each pair a composite of its own, so that each can change by itself."""
    (root / "own").mkdir()
    rows = list(csv.DictReader(manifest.read_text().splitlines()))
    for i, row in enumerate(rows):
        (root / "own" / f"{i}-{row['composite']}").write_bytes((root / row["composite"]).read_bytes())
        row["composite"] = f"own/{i}-{row['composite']}"
    path = root / "own.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@main.command()
@click.option("--rows", "count", default=1_000_000, show_default=True)
def rows(count: int) -> None:
    """Send a manifest's rows through reading, resume, shuffles, flags and Parquet, and open no pair."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        manifest = write_catalog(root, count, [32], "png")
        (root / "path").mkdir()
        (root / "path/sitecustomize.py").write_text(NULL)
        search = os.pathsep.join([str(root / "path"), os.getcwd()])
        began = time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": search}
        whole = command(manifest, root / "out", "--workers", "2")
        with subprocess.Popen(whole, env=environment, stderr=subprocess.PIPE) as job:
            peak = _peak(job)
        seconds = time.perf_counter() - began
        files = [path for path in (root / "out").rglob("*.parquet")]
        totals = json.loads((root / "out/runs/run.json").read_text())["totals"]
    click.echo(f"{count} rows, {totals['done']} done in {seconds:.0f} s: {count / seconds:.0f} rows a second;"
               f" all processes {peak / 1e9:.2f} GB at most; {len(files)} Parquet files")  # fmt: skip
    sys.exit(totals["done"] != count)


@main.command()
@click.option("--pairs", default=20_000, show_default=True)
@click.option("--size", default=64, show_default=True)
def soak(pairs: int, size: int) -> None:
    """Harmonize many small pairs; does a worker grow after its thousandth image?"""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        whole = command(write_catalog(root, pairs, [size], "jpg"), root / "out", "--workers", "2")
        began, early, last = time.perf_counter(), 0, 0
        with subprocess.Popen(whole, stderr=subprocess.DEVNULL) as job:
            while job.poll() is None:
                done = sum(1 for _ in (root / "out/images").rglob("*.jpg"))
                # Only while the network is at work: `rows` measures what Beam holds at the end.
                last = _largest_worker(job.pid) if done < pairs else last
                early = early or (done >= 1000 and last) or 0
                time.sleep(5)
        seconds = time.perf_counter() - began
        files = sum(1 for path in (root / "out").rglob("*") if path.is_file())
        totals = json.loads((root / "out/runs/run.json").read_text())["totals"]
    click.echo(f"{pairs} pairs of {size} x {size}, {totals['done']} done in {seconds:.0f} s: {pairs / seconds:.0f}"
               f" images a second; a worker {early / 1e6:.0f} MB at image 1,000, {last / 1e6:.0f} MB at the end;"
               f" {files} files")  # fmt: skip
    sys.exit(totals["done"] != pairs)


def _largest_worker(pid: int) -> int:
    """Return the bytes of the largest worker; workers are below the process that the watching one started."""
    return max(map(_proportional_set, _family(pid)[2:]), default=0)


def _peak(job: "subprocess.Popen[bytes]") -> int:
    """Return the most bytes that a job's processes held together, shared pages counted once."""
    most = 0
    drain: Callable[[], bytes] = lambda: job.stderr.read() if job.stderr else b""  # noqa: E731
    reader = threading.Thread(target=drain)
    reader.start()
    while job.poll() is None:
        most = max(most, sum(map(_proportional_set, _family(job.pid))))
        time.sleep(0.5)
    reader.join()
    return most


def _proportional_set(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it has ended
        return 0


if __name__ == "__main__":
    main()
