"""`HarmonizePairs`: pairs in, metrics rows and failure rows out; the only DoFn, and all of the pixel work."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import torch
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.utils.shared import Shared

from pipeline import pair as pair_work
from pipeline import progress
from pipeline.rows import STAGES, Record, failure
from pipeline.settings import Settings
from transforms.errors import HarmonizeError
from transforms.manifest import Pair

ROWS, FAILURES = "rows", "failures"


@dataclasses.dataclass
class HarmonizePairs(beam.PTransform[PCollection[Pair], Any]):
    """Harmonize pairs: `rows` holds one metrics row per image written, `failures` one row per pair that was not.

    Attributes:
        settings: Of the run.
    """

    settings: Settings

    def expand(self, pairs: PCollection[Pair]) -> Any:
        return pairs | "HarmonizePair" >> beam.ParDo(HarmonizePair(self.settings)).with_outputs(FAILURES, main=ROWS)


class HarmonizePair(beam.DoFn):
    """Runs `pair.harmonize` on each element, with weights loaded once per process.

    An expected error becomes a failure row; any other exception is a bug and stops the run.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # One holder for everything a process shares: a second one would evict the first.
        self.shared = Shared()

    def setup(self) -> None:
        self.worker = self.shared.acquire(lambda: pair_work.Worker.load(self.settings), tag=self.settings)
        self.progress = progress.Writer(self.settings.scratch)

    def teardown(self) -> None:
        self.progress.close()

    def process(self, pair: Pair) -> Iterator[Any]:
        # A thread that has run torch before keeps its number of threads: each one is told.
        torch.set_num_threads(self.settings.threads)
        stages = pair_work.Stages()
        try:
            row = pair_work.harmonize(pair, self.worker, stages)
        except HarmonizeError as error:
            Metrics.counter("failures", type(error).__name__).inc()
            self.progress.failed()
            yield TaggedOutput(FAILURES, failure(pair, stages.current, error))
        else:
            self._count(row, stages)
            yield row

    def _count(self, row: Record, stages: pair_work.Stages) -> None:
        pixels = row["width"] * row["height"]
        self.progress.done(pixels)
        Metrics.counter("harmonize", "images").inc()
        Metrics.counter("harmonize", "pixels").inc(pixels)
        for stage in STAGES:
            Metrics.distribution("milliseconds", stage).update(round(1000 * stages.seconds[stage]))
        for way, count in stages.bytes.items():
            Metrics.distribution("bytes", way).update(count)
