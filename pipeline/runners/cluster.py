"""A runner whose workers are on machines of their own: what they cannot see is refused, and the job's end awaited."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import click
import grpc
from apache_beam.options.pipeline_options import DebugOptions, StandardOptions
from apache_beam.runners.runner import PipelineState

from hdnet.model.precision import Precision
from hdnet.model.weights import weights_header
from hdnet.pipeline import graph
from hdnet.pipeline.cost import Estimate
from hdnet.pipeline.local.machine import Plan
from hdnet.pipeline.runners.base import Runner
from hdnet.pipeline.settings import Machine
from hdnet.transforms import versions
from hdnet.transforms.errors import BeamOptionsError, JobFailed

SAME = ("apache-beam", "hdnet-pipeline")
"""Packages of which launcher and workers must have the same version, as they must of Python."""


class ClusterRunner(Runner):
    """What Dataflow and Beam's other runners have in common."""

    root: beam.Pipeline

    def precision(self) -> Precision:
        # The machines of a cluster may differ, and an image must not depend on which of them made it.
        return "float32"

    def complete(self) -> None:
        debug = self.options.view_as(DebugOptions)
        if debug.number_of_worker_harness_threads is None:
            debug.number_of_worker_harness_threads = 1
        try:
            self.root = beam.Pipeline(options=self.options)
        except Exception as error:  # Google's clients have errors of their own
            raise BeamOptionsError(str(error)) from error

    def hints(self, found: Estimate) -> Mapping[str, str]:
        """Return Beam's resource hints for the step that works on pixels."""
        return {}

    def run(self, job: graph.Job, plan: Plan, found: Estimate) -> bool:
        logging.getLogger("apache_beam").setLevel(logging.INFO)  # shows how far the job is
        device = "cuda" if self.request.accelerator else "auto"
        machine = Machine(plan=None, device=device, launcher=tuple(versions.versions(*SAME).items()))
        settings = dataclasses.replace(job.settings, machine=machine)
        graph.build(self.root, dataclasses.replace(job, settings=settings, hints=self.hints(found)))
        try:
            result = self.root.run()
            click.echo(self.whereabouts(result), err=True)
            if not self.is_awaited():
                return False
            state = result.wait_until_finish()
        except grpc.FutureTimeoutError as error:
            raise JobFailed("the job failed: no job service answers at --job_endpoint") from error
        except Exception as error:  # each runner has a class of its own for it
            raise JobFailed(f"the job failed: {str(error) or type(error).__name__}") from error
        if state != PipelineState.DONE:
            raise JobFailed(f"the job ended as {state}: start it again, and it goes on where it was")
        return True

    def is_awaited(self) -> bool:
        """Say whether the job's end is waited for."""
        return not self.options.view_as(StandardOptions).no_wait_until_finish

    def whereabouts(self, result: Any) -> str:
        """Return a line that says where the job is."""
        return "the job runs, and goes on if this command is stopped"

    def _refuse_local_sizes(self, remedy: str) -> None:
        if self.request.workers or self.request.memory:
            raise BeamOptionsError(f"--workers and --memory divide this machine: {remedy}")

    def _refuse_local_places(self, reason: str) -> None:
        """Refuse files and folders on this machine's own disk."""
        for name, place in self.request.places.items():
            if place is not None and place not in weights_header.shipped() and is_here(place):
                raise BeamOptionsError(f"--{name} {place} is on this machine, {reason}")


def is_here(place: str) -> bool:
    """Say whether a place is on this machine's own disk."""
    return "://" not in place or place.startswith("file://")
