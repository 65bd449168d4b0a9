"""`HarmonizePairs`: pairs in, metrics rows and failure rows out; the only DoFn, and all of the pixel work."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.utils.shared import Shared

from hdnet.pipeline.local import progress
from hdnet.pipeline.local.progress import Counts
from hdnet.pipeline.rows import METRICS_SCHEMA, STAGES, Record, failure, with_extra
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps.journal import Journal
from hdnet.pipeline.steps.resume import Task
from hdnet.transforms import versions
from hdnet.transforms.errors import HarmonizeError, OutputError

if TYPE_CHECKING:
    from hdnet.pipeline.steps import pair

ROWS, FAILURES = "rows", "failures"


@dataclasses.dataclass
class HarmonizePairs(beam.PTransform[PCollection[Task], Any]):
    """Harmonize pairs: `rows` holds one metrics row per image written, `failures` one row per pair that was not.

    Attributes:
        settings: Of the run.
        extra: Names of the manifest's columns that pass through to the metrics.
    """

    settings: Settings
    extra: tuple[str, ...] = ()

    def expand(self, tasks: PCollection[Task]) -> Any:
        work = beam.ParDo(HarmonizePair(self.settings, self.extra))
        return tasks | "HarmonizePair" >> work.with_outputs(FAILURES, main=ROWS)


class HarmonizePair(beam.DoFn):
    """Runs `pair.harmonize` on each element, with weights loaded once per process.

    An expected error becomes a failure row; any other exception is a bug and stops the run.
    """

    def __init__(self, settings: Settings, extra: tuple[str, ...] = ()) -> None:
        self.settings = settings
        self.schema = with_extra(METRICS_SCHEMA, extra)
        # One holder for everything a process shares: a second one would evict the first.
        self.shared = Shared()

    def setup(self) -> None:
        versions.check_same(dict(self.settings.machine.launcher))
        self.progress = progress.ProgressFile(self.settings.machine.scratch)
        self.journal = Journal(self.settings.table("metrics"), self.schema)

    def teardown(self) -> None:
        self.progress.close()

    def finish_bundle(self) -> None:
        # A runner may make a bundle of a few pairs, and a file of each would be too many.
        self.journal.flush_if_due()

    def process(self, task: Task) -> Iterator[Any]:
        # They take seconds to load, and on many a night no pair comes.
        import torch

        from hdnet.pipeline.steps import pair

        # Kept by us: the holder forgets what nobody holds.
        self.worker = self.shared.acquire(lambda: pair.Worker.load(self.settings), tag=self.settings)
        # A thread that has run torch before keeps its number of threads: each one is told.
        torch.set_num_threads(self.worker.threads)
        stages = pair.Stages()
        try:
            row = pair.harmonize(task, self.worker, stages, self.progress.begin)
            self.journal.add(row)
        except OutputError:  # nor could any other image be written
            raise
        except HarmonizeError as error:
            Metrics.counter("failures", type(error).__name__).inc()
            self.progress.add(Counts(failures=1))
            yield TaggedOutput(FAILURES, failure(task.pair, stages.current, error))
        else:
            self._count(row, stages)
            yield row

    def _count(self, row: Record, stages: "pair.Stages") -> None:
        pixels = row["width"] * row["height"]
        self.progress.add(Counts(images=1, pixels=pixels))
        Metrics.counter("harmonize", "images").inc()
        Metrics.counter("harmonize", "pixels").inc(pixels)
        for stage in STAGES:
            Metrics.distribution("milliseconds", stage).update(round(1000 * stages.seconds[stage]))
        for way, count in stages.bytes.items():
            Metrics.distribution("bytes", way).update(count)
