"""The options that decide what an image becomes, for one image as for a catalog."""

import os
from collections.abc import Callable
from typing import Any

import click

from hdnet.model.precision import PRECISIONS
from hdnet.transforms.codecs import limits, table


def _weights(_: click.Context, __: click.Parameter, value: str) -> str:
    """Make the path of a file absolute, so that the record of a run names it wherever it is read."""
    from hdnet.model.weights import weights_header  # slow to import

    return os.path.abspath(value) if os.path.isfile(value) and value not in weights_header.shipped() else value


_IMAGE = (
    click.option("--weights", default="ensemble", callback=_weights, help="A shipped name, a path or a URI."),
    click.option("--precision", default="auto", type=click.Choice(["auto", *PRECISIONS]),
                 help="Precision of the network; auto: bfloat16 if this machine does the work and has it."),
    click.option("--strength", default=1.0, type=click.FloatRange(0, 1),
                 help="Share of the change that is applied, 0 (none) to 1 (all)."),
    click.option("--max-pixels", default=limits.MAX_PIXELS, type=click.IntRange(min=1), help="Larger images fail."),
    click.option("--format", "image_format", default="same", type=click.Choice(table.OUTPUT_FORMATS),
                 help="Format of the images written; same keeps each one's own."),
    click.option("--quality", default=95, type=click.IntRange(1, 100), help="Quality of JPEG and AVIF."),
    click.option("--resize-mask", is_flag=True, help="Accept masks of another size and the same aspect ratio."),
    click.option("--mask-value", type=click.IntRange(0, 65535), metavar="N",
                 help="Take exactly this value of a mask as foreground: a class, or an index of a palette."),
    click.option("--invert-mask", is_flag=True, help="Masks show the background."),
    click.option("--label", metavar="CLASS", help="Class of foregrounds without a label, for weights that need one."),
)  # fmt: skip


def of_image(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that decide what an image becomes."""
    for option in reversed(_IMAGE):
        command = option(command)
    return command
