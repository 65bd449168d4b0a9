"""Measure what edges that are a little off cost: gains in PSNR on the example catalog, with changed masks and pastes.

    python -m tests.benchmarks.masks
    python -m tests.benchmarks.masks --weights runs/lite/best.safetensors --sheet docs/weights.png

A mask that is too small leaves a rim of the pasted object in the background, one that is too large takes background
into the foreground. A soft paste fades inwards over some pixels, for outside its mask composite and reference are
equal, so that about half of the step at the edge stays; its mask is blurred as much. The gain is the
result's PSNR less that of the composite that went in, against the reference, the mean over the catalog. The sheet
shows the best, the middle and the worst of some cases.
"""

import csv
import statistics
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageFilter

from hdnet.model.evaluation import contact_sheet
from hdnet.model.evaluation.protocol import DecodedPair
from hdnet.model.evaluation.records import Row
from hdnet.model.harmonizer import Harmonizer
from hdnet.transforms.pixels import image
from hdnet.transforms.scores import metrics

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


PICTURED = ("exact", "soft, deviation 0.7", "soft, deviation 1.5", "2 pixels too large")


def measured(harmonizer: Harmonizer, name: str, triple: Triple, number: int) -> tuple[Row, DecodedPair, image.Pixels]:
    """Harmonize and score one image; the baseline's place in the row is the composite's."""
    composite, mask, reference = (np.asarray(picture) for picture in triple)
    sample, result = DecodedPair(composite, mask, reference), np.asarray(harmonizer(composite, mask))
    before, after = (metrics.score(pixels, reference, sample.foreground) for pixels in (composite, result))
    height, width = mask.shape
    ratio = float(sample.foreground.mean())
    row = Row(f"image {number}, {name}", "", "native", width, height, ratio, after, before, before, 0.0)
    return row, sample, result


@click.command()
@click.option("--weights", default="ensemble", show_default=True, help="A shipped name, a path or a URI.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Write a PNG of results.")
def main(weights: str, sheet: Path | None) -> None:
    """Print a table: the mask, and the mean gain in dB."""
    harmonizer, triples = Harmonizer.load(weights), catalog()
    sections = []
    click.echo("| mask | gain dB | worst |\n|---|---|---|")
    for name, change in CASES.items():
        found = [measured(harmonizer, name, change(triple), i) for i, triple in enumerate(triples, 1)]
        gains = [row.gain for row, _, _ in found]
        click.echo(f"| {name} | {statistics.fmean(gains):+.2f} | {min(gains):+.2f} |")
        if name in PICTURED:
            chosen = contact_sheet.choose([row for row, _, _ in found], count=1)
            tiles = [contact_sheet.tile(*each) for rows in chosen.values() for each in found if each[0] in rows]
            sections.append(contact_sheet.TileGroup(f"{name}: best, median and worst", tiles))
    if sheet:
        contact_sheet.sheet(f"{Path(weights).stem} on the example catalog", sections).save(sheet, optimize=True)


if __name__ == "__main__":
    main()
