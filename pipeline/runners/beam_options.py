"""Beam's own options, parsed: what is mistyped is refused before anything runs, and not silently ignored."""

import argparse
import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from hdnet.model.command import likely
from hdnet.transforms.errors import BeamOptionsError

ELSEWHERE = ("apache_beam.runners.dask.dask_runner", "apache_beam.runners.render", "apache_beam.yaml.options")
"""Modules of Beam's that define options, and that Beam imports only where they are used."""


def parse(arguments: Sequence[str]) -> PipelineOptions:
    """Return Beam's options.

    Raises:
        BeamOptionsError: One has no value that Beam takes, Beam would silently ignore it, or it would be in the way of
            ours.
    """
    unknown = _unknown(arguments)
    if unknown and _import_definitions(each.partition("=")[0] for each in unknown if each.startswith("--")):
        unknown = _unknown(arguments)
    if unknown:
        known = [f"--{name}" for name in PipelineOptions([]).get_all_options()]
        raise BeamOptionsError(f"Beam knows no option {' '.join(likely(each, known) for each in unknown)}")
    ours = [each for each in arguments if each.startswith(("--direct_num_workers", "--direct_running_mode"))]
    if ours:
        raise BeamOptionsError(f"{' '.join(ours)}: local workers are chosen with --workers, before the --")
    return PipelineOptions(list(arguments), save_main_session=False)


def runner_name(options: PipelineOptions) -> str:
    """Return the short name of the runner, "" where none is named."""
    return short_name(options.view_as(StandardOptions).runner or "")


def short_name(runner: str) -> str:
    """Return one name for all that Beam takes for a runner of its own: "flink" for "FlinkRunner" and "Flink".

    The class of somebody else's keeps its whole name.
    """
    if "." in runner and not runner.startswith("apache_beam."):
        return runner
    return runner.rpartition(".")[2].lower().removesuffix("runner")


def _unknown(arguments: Sequence[str]) -> list[str]:
    """Return the arguments that no option known so far takes."""
    # Left to itself, the parser prints the names of all options that Beam has and ends the process.
    parser = pipeline_options._BeamArgumentParser(allow_abbrev=False, exit_on_error=False)
    for options in PipelineOptions.__subclasses__():
        if "_add_argparse_args" in options.__dict__:
            options._add_argparse_args(parser)
    try:
        return parser.parse_known_args(list(arguments))[1]
    except argparse.ArgumentError as error:
        raise BeamOptionsError(str(error)) from error


def _import_definitions(names: Iterable[str]) -> bool:
    """Import the modules that define some options; returns whether there was one.

    Raises:
        BeamOptionsError: A module needs a package that is not installed.
    """
    found = {module: name for name in names for module in ELSEWHERE if f"'{name}'" in _source(module)}
    for module, name in found.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise BeamOptionsError(f"{name} is an option of {module}, which cannot be imported: {error}") from error
    return bool(found)


def _source(module: str) -> str:
    # Python's own search would import the packages around it, which may lack what they need.
    path = Path(beam.__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py")
    return path.read_text() if path.exists() else ""
