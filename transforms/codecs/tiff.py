"""The first page of a TIFF: a directory of nothing but its structure is given to Pillow, pixels come back."""

import dataclasses
import io
import os
from typing import BinaryIO

import numpy as np
from PIL import TiffImagePlugin

from hdnet.transforms.codecs import exif, planes, sixteen_bit, tiff_ifd
from hdnet.transforms.codecs.picture import Header, Plane
from hdnet.transforms.codecs.planes import Planes

_BITS, _PHOTOMETRIC, _CHANNELS, _PLANAR, _EXTRA_SAMPLES, _ICC = 258, 262, 277, 284, 338, 34675
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_SINGLE = frozenset({256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323})  # tags of one value
_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 273, 279, 324, 325
_OF_SEVERAL = (_PLANAR, _EXTRA_SAMPLES, 339)  # tags that a single channel does without
_PREDICTOR = 317
_SEPARATE, _MULTIPLIED, _RGB, _HORIZONTAL = 2, 1, 2, 2

# What the pixels need to be read. Nothing else of the directory reaches Pillow, nor do further pages.
_STRUCTURE = frozenset({
    256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 338, 339, 347,
    512, 513, 514, 515, 519, 520, 521, 529, 530, 531, 532,
})  # fmt: skip


def read(data: bytes, header: Header) -> tuple[Planes, bytes | None, tuple[float, float] | None]:
    """Decode the first page: its planes, the profile that describes them, and its dots per inch.

    Raises:
        Exception: Of any class, where the file is broken or of a kind that is not read.
    """
    file = io.BytesIO(data)
    found = tiff_ifd.read(file, strict=True)
    _check_layout(file, found, header)
    content = tiff_ifd.tree(file, found, _STRUCTURE)
    for tag in _SINGLE & content.keys():
        content[tag] = _first_value(content[tag])  # Pillow would warn of the others on stderr
    profile = tiff_ifd.tree(file, found, {_ICC}).get(_ICC)
    icc = profile[1] if isinstance(profile, tuple) else None
    page = _Page(data, found, content, header)
    apart = page.first(_PLANAR, 1) == _SEPARATE and page.first(_PHOTOMETRIC, 0) in (0, 1, _RGB)
    if apart or (header.bits == 16 and header.channels == 2):
        decoded = _read_apart(page) if apart else _read_pairs(page)
    elif header.bits == 16 and page.first(_PHOTOMETRIC, 0) == _RGB:
        planes.check_size(_open(page.with_directory(content)), header.stored_size)
        decoded = planes.split(sixteen_bit.unpack_tiff(page.with_directory(content)))
    else:
        decoded, icc = planes.from_pillow(planes.loaded(_open(page.with_directory(content), icc), header.stored_size))
    # Pillow inverts "white is zero" itself, but not at this depth.
    if page.first(_PHOTOMETRIC, 0) == 0 and (apart or header.bits == 16):
        decoded = Planes(np.iinfo(decoded.colours.dtype).max - decoded.colours, decoded.alpha)
    if header.bits == 16 and page.first(_EXTRA_SAMPLES, 0) == _MULTIPLIED:
        decoded = _divided(decoded)
    return decoded, icc, exif.resolution(file, found)


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
    """Refuse tiles far larger than the image, and pixels that would lie behind the end of the file."""
    tile = [tiff_ifd.numbers(file, found, tag) for tag in (_TILE_WIDTH, _TILE_LENGTH)]
    if all(tile) and tile[0][0] * tile[1][0] > max(4 * header.pixels, 1 << 22):
        raise ValueError(f"tiles of {tile[0][0]} x {tile[1][0]}, far larger than the image")
    # A directory is put behind the data: what was cut off would be read from there.
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


def _read_apart(page: _Page) -> Planes:
    """Decode channels that are stored one after the other as so many grey images: Pillow would mix some of them up."""
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
