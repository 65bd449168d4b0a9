"""The versions of Python and of packages that made a file."""

import platform
from collections.abc import Mapping
from importlib import metadata

from hdnet.transforms.errors import VersionError


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of packages; "not installed" for one that runs from a checkout."""
    return {"python": platform.python_version(), **{name: _version(name) for name in packages}}


def check_same(others: Mapping[str, str]) -> None:
    """Make sure that this process has the same versions as another one. Python's patch version may differ.

    Raises:
        VersionError: The message names what differs, with both versions.
    """
    ours = versions(*(name for name in others if name != "python"))
    wrong = [f"{name} {other} there and {ours[name]} here" for name, other in others.items()
             if _relevant(name, other) != _relevant(name, ours[name])]  # fmt: skip
    if wrong:
        raise VersionError(f"the launcher and this worker differ: {', '.join(wrong)}; run both from one image")


def _relevant(name: str, version: str) -> str:
    return ".".join(version.split(".")[:2]) if name == "python" else version


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
