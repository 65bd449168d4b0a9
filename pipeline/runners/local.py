"""The local run: worker processes of this machine, watched over."""

from apache_beam.options.pipeline_options import StandardOptions

from hdnet.model.precision import Precision
from hdnet.pipeline import graph
from hdnet.pipeline.cost import Estimate
from hdnet.pipeline.local import local_run, machine
from hdnet.pipeline.local.machine import Plan
from hdnet.pipeline.runners import beam_options
from hdnet.pipeline.runners.base import Runner


class LocalRunner(Runner):
    """Divides this machine over worker processes, and starts no download as Beam's own direct runner does."""

    NAMES = frozenset({"", *map(beam_options.short_name, StandardOptions.LOCAL_RUNNERS)}) - {"prism"}
    """Short names of the runners that it takes the place of; "" where none is named."""

    def precision(self) -> Precision:
        return "bfloat16" if machine.computes_bfloat16() else "float32"

    def complete(self) -> None:
        pass

    def run(self, job: graph.Job, plan: Plan, found: Estimate) -> bool:
        local_run.run(job, plan, self.request.beam_args)
        return True
