"""Rows to Parquet: few files of sensible size under the run's own folder, and none that is empty."""

import dataclasses
import io
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, PCollection
from apache_beam.typehints import no_annotations
from pyarrow import parquet

from hdnet.pipeline.rows import Record
from hdnet.pipeline.steps import blocks
from hdnet.pipeline.steps.blocks import Collections, GroupInBlocks
from hdnet.pipeline.steps.flags import flagged
from hdnet.pipeline.steps.summary import Summary
from hdnet.transforms import storage

ROWS_PER_FILE = 20_000
"""About 8 MB with zstd. Each file is one row group of about as many rows, made in memory: some 100 MB."""
MOST_FILES = 1000


def file_count(rows: int) -> int:
    """Return how many files hold `rows` rows."""
    return min(MOST_FILES, max(1, -(-rows // ROWS_PER_FILE)))


class Written(NamedTuple):
    """A file, and what its rows come to."""

    uri: str
    summary: Summary


@dataclasses.dataclass
class WriteRows(beam.PTransform[Collections[Record], PCollection[Written]]):
    """Flag rows that look wrong and write those of all collections to FOLDER/part-*.parquet.

    A row's file follows from its id and each file's rows are sorted, so a retried bundle writes the
    same bytes under the same name. Beam's own Parquet sink writes empty files and one row group a bundle.

    Attributes:
        folder: Path or URI, this run's own.
        schema: Of the rows.
        files: At most this many.
        largest_usual: Holds the change of colour above which an image is an outlier; None: these rows have no flags.
    """

    folder: str
    schema: pa.Schema
    files: int = 1
    largest_usual: "PCollection[float] | None" = None

    @no_annotations  # type: ignore[untyped-decorator]
    def expand(self, input_or_inputs: Collections[Record]) -> PCollection[Written]:
        largest = None if self.largest_usual is None else AsSingleton(self.largest_usual)
        written: PCollection[Written] = (
            input_or_inputs
            | "GroupByFile" >> GroupInBlocks(file_number, (self.files,))
            | "WriteFile" >> beam.Map(write_file, self.folder, self.schema, self.files, largest)
        )
        return written


def write_file(
    numbered: tuple[int, Iterable[bytes]], folder: str, schema: pa.Schema, files: int, largest_usual: float | None
) -> Written:
    """Write the rows of one of `files` files; they are flagged if the largest usual change of colour is given."""
    number, packed = numbered
    total, done = Summary(), list[Record]()
    for row in blocks.values(packed):
        done.append(row if largest_usual is None else flagged(row, largest_usual))
        total.add(done[-1])
    uri = storage.join(folder, f"part-{number:05}-of-{files:05}.parquet")
    storage.write(uri, to_parquet(done, schema))
    return Written(uri, total)


def file_number(row: Record, files: int) -> int:
    """Return which file a row belongs to: a hash of its id that is the same in every process."""
    return zlib.crc32(str(row["id"]).encode()) % files


def to_parquet(rows: Iterable[Record], schema: pa.Schema) -> bytes:
    """Encode rows, sorted by id, as one Parquet file with zstd."""
    ordered: list[dict[str, Any]] = sorted(rows, key=lambda row: str(row["id"]))
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(ordered, schema)
    parquet.write_table(table, buffer, compression="zstd", row_group_size=len(ordered) or 1)
    return buffer.getvalue()
