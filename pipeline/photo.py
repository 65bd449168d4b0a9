"""`hdnet-harmonize PHOTO MASK -o OUTPUT`: one image, by the rules of a catalog and without its tables."""

import dataclasses
import math
import sys
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import click

from hdnet.model import command
from hdnet.model.precision import Precision
from hdnet.pipeline import options
from hdnet.transforms import text
from hdnet.transforms.codecs import table
from hdnet.transforms.errors import DecodeError, HarmonizeError

if TYPE_CHECKING:
    from hdnet.transforms.codecs.picture import Picture
    from hdnet.transforms.pixels.image import Mask

STANDARD = "-"
"""Stands for standard input or standard output."""
USES = ("PHOTO MASK -o FILE [OPTIONS]", "PHOTO --background FILE -o FILE [OPTIONS]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """The options, as given."""

    photo: str
    mask: str | None
    background: str | None
    output: str
    weights: str
    precision: Precision | Literal["auto"]
    strength: float
    max_pixels: int
    image_format: str
    quality: int
    resize_mask: bool
    mask_value: int | None
    invert_mask: bool
    label: str | None

    @property
    def inputs(self) -> list[str]:
        """The files that are read."""
        return [place for place in (self.photo, self.mask, self.background) if place]


class _OneImage(click.Command):
    """The command for one image; PHOTO stands for the first argument, which chooses it."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each use."""
        for use, prefix in zip(USES, (None, "  or:  "), strict=True):
            formatter.write_usage("hdnet-harmonize", use, prefix)


@click.command(cls=_OneImage, short_help="Harmonize one image.", context_settings={"show_default": True})
@click.argument("photo")
@click.argument("mask", required=False)
@click.option("-o", "--output", required=True, metavar="FILE", help="File to write, in the format that its name says.")
@click.option("--background", metavar="FILE",
              help="Paste PHOTO, a cut-out with transparency, over this image; no MASK is needed then.")  # fmt: skip
@options.of_image
@command.config
@command.version
def main(**given: Any) -> None:
    """Give the foreground of one image the light and colour of its background.

    PHOTO is the composite, and MASK an image of the same size: white where the pasted object is, black elsewhere.
    Files are paths or URIs. One of those that are read may be -, standard input; as OUTPUT, - is standard output.

    \b
    Examples:
      hdnet-harmonize photo.jpg mask.png -o out.png
      hdnet-harmonize cutout.png --background street.jpg -o out.jpg
      hdnet-harmonize - mask.png -o - <photo.jpg >out.jpg

    Exit codes: 0 done, 1 a file cannot be used, 2 bad usage.
    """
    wanted = Wanted(**given)
    _check_usage(wanted)
    try:
        done = harmonize(wanted, _format(wanted))
    except HarmonizeError as error:
        raise click.ClickException(text.visible(error)) from error
    click.echo(done, err=True)


def harmonize(wanted: Wanted, image_format: str) -> str:
    """Read, harmonize and write one image; return what is worth knowing about the result, line by line.

    Raises:
        HarmonizeError: A file cannot be read, is not an image, is too large or does not fit the others; the weights
            cannot be used; or the result cannot be written.
    """
    from hdnet.model.harmonizer import Harmonizer  # imports torch, which takes seconds
    from hdnet.pipeline.steps import flags  # with pyarrow, which --help need not wait for
    from hdnet.transforms.codecs import encode
    from hdnet.transforms.pixels import image
    from hdnet.transforms.scores import appearance

    picture, mask = _pair(wanted)
    network = Harmonizer.load(wanted.weights, precision=wanted.precision, label=wanted.label)
    result = image.mix(picture.pixels, network(picture.pixels, mask), wanted.strength)
    _write(wanted.output, encode.encode(picture, result, image_format, wanted.quality))
    found = dataclasses.asdict(appearance.compare(picture.pixels, result, image.threshold(mask)))
    row = flags.flagged({**found, "psnr": None}, math.inf)
    height, width = mask.shape
    marks = [f"look at it: {flags.MEANINGS[name]}" for name in row["flags"].split(",") if name]
    return "\n".join([f"{text.visible(wanted.output)}: {width} x {height}", *marks])


def _pair(wanted: Wanted) -> "tuple[Picture, Mask]":
    """Return the composite and its mask; a cut-out is pasted over its background, and its alpha is the mask."""
    from hdnet.transforms.codecs import decode
    from hdnet.transforms.codecs import mask as masks
    from hdnet.transforms.codecs.mask import Reading
    from hdnet.transforms.pixels import cutout, image

    limit = wanted.max_pixels
    photo = decode.decode(_read(wanted.photo, limit), wanted.photo, limit)
    if wanted.background is None:
        assert wanted.mask
        reading = Reading(wanted.mask_value, wanted.invert_mask)
        soft = masks.decode_mask(_read(wanted.mask, limit), wanted.mask, limit, reading)
        height, width = photo.pixels.shape[:2]
        return photo, masks.resize_mask_to(soft, height, width, name=wanted.mask, allowed=wanted.resize_mask)
    if photo.alpha is None:
        raise DecodeError(
            f"{wanted.photo} has no transparency, so it is no cut-out: give its mask, without --background"
        )
    behind = decode.decode(_read(wanted.background, limit), wanted.background, limit)
    pasted = cutout.paste(photo.pixels, photo.alpha, behind.pixels)
    grey = behind.grey and photo.grey
    return dataclasses.replace(behind, pixels=pasted, grey=grey), image.to_8_bit(photo.alpha)


def _check_usage(wanted: Wanted) -> None:
    if (wanted.mask is None) == (wanted.background is None):
        raise click.UsageError("give MASK, or --background if PHOTO is a cut-out with transparency")
    of_masks = {"--mask-value": wanted.mask_value is not None, "--invert-mask": wanted.invert_mask,
                "--resize-mask": wanted.resize_mask}  # fmt: skip
    if wanted.background is not None and any(of_masks.values()):
        given = ", ".join(name for name, is_given in of_masks.items() if is_given)
        raise click.UsageError(f"{given}: with --background the cut-out's transparency is the mask; leave it out")
    if wanted.inputs.count(STANDARD) > 1:
        raise click.UsageError("only one file can be -, standard input")
    if wanted.output != STANDARD:
        _check_apart(wanted)


def _check_apart(wanted: Wanted) -> None:
    from hdnet.transforms import storage  # slow to import

    own = storage.canonical(wanted.output)
    if own in (storage.canonical(place) for place in wanted.inputs if place != STANDARD):
        raise click.BadParameter(f"{wanted.output} is one of the files that are read", param_hint="'--output'")


def _format(wanted: Wanted) -> str:
    """Return the format to write: the one that was asked for, else the one that the output's name says."""
    if wanted.output == STANDARD:
        return wanted.image_format
    suffix = PurePosixPath(wanted.output).suffix.lower()
    written = {suffix: name for name in table.OUTPUT_FORMATS[1:] for suffix in table.CODECS[name].suffixes}
    if wanted.image_format != "same":
        if written.get(suffix, wanted.image_format) != wanted.image_format:
            raise click.UsageError(
                f"--format {wanted.image_format} and --output {wanted.output} name two formats: leave --format out, "
                "or name the file otherwise"
            )
        return wanted.image_format
    if suffix not in written:
        raise click.BadParameter(
            f"{wanted.output}: a name that ends with one of {', '.join(written)} is wanted, or --format",
            param_hint="'--output'",
        )
    return written[suffix]


def _read(place: str, max_pixels: int) -> bytes:
    from hdnet.transforms import storage
    from hdnet.transforms.codecs import limits

    if place == STANDARD:
        return sys.stdin.buffer.read()
    return storage.read(place, limit=limits.file_bytes(max_pixels))


def _write(place: str, data: bytes) -> None:
    from hdnet.transforms import storage

    if place == STANDARD:
        sys.stdout.buffer.write(data)
    else:
        storage.write(place, data)
