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
MAX_CELL = 1 << 17
"""Characters in a cell of a table, which goes into every row of the metrics."""
STARTS = 32
"""Bytes by which a file of another kind is known."""
BOM = b"\xef\xbb\xbf"

_OTHERS = {
    b"\xff\xfe": "UTF-16: save it as CSV UTF-8",
    b"\xfe\xff": "UTF-16: save it as CSV UTF-8",
    b"PK\x03\x04": "an Excel workbook, or another ZIP archive: save it as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "an Excel workbook of before 2007: save it as CSV UTF-8",
    b"\x1f\x8b": "compressed with gzip: let its name end in .gz",
    b"PAR1": "a Parquet file: let its name end in .parquet",
    b"ARROW1": "an Arrow or Feather file: save it as Parquet",
    b"BZh": "compressed with bzip2: unpack it, or compress it with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard: unpack it, or compress it with gzip",
    b"\xfd7zXZ": "compressed with xz: unpack it, or compress it with gzip",
    b"SQLite format": "a database of SQLite: export the table as CSV",
    b"version https://git-lfs": "a Git LFS pointer, not the file: run git lfs pull where it comes from",
    b"{\\rtf": "a text with formats (RTF): save it as plain text",
    b"<": "a web page or XML: download the file itself, or save it as CSV UTF-8",
}
"""What files that are no UTF-8 text are, by their first bytes."""

_CSV_ERRORS = {
    "new-line character": "a line break that is no line feed, as the line ends of old Macs: save it as CSV UTF-8",
    "unexpected end": "a quote is opened and never closed",
    "expected after": "text follows a closing quote: write a quote within a cell as two",
    "field larger": f"a cell of more than {MAX_LINE:,} characters; is its quote never closed?",
    "NUL": "it holds NUL, which is no character of a text",
}
"""What the messages of Python's csv mean, by a part of each."""

# A cell that is too long for us is named with its column; this limit only keeps memory bounded.
csv.field_size_limit(MAX_LINE)


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
        if start == 0:
            _check_start(self._file.peek(STARTS)[:STARTS].removeprefix(BOM), name)

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


def csv_records(lines: Lines, delimiter: str = ",") -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield the number of each row's first line with its cells, or with the reason why it is not CSV.

    Rows without a value, as spreadsheets leave them below a table, are passed over like blank lines.
    """
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    while True:
        first = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield first, error
        else:
            if any(cells):
                yield first, cells


def csv_row(cells: list[str] | csv.Error, columns: Sequence[str]) -> Mapping[str, object]:
    """Return the cells by column.

    Raises:
        ManifestError: There are more or fewer cells than columns, one is too long, or they could not be read.
    """
    if isinstance(cells, csv.Error):
        raise ManifestError(f"not CSV: {csv_problem(cells)}")
    while len(cells) > len(columns) and not cells[-1]:
        cells.pop()
    if len(cells) != len(columns):
        raise ManifestError(f"{len(cells)} cells where the header has {len(columns)}: {manifest.show(cells)}")
    for name, cell in zip(columns, cells, strict=True):
        if len(cell) > MAX_CELL:
            raise ManifestError(
                f"a cell of {len(cell):,} characters in column {manifest.show(name)}, more than {MAX_CELL:,}: leave "
                "the column out"
            )
    return dict(zip(columns, cells, strict=True))


def csv_problem(error: csv.Error) -> str:
    """Return what is wrong with a row in words that do not need Python's documentation."""
    return next((words for part, words in _CSV_ERRORS.items() if part in str(error)), str(error))


def json_row(line: str) -> Mapping[str, object]:
    """Decode a JSON object.

    Raises:
        ManifestError: The line is not one.
    """
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        if line.strip()[:1] in ("[", "{", "]", "}") and len(line.strip()) == 1:
            raise ManifestError("JSON of several lines: write each row as an object on one line") from error
        raise ManifestError(f"not JSON: {error}: {manifest.show(line)}") from error
    if not isinstance(row, dict):
        raise ManifestError(f"not a JSON object, which each line must be: {manifest.show(line)}")
    return row


def kind_of(start: bytes) -> str | None:
    """Say what a file is by its first `STARTS` bytes, and what to do; None where they are not known."""
    return next((kind for mark, kind in _OTHERS.items() if start.startswith(mark)), None)


def _check_start(start: bytes, name: str) -> None:
    kind = kind_of(start)
    if kind is None and b"\0" in start[:2]:
        kind = "UTF-16, or no text: save it as CSV UTF-8"
    if kind:
        raise ManifestError(f"{name} is {kind}")
