"""Which kinds of storage a manifest may make the workers open, since it may come from a stranger."""

from collections.abc import Collection

from hdnet.transforms.errors import StorageError

LOCAL = "file"


def scheme(uri: str) -> str:
    """Return a URI's scheme as it is written, or "file" for a path."""
    name, mark, _ = uri.partition("://")
    return name if mark else LOCAL


def allowed(manifest: str, output: str, extra: Collection[str] = ()) -> frozenset[str]:
    """Return the schemes that a manifest's URIs may have: its own, the output's and those that were allowed by name.

    A local output does not let a manifest from elsewhere read this machine's files: "file" must be allowed by name.
    """
    own, written = scheme(manifest), scheme(output)
    return frozenset({own, *extra} | ({written} - {LOCAL}))


def check(uri: str, allowed: Collection[str]) -> None:
    """Refuse a URI whose scheme is not allowed. A relative one must have been joined to its manifest's folder.

    Raises:
        StorageError: The message names the URI, its scheme and those allowed.
    """
    found = scheme(uri)
    if found not in allowed:
        kind = "is a local path" if found == LOCAL else f"has the scheme {found!r}"
        names = ", ".join(sorted(allowed))
        raise StorageError(f"{uri!r} {kind}, but only {names} may be opened: give --allow-scheme to open it")
