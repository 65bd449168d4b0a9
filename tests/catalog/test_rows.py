"""The columns of the tables, and what is held to them."""

import dataclasses

import pytest

from hdnet.transforms.catalog import rows
from hdnet.transforms.catalog.rows import FailureRow, MetricsRow
from hdnet.transforms.scores.appearance import Appearance
from hdnet.transforms.scores.metrics import Scores
from tests.test_packaging import ROOT


@pytest.mark.parametrize("row", [MetricsRow, FailureRow])
def test_the_documentation_has_a_line_for_each_column_in_order(row):
    lines = [
        f"| `{column.name}` | {column.type} | {'yes' if column.nullable else ''} | {column.meaning} |"
        for column in rows.columns(row)
    ]
    assert "\n".join(lines) in (ROOT / "docs" / "metrics.md").read_text()


def test_every_number_that_is_computed_has_a_column():
    scores, appearance = ([field.name for field in dataclasses.fields(kind)] for kind in (Scores, Appearance))
    stages = [f"seconds_{stage}" for stage in rows.STAGES]
    named = [*scores, *(f"input_{name}" for name in scores), *appearance, *stages]
    assert {*named, *rows.FILES, *rows.HASHES, *rows.VERSIONS} <= set(rows.METRICS_SCHEMA.names)


def test_a_manifests_own_columns_come_last_and_none_has_a_name_of_ours():
    schema = rows.schema(MetricsRow, ("shop",))
    assert schema.names == [*rows.METRICS_SCHEMA.names, "shop"] and schema.field("shop").nullable
    assert {*rows.METRICS_SCHEMA.names, "run_id"} - rows.RESERVED == {"id", "composite", "mask", "reference"}


def test_a_row_is_a_plain_dict_with_the_manifests_columns():
    row = FailureRow(id=None, source="pairs.csv, line 3", stage="manifest", error="ManifestError", message="no mask")
    assert list(row.record()) == rows.FAILURES_SCHEMA.names and row.record()["composite"] is None
    extra = (("shop", "s1"), ("Source", "camera"))
    assert row.record(extra) == {**row.record(), "shop": "s1"}
