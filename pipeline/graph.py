"""The whole graph, in one readable pipe."""

import dataclasses
import json
from collections.abc import Iterable

import apache_beam as beam
from apache_beam.pvalue import AsList

from pipeline import panels, report, run_info
from pipeline.harmonize import FAILURES, ROWS, HarmonizePairs
from pipeline.read import ReadPairs
from pipeline.rows import FAILURES_SCHEMA, METRICS_SCHEMA, with_extra
from pipeline.run_info import RunInfo
from pipeline.settings import Settings
from pipeline.summary import Summarise, Summary
from pipeline.write import WriteRows, file_count
from transforms import storage


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A run, complete: what the graph is built from.

    Attributes:
        manifest: Path or URI.
        settings: Of the workers.
        run: What the summary says of the run.
        rows: In the manifest, for the number of files.
        extra: Names of the manifest's columns that pass through to the metrics.
        limit: Harmonize this many pairs only; None for all.
        report: Write the HTML report.
    """

    manifest: str
    settings: Settings
    run: RunInfo
    rows: int
    extra: tuple[str, ...] = ()
    limit: int | None = None
    report: bool = True


def build(root: beam.Pipeline, job: Job) -> None:
    """Attach the graph to a pipeline."""
    output, run_id = job.settings.output, job.settings.run_id
    files = file_count(job.rows)
    pairs, unreadable = root | "ReadPairs" >> ReadPairs(job.manifest, limit=job.limit)
    harmonized = pairs | "HarmonizePairs" >> HarmonizePairs(job.settings)
    failures = (harmonized[FAILURES], unreadable) | "AllFailures" >> beam.Flatten()
    metrics_files = harmonized[ROWS] | "WriteMetrics" >> WriteRows(
        f"{output}/metrics/run_id={run_id}", with_extra(METRICS_SCHEMA, job.extra), files
    )
    failures_files = failures | "WriteFailures" >> WriteRows(
        f"{output}/failures/run_id={run_id}", FAILURES_SCHEMA, files
    )
    written = (metrics_files, failures_files) | "AllFiles" >> beam.Flatten()
    (
        (harmonized[ROWS], failures)
        | "AllRows" >> beam.Flatten()
        | "Summarise" >> beam.CombineGlobally(Summarise())  # type: ignore[no-untyped-call]
        # The files as side input: the summary is written when they are, and marks the run complete.
        | "WriteSummary" >> beam.Map(write_summary, job=job, files=AsList(written))
    )


def write_summary(summary: Summary, job: Job, files: Iterable[str]) -> None:
    """Write runs/<run>.html and, last, runs/<run>.json."""
    run = dataclasses.replace(job.run, finished=run_info.now())
    base = f"{job.settings.output}/runs/{job.settings.run_id}"
    if job.report:
        pictures = panels.load(summary, storage.read, job.settings.max_pixels)
        storage.write(f"{base}.html", report.render(run, summary, pictures).encode())
    content = {**run_info.to_json(run, summary), "files": sorted(files)}
    storage.write(f"{base}.json", json.dumps(content, indent=1).encode())
