"""A manifest to a collection of pairs."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput
from apache_beam.typehints import no_annotations

from pipeline.rows import failure
from transforms import manifest_parts, schemes
from transforms.errors import ManifestError, StorageError
from transforms.manifest import BadRow, Pair

PAIRS, BAD_ROWS = "pairs", "bad_rows"


@dataclasses.dataclass
class ReadPairs(beam.PTransform[PBegin, tuple[PCollection[Pair], PCollection[dict[str, Any]]]]):
    """Pairs, and second a failure row for each row that is none.

    The launcher holds nothing of the manifest: workers divide it into parts and read the parts. Pairs are spread over
    the workers again, because the rows of one part are the work of many.

    Attributes:
        uri: As for `manifest_parts.plan`.
        schemes: That the pairs' URIs may have; all that storage knows if None.
        limit: Read no more than this many rows, from the first; None for all.
        part_bytes: As for `manifest_parts.plan`.
    """

    uri: str
    limit: int | None = None
    schemes: frozenset[str] | None = None
    part_bytes: int = manifest_parts.PART_BYTES

    def __post_init__(self) -> None:
        if self.part_bytes < 1:
            raise ValueError(f"part_bytes must be at least 1: {self.part_bytes}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1: {self.limit}")

    # Beam's types know one output only: it would log a warning.
    @no_annotations  # type: ignore[untyped-decorator]
    def expand(self, input_or_inputs: PBegin) -> tuple[PCollection[Pair], PCollection[dict[str, Any]]]:
        """Read the rows, set the bad ones aside, spread the pairs."""
        uri = input_or_inputs | "Manifest" >> beam.Create([self.uri])
        rows = uri | "ReadRows" >> (self._in_parts() if self.limit is None else beam.FlatMap(first_rows, self.limit))
        sorted_out = rows | "SortOut" >> beam.FlatMap(sort_out, self.schemes).with_outputs(BAD_ROWS, main=PAIRS)
        return sorted_out[PAIRS] | "SpreadPairs" >> beam.Reshuffle(), sorted_out[BAD_ROWS]

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


def sort_out(row: Pair | BadRow, schemes: frozenset[str] | None) -> Iterator[Any]:
    """Yield a pair as it is, and a bad row or a pair that may not be opened as a failure for the other output."""
    if isinstance(row, BadRow):
        yield TaggedOutput(BAD_ROWS, bad_row(row))
        return
    try:
        check_schemes(row, schemes)
    except StorageError as error:
        yield TaggedOutput(BAD_ROWS, failure(row, "manifest", error))
    else:
        yield row


def check_schemes(pair: Pair, allowed: frozenset[str] | None) -> None:
    """Refuse a pair one of whose files may not be opened.

    Raises:
        StorageError: Names the file.
    """
    for uri in (pair.composite, pair.mask, pair.reference):
        if uri is not None and allowed is not None:
            schemes.check(uri, allowed)


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
