"""A manifest to a collection of pairs."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput
from apache_beam.typehints import no_annotations

from hdnet.transforms.catalog import manifest_parts
from hdnet.transforms.catalog.manifest import BadRow, Pair
from hdnet.transforms.errors import ManifestError

PAIRS, BAD_ROWS = "pairs", "bad_rows"


@dataclasses.dataclass
class ReadPairs(beam.PTransform[PBegin, tuple[PCollection[Pair], PCollection[dict[str, Any]]]]):
    """Pairs, and second a failure row for each row that is none.

    The launcher holds nothing of the manifest: workers divide it into parts and read the parts.

    Attributes:
        uri: As for `manifest_parts.plan`.
        limit: Read no more than this many rows, from the first; None for all.
        part_bytes: As for `manifest_parts.plan`.
    """

    uri: str
    limit: int | None = None
    part_bytes: int = manifest_parts.PART_BYTES

    def __post_init__(self) -> None:
        if self.part_bytes < 1:
            raise ValueError(f"part_bytes must be at least 1: {self.part_bytes}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1: {self.limit}")

    # Beam's types know one output only: it would log a warning.
    @no_annotations  # type: ignore[untyped-decorator]
    def expand(self, input_or_inputs: PBegin) -> tuple[PCollection[Pair], PCollection[dict[str, Any]]]:
        """Read the rows, set the bad ones aside."""
        uri = input_or_inputs | "Manifest" >> beam.Create([self.uri])
        rows = uri | "ReadRows" >> (self._in_parts() if self.limit is None else beam.FlatMap(first_rows, self.limit))
        sorted_out = rows | "SortOut" >> beam.Map(sort_out).with_outputs(BAD_ROWS, main=PAIRS)
        return sorted_out[PAIRS], sorted_out[BAD_ROWS]

    def _in_parts(self) -> beam.PTransform[Any, Any]:
        read: beam.PTransform[Any, Any] = (
            "PlanParts" >> beam.FlatMap(manifest_parts.plan, self.part_bytes)
            | "SpreadParts" >> beam.Reshuffle()
            | "ReadParts" >> beam.FlatMap(manifest_parts.read)
        )
        return read


def first_rows(uri: str, limit: int) -> Iterator[Pair | BadRow]:
    """Yield the first rows of a manifest, and read little more of it."""
    return itertools.islice(manifest_parts.rows(uri), limit)


def sort_out(row: Pair | BadRow) -> Any:
    """Return a pair as it is, and a bad row as a failure for the other output."""
    return TaggedOutput(BAD_ROWS, bad_row(row)) if isinstance(row, BadRow) else row


def bad_row(row: BadRow) -> dict[str, Any]:
    """Make the failure row of a row that is no pair."""
    return {
        "id": row.id or None,
        "composite": None,
        "mask": None,
        "reference": None,
        "source": row.source,
        "stage": "manifest",
        "error": ManifestError.__name__,
        "message": row.message,
    }
