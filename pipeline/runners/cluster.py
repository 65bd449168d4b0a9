"""A run by another runner than the local one, such as Dataflow's: what it is told, and waiting for its end."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import click
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineState

from hdnet.pipeline import graph
from hdnet.pipeline.cost import Estimate
from hdnet.pipeline.runners import advice, beam_options
from hdnet.pipeline.runners.beam_options import BeamOptionsError
from hdnet.transforms import versions
from hdnet.transforms.errors import HarmonizeError

SAME = ("apache-beam", "hdnet-pipeline")
"""Packages of which launcher and workers must have the same version, as of Python."""


class JobFailed(HarmonizeError):
    """A job ended before it was done."""


def pipeline(options: PipelineOptions) -> beam.Pipeline:
    """Return an empty pipeline for the options' runner.

    Raises:
        BeamOptionsError: The runner finds fault with an option, or cannot reach what one of them names.
    """
    try:
        return beam.Pipeline(options=options)
    except Exception as error:  # Google's clients have errors of their own
        raise BeamOptionsError(str(error)) from error


def hints(options: PipelineOptions, found: Estimate, accelerator: str | None) -> dict[str, str]:
    """Return the resource hints of the step that works on pixels; none where they may not stand beside the options.

    Raises:
        BeamOptionsError: An accelerator is wanted, and so is what excludes it.
    """
    if beam_options.has_own_workers(options):
        if accelerator:
            raise BeamOptionsError("--accelerator cannot stand beside --flexrs_goal or worker_accelerator: choose one")
        return {}
    ram = advice.min_ram(beam_options.machine_type(options), found.typical_bytes, found.largest_bytes)
    return {"min_ram": ram, **({"accelerator": accelerator} if accelerator else {})}


def run(root: beam.Pipeline, options: PipelineOptions, job: graph.Job) -> bool:
    """Start a job, and wait for its end unless the options say not to; returns whether it has ended.

    Raises:
        JobFailed: It could not be started, or ended before it was done.
    """
    logging.getLogger("apache_beam").setLevel(logging.INFO)  # how far it is
    logging.getLogger("apache_beam.runners.dataflow.internal.apiclient").setLevel(logging.WARNING)  # every option
    settings = dataclasses.replace(job.settings, launcher=tuple(_ours().items()))
    graph.build(root, dataclasses.replace(job, settings=settings))
    try:
        result = root.run()
        click.echo(_whereabouts(result, options), err=True)
        if options.view_as(StandardOptions).no_wait_until_finish or _is_template(options):
            return False
        state = result.wait_until_finish()
    except Exception as error:  # each runner has a class of its own for it
        raise JobFailed(f"the job failed: {error}") from error
    if state != PipelineState.DONE:
        raise JobFailed(f"the job ended as {state}: start it again, and it goes on where it was")
    return True


def _ours() -> Mapping[str, str]:
    return versions.versions(*SAME)


def _is_template(options: PipelineOptions) -> bool:
    return bool(options.view_as(GoogleCloudOptions).template_location)


def _whereabouts(result: Any, options: PipelineOptions) -> str:
    cloud = options.view_as(GoogleCloudOptions)
    if _is_template(options):
        return f"the template is {cloud.template_location}; nothing runs yet"
    if not beam_options.is_dataflow(options):
        return "the job runs; it goes on if this command is stopped"
    place = f"https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{result.job_id()}?project={cloud.project}"
    return f"job {result.job_id()} runs, and goes on if this command is stopped: {place}"
