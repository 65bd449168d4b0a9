"""JPEG: 8 bits, grey, RGB or CMYK, with loss; no alpha."""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from PIL import JpegImagePlugin

from hdnet.transforms.codecs import bounded, exif, planes
from hdnet.transforms.codecs.codec import Codec, Decoded, Writer
from hdnet.transforms.codecs.picture import Header, Picture
from hdnet.transforms.codecs.planes import Samples

_SOS = 0xDA  # the marker after which pixels follow
_APP1 = 0xE1  # the marker of EXIF and XMP
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the markers of a frame header
_FILLERS = 64  # bytes of 0xFF that may stand before a marker: no camera writes more
_MAX_SCANS = 100  # a camera's progressive JPEG has about ten; thousands in a small file would take hours
_PIXELS_PER_BYTE = 512  # at most, a bit for a block of 64: where bytes are missing, the decoder fills in grey
_EXIF_LIMIT = 65533 - len(exif.PREFIX)


def _segments(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Yield marker, offset (of the 0xFF) and content of each segment, up to and with the first SOS.

    Raises:
        ValueError: The file ends before, or something else stands where a marker must be.
    """
    at = 2
    for _ in range(bounded.MOST_PIECES):
        start = at
        while bounded.exactly(file, at + 1, 1) == b"\xff" and at - start < _FILLERS:
            at += 1
        lead, marker, length = struct.unpack(">BBH", bounded.exactly(file, at, 4))
        if lead != 0xFF or marker < 0xC0 or length < 2:
            raise ValueError(f"no JPEG marker at byte {at}")
        yield marker, at, bounded.exactly(file, at + 4, length - 2)
        if marker == _SOS:
            return
        at += 2 + length
    raise ValueError(f"more than {bounded.MOST_PIECES} segments")


def _exif(file: BinaryIO) -> bytes:
    found = (content for marker, _, content in _segments(file) if marker == _APP1)
    return b"".join(content[len(exif.PREFIX) :] for content in found if content.startswith(exif.PREFIX))


def _header(file: BinaryIO) -> Header:
    frame = next((content for marker, _, content in _segments(file) if marker in _SOF), b"")
    if len(frame) < 6:
        raise ValueError("no frame header before the pixels")
    width, height = int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
    stored = Header(width, height, "jpeg", bits=frame[0], channels=frame[5], lossy=True)
    return stored.turned(exif.orientation(exif.find(file, _exif)))


def _decode(data: bytes, header: Header) -> Decoded:
    if data.count(b"\xff\xda") > _MAX_SCANS:
        raise ValueError(f"more than {_MAX_SCANS} scans")
    if len(data) * _PIXELS_PER_BYTE < header.pixels:
        raise ValueError(f"{len(data)} bytes do not hold {header.pixels} pixels")
    encoded = JpegImagePlugin.JpegImageFile(io.BytesIO(_without_exif(data)))
    decoded, icc = planes.from_pillow(planes.loaded(encoded, header.stored_size))
    dpi = exif.sensible(encoded.info.get("dpi")) if encoded.info.get("jfif_unit") in (1, 2) else None
    return Decoded(decoded, icc, dpi)


def _without_exif(data: bytes) -> bytes:
    """Drop EXIF and XMP: Pillow would read directories of any size, and Adobe's colour markers are not there."""
    kept, last = [], 0
    for marker, at, content in _segments(io.BytesIO(data)):
        if marker == _APP1:
            kept.append(data[last:at])
            last = at + 4 + len(content)
    return b"".join([*kept, memoryview(data)[last:]])


def _write(picture: Picture, samples: Samples, quality: int) -> bytes:
    """Write 4:4:4; EXIF that does not fit a segment is left out."""
    options: dict[str, object] = {"icc_profile": picture.icc}
    if picture.exif and len(picture.exif) <= _EXIF_LIMIT:
        options["exif"] = exif.PREFIX + picture.exif
    if picture.dpi:
        options["dpi"] = tuple(round(value) for value in picture.dpi)
    return planes.saved(samples, "JPEG", quality=quality, subsampling=0, **options)


CODEC = Codec(
    name="jpeg",
    title="JPEG",
    suffixes=(".jpg", ".jpeg"),
    sniff=lambda start: start[:3] == b"\xff\xd8\xff",
    header=_header,
    decode=_decode,
    exif=_exif,
    writer=Writer(_write, alpha=False, longest=65500),
)
