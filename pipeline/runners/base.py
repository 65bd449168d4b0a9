"""What a run asks of the runner it was given."""

import abc

from apache_beam.options.pipeline_options import PipelineOptions

from hdnet.model.precision import Precision
from hdnet.pipeline import graph
from hdnet.pipeline.cost import Estimate
from hdnet.pipeline.local.machine import Plan
from hdnet.pipeline.request import Request
from hdnet.transforms.errors import BeamOptionsError


class Runner(abc.ABC):
    """Runs a job's graph; its methods are called in the order in which they stand here.

    Attributes:
        request: What the command was asked to do.
        options: Beam's options, parsed.
    """

    GPUS = False
    """Whether its machines can be asked for GPUs."""

    def __init__(self, request: Request, options: PipelineOptions) -> None:
        self.request, self.options = request, options

    def check(self) -> None:
        """Refuse what no worker could run with, and a runner that is not available here, before anything is read.

        Raises:
            BeamOptionsError: Names the option and the remedy.
        """
        if self.request.accelerator and not self.GPUS:
            raise BeamOptionsError("--accelerator asks Dataflow for GPUs: give --runner=DataflowRunner, too")

    @abc.abstractmethod
    def precision(self) -> Precision:
        """Return the precision that `--precision auto` stands for."""

    @abc.abstractmethod
    def complete(self) -> None:
        """Set the options that a job of ours needs and the user left open, and have Beam check them all.

        Raises:
            BeamOptionsError: Beam finds fault with an option, or cannot reach what one of them names.
        """

    @abc.abstractmethod
    def run(self, job: graph.Job, plan: Plan, found: Estimate) -> bool:
        """Run a job.

        Args:
            job: The job.
            plan: How this machine would be divided.
            found: What the headers of the first images say: the workers' machines must hold such images.

        Returns:
            Whether the job has ended, so that its results can be shown.

        Raises:
            HarmonizeError: The job could not be started, or ended before it was done.
        """
