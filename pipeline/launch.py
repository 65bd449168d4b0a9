"""From a command's options to a finished run: checks, the machine divided, the pipeline run, the outcome told."""

import contextlib
import dataclasses
import io
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import apache_beam as beam
import click
from apache_beam.options import pipeline_options
from apache_beam.options.pipeline_options import PipelineOptions
from pyarrow import parquet

from model import weights
from model.config import HDNetConfig
from model.progress import ProgressLine
from pipeline import closing, cost, graph, machine, progress, run_info, supervise
from pipeline.rows import Record
from pipeline.settings import Format, Settings
from transforms import manifest_check, storage
from transforms.manifest_check import ManifestInfo

log = logging.getLogger(__name__)

LOCAL_RUNNER = "FnApiRunner"
"""Named outright: the default runner first tries to download a binary."""


class UnknownOptions(Exception):
    """Beam options that Beam does not know."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """The command's options, as given."""

    manifest: str
    output: str
    weights: str
    precision: Literal["float32", "bfloat16"]
    workers: int
    memory: float | None
    max_pixels: int
    image_format: Format
    quality: int
    resize_mask: bool
    run_id: str
    limit: int | None
    resume: bool
    verify: bool
    retry_failed: str | None
    dry_run: bool
    report: bool
    beam_args: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a finished run came to."""

    done: int
    failed: int

    @property
    def failure_rate(self) -> float:
        """Share of the pairs that failed."""
        return self.failed / max(1, self.done + self.failed)


def run(request: Request) -> Outcome | None:
    """Check the request, run it, and tell what came of it; None after a dry run, or where nobody waits for the end.

    Raises:
        UnknownOptions: Beam would ignore one of the Beam options.
        HarmonizeError: The manifest, the weights or the output cannot be used.
    """
    check_beam_args(request.beam_args)
    header = weights.read_header(request.weights)
    info = manifest_check.check(request.manifest)
    network = HDNetConfig.from_json(header["config"])
    estimate = cost.estimate(request.manifest, network, request.precision, request.max_pixels)
    plan = machine.plan(request.workers, estimate.typical_bytes, memory=_bytes(request.memory))
    if request.dry_run:
        pace = cost.seconds_per_megapixel(request.weights, request.precision, plan.threads)
        click.echo(cost.describe(info, request.output, estimate, plan, request.limit, pace))
        return None
    job = _job(request, info, header)
    _prepare(job)
    if any(argument.startswith("--runner") for argument in request.beam_args):
        return _run_elsewhere(job, request.beam_args)
    return _run_here(job, request.beam_args, plan)


def check_beam_args(arguments: Sequence[str]) -> None:
    """Refuse options that Beam would silently ignore.

    Raises:
        UnknownOptions: Names them.
    """
    parser = pipeline_options._BeamArgumentParser(allow_abbrev=False)
    for options in PipelineOptions.__subclasses__():
        if "_add_argparse_args" in options.__dict__:
            options._add_argparse_args(parser)
    unknown = parser.parse_known_args(list(arguments))[1]
    if unknown:
        raise UnknownOptions(f"Beam knows no option {' '.join(unknown)}")
    ours = [
        argument for argument in arguments if argument.startswith(("--direct_num_workers", "--direct_running_mode"))
    ]
    if ours:
        raise UnknownOptions(f"{' '.join(ours)}: local workers are chosen with --workers, before the --")


def _job(request: Request, info: ManifestInfo, header: dict[str, Any]) -> graph.Job:
    settings = Settings(
        output=request.output,
        run_id=request.run_id,
        weights=request.weights,
        precision=request.precision,
        max_pixels=request.max_pixels,
        format=request.image_format,
        quality=request.quality,
        resize_mask=request.resize_mask,
    )
    rows = min(info.rows, request.limit or info.rows)
    run = run_info.start(request.manifest, settings, header, info.rows, _told(request))
    return graph.Job(manifest=request.manifest, settings=settings, run=run, rows=rows, extra=info.extra,
                     limit=request.limit, resume=request.resume, retry=request.retry_failed, verify=request.verify,
                     report=request.report)  # fmt: skip


def _told(request: Request) -> dict[str, run_info.Option]:
    """Return the options a run's record names; it has the others anyway."""
    told = ("workers", "memory", "max_pixels", "quality", "resize_mask", "limit", "resume", "verify", "retry_failed",
            "report")  # fmt: skip
    values = {name: getattr(request, name) for name in told}
    return {**values, "format": request.image_format, "beam": " ".join(request.beam_args)}


def _prepare(job: graph.Job) -> None:
    """Take back an earlier run of the same name, its mark of being complete first; its tables if it is not resumed.

    Raises:
        StorageError: The output cannot be written, or there is no run to retry.
    """
    output, run_id = job.settings.output, job.settings.run_id
    if job.retry is not None:
        storage.read(f"{output}/runs/{job.retry}.json")
    mark = f"{output}/runs/{run_id}.json"
    storage.write(mark, b"{}")
    tables = (
        []
        if job.resume or supervise.remembered_run() == run_id
        else [job.settings.table(name) for name in ("metrics", "failures")]
    )
    for uri in (mark, f"{output}/runs/{run_id}.html", *tables):
        storage.remove(uri)
    storage.sweep(output)


def _run_elsewhere(job: graph.Job, beam_args: Sequence[str]) -> Outcome | None:
    logging.getLogger("apache_beam").setLevel(logging.INFO)  # where the job is, and how far
    with beam.Pipeline(options=PipelineOptions(list(beam_args), save_main_session=False)) as root:
        graph.build(root, job)
    left_alone = ("--no_wait_until_finish", "--template_location")
    return None if any(argument.startswith(left_alone) for argument in beam_args) else _tell(job)


def _run_here(job: graph.Job, beam_args: Sequence[str], plan: machine.Plan) -> Outcome:
    with contextlib.ExitStack() as stack:
        scratch = supervise.scratch() or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hdnet-")))
        supervise.remember_run(scratch, job.settings.run_id)
        settings = dataclasses.replace(
            job.settings, threads=plan.threads, workers=plan.workers, memory=plan.memory, scratch=str(scratch)
        )
        _run_locally(dataclasses.replace(job, settings=settings), beam_args, plan)
    return _tell(job)


def _run_locally(job: graph.Job, beam_args: Sequence[str], plan: machine.Plan) -> None:
    mode = "in_memory" if plan.workers == 1 else "multi_processing"
    options = PipelineOptions(
        list(beam_args), runner=LOCAL_RUNNER, direct_num_workers=plan.workers, direct_running_mode=mode,
        save_main_session=False,
    )  # fmt: skip
    log.info("%d pairs on %d workers of %d threads", job.rows, plan.workers, plan.threads)
    scratch = Path(job.settings.scratch)
    with _environment(scratch, plan.threads), Watch(scratch, job.rows), beam.Pipeline(options=options) as root:
        graph.build(root, job)


@contextlib.contextmanager
def _environment(scratch: Path, threads: int) -> Iterator[None]:
    """Set what worker processes read from the environment as they start, for as long as the block lasts."""
    told = scratch / "options.json"
    told.write_text(json.dumps({"default_sdk_harness_log_level": "WARNING"}))
    # OpenMP starts before our code runs: only the environment reaches it in time.
    wanted = {
        "OMP_NUM_THREADS": str(threads),
        "PIPELINE_OPTIONS_FILE": str(told),
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _tell(job: graph.Job) -> Outcome:
    content = json.loads(storage.read(f"{job.settings.output}/runs/{job.settings.run_id}.json"))
    click.echo(closing.table(content))
    if content["totals"]["done"] <= closing.MOST_IMAGES:
        click.echo(closing.psnr_table(_read_metrics(job.settings.output, content["files"])))
    click.echo(
        closing.places(
            job.settings.output, job.settings.run_id, failures=content["totals"]["failed"] > 0, report=job.report
        )
    )
    return Outcome(content["totals"]["done"], content["totals"]["failed"])


def _read_metrics(output: str, files: Sequence[str]) -> list[Record]:
    ours = [uri for uri in files if uri.startswith(f"{output}/metrics/")]
    tables = [parquet.read_table(io.BytesIO(storage.read(uri))) for uri in ours]
    return [row for table in tables for row in table.to_pylist()]


class Watch(threading.Thread):
    """Shows a local run's progress line for as long as the block lasts."""

    def __init__(self, scratch: Path, total: int) -> None:
        super().__init__(daemon=True)
        self.scratch, self.line, self.stop = scratch, ProgressLine(total), threading.Event()
        self.began, self.seen = time.monotonic(), 0

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.join()

    def run(self) -> None:
        """Look every half second."""
        while not self.stop.wait(0.5):
            self.show()
        self.show()

    def show(self) -> None:
        """Read the workers' counts and show them."""
        found = progress.read(self.scratch)
        if (seen := found.images + found.failures + found.skipped) > self.seen:
            self.seen = seen
            rate = found.pixels / 1e6 / (time.monotonic() - self.began)
            self.line.update(seen, lambda: f"{rate:.2f} MP/s  {found.failures} failed  {found.skipped} up to date")


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * 1e9)
