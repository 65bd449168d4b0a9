"""The whole graph, in one readable pipe."""

import dataclasses
import json
import logging
import operator
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsList, PCollection

from hdnet.pipeline.report import closing, run_info
from hdnet.pipeline.report.run_info import RunInfo
from hdnet.pipeline.rows import FAILURES_SCHEMA, METRICS_SCHEMA, Record, with_extra
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps.earlier_runs import KeepFailed
from hdnet.pipeline.steps.flags import LargestUsual
from hdnet.pipeline.steps.harmonize import FAILURES, ROWS, HarmonizePairs
from hdnet.pipeline.steps.read import ReadPairs
from hdnet.pipeline.steps.resume import SkipDone
from hdnet.pipeline.steps.summary import Summarise, Summary
from hdnet.pipeline.steps.write import WriteRows, file_count
from hdnet.transforms import storage
from hdnet.transforms.errors import ManifestError

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A run, complete: what the graph is built from.

    Attributes:
        manifest: Path or URI.
        settings: Of the workers.
        run: What the summary says of the run.
        rows: Of the manifest, or of its part that is to be done: for the number of files.
        extra: Names of the manifest's columns that pass through to the metrics.
        schemes: That the pairs' URIs may have.
        limit: Harmonize this many pairs only; None for all.
        resume: Leave out what other runs have done; what this run itself has done before it was cut short always is.
        retry: Do only what failed in the run of this name; None for all.
        verify: Tell files apart by content.
        report: Write the HTML report.
        max_failure_rate: Share of the pairs that may fail before it is an error in the log.
        hints: Beam's resource hints for the one step that works on pixels.
    """

    manifest: str
    settings: Settings
    run: RunInfo
    rows: int
    extra: tuple[str, ...] = ()
    schemes: frozenset[str] | None = None
    limit: int | None = None
    resume: bool = True
    retry: str | None = None
    verify: bool = False
    report: bool = True
    max_failure_rate: float = 1.0
    hints: Mapping[str, str] = dataclasses.field(default_factory=dict)


def build(root: beam.Pipeline, job: Job) -> None:
    """Attach the graph to a pipeline."""
    settings, files = job.settings, file_count(job.rows)
    unreadable, (tasks, kept, stays, left, refused) = sort_out(root, job)
    harmonized = tasks | "HarmonizePairs" >> HarmonizePairs(settings, job.extra).with_resource_hints(**job.hints)
    images = (harmonized[ROWS], kept, stays)
    failures = (harmonized[FAILURES], unreadable, refused)
    written = (
        images
        | "WriteMetrics"
        >> WriteRows(
            settings.table("metrics"), with_extra(METRICS_SCHEMA, job.extra), files, images | "Usual" >> LargestUsual()
        ),
        failures | "WriteFailures" >> WriteRows(settings.table("failures"), FAILURES_SCHEMA, files),
    ) | "AllFiles" >> beam.Flatten()
    uris = written | "Uris" >> beam.Map(operator.attrgetter("uri"))
    parts = written | "Parts" >> beam.Map(operator.attrgetter("summary"))
    (
        (parts, left)
        | "AllParts" >> beam.Flatten()
        | "Summarise" >> beam.CombineGlobally(Summarise())  # type: ignore[no-untyped-call]
        # The files as side input: the summary is written when they are, and marks the run complete.
        | "WriteSummary" >> beam.Map(write_summary, job=job, files=AsList(uris))
    )


def sort_out(root: beam.Pipeline, job: Job) -> tuple[PCollection[Record], Any]:
    """Attach what comes before any pixel: failure rows of the manifest's bad rows, and what `SkipDone` gives."""
    pairs, unreadable = root | "ReadPairs" >> ReadPairs(job.manifest, job.limit)
    if job.retry:
        pairs = pairs | "KeepFailed" >> KeepFailed(f"{job.settings.output}/failures/run_id={job.retry}")
    return unreadable, pairs | "SkipDone" >> SkipDone(
        job.settings, job.run.weights_sha256, job.rows, job.schemes, job.resume, job.verify,
        partial=bool(job.limit or job.retry),
    )  # fmt: skip


def write_summary(summary: Summary, job: Job, files: Iterable[str]) -> None:
    """Remove what the run's files replace, write runs/<run>.html and, last, runs/<run>.json.

    Raises:
        ManifestError: The tables hold fewer pairs than the manifest held when the run began.
    """
    found = summary.done + summary.failed + summary.skipped
    if found < job.rows and not job.retry:
        raise ManifestError(
            f"{job.manifest} has changed while it was read: {found:,} pairs came to an end, and it held {job.rows:,} "
            "when the run began; run again, what is done is kept"
        )
    written = set(files)
    _remove_others(job.settings, written)
    run = dataclasses.replace(job.run, finished=run_info.now())
    base = f"{job.settings.output}/runs/{job.settings.run_id}"
    if job.report:
        from hdnet.pipeline.report import (
            page,  # slow to load, and not every process writes one
            panels,
        )

        pictures = panels.load(summary, storage.read, job.settings.max_pixels)
        storage.write(f"{base}.html", page.render(run, summary, pictures).encode())
    content = {**run_info.to_json(run, summary), "files": sorted(written)}
    storage.write(f"{base}.json", json.dumps(content, indent=1).encode())
    if not job.settings.machine.scratch:  # a local run says it on its terminal
        for level, line in closing.log_lines(content, job.max_failure_rate):
            log.log(level, line)


def _remove_others(settings: Settings, written: Collection[str]) -> None:
    """Remove the journal and the files of an earlier attempt from the run's tables."""
    for table in ("metrics", "failures"):
        folder = settings.table(table)
        if storage.is_folder(folder):
            found = {storage.join(folder, name) for name in storage.list_files(folder)}
            storage.remove_files(found.difference(written))
