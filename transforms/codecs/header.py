"""What a file says of itself, read from its first kilobytes: size, format and depth, before any pixel is decoded."""

import io
from typing import BinaryIO

from hdnet.transforms import errors
from hdnet.transforms.codecs import containers, exif, tiff_ifd
from hdnet.transforms.codecs.picture import Format, Header

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_DEPTHS = (1, 2, 4, 8, 16)
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the JPEG markers of a frame header


def read(source: bytes | BinaryIO, name: str) -> Header:
    """Read an image's header; no pixel is decoded, and nothing is allocated that the file only claims.

    Args:
        source: The file's bytes, or a seekable binary file. For JPEG, PNG and WebP the first bytes are enough (64 KiB
            nearly always); a TIFF's directory may be at its end. EXIF that stands behind the pixels (WebP, some PNG)
            shows only in the whole file.
        name: What to call the image in an error message, usually its URI.

    Raises:
        DecodeError: The file is empty, no JPEG, PNG, WebP or TIFF, truncated in its header, without pixels, or of a
            depth other than 1, 2, 4, 8 or 16 bits.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    kind = containers.sniff(file)
    if kind is None:
        raise _unknown(file, name)
    try:
        header = _READERS[kind](file)
    except (ValueError, IndexError) as error:
        raise errors.DecodeError(f"{name} has a broken {kind} header ({error}): export the file again") from error
    if not header.pixels:
        raise errors.DecodeError(f"{name} is {header.width} x {header.height}, it has no pixels: export the file again")
    if header.bits not in _DEPTHS:
        raise errors.DecodeError(f"{name} has {header.bits} bits a channel: save it with 8 or 16")
    return header


def check_size(header: Header, name: str, max_pixels: int) -> None:
    """Refuse an image that is too large to be decoded.

    Raises:
        SizeError: It has more than `max_pixels` pixels.
    """
    if header.pixels > max_pixels:
        raise errors.SizeError(
            f"{name} claims {header.width} x {header.height} = {header.pixels} pixels, more than the {max_pixels} "
            "allowed: make it smaller or raise --max-pixels"
        )


def _unknown(file: BinaryIO, name: str) -> errors.DecodeError:
    file.seek(0)
    start = file.read(16)
    if not start:
        return errors.DecodeError(f"{name} is empty (0 bytes): write the file again")
    return errors.DecodeError(f"{name} is not a JPEG, PNG, WebP or TIFF (it begins with {start!r}): convert it to one")


def _upright(file: BinaryIO, size: tuple[int, int], kind: Format, bits: int, channels: int, *, lossy: bool) -> Header:
    turn = exif.orientation(exif.find(file, kind))
    width, height = size if turn < 5 else size[::-1]
    return Header(width, height, kind, bits, channels, lossy, turn)


def _jpeg(file: BinaryIO) -> Header:
    frame = next((content for marker, _, content in containers.jpeg_segments(file) if marker in _SOF), b"")
    if len(frame) < 6:
        raise ValueError("no frame header before the pixels")
    size = int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
    return _upright(file, size, "jpeg", frame[0], frame[5], lossy=True)


def _png(file: BinaryIO) -> Header:
    start = tiff_ifd.exactly(file, 8, 25)
    if start[4:8] != b"IHDR" or start[17] not in _PNG_CHANNELS:
        raise ValueError(f"no IHDR first, but {start[4:8]!r}, or an unknown colour type, {start[17]}")
    size = int.from_bytes(start[8:12], "big"), int.from_bytes(start[12:16], "big")
    return _upright(file, size, "png", start[16], _PNG_CHANNELS[start[17]], lossy=False)


def _webp(file: BinaryIO) -> Header:
    names = {kind for kind, _, _ in containers.webp_chunks(file)}
    kind, at, _ = next(containers.webp_chunks(file), (b"", 0, 0))
    start = tiff_ifd.exactly(file, at, 10)
    if kind == b"VP8X":
        size, alpha = (_little(start[4:7]) + 1, _little(start[7:10]) + 1), bool(start[0] & 0x10)
        # An animation's frames hide their kind one level deeper: taken for lossy, as nearly all are.
        return _upright(file, size, "webp", 8, 3 + alpha, lossy=b"VP8L" not in names)
    if kind == b"VP8L":
        bits = _little(start[1:5])
        size, alpha = ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), bool(bits >> 28 & 1)
        return Header(*size, "webp", 8, 3 + alpha, lossy=False)
    if kind != b"VP8 ":
        raise ValueError(f"no picture chunk first, but {kind!r}")
    return Header(_little(start[6:8]) & 0x3FFF, _little(start[8:10]) & 0x3FFF, "webp", 8, 3, lossy=True)


def _tiff(file: BinaryIO) -> Header:
    found = tiff_ifd.read(file, strict=True)
    width, height, bits, compression, channels, sample = (
        tiff_ifd.numbers(file, found, tag)[:4] for tag in (256, 257, 258, 259, 277, 339)
    )
    if not width or not height:
        raise ValueError("no width or height")
    if any(value not in (1, 4) for value in sample):
        raise ValueError(f"sample format {sample[0]}, not whole numbers from 0 up")
    if any(value != bits[0] for value in bits):
        raise ValueError(f"channels of {bits} bits")
    turn = (tiff_ifd.numbers(file, found, 274) or (1,))[0]
    turn = turn if 1 <= turn <= 8 else 1
    size = (width[0], height[0]) if turn < 5 else (height[0], width[0])
    lossy = compression in ((6,), (7,))
    return Header(*size, "tiff", (bits or (1,))[0], (channels or (1,))[0], lossy, turn)


def _little(value: bytes) -> int:
    return int.from_bytes(value, "little")


_READERS = {"jpeg": _jpeg, "png": _png, "webp": _webp, "tiff": _tiff}
