"""Files by URI: gs://, s3://, memory://, file:// or a plain path."""

import posixpath
from typing import IO, Any, cast

from fsspec.core import url_to_fs

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


def _locate(uri: str) -> tuple[Any, str]:
    """Return the file system and the path in it."""
    try:
        files, path = url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise StorageError(f"cannot open {uri}: {error}") from error
    return files, path
