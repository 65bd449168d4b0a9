"""Weights files: safetensors whose header says what the weights are and proves that they are whole.

The header's one entry, "hdnet", is JSON: architecture, config, version, sha256 of the tensors, and the
model card (training data, recipe, metrics, limits). Nothing is ever unpickled.
"""

import contextlib
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from model import registry
from transforms.errors import WeightsError

SHIPPED = Path(__file__).parent / "weights"
VERSION = 1
"""Of the header's layout; a reader refuses a newer one."""


def load_network(source: str | os.PathLike[str]) -> nn.Module:
    """Build the network a weights file describes and load it, in eval mode, float32, on the CPU.

    Args:
        source: The name of shipped weights (see `shipped`), a path, or any URI fsspec opens.

    Raises:
        WeightsError: There is no such file, it is no safetensors file, is truncated or altered, has no
            header of ours or a newer one, or its tensors do not fit the architecture it names.
    """
    with local_copy(str(source)) as path:
        header = read_header(path, str(source))
        tensors = _read_tensors(path, str(source))
    if digest(tensors) != header.get("sha256"):
        raise WeightsError(f"{source}: the tensors do not match the header's sha256; copy the file again")
    try:
        network = registry.build(header["architecture"], header["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{source}: cannot build the network its header describes: {error}") from error
    load_tensors(network, tensors, str(source))
    return network.eval()


def read_header(path: Path, name: str) -> dict[str, Any]:
    """Return a weights file's header: architecture, config, version, sha256 and the model card.

    Raises:
        WeightsError: As for `load_network`.
    """
    with _explained(name), safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    try:
        header = json.loads(metadata["hdnet"])
        version = header["version"]
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{name}: a safetensors file without our header; make one with hdnet-convert") from error
    if version != VERSION:
        raise WeightsError(f"{name}: written as version {version!r}, this program reads {VERSION}; upgrade it")
    return dict(header)


def save(network: nn.Module, path: Path, architecture: str, card: Mapping[str, Any]) -> None:
    """Write a network's weights under a temporary name, then rename: the file is whole or not there.

    Args:
        network: Has `config`.
        path: Where to.
        architecture: Its name in the registry.
        card: JSON values for people: training data, recipe, metrics, limits.
    """
    tensors = {name: _plain(value) for name, value in network.state_dict().items()}
    config = getattr(network, "config").to_json()  # noqa: B009
    header = {"version": VERSION, "architecture": architecture, "config": config, "sha256": digest(tensors), **card}
    data = safetensors.torch.save(tensors, {"hdnet": json.dumps(header)})
    write_whole(path, data)


def write_whole(path: Path, data: bytes) -> None:
    """Write a local file so that a reader, or a crash at any moment, sees the old one or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_tensors(network: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load tensors into a network; every name and shape must match.

    Raises:
        WeightsError: Names the missing and unknown tensors and the shapes that differ.
    """
    wanted = network.state_dict()
    missing, unknown = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    other = [f"{k} {tuple(tensors[k].shape)}, not {tuple(v.shape)}" for k, v in wanted.items()
             if k in tensors and tensors[k].shape != v.shape]  # fmt: skip
    found = {"missing": missing, "unknown": unknown, "wrong shape": other}
    if any(found.values()):
        parts = (f"{label}: {', '.join(names[:5])} ({len(names)})" for label, names in found.items() if names)
        raise WeightsError(f"{name}: the tensors do not fit the architecture; {'; '.join(parts)}")
    network.load_state_dict(dict(tensors))


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over names, types, shapes and bytes, in order of name."""
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(_plain(value).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _plain(value: Tensor) -> Tensor:
    # `contiguous` keeps odd strides where a dimension is 1; a clone does not.
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


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
        if not Path(source).is_file():
            raise WeightsError(f"{source}: no such file, and no shipped weights; shipped: {', '.join(shipped())}")
        yield Path(source)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights"
            _fetch(source, path)
            yield path


def _fetch(source: str, path: Path) -> None:
    try:
        filesystem, remote = fsspec.core.url_to_fs(source)
        filesystem.get_file(remote, str(path))
    except Exception as error:  # every backend has errors of its own, without a common root
        raise WeightsError(f"{source}: cannot be fetched: {error!r}") from error


def _read_tensors(path: Path, name: str) -> dict[str, Tensor]:
    with _explained(name):
        return safetensors.torch.load_file(path)


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except (safetensors.SafetensorError, OSError, struct.error) as error:
        raise WeightsError(f"{name}: not a whole safetensors file: {error}; copy or convert it again") from error
