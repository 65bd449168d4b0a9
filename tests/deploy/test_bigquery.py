"""deploy/bigquery: the tables have the columns of the rows, and the queries run on files as a run writes them."""

import hashlib
import re
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlglot
from pyarrow import dataset
from sqlglot import exp

from hdnet.pipeline.steps.write import to_parquet
from hdnet.transforms.catalog.rows import FAILURES_SCHEMA, METRICS_SCHEMA
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
    assert [(column.name, column.args["kind"].sql("bigquery")) for column in _columns(f"{name}_files")] == wanted


def test_tables_read_every_run_and_views_no_journal():
    text = (FOLDER / "tables.sql").read_text()
    for name in SCHEMAS:
        assert f"hive_partition_uri_prefix = 'OUTPUT/{name}', uris = ['OUTPUT/{name}/*']" in text
    assert text.count("WITH PARTITION COLUMNS (run_id STRING)") == len(SCHEMAS)
    (pattern,) = set(re.findall(r"REGEXP_CONTAINS\(_FILE_NAME, '(.+?)'\)", text))
    assert re.search(pattern, "gs://b/metrics/run_id=r/part-00000-of-00001.parquet")
    assert not re.search(pattern, "gs://b/metrics/run_id=part-1/_journal-1.parquet")


@pytest.mark.parametrize("number, dataset, folder", [(0, "hdnet", "harmonized"), (1, "canary", "canary")])
def test_the_runbooks_commands_fill_in_every_place(number, dataset, folder):
    edits = re.findall(r"^sed '(.+?)'", (ROOT / "deploy" / "README.md").read_text(), re.MULTILINE)
    filled = subprocess.run(
        ["sed", edits[number], FOLDER / "tables.sql"], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    statements = re.sub("^--.*", "", filled, flags=re.MULTILINE)
    assert statements.count(f"gs://PROJECT-hdnet-results/{folder}/") == 4 and "OUTPUT" not in statements
    assert statements.count(f" {dataset}.") == 6 and f"EXISTS {dataset};" in statements


def test_nights(tables):
    first, second = _run(tables, QUERIES[0])
    assert (first["run_id"], first["images"], first["megapixels"]) == ("r2", 2, 1.0)
    assert second["worker_hours"] == pytest.approx(2 * 1.4 / 3600)
    assert second["network_seconds_per_megapixel"] == 2 and second["flagged"] == 0.5


def test_failures(tables):
    assert _run(tables, QUERIES[1], run="r1") == [
        {"stage": "read", "error": "DecodeError", "pairs": 2, "source": "pairs.csv, line 3", "message": "broken"},
        {"stage": "read", "error": "ShapeError", "pairs": 1, "source": "pairs.csv, line 3", "message": "broken"},
    ]


def test_what_to_look_at(tables):
    assert [(each["id"], each["flags"]) for each in _run(tables, QUERIES[2], run="r1")] == [("b", "clipped,shift")]


def test_what_delays_a_run(tables):
    slowest, _ = _run(tables, QUERIES[3], run="r2")
    assert slowest["id"] == "b" and slowest["share"] == pytest.approx(3.4 / 4.8)


def test_canary(tables):
    (found,) = _run(tables, QUERIES[4], run="r1", canary="r2")
    assert found["images"] == 2 and found["gap_after_change"] == pytest.approx(-2)
    assert found["closer_to_background"] == 1 and found["more_flagged"] == -1
    assert found["network_time_ratio"] == pytest.approx(2) and found["psnr_change"] is None


def test_a_canarys_sample_is_a_manifest_of_the_latest_rows():
    database, names = _database(), ["id", "composite", "mask", "reference", "harmonized_at"]
    rows = [(str(i), f"{night}.jpg", "m.png", None, night) for i in range(250) for night in range(2)]
    _fill(database, "metrics", names, [dict(zip(names, row, strict=True)) for row in rows])
    sampled = sorted(str(i) for i in range(250) if hashlib.md5(str(i).encode()).hexdigest() < "03")
    assert len(sampled) == 6 and _run(database, sqlglot.parse_one((FOLDER / "sample.sql").read_text(), "bigquery")) == [
        {"id": each, "composite": "1.jpg", "mask": "m.png", "reference": None} for each in sampled
    ]


def test_every_query_is_tried():
    assert len(QUERIES) == 5


@pytest.fixture
def tables(tmp_path) -> sqlite3.Connection:
    """Two runs of two images, and the failures of one, seen through the views' names."""
    texts = {field.name: "" for field in METRICS_SCHEMA if field.type == pa.string() and not field.nullable}
    other = {"harmonized_at": datetime(2026, 11, 20, tzinfo=UTC), "output_bytes": 1, "schema_version": 1, "flags": ""}
    known = {**texts, **other}
    del known["id"]
    runs = {
        "r1": [row("a", **known), row("b", **{**known, "flags": "clipped,shift"})],
        "r2": [
            row("a", **known, gap_after=8.0),
            row("b", **known, gap_after=8.0, seconds_network=3.0),
        ],
    }
    for run_id, rows in runs.items():
        _write(tmp_path / f"metrics/run_id={run_id}/part-0.parquet", to_parquet(rows, METRICS_SCHEMA))
    failures = [failed("c"), failed("d"), failed("e", "ShapeError")]
    _write(tmp_path / "failures/run_id=r1/part-0.parquet", to_parquet(failures, FAILURES_SCHEMA))
    database = _database()
    for name, schema in SCHEMAS.items():
        rows = dataset.dataset(tmp_path / name, partitioning="hive").to_table().to_pylist()
        _fill(database, name, [*schema.names, "run_id"], rows)
    return database


def _database() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    database.execute("ATTACH ':memory:' AS hdnet")
    database.create_function("MD5", 1, lambda text: hashlib.md5(text.encode()).hexdigest())
    return database


def _fill(database: sqlite3.Connection, table: str, names: list[str], rows: list[dict[str, Any]]) -> None:
    database.execute(f"CREATE TABLE hdnet.{table} ({', '.join(names)})")
    places = ", ".join(f":{name}" for name in names)
    plain = [{name: str(v) if isinstance(v, datetime) else v for name, v in row.items()} for row in rows]
    database.executemany(f"INSERT INTO hdnet.{table} VALUES ({places})", plain)


def _run(database: sqlite3.Connection, query: exp.Expr, **parameters: str) -> list[dict[str, Any]]:
    return [dict(row) for row in database.execute(query.sql("sqlite"), parameters)]


def _columns(table: str) -> list[exp.ColumnDef]:
    # sqlglot reads the columns of plain tables only.
    text = re.sub(r"WITH PARTITION COLUMNS.*?;", ";", (FOLDER / "tables.sql").read_text(), flags=re.S)
    for statement in sqlglot.parse(text.replace("EXTERNAL TABLE", "TABLE"), read="bigquery"):
        if isinstance(statement, exp.Create) and table in {each.name for each in statement.find_all(exp.Table)}:
            return list(statement.find_all(exp.ColumnDef))
    raise LookupError(table)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
