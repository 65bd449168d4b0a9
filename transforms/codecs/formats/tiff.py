"""TIFF: the first page, of 1 to 16 bits, in all of its layouts that Pillow reads; written with deflate.

Pillow is given a copy of the file's directory that holds nothing but the structure of the pixels.
"""

import dataclasses
import io
import itertools
import os
import struct
import zlib
from fractions import Fraction
from typing import BinaryIO

import numpy as np
from PIL import TiffImagePlugin

from hdnet.transforms.codecs import exif, planes, sixteen_bit, tiff_ifd
from hdnet.transforms.codecs.codec import Codec, Decoded, Writer
from hdnet.transforms.codecs.picture import Header, Picture
from hdnet.transforms.codecs.planes import Planes, Samples
from hdnet.transforms.pixels.image import Plane

_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS, _PHOTOMETRIC, _CHANNELS, _PLANAR, _EXTRA_SAMPLES, _ICC = 258, 262, 277, 284, 338, 34675
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_SINGLE = frozenset({256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323})  # tags of one value
_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 273, 279, 324, 325
_OF_SEVERAL = (_PLANAR, _EXTRA_SAMPLES, 339)  # tags that mean nothing for a single channel
_PREDICTOR = 317
_SEPARATE, _MULTIPLIED, _RGB, _HORIZONTAL = 2, 1, 2, 2

# The tags needed to read the pixels. Pillow sees nothing else of the directory, and no further pages.
_STRUCTURE = frozenset({
    256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 338, 339, 347,
    512, 513, 514, 515, 519, 520, 521, 529, 530, 531, 532,
})  # fmt: skip


def _header(file: BinaryIO) -> Header:
    found = tiff_ifd.read(file, strict=True)
    width, height, bits, compression, channels, sample = (
        tiff_ifd.numbers(file, found, tag)[:4] for tag in (256, 257, _BITS, 259, _CHANNELS, 339)
    )
    if not width or not height:
        raise ValueError("no width or height")
    if any(value not in (1, 4) for value in sample):
        raise ValueError(f"sample format {sample[0]}, not whole numbers from 0 up")
    if any(value != bits[0] for value in bits):
        raise ValueError(f"channels of {bits} bits")
    depth, count = (bits or (1,))[0], (channels or (1,))[0]
    stored = Header(width[0], height[0], "tiff", depth, count, lossy=compression in ((6,), (7,)))
    return stored.turned(exif.orientation(exif.find(file, exif.of_tiff)))


def _decode(data: bytes, header: Header) -> Decoded:
    file = io.BytesIO(data)
    found = tiff_ifd.read(file, strict=True)
    _check_layout(file, found, header)
    content = tiff_ifd.tree(file, found, _STRUCTURE)
    for tag in _SINGLE & content.keys():
        content[tag] = _first_value(content[tag])  # Pillow would warn about further values on stderr
    profile = tiff_ifd.tree(file, found, {_ICC}).get(_ICC)
    icc = profile[1] if isinstance(profile, tuple) else None
    page = _Page(data, found, content, header)
    separate = page.first(_PLANAR, 1) == _SEPARATE and page.first(_PHOTOMETRIC, 0) in (0, 1, _RGB)
    if separate or (header.bits == 16 and header.channels == 2):
        decoded = _read_separate(page) if separate else _read_pairs(page)
    elif header.bits == 16 and page.first(_PHOTOMETRIC, 0) == _RGB:
        planes.check_size(_open(page.with_directory(content)), header.stored_size)
        decoded = planes.split(sixteen_bit.unpack_tiff(page.with_directory(content)))
    else:
        decoded, icc = planes.from_pillow(planes.loaded(_open(page.with_directory(content), icc), header.stored_size))
    # Pillow inverts "white is zero" itself, but not at this depth.
    if page.first(_PHOTOMETRIC, 0) == 0 and (separate or header.bits == 16):
        decoded = Planes(np.iinfo(decoded.colours.dtype).max - decoded.colours, decoded.alpha)
    if header.bits == 16 and page.first(_EXTRA_SAMPLES, 0) == _MULTIPLIED:
        decoded = _divided(decoded)
    return Decoded(decoded, icc, exif.resolution(file, found))


@dataclasses.dataclass(frozen=True)
class _Page:
    """The whole file, its first directory and that directory's structural tags."""

    data: bytes
    found: tiff_ifd.Directory
    content: tiff_ifd.Tree
    header: Header

    def first(self, tag: int, default: int) -> int:
        return (tiff_ifd.numbers(io.BytesIO(self.data), self.found, tag) or (default,))[0]

    def with_directory(self, content: tiff_ifd.Tree) -> bytes:
        """Put a directory of this content behind the data, and point the file's header there."""
        data, found = self.data, self.found
        place = len(data) + len(data) % 2
        pointer = place.to_bytes(8 if found.big else 4, found.endian)
        start = data[:8] + pointer if found.big else data[:4] + pointer
        packed = tiff_ifd.pack(content, found.order, place, found.big)
        return b"".join([start, memoryview(data)[len(start) :], b"\0" * (len(data) % 2), packed])

    def as_grey(self, **changes: int) -> tiff_ifd.Tree:
        """Return the structure of a grey image in this one's depth, with other values for tags given as t258=8."""
        content = {tag: node for tag, node in self.content.items() if tag not in _OF_SEVERAL}
        values = {_BITS: self.header.bits, _PHOTOMETRIC: 1, _CHANNELS: 1}
        values |= {int(tag[1:]): value for tag, value in changes.items()}
        for tag, value in values.items():
            content[tag] = tiff_ifd.LONG, value.to_bytes(4, self.found.endian)
        return content


def _check_layout(file: BinaryIO, found: tiff_ifd.Directory, header: Header) -> None:
    """Refuse tiles far larger than the image, and pixels behind the end of the file."""
    tile = [tiff_ifd.numbers(file, found, tag) for tag in (_TILE_WIDTH, _TILE_LENGTH)]
    if all(tile) and tile[0][0] * tile[1][0] > max(4 * header.pixels, 1 << 22):
        raise ValueError(f"tiles of {tile[0][0]} x {tile[1][0]}, far larger than the image")
    # Our directory is put behind the data, and would be read in place of pixels that were cut off.
    end = file.seek(0, os.SEEK_END)
    for places, sizes in ((_STRIP_OFFSETS, _STRIP_SIZES), (_TILE_OFFSETS, _TILE_SIZES)):
        pieces = [tiff_ifd.numbers(file, found, tag) for tag in (places, sizes)]
        if any(place + size > end for place, size in zip(*pieces, strict=False)):
            raise ValueError("pixels behind the end of the file: it is truncated")


def _first_value(node: tuple[int, bytes] | tiff_ifd.Tree) -> tuple[int, bytes]:
    if isinstance(node, dict):
        raise ValueError("a directory where a number must be")
    return node[0], node[1][: tiff_ifd.SIZES[node[0]]]


def _open(data: bytes, icc: bytes | None = None) -> TiffImagePlugin.TiffImageFile:
    encoded = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    encoded.info["icc_profile"] = icc
    return encoded


def _read_separate(page: _Page) -> Planes:
    """Decode channels that are stored one after the other as grey images: Pillow would mix some of them up."""
    header = page.header
    extra = tiff_ifd.numbers(io.BytesIO(page.data), page.found, _EXTRA_SAMPLES)
    colours = header.channels - len(extra)
    if colours not in (1, 3) or len(extra) > 1:
        raise ValueError(f"{header.channels} channels stored one after the other: save them interleaved")
    wanted = colours if extra == (0,) else header.channels
    channels = [_grey(page, _one_channel(page, i), header.stored_size) for i in range(wanted)]
    return Planes(channels[0]) if len(channels) == 1 else planes.split(np.stack(channels, axis=2))


def _one_channel(page: _Page, index: int) -> tiff_ifd.Tree:
    channel = page.as_grey()
    for tag in (_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES):
        node = page.content.get(tag)
        if isinstance(node, tuple):
            size = len(node[1]) // page.header.channels
            channel[tag] = node[0], node[1][index * size : (index + 1) * size]
    return channel


def _read_pairs(page: _Page) -> Planes:
    """Decode grey and alpha of 16 bits, unknown to Pillow, as a grey image of twice the width."""
    width, height = page.header.stored_size
    if _TILE_WIDTH in page.content:
        raise ValueError("16-bit grey with alpha in tiles: save it in strips")
    samples = _grey(page, page.as_grey(t256=2 * width, t317=1), (2 * width, height)).reshape(height, width, 2)
    # The predictor takes differences from the pixel before, now two values away: they are summed up here.
    if page.first(_PREDICTOR, 1) == _HORIZONTAL:
        samples = np.cumsum(samples, axis=1, dtype=np.uint16)
    colours, alpha = np.moveaxis(samples, 2, 0)
    return Planes(np.ascontiguousarray(colours), np.ascontiguousarray(alpha))


def _grey(page: _Page, content: tiff_ifd.Tree, size: tuple[int, int]) -> Plane:
    return planes.from_pillow(planes.loaded(_open(page.with_directory(content)), size))[0].colours


def _divided(decoded: Planes) -> Planes:
    if decoded.alpha is None or decoded.colours.ndim == 2:
        return decoded
    return Planes(sixteen_bit.divide_by_alpha(decoded.colours, decoded.alpha), decoded.alpha)


def _write(picture: Picture, samples: Samples, _: int) -> bytes:
    order, content = exif.descriptive(picture.exif)
    strips = _strips(samples, order)
    content |= _structure(picture, samples, order)
    counts = [len(strip) for strip in strips]
    content[_STRIP_SIZES] = _values(order, tiff_ifd.LONG, *counts)
    content[_STRIP_OFFSETS] = _values(order, tiff_ifd.LONG, *counts)  # as many bytes; the places are not known yet
    first = 8 + len(tiff_ifd.pack(content, order, 8))
    content[_STRIP_OFFSETS] = _values(order, tiff_ifd.LONG, *itertools.accumulate(counts[:-1], initial=first))
    start = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    return b"".join([start, tiff_ifd.pack(content, order, 8), *strips])


def _strips(samples: Samples, order: tiff_ifd.Order) -> list[bytes]:
    """Compress (H,W,C) uint8 or uint16 samples some rows at a time: horizontal differences, then deflate."""
    strips = []
    for top in range(0, len(samples), sixteen_bit.BAND):
        rows = samples[top : top + sixteen_bit.BAND]
        differences = rows.copy()
        differences[:, 1:] -= rows[:, :-1]
        ordered = differences.astype(differences.dtype.newbyteorder(order))
        strips.append(zlib.compress(ordered.tobytes(), sixteen_bit.LEVEL))
    return strips


def _structure(picture: Picture, samples: Samples, order: tiff_ifd.Order) -> tiff_ifd.Tree:
    """Return the tags that say how the pixels are stored, all but where."""
    height, width, channels = samples.shape
    short, long = tiff_ifd.SHORT, tiff_ifd.LONG
    content: tiff_ifd.Tree = {
        256: _values(order, long, width),
        257: _values(order, long, height),
        _BITS: _values(order, short, *[samples.dtype.itemsize * 8] * channels),
        259: _values(order, short, 8),  # deflate
        _PHOTOMETRIC: _values(order, short, _RGB if channels > 2 else 1),  # or grey with white as the largest value
        _CHANNELS: _values(order, short, channels),
        278: _values(order, long, sixteen_bit.BAND),
        _PREDICTOR: _values(order, short, _HORIZONTAL),
    }
    if channels in (2, 4):
        content[_EXTRA_SAMPLES] = _values(order, short, 2)  # alpha, not multiplied into the colours
    if picture.icc:
        content[_ICC] = tiff_ifd.UNDEFINED, picture.icc
    if picture.dpi:
        across, down = (Fraction(value).limit_denominator(10000).as_integer_ratio() for value in picture.dpi)
        content |= {282: _values(order, tiff_ifd.RATIONAL, *across), 283: _values(order, tiff_ifd.RATIONAL, *down)}
        content[296] = _values(order, short, 2)
    return content


def _values(order: tiff_ifd.Order, kind: int, *values: int) -> tuple[int, bytes]:
    return kind, struct.pack(order + ("H" if kind == tiff_ifd.SHORT else "I") * len(values), *values)


CODEC = Codec(
    name="tiff",
    title="TIFF",
    suffixes=(".tif", ".tiff"),
    sniff=lambda start: start[:4] in _STARTS,
    header=_header,
    decode=_decode,
    exif=exif.of_tiff,
    writer=Writer(_write, sixteen_bit=True),
)
