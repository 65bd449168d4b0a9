"""Keep only some pairs of the manifest: those that failed in a run, and those in a list of ids."""

import csv
import dataclasses
import io
import itertools
import logging
from collections.abc import Callable, Collection, Mapping

import apache_beam as beam
from apache_beam.pvalue import AsDict, PCollection
from pyarrow import parquet

from hdnet.pipeline.steps.earlier_runs import list_tables
from hdnet.transforms import storage, text
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.errors import ManifestError

log = logging.getLogger(__name__)

NAMED = 5
"""The number of ids without a pair that are named."""
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


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Ids that choose pairs.

    Attributes:
        source: URI of what names them.
        ids: The ids.
        listed: Whether the pairs with these ids are taken, or all others.
    """

    source: str
    ids: Collection[str]
    listed: bool = True


class Selection:
    """Counts the pairs that lists of ids choose, in the one pass over a manifest that comes before a run.

    Args:
        lists: What chooses: a pair must be chosen by all.
        limit: Only so many pairs, from the first, can be chosen; None for all.
    """

    def __init__(self, lists: Collection[Chosen], limit: int | None) -> None:
        self.lists, self.limit = lists, limit
        self.seen = self.count = 0
        self.unknown = [dict.fromkeys(each.ids) for each in lists]

    def see(self, count: int, ids: Callable[[], Collection[str]]) -> None:
        """Take note of what is made of the manifest's next pair.

        Args:
            count: How many images.
            ids: Returns their ids. It is asked only where lists choose, for a large catalog has many millions of them.
        """
        self.seen += 1
        within = self.limit is None or self.seen <= self.limit
        if not self.lists:
            self.count += count * within
            return
        named = ids()
        for unknown, identity in itertools.product(self.unknown, named):
            unknown.pop(identity, None)
        if within:
            self.count += sum(all((one in each.ids) == each.listed for each in self.lists) for one in named)

    def check(self, manifest: str) -> None:
        """Warn of ids that no pair of the manifest has: they may be misspelled, or have left it.

        Raises:
            ManifestError: No pair is left to do, because no id of a list is one of the manifest's.
        """
        for each, missing in zip(self.lists, self.unknown, strict=True):
            if not missing:
                continue
            named = text.visible(", ".join([*missing][:NAMED])) + (", ..." if len(missing) > NAMED else "")
            count = f"{len(missing):,} of {text.plural(len(each.ids), 'id')}"
            if each.listed and len(missing) == len(each.ids):
                raise ManifestError(f"{each.source}: {count} not in {manifest} ({named}), so there is no pair to do")
            log.warning("%s: %s not in %s and without effect: %s", each.source, count, manifest, named)


def failed_ids(folder: str) -> set[str]:
    """Return the ids in the failures of a run.

    Args:
        folder: URI of that run's failures.

    Raises:
        StorageError: They cannot be read.
    """
    return {identity for uri in list_tables(folder) for identity, _ in _failed(uri)}


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
