"""How large an image, its file and the memory to decode it may be."""

MAX_PIXELS = 64_000_000
"""How many pixels an image may have unless the caller says otherwise."""

DECODE_BYTES = 24
"""Peak memory for each pixel while a file is decoded; the most that was measured is 22 (see docs/images.md)."""

_FILE_BYTES = 16  # for each pixel: twice what the largest format needs
_METADATA_BYTES = 1 << 24  # profiles, EXIF and previews


def file_bytes(max_pixels: int) -> int:
    """Return the size in bytes above which a file is not read, where its image may have so many pixels."""
    return _FILE_BYTES * max_pixels + _METADATA_BYTES
