"""Encoded bytes to a `Picture`: upright, at the file's depth, with what must be written back."""

import dataclasses
import io

import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from hdnet.transforms import errors
from hdnet.transforms.codecs import containers, exif, planes, sixteen_bit, tiff
from hdnet.transforms.codecs import header as headers
from hdnet.transforms.codecs.picture import MAX_PIXELS, Header, Picture, Pixels
from hdnet.transforms.codecs.planes import Planes

_PNG_COLOUR = (b"cICP", b"cHRM", b"gAMA", b"sRGB", b"mDCV", b"cLLI")
_MAX_SCANS = 100  # a camera's progressive JPEG has about ten; thousands in a small file would take hours
_PIXELS_PER_BYTE = 512  # of a JPEG at most, a bit for a block of 64: where they are missing, its decoder puts grey


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Everything read from a file: header, planes as stored, and the rest as in `Picture`."""

    header: Header
    planes: Planes
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    png_colour: tuple[tuple[bytes, bytes], ...] = ()


def decode(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a JPEG, PNG, WebP or TIFF; of an animation or of several pages the first.

    Args:
        data: The file's bytes.
        name: What to call the image in an error message, usually its URI.
        max_pixels: Refuse larger images before any pixel is decoded.

    Returns:
        The picture, with its EXIF orientation applied. Numbers are the file's own, whatever its profile; only CMYK is
        converted, to sRGB, through its profile where it has one.

    Raises:
        DecodeError: The bytes are empty, truncated, damaged or no image of these formats, or hold values of another
            kind than 1, 2, 4, 8 or 16 bits.
        SizeError: The image has more than `max_pixels` pixels.
    """
    found = read(data, name, max_pixels)
    colours, alpha, block = found.planes.colours, found.planes.alpha, exif.find(io.BytesIO(data), found.header.format)
    grey = colours.ndim == 2
    pixels = np.repeat(colours[..., None], 3, axis=2) if grey else colours
    return Picture(
        pixels, alpha, grey, found.header.format, found.icc, exif.upright(block), found.dpi or exif.dpi(block),
        found.png_colour,
    )  # fmt: skip


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Read an image's pixels alone: (H,W,3) uint8 or uint16 RGB, upright, without alpha; errors as in `decode`."""
    return decode(data, name, max_pixels).pixels


def read(data: bytes, name: str, max_pixels: int) -> Decoded:
    """Decode a file into planes; errors as in `decode`."""
    header = headers.read(data, name)
    headers.check_size(header, name, max_pixels)
    try:
        found = _READERS[header.format](data, header)
    # Its own limit cannot be lifted for one file alone, and lifting it for all would not be ours to do.
    except Image.DecompressionBombError as error:
        raise errors.SizeError(f"{name} is larger than Pillow reads a {header.format} ({error}): split it") from error
    # Decoders meet hostile bytes with errors of every class, MemoryError and SyntaxError among them.
    except Exception as error:
        kind = header.format.upper()
        raise errors.DecodeError(f"{name} cannot be decoded as {kind} ({error}): export the file again") from error
    return dataclasses.replace(found, planes=planes.turn(found.planes, header.orientation))


def _jpeg(data: bytes, header: Header) -> Decoded:
    if data.count(b"\xff\xda") > _MAX_SCANS:
        raise ValueError(f"more than {_MAX_SCANS} scans")
    if len(data) * _PIXELS_PER_BYTE < header.pixels:
        raise ValueError(f"{len(data)} bytes do not hold {header.pixels} pixels")
    encoded = JpegImagePlugin.JpegImageFile(io.BytesIO(_without_exif(data)))
    decoded, icc = planes.from_pillow(planes.loaded(encoded, header.stored_size))
    dpi = exif.sensible(encoded.info.get("dpi")) if encoded.info.get("jfif_unit") in (1, 2) else None
    return Decoded(header, decoded, icc, dpi)


def _without_exif(data: bytes) -> bytes:
    """Drop EXIF and XMP: Pillow would read directories of any size, and Adobe's colour markers are not there."""
    kept, last = [], 0
    for marker, at, content in containers.jpeg_segments(io.BytesIO(data)):
        if marker == 0xE1:
            kept.append(data[last:at])
            last = at + 4 + len(content)
    return b"".join([*kept, memoryview(data)[last:]])


def _png(data: bytes, header: Header) -> Decoded:
    chunks = containers.check_png(data)
    encoded = PngImagePlugin.PngImageFile(io.BytesIO(data))
    if header.bits == 16 and header.channels > 1:
        planes.check_size(encoded, header.stored_size)
        pixels = b"".join(data[at : at + size] for kind, at, size in chunks if kind == b"IDAT")
        samples = sixteen_bit.unpack_png(pixels, encoded.size, header.channels, interlaced=data[28] == 1)
        decoded, icc = planes.split(samples), encoded.info.get("icc_profile")
    else:
        decoded, icc = planes.from_pillow(planes.loaded(encoded, header.stored_size))
    key = encoded.info.get("transparency")
    if key is not None and decoded.alpha is None:
        decoded = planes.with_key(decoded, key, header.bits)
    colour = tuple((kind, data[at : at + size]) for kind, at, size in chunks if kind in _PNG_COLOUR)
    return Decoded(header, decoded, icc, exif.sensible(encoded.info.get("dpi")), colour)


def _webp(data: bytes, header: Header) -> Decoded:
    encoded = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    decoded, icc = planes.from_pillow(planes.loaded(encoded, header.stored_size))
    return Decoded(header, decoded, icc)


def _tiff(data: bytes, header: Header) -> Decoded:
    return Decoded(header, *tiff.read(data, header))


_READERS = {"jpeg": _jpeg, "png": _png, "webp": _webp, "tiff": _tiff}
