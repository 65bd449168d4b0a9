"""From a command's options to a finished run: checks, the machine divided, the pipeline run, the outcome shown."""

import io
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import click
from pyarrow import parquet

from hdnet.model.weights import weights_header
from hdnet.pipeline import cost, dry_run, graph, runners
from hdnet.pipeline.cost import Rules
from hdnet.pipeline.layout import Layout
from hdnet.pipeline.local import machine, supervise
from hdnet.pipeline.report import closing, run_info
from hdnet.pipeline.request import Request
from hdnet.pipeline.runners.base import Runner
from hdnet.pipeline.settings import ImageOptions, Settings
from hdnet.pipeline.steps import select
from hdnet.pipeline.steps.select import Chosen, Selection
from hdnet.pipeline.totals import Totals
from hdnet.transforms import storage, text
from hdnet.transforms.catalog import labels, layouts, manifest_check
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.manifest_check import ManifestInfo
from hdnet.transforms.catalog.rows import Record
from hdnet.transforms.errors import StorageError

log = logging.getLogger(__name__)


class Work(NamedTuple):
    """What a job does.

    Attributes:
        settings: What every worker must know.
        header: Names of what decides the images: "architecture", "sha256" and more.
        peak_bytes: Returns a worker's peak memory for an image's height and width.
        per_row: How many images are made of a row of the manifest.
        made: Returns what is made of a pair of the manifest, each with its own id.
        takes_labels: Whether there are weights that need a label, so that one without use is worth a warning.
    """

    settings: Settings
    header: Mapping[str, Any]
    peak_bytes: Callable[[int, int], int]
    per_row: int = 1
    made: Callable[[Pair], Sequence[Pair]] = lambda pair: (pair,)
    takes_labels: bool = False


def harmonization(request: Request, runner: Runner) -> Work:
    """Describe what `hdnet-harmonize` does.

    Raises:
        WeightsError: The weights cannot be used.
    """
    header = weights_header.read_header(request.weights)
    precision = runner.precision() if request.precision == "auto" else request.precision
    architecture, config = weights_header.architecture_of(header, request.weights)
    options = ImageOptions(
        network=json.dumps([header["architecture"], header["config"]], sort_keys=True),
        precision=precision,
        format=request.image_format,
        quality=request.quality,
        resize_mask=request.resize_mask,
        strength=request.strength,
        mask_value=request.mask_value,
        invert_mask=request.invert_mask,
        label=request.label,
        classes=config.classes,
        smoothing=weights_header.smoothing_of(header, request.weights),
    )
    settings = Settings(
        output=request.output,
        run_id=request.run_id,
        weights=request.weights,
        max_pixels=request.max_pixels,
        scores=request.scores,
        image=options,
    )
    return Work(
        settings,
        header,
        peak_bytes=lambda height, width: architecture.peak_bytes(config, height, width, precision),
        takes_labels=True,
    )


def run(
    request: Request,
    describe: Callable[[Request, Runner], Work] = harmonization,
    kind: type[graph.Job] = graph.Job,
) -> Totals | None:
    """Check the request, run it and show the outcome; None after a dry run, or where nobody waits for the end.

    Args:
        request: What was asked for.
        describe: Returns what the job does.
        kind: The job's graph.

    Raises:
        BeamOptionsError: The Beam options cannot be used as they are.
        HarmonizeError: The manifest, the weights or the output cannot be used, or the job failed.
    """
    runner = runners.choose(request)
    runner.check()
    work = describe(request, runner)
    options = work.settings.image
    selection = _selection(request, work)

    def check_pair(pair: Pair) -> None:
        selection.see(work.per_row, lambda: [each.id for each in work.made(pair)])
        options.label_of(pair)

    info = manifest_check.check(request.manifest, check_pair, request.names)
    selection.check(info.uri)
    if info.format == "folder" or info.passed:
        click.echo(f"{info.uri}: {layouts.account(info.rows, info.passed)}")
    if info.format != "folder" and request.names != layouts.BY_STEM:
        log.warning("%s is no folder: --pair and --skip-unpaired change nothing", info.uri)
    if work.takes_labels and not options.classes and (request.label or labels.COLUMN in info.extra):
        log.warning("%s takes no labels: those given change no image", work.settings.weights)
    rules = Rules(request.max_pixels, request.resize_mask, request.schemes)
    estimate = cost.estimate(request.manifest, work.peak_bytes, rules, request.names, work.made)
    plan = machine.plan(request.workers, estimate.typical_bytes, memory=request.memory_bytes)
    needed = estimate.largest_bytes + machine.BEAM_BYTES
    if request.memory_bytes and estimate.images and needed > request.memory_bytes:
        first, wanted = text.plural(estimate.images, "image"), needed / 1e9
        log.warning(
            "--memory %g: the largest of the first %s needs about %.1f GB, and what does not fit fails",
            request.memory, first, wanted,
        )  # fmt: skip
    job = _job(request, info, work, kind, selection.count)
    _check(job)
    if request.dry_run:
        _check_output(request.output)
        dry_run.show(request, info, estimate, plan, job)
        return None
    runner.complete()
    _prepare(job)
    return report_outcome(job, request) if runner.run(job, plan, estimate) else None


def _selection(request: Request, work: Work) -> Selection:
    """Read the ids that choose the pairs.

    Raises:
        ManifestError: A list of ids cannot be used.
        StorageError: There is no run to retry.
    """
    lists = [
        Chosen(uri, dict.fromkeys(select.read_ids(uri)), listed)
        for uri, listed in ((request.ids, True), (request.skip_ids, False))
        if uri
    ]
    if request.retry_failed:
        retried = work.settings.layout.of_run(request.retry_failed)
        # When a run retries itself, its first attempt may have removed the mark already.
        if not _is_restarted(work.settings):
            storage.read(retried.summary)
        lists.append(Chosen(retried.failures, select.failed_ids(retried.failures)))
    return Selection(lists, request.limit)


def _job(request: Request, info: ManifestInfo, work: Work, kind: type[graph.Job], pairs: int) -> graph.Job:
    rows = work.per_row * min(info.rows, request.limit or info.rows)
    run = run_info.start(request.manifest, work.settings, work.header, info.rows, request.recorded())
    return kind(
        manifest=request.manifest,
        settings=work.settings,
        run=run,
        rows=rows,
        pairs=pairs,
        extra=info.extra,
        schemes=request.schemes,
        names=request.names,
        limit=request.limit,
        resume=request.resume,
        retry=request.retry_failed,
        ids=request.ids,
        skip_ids=request.skip_ids,
        verify=request.verify,
        report=request.report,
        max_failure_rate=request.max_failure_rate,
    )


def _check(job: graph.Job) -> None:
    """Check the run that this one would replace.

    Raises:
        StorageError: A complete run would be replaced by a part of it.
    """
    mark = job.settings.layout.summary
    if job.limit is not None and storage.is_file(mark):
        raise StorageError(
            f"{mark}: a run of this name is complete, and a part of it cannot take its place: give another --run-id"
        )


def _prepare(job: graph.Job) -> None:
    """Remove an earlier run of the same name: its mark of being complete first, its tables if it is not resumed.

    Raises:
        StorageError: The output cannot be written.
    """
    layout = job.settings.layout
    _try_to_write(layout.probe, layout.output)
    tables = [] if job.resume or _is_restarted(job.settings) else [layout.metrics, layout.failures]
    for uri in (layout.probe, layout.summary, layout.report, *tables):
        storage.remove(uri)
    storage.sweep(job.settings.output)


def _is_restarted(settings: Settings) -> bool:
    return supervise.remembered_run() == settings.run_id


def _check_output(output: str) -> None:
    """Write a file and remove it, in the output or the nearest folder above it that exists: a dry run makes none.

    Raises:
        StorageError: It cannot be written.
    """
    folder = storage.canonical(output)
    while "://" not in folder and not os.path.exists(folder):
        folder = os.path.dirname(folder)
    probe = storage.join(folder, ".hdnet-probe")
    _try_to_write(probe, output)
    storage.remove(probe)


def _try_to_write(probe: str, output: str) -> None:
    """Write an empty file.

    Raises:
        StorageError: It cannot be written; the message names the output, which users know.
    """
    try:
        storage.write(probe, b"")
    except StorageError as error:
        raise type(error)(str(error).replace(probe, output, 1)) from error


def report_outcome(job: graph.Job, request: Request) -> Totals:
    """Print what a finished run did, where its results are and what to look at, and return its totals."""
    layout = job.settings.layout
    content = json.loads(storage.read(layout.summary))
    click.echo(closing.table(content))
    few = content["totals"]["images"] <= closing.MOST_IMAGES
    if few and (compared := closing.psnr_table(_read_metrics(layout, content["files"]))):
        click.echo(compared)
    click.echo(closing.places(layout, content["totals"], report=job.report))
    if words := closing.last_words(
        content, closing.retry_command(request.usual_words, request.run_id, request.beam_args)
    ):
        click.echo(words)
    return Totals.of(content["totals"])


def _read_metrics(layout: Layout, files: Sequence[str]) -> list[Record]:
    ours = [uri for uri in files if uri.startswith(f"{layout.metrics}/")]
    tables = [parquet.read_table(io.BytesIO(storage.read(uri))) for uri in ours]
    return [row for table in tables for row in table.to_pylist()]
