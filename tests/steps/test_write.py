"""Rows to Parquet."""

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing import test_pipeline
from pyarrow import parquet

from hdnet.pipeline.steps import blocks
from hdnet.pipeline.steps.write import ROWS_PER_FILE, WriteRows, file_count, write_file

SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("error", pa.string()), pa.field("n", pa.int32())])
ROWS = [
    {"id": f"image {i}", "error": "DecodeError" if i % 5 else "SizeError", "known_since": None, "n": i}
    for i in range(50)
]


def write(folder, rows, files):
    with test_pipeline.TestPipeline(runner="FnApiRunner") as root:
        root | beam.Create(rows) | WriteRows(str(folder), SCHEMA, files)
    return sorted(folder.glob("*"))


def test_every_row_is_in_one_file_and_no_file_is_empty(tmp_path):
    files = write(tmp_path / "metrics", ROWS, 3)
    tables = [parquet.read_table(path) for path in files]
    assert len(files) == 3 and all(len(table) for table in tables)
    assert sorted(n for table in tables for n in table["n"].to_pylist()) == list(range(50))
    assert all(parquet.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD" for path in files)


def test_a_file_comes_with_the_totals_of_its_rows(tmp_path):
    file = write_file((0, [blocks.pack(ROWS[:20]), blocks.pack(ROWS[20:])]), str(tmp_path), SCHEMA, 1, None)
    assert file.summary.failed == 50 and file.summary.failures == {"DecodeError": 40, "SizeError": 10}
    assert parquet.read_table(file.uri).num_rows == 50


def test_two_runs_write_the_same_bytes(tmp_path):
    one, two = write(tmp_path / "one", ROWS, 2), write(tmp_path / "two", ROWS[::-1], 2)
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_no_rows_no_files(tmp_path):
    assert write(tmp_path / "metrics", [], 4) == []


@pytest.mark.parametrize("rows, files", [(0, 1), (1, 1), (ROWS_PER_FILE + 1, 2), (10**10, 1000)])
def test_files_follow_from_rows(rows, files):
    assert file_count(rows) == files
