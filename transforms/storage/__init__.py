"""Files by URI: gs://, s3://, memory://, file:// or a plain path.

What is transient is tried again for `clients.PATIENCE` seconds, on object stores; a local disk that hangs holds the
process in the kernel, out of any timeout's reach. What fails for good is one `StorageError`, or `OutputError` where
nothing can be written any more.
"""

import concurrent.futures
import contextlib
import itertools
import os
import posixpath
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Any, cast

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from hdnet.transforms.errors import OutputError, SizeError, StorageError
from hdnet.transforms.storage import clients, local, storage_errors
from hdnet.transforms.storage.listed import Listed

SCHEMES = frozenset({"file", "gs", "memory", "s3"})
"""What a manifest may name; a plain path needs none."""

LISTINGS = 32
"""Folders that are listed at a time."""

REMOVALS = 1000
"""Files that are removed at a time: S3's most for one request, and ten of Cloud Storage's."""

# A forked process forgets its parent's clients; were they then closed, the parent would wait for its answers in vain.
# By identity: clients that are made with the same options are equal.
_KEPT: dict[int, Any] = {}

# A header costs one request and a manifest few: gcsfs's own choice makes one for each of a header's dozen small reads.
_AHEAD = {"cache_type": "readahead", "block_size": 1 << 20}


@contextlib.contextmanager
def open_binary(uri: str) -> Iterator[IO[bytes]]:
    """Open a file to read its bytes, piece by piece, for as long as the block lasts.

    Raises:
        OSError: There is none, or a local one cannot be read.
        StorageError: The store refuses or does not answer; the URI's scheme is unknown, or its file system is not
            installed.
    """
    files, path = _locate(uri)
    ours = files.async_impl  # a store's: until it is open no error is the block's
    try:
        with clients.retry(files, lambda: files.open(path, "rb", **(_AHEAD if files.async_impl else {}))) as file:
            ours = False
            yield cast(IO[bytes], file)
    except FileNotFoundError:
        raise
    except Exception as error:
        # A local disk's are OSErrors as they are, and the block's own errors pass through here too.
        if not ours and clients.status(error) is None and not clients.is_transient(error):
            raise
        raise StorageError(f"{uri} cannot be read: {storage_errors.reason(error)}") from error


def read(uri: str, limit: int | None = None) -> bytes:
    """Return a file's bytes.

    Args:
        uri: The file's.
        limit: Refuse a file of more bytes, before they are all in memory.

    Raises:
        SizeError: It has more bytes than `limit`.
        OutputError: The store has answered nothing any more, for many minutes.
        StorageError: There is none, or it cannot be read.
    """
    files, path = _locate(uri)
    try:
        if isinstance(files, LocalFileSystem):
            data = local.read(path, limit)
        else:
            part = {} if limit is None else {"start": 0, "end": limit + 1}
            data = clients.retry(files, lambda: files.cat_file(path, **part, **_patience(files)))
    except Exception as error:  # every backend has errors of its own, without a common root
        if clients.status(error) == 416:  # no byte of an empty file can be had
            return b""
        kind = OutputError if clients.is_dead(files) else StorageError
        raise kind(f"{uri} cannot be read: {storage_errors.reason(error)}") from error
    if limit is not None and len(data) > limit:
        raise SizeError(f"{uri} has more than {limit} bytes: make it smaller")
    return data


def write(uri: str | Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, sees the old one or the new one, whole.

    Raises:
        OutputError: The disk is full or read-only; the bucket is not there or refuses.
        StorageError: This one file cannot be written.
    """
    files, path = _locate(str(uri))
    try:
        if isinstance(files, LocalFileSystem):
            local.replace(Path(path), data)
        else:
            # One PUT, or parts that are put together at the end: object stores show it when it is complete.
            clients.retry(files, lambda: files.pipe_file(path, data, **_patience(files)))
    except Exception as error:  # as in `read`
        kind = OutputError if storage_errors.is_final(error, isinstance(files, LocalFileSystem)) else StorageError
        raise kind(f"{uri} cannot be written: {storage_errors.reason(error)}") from error


def remove(uri: str) -> None:
    """Remove a file or a folder with all it holds, if it is there.

    Raises:
        StorageError: It cannot be removed.
    """
    files, path = _locate(uri)
    try:
        clients.retry(files, lambda: files.rm(path, recursive=True))
    except FileNotFoundError:
        return
    except Exception as error:  # as in `read`
        raise StorageError(f"{uri} cannot be removed: {storage_errors.reason(error)}") from error


def remove_files(uris: Collection[str]) -> None:
    """Remove files of one disk or store, those of them that are there: of a store, many by one request.

    Raises:
        StorageError: One cannot be removed.
    """
    ordered = sorted(uris)
    for start in range(0, len(ordered), REMOVALS):
        _remove_some(ordered[start : start + REMOVALS])


def sweep(folder: str) -> int:
    """Remove what killed processes left below a local folder, half written, and nothing that a live one is writing.

    Object stores show no half-written files. What they keep of a broken upload, a rule of the bucket removes.

    Returns:
        How many files were removed.

    Raises:
        StorageError: As for `open_binary`.
    """
    files, path = _locate(folder)
    return local.sweep(path) if isinstance(files, LocalFileSystem) else 0


def is_folder(uri: str) -> bool:
    """Return whether there is a folder, or on an object store whether there are names that begin with it.

    Raises:
        StorageError: It cannot be told.
    """
    files, path = _locate(uri)
    try:
        return bool(clients.retry(files, lambda: files.isdir(path)))
    except Exception as error:  # as in `read`
        raise StorageError(f"{uri} cannot be listed: {storage_errors.reason(error)}") from error


def is_file(uri: str) -> bool:
    """Return whether there is a file.

    Raises:
        StorageError: It cannot be told.
    """
    folder = parent(uri)
    return uri in listing([folder])


def list_files(uri: str) -> list[str]:
    """Return the files below a folder, sorted, by their paths from it. The listing is held in memory.

    Raises:
        FileNotFoundError: There is no such folder.
        StorageError: It cannot be read.
    """
    found = sorted(name for name, _ in _find(uri))
    if not found and not is_folder(uri):
        raise FileNotFoundError(f"no such folder: {uri}")
    return found


def listing(folders: Collection[str], excuse: Callable[[StorageError], None] | None = None) -> dict[str, Listed]:
    """List the files of folders, by URI.

    Each folder is listed once, some of them at a time, and without the folders it holds; no file is asked after by
    itself. The listings are held in memory, some 400 bytes a file.

    Args:
        folders: As in `parent`; one that is not there holds no files.
        excuse: Called with the error of a folder that cannot be listed, whose files are then left out.

    Raises:
        StorageError: A folder cannot be listed, and there is no `excuse`.
    """

    def find(root: str) -> list[tuple[str, Listed]]:
        try:
            return [(root + name, Listed.of(info)) for name, info in _find(root, depth=1)]
        except StorageError as error:
            if excuse is None:
                raise
            excuse(error)
            return []

    roots = {folder if not folder or folder.endswith("/") else f"{folder}/" for folder in folders}
    with concurrent.futures.ThreadPoolExecutor(LISTINGS) as threads:
        return dict(itertools.chain.from_iterable(threads.map(find, roots)))


def join(base: str, uri: str) -> str:
    """Return the URI, taken as relative to the base folder unless it is absolute.

    Raises:
        StorageError: It leaves the bucket by "..".
    """
    if "://" in uri or uri.startswith("/"):
        return uri
    scheme, mark, folder = base.rpartition("://")
    if not mark:
        return posixpath.join(base, uri)
    # An object store would take ".." for a name.
    joined = posixpath.normpath(posixpath.join(folder, uri))
    if joined.partition("/")[0] != folder.partition("/")[0]:
        raise StorageError(f"{uri!r} leaves the bucket of {base}")
    return f"{scheme}://{joined}"


def canonical(uri: str) -> str:
    """Return the one name of a place: of a local one without links and scheme."""
    scheme, mark, path = uri.rpartition("://")
    if mark and scheme != "file":
        return f"{scheme}{mark}{posixpath.normpath(path)}"
    return os.path.realpath(path)


def parent(uri: str) -> str:
    """Return the folder that a file is in: "" for a bare name, and never less than the bucket."""
    scheme, mark, path = uri.rpartition("://")
    return f"{scheme}{mark}{posixpath.dirname(path)}"


def _locate(uri: str) -> tuple[Any, str]:
    """Return the file system and the path in it."""
    try:
        files, path = url_to_fs(uri, **clients.options(uri))
    except (ImportError, ValueError) as error:
        raise StorageError(f"cannot open {uri}: {error}") from error
    if files.async_impl:
        _KEPT[id(files)] = files
    return files, path


def _remove_some(uris: list[str]) -> None:
    located = [_locate(uri) for uri in uris]
    try:
        clients.retry(located[0][0], lambda: located[0][0].rm([path for _, path in located]))
    except FileNotFoundError:  # a disk stops at the first that is not there
        for uri in uris:
            remove(uri)
    except Exception as error:  # as in `read`
        raise StorageError(f"{uris[0]}, or one after it, cannot be removed: {storage_errors.reason(error)}") from error


def _patience(files: Any) -> dict[str, float]:
    """Return how long a client may work at one call: one that gets a byte now and then is never idle."""
    return {"timeout": clients.PATIENCE} if files.async_impl else {}


def _find(uri: str, depth: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the path from a folder, and what the listing says, of each file below it."""
    files, path = _locate(uri)
    root = path.rstrip("/") + "/"
    try:
        found = clients.retry(files, lambda: files.find(path, maxdepth=depth, detail=True))
    except FileNotFoundError:
        return
    except Exception as error:  # as in `read`
        raise StorageError(f"{uri} cannot be listed: {storage_errors.reason(error)}") from error
    yield from ((name[len(root) :], info) for name, info in found.items() if name.startswith(root))
