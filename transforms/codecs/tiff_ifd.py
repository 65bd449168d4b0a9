"""TIFF directories, which are TIFF's header and all of EXIF: read without trust, written back value by value.

Pillow reads every value of a directory into memory at once, even when all of 65,000 entries claim the same megabyte,
and it writes back other values than it read. Here nothing is read unless the sum of the claims fits the file, and
values are copied as bytes, whatever they mean.
"""

import contextlib
import dataclasses
import os
import struct
from collections.abc import Collection
from typing import BinaryIO, Literal

from hdnet.transforms.codecs import bounded

EXIF, GPS, INTEROP = 34665, 34853, 40965  # tags whose value is the place of another directory
CHILDREN = (EXIF, GPS, INTEROP)
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value, by type."""

Order = Literal["<", ">"]  # as `struct` writes it

_ORDERS: dict[bytes, Order] = {b"II": "<", b"MM": ">"}
_UNSIGNED = {1: (1, "B"), 3: (1, "H"), 4: (1, "I"), 5: (2, "I"), 13: (1, "I"), 16: (1, "Q"), 18: (1, "Q")}
_DEPTH = 2  # Exif's directory is within the image's, and Interop's within Exif's


@dataclasses.dataclass(frozen=True)
class Entry:
    """A tag's type, the number of its values and the offset of the first in the file."""

    kind: int
    count: int
    where: int

    @property
    def size(self) -> int:
        """Bytes of all its values."""
        return self.count * SIZES[self.kind]


@dataclasses.dataclass(frozen=True)
class Directory:
    """Tags and where their values are.

    Attributes:
        order: Byte order of the file.
        big: The file is a BigTIFF, with offsets of 8 bytes.
        entries: By tag; those of unknown type are left out.
    """

    order: Order
    big: bool
    entries: dict[int, Entry]

    @property
    def endian(self) -> Literal["little", "big"]:
        """Byte order as `int.to_bytes` writes it."""
        return "little" if self.order == "<" else "big"


Tree = dict[int, "tuple[int, bytes] | Tree"]
"""By tag: the type and bytes of its values, or the directory that it leads to."""


def read(file: BinaryIO, at: int | None = None, *, strict: bool = False) -> Directory:
    """Read one directory of a file.

    Args:
        file: Any file or block that begins with a TIFF header.
        at: The directory's offset, or None for the first.
        strict: A value that lies outside the file is an error; otherwise its tag is left out.

    Raises:
        ValueError: There is none, its values claim more bytes than the file has, or one is outside it (see `strict`).
    """
    magic = bounded.exactly(file, 0, 8)
    order = _ORDERS.get(magic[:2])
    version = struct.unpack(order + "H", magic[2:4])[0] if order else 0
    if order is None or version not in (42, 43):
        raise ValueError(f"not a TIFF header: {magic!r}")
    big = version == 43
    if at is None:
        at = _number(order, bounded.exactly(file, 8, 8) if big else magic[4:])
    number = _number(order, bounded.exactly(file, at, 8 if big else 2))
    form = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    start = at + (8 if big else 2)
    table = form.iter_unpack(bounded.exactly(file, start, number * form.size))
    entries: dict[int, Entry] = {}
    for i, (tag, kind, count, value) in enumerate(table):
        if size := count * SIZES.get(kind, 0):
            inside = start + (i + 1) * form.size - len(value)
            entries.setdefault(tag, Entry(kind, count, inside if size <= len(value) else _number(order, value)))
    end = file.seek(0, os.SEEK_END)
    claimed = sum(entry.size for entry in entries.values())
    outside = [tag for tag, entry in entries.items() if entry.where + entry.size > end]
    if claimed > end or (outside and strict):
        raise ValueError(f"a TIFF directory claims {claimed} bytes, tags {outside[:3]} outside the file's {end}")
    entries = {tag: entry for tag, entry in entries.items() if entry.where + entry.size <= end}
    return Directory(order, big, entries)


def numbers(file: BinaryIO, directory: Directory, tag: int) -> tuple[int, ...]:
    """Return a tag's whole numbers (a fraction is two of them); () where it is absent or holds something else."""
    entry = directory.entries.get(tag)
    if entry is None or entry.kind not in _UNSIGNED:
        return ()
    per_value, code = _UNSIGNED[entry.kind]
    form = f"{directory.order}{entry.count * per_value}{code}"
    return struct.unpack(form, bounded.exactly(file, entry.where, entry.size))


def tree(file: BinaryIO, directory: Directory, tags: Collection[int] | None = None, depth: int = 0) -> Tree:
    """Read the values of the wanted tags, and all of the EXIF, GPS and Interop directories they lead to."""
    found: Tree = {}
    for tag, entry in directory.entries.items():
        if tags is not None and tag not in tags:
            continue
        if tag not in CHILDREN:
            found[tag] = entry.kind, bounded.exactly(file, entry.where, entry.size)
        elif depth < _DEPTH:
            # A broken directory within a sound one costs nothing but itself.
            with contextlib.suppress(ValueError, IndexError):
                child = read(file, numbers(file, directory, tag)[0])
                found[tag] = tree(file, child, depth=depth + 1)
    return found


def pack(content: Tree, order: Order, at: int, big: bool = False) -> bytes:
    """Write a directory that will stand at the offset `at` of a file, with its values behind it."""
    number, form, pointer, inline = ("Q", "HHQ8s", "Q", 8) if big else ("H", "HHI4s", "I", 4)
    table = [struct.pack(order + number, len(content))]
    place = at + len(table[0]) + len(content) * struct.calcsize(order + form) + inline
    values = []
    for tag, node in sorted(content.items()):
        kind, value = (LONG, pack(node, order, place, big)) if isinstance(node, dict) else node
        count = 1 if isinstance(node, dict) else len(value) // SIZES[kind]
        if len(value) <= inline and not isinstance(node, dict):
            table.append(struct.pack(order + form, tag, kind, count, value.ljust(inline, b"\0")))
            continue
        table.append(struct.pack(order + form, tag, kind, count, struct.pack(order + pointer, place)))
        values.append(value + b"\0" * (len(value) % 2))
        place += len(values[-1])
    return b"".join([*table, struct.pack(order + pointer, 0), *values])


def _number(order: Order, value: bytes) -> int:
    return int.from_bytes(value, "little" if order == "<" else "big")
