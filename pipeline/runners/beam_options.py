"""Beam's own options: what is mistyped, missing or of no use on Dataflow is refused before anything runs."""

import argparse
import importlib.util
import re
from collections.abc import Mapping, Sequence

from apache_beam.options import pipeline_options
from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)

REQUIRED = {
    "project": "the project that pays",
    "region": "where the workers are, such as europe-west1",
    "temp_location": "a gs:// folder for the job's own files",
    "sdk_container_image": "the image with this package that the workers run: without it they have none of this code",
}
"""Options without which no job of ours runs on Dataflow, with what each is."""


class BeamOptionsError(Exception):
    """Beam options that cannot be used as they are."""


def parse(arguments: Sequence[str]) -> PipelineOptions:
    """Return Beam's options.

    Raises:
        BeamOptionsError: One has no value that Beam takes, Beam would silently ignore it, or it would be in the way of
            ours.
    """
    # Left to itself, the parser prints the names of all options that Beam has and ends the process.
    parser = pipeline_options._BeamArgumentParser(allow_abbrev=False, exit_on_error=False)
    for options in PipelineOptions.__subclasses__():
        if "_add_argparse_args" in options.__dict__:
            options._add_argparse_args(parser)
    try:
        unknown = parser.parse_known_args(list(arguments))[1]
    except argparse.ArgumentError as error:
        raise BeamOptionsError(str(error)) from error
    if unknown:
        raise BeamOptionsError(f"Beam knows no option {' '.join(unknown)}")
    ours = [each for each in arguments if each.startswith(("--direct_num_workers", "--direct_running_mode"))]
    if ours:
        raise BeamOptionsError(f"{' '.join(ours)}: local workers are chosen with --workers, before the --")
    return PipelineOptions(list(arguments), save_main_session=False)


def is_local(options: PipelineOptions) -> bool:
    """Say whether no runner was named: the run is this machine's."""
    return options.view_as(StandardOptions).runner is None


def is_dataflow(options: PipelineOptions) -> bool:
    """Say whether the runner is Dataflow's, by any of the names that Beam takes for it."""
    name = (options.view_as(StandardOptions).runner or "").rpartition(".")[2].lower()
    return name.removesuffix("runner") == "dataflow"


def check_dataflow(options: PipelineOptions, places: Mapping[str, str | None]) -> None:
    """Refuse what no worker on Dataflow could run with.

    Args:
        options: Beam's.
        places: Our options that name a file or a folder, by name, None where not given.

    Raises:
        BeamOptionsError: Names all that is missing, or the place that only this machine has, or that Beam would
            exchange for a bucket of its own; or the runner itself is not installed.
    """
    # Without the second, Beam would ask for nobody's credentials and be refused much later.
    if not all(map(_is_installed, ("google.cloud.dataflow", "google_auth_httplib2"))):
        raise BeamOptionsError("Dataflow needs some packages more: pip install 'hdnet-pipeline[dataflow]'")
    given = options.get_all_options()
    missing = [f"--{name} ({what})" for name, what in REQUIRED.items() if not given[name]]
    if missing:
        raise BeamOptionsError(f"--runner=DataflowRunner needs, after the --, also {'; '.join(missing)}")
    for name in ("temp_location", "staging_location"):
        if given[name] and not re.match("gs://[^/]+/", given[name]):
            raise BeamOptionsError(f"--{name} {given[name]}: gs://BUCKET/FOLDER is wanted")
    for name, place in places.items():
        if place is not None and is_here(place):
            raise BeamOptionsError(
                f"--{name} {place} is on this machine, where no worker of Dataflow sees it: copy it to a bucket"
            )


def is_here(place: str) -> bool:
    """Say whether a place is on this machine's own disk."""
    return "://" not in place or place.startswith("file://")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor is the package that it is in
        return False


def complete_dataflow(options: PipelineOptions, run_id: str) -> None:
    """Set what a job of ours wants and the user left open: its name, and one bundle at a time in a process."""
    cloud, debug = options.view_as(GoogleCloudOptions), options.view_as(DebugOptions)
    if not cloud.job_name:
        # Dataflow takes lower case letters, digits and dashes, at most 63 with a letter first.
        name = "".join(letter if letter.isalnum() else "-" for letter in run_id.lower())
        cloud.job_name = f"hdnet-{name[:50].strip('-')}".rstrip("-")
    if debug.number_of_worker_harness_threads is None:
        debug.number_of_worker_harness_threads = 1


def has_own_workers(options: PipelineOptions) -> bool:
    """Say whether the options choose machines in a way that Dataflow lets no resource hint stand beside."""
    services = options.view_as(GoogleCloudOptions).dataflow_service_options or []
    flexible = options.view_as(GoogleCloudOptions).flexrs_goal
    return bool(flexible) or any(service.startswith("worker_accelerator") for service in services)


def machine_type(options: PipelineOptions) -> str | None:
    """Return the workers' machine type, None where Dataflow chooses."""
    name: str | None = options.view_as(WorkerOptions).machine_type
    return name
