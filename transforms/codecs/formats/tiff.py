"""TIFF: the first page, of 1 to 16 bits, in the layouts that `tiff_layout` admits; written with deflate.

Pillow and libtiff decompress strips and tiles. They are given a directory that says nothing but how the pixels are
stored, and wherever it can be so, one of a grey image: what the channels mean is decided here.
"""

import dataclasses
import io
import itertools
import struct
import zlib
from fractions import Fraction
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from hdnet.transforms.codecs import exif, planes, sixteen_bit
from hdnet.transforms.codecs.codec import Codec, Decoded, Writer
from hdnet.transforms.codecs.picture import Header, Picture
from hdnet.transforms.codecs.planes import Planes, Samples
from hdnet.transforms.codecs.tiff_files import fax, libtiff, tiff_ifd, tiff_layout
from hdnet.transforms.codecs.tiff_files.tiff_layout import Layout
from hdnet.transforms.pixels import image

_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS, _PHOTOMETRIC, _CHANNELS, _EXTRA_SAMPLES, _ICC = 258, 262, 277, 338, 34675
_STRIP_OFFSETS, _STRIP_SIZES, _PREDICTOR = 273, 279, 317
_RGB, _HORIZONTAL, _MULTIPLIED = 2, 2, 1
_BAND = 1 << 22  # samples that are taken from Pillow at a time, or one row


def _header(file: BinaryIO) -> Header:
    _, layout = tiff_layout.read(file)
    stored = Header(layout.width, layout.height, "tiff", layout.bits, layout.channels, lossy=layout.jpeg)
    return stored.turned(exif.orientation(exif.find(file, exif.of_tiff)))


def _decode(data: bytes, _: Header) -> Decoded:
    file = io.BytesIO(data)
    found, layout = tiff_layout.read(file)
    layout = tiff_layout.find_pixels(file, found, layout)
    if layout.compression in fax.KINDS:
        tiff_layout.check_fax(data, found, layout)
    profile = tiff_ifd.tree(file, found, {_ICC}).get(_ICC)
    icc = profile[1] if isinstance(profile, tuple) else None
    page = _Page(data, found.order)
    with libtiff.strict():
        if layout.photometric == tiff_layout.YCBCR and layout.compression == tiff_layout.PLAIN:
            page, layout = page.deflated(layout)
        if layout.photometric in (tiff_layout.PALETTE, tiff_layout.YCBCR) or (layout.jpeg and not layout.separate):
            decoded, icc = planes.from_pillow(page.loaded(layout, icc))
        elif layout.bits in (8, 16) and not layout.separate:
            decoded, icc = _meant(page.interleaved(layout), layout, icc)
        elif layout.channels == 1:
            decoded, icc = planes.from_pillow(page.loaded(layout, icc))
        else:
            decoded, icc = _meant(page.separate(layout), layout, icc)
    return Decoded(decoded, icc, exif.resolution(file, found))


@dataclasses.dataclass(frozen=True)
class _Page:
    """The whole file and its byte order."""

    data: bytes
    order: tiff_ifd.Order

    def loaded(self, layout: Layout, icc: bytes | None = None) -> Image.Image:
        """Decode the pixels of a layout: its directory is put behind the data, and the file's header points there.

        The result is never a BigTIFF, whose big-endian kind Pillow does not read.
        """
        place = len(self.data) + len(self.data) % 2
        start = struct.pack(self.order + "2sHI", b"II" if self.order == "<" else b"MM", 42, place)
        packed = tiff_ifd.pack(layout.directory(self.order), self.order, place)
        data = memoryview(self.data)[len(start) :]
        whole = b"".join([start, data, b"\0" * (place - len(self.data)), packed])
        encoded = TiffImagePlugin.TiffImageFile(io.BytesIO(whole))
        encoded.info["icc_profile"] = icc
        # Otherwise Pillow would count the pixels of the widened picture, though the true size was admitted.
        encoded.im = Image.new(encoded.mode, encoded.size).im
        return planes.loaded(encoded, (layout.width, layout.height))

    def interleaved(self, layout: Layout) -> Samples:
        """Decode channels that are stored side by side, as a grey image of so many times the width."""
        stored = self.loaded(layout.grey())
        wanted = _wanted(layout)
        samples = np.empty((layout.height, layout.width, len(wanted)), np.uint16 if layout.bits == 16 else np.uint8)
        band = max(1, _BAND // stored.width)
        for top in range(0, layout.height, band):
            rows = np.asarray(stored.crop((0, top, stored.width, min(top + band, layout.height))))
            samples[top : top + band] = rows.reshape(-1, layout.width, layout.channels)[..., wanted]
        if layout.differences:
            step = layout.tile[0] if layout.tile else layout.width
            for left in range(0, layout.width, step):
                part = samples[:, left : left + step]
                np.cumsum(part, axis=1, dtype=samples.dtype, out=part)
        return samples

    def separate(self, layout: Layout) -> Samples:
        """Decode channels that are stored one after the other as grey images: Pillow would mix some of them up."""
        channels = [planes.from_pillow(self.loaded(layout.grey(i)))[0].colours for i in _wanted(layout)]
        return np.stack(channels, axis=2)

    def deflated(self, layout: Layout) -> "tuple[_Page, Layout]":
        """Compress what is not: Pillow takes such YCbCr for RGB, but leaves it to libtiff where it is compressed.

        Raises:
            ValueError: The strips overlap.
        """
        tiff_layout.check_apart(layout, len(self.data))
        spans = zip(layout.places, layout.sizes, strict=True)
        pieces = [zlib.compress(self.data[at : at + size], 1) for at, size in spans]
        sizes = tuple(len(piece) for piece in pieces)
        places = tuple(itertools.accumulate(sizes[:-1], initial=len(self.data)))
        compressed = dataclasses.replace(layout, compression=8, places=places, sizes=sizes)
        return _Page(b"".join([self.data, *pieces]), self.order), compressed


def _wanted(layout: Layout) -> list[int]:
    """Return the indices of the colours, and of alpha where there is one."""
    alpha = next((i for i, meaning in enumerate(layout.extra) if meaning), None)
    return [*range(layout.colours), *([] if alpha is None else [layout.colours + alpha])]


def _meant(samples: Samples, layout: Layout, icc: bytes | None) -> tuple[Planes, bytes | None]:
    """Return what stored samples of grey, RGB or CMYK mean, and the profile that describes it."""
    colours = np.ascontiguousarray(samples[..., : layout.colours])
    alpha = np.ascontiguousarray(samples[..., -1]) if samples.shape[2] > layout.colours else None
    if layout.photometric == 0:
        colours = np.iinfo(colours.dtype).max - colours
    if alpha is not None and next(filter(None, layout.extra)) == _MULTIPLIED:
        colours = planes.divide_by_alpha(colours, alpha)
    if layout.photometric == tiff_layout.CMYK:
        inks = Image.fromarray(image.to_8_bit(colours), "CMYK")
        inks.info["icc_profile"] = icc
        decoded, icc = planes.from_pillow(inks)
        return Planes(decoded.colours, None if alpha is None else image.to_8_bit(alpha)), icc
    return Planes(colours[..., 0] if layout.colours == 1 else colours, alpha), icc


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
