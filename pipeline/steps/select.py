"""Keep only some pairs of the manifest: those that failed in a run, and those in a list of ids."""

import csv
import dataclasses
import io
from collections.abc import Mapping

import apache_beam as beam
from apache_beam.pvalue import AsDict, PCollection
from pyarrow import parquet

from hdnet.pipeline.steps.earlier_runs import list_tables
from hdnet.transforms import storage
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.errors import ManifestError

GOOD = "good"
"""The verdict of a review that asks for nothing: such a row does not count."""


@dataclasses.dataclass
class KeepFailed(beam.PTransform[PCollection[Pair], PCollection[Pair]]):
    """Keep the pairs that failed in an earlier run.

    Attributes:
        folder: URI of that run's failures.
    """

    folder: str

    def expand(self, pairs: PCollection[Pair]) -> PCollection[Pair]:
        files = pairs.pipeline | "Failures" >> beam.Create([self.folder]) | "ListFailures" >> beam.FlatMap(list_tables)
        ids = files | "ReadFailures" >> beam.FlatMap(_failed)
        kept: PCollection[Pair] = pairs | "Failed" >> beam.Filter(_is_among, AsDict(ids), True)
        return kept


@dataclasses.dataclass
class KeepListed(beam.PTransform[PCollection[Pair], PCollection[Pair]]):
    """Keep the pairs whose ids a file lists, or all others.

    Attributes:
        uri: As for `read_ids`.
        listed: Keep those in the list; without it, keep the others.
    """

    uri: str
    listed: bool

    def expand(self, pairs: PCollection[Pair]) -> PCollection[Pair]:
        ids = pairs.pipeline | "List" >> beam.Create([self.uri]) | "ReadIds" >> beam.FlatMap(_listed)
        kept: PCollection[Pair] = pairs | "Listed" >> beam.Filter(_is_among, AsDict(ids), self.listed)
        return kept


def read_ids(uri: str) -> list[str]:
    """Return the ids in a file: the column `id` of a CSV, or without such a column the first value of each line.

    In a CSV with a column `verdict`, as the report's review has, rows that are marked `GOOD` do not count.

    Raises:
        ManifestError: The file is not UTF-8 text, or holds no id.
        StorageError: It cannot be read.
    """
    try:
        rows = [row for row in csv.reader(io.StringIO(storage.read(uri).decode("utf-8-sig"))) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{uri} is no list of ids ({error}): give a CSV with a column id") from error
    header, *body = rows if rows and "id" in rows[0] else [["id"], *rows]
    records = [dict(zip(header, row, strict=False)) for row in body]
    ids = [row["id"] for row in records if row.get("id") and row.get("verdict") != GOOD]
    if not ids:
        raise ManifestError(f"{uri} lists no id: give a CSV with a column id, or one id a line")
    return ids


def _is_among(pair: Pair, ids: Mapping[str, None], listed: bool) -> bool:
    return (pair.id in ids) == listed


def _listed(uri: str) -> list[tuple[str, None]]:
    return [(identity, None) for identity in read_ids(uri)]


def _failed(uri: str) -> list[tuple[str, None]]:
    table = parquet.read_table(io.BytesIO(storage.read(uri)), columns=["id"])
    return [(identity, None) for identity in table["id"].to_pylist() if identity is not None]
