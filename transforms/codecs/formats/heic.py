"""HEIC, the photos of many phones: 8 to 12 bits, with loss. It is read through `pillow-heif`, and written as JPEG."""

import functools
import io
import logging
import struct
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from hdnet.transforms import errors
from hdnet.transforms.codecs import iso_media, planes
from hdnet.transforms.codecs.codec import Codec, Decoded
from hdnet.transforms.codecs.picture import Header

if TYPE_CHECKING:
    from pillow_heif import HeifFile

log = logging.getLogger(__name__)

_LARGER = 4  # times the image: what a stored image that is cropped may have
_SMALL = 1 << 22  # pixels that it may have at least
_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})


def _open(file: BinaryIO) -> "HeifFile":
    """Open the file without decoding pixels, which come upright."""
    try:
        import pillow_heif
    except ModuleNotFoundError as error:
        raise errors.DecodeError(
            "is HEIC, which needs a further library: pip install 'hdnet-pipeline[heic]', or convert it"
        ) from error
    except Exception as error:  # a broken installation fails in any way, and must cost no more than this format
        _warn_once(repr(error))
        raise errors.DecodeError(
            f"is HEIC, and the installed pillow-heif cannot be imported ({error!r}): install it again, or convert it"
        ) from error
    try:
        return pillow_heif.open_heif(file, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    except Exception as error:  # hostile bytes raise errors of every class
        raise ValueError(str(error)) from error


@functools.cache
def _warn_once(fault: str) -> None:
    """Name the fault in the log, beside the errors of all those images."""
    log.warning("pillow-heif is installed but cannot be imported (%s): every HEIC fails until it is reinstalled", fault)


def _check_stored(file: BinaryIO, pixels: int) -> None:
    """Refuse stored images far larger than the one they show after cropping: all of their pixels are decoded."""
    described = [content for kind, content in iso_media.meta(file) if kind == b"iprp"]
    properties = [each for content in described for kind, part in iso_media.children(content) if kind == b"ipco"
                  for each in iso_media.children(part)]  # fmt: skip
    for width, height in (struct.unpack(">4xII", content[:12]) for kind, content in properties if kind == b"ispe"):
        if width * height > max(_LARGER * pixels, _SMALL):
            raise ValueError(f"an image of {width} x {height} is stored, far larger than the one that is shown")


def _header(file: BinaryIO) -> Header:
    found = _open(file)
    _check_stored(file, found.size[0] * found.size[1])
    colours = found.info.get("nclx_profile")
    if colours and "icc_profile" not in found.info:
        iso_media.check_colours(colours["color_primaries"], colours["transfer_characteristics"])
    bits = 8 if found.info["bit_depth"] == 8 else 16
    width, height = found.size
    return Header(width, height, "heic", bits, len(found.mode.partition(";")[0]), lossy=True)


def _exif(file: BinaryIO) -> bytes:
    return _open(file).info.get("exif") or b""


def _decode(data: bytes, header: Header) -> Decoded:
    found = _open(io.BytesIO(data))
    samples = np.asarray(found)
    if found.size != header.stored_size:
        raise ValueError(f"the header says {header.stored_size}, the pixels are {found.size}")
    if header.bits == 16:
        depth = found.info["bit_depth"]
        samples = samples << (16 - depth) | samples >> (2 * depth - 16)  # the upper bits fill the lower ones
    decoded = planes.Planes(samples) if samples.ndim == 2 else planes.split(samples)
    return Decoded(decoded, found.info.get("icc_profile"))


CODEC = Codec(
    name="heic",
    title="HEIC",
    suffixes=(".heic", ".heif"),
    sniff=lambda start: not iso_media.brands(start).isdisjoint(_BRANDS),
    header=_header,
    decode=_decode,
    exif=_exif,
    written_as="jpeg",
)
