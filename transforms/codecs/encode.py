"""A harmonized picture back to bytes: the input's format, depth and metadata, the same bytes every time."""

import dataclasses

import numpy as np

from hdnet.transforms import errors
from hdnet.transforms.codecs import table
from hdnet.transforms.codecs.codec import Writer
from hdnet.transforms.codecs.picture import Picture
from hdnet.transforms.codecs.planes import Samples
from hdnet.transforms.pixels import image
from hdnet.transforms.pixels.image import Pixels

_SPACES = {1: b"GRAY", 2: b"GRAY", 3: b"RGB ", 4: b"RGB "}  # in an ICC profile, by channels


def suffix(wanted: str, source: str) -> str:
    """Return the file name's ending, with its dot, for what `encode` writes of a picture in the format `source`."""
    return table.written(wanted, source).suffixes[0]


def encode(picture: Picture, pixels: Pixels, wanted: str = "same", quality: int = 95) -> bytes:
    """Write other pixels as the same kind of file, with the picture's profile, EXIF, resolution and alpha.

    Each format is given what it can hold (see its `Writer`): alpha is dropped and 16 bits are rounded to 8 where it
    has no place for them. A grey picture is written as grey, or as three equal channels. A profile is kept if it
    describes the kind of channels that is written.

    Args:
        picture: What `decode` read.
        pixels: (H,W,3) in the size and dtype of `picture.pixels`.
        wanted: One of `table.OUTPUT_FORMATS`; "same" is the picture's format, or what stands in for it.
        quality: Of JPEG and AVIF, 1 to 100.

    Raises:
        ShapeError: `pixels` has another size or dtype than the picture.
        SizeError: The format holds no image of this size.
        ValueError: `quality` or `wanted` is out of range.
    """
    codec = table.written(wanted, picture.format)
    assert codec.writer, codec.name
    _check(picture, pixels, codec.name, codec.writer, quality)
    samples = _samples(picture, pixels, codec.writer)
    fits = picture.icc is not None and picture.icc[16:20] == _SPACES[samples.shape[2]]
    picture = dataclasses.replace(picture, icc=picture.icc if fits else None)
    return codec.writer.write(picture, samples, quality)


def _check(picture: Picture, pixels: Pixels, name: str, writer: Writer, quality: int) -> None:
    if pixels.shape != picture.pixels.shape or pixels.dtype != picture.pixels.dtype:
        was = f"{picture.pixels.shape} {picture.pixels.dtype}"
        raise errors.ShapeError(f"a picture of {was} cannot be written with pixels of {pixels.shape} {pixels.dtype}")
    height, width = pixels.shape[:2]
    if writer.longest and max(height, width) > writer.longest:
        raise errors.SizeError(
            f"{name} holds no image of {width} x {height}, the longest side is {writer.longest}: choose png or tiff"
        )
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be 1 to 100: {quality}")


def _samples(picture: Picture, pixels: Pixels, writer: Writer) -> Samples:
    """Return what the format will hold, (H,W,C): 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA, at its depth."""
    alpha = picture.alpha if writer.alpha else None
    colours = image.luma(pixels)[..., None] if picture.grey else pixels
    if picture.grey and not writer.grey:
        colours = np.repeat(colours, 3, axis=2)
    samples = colours if alpha is None else np.concatenate([colours, alpha[..., None]], axis=2)
    return np.ascontiguousarray(samples if writer.sixteen_bit else image.to_8_bit(samples))
