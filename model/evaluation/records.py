"""The results of an evaluation, one row per pair, and the Parquet files that keep them."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from hdnet.transforms import storage
from hdnet.transforms.scores.metrics import Scores

SCHEMA_VERSION = "2"
"""1: `paper` measured the network alone, as `network` does now."""
PREFIXES = ("", "input_", "reinhard_")
"""Prefixes of the columns: of the network's scores, the untouched composite's and the baseline's."""

_SCORES = [
    pa.field(prefix + field.name, pa.float64(), nullable=field.name not in ("mse", "psnr"))
    for prefix in PREFIXES
    for field in dataclasses.fields(Scores)
]
METRICS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("foreground_ratio", pa.float64(), nullable=False),
        *_SCORES,
        pa.field("worse", pa.bool_(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
    ]
)
FAILURES_SCHEMA = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("id", "error", "message")])


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured pair.

    Attributes:
        id, group: Those of the pair.
        protocol: "paper", "native" or "network".
        width, height: The size of what was measured, in pixels.
        foreground_ratio: Share of foreground pixels, 0..1.
        network: Scores of the network's result against the real photo.
        composite: Scores of the untouched composite.
        reinhard: Scores of the classical baseline.
        seconds: How long the network took, without reading and scoring. On a CPU with several threads it is the time of
            one thread with this image, beside others with theirs.
    """

    id: str
    group: str
    protocol: str
    width: int
    height: int
    foreground_ratio: float
    network: Scores
    composite: Scores
    reinhard: Scores
    seconds: float

    @property
    def gain(self) -> float:
        """How much nearer to the real photo the network brought the composite, dB."""
        return self.network.psnr - self.composite.psnr

    def to_record(self) -> dict[str, Any]:
        """Return the columns of `METRICS_SCHEMA`."""
        record = {name: getattr(self, name) for name in METRICS_SCHEMA.names if hasattr(self, name)}
        for prefix, scores in zip(PREFIXES, (self.network, self.composite, self.reinhard), strict=True):
            record |= {prefix + name: value for name, value in dataclasses.asdict(scores).items()}
        return record | {"worse": self.gain < 0}


@dataclasses.dataclass(frozen=True)
class Failure:
    """A pair that could not be measured: the error's class name and message."""

    id: str
    error: str
    message: str


def write_metrics(path: Path, rows: Sequence[Row], weights_name: str, sha256: str) -> None:
    """Write the rows in the columns of `METRICS_SCHEMA`, with zstd; the file's metadata names the weights."""
    metadata = {"schema_version": SCHEMA_VERSION, "weights": weights_name, "weights_sha256": sha256}
    _write(path, [row.to_record() for row in rows], METRICS_SCHEMA.with_metadata(metadata))


def write_failures(path: Path, failures: Sequence[Failure]) -> None:
    """Write the failures in the columns of `FAILURES_SCHEMA`, with zstd; a file without rows means there were none."""
    _write(path, [dataclasses.asdict(failure) for failure in failures], FAILURES_SCHEMA)


def _write(path: Path, records: list[dict[str, Any]], schema: pa.Schema) -> None:
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(records, schema), buffer, compression="zstd")
    storage.write(path, buffer.getvalue())
