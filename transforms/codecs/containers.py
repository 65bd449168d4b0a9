"""The outer shape of JPEG, PNG and WebP files: their segments and chunks, without the pixels."""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from hdnet.transforms.codecs import tiff_ifd
from hdnet.transforms.codecs.picture import Format

SOS = 0xDA  # the JPEG marker after which pixels follow
_FILLERS = 64  # bytes of 0xFF that may stand before a JPEG marker: more is no camera's doing

_MOST = 200_000  # segments or chunks: a hostile file of empty ones must not keep us for minutes

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def sniff(file: BinaryIO) -> Format | None:
    """Tell the format from the first bytes, or None."""
    file.seek(0)
    start = file.read(12)
    if start[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if start[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return "webp"
    return "tiff" if start[:4] in _TIFF_STARTS else None


def jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Give marker, offset (of the 0xFF) and content of each segment, up to and with the first SOS.

    Raises:
        ValueError: The file ends before, or something else stands where a marker must be.
    """
    at = 2
    for _ in range(_MOST):
        start = at
        while tiff_ifd.exactly(file, at + 1, 1) == b"\xff" and at - start < _FILLERS:
            at += 1
        lead, marker, length = struct.unpack(">BBH", tiff_ifd.exactly(file, at, 4))
        if lead != 0xFF or marker < 0xC0 or length < 2:
            raise ValueError(f"no JPEG marker at byte {at}")
        yield marker, at, tiff_ifd.exactly(file, at + 4, length - 2)
        if marker == SOS:
            return
        at += 2 + length
    raise ValueError(f"more than {_MOST} segments")


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Give type, offset of the content and its length of each chunk, until IEND, the end or the 200,000th."""
    end, at = file.seek(0, os.SEEK_END), 8
    for _ in range(_MOST):
        if at + 12 > end:
            return
        length, kind = struct.unpack(">I4s", tiff_ifd.exactly(file, at, 8))
        yield kind, at + 8, length
        at += 12 + length
        if kind == b"IEND":
            return


def check_png(data: bytes) -> list[tuple[bytes, int, int]]:
    """Return all of a PNG's chunks, each checked against its sum: Pillow leaves the pixels' unchecked.

    Raises:
        ValueError: A chunk is damaged, or the last is missing.
    """
    view, chunks = memoryview(data), []
    for kind, at, length in png_chunks(io.BytesIO(data)):
        if zlib.crc32(view[at - 4 : at + length]) != int.from_bytes(view[at + length : at + length + 4], "big"):
            raise ValueError(f"PNG chunk {kind!r} at byte {at - 8} is truncated or damaged")
        chunks.append((kind, at, length))
    if not chunks or chunks[-1][0] != b"IEND":
        raise ValueError("the PNG ends without its last chunk: it is truncated")
    return chunks


def webp_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Give type, offset of the content and its length of each chunk, until the end or the 200,000th."""
    end, at = file.seek(0, os.SEEK_END), 12
    for _ in range(_MOST):
        if at + 8 > end:
            return
        kind, length = struct.unpack("<4sI", tiff_ifd.exactly(file, at, 8))
        yield kind, at + 8, length
        at += 8 + length + length % 2
