"""The images of a large run whose colours changed most: one in a thousand is marked."""

import dataclasses
import math

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.combiners import CountCombineFn, SingleInputTupleCombineFn
from apache_beam.transforms.stats import ApproximateQuantilesCombineFn
from apache_beam.typehints import no_annotations

from hdnet.pipeline.steps.blocks import Collections, each
from hdnet.transforms.catalog.rows import Record

OUTLIERS = 1000
"""One image in this many is marked for the size of its change; a smaller run has no outliers."""


@dataclasses.dataclass
class LargestUsual(beam.PTransform[Collections[Record], PCollection[float]]):
    """Find the change of colour that one image in `OUTLIERS` exceeds: one value, infinite for fewer rows."""

    @no_annotations  # type: ignore[untyped-decorator]
    def expand(self, input_or_inputs: Collections[Record]) -> PCollection[float]:
        changes = [rows | f"Changes{i}" >> beam.FlatMap(change) for i, rows in enumerate(each(input_or_inputs))]
        quantiles = ApproximateQuantilesCombineFn.create(OUTLIERS + 1)
        combined = SingleInputTupleCombineFn(CountCombineFn(), quantiles)
        spread = changes | "AllChanges" >> beam.Flatten() | "Spread" >> beam.CombineGlobally(combined)
        largest: PCollection[float] = spread | "Largest" >> beam.MapTuple(largest_usual)
        return largest


def change(row: Record) -> list[float]:
    """Return the change of colour in a list, which is empty where it is not known."""
    return [row["delta_e"]] if row["delta_e"] is not None else []


def largest_usual(count: int, quantiles: list[float]) -> float:
    """Return the change of colour above which an image is an outlier."""
    return quantiles[-2] if count >= OUTLIERS else math.inf
