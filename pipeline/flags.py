"""Marks on results that look wrong, so that a person looks at ten images and not at a million."""

import dataclasses
import math

import apache_beam as beam
from apache_beam.pvalue import AsSingleton, PCollection
from apache_beam.transforms.combiners import CountCombineFn, SingleInputTupleCombineFn
from apache_beam.transforms.stats import ApproximateQuantilesCombineFn

from pipeline.rows import Record

CLIPPED = 0.02
"""Share of the foreground's pixels that may be newly clipped."""
GAP = 2.0
"""CIELAB units by which the foreground may move away from its background: below it nobody sees it."""
OUTLIERS = 1000
"""One image in so many is marked for the size of its change; a run of fewer has no outliers."""


@dataclasses.dataclass
class FlagRows(beam.PTransform[PCollection[Record], PCollection[Record]]):
    """Fill the rows' `flags`: names with commas between, "" where nothing looks wrong.

    "clipped": more than `CLIPPED` of the foreground's pixels are newly clipped. "gap": the foreground is farther from
    its background than it was, by more than `GAP`. "shift": the change of colour is among the
    largest of the run, one in `OUTLIERS`.
    """

    def expand(self, rows: PCollection[Record]) -> PCollection[Record]:
        changes = rows | "Changes" >> beam.FlatMap(change)
        quantiles = ApproximateQuantilesCombineFn.create(OUTLIERS + 1)
        spread = changes | "Spread" >> beam.CombineGlobally(SingleInputTupleCombineFn(CountCombineFn(), quantiles))
        largest = spread | "LargestUsual" >> beam.MapTuple(largest_usual)
        marked: PCollection[Record] = rows | "Flag" >> beam.Map(flagged, AsSingleton(largest))
        return marked


def change(row: Record) -> list[float]:
    """Return the change of colour, none where it is not known."""
    return [row["delta_e"]] if row["delta_e"] is not None else []


def largest_usual(count: int, quantiles: list[float]) -> float:
    """Return the change of colour above which an image is an outlier."""
    return quantiles[-2] if count >= OUTLIERS else math.inf


def flagged(row: Record, largest: float) -> Record:
    """Return the row with its flags."""
    grown = row["gap_after"] is not None and row["gap_after"] > row["gap_before"] + GAP
    marks = {
        "clipped": (row["newly_clipped_ratio"] or 0) > CLIPPED,
        "gap": grown,
        "shift": (row["delta_e"] or 0) > largest,
    }
    return {**row, "flags": ",".join(name for name, on in marks.items() if on)}
