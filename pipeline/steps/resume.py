"""What an earlier run has done already: found in the metrics, compared with what is there today, and left out.

A pair is up to date when a record of the same files, weights and options says that it was done, the files are
unchanged and the image is still there. Files are told apart by what listings of their folders say of them, or with
`verify` by their content.
"""

import dataclasses
import hashlib
import itertools
import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints import no_annotations

from hdnet.pipeline.local import progress
from hdnet.pipeline.local.progress import Counts
from hdnet.pipeline.rows import FILES, failure
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps import blocks
from hdnet.pipeline.steps.blocks import GroupInBlocks, SpreadInBlocks
from hdnet.pipeline.steps.earlier_runs import Known, Versions, files_of, key_of, known_images, list_tables
from hdnet.pipeline.steps.summary import EXAMPLES, Summary
from hdnet.transforms import storage
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.errors import StorageError
from hdnet.transforms.storage import schemes
from hdnet.transforms.storage.listed import Listed

TASKS, KEPT, LEFT, REFUSED = "tasks", "kept", "left", "refused"
JOINED = 5000
"""Pairs that are joined with their records at a time, in memory."""
BATCH = 20_000
"""Pairs of one folder that are compared at a time."""
LISTED = 100_000
"""Files that a worker remembers of folders which the pairs at hand do not need; some 400 bytes each."""
MOST_TOGETHER, FEWEST_BLOCKS = 100, 1000
"""Pairs that are one worker's work at most; and into how many such shares a run is divided at least, if it can be."""
CLOCKS = 10.0
"""Seconds by which the clocks of workers and storage may differ."""
GROUPS = 16
"""Into how many the pairs of one folder are divided where comparing them means reading them."""

COUNTERS = "resume"
"""Of Beam's counters `to_do` and `up_to_date`, the namespace."""

log = logging.getLogger(__name__)


class Task(NamedTuple):
    """A pair to harmonize.

    Attributes:
        pair: The pair.
        versions: Of composite, mask and reference, None where nothing is known.
    """

    pair: Pair
    versions: Versions = (None,) * len(FILES)


class Backlog(NamedTuple):
    """How much there is to do.

    Attributes:
        pairs: Of the manifest, or of its part that is asked for.
        up_to_date: Of them, those that would be left out.
        to_do: Of them, those that would be harmonized.
    """

    pairs: int
    up_to_date: int
    to_do: int


class Candidate(NamedTuple):
    """A pair with what is known of it."""

    pair: Pair
    known: Known | None


@dataclasses.dataclass
class SkipDone(beam.PTransform[PCollection[Pair], Any]):
    """Sort pairs into five outputs.

    They are: tasks to do; rows of this run that stay, of pairs and of what is no longer in the manifest; summaries of
    what is left alone; failure rows of pairs that may not be opened.

    Attributes:
        settings: Of the run.
        weights_sha256: Of the tensors it uses.
        rows: About how many pairs there are.
        schemes: That the pairs' URIs may have; all that storage knows if None.
        others: Believe other runs' records, too, and not only this run's own.
        verify: Compare contents.
        partial: The pairs are not all of the manifest: what is recorded beside them is not removed from it.
    """

    settings: Settings
    weights_sha256: str
    rows: int
    schemes: frozenset[str] | None = None
    others: bool = True
    verify: bool = False
    partial: bool = False

    # Beam's types know one output only: it would log a warning.
    @no_annotations  # type: ignore[untyped-decorator]
    def expand(self, input_or_inputs: PCollection[Pair]) -> Any:
        """Read the records, join them with the pairs, compare folder by folder."""
        known = (
            input_or_inputs.pipeline
            | "Output" >> beam.Create([believed(self.settings, self.others)])
            | "ListRecords" >> beam.FlatMap(list_tables)
            | "SpreadRecords" >> beam.Reshuffle()
            | "ReadRecords" >> beam.FlatMap(known_images, self.settings.table("metrics"), self.verify)
        )
        candidates, gone, stays, refused = (
            (input_or_inputs, known)
            | "JoinRecords" >> GroupInBlocks(_part_of, (-(-self.rows // JOINED),))
            | "SortOut" >> beam.FlatMapTuple(self._sort_out).with_outputs(LEFT, KEPT, REFUSED, main="candidates")
        )
        compared = (
            candidates
            | "GroupByFolder" >> GroupInBlocks(self._group)
            | "Compare" >> beam.ParDo(Compare(self.settings, self.verify)).with_outputs(KEPT, LEFT, main=TASKS)
        )
        left = (compared[LEFT], gone) | "AllLeft" >> beam.Flatten()
        together = min(MOST_TOGETHER, max(1, self.rows // FEWEST_BLOCKS))
        return compared[TASKS] | "SpreadTasks" >> SpreadInBlocks(together), compared[KEPT], stays, left, refused

    def _sort_out(self, _: int, packed: Iterable[bytes]) -> Iterator[Any]:
        pairs, newest = list[Pair](), dict[str, Known]()
        for entry in blocks.values(packed):
            if isinstance(entry, Pair):
                pairs.append(entry)
            elif entry.id not in newest or newest[entry.id].harmonized_at < entry.harmonized_at:
                newest[entry.id] = entry
        for pair in pairs:
            yield self._candidate(pair, newest.pop(pair.id, None))
        if newest and not self.partial:
            yield TaggedOutput(LEFT, Summary(removed=len(newest), removed_examples=sorted(newest)[:EXAMPLES]))
        # This run's table is written anew.
        yield from (TaggedOutput(KEPT, known.row) for known in newest.values() if known.row is not None)

    def _candidate(self, pair: Pair, known: Known | None) -> Any:
        try:
            check_schemes(pair, self.schemes)
        except StorageError as error:
            return TaggedOutput(REFUSED, failure(pair, "manifest", error))
        key = key_of({**{name: getattr(pair, name) for name in FILES}, "weights_sha256": self.weights_sha256,
                      "options": self.settings.image.key()})  # fmt: skip
        return Candidate(pair, known if known and known.key == key else None)

    def _group(self, candidate: Candidate) -> tuple[str, int]:
        # Where comparing means reading, the pairs of one folder are the work of many.
        pair = candidate.pair
        return storage.parent(pair.composite), _part(pair.id, GROUPS) if self.verify else 0


class Compare(beam.DoFn):
    """Sorts a folder's pairs: those that are up to date, and the tasks.

    Args:
        settings: Of the run.
        verify: Compare contents.
    """

    def __init__(self, settings: Settings, verify: bool) -> None:
        self.settings, self.verify = settings, verify

    def start_bundle(self) -> None:
        self.files = _Files()  # for all folders of the bundle, which may have one folder of masks

    def process(self, element: tuple[Any, Iterable[bytes]]) -> Iterator[Any]:
        source, seen, skipped = blocks.values(element[1]), 0, 0
        while batch := list(itertools.islice(source, BATCH)):
            self.files.list_folders(batch)
            for pair, known in batch:
                versions = tuple(uri and self.files.version(uri) for uri in files_of(pair))
                if known is None or not self._is_current(pair, known, versions):
                    Metrics.counter(COUNTERS, "to_do").inc()
                    yield Task(pair, versions)
                    continue
                seen += 1
                if known.row is not None:
                    yield TaggedOutput(KEPT, {**known.row, **dict(pair.extra)})
                else:
                    skipped += 1
        if seen:
            Metrics.counter(COUNTERS, "up_to_date").inc(seen)
            counts = progress.ProgressFile(self.settings.machine.scratch)
            counts.add(Counts(skipped=seen))
            counts.close()
            yield TaggedOutput(LEFT, Summary(skipped=skipped))

    def _is_current(self, pair: Pair, known: Known, versions: Versions) -> bool:
        return self._is_there(known) and known.versions == self._now(pair, known, versions)

    def _is_there(self, known: Known) -> bool:
        """Say whether the image is this output's and as the record's run left it: a later one may have been killed."""
        inside = known.output.startswith(f"{self.settings.output}/images/")
        image = self.files.found.get(known.output) if inside else None
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
    """What listings of folders say of files, each folder listed once while it is wanted."""

    def __init__(self) -> None:
        self.found: dict[str, Listed] = {}
        self.folders: set[str] = set()

    def list_folders(self, batch: Sequence[Candidate]) -> None:
        """List the folders of the pairs' files and of the images recorded; others are forgotten where they are many."""
        uris = [uri for pair, _ in batch for uri in files_of(pair) if uri]
        uris += [known.output for _, known in batch if known]
        wanted = {storage.parent(uri) for uri in uris}
        if len(self.found) > LISTED:
            self.found = {uri: listed for uri, listed in self.found.items() if storage.parent(uri) in wanted}
            self.folders &= wanted
        # Files may be read all the same, and are.
        self.found |= storage.listing(
            wanted - self.folders, lambda error: log.warning("%s: all that is in it counts as changed", error)
        )
        self.folders |= wanted

    def version(self, uri: str) -> str | None:
        """Return a file's version, None if it is not known."""
        return self.found[uri].version if uri in self.found else None


def believed(settings: Settings, others: bool) -> str:
    """Return the folder of the metrics that are believed: of all runs, or without `others` of this run only."""
    return f"{settings.output}/metrics" if others else settings.table("metrics")


def check_schemes(pair: Pair, allowed: frozenset[str] | None) -> None:
    """Refuse a pair one of whose files may not be opened.

    Raises:
        StorageError: Names the file.
    """
    for uri in files_of(pair):
        if uri is not None and allowed is not None:
            schemes.check(uri, allowed)


def _part_of(entry: Pair | Known, parts: int) -> int:
    return _part(entry.id, parts)


def _part(identity: str, parts: int) -> int:
    """Return one of `parts` by a hash of the id that is the same in every process."""
    return zlib.crc32(identity.encode()) % parts


def _sha256(uri: str) -> str:
    return hashlib.sha256(storage.read(uri)).hexdigest()
