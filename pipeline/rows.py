"""The rows a run leaves behind: one per pair, in exactly one of two tables.

Column types are stable within a schema version; a test holds them. `run_id` is no column of the files: it
is the folder's name (`metrics/run_id=<run>/`), which every Parquet reader turns into a column.
"""

import dataclasses
from typing import Any

import pyarrow as pa

from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.scores.metrics import Scores

SCHEMA_VERSION = 1

FILES = ("composite", "mask", "reference")
VERSIONS = tuple(f"{name}_version" for name in FILES)
"""Columns of what a listing said of each file before it was read: its etag, or its size and time of change."""
HASHES = ("input_sha256", "mask_sha256", "reference_sha256")
"""Columns of the sha256 of each file."""
STAGES = ("read", "network", "write", "score")

_TEXT, _REAL = pa.string(), pa.float64()
_SCORES = [field.name for field in dataclasses.fields(Scores)]

METRICS_SCHEMA = pa.schema(
    [
        pa.field("id", _TEXT, nullable=False),
        pa.field("composite", _TEXT, nullable=False),
        pa.field("mask", _TEXT, nullable=False),
        pa.field("reference", _TEXT),
        pa.field("output", _TEXT, nullable=False),
        pa.field("schema_version", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("foreground_ratio", _REAL, nullable=False),
        *(pa.field(prefix + name, _REAL) for prefix in ("", "input_") for name in _SCORES),
        *(
            pa.field(name, _REAL)
            for name in ("delta_e", "gap_before", "gap_after", "clipped_ratio", "newly_clipped_ratio")
        ),
        *(pa.field(f"seconds_{stage}", _REAL, nullable=False) for stage in STAGES),
        *(pa.field(name, _TEXT, nullable=False) for name in ("arch", "precision", "weights_sha256")),
        *(pa.field(name, _TEXT, nullable=name == "reference_sha256") for name in (*HASHES, "output_sha256")),
        *(pa.field(name, _TEXT) for name in VERSIONS),
        pa.field("output_bytes", pa.int64(), nullable=False),
        pa.field("options", _TEXT, nullable=False),
        pa.field("harmonized_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("flags", _TEXT),
    ]
)
"""Without the manifest's extra columns, which follow as strings."""

FAILURES_SCHEMA = pa.schema(
    [
        pa.field("id", _TEXT),
        pa.field("composite", _TEXT),
        pa.field("mask", _TEXT),
        pa.field("reference", _TEXT),
        pa.field("source", _TEXT, nullable=False),
        pa.field("stage", _TEXT, nullable=False),
        pa.field("error", _TEXT, nullable=False),
        pa.field("message", _TEXT, nullable=False),
    ]
)

Record = dict[str, Any]
"""A row as plain values, keyed by column."""


def with_extra(schema: pa.Schema, names: tuple[str, ...]) -> pa.Schema:
    """Append the manifest's extra columns, as nullable strings."""
    return pa.schema([*schema, *(pa.field(name, _TEXT) for name in names)])


def failure(pair: Pair, stage: str, error: Exception) -> Record:
    """Make the row of a pair that failed in `stage`."""
    return {
        "id": pair.id,
        "composite": pair.composite,
        "mask": pair.mask,
        "reference": pair.reference,
        "source": pair.source,
        "stage": stage,
        "error": type(error).__name__,
        "message": str(error),
    }
