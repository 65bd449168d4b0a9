"""What a TIFF says about its first picture and how its pixels are stored, admitted by kind or refused by name."""

import contextlib
import dataclasses
import io
import os
from collections.abc import Iterator
from typing import BinaryIO

from hdnet.transforms import errors
from hdnet.transforms.codecs.tiff_files import fax, tiff_ifd

GREYS, RGB, PALETTE, CMYK, YCBCR = (0, 1), 2, 3, 5, 6  # photometric interpretations; 0: white is zero
PLAIN = 1  # compression: none
_OLD_JPEG, _JPEG = 6, 7
_FINITE = (5, 8, 32773, 32946, 34925, 50000)  # compressions whose data say where they end
_PREDICTED = (5, 8, 32946, 34925, 50000)  # compressions that have a predictor
_COLOURS = {0: 1, 1: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_MOST_BYTES = 12  # of one pixel's channels: memory is planned for little more
_MOST_CHILDREN = 64  # sub-directories that are looked at

_BITS, _COMPRESSION, _PHOTOMETRIC, _CHANNELS, _ROWS, _PLANAR, _PREDICTOR = 258, 259, 262, 277, 278, 284, 317
_TILE_WIDTH, _TILE_LENGTH, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _INK_SET = 322, 323, 338, 339, 332
_STRIPS, _TILES = (273, 279), (324, 325)  # tags of the places of the pixels, and of their sizes in bytes
_COLOUR_MAP, _JPEG_TAGS = 320, (512, 513, 514, 515, 519, 520, 521)
_AS_THEY_ARE = (347, 529, 532)  # JPEG tables; coefficients and range of YCbCr
_BIT_ORDER, _T4_OPTIONS = 266, 292
_FURTHER = (_BIT_ORDER, _T4_OPTIONS, 293, *_JPEG_TAGS, 530, 531)  # bit order, options of CCITT, subsampling
_SUB_DIRECTORIES, _NEW_KIND, _OLD_KIND = 330, 254, 255
NEEDED = frozenset({
    256, 257, _BITS, _COMPRESSION, _PHOTOMETRIC, _CHANNELS, _ROWS, _PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_LENGTH,
    _EXTRA_SAMPLES, _SAMPLE_FORMAT, *_STRIPS, *_TILES, _COLOUR_MAP, *_AS_THEY_ARE, *_FURTHER,
})  # fmt: skip
"""The tags that say how the pixels are stored."""

_COMPRESSION_NAMES = {
    9: "JBIG", 10: "JBIG", 33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 33007: "JPEG", 34661: "JBIG",
    34676: "SGI LogLuv", 34677: "SGI LogLuv", 34712: "JPEG 2000", 34713: "Nikon's raw method", 34715: "JBIG2",
    34887: "LERC", 34892: "the JPEG of camera raw files", 34926: "JPEG XR", 34934: "JPEG XR", 22610: "JPEG XR",
    32767: "Sony's raw method", 32769: "Epson's raw method", 32770: "Samsung's raw method", 50001: "WebP",
    50002: "JPEG XL", 52546: "JPEG XL", 65000: "Kodak's raw method", 65535: "Pentax's raw method",
}  # fmt: skip
_RAW = "the raw values of a camera's sensor: develop it first"
_PHOTOMETRIC_NAMES = {
    4: "a transparency mask: save it as grey",
    8: "colours of mode LAB (CIELab): save it as RGB",
    9: "colours of mode LAB (ICCLab): save it as RGB",
    10: "colours of mode LAB (ITULab): save it as RGB",
    32803: _RAW,
    34892: _RAW,
    32844: "SGI's logarithmic brightness: save it as grey",
    32845: "SGI's logarithmic colours: save it as RGB",
    51177: "a depth map: save it as grey",
}
_FORMAT_NAMES = {2: "signed values", 3: "floating-point values", 5: "complex values", 6: "complex values"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the pixels of a picture are stored.

    Attributes:
        width: In pixels.
        height: In pixels.
        bits: Bits of a channel.
        channels: Stored for each pixel.
        photometric: What the channels mean, by TIFF's number.
        compression: TIFF's number.
        differences: The pixels are stored as differences from the pixel before.
        separate: The channels are stored one after the other.
        extra: Meaning of the channels beyond the colours: 0 none, 1 alpha multiplied into the colours, 2 alpha.
        tile: Width and height of its tiles, or None where it has strips.
        rows: Rows of one strip.
        places: Offsets of the strips or tiles.
        sizes: Their bytes.
        further: Other tags that a decoder needs, by tag.
    """

    width: int
    height: int
    bits: int
    channels: int
    photometric: int
    compression: int
    differences: bool
    separate: bool
    extra: tuple[int, ...]
    tile: tuple[int, int] | None
    rows: int
    places: tuple[int, ...]
    sizes: tuple[int, ...]
    further: tiff_ifd.Tree

    @property
    def colours(self) -> int:
        """Channels before the extra ones."""
        return _COLOURS[self.photometric]

    @property
    def jpeg(self) -> bool:
        """It is compressed with JPEG, so with loss."""
        return self.compression in (_OLD_JPEG, _JPEG)

    def grey(self, channel: int | None = None) -> "Layout":
        """Return a grey picture instead: one of separate channels, or all interleaved ones side by side."""
        alone = dataclasses.replace(self, photometric=1, channels=1, extra=(), separate=False, differences=False)
        if channel is None:
            tile = self.tile and (self.tile[0] * self.channels, self.tile[1])
            return dataclasses.replace(alone, width=self.width * self.channels, tile=tile)
        of = slice(channel * self.pieces, (channel + 1) * self.pieces)
        return dataclasses.replace(alone, places=self.places[of], sizes=self.sizes[of], differences=self.differences)

    @property
    def pieces(self) -> int:
        """Strips or tiles of the picture, or of each separate channel."""
        if self.tile:
            return -(-self.width // self.tile[0]) * -(-self.height // self.tile[1])
        return -(-self.height // self.rows)

    def directory(self, order: tiff_ifd.Order) -> tiff_ifd.Tree:
        """Return a directory that says this and nothing else."""
        values: dict[int, tuple[int, ...]] = {
            256: (self.width,), 257: (self.height,), _BITS: (self.bits,) * self.channels, _ROWS: (self.rows,),
            _COMPRESSION: (self.compression,), _PHOTOMETRIC: (self.photometric,), _CHANNELS: (self.channels,),
        }  # fmt: skip
        values |= {_PLANAR: (2,)} if self.separate else {}
        values |= {_PREDICTOR: (2,)} if self.differences else {}
        values |= {_EXTRA_SAMPLES: self.extra} if self.extra else {}
        values |= {_TILE_WIDTH: self.tile[:1], _TILE_LENGTH: self.tile[1:]} if self.tile else {}
        places, sizes = _TILES if self.tile else _STRIPS
        values |= {places: self.places, sizes: self.sizes}
        return self.further | {tag: tiff_ifd.whole(order, *some) for tag, some in values.items()}


def read(file: BinaryIO) -> tuple[tiff_ifd.Directory, Layout]:
    """Read the first directory of a TIFF and how its picture is stored, but for where.

    Raises:
        DecodeError: The picture is of a kind that is not read; the message lacks the file's name at its beginning.
        ValueError: The directory is broken.
    """
    found = tiff_ifd.read(file, needed=NEEDED)
    tags = _Tags(file, found)
    _check_first(tags)
    width, height = tags.first(256), tags.first(257)
    if not width or not height:
        raise errors.DecodeError(f"is {width} x {height}, it has no pixels: export the file again")
    channels, compression = tags.first(_CHANNELS, len(tags(_BITS)) or 1), tags.first(_COMPRESSION, PLAIN)
    photometric = tags.first(_PHOTOMETRIC, 0)
    if channels > 8 * _MOST_BYTES:
        raise errors.DecodeError(f"has {channels} channels: save it as RGB, without alpha channels")
    _check_kind(tags, photometric, compression)
    # Some writers give a value too many.
    bits = tags(_BITS)[:channels] or (1,)
    if any(value != bits[0] for value in bits):
        raise ValueError(f"channels of {bits[:4]} bits")
    tile = (tags.first(_TILE_WIDTH), tags.first(_TILE_LENGTH))
    layout = Layout(
        width, height, bits[0], channels, photometric, compression,
        differences=tags.first(_PREDICTOR, 1) == 2 and compression in _PREDICTED,
        separate=tags.first(_PLANAR, 1) == 2 and channels > 1,
        extra=_extra(tags, channels - _COLOURS[photometric]),
        tile=tile if all(tile) else None,
        rows=min(tags.first(_ROWS) or height, height),
        places=(), sizes=(), further=_further(tags, found.order, photometric),
    )  # fmt: skip
    _check_channels(layout)
    return found, layout


@dataclasses.dataclass(frozen=True)
class _Tags:
    """A directory's whole numbers, by tag."""

    file: BinaryIO
    found: tiff_ifd.Directory

    def __call__(self, tag: int) -> tuple[int, ...]:
        return tiff_ifd.numbers(self.file, self.found, tag)

    def first(self, tag: int, default: int = 0) -> int:
        return (self(tag) or (default,))[0]

    @property
    def kind(self) -> str:
        """What the picture is instead of the picture proper, or nothing."""
        flags = self.first(_NEW_KIND)
        if flags & 1 or self.first(_OLD_KIND) == 2:
            return "a reduced-resolution preview"
        return "a transparency mask" if flags & 4 else ""


def _check_first(tags: _Tags) -> None:
    """Refuse files, such as a camera's raw ones, whose first picture is not the picture.

    Raises:
        DecodeError: There is a better one.
    """
    tags.file.seek(8)
    if tags.file.read(2) == b"CR":
        raise errors.DecodeError("is a camera raw file (Canon's CR2): develop it first")
    children = list(_children(tags))
    if tags.kind and (children or tags.found.following):
        raise errors.DecodeError(
            f"holds several pictures, and its first picture is {tags.kind} (a camera raw file?): develop it first, or "
            "save the picture alone"
        )
    area = tags.first(256) * tags.first(257)
    if any(not child.kind and child.first(256) * child.first(257) > area for child in children):
        raise errors.DecodeError(
            "holds several pictures, and its first picture is a preview of a larger one (a camera raw file?): "
            "develop it first, or save the picture alone"
        )


def _children(tags: _Tags) -> Iterator[_Tags]:
    for at in tags(_SUB_DIRECTORIES)[:_MOST_CHILDREN]:
        with contextlib.suppress(ValueError):  # a broken one shows nothing better than the first picture
            yield _Tags(tags.file, tiff_ifd.read(tags.file, at))


def _check_kind(tags: _Tags, photometric: int, compression: int) -> None:
    sample = next((value for value in tags(_SAMPLE_FORMAT) if value in _FORMAT_NAMES), 0)
    if sample:
        raise errors.DecodeError(f"holds {_FORMAT_NAMES[sample]}: save it with whole numbers of 8 or 16 bits")
    if photometric not in _COLOURS:
        name = _PHOTOMETRIC_NAMES.get(photometric, f"colours of an unknown kind ({photometric}): save it as RGB")
        raise errors.DecodeError(f"holds {name}")
    if compression not in (PLAIN, _OLD_JPEG, _JPEG, *fax.KINDS, *_FINITE, 32809):
        name = _COMPRESSION_NAMES.get(compression, f"a method that is not read here (number {compression})")
        raise errors.DecodeError(f"is compressed with {name}: save it with LZW or deflate")
    if photometric == CMYK and tags.first(_INK_SET, 1) != 1:
        raise errors.DecodeError("holds inks other than CMYK: save it as RGB")
    if tags.first(_PREDICTOR, 1) > 2 and compression in _PREDICTED:
        raise errors.DecodeError("holds differences of floating-point values: save it with 8 or 16 bits")


def _check_channels(layout: Layout) -> None:
    if layout.channels < layout.colours:
        raise ValueError(f"{layout.channels} channels, where its colours need {layout.colours}")
    several = f"has {layout.channels} channel{'s' if layout.channels > 1 else ''} of {layout.bits} bits"
    if layout.channels * layout.bits > 8 * _MOST_BYTES:
        raise errors.DecodeError(f"{several}: save it without alpha channels")
    if layout.channels > 1 and layout.bits not in (8, 16) and not (layout.separate and layout.photometric != YCBCR):
        raise errors.DecodeError(f"{several}: save it with 8 or 16")
    if layout.jpeg and not layout.separate and layout.channels > 4:
        raise errors.DecodeError(f"{several}, compressed with JPEG: save it without alpha channels")
    if layout.photometric == PALETTE and (layout.bits == 16 or layout.channels > 2):
        raise errors.DecodeError(f"{several} and a palette: save it as RGB")
    if layout.photometric == YCBCR and layout.channels != 3:
        raise errors.DecodeError(f"{several}, YCbCr: save it as RGB")
    if layout.photometric == YCBCR and layout.bits != 8:
        raise errors.DecodeError(f"{several}, YCbCr: save it as RGB, or with 8 bits")


def _extra(tags: _Tags, count: int) -> tuple[int, ...]:
    """Return the meaning of the channels beyond the colours; where it is not said, the first is alpha."""
    said = tags(_EXTRA_SAMPLES)
    return tuple(said[:count] + (0,) * (count - len(said)) if said else ((2,) + (0,) * count)[:count])


def _further(tags: _Tags, order: tiff_ifd.Order, photometric: int) -> tiff_ifd.Tree:
    further = tiff_ifd.tree(tags.file, tags.found, _AS_THEY_ARE)
    further |= {tag: tiff_ifd.whole(order, *tags(tag)) for tag in _FURTHER if tags(tag)}
    if photometric == PALETTE:
        colours = tags(_COLOUR_MAP)
        eight_bits = max(colours, default=0) < 256  # as old writers gave, where 16 are asked for
        further[_COLOUR_MAP] = tiff_ifd.whole(order, *(value * 257 if eight_bits else value for value in colours))
    return further


def find_pixels(file: BinaryIO, found: tiff_ifd.Directory, layout: Layout) -> Layout:
    """Return the layout with the places of the pixels in the file.

    Raises:
        ValueError: Some are missing or lie behind the end of the file, or tiles are far larger than the picture.
    """
    tags = _Tags(file, found)
    if layout.tile and layout.tile[0] * layout.tile[1] > max(4 * layout.width * layout.height, 1 << 22):
        raise ValueError(f"tiles of {layout.tile[0]} x {layout.tile[1]}, far larger than the image")
    end = file.seek(0, os.SEEK_END)
    if layout.compression == _OLD_JPEG:  # may have its places in tags of its own
        places, sizes = (tags(tag) for tag in (_TILES if layout.tile else _STRIPS))
        _check_end(places, sizes, end)
        return dataclasses.replace(layout, places=places, sizes=sizes)
    both = (_TILES, _STRIPS) if layout.tile else (_STRIPS, _TILES)
    places, sizes = next(((tags(one), tags(other)) for one, other in both if tags(one)), ((), ()))
    wanted = layout.pieces * (layout.channels if layout.separate else 1)
    if len(places) < wanted or 0 in places[:wanted]:
        raise ValueError(f"only {len(places) - places.count(0)} of {wanted} strips or tiles of pixels")
    places, sizes = places[:wanted], (sizes + (0,) * wanted)[:wanted]
    if layout.compression == PLAIN and layout.photometric != YCBCR:
        sizes = _plain_sizes(layout, wanted)
    elif layout.compression in _FINITE or 0 in sizes:
        sizes = tuple(min(size or end, max(end - place, 0)) for place, size in zip(places, sizes, strict=True))
    _check_end(places, sizes, end)
    return dataclasses.replace(layout, places=places, sizes=sizes)


def check_fax(data: bytes, found: tiff_ifd.Directory, layout: Layout) -> None:
    """Check the code of a fax whose places are known.

    Raises:
        ValueError: It is damaged, or its strips overlap.
    """
    check_apart(layout, len(data))
    tags = _Tags(io.BytesIO(data), found)
    mirrored, options = tags.first(_BIT_ORDER) == 2, tags.first(_T4_OPTIONS)
    width, rows = layout.tile or (layout.width, layout.rows)
    for i, (at, size) in enumerate(zip(layout.places, layout.sizes, strict=True)):
        piece = data[at : at + size].translate(_MIRRORED if mirrored else None)
        left = rows if layout.tile else layout.height - i % layout.pieces * rows
        fax.check(piece, width, min(rows, left), layout.compression, options)


def check_apart(layout: Layout, end: int) -> None:
    """Refuse strips or tiles that together are larger than the file: thousands may each claim all of it.

    Raises:
        ValueError: They are.
    """
    if sum(layout.sizes) > end:
        raise ValueError("strips or tiles of pixels that overlap")


def _check_end(places: tuple[int, ...], sizes: tuple[int, ...], end: int) -> None:
    # Our directory is put behind the data, and would be read in place of pixels that were cut off.
    if any(place + size > end or not size for place, size in zip(places, sizes, strict=False)):
        raise ValueError("pixels behind the end of the file: it is truncated")


def _plain_sizes(layout: Layout, count: int) -> tuple[int, ...]:
    """Return the bytes of each strip or tile that is not compressed, which follow from its shape."""
    together = 1 if layout.separate else layout.channels
    width, rows = layout.tile or (layout.width, layout.rows)
    size = -(-width * together * layout.bits // 8)
    if layout.tile:
        return (size * rows,) * count
    last = layout.height - (layout.pieces - 1) * rows
    return tuple(size * (last if i % layout.pieces == layout.pieces - 1 else rows) for i in range(count))
