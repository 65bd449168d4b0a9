"""What a file format is to the rest of the program: one record."""

import dataclasses
from collections.abc import Callable
from typing import BinaryIO

from hdnet.transforms.codecs.picture import Header, Picture
from hdnet.transforms.codecs.planes import Planes, Samples


@dataclasses.dataclass(frozen=True)
class Decoded:
    """What a codec reads beside the header; the fields are as in `Picture`.

    Attributes:
        planes: The pixels as they are stored, before the header's orientation is applied.
        icc: The profile that describes them.
        dpi: Dots per inch, where the format has a place for them outside EXIF.
        png_colour: Colour chunks, of a PNG alone.
    """

    planes: Planes
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    png_colour: tuple[tuple[bytes, bytes], ...] = ()


@dataclasses.dataclass(frozen=True)
class Writer:
    """How a format is written, and what it can hold.

    Attributes:
        write: Returns the file of a picture's metadata and (H,W,C) samples: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
            The last argument is the quality, 1 to 100, which lossless formats ignore. The same values always give
            the same bytes.
        grey: It has files of one grey channel.
        alpha: It holds alpha.
        sixteen_bit: It holds 16 bits a channel, others 8.
        longest: The longest side in pixels, where the format has a limit of its own.
    """

    write: Callable[[Picture, Samples, int], bytes]
    grey: bool = True
    alpha: bool = True
    sixteen_bit: bool = False
    longest: int | None = None


def _no_exif(_: BinaryIO) -> bytes:
    return b""


@dataclasses.dataclass(frozen=True)
class Codec:
    """One file format. Nothing it is given can be trusted: each function may be handed any bytes.

    Attributes:
        name: What `Header.format`, `--format` and messages call it, in lower case.
        title: Its proper name.
        suffixes: The endings of its files, in lower case with the dot; files are written with the first.
        sniff: Decides by the file's first 64 bytes whether it is of this format.
        header: Reads the header without decoding pixels; raises ValueError or IndexError where it is broken, and
            DecodeError where this installation cannot read the format.
        decode: Reads the pixels of a file whose header was admitted; may raise an exception of any class.
        exif: Returns the EXIF block, empty where there is none; raises ValueError where it is broken.
        writer: How it is written, or None.
        written_as: Name of the codec that writes what was read by one without a writer.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    header: Callable[[BinaryIO], Header]
    decode: Callable[[bytes, Header], Decoded]
    exif: Callable[[BinaryIO], bytes] = _no_exif
    writer: Writer | None = None
    written_as: str = ""
