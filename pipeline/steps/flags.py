"""Marks on results that look wrong, so that a person looks at ten images and not at a million."""

import dataclasses
import math

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.combiners import CountCombineFn, SingleInputTupleCombineFn
from apache_beam.transforms.stats import ApproximateQuantilesCombineFn
from apache_beam.typehints import no_annotations

from hdnet.pipeline.rows import Record
from hdnet.pipeline.steps.blocks import Collections, each

CLIPPED = 0.02
"""Share of the foreground's pixels that may be newly clipped."""
GAP = 2.0
"""CIELAB units by which the foreground may move away from its background: below it nobody sees it."""
OUTLIERS = 1000
"""One image in so many is marked for the size of its change; a run of fewer has no outliers."""


@dataclasses.dataclass
class LargestUsual(beam.PTransform[Collections[Record], PCollection[float]]):
    """The change of colour that one image in `OUTLIERS` exceeds: one value, infinite where the rows are fewer."""

    @no_annotations  # type: ignore[untyped-decorator]
    def expand(self, input_or_inputs: Collections[Record]) -> PCollection[float]:
        changes = [rows | f"Changes{i}" >> beam.FlatMap(change) for i, rows in enumerate(each(input_or_inputs))]
        quantiles = ApproximateQuantilesCombineFn.create(OUTLIERS + 1)
        combined = SingleInputTupleCombineFn(CountCombineFn(), quantiles)
        spread = changes | "AllChanges" >> beam.Flatten() | "Spread" >> beam.CombineGlobally(combined)
        largest: PCollection[float] = spread | "Largest" >> beam.MapTuple(largest_usual)
        return largest


def change(row: Record) -> list[float]:
    """Return the change of colour, none where it is not known."""
    return [row["delta_e"]] if row["delta_e"] is not None else []


def largest_usual(count: int, quantiles: list[float]) -> float:
    """Return the change of colour above which an image is an outlier."""
    return quantiles[-2] if count >= OUTLIERS else math.inf


def flagged(row: Record, largest: float) -> Record:
    """Return the row with its flags: names with commas between, "" where nothing looks wrong.

    "clipped": more than `CLIPPED` of the foreground's pixels are newly clipped. "gap": the foreground is farther from
    its background than it was, by more than `GAP`. "shift": the change of colour is larger than `largest`. "mask":
    it is all background or all foreground: nothing to harmonize, or nothing to harmonize with.
    """
    grown = row["gap_after"] is not None and row["gap_after"] > row["gap_before"] + GAP
    marks = {
        "clipped": (row["newly_clipped_ratio"] or 0) > CLIPPED,
        "gap": grown,
        "shift": (row["delta_e"] or 0) > largest,
        "mask": row["foreground_ratio"] in (0, 1),
    }
    return {**row, "flags": ",".join(name for name, on in marks.items() if on)}
