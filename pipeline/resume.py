"""What an earlier run has done already: found in the metrics, compared with what is there today, and left out.

A pair is up to date when a record of the same files, weights and options says that it was done, the files are
unchanged and the image is still there. Files are told apart by what listings of their folders say of them, or with
`verify` by their content.
"""

import dataclasses
import hashlib
import io
import itertools
import json
import logging
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsDict, PCollection, TaggedOutput
from apache_beam.typehints import no_annotations
from pyarrow import parquet

from pipeline import progress
from pipeline.progress import Counts
from pipeline.rows import FILES, HASHES, VERSIONS, Left, Record
from pipeline.settings import Settings
from transforms import storage
from transforms.errors import StorageError
from transforms.manifest import Pair

TASKS, KEPT, LEFT = "tasks", "kept", "left"
BATCH = 20_000
"""Pairs of one folder that are compared at a time."""
CLOCKS = 10.0
"""Seconds by which the clocks of workers and storage may differ."""
GROUPS = 16
"""Into how many the pairs of one folder are divided where comparing them means reading them."""

Versions = tuple[str | None, ...]

log = logging.getLogger(__name__)


class Task(NamedTuple):
    """A pair to harmonize.

    Attributes:
        pair: The pair.
        versions: Of composite, mask and reference, None where nothing is known.
    """

    pair: Pair
    versions: Versions = (None,) * len(FILES)


class Known(NamedTuple):
    """What an earlier run's row says of a pair.

    Attributes:
        harmonized_at: When it was done.
        key: As `key_of`.
        versions: Of composite, mask and reference; or the sha256 of each and of the image.
        output: URI of the image.
        size: Of the image, in bytes.
        row: The whole row if it is this very run's, which was cut short.
    """

    harmonized_at: datetime
    key: str
    versions: Versions
    output: str
    size: int
    row: Record | None


class Candidate(NamedTuple):
    """A pair with what is known of it."""

    pair: Pair
    known: Known | None


@dataclasses.dataclass
class SkipDone(beam.PTransform[PCollection[Pair], Any]):
    """Sort pairs: `tasks` to do, `kept` rows of this run that stay, `left` one `Left` for each of the others.

    Attributes:
        settings: Of the run.
        weights_sha256: Of the tensors it uses.
        others: Believe other runs' records, too, and not only this run's own.
        verify: Compare contents.
        partial: The pairs are not all of the manifest: what is recorded beside them is not removed from it.
    """

    settings: Settings
    weights_sha256: str
    others: bool = True
    verify: bool = False
    partial: bool = False

    # Beam's types know one output only: it would log a warning.
    @no_annotations  # type: ignore[untyped-decorator]
    def expand(self, input_or_inputs: PCollection[Pair]) -> Any:
        """Read the records, join them with the pairs, compare folder by folder."""
        known = (
            input_or_inputs.pipeline
            | "Output" >> beam.Create([self.settings.output])
            | "ListRecords" >> beam.FlatMap(self._record_files)
            | "SpreadRecords" >> beam.Reshuffle()
            | "ReadRecords" >> beam.FlatMap(self._read)
        )
        pairs = input_or_inputs | "KeyById" >> beam.Map(_keyed)
        joined = (pairs, known) | "JoinRecords" >> beam.CoGroupByKey()
        candidates, gone, stays = joined | "SortOut" >> beam.FlatMapTuple(self._sort_out).with_outputs(
            LEFT, KEPT, main="candidates"
        )
        compared = (
            candidates
            | "GroupByFolder" >> beam.GroupByKey()
            | "Compare" >> beam.FlatMapTuple(self._compare).with_outputs(KEPT, LEFT, main=TASKS)
        )
        kept = (compared[KEPT], stays) | "AllKept" >> beam.Flatten()
        left = (compared[LEFT], gone) | "AllLeft" >> beam.Flatten()
        return compared[TASKS] | "SpreadTasks" >> beam.Reshuffle(), kept, left

    def _record_files(self, output: str) -> list[str]:
        return list_tables(f"{output}/metrics" if self.others else self.settings.table("metrics"))

    def _read(self, uri: str) -> Iterator[tuple[str, Known]]:
        own = uri.startswith(self.settings.table("metrics") + "/")
        for row in read_records(uri, whole=own):
            contents = (*(row[name] for name in HASHES), row["output_sha256"])
            versions = tuple(row[name] for name in VERSIONS)
            yield row["id"], Known(
                row["harmonized_at"], key_of(row), contents if self.verify else versions, row["output"],
                row["output_bytes"], row if own else None,
            )  # fmt: skip

    def _sort_out(self, identity: str, found: tuple[list[Pair], list[Known]]) -> Iterator[Any]:
        pairs, records = found
        known = max(records, key=lambda record: record.harmonized_at, default=None)
        if not pairs and not self.partial:
            yield TaggedOutput(LEFT, Left("removed", identity))
        if not pairs and known and known.row is not None:  # this run's table is written anew
            yield TaggedOutput(KEPT, known.row)
        for pair in pairs:
            believed = known if known and known.key == self._key(pair) else None
            yield self._group(pair), Candidate(pair, believed)

    def _key(self, pair: Pair) -> str:
        return key_of({**dataclasses.asdict(pair), "weights_sha256": self.weights_sha256,
                       "options": self.settings.options()})  # fmt: skip

    def _group(self, pair: Pair) -> tuple[str, int]:
        return storage.parent(pair.composite), zlib.crc32(pair.id.encode()) % GROUPS if self.verify else 0

    def _compare(self, group: tuple[str, int], candidates: Iterable[Candidate]) -> Iterator[Any]:
        source, skipped = iter(candidates), 0
        files = _Files()
        while batch := list(itertools.islice(source, BATCH)):
            files.list_folders(batch)
            for pair, known in batch:
                versions = tuple(uri and files.version(uri) for uri in files_of(pair))
                if (
                    known is None
                    or not self._is_there(known, files)
                    or known.versions != self._now(pair, known, versions)
                ):
                    yield Task(pair, versions)
                    continue
                skipped += 1
                if known.row is not None:
                    yield TaggedOutput(KEPT, {**known.row, **dict(pair.extra)})
                else:
                    yield TaggedOutput(LEFT, Left("skipped", pair.id))
        if skipped:
            counts = progress.Writer(self.settings.scratch)
            counts.add(Counts(skipped=skipped))
            counts.close()

    def _is_there(self, known: Known, files: "_Files") -> bool:
        """Say whether the image is this output's and as the record's run left it: a later one may have been killed."""
        image = files.found.get(known.output) if known.output.startswith(f"{self.settings.output}/images/") else None
        if image is None or image.size != known.size:
            return False
        return image.modified is None or image.modified <= known.harmonized_at.timestamp() + CLOCKS

    def _now(self, pair: Pair, known: Known, versions: Versions) -> Versions | None:
        """Return what must equal the record's; None where a file is not to be had, and must fail again."""
        if any(uri and not version for uri, version in zip(files_of(pair), versions, strict=True)):
            return None
        try:
            return tuple(uri and _sha256(uri) for uri in (*files_of(pair), known.output)) if self.verify else versions
        except StorageError:
            return None


class _Files:
    """What listings of folders say of files, each folder listed once."""

    def __init__(self) -> None:
        self.found: dict[str, storage.Listed] = {}
        self.folders: set[str] = set()

    def list_folders(self, batch: Sequence[Candidate]) -> None:
        """List the folders of the pairs' files and of the images recorded."""
        uris = [uri for pair, _ in batch for uri in files_of(pair) if uri]
        uris += [known.output for _, known in batch if known]
        wanted = {storage.parent(uri) for uri in uris} - self.folders
        self.folders |= wanted
        try:
            self.found |= storage.listing(wanted)
        except StorageError as error:  # files may be read all the same, and are
            log.warning("%s: all that is listed with it counts as changed", error)

    def version(self, uri: str) -> str | None:
        """Return a file's version, None if it is not known."""
        return self.found[uri].version if uri in self.found else None


@dataclasses.dataclass
class KeepFailed(beam.PTransform[PCollection[Pair], PCollection[Pair]]):
    """Keep the pairs that failed in an earlier run.

    Attributes:
        folder: URI of that run's failures.
    """

    folder: str

    def expand(self, pairs: PCollection[Pair]) -> PCollection[Pair]:
        files = pairs.pipeline | "Failures" >> beam.Create([self.folder]) | "ListFailures" >> beam.FlatMap(list_tables)
        ids = files | "ReadFailures" >> beam.FlatMap(_ids)
        kept: PCollection[Pair] = pairs | "Failed" >> beam.Filter(_is_among, AsDict(ids))
        return kept


def list_tables(folder: str) -> list[str]:
    """Return the URIs of the Parquet files below a folder; none if it is not there."""
    try:
        return [storage.join(folder, name) for name in storage.list_files(folder) if name.endswith(".parquet")]
    except FileNotFoundError:
        return []


def _keyed(pair: Pair) -> tuple[str, Pair]:
    return pair.id, pair


def _is_among(pair: Pair, ids: Mapping[str, None]) -> bool:
    return pair.id in ids


def _ids(uri: str) -> list[tuple[str, None]]:
    table = parquet.read_table(io.BytesIO(storage.read(uri)), columns=["id"])
    return [(identity, None) for identity in table["id"].to_pylist() if identity is not None]


def files_of(pair: Pair) -> tuple[str | None, ...]:
    """Return the URIs of composite, mask and reference."""
    return tuple(getattr(pair, name) for name in FILES)


def key_of(row: Mapping[str, Any]) -> str:
    """Return what is the same for two rows of the same files, weights and options."""
    names = (*FILES, "weights_sha256", "options")
    return hashlib.sha256(json.dumps([row[name] for name in names]).encode()).hexdigest()


def read_records(uri: str, *, whole: bool) -> list[Record]:
    """Read a file of metrics: whole rows, or the columns that tell whether a pair is up to date.

    Returns:
        No rows if it lacks such a column: an older program's records tell too little to be believed.

    Raises:
        StorageError: It cannot be read, or is not Parquet.
    """
    told = ("weights_sha256", "options", "harmonized_at", "output", "output_bytes", "output_sha256")
    wanted = ["id", *FILES, *told, *VERSIONS, *HASHES]
    try:
        with parquet.ParquetFile(io.BytesIO(storage.read(uri))) as table:
            if not set(wanted) <= set(table.schema_arrow.names):
                return []
            rows: list[Record] = table.read(None if whole else wanted).to_pylist()
            return rows
    except pa.ArrowException as error:
        raise StorageError(f"{uri} is no Parquet file ({error}): remove it, or run with --no-resume") from error


def _sha256(uri: str) -> str:
    return hashlib.sha256(storage.read(uri)).hexdigest()
