"""Hostile images: sound files of every kind, what is done to them, and what must come of it."""

import contextlib
import dataclasses
import io
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image

from hdnet.model import architectures
from hdnet.model.harmonizer import Harmonizer
from hdnet.transforms import errors
from hdnet.transforms.codecs import decode, encode, header, mask
from hdnet.transforms.pixels.image import Mask
from tests import pictures

EXIF = b"Exif\0\0" + pictures.exif(6)
RGB, RGBA, DEEP = pictures.samples(3, 8), pictures.samples(4, 8), pictures.samples(4, 16)
INKS = Image.new("CMYK", (16, 12), (9, 99, 0, 50))
KINDS = ("jpeg", "png", "webp", "tiff", "avif", "gif", "bmp", "heic")
FILES = {
    "jpeg": pictures.pillow(RGB, "JPEG", exif=EXIF),
    "jpeg-progressive": pictures.pillow(RGB, "JPEG", progressive=True),
    "jpeg-cmyk": pictures.pillow(INKS, "JPEG"),
    "jpeg-cmyk-profile": pictures.pillow(INKS, "JPEG", icc_profile=pictures.cmyk_profile()),
    "tiff-cmyk-profile": pictures.pillow(INKS, "TIFF", icc_profile=pictures.cmyk_profile()),
    "png": pictures.png(RGB, pictures.chunk(b"eXIf", EXIF[6:])),
    "png-16": pictures.png(DEEP),
    "png-palette": pictures.pillow(Image.fromarray(RGB).quantize(16), "PNG"),
    "webp": pictures.pillow(RGB, "WEBP", exif=EXIF),
    "webp-lossless": pictures.pillow(RGBA, "WEBP", lossless=True),
    "tiff": pictures.pillow(RGB, "TIFF", exif=EXIF[6:]),
    "tiff-deflate": pictures.tiff(RGB, deflate=True),
    "tiff-lzw": pictures.pillow(RGBA, "TIFF", compression="tiff_lzw"),
    "tiff-jpeg": pictures.pillow(RGB, "TIFF", compression="jpeg"),
    "tiff-g4": pictures.pillow(Image.fromarray(RGB[..., 0] > 99), "TIFF", compression="group4"),
    "tiff-16": pictures.tiff(DEEP, ">"),
    "tiff-16-deflate": pictures.tiff(DEEP, deflate=True),
    "tiff-16-separate": pictures.tiff(DEEP, separate=True),
    "tiff-16-grey-alpha": pictures.tiff(pictures.samples(2, 16), deflate=True),
    "avif": pictures.pillow(RGB, "AVIF", exif=EXIF[6:], icc_profile=pictures.SRGB),
    "avif-alpha": pictures.pillow(RGBA, "AVIF"),
    "gif": pictures.pillow(Image.fromarray(RGB).quantize(16), "GIF"),
    "gif-transparent": pictures.pillow(Image.fromarray(RGB).quantize(16), "GIF", transparency=3, comment=b"hello"),
    "bmp": pictures.pillow(RGB, "BMP"),
    "bmp-alpha": pictures.bmp_with_alpha(RGBA),
    "bmp-palette": pictures.pillow(Image.fromarray(RGB).quantize(16), "BMP"),
    "bmp-runs": pictures.bmp_of_runs(RGB[..., 0] // 64),
    "heic": pictures.heic(RGB, exif=EXIF),
    "heic-10": pictures.heic(pictures.samples(3, 16)),
    "heic-alpha": pictures.heic(RGBA),
}  # fmt: skip
"""Each 16 x 12, upright or turned."""

FRAMES = [Image.new("RGB", (16, 12), colour) for colour in ("red", "lime", "blue")]
ANIMATIONS = {
    kind: pictures.pillow(FRAMES[0], kind.upper(), save_all=True, append_images=FRAMES[1:])
    for kind in ("gif", "webp", "png", "tiff", "mpo", "avif")
}
"""Three frames or pages each."""


def tiny_network() -> Harmonizer:
    """Return the smallest network there is."""
    torch.manual_seed(0)
    return Harmonizer(architectures.build("hdnet", {"width": 1}).eval(), torch.device("cpu"))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one file.

    Attributes:
        kind: "image", or the class of the expected error.
        seconds: Processor time, which a busy machine does not stretch.
        excess: Bytes of memory that it took at its peak, above what was estimated for it.
    """

    kind: str
    seconds: float
    excess: int


def attempt(data: bytes, harmonizer: Harmonizer, max_pixels: int, *, as_mask: bool = False) -> Outcome:
    """Take bytes through all that a pair goes through, as its composite or as its mask.

    Raises:
        Exception: What no input should be able to raise.
    """
    forget_peak()
    began, held, allowed = time.process_time(), peak(), 0
    try:
        found = header.read(data, "hostile")
        header.check_size(found, "hostile", max_pixels)
        allowed = harmonizer.estimate(found.height, found.width) - harmonizer.estimate(1, 1)
        if as_mask:
            soft = mask.decode_mask(data, "hostile", max_pixels)
            harmonizer(np.zeros((*soft.shape, 3), np.uint8), soft)
        else:
            image = decode.decode(data, "hostile", max_pixels)
            result = harmonizer(image.pixels, half_mask(*image.pixels.shape[:2]))
            for wanted in ("same", "tiff"):
                encode.encode(image, result, wanted)
        kind = "image"
    except errors.HarmonizeError as error:
        assert len(str(error)) < 1000, str(error)[:2000]
        kind = type(error).__name__
    return Outcome(kind, time.process_time() - began, peak() - held - allowed)


def half_mask(height: int, width: int) -> Mask:
    """Return a mask of the left half, with one soft column."""
    half = np.zeros((height, width), np.uint8)
    half[:, : width // 2] = 255
    half[:, width // 2 : width // 2 + 1] = 100
    return half


def forget_peak() -> None:
    """Let `peak` begin anew."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak() -> int:
    """Return the most bytes of memory that this process has held since `forget_peak`."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def mutated(number: int) -> bytes:
    """Return the bytes of a case: a sound file, or what is near to one, after one to four changes."""
    rng = np.random.default_rng(number)
    pool = [*FILES.values(), *ANIMATIONS.values(), *SPECIAL.values()]
    data = bytearray(pool[rng.integers(len(pool))])
    for _ in range(min(4, rng.geometric(0.6))):
        CHANGES[rng.integers(len(CHANGES))](data, rng)
    return bytes(resealed(data) if rng.random() < 0.7 else data)


def resealed(data: bytearray) -> bytearray:
    """Give a PNG's chunks the right sums again, so that what they hold is looked at."""
    at = 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 <= len(data):
            data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return data


def _flip(data: bytearray, rng: Generator) -> None:
    for place in rng.integers(0, 8 * len(data), rng.integers(1, 9)) if data else ():
        data[place // 8] ^= 1 << place % 8


def _number(data: bytearray, rng: Generator) -> None:
    """Put one of the numbers that are at the edge of something where another may be, most often near the start."""
    code = str(rng.choice(["<H", ">H", "<I", ">I", "<Q"]))
    top = 2 ** (8 * struct.calcsize(code))
    edges = [0, 1, 2, 7, 8, 42, 255, 256, 4000, 65535, len(data), top // 2 - 1, top // 2, top - 1]
    place = int(len(data) * rng.random() ** 2)
    data[place : place + struct.calcsize(code)] = struct.pack(code, edges[rng.integers(len(edges))] % top)


def _cut(data: bytearray, rng: Generator) -> None:
    del data[rng.integers(0, len(data) + 1) :]


def _remove(data: bytearray, rng: Generator) -> None:
    place = rng.integers(0, len(data) + 1)
    del data[place : place + rng.integers(1, 40)]


def _repeat(data: bytearray, rng: Generator) -> None:
    start, size = rng.integers(0, len(data) + 1), rng.integers(1, 200)
    data[start:start] = bytes(data[start : start + size]) * int(rng.integers(1, 20))


def _fill(data: bytearray, rng: Generator) -> None:
    start, size = rng.integers(0, len(data) + 1), int(rng.integers(1, 40))
    data[start : start + size] = [b"\0", b"\xff", rng.bytes(1)][rng.integers(3)] * size


def _splice(data: bytearray, rng: Generator) -> None:
    """Put a piece of another file in."""
    other = list(FILES.values())[rng.integers(len(FILES))]
    start, place, size = rng.integers(0, len(other)), rng.integers(0, len(data) + 1), rng.integers(1, 400)
    data[place : place + size] = other[start : start + size]


def _pixels(data: bytearray, rng: Generator) -> None:
    """Change what a PNG's pixels are before they are compressed."""
    at = data.find(b"IDAT") + 4
    size = int.from_bytes(data[at - 8 : at - 4], "big")
    with contextlib.suppress(zlib.error):
        content = bytearray(zlib.decompress(data[at : at + size]))
        CHANGES[rng.integers(len(CHANGES) - 1)](content, rng)
        packed = zlib.compress(content)
        data[at - 8 : at + size] = len(packed).to_bytes(4, "big") + b"IDAT" + packed


Change = Callable[[bytearray, Generator], None]
CHANGES: list[Change] = [
    _flip,
    _number,
    _number,
    _cut,
    _remove,
    _repeat,
    _fill,
    _splice,
]


def bomb(kind: str, width: int, height: int) -> bytes:
    """Return a sound small file that claims another size."""
    small = pictures.samples(3, 8)
    if kind == "png":
        plain = pictures.png(small)
        size = struct.pack(">II", width, height)
        return plain[:8] + pictures.chunk(b"IHDR", size + plain[24:29]) + plain[33:]
    if kind == "tiff":
        return pictures.tiff(small, t256=width, t257=height)
    if kind == "heic":
        data = bytearray(pictures.heic(small))
    else:
        data = bytearray(pictures.pillow(small, kind.upper(), **({"icc_profile": b"x" * 9} if kind == "webp" else {})))
    at, size = {
        "jpeg": (data.find(b"\xff\xc0") + 5, struct.pack(">HH", height, width)),
        "webp": (24, (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")),
        "gif": (6, struct.pack("<HH", width, height)),
        "bmp": (18, struct.pack("<II", width, height)),
        "avif": (data.find(b"ispe") + 8, struct.pack(">II", width, height)),
        "heic": (data.find(b"ispe") + 8, struct.pack(">II", width, height)),
    }[kind]
    data[at : at + len(size)] = size
    return bytes(data)


def claiming(data: bytes, width: int, height: int) -> bytes:
    """Return an AVIF or HEIC with this size in each place where its container says it."""
    pieces = data.split(b"ispe")
    size = bytes(4) + struct.pack(">II", width, height)
    return b"ispe".join([pieces[0], *(size + piece[12:] for piece in pieces[1:])])


def chained_exif(depth: int) -> bytes:
    """Return an EXIF block whose directories each lead to the next one."""
    start = struct.pack("<2sHI", b"II", 42, 8)
    links = [struct.pack("<HHHIII", 1, 34665, 4, 1, 8 + 18 * (i + 1), 8 + 18 * (i + 1)) for i in range(depth)]
    return b"".join([start, *links, struct.pack("<HI", 0, 0)])


def looped_tiff() -> bytes:
    """Return a TIFF whose directory is followed by itself."""
    data = bytearray(pictures.tiff(RGB))
    count = struct.unpack_from("<H", data, 8)[0]
    struct.pack_into("<I", data, 10 + 12 * count, 8)
    return bytes(data)


def _saved(side: tuple[int, int], kind: str, mode: str = "L", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, side, 1).save(buffer, kind, **options)
    return buffer.getvalue()


ZEROS = zlib.compress(bytes(30_000_000))
SPECIAL = {
    "empty": b"",
    "one byte": b"\xff",
    "HTML": b"<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>",
    "JSON": b'{"error": {"code": 403}}',
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "long EXIF": pictures.pillow(RGB, "JPEG", exif=EXIF + bytes(60_000)),
    "chained EXIF": pictures.png(RGB, pictures.chunk(b"eXIf", chained_exif(5000))),
    "chained EXIF in WebP": pictures.pillow(RGB, "WEBP", exif=chained_exif(5000)),
    "long profile": pictures.pillow(RGB, "JPEG", icc_profile=pictures.SRGB + bytes(2_000_000)),
    "long profile of a TIFF": pictures.pillow(RGB, "TIFF", icc_profile=pictures.SRGB + bytes(2_000_000)),
    "profile bomb": pictures.png(RGB, pictures.chunk(b"iCCP", b"x\0\0" + ZEROS)),
    "text bomb": pictures.png(RGB, pictures.chunk(b"zTXt", b"x\0\0" + ZEROS) * 9),
    "pixels bomb": pictures.png(RGB, pictures.chunk(b"IDAT", ZEROS)),
    "endless pages": looped_tiff(),
    "one row": _saved((65_500, 1), "PNG"),
    "one column": _saved((1, 65_500), "PNG"),
    "one row of a TIFF": _saved((100_000, 1), "TIFF", compression="tiff_deflate"),
    "large AVIF that claims to be small": claiming(_saved((2000, 2000), "AVIF", speed=10), 16, 12),
    "large HEIC that claims to be small": claiming(pictures.heic(np.zeros((2000, 2000, 3), np.uint8)), 16, 12),
    "long comment in a GIF": pictures.pillow(FRAMES[0], "GIF", comment=bytes(3_000_000)),
    "long EXIF in AVIF": pictures.pillow(RGB, "AVIF", exif=chained_exif(5000)),
    **{f"{kind} bomb": bomb(kind, 16_000, 16_000) for kind in KINDS},
    **{f"small {kind} bomb": bomb(kind, 900, 900) for kind in KINDS},
    "a million flat pixels": _saved((1000, 1000), "PNG", "RGBA"),
}
"""Small files that ask for much, and what a shop's image folder holds besides images."""
