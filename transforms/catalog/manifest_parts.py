"""Read manifests in parts, so that many workers share one and none holds it: CSV, JSONL, Parquet, lists, folders.

A part of a text file begins and ends where a row does. `plan` finds these places by reading the file once from its
beginning, because a line break within quotes does not end a row and messages need line numbers; that takes about a
second for a million rows. A part of a Parquet file is a row group.
"""

import contextlib
import csv
import dataclasses
import functools
import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from hdnet.transforms import storage
from hdnet.transforms.catalog import layouts, manifest, manifest_text
from hdnet.transforms.catalog.layouts import BY_STEM, Names, Passed
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.manifest_text import Lines
from hdnet.transforms.catalog.rows import FailureRow
from hdnet.transforms.errors import ManifestError
from hdnet.transforms.storage import storage_errors

PART_BYTES = 8 << 20
BATCH_ROWS = 4096
FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet", ".txt": "list"}
DELIMITERS = {"csv": ",", "tsv": "\t"}
COMPRESSED = ".gz"
"""Ending of a text file that is read through gzip, behind its own suffix."""

_VALUES = (ValueError, OverflowError, LookupError, pa.ArrowException)
"""What pyarrow raises for values that Python lacks: text that is not UTF-8, years over 9999, unknown time zones."""

Rows = Iterator[tuple[str, Mapping[str, object] | ManifestError]]
"""The place of each row, with the row or with the reason why it cannot be read."""


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of a manifest.

    Attributes:
        uri: URI of the manifest.
        format: "csv", "tsv", "jsonl", "parquet", "list" or "folder".
        columns: Columns of a CSV, TSV or Parquet file.
        start: First byte in a text file, or the row group of a Parquet file.
        length: Bytes in a text file; None to its end.
        first: Line or row number of the first row, counted from 1.
        names: How the files of a folder form pairs.
        base: The folder that relative paths start from; "" for the manifest's own.
    """

    uri: str
    format: str
    columns: tuple[str, ...] = ()
    start: int = 0
    length: int | None = None
    first: int = 1
    names: Names = BY_STEM
    base: str = ""


def plan(
    uri: str, part_bytes: int | None = PART_BYTES, names: Names = BY_STEM, passed: Passed | None = None
) -> Iterator[Part]:
    """Divide a manifest into parts.

    Args:
        uri: A file .csv, .tsv, .jsonl, .parquet or .txt (an iHarmony4 list), the text files also with .gz behind; or
            a folder, which is an iHarmony4 root if it holds IHD_test.txt, and otherwise holds composites/ and masks/,
            or Parquet files with the rows.
        part_bytes: A part of a text file ends with the row that reaches this size; None leaves the file whole, and so
            does compression.
        names: How the files of a folder form pairs.
        passed: Takes what is passed over in a folder of Parquet files.

    Raises:
        ManifestError: The manifest cannot be read, is of no known type, or lacks a column.
    """
    with _readable(uri):
        known = _format(uri)
        if known is None or (known == "parquet" and storage.is_folder(uri)):
            yield from _plan_folder(uri, names, {} if passed is None else passed)
        elif known == "parquet":
            yield from _plan_parquet(uri)
        else:
            yield from _plan_text(uri, known, None if _is_compressed(uri) else part_bytes)


def rows(uri: str, names: Names = BY_STEM) -> Iterator[Pair | FailureRow]:
    """Yield every row of a manifest in order, reading as far as is asked for.

    Raises:
        ManifestError: As for `plan` and `read`.
    """
    for part in plan(uri, None, names):
        yield from read(part)


def read(part: Part, passed: Passed | None = None) -> Iterator[Pair | FailureRow]:
    """Yield every row of the part in order.

    Args:
        part: The part.
        passed: Takes the files that a folder's listing passes over.

    Raises:
        ManifestError: The manifest itself cannot be read, or a folder's files do not form pairs.
    """
    base = _base(part)
    with _readable(part.uri):
        if part.format == "folder":
            entries: Rows = layouts.folder_rows(part.uri, part.names, passed)
        else:
            entries = _READERS[part.format](part)
        for source, row in entries:
            if isinstance(row, ManifestError):
                yield manifest.failure({}, source, f"{source}: {row}")
            else:
                yield _parse(row, base, source)


def _parse(row: Mapping[str, object], base: str, source: str) -> Pair | FailureRow:
    try:
        return manifest.parse(row, base, source)
    except ManifestError as error:
        return manifest.failure(row, source, str(error))


def _format(uri: str) -> str | None:
    path = PurePosixPath(uri.lower())
    if path.suffix != COMPRESSED:
        return FORMATS.get(path.suffix)
    known = FORMATS.get(PurePosixPath(path.stem).suffix)
    return None if known == "parquet" else known


def _is_compressed(uri: str) -> bool:
    return uri.lower().endswith(COMPRESSED)


def _base(part: Part) -> str:
    if part.base:
        return part.base
    if part.format == "folder":
        return part.uri
    return layouts.list_root(part.uri)[0] if part.format == "list" else storage.parent(part.uri)


@contextlib.contextmanager
def _readable(uri: str) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ManifestError(f"{uri}: cannot be read: it is no whole gzip file, compress it again ({error})") from error
    except (OSError, pa.ArrowException) as error:
        raise ManifestError(f"{uri}: cannot be read: {storage_errors.reason(error, uri)}") from error


def _plan_folder(uri: str, names: Names, passed: Passed) -> Iterator[Part]:
    if _is_list(listed := storage.join(uri, "IHD_test.txt")):
        yield Part(listed, "list")
    elif storage.is_folder(storage.join(uri, "composites")):
        yield Part(uri, "folder", names=names)
    elif tables := _tables(uri, passed):
        for name in tables:
            yield from _plan_parquet(storage.join(uri, name), uri)
    elif not storage.is_folder(uri) and not storage.is_file(uri):
        raise ManifestError(f"{uri}: there is no such file or folder: correct the name")
    else:
        kinds = ", ".join(FORMATS)
        raise ManifestError(
            f"{uri}: neither a file {kinds} nor a folder that holds composites/ and masks/, or .parquet files"
        )


def _is_list(uri: str) -> bool:
    with contextlib.suppress(OSError), storage.open_binary(uri):
        return True
    return False


def _tables(folder: str, passed: Passed) -> list[str]:
    """Return the Parquet files of a folder, without those that programs keep for themselves, such as _delta_log/."""
    tables = []
    for name in storage.list_files(folder) if storage.is_folder(folder) else []:
        if any(part.startswith(("_", ".")) for part in name.split("/")):
            passed.setdefault("hidden", []).append(name)
        elif name.lower().endswith(".parquet"):
            tables.append(name)
        else:
            passed.setdefault("no Parquet", []).append(name)
    return tables


@contextlib.contextmanager
def _open_lines(part: Part) -> Iterator[Lines]:
    with storage.open_binary(part.uri) as file, contextlib.ExitStack() as stack:
        plain = stack.enter_context(gzip.GzipFile(fileobj=file)) if _is_compressed(part.uri) else file
        yield Lines(cast(IO[bytes], plain), part.uri, part.start, part.length, part.first)


def _plan_text(uri: str, kind: str, part_bytes: int | None) -> Iterator[Part]:
    with _open_lines(Part(uri, kind)) as lines:
        columns = _header(uri, lines, DELIMITERS[kind]) if kind in DELIMITERS else ()
        start, first = lines.offset, lines.number + 1
        if part_bytes is None:
            yield Part(uri, kind, columns, start, None, first)
            return
        for _ in _records(kind, lines):
            if lines.offset - start >= part_bytes:
                yield Part(uri, kind, columns, start, lines.offset - start, first)
                start, first = lines.offset, lines.number + 1
        if lines.offset > start:
            yield Part(uri, kind, columns, start, lines.offset - start, first)


def _header(uri: str, lines: Lines, delimiter: str) -> tuple[str, ...]:
    _, cells = next(manifest_text.csv_records(lines, delimiter), (1, ()))
    if isinstance(cells, csv.Error):
        raise ManifestError(f"{uri}, line 1: not CSV: {manifest_text.csv_problem(cells)}")
    while cells and not cells[-1]:  # as spreadsheets leave them
        cells.pop()
    _check_header(uri, cells)
    return tuple(cells)


def _check_header(uri: str, columns: Sequence[str]) -> None:
    try:
        manifest.check_header(columns)
    except ManifestError as error:
        raise ManifestError(f"{uri}: {error}") from error


def _records(kind: str, lines: Lines) -> Iterator[tuple[int, Any]]:
    if kind in DELIMITERS:
        return manifest_text.csv_records(lines, DELIMITERS[kind])
    return manifest_text.line_records(lines)


def _read_text(part: Part) -> Rows:
    decode = _decoder(part)
    with _open_lines(part) as lines:
        for number, raw in _records(part.format, lines):
            try:
                yield f"{part.uri}, line {number}", decode(raw)
            except ManifestError as error:
                yield f"{part.uri}, line {number}", error


def _decoder(part: Part) -> Callable[[Any], Mapping[str, object]]:
    if part.format == "list":
        return functools.partial(layouts.list_row, subset=layouts.list_root(part.uri)[1])
    if part.format == "jsonl":
        return manifest_text.json_row
    return functools.partial(manifest_text.csv_row, columns=part.columns)


@contextlib.contextmanager
def _open_parquet(uri: str) -> Iterator[pq.ParquetFile]:
    # With a buffer size pyarrow reads a column as it is needed, and not a whole row group, which may be the whole file.
    with storage.open_binary(uri) as file:
        start = file.read(manifest_text.STARTS)
        if not start.startswith(b"PAR1"):
            kind = manifest_text.kind_of(start) or ("no Parquet file, or an encrypted one" if start else "empty")
            raise ManifestError(f"{uri}: cannot be read: it is {kind}")
        with pq.ParquetFile(file, buffer_size=1 << 20) as table:
            yield table


def _plan_parquet(uri: str, base: str = "") -> Iterator[Part]:
    with _open_parquet(uri) as table:
        columns = tuple(table.schema_arrow.names)
        _check_header(uri, columns)
        first = 1
        for group in range(table.num_row_groups):
            yield Part(uri, "parquet", columns, group, None, first, base=base)
            first += table.metadata.row_group(group).num_rows


def _read_parquet(part: Part) -> Rows:
    number = part.first
    with _open_parquet(part.uri) as table:
        for batch in table.iter_batches(BATCH_ROWS, row_groups=[part.start]):
            for row in _batch_rows(batch):
                yield f"{part.uri}, row {number}", row
                number += 1


def _batch_rows(batch: pa.RecordBatch) -> list[dict[str, object]]:
    try:
        rows: list[dict[str, object]] = batch.to_pylist()
    except _VALUES:  # Parquet's writers do not check
        columns = {name: [_value(scalar) for scalar in batch.column(name)] for name in batch.schema.names}
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return rows


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return scalar.as_buffer().to_pybytes().decode(errors="surrogateescape")
    except _VALUES:
        return str(scalar.cast(pa.string()))


_READERS: Mapping[str, Callable[[Part], Rows]] = {
    "csv": _read_text,
    "tsv": _read_text,
    "jsonl": _read_text,
    "list": _read_text,
    "parquet": _read_parquet,
}
