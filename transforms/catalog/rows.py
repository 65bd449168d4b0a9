"""The rows that a run writes: every pair ends as one row in exactly one of two tables, metrics or failures.

Each line of `MetricsRow` and `FailureRow` is a column: its name, its type, whether it may be null (`| None`) and what
it means. The Parquet schemas and the names that a manifest's own columns must not have follow from these lines; tests
hold deploy/bigquery/tables.sql and docs/metrics.md to them. `run_id` is not a column of the files: it is the name of
their folder (`metrics/run_id=<run>/`), which every Parquet reader turns into a column.

Rows are shuffled as a `Record`, a plain dict, because a frozen dataclass takes five times as long to pickle.
"""

import dataclasses
import types
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import pyarrow as pa

SCHEMA_VERSION = 1

FILES = ("composite", "mask", "reference")
"""Columns with the URI of each file that is read."""
HASHES = ("input_sha256", "mask_sha256", "reference_sha256")
"""Columns with the sha256 of each of `FILES`."""
VERSIONS = tuple(f"{name}_version" for name in FILES)
"""Columns with what a listing said of each of `FILES` before it was read."""
STAGES = ("read", "network", "write", "score")
"""Stages of the work on a pair; `seconds_<stage>` are columns."""

Record = dict[str, Any]
"""A row as plain values by column, the manifest's extra columns included."""
Extra = Sequence[tuple[str, str | None]]
"""The values of a manifest's extra columns, by name."""
Int32 = Annotated[int, pa.int32()]
Int64 = Annotated[int, pa.int64()]
_ARROW = {str: pa.string(), float: pa.float64(), datetime: pa.timestamp("us", "UTC")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricsRow:
    """One harmonized image."""

    id: Annotated[str, "The pair's id."]
    composite: Annotated[str, "URI of the composite."]
    mask: Annotated[str, "URI of the mask."]
    reference: Annotated[str | None, "URI of the real photo; null where the pair has none, as are all scores then."]
    output: Annotated[str, "URI of the harmonized image."]
    schema_version: Annotated[Int32, "Version of this table's columns, 1."]
    width: Annotated[Int32, "Width of the composite and of the result in pixels."]
    height: Annotated[Int32, "Height of both in pixels."]
    foreground_ratio: Annotated[float, "Foreground pixels divided by all pixels, 0 to 1."]
    border_ratio: Annotated[float | None, "The same for the outermost pixels alone; null in tables of older programs."]
    mse: Annotated[float | None, "MSE of the result against the reference."]
    fmse: Annotated[float | None, "fMSE of the result."]
    psnr: Annotated[float | None, "PSNR of the result in dB."]
    fpsnr: Annotated[float | None, "fPSNR of the result in dB."]
    ssim: Annotated[float | None, "SSIM of the result."]
    fssim: Annotated[float | None, "fSSIM of the result."]
    input_mse: Annotated[float | None, "MSE of the untouched composite against the reference."]
    input_fmse: Annotated[float | None, "fMSE of the composite."]
    input_psnr: Annotated[float | None, "PSNR of the composite in dB."]
    input_fpsnr: Annotated[float | None, "fPSNR of the composite in dB."]
    input_ssim: Annotated[float | None, "SSIM of the composite."]
    input_fssim: Annotated[float | None, "fSSIM of the composite."]
    delta_e: Annotated[float | None, "Mean CIEDE2000 difference of composite and result inside the mask."]
    gap_before: Annotated[float | None, "Distance of foreground to background colour statistics in the composite."]
    gap_after: Annotated[float | None, "The same distance in the result."]
    clipped_ratio: Annotated[float | None, "Foreground channel values at 0 or full scale in the result, 0 to 1."]
    newly_clipped_ratio: Annotated[float | None, "Foreground pixels that only the result clips, 0 to 1."]
    seconds_read: Annotated[float, "Seconds spent on reading and decoding."]
    seconds_network: Annotated[float, "Seconds spent in the network and on blending."]
    seconds_write: Annotated[float, "Seconds spent on encoding and writing."]
    seconds_score: Annotated[float, "Seconds spent on scoring."]
    arch: Annotated[str, "Name of the network's architecture."]
    precision: Annotated[str, "The network's precision, `float32` or `bfloat16`."]
    weights_sha256: Annotated[str, "SHA-256 of the weights' tensors."]
    input_sha256: Annotated[str, "SHA-256 of the composite's file."]
    mask_sha256: Annotated[str, "SHA-256 of the mask's file."]
    reference_sha256: Annotated[str | None, "SHA-256 of the reference's file."]
    output_sha256: Annotated[str, "SHA-256 of the written file."]
    composite_version: Annotated[str | None, "The composite's etag, or size and time of change, before it was read."]
    mask_version: Annotated[str | None, "The same of the mask."]
    reference_version: Annotated[str | None, "The same of the reference."]
    output_bytes: Annotated[Int64, "Size of the written file in bytes."]
    options: Annotated[str, "The options that decide what the image looks like, as JSON."]
    harmonized_at: Annotated[datetime, "When the image was made, in UTC."]
    flags: Annotated[str | None, "Comma-separated names of what looks wrong; empty where nothing does."]

    def record(self, extra: Extra) -> Record:
        """Return the values by column, followed by those of the manifest's extra columns."""
        return {**vars(self), **dict(extra)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FailureRow:
    """One pair, or one row of the manifest, that could not be harmonized."""

    id: Annotated[str | None, "The pair's id; null where the manifest's row has none."]
    composite: Annotated[str | None, "URI of the composite; null where the manifest's row is not a pair."] = None
    mask: Annotated[str | None, "URI of the mask."] = None
    reference: Annotated[str | None, "URI of the real photo."] = None
    source: Annotated[str, "The place in the manifest, such as `pairs.csv, line 7`."]
    stage: Annotated[str, "`manifest`, `read`, `network`, `write` or `score`."]
    error: Annotated[str, "Class of the error, such as `DecodeError`."]
    message: Annotated[str, "What is wrong and what helps."]
    failed_at: Annotated[datetime | None, "When it failed, in UTC; null in tables of older programs."] = None
    known_since: Annotated[str | None, "The first run that had the same failure; null for a new one."] = None

    def record(self, extra: Extra = ()) -> Record:
        """Return the values by column, followed by those of the manifest's extra columns that `failure_extra` keeps."""
        own = vars(self)
        kept = failure_extra([name for name, _ in extra])
        return {**own, **{name: value for name, value in extra if name in kept}}


class Column(NamedTuple):
    """A column of a table: its name, Arrow type, whether it may be null, and what it means."""

    name: str
    type: pa.DataType
    nullable: bool
    meaning: str


def columns(row: type) -> list[Column]:
    """Return the columns of `MetricsRow` or `FailureRow`, in order."""
    return [_column(name, hint) for name, hint in get_type_hints(row, include_extras=True).items()]


def schema(row: type, extra: Sequence[str] = ()) -> pa.Schema:
    """Return the Parquet schema of a table, with the manifest's extra columns at its end as nullable strings."""
    own = [pa.field(column.name, column.type, column.nullable) for column in columns(row)]
    return pa.schema([*own, *(pa.field(name, pa.string()) for name in extra)])


def failure_extra(extra: Sequence[str]) -> list[str]:
    """Return which of a manifest's extra columns the failures have, too: all but those with a name of their own."""
    own = {name.casefold() for name in FAILURES_SCHEMA.names}
    return [name for name in extra if name.casefold() not in own]


def _column(name: str, hint: Any) -> Column:
    value, *marks = get_args(hint)
    nullable = types.NoneType in get_args(value)
    plain = get_args(value)[0] if nullable else value
    arrow = marks[0] if len(marks) > 1 else _ARROW[plain]
    return Column(name, arrow, nullable, marks[-1])


METRICS_SCHEMA = schema(MetricsRow)
FAILURES_SCHEMA = schema(FailureRow)
RESERVED = frozenset({*METRICS_SCHEMA.names, "run_id"}) - {"id", *FILES}
"""Names that a manifest's extra columns must not have: a reader would take them for the row's own."""
