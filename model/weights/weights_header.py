"""Finds weights files and reads their headers, without torch: a launcher needs no more.

The header's one entry, "hdnet", is JSON: architecture, config, version, sha256 of the tensors, and the
model card (training data, recipe, metrics, limits). Nothing is ever unpickled.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors

from hdnet.model import architectures
from hdnet.model.architectures.record import Architecture
from hdnet.model.config import Config
from hdnet.transforms import storage
from hdnet.transforms.errors import HarmonizeError, WeightsError

SHIPPED = Path(__file__).parent
VERSION = 1
"""The version of the header's layout; a reader refuses a newer one."""

LARGEST_HEADER = 1 << 22
"""Most bytes of a header, where HDNet's own has 15,000: a bound on what parsing a stranger's file can cost."""

LARGEST_FILE = 1 << 31
"""Most bytes of a file that is fetched, where HDNet's own has 42 million."""


def read_header(source: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a weights file's header: architecture, config, version, sha256 and the model card.

    Args:
        source: The name of shipped weights (see `shipped`), a path, or any URI fsspec opens.

    Raises:
        WeightsError: There is no such file, it is no safetensors file, or has no header of ours or a newer one.
    """
    with local_copy(os.fspath(source)) as path:
        return header_of(path, os.fspath(source))


def shipped() -> list[str]:
    """Return the names of the weights that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


@contextlib.contextmanager
def local_copy(source: str) -> Iterator[Path]:
    """Give a path to read a weights file from: shipped, local, or fetched for as long as the block lasts.

    Raises:
        WeightsError: There is no such file, or it cannot be fetched.
    """
    if source in shipped():
        yield SHIPPED / f"{source}.safetensors"
    elif "://" not in source:
        if not os.path.isfile(source):
            what = "a folder" if os.path.isdir(source) else "no such file"
            raise WeightsError(f"{source}: {what}, and no shipped weights; shipped: {', '.join(shipped()) or 'none'}")
        yield Path(source)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights"
            _fetch(source, path)
            yield path


def _fetch(source: str, path: Path) -> None:
    try:
        path.write_bytes(storage.read(source, LARGEST_FILE))
    except HarmonizeError as error:
        raise WeightsError(f"{source}: cannot be fetched: {error}") from error


def header_of(path: Path, name: str) -> dict[str, Any]:
    """Return the header of a local file; `name` is what messages call it.

    Raises:
        WeightsError: As for `read_header`.
    """
    with explained(name):
        check_start(path, name)
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
        if size > LARGEST_HEADER:
            raise WeightsError(f"{name}: not a safetensors file of ours: its header would have {size} bytes")
        with safetensors.safe_open(path, framework="np") as opened:
            metadata = opened.metadata() or {}
    try:
        header = dict(json.loads(metadata["hdnet"]))
        version = header["version"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{name}: a safetensors file without our header; make one with hdnet-convert") from error
    if version != VERSION:
        raise WeightsError(f"{name}: written as version {version!r}, this program reads {VERSION}; upgrade it")
    if not isinstance(header.get("sha256"), str):
        raise WeightsError(f"{name}: the tensors do not match the header, which has no sha256; copy the file again")
    return header


def check_start(path: Path, name: str) -> None:
    """Refuse what is often found in a weights file's place; `name` is what messages call it.

    Raises:
        OSError: There is no such file.
        WeightsError: It is a Git LFS pointer, a web page or empty.
    """
    with open(path, "rb") as file:
        start = file.read(64)
    text = start.lstrip().lower()
    if not start:
        raise WeightsError(f"{name} is empty: copy it again")
    if text.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{name} is a Git LFS pointer, not the file itself: run git lfs pull where it comes from")
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsError(f"{name} is a web page, not the file itself: download it with the link behind the page")


def architecture_of(header: dict[str, Any], name: str) -> tuple[Architecture[Any, Any], Config]:
    """Return the architecture and the configuration that a header names; `name` is what messages call its file.

    Raises:
        WeightsError: The architecture is unknown, or has no such configuration.
    """
    try:
        named, fields = header["architecture"], header["config"]
        if not isinstance(named, str) or not isinstance(fields, dict):
            raise TypeError(f"architecture {named!r}, config {fields!r}")
        architecture = architectures.find(named)
        return architecture, architecture.configure(fields)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{name}: cannot build the network its header describes: {error}") from error


def smoothing_of(header: dict[str, Any], name: str) -> float:
    """Return how far a card asks an object's change of colour to be smoothed; `name` is what messages call its file.

    Raises:
        WeightsError: It is not a number from 0 to 1.
    """
    share = header.get("smoothing", 0.0)
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        raise WeightsError(f"{name}: its card asks for smoothing {share!r}; a number from 0 to 1 is wanted")
    return float(share)


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn the block's errors of reading a file into a `WeightsError`."""
    try:
        yield
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(f"{name}: not a whole safetensors file: {error}; copy or convert it again") from error
