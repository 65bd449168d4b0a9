"""docs/queries.md: what it says of each reader is tried on the tables of three nights, the last with a new column."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pytest
import sqlglot
from pyarrow import dataset

from hdnet.pipeline.layout import journal_name
from hdnet.pipeline.steps.write import to_parquet
from hdnet.transforms.catalog import rows
from hdnet.transforms.catalog.rows import METRICS_SCHEMA, FailureRow, MetricsRow
from tests.run_samples import compared, failed
from tests.test_packaging import ROOT

PAGE = (ROOT / "docs" / "queries.md").read_text()
(READERS,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
VIEWS, *QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
FIRST = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Three nights of three images and one that fails; the brand is new in the third, during which a journal lies."""
    root = tmp_path_factory.mktemp("output")
    texts = {field.name: "" for field in METRICS_SCHEMA if field.type == pa.string() and not field.nullable}
    for night in range(3):
        extra = {"brand": "x"} if night == 2 else {}
        marks = {"harmonized_at": FIRST + timedelta(days=7 * night), "flags": "clipped" if night else ""}
        own = {**texts, "output_bytes": 1, "schema_version": 1, **marks, **extra}
        done = [{**compared(name, 20, 30), **own, "id": name} for name in "abc"]
        schema = rows.schema(MetricsRow, tuple(extra))
        write(root / f"metrics/run_id=n{night}/part-0.parquet", to_parquet(done, schema))
        known = None if night == 0 else "n0"
        lost = [{**failed("d", known_since=known), **extra}]
        failures = to_parquet(lost, rows.schema(FailureRow, tuple(extra)))
        write(root / f"failures/run_id=n{night}/part-0.parquet", failures)
    write(root / f"metrics/run_id=n2/{journal_name()}", to_parquet(done, schema))
    return root


def test_readers_see_every_night_once_and_the_new_column(output):
    found: dict[str, Any] = {}
    exec(READERS.replace("OUTPUT", str(output)), found)
    assert len(found["metrics"]) == 9 and isinstance(found["metrics"], polars.DataFrame)
    assert sorted(filter(None, found["table"]["brand"].to_pylist())) == ["x"] * 3 and len(found["table"]) == 9
    assert len(polars.from_arrow(found["table"])) == 9
    assert dataset.dataset(output / "metrics", partitioning="hive").count_rows() == 9


@pytest.mark.parametrize("number", range(10))
def test_each_question_has_an_answer(output, number):
    database = duckdb.connect()
    database.execute(VIEWS.replace("OUTPUT", str(output)))
    answer = database.sql(QUERIES[number]).pl()
    assert len(answer), QUERIES[number]
    sqlglot.parse_one(QUERIES[number], read="bigquery")


def test_the_answers(output):
    database = duckdb.connect()
    database.execute(VIEWS.replace("OUTPUT", str(output)))
    answers = [database.sql(query).pl().to_dicts() for query in QUERIES]
    assert [row["run_id"] for row in answers[0]] == ["n2"] * 3
    assert [(row["run_id"], row["brand"], row["new"]) for row in answers[2]] == [
        ("n2", "x", 0), ("n1", None, 0), ("n0", None, 1),
    ]  # fmt: skip
    assert answers[3][0]["id"] == "d" and answers[3][0]["since"] == "n0"
    assert len(answers[5]) == 3 and answers[7][0]["flags"] == "clipped"


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
