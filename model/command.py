"""What all commands share: the option --version, and how the options that were given are spelled."""

from collections.abc import Container
from typing import Any

import click
from click.core import ParameterSource

INTERRUPTED = 130
"""Exit code of a command that was stopped with Ctrl-C."""

version = click.version_option(package_name="hdnet-pipeline")


def words(context: click.Context, without: Container[str] = ()) -> list[str]:
    """Return the options that were given, as a shell takes them, apart from some by name; arguments are left out."""
    found: list[str] = []
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") not in (ParameterSource.DEFAULT, None)
        if given and isinstance(parameter, click.Option) and parameter.name not in without:
            found += _spelled(parameter, context.params.get(parameter.name or ""))
    return found


def _spelled(option: click.Option, value: Any) -> list[str]:
    if option.is_flag:
        return (option.opts if value else option.secondary_opts)[-1:]
    return [word for each in _texts(option, value) for word in (option.opts[-1], each)]


def _texts(option: click.Option, value: Any) -> list[str]:
    """Return an option's values as they are written: callbacks have made numbers and fields of some."""
    if isinstance(value, dict):
        return [f"{name}={each}" for name, each in value.items()]
    if option.multiple:
        return [str(each) for each in value]
    return [",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
