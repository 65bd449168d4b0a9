"""Rows to Parquet: few files of sensible size under the run's own folder, and none that is empty."""

import dataclasses
import io
import zlib
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection
from pyarrow import parquet

from pipeline.rows import Record
from transforms import storage

ROWS_PER_FILE = 100_000
"""About 30 MB with zstd. Each file is one row group of at most this many rows, made in memory."""
MOST_FILES = 1000


def file_count(rows: int) -> int:
    """Return how many files hold `rows` rows."""
    return min(MOST_FILES, max(1, -(-rows // ROWS_PER_FILE)))


@dataclasses.dataclass
class WriteRows(beam.PTransform[PCollection[Record], PCollection[str]]):
    """Write rows to FOLDER/part-*.parquet; returns the files' URIs.

    A row's file follows from its id and each file's rows are sorted, so a retried bundle writes the
    same bytes under the same name. Beam's own Parquet sink writes empty files and one row group a bundle.

    Attributes:
        folder: Path or URI, this run's own.
        schema: Of the rows.
        files: At most this many.
    """

    folder: str
    schema: pa.Schema
    files: int = 1

    def expand(self, rows: PCollection[Record]) -> PCollection[str]:
        files: PCollection[str] = (
            rows
            | "KeyByFile" >> beam.Map(keyed, files=self.files)
            | "GroupByFile" >> beam.GroupByKey()
            | "WriteFile" >> beam.MapTuple(self._write)
        )
        return files

    def _write(self, number: int, rows: Iterable[Record]) -> str:
        uri = storage.join(self.folder, f"part-{number:05}-of-{self.files:05}.parquet")
        storage.write(uri, to_parquet(rows, self.schema))
        return uri


def keyed(row: Record, files: int) -> tuple[int, Record]:
    """Return the row with the number of its file."""
    return file_number(row, files), row


def file_number(row: Record, files: int) -> int:
    """Return which file a row belongs to: a hash of its id that is the same in every process."""
    return zlib.crc32(str(row["id"]).encode()) % files


def to_parquet(rows: Iterable[Record], schema: pa.Schema) -> bytes:
    """Encode rows, sorted by id, as one Parquet file with zstd."""
    ordered: list[dict[str, Any]] = sorted(rows, key=lambda row: str(row["id"]))
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(ordered, schema)
    parquet.write_table(table, buffer, compression="zstd", row_group_size=ROWS_PER_FILE)
    return buffer.getvalue()
