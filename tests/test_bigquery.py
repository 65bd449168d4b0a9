"""deploy/bigquery: the tables have the columns of the rows, and the queries run on files as a run writes them."""

import re
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from sqlglot import exp

from pipeline.rows import FAILURES_SCHEMA, METRICS_SCHEMA
from pipeline.write import to_parquet
from tests.run_samples import failed, row
from tests.test_packaging import ROOT

FOLDER = ROOT / "deploy" / "bigquery"
QUERIES = [query for query in sqlglot.parse((FOLDER / "queries.sql").read_text(), read="bigquery") if query]
TYPES = {
    pa.string(): "STRING",
    pa.float64(): "FLOAT64",
    pa.int32(): "INT64",
    pa.int64(): "INT64",
    pa.timestamp("us", "UTC"): "TIMESTAMP",
}
SCHEMAS = {"metrics": METRICS_SCHEMA, "failures": FAILURES_SCHEMA}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_table_has_the_columns_of_its_rows(name):
    wanted = [(field.name, TYPES[field.type]) for field in SCHEMAS[name]]
    assert [(column.name, column.kind.sql("bigquery")) for column in _columns(f"{name}_files")] == wanted


def test_tables_read_every_run_and_views_no_journal():
    text = (FOLDER / "tables.sql").read_text()
    for name in SCHEMAS:
        assert f"hive_partition_uri_prefix = 'OUTPUT/{name}', uris = ['OUTPUT/{name}/*']" in text
    assert text.count("WITH PARTITION COLUMNS (run_id STRING)") == len(SCHEMAS)
    (pattern,) = set(re.findall(r"REGEXP_CONTAINS\(_FILE_NAME, '(.+?)'\)", text))
    assert re.search(pattern, "gs://b/metrics/run_id=r/part-00000-of-00001.parquet")
    assert not re.search(pattern, "gs://b/metrics/run_id=part-1/journal-1.parquet")


def test_nights(tables):
    first, second = _run(tables, 0)
    assert (first["run_id"], first["images"], first["megapixels"]) == ("r2", 2, 1.0)
    assert second["worker_hours"] == pytest.approx(2 * 1.4 / 3600)
    assert second["network_seconds_per_megapixel"] == 2 and second["flagged"] == 0.5


def test_failures(tables):
    assert _run(tables, 1, run="r1") == [
        {"stage": "read", "error": "DecodeError", "pairs": 2, "source": "pairs.csv, line 3", "message": "broken"},
        {"stage": "read", "error": "ShapeError", "pairs": 1, "source": "pairs.csv, line 3", "message": "broken"},
    ]


def test_what_to_look_at(tables):
    assert [(each["id"], each["flags"]) for each in _run(tables, 2, run="r1")] == [("b", "gap,clipped")]


def test_what_holds_a_run_up(tables):
    slowest, _ = _run(tables, 3, run="r2")
    assert slowest["id"] == "b" and slowest["share"] == pytest.approx(3.4 / 4.8)


def test_canary(tables):
    (found,) = _run(tables, 4, run="r1", canary="r2")
    assert found["images"] == 2 and found["gap_after_change"] == pytest.approx(-2)
    assert found["closer_to_background"] == 1 and found["more_flagged"] == -1
    assert found["network_time_ratio"] == pytest.approx(2) and found["psnr_change"] is None


def test_every_query_is_tried():
    assert len(QUERIES) == 5


@pytest.fixture
def tables(tmp_path) -> duckdb.DuckDBPyConnection:
    """Two runs of two images, and the failures of one, seen through the views' names."""
    texts = {field.name: "" for field in METRICS_SCHEMA if field.type == pa.string() and not field.nullable}
    other = {"harmonized_at": datetime(2026, 11, 20, tzinfo=UTC), "output_bytes": 1, "schema_version": 1, "flags": ""}
    known = {**texts, **other}
    del known["id"]
    runs = {
        "r1": [row("a", **known), row("b", **{**known, "flags": "gap,clipped"})],
        "r2": [
            row("a", **known, gap_after=8.0),
            row("b", **known, gap_after=8.0, seconds_network=3.0),
        ],
    }
    for run_id, rows in runs.items():
        _write(tmp_path / f"metrics/run_id={run_id}/part-0.parquet", to_parquet(rows, METRICS_SCHEMA))
    failures = [failed("c"), failed("d"), failed("e", "ShapeError")]
    _write(tmp_path / "failures/run_id=r1/part-0.parquet", to_parquet(failures, FAILURES_SCHEMA))
    database = duckdb.connect()
    database.execute("CREATE SCHEMA hdnet")
    for name in SCHEMAS:
        files = tmp_path / name / "*" / "part-*"
        database.execute(
            f"CREATE VIEW hdnet.{name} AS FROM read_parquet('{files}', hive_partitioning = true)"
        )
    return database


def _run(database: duckdb.DuckDBPyConnection, number: int, **parameters: str) -> list[dict]:
    cursor = database.execute(QUERIES[number].sql("duckdb"), parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def _columns(table: str) -> list[exp.ColumnDef]:
    # sqlglot reads columns of plain tables only.
    text = re.sub(r"WITH PARTITION COLUMNS.*?;", ";", (FOLDER / "tables.sql").read_text(), flags=re.S)
    for statement in sqlglot.parse(text.replace("EXTERNAL TABLE", "TABLE"), read="bigquery"):
        if isinstance(statement, exp.Create) and statement.find(exp.Table).name == table:
            return list(statement.find_all(exp.ColumnDef))
    raise LookupError(table)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
