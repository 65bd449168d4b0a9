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
# Signed types are read as unsigned: some writers give sizes so, and a negative one becomes larger than any.
_WHOLE = {1: (1, "B"), 3: (1, "H"), 4: (1, "I"), 5: (2, "I"), 6: (1, "B"), 8: (1, "H"), 9: (1, "I"), 13: (1, "I"),
          16: (1, "Q"), 17: (1, "Q"), 18: (1, "Q")}  # fmt: skip
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
        entries: By tag; those of unknown type are left out.
        following: The offset of the next directory, or 0.
    """

    order: Order
    entries: dict[int, Entry]
    following: int

    @property
    def endian(self) -> Literal["little", "big"]:
        """Byte order as `int.to_bytes` writes it."""
        return "little" if self.order == "<" else "big"


Tree = dict[int, "tuple[int, bytes] | Tree"]
"""By tag: the type and bytes of its values, or the directory that it leads to."""


def read(file: BinaryIO, at: int | None = None, *, needed: Collection[int] = ()) -> Directory:
    """Read one directory of a file.

    Args:
        file: Any file or block that begins with a TIFF header.
        at: The directory's offset, or None for the first.
        needed: Tags whose values must not lie outside the file; others that do are left out.

    Raises:
        ValueError: There is none, its values claim more bytes than the file has, or a needed one is outside it.
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
            within = start + (i + 1) * form.size - len(value)
            entries.setdefault(tag, Entry(kind, count, within if size <= len(value) else _number(order, value)))
    behind = start + number * form.size
    file.seek(behind)
    following = _number(order, file.read(8 if big else 4))
    end = file.seek(0, os.SEEK_END)
    inside = {tag: entry for tag, entry in entries.items() if entry.where + entry.size <= end}
    if outside := [tag for tag in entries if tag in needed and tag not in inside]:
        raise ValueError(f"tags {outside[:3]} point behind the end of the file: it is truncated")
    if (claimed := sum(entry.size for entry in inside.values())) > end:
        raise ValueError(f"a TIFF directory claims {claimed} bytes in a file of {end}")
    return Directory(order, inside, following)


def numbers(file: BinaryIO, directory: Directory, tag: int) -> tuple[int, ...]:
    """Return a tag's whole numbers (a fraction is two of them); () where it is absent or holds something else."""
    entry = directory.entries.get(tag)
    if entry is None or entry.kind not in _WHOLE:
        return ()
    per_value, code = _WHOLE[entry.kind]
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


def pack(content: Tree, order: Order, at: int) -> bytes:
    """Write a directory that will stand at the offset `at` of a file, with its values behind it."""
    table = [struct.pack(order + "H", len(content))]
    place = at + 2 + len(content) * 12 + 4
    values = []
    for tag, node in sorted(content.items()):
        kind, value = (LONG, pack(node, order, place)) if isinstance(node, dict) else node
        count = 1 if isinstance(node, dict) else len(value) // SIZES[kind]
        if len(value) <= 4 and not isinstance(node, dict):
            table.append(struct.pack(order + "HHI4s", tag, kind, count, value.ljust(4, b"\0")))
            continue
        table.append(struct.pack(order + "HHII", tag, kind, count, place))
        values.append(value + b"\0" * (len(value) % 2))
        place += len(values[-1])
    return b"".join([*table, bytes(4), *values])


def whole(order: Order, *values: int) -> tuple[int, bytes]:
    """Return the type and bytes of whole numbers, in two bytes each where they fit.

    Raises:
        ValueError: One takes more than four bytes.
    """
    if max(values, default=0) >= 1 << 32:
        raise ValueError(f"a TIFF directory holds the number {max(values)}")
    kind, code = (SHORT, "H") if max(values, default=0) < 1 << 16 else (LONG, "I")
    return kind, struct.pack(f"{order}{len(values)}{code}", *values)


def _number(order: Order, value: bytes) -> int:
    return int.from_bytes(value, "little" if order == "<" else "big")
