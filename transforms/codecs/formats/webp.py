"""WebP: 8 bits, RGB with or without alpha; read with and without loss, written lossless."""

import io
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from PIL import WebPImagePlugin

from hdnet.transforms.codecs import bounded, exif, planes
from hdnet.transforms.codecs.codec import Codec, Decoded, Writer
from hdnet.transforms.codecs.picture import Header, Picture
from hdnet.transforms.codecs.planes import Samples


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, offset of the content and its length of each chunk, until the end or the 200,000th."""
    end, at = file.seek(0, os.SEEK_END), 12
    for _ in range(bounded.MOST_PIECES):
        if at + 8 > end:
            return
        kind, length = struct.unpack("<4sI", bounded.exactly(file, at, 8))
        yield kind, at + 8, length
        at += 8 + length + length % 2


def _exif(file: BinaryIO) -> bytes:
    place = next(((at, length) for kind, at, length in _chunks(file) if kind == b"EXIF"), None)
    return bounded.exactly(file, *place) if place else b""


def _header(file: BinaryIO) -> Header:
    names = {kind for kind, _, _ in _chunks(file)}
    kind, at, _ = next(_chunks(file), (b"", 0, 0))
    start = bounded.exactly(file, at, 10)
    if kind == b"VP8X":
        width, height, alpha = _little(start[4:7]) + 1, _little(start[7:10]) + 1, bool(start[0] & 0x10)
        # An animation's frames hide their kind one level deeper: taken for lossy, as nearly all are.
        stored = Header(width, height, "webp", 8, 3 + alpha, lossy=b"VP8L" not in names)
        return stored.turned(exif.orientation(exif.find(file, _exif)))
    if kind == b"VP8L":
        bits = _little(start[1:5])
        width, height, alpha = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
        return Header(width, height, "webp", 8, 3 + alpha, lossy=False)
    if kind != b"VP8 ":
        raise ValueError(f"no picture chunk first, but {kind!r}")
    return Header(_little(start[6:8]) & 0x3FFF, _little(start[8:10]) & 0x3FFF, "webp", 8, 3, lossy=True)


def _little(value: bytes) -> int:
    return int.from_bytes(value, "little")


def _decode(data: bytes, header: Header) -> Decoded:
    encoded = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    return Decoded(*planes.from_pillow(planes.loaded(encoded, header.stored_size)))


def _write(picture: Picture, samples: Samples, _: int) -> bytes:
    # Without `exact`, colours under a transparent pixel are not kept. Method 1 with effort 20 takes a quarter of the
    # default's time for files a fiftieth larger.
    return planes.saved(
        samples, "WEBP", lossless=True, exact=True, method=1, quality=20,
        icc_profile=picture.icc or b"", exif=picture.exif or b"",
    )  # fmt: skip


CODEC = Codec(
    name="webp",
    title="WebP",
    suffixes=(".webp",),
    sniff=lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP",
    header=_header,
    decode=_decode,
    exif=_exif,
    writer=Writer(_write, grey=False, longest=16383),
)
