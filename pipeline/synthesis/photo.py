"""The work on one composite: a photo and its mask in; the composite, and with the first of them photo and mask, out."""

import dataclasses
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, get_args

import numpy as np

from hdnet.model.synthesis import composite, illumination
from hdnet.model.synthesis.composite import Composite, Method
from hdnet.model.training.composites.augment import RGB
from hdnet.pipeline.steps import pair as pairs
from hdnet.pipeline.steps.pair import Stages, UnderWay, Worker
from hdnet.pipeline.steps.relay import Work
from hdnet.pipeline.steps.resume import Task
from hdnet.pipeline.synthesis import layout
from hdnet.pipeline.synthesis.settings import SynthesisRow, SynthesisSettings
from hdnet.transforms import storage
from hdnet.transforms.catalog.rows import SCHEMA_VERSION
from hdnet.transforms.codecs import decode, encode
from hdnet.transforms.codecs.picture import Picture
from hdnet.transforms.errors import DatasetError
from hdnet.transforms.pixels import image
from hdnet.transforms.pixels.image import Foreground, Pixels

Methods = Mapping[str, tuple[Method, float]]

SCORED = 1 << 16
"""About how many pixels are enough for a composite's scores, which would take longer than all else."""
ARCH = "synthesis"
"""Stands in rows and records where other jobs name a network."""


def peak_bytes(height: int, width: int) -> int:
    """Return about how many bytes a process takes at its peak while it makes a composite of this size."""
    return 250_000_000 + 160 * height * width


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthesizing(Worker):
    """Makes synthetic composites.

    Attributes:
        settings: How to make them, and where results go.
        methods: The ways to recolour, for each split.
    """

    settings: SynthesisSettings
    methods: Mapping[layout.Split, Methods]

    @classmethod
    def of(cls, settings: SynthesisSettings) -> "Synthesizing":
        """Load the colour maps: a composite for testing is made with other photos' than one for training."""
        methods: dict[layout.Split, Methods] = {split: _methods(settings, split) for split in get_args(layout.Split)}
        return cls(settings=settings, methods=methods, **pairs.machine_fields(settings))

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
                made = self._compose(image.to_8_bit(picture.pixels), foreground, names, pair.composite)
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
            arch=ARCH,
            precision=settings.image.precision,
            weights_sha256=settings.image.maps,
            options=settings.image.of(pair).record(resized=pairs.is_resized(files[1], files[0].header)),
            harmonized_at=datetime.now(UTC),
            flags=None,
            real=settings.layout.file(layout.PHOTOS, names.photo),
            region=settings.layout.file(layout.MASKS, names.mask),
            split=names.split,
            method=made.method,
            illumination_from=made.source or None,
            illumination_to=made.target or None,
            change=made.change,
            rejected=made.rejected,
        )

    def _compose(self, photo: RGB, foreground: Foreground, names: "Names", uri: str) -> Composite:
        try:
            return composite.compose(photo, foreground, self.methods[names.split], names.rng)
        except DatasetError as error:
            raise DatasetError(f"{uri}: {error}") from error


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


def _methods(settings: SynthesisSettings, split: layout.Split) -> Methods:
    if settings.readings:
        maps = illumination.fitted({name: np.array(values) for name, values in settings.readings})
    else:
        maps = illumination.load(split=split)
    ways: dict[str, Method] = {"illumination": partial(illumination.transfer, maps=maps), "camera": composite.camera}
    return {name: (ways[name], weight) for name, weight in settings.image.methods}


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
