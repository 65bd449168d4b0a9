"""Training on a machine that is at hand for minutes only.

    python -m hdnet.model.training.kit pack kit.zip --photos pool=1 --photos photos=2 --looks film.npz \\
        --illumination-maps ccharmony_maps.npz --init runs/lite/last.safetensors
    python -m hdnet.model.training.kit train kit.zip --output out --minutes 25     # there

A kit is one small file that holds all that training needs beside this program: photos with masks, shrunk, looks,
illumination maps, and the weights to start from.
"""

import dataclasses
import io
import json
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image

from hdnet.model import command
from hdnet.model.harmonizer import choose_device
from hdnet.model.training import checkpoint, run
from hdnet.model.training.composites import photos
from hdnet.model.training.composites.mixture import Sources
from hdnet.model.training.composites.photos import LIST, Photo
from hdnet.model.training.config import TrainConfig
from hdnet.model.training.recorder import LAST_WEIGHTS
from hdnet.model.weights import weights_file
from hdnet.transforms.errors import HarmonizeError

INIT, LOOKS, MAPS, RECIPE = "init.safetensors", "looks.npz", "maps.npz", "kit.json"
LARGEST = 60_000_000
PIECE = 16_000_000
"""Bytes of a kit, and of a piece of the weights it leaves: what small channels carry."""
FINISH = 0.3
"""Share of the time in which the rate falls to nothing."""
STARTING = 1.0
"""Minutes that a start is taken to need: unpacking, decoding, starting loaders."""


@click.group()
def main() -> None:
    """Pack a training into one file, and train from it."""


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--photos", "visits", multiple=True, required=True, callback=command.weighted,
              metavar="FOLDER[=WEIGHT]", help="As for hdnet-train.")  # fmt: skip
@click.option("--looks", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="An .npz of colour tables.")  # fmt: skip
@click.option("--illumination-maps", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="An .npz of maps.")  # fmt: skip
@click.option("--init", required=True, help="Weights to go on from.")
@click.option("--side", default=168, show_default=True, help="Pixels of the photos' shorter side.")
@click.option("--quality", default=70, show_default=True, help="Quality of the photos, as WebP.")
def pack(out: Path, **fields: Any) -> None:
    """Write the kit OUT, a zip file."""
    try:
        size = write(out, **fields)
    except HarmonizeError as error:
        raise click.ClickException(str(error)) from error
    if size > LARGEST:
        raise click.ClickException(f"{out} has {size:,} bytes, over {LARGEST:,}: lower --side or --quality")
    click.echo(f"{out}: {size:,} bytes")


def write(
    out: Path, visits: dict[str, float], looks: Path, illumination_maps: Path, init: str, side: int, quality: int
) -> int:
    """Write a kit and return its size in bytes.

    Args:
        out: The kit.
        visits: Folders of photos, each with its weight.
        looks: An .npz of colour tables.
        illumination_maps: An .npz of maps.
        init: Weights to go on from.
        side: Pixels of the photos' shorter side, at most.
        quality: Quality of the photos, as WebP.

    Raises:
        HarmonizeError: Photos or weights cannot be used.
    """
    with zipfile.ZipFile(out, "w") as kit:
        for number, folder in enumerate(visits):
            _add_photos(kit, f"photos{number}", photos.read(Path(folder)), side, quality)
        for name, path in ((LOOKS, looks), (MAPS, illumination_maps)):
            kit.write(path, name)
        with weights_file.local_copy(init) as path:
            kit.write(path, INIT)
        names = {f"photos{number}": weight for number, weight in enumerate(visits.values())}
        kit.writestr(RECIPE, json.dumps({"photos": names, "arch": weights_file.read_header(init)["architecture"]}))
    return out.stat().st_size


@main.command()
@click.argument("kit", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder for the weights.")
@click.option("--minutes", required=True, type=float, help="In all, the start included.")
@click.option("--size", default=128, show_default=True)
@click.option("--batch", default=64, show_default=True)
@click.option("--lr", default=1.5e-3, show_default=True)
@click.option("--workers", default=14, show_default=True, help="Loader processes.")
@click.option("--device", default="auto", show_default=True)
@click.option("--seed", default=0, show_default=True)
def train(kit: Path, output: Path, minutes: float, device: str, **fields: Any) -> None:
    """Go on from the kit's weights: at a steady rate for most of the time, then down to nothing."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(kit) as packed:
            packed.extractall(folder)
        try:
            made = train_twice(Path(folder), output, minutes, choose_device(device), fields)
        except (HarmonizeError, ValueError) as error:
            raise click.ClickException(str(error)) from error
    for piece in split(made):
        click.echo(piece)


def train_twice(folder: Path, output: Path, minutes: float, device: torch.device, fields: dict[str, Any]) -> Path:
    """Train in two parts from an unpacked kit; returns the weights.

    How fast the machine is shows in the first part, so that the second ends in time.
    """
    began = time.monotonic()
    recipe = json.loads((folder / RECIPE).read_text())
    config = TrainConfig(
        arch=recipe["arch"], network=dict(weights_file.read_header(folder / INIT)["config"]),
        photos={str(folder / name): weight for name, weight in recipe["photos"].items()},
        looks=(str(folder / LOOKS),), illumination_maps=str(folder / MAPS), init=str(folder / INIT),
        precision="bfloat16", clip=4.0, log_loss=0.015, ema=0.999, cache="ram", schedule="cosine", epochs=10_000,
        warmup=0.05, final_lr=1.0, validate_epochs=4, checkpoint_steps=200,
        minutes=max((1 - FINISH) * minutes - STARTING, 0.01), **fields,
    )  # fmt: skip
    run.train(config, output / "steady", device=device)
    steps, seconds = _speed(output / "steady", config.minutes)
    left = 60 * (minutes - STARTING) - (time.monotonic() - began)
    count = max(1, int(0.9 * left * steps / seconds)) * config.batch
    visited = sum(Sources(config).visits)
    finish = dataclasses.replace(
        config, photos={name: weight * count / visited for name, weight in config.photos.items()},
        init=str(output / "steady" / LAST_WEIGHTS), epochs=1, warmup=0.0, final_lr=0.0, minutes=0.0,
        seed=config.seed + 1,
    )  # fmt: skip
    run.train(finish, output / "finish", device=device)
    return output / "finish" / LAST_WEIGHTS


def split(path: Path, largest: int = PIECE) -> list[Path]:
    """Cut a file into numbered pieces beside it, to be joined with `cat`; a small one stays as it is."""
    data = path.read_bytes()
    if len(data) <= largest:
        return [path]
    pieces = [path.with_name(f"{path.name}.{i:02}") for i in range(-(-len(data) // largest))]
    for i, piece in enumerate(pieces):
        piece.write_bytes(data[i * largest : (i + 1) * largest])
    return pieces


def _speed(folder: Path, minutes: float) -> tuple[int, float]:
    """Return how many steps a run took within its minutes, and these in seconds."""
    state = torch.load(folder / checkpoint.LAST, map_location="cpu", weights_only=True)
    return int(state["step"]), 60 * minutes


def _add_photos(kit: zipfile.ZipFile, folder: str, found: list[Photo], side: int, quality: int) -> None:
    """Write the photos, each once however many masks it has, their masks, and the list of both."""
    listed: list[dict[str, Any]] = []
    written: set[str] = set()
    with ThreadPoolExecutor() as threads:
        files = threads.map(lambda photo: _shrunk(photo, side, quality), found)
        for number, (photo, (real, mask)) in enumerate(zip(found, files, strict=True)):
            name = f"real_images/{photo.source}/{Path(photo.real).stem}.webp"
            if name not in written:
                kit.writestr(f"{folder}/{name}", real)
                written.add(name)
            kit.writestr(f"{folder}/masks/{number}.png", mask)
            listed.append({**dataclasses.asdict(photo), "real": name, "mask": f"masks/{number}.png"})
    kit.writestr(f"{folder}/{LIST}", json.dumps(listed), zipfile.ZIP_DEFLATED)


def _shrunk(photo: Photo, side: int, quality: int) -> tuple[bytes, bytes]:
    real, labels = photos.load(photo, side)
    picture, mask = io.BytesIO(), io.BytesIO()
    Image.fromarray(real).save(picture, "WEBP", quality=quality, method=4)
    Image.fromarray(np.ascontiguousarray(labels)).save(mask, "PNG", optimize=True)
    return picture.getvalue(), mask.getvalue()


if __name__ == "__main__":
    main()
