"""Reading files that may lie about themselves: so many bytes or an error, and no endless lists of pieces."""

import os
import re
from typing import BinaryIO

MOST_PIECES = 200_000
"""Segments or chunks of a file: a hostile file of empty ones must not keep us for minutes."""


def exactly(file: BinaryIO, at: int, size: int) -> bytes:
    """Read `size` bytes at an offset.

    Raises:
        ValueError: The file ends before.
    """
    if size > file.seek(0, os.SEEK_END) - at:
        raise ValueError(f"the file ends before its bytes {at} to {at + size}: it is truncated")
    file.seek(at)
    return file.read(size)


_INSIDES = re.compile(
    "decoder|unpack|codec can't decode|buffer|byte must be|not enough values|out of range|Truncated File Read"
)


def in_words(error: Exception) -> str:
    """Return what a reader found wrong with a file, but for words about the reader's own insides."""
    text = str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    if isinstance(error, ValueError | OSError | SyntaxError) and text and not _INSIDES.search(text):
        return text
    return "it is damaged, or cut off within a field"
