"""AVIF: 8 bits, grey or RGB, with or without alpha, with loss; 10 and 12 bits are read as 8."""

import contextlib
import dataclasses
import io
from collections.abc import Iterator
from typing import BinaryIO

from PIL import AvifImagePlugin, Image

from hdnet.transforms.codecs import bounded, iso_media, planes
from hdnet.transforms.codecs.codec import Codec, Decoded, Writer
from hdnet.transforms.codecs.picture import Header, Picture
from hdnet.transforms.codecs.planes import Samples

# By quarter turns anticlockwise, and then the axis of a mirror (None: no mirror, 0: top and bottom change places).
_ORIENTATIONS = {
    (0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6,
    (0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7,
    (0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5,
}  # fmt: skip


class _Numbers:
    """Reads a box's big-endian numbers one after the other."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def __call__(self, size: int) -> int:
        value = self.content[self.at : self.at + size]
        if len(value) < size:
            raise ValueError("a box ends within its numbers")
        self.at += size
        return int.from_bytes(value, "big")


@dataclasses.dataclass(frozen=True)
class _Meta:
    """The box that describes the file's items: its children by type, the first of each."""

    children: dict[bytes, bytes]

    @classmethod
    def read(cls, file: BinaryIO) -> "_Meta":
        return cls(dict(reversed(iso_media.meta(file))))

    def numbers(self, kind: bytes) -> tuple[int, _Numbers]:
        """Return the version of a child box, and its numbers behind version and flags."""
        numbers = _Numbers(self.children.get(kind, b""))
        version = numbers(1)
        numbers(3)
        return version, numbers

    def properties(self) -> dict[bytes, bytes]:
        """Return the content of the primary item's properties by type, the first of each."""
        version, numbers = self.numbers(b"pitm")
        primary = numbers(4 if version else 2)
        boxes = iso_media.children(self.children.get(b"iprp", b""))
        everything = [each for kind, content in boxes if kind == b"ipco" for each in iso_media.children(content)]
        # A picture made of tiles leaves it to these to say of what kind they are.
        of_tiles = {kind: content for kind, content in reversed(everything) if kind == b"av1C"}
        indices = [i for kind, content in boxes if kind == b"ipma" for i in _associations(content).get(primary, [])]
        return of_tiles | dict(reversed([everything[i - 1] for i in indices if 0 < i <= len(everything)]))

    def exif(self) -> tuple[int, int] | None:
        """Return offset and length of the first extent of the EXIF item."""
        item = next((item for item, kind in self._items() if kind == b"Exif"), None)
        return None if item is None else self._places().get(item)

    def _items(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and type of each item."""
        version, numbers = self.numbers(b"iinf")
        numbers(4 if version else 2)
        for _, entry in iso_media.children(numbers.content[numbers.at :]):
            wide = entry[:1] == b"\3"
            start = 8 if wide else 6
            yield int.from_bytes(entry[4:start], "big"), entry[start + 2 : start + 6]

    def _places(self) -> dict[int, tuple[int, int]]:
        """Return offset and length in the file of the first extent of each item."""
        version, numbers = self.numbers(b"iloc")
        sizes = numbers(2)
        of_offset, of_length, of_base, of_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
        wide = 4 if version > 1 else 2
        places = {}
        for _ in range(numbers(wide)):
            item, method = numbers(wide), numbers(2) & 15 if version else 0
            numbers(2)
            base, extents = numbers(of_base), numbers(2)
            following = numbers.at + extents * ((of_index if version else 0) + of_offset + of_length)
            if extents and not method:  # other methods place it elsewhere than at an offset of the file
                numbers(of_index if version else 0)
                places[item] = base + numbers(of_offset), numbers(of_length)
            numbers.at = following  # in one step: extents may be said to take no bytes each
        return places


def _associations(content: bytes) -> dict[int, list[int]]:
    """Return the indices of each item's properties, counted from 1."""
    numbers = _Numbers(content)
    version = numbers(1)
    wide = 2 if numbers(3) & 1 else 1
    found = {}
    for _ in range(numbers(4)):
        item = numbers(4 if version else 2)
        found[item] = [numbers(wide) & (0x7FFF if wide == 2 else 0x7F) for _ in range(numbers(1))]
    return found


def _exif(file: BinaryIO) -> bytes:
    place = _Meta.read(file).exif()
    content = bounded.exactly(file, *place) if place else b""
    return content[4 + int.from_bytes(content[:4], "big") :]


def _header(file: BinaryIO) -> Header:
    found = _Meta.read(file).properties()
    if b"ispe" not in found or b"av1C" not in found:
        raise ValueError(f"no size or no kind of the image, only {sorted(found)[:9]}")
    size, kind, colours = _Numbers(found[b"ispe"]), _Numbers(found[b"av1C"]), _Numbers(found.get(b"colr", b"none"))
    size(4)
    if colours(4) == int.from_bytes(b"nclx", "big"):
        iso_media.check_colours(colours(2), colours(2))
    kind(2)
    grey = kind(1) >> 4 & 1
    stored = Header(size(4), size(4), "avif", 8, 1 if grey else 3, lossy=True)
    turns = found.get(b"irot", b"\0")[0] & 3
    axis = found[b"imir"][0] & 1 if b"imir" in found else None
    return stored.turned(_ORIENTATIONS[turns, axis])


def _decode(data: bytes, header: Header) -> Decoded:
    encoded = AvifImagePlugin.AvifImageFile(io.BytesIO(_without_exif(data)))
    return Decoded(*planes.from_pillow(planes.loaded(encoded, header.stored_size)))


def _without_exif(data: bytes) -> bytes:
    """Rename EXIF items: Pillow would read directories of any size."""
    pieces, last = [], 0
    with contextlib.suppress(ValueError):  # no boxes, such as a phone's video: the decoder does not look at them
        for kind, at, after in iso_media.boxes(io.BytesIO(data)):
            if kind != b"mdat":
                pieces += [data[last:at], data[at:after].replace(b"Exif", b"free")]
                last = after
    return b"".join([*pieces, memoryview(data)[last:]])


class _Verbatim(Image.Exif):
    """A block that Pillow writes as it is, and does not read."""

    def __init__(self, block: bytes) -> None:
        super().__init__()
        self.block = block

    def __bool__(self) -> bool:
        return True

    def tobytes(self, offset: int = 8) -> bytes:
        return self.block


def _write(picture: Picture, samples: Samples, quality: int) -> bytes:
    """Write 4:4:4, in one thread, so that the bytes do not depend on the machine."""
    grey = samples.shape[2] < 3
    # Speed 9 takes a seventh of the default's time for files a sixteenth larger.
    return planes.saved(
        samples, "AVIF", quality=quality, subsampling="4:0:0" if grey else "4:4:4", speed=9, max_threads=1,
        icc_profile=picture.icc or b"", exif=_Verbatim(picture.exif) if picture.exif else None,
    )  # fmt: skip


CODEC = Codec(
    name="avif",
    title="AVIF",
    suffixes=(".avif",),
    sniff=lambda start: not iso_media.brands(start).isdisjoint({b"avif", b"avis"}),
    header=_header,
    decode=_decode,
    exif=_exif,
    writer=Writer(_write, longest=32768),
)
