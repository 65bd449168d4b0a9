"""What AVIF and HEIC have in common: files made of boxes (ISO/IEC 14496-12), and the codes of their colours."""

import io
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from hdnet.transforms import errors
from hdnet.transforms.codecs import bounded

# Of ITU-T H.273. Unspecified, BT.709 and the primaries of old television are read as sRGB, as every viewer does.
_PRIMARIES = frozenset({1, 2, 5, 6, 7})
_TRANSFERS = frozenset({1, 2, 6, 13, 14, 15})
_HDR = {16: "PQ", 18: "HLG"}


def brands(start: bytes) -> frozenset[bytes]:
    """Return the brands that a file's first bytes name, the major one and those it is compatible with."""
    if start[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return frozenset(start[at : at + 4] for at in (8, *range(16, end, 4)))


def boxes(file: BinaryIO, at: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, offset of the content and of the end of each box, until the end or the 200,000th.

    Raises:
        ValueError: A box is smaller than its own head.
    """
    end = file.seek(0, os.SEEK_END)
    for _ in range(bounded.MOST_PIECES):
        if at + 8 > end:
            return
        size, kind = struct.unpack(">I4s", bounded.exactly(file, at, 8))
        content = at + 8
        if size == 1:
            size, content = int.from_bytes(bounded.exactly(file, at + 8, 8), "big"), at + 16
        after = at + size if size else end
        if after < content:
            raise ValueError(f"a box {kind!r} of {size} bytes")
        yield kind, content, after
        at = after


def children(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return type and content of the boxes within a box."""
    return [(kind, content[at:after]) for kind, at, after in boxes(io.BytesIO(content))]


def meta(file: BinaryIO) -> list[tuple[bytes, bytes]]:
    """Return type and content of the boxes that describe the file's images.

    Raises:
        ValueError: There are none, or the file ends within them.
    """
    place = next(((at, after - at) for kind, at, after in boxes(file) if kind == b"meta"), None)
    if place is None:
        raise ValueError("no box that describes the image")
    return children(bounded.exactly(file, *place)[4:])


def check_colours(primaries: int, transfer: int) -> None:
    """Refuse colours that are not near sRGB and have no ICC profile, which would be lost when they are written.

    Raises:
        DecodeError: Such as for HDR; the message lacks the file's name at its beginning.
    """
    if transfer in _HDR:
        raise errors.DecodeError(f"is an HDR image ({_HDR[transfer]}): export it in standard range (SDR)")
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        raise errors.DecodeError(
            f"has colour primaries {primaries} and transfer {transfer} of ITU-T H.273 and no ICC profile: "
            "export it as sRGB or with a profile"
        )
