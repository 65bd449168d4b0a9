"""The work on one composite: a photo and its mask in; the composite, and with the first of them photo and mask, out."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, get_args

import numpy as np

from hdnet.model.synthesis import checkers, composite
from hdnet.model.synthesis.composite import Composite
from hdnet.model.synthesis.methods import Palette
from hdnet.model.training.composites import illumination, looks
from hdnet.model.training.composites.augment import RGB
from hdnet.pipeline.report.run_info import RECOLOURING
from hdnet.pipeline.steps import pair as pairs
from hdnet.pipeline.steps.pair import Stages, UnderWay, Worker
from hdnet.pipeline.steps.relay import Work
from hdnet.pipeline.steps.resume import Task
from hdnet.pipeline.synthesis import layout
from hdnet.pipeline.synthesis.settings import SynthesisRow, SynthesisSettings
from hdnet.transforms import storage
from hdnet.transforms.catalog.rows import SCHEMA_VERSION
from hdnet.transforms.codecs import decode, encode
from hdnet.transforms.codecs.mask import PLAIN
from hdnet.transforms.codecs.picture import Picture
from hdnet.transforms.errors import DatasetError
from hdnet.transforms.pixels import image
from hdnet.transforms.pixels.image import Foreground, Pixels

Item = TypeVar("Item")

SCORED = 1 << 16
"""About how many pixels are enough for a composite's scores, which would take longer than all else."""


def peak_bytes(height: int, width: int) -> int:
    """Return about how many bytes a process takes at its peak while it makes a composite of this size."""
    return 250_000_000 + 160 * height * width


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthesizing(Worker):
    """Makes synthetic composites.

    Attributes:
        settings: How to make them, and where results go.
        palettes: What foregrounds are recoloured with, for each split.
    """

    settings: SynthesisSettings
    palettes: Mapping[layout.Split, Palette]

    @classmethod
    def of(cls, settings: SynthesisSettings) -> "Synthesizing":
        """Load colour maps and looks: a composite for testing is made with others than one for training."""
        palettes: dict[layout.Split, Palette] = {split: palette(settings, split) for split in get_args(layout.Split)}
        return cls(settings=settings, palettes=palettes, **pairs.machine_fields(settings))

    def work(self, task: Task, stages: Stages, under_way: UnderWay) -> Work[SynthesisRow]:
        """Read a photo and its mask, recolour the foreground, and write the composite."""
        settings, pair = self.settings, task.pair
        pairs.check_apart(pair, settings)
        died = self.deaths(pair)
        with stages("read"):
            files = pairs.fetch((pair.composite, pair.mask), settings)
            stages.bytes["read"] = sum(len(file.data) for file in files)
        with pairs.hold(files, peak_bytes, self.admission, alone=died > 0), under_way(pair.id):
            with stages("read"):
                picture = _decode(files[0], settings)
                reading = settings.image.of(pair).reading
                foreground = image.threshold(pairs.decode_mask(files[1], files[0].header, settings, reading))
            yield
            with stages("network"):
                names = Names.of(task, files[0], files[1], settings)
                made = self._compose(image.to_8_bit(picture.pixels), foreground, names, files[0])
            yield
            with stages("write"):
                encoded = _write(picture, foreground, made, names, settings)
                stages.bytes["written"] = len(encoded)
            with stages("score"):
                scores = _scores(picture.pixels, made.pixels, foreground)
        return SynthesisRow(
            **pairs.inputs(task, files[0], files[1], None),
            **scores,
            **stages.columns(),
            output=settings.layout.file(layout.COMPOSITES, names.composite),
            output_sha256=pairs.sha256(encoded),
            output_bytes=len(encoded),
            schema_version=SCHEMA_VERSION,
            arch=RECOLOURING,
            precision=settings.image.precision,
            weights_sha256=settings.image.maps,
            options=settings.image.of(pair).record(resized=pairs.is_resized(files[1], files[0].header)),
            harmonized_at=datetime.now(UTC),
            flags=None,
            real=settings.layout.file(layout.PHOTOS, names.photo),
            region=settings.layout.file(layout.MASKS, names.mask),
            split=names.split,
            method=made.method,
            **_drawn(made),
            change=made.change,
            rejected=made.rejected,
        )

    def _compose(self, photo: RGB, foreground: Foreground, names: "Names", file: pairs.File) -> Composite:
        methods = self.palettes[names.split].methods(dict(self.settings.image.methods), pairs.sha256(file.data))
        try:
            return composite.compose(photo, foreground, methods, names.rng)
        except DatasetError as error:
            raise DatasetError(f"{file.uri}: {error}") from error


@dataclasses.dataclass(frozen=True)
class Names:
    """What a composite's files are called, and what its photo, mask and number decide.

    Attributes:
        photo: File name of the photo.
        mask: File name of the mask.
        composite: File name of the composite.
        split: The photo's split.
        number: The composite's number, from 1.
        rng: The source of its draws, which depends on nothing but contents, number and seed.
    """

    photo: str
    mask: str
    composite: str
    split: layout.Split
    number: int
    rng: np.random.Generator

    @classmethod
    def of(cls, task: Task, photo: pairs.File, region: pairs.File, settings: SynthesisSettings) -> "Names":
        """Name the files of a task."""
        number = int(task.pair.id.rpartition("_")[2])
        photo_sha256, region_sha256 = pairs.sha256(photo.data), pairs.sha256(region.data)
        if (reading := settings.image.of(task.pair).reading) != PLAIN:  # one file can hold several masks
            region_sha256 = pairs.sha256(f"{region_sha256} {reading.value} {reading.invert}".encode())
        stem = layout.photo_name(photo.uri, photo_sha256)
        suffix = encode.suffix(settings.image.format, photo.header.format)
        place = f"{stem}_{region_sha256[: layout.DIGITS]}"
        return cls(
            photo=stem + suffix,
            mask=f"{place}.png",
            composite=f"{place}_{number}{suffix}",
            split=layout.split_of(photo_sha256, settings.image.test_fraction),
            number=number,
            rng=np.random.default_rng([settings.image.seed, int(photo_sha256, 16), int(region_sha256, 16), number]),
        )


def palette(settings: SynthesisSettings, split: layout.Split) -> Palette:
    """Return what the foregrounds of a split are recoloured with."""
    if settings.readings:
        maps = checkers.maps({name: np.array(values) for name, values in settings.readings})
    else:
        maps = illumination.load(split=split)
    tables = looks.read(settings.looks) if settings.looks else {}
    names = _apart(list(tables), split, lambda name: "test" if looks.is_held_out(name) else "train")
    fraction = settings.image.test_fraction
    donors = _apart(settings.donors, split, lambda donor: layout.split_of(donor.sha256, fraction))
    return Palette(maps=maps, tables={name: tables[name] for name in names}, donors=donors)


def _apart(items: Sequence[Item], split: layout.Split, of: Callable[[Item], layout.Split]) -> Sequence[Item]:
    """Return the items of a split, or all where it has none: a few looks are better than no look."""
    return [item for item in items if of(item) == split] or items


def _drawn(made: Composite) -> dict[str, Any]:
    """Return the columns of what a method drew."""
    own = ("illumination_from", "illumination_to")
    others = {name: value for name, value in made.drawn.items() if name not in own}
    columns = {name: made.drawn.get(name) for name in own}
    return {**columns, "parameters": json.dumps(others) if others else None}


def _decode(file: pairs.File, settings: SynthesisSettings) -> Picture:
    """Decode a photo as training sees it: 8 bits, three channels, opaque."""
    picture = decode.decode(file.data, file.uri, settings.max_pixels)
    return dataclasses.replace(picture, pixels=image.to_8_bit(picture.pixels), alpha=None, grey=False)


def _scores(photo: Pixels, made: RGB, foreground: Foreground) -> dict[str, Any]:
    """Return the columns of the scores, of some of the pixels; the gap to the background is meant to grow here."""
    every = max(1, math.isqrt(foreground.size // SCORED))
    thin = slice(None, None, every), slice(None, None, every)
    return pairs.score(photo[thin], made[thin], None, foreground[thin]) | {
        "foreground_ratio": float(foreground.mean()),
        **dict.fromkeys(("gap_before", "gap_after", "newly_clipped_ratio")),
    }


def _write(
    picture: Picture, foreground: Foreground, made: Composite, names: Names, settings: SynthesisSettings
) -> bytes:
    """Write the composite, and before the first of them its photo and mask; return the composite's bytes."""
    wanted, quality, place = settings.image.format, settings.image.quality, settings.layout
    if names.number == 1:
        photo = encode.encode(picture, picture.pixels, wanted, quality)
        storage.write(place.file(layout.PHOTOS, names.photo), photo)
        region = np.repeat(foreground[..., None] * np.uint8(255), 3, axis=2)
        file = encode.encode(Picture(region, None, True, "png"), region)
        storage.write(place.file(layout.MASKS, names.mask), file)
    encoded = encode.encode(picture, made.pixels, wanted, quality)
    storage.write(place.file(layout.COMPOSITES, names.composite), encoded)
    return encoded
