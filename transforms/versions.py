"""Which versions of what made a file."""

import platform
from importlib import metadata


def versions(*packages: str) -> dict[str, str]:
    """Return Python's version and each package's, "not installed" where one runs from a checkout."""
    return {"python": platform.python_version(), **{name: _version(name) for name in packages}}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
