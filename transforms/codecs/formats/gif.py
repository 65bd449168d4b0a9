"""GIF: 8 bits, palette, one colour may be transparent. It is read, and written as PNG."""

import io
import os
from typing import BinaryIO

from PIL import GifImagePlugin

from hdnet.transforms.codecs import bounded, planes
from hdnet.transforms.codecs.codec import Codec, Decoded
from hdnet.transforms.codecs.picture import Header

_EXTENSION, _IMAGE, _CONTROL = 0x21, 0x2C, 0xF9  # the bytes before a block, and before an extension's content
_END = b";"


def _after_blocks(file: BinaryIO, at: int) -> int:
    """Return the offset behind a list of blocks of up to 255 bytes, which an empty one ends."""
    end = file.seek(0, os.SEEK_END)
    while at < end:
        size = bounded.exactly(file, at, 1)[0]
        at += 1 + size
        if not size:
            return at
    raise ValueError("the file ends within a block: it is truncated")


def _after_palette(at: int, flags: int) -> int:
    return at + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _first_frame(file: BinaryIO) -> tuple[int, tuple[int, int] | None]:
    """Return the offset of the first frame, and where the control block is that says what is transparent in it."""
    at, control = _after_palette(13, bounded.exactly(file, 10, 1)[0]), None
    for _ in range(bounded.MOST_PIECES):
        kind = bounded.exactly(file, at, 1)[0]
        if kind == _IMAGE:
            return at, control
        if kind != _EXTENSION:
            raise ValueError(f"no frame, but {kind:#x} at byte {at}")
        after = _after_blocks(file, at + 2)
        if bounded.exactly(file, at + 1, 1)[0] == _CONTROL:
            control = at, after
        at = after
    raise ValueError(f"more than {bounded.MOST_PIECES} extensions")


def _header(file: BinaryIO) -> Header:
    screen = bounded.exactly(file, 6, 4)
    frame = bounded.exactly(file, _first_frame(file)[0] + 1, 8)
    left, top, width, height = (int.from_bytes(frame[i : i + 2], "little") for i in (0, 2, 4, 6))
    # A frame may reach over the edge of the screen, which then grows.
    width = max(int.from_bytes(screen[:2], "little"), left + width)
    height = max(int.from_bytes(screen[2:], "little"), top + height)
    return Header(width, height, "gif", 8, 1, lossy=False)


def _decode(data: bytes, header: Header) -> Decoded:
    encoded = GifImagePlugin.GifImageFile(io.BytesIO(_with_one_frame(data)))
    loaded = planes.loaded(encoded, header.stored_size)
    transparent = "transparency" in loaded.info
    return Decoded(planes.from_pillow(loaded.convert("RGBA") if transparent else loaded)[0])


def _with_one_frame(data: bytes) -> bytes:
    """Drop all but the first frame and what it needs: Pillow takes minutes for long comments."""
    file = io.BytesIO(data)
    at, control = _first_frame(file)
    after = _after_blocks(file, _after_palette(at + 10, bounded.exactly(file, at + 9, 1)[0]) + 1)
    start = data[: _after_palette(13, data[10])]
    return b"".join([start, data[slice(*control)] if control else b"", data[at:after], _END])


CODEC = Codec(
    name="gif",
    title="GIF",
    suffixes=(".gif",),
    sniff=lambda start: start[:6] in (b"GIF87a", b"GIF89a"),
    header=_header,
    decode=_decode,
    written_as="png",
)
