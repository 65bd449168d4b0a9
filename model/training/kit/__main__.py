"""Training on a machine that is at hand for minutes only.

    python -m hdnet.model.training.kit pack kit.zip --data photos --photos pool=0.5 --photos photos=0.8 \\
        --looks film.npz --illumination-maps ccharmony_maps.npz --init runs/lite/last.safetensors
    python -m hdnet.model.training.kit train kit.zip --output out --minutes 25     # there

A kit is one small file that holds all that training needs beside this program: pairs, and photos with masks, shrunk;
looks; illumination maps; and the weights to start from.
"""

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import click

from hdnet.model import command
from hdnet.model.harmonizer import choose_device
from hdnet.model.training.kit import packing, training
from hdnet.transforms.errors import HarmonizeError

LARGEST = 60_000_000
PIECE = 16_000_000
"""Bytes of a kit, and of a piece of the weights it leaves: what small channels carry."""


@click.group()
def main() -> None:
    """Pack a training into one file, and train from it."""


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--photos", "visits", multiple=True, required=True, callback=command.weighted,
              metavar="FOLDER[=WEIGHT]", help="As for hdnet-train.")  # fmt: skip
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Root of a data set in iHarmony4's layout, for its own pairs; may be one of FOLDERs.")  # fmt: skip
@click.option("--looks", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="An .npz of colour tables.")  # fmt: skip
@click.option("--illumination-maps", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="An .npz of maps.")  # fmt: skip
@click.option("--init", required=True, help="Weights to go on from.")
@click.option("--side", default=144, show_default=True, help="Pixels of the images' shorter side.")
@click.option("--quality", default=70, show_default=True, help="Quality of the images, as WebP.")
def pack(out: Path, **fields: Any) -> None:
    """Write the kit OUT, a zip file."""
    try:
        size = packing.write(out, **fields)
    except HarmonizeError as error:
        raise click.ClickException(str(error)) from error
    if size > LARGEST:
        raise click.ClickException(f"{out} has {size:,} bytes, over {LARGEST:,}: lower --side or --quality")
    click.echo(f"{out}: {size:,} bytes")


@main.command()
@click.argument("kit", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder for the weights.")
@click.option("--minutes", required=True, type=click.FloatRange(0, min_open=True),
              help="How long to train; unpacking and decoding come before.")  # fmt: skip
@click.option("--size", default=128, show_default=True)
@click.option("--batch", default=64, show_default=True)
@click.option("--lr", default=1.5e-3, show_default=True)
@click.option("--workers", default=14, show_default=True, type=click.IntRange(1), help="Processes that make samples.")
@click.option("--device", default="auto", show_default=True)
@click.option("--seed", default=0, show_default=True)
def train(kit: Path, output: Path, device: str, **fields: Any) -> None:
    """Go on from the kit's weights: at a steady rate for most of the time, then down to nothing."""
    command.log()
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(kit) as packed:
            packed.extractall(folder)
        try:
            made = training.train(Path(folder), output, device=choose_device(device), **fields)
        except (HarmonizeError, ValueError) as error:
            raise click.ClickException(str(error)) from error
    for piece in split(made):
        click.echo(piece)


def split(path: Path, largest: int = PIECE) -> list[Path]:
    """Cut a file into numbered pieces beside it, to be joined with `cat`; a small one stays as it is."""
    data = path.read_bytes()
    if len(data) <= largest:
        return [path]
    pieces = [path.with_name(f"{path.name}.{i:02}") for i in range(-(-len(data) // largest))]
    for i, piece in enumerate(pieces):
        piece.write_bytes(data[i * largest : (i + 1) * largest])
    return pieces


if __name__ == "__main__":
    main()
