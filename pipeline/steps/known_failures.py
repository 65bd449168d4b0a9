"""Tell failures that an earlier run has had from new ones: a file that was broken yesterday is no news tonight."""

import dataclasses
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection
from apache_beam.typehints import no_annotations
from pyarrow import parquet

from hdnet.pipeline.layout import Layout
from hdnet.pipeline.steps import blocks
from hdnet.pipeline.steps.blocks import GroupInBlocks
from hdnet.pipeline.steps.earlier_runs import list_tables, run_of
from hdnet.transforms import storage
from hdnet.transforms.catalog.rows import FILES, Record
from hdnet.transforms.errors import StorageError

SAME = ("id", *FILES, "stage", "error", "message")
"""Columns in which a failure must equal an earlier one to be known: the same pair, the same files, the same reason.

Of the message its words count and not its numbers: how much memory is free is another number every night.
"""
JOINED = 5000
"""About the number of pairs whose failures are compared at a time, in memory."""


class Earlier(NamedTuple):
    """A failure of an earlier run: what of `SAME` counts, and the first run that is known to have had it."""

    same: tuple[str | None, ...]
    run_id: str


@dataclasses.dataclass
class MarkKnown(beam.PTransform[tuple[PCollection[Record], ...], PCollection[Record]]):
    """Set `known_since` of the failures that an earlier run has had.

    Attributes:
        layout: Where this run's results lie.
        rows: About how many pairs there are.
    """

    layout: Layout
    rows: int

    @no_annotations  # type: ignore[untyped-decorator]
    def expand(self, input_or_inputs: tuple[PCollection[Record], ...]) -> PCollection[Record]:
        earlier = (
            input_or_inputs[0].pipeline
            | "Output" >> beam.Create([self.layout.all_failures])
            | "ListFailures" >> beam.FlatMap(list_tables)
            | "SpreadFailures" >> beam.Reshuffle()
            | "ReadFailures" >> beam.FlatMap(read_earlier, self.layout.failures)
        )
        marked: PCollection[Record] = (
            (*input_or_inputs, earlier)
            | "JoinFailures" >> GroupInBlocks(_part, (-(-self.rows // JOINED) or 1,))
            | "MarkKnown" >> beam.FlatMapTuple(mark)
        )
        return marked


def read_earlier(uri: str, own: str) -> Iterator[Earlier]:
    """Yield the failures in a file of an earlier run; none from this run's own folder, which is written anew.

    Raises:
        StorageError: It cannot be read, or is not Parquet.
    """
    if uri.startswith(own + "/"):
        return
    try:
        table = parquet.ParquetFile(io.BytesIO(storage.read(uri))).read()
    except pa.ArrowException as error:
        raise StorageError(f"{uri} is not a Parquet file ({error}): remove it") from error
    run_id = run_of(uri)
    for row in table.to_pylist():
        yield Earlier(_same(row), row.get("known_since") or run_id)


def mark(_: int, packed: Iterable[bytes]) -> Iterator[Record]:
    """Yield the failures among the values, each with the first run that has had it, or None."""
    failures, known = list[Record](), dict[tuple[str | None, ...], str]()
    for value in blocks.values(packed):
        if isinstance(value, Earlier):
            known[value.same] = min(value.run_id, known.get(value.same, value.run_id))
        else:
            failures.append(value)
    for row in failures:
        yield {**row, "known_since": known.get(_same(row))}


def _same(row: Record) -> tuple[str | None, ...]:
    return (*(row.get(name) for name in SAME[:-1]), re.sub(r"\d+", "0", str(row.get(SAME[-1]))))


def _part(value: Any, parts: int) -> int:
    identity = value.same[0] if isinstance(value, Earlier) else value["id"]
    return zlib.crc32(str(identity).encode()) % parts
