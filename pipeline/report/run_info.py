"""How a run is described, and the content of runs/<run>.json."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hdnet.pipeline.layout import Layout
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps.summary import Summary
from hdnet.transforms import versions
from hdnet.transforms.catalog.rows import SCHEMA_VERSION

PACKAGES = ("hdnet-pipeline", "hdnet-kernels", "apache-beam", "torch", "numpy", "pillow", "pyarrow")

RECOLOURING = "synthesis"
"""Stands in place of an architecture in runs that make training pairs, for which no network runs."""

Option = str | int | float | bool | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What was run, when and how.

    Attributes:
        run_id: Name of the run.
        started: When it began, in UTC.
        finished: When it ended.
        output: Root of the output, a path or URI.
        manifest: URI of the manifest.
        rows: The number of rows in the manifest; None if they were not counted.
        weights: A shipped name or a URI.
        weights_sha256: SHA-256 of the tensors.
        arch: Name of the architecture.
        precision: The network's precision.
        options: The command's options, by name.
        versions: Versions by name, such as those of "python", "torch", "apache-beam" and "hdnet-pipeline".
    """

    run_id: str
    started: datetime
    finished: datetime
    output: str
    manifest: str
    rows: int | None
    weights: str
    weights_sha256: str
    arch: str
    precision: str
    options: Mapping[str, Option]
    versions: Mapping[str, str]

    @property
    def seconds(self) -> float:
        """Wall-clock time in seconds from start to finish, including start-up."""
        return (self.finished - self.started).total_seconds()

    @property
    def layout(self) -> Layout:
        """Where its results lie."""
        return Layout(self.output, self.run_id)


@dataclasses.dataclass(frozen=True)
class Rates:
    """The totals of a run divided; None where there is nothing to divide by.

    Attributes:
        images_per_second: Images made, per second of wall-clock time.
        megapixels_per_second: Their megapixels, per second of wall-clock time.
        failure_share: Failures, as a fraction of all pairs, those that were up to date among them.
        worse_share: Images that are farther from their reference than their composite, as a fraction of those with a
            reference.
    """

    images_per_second: float | None
    megapixels_per_second: float | None
    failure_share: float | None
    worse_share: float | None


def rates(info: RunInfo, summary: Summary) -> Rates:
    """Divide a run's totals."""
    return Rates(
        images_per_second=ratio(summary.done, info.seconds),
        megapixels_per_second=ratio(summary.pixels / 1e6, info.seconds),
        failure_share=ratio(summary.failed, summary.done + summary.failed + summary.skipped),
        worse_share=ratio(summary.worse, compared(summary)),
    )


def ratio(part: float, whole: float) -> float | None:
    """Divide; return None where there is nothing to divide by."""
    return part / whole if whole > 0 else None


def compared(summary: Summary) -> int:
    """Return how many images have a reference."""
    return summary.sums.get("psnr", (0.0, 0))[1]


def stage_name(stage: str, arch: str) -> str:
    """Return what people call a stage: a run without a network recolours in its time."""
    return "recolouring" if (stage, arch) == ("network", RECOLOURING) else stage


def to_json(info: RunInfo, summary: Summary) -> dict[str, Any]:
    """Return the content of runs/<run>.json.

    Returns:
        - schema_version: of the tables and of this file.
        - run_id, output, manifest, rows, precision, options, versions: as in `RunInfo`.
        - started, finished: in UTC and ISO 8601, such as "2026-11-20T07:30:00Z".
        - seconds: from start to finish on the clock.
        - weights: name, sha256, arch.
        - totals: done (images made since the run was started), failed, new (failures that no earlier run has had),
          skipped (pairs that were up to date when it was started), removed (recorded, but no longer in the manifest),
          stale (images of earlier runs whose ids now have an image with another suffix), pixels (of those done),
          seconds (of all workers together, by stage). A run that is started again under its name keeps the images that
          it had made in its table: images (all of that table), flagged (those with a flag), compared (those with a
          reference), worse (those of them that are farther from it than their composite) count them, too, as do
          flags, means and histograms.
        - rates: as in `Rates`; null where there is nothing to divide by.
        - failures: the count of each class, the largest first.
        - flags: the count of each flag, the largest first.
        - first_failed: id, error, message and known_since of the first failures, new ones before known ones.
        - first_flagged: id and flags of the images with the most flags.
        - removed: the first ids of the images that are no longer in the manifest.
        - stale: the first URIs of the stale images.
        - means: for each column of the metrics, its mean over the images that have a value; absent where none has.
        - histograms: for each column, its range and the counts of its bins of equal width; the first and the last
          bin also count what lies outside the range.
    """
    whole = summary.to_json()
    named = ("run_id", "seconds", "output", "manifest", "rows", "precision")
    return {
        "schema_version": SCHEMA_VERSION,
        "started": _iso(info.started),
        "finished": _iso(info.finished),
        **{name: getattr(info, name) for name in named},
        "weights": {"name": info.weights, "sha256": info.weights_sha256, "arch": info.arch},
        "options": dict(info.options),
        "versions": dict(info.versions),
        "totals": {
            **{name: whole[name] for name in ("done", "failed", "new", "skipped", "images", "flagged", "removed")},
            **{name: whole[name] for name in ("stale", "pixels", "worse", "seconds")},
            "compared": compared(summary),
        },
        "rates": dataclasses.asdict(rates(info, summary)),
        **{name: whole[name] for name in ("failures", "flags", "first_failed", "first_flagged", "means", "histograms")},
        "removed": summary.removed_examples,
        "stale": summary.stale_examples,
    }


def start(
    manifest: str, settings: Settings, header: Mapping[str, Any], rows: int, options: Mapping[str, Option]
) -> RunInfo:
    """Describe a run that begins now.

    Args:
        manifest: URI of the manifest.
        settings: How the workers harmonize, and where results go.
        header: Header of the weights file.
        rows: The number of rows in the manifest.
        options: The command's options.
    """
    began = datetime.now(UTC)
    return RunInfo(
        run_id=settings.run_id,
        started=began,
        finished=began,
        output=settings.output,
        manifest=manifest,
        rows=rows,
        weights=settings.weights,
        weights_sha256=header["sha256"],
        arch=header["architecture"],
        precision=settings.image.precision,
        options=options,
        versions=versions.versions(*PACKAGES),
    )


def _iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
