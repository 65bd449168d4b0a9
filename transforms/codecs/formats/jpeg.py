"""JPEG: 8 bits, grey, RGB or CMYK, with loss; no alpha."""

import io
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageChops, JpegImagePlugin

from hdnet.transforms import errors
from hdnet.transforms.codecs import bounded, exif, planes
from hdnet.transforms.codecs.codec import Codec, Decoded, Writer
from hdnet.transforms.codecs.picture import Header, Picture
from hdnet.transforms.codecs.planes import Samples

_SOS, _EOI = 0xDA, 0xD9  # the marker after which pixels follow, and the last of the picture
_APP0, _APP1, _APP2, _APP14, _COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE  # JFIF, EXIF and XMP, profile, Adobe's colours
_SOF = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # the markers of a frame header
_UNREAD = {0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical", 0xCB: "lossless arithmetic",
           0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "hierarchical", 0xF7: "lossless (JPEG-LS)"}  # fmt: skip
_ARITHMETIC = {0xC9, 0xCA}  # those of frames in arithmetic coding
_PROGRESSIVE = {0xC2, 0xCA}
_SEQUENTIAL = {0xC0, 0xC1}  # those of frames whose blocks follow each other, in Huffman's coding
_BARE = {0x01, *range(0xD0, 0xD8)}  # markers without a length, which may stand between segments
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_AMONG_PIXELS = re.compile(rb"\xff+([\xc0-\xcf\xd8-\xfe])")  # as the decoder does, restart markers are passed over
_WINDOW = 1 << 16  # bytes that are searched for a marker at a time
_MAX_SCANS = 100  # a camera's progressive JPEG has about ten; thousands in a small file would take hours
_PIXELS_PER_BYTE = 512  # at most, a bit for a block of 64: where bytes are missing, the decoder fills in grey
_MARK_OF_END = b"\xff\xd9"
_MCU = 256  # pixels: a few writers leave out as much at the end
_FILLED_IN = 128  # the brightness of what the decoder fills in
_NO_PIXELS = bytes(89 * i % 255 for i in range(1, 255))
_STUFFING = _NO_PIXELS + b"".join(bytes([0xFF, restart]) + _NO_PIXELS for restart in range(0xD0, 0xD8))
_SPARE = 16  # bytes
_EXIF_LIMIT = 65533 - len(exif.PREFIX)

# How the segments of applications that a decoder needs begin, and how long they are at least: others are left out.
_NEEDED = {_APP0: (b"JFIF\0", 14), _APP2: (b"ICC_PROFILE\0", 14), _APP14: (b"Adobe", 12)}


def _segments(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Yield marker, offset (of its 0xFF) and content of each segment, up to and with the first SOS.

    What stands between two segments is passed over, as by every viewer: some phones write bytes there.

    Raises:
        ValueError: The file, or the picture, ends before.
    """
    at = 2
    for _ in range(bounded.MOST_PIECES):
        at, marker = _next_marker(file, at)
        if marker in _BARE:
            at += 2
            continue
        length = int.from_bytes(bounded.exactly(file, at + 2, 2), "big")
        if marker < 0xC0 or marker == _EOI or length < 2:
            raise ValueError(f"the marker 0x{marker:02x} at byte {at}, where a segment must begin")
        yield marker, at, bounded.exactly(file, at + 4, length - 2)
        if marker == _SOS:
            return
        at += 2 + length
    raise ValueError(f"more than {bounded.MOST_PIECES} segments")


def _next_marker(file: BinaryIO, at: int) -> tuple[int, int]:
    """Return the offset of the next marker's last 0xFF, and the marker."""
    while True:
        file.seek(at)
        window = file.read(_WINDOW)
        if found := _MARKER.search(window):
            return at + found.start(1) - 1, found[1][0]
        if len(window) < _WINDOW:
            raise ValueError("the file ends before its pixels: it is truncated")
        at += _WINDOW - 1  # the last byte may be a marker's first


def _end(data: bytes, at: int) -> int:
    """Return the offset of the mark that ends the picture, or of the file's end: phones put a video behind the picture.

    Raises:
        ValueError: There are more scans than a camera or an editor writes.
    """
    scans = 1
    at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    for _ in range(bounded.MOST_PIECES):
        found = _AMONG_PIXELS.search(data, at)
        if found is None:
            return len(data)
        marker, at = found[1][0], found.end()
        if marker == _EOI:
            return found.start()
        scans += marker == _SOS
        if scans > _MAX_SCANS:
            raise ValueError(f"more than {_MAX_SCANS} scans")
        at += int.from_bytes(data[at : at + 2], "big")
    raise ValueError(f"more than {bounded.MOST_PIECES} segments")


def _exif(file: BinaryIO) -> bytes:
    found = (content for marker, _, content in _segments(file) if marker == _APP1)
    return b"".join(content[len(exif.PREFIX) :] for content in found if content.startswith(exif.PREFIX))


def _header(file: BinaryIO) -> Header:
    kind, frame = next(((marker, content) for marker, _, content in _segments(file) if marker in _SOF), (0, b""))
    if kind in _UNREAD:
        raise errors.DecodeError(
            f"is a {_UNREAD[kind]} JPEG, which viewers do not read: save it as baseline JPEG or PNG"
        )
    if len(frame) < 6:
        raise ValueError("no frame header before the pixels")
    width, height = int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
    if not height:
        raise errors.DecodeError("gives its height behind its pixels (DNL): save it again with another program")
    stored = Header(width, height, "jpeg", bits=frame[0], channels=frame[5], lossy=True)
    return stored.turned(exif.orientation(exif.find(file, _exif)))


def _decode(data: bytes, header: Header) -> Decoded:
    bare = _bare(data)
    if bare.coding not in _ARITHMETIC and len(bare.picture) * _PIXELS_PER_BYTE < header.pixels:
        raise ValueError(f"{len(bare.picture)} bytes do not hold {header.pixels} pixels")
    encoded = _loaded(bare.picture, header)
    # What ends an arithmetic code may be left out.
    if bare.coding not in _ARITHMETIC and not _ends_in_pixels(bare, encoded) and _is_cut_off(bare, encoded, header):
        raise ValueError("its pixels end before the picture does: it is truncated")
    decoded, icc = planes.from_pillow(encoded)
    dpi = exif.sensible(encoded.info.get("dpi")) if encoded.info.get("jfif_unit") in (1, 2) else None
    return Decoded(decoded, icc, dpi)


def _loaded(picture: bytes, header: Header) -> JpegImagePlugin.JpegImageFile:
    encoded = JpegImagePlugin.JpegImageFile(io.BytesIO(picture + _MARK_OF_END))
    planes.loaded(encoded, header.stored_size)
    return encoded


def _ends_in_pixels(bare: "_Bare", encoded: Image.Image) -> bool:
    """Say whether all but the last block are certainly the file's, so that no second decoding need tell.

    In a single scan the blocks follow each other, and the decoder fills in mid-grey, to which only its interpolation
    of colours adds some of the rows above. A last pixel of another value belongs to a block that the file has begun:
    what may be missing of it is no more than `_is_cut_off` allows from 64 times `_MCU` pixels on.
    """
    zeros = len(bare.picture) - len(bare.picture.rstrip(b"\0"))
    if not (bare.in_one_scan and bare.has_end and zeros <= 2 * _SPARE and encoded.mode in ("L", "RGB")):
        return False
    width, height = encoded.size
    last = encoded.crop((width - 1, height - 1, width, height)).convert("L").getpixel((0, 0))
    return width * height >= 64 * _MCU and isinstance(last, int) and abs(last - _FILLED_IN) > 2


def _is_cut_off(bare: "_Bare", encoded: Image.Image, header: Header) -> bool:
    """Say whether pixels are missing at the end, where the decoder fills in grey without a word.

    Other bytes behind the last pixel then become pixels. What stands in the place of the rest, such as the zeros of an
    interrupted download, does so already; but the last of it is no pixel any more, and may be anything.
    """

    def changed(other: bytes) -> int:
        try:
            difference = ImageChops.difference(_loaded(other + _STUFFING, header), encoded)
        except (OSError, SyntaxError):  # what is left is no picture
            return header.pixels
        if not difference.getbbox():
            return 0
        levels = np.asarray(difference)
        return int(np.count_nonzero(levels if levels.ndim == 2 else levels.any(axis=2)))

    picture, allowed = bare.picture, min(_MCU, header.pixels // 64)
    if changed(picture) > allowed:
        return True
    without_zeros = picture.rstrip(b"\0")
    if not bare.has_end and not changed(without_zeros[:-_SPARE]):
        return True
    if len(picture) - len(without_zeros) <= 2 * _SPARE or changed(picture[:-_SPARE]):
        return False
    return changed(without_zeros + b"\0") > allowed


class _Bare(NamedTuple):
    """What a decoder needs of a picture.

    Attributes:
        picture: The bytes, without the mark of the end.
        coding: The marker of the frame.
        in_one_scan: Its blocks follow each other, all channels of one place together.
        has_end: The file has the mark of the end.
    """

    picture: bytes
    coding: int
    in_one_scan: bool
    has_end: bool


def _bare(data: bytes) -> _Bare:
    """Return what a decoder needs of the picture.

    Pillow would read EXIF directories of any size, and fails at broken segments that say nothing about the pixels.

    Raises:
        ValueError: The mark is missing where it alone says that there are no further scans.
    """
    view, coding, channels, end, together = memoryview(data), 0, b"", 0, False
    pieces: list[bytes | memoryview] = [data[:2]]
    for marker, at, content in _segments(io.BytesIO(data)):
        start, least = _NEEDED.get(marker, (b"", 0))
        application = marker in range(_APP0, _APP0 + 16) or marker == _COMMENT
        if marker in _SOF:
            coding, channels = marker, content[5:6]
        if marker == _SOS:
            end, together = _end(data, at), coding not in _PROGRESSIVE and content[:1] == channels
            if end == len(data) and not together:
                raise ValueError("the file ends before its picture: it is truncated")
            pieces.append(view[at:end])
        elif not application or (start and content.startswith(start) and len(content) >= least):
            pieces.append(view[at : at + 4 + len(content)])
    return _Bare(b"".join(pieces), coding, together and coding in _SEQUENTIAL, end < len(data))


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
