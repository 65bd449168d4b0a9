"""What commands share: the options that decide an image, and how the options that were given are spelled."""

from collections.abc import Callable, Container
from typing import Any

import click
from click.core import ParameterSource

from hdnet.model.precision import PRECISIONS
from hdnet.transforms.codecs import limits, table

_IMAGE = (
    click.option("--weights", default="hdnet-lite", help="A shipped name, a path or a URI."),
    click.option("--precision", default="auto", type=click.Choice(["auto", *PRECISIONS]),
                 help="Precision of the network; auto: bfloat16 if this machine does the work and has it."),
    click.option("--strength", default=1.0, type=click.FloatRange(0, 1),
                 help="Share of the change that is applied, 0 (none) to 1 (all)."),
    click.option("--max-pixels", default=limits.MAX_PIXELS, type=click.IntRange(min=1), help="Larger images fail."),
    click.option("--format", "image_format", default="same", type=click.Choice(table.OUTPUT_FORMATS),
                 help="Format of the images written; same keeps each composite's."),
    click.option("--quality", default=95, type=click.IntRange(1, 100), help="Quality of JPEG and AVIF."),
    click.option("--resize-mask", is_flag=True, help="Accept masks of another size and the same aspect ratio."),
)  # fmt: skip


def of_image(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that decide what an image becomes."""
    for option in reversed(_IMAGE):
        command = option(command)
    return command


def words(context: click.Context, without: Container[str] = ()) -> list[str]:
    """Return the options that were given, as a shell takes them, apart from some by name; arguments are left out."""
    found: list[str] = []
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") not in (ParameterSource.DEFAULT, None)
        if given and isinstance(parameter, click.Option) and parameter.name not in without:
            found += _spelled(parameter, context.params[parameter.name or ""])
    return found


def _spelled(option: click.Option, value: Any) -> list[str]:
    if option.is_flag:
        return (option.opts if value else option.secondary_opts)[-1:]
    values = value if option.multiple else [value]
    return [word for each in values for word in (option.opts[-1], str(each))]


version = click.version_option(package_name="hdnet-pipeline")
