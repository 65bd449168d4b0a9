"""What a run was, and the content of runs/<run>.json."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hdnet.pipeline.rows import SCHEMA_VERSION
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps.summary import Summary
from hdnet.transforms import storage, versions

PACKAGES = ("hdnet-pipeline", "apache-beam", "torch", "numpy", "pillow", "pyarrow")

Option = str | int | float | bool | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunInfo:
    """How a run was made.

    Attributes:
        run_id: Its name.
        started: UTC in ISO 8601, such as "2026-11-20T07:30:00Z".
        finished: As `started`.
        output: Root of the output, a path or URI.
        manifest: URI of what was read.
        rows: In the manifest; None where nobody counted them.
        weights: A shipped name or a URI.
        weights_sha256: Of the tensors.
        arch: Name of the architecture.
        precision: Of the network.
        options: Of the command, by name.
        versions: By name, such as "python", "torch", "apache-beam" and "hdnet-pipeline".
    """

    run_id: str
    started: str
    finished: str
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
        """From start to finish on the clock, start-up included."""
        return (datetime.fromisoformat(self.finished) - datetime.fromisoformat(self.started)).total_seconds()

    def place(self, path: str) -> str:
        """Return the URI of a path in the output."""
        return storage.join(self.output, path)


@dataclasses.dataclass(frozen=True)
class Rates:
    """Of a run; None where there is nothing to divide by.

    Attributes:
        images_per_second: Images written, by the clock.
        megapixels_per_second: Of the images written, by the clock.
        failure_share: Failures, of the pairs that were not left out as up to date.
        worse_share: Images farther from their reference than their composite, of those that have one.
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
        failure_share=ratio(summary.failed, summary.done + summary.failed),
        worse_share=ratio(summary.worse, compared(summary)),
    )


def ratio(part: float, whole: float) -> float | None:
    """Divide; None where there is nothing to divide by."""
    return part / whole if whole > 0 else None


def compared(summary: Summary) -> int:
    """Return how many images have a reference."""
    return summary.sums.get("psnr", (0.0, 0))[1]


def to_json(info: RunInfo, summary: Summary) -> dict[str, Any]:
    """Return the content of runs/<run>.json.

    Returns:
        - schema_version: of the tables and of this file.
        - run_id, started, finished, output, manifest, rows, precision, options, versions: as in `RunInfo`.
        - seconds: from start to finish on the clock.
        - weights: name, sha256, arch.
        - totals: done, failed, skipped (done by an earlier run), removed (recorded, but no longer in the manifest),
          pixels, compared (images with a reference), worse (of those, farther from it than
          the composite), seconds (by stage, over all workers).
        - rates: as in `Rates`; null where there is nothing to divide by.
        - failures: count by class, most first.
        - flags: count by flag, most first.
        - removed: the first ids of the images that are no longer in the manifest.
        - means: by column of the metrics, over the images that have it; absent where none has.
        - histograms: by column, the range and the counts of its even bins; the first and the last bin also hold
          what lies outside the range.
    """
    whole = summary.to_json()
    named = ("run_id", "started", "finished", "seconds", "output", "manifest", "rows", "precision")
    return {
        "schema_version": SCHEMA_VERSION,
        **{name: getattr(info, name) for name in named},
        "weights": {"name": info.weights, "sha256": info.weights_sha256, "arch": info.arch},
        "options": dict(info.options),
        "versions": dict(info.versions),
        "totals": {
            **{name: whole[name] for name in ("done", "failed", "skipped", "removed", "pixels", "worse", "seconds")},
            "compared": compared(summary),
        },
        "rates": dataclasses.asdict(rates(info, summary)),
        **{name: whole[name] for name in ("failures", "flags", "means", "histograms")},
        "removed": summary.removed_examples,
    }


def start(
    manifest: str, settings: Settings, header: Mapping[str, Any], rows: int, options: Mapping[str, Option]
) -> RunInfo:
    """Describe a run that begins now.

    Args:
        manifest: URI of what is read.
        settings: Of the workers.
        header: Of the weights file.
        rows: In the manifest.
        options: Of the command.
    """
    began = now()
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


def now() -> str:
    """Return the time, UTC in ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
