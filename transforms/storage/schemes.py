"""Which kinds of storage a manifest may make the workers open: it may come from a stranger."""

from collections.abc import Collection

from hdnet.transforms.errors import StorageError

LOCAL = "file"


def scheme(uri: str) -> str:
    """Return a URI's scheme as it is written; "file" for a path."""
    name, mark, _ = uri.partition("://")
    return name if mark else LOCAL


def allowed(manifest: str, output: str, extra: Collection[str] = ()) -> frozenset[str]:
    """Return the schemes that a manifest's URIs may have: its own, the output's and those that were allowed by name.

    That the output is local lets no manifest from elsewhere read this machine's files: "file" must then be named.
    """
    own, written = scheme(manifest), scheme(output)
    return frozenset({own, *extra} | ({written} - {LOCAL}))


def check(uri: str, allowed: Collection[str]) -> None:
    """Refuse a URI whose scheme is not allowed; a relative one must have been joined to its manifest's folder.

    Raises:
        StorageError: Names the URI, its scheme and those allowed.
    """
    found = scheme(uri)
    if found not in allowed:
        kind = "a local path" if found == LOCAL else f"of the scheme {found!r}"
        names = ", ".join(sorted(allowed))
        raise StorageError(f"{uri!r} is {kind}, and only {names} may be opened: give --allow-scheme if it is meant")
