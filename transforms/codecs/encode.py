"""A harmonized picture back to bytes: the input's format, depth and metadata, the same bytes every time."""

import dataclasses
import io
import itertools
import struct
import zlib
from fractions import Fraction
from typing import Literal

import numpy as np
from PIL import Image

from hdnet.transforms import errors
from hdnet.transforms.codecs import exif, sixteen_bit, tiff_ifd
from hdnet.transforms.codecs.picture import Format, Picture, Pixels, Plane
from hdnet.transforms.codecs.planes import Samples
from hdnet.transforms.pixels import tensor

OutputFormat = Literal["same", "png", "jpeg", "webp", "tiff"]

_SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif"}
_LONGEST = {"jpeg": 65500, "webp": 16383}  # side, in pixels
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_SPACES = {1: b"GRAY", 2: b"GRAY", 3: b"RGB ", 4: b"RGB "}  # in an ICC profile, by channels
_JPEG_EXIF_LIMIT = 65533 - len(exif.PREFIX)
_PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_PNG_START = 33  # bytes: signature and IHDR


def output_format(wanted: OutputFormat, source: Format) -> Format:
    """Say which format is written for a source's format: "same" is the source's."""
    return source if wanted == "same" else wanted


def suffix(wanted: OutputFormat, source: Format) -> str:
    """Return the file name's ending, with its dot, for what `encode` writes of a source's format."""
    return _SUFFIXES[output_format(wanted, source)]


def encode(picture: Picture, pixels: Pixels, wanted: OutputFormat = "same", quality: int = 95) -> bytes:
    """Write other pixels as the same kind of file, with the picture's profile, EXIF, resolution and alpha.

    JPEG is written 4:4:4 and holds no alpha: it is dropped, the colours under it stay. All else is lossless. 16 bits
    stay 16 in PNG and TIFF, and are rounded to 8 in JPEG and WebP. A grey picture is written as grey (in WebP, which
    has none, as equal channels). A profile is kept if it describes the kind of channels that is written.

    Args:
        picture: What `decode` read.
        pixels: (H,W,3) in the size and dtype of `picture.pixels`.
        wanted: The format, "same" for the picture's.
        quality: Of JPEG, 1 to 100.

    Raises:
        ShapeError: `pixels` has another size or dtype than the picture.
        SizeError: The format holds no image of this size.
        ValueError: `quality` is out of range.
    """
    kind = output_format(wanted, picture.format)
    _check(picture, pixels, kind, quality)
    samples = _samples(picture, pixels, kind)
    fits = picture.icc is not None and picture.icc[16:20] == _SPACES[samples.shape[2]]
    picture = dataclasses.replace(picture, icc=picture.icc if fits else None)
    return _jpeg(picture, samples, quality) if kind == "jpeg" else _LOSSLESS[kind](picture, samples)


def _check(picture: Picture, pixels: Pixels, kind: Format, quality: int) -> None:
    if pixels.shape != picture.pixels.shape or pixels.dtype != picture.pixels.dtype:
        was = f"{picture.pixels.shape} {picture.pixels.dtype}"
        raise errors.ShapeError(f"a picture of {was} cannot be written with pixels of {pixels.shape} {pixels.dtype}")
    height, width = pixels.shape[:2]
    if max(height, width) > _LONGEST.get(kind, max(height, width)):
        raise errors.SizeError(
            f"{kind} holds no image of {width} x {height}, the longest side is {_LONGEST[kind]}: choose png or tiff"
        )
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be 1 to 100: {quality}")


def _samples(picture: Picture, pixels: Pixels, kind: Format) -> Samples:
    """Return what the format will hold, (H,W,C): 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA, at its depth."""
    alpha = None if kind == "jpeg" else picture.alpha
    colours = _luma(pixels)[..., None] if picture.grey else pixels
    if picture.grey and kind == "webp":
        colours = np.repeat(colours, 3, axis=2)
    samples = colours if alpha is None else np.concatenate([colours, alpha[..., None]], axis=2)
    if samples.dtype == np.uint16 and kind in ("jpeg", "webp"):
        return tensor.quantise(samples / np.float32(257), np.uint8)
    return np.ascontiguousarray(samples)


def _luma(pixels: Pixels) -> Plane:
    """Return (H,W) brightness; of three equal channels it is exactly their value."""
    return tensor.quantise(pixels @ _LUMA, pixels.dtype)


def _pillow(samples: Samples) -> Image.Image:
    return Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)


def _jpeg(picture: Picture, samples: Samples, quality: int) -> bytes:
    options: dict[str, object] = {"icc_profile": picture.icc}
    if picture.exif and len(picture.exif) <= _JPEG_EXIF_LIMIT:
        options["exif"] = exif.PREFIX + picture.exif
    if picture.dpi:
        options["dpi"] = tuple(round(value) for value in picture.dpi)
    buffer = io.BytesIO()
    _pillow(samples).save(buffer, "JPEG", quality=quality, subsampling=0, **options)
    return buffer.getvalue()


def _webp(picture: Picture, samples: Samples) -> bytes:
    buffer = io.BytesIO()
    # Without `exact`, colours under a transparent pixel are not kept. Method 1 with effort 20 takes a quarter of the
    # default's time for files a fiftieth larger.
    options = {"icc_profile": picture.icc or b"", "exif": picture.exif or b""}
    _pillow(samples).save(buffer, "WEBP", lossless=True, exact=True, method=1, quality=20, **options)
    return buffer.getvalue()


def _png(picture: Picture, samples: Samples) -> bytes:
    if samples.dtype == np.uint8:
        buffer = io.BytesIO()
        _pillow(samples).save(buffer, "PNG", compress_level=sixteen_bit.LEVEL)
        plain = buffer.getvalue()
        return b"".join([plain[:_PNG_START], _png_metadata(picture), memoryview(plain)[_PNG_START:]])
    height, width, channels = samples.shape
    size = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOUR_TYPES[channels], 0, 0, 0)
    start = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", size), _png_metadata(picture)]
    pixels = [_chunk(b"IDAT", piece) for piece in sixteen_bit.pack_png(samples) if piece]
    return b"".join([*start, *pixels, _chunk(b"IEND", b"")])


def _png_metadata(picture: Picture) -> bytes:
    chunks = [_chunk(kind, content) for kind, content in picture.png_colour]
    if picture.icc:
        chunks.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(picture.icc)))
    if picture.dpi:
        per_metre = [round(value / 0.0254) for value in picture.dpi]
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if picture.exif:
        chunks.append(_chunk(b"eXIf", picture.exif))
    return b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def _tiff(picture: Picture, samples: Samples) -> bytes:
    order, content = exif.descriptive(picture.exif)
    strips = sixteen_bit.pack_tiff(samples, order)
    content |= _tiff_structure(picture, samples, order)
    counts = [len(strip) for strip in strips]
    content[279] = _values(order, tiff_ifd.LONG, *counts)
    content[273] = _values(order, tiff_ifd.LONG, *counts)  # for its length: the places are not known yet
    first = 8 + len(tiff_ifd.pack(content, order, 8))
    content[273] = _values(order, tiff_ifd.LONG, *itertools.accumulate(counts[:-1], initial=first))
    start = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    return b"".join([start, tiff_ifd.pack(content, order, 8), *strips])


def _tiff_structure(picture: Picture, samples: Samples, order: tiff_ifd.Order) -> tiff_ifd.Tree:
    """Return the tags that say how the pixels are stored, all but where."""
    height, width, channels = samples.shape
    short, long = tiff_ifd.SHORT, tiff_ifd.LONG
    content: tiff_ifd.Tree = {
        256: _values(order, long, width),
        257: _values(order, long, height),
        258: _values(order, short, *[samples.dtype.itemsize * 8] * channels),
        259: _values(order, short, 8),  # deflate
        262: _values(order, short, 2 if channels > 2 else 1),  # RGB, or grey with white as the largest value
        277: _values(order, short, channels),
        278: _values(order, long, sixteen_bit.BAND),
        317: _values(order, short, 2),  # horizontal differences
    }
    if channels in (2, 4):
        content[338] = _values(order, short, 2)  # alpha, not multiplied into the colours
    if picture.icc:
        content[34675] = tiff_ifd.UNDEFINED, picture.icc
    if picture.dpi:
        across, down = (Fraction(value).limit_denominator(10000).as_integer_ratio() for value in picture.dpi)
        content |= {282: _values(order, tiff_ifd.RATIONAL, *across), 283: _values(order, tiff_ifd.RATIONAL, *down)}
        content[296] = _values(order, short, 2)
    return content


def _values(order: tiff_ifd.Order, kind: int, *values: int) -> tuple[int, bytes]:
    return kind, struct.pack(order + ("H" if kind == tiff_ifd.SHORT else "I") * len(values), *values)


_LOSSLESS = {"png": _png, "webp": _webp, "tiff": _tiff}
