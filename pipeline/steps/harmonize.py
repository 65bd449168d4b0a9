"""`HarmonizePairs`: pairs in, metrics rows and failure rows out. Its DoFn does all of the pixel work."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints import no_annotations
from apache_beam.utils.shared import Shared

from hdnet.pipeline.local import progress
from hdnet.pipeline.local.progress import Counts
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps.journal import Journal
from hdnet.pipeline.steps.resume import Task
from hdnet.pipeline.steps.summary import Summary
from hdnet.transforms import versions
from hdnet.transforms.catalog import rows
from hdnet.transforms.catalog.rows import STAGES, MetricsRow, Record
from hdnet.transforms.errors import HarmonizeError, OutputError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from hdnet.pipeline.steps import pair
    from hdnet.pipeline.steps.relay import Relay, Work

    Done = tuple[tuple[Task, pair.Stages], Future[tuple[MetricsRow, Record]]]

ROWS, FAILURES, SUMMARIES = "rows", "failures", "summaries"


class Harmonized(NamedTuple):
    """What becomes of the pairs.

    Attributes:
        rows: One row of the metrics for each image written.
        failures: One row of the failures for each pair that failed.
        summaries: Counts of the images that were replaced by others with another suffix.
    """

    rows: PCollection[Record]
    failures: PCollection[Record]
    summaries: PCollection[Summary]


@dataclasses.dataclass
class HarmonizePairs(beam.PTransform[PCollection[Task], Harmonized]):
    """Harmonize pairs.

    Attributes:
        settings: How to harmonize, and where results go.
        extra: Names of the manifest's columns that pass through to the metrics.
    """

    settings: Settings
    extra: tuple[str, ...] = ()

    # Beam's type hints know one output only, and it would log a warning.
    @no_annotations  # type: ignore[untyped-decorator]
    def expand(self, input_or_inputs: PCollection[Task]) -> Harmonized:
        work = beam.ParDo(HarmonizePair(self.settings, self.extra))
        found = input_or_inputs | "HarmonizePair" >> work.with_outputs(FAILURES, SUMMARIES, main=ROWS)
        return Harmonized(found[ROWS], found[FAILURES], found[SUMMARIES])


class HarmonizePair(beam.DoFn):
    """Does a worker's work on each element; a process loads its worker once.

    An expected error becomes a failure row; any other exception is a bug and stops the run.
    """

    def __init__(self, settings: Settings, extra: tuple[str, ...] = ()) -> None:
        self.settings = settings
        self.schema = rows.schema(settings.row, extra)
        # One holder for everything a process shares: a second one would evict the first.
        self.shared = Shared()

    def setup(self) -> None:
        versions.check_same(dict(self.settings.machine.launcher))
        self.progress = progress.ProgressFile(self.settings.machine.scratch)
        self.journal = Journal(self.settings.layout.metrics, self.schema)
        self.relay: Relay[tuple[Task, pair.Stages], tuple[MetricsRow, Record]] | None = None

    def teardown(self) -> None:
        if self.relay:
            self.relay.close()
        self.progress.close()

    def start_bundle(self) -> None:
        if self.relay:
            self.relay.abandon()  # of a bundle that failed

    def finish_bundle(self) -> Iterator[Any]:
        for value in self._outcomes(self.relay.finish() if self.relay else ()):
            yield _in_global_window(value)
        # A runner may make bundles of a few pairs, and a file for each would be too many.
        self.journal.flush_if_due()

    def process(self, task: Task) -> Iterator[Any]:
        # These take seconds to load, and on many nights no pair comes.
        import torch

        from hdnet.pipeline.steps import pair
        from hdnet.pipeline.steps.relay import Relay

        # We keep a reference, because the holder forgets what nobody else holds.
        self.worker = self.shared.acquire(self.settings.load, tag=self.settings)
        # A thread that has run torch before keeps its number of threads, so each one is told.
        torch.set_num_threads(self.worker.threads)
        self.relay = self.relay or Relay()
        stages = pair.Stages()
        yield from self._outcomes(self.relay.put((task, stages), self._work(task, stages)))

    def _work(self, task: Task, stages: "pair.Stages") -> "Work[tuple[MetricsRow, Record]]":
        row = yield from self.worker.work(task, stages, self.progress.under_way)
        record = row.record(task.pair.extra)
        self.journal.add(record)
        return row, record

    def _outcomes(self, done: "Iterable[Done]") -> Iterator[Any]:
        """Yield what becomes of pairs that are done."""
        for (task, stages), result in done:
            try:
                row, record = result.result()
            except OutputError:  # no other image could be written either
                raise
            except HarmonizeError as error:
                Metrics.counter("failures", type(error).__name__).inc()
                self.progress.add(Counts(failures=1))
                yield TaggedOutput(FAILURES, task.pair.failure(stages.current, error).record(task.pair.extra))
            else:
                self._count(row, stages)
                yield record
                if stale := [uri for uri in task.earlier if uri != row.output]:
                    yield TaggedOutput(SUMMARIES, Summary(stale=len(stale), stale_examples=stale))

    def _count(self, row: MetricsRow, stages: "pair.Stages") -> None:
        pixels = row.width * row.height
        self.progress.add(Counts(images=1, pixels=pixels))
        Metrics.counter("harmonize", "images").inc()
        Metrics.counter("harmonize", "pixels").inc(pixels)
        for stage in STAGES:
            Metrics.distribution("milliseconds", stage).update(round(1000 * stages.seconds[stage]))
        for way, count in stages.bytes.items():
            Metrics.distribution("bytes", way).update(count)


def _in_global_window(value: Any) -> Any:
    """Return a value as a bundle's end must yield it."""
    if isinstance(value, TaggedOutput):
        return TaggedOutput(value.tag, GlobalWindows.windowed_value(value.value))
    return GlobalWindows.windowed_value(value)
