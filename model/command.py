"""What all commands share: --version, --config, the log, options with weights, the spelling of given options."""

import difflib
import json
import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

INTERRUPTED = 130
"""Exit code of a command that was stopped with Ctrl-C."""

version = click.version_option(package_name="hdnet-pipeline")


def log(level: int = logging.INFO) -> None:
    """Write the log to standard error, as all commands do."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")


def _configure(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Make the values in a file the defaults of this call: what is given on the command line counts more."""
    if path is None:
        return
    names = {_name(parameter): parameter.name for parameter in context.command.params if parameter.expose_value}
    given = {str(key).replace("_", "-"): value for key, value in _mapping(path).items()}
    if unknown := [key for key in given if key not in names]:
        named = ", ".join(likely(name, names) for name in unknown)
        raise click.BadParameter(f"{path}: {context.command_path} has no option {named}")
    context.default_map = {str(names[key]): value for key, value in given.items() if value is not None}


def likely(unknown: str, names: Collection[str]) -> str:
    """Return a name that is no option's, or NAME=VALUE, with the option that was probably meant."""
    bare = {name.lstrip("-"): name for name in names}
    alike = difflib.get_close_matches(unknown.lstrip("-").partition("=")[0], bare, 1)
    return f"{unknown} (perhaps {bare[alike[0]]}?)" if alike else unknown


def _name(parameter: click.Parameter) -> str:
    """Return the name of an option without its dashes, or of an argument."""
    return parameter.opts[-1].removeprefix("--").replace("_", "-")


def _mapping(path: Path) -> dict[Any, Any]:
    import yaml  # only where it is wanted

    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise click.BadParameter(f"{path}: lines of the form `option: value` are wanted")
    return content


config = click.option(
    "--config", is_eager=True, expose_value=False, callback=_configure, metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file with options, such as `weights: hdnet-lite`; those of the command line count more.",
)  # fmt: skip


def weighted(_: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """Read the values NAME or NAME=WEIGHT of a repeatable option: the weight of each name, 1 where none is given."""
    weights: dict[str, float] = {}
    for value in values:
        name, equals, weight = value.rpartition("=")
        try:
            weights[name if equals else value] = float(weight) if equals else 1.0
        except ValueError:
            raise click.BadParameter(f"{option.metavar} is wanted: {value!r}") from None
    return weights


def network(examples: str) -> Callable[[Any], Any]:
    """Make the repeatable option --network, whose value is a mapping: fields of a network's configuration."""
    text = f"A field of the network's configuration, such as {examples}."
    return click.option("--network", multiple=True, callback=_assignments, metavar="NAME=VALUE", help=text)


def _assignments(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            raise click.BadParameter(f"NAME=VALUE is wanted: {value!r}")
        try:
            fields[name] = json.loads(text)  # a number, true or false
        except ValueError:
            fields[name] = text
    return fields


def words(context: click.Context, without: Collection[str] = ()) -> list[str]:
    """Return the options that were given, as a shell takes them, apart from some by name; arguments are left out."""
    found: list[str] = []
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") not in (ParameterSource.DEFAULT, None)
        if given and isinstance(parameter, click.Option) and parameter.name in context.params.keys() - set(without):
            found += _spelled(parameter, context.params[parameter.name])
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
        return ["=".join(map(str, each)) if isinstance(each, tuple) else str(each) for each in value]
    return [",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
