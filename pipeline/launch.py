"""From a command's options to a finished run: checks, the machine divided, the pipeline run, the outcome told."""

import dataclasses
import io
import json
import os
from collections.abc import Sequence
from typing import Any, Literal

import click
from apache_beam.options.pipeline_options import PipelineOptions
from pyarrow import parquet

from hdnet.model.training.config import HDNetConfig
from hdnet.model.weights import weights_header
from hdnet.pipeline import cost, graph, text
from hdnet.pipeline.local import local_run, machine, supervise
from hdnet.pipeline.report import closing, run_info
from hdnet.pipeline.rows import Record
from hdnet.pipeline.runners import advice, beam_options, cluster
from hdnet.pipeline.settings import Precision, Settings
from hdnet.transforms import storage
from hdnet.transforms.catalog import manifest_check
from hdnet.transforms.catalog.manifest_check import ManifestInfo
from hdnet.transforms.errors import ManifestError, StorageError
from hdnet.transforms.storage import schemes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """The command's options, as given."""

    manifest: str
    output: str
    weights: str
    precision: Precision | Literal["auto"]
    workers: int
    memory: float | None
    max_pixels: int
    image_format: str
    quality: int
    resize_mask: bool
    run_id: str
    limit: int | None
    resume: bool
    verify: bool
    retry_failed: str | None
    dry_run: bool
    report: bool
    max_failure_rate: float = 1.0
    accelerator: str | None = None
    vcpu_price: float | None = None
    allow_scheme: Sequence[str] = ()
    beam_args: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a finished run came to."""

    done: int
    failed: int
    skipped: int

    @property
    def failure_rate(self) -> float:
        """Share of the pairs that failed, of those that were not up to date."""
        return self.failed / max(1, self.done + self.failed)

    @property
    def in_vain(self) -> bool:
        """Whether every pair that was taken up failed, and none was up to date."""
        return self.failed > 0 and not self.done + self.skipped


def run(request: Request) -> Outcome | None:
    """Check the request, run it, and tell what came of it; None after a dry run, or where nobody waits for the end.

    Raises:
        BeamOptionsError: The Beam options cannot be used as they are.
        HarmonizeError: The manifest, the weights or the output cannot be used, or the job failed.
    """
    options = _beam_options(request)
    header = weights_header.read_header(request.weights)
    info = manifest_check.check(request.manifest)
    precision = _precision(request, beam_options.is_local(options))
    network = HDNetConfig.from_json(header["config"])
    estimate = cost.estimate(request.manifest, network, precision, request.max_pixels, _schemes(request))
    plan = machine.plan(request.workers, estimate.typical_bytes, memory=_bytes(request.memory))
    job = _job(request, info, header, precision)
    _check(job)
    if request.dry_run:
        _check_output(request.output)
        _describe(request, info, estimate, plan, job)
        return None
    if beam_options.is_local(options):
        _prepare(job)
        local_run.run(job, request.beam_args, plan)
        return _tell(job)
    dataflow = beam_options.is_dataflow(options)
    settings = dataclasses.replace(job.settings, own_machine=dataflow, device="cuda" if request.accelerator else "auto")
    hints = cluster.hints(options, estimate, request.accelerator) if dataflow else {}
    root = cluster.pipeline(options)
    _prepare(job)
    return _tell(job) if cluster.run(root, options, dataclasses.replace(job, settings=settings, hints=hints)) else None


def _beam_options(request: Request) -> PipelineOptions:
    options = beam_options.parse(request.beam_args)
    if beam_options.is_dataflow(options):
        if request.workers or request.memory:
            raise beam_options.BeamOptionsError(
                "--workers and --memory divide this machine: give Dataflow --max_num_workers and --machine_type"
            )
        weights_place = None if request.weights in weights_header.shipped() else request.weights
        places = {"input": request.manifest, "output": request.output, "weights": weights_place}
        beam_options.check_dataflow(options, places)
        beam_options.complete_dataflow(options, request.run_id)
    elif request.accelerator:
        raise beam_options.BeamOptionsError("--accelerator asks Dataflow for GPUs: give --runner=DataflowRunner, too")
    return options


def _describe(request: Request, info: ManifestInfo, found: cost.Estimate, plan: machine.Plan, job: graph.Job) -> None:
    """Print what a run would do: with one thread each, workers on Dataflow have the pace of one of these."""
    backlog, precision = local_run.count(job), job.settings.precision
    pace = {threads: cost.seconds_per_megapixel(request.weights, precision, threads) for threads in {1, plan.threads}}
    size = cost.megapixels(found, backlog.to_do)
    advised = advice.advise(found.typical_bytes, found.largest_bytes, size, pace[1])
    lines = cost.lines(info, request.output, found, plan, backlog, pace[plan.threads])
    if found.images:
        lines += advice.describe(advised, request.vcpu_price)
    click.echo("\n".join(f"{name:13}{text.visible(value)}" for name, value in lines))
    if found.faults and not found.images:
        first = min(info.rows, cost.SAMPLE)
        raise ManifestError(
            f"{info.uri}: of its first {text.plural(first, 'composite')} none can be used: {found.faults[0]}"
        )


def _job(request: Request, info: ManifestInfo, header: dict[str, Any], precision: Precision) -> graph.Job:
    settings = Settings(
        output=request.output,
        run_id=request.run_id,
        weights=request.weights,
        network=json.dumps([header["architecture"], header["config"]], sort_keys=True),
        precision=precision,
        max_pixels=request.max_pixels,
        format=request.image_format,
        quality=request.quality,
        resize_mask=request.resize_mask,
    )
    rows = min(info.rows, request.limit or info.rows)
    run = run_info.start(request.manifest, settings, header, info.rows, _told(request))
    return graph.Job(
        manifest=request.manifest,
        settings=settings,
        run=run,
        rows=rows,
        extra=info.extra,
        schemes=_schemes(request),
        limit=request.limit,
        resume=request.resume,
        retry=request.retry_failed,
        verify=request.verify,
        report=request.report,
        max_failure_rate=request.max_failure_rate,
    )


def _precision(request: Request, local: bool) -> Precision:
    if request.precision != "auto":
        return request.precision
    # The machines of a cluster may differ, and an image must not depend on which of them made it.
    return "bfloat16" if local and machine.computes_bfloat16() else "float32"


def _schemes(request: Request) -> frozenset[str]:
    return schemes.allowed(request.manifest, request.output, request.allow_scheme)


def _told(request: Request) -> dict[str, run_info.Option]:
    """Return the options a run's record names; it has the others anyway."""
    told = ("workers", "memory", "max_pixels", "quality", "resize_mask", "limit", "resume", "verify", "retry_failed",
            "report")  # fmt: skip
    values = {name: getattr(request, name) for name in told}
    return {**values, "format": request.image_format, "beam": " ".join(request.beam_args)}


def _check(job: graph.Job) -> None:
    """Check what a run would take up or take the place of.

    Raises:
        StorageError: There is no run to retry, or it is complete and only a part would take its place.
    """
    # A first attempt may have taken the mark back of the very run that is retried.
    if job.retry is not None and not _is_restarted(job):
        storage.read(f"{job.settings.output}/runs/{job.retry}.json")
    mark = f"{job.settings.output}/runs/{job.settings.run_id}.json"
    if job.limit is not None and storage.is_file(mark):
        raise StorageError(
            f"{mark}: a run of this name is complete, and a part of it cannot take its place: give another --run-id"
        )


def _prepare(job: graph.Job) -> None:
    """Take back an earlier run of the same name, its mark of being complete first; its tables if it is not resumed.

    Raises:
        StorageError: The output cannot be written.
    """
    run = f"{job.settings.output}/runs/{job.settings.run_id}"
    storage.write(f"{run}.probe", b"")
    tables = [] if job.resume or _is_restarted(job) else [job.settings.table(name) for name in ("metrics", "failures")]
    for uri in (f"{run}.probe", f"{run}.json", f"{run}.html", *tables):
        storage.remove(uri)
    storage.sweep(job.settings.output)


def _is_restarted(job: graph.Job) -> bool:
    return supervise.remembered_run() == job.settings.run_id


def _check_output(output: str) -> None:
    """Write a file and remove it, in the output or the nearest folder above that is there: a dry run makes none.

    Raises:
        StorageError: It cannot be written.
    """
    folder = storage.canonical(output)
    while "://" not in folder and not os.path.exists(folder):
        folder = os.path.dirname(folder)
    probe = storage.join(folder, ".hdnet-probe")
    storage.write(probe, b"")
    storage.remove(probe)


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
    return Outcome(**{name: content["totals"][name] for name in ("done", "failed", "skipped")})


def _read_metrics(output: str, files: Sequence[str]) -> list[Record]:
    ours = [uri for uri in files if uri.startswith(f"{output}/metrics/")]
    tables = [parquet.read_table(io.BytesIO(storage.read(uri))) for uri in ours]
    return [row for table in tables for row in table.to_pylist()]


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * 1e9)
