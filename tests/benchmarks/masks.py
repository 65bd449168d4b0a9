"""Measure what edges that are a little off cost: gains in PSNR on the example catalog, with changed masks and pastes.

    python -m tests.benchmarks.masks
    python -m tests.benchmarks.masks --weights runs/lite/best.safetensors

A mask that is too small leaves a rim of the pasted object in the background, one that is too large takes background
into the foreground. A soft paste fades inwards over some pixels, for outside its mask composite and reference are
equal, so that about half of the step at the edge stays; its mask is blurred as much. The gain is the
result's PSNR less that of the composite that went in, against the reference, the mean over the catalog.
"""

import csv
import statistics
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageFilter

from hdnet.model.harmonizer import Harmonizer
from hdnet.transforms.scores.metrics import psnr

CATALOG = Path(__file__).parents[2] / "examples" / "catalog"

Triple = tuple[Image.Image, Image.Image, Image.Image]
"""Composite, mask and reference."""


def catalog() -> list[Triple]:
    """Read the example catalog."""
    with open(CATALOG / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = {"composite": "RGB", "mask": "L", "reference": "RGB"}
    composites, masks, references = (
        [Image.open(CATALOG / row[name]).convert(mode) for row in rows] for name, mode in kinds.items()
    )
    return list(zip(composites, masks, references, strict=True))


def masked(change: ImageFilter.Filter) -> Callable[[Triple], Triple]:
    """Return what changes the mask alone."""
    return lambda triple: (triple[0], triple[1].filter(change), triple[2])


def faded(deviation: float) -> Callable[[Triple], Triple]:
    """Return what blurs the mask, and pastes the object with the blurred one."""

    def change(triple: Triple) -> Triple:
        composite, mask, reference = triple
        soft = mask.filter(ImageFilter.GaussianBlur(deviation))
        return Image.composite(composite, reference, soft), soft, reference

    return change


CASES: dict[str, Callable[[Triple], Triple]] = {
    "exact": lambda triple: triple,
    "1 pixel too small": masked(ImageFilter.MinFilter(3)),
    "2 pixels too small": masked(ImageFilter.MinFilter(5)),
    "1 pixel too large": masked(ImageFilter.MaxFilter(3)),
    "2 pixels too large": masked(ImageFilter.MaxFilter(5)),
    "soft, deviation 0.7": faded(0.7),
    "soft, deviation 1.5": faded(1.5),
    "soft, deviation 3": faded(3),
}


@click.command()
@click.option("--weights", default="hdnet-lite", show_default=True, help="A shipped name, a path or a URI.")
def main(weights: str) -> None:
    """Print a table: the mask, and the mean gain in dB."""
    harmonizer, triples = Harmonizer.load(weights), catalog()
    click.echo("| mask | gain dB |\n|---|---|")
    for name, change in CASES.items():
        gains = []
        for composite, mask, reference in map(change, triples):
            wanted = np.asarray(reference)
            result = np.asarray(harmonizer(composite, mask))
            gains.append(psnr(result, wanted) - psnr(np.asarray(composite), wanted))
        click.echo(f"| {name} | {statistics.fmean(gains):+.2f} |")


if __name__ == "__main__":
    main()
