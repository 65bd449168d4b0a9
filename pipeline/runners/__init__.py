"""Where a job runs: on this machine, on Dataflow, or by any other of Beam's runners; a job asks its `Runner` only."""

from hdnet.pipeline.request import Request
from hdnet.pipeline.runners import beam_options
from hdnet.pipeline.runners.base import Runner as Runner
from hdnet.pipeline.runners.dataflow import DataflowRunner
from hdnet.pipeline.runners.local import LocalRunner
from hdnet.pipeline.runners.other import OtherRunner


def choose(request: Request) -> Runner:
    """Return the runner that the request's Beam options name; the local one where they name none.

    Raises:
        BeamOptionsError: An option is unknown or has no value that Beam takes.
    """
    options = beam_options.parse(request.beam_args)
    name = beam_options.runner_name(options)
    if name in LocalRunner.NAMES:
        return LocalRunner(request, options)
    return DataflowRunner(request, options) if name == "dataflow" else OtherRunner(request, options)
