"""PNG: 1 to 16 bits, grey, RGB or palette, with or without alpha, lossless."""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import PngImagePlugin

from hdnet.transforms import errors
from hdnet.transforms.codecs import bounded, exif, planes, sixteen_bit
from hdnet.transforms.codecs.codec import Codec, Decoded, Writer
from hdnet.transforms.codecs.picture import Header, Picture
from hdnet.transforms.codecs.planes import Samples

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels
_COLOUR_CHUNKS = (b"cICP", b"cHRM", b"gAMA", b"sRGB", b"mDCV", b"cLLI")
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # all that Pillow is given
_CHECKED = frozenset({*_PIXEL_CHUNKS, *_COLOUR_CHUNKS, b"iCCP", b"pHYs"})
_KEY_SIZES = {0: 2, 2: 6}  # bytes that name a transparent colour, by colour type
_LONGEST_PROFILE = 1 << 24  # bytes; those of printers take a few millions
_START = 33  # bytes: signature and IHDR


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, offset of the content and its length of each chunk, until IEND, the end or the 200,000th."""
    end, at = file.seek(0, os.SEEK_END), 8
    for _ in range(bounded.MOST_PIECES):
        if at + 12 > end:
            return
        length, kind = struct.unpack(">I4s", bounded.exactly(file, at, 8))
        yield kind, at + 8, length
        at += 12 + length
        if kind == b"IEND":
            return


def _checked_chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Return the chunks that are used, each compared with its checksum: Pillow does not check those of the pixels.

    Raises:
        ValueError: One of them is damaged, or the last is missing.
    """
    view, chunks = memoryview(data), []
    for kind, at, length in _chunks(io.BytesIO(data)):
        if kind not in _CHECKED:
            continue
        if zlib.crc32(view[at - 4 : at + length]) != int.from_bytes(view[at + length : at + length + 4], "big"):
            raise ValueError(f"PNG chunk {kind.decode()} at byte {at - 8} is truncated or damaged")
        chunks.append((kind, at, length))
    if not chunks or chunks[-1][0] != b"IEND":
        raise ValueError("the PNG ends without its last chunk: it is truncated")
    return chunks


def _exif(file: BinaryIO) -> bytes:
    place = next(((at, length) for kind, at, length in _chunks(file) if kind == b"eXIf"), None)
    return bounded.exactly(file, *place) if place else b""


def _header(file: BinaryIO) -> Header:
    start = bounded.exactly(file, 8, 25)
    if start[4:8] == b"CgBI":
        raise errors.DecodeError("is a PNG as Xcode packs it into apps (CgBI): take the original, or convert it")
    if start[4:8] != b"IHDR" or start[17] not in _CHANNELS:
        raise ValueError(f"no IHDR first, but {start[4:8]!r}, or an unknown colour type, {start[17]}")
    width, height = int.from_bytes(start[8:12], "big"), int.from_bytes(start[12:16], "big")
    stored = Header(width, height, "png", bits=start[16], channels=_CHANNELS[start[17]], lossy=False)
    return stored.turned(exif.orientation(exif.find(file, _exif)))


def _decode(data: bytes, header: Header) -> Decoded:
    chunks = _checked_chunks(data)
    encoded = PngImagePlugin.PngImageFile(io.BytesIO(_bare(data, chunks)))
    if header.bits == 16 and header.channels > 1:
        planes.check_size(encoded, header.stored_size)
        pixels = b"".join(data[at : at + size] for kind, at, size in chunks if kind == b"IDAT")
        samples = sixteen_bit.unpack_png(pixels, encoded.size, header.channels, interlaced=data[28] == 1)
        decoded = planes.split(samples)
    else:
        decoded, _ = planes.from_pillow(planes.loaded(encoded, header.stored_size))
    key = encoded.info.get("transparency")
    if key is not None and decoded.alpha is None:
        decoded = planes.with_key(decoded, key, header.bits)
    colour = tuple((kind, data[at : at + size]) for kind, at, size in chunks if kind in _COLOUR_CHUNKS)
    return Decoded(decoded, _profile(_first(data, chunks, b"iCCP")), _dpi(_first(data, chunks, b"pHYs")), colour)


def _bare(data: bytes, chunks: list[tuple[bytes, int, int]]) -> bytes:
    """Return the PNG without text, animation and profile: Pillow refuses long ones, which say nothing about pixels."""
    view = memoryview(data)
    pieces: list[bytes | memoryview] = [_SIGNATURE]
    key_size = _KEY_SIZES.get(data[25], 0)
    for kind, at, size in chunks:
        if kind in _PIXEL_CHUNKS and not (kind == b"tRNS" and size < key_size):
            pieces.append(view[at - 8 : at + size + 4])
    return b"".join(pieces)


def _first(data: bytes, chunks: list[tuple[bytes, int, int]], wanted: bytes) -> bytes:
    return next((data[at : at + size] for kind, at, size in chunks if kind == wanted), b"")


def _profile(content: bytes) -> bytes | None:
    """Return the ICC profile of an iCCP chunk; None where it is broken.

    Raises:
        ValueError: It is larger than any profile.
    """
    name, _, packed = content.partition(b"\0")
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(packed[1:], _LONGEST_PROFILE)
    except zlib.error:
        return None
    if unpacking.unconsumed_tail:
        raise ValueError(f"a colour profile of more than {_LONGEST_PROFILE} bytes")
    return profile if name and unpacking.eof else None


def _dpi(content: bytes) -> tuple[float, float] | None:
    """Return the dots per inch of a pHYs chunk."""
    if len(content) < 9 or content[8] != 1:  # 1: it counts pixels in a metre
        return None
    return exif.sensible(value * 0.0254 for value in struct.unpack(">II", content[:8]))


def _write(picture: Picture, samples: Samples, _: int) -> bytes:
    if samples.dtype == np.uint8:
        plain = planes.saved(samples, "PNG", compress_type=sixteen_bit.STRATEGY)
        return b"".join([plain[:_START], _metadata(picture), memoryview(plain)[_START:]])
    height, width, channels = samples.shape
    size = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    start = [_SIGNATURE, _chunk(b"IHDR", size), _metadata(picture)]
    pixels = [_chunk(b"IDAT", piece) for piece in sixteen_bit.pack_png(samples) if piece]
    return b"".join([*start, *pixels, _chunk(b"IEND", b"")])


def _metadata(picture: Picture) -> bytes:
    chunks = [_chunk(kind, content) for kind, content in picture.png_colour]
    if picture.icc:
        chunks.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(picture.icc)))
    if picture.dpi:
        per_metre = [round(value / 0.0254) for value in picture.dpi]
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if picture.exif:
        chunks.append(_chunk(b"eXIf", picture.exif))
    return b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


CODEC = Codec(
    name="png",
    title="PNG",
    suffixes=(".png",),
    sniff=lambda start: start[:8] == _SIGNATURE,
    header=_header,
    decode=_decode,
    exif=_exif,
    writer=Writer(_write, sixteen_bit=True),
)
