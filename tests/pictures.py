"""Tiny encoded images of every kind, written here by the letter of the formats and not by the code under test."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
from PIL import Image, ImageCms

HEIGHT, WIDTH = 12, 16
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
Samples = npt.NDArray[np.uint8 | np.uint16]  # (H,W,C)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# What `ImageOps.exif_transpose` does, said independently: how the upright image is made from the stored one.
_UPRIGHT: dict[int, Callable[[Samples], Samples]] = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: np.rot90(np.fliplr(x)),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(np.fliplr(x), -1),
    8: np.rot90,
}


def upright(pixels: Samples, orientation: int) -> Samples:
    """The upright image of one that is stored with this orientation."""
    return np.ascontiguousarray(_UPRIGHT[orientation](pixels))


def samples(channels: int, depth: int, seed: int = 0) -> Samples:
    """Noise of (H,W,channels), uint8 or uint16."""
    dtype = np.uint8 if depth == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**depth, (HEIGHT, WIDTH, channels), dtype=dtype)


def exif(orientation: int, order: str = "<") -> bytes:
    """A block with orientation, camera and, out of line, a maker note within the Exif directory."""
    start = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    note = b"maker note!!"
    first = [
        struct.pack(order + "HHI4s", 271, 2, 4, b"Cam\0"),
        struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0),
        struct.pack(order + "HHII", 34665, 4, 1, 8 + 2 + 3 * 12 + 4),
    ]
    inner = struct.pack(order + "HHII", 37500, 7, len(note), 8 + 2 + 3 * 12 + 4 + 2 + 12 + 4)
    number = [struct.pack(order + "H", n) for n in (3, 1)]
    return b"".join([start, number[0], *first, bytes(4), number[1], inner, bytes(4), note])


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(pixels: Samples, *extra: bytes, late: bytes = b"", interlaced: bool = False) -> bytes:
    """A PNG whose rows use each of the five filters in turn; `extra` chunks before the pixels, `late` behind."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, kind, 0, 0, interlaced)
    passes = [pixels[top::down, left::across] for top, left, down, across in (ADAM7 if interlaced else [(0, 0, 1, 1)])]
    packed = b"".join(_rows(part) for part in passes if part.size)
    body = [chunk(b"IHDR", head), *extra, chunk(b"IDAT", zlib.compress(packed)), late, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def _rows(pixels: Samples) -> bytes:
    height, width, channels = pixels.shape
    step = channels * pixels.itemsize
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    lines = [rows[i * width * step : (i + 1) * width * step] for i in range(height)]
    return b"".join(_filtered(lines, i, step) for i in range(height))


def _filtered(lines: list[bytes], row: int, step: int) -> bytes:
    line, above = lines[row], lines[row - 1] if row else bytes(len(lines[row]))
    out = bytearray([row % 5])
    for i, value in enumerate(line):
        left, corner = (line[i - step], above[i - step]) if i >= step else (0, 0)
        guess = left + above[i] - corner
        nearest = min((left, above[i], corner), key=lambda x: abs(guess - x))  # the first of equals
        out.append((value - (0, left, above[i], (left + above[i]) // 2, nearest)[row % 5]) % 256)
    return bytes(out)


def tiff(pixels: Samples, order: str = "<", *, deflate: bool = False, separate: bool = False, **tags: int) -> bytes:
    """A TIFF of strips of 5 rows; `tags` as t274=6 come on top. Deflated strips hold horizontal differences."""
    height, width, channels = pixels.shape
    planes = [pixels[..., i : i + 1] for i in range(channels)] if separate else [pixels]
    strips = [plane[top : top + 5].copy() for plane in planes for top in range(0, height, 5)]
    data = [_strip(strip, order, deflate) for strip in strips]
    wide = {256: [width], 257: [height], 273: [0] * len(data), 278: [5], 279: [len(x) for x in data]}
    small = {258: [8 * pixels.itemsize] * channels, 259: [8 if deflate else 1], 277: [channels]}
    small |= {262: [2 if channels > 2 else 1], 284: [2 if separate else 1], 317: [2 if deflate else 1]}
    small |= {338: [2]} if channels in (2, 4) else {}
    small |= {int(tag[1:]): [value] for tag, value in tags.items()}
    first = len(_directory(wide, small, order))
    wide[273] = [first + sum(len(x) for x in data[:i]) for i in range(len(data))]
    return b"".join([_directory(wide, small, order), *data])


def fax(code: bytes, kind: int, *, rows: int = 1, strips: int = 1, orders: int = 1) -> bytes:
    """A TIFF 8 pixels wide; each strip, of so many rows, holds all of the code. Its bit order has so many values."""
    wide = {256: [8], 257: [rows * strips], 273: [0] * strips, 278: [rows], 279: [len(code)] * strips}
    small = {258: [1], 259: [kind], 262: [0], 266: [1] * orders, 277: [1]}
    wide[273] = [len(_directory(wide, small, "<"))] * strips
    return _directory(wide, small, "<") + code


def _strip(strip: Samples, order: str, deflate: bool) -> bytes:
    if deflate:
        strip[:, 1:] -= strip[:, :-1].copy()
    raw = strip.astype(f"{order}u{strip.itemsize}").tobytes()
    return zlib.compress(raw) if deflate else raw


def _directory(wide: dict[int, list[int]], small: dict[int, list[int]], order: str) -> bytes:
    count = len(wide | small)
    out, behind = struct.pack(order + "2sHIH", b"II" if order == "<" else b"MM", 42, 8, count), b""
    place = 8 + 2 + 12 * count + 4
    for tag, values in sorted((wide | small).items()):
        code, kind = ("I", 4) if tag in wide else ("H", 3)
        value = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(value) > 4:
            out += struct.pack(order + "HHII", tag, kind, len(values), place + len(behind))
            behind += value
        else:
            out += struct.pack(order + "HHI4s", tag, kind, len(values), value)
    return out + bytes(4) + behind


def pillow(picture: Image.Image | Samples, file_format: str = "PNG", **options: Any) -> bytes:
    """What Pillow writes of a picture or an 8-bit array."""
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(picture.squeeze(axis=2) if picture.shape[2] == 1 else picture)
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def heic(pixels: Samples, **options: Any) -> bytes:
    """An HEIC of (H,W,C) samples; 10 bits where they are 16."""
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[pixels.shape[2]] + (";16" if pixels.itemsize == 2 else "")
    buffer = io.BytesIO()
    pillow_heif.encode(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes(), buffer, **options)
    return buffer.getvalue()


def bmp_of_runs(indices: Samples) -> bytes:
    """A run-length encoded BMP of (H,W) indices 0 to 3 into a palette of greys."""
    height, width = indices.shape
    runs = b"".join(b"".join(bytes([1, i]) for i in row) + b"\0\0" for row in indices[::-1]) + b"\0\1"
    palette = b"".join(bytes([i * 80] * 3 + [0]) for i in range(4))
    sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 4, 0)
    start = struct.pack("<2sIHHI", b"BM", 14 + len(sizes + palette + runs), 0, 0, 14 + len(sizes + palette))
    return start + sizes + palette + runs


def bmp_with_alpha(pixels: Samples) -> bytes:
    """A BMP of (H,W,4) uint8 samples, whose header says where red, green, blue and alpha are."""
    height, width, _ = pixels.shape
    body = pixels[::-1].tobytes()
    masks = struct.pack("<4I4s48x", 0xFF, 0xFF00, 0xFF0000, 0xFF000000, b"BGRs")
    sizes = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(body), 0, 0, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 122 + len(body), 0, 0, 122) + sizes + masks + body


def grey(*values: int) -> Image.Image:
    """One row of grey pixels."""
    return Image.fromarray(np.array([values], np.uint8))


def cmyk_profile() -> bytes:
    """An ICC profile of an odd printer: whatever the inks, the paper shows a middle grey (L* 50)."""
    identity = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    grid = b"\x80\x80\x80" * 2**4
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + grid + identity * 3
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(lut))
    start = struct.pack(">I4sI4s4s4s12x4s", 144 + len(lut), b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp")
    white = struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    return start.ljust(68, b"\0") + white.ljust(60, b"\0") + tags + lut
