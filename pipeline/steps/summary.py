"""The totals of a run: a small value that can be added up in any order, by any number of workers."""

import dataclasses
import heapq
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import apache_beam as beam
import numpy as np

from hdnet.transforms.catalog.rows import STAGES, Record

EXAMPLES = 5
"""The number of failures of each class that are named."""
SHOWN = 8
"""The number of images of each kind on the contact sheet."""

HISTOGRAMS = {
    "delta_e": (0.0, 40.0),
    "gap_before": (0.0, 100.0),
    "gap_after": (0.0, 100.0),
    "clipped_ratio": (0.0, 0.2),
    "foreground_ratio": (0.0, 1.0),
    "seconds_network": (0.0, 30.0),
    "psnr": (10.0, 60.0),
    "input_psnr": (10.0, 60.0),
}
"""Columns with the range of their histogram. Values outside it count in the first or the last bin."""
BINS = 40

MEANS = ("delta_e", "gap_before", "gap_after", "clipped_ratio", "mse", "fmse", "psnr", "ssim", "fssim",
         "input_mse", "input_fmse", "input_psnr", "input_ssim", "input_fssim")  # fmt: skip


@dataclasses.dataclass
class Summary:
    """Totals of a run.

    Attributes:
        done: The number of images made since the run was started.
        images: The number of rows in the metrics table: those, and the ones that the run had made before, under the
            same name, and keeps.
        failed: The number of rows in the failures table.
        new: How many of them no earlier run has had.
        pixels: The number of pixels of the images done.
        skipped: The number of pairs that were up to date when the run was started.
        removed: The number of recorded images whose pair is no longer in the manifest.
        removed_examples: The first of their ids, at most `EXAMPLES`.
        stale: The number of images of earlier runs whose ids now have an image with another suffix.
        stale_examples: The first of their URIs, at most `EXAMPLES`.
        worse: The number of images that are farther from their reference than their composite was.
        seconds: Seconds spent in each stage by all workers together.
        sums: Sum and count of the values of each of `MEANS` that are not null.
        bins: Counts of each of `HISTOGRAMS`.
        flagged: The number of images with a flag.
        flags: Count of each flag.
        failures: Count of each class of failure.
        examples: For each class of failure the first rows by id, new ones before known ones, at most `EXAMPLES`.
        first_failed: The first failures, new ones before known ones and by id, at most `EXAMPLES`.
        shown: For "flagged", "most", "least" and "worst" the images of the contact sheet, at most `SHOWN` of
            (rank, id, row).
    """

    done: int = 0
    images: int = 0
    failed: int = 0
    new: int = 0
    pixels: int = 0
    skipped: int = 0
    removed: int = 0
    removed_examples: list[str] = dataclasses.field(default_factory=list)
    stale: int = 0
    stale_examples: list[str] = dataclasses.field(default_factory=list)
    worse: int = 0
    seconds: dict[str, float] = dataclasses.field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    sums: dict[str, tuple[float, int]] = dataclasses.field(default_factory=dict)
    bins: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    flagged: int = 0
    flags: Counter[str] = dataclasses.field(default_factory=Counter)
    failures: Counter[str] = dataclasses.field(default_factory=Counter)
    examples: dict[str, list[Record]] = dataclasses.field(default_factory=dict)
    first_failed: list[Record] = dataclasses.field(default_factory=list)
    shown: dict[str, list[tuple[float, str, Record]]] = dataclasses.field(default_factory=dict)

    def add(self, row: Record) -> None:
        """Count a row of either table."""
        if "output" not in row:  # a reserved name, which no column of a manifest can have
            self._add_failure(row)
        else:
            self._add_work(row)
            self._add_image(row)

    def take_off_if_older(self, row: Record, since: datetime) -> bool:
        """Take the work on an image off if it was made before `since`: its run keeps it, and was started again then.

        Returns:
            Whether it was.
        """
        older = bool(row["harmonized_at"] < since)
        if older:
            self._add_work(row, -1)
        return older

    def merge(self, other: "Summary") -> None:
        """Add another summary to this one."""
        self.done += other.done
        self.images += other.images
        self.failed += other.failed
        self.new += other.new
        self.pixels += other.pixels
        self.skipped += other.skipped
        self.removed += other.removed
        self.removed_examples = sorted([*self.removed_examples, *other.removed_examples])[:EXAMPLES]
        self.stale += other.stale
        self.stale_examples = sorted([*self.stale_examples, *other.stale_examples])[:EXAMPLES]
        self.flagged += other.flagged
        self.flags.update(other.flags)
        self.worse += other.worse
        self.failures.update(other.failures)
        for stage, seconds in other.seconds.items():
            self.seconds[stage] += seconds
        for name, (total, count) in other.sums.items():
            self._add_sum(name, total, count)
        for name, counts in other.bins.items():
            self.bins[name] = [a + b for a, b in zip(self.bins.get(name, [0] * BINS), counts, strict=True)]
        for error, rows in other.examples.items():
            self._keep_examples(error, rows)
        self._keep_first_failed(other.first_failed)
        for kind, entries in other.shown.items():
            self._keep_shown(kind, entries)

    def mean(self, name: str) -> float | None:
        """Return the mean of a column over the images that have it, None where none has."""
        total, count = self.sums.get(name, (0.0, 0))
        return total / count if count else None

    def to_json(self) -> dict[str, Any]:
        """Return the part of it that runs/<run>.json holds."""
        counts = ("done", "images", "failed", "new", "flagged", "skipped", "removed", "stale", "pixels", "worse")
        fields = {name: getattr(self, name) for name in counts}
        means = {name: self.mean(name) for name in MEANS if self.mean(name) is not None}
        histograms = {
            name: {"range": list(HISTOGRAMS[name]), "counts": counts} for name, counts in sorted(self.bins.items())
        }
        return {
            **fields,
            # What was added and taken off again leaves a trace in floating point.
            "seconds": {stage: max(0.0, round(seconds, 6)) for stage, seconds in self.seconds.items()},
            "means": means,
            "histograms": histograms,
            "failures": dict(self.failures.most_common()),
            "flags": dict(self.flags.most_common()),
            "first_failed": [
                {name: row[name] for name in ("id", "error", "message", "known_since")} for row in self.first_failed
            ],
            "first_flagged": [
                {name: row[name] for name in ("id", "flags")} for _, _, row in self.shown.get("flagged", [])[:EXAMPLES]
            ],
        }

    def _add_failure(self, row: Record) -> None:
        self.failed += 1
        self.failures[row["error"]] += 1
        self.new += row["known_since"] is None
        self._keep_examples(row["error"], [row])
        self._keep_first_failed([row])

    def _add_work(self, row: Record, times: int = 1) -> None:
        self.done += times
        self.pixels += times * row["width"] * row["height"]
        for stage in STAGES:
            self.seconds[stage] += times * row[f"seconds_{stage}"]

    def _add_image(self, row: Record) -> None:
        self.images += 1
        for name in MEANS:
            if row[name] is not None:
                self._add_sum(name, row[name], 1)
        for name, (low, high) in HISTOGRAMS.items():
            if row[name] is not None:
                counts = self.bins.setdefault(name, [0] * BINS)
                counts[int(np.clip((row[name] - low) / (high - low) * BINS, 0, BINS - 1))] += 1
        self._choose(row)

    def _choose(self, row: Record) -> None:
        if row["flags"]:
            names = row["flags"].split(",")
            self.flagged += 1
            self.flags.update(names)
            self._keep_shown("flagged", [(len(names), row["id"], row)])
        if row["delta_e"] is not None:
            self._keep_shown("most", [(row["delta_e"], row["id"], row)])
            self._keep_shown("least", [(-row["delta_e"], row["id"], row)])
        if row["psnr"] is not None and row["psnr"] < row["input_psnr"]:
            self.worse += 1
            self._keep_shown("worst", [(row["input_psnr"] - row["psnr"], row["id"], row)])

    def _add_sum(self, name: str, total: float, count: int) -> None:
        before, number = self.sums.get(name, (0.0, 0))
        self.sums[name] = (before + total, number + count)

    def _keep_examples(self, error: str, rows: Iterable[Record]) -> None:
        kept = [*self.examples.get(error, []), *rows]
        self.examples[error] = sorted(kept, key=_new_first)[:EXAMPLES]

    def _keep_first_failed(self, rows: Iterable[Record]) -> None:
        kept = [*self.first_failed, *rows]
        self.first_failed = sorted(kept, key=_new_first)[:EXAMPLES]

    def _keep_shown(self, kind: str, entries: Iterable[tuple[float, str, Record]]) -> None:
        kept = [*self.shown.get(kind, []), *entries]
        self.shown[kind] = heapq.nsmallest(SHOWN, kept, key=lambda entry: (-entry[0], entry[1]))


class Summarise(beam.CombineFn):
    """Adds up summaries."""

    def create_accumulator(self) -> Summary:
        return Summary()

    def add_input(self, total: Summary, part: Summary) -> Summary:
        total.merge(part)
        return total

    def merge_accumulators(self, summaries: Iterable[Summary]) -> Summary:
        total = Summary()
        for summary in summaries:
            total.merge(summary)
        return total

    def extract_output(self, total: Summary) -> Summary:
        return total


def _new_first(row: Record) -> tuple[bool, str]:
    """Return the place of a failure among others: new ones come before known ones, and each by id."""
    return row["known_since"] is not None, str(row["id"])
