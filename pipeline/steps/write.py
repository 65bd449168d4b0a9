"""Rows to Parquet: few files of sensible size in the run's own folder, none of them empty."""

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

from hdnet.pipeline import layout
from hdnet.pipeline.steps import blocks
from hdnet.pipeline.steps.blocks import Collections, GroupInBlocks
from hdnet.pipeline.steps.flags import flagged
from hdnet.pipeline.steps.summary import Summary
from hdnet.transforms import storage
from hdnet.transforms.catalog.rows import Record

ROWS_PER_FILE = 20_000
"""About 8 MB with zstd. Each file is one row group of about this many rows, made in some 100 MB of memory."""
MOST_FILES = 1000


def file_count(rows: int) -> int:
    """Return how many files hold `rows` rows."""
    return min(MOST_FILES, max(1, -(-rows // ROWS_PER_FILE)))


class Written(NamedTuple):
    """A file that was written, and the totals of its rows."""

    uri: str
    summary: Summary


@dataclasses.dataclass
class WriteRows(beam.PTransform[Collections[Record], PCollection[Written]]):
    """Flag rows that look wrong and write the rows of all collections to FOLDER/part-*.parquet.

    The id decides which file holds a row, and each file is sorted by id, so a retried bundle writes the same bytes
    under the same name. Beam's own Parquet sink writes empty files, and one row group for each bundle.

    Attributes:
        folder: Path or URI of a folder that belongs to this run alone.
        schema: Schema of the rows.
        files: The largest number of files.
        largest_usual: The change of colour above which an image is an outlier; None for rows without flags.
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
    """Write the rows of one of `files` files, flagged if the largest usual change of colour is given."""
    number, packed = numbered
    total, done = Summary(), list[Record]()
    for row in blocks.values(packed):
        done.append(row if largest_usual is None else flagged(row, largest_usual))
        total.add(done[-1])
    uri = storage.join(folder, layout.part_name(number, files))
    storage.write(uri, to_parquet(done, schema))
    return Written(uri, total)


def file_number(row: Record, files: int) -> int:
    """Return the number of the file that holds a row: a hash of its id that is the same in every process."""
    return zlib.crc32(str(row["id"]).encode()) % files


def to_parquet(rows: Iterable[Record], schema: pa.Schema) -> bytes:
    """Encode rows, sorted by id, as one Parquet file compressed with zstd."""
    ordered: list[dict[str, Any]] = sorted(rows, key=lambda row: str(row["id"]))
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(ordered, schema)
    parquet.write_table(table, buffer, compression="zstd", row_group_size=len(ordered) or 1)
    return buffer.getvalue()
