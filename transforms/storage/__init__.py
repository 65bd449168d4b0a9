"""Files by URI: gs://, s3://, memory://, file:// or a plain path.

On object stores, calls that fail for a passing reason are made again for `clients.PATIENCE` seconds. A local disk that
hangs holds the process in the kernel, beyond the reach of any timeout. What fails for good is one `StorageError`, or an
`OutputError` where nothing can be written any more.
"""

import concurrent.futures
import contextlib
import io
import itertools
import os
import posixpath
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, Self, cast

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from hdnet.transforms.errors import OutputError, SizeError, StorageError
from hdnet.transforms.storage import clients, local, storage_errors

SCHEMES = frozenset({"file", "gs", "memory", "s3"})
"""Schemes of places that are read, listed and written; a plain path needs none."""

READ_ONLY = frozenset({"https"})
"""Schemes of files that can only be read, each by itself."""

MOST_WHOLE = 1 << 28
"""Bytes of a file of `READ_ONLY` that is opened; it is read whole."""

LISTINGS = 32
"""The number of folders that are listed at a time."""

REMOVALS = 1000
"""The number of files that are removed at a time: one request of S3, ten of Cloud Storage."""

# A forked process drops its parent's clients; if they were closed then, the parent would wait for answers for ever.
# They are kept by identity, because clients with the same options are equal.
_KEPT: dict[int, Any] = {}

# A header costs one request and a manifest a few. With its defaults gcsfs makes a request for each of a header's dozen
# small reads.
_AHEAD = {"cache_type": "readahead", "block_size": 1 << 20}


class Listed(NamedTuple):
    """What a listing says about a file.

    Attributes:
        version: Changes when the content does: the file's etag, or its size and time of change.
        size: Size in bytes.
        modified: Time of change in seconds since 1970; None if the listing does not say.
    """

    version: str
    size: int
    modified: float | None

    @classmethod
    def of(cls, info: dict[str, Any]) -> Self:
        """Read an entry of one of fsspec's listings."""
        if info.get("islink"):  # the listing gives a local link's own time
            with contextlib.suppress(OSError):
                info = {**info, "mtime": os.stat(info["name"]).st_mtime}
        time = next((info[name] for name in ("mtime", "LastModified", "updated", "created") if info.get(name)), None)
        etag = info.get("etag") or info.get("ETag")
        changed = time or info.get("Last-Modified")  # a web server's, in words of its own
        return cls(str(etag or f"{info['size']} {changed}"), info["size"], _seconds(time))


@contextlib.contextmanager
def open_binary(uri: str) -> Iterator[IO[bytes]]:
    """Open a file for reading its bytes piece by piece, for as long as the block lasts.

    Raises:
        OSError: There is no such file, or a local one cannot be read.
        StorageError: The store refuses or does not answer, the URI's scheme is unknown, or its file system is not
            installed.
    """
    if is_read_only(uri):  # servers need not know ranges, or sizes
        yield io.BytesIO(read(uri, MOST_WHOLE))
        return
    files, path = _locate(uri)
    ours = files.async_impl  # until a store's file is open, no error comes from the block
    try:
        with clients.retry(files, lambda: files.open(path, "rb", **(_AHEAD if files.async_impl else {}))) as file:
            ours = False
            yield cast(IO[bytes], file)
    except FileNotFoundError:
        raise
    except Exception as error:
        # A local disk raises OSErrors, which stay as they are; so do the block's own errors, which pass through here.
        if not ours and storage_errors.status(error) is None and not storage_errors.is_transient(error):
            raise
        raise StorageError(f"{uri} cannot be read: {storage_errors.reason(error, uri)}") from error


def read(uri: str, limit: int | None = None) -> bytes:
    """Return a file's bytes.

    Args:
        uri: URI of the file.
        limit: Refuse a file of more bytes, before they are all in memory.

    Raises:
        SizeError: It has more bytes than `limit`.
        OutputError: The store has not answered anything for many minutes.
        StorageError: There is no such file, or it cannot be read.
    """
    files, path = _locate(uri)
    try:
        if isinstance(files, LocalFileSystem):
            data = local.read(path, limit)
        else:
            part = {} if limit is None else {"start": 0, "end": limit + 1}
            data = clients.retry(files, lambda: files.cat_file(path, **part, **_patience(files)))
    except Exception as error:  # every backend has errors of its own, without a common root
        if storage_errors.status(error) == 416:  # an empty file has no byte to give
            return b""
        kind = OutputError if clients.is_dead(files) else StorageError
        raise kind(f"{uri} cannot be read: {storage_errors.reason(error, uri)}") from error
    if limit is not None and len(data) > limit:
        raise SizeError(f"{uri} has more than {limit} bytes: make it smaller")
    return data


def write(uri: str | Path, data: bytes) -> None:
    """Write a file so that a reader sees the whole old or the whole new one, even after a crash at any moment.

    Raises:
        OutputError: The disk is full or read-only; the bucket does not exist or refuses.
        StorageError: This one file cannot be written.
    """
    files, path = _locate(str(uri))
    try:
        if isinstance(files, LocalFileSystem):
            local.replace(Path(path), data)
        else:
            # One PUT, or parts that are joined at the end: object stores show a file when it is complete.
            clients.retry(files, lambda: files.pipe_file(path, data, **_patience(files)))
    except Exception as error:  # as in `read`
        kind = OutputError if storage_errors.is_final(error, isinstance(files, LocalFileSystem)) else StorageError
        raise kind(f"{uri} cannot be written: {storage_errors.reason(error, str(uri))}") from error


def remove(uri: str) -> None:
    """Remove a file, or a folder with all that it holds, if it exists.

    Raises:
        StorageError: It cannot be removed.
    """
    files, path = _locate(uri)
    try:
        clients.retry(files, lambda: files.rm(path, recursive=True))
    except FileNotFoundError:
        return
    except Exception as error:  # as in `read`
        raise StorageError(f"{uri} cannot be removed: {storage_errors.reason(error, uri)}") from error


def remove_files(uris: Collection[str]) -> None:
    """Remove those of the files that exist, all of one disk or store; one request to a store removes many.

    Raises:
        StorageError: One of them cannot be removed.
    """
    ordered = sorted(uris)
    for start in range(0, len(ordered), REMOVALS):
        _remove_some(ordered[start : start + REMOVALS])


def sweep(folder: str) -> int:
    """Remove half-written files that killed processes left below a local folder, but none that is being written.

    Object stores show no half-written files. What they keep of a broken upload is removed by a rule of the bucket.

    Returns:
        The number of files removed.

    Raises:
        StorageError: As for `open_binary`.
    """
    files, path = _locate(folder)
    return local.sweep(path) if isinstance(files, LocalFileSystem) else 0


def is_folder(uri: str) -> bool:
    """Return whether a folder exists, or on an object store whether there are names that begin with it.

    Raises:
        StorageError: It cannot be listed.
    """
    files, path = _locate(uri)
    try:
        return bool(clients.retry(files, lambda: files.isdir(path)))
    except Exception as error:  # as in `read`
        raise StorageError(f"{uri} cannot be listed: {storage_errors.reason(error, uri)}") from error


def is_file(uri: str) -> bool:
    """Return whether a file exists.

    Raises:
        StorageError: Its folder cannot be listed.
    """
    return uri in listing([parent(uri)])


def list_files(uri: str) -> list[str]:
    """Return the sorted paths of the files below a folder, relative to it. The listing is held in memory.

    Raises:
        FileNotFoundError: There is no such folder.
        StorageError: It cannot be read.
    """
    found = sorted(name for name, _ in _find(uri))
    if not found and not is_folder(uri):
        raise FileNotFoundError(f"no such folder: {uri}")
    return found


def list_tree(uri: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the sorted paths of the files below a folder, on a local disk also through links to folders.

    Returns:
        The relative paths, and what was passed over, each a reason and a path: see `local.tree`.

    Raises:
        FileNotFoundError: There is no such folder.
        OSError: A local one cannot be listed.
        StorageError: It cannot be read.
    """
    files, path = _locate(uri)
    if not isinstance(files, LocalFileSystem):
        return list_files(uri), []
    found, others = local.tree(path)
    return sorted(found), others


def listing(folders: Collection[str], excuse: Callable[[StorageError], None] | None = None) -> dict[str, Listed]:
    """List the files of folders, by URI.

    Each folder is listed once, without its subfolders and several folders at a time; no request is made for a single
    file. The listings are held in memory, some 400 bytes for each file.

    Args:
        folders: As returned by `parent`; one that does not exist holds no files.
        excuse: Called with the error if a folder cannot be listed; its files are then left out.

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


def is_read_only(uri: str) -> bool:
    """Return whether a URI has one of the schemes of `READ_ONLY`."""
    return uri.partition("://")[0] in READ_ONLY


def is_listed(uri: str) -> bool:
    """Return whether listings show a file: not on a web server, nor where a name in its path is empty, as in a//b."""
    scheme, mark, path = uri.rpartition("://")
    return not is_read_only(uri) and not (mark and scheme != "file" and "//" in path)


def ask(uris: Collection[str]) -> dict[str, Listed]:
    """Ask for files that listings do not show, several at a time; those that do not answer are left out."""

    def one(uri: str) -> Listed | None:
        files, path = _locate(uri)
        try:
            return Listed.of(clients.retry(files, lambda: files.info(path)))
        except Exception:  # every server has errors of its own; the file is read again, and fails then
            return None

    with concurrent.futures.ThreadPoolExecutor(LISTINGS) as threads:
        found = zip(uris, threads.map(one, uris), strict=True)
        return {uri: listed for uri, listed in found if listed}


def join(base: str, uri: str) -> str:
    """Return the URI; a relative one starts from the base folder.

    Raises:
        StorageError: It leaves the bucket through "..".
    """
    if "://" in uri or uri.startswith("/"):
        return uri
    scheme, mark, folder = base.rpartition("://")
    if not mark:
        return posixpath.join(base, uri)
    # An object store would take "." and ".." as names; an empty name, as in "a//b.jpg", is one there.
    names = folder.rstrip("/").split("/")
    for name in uri.split("/"):
        if name == "..":
            names.pop()
            if not names:
                raise StorageError(f"{uri!r} leaves the bucket of {base}")
        elif name != ".":
            names.append(name)
    return f"{scheme}://{'/'.join(names)}"


def canonical(uri: str) -> str:
    """Return the canonical name of a place: that of a local one has no scheme and no links."""
    scheme, mark, path = uri.rpartition("://")
    if mark and scheme != "file":
        return f"{scheme}{mark}{posixpath.normpath(path)}"
    return os.path.realpath(path)


def parent(uri: str) -> str:
    """Return the folder of a file: "" for a bare name, and at least the bucket."""
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
    except FileNotFoundError:  # a disk stops at the first one that does not exist
        for uri in uris:
            remove(uri)
    except Exception as error:  # as in `read`
        reason = storage_errors.reason(error, uris[0])
        raise StorageError(f"{uris[0]}, or one after it, cannot be removed: {reason}") from error


def _patience(files: Any) -> dict[str, float]:
    """Return how long a client may spend on one call, because one that receives a byte now and then is never idle."""
    return {"timeout": clients.PATIENCE} if files.async_impl else {}


def _find(uri: str, depth: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the relative path of each file below a folder, with what the listing says about it."""
    files, path = _locate(uri)
    root = path.rstrip("/") + "/"
    try:
        found = clients.retry(files, lambda: files.find(path, maxdepth=depth, detail=True))
    except FileNotFoundError:
        return
    except Exception as error:  # as in `read`
        raise StorageError(f"{uri} cannot be listed: {storage_errors.reason(error, uri)}") from error
    yield from ((name[len(root) :], info) for name, info in found.items() if name.startswith(root))


def _seconds(time: float | str | datetime | None) -> float | None:
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    return time.timestamp() if isinstance(time, datetime) else time
