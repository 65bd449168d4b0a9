"""The whole graph, in one readable pipe, and what happens when its rows are written."""

import dataclasses
import json
import logging
import operator
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsList, PCollection

from hdnet.pipeline.layout import Layout
from hdnet.pipeline.report import closing, run_info
from hdnet.pipeline.report.run_info import RunInfo
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps.harmonize import HarmonizePairs
from hdnet.pipeline.steps.known_failures import MarkKnown
from hdnet.pipeline.steps.outliers import LargestUsual
from hdnet.pipeline.steps.read import ReadPairs
from hdnet.pipeline.steps.resume import SkipDone, SortedPairs
from hdnet.pipeline.steps.select import KeepFailed, KeepListed
from hdnet.pipeline.steps.summary import Summarise, Summary
from hdnet.pipeline.steps.write import WriteRows, file_count
from hdnet.transforms import storage
from hdnet.transforms.catalog import rows
from hdnet.transforms.catalog.layouts import Names
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.rows import FailureRow, Record
from hdnet.transforms.errors import ManifestError

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A complete run, from which the graph is built.

    Attributes:
        manifest: Path or URI.
        settings: How the workers harmonize, and where results go.
        run: How the run is described in its summary.
        rows: The number of rows of the manifest, or of its first ones that are to be done; it decides how many files
            are written.
        pairs: How many pairs are taken up, of those that `rows` counts.
        extra: Names of the manifest's columns that pass through to the metrics.
        schemes: Schemes that the pairs' URIs may have.
        names: How the files of a folder form pairs.
        limit: Harmonize only this many pairs; None for all.
        resume: Leave out what other runs have done. What this run did before it was cut short is always left out.
        retry: Do only what failed in the run of this name; None for all.
        ids: URI of a list of the ids to do; None for all.
        skip_ids: URI of a list of the ids to leave out.
        verify: Tell files apart by content.
        report: Write the HTML report.
        max_failure_rate: The fraction of the pairs that may fail before the log says so as an error.
        hints: Beam's resource hints for the one step that works on pixels.
    """

    manifest: str
    settings: Settings
    run: RunInfo
    rows: int
    pairs: int
    extra: tuple[str, ...] = ()
    schemes: frozenset[str] | None = None
    names: Names = Names()
    limit: int | None = None
    resume: bool = True
    retry: str | None = None
    ids: str | None = None
    skip_ids: str | None = None
    verify: bool = False
    report: bool = True
    max_failure_rate: float = 1.0
    hints: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def selects(self) -> bool:
        """Whether pairs are chosen by their ids."""
        return bool(self.retry or self.ids or self.skip_ids)

    @property
    def fewest(self) -> int:
        """The number of rows of both tables below which the manifest has changed."""
        return self.rows

    def expand(self, pairs: PCollection[Pair]) -> PCollection[Pair]:
        """Return what is to be done with the manifest's pairs: here, each as it is."""
        return pairs

    def conclude(self) -> None:
        """Write what else belongs to a run whose tables are written."""


def build(root: beam.Pipeline, job: Job) -> None:
    """Attach the graph to a pipeline."""
    layout, files = job.settings.layout, file_count(job.rows)
    unreadable, found = sort_out(root, job)
    harmonized = found.tasks | "HarmonizePairs" >> HarmonizePairs(job.settings, job.extra).with_resource_hints(
        **job.hints
    )
    metrics = (harmonized.rows, found.kept, found.orphans)
    failures = (harmonized.failures, unreadable, found.refused) | "KnownFailures" >> MarkKnown(layout, job.rows)
    schema, largest = rows.schema(job.settings.row, job.extra), metrics | "Usual" >> LargestUsual()
    failure_schema = rows.schema(FailureRow, rows.failure_extra(job.extra))
    written = (
        metrics | "WriteMetrics" >> WriteRows(layout.metrics, schema, files, largest),
        failures | "WriteFailures" >> WriteRows(layout.failures, failure_schema, files),
    ) | "AllFiles" >> beam.Flatten()
    uris = written | "Uris" >> beam.Map(operator.attrgetter("uri"))
    parts = written | "Parts" >> beam.Map(operator.attrgetter("summary"))
    (
        (parts, found.summaries, harmonized.summaries)
        | "AllParts" >> beam.Flatten()
        | "Summarise" >> beam.CombineGlobally(Summarise())  # type: ignore[no-untyped-call]
        # The side input makes this step wait for the files, because it marks the run as complete.
        | "Finish" >> beam.Map(finish, job=job, files=AsList(uris))
    )


def sort_out(root: beam.Pipeline, job: Job) -> tuple[PCollection[Record], SortedPairs]:
    """Attach what comes before any pixel.

    Returns:
        Failure rows of the manifest's rows that are not pairs, and the pairs, compared with what earlier runs did.
    """
    manifest = root | "ReadPairs" >> ReadPairs(job.manifest, job.limit, names=job.names)
    pairs = job.expand(manifest.pairs)
    if job.retry:
        pairs = pairs | "KeepFailed" >> KeepFailed(job.settings.layout.of_run(job.retry).failures)
    if job.ids:
        pairs = pairs | "KeepIds" >> KeepListed(job.ids, listed=True)
    if job.skip_ids:
        pairs = pairs | "SkipIds" >> KeepListed(job.skip_ids, listed=False)
    return manifest.failures, pairs | "SkipDone" >> SkipDone(
        job.settings, job.run.weights_sha256, job.rows, job.run.started, job.schemes, job.resume, job.verify,
        partial=bool(job.limit or job.selects),
    )  # fmt: skip


def finish(summary: Summary, job: Job, files: Iterable[str]) -> None:
    """Close a run whose tables are written: its report, and last its summary, which marks it as complete.

    Raises:
        ManifestError: The tables hold fewer pairs than the manifest held when the run began.
    """
    check_complete(summary, job)
    layout, written = job.settings.layout, sorted(files)
    remove_others(layout, written)
    job.conclude()
    run = dataclasses.replace(job.run, finished=datetime.now(UTC))
    if job.report:
        write_report(run, summary, job.settings)
    content = {**run_info.to_json(run, summary), "files": written}
    storage.write(layout.summary, json.dumps(content, indent=1).encode())
    if job.report:
        write_history(layout)
    if not job.settings.machine.scratch:  # a local run reports on its terminal
        log_end(content, job.max_failure_rate)


def check_complete(summary: Summary, job: Job) -> None:
    """Compare the tables with the manifest.

    Raises:
        ManifestError: As for `finish`.
    """
    found = summary.done + summary.failed + summary.skipped
    if found < job.fewest and not job.selects:
        raise ManifestError(
            f"{job.manifest} changed while it was read: it held {job.rows:,} pairs when the run began, and {found:,} "
            "of them were processed; run again, and what is done is kept"
        )


def remove_others(layout: Layout, written: Collection[str]) -> None:
    """Remove the journals, and the files of an earlier attempt, from the run's tables."""
    for folder in (layout.metrics, layout.failures):
        if storage.is_folder(folder):
            found = {storage.join(folder, name) for name in storage.list_files(folder)}
            storage.remove_files(found.difference(written))


def write_report(run: RunInfo, summary: Summary, settings: Settings) -> None:
    """Render the HTML report with its pictures and write it."""
    from hdnet.pipeline.report import page, panels  # slow to load, and not every process writes a report

    pictures = panels.load(summary, storage.read, settings.max_pixels)
    storage.write(settings.layout.report, page.render(run, summary, pictures).encode())


def write_history(layout: Layout) -> None:
    """Write the page of all runs again, which has this run from now on."""
    from hdnet.pipeline.report import history  # as for the report

    history.write(layout)


def log_end(content: Mapping[str, Any], max_failure_rate: float) -> None:
    """Write the lines that the alerts in deploy/terraform look for."""
    for level, line in closing.log_lines(content, max_failure_rate):
        log.log(level, line)
