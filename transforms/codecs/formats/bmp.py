"""BMP: up to 8 bits a channel, palette, grey or RGB, with or without alpha. It is read, and written as PNG."""

import io
from typing import BinaryIO

from PIL import BmpImagePlugin

from hdnet.transforms.codecs import exif, planes
from hdnet.transforms.codecs.codec import Codec, Decoded
from hdnet.transforms.codecs.picture import Header


def _open(file: BinaryIO) -> BmpImagePlugin.BmpImageFile:
    file.seek(0)
    try:
        return BmpImagePlugin.BmpImageFile(file)
    except Exception as error:  # hostile bytes raise errors of every class
        raise ValueError(str(error)) from error


def _header(file: BinaryIO) -> Header:
    encoded = _open(file)
    return Header(*encoded.size, "bmp", 8, len(encoded.getbands()), lossy=False)


def _decode(data: bytes, header: Header) -> Decoded:
    encoded = _open(io.BytesIO(data))
    decoded, _ = planes.from_pillow(planes.loaded(encoded, header.stored_size))
    if decoded.alpha is not None and not decoded.alpha.any():  # as browsers do: many writers leave its bytes empty
        decoded = planes.Planes(decoded.colours)
    return Decoded(decoded, dpi=exif.sensible(encoded.info.get("dpi")))


CODEC = Codec(
    name="bmp",
    title="BMP",
    suffixes=(".bmp",),
    sniff=lambda start: start[:2] == b"BM",
    header=_header,
    decode=_decode,
    written_as="png",
)
