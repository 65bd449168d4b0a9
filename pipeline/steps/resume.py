"""Find out what an earlier run has done already, compare it with what is there today, and leave it out.

A pair is up to date when a record with the same files, weights and options says that it was done, the files have not
changed, and the image is still there. Files are told apart by what listings of their folders say about them, or with
`verify` by their content.
"""

import dataclasses
import hashlib
import itertools
import logging
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints import no_annotations

from hdnet.pipeline.layout import Layout
from hdnet.pipeline.local import progress
from hdnet.pipeline.local.progress import Counts
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps import blocks
from hdnet.pipeline.steps.blocks import GroupInBlocks, SpreadInBlocks
from hdnet.pipeline.steps.earlier_runs import Known, Versions, files_of, key_of, known_images, list_tables
from hdnet.pipeline.steps.summary import EXAMPLES, Summary
from hdnet.transforms import storage
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.rows import FILES, Record
from hdnet.transforms.errors import LabelError, StorageError
from hdnet.transforms.storage import Listed, schemes

TASKS, KEPT, SUMMARIES, REFUSED = "tasks", "kept", "summaries", "refused"
JOINED = 5000
"""The number of pairs that are joined with their records at a time, in memory."""
BATCH = 20_000
"""The number of pairs of one folder that are compared at a time."""
LISTED = 100_000
"""Files that a worker remembers of folders which the current pairs do not need, some 400 bytes each."""
MOST_TOGETHER, FEWEST_BATCHES = 100, 1000
"""The largest number of pairs that a worker gets at a time, and the number of batches below which it gets fewer."""
CLOCKS = 10.0
"""Seconds by which the clocks of workers and storage may differ."""
GROUPS = 16
"""The number of groups that the pairs of one folder are divided into where comparing them means reading them."""

COUNTERS = "resume"
"""Namespace of Beam's counters `to_do` and `up_to_date`."""

log = logging.getLogger(__name__)


class Task(NamedTuple):
    """A pair to harmonize.

    Attributes:
        pair: The pair.
        versions: Versions of composite, mask and reference, None where nothing is known.
        earlier: URIs of the images of this id that earlier runs wrote and that are still there.
    """

    pair: Pair
    versions: Versions = (None,) * len(FILES)
    earlier: tuple[str, ...] = ()


class Backlog(NamedTuple):
    """How much there is to do.

    Attributes:
        pairs: The number of pairs in the manifest, or in the part of it that was asked for.
        up_to_date: How many of them would be left out.
        to_do: How many of them would be harmonized.
    """

    pairs: int
    up_to_date: int
    to_do: int


class Candidate(NamedTuple):
    """A pair with what is known about it.

    Attributes:
        pair: The pair.
        known: The newest record of it, if that has the same files, weights and options.
        earlier: URIs of all recorded images of this id.
    """

    pair: Pair
    known: Known | None
    earlier: tuple[str, ...]


class SortedPairs(NamedTuple):
    """What `SkipDone` makes of the pairs.

    Attributes:
        tasks: Pairs to harmonize.
        kept: Rows of this run, cut short before, whose pairs are up to date.
        orphans: Rows of this run whose pairs are no longer asked for.
        summaries: Counts of what other runs have done, and of what has left the manifest.
        refused: Failure rows of pairs with a file that may not be opened.
    """

    tasks: PCollection[Task]
    kept: PCollection[Record]
    orphans: PCollection[Record]
    summaries: PCollection[Summary]
    refused: PCollection[Record]


@dataclasses.dataclass
class SkipDone(beam.PTransform[PCollection[Pair], SortedPairs]):
    """Separate the pairs to harmonize from those that are up to date or refused.

    Attributes:
        settings: How to harmonize, and where results go.
        weights_sha256: SHA-256 of the tensors that this run uses.
        rows: About how many pairs there are.
        since: When the run was started; what it has made since then does not count as up to date.
        schemes: Schemes that the pairs' URIs may have; None for all that storage knows.
        others: Trust the records of other runs, too, and not only those of this run.
        verify: Compare contents.
        partial: The pairs are only a part of the manifest, so recorded images without a pair are not counted as
            removed from it.
    """

    settings: Settings
    weights_sha256: str
    rows: int
    since: datetime
    schemes: frozenset[str] | None = None
    others: bool = True
    verify: bool = False
    partial: bool = False

    # Beam's type hints know one output only, and it would log a warning.
    @no_annotations  # type: ignore[untyped-decorator]
    def expand(self, input_or_inputs: PCollection[Pair]) -> SortedPairs:
        """Read the records, join them with the pairs, compare folder by folder."""
        layout, compare = self.settings.layout, Compare(self.settings, self.since, self.verify)
        known = (
            input_or_inputs.pipeline
            | "Output" >> beam.Create([trusted(layout, self.others)])
            | "ListRecords" >> beam.FlatMap(list_tables)
            | "SpreadRecords" >> beam.Reshuffle()
            | "ReadRecords" >> beam.FlatMap(known_images, layout.metrics, self.verify)
        )
        joined = (
            (input_or_inputs, known)
            | "JoinRecords" >> GroupInBlocks(_part_of, (-(-self.rows // JOINED),))
            | "SortOut" >> beam.FlatMapTuple(self._sort_out).with_outputs(SUMMARIES, KEPT, REFUSED, main="candidates")
        )
        compared = (
            joined["candidates"]
            | "GroupByFolder" >> GroupInBlocks(self._group)
            | "Compare" >> beam.ParDo(compare).with_outputs(KEPT, SUMMARIES, main=TASKS)
        )
        together = min(MOST_TOGETHER, max(1, self.rows // FEWEST_BATCHES))
        return SortedPairs(
            tasks=compared[TASKS] | "SpreadTasks" >> SpreadInBlocks(together),
            kept=compared[KEPT],
            orphans=joined[KEPT],
            summaries=(compared[SUMMARIES], joined[SUMMARIES]) | "AllSummaries" >> beam.Flatten(),
            refused=joined[REFUSED],
        )

    def _sort_out(self, _: int, packed: Iterable[bytes]) -> Iterator[Any]:
        pairs, newest, images = list[Pair](), dict[str, Known](), defaultdict[str, set[str]](set)
        for entry in blocks.values(packed):
            if isinstance(entry, Pair):
                pairs.append(entry)
                continue
            images[entry.id].add(entry.output)
            if entry.id not in newest or newest[entry.id].harmonized_at < entry.harmonized_at:
                newest[entry.id] = entry
        for pair in pairs:
            yield self._candidate(pair, newest.pop(pair.id, None), images.get(pair.id, ()))
        if newest and not self.partial:
            yield TaggedOutput(SUMMARIES, Summary(removed=len(newest), removed_examples=sorted(newest)[:EXAMPLES]))
        # This run's table is written anew, so these rows would be lost.
        work_before = Summary()
        for known in newest.values():
            if known.row is not None:
                yield TaggedOutput(KEPT, known.row)
                work_before.take_off_if_older(known.row, self.since)
        yield TaggedOutput(SUMMARIES, work_before)

    def _candidate(self, pair: Pair, known: Known | None, images: Iterable[str]) -> Any:
        try:
            check_schemes(pair, self.schemes)
            key = key_of({**{name: getattr(pair, name) for name in FILES}, "weights_sha256": self.weights_sha256})
            options, label = self.settings.image.of(pair), self.settings.image.label_of(pair)
        except (LabelError, StorageError) as error:
            return TaggedOutput(REFUSED, pair.failure("manifest", error).record(pair.extra))
        alike = known and known.key == key and options.would_repeat(known.options, known.output, label)
        ours = tuple(sorted(uri for uri in images if uri.startswith(f"{self.settings.layout.images}/")))
        return Candidate(pair, known if alike else None, ours)

    def _group(self, candidate: Candidate) -> tuple[str, int]:
        # Where comparing means reading, the pairs of one folder are divided among several workers.
        pair = candidate.pair
        return storage.parent(pair.composite), _part(pair.id, GROUPS) if self.verify else 0


class Compare(beam.DoFn):
    """Separates a folder's pairs into those that are up to date and the tasks.

    Args:
        settings: How to harmonize, and where results go.
        since: As for `SkipDone`.
        verify: Compare contents.
    """

    def __init__(self, settings: Settings, since: datetime, verify: bool) -> None:
        self.settings, self.since, self.verify = settings, since, verify

    def start_bundle(self) -> None:
        self.files = _Files()  # for all folders of the bundle, which may share one folder of masks

    def process(self, element: tuple[Any, Iterable[bytes]]) -> Iterator[Any]:
        source, seen, total = blocks.values(element[1]), 0, Summary()
        while batch := list(itertools.islice(source, BATCH)):
            self.files.list_folders(batch)
            for pair, known, earlier in batch:
                versions = tuple(uri and self.files.version(uri) for uri in files_of(pair))
                if known is None or not self._is_current(pair, known, versions):
                    Metrics.counter(COUNTERS, "to_do").inc()
                    yield Task(pair, versions, tuple(uri for uri in earlier if uri in self.files.found))
                    continue
                seen += 1
                if known.row is not None:
                    yield TaggedOutput(KEPT, {**known.row, **dict(pair.extra)})
                total.skipped += known.row is None or total.take_off_if_older(known.row, self.since)
        if seen:
            self._count(seen)
            yield TaggedOutput(SUMMARIES, total)

    def _count(self, seen: int) -> None:
        Metrics.counter(COUNTERS, "up_to_date").inc(seen)
        counts = progress.ProgressFile(self.settings.machine.scratch)
        counts.add(Counts(skipped=seen))
        counts.close()

    def _is_current(self, pair: Pair, known: Known, versions: Versions) -> bool:
        return self._is_there(known) and known.versions == self._now(pair, known, versions)

    def _is_there(self, known: Known) -> bool:
        """Say whether the image lies in this output, and is as the recorded run left it.

        A later run may have been killed after it had replaced the image.
        """
        inside = known.output.startswith(f"{self.settings.layout.images}/")
        image = self.files.found.get(known.output) if inside else None
        if image is None or image.size != known.size:
            return False
        return image.modified is None or image.modified <= known.harmonized_at.timestamp() + CLOCKS

    def _now(self, pair: Pair, known: Known, versions: Versions) -> Versions | None:
        """Return what must equal the record's versions; None where a file is not available, and the pair must fail."""
        if any(uri and not version for uri, version in zip(files_of(pair), versions, strict=True)):
            return None
        try:
            return tuple(uri and _sha256(uri) for uri in (*files_of(pair), known.output)) if self.verify else versions
        except StorageError:
            return None


class _Files:
    """What the listings of folders say about files. Each folder is listed once while it is needed."""

    def __init__(self) -> None:
        self.found: dict[str, Listed] = {}
        self.folders: set[str] = set()

    def list_folders(self, batch: Sequence[Candidate]) -> None:
        """List the folders of the pairs' files and of the recorded images; forget other folders if they are many."""
        uris = [uri for candidate in batch for uri in (*files_of(candidate.pair), *candidate.earlier) if uri]
        uris += [candidate.known.output for candidate in batch if candidate.known]
        single = {uri for uri in uris if not storage.is_listed(uri)}
        wanted = {storage.parent(uri) for uri in uris if uri not in single}
        if len(self.found) > LISTED:
            self.found = {uri: listed for uri, listed in self.found.items() if storage.parent(uri) in wanted}
            self.folders &= wanted
        # The files of a folder that cannot be listed may be readable all the same.
        self.found |= storage.listing(
            wanted - self.folders, lambda error: log.warning("%s: all that is in it counts as changed", error)
        )
        self.found |= storage.ask(single.difference(self.found))
        self.folders |= wanted

    def version(self, uri: str) -> str | None:
        """Return a file's version, None if it is not known."""
        return self.found[uri].version if uri in self.found else None


def trusted(layout: Layout, others: bool) -> str:
    """Return the folder of the metrics that are trusted: those of all runs, or without `others` of this run only."""
    return layout.all_metrics if others else layout.metrics


def check_schemes(pair: Pair, allowed: frozenset[str] | None) -> None:
    """Refuse a pair if one of its files may not be opened.

    Raises:
        StorageError: The message names the file.
    """
    for uri in files_of(pair):
        if uri is not None and allowed is not None:
            schemes.check(uri, allowed)


def _part_of(entry: Pair | Known, parts: int) -> int:
    return _part(entry.id, parts)


def _part(identity: str, parts: int) -> int:
    """Return a number below `parts`: a hash of the id that is the same in every process."""
    return zlib.crc32(identity.encode()) % parts


def _sha256(uri: str) -> str:
    return hashlib.sha256(storage.read(uri)).hexdigest()
