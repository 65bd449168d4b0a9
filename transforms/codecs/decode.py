"""Encoded bytes to a `Picture`: upright, at the file's depth, with what must be written back."""

import dataclasses
import io

import numpy as np
from PIL import Image

from hdnet.transforms import errors
from hdnet.transforms.codecs import bounded, exif, planes, table
from hdnet.transforms.codecs import header as headers
from hdnet.transforms.codecs.codec import Decoded
from hdnet.transforms.codecs.limits import MAX_PIXELS
from hdnet.transforms.codecs.picture import Header, Picture
from hdnet.transforms.pixels.image import Pixels


def decode(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read an image of any format in the table; from an animation or a file of several pages, the first image.

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
    header, found = read(data, name, max_pixels)
    colours, alpha = found.planes.colours, found.planes.alpha
    block = exif.find(io.BytesIO(data), table.CODECS[header.format].exif)
    grey = colours.ndim == 2
    pixels = np.repeat(colours[..., None], 3, axis=2) if grey else colours
    dpi = found.dpi or exif.dpi(block)
    return Picture(pixels, alpha, grey, header.format, found.icc, exif.upright(block), dpi, found.png_colour)


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Read an image's pixels alone: (H,W,3) uint8 or uint16 RGB, upright, without alpha; errors as in `decode`."""
    return decode(data, name, max_pixels).pixels


def read(data: bytes, name: str, max_pixels: int) -> tuple[Header, Decoded]:
    """Decode a file into upright planes; errors as in `decode`."""
    header = headers.read(data, name)
    headers.check_size(header, name, max_pixels)
    try:
        found = table.CODECS[header.format].decode(data, header)
    # Pillow's own limit is a global: lifting it for one file would lift it for all.
    except Image.DecompressionBombError as error:
        raise errors.SizeError(f"{name} is larger than Pillow reads a {header.format} ({error}): split it") from error
    except errors.DecodeError as error:
        raise errors.DecodeError(f"{name} {error}") from error
    # Decoders meet hostile bytes with errors of every class, MemoryError and SyntaxError among them.
    except Exception as error:
        kind, wrong = header.format.upper(), bounded.in_words(error)
        raise errors.DecodeError(f"{name} cannot be decoded as {kind} ({wrong}): export the file again") from error
    return header, dataclasses.replace(found, planes=planes.turn(found.planes, header.orientation))
