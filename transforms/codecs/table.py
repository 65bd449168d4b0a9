"""The formats that are read and written. A new one is a module in `formats` and its name in `CODECS`."""

from typing import BinaryIO

from hdnet.transforms.codecs.codec import Codec
from hdnet.transforms.codecs.formats import avif, bmp, gif, heic, jpeg, png, tiff, webp

CODECS: dict[str, Codec] = {module.CODEC.name: module.CODEC for module in (jpeg, png, webp, tiff, avif, gif, bmp, heic)}
"""Every codec by its name."""

OUTPUT_FORMATS = ("same", *(name for name, codec in CODECS.items() if codec.writer))
"""What `--format` may be: "same" is the composite's format, or the one in its place that can be written."""

SUFFIXES = frozenset(suffix for codec in CODECS.values() for suffix in codec.suffixes)
"""The endings of image files, in lower case."""

_TITLES = [codec.title for codec in CODECS.values()]
TITLES = f"{', '.join(_TITLES[:-1])} or {_TITLES[-1]}"
"""The formats' proper names, for messages."""

_SNIFFED = 64  # bytes


def sniff(file: BinaryIO) -> Codec | None:
    """Return the codec of a file by its first bytes, or None."""
    file.seek(0)
    start = file.read(_SNIFFED)
    return next((codec for codec in CODECS.values() if codec.sniff(start)), None)


def written(wanted: str, source: str) -> Codec:
    """Return the codec that writes a picture read from the format `source`, as `wanted` says.

    Raises:
        ValueError: `wanted` is not one of `OUTPUT_FORMATS`.
    """
    if wanted not in OUTPUT_FORMATS:
        raise ValueError(f"the format must be one of {', '.join(OUTPUT_FORMATS)}: {wanted!r}")
    name = source if wanted == "same" else wanted
    return CODECS[CODECS[name].written_as or name]
