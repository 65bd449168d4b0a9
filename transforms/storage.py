"""Files by URI: gs://, s3://, memory://, file:// or a plain path."""

import os
import posixpath
import threading
from pathlib import Path
from typing import IO, Any, cast

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from transforms.errors import StorageError

SCHEMES = frozenset({"file", "gs", "memory", "s3"})
"""What a manifest may name; a plain path needs none."""


def open_binary(uri: str) -> IO[bytes]:
    """Open a file to read its bytes.

    Raises:
        OSError: There is none, or it cannot be read.
        StorageError: The URI's scheme is unknown, or its file system is not installed.
    """
    files, path = _locate(uri)
    return cast(IO[bytes], files.open(path, "rb"))


def read(uri: str) -> bytes:
    """Return a file's bytes.

    Raises:
        StorageError: There is none, or it cannot be read.
    """
    files, path = _locate(uri)
    try:
        return cast(bytes, files.cat_file(path))
    except Exception as error:  # every backend has errors of its own, without a common root
        raise StorageError(f"{uri} cannot be read: {_reason(error)}") from error


def write(uri: str | Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, sees the old one or the new one, whole.

    Raises:
        StorageError: It cannot be written.
    """
    files, path = _locate(str(uri))
    try:
        if isinstance(files, LocalFileSystem):
            _replace(Path(path), data)
        else:
            files.pipe_file(path, data)  # one PUT: object stores show it when it is complete
    except Exception as error:  # as in `read`
        raise StorageError(f"{uri} cannot be written: {_reason(error)}") from error


def remove(uri: str) -> None:
    """Remove a file or a folder with all it holds, if it is there.

    Raises:
        StorageError: It cannot be removed.
    """
    files, path = _locate(uri)
    try:
        files.rm(path, recursive=True)
    except FileNotFoundError:
        return
    except Exception as error:  # as in `read`
        raise StorageError(f"{uri} cannot be removed: {_reason(error)}") from error


def is_folder(uri: str) -> bool:
    """Return whether there is a folder, or on an object store whether there are names that begin with it."""
    files, path = _locate(uri)
    return bool(files.isdir(path))


def list_files(uri: str) -> list[str]:
    """Return the files below a folder, sorted, by their paths from it. The listing is held in memory.

    Raises:
        OSError: There is no such folder, or it cannot be read.
        StorageError: As for `open_binary`.
    """
    files, path = _locate(uri)
    root = path.rstrip("/") + "/"
    found = files.find(path)
    if not found and not is_folder(uri):
        raise FileNotFoundError(f"no such folder: {uri}")
    return sorted(name[len(root) :] for name in found if name.startswith(root))


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


def parent(uri: str) -> str:
    """Return the folder that a file is in: "" for a bare name, and never less than the bucket."""
    scheme, mark, path = uri.rpartition("://")
    return f"{scheme}{mark}{posixpath.dirname(path)}"


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, OSError) and str(error) else repr(error)


def _locate(uri: str) -> tuple[Any, str]:
    """Return the file system and the path in it."""
    try:
        files, path = url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise StorageError(f"cannot open {uri}: {error}") from error
    return files, path
