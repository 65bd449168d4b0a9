"""Measure weights on held-out photos, by how the object was pasted and masked: the table that decisions are made on.

    python -m tests.benchmarks.weights hdnet-lite runs/lite/best.safetensors --photos pool --photos photos \\
        --illumination-maps ccharmony_maps.npz --looks film.npz

Of each source, photos that no training sees (`Photo.held_out`), with an object or a union of segments, recoloured in
turn by illumination maps, retouching, looks that no training sees, and exposure with a cast. The same colours are
pasted and masked in every way below. Gain is the mean PSNR of the results less that of the composites, fMSE what is
left of the composites' (means over the images), worse the share of results farther from the photo than the composite.
Untouched photos have no gain: the figure is how far the object's colours move, the mean CIEDE2000 inside the mask.
`--alphas FOLDER` adds a row for photos of which a segmentation network's soft alpha lies there, as
`<source>/<photo's name>.png`: the same change of colour, pasted and masked by the alpha.
"""

import dataclasses
import hashlib
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
from skimage import color

from hdnet.model.harmonizer import Harmonizer
from hdnet.model.training.composites import colours, compositing, illumination, looks, photos, region_masks, retouch
from hdnet.model.training.composites.augment import RGB, Mask
from hdnet.model.training.composites.illumination import IlluminationMaps
from hdnet.transforms.codecs import mask as masks
from hdnet.transforms.pixels import resize
from hdnet.transforms.pixels.lab import Floats
from hdnet.transforms.scores import metrics

FMSE_RANGE = (150.0, 4000.0)
SMALLEST = 0.01
"""Share of the photo that an object needs."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A held-out photo, its object, the photo recoloured, and the soft alpha that a segmentation network drew of it."""

    source: str
    real: RGB
    mask: Mask
    changed: RGB
    alpha: Floats | None


@dataclasses.dataclass(frozen=True)
class Case:
    """What a network gets, (H,W,3) and a soft (H,W), what it should return, and where it is measured."""

    composite: RGB
    mask: Floats
    wanted: RGB
    inside: Mask


@dataclasses.dataclass(frozen=True)
class Score:
    """One result: PSNR and foreground MSE of composite and result, and CIEDE2000 between the two."""

    source: str
    psnr: tuple[float, float]
    fmse: tuple[float, float]
    moved: float


def pasted(subject: Subject, alpha: Floats, mask: Floats | None = None, base: RGB | None = None) -> Case:
    """Paste the changed colours by an opacity; the network gets it as the mask, or another one."""
    base = subject.real if base is None else base
    composite, wanted = (compositing.paste(base, values, alpha) for values in (subject.changed, subject.real))
    return Case(composite, alpha if mask is None else mask, wanted, alpha >= 0.5)


def hard(subject: Subject) -> Case:
    return pasted(subject, subject.mask.astype(np.float32))


def soft(deviation: float) -> Callable[[Subject], Case]:
    return lambda subject: pasted(subject, compositing.blurred(subject.mask, deviation))


def aside(subject: Subject) -> Subject:
    """Move the outline a third of the width aside, to the side where more of it stays in the photo."""
    third = subject.mask.shape[1] // 3
    right, left = np.zeros_like(subject.mask), np.zeros_like(subject.mask)
    right[:, third:], left[:, :-third] = subject.mask[:, :-third], subject.mask[:, third:]
    return dataclasses.replace(subject, mask=max(right, left, key=np.count_nonzero))


def misjudged(pixels: int) -> Callable[[Subject], Case]:
    def case(subject: Subject) -> Case:
        mask = compositing.grown(subject.mask, pixels)
        return pasted(subject, subject.mask.astype(np.float32), mask.astype(np.float32))

    return case


def ringed(subject: Subject) -> Case:
    """Refill the outer ring of 4 pixels from farther out."""
    base = compositing.refilled(subject.real, compositing.grown(subject.mask, 4))
    return pasted(subject, subject.mask.astype(np.float32), base=base)


def cut_out(subject: Subject) -> Case:
    """Paste without the outermost pixel and softly, onto a background where nothing of the object is left."""
    base = compositing.refilled(subject.real, compositing.grown(subject.mask, 3))
    return pasted(subject, compositing.blurred(compositing.grown(subject.mask, -1), 0.7), base=base)


def coded(subject: Subject) -> Case:
    case = hard(subject)
    composite, wanted = (compositing.recoded(image, 75, 2) for image in (case.composite, case.wanted))
    return dataclasses.replace(case, composite=composite, wanted=wanted)


def untouched(subject: Subject) -> Case:
    return hard(dataclasses.replace(subject, changed=subject.real))


CASES: dict[str, Callable[[Subject], Case]] = {
    "object outline, hard": hard,
    "soft, deviation 0.7": soft(0.7),
    "soft, deviation 1.5": soft(1.5),
    "through one material": lambda subject: hard(aside(subject)),
    "through one material, soft 0.7": lambda subject: soft(0.7)(aside(subject)),
    "mask 1 pixel small": misjudged(-1),
    "mask 2 pixels small": misjudged(-2),
    "mask 1 pixel large": misjudged(1),
    "mask 2 pixels large": misjudged(2),
    "outer ring of 4 refilled": ringed,
    "clean cut-out": cut_out,
    "hard, JPEG 75 4:2:0 after": coded,
}
SEGMENTED = "cut out by a segmentation network, pasted by its soft alpha"
UNTOUCHED = "untouched"


def subjects(
    folders: tuple[Path, ...], count: int, maps: IlluminationMaps | None, tables: list[looks.Table],
    alphas: Path | None,
) -> Iterator[Subject]:  # fmt: skip
    """Yield up to `count` held-out photos of every source, each with its own seed."""
    for folder in folders:
        held_out = [photo for photo in photos.read(folder) if photo.held_out]
        for source in sorted({photo.source for photo in held_out}):
            unique = {photo.real: photo for photo in held_out if photo.source == source}
            for i, photo in enumerate(list(unique.values())[:count]):
                real, labels = photos.load(photo)
                rng = np.random.default_rng(int(hashlib.sha256(photo.id.encode()).hexdigest()[:8], 16))
                mask = region_masks.natural(labels, rng)
                share = np.count_nonzero(mask) / mask.size
                if SMALLEST <= share <= region_masks.LARGEST:
                    changed = recoloured(real, mask, i, maps, tables, rng)
                    yield Subject(source, real, mask, changed, read_alpha(alphas, photo, *mask.shape))


def read_alpha(folder: Path | None, photo: photos.Photo, height: int, width: int) -> Floats | None:
    """Read a photo's soft alpha at the photo's size in the table, if there is one."""
    path = folder and folder / photo.source / f"{Path(photo.real).stem}.png"
    if path is None or not path.exists():
        return None
    alpha = resize.resize_soft_mask(masks.decode_mask(path.read_bytes(), str(path)), height, width)
    return alpha.astype(np.float32) / np.float32(255)


def recoloured(
    real: RGB, mask: Mask, i: int, maps: IlluminationMaps | None, tables: list[looks.Table],
    rng: np.random.Generator,
) -> RGB:  # fmt: skip
    """Recolour a photo by the i-th kind in turn, until the change of the object has a useful size."""
    pixels = np.ascontiguousarray(real.reshape(-1, 3).T)
    for kind in range(i, i + 20):
        changed: Floats | None = None
        if kind % 4 == 0 and maps is not None:
            changed = illumination.transfer(pixels.astype(np.float32), rng, maps).colours
        elif kind % 4 == 1 and tables:
            changed = looks.apply(real, tables[int(rng.integers(len(tables)))]).reshape(-1, 3).T.astype(np.float32)
        elif kind % 4 == 2:
            changed = looks.apply(real, retouch.retouch(rng)).reshape(-1, 3).T.astype(np.float32)
        elif kind % 4 == 3:
            changed = colours.adjust(pixels, colours.Camera.draw(rng))
        if changed is not None:
            result = np.rint(np.clip(changed, 0, 255)).astype(np.uint8).T.reshape(real.shape)
            if FMSE_RANGE[0] <= (metrics.score(result, real, mask).fmse or 0) <= FMSE_RANGE[1]:
                return result
    return compositing.paste(real, np.zeros_like(real), np.full(mask.shape, 0.25, np.float32))


def score(harmonizer: Harmonizer, subject: Subject, case: Case) -> Score:
    result = harmonizer(case.composite, np.rint(255 * case.mask).astype(np.uint8))
    before, after = metrics.score_all((case.composite, result), case.wanted, case.inside)
    labs = (color.rgb2lab(image[case.inside]) for image in (case.composite, result))
    errors = before.fmse or 0.0, after.fmse or 0.0
    return Score(subject.source, (before.psnr, after.psnr), errors, float(np.mean(color.deltaE_ciede2000(*labs))))


def measure(harmonizer: Harmonizer, chosen: list[Subject]) -> dict[str, list[Score]]:
    """Return the scores of every case, in the subjects' order; with an alpha, of those that have one."""
    cases = {**CASES, UNTOUCHED: untouched}
    measured = {n: [score(harmonizer, subject, make(subject)) for subject in chosen] for n, make in cases.items()}
    segmented = [score(harmonizer, s, pasted(s, s.alpha)) for s in chosen if s.alpha is not None]
    return {**measured, SEGMENTED: segmented} if segmented else measured


def cell(scores: list[Score]) -> str:
    gain = statistics.fmean(s.psnr[1] - s.psnr[0] for s in scores)
    left = statistics.fmean(s.fmse[1] for s in scores) / statistics.fmean(s.fmse[0] for s in scores)
    worse = statistics.fmean(s.fmse[1] > s.fmse[0] for s in scores)
    return f"{gain:+.2f} dB, {left:.0%}, {worse:.0%}"


def table(measured: dict[str, dict[str, list[Score]]]) -> str:
    """Write a line a case, a column a network: gain, fMSE left, share made worse; then soft outlines by source."""
    lines = ["| paste and mask | " + " | ".join(measured) + " |", "|---" * (len(measured) + 1) + "|"]
    gained = [name for name in next(iter(measured.values())) if name != UNTOUCHED]
    for name in gained:
        lines.append(f"| {name} | " + " | ".join(cell(scores[name]) for scores in measured.values()) + " |")
    moved = (statistics.fmean(s.moved for s in scores[UNTOUCHED]) for scores in measured.values())
    lines.append("| untouched: CIEDE2000 | " + " | ".join(f"{value:.1f}" for value in moved) + " |")
    by_source = "soft, deviation 0.7"
    for source in sorted({s.source for s in next(iter(measured.values()))[by_source]}):
        cells = (cell([s for s in scores[by_source] if s.source == source]) for scores in measured.values())
        lines.append(f"| {by_source}: {source} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--photos", "folders", multiple=True, required=True, type=click.Path(path_type=Path))
@click.option("--illumination-maps", type=click.Path(path_type=Path))
@click.option("--looks", "look_path", type=click.Path(path_type=Path))
@click.option("--alphas", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--per-source", default=30, show_default=True, help="Photos of a source, at most.")
def main(
    names: tuple[str, ...], folders: tuple[Path, ...], illumination_maps: Path | None, look_path: Path | None,
    alphas: Path | None, per_source: int,
) -> None:  # fmt: skip
    """Print the table for weights by name, path or URI."""
    maps = illumination.load(illumination_maps, dtype=np.float32) if illumination_maps else None
    found = looks.read(look_path) if look_path else {}
    tables = [table for name, table in found.items() if looks.is_held_out(name)]
    chosen = list(subjects(folders, per_source, maps, tables, alphas))
    segmented = sum(subject.alpha is not None for subject in chosen)
    if alphas and not segmented:
        raise click.UsageError(f"{alphas}: no <source>/<name>.png of any of the {len(chosen)} photos")
    measured = {name: measure(Harmonizer.load(name), chosen) for name in names}
    click.echo(f"{len(chosen)} photos, {segmented} of them with an alpha\n\n{table(measured)}")


if __name__ == "__main__":
    main()
