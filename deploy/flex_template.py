"""The file that Dataflow's template launcher runs: it turns the parameters of a Flex Template into `hdnet-harmonize`.

The launcher passes the template's parameters and Beam's options together, as `--name=value` in alphabetical order. A
parameter has the name of its option, with `_` for `-`. A flag is "true" or "false", several values are separated by
commas, and an empty value leaves the option at its default.
"""

import sys
from collections.abc import Iterator, Sequence

import click

from hdnet.pipeline import run

NOT_OFFERED = ("config", "dry_run", "memory", "vcpu_price", "version", "workers")
"""Options that make no sense for a template: it must launch a job, whose machines Dataflow's own options choose."""


def options() -> dict[str, click.Option]:
    """Return those of the command's options that are parameters of the template, by the parameter's name."""
    found = (each for each in run.main.params if isinstance(each, click.Option))
    named = {each.opts[0].removeprefix("--").replace("-", "_"): each for each in found}
    return {name: option for name, option in named.items() if name not in NOT_OFFERED}


def command_line(arguments: Sequence[str]) -> list[str]:
    """Sort the launcher's arguments into the command's options and, after `--`, Beam's.

    Raises:
        click.BadParameter: A flag is neither "true" nor "false".
    """
    ours: list[str] = []
    beams: list[str] = []
    offered = options()
    for argument in arguments:
        name, _, value = argument.removeprefix("--").partition("=")
        if name in offered:
            ours += _as_option(offered[name], value)
        else:
            beams += _known_to_beam(argument)
    return [*ours, "--", *beams]


def _as_option(option: click.Option, value: str) -> Iterator[str]:
    if option.is_flag:
        yield from _as_flag(option, value)
    elif value:
        values = value.split(",") if option.multiple else [value]
        yield from (f"{option.opts[0]}={each.strip()}" for each in values)


def _as_flag(option: click.Option, value: str) -> list[str]:
    names = {"": [], "true": option.opts, "false": option.secondary_opts}
    if value.lower() not in names:
        raise click.BadParameter(f"{value!r} is neither true nor false", param_hint=f"'{option.opts[0]}'")
    return names[value.lower()][:1]


def _known_to_beam(argument: str) -> list[str]:
    """Return the argument, or nothing if Beam does not know it or has that value by default.

    An argument that Beam does not know comes from the launcher and is not a mistake of the user's, because Dataflow
    refuses parameters that the template does not have before it starts the launcher.
    """
    from apache_beam.options.pipeline_options import PipelineOptions  # takes a second

    return [argument] if PipelineOptions([argument]).get_all_options(drop_default=True) else []


if __name__ == "__main__":
    run.main(command_line(sys.argv[1:]), prog_name="hdnet-harmonize")
