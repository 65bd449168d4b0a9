"""A manifest to a collection of pairs."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput
from apache_beam.typehints import no_annotations

from hdnet.transforms.catalog import manifest_parts
from hdnet.transforms.catalog.layouts import BY_STEM, Names
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.rows import FailureRow, Record

PAIRS, FAILURES = "pairs", "failures"


class ManifestRows(NamedTuple):
    """What a manifest holds: its pairs, and a row of the failures table for each of its rows that is not a pair."""

    pairs: PCollection[Pair]
    failures: PCollection[Record]


@dataclasses.dataclass
class ReadPairs(beam.PTransform[PBegin, ManifestRows]):
    """Read a manifest. The launcher holds nothing of it: workers divide it into parts and read the parts.

    Attributes:
        uri: As for `manifest_parts.plan`.
        limit: The number of rows to read, from the first; None for all.
        part_bytes: As for `manifest_parts.plan`.
        names: As for `manifest_parts.plan`.
    """

    uri: str
    limit: int | None = None
    part_bytes: int = manifest_parts.PART_BYTES
    names: Names = Names()

    def __post_init__(self) -> None:
        if self.part_bytes < 1:
            raise ValueError(f"part_bytes must be at least 1: {self.part_bytes}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1: {self.limit}")

    # Beam's type hints know one output only, and it would log a warning.
    @no_annotations  # type: ignore[untyped-decorator]
    def expand(self, input_or_inputs: PBegin) -> ManifestRows:
        """Read the rows and separate those that are not pairs."""
        uri = input_or_inputs | "Manifest" >> beam.Create([self.uri])
        first = beam.FlatMap(first_rows, self.limit, self.names)
        rows = uri | "ReadRows" >> (self._in_parts() if self.limit is None else first)
        separate = rows | "Separate" >> beam.Map(separated).with_outputs(FAILURES, main=PAIRS)
        return ManifestRows(separate[PAIRS], separate[FAILURES])

    def _in_parts(self) -> beam.PTransform[Any, Any]:
        read: beam.PTransform[Any, Any] = (
            "PlanParts" >> beam.FlatMap(manifest_parts.plan, self.part_bytes, self.names)
            | "SpreadParts" >> beam.Reshuffle()
            | "ReadParts" >> beam.FlatMap(manifest_parts.read)
        )
        return read


def first_rows(uri: str, limit: int, names: Names = BY_STEM) -> Iterator[Pair | FailureRow]:
    """Yield the first rows of a manifest, reading little more of it than they take."""
    return itertools.islice(manifest_parts.rows(uri, names), limit)


def separated(row: Pair | FailureRow) -> Any:
    """Return a pair as it is, and a failure for the other output."""
    return TaggedOutput(FAILURES, row.record()) if isinstance(row, FailureRow) else row
