"""Rows of text files: CSV, JSON lines and plain lines."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, cast

from hdnet.transforms.catalog import manifest
from hdnet.transforms.errors import ManifestError

MAX_LINE = 1 << 20
"""Bytes. A file of another kind may be a single line of any length."""
BOM = b"\xef\xbb\xbf"


class Lines:
    """The lines of a file between two bytes; it knows how far it has been read.

    Bytes that are not UTF-8 become surrogates, which the rules for rows refuse, so that a wrong byte spoils only one
    row.

    Args:
        file: A seekable file opened for reading bytes.
        name: The file's name in messages.
        start: Byte at which a line begins.
        length: Bytes to read, up to the end of a line; None for all.
        first: Number of the first line.

    Attributes:
        offset: Byte after the last line that was read.
        number: Number of that line.
    """

    def __init__(self, file: IO[bytes], name: str, start: int, length: int | None, first: int) -> None:
        file.seek(start)
        self._name = name
        # Not every file of fsspec can limit a line.
        self._file = io.BufferedReader(cast(io.RawIOBase, file), 1 << 18)
        self._end = None if length is None else start + length
        self.offset, self.number = start, first - 1

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE + 1) if self._end is None or self.offset < self._end else b""
        if not line:
            raise StopIteration
        if len(line) > MAX_LINE:
            line_number = self.number + 1
            raise ManifestError(f"{self._name}, line {line_number}: longer than {MAX_LINE} bytes; is this a manifest?")
        text = line if self.offset else line.removeprefix(BOM)
        self.offset += len(line)
        self.number += 1
        return text.decode(errors="surrogateescape")


def line_records(lines: Lines) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line that is not blank."""
    return ((lines.number, line) for line in lines if not line.isspace())


def csv_records(lines: Lines) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield the number of each row's first line with its cells, or with the reason why it is not CSV."""
    reader = csv.reader(lines, strict=True)
    while True:
        first = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield first, error
        else:
            if cells:
                yield first, cells


def csv_row(cells: list[str] | csv.Error, columns: Sequence[str]) -> Mapping[str, object]:
    """Return the cells by column.

    Raises:
        ManifestError: There are more or fewer cells than columns, or they could not be read.
    """
    if isinstance(cells, csv.Error):
        raise ManifestError(f"not CSV: {cells}")
    if len(cells) != len(columns):
        raise ManifestError(f"{len(cells)} cells where the header has {len(columns)}: {manifest.show(cells)}")
    return dict(zip(columns, cells, strict=True))


def json_row(line: str) -> Mapping[str, object]:
    """Decode a JSON object.

    Raises:
        ManifestError: The line is not one.
    """
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"not JSON: {error}: {manifest.show(line)}") from error
    if not isinstance(row, dict):
        raise ManifestError(f"not a JSON object: {manifest.show(line)}")
    return row
