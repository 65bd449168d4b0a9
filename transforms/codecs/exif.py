"""EXIF blocks: read for orientation and resolution, and changed in one place only.

A block is what follows "Exif\\0\\0" in a JPEG: a TIFF header with directories. Only the orientation's value is
overwritten, so that maker notes survive: they hold offsets that would break if anything moved. A block that cannot be
read is treated as absent, because a sound photo should not be refused for it.
"""

import io
import math
import struct
from collections.abc import Callable
from typing import BinaryIO

from hdnet.transforms.codecs.tiff_files import tiff_ifd

PREFIX = b"Exif\0\0"

# The tags in a TIFF's own directory that describe the photo, not how its pixels are stored.
_DESCRIPTIVE = frozenset({270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 33432, tiff_ifd.EXIF, tiff_ifd.GPS})

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 274, 282, 283, 296
_CODES = {tiff_ifd.BYTE: "B", tiff_ifd.SHORT: "H", tiff_ifd.LONG: "I"}


def find(file: BinaryIO, raw: Callable[[BinaryIO], bytes]) -> bytes | None:
    """Return a file's EXIF block, which `raw` looks for; None where there is none or it cannot be read."""
    try:
        block = raw(file).removeprefix(PREFIX)
    except ValueError:
        return None
    return block if _read(block) else None


def orientation(block: bytes | None) -> int:
    """Return how the stored pixels lie, 1 to 8; 1 is upright, and the answer where the block holds nothing valid."""
    found = _read(block or b"")
    values = tiff_ifd.numbers(io.BytesIO(block or b""), found, _ORIENTATION) if found else ()
    return values[0] if values and 1 <= values[0] <= 8 else 1


def upright(block: bytes | None) -> bytes | None:
    """Return the block with orientation 1 and every other byte as it was."""
    found = _read(block or b"")
    entry = found.entries.get(_ORIENTATION) if found else None
    if block is None or found is None or entry is None or entry.kind not in _CODES:
        return block
    code = struct.pack(found.order + _CODES[entry.kind], 1)
    return block[: entry.where] + code + block[entry.where + len(code) :]


def dpi(block: bytes | None) -> tuple[float, float] | None:
    """Return horizontal and vertical dots per inch, or None."""
    found = _read(block or b"")
    return resolution(io.BytesIO(block or b""), found) if found else None


def resolution(file: BinaryIO, found: tiff_ifd.Directory) -> tuple[float, float] | None:
    """Return a TIFF directory's dots per inch, horizontal and vertical, or None."""
    sides = [tiff_ifd.numbers(file, found, tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
    unit = {2: 1.0, 3: 2.54}.get((tiff_ifd.numbers(file, found, _UNIT) or (2,))[0])
    if unit is None or not all(len(side) == 2 and side[1] for side in sides):
        return None
    return sensible(tuple(side[0] / side[1] * unit for side in sides))


def descriptive(block: bytes | None) -> tuple[tiff_ifd.Order, tiff_ifd.Tree]:
    """Return a block's byte order and the tags that a TIFF's own directory may hold; none where it is unreadable."""
    found = _read(block or b"")
    if block is None or found is None:
        return "<", {}
    return found.order, tiff_ifd.tree(io.BytesIO(block), found, _DESCRIPTIVE)


def of_tiff(file: BinaryIO) -> bytes:
    """Return the tags in a TIFF's first directory that describe the photo, and its orientation, as a block.

    Raises:
        ValueError: There is no directory.
    """
    found = tiff_ifd.read(file)
    tree = tiff_ifd.tree(file, found, _DESCRIPTIVE | {_ORIENTATION})
    start = struct.pack(found.order + "2sHI", b"II" if found.order == "<" else b"MM", 42, 8)
    return start + tiff_ifd.pack(tree, found.order, 8) if tree else b""


def sensible(values: object) -> tuple[float, float] | None:
    """Return a pair of dots per inch as floats, or None where the values make no sense: files hold zeros and worse."""
    try:
        across, down = (float(value) for value in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ArithmeticError):
        return None
    return (across, down) if all(math.isfinite(value) and 1 <= value <= 65535 for value in (across, down)) else None


def _read(block: bytes) -> tiff_ifd.Directory | None:
    try:
        return tiff_ifd.read(io.BytesIO(block))
    except ValueError:
        return None
