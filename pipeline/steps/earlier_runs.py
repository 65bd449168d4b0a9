"""What the tables of earlier runs say: which pairs were done, from which files and how, and which failed."""

import hashlib
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import parquet

from hdnet.transforms import storage
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.rows import FILES, HASHES, METRICS_SCHEMA, VERSIONS, Record
from hdnet.transforms.errors import StorageError

NEEDED = ("weights_sha256", "options", "harmonized_at", "output", "output_bytes", "output_sha256")
"""Columns, beside those of the id and of the files, that decide whether a pair is up to date."""

Versions = tuple[str | None, ...]
"""A version, or a sha256, of each file of a pair; None where there is no file, or nothing is known of it."""


class Known(NamedTuple):
    """What an earlier run's row says about a pair.

    Attributes:
        id: The pair's id.
        harmonized_at: When its image was made.
        key: As returned by `key_of`.
        options: What decided the image, as `ImageOptions.record` returned it.
        versions: Versions of composite, mask and reference; or the sha256 of each and of the image.
        output: URI of the image.
        size: Size of the image in bytes.
        row: The whole row if it belongs to this very run, which was cut short.
    """

    id: str
    harmonized_at: datetime
    key: str
    options: str
    versions: Versions
    output: str
    size: int
    row: Record | None


def list_tables(folder: str) -> list[str]:
    """Return the URIs of the Parquet files below a folder, none if there is no such folder."""
    try:
        return [storage.join(folder, name) for name in storage.list_files(folder) if name.endswith(".parquet")]
    except FileNotFoundError:
        return []


def run_of(uri: str) -> str:
    """Return the name of the run whose table a file belongs to."""
    found = re.search("/run_id=([^/]+)/", uri)
    return found[1] if found else ""


def known_images(uri: str, own: str, verify: bool) -> Iterator[Known]:
    """Yield what a file of metrics says about its images.

    Args:
        uri: URI of the file.
        own: Folder of this very run's metrics, whose rows are kept whole.
        verify: Tell files apart by their content.
    """
    whole = uri.startswith(own + "/")
    for row in read_records(uri, whole=whole):
        contents = (*(row[name] for name in HASHES), row["output_sha256"])
        versions = tuple(row[name] for name in VERSIONS)
        yield Known(
            row["id"], row["harmonized_at"], key_of(row), sys.intern(row["options"]),
            contents if verify else versions, row["output"], row["output_bytes"], row if whole else None,
        )  # fmt: skip


def files_of(pair: Pair) -> tuple[str | None, ...]:
    """Return the URIs of composite, mask and reference."""
    return tuple(getattr(pair, name) for name in FILES)


def key_of(row: Mapping[str, Any]) -> str:
    """Return a key that two rows share if they name the same files and weights."""
    names = (*FILES, "weights_sha256")
    return hashlib.sha256(json.dumps([row[name] for name in names]).encode()).hexdigest()


def read_records(uri: str, *, whole: bool) -> list[Record]:
    """Read a file of metrics: whole rows, or the columns that decide whether a pair is up to date.

    Returns:
        No rows if it lacks one of these columns, or for whole rows any column of ours: the records of an older program
        say too little to be trusted, or to be kept.

    Raises:
        StorageError: It cannot be read, or is not Parquet.
    """
    wanted = METRICS_SCHEMA.names if whole else ["id", *FILES, *NEEDED, *VERSIONS, *HASHES]
    try:
        with parquet.ParquetFile(io.BytesIO(storage.read(uri))) as table:
            if not set(wanted) <= set(table.schema_arrow.names):
                return []
            rows: list[Record] = table.read(None if whole else wanted).to_pylist()
            return rows
    except pa.ArrowException as error:
        raise StorageError(f"{uri} is not a Parquet file ({error}): remove it, or run with --no-resume") from error
